//! A disk in memory for tests. It remembers which operations were not synced yet, and makes the disk that a crash would
//! leave: see [`MemoryDisk::after_crash`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Disk, Entry, LogFile, Space, Usage, checked_range};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Content>,
    /// The files as they would be if nothing that was not synced had reached the disk.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    unsynced: Vec<Operation>,
    locked: BTreeSet<PathBuf>,
    fault: Option<Fault>,
}

/// Shared with the open handles, which stay valid when the file is removed.
type Content = Arc<Mutex<Vec<u8>>>;

/// Something that was done to the disk and not synced yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file of that many zeros was made.
    Create {
        /// Which file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
    /// Bytes were written.
    Write {
        /// Which file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was removed.
    Remove {
        /// Which file.
        path: PathBuf,
    },
}

/// What a crash does to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reached the disk.
    Kept,
    /// It did not.
    Lost,
    /// Of a write, that many bytes did; any other operation is lost.
    Torn(usize),
}

/// An error that the next operation of a kind meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next write fails after so many bytes.
    Write {
        /// Bytes that are written before the error.
        after: usize,
    },
    /// The next sync fails.
    Sync,
    /// The next file cannot be made: the disk is full.
    Create,
}

impl MemoryDisk {
    /// Makes the next operation of that kind fail, once.
    pub fn fail_next(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// How many operations are not synced.
    pub fn unsynced_count(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// The disk as the death of the process leaves it: everything that was written is there, and no lock is held.
    pub fn after_kill(&self) -> MemoryDisk {
        self.after_crash(|_, _| Fate::Kept)
    }

    /// The disk as a crash of the machine leaves it. `fate` is asked for each operation that was not synced, in their
    /// order; everything that was synced is there.
    pub fn after_crash(&self, mut fate: impl FnMut(usize, &Operation) -> Fate) -> MemoryDisk {
        let state = self.state.lock();
        let mut files = state.durable.clone();
        for (position, operation) in state.unsynced.iter().enumerate() {
            match fate(position, operation) {
                Fate::Kept => apply(&mut files, operation, usize::MAX),
                Fate::Torn(count) if matches!(operation, Operation::Write { .. }) => {
                    apply(&mut files, operation, count);
                }
                Fate::Torn(_) | Fate::Lost => {}
            }
        }
        let contents = files.iter().map(|(path, bytes)| (path.clone(), Arc::new(Mutex::new(bytes.clone()))));
        let state = State { files: contents.collect(), durable: files, ..State::default() };
        MemoryDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Every file's path and content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.state.lock().files.iter().map(|(path, content)| (path.clone(), content.lock().clone())).collect()
    }

    /// Changes a file behind the store's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if let Some(content) = state.files.get(path).cloned() {
            change(&mut content.lock());
            let bytes = content.lock().clone();
            state.durable.insert(path.to_owned(), bytes);
        }
    }
}

/// Does to `files` what `operation` did; of a write only the first `count` bytes.
fn apply(files: &mut BTreeMap<PathBuf, Vec<u8>>, operation: &Operation, count: usize) {
    match operation {
        Operation::Create { path, len } => {
            files.insert(path.clone(), vec![0; *len as usize]);
        }
        Operation::Write { path, at, bytes } => {
            // The file is not there when its creation was lost.
            if let Some(file) = files.get_mut(path) {
                let bytes = &bytes[..count.min(bytes.len())];
                file[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
            }
        }
        Operation::Remove { path } => {
            files.remove(path);
        }
    }
}

fn path_of(operation: &Operation) -> &Path {
    match operation {
        Operation::Create { path, .. } | Operation::Write { path, .. } | Operation::Remove { path } => path,
    }
}

impl State {
    /// Moves the operations that `synced` picks into the durable files, keeping their order.
    fn settle(&mut self, synced: impl Fn(&Operation) -> bool) {
        let durable = &mut self.durable;
        self.unsynced.retain(|operation| {
            let settled = synced(operation);
            if settled {
                apply(durable, operation, usize::MAX);
            }
            !settled
        });
    }

    fn take_fault(&mut self, is_this: impl Fn(Fault) -> bool) -> Option<Fault> {
        self.fault.take_if(|fault| is_this(*fault))
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()))
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path, len: u64, _space: Space) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state.lock();
        if state.take_fault(|fault| fault == Fault::Create).is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Content::new(Mutex::new(vec![0; len as usize]));
        state.files.insert(path.to_owned(), content.clone());
        state.unsynced.push(Operation::Create { path: path.to_owned(), len });
        Ok(Arc::new(MemoryFile { disk: self.clone(), path: path.to_owned(), len, content }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let state = self.state.lock();
        let content = state.files.get(path).cloned().ok_or_else(|| not_found(path))?;
        let len = content.lock().len() as u64;
        Ok(Arc::new(MemoryFile { disk: self.clone(), path: path.to_owned(), len, content }))
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let content = self.state.lock().files.get(path).cloned().ok_or_else(|| not_found(path))?;
        let bytes = content.lock().clone();
        if bytes.len() as u64 > bytes_max {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(bytes)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.unsynced.retain(|operation| path_of(operation) != path);
        state.durable.insert(path.to_owned(), content.to_vec());
        state.files.insert(path.to_owned(), Arc::new(Mutex::new(content.to_vec())));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        let mut entries = BTreeMap::new();
        for (path, content) in &state.files {
            let Ok(inner) = path.strip_prefix(folder) else { continue };
            let mut parts = inner.components();
            let Some(first) = parts.next() else { continue };
            let name = first.as_os_str().to_string_lossy().into_owned();
            let is_folder = parts.next().is_some();
            let len = if is_folder { 0 } else { content.lock().len() as u64 };
            entries.insert(name.clone(), Entry { name, is_folder, len });
        }
        Ok(entries.into_values().collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.files.remove(path).ok_or_else(|| not_found(path))?;
        state.unsynced.push(Operation::Remove { path: path.to_owned() });
        Ok(())
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inside: Vec<PathBuf> = state.files.keys().filter(|path| path.starts_with(folder)).cloned().collect();
        for path in inside {
            state.files.remove(&path);
            state.unsynced.push(Operation::Remove { path });
        }
        Ok(())
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.settle(|operation| matches!(operation, Operation::Remove { path } if path.parent() == Some(folder)));
        Ok(())
    }

    fn sync_all(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.take_fault(|fault| fault == Fault::Sync).is_some() {
            return Err(io::Error::other("a sync that was to fail"));
        }
        state.settle(|_| true);
        Ok(())
    }

    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state.lock();
        if !state.locked.insert(root.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let lock = root.join("lock");
        state.files.insert(lock.clone(), Arc::new(Mutex::new(b"lock".to_vec())));
        state.durable.insert(lock, b"lock".to_vec());
        Ok(Box::new(MemoryLock { disk: self.clone(), root: root.to_owned() }))
    }

    fn usage(&self, _folder: &Path) -> io::Result<Usage> {
        let total_bytes = 1 << 40;
        let used: u64 = self.state.lock().files.values().map(|content| content.lock().len() as u64).sum();
        Ok(Usage { total_bytes, free_bytes: total_bytes.saturating_sub(used) })
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    root: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.state.lock().locked.remove(&self.root);
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    len: u64,
    content: Content,
}

impl MemoryFile {
    fn store(&self, state: &mut State, at: u64, bytes: &[u8]) {
        self.content.lock()[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        state.unsynced.push(Operation::Write { path: self.path.clone(), at, bytes: bytes.to_vec() });
    }
}

impl LogFile for MemoryFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        checked_range(at, bytes.len() as u64, self.len)?;
        let mut state = self.disk.state.lock();
        if let Some(Fault::Write { after }) = state.take_fault(|fault| matches!(fault, Fault::Write { .. })) {
            self.store(&mut state, at, &bytes[..after.min(bytes.len())]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.store(&mut state, at, bytes);
        Ok(())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let range = checked_range(at, into.len() as u64, self.len)?;
        into.copy_from_slice(&self.content.lock()[range]);
        Ok(())
    }

    fn view(&self, at: u64, len: usize) -> io::Result<Bytes> {
        let range = checked_range(at, len as u64, self.len)?;
        Ok(Bytes::copy_from_slice(&self.content.lock()[range]))
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        checked_range(at, len, self.len)?;
        self.store(&mut self.disk.state.lock(), at, &vec![0; len as usize]);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        if state.take_fault(|fault| fault == Fault::Sync).is_some() {
            return Err(io::Error::other("a sync that was to fail"));
        }
        // A file that was removed stays so as long as its folder was not synced; one that is there is there for good, also
        // when another one of its name was removed before it was made.
        if state.files.get(&self.path).is_some_and(|content| Arc::ptr_eq(content, &self.content)) {
            state.settle(|operation| path_of(operation) == self.path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_as_much_of_the_rest_as_it_likes() {
        let disk = MemoryDisk::default();
        let path = Path::new("/s/f");
        let file = disk.create(path, 8, Space::Reserved).unwrap();
        file.write_at(0, b"ab").unwrap();
        file.sync().unwrap();
        file.write_at(2, b"cdef").unwrap();
        assert_eq!(disk.unsynced_count(), 1);
        let content = |disk: &MemoryDisk| disk.read(path, 100).unwrap();
        assert_eq!(content(&disk.after_crash(|_, _| Fate::Lost)), b"ab\0\0\0\0\0\0");
        assert_eq!(content(&disk.after_crash(|_, _| Fate::Torn(3))), b"abcde\0\0\0");
        assert_eq!(content(&disk.after_kill()), b"abcdef\0\0");
    }

    #[test]
    fn a_lost_creation_takes_its_writes_with_it() {
        let disk = MemoryDisk::default();
        let file = disk.create(Path::new("/s/f"), 8, Space::Reserved).unwrap();
        file.write_at(0, b"ab").unwrap();
        let crashed = disk.after_crash(|_, operation| match operation {
            Operation::Create { .. } => Fate::Lost,
            _ => Fate::Kept,
        });
        assert!(crashed.files().is_empty());
    }

    #[test]
    fn a_fault_strikes_once() {
        let disk = MemoryDisk::default();
        let file = disk.create(Path::new("/s/f"), 8, Space::Reserved).unwrap();
        disk.fail_next(Fault::Write { after: 1 });
        assert!(file.write_at(0, b"ab").is_err());
        assert_eq!(disk.read(Path::new("/s/f"), 8).unwrap(), b"a\0\0\0\0\0\0\0");
        file.write_at(0, b"ab").unwrap();
    }

    #[test]
    fn folders_are_what_the_paths_say() {
        let disk = MemoryDisk::default();
        for path in ["/s/a/1", "/s/a/2", "/s/b"] {
            disk.create(Path::new(path), 3, Space::Sparse).unwrap();
        }
        let entry = |name: &str, is_folder, len| Entry { name: name.to_owned(), is_folder, len };
        assert_eq!(disk.list(Path::new("/s")).unwrap(), [entry("a", true, 0), entry("b", false, 3)]);
        disk.remove_folder(Path::new("/s/a")).unwrap();
        assert_eq!(disk.list(Path::new("/s")).unwrap(), [entry("b", false, 3)]);
    }
}
