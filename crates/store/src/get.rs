//! Reading a queue: units first, the log only for what the filter lets through.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::commit_log::{ReadError, check_record, is_record_of};
use crate::consume_queue::ext::Extension;
use crate::consume_queue::unit::{BATCH_UNIT_BYTES, UNIT_BYTES, Unit};
use crate::consume_queue::{Queue, QueueType};
use crate::open::Store;

/// Units that are copied out of a queue at once.
const CHUNK_UNITS: usize = 64;

/// Bytes of the log that are looked at together: about what an answer of 32 messages of a queue among four spans.
const WINDOW_BYTES: usize = 128 << 10;

/// Bytes at the end of the log that this process wrote so recently that they are taken to be in memory.
const FRESH_BYTES: u64 = 16 << 20;

/// Bytes of the log that are brought into memory in one go.
const FETCH_BYTES: usize = 16 << 10;

/// Bytes behind a message that had to be read from the disk that the disk is asked to read as well: who reads old
/// messages goes on.
const READ_AHEAD_BYTES: usize = 2 << 20;

/// What a read may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Nothing: only what is in memory is read. `WouldBlock` says that something is not.
    Memory,
    /// The disk.
    Disk,
}

/// How much a read may answer; the store's own limits hold besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetLimits {
    /// Most messages.
    pub count: usize,
    /// Most bytes; the first message is answered whole, however long it is.
    pub bytes: usize,
}

/// Which messages a read wants. What it does not want it passes over.
pub struct Filter<'f> {
    /// Sees the tags code of each message before the log is touched.
    pub by_tags: &'f mut dyn FnMut(i64) -> bool,
    /// Sees what the queue's extension says of a message and its log offset, also before that, where there is one.
    pub by_extension: Option<&'f mut WantsExtended<'f>>,
    /// Sees the whole record, if the tags code cannot decide.
    pub by_record: Option<&'f mut WantsRecord<'f>>,
}

/// Says of a message whether it may be wanted, by what an extension says of it and by its log offset.
pub type WantsExtended<'f> = dyn FnMut(&Extension, i64) -> bool + 'f;

/// Says of a whole record whether it is wanted.
pub type WantsRecord<'f> = dyn FnMut(&[u8]) -> bool + 'f;

/// How a read ended (Java: `store/GetMessageStatus.java`, whose names [`GetStatus::name`] has).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "Java's names, explained by Java's conditions in docs/formats.md")]
pub enum GetStatus {
    Found,
    NoMatchedMessage,
    MessageWasRemoving,
    OffsetFoundNull,
    OffsetOverflowBadly,
    OffsetOverflowOne,
    OffsetTooSmall,
    NoMatchedLogicQueue,
    NoMessageInQueue,
    OffsetReset,
}

impl GetStatus {
    /// Java's name, which is the remark of a pull's answer.
    pub fn name(self) -> &'static str {
        match self {
            GetStatus::Found => "FOUND",
            GetStatus::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            GetStatus::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            GetStatus::OffsetFoundNull => "OFFSET_FOUND_NULL",
            GetStatus::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            GetStatus::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            GetStatus::OffsetTooSmall => "OFFSET_TOO_SMALL",
            GetStatus::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            GetStatus::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
            GetStatus::OffsetReset => "OFFSET_RESET",
        }
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct GetResult {
    /// How it ended.
    pub status: GetStatus,
    /// Where to read next.
    pub next_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// Offset behind the last message of the queue that can be read: see [`Store::visible_end`].
    pub max_offset: i64,
    /// The records, in their order. Those that follow each other in the log are one slice.
    pub slices: SmallVec<[Bytes; 4]>,
    /// Number of messages; a record of a batch queue may hold several.
    pub count: usize,
    /// Bytes of the records.
    pub bytes: usize,
    /// Bytes of the log behind the beginning of the last message that was looked at, wanted or not.
    pub behind_bytes: i64,
    /// Whether the reader is so far behind that it should read from a slave.
    pub suggest_slave: bool,
}

impl GetResult {
    fn empty(status: GetStatus, next_offset: i64, range: (i64, i64)) -> GetResult {
        GetResult {
            status,
            next_offset,
            min_offset: range.0,
            max_offset: range.1,
            slices: SmallVec::new(),
            count: 0,
            bytes: 0,
            behind_bytes: 0,
            suggest_slave: false,
        }
    }

    /// The answer for a queue that does not exist.
    pub fn no_queue() -> GetResult {
        GetResult::empty(GetStatus::NoMatchedLogicQueue, 0, (0, 0))
    }
}

impl Store {
    /// Makes another value of [`StoreOptions::reads_ahead`](crate::StoreOptions::reads_ahead) count from now on.
    pub fn set_reads_ahead(&self, reads_ahead: bool) {
        self.shared.log.set_reads_ahead(reads_ahead);
    }

    /// Reads messages of a queue from an offset on. `filter` sees the tags code of each message before the log is
    /// touched and says whether it is wanted.
    ///
    /// A message that the queue names but that is not there any more, or not what the queue says, is left out. An error
    /// of the device ends the read with what it has; without anything it is [`GetStatus::OffsetFoundNull`].
    pub fn get(
        &self,
        queue: &Arc<Queue>,
        from: i64,
        limits: &GetLimits,
        filter: &mut dyn FnMut(i64) -> bool,
    ) -> GetResult {
        self.get_filtered(queue, from, limits, Filter { by_tags: filter, by_extension: None, by_record: None })
    }

    /// As [`Store::get`] with a filter that may look into the messages.
    pub fn get_filtered(&self, queue: &Arc<Queue>, from: i64, limits: &GetLimits, mut filter: Filter<'_>) -> GetResult {
        let mut read = self.begin(queue, from, limits, Patience::Disk);
        read.run(&mut filter);
        read.finish()
    }

    /// As [`Store::get`] as far as it needs no disk: `None` when the first message wanted, or the queue's unit of it, is
    /// not in memory. A read that comes to such a message later ends before it.
    pub fn get_cached(
        &self,
        queue: &Arc<Queue>,
        from: i64,
        limits: &GetLimits,
        filter: &mut dyn FnMut(i64) -> bool,
    ) -> Option<GetResult> {
        self.get_cached_filtered(queue, from, limits, Filter { by_tags: filter, by_extension: None, by_record: None })
    }

    /// As [`Store::get_cached`] with a filter that may look into the messages.
    pub fn get_cached_filtered(
        &self,
        queue: &Arc<Queue>,
        from: i64,
        limits: &GetLimits,
        mut filter: Filter<'_>,
    ) -> Option<GetResult> {
        let mut read = self.begin(queue, from, limits, Patience::Memory);
        read.run(&mut filter);
        (!read.needs_disk || read.result.count > 0).then(|| read.finish())
    }

    /// A read from an offset on. Where there is nothing to read, it has its result already.
    fn begin<'a>(&'a self, queue: &'a Queue, from: i64, limits: &'a GetLimits, patience: Patience) -> Read<'a> {
        let min = queue.min_offset();
        let begun =
            |result, end, needs_disk| Read { end, patience, needs_disk, ..Read::new(self, queue, limits, result) };
        let max = match self.visible_end_with(queue, patience) {
            Ok(max) => max,
            Err(error) => {
                let needs_disk = error.kind() == io::ErrorKind::WouldBlock;
                if !needs_disk {
                    tracing::error!(?queue, %error, "a consume queue cannot be read");
                }
                return begun(GetResult::empty(GetStatus::OffsetFoundNull, from, (min, from)), from, needs_disk);
            }
        };
        let (status, next, end) = if from > max && from <= queue.max_offset() {
            // These messages are there, but not readable yet: the reader stays where it is.
            (GetStatus::OffsetOverflowOne, from, from)
        } else if max == 0 {
            (GetStatus::NoMessageInQueue, 0, 0)
        } else if from < min {
            (GetStatus::OffsetTooSmall, min, min)
        } else if from == max {
            (GetStatus::OffsetOverflowOne, from, from)
        } else if from > max {
            (GetStatus::OffsetOverflowBadly, max, max)
        } else {
            (GetStatus::NoMatchedMessage, from, max)
        };
        begun(GetResult::empty(status, next, (min, max)), end, false)
    }

    /// Units of a queue from an offset on, up to `count` of those that it has.
    pub fn units(&self, queue: &Arc<Queue>, from: i64, count: usize) -> io::Result<Vec<Unit>> {
        let mut units = Vec::new();
        if queue.queue_type == QueueType::Batch {
            let mut position = queue.position_of(&self.shared.files, from)?;
            while from >= queue.min_offset() && position < queue.end() && units.len() < count {
                units.extend(queue.unit(&self.shared.files, position)?);
                position += 1;
            }
            return Ok(units);
        }
        let mut buffer = [0; CHUNK_UNITS * UNIT_BYTES];
        let mut next = from;
        while from >= queue.min_offset() && next < queue.max_offset() && units.len() < count {
            let wanted = (count - units.len()).min(CHUNK_UNITS);
            let found = queue.read(&self.shared.files, next, &mut buffer[..wanted * UNIT_BYTES], Patience::Disk)?;
            if found == 0 {
                break;
            }
            units.extend(Unit::decode_all(&buffer[..found * UNIT_BYTES]));
            next += found as i64;
        }
        Ok(units)
    }

    /// What the queue's extension says of a unit; `None` for a unit that needs none. Waits for the disk.
    pub fn extension(&self, queue: &Arc<Queue>, unit: &Unit) -> io::Result<Option<Extension>> {
        queue.extension(&self.shared.files, unit.tags_code, Patience::Disk)
    }

    /// The record at a log offset, if one is there. Waits for the disk.
    pub fn record_at(&self, log_offset: i64) -> Option<Bytes> {
        self.shared.log.record(log_offset).ok()
    }

    /// The record at a log offset, or why there is none; `None` when it is not in memory.
    pub fn record_cached(&self, log_offset: i64) -> Result<Option<Bytes>, ReadError> {
        self.shared.log.record_cached(log_offset, self.fresh_from(self.shared.log.appended.value()))
    }

    /// Log offset from which on everything was written recently.
    pub(crate) fn fresh_from(&self, log_end: i64) -> i64 {
        log_end - self.shared.appended_bytes.load(Ordering::Relaxed).min(FRESH_BYTES) as i64
    }

    /// The record at a log offset, or why there is none.
    pub fn record(&self, log_offset: i64) -> Result<Bytes, ReadError> {
        self.shared.log.record(log_offset)
    }

    /// Bytes of the log, for those who move it elsewhere: they must lie before `appended` and in one file.
    pub fn log_slice(&self, log_offset: i64, len: usize) -> Result<Bytes, ReadError> {
        self.shared.log.slice(log_offset, len)
    }
}

/// A read under way.
struct Read<'a> {
    store: &'a Store,
    queue: &'a Queue,
    limits: &'a GetLimits,
    log_end: i64,
    /// Where the queue ends for this read.
    end: i64,
    result: GetResult,
    /// The part of the log that is being looked at.
    window: Window,
    /// Records of the window that follow each other and are not in `result.slices` yet: from where to where in it.
    run: Range<usize>,
    /// Where the log goes on behind a part that was deleted: units before it are passed over.
    skip_log_until: i64,
    /// Log offset of the last unit that was looked at.
    last_log_offset: i64,
    patience: Patience,
    /// The part of the window that is known to be in memory: from where to where in it.
    loaded: Range<usize>,
    /// Log offset from which on everything was written recently.
    fresh_from: i64,
    /// The read has ended before something that is not in memory.
    needs_disk: bool,
}

/// A stretch of the log within one file.
#[derive(Default)]
struct Window {
    start: i64,
    bytes: Bytes,
}

impl Window {
    /// Where the unit's message lies in the window, if all of it does.
    fn position(&self, unit: &Unit) -> Option<Range<usize>> {
        let start = usize::try_from(unit.log_offset.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(unit.size as usize)?;
        (end <= self.bytes.len()).then_some(start..end)
    }
}

impl<'a> Read<'a> {
    fn new(store: &'a Store, queue: &'a Queue, limits: &'a GetLimits, result: GetResult) -> Read<'a> {
        let log_end = store.shared.log.appended.value();
        Read {
            store,
            queue,
            limits,
            log_end,
            end: 0,
            result,
            window: Window::default(),
            run: 0..0,
            skip_log_until: 0,
            last_log_offset: log_end,
            patience: Patience::Disk,
            loaded: 0..0,
            fresh_from: store.fresh_from(log_end),
            needs_disk: false,
        }
    }

    /// Walks units until a limit is reached, the queue ends, or as many were looked at as a read may.
    fn run(&mut self, filter: &mut Filter<'_>) {
        if self.queue.queue_type == QueueType::Batch {
            return self.run_batch(filter);
        }
        let shared = &*self.store.shared;
        let units_max = (shared.options.filter_bytes_max / UNIT_BYTES).max(self.limits.count);
        let units_max = i64::try_from(units_max).unwrap_or(i64::MAX);
        let scan_end = self.end.min(self.result.next_offset.saturating_add(units_max));
        // Files are named by positions, which are offsets in simple queues.
        let file_units = shared.files.units_per_file(QueueType::Simple);
        let files_max = i64::from(shared.options.queue_files_a_read.max(1));
        let files_end = (self.result.next_offset / file_units).saturating_add(files_max).saturating_mul(file_units);
        let mut buffer = [0; CHUNK_UNITS * UNIT_BYTES];
        while self.result.next_offset < scan_end {
            let mut until = scan_end;
            if self.result.count == 0 {
                if self.result.next_offset >= files_end {
                    return;
                }
                until = until.min(files_end);
            }
            let wanted = ((until - self.result.next_offset) as usize).min(CHUNK_UNITS);
            let into = &mut buffer[..wanted * UNIT_BYTES];
            let count = match self.queue.read(&shared.files, self.result.next_offset, into, self.patience) {
                Ok(count) if count > 0 => count,
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.needs_disk = true;
                    return;
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        tracing::error!(queue = ?self.queue, %error, "a consume queue cannot be read");
                    }
                    return self.skip_file();
                }
            };
            for unit in Unit::decode_all(&buffer[..count * UNIT_BYTES]) {
                if !self.take(&unit, (self.result.next_offset, 1), filter) {
                    return;
                }
                self.result.next_offset += 1;
            }
        }
    }

    /// The same in a batch queue: a unit stands for one or several messages, and the first one may hold messages before
    /// those asked for, which the client leaves out.
    fn run_batch(&mut self, filter: &mut Filter<'_>) {
        let shared = &*self.store.shared;
        let from = self.result.next_offset;
        // The original counts the distance of offsets, not of units.
        let distance_max = (shared.options.filter_bytes_max / BATCH_UNIT_BYTES).max(self.limits.count);
        let scan_end = self.end.min(from.saturating_add(i64::try_from(distance_max).unwrap_or(i64::MAX)));
        if from >= scan_end {
            return;
        }
        let mut position = match self.queue.position_of_with(&shared.files, from, self.patience) {
            Ok(position) => position,
            Err(error) => return self.batch_unreadable(&error),
        };
        loop {
            let unit = match self.queue.batch_unit_with(&shared.files, position, self.patience) {
                Ok(Some(unit)) if unit.base_offset < scan_end => unit,
                Ok(_) => return,
                Err(error) => return self.batch_unreadable(&error),
            };
            if !self.take(&unit.unit, (unit.base_offset, usize::from(unit.count.unsigned_abs())), filter) {
                return;
            }
            self.result.next_offset = unit.end_offset();
            position += 1;
        }
    }

    fn batch_unreadable(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.needs_disk = true;
            return;
        }
        tracing::error!(queue = ?self.queue, %error, "a batch consume queue cannot be read");
        if self.result.count == 0 {
            self.result.status = GetStatus::OffsetFoundNull;
        }
    }

    /// Answers a unit if it is wanted, given the offset of its first message and how many it holds. Returns whether the
    /// next unit may be looked at.
    fn take(&mut self, unit: &Unit, messages: (i64, usize), filter: &mut Filter<'_>) -> bool {
        if unit.is_blank() || unit.log_offset < self.skip_log_until {
            return true;
        }
        self.last_log_offset = unit.log_offset;
        if self.is_full(unit, messages.1) {
            return false;
        }
        match self.may_be_wanted(unit, filter) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.needs_disk = true;
                return false;
            }
            // What cannot be looked up is left to the record and to the client's filter.
            Err(error) => {
                tracing::error!(queue = ?self.queue, %error, "an extension of a consume queue cannot be read")
            }
        }
        match self.find(unit, messages.0) {
            Ok(position) => {
                let is_wanted = match &mut filter.by_record {
                    Some(wants) => wants(&self.window.bytes[position.clone()]),
                    None => true,
                };
                if is_wanted {
                    self.add(unit, messages.1, position);
                }
            }
            Err(ReadError::NotThere(_)) => {
                if self.result.count == 0 {
                    self.result.status = GetStatus::MessageWasRemoving;
                }
                self.skip_log_until = self.store.shared.log.next_segment_start(unit.log_offset);
            }
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.needs_disk = true;
                return false;
            }
            Err(error) => {
                let offset = self.result.next_offset;
                tracing::error!(queue = ?self.queue, offset, %error, "a message is passed over");
            }
        }
        true
    }

    /// Whether the filter lets the message through by what its queue says of it.
    fn may_be_wanted(&self, unit: &Unit, filter: &mut Filter<'_>) -> io::Result<bool> {
        let files = &self.store.shared.files;
        if let Some(wants) = &mut filter.by_extension
            && let Some(extension) = self.queue.extension(files, unit.tags_code, self.patience)?
        {
            return Ok((filter.by_tags)(extension.tags_code) && wants(&extension, unit.log_offset));
        }
        Ok((filter.by_tags)(self.queue.resolve_tags_code(files, unit.tags_code, self.patience)?))
    }

    /// Whether the answer has no room for the record and its messages. The first record always has.
    fn is_full(&self, unit: &Unit, messages: usize) -> bool {
        if self.result.count == 0 {
            return false;
        }
        let options = &self.store.shared.options;
        let in_memory = self.log_end.saturating_sub(unit.log_offset) <= options.in_memory_bytes;
        let own = if in_memory { &options.in_memory } else { &options.on_disk };
        let bytes = self.result.bytes.saturating_add(unit.size.max(0) as usize);
        self.result.count + messages > self.limits.count
            || self.result.count >= own.count
            || bytes > self.limits.bytes.min(own.bytes)
    }

    /// Where in the window the message lies that the unit names, if the log has it.
    fn find(&mut self, unit: &Unit, queue_offset: i64) -> Result<Range<usize>, ReadError> {
        let damaged = |reason: &str| ReadError::Damaged { log_offset: unit.log_offset, reason: reason.to_owned() };
        if unit.size <= 0 || unit.log_offset < 0 {
            return Err(damaged("a queue unit that no message has"));
        }
        let position = match self.window.position(unit) {
            Some(position) => position,
            None => {
                self.close_run();
                let bytes = self.store.shared.log.window(unit.log_offset, unit.size as usize, WINDOW_BYTES)?;
                self.window = Window { start: unit.log_offset, bytes };
                self.loaded = 0..0;
                0..unit.size as usize
            }
        };
        self.load(&position)?;
        let record = &self.window.bytes[position.clone()];
        // A light queue has messages of other topics, which have other offsets there.
        let is_right = match self.queue.is_light {
            true => check_record(record, unit.log_offset).is_ok(),
            false => is_record_of(record, self.queue.queue_id, queue_offset, unit.log_offset),
        };
        if is_right {
            return Ok(position);
        }
        Err(damaged("not the message that the queue names"))
    }

    /// Makes sure that a part of the window is in memory before it is looked at, as far as the read may wait.
    fn load(&mut self, position: &Range<usize>) -> Result<(), ReadError> {
        let start = self.window.start + position.start as i64;
        let is_loaded = self.loaded.start <= position.start && position.end <= self.loaded.end;
        if is_loaded || start >= self.fresh_from {
            return Ok(());
        }
        // What follows is wanted next, most likely: usually one look at all of the window will do.
        let log = &self.store.shared.log;
        let mut end = self.window.bytes.len();
        if !log.is_cached(start, end - position.start)? {
            end = position.end;
            if !log.is_cached(start, position.len())? {
                if self.patience == Patience::Memory {
                    return Err(ReadError::Io(io::ErrorKind::WouldBlock.into()));
                }
                end = position.end.max(position.start + FETCH_BYTES).min(self.window.bytes.len());
                log.fetch(start, end - position.start, READ_AHEAD_BYTES)?;
            }
        }
        self.loaded = position.start..end;
        Ok(())
    }

    fn add(&mut self, unit: &Unit, messages: usize, position: Range<usize>) {
        if self.run.end == position.start && !self.run.is_empty() {
            self.run.end = position.end;
        } else {
            self.close_run();
            self.run = position;
        }
        self.result.count += messages;
        self.result.bytes += unit.size as usize;
        self.result.status = GetStatus::Found;
    }

    fn close_run(&mut self) {
        if !self.run.is_empty() {
            self.result.slices.push(self.window.bytes.slice(self.run.clone()));
            self.run = 0..0;
        }
    }

    /// Goes on behind a file that is missing.
    fn skip_file(&mut self) {
        if self.result.count == 0 {
            let units = self.store.shared.files.units_per_file(QueueType::Simple);
            self.result.status = GetStatus::OffsetFoundNull;
            self.result.next_offset = self.result.next_offset / units * units + units;
        }
    }

    fn finish(mut self) -> GetResult {
        self.close_run();
        self.result.behind_bytes = self.log_end - self.last_log_offset;
        self.result.suggest_slave = self.result.behind_bytes > self.store.shared.options.in_memory_bytes;
        self.result
    }
}
