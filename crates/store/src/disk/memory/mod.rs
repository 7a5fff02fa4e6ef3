//! A disk in memory for tests. It remembers which operations were not synced yet, and makes the disk that a crash would
//! leave: one of them with [`MemoryDisk::after_crash`], all of them with [`MemoryDisk::record`] and [`Trace::images`].
//!
//! It is as hard as a journalling file system over a disk with a volatile cache may be: a file's name, its length and
//! what is written to it become durable apart, by a sync of the folder or of the file; what was not synced is there or
//! not, in any order, writes in parts. Only the names within one folder change in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::{Disk, Entry, LogFile, Space, Usage, checked_range};

mod crash;
mod tree;

pub use crash::{Image, Plan, Trace};
pub use tree::{Fate, FileId, Operation};

use crash::Event;
use tree::{Node, Tree};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// Told when the device goes on.
    goes_on: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    /// As whoever asks the disk sees it.
    live: Tree,
    /// As it would be if nothing that was not synced had reached the disk.
    durable: Tree,
    unsynced: Vec<Operation>,
    next_file: FileId,
    locked: BTreeSet<PathBuf>,
    fault: Option<Fault>,
    /// What [`MemoryDisk::set_usage`] was told, by folder.
    usages: BTreeMap<PathBuf, Usage>,
    /// What [`MemoryDisk::set_modified`] was told; files not mentioned are as new as can be.
    modified_ms: BTreeMap<PathBuf, i64>,
    /// Nothing counts as being in memory.
    is_cold: bool,
    /// The device does not come to an end.
    is_stalled: bool,
    neglect: Option<Neglect>,
    recorder: Option<Recorder>,
}

/// See [`MemoryDisk::record`].
struct Recorder {
    stamp: Box<dyn Fn() -> u64 + Send + Sync>,
    trace: Trace,
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

/// Something that a disk says it did, and did not: what a store would leave that forgot to ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neglect {
    /// Files are not synced.
    FileSync,
    /// [`Disk::replace`] does not sync the folder behind the rename.
    FolderSyncOfReplace,
}

impl MemoryDisk {
    /// Makes the next operation of that kind fail, once.
    pub fn fail_next(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Makes the disk neglect something from now on, as do the disks that crashes make of it.
    pub fn neglect(&self, neglect: Neglect) {
        self.state.lock().neglect = Some(neglect);
    }

    /// Says what [`Disk::usage`] answers for a folder and those in it. While nothing is free, no file can be made there but
    /// an empty one.
    pub fn set_usage(&self, folder: &Path, usage: Usage) {
        self.state.lock().usages.insert(folder.to_owned(), usage);
    }

    /// Says what [`Disk::modified_ms`] answers for a file.
    pub fn set_modified(&self, path: &Path, modified_ms: i64) {
        self.state.lock().modified_ms.insert(path.to_owned(), modified_ms);
    }

    /// Whether reads of files have to wait for the device from now on, as when the system needs its memory elsewhere.
    pub fn set_cold(&self, is_cold: bool) {
        self.state.lock().is_cold = is_cold;
    }

    /// Whether what is brought into memory from now on has to wait until this is taken back.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.state.lock().is_stalled = is_stalled;
        self.goes_on.notify_all();
    }

    /// Does what a failed sync of that file or folder may do, or of everything: what it should have made durable never
    /// will be, though everybody sees it as before.
    pub fn forget_unsynced(&self, synced: Option<&Path>) {
        let state = &mut *self.state.lock();
        let scope = match synced.map(|path| (path, state.live.file(path))) {
            Some((_, Some((file, _)))) => crash::Scope::File(file),
            Some((folder, None)) => crash::Scope::Folder(folder.to_owned()),
            None => crash::Scope::Everything,
        };
        // What is settled into a tree that nobody keeps is gone.
        crash::settle(&mut state.durable.clone(), &mut state.unsynced, &scope);
    }

    /// How many operations are not synced.
    pub fn unsynced_count(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// The disk as the death of the process leaves it: everything that was written is there, though no safer from a crash
    /// than it was, and no lock is held.
    pub fn after_kill(&self) -> MemoryDisk {
        let state = self.state.lock();
        MemoryDisk::new(state.live.clone().pruned(), state.durable.clone(), state.unsynced.clone(), state.neglect)
    }

    /// The disk as a crash of the machine leaves it. `fate` is asked for each operation that was not synced, in their
    /// order; everything that was synced is there.
    pub fn after_crash(&self, mut fate: impl FnMut(usize, &Operation) -> Fate) -> MemoryDisk {
        let state = self.state.lock();
        let mut tree = state.durable.clone();
        for (position, operation) in state.unsynced.iter().enumerate() {
            tree.apply(operation, fate(position, operation));
        }
        MemoryDisk::crashed(tree, state.neglect)
    }

    fn crashed(tree: Tree, neglect: Option<Neglect>) -> MemoryDisk {
        let tree = tree.pruned();
        MemoryDisk::new(tree.clone(), tree, Vec::new(), neglect)
    }

    fn new(live: Tree, durable: Tree, unsynced: Vec<Operation>, neglect: Option<Neglect>) -> MemoryDisk {
        let next_file = |tree: &Tree| tree.contents.last_key_value().map_or(0, |(file, _)| file + 1);
        // A file whose name is gone may come back with a crash: no other one may have its id meanwhile.
        let mentioned = unsynced.iter().filter_map(Operation::any_file).max().map_or(0, |file| file + 1);
        let next_file = next_file(&live).max(next_file(&durable)).max(mentioned);
        let state = State { live, durable, unsynced, next_file, neglect, ..State::default() };
        MemoryDisk { state: Arc::new(Mutex::new(state)), goes_on: Arc::default() }
    }

    /// Begins to record what is done to the disk, for [`Trace::images`]. `stamp` is called before each operation; what it
    /// returns is given back with the images of a crash at that moment.
    pub fn record(&self, stamp: impl Fn() -> u64 + Send + Sync + 'static) {
        let mut state = self.state.lock();
        let trace = Trace::new(state.durable.clone(), state.unsynced.clone(), state.neglect);
        state.recorder = Some(Recorder { stamp: Box::new(stamp), trace });
    }

    /// Ends the recording; nothing when none was begun.
    pub fn recorded(&self) -> Trace {
        let recorder = self.state.lock().recorder.take();
        recorder.map_or_else(Trace::default, |recorder| {
            let last = (recorder.stamp)();
            recorder.trace.ended(last)
        })
    }

    /// Every file's path and content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state.lock();
        let file = |(path, node): (&Arc<Path>, &Node)| match node {
            Node::File(file) => Some((path.to_path_buf(), state.live.contents.get(file)?.to_vec())),
            Node::Folder => None,
        };
        state.live.names.iter().filter_map(file).collect()
    }

    /// Changes a file behind the store's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state.lock();
        if let Some((file, content)) = state.live.file(path) {
            let mut content = content.to_vec();
            change(&mut content);
            let content = Arc::new(content);
            state.live.contents.insert(file, content.clone());
            state.durable.contents.insert(file, content);
            for above in path.ancestors().skip(1) {
                state.durable.names.insert(above.into(), Node::Folder);
            }
            state.durable.names.insert(path.into(), Node::File(file));
        }
    }
}

impl State {
    fn note(&mut self, event: Event) {
        if let Some(recorder) = &mut self.recorder {
            let stamp = (recorder.stamp)();
            recorder.trace.push(event, stamp);
        }
    }

    fn carry_out(&mut self, operation: Operation) {
        self.live.apply(&operation, Fate::Kept);
        self.note(Event::Did(operation.clone()));
        self.unsynced.push(operation);
    }

    fn sync(&mut self, scope: crash::Scope) {
        crash::settle(&mut self.durable, &mut self.unsynced, &scope);
        self.note(Event::Synced(scope));
    }

    fn make_folders(&mut self, folder: &Path) -> Vec<PathBuf> {
        let missing = |folder: &&Path| folder.parent().is_some() && !self.live.names.contains_key(*folder);
        let mut made: Vec<PathBuf> = folder.ancestors().filter(missing).map(Path::to_owned).collect();
        made.reverse();
        made.iter().for_each(|path| self.carry_out(Operation::MakeFolder { path: path.clone() }));
        made
    }

    fn make_file(&mut self, path: &Path, len: u64) -> FileId {
        let file = self.next_file;
        self.next_file += 1;
        self.carry_out(Operation::Create { path: path.to_owned(), file });
        self.carry_out(Operation::SetLength { path: path.to_owned(), file, len });
        file
    }

    fn usage_of(&self, path: &Path) -> Option<Usage> {
        path.ancestors().find_map(|folder| self.usages.get(folder)).copied()
    }

    fn take_fault(&mut self, is_this: impl Fn(Fault) -> bool) -> Option<Fault> {
        self.fault.take_if(|fault| is_this(*fault))
    }

    fn fail_sync(&mut self) -> io::Result<()> {
        match self.take_fault(|fault| fault == Fault::Sync) {
            Some(_) => Err(io::Error::other("a sync that was to fail")),
            None => Ok(()),
        }
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()))
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path, len: u64, _space: Space) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state.lock();
        let is_full = state.usage_of(path).is_some_and(|usage| usage.free_bytes == 0);
        if is_full && len > 0 || state.take_fault(|fault| fault == Fault::Create).is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.live.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(folder) = path.parent() {
            state.make_folders(folder);
        }
        let file = state.make_file(path, len);
        Ok(Arc::new(MemoryFile { disk: self.clone(), path: path.to_owned(), file, len }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let state = self.state.lock();
        let (file, content) = state.live.file(path).ok_or_else(|| not_found(path))?;
        let len = content.len() as u64;
        Ok(Arc::new(MemoryFile { disk: self.clone(), path: path.to_owned(), file, len }))
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let (_, content) = state.live.file(path).ok_or_else(|| not_found(path))?;
        if content.len() as u64 > bytes_max {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(content.to_vec())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".tmp");
        let aside = PathBuf::from(aside);
        if let Some(folder) = path.parent() {
            self.create_folder(folder)?;
        }
        let state = &mut *self.state.lock();
        if state.usage_of(path).is_some_and(|usage| usage.free_bytes == 0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = content.len() as u64;
        let file = match state.live.file(&aside).map(|(file, _)| file) {
            Some(file) => {
                state.carry_out(Operation::SetLength { path: aside.clone(), file, len: 0 });
                state.carry_out(Operation::SetLength { path: aside.clone(), file, len });
                file
            }
            None => state.make_file(&aside, len),
        };
        state.carry_out(Operation::Write { path: aside.clone(), file, at: 0, bytes: content.into() });
        if state.neglect != Some(Neglect::FileSync) {
            state.sync(crash::Scope::File(file));
        }
        state.carry_out(Operation::Rename { from: aside, path: path.to_owned() });
        if state.neglect != Some(Neglect::FolderSyncOfReplace) {
            state.sync(crash::Scope::Folder(path.parent().unwrap_or(Path::new("/")).to_owned()));
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        let mut entries = Vec::new();
        for (path, node) in &state.live.names {
            if path.parent() != Some(folder) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let len = match node {
                Node::Folder => 0,
                Node::File(file) => state.live.contents.get(file).map_or(0, |content| content.len() as u64),
            };
            entries.push(Entry { name, is_folder: *node == Node::Folder, len });
        }
        Ok(entries)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.live.file(path).ok_or_else(|| not_found(path))?;
        state.carry_out(Operation::Remove { path: path.to_owned() });
        Ok(())
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inside = |path: &&Arc<Path>| path.starts_with(folder);
        let inside: Vec<PathBuf> = state.live.names.keys().filter(inside).map(|path| path.to_path_buf()).collect();
        // What is in a folder goes before it.
        for path in inside.into_iter().rev() {
            state.carry_out(Operation::Remove { path });
        }
        Ok(())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        for made in state.make_folders(folder) {
            state.sync(crash::Scope::Folder(made.parent().unwrap_or(Path::new("/")).to_owned()));
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.state.lock().sync(crash::Scope::Folder(folder.to_owned()));
        Ok(())
    }

    fn sync_all(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.fail_sync()?;
        if state.neglect != Some(Neglect::FileSync) {
            state.sync(crash::Scope::Everything);
        }
        Ok(())
    }

    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let state = &mut *self.state.lock();
        let lock = root.join("lock");
        if state.live.names.get(lock.as_path()) == Some(&Node::Folder) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !state.locked.insert(root.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.live.file(&lock).is_none() {
            let file = state.make_file(&lock, 4);
            state.carry_out(Operation::Write { path: lock, file, at: 0, bytes: b"lock".as_slice().into() });
        }
        Ok(Box::new(MemoryLock { disk: self.clone(), root: root.to_owned() }))
    }

    fn changed_at(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.state.lock();
        // That of a file must be the same on the disks that crashes make of this one.
        let of_file = |(file, content): (FileId, &Arc<Vec<u8>>)| {
            let mut hasher = DefaultHasher::new();
            (file, content).hash(&mut hasher);
            hasher.finish()
        };
        Ok(state.live.file(path).map(of_file).or_else(|| state.live.changed.get(path).copied()))
    }

    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        let state = self.state.lock();
        Ok(state.usage_of(folder).unwrap_or_else(|| {
            let total_bytes: u64 = 1 << 40;
            let used_bytes = state.live.contents.values().map(|content| content.len() as u64).sum();
            Usage { total_bytes, used_bytes, free_bytes: total_bytes.saturating_sub(used_bytes) }
        }))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let state = self.state.lock();
        state.live.file(path).ok_or_else(|| not_found(path))?;
        Ok(state.modified_ms.get(path).copied().unwrap_or(i64::MAX))
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
    file: FileId,
    len: u64,
}

impl MemoryFile {
    fn store(&self, state: &mut State, at: u64, bytes: Arc<[u8]>) {
        state.carry_out(Operation::Write { path: self.path.clone(), file: self.file, at, bytes });
    }

    fn look<T>(&self, at: u64, count: usize, look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let range = checked_range(at, count as u64, self.len)?;
        let state = self.disk.state.lock();
        let content = state.live.contents.get(&self.file).map_or(&[][..], |content| content.as_slice());
        content.get(range).map(look).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
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
            self.store(&mut state, at, bytes[..after.min(bytes.len())].into());
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.store(&mut state, at, bytes.into());
        Ok(())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.look(at, into.len(), |bytes| into.copy_from_slice(bytes))
    }

    fn read_cached_at(&self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        let is_cold = self.disk.state.lock().is_cold;
        if !is_cold {
            self.read_at(at, into)?;
        }
        Ok(!is_cold)
    }

    fn is_cached(&self, _at: u64, _len: usize) -> io::Result<bool> {
        Ok(!self.disk.state.lock().is_cold)
    }

    fn load(&self, at: u64, len: usize) -> io::Result<()> {
        self.disk.goes_on.wait_while(&mut self.disk.state.lock(), |state| state.is_stalled);
        self.look(at, len, |_| ())
    }

    fn view(&self, at: u64, len: usize) -> io::Result<Bytes> {
        self.look(at, len, Bytes::copy_from_slice)
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        checked_range(at, len, self.len)?;
        self.store(&mut self.disk.state.lock(), at, vec![0; len as usize].into());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.fail_sync()?;
        if state.neglect != Some(Neglect::FileSync) {
            state.sync(crash::Scope::File(self.file));
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
        disk.sync_folder(Path::new("/s")).unwrap();
        disk.sync_folder(Path::new("/")).unwrap();
        file.write_at(2, b"cdef").unwrap();
        assert_eq!(disk.unsynced_count(), 1);
        let content = |disk: &MemoryDisk| disk.read(path, 100).unwrap();
        assert_eq!(content(&disk.after_crash(|_, _| Fate::Lost)), b"ab\0\0\0\0\0\0");
        assert_eq!(content(&disk.after_crash(|_, _| Fate::Torn(3))), b"abcde\0\0\0");
        assert_eq!(content(&disk.after_crash(|_, _| Fate::TornBefore(3))), b"ab\0\0\0f\0\0");
        assert_eq!(content(&disk.after_crash(|_, _| Fate::Hole(1, 3))), b"abc\0\0f\0\0");
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
    fn a_file_is_durable_with_its_name_and_its_folders_names() {
        let disk = MemoryDisk::default();
        let file = disk.create(Path::new("/s/a/f"), 8, Space::Reserved).unwrap();
        file.sync().unwrap();
        for folder in ["/s/a", "/s", "/"] {
            assert!(disk.after_crash(|_, _| Fate::Lost).files().is_empty());
            disk.sync_folder(Path::new(folder)).unwrap();
        }
        assert_eq!(disk.after_crash(|_, _| Fate::Lost).files().len(), 1);
    }

    #[test]
    fn a_kill_makes_nothing_durable() {
        let disk = MemoryDisk::default();
        disk.create_folder(Path::new("/s")).unwrap();
        disk.create(Path::new("/s/f"), 8, Space::Reserved).unwrap();
        let killed = disk.after_kill();
        assert_eq!(killed.files().len(), 1);
        assert!(killed.after_crash(|_, _| Fate::Lost).files().is_empty());
    }

    /// A run that made another file found the id of one that was made and removed unsynced before, and a crash then brought
    /// back the old name with the new content: queue files as long as a process id.
    #[test]
    fn a_file_that_was_removed_shares_nothing_with_one_that_is_made_after_a_kill() {
        let disk = MemoryDisk::default();
        disk.create_folder(Path::new("/s/t")).unwrap();
        drop(disk.create(Path::new("/s/t/queue"), 400, Space::Sparse).unwrap());
        disk.remove(Path::new("/s/t/queue")).unwrap();
        let killed = disk.after_kill();
        killed.replace(Path::new("/s/abort"), b"1234").unwrap();
        let crashed = killed.after_crash(|_, operation| match operation {
            Operation::Remove { .. } => Fate::Lost,
            _ => Fate::Kept,
        });
        assert_eq!(crashed.files()[Path::new("/s/t/queue")], [0; 400]);
        assert_eq!(crashed.files()[Path::new("/s/abort")], b"1234");
    }

    #[test]
    fn a_replaced_file_has_one_content_or_the_other() {
        let disk = MemoryDisk::default();
        let path = Path::new("/s/f");
        disk.replace(path, b"old").unwrap();
        disk.record(|| 0);
        disk.replace(path, b"new").unwrap();
        let mut found = std::collections::BTreeSet::new();
        disk.recorded().images(&Plan::default(), &mut |image| {
            found.insert(image.disk().read(path, 100).unwrap());
            true
        });
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [b"new", b"old"]);
        assert_eq!(disk.after_crash(|_, _| Fate::Lost).read(path, 100).unwrap(), b"new");
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
