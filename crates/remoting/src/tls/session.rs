//! One connection's TLS: records from the socket become plain bytes, and plain bytes records.
//!
//! rustls is handed whole records only. What has not wholly arrived stays here, where its size is known: what a peer can
//! make us hold is counted like frames that have not wholly arrived.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::Output;

/// Bytes read from the socket at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Type, version and length in front of each record.
const RECORD_HEADER_BYTES: usize = 5;
/// The longest record, its header not counted (RFC 5246, 6.2.3; RFC 8446 allows less).
const RECORD_BYTES_MAX: usize = (16 << 10) + 2048;
/// The types of records: change_cipher_spec, alert, handshake, application_data.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;
/// Bytes that a peer may send without anything coming of them: neither a handshake nor plain bytes.
const FRUITLESS_BYTES_MAX: usize = 128 << 10;
/// Plain bytes that are encrypted before the socket must take some.
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// The first byte of a TLS connection: a handshake record. No frame of ours begins so, because it would be too long.
pub(crate) const HANDSHAKE_BYTE: u8 = 0x16;

/// A TLS connection without its socket.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    /// Bytes from the socket.
    held: Vec<u8>,
    /// So many of them rustls has seen …
    fed: usize,
    /// … and so many are whole records.
    whole: usize,
    /// Bytes fed since the last that something came of.
    fruitless: usize,
    /// The peer has said that nothing more comes.
    is_closed: bool,
}

/// What is no TLS, or not the peer's to say.
fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

impl Session {
    pub(super) fn new(mut connection: Connection) -> Session {
        connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Session { connection, held: Vec::new(), fed: 0, whole: 0, fruitless: 0, is_closed: false }
    }

    /// Whether the peers have not agreed on keys yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Bytes of memory that the peer makes us hold.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.capacity() + self.fruitless
    }

    /// Whether there are records that the socket has not taken.
    pub(crate) fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes bytes that were read from the socket.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        while let Some(header) = self.held[self.whole..].get(..RECORD_HEADER_BYTES) {
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            if !RECORD_TYPES.contains(&header[0]) || length > RECORD_BYTES_MAX {
                return Err(invalid("what it sent is no TLS record"));
            }
            if self.held.len() - self.whole < RECORD_HEADER_BYTES + length {
                break;
            }
            self.whole += RECORD_HEADER_BYTES + length;
        }
        Ok(())
    }

    /// Hands some of the whole records to rustls; `false` when there are none left.
    fn feed(&mut self, stream: &TcpStream) -> io::Result<bool> {
        if self.fed == self.whole {
            self.held.drain(..self.fed);
            (self.fed, self.whole) = (0, 0);
            if self.held.is_empty() {
                self.held = Vec::new();
            }
            return Ok(false);
        }
        let was_handshaking = self.is_handshaking();
        let count = self.connection.read_tls(&mut &self.held[self.fed..self.whole])?;
        self.fed += count;
        self.fruitless += count;
        let state = match self.connection.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The peer is told why, if it can be.
                let _ = self.flush(stream);
                return Err(invalid(error.to_string()));
            }
        };
        if state.plaintext_bytes_to_read() > 0 || was_handshaking && !self.is_handshaking() {
            self.fruitless = 0;
        }
        if self.fruitless > FRUITLESS_BYTES_MAX {
            return Err(invalid("nothing comes of the TLS records that it sends"));
        }
        Ok(true)
    }

    /// Plain bytes that are there already.
    fn drain(&mut self, stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < room.len() {
            match self.connection.reader().read(&mut room[count..]) {
                Ok(0) => {
                    self.is_closed = true;
                    break;
                }
                Ok(some) => count += some,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.feed(stream)? {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Reads plain bytes into `room`; 0 bytes are the end.
    pub(crate) fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        loop {
            count += self.drain(stream, &mut room[count..])?;
            if count == room.len() || self.is_closed {
                return Poll::Ready(Ok(count));
            }
            let received = self.poll_receive(stream, context)?;
            if received != Poll::Ready(true) {
                self.flush(stream)?;
                return if count > 0 || received.is_ready() { Poll::Ready(Ok(count)) } else { Poll::Pending };
            }
        }
    }

    /// Reads what the socket has, at most a chunk; `false` at its end.
    fn poll_receive(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> io::Result<Poll<bool>> {
        let mut chunk = [0; CHUNK_BYTES];
        let mut chunk = ReadBuf::new(&mut chunk);
        match Pin::new(stream).poll_read(context, &mut chunk) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                self.take(chunk.filled())?;
                Ok(Poll::Ready(!chunk.filled().is_empty()))
            }
        }
    }

    /// Carries the handshake on until it is over.
    pub(crate) fn poll_handshake(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.flush(stream)? {
                ready!(stream.poll_write_ready(context))?;
            }
            if !self.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !self.feed(stream)? && !ready!(self.poll_receive(stream, context)?) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server ended the connection during the TLS handshake",
                )));
            }
        }
    }

    /// Sends what it can of `output`; `true` when nothing is left.
    pub(crate) fn send(&mut self, stream: &TcpStream, output: &mut Output) -> io::Result<bool> {
        let is_taken = output.send(|slices: &[IoSlice<'_>]| {
            if !self.flush(stream)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.connection.writer().write_vectored(slices)
        })?;
        Ok(self.flush(stream)? && is_taken)
    }

    /// Sends records that are ready; `true` when none is left.
    fn flush(&mut self, stream: &TcpStream) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Wire(stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn finish(&mut self, stream: &TcpStream) {
        self.connection.send_close_notify();
        // Who does not take it sees the end of the socket.
        let _ = self.flush(stream);
    }
}

/// A socket to write to without waiting.
struct Wire<'s>(&'s TcpStream);

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
