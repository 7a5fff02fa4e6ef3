//! The store against a model of a few vectors: random appends, reads, steps and stops of every kind. A failing case is
//! printed with its seed and shrunk.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use raptormq_protocol::message::MessageExt;
use raptormq_store::disk::memory::{Fate, MemoryDisk};
use raptormq_store::{PutStatus, Store};

#[derive(Clone, Debug)]
enum Action {
    /// A turn with a message for each of these queues; the number is the body's length.
    Append(Vec<(u8, u16)>),
    /// The background runs, so long after.
    Step(i64),
    /// An orderly stop and start.
    Reopen,
    /// The process dies and comes back.
    Kill,
    /// The machine dies: of what was not synced, the operations whose number has these bits are lost.
    Crash(u64),
    /// A topic is deleted.
    Delete(u8),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => proptest::collection::vec((0_u8..4, 0_u16..1500), 1..6).prop_map(Action::Append),
        3 => prop_oneof![Just(0_i64), Just(1_500), Just(70_000)].prop_map(Action::Step),
        1 => Just(Action::Reopen),
        1 => Just(Action::Kill),
        1 => any::<u64>().prop_map(Action::Crash),
        1 => (0_u8..4).prop_map(Action::Delete),
    ]
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    /// Bodies of each queue.
    queues: BTreeMap<u8, Vec<Vec<u8>>>,
    /// Log offset behind each message, in order, with its queue.
    log_ends: Vec<(i64, u8)>,
    count: u32,
}

impl Model {
    /// Forgets the messages at the end of the log that a crash took.
    fn cut(&mut self, log_end: i64) {
        while let Some((_, queue)) = self.log_ends.pop_if(|(end, _)| *end > log_end) {
            if let Some(bodies) = self.queues.get_mut(&queue) {
                bodies.pop();
            }
        }
    }
}

/// Four queues: two topics with two ids each.
fn place(queue: u8) -> (&'static str, i32) {
    (if queue < 2 { "T" } else { "U" }, i32::from(queue % 2))
}

fn append(store: &Store, model: &mut Model, turn: &[(u8, u16)]) {
    let mut staging = store.staging();
    let mut staged = Vec::new();
    for (queue, len) in turn {
        model.count += 1;
        let mut body = model.count.to_be_bytes().to_vec();
        body.resize(4 + usize::from(*len), *queue);
        let key = format!("UNIQ_KEY\u{1}{}\u{2}", model.count);
        let (topic, queue_id) = place(*queue);
        staged.push((stage(store, &mut staging, topic, queue_id, &message(&body, &[&key])), *queue, body));
    }
    store.append(&mut staging);
    for (slot, queue, body) in staged {
        let placed = staging.placed(slot);
        let bodies = model.queues.entry(queue).or_default();
        assert_eq!((placed.status, placed.queue_offset), (PutStatus::PutOk, bodies.len() as i64));
        bodies.push(body);
        model.log_ends.push((placed.log_end, queue));
    }
}

fn check(store: &Store, model: &Model) {
    for queue in 0..4 {
        let (topic, queue_id) = place(queue);
        let expected = model.queues.get(&queue).cloned().unwrap_or_default();
        let number = |body: &Vec<u8>| u32::from_be_bytes(*body.first_chunk().unwrap());
        let found = bodies(store, topic, queue_id);
        let numbers = |bodies: &[Vec<u8>]| bodies.iter().map(number).collect::<Vec<_>>();
        assert_eq!(numbers(&found), numbers(&expected), "{topic} {queue_id}");
        assert!(found == expected, "a body changed");
        for body in expected.iter().rev().take(3) {
            let key = u32::from_be_bytes(*body.first_chunk().unwrap()).to_string();
            let found = store.query(topic, &key, 64, 0..=i64::MAX).unwrap().records;
            let found = found.iter().map(|record| MessageExt::decode(record, 1 << 20).unwrap().0);
            assert!(found.into_iter().any(|message| message.body == *body), "key {key} of {topic}");
        }
    }
}

fn run(actions: &[Action]) {
    let (mut disk, clock) = (MemoryDisk::default(), clock());
    let mut store = open(&disk, &clock);
    let mut model = Model::default();
    let mut flushed = 0;
    for action in actions {
        match action {
            Action::Append(turn) => append(&store, &mut model, turn),
            Action::Step(later_ms) => {
                clock.advance(*later_ms);
                store.step(raptormq_store::Clock::now_ms(&*clock));
            }
            Action::Reopen => {
                store.close().unwrap();
                drop(store);
                store = open(&disk, &clock);
            }
            Action::Kill => {
                disk = disk.after_kill();
                store = open(&disk, &clock);
            }
            Action::Crash(lost) => {
                disk = disk.after_crash(|number, _| match (lost >> (number % 64)) & 1 {
                    0 => Fate::Kept,
                    _ => Fate::Torn(number * 7 % 100),
                });
                store = open(&disk, &clock);
                let end = store.log_max_offset();
                assert!(end >= flushed, "{end} is before {flushed}, which was on disk");
                model.cut(end);
            }
            Action::Delete(queue) => {
                // Only a topic that nothing remembers: replaying a deleted one is Java's behaviour as well.
                let (topic, _) = place(*queue);
                if (0..4).filter(|queue| place(*queue).0 == topic).all(|queue| !model.queues.contains_key(&queue)) {
                    store.delete_topic(topic).unwrap();
                }
            }
        }
        flushed = store.watermarks().flushed.value();
        check(&store, &model);
    }
}

proptest! {
    #[test]
    fn the_store_holds_what_the_model_holds(actions in proptest::collection::vec(action(), 1..40)) {
        run(&actions);
    }
}
