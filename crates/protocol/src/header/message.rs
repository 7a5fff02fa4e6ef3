//! Sending and pulling. Java: `SendMessageRequestHeader`, `SendMessageRequestHeaderV2`, `PullMessageRequestHeader` and
//! their answers.

use super::headers;

headers! {
    /// SEND_MESSAGE (10).
    struct SendMessageRequestHeader<'a> {
        /// Group of the producer.
        producer_group: &'a str = "producerGroup",
        /// Topic to send to.
        topic: &'a str = "topic",
        /// Topic whose settings an unknown topic is created with.
        default_topic: &'a str = "defaultTopic",
        /// Queues wanted for a topic that is created.
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// Queue to append to; negative for any.
        queue_id: i32 = "queueId",
        /// Bits of `MessageSysFlag`.
        sys_flag: i32 = "sysFlag",
        /// When the client made the message, ms since 1970.
        born_timestamp: i64 = "bornTimestamp",
        /// The user's own flag.
        flag: i32 = "flag",
        /// Property string.
        properties: Option<&'a str> = "properties",
        /// How often the message has been consumed in vain.
        reconsume_times: Option<i32> = "reconsumeTimes",
        /// Whether the topic belongs to a unit.
        unit_mode: bool = "unitMode",
        /// Whether the body is a batch.
        batch: bool = "batch",
        /// After how many deliveries the message is dead.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }

    /// SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320): as code 10 with short names.
    @strict struct SendMessageRequestHeaderV2<'a> {
        /// Group of the producer.
        producer_group: &'a str = "a",
        /// Topic to send to.
        topic: &'a str = "b",
        /// Topic whose settings an unknown topic is created with.
        default_topic: &'a str = "c",
        /// Queues wanted for a topic that is created.
        default_topic_queue_nums: i32 = "d",
        /// Queue to append to; negative for any.
        queue_id: i32 = "e",
        /// Bits of `MessageSysFlag`.
        sys_flag: i32 = "f",
        /// When the client made the message, ms since 1970.
        born_timestamp: i64 = "g",
        /// The user's own flag.
        flag: i32 = "h",
        /// Property string.
        properties: Option<&'a str> = "i",
        /// How often the message has been consumed in vain.
        reconsume_times: Option<i32> = "j",
        /// Whether the topic belongs to a unit.
        unit_mode: Option<bool> = "k",
        /// After how many deliveries the message is dead.
        max_reconsume_times: Option<i32> = "l",
        /// Whether the body is a batch.
        batch: Option<bool> = "m",
        /// Name of the broker the client means.
        broker_name: Option<&'a str> = "n",
    }

    /// Answer to a send.
    @strict struct SendMessageResponseHeader<'a> {
        /// Offset message id; of a batch all of them, with commas between.
        msg_id: &'a str = "msgId",
        /// Queue that was appended to.
        queue_id: i32 = "queueId",
        /// Queue offset of the (first) message.
        queue_offset: i64 = "queueOffset",
        /// The message's unique key.
        transaction_id: Option<&'a str> = "transactionId",
        /// Unique key of a batch.
        batch_uniq_id: Option<&'a str> = "batchUniqId",
        /// By which a timer message can be called back.
        recall_handle: Option<&'a str> = "recallHandle",
    }

    /// PULL_MESSAGE (11), LITE_PULL_MESSAGE (361).
    @strict struct PullMessageRequestHeader<'a> {
        /// Group of the consumer.
        consumer_group: &'a str = "consumerGroup",
        /// Topic to pull from.
        topic: &'a str = "topic",
        /// Queue to pull from.
        queue_id: i32 = "queueId",
        /// First queue offset wanted.
        queue_offset: i64 = "queueOffset",
        /// At most this many messages.
        max_msg_nums: i32 = "maxMsgNums",
        /// Bits of `PullSysFlag`.
        sys_flag: i32 = "sysFlag",
        /// Offset to commit on the way.
        commit_offset: i64 = "commitOffset",
        /// How long the broker may hold the request, ms.
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        /// Filter expression, when the request carries its own.
        subscription: Option<&'a str> = "subscription",
        /// Version of the subscription, ms since 1970.
        sub_version: i64 = "subVersion",
        /// TAG or SQL92.
        expression_type: Option<&'a str> = "expressionType",
        /// At most this many bytes of messages.
        max_msg_bytes: Option<i32> = "maxMsgBytes",
        /// Which kind of client asks (5.x).
        request_source: Option<i32> = "requestSource",
        /// Client for which a proxy asks; the misspelling is the wire's.
        proxy_forward_client_id: Option<&'a str> = "proxyFrowardClientId",
    }

    /// Answer to a pull.
    @strict struct PullMessageResponseHeader {
        /// Broker id to pull from next.
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// Queue offset to pull next.
        next_begin_offset: i64 = "nextBeginOffset",
        /// First queue offset there is.
        min_offset: i64 = "minOffset",
        /// Queue offset behind the last message.
        max_offset: i64 = "maxOffset",
        /// Shift between logical and physical queue offsets of a static topic.
        offset_delta: Option<i64> = "offsetDelta",
        /// Bits of `TopicSysFlag`.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// System flag of the group.
        group_sys_flag: Option<i32> = "groupSysFlag",
        /// Why a pull was forbidden.
        forbidden_type: Option<i32> = "forbiddenType",
    }

    /// VIEW_MESSAGE_BY_ID (33).
    struct ViewMessageRequestHeader<'a> {
        /// Topic of the message.
        topic: Option<&'a str> = "topic",
        /// Log offset of the message.
        offset: i64 = "offset",
    }

    /// QUERY_CONSUME_QUEUE (321).
    struct QueryConsumeQueueRequestHeader<'a> {
        /// Topic of the queue.
        topic: Option<&'a str> = "topic",
        /// The queue.
        queue_id: Option<i32> = "queueId",
        /// Offset of the first unit.
        index: Option<i64> = "index",
        /// At most this many.
        count: Option<i32> = "count",
        /// Group whose subscription is wanted, too.
        consumer_group: Option<&'a str> = "consumerGroup",
    }

    /// QUERY_MESSAGE (12).
    struct QueryMessageRequestHeader<'a> {
        /// Topic of the messages.
        topic: &'a str = "topic",
        /// Key they carry.
        key: &'a str = "key",
        /// At most this many.
        max_num: i32 = "maxNum",
        /// Stored at or after, ms since 1970.
        begin_timestamp: i64 = "beginTimestamp",
        /// Stored at or before, ms since 1970.
        end_timestamp: i64 = "endTimestamp",
    }

    /// Answer to QUERY_MESSAGE.
    struct QueryMessageResponseHeader {
        /// Store time of the newest indexed message, ms since 1970.
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        /// Log offset of the newest indexed message.
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }

    /// CONSUMER_SEND_MSG_BACK (36).
    struct ConsumerSendMsgBackRequestHeader<'a> {
        /// Log offset of the message.
        offset: i64 = "offset",
        /// Group that could not consume it.
        group: &'a str = "group",
        /// Delay level; 0 lets the broker choose, negative means dead.
        delay_level: i32 = "delayLevel",
        /// Id of the message when it was first sent.
        origin_msg_id: Option<&'a str> = "originMsgId",
        /// Topic of the message when it was first sent.
        origin_topic: Option<&'a str> = "originTopic",
        /// Whether the topic belongs to a unit.
        unit_mode: bool = "unitMode",
        /// After how many deliveries the message is dead.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }

    /// END_TRANSACTION (37).
    struct EndTransactionRequestHeader<'a> {
        /// Topic of the message.
        topic: Option<&'a str> = "topic",
        /// Group of the producer.
        producer_group: &'a str = "producerGroup",
        /// Queue offset of the half message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Log offset of the half message.
        commit_log_offset: i64 = "commitLogOffset",
        /// One of the `TRANSACTION_*` values of `MessageSysFlag`: 0 for not known yet.
        commit_or_rollback: i32 = "commitOrRollback",
        /// Whether the producer was asked.
        from_transaction_check: bool = "fromTransactionCheck",
        /// Unique key of the message.
        msg_id: &'a str = "msgId",
        /// Id of the transaction.
        transaction_id: Option<&'a str> = "transactionId",
    }

    /// RESUME_CHECK_HALF_MESSAGE (323).
    struct ResumeCheckHalfMessageRequestHeader<'a> {
        /// Topic of those that were given up.
        topic: Option<&'a str> = "topic",
        /// Offset message id of the half there.
        msg_id: Option<&'a str> = "msgId",
    }

    /// CHECK_TRANSACTION_STATE (39), from the broker to a producer.
    struct CheckTransactionStateRequestHeader<'a> {
        /// Topic of the half message.
        topic: &'a str = "topic",
        /// Queue offset of the half message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Log offset of the half message.
        commit_log_offset: i64 = "commitLogOffset",
        /// Unique key of the message.
        msg_id: Option<&'a str> = "msgId",
        /// Id of the transaction: the unique key.
        transaction_id: Option<&'a str> = "transactionId",
        /// Offset message id of the half message.
        offset_msg_id: Option<&'a str> = "offsetMsgId",
        /// Name of the broker that asks.
        broker_name: Option<&'a str> = "bname",
    }

    /// PUSH_REPLY_MESSAGE_TO_CLIENT (326), from the broker to whoever sent a request message.
    struct ReplyMessageRequestHeader<'a> {
        /// Group of the producer of the reply.
        producer_group: &'a str = "producerGroup",
        /// Topic of the reply.
        topic: &'a str = "topic",
        /// Topic whose settings an unknown topic is created with.
        default_topic: &'a str = "defaultTopic",
        /// Queues wanted for a topic that is created.
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// Queue of the reply.
        queue_id: i32 = "queueId",
        /// Bits of `MessageSysFlag`.
        sys_flag: i32 = "sysFlag",
        /// When the client made the reply, ms since 1970.
        born_timestamp: i64 = "bornTimestamp",
        /// The user's own flag.
        flag: i32 = "flag",
        /// Property string.
        properties: Option<&'a str> = "properties",
        /// How often the reply has been consumed in vain.
        reconsume_times: Option<i32> = "reconsumeTimes",
        /// Whether the topic belongs to a unit.
        unit_mode: bool = "unitMode",
        /// Address of the reply's producer.
        born_host: &'a str = "bornHost",
        /// Address of the broker.
        store_host: &'a str = "storeHost",
        /// When the broker had the reply, ms since 1970.
        store_timestamp: i64 = "storeTimestamp",
    }
}
