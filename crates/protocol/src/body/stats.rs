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

/// How replication goes: answer to GET_BROKER_HA_STATUS (907). Java: `body/HARuntimeInfo.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HARuntimeInfo {
    /// Of a slave: how it follows its master.
    pub ha_client_runtime_info: HAClientRuntimeInfo,
    /// Of a master: its slaves.
    pub ha_connection_info: Vec<HAConnectionRuntimeInfo>,
    /// Slaves that are in sync.
    pub in_sync_slave_nums: i32,
    /// Whether this is a master.
    pub master: bool,
    /// Where the master's log ends.
    pub master_commit_log_max_offset: i64,
}

/// A slave, as its master sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HAConnectionRuntimeInfo {
    /// Where it connects from.
    pub addr: String,
    /// Bytes that it lacks.
    pub diff: i64,
    /// Whether that is little enough.
    pub in_sync: bool,
    /// Log offset up to which it has everything.
    pub slave_ack_offset: i64,
    /// Log offset of what it is sent next.
    pub transfer_from_where: i64,
    /// Bytes sent to it in a second.
    pub transferred_byte_in_second: i64,
}

/// A slave, as it sees itself. Times are in ms since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HAClientRuntimeInfo {
    /// When something last came from the master.
    pub last_read_timestamp: i64,
    /// When something was last sent to it.
    pub last_write_timestamp: i64,
    /// Where the master's log is had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_addr: Option<String>,
    /// Up to where the master says its log is on disk.
    pub master_flush_offset: i64,
    /// Where this slave's log ends.
    pub max_offset: i64,
    /// Bytes that came in a second.
    pub transferred_byte_in_second: i64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_replication_has_javas_form() {
        let slave = HAConnectionRuntimeInfo {
            addr: "127.0.0.1:1".into(),
            diff: 4,
            in_sync: true,
            slave_ack_offset: 5,
            transfer_from_where: 8,
            transferred_byte_in_second: 7,
        };
        let info = HARuntimeInfo {
            master: true,
            master_commit_log_max_offset: 9,
            in_sync_slave_nums: 1,
            ha_connection_info: vec![slave],
            ..HARuntimeInfo::default()
        };
        // What Java 5.3.3 writes.
        let text = r#"{"haClientRuntimeInfo":{"lastReadTimestamp":0,"lastWriteTimestamp":0,"masterFlushOffset":0,"maxOffset":0,"transferredByteInSecond":0},"haConnectionInfo":[{"addr":"127.0.0.1:1","diff":4,"inSync":true,"slaveAckOffset":5,"transferFromWhere":8,"transferredByteInSecond":7}],"inSyncSlaveNums":1,"master":true,"masterCommitLogMaxOffset":9}"#;
        assert_eq!(String::from_utf8(crate::json::to_vec(&info).unwrap()).unwrap(), text);
    }
}
