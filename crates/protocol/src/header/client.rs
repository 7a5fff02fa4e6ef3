//! Producers and consumers as members of groups.

use super::headers;

headers! {
    /// UNREGISTER_CLIENT (35).
    struct UnregisterClientRequestHeader<'a> {
        /// The client.
        client_id: &'a str = "clientID",
        /// Producer group it leaves.
        producer_group: Option<&'a str> = "producerGroup",
        /// Consumer group it leaves.
        consumer_group: Option<&'a str> = "consumerGroup",
    }

    /// GET_CONSUMER_LIST_BY_GROUP (38).
    struct GetConsumerListByGroupRequestHeader<'a> {
        /// The group.
        consumer_group: &'a str = "consumerGroup",
    }

    /// NOTIFY_CONSUMER_IDS_CHANGED (40), from the broker to its clients.
    struct NotifyConsumerIdsChangedRequestHeader<'a> {
        /// The group whose members changed.
        consumer_group: &'a str = "consumerGroup",
    }

    /// Answer to HEART_BEAT (34).
    struct HeartbeatResponseHeader {
        /// Whether the broker understands fingerprints.
        is_support_heart_beat_v2: Option<bool> = "IS_SUPPORT_HEART_BEAT_V2",
        /// Whether the subscription differs from the one the broker has.
        is_sub_change: Option<bool> = "IS_SUB_CHANGE",
    }

    /// GET_CONSUMER_CONNECTION_LIST (203).
    struct GetConsumerConnectionListRequestHeader<'a> {
        /// The group.
        consumer_group: &'a str = "consumerGroup",
    }

    /// GET_PRODUCER_CONNECTION_LIST (204).
    struct GetProducerConnectionListRequestHeader<'a> {
        /// The group.
        producer_group: &'a str = "producerGroup",
    }

    /// GET_CONSUMER_RUNNING_INFO (307): to the broker, and from there to the client.
    struct GetConsumerRunningInfoRequestHeader<'a> {
        /// The group.
        consumer_group: &'a str = "consumerGroup",
        /// The member.
        client_id: &'a str = "clientId",
        /// Whether stack traces are wanted.
        jstack_enable: Option<bool> = "jstackEnable",
    }

    /// CONSUME_MESSAGE_DIRECTLY (309): to the broker, and from there to the client.
    struct ConsumeMessageDirectlyResultRequestHeader<'a> {
        /// The group.
        consumer_group: &'a str = "consumerGroup",
        /// The member.
        client_id: Option<&'a str> = "clientId",
        /// Offset message id of the message.
        msg_id: Option<&'a str> = "msgId",
        /// Broker group of the message; the broker sets it.
        broker_name: Option<&'a str> = "brokerName",
        /// Topic of the message.
        topic: Option<&'a str> = "topic",
        /// Bits of `TopicSysFlag`; the broker sets them.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Bits of the group's flag; the broker sets them.
        group_sys_flag: Option<i32> = "groupSysFlag",
    }
}
