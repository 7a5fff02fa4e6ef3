//! Transactions: halves wait in the queue of RMQ_SYS_TRANS_HALF_TOPIC until their producer ends them.
//!
//! A half that was ended is named by an op message in RMQ_SYS_TRANS_OP_HALF_TOPIC; what is not named is asked for
//! ([`check`]). How far both queues are done stands with the consumer offsets of the group CID_RMQ_SYS_TRANS.
//! In memory, a half that was ended is one bit. Java: `transaction/queue/TransactionalMessageServiceImpl.java`,
//! `transaction/queue/TransactionalMessageBridge.java`.
//!
//! Unlike the original, op messages are written at the end of the turn in which halves were ended, not seconds later; a
//! half is not delivered twice because its producer said so twice; and one that was stored again, to ask for it, is
//! ended in all its forms by an answer to one of them, also after a crash.

pub(crate) mod check;
mod ended;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use raptormq_protocol::message::properties::{self, name};
use raptormq_store::{NewMessage, PutStatus, Queue, QueueNameError, Slot, Staging, Store};

use self::ended::Ended;
use crate::broker::Broker;
use crate::names;
use crate::offsets::Offsets;
use crate::reput;

/// The group whose offsets say how far halves and op messages are done.
pub(crate) const GROUP: &str = "CID_RMQ_SYS_TRANS";
/// Tags of an op message that says that halves were ended.
const OP_TAGS: &str = "d";
/// Behind each offset in an op message.
const OP_SEPARATOR: char = ',';
/// Most halves that are known to have been stored again; ends of others may have to be told twice.
const COPIES_MAX: usize = 1 << 18;
/// Longest wait for what earlier runs have ended.
const KNOWN_WAIT_MAX: Duration = Duration::from_secs(3);

/// The queues, and what is known of them.
pub(crate) struct Transactions {
    pub(crate) half: Arc<Queue>,
    op: Arc<Queue>,
    state: Mutex<State>,
    /// Signalled when the state knows all that was ended in earlier runs.
    known: Condvar,
}

#[derive(Debug)]
struct State {
    ended: Ended,
    /// The op messages of earlier runs were read.
    is_known: bool,
    /// Halves that are ended in a turn that is not over.
    pending: HashSet<i64>,
    /// Op messages that are not done: their offset, and the highest half that they name.
    ops: BTreeMap<i64, i64>,
    /// Halves that were stored again, and where.
    copies: HashMap<i64, i64>,
    /// The same the other way round.
    origins: HashMap<i64, i64>,
}

/// A half that a turn ends: the offsets that it has or had, and the message that takes its place if it is committed.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) half_offsets: Vec<i64>,
    pub(crate) slot: Option<Slot>,
}

impl Transactions {
    /// Opens both queues.
    pub(crate) fn new(store: &Store, offsets: &Offsets) -> Result<Transactions, QueueNameError> {
        let half = store.queue_or_create(names::TRANS_HALF_TOPIC, 0)?;
        let op = store.queue_or_create(names::TRANS_OP_HALF_TOPIC, 0)?;
        let state = State {
            ended: Ended::new(done(offsets, &half)),
            is_known: false,
            pending: HashSet::new(),
            ops: BTreeMap::new(),
            copies: HashMap::new(),
            origins: HashMap::new(),
        };
        Ok(Transactions { half, op, state: Mutex::new(state), known: Condvar::new() })
    }

    /// Properties of a half that say where the message goes.
    pub(crate) fn way(topic: &str, queue_id: i32, unique_key: &str) -> String {
        let mut text = String::new();
        if !unique_key.is_empty() {
            properties::append(&mut text, name::TRANSACTION_ID, unique_key);
        }
        properties::append(&mut text, name::REAL_TOPIC, topic);
        properties::append(&mut text, name::REAL_QID, &queue_id.to_string());
        text
    }

    /// Whether it is known what was ended in earlier runs; before, a second end of a half would be taken for the first.
    pub(crate) fn is_known(&self) -> bool {
        self.state.lock().is_known
    }

    /// Waits for that, as long as a client would for its answer.
    pub(crate) fn wait_until_known(&self) {
        let mut state = self.state.lock();
        self.known.wait_while_for(&mut state, |state| !state.is_known, KNOWN_WAIT_MAX);
    }

    /// All op messages of earlier runs were read.
    fn note_known(&self) {
        self.state.lock().is_known = true;
        self.known.notify_all();
    }

    /// Takes upon itself to end a half: the offsets that it has and had. `None` when somebody did or does.
    pub(crate) fn claim(&self, half_offset: i64) -> Option<Vec<i64>> {
        let mut state = self.state.lock();
        let newest = state.newest(half_offset);
        let is_taken = |offset: i64| state.ended.contains(offset) || state.pending.contains(&offset);
        if is_taken(half_offset) || is_taken(newest) {
            return None;
        }
        let mut offsets = vec![newest];
        // Where it was before, too: after a restart the checks may begin there.
        while let Some(origin) = offsets.last().and_then(|offset| state.origins.get(offset)) {
            offsets.push(*origin);
        }
        offsets.reverse();
        state.pending.extend(&offsets);
        Some(offsets)
    }

    fn is_ended(&self, half_offset: i64) -> bool {
        self.state.lock().ended.contains(half_offset)
    }

    /// Whether the half was stored again.
    fn is_copied(&self, half_offset: i64) -> bool {
        self.state.lock().copies.contains_key(&half_offset)
    }

    fn is_pending(&self, half_offset: i64) -> bool {
        self.state.lock().pending.contains(&half_offset)
    }

    /// Gives halves back that were claimed but are not ended.
    pub(crate) fn release(&self, half_offsets: &[i64]) {
        let mut state = self.state.lock();
        for offset in half_offsets {
            state.pending.remove(offset);
        }
    }

    /// Notes which halves were ended, once the messages of those that were committed are appended from `staging`: an end
    /// without its message would lose it. Those whose message could not be stored are not ended.
    pub(crate) fn note_ends(&self, broker: &Broker, mut ends: Vec<End>, staging: &Staging, ops: &mut Staging) {
        ends.retain(|end| {
            let is_stored = end.slot.is_none_or(|slot| staging.placed(slot).status == PutStatus::PutOk);
            if !is_stored {
                self.release(&end.half_offsets);
            }
            is_stored
        });
        self.write_ops(broker, ops, &ends);
    }

    /// Writes down which halves were ended.
    pub(crate) fn write_ops(&self, broker: &Broker, ops: &mut Staging, ends: &[End]) {
        ops.clear();
        let max_bytes = broker.settings().broker.transaction_op_msg_max_size as usize;
        let mut written: Vec<(Slot, Vec<i64>)> = Vec::new();
        let mut offsets = Vec::new();
        let mut text = String::new();
        for (number, end) in ends.iter().enumerate() {
            for offset in &end.half_offsets {
                text.push_str(&offset.to_string());
                text.push(OP_SEPARATOR);
                offsets.push(*offset);
            }
            if text.len() >= max_bytes || number + 1 == ends.len() {
                match ops.put(&self.op, &op_message(broker, text.as_bytes())) {
                    Ok(slot) => written.push((slot, std::mem::take(&mut offsets))),
                    Err(error) => {
                        tracing::error!(%error, "ends of transactions cannot be noted; their producers are asked again");
                        self.release(&std::mem::take(&mut offsets));
                    }
                }
                text.clear();
            }
        }
        reput::append(broker, ops);
        for (slot, offsets) in written {
            let placed = ops.placed(slot);
            if placed.status == PutStatus::PutOk {
                self.note(placed.queue_offset, &offsets);
            } else {
                tracing::error!("ends of transactions are not noted; their producers are asked again");
                self.release(&offsets);
            }
        }
    }

    /// Notes what an op message says.
    fn note(&self, op_offset: i64, half_offsets: &[i64]) {
        let half_end = self.half.max_offset();
        let mut state = self.state.lock();
        // One that names nothing is done when those before it are.
        let highest = half_offsets.iter().copied().filter(|offset| *offset < half_end).max().unwrap_or(-1);
        state.ops.insert(op_offset, highest);
        for offset in half_offsets {
            state.pending.remove(offset);
            // A half that there is not would make the bits endless.
            if *offset < half_end {
                state.ended.insert(*offset);
            }
        }
    }
}

impl State {
    /// Where the half is now.
    fn newest(&self, half_offset: i64) -> i64 {
        let mut offset = half_offset;
        // Copies lie behind what they are copies of, so this ends.
        while let Some(copy) = self.copies.get(&offset).filter(|copy| **copy > offset) {
            offset = *copy;
        }
        offset
    }

    /// Notes that a half was stored again.
    fn copied(&mut self, half_offset: i64, copy_offset: i64) {
        // Copies lie behind what they are copies of, so no chain is a ring.
        if self.copies.len() < COPIES_MAX && half_offset < copy_offset {
            self.copies.insert(half_offset, copy_offset);
            self.origins.insert(copy_offset, half_offset);
        }
    }

    /// All halves before that one are done. Returns the first op message that is not, of those before `op_end`.
    fn advance(&mut self, half_offset: i64, op_offset: i64) -> i64 {
        self.ended.advance(half_offset);
        let chains: Vec<i64> =
            self.copies.keys().copied().filter(|offset| self.newest(*offset) < half_offset).collect();
        for offset in chains {
            if let Some(copy) = self.copies.remove(&offset) {
                self.origins.remove(&copy);
            }
        }
        let mut first = op_offset;
        while let Some((offset, highest)) = self.ops.first_key_value()
            && *offset <= first
            && *highest < half_offset
        {
            first = first.max(*offset + 1);
            self.ops.pop_first();
        }
        first
    }
}

/// The first message of the queue that is not done.
fn done(offsets: &Offsets, queue: &Queue) -> i64 {
    let kept = offsets.get(GROUP, &queue.topic, queue.queue_id).unwrap_or_else(|| queue.min_offset());
    kept.clamp(queue.min_offset(), queue.max_offset())
}

fn op_message<'a>(broker: &Broker, body: &'a [u8]) -> NewMessage<'a> {
    /// What the original's op messages have.
    const PROPERTIES: &[&str] = &["WAIT\u{1}true\u{2}TAGS\u{1}d\u{2}"];
    debug_assert!(PROPERTIES[0].contains(OP_TAGS), "the tags say what the message is for");
    let host = broker.identity.store_host;
    NewMessage {
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: broker.now_ms(),
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: PROPERTIES,
    }
}

/// The halves that an op message names.
fn named(body: &[u8]) -> Vec<i64> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.split(OP_SEPARATOR).filter_map(|offset| offset.trim().parse().ok()).filter(|offset| *offset >= 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            ended: Ended::new(10),
            is_known: true,
            pending: HashSet::new(),
            ops: BTreeMap::new(),
            copies: HashMap::new(),
            origins: HashMap::new(),
        }
    }

    #[test]
    fn single_and_batched_op_messages_are_read() {
        assert_eq!(named(b"17"), [17]);
        assert_eq!(named(b"1,2,30,"), [1, 2, 30]);
        assert!(named(b"1,x,-4,\xff").is_empty());
        assert_eq!(named(b"1,x,-4,"), [1]);
    }

    #[test]
    fn an_op_message_is_done_when_all_before_it_are() {
        let mut state = state();
        state.ops.extend([(5, 12), (6, 11), (7, 20)]);
        assert_eq!(state.advance(12, 5), 5);
        assert_eq!(state.advance(13, 5), 7);
        assert_eq!(state.advance(20, 7), 7);
        assert_eq!(state.advance(21, 7), 8);
    }

    #[test]
    fn a_copy_is_found_and_forgotten() {
        let mut state = state();
        state.copied(10, 15);
        state.copied(15, 30);
        assert_eq!((state.newest(10), state.newest(15), state.newest(11)), (30, 30, 11));
        state.advance(20, 0);
        assert_eq!(state.newest(10), 30, "the copy is not done");
        state.advance(31, 0);
        assert!(state.copies.is_empty() && state.origins.is_empty());
    }
}
