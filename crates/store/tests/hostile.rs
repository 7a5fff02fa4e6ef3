//! Folders that no broker left: whatever stands in them, opening, checking and printing come to an end, in order, and
//! reading changes nothing.
//!
//! `HOSTILE_SEED=N` runs one of them again, `HOSTILE_CASES=N` more of them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use raptormq_protocol::message::batch;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::disk::read_only::ReadOnlyDisk;
use raptormq_store::disk::{Disk as _, Space};
use raptormq_store::{Boundary, NewBatch, Offline, OpenError, PutStatus, Store, StoreOptions};

/// Cases without `HOSTILE_CASES`.
const CASES: u64 = 1_500;
/// How long one may take on a machine that does much else.
const CASE_MAX: Duration = Duration::from_secs(20);

/// Values that counts, lengths and offsets do not have.
const EXTREMES: [i64; 14] = [
    0,
    1,
    -1,
    19,
    4095,
    1 << 31,
    1 << 40,
    1 << 62,
    i64::MAX,
    i64::MAX - 7,
    i64::MIN,
    i64::MIN + 20,
    i32::MAX as i64,
    i32::MIN as i64,
];

/// Names that files of log, queues and index do not have, or should not.
const NAMES: [&str; 11] = [
    "00000000000000000001",
    "00000000000000004096",
    "00000000000000008192",
    "00000000000000000400",
    "04611686018427387904",
    "09223372036854771712",
    "09223372036854775807",
    "99999999999999999999",
    "20231114221320000",
    "99999999999999999",
    "-1",
];

/// A store of several log, queue and index files, with simple queues, a batch queue and settings.
fn sample(in_order: bool) -> MemoryDisk {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(mixed_options(), &disk, &clock);
    for number in 0..30 {
        let properties = format!("UNIQ_KEY\u{1}u{number}\u{2}TAGS\u{1}T{}\u{2}KEYS\u{1}k{number}\u{2}", number % 3);
        put(&store, if number % 3 == 0 { "Other" } else { "T" }, number % 2, &message(&[7; 150], &[&properties]));
        let mut body = Vec::new();
        for within in 0..number % 3 + 1 {
            let inner = batch::InnerMessage { flag: 0, body: &[within as u8; 9], properties: "" };
            batch::encode(&inner, &mut body).unwrap();
        }
        let mut staging = store.staging();
        let common = message(&body, &["UNIQ_KEY\u{1}batch\u{2}"]);
        staging.put_inner_batch(&store.queue_or_create("B", 0).unwrap(), &NewBatch { common }).unwrap();
        store.append(&mut staging);
        clock.advance(700);
    }
    store.step(START_MS + 100_000);
    disk.replace(Path::new("/store/config/topics.json"), b"{\"topicConfigTable\":{}}").unwrap();
    if in_order {
        store.close().unwrap();
    }
    drop(store);
    disk.after_kill()
}

/// A place in a file where something is written, or any.
fn place(bytes: &[u8], random: &mut Random) -> usize {
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    if written.is_empty() || random.below(8) == 0 { random.below(bytes.len().max(1)) } else { random.of(&written) }
}

fn spoil(disk: &MemoryDisk, random: &mut Random) {
    let files: Vec<PathBuf> = disk.files().into_keys().collect();
    let path = files[random.below(files.len())].clone();
    let other = files[random.below(files.len())].clone();
    let content = disk.files()[&path].clone();
    let named = path.with_file_name(random.of(&NAMES));
    match random.below(12) {
        0..=2 => disk.damage(&path, |bytes| {
            for _ in 0..=random.below(4) {
                if !bytes.is_empty() {
                    let at = place(bytes, random);
                    bytes[at] ^= 1 << random.below(8);
                }
            }
        }),
        3..=5 => disk.damage(&path, |bytes| {
            // Fields begin at multiples of two.
            let at = place(bytes, random) & !1;
            let (value, width) = (random.of(&EXTREMES).to_be_bytes(), random.of(&[2, 4, 8]));
            let room = bytes.len().saturating_sub(at).min(width);
            bytes[at..at + room].copy_from_slice(&value[8 - width..][..room]);
        }),
        6 => disk.damage(&path, |bytes| bytes.truncate(random.below(bytes.len() + 1))),
        7 => disk.damage(&path, |bytes| bytes.resize(bytes.len() + 1 + random.below(9000), random.below(3) as u8)),
        8 => disk.damage(&path, |bytes| bytes.fill_with(|| random.next() as u8)),
        9 => disk.damage(&other, |bytes| bytes.clone_from(&content)),
        10 => {
            // Under another name, in the place of itself or beside it.
            if random.below(2) == 0 {
                disk.remove(&path).unwrap();
            }
            if let Ok(file) = disk.create(&named, content.len() as u64, Space::Sparse) {
                file.write_at(0, &content).unwrap();
            }
        }
        _ => {
            disk.remove(&path).unwrap();
            if random.below(2) == 0 {
                disk.create(&path.join(random.of(&NAMES)), 3, Space::Sparse).unwrap();
            }
        }
    }
}

/// `store check` and `store dump`.
fn look(disk: &MemoryDisk) {
    let before = disk.files();
    let options = StoreOptions { index_slots: small_options().index_slots, ..StoreOptions::new("/store") };
    if let Ok(store) = Offline::open(options, Arc::new(ReadOnlyDisk(disk.clone()))) {
        let mut count = 0;
        let _whatever = store.check(&mut |finding| count += finding.to_string().len());
        for topic in ["T", "Other", "B"] {
            for queue in store.queues_of(topic) {
                for range in [0..i64::MAX, i64::MIN..i64::MAX, i64::MIN..i64::MIN, i64::MAX..i64::MAX] {
                    let mut left = 100;
                    let _whatever = store.read(&queue, range, |_, _, message| {
                        left -= 1;
                        drop(message);
                        if left == 0 { Err(std::io::ErrorKind::Interrupted.into()) } else { Ok(()) }
                    });
                }
            }
        }
    }
    assert!(disk.files() == before, "reading changed something");
}

/// What a broker does with it.
fn serve(disk: &MemoryDisk) -> bool {
    let before = disk.files();
    let clock = clock();
    let store = match Store::open_still(mixed_options(), Arc::new(disk.clone()), clock.clone()) {
        Ok(store) => store,
        Err(OpenError::Unfit(unfit)) => {
            let line = unfit.to_string();
            assert!(line.contains("/store") && line.contains("expected") && line.contains("found"), "{line}");
            assert!(!line.contains('\n'), "{line}");
            let after = disk.files();
            let is_same = |path: &&PathBuf| before.get(*path) == after.get(*path);
            let changed: Vec<_> = before.keys().chain(after.keys()).filter(|path| !is_same(path)).collect();
            assert!(changed.is_empty(), "{line}, but {changed:?} was changed");
            return false;
        }
        Err(_) => return false,
    };
    for queue in store.queues() {
        for from in [queue.min_offset(), 0, queue.max_offset() - 1, i64::MAX, i64::MIN] {
            let _whatever = store.get(&queue, from, &ALL, &mut |_| true);
        }
        for time_ms in [0, START_MS, START_MS + 3_000, i64::MAX, i64::MIN] {
            for boundary in [Boundary::Lower, Boundary::Upper, Boundary::Nearest] {
                let _whatever = store.offset_by_time(&queue, time_ms, boundary);
            }
        }
    }
    for key in ["u3", "k4", "batch", "none"] {
        let _whatever = store.query("T", key, 64, 0..=i64::MAX);
    }
    let mut is_taken = false;
    for number in 0..3 {
        let placed = put(&store, "T", 0, &message(b"after", &["KEYS\u{1}after\u{2}"]));
        is_taken |= placed.status == PutStatus::PutOk;
        store.delete_expired_files();
        store.step(START_MS + 200_000 + number);
    }
    let _whatever = store.close();
    is_taken
}

fn run(random: &mut Random) -> bool {
    let begun = Instant::now();
    let disk = sample(random.below(2) == 0);
    for _ in 0..=random.below(4) {
        spoil(&disk, random);
    }
    look(&disk);
    let is_taken = serve(&disk);
    look(&disk.after_kill());
    assert!(begun.elapsed() < CASE_MAX, "{:?}", begun.elapsed());
    is_taken
}

#[test]
fn whatever_stands_in_a_folder_nothing_panics_and_nothing_hangs() {
    let Some((cases, served)) = run_cases("HOSTILE", CASES, run) else { return };
    println!("{cases} folders, of which {served} were served");
    assert!((cases / 10..cases).contains(&served), "{served} of {cases}");
}
