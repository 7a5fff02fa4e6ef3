package golden;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.serializer.SerializerFeature;
import java.lang.reflect.Field;
import java.util.List;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.RemotingSysResponseCode;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.filter.FilterAPI;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumerData;
import org.apache.rocketmq.remoting.protocol.heartbeat.SubscriptionData;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;

/** Single texts and numbers: escapes, doubles, hashes, subscriptions, and what Java reads from unusual JSON. */
final class Texts {
    private Texts() {
    }

    static Vectors record() throws Exception {
        Vectors vectors = new Vectors();
        StringBuilder all = new StringBuilder();
        for (int c = 0; c < 0x300; c++) {
            all.append((char) c);
        }
        for (int c = 0x2000; c < 0x2100; c++) {
            all.append((char) c);
        }
        all.append("\ud7ff\ue000\ufeff\uffff\ud83d\ude00");
        string(vectors, "characters", all.toString());
        for (double number : new double[] {0, -0.0, 1, 1.5, 0.001, 0.0009, 123456.789, 9999999, 1e7, 1.25e10, 1e21,
            1e100, Double.MAX_VALUE, Double.NaN, Double.POSITIVE_INFINITY, 100, 0.1, 1.0 / 3}) {
            vectors.add("double").with("bits", Long.toString(Double.doubleToLongBits(number)))
                .with("loose", JSON.toJSONString(number));
        }
        for (String text : List.of("", "TagA", "TagB", "polygenelubricants", "\u4e2d\u6587", "\ud83d\ude00", "a b|c")) {
            vectors.add("hash").with("text", text).with("hash", text.hashCode());
        }
        for (String expression : List.of("", "*", "TagA", "TagA || TagB", "TagA||TagB||", " TagA ", "||", "|", " ", "a|b",
            "||a", "a || || b")) {
            Vectors.Vector vector = vectors.add("subscription").with("expression", expression);
            try {
                SubscriptionData data = FilterAPI.buildSubscriptionData("T", expression);
                data.setSubVersion(0);
                vector.with("loose", RemotingSerializable.toJson(data, false));
            } catch (Exception e) {
                vector.with("error", e.getMessage());
            }
        }
        lenient(vectors);
        codes(vectors, "request-code", RequestCode.class);
        codes(vectors, "response-code", RemotingSysResponseCode.class);
        codes(vectors, "response-code", ResponseCode.class);
        return vectors;
    }

    private static void codes(Vectors vectors, String name, Class<?> type) throws IllegalAccessException {
        for (Field field : type.getDeclaredFields()) {
            vectors.add(name).with("text", field.getName()).with("code", field.getInt(null));
        }
    }

    private static void string(Vectors vectors, String name, String text) {
        vectors.add(name)
            .with("text", text)
            .with("loose", JSON.toJSONString(text))
            .with("strict", JSON.toJSONString(text, SerializerFeature.BrowserCompatible,
                SerializerFeature.QuoteFieldNames, SerializerFeature.SkipTransientField, SerializerFeature.MapSortField));
    }

    /** JSON as other clients write it, and what it means to Java: read and written again. */
    private static void lenient(Vectors vectors) {
        for (String text : List.of(
            "{\"topicName\":\"T\"}",
            "{'topicName':'T','perm':'4'}",
            "{topicName:\"T\",perm:4,}",
            "{ \"topicName\" : \"T\" , /* c */ \"order\" : 1 }",
            "{\"topicName\":\"T\",\"order\":\"true\"} ",
            "{\"topicName\":\"T\",\"order\":\"1\"}",
            "{\"topicName\":\"T\",\"order\":null,\"perm\":null}",
            "{\"topicName\":\"T\",\"topicFilterType\":1}",
            "{\"topicName\":\"T\",\"topicFilterType\":\"MULTI_TAG\"}",
            "{\"topicName\":\"T\",\"unknown\":{\"a\":[1,{\"b\":null}]},\"perm\":2}",
            "{\"topicName\":\"\\x41\\u0042\\'\",\"perm\":2}",
            "{\"topicName\":\"a\tb\"}",
            "{\"topicName\":123}",
            "{\"topicName\":true}",
            "{\"topicName\":\"T\",\"perm\":6L}",
            "{\"topicName\":\"T\",\"perm\":6.0}",
            "{\"topicName\":\"T\",\"perm\":\"\"}",
            "{\"topicName\":\"T\",\"perm\":true}",
            "{\"topicName\":\"T\",\"attributes\":{\"a\":1}}",
            "// line\n{\"topicName\":\"T\"}\n",
            "{\"topicName\":\"T\",\"topicName\":\"U\"}",
            "{\"topicName\":\"T\",\"perm\":undefined}",
            "{\"topicName\":\"T\",}",
            "[]",
            "",
            "{\"topicName\"")) {
            read(vectors, text, TopicConfig.class);
        }
        for (String text : List.of(
            "{\"brokerName\":\"b\",\"brokerAddrs\":{\"0\":\"x\",1:\"y\"}}",
            "{\"brokerName\":\"b\",\"brokerAddrs\":{0 : \"x\" , -1:'y',}}",
            "{\"brokerName\":\"b\",\"brokerAddrs\":{0:1}}")) {
            read(vectors, text, BrokerData.class);
        }
        for (String text : List.of(
            "{\"groupName\":\"g\",\"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":1}",
            "{\"groupName\":\"g\",\"consumeType\":1,\"messageModel\":0,\"consumeFromWhere\":4}",
            "{\"groupName\":\"g\",\"consumeType\":\"NO_SUCH_TYPE\",\"unitMode\":0}")) {
            read(vectors, text, ConsumerData.class);
        }
    }

    private static void read(Vectors vectors, String text, Class<?> type) {
        Vectors.Vector vector = vectors.add("lenient").with("type", type.getSimpleName()).with("text", text);
        try {
            Object read = RemotingSerializable.fromJson(text, type);
            vector.with("loose", read == null ? null : RemotingSerializable.toJson(read, false));
        } catch (RuntimeException e) {
            vector.with("error", e.getClass().getSimpleName());
        }
    }
}
