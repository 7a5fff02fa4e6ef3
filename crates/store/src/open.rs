//! The store as a whole: opening and closing it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::background::{self, Background};
use crate::checkpoint::CheckpointFile;
use crate::clean::Clean;
use crate::clock::Clock;
use crate::commit_log::CommitLog;
use crate::consume_queue::files::QueueFiles;
use crate::consume_queue::load::{self, Loading};
use crate::consume_queue::table::{QueueNameError, QueueTable};
use crate::consume_queue::tails::{self, Left, LogEnds, TailsFile};
use crate::consume_queue::{Queue, QueueType};
use crate::disk::Disk;
use crate::disk::fuse::{Fuse, FusedDisk};
use crate::index::Index;
use crate::options::{OptionsError, StoreOptions};
use crate::recover::Recovered;
use crate::staging::Staging;
use crate::unfit::{Leftover, Unfit};
use crate::watermark::Watermark;

/// The messages of one broker. `Send` and `Sync`; one value, shared by `Arc`.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    background: Mutex<Option<Background>>,
    recovered: Recovered,
}

/// What the store's own threads share with it.
///
/// Lock order: the log's tail, then `dispatch`, then a queue's tail or the index.
pub(crate) struct Shared {
    pub(crate) options: Arc<StoreOptions>,
    pub(crate) disk: Arc<dyn Disk>,
    /// Blown when nothing can be promised any more.
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: CommitLog,
    pub(crate) queues: Arc<QueueTable>,
    pub(crate) files: QueueFiles,
    pub(crate) index: Index,
    pub(crate) checkpoint: CheckpointFile,
    pub(crate) tails: TailsFile,
    pub(crate) dispatch: Mutex<Dispatch>,
    /// Everything before it is in its queue.
    pub(crate) dispatched: Watermark,
    /// Set while queues or index cannot be written: then nothing is appended, because it would pile up in memory.
    pub(crate) has_queue_error: AtomicBool,
    pub(crate) is_closed: AtomicBool,
    pub(crate) signals: background::Signals,
    pub(crate) pace: Mutex<background::Pace>,
    pub(crate) clean: Clean,
    pub(crate) appended_count: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) opened_at_ms: i64,
    /// Where the log begins, and when the message there was stored, once that was read.
    pub(crate) earliest: Mutex<Option<(i64, i64)>>,
    /// Held as long as the store is open.
    _lock: Option<Box<dyn Send + Sync>>,
}

/// Files of the store's root.
const FILES: [&str; 4] = ["abort", "checkpoint", "lock", "raptormq.queues"];

/// What loading found, for recovery to decide on.
#[derive(Default)]
pub(crate) struct Found {
    /// Whether the file `abort` is there.
    pub(crate) abort: bool,
    /// When the file `lock` was last changed, before the store was locked.
    lock_stamp: Option<u64>,
    /// Keeps others away from the store; the opened store holds it.
    lock: Option<Box<dyn Send + Sync>>,
    /// Where the log ended when the queues' ends were written down, if that can be believed.
    pub(crate) tails: Option<LogEnds>,
    /// Files of no use.
    pub(crate) leftovers: Vec<Leftover>,
}

/// What changes when a record is put into its queue, in the order of the log.
#[derive(Default)]
pub(crate) struct Dispatch {
    /// Queues with units that are not in the files, by the age of the first of them. Each stands here once.
    pub(crate) dirty: VecDeque<DirtyQueue>,
    /// Store timestamp of the last record that was dispatched.
    pub(crate) store_timestamp_ms: i64,
    /// Where that record begins; -1 when there is none.
    pub(crate) last_record: i64,
}

impl Dispatch {
    /// Notes that a queue got a unit of a record that was stored then.
    pub(crate) fn note_dirty(&mut self, queue: &Arc<Queue>, store_timestamp_ms: i64, log_offset: i64) {
        if !queue.is_dirty.swap(true, Ordering::AcqRel) {
            let (since_ms, since_offset) = (store_timestamp_ms, log_offset);
            self.dirty.push_back(DirtyQueue { queue: queue.clone(), since_ms, since_offset });
        }
    }
}

/// A queue to be written.
pub(crate) struct DirtyQueue {
    pub(crate) queue: Arc<Queue>,
    /// Store timestamp of the first record whose unit is not in the files.
    pub(crate) since_ms: i64,
    /// Where that record lies in the log, or before it.
    pub(crate) since_offset: i64,
}

/// How far the log is: see [`Watermark`].
#[derive(Clone, Copy, Debug)]
pub struct Watermarks<'a> {
    /// Everything before it is in the kernel and can be read by its log offset.
    pub appended: &'a Watermark,
    /// Everything before it is on disk.
    pub flushed: &'a Watermark,
    /// Everything before it is in its queue.
    pub dispatched: &'a Watermark,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has it.
    #[error("Lock failed,MQ already started: the store {} is in use", root.display())]
    Locked {
        /// Its folder.
        root: PathBuf,
    },
    /// A setting that cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Something in the folder is not what the settings say, or cannot be had.
    #[error("the store cannot be opened: {0}")]
    Unfit(#[from] Unfit),
    /// Recovery could not read or write.
    #[error("the store {} cannot be opened: {error}", root.display())]
    Io {
        /// Its folder.
        root: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

impl Store {
    /// Opens the store, makes it when there is none, and starts its background threads. After an unclean stop it is
    /// recovered first.
    pub fn open(options: StoreOptions, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Store, OpenError> {
        let store = Store::open_still(options, disk, clock)?;
        let io = |error| OpenError::Io { root: store.shared.options.root.clone(), error };
        let background = Background::start(&store.shared).map_err(io)?;
        *store.background.lock() = Some(background);
        Ok(store)
    }

    /// Opens the store without background threads: [`Store::step`] does their work when it is called.
    pub fn open_still(options: StoreOptions, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Store, OpenError> {
        let options = Arc::new(options.checked()?);
        let root = options.root.clone();
        disk.create_folder(&root).map_err(Unfit::io(&root))?;
        let lock_stamp = tails::lock_stamp(&*disk, &root).map_err(Unfit::io(&root))?;
        let lock = disk.lock(&root).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { root: root.clone() },
            _ => Unfit::io(&root.join("lock"))(error).into(),
        })?;
        let mut found = Found { lock_stamp, lock: Some(lock), ..Found::default() };
        let shared = Shared::load(options, disk.clone(), clock, &mut found).inspect_err(|_| {
            if lock_stamp.is_none() {
                // It came with this start, which changes nothing. That it stays would do no harm.
                let _ = disk.remove(&root.join("lock"));
            }
        })?;
        let recovered = shared.recover(&found).map_err(|error| OpenError::Io { root, error })?;
        shared.begin_cleaning();
        shared.log_earliest_time();
        Ok(Store { shared: Arc::new(shared), background: Mutex::new(None), recovered })
    }

    /// What was found and done when the store was opened.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Writes everything out and stops. Appends that come later are refused; reads go on until the store is dropped.
    ///
    /// The file `abort` is removed only when all of it succeeded, so after an error the next start recovers.
    pub fn close(&self) -> io::Result<()> {
        if self.shared.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Some(background) = self.background.lock().take() {
            background.stop(&self.shared.signals);
        }
        self.shared.close()
    }

    /// A staging for an I/O thread.
    pub fn staging(&self) -> Staging {
        Staging::new(self.shared.options.clone(), self.shared.queues.clone())
    }

    /// The queue of a topic, if it has ever had a message or was asked for by [`Store::queue_or_create`].
    pub fn queue(&self, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
        self.shared.queues.get(topic, queue_id)
    }

    /// The queue of a topic. One that is new has no file until it has a message.
    pub fn queue_or_create(&self, topic: &str, queue_id: i32) -> Result<Arc<Queue>, QueueNameError> {
        self.shared.queues.get_or_create(topic, queue_id)
    }

    /// Says how the queues of a topic are kept, which counts when it gets its first one.
    pub fn set_queue_type(&self, topic: &str, queue_type: QueueType) {
        self.shared.queues.set_type(topic, queue_type);
    }

    /// Every queue, by topic and id.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.shared.queues.all()
    }

    /// The queues of a topic, by id.
    pub fn queues_of(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.shared.queues.of_topic(topic)
    }

    /// How far the log is.
    pub fn watermarks(&self) -> Watermarks<'_> {
        Watermarks {
            appended: &self.shared.log.appended,
            flushed: &self.shared.log.flushed,
            dispatched: &self.shared.dispatched,
        }
    }

    /// Offset of the first record that is still in the log.
    pub fn log_min_offset(&self) -> i64 {
        self.shared.log.min_offset()
    }

    /// Offset behind the last record of the log.
    pub fn log_max_offset(&self) -> i64 {
        self.shared.log.appended.value()
    }

    /// Whether messages are accepted. They are not once the store is closed or its disk failed, nor while it is full.
    pub fn is_writeable(&self) -> bool {
        self.shared.is_writeable()
    }

    /// How the disk failed, if it did so that nothing is accepted until the store is opened again.
    pub fn failure(&self) -> Option<&str> {
        self.shared.fuse.reason()
    }

    /// What the disk has been syncing for a second or longer, and for how long; the longest of several.
    pub fn long_sync(&self) -> Option<(Arc<Path>, Duration)> {
        self.shared.fuse.syncs.longest(Instant::now())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A store that was not closed is left as a crash would leave it, but for the threads: they must not go on.
        self.shared.is_closed.store(true, Ordering::Release);
        if let Some(background) = self.background.lock().take() {
            background.stop(&self.shared.signals);
        }
    }
}

impl Shared {
    /// Reads what there is and checks that it can be used. Changes nothing.
    fn load(
        options: Arc<StoreOptions>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        found: &mut Found,
    ) -> Result<Shared, Unfit> {
        let fuse = Arc::new(Fuse::default());
        let disk: Arc<dyn Disk> = Arc::new(FusedDisk::new(disk, fuse.clone()));
        let root = disk.list(&options.root).map_err(Unfit::io(&options.root))?;
        found.abort = root.iter().any(|entry| entry.name == "abort");
        if let Some(entry) = root.iter().find(|entry| entry.is_folder && FILES.contains(&entry.name.as_str())) {
            let path = options.root.join(&entry.name);
            return Err(Unfit::wrong(&path, "a file".to_owned(), "a folder".to_owned(), "move the folder away"));
        }
        let left = Left { has_crashed: found.abort, lock: found.lock_stamp };
        let leftovers = &mut found.leftovers;
        let log = CommitLog::load(disk.clone(), fuse.clone(), options.clone(), leftovers)?;
        let files = QueueFiles::new(disk.clone(), &options);
        let queues = QueueTable::with_ext(if options.ext_enabled { options.ext_file_bytes as i64 } else { 0 });
        options.batch_topics.iter().for_each(|topic| queues.set_type(topic, QueueType::Batch));
        let tails = TailsFile::new(disk.clone(), options.clone());
        // Of extended queues more must be known than that file says.
        found.tails = if options.ext_enabled { None } else { tails.load(&log, &queues, left) };
        let loading = Loading { disk: &*disk, files: &files, table: &queues, log_min: log.min_offset() };
        if found.tails.is_none() {
            queues.clear();
            load::load(&loading, QueueType::Simple, leftovers)?;
        }
        load::load(&loading, QueueType::Batch, leftovers)?;
        let index = Index::load(disk.clone(), options.clone(), leftovers)?;
        let checkpoint = CheckpointFile::load(&*disk, &options.root)?;
        let opened_at_ms = clock.now_ms();
        let clean = Clean::new(options.clean.clone(), opened_at_ms);
        Ok(Shared {
            options,
            disk,
            fuse,
            clock,
            log,
            queues: Arc::new(queues),
            files,
            index,
            checkpoint,
            tails,
            dispatch: Mutex::default(),
            dispatched: Watermark::default(),
            has_queue_error: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            signals: background::Signals::default(),
            pace: Mutex::default(),
            clean,
            appended_count: AtomicU64::new(0),
            appended_bytes: AtomicU64::new(0),
            opened_at_ms,
            earliest: Mutex::default(),
            _lock: found.lock.take(),
        })
    }

    pub(crate) fn is_writeable(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
            && !self.log.has_failed()
            && !self.has_queue_error.load(Ordering::Acquire)
            && !self.clean.is_full()
            && !self.log.lacks_room()
    }

    fn close(&self) -> io::Result<()> {
        let closed = self.write_everything();
        self.log.flushed.stop();
        self.dispatched.stop();
        self.log.appended.stop();
        closed?;
        self.end_cleaning()?;
        self.log.discard_prepared()?;
        let written = self.write_tails();
        self.disk.remove(&self.options.root.join("abort"))?;
        self.disk.sync_folder(&self.options.root)?;
        if let Err(error) = written.and_then(|()| self.tails.stamp()) {
            tracing::warn!(%error, "raptormq.queues could not be written; the next start looks at every queue");
        }
        Ok(())
    }

    /// Writes down where every queue ends.
    fn write_tails(&self) -> io::Result<()> {
        let queues: Vec<_> = self.simple_queues().into_iter().map(|queue| (queue.written_tail(), queue)).collect();
        let end = self.log.end().offset;
        let last_record = self.dispatch.lock().last_record;
        let last_record = if last_record < 0 { end } else { last_record };
        let log = LogEnds { min: self.log.min_offset(), last_record, end };
        self.tails.write(log, &queues, self.tails.generation()).map(drop)
    }
}
