//! A disk in memory on which one call, or every call from one on, fails. Calls are numbered in their order, so that a test
//! can let each of them fail in turn.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use super::memory::MemoryDisk;
use super::{Disk, Entry, LogFile, Space, Usage};

/// Longest that a sync hangs: a test that fails should end all the same.
pub const HANG_MAX: Duration = Duration::from_secs(60);

/// A [`MemoryDisk`] with faults. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk {
    disk: MemoryDisk,
    faults: Arc<Mutex<Faults>>,
    hung: Arc<Hung>,
}

/// Whether syncs of files hang.
#[derive(Default)]
struct Hung {
    state: Mutex<HungState>,
    changed: Condvar,
}

#[derive(Default)]
struct HungState {
    is_hung: bool,
    /// Names of the threads whose syncs hang.
    threads: Vec<String>,
}

/// Which calls fail, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Number of the first call that fails, counted from 0.
    pub first: usize,
    /// Whether all that come after it fail, too, until [`FaultyDisk::heal`].
    pub goes_on: bool,
    /// How they fail.
    pub kind: FaultKind,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device reports an error (EIO).
    Device,
    /// There is no room (ENOSPC). Calls that need none succeed.
    Full,
    /// There is no room, and half of what a write was given is written. Other calls as with [`FaultKind::Full`].
    Short,
}

/// A call that was made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// What was called.
    pub call: &'static str,
    /// On what.
    pub path: PathBuf,
}

#[derive(Default)]
struct Faults {
    plan: Option<FaultPlan>,
    calls: usize,
    struck: Vec<Struck>,
}

impl FaultyDisk {
    /// That disk, on which calls fail by the plan.
    pub fn new(disk: MemoryDisk, plan: Option<FaultPlan>) -> FaultyDisk {
        FaultyDisk { disk, faults: Arc::new(Mutex::new(Faults { plan, ..Faults::default() })), hung: Arc::default() }
    }

    /// Lets everything succeed from now on.
    pub fn heal(&self) {
        self.faults.lock().plan = None;
    }

    /// Lets syncs of files hang from now on, or go on. None hangs for longer than [`HANG_MAX`].
    pub fn hang(&self, is_hung: bool) {
        self.hung.state.lock().is_hung = is_hung;
        self.hung.changed.notify_all();
    }

    /// Names of the threads whose syncs hang now.
    pub fn hanging(&self) -> Vec<String> {
        self.hung.state.lock().threads.clone()
    }

    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.faults.lock().calls
    }

    /// What failed.
    pub fn struck(&self) -> Vec<Struck> {
        self.faults.lock().struck.clone()
    }

    /// Counts a call; how it fails, if it does.
    fn strike(&self, call: &'static str, path: &Path, needs_room: bool) -> Option<FaultKind> {
        let mut faults = self.faults.lock();
        let number = faults.calls;
        faults.calls += 1;
        let plan = faults.plan.filter(|plan| number == plan.first || (plan.goes_on && number > plan.first))?;
        if plan.kind != FaultKind::Device && !needs_room {
            return None;
        }
        faults.struck.push(Struck { call, path: path.to_owned() });
        Some(plan.kind)
    }

    /// A call that changes something when it succeeds, and needs room for that.
    fn write<T>(&self, call: &'static str, path: &Path, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.strike(call, path, true).map_or_else(run, |kind| Err(error_of(kind)))
    }

    /// A call that needs no room.
    fn read<T>(&self, call: &'static str, path: &Path, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.strike(call, path, false).map_or_else(run, |kind| Err(error_of(kind)))
    }

    /// A sync. One that fails has dropped what it should have written.
    fn sync(&self, call: &'static str, path: &Path, run: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.strike(call, path, true) {
            None => run(),
            Some(kind) => {
                self.disk.forget_unsynced(Some(path).filter(|_| call != "sync_all"));
                Err(error_of(kind))
            }
        }
    }

    fn file(&self, path: &Path, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file })
    }
}

fn error_of(kind: FaultKind) -> io::Error {
    match kind {
        FaultKind::Device => Errno::IO.into(),
        FaultKind::Full | FaultKind::Short => Errno::NOSPC.into(),
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, len: u64, space: Space) -> io::Result<Arc<dyn LogFile>> {
        self.write("create", path, || self.disk.create(path, len, space)).map(|file| self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.read("open", path, || self.disk.open(path)).map(|file| self.file(path, file))
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        FaultyDisk::read(self, "read", path, || self.disk.read(path, bytes_max))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.write("replace", path, || self.disk.replace(path, content))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        FaultyDisk::read(self, "list", folder, || self.disk.list(folder))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FaultyDisk::read(self, "remove", path, || self.disk.remove(path))
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        FaultyDisk::read(self, "remove_folder", folder, || self.disk.remove_folder(folder))
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.write("create_folder", folder, || self.disk.create_folder(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.sync("sync_folder", folder, || self.disk.sync_folder(folder))
    }

    fn sync_all(&self, folder: &Path) -> io::Result<()> {
        self.sync("sync_all", folder, || self.disk.sync_all(folder))
    }

    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        FaultyDisk::read(self, "lock", root, || self.disk.lock(root))
    }

    fn changed_at(&self, folder: &Path) -> io::Result<Option<u64>> {
        self.disk.changed_at(folder)
    }

    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        FaultyDisk::read(self, "usage", folder, || self.disk.usage(folder))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        FaultyDisk::read(self, "modified_ms", path, || self.disk.modified_ms(path))
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Arc<dyn LogFile>,
}

impl LogFile for FaultyFile {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self.disk.strike("write_at", &self.path, true) {
            None => self.file.write_at(at, bytes),
            Some(kind) => {
                if kind == FaultKind::Short {
                    self.file.write_at(at, &bytes[..bytes.len() / 2])?;
                }
                Err(error_of(kind))
            }
        }
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.disk.read("read_at", &self.path, || self.file.read_at(at, into))
    }

    fn view(&self, at: u64, len: usize) -> io::Result<Bytes> {
        self.disk.read("view", &self.path, || self.file.view(at, len))
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        self.disk.write("zero", &self.path, || self.file.zero(at, len))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.hung.state.lock();
        if state.is_hung {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            state.threads.push(name.clone());
            self.disk.hung.changed.wait_while_for(&mut state, |state| state.is_hung, HANG_MAX);
            let own = state.threads.iter().position(|thread| *thread == name);
            own.map(|own| state.threads.swap_remove(own));
        }
        drop(state);
        self.disk.sync("sync", &self.path, || self.file.sync())
    }
}
