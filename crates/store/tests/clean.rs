//! What is deleted when, what follows, and what a full disk does.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use parking_lot::Mutex;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::memory::{Fault, MemoryDisk};
use raptormq_store::disk::{Disk, Entry, LogFile, Space, Usage};
use raptormq_store::{CleanOptions, GetStatus, Hours, PutStatus, Store, StoreOptions};

const HOUR_MS: i64 = 3_600_000;
/// Bytes of a log file of these tests.
const SEGMENT: i64 = 4096;

fn no_hour() -> CleanOptions {
    CleanOptions { hours: Hours::default(), ..CleanOptions::default() }
}

fn options(clean: CleanOptions) -> StoreOptions {
    StoreOptions { clean, ..small_options() }
}

/// So much of the disk is used.
fn percent(used: u64) -> Usage {
    Usage { total_bytes: 100, used_bytes: used, free_bytes: 100 - used }
}

fn segment_path(number: i64) -> PathBuf {
    format!("/store/commitlog/{:020}", number * SEGMENT).into()
}

/// Puts messages of 1 KiB into the queues of a topic by turns: four of them in each log file.
fn fill(store: &Store, topic: &str, queues: i32, count: i32) {
    for number in 0..count {
        let key = format!("KEYS\u{1}k{number}\u{2}");
        let body = format!("{topic}{number:<900}");
        let placed = put(store, topic, number % queues, &message(body.as_bytes(), &[&key]));
        assert_eq!(placed.status, PutStatus::PutOk);
    }
}

/// Ages the first `count` log files.
fn age(disk: &MemoryDisk, count: i64, modified_ms: i64) {
    (0..count).for_each(|number| disk.set_modified(&segment_path(number), modified_ms));
}

/// Lets the background work until it has nothing to do for an hour.
fn settle(store: &Store, clock: &ManualClock) {
    for _ in 0..360 {
        clock.advance(10_000);
        store.step(clock_ms(clock));
    }
}

fn clock_ms(clock: &ManualClock) -> i64 {
    raptormq_store::Clock::now_ms(clock)
}

#[test]
fn what_is_deleted_when() {
    struct Row {
        what: &'static str,
        options: CleanOptions,
        /// Used part of the disk in percent.
        used: u64,
        is_asked: bool,
        /// How many files are old enough, of nine.
        old: i64,
        /// How many are gone after a while.
        deleted: i64,
    }
    let hour = clock_hour();
    let row =
        |what, options: CleanOptions, used, is_asked, old, deleted| Row { what, options, used, is_asked, old, deleted };
    let now = CleanOptions { hours: hour, ..CleanOptions::default() };
    let kept = CleanOptions { is_forcible: false, ..no_hour() };
    let rows = [
        row("not its hour", no_hour(), 10, false, 9, 0),
        row("its hour, but all are new", now.clone(), 10, false, 0, 0),
        row("its hour", now.clone(), 10, false, 3, 3),
        row("never the last one", now, 10, false, 9, 8),
        row("asked for", no_hour(), 10, true, 3, 3),
        row("asked for, but all are new", no_hour(), 10, true, 0, 0),
        row("room is needed", no_hour(), 76, false, 3, 3),
        row("room is needed, but all are new", no_hour(), 85, false, 0, 0),
        row("room is scarce", no_hour(), 86, false, 0, 8),
        row("room is scarce, but that is no reason", kept.clone(), 86, false, 0, 0),
        row("room is scarce, and some are old", kept, 99, false, 2, 2),
    ];
    for row in rows {
        let (disk, clock) = (MemoryDisk::default(), clock());
        let store = open_with(options(row.options), &disk, &clock);
        fill(&store, "T", 2, 36);
        age(&disk, row.old, START_MS - 72 * HOUR_MS);
        disk.set_usage(Path::new("/store"), percent(row.used));
        if row.is_asked {
            store.delete_expired_files();
        }
        // An hour later others would be old enough: the clock moves only by minutes.
        for _ in 0..50 {
            clock.advance(1_000);
            store.step(clock_ms(&clock));
        }
        assert_eq!(store.log_min_offset(), row.deleted * SEGMENT, "{}", row.what);
        let there = (0..9).filter(|number| disk.files().contains_key(&segment_path(*number))).count() as i64;
        assert_eq!(there, 9 - row.deleted, "{}", row.what);
    }
}

/// The hour that the tests' clocks show, in this machine's time zone.
fn clock_hour() -> Hours {
    let now = jiff::Timestamp::from_millisecond(START_MS).unwrap().to_zoned(jiff::tz::TimeZone::system());
    Hours::parse(&now.hour().to_string()).unwrap()
}

#[test]
fn files_are_deleted_one_after_another_and_so_many_in_a_look() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let clean = CleanOptions { segments_max: 3, ..no_hour() };
    let store = open_with(options(clean), &disk, &clock);
    fill(&store, "T", 1, 36);
    age(&disk, 9, 0);
    disk.set_usage(Path::new("/store"), percent(80));
    let mut deleted_at = Vec::new();
    for at_ms in (0..25_000).step_by(10) {
        let before = store.log_min_offset();
        store.step(START_MS + at_ms);
        let count = (store.log_min_offset() - before) / SEGMENT;
        (0..count).for_each(|_| deleted_at.push(at_ms));
    }
    // A look every ten seconds, the first that long after the start.
    assert_eq!(deleted_at, [10_000, 10_100, 10_200, 20_000, 20_100, 20_200]);
    // A clock that goes back delays nothing.
    store.step(START_MS - HOUR_MS);
    assert_eq!(store.log_min_offset(), 7 * SEGMENT);
}

#[test]
fn room_that_comes_back_ends_the_deletion() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(no_hour()), &disk, &clock);
    fill(&store, "T", 1, 36);
    for used in (80..=90).rev() {
        disk.set_usage(Path::new("/store"), percent(used));
        clock.advance(10_000);
        store.step(clock_ms(&clock));
    }
    // At 90 to 86 percent: one each time, whatever its age; at 85 it is enough.
    assert_eq!(store.log_min_offset(), 5 * SEGMENT);
}

#[test]
fn queues_and_index_begin_where_the_log_does() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let queue_file_bytes = 20 * 4;
    let small = StoreOptions { queue_file_bytes, index_entries: 8, ..options(no_hour()) };
    let store = open_with(small.clone(), &disk, &clock);
    // Four records a file: "Early" is gone with the first two, "T" loses some, "Late" none.
    fill(&store, "Early", 1, 8);
    fill(&store, "T", 2, 40);
    fill(&store, "Late", 1, 4);
    settle(&store, &clock);
    let checked = |store: &Store, when: &str| {
        let log_min = store.log_min_offset();
        assert_eq!(log_min, 8 * SEGMENT, "{when}");
        let range = |topic, queue_id| {
            let queue = store.queue(topic, queue_id).unwrap();
            (queue.min_offset(), queue.max_offset())
        };
        assert_eq!(range("Early", 0), (8, 8), "{when}");
        assert_eq!((range("T", 0), range("T", 1), range("Late", 0)), ((12, 20), (12, 20), (0, 4)), "{when}");
        assert_eq!(get(store, "T", 0, 11).status, GetStatus::OffsetTooSmall);
        assert_eq!(bodies(store, "T", 1).len(), 8, "{when}");
        assert_eq!(get(store, "Early", 0, 8).status, GetStatus::OffsetOverflowOne);
        let files = |folder: &str| {
            disk.list(Path::new(folder)).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        // The file of the last unit stays, so that a start finds where the queue ends.
        assert_eq!(files("/store/consumequeue/Early/0"), ["00000000000000000080"], "{when}");
        assert_eq!(files("/store/consumequeue/T/0"), ["00000000000000000240", "00000000000000000320"], "{when}");
        let found = |key: &str| store.query("T", key, 10, 0..=i64::MAX).unwrap().records.len();
        assert_eq!((found("k23"), found("k24"), found("k39")), (0, 1, 1), "{when}");
        // Seven keys in a file, 24 of them to be found: those of messages that are gone are in no file any more.
        assert_eq!(files("/store/index").len(), 4, "{when}");
    };
    age(&disk, 8, 0);
    store.delete_expired_files();
    settle(&store, &clock);
    checked(&store, "deleted");
    assert_eq!(put(&store, "Early", 0, &message(b"next", &[])).queue_offset, 8);
    store.step(clock_ms(&clock));
    drop(store);
    // Killed: what the folder says is what was.
    let store = open_with(small.clone(), &disk.after_kill(), &clock);
    assert_eq!(bodies(&store, "Early", 0), [b"next"]);
    drop(store);
    let store = open_with(small.clone(), &disk, &clock);
    store.close().unwrap();
    drop(store);
    let store = open_with(small, &disk, &clock);
    assert_eq!(store.queue("Early", 0).unwrap().min_offset(), 8);
    assert_eq!(store.queue("T", 0).unwrap().min_offset(), 12);
}

#[test]
fn a_reader_keeps_what_it_was_given() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(no_hour()), &disk, &clock);
    fill(&store, "T", 1, 12);
    let given = get(&store, "T", 0, 0);
    age(&disk, 2, 0);
    store.delete_expired_files();
    settle(&store, &clock);
    assert_eq!(store.queue("T", 0).unwrap().min_offset(), 8);
    assert_eq!(messages(&given).len(), 12);
}

#[test]
fn a_full_disk_refuses_messages_until_there_is_room() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let clean = CleanOptions { is_forcible: false, ..no_hour() };
    let store = open_with(options(clean.clone()), &disk, &clock);
    fill(&store, "T", 1, 8);
    let sent = |store: &Store| put(store, "T", 0, &message(b"x", &[])).status;
    let at = |store: &Store, used: u64| {
        disk.set_usage(Path::new("/store"), percent(used));
        clock.advance(1_000);
        store.step(clock_ms(&clock));
        (store.is_writeable(), sent(store))
    };
    let (taken, refused) = ((true, PutStatus::PutOk), (false, PutStatus::ServiceNotAvailable));
    // Full above 90 percent, and then down to 85.
    for (used, expected) in
        [(90, taken), (91, refused), (88, refused), (86, refused), (85, taken), (89, taken), (99, refused)]
    {
        assert_eq!(at(&store, used), expected, "{used}");
    }
    // Reading goes on.
    assert!(bodies(&store, "T", 0).len() > 8);
    store.close().unwrap();
    drop(store);
    // And so it is from the start.
    let store = open_with(options(clean), &disk, &clock);
    assert_eq!(sent(&store), PutStatus::ServiceNotAvailable);
    // What is old enough goes, and with it the reason to refuse.
    age(&disk, 1, 0);
    clock.advance(10_000);
    store.step(clock_ms(&clock));
    assert_eq!(store.log_min_offset(), SEGMENT);
    assert_eq!(at(&store, 80), taken);
}

#[test]
fn without_room_for_the_next_file_messages_are_refused_until_there_is() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(no_hour()), &disk, &clock);
    fill(&store, "T", 1, 4);
    // By the thresholds there is room: other limits than the disk's size end it.
    disk.fail_next(Fault::Create);
    let sent = |store: &Store| put(store, "T", 0, &message(&[b'x'; 900], &[])).status;
    assert_eq!(sent(&store), PutStatus::ServiceNotAvailable);
    assert!(!store.is_writeable());
    // Nothing is tried until the background has made the file.
    assert_eq!(sent(&store), PutStatus::ServiceNotAvailable);
    clock.advance(1_000);
    store.step(clock_ms(&clock));
    assert_eq!(sent(&store), PutStatus::PutOk);
    assert_eq!(bodies(&store, "T", 0).len(), 5);
}

#[test]
fn a_store_on_a_full_disk_opens_and_serves() {
    for is_clean in [true, false] {
        let (disk, clock) = (MemoryDisk::default(), clock());
        let clean = CleanOptions { is_forcible: false, ..no_hour() };
        let store = open_with(options(clean.clone()), &disk, &clock);
        fill(&store, "T", 1, 8);
        if is_clean {
            store.close().unwrap();
        }
        drop(store);
        disk.set_usage(Path::new("/store"), percent(100));
        let open = || open_with(options(clean.clone()), &disk, &clock);
        let store = open();
        // Killed, nothing had been written of the queue; there is no room for it now.
        assert_eq!(bodies(&store, "T", 0).len(), 8, "{is_clean}");
        assert_eq!(put(&store, "T", 0, &message(b"x", &[])).status, PutStatus::ServiceNotAvailable);
        clock.advance(1_000);
        store.step(clock_ms(&clock));
        drop(store);
        let store = open();
        assert_eq!(bodies(&store, "T", 0).len(), 8, "{is_clean}");
        disk.set_usage(Path::new("/store"), percent(50));
        for _ in 0..2 {
            clock.advance(1_000);
            store.step(clock_ms(&clock));
        }
        assert_eq!(put(&store, "T", 0, &message(b"x", &[])).status, PutStatus::PutOk);
        assert_eq!(bodies(&store, "T", 0).len(), 9, "{is_clean}");
        store.close().unwrap();
        drop(store);
        assert_eq!(bodies(&open(), "T", 0).len(), 9, "{is_clean}");
    }
}

#[test]
fn of_several_folders_the_emptiest_decides() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let folders = ["/store/a", "/store/b"].map(PathBuf::from).to_vec();
    let store = open_with(StoreOptions { commit_log_folders: folders, ..options(no_hour()) }, &disk, &clock);
    fill(&store, "T", 1, 4);
    disk.set_usage(Path::new("/store/a"), percent(99));
    store.step(START_MS);
    assert!(store.is_writeable());
    disk.set_usage(Path::new("/store/b"), percent(95));
    store.step(START_MS + 1_000);
    assert!(!store.is_writeable());
}

/// Counts how often files are opened, and fails to remove some.
#[derive(Clone)]
struct Watched {
    disk: MemoryDisk,
    opened: Arc<Mutex<BTreeMap<PathBuf, usize>>>,
    removals_to_fail: Arc<AtomicUsize>,
}

impl Watched {
    fn new() -> Watched {
        Watched { disk: MemoryDisk::default(), opened: Arc::default(), removals_to_fail: Arc::default() }
    }
}

impl Disk for Watched {
    fn create(&self, path: &Path, len: u64, space: Space) -> io::Result<Arc<dyn LogFile>> {
        self.disk.create(path, len, space)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        *self.opened.lock().entry(path.to_owned()).or_default() += 1;
        self.disk.open(path)
    }
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.disk.read(path, bytes_max)
    }
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.disk.replace(path, content)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(folder)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let failing = self.removals_to_fail.load(Ordering::SeqCst);
        if failing > 0 {
            self.removals_to_fail.store(failing - 1, Ordering::SeqCst);
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.disk.remove(path)
    }
    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.remove_folder(folder)
    }
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
    fn sync_all(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_all(folder)
    }
    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(root)
    }
    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        self.disk.usage(folder)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.disk.modified_ms(path)
    }
}

#[test]
fn queues_are_opened_only_where_a_message_is_gone_and_another_is_there() {
    const TOPICS: i32 = 600;
    let (watched, clock) = (Watched::new(), clock());
    let store = open_with(options(no_hour()), &watched, &clock);
    for round in 0..2 {
        for topic in 0..TOPICS {
            // A third of the queues has messages at the start only, a third at the end only, a third at both.
            if topic % 3 == 2 || topic % 3 == round {
                put(&store, &format!("T{topic}"), 0, &message(b"x", &[]));
            }
        }
        // Between them a few files of another topic.
        fill(&store, "Other", 1, 8);
    }
    settle(&store, &clock);
    let files = (store.log_min_offset()..store.log_max_offset()).step_by(SEGMENT as usize).count() as i64;
    let gone = files / 2;
    age(&watched.disk, gone, 0);
    watched.opened.lock().clear();
    store.delete_expired_files();
    settle(&store, &clock);
    assert_eq!(store.log_min_offset(), gone * SEGMENT);
    let opened = watched.opened.lock().clone();
    let of_kind = |kind: i32| {
        let path = |topic| PathBuf::from(format!("/store/consumequeue/T{topic}/0/{:020}", 0));
        (0..TOPICS).filter(|topic| topic % 3 == kind).map(|topic| opened.get(&path(topic)).copied().unwrap_or(0)).max()
    };
    assert_eq!((of_kind(0), of_kind(1), of_kind(2)), (Some(0), Some(0), Some(1)));
    for topic in 0..TOPICS {
        let queue = store.queue(&format!("T{topic}"), 0).unwrap();
        let min = i64::from(topic % 3 != 1);
        assert_eq!(queue.min_offset(), min, "{queue:?}");
    }
}

#[test]
fn a_file_that_cannot_be_removed_is_tried_again_later() {
    let (watched, clock) = (Watched::new(), clock());
    let store = open_with(options(no_hour()), &watched, &clock);
    fill(&store, "T", 1, 12);
    age(&watched.disk, 2, 0);
    watched.removals_to_fail.store(1, Ordering::SeqCst);
    store.delete_expired_files();
    let mut deleted_at = Vec::new();
    for at_ms in (0..200_000).step_by(1_000) {
        let before = store.log_min_offset();
        store.step(START_MS + at_ms);
        if store.log_min_offset() > before {
            deleted_at.push(at_ms);
        }
    }
    // redeleteHangedFileInterval is two minutes; until then everything is still readable.
    assert_eq!(deleted_at, [120_000, 121_000]);
}
