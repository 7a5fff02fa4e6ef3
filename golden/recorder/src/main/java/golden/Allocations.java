package golden;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMachineRoomNearby;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByConfig;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByMachineRoom;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.message.MessageQueue;

/** Which queues each member of a group gets, by each of the client's strategies. A queue is written {@code broker/id}. */
final class Allocations {
    private static final String TOPIC = "TopicTest";

    private Allocations() {
    }

    static Vectors record() {
        Vectors vectors = new Vectors();
        int[] queueCounts = {1, 2, 3, 4, 7, 8, 16};
        for (int brokers = 1; brokers <= 3; brokers++) {
            for (int queues : queueCounts) {
                for (int members = 1; members <= 5; members++) {
                    each(vectors, new AllocateMessageQueueAveragely(), queues("broker-", brokers, queues), members("", members));
                    each(vectors, new AllocateMessageQueueAveragelyByCircle(), queues("broker-", brokers, queues), members("", members));
                }
            }
        }
        for (int nodes : new int[] {1, 10, 50}) {
            for (int members = 1; members <= 6; members++) {
                each(vectors, new AllocateMessageQueueConsistentHash(nodes), queues("broker-", 2, 8), members("", members), "virtualNodes", nodes);
            }
        }
        AllocateMessageQueueByConfig config = new AllocateMessageQueueByConfig();
        config.setMessageQueueList(List.of(new MessageQueue(TOPIC, "broker-0", 3), new MessageQueue(TOPIC, "broker-1", 0)));
        each(vectors, config, queues("broker-", 2, 4), members("", 2), "config", names(config.getMessageQueueList()));
        rooms(vectors);
        return vectors;
    }

    /** Brokers {@code r0@b-0}, {@code r1@b-1}, …; members {@code r0-…}, so that both name their room first. */
    private static void rooms(Vectors vectors) {
        for (Set<String> rooms : List.of(Set.of("r0"), new TreeSet<>(Set.of("r0", "r2")), Set.of("none"))) {
            for (int members = 1; members <= 5; members++) {
                AllocateMessageQueueByMachineRoom strategy = new AllocateMessageQueueByMachineRoom();
                strategy.setConsumeridcs(rooms);
                each(vectors, strategy, roomQueues(4, 5), members("", members), "rooms", rooms);
            }
        }
        AllocateMachineRoomNearby nearby = new AllocateMachineRoomNearby(new AllocateMessageQueueAveragely(),
            new AllocateMachineRoomNearby.MachineRoomResolver() {
                @Override
                public String brokerDeployIn(MessageQueue queue) {
                    return queue.getBrokerName().split("@")[0];
                }

                @Override
                public String consumerDeployIn(String client) {
                    return client.split("-")[0];
                }
            });
        for (int brokers = 1; brokers <= 4; brokers++) {
            for (int members = 1; members <= 6; members++) {
                List<String> spread = new ArrayList<>();
                for (int i = 0; i < members; i++) {
                    spread.add("r" + i % 3 + "-10.0.0." + i + "@" + (100 + i));
                }
                Collections.sort(spread);
                each(vectors, nearby, roomQueues(brokers, 5), spread, "base", "AVG");
            }
        }
    }

    private static void each(Vectors vectors, AllocateMessageQueueStrategy strategy, List<MessageQueue> queues, List<String> members,
        Object... more) {
        for (String me : members) {
            // Nearby calls itself after the strategy that it uses.
            String name = strategy instanceof AllocateMachineRoomNearby ? "MACHINE_ROOM_NEARBY" : strategy.getName();
            Vectors.Vector vector = vectors.add(name);
            for (int i = 0; i < more.length; i += 2) {
                vector.with((String) more[i], more[i + 1]);
            }
            vector.with("queues", names(queues)).with("members", members).with("me", me);
            vector.with("share", names(strategy.allocate("group", me, queues, members)));
        }
    }

    private static List<String> names(List<MessageQueue> queues) {
        return queues.stream().map(queue -> queue.getBrokerName() + "/" + queue.getQueueId()).toList();
    }

    private static List<String> members(String prefix, int count) {
        List<String> members = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            members.add(prefix + "192.168.1." + (10 + i) + "@" + (4711 * (i + 1)) + "#" + (987_654_321_000L + i));
        }
        Collections.sort(members);
        return members;
    }

    private static List<MessageQueue> queues(String prefix, int brokers, int each) {
        List<MessageQueue> queues = new ArrayList<>();
        for (int broker = 0; broker < brokers; broker++) {
            for (int id = 0; id < each; id++) {
                queues.add(new MessageQueue(TOPIC, prefix + broker, id));
            }
        }
        Collections.sort(queues);
        return queues;
    }

    private static List<MessageQueue> roomQueues(int brokers, int each) {
        List<MessageQueue> queues = new ArrayList<>();
        for (int broker = 0; broker < brokers; broker++) {
            for (int id = 0; id < each; id++) {
                queues.add(new MessageQueue(TOPIC, "r" + broker + "@b-" + broker, id));
            }
        }
        Collections.sort(queues);
        return queues;
    }
}
