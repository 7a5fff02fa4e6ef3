//! Asking producers for transactions that they left open.
//!
//! Each `transactionCheckInterval`, a round goes over the halves from the first one on that is not done. What was ended is
//! passed. What is old enough is stored again behind the others and its producer is asked; what was asked for too often, or
//! is older than the log keeps messages, goes to TRANS_CHECK_MAX_TIME_TOPIC. The round ends where the others are too
//! young. It is done in steps, so that delayed messages do not wait for it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use raptormq_config::BrokerSettings;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::CheckTransactionStateRequestHeader;
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::record::{self, Place, RecordParts, RecordView};
use raptormq_remoting::Request;
use raptormq_store::{Placed, PutStatus, Queue, ReadError, Slot, Staging};

use super::{COPIES_MAX, GROUP, done, named};
use crate::broker::Broker;
use crate::hold;
use crate::names;
use crate::reput;

/// Halves or op messages that a step looks at.
const STEP_COUNT_MAX: usize = 64;
/// Halves that were ended are passed quickly: so many in a step.
const PASSED_MAX: usize = 65_536;
/// Longest round.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// When what failed is tried again, and when the disk is asked how far it is.
const RETRY_MS: i64 = 1_000;
/// Producers of a group that are tried.
const PRODUCERS_TRIED: usize = 3;

/// Does the rounds. There is one.
pub(crate) struct Checker {
    staging: Staging,
    /// Op messages of earlier runs are read up to here; `None` when all are.
    ops_from: Option<i64>,
    /// Halves of earlier runs that are open and were stored again are looked for; `None` when all are found.
    search: Option<Search>,
    /// The first half and the first op message that are not done.
    half_done: i64,
    op_done: i64,
    /// The round that is under way.
    round: Option<Round>,
    next_round_ms: i64,
    /// What a round found to be done, to be kept when the log is on disk up to there.
    found: Option<Found>,
    /// Which producer of a group is asked next.
    turn: usize,
}

struct Round {
    started_ms: i64,
    position: i64,
}

#[derive(Clone, Copy)]
struct Found {
    half: i64,
    /// As it was a round before: should the offsets be kept between the two being set, none is named too far.
    op: i64,
    log_end: i64,
}

/// What is done with a half.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The round ends here; it is too young.
    Young,
    /// It is given up.
    Discard,
    /// It is stored again with these properties, and its producer is asked.
    Ask(String),
    /// It is stored again with these properties.
    Postpone(String),
}

/// A half that a step has staged.
struct Staged {
    position: i64,
    slot: Slot,
    /// The half and its new properties, when its producer is asked.
    ask: Option<(bytes::Bytes, String)>,
    /// It is stored again as a half.
    is_copy: bool,
}

impl Checker {
    pub(crate) fn new(broker: &Broker, now_ms: i64) -> Checker {
        let op_done = done(&broker.offsets, &broker.transactions.op);
        Checker {
            staging: broker.store.staging(),
            ops_from: Some(op_done),
            search: Some(Search {
                position: done(&broker.offsets, &broker.transactions.half),
                end: broker.transactions.half.max_offset(),
                last: HashMap::new(),
            }),
            half_done: done(&broker.offsets, &broker.transactions.half),
            op_done,
            round: None,
            next_round_ms: now_ms + interval_ms(&broker.settings()),
            found: None,
            turn: 0,
        }
    }

    /// Does some of what is due, and says when to look again.
    pub(crate) fn step(&mut self, broker: &Broker, now_ms: i64) -> i64 {
        if let Some(from) = self.ops_from {
            return self.read_ops(broker, from, now_ms);
        }
        if let Some(search) = &mut self.search {
            match search.step(broker) {
                Ok(true) => return now_ms,
                Ok(false) => self.search = None,
                Err(error) => {
                    tracing::error!(%error, "a half message cannot be read; it is tried later");
                    return now_ms + RETRY_MS;
                }
            }
        }
        self.keep(broker, broker.store.watermarks().flushed.value());
        if self.round.is_none() {
            if now_ms < self.next_round_ms {
                let soon = self.found.map_or(i64::MAX, |_| now_ms + RETRY_MS);
                return self.next_round_ms.min(soon);
            }
            self.round = Some(Round { started_ms: now_ms, position: self.half_done });
        }
        if self.step_round(broker, now_ms) {
            return now_ms;
        }
        self.end_round(broker, now_ms);
        self.next_round_ms
    }

    /// Keeps all that was found, because everything will be on disk.
    pub(crate) fn end(&mut self, broker: &Broker) {
        self.found = Some(Found { half: self.half_done, op: self.op_done, log_end: 0 });
        self.keep(broker, 0);
    }

    fn keep(&mut self, broker: &Broker, flushed: i64) {
        let Some(found) = self.found.filter(|found| found.log_end <= flushed) else { return };
        self.found = None;
        let (half, op) = (&broker.transactions.half, &broker.transactions.op);
        let now_ms = broker.now_ms();
        broker.offsets.commit(GROUP, &half.topic, (half.queue_id, found.half), now_ms);
        broker.offsets.commit(GROUP, &op.topic, (op.queue_id, found.op), now_ms);
    }

    /// Reads op messages of earlier runs.
    fn read_ops(&mut self, broker: &Broker, from: i64, now_ms: i64) -> i64 {
        let op = &broker.transactions.op;
        let units = match broker.store.units(op, from, STEP_COUNT_MAX) {
            Ok(units) => units,
            Err(error) => {
                tracing::error!(%error, "the queue of ends of transactions cannot be read; it is tried again");
                return now_ms + RETRY_MS;
            }
        };
        for (offset, unit) in (from..).zip(&units) {
            let offsets = match broker.store.record(unit.log_offset) {
                Ok(record) => RecordView::parse(&record).map(|view| named(view.body)).unwrap_or_default(),
                Err(ReadError::Io(error)) => {
                    tracing::error!(%error, "an end of transactions cannot be read; it is tried again");
                    self.ops_from = Some(offset);
                    return now_ms + RETRY_MS;
                }
                Err(error) => {
                    tracing::error!(offset, %error, "an end of transactions is not there any more");
                    Vec::new()
                }
            };
            broker.transactions.note(offset, &offsets);
        }
        self.ops_from = (!units.is_empty()).then_some(from + units.len() as i64);
        if self.ops_from.is_none() {
            broker.transactions.note_known();
        }
        now_ms
    }

    /// Looks at some halves; `false` when the round is over.
    fn step_round(&mut self, broker: &Broker, now_ms: i64) -> bool {
        let Some(round) = &mut self.round else { return false };
        let half = &broker.transactions.half;
        if now_ms - round.started_ms > ROUND_MAX.as_millis() as i64 {
            return false;
        }
        round.position = pass_ended(broker, round.position);
        let mut position = round.position;
        let started_ms = round.started_ms;
        self.staging.clear();
        let mut staged: Vec<Staged> = Vec::new();
        let mut goes_on = true;
        for _ in 0..STEP_COUNT_MAX {
            if position >= half.max_offset() || broker.transactions.is_pending(position) {
                goes_on = false;
                break;
            }
            // What an earlier run stored again is looked at there.
            if !(broker.transactions.is_ended(position) || broker.transactions.is_copied(position)) {
                match self.look(broker, position, started_ms) {
                    Look::Passed => {}
                    Look::Staged(one) => staged.push(*one),
                    Look::Stop => {
                        goes_on = false;
                        break;
                    }
                }
            }
            position += 1;
        }
        let (reached, goes_on) = match self.store(broker, &staged) {
            Ok(()) => (position, goes_on),
            Err(Unstored::Ended(first)) => (first, true),
            Err(Unstored::Refused(first)) => (first, false),
        };
        if let Some(round) = &mut self.round {
            round.position = reached;
        }
        goes_on
    }

    /// Appends what was staged, and asks.
    fn store(&mut self, broker: &Broker, staged: &[Staged]) -> Result<(), Unstored> {
        let Some(first) = staged.first() else { return Ok(()) };
        {
            // Nobody ends a half while its copy is on its way, or the copy would be asked for.
            let mut state = broker.transactions.state.lock();
            let is_taken = |one: &Staged| state.ended.contains(one.position) || state.pending.contains(&one.position);
            if staged.iter().any(is_taken) {
                return Err(Unstored::Ended(first.position));
            }
            broker.store.append(&mut self.staging);
            for one in staged.iter().filter(|one| one.is_copy) {
                let placed = self.staging.placed(one.slot);
                if placed.status == PutStatus::PutOk {
                    state.copied(one.position, placed.queue_offset);
                }
            }
        }
        hold::wake(broker, &self.staging);
        for one in staged {
            let placed = *self.staging.placed(one.slot);
            if placed.status != PutStatus::PutOk {
                tracing::error!(offset = one.position, "an open transaction cannot be stored again; it is tried later");
                return Err(Unstored::Refused(one.position));
            }
            if let Some((record, text)) = &one.ask
                && let Ok(view) = RecordView::parse(record)
            {
                self.ask(broker, &view, text, &placed);
            }
        }
        Ok(())
    }

    fn look(&mut self, broker: &Broker, position: i64, started_ms: i64) -> Look {
        let record = match read(broker, &broker.transactions.half, position) {
            Ok(record) => record,
            Err(ReadError::Io(error)) => {
                tracing::error!(offset = position, %error, "a half message cannot be read; it is tried later");
                return Look::Stop;
            }
            Err(error) => {
                tracing::error!(offset = position, %error, "a half message is not there any more");
                return Look::Passed;
            }
        };
        let Ok(view) = RecordView::parse(&record) else { return Look::Passed };
        let text = view.properties();
        // What an earlier run stored again may have been ended under its first offset.
        let first = Properties(&text).get(name::TRAN_PREPARED_QUEUE_OFFSET).and_then(|text| text.parse().ok());
        if first.is_some_and(|first| broker.transactions.is_ended(first)) {
            return Look::Passed;
        }
        let verdict = judge(&broker.settings(), &view, Properties(&text), (started_ms, broker.now_ms()));
        let (text, is_asked) = match verdict {
            Verdict::Young => return Look::Stop,
            Verdict::Discard => return self.discard(broker, &view, &text, position),
            Verdict::Ask(text) => (text, true),
            Verdict::Postpone(text) => (text, false),
        };
        match self.staging.put(&broker.transactions.half, &reput::again(&view, &[&text])) {
            Ok(slot) => {
                let ask = is_asked.then(|| (record.clone(), text));
                Look::Staged(Box::new(Staged { position, slot, ask, is_copy: true }))
            }
            Err(error) => {
                tracing::error!(offset = position, %error, "a half message cannot be stored again; it is given up");
                self.discard(broker, &view, &text, position)
            }
        }
    }

    /// Moves a half to where those are that were given up.
    fn discard(&mut self, broker: &Broker, view: &RecordView<'_>, text: &str, position: i64) -> Look {
        let topic = names::TRANS_CHECK_MAX_TIME_TOPIC;
        tracing::error!(offset = position, topic, "an open transaction is given up: asked for too often, or too old");
        if let Err(failure) = broker.group_topic(topic, 1, 0) {
            tracing::error!(topic, reason = %failure.remark, "a topic cannot be made; a half message is left out");
            return Look::Passed;
        }
        let Some(queue) = broker.queue_again(topic, 0) else { return Look::Passed };
        match self.staging.put(&queue, &reput::again(view, &[text])) {
            Ok(slot) => Look::Staged(Box::new(Staged { position, slot, ask: None, is_copy: false })),
            Err(error) => {
                tracing::error!(offset = position, %error, "a half message cannot be stored; it is left out");
                Look::Passed
            }
        }
    }

    /// Asks a producer of the half's group: CHECK_TRANSACTION_STATE (39). Java:
    /// `transaction/AbstractTransactionalMessageCheckListener.java`.
    fn ask(&mut self, broker: &Broker, view: &RecordView<'_>, text: &str, placed: &Placed) {
        let properties = Properties(text);
        let group = properties.get(name::PGROUP).unwrap_or_default();
        let Some(body) = question(view, properties, placed) else {
            tracing::error!(offset = placed.queue_offset, "a half message does not say where it goes; nobody is asked");
            return;
        };
        let unique_key = properties.get(name::UNIQ_KEY);
        let header = CheckTransactionStateRequestHeader {
            topic: names::TRANS_HALF_TOPIC,
            tran_state_table_offset: placed.queue_offset,
            commit_log_offset: placed.log_offset,
            msg_id: unique_key,
            transaction_id: unique_key,
            offset_msg_id: Some(&broker.message_id(placed.log_offset)),
            broker_name: Some(&broker.settings().broker.broker_name),
        };
        let request = Request::new(RequestCode::CHECK_TRANSACTION_STATE).header(&header).body(body);
        let producers = broker.clients.producers(group);
        self.turn = self.turn.wrapping_add(1);
        let count = producers.len().max(1);
        let tried =
            (0..producers.len().min(PRODUCERS_TRIED)).map(|number| &producers[(self.turn % count + number) % count]);
        for producer in tried {
            match producer.connection.oneway(&request) {
                Ok(()) => return,
                Err(error) => tracing::debug!(group, %error, "a producer cannot be asked for its transaction"),
            }
        }
        tracing::warn!(group, "no producer is there to be asked for its transaction; it is tried again");
    }

    fn end_round(&mut self, broker: &Broker, now_ms: i64) {
        self.next_round_ms = now_ms + interval_ms(&broker.settings());
        let Some(round) = self.round.take() else { return };
        let op = self.op_done;
        self.op_done = broker.transactions.state.lock().advance(round.position, op);
        let is_other = (self.half_done, self.op_done) != (round.position, op);
        self.half_done = round.position;
        if is_other && self.found.is_none() {
            let log_end = broker.store.watermarks().appended.value();
            self.found = Some(Found { half: round.position, op, log_end });
        }
    }
}

/// Finds which open halves are copies of which: one that was asked for must not be asked for twice after a restart.
struct Search {
    position: i64,
    /// The end of the queue at the start.
    end: i64,
    /// The last half by its unique key. Bounded by the halves that are open, and by a number.
    last: HashMap<Box<str>, i64>,
}

impl Search {
    /// Looks at some halves; `false` when there are no more.
    fn step(&mut self, broker: &Broker) -> io::Result<bool> {
        for _ in 0..STEP_COUNT_MAX {
            self.position = pass_ended(broker, self.position).min(self.end);
            if self.position >= self.end {
                return Ok(false);
            }
            let offset = self.position;
            match read(broker, &broker.transactions.half, offset) {
                Ok(record) => self.note(broker, offset, &record),
                Err(ReadError::Io(error)) => return Err(error),
                Err(error) => tracing::error!(offset, %error, "a half message is not there any more"),
            }
            self.position += 1;
        }
        Ok(true)
    }

    fn note(&mut self, broker: &Broker, offset: i64, record: &[u8]) {
        let Ok(view) = RecordView::parse(record) else { return };
        let text = view.properties();
        let properties = Properties(&text);
        let Some(key) = properties.get(name::UNIQ_KEY).filter(|_| self.last.len() < COPIES_MAX) else { return };
        let is_copy = properties.get(name::TRANSACTION_CHECK_TIMES).is_some();
        if let Some(first) = self.last.insert(key.into(), offset).filter(|_| is_copy) {
            broker.transactions.state.lock().copied(first, offset);
        }
    }
}

/// Why halves of a step are not stored again, and the first of them.
enum Unstored {
    /// One of them was ended meanwhile: the step is done again.
    Ended(i64),
    /// The store did not take it.
    Refused(i64),
}

/// What became of looking at a half.
enum Look {
    Passed,
    Staged(Box<Staged>),
    Stop,
}

/// The first half from `position` on that was not ended, or one on the way there.
fn pass_ended(broker: &Broker, position: i64) -> i64 {
    let state = broker.transactions.state.lock();
    let end = broker.transactions.half.max_offset().min(position + PASSED_MAX as i64);
    (position..end).find(|offset| !state.ended.contains(*offset)).unwrap_or(end.max(position))
}

fn interval_ms(settings: &BrokerSettings) -> i64 {
    i64::try_from(settings.broker.transaction_check_interval).unwrap_or(i64::MAX / 2).clamp(1, i64::MAX / 2)
}

fn read(broker: &Broker, queue: &Arc<Queue>, offset: i64) -> Result<bytes::Bytes, ReadError> {
    match broker.store.units(queue, offset, 1)?.first() {
        Some(unit) => broker.store.record(unit.log_offset),
        None => Err(ReadError::NotThere(offset)),
    }
}

/// Decides on a half that was not ended; `started_ms` is when the round began.
fn judge(
    settings: &BrokerSettings,
    half: &RecordView<'_>,
    given: Properties<'_>,
    (started_ms, now_ms): (i64, i64),
) -> Verdict {
    let broker = &settings.broker;
    let times = match given.get(name::TRANSACTION_CHECK_TIMES) {
        Some(text) => {
            let times: i64 = text.parse().unwrap_or(-1);
            if times >= i64::from(broker.transaction_check_max) {
                return Verdict::Discard;
            }
            times + 1
        }
        None => 1,
    };
    let age_ms = now_ms.saturating_sub(half.born_timestamp_ms);
    if age_ms > i64::from(settings.store.file_reserved_time) * 3_600_000 {
        return Verdict::Discard;
    }
    if half.store_timestamp_ms >= started_ms {
        return Verdict::Young;
    }
    let timeout_ms = i64::try_from(broker.transaction_time_out).unwrap_or(i64::MAX);
    let times = times.to_string();
    let asked = [(name::TRANSACTION_CHECK_TIMES, Some(times.as_str())), (name::WAIT, None)];
    let changed = properties::changed(given.0, &asked);
    match given.get(name::CHECK_IMMUNITY_TIME_IN_SECONDS) {
        Some(text) if age_ms < immunity_ms(text, timeout_ms) => {
            let first = given.get(name::TRAN_PREPARED_QUEUE_OFFSET);
            if first.is_some_and(|first| first.parse::<i64>().is_err()) {
                return Verdict::Ask(changed);
            }
            let first = first.map_or_else(|| half.queue_offset.to_string(), str::to_owned);
            // Unlike in the original, which would give up a half that was never asked for, this does not count as asked.
            let postponed = [(name::TRAN_PREPARED_QUEUE_OFFSET, Some(first.as_str())), (name::WAIT, None)];
            Verdict::Postpone(properties::changed(given.0, &postponed))
        }
        None if (0..timeout_ms).contains(&age_ms) => Verdict::Young,
        _ => Verdict::Ask(changed),
    }
}

/// How long a producer that said a time of its own is left alone, in milliseconds.
pub(crate) fn immunity_ms(text: &str, timeout_ms: i64) -> i64 {
    text.parse::<i64>().unwrap_or(0).saturating_mul(1000).max(timeout_ms)
}

/// The message as its producer knows it, at the place of its newest form.
fn question(half: &RecordView<'_>, given: Properties<'_>, placed: &Placed) -> Option<Vec<u8>> {
    let parts = RecordParts {
        topic: given.get(name::REAL_TOPIC)?,
        queue_id: given.get(name::REAL_QID)?.parse().ok()?,
        flag: half.flag,
        sys_flag: half.sys_flag,
        born_timestamp_ms: half.born_timestamp_ms,
        born_host: half.born_host,
        store_host: half.store_host,
        reconsume_times: half.reconsume_times,
        prepared_transaction_offset: 0,
        body: half.body,
        properties: &[given.0, "WAIT\u{1}false\u{2}"],
    };
    let mut bytes = Vec::new();
    record::encode(&parts, &mut bytes).ok()?;
    let place = Place {
        queue_offset: placed.queue_offset,
        log_offset: placed.log_offset,
        store_timestamp_ms: half.store_timestamp_ms,
    };
    record::patch(&mut bytes, &place);
    Some(bytes)
}
