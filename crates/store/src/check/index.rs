//! The index files, read along with the log: their entries stand in its order.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use raptormq_protocol::message::record::RecordView;

use super::{Check, REST_BYTES, first_nonzero, in_file};
use crate::disk::LogFile;
use crate::index::format::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, Layout, index_hash};
use crate::recover::key_hashes;
use crate::staging::is_indexed;

/// Entries that are read at once.
const ENTRIES: usize = 8192;

/// The files, and the entry that comes next.
pub(super) struct IndexCheck {
    files: Vec<OneFile>,
    /// Number of the file that is read.
    current: usize,
    /// Whether an entry was met: what is older than the first one was dropped by the original.
    has_begun: bool,
    /// Records since the last entry that have keys and no entry: how many, and where the first lies.
    missing: Option<(u64, i64)>,
}

/// A file while it is read.
struct OneFile {
    path: PathBuf,
    file: Arc<dyn LogFile>,
    layout: Layout,
    header: Header,
    /// Number of the next entry.
    next: u32,
    buffer: Vec<u8>,
    /// Number of the first entry in the buffer.
    buffered: u32,
    /// Newest entry of each slot; there from the first entry on.
    slots: Vec<u32>,
    first: Option<(i64, i64)>,
    last: Option<(i64, i64)>,
}

impl IndexCheck {
    pub(super) fn open(check: &mut Check<'_>) -> IndexCheck {
        let options = &check.store.options;
        let folder = options.root.join("index");
        let mut files = Vec::new();
        let entries = match check.store.disk.list(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                check.unreadable(&folder, &error);
                Vec::new()
            }
        };
        for entry in entries {
            let is_ours = entry.name.len() == 17 && entry.name.bytes().all(|byte| byte.is_ascii_digit());
            if !is_ours || entry.is_folder || entry.len == 0 || !options.index_enabled {
                continue;
            }
            let path = folder.join(&entry.name);
            let slots = options.index_slots;
            // No version makes or maps a longer one.
            let len = Some(entry.len).filter(|len| *len <= i32::MAX as u64);
            let room = len.and_then(|len| len.checked_sub(Layout { slots, entries: 0 }.file_bytes()));
            let entries = room.filter(|room| room % ENTRY_BYTES as u64 == 0).map(|room| room / ENTRY_BYTES as u64);
            let Some(entries) = entries.and_then(|entries| u32::try_from(entries).ok()) else {
                let reason = format!("{} bytes, which no index file of {slots} slots has", entry.len);
                check.violation(&path, 0, reason);
                continue;
            };
            let opened = check.store.disk.open_to_read(&path);
            match opened.and_then(|file| OneFile::open(path.clone(), file, Layout { slots, entries })) {
                Ok(file) => files.push(file),
                Err(error) => check.unreadable(&path, &error),
            }
        }
        check.summary.index_count = files.len() as u64;
        IndexCheck { files, current: 0, has_begun: false, missing: None }
    }

    /// Compares the entries of a record with its keys.
    pub(super) fn record(&mut self, check: &mut Check<'_>, record: &RecordView<'_>) -> io::Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        while let Some((entry, at)) = self.peek(check)? {
            if entry.log_offset > record.log_offset {
                break;
            }
            self.take(check, &entry, at);
            if entry.log_offset == record.log_offset {
                found.push(entry.key_hash);
                self.check_time(check, &entry, at, record.store_timestamp_ms);
            } else if entry.log_offset >= check.summary.log_min {
                let path = self.files[self.current].path.clone();
                check.violation(&path, at, format!("an entry of log offset {}, where no record is", entry.log_offset));
            }
        }
        let mut keys = if is_indexed(record.sys_flag) { key_hashes(record) } else { Vec::new() };
        keys.iter_mut().for_each(|key| *key = index_hash(*key));
        self.compare(check, record.log_offset, &keys, &found);
        Ok(())
    }

    fn compare(&mut self, check: &mut Check<'_>, log_offset: i64, keys: &[i32], found: &[i32]) {
        if found.is_empty() {
            if self.has_begun && !keys.is_empty() {
                let (count, first) = self.missing.unwrap_or((0, log_offset));
                self.missing = Some((count + 1, first));
            }
            return;
        }
        self.has_begun = true;
        let path = self.files[self.current.min(self.files.len() - 1)].path.clone();
        if let Some((count, first)) = self.missing.take() {
            check.violation(&path, 0, format!("the keys of {count} records from log offset {first} on are missing"));
        }
        // The original puts the keys of the last record in again when it recovers.
        let is_right = !keys.is_empty() && found.chunks(keys.len()).all(|chunk| chunk == keys);
        if !is_right {
            let reason = format!("entries of the record at log offset {log_offset} are not those of its keys");
            check.violation(&path, 0, reason);
        }
    }

    fn check_time(&self, check: &mut Check<'_>, entry: &Entry, at: u64, stored_ms: i64) {
        let file = &self.files[self.current];
        let begin_ms = file.first.map_or(stored_ms, |(begin_ms, _)| begin_ms);
        let seconds = ((stored_ms - begin_ms) / 1000).clamp(0, i32::MAX.into()) as i32;
        if entry.seconds != seconds {
            let path = file.path.clone();
            check.violation(&path, at, format!("{} seconds instead of {seconds}", entry.seconds));
        }
    }

    /// The next entry and where it stands.
    fn peek(&mut self, check: &mut Check<'_>) -> io::Result<Option<(Entry, u64)>> {
        while let Some(file) = self.files.get_mut(self.current) {
            if let Some(entry) = file.peek(check.store.has_abort)? {
                return Ok(Some((entry, file.layout.entry_at(file.next))));
            }
            file.end(check)?;
            self.current += 1;
        }
        Ok(None)
    }

    /// Goes on behind an entry.
    fn take(&mut self, check: &mut Check<'_>, entry: &Entry, at: u64) {
        check.summary.key_count += 1;
        let file = &mut self.files[self.current];
        let number = file.next;
        file.next += 1;
        let reason = if entry.key_hash < 0 {
            "a hash below 0".to_owned()
        } else if file.last.is_some_and(|(_, last)| last > entry.log_offset) {
            "an entry of an older record than the one before".to_owned()
        } else {
            let slot = file.layout.slot_of(entry.key_hash) as usize;
            let slot = &mut file.slots_in_memory()[slot];
            let previous = std::mem::replace(slot, number);
            if previous == entry.previous {
                String::new()
            } else {
                format!("it follows entry {} instead of {previous}", entry.previous)
            }
        };
        // The log says when; here only the order counts.
        let stored_ms = check.store.log.probe(entry.log_offset).unwrap_or(file.header.begin_ms);
        file.first = file.first.or(Some((stored_ms, entry.log_offset)));
        file.last = Some((stored_ms, entry.log_offset));
        if !reason.is_empty() {
            let path = file.path.clone();
            check.violation(&path, at, reason);
        }
    }

    /// What is left when the log has ended.
    pub(super) fn end(&mut self, check: &mut Check<'_>) -> io::Result<()> {
        while let Some((entry, at)) = self.peek(check)? {
            let path = self.files[self.current].path.clone();
            check.lag(&path, at, format!("an entry of log offset {}, behind the end of the log", entry.log_offset));
            self.take(check, &entry, at);
        }
        if let (Some((count, first)), Some(last)) = (self.missing, self.files.last()) {
            let path = last.path.clone();
            check.lag(
                &path,
                0,
                format!("the keys of the last {count} records, from log offset {first} on, are missing"),
            );
        }
        Ok(())
    }
}

impl OneFile {
    fn open(path: PathBuf, file: Arc<dyn LogFile>, layout: Layout) -> io::Result<OneFile> {
        let mut header = [0; HEADER_BYTES];
        file.read_at(0, &mut header)?;
        let header = Header::decode(&header);
        Ok(OneFile {
            path,
            file,
            layout,
            header,
            next: 1,
            buffer: Vec::new(),
            buffered: 1,
            slots: Vec::new(),
            first: None,
            last: None,
        })
    }

    fn slots_in_memory(&mut self) -> &mut [u32] {
        if self.slots.is_empty() {
            self.slots = vec![0; self.layout.slots as usize];
        }
        &mut self.slots
    }

    /// The next entry. After a crash the header may be older than the entries, so they count as long as they are written.
    fn peek(&mut self, after_crash: bool) -> io::Result<Option<Entry>> {
        let end = if after_crash { self.layout.entries } else { self.header.next_entry.min(self.layout.entries) };
        if self.next >= end {
            return Ok(None);
        }
        let mut position = (self.next - self.buffered) as usize * ENTRY_BYTES;
        if position >= self.buffer.len() {
            let count = ((end - self.next) as usize).min(ENTRIES);
            self.buffer.resize(count * ENTRY_BYTES, 0);
            let read = self.file.read_at(self.layout.entry_at(self.next), &mut self.buffer);
            read.map_err(|error| in_file(&self.path.display().to_string(), &error))?;
            self.buffered = self.next;
            position = 0;
        }
        let entry = self.buffer[position..].first_chunk().map(Entry::decode);
        Ok(entry.filter(|entry| !after_crash || entry.key_hash != 0 || entry.log_offset != 0 || entry.previous != 0))
    }

    /// Header, slots and what lies behind the entries, once all of these were read.
    fn end(&mut self, check: &mut Check<'_>) -> io::Result<()> {
        let used = self.slots_in_memory().iter().filter(|number| **number > 0).count() as u32;
        if let (Some((begin_ms, begin_offset)), Some((end_ms, end_offset))) = (self.first, self.last) {
            let next_entry = self.next;
            let expected = Header { begin_ms, end_ms, begin_offset, end_offset, slots_used: used, next_entry };
            let is_deleted = begin_offset < check.summary.log_min;
            let is_right = self.header == expected || is_deleted && self.header.end_offset == end_offset;
            // Versions before 5 count a slot with every entry.
            let old = Header { slots_used: self.next - 1, ..expected };
            if !is_right && self.header != old {
                check.lag(&self.path, 0, "the header does not fit the entries".to_owned());
            }
        } else if self.header.next_entry > 1 {
            check.lag(&self.path, 0, "the header counts entries that are not there".to_owned());
        }
        let path = self.path.clone();
        let mut bytes = vec![0; 4 * 4096];
        for (number, chunk) in self.slots.chunks(4096).enumerate() {
            let bytes = &mut bytes[..chunk.len() * 4];
            self.file.read_at(self.layout.slot_at((number * 4096) as u32), bytes)?;
            let on_disk = bytes.as_chunks().0.iter().map(|slot| u32::from_be_bytes(*slot));
            let differs = on_disk.zip(chunk).position(|(on_disk, slot)| on_disk != *slot);
            if let Some(position) = differs {
                let slot = (number * 4096 + position) as u32;
                check.lag(&path, self.layout.slot_at(slot), format!("slot {slot} does not lead to its newest entry"));
            }
        }
        if let Some(at) = first_nonzero(&*self.file, self.layout.entry_at(0), self.layout.entry_at(1))? {
            check.violation(&path, at, "entry 0 is used".to_owned());
        }
        let behind = self.layout.entry_at(self.next);
        let to = self.file.len().min(behind + REST_BYTES);
        if let Some(at) = first_nonzero(&*self.file, behind, to)? {
            check.lag(&path, at, "something behind the last entry".to_owned());
        }
        self.slots = Vec::new();
        Ok(())
    }
}
