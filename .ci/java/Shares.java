import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Java consumers that let the broker share out the queues, and whose offsets are set through them and on the broker.
 * Usage: Shares NAMESRV BROKER
 */
public class Shares {
    private static final int QUEUES = 6;
    private static final int MESSAGES = 60;

    public static void main(String[] args) throws Exception {
        String namesrv = args[0], broker = args[1];
        String topic = "Shares" + System.nanoTime(), group = "sharing" + System.nanoTime();
        DefaultMQAdminExt admin = Cases.admin(namesrv);
        Cases.create(admin, broker, topic, QUEUES, group);
        DefaultMQProducer producer = Cases.producer(namesrv, "sharers");

        Map<String, AtomicInteger> seen = new ConcurrentHashMap<>();
        DefaultMQPushConsumer one = consumer(namesrv, topic, group, "one", seen);
        DefaultMQPushConsumer two = consumer(namesrv, topic, group, "two", seen);
        Cases.check("share", () -> queues(one, topic).size() == QUEUES / 2 && queues(two, topic).size() == QUEUES / 2
            && both(one, two, topic).size() == QUEUES);
        send(producer, topic, 0);
        Cases.check("consume", () -> isEach(seen, MESSAGES, 1));
        two.shutdown();
        Cases.check("takeover", () -> queues(one, topic).size() == QUEUES);
        send(producer, topic, MESSAGES);
        Cases.check("goon", () -> isEach(seen, 2 * MESSAGES, 1));

        String client = one.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        Cases.check("status", () -> holds(admin, topic, group, client, 2 * MESSAGES));
        set(admin, broker, "useServerSideResetOffset", "false");
        admin.resetOffsetByTimestamp(topic, group, 0, true);
        Cases.check("reset-by-clients", () -> isEach(seen, 2 * MESSAGES, 2));
        Cases.check("status-again", () -> holds(admin, topic, group, client, 2 * MESSAGES));
        set(admin, broker, "useServerSideResetOffset", "true");
        admin.resetOffsetByTimestamp(topic, group, 0, true);
        Cases.check("reset-by-broker", () -> isEach(seen, 2 * MESSAGES, 3));
        one.shutdown();
        producer.shutdown();
        admin.shutdown();
        Cases.exit();
    }

    private static DefaultMQPushConsumer consumer(String namesrv, String topic, String group, String name,
        Map<String, AtomicInteger> seen) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(name);
        consumer.setClientRebalance(false);
        consumer.setAllocateMessageQueueStrategy(new AllocateMessageQueueAveragelyByCircle());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> seen.computeIfAbsent(new String(message.getBody()), key -> new AtomicInteger())
                .incrementAndGet());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private static Set<MessageQueue> queues(DefaultMQPushConsumer consumer, String topic) {
        Set<MessageQueue> queues = new HashSet<>();
        for (MessageQueue queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(topic)) {
                queues.add(queue);
            }
        }
        return queues;
    }

    private static Collection<MessageQueue> both(DefaultMQPushConsumer one, DefaultMQPushConsumer two, String topic) {
        Set<MessageQueue> both = queues(one, topic);
        both.addAll(queues(two, topic));
        return both;
    }

    private static void send(DefaultMQProducer producer, String topic, int from) throws Exception {
        List<MessageQueue> queues = new ArrayList<>(producer.fetchPublishMessageQueues(topic));
        for (int number = from; number < from + MESSAGES; number++) {
            producer.send(new Message(topic, ("message " + number).getBytes()), queues.get(number % queues.size()));
        }
    }

    private static boolean isEach(Map<String, AtomicInteger> seen, int messages, int times) {
        return seen.size() == messages && seen.values().stream().allMatch(count -> count.get() == times);
    }

    /** Whether the client says that it has consumed so many messages. */
    private static boolean holds(DefaultMQAdminExt admin, String topic, String group, String client, int messages) {
        try {
            Map<MessageQueue, Long> offsets = admin.getConsumeStatus(topic, group, client).get(client);
            return offsets != null && offsets.values().stream().mapToLong(Long::longValue).sum() == messages;
        } catch (Exception e) {
            return false;
        }
    }

    private static void set(DefaultMQAdminExt admin, String broker, String key, String value) throws Exception {
        Properties properties = new Properties();
        properties.put(key, value);
        admin.updateBrokerConfig(broker, properties);
    }
}
