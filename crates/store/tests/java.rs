//! Folders of the original's store, as release 5.3.3 wrote and read them (`golden/vectors/stores.json`), and, where a Java
//! is at hand, one folder that both use in turn: `RAPTORMQ_JAVA_STORES` is the command that runs the recorder's
//! `golden.Stores`.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::*;
use raptormq_protocol::hash::java_hash;
use raptormq_protocol::message::batch;
use raptormq_protocol::message::record::RecordView;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::disk::real::RealDisk;
use raptormq_store::disk::{Disk, Space};
use raptormq_store::{NewBatch, NewMessage, PutStatus, Store, StoreOptions, SystemClock};

/// What each of the recorder's stores has besides.
const KINDS: [&str; 4] = ["batch", "ext", "light", "crc"];

/// The recorder's settings.
fn options(kind: &str, root: impl Into<PathBuf>) -> StoreOptions {
    let root = root.into();
    StoreOptions {
        segment_bytes: 8192,
        queue_file_bytes: 20 * 20,
        batch_queue_file_bytes: 46 * 5,
        ext_file_bytes: 128,
        index_slots: 16,
        index_entries: 1024,
        body_bytes_max: 4096,
        batch_topics: ["Batch".to_owned()].into(),
        ext_enabled: kind == "ext",
        light_enabled: kind == "light",
        append_property_crc: kind == "crc",
        verify_property_crc: kind == "crc",
        commit_log_folders: vec![root.join("commitlog")],
        root,
        ..small_options()
    }
}

fn vectors() -> Vec<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/vectors/stores.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A disk with the files of a vector.
fn disk_of(vector: &serde_json::Value) -> MemoryDisk {
    let disk = MemoryDisk::default();
    for (name, file) in vector["files"].as_object().unwrap() {
        let path = Path::new("/store").join(name);
        let bytes = unhex(file["hex"].as_str().unwrap());
        match file["length"].as_u64().unwrap() {
            0 => disk.replace(&path, b"").unwrap(),
            len => disk.create(&path, len, Space::Sparse).unwrap().write_at(0, &bytes).unwrap(),
        }
    }
    disk
}

/// Every message that can be read, in the recorder's form.
fn dump(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    let topics = ["%LMQ%one", "%LMQ%two", &format!("%RETRY%{}", "g".repeat(200)), "Batch", "Plain"];
    for (topic, queue_id) in topics.iter().flat_map(|topic| [(topic, 0), (topic, 1)]) {
        let Some(queue) = store.queue(topic, queue_id).filter(|queue| queue.max_offset() > 0) else { continue };
        let mut offset = queue.min_offset();
        lines.push(format!("{topic} {queue_id} from {offset} to {}", queue.max_offset()));
        while offset < queue.max_offset() {
            let result = store.get(&queue, offset, &raptormq_store::GetLimits { count: 1, ..ALL }, &mut |_| true);
            // In a light queue a message keeps the offset of its own one.
            let at = if topic.starts_with("%LMQ%") { Some(offset) } else { None };
            lines.extend(result.slices.iter().map(|slice| line(slice, &format!("{topic} {queue_id}"), at)));
            assert!(result.next_offset > offset, "{topic} {queue_id} {offset}: {:?}", result.status);
            offset = result.next_offset;
        }
    }
    lines
}

fn line(record: &[u8], queue: &str, at: Option<i64>) -> String {
    let view = RecordView::parse(record).unwrap();
    let messages = messages_of(record);
    let mut properties: Vec<_> = messages[0].properties.iter().collect();
    properties.sort_unstable();
    let ip = |host: std::net::SocketAddr| match host.ip() {
        std::net::IpAddr::V4(ip) => hex(&ip.octets()),
        std::net::IpAddr::V6(ip) => hex(&ip.octets()),
    };
    let mut line = format!(
        "{queue} {} {} {} {} {} {} {} {} {} {} {} {} {}",
        at.unwrap_or(view.queue_offset),
        view.topic,
        view.queue_id,
        view.queue_offset,
        view.log_offset,
        view.size,
        view.flag,
        view.sys_flag,
        view.born_timestamp_ms,
        view.store_timestamp_ms,
        ip(view.born_host),
        ip(view.store_host),
        hex(view.body)
    );
    for (name, value) in properties {
        line.push_str(&format!(" {name}={}", value.replace(' ', "_")));
    }
    line
}

fn messages_of(record: &[u8]) -> Vec<raptormq_protocol::message::MessageExt> {
    raptormq_protocol::message::MessageExt::decode_all(record, 1 << 20).unwrap()
}

/// Writes what the recorder writes.
fn write(store: &Store, kind: &str) {
    for number in 0..30 {
        let is_v6 = kind == "crc" && number % 2 == 1;
        let host = if is_v6 { "[2001:db8::7]:10911" } else { "127.0.0.1:10911" }.parse().unwrap();
        let mut properties = format!("KEYS\u{1}key{number}\u{2}TAGS\u{1}Tag{}\u{2}", number % 3);
        if kind == "light" && number % 3 > 0 {
            let queues = if number % 3 == 1 { "%LMQ%one" } else { "%LMQ%one,%LMQ%two" };
            properties.push_str(&format!("INNER_MULTI_DISPATCH\u{1}{queues}\u{2}"));
        }
        let body = format!("plain {number}");
        let properties = [properties.as_str()];
        let plain = NewMessage { flag: 7, born_host: host, store_host: host, ..message(body.as_bytes(), &properties) };
        assert_eq!(put(store, "Plain", number % 2, &plain).status, PutStatus::PutOk);
        if kind == "batch" {
            write_batch(store, number);
        }
    }
    let long = NewMessage { flag: 7, ..message(b"a long topic", &[]) };
    assert_eq!(put(store, &format!("%RETRY%{}", "g".repeat(200)), 0, &long).status, PutStatus::PutOk);
}

fn write_batch(store: &Store, number: i32) {
    let mut body = Vec::new();
    for within in 0..number % 4 + 1 {
        let text = format!("batch {number}.{within}");
        let inner = batch::InnerMessage { flag: 0, body: text.as_bytes(), properties: "WAIT\u{1}true\u{2}" };
        batch::encode(&inner, &mut body).unwrap();
    }
    let properties = format!("TAGS\u{1}Tag{}\u{2}UNIQ_KEY\u{1}uniq{number}\u{2}", number % 3);
    let queue = store.queue_or_create("Batch", 0).unwrap();
    let mut staging = store.staging();
    staging.put_inner_batch(&queue, &NewBatch { common: message(&body, &[&properties]) }).unwrap();
    store.append(&mut staging);
}

#[test]
fn folders_of_java_are_read_as_java_reads_them() {
    let vectors = vectors();
    assert_eq!(vectors.iter().map(|vector| vector["name"].as_str().unwrap()).collect::<Vec<_>>(), KINDS);
    for vector in &vectors {
        let kind = vector["name"].as_str().unwrap();
        let messages: Vec<&str> =
            vector["messages"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let clock = Arc::new(ManualClock::new(1_800_000_000_000));
        let disk = disk_of(vector);
        let store = open_with(options(kind, "/store"), &disk, &clock);
        assert!(store.recovered().was_clean, "{kind}");
        assert_eq!(dump(&store), messages, "{kind}");
        // Tags are found in a queue also where the units only say where they are.
        let queue = store.queue("Plain", 0).unwrap();
        let is_wanted = i64::from(java_hash("Tag1"));
        assert_eq!(store.get(&queue, 0, &ALL, &mut |code| code == is_wanted).count, 5, "{kind}");
        drop(store);
        // After a crash the queues are made again from the log, as they were.
        for folder in ["consumequeue", "batchconsumequeue", "consumequeue_ext", "index", "checkpoint"] {
            let path = Path::new("/store").join(folder);
            let _ = disk.remove_folder(&path);
            let _ = disk.remove(&path);
        }
        let store = open_with(options(kind, "/store"), &disk, &clock);
        assert_eq!(dump(&store), messages, "{kind}, from the log alone");
    }
}

#[test]
fn what_is_written_has_the_bytes_of_java() {
    for vector in &vectors() {
        let kind = vector["name"].as_str().unwrap();
        let (disk, clock) = (MemoryDisk::default(), clock());
        let store = open_with(options(kind, "/store"), &disk, &clock);
        write(&store, kind);
        store.close().unwrap();
        let ours = disk.files();
        for (name, file) in vector["files"].as_object().unwrap() {
            if !name.starts_with("consumequeue/") && !name.starts_with("batchconsumequeue/") {
                continue;
            }
            let expected = unhex(file["hex"].as_str().unwrap());
            let mut found = ours[&Path::new("/store").join(name)].clone();
            assert_eq!(found.len() as u64, file["length"].as_u64().unwrap(), "{kind} {name}");
            let mut expected = expected;
            expected.resize(found.len(), 0);
            if name.starts_with("batch") {
                // The store timestamps are of another day.
                for bytes in [&mut found, &mut expected] {
                    bytes.chunks_mut(46).for_each(|unit| unit[20..28].fill(0));
                }
            }
            assert_eq!(hex(&found), hex(&expected), "{kind} {name}");
        }
        let (mut ours, mut javas): (Vec<_>, Vec<_>) =
            (ours.keys().map(|path| path.display().to_string()).collect(), Vec::new());
        javas.extend(vector["files"].as_object().unwrap().keys().map(|name| format!("/store/{name}")));
        let is_compared = |name: &String| ["/commitlog/", "queue"].iter().any(|part| name.contains(part));
        ours.retain(|name| is_compared(name) && !name.ends_with("raptormq.queues"));
        javas.retain(is_compared);
        javas.sort();
        assert_eq!(ours, javas, "{kind}");
    }
}

#[test]
fn java_reads_what_is_written_and_the_other_way_round() {
    let Ok(java) = std::env::var("RAPTORMQ_JAVA_STORES") else {
        println!("skipped: RAPTORMQ_JAVA_STORES does not say how to run golden.Stores");
        return;
    };
    let run = |what: &str, kind: &str, folder: &Path| {
        let output = Command::new(&java).args([what, kind]).arg(folder).output().unwrap();
        assert!(output.status.success(), "{what} {kind}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let open =
            || Store::open_still(options(kind, folder.path()), Arc::new(RealDisk), Arc::new(SystemClock)).unwrap();
        let store = open();
        write(&store, kind);
        store.close().unwrap();
        drop(store);
        let ours = dump(&open());
        assert!(ours.len() > 30, "{kind}");
        // That one was not closed.
        open().close().unwrap();
        let lines = |lines: Vec<String>| lines.into_iter().filter(|line| line.contains(' ')).collect::<Vec<_>>();
        assert_eq!(lines(run("dump", kind, folder.path())), ours, "{kind}: Java reads ours");
        run("write", kind, folder.path());
        let store = open();
        let both = dump(&store);
        assert!(both.len() > 60 && store.recovered().was_clean, "{kind}: Java goes on");
        write(&store, kind);
        store.close().unwrap();
        let three = dump(&store);
        drop(store);
        assert_eq!(lines(run("dump", kind, folder.path())), three, "{kind}: and so do we");
    }
}
