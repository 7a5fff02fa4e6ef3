//! CONSUMER_SEND_MSG_BACK (36): a consumer could not use a message. It comes again after a while, from the group's retry
//! topic, until that was tried often enough; then it is a dead letter.
//! Java: `processor/AbstractSendMessageProcessor.java`.

use std::sync::Arc;

use raptormq_protocol::body::{PERM_WRITE, SubscriptionGroupConfig};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Version;
use raptormq_protocol::header::ConsumerSendMsgBackRequestHeader;
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::record::RecordView;
use raptormq_remoting::{Exchange, Output};
use raptormq_store::{NewMessage, PutStatus, Queue, Slot, Staging};

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::failure::Failure;
use crate::names;
use crate::reput;
use crate::service::Ticket;
use crate::stats::Counters;
use crate::topics::UNIT_SUB;

/// The level of a message's first retry.
const FIRST_LEVEL: i32 = 3;

/// A message that was given back and is staged.
#[derive(Clone, Debug)]
pub(crate) struct SendBackTicket {
    to: Exchange,
    slot: Slot,
    /// The topic that the message came from first, and the group that gave it back.
    topic: Arc<str>,
    group: Arc<str>,
}

/// CONSUMER_SEND_MSG_BACK (36).
pub(crate) fn send_back(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ConsumerSendMsgBackRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let group = broker.group_or_create(header.group).ok_or_else(|| Failure::no_group_to_retry(header.group))?;
    if broker.settings().broker.broker_permission & PERM_WRITE as u32 == 0 {
        let ip = &broker.settings().broker.broker_ip1;
        return Err(Failure::forbidden(format!("the broker[{ip}] sending message is forbidden")));
    }
    if group.retry_queue_nums <= 0 {
        return Ok(call.success());
    }
    let topic_name = names::retry_topic(header.group);
    let sys_flag = if header.unit_mode { UNIT_SUB } else { 0 };
    let (topic, _) = broker.group_topic(&topic_name, group.retry_queue_nums, sys_flag)?;
    if !topic.is_writeable() {
        return Err(Failure::forbidden(format!("the topic[{topic_name}] sending message is forbidden")));
    }
    let missing = || Failure::system(format!("look message by offset failed, {}", header.offset));
    let record = broker.store.record_at(header.offset).ok_or_else(missing)?;
    let view = RecordView::parse(&record).map_err(|_| missing())?;
    let level = level(&view, &header, &group, call.request.version);
    let (queue, way) = match level {
        Some(level) => {
            let queue_id = call.turn.any_below(group.retry_queue_nums as u32) as i32;
            delayed(broker, call, level, (&topic_name, queue_id))?
        }
        None => (dead_letters(broker, header.group)?, String::new()),
    };
    let text = view.properties();
    let given = Properties(&text);
    let first_topic = given.get(name::RETRY_TOPIC).unwrap_or(view.topic);
    let text = changed(broker, &view, given, (level, first_topic));
    let pieces = [text.as_str(), way.as_str()];
    let message = NewMessage {
        reconsume_times: view.reconsume_times.saturating_add(1),
        store_host: broker.identity.store_host,
        ..reput::again(&view, &pieces)
    };
    let put = |staging: &mut Staging| staging.put(&queue, &message);
    let (slot, _) = call.turn.stage("", put).map_err(|_| Failure::system("MESSAGE_ILLEGAL"))?;
    let (topic, group) = (Arc::from(first_topic), Arc::from(header.group));
    Ok(Reply::Turn(Ticket::SendBack(SendBackTicket { to: call.exchange(), slot, topic, group })))
}

/// The delay before the message comes again; `None` when it was tried often enough.
fn level(
    view: &RecordView<'_>,
    header: &ConsumerSendMsgBackRequestHeader<'_>,
    group: &SubscriptionGroupConfig,
    version: Version,
) -> Option<i32> {
    let max = match header.max_reconsume_times {
        Some(max) if version >= Version::V3_4_9 => max,
        _ => group.retry_max_times,
    };
    match header.delay_level {
        level if level < 0 || view.reconsume_times >= max => None,
        0 => Some(view.reconsume_times.saturating_add(FIRST_LEVEL)),
        level => Some(level),
    }
}

/// The queue in which the message waits, and the properties that say where it goes from there.
fn delayed(
    broker: &Broker,
    call: &Call<'_, '_>,
    level: i32,
    (topic, queue_id): (&str, i32),
) -> Result<(Arc<Queue>, String), Failure> {
    match broker.schedule.delay(level) {
        Some(delay) => {
            call.turn.note_delayed(broker.now_ms().saturating_add(delay.delay_ms));
            Ok((Arc::clone(delay.queue), delay.way(topic, queue_id)))
        }
        None => Ok((queue_of(broker, topic, queue_id)?, String::new())),
    }
}

fn dead_letters(broker: &Broker, group: &str) -> Result<Arc<Queue>, Failure> {
    let name = names::dead_letter_topic(group);
    broker.group_topic(&name, 1, 0)?;
    queue_of(broker, &name, 0)
}

fn queue_of(broker: &Broker, topic: &str, queue_id: i32) -> Result<Arc<Queue>, Failure> {
    broker.queue_again(topic, queue_id).ok_or_else(|| Failure::system("the store cannot have that queue"))
}

/// The properties of the message when it is stored again: whence it came stays known.
fn changed(
    broker: &Broker,
    view: &RecordView<'_>,
    given: Properties<'_>,
    (level, first_topic): (Option<i32>, &str),
) -> String {
    let level = level.unwrap_or_default().to_string();
    let origin = match given.get(name::ORIGIN_MESSAGE_ID) {
        Some(id) if !id.trim().is_empty() => id.to_owned(),
        _ => broker.message_id(view.log_offset),
    };
    let changes = [
        (name::RETRY_TOPIC, Some(first_topic)),
        (name::WAIT, Some("false")),
        (name::DELAY, Some(level.as_str())),
        (name::ORIGIN_MESSAGE_ID, Some(origin.as_str())),
    ];
    properties::changed(given.0, &changes)
}

/// Answers when the turn has ended.
pub(crate) fn finish(broker: &Broker, ticket: SendBackTicket, staging: &Staging, out: &mut Output) {
    let status = staging.placed(ticket.slot).status;
    if status == PutStatus::PutOk {
        broker.stats.note_send_back(ticket.topic, ticket.group);
        out.respond(ticket.to, ResponseCode::SUCCESS, None);
        return;
    }
    Counters::add(&broker.counters.sends_failed, 1);
    dispatch::refuse(out, ticket.to, &Failure::system(status.name()));
}
