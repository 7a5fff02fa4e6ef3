//! A server to test against, and raw sockets that say whatever a test wants.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::{Command, CommandWriter, Head};
use raptormq_protocol::frame::{self, FRAME_BYTES_MAX, Serialization};
use raptormq_remoting::{
    Connection, Exchange, Listen, Outcome, Output, Responder, Response, Server, ServerOptions, Service,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answered at once, with the request's body.
pub const NOW: i32 = 1;
/// Answered at the end of the turn.
pub const TURN: i32 = 2;
/// Answered by whoever takes the responder out of [`Seen::held`].
pub const LATER: i32 = 3;
/// Answered at once with a body of as many bytes as the request's field `bytes` says.
pub const BIG: i32 = 4;

/// What the services of a server have seen.
#[derive(Default)]
pub struct Seen {
    pub requests: AtomicUsize,
    pub oneways: AtomicUsize,
    pub turns: AtomicUsize,
    /// Tickets finished in each turn.
    pub tickets: Mutex<Vec<usize>>,
    pub opened: AtomicUsize,
    pub closed: AtomicUsize,
    pub held: Mutex<Vec<Responder>>,
    pub connections: Mutex<Vec<Connection>>,
}

pub struct Counting {
    seen: Arc<Seen>,
    put: RefCell<usize>,
}

impl Service for Counting {
    type Ticket = (Exchange, usize);

    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<Self::Ticket> {
        self.seen.requests.fetch_add(1, Ordering::SeqCst);
        self.seen.oneways.fetch_add(usize::from(request.is_oneway()), Ordering::SeqCst);
        match request.code {
            NOW => {
                if let Some(writer) = out.answer(request, ResponseCode::SUCCESS, None) {
                    writer.finish(request.body);
                }
            }
            TURN => {
                let mut put = self.put.borrow_mut();
                *put += 1;
                return Outcome::Turn((request.into(), *put));
            }
            LATER => self.seen.held.lock().push(peer.responder(request)),
            BIG => {
                let bytes = request.fields.get("bytes").and_then(|text| text.parse().ok()).unwrap_or(0);
                out.respond_with(request, &Response::new(ResponseCode::SUCCESS).body(vec![7; bytes]));
            }
            code => out.respond(request, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, Some(&format!("code {code}"))),
        }
        Outcome::Done
    }

    fn end_turn(&self) {
        self.seen.turns.fetch_add(1, Ordering::SeqCst);
        self.seen.tickets.lock().push(*self.put.borrow());
        *self.put.borrow_mut() = 0;
    }

    fn finish(&self, _peer: &Connection, (exchange, number): Self::Ticket, out: &mut Output) {
        out.respond(exchange, ResponseCode::SUCCESS, Some(&number.to_string()));
    }

    fn opened(&self, peer: &Connection) {
        self.seen.opened.fetch_add(1, Ordering::SeqCst);
        self.seen.connections.lock().push(peer.clone());
    }

    fn closed(&self, _peer: &Connection) {
        self.seen.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server on a port of its own.
pub fn server(change: impl FnOnce(&mut ServerOptions)) -> (Server, Arc<Seen>) {
    let listen = vec![Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), key: "listenPort" }];
    let mut options = ServerOptions { listen, io_threads: 1, ..ServerOptions::default() };
    change(&mut options);
    let seen = Arc::new(Seen::default());
    let for_service = seen.clone();
    let make = move |_| Counting { seen: for_service.clone(), put: RefCell::new(0) };
    (Server::start(options, make).unwrap(), seen)
}

/// A request as it stands on the wire.
pub fn request(head: Head<'_>, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    CommandWriter::new(&mut bytes, Serialization::Json, head).finish(body);
    bytes
}

/// A socket that speaks frames and nothing else.
pub struct Raw {
    pub stream: TcpStream,
    input: Vec<u8>,
}

/// An answer as a raw socket got it.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: i32,
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<String>,
    pub body: Vec<u8>,
}

impl Raw {
    pub async fn connect(server: &Server) -> Raw {
        Raw { stream: TcpStream::connect(server.local_addrs()[0]).await.unwrap(), input: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next command; `None` when the connection has ended.
    pub async fn read(&mut self) -> Option<Answer> {
        tokio::time::timeout(Duration::from_secs(20), self.read_unbounded()).await.expect("an answer within 20 s")
    }

    async fn read_unbounded(&mut self) -> Option<Answer> {
        loop {
            if let Some(found) = frame::split(&self.input, FRAME_BYTES_MAX).unwrap() {
                let rest = self.input.split_off(found.len());
                let mut bytes = std::mem::replace(&mut self.input, rest);
                let mut scratch = Vec::new();
                let command = Command::decode(&mut bytes, &found, &mut scratch).unwrap();
                return Some(Answer {
                    code: command.code,
                    opaque: command.opaque,
                    flag: command.flag,
                    remark: command.remark.map(str::to_owned),
                    body: command.body.to_vec(),
                });
            }
            // An error is a reset, which is an end as well.
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}
