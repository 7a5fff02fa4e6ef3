import java.util.function.BooleanSupplier;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What programs that check something of a cluster have in common: a topic and a group, and lines that say what is so. */
class Cases {
    private static final long PATIENCE_MS = 90_000;
    private static final long LOOK_MS = 100;
    private static int failed = 0;

    private Cases() {
    }

    static DefaultMQAdminExt admin(String namesrv) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(10_000);
        admin.setNamesrvAddr(namesrv);
        admin.start();
        return admin;
    }

    /** Makes a topic of so many queues and a group on a broker. */
    static void create(DefaultMQAdminExt admin, String broker, String topic, int queues, String group) throws Exception {
        admin.createAndUpdateTopicConfig(broker, new TopicConfig(topic, queues, queues, 6));
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(group);
        admin.createAndUpdateSubscriptionGroupConfig(broker, config);
    }

    static DefaultMQProducer producer(String namesrv, String group) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group);
        producer.setNamesrvAddr(namesrv);
        producer.start();
        return producer;
    }

    /** Waits until it is so, and says whether it was. */
    static boolean check(String name, BooleanSupplier isSo) throws InterruptedException {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        boolean passed;
        while (!(passed = isSo.getAsBoolean()) && System.currentTimeMillis() < end) {
            Thread.sleep(LOOK_MS);
        }
        failed += passed ? 0 : 1;
        System.out.println((passed ? "PASS " : "FAIL ") + name);
        return passed;
    }

    /** Ends the program. */
    static void exit() {
        System.exit(failed == 0 ? 0 : 1);
    }
}
