//! A message, or a batch of them, made ready for the wire.

use std::borrow::Cow;

use bytes::Bytes;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::SendMessageRequestHeaderV2;
use raptormq_protocol::message::batch::{self, InnerMessage};
use raptormq_protocol::message::compress::{self, Compression};
use raptormq_protocol::message::properties::{self, name};
use raptormq_protocol::message::sys_flag;
use raptormq_remoting::Request;

use super::ProducerSettings;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::names::{DEFAULT_TOPIC, RETRY_PREFIX};
use crate::trace::Traced;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// The half of a transaction.
    Half,
    /// The answer to a request message.
    Reply,
}

/// What is sent: the same in each attempt, but for the queue.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// With its namespace.
    pub(super) topic: String,
    pub(crate) message_id: String,
    code: RequestCode,
    body: Bytes,
    properties: String,
    flag: i32,
    sys_flag: i32,
    pub(super) born_timestamp_ms: i64,
    /// How often it was consumed in vain, and how often it may be: of messages to a retry topic.
    retried: Option<(i32, Option<i32>)>,
    /// What a trace tells of it.
    pub(super) traced: Option<Box<Traced>>,
}

impl Outgoing {
    /// Checks a message, gives it its id and compresses its body.
    pub(crate) fn single(client: &Client, settings: &ProducerSettings, message: Message) -> Result<Outgoing> {
        Outgoing::of_kind(client, settings, message, Kind::Normal)
    }

    /// As [`Outgoing::single`], for a message of any kind.
    pub(super) fn of_kind(
        client: &Client,
        settings: &ProducerSettings,
        mut message: Message,
        kind: Kind,
    ) -> Result<Outgoing> {
        message.check(settings.body_bytes_max)?;
        let now_ms = clock::now_ms();
        let message_id = client.new_message_id(now_ms);
        let retried = message.topic().starts_with(RETRY_PREFIX).then(|| message.take_retries());
        let (code, kind_flag) = match kind {
            Kind::Normal => (RequestCode::SEND_MESSAGE_V2, 0),
            Kind::Half => (RequestCode::SEND_MESSAGE_V2, sys_flag::TRANSACTION_PREPARED),
            Kind::Reply => (RequestCode::SEND_REPLY_MESSAGE_V2, 0),
        };
        let properties = message.property_text(&message_id)?;
        let traced = settings.traces.then(|| Box::new(Traced::of(&message, kind == Kind::Half)));
        let flag = message.user_flag();
        let (topic, body) = message.into_topic_and_body();
        let (body, compressed_flag) = compressed(body, settings)?;
        Ok(Outgoing {
            topic: full_topic(client, settings, topic, kind),
            code,
            body,
            properties,
            message_id,
            flag,
            sys_flag: compressed_flag | kind_flag,
            born_timestamp_ms: now_ms,
            retried,
            traced,
        })
    }

    /// Checks the messages of a batch and puts them into one body. Batches are not compressed.
    pub(super) fn batch(client: &Client, settings: &ProducerSettings, messages: &[Message]) -> Result<Outgoing> {
        let Some(first) = messages.first() else {
            return Err(Error::invalid("a batch needs at least one message"));
        };
        if first.topic().starts_with(RETRY_PREFIX) {
            return Err(Error::invalid("Retry Group is not supported for batching"));
        }
        let now_ms = clock::now_ms();
        let mut ids = Vec::with_capacity(messages.len());
        let mut body = Vec::with_capacity(messages.iter().map(|message| message.body().len() + 128).sum());
        for message in messages {
            message.check(settings.body_bytes_max)?;
            if message.topic() != first.topic() {
                return Err(Error::invalid("The topic of the messages in one batch should be the same"));
            }
            if message.waits_for_store() != first.waits_for_store() {
                return Err(Error::invalid("The waitStoreMsgOK of the messages in one batch should be the same"));
            }
            if message.is_delayed() {
                return Err(Error::invalid(
                    "TimeDelayLevel is not supported for batching: send delayed messages by themselves",
                ));
            }
            let id = client.new_message_id(now_ms);
            encode_inner(message, &id, &mut body)?;
            if body.len() > settings.body_bytes_max {
                let text = format!(
                    "the batch's size is over max value, MAX: {}: send fewer at once, or use send_batches, which splits",
                    settings.body_bytes_max
                );
                return Err(Error::new(ErrorKind::TooLarge, text));
            }
            ids.push(id);
        }
        let wait = if first.waits_for_store() { "true" } else { "false" };
        Ok(Outgoing {
            topic: full_topic(client, settings, first.topic().to_owned(), Kind::Normal),
            code: RequestCode::SEND_BATCH_MESSAGE,
            traced: settings.traces.then(|| Box::new(Traced::batch(body.len()))),
            body: body.into(),
            properties: properties::encode([(name::WAIT, wait)]),
            message_id: ids.join(","),
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: now_ms,
            retried: None,
        })
    }

    /// Bytes of the body as it is sent.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The body as it is sent.
    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// What brokers are asked to do with it.
    pub(super) fn code(&self) -> RequestCode {
        self.code
    }

    /// The request that puts this into a queue.
    pub(crate) fn request(&self, settings: &ProducerSettings, to: &MessageQueue) -> Request {
        Request::new(self.code).header(&self.header(settings, to)).body(self.body.clone())
    }

    /// The header of the request that puts this into a queue.
    pub(super) fn header<'h>(
        &'h self,
        settings: &'h ProducerSettings,
        to: &'h MessageQueue,
    ) -> SendMessageRequestHeaderV2<'h> {
        SendMessageRequestHeaderV2 {
            producer_group: &settings.group,
            topic: &self.topic,
            default_topic: DEFAULT_TOPIC,
            default_topic_queue_nums: settings.default_topic_queues,
            queue_id: to.queue_id,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp_ms,
            flag: self.flag,
            properties: Some(&self.properties),
            reconsume_times: Some(self.retried.map_or(0, |(times, _)| times)),
            unit_mode: Some(false),
            max_reconsume_times: self.retried.and_then(|(_, times_max)| times_max),
            batch: Some(self.code == RequestCode::SEND_BATCH_MESSAGE),
            broker_name: Some(&to.broker_name),
        }
    }
}

/// The topic as brokers know it. Replies go to a topic of the cluster, which is in no namespace.
fn full_topic(client: &Client, settings: &ProducerSettings, topic: String, kind: Kind) -> String {
    if settings.is_inner || kind == Kind::Reply {
        return topic;
    }
    match client.with_namespace(&topic) {
        Cow::Owned(full) => full,
        Cow::Borrowed(_) => topic,
    }
}

/// Appends a message of a batch.
fn encode_inner(message: &Message, id: &str, body: &mut Vec<u8>) -> Result<()> {
    let properties = message.property_text(id)?;
    let inner = InnerMessage { flag: message.user_flag(), body: message.body(), properties: &properties };
    batch::encode(&inner, body).map_err(|error| Error::new(ErrorKind::TooLarge, error.to_string()))
}

/// Bytes that a message takes in a batch: sizes, flag and checksum, body, properties. The id's length is that of IPv6.
pub(super) fn inner_bytes(message: &Message) -> usize {
    const NUMBERS_BYTES: usize = 22;
    const ID_AND_WAIT_BYTES: usize = 56 + 24;
    NUMBERS_BYTES + message.body().len() + message.property_bytes() + ID_AND_WAIT_BYTES
}

/// Splits messages into batches of at most `bytes_max` each; a longer message is a batch of its own.
pub(super) fn split(messages: impl IntoIterator<Item = Message>, bytes_max: usize) -> Vec<Vec<Message>> {
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut filled = usize::MAX;
    for message in messages {
        let bytes = inner_bytes(&message);
        match batches.last_mut() {
            Some(batch) if filled + bytes <= bytes_max => {
                batch.push(message);
                filled += bytes;
            }
            _ => {
                batches.push(vec![message]);
                filled = bytes;
            }
        }
    }
    batches
}

/// The body as it is sent and the system flag that says so: compressed from the settings' size on, unless that makes it
/// longer.
fn compressed(body: Bytes, settings: &ProducerSettings) -> Result<(Bytes, i32)> {
    if body.len() < settings.compress_from_bytes {
        return Ok((body, 0));
    }
    let (compression, level): (Compression, i32) = settings.compression;
    let failed = |error| Error::invalid("the body cannot be compressed").with_source(error);
    let short = compress::compress(compression, level, &body).map_err(failed)?;
    if short.len() < body.len() { Ok((short.into(), compression.flag())) } else { Ok((body, 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compressed_where_that_helps() {
        for compression in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
            let mut settings = ProducerSettings::of_group("p");
            (settings.compress_from_bytes, settings.compression) = (5001, (compression, 5));
            let text = Bytes::from(vec![b'a'; 5000]);
            assert_eq!(compressed(text.clone(), &settings).unwrap(), (text.clone(), 0));
            settings.compress_from_bytes = 5000;
            let (short, sys_flag) = compressed(text.clone(), &settings).unwrap();
            assert_eq!(sys_flag, compression.flag());
            assert_eq!(compress::decompress(compression, &short, 5000).unwrap(), text);
            // A second compression cannot help.
            settings.compress_from_bytes = 1;
            let noise: Bytes = (0..5000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let (sent, _) = compressed(noise.clone(), &settings).unwrap();
            assert!(sent.len() <= noise.len());
        }
    }

    #[test]
    fn batches_are_split_by_size_and_keep_their_order() {
        let messages = || (0..10).map(|number| Message::new("T", vec![number; 1000]));
        let batches = split(messages(), 3500);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 1]);
        assert_eq!(batches.concat(), messages().collect::<Vec<_>>());
        assert_eq!(split(messages(), 10).len(), 10);
        assert!(split([], 10).is_empty());
        let mut body = Vec::new();
        for message in messages() {
            let before = body.len();
            let id = "F".repeat(56);
            encode_inner(&message, &id, &mut body).unwrap();
            assert!(body.len() - before <= inner_bytes(&message));
        }
    }
}
