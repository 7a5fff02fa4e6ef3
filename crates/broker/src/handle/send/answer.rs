//! Answers to sends whose turn has ended.

use std::ops::Range;
use std::sync::Arc;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::CommandWriter;
use raptormq_protocol::header::{FieldSink, FieldValue, SendMessageResponseHeader};
use raptormq_protocol::message::properties::name;
use raptormq_remoting::{Connection, Exchange, Output};
use raptormq_store::{PutStatus, Slot, Staging};

use super::later::{Flush, Held, Later};
use crate::broker::Broker;
use crate::dispatch;
use crate::failure::Failure;
use crate::ha::{self, SyncRule};
use crate::stats::Counters;

/// A send whose message is staged.
#[derive(Clone, Debug)]
pub(crate) struct SendTicket {
    pub(crate) to: Exchange,
    pub(crate) slot: Slot,
    pub(crate) queue_id: i32,
    pub(crate) is_batch: bool,
    /// The batch is one record, and the answer says so.
    pub(crate) is_inner_batch: bool,
    /// Where in the turn's keys the message's stands; empty for none.
    pub(crate) key: Range<usize>,
    /// The answer waits until the message is on disk.
    pub(crate) waits_for_flush: bool,
    /// The answer waits until slaves have the message.
    pub(crate) waits_for_slaves: Option<SyncRule>,
    /// The answer waits until the topic, which is new, is on disk.
    pub(crate) waits_for_topic: bool,
}

/// A send whose turn has ended.
pub(crate) struct Sent<'a> {
    pub(crate) ticket: SendTicket,
    pub(crate) key: &'a str,
    pub(crate) staging: &'a Staging,
    /// What is on disk got there later than its sender waits.
    pub(crate) is_flushed_late: bool,
    /// Room to put the message ids together in.
    pub(crate) text: &'a mut String,
    /// The sends of the turn that are answered later.
    pub(crate) held: &'a Held,
}

/// Answers a send whose message is appended: now, or when what it waits for has happened.
pub(crate) fn finish(broker: &Arc<Broker>, peer: &Connection, sent: Sent<'_>, out: &mut Output) {
    let Sent { ticket, key, staging, is_flushed_late, text, held } = sent;
    let placed = *staging.placed(ticket.slot);
    if let Err(failure) = put_outcome(broker, placed.status) {
        Counters::add(&broker.counters.sends_failed, 1);
        return dispatch::refuse(out, ticket.to, &failure);
    }
    if ticket.to.oneway {
        return;
    }
    text.clear();
    if ticket.is_batch {
        for (number, log_offset) in staging.log_offsets(ticket.slot).enumerate() {
            if number > 0 {
                text.push(',');
            }
            push_message_id(broker, log_offset, text);
        }
    } else {
        push_message_id(broker, placed.log_offset, text);
    }
    let header = SendMessageResponseHeader {
        msg_id: text,
        queue_id: ticket.queue_id,
        queue_offset: placed.queue_offset,
        transaction_id: (!key.is_empty()).then_some(key),
        batch_uniq_id: ticket.is_inner_batch.then_some(key),
        ..SendMessageResponseHeader::default()
    };
    let flush = match ticket.waits_for_flush {
        true if broker.store.watermarks().flushed.value() < placed.log_end => Flush::Waited,
        true if is_flushed_late => Flush::Late,
        _ => Flush::Done,
    };
    let mut code = ResponseCode::SUCCESS;
    let slaves = ticket.waits_for_slaves.filter(|rule| match ha::waits_for_slaves(broker, *rule, placed.log_end) {
        Ok(waits) => waits,
        Err(refusal) => {
            code = refusal;
            false
        }
    });
    if flush == Flush::Waited || ticket.waits_for_topic || slaves.is_some() {
        let later = Later {
            responder: peer.responder(ticket.to),
            message_id: text.clone(),
            key: key.to_owned(),
            is_inner_batch: ticket.is_inner_batch,
            queue_id: ticket.queue_id,
            queue_offset: placed.queue_offset,
            log_end: placed.log_end,
            code,
            flush,
            slaves,
            _place: broker.lanes.sends.wait(),
        };
        if ticket.waits_for_topic {
            later.answer_after_topic(broker);
        } else {
            held.push(broker, later);
        }
        return;
    }
    if flush == Flush::Late && code == ResponseCode::SUCCESS {
        code = ResponseCode::FLUSH_DISK_TIMEOUT;
    }
    if let Some(writer) = out.answer(ticket.to, code, None) {
        write_sent(broker, writer, &header);
    }
}

pub(super) fn write_sent(broker: &Broker, writer: CommandWriter<'_, '_>, header: &SendMessageResponseHeader<'_>) {
    write_fields(broker, writer.header(header));
}

/// Ends the answer to a send with what all of them say.
pub(crate) fn write_fields(broker: &Broker, mut writer: CommandWriter<'_, '_>) {
    let config = &broker.settings().broker;
    writer.known_field(name::MSG_REGION, FieldValue::Text(&config.region_id));
    writer.known_field(name::TRACE_ON, FieldValue::Boolean(config.trace_on));
    writer.finish(&[]);
}

/// What the original answers for how an append ended.
pub(crate) fn put_outcome(broker: &Broker, status: PutStatus) -> Result<(), Failure> {
    match status {
        PutStatus::PutOk => Ok(()),
        PutStatus::CreateMappedFileFailed => {
            Err(Failure::system("create mapped file failed, server is busy or broken."))
        }
        PutStatus::ServiceNotAvailable => Err(not_available(broker)),
        PutStatus::UnknownError | PutStatus::Staged => Err(Failure::system("UNKNOWN_ERROR")),
    }
}

/// SERVICE_NOT_AVAILABLE (14): the disk is full or has failed, or this is a slave.
pub(crate) fn not_available(broker: &Broker) -> Failure {
    let [log, root] = broker.store.disk_usage().map_or([-1.0, -1.0], |usage| usage.map(|usage| usage.used_ratio()));
    let mut remark = format!(
        "service not available now. It may be caused by one of the following reasons: the broker's disk is full \
         [CL: {log:5.2} CQ: {root:5.2} INDEX: {root:5.2}], messages are put to the slave, message store has been shut \
         down, etc."
    );
    if let Some(failure) = broker.store.failure() {
        remark.push_str(" Here the disk failed, and the broker must be restarted: ");
        remark.push_str(failure);
    }
    Failure::new(ResponseCode::SERVICE_NOT_AVAILABLE, remark)
}

/// Appends the offset message id of a log offset.
pub(crate) fn push_message_id(broker: &Broker, log_offset: i64, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push_str(&broker.identity.message_id_prefix);
    let digits: [u8; 16] = std::array::from_fn(|at| DIGITS[(log_offset >> (60 - at * 4) & 0xF) as usize]);
    text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
}
