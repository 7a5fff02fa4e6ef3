//! Sends: single messages (10, 310) and batches (320).
//!
//! A send is checked ([`check`]) and staged when it comes, appended with everything else of its turn, and answered by
//! [`answer`]. A message that is to be delayed goes to its level's queue first, and the half of a transaction to the
//! queue of those. Java: `processor/SendMessageProcessor.java`, `processor/AbstractSendMessageProcessor.java`,
//! `util/HookUtils.java`.

pub(crate) mod answer;
pub(crate) mod check;
mod given;
pub(crate) mod later;

use std::sync::Arc;

use raptormq_protocol::body::TopicFilterType;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{SendMessageRequestHeader, SendMessageRequestHeaderV2};
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::sys_flag;
use raptormq_store::{NewBatch, NewMessage, Queue, Staging};

use self::answer::SendTicket;
use self::check::Target;
use self::given::Given;
use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::ha;
use crate::service::Ticket;
use crate::transaction::Transactions;

/// A send in the form that all its codes have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Send<'a> {
    pub(crate) producer_group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) default_topic: &'a str,
    pub(crate) default_topic_queue_nums: i32,
    pub(crate) queue_id: i32,
    pub(crate) sys_flag: i32,
    pub(crate) born_timestamp_ms: i64,
    pub(crate) flag: i32,
    pub(crate) properties: &'a str,
    pub(crate) reconsume_times: i32,
    pub(crate) max_reconsume_times: Option<i32>,
    pub(crate) is_unit: bool,
    pub(crate) is_batch: bool,
}

/// SEND_MESSAGE (10).
pub(crate) fn send(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send::from(&header))
}

/// SEND_MESSAGE_V2 (310).
pub(crate) fn send_v2(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeaderV2<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send::from(&header))
}

/// SEND_BATCH_MESSAGE (320).
pub(crate) fn send_batch(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeaderV2<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send { is_batch: true, ..Send::from(&header) })
}

impl<'a> From<&SendMessageRequestHeader<'a>> for Send<'a> {
    fn from(header: &SendMessageRequestHeader<'a>) -> Send<'a> {
        Send {
            producer_group: header.producer_group,
            topic: header.topic,
            default_topic: header.default_topic,
            default_topic_queue_nums: header.default_topic_queue_nums,
            queue_id: header.queue_id,
            sys_flag: header.sys_flag,
            born_timestamp_ms: header.born_timestamp,
            flag: header.flag,
            properties: header.properties.unwrap_or_default(),
            reconsume_times: header.reconsume_times.unwrap_or_default(),
            max_reconsume_times: header.max_reconsume_times,
            is_unit: header.unit_mode,
            is_batch: header.batch,
        }
    }
}

impl<'a> From<&SendMessageRequestHeaderV2<'a>> for Send<'a> {
    fn from(header: &SendMessageRequestHeaderV2<'a>) -> Send<'a> {
        Send {
            producer_group: header.producer_group,
            topic: header.topic,
            default_topic: header.default_topic,
            default_topic_queue_nums: header.default_topic_queue_nums,
            queue_id: header.queue_id,
            sys_flag: header.sys_flag,
            born_timestamp_ms: header.born_timestamp,
            flag: header.flag,
            properties: header.properties.unwrap_or_default(),
            reconsume_times: header.reconsume_times.unwrap_or_default(),
            max_reconsume_times: header.max_reconsume_times,
            is_unit: header.unit_mode.unwrap_or_default(),
            is_batch: header.batch.unwrap_or_default(),
        }
    }
}

/// Checks the send in the original's order, and stages its messages.
fn accept(broker: &Broker, call: &mut Call<'_, '_>, send: Send<'_>) -> Result<Reply, Failure> {
    check::time(broker)?;
    let target = check::target(broker, call, &send)?;
    let given = Given::read(send.properties);
    let manner = match send.is_batch {
        true => {
            check::batch(&send)?;
            check::timed(broker, &given)?;
            Manner::Plain
        }
        false => Manner::of(broker, &send, &given, &target)?,
    };
    if call.request.body.is_empty() {
        return Err(check::illegal(broker));
    }
    stage(broker, call, &send, &given, (&target, manner)).map(Reply::Turn)
}

/// How a message gets to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// At once.
    Plain,
    /// When the delay of that level is over.
    Delayed(i32),
    /// When its producer says that the transaction succeeded.
    Half,
}

impl Manner {
    fn of(broker: &Broker, send: &Send<'_>, given: &Given<'_>, target: &Target) -> Result<Manner, Failure> {
        if given.keys.is_none() && check::is_compacted(&target.topic.config) {
            return Err(Failure::new(ResponseCode::MESSAGE_ILLEGAL, "Required message key is missing"));
        }
        // Consumers of old clients send halves back with all their properties, as messages to be delayed.
        let is_half = given.is_transactional && !(send.reconsume_times > 0 && given.delay_level > 0);
        if is_half && broker.settings().broker.reject_transaction_message {
            let ip = &broker.settings().broker.broker_ip1;
            let remark = format!("the broker[{ip}] sending transaction message is forbidden");
            return Err(Failure::forbidden(remark));
        }
        if target.is_dead {
            return Ok(Manner::Plain);
        }
        if is_half || sys_flag::is_queued(send.sys_flag) {
            check::timed(broker, given)?;
        }
        // Half messages and rollbacks are in no queue and so in none of delays.
        Ok(match is_half {
            true => Manner::Half,
            false if given.delay_level > 0 && sys_flag::is_queued(send.sys_flag) => Manner::Delayed(given.delay_level),
            false => Manner::Plain,
        })
    }
}

/// Hands the message to the turn.
fn stage(
    broker: &Broker,
    call: &Call<'_, '_>,
    send: &Send<'_>,
    given: &Given<'_>,
    (target, manner): (&Target, Manner),
) -> Result<Ticket, Failure> {
    let identity = &broker.identity;
    let broker_properties = identity.broker_properties.load();
    let own_properties = given.stored(send.properties, target.is_dead);
    let mut made_key = String::new();
    if given.unique_key.is_none() && !send.is_batch {
        properties::append(&mut made_key, name::UNIQ_KEY, &identity.unique_ids.next(broker.now_ms()));
    }
    let key = given.unique_key.unwrap_or_else(|| Properties(&made_key).get(name::UNIQ_KEY).unwrap_or_default());
    let (queue, way) = way(broker, call, target, (manner, key))?;
    let multi_tags = match target.topic.config.topic_filter_type {
        TopicFilterType::MultiTag => sys_flag::MULTI_TAGS,
        _ => 0,
    };
    let message = NewMessage {
        flag: send.flag,
        sys_flag: multi_tags
            | match manner {
                // A half has a place in its queue like any other message.
                Manner::Half => send.sys_flag & !sys_flag::TRANSACTION_MASK,
                Manner::Plain | Manner::Delayed(_) => send.sys_flag,
            },
        born_timestamp_ms: send.born_timestamp_ms,
        born_host: call.peer.peer_addr(),
        store_host: identity.store_host,
        reconsume_times: send.reconsume_times,
        prepared_transaction_offset: 0,
        body: call.request.body,
        properties: &[&own_properties, &made_key, broker_properties.as_str(), &way],
    };
    let is_inner_batch = send.is_batch && given.unique_key.is_some() && target.topic.is_batch();
    let put = |staging: &mut Staging| match (send.is_batch, is_inner_batch) {
        (_, true) => staging.put_inner_batch(&queue, &NewBatch { common: message }),
        (true, false) => staging.put_batch(&queue, &NewBatch { common: message }),
        (false, _) => staging.put(&queue, &message),
    };
    let rule = if given.waits { ha::rule_of_send(broker)? } else { None };
    let (slot, key) = call.turn.stage(key, put).map_err(|error| check::put_failure(broker, error))?;
    Ok(Ticket::Send(SendTicket {
        to: call.exchange(),
        slot,
        queue_id: target.queue_id,
        is_batch: send.is_batch,
        is_inner_batch,
        key,
        waits_for_flush: identity.is_sync_flush && given.waits,
        waits_for_slaves: rule,
        waits_for_topic: target.is_new,
    }))
}

/// The queue that the message is stored in first, and the properties that say where it goes from there.
fn way(
    broker: &Broker,
    call: &Call<'_, '_>,
    target: &Target,
    (manner, unique_key): (Manner, &str),
) -> Result<(Arc<Queue>, String), Failure> {
    let topic = &target.topic.config.topic_name;
    if let Manner::Delayed(level) = manner
        && let Some(delay) = broker.schedule.delay(level)
    {
        call.turn.note_delayed(broker.now_ms().saturating_add(delay.delay_ms));
        return Ok((Arc::clone(delay.queue), delay.way(topic, target.queue_id)));
    }
    if manner == Manner::Half {
        let way = Transactions::way(topic, target.queue_id, unique_key);
        return Ok((Arc::clone(&broker.transactions.half), way));
    }
    let queue = target.topic.queue(&broker.store, target.queue_id);
    let queue = queue.ok_or_else(|| Failure::system("the store cannot have that queue"))?;
    Ok((Arc::clone(queue), String::new()))
}
