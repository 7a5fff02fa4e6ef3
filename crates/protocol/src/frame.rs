//! Frames: where one command ends and the next begins on a connection.
//!
//! ```text
//! 0        4        8                8+H              4+total
//! | total  | T | H  | header (H)     | body           |
//! ```
//! `total` counts everything behind itself; `T` is the header's serialization (one byte), `H` its length (three bytes).
//! All integers are big-endian. Java: `NettyDecoder`, `RemotingCommand.decode`.

use std::ops::Range;

use thiserror::Error;

/// Bytes in front of the header: the total length and the word with serialization and header length.
pub const PREFIX_BYTES: usize = 8;

/// The largest frame, its length word included, that Java's decoder takes by default (`com.rocketmq.remoting.frameMaxLength`).
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// How a header is written. Java: `SerializeType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serialization {
    /// One JSON object.
    #[default]
    Json,
    /// RocketMQ's own binary form.
    Rocketmq,
}

impl Serialization {
    /// The number in the frame's fifth byte.
    pub const fn number(self) -> u8 {
        match self {
            Serialization::Json => 0,
            Serialization::Rocketmq => 1,
        }
    }

    /// The word that Java's boot line and the field `serializeTypeCurrentRPC` use.
    pub const fn name(self) -> &'static str {
        match self {
            Serialization::Json => "JSON",
            Serialization::Rocketmq => "ROCKETMQ",
        }
    }
}

/// The place of one whole frame at the front of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// How the header is written.
    pub serialization: Serialization,
    /// The header's bytes.
    pub header: Range<usize>,
    /// The body's bytes; empty when there is none.
    pub body: Range<usize>,
}

impl Frame {
    /// Bytes that the frame takes up, its length word included.
    pub fn len(&self) -> usize {
        self.body.end
    }

    /// Never: a frame has at least its prefix.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// Why the bytes on a connection cannot be frames. The connection cannot go on: there is no place to resume at.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length word is outside what a frame can have.
    #[error("a frame of {total} bytes was announced; frames have 4 to {max} bytes behind their length word")]
    Length {
        /// The announced length, as an unsigned number.
        total: u32,
        /// The longest that is taken.
        max: usize,
    },
    /// The header would end behind the frame.
    #[error("a header of {header} bytes was announced in a frame of {total}")]
    HeaderLength {
        /// The announced header length.
        header: u32,
        /// The frame's length.
        total: u32,
    },
    /// The fifth byte names no serialization.
    #[error("header serialization {0} is unknown; 0 (JSON) and 1 (ROCKETMQ) are known")]
    Serialization(u8),
}

/// Finds the frame at the front of `buffer`; `None` when more bytes are needed.
///
/// `frame_bytes_max` counts the whole frame with its length word. A wrong length is reported as soon as the prefix is
/// there, so nobody waits for, or makes room for, bytes that will be refused.
pub fn split(buffer: &[u8], frame_bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(total) = word(buffer, 0) else { return Ok(None) };
    let max = frame_bytes_max.saturating_sub(4);
    if total < 4 || total as usize > max {
        return Err(FrameError::Length { total, max });
    }
    let Some(mark) = word(buffer, 4) else { return Ok(None) };
    let serialization = match (mark >> 24) as u8 {
        0 => Serialization::Json,
        1 => Serialization::Rocketmq,
        other => return Err(FrameError::Serialization(other)),
    };
    let header = mark & 0x00ff_ffff;
    if header > total - 4 {
        return Err(FrameError::HeaderLength { header, total });
    }
    let end = 4 + total as usize;
    if buffer.len() < end {
        return Ok(None);
    }
    let header_end = PREFIX_BYTES + header as usize;
    Ok(Some(Frame { serialization, header: PREFIX_BYTES..header_end, body: header_end..end }))
}

/// Bytes of the frame at the front of `buffer`, once its length word is there and [`split`] has not refused it.
pub fn announced_len(buffer: &[u8]) -> Option<usize> {
    word(buffer, 0).map(|total| 4 + total as usize)
}

fn word(buffer: &[u8], at: usize) -> Option<u32> {
    let bytes = buffer.get(at..at + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(total: u32, mark: u32, rest: usize) -> Vec<u8> {
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend_from_slice(&mark.to_be_bytes());
        bytes.resize(8 + rest, b'x');
        bytes
    }

    #[test]
    fn a_frame_is_found_only_when_it_is_whole() {
        let whole = bytes(4 + 3 + 2, 3, 5);
        for cut in 0..whole.len() {
            assert_eq!(split(&whole[..cut], FRAME_BYTES_MAX), Ok(None), "{cut} bytes");
        }
        let frame = split(&whole, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!((frame.header.clone(), frame.body.clone(), frame.len()), (8..11, 11..13, 13));
    }

    #[test]
    fn wrong_lengths_are_refused_at_the_prefix() {
        assert!(matches!(split(&bytes(0x7fff_ffff, 0, 0), FRAME_BYTES_MAX), Err(FrameError::Length { .. })));
        assert!(matches!(split(&[0xff; 4], FRAME_BYTES_MAX), Err(FrameError::Length { .. })));
        assert!(matches!(split(&bytes(3, 0, 0), FRAME_BYTES_MAX), Err(FrameError::Length { total: 3, .. })));
        assert!(matches!(split(&bytes(20, 17, 0), FRAME_BYTES_MAX), Err(FrameError::HeaderLength { header: 17, .. })));
        assert_eq!(split(&bytes(20, 9 << 24, 0), FRAME_BYTES_MAX), Err(FrameError::Serialization(9)));
        let largest = (FRAME_BYTES_MAX - 4) as u32;
        assert_eq!(split(&bytes(largest, 0, 0), FRAME_BYTES_MAX), Ok(None));
    }
}
