//! A unit of a consume queue: where a message lies in the log, how long it is, and its tags code.
//!
//! i64 log offset, i32 size, i64 tags code, big-endian (Java: `store/ConsumeQueue.java`).

/// Bytes of a unit.
pub const UNIT_BYTES: usize = 20;

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
        if self.is_blank() { 0 } else { self.log_offset + i64::from(self.size) }
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
}
