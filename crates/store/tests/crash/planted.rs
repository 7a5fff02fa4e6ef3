//! Tests of the test: bugs that a store could have, each of which must be found.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use raptormq_store::disk::memory::{MemoryDisk, Neglect};
use raptormq_store::disk::{Disk, Entry, LogFile, Space, Usage};

use crate::run::Setup;
use crate::run_seed;

/// Workloads within which a bug must show.
const SEEDS: u64 = 60;

/// Runs workloads until one shows the bug, and expects that it shows like this.
fn must_be_found(setup: &Setup, expected: &[&str]) {
    // A bug may also make the store panic, which is caught; nobody wants to read that.
    let failure = (0..SEEDS).find_map(|seed| run_seed(seed, setup, 0).err()).expect("the bug is found");
    assert!(expected.iter().any(|words| failure.contains(words)), "{failure}");
}

#[test]
fn a_sync_that_is_skipped_is_found() {
    must_be_found(
        &Setup { neglect: Some(Neglect::FileSync), ..Setup::default() },
        &["is lost", "the settings are", "does not start"],
    );
}

#[test]
fn a_rename_without_a_sync_of_its_folder_is_found() {
    let setup = Setup { neglect: Some(Neglect::FolderSyncOfReplace), ..Setup::default() };
    must_be_found(&setup, &["the settings are", "does not start", "other messages", "has (", "does not lead"]);
}

#[test]
fn a_crc_that_is_not_checked_is_found() {
    must_be_found(&Setup { check_crc: false, ..Setup::default() }, &["other messages than were sent"]);
}

#[test]
fn a_queue_that_is_written_before_the_log_is_found() {
    let between = |inner| Arc::new(QueueFirst { inner, held: Arc::default() }) as Arc<dyn Disk>;
    must_be_found(&Setup { between, ..Setup::default() }, &["is lost"]);
}

/// Lets a write to the log wait until a queue was written, or the log is synced.
struct QueueFirst {
    inner: MemoryDisk,
    held: Arc<Mutex<Held>>,
}

type Held = Vec<(Arc<dyn LogFile>, u64, Vec<u8>)>;

struct HeldFile {
    inner: Arc<dyn LogFile>,
    is_log: bool,
    held: Arc<Mutex<Held>>,
}

fn let_go(held: &Mutex<Held>) -> io::Result<()> {
    let held = std::mem::take(&mut *held.lock());
    held.into_iter().try_for_each(|(file, at, bytes)| file.write_at(at, &bytes))
}

impl QueueFirst {
    fn wrap(&self, path: &Path, inner: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        let is_log = path.starts_with("/store/commitlog");
        match is_log || path.starts_with("/store/consumequeue") {
            true => Arc::new(HeldFile { inner, is_log, held: self.held.clone() }),
            false => inner,
        }
    }
}

impl LogFile for HeldFile {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.is_log {
            self.held.lock().push((self.inner.clone(), at, bytes.to_vec()));
            return Ok(());
        }
        self.inner.write_at(at, bytes)?;
        let_go(&self.held)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(at, into)?;
        for (_, held_at, bytes) in self.held.lock().iter().filter(|(file, ..)| Arc::ptr_eq(file, &self.inner)) {
            for (position, byte) in into.iter_mut().enumerate() {
                if let Some(held) = (at + position as u64).checked_sub(*held_at).and_then(|at| bytes.get(at as usize)) {
                    *byte = *held;
                }
            }
        }
        Ok(())
    }

    fn view(&self, at: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; len];
        self.read_at(at, &mut bytes)?;
        Ok(bytes.into())
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        let_go(&self.held)?;
        self.inner.zero(at, len)
    }

    fn sync(&self) -> io::Result<()> {
        let_go(&self.held)?;
        self.inner.sync()
    }
}

impl Disk for QueueFirst {
    fn create(&self, path: &Path, len: u64, space: Space) -> io::Result<Arc<dyn LogFile>> {
        self.inner.create(path, len, space).map(|file| self.wrap(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.inner.open(path).map(|file| self.wrap(path, file))
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.inner.read(path, bytes_max)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.inner.replace(path, content)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.remove_folder(folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.create_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_folder(folder)
    }

    fn sync_all(&self, folder: &Path) -> io::Result<()> {
        let_go(&self.held)?;
        self.inner.sync_all(folder)
    }

    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.inner.lock(root)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.inner.modified_ms(path)
    }

    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        self.inner.usage(folder)
    }
}
