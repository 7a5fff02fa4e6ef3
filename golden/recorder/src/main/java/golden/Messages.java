package golden;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.compression.CompressorFactory;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.store.MessageExtEncoder;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/** Records of the commit log, batches, ids, and what is printed of messages. */
final class Messages {
    private static final String V4 = "10.0.0.7";
    private static final String V6 = "2001:db8::17";

    private final Vectors vectors = new Vectors();

    private Messages() {
    }

    static Vectors record() throws Exception {
        Messages messages = new Messages();
        messages.stored("v1", message("TopicTest", V4, V4), MessageVersion.MESSAGE_VERSION_V1);
        messages.stored("v1-born-ipv6", message("TopicTest", V6, V4), MessageVersion.MESSAGE_VERSION_V1);
        messages.stored("v1-store-ipv6", message("TopicTest", V4, V6), MessageVersion.MESSAGE_VERSION_V1);
        messages.stored("v1-both-ipv6", message("TopicTest", V6, V6), MessageVersion.MESSAGE_VERSION_V1);
        messages.stored("v1-longest-topic", message("T".repeat(127), V4, V4), MessageVersion.MESSAGE_VERSION_V1);
        messages.stored("v2", message("T".repeat(200), V4, V4), MessageVersion.MESSAGE_VERSION_V2);
        messages.stored("v2-ipv6", message("T".repeat(200), V6, V6), MessageVersion.MESSAGE_VERSION_V2);
        MessageExtBrokerInner bare = message("TopicTest", V4, V4);
        bare.setBody(new byte[0]);
        bare.setPropertiesString("");
        messages.stored("no-body-no-properties", bare, MessageVersion.MESSAGE_VERSION_V1);
        MessageExtBrokerInner wide = message("TopicTest", V4, V4);
        wide.setPropertiesString("KEYS\u0001\u4e2d\ud83d\ude00\u0002TAGS\u0001\u00e9\u0002");
        messages.stored("properties-not-ascii", wide, MessageVersion.MESSAGE_VERSION_V1);
        for (CompressionType type : CompressionType.values()) {
            MessageExtBrokerInner squeezed = message("TopicTest", V4, V4);
            byte[] text = "RocketMQ ".repeat(100).getBytes(StandardCharsets.UTF_8);
            squeezed.setBody(CompressorFactory.getCompressor(type).compress(text, 5));
            squeezed.setSysFlag(MessageSysFlag.COMPRESSED_FLAG | type.getCompressionFlag());
            messages.stored("compressed-" + type, squeezed, MessageVersion.MESSAGE_VERSION_V1);
        }
        messages.batch();
        messages.properties();
        messages.ids();
        messages.printed();
        return messages.vectors;
    }

    private static SocketAddress host(String address, int port) {
        return new InetSocketAddress(address, port);
    }

    private static MessageExtBrokerInner message(String topic, String born, String store) {
        MessageExtBrokerInner message = new MessageExtBrokerInner();
        message.setTopic(topic);
        message.setQueueId(3);
        message.setFlag(-5);
        message.setSysFlag(0);
        message.setBornTimestamp(1_700_000_000_123L);
        message.setBornHost(host(born, 51234));
        message.setStoreHost(host(store, 10911));
        message.setReconsumeTimes(2);
        message.setPreparedTransactionOffset(77);
        message.setBody("Hello RocketMQ 0".getBytes(StandardCharsets.UTF_8));
        message.setPropertiesString("KEYS\u0001k1 k2\u0002TAGS\u0001TagA\u0002");
        if (born.equals(V6)) {
            message.setBornHostV6Flag();
        }
        if (store.equals(V6)) {
            message.setStoreHostAddressV6Flag();
        }
        return message;
    }

    /**
     * A record as the store writes it, offsets and store time set as the append does; with what Java's client decodes
     * from it, and that message written again by the client's own encoder.
     */
    private void stored(String name, MessageExtBrokerInner message, MessageVersion version) throws Exception {
        message.setVersion(version);
        message.setBodyCRC(UtilAll.crc32(message.getBody()));
        MessageStoreConfig config = new MessageStoreConfig();
        MessageExtEncoder encoder = new MessageExtEncoder(config);
        if (encoder.encode(message) != null) {
            throw new IllegalStateException(name + " was refused");
        }
        ByteBuffer buffer = encoder.getEncoderBuffer();
        byte[] record = new byte[buffer.getInt(0)];
        buffer.get(record);
        ByteBuffer patch = ByteBuffer.wrap(record);
        patch.putLong(MessageDecoder.QUEUE_OFFSET_POSITION, 42);
        patch.putLong(MessageDecoder.PHY_POS_POSITION, 1_234_567_890_123L);
        boolean isBornV6 = (message.getSysFlag() & MessageSysFlag.BORNHOST_V6_FLAG) != 0;
        patch.putLong(MessageDecoder.SYSFLAG_POSITION + 4 + 8 + (isBornV6 ? 20 : 8), 1_700_000_000_456L);
        MessageExt read = MessageDecoder.decode(ByteBuffer.wrap(record));
        read.setBrokerName("broker-a");
        vectors.add("record/" + name)
            .with("hex", record)
            .with("topic", read.getTopic())
            .with("queueId", read.getQueueId())
            .with("flag", read.getFlag())
            .with("queueOffset", read.getQueueOffset())
            .with("commitLogOffset", read.getCommitLogOffset())
            .with("sysFlag", message.getSysFlag())
            .with("bornTimestamp", read.getBornTimestamp())
            .with("bornHost", address(read.getBornHost()))
            .with("storeTimestamp", read.getStoreTimestamp())
            .with("storeHost", address(read.getStoreHost()))
            .with("reconsumeTimes", read.getReconsumeTimes())
            .with("preparedTransactionOffset", read.getPreparedTransactionOffset())
            .with("bodyCRC", read.getBodyCRC())
            .with("storedBody", message.getBody())
            .with("body", read.getBody() == null ? new byte[0] : read.getBody())
            .with("propertiesString", message.getPropertiesString())
            .with("properties", read.getProperties() == null ? Map.of() : new TreeMap<>(read.getProperties()))
            .with("msgId", read.getMsgId())
            .with("storeSize", read.getStoreSize())
            .with("toString", read.toString());
        if (version == MessageVersion.MESSAGE_VERSION_V1 && name.startsWith("v1")) {
            vectors.add("client-encoded/" + name)
                .with("hex", MessageDecoder.encode(read, false))
                .with("toString", read.toString());
        }
    }

    private static String address(SocketAddress address) {
        InetSocketAddress host = (InetSocketAddress) address;
        String ip = host.getAddress().getHostAddress();
        return (ip.contains(":") ? "[" + ip + "]" : ip) + ":" + host.getPort();
    }

    private void batch() {
        Message first = new Message("TopicTest", "TagA", "k", "first".getBytes(StandardCharsets.UTF_8));
        Message second = new Message("TopicTest", new byte[0]);
        second.setFlag(9);
        Message third = new Message("TopicTest", "third".getBytes(StandardCharsets.UTF_8));
        third.putUserProperty("name", "\u4e2d");
        List<Message> messages = List.of(first, second, third);
        List<Map<String, Object>> parts = messages.stream().map(message -> {
            Map<String, Object> part = new TreeMap<>();
            part.put("flag", message.getFlag());
            part.put("body", message.getBody());
            part.put("properties", MessageDecoder.messageProperties2String(message.getProperties()));
            return part;
        }).toList();
        vectors.add("batch").with("hex", MessageDecoder.encodeMessages(messages)).with("messages", parts);
    }

    private void properties() {
        for (String text : List.of("", "A\u0001b\u0002", "A\u0001b", "A\u0001b\u0002C\u0001d", "A\u0001\u0002B\u0001c\u0002",
            "\u0001b\u0002", "A\u0001b\u0001c\u0002", "\u0002\u0002A\u0001b\u0002", "A\u0002B\u0001c\u0002",
            "A\u0001b\u0002A\u0001c\u0002")) {
            Map<String, String> read = new TreeMap<>(MessageDecoder.string2messageProperties(text));
            vectors.add("properties").with("text", text).with("properties", read)
                .with("written", MessageDecoder.messageProperties2String(read));
        }
    }

    private void ids() throws Exception {
        for (Object[] id : new Object[][] {{V4, 10911, 0L}, {V4, 10911, 1_234_567_890_123L}, {"255.255.255.255", 65535,
            Long.MAX_VALUE}, {V6, 10911, 99L}}) {
            SocketAddress host = host((String) id[0], (Integer) id[1]);
            String text = MessageDecoder.createMessageId(host, (Long) id[2]);
            MessageId read = MessageDecoder.decodeMessageId(text);
            vectors.add("offset-id").with("id", text).with("host", address(read.getAddress()))
                .with("offset", read.getOffset());
        }
        // A made-up process. Java adds the current month to the time in an id, which is taken off again here.
        for (String ip : List.of("0A000007", "20010DB8000000000000000000000017")) {
            String id = ip + "1F90" + "251A69D7" + "215F45FE" + "0001";
            ZonedDateTime time = MessageClientIDSetter.getNearlyTimeFromID(id).toInstant().atZone(ZoneId.systemDefault());
            ZonedDateTime month = time.toLocalDate().withDayOfMonth(1).atStartOfDay(ZoneId.systemDefault());
            vectors.add("unique-id").with("id", id).with("ip", MessageClientIDSetter.getIPStrFromID(id))
                .with("pid", MessageClientIDSetter.getPidFromID(id))
                .with("sinceMonth", Duration.between(month, time).toMillis());
        }
    }

    private void printed() {
        MessageQueue queue = new MessageQueue("TopicTest", "broker-a", 2);
        vectors.add("MessageQueue").with("toString", queue.toString());
        for (SendStatus status : SendStatus.values()) {
            SendResult result = new SendResult(status, "7F0000010F0C251A69D7215F45FE0000",
                "0A00000700002A9F0000011F71FB04CB", queue, 42);
            result.setRegionId("DefaultRegion");
            vectors.add("SendResult").with("status", status.name()).with("toString", result.toString());
        }
    }
}
