//! Opening a store that has messages: finding the end of the log, and giving queues and index what they miss.
//!
//! What is done in which case stands in [`table`]; here it is carried out. Each good record is given to its queue, which
//! knows whether it has it already. A queue that misses units before the one it is given makes the walk start again one
//! file earlier. What lies behind the log's end is wiped, and queues are cut to it.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raptormq_protocol::message::record::RecordView;
use raptormq_protocol::message::sys_flag;

use crate::commit_log::recover::{Step, Walked};
use crate::consume_queue::load::{self, Loading, Replayed as Given};
use crate::consume_queue::tails::LogEnds;
use crate::consume_queue::unit::Unit;
use crate::consume_queue::{NewUnit, Queue, QueueType, light};
use crate::disk::{Space, is_full};
use crate::hash;
use crate::index::{Keys, Records};
use crate::open::{Dispatch, Found, Shared};
use crate::staging::{Facts, is_indexed};
use crate::unfit::Leftover;

mod table;

use table::{Behind, End, From, Indexed, Known, Log, Place, Seen, Stop, Tails, Then, Units, Vouch};

/// A checkpoint so far ahead of the clock is no checkpoint.
const CHECKPOINT_AHEAD_MAX_MS: i64 = 3_600_000;
/// Bytes of the log between two looks at the clock.
const PROGRESS_BYTES: i64 = 8 << 20;
/// Queues that recovery writes itself.
const REBUILT_MAX: usize = 1024;
/// Time between two lines of progress.
const PROGRESS_INTERVAL_MS: i64 = 1_000;

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whether it had been stopped in order.
    pub was_clean: bool,
    /// What the decision table calls the case.
    pub case: &'static str,
    /// What it calls the place where the log ends.
    pub end: &'static str,
    /// Log offset from which the log was walked.
    pub walked_from: i64,
    /// Log offset behind the last record.
    pub log_end: i64,
    /// Store timestamp up to which the checkpoint says that the log is on disk, in milliseconds; 0 when there is none.
    pub on_disk_until_ms: i64,
    /// Messages that queues had and the log has not.
    pub lost_count: u64,
    /// Bytes of the log that were damaged and left out, in files that go on behind them.
    pub damaged_bytes: u64,
    /// Units that were given to queues again.
    pub rebuilt_count: u64,
}

/// How the walk over the log went.
struct Replayed {
    walked: Walked,
    units: Units,
    end: &'static End,
    /// Where queues ended before, of those whose files were looked at.
    known: Vec<(i64, Arc<Queue>)>,
}

impl Recovered {
    fn stop(&self) -> Stop {
        if self.was_clean { Stop::Clean } else { Stop::Unclean }
    }
}

/// How records are given to queues.
#[derive(Clone, Copy)]
struct Manner {
    /// A queue that misses units before the one that it is given ends the walk: there is something else to try.
    may_start_earlier: bool,
    /// Queues are as they were written down; whether they have files is not known.
    is_written_down: bool,
}

/// Walks that tell how far they are.
struct Progress {
    began_ms: i64,
    told_ms: Cell<i64>,
    looked_at: Cell<i64>,
    rebuilt: Cell<u64>,
}

impl Shared {
    /// Recovers the store and marks it as running. Nothing was changed before, but the file `lock`.
    pub(crate) fn recover(&self, found: &Found) -> io::Result<Recovered> {
        self.write_abort()?;
        self.remove_leftovers(&found.leftovers)?;
        self.checkpoint.prepare(&*self.disk)?;
        if found.tails.is_none() {
            // What made it unbelievable may be gone the next time, and the queues not be what it says.
            self.tails.void()?;
        }
        if found.abort || found.tails.is_none() {
            self.files.assume_unsynced();
        }
        let mut recovered = Recovered { was_clean: !found.abort, ..Recovered::default() };
        let Replayed { walked, units, end, known } = self.replay_found(found.tails, &mut recovered)?;
        recovered.log_end = walked.end;
        recovered.end = end.name;
        if walked.is_torn {
            let (file, at) = self.log.file_of(walked.end);
            tracing::warn!(file, at, log_end = walked.end, "the log ends in a torn record, which is cut off");
        }
        self.log.cut(walked, end.then != Then::End)?;
        self.cut_queues(units, walked.end)?;
        let lost = |(max, queue): &(i64, Arc<Queue>)| (max - queue.max_offset()).max(0) as u64;
        recovered.lost_count = known.iter().map(lost).sum();
        self.index.cut(walked.end, self)?;
        self.dispatched.advance(walked.end);
        // What was walked was on disk, and what was changed of it was synced.
        self.log.flushed.advance(walked.end);
        self.note_recovered(self.log.end(), found.tails.is_some());
        self.report(&recovered, walked.store_timestamp_ms);
        self.write_rebuilt(&walked, recovered.walked_from)?;
        Ok(recovered)
    }

    /// Walks the log. When queues are not what was written down of them, they are looked at after all.
    fn replay_found(&self, tails: Option<LogEnds>, recovered: &mut Recovered) -> io::Result<Replayed> {
        let mut tails = tails;
        loop {
            // Queues that are believed lose nothing.
            let known = if tails.is_some() { Vec::new() } else { self.queues.all() };
            let known: Vec<_> = known.into_iter().map(|queue| (queue.max_offset(), queue)).collect();
            match self.replay_log(tails, recovered) {
                Ok(Some(replayed)) => return Ok(Replayed { known, ..replayed }),
                Err(error) if tails.is_none() || self.fuse.is_blown() => return Err(error),
                Err(error) => tracing::warn!(%error, "a queue cannot be read"),
                Ok(None) => {}
            }
            tracing::warn!("queues are not what raptormq.queues says of them: their files are looked at");
            tails = None;
            self.load_queues()?;
        }
    }

    /// Forgets the queues and reads their files.
    fn load_queues(&self) -> io::Result<()> {
        self.tails.forget()?;
        *self.dispatch.lock() = Dispatch::default();
        self.queues.clear();
        let log_min = self.log.min_offset();
        let loading = Loading { disk: &*self.disk, files: &self.files, table: &self.queues, log_min };
        let mut leftovers = Vec::new();
        for queue_type in [QueueType::Simple, QueueType::Batch] {
            load::load(&loading, queue_type, &mut leftovers).map_err(|unfit| io::Error::other(unfit.to_string()))?;
        }
        self.remove_leftovers(&leftovers)
    }

    fn remove_leftovers(&self, leftovers: &[Leftover]) -> io::Result<()> {
        leftovers.iter().try_for_each(|leftover| {
            tracing::warn!(path = %leftover.path.display(), why = leftover.why, "removed a file of no use");
            self.disk.remove(&leftover.path)
        })
    }

    /// Says what an unclean stop, or damage, came to.
    fn report(&self, recovered: &Recovered, last_stored_ms: i64) {
        if !recovered.was_clean {
            tracing::warn!(
                case = recovered.case,
                end = recovered.end,
                log_end = recovered.log_end,
                last_stored_ms,
                on_disk_until_ms = recovered.on_disk_until_ms,
                walked_from = recovered.walked_from,
                rebuilt = recovered.rebuilt_count,
                "the store was not stopped cleanly; it was recovered from the log"
            );
        }
        if recovered.lost_count > 0 || recovered.damaged_bytes > 0 {
            tracing::error!(
                lost_count = recovered.lost_count,
                damaged_bytes = recovered.damaged_bytes,
                "messages that queues had are not in the log any more"
            );
        }
        if last_stored_ms < recovered.on_disk_until_ms {
            tracing::error!(
                last_stored_ms,
                on_disk_until_ms = recovered.on_disk_until_ms,
                "messages that the checkpoint says are on disk are missing: the disk lost what it had confirmed"
            );
        }
    }

    /// Makes the file whose presence says that the store was not stopped. It holds the process id, as the original's.
    fn write_abort(&self) -> io::Result<()> {
        let path = self.options.root.join("abort");
        match self.disk.replace(&path, std::process::id().to_string().as_bytes()) {
            Err(error) if is_full(&error) => {}
            replaced => return replaced,
        }
        // What it holds is of no use to anybody, and an empty one takes no room.
        match self.disk.create(&path, 0, Space::Sparse) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.disk.sync_folder(&self.options.root),
        }
    }

    /// Walks the log; returns its end, and what is done there. Nothing when the queues are not what was written down.
    fn replay_log(&self, tails: Option<LogEnds>, recovered: &mut Recovered) -> io::Result<Option<Replayed>> {
        let stop = recovered.stop();
        // Queues that somebody removed are not those that the checkpoint vouches for.
        let has_queues = tails.is_some() || !self.queues.all().is_empty();
        let until_ms = self.vouched_until_ms().filter(|_| has_queues);
        recovered.on_disk_until_ms = self.log_vouched_until_ms().unwrap_or(0);
        let starts = self.log.segment_starts_from_last();
        let is_vouched = |start: &i64| {
            self.log.probe(*start).is_some_and(|stored_ms| until_ms.is_some_and(|until_ms| stored_ms <= until_ms))
        };
        let vouched = starts.iter().copied().find(is_vouched);
        let asks_queues = stop == Stop::Clean && tails.is_none();
        let queues_end = if asks_queues { self.queues_log_end()? } else { None };
        let row = table::start(&Seen {
            stop,
            log: if starts.is_empty() { Log::Empty } else { Log::Files },
            checkpoint: if vouched.is_some() { Vouch::Usable } else { Vouch::Useless },
            tails: if tails.is_some() { Tails::Believed } else { Tails::Unknown },
            queues: if queues_end.is_some() { Known::Last } else { Known::Nothing },
        });
        recovered.case = row.name;
        let first = self.log.min_offset();
        let mut cut_at = match row.from {
            From::Nowhere | From::First => first,
            From::QueuesEnd => queues_end.unwrap_or(first),
            From::TailsEnd => tails.map_or(first, |log| log.end),
            // What is older in that file needs no more than a look at where its records end.
            From::Vouched => self.log.first_after(vouched.unwrap_or(first), until_ms.unwrap_or(0))?,
        };
        let mut from = cut_at;
        let index = table::index(stop, self.indexed());
        tracing::debug!(log = row.name, index = index.name, "what the decision table says");
        if index.then == table::Keys::FromItsEnd
            && let Some(indexed) = self.verify_index()?
        {
            from = from.min(indexed);
        }
        let progress = Progress::new(self.clock.now_ms(), from);
        let mut has_more_than_vouched = row.from != From::First;
        loop {
            if row.units == Units::Cut && !has_more_than_vouched {
                // Until they are built again, queues lack units that the checkpoint vouches for. Another crash meanwhile
                // must not find it doing so.
                self.checkpoint.update(|checkpoint| checkpoint.queues_timestamp_ms = 0)?;
            }
            self.cut_queues(row.units, cut_at)?;
            self.cut_unreal_units(row.units)?;
            if stop == Stop::Unclean {
                // No unit is written before its message is on disk, which is not known of what the process left.
                self.log.sync_from(from)?;
            }
            recovered.walked_from = from;
            let is_written_down = row.units == Units::WrittenDown;
            let earlier = starts.iter().copied().find(|start| *start < from);
            let manner = Manner { is_written_down, may_start_earlier: is_written_down || earlier.is_some() };
            let (walked, end) = self.walk_on(from, manner, recovered, &progress)?;
            if is_written_down && walked.was_stopped {
                return Ok(None);
            }
            match earlier {
                Some(earlier) if walked.was_stopped => {
                    tracing::warn!(from, earlier, "a queue misses messages from before: the walk starts earlier");
                    (from, cut_at) = (earlier, earlier);
                    has_more_than_vouched = false;
                }
                _ => {
                    recovered.rebuilt_count = progress.rebuilt.get();
                    let walked = self.with_last_record(walked, tails)?;
                    return Ok(Some(Replayed { walked, units: row.units, end, known: Vec::new() }));
                }
            }
        }
    }

    /// Walks from an offset to the end of the log, across places that were damaged after they had been on disk.
    fn walk_on(
        &self,
        from: i64,
        manner: Manner,
        recovered: &mut Recovered,
        progress: &Progress,
    ) -> io::Result<(Walked, &'static End)> {
        let mut from = from;
        recovered.damaged_bytes = 0;
        progress.rebuilt.set(0);
        loop {
            let walked = self.log.walk(from, |record| {
                progress.tell(self, record.log_offset);
                self.replay(record, manner, progress)
            })?;
            let place = if walked.is_torn { Place::Damaged } else { Place::Unwritten };
            let (behind, next) = self.behind(walked.end);
            let row = table::end(recovered.stop(), place, behind);
            match next {
                Some(next) if row.then == Then::GoOn && !walked.was_stopped => {
                    let (file, at) = self.log.file_of(walked.end);
                    let bytes = (next - walked.end) as u64;
                    tracing::error!(file, at, bytes, "a log file is damaged; what follows in it is left out");
                    recovered.damaged_bytes += bytes;
                    from = next;
                }
                _ => return Ok((walked, row)),
            }
        }
    }

    /// What the log file behind an offset begins with, and where.
    fn behind(&self, log_offset: i64) -> (Behind, Option<i64>) {
        let Some(next) = self.log.segment(log_offset).map(|segment| segment.end) else {
            return (Behind::Nothing, None);
        };
        let behind = match (self.log.probe(next), self.log_vouched_until_ms()) {
            (None, _) => Behind::Nothing,
            (Some(stored_ms), Some(until_ms)) if stored_ms <= until_ms => Behind::Vouched,
            (Some(_), _) => Behind::Younger,
        };
        (behind, Some(next))
    }

    /// Store timestamp up to which the checkpoint says that log and queues are on disk; `None` when it cannot be believed.
    fn vouched_until_ms(&self) -> Option<i64> {
        self.believable(self.checkpoint.value().min_timestamp_ms())
    }

    /// The same of the log alone.
    fn log_vouched_until_ms(&self) -> Option<i64> {
        self.believable(self.checkpoint.value().log_until_ms())
    }

    fn believable(&self, until_ms: i64) -> Option<i64> {
        (1..=self.clock.now_ms() + CHECKPOINT_AHEAD_MAX_MS).contains(&until_ms).then_some(until_ms)
    }

    fn indexed(&self) -> Indexed {
        match (self.options.index_enabled, self.index.has_files()) {
            (false, _) => Indexed::Disabled,
            (true, false) => Indexed::Nothing,
            (true, true) => Indexed::Files,
        }
    }

    /// Checks the index against the log, and says from where it misses keys.
    fn verify_index(&self) -> io::Result<Option<i64>> {
        let safe_until_ms = self.checkpoint.value().index_timestamp_ms;
        let indexed = self.index.verify(safe_until_ms, i64::MAX, self)?;
        Ok(indexed.map(|indexed| match self.log.probe(indexed) {
            Some(_) => indexed,
            // The log does not have that record: the walk will show where it ends.
            None => {
                let starts = self.log.segment_starts_from_last();
                starts.into_iter().find(|start| *start <= indexed).unwrap_or_else(|| self.log.min_offset())
            }
        }))
    }

    /// Log offset behind the last record that a queue knows, if the log really has that record.
    fn queues_log_end(&self) -> io::Result<Option<i64>> {
        Ok(self.last_unit()?.filter(|unit| self.log.probe(unit.log_offset).is_some()).map(|unit| unit.log_end()))
    }

    /// The unit of the last record that a queue knows.
    fn last_unit(&self) -> io::Result<Option<Unit>> {
        let mut last: Option<Unit> = None;
        for queue in self.queues.all() {
            if let Some(unit) = queue.last_unit(&self.files)?
                && last.is_none_or(|last| last.log_offset < unit.log_offset)
            {
                last = Some(unit);
            }
        }
        Ok(last)
    }

    /// Gives a record to the index and to its queue. Stops the walk at a gap if it may start earlier.
    fn replay(&self, record: &RecordView<'_>, manner: Manner, progress: &Progress) -> io::Result<Step> {
        let properties = record.properties();
        let facts = Facts::read(&[&properties]);
        if facts.inner_count.is_some() && facts.inner_base.is_some() {
            // Only a batch queue's records have both. When the topic has queues already, those say what it is.
            let _ = self.queues.load_type(record.topic, QueueType::Batch);
        }
        let Ok(queue) = self.queues.get_or_create(record.topic, record.queue_id) else {
            tracing::error!(log_offset = record.log_offset, topic = record.topic, "a record of no possible queue");
            return Ok(Step::Next);
        };
        if self.options.index_enabled && is_indexed(record.sys_flag) {
            self.index.writer().replay(&key_hashes(record), record.log_offset, record.store_timestamp_ms);
            unless_full(self.index.write_if_overdue())?;
        }
        if sys_flag::is_queued(record.sys_flag) {
            let tags_code =
                facts.tags(queue.is_schedule, &self.options.delay_levels_ms).code(record.store_timestamp_ms);
            // A record's size is read from an i32.
            let unit = Unit { log_offset: record.log_offset, size: record.size as i32, tags_code };
            let Some((queue_offset, count)) = place(&queue, record, &facts) else {
                queue.pass_over(record.queue_offset);
                return Ok(Step::Next);
            };
            let mut bit_map = Vec::new();
            if let Some(bit_maps) = self.bit_maps_of(&queue) {
                bit_maps.fill(record.topic, &properties, &mut bit_map);
            }
            let store_timestamp_ms = record.store_timestamp_ms;
            let new = NewUnit { unit, queue_offset, count, store_timestamp_ms, bit_map: &bit_map };
            let (step, added) = self.replay_unit(&queue, &new, manner)?;
            progress.rebuilt.set(progress.rebuilt.get() + u64::from(added));
            if let Step::Stop = step {
                return Ok(step);
            }
            return self.replay_light(record, &facts, unit, manner);
        }
        Ok(Step::Next)
    }

    /// Gives a unit to the light queues that its message names.
    fn replay_light(&self, record: &RecordView<'_>, facts: &Facts<'_>, unit: Unit, manner: Manner) -> io::Result<Step> {
        let named = facts.multi_dispatch.zip(facts.multi_offsets);
        let named = named.filter(|_| self.options.light_enabled && light::may_have_light(record.topic));
        for (name, queue_offset) in named.into_iter().flat_map(|(names, offsets)| light::places(names, offsets)) {
            let Ok(queue) = self.queues.get_or_create(name, 0) else { continue };
            let store_timestamp_ms = record.store_timestamp_ms;
            let new = NewUnit { unit, queue_offset, count: 1, store_timestamp_ms, bit_map: &[] };
            if let (Step::Stop, _) = self.replay_unit(&queue, &new, manner)? {
                return Ok(Step::Stop);
            }
        }
        Ok(Step::Next)
    }

    /// Gives a unit to its queue; returns whether the queue took it.
    fn replay_unit(&self, queue: &Arc<Queue>, new: &NewUnit<'_>, manner: Manner) -> io::Result<(Step, bool)> {
        let (log_offset, queue_offset) = (new.unit.log_offset, new.queue_offset);
        let end = queue.end();
        let given = queue.replay(&self.files, new, manner.may_start_earlier)?;
        if let Given::Added = given {
            let is_first = !queue.is_dirty.load(Ordering::Acquire);
            if manner.is_written_down && is_first && end > 0 && !self.files.has_file(queue, end - 1)? {
                // Who removed it did not remove what was written down of it.
                return Err(io::ErrorKind::NotFound.into());
            }
            self.dispatch.lock().note_dirty(queue, new.store_timestamp_ms, log_offset);
        }
        match given {
            Given::Added if queue.is_overdue() => {
                unless_full(queue.write_behind(&self.files, i64::MAX)).map(|()| (Step::Next, true))
            }
            Given::Added => Ok((Step::Next, true)),
            Given::Known => Ok((Step::Next, false)),
            Given::Impossible => {
                tracing::error!(?queue, log_offset, queue_offset, "a record of an impossible queue offset is left out");
                Ok((Step::Next, false))
            }
            Given::Gap if manner.may_start_earlier => Ok((Step::Stop, false)),
            Given::Gap => {
                tracing::error!(?queue, queue_offset, "messages of a queue are missing in the log");
                queue.replay_behind_gap(&self.files, new, i64::MAX).map(|()| (Step::Next, true))
            }
        }
    }

    /// A walk that met no record does not know the last one; the queues do.
    fn with_last_record(&self, walked: Walked, tails: Option<LogEnds>) -> io::Result<Walked> {
        if walked.last_record >= 0 {
            return Ok(walked);
        }
        let last_record = match tails {
            Some(log) => Some(log.last_record),
            None => self.last_unit()?.map(|unit| unit.log_offset),
        };
        let known = last_record.and_then(|at| Some((at, self.log.probe(at)?)));
        let (last_record, store_timestamp_ms) = known.unwrap_or((-1, 0));
        Ok(Walked { last_record, store_timestamp_ms, ..walked })
    }

    /// The queues that lose units behind the start of the walk or the end of the log.
    fn queues_to_cut(&self, units: Units) -> Vec<Arc<Queue>> {
        if units == Units::Kept {
            return Vec::new();
        }
        let mut queues = self.queues.all();
        queues.retain(|queue| units == Units::Cut || queue.queue_type == QueueType::Batch);
        queues
    }

    /// Drops the units of messages at `log_offset` and behind it.
    fn cut_queues(&self, units: Units, log_offset: i64) -> io::Result<()> {
        for queue in self.queues_to_cut(units) {
            let dropped = queue.cut_at_log(&self.files, log_offset)?;
            if dropped > 0 {
                tracing::info!(?queue, dropped, log_offset, "units behind the log's good part are dropped");
            }
        }
        Ok(())
    }

    /// Drops units at the ends of queues whose messages the log does not have.
    fn cut_unreal_units(&self, units: Units) -> io::Result<()> {
        for queue in self.queues_to_cut(units) {
            let is_message = |record: &RecordView<'_>, queue_offset, unit: &Unit| {
                let place = (record.topic, record.queue_id, record.queue_offset);
                (queue.is_light || place == (&*queue.topic, queue.queue_id, queue_offset))
                    && record.size as i64 == i64::from(unit.size)
            };
            let is_real = |queue_offset, unit: &Unit| {
                // What was deleted with its log file cannot be looked at, and needs no repair.
                unit.log_offset < self.log.min_offset()
                    || self.log.probe_record(unit.log_offset, |record| is_message(record, queue_offset, unit))
                        == Some(true)
            };
            let dropped = queue.cut_unreal(&self.files, is_real)?;
            if dropped > 0 {
                tracing::warn!(?queue, dropped, "units of messages that the log does not have are dropped");
            }
        }
        Ok(())
    }

    /// Writes what recovery has rebuilt; of many queues the background does it. What a full disk does not take stays in
    /// memory, and nothing is accepted until it is written.
    fn write_rebuilt(&self, walked: &Walked, walked_from: i64) -> io::Result<()> {
        let mut dispatch = self.dispatch.lock();
        dispatch.store_timestamp_ms = walked.store_timestamp_ms;
        dispatch.last_record = walked.last_record;
        for dirty in &mut dispatch.dirty {
            // Where the walk has begun twice they do not come in the order of the log. The checkpoint waits for them.
            (dirty.since_ms, dirty.since_offset) = (0, walked_from);
        }
        let count = dispatch.dirty.len();
        drop(dispatch);
        if count > REBUILT_MAX {
            return Ok(());
        }
        match self.write_queues(count) {
            Err(error) if is_full(&error) => self.has_queue_error.store(true, Ordering::Release),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Ok(())
    }
}

/// What is not written because the disk is full is written later: it stays in memory.
fn unless_full(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if is_full(&error) => Ok(()),
        written => written,
    }
}

impl Progress {
    fn new(now_ms: i64, from: i64) -> Progress {
        let (told_ms, looked_at) = (Cell::new(now_ms), Cell::new(from));
        Progress { began_ms: now_ms, told_ms, looked_at, rebuilt: Cell::new(0) }
    }

    /// Says how far the walk is, once a second.
    fn tell(&self, shared: &Shared, log_offset: i64) {
        // A walk that starts again, from an earlier file, is behind where it was.
        if (log_offset - self.looked_at.get()).abs() < PROGRESS_BYTES {
            return;
        }
        self.looked_at.set(log_offset);
        let now_ms = shared.clock.now_ms();
        if now_ms - self.told_ms.get() >= PROGRESS_INTERVAL_MS {
            self.told_ms.set(now_ms);
            let end = shared.log.segment_starts_from_last().first().copied().unwrap_or(0);
            let seconds = (now_ms - self.began_ms) / 1_000;
            tracing::info!(log_offset, last_file = end, seconds, "recovering: the log is read");
        }
    }
}

/// Offset and number of the messages of a record in its queue; `None` when its batch queue does not have it, because the
/// original wrote a message there that is no batch.
pub(crate) fn place(queue: &Queue, record: &RecordView<'_>, facts: &Facts<'_>) -> Option<(i64, i16)> {
    match queue.queue_type {
        QueueType::Simple => Some((record.queue_offset, 1)),
        QueueType::Batch => {
            let count = facts.inner_count?.parse().ok().filter(|count| *count > 0)?;
            Some((facts.inner_base?.parse().ok()?, count))
        }
    }
}

impl Records for Shared {
    fn keys_at(&self, log_offset: i64) -> Keys {
        if log_offset < self.log.min_offset() {
            return Keys::Deleted;
        }
        let keys = |record: &RecordView<'_>| Keys::Known {
            store_timestamp_ms: record.store_timestamp_ms,
            java_hashes: if is_indexed(record.sys_flag) { key_hashes(record) } else { Vec::new() },
        };
        self.log.probe_record(log_offset, keys).unwrap_or(Keys::Nothing)
    }
}

/// Java's hashes of `topic#key` for each key of a record.
pub(crate) fn key_hashes(record: &RecordView<'_>) -> Vec<i32> {
    let mut hashes = Vec::new();
    let topic_hash = hash::extend(hash::extend(0, record.topic), "#");
    Facts::read(&[&record.properties()]).push_key_hashes(topic_hash, &mut hashes);
    hashes
}
