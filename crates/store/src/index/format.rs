//! The index file: header, slots, entries.
//!
//! ```text
//!  0 begin store timestamp (8) │ 8 end store timestamp (8) │ 16 begin log offset (8) │ 24 end log offset (8)
//! 32 slots in use (4) │ 36 entry count, starting at 1 (4)
//! 40 slots: number of the newest entry with a hash of that slot, 0 without (4 each)
//! 40 + 4 · slots: entries from number 0, which is never used:
//!    key hash (4) │ log offset (8) │ seconds since the begin timestamp (4) │ number of the next older entry (4)
//! ```
//!
//! Java: `store/index/IndexFile.java`, `IndexHeader.java`.

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 40;
/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 20;
/// Bytes of a slot.
pub(crate) const SLOT_BYTES: u64 = 4;

/// Sizes of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) slots: u32,
    /// Room for entries, number 0 included.
    pub(crate) entries: u32,
}

impl Layout {
    pub(crate) fn slot_at(self, slot: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(slot) * SLOT_BYTES
    }

    pub(crate) fn entry_at(self, number: u32) -> u64 {
        self.slot_at(self.slots) + u64::from(number) * ENTRY_BYTES as u64
    }

    pub(crate) fn file_bytes(self) -> u64 {
        self.entry_at(self.entries)
    }

    /// The slot of a key's hash.
    pub(crate) fn slot_of(self, key_hash: i32) -> u32 {
        key_hash as u32 % self.slots
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) begin_offset: i64,
    pub(crate) end_offset: i64,
    pub(crate) slots_used: u32,
    /// Number of the next entry; 1 when there is none.
    pub(crate) next_entry: u32,
}

impl Header {
    pub(crate) const EMPTY: Header =
        Header { begin_ms: 0, end_ms: 0, begin_offset: 0, end_offset: 0, slots_used: 0, next_entry: 1 };

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        for (number, field) in [self.begin_ms, self.end_ms, self.begin_offset, self.end_offset].iter().enumerate() {
            bytes[number * 8..number * 8 + 8].copy_from_slice(&field.to_be_bytes());
        }
        bytes[32..36].copy_from_slice(&self.slots_used.to_be_bytes());
        bytes[36..].copy_from_slice(&self.next_entry.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Header {
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |field| i64::from_be_bytes(*field));
        let int = |at: usize| bytes[at..].first_chunk().map_or(0, |field| u32::from_be_bytes(*field));
        Header {
            begin_ms: long(0),
            end_ms: long(8),
            begin_offset: long(16),
            end_offset: long(24),
            slots_used: int(32),
            // A file that was made and not used has 0 here.
            next_entry: int(36).max(1),
        }
    }
}

/// An entry's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key_hash: i32,
    pub(crate) log_offset: i64,
    pub(crate) seconds: i32,
    /// Number of the next older entry of the slot, 0 when there is none.
    pub(crate) previous: u32,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.key_hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.log_offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Entry {
        let int = |at: usize| bytes[at..].first_chunk().map_or(0, |field| i32::from_be_bytes(*field));
        Entry {
            key_hash: int(0),
            log_offset: bytes[4..].first_chunk().map_or(0, |field| i64::from_be_bytes(*field)),
            seconds: int(12),
            previous: int(16) as u32,
        }
    }
}

/// Java's hash of `topic#key` as the index has it: without its sign.
pub(crate) fn index_hash(java_hash: i32) -> i32 {
    // The smallest number has no opposite; Java makes it 0.
    java_hash.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_javas() {
        let layout = Layout { slots: 5_000_000, entries: 20_000_000 };
        assert_eq!(layout.file_bytes(), 420_000_040);
        assert_eq!((layout.slot_at(1), layout.entry_at(1)), (44, 40 + 20_000_000 + 20));
        let header = Header { begin_ms: 1, end_ms: 2, begin_offset: 3, end_offset: 4, slots_used: 5, next_entry: 6 };
        let bytes = header.encode();
        assert_eq!((bytes[7], bytes[15], bytes[23], bytes[31], bytes[35], bytes[39]), (1, 2, 3, 4, 5, 6));
        assert_eq!(Header::decode(&bytes), header);
        let entry = Entry { key_hash: 1, log_offset: 2, seconds: 3, previous: 4 };
        let bytes = entry.encode();
        assert_eq!((bytes[3], bytes[11], bytes[15], bytes[19]), (1, 2, 3, 4));
        assert_eq!(Entry::decode(&bytes), entry);
    }

    #[test]
    fn hashes_have_no_sign() {
        assert_eq!((index_hash(-5), index_hash(5), index_hash(i32::MIN)), (5, 5, 0));
    }
}
