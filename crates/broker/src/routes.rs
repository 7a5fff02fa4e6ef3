//! The queues of topics over all brokers, as the name servers know them: what is shared out among the members of a group
//! that let the broker do it. Read when a topic is asked for the first time, then anew in a fixed period.
//! Java: `topic/TopicRouteInfoManager.java`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::body::{MessageQueue, PERM_READ, QueryAssignmentRequestBody};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::GetRouteInfoRequestHeader;
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::{Client, Request, Responder};
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::dispatch::refuse_waiting;
use crate::failure::Failure;
use crate::handle::assignment;
use crate::names;
use crate::topics::QUEUES_MAX;

/// How long a name server has to answer. Java: `TopicRouteInfoManager.GET_TOPIC_ROUTE_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Most topics that are known; questions for others are asked of the name servers each time.
const TOPICS_MAX: usize = 65_536;
/// Most queues of one topic over all brokers.
const QUEUES_OF_TOPIC_MAX: usize = 1 << 20;
/// A topic that nobody asked for in so many periods is forgotten.
const IDLE_PERIODS: i64 = 20;
/// Shortest period between two readings.
const PERIOD_MIN_MS: u64 = 1_000;

/// What the name servers said, and who waits for what they will say.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: papaya::HashMap<Arc<str>, Arc<Known>>,
    waiting: Mutex<Vec<Question>>,
    wake: Notify,
}

/// The readable queues of a topic, sorted.
#[derive(Debug)]
struct Known {
    queues: Arc<[MessageQueue]>,
    asked_ms: AtomicI64,
}

/// A question for an assignment whose topic is not known.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) body: QueryAssignmentRequestBody,
    pub(crate) responder: Responder,
}

/// What a name server says of a topic.
enum Said {
    Queues(Arc<[MessageQueue]>),
    /// There is no such topic.
    Nothing,
    /// None of them answers.
    Silence,
}

impl Routes {
    /// The readable queues of the topic, if they are known.
    pub(crate) fn queues(&self, topic: &str, now_ms: i64) -> Option<Arc<[MessageQueue]>> {
        let pin = self.known.pin();
        let known = pin.get(topic).filter(|known| !known.queues.is_empty())?;
        known.asked_ms.store(now_ms, Ordering::Relaxed);
        Some(Arc::clone(&known.queues))
    }

    /// Lets the name servers be asked; refuses when so many questions wait already.
    pub(crate) fn ask(&self, question: Question, waiting_max: usize) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= waiting_max {
            drop(waiting);
            return refuse_waiting(question.responder, &Failure::overload());
        }
        waiting.push(question);
        drop(waiting);
        self.wake.notify_one();
    }

    fn note(&self, topic: &str, said: &Said, now_ms: i64) {
        let pin = self.known.pin();
        match said {
            Said::Queues(queues) => {
                let known = pin.get(topic);
                if known.is_none() && pin.len() >= TOPICS_MAX {
                    return;
                }
                let asked_ms = known.map_or(now_ms, |known| known.asked_ms.load(Ordering::Relaxed));
                let asked_ms = AtomicI64::new(asked_ms);
                pin.insert(Arc::from(topic), Arc::new(Known { queues: Arc::clone(queues), asked_ms }));
            }
            // The topic of a group's retries comes back with the group.
            Said::Nothing if names::group_of_retry_topic(topic).is_none() => {
                pin.remove(topic);
            }
            Said::Nothing | Said::Silence => {}
        }
    }

    /// Topics that are still asked for; the others are forgotten.
    fn in_use(&self, since_ms: i64) -> Vec<Arc<str>> {
        let pin = self.known.pin();
        pin.retain(|_, known| known.asked_ms.load(Ordering::Relaxed) >= since_ms);
        pin.keys().cloned().collect()
    }
}

/// Asks name servers for as long as this is polled.
pub(crate) async fn run(broker: Arc<Broker>, client: Client) {
    loop {
        let period_ms = broker.settings().broker.load_balance_poll_name_server_interval.max(PERIOD_MIN_MS);
        if tokio::time::timeout(Duration::from_millis(period_ms), answer_all(&broker, &client)).await.is_ok() {
            continue;
        }
        let idle_ms = i64::try_from(period_ms).unwrap_or(i64::MAX).saturating_mul(IDLE_PERIODS);
        for topic in broker.routes.in_use(broker.now_ms().saturating_sub(idle_ms)) {
            let said = read(&broker, &client, &topic).await;
            broker.routes.note(&topic, &said, broker.now_ms());
        }
    }
}

/// Answers questions as they come, each topic by a task of its own. Does not end.
async fn answer_all(broker: &Arc<Broker>, client: &Client) {
    loop {
        let mut waiting = std::mem::take(&mut *broker.routes.waiting.lock());
        waiting.sort_by(|one, other| one.body.topic.cmp(&other.body.topic));
        while let Some(topic) = waiting.last().map(|question| question.body.topic.clone()) {
            let first = waiting.partition_point(|question| question.body.topic < topic);
            let questions = waiting.split_off(first);
            let (broker, client) = (Arc::clone(broker), client.clone());
            // A panic in it is logged by the panic hook; its questions are answered by their responders' end.
            tokio::spawn(async move {
                let said = read(&broker, &client, &topic).await;
                broker.routes.note(&topic, &said, broker.now_ms());
                let queues = match said {
                    Said::Queues(queues) => Some(queues),
                    Said::Nothing | Said::Silence => None,
                };
                for question in questions {
                    assignment::answer_late(&broker, question, queues.as_deref());
                }
            });
        }
        broker.routes.wake.notified().await;
    }
}

/// The queues that the first name server that answers says.
async fn read(broker: &Broker, client: &Client, topic: &str) -> Said {
    match route_of(broker, client, topic).await {
        Some(Some(route)) => Said::Queues(readable(topic, &route)),
        Some(None) => Said::Nothing,
        None => Said::Silence,
    }
}

/// What the first name server that answers says of a topic, if it knows it; `None` when none answers.
pub(crate) async fn route_of(broker: &Broker, client: &Client, topic: &str) -> Option<Option<TopicRouteData>> {
    for name_server in broker.outer.names() {
        let header = GetRouteInfoRequestHeader { topic, accept_standard_json_only: Some(true) };
        let request = Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).header(&header);
        match client.call(&name_server, request, TIMEOUT).await {
            Ok(response) if response.is_success() => match json::from_slice::<TopicRouteData>(&response.body) {
                Ok(route) => return Some(Some(route)),
                Err(error) => tracing::warn!(name_server, topic, %error, "a route cannot be read"),
            },
            Ok(response) if response.code == ResponseCode::TOPIC_NOT_EXIST => return Some(None),
            Ok(response) => tracing::warn!(name_server, topic, code = %response.code, "no route is said"),
            Err(error) => tracing::debug!(name_server, topic, %error, "a name server does not say a route"),
        }
    }
    None
}

/// The queues that may be read. Java: `MQClientInstance.topicRouteData2TopicSubscribeInfo`.
fn readable(topic: &str, route: &TopicRouteData) -> Arc<[MessageQueue]> {
    let brokers = route.queue_datas.iter().filter(|data| data.perm & PERM_READ != 0);
    let queues = brokers.flat_map(|data| {
        let ids = 0..data.read_queue_nums.clamp(0, QUEUES_MAX);
        ids.map(|queue_id| names::message_queue(topic, &data.broker_name, queue_id))
    });
    // Sorted, and each once.
    queues.take(QUEUES_OF_TOPIC_MAX).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_protocol::route::QueueData;

    fn data(broker_name: &str, perm: i32, read_queue_nums: i32) -> QueueData {
        QueueData { broker_name: broker_name.into(), perm, read_queue_nums, ..QueueData::default() }
    }

    #[test]
    fn the_readable_queues_of_all_brokers_are_known_in_order() {
        let queue_datas = vec![data("b", 6, 2), data("c", 2, 9), data("a", 4, 1), data("b", 6, 2)];
        let route = TopicRouteData { queue_datas, ..TopicRouteData::default() };
        let queues = readable("T", &route);
        let named: Vec<_> = queues.iter().map(|queue| (queue.broker_name.as_str(), queue.queue_id)).collect();
        assert_eq!(named, [("a", 0), ("b", 0), ("b", 1)]);

        let routes = Routes::default();
        assert!(routes.queues("T", 5).is_none());
        routes.note("T", &Said::Queues(queues), 5);
        routes.note("T", &Said::Silence, 6);
        assert_eq!(routes.queues("T", 7).map(|queues| queues.len()), Some(3));
        assert_eq!(routes.in_use(7), [Arc::from("T")]);
        routes.note("T", &Said::Nothing, 8);
        assert!(routes.queues("T", 9).is_none());
    }

    #[test]
    fn a_topic_that_nobody_asks_for_is_forgotten() {
        let routes = Routes::default();
        routes.note("T", &Said::Queues(Arc::new([])), 5);
        assert!(routes.in_use(6).is_empty() && routes.known.pin().is_empty());
    }
}
