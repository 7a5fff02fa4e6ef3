//! What an acting master does with delayed messages that are due: its own log is the master's, so it sends them to brokers of
//! other names (`enableRemoteEscape`), and notes how far it is. The master that comes back takes that over and delivers the
//! rest. Halves of transactions wait for it: nobody may send those. Java: `failover/EscapeBridge.java`.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raptormq_protocol::body::PERM_WRITE;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::SendMessageRequestHeaderV2;
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::record::RecordView;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::{Client, Request};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::broker::Broker;
use crate::schedule::Due;
use crate::topics::QUEUES_MAX;
use crate::{names, routes};

/// How long another broker has to answer. Java: `EscapeBridge.SEND_TIMEOUT`.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks whether something is due.
const LOOK: Duration = Duration::from_millis(100);
/// After a message could not be sent.
const RETRY: Duration = Duration::from_secs(1);
/// Messages that are on their way at once.
const BATCH: usize = 64;
/// For so long a route is used. Java: `loadBalancePollNameServerInterval`.
const ROUTE_AGE_MAX: Duration = Duration::from_secs(30);
/// Routes that are kept; more topics than that are asked for again and again.
const ROUTES_MAX: usize = 4096;

/// Queues that may be sent to: broker's address, queue id.
type Targets = Arc<[(String, i32)]>;

/// Routes of topics, and whose turn it is.
#[derive(Default)]
struct Ways {
    known: HashMap<String, (Instant, Targets)>,
    turn: usize,
}

/// Sends what is due while this broker acts as master, for as long as this is polled.
pub(crate) async fn run(broker: Arc<Broker>, client: Client) {
    {
        let settings = &broker.settings().broker;
        if !(settings.enable_slave_acting_master && settings.enable_remote_escape) {
            return;
        }
    }
    let reader = match start_reader(&broker) {
        Ok(reader) => reader,
        Err(error) => return tracing::error!(%error, "delayed messages are not sent to other brokers"),
    };
    let mut ways = Ways::default();
    let mut said = String::new();
    loop {
        if !broker.members.acts() {
            ways.known.clear();
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let pause = match send_due(&broker, &client, &reader, &mut ways).await {
            Ok(0) => LOOK,
            Ok(_) => Duration::ZERO,
            Err(reason) => {
                // Each reason is said once.
                if reason != said {
                    tracing::warn!(reason, "a delayed message is not sent to another broker; it is tried again");
                    said = reason;
                }
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Who wants what is due; one at a time.
type Reader = mpsc::Sender<oneshot::Sender<Vec<Due>>>;

/// Starts the thread that reads what is due, which may wait for the disk; it ends when the reader is dropped.
fn start_reader(broker: &Arc<Broker>) -> io::Result<Reader> {
    let (reader, wanted) = mpsc::channel::<oneshot::Sender<Vec<Due>>>();
    let broker = Arc::clone(broker);
    let work = move || {
        while let Ok(answer) = wanted.recv() {
            // The broker may stop meanwhile.
            let _ = answer.send(broker.schedule.due(&broker.store, broker.now_ms()));
        }
    };
    std::thread::Builder::new().name("broker-escape".to_owned()).spawn(work)?;
    Ok(reader)
}

/// Sends some of what is due; returns how many messages that were.
async fn send_due(broker: &Arc<Broker>, client: &Client, reader: &Reader, ways: &mut Ways) -> Result<usize, String> {
    let (answer, due) = oneshot::channel();
    reader.send(answer).map_err(|error| error.to_string())?;
    let due = due.await.map_err(|error| error.to_string())?;
    for batch in due.chunks(BATCH) {
        let mut sending = JoinSet::new();
        let mut outcomes: Vec<Result<(), String>> = vec![Ok(()); batch.len()];
        for (position, one) in batch.iter().enumerate() {
            let Some(record) = one.record.clone() else { continue };
            match ways.to(broker, client, &record).await {
                Ok(Some(target)) => {
                    let (broker, client) = (Arc::clone(broker), client.clone());
                    sending.spawn(async move { (position, send(&broker, &client, &record, &target).await) });
                }
                Ok(None) => {}
                Err(reason) => outcomes[position] = Err(reason),
            }
        }
        for (position, outcome) in sending.join_all().await {
            outcomes[position] = outcome;
        }
        note(broker, batch, outcomes)?;
    }
    Ok(due.len())
}

/// Notes how far each level is: up to its first message that was not sent. Those behind it are sent once more.
fn note(broker: &Broker, batch: &[Due], outcomes: Vec<Result<(), String>>) -> Result<(), String> {
    let mut failed: Vec<(i32, String)> = Vec::new();
    for (one, outcome) in batch.iter().zip(outcomes) {
        match outcome {
            _ if failed.iter().any(|(level, _)| *level == one.level) => {}
            Ok(()) => broker.schedule.sent(one, broker.now_ms()),
            Err(reason) => failed.push((one.level, reason)),
        }
    }
    failed.into_iter().next().map_or(Ok(()), |(_, reason)| Err(reason))
}

impl Ways {
    /// Where a message goes; `None` when it is not to be delivered at all.
    async fn to(&mut self, broker: &Broker, client: &Client, record: &Bytes) -> Result<Option<(String, i32)>, String> {
        let Ok(view) = RecordView::parse(record) else { return Ok(None) };
        let text = view.properties();
        let Some(topic) = Properties(&text).get(name::REAL_TOPIC) else { return Ok(None) };
        if matches!(topic, names::TRANS_HALF_TOPIC | names::SCHEDULE_TOPIC) {
            return Ok(None);
        }
        let known = self.known.get(topic).filter(|(asked, _)| asked.elapsed() < ROUTE_AGE_MAX);
        let targets = match known {
            Some((_, targets)) => Arc::clone(targets),
            None => {
                let route = routes::route_of(broker, client, topic).await;
                let route = route.ok_or("no name server answers")?.unwrap_or_default();
                let targets = targets_of(&route, &broker.settings().broker.broker_name);
                if targets.is_empty() {
                    return Err(format!("no other broker takes messages of {topic}"));
                }
                if self.known.len() >= ROUTES_MAX {
                    self.known.clear();
                }
                self.known.insert(topic.to_owned(), (Instant::now(), Arc::clone(&targets)));
                targets
            }
        };
        self.turn = self.turn.wrapping_add(1);
        Ok(Some(targets[self.turn % targets.len()].clone()))
    }
}

/// The queues of other brokers that take messages.
fn targets_of(route: &TopicRouteData, own_name: &str) -> Targets {
    let others = route.queue_datas.iter().filter(|data| data.perm & PERM_WRITE != 0 && data.broker_name != own_name);
    let of_broker = others.filter_map(|data| {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name)?;
        let address = broker.broker_addrs.get(&0)?;
        Some((0..data.write_queue_nums.clamp(0, QUEUES_MAX)).map(move |queue_id| (address.clone(), queue_id)))
    });
    of_broker.flatten().collect()
}

/// Sends a message as its producer would have sent it without a delay.
async fn send(broker: &Broker, client: &Client, record: &Bytes, target: &(String, i32)) -> Result<(), String> {
    let view = RecordView::parse(record).map_err(|error| error.to_string())?;
    let text = view.properties();
    let given = Properties(&text);
    let topic = given.get(name::REAL_TOPIC).ok_or("it does not say its topic")?;
    let own_group = {
        let identity = &broker.settings().broker;
        format!("InnerProducerGroup_{}_{}", identity.broker_name, identity.broker_id)
    };
    // It is due, and nobody waits for an answer.
    let text = properties::changed(&text, &[(name::DELAY, None), (name::WAIT, Some("false"))]);
    let header = SendMessageRequestHeaderV2 {
        producer_group: given.get(name::PGROUP).filter(|group| !group.is_empty()).unwrap_or(&own_group),
        topic,
        default_topic: names::AUTO_CREATE_TOPIC,
        default_topic_queue_nums: 8,
        queue_id: target.1,
        sys_flag: view.sys_flag,
        born_timestamp: view.born_timestamp_ms,
        flag: view.flag,
        properties: Some(&text),
        reconsume_times: Some(view.reconsume_times),
        unit_mode: Some(false),
        batch: Some(false),
        ..SendMessageRequestHeaderV2::default()
    };
    let body = Bytes::copy_from_slice(view.body);
    let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body);
    let answer = client.call(&target.0, request, SEND_TIMEOUT).await.map_err(|error| error.to_string())?;
    match answer.code {
        // Stored in any case.
        ResponseCode::SUCCESS
        | ResponseCode::FLUSH_DISK_TIMEOUT
        | ResponseCode::FLUSH_SLAVE_TIMEOUT
        | ResponseCode::SLAVE_NOT_AVAILABLE => Ok(()),
        code => Err(format!("{}: {code}: {}", target.0, answer.remark.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::route::{BrokerData, QueueData};

    use super::*;

    #[test]
    fn messages_go_to_writable_queues_of_masters_of_other_names() {
        let broker = |broker_name: &str, ids: &[i64]| BrokerData {
            broker_name: broker_name.to_owned(),
            broker_addrs: ids.iter().map(|id| (*id, format!("{broker_name}:{id}"))).collect(),
            ..BrokerData::default()
        };
        let queues = |broker_name: &str, perm, write_queue_nums| QueueData {
            broker_name: broker_name.to_owned(),
            perm,
            write_queue_nums,
            ..QueueData::default()
        };
        let route = TopicRouteData {
            broker_datas: vec![broker("own", &[0]), broker("b", &[0, 1]), broker("alone", &[1]), broker("r", &[0])],
            queue_datas: vec![queues("own", 6, 4), queues("b", 6, 2), queues("alone", 6, 3), queues("r", 4, 3)],
            ..TopicRouteData::default()
        };
        assert_eq!(*targets_of(&route, "own"), [("b:0".to_owned(), 0), ("b:0".to_owned(), 1)]);
    }
}
