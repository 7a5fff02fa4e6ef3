//! Does what a workload says, and writes down what was sent and what was promised when.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::test_runner::TestCaseError;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::Disk;
use raptormq_store::disk::memory::{MemoryDisk, Neglect, Plan, Trace};
use raptormq_store::{Clock as _, PutStatus, Store, StoreOptions};

use crate::check::{self, METADATA};
use crate::common::{ALL, clock, message, small_options, stage};
use crate::workload::{Action, End, QUEUES, Run, Workload};

/// Images of one kind and moment; the workloads differ more than the moments of one do.
const PLAN: Plan = Plan { kind_max: 4, drawn: 2, seed: 1 };

/// Bytes of a log file.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 10;

/// How the store under test is made. The default is without a fault.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) neglect: Option<Neglect>,
    pub(crate) check_crc: bool,
    /// What stands between the store and its disk.
    pub(crate) between: fn(MemoryDisk) -> Arc<dyn Disk>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { neglect: None, check_crc: true, between: |disk| Arc::new(disk) }
    }
}

impl Setup {
    pub(crate) fn open(&self, disk: &MemoryDisk, clock: &Arc<ManualClock>, sync_flush: bool) -> Result<Store, String> {
        let options = StoreOptions {
            sync_flush,
            segment_bytes: SEGMENT_BYTES,
            body_bytes_max: 8 << 10,
            check_crc_on_recover: self.check_crc,
            ..small_options()
        };
        Store::open_still(options, (self.between)(disk.clone()), clock.clone()).map_err(|error| error.to_string())
    }
}

/// A message that was appended.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) log_offset: i64,
    pub(crate) log_end: i64,
    /// Which of [`QUEUES`].
    pub(crate) queue: usize,
    pub(crate) queue_offset: i64,
    /// How often that queue had been deleted before.
    pub(crate) generation: u32,
    pub(crate) key: String,
    pub(crate) record: Bytes,
}

/// What holds after a crash at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Everything before it is there whatever happened.
    pub(crate) flushed: i64,
    /// Everything before it is there when only the process died.
    pub(crate) appended: i64,
    /// Everything before it was read under SYNC_FLUSH, and is there whatever happened.
    pub(crate) seen: i64,
    /// The log begins here at the latest: files before may have been deleted.
    pub(crate) expired: i64,
    /// How often each queue was deleted, or began to be. What it had before may come back from the log, or not.
    pub(crate) deletions: [u32; QUEUES.len()],
    /// Whether every run before was ended in order: then nothing that was deleted has come back so far.
    pub(crate) is_orderly: bool,
    /// The settings are those that were saved as this number, or a later one up to `saving`.
    pub(crate) saved: u32,
    pub(crate) saving: u32,
    /// Whether the store was open, so that what it had cut off at its start is gone for good.
    pub(crate) is_open: bool,
}

/// What stays the same in all runs of a workload.
struct Frame<'a> {
    workload: &'a Workload,
    setup: &'a Setup,
    clock: Arc<ManualClock>,
    seed: u64,
}

/// What is known of a store at the start of a run.
#[derive(Default)]
struct Life {
    disk: MemoryDisk,
    /// In the order of the log.
    sent: Vec<Sent>,
    count: u64,
    flushed: i64,
    appended: i64,
    seen: i64,
    expired: i64,
    deletions: [u32; QUEUES.len()],
    had_crash: bool,
    saved: u32,
}

/// What the recording's stamps are made of while a run goes on.
#[derive(Default)]
struct Witness {
    store: Mutex<Option<Arc<Store>>>,
    floor: (i64, i64),
    seen: AtomicI64,
    expired: AtomicI64,
    deletions: Mutex<[u32; QUEUES.len()]>,
    had_crash: bool,
    saved: AtomicU32,
    saving: AtomicU32,
    promises: Mutex<Vec<Promise>>,
}

impl Witness {
    /// Number of the present promise.
    fn stamp(&self) -> u64 {
        let store = self.store.lock();
        let marks = store.as_ref().map(|store| store.watermarks());
        let promise = Promise {
            flushed: marks.map_or(0, |marks| marks.flushed.value()).max(self.floor.0),
            appended: marks.map_or(0, |marks| marks.dispatched.value()).max(self.floor.1),
            seen: self.seen.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
            deletions: *self.deletions.lock(),
            is_orderly: !self.had_crash,
            saved: self.saved.load(Ordering::Relaxed),
            saving: self.saving.load(Ordering::Relaxed),
            is_open: store.is_some(),
        };
        let mut promises = self.promises.lock();
        if promises.last() != Some(&promise) {
            promises.push(promise);
        }
        promises.len() as u64 - 1
    }
}

/// Runs a workload and looks at all its images; returns how many there were.
pub(crate) fn run(workload: &Workload, setup: &Setup, seed: u64) -> Result<u64, TestCaseError> {
    let frame = Frame { workload, setup, clock: clock(), seed };
    let mut life = Life::default();
    let mut images = 0;
    if let Some(neglect) = setup.neglect {
        life.disk.neglect(neglect);
    }
    for run in &workload.runs {
        images += live(&mut life, run, &frame).map_err(TestCaseError::fail)?;
    }
    Ok(images)
}

fn live(life: &mut Life, run: &Run, frame: &Frame<'_>) -> Result<u64, String> {
    let (floor, had_crash) = ((life.flushed, life.appended), life.had_crash);
    let witness = Arc::new(Witness { floor, had_crash, ..Witness::default() });
    witness.seen.store(life.seen, Ordering::Relaxed);
    witness.expired.store(life.expired, Ordering::Relaxed);
    *witness.deletions.lock() = life.deletions;
    witness.saved.store(life.saved, Ordering::Relaxed);
    witness.saving.store(life.saved, Ordering::Relaxed);
    let seen = witness.clone();
    life.disk.record(move || seen.stamp());
    let before = life.sent.clone();
    let store = Arc::new(frame.setup.open(&life.disk, &frame.clock, frame.workload.sync_flush)?);
    let end = store.log_max_offset();
    life.sent.retain(|sent| sent.log_end <= end);
    *witness.store.lock() = Some(store.clone());
    for action in &run.actions {
        act(action, &store, life, &witness, &frame.clock)?;
        if frame.workload.sync_flush {
            witness.seen.fetch_max(read_all(&store, &life.sent)?, Ordering::Relaxed);
        }
    }
    let is_closed = matches!(run.end, End::Close);
    if is_closed {
        store.close().map_err(|error| error.to_string())?;
    }
    let trace = life.disk.recorded();
    witness.store.lock().take();
    let marks = store.watermarks();
    (life.flushed, life.appended) =
        (life.flushed.max(marks.flushed.value()), life.appended.max(marks.dispatched.value()));
    life.seen = witness.seen.load(Ordering::Relaxed);
    life.expired = witness.expired.load(Ordering::Relaxed);
    drop(store);
    let promises = witness.promises.lock();
    let images = look_at(&trace, &promises, [&before, &life.sent], frame)?;
    end_run(life, &run.end, frame)?;
    Ok(images)
}

fn act(action: &Action, store: &Store, life: &mut Life, witness: &Witness, clock: &ManualClock) -> Result<(), String> {
    match action {
        Action::Append(turn) => append(store, life, turn)?,
        Action::Step(later_ms) => {
            clock.advance(*later_ms);
            store.step(clock.now_ms());
        }
        Action::Save(len) => {
            let number = life.saved + 1;
            witness.saving.store(number, Ordering::Relaxed);
            let content = check::metadata(number, *len);
            life.disk.replace(Path::new(METADATA), &content).map_err(|error| error.to_string())?;
            witness.saved.store(number, Ordering::Relaxed);
            life.saved = number;
        }
        Action::Expire => {
            let oldest = store.log_min_offset();
            if store.log_max_offset() - oldest > SEGMENT_BYTES as i64 {
                life.disk.set_modified(Path::new(&format!("/store/commitlog/{oldest:020}")), 0);
                witness.expired.fetch_max(oldest + SEGMENT_BYTES as i64, Ordering::Relaxed);
            }
            store.delete_expired_files();
            for _ in 0..3 {
                clock.advance(1_000);
                store.step(clock.now_ms());
            }
        }
        Action::Delete(topic) => {
            let topic = QUEUES[usize::from(*topic) * 2].0;
            note_deletion(life, witness, |queue| queue.0 == topic);
            store.delete_topic(topic).map_err(|error| error.to_string())?;
        }
        Action::Drop(number) => {
            let queue = QUEUES[usize::from(*number)];
            note_deletion(life, witness, |one| *one == queue);
            let doomed = store.doomed_queues(|one| (&*one.topic, one.queue_id) == queue);
            doomed.delete().map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Notes that queues are about to be deleted.
fn note_deletion(life: &mut Life, witness: &Witness, is_deleted: impl Fn(&(&str, i32)) -> bool) {
    for (queue, count) in QUEUES.iter().zip(&mut life.deletions) {
        *count += u32::from(is_deleted(queue));
    }
    *witness.deletions.lock() = life.deletions;
}

/// Reads all there is, as consumers do; returns where the last message of it ends in the log.
fn read_all(store: &Store, sent: &[Sent]) -> Result<i64, String> {
    let mut seen = 0;
    for (number, (topic, queue_id)) in QUEUES.iter().enumerate() {
        let Some(queue) = store.queue(topic, *queue_id) else { continue };
        let read = store.get_cached(&queue, queue.min_offset(), &ALL, &mut |_| true).ok_or("a read needs the disk")?;
        let last_offset = queue.min_offset() + read.count as i64 - 1;
        let last = sent.iter().rfind(|sent| sent.queue == number && sent.queue_offset == last_offset);
        seen = seen.max(last.filter(|_| read.count > 0).map_or(0, |last| last.log_end));
    }
    Ok(seen)
}

fn append(store: &Store, life: &mut Life, turn: &[(u8, u16)]) -> Result<(), String> {
    let mut staging = store.staging();
    let mut staged = Vec::new();
    for (queue, len) in turn {
        life.count += 1;
        let body: Vec<u8> =
            (0..*len).map(|at| (life.count as u8).wrapping_mul(31).wrapping_add(at as u8) | 1).collect();
        let key = life.count.to_string();
        let (topic, queue_id) = QUEUES[usize::from(*queue)];
        let property = format!("UNIQ_KEY\u{1}{key}\u{2}");
        staged.push((stage(store, &mut staging, topic, queue_id, &message(&body, &[&property])), *queue, key));
    }
    store.append(&mut staging);
    for (slot, queue, key) in staged {
        let placed = staging.placed(slot);
        if placed.status != PutStatus::PutOk {
            return Err(format!("an append ended with {:?}", placed.status));
        }
        let record = store.record_at(placed.log_offset).ok_or("an appended record cannot be read")?;
        let (log_offset, log_end, queue_offset) = (placed.log_offset, placed.log_end, placed.queue_offset);
        let queue = usize::from(queue);
        let generation = life.deletions[queue];
        life.sent.push(Sent { log_offset, log_end, queue, queue_offset, generation, key, record });
    }
    Ok(())
}

/// Looks at every image of a run. `sent` is what the log may hold before the store was open, and after.
fn look_at(trace: &Trace, promises: &[Promise], sent: [&[Sent]; 2], frame: &Frame<'_>) -> Result<u64, String> {
    let Frame { workload, setup, seed, .. } = *frame;
    let mut failure = None;
    let mut number = seed;
    let images = trace.images(&Plan { seed, ..PLAN }, &mut |image| {
        number += 1;
        let promise = &promises[image.stamp as usize];
        let check = check::Check { promise, sent: sent[usize::from(promise.is_open)], setup, workload };
        let goes_on = number.is_multiple_of(16);
        let checked = check.image(&image.disk(), image.is_whole, goes_on);
        failure = checked.err().map(|reason| format!("{reason}\n{promise:?}\n{}", image.story()));
        failure.is_none()
    });
    failure.map_or(Ok(images), Err)
}

/// Ends a run: the disk of the next one, and what is known of it.
fn end_run(life: &mut Life, end: &End, frame: &Frame<'_>) -> Result<(), String> {
    life.had_crash |= !matches!(end, End::Close);
    match end {
        End::Close | End::Kill => life.disk = life.disk.after_kill(),
        End::PowerLoss(number) => {
            life.disk.record(|| 0);
            let trace = life.disk.recorded();
            let plan = Plan { kind_max: 8, drawn: 16, seed: *number };
            let count = trace.images(&plan, &mut |_| true);
            let (mut at, mut is_whole) = (0, false);
            trace.images(&plan, &mut |image| {
                if at == number % count {
                    (life.disk, is_whole) = (image.disk(), image.is_whole);
                }
                at += 1;
                at <= number % count
            });
            life.appended = frame.setup.open(&life.disk.after_kill(), &frame.clock, false)?.log_max_offset();
            if !is_whole {
                // What is on this disk is not lost by another crash.
                life.flushed = life.appended;
            }
        }
    }
    Ok(())
}
