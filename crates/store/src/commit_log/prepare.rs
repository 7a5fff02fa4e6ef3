//! The next file of the log, made before it is needed.
//!
//! Making one costs next to nothing: its space is set aside, its blocks are marked as never written. A sync of records
//! written there would have to change that mark, which is a commit of the file system's journal and takes several times
//! as long as the data. So for SYNC_FLUSH the file is filled: zeros are really written over it, a piece at a time, with
//! pauses that grow shorter when the log is faster. See `docs/decisions/0005-sync-flush.md` for what that costs and why
//! it is not done under ASYNC_FLUSH.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{CommitLog, Segment, Tail};
use crate::disk::{LogFile, Space};

/// Bytes that are filled at once. A flush that comes meanwhile may have to wait until the disk has written them.
const PIECE_BYTES: i64 = 1 << 20;
/// Between two pieces when there is no hurry: up to 250 MiB a second.
const PAUSE_MS: i64 = 4;
/// How far before the end of the log the file that it is in is filled, so that the two do not meet.
const DISTANCE_BYTES: i64 = 8 << 20;
/// What a file system's block is at most; pieces begin at multiples.
const BLOCK_BYTES: i64 = 64 << 10;

/// What is said when a file cannot be filled; it serves all the same.
const NOT_FILLED: &str = "a log file could not be filled ahead; flushes of what it gets take longer";

/// The work of filling files; only the background does it.
#[derive(Default)]
pub(super) struct Filler {
    /// The file that is being filled.
    now: Option<Filling>,
    /// Files that begin before this log offset are filled, or too old for it.
    done: i64,
}

struct Filling {
    segment: Arc<Segment>,
    /// A handle of its own: an error of writing back is told to each handle once, and a flush must not miss it.
    file: Arc<dyn LogFile>,
    /// Log offset up to which it is filled.
    at: i64,
    zeros: Vec<u8>,
}

impl CommitLog {
    /// Makes the next file when the last one is used by half, or when there is none at all.
    pub(crate) fn prepare_segment(&self) -> io::Result<()> {
        if !self.wants_segment.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        // An append that needs the file waits for this lock rather than failing on a file half made.
        let mut prepared = self.prepared.lock();
        if prepared.is_none() {
            let start = self.segments.read().back().map_or_else(|| self.appended.value(), |segment| segment.end);
            *prepared = Some(self.create_segment(start)?);
        }
        self.lacks_room.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether there is no room for the next file although it is needed.
    pub(crate) fn lacks_room(&self) -> bool {
        self.lacks_room.load(Ordering::Acquire)
    }

    /// Asks for the next file once more, after it could not be made.
    pub(crate) fn want_segment(&self) {
        self.wants_segment.store(true, Ordering::Release);
    }

    /// The file that begins at `start`, which is where the last one ends: the prepared one, or one that is made now.
    ///
    /// The caller keeps the lock of `prepared` until the file is the log's last: the background would make it once more,
    /// in its place.
    pub(super) fn take_segment(&self, prepared: &mut Option<Arc<Segment>>, start: i64) -> io::Result<Arc<Segment>> {
        match prepared.take().filter(|segment| segment.start == start) {
            Some(segment) => Ok(segment),
            None => self.create_segment(start),
        }
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

    /// Makes a file behind the last one. The caller holds the lock of `prepared`, so nobody else makes one.
    fn create_segment(&self, start: i64) -> io::Result<Arc<Segment>> {
        let full_folders = self.full_folders.lock().clone();
        let folder = self.options.segment_folder(start, &full_folders);
        // Made by the file's creation, the folder itself could be lost in a crash, and the file with it.
        self.disk.create_folder(folder)?;
        let path = folder.join(format!("{start:020}"));
        let file = match self.disk.create(&path, self.options.segment_bytes, Space::Reserved) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_of_log = self.segments.read().iter().any(|segment| segment.path == path);
                assert!(!is_of_log, "a file that the log is in is never made anew");
                // It is of an attempt that failed, and could not be cleared away then.
                self.disk.remove(&path)?;
                self.disk.create(&path, self.options.segment_bytes, Space::Reserved)?
            }
            created => created?,
        };
        if let Err(error) = file.sync().and_then(|()| self.disk.sync_folder(folder)) {
            if let Err(remove_error) = self.disk.remove(&path) {
                tracing::warn!(path = %path.display(), %remove_error, "a log file that is not used stays behind");
            }
            return Err(error);
        }
        Ok(Arc::new(Segment { start, end: start + self.options.segment_bytes as i64, path, file }))
    }

    /// Under SYNC_FLUSH, fills the next piece of the file that the log is in or will be in. Returns how many
    /// milliseconds to wait before the next piece; `None` when there is nothing to fill.
    pub(crate) fn fill_step(&self) -> Option<i64> {
        if !self.options.sync_flush || self.has_failed() {
            return None;
        }
        let mut filler = self.filler.lock();
        if filler.now.is_none() {
            let segment = self.segment_to_fill(filler.done)?;
            filler.done = segment.end;
            let len = PIECE_BYTES.min(self.options.segment_bytes as i64) as usize;
            match self.disk.open(&segment.path) {
                Ok(file) => filler.now = Some(Filling { at: segment.start, segment, file, zeros: vec![0; len] }),
                Err(error) => tracing::warn!(path = %segment.path.display(), %error, "{NOT_FILLED}"),
            }
        }
        let filling = filler.now.as_mut()?;
        match self.fill_piece(filling) {
            Ok(Some(end)) => {
                filling.at = end;
                return Some(if self.is_in_hurry(filling) { 0 } else { PAUSE_MS });
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(path = %filling.segment.path.display(), %error, "{NOT_FILLED}"),
        }
        filler.now = None;
        Some(PAUSE_MS)
    }

    /// The first file that is not filled and has room for it: the last one, once something was appended since the store
    /// was opened, or the prepared one.
    fn segment_to_fill(&self, done: i64) -> Option<Arc<Segment>> {
        let last = {
            let tail = self.tail.lock();
            tail.segment.clone().filter(|segment| tail.offset > tail.opened_at && segment.start >= done)
        };
        last.or_else(|| self.prepared.lock().clone().filter(|segment| segment.start >= done))
    }

    /// Writes zeros over a piece and syncs them. Returns the log offset behind it, `None` at the end of the file.
    fn fill_piece(&self, filling: &mut Filling) -> io::Result<Option<i64>> {
        let segment = &filling.segment;
        let (piece, writing) = {
            let mut tail = self.tail.lock();
            let near = (tail.offset + DISTANCE_BYTES - segment.start) / BLOCK_BYTES * BLOCK_BYTES;
            let is_last = tail.segment.as_ref().is_some_and(|last| last.start >= segment.start);
            let from = if is_last { filling.at.max(segment.start + near) } else { filling.at };
            let piece = from..(from + PIECE_BYTES).min(segment.end);
            if piece.is_empty() {
                return Ok(None);
            }
            // Also of a file that the log is not in yet: it may be a moment later.
            tail.filling = piece.clone();
            (piece, self.writing_zeros.lock())
        };
        let len = (piece.end - piece.start) as usize;
        let written = filling.file.write_at((piece.start - segment.start) as u64, &filling.zeros[..len]);
        drop(writing);
        written?;
        filling.file.sync()?;
        Ok(Some(piece.end))
    }

    /// Whether the log would otherwise be at the end of its file before the next one is filled.
    fn is_in_hurry(&self, filling: &Filling) -> bool {
        let tail = self.tail.lock();
        let left = tail.segment.as_ref().map_or(0, |segment| segment.end - tail.offset);
        let is_next = tail.segment.as_ref().is_some_and(|last| last.start < filling.segment.start);
        is_next && filling.segment.end - filling.at > left
    }

    /// Before something is written at the end of the log: waits while zeros are being written there.
    pub(super) fn keep_clear(&self, tail: &mut Tail, len: i64) {
        if tail.offset < tail.filling.end && tail.filling.start < tail.offset + len {
            drop(self.writing_zeros.lock());
            tail.filling = 0..0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::disk::fuse::Fuse;
    use crate::disk::memory::MemoryDisk;
    use crate::options::StoreOptions;

    #[test]
    fn an_append_waits_only_for_zeros_that_are_written_where_it_goes() {
        let options = Arc::new(StoreOptions::new("/s"));
        let log = CommitLog::new(Arc::new(MemoryDisk::default()), Arc::new(Fuse::default()), options, VecDeque::new());
        let writing = log.writing_zeros.lock();
        log.tail.lock().filling = 100..200;
        // Would never return if it waited.
        log.keep_clear(&mut log.tail.lock(), 100);
        let is_written = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let append = scope.spawn(|| {
                let mut tail = log.tail.lock();
                log.keep_clear(&mut tail, 101);
                assert!(is_written.load(Ordering::Acquire), "the append did not wait");
                assert!(tail.filling.is_empty());
            });
            // Whoever does not wait ends, or lets the lock go.
            while log.tail.try_lock().is_some() && !append.is_finished() {
                std::thread::yield_now();
            }
            is_written.store(true, Ordering::Release);
            drop(writing);
        });
    }
}
