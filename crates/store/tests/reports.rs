//! What a start says in the log: how far it is, and what was cut off or lost, with file, offset and count.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::*;
use parking_lot::Mutex;
use raptormq_store::clock::{Clock, ManualClock};
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{Store, StoreOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps what is logged, a line an event.
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{field}={value} ").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is logged meanwhile, on this thread.
fn told<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let value = tracing::subscriber::with_default(Lines(lines.clone()), run);
    let lines = std::mem::take(&mut *lines.lock());
    (value, lines)
}

fn with<'a>(lines: &'a [String], words: &str) -> Vec<&'a str> {
    lines.iter().map(String::as_str).filter(|line| line.contains(words)).collect()
}

/// A clock on which each look takes its time.
struct SlowClock(AtomicI64);

impl Clock for SlowClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1_000, Ordering::SeqCst)
    }
}

const FILE_BYTES: u64 = 16 << 20;
const BODY_BYTES: usize = 256 << 10;

#[test]
fn a_long_walk_says_each_second_where_it_is_and_then_what_was_cut_off() {
    let options = || StoreOptions { segment_bytes: FILE_BYTES, body_bytes_max: 1 << 20, ..small_options() };
    let clock = Arc::new(SlowClock(AtomicI64::new(START_MS)));
    let disk = MemoryDisk::default();
    let open = |disk: &MemoryDisk| Store::open_still(options(), Arc::new(disk.clone()), clock.clone()).unwrap();
    let store = open(&disk);
    let places: Vec<_> = (0..160).map(|_| put(&store, "T", 0, &message(&[b'x'; BODY_BYTES], &[])).log_offset).collect();
    let last = *places.last().unwrap();
    let disk = disk.after_kill();
    drop(store);
    let (file, at) = (last as u64 / FILE_BYTES * FILE_BYTES, (last as u64 % FILE_BYTES) as usize);
    let path = format!("/store/commitlog/{file:020}");
    disk.damage(Path::new(&path), |bytes| bytes[at + BODY_BYTES / 2..].fill(0));
    let (store, lines) = told(|| open(&disk));
    assert_eq!(bodies(&store, "T", 0).len(), 159);

    let progress = with(&lines, "recovering: the log is read");
    // The clock is looked at each 8 MiB.
    assert!((4..=6).contains(&progress.len()), "{progress:#?}");
    let offsets: Vec<i64> = progress
        .iter()
        .map(|line| line.split("log_offset=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(offsets.is_sorted() && offsets[0] < offsets[3] && *offsets.last().unwrap() <= last, "{offsets:?}");

    let torn = with(&lines, "the log ends in a torn record, which is cut off");
    assert_eq!(torn.len(), 1, "{lines:#?}");
    assert!(torn[0].contains(&path) && torn[0].contains(&format!("at={at}")), "{torn:?}");
    assert!(torn[0].contains(&format!("log_end={last}")), "{torn:?}");
    let stop = with(&lines, "the store was not stopped cleanly");
    assert!(stop.len() == 1 && stop[0].contains("rebuilt=159"), "{stop:?}");
}

/// A store with messages a second apart in some files, whose units are on disk but for those of the last; and where they lie.
fn killed(clock: &Arc<ManualClock>) -> (MemoryDisk, Vec<i64>) {
    let disk = MemoryDisk::default();
    let store = open(&disk, clock);
    let mut places = Vec::new();
    for number in 0..140 {
        places.push(put(&store, "T", 0, &message(&[b'x'; 20], &[])).log_offset);
        clock.advance(1_000);
        if number == 129 {
            store.step(START_MS + 200_000);
        }
    }
    drop(store);
    (disk.after_kill(), places)
}

fn file_of(log_offset: i64) -> String {
    format!("/store/commitlog/{:020}", log_offset / 4096 * 4096)
}

#[test]
fn what_queues_prove_lost_is_counted() {
    let clock = clock();
    let (disk, places) = killed(&clock);
    // Of the first 130 messages the queue has its units.
    let first_lost = places[127];
    assert_eq!(file_of(first_lost), file_of(places[139]), "all in one file");
    disk.damage(Path::new(&file_of(first_lost)), |bytes| bytes[(first_lost % 4096) as usize..].fill(0));
    let (store, lines) = told(|| open(&disk, &clock));
    assert_eq!(bodies(&store, "T", 0).len(), 127);
    let lost = with(&lines, "messages that queues had are not in the log any more");
    assert!(lost.len() == 1 && lost[0].starts_with("ERROR") && lost[0].contains("lost_count=3 "), "{lines:#?}");
}
