//! What it costs to stage and append messages of 1 KiB: in memory, which is the CPU time without the system call, and on
//! the disk of the machine.
//!
//! `cargo bench -p raptormq-store --bench append`

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use raptormq_store::disk::real::RealDisk;
use raptormq_store::disk::{Disk, Entry, LogFile, Space, Usage};
use raptormq_store::{NewMessage, Store, StoreOptions, SystemClock};

/// Bytes of a body.
const BODY_BYTES: usize = 1024;
/// Bytes of a log file on the real disk: small enough for any machine, and a roll now and then is part of the work.
const SEGMENT_BYTES: u64 = 256 << 20;

fn main() {
    divan::main();
}

/// Takes every write and forgets it.
#[derive(Clone)]
struct NowhereDisk;

struct NowhereFile(u64);

impl Disk for NowhereDisk {
    fn create(&self, _path: &Path, len: u64, _space: Space) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(NowhereFile(len)))
    }
    fn open(&self, _path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn read(&self, _path: &Path, _bytes_max: u64) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn replace(&self, _path: &Path, _content: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _folder: &Path) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }
    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
    fn usage(&self, _folder: &Path) -> io::Result<Usage> {
        Ok(Usage { total_bytes: 1, used_bytes: 0, free_bytes: 1 })
    }
    fn modified_ms(&self, _path: &Path) -> io::Result<i64> {
        Ok(i64::MAX)
    }
}

impl LogFile for NowhereFile {
    fn len(&self) -> u64 {
        self.0
    }
    fn write_at(&self, _at: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, _at: u64, into: &mut [u8]) -> io::Result<()> {
        into.fill(0);
        Ok(())
    }
    fn view(&self, _at: u64, len: usize) -> io::Result<Bytes> {
        Ok(Bytes::from(vec![0; len]))
    }
    fn zero(&self, _at: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Messages staged and appended in a turn.
const TURNS: [usize; 3] = [1, 8, 64];

#[divan::bench(args = TURNS)]
fn without_the_disk(bencher: Bencher<'_, '_>, messages: usize) {
    let store = Store::open(StoreOptions::new("/nowhere"), Arc::new(NowhereDisk), Arc::new(SystemClock)).unwrap();
    turns(bencher, &store, messages);
}

#[divan::bench(args = TURNS)]
fn on_this_disk(bencher: Bencher<'_, '_>, messages: usize) {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_bytes: SEGMENT_BYTES, ..StoreOptions::new(folder.path()) };
    let store = Store::open(options, Arc::new(RealDisk), Arc::new(SystemClock)).unwrap();
    turns(bencher, &store, messages);
    store.close().unwrap();
}

/// Each iteration is a turn: `messages` puts with four queues in rotation, and one append.
fn turns(bencher: Bencher<'_, '_>, store: &Store, messages: usize) {
    let body = [7; BODY_BYTES];
    let queues: Vec<_> = (0..4).map(|queue_id| store.queue_or_create("TopicTest", queue_id).unwrap()).collect();
    let mut staging = store.staging();
    let mut number = 0_u64;
    bencher.counter(ItemsCount::new(messages)).counter(BytesCount::new(messages * BODY_BYTES)).bench_local(|| {
        staging.clear();
        for queue in queues.iter().cycle().take(messages) {
            number += 1;
            let properties =
                format!("UNIQ_KEY\u{1}7F000001000051AF{number:016X}\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}");
            let message = NewMessage {
                flag: 0,
                sys_flag: 0,
                born_timestamp_ms: 1_700_000_000_000,
                born_host: "127.0.0.1:50000".parse().unwrap(),
                store_host: "127.0.0.1:10911".parse().unwrap(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &body,
                properties: &[&properties, "CLUSTER\u{1}DefaultCluster\u{2}"],
            };
            staging.put(queue, &message).unwrap();
        }
        store.append(&mut staging);
        staging.arrivals().count()
    });
}
