//! The file `raptormq.queues`: where every simple queue begins and ends, written at a clean stop, so that the next start need not
//! open a file for each. It is ours; the original does not look at it, and the store opens without it.
//!
//! ```text
//!  0 "RaptorQT" │ 8 version (4) │ 12 CRC-32 of everything from 32 on (4) │ 16 stamps: root folder (8), queues folder (8)
//! 32 log: first offset (8), last record (8), end (8) │ 56 bytes of a queue file (8) │ 64 queues (8)
//! 72 for each queue: length of its topic (2), topic, queue id (4), first offset (8), end (8), last unit (20)
//! ```
//!
//! A length of 0 stands for the topic of the queue before. The stamps are when folders last changed: whoever runs a broker
//! on the store makes and removes `abort` in its root, and whoever adds or removes topics changes the queues' folder, so
//! the file is believed only while nobody was there. They are written when nothing else is changed any more.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::table::QueueTable;
use super::unit::{UNIT_BYTES, Unit};
use super::{Queue, QueueType};
use crate::commit_log::CommitLog;
use crate::disk::Disk;
use crate::options::StoreOptions;

const MAGIC: &[u8; 8] = b"RaptorQT";
const VERSION: u32 = 1;
/// Where the checked part begins.
const BODY_AT: usize = 32;
const STAMPS_AT: u64 = 16;
/// Longest file that is read: some ten million queues.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The end of the log when the file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnds {
    /// Start of the first file.
    pub(crate) min: i64,
    /// Where the last record begins; the end when there is none.
    pub(crate) last_record: i64,
    /// Offset behind it.
    pub(crate) end: i64,
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
}

impl TailsFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: Arc<StoreOptions>) -> TailsFile {
        TailsFile { disk, options }
    }

    fn path(&self) -> PathBuf {
        self.options.root.join("raptormq.queues")
    }

    /// When root and queues were last changed; `None` when the disk cannot tell.
    fn stamps(&self) -> io::Result<Option<[u8; 16]>> {
        let root = self.disk.changed_at(&self.options.root)?;
        let queues = self.disk.changed_at(&self.options.queues_folder(QueueType::Simple))?;
        let joined = |(root, queues): (u64, u64)| {
            let mut stamps = [0; 16];
            stamps[..8].copy_from_slice(&root.to_be_bytes());
            stamps[8..].copy_from_slice(&queues.to_be_bytes());
            stamps
        };
        Ok(root.zip(queues).map(joined))
    }

    /// Writes the file. It is not believed before [`TailsFile::stamp`].
    pub(crate) fn write(&self, log: LogEnds, queues: &[Arc<Queue>]) -> io::Result<()> {
        let mut bytes = vec![0; BODY_AT];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        for field in [log.min, log.last_record, log.end, self.options.queue_file_bytes as i64, queues.len() as i64] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        let mut topic: &str = "";
        for queue in queues {
            let name = if *queue.topic == *topic { "" } else { &queue.topic };
            topic = &queue.topic;
            // A topic is a folder's name: at most 255 bytes.
            bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&queue.queue_id.to_be_bytes());
            bytes.extend_from_slice(&queue.min_offset().to_be_bytes());
            bytes.extend_from_slice(&queue.max_offset().to_be_bytes());
            bytes.extend_from_slice(&queue.kept_last_unit().unwrap_or(Unit::BLANK).encode());
        }
        let crc = crc32fast::hash(&bytes[BODY_AT..]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
        self.disk.replace(&self.path(), &bytes)
    }

    /// Makes the file count. The last thing that is done to the store.
    pub(crate) fn stamp(&self) -> io::Result<()> {
        if let Some(stamps) = self.stamps()? {
            let file = self.disk.open(&self.path())?;
            file.write_at(STAMPS_AT, &stamps)?;
            file.sync()?;
        }
        Ok(())
    }

    /// Fills the table from the file, if nobody changed the store since it was written and the log is what it was then;
    /// returns where the log ended. Changes nothing on disk.
    pub(crate) fn load(&self, log: &CommitLog, table: &QueueTable) -> Option<LogEnds> {
        // Whatever is wrong with it, the queues' own files tell the same.
        let bytes = self.disk.read(&self.path(), FILE_BYTES_MAX).ok()?;
        let stamps = self.stamps().ok()??;
        let (head, body) = bytes.split_at_checked(BODY_AT)?;
        let is_ours = &head[..8] == MAGIC && head[8..12] == VERSION.to_be_bytes() && head[16..] == stamps;
        if !is_ours || head[12..16] != crc32fast::hash(body).to_be_bytes() {
            return None;
        }
        let mut reader = Reader(body);
        let ends = LogEnds { min: reader.i64()?, last_record: reader.i64()?, end: reader.i64()? };
        let is_same_log = log.min_offset() == ends.min
            && if ends.last_record == ends.end {
                log.segment_starts_from_last().is_empty()
            } else {
                log.probe_record(ends.last_record, |record| record.log_offset + record.size as i64) == Some(ends.end)
            };
        if !is_same_log || reader.i64()? != self.options.queue_file_bytes as i64 {
            return None;
        }
        let count = reader.i64()?;
        let mut queues = Vec::new();
        let mut topic = "";
        for _ in 0..count {
            queues.push(reader.queue(&mut topic)?);
        }
        for of_topic in queues.chunk_by(|one, other| one.topic == other.topic) {
            let tails = of_topic.iter().map(|queue| (queue.queue_id, queue.min, queue.max, queue.last));
            table.fill(of_topic[0].topic, tails).ok()?;
        }
        Some(ends)
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
