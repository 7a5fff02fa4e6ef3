//! One index file: what is on disk, and of the one being filled what is still in memory.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::format::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, Layout, SLOT_BYTES, index_hash};
use crate::disk::{Disk, LogFile, Space};

/// Slots of a page: what is read and written at once, and touched by a key.
const PAGE_SLOTS: usize = 1024;

/// Slots of the file being filled. A page is there once a key touched it, so an idle store has none.
type Page = Box<[u32; PAGE_SLOTS]>;

/// The file on disk. Entries up to the ones in memory can be read without any lock.
pub(crate) struct IndexFile {
    pub(crate) path: PathBuf,
    pub(crate) layout: Layout,
    /// None until the first entries are written.
    pub(crate) file: Option<Arc<dyn LogFile>>,
    pub(crate) header: Header,
    /// Entries that are not on disk, encoded; the last is number `header.next_entry - 1`.
    unwritten: Vec<u8>,
    pages: Vec<Option<Page>>,
    dirty_pages: Vec<bool>,
    /// Whether nothing was put since header and slots were written.
    is_header_written: bool,
}

impl IndexFile {
    /// A file that is not on disk yet.
    pub(crate) fn new(path: PathBuf, layout: Layout) -> IndexFile {
        let pages = (layout.slots as usize).div_ceil(PAGE_SLOTS);
        IndexFile {
            path,
            layout,
            file: None,
            header: Header::EMPTY,
            unwritten: Vec::new(),
            pages: (0..pages).map(|_| None).collect(),
            dirty_pages: vec![false; pages],
            is_header_written: true,
        }
    }

    /// A file that is on disk; what its header says is taken as it is.
    pub(crate) fn open(path: PathBuf, layout: Layout, file: Arc<dyn LogFile>) -> io::Result<IndexFile> {
        let mut header = [0; HEADER_BYTES];
        file.read_at(0, &mut header)?;
        let mut header = Header::decode(&header);
        header.next_entry = header.next_entry.min(layout.entries);
        Ok(IndexFile { header, file: Some(file), ..IndexFile::new(path, layout) })
    }

    /// Whether there is no room for another entry.
    pub(crate) fn is_full(&self) -> bool {
        self.header.next_entry >= self.layout.entries
    }

    /// Number of the first entry that is not on disk.
    pub(crate) fn first_unwritten(&self) -> u32 {
        self.header.next_entry - (self.unwritten.len() / ENTRY_BYTES) as u32
    }

    /// Bytes of entries that are not on disk.
    pub(crate) fn unwritten_bytes(&self) -> usize {
        self.unwritten.len()
    }

    /// Adds an entry; the file must not be full. The only I/O is reading a page of slots that was not touched since the
    /// file was opened.
    pub(crate) fn put(&mut self, key_hash: i32, log_offset: i64, store_timestamp_ms: i64) -> io::Result<()> {
        assert!(!self.is_full(), "the caller begins a new file");
        let slot = self.layout.slot_of(key_hash);
        let number = self.header.next_entry;
        let previous = self.slot(slot)?;
        let seconds = if number == 1 { 0 } else { (store_timestamp_ms - self.header.begin_ms) / 1000 };
        let seconds = seconds.clamp(0, i32::MAX.into()) as i32;
        self.unwritten.extend_from_slice(&Entry { key_hash, log_offset, seconds, previous }.encode());
        self.set_slot(slot, number);
        if number == 1 {
            self.header.begin_ms = store_timestamp_ms;
            self.header.begin_offset = log_offset;
        }
        self.header.slots_used += u32::from(previous == 0);
        self.is_header_written = false;
        self.header.next_entry += 1;
        self.header.end_ms = store_timestamp_ms;
        self.header.end_offset = log_offset;
        Ok(())
    }

    /// Number of the newest entry of a slot, 0 without. A number that no entry has reads as 0, as in Java.
    pub(crate) fn slot(&mut self, slot: u32) -> io::Result<u32> {
        let next_entry = self.header.next_entry;
        let page = self.page(slot as usize / PAGE_SLOTS)?;
        let number = page[slot as usize % PAGE_SLOTS];
        Ok(if number < next_entry { number } else { 0 })
    }

    fn set_slot(&mut self, slot: u32, number: u32) {
        let page = slot as usize / PAGE_SLOTS;
        if let Some(slots) = &mut self.pages[page] {
            slots[slot as usize % PAGE_SLOTS] = number;
            self.dirty_pages[page] = true;
        }
    }

    /// The page, read from disk when nobody touched it yet.
    fn page(&mut self, number: usize) -> io::Result<&mut Page> {
        if self.pages[number].is_none() {
            let mut page = Box::new([0; PAGE_SLOTS]);
            if let Some(file) = &self.file {
                let count = (self.layout.slots as usize - number * PAGE_SLOTS).min(PAGE_SLOTS);
                let mut bytes = [0; PAGE_SLOTS * SLOT_BYTES as usize];
                let bytes = &mut bytes[..count * SLOT_BYTES as usize];
                file.read_at(self.layout.slot_at((number * PAGE_SLOTS) as u32), bytes)?;
                for (slot, chunk) in page.iter_mut().zip(bytes.as_chunks().0) {
                    *slot = u32::from_be_bytes(*chunk);
                }
            }
            self.pages[number] = Some(page);
        }
        Ok(self.pages[number].as_mut().expect("the page was just set"))
    }

    /// An entry that is still in memory.
    pub(crate) fn unwritten_entry(&self, number: u32) -> Option<Entry> {
        let position = number.checked_sub(self.first_unwritten())? as usize;
        self.unwritten.as_chunks().0.get(position).map(Entry::decode)
    }

    /// An entry of the file, wherever it is.
    pub(crate) fn read_entry(&self, number: u32) -> io::Result<Entry> {
        if let Some(entry) = self.unwritten_entry(number) {
            return Ok(entry);
        }
        match &self.file {
            Some(file) => read_entry(&**file, self.layout, number),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Writes the entries that are in memory. Makes the file when this is the first time.
    pub(crate) fn write_entries(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let first = self.first_unwritten();
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = disk.create(&self.path, self.layout.file_bytes(), Space::Sparse)?;
                // An index that is there, however little of it, tells recovery where to go on. Without one it would not
                // go further back than the queues need.
                file.sync()?;
                for folder in self.path.ancestors().skip(1).take(2) {
                    disk.sync_folder(folder)?;
                }
                self.file.insert(file)
            }
        };
        file.write_at(self.layout.entry_at(first), &self.unwritten)?;
        self.unwritten.clear();
        Ok(())
    }

    /// Writes the slots that changed since the last time, and the header, which counts the entries that they lead to. Both
    /// follow from the entries, so being late costs nothing. The entries must be written.
    pub(crate) fn write_slots(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        assert!(self.unwritten.is_empty(), "slots lead to entries that are written");
        if self.is_header_written {
            return Ok(());
        }
        for (number, (page, dirty)) in self.pages.iter().zip(&mut self.dirty_pages).enumerate() {
            let Some(page) = page.as_ref().filter(|_| *dirty) else { continue };
            let first = number * PAGE_SLOTS;
            let count = (self.layout.slots as usize - first).min(PAGE_SLOTS);
            let mut bytes = [0; PAGE_SLOTS * SLOT_BYTES as usize];
            for (chunk, slot) in bytes.as_chunks_mut().0.iter_mut().zip(page.iter()) {
                *chunk = slot.to_be_bytes();
            }
            file.write_at(self.layout.slot_at(first as u32), &bytes[..count * SLOT_BYTES as usize])?;
            *dirty = false;
        }
        file.write_at(0, &self.header.encode())?;
        self.is_header_written = true;
        Ok(())
    }

    /// Gives back the memory of a file that is full and written.
    pub(crate) fn release(&mut self) {
        assert!(self.unwritten.is_empty(), "what is not written would be lost");
        self.unwritten = Vec::new();
        self.pages.iter_mut().for_each(|page| *page = None);
    }

    /// Reads the entries again and keeps those that hang together: each lies at or behind the one before it in the log,
    /// before `log_end`, and follows the one that its slot had then. The last one must be of a key that its record has,
    /// because it may be torn. The slots are computed anew, and what is behind is wiped.
    pub(super) fn verify(&mut self, log_end: i64, log: &dyn Records) -> io::Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let mut slots = vec![0_u32; self.layout.slots as usize];
        let mut next = self.count_linked(&*file, log_end, log, &mut slots)?;
        let last = loop {
            if next == 1 {
                break None;
            }
            let entry = read_entry(&*file, self.layout, next - 1)?;
            match log.keys_at(entry.log_offset) {
                Keys::Known { java_hashes, .. }
                    if !java_hashes.iter().any(|java_hash| index_hash(*java_hash) == entry.key_hash) => {}
                Keys::Nothing => {}
                keys => break Some((entry, keys)),
            }
            next -= 1;
            slots[self.layout.slot_of(entry.key_hash) as usize] = entry.previous;
        };
        let header = match last {
            None => Header::EMPTY,
            Some((last, keys)) => {
                let first = read_entry(&*file, self.layout, 1)?;
                Header {
                    // The header may be older than the entries; what the log cannot tell any more is taken from it.
                    begin_ms: log.keys_at(first.log_offset).timestamp_ms().unwrap_or(self.header.begin_ms),
                    end_ms: keys.timestamp_ms().unwrap_or(self.header.end_ms),
                    begin_offset: first.log_offset,
                    end_offset: last.log_offset,
                    slots_used: slots.iter().filter(|number| **number > 0).count() as u32,
                    next_entry: next,
                }
            }
        };
        self.adopt(header, &slots)?;
        let at = self.layout.entry_at(next);
        file.zero(at, self.layout.file_bytes() - at)
    }

    /// Number of the first entry that does not hang together with those before it. `slots` become those of the entries
    /// before.
    fn count_linked(&self, file: &dyn LogFile, log_end: i64, log: &dyn Records, slots: &mut [u32]) -> io::Result<u32> {
        const UNWRITTEN: Entry = Entry { key_hash: 0, log_offset: 0, seconds: 0, previous: 0 };
        let mut next = 1;
        let mut log_offset = 0;
        while next < self.layout.entries {
            let count = ((self.layout.entries - next) as usize).min(VERIFY_ENTRIES);
            let mut bytes = vec![0; count * ENTRY_BYTES];
            file.read_at(self.layout.entry_at(next), &mut bytes)?;
            for entry in bytes.as_chunks().0.iter().map(Entry::decode) {
                let in_order = (log_offset..log_end).contains(&entry.log_offset);
                if entry == UNWRITTEN || !in_order || entry.key_hash < 0 || entry.seconds < 0 {
                    return Ok(next);
                }
                let slot = &mut slots[self.layout.slot_of(entry.key_hash) as usize];
                if entry.previous != *slot {
                    return Ok(next);
                }
                if may_miss_a_part(&entry, self.layout.entry_at(next)) && !self.is_of_its_record(file, &entry, log)? {
                    return Ok(next);
                }
                *slot = next;
                log_offset = entry.log_offset;
                next += 1;
            }
        }
        Ok(next)
    }

    /// Whether the log says the same as an entry. It cannot say anything of what was deleted.
    fn is_of_its_record(&self, file: &dyn LogFile, entry: &Entry, log: &dyn Records) -> io::Result<bool> {
        let begin_offset = read_entry(file, self.layout, 1)?.log_offset;
        let begin_ms = log.keys_at(begin_offset).timestamp_ms().unwrap_or(self.header.begin_ms);
        Ok(match log.keys_at(entry.log_offset) {
            Keys::Known { store_timestamp_ms, java_hashes } => {
                let seconds = ((store_timestamp_ms - begin_ms) / 1000).clamp(0, i32::MAX.into());
                seconds == i64::from(entry.seconds)
                    && java_hashes.iter().any(|java_hash| index_hash(*java_hash) == entry.key_hash)
            }
            Keys::Deleted => true,
            Keys::Nothing => false,
        })
    }

    /// Makes a header and slots that were computed the file's.
    fn adopt(&mut self, header: Header, slots: &[u32]) -> io::Result<()> {
        self.header = header;
        self.is_header_written = false;
        self.unwritten.clear();
        let used = header.next_entry > 1;
        for (number, chunk) in slots.chunks(PAGE_SLOTS).enumerate() {
            let mut page = Box::new([0; PAGE_SLOTS]);
            if used {
                page[..chunk.len()].copy_from_slice(chunk);
            }
            self.pages[number] = Some(page);
            self.dirty_pages[number] = true;
        }
        self.write_slots()
    }
}

/// Whether a part of an entry at `at` may never have reached the disk, so that it reads as zeros: it lies in two sectors,
/// and one of its parts is zero. That the slot's number alone is missing would show in the chain.
fn may_miss_a_part(entry: &Entry, at: u64) -> bool {
    let split = (SECTOR_BYTES - at % SECTOR_BYTES) as usize;
    let encoded = entry.encode();
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    split < ENTRY_BYTES
        && (is_zero(&encoded[..split]) || split < ENTRY_BYTES - SLOT_BYTES as usize && is_zero(&encoded[split..]))
}

/// Bytes that a disk writes at once, whatever happens.
const SECTOR_BYTES: u64 = 512;

/// An entry that is on disk.
pub(super) fn read_entry(file: &dyn LogFile, layout: Layout, number: u32) -> io::Result<Entry> {
    let mut bytes = [0; ENTRY_BYTES];
    file.read_at(layout.entry_at(number), &mut bytes)?;
    Ok(Entry::decode(&bytes))
}

/// What the log says about a log offset that the index names.
pub(crate) trait Records {
    /// The keys of the record there.
    fn keys_at(&self, log_offset: i64) -> Keys;
}

/// See [`Records`].
pub(crate) enum Keys {
    /// A good record.
    Known {
        /// When it was stored, in milliseconds.
        store_timestamp_ms: i64,
        /// Java's hashes of `topic#key` for each of its keys.
        java_hashes: Vec<i32>,
    },
    /// That part of the log was deleted.
    Deleted,
    /// No record lies there.
    Nothing,
}

impl Keys {
    fn timestamp_ms(&self) -> Option<i64> {
        match self {
            Keys::Known { store_timestamp_ms, .. } => Some(*store_timestamp_ms),
            Keys::Deleted | Keys::Nothing => None,
        }
    }
}

/// Entries that are read at once when a file is verified.
const VERIFY_ENTRIES: usize = 8192;
