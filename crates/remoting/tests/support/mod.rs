//! A server to test against, and raw sockets that say whatever a test wants.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used)] // tests

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::{Command, CommandWriter, Head};
use raptormq_protocol::frame::{self, FRAME_BYTES_MAX, Serialization};
use raptormq_remoting::{
    Connection, Exchange, IoThread, Listen, Outcome, Output, Responder, Response, Server, ServerOptions, Service,
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

/// Answered as [`NOW`], but the I/O thread first waits for [`Gate::open`].
pub const BLOCK: i32 = 5;
/// Makes the service panic.
pub const PANIC: i32 = 6;
/// Makes the end of the turn panic.
pub const PANIC_AT_END: i32 = 7;

/// Holds an I/O thread up, so that a test can decide what is ready when it goes on.
#[derive(Default)]
pub struct Gate {
    is_shut: parking_lot::Mutex<bool>,
    changed: parking_lot::Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut shut = self.is_shut.lock();
        *shut = true;
        self.changed.notify_all();
        while *shut {
            self.changed.wait(&mut shut);
        }
    }

    /// Waits until the I/O thread stands at the gate.
    pub fn wait(&self) {
        let mut shut = self.is_shut.lock();
        while !*shut {
            self.changed.wait(&mut shut);
        }
    }

    /// Lets the I/O thread go on.
    pub fn open(&self) {
        *self.is_shut.lock() = false;
        self.changed.notify_all();
    }
}

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
    /// Number of the I/O thread of each connection.
    pub threads: Mutex<Vec<usize>>,
    pub gate: Gate,
}

pub struct Counting {
    seen: Arc<Seen>,
    put: RefCell<usize>,
    panics: Cell<bool>,
    thread: IoThread,
}

impl Service for Counting {
    type Ticket = (Exchange, usize);

    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<Self::Ticket> {
        self.seen.requests.fetch_add(1, Ordering::SeqCst);
        self.seen.oneways.fetch_add(usize::from(request.is_oneway()), Ordering::SeqCst);
        match request.code {
            NOW | BLOCK => {
                if request.code == BLOCK {
                    self.thread.away(Instant::now(), || self.seen.gate.pass());
                }
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
            PANIC => panic!("a test asked for this"),
            PANIC_AT_END => {
                self.panics.set(true);
                return Outcome::Turn((request.into(), 0));
            }
            code => out.respond(request, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, Some(&format!("code {code}"))),
        }
        Outcome::Done
    }

    fn end_turn(&self) {
        assert!(!self.panics.take(), "a test asked for this");
        self.seen.turns.fetch_add(1, Ordering::SeqCst);
        self.seen.tickets.lock().push(*self.put.borrow());
        *self.put.borrow_mut() = 0;
    }

    fn finish(&self, _peer: &Connection, (exchange, number): Self::Ticket, out: &mut Output) {
        out.respond(exchange, ResponseCode::SUCCESS, Some(&number.to_string()));
    }

    fn opened(&self, peer: &Connection) {
        self.seen.opened.fetch_add(1, Ordering::SeqCst);
        self.seen.threads.lock().push(self.thread.index);
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
    let make =
        move |thread| Counting { seen: for_service.clone(), put: RefCell::new(0), panics: Cell::new(false), thread };
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
        let stream = TcpStream::connect(server.local_addrs()[0]).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, input: Vec::new() }
    }

    /// A connection that the server has taken on: it has answered on it.
    pub async fn served(server: &Server) -> Raw {
        let mut raw = Raw::connect(server).await;
        raw.round_trip().await;
        raw
    }

    /// Asks and gets its answer. Whatever other sockets sent before is read by then too.
    pub async fn round_trip(&mut self) {
        self.send(&request(Head::request(NOW, 99), b"ping")).await;
        let answer = self.read().await.expect("an answer");
        assert_eq!((answer.opaque, answer.body.as_slice()), (99, b"ping".as_slice()));
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
                let bytes = std::mem::replace(&mut self.input, rest);
                let mut scratch = Vec::new();
                let command = Command::decode(&bytes, &found, &mut scratch).unwrap();
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
