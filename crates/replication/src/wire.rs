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

/// Takes a master's frames apart, in whatever pieces they come.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// The header that is being read.
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Log offset of the frame's next byte, and how many are left.
    next: i64,
    left: usize,
}

/// A part of what a master sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// A frame begins, maybe one without bytes: the log offset of what the master sends next.
    Begin(i64),
    /// Bytes of its log, and the log offset of the first of them.
    Bytes(i64, &'b [u8]),
}

impl FrameReader {
    /// The next piece of `bytes`, which is taken off there; `None` when nothing is left of them.
    ///
    /// # Errors
    /// The length of a frame, which is less than 0.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Piece<'b>>, i32> {
        if self.left > 0 && !bytes.is_empty() {
            let (piece, behind) = bytes.split_at(self.left.min(bytes.len()));
            let log_offset = self.next;
            self.next = self.next.saturating_add(piece.len() as i64);
            self.left -= piece.len();
            *bytes = behind;
            return Ok(Some(Piece::Bytes(log_offset, piece)));
        }
        let len = bytes.len().min(HEADER_BYTES - self.header_len);
        let (piece, behind) = bytes.split_at(len);
        self.header[self.header_len..self.header_len + len].copy_from_slice(piece);
        self.header_len += len;
        *bytes = behind;
        let Some(header) = FrameHeader::decode(&self.header[..self.header_len]) else { return Ok(None) };
        self.header_len = 0;
        self.next = header.log_offset;
        self.left = usize::try_from(header.len).map_err(|_| header.len)?;
        Ok(Some(Piece::Begin(header.log_offset)))
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
    fn frames_are_the_same_in_whatever_pieces_they_come() {
        let header = |log_offset, len| FrameHeader { log_offset, len }.encode().to_vec();
        let bytes = [header(100, 3), b"abc".to_vec(), header(103, 0), header(103, 2), b"de".to_vec()].concat();
        for size in 1..=bytes.len() {
            let mut reader = FrameReader::default();
            let (mut begins, mut log) = (Vec::new(), Vec::new());
            for mut chunk in bytes.chunks(size) {
                while let Some(piece) = reader.next(&mut chunk).unwrap() {
                    match piece {
                        Piece::Begin(log_offset) => begins.push(log_offset),
                        Piece::Bytes(log_offset, bytes) => {
                            assert_eq!(log_offset, 100 + log.len() as i64);
                            log.extend_from_slice(bytes);
                        }
                    }
                }
            }
            assert_eq!((begins, log), (vec![100, 103, 103], b"abcde".to_vec()), "{size}");
        }
        let negative = header(7, -1);
        assert_eq!(FrameReader::default().next(&mut &negative[..]), Err(-1));
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
