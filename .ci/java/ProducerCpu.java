import java.lang.management.ManagementFactory;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.LongAdder;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * What a message costs in the process of Java's producer.
 * Usage: java -cp "LIB/*" ProducerCpu.java NAMESRV PRODUCERS DEPTH BODY_BYTES WARMUP_SECONDS SECONDS [shared]
 * With depth 1 each producer is a thread that waits for each answer, otherwise one that keeps DEPTH messages on their way;
 * with "shared" all threads have one producer, and so one connection.
 */
public class ProducerCpu {
    private static final LongAdder acknowledged = new LongAdder();
    private static final LongAdder failed = new LongAdder();
    private static volatile boolean ends = false;

    public static void main(String[] args) throws Exception {
        String namesrv = args[0];
        int producers = Integer.parseInt(args[1]), depth = Integer.parseInt(args[2]);
        byte[] body = new byte[Integer.parseInt(args[3])];
        for (int at = 0; at < body.length; at++) {
            body[at] = (byte) ((at * 2654435761L) >> 13);
        }
        Thread[] threads = new Thread[producers];
        DefaultMQProducer shared = args.length > 6 ? start(namesrv, 0) : null;
        for (int number = 0; number < producers; number++) {
            DefaultMQProducer producer = shared != null ? shared : start(namesrv, number);
            threads[number] = new Thread(() -> run(producer, depth, body));
            threads[number].setDaemon(true);
        }
        for (Thread thread : threads) {
            thread.start();
        }
        Thread.sleep(Long.parseLong(args[4]) * 1000);
        long messagesBefore = acknowledged.sum(), cpuBefore = cpuNanos(), began = System.nanoTime();
        Thread.sleep(Long.parseLong(args[5]) * 1000);
        long messages = acknowledged.sum() - messagesBefore, cpu = cpuNanos() - cpuBefore;
        double seconds = (System.nanoTime() - began) / 1e9;
        System.out.printf("%.0f messages/s, %.2f us of CPU a message, %d failed%n", messages / seconds,
            cpu / 1000.0 / Math.max(1, messages), failed.sum());
        ends = true;
        Runtime.getRuntime().halt(0);
    }

    private static DefaultMQProducer start(String namesrv, int number) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("producer_cpu");
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName("cpu-" + number + "-" + System.nanoTime());
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        return producer;
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static void run(DefaultMQProducer producer, int depth, byte[] body) {
        Semaphore room = new Semaphore(depth);
        while (!ends) {
            try {
                if (depth == 1) {
                    producer.send(new Message("RaptorBench", body));
                    acknowledged.increment();
                    continue;
                }
                room.acquire();
                producer.send(new Message("RaptorBench", body), new SendCallback() {
                    @Override
                    public void onSuccess(SendResult result) {
                        acknowledged.increment();
                        room.release();
                    }

                    @Override
                    public void onException(Throwable reason) {
                        failed.increment();
                        room.release();
                    }
                });
            } catch (Exception reason) {
                failed.increment();
            }
        }
    }
}
