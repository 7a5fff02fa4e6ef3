//! A store that no broker runs on, opened for reading.

use std::io;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raptormq_protocol::message::MessageExt;

use crate::commit_log::CommitLog;
use crate::consume_queue::files::QueueFiles;
use crate::consume_queue::load::{self, Loading};
use crate::consume_queue::table::QueueTable;
use crate::consume_queue::unit::Unit;
use crate::consume_queue::{Queue, QueueType};
use crate::disk::{Disk, Entry};
use crate::open::OpenError;
use crate::options::StoreOptions;
use crate::unfit::{Unfit, file_start};

/// Longest body that is unpacked for printing.
const BODY_BYTES_MAX: usize = 64 << 20;

/// How long files of the log and of queues can be: what mappedFileSizeCommitLog and its like take.
const LOG_FILE_BYTES: RangeInclusive<u64> = 4096..=i32::MAX as u64;
const QUEUE_FILE_BYTES_MAX: u64 = i32::MAX as u64;

/// A store that is only read. Nothing is locked and nothing changed; while a broker runs on it, its end is not what is
/// read.
pub struct Offline {
    pub(crate) options: Arc<StoreOptions>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: CommitLog,
    pub(crate) queues: QueueTable,
    pub(crate) files: QueueFiles,
    /// Whether the last stop was unclean, or a broker runs.
    pub(crate) has_abort: bool,
    /// Whether tags codes may be addresses in `consumequeue_ext`.
    pub(crate) has_extensions: bool,
}

impl Offline {
    /// Opens what there is. Lengths of log and queue files are taken from the first of each.
    pub fn open(options: StoreOptions, disk: Arc<dyn Disk>) -> Result<Offline, OpenError> {
        let mut options = options.checked()?;
        let root = disk.list(&options.root).map_err(Unfit::io(&options.root))?;
        let has_abort = root.iter().any(|entry| entry.name == "abort");
        let has_extensions = root.iter().any(|entry| entry.name == "consumequeue_ext");
        fit(&mut options, &*disk)?;
        options.verify_property_crc = true;
        let options = Arc::new(options);
        let mut leftovers = Vec::new();
        let log = CommitLog::load(disk.clone(), Arc::default(), options.clone(), &mut leftovers)?;
        let files = QueueFiles::new(disk.clone(), &options);
        let queues = QueueTable::default();
        let loading = Loading { disk: &*disk, files: &files, table: &queues, log_min: log.min_offset() };
        for queue_type in [QueueType::Simple, QueueType::Batch] {
            load::load(&loading, queue_type, &mut leftovers)?;
        }
        Ok(Offline { options, disk, log, queues, files, has_abort, has_extensions })
    }

    /// The queues of a topic that have files, by id.
    pub fn queues_of(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.queues.of_topic(topic)
    }

    /// The messages of a queue that lie in these offsets, one after another: offset, unit, and the message if the log has
    /// it whole.
    pub fn read(
        &self,
        queue: &Queue,
        offsets: Range<i64>,
        mut visit: impl FnMut(i64, Unit, Option<MessageExt>) -> io::Result<()>,
    ) -> io::Result<()> {
        let first = match queue.queue_type {
            QueueType::Simple => offsets.start.max(queue.first()),
            QueueType::Batch => queue.position_of(&self.files, offsets.start)?.max(queue.first()),
        };
        for position in first..queue.end() {
            let offset = queue.offset_at(&self.files, position)?;
            let Some(unit) = queue.unit(&self.files, position)?.filter(|_| offset < offsets.end) else { break };
            let bytes = self.record(&unit);
            let message = bytes.and_then(|bytes| MessageExt::decode(&bytes, BODY_BYTES_MAX).ok());
            visit(offset, unit, message.map(|(message, _)| message))?;
        }
        Ok(())
    }

    /// The bytes of the record of a unit, if it is a good one.
    fn record(&self, unit: &Unit) -> Option<Bytes> {
        self.log.probe(unit.log_offset)?;
        let segment = self.log.segment(unit.log_offset)?;
        segment.file.view((unit.log_offset - segment.start) as u64, unit.size.max(0) as usize).ok()
    }
}

/// Takes the lengths of files from the first that are there.
fn fit(options: &mut StoreOptions, disk: &dyn Disk) -> Result<(), Unfit> {
    let first_len = |folder: &Path, lens: &RangeInclusive<u64>| -> Result<Option<u64>, Unfit> {
        let entries = disk.list(folder).map_err(Unfit::io(folder))?;
        let is_fit = |entry: &&Entry| file_start(&entry.name).is_some() && lens.contains(&entry.len);
        Ok(entries.iter().find(is_fit).map(|entry| entry.len))
    };
    for folder in &options.commit_log_folders {
        if let Some(len) = first_len(folder, &LOG_FILE_BYTES)? {
            options.segment_bytes = len;
            break;
        }
    }
    for queue_type in [QueueType::Simple, QueueType::Batch] {
        let folder = options.queues_folder(queue_type);
        let unit_bytes = queue_type.unit_bytes() as u64;
        let lens = unit_bytes..=QUEUE_FILE_BYTES_MAX;
        let mut found = None;
        for topic in disk.list(&folder).map_err(Unfit::io(&folder))?.iter().filter(|entry| entry.is_folder) {
            let topic = folder.join(&topic.name);
            for queue in disk.list(&topic).map_err(Unfit::io(&topic))?.iter().filter(|entry| entry.is_folder) {
                found =
                    found.or(first_len(&topic.join(&queue.name), &lens)?.filter(|len| len.is_multiple_of(unit_bytes)));
            }
            if found.is_some() {
                break;
            }
        }
        match (queue_type, found) {
            (QueueType::Simple, Some(len)) => options.queue_file_bytes = len,
            (QueueType::Batch, Some(len)) => options.batch_queue_file_bytes = len,
            (_, None) => {}
        }
    }
    Ok(())
}
