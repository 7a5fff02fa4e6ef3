//! What the store is told at opening. The names in the comments are the configuration keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clean::{CleanOptions, HoursError};
use crate::consume_queue::QueueType;
use crate::consume_queue::ext::BitMaps;
use crate::consume_queue::unit::{BATCH_UNIT_BYTES, UNIT_BYTES};
use crate::unfit::FILE_START_MAX;

/// Settings of a store. [`StoreOptions::new`] has the original's defaults.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Folder of everything (`storePathRootDir`).
    pub root: PathBuf,
    /// Folders of the log; file number n goes to folder n modulo their count (`storePathCommitLog`).
    pub commit_log_folders: Vec<PathBuf>,
    /// Folders whose log files are read, and deleted in time, but where no new ones are made
    /// (`readOnlyCommitLogStorePaths`).
    pub read_only_log_folders: Vec<PathBuf>,
    /// Bytes of a log file (`mappedFileSizeCommitLog`).
    pub segment_bytes: u64,
    /// Bytes of a consume queue file (`mappedFileSizeConsumeQueue`); rounded up to whole units.
    pub queue_file_bytes: u64,
    /// Bytes of a batch consume queue file (`mapperFileSizeBatchConsumeQueue`); rounded up to whole units.
    pub batch_queue_file_bytes: u64,
    /// Whether units of simple queues are extended (`enableConsumeQueueExt`).
    pub ext_enabled: bool,
    /// Bytes of a file of extensions (`mappedFileSizeConsumeQueueExt`).
    pub ext_file_bytes: u64,
    /// Who says which filters want a message, for its queue's extension (`enableCalcFilterBitMap`).
    pub bit_maps: Option<Arc<dyn BitMaps>>,
    /// Whether a message is put into light queues that it names as well (`enableLmq` and `enableMultiDispatch`).
    pub light_enabled: bool,
    /// Most light queues (`maxLmqConsumeQueueNum`).
    pub light_queues_max: usize,
    /// Topics whose attribute `queue.type` is `BatchCQ`.
    pub batch_topics: BTreeSet<String>,
    /// Whether messages are found by key (`messageIndexEnable`).
    pub index_enabled: bool,
    /// Slots of an index file (`maxHashSlotNum`).
    pub index_slots: u32,
    /// Entries of an index file (`maxIndexNum`).
    pub index_entries: u32,
    /// Largest body (`maxMessageSize`).
    pub body_bytes_max: usize,
    /// Whether a send is acknowledged only when it is on disk (`flushDiskType` is `SYNC_FLUSH`).
    pub sync_flush: bool,
    /// Time between flushes of the log (`flushIntervalCommitLog`).
    pub flush_log_interval_ms: i64,
    /// Counts instead when it is shorter (`flushCommitLogThoroughInterval`).
    pub flush_log_thorough_interval_ms: i64,
    /// Time between writing out what the queues and the index have in memory (`flushIntervalConsumeQueue`).
    pub flush_queues_interval_ms: i64,
    /// Pages of 4 KiB that a flush of the queues waits for (`flushConsumeQueueLeastPages`).
    pub flush_queues_pages_min: u64,
    /// When the queues are flushed even with fewer pages (`flushConsumeQueueThoroughInterval`).
    pub flush_queues_thorough_interval_ms: i64,
    /// Whether each record gets a CRC of all of it as its last property (`enabledAppendPropCRC`).
    pub append_property_crc: bool,
    /// Whether recovery checks those CRCs, in records that have one, rather than body CRCs (`forceVerifyPropCRC`).
    pub verify_property_crc: bool,
    /// Whether recovery checks body CRCs (`checkCRCOnRecover`).
    pub check_crc_on_recover: bool,
    /// Bytes of units that a read looks at (`maxFilterMessageSize`).
    pub filter_bytes_max: usize,
    /// Consume queue files that a read looks at as long as it finds nothing (`travelCqFileNumWhenGetMessage`).
    pub queue_files_a_read: u32,
    /// Whether readers see what was appended, though it may not be on disk yet, under `SYNC_FLUSH` too
    /// (`readUnCommitted`).
    pub reads_unflushed: bool,
    /// Whether the disk is asked to read on behind what a read had to wait for (`dataReadAheadEnable`).
    pub reads_ahead: bool,
    /// Whether topics of more than 127 bytes are stored, as message version 2 (`autoMessageVersionOnTopicLen`).
    pub stores_long_topics: bool,
    /// Limits of an answer from memory (`maxTransferBytesOnMessageInMemory`, `maxTransferCountOnMessageInMemory`).
    pub in_memory: TransferLimits,
    /// Limits of an answer from disk (`maxTransferBytesOnMessageInDisk`, `maxTransferCountOnMessageInDisk`).
    pub on_disk: TransferLimits,
    /// Bytes at the end of the log that count as being in memory (`accessMessageInMemoryMaxRatio` of the machine's).
    pub in_memory_bytes: i64,
    /// Most messages that a query by key finds (`maxMsgsNumBatch`).
    pub query_count_max: usize,
    /// Delay of each level in milliseconds, level 1 first (`messageDelayLevel`).
    pub delay_levels_ms: Vec<i64>,
    /// What is deleted when.
    pub clean: CleanOptions,
}

/// How much one read may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// Bytes of records.
    pub bytes: usize,
    /// Number of records.
    pub count: usize,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A delay level that is no number with a unit.
    #[error("messageDelayLevel: {0:?} is not a number followed by s, m, h or d")]
    DelayLevel(String),
    /// Hours that are none.
    #[error(transparent)]
    Hours(#[from] HoursError),
    /// A size below what the formats need.
    #[error("{key} is {value}, but at least {min} is needed")]
    TooSmall {
        /// The configuration key.
        key: &'static str,
        /// What was set.
        value: u64,
        /// The least.
        min: u64,
    },
}

/// The original's `messageDelayLevel`.
pub const DELAY_LEVELS: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/// `accessMessageInMemoryMaxRatio`, in percent of the machine's memory.
const IN_MEMORY_PERCENT: i64 = 40;

impl StoreOptions {
    /// The original's defaults (Java: `store/config/MessageStoreConfig.java`) for a store in `root`.
    pub fn new(root: impl Into<PathBuf>) -> StoreOptions {
        let root = root.into();
        StoreOptions {
            commit_log_folders: vec![root.join("commitlog")],
            read_only_log_folders: Vec::new(),
            root,
            segment_bytes: 1 << 30,
            queue_file_bytes: 300_000 * UNIT_BYTES as u64,
            batch_queue_file_bytes: 300_000 * BATCH_UNIT_BYTES as u64,
            ext_enabled: false,
            light_enabled: false,
            light_queues_max: 20_000,
            ext_file_bytes: 48 << 20,
            bit_maps: None,
            batch_topics: BTreeSet::new(),
            index_enabled: true,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            body_bytes_max: 4 << 20,
            sync_flush: false,
            flush_log_interval_ms: 500,
            flush_log_thorough_interval_ms: 10_000,
            flush_queues_interval_ms: 1_000,
            flush_queues_pages_min: 2,
            flush_queues_thorough_interval_ms: 60_000,
            append_property_crc: false,
            verify_property_crc: false,
            check_crc_on_recover: true,
            filter_bytes_max: 16_000,
            queue_files_a_read: 1,
            reads_unflushed: false,
            reads_ahead: true,
            stores_long_topics: true,
            in_memory: TransferLimits { bytes: 256 << 10, count: 32 },
            on_disk: TransferLimits { bytes: 64 << 10, count: 8 },
            in_memory_bytes: in_memory_bytes(IN_MEMORY_PERCENT),
            query_count_max: 64,
            delay_levels_ms: parse_delay_levels(DELAY_LEVELS).expect("the original's levels are valid"),
            clean: CleanOptions::default(),
        }
    }

    /// Folder of the consume queues of a type.
    pub(crate) fn queues_folder(&self, queue_type: QueueType) -> PathBuf {
        self.root.join(match queue_type {
            QueueType::Simple => "consumequeue",
            QueueType::Batch => "batchconsumequeue",
        })
    }

    /// Folders in which log files are made.
    pub(crate) fn writable_log_folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.commit_log_folders.iter().filter(|folder| !self.read_only_log_folders.contains(folder))
    }

    /// The folder in which the log file that starts at `start` is made; one that is `full` is left out unless all are.
    /// Java: `MultiPathMappedFileQueue.java`.
    pub(crate) fn segment_folder(&self, start: i64, full: &BTreeSet<PathBuf>) -> &Path {
        let number = start as u64 / self.segment_bytes;
        let mut folders: Vec<&PathBuf> = self.writable_log_folders().collect();
        if folders.iter().any(|folder| !full.contains(*folder)) {
            folders.retain(|folder| !full.contains(*folder));
        }
        // `checked` sees to it that there is one.
        let count = folders.len().max(1) as u64;
        folders.get((number % count) as usize).map_or(&self.root, |folder| folder)
    }

    /// Whether a log can begin there: where a file does, with room for more behind it.
    pub(crate) fn is_segment_start(&self, log_offset: i64) -> bool {
        (0..=FILE_START_MAX / 2).contains(&log_offset) && log_offset % self.segment_bytes as i64 == 0
    }

    /// Checks sizes and rounds the queue files to whole units.
    pub(crate) fn checked(mut self) -> Result<StoreOptions, OptionsError> {
        let at_least = |key, value: u64, min: u64| match value < min {
            true => Err(OptionsError::TooSmall { key, value, min }),
            false => Ok(()),
        };
        at_least("mappedFileSizeCommitLog", self.segment_bytes, 4096)?;
        at_least("mappedFileSizeConsumeQueue", self.queue_file_bytes, UNIT_BYTES as u64)?;
        at_least("mapperFileSizeBatchConsumeQueue", self.batch_queue_file_bytes, BATCH_UNIT_BYTES as u64)?;
        at_least("mappedFileSizeConsumeQueueExt", self.ext_file_bytes, 64)?;
        at_least("maxHashSlotNum", self.index_slots.into(), 1)?;
        at_least("maxIndexNum", self.index_entries.into(), 2)?;
        at_least("storePathCommitLog", self.writable_log_folders().count() as u64, 1)?;
        self.queue_file_bytes = self.queue_file_bytes.next_multiple_of(UNIT_BYTES as u64);
        self.batch_queue_file_bytes = self.batch_queue_file_bytes.next_multiple_of(BATCH_UNIT_BYTES as u64);
        self.commit_log_folders.extend_from_slice(&self.read_only_log_folders);
        self.commit_log_folders.sort();
        self.commit_log_folders.dedup();
        Ok(self)
    }
}

/// So many percent of the machine's memory, in bytes.
pub fn in_memory_bytes(percent: i64) -> i64 {
    let info = rustix::system::sysinfo();
    let total = (info.totalram as u128).saturating_mul(info.mem_unit.into());
    i64::try_from(total).unwrap_or(i64::MAX) / 100 * percent
}

/// Reads `messageDelayLevel`: delays separated by spaces, each a number and `s`, `m`, `h` or `d`.
pub fn parse_delay_levels(text: &str) -> Result<Vec<i64>, OptionsError> {
    text.split_whitespace()
        .map(|level| {
            let wrong = || OptionsError::DelayLevel(level.to_owned());
            let unit = level.chars().last().ok_or_else(wrong)?;
            let unit_ms: i64 = match unit {
                's' => 1_000,
                'm' => 60_000,
                'h' => 3_600_000,
                'd' => 86_400_000,
                _ => return Err(wrong()),
            };
            let number: i64 = level[..level.len() - 1].parse().map_err(|_| wrong())?;
            number.checked_mul(unit_ms).ok_or_else(wrong)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_levels_are_the_originals() {
        let levels = parse_delay_levels(DELAY_LEVELS).unwrap();
        assert_eq!((levels.len(), levels[0], levels[4], levels[17]), (18, 1_000, 60_000, 7_200_000));
        for wrong in ["1", "s", "1x", "1s 2ä"] {
            assert!(matches!(parse_delay_levels(wrong), Err(OptionsError::DelayLevel(_))), "{wrong}");
        }
    }

    #[test]
    fn log_files_are_made_in_folders_that_are_not_read_only() {
        let folders = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let options = StoreOptions {
            commit_log_folders: folders(&["/c", "/a", "/b"]),
            read_only_log_folders: folders(&["/b", "/old"]),
            ..StoreOptions::new("/s")
        };
        let options = options.checked().unwrap();
        assert_eq!(options.commit_log_folders, folders(&["/a", "/b", "/c", "/old"]));
        let at = |number: i64, full: &[&str]| {
            options.segment_folder(number << 30, &folders(full).into_iter().collect()).to_owned()
        };
        assert_eq!([at(0, &[]), at(1, &[]), at(2, &[])].to_vec(), folders(&["/a", "/c", "/a"]));
        assert_eq!([at(0, &["/a"]), at(1, &["/a"]), at(1, &["/b", "/c"])].to_vec(), folders(&["/c", "/c", "/a"]));
        assert_eq!([at(0, &["/c", "/a"]), at(1, &["/a", "/c"])].to_vec(), folders(&["/a", "/c"]), "both are full");
        let all = folders(&["/s/commitlog"]);
        let options = StoreOptions { read_only_log_folders: all, ..StoreOptions::new("/s") };
        assert!(matches!(options.checked(), Err(OptionsError::TooSmall { key: "storePathCommitLog", .. })));
    }

    #[test]
    fn queue_files_hold_whole_units() {
        let options = StoreOptions { queue_file_bytes: 6_000_001, ..StoreOptions::new("/s") };
        assert_eq!(options.checked().unwrap().queue_file_bytes, 6_000_020);
        let options = StoreOptions { segment_bytes: 10, ..StoreOptions::new("/s") };
        assert!(matches!(options.checked(), Err(OptionsError::TooSmall { key: "mappedFileSizeCommitLog", .. })));
    }
}
