//! What a turn wants to append. An I/O thread encodes its messages here, outside of the log's lock, and hands the whole
//! over with one [`Store::append`](crate::Store::append) at the end of the turn.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::record::{self, EncodeError, RecordParts};
use raptormq_protocol::message::{batch, sys_flag};
use smallvec::SmallVec;

use crate::commit_log::BLANK_BYTES_MIN;
use crate::consume_queue::table::QueueTable;
use crate::consume_queue::{Queue, QueueType, light};
use crate::hash;
use crate::late::{Late, Light};
use crate::options::StoreOptions;

/// What a record may have beyond its body.
const RECORD_OVERHEAD_MAX: usize = 64 << 10;
/// Longest topic, but for those of [`RETRY_PREFIX`].
const TOPIC_BYTES_MAX: usize = 127;
/// Longest topic of a consumer group's retries.
const RETRY_TOPIC_BYTES_MAX: usize = 255;
const RETRY_PREFIX: &str = "%RETRY%";
/// Buffer that is kept between turns; a turn that needed more gives the rest back.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// A message to be stored. The topic and queue id are those of its [`Queue`].
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// The user's flag.
    pub flag: i32,
    /// System flag; the bits of the address families are set from the hosts.
    pub sys_flag: i32,
    /// When the producer made the message, in milliseconds.
    pub born_timestamp_ms: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// This broker's address.
    pub store_host: SocketAddr,
    /// How often the message was delivered before.
    pub reconsume_times: i32,
    /// Log offset of the half message in a commit record, else 0.
    pub prepared_transaction_offset: i64,
    /// The body as it is to be stored.
    pub body: &'a [u8],
    /// Property text in pieces, so that the broker's own need not be copied to the producer's.
    pub properties: &'a [&'a str],
}

/// The messages of a batch request, to be stored as records of their own that follow each other in one file.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch<'a> {
    /// What the messages have in common: `body` is the request's (see [`batch`]), `flag` is not used, and `properties`
    /// are appended to each message's own.
    pub common: NewMessage<'a>,
}

/// Why a message cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The topic is longer than 127 bytes, or 255 for retries where those are stored.
    #[error("a topic of {0} bytes is too long")]
    TopicTooLong(usize),
    /// The body is longer than `maxMessageSize`, or the record longer than that and 64 KiB, or than a log file.
    #[error("a message of {0} bytes is too long")]
    MessageSizeExceeded(usize),
    /// The properties are longer than 32,767 bytes.
    #[error("properties of {0} bytes are too long")]
    PropertiesSizeExceeded(usize),
    /// A light queue would have to be made, and there are `maxLmqConsumeQueueNum` of them.
    #[error("there are too many light queues")]
    LightQueuesExceeded,
    /// A batch whose lengths contradict each other, or that is empty.
    #[error("the batch is not made of whole messages")]
    MessageIllegal,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutStatus {
    /// Staged, but not appended yet.
    Staged,
    /// The kernel has it.
    PutOk,
    /// The next log file could not be made.
    CreateMappedFileFailed,
    /// The store is closed, or its disk failed.
    ServiceNotAvailable,
    /// The write failed; nothing of it is in the log.
    UnknownError,
}

impl PutStatus {
    /// Java's name (`store/PutMessageStatus.java`), which is the remark of some answers.
    pub fn name(self) -> &'static str {
        match self {
            PutStatus::PutOk => "PUT_OK",
            PutStatus::CreateMappedFileFailed => "CREATE_MAPPED_FILE_FAILED",
            PutStatus::ServiceNotAvailable => "SERVICE_NOT_AVAILABLE",
            PutStatus::UnknownError | PutStatus::Staged => "UNKNOWN_ERROR",
        }
    }
}

/// Where a message, or the first of a batch, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The other fields count only with [`PutStatus::PutOk`].
    pub status: PutStatus,
    /// Offset in the queue; 0 for half messages and rollbacks.
    pub queue_offset: i64,
    /// Offset in the log.
    pub log_offset: i64,
    /// Log offset behind the last record: once `flushed` has reached it, all of it is on disk.
    pub log_end: i64,
    /// When it was stored, in milliseconds.
    pub store_timestamp_ms: i64,
}

/// Names a message or batch within its [`Staging`], until that is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// The messages of a turn. One per I/O thread, reused from turn to turn.
pub struct Staging {
    options: Arc<StoreOptions>,
    queues: Arc<QueueTable>,
    /// All records, one after another.
    pub(crate) buffer: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) records: Vec<StagedRecord>,
    /// Key hashes of all records.
    pub(crate) keys: Vec<i32>,
    /// Whether a record has text that depends on where it goes.
    pub(crate) has_late: bool,
}

/// A message or batch: what must not be torn apart.
pub(crate) struct Entry {
    pub(crate) queue: Arc<Queue>,
    pub(crate) bytes: Range<usize>,
    pub(crate) records: Range<usize>,
    pub(crate) placed: Placed,
}

/// A record, and what the queue and the index need to know of it.
pub(crate) struct StagedRecord {
    pub(crate) bytes: Range<usize>,
    pub(crate) is_queued: bool,
    /// Messages that it holds: 1 but in batch queues.
    pub(crate) count: i16,
    /// Text at the end of its properties that depends on where it goes.
    pub(crate) late: Option<Box<Late>>,
    pub(crate) tags: Tags,
    pub(crate) keys: Range<usize>,
    pub(crate) queue_offset: i64,
    pub(crate) log_offset: i64,
}

impl StagedRecord {
    /// Offsets that it takes of its queue.
    pub(crate) fn taken(&self) -> i64 {
        if self.is_queued { self.count.into() } else { 0 }
    }
}

/// What becomes a unit's tags code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// Java's hash of the tags.
    Hash(i32),
    /// Time of delivery: so long after the message is stored.
    DelayMs(i64),
}

/// A message that this turn has appended.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its queue.
    pub queue: &'a Arc<Queue>,
    /// Its offset there.
    pub queue_offset: i64,
    /// What filters compare.
    pub tags_code: i64,
    /// Its offset in the log.
    pub log_offset: i64,
    /// When it was stored, in milliseconds.
    pub store_timestamp_ms: i64,
    /// The whole record.
    pub record: &'a [u8],
}

impl Staging {
    pub(crate) fn new(options: Arc<StoreOptions>, queues: Arc<QueueTable>) -> Staging {
        Staging {
            options,
            queues,
            buffer: Vec::new(),
            entries: Vec::new(),
            records: Vec::new(),
            keys: Vec::new(),
            has_late: false,
        }
    }

    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the staged records; a turn ends when they are many.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Encodes a message. After an error nothing is staged.
    pub fn put(&mut self, queue: &Arc<Queue>, message: &NewMessage<'_>) -> Result<Slot, PutError> {
        self.check_topic(queue)?;
        let mark = self.mark();
        match self.put_record(queue, message).and_then(|()| self.close_entry(queue, &mark)) {
            Ok(slot) => Ok(slot),
            Err(error) => {
                self.reset_to(&mark);
                Err(error)
            }
        }
    }

    /// Encodes the messages of a batch. After an error nothing is staged.
    pub fn put_batch(&mut self, queue: &Arc<Queue>, batch: &NewBatch<'_>) -> Result<Slot, PutError> {
        self.check_topic(queue)?;
        let body_len = batch.common.body.len();
        if body_len > self.options.body_bytes_max {
            return Err(PutError::MessageSizeExceeded(body_len));
        }
        let mark = self.mark();
        match self.put_inner(queue, batch).and_then(|()| self.close_entry(queue, &mark)) {
            Ok(slot) => Ok(slot),
            Err(error) => {
                self.reset_to(&mark);
                Err(error)
            }
        }
    }

    /// Encodes a batch as one record that holds all its messages, for a batch queue. After an error nothing is staged.
    /// Java: `processor/SendMessageProcessor.java`, `sendBatchMessage`.
    pub fn put_inner_batch(&mut self, queue: &Arc<Queue>, batch: &NewBatch<'_>) -> Result<Slot, PutError> {
        let mut count = 0_i16;
        for inner in batch::decode(batch.common.body) {
            inner.map_err(|_| PutError::MessageIllegal)?;
            count = count.checked_add(1).ok_or(PutError::MessageIllegal)?;
        }
        if count == 0 {
            return Err(PutError::MessageIllegal);
        }
        let number = properties::encode([(name::INNER_NUM, count.to_string().as_str())]);
        let mut pieces: SmallVec<[&str; 8]> = SmallVec::from_slice(batch.common.properties);
        pieces.push(&number);
        let sys_flag = batch.common.sys_flag | sys_flag::NEED_UNWRAP | sys_flag::INNER_BATCH;
        self.put(queue, &NewMessage { sys_flag, properties: &pieces, ..batch.common })
    }

    /// Where a message went; its status is [`PutStatus::Staged`] before the append.
    pub fn placed(&self, slot: Slot) -> &Placed {
        &self.entries[slot.0].placed
    }

    /// Log offsets of the message, or of each message of the batch.
    pub fn log_offsets(&self, slot: Slot) -> impl ExactSizeIterator<Item = i64> + '_ {
        self.records[self.entries[slot.0].records.clone()].iter().map(|record| record.log_offset)
    }

    /// Log offset behind the last entry that was appended, 0 when none was.
    pub fn log_end(&self) -> i64 {
        let placed = self.entries.iter().rev().find(|entry| entry.placed.status == PutStatus::PutOk);
        placed.map_or(0, |entry| entry.placed.log_end)
    }

    /// The queues that something was staged for, as often as it was.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        let late = if self.has_late { &self.records[..] } else { &[] };
        let light = late.iter().filter_map(|record| record.late.as_ref()).flat_map(|late| late.places());
        self.entries.iter().map(|entry| &entry.queue).chain(light.map(|(queue, _)| queue))
    }

    /// What was appended, in the order of the log. It can be read now, but under SYNC_FLUSH once it is flushed.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.entries.iter().filter(|entry| entry.placed.status == PutStatus::PutOk).flat_map(move |entry| {
            let queued = self.records[entry.records.clone()].iter().filter(|record| record.is_queued);
            queued.flat_map(move |record| {
                let light = record.late.iter().flat_map(|late| late.places());
                let places = std::iter::once((&entry.queue, record.queue_offset)).chain(light);
                places.map(move |(queue, queue_offset)| Arrival {
                    queue,
                    queue_offset,
                    tags_code: record.tags.code(entry.placed.store_timestamp_ms),
                    log_offset: record.log_offset,
                    store_timestamp_ms: entry.placed.store_timestamp_ms,
                    record: &self.buffer[record.bytes.clone()],
                })
            })
        })
    }

    /// Forgets everything; slots are void.
    pub fn clear(&mut self) {
        self.reset_to(&Mark::default());
        self.has_late = false;
        self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        // Sixteen bytes of body for each: what a full turn of the smallest messages needs.
        self.entries.shrink_to(KEPT_BUFFER_BYTES >> 8);
        self.records.shrink_to(KEPT_BUFFER_BYTES >> 8);
        self.keys.shrink_to(KEPT_BUFFER_BYTES >> 7);
    }

    fn check_topic(&self, queue: &Queue) -> Result<(), PutError> {
        let is_retry = queue.topic.starts_with(RETRY_PREFIX);
        let is_wide = is_retry && self.options.stores_long_topics;
        let max = if is_wide { RETRY_TOPIC_BYTES_MAX } else { TOPIC_BYTES_MAX };
        if queue.topic.len() > max { Err(PutError::TopicTooLong(queue.topic.len())) } else { Ok(()) }
    }

    fn put_inner(&mut self, queue: &Queue, batch: &NewBatch<'_>) -> Result<(), PutError> {
        let mut count = 0;
        for inner in batch::decode(batch.common.body) {
            let inner = inner.map_err(|_| PutError::MessageIllegal)?;
            let mut pieces: SmallVec<[&str; 8]> = SmallVec::new();
            pieces.push(inner.properties);
            pieces.extend_from_slice(batch.common.properties);
            let message = NewMessage { flag: inner.flag, body: inner.body, properties: &pieces, ..batch.common };
            self.put_record(queue, &message)?;
            count += 1;
        }
        if count == 0 { Err(PutError::MessageIllegal) } else { Ok(()) }
    }

    fn put_record(&mut self, queue: &Queue, message: &NewMessage<'_>) -> Result<(), PutError> {
        let options = &self.options;
        if message.body.len() > options.body_bytes_max {
            return Err(PutError::MessageSizeExceeded(message.body.len()));
        }
        let start = self.buffer.len();
        let facts = Facts::read(message.properties);
        let count = inner_count(queue, message.sys_flag, &facts)?;
        let mut extra = self.extra(queue, message, count, &facts)?;
        let late = extra.as_mut().and_then(|extra| extra.late.take());
        let pieces = extra.as_ref().map(|extra| extra.pieces(message.properties));
        let properties = pieces.as_deref().unwrap_or(message.properties);
        let size =
            record::encode(&parts(queue, message, properties), &mut self.buffer).map_err(|error| match error {
                EncodeError::Topic(len) => PutError::TopicTooLong(len),
                EncodeError::Properties(len) => PutError::PropertiesSizeExceeded(len),
                EncodeError::Size(len) => PutError::MessageSizeExceeded(len),
            })?;
        if size > options.body_bytes_max.saturating_add(RECORD_OVERHEAD_MAX) {
            return Err(PutError::MessageSizeExceeded(size));
        }
        let keys_start = self.keys.len();
        if options.index_enabled && is_indexed(message.sys_flag) {
            facts.push_key_hashes(queue.key_hash, &mut self.keys);
        }
        self.has_late |= late.is_some();
        self.records.push(StagedRecord {
            bytes: start..start + size,
            is_queued: sys_flag::is_queued(message.sys_flag),
            count,
            late,
            tags: facts.tags(queue.is_schedule, &options.delay_levels_ms),
            keys: keys_start..self.keys.len(),
            queue_offset: 0,
            log_offset: 0,
        });
        Ok(())
    }

    /// What a record gets besides; `None` for most messages.
    fn extra(
        &self,
        queue: &Queue,
        message: &NewMessage<'_>,
        count: i16,
        facts: &Facts<'_>,
    ) -> Result<Option<Extra>, PutError> {
        let options = &self.options;
        let is_queued = sys_flag::is_queued(message.sys_flag);
        let is_based = queue.queue_type == QueueType::Batch && is_queued;
        let light = facts.multi_dispatch.filter(|_| options.light_enabled && is_queued && !is_based);
        let light = light.filter(|_| light::may_have_light(&queue.topic));
        if !is_based && !options.append_property_crc && light.is_none() {
            return Ok(None);
        }
        let mut extra = Extra { text: String::new(), late: None, replaced: None };
        if is_based {
            // The original acknowledges a message to such a queue that is no batch, and never delivers it. With these
            // properties it is a batch of one, for the original as well.
            if facts.inner_count.is_none() {
                properties::append(&mut extra.text, name::INNER_NUM, &count.to_string());
            }
            extra.late = Some(Box::new(Late::base(queue, &mut extra.text)));
        } else if let Some(names) = light {
            extra.late = Some(Box::new(Late::multi(self.light_queues(names)?, &mut extra.text)));
        }
        if options.append_property_crc {
            if facts.has_crc {
                let joined: Vec<_> = message.properties.iter().flat_map(|piece| Properties(piece).iter()).collect();
                let kept = joined.into_iter().filter(|(found, _)| *found != name::CRC32);
                extra.replaced = Some(properties::encode(kept));
            }
            extra.text.push_str(record::CRC_PROPERTY_UNSET);
            if let Some(late) = &mut extra.late {
                late.behind += record::CRC_PROPERTY_UNSET.len();
            }
        }
        Ok(Some(extra))
    }

    /// The light queues of a list of names, made where there are none.
    fn light_queues(&self, names: &str) -> Result<Vec<Light>, PutError> {
        let mut light: Vec<Light> = Vec::new();
        for name in names.split(',') {
            if light.len() == light::NAMES_MAX {
                return Err(PutError::MessageIllegal);
            }
            if !light::is_light(name) {
                light.push(Light { queue: None, offset: None });
                continue;
            }
            let queue = self.queues.light(name, self.options.light_queues_max).ok_or(PutError::LightQueuesExceeded)?;
            let offset = Some(queue.next_offset.load(Ordering::Relaxed));
            let is_known =
                light.iter().any(|other| other.queue.as_ref().is_some_and(|other| Arc::ptr_eq(other, &queue)));
            light.push(Light { queue: (!is_known).then_some(queue), offset });
        }
        Ok(light)
    }

    /// Makes the records since `mark` one entry.
    fn close_entry(&mut self, queue: &Arc<Queue>, mark: &Mark) -> Result<Slot, PutError> {
        let bytes = mark.buffer..self.buffer.len();
        let late = self.records[mark.records..].iter().filter_map(|record| record.late.as_ref());
        let growth: usize = late.map(|late| late.growth_max()).sum();
        if (bytes.len() + growth) as u64 + BLANK_BYTES_MIN as u64 > self.options.segment_bytes {
            return Err(PutError::MessageSizeExceeded(bytes.len()));
        }
        let placed =
            Placed { status: PutStatus::Staged, queue_offset: 0, log_offset: 0, log_end: 0, store_timestamp_ms: 0 };
        self.entries.push(Entry { queue: queue.clone(), bytes, records: mark.records..self.records.len(), placed });
        Ok(Slot(self.entries.len() - 1))
    }

    fn mark(&self) -> Mark {
        Mark {
            buffer: self.buffer.len(),
            entries: self.entries.len(),
            records: self.records.len(),
            keys: self.keys.len(),
        }
    }

    fn reset_to(&mut self, mark: &Mark) {
        self.buffer.truncate(mark.buffer);
        self.entries.truncate(mark.entries);
        self.records.truncate(mark.records);
        self.keys.truncate(mark.keys);
    }
}

/// What a record is made of.
fn parts<'a>(queue: &'a Queue, message: &NewMessage<'a>, properties: &'a [&'a str]) -> RecordParts<'a> {
    RecordParts {
        topic: &queue.topic,
        queue_id: queue.queue_id,
        flag: message.flag,
        sys_flag: message.sys_flag,
        born_timestamp_ms: message.born_timestamp_ms,
        born_host: message.born_host,
        store_host: message.store_host,
        reconsume_times: message.reconsume_times,
        prepared_transaction_offset: message.prepared_transaction_offset,
        body: message.body,
        properties,
    }
}

/// How many messages a record holds. Only batch queues take records of several.
/// Java: `util/HookUtils.java`, `checkInnerBatch`; `store/CommitLog.java`, `getMessageNum`.
fn inner_count(queue: &Queue, flags: i32, facts: &Facts<'_>) -> Result<i16, PutError> {
    let is_inner_batch = flags & sys_flag::INNER_BATCH != 0;
    match facts.inner_count {
        None if !is_inner_batch => Ok(1),
        _ if !is_inner_batch || queue.queue_type != QueueType::Batch => Err(PutError::MessageIllegal),
        None => Ok(1),
        Some(count) => count.parse().map(|count: i16| count.max(1)).map_err(|_| PutError::MessageIllegal),
    }
}

/// Properties that the store adds to those that a message brings.
struct Extra {
    /// Stands behind the others.
    text: String,
    /// What in it depends on where the record goes.
    late: Option<Box<Late>>,
    /// Takes the place of what the message brings.
    replaced: Option<String>,
}

impl Extra {
    fn pieces<'a>(&'a self, given: &[&'a str]) -> SmallVec<[&'a str; 8]> {
        let mut pieces: SmallVec<[&str; 8]> = match &self.replaced {
            Some(replaced) => SmallVec::from_slice(&[replaced.as_str()]),
            None => SmallVec::from_slice(given),
        };
        pieces.push(self.text.as_str());
        pieces
    }
}

/// How much was staged at some moment.
#[derive(Default)]
struct Mark {
    buffer: usize,
    entries: usize,
    records: usize,
    keys: usize,
}

impl Tags {
    /// The tags code of a message that was stored then.
    pub(crate) fn code(self, store_timestamp_ms: i64) -> i64 {
        match self {
            Tags::Hash(hash) => hash.into(),
            Tags::DelayMs(delay_ms) => store_timestamp_ms + delay_ms,
        }
    }
}

/// Whether the keys of a record with this flag are indexed: all but a rollback's.
pub(crate) fn is_indexed(flags: i32) -> bool {
    sys_flag::transaction_state(flags) != sys_flag::TRANSACTION_ROLLBACK
}

/// What the queues and the index need of a message's properties.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    tags: Option<&'a str>,
    unique_key: Option<&'a str>,
    keys: Option<&'a str>,
    delay: Option<&'a str>,
    /// Messages of an inner batch.
    pub(crate) inner_count: Option<&'a str>,
    /// Queue offset of its first message.
    pub(crate) inner_base: Option<&'a str>,
    /// Light queues that get the message as well.
    pub(crate) multi_dispatch: Option<&'a str>,
    /// Its offsets there.
    pub(crate) multi_offsets: Option<&'a str>,
    /// There is a CRC of the record among the properties.
    has_crc: bool,
}

impl<'a> Facts<'a> {
    /// Looks through the pieces once; the last property of a name counts.
    pub(crate) fn read(pieces: &[&'a str]) -> Facts<'a> {
        let mut facts = Facts::default();
        for piece in pieces {
            for (name, value) in Properties(piece).iter() {
                facts.note(name, value);
            }
        }
        facts
    }

    fn note(&mut self, name: &str, value: &'a str) {
        match name {
            name::TAGS => self.tags = Some(value),
            name::UNIQ_KEY => self.unique_key = Some(value),
            name::KEYS => self.keys = Some(value),
            name::DELAY => self.delay = Some(value),
            name::INNER_NUM => self.inner_count = Some(value),
            name::INNER_BASE => self.inner_base = Some(value),
            name::INNER_MULTI_DISPATCH => self.multi_dispatch = Some(value),
            name::INNER_MULTI_QUEUE_OFFSET => self.multi_offsets = Some(value),
            name::CRC32 => self.has_crc = true,
            _ => {}
        }
    }

    /// The tags, or on the topic of delayed messages the delay of their level; the highest one stands for those beyond.
    pub(crate) fn tags(&self, is_schedule: bool, delay_levels_ms: &[i64]) -> Tags {
        if is_schedule && let Some(level) = self.delay.and_then(|delay| delay.parse::<usize>().ok()) {
            let delay_ms = level.min(delay_levels_ms.len()).checked_sub(1).and_then(|level| delay_levels_ms.get(level));
            if let Some(delay_ms) = delay_ms {
                return Tags::DelayMs(*delay_ms);
            }
        }
        Tags::Hash(self.tags.map_or(0, |tags| hash::extend(0, tags)))
    }

    /// Appends the hashes of `topic#unique key` and of `topic#key` for each key; `topic_hash` is that of `topic#`.
    pub(crate) fn push_key_hashes(&self, topic_hash: i32, hashes: &mut Vec<i32>) {
        let keys = self.keys.into_iter().flat_map(|keys| keys.split(' ').filter(|key| !key.is_empty()));
        hashes.extend(self.unique_key.into_iter().chain(keys).map(|key| hash::extend(topic_hash, key)));
    }
}

const _: () = assert!(properties::BYTES_MAX < RECORD_OVERHEAD_MAX, "properties alone never exceed the overhead");
