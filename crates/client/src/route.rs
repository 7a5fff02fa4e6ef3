//! Where the queues of a topic are: what the client made of the name server's answer, and the table of what it knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::route::TopicRouteData;

/// Permission bit: consumers may read.
const PERM_READ: i32 = 4;
/// Permission bit: producers may write.
const PERM_WRITE: i32 = 2;
/// Most queues of one broker that are believed; a wrong answer must not cost memory without end.
const QUEUES_MAX: i32 = 65_536;
/// Id of a group's master.
pub(crate) const MASTER_ID: i64 = 0;

/// A queue to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishQueue {
    pub(crate) queue: MessageQueue,
    /// Address of the broker group's master.
    pub(crate) address: String,
}

/// The queues of one topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Queues to send to.
    pub(crate) publish: Vec<Arc<PublishQueue>>,
    /// Queues to consume from, sorted.
    pub(crate) subscribe: Vec<MessageQueue>,
    /// Broker name to the addresses of the group's members.
    brokers: BTreeMap<String, BTreeMap<i64, String>>,
}

impl Route {
    /// The route that an answer describes.
    ///
    /// Java: `MQClientInstance.topicRouteData2TopicPublishInfo`, `topicRouteData2TopicSubscribeInfo`.
    pub(crate) fn of(topic: &str, data: &TopicRouteData) -> Route {
        let brokers: BTreeMap<String, BTreeMap<i64, String>> =
            data.broker_datas.iter().map(|broker| (broker.broker_name.clone(), broker.broker_addrs.clone())).collect();
        let queue = |broker_name: &str, queue_id| MessageQueue {
            topic: topic.to_owned(),
            broker_name: broker_name.to_owned(),
            queue_id,
        };
        let mut publish = Vec::new();
        for (broker_name, count) in writable(data) {
            let Some(address) = brokers.get(broker_name).and_then(|members| members.get(&MASTER_ID)) else { continue };
            publish.extend(
                (0..count.min(QUEUES_MAX))
                    .map(|id| Arc::new(PublishQueue { queue: queue(broker_name, id), address: address.clone() })),
            );
        }
        let readable = data.queue_datas.iter().filter(|queues| queues.perm & PERM_READ != 0);
        let mut subscribe: Vec<MessageQueue> = readable
            .flat_map(|queues| (0..queues.read_queue_nums.min(QUEUES_MAX)).map(|id| queue(&queues.broker_name, id)))
            .collect();
        subscribe.sort();
        subscribe.dedup();
        Route { publish, subscribe, brokers }
    }

    /// The route to use for a topic that does not exist yet: that of the topic it will be created from, with as many
    /// queues as it will get.
    pub(crate) fn of_default(topic: &str, default: &TopicRouteData, queue_count_max: i32) -> Route {
        let mut data = default.clone();
        data.order_topic_conf = None;
        for queues in &mut data.queue_datas {
            let count = queues.read_queue_nums.min(queue_count_max);
            (queues.read_queue_nums, queues.write_queue_nums) = (count, count);
        }
        // Nothing can be read before the topic exists.
        Route { subscribe: Vec::new(), ..Route::of(topic, &data) }
    }

    /// The same route with messages going to the brokers' second ports.
    pub(crate) fn with_vip_addresses(mut self) -> Route {
        for to in &mut self.publish {
            *to = Arc::new(PublishQueue { queue: to.queue.clone(), address: vip_address(&to.address) });
        }
        self
    }

    /// Address of a broker group's master.
    pub(crate) fn master(&self, broker_name: &str) -> Option<&str> {
        self.member(broker_name, MASTER_ID).filter(|(id, _)| *id == MASTER_ID).map(|(_, address)| address)
    }

    /// Address of the group's member `id`, or of any other if there is none with that id.
    pub(crate) fn member(&self, broker_name: &str, id: i64) -> Option<(i64, &str)> {
        let members = self.brokers.get(broker_name)?;
        let (id, address) = members.get_key_value(&id).or_else(|| members.first_key_value())?;
        Some((*id, address))
    }

    /// Addresses of brokers to show oneself to: the masters; with `slaves`, all members.
    fn addresses(&self, slaves: bool) -> impl Iterator<Item = &str> {
        let members = self.brokers.values().flatten();
        members.filter(move |(id, _)| slaves || **id == MASTER_ID).map(|(_, address)| address.as_str())
    }

    /// Any broker of the topic; they all know its consumers.
    pub(crate) fn any_broker(&self) -> Option<&str> {
        self.subscribe.first().and_then(|queue| self.member(&queue.broker_name, MASTER_ID)).map(|(_, address)| address)
    }
}

/// A broker's port for what must not wait behind pulls: its port less 2 (Java: `MixAll.brokerVIPChannel`).
pub(crate) fn vip_address(address: &str) -> String {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port)) => format!("{host}:{}", port.saturating_sub(2)),
        None => address.to_owned(),
    }
}

/// Broker names and how many queues they have to send to: from the setting of a globally ordered topic if it has one.
fn writable(data: &TopicRouteData) -> Vec<(&str, i32)> {
    if let Some(order) = data.order_topic_conf.as_deref().filter(|order| !order.is_empty()) {
        let parts = order.split(';').filter_map(|part| part.split_once(':'));
        return parts.filter_map(|(name, count)| Some((name, count.parse().ok()?))).collect();
    }
    let writable = data.queue_datas.iter().filter(|queues| queues.perm & PERM_WRITE != 0);
    let mut queues: Vec<(&str, i32)> =
        writable.map(|queues| (queues.broker_name.as_str(), queues.write_queue_nums)).collect();
    queues.sort();
    queues
}

/// The routes of the topics this client works with. Reading takes no lock: every send looks here.
///
/// Bounded by the topics the program uses.
#[derive(Default)]
pub(crate) struct Routes {
    table: ArcSwap<HashMap<String, Arc<Route>>>,
    /// Serializes changes.
    change: Mutex<()>,
}

impl Routes {
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Route>> {
        self.table.load().get(topic).cloned()
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.table.load().keys().cloned().collect()
    }

    /// Puts a route into the table and returns what stands there now. Returns the old one if it is equal.
    pub(crate) fn put(&self, topic: &str, route: Route) -> Arc<Route> {
        let _change = self.change.lock();
        let table = self.table.load();
        if let Some(known) = table.get(topic).filter(|known| ***known == route) {
            return known.clone();
        }
        let route = Arc::new(route);
        let mut table = HashMap::clone(&table);
        table.insert(topic.to_owned(), route.clone());
        self.table.store(Arc::new(table));
        route
    }

    /// A topic that a broker has, and the address of its master.
    pub(crate) fn master_of(&self, broker_name: &str) -> Option<(String, String)> {
        let table = self.table.load();
        table.iter().find_map(|(topic, route)| Some((topic.clone(), route.master(broker_name)?.to_owned())))
    }

    /// Addresses of all brokers of all topics: see [`Route::addresses`].
    pub(crate) fn addresses(&self, slaves: bool) -> BTreeSet<String> {
        let table = self.table.load();
        table.values().flat_map(|route| route.addresses(slaves).map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_protocol::route::{BrokerData, QueueData};

    fn data(perm: i32) -> TopicRouteData {
        let broker = |name: &str, members: &[(i64, &str)]| BrokerData {
            broker_name: name.to_owned(),
            broker_addrs: members.iter().map(|(id, address)| (*id, (*address).to_owned())).collect(),
            ..BrokerData::default()
        };
        let queues = |name: &str, read, write| QueueData {
            broker_name: name.to_owned(),
            perm,
            read_queue_nums: read,
            write_queue_nums: write,
            ..QueueData::default()
        };
        TopicRouteData {
            broker_datas: vec![broker("b", &[(1, "b1")]), broker("a", &[(0, "a0"), (1, "a1")])],
            queue_datas: vec![queues("b", 2, 2), queues("a", 3, 2)],
            ..TopicRouteData::default()
        }
    }

    fn publish(route: &Route) -> Vec<(&str, i32)> {
        route.publish.iter().map(|to| (to.queue.broker_name.as_str(), to.queue.queue_id)).collect()
    }

    #[test]
    fn only_masters_are_written_to_and_all_are_read_from() {
        let route = Route::of("T", &data(6));
        assert_eq!(publish(&route), [("a", 0), ("a", 1)]);
        let read: Vec<_> = route.subscribe.iter().map(|queue| (queue.broker_name.as_str(), queue.queue_id)).collect();
        assert_eq!(read, [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]);
        assert_eq!((route.master("a"), route.master("b")), (Some("a0"), None));
        assert_eq!((route.member("a", 1), route.member("a", 7)), (Some((1, "a1")), Some((0, "a0"))));
        assert_eq!(route.any_broker(), Some("a0"));
    }

    #[test]
    fn the_second_port_is_two_below() {
        assert_eq!((vip_address("h:10911"), vip_address("[::1]:10911")), ("h:10909".into(), "[::1]:10909".into()));
        let route = Route::of("T", &TopicRouteData { ..data(6) }).with_vip_addresses();
        assert_eq!((route.publish[0].address.as_str(), route.master("a")), ("a0", Some("a0")));
    }

    #[test]
    fn permissions_count() {
        assert_eq!(publish(&Route::of("T", &data(4))), []);
        assert_eq!(Route::of("T", &data(2)).subscribe, []);
    }

    #[test]
    fn an_ordered_topic_is_sent_to_as_its_setting_says() {
        let data = TopicRouteData { order_topic_conf: Some("a:1;x:2;junk".to_owned()), ..data(6) };
        assert_eq!(publish(&Route::of("T", &data)), [("a", 0)]);
    }

    #[test]
    fn a_topic_to_be_created_has_the_queues_it_will_get() {
        let route = Route::of_default("New", &data(7), 1);
        assert_eq!(publish(&route), [("a", 0)]);
        assert_eq!((route.publish[0].queue.topic.as_str(), route.subscribe.len()), ("New", 0));
    }

    #[test]
    fn an_equal_route_changes_nothing() {
        let routes = Routes::default();
        let first = routes.put("T", Route::of("T", &data(6)));
        assert!(Arc::ptr_eq(&first, &routes.put("T", Route::of("T", &data(6)))));
        assert!(!Arc::ptr_eq(&first, &routes.put("T", Route::of("T", &data(4)))));
        let addresses = |slaves| routes.addresses(slaves).into_iter().collect::<Vec<_>>();
        assert_eq!(
            (addresses(false), addresses(true)),
            (vec!["a0".to_owned()], vec!["a0".into(), "a1".into(), "b1".into()])
        );
    }
}
