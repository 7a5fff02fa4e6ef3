import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.RPCHook;

/**
 * A Java producer and push consumer that sign with the credentials of an account; -Dtls.enable=true encrypts.
 * Arguments: name server, access key, secret, topic, group, and what the broker is expected to do: serve or refuse.
 */
public class Secured {
    static final int COUNT = 20;

    public static void main(String[] args) throws Exception {
        boolean isServed = args[5].equals("serve");
        RPCHook hook = new AclClientRPCHook(new SessionCredentials(args[1], args[2]));
        DefaultMQProducer producer = new DefaultMQProducer("producers-of-" + args[4], hook);
        producer.setNamesrvAddr(args[0]);
        producer.setRetryTimesWhenSendFailed(0);
        producer.setSendMsgTimeout(20000);
        producer.start();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(args[4], hook, new AllocateMessageQueueAveragely());
        Set<String> missing = ConcurrentHashMap.newKeySet();
        CountDownLatch left = new CountDownLatch(COUNT);
        consumer.setNamesrvAddr(args[0]);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(args[3], "*");
        consumer.registerMessageListener(
            (org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently) (messages, context) -> {
                messages.forEach(message -> {
                    if (missing.remove(new String(message.getBody()))) left.countDown();
                });
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        String outcome;
        try {
            for (int at = 0; at < COUNT; at++) {
                missing.add("body " + at);
                producer.send(new Message(args[3], "TagA", ("body " + at).getBytes()));
            }
            consumer.start();
            outcome = left.await(60, TimeUnit.SECONDS) ? "serve" : "lost " + missing;
        } catch (Exception error) {
            StringBuilder causes = new StringBuilder();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) causes.append(cause).append(' ');
            outcome = causes.toString();
        }
        boolean isRefused = outcome.contains("org.apache.rocketmq.acl.common.AclException") || outcome.contains("Remoting");
        boolean isRight = isServed ? outcome.equals("serve") : isRefused;
        System.out.println((isRight ? "PASS " : "FAIL ") + outcome.replace('\n', ' '));
        System.exit(isRight ? 0 : 1);
    }
}
