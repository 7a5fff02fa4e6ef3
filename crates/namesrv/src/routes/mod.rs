//! The tables: which brokers there are, which topics they serve, when they were last heard of.
//!
//! Pure data: no clock, no socket, no lock. Whoever calls says what time it is and which connection spoke, and carries
//! out what the tables ask for (connections to close, brokers to tell). What happens to the tables is in [`register`]
//! and [`remove`], what they answer is in [`query`] and [`lists`].
//!
//! Java: `namesrv/…/namesrv/routeinfo/RouteInfoManager.java`.

mod lists;
mod query;
mod register;
mod remove;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use raptormq_protocol::body::DataVersion;
use raptormq_protocol::route::{BrokerData, QueueData, TopicQueueMappingInfo};

pub(crate) use self::lists::UnitTopics;
pub(crate) use self::query::keep_zone;
pub(crate) use self::register::Registration;
pub(crate) use self::remove::Departure;

/// Broker id of a master.
pub(crate) const MASTER_ID: i64 = 0;

/// The number that remoting gave a connection.
pub(crate) type ConnectionId = u64;

/// Everything that the name server knows about brokers and topics.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Topic to broker name to that group's queues. Java: `topicQueueTable`.
    topics: BTreeMap<String, BTreeMap<String, QueueData>>,
    /// Static topic to broker name to that group's mapping. Java: `topicQueueMappingInfoTable`.
    mappings: BTreeMap<String, BTreeMap<String, TopicQueueMappingInfo>>,
    /// Broker name to the addresses of the group, never empty. Java: `brokerAddrTable`.
    groups: BTreeMap<String, BrokerData>,
    /// Cluster to the names of its groups, never empty. Java: `clusterAddrTable`.
    clusters: BTreeMap<String, BTreeSet<String>>,
    /// Who has registered and was heard of since. Java: `brokerLiveTable`, `filterServerTable`.
    live: HashMap<BrokerKey, LiveBroker>,
}

/// What identifies one broker process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BrokerKey {
    pub(crate) cluster: String,
    /// Where clients reach it: `host:port`.
    pub(crate) addr: String,
}

impl BrokerKey {
    pub(crate) fn new(cluster: &str, addr: &str) -> BrokerKey {
        BrokerKey { cluster: cluster.to_owned(), addr: addr.to_owned() }
    }
}

/// A broker that has registered.
#[derive(Debug)]
struct LiveBroker {
    broker_name: String,
    /// When it was last heard of, ms since 1970.
    heard_ms: i64,
    /// After how long without a word it is taken for dead, ms.
    timeout_ms: i64,
    /// Version of the topics that it registered.
    data_version: DataVersion,
    /// The connection that it registered on: when it closes, the broker is gone.
    connection: ConnectionId,
    /// Where slaves reach its log.
    ha_server_addr: String,
    filter_servers: Vec<String>,
}

/// Something that the brokers of a group must be told: the smallest id that is alive is another now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MinBrokerIdChanged {
    pub(crate) broker_name: String,
    pub(crate) min_broker_id: i64,
    /// Address of the smallest id.
    pub(crate) min_broker_addr: String,
    /// Address that went away, if that is the reason.
    pub(crate) offline_broker_addr: Option<String>,
    /// Where the log of the smallest id is reached, if it is new.
    pub(crate) ha_broker_addr: Option<String>,
    /// Whom to tell.
    pub(crate) to: Vec<String>,
}

impl Routes {
    /// The broker was heard of: it lives on.
    pub(crate) fn heartbeat(&mut self, cluster: &str, addr: &str, now_ms: i64) {
        if let Some(live) = self.live.get_mut(&BrokerKey::new(cluster, addr)) {
            live.heard_ms = now_ms;
        }
    }

    /// The version of the topics that the broker registered; `None` when it has not.
    pub(crate) fn data_version(&self, cluster: &str, addr: &str) -> Option<DataVersion> {
        self.live.get(&BrokerKey::new(cluster, addr)).map(|live| live.data_version)
    }

    fn has_master(&self, broker_name: &str) -> bool {
        self.groups.get(broker_name).is_some_and(|group| group.broker_addrs.contains_key(&MASTER_ID))
    }
}

/// The smallest id of a group.
fn min_id(group: &BrokerData) -> Option<i64> {
    group.broker_addrs.keys().next().copied()
}

#[cfg(test)]
mod testing {
    use raptormq_config::{Environment, Family, NamesrvConfig};
    use raptormq_protocol::body::{TopicConfig, TopicConfigAndMappingSerializeWrapper};
    use raptormq_protocol::header::RegisterBrokerRequestHeader;

    use super::*;

    pub(super) fn config() -> NamesrvConfig {
        NamesrvConfig::new(&Environment::default())
    }

    /// A registration of cluster C: broker `name` with `id` at `addr`, at time 0, on connection 1.
    pub(super) fn broker<'a>(name: &'a str, id: i64, addr: &'a str) -> Registration<'a> {
        let header = RegisterBrokerRequestHeader {
            broker_name: name,
            broker_addr: addr,
            cluster_name: "C",
            ha_server_addr: "ha",
            broker_id: id,
            ..Default::default()
        };
        Registration {
            header,
            zone_name: None,
            topics: Default::default(),
            filter_servers: Vec::new(),
            connection: 1,
            now_ms: 0,
        }
    }

    /// Topics with four queues and perm 6, as version `counter` of their table.
    pub(super) fn topics(names: &[&str], counter: i64) -> TopicConfigAndMappingSerializeWrapper {
        let topic = |name: &str| TopicConfig {
            topic_name: name.to_owned(),
            read_queue_nums: 4,
            write_queue_nums: 4,
            ..Default::default()
        };
        TopicConfigAndMappingSerializeWrapper {
            data_version: DataVersion { counter, ..Default::default() },
            topic_config_table: names.iter().map(|name| ((*name).to_owned(), topic(name))).collect(),
            ..Default::default()
        }
    }

    /// Tables that hold a master `a` of cluster C at `a:0`, with topics A and B of version 1.
    pub(super) fn one_master() -> Routes {
        let mut routes = Routes::default();
        let master = Registration { topics: topics(&["A", "B"], 1), ..broker("a", 0, "a:0") };
        routes.register(master, &config()).unwrap();
        routes
    }

    /// Perm of a broker's queues of a topic; -1 when it has none.
    pub(super) fn perm(routes: &Routes, topic: &str, broker_name: &str) -> i32 {
        routes.topics.get(topic).and_then(|brokers| brokers.get(broker_name)).map_or(-1, |queues| queues.perm)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{config, one_master};
    use super::*;

    #[test]
    fn a_heartbeat_prolongs_the_life_of_a_known_broker_only() {
        let mut routes = one_master();
        routes.heartbeat("C", "a:0", 60_000);
        routes.heartbeat("C", "nobody:0", 60_000);
        assert!(routes.expire(180_000, &config()).connections.is_empty());
        assert_eq!(routes.expire(180_001, &config()).connections, [1]);
    }

    #[test]
    fn the_version_is_the_one_of_the_last_registration() {
        let routes = one_master();
        assert_eq!(routes.data_version("C", "a:0"), Some(DataVersion { counter: 1, ..Default::default() }));
        assert_eq!(routes.data_version("other", "a:0"), None);
    }
}
