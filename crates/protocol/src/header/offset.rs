//! Offsets of queues and of consumers.

use super::headers;

headers! {
    /// QUERY_CONSUMER_OFFSET (14).
    struct QueryConsumerOffsetRequestHeader<'a> {
        /// Group of the consumer.
        consumer_group: &'a str = "consumerGroup",
        /// Topic of the queue.
        topic: &'a str = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Whether a group without an offset may begin at 0; true when missing.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }

    /// UPDATE_CONSUMER_OFFSET (15).
    struct UpdateConsumerOffsetRequestHeader<'a> {
        /// Group of the consumer.
        consumer_group: &'a str = "consumerGroup",
        /// Topic of the queue.
        topic: &'a str = "topic",
        /// The queue.
        queue_id: Option<i32> = "queueId",
        /// Queue offset of the first message not yet consumed.
        commit_offset: Option<i64> = "commitOffset",
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP (29).
    struct SearchOffsetRequestHeader<'a> {
        /// Topic of the queue.
        topic: &'a str = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Store time, ms since 1970.
        timestamp: i64 = "timestamp",
        /// LOWER or UPPER; missing from 4.x clients.
        boundary_type: Option<&'a str> = "boundaryType",
    }

    /// GET_MAX_OFFSET (30).
    struct GetMaxOffsetRequestHeader<'a> {
        /// Topic of the queue.
        topic: &'a str = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Whether only messages that consumers may see count.
        committed: bool = "committed" => true,
    }

    /// GET_MIN_OFFSET (31).
    struct GetMinOffsetRequestHeader<'a> {
        /// Topic of the queue.
        topic: &'a str = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
    }

    /// GET_EARLIEST_MSG_STORETIME (32).
    struct GetEarliestMsgStoretimeRequestHeader<'a> {
        /// Topic of the queue.
        topic: &'a str = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
    }

    /// Answer to 14, 29, 30 and 31.
    struct OffsetResponseHeader {
        /// Queue offset.
        offset: i64 = "offset",
    }

    /// Answer to 32.
    struct GetEarliestMsgStoretimeResponseHeader {
        /// Store time, ms since 1970; -1 when there is no message.
        timestamp: i64 = "timestamp",
    }

    /// INVOKE_BROKER_TO_RESET_OFFSET (222), and RESET_CONSUMER_CLIENT_OFFSET (220) from the broker to its clients.
    struct ResetOffsetRequestHeader<'a> {
        /// Topic of the queues.
        topic: &'a str = "topic",
        /// The group.
        group: &'a str = "group",
        /// The one queue that is meant; all when negative.
        queue_id: i32 = "queueId" => -1,
        /// The queue offset to go to; -1 or missing to find it by the time.
        offset: Option<i64> = "offset",
        /// Store time to go to, ms since 1970; negative for the end.
        timestamp: i64 = "timestamp",
        /// Whether groups that are before that time already go forward.
        is_force: bool = "isForce",
    }

    /// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223), and GET_CONSUMER_STATUS_FROM_CLIENT (221) from the broker to its
    /// clients.
    struct GetConsumerStatusRequestHeader<'a> {
        /// Topic of the queues.
        topic: &'a str = "topic",
        /// The group.
        group: &'a str = "group",
        /// Id of the one client that is meant.
        client_addr: Option<&'a str> = "clientAddr",
    }

    /// QUERY_CORRECTION_OFFSET (308).
    struct QueryCorrectionOffsetHeader<'a> {
        /// Groups that do not count, with commas between.
        filter_groups: Option<&'a str> = "filterGroups",
        /// Group whose offsets are compared.
        compare_group: &'a str = "compareGroup",
        /// Topic of the queues.
        topic: &'a str = "topic",
    }

    /// CLONE_GROUP_OFFSET (314).
    struct CloneGroupOffsetRequestHeader<'a> {
        /// Group whose offsets are taken.
        src_group: &'a str = "srcGroup",
        /// Group that gets them.
        dest_group: &'a str = "destGroup",
        /// Only this topic.
        topic: Option<&'a str> = "topic",
        /// Whether topics count that the group does not subscribe to now.
        offline: bool = "offline",
    }
}
