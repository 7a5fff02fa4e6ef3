//! Keeps topics, groups and offsets on disk, in the original's files and form: `config/*.json` under the store's folder.
//!
//! One thread writes them ([`run`]), so that no I/O thread waits for a disk. Who must not answer before a change is kept
//! waits for [`Keeper::keep`]; changes that come while a file is written are kept together by the next write.
//! Java: `common/ConfigManager.java`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raptormq_protocol::json;
use raptormq_store::disk::Disk;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::broker::Broker;

/// Longest file that is read: some million topics.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file that the broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Topics,
    Groups,
    Offsets,
}

impl Table {
    const ALL: [Table; 3] = [Table::Topics, Table::Groups, Table::Offsets];

    fn file_name(self) -> &'static str {
        match self {
            Table::Topics => "topics.json",
            Table::Groups => "subscriptionGroup.json",
            Table::Offsets => "consumerOffset.json",
        }
    }
}

/// Why a kept file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The system does not give it.
    #[error("cannot read {}: {source}; check its permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
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
    offsets_interval: Duration,
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    dirty: Vec<Table>,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    is_stopped: bool,
}

impl Keeper {
    /// `store_root` is the store's folder; offsets are written so often while they change.
    pub(crate) fn new(disk: Arc<dyn Disk>, store_root: &Path, offsets_interval: Duration) -> Keeper {
        let folder = store_root.join("config");
        Keeper { disk, folder, offsets_interval, pending: Mutex::default(), wake: Condvar::new() }
    }

    /// What was kept of a table; the default when nothing was.
    pub(crate) fn load<T: DeserializeOwned + Default>(&self, table: Table) -> Result<T, KeptError> {
        let path = self.folder.join(table.file_name());
        let main = self.read::<T>(&path)?;
        if let Some(Ok(kept)) = main {
            return Ok(kept);
        }
        match (main, self.read::<T>(&backup_of(&path))?) {
            (_, Some(Ok(kept))) => {
                tracing::warn!(path = %path.display(), "a file is missing or damaged; its backup is used");
                Ok(kept)
            }
            (None, None) => Ok(T::default()),
            (Some(Err(reason)), _) | (_, Some(Err(reason))) => Err(KeptError::Damaged { path, reason }),
            (Some(Ok(kept)), None) => Ok(kept),
        }
    }

    /// The content of a file; `None` when there is none or it is empty.
    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<Result<T, String>>, KeptError> {
        match self.disk.read(path, FILE_BYTES_MAX) {
            Ok(text) if text.trim_ascii().is_empty() => Ok(None),
            Ok(text) => Ok(Some(json::from_slice(&text).map_err(|error| error.to_string()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeptError::Read { path: path.to_owned(), source }),
        }
    }

    /// Notes that a table changed; it is written soon.
    pub(crate) fn changed(&self, table: Table) {
        let mut pending = self.pending.lock();
        pending.mark(table);
        drop(pending);
        self.wake.notify_one();
    }

    /// Notes that a table changed, and returns what tells when that is on disk, or why it is not.
    pub(crate) fn keep(&self, table: Table) -> oneshot::Receiver<Result<(), String>> {
        let (kept, waiting) = oneshot::channel();
        let mut pending = self.pending.lock();
        pending.mark(table);
        if pending.is_stopped {
            // Who waits for it may have given up.
            let _ = kept.send(Err("the broker stops".to_owned()));
        } else {
            pending.waiting.push(kept);
        }
        drop(pending);
        self.wake.notify_one();
        waiting
    }

    /// Lets [`run`] write what is left and return.
    pub(crate) fn stop(&self) {
        self.pending.lock().is_stopped = true;
        self.wake.notify_one();
    }

    /// Waits for changes, or until it is time for the offsets.
    fn next(&self, until: Instant) -> Pending {
        let mut pending = self.pending.lock();
        while pending.dirty.is_empty() && !pending.is_stopped {
            if self.wake.wait_until(&mut pending, until).timed_out() {
                break;
            }
        }
        Pending {
            dirty: std::mem::take(&mut pending.dirty),
            waiting: std::mem::take(&mut pending.waiting),
            is_stopped: pending.is_stopped,
        }
    }

    fn write(&self, broker: &Broker, table: Table) -> Result<(), String> {
        match table {
            Table::Topics => self.replace(table, &broker.topics.snapshot()),
            Table::Groups => self.replace(table, &broker.groups.snapshot()),
            Table::Offsets => self.replace(table, &broker.offsets.snapshot()),
        }
    }

    /// The old content becomes the backup, the new one takes its place.
    fn replace(&self, table: Table, value: &impl Serialize) -> Result<(), String> {
        let path = self.folder.join(table.file_name());
        let failed = |error: io::Error| format!("cannot write {}: {error}", path.display());
        let text = json::to_pretty(value).map_err(|error| error.to_string())?;
        self.disk.create_folder(&self.folder).map_err(failed)?;
        match self.disk.read(&path, FILE_BYTES_MAX) {
            Ok(old) if old == text => return Ok(()),
            Ok(old) if !old.is_empty() => self.disk.replace(&backup_of(&path), &old).map_err(failed)?,
            _ => {}
        }
        self.disk.replace(&path, &text).map_err(failed)
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

/// The keeper's thread: writes what changed until the broker stops, and everything once more then.
pub(crate) fn run(broker: &Broker) {
    let keeper = &broker.keeper;
    let mut offsets_at = Instant::now() + keeper.offsets_interval;
    loop {
        let mut pending = keeper.next(offsets_at);
        if pending.is_stopped {
            pending.dirty = Table::ALL.to_vec();
        }
        if Instant::now() >= offsets_at || pending.dirty.contains(&Table::Offsets) {
            offsets_at = Instant::now() + keeper.offsets_interval;
            if broker.offsets.take_dirty() {
                pending.mark(Table::Offsets);
            }
        }
        let mut result = Ok(());
        for table in pending.dirty {
            if let Err(reason) = keeper.write(broker, table) {
                tracing::error!(reason, "metadata is not kept");
                if table == Table::Offsets {
                    broker.offsets.touch();
                }
                result = Err(reason);
            }
        }
        for waiting in pending.waiting {
            // Who waits for it may have given up.
            let _ = waiting.send(result.clone());
        }
        if pending.is_stopped {
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
        Keeper::new(Arc::new(RealDisk), folder, Duration::from_secs(5))
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
