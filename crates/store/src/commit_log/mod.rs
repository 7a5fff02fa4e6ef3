//! The commit log: all messages of all topics, one after another, in files of fixed length.
//!
//! [`append`] puts a turn's records at its end, [`copy`] those of another broker's log, [`flush`] makes them durable,
//! [`prepare`] makes the next file ahead of need, [`read`] gives slices of the log, [`recover`] walks it at opening. A
//! record never spans two files; what is left of a file is filled by a blank record.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, RwLock};

use crate::disk::fuse::Fuse;
use crate::disk::{Disk, LogFile};
use crate::options::StoreOptions;
use crate::watermark::Watermark;

mod append;
mod clean;
pub(crate) mod copy;
mod flush;
mod prepare;
mod read;
pub(crate) mod recover;

pub use read::ReadError;
pub(crate) use read::{check_record, is_record_of};

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

/// The commit log. Lock order: `flushing` or `filler`, then `tail`, then `prepared` or `writing_zeros`, then `segments`.
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
    /// Blown when a sync or the clean-up of a failed write failed: nothing is appended any more until the store is opened
    /// again, because nobody knows what the disk has.
    fuse: Arc<Fuse>,
    flushing: flush::Flushing,
    filler: Mutex<prepare::Filler>,
    /// Held while zeros are written over the range that the tail calls `filling`.
    writing_zeros: Mutex<()>,
    /// Set when the last file is used so far that the next one should be prepared.
    wants_segment: AtomicBool,
    /// Set while there is no room for the next file although it is needed.
    lacks_room: AtomicBool,
    /// Whether the disk is asked to read on behind what a read had to wait for.
    reads_ahead: AtomicBool,
    /// Folders with so little room that no file is made there as long as others have more.
    full_folders: Mutex<BTreeSet<PathBuf>>,
}

/// Where the next record goes.
#[derive(Default)]
struct Tail {
    segment: Option<Arc<Segment>>,
    offset: i64,
    /// Where the last record begins; -1 when there is none.
    last_record: i64,
    /// Store timestamp of the last record; the next one is not smaller.
    store_timestamp_ms: i64,
    /// Whether the background was told to prepare the file behind `segment`.
    asked_for_next: bool,
    /// Where the log ended when the store was opened.
    opened_at: i64,
    /// Bytes behind the end that a failed write may have left, and that could not be wiped yet.
    unwiped: u64,
    /// The last write failed, which was logged.
    is_failing: bool,
    /// Log offsets over which the background writes zeros, or has written them.
    filling: Range<i64>,
}

/// The end of the log at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEnd {
    pub(crate) offset: i64,
    /// Where the last record begins; -1 when there is none.
    pub(crate) last_record: i64,
    /// Store timestamp of the last record, 0 when there is none.
    pub(crate) store_timestamp_ms: i64,
}

impl CommitLog {
    /// The log with these files, which is complete once [`recover`] found its end.
    fn new(
        disk: Arc<dyn Disk>,
        fuse: Arc<Fuse>,
        options: Arc<StoreOptions>,
        segments: VecDeque<Arc<Segment>>,
    ) -> CommitLog {
        let start = segments.front().map_or(0, |segment| segment.start);
        CommitLog {
            disk,
            reads_ahead: AtomicBool::new(options.reads_ahead),
            options,
            segments: RwLock::new(segments),
            prepared: Mutex::new(None),
            tail: Mutex::new(Tail { offset: start, last_record: -1, ..Tail::default() }),
            appended: Watermark::new(start),
            flushed: Watermark::new(start),
            fuse,
            flushing: flush::Flushing::default(),
            filler: Mutex::default(),
            writing_zeros: Mutex::new(()),
            wants_segment: AtomicBool::new(true),
            lacks_room: AtomicBool::new(false),
            full_folders: Mutex::default(),
        }
    }

    /// Offset of the first record that is still there.
    pub(crate) fn min_offset(&self) -> i64 {
        self.segments.read().front().map_or_else(|| self.appended.value(), |segment| segment.start)
    }

    /// Where the log ends now.
    pub(crate) fn end(&self) -> LogEnd {
        let tail = self.tail.lock();
        LogEnd { offset: tail.offset, last_record: tail.last_record, store_timestamp_ms: tail.store_timestamp_ms }
    }

    /// Says which folders have so little room that no file is to be made there as long as others have more.
    pub(crate) fn set_full_folders(&self, folders: BTreeSet<PathBuf>) {
        let mut full = self.full_folders.lock();
        if *full != folders {
            tracing::info!(?folders, "folders of the log with too little room for new files");
            *full = folders;
        }
    }

    /// Bytes of all files.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.segments.read().len() as u64 * self.options.segment_bytes
    }

    /// Whether the disk failed so that nothing can be acknowledged any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.fuse.is_blown()
    }
}
