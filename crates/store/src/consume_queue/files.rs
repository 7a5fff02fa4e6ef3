//! The files of all consume queues: `consumequeue/<topic>/<queue id>/<start in bytes, 20 digits>`, and the same under
//! `batchconsumequeue` for batch queues. Units are named by their position.
//!
//! A queue keeps no descriptor and no mapping. A small cache holds the files that were used last, so that 50,000 queues
//! cost no more descriptors than one.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::unit::Unit;
use super::{Queue, QueueType};
use crate::disk::{Disk, LogFile, Space};
use crate::get::Patience;
use crate::options::StoreOptions;
use crate::unfit::file_start;

/// Open files that are kept, where the process may have many.
const OPEN_FILES_MAX: u64 = 256;
/// Open files that are kept in any case.
const OPEN_FILES_MIN: u64 = 16;
/// Names that are tried before the folder is listed.
const TRIED_MAX: i64 = 64;
/// Written files that are synced one by one; beyond, one sync of the file system is cheaper.
const SYNC_SINGLY_MAX: usize = 16;

/// The files of all queues.
pub(crate) struct QueueFiles {
    disk: Arc<dyn Disk>,
    simple: Place,
    batch: Place,
    /// Extensions of simple queues. Their files have the queue's serial number with [`EXT`].
    ext: Place,
    /// Whether a file of a batch queue was written.
    has_batch_files: AtomicBool,
    open: Mutex<OpenFiles>,
    unsynced: Mutex<Unsynced>,
}

/// Where the queues of one type are.
struct Place {
    folder: PathBuf,
    /// Bytes of a file, whole units.
    file_bytes: i64,
}

/// An eighth of the descriptors that the process may have: the others are for connections.
fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    (limit / 8).clamp(OPEN_FILES_MIN, OPEN_FILES_MAX) as usize
}

/// Tells the files of a queue's extension from those of its units.
const EXT: u64 = 1 << 63;

/// A queue's serial number and the start of the file in bytes.
type FileKey = (u64, i64);

/// At most `max` files, each with the tick of its last use.
struct OpenFiles {
    max: usize,
    files: HashMap<FileKey, (Arc<dyn LogFile>, u64)>,
    tick: u64,
}

/// What was written since the last sync.
#[derive(Default)]
struct Unsynced {
    /// At most [`SYNC_SINGLY_MAX`] files; when there are more, or one is new, `everything` is set instead.
    files: HashMap<FileKey, Arc<dyn LogFile>>,
    everything: bool,
    bytes: u64,
}

impl QueueFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: &StoreOptions) -> QueueFiles {
        let place = |queue_type: QueueType, file_bytes: u64| {
            assert!(file_bytes.is_multiple_of(queue_type.unit_bytes() as u64), "a unit never spans two files");
            Place { folder: options.queues_folder(queue_type), file_bytes: file_bytes as i64 }
        };
        QueueFiles {
            disk,
            simple: place(QueueType::Simple, options.queue_file_bytes),
            batch: place(QueueType::Batch, options.batch_queue_file_bytes),
            ext: Place { folder: options.root.join("consumequeue_ext"), file_bytes: options.ext_file_bytes as i64 },
            has_batch_files: AtomicBool::new(false),
            open: Mutex::new(OpenFiles { max: open_files_max(), files: HashMap::new(), tick: 0 }),
            unsynced: Mutex::default(),
        }
    }

    fn place(&self, queue_type: QueueType) -> &Place {
        match queue_type {
            QueueType::Simple => &self.simple,
            QueueType::Batch => &self.batch,
        }
    }

    /// Folder of all queues of a type.
    pub(crate) fn folder(&self, queue_type: QueueType) -> &Path {
        &self.place(queue_type).folder
    }

    /// Units of a file.
    pub(crate) fn units_per_file(&self, queue_type: QueueType) -> i64 {
        self.place(queue_type).file_bytes / queue_type.unit_bytes() as i64
    }

    /// Bytes of a file.
    pub(crate) fn file_bytes(&self, queue_type: QueueType) -> i64 {
        self.place(queue_type).file_bytes
    }

    /// Folder of a queue.
    pub(crate) fn queue_folder(&self, queue: &Queue) -> PathBuf {
        self.folder(queue.queue_type).join(&*queue.topic).join(queue.queue_id.to_string())
    }

    fn path(&self, queue: &Queue, file_start: i64) -> PathBuf {
        self.queue_folder(queue).join(format!("{file_start:020}"))
    }

    /// Start of the file that holds the unit, in bytes.
    fn file_start(&self, queue: &Queue, position: i64) -> i64 {
        position / self.units_per_file(queue.queue_type) * self.file_bytes(queue.queue_type)
    }

    /// Where the unit lies in its file, and how many units follow it there (itself included).
    fn within_file(&self, queue: &Queue, position: i64) -> (u64, usize) {
        let units = self.units_per_file(queue.queue_type);
        let within = position % units;
        (within as u64 * queue.queue_type.unit_bytes() as u64, (units - within) as usize)
    }

    /// The file of a unit, and the position in it: for messages.
    pub(crate) fn place_of(&self, queue: &Queue, position: i64) -> (PathBuf, u64) {
        (self.path(queue, self.file_start(queue, position)), self.within_file(queue, position).0)
    }

    /// Position of the first unit that has a file; `None` when there is no file.
    pub(crate) fn first_position(&self, queue: &Queue) -> io::Result<Option<i64>> {
        let entries = self.disk.list(&self.queue_folder(queue))?;
        let first = entries.iter().filter_map(|entry| file_start(&entry.name)).min();
        Ok(first.map(|start| start / queue.queue_type.unit_bytes() as i64))
    }

    /// Reads units into `into`, as many as it has room for and the file has; returns the number of units. `WouldBlock`
    /// when the disk would have to be waited for and the patience is for memory only.
    pub(crate) fn read(&self, queue: &Queue, position: i64, into: &mut [u8], patience: Patience) -> io::Result<usize> {
        let unit_bytes = queue.queue_type.unit_bytes();
        let (at, units_left) = self.within_file(queue, position);
        let count = units_left.min(into.len() / unit_bytes);
        let file = self.open(queue, self.file_start(queue, position))?;
        let into = &mut into[..count * unit_bytes];
        match patience {
            Patience::Disk => file.read_at(at, into)?,
            Patience::Memory if file.read_cached_at(at, into)? => {}
            Patience::Memory => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(count)
    }

    /// Whether there is the file of a unit that was written.
    pub(crate) fn has_file(&self, queue: &Queue, position: i64) -> io::Result<bool> {
        match self.open(queue, self.file_start(queue, position)) {
            Ok(file) => Ok(!file.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a run of units, in one write for each file it touches.
    pub(crate) fn write(&self, queue: &Queue, mut position: i64, mut units: &[u8]) -> io::Result<()> {
        let unit_bytes = queue.queue_type.unit_bytes();
        while !units.is_empty() {
            let (at, units_left) = self.within_file(queue, position);
            let (run, rest) = units.split_at(units.len().min(units_left * unit_bytes));
            let file = self.open_or_create(queue, position)?;
            file.write_at(at, run)?;
            self.note_written(queue, self.file_start(queue, position), file, run.len());
            position += (run.len() / unit_bytes) as i64;
            units = rest;
        }
        Ok(())
    }

    /// Makes the units from `from` up to `end` read as never written; files behind the one of `from` are removed.
    pub(crate) fn cut(&self, queue: &Queue, from: i64, end: i64) -> io::Result<()> {
        let (unit_bytes, file_bytes) = (queue.queue_type.unit_bytes(), self.file_bytes(queue.queue_type));
        let (at, _) = self.within_file(queue, from);
        let mut file_start = self.file_start(queue, from);
        if at > 0 {
            let in_file = ((end - from) as u64 * unit_bytes as u64).min(file_bytes as u64 - at);
            let file = self.open(queue, file_start)?;
            file.zero(at, in_file)?;
            self.note_written(queue, file_start, file, in_file as usize);
            file_start += file_bytes;
        }
        while file_start < end * unit_bytes as i64 {
            self.delete(queue, file_start / file_bytes)?;
            file_start += file_bytes;
        }
        Ok(())
    }

    /// The numbers of a queue's files in that range, or all of it when it is short. A damaged offset makes one that is longer
    /// than any life.
    pub(crate) fn numbers(&self, queue: &Queue, range: Range<i64>) -> io::Result<Vec<i64>> {
        self.numbers_in(&self.queue_folder(queue), self.file_bytes(queue.queue_type), range)
    }

    /// The same of its extension's files.
    pub(crate) fn ext_numbers(&self, queue: &Queue, range: Range<i64>) -> io::Result<Vec<i64>> {
        self.numbers_in(&self.ext_folder(queue), self.ext.file_bytes, range)
    }

    fn numbers_in(&self, folder: &Path, file_bytes: i64, range: Range<i64>) -> io::Result<Vec<i64>> {
        if range.end.saturating_sub(range.start) <= TRIED_MAX {
            return Ok(range.collect());
        }
        let entries = self.disk.list(folder)?;
        let numbers = entries.iter().filter_map(|entry| file_start(&entry.name)).map(|start| start / file_bytes);
        Ok(numbers.filter(|number| range.contains(number)).collect())
    }

    /// Removes the file of that number, counted from the queue's position 0. Returns whether it was there.
    pub(crate) fn delete(&self, queue: &Queue, number: i64) -> io::Result<bool> {
        let file_start = number * self.file_bytes(queue.queue_type);
        self.open.lock().files.remove(&(queue.serial, file_start));
        self.unsynced.lock().files.remove(&(queue.serial, file_start));
        match self.disk.remove(&self.path(queue, file_start)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes of a file of extensions.
    pub(crate) fn ext_file_bytes(&self) -> i64 {
        self.ext.file_bytes
    }

    fn ext_folder(&self, queue: &Queue) -> PathBuf {
        self.ext.folder.join(&*queue.topic).join(queue.queue_id.to_string())
    }

    fn ext_path(&self, queue: &Queue, file_start: i64) -> PathBuf {
        self.ext_folder(queue).join(format!("{file_start:020}"))
    }

    /// Fills `into` from a queue's extension; all of it lies in one file. `WouldBlock` as in [`QueueFiles::read`].
    pub(crate) fn read_ext(&self, queue: &Queue, at: i64, into: &mut [u8], patience: Patience) -> io::Result<()> {
        let within = at.rem_euclid(self.ext.file_bytes);
        let file_start = at - within;
        let file = self.open_at((queue.serial | EXT, file_start), || self.ext_path(queue, file_start))?;
        match patience {
            Patience::Disk => file.read_at(within as u64, into),
            Patience::Memory if file.read_cached_at(within as u64, into)? => Ok(()),
            Patience::Memory => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes a run of bytes of a queue's extension.
    pub(crate) fn write_ext(&self, queue: &Queue, mut at: i64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let within = at % self.ext.file_bytes;
            let file_start = at - within;
            let (run, rest) = bytes.split_at(bytes.len().min((self.ext.file_bytes - within) as usize));
            let key = (queue.serial | EXT, file_start);
            let file = match self.open_at(key, || self.ext_path(queue, file_start)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let path = self.ext_path(queue, file_start);
                    let file = self.disk.create(&path, self.ext.file_bytes as u64, Space::Sparse)?;
                    self.keep_new(key, &file);
                    file
                }
                result => result?,
            };
            file.write_at(within as u64, run)?;
            self.note_written_at(key, file, run.len());
            at += run.len() as i64;
            bytes = rest;
        }
        Ok(())
    }

    /// Removes the file of that number of a queue's extension.
    pub(crate) fn delete_ext(&self, queue: &Queue, number: i64) -> io::Result<()> {
        let file_start = number * self.ext.file_bytes;
        let key = (queue.serial | EXT, file_start);
        self.open.lock().files.remove(&key);
        self.unsynced.lock().files.remove(&key);
        match self.disk.remove(&self.ext_path(queue, file_start)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes everything of a queue. Its handles are let go.
    pub(crate) fn remove(&self, queue: &Queue) -> io::Result<()> {
        self.open.lock().files.retain(|(serial, _), _| *serial & !EXT != queue.serial);
        self.unsynced.lock().files.retain(|(serial, _), _| *serial & !EXT != queue.serial);
        self.disk.remove_folder(&self.queue_folder(queue))
    }

    /// Removes the folder of a topic whose queues were removed.
    pub(crate) fn remove_topic(&self, topic: &str) -> io::Result<()> {
        if !super::table::is_folder_name(topic) {
            return Ok(());
        }
        self.disk.remove_folder(&self.simple.folder.join(topic))?;
        self.disk.remove_folder(&self.ext.folder.join(topic))?;
        self.disk.remove_folder(&self.batch.folder.join(topic))
    }

    /// Notes that files may have what was never synced: a process before this one wrote it and died.
    pub(crate) fn assume_unsynced(&self) {
        self.unsynced.lock().everything = true;
    }

    /// Bytes that were written since the last sync.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.unsynced.lock().bytes
    }

    /// Makes everything durable that was written before the call. After an error it is all tried again at the next.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let unsynced = std::mem::take(&mut *self.unsynced.lock());
        let synced = if unsynced.everything {
            self.sync_places()
        } else {
            unsynced.files.values().try_for_each(|file| file.sync())
        };
        if synced.is_err() {
            let mut now = self.unsynced.lock();
            now.everything = true;
            now.bytes += unsynced.bytes;
        }
        synced
    }

    /// Makes durable whatever was written to any queue.
    fn sync_places(&self) -> io::Result<()> {
        // There may be batch queues only.
        match self.disk.sync_all(&self.simple.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced?,
        }
        match self.has_batch_files.load(Ordering::Acquire) {
            true => self.disk.sync_all(&self.batch.folder),
            false => Ok(()),
        }
    }

    fn note_written(&self, queue: &Queue, file_start: i64, file: Arc<dyn LogFile>, bytes: usize) {
        if queue.queue_type == QueueType::Batch {
            self.has_batch_files.store(true, Ordering::Release);
        }
        self.note_written_at((queue.serial, file_start), file, bytes);
    }

    fn note_written_at(&self, key: FileKey, file: Arc<dyn LogFile>, bytes: usize) {
        let mut unsynced = self.unsynced.lock();
        unsynced.bytes += bytes as u64;
        if unsynced.everything {
            return;
        }
        unsynced.files.insert(key, file);
        if unsynced.files.len() > SYNC_SINGLY_MAX {
            unsynced.everything = true;
            unsynced.files.clear();
        }
    }

    fn open(&self, queue: &Queue, file_start: i64) -> io::Result<Arc<dyn LogFile>> {
        self.open_at((queue.serial, file_start), || self.path(queue, file_start))
    }

    fn open_at(&self, key: FileKey, path: impl FnOnce() -> PathBuf) -> io::Result<Arc<dyn LogFile>> {
        if let Some(file) = self.open.lock().get(key) {
            return Ok(file);
        }
        let file = self.disk.open(&path())?;
        self.open.lock().keep(key, file.clone());
        Ok(file)
    }

    fn keep_new(&self, key: FileKey, file: &Arc<dyn LogFile>) {
        // A new file is durable only together with its folders.
        let mut unsynced = self.unsynced.lock();
        unsynced.everything = true;
        unsynced.files.clear();
        drop(unsynced);
        self.open.lock().keep(key, file.clone());
    }

    /// The file of a unit that is to be written. A new file whose first unit is not this one is filled with blanks up to
    /// it, as the original does.
    fn open_or_create(&self, queue: &Queue, position: i64) -> io::Result<Arc<dyn LogFile>> {
        let file_start = self.file_start(queue, position);
        match self.open(queue, file_start) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Its making was cut short by a loss of power.
            Ok(file) if file.is_empty() => drop(self.delete(queue, file_start / self.file_bytes(queue.queue_type))?),
            result => return result,
        }
        let file_bytes = self.file_bytes(queue.queue_type) as u64;
        let file = self.disk.create(&self.path(queue, file_start), file_bytes, Space::Sparse)?;
        let (at, _) = self.within_file(queue, position);
        // Positions of a batch queue are nobody's offsets, so it begins at one that begins a file.
        debug_assert!(at == 0 || queue.queue_type == QueueType::Simple, "a batch queue has no blanks");
        if at > 0 {
            file.write_at(0, &Unit::BLANK.encode().repeat(at as usize / queue.queue_type.unit_bytes()))?;
        }
        self.keep_new((queue.serial, file_start), &file);
        Ok(file)
    }
}

impl OpenFiles {
    fn get(&mut self, key: FileKey) -> Option<Arc<dyn LogFile>> {
        self.tick += 1;
        let (file, used) = self.files.get_mut(&key)?;
        *used = self.tick;
        Some(file.clone())
    }

    fn keep(&mut self, key: FileKey, file: Arc<dyn LogFile>) {
        self.tick += 1;
        if self.files.len() >= self.max {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.files.remove(&oldest);
            }
        }
        self.files.insert(key, (file, self.tick));
    }
}
