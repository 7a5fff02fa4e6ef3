//! Filters other than by tags, as a broker keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Filters of consumer groups: `consumerFilter.json`. Java: `broker/filter/ConsumerFilterManager.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerFilterTable {
    /// By topic.
    pub filter_data_by_topic: BTreeMap<String, FilterDataMapByTopic>,
}

/// Filters of the groups that subscribe to a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FilterDataMapByTopic {
    /// By group.
    pub group_filter_data: BTreeMap<String, ConsumerFilterData>,
    /// The topic.
    pub topic: String,
}

/// A group's filter on a topic. Java: `broker/filter/ConsumerFilterData.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerFilterData {
    /// Which bits of a message's bit map stand for the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bloom_filter_data: Option<BloomFilterData>,
    /// When the filter was made, in ms since 1970.
    pub born_time: i64,
    /// Version of the subscription, which its client gives.
    pub client_version: i64,
    /// The group.
    pub consumer_group: String,
    /// Whether nobody of the group is there.
    pub dead: bool,
    /// Since when, in ms since 1970; 0 while somebody is.
    pub dead_time: i64,
    /// The expression as the user wrote it.
    pub expression: String,
    /// What kind of expression.
    pub expression_type: String,
    /// The topic.
    pub topic: String,
}

/// Bits of a Bloom filter. Java: `filter/util/BloomFilterData.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BloomFilterData {
    /// Bits of the whole filter.
    pub bit_num: i32,
    /// Those that are set.
    pub bit_pos: Vec<i32>,
}
