//! A message, or a batch of them, made ready for the wire.

use bytes::Bytes;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::SendMessageRequestHeaderV2;
use raptormq_protocol::message::batch::{self, InnerMessage};
use raptormq_protocol::message::compress::{self, Compression};
use raptormq_protocol::message::properties::{self, name};
use raptormq_remoting::Request;

use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{BODY_BYTES_MAX, Message};
use crate::names::{DEFAULT_TOPIC, RETRY_PREFIX};

use super::ProducerSettings;

/// What is sent: the same in each attempt, but for the queue.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(super) topic: String,
    pub(crate) message_id: String,
    code: RequestCode,
    body: Bytes,
    properties: String,
    flag: i32,
    sys_flag: i32,
    born_timestamp_ms: i64,
}

impl Outgoing {
    /// Checks a message, gives it its id and compresses its body.
    pub(crate) fn single(client: &Client, settings: &ProducerSettings, message: &Message) -> Result<Outgoing> {
        message.check()?;
        let now_ms = clock::now_ms();
        let message_id = client.new_message_id(now_ms);
        let (body, sys_flag) = compressed(message.body(), settings.compress_from_bytes)?;
        Ok(Outgoing {
            topic: message.topic().to_owned(),
            code: RequestCode::SEND_MESSAGE_V2,
            body,
            properties: message.property_text(&message_id)?,
            message_id,
            flag: message.user_flag(),
            sys_flag,
            born_timestamp_ms: now_ms,
        })
    }

    /// Checks the messages of a batch and puts them into one body. Batches are not compressed.
    pub(super) fn batch(client: &Client, messages: &[Message]) -> Result<Outgoing> {
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
            message.check()?;
            if message.topic() != first.topic() {
                return Err(Error::invalid("The topic of the messages in one batch should be the same"));
            }
            let id = client.new_message_id(now_ms);
            let properties = message.property_text(&id)?;
            let inner = InnerMessage { flag: message.user_flag(), body: message.body(), properties: &properties };
            batch::encode(&inner, &mut body).map_err(|error| Error::new(ErrorKind::TooLarge, error.to_string()))?;
            if body.len() > BODY_BYTES_MAX {
                let text = format!("the batch's size is over max value, MAX: {BODY_BYTES_MAX}");
                return Err(Error::new(ErrorKind::TooLarge, text));
            }
            ids.push(id);
        }
        Ok(Outgoing {
            topic: first.topic().to_owned(),
            code: RequestCode::SEND_BATCH_MESSAGE,
            body: body.into(),
            properties: properties::encode([(name::WAIT, "true")]),
            message_id: ids.join(","),
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: now_ms,
        })
    }

    /// Bytes of the body as it is sent.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The request that puts this into a queue.
    pub(crate) fn request(&self, settings: &ProducerSettings, to: &MessageQueue) -> Request {
        let header = SendMessageRequestHeaderV2 {
            producer_group: &settings.group,
            topic: &self.topic,
            default_topic: DEFAULT_TOPIC,
            default_topic_queue_nums: settings.default_topic_queues,
            queue_id: to.queue_id,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp_ms,
            flag: self.flag,
            properties: Some(&self.properties),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            max_reconsume_times: None,
            batch: Some(self.code == RequestCode::SEND_BATCH_MESSAGE),
            broker_name: Some(&to.broker_name),
        };
        Request::new(self.code).header(&header).body(self.body.clone())
    }
}

/// zlib level, as Java's producers have it.
const ZLIB_LEVEL: i32 = 5;

/// The body as it is sent and the system flag that says so: compressed from `from_bytes` on, unless that makes it longer.
fn compressed(body: &Bytes, from_bytes: usize) -> Result<(Bytes, i32)> {
    if body.len() < from_bytes {
        return Ok((body.clone(), 0));
    }
    let failed = |error| Error::invalid("the body cannot be compressed").with_source(error);
    let short = compress::compress(Compression::Zlib, ZLIB_LEVEL, body).map_err(failed)?;
    if short.len() < body.len() { Ok((short.into(), Compression::Zlib.flag())) } else { Ok((body.clone(), 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compressed_where_that_helps() {
        let text = Bytes::from(vec![b'a'; 5000]);
        assert_eq!(compressed(&text, 5001).unwrap(), (text.clone(), 0));
        let (short, sys_flag) = compressed(&text, 5000).unwrap();
        assert_eq!(sys_flag, 0x301);
        assert_eq!(compress::decompress(Compression::Zlib, &short, 5000).unwrap(), text);
        // A second compression cannot help.
        assert_eq!(compressed(&short, 1).unwrap(), (short.clone(), 0));
    }
}
