//! Frames on their way out: headers and slices of the log, written with as few calls as the socket allows.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::wire::FrameHeader;

/// What is being written.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Frames {
    /// Bytes that are to be written.
    pub(crate) fn len(&self) -> usize {
        self.remaining
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Adds a frame without bytes.
    pub(crate) fn heartbeat(&mut self, log_offset: i64) {
        self.push(Bytes::copy_from_slice(&FrameHeader { log_offset, len: 0 }.encode()));
    }

    /// Adds frames of at most `frame_bytes` for a part of the log.
    pub(crate) fn part(&mut self, log_offset: i64, part: &Bytes, frame_bytes: usize) {
        let mut at = 0;
        while at < part.len() {
            let len = frame_bytes.min(part.len() - at);
            // A frame's length is bounded far below an i32.
            let header = FrameHeader { log_offset: log_offset + at as i64, len: len as i32 };
            self.push(Bytes::copy_from_slice(&header.encode()));
            self.push(part.slice(at..at + len));
            at += len;
        }
    }

    fn push(&mut self, piece: Bytes) {
        self.remaining += piece.len();
        self.pieces.push_back(piece);
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        self.remaining -= count;
        while let Some(piece) = self.pieces.front_mut()
            && left > 0
        {
            let step = left.min(piece.len());
            piece.advance(step);
            left -= step;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let pairs = into.iter_mut().zip(&self.pieces);
        pairs.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_becomes_frames_that_follow_each_other() {
        let mut frames = Frames::default();
        frames.part(100, &Bytes::from_static(b"abcde"), 2);
        frames.heartbeat(105);
        let mut written = Vec::new();
        // As a socket would take it that has little room.
        while frames.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = frames.chunks_vectored(&mut slices);
            let first = slices[0].iter().take(5).copied().collect::<Vec<u8>>();
            assert!(count > 0);
            written.extend_from_slice(&first);
            frames.advance(first.len());
        }
        let header = |log_offset, len| FrameHeader { log_offset, len }.encode().to_vec();
        let wanted = [header(100, 2), b"ab".to_vec(), header(102, 2), b"cd".to_vec(), header(104, 1), b"e".to_vec()];
        assert_eq!(written, [wanted.concat(), header(105, 0)].concat());
    }
}
