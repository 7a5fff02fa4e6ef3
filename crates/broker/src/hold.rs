//! Pulls that wait for their queue's next message (long polling).
//!
//! A hold hangs on its queue and keeps no thread and no lock. The I/O thread that appends a message wakes the holds that
//! want it at the end of its turn ([`wake`]), wherever their connections live; one task ends those whose time is up
//! ([`run`]). Either way the pull runs once more, may not wait again, and answers; it is checked again if topics, groups or
//! settings have changed meanwhile. A queue counts its holds, so an append
//! to a queue that nobody waits for costs one load. Under SYNC_FLUSH a message can be read when it is on disk; a turn that
//! ends before that *calls* its holds, and a task wakes them when the log is flushed ([`run_flushed`]). Java:
//! `longpolling/PullRequestHoldService.java`; unlike there, a deadline is met when it comes, not at the next tick.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_remoting::Responder;
use raptormq_store::{Arrival, Queue, Staging, Store};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::budget::{Budget, Share};
use crate::handle::pull::{self, Pull};

/// Most holds at a time; a pull beyond that is answered at once. What clients have: one for each queue of each group.
const HOLDS_MAX: usize = 1 << 20;
/// Most holds of one connection.
const HOLDS_PER_CONNECTION_MAX: usize = 1 << 16;
/// What a hold takes beside its filter, in bytes.
const HOLD_BYTES: usize = 512;
/// Longest hold, whatever the client asks for: beyond, its connection would count as idle and be closed.
const HOLD_MAX: Duration = Duration::from_secs(90);

/// A pull that waits.
pub(crate) struct Hold {
    pub(crate) pull: Pull,
    pub(crate) responder: Responder,
    deadline: Instant,
    /// Its message is appended and can be read when the log is flushed up to here.
    called_at: Option<i64>,
    _share: Share,
}

/// The place of a hold: its queue (by address; the hold keeps it alive) and a number.
type Place = (usize, u64);

/// All holds.
pub(crate) struct Holds {
    budget: Budget,
    /// One lock for all: it is held for the time of a few look-ups, and appends that nobody waits for do not take it.
    table: Mutex<Table>,
    /// The task of [`run`] is asked to look at the deadlines.
    earlier: Notify,
    /// The task of [`run_flushed`] is asked to wait for the first hold that was called.
    called: Notify,
}

#[derive(Default)]
struct Table {
    next_number: u64,
    holds: BTreeMap<Place, Hold>,
    deadlines: BTreeSet<(Instant, Place)>,
    /// The holds that were called, by the log offset up to which the log must be flushed.
    called: BTreeSet<(i64, Place)>,
    connections: HashMap<u64, BTreeSet<Place>>,
    /// When the task looks next by itself. It may find nothing then; that is cheaper than telling it of every hold.
    armed: Option<Instant>,
}

/// Why a pull cannot be held.
pub(crate) enum NotHeld {
    /// There are too many.
    Full(Pull, Responder),
    /// A message has come in the meantime.
    Arrived(Pull, Responder),
}

impl Holds {
    /// No holds; those that come take their bytes from the budget.
    pub(crate) fn new(budget: Budget) -> Holds {
        Holds { budget, table: Mutex::default(), earlier: Notify::new(), called: Notify::new() }
    }

    /// Lets the pull wait for `timeout` at most.
    pub(crate) fn add(
        &self,
        store: &Store,
        pull: Pull,
        responder: Responder,
        timeout: Duration,
    ) -> Result<(), NotHeld> {
        let connection_id = responder.connection().id();
        let deadline = Instant::now() + timeout.min(HOLD_MAX);
        let queue = Arc::clone(&pull.queue);
        let from = pull.queue_offset;
        let Ok(share) = self.budget.take(HOLD_BYTES + pull.filter.own_bytes()) else {
            return Err(NotHeld::Full(pull, responder));
        };
        let mut table = self.table.lock();
        let of_connection = table.connections.get(&connection_id).map_or(0, BTreeSet::len);
        if table.holds.len() >= HOLDS_MAX || of_connection >= HOLDS_PER_CONNECTION_MAX {
            return Err(NotHeld::Full(pull, responder));
        }
        let place = (address_of(&queue), table.next_number);
        table.next_number += 1;
        table.connections.entry(connection_id).or_default().insert(place);
        table.deadlines.insert((deadline, place));
        table.holds.insert(place, Hold { pull, responder, deadline, called_at: None, _share: share });
        queue.holds.fetch_add(1, Ordering::SeqCst);
        let is_earlier = table.armed.is_none_or(|armed| deadline < armed);
        if is_earlier {
            table.armed = Some(deadline);
        }
        drop(table);
        if is_earlier {
            self.earlier.notify_one();
        }
        // An append that did not see this hold has moved the queue's end before: either it wakes us or we see it.
        fence(Ordering::SeqCst);
        if queue.max_offset() <= from {
            return Ok(());
        }
        let appended = store.watermarks().appended.value();
        // What cannot be read now can be when all of this is flushed.
        if !store.visible_end(&queue).is_ok_and(|end| end > from) {
            self.call(&mut self.table.lock(), place, appended);
            return Ok(());
        }
        match self.table.lock().remove(place) {
            Some(hold) => Err(NotHeld::Arrived(hold.pull, hold.responder)),
            None => Ok(()),
        }
    }

    /// Drops the holds of a connection that has ended.
    pub(crate) fn closed(&self, connection_id: u64) {
        let mut table = self.table.lock();
        let places = table.connections.get(&connection_id).cloned().unwrap_or_default();
        for place in places {
            table.remove(place);
        }
    }

    /// How many pulls wait.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().holds.len()
    }

    /// Takes out the holds of a group on a queue.
    fn take_of(&self, queue: &Arc<Queue>, group: &str) -> Vec<Hold> {
        let address = address_of(queue);
        let mut table = self.table.lock();
        let of_queue = table.holds.range((address, 0)..=(address, u64::MAX));
        let own = of_queue.filter(|(_, hold)| hold.pull.group.group_name == group);
        let places: Vec<Place> = own.map(|(place, _)| *place).collect();
        places.into_iter().filter_map(|place| table.remove(place)).collect()
    }

    /// Lets the hold be woken when the log is flushed up to `log_end`.
    fn call(&self, table: &mut Table, place: Place, log_end: i64) {
        let Some(hold) = table.holds.get_mut(&place).filter(|hold| hold.called_at.is_none()) else { return };
        hold.called_at = Some(log_end);
        table.called.insert((log_end, place));
        if table.called.first() == Some(&(log_end, place)) {
            self.called.notify_one();
        }
    }

    /// Takes out the holds that one of the messages is for; or calls them, if the messages can be read only when the log is
    /// flushed up to `flushed_to`.
    fn take_wanting<'a>(
        &self,
        broker: &Broker,
        arrivals: impl Iterator<Item = Arrival<'a>>,
        flushed_to: Option<i64>,
    ) -> Vec<Hold> {
        let mut woken = Vec::new();
        // The appended messages are in their queues; whoever holds from now on sees them by itself.
        fence(Ordering::SeqCst);
        for arrival in arrivals {
            if arrival.queue.holds.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let address = address_of(arrival.queue);
            let mut table = self.table.lock();
            let of_queue = table.holds.range((address, 0)..=(address, u64::MAX));
            let wants = |hold: &Hold| {
                hold.pull.queue_offset <= arrival.queue_offset && hold.pull.filter.is_woken_by(broker, &arrival)
            };
            let places: Vec<Place> = of_queue.filter(|(_, hold)| wants(hold)).map(|(place, _)| *place).collect();
            match flushed_to {
                Some(log_end) => places.into_iter().for_each(|place| self.call(&mut table, place, log_end)),
                None => woken.extend(places.into_iter().filter_map(|place| table.remove(place))),
            }
        }
        woken
    }

    /// Up to where the log must be flushed for the first hold that was called.
    fn first_called(&self) -> Option<i64> {
        self.table.lock().called.first().map(|(log_end, _)| *log_end)
    }

    /// Takes out the holds that were called and wait for no more than that.
    fn take_flushed(&self, flushed: i64) -> Vec<Hold> {
        let mut table = self.table.lock();
        let mut woken = Vec::new();
        while let Some((log_end, place)) = table.called.first().copied()
            && log_end <= flushed
        {
            woken.extend(table.remove(place));
        }
        woken
    }

    /// Takes out the holds whose time is up, and says when the next one's is.
    fn take_due(&self, now: Instant) -> (Vec<Hold>, Option<Instant>) {
        let mut table = self.table.lock();
        let mut due = Vec::new();
        while let Some((deadline, place)) = table.deadlines.first().copied()
            && deadline <= now
        {
            due.extend(table.remove(place));
        }
        table.armed = table.deadlines.first().map(|(deadline, _)| *deadline);
        (due, table.armed)
    }
}

impl Table {
    fn remove(&mut self, place: Place) -> Option<Hold> {
        let hold = self.holds.remove(&place)?;
        hold.pull.queue.holds.fetch_sub(1, Ordering::SeqCst);
        self.deadlines.remove(&(hold.deadline, place));
        if let Some(log_end) = hold.called_at {
            self.called.remove(&(log_end, place));
        }
        let connection_id = hold.responder.connection().id();
        if let Some(places) = self.connections.get_mut(&connection_id) {
            places.remove(&place);
            if places.is_empty() {
                self.connections.remove(&connection_id);
            }
        }
        Some(hold)
    }
}

fn address_of(queue: &Arc<Queue>) -> usize {
    Arc::as_ptr(queue).addr()
}

/// Answers the pulls that waited for what the turn appended, under SYNC_FLUSH when that is on disk. Called at the end of the
/// turn, with no lock held.
pub(crate) fn wake(broker: &Broker, staging: &Staging) {
    // Who holds from now on sees the messages by itself.
    fence(Ordering::SeqCst);
    if staging.queues().all(|queue| queue.holds.load(Ordering::SeqCst) == 0) {
        return;
    }
    let log_end = if broker.identity.reads_flushed { staging.log_end() } else { 0 };
    wake_for(broker, staging.arrivals(), log_end);
}

/// Answers the pulls that waited for one of these messages, which end at `log_end` in the log. Called with no lock held.
pub(crate) fn wake_for<'a>(broker: &Broker, arrivals: impl Iterator<Item = Arrival<'a>>, log_end: i64) {
    let flushed = broker.store.watermarks().flushed;
    let flushed_to = broker.identity.reads_flushed.then_some(log_end).filter(|log_end| flushed.value() < *log_end);
    for hold in broker.holds.take_wanting(broker, arrivals, flushed_to) {
        pull::again(broker, hold.pull, hold.responder);
    }
}

/// Wakes holds that were called when the log is flushed, for as long as that goes on. After a sync has failed nothing more
/// becomes readable, and holds end when their time is up.
pub(crate) async fn run_flushed(broker: Arc<Broker>) {
    let flushed = broker.store.watermarks().flushed;
    loop {
        match broker.holds.first_called() {
            Some(log_end) => {
                if flushed.reached(log_end).await.is_err() {
                    return;
                }
                for hold in broker.holds.take_flushed(flushed.value()) {
                    pull::again(&broker, hold.pull, hold.responder);
                }
            }
            None => broker.holds.called.notified().await,
        }
    }
}

/// Answers the pulls of a group that wait on a queue, because the group shall go on elsewhere in it.
pub(crate) fn end(broker: &Broker, queue: &Arc<Queue>, group: &str) {
    for hold in broker.holds.take_of(queue, group) {
        pull::again(broker, hold.pull, hold.responder);
    }
}

/// Ends holds whose time is up, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    loop {
        let (due, next) = broker.holds.take_due(Instant::now());
        for hold in due {
            pull::again(&broker, hold.pull, hold.responder);
        }
        let earlier = broker.holds.earlier.notified();
        match next {
            Some(next) => {
                // Whichever comes first; then the deadlines are looked at anew.
                let _ = tokio::time::timeout_at(next, earlier).await;
            }
            None => earlier.await,
        }
    }
}
