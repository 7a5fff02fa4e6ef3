//! A record of the commit log: what a message is on disk, in a pull's answer and on the way to a slave.
//!
//! ```text
//!  0 size │ 4 magic │ 8 body CRC │ 12 queue id │ 16 flag │ 20 queue offset (8) │ 28 log offset (8) │ 36 sys flag
//! 40 born timestamp (8) │ 48 born host (8, or 20 with IPv6) │ 56 store timestamp (8) │ 64 store host (8 or 20)
//! 72 reconsume times │ 76 prepared transaction offset (8) │ 84 body length, body
//! topic length (1 byte, in V2 records 2), topic │ properties length (2), properties
//! ```
//!
//! All numbers are big-endian; offsets behind 48 grow by 12 with each IPv6 host. A host is its address and a 32-bit port.
//! Java: `store/MessageExtEncoder.java`, `common/message/MessageDecoder.java`.
//!
//! [`encode`] writes everything but the three fields that are known only when the record gets its place; [`patch`] sets
//! those. [`RecordView::parse`] reads, and trusts nothing.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::properties::{self, PROPERTY_SEPARATOR};
use super::sys_flag;

/// Magic of a record whose topic length has one byte.
pub const MAGIC_V1: i32 = 0xDAA3_20A7_u32 as i32;
/// Magic of a record whose topic length has two bytes, for topics of more than 127 bytes.
pub const MAGIC_V2: i32 = 0xDAA3_20AB_u32 as i32;
/// Magic of the blank record that fills the rest of a log file.
pub const MAGIC_BLANK: i32 = 0xCBD4_3194_u32 as i32;

/// Longest topic of a V1 record: Java reads its length as a signed byte.
pub const TOPIC_BYTES_MAX_V1: usize = i8::MAX as usize;
/// Longest topic of a V2 record.
pub const TOPIC_BYTES_MAX: usize = i16::MAX as usize;

const QUEUE_OFFSET_AT: usize = 20;
const LOG_OFFSET_AT: usize = 28;
const SYS_FLAG_AT: usize = 36;
const BORN_HOST_AT: usize = 48;
/// With IPv4 hosts.
const BODY_LEN_AT: usize = 84;
/// Bytes of a record with IPv4 hosts, a V1 topic length and neither body, topic nor properties.
const FIXED_BYTES: usize = 84 + 4 + 1 + 2;
/// The shortest record: what [`RecordHead::read`] and [`RecordView::parse`] accept as a size.
pub const RECORD_BYTES_MIN: usize = FIXED_BYTES;

/// Everything of a message that is known before it has its place in the log.
#[derive(Clone, Copy, Debug)]
pub struct RecordParts<'a> {
    /// The topic, as text of up to [`TOPIC_BYTES_MAX`] bytes; more than [`TOPIC_BYTES_MAX_V1`] make a V2 record.
    pub topic: &'a str,
    /// Number of the queue within the topic.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// System flag. The bits of the address families are set by [`encode`] from the hosts.
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
    /// The body as it is stored: compressed if the system flag says so.
    pub body: &'a [u8],
    /// Property text in pieces that are joined (with a 0x02 where a piece leaves its last one out).
    pub properties: &'a [&'a str],
}

/// Why a message cannot be made a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The topic is empty or longer than [`TOPIC_BYTES_MAX`].
    #[error("a topic of {0} bytes cannot be stored")]
    Topic(usize),
    /// The properties are longer than [`properties::BYTES_MAX`].
    #[error("properties of {0} bytes are longer than {max}", max = properties::BYTES_MAX)]
    Properties(usize),
    /// The whole is longer than a 32-bit length can say.
    #[error("a record of {0} bytes is too long")]
    Size(usize),
}

/// Appends the record of `parts` to `out` and returns its size. Queue offset, log offset and store timestamp are 0 until
/// [`patch`] sets them. After an error `out` is as before.
pub fn encode(parts: &RecordParts<'_>, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    let mut flags = parts.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
    if parts.born_host.is_ipv6() {
        flags |= sys_flag::BORN_HOST_V6;
    }
    if parts.store_host.is_ipv6() {
        flags |= sys_flag::STORE_HOST_V6;
    }
    let topic_len = parts.topic.len();
    if topic_len == 0 || topic_len > TOPIC_BYTES_MAX {
        return Err(EncodeError::Topic(topic_len));
    }
    let properties_len = joined_len(parts.properties);
    if properties_len > properties::BYTES_MAX {
        return Err(EncodeError::Properties(properties_len));
    }
    let wide_topic = topic_len > TOPIC_BYTES_MAX_V1;
    let hosts = sys_flag::born_host_len(flags) - 8 + sys_flag::store_host_len(flags) - 8;
    let size = FIXED_BYTES + hosts + usize::from(wide_topic) + parts.body.len() + topic_len + properties_len;
    let size_field = i32::try_from(size).map_err(|_| EncodeError::Size(size))?;

    let start = out.len();
    out.reserve(size);
    put_i32(out, size_field);
    put_i32(out, if wide_topic { MAGIC_V2 } else { MAGIC_V1 });
    put_i32(out, body_crc(parts.body));
    put_i32(out, parts.queue_id);
    put_i32(out, parts.flag);
    put_i64(out, 0);
    put_i64(out, 0);
    put_i32(out, flags);
    put_i64(out, parts.born_timestamp_ms);
    put_host(out, parts.born_host);
    put_i64(out, 0);
    put_host(out, parts.store_host);
    put_i32(out, parts.reconsume_times);
    put_i64(out, parts.prepared_transaction_offset);
    // Lengths below are parts of `size`, which fits an i32; topic and properties were checked against their limits.
    put_i32(out, parts.body.len() as i32);
    out.extend_from_slice(parts.body);
    if wide_topic {
        out.extend_from_slice(&(topic_len as i16).to_be_bytes());
    } else {
        out.push(topic_len as u8);
    }
    out.extend_from_slice(parts.topic.as_bytes());
    out.extend_from_slice(&(properties_len as i16).to_be_bytes());
    put_joined(out, parts.properties);
    debug_assert_eq!(out.len() - start, size, "the size field must be the sum of what was written");
    Ok(size)
}

/// The fields that a record gets together with its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Units from the start of the queue; 0 for half messages and rollbacks.
    pub queue_offset: i64,
    /// Bytes from the start of the log.
    pub log_offset: i64,
    /// When the record was stored, in milliseconds.
    pub store_timestamp_ms: i64,
}

/// Sets the fields of `place` in a record that [`encode`] wrote.
///
/// # Panics
/// When `record` is shorter than a record's fixed part.
pub fn patch(record: &mut [u8], place: &Place) {
    assert!(record.len() >= RECORD_BYTES_MIN, "only a whole record can be patched");
    let flags = i32::from_be_bytes([record[36], record[37], record[38], record[39]]);
    let store_timestamp_at = BORN_HOST_AT + sys_flag::born_host_len(flags);
    record[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&place.queue_offset.to_be_bytes());
    record[LOG_OFFSET_AT..LOG_OFFSET_AT + 8].copy_from_slice(&place.log_offset.to_be_bytes());
    record[store_timestamp_at..store_timestamp_at + 8].copy_from_slice(&place.store_timestamp_ms.to_be_bytes());
}

/// Corrects the size of a record whose properties, which stand at its end, became `grown` bytes longer, and their length.
///
/// # Panics
/// When `record` is not the whole of such a record.
pub fn resize_properties(record: &mut [u8], grown: isize) {
    let size = record.len() as i32;
    record[..4].copy_from_slice(&size.to_be_bytes());
    let flags = i32::from_be_bytes([record[36], record[37], record[38], record[39]]);
    let hosts = sys_flag::born_host_len(flags) - 8 + sys_flag::store_host_len(flags) - 8;
    let body_len_at = BODY_LEN_AT + hosts;
    let int = |at: usize| i32::from_be_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    let topic_len_at = body_len_at + 4 + int(body_len_at) as usize;
    let properties_len_at = match int(4) {
        MAGIC_V2 => {
            topic_len_at + 2 + usize::from(u16::from_be_bytes([record[topic_len_at], record[topic_len_at + 1]]))
        }
        _ => topic_len_at + 1 + usize::from(record[topic_len_at]),
    };
    let len = &mut record[properties_len_at..properties_len_at + 2];
    let grown = i16::from_be_bytes([len[0], len[1]]) + grown as i16;
    len.copy_from_slice(&grown.to_be_bytes());
}

/// CRC-32 of a stored body without its sign bit, as the record's third field holds it.
pub fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7FFF_FFFF) as i32
}

/// The last property of records that have a CRC of all of it, before [`seal`]: its name, ten digits, its end.
pub const CRC_PROPERTY_UNSET: &str = "__CRC32#\u{1}0000000000\u{2}";
const CRC_DIGITS: usize = 10;

/// Writes the CRC of the record before its last property, which is [`CRC_PROPERTY_UNSET`], into that property.
/// Java: `common/message/MessageDecoder.java`, `createCrc32`.
///
/// # Panics
/// When `record` is shorter than that property.
pub fn seal(record: &mut [u8]) {
    let (covered, property) = record.split_at_mut(record.len() - CRC_PROPERTY_UNSET.len());
    let mut crc = body_crc(covered);
    let digits_at = property.len() - 1 - CRC_DIGITS;
    // The least significant digit comes first.
    for digit in &mut property[digits_at..digits_at + CRC_DIGITS] {
        *digit = b'0' + (crc % 10) as u8;
        crc /= 10;
    }
}

/// Whether the CRC in the last property of a record is right; `None` when it has none.
pub fn sealed(record: &[u8]) -> Option<bool> {
    let (covered, property) = record.split_at(record.len().checked_sub(CRC_PROPERTY_UNSET.len())?);
    let digits = property.strip_prefix(b"__CRC32#\x01")?.strip_suffix(b"\x02")?;
    let value = digits
        .iter()
        .rev()
        .try_fold(0_i64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
    Some(value == i64::from(body_crc(covered)))
}

/// The eight bytes of a blank record that fills `len` bytes; what follows them up to the end of the file is undefined.
pub fn blank(len: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
    bytes
}

/// What the first bytes at a log position say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordHead {
    /// A record of this size, if the rest of it agrees.
    Record(usize),
    /// The rest of the file is blank; the next record is at the start of the next file.
    Blank(usize),
    /// Neither: nothing was written here, or it is damaged.
    Nothing,
}

impl RecordHead {
    /// Reads size and magic.
    pub fn read(bytes: &[u8]) -> RecordHead {
        let (Some(size), Some(magic)) = (i32_at(bytes, 0), i32_at(bytes, 4)) else { return RecordHead::Nothing };
        match (usize::try_from(size), magic) {
            (Ok(size), MAGIC_V1 | MAGIC_V2) if size >= RECORD_BYTES_MIN => RecordHead::Record(size),
            (Ok(size), MAGIC_BLANK) if size >= 8 => RecordHead::Blank(size),
            _ => RecordHead::Nothing,
        }
    }
}

/// A record that was read, its fields borrowed from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Bytes of the whole record.
    pub size: usize,
    /// [`MAGIC_V1`] or [`MAGIC_V2`].
    pub magic: i32,
    /// CRC-32 of the stored body, without its sign bit.
    pub body_crc: i32,
    /// Number of the queue within the topic.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// Units from the start of the queue; 0 for half messages and rollbacks.
    pub queue_offset: i64,
    /// Bytes from the start of the log.
    pub log_offset: i64,
    /// See [`sys_flag`].
    pub sys_flag: i32,
    /// When the producer made the message, in milliseconds.
    pub born_timestamp_ms: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// When the broker stored the message, in milliseconds.
    pub store_timestamp_ms: i64,
    /// The broker's address.
    pub store_host: SocketAddr,
    /// How often the message was delivered before.
    pub reconsume_times: i32,
    /// Log offset of the half message in a commit record, else 0.
    pub prepared_transaction_offset: i64,
    /// The body as it is stored.
    pub body: &'a [u8],
    /// The topic.
    pub topic: &'a str,
    /// The property text; see [`RecordView::properties`].
    pub properties_bytes: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No record's magic, or a size that no record has.
    #[error("no record starts here: size {size}, magic {magic:#010x}")]
    Head {
        /// The size field.
        size: i32,
        /// The magic field.
        magic: i32,
    },
    /// The bytes end before the record.
    #[error("a record of {size} bytes, but only {available} are there")]
    Cut {
        /// What the record needs.
        size: usize,
        /// What there is.
        available: usize,
    },
    /// A length points out of the record, or the lengths do not add up to its size.
    #[error("the lengths within the record contradict its size of {size} bytes, at its {part}")]
    Lengths {
        /// The record's size.
        size: usize,
        /// Where it shows.
        part: &'static str,
    },
    /// A host whose port does not fit 16 bits.
    #[error("a host with port {0}")]
    Port(i32),
    /// A topic that is empty or not UTF-8.
    #[error("an empty topic, or one that is not UTF-8")]
    Topic,
}

impl<'a> RecordView<'a> {
    /// Reads the record at the start of `bytes`, which may go on behind it. Every length is checked; the CRC is not: see
    /// [`RecordView::crc_matches`].
    pub fn parse(bytes: &'a [u8]) -> Result<RecordView<'a>, RecordError> {
        let size = match RecordHead::read(bytes) {
            RecordHead::Record(size) => size,
            _ => {
                let field = |at| i32_at(bytes, at).unwrap_or_default();
                return Err(RecordError::Head { size: field(0), magic: field(4) });
            }
        };
        let record = bytes.get(..size).ok_or(RecordError::Cut { size, available: bytes.len() })?;
        let mut reader = Reader { size, rest: record };
        reader.i32("size")?;
        let magic = reader.i32("magic")?;
        let body_crc = reader.i32("crc")?;
        let queue_id = reader.i32("queue id")?;
        let flag = reader.i32("flag")?;
        let queue_offset = reader.i64("queue offset")?;
        let log_offset = reader.i64("log offset")?;
        let sys_flag = reader.i32("system flag")?;
        let born_timestamp_ms = reader.i64("born timestamp")?;
        let born_host = reader.host(sys_flag & sys_flag::BORN_HOST_V6 != 0)?;
        let store_timestamp_ms = reader.i64("store timestamp")?;
        let store_host = reader.host(sys_flag & sys_flag::STORE_HOST_V6 != 0)?;
        let reconsume_times = reader.i32("reconsume times")?;
        let prepared_transaction_offset = reader.i64("prepared transaction offset")?;
        let body_len = reader.i32("body length")?;
        let body = reader.take(body_len, "body")?;
        let topic_len = if magic == MAGIC_V2 { reader.i16("topic length")? } else { reader.i8("topic length")? };
        let topic = reader.take(topic_len, "topic")?;
        let properties_len = reader.i16("properties length")?;
        let properties_bytes = reader.take(properties_len, "properties")?;
        if !reader.rest.is_empty() {
            return Err(RecordError::Lengths { size, part: "end" });
        }
        let topic = std::str::from_utf8(topic).ok().filter(|topic| !topic.is_empty()).ok_or(RecordError::Topic)?;
        Ok(RecordView {
            size,
            magic,
            body_crc,
            queue_id,
            flag,
            queue_offset,
            log_offset,
            sys_flag,
            born_timestamp_ms,
            born_host,
            store_timestamp_ms,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties_bytes,
        })
    }

    /// Whether the body is the one that was stored.
    pub fn crc_matches(&self) -> bool {
        body_crc(self.body) == self.body_crc
    }

    /// The property text; what is not UTF-8 in it becomes the replacement character, as in Java.
    pub fn properties(&self) -> Cow<'a, str> {
        let bytes = self.properties_bytes;
        // Nearly always it is; replacing looks at each character by itself.
        simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
    }
}

/// Takes fields from the front of a record; every read that the record cannot serve is an error.
struct Reader<'a> {
    size: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], RecordError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(RecordError::Lengths { size: self.size, part })?;
        self.rest = rest;
        Ok(*array)
    }

    fn i8(&mut self, part: &'static str) -> Result<i32, RecordError> {
        self.array::<1>(part).map(|bytes| i32::from(i8::from_be_bytes(bytes)))
    }

    fn i16(&mut self, part: &'static str) -> Result<i32, RecordError> {
        self.array::<2>(part).map(|bytes| i32::from(i16::from_be_bytes(bytes)))
    }

    fn i32(&mut self, part: &'static str) -> Result<i32, RecordError> {
        self.array(part).map(i32::from_be_bytes)
    }

    fn i64(&mut self, part: &'static str) -> Result<i64, RecordError> {
        self.array(part).map(i64::from_be_bytes)
    }

    fn take(&mut self, len: i32, part: &'static str) -> Result<&'a [u8], RecordError> {
        let wrong = RecordError::Lengths { size: self.size, part };
        let len = usize::try_from(len).map_err(|_| wrong)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(wrong)?;
        self.rest = rest;
        Ok(taken)
    }

    fn host(&mut self, v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>("host")?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>("host")?))
        };
        let port = self.i32("port")?;
        Ok(SocketAddr::new(ip, u16::try_from(port).map_err(|_| RecordError::Port(port))?))
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|field| i32::from_be_bytes(*field))
}

fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_host(out: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    put_i32(out, i32::from(host.port()));
}

/// Whether a 0x02 is due between what was written and the next piece.
fn is_open(text: &str) -> bool {
    !text.is_empty() && !text.ends_with(PROPERTY_SEPARATOR)
}

/// Length of the pieces joined by [`put_joined`].
fn joined_len(pieces: &[&str]) -> usize {
    let mut len = 0;
    let mut open = false;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        len += usize::from(open) + piece.len();
        open = is_open(piece);
    }
    len
}

fn put_joined(out: &mut Vec<u8>, pieces: &[&str]) {
    let mut open = false;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        if open {
            out.push(PROPERTY_SEPARATOR as u8);
        }
        out.extend_from_slice(piece.as_bytes());
        open = is_open(piece);
    }
}

// The positions above must be those of the layout.
const _: () = assert!(SYS_FLAG_AT == LOG_OFFSET_AT + 8 && LOG_OFFSET_AT == QUEUE_OFFSET_AT + 8);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts<'a>() -> RecordParts<'a> {
        RecordParts {
            topic: "TopicTest",
            queue_id: 3,
            flag: 7,
            sys_flag: 0,
            born_timestamp_ms: 1_000,
            born_host: "10.0.0.1:1234".parse().unwrap(),
            store_host: "10.0.0.2:10911".parse().unwrap(),
            reconsume_times: 1,
            prepared_transaction_offset: 5,
            body: b"hello",
            properties: &["TAGS\u{1}TagA", "CLUSTER\u{1}c\u{2}"],
        }
    }

    const PLACE: Place = Place { queue_offset: 11, log_offset: 22, store_timestamp_ms: 33 };

    fn encoded(parts: &RecordParts<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let size = encode(parts, &mut out).unwrap();
        assert_eq!(size, out.len());
        patch(&mut out, &PLACE);
        out
    }

    #[test]
    fn a_seal_is_the_crc_of_what_is_before_it() {
        let mut record = b"the record so far".to_vec();
        record.extend_from_slice(CRC_PROPERTY_UNSET.as_bytes());
        assert_eq!((sealed(&record), sealed(b"short")), (Some(false), None));
        seal(&mut record);
        assert_eq!(sealed(&record), Some(true));
        let digits = std::str::from_utf8(&record[26..36]).unwrap().chars().rev().collect::<String>();
        assert_eq!(digits.parse::<i32>().unwrap(), body_crc(b"the record so far"));
        record[3] ^= 1;
        assert_eq!(sealed(&record), Some(false));
        record[28] = b'x';
        assert_eq!(sealed(&record), None);
    }

    #[test]
    fn the_layout_is_javas() {
        let record = encoded(&parts());
        let properties = b"TAGS\x01TagA\x02CLUSTER\x01c\x02";
        let expected = [
            (91 + 5 + 9 + properties.len() as i32).to_be_bytes().as_slice(),
            &[0xDA, 0xA3, 0x20, 0xA7],
            &0x3610_A686_i32.to_be_bytes(),
            &3_i32.to_be_bytes(),
            &7_i32.to_be_bytes(),
            &11_i64.to_be_bytes(),
            &22_i64.to_be_bytes(),
            &0_i32.to_be_bytes(),
            &1_000_i64.to_be_bytes(),
            &[10, 0, 0, 1, 0, 0, 0x04, 0xD2],
            &33_i64.to_be_bytes(),
            &[10, 0, 0, 2, 0, 0, 0x2A, 0x9F],
            &1_i32.to_be_bytes(),
            &5_i64.to_be_bytes(),
            &5_i32.to_be_bytes(),
            b"hello",
            &[9],
            b"TopicTest",
            &(properties.len() as i16).to_be_bytes(),
            properties,
        ]
        .concat();
        assert_eq!(record, expected);
    }

    #[test]
    fn ipv6_hosts_and_long_topics_come_back() {
        let topic = "t".repeat(200);
        for (born_host, store_host) in
            [("[::1]:1", "10.0.0.2:2"), ("10.0.0.1:1", "[fe80::1]:2"), ("[::1]:1", "[fe80::1]:2")]
        {
            let parts = RecordParts {
                topic: &topic,
                born_host: born_host.parse().unwrap(),
                store_host: store_host.parse().unwrap(),
                ..parts()
            };
            let record = encoded(&parts);
            let view = RecordView::parse(&record).unwrap();
            assert_eq!((view.magic, view.topic), (MAGIC_V2, topic.as_str()));
            assert_eq!((view.born_host, view.store_host), (parts.born_host, parts.store_host));
            assert_eq!((view.queue_offset, view.log_offset, view.store_timestamp_ms), (11, 22, 33));
        }
    }

    #[test]
    fn a_record_cut_at_any_length_is_refused() {
        let record = encoded(&parts());
        for cut in 0..record.len() {
            assert!(RecordView::parse(&record[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [record.as_slice(), b"the next one"].concat();
        assert_eq!(RecordView::parse(&longer).unwrap().size, record.len());
    }

    #[test]
    fn a_changed_body_is_seen() {
        let mut record = encoded(&parts());
        assert!(RecordView::parse(&record).unwrap().crc_matches());
        record[90] ^= 1;
        assert!(!RecordView::parse(&record).unwrap().crc_matches());
    }

    #[test]
    fn a_blank_is_told_from_a_record_and_from_nothing() {
        assert_eq!(RecordHead::read(&blank(500)), RecordHead::Blank(500));
        assert_eq!(RecordHead::read(&[0; 100]), RecordHead::Nothing);
        assert_eq!(RecordHead::read(&[0; 3]), RecordHead::Nothing);
        let record = encoded(&parts());
        assert_eq!(RecordHead::read(&record), RecordHead::Record(record.len()));
    }

    #[test]
    fn what_does_not_fit_its_length_field_is_refused() {
        let long = "x".repeat(40_000);
        let mut out = Vec::new();
        assert_eq!(encode(&RecordParts { topic: "", ..parts() }, &mut out), Err(EncodeError::Topic(0)));
        assert_eq!(encode(&RecordParts { topic: &long, ..parts() }, &mut out), Err(EncodeError::Topic(40_000)));
        let properties = [long.as_str()];
        let refused = encode(&RecordParts { properties: &properties, ..parts() }, &mut out);
        assert_eq!(refused, Err(EncodeError::Properties(40_000)));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(
            topic in "[a-zA-Z%_]{1,200}",
            body in any::<Vec<u8>>(),
            pieces in proptest::collection::vec("([a-z]{1,5}\u{1}[a-z]{1,5}\u{2}?){0,3}", 0..3),
            born in any::<std::net::SocketAddr>(),
            store in any::<std::net::SocketAddr>(),
            numbers in any::<(i32, i32, i64, i32, i64)>(),
        ) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let parts = RecordParts {
                topic: &topic, body: &body, properties: &pieces, born_host: born, store_host: store,
                queue_id: numbers.0, flag: numbers.1, born_timestamp_ms: numbers.2, reconsume_times: numbers.3,
                prepared_transaction_offset: numbers.4, sys_flag: numbers.0,
            };
            let record = encoded(&parts);
            let view = RecordView::parse(&record).unwrap();
            let address = |host: SocketAddr| (host.ip(), host.port());
            prop_assert!(view.crc_matches());
            prop_assert_eq!((view.topic, view.body, view.size), (topic.as_str(), body.as_slice(), record.len()));
            prop_assert_eq!((address(view.born_host), address(view.store_host)), (address(born), address(store)));
            prop_assert_eq!((view.queue_id, view.flag, view.born_timestamp_ms), (numbers.0, numbers.1, numbers.2));
            prop_assert_eq!((view.reconsume_times, view.prepared_transaction_offset), (numbers.3, numbers.4));
            prop_assert_eq!((view.queue_offset, view.log_offset, view.store_timestamp_ms), (11, 22, 33));
            let hosts = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
            prop_assert_eq!(view.sys_flag & !hosts, numbers.0 & !hosts);
        }

        #[test]
        fn a_record_with_a_changed_byte_is_read_without_panic(at in 0_usize..140, value in any::<u8>()) {
            let mut record = encoded(&parts());
            let at = at % record.len();
            record[at] = value;
            if let Ok(view) = RecordView::parse(&record) {
                prop_assert!(view.size <= record.len());
            }
        }
    }
}
