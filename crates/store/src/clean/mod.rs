//! Deleting what is not kept any longer, and noticing when the disk is full.
//!
//! [`Shared::clean_step`] looks at the time and at the room on the disks and does what is due: it deletes the oldest files
//! of the log, one a step; then queues and index follow the log's new beginning. [`policy`] says what may be deleted.
//! Nothing here holds a lock that an append needs for longer than it takes to change a number or a list.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use jiff::tz::TimeZone;
use parking_lot::Mutex;

use crate::consume_queue::Queue;
use crate::figures::emptiest;
use crate::open::{Shared, Store};

mod policy;
mod queues;

pub use policy::{CleanOptions, Hours, HoursError};
use policy::{Full, Need, Used};
pub use queues::DoomedQueues;

/// Looks that a request makes delete files (Java: `DefaultMessageStore.CleanCommitLogService`).
const ROUNDS_ASKED: u32 = 20;
/// Queues that follow the log in one step.
const QUEUES_A_STEP: usize = 512;

/// The state of deletion. Only the background changes `state`; what requests touch stands beside it, so that none waits
/// for the disk.
pub(crate) struct Clean {
    options: Mutex<Arc<CleanOptions>>,
    /// Looks still to be made because somebody asked for them, whatever the hour.
    asked: AtomicU32,
    /// The next look is due now.
    is_hurried: AtomicBool,
    /// Set while a disk is so full that nothing is accepted.
    is_full: AtomicBool,
    state: Mutex<State>,
}

/// When what is due.
struct State {
    full: Full,
    /// The look that is being made.
    round: Option<Round>,
    /// Before the next look.
    rounds: Pause,
    /// Before the next file of the log.
    segments: Pause,
    /// Queues that have not followed the log to `log_min` yet.
    queues: VecDeque<Arc<Queue>>,
    /// Before the next of them.
    following: Pause,
    log_min: i64,
    /// Bytes of the queues' files at the last look; 0 when the disk is not shared with other brokers.
    queue_bytes: u64,
    /// What was last complained of, so that a step a second does not fill the log of the broker.
    complaint: Option<String>,
}

/// What a step goes by.
struct Moment<'a> {
    now_ms: i64,
    need: Need,
    options: &'a CleanOptions,
}

/// A look for log files to delete.
#[derive(Clone, Copy)]
struct Round {
    /// Files that it may still delete.
    left: u32,
    /// Whether it is made because of the hour or of a request, and not only as long as room is needed.
    is_called: bool,
}

/// A span of time in milliseconds in which something is not done. A clock that goes back ends it.
#[derive(Clone, Copy, Default)]
struct Pause {
    from_ms: i64,
    until_ms: i64,
}

impl Pause {
    fn new(now_ms: i64, interval_ms: i64) -> Pause {
        Pause { from_ms: now_ms, until_ms: now_ms.saturating_add(interval_ms) }
    }

    fn is_over(self, now_ms: i64) -> bool {
        !(self.from_ms..self.until_ms).contains(&now_ms)
    }

    fn left_ms(self, now_ms: i64) -> i64 {
        if self.is_over(now_ms) { 0 } else { self.until_ms - now_ms }
    }
}

impl Clean {
    /// The first look is due an interval after the store was opened.
    pub(crate) fn new(options: CleanOptions, now_ms: i64) -> Clean {
        let state = State {
            full: Full::default(),
            round: None,
            rounds: Pause::new(now_ms, options.interval_ms),
            segments: Pause::default(),
            queues: VecDeque::new(),
            following: Pause::default(),
            log_min: 0,
            queue_bytes: 0,
            complaint: None,
        };
        Clean {
            options: Mutex::new(Arc::new(options)),
            asked: AtomicU32::new(0),
            is_hurried: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Whether a disk is so full that nothing is accepted.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }
}

impl Store {
    /// Makes other settings of deletion count from now on.
    pub fn set_clean_options(&self, options: CleanOptions) {
        *self.shared.clean.options.lock() = Arc::new(options);
    }

    /// Has files deleted that are old enough, whatever the hour: at once, and for some time to come (request
    /// DELETE_EXPIRED_COMMITLOG).
    pub fn delete_expired_files(&self) {
        self.shared.clean.asked.store(ROUNDS_ASKED, Ordering::Release);
        self.shared.clean.is_hurried.store(true, Ordering::Release);
        self.shared.signals.keeper.wake();
    }
}

impl Shared {
    /// Does what is due and returns in how many milliseconds there will be more to do, if that is known.
    pub(crate) fn clean_step(&self, now_ms: i64) -> Option<i64> {
        let options = self.clean.options.lock().clone();
        let state = &mut *self.clean.state.lock();
        let need = self.look_at_disks(state, &options);
        let moment = Moment { now_ms, need, options: &options };
        self.begin_round(state, &moment);
        if let Some(round) = state.round
            && state.segments.is_over(now_ms)
        {
            state.round = self.delete_segment(state, round, &moment);
        }
        self.follow_log(state, &moment);
        let deletes = state.round.map(|_| state.segments.left_ms(now_ms));
        let follows = (!state.queues.is_empty()).then(|| state.following.left_ms(now_ms));
        deletes.into_iter().chain(follows).min()
    }

    /// After the store was opened: every queue begins where the log does, and a full disk refuses from the start.
    pub(crate) fn begin_cleaning(&self) {
        let options = self.clean.options.lock().clone();
        let state = &mut *self.clean.state.lock();
        state.log_min = self.log.min_offset();
        self.queues.all().iter().for_each(|queue| queue.begins_at(state.log_min));
        self.look_at_disks(state, &options);
    }

    /// Whether every queue begins where the log does.
    pub(crate) fn has_followed_log(&self) -> bool {
        let state = self.clean.state.lock();
        state.queues.is_empty() && state.log_min == self.log.min_offset()
    }

    /// Lets the queues that have not done so yet begin where the log does. Before the store is closed, because what is
    /// written then is believed.
    pub(crate) fn end_cleaning(&self) -> io::Result<()> {
        let log_min = self.log.min_offset();
        self.queues.all().iter().try_for_each(|queue| queue.correct_min_offset(&self.files, log_min))
    }

    fn look_at_disks(&self, state: &mut State, options: &CleanOptions) -> Need {
        let before = state.full;
        let used = match self.used(state, options) {
            Ok(used) => used,
            Err(error) => {
                state.complain(format!("the room on the disk is not known: {error}"));
                return Need::default();
            }
        };
        let need = state.full.judge(used, options);
        let is_full = state.full.log || state.full.queues;
        self.clean.is_full.store(is_full, Ordering::Release);
        match (before != state.full, is_full) {
            (true, true) => {
                tracing::error!(log = used.log, queues = used.queues, "the disk is full: no messages are accepted");
            }
            (true, false) => tracing::info!(log = used.log, queues = used.queues, "the disk has room again"),
            (false, _) => {}
        }
        need
    }

    /// How much of the disks is used. Tells the log which of its folders get no new files.
    fn used(&self, state: &State, options: &CleanOptions) -> io::Result<Used> {
        let root = self.disk.usage(&self.options.root)?;
        let of_log = self.log_usages()?;
        let full = of_log.iter().filter(|(_, usage)| usage.used_ratio() > options.forcible_ratio);
        self.log.set_full_folders(full.map(|(folder, _)| folder.clone()).collect());
        let log = emptiest(&of_log).unwrap_or(root);
        let share = (options.brokers_on_disk > 1).then(|| {
            let own_bytes = self.log.file_bytes() + state.queue_bytes + self.index.file_bytes();
            own_bytes as f64 / (log.total_bytes / u64::from(options.brokers_on_disk)).max(1) as f64
        });
        Ok(Used { log: log.used_ratio(), queues: root.used_ratio(), share })
    }

    /// Begins to look for files to delete when it is time for that and there is a reason.
    fn begin_round(&self, state: &mut State, moment: &Moment<'_>) {
        let Moment { now_ms, need, options } = *moment;
        let is_hurried = self.clean.is_hurried.swap(false, Ordering::AcqRel);
        if state.round.is_some() || !(is_hurried || state.rounds.is_over(now_ms)) {
            return;
        }
        state.rounds = Pause::new(now_ms, options.interval_ms);
        if options.brokers_on_disk > 1 {
            state.queue_bytes = self.queues.all().iter().map(|queue| queue.file_bytes(&self.files)).sum();
        }
        // Nobody but a request raises it, and then it is no matter which of the two comes first.
        let asked = self.clean.asked.load(Ordering::Acquire);
        if asked > 0 {
            self.clean.asked.store(asked - 1, Ordering::Release);
        }
        let is_called = asked > 0 || options.hours.contain(now_ms, TimeZone::system());
        if is_called || need.reclaim {
            state.round = Some(Round { left: options.segments_max.max(1), is_called });
        }
    }

    /// Deletes the log's oldest file if that may be. Returns what is left of the round.
    fn delete_segment(&self, state: &mut State, round: Round, moment: &Moment<'_>) -> Option<Round> {
        let Moment { now_ms, need, options } = *moment;
        if round.left == 0 || !(round.is_called || need.reclaim) {
            return None;
        }
        let Some(path) = self.log.oldest_path() else {
            state.complain_of_room(need);
            return None;
        };
        let deleted = self.disk.modified_ms(&path).and_then(|modified_ms| {
            let is_old = modified_ms.saturating_add(options.reserved_ms) <= now_ms;
            let may_go = is_old || options.is_forcible && need.is_scarce;
            if may_go {
                // What says how far the queues have come must not be lost when the messages are gone that say it, too.
                self.settle_queues()?;
                self.log.delete_oldest(&path)?;
                self.log_earliest_time();
                tracing::info!(path = %path.display(), is_old, log_min = self.log.min_offset(), "deleted a log file");
            }
            Ok(may_go)
        });
        match deleted {
            Ok(true) => {
                state.complaint = None;
                state.segments = Pause::new(now_ms, options.segment_interval_ms);
                Some(Round { left: round.left - 1, ..round })
            }
            Ok(false) => {
                state.complain_of_room(need);
                None
            }
            Err(error) => {
                state.complain(format!("{} cannot be deleted: {error}", path.display()));
                state.segments = Pause::new(now_ms, options.retry_interval_ms);
                None
            }
        }
    }

    /// Lets queues and index begin where the log does: what they say of earlier messages is deleted.
    fn follow_log(&self, state: &mut State, moment: &Moment<'_>) {
        let Moment { now_ms, options, .. } = *moment;
        let log_min = self.log.min_offset();
        if state.queues.is_empty() && log_min > state.log_min {
            state.log_min = log_min;
            state.queues = self.queues.all().into();
            if let Err(error) = self.index.delete_before(log_min) {
                state.complain(format!("an index file cannot be deleted: {error}"));
            }
        }
        if state.queues.is_empty() || !state.following.is_over(now_ms) {
            return;
        }
        let count = state.queues.len().min(QUEUES_A_STEP);
        let batch: Vec<_> = state.queues.drain(..count).collect();
        let mut deleted = 0;
        let mut has_failed = false;
        for queue in batch {
            match queue.follow_log(&self.files, log_min) {
                Ok(count) => deleted += count,
                Err(error) => {
                    state.complain(format!("the queue {queue:?} cannot follow the log: {error}"));
                    state.queues.push_back(queue);
                    has_failed = true;
                }
            }
        }
        if has_failed {
            state.following = Pause::new(now_ms, options.retry_interval_ms);
        } else if deleted > 0 {
            state.following = Pause::new(now_ms, options.queues_interval_ms);
        }
    }
}

impl State {
    fn complain_of_room(&mut self, need: Need) {
        if need.reclaim {
            self.complain("room gets scarce, but no log file may be deleted".to_owned());
        }
    }

    fn complain(&mut self, of: String) {
        if self.complaint.as_ref() != Some(&of) {
            tracing::warn!("{of}");
            self.complaint = Some(of);
        }
    }
}
