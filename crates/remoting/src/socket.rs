//! The one place that knows what a connection's bytes go through: nothing, or TLS.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::Output;
use crate::tls::{ClientTls, HANDSHAKE_BYTE, ServerTls, Session};

/// A connected socket of the current runtime.
pub(crate) struct Socket {
    stream: TcpStream,
    layer: Layer,
}

/// What stands between the socket and the frames.
enum Layer {
    Plain,
    Tls(Box<Session>),
    /// A server knows when the first byte has come.
    Unknown(Arc<ServerTls>),
}

impl Socket {
    /// A socket that a server has accepted: TLS or plain, whatever the client begins with and `tls` allows.
    pub(crate) fn accepted(stream: TcpStream, tls: Option<Arc<ServerTls>>) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket { stream, layer: tls.map_or(Layer::Plain, Layer::Unknown) })
    }

    /// A socket to a server, when both have agreed on how to speak.
    pub(crate) async fn connected(mut stream: TcpStream, tls: Option<&ClientTls>) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Socket { stream, layer: Layer::Plain }) };
        let mut session = Box::new(tls.session(stream.peer_addr()?.ip()).map_err(io::Error::other)?);
        poll_fn(|context| session.poll_handshake(&mut stream, context)).await?;
        Ok(Socket { stream, layer: Layer::Tls(session) })
    }

    /// Reads into `room`; 0 bytes are the end. A read that does not fill `room` is known to have emptied the socket,
    /// and the next one costs no system call. An error of the kind `InvalidData` says what is wrong with the peer's bytes.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::Plain => poll_stream(&mut self.stream, context, room),
            Layer::Tls(session) => session.poll_read(&mut self.stream, context, room),
            Layer::Unknown(_) => self.poll_first(context, room),
        }
    }

    /// The first read of a server's connection: its first byte says what the client speaks.
    #[cold]
    fn poll_first(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = match poll_stream(&mut self.stream, context, room) {
            Poll::Ready(Ok(count)) if count > 0 => count,
            other => return other,
        };
        let Layer::Unknown(tls) = &self.layer else { return Poll::Ready(Ok(count)) };
        let refused = |reason: String| Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        if room[0] != HANDSHAKE_BYTE {
            if tls.is_enforcing {
                return refused("it sent plain text, and tls.server.mode=enforcing".to_owned());
            }
            self.layer = Layer::Plain;
            return Poll::Ready(Ok(count));
        }
        let mut session = match tls.session() {
            Ok(session) => Box::new(session),
            Err(error) => return refused(error.to_string()),
        };
        session.take(&room[..count])?;
        self.layer = Layer::Tls(session);
        self.poll_read(context, room)
    }

    /// Sends what it can; `true` when nothing is left.
    pub(crate) fn send(&mut self, output: &mut Output) -> io::Result<bool> {
        match &mut self.layer {
            Layer::Tls(session) => session.send(&self.stream, output),
            Layer::Plain | Layer::Unknown(_) => output.send(|slices: &[IoSlice<'_>]| match slices {
                [one] => self.stream.try_write(one),
                several => self.stream.try_write_vectored(several),
            }),
        }
    }

    /// Whether something is to be sent that stands in no [`Output`] any more.
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(&self.layer, Layer::Tls(session) if session.has_unsent())
    }

    /// The session, if the connection is encrypted.
    pub(crate) fn tls(&self) -> Option<&Session> {
        match &self.layer {
            Layer::Tls(session) => Some(session),
            Layer::Plain | Layer::Unknown(_) => None,
        }
    }

    /// Waits until the socket takes bytes again.
    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    /// Tells the peer that nothing more comes; it may still send.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Layer::Tls(session) = &mut self.layer {
            session.finish(&self.stream);
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn poll_stream(stream: &mut TcpStream, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(room);
    Pin::new(stream).poll_read(context, &mut room).map_ok(|()| room.filled().len())
}
