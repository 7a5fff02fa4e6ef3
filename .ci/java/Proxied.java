import apache.rocketmq.v2.Code;
import apache.rocketmq.v2.Encoding;
import apache.rocketmq.v2.MessageType;
import apache.rocketmq.v2.MessagingServiceGrpc;
import apache.rocketmq.v2.QueryRouteRequest;
import apache.rocketmq.v2.Resource;
import apache.rocketmq.v2.SendMessageRequest;
import apache.rocketmq.v2.SendMessageResponse;
import apache.rocketmq.v2.SystemProperties;
import com.google.protobuf.ByteString;
import com.google.protobuf.util.Timestamps;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Messages that are sent to a proxy over gRPC, and consumed through its remoting port: routes, tags, keys and ids are those
 * of the broker behind it.
 * Usage: Proxied NAMESRV BROKER PROXY_HOST GRPC_PORT REMOTING_PORT
 */
public class Proxied {
    private static final int MESSAGES = 30;

    public static void main(String[] args) throws Exception {
        String topic = "Proxied" + System.nanoTime(), group = "proxied" + System.nanoTime();
        DefaultMQAdminExt admin = Cases.admin(args[0]);
        Cases.create(admin, args[1], topic, 4, group);
        int port = Integer.parseInt(args[3]);
        ManagedChannel channel = NettyChannelBuilder.forAddress(args[2], port).usePlaintext().build();
        Metadata headers = new Metadata();
        Map.of("x-mq-client-id", "proxied", "x-mq-language", "JAVA", "x-mq-protocol", "v2", "x-mq-client-version", "5.0.7")
            .forEach((key, value) -> headers.put(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER), value));
        MessagingServiceGrpc.MessagingServiceBlockingStub stub =
            MessagingServiceGrpc.newBlockingStub(channel).withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
        Resource resource = Resource.newBuilder().setName(topic).build();
        Cases.check("grpc-route", () -> stub.queryRoute(QueryRouteRequest.newBuilder().setTopic(resource).setEndpoints(
            apache.rocketmq.v2.Endpoints.newBuilder().setScheme(apache.rocketmq.v2.AddressScheme.IPv4).addAddresses(
                apache.rocketmq.v2.Address.newBuilder().setHost(args[2]).setPort(port))).build()).getMessageQueuesCount() == 4);

        Map<String, String> sent = new ConcurrentHashMap<>();
        Cases.check("grpc-send", () -> {
            for (int number = sent.size(); number < MESSAGES; number++) {
                SendMessageResponse answer = stub.sendMessage(SendMessageRequest.newBuilder().addMessages(message(resource, number)).build());
                if (answer.getStatus().getCode() != Code.OK) {
                    System.out.println("  " + answer.getStatus());
                    return false;
                }
                sent.put("body " + number, answer.getEntries(0).getMessageId());
            }
            return true;
        });

        Map<String, String> seen = new ConcurrentHashMap<>();
        Set<String> twice = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(args[2] + ":" + args[4]);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "even");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> {
                String body = new String(message.getBody());
                if (seen.put(body, message.getMsgId() + message.getKeys()) != null) {
                    twice.add(body);
                }
            });
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Cases.check("grpc-to-remoting", () -> seen.size() == MESSAGES / 2 && twice.isEmpty() && seen.entrySet().stream()
            .allMatch(one -> one.getValue().equals(sent.get(one.getKey()) + "key-" + one.getKey())));
        consumer.shutdown();
        channel.shutdownNow();
        admin.shutdown();
        Cases.exit();
    }

    private static apache.rocketmq.v2.Message message(Resource topic, int number) {
        String body = "body " + number;
        SystemProperties properties = SystemProperties.newBuilder().setTag(number % 2 == 0 ? "even" : "odd")
            .addKeys("key-" + body).setMessageId(String.format("01%032X", number + 1)).setMessageType(MessageType.NORMAL)
            .setBodyEncoding(Encoding.IDENTITY).setBornHost("here").setQueueId(number % 4)
            .setBornTimestamp(Timestamps.fromMillis(System.currentTimeMillis())).build();
        return apache.rocketmq.v2.Message.newBuilder().setTopic(topic).setSystemProperties(properties)
            .setBody(ByteString.copyFromUtf8(body)).build();
    }
}
