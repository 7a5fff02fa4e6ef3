//! Lists of topics, and what an administrator changes in the tables directly.

use std::collections::BTreeMap;

use raptormq_config::NamesrvConfig;
use raptormq_protocol::body::TopicList;
use raptormq_protocol::route::QueueData;

use super::Routes;
use super::register::has_room;

/// Bit of a topic's system flag: it belongs to a unit. Java: `TopicSysFlag`.
const FLAG_UNIT: i32 = 1;
/// Bit of a topic's system flag: units subscribe to it.
const FLAG_UNIT_SUB: i32 = 2;

/// Which topics of units are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitTopics {
    /// Those that belong to a unit (311).
    Unit,
    /// Those that units subscribe to (312).
    UnitSub,
    /// Those that units subscribe to without belonging to one (313).
    UnitSubWithoutUnit,
}

impl Routes {
    /// All topics.
    pub(crate) fn topic_list(&self) -> TopicList {
        TopicList { broker_addr: None, topic_list: self.topics.keys().cloned().collect() }
    }

    /// The topics that a group of this cluster serves.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> TopicList {
        let Some(names) = self.clusters.get(cluster) else { return TopicList::default() };
        self.topics_where(|brokers| brokers.keys().any(|name| names.contains(name)))
    }

    /// The topics that are there because there are clusters and brokers: their names; and the address of some broker,
    /// which can be asked for the others.
    pub(crate) fn system_topic_list(&self) -> TopicList {
        let names = self.clusters.iter().flat_map(|(cluster, brokers)| std::iter::once(cluster).chain(brokers));
        TopicList {
            broker_addr: self.groups.values().find_map(|group| group.broker_addrs.values().next().cloned()),
            topic_list: names.cloned().collect(),
        }
    }

    /// The topics of units.
    pub(crate) fn unit_topics(&self, wanted: UnitTopics) -> TopicList {
        self.topics_where(|brokers| {
            let flag = brokers.values().next().map_or(0, |queues| queues.topic_sys_flag);
            let (unit, unit_sub) = (flag & FLAG_UNIT != 0, flag & FLAG_UNIT_SUB != 0);
            match wanted {
                UnitTopics::Unit => unit,
                UnitTopics::UnitSub => unit_sub,
                UnitTopics::UnitSubWithoutUnit => unit_sub && !unit,
            }
        })
    }

    fn topics_where(&self, is_wanted: impl Fn(&BTreeMap<String, QueueData>) -> bool) -> TopicList {
        let wanted = self.topics.iter().filter(|(_, brokers)| is_wanted(brokers));
        TopicList { broker_addr: None, topic_list: wanted.map(|(topic, _)| topic.clone()).collect() }
    }

    /// Changes the permission of all topics of a broker name, and says how many there are. It lasts until the broker
    /// registers a changed table.
    pub(crate) fn change_write_permission(&mut self, broker_name: &str, change: impl Fn(i32) -> i32) -> i32 {
        let mut count = 0;
        for queues in self.topics.values_mut().filter_map(|brokers| brokers.get_mut(broker_name)) {
            queues.perm = change(queues.perm);
            count += 1;
        }
        count
    }

    /// Forgets a topic.
    pub(crate) fn delete_topic(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.mappings.remove(topic);
    }

    /// Forgets a topic of one cluster.
    pub(crate) fn delete_topic_of_cluster(&mut self, topic: &str, cluster: &str) {
        let Some(names) = self.clusters.get(cluster) else { return };
        if let Some(brokers) = self.topics.get_mut(topic) {
            brokers.retain(|name, _| !names.contains(name));
            if brokers.is_empty() {
                self.topics.remove(topic);
            }
        }
        if let Some(brokers) = self.mappings.get_mut(topic) {
            brokers.retain(|name, _| !names.contains(name));
            if brokers.is_empty() {
                self.mappings.remove(topic);
            }
        }
    }

    /// Enters a topic for groups that are registered; as in Java, those from the first unknown group on are left out,
    /// silently. So is what finds no room.
    pub(crate) fn register_topic(&mut self, topic: &str, queues: Vec<QueueData>, config: &NamesrvConfig) {
        let known: Vec<QueueData> =
            queues.into_iter().take_while(|queues| self.groups.contains_key(&queues.broker_name)).collect();
        if topic.is_empty() || known.is_empty() || !has_room(&self.topics, known.len(), config.topics_max) {
            return;
        }
        let brokers = self.topics.entry(topic.to_owned()).or_default();
        brokers.extend(known.into_iter().map(|queues| (queues.broker_name.clone(), queues)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Registration;
    use super::super::testing::{broker, config, one_master, perm, topics};
    use super::*;

    /// Broker `a` of cluster C with A and B, `b` of cluster D with A and X.
    fn two_clusters() -> Routes {
        let mut routes = one_master();
        let mut other = Registration { topics: topics(&["A", "X"], 1), ..broker("b", 0, "b:0") };
        other.header.cluster_name = "D";
        routes.register(other, &config()).unwrap();
        routes
    }

    fn queues(broker_name: &str) -> QueueData {
        QueueData { broker_name: broker_name.to_owned(), perm: 6, ..Default::default() }
    }

    #[test]
    fn lists_are_of_everything_of_a_cluster_or_of_the_system() {
        let routes = two_clusters();
        assert_eq!(routes.topic_list().topic_list, ["A", "B", "X"]);
        assert_eq!(routes.topics_of_cluster("D").topic_list, ["A", "X"]);
        assert_eq!(routes.topics_of_cluster("nothing"), TopicList::default());
        let system = routes.system_topic_list();
        assert_eq!(system.topic_list, ["C", "a", "D", "b"]);
        assert_eq!(system.broker_addr.as_deref(), Some("a:0"));
        assert_eq!(Routes::default().system_topic_list(), TopicList::default());
    }

    #[test]
    fn unit_topics_are_told_by_their_flag() {
        let mut routes = Routes::default();
        let mut topics = topics(&["0", "1", "2", "3"], 1);
        for (name, topic) in &mut topics.topic_config_table {
            topic.topic_sys_flag = name.parse().unwrap();
        }
        routes.register(Registration { topics, ..broker("a", 0, "a:0") }, &config()).unwrap();
        assert_eq!(routes.unit_topics(UnitTopics::Unit).topic_list, ["1", "3"]);
        assert_eq!(routes.unit_topics(UnitTopics::UnitSub).topic_list, ["2", "3"]);
        assert_eq!(routes.unit_topics(UnitTopics::UnitSubWithoutUnit).topic_list, ["2"]);
    }

    #[test]
    fn permissions_change_for_all_topics_of_a_broker_and_all_are_counted() {
        let mut routes = two_clusters();
        assert_eq!(routes.change_write_permission("a", |perm| perm & !2), 2);
        assert_eq!(routes.change_write_permission("a", |perm| perm & !2), 2);
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "A", "b")), (4, 6));
        assert_eq!(routes.change_write_permission("nobody", |_| 6), 0);
    }

    #[test]
    fn a_topic_is_deleted_everywhere_or_in_one_cluster() {
        let mut routes = two_clusters();
        routes.delete_topic_of_cluster("A", "D");
        assert_eq!((perm(&routes, "A", "a"), perm(&routes, "A", "b")), (6, -1));
        routes.delete_topic_of_cluster("A", "nothing");
        routes.delete_topic_of_cluster("X", "D");
        assert_eq!(routes.topic_list().topic_list, ["A", "B"]);
        routes.delete_topic("A");
        routes.delete_topic("nothing");
        assert_eq!(routes.topic_list().topic_list, ["B"]);
    }

    #[test]
    fn a_registered_topic_stops_at_the_first_unknown_group() {
        let mut routes = two_clusters();
        routes.register_topic("T", vec![queues("a"), queues("nobody"), queues("b")], &config());
        assert_eq!((perm(&routes, "T", "a"), perm(&routes, "T", "b")), (6, -1));
        routes.register_topic("U", vec![queues("nobody")], &config());
        assert_eq!(routes.route("U", false), None);
        assert!(!routes.topic_list().topic_list.contains(&"U".to_owned()));
        let full = NamesrvConfig { topics_max: 4, ..config() };
        routes.register_topic("V", vec![queues("a")], &full);
        assert_eq!(routes.route("V", false), None);
    }
}
