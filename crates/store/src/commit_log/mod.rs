//! The commit log: all messages of all topics, one after another, in files of fixed length.
//!
//! [`append`] puts a turn's records at its end, [`read`] gives slices of it, [`recover`] walks it at opening. A record
//! never spans two files; what is left of a file is filled by a blank record.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::disk::{Disk, LogFile, Space};
use crate::options::StoreOptions;
use crate::watermark::Watermark;

mod append;
mod clean;
mod read;
pub(crate) mod recover;

pub use read::ReadError;
pub(crate) use read::is_record_of;

/// Bytes of the blank record's two fields: so many are left in a file behind its last record, at least.
pub(crate) const BLANK_BYTES_MIN: i64 = 8;
/// The next file is prepared when this part of the last one is used.
const PREPARE_AT_PERCENT: i64 = 50;

/// A file of the log.
pub(crate) struct Segment {
    /// Log offset of its first byte, which is its name.
    pub(crate) start: i64,
    /// Log offset behind its last byte.
    pub(crate) end: i64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn LogFile>,
}

/// The commit log. Lock order: `tail`, then `prepared`, then `segments`.
pub(crate) struct CommitLog {
    disk: Arc<dyn Disk>,
    options: Arc<StoreOptions>,
    /// In their order, without a gap; empty until the first append. Grows at the back, shrinks at the front.
    segments: RwLock<VecDeque<Arc<Segment>>>,
    /// The file that follows the last one, made before it is needed.
    prepared: Mutex<Option<Arc<Segment>>>,
    tail: Mutex<Tail>,
    /// Everything before it can be read.
    pub(crate) appended: Watermark,
    /// Everything before it is on disk.
    pub(crate) flushed: Watermark,
    /// Set when a sync or the clean-up of a failed write failed: nothing is appended any more until the store is opened
    /// again, because nobody knows what the disk has.
    failed: AtomicBool,
    /// Set when the last file is used so far that the next one should be prepared.
    wants_segment: AtomicBool,
}

/// Where the next record goes.
struct Tail {
    segment: Option<Arc<Segment>>,
    offset: i64,
    /// Store timestamp of the last record; the next one is not smaller.
    store_timestamp_ms: i64,
    /// Whether the background was told to prepare the file behind `segment`.
    asked_for_next: bool,
}

/// The end of the log at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEnd {
    pub(crate) offset: i64,
    /// Store timestamp of the last record, 0 when there is none.
    pub(crate) store_timestamp_ms: i64,
}

impl CommitLog {
    /// The log with these files, which is complete once [`recover`] found its end.
    fn new(disk: Arc<dyn Disk>, options: Arc<StoreOptions>, segments: VecDeque<Arc<Segment>>) -> CommitLog {
        let start = segments.front().map_or(0, |segment| segment.start);
        CommitLog {
            disk,
            options,
            segments: RwLock::new(segments),
            prepared: Mutex::new(None),
            tail: Mutex::new(Tail { segment: None, offset: start, store_timestamp_ms: 0, asked_for_next: false }),
            appended: Watermark::new(start),
            flushed: Watermark::new(start),
            failed: AtomicBool::new(false),
            wants_segment: AtomicBool::new(true),
        }
    }

    /// Offset of the first record that is still there.
    pub(crate) fn min_offset(&self) -> i64 {
        self.segments.read().front().map_or_else(|| self.appended.value(), |segment| segment.start)
    }

    /// Where the log ends now.
    pub(crate) fn end(&self) -> LogEnd {
        let tail = self.tail.lock();
        LogEnd { offset: tail.offset, store_timestamp_ms: tail.store_timestamp_ms }
    }

    /// Whether the disk failed so that nothing can be acknowledged any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Refuses everything from now on.
    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.flushed.stop();
    }

    /// Makes everything durable that was appended before the call, and says up to where that is.
    pub(crate) fn flush(&self) -> io::Result<LogEnd> {
        let end = self.end();
        let from = self.flushed.value();
        if self.has_failed() {
            return Err(io::Error::other("an earlier sync failed"));
        }
        if from == end.offset {
            return Ok(end);
        }
        let dirty: Vec<_> = {
            let segments = self.segments.read();
            segments.iter().filter(|segment| segment.end > from && segment.start < end.offset).cloned().collect()
        };
        for segment in dirty {
            if let Err(error) = segment.file.sync() {
                self.fail();
                return Err(error);
            }
        }
        self.flushed.advance(end.offset);
        Ok(end)
    }

    /// Makes the next file when the last one is used by half, or when there is none at all.
    pub(crate) fn prepare_segment(&self) -> io::Result<()> {
        if !self.wants_segment.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let start = match &self.tail.lock().segment {
            Some(segment) => segment.end,
            None => self.appended.value(),
        };
        // An append that needs the file waits for this lock rather than failing on a file half made.
        let mut prepared = self.prepared.lock();
        if prepared.is_none() {
            match self.create_segment(start) {
                Ok(segment) => *prepared = Some(segment),
                // The append was faster and went on into a file that it made itself.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes the file that was prepared and never used, as the original does at shutdown.
    pub(crate) fn discard_prepared(&self) -> io::Result<()> {
        match self.prepared.lock().take() {
            Some(segment) => {
                self.disk.remove(&segment.path)?;
                segment.path.parent().map_or(Ok(()), |folder| self.disk.sync_folder(folder))
            }
            None => Ok(()),
        }
    }

    fn create_segment(&self, start: i64) -> io::Result<Arc<Segment>> {
        let folder = self.options.segment_folder(start);
        // Made by the file's creation, the folder itself could be lost in a crash, and the file with it.
        self.disk.create_folder(folder)?;
        let path = folder.join(format!("{start:020}"));
        let file = self.disk.create(&path, self.options.segment_bytes, Space::Reserved)?;
        file.sync()?;
        self.disk.sync_folder(folder)?;
        Ok(Arc::new(Segment { start, end: start + self.options.segment_bytes as i64, path, file }))
    }
}
