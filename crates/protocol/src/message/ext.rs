//! The decoded message that a client hands to its user.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

use super::PropertyList;
use super::compress::{self, CompressError, Compression};
use super::id::OffsetMessageId;
use super::properties::name;
use super::record::{RecordError, RecordView};
use super::sys_flag;

/// A stored message with everything the broker knows about it (Java: `common/message/MessageExt.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageExt {
    /// Replica group that the message was read from; empty until the client sets it.
    pub broker_name: String,
    /// Number of the queue within the topic.
    pub queue_id: i32,
    /// Bytes of the record in the commit log.
    pub store_size: i32,
    /// Units from the start of the queue.
    pub queue_offset: i64,
    /// See [`sys_flag`]; the compressed bit is cleared once the body is decompressed.
    pub sys_flag: i32,
    /// When the producer made the message, in milliseconds.
    pub born_timestamp_ms: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// When the broker stored the message, in milliseconds.
    pub store_timestamp_ms: i64,
    /// The broker's address.
    pub store_host: SocketAddr,
    /// The offset message id; Java prints this one, too. The id that the producer gave is [`MessageExt::unique_key`].
    pub msg_id: String,
    /// Bytes from the start of the commit log.
    pub commit_log_offset: i64,
    /// CRC-32 of the stored body, without its sign bit.
    pub body_crc: i32,
    /// How often the message was delivered before.
    pub reconsume_times: i32,
    /// Log offset of the half message in a commit record, else 0.
    pub prepared_transaction_offset: i64,
    /// The topic.
    pub topic: String,
    /// The user's flag.
    pub flag: i32,
    /// Name and value; each name once.
    pub properties: PropertyList,
    /// The body, decompressed.
    pub body: Bytes,
    /// Id of the transaction, where there is one.
    pub transaction_id: Option<String>,
}

/// Why a record cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The body is not the one that was stored.
    #[error("the body's CRC is not the stored one, at log offset {log_offset}")]
    Crc {
        /// Where the record lies.
        log_offset: i64,
    },
    /// The body cannot be decompressed.
    #[error(transparent)]
    Compression(#[from] CompressError),
}

impl MessageExt {
    /// Decodes the record at the start of `bytes` and returns it with the record's size. A body may grow to
    /// `body_bytes_max` by decompression.
    pub fn decode(bytes: &[u8], body_bytes_max: usize) -> Result<(MessageExt, usize), DecodeError> {
        let view = RecordView::parse(bytes)?;
        Ok((MessageExt::from_record(&view, body_bytes_max)?, view.size))
    }

    /// Decodes a pull's answer: records one after another. After an error the rest is not read.
    pub fn decode_all(mut bytes: &[u8], body_bytes_max: usize) -> Result<Vec<MessageExt>, DecodeError> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (message, size) = MessageExt::decode(bytes, body_bytes_max)?;
            messages.push(message);
            bytes = &bytes[size..];
        }
        Ok(messages)
    }

    /// The message of a parsed record; its body is checked against the CRC and decompressed.
    pub fn from_record(view: &RecordView<'_>, body_bytes_max: usize) -> Result<MessageExt, DecodeError> {
        if !view.crc_matches() {
            return Err(DecodeError::Crc { log_offset: view.log_offset });
        }
        let mut message = MessageExt::bare(view);
        message.body = match Compression::of(view.sys_flag)? {
            Some(compression) => {
                message.sys_flag &= !sys_flag::COMPRESSED;
                Bytes::from(compress::decompress(compression, view.body, body_bytes_max)?)
            }
            None => Bytes::copy_from_slice(view.body),
        };
        Ok(message)
    }

    /// The message of a parsed record, its body apart, which is not looked at.
    pub fn bare(view: &RecordView<'_>) -> MessageExt {
        let id = OffsetMessageId { store_host: view.store_host, log_offset: view.log_offset };
        MessageExt {
            broker_name: String::new(),
            queue_id: view.queue_id,
            // A record's size is read from an i32.
            store_size: view.size as i32,
            queue_offset: view.queue_offset,
            sys_flag: view.sys_flag,
            born_timestamp_ms: view.born_timestamp_ms,
            born_host: view.born_host,
            store_timestamp_ms: view.store_timestamp_ms,
            store_host: view.store_host,
            msg_id: id.text(),
            commit_log_offset: view.log_offset,
            body_crc: view.body_crc,
            reconsume_times: view.reconsume_times,
            prepared_transaction_offset: view.prepared_transaction_offset,
            topic: view.topic.to_owned(),
            flag: view.flag,
            properties: PropertyList::of(&view.properties()),
            body: Bytes::new(),
            transaction_id: None,
        }
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }

    /// Sets a property.
    pub fn set_property(&mut self, name: &str, value: impl AsRef<str>) {
        self.properties.set(name, value.as_ref());
    }

    /// The message's tags.
    pub fn tags(&self) -> Option<&str> {
        self.property(name::TAGS)
    }

    /// The message's keys, separated by spaces.
    pub fn keys(&self) -> Option<&str> {
        self.property(name::KEYS)
    }

    /// The id that the producer gave the message.
    pub fn unique_key(&self) -> Option<&str> {
        self.property(name::UNIQ_KEY)
    }
}

/// As Java's `toString` prints it; scripts read these lines.
impl MessageExt {
    /// The properties as Java prints them: `{TAGS=TagA, KEYS=k}` in the order of its map, `null` when there are none.
    pub fn properties_text(&self) -> String {
        if self.properties.is_empty() {
            return "null".to_owned();
        }
        let pairs: Vec<_> =
            in_java_order(&self.properties).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

impl fmt::Display for MessageExt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MessageExt { broker_name, queue_id, store_size, queue_offset, sys_flag, msg_id, .. } = self;
        write!(f, "MessageExt [brokerName={broker_name}, queueId={queue_id}, storeSize={store_size}, ")?;
        write!(f, "queueOffset={queue_offset}, sysFlag={sys_flag}, bornTimestamp={}, ", self.born_timestamp_ms)?;
        write!(f, "bornHost=/{}, storeTimestamp={}, ", JavaHost(self.born_host), self.store_timestamp_ms)?;
        write!(
            f,
            "storeHost=/{}, msgId={msg_id}, commitLogOffset={}, ",
            JavaHost(self.store_host),
            self.commit_log_offset
        )?;
        write!(f, "bodyCRC={}, reconsumeTimes={}, ", self.body_crc, self.reconsume_times)?;
        write!(f, "preparedTransactionOffset={}, ", self.prepared_transaction_offset)?;
        write!(f, "toString()=Message{{topic='{}', flag={}, properties=", self.topic, self.flag)?;
        f.write_str(&self.properties_text())?;
        write!(f, ", body={}, ", JavaBytes(&self.body))?;
        write!(f, "transactionId='{}'}}]", self.transaction_id.as_deref().unwrap_or("null"))
    }
}

/// An address as Java prints it: all eight groups of IPv6, where Rust leaves zeros out.
struct JavaHost(SocketAddr);

impl fmt::Display for JavaHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SocketAddr::V6(host) = self.0 else { return write!(f, "{}", self.0) };
        let [a, b, c, d, e, g, h, i] = host.ip().segments();
        write!(f, "[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{g:x}:{h:x}:{i:x}]:{}", host.port())
    }
}

/// Bytes as Java prints them: signed; a record without a body has none at all.
struct JavaBytes<'a>(&'a [u8]);

impl fmt::Display for JavaBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("null");
        }
        for (position, byte) in self.0.iter().enumerate() {
            write!(f, "{}{}", if position == 0 { "[" } else { ", " }, byte.cast_signed())?;
        }
        f.write_str("]")
    }
}

/// Size of the hash table that current clients decode properties into; it orders what they print.
const JAVA_TABLE_SIZE: usize = 128;

/// The properties in the order in which a Java client prints them: by bucket of its hash table.
fn in_java_order(properties: &PropertyList) -> Vec<(&str, &str)> {
    let mut size = JAVA_TABLE_SIZE;
    while properties.len() * 4 > size * 3 {
        size *= 2;
    }
    let bucket = |name: &str| {
        let hash = name.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
        (hash ^ (hash >> 16)) as usize & (size - 1)
    };
    let mut ordered: Vec<(&str, &str)> = properties.iter().collect();
    ordered.sort_by_key(|(name, _)| bucket(name));
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::record::{self, Place, RecordParts};

    /// Body limit of these tests.
    const BODY_MAX: usize = 1 << 20;

    fn record(sys_flag: i32, body: &[u8]) -> Vec<u8> {
        let properties = "KEYS\u{1}k0\u{2}UNIQ_KEY\u{1}C0000202330030946E0969AC7E2F0000\u{2}WAIT\u{1}true\u{2}\
                          TRACE_ON\u{1}true\u{2}TAGS\u{1}TagA\u{2}MSG_REGION\u{1}DefaultRegion\u{2}\
                          CLUSTER\u{1}DefaultCluster\u{2}WAIT\u{1}false\u{2}";
        let mut out = Vec::new();
        let parts = RecordParts {
            topic: "KitT",
            queue_id: 0,
            flag: 0,
            sys_flag,
            born_timestamp_ms: 1795264112177,
            born_host: "127.0.0.1:36036".parse().unwrap(),
            store_host: "127.0.0.1:20911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties: &[properties],
        };
        record::encode(&parts, &mut out).unwrap();
        record::patch(&mut out, &Place { queue_offset: 4, log_offset: 468, store_timestamp_ms: 1795264112662 });
        out
    }

    #[test]
    fn prints_as_java_does() {
        let bytes = record(0, &[98, 200]);
        let (mut message, size) = MessageExt::decode(&bytes, BODY_MAX).unwrap();
        message.broker_name = "broker-a".to_owned();
        message.set_property(name::MIN_OFFSET, "0");
        message.set_property(name::MAX_OFFSET, "5");
        let crc = record::body_crc(&[98, 200]);
        // Property order and punctuation as in the output of a live 5.3.3 (mqadmin consumeMessage).
        let expected = format!(
            "MessageExt [brokerName=broker-a, queueId=0, storeSize={size}, queueOffset=4, sysFlag=0, \
             bornTimestamp=1795264112177, bornHost=/127.0.0.1:36036, storeTimestamp=1795264112662, \
             storeHost=/127.0.0.1:20911, msgId=7F000001000051AF00000000000001D4, commitLogOffset=468, bodyCRC={crc}, \
             reconsumeTimes=0, preparedTransactionOffset=0, toString()=Message{{topic='KitT', flag=0, \
             properties={{MSG_REGION=DefaultRegion, UNIQ_KEY=C0000202330030946E0969AC7E2F0000, \
             CLUSTER=DefaultCluster, MIN_OFFSET=0, TAGS=TagA, KEYS=k0, WAIT=false, TRACE_ON=true, MAX_OFFSET=5}}, \
             body=[98, -56], transactionId='null'}}]"
        );
        assert_eq!(message.to_string(), expected);
    }

    #[test]
    fn decompresses_and_clears_the_bit() {
        let body = compress::compress(Compression::Zlib, 5, b"hello hello hello").unwrap();
        let bytes = record(sys_flag::COMPRESSED, &body);
        let (message, _) = MessageExt::decode(&bytes, BODY_MAX).unwrap();
        assert_eq!((message.body.as_ref(), message.sys_flag), (b"hello hello hello".as_slice(), 0));
        assert!(matches!(
            MessageExt::decode(&bytes, 5),
            Err(DecodeError::Compression(CompressError::TooLarge { bytes_max: 5 }))
        ));
    }

    #[test]
    fn a_pulls_answer_is_a_row_of_records() {
        let mut bytes = record(0, b"one");
        bytes.extend(record(0, b"two"));
        let bodies: Vec<_> =
            MessageExt::decode_all(&bytes, BODY_MAX).unwrap().into_iter().map(|message| message.body).collect();
        assert_eq!(bodies, [b"one".as_slice(), b"two"]);
        assert!(MessageExt::decode_all(&bytes[..bytes.len() - 1], BODY_MAX).is_err());
    }

    #[test]
    fn a_changed_body_is_an_error() {
        let mut bytes = record(0, b"one");
        bytes[88] ^= 1;
        assert!(matches!(MessageExt::decode(&bytes, BODY_MAX), Err(DecodeError::Crc { log_offset: 468 })));
    }
}
