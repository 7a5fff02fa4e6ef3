//! What the store can say about itself.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::checkpoint::Checkpoint;
use crate::disk::Usage;
use crate::open::{Shared, Store};

/// The state of a store at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// First log offset.
    pub log_min_offset: i64,
    /// Log offset behind the last record.
    pub log_max_offset: i64,
    /// Log offset up to which everything is on disk.
    pub flushed_offset: i64,
    /// Log offset up to which everything is in its queue.
    pub dispatched_offset: i64,
    /// Messages that were appended since the store was opened.
    pub appended_count: u64,
    /// Bytes of their records.
    pub appended_bytes: u64,
    /// When the store was opened, in milliseconds.
    pub opened_at_ms: i64,
    /// When the first message of the log was stored, in milliseconds; -1 without one.
    pub earliest_ms: i64,
    /// Number of queues.
    pub queue_count: usize,
    /// What the checkpoint says.
    pub checkpoint: Checkpoint,
}

impl Store {
    /// The state now.
    pub fn figures(&self) -> Figures {
        let shared = &*self.shared;
        Figures {
            log_min_offset: shared.log.min_offset(),
            log_max_offset: shared.log.appended.value(),
            flushed_offset: shared.log.flushed.value(),
            dispatched_offset: shared.dispatched.value(),
            appended_count: shared.appended_count.load(Ordering::Relaxed),
            appended_bytes: shared.appended_bytes.load(Ordering::Relaxed),
            opened_at_ms: shared.opened_at_ms,
            earliest_ms: self.log_earliest_time(),
            queue_count: shared.queues.all().len(),
            checkpoint: shared.checkpoint.value(),
        }
    }

    /// Room on the file system of each folder in which log files are made.
    pub fn log_folder_usages(&self) -> io::Result<Vec<(PathBuf, Usage)>> {
        self.shared.log_usages()
    }

    /// Room on the file systems of the log, of the folders that get new files the emptiest, and of the store's root.
    pub fn disk_usage(&self) -> io::Result<[Usage; 2]> {
        self.shared.disk_usage()
    }
}

impl Shared {
    fn disk_usage(&self) -> io::Result<[Usage; 2]> {
        let root = self.disk.usage(&self.options.root)?;
        Ok([emptiest(&self.log_usages()?).unwrap_or(root), root])
    }

    /// Room on the file system of each folder in which log files are made.
    pub(crate) fn log_usages(&self) -> io::Result<Vec<(PathBuf, Usage)>> {
        let folders = self.options.writable_log_folders();
        folders.map(|folder| Ok((folder.clone(), self.disk.usage(folder)?))).collect()
    }
}

/// The room where there is most.
pub(crate) fn emptiest(usages: &[(PathBuf, Usage)]) -> Option<Usage> {
    let ratio = |usage: &&(PathBuf, Usage)| usage.1.used_ratio();
    usages.iter().min_by(|one, other| ratio(one).total_cmp(&ratio(other))).map(|(_, usage)| *usage)
}
