//! The bytes on the connection between master and slave. Java: `store/ha/DefaultHAConnection.java`,
//! `store/ha/DefaultHAClient.java`.
//!
//! The slave sends 8 bytes again and again: the log offset up to which it has everything. The first of them asks for what
//! follows. The master sends frames: the log offset of the frame's bytes (8 bytes), their number (4 bytes), and the bytes
//! of its log. A frame without bytes says that the master is there.

use bytes::Buf;

/// Bytes of a slave's report.
pub(crate) const REPORT_BYTES: usize = 8;
/// Bytes in front of a frame's.
pub(crate) const HEADER_BYTES: usize = 12;

/// What stands in front of a frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) log_offset: i64,
    /// Number of bytes; a frame that says less than 0 is refused.
    pub(crate) len: i32,
}

impl FrameHeader {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.log_offset.to_be_bytes());
        bytes[8..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    /// Reads a header if all of it is there.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<FrameHeader> {
        (bytes.len() >= HEADER_BYTES).then(|| FrameHeader { log_offset: bytes.get_i64(), len: bytes.get_i32() })
    }
}

/// The last report that is complete, and how many bytes of `bytes` reports take: only the newest counts.
pub(crate) fn last_report(bytes: &[u8]) -> Option<(i64, usize)> {
    let used = bytes.len() - bytes.len() % REPORT_BYTES;
    let last = bytes[..used].last_chunk::<REPORT_BYTES>()?;
    Some((i64::from_be_bytes(*last), used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_begins_with_offset_and_length() {
        let header = FrameHeader { log_offset: 0x0102_0304_0506_0708, len: 0x0A0B_0C0D };
        let bytes = header.encode();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13]);
        assert_eq!(FrameHeader::decode(&bytes), Some(header));
        for len in 0..HEADER_BYTES {
            assert_eq!(FrameHeader::decode(&bytes[..len]), None);
        }
    }

    #[test]
    fn of_several_reports_the_last_whole_one_counts() {
        let mut bytes = [7_i64.to_be_bytes(), 9_i64.to_be_bytes()].concat();
        assert_eq!(last_report(&bytes), Some((9, 16)));
        bytes.extend([1, 2, 3]);
        assert_eq!(last_report(&bytes), Some((9, 16)));
        assert_eq!(last_report(&bytes[..7]), None);
    }
}
