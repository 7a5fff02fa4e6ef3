package golden;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.apache.rocketmq.common.action.RocketMQAction;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.SerializeType;
import org.apache.rocketmq.remoting.protocol.header.*;
import org.apache.rocketmq.remoting.protocol.header.namesrv.*;

/** Whole frames, each with what Java itself decodes from it. */
final class Commands {
    /** 5.3.3 by Java's numbering. */
    private static final int VERSION = 479;

    private final Vectors vectors = new Vectors();
    private int opaque = 1000;

    private Commands() {
    }

    static Vectors record() throws Exception {
        Commands commands = new Commands();
        for (Class<? extends CommandCustomHeader> type : HEADERS) {
            commands.filled(type);
        }
        commands.special();
        return commands.vectors;
    }

    /** Every field has a value; what a client really sends is a part of it. */
    private void filled(Class<? extends CommandCustomHeader> type) throws Exception {
        RocketMQAction action = type.getAnnotation(RocketMQAction.class);
        boolean isResponse = type.getSimpleName().contains("Response");
        for (SerializeType form : SerializeType.values()) {
            CommandCustomHeader header = Filler.fill(type);
            RemotingCommand command = RemotingCommand.createRequestCommand(action == null ? 0 : action.value(), header);
            if (isResponse) {
                command.markResponseType();
            }
            frame(type.getSimpleName(), type.getSimpleName(), command, form);
        }
    }

    private void special() throws Exception {
        both("send-as-a-client-does", RequestCode.SEND_MESSAGE_V2, "SendMessageRequestHeaderV2", () -> {
            SendMessageRequestHeaderV2 header = new SendMessageRequestHeaderV2();
            header.setA("group");
            header.setB("TopicTest");
            header.setC("TBW102");
            header.setD(4);
            header.setE(0);
            header.setF(0);
            header.setG(1_700_000_000_123L);
            header.setH(0);
            header.setI("KEYS\u0001k\u0002TAGS\u0001TagA\u0002");
            header.setJ(0);
            header.setK(false);
            header.setM(false);
            return header;
        }, command -> command.setBody("Hello RocketMQ".getBytes(StandardCharsets.UTF_8)));
        both("no-fields-no-body", RequestCode.GET_BROKER_CLUSTER_INFO, null, () -> null, command -> { });
        both("heartbeat-has-a-body-only", RequestCode.HEART_BEAT, null, () -> null,
            command -> command.setBody("{\"clientID\":\"10.0.0.1@1\"}".getBytes(StandardCharsets.UTF_8)));
        both("oneway", RequestCode.UPDATE_CONSUMER_OFFSET, "UpdateConsumerOffsetRequestHeader",
            () -> Filler.fill(UpdateConsumerOffsetRequestHeader.class), RemotingCommand::markOnewayRPC);
        both("go-client", RequestCode.GET_ROUTEINFO_BY_TOPIC, "GetRouteInfoRequestHeader", () -> {
            GetRouteInfoRequestHeader header = new GetRouteInfoRequestHeader();
            header.setTopic("TopicTest");
            return header;
        }, command -> command.setLanguage(LanguageCode.GO));
        both("remark-with-everything", ResponseCode.SYSTEM_ERROR, null, () -> null, command -> {
            command.markResponseType();
            command.setRemark("a \"quote\", a \\, a /, a \n, a \t, \u0000\u0001\u007f\u0085\u2028, \u00e9, \u4e2d, \ud83d\ude00");
        });
        both("topic-not-exist", ResponseCode.TOPIC_NOT_EXIST, null, () -> null, command -> {
            command.markResponseType();
            command.setRemark("No topic route info in name server for the topic: T");
        });
        both("fields-of-all-kinds", ResponseCode.SUCCESS, null, () -> null, command -> {
            command.markResponseType();
            command.addExtField("empty", "");
            command.addExtField("escaped", "\"\\\u0001\u0002\n");
            command.addExtField("MSG_REGION", "DefaultRegion");
            command.addExtField("unicode", "\u4e2d\ud83d\ude00");
        });
        both("negative-numbers", ResponseCode.SUCCESS, "PullMessageResponseHeader", () -> {
            PullMessageResponseHeader header = new PullMessageResponseHeader();
            header.setSuggestWhichBrokerId(0L);
            header.setNextBeginOffset(-1L);
            header.setMinOffset(Long.MIN_VALUE);
            header.setMaxOffset(Long.MAX_VALUE);
            return header;
        }, command -> {
            command.markResponseType();
            command.setOpaque(-2);
        });
        // The binary header has 16 bits for a code: pop's codes come back cut.
        both("pop-code", RequestCode.POP_MESSAGE, "PopMessageRequestHeader",
            () -> Filler.fill(PopMessageRequestHeader.class), command -> { });
    }

    private interface Make {
        CommandCustomHeader header() throws Exception;
    }

    private void both(String name, int code, String type, Make make, Consumer<RemotingCommand> change) throws Exception {
        for (SerializeType form : SerializeType.values()) {
            RemotingCommand command = RemotingCommand.createRequestCommand(code, make.header());
            command.setOpaque(opaque++);
            change.accept(command);
            frame(name, type, command, form);
        }
    }

    private void frame(String name, String type, RemotingCommand command, SerializeType form) throws Exception {
        command.setVersion(VERSION);
        if (command.getOpaque() >= 0 && command.getOpaque() < 1000) {
            command.setOpaque(opaque++);
        }
        command.setSerializeTypeCurrentRPC(form);
        byte[] bytes = command.encode().array();
        // Java's decoder is given what stands behind the first length.
        RemotingCommand read = RemotingCommand.decode(ByteBuffer.wrap(bytes, 4, bytes.length - 4).slice());
        vectors.add(name + "/" + form)
            .with("header", type)
            .with("form", form.name())
            .with("hex", bytes)
            .with("code", read.getCode())
            .with("flag", read.getFlag())
            .with("language", read.getLanguage().name())
            .with("opaque", read.getOpaque())
            .with("version", read.getVersion())
            .with("remark", read.getRemark())
            .with("extFields", read.getExtFields() == null ? null : new TreeMap<>(read.getExtFields()))
            .with("body", read.getBody() == null ? new byte[0] : read.getBody());
    }

    @SuppressWarnings("unchecked")
    private static final Class<? extends CommandCustomHeader>[] HEADERS = new Class[] {
        SendMessageRequestHeader.class, SendMessageRequestHeaderV2.class, SendMessageResponseHeader.class,
        PullMessageRequestHeader.class, PullMessageResponseHeader.class, QueryMessageRequestHeader.class,
        QueryMessageResponseHeader.class, ViewMessageRequestHeader.class, ConsumerSendMsgBackRequestHeader.class,
        QueryConsumerOffsetRequestHeader.class, QueryConsumerOffsetResponseHeader.class,
        UpdateConsumerOffsetRequestHeader.class, SearchOffsetRequestHeader.class, SearchOffsetResponseHeader.class,
        GetMaxOffsetRequestHeader.class, GetMaxOffsetResponseHeader.class, GetMinOffsetRequestHeader.class,
        GetMinOffsetResponseHeader.class, GetEarliestMsgStoretimeRequestHeader.class,
        GetEarliestMsgStoretimeResponseHeader.class, UnregisterClientRequestHeader.class,
        GetConsumerListByGroupRequestHeader.class, NotifyConsumerIdsChangedRequestHeader.class,
        CreateTopicRequestHeader.class, DeleteTopicRequestHeader.class, DeleteSubscriptionGroupRequestHeader.class,
        GetAllTopicConfigResponseHeader.class, GetBrokerConfigResponseHeader.class, GetTopicStatsInfoRequestHeader.class,
        GetConsumeStatsRequestHeader.class, GetTopicConfigRequestHeader.class,
        GetSubscriptionGroupConfigRequestHeader.class, GetConsumerConnectionListRequestHeader.class,
        GetProducerConnectionListRequestHeader.class, EndTransactionRequestHeader.class,
        CheckTransactionStateRequestHeader.class, ReplyMessageRequestHeader.class, PopMessageRequestHeader.class,
        RegisterBrokerRequestHeader.class, RegisterBrokerResponseHeader.class, UnRegisterBrokerRequestHeader.class,
        GetRouteInfoRequestHeader.class, WipeWritePermOfBrokerRequestHeader.class,
        WipeWritePermOfBrokerResponseHeader.class, AddWritePermOfBrokerRequestHeader.class,
        AddWritePermOfBrokerResponseHeader.class, DeleteTopicFromNamesrvRequestHeader.class,
        RegisterTopicRequestHeader.class, GetTopicsByClusterRequestHeader.class, PutKVConfigRequestHeader.class,
        GetKVConfigRequestHeader.class, GetKVConfigResponseHeader.class, DeleteKVConfigRequestHeader.class,
        GetKVListByNamespaceRequestHeader.class, QueryDataVersionRequestHeader.class,
        QueryDataVersionResponseHeader.class, BrokerHeartbeatRequestHeader.class,
        GetBrokerMemberGroupRequestHeader.class, NotifyMinBrokerIdChangeRequestHeader.class,
    };
}
