import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Delayed messages through all brokers of a cluster, whose topic is there before: each comes once, from the broker that
 * has it, when it is due.
 * Usage: Delays NAMESRV BROKER...
 */
public class Delays {
    private static final int MESSAGES = 32;
    private static final int LEVEL = 2;
    private static final long DELAY_MS = 5_000, LATE_MS = 3_000;

    public static void main(String[] args) throws Exception {
        String topic = "Delays" + System.nanoTime(), group = "delays" + System.nanoTime();
        DefaultMQAdminExt admin = Cases.admin(args[0]);
        for (int broker = 1; broker < args.length; broker++) {
            Cases.create(admin, args[broker], topic, 4, group);
        }
        Cases.check("delays-route", () -> {
            try {
                return admin.examineTopicRouteInfo(topic).getQueueDatas().size() == args.length - 1;
            } catch (Exception absent) {
                return false;
            }
        });
        Map<String, Long> came = new ConcurrentHashMap<>();
        Set<String> twice = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(args[0]);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> {
                if (came.put(message.getKeys(), System.currentTimeMillis()) != null) {
                    twice.add(message.getKeys());
                }
            });
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        DefaultMQProducer producer = Cases.producer(args[0], "delays");
        // The consumer reads from each queue before anything is due.
        producer.send(new Message(topic, "", "warm", "warm".getBytes()));
        Cases.check("delays-consumer", () -> came.containsKey("warm"));
        Map<String, Long> sent = new ConcurrentHashMap<>();
        Set<String> brokers = new HashSet<>();
        for (int number = 0; number < MESSAGES; number++) {
            Message message = new Message(topic, "", "key" + number, ("body " + number).getBytes());
            message.setDelayTimeLevel(LEVEL);
            sent.put("key" + number, System.currentTimeMillis());
            brokers.add(producer.send(message).getMessageQueue().getBrokerName());
        }
        Cases.check("delays-brokers", () -> brokers.size() == args.length - 1);
        Cases.check("delays-once", () -> came.size() == MESSAGES + 1 && twice.isEmpty());
        Cases.check("delays-in-time", () -> sent.entrySet().stream().allMatch(one -> {
            long after = came.getOrDefault(one.getKey(), 0L) - one.getValue();
            boolean isDue = after >= DELAY_MS - 10 && after < DELAY_MS + LATE_MS;
            if (!isDue) {
                System.out.println("  " + one.getKey() + " after " + after + " ms");
            }
            return isDue;
        }));
        producer.shutdown();
        consumer.shutdown();
        admin.shutdown();
        Cases.exit();
    }
}
