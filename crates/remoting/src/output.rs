//! What a connection has to say: bytes of its own, and slices of others' memory between them, sent with one write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::{CommandWriter, Head};
use raptormq_protocol::frame::Serialization;

use crate::message;
use crate::{Exchange, Response};

/// Slices handed to the kernel at once.
const SLICES_MAX: usize = 64;

/// A buffer that has grown beyond is not kept when it is empty.
const TRIM_BYTES: usize = 256 << 10;

/// Commands on their way out of a connection.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are sent.
    sent: usize,
    /// Slices, each with the place in `buffer` that it stands in front of.
    slices: VecDeque<(usize, Bytes)>,
    /// Unsent bytes in `slices`.
    slice_bytes: usize,
    serialization: Serialization,
}

impl Output {
    /// An output whose commands have headers of that form.
    pub fn new(serialization: Serialization) -> Output {
        Output { serialization, ..Output::default() }
    }

    /// The form of header that this side writes. Java's server, too, answers in its own form, not in the request's.
    pub fn serialization(&self) -> Serialization {
        self.serialization
    }

    /// The end of this buffer is where the next command goes.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Sends `bytes` behind what the buffer holds now, without copying them. They belong to a command that was ended
    /// with [`CommandWriter::finish_detached`].
    pub fn attach(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.slice_bytes += bytes.len();
            self.slices.push_back((self.buffer.len(), bytes));
        }
    }

    /// Begins a command.
    pub fn writer<'h>(&mut self, head: Head<'h>) -> CommandWriter<'_, 'h> {
        CommandWriter::new(&mut self.buffer, self.serialization, head)
    }

    /// Begins an answer; `None` when the requester wants none.
    pub fn answer<'h>(
        &mut self,
        to: impl Into<Exchange>,
        code: ResponseCode,
        remark: Option<&'h str>,
    ) -> Option<CommandWriter<'_, 'h>> {
        let Exchange { opaque, oneway } = to.into();
        (!oneway).then(|| self.writer(Head::response(code.0, opaque, remark)))
    }

    /// Answers without fields or body, unless the requester wants no answer.
    pub fn respond(&mut self, to: impl Into<Exchange>, code: ResponseCode, remark: Option<&str>) {
        if let Some(writer) = self.answer(to, code, remark) {
            writer.finish(&[]);
        }
    }

    /// Answers with `response`, unless the requester wants no answer.
    pub fn respond_with(&mut self, to: impl Into<Exchange>, response: &Response) {
        let Exchange { opaque, oneway } = to.into();
        if !oneway {
            let head = Head {
                language: response.language,
                version: response.version,
                ..Head::response(response.code.0, opaque, response.remark.as_deref())
            };
            message::write(self, head, &response.fields, &response.body);
        }
    }

    /// Bytes that are not sent yet.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.sent + self.slice_bytes
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves what `other` holds behind what is here.
    pub(crate) fn append(&mut self, other: &mut Output) {
        if self.is_empty() {
            std::mem::swap(self, other);
            other.reset();
            return;
        }
        let shift = self.buffer.len();
        self.buffer.extend_from_slice(&other.buffer[other.sent..]);
        // Nothing of `other` was sent when it is appended: an outbox never writes.
        debug_assert_eq!(other.sent, 0, "an output that is appended was never written");
        self.slices.extend(other.slices.drain(..).map(|(at, bytes)| (at + shift, bytes)));
        self.slice_bytes += other.slice_bytes;
        other.reset();
    }

    /// Gives the buffer's memory away, to be used by another. What is not sent is forgotten.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.reset();
        std::mem::take(&mut self.buffer)
    }

    /// Gives memory back to the system that one large burst has left; only when everything is sent.
    pub(crate) fn trim(&mut self) {
        debug_assert!(self.is_empty(), "what is not sent is kept");
        if self.buffer.capacity() > TRIM_BYTES {
            self.buffer = Vec::new();
        }
    }

    /// Takes `buffer`, which is empty, to write into, if there is none yet.
    pub(crate) fn lend_buffer(&mut self, buffer: impl FnOnce() -> Vec<u8>) {
        if self.buffer.capacity() == 0 {
            self.buffer = buffer();
        }
    }

    /// Whether nothing is to be sent and no memory is held.
    pub(crate) fn is_bare(&self) -> bool {
        self.buffer.capacity() == 0 && self.slices.is_empty()
    }

    /// Hands everything to `write` (one system call each) until all is taken, or it takes no more for now (`false`).
    pub(crate) fn send(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<bool> {
        while !self.is_empty() {
            let taken = if self.slices.is_empty() {
                write(&[IoSlice::new(&self.buffer[self.sent..])])
            } else {
                self.gather(&mut write)
            };
            match taken {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.reset();
        Ok(true)
    }

    fn gather(&self, write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<usize> {
        let mut parts = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut from = self.sent;
        for (at, bytes) in &self.slices {
            if count + 2 > SLICES_MAX {
                return write(&parts[..count]);
            }
            if *at > from {
                parts[count] = IoSlice::new(&self.buffer[from..*at]);
                count += 1;
                from = *at;
            }
            parts[count] = IoSlice::new(bytes);
            count += 1;
        }
        if from < self.buffer.len() && count < SLICES_MAX {
            parts[count] = IoSlice::new(&self.buffer[from..]);
            count += 1;
        }
        write(&parts[..count])
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let boundary = self.slices.front().map_or(self.buffer.len(), |(at, _)| *at);
            let own = count.min(boundary - self.sent);
            self.sent += own;
            count -= own;
            if count == 0 {
                return;
            }
            let Some((_, bytes)) = self.slices.front_mut() else { return };
            let of_slice = count.min(bytes.len());
            self.slice_bytes -= of_slice;
            count -= of_slice;
            if of_slice == bytes.len() {
                self.slices.pop_front();
            } else {
                bytes::Buf::advance(bytes, of_slice);
            }
        }
    }

    fn reset(&mut self) {
        self.buffer.clear();
        self.sent = 0;
        self.slices.clear();
        self.slice_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is put together, and however little the socket takes at once, the bytes come out in order.
        #[test]
        fn bytes_leave_in_the_order_they_were_put(
            parts in prop::collection::vec((any::<bool>(), 0usize..200), 0..200),
            steps in prop::collection::vec(1usize..300, 1..20),
            cut in 0usize..200,
        ) {
            let (mut first, mut second) = (Output::default(), Output::default());
            let mut expected = Vec::new();
            for (index, (attached, size)) in parts.iter().enumerate() {
                let bytes = vec![index as u8; *size];
                expected.extend_from_slice(&bytes);
                let out = if index < cut { &mut first } else { &mut second };
                if *attached { out.attach(bytes.into()) } else { out.buffer().extend_from_slice(&bytes) }
            }
            let mut got = Vec::new();
            let mut step = 0;
            let mut write = |slices: &[IoSlice<'_>]| {
                step += 1;
                if step % 3 == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let mut room = steps[step % steps.len()];
                let mut taken = 0;
                for slice in slices {
                    let count = room.min(slice.len());
                    got.extend_from_slice(&slice[..count]);
                    room -= count;
                    taken += count;
                }
                Ok(taken)
            };
            first.send(&mut write).unwrap();
            first.append(&mut second);
            prop_assert!(second.is_empty());
            while !first.send(&mut write).unwrap() {}
            prop_assert_eq!(got, expected);
            prop_assert_eq!(first.len(), 0);
        }
    }

    #[test]
    fn a_oneway_request_is_never_answered() {
        let mut out = Output::default();
        out.respond(Exchange { opaque: 1, oneway: true }, ResponseCode(0), None);
        out.respond_with(Exchange { opaque: 1, oneway: true }, &Response::new(ResponseCode(0)));
        assert!(out.is_empty());
    }
}
