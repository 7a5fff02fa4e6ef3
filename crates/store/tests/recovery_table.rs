//! Every row of the recovery table: a store is damaged in one way, and what is there after the next start is what the row
//! promises.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::Disk;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{PutStatus, Recovered, Store};

/// Messages of the store, in two queues, a second apart: they fill three log files and a part of the fourth.
const COUNT: usize = 140;
const LOG: &str = "/store/commitlog";
const TAILS: &str = "/store/raptormq.queues";

/// A stopped store that a test may damage.
struct Stopped {
    disk: MemoryDisk,
    clock: Arc<ManualClock>,
    /// Where each message lies in the log.
    places: Vec<i64>,
    end: i64,
}

fn body(number: usize) -> Vec<u8> {
    format!("m{number}").into_bytes()
}

fn stopped(in_order: bool) -> Stopped {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let mut places = Vec::new();
    for number in 0..COUNT {
        let keys = format!("KEYS\u{1}k{number}\u{2}");
        let placed = put(&store, "T", (number % 2) as i32, &message(&body(number), &[&keys]));
        assert_eq!(placed.status, PutStatus::PutOk);
        places.push(placed.log_offset);
        clock.advance(1_000);
        if number == COUNT - 10 {
            store.step(START_MS + 200_000);
        }
    }
    let end = store.log_max_offset();
    assert!(end > 3 * 4096, "{end}");
    let disk = if in_order {
        store.close().unwrap();
        disk
    } else {
        disk.after_kill()
    };
    drop(store);
    Stopped { disk: disk.after_kill(), clock, places, end }
}

/// Stopped by somebody who does not write down where the queues end.
fn stopped_by_others(in_order: bool) -> Stopped {
    let store = stopped(in_order);
    store.disk.remove(Path::new(TAILS)).unwrap();
    store
}

impl Stopped {
    fn log_file(&self, number: i64) -> PathBuf {
        Path::new(LOG).join(format!("{:020}", number * 4096))
    }

    fn queue_file(&self, queue_id: i32) -> PathBuf {
        format!("/store/consumequeue/T/{queue_id}/00000000000000000000").into()
    }

    /// Changes bytes of the log.
    fn damage_log(&self, log_offset: i64, bytes: &[u8]) {
        let at = (log_offset % 4096) as usize;
        self.disk.damage(&self.log_file(log_offset / 4096), |file| file[at..at + bytes.len()].copy_from_slice(bytes));
    }

    /// Opens it; exactly the messages of `there` are in their queues, in order, and found by their keys. Then one more is
    /// sent, and all of that is there again after a crash.
    fn holds(&self, there: impl Fn(usize) -> bool) -> Recovered {
        let store = open(&self.disk, &self.clock);
        self.check(&store, &there);
        let recovered = store.recovered().clone();
        assert_eq!(put(&store, "T", 7, &message(b"one more", &[])).status, PutStatus::PutOk);
        let killed = self.disk.after_kill();
        drop(store);
        let store = open(&killed, &self.clock);
        self.check(&store, &there);
        assert_eq!(bodies(&store, "T", 7), [b"one more"]);
        recovered
    }

    fn check(&self, store: &Store, there: &impl Fn(usize) -> bool) {
        for queue_id in 0..2 {
            let expected: Vec<_> = (0..COUNT).filter(|n| n % 2 == queue_id && there(*n)).map(body).collect();
            assert_eq!(bodies(store, "T", queue_id as i32), expected, "queue {queue_id}");
        }
        for number in 0..COUNT {
            let found = store.query("T", &format!("k{number}"), 10, 0..=i64::MAX).unwrap();
            assert_eq!(found.records.len(), usize::from(there(number)), "key k{number}");
        }
    }
}

fn all(_: usize) -> bool {
    true
}

#[test]
fn clean_stop() {
    for (written_down, case) in [(true, "clean stop, queues' ends written down"), (false, "clean stop")] {
        let store = if written_down { stopped(true) } else { stopped_by_others(true) };
        let recovered = store.holds(all);
        assert_eq!((recovered.case, recovered.end), (case, "the end"));
        assert_eq!((recovered.was_clean, recovered.walked_from, recovered.log_end), (true, store.end, store.end));
    }
}

#[test]
fn what_was_written_down_is_not_believed_when_somebody_was_there() {
    type Change = fn(&Stopped);
    let changes: [Change; 6] = [
        // A broker makes and removes `abort`, whatever else it does.
        |store| {
            store.disk.replace(Path::new("/store/abort"), b"1").unwrap();
            store.disk.remove(Path::new("/store/abort")).unwrap();
        },
        |store| store.disk.remove_folder(Path::new("/store/consumequeue/T")).unwrap(),
        |store| store.disk.remove(&store.log_file(0)).unwrap(),
        |store| store.damage_log(store.places[COUNT - 1] + 88, b"X"),
        |store| store.disk.damage(Path::new(TAILS), |bytes| bytes.truncate(100)),
        |store| store.disk.damage(Path::new(TAILS), |bytes| bytes[8..12].copy_from_slice(&3_u32.to_be_bytes())),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let store = stopped(true);
        change(&store);
        let recovered = store.holds(|message| match number {
            2 => store.places[message] >= 4096,
            3 => message < COUNT - 1,
            _ => true,
        });
        assert_ne!(recovered.case, "clean stop, queues' ends written down", "change {number}");
    }
}

#[test]
fn every_bit_of_what_was_written_down_counts() {
    let store = stopped(true);
    let len = store.disk.read(Path::new(TAILS), 10_000).unwrap().len();
    for bit in 0..len * 8 {
        let disk = store.disk.after_kill();
        disk.damage(Path::new(TAILS), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let opened = open(&disk, &store.clock);
        assert_eq!(opened.recovered().case, "clean stop", "bit {bit}");
        assert_eq!(opened.queue("T", 1).unwrap().max_offset(), (COUNT / 2) as i64);
    }
}

#[test]
fn no_log() {
    let store = stopped(true);
    store.disk.remove_folder(Path::new(LOG)).unwrap();
    let opened = open(&store.disk, &store.clock);
    assert_eq!((opened.recovered().case, opened.recovered().lost_count), ("no log", COUNT as u64));
    assert!(bodies(&opened, "T", 0).is_empty());
    assert_eq!(put(&opened, "T", 0, &message(b"new", &[])).queue_offset, 0);
}

#[test]
fn crash_with_the_queues_ends_written_down() {
    let store = stopped(false);
    let recovered = store.holds(all);
    assert_eq!((recovered.case, recovered.end), ("crash, queues' ends written down", "the end after a crash"));
    assert!(!recovered.was_clean && recovered.walked_from >= store.places[COUNT - 20], "{recovered:?}");
    assert_eq!((recovered.log_end, recovered.lost_count), (store.end, 0));
    // The checkpoint is not needed for it.
    let store = stopped(false);
    store.disk.remove(Path::new("/store/checkpoint")).unwrap();
    assert_eq!(store.holds(all).case, recovered.case);
}

#[test]
fn what_was_written_down_before_a_crash_is_not_believed_when_somebody_was_there() {
    type Change = fn(&Stopped);
    let changes: [Change; 6] = [
        // The original writes its content at every start.
        |store| store.disk.damage(Path::new("/store/lock"), |bytes| bytes[0] = b'L'),
        |store| store.disk.remove_folder(Path::new("/store/consumequeue/T")).unwrap(),
        |store| store.disk.remove(&store.log_file(0)).unwrap(),
        |store| store.disk.damage(Path::new(TAILS), |bytes| bytes.truncate(100)),
        |store| store.disk.remove_folder(Path::new("/store/consumequeue/T/1")).unwrap(),
        |store| {
            let path = store.queue_file(0).with_file_name(format!("{:020}", 400 * 3));
            store.disk.remove(&path).unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let store = stopped(false);
        change(&store);
        let recovered = store.holds(|message| number != 2 || store.places[message] >= 4096);
        assert!(["crash", "crash, checkpoint missing, torn or too old"].contains(&recovered.case), "change {number}");
    }
}

#[test]
fn what_was_written_down_counts_no_more_when_queues_were_deleted() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for topic in ["T", "U"] {
        put(&store, topic, 0, &message(b"old", &[]));
    }
    store.step(START_MS + 100_000);
    let crashed = |disk: &MemoryDisk| open(&disk.after_kill(), &clock).recovered().case;
    assert_eq!(crashed(&disk), "crash, queues' ends written down");
    store.delete_topic("U").unwrap();
    assert_ne!(crashed(&disk), "crash, queues' ends written down");
    put(&store, "U", 0, &message(b"new", &[]));
    store.step(START_MS + 200_000);
    drop(store);
    let store = open(&disk.after_kill(), &clock);
    assert_eq!(store.recovered().case, "crash, queues' ends written down");
    assert_eq!((bodies(&store, "T", 0), bodies(&store, "U", 0)), (vec![b"old".to_vec()], vec![b"new".to_vec()]));
}

#[test]
fn no_unit_is_written_before_its_message_is_on_disk() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"0", &[]));
    store.step(START_MS + 100_000);
    for number in 0..3000_u32 {
        put(&store, "T", 0, &message(&number.to_be_bytes(), &[]));
    }
    let unit = |disk: &MemoryDisk, number: usize| {
        let file = disk.read(Path::new("/store/consumequeue/T/0/00000000000000000000"), 1 << 20).unwrap();
        file[number * 20..][..20].iter().any(|byte| *byte != 0)
    };
    assert_eq!((unit(&disk, 0), unit(&disk, 1)), (true, false));
    store.step(START_MS + 200_000);
    assert!(unit(&disk, 19));
    assert_eq!(bodies(&store, "T", 0).len(), 3001);
}

#[test]
fn crash() {
    let store = stopped_by_others(false);
    let recovered = store.holds(all);
    assert_eq!((recovered.case, recovered.end), ("crash", "the end after a crash"));
    assert!(!recovered.was_clean && recovered.walked_from > 0 && recovered.on_disk_until_ms > START_MS);
    assert_eq!((recovered.log_end, recovered.lost_count), (store.end, 0));
}

#[test]
fn crash_without_a_checkpoint_to_believe() {
    let checkpoint = Path::new("/store/checkpoint");
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(100),
        |bytes| bytes.fill(0),
        |bytes| bytes.fill(0x7F),
        |bytes| bytes[..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1]),
    ];
    for damage in damages {
        let store = stopped_by_others(false);
        store.disk.damage(checkpoint, damage);
        let recovered = store.holds(all);
        assert_eq!(recovered.case, "crash, checkpoint missing, torn or too old");
        assert_eq!(recovered.walked_from, 0);
    }
    let store = stopped_by_others(false);
    store.disk.remove(checkpoint).unwrap();
    assert_eq!(store.holds(all).case, "crash, checkpoint missing, torn or too old");
}

#[test]
fn queues_missing_beside_the_log() {
    for in_order in [true, false] {
        let store = stopped_by_others(in_order);
        store.disk.remove_folder(Path::new("/store/consumequeue")).unwrap();
        let recovered = store.holds(all);
        assert_eq!(in_order, recovered.case == "clean stop, queues missing or ahead of the log");
    }
    // A checkpoint that vouches for all messages does not stand in for queues that are not there.
    let store = stopped_by_others(false);
    store.disk.remove_folder(Path::new("/store/consumequeue")).unwrap();
    store.disk.remove_folder(Path::new("/store/index")).unwrap();
    let later = (START_MS + 1_000_000).to_be_bytes();
    store.disk.damage(Path::new("/store/checkpoint"), |bytes| bytes[..24].copy_from_slice(&later.repeat(3)));
    let recovered = store.holds(all);
    assert_eq!((recovered.case, recovered.walked_from), ("crash, checkpoint missing, torn or too old", 0));
}

#[test]
fn queues_behind_the_log() {
    for in_order in [true, false] {
        let store = stopped_by_others(in_order);
        for queue_id in 0..2 {
            store.disk.damage(&store.queue_file(queue_id), |bytes| bytes[60..].fill(0));
        }
        for start in [400, 800, 1200] {
            let later = |queue_id| format!("/store/consumequeue/T/{queue_id}/{start:020}");
            (0..2).for_each(|queue_id| drop(store.disk.remove(Path::new(&later(queue_id)))));
        }
        store.holds(all);
    }
}

#[test]
fn queues_ahead_of_the_log() {
    for in_order in [true, false] {
        let store = stopped_by_others(in_order);
        let cut = COUNT - 4;
        let last = store.places[cut];
        store.damage_log(last, &vec![0; (store.end - last) as usize]);
        let recovered = store.holds(|number| number < cut);
        assert_eq!(recovered.log_end, last);
        if in_order {
            assert_eq!(recovered.case, "clean stop, queues missing or ahead of the log");
            assert_eq!(recovered.lost_count, 4, "the queues prove that they are lost");
        }
    }
}

#[test]
fn a_torn_last_record_damage_in_the_last_file_and_garbage_behind_the_end() {
    for in_order in [true, false] {
        let name = "torn or damaged last record, garbage behind the end";
        // The record's second half is missing.
        let store = stopped_by_others(in_order);
        let last = store.places[COUNT - 1];
        store.damage_log(last + 60, &vec![0; (store.end - last - 60) as usize]);
        let recovered = store.holds(|number| number < COUNT - 1);
        assert_eq!((recovered.end, recovered.log_end), (name, last));

        // A wrong CRC in the middle of the file: what comes behind is cut off, too. A clean start does not look there.
        let store = stopped_by_others(in_order);
        let damaged = COUNT - 3;
        store.damage_log(store.places[damaged] + 88, b"X");
        if !in_order {
            let recovered = store.holds(|number| number < damaged);
            assert_eq!((recovered.end, recovered.log_end), (name, store.places[damaged]));
        }

        let store = stopped_by_others(in_order);
        store.damage_log(store.end, b"garbage that is no record");
        let recovered = store.holds(all);
        assert_eq!((recovered.end, recovered.log_end), (name, store.end));
        let log = store.disk.read(&store.log_file(store.end / 4096), 4096).unwrap();
        assert!(!log.windows(7).any(|bytes| bytes == b"garbage"));
    }
}

#[test]
fn an_empty_last_file_and_unused_files_behind() {
    for in_order in [true, false] {
        for len in [0, 4096] {
            let store = stopped(in_order);
            let next = (0..).find(|number| store.disk.open(&store.log_file(*number)).is_err()).unwrap();
            store.disk.create(&store.log_file(next), len, raptormq_store::disk::Space::Sparse).unwrap();
            assert_eq!(store.holds(all).log_end, store.end);
        }
    }
}

#[test]
fn a_missing_first_file() {
    for in_order in [true, false] {
        let store = stopped(in_order);
        store.disk.remove(&store.log_file(0)).unwrap();
        store.holds(|number| store.places[number] >= 4096);
    }
}

#[test]
fn a_later_file_that_reached_the_disk_first() {
    let store = stopped_by_others(false);
    // Only the very last messages are younger than what the checkpoint vouches for.
    store.disk.damage(Path::new("/store/checkpoint"), |bytes| bytes[..8].fill(0));
    let first_of_last = store.places.iter().position(|place| *place >= store.end / 4096 * 4096).unwrap();
    let lost = first_of_last - 2;
    store.damage_log(store.places[lost], &[0; 100]);
    let recovered = store.holds(|number| number < lost);
    assert_eq!(recovered.end, "a later file reached the disk before this place");
    assert!(recovered.lost_count > 0);
}

#[test]
fn damage_in_the_middle_of_the_log_costs_no_more_than_its_file() {
    let store = stopped(false);
    let checkpoint = [START_MS + 1_000_000_i64, START_MS + 1_000_000].map(i64::to_be_bytes).concat();
    store.disk.damage(Path::new("/store/checkpoint"), |bytes| bytes[..16].copy_from_slice(&checkpoint));
    store.disk.remove_folder(Path::new("/store/consumequeue")).unwrap();
    let damaged = store.places.iter().position(|place| *place >= 4096).unwrap() + 2;
    store.damage_log(store.places[damaged] + 88, b"X");
    let opened = open(&store.disk, &store.clock);
    let recovered = opened.recovered();
    assert_eq!(recovered.log_end, store.end);
    assert!(recovered.damaged_bytes > 0, "{recovered:?}");
    // What follows in later files is there, under its offsets.
    let last = get(&opened, "T", 1, (COUNT / 2 - 1) as i64);
    assert_eq!(messages(&last)[0].body, body(COUNT - 1));
}

/// Whatever a crash leaves of the last index file, all keys are found: they are put in again from where it can be believed.
#[test]
fn a_torn_index() {
    type Tear = fn(&mut Vec<u8>);
    let tears: [(&str, Tear); 6] = [
        ("no header", |bytes| bytes[..40].fill(0)),
        ("no slots", |bytes| bytes[40..104].fill(0)),
        ("slots of another file", |bytes| bytes[40..104].fill(1)),
        ("no entries", |bytes| bytes[104..].fill(0)),
        ("garbage for the last entries", |bytes| bytes[104 + 20 * 3..].fill(0xA5)),
        ("nothing at all", |bytes| bytes.fill(0)),
    ];
    for (what, tear) in tears {
        for stopped in [stopped, stopped_by_others] {
            let store = stopped(false);
            let files = store.disk.list(Path::new("/store/index")).unwrap();
            let last = files.iter().map(|file| &file.name).max().unwrap();
            store.disk.damage(&Path::new("/store/index").join(last), tear);
            let recovered = store.holds(all);
            assert_eq!((recovered.end, recovered.lost_count), ("the end after a crash", 0), "{what}");
        }
    }
}

#[test]
fn files_that_do_not_fit_are_refused_in_a_line_and_nothing_is_changed() {
    type Damage = fn(&Stopped);
    let cases: [(Damage, &str); 7] = [
        (|store| store.disk.remove(&store.log_file(1)).unwrap(), "expected the log file 00000000000000004096"),
        (|store| store.disk.damage(&store.log_file(1), |bytes| bytes.truncate(4000)), "found 4000 bytes"),
        (|store| store.disk.damage(&store.log_file(0), Vec::clear), "found 0 bytes"),
        (|store| store.disk.damage(&store.queue_file(0), |bytes| bytes.truncate(20)), "mappedFileSizeConsumeQueue"),
        (
            |store| {
                let inside = store.log_file(9).join("file");
                drop(store.disk.create(&inside, 1, raptormq_store::disk::Space::Sparse).unwrap());
            },
            "found a folder",
        ),
        (|store| store.damage_log(4096 + 4, &[0xDA, 0xA3, 0x20, 0xAC]), "newer version"),
        (
            |store| {
                let odd = Path::new(LOG).join("00000000000000099999");
                drop(store.disk.create(&odd, 4096, raptormq_store::disk::Space::Sparse).unwrap());
            },
            "a multiple of 4096",
        ),
    ];
    for (damage, words) in cases {
        let store = stopped_by_others(true);
        damage(&store);
        let before = store.disk.files();
        let refused = Store::open_still(small_options(), Arc::new(store.disk.clone()), store.clock.clone());
        let line = refused.err().unwrap().to_string();
        assert!(line.contains(words) && line.contains("expected") && !line.contains('\n'), "{line}");
        assert!(store.disk.files() == before, "{line}");
    }
}

#[test]
fn foreign_files_are_left_alone() {
    let store = stopped(true);
    let foreign = ["/store/notes.txt", "/store/commitlog/README", "/store/consumequeue/T/x", "/store/index/old.tar"];
    for path in foreign {
        store.disk.create(Path::new(path), 3, raptormq_store::disk::Space::Sparse).unwrap();
    }
    store.holds(all);
    for path in foreign {
        assert_eq!(store.disk.read(Path::new(path), 10).unwrap(), [0; 3]);
    }
}
