package golden;

import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.stream.Stream;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageExtBatch;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.GetMessageResult;
import org.apache.rocketmq.store.PutMessageResult;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.queue.ConsumeQueueInterface;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/**
 * Folders of the original's store: what it writes, file by file, and what it reads from any folder. Also a program, for
 * tests in which both implementations use one folder: {@code write KIND FOLDER}, {@code dump KIND FOLDER}.
 */
final class Stores {
    /** A store with each of these has what the others have besides. */
    private static final List<String> KINDS = List.of("batch", "ext", "light", "crc");
    private static final InetSocketAddress V4 = new InetSocketAddress("127.0.0.1", 10911);
    private static final InetSocketAddress V6 = new InetSocketAddress("2001:db8::7", 10911);
    private static final String LONG_TOPIC = "%RETRY%" + "g".repeat(200);

    static Vectors record() throws Exception {
        Vectors vectors = new Vectors();
        for (String kind : KINDS) {
            Path folder = Files.createTempDirectory("store-" + kind);
            write(kind, folder);
            Vectors.Vector vector = vectors.add(kind);
            Map<String, Object> files = new TreeMap<>();
            try (Stream<Path> paths = Files.walk(folder)) {
                for (Path path : paths.filter(Files::isRegularFile).toList()) {
                    String name = folder.relativize(path).toString();
                    if (!name.equals("lock")) {
                        files.put(name, trimmed(Files.readAllBytes(path)));
                    }
                }
            }
            vector.with("files", files).with("messages", dump(kind, folder));
        }
        return vectors;
    }

    /** Length, and the bytes without the zeros at the end. */
    private static Map<String, Object> trimmed(byte[] bytes) {
        int used = bytes.length;
        while (used > 0 && bytes[used - 1] == 0) {
            used--;
        }
        Map<String, Object> file = new TreeMap<>();
        file.put("length", bytes.length);
        file.put("hex", Vectors.hex(java.util.Arrays.copyOf(bytes, used)));
        return file;
    }

    private static DefaultMessageStore open(String kind, Path folder) throws Exception {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(folder.toString());
        config.setStorePathCommitLog(folder.resolve("commitlog").toString());
        config.setMappedFileSizeCommitLog(8192);
        config.setMappedFileSizeConsumeQueue(20 * 20);
        config.setMapperFileSizeBatchConsumeQueue(46 * 5);
        config.setMappedFileSizeConsumeQueueExt(128);
        config.setMaxHashSlotNum(16);
        config.setMaxIndexNum(1024);
        config.setMaxMessageSize(4096);
        config.setHaListenPort(0);
        config.setEnableConsumeQueueExt(kind.equals("ext"));
        config.setEnableLmq(kind.equals("light"));
        config.setEnableMultiDispatch(kind.equals("light"));
        config.setEnabledAppendPropCRC(kind.equals("crc"));
        config.setForceVerifyPropCRC(kind.equals("crc"));
        config.setTimerWheelEnable(false);
        config.setEnableCompaction(false);
        config.setMaxTransferCountOnMessageInMemory(1000);
        config.setMaxTransferCountOnMessageInDisk(1000);
        ConcurrentMap<String, TopicConfig> topics = new ConcurrentHashMap<>();
        TopicConfig batch = new TopicConfig("Batch");
        batch.getAttributes().put("queue.type", "BatchCQ");
        topics.put("Batch", batch);
        DefaultMessageStore store = new DefaultMessageStore(config, new BrokerStatsManager("golden", true),
            (topic, queueId, offset, tagsCode, time, bitMap, properties) -> { }, new BrokerConfig(), topics);
        if (!store.load()) {
            throw new IllegalStateException("the store does not load");
        }
        store.start();
        return store;
    }

    static void write(String kind, Path folder) throws Exception {
        DefaultMessageStore store = open(kind, folder);
        for (int number = 0; number < 30; number++) {
            InetSocketAddress host = kind.equals("crc") && number % 2 == 1 ? V6 : V4;
            MessageExtBrokerInner message = message("Plain", number % 2, "plain " + number, host);
            message.setKeys("key" + number);
            message.setTags("Tag" + number % 3);
            if (kind.equals("light") && number % 3 > 0) {
                String queues = number % 3 == 1 ? "%LMQ%one" : "%LMQ%one,%LMQ%two";
                MessageAccessor.putProperty(message, MessageConst.PROPERTY_INNER_MULTI_DISPATCH, queues);
            }
            put(store, message);
            if (kind.equals("batch")) {
                put(store, innerBatch(number % 4 + 1, number));
            }
        }
        put(store, message(LONG_TOPIC, 0, "a long topic", V4));
        while (store.dispatchBehindBytes() > 0) {
            Thread.sleep(10);
        }
        store.shutdown();
    }

    private static MessageExtBrokerInner message(String topic, int queueId, String body, InetSocketAddress host) {
        MessageExtBrokerInner message = new MessageExtBrokerInner();
        message.setTopic(topic);
        message.setQueueId(queueId);
        message.setBody(body.getBytes(StandardCharsets.UTF_8));
        message.setFlag(7);
        MessageAccessor.setProperties(message, new HashMap<>());
        message.setBornTimestamp(1_700_000_000_000L);
        message.setBornHost(host);
        message.setStoreHost(host);
        return message;
    }

    /** What the broker makes of a batch to a topic with batch queues. */
    private static MessageExtBatch innerBatch(int count, int number) {
        List<Message> inner = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            inner.add(new Message("Batch", ("batch " + number + "." + i).getBytes(StandardCharsets.UTF_8)));
        }
        MessageExtBatch batch = new MessageExtBatch();
        batch.setTopic("Batch");
        batch.setQueueId(0);
        batch.setBody(MessageDecoder.encodeMessages(inner));
        batch.setBornTimestamp(1_700_000_000_000L);
        batch.setBornHost(V4);
        batch.setStoreHost(V4);
        batch.setSysFlag(MessageSysFlag.NEED_UNWRAP_FLAG | MessageSysFlag.INNER_BATCH_FLAG);
        batch.setTags("Tag" + number % 3);
        MessageAccessor.putProperty(batch, MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, "uniq" + number);
        MessageAccessor.putProperty(batch, MessageConst.PROPERTY_INNER_NUM, String.valueOf(count));
        batch.setInnerBatch(true);
        return batch;
    }

    private static void put(DefaultMessageStore store, MessageExtBrokerInner message) {
        message.setPropertiesString(MessageDecoder.messageProperties2String(message.getProperties()));
        PutMessageResult result = store.putMessage(message);
        if (!result.isOk()) {
            throw new IllegalStateException(message.getTopic() + ": " + result.getPutMessageStatus());
        }
    }

    /** Every message that can be read, a line for each: by topic, queue and offset. */
    static List<String> dump(String kind, Path folder) throws Exception {
        DefaultMessageStore store = open(kind, folder);
        Map<String, List<String>> queues = new TreeMap<>();
        for (Map.Entry<String, ConcurrentMap<Integer, ConsumeQueueInterface>> topic : store.getConsumeQueueTable().entrySet()) {
            for (ConsumeQueueInterface queue : new TreeMap<>(topic.getValue()).values()) {
                if (queue.getMaxOffsetInQueue() > 0) {
                    queues.put(topic.getKey() + " " + queue.getQueueId(), dump(store, queue));
                }
            }
        }
        store.shutdown();
        List<String> lines = new ArrayList<>();
        queues.values().forEach(lines::addAll);
        return lines;
    }

    private static List<String> dump(DefaultMessageStore store, ConsumeQueueInterface queue) {
        List<String> lines = new ArrayList<>();
        String head = queue.getTopic() + " " + queue.getQueueId() + " ";
        lines.add(head + "from " + Math.max(queue.getMinOffsetInQueue(), 0) + " to " + queue.getMaxOffsetInQueue());
        long offset = Math.max(queue.getMinOffsetInQueue(), 0);
        while (offset < queue.getMaxOffsetInQueue()) {
            GetMessageResult result = store.getMessage("golden", queue.getTopic(), queue.getQueueId(), offset, 1000, null);
            List<ByteBuffer> buffers = result.getMessageBufferList();
            for (int i = 0; i < buffers.size(); i++) {
                MessageExt message = MessageDecoder.decode(buffers.get(i).slice(), true, false);
                lines.add(head + result.getMessageQueueOffset().get(i) + " " + line(message));
            }
            offset = Math.max(result.getNextBeginOffset(), offset + 1);
            result.release();
        }
        return lines;
    }

    private static String line(MessageExt message) {
        StringBuilder line = new StringBuilder();
        line.append(message.getTopic()).append(' ').append(message.getQueueId()).append(' ').append(message.getQueueOffset());
        line.append(' ').append(message.getCommitLogOffset()).append(' ').append(message.getStoreSize());
        line.append(' ').append(message.getFlag()).append(' ').append(message.getSysFlag());
        line.append(' ').append(message.getBornTimestamp()).append(' ').append(message.getStoreTimestamp());
        line.append(' ').append(Vectors.hex(((InetSocketAddress) message.getBornHost()).getAddress().getAddress()));
        line.append(' ').append(Vectors.hex(((InetSocketAddress) message.getStoreHost()).getAddress().getAddress()));
        line.append(' ').append(Vectors.hex(message.getBody()));
        new TreeMap<>(properties(message)).forEach((name, value) -> line.append(' ').append(name).append('=').append(value.replace(' ', '_')));
        return line.toString();
    }

    private static Map<String, String> properties(MessageExt message) {
        return message.getProperties() == null ? Map.of() : message.getProperties();
    }

    public static void main(String[] args) throws Exception {
        int status = 0;
        try {
            Path folder = Path.of(args[2]);
            switch (args[0]) {
                case "write" -> write(args[1], folder);
                case "dump" -> dump(args[1], folder).forEach(System.out::println);
                default -> throw new IllegalArgumentException(args[0]);
            }
        } catch (Exception e) {
            e.printStackTrace();
            status = 1;
        }
        // Some of Java's threads are no daemons.
        System.exit(status);
    }
}
