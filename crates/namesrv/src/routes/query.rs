//! What the tables know about one topic, one group, one cluster.

use std::collections::BTreeMap;

use raptormq_protocol::body::{BrokerMemberGroup, PERM_WRITE};
use raptormq_protocol::hash::sort_as_java_map;
use raptormq_protocol::route::{BrokerData, ClusterInfo, QueueData, TopicRouteData};

use super::{BrokerKey, MASTER_ID, Routes, min_id};

/// Topics by which brokers of a group find each other; they see the group as it is, without an acting master.
/// Java: `TopicValidator.SYNC_BROKER_MEMBER_GROUP_PREFIX`.
const SYNC_BROKER_MEMBER_GROUP_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

impl Routes {
    /// Who serves a topic; `None` when nobody does. With `shows_acting_master`, a slave that stands in for its master
    /// is shown as the master.
    pub(crate) fn route(&self, topic: &str, shows_acting_master: bool) -> Option<TopicRouteData> {
        let brokers = self.topics.get(topic)?;
        let mut queue_datas: Vec<QueueData> = brokers.values().cloned().collect();
        // Tools ask the first broker of a route, so its place is part of what they show.
        sort_as_java_map(&mut queue_datas, |queues| &queues.broker_name);
        let groups = queue_datas.iter().filter_map(|queues| self.groups.get(&queues.broker_name));
        let broker_datas: Vec<BrokerData> = groups.cloned().collect();
        if broker_datas.is_empty() {
            return None;
        }
        let mut route = TopicRouteData {
            filter_server_table: self.filter_servers(&broker_datas),
            broker_datas,
            queue_datas,
            topic_queue_mapping_by_broker: self.mappings.get(topic).cloned(),
            order_topic_conf: None,
        };
        if shows_acting_master && !topic.starts_with(SYNC_BROKER_MEMBER_GROUP_PREFIX) {
            show_acting_masters(&mut route);
        }
        Some(route)
    }

    fn filter_servers(&self, groups: &[BrokerData]) -> BTreeMap<String, Vec<String>> {
        let addrs = groups.iter().flat_map(|group| group.broker_addrs.values().map(|addr| (&group.cluster, addr)));
        let live = addrs.filter_map(|(cluster, addr)| Some((addr, self.live.get(&BrokerKey::new(cluster, addr))?)));
        live.filter(|(_, live)| !live.filter_servers.is_empty())
            .map(|(addr, live)| (addr.clone(), live.filter_servers.clone()))
            .collect()
    }

    /// All groups and clusters.
    pub(crate) fn cluster_info(&self) -> ClusterInfo {
        ClusterInfo { broker_addr_table: self.groups.clone(), cluster_addr_table: self.clusters.clone() }
    }

    /// The brokers of a group; none when there is no such group.
    pub(crate) fn member_group(&self, cluster: &str, broker_name: &str) -> BrokerMemberGroup {
        BrokerMemberGroup {
            broker_addrs: self.groups.get(broker_name).map(|group| group.broker_addrs.clone()).unwrap_or_default(),
            broker_name: broker_name.to_owned(),
            cluster: cluster.to_owned(),
        }
    }
}

/// In each group that has no master, may have an acting one and cannot be written to, the smallest id becomes 0.
fn show_acting_masters(route: &mut TopicRouteData) {
    for group in &mut route.broker_datas {
        if !group.enable_acting_master || group.broker_addrs.contains_key(&MASTER_ID) {
            continue;
        }
        let queues = route.queue_datas.iter().find(|queues| queues.broker_name == group.broker_name);
        if queues.is_none_or(|queues| queues.perm & PERM_WRITE != 0) {
            continue;
        }
        if let Some(addr) = min_id(group).and_then(|id| group.broker_addrs.remove(&id)) {
            group.broker_addrs.insert(MASTER_ID, addr);
        }
    }
}

/// Leaves only the groups of a zone in a route, and those without a master, which must be reachable from everywhere.
/// Java: `namesrv/…/namesrv/route/ZoneRouteRPCHook.java`.
pub(crate) fn keep_zone(route: &mut TopicRouteData, zone: &str) {
    let stays = |group: &BrokerData| {
        let is_of_zone = group.zone_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(zone));
        is_of_zone || !group.broker_addrs.contains_key(&MASTER_ID)
    };
    let (kept, removed): (Vec<_>, Vec<_>) = std::mem::take(&mut route.broker_datas).into_iter().partition(stays);
    let is_removed = |queues: &QueueData| removed.iter().any(|group| group.broker_name == queues.broker_name);
    route.queue_datas.retain(|queues| !is_removed(queues));
    for addr in removed.iter().flat_map(|group| group.broker_addrs.values()) {
        route.filter_server_table.remove(addr);
    }
    route.broker_datas = kept;
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broker, config, one_master, topics};
    use super::super::{Departure, Registration};
    use super::*;

    fn names(route: &TopicRouteData) -> Vec<&str> {
        route.broker_datas.iter().map(|group| group.broker_name.as_str()).collect()
    }

    /// Group `a` with slaves 1 and 2, one of which may act, after its master went.
    fn without_master() -> Routes {
        let mut routes = one_master();
        for (id, addr) in [(1, "a:1"), (2, "a:2")] {
            let mut slave = broker("a", id, addr);
            slave.header.enable_acting_master = Some(true);
            routes.register(slave, &config()).unwrap();
        }
        let master = Departure { key: BrokerKey::new("C", "a:0"), broker_name: "a".to_owned() };
        routes.unregister(&[master], &config());
        routes
    }

    #[test]
    fn a_route_has_each_group_with_its_queues() {
        let mut routes = one_master();
        let other = Registration {
            topics: topics(&["A", "X"], 1),
            filter_servers: vec!["f:1".to_owned()],
            zone_name: Some("z"),
            ..broker("b", 0, "b:0")
        };
        routes.register(other, &config()).unwrap();
        let route = routes.route("A", false).unwrap();
        assert_eq!(names(&route), ["a", "b"]);
        assert_eq!(route.queue_datas.iter().map(|queues| queues.read_queue_nums).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(route.filter_server_table, [("b:0".to_owned(), vec!["f:1".to_owned()])].into());
        assert_eq!(route.topic_queue_mapping_by_broker, None);
        assert_eq!(names(&routes.route("B", false).unwrap()), ["a"]);
        assert_eq!(routes.route("nothing", false), None);
    }

    #[test]
    fn a_static_topic_carries_its_mapping() {
        let mut routes = Routes::default();
        let mut topics = topics(&["A", "B"], 1);
        topics.topic_queue_mapping_info_map.insert("A".to_owned(), Default::default());
        routes.register(Registration { topics, ..broker("a", 0, "a:0") }, &config()).unwrap();
        let mapping = routes.route("A", false).unwrap().topic_queue_mapping_by_broker.unwrap();
        assert_eq!(mapping.keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn the_acting_master_is_the_smallest_slave_of_a_group_that_cannot_be_written_to() {
        let routes = without_master();
        let addrs = |shown| routes.route("A", shown).unwrap().broker_datas[0].broker_addrs.clone();
        assert_eq!(addrs(true), [(0, "a:1".to_owned()), (2, "a:2".to_owned())].into());
        assert_eq!(addrs(false), [(1, "a:1".to_owned()), (2, "a:2".to_owned())].into());
        let mut writable = without_master();
        writable.change_write_permission("a", |perm| perm | PERM_WRITE);
        assert!(!writable.route("A", true).unwrap().broker_datas[0].broker_addrs.contains_key(&MASTER_ID));
    }

    #[test]
    fn brokers_that_look_for_their_group_see_it_as_it_is() {
        let topic = format!("{SYNC_BROKER_MEMBER_GROUP_PREFIX}a");
        let mut routes = Routes::default();
        let mut slave = Registration { topics: topics(&[&topic, "B"], 1), ..broker("a", 1, "a:1") };
        slave.header.enable_acting_master = Some(true);
        routes.register(slave, &config()).unwrap();
        assert!(!routes.route(&topic, true).unwrap().broker_datas[0].broker_addrs.contains_key(&MASTER_ID));
        assert!(routes.route("B", true).unwrap().broker_datas[0].broker_addrs.contains_key(&MASTER_ID));
    }

    #[test]
    fn a_zone_keeps_its_own_groups_and_those_without_a_master() {
        let mut routes = one_master();
        for (name, id, addr, zone) in [("near", 0, "n:0", Some("Z1")), ("orphan", 1, "o:1", Some("z2"))] {
            let mut member = Registration { zone_name: zone, topics: topics(&["A", "B"], 1), ..broker(name, id, addr) };
            member.header.enable_acting_master = Some(false);
            routes.register(member, &config()).unwrap();
        }
        let mut route = routes.route("A", false).unwrap();
        keep_zone(&mut route, "z1");
        assert_eq!(names(&route), ["near", "orphan"]);
        assert_eq!(route.queue_datas.len(), 2);
    }

    #[test]
    fn cluster_and_group_are_shown_as_they_are() {
        let routes = without_master();
        let info = routes.cluster_info();
        assert_eq!(info.broker_addr_table["a"].broker_addrs.len(), 2);
        assert!(info.cluster_addr_table["C"].contains("a"));
        assert_eq!(routes.member_group("C", "a").broker_addrs.len(), 2);
        assert_eq!(
            routes.member_group("C", "x"),
            BrokerMemberGroup { broker_name: "x".to_owned(), cluster: "C".to_owned(), ..Default::default() }
        );
    }
}
