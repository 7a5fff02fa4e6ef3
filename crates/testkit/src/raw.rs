//! [`Raw`]: a socket that says bytes.

use std::io;
use std::net::SocketAddr;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Command;
use raptormq_protocol::frame::{self, FRAME_BYTES_MAX};
use raptormq_protocol::message::batch::{self, InnerMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// A connection that carries whatever bytes a test makes up.
pub struct Raw {
    stream: TcpStream,
    input: Vec<u8>,
}

/// What came of bytes that were said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, with its remark.
    Answered(ResponseCode, String),
    /// The connection is closed.
    Closed,
}

impl Raw {
    /// Connects to `address` (`host:port`).
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(address: &str) -> io::Result<Raw> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Raw { stream, input: Vec::new() })
    }

    /// This end's address.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Says that, or as much of it as the other side takes before it closes.
    pub async fn say(&mut self, bytes: &[u8]) {
        // Whoever closes before it was given everything shows that at the next read.
        let _ = self.stream.write_all(bytes).await;
    }

    /// What the other side does next: the next answer, or the end. Panics when it does nothing.
    pub async fn outcome(&mut self) -> Outcome {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an answer or an end, not silence")
    }

    async fn read(&mut self) -> Outcome {
        loop {
            if let Some(found) = frame::split(&self.input, FRAME_BYTES_MAX).expect("a server answers in frames") {
                let rest = self.input.split_off(found.len());
                let bytes = std::mem::replace(&mut self.input, rest);
                let mut scratch = Vec::new();
                let command = Command::decode(&bytes, &found, &mut scratch).expect("a server answers commands");
                return Outcome::Answered(ResponseCode(command.code), command.remark.unwrap_or_default().to_owned());
            }
            // An error is a reset, which is an end as well.
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return Outcome::Closed;
            }
        }
    }
}

/// A frame: the two length words, a header and a body.
pub fn frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let total = (4 + header.len() + body.len()) as u32;
    [&total.to_be_bytes(), &(header.len() as u32).to_be_bytes(), header, body].concat()
}

/// The two length words of a frame, whatever they say.
pub fn length_words(total: u32, header: u32) -> Vec<u8> {
    [total.to_be_bytes(), header.to_be_bytes()].concat()
}

/// Bytes that look like nothing, always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// The body of a batch (320) with these messages.
pub fn batch_of<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for body in bodies {
        let message = InnerMessage { body: body.as_bytes(), ..InnerMessage::default() };
        batch::encode(&message, &mut bytes).expect("a test's message fits into a batch");
    }
    bytes
}
