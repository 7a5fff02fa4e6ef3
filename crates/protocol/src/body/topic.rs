//! Topics, their table, and the version that tells whether a table changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::route::{TopicQueueMappingDetail, TopicQueueMappingInfo};

/// Bit of a topic's `perm`: messages may be read. Java: `PermName`.
pub const PERM_READ: i32 = 4;
/// Bit of a topic's `perm`: messages may be written.
pub const PERM_WRITE: i32 = 2;
/// Bit of a topic's `perm`: other topics may be made after this one.
pub const PERM_INHERIT: i32 = 1;

/// A topic on one broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfig {
    /// Further settings, `message.type` among them. Names stand here without the `+` of the command that sets them.
    pub attributes: BTreeMap<String, String>,
    /// Whether the topic is ordered.
    pub order: bool,
    /// [`PERM_READ`], [`PERM_WRITE`] and [`PERM_INHERIT`].
    pub perm: i32,
    /// Queues to read from: ids 0 to this, exclusive.
    pub read_queue_nums: i32,
    /// Whether a message may have several tags.
    pub topic_filter_type: TopicFilterType,
    /// The name.
    pub topic_name: String,
    /// Bits: 1 unit, 2 unit sub.
    pub topic_sys_flag: i32,
    /// Queues to write to: ids 0 to this, exclusive.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm: PERM_READ | PERM_WRITE,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

/// Whether messages of a topic have one tag or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TopicFilterType {
    /// One tag a message.
    #[default]
    SingleTag,
    /// Several tags a message.
    MultiTag,
    /// A name this release does not know.
    #[serde(other)]
    Unknown,
}

impl TopicFilterType {
    /// Java's name.
    pub fn name(self) -> &'static str {
        match self {
            TopicFilterType::SingleTag => "SINGLE_TAG",
            TopicFilterType::MultiTag => "MULTI_TAG",
            TopicFilterType::Unknown => "UNKNOWN",
        }
    }

    /// The type of that name; [`TopicFilterType::Unknown`] when there is none.
    pub fn from_name(name: &str) -> TopicFilterType {
        match name {
            "SINGLE_TAG" => TopicFilterType::SingleTag,
            "MULTI_TAG" => TopicFilterType::MultiTag,
            _ => TopicFilterType::Unknown,
        }
    }
}

/// The version of a table: two tables whose versions are equal in all three numbers are taken for equal.
///
/// Missing numbers are 0; Java takes the current time for a missing `timestamp`, this crate has no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DataVersion {
    /// Changes since the table was made.
    pub counter: i64,
    /// The master's epoch in controller mode, else 0.
    pub state_version: i64,
    /// Last change, in ms since 1970.
    pub timestamp: i64,
}

impl DataVersion {
    /// Marks a change that happened at this time (in ms since 1970).
    pub fn next(&mut self, now_ms: i64) {
        self.timestamp = now_ms;
        self.counter = self.counter.wrapping_add(1);
    }
}

/// All topics of a broker: `topics.json`, and the register body of brokers before 5.0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfigSerializeWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Topic name to topic.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// All topics of a broker with the mappings of static topics: answer to GET_ALL_TOPIC_CONFIG (21).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfigAndMappingSerializeWrapper {
    /// Version of the table of topics.
    pub data_version: DataVersion,
    /// Version of the mappings.
    pub mapping_data_version: DataVersion,
    /// Topic name to topic.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Topic name to its mapping with history.
    pub topic_queue_mapping_detail_map: BTreeMap<String, TopicQueueMappingDetail>,
    /// Topic name to its mapping.
    pub topic_queue_mapping_info_map: BTreeMap<String, TopicQueueMappingInfo>,
}

/// A topic and its static mapping: answer to GET_TOPIC_CONFIG (351). Without a mapping it equals [`TopicConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TopicConfigAndQueueMappingForm", into = "TopicConfigAndQueueMappingForm")]
pub struct TopicConfigAndQueueMapping {
    /// The mapping of a static topic.
    pub mapping_detail: Option<TopicQueueMappingDetail>,
    /// The topic; in JSON its fields stand beside the mapping.
    pub topic: TopicConfig,
}

/// [`TopicConfigAndQueueMapping`] as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TopicConfigAndQueueMappingForm {
    attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping_detail: Option<TopicQueueMappingDetail>,
    order: bool,
    perm: i32,
    read_queue_nums: i32,
    topic_filter_type: TopicFilterType,
    topic_name: String,
    topic_sys_flag: i32,
    write_queue_nums: i32,
}

impl Default for TopicConfigAndQueueMappingForm {
    fn default() -> Self {
        TopicConfigAndQueueMapping::default().into()
    }
}

impl From<TopicConfigAndQueueMappingForm> for TopicConfigAndQueueMapping {
    fn from(form: TopicConfigAndQueueMappingForm) -> Self {
        TopicConfigAndQueueMapping {
            mapping_detail: form.mapping_detail,
            topic: TopicConfig {
                attributes: form.attributes,
                order: form.order,
                perm: form.perm,
                read_queue_nums: form.read_queue_nums,
                topic_filter_type: form.topic_filter_type,
                topic_name: form.topic_name,
                topic_sys_flag: form.topic_sys_flag,
                write_queue_nums: form.write_queue_nums,
            },
        }
    }
}

impl From<TopicConfigAndQueueMapping> for TopicConfigAndQueueMappingForm {
    fn from(both: TopicConfigAndQueueMapping) -> Self {
        TopicConfigAndQueueMappingForm {
            attributes: both.topic.attributes,
            mapping_detail: both.mapping_detail,
            order: both.topic.order,
            perm: both.topic.perm,
            read_queue_nums: both.topic.read_queue_nums,
            topic_filter_type: both.topic.topic_filter_type,
            topic_name: both.topic.topic_name,
            topic_sys_flag: both.topic.topic_sys_flag,
            write_queue_nums: both.topic.write_queue_nums,
        }
    }
}

/// Several topics to create: UPDATE_AND_CREATE_TOPIC_LIST (18).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CreateTopicListRequestBody {
    /// The topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// Topic names: answer to 206, 224, 304, 305, 311 to 313 and 343.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicList {
    /// `host:port` of some broker (304 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The names.
    pub topic_list: Vec<String>,
}

/// Names and values: answer to GET_BROKER_RUNTIME_INFO (28), REGISTER_BROKER (103) and GET_KVLIST_BY_NAMESPACE (219).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KVTable {
    /// Name to value.
    pub table: BTreeMap<String, String>,
}

/// The name server's `kvConfig.json`. Java: `namesrv/kvconfig/KVConfigSerializeWrapper.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KVConfigSerializeWrapper {
    /// Namespace to name to value.
    pub config_table: BTreeMap<String, BTreeMap<String, String>>,
}

/// The brokers of one group: answer to GET_BROKER_MEMBER_GROUP (901), inside [`GetBrokerMemberGroupResponseBody`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerMemberGroup {
    /// Broker id to `host:port`.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The group's name.
    pub broker_name: String,
    /// Its cluster.
    pub cluster: String,
}

/// Answer to GET_BROKER_MEMBER_GROUP (901).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetBrokerMemberGroupResponseBody {
    /// The brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_member_group: Option<BrokerMemberGroup>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_topic_of_an_old_broker_has_the_defaults_of_java() {
        let read: TopicConfig = json::from_slice(br#"{"topicName":"T","perm":"4","topicFilterType":1}"#).unwrap();
        let wanted = TopicConfig {
            topic_name: "T".to_owned(),
            perm: 4,
            topic_filter_type: TopicFilterType::MultiTag,
            ..TopicConfig::default()
        };
        assert_eq!(read, wanted);
        assert_eq!((read.read_queue_nums, read.write_queue_nums), (16, 16));
    }
}
