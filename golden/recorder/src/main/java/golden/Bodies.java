package golden;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.serializer.SerializerFeature;
import java.util.ArrayList;
import java.util.List;
import java.util.HashMap;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageQueueAssignment;
import org.apache.rocketmq.remoting.protocol.DataVersion;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.admin.*;
import org.apache.rocketmq.remoting.protocol.body.*;
import org.apache.rocketmq.remoting.protocol.header.GetConsumerListByGroupResponseBody;
import org.apache.rocketmq.remoting.protocol.heartbeat.*;
import org.apache.rocketmq.remoting.protocol.route.*;
import org.apache.rocketmq.remoting.protocol.statictopic.*;
import org.apache.rocketmq.remoting.protocol.subscription.*;

/** Bodies as Java writes them in answers, for strict readers, and in files. */
final class Bodies {
    private static final Class<?>[] BODIES = {
        TopicConfig.class, DataVersion.class, TopicConfigSerializeWrapper.class,
        TopicConfigAndMappingSerializeWrapper.class, RegisterBrokerBody.class, TopicConfigAndQueueMapping.class,
        CreateTopicListRequestBody.class, TopicList.class, KVTable.class, BrokerMemberGroup.class,
        GetBrokerMemberGroupResponseBody.class, SubscriptionGroupConfig.class, SubscriptionGroupWrapper.class,
        SubscriptionGroupList.class, GroupRetryPolicy.class, CustomizedRetryPolicy.class, ExponentialRetryPolicy.class,
        SimpleSubscriptionData.class, GroupForbidden.class, GroupList.class, HeartbeatData.class, ProducerData.class,
        ConsumerData.class, SubscriptionData.class, TopicRouteData.class, BrokerData.class, QueueData.class,
        ClusterInfo.class, TopicQueueMappingInfo.class, TopicQueueMappingDetail.class, LogicQueueMappingItem.class,
        MessageQueue.class, LockBatchRequestBody.class, LockBatchResponseBody.class, UnlockBatchRequestBody.class,
        QueryAssignmentRequestBody.class, QueryAssignmentResponseBody.class, MessageQueueAssignment.class,
        SetMessageRequestModeRequestBody.class, MessageRequestModeSerializeWrapper.class,
        ConsumerOffsetSerializeWrapper.class, QueryCorrectionOffsetBody.class, TopicStatsTable.class, TopicOffset.class,
        ConsumeStats.class, OffsetWrapper.class, ConsumeStatsList.class, ResetOffsetBody.class,
        ResetOffsetBodyForC.class, GetConsumerStatusBody.class, GetConsumerListByGroupResponseBody.class,
        CheckClientRequestBody.class, Connection.class, ConsumerConnection.class, ProducerConnection.class,
        ProducerTableInfo.class, ProducerInfo.class, QuerySubscriptionResponseBody.class, ConsumerRunningInfo.class,
        ProcessQueueInfo.class, PopProcessQueueInfo.class, ConsumeStatus.class, ConsumeMessageDirectlyResult.class,
        BrokerStatsData.class, BrokerStatsItem.class, QueryConsumeTimeSpanBody.class, QueueTimeSpan.class,
        QueryConsumeQueueResponseBody.class, ConsumeQueueData.class,
    };

    private Bodies() {
    }

    static Vectors record() throws Exception {
        Vectors vectors = new Vectors();
        for (Class<?> type : BODIES) {
            texts(vectors, type.getSimpleName(), type, Filler.fill(type));
        }
        texts(vectors, "TopicRouteData-of-two-brokers", TopicRouteData.class, route());
        texts(vectors, "TopicRouteData-empty", TopicRouteData.class, new TopicRouteData());
        texts(vectors, "TopicConfig-default", TopicConfig.class, new TopicConfig("T"));
        SubscriptionGroupConfig group = new SubscriptionGroupConfig();
        group.setGroupName("g");
        texts(vectors, "SubscriptionGroupConfig-default", SubscriptionGroupConfig.class, group);
        texts(vectors, "ConsumerOffsetSerializeWrapper-of-two-queues", ConsumerOffsetSerializeWrapper.class, offsets());
        registers(vectors);
        return vectors;
    }

    private static void texts(Vectors vectors, String name, Class<?> type, Object body) {
        // The features are those that the name server chooses for peers that want standard JSON.
        vectors.add(name)
            .with("type", type.getSimpleName())
            .with("loose", RemotingSerializable.toJson(body, false))
            .with("strict", JSON.toJSONString(body, SerializerFeature.BrowserCompatible,
                SerializerFeature.QuoteFieldNames, SerializerFeature.SkipTransientField,
                SerializerFeature.MapSortField))
            .with("pretty", RemotingSerializable.toJson(body, true));
    }

    private static TopicRouteData route() {
        TopicRouteData route = new TopicRouteData();
        List<BrokerData> brokers = new ArrayList<>();
        List<QueueData> queues = new ArrayList<>();
        for (String name : List.of("broker-a", "broker-b")) {
            HashMap<Long, String> addresses = new HashMap<>();
            addresses.put(0L, "10.0.0.1:10911");
            addresses.put(1L, "10.0.0.2:10911");
            brokers.add(new BrokerData("DefaultCluster", name, addresses));
            QueueData queue = new QueueData();
            queue.setBrokerName(name);
            queue.setReadQueueNums(4);
            queue.setWriteQueueNums(4);
            queue.setPerm(6);
            queues.add(queue);
        }
        route.setBrokerDatas(brokers);
        route.setQueueDatas(queues);
        return route;
    }

    private static ConsumerOffsetSerializeWrapper offsets() {
        ConsumerOffsetSerializeWrapper offsets = new ConsumerOffsetSerializeWrapper();
        var queues = new java.util.concurrent.ConcurrentHashMap<Integer, Long>();
        queues.put(0, 5L);
        queues.put(1, 1L << 40);
        offsets.getOffsetTable().put("T@g", queues);
        return offsets;
    }

    /** The register body as a stream; what it says is recorded as JSON of what Java reads from it. */
    private static void registers(Vectors vectors) throws Exception {
        RegisterBrokerBody body = new RegisterBrokerBody();
        TopicConfigAndMappingSerializeWrapper table = body.getTopicConfigSerializeWrapper();
        DataVersion version = new DataVersion();
        version.setTimestamp(1_700_000_000_000L);
        version.setCounter(new java.util.concurrent.atomic.AtomicLong(7));
        table.setDataVersion(version);
        table.setMappingDataVersion(version);
        TopicConfig first = new TopicConfig("TopicA", 4, 8, 6);
        first.getAttributes().put("message.type", "FIFO");
        table.getTopicConfigTable().put("TopicA", first);
        table.getTopicConfigTable().put("TopicB", new TopicConfig("TopicB", 1, 1, 2, 3));
        TopicQueueMappingInfo mapping = new TopicQueueMappingInfo("TopicA", 4, "broker-a", 9);
        table.getTopicQueueMappingInfoMap().put("TopicA", mapping);
        body.getFilterServerList().add("10.0.0.9:1");
        byte[] compressed = body.encode(true);
        RegisterBrokerBody read = RegisterBrokerBody.decode(compressed, true, MQVersion.Version.V5_3_3);
        read.getTopicConfigSerializeWrapper().setMappingDataVersion(version);
        vectors.add("RegisterBrokerBody-compressed")
            .with("type", "compressed")
            .with("hex", compressed)
            .with("loose", RemotingSerializable.toJson(read, false));
    }
}
