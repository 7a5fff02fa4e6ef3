//! What an I/O thread does with requests: hands them to their handlers, and at the end of a turn appends what they staged.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use raptormq_protocol::command::Command;
use raptormq_remoting::{Connection, IoThread, Outcome, Output, Service};
use raptormq_store::Staging;

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::handle::end_transaction::{self, EndTicket};
use crate::handle::reply::{self, ReplyTicket};
use crate::handle::send::answer::{self, SendTicket, Sent};
use crate::handle::send::later::Held;
use crate::handle::send_back::{self, SendBackTicket};
use crate::hold;
use crate::transaction::End;

/// The broker on one I/O thread.
pub(crate) struct BrokerService {
    broker: Arc<Broker>,
    thread: IoThread,
    turn: Turn,
}

/// What a thread gathers until its turn ends.
pub(crate) struct Turn {
    staging: RefCell<Staging>,
    /// Unique keys of the staged messages, which their answers repeat.
    keys: RefCell<String>,
    /// Room to put texts together in.
    pub(crate) text: RefCell<String>,
    /// The turn's messages are appended; what is staged next belongs to a new turn.
    is_over: Cell<bool>,
    /// The answer to one of the messages waits until it is on disk.
    waits_for_flush: Cell<bool>,
    /// The turn's messages are on disk, but later than a sender waits for that.
    is_flushed_late: Cell<bool>,
    /// Sends whose messages are staged.
    staged: Cell<usize>,
    /// Sends of the turn that are answered later.
    held: Held,
    /// Transactions that the turn ends.
    ends: RefCell<Vec<End>>,
    /// What notes their ends.
    ops: RefCell<Staging>,
    random: Cell<u32>,
    /// When the first of the turn's delayed messages is due.
    delayed_until_ms: Cell<i64>,
}

/// What is answered when the turn ends.
#[derive(Clone, Debug)]
pub(crate) enum Ticket {
    Send(SendTicket),
    SendBack(SendBackTicket),
    End(EndTicket),
    Reply(Box<ReplyTicket>),
}

impl Ticket {
    /// Whether the answer waits until the message is on disk.
    fn waits_for_flush(&self) -> bool {
        matches!(self, Ticket::Send(ticket) if ticket.waits_for_flush)
    }
}

impl Turn {
    fn new(staging: Staging, ops: Staging, seed: usize) -> Turn {
        Turn {
            staging: RefCell::new(staging),
            keys: RefCell::default(),
            text: RefCell::default(),
            is_over: Cell::new(false),
            waits_for_flush: Cell::new(false),
            is_flushed_late: Cell::new(false),
            staged: Cell::new(0),
            held: Held::default(),
            ends: RefCell::default(),
            ops: RefCell::new(ops),
            // Any odd number will do; threads should differ.
            random: Cell::new((seed as u32).wrapping_mul(0x9E37_79B9) | 1),
            delayed_until_ms: Cell::new(i64::MAX),
        }
    }

    /// Forgets what the turn before staged, unless that was done. For whoever wants to answer at the end of the turn, but
    /// may stage nothing.
    pub(crate) fn begin(&self) {
        if self.is_over.replace(false) {
            self.staging.borrow_mut().clear();
            self.keys.borrow_mut().clear();
        }
    }

    /// Ends a transaction, if its message is stored.
    pub(crate) fn end(&self, end: End) {
        self.begin();
        self.ends.borrow_mut().push(end);
    }

    /// Stages a message. `key` is its unique key; the place of the key comes back with what `put` returns.
    pub(crate) fn stage<T, E>(
        &self,
        key: &str,
        put: impl FnOnce(&mut Staging) -> Result<T, E>,
    ) -> Result<(T, Range<usize>), E> {
        self.begin();
        let mut staging = self.staging.borrow_mut();
        let mut keys = self.keys.borrow_mut();
        let staged = put(&mut staging)?;
        self.staged.set(self.staged.get() + 1);
        let start = keys.len();
        keys.push_str(key);
        Ok((staged, start..keys.len()))
    }

    /// A message that is staged is due at that time.
    pub(crate) fn note_delayed(&self, due_ms: i64) {
        self.delayed_until_ms.set(self.delayed_until_ms.get().min(due_ms));
    }

    /// A number below `below` that is as good as any other.
    pub(crate) fn any_below(&self, below: u32) -> u32 {
        let mut number = self.random.get();
        number ^= number << 13;
        number ^= number >> 17;
        number ^= number << 5;
        self.random.set(number);
        number % below.max(1)
    }
}

impl BrokerService {
    pub(crate) fn new(broker: Arc<Broker>, thread: IoThread) -> BrokerService {
        let turn = Turn::new(broker.store.staging(), broker.store.staging(), thread.index + 1);
        BrokerService { broker, thread, turn }
    }
}

impl BrokerService {
    /// Counts how long the turn's messages took.
    fn note_append(&self, staging: &Staging, took: Duration) {
        let staged = self.turn.staged.take();
        if staged > 0 {
            self.broker.stats.put_times.note(staged, took);
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if took_ms > 0 {
            for arrival in staging.arrivals() {
                arrival.queue.puts.latency_ms.fetch_add(took_ms, Ordering::Relaxed);
            }
        }
    }

    /// Has made durable what was appended by then, at once or soon. Returns whether that took longer than senders wait.
    fn flush(&self, appended_at: Instant) -> bool {
        self.thread.away(appended_at, || self.broker.store.flush_soon());
        appended_at.elapsed() > Duration::from_millis(self.broker.settings().store.sync_flush_timeout)
    }

    /// Notes the transactions that the turn has ended.
    fn note_ends(&self, staging: &Staging) {
        let ends = std::mem::take(&mut *self.turn.ends.borrow_mut());
        if !ends.is_empty() {
            self.broker.transactions.note_ends(&self.broker, ends, staging, &mut self.turn.ops.borrow_mut());
        }
    }
}

impl Service for BrokerService {
    type Ticket = Ticket;

    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<Ticket> {
        let mut call = Call { request, peer, out, turn: &self.turn };
        match dispatch::handle(&self.broker, &mut call) {
            Ok(Reply::Done) => Outcome::Done,
            Ok(Reply::Turn(ticket)) => {
                if ticket.waits_for_flush() {
                    self.turn.waits_for_flush.set(true);
                }
                Outcome::Turn(ticket)
            }
            Err(failure) => {
                call.refuse(&failure);
                Outcome::Done
            }
        }
    }

    fn end_turn(&self) {
        let mut staging = self.turn.staging.borrow_mut();
        let store = &self.broker.store;
        let begin = Instant::now();
        // The spare thread is there when the others wait for the disk.
        let may_flush = self.turn.waits_for_flush.take() && !self.thread.is_spare;
        match may_flush {
            true => store.append_unflushed(&mut staging),
            false => store.append(&mut staging),
        }
        let appended_at = Instant::now();
        self.note_append(&staging, appended_at - begin);
        self.turn.is_over.set(true);
        self.note_ends(&staging);
        self.turn.is_flushed_late.set(may_flush && self.flush(appended_at));
        hold::wake(&self.broker, &staging);
        let due_ms = self.turn.delayed_until_ms.replace(i64::MAX);
        if due_ms < i64::MAX {
            self.broker.alarm.ring(due_ms);
        }
    }

    fn finish(&self, peer: &Connection, ticket: Ticket, out: &mut Output) {
        let staging = self.turn.staging.borrow();
        match ticket {
            Ticket::Send(ticket) => {
                let keys = self.turn.keys.borrow();
                let mut text = self.turn.text.borrow_mut();
                let key = keys.get(ticket.key.clone()).unwrap_or_default();
                let is_flushed_late = self.turn.is_flushed_late.get();
                let held = &self.turn.held;
                let sent = Sent { ticket, key, staging: &staging, is_flushed_late, text: &mut text, held };
                answer::finish(&self.broker, peer, sent, out);
            }
            Ticket::End(ticket) => end_transaction::finish(&self.broker, ticket, &staging, out),
            Ticket::Reply(ticket) => reply::finish(&self.broker, peer, *ticket, &staging),
            Ticket::SendBack(ticket) => send_back::finish(&self.broker, ticket, &staging, out),
        }
    }

    fn closed(&self, peer: &Connection) {
        self.broker.holds.closed(peer.id());
        for group in self.broker.clients.closed(peer.id()) {
            self.broker.notify_members(&group);
        }
    }
}
