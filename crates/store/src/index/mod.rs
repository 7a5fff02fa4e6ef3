//! The index: finds messages by topic and key.
//!
//! Keys of a turn go into the memory of the file being filled; the background writes entries out in runs, and slots now
//! and then. [`format`] has the bytes, [`file`] one file, [`load`] what happens at opening. Only hashes are compared here:
//! whoever asks compares the keys of what was found.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::disk::{Disk, LogFile};
use crate::options::StoreOptions;

mod clean;
mod file;
pub(crate) mod format;
mod load;

use file::{IndexFile, read_entry};
pub(crate) use file::{Keys, Records};
use format::{Entry, Header, Layout, index_hash};

/// Unwritten entries that make the append write them out itself.
const UNWRITTEN_BYTES_MAX: usize = 256 << 10;
/// Entries that a query looks at. A chain has four entries where keys differ, but one as long as the file when they do
/// not, and each is a read.
const QUERY_ENTRIES_MAX: usize = 200_000;
/// Entries have their time in whole seconds, rounded down.
const TIME_UNIT_MS: i64 = 1000;

/// All index files of a store.
pub(crate) struct Index {
    disk: Arc<dyn Disk>,
    options: Arc<StoreOptions>,
    layout: Layout,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Oldest first. The last one is being filled, unless it is full; those before it are only read.
    files: Vec<IndexFile>,
    /// How many of the first files are full, written and released.
    finished: usize,
    /// How many of the first files are on disk for good.
    synced: usize,
    /// How many files stood before the first one since the store was opened.
    deleted: usize,
    /// What recovery must not put in again.
    resume: Resume,
    /// The last file, once its name was made durable.
    settled: Option<PathBuf>,
}

/// Where the index goes on when records are replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resume {
    /// Log offset of the last record that has an entry; everything before it has all of its.
    pub(crate) log_offset: i64,
    /// How many of that record's keys have an entry.
    pub(crate) keys: usize,
}

/// The index while a turn's keys are put in.
pub(crate) struct IndexWriter<'a> {
    index: &'a Index,
    state: MutexGuard<'a, State>,
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Log offsets of records whose key hash is the one asked for, newest first.
    pub(crate) log_offsets: Vec<i64>,
    /// Store timestamp of the newest entry of the index.
    pub(crate) last_timestamp_ms: i64,
    /// Log offset of the newest entry of the index.
    pub(crate) last_log_offset: i64,
}

/// What is asked for: a hash of `topic#key`, and when the message was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) java_hash: i32,
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) count_max: usize,
}

impl Index {
    /// Takes the lock for a turn.
    pub(crate) fn writer(&self) -> IndexWriter<'_> {
        IndexWriter { index: self, state: self.state.lock() }
    }

    /// Writes what is in memory. `slots` says whether to write the changed slots of the file being filled as well; those
    /// of full files are written anyway, and their memory is given back.
    pub(crate) fn write(&self, slots: bool) -> io::Result<()> {
        let state = &mut *self.state.lock();
        let disk = &*self.disk;
        for file in &mut state.files[state.finished..] {
            let is_new = file.file.is_none();
            file.write_entries(disk)?;
            if file.is_full() {
                file.write_slots()?;
                file.release();
                state.finished += 1;
            } else if slots || is_new {
                file.write_slots()?;
            }
        }
        Ok(())
    }

    /// Writes what is in memory if it is much.
    pub(crate) fn write_if_overdue(&self) -> io::Result<()> {
        let is_overdue = self.writer().is_overdue();
        if is_overdue { self.write(false) } else { Ok(()) }
    }

    /// Syncs files that became full. Returns the store timestamp of the last full file's last entry, if there is one.
    pub(crate) fn sync_full(&self) -> io::Result<Option<i64>> {
        let (due, full_until) = {
            let state = self.state.lock();
            let full = &state.files[..state.finished];
            let due: Vec<_> = full.iter().skip(state.synced).filter_map(|file| file.file.clone()).collect();
            (due, (state.finished, full.last().map(|file| file.header.end_ms)))
        };
        self.sync_files(&due)?;
        self.state.lock().synced = full_until.0;
        Ok(full_until.1)
    }

    /// Has every key in a file whose name is durable, so that a start after a crash sees that there is an index, and from
    /// where it misses keys.
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.write(false)?;
        let (path, file) = {
            let state = self.state.lock();
            let Some(last) = state.files.last().filter(|last| state.settled.as_ref() != Some(&last.path)) else {
                return Ok(());
            };
            (last.path.clone(), last.file.clone())
        };
        self.sync_files(&file.into_iter().collect::<Vec<_>>())?;
        self.state.lock().settled = Some(path);
        Ok(())
    }

    /// Writes and syncs all there is.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.write(true)?;
        let current = self.state.lock().files.last().and_then(|file| file.file.clone());
        self.sync_files(&current.into_iter().collect::<Vec<_>>())
    }

    fn sync_files(&self, files: &[Arc<dyn LogFile>]) -> io::Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        files.iter().try_for_each(|file| file.sync())?;
        self.disk.sync_folder(&self.folder())
    }

    /// Looks for a key in the files whose time overlaps, newest first.
    pub(crate) fn query(&self, wanted: &Wanted) -> io::Result<Found> {
        let mut found = Found::default();
        let key_hash = index_hash(wanted.java_hash);
        let mut budget = QUERY_ENTRIES_MAX;
        let numbers = {
            let state = self.state.lock();
            if let Some(last) = state.files.iter().rev().find(|file| file.header.next_entry > 1) {
                found.last_timestamp_ms = last.header.end_ms;
                found.last_log_offset = last.header.end_offset;
            }
            state.deleted..state.deleted + state.files.len()
        };
        for number in numbers.rev() {
            let Some(chain) = self.chain(number, key_hash)? else { break };
            let header = chain.header;
            if header.next_entry > 1 && header.begin_ms <= wanted.end_ms && header.end_ms >= wanted.begin_ms {
                chain.collect(wanted, key_hash, &mut budget, &mut found.log_offsets)?;
            }
            let is_enough = found.log_offsets.len() >= wanted.count_max || budget == 0;
            if is_enough || (header.next_entry > 1 && header.begin_ms < wanted.begin_ms) {
                break;
            }
        }
        Ok(found)
    }

    /// What a query needs of a file, taken under the lock: the entries in memory that the chain starts with. The others
    /// are read without it. Files are counted from the first that was there when the store was opened.
    fn chain(&self, number: usize, key_hash: i32) -> io::Result<Option<Chain>> {
        let mut state = self.state.lock();
        let Some(number) = number.checked_sub(state.deleted) else { return Ok(None) };
        let finished = number < state.finished;
        let Some(file) = state.files.get_mut(number) else { return Ok(None) };
        let slot = file.layout.slot_of(key_hash);
        let mut next = if finished { read_slot(file, slot)? } else { file.slot(slot)? };
        let mut in_memory = Vec::new();
        while let Some(entry) = file.unwritten_entry(next).filter(|_| next > 0) {
            in_memory.push(entry);
            next = if entry.previous < next { entry.previous } else { 0 };
        }
        Ok(Some(Chain { layout: file.layout, header: file.header, file: file.file.clone(), in_memory, next }))
    }

    fn folder(&self) -> PathBuf {
        self.options.root.join("index")
    }
}

/// The slot of a file whose pages are not kept in memory.
fn read_slot(file: &IndexFile, slot: u32) -> io::Result<u32> {
    let mut bytes = [0; 4];
    match &file.file {
        Some(on_disk) => on_disk.read_at(file.layout.slot_at(slot), &mut bytes)?,
        None => return Ok(0),
    }
    let number = u32::from_be_bytes(bytes);
    Ok(if number < file.header.next_entry { number } else { 0 })
}

/// The entries of a slot, newest first.
struct Chain {
    layout: Layout,
    header: Header,
    file: Option<Arc<dyn LogFile>>,
    in_memory: Vec<Entry>,
    /// Number of the first entry behind those in memory, 0 when there is none.
    next: u32,
}

impl Chain {
    /// Adds the log offsets of the entries that are wanted.
    fn collect(self, wanted: &Wanted, key_hash: i32, budget: &mut usize, into: &mut Vec<i64>) -> io::Result<()> {
        let in_memory = self.in_memory.len().min(*budget);
        for entry in &self.in_memory[..in_memory] {
            if into.len() >= wanted.count_max || !self.look_at(entry, wanted, key_hash, into) {
                return Ok(());
            }
        }
        *budget -= in_memory;
        let Some(file) = &self.file else { return Ok(()) };
        let mut number = self.next;
        while number > 0 && into.len() < wanted.count_max && *budget > 0 {
            let entry = read_entry(&**file, self.layout, number)?;
            if !self.look_at(&entry, wanted, key_hash, into) {
                return Ok(());
            }
            // A chain leads to older entries only; one that does not is damaged.
            number = if entry.previous < number { entry.previous } else { 0 };
            *budget -= 1;
        }
        Ok(())
    }

    /// Takes the entry's log offset if it is wanted; returns whether older ones may be.
    fn look_at(&self, entry: &Entry, wanted: &Wanted, key_hash: i32, into: &mut Vec<i64>) -> bool {
        if entry.seconds < 0 {
            return false;
        }
        let from_ms = self.header.begin_ms + i64::from(entry.seconds) * TIME_UNIT_MS;
        // It was stored somewhere in that second.
        let is_in_time = from_ms <= wanted.end_ms && from_ms + TIME_UNIT_MS > wanted.begin_ms;
        if entry.key_hash == key_hash && is_in_time {
            into.push(entry.log_offset);
        }
        from_ms + TIME_UNIT_MS > wanted.begin_ms
    }
}

impl IndexWriter<'_> {
    /// Puts the keys of a record in, given by Java's hash of `topic#key`. A key that cannot be put in is logged: the
    /// message is in the log and cannot be refused any more.
    pub(crate) fn put(&mut self, java_hashes: &[i32], log_offset: i64, store_timestamp_ms: i64) {
        for java_hash in java_hashes {
            if self.state.files.last().is_none_or(IndexFile::is_full) {
                self.begin_file(store_timestamp_ms);
            }
            let Some(file) = self.state.files.last_mut() else { return };
            if let Err(error) = file.put(index_hash(*java_hash), log_offset, store_timestamp_ms) {
                tracing::error!(path = %file.path.display(), log_offset, %error, "a key could not be indexed");
            }
        }
    }

    /// Puts in what the index does not have yet of a record that recovery found.
    pub(crate) fn replay(&mut self, java_hashes: &[i32], log_offset: i64, store_timestamp_ms: i64) {
        let Resume { log_offset: known, keys } = self.state.resume;
        let missing = match log_offset.cmp(&known) {
            std::cmp::Ordering::Less => &[],
            std::cmp::Ordering::Equal => java_hashes.get(keys..).unwrap_or_default(),
            std::cmp::Ordering::Greater => java_hashes,
        };
        self.put(missing, log_offset, store_timestamp_ms);
        if log_offset >= known {
            self.state.resume = Resume { log_offset, keys: java_hashes.len() };
        }
    }

    /// Whether so many entries are in memory that whoever appends writes them.
    pub(crate) fn is_overdue(&self) -> bool {
        let unfilled = &self.state.files[self.state.finished..];
        unfilled.iter().map(IndexFile::unwritten_bytes).sum::<usize>() >= UNWRITTEN_BYTES_MAX
    }

    /// Begins a file. It is made on disk when its first entries are written.
    fn begin_file(&mut self, now_ms: i64) {
        let last = self.state.files.last().and_then(|file| file.path.file_name()).and_then(|name| name.to_str());
        let name = load::file_name(now_ms, last);
        self.state.files.push(IndexFile::new(self.index.folder().join(name), self.index.layout));
    }
}
