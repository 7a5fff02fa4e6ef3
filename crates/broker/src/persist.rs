//! Keeps topics, groups and offsets on disk, in the original's files and form: `config/*.json` under the store's folder.
//!
//! One thread writes them ([`run`]), so that no I/O thread waits for a disk. Who must not answer before a change is kept
//! waits for [`Keeper::keep`]; changes that come while a file is written are kept together by the next write.
//! Java: `common/ConfigManager.java`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raptormq_protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, LmqConsumerOffsetSerializeWrapper,
};
use raptormq_protocol::json;
use raptormq_store::Unfit;
use raptormq_store::disk::Disk;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::configure::Change;
use crate::failure::Failure;

/// Longest file that is read: some million topics.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// How old a backup is before it is written anew. The file itself is replaced at once or not at all; the backup is for
/// what others do to it.
const BACKUP_INTERVAL: Duration = Duration::from_secs(5);

/// Longest time between two writes of such a table, whatever is set: an end that can be added to any moment.
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Changes of settings that may wait. Each takes a few ms of disk.
const CHANGES_MAX: usize = 1024;

/// Where the original keeps consumers' offsets with `enableLmq`, in place of `consumerOffset.json`.
const LIGHT_OFFSETS: &str = "lmqConsumerOffset.json";

/// A file that the broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Topics,
    Groups,
    Offsets,
    DelayOffsets,
    RequestModes,
    Filters,
}

impl Table {
    const ALL: [Table; 6] =
        [Table::Topics, Table::Groups, Table::Offsets, Table::DelayOffsets, Table::RequestModes, Table::Filters];

    /// Those that change all the time.
    const PACED: [Table; 3] = [Table::Offsets, Table::DelayOffsets, Table::Filters];

    fn file_name(self) -> &'static str {
        match self {
            Table::Topics => "topics.json",
            Table::Groups => "subscriptionGroup.json",
            Table::Offsets => "consumerOffset.json",
            Table::DelayOffsets => "delayOffset.json",
            Table::RequestModes => "messageRequestMode.json",
            Table::Filters => "consumerFilter.json",
        }
    }
}

/// How often tables that change all the time are written, while they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    pub(crate) offsets: Duration,
    pub(crate) delay_offsets: Duration,
    pub(crate) filters: Duration,
}

/// When such a table is written next.
struct Pace {
    table: Table,
    due: Instant,
}

/// Why a kept file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The system does not give it.
    #[error(transparent)]
    Read(#[from] Unfit),
    /// Its content is not what the original or we write.
    #[error("{} is damaged, and so is {}.bak or it is missing ({reason}); restore one of them, or move it away to start without", .path.display(), .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Where the files are, and what is to be written.
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Offsets are kept in [`LIGHT_OFFSETS`].
    has_light: bool,
    intervals: Mutex<Intervals>,
    pending: Mutex<Pending>,
    wake: Condvar,
    /// How often topics, groups or settings have changed: what a pull was allowed by may be other than it was.
    rules: AtomicU64,
    /// When each table's backup was last written.
    backed_up: Mutex<[Option<Instant>; Table::ALL.len()]>,
}

/// Waits for a table to be on disk.
struct Waiter {
    table: Table,
    told: oneshot::Sender<Result<(), String>>,
}

#[derive(Default)]
struct Pending {
    /// Changed since they were last written, or since their writing began.
    dirty: Vec<Table>,
    /// Wait for what is dirty.
    waiting: Vec<Waiter>,
    /// What is being written now.
    writing: Vec<Table>,
    /// Wait for what is being written.
    joined: Vec<Waiter>,
    /// Why the last write of a table failed, if it did.
    failures: Failures,
    /// Settings to change.
    changes: Vec<Change>,
    is_stopped: bool,
}

/// Tables that could not be written, and why.
type Failures = Vec<(Table, String)>;

/// What the thread takes upon itself.
struct Work {
    dirty: Vec<Table>,
    waiting: Vec<Waiter>,
    changes: Vec<Change>,
    is_stopped: bool,
}

impl Keeper {
    /// `store_root` is the store's folder; `has_light` says whether it has light queues (`enableLmq`).
    pub(crate) fn new(disk: Arc<dyn Disk>, store_root: &Path, has_light: bool, intervals: Intervals) -> Keeper {
        let folder = store_root.join("config");
        Keeper {
            disk,
            folder,
            has_light,
            intervals: Mutex::new(intervals),
            pending: Mutex::default(),
            wake: Condvar::new(),
            rules: AtomicU64::default(),
            backed_up: Mutex::default(),
        }
    }

    /// Tables are written so often from now on.
    pub(crate) fn set_intervals(&self, intervals: Intervals) {
        *self.intervals.lock() = intervals;
    }

    /// When a table that changes all the time is written next.
    fn due(&self, table: Table) -> Instant {
        let intervals = *self.intervals.lock();
        let interval = match table {
            Table::DelayOffsets => intervals.delay_offsets,
            Table::Filters => intervals.filters,
            Table::Topics | Table::Groups | Table::Offsets | Table::RequestModes => intervals.offsets,
        };
        Instant::now() + interval.min(INTERVAL_MAX)
    }

    /// Changes settings, and answers who asked for it.
    pub(crate) fn configure(&self, change: Change) {
        let mut pending = self.pending.lock();
        if pending.is_stopped {
            drop(pending);
            return change.refuse(&Failure::system("the broker stops"));
        }
        if pending.changes.len() >= CHANGES_MAX {
            drop(pending);
            return change.refuse(&Failure::overload());
        }
        pending.changes.push(change);
        drop(pending);
        self.wake.notify_one();
    }

    /// The file of a table.
    fn path(&self, table: Table) -> PathBuf {
        match table {
            Table::Offsets if self.has_light => self.folder.join(LIGHT_OFFSETS),
            table => self.folder.join(table.file_name()),
        }
    }

    /// What was kept of a table other than the offsets; the default when nothing was.
    pub(crate) fn load<T: DeserializeOwned + Default>(&self, table: Table) -> Result<T, KeptError> {
        Ok(self.load_from(self.path(table))?.unwrap_or_default())
    }

    /// The offsets that were kept. A broker that has light queues for the first time takes those it had without, which the
    /// original forgets.
    pub(crate) fn load_offsets(&self) -> Result<ConsumerOffsetSerializeWrapper, KeptError> {
        if self.has_light
            && let Some(kept) = self.load_from::<LmqConsumerOffsetSerializeWrapper>(self.folder.join(LIGHT_OFFSETS))?
        {
            return Ok(kept.into());
        }
        Ok(self.load_from(self.folder.join(Table::Offsets.file_name()))?.unwrap_or_default())
    }

    fn load_from<T: DeserializeOwned>(&self, path: PathBuf) -> Result<Option<T>, KeptError> {
        let main = self.read::<T>(&path)?;
        if let Some(Ok(kept)) = main {
            return Ok(Some(kept));
        }
        match (main, self.read::<T>(&backup_of(&path))?) {
            (_, Some(Ok(kept))) => {
                tracing::warn!(path = %path.display(), "a file is missing or damaged; its backup is used");
                Ok(Some(kept))
            }
            (None, None) => Ok(None),
            (Some(Err(reason)), _) | (_, Some(Err(reason))) => Err(KeptError::Damaged { path, reason }),
            (Some(Ok(kept)), None) => Ok(Some(kept)),
        }
    }

    /// The content of a file; `None` when there is none or it is empty.
    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<Result<T, String>>, KeptError> {
        match self.disk.read(path, FILE_BYTES_MAX) {
            Ok(text) if text.trim_ascii().is_empty() => Ok(None),
            Ok(text) => Ok(Some(json::from_slice(&text).map_err(|error| error.to_string()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(KeptError::Read(Unfit::Io { path: self.folder.clone(), error }))
            }
            Err(error) => Err(KeptError::Read(Unfit::Io { path: path.to_owned(), error })),
        }
    }

    /// A number that becomes another one when topics, groups or settings have changed.
    pub(crate) fn rules(&self) -> u64 {
        self.rules.load(Ordering::Acquire)
    }

    /// Notes that what requests are allowed by has changed.
    pub(crate) fn rules_changed(&self) {
        self.rules.fetch_add(1, Ordering::Release);
    }

    /// Notes that a table changed; it is written soon.
    pub(crate) fn changed(&self, table: Table) {
        if matches!(table, Table::Topics | Table::Groups) {
            self.rules_changed();
        }
        let mut pending = self.pending.lock();
        pending.mark(table);
        drop(pending);
        self.wake.notify_one();
    }

    /// Notes that a table changed, and tells when that is on disk, or why it is not.
    pub(crate) fn keep(&self, table: Table) -> oneshot::Receiver<Result<(), String>> {
        self.changed(table);
        self.kept(table)
    }

    /// Tells when every change that was noted of the table is on disk, or why it is not.
    pub(crate) fn kept(&self, table: Table) -> oneshot::Receiver<Result<(), String>> {
        let (told, waiting) = oneshot::channel();
        let waiter = Waiter { table, told };
        let mut pending = self.pending.lock();
        if pending.dirty.contains(&table) && !pending.is_stopped {
            pending.waiting.push(waiter);
        } else if pending.writing.contains(&table) {
            pending.joined.push(waiter);
        } else {
            waiter.tell(&pending.failures, pending.is_stopped);
        }
        waiting
    }

    /// Lets [`run`] write what is left and return.
    pub(crate) fn stop(&self) {
        self.pending.lock().is_stopped = true;
        self.wake.notify_one();
    }

    /// Waits for changes, or until it is time for the offsets.
    fn next(&self, until: Instant) -> Work {
        let mut pending = self.pending.lock();
        while pending.dirty.is_empty() && pending.changes.is_empty() && !pending.is_stopped {
            if self.wake.wait_until(&mut pending, until).timed_out() {
                break;
            }
        }
        let work = Work {
            dirty: std::mem::take(&mut pending.dirty),
            waiting: std::mem::take(&mut pending.waiting),
            changes: std::mem::take(&mut pending.changes),
            is_stopped: pending.is_stopped,
        };
        pending.writing.clone_from(&work.dirty);
        work
    }

    /// Tells all who wait how the writing of `written` went.
    fn done(&self, written: &[Table], waiting: Vec<Waiter>, failures: &Failures) {
        let mut pending = self.pending.lock();
        pending.writing.clear();
        pending.failures.retain(|(table, _)| !written.contains(table));
        pending.failures.extend_from_slice(failures);
        let joined = std::mem::take(&mut pending.joined);
        drop(pending);
        waiting.into_iter().chain(joined).for_each(|waiter| waiter.tell(failures, false));
    }

    fn write(&self, broker: &Broker, table: Table) -> Result<(), String> {
        match table {
            Table::Topics => self.replace(table, &broker.topics.snapshot()),
            Table::Groups => self.replace(table, &broker.groups.snapshot()),
            Table::Offsets => self.replace_offsets(broker.offsets.snapshot()),
            Table::DelayOffsets => self.replace(table, &broker.delay_offsets()),
            Table::RequestModes => self.replace(table, &broker.request_modes.snapshot()),
            Table::Filters => self.replace(table, &broker.filters.snapshot()),
        }
    }

    fn replace_offsets(&self, offsets: ConsumerOffsetSerializeWrapper) -> Result<(), String> {
        match self.has_light {
            true => self.replace(Table::Offsets, &LmqConsumerOffsetSerializeWrapper::from(offsets)),
            false => self.replace(Table::Offsets, &offsets),
        }
    }

    /// Writes the offsets before anything runs. What cannot be written is left to [`run`].
    pub(crate) fn keep_offsets_now(&self, offsets: ConsumerOffsetSerializeWrapper) {
        self.kept_now(Table::Offsets, self.replace_offsets(offsets));
    }

    /// Does the same with how far delay levels are.
    pub(crate) fn keep_delays_now(&self, delays: &DelayOffsetSerializeWrapper) {
        self.kept_now(Table::DelayOffsets, self.replace(Table::DelayOffsets, delays));
    }

    fn kept_now(&self, table: Table, replaced: Result<(), String>) {
        if let Err(reason) = replaced {
            tracing::error!(reason, "metadata is not kept; it is tried again");
            self.changed(table);
        }
    }

    /// The new content takes the place of the old one, which becomes the backup; but that not at every change of many.
    fn replace(&self, table: Table, value: &impl Serialize) -> Result<(), String> {
        let path = self.path(table);
        let failed = |error: io::Error| format!("cannot write {}: {error}", path.display());
        let text = json::to_pretty(value).map_err(|error| error.to_string())?;
        self.disk.create_folder(&self.folder).map_err(failed)?;
        let last_backup = &mut self.backed_up.lock()[table as usize];
        if last_backup.is_none_or(|at| at.elapsed() >= BACKUP_INTERVAL) {
            match self.disk.read(&path, FILE_BYTES_MAX) {
                Ok(old) if old == text => return Ok(()),
                Ok(old) if !old.is_empty() => {
                    self.disk.replace(&backup_of(&path), &old).map_err(failed)?;
                    *last_backup = Some(Instant::now());
                }
                _ => {}
            }
        }
        self.disk.replace(&path, &text).map_err(failed)
    }
}

impl Waiter {
    fn tell(self, failures: &Failures, is_stopped: bool) {
        let failure = failures.iter().find(|(table, _)| *table == self.table).map(|(_, reason)| reason.clone());
        let result = match is_stopped {
            true => Err("the broker stops".to_owned()),
            false => failure.map_or(Ok(()), Err),
        };
        // Who waits for it may have given up.
        let _ = self.told.send(result);
    }
}

impl Pending {
    fn mark(&mut self, table: Table) {
        if !self.dirty.contains(&table) {
            self.dirty.push(table);
        }
    }
}

fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    name.into()
}

/// The keeper's thread: writes what changed until the broker stops, and everything once more then. What could not be
/// written is tried again when the offsets are.
pub(crate) fn run(broker: &Broker) {
    let keeper = &broker.keeper;
    let mut paces = Table::PACED.map(|table| Pace { table, due: keeper.due(table) });
    let mut failures = Failures::new();
    loop {
        let until = paces.iter().map(|pace| pace.due).min().unwrap_or_else(Instant::now);
        let mut work = keeper.next(until);
        for change in std::mem::take(&mut work.changes) {
            change.run(broker, &*keeper.disk);
            paces.iter_mut().for_each(|pace| pace.due = pace.due.min(keeper.due(pace.table)));
        }
        if work.is_stopped {
            work.dirty = Table::ALL.to_vec();
        } else {
            let now = Instant::now();
            for pace in paces.iter_mut().filter(|pace| now >= pace.due) {
                pace.due = keeper.due(pace.table);
                work.dirty.extend(failures.iter().map(|(table, _)| *table));
                if broker.take_dirty(pace.table) {
                    work.dirty.push(pace.table);
                }
            }
            work.dirty.sort_unstable();
            work.dirty.dedup();
        }
        failures.retain(|(table, _)| !work.dirty.contains(table));
        for table in &work.dirty {
            if let Err(reason) = keeper.write(broker, *table) {
                tracing::error!(reason, "metadata is not kept; it is tried again");
                failures.push((*table, reason));
            }
        }
        keeper.done(&work.dirty, work.waiting, &failures);
        if work.is_stopped {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_protocol::body::{TopicConfig, TopicConfigSerializeWrapper};
    use raptormq_store::disk::real::RealDisk;

    fn keeper(folder: &Path) -> Keeper {
        let interval = Duration::from_secs(5);
        Keeper::new(
            Arc::new(RealDisk),
            folder,
            false,
            Intervals { offsets: interval, delay_offsets: interval, filters: interval },
        )
    }

    fn table(topic: &str) -> TopicConfigSerializeWrapper {
        let config = TopicConfig { topic_name: topic.into(), ..TopicConfig::default() };
        TopicConfigSerializeWrapper { topic_config_table: [(topic.to_owned(), config)].into(), ..Default::default() }
    }

    #[test]
    fn a_table_comes_back_also_from_its_backup() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(folder.path());
        let load = || keeper.load::<TopicConfigSerializeWrapper>(Table::Topics);
        assert_eq!(load().unwrap(), TopicConfigSerializeWrapper::default());
        keeper.replace(Table::Topics, &table("old")).unwrap();
        keeper.replace(Table::Topics, &table("new")).unwrap();
        assert_eq!(load().unwrap(), table("new"));

        let path = folder.path().join("config/topics.json");
        for damage in ["", "{\"topicConfigTable\":{"] {
            std::fs::write(&path, damage).unwrap();
            assert_eq!(load().unwrap(), table("old"), "{damage:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(load().unwrap(), table("old"));
    }

    #[test]
    fn who_waits_is_told_when_what_changed_before_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(folder.path());
        assert_eq!(keeper.kept(Table::Topics).try_recv().unwrap(), Ok(()), "nothing is to be written");
        let mut first = keeper.keep(Table::Topics);
        let work = keeper.next(Instant::now());
        let mut during = keeper.kept(Table::Topics);
        let mut next = keeper.keep(Table::Topics);
        assert!(first.try_recv().is_err() && during.try_recv().is_err());
        assert_eq!(keeper.kept(Table::Groups).try_recv().unwrap(), Ok(()), "another table");
        keeper.done(&work.dirty, work.waiting, &vec![(Table::Topics, "disk full".into())]);
        for told in [&mut first, &mut during] {
            assert_eq!(told.try_recv().unwrap(), Err("disk full".to_owned()));
        }
        assert!(next.try_recv().is_err(), "it came after the writing had begun");
        let work = keeper.next(Instant::now());
        keeper.done(&work.dirty, work.waiting, &Failures::new());
        assert_eq!(next.try_recv().unwrap(), Ok(()));
        keeper.stop();
        assert!(keeper.keep(Table::Topics).try_recv().unwrap().is_err());
    }

    #[test]
    fn with_light_queues_the_offsets_have_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = |offset| ConsumerOffsetSerializeWrapper {
            offset_table: [("%LMQ%a@%LMQ%a", offset), ("T@g", 3)]
                .map(|(key, at)| (key.to_owned(), [(0, at)].into()))
                .into(),
            ..ConsumerOffsetSerializeWrapper::default()
        };
        let plain = keeper(folder.path());
        plain.replace_offsets(offsets(1)).unwrap();
        let light = Keeper { has_light: true, ..keeper(folder.path()) };
        assert_eq!(light.load_offsets().unwrap(), offsets(1), "it has none of its own yet");
        light.replace_offsets(offsets(7)).unwrap();
        assert_eq!((light.load_offsets().unwrap(), plain.load_offsets().unwrap()), (offsets(7), offsets(1)));
        let text = std::fs::read_to_string(folder.path().join("config/lmqConsumerOffset.json")).unwrap();
        let form = "{\n\t\"lmqOffsetTable\":{\n\t\t\"%LMQ%a@%LMQ%a\":7\n\t},\n\t\"offsetTable\":{\n\t\t\"T@g\":{0:3";
        assert!(text.starts_with(form), "{text}");
    }

    #[test]
    fn a_damaged_table_without_backup_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/topics.json"), "{").unwrap();
        let error = keeper(folder.path()).load::<TopicConfigSerializeWrapper>(Table::Topics).unwrap_err();
        assert!(error.to_string().contains("topics.json is damaged"), "{error}");
    }

    #[test]
    fn the_file_has_the_originals_form() {
        let folder = tempfile::tempdir().unwrap();
        keeper(folder.path()).replace(Table::Topics, &table("T")).unwrap();
        let text = std::fs::read_to_string(folder.path().join("config/topics.json")).unwrap();
        assert!(text.starts_with("{\n\t\"dataVersion\":{\n\t\t\"counter\":0,"), "{text}");
        assert!(text.contains("\n\t\"topicConfigTable\":{\n\t\t\"T\":{\n"), "{text}");
    }
}
