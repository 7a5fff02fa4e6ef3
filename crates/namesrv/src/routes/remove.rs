//! A broker goes: it says so, its connection closes, or nobody has heard of it for too long.

use std::collections::BTreeSet;

use raptormq_config::NamesrvConfig;
use raptormq_protocol::body::PERM_WRITE;

use super::{BrokerKey, ConnectionId, MinBrokerIdChanged, Routes, min_id};

/// A broker that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) key: BrokerKey,
    /// The group it was in.
    pub(crate) broker_name: String,
}

/// Who was silent for too long.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The connections to close.
    pub(crate) connections: Vec<ConnectionId>,
    /// Whom to tell.
    pub(crate) notices: Vec<MinBrokerIdChanged>,
}

impl Routes {
    /// Takes brokers out of all tables. A group without brokers goes with its queues; one that may have an acting
    /// master and has lost its master can be read from only.
    pub(crate) fn unregister(&mut self, departures: &[Departure], config: &NamesrvConfig) -> Vec<MinBrokerIdChanged> {
        let mut gone = BTreeSet::new();
        let mut reduced = BTreeSet::new();
        let mut offline = Vec::new();
        for Departure { key, broker_name } in departures {
            self.live.remove(key);
            let Some(group) = self.groups.get_mut(broker_name) else { continue };
            let min_before = min_id(group);
            group.broker_addrs.retain(|_, addr| *addr != key.addr);
            if group.broker_addrs.is_empty() {
                self.groups.remove(broker_name);
                reduced.remove(broker_name.as_str());
                gone.insert(broker_name.as_str());
            } else {
                if min_id(group) != min_before {
                    offline.push((broker_name, &key.addr));
                }
                if group.enable_acting_master {
                    reduced.insert(broker_name.as_str());
                }
            }
        }
        reduced.retain(|name| !self.has_master(name));
        self.drop_queues(&gone, &reduced);
        let told = offline.into_iter().filter(|_| config.notify_min_broker_id_changed);
        told.filter_map(|(broker_name, addr)| self.went_offline(broker_name, addr)).collect()
    }

    /// Removes the queues of the groups that are `gone`, and the write permission of those that are `read_only`.
    fn drop_queues(&mut self, gone: &BTreeSet<&str>, read_only: &BTreeSet<&str>) {
        if gone.is_empty() && read_only.is_empty() {
            return;
        }
        self.topics.retain(|_, brokers| {
            brokers.retain(|name, queues| {
                if read_only.contains(name.as_str()) {
                    queues.perm &= !PERM_WRITE;
                }
                !gone.contains(name.as_str())
            });
            !brokers.is_empty()
        });
        self.mappings.retain(|_, brokers| {
            brokers.retain(|name, _| !gone.contains(name.as_str()));
            !brokers.is_empty()
        });
        self.clusters.retain(|_, names| {
            names.retain(|name| !gone.contains(name.as_str()));
            !names.is_empty()
        });
    }

    fn went_offline(&self, broker_name: &str, addr: &str) -> Option<MinBrokerIdChanged> {
        let group = self.groups.get(broker_name)?;
        let (min_broker_id, min_broker_addr) = group.broker_addrs.first_key_value()?;
        Some(MinBrokerIdChanged {
            broker_name: broker_name.to_owned(),
            min_broker_id: *min_broker_id,
            min_broker_addr: min_broker_addr.clone(),
            offline_broker_addr: Some(addr.to_owned()),
            ha_broker_addr: None,
            to: group.broker_addrs.values().cloned().collect(),
        })
    }

    /// Removes every broker that registered on this connection, which has closed.
    pub(crate) fn connection_closed(
        &mut self,
        connection: ConnectionId,
        config: &NamesrvConfig,
    ) -> Vec<MinBrokerIdChanged> {
        let of_connection = self.live.iter().filter(|(_, live)| live.connection == connection);
        let departures: Vec<Departure> = of_connection
            .map(|(key, live)| Departure { key: key.clone(), broker_name: live.broker_name.clone() })
            .collect();
        self.unregister(&departures, config)
    }

    /// Removes every broker that was last heard of longer ago than it said.
    pub(crate) fn expire(&mut self, now_ms: i64, config: &NamesrvConfig) -> Expired {
        let mut departures = Vec::new();
        let mut connections = Vec::new();
        for (key, live) in &self.live {
            if live.heard_ms.saturating_add(live.timeout_ms) < now_ms {
                departures.push(Departure { key: key.clone(), broker_name: live.broker_name.clone() });
                connections.push(live.connection);
            }
        }
        Expired { connections, notices: self.unregister(&departures, config) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Registration;
    use super::super::testing::{broker, config, one_master, perm, topics};
    use super::*;

    fn departure(addr: &str) -> Departure {
        Departure { key: BrokerKey::new("C", addr), broker_name: "a".to_owned() }
    }

    #[test]
    fn the_last_broker_of_a_group_takes_everything_with_it() {
        let mut routes = one_master();
        routes.unregister(&[departure("a:0")], &config());
        assert!(routes.topics.is_empty() && routes.groups.is_empty());
        assert!(routes.clusters.is_empty() && routes.live.is_empty());
    }

    #[test]
    fn topics_of_other_groups_stay() {
        let mut routes = one_master();
        let other = Registration { topics: topics(&["A", "X"], 1), ..broker("b", 0, "b:0") };
        routes.register(other, &config()).unwrap();
        routes.unregister(&[departure("a:0")], &config());
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "A", "b"), perm(&routes, "B", "a")), (-1, 6, -1));
        assert_eq!(routes.clusters["C"].iter().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_stranger_that_goes_changes_nothing() {
        let mut routes = one_master();
        assert_eq!(routes.unregister(&[departure("nobody:0")], &config()), []);
        assert_eq!(perm(&routes, "A", "a"), 6);
    }

    #[test]
    fn a_group_that_lost_its_master_can_be_read_only_if_a_slave_may_act() {
        for (may_act, expected) in [(true, 4), (false, 6)] {
            let mut routes = one_master();
            let mut slave = broker("a", 1, "a:1");
            slave.header.enable_acting_master = Some(may_act);
            routes.register(slave, &config()).unwrap();
            routes.unregister(&[departure("a:0")], &config());
            assert_eq!(perm(&routes, "A", "a"), expected);
        }
    }

    #[test]
    fn a_slave_that_goes_leaves_the_write_permission() {
        let mut routes = one_master();
        let mut slave = broker("a", 1, "a:1");
        slave.header.enable_acting_master = Some(true);
        routes.register(slave, &config()).unwrap();
        routes.unregister(&[departure("a:1")], &config());
        assert_eq!(perm(&routes, "A", "a"), 6);
    }

    #[test]
    fn a_closed_connection_takes_its_brokers_but_not_one_that_came_back_on_another() {
        let mut routes = one_master();
        routes.register(Registration { connection: 2, ..broker("a", 1, "a:1") }, &config()).unwrap();
        routes.register(Registration { connection: 2, ..broker("a", 0, "a:0") }, &config()).unwrap();
        routes.connection_closed(1, &config());
        assert_eq!(routes.groups["a"].broker_addrs.len(), 2);
        routes.connection_closed(2, &config());
        assert!(routes.groups.is_empty());
    }

    #[test]
    fn a_broker_expires_after_the_time_that_it_named() {
        let mut routes = one_master();
        let mut hasty = Registration { connection: 2, ..broker("a", 1, "a:1") };
        hasty.header.heartbeat_timeout_millis = Some(1_000);
        routes.register(hasty, &config()).unwrap();
        assert_eq!(routes.expire(1_000, &config()), Expired::default());
        assert_eq!(routes.expire(1_001, &config()).connections, [2]);
        assert_eq!(routes.groups["a"].broker_addrs.len(), 1);
    }

    #[test]
    fn the_rest_is_told_when_the_smallest_id_went_and_the_configuration_says_so() {
        let mut routes = one_master();
        let telling = NamesrvConfig { notify_min_broker_id_changed: true, ..config() };
        for (id, addr) in [(1, "a:1"), (2, "a:2")] {
            routes.register(broker("a", id, addr), &telling).unwrap();
        }
        assert_eq!(routes.unregister(&[departure("a:2")], &telling), [], "not the smallest");
        let notices = routes.unregister(&[departure("a:0")], &telling);
        let expected = MinBrokerIdChanged {
            broker_name: "a".to_owned(),
            min_broker_id: 1,
            min_broker_addr: "a:1".to_owned(),
            offline_broker_addr: Some("a:0".to_owned()),
            ha_broker_addr: None,
            to: vec!["a:1".to_owned()],
        };
        assert_eq!(notices, [expected]);
        assert_eq!(routes.unregister(&[departure("a:1")], &telling), [], "nobody is left to be told");
    }
}
