//! What an I/O thread does with requests: hands them to their handlers, and at the end of a turn appends what they staged.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use raptormq_protocol::command::Command;
use raptormq_remoting::{Connection, Exchange, Outcome, Output, Service};
use raptormq_store::{Slot, Staging};

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::handle::send;
use crate::hold;

/// The broker on one I/O thread.
pub(crate) struct BrokerService {
    broker: Arc<Broker>,
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
    /// Sends whose messages are staged.
    staged: Cell<usize>,
    random: Cell<u32>,
}

/// A send whose message is staged.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
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
    /// The answer waits until the topic, which is new, is on disk.
    pub(crate) waits_for_topic: bool,
}

impl Turn {
    fn new(staging: Staging, seed: usize) -> Turn {
        Turn {
            staging: RefCell::new(staging),
            keys: RefCell::default(),
            text: RefCell::default(),
            is_over: Cell::new(false),
            waits_for_flush: Cell::new(false),
            staged: Cell::new(0),
            // Any odd number will do; threads should differ.
            random: Cell::new((seed as u32).wrapping_mul(0x9E37_79B9) | 1),
        }
    }

    /// Stages a message. `key` is its unique key; the place of the key comes back with what `put` returns.
    pub(crate) fn stage<T, E>(
        &self,
        key: &str,
        put: impl FnOnce(&mut Staging) -> Result<T, E>,
    ) -> Result<(T, Range<usize>), E> {
        let mut staging = self.staging.borrow_mut();
        let mut keys = self.keys.borrow_mut();
        if self.is_over.replace(false) {
            staging.clear();
            keys.clear();
        }
        let staged = put(&mut staging)?;
        self.staged.set(self.staged.get() + 1);
        let start = keys.len();
        keys.push_str(key);
        Ok((staged, start..keys.len()))
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
    pub(crate) fn new(broker: Arc<Broker>, thread_index: usize) -> BrokerService {
        let turn = Turn::new(broker.store.staging(), thread_index + 1);
        BrokerService { broker, turn }
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
}

impl Service for BrokerService {
    type Ticket = Ticket;

    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<Ticket> {
        let mut call = Call { request, peer, out, turn: &self.turn };
        match dispatch::handle(&self.broker, &mut call) {
            Ok(Reply::Done) => Outcome::Done,
            Ok(Reply::Turn(ticket)) => {
                if ticket.waits_for_flush {
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
        let waits_for_flush = self.turn.waits_for_flush.take();
        match waits_for_flush {
            true => store.append_unflushed(&mut staging),
            false => store.append(&mut staging),
        }
        self.note_append(&staging, begin.elapsed());
        self.turn.is_over.set(true);
        hold::wake(&self.broker, &staging);
        if waits_for_flush {
            store.flush_soon();
        }
    }

    fn finish(&self, peer: &Connection, ticket: Ticket, out: &mut Output) {
        let staging = self.turn.staging.borrow();
        let keys = self.turn.keys.borrow();
        let mut text = self.turn.text.borrow_mut();
        let key = keys.get(ticket.key.clone()).unwrap_or_default();
        send::finish(&self.broker, peer, send::Sent { ticket, key, staging: &staging, text: &mut text }, out);
    }

    fn closed(&self, peer: &Connection) {
        self.broker.holds.closed(peer.id());
        for group in self.broker.clients.closed(peer.id()) {
            self.broker.notify_members(&group);
        }
    }
}
