//! What is done to a store, drawn.

use proptest::prelude::*;

/// A life of a store: it is opened, used and ended, several times.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// Whether sends are acknowledged when they are on disk.
    pub(crate) sync_flush: bool,
    pub(crate) runs: Vec<Run>,
}

/// From one start of the process to its end.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) actions: Vec<Action>,
    pub(crate) end: End,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A turn with a message for each of these queues; the number is the body's length.
    Append(Vec<(u8, u16)>),
    /// The background runs, so many milliseconds after: group commit, dispatch to the files, index, checkpoint, next file.
    Step(i64),
    /// Settings are saved, so many bytes.
    Save(u16),
    /// The oldest file of the log has become too old, and the background runs until queues and index follow.
    Expire,
    /// The topic of that number is deleted.
    Delete(u8),
    /// The queue of that number is deleted, as one that nobody uses.
    Drop(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    /// An orderly stop.
    Close,
    /// The process dies.
    Kill,
    /// The machine dies and leaves the image of that number.
    PowerLoss(u64),
}

/// Queues that a workload uses: two topics with two ids each.
pub(crate) const QUEUES: [(&str, i32); 4] = [("T", 0), ("T", 1), ("U", 0), ("U", 1)];

pub(crate) fn strategy() -> impl Strategy<Value = Workload> {
    let run = (proptest::collection::vec(action(), 1..14), end()).prop_map(|(actions, end)| Run { actions, end });
    (any::<bool>(), proptest::collection::vec(run, 1..4)).prop_map(|(sync_flush, runs)| Workload { sync_flush, runs })
}

fn action() -> impl Strategy<Value = Action> {
    let len = prop_oneof![3 => 0_u16..300, 3 => 300_u16..1800, 1 => 4000_u16..7000];
    prop_oneof![
        6 => proptest::collection::vec((0_u8..4, len), 1..5).prop_map(Action::Append),
        4 => prop_oneof![3 => Just(1_i64), 2 => Just(1_500), 2 => Just(70_000)].prop_map(Action::Step),
        1 => (1_u16..3000).prop_map(Action::Save),
        1 => Just(Action::Expire),
        1 => (0_u8..2).prop_map(Action::Delete),
        1 => (0_u8..4).prop_map(Action::Drop),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![1 => Just(End::Close), 1 => Just(End::Kill), 2 => any::<u64>().prop_map(End::PowerLoss)]
}
