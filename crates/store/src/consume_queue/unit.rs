//! Units of consume queues: where a message lies in the log, how long it is, and its tags code.
//!
//! i64 log offset, i32 size, i64 tags code, big-endian (Java: `store/ConsumeQueue.java`). A unit of a batch consume queue
//! begins with the same fields and says besides which messages the record holds
//! (Java: `store/queue/BatchConsumeQueue.java`).

/// Bytes of a unit.
pub const UNIT_BYTES: usize = 20;

/// Bytes of a unit of a batch consume queue.
pub const BATCH_UNIT_BYTES: usize = 46;
/// What stands in a batch unit's field for the offset in a compacted file: none.
const NOT_COMPACTED: i32 = -1;

/// Where a message lies and what a filter needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Bytes from the start of the log.
    pub log_offset: i64,
    /// Bytes of the record.
    pub size: i32,
    /// Java's hash of the tags, 0 without; of delayed messages the time of delivery in milliseconds.
    pub tags_code: i64,
}

impl Unit {
    /// Stands for a place before the first message of a queue that does not begin at the start of a file.
    pub const BLANK: Unit = Unit { log_offset: 0, size: i32::MAX, tags_code: 0 };

    /// The bytes of a unit.
    pub fn encode(&self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        bytes[..8].copy_from_slice(&self.log_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// The unit of these bytes.
    pub fn decode(bytes: &[u8; UNIT_BYTES]) -> Unit {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *bytes;
        Unit {
            log_offset: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            size: i32::from_be_bytes([i, j, k, l]),
            tags_code: i64::from_be_bytes([m, n, o, p, q, r, s, t]),
        }
    }

    /// The units of a run of bytes.
    pub fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Unit> {
        bytes.as_chunks::<UNIT_BYTES>().0.iter().map(Unit::decode)
    }

    /// Whether something was written here: no message has a size of 0.
    pub fn is_written(&self) -> bool {
        self.log_offset >= 0 && self.size > 0
    }

    /// Whether this is [`Unit::BLANK`]; no record is that long.
    pub fn is_blank(&self) -> bool {
        self.size == i32::MAX
    }

    /// Offset behind the message, or the start of the log for a blank.
    pub fn log_end(&self) -> i64 {
        if self.is_blank() { 0 } else { self.log_offset.saturating_add(self.size.into()) }
    }
}

/// A unit of a batch consume queue: one record, which holds one or several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchUnit {
    /// Where the record lies; its tags code is that of the batch.
    pub unit: Unit,
    /// When the record was stored, in milliseconds.
    pub store_timestamp_ms: i64,
    /// Queue offset of the record's first message.
    pub base_offset: i64,
    /// Number of its messages.
    pub count: i16,
}

impl BatchUnit {
    /// The bytes of a unit.
    pub fn encode(&self) -> [u8; BATCH_UNIT_BYTES] {
        let mut bytes = [0; BATCH_UNIT_BYTES];
        bytes[..UNIT_BYTES].copy_from_slice(&self.unit.encode());
        bytes[20..28].copy_from_slice(&self.store_timestamp_ms.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[36..38].copy_from_slice(&self.count.to_be_bytes());
        bytes[38..42].copy_from_slice(&NOT_COMPACTED.to_be_bytes());
        bytes
    }

    /// The unit of these bytes.
    pub fn decode(bytes: &[u8; BATCH_UNIT_BYTES]) -> BatchUnit {
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |field| i64::from_be_bytes(*field));
        BatchUnit {
            unit: bytes.first_chunk().map_or(Unit::BLANK, Unit::decode),
            store_timestamp_ms: long(20),
            base_offset: long(28),
            count: i16::from_be_bytes([bytes[36], bytes[37]]),
        }
    }

    /// Whether something was written here.
    pub fn is_written(&self) -> bool {
        self.unit.is_written() && self.base_offset >= 0 && self.count > 0
    }

    /// Queue offset behind the record's last message.
    pub fn end_offset(&self) -> i64 {
        self.base_offset.saturating_add(self.count.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_javas() {
        let unit = Unit { log_offset: 0x0102_0304_0506_0708, size: 0x090A_0B0C, tags_code: -2 };
        let bytes = unit.encode();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 255, 255, 255, 255, 255, 255, 255, 254]);
        assert_eq!(Unit::decode(&bytes), unit);
    }

    #[test]
    fn the_layout_of_batch_units_is_javas() {
        let unit = Unit { log_offset: 1, size: 2, tags_code: 3 };
        let batch = BatchUnit { unit, store_timestamp_ms: 4, base_offset: 5, count: 6 };
        let bytes = batch.encode();
        assert_eq!(bytes[..UNIT_BYTES], unit.encode());
        assert_eq!((bytes[27], bytes[35], bytes[37]), (4, 5, 6));
        assert_eq!(bytes[38..], [255, 255, 255, 255, 0, 0, 0, 0]);
        assert_eq!(BatchUnit::decode(&bytes), batch);
        assert_eq!(batch.end_offset(), 11);
        assert!(batch.is_written() && !BatchUnit::decode(&[0; BATCH_UNIT_BYTES]).is_written());
    }
}
