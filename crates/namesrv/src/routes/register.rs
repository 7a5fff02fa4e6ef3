//! A broker registers: its address, and the topics it serves.

use std::collections::BTreeMap;

use raptormq_config::NamesrvConfig;
use raptormq_protocol::body::{PERM_WRITE, TopicConfig, TopicConfigAndMappingSerializeWrapper};
use raptormq_protocol::header::RegisterBrokerRequestHeader;
use raptormq_protocol::route::{BrokerData, QueueData};
use thiserror::Error;

use super::{BrokerKey, ConnectionId, Departure, LiveBroker, MASTER_ID, MinBrokerIdChanged, Routes, min_id};

/// After how long without a word a broker is taken for dead, if it does not say so itself, ms.
/// Java: `RouteInfoManager.DEFAULT_BROKER_CHANNEL_EXPIRED_TIME`.
const HEARTBEAT_TIMEOUT_MS: i64 = 120_000;

/// The longest name or address that is taken, in bytes. A topic's length is one byte in the commit log.
const NAME_BYTES_MAX: usize = 255;

/// Filter servers of one broker. RocketMQ has given them up; old brokers have one or two.
const FILTER_SERVERS_MAX: usize = 64;

/// What a broker says of itself when it registers.
pub(crate) struct Registration<'a> {
    pub(crate) header: RegisterBrokerRequestHeader<'a>,
    /// The zone it stands in, where zones are used.
    pub(crate) zone_name: Option<&'a str>,
    pub(crate) topics: TopicConfigAndMappingSerializeWrapper,
    pub(crate) filter_servers: Vec<String>,
    /// The connection it speaks on.
    pub(crate) connection: ConnectionId,
    pub(crate) now_ms: i64,
}

/// What a broker is told when it has registered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    /// For slaves whose master lives: where its log is reached.
    pub(crate) ha_server_addr: Option<String>,
    /// For slaves whose master lives: where it is reached.
    pub(crate) master_addr: Option<String>,
    /// Whom else to tell.
    pub(crate) notice: Option<MinBrokerIdChanged>,
}

/// Why a registration is refused. The first words are the ones that Java answers.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum RegisterRefused {
    /// A broker that is not known yet announces a single changed topic; its whole table must come first.
    #[error("register broker failed")]
    SingleTopic,
    /// Without a name, an address and a cluster nobody could use it.
    #[error("register broker failed: {0} is empty")]
    Nameless(&'static str),
    /// A name longer than any that a broker has.
    #[error("register broker failed: {0} is longer than {NAME_BYTES_MAX} bytes")]
    TooLong(&'static str),
    /// The tables are full.
    #[error("register broker failed: the name server holds {max} {what} already; raise {key} to let it hold more")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many it may hold.
        max: u32,
        /// The key that says so.
        key: &'static str,
    },
}

impl Routes {
    /// Takes a broker and its topics into the tables, or brings them up to date.
    ///
    /// # Errors
    /// The registration is refused; nothing has changed.
    pub(crate) fn register(
        &mut self,
        registration: Registration<'_>,
        config: &NamesrvConfig,
    ) -> Result<Registered, RegisterRefused> {
        let header = &registration.header;
        check_names(&registration)?;
        let key = BrokerKey::new(header.cluster_name, header.broker_addr);
        if self.is_superseded(&registration) {
            let departure = Departure { key, broker_name: header.broker_name.to_owned() };
            self.unregister(&[departure], config);
            return Ok(Registered::default());
        }
        let group = self.groups.get(header.broker_name);
        let is_first = group.is_none_or(|group| !group.broker_addrs.contains_key(&header.broker_id));
        let min_before = group.and_then(min_id);
        if is_first && registration.topics.topic_config_table.len() == 1 {
            return Err(RegisterRefused::SingleTopic);
        }
        self.check_room(&key, &registration, config)?;

        let group = self.join_group(&registration);
        // A slave that may act as master speaks for its group as long as it has the smallest id.
        let is_lowest_slave = header.enable_acting_master.is_some()
            && header.broker_id != MASTER_ID
            && min_id(group) == Some(header.broker_id);
        let perm_mask = if is_lowest_slave && group.enable_acting_master { !PERM_WRITE } else { !0 };
        let notice = (config.notify_min_broker_id_changed && min_before.is_some_and(|min| header.broker_id < min))
            .then(|| came_online(group, header));
        if header.broker_id == MASTER_ID || is_lowest_slave {
            self.take_topics(&registration, is_first, perm_mask, config);
        }

        let master_addr = self.groups.get(header.broker_name).and_then(|group| group.broker_addrs.get(&MASTER_ID));
        let master_addr = master_addr.filter(|_| header.broker_id != MASTER_ID).cloned();
        self.live.insert(key, live_broker(&registration));
        let Some(master_addr) = master_addr else { return Ok(Registered { notice, ..Registered::default() }) };
        let master = self.live.get(&BrokerKey::new(header.cluster_name, &master_addr));
        Ok(match master {
            Some(master) => Registered {
                ha_server_addr: Some(master.ha_server_addr.clone()),
                master_addr: Some(master_addr),
                notice,
            },
            None => Registered { notice, ..Registered::default() },
        })
    }
    /// Whether another broker holds the same id with a newer state: a master of an earlier epoch that has not noticed
    /// yet that it was replaced. Its registration is answered, and has no effect.
    fn is_superseded(&self, registration: &Registration<'_>) -> bool {
        let header = &registration.header;
        let holder = self.groups.get(header.broker_name).and_then(|group| group.broker_addrs.get(&header.broker_id));
        let holder = holder.filter(|addr| *addr != header.broker_addr);
        let live = holder.and_then(|addr| self.live.get(&BrokerKey::new(header.cluster_name, addr)));
        live.is_some_and(|live| live.data_version.state_version > registration.topics.data_version.state_version)
    }

    /// Whether the tables may grow by what is registered.
    fn check_room(
        &self,
        key: &BrokerKey,
        registration: &Registration<'_>,
        config: &NamesrvConfig,
    ) -> Result<(), RegisterRefused> {
        let max = config.brokers_max;
        if !self.live.contains_key(key) && self.live.len() >= max as usize {
            return Err(RegisterRefused::Full { what: "brokers", max, key: "brokersMax" });
        }
        let max = config.topics_max;
        let broker_name = registration.header.broker_name;
        let new_queues = new_entries(&self.topics, registration.topics.topic_config_table.keys(), broker_name);
        let mappings = registration.topics.topic_queue_mapping_info_map.keys();
        let new_mappings = new_entries(&self.mappings, mappings, broker_name);
        if !has_room(&self.topics, new_queues, max) || !has_room(&self.mappings, new_mappings, max) {
            return Err(RegisterRefused::Full { what: "topics", max, key: "topicsMax" });
        }
        Ok(())
    }

    /// Enters the broker into its group and cluster. An address has one id: a broker that comes back with another one
    /// has changed its role.
    fn join_group(&mut self, registration: &Registration<'_>) -> &BrokerData {
        let header = &registration.header;
        if !self.clusters.get(header.cluster_name).is_some_and(|names| names.contains(header.broker_name)) {
            self.clusters.entry(header.cluster_name.to_owned()).or_default().insert(header.broker_name.to_owned());
        }
        let group = self.groups.entry(header.broker_name.to_owned()).or_insert_with(|| BrokerData {
            broker_name: header.broker_name.to_owned(),
            cluster: header.cluster_name.to_owned(),
            ..BrokerData::default()
        });
        group.enable_acting_master = header.enable_acting_master == Some(true);
        group.zone_name = registration.zone_name.map(str::to_owned);
        group.broker_addrs.retain(|id, addr| *id == header.broker_id || addr != header.broker_addr);
        group.broker_addrs.insert(header.broker_id, header.broker_addr.to_owned());
        group
    }

    /// Makes the registered topics those of the group. Topics whose table has not changed since the last time stay as
    /// they are, so that a write permission that was wiped here stays wiped.
    fn take_topics(&mut self, registration: &Registration<'_>, is_first: bool, perm_mask: i32, config: &NamesrvConfig) {
        let Registration { header, topics, .. } = registration;
        let broker_name = header.broker_name;
        let known_version = self.data_version(header.cluster_name, header.broker_addr);
        let is_changed = is_first || known_version != Some(topics.data_version);
        if config.delete_topic_with_broker_registration && topics.topic_queue_mapping_info_map.is_empty() {
            self.topics.retain(|topic, brokers| {
                if !topics.topic_config_table.contains_key(topic) {
                    brokers.remove(broker_name);
                }
                !brokers.is_empty()
            });
        }
        for (topic, config) in &topics.topic_config_table {
            let brokers = match self.topics.get_mut(topic) {
                Some(brokers) => brokers,
                None => self.topics.entry(topic.clone()).or_default(),
            };
            if is_changed || !brokers.contains_key(broker_name) {
                brokers.insert(broker_name.to_owned(), queue_data(broker_name, config, perm_mask));
            }
        }
        if is_changed {
            for (topic, mapping) in &topics.topic_queue_mapping_info_map {
                let brokers = self.mappings.entry(topic.clone()).or_default();
                brokers.insert(broker_name.to_owned(), mapping.clone());
            }
        }
    }
}

/// How many of these topics the broker group is new to.
fn new_entries<'a, T>(
    table: &BTreeMap<String, BTreeMap<String, T>>,
    topics: impl Iterator<Item = &'a String>,
    broker_name: &str,
) -> usize {
    topics.filter(|topic| !table.get(*topic).is_some_and(|brokers| brokers.contains_key(broker_name))).count()
}

/// Whether a table may grow by so many entries. Only what is new is counted: who is there is never hindered.
pub(super) fn has_room<T>(table: &BTreeMap<String, BTreeMap<String, T>>, new: usize, max: u32) -> bool {
    new == 0 || table.values().map(BTreeMap::len).sum::<usize>() + new <= max as usize
}

fn check_names(registration: &Registration<'_>) -> Result<(), RegisterRefused> {
    let Registration { header, topics, filter_servers, .. } = registration;
    let names =
        [("brokerName", header.broker_name), ("brokerAddr", header.broker_addr), ("clusterName", header.cluster_name)];
    if let Some((field, _)) = names.iter().find(|(_, value)| value.is_empty()) {
        return Err(RegisterRefused::Nameless(field));
    }
    let further = [("haServerAddr", header.ha_server_addr), ("zone", registration.zone_name.unwrap_or_default())];
    let topics = topics.topic_config_table.keys().chain(topics.topic_queue_mapping_info_map.keys());
    let mut all = (names.into_iter().chain(further))
        .chain(topics.map(|topic| ("a topic", topic.as_str())))
        .chain(filter_servers.iter().map(|server| ("a filter server", server.as_str())));
    match all.find(|(_, value)| value.len() > NAME_BYTES_MAX) {
        Some((field, _)) => Err(RegisterRefused::TooLong(field)),
        None => Ok(()),
    }
}

/// What the others of the group are told about a broker whose id is the smallest now. Alone, it is told itself.
fn came_online(group: &BrokerData, header: &RegisterBrokerRequestHeader<'_>) -> MinBrokerIdChanged {
    let others = group.broker_addrs.iter().filter(|(id, _)| **id != header.broker_id || group.broker_addrs.len() == 1);
    MinBrokerIdChanged {
        broker_name: header.broker_name.to_owned(),
        min_broker_id: header.broker_id,
        min_broker_addr: header.broker_addr.to_owned(),
        offline_broker_addr: None,
        ha_broker_addr: Some(header.ha_server_addr.to_owned()),
        to: others.map(|(_, addr)| addr.clone()).collect(),
    }
}

fn live_broker(registration: &Registration<'_>) -> LiveBroker {
    let Registration { header, topics, filter_servers, connection, now_ms, .. } = registration;
    LiveBroker {
        broker_name: header.broker_name.to_owned(),
        heard_ms: *now_ms,
        timeout_ms: header.heartbeat_timeout_millis.filter(|timeout| *timeout > 0).unwrap_or(HEARTBEAT_TIMEOUT_MS),
        data_version: topics.data_version,
        connection: *connection,
        ha_server_addr: header.ha_server_addr.to_owned(),
        filter_servers: filter_servers.iter().take(FILTER_SERVERS_MAX).cloned().collect(),
    }
}

fn queue_data(broker_name: &str, topic: &TopicConfig, perm_mask: i32) -> QueueData {
    QueueData {
        broker_name: broker_name.to_owned(),
        perm: topic.perm & perm_mask,
        read_queue_nums: topic.read_queue_nums,
        topic_sys_flag: topic.topic_sys_flag,
        write_queue_nums: topic.write_queue_nums,
    }
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::route::TopicQueueMappingInfo;

    use super::super::testing::{broker, config, one_master, perm, topics};
    use super::*;

    fn addrs(routes: &Routes, name: &str) -> Vec<(i64, String)> {
        routes.groups[name].broker_addrs.clone().into_iter().collect()
    }

    #[test]
    fn a_first_registration_enters_cluster_group_and_topics() {
        let routes = one_master();
        assert_eq!(routes.clusters["C"].iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(addrs(&routes, "a"), [(0, "a:0".to_owned())]);
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "B", "a"), perm(&routes, "C", "a")), (6, 6, -1));
    }

    #[test]
    fn a_registration_without_topics_is_one() {
        let mut routes = Routes::default();
        routes.register(broker("a", 0, "a:0"), &config()).unwrap();
        assert_eq!(addrs(&routes, "a").len(), 1);
        assert!(routes.topics.is_empty());
    }

    #[test]
    fn a_single_topic_before_the_whole_table_is_refused_and_leaves_nothing() {
        let mut routes = Routes::default();
        let single = || Registration { topics: topics(&["A"], 1), ..broker("a", 0, "a:0") };
        assert_eq!(routes.register(single(), &config()), Err(RegisterRefused::SingleTopic));
        assert!(routes.groups.is_empty() && routes.clusters.is_empty() && routes.live.is_empty());
        let mut routes = one_master();
        assert!(routes.register(single(), &config()).is_ok(), "but not afterwards");
    }

    #[test]
    fn names_are_needed() {
        let refusal = Routes::default().register(broker("", 0, "a:0"), &config()).unwrap_err();
        assert_eq!(refusal.to_string(), "register broker failed: brokerName is empty");
        let long = "x".repeat(256);
        let refusal = Routes::default().register(broker("a", 0, &long), &config()).unwrap_err();
        assert_eq!(refusal.to_string(), "register broker failed: brokerAddr is longer than 255 bytes");
        let topic = Registration { topics: topics(&[&long, "B"], 1), ..broker("a", 0, "a:0") };
        assert_eq!(Routes::default().register(topic, &config()), Err(RegisterRefused::TooLong("a topic")));
    }

    #[test]
    fn the_tables_have_limits_that_do_not_hinder_who_is_there() {
        let mut routes = one_master();
        let config = NamesrvConfig { brokers_max: 1, topics_max: 2, ..config() };
        assert!(matches!(
            routes.register(broker("b", 0, "b:0"), &config),
            Err(RegisterRefused::Full { what: "brokers", .. })
        ));
        let more = |names: &[&str]| Registration { topics: topics(names, 2), ..broker("a", 0, "a:0") };
        assert!(matches!(
            routes.register(more(&["A", "X"]), &config),
            Err(RegisterRefused::Full { what: "topics", max: 2, .. })
        ));
        assert!(routes.register(more(&["A", "B"]), &config).is_ok());
        let config = NamesrvConfig { brokers_max: 2, ..config };
        let other = Registration { topics: topics(&["A", "B"], 2), ..broker("b", 0, "b:0") };
        assert!(routes.register(other, &config).is_err(), "a topic counts once for each group");
    }

    #[test]
    fn queues_follow_the_topic_only_when_the_version_changes_or_they_are_missing() {
        let mut routes = one_master();
        routes.change_write_permission("a", |perm| perm & !PERM_WRITE);
        let again = |names: &[&str], counter| Registration { topics: topics(names, counter), ..broker("a", 0, "a:0") };
        routes.register(again(&["A", "B", "D"], 1), &config()).unwrap();
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "D", "a")), (4, 6), "same version: only what is new");
        routes.register(again(&["A", "B"], 2), &config()).unwrap();
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "D", "a")), (6, 6), "missing topics stay");
    }

    #[test]
    fn topics_that_are_missing_go_when_the_configuration_says_so() {
        let mut routes = one_master();
        let config = NamesrvConfig { delete_topic_with_broker_registration: true, ..config() };
        let again = Registration { topics: topics(&["B", "D"], 2), ..broker("a", 0, "a:0") };
        routes.register(again, &config).unwrap();
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "B", "a"), perm(&routes, "D", "a")), (-1, 6, 6));
        let mut with_mapping = topics(&["B", "E"], 3);
        with_mapping.topic_queue_mapping_info_map.insert("S".to_owned(), TopicQueueMappingInfo::default());
        routes.register(Registration { topics: with_mapping, ..broker("a", 0, "a:0") }, &config).unwrap();
        assert_eq!(perm(&routes, "D", "a"), 6, "but not from a broker with static topics");
    }

    #[test]
    fn a_slave_learns_of_its_master_and_does_not_change_topics() {
        let mut routes = one_master();
        let slave = Registration { topics: topics(&["A", "X"], 9), ..broker("a", 1, "a:1") };
        let registered = routes.register(slave, &config()).unwrap();
        assert_eq!(registered.master_addr.as_deref(), Some("a:0"));
        assert_eq!(registered.ha_server_addr.as_deref(), Some("ha"));
        assert_eq!(perm(&routes, "X", "a"), -1);
        assert_eq!(addrs(&routes, "a").len(), 2);
    }

    #[test]
    fn a_slave_without_a_master_is_told_nothing() {
        let mut routes = Routes::default();
        assert_eq!(routes.register(broker("a", 1, "a:1"), &config()), Ok(Registered::default()));
    }

    #[test]
    fn the_smallest_slave_speaks_for_its_group_and_may_not_be_written_to_when_it_may_act() {
        for (enable_acting_master, expected) in [(None, -1), (Some(false), 6), (Some(true), 4)] {
            let mut routes = Routes::default();
            let mut slave = Registration { topics: topics(&["A", "B"], 1), ..broker("a", 1, "a:1") };
            slave.header.enable_acting_master = enable_acting_master;
            routes.register(slave, &config()).unwrap();
            assert_eq!(perm(&routes, "A", "a"), expected, "{enable_acting_master:?}");
            let mut second = Registration { topics: topics(&["A", "X"], 1), ..broker("a", 2, "a:2") };
            second.header.enable_acting_master = enable_acting_master;
            routes.register(second, &config()).unwrap();
            assert_eq!(perm(&routes, "X", "a"), -1, "the second slave does not");
        }
    }

    #[test]
    fn an_address_that_comes_back_with_another_id_has_only_that_one() {
        let mut routes = one_master();
        routes.register(broker("a", 3, "a:0"), &config()).unwrap();
        assert_eq!(addrs(&routes, "a"), [(3, "a:0".to_owned())]);
    }

    #[test]
    fn a_master_of_an_earlier_epoch_is_answered_and_ignored() {
        let mut routes = Routes::default();
        let of_epoch = |addr, state_version| {
            let mut topics = topics(&["A", "B"], 1);
            topics.data_version.state_version = state_version;
            Registration { topics, ..broker("a", 0, addr) }
        };
        routes.register(of_epoch("new:0", 2), &config()).unwrap();
        routes.register(broker("a", 1, "old:0"), &config()).unwrap();
        assert_eq!(routes.register(of_epoch("old:0", 1), &config()), Ok(Registered::default()));
        assert_eq!(addrs(&routes, "a"), [(0, "new:0".to_owned())]);
        assert_eq!(routes.data_version("C", "old:0"), None);
        routes.register(of_epoch("third:0", 2), &config()).unwrap();
        assert_eq!(addrs(&routes, "a"), [(0, "third:0".to_owned())], "an equal epoch takes over");
    }

    #[test]
    fn the_others_are_told_of_a_smaller_id_when_the_configuration_says_so() {
        let mut routes = Routes::default();
        let telling = NamesrvConfig { notify_min_broker_id_changed: true, ..config() };
        for (id, addr) in [(2, "a:2"), (3, "a:3")] {
            assert_eq!(routes.register(broker("a", id, addr), &telling).unwrap().notice, None, "not smaller");
        }
        let notice = routes.register(broker("a", 0, "a:0"), &telling).unwrap().notice;
        let expected = MinBrokerIdChanged {
            broker_name: "a".to_owned(),
            min_broker_id: 0,
            min_broker_addr: "a:0".to_owned(),
            offline_broker_addr: None,
            ha_broker_addr: Some("ha".to_owned()),
            to: vec!["a:2".to_owned(), "a:3".to_owned()],
        };
        assert_eq!(notice, Some(expected));
        let mut silent = Routes::default();
        silent.register(broker("a", 2, "a:2"), &config()).unwrap();
        assert_eq!(silent.register(broker("a", 0, "a:0"), &config()).unwrap().notice, None);
    }
}
