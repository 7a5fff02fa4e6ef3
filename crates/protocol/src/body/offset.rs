//! Offsets: of groups, of queues, and how they are set back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, MessageQueue};

/// Consumer offsets of a broker: `consumerOffset.json`, and the answer to GET_ALL_CONSUMER_OFFSET (43).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerOffsetSerializeWrapper {
    /// Version of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// `topic@group` to queue id to queue offset.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Consumer offsets of a broker with light queues: `lmqConsumerOffset.json`, which stands in place of
/// `consumerOffset.json` there. Java: `offset/LmqConsumerOffsetManager.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LmqConsumerOffsetSerializeWrapper {
    /// Version of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// `topic@group` to queue offset, of groups whose name begins with `%LMQ%`: of queue 0, the only one that they have.
    pub lmq_offset_table: BTreeMap<String, i64>,
    /// `topic@group` to queue id to queue offset, of all others.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Groups of light queues have names that begin so.
const LIGHT_GROUP: &str = "@%LMQ%";

impl From<ConsumerOffsetSerializeWrapper> for LmqConsumerOffsetSerializeWrapper {
    fn from(all: ConsumerOffsetSerializeWrapper) -> LmqConsumerOffsetSerializeWrapper {
        let mut split = LmqConsumerOffsetSerializeWrapper {
            data_version: all.data_version,
            offset_table: all.offset_table,
            ..LmqConsumerOffsetSerializeWrapper::default()
        };
        split.offset_table.retain(|key, queues| {
            if key.contains(LIGHT_GROUP)
                && let Some(offset) = queues.remove(&0)
            {
                split.lmq_offset_table.insert(key.clone(), offset);
            }
            !queues.is_empty()
        });
        split
    }
}

impl From<LmqConsumerOffsetSerializeWrapper> for ConsumerOffsetSerializeWrapper {
    fn from(split: LmqConsumerOffsetSerializeWrapper) -> ConsumerOffsetSerializeWrapper {
        let mut offset_table = split.offset_table;
        for (key, offset) in split.lmq_offset_table {
            offset_table.entry(key).or_default().insert(0, offset);
        }
        ConsumerOffsetSerializeWrapper { data_version: split.data_version, offset_table }
    }
}

/// How far each delay level is delivered: `delayOffset.json`, and the answer to GET_ALL_DELAY_OFFSET (45).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DelayOffsetSerializeWrapper {
    /// Version of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// Level, from 1 on, to queue offset.
    pub offset_table: BTreeMap<i32, i64>,
}

/// Offsets that groups should have by their own filter: answer to QUERY_CORRECTION_OFFSET (308).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryCorrectionOffsetBody {
    /// Queue id to queue offset.
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// Where each queue of a topic begins and ends: answer to GET_TOPIC_STATS_INFO (202).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicStatsTable {
    /// Queue to its bounds.
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages a second over the last minute.
    pub topic_put_tps: f64,
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicOffset {
    /// Store time of the last message, in ms since 1970; 0 when there is none.
    pub last_update_timestamp: i64,
    /// Queue offset after the last message.
    pub max_offset: i64,
    /// Queue offset of the first message.
    pub min_offset: i64,
}

/// How far a group is: answer to GET_CONSUME_STATS (208).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStats {
    /// Messages a second over the last minute.
    pub consume_tps: f64,
    /// Queue to its progress.
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

/// How far a group is in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OffsetWrapper {
    /// Queue offset after the last message.
    pub broker_offset: i64,
    /// Queue offset the group has reported.
    pub consumer_offset: i64,
    /// Store time of the last consumed message, in ms since 1970.
    pub last_timestamp: i64,
    /// Queue offset up to which the group has pulled.
    pub pull_offset: i64,
}

/// How far all groups of a broker are: answer to GET_BROKER_CONSUME_STATS (317).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStatsList {
    /// The broker's `host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// One table a group: group to its progress, an entry a topic.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages not yet reported as consumed.
    pub total_diff: i64,
    /// Messages pulled but not yet reported as consumed.
    pub total_inflight_diff: i64,
}

/// New offsets: RESET_CONSUMER_CLIENT_OFFSET (220) to clients, and the answer to INVOKE_BROKER_TO_RESET_OFFSET (222).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResetOffsetBody {
    /// Queue to queue offset.
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// [`ResetOffsetBody`] for C++ clients, which cannot read objects as keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResetOffsetBodyForC {
    /// The queues with their offsets.
    pub offset_table: Vec<MessageQueueForC>,
}

/// A queue and an offset in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageQueueForC {
    /// The broker group.
    pub broker_name: String,
    /// The queue offset.
    pub offset: i64,
    /// The queue's number.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

/// Offsets that clients hold: answer to GET_CONSUMER_STATUS_FROM_CLIENT (221) and
/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetConsumerStatusBody {
    /// Client id to its queues (223).
    pub consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
    /// The client's own queues (221).
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn groups_of_light_queues_have_one_offset_in_a_topic() {
        let text = "{\"groupTopicMap\":{},\"lmqOffsetTable\":{\"%LMQ%a@%LMQ%a\":7,\"T@%LMQ%b\":1},\"offsetTable\":{\"T@g\":{0:3,1:4}}}";
        let kept: LmqConsumerOffsetSerializeWrapper = json::from_slice(text.as_bytes()).unwrap();
        let all = ConsumerOffsetSerializeWrapper::from(kept.clone());
        assert_eq!(all.offset_table.keys().collect::<Vec<_>>(), ["%LMQ%a@%LMQ%a", "T@%LMQ%b", "T@g"]);
        assert_eq!(all.offset_table["%LMQ%a@%LMQ%a"], [(0, 7)].into());
        assert_eq!(LmqConsumerOffsetSerializeWrapper::from(all.clone()), kept);
        // A light topic may have other groups, and what the original has no place for stays where we find it.
        let mut more = all;
        more.offset_table.insert("%LMQ%a@g".to_owned(), [(0, 5)].into());
        more.offset_table.insert("T@%LMQ%b".to_owned(), [(0, 1), (2, 8)].into());
        let split = LmqConsumerOffsetSerializeWrapper::from(more.clone());
        assert_eq!(split.lmq_offset_table, kept.lmq_offset_table);
        assert_eq!(split.offset_table["T@%LMQ%b"], [(2, 8)].into());
        assert_eq!(ConsumerOffsetSerializeWrapper::from(split), more);
    }
}
