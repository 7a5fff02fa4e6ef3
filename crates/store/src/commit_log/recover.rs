//! The log at opening: which files there are, and walking their records to find where it ends.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raptormq_protocol::message::record::{self, RecordHead, RecordView};

use super::read::{ReadError, check_record};
use super::{BLANK_BYTES_MIN, CommitLog, Segment};
use crate::disk::fuse::Fuse;
use crate::disk::{Disk, Entry, LogFile};
use crate::options::StoreOptions;
use crate::unfit::{Leftover, Unfit, check_file, file_start, warn_of_foreign};

/// What a walk makes of a record.
pub(crate) enum Step {
    /// Goes on with the next one.
    Next,
    /// Ends the walk.
    Stop,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Offset behind the last good record.
    pub(crate) end: i64,
    /// Where the last good record begins, -1 when there was none.
    pub(crate) last_record: i64,
    /// Store timestamp of the last good record, 0 when there was none.
    pub(crate) store_timestamp_ms: i64,
    /// Whether something other than zeros stands at the end, that is a record that is torn or damaged.
    pub(crate) is_torn: bool,
    /// Whether the visitor stopped it.
    pub(crate) was_stopped: bool,
}

/// A part of the log that is walked.
struct Part<'a> {
    bytes: &'a [u8],
    /// Bytes of its file from its start on.
    left: i64,
    checks_crc: bool,
}

/// What became of a part of the log that was walked.
enum Window {
    /// It holds whole records, or a blank ends the file.
    Used,
    /// Its last record goes on behind it, and has so many bytes or more.
    Cut(usize),
    /// The walk is over.
    End,
}

/// Whether a part of the record that lies at `at` in its file never reached the disk, as far as neither its lengths nor its
/// CRC tell: a loss of power may leave zeros where a sector of the topic or of the properties should be. No topic has a
/// zero, and properties fill no sector with them.
fn misses_sector(record: &RecordView<'_>, at: u64) -> bool {
    let end = at + record.size as u64;
    let start = end - record.properties_bytes.len() as u64;
    let boundaries = (start / SECTOR_BYTES + 1..).map(|number| number * SECTOR_BYTES).take_while(|at| *at < end);
    let mut rest = record.properties_bytes;
    let mut from = start;
    for boundary in boundaries.chain([end]) {
        let (part, behind) = rest.split_at((boundary - from) as usize);
        if !part.is_empty() && part.iter().all(|byte| *byte == 0) {
            return true;
        }
        (rest, from) = (behind, boundary);
    }
    record.topic.contains('\0')
}

/// Whether nothing was written to a file of the log yet. A file has its length for good before its first record comes, and
/// a crash while it is made may leave it with a part of that.
fn is_unwritten(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    let file = disk.open(path)?;
    let mut head = [0; BLANK_BYTES_MIN as usize];
    let head = &mut head[..file.len().min(BLANK_BYTES_MIN as u64) as usize];
    file.read_at(0, head)?;
    Ok(head.iter().all(|byte| *byte == 0))
}

/// Bytes that a disk writes at once, whatever happens.
const SECTOR_BYTES: u64 = 512;
/// Bytes of the log that are walked at once, so that the memory of the process does not become as large as the log.
const WALK_BYTES: i64 = 8 << 20;
/// The first three bytes of every record's magic so far.
const MAGIC_FAMILY: [u8; 3] = [0xDA, 0xA3, 0x20];
/// Bytes behind the end that are looked at to tell a torn record from an unwritten file.
const TORN_PROBE_BYTES: usize = 64;

impl CommitLog {
    /// Opens the files of the log, and changes nothing. Where it ends is not known yet: see [`CommitLog::walk`] and
    /// [`CommitLog::cut`].
    pub(crate) fn load(
        disk: Arc<dyn Disk>,
        fuse: Arc<Fuse>,
        options: Arc<StoreOptions>,
        leftovers: &mut Vec<Leftover>,
    ) -> Result<CommitLog, Unfit> {
        let mut found: Vec<(i64, PathBuf, Entry)> = Vec::new();
        for folder in &options.commit_log_folders {
            for entry in disk.list(folder).map_err(Unfit::io(folder))? {
                match file_start(&entry.name) {
                    Some(start) => found.push((start, folder.join(&entry.name), entry)),
                    None => warn_of_foreign(folder, &entry),
                }
            }
        }
        found.sort();
        let last = found.last().map(|(start, ..)| *start);
        let mut segments: VecDeque<Arc<Segment>> = VecDeque::with_capacity(found.len());
        for (start, path, entry) in found {
            let is_short = entry.len < options.segment_bytes && !entry.is_folder && Some(start) == last;
            if is_short && is_unwritten(&*disk, &path).map_err(Unfit::io(&path))? {
                leftovers.push(Leftover { path, why: "its making was cut short" });
                continue;
            }
            check_file(&path, &entry, options.segment_bytes, "mappedFileSizeCommitLog")?;
            let before = segments.back();
            if let Some(before) = before.filter(|before| before.end != start) {
                return Err(Unfit::wrong(
                    &path,
                    format!("the log file {:020} before it", start - options.segment_bytes as i64),
                    format!("{} as the one before", before.path.display()),
                    "bring the missing file back, or move those before it away",
                ));
            }
            let file = disk.open(&path).map_err(Unfit::io(&path))?;
            check_version(&path, &*file)?;
            segments.push_back(Arc::new(Segment { start, end: start + options.segment_bytes as i64, file, path }));
        }
        Ok(CommitLog::new(disk, fuse, options, segments))
    }

    /// The file of a log offset, and the position in it: for messages.
    pub(crate) fn file_of(&self, log_offset: i64) -> (String, i64) {
        if let Some(segment) = self.segment(log_offset) {
            return (segment.path.display().to_string(), log_offset - segment.start);
        }
        let start = log_offset - log_offset.rem_euclid(self.options.segment_bytes as i64);
        let folder = self.options.segment_folder(start, &BTreeSet::new());
        (folder.join(format!("{start:020}")).display().to_string(), log_offset - start)
    }

    /// Starts of the files, last first.
    pub(crate) fn segment_starts_from_last(&self) -> Vec<i64> {
        self.segments.read().iter().rev().map(|segment| segment.start).collect()
    }

    /// Whether a good record lies at an offset, and when it was stored.
    pub(crate) fn probe(&self, log_offset: i64) -> Option<i64> {
        self.probe_record(log_offset, |record| record.store_timestamp_ms)
    }

    /// What `look` makes of the good record at an offset, if there is one. It may lie behind the end, which is not known
    /// yet at opening.
    pub(crate) fn probe_record<T>(&self, log_offset: i64, look: impl FnOnce(&RecordView<'_>) -> T) -> Option<T> {
        let segment = self.segment(log_offset)?;
        let at = (log_offset - segment.start) as u64;
        let left = segment.end - log_offset;
        let head = segment.file.view(at, left.min(8) as usize).ok()?;
        let RecordHead::Record(size) = RecordHead::read(&head) else { return None };
        if size as i64 > left {
            return None;
        }
        let bytes = segment.file.view(at, size).ok()?;
        let view = check_record(&bytes, log_offset).ok()?;
        (view.crc_matches() && !misses_sector(&view, at)).then(|| look(&view))
    }

    /// Why no good record lies at an offset, `left` bytes before the end of its file.
    pub(crate) fn why_not(&self, log_offset: i64, left: usize) -> io::Result<String> {
        let Some(segment) = self.segment(log_offset) else { return Ok("there is no such file".to_owned()) };
        let at = (log_offset - segment.start) as u64;
        let head = segment.file.view(at, left.min(8))?;
        let len = match RecordHead::read(&head) {
            RecordHead::Record(size) => size.min(left),
            _ => left.min(8),
        };
        let bytes = segment.file.view(at, len)?;
        Ok(match check_record(&bytes, log_offset) {
            Err(ReadError::Damaged { reason, .. }) => reason,
            Err(error) => error.to_string(),
            Ok(_) => "the CRC of the body is another one".to_owned(),
        })
    }

    /// Visits the good records from `from` on, which must be the offset of one or the end of the log, up to the first
    /// place that is none. An error of `visit` ends the walk.
    pub(crate) fn walk(&self, from: i64, visit: impl FnMut(&RecordView<'_>) -> io::Result<Step>) -> io::Result<Walked> {
        self.walk_with(from, self.options.check_crc_on_recover, visit)
    }

    /// The first record from `from` on that was stored after that time, or the first place that holds none. CRCs are not
    /// looked at.
    pub(crate) fn first_after(&self, from: i64, until_ms: i64) -> io::Result<i64> {
        let is_after = |record: &RecordView<'_>| record.store_timestamp_ms > until_ms;
        let visit = |record: &RecordView<'_>| Ok(if is_after(record) { Step::Stop } else { Step::Next });
        Ok(self.walk_with(from, false, visit)?.end)
    }

    fn walk_with(
        &self,
        from: i64,
        checks_crc: bool,
        mut visit: impl FnMut(&RecordView<'_>) -> io::Result<Step>,
    ) -> io::Result<Walked> {
        let mut walked =
            Walked { end: from, last_record: -1, store_timestamp_ms: 0, is_torn: false, was_stopped: false };
        let mut needed = 0;
        while let Some(segment) = self.segment(walked.end) {
            let left = segment.end - walked.end;
            let len = left.min(WALK_BYTES.max(needed));
            let bytes = segment.file.view((walked.end - segment.start) as u64, len as usize)?;
            match self.walk_part(&Part { bytes: &bytes, left, checks_crc }, &mut walked, &mut visit)? {
                Window::Used => needed = 0,
                Window::Cut(size) => needed = size as i64,
                Window::End => break,
            }
        }
        self.segments.read().iter().for_each(|segment| segment.file.release_views());
        Ok(walked)
    }

    /// Visits the records of a part of the log that lies at the end of what was walked.
    fn walk_part(
        &self,
        part: &Part<'_>,
        walked: &mut Walked,
        visit: &mut impl FnMut(&RecordView<'_>) -> io::Result<Step>,
    ) -> io::Result<Window> {
        let bytes = part.bytes;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let left = part.left - at as i64;
            match RecordHead::read(rest) {
                RecordHead::Blank(len) if len as i64 == left => {
                    walked.end += left;
                    return Ok(Window::Used);
                }
                RecordHead::Record(size) if size > rest.len() && size as i64 <= left => return Ok(Window::Cut(size)),
                RecordHead::Record(_) => {}
                _ if rest.len() < BLANK_BYTES_MIN as usize && (rest.len() as i64) < left => {
                    return Ok(Window::Cut(BLANK_BYTES_MIN as usize));
                }
                _ => {
                    let probe = &rest[..rest.len().min(TORN_PROBE_BYTES)];
                    walked.is_torn = probe.iter().any(|byte| *byte != 0);
                    return Ok(Window::End);
                }
            }
            let checked = check_record(rest, walked.end).ok();
            let good = checked.filter(|view| !part.checks_crc || self.is_whole(view, rest));
            let Some(view) = good else {
                walked.is_torn = true;
                return Ok(Window::End);
            };
            if let Step::Stop = visit(&view)? {
                walked.was_stopped = true;
                return Ok(Window::End);
            }
            walked.store_timestamp_ms = view.store_timestamp_ms;
            walked.last_record = walked.end;
            at += view.size;
            walked.end += view.size as i64;
        }
        Ok(Window::Used)
    }

    /// Whether the CRC of a record is right that begins `bytes`, and no sector of it is missing.
    fn is_whole(&self, view: &RecordView<'_>, bytes: &[u8]) -> bool {
        let of_all = self.options.verify_property_crc.then(|| record::sealed(&bytes[..view.size])).flatten();
        let at_in_file = view.log_offset.rem_euclid(self.options.segment_bytes as i64) as u64;
        of_all.unwrap_or_else(|| view.crc_matches()) && !misses_sector(view, at_in_file)
    }

    /// Makes `end` the end of the log: files behind it are removed, and the rest of its file is zero, so that nothing
    /// stale can ever be read as a record.
    pub(crate) fn cut(&self, end: Walked, wipe: bool) -> io::Result<()> {
        let mut segments = self.segments.write();
        // A log that ends where a file ends goes on in the next one, if that was made already.
        while segments.len() > 1 && segments.back().is_some_and(|segment| segment.start > end.end) {
            if let Some(segment) = segments.pop_back() {
                tracing::warn!(path = %segment.path.display(), log_end = end.end, "removed a log file behind the end");
                self.disk.remove(&segment.path)?;
                if let Some(folder) = segment.path.parent() {
                    self.disk.sync_folder(folder)?;
                }
            }
        }
        let last = segments.back().filter(|segment| (segment.start..segment.end).contains(&end.end)).cloned();
        drop(segments);
        if let Some(segment) = last.as_ref().filter(|_| wipe || end.is_torn) {
            segment.file.zero((end.end - segment.start) as u64, (segment.end - end.end) as u64)?;
            segment.file.sync()?;
        }
        let mut tail = self.tail.lock();
        tail.offset = end.end;
        tail.opened_at = end.end;
        tail.last_record = end.last_record;
        tail.store_timestamp_ms = end.store_timestamp_ms;
        tail.segment = last.or_else(|| self.segments.read().back().cloned());
        self.appended.advance(end.end);
        self.wants_segment.store(tail.segment.is_none(), Ordering::Release);
        Ok(())
    }
}

/// Refuses a log file whose first record has a magic that RocketMQ may come to use: to cut the log there would destroy
/// messages of a newer version.
fn check_version(path: &Path, file: &dyn LogFile) -> Result<(), Unfit> {
    let mut head = [0; 8];
    file.read_at(0, &mut head).map_err(Unfit::io(path))?;
    // A zero in the last place is a record that a crash has torn.
    if head[4..7] == MAGIC_FAMILY && ![0x00, 0xA7, 0xAB].contains(&head[7]) {
        return Err(Unfit::wrong(
            path,
            "a record of magic DAA320A7 or DAA320AB at 0".to_owned(),
            format!("magic {:02X}{:02X}{:02X}{:02X}", head[4], head[5], head[6], head[7]),
            "it is of a newer version: start that one, or move the store away",
        ));
    }
    Ok(())
}
