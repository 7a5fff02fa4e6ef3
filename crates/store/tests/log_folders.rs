//! A log in several folders: where its files are made, read and deleted, and what a folder without room does to that.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::{Path, PathBuf};

use common::*;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::Usage;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{Clock as _, PutStatus, Store, StoreOptions};

/// Folders of the tests' stores; `/old` is read only.
const FOLDERS: [&str; 3] = ["/a", "/b", "/c"];

fn options() -> StoreOptions {
    StoreOptions {
        // In no order: their names decide.
        commit_log_folders: ["/c", "/a", "/b"].map(PathBuf::from).to_vec(),
        read_only_log_folders: vec!["/old".into()],
        ..small_options()
    }
}

/// Puts messages until the log has gone on in `count` more files; returns how many messages that took.
fn fill_files(store: &Store, clock: &ManualClock, count: i64) -> usize {
    let end = store.log_max_offset() + count * 4096;
    let mut messages = 0;
    while store.log_max_offset() < end {
        assert_eq!(put(store, "T", 0, &message(&[7; 900], &[])).status, PutStatus::PutOk);
        messages += 1;
        clock.advance(10_000);
        store.step(clock.now_ms());
    }
    messages
}

/// In which folder each file of the log lies, in their order.
fn places(disk: &MemoryDisk) -> Vec<String> {
    let folder = |path: &Path| path.parent().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<(PathBuf, String)> = disk
        .files()
        .into_keys()
        .map(|path| (path.file_name().unwrap().into(), folder(&path)))
        .filter(|(_, folder)| folder == "/old" || FOLDERS.contains(&folder.as_str()))
        .collect();
    files.sort();
    files.into_iter().map(|(_, folder)| folder).collect()
}

fn percent(used: u64) -> Usage {
    Usage { total_bytes: 100, used_bytes: used, free_bytes: 100 - used }
}

#[test]
fn files_lie_in_the_folders_by_turns_and_are_found_again() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    let mut count = fill_files(&store, &clock, 4);
    assert_eq!(places(&disk)[..5], ["/a", "/b", "/c", "/a", "/b"]);
    for is_stopped in [true, false] {
        let store = {
            if is_stopped {
                store.close().unwrap();
            }
            open_with(options(), &disk.after_kill(), &clock)
        };
        assert_eq!(bodies(&store, "T", 0).len(), count);
    }
    // Where the files lie may change: what was in a folder that is read only now stays readable, and grows no more.
    drop(store);
    let moved = StoreOptions { read_only_log_folders: vec!["/a".into(), "/old".into()], ..options() };
    let disk = disk.after_kill();
    let store = open_with(moved, &disk, &clock);
    count += fill_files(&store, &clock, 4);
    assert_eq!(places(&disk)[5..9], ["/c", "/b", "/c", "/b"]);
    assert_eq!(bodies(&store, "T", 0).len(), count);
}

#[test]
fn a_folder_without_room_gets_no_new_file_while_others_have_some() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    disk.set_usage(Path::new("/b"), percent(86));
    let store = open_with(options(), &disk, &clock);
    let count = fill_files(&store, &clock, 4);
    // Of the two that are left: file number modulo 2.
    assert_eq!(places(&disk)[..5], ["/a", "/c", "/a", "/c", "/a"]);
    disk.set_usage(Path::new("/b"), percent(85));
    fill_files(&store, &clock, 1);
    let before = places(&disk).len();
    let count = count + fill_files(&store, &clock, 3);
    assert!(places(&disk)[before - 1..].contains(&"/b".to_owned()), "{:?}", places(&disk));
    // When all are nearly full they are used as if none were; nothing is refused before the warning level.
    for folder in FOLDERS {
        disk.set_usage(Path::new(folder), percent(89));
    }
    assert!(store.is_writeable());
    let found = bodies(&store, "T", 0).len();
    assert!(found > count, "{found} {count}");
}

#[test]
fn the_emptiest_folder_says_whether_the_disk_is_full() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    for (used, is_writeable) in [([99, 99, 10], true), ([99, 99, 91], false), ([99, 85, 99], true)] {
        for (folder, used) in FOLDERS.iter().zip(used) {
            disk.set_usage(Path::new(folder), percent(used));
        }
        // Nothing is written there, so its room is nothing to go by.
        disk.set_usage(Path::new("/old"), percent(1));
        clock.advance(10_000);
        store.step(clock.now_ms());
        assert_eq!(store.is_writeable(), is_writeable, "{used:?}");
    }
}
