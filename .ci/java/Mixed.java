import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.body.CMResult;
import org.apache.rocketmq.remoting.protocol.body.ConsumeMessageDirectlyResult;
import org.apache.rocketmq.remoting.protocol.body.ConsumerRunningInfo;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Two Java consumers and two of ours in one group: each has the queues that Java's strategy gives it, as it says itself when
 * Java's admin client asks it; nothing is lost when members come and go.
 * Usage: Mixed NAMESRV BROKER RAPTORMQ
 */
public class Mixed {
    private static final int QUEUES = 10;
    private static final int MESSAGES = 200;
    private static final Map<String, AtomicInteger> SEEN = new ConcurrentHashMap<>();

    public static void main(String[] args) throws Exception {
        String namesrv = args[0], broker = args[1], raptormq = args[2];
        String topic = "Mixed" + System.nanoTime(), group = "mixed" + System.nanoTime();
        DefaultMQAdminExt admin = Cases.admin(namesrv);
        Cases.create(admin, broker, topic, QUEUES, group);
        DefaultMQProducer producer = Cases.producer(namesrv, "mixers");
        List<MessageQueue> queues = new ArrayList<>(producer.fetchPublishMessageQueues(topic));
        Collections.sort(queues);

        List<DefaultMQPushConsumer> java = List.of(consumer(namesrv, topic, group, "one"), consumer(namesrv, topic, group, "two"));
        List<Process> ours = new ArrayList<>(List.of(ours(raptormq, namesrv, topic, group), ours(raptormq, namesrv, topic, group)));
        check("shares", () -> areShared(admin, java, queues, topic, group, 4));
        SendResult first = send(producer, topic, queues, 0);
        check("consume", () -> isEach(MESSAGES));
        // What is handled twice while queues move is not counted: only that all come.
        ours.remove(0).destroy();
        send(producer, topic, queues, MESSAGES);
        check("shares-after-leaving", () -> areShared(admin, java, queues, topic, group, 3));
        check("takeover", () -> SEEN.size() == 2 * MESSAGES);
        ours.remove(0).destroyForcibly();
        send(producer, topic, queues, 2 * MESSAGES);
        check("takeover-from-the-killed", () -> SEEN.size() == 3 * MESSAGES);
        ours.add(ours(raptormq, namesrv, topic, group));
        check("shares-again", () -> areShared(admin, java, queues, topic, group, 3));
        SEEN.clear();
        send(producer, topic, queues, 0);
        check("consume-again", () -> isEach(MESSAGES));
        check("directly", () -> consumesDirectly(admin, java, topic, group, first.getOffsetMsgId()));

        ours.forEach(Process::destroy);
        java.forEach(DefaultMQPushConsumer::shutdown);
        producer.shutdown();
        admin.shutdown();
        Cases.exit();
    }

    private static DefaultMQPushConsumer consumer(String namesrv, String topic, String group, String name) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(name);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> count(new String(message.getBody())));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    /** A member of ours that prints what it gets. */
    private static Process ours(String raptormq, String namesrv, String topic, String group) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(raptormq, "recv", topic, "-g", group, "--from", "first", "-n", namesrv);
        Process process = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
        Thread reading = new Thread(() -> {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
                lines.lines().forEach(Mixed::count);
            } catch (Exception e) {
                // The process has ended.
            }
        });
        reading.setDaemon(true);
        reading.start();
        return process;
    }

    private static void count(String body) {
        SEEN.computeIfAbsent(body, key -> new AtomicInteger()).incrementAndGet();
    }

    /** Whether every member has what Java's strategy gives it. */
    private static boolean areShared(DefaultMQAdminExt admin, List<DefaultMQPushConsumer> java, List<MessageQueue> queues,
        String topic, String group, int count) {
        try {
            TreeSet<String> ids = new TreeSet<>();
            admin.examineConsumerConnectionInfo(group).getConnectionSet().forEach(connection -> ids.add(connection.getClientId()));
            List<String> members = new ArrayList<>(ids);
            if (members.size() != count) {
                return false;
            }
            for (String member : members) {
                Set<MessageQueue> share = new HashSet<>(new AllocateMessageQueueAveragely().allocate(group, member, queues, members));
                ConsumerRunningInfo info = admin.getConsumerRunningInfo(group, member, false);
                Set<MessageQueue> held = new HashSet<>();
                info.getMqTable().keySet().stream().filter(queue -> queue.getTopic().equals(topic)).forEach(held::add);
                if (!held.equals(share)) {
                    return false;
                }
            }
            return true;
        } catch (Exception e) {
            return false;
        }
    }

    /** Whether the members that are not Java's consume a message that an administrator hands them. */
    private static boolean consumesDirectly(DefaultMQAdminExt admin, List<DefaultMQPushConsumer> java, String topic, String group,
        String id) {
        try {
            Set<String> javas = new HashSet<>();
            java.forEach(one -> javas.add(one.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId()));
            for (var connection : admin.examineConsumerConnectionInfo(group).getConnectionSet()) {
                if (!javas.contains(connection.getClientId())) {
                    ConsumeMessageDirectlyResult result =
                        admin.consumeMessageDirectly(group, connection.getClientId(), topic, id);
                    if (result.getConsumeResult() != CMResult.CR_SUCCESS) {
                        return false;
                    }
                }
            }
            return true;
        } catch (Exception e) {
            return false;
        }
    }

    private static SendResult send(DefaultMQProducer producer, String topic, List<MessageQueue> queues, int from) throws Exception {
        SendResult first = null;
        for (int number = from; number < from + MESSAGES; number++) {
            Message message = new Message(topic, ("message " + number).getBytes());
            SendResult result = producer.send(message, queues.get(number % queues.size()));
            first = first == null ? result : first;
        }
        return first;
    }

    private static boolean isEach(int messages) {
        return SEEN.size() == messages && SEEN.values().stream().allMatch(count -> count.get() == 1);
    }

    private static void check(String name, BooleanSupplier isSo) throws InterruptedException {
        if (!Cases.check(name, isSo)) {
            System.out.println("  seen " + SEEN.size() + ", more than once " + SEEN.entrySet().stream()
                .filter(entry -> entry.getValue().get() > 1).count());
        }
    }
}
