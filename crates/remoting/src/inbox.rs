//! Finds frames in what a connection receives.

use raptormq_protocol::frame::{self, Frame, FrameError, PREFIX_BYTES};

/// Whether to go on with the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// Enough for this turn; the rest is kept.
    Stop,
}

/// Bytes received and not handled yet. Frames that arrive whole are handled where they were read; only what is left
/// over is copied here, and the memory is given back as soon as it is handled. It grows with what arrives, never with
/// what is announced.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    held: Vec<u8>,
    /// Bytes at the front of `held` that are handled.
    handled: usize,
}

impl Inbox {
    /// Bytes of memory held.
    pub(crate) fn capacity(&self) -> usize {
        self.held.capacity()
    }

    /// Hands every whole frame in what is held and in `data` behind it to `take`, until it says stop.
    pub(crate) fn drain(
        &mut self,
        mut data: &[u8],
        frame_bytes_max: usize,
        take: &mut impl FnMut(&[u8], &Frame) -> Flow,
    ) -> Result<Flow, FrameError> {
        while self.handled < self.held.len() {
            match frame::split(&self.held[self.handled..], frame_bytes_max)? {
                Some(found) => {
                    let end = self.handled + found.len();
                    let flow = take(&self.held[self.handled..end], &found);
                    self.handled = end;
                    if flow == Flow::Stop {
                        self.keep(data);
                        return Ok(Flow::Stop);
                    }
                }
                None if data.is_empty() => {
                    self.compact();
                    return Ok(Flow::Continue);
                }
                None => {
                    let count = self.missing().min(data.len());
                    let (part, rest) = data.split_at(count);
                    self.compact();
                    self.grow(count);
                    self.held.extend_from_slice(part);
                    data = rest;
                }
            }
        }
        self.compact();
        while let Some(found) = frame::split(data, frame_bytes_max)? {
            let (bytes, rest) = data.split_at(found.len());
            let flow = take(bytes, &found);
            data = rest;
            if flow == Flow::Stop {
                self.keep(data);
                return Ok(Flow::Stop);
            }
        }
        self.keep(data);
        Ok(Flow::Continue)
    }

    /// Bytes that the frame at the front still lacks, or its prefix, as long as its length is unknown.
    fn missing(&self) -> usize {
        let have = &self.held[self.handled..];
        let whole = match frame::announced_len(have) {
            Some(announced) if have.len() >= PREFIX_BYTES => announced,
            _ => PREFIX_BYTES,
        };
        whole.saturating_sub(have.len())
    }

    fn keep(&mut self, data: &[u8]) {
        self.compact();
        if !data.is_empty() {
            self.held.reserve_exact(data.len());
            self.held.extend_from_slice(data);
        }
    }

    /// Makes room for `count` bytes: at most twice of what is there, and no more than the frame needs.
    fn grow(&mut self, count: usize) {
        if self.held.capacity() - self.held.len() < count {
            let spare = self.held.len().min(self.missing());
            self.held.reserve_exact(count.max(spare));
        }
    }

    /// Drops what is handled; with nothing left, the memory too.
    fn compact(&mut self) {
        if self.handled == self.held.len() {
            self.held = Vec::new();
        } else if self.handled > 0 {
            self.held.drain(..self.handled);
        }
        self.handled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1 << 20;

    fn frame_of(size: usize, fill: u8) -> Vec<u8> {
        let mut bytes = (4 + size as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.resize(8 + size, fill);
        bytes
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_they_are_cut(
            sizes in prop::collection::vec(0usize..3000, 1..20),
            cuts in prop::collection::vec(1usize..2000, 1..20),
            stop_every in 1usize..5,
        ) {
            let frames: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(at, size)| frame_of(*size, at as u8)).collect();
            let wire: Vec<u8> = frames.concat();
            let mut inbox = Inbox::default();
            let mut got: Vec<Vec<u8>> = Vec::new();
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(wire.len());
                let mut data = wire[at..end].to_vec();
                let mut flow = Flow::Stop;
                while flow == Flow::Stop {
                    flow = inbox.drain(&data, MAX, &mut |bytes, found| {
                        assert_eq!(bytes.len(), found.len());
                        got.push(bytes.to_vec());
                        if got.len().is_multiple_of(stop_every) { Flow::Stop } else { Flow::Continue }
                    }).unwrap();
                    data.clear();
                }
                at = end;
                if at == wire.len() {
                    break;
                }
            }
            prop_assert_eq!(got, frames);
            prop_assert_eq!(inbox.capacity(), 0);
        }
    }

    #[test]
    fn memory_grows_with_what_arrived_and_not_with_what_was_announced() {
        let mut wire = (MAX as u32 - 4).to_be_bytes().to_vec();
        wire.extend_from_slice(&[0; 4]);
        wire.resize(MAX, 7);
        let mut inbox = Inbox::default();
        let mut count = 0;
        for (index, piece) in wire.chunks(1000).enumerate() {
            inbox
                .drain(piece, MAX, &mut |_, _| {
                    count += 1;
                    Flow::Continue
                })
                .unwrap();
            let arrived = (index + 1) * 1000;
            assert!(inbox.capacity() <= (2 * arrived).min(MAX), "{} of {arrived}", inbox.capacity());
        }
        assert_eq!((count, inbox.capacity()), (1, 0));
    }
}
