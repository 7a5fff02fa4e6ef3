import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.LongAdder;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/**
 * What a message costs in the process of Java's consumer: a new group consumes a topic from its first message on.
 * Usage: java -cp "LIB/*" ConsumerCpu.java NAMESRV TOPIC CONSUMERS WARMUP_SECONDS SECONDS
 * The warm-up begins with the first message; the measuring ends early with the messages.
 */
public class ConsumerCpu {
    private static final long PATIENCE_MS = 90_000;
    private static final LongAdder consumed = new LongAdder();

    public static void main(String[] args) throws Exception {
        String group = "consumer_cpu_" + System.nanoTime();
        for (int number = 0; number < Integer.parseInt(args[2]); number++) {
            start(args[0], args[1], group, number);
        }
        for (long end = System.currentTimeMillis() + PATIENCE_MS; consumed.sum() == 0; Thread.sleep(10)) {
            if (System.currentTimeMillis() > end) {
                System.err.println("no message came");
                Runtime.getRuntime().halt(1);
            }
        }
        Thread.sleep(Long.parseLong(args[3]) * 1000);
        long before = consumed.sum(), last = before, cpuBefore = cpuNanos(), cpu = 0;
        int seconds = 0;
        while (seconds < Integer.parseInt(args[4])) {
            Thread.sleep(1000);
            long now = consumed.sum();
            if (now == last) {
                break;
            }
            last = now;
            cpu = cpuNanos() - cpuBefore;
            seconds++;
        }
        System.out.printf("%.0f messages/s, %.2f us of CPU a message, %d seconds%n", (last - before) / (double) Math.max(1, seconds),
            cpu / 1000.0 / Math.max(1, last - before), seconds);
        Runtime.getRuntime().halt(0);
    }

    private static void start(String namesrv, String topic, String group, int number) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName("cpu-" + number + "-" + System.nanoTime());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            consumed.add(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }
}
