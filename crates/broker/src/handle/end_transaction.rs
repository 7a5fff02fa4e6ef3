//! END_TRANSACTION (37): a producer says what becomes of a half message. What it says is carried out in the turn: a commit
//! stores the message in the queue that it is for, and an op message notes that the half is done. A half that was given
//! up because no producer said so can be taken up again (323).
//! Java: `processor/EndTransactionProcessor.java`, `processor/AdminBrokerProcessor.java`.

use std::sync::Arc;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{EndTransactionRequestHeader, ResumeCheckHalfMessageRequestHeader};
use raptormq_protocol::message::id::OffsetMessageId;
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::record::RecordView;
use raptormq_protocol::message::sys_flag;
use raptormq_remoting::{Exchange, Output, Responder};
use raptormq_store::{NewMessage, PutError, PutStatus, Queue, Slot, Staging};

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply, refuse_waiting};
use crate::failure::Failure;
use crate::names;
use crate::reput;
use crate::service::Ticket;
use crate::stats::Counters;
use crate::transaction::End;
use crate::transaction::check::immunity_ms;

/// An end of a transaction that is staged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndTicket {
    to: Exchange,
    /// The message of a commit.
    slot: Option<Slot>,
}

/// END_TRANSACTION (37).
pub(crate) fn end_transaction(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: EndTransactionRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let is_commit = match header.commit_or_rollback {
        sys_flag::TRANSACTION_COMMIT => true,
        sys_flag::TRANSACTION_ROLLBACK => false,
        // Not known yet: the producer will be asked. Nobody gets an answer to that.
        sys_flag::TRANSACTION_NONE => return Ok(Reply::Done),
        _ => return Err(Failure::system("commitOrRollback field wrong")),
    };
    let wish = Wish {
        log_offset: header.commit_log_offset,
        half_offset: header.tran_state_table_offset,
        producer_group: header.producer_group,
        from_transaction_check: header.from_transaction_check,
        is_commit,
    };
    let cached = match broker.transactions.is_known() {
        true => broker.store.record_cached(wish.log_offset),
        false => Ok(None),
    };
    let record = match cached {
        Ok(Some(record)) => record,
        Ok(None) => {
            let group = header.producer_group.to_owned();
            broker.readers.ends.run(call.responder(), move |broker, responder| {
                read_and_end(broker, &Wish { producer_group: &group, ..wish }, responder);
            });
            return Ok(Reply::Done);
        }
        Err(_) => return Err(missing()),
    };
    let put = |queue: &Arc<Queue>, message: &NewMessage<'_>| {
        call.turn.stage("", |staging: &mut Staging| staging.put(queue, message)).map(|(slot, _)| slot)
    };
    let Some(Ending { end, due_ms }) = wish.carry_out(broker, &record, put)? else {
        return Ok(call.success());
    };
    if let Some(due_ms) = due_ms {
        call.turn.note_delayed(due_ms);
    }
    let slot = end.slot;
    call.turn.end(end);
    Ok(Reply::Turn(Ticket::End(EndTicket { to: call.exchange(), slot })))
}

/// Does all of it where it may wait for the disk.
fn read_and_end(broker: &Broker, wish: &Wish<'_>, responder: Responder) {
    broker.transactions.wait_until_known();
    let mut staging = broker.store.staging();
    let record = broker.store.record_at(wish.log_offset).ok_or_else(missing);
    let ending =
        record.and_then(|record| wish.carry_out(broker, &record, |queue, message| staging.put(queue, message)));
    let slot = match ending {
        Ok(Some(Ending { end, due_ms })) => {
            let slot = end.slot;
            reput::append(broker, &mut staging);
            if let Some(due_ms) = due_ms {
                broker.alarm.ring(due_ms);
            }
            broker.transactions.note_ends(broker, vec![end], &staging, &mut broker.store.staging());
            slot
        }
        Ok(None) => None,
        Err(failure) => return refuse_waiting(responder, &failure),
    };
    responder.answer(|to, out| finish(broker, EndTicket { to, slot }, &staging, out));
}

fn missing() -> Failure {
    Failure::system("Find prepared transaction message failed")
}

/// What a producer wants to become of a half.
#[derive(Clone, Copy, Debug)]
struct Wish<'a> {
    /// Where the half is in the log, and in its queue.
    log_offset: i64,
    half_offset: i64,
    producer_group: &'a str,
    from_transaction_check: bool,
    is_commit: bool,
}

/// A transaction that is to be ended when its message is stored.
struct Ending {
    end: End,
    /// When the message is due, if that is later.
    due_ms: Option<i64>,
}

impl Wish<'_> {
    /// Checks the half, takes upon itself to end it, and hands the message of a commit to `put`. `None` when somebody has
    /// ended it or does.
    fn carry_out(
        &self,
        broker: &Broker,
        record: &[u8],
        put: impl FnOnce(&Arc<Queue>, &NewMessage<'_>) -> Result<Slot, PutError>,
    ) -> Result<Option<Ending>, Failure> {
        let half = RecordView::parse(record).map_err(|_| missing())?;
        if half.topic != names::TRANS_HALF_TOPIC {
            return Err(missing());
        }
        let text = half.properties();
        check(broker, &half, Properties(&text), self)?;
        let Some(half_offsets) = broker.transactions.claim(half.queue_offset) else { return Ok(None) };
        if !self.is_commit {
            return Ok(Some(Ending { end: End { half_offsets, slot: None }, due_ms: None }));
        }
        match stage(broker, &half, &text, put) {
            Ok((slot, due_ms)) => Ok(Some(Ending { end: End { half_offsets, slot: Some(slot) }, due_ms })),
            Err(failure) => {
                broker.transactions.release(&half_offsets);
                Err(failure)
            }
        }
    }
}

fn check(broker: &Broker, half: &RecordView<'_>, given: Properties<'_>, wish: &Wish<'_>) -> Result<(), Failure> {
    if !wish.from_transaction_check
        && let Some(immunity) = given.get(name::CHECK_IMMUNITY_TIME_IN_SECONDS)
    {
        let timeout_ms = i64::try_from(broker.settings().broker.transaction_time_out).unwrap_or(i64::MAX);
        if broker.now_ms().saturating_sub(half.born_timestamp_ms) > immunity_ms(immunity, timeout_ms) {
            return Err(Failure::new(ResponseCode::ILLEGAL_OPERATION, ""));
        }
    }
    if given.get(name::PGROUP) != Some(wish.producer_group) {
        return Err(Failure::system("The producer group wrong"));
    }
    if half.queue_offset != wish.half_offset {
        return Err(Failure::system("The transaction state table offset wrong"));
    }
    Ok(())
}

/// Hands the message that a half becomes to `put`; returns also when it is due, if that is later.
fn stage(
    broker: &Broker,
    half: &RecordView<'_>,
    text: &str,
    put: impl FnOnce(&Arc<Queue>, &NewMessage<'_>) -> Result<Slot, PutError>,
) -> Result<(Slot, Option<i64>), Failure> {
    let given = Properties(text);
    let lost = || Failure::system("the half message does not say where it goes");
    let topic = given.get(name::REAL_TOPIC).ok_or_else(lost)?;
    let queue_id: i32 = given.get(name::REAL_QID).and_then(|text| text.parse().ok()).ok_or_else(lost)?;
    let level = given.get(name::DELAY).and_then(|text| text.parse().ok()).unwrap_or(0);
    let (queue, way, due_ms) = match broker.schedule.delay(level) {
        Some(delay) => {
            let due_ms = broker.now_ms().saturating_add(delay.delay_ms);
            (Arc::clone(delay.queue), delay.way(topic, queue_id), Some(due_ms))
        }
        None => (broker.queue_again(topic, queue_id).ok_or_else(lost)?, String::new(), None),
    };
    let pieces = [text, way.as_str()];
    let message = NewMessage {
        sys_flag: (half.sys_flag & !sys_flag::TRANSACTION_MASK) | sys_flag::TRANSACTION_COMMIT,
        prepared_transaction_offset: half.log_offset,
        ..reput::again(half, &pieces)
    };
    let slot = put(&queue, &message).map_err(|_| illegal(broker))?;
    Ok((slot, due_ms))
}

fn illegal(broker: &Broker) -> Failure {
    let max = broker.settings().store.max_message_size;
    let remark = format!(
        "The message is illegal, maybe msg body or properties length not matched. \
         msg body length limit {max}B, msg properties length limit 32KB."
    );
    Failure::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

/// Answers when the turn has ended.
pub(crate) fn finish(broker: &Broker, ticket: EndTicket, staging: &Staging, out: &mut Output) {
    let status = ticket.slot.map_or(PutStatus::PutOk, |slot| staging.placed(slot).status);
    let failure = match status {
        PutStatus::PutOk => return out.respond(ticket.to, ResponseCode::SUCCESS, None),
        PutStatus::CreateMappedFileFailed => Failure::system("Create mapped file failed."),
        PutStatus::ServiceNotAvailable => {
            Failure::new(ResponseCode::SERVICE_NOT_AVAILABLE, "Service not available now.")
        }
        PutStatus::UnknownError | PutStatus::Staged => Failure::system("UNKNOWN_ERROR"),
    };
    Counters::add(&broker.counters.sends_failed, 1);
    dispatch::refuse(out, ticket.to, &failure);
}

/// RESUME_CHECK_HALF_MESSAGE (323): producers are asked for a half that was given up as if nobody had been yet.
pub(crate) fn resume(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ResumeCheckHalfMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let id = header.msg_id.unwrap_or_default();
    let place: OffsetMessageId = id.parse().map_err(|_| not_resumed())?;
    Ok(call.answer_later(&broker.readers.tools, move |broker| {
        take_up(broker, place.log_offset)?;
        Ok(|to: Exchange, out: &mut Output| out.respond(to, ResponseCode::SUCCESS, None))
    }))
}

/// Stores a half that was given up among the others. Unlike the original, takes nothing else for one: a half that is
/// still open would come twice.
fn take_up(broker: &Broker, log_offset: i64) -> Result<(), Failure> {
    let record = broker.store.record_at(log_offset).ok_or_else(not_resumed)?;
    let view = RecordView::parse(&record).map_err(|_| not_resumed())?;
    if view.topic != names::TRANS_CHECK_MAX_TIME_TOPIC {
        return Err(not_resumed());
    }
    let text = properties::changed(&view.properties(), &[(name::TRANSACTION_CHECK_TIMES, Some("0"))]);
    let mut staging = broker.store.staging();
    let put = staging.put(&broker.transactions.half, &reput::again(&view, &[&text]));
    let slot = put.map_err(|_| not_resumed())?;
    reput::append(broker, &mut staging);
    match staging.placed(slot).status {
        PutStatus::PutOk => Ok(()),
        _ => Err(Failure::system("Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed.")),
    }
}

fn not_resumed() -> Failure {
    Failure::system("Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.")
}
