//! Which broker serves which queues of a topic: the answers of the name server.
//!
//! Mirrors `remoting/protocol/route/*.java`, `remoting/protocol/statictopic/*.java` and `body/ClusterInfo.java`. Peers
//! from V4_9_4 on, and those that ask for it, get [`crate::json::to_vec_strict`]; older ones expect the loose form.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The route of a topic: answer to GET_ROUTEINFO_BY_TOPIC (105).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicRouteData {
    /// The broker groups that have queues of the topic.
    pub broker_datas: Vec<BrokerData>,
    /// Broker address to its filter servers (gone since 4.x, still a field).
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `broker:queues;…` of a globally ordered topic, from the KV namespace ORDER_TOPIC_CONFIG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// One entry a broker group.
    pub queue_datas: Vec<QueueData>,
    /// Static topics only: broker name to its mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_by_broker: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// The addresses of a broker group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerData {
    /// Broker id to `host:port`; id 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The group's name.
    pub broker_name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// Whether a slave may stand in for a missing master.
    pub enable_acting_master: bool,
    /// The zone it stands in, where zones are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// How many queues of a topic a broker group has, and what is allowed on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "QueueDataForm", into = "QueueDataForm")]
pub struct QueueData {
    /// The group's name.
    pub broker_name: String,
    /// Bits: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// Queues to read from: ids 0 to this, exclusive.
    pub read_queue_nums: i32,
    /// Bits: 1 unit, 2 unit sub. Written also as `topicSynFlag`, the name up to 4.8, and read from either.
    pub topic_sys_flag: i32,
    /// Queues to write to: ids 0 to this, exclusive.
    pub write_queue_nums: i32,
}

/// [`QueueData`] as it stands in JSON.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct QueueDataForm {
    broker_name: String,
    perm: i32,
    read_queue_nums: i32,
    topic_syn_flag: Option<i32>,
    topic_sys_flag: Option<i32>,
    write_queue_nums: i32,
}

impl From<QueueDataForm> for QueueData {
    fn from(form: QueueDataForm) -> Self {
        QueueData {
            broker_name: form.broker_name,
            perm: form.perm,
            read_queue_nums: form.read_queue_nums,
            topic_sys_flag: form.topic_sys_flag.or(form.topic_syn_flag).unwrap_or(0),
            write_queue_nums: form.write_queue_nums,
        }
    }
}

impl From<QueueData> for QueueDataForm {
    fn from(queues: QueueData) -> Self {
        QueueDataForm {
            broker_name: queues.broker_name,
            perm: queues.perm,
            read_queue_nums: queues.read_queue_nums,
            topic_syn_flag: Some(queues.topic_sys_flag),
            topic_sys_flag: Some(queues.topic_sys_flag),
            write_queue_nums: queues.write_queue_nums,
        }
    }
}

/// All broker groups by name and cluster: answer to GET_BROKER_CLUSTER_INFO (106).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Broker name to its addresses.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Cluster name to the names of its broker groups.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// Which logical queues of a static topic a broker holds, without their history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicQueueMappingInfo {
    /// The broker's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bname: Option<String>,
    /// Logical queue id to the id on this broker.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Whether the mapping awaits its commit.
    pub dirty: bool,
    /// Rises with each remapping.
    pub epoch: i64,
    /// Whose mapping it is; `__global__` by default.
    pub scope: String,
    /// The topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Logical queues of the topic over all brokers.
    pub total_queues: i32,
}

/// Which logical queues of a static topic a broker holds and held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicQueueMappingDetail {
    /// The broker's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bname: Option<String>,
    /// Logical queue id to the id on this broker.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Whether the mapping awaits its commit.
    pub dirty: bool,
    /// Rises with each remapping.
    pub epoch: i64,
    /// Logical queue id to its pieces, oldest first.
    pub hosted_queues: BTreeMap<i32, Vec<LogicQueueMappingItem>>,
    /// Whose mapping it is; `__global__` by default.
    pub scope: String,
    /// The topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Logical queues of the topic over all brokers.
    pub total_queues: i32,
}

/// A piece of a logical queue: a range of it that lies on one broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogicQueueMappingItem {
    /// The broker's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bname: Option<String>,
    /// End of the piece in the physical queue, exclusive; -1 while it is open.
    pub end_offset: i64,
    /// Generation of the piece.
    #[serde(rename = "gen")]
    pub generation: i32,
    /// Where the piece begins in the logical queue.
    pub logic_offset: i64,
    /// The physical queue's id.
    pub queue_id: i32,
    /// Where the piece begins in the physical queue.
    pub start_offset: i64,
    /// When the last message came, in ms since 1970; -1 while open.
    pub time_of_end: i64,
    /// When the first message came, in ms since 1970; -1 when unknown.
    pub time_of_start: i64,
}

/// The scope of a mapping that belongs to no logical broker group (Java: `MixAll.METADATA_SCOPE_GLOBAL`).
pub const MAPPING_SCOPE_GLOBAL: &str = "__global__";

impl Default for TopicQueueMappingInfo {
    fn default() -> Self {
        TopicQueueMappingInfo {
            bname: None,
            curr_id_map: BTreeMap::new(),
            dirty: false,
            epoch: 0,
            scope: MAPPING_SCOPE_GLOBAL.to_owned(),
            topic: None,
            total_queues: 0,
        }
    }
}

impl Default for TopicQueueMappingDetail {
    fn default() -> Self {
        TopicQueueMappingDetail {
            bname: None,
            curr_id_map: BTreeMap::new(),
            dirty: false,
            epoch: 0,
            hosted_queues: BTreeMap::new(),
            scope: MAPPING_SCOPE_GLOBAL.to_owned(),
            topic: None,
            total_queues: 0,
        }
    }
}

impl Default for LogicQueueMappingItem {
    fn default() -> Self {
        LogicQueueMappingItem {
            bname: None,
            end_offset: -1,
            generation: 0,
            logic_offset: 0,
            queue_id: 0,
            start_offset: 0,
            time_of_end: -1,
            time_of_start: -1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn the_sys_flag_of_a_queue_is_read_from_both_its_names_and_written_to_both() {
        let old: QueueData = json::from_slice(br#"{"topicSynFlag":3}"#).unwrap();
        let both: QueueData = json::from_slice(br#"{"topicSynFlag":1,"topicSysFlag":3}"#).unwrap();
        assert_eq!((old.topic_sys_flag, both.topic_sys_flag), (3, 3));
        let text = String::from_utf8(json::to_vec(&old).unwrap()).unwrap();
        assert!(text.contains(r#""topicSynFlag":3,"topicSysFlag":3"#), "{text}");
    }

    #[test]
    fn both_forms_of_a_route_are_read() {
        let route = TopicRouteData {
            broker_datas: vec![BrokerData {
                broker_addrs: [(0, "10.0.0.1:10911".to_owned()), (1, "10.0.0.2:10911".to_owned())].into(),
                broker_name: "broker-a".to_owned(),
                cluster: "DefaultCluster".to_owned(),
                ..BrokerData::default()
            }],
            queue_datas: vec![QueueData { broker_name: "broker-a".to_owned(), perm: 6, ..QueueData::default() }],
            ..TopicRouteData::default()
        };
        let loose = json::to_vec(&route).unwrap();
        assert!(String::from_utf8_lossy(&loose).contains(r#"{0:"10.0.0.1:10911",1:"#));
        assert_eq!(json::from_slice::<TopicRouteData>(&loose).unwrap(), route);
        assert_eq!(json::from_slice::<TopicRouteData>(&json::to_vec_strict(&route).unwrap()).unwrap(), route);
    }
}
