//! The file `raptormq.queues`: where every simple queue begins and ends, so that a start need not open a file for each. It is
//! ours; the original does not look at it, and the store opens without it.
//!
//! ```text
//!  0 "RaptorQT" │ 8 version (4) │ 12 CRC-32 of everything from 40 on (4)
//! 16 stamps: root folder (8), queues folder (8), the file `lock` (8)
//! 40 log: first offset (8), last record (8), end (8) │ 64 bytes of a queue file (8) │ 72 queues (8)
//! 80 for each queue: length of its topic (2), topic, queue id (4), first offset (8), end (8), last unit (20)
//! ```
//!
//! A length of 0 stands for the topic of the queue before.
//!
//! It is written at a clean stop, with what the queues are then, and while the store runs, as a *picture* that need not be
//! of one moment: every record before the log's end in it has its unit in the files and on disk, and so has what the
//! queues' ends say. A queue may have more than that; the log tells it again.
//!
//! The stamps are when something last changed. Whoever runs a broker on the store writes `lock` when it starts, makes and
//! removes `abort` in the root, and whoever adds or removes topics changes the queues' folder. After a clean stop the first
//! two must be what they were; they are written when nothing else is changed any more. The third must be in any case, and
//! after a crash every topic have its folder.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::table::QueueTable;
use super::unit::{UNIT_BYTES, Unit};
use super::{Queue, QueueType, WrittenTail};
use crate::commit_log::CommitLog;
use crate::disk::Disk;
use crate::options::StoreOptions;

const MAGIC: &[u8; 8] = b"RaptorQT";
const VERSION: u32 = 2;
/// Where the checked part begins.
const BODY_AT: usize = 40;
const STAMPS_AT: u64 = 16;
const LOCK_STAMP_AT: u64 = 32;
/// Longest file that is read: some ten million queues.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The end of the log when the file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnds {
    /// Start of the first file.
    pub(crate) min: i64,
    /// Where the last record begins; the same as `end` in a picture, and when there is none.
    pub(crate) last_record: i64,
    /// Offset behind it; in a picture where a record begins up to which the queues have everything.
    pub(crate) end: i64,
}

impl LogEnds {
    /// Of a picture.
    pub(crate) fn at(min: i64, record: i64) -> LogEnds {
        LogEnds { min, last_record: record, end: record }
    }
}

/// How the store was left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// By a crash, and not in order.
    pub(crate) has_crashed: bool,
    /// When `lock` was last changed, before this process took it.
    pub(crate) lock: Option<u64>,
}

/// A queue as the file has it.
struct QueueTail<'a> {
    topic: &'a str,
    queue_id: i32,
    min: i64,
    max: i64,
    last: Unit,
}

/// The file of a store.
pub(crate) struct TailsFile {
    disk: Arc<dyn Disk>,
    options: Arc<StoreOptions>,
    state: Mutex<State>,
}

/// What is known of the file.
#[derive(Default)]
struct State {
    /// First offset of the log that it says, if it would be believed after a crash now.
    valid_min: Option<i64>,
    /// How often something was done that no log tells: a picture that was begun before is not written.
    generation: u64,
}

/// When a store's file `lock` was last changed. To be asked for before the store is locked.
pub(crate) fn lock_stamp(disk: &dyn Disk, root: &Path) -> io::Result<Option<u64>> {
    disk.changed_at(&root.join("lock"))
}

impl TailsFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: Arc<StoreOptions>) -> TailsFile {
        TailsFile { disk, options, state: Mutex::default() }
    }

    fn path(&self) -> PathBuf {
        self.options.root.join("raptormq.queues")
    }

    fn queues_folder(&self) -> PathBuf {
        self.options.queues_folder(QueueType::Simple)
    }

    /// When root and queues were last changed; `None` when the disk cannot tell.
    fn stamps(&self) -> io::Result<Option<[u8; 16]>> {
        let root = self.disk.changed_at(&self.options.root)?;
        // Whoever makes the folder changes the root.
        let queues = self.disk.changed_at(&self.queues_folder())?.unwrap_or(0);
        let joined = |root: u64| {
            let mut stamps = [0; 16];
            stamps[..8].copy_from_slice(&root.to_be_bytes());
            stamps[8..].copy_from_slice(&queues.to_be_bytes());
            stamps
        };
        Ok(root.map(joined))
    }

    /// Whether the file would be believed after a crash now, of a log that begins there.
    pub(crate) fn is_valid(&self, log_min: i64) -> bool {
        self.state.lock().valid_min == Some(log_min)
    }

    /// To be asked for before the queues are looked at for [`TailsFile::write`].
    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// Writes the file, unless something was [forgotten](TailsFile::forget) since that generation; returns its length.
    /// After a crash it is believed from now on, after a clean stop not before [`TailsFile::stamp`].
    pub(crate) fn write(&self, log: LogEnds, queues: &[(WrittenTail, Arc<Queue>)], seen: u64) -> io::Result<usize> {
        let bytes = self.encode(log, queues)?;
        let mut state = self.state.lock();
        if state.generation == seen {
            self.disk.replace(&self.path(), &bytes)?;
            state.valid_min = Some(log.min);
        }
        Ok(bytes.len())
    }

    fn encode(&self, log: LogEnds, queues: &[(WrittenTail, Arc<Queue>)]) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; BODY_AT];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        let lock = lock_stamp(&*self.disk, &self.options.root)?.unwrap_or(0);
        bytes[LOCK_STAMP_AT as usize..BODY_AT].copy_from_slice(&lock.to_be_bytes());
        for field in [log.min, log.last_record, log.end, self.options.queue_file_bytes as i64, queues.len() as i64] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        let mut topic: &str = "";
        for (tail, queue) in queues {
            let name = if *queue.topic == *topic { "" } else { &queue.topic };
            topic = &queue.topic;
            // A topic is a folder's name: at most 255 bytes.
            bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&queue.queue_id.to_be_bytes());
            bytes.extend_from_slice(&tail.min.to_be_bytes());
            bytes.extend_from_slice(&tail.max.to_be_bytes());
            bytes.extend_from_slice(&tail.last.unwrap_or(Unit::BLANK).encode());
        }
        let crc = crc32fast::hash(&bytes[BODY_AT..]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
        Ok(bytes)
    }

    /// Makes the file count after a clean stop. The last thing that is done to the store.
    pub(crate) fn stamp(&self) -> io::Result<()> {
        if let Some(stamps) = self.stamps()? {
            let file = self.disk.open(&self.path())?;
            file.write_at(STAMPS_AT, &stamps)?;
            file.sync()?;
        }
        Ok(())
    }

    /// Makes the file count for nothing, because something changes that the log does not tell: queues are deleted. To be
    /// called when they are not in the table any more, and before their files go.
    pub(crate) fn forget(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.generation += 1;
        if state.valid_min.take().is_none() {
            return Ok(());
        }
        self.write_void()
    }

    /// The same for a file that was not believed.
    pub(crate) fn void(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.valid_min = None;
        self.write_void()
    }

    fn write_void(&self) -> io::Result<()> {
        let file = match self.disk.open(&self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        if file.len() < BODY_AT as u64 {
            return Ok(());
        }
        file.write_at(LOCK_STAMP_AT, &0_u64.to_be_bytes())?;
        file.sync()
    }

    /// Fills the table from the file, if it can be believed and the log is what it was then; returns where the log ended.
    /// Changes nothing on disk.
    pub(crate) fn load(&self, log: &CommitLog, table: &QueueTable, left: Left) -> Option<LogEnds> {
        // Whatever is wrong with it, the queues' own files tell the same.
        let bytes = self.disk.read(&self.path(), FILE_BYTES_MAX).ok()?;
        let (head, body) = bytes.split_at_checked(BODY_AT)?;
        let lock_at = LOCK_STAMP_AT as usize;
        let is_stamped = head[lock_at..] == left.lock.filter(|stamp| *stamp != 0)?.to_be_bytes()
            && (left.has_crashed || head[STAMPS_AT as usize..lock_at] == self.stamps().ok()??);
        let is_ours = &head[..8] == MAGIC && head[8..12] == VERSION.to_be_bytes();
        if !is_ours || !is_stamped || head[12..16] != crc32fast::hash(body).to_be_bytes() {
            return None;
        }
        let mut reader = Reader(body);
        let ends = LogEnds { min: reader.i64()?, last_record: reader.i64()?, end: reader.i64()? };
        if !is_same_log(log, ends, left) || reader.i64()? != self.options.queue_file_bytes as i64 {
            return None;
        }
        let count = reader.i64()?;
        let mut queues = Vec::new();
        let mut topic = "";
        for _ in 0..count {
            queues.push(reader.queue(&mut topic)?);
        }
        if left.has_crashed && !self.have_folders(&queues) {
            return None;
        }
        for of_topic in queues.chunk_by(|one, other| one.topic == other.topic) {
            let tails = of_topic.iter().map(|queue| (queue.queue_id, queue.min, queue.max, queue.last));
            table.fill(of_topic[0].topic, tails).ok()?;
        }
        self.state.lock().valid_min = Some(ends.min);
        Some(ends)
    }

    /// Whether there is a folder for every topic that has units.
    fn have_folders(&self, queues: &[QueueTail<'_>]) -> bool {
        let Ok(entries) = self.disk.list(&self.queues_folder()) else { return false };
        let topics: HashSet<&str> =
            entries.iter().filter(|entry| entry.is_folder).map(|entry| entry.name.as_str()).collect();
        queues.iter().all(|queue| queue.max == 0 || topics.contains(queue.topic))
    }
}

/// Whether the log is still the one that the file was written for.
fn is_same_log(log: &CommitLog, ends: LogEnds, left: Left) -> bool {
    if log.min_offset() != ends.min {
        return false;
    }
    match ends.last_record == ends.end {
        // A picture, or there was no record; there may be since.
        true if left.has_crashed => log.probe(ends.end).is_some(),
        true => log.segment_starts_from_last().is_empty(),
        false => log.probe_record(ends.last_record, |record| record.log_offset + record.size as i64) == Some(ends.end),
    }
}

/// Reads fields of the file; `None` at its end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn queue(&mut self, topic: &mut &'a str) -> Option<QueueTail<'a>> {
        let len = u16::from_be_bytes(self.array()?);
        if len > 0 {
            *topic = std::str::from_utf8(self.take(len.into())?).ok()?;
        }
        Some(QueueTail {
            topic,
            queue_id: i32::from_be_bytes(self.array()?),
            min: self.i64()?,
            max: self.i64()?,
            last: Unit::decode(&self.array::<UNIT_BYTES>()?),
        })
    }
}
