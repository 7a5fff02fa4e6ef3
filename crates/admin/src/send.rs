//! Commands that send messages: one, or many to see how long that takes.

use std::time::{Duration, Instant};

use raptormq_client::{Message, SendReceipt};
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::hash::sort_as_java_map;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::name;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::message::address_of;
use crate::session::{Session, line, print, record};
use crate::targets;
use crate::text;
use crate::trace;

const TOPIC: Opt = Opt::value("t", "topic", "Name of the topic").required();
const AMOUNT: Opt = Opt::number("a", "amount", "Messages to send, 100 unless given");
const SIZE: Opt = Opt::number("s", "size", "Bytes of a message's body, 128 unless given");
/// Largest body of a probe, in bytes: what a broker takes at most unless it is told otherwise.
const PROBE_BYTES_MAX: usize = 4 << 20;

pub(crate) const SEND: Command = Command {
    name: "sendMessage",
    about: "Send a message",
    kind: Kind::Probes,
    options: &[
        TOPIC,
        Opt::value("p", "body", "The body").required(),
        Opt::value("k", "key", "The key"),
        Opt::value("c", "tags", "The tag"),
        Opt::value("b", "broker", "With -i: name of the broker"),
        Opt::number("i", "qid", "With -b: the queue"),
        Opt::value("m", "msgTraceEnable", "Whether to record a trace of it, true or false"),
    ],
    run: Run::By(|session, arguments| Box::pin(send(session, arguments))),
};

pub(crate) const PROBE_BROKER: Command = Command {
    name: "sendMsgStatus",
    about: "Send messages to a broker and show what it answers",
    kind: Kind::Probes,
    options: &[
        Opt::value("b", "brokerName", "Name of the broker").required(),
        Opt::number("s", "messageSize", "Bytes of a message's body, 128 unless given"),
        Opt::number("c", "count", "Messages to send, 50 unless given"),
    ],
    run: Run::By(|session, arguments| Box::pin(probe_broker(session, arguments))),
};

pub(crate) const PROBE_TOPIC: Command = Command {
    name: "checkMsgSendRT",
    about: "Send messages to the queues of a topic in turn and show how long each takes",
    kind: Kind::Probes,
    options: &[TOPIC, AMOUNT, SIZE],
    run: Run::By(|session, arguments| Box::pin(probe_topic(session, arguments))),
};

pub(crate) const PROBE_CLUSTER: Command = Command {
    name: "clusterRT",
    about: "Send messages to every broker again and again and show how long that takes",
    kind: Kind::Probes,
    options: &[
        AMOUNT,
        SIZE,
        Opt::value("c", "cluster", "Only this cluster"),
        Opt::value("p", "print log", "Whether to print lines of a log instead of a table, true or false"),
        Opt::value("m", "machine room", "What such lines call this place, noname unless given"),
        Opt::number("i", "interval", "Seconds between rounds, 10 unless given"),
    ],
    run: Run::By(|session, arguments| Box::pin(probe_cluster(session, arguments))),
};

async fn send(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    let mut message = Message::new(topic, arguments.require("p")?.to_owned());
    if let Some(tag) = arguments.get("c").filter(|tag| !tag.is_empty()) {
        message = message.tag(tag);
    }
    if let Some(key) = arguments.get("k").filter(|key| !key.is_empty()) {
        message = message.key(key);
    }
    let queue_id: Option<i32> = arguments.number("i")?;
    let (queue, address) = match (arguments.get("b"), queue_id) {
        (None, Some(_)) => {
            print!(session, "Broker name must be set if the queue is chosen!");
            return Err(Failure::argument("-i needs -b with the name of the queue's broker, too"));
        }
        (Some(broker_name), Some(queue_id @ 0..)) => {
            let address = address_of(session, topic, broker_name).await?;
            (MessageQueue { broker_name: broker_name.to_owned(), queue_id, topic: topic.to_owned() }, address)
        }
        (broker_name, _) => any_queue(session, topic, broker_name).await?,
    };
    let group = text::now_ms().to_string();
    let begin_ms = text::now_ms();
    let receipt = session.admin.send_to(&address, &queue, &group, &message).await?;
    let cost_ms = text::now_ms() - begin_ms;
    if arguments.truth("m") == Some(true) {
        let (tag, keys) = (arguments.get("c").unwrap_or_default(), arguments.get("k").unwrap_or_default());
        let sent = Sent {
            message: &message,
            tag,
            keys,
            receipt: &receipt,
            group: &group,
            address: &address,
            begin_ms,
            cost_ms,
        };
        if let Err(failure) = record(session, &sent).await {
            session.complain(&failure);
        }
    }
    line!(session, "{:<32}  {:<4}  {:<20}    #MsgId", "#Broker Name", "#QID", "#Send Result");
    let (broker, id, status) = (&receipt.queue.broker_name, receipt.queue.queue_id, receipt.status.to_string());
    record!(session, "brokerName": broker, "queueId": id, "sendResult": status, "msgId": receipt.message_id);
    line!(session, "{broker:<32}  {id:<4}  {status:<20}    {}", receipt.message_id);
    Ok(())
}

/// A queue of a topic, another one each time; of one broker, if it is named.
async fn any_queue(session: &Session<'_>, topic: &str, broker_name: Option<&str>) -> Result<(MessageQueue, String)> {
    let mut queues = session.admin.publish_queues(topic).await?;
    queues.retain(|(queue, _)| broker_name.is_none_or(|name| queue.broker_name == name));
    let place = broker_name.map_or_else(String::new, |name| format!(" on broker {name}"));
    let none = || Failure::argument(format!("topic {topic} has no queue to send to{place}"));
    let at = (text::now_ms() as usize).checked_rem(queues.len()).ok_or_else(none)?;
    Ok(queues.swap_remove(at))
}

/// The group of those who send traces. Java: `TraceConstants.GROUP_NAME_PREFIX`.
const TRACE_GROUP: &str = "_INNER_TRACE_PRODUCER";

/// A message that was sent.
struct Sent<'a> {
    message: &'a Message,
    tag: &'a str,
    keys: &'a str,
    receipt: &'a SendReceipt,
    group: &'a str,
    address: &'a str,
    begin_ms: i64,
    cost_ms: i64,
}

/// Records that a message was sent. Java: `client/trace/TraceDataEncoder.java`.
async fn record(session: &Session<'_>, sent: &Sent<'_>) -> Result<()> {
    let (message, receipt, tag, keys) = (sent.message, sent.receipt, sent.tag, sent.keys);
    let fields = [
        "Pub",
        &sent.begin_ms.to_string(),
        "DefaultRegion",
        sent.group,
        message.topic(),
        &receipt.message_id,
        tag,
        keys,
        sent.address,
        &message.body().len().to_string(),
        &sent.cost_ms.to_string(),
        // An ordinary message.
        "0",
        &receipt.offset_message_id,
        "true",
    ];
    let body = format!("{}\u{2}", fields.join("\u{1}"));
    let mut message = Message::new(trace::TOPIC, body).key(&receipt.message_id);
    if !keys.is_empty() {
        message = message.key(keys);
    }
    let (queue, address) = any_queue(session, trace::TOPIC, None).await?;
    session.admin.send_to(&address, &queue, TRACE_GROUP, &message).await?;
    Ok(())
}

/// Sends a message that was found once more, to any queue of its topic. It gets a new id.
pub(crate) async fn copy(session: &Session<'_>, group: &str, message: &MessageExt) -> Result<SendReceipt> {
    let mut copy = Message::new(&message.topic, message.body.clone()).flag(message.flag);
    for (key, value) in message.properties.iter() {
        copy = match key {
            name::TAGS => copy.tag(value),
            name::KEYS => copy.key(value),
            key if name::ALL.contains(&key) => copy,
            key => copy.property(key, value),
        };
    }
    let (queue, address) = any_queue(session, &message.topic, None).await?;
    Ok(session.admin.send_to(&address, &queue, group, &copy).await?)
}

/// A body of that many bytes.
fn body(piece: &str, bytes: usize) -> Result<String> {
    if bytes > PROBE_BYTES_MAX {
        return Err(Failure::argument(format!("-s {bytes}: no broker takes more than {PROBE_BYTES_MAX} bytes")));
    }
    Ok(piece.repeat(bytes.div_ceil(piece.len())))
}

/// The queues of a broker's own topic, which has the broker's name.
async fn queues_of_broker(session: &Session<'_>, broker_name: &str) -> Result<Vec<(MessageQueue, String)>> {
    // A name that is no broker's would become a new topic.
    let known = session.admin.cluster_info().await?.broker_addr_table;
    if !known.contains_key(broker_name) {
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        return Err(Failure::argument(format!("there is no broker {broker_name}; there are {}", names.join(", "))));
    }
    let mut queues = session.admin.publish_queues(broker_name).await?;
    queues.retain(|(queue, _)| queue.broker_name == broker_name);
    if queues.is_empty() {
        return Err(Failure::argument(format!("broker {broker_name} has no queue to send to")));
    }
    Ok(queues)
}

/// Group of the producer of `sendMsgStatus`.
const PROBE_GROUP: &str = "PID_SMSC";

async fn probe_broker(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let broker_name = arguments.require("b")?;
    let message = Message::new(broker_name, body("hello jodie", arguments.number("s")?.unwrap_or(128))?);
    let count: usize = arguments.number("c")?.unwrap_or(50);
    let queues = queues_of_broker(session, broker_name).await?;
    let mut round = queues.iter().cycle();
    // The first one opens the connection.
    if let Some((queue, address)) = round.next() {
        session.admin.send_to(address, queue, PROBE_GROUP, &message).await?;
    }
    for (queue, address) in round.take(count) {
        let begin = Instant::now();
        let receipt = session.admin.send_to(address, queue, PROBE_GROUP, &message).await?;
        let time = begin.elapsed();
        record!(
            session,
            "brokerName": queue.broker_name,
            "queueId": queue.queue_id,
            "sendResult": receipt.status.to_string(),
            "msgId": receipt.message_id,
            "rtMs": time.as_secs_f64() * 1000.0,
        );
        line!(session, "rt={}ms, SendResult={receipt}", time.as_millis());
        session.flush()?;
    }
    Ok(())
}

async fn probe_topic(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    let amount: usize = arguments.number("a")?.unwrap_or(100);
    let message = Message::new(topic, body("a", arguments.number("s")?.unwrap_or(128))?);
    let queues = session.admin.publish_queues(topic).await?;
    let group = text::now_ms().to_string();
    line!(session, "{:<32}  {:<4}  {:<20}    #RT", "#Broker Name", "#QID", "#Send Result");
    let mut times = Times::default();
    for (at, (queue, address)) in queues.iter().cycle().take(amount).enumerate() {
        session.progress(|| format!("message {} of {amount}", at + 1));
        let begin = Instant::now();
        let outcome = session.admin.send_to(address, queue, &group, &message).await;
        let time = begin.elapsed();
        times.add(time);
        let (broker, id, is_sent) = (&queue.broker_name, queue.queue_id, outcome.is_ok().to_string());
        record!(
            session,
            "brokerName": broker,
            "queueId": id,
            "isSent": outcome.is_ok(),
            "rtMs": time.as_secs_f64() * 1000.0,
        );
        if let Err(error) = outcome {
            session.complain(&error.into());
        }
        line!(session, "{broker:<32}  {id:<4}  {is_sent:<20}    {}", time.as_millis());
        session.flush()?;
    }
    line!(session, "Avg RT: {:.2}", times.average_ms());
    Ok(())
}

/// How long sends took. The first one opens the connection, so it does not count when there are others.
#[derive(Default)]
struct Times {
    first: Duration,
    others: Duration,
    count: u32,
}

impl Times {
    fn add(&mut self, time: Duration) {
        if self.count == 0 {
            self.first = time;
        } else {
            self.others += time;
        }
        self.count += 1;
    }

    fn average_ms(&self) -> f64 {
        let average = match self.count {
            0 => Duration::ZERO,
            1 => self.first,
            count => self.others / (count - 1),
        };
        average.as_secs_f64() * 1000.0
    }
}

async fn probe_cluster(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let amount: usize = arguments.number("a")?.unwrap_or(100);
    let body = body("a", arguments.number("s")?.unwrap_or(128))?;
    let interval = Duration::from_secs(arguments.number("i")?.unwrap_or(10));
    let is_log = arguments.truth("p").unwrap_or(false);
    let room = arguments.get("m").unwrap_or("noname");
    let info = session.admin.cluster_info().await?;
    let wanted: Vec<&str> = match arguments.get("c") {
        Some(cluster) => vec![cluster],
        None => info.cluster_addr_table.keys().map(String::as_str).collect(),
    };
    if !is_log {
        line!(
            session,
            "{:<24}  {:<24}  {:<4}  {:<8}  {:<8}",
            "#Cluster Name",
            "#Broker Name",
            "#RT",
            "#successCount",
            "#failCount"
        );
    }
    loop {
        for cluster in &wanted {
            let Some(brokers) = info.cluster_addr_table.get(*cluster) else {
                print!(session, "cluster [{cluster}] not exist");
                return Err(targets::no_such_cluster(cluster));
            };
            let mut brokers: Vec<&String> = brokers.iter().collect();
            sort_as_java_map(&mut brokers, |name| name);
            for broker in brokers {
                let (times, failed) = probe(session, broker, &body, amount).await?;
                let average_ms = times.average_ms();
                record!(
                    session,
                    "cluster": cluster,
                    "brokerName": broker,
                    "rtMs": average_ms,
                    "successCount": amount - failed,
                    "failCount": failed,
                );
                if is_log {
                    let now = text::time(text::now_ms());
                    line!(session, "{now}|{room}|{cluster}|{broker}|{average_ms:.0}");
                } else {
                    let (average, sent) = (format!("{average_ms:.2}"), amount - failed);
                    line!(session, "{cluster:<24}  {broker:<24}  {average:<8}  {sent:<16}  {failed:<16}");
                }
                session.flush()?;
            }
        }
        tokio::time::sleep(interval).await;
        session.admin.ask_again();
    }
}

/// Sends probes to a broker; returns how long that took, and how many failed.
async fn probe(session: &Session<'_>, broker: &str, body: &str, amount: usize) -> Result<(Times, usize)> {
    let group = text::now_ms().to_string();
    let message = Message::new(broker, body.to_owned());
    let (mut times, mut failed) = (Times::default(), 0);
    let queues = match queues_of_broker(session, broker).await {
        Ok(queues) => queues,
        Err(failure) => {
            session.complain(&failure);
            return Ok((times, amount));
        }
    };
    for (queue, address) in queues.iter().cycle().take(amount) {
        let begin = Instant::now();
        if let Err(error) = session.admin.send_to(address, queue, &group, &message).await {
            failed += 1;
            session.complain(&error.into());
        }
        times.add(begin.elapsed());
    }
    Ok((times, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_sends_does_not_count() {
        let mut times = Times::default();
        assert_eq!(times.average_ms(), 0.0);
        times.add(Duration::from_millis(30));
        assert_eq!(times.average_ms(), 30.0);
        times.add(Duration::from_millis(4));
        times.add(Duration::from_millis(6));
        assert_eq!(times.average_ms(), 5.0);
    }

    #[test]
    fn a_body_has_whole_pieces() {
        assert_eq!(body("hello jodie", 12).unwrap().len(), 22);
        assert!(body("a", PROBE_BYTES_MAX + 1).is_err());
    }
}
