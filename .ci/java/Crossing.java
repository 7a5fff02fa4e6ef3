import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Messages between the Java client and others: body, tag, key and one property of each.
 * Usage: Crossing send NAMESRV TOPIC, with a body on each line of stdin; Crossing recv NAMESRV TOPIC GROUP COUNT
 */
public class Crossing {
    private static final long PATIENCE_SECONDS = 90;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("send")) {
            send(args[1], args[2]);
        } else {
            receive(args[1], args[2], args[3], Integer.parseInt(args[4]));
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void send(String namesrv, String topic) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("crossing_java");
        producer.setNamesrvAddr(namesrv);
        producer.setSendMsgTimeout(30_000);
        producer.setMqClientApiTimeout(30_000);
        producer.start();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Message message = new Message(topic, "TagX", "KeyX", line.getBytes(StandardCharsets.UTF_8));
            message.putUserProperty("color", "blue");
            producer.send(message);
        }
        producer.shutdown();
    }

    private static void receive(String namesrv, String topic, String group, int count) throws Exception {
        LinkedBlockingQueue<MessageExt> came = new LinkedBlockingQueue<>();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setMqClientApiTimeout(30_000);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            came.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int left = count; left > 0; left--) {
            MessageExt message = came.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            if (message == null) {
                System.err.println("missing " + left);
                Runtime.getRuntime().halt(1);
            }
            System.out.println(String.join(" ", message.getTags(), message.getKeys(), message.getUserProperty("color"),
                new String(message.getBody(), StandardCharsets.UTF_8)));
        }
        consumer.shutdown();
    }
}
