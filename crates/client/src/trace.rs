//! Message traces: what became of each message and when, written down in a topic of its own.
//!
//! Records are text: fields separated by 0x01, each record ended by 0x02. What is to be written waits in a bounded queue and
//! is sent in batches by a producer of the client's own; when there is more than the queue takes, traces are lost and
//! counted, never messages. Java: `client/trace/TraceDataEncoder.java`, `AsyncTraceDispatcher.java`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use raptormq_protocol::command::Command;
use raptormq_protocol::message::properties::name;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Result;
use crate::message::Message;
use crate::names;
use crate::producer::{Producer, ProducerBuilder, SendReceipt, SendStatus};

/// The topic that traces go to unless another is named. A broker has it with `traceTopicEnable=true`.
pub(crate) const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";

/// Region of brokers that name none.
const DEFAULT_REGION: &str = "DefaultRegion";
/// What Java writes for a value that is not there.
const NULL: &str = "null";

const FIELD_END: char = '\u{1}';
const RECORD_END: char = '\u{2}';

/// Records that wait to be sent; further ones are lost.
const WAITING_MAX: usize = 2048;
/// Records of one message.
const RECORDS_MAX: usize = 100;
/// Bytes of one message's body, and of its keys (Java: `maxMsgSize`, less 10 KB).
const BODY_BYTES_MAX: usize = 118_000;
const KEYS_BYTES_MAX: usize = 16_000;
/// How long a record waits for others.
const GATHER: Duration = Duration::from_millis(100);
/// How long a trace may take to be sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Ordinals of Java's `MessageType`.
mod message_type {
    pub(super) const NORMAL: u8 = 0;
    pub(super) const HALF: u8 = 1;
    pub(super) const COMMIT: u8 = 2;
    pub(super) const DELAY: u8 = 3;
}

/// What a trace tells of a message besides where it went.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    tags: String,
    keys: String,
    body_bytes: usize,
    message_type: u8,
    /// As the broker's last answer says.
    region: Option<String>,
    /// Whether the broker wants traces.
    is_wanted: bool,
}

impl Traced {
    pub(crate) fn of(message: &Message, is_half: bool) -> Traced {
        let message_type = match (is_half, message.is_delayed()) {
            (true, _) => message_type::HALF,
            (false, true) => message_type::DELAY,
            (false, false) => message_type::NORMAL,
        };
        let text = |name| message.get(name).unwrap_or(NULL).to_owned();
        let (tags, keys) = (text(name::TAGS), text(name::KEYS));
        Traced { tags, keys, body_bytes: message.body().len(), message_type, region: None, is_wanted: true }
    }

    /// Of a batch of so many bytes.
    pub(crate) fn batch(body_bytes: usize) -> Traced {
        let (tags, keys) = (NULL.to_owned(), NULL.to_owned());
        Traced { tags, keys, body_bytes, message_type: message_type::NORMAL, region: None, is_wanted: true }
    }

    /// Takes from a broker's answer where it is and whether it wants traces.
    pub(crate) fn answered(&mut self, answer: &Command<'_>) {
        self.region = answer.fields.get(name::MSG_REGION).map(str::to_owned);
        self.is_wanted = answer.fields.get(name::TRACE_ON) != Some("false");
    }
}

/// A send as a trace tells of it.
pub(crate) struct Sent<'a> {
    pub(crate) topic: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) born_timestamp_ms: i64,
    pub(crate) broker_address: &'a str,
    pub(crate) elapsed_ms: i64,
    /// `None` when it failed.
    pub(crate) receipt: Option<&'a SendReceipt>,
}

/// The end of a transaction as a trace tells of it.
pub(crate) struct Ended<'a> {
    pub(crate) topic: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) tags: Option<&'a str>,
    pub(crate) keys: Option<&'a str>,
    pub(crate) broker_address: &'a str,
    pub(crate) transaction_id: &'a str,
    /// Java's name of the state.
    pub(crate) state: &'a str,
    pub(crate) from_check: bool,
}

/// A record and what it is to be found by.
struct Record {
    text: String,
    keys: Vec<String>,
}

enum Item {
    Record(Record),
    /// Send everything, end and say so.
    Stop(oneshot::Sender<()>),
}

/// Writes down what producers and consumers of one group do.
#[derive(Debug)]
pub(crate) struct Tracer {
    group: String,
    items: mpsc::Sender<Item>,
    lost: AtomicU64,
}

/// Tells the trace producers of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Tracer {
    /// Starts to write traces of `group`, whose `side` is PRODUCE or CONSUME, into `topic`.
    pub(crate) fn start(client: &Client, group: &str, side: &str, topic: &str) -> Result<Tracer> {
        names::check_topic(topic)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let inner_group = format!("_INNER_TRACE_PRODUCER-{group}-{side}-{number}");
        let (items, waiting) = mpsc::channel(WAITING_MAX);
        let inner = ProducerBuilder::inner(client.clone(), inner_group).timeout(SEND_TIMEOUT).accept_weak_ack();
        let inner = inner.max_message_bytes(BODY_BYTES_MAX * 2);
        client.runtime().spawn(run(inner, topic.to_owned(), waiting));
        Ok(Tracer { group: group.to_owned(), items, lost: AtomicU64::new(0) })
    }

    /// Sends what waits, and ends.
    pub(crate) async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.items.send(Item::Stop(done)).await.is_ok() {
            // Without its task there is nothing to wait for.
            let _ = ended.await;
        }
    }

    /// A message was sent, or could not be.
    pub(crate) fn sent(&self, traced: &Traced, sent: &Sent<'_>) {
        if !traced.is_wanted {
            return;
        }
        let is_success = sent.receipt.is_some_and(|receipt| receipt.status == SendStatus::SendOk);
        let offset_id = sent.receipt.map_or(NULL, |receipt| receipt.offset_message_id.as_str());
        let text = record(&[
            &"Pub",
            &sent.born_timestamp_ms,
            &traced.region.as_deref().unwrap_or(DEFAULT_REGION),
            &self.group,
            &sent.topic,
            &sent.message_id,
            &traced.tags,
            &traced.keys,
            &sent.broker_address,
            &traced.body_bytes,
            &sent.elapsed_ms,
            &traced.message_type,
            &offset_id,
            &is_success,
        ]);
        self.put(text, sent.message_id, Some(traced.keys.as_str()).filter(|keys| *keys != NULL));
    }

    /// A transaction was ended.
    pub(crate) fn ended(&self, ended: &Ended<'_>) {
        let text = record(&[
            &"EndTransaction",
            &crate::clock::now_ms(),
            &DEFAULT_REGION,
            &self.group,
            &ended.topic,
            &ended.message_id,
            &ended.tags.unwrap_or(NULL),
            &ended.keys.unwrap_or(NULL),
            &ended.broker_address,
            &message_type::COMMIT,
            &ended.transaction_id,
            &ended.state,
            &ended.from_check,
        ]);
        self.put(text, ended.message_id, ended.keys);
    }

    /// Messages are about to be handled; the number ties this to [`Tracer::consumed`].
    pub(crate) fn consuming(&self, request_id: &str, region: Option<&str>, messages: &[Consumed<'_>]) {
        for message in messages {
            let text = record(&[
                &"SubBefore",
                &crate::clock::now_ms(),
                &region.unwrap_or(DEFAULT_REGION),
                &self.group,
                &request_id,
                &message.message_id,
                &message.reconsume_times,
                &message.keys.unwrap_or(NULL),
            ]);
            self.put(text, message.message_id, message.keys);
        }
    }

    /// Messages were handled. `code` is Java's `ConsumeReturnType`: 0 success, 1 time-out, 2 exception, 3 null, 4 failed.
    pub(crate) fn consumed(&self, request_id: &str, elapsed_ms: i64, code: u8, messages: &[Consumed<'_>]) {
        for message in messages {
            let text = record(&[
                &"SubAfter",
                &request_id,
                &message.message_id,
                &elapsed_ms,
                &(code == 0),
                &message.keys.unwrap_or(NULL),
                &code,
                &crate::clock::now_ms(),
                &self.group,
            ]);
            self.put(text, message.message_id, message.keys);
        }
    }

    fn put(&self, text: String, message_id: &str, user_keys: Option<&str>) {
        let ids = message_id.split(',');
        let keys = ids.chain(user_keys.into_iter().flat_map(|keys| keys.split(' ')));
        let keys = keys.filter(|key| !key.is_empty()).map(str::to_owned).collect();
        if self.items.try_send(Item::Record(Record { text, keys })).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(
                    group = self.group,
                    lost,
                    "more traces than can be sent; they are lost, the messages are not"
                );
            }
        }
    }
}

/// A consumed message as a trace tells of it.
pub(crate) struct Consumed<'a> {
    pub(crate) message_id: &'a str,
    pub(crate) reconsume_times: i32,
    pub(crate) keys: Option<&'a str>,
}

/// A record of these fields. What separates fields and records cannot stand in them: it may not stand in properties either.
fn record(fields: &[&dyn std::fmt::Display]) -> String {
    let mut text = String::with_capacity(256);
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            text.push(FIELD_END);
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{field}");
    }
    text.push(RECORD_END);
    text
}

/// Sends what comes until the tracer is gone.
async fn run(inner: ProducerBuilder, topic: String, mut items: mpsc::Receiver<Item>) {
    let producer = match inner.start().await {
        Ok(producer) => producer,
        Err(error) => return tracing::warn!(%error, "traces cannot be sent"),
    };
    let mut stopped = None;
    while stopped.is_none() {
        let Some(first) = items.recv().await else { break };
        stopped = gather_and_send(&producer, &topic, first, &mut items).await;
    }
    producer.shutdown().await;
    if let Some(stopped) = stopped {
        // Who asked may have gone.
        let _ = stopped.send(());
    }
}

/// Sends an item and those that come soon after it; returns who asked to stop.
async fn gather_and_send(
    producer: &Producer,
    topic: &str,
    first: Item,
    items: &mut mpsc::Receiver<Item>,
) -> Option<oneshot::Sender<()>> {
    let until = Instant::now() + GATHER;
    let (mut body, mut keys, mut keys_bytes) = (String::new(), BTreeSet::new(), 0);
    let mut next = Some(first);
    let mut stopped = None;
    let mut count = 0;
    while let Some(item) = next {
        match item {
            Item::Record(record) => {
                body.push_str(&record.text);
                keys_bytes += record.keys.iter().map(|key| key.len() + 1).sum::<usize>();
                keys.extend(record.keys);
                count += 1;
            }
            Item::Stop(asked) => {
                stopped = Some(asked);
                break;
            }
        }
        if count >= RECORDS_MAX || body.len() >= BODY_BYTES_MAX || keys_bytes >= KEYS_BYTES_MAX {
            break;
        }
        next = tokio::time::timeout_at(until, items.recv()).await.ok().flatten();
    }
    if count > 0 {
        let message = keys.into_iter().fold(Message::new(topic, body), Message::key);
        if let Err(error) = producer.send(message).await {
            tracing::warn!(topic, %error, count, "traces could not be sent");
        }
    }
    stopped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_separated_as_java_separates_it() {
        assert_eq!(record(&[&"Pub", &5, &true, &NULL]), "Pub\u{1}5\u{1}true\u{1}null\u{2}");
    }

    #[test]
    fn message_types_are_javas_ordinals() {
        let message = Message::new("T", "x");
        assert_eq!(Traced::of(&message, false).message_type, 0);
        assert_eq!(Traced::of(&message, true).message_type, 1);
        assert_eq!(Traced::of(&message.delay_level(1), false).message_type, 3);
    }
}
