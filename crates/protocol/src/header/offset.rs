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
}
