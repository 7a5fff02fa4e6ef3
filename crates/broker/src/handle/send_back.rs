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
use raptormq_remoting::{Exchange, Output, Responder};
use raptormq_store::{NewMessage, PutError, PutStatus, Queue, Slot, Staging};

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
    let back = GivenBack {
        log_offset: header.offset,
        delay_level: header.delay_level,
        max_reconsume_times: header.max_reconsume_times.filter(|_| call.request.version >= Version::V3_4_9),
        queue_id: call.turn.any_below(group.retry_queue_nums as u32) as i32,
        group,
        retry_topic: topic_name,
    };
    let record = match broker.store.record_cached(back.log_offset) {
        Ok(Some(record)) => record,
        Ok(None) => {
            broker.readers.send_backs.run(call.responder(), move |broker, responder| {
                read_and_store(broker, &back, responder);
            });
            return Ok(Reply::Done);
        }
        Err(_) => return Err(missing(back.log_offset)),
    };
    let staged = back.stage(broker, &record, |queue, message| {
        call.turn.stage("", |staging: &mut Staging| staging.put(queue, message)).map(|(slot, _)| slot)
    });
    let Staged { slot, topic, due_ms } = staged?;
    if let Some(due_ms) = due_ms {
        call.turn.note_delayed(due_ms);
    }
    let group = Arc::from(header.group);
    Ok(Reply::Turn(Ticket::SendBack(SendBackTicket { to: call.exchange(), slot, topic, group })))
}

fn missing(log_offset: i64) -> Failure {
    Failure::system(format!("look message by offset failed, {log_offset}"))
}

/// Does all of it where it may wait for the disk.
fn read_and_store(broker: &Broker, back: &GivenBack, responder: Responder) {
    let mut staging = broker.store.staging();
    let record = broker.store.record_at(back.log_offset).ok_or_else(|| missing(back.log_offset));
    let staged = record.and_then(|record| back.stage(broker, &record, |queue, message| staging.put(queue, message)));
    if let Ok(staged) = &staged {
        reput::append(broker, &mut staging);
        if let Some(due_ms) = staged.due_ms {
            broker.alarm.ring(due_ms);
        }
    }
    responder.answer(|to, out| match staged {
        Ok(Staged { slot, topic, .. }) => {
            let group = Arc::from(back.group.group_name.as_str());
            finish(broker, SendBackTicket { to, slot, topic, group }, &staging, out);
        }
        Err(failure) => dispatch::refuse(out, to, &failure),
    });
}

/// A message that a group gives back, as far as that is known without the message.
struct GivenBack {
    log_offset: i64,
    group: Arc<SubscriptionGroupConfig>,
    retry_topic: String,
    /// Of the retry topic, when the message comes again.
    queue_id: i32,
    delay_level: i32,
    /// How often the consumer lets a message come again, if it says that.
    max_reconsume_times: Option<i32>,
}

/// What became of it.
struct Staged {
    slot: Slot,
    /// The topic that the message came from first.
    topic: Arc<str>,
    /// When it comes again.
    due_ms: Option<i64>,
}

impl GivenBack {
    /// Hands the message that is to be stored to `put`.
    fn stage(
        &self,
        broker: &Broker,
        record: &[u8],
        put: impl FnOnce(&Arc<Queue>, &NewMessage<'_>) -> Result<Slot, PutError>,
    ) -> Result<Staged, Failure> {
        let view = RecordView::parse(record).map_err(|_| missing(self.log_offset))?;
        let level = self.level(&view);
        let delay = level.and_then(|level| broker.schedule.delay(level));
        let (queue, way) = match (level, &delay) {
            (None, _) => (dead_letters(broker, &self.group.group_name)?, String::new()),
            (_, Some(delay)) => (Arc::clone(delay.queue), delay.way(&self.retry_topic, self.queue_id)),
            (_, None) => (queue_of(broker, &self.retry_topic, self.queue_id)?, String::new()),
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
        let slot = put(&queue, &message).map_err(|_| Failure::system("MESSAGE_ILLEGAL"))?;
        let due_ms = delay.map(|delay| broker.now_ms().saturating_add(delay.delay_ms));
        Ok(Staged { slot, topic: Arc::from(first_topic), due_ms })
    }

    /// The level of the delay before the message comes again; `None` when it was tried often enough.
    fn level(&self, view: &RecordView<'_>) -> Option<i32> {
        let max = self.max_reconsume_times.unwrap_or(self.group.retry_max_times);
        match self.delay_level {
            level if level < 0 || view.reconsume_times >= max => None,
            0 => Some(view.reconsume_times.saturating_add(FIRST_LEVEL)),
            level => Some(level),
        }
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
