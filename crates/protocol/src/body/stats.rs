//! Statistics and time spans that administrators ask for.

use serde::{Deserialize, Serialize};

use super::MessageQueue;
use crate::heartbeat::SubscriptionData;

/// One statistic over three spans: answer to VIEW_BROKER_STATS_DATA (315).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsData {
    /// The last day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_day: Option<BrokerStatsItem>,
    /// The last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_hour: Option<BrokerStatsItem>,
    /// The last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_minute: Option<BrokerStatsItem>,
}

/// One statistic over one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsItem {
    /// Average of one event.
    pub avgpt: f64,
    /// Sum over the span.
    pub sum: i64,
    /// Events a second.
    pub tps: f64,
}

/// Which times each queue of a topic covers: answer to QUERY_CONSUME_TIME_SPAN (303).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryConsumeTimeSpanBody {
    /// One entry a queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Which times a queue covers, and where a group is. Times are in ms since 1970.
///
/// Java adds the three times as text (`…Str`), in the broker's own time zone; they are neither written nor read here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueTimeSpan {
    /// Store time of the message the group is at.
    pub consume_time_stamp: i64,
    /// How long that message has waited, in ms.
    pub delay_time: i64,
    /// Store time of the last message.
    pub max_time_stamp: i64,
    /// The queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue: Option<MessageQueue>,
    /// Store time of the first message.
    pub min_time_stamp: i64,
}

/// Units of a consume queue: answer to QUERY_CONSUME_QUEUE (321).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryConsumeQueueResponseBody {
    /// The group's filter in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// Offset after the last unit.
    pub max_queue_index: i64,
    /// Offset of the first unit.
    pub min_queue_index: i64,
    /// The units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_data: Option<Vec<ConsumeQueueData>>,
    /// The group's subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// A unit of a consume queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeQueueData {
    /// The filter's bit map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_map: Option<String>,
    /// Whether the message passes the filter.
    pub eval: bool,
    /// The unit's extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_data_json: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// Log offset of the message.
    pub physic_offset: i64,
    /// Its size in bytes.
    pub physic_size: i32,
    /// Hash of its tag.
    pub tags_code: i64,
}
