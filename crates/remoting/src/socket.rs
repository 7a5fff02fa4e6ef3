//! The one place that knows what a connection's bytes go through. Today plain TCP; TLS will stand here too.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::Output;

/// A connected socket of the current runtime.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket { stream })
    }

    /// Reads into `room`; 0 bytes are the end. A read that does not fill `room` is known to have emptied the socket,
    /// and the next one costs no system call.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        Pin::new(&mut self.stream).poll_read(context, &mut room).map_ok(|()| room.filled().len())
    }

    /// Sends what it can; `true` when nothing is left.
    pub(crate) fn send(&self, output: &mut Output) -> io::Result<bool> {
        output.send(|slices: &[IoSlice<'_>]| match slices {
            [one] => self.stream.try_write(one),
            several => self.stream.try_write_vectored(several),
        })
    }

    /// Waits until the socket takes bytes again.
    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    /// Tells the peer that nothing more comes; it may still send.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
