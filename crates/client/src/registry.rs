//! Who lives in this client: the producer and consumer groups that heartbeats tell brokers of, and the way from a
//! broker's notice to the consumer it is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use raptormq_protocol::heartbeat::{ConsumerData, HeartbeatData, ProducerData};
use tokio::sync::Notify;

use crate::consumer::commands::Calls;
use crate::error::{Error, Result};
use crate::producer::{Checks, Requests};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Registry {
    groups: Mutex<Groups>,
    requests: Requests,
}

#[derive(Default)]
struct Groups {
    producers: BTreeMap<String, ProducerGroup>,
    consumers: BTreeMap<String, Member>,
}

/// The producers of a group.
#[derive(Default)]
struct ProducerGroup {
    count: usize,
    /// Who answers for the transactions of the group.
    checks: Option<Arc<Checks>>,
}

/// A consumer as the registry knows it.
struct Member {
    data: ConsumerData,
    rebalance: Arc<Notify>,
    /// Where brokers' requests to it go.
    calls: Calls,
}

impl Registry {
    /// Adds a producer; `true` if brokers have to be told: it is the first of its group.
    pub(crate) fn add_producer(&self, group: &str, checks: Option<Arc<Checks>>) -> bool {
        let mut groups = self.groups.lock();
        let producers = groups.producers.entry(group.to_owned()).or_default();
        producers.count += 1;
        if checks.is_some() {
            producers.checks = checks;
        }
        producers.count == 1
    }

    /// Takes a producer out; `true` if it was the last of its group.
    pub(crate) fn remove_producer(&self, group: &str) -> bool {
        let mut groups = self.groups.lock();
        let Some(producers) = groups.producers.get_mut(group) else { return false };
        producers.count -= 1;
        let last = producers.count == 0;
        if last {
            groups.producers.remove(group);
        }
        last
    }

    /// Who answers for the transactions of a group.
    pub(crate) fn checks(&self, group: &str) -> Option<Arc<Checks>> {
        self.groups.lock().producers.get(group)?.checks.clone()
    }

    /// The requests that wait for their replies.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Adds a consumer. Two consumers of one group in one client would share a client id and so, to the broker, be one.
    pub(crate) fn add_consumer(&self, data: ConsumerData, rebalance: Arc<Notify>, calls: Calls) -> Result<()> {
        let mut groups = self.groups.lock();
        let group = data.group_name.clone();
        if groups.consumers.contains_key(&group) {
            return Err(Error::invalid(format!(
                "The consumer group[{group}] has been created before, specify another name please."
            )));
        }
        groups.consumers.insert(group, Member { data, rebalance, calls });
        Ok(())
    }

    pub(crate) fn remove_consumer(&self, group: &str) {
        self.groups.lock().consumers.remove(group);
    }

    /// The way to the consumer of `group`.
    pub(crate) fn calls(&self, group: &str) -> Option<Calls> {
        self.groups.lock().consumers.get(group).map(|member| member.calls.clone())
    }

    /// Lets the consumer of `group` look again which queues are its own.
    pub(crate) fn wake(&self, group: &str) {
        if let Some(member) = self.groups.lock().consumers.get(group) {
            member.rebalance.notify_one();
        }
    }

    /// Lets every consumer look again which queues are its own.
    pub(crate) fn wake_all(&self) {
        self.groups.lock().consumers.values().for_each(|member| member.rebalance.notify_one());
    }

    /// What to tell the brokers; `None` when there is nobody to tell of.
    pub(crate) fn heartbeat(&self, client_id: &str) -> Option<HeartbeatData> {
        let groups = self.groups.lock();
        if groups.producers.is_empty() && groups.consumers.is_empty() {
            return None;
        }
        let producer = |group: &String| ProducerData { group_name: group.clone() };
        Some(HeartbeatData {
            client_id: client_id.to_owned(),
            consumer_data_set: groups.consumers.values().map(|member| member.data.clone()).collect(),
            heartbeat_fingerprint: 0,
            producer_data_set: groups.producers.keys().map(producer).collect(),
            without_sub: false,
        })
    }

    pub(crate) fn has_consumers(&self) -> bool {
        !self.groups.lock().consumers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> Calls {
        tokio::sync::mpsc::channel(1).0
    }

    #[test]
    fn producers_of_a_group_are_counted_and_consumers_are_single() {
        let registry = Registry::default();
        assert_eq!(registry.heartbeat("me"), None);
        assert!(registry.add_producer("p", None) && !registry.add_producer("p", None));
        let consumer = ConsumerData { group_name: "c".to_owned(), ..ConsumerData::default() };
        registry.add_consumer(consumer.clone(), Arc::default(), calls()).unwrap();
        assert!(registry.add_consumer(consumer, Arc::default(), calls()).is_err());
        let heartbeat = registry.heartbeat("me").unwrap();
        assert_eq!((heartbeat.producer_data_set.len(), heartbeat.consumer_data_set.len()), (1, 1));
        assert!(!registry.remove_producer("p") && registry.remove_producer("p"));
        registry.remove_consumer("c");
        assert_eq!(registry.heartbeat("me"), None);
    }

    #[tokio::test]
    async fn a_notice_wakes_the_consumer_it_is_for() {
        let registry = Registry::default();
        let rebalance = Arc::new(Notify::new());
        let consumer = ConsumerData { group_name: "c".to_owned(), ..ConsumerData::default() };
        registry.add_consumer(consumer, rebalance.clone(), calls()).unwrap();
        registry.wake("nobody");
        registry.wake("c");
        rebalance.notified().await;
    }
}
