//! A connection as everybody but its owner sees it: who it is, and ways to say something on it from any thread.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Command, Head, Language};
use raptormq_protocol::frame::Serialization;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::calls::{Calls, Pending, Taker, Unanswered, Waiter};
use crate::message;
use crate::{CallError, Exchange, Inquiry, Output, Request, Response};

/// A connection to a peer, on either side. Cheap to clone; keeps nothing open.
#[derive(Clone)]
pub struct Connection {
    peer: Arc<Peer>,
}

pub(crate) struct Peer {
    id: u64,
    address: SocketAddr,
    local: SocketAddr,
    listener: usize,
    settings: Settings,
    doorbell: Doorbell,
    /// The doorbell was rung and the owner has not looked yet.
    rung: AtomicBool,
    outbox: Mutex<Outbox>,
}

/// What is the same for all connections of one server or client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) serialization: Serialization,
    pub(crate) language: Language,
    pub(crate) frame_bytes_max: usize,
    /// Bytes that may wait in an outbox.
    pub(crate) outbox_bytes_max: usize,
    /// Calls that may wait for an answer.
    pub(crate) calls_max: usize,
}

/// Where a connection is from and to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
    /// On a server, the place of the port in its list.
    pub(crate) listener: usize,
}

/// How the owner of a connection learns that its outbox has something.
pub(crate) enum Doorbell {
    /// A server's I/O thread looks after many connections: their numbers are left in its box.
    Mailbox(Arc<Mailbox>),
    /// A client's connection has a task of its own.
    Task(Mutex<Option<Waker>>),
}

/// Numbers of connections of one I/O thread whose outboxes were filled by somebody else.
#[derive(Debug)]
pub(crate) struct Mailbox {
    rung: Mutex<Vec<u64>>,
    turn: Waker,
}

impl Mailbox {
    /// `turn` wakes the task that ends the thread's turn.
    pub(crate) fn new(turn: Waker) -> Mailbox {
        Mailbox { rung: Mutex::new(Vec::new()), turn }
    }

    /// Wakes the task that ends the thread's turn.
    pub(crate) fn wake(&self) {
        self.turn.wake_by_ref();
    }

    /// Swaps what was left here for the empty `numbers`.
    pub(crate) fn collect(&self, numbers: &mut Vec<u64>) {
        debug_assert!(numbers.is_empty(), "numbers collected before are handled");
        std::mem::swap(&mut *self.rung.lock(), numbers);
    }
}

struct Outbox {
    output: Output,
    calls: Calls,
    /// Why nothing more is taken.
    end: Option<String>,
    /// The owner is asked to end the connection.
    close: Option<Close>,
    /// The owner is asked to end the connection when no call waits any more.
    retired: bool,
}

/// The wish to end a connection.
#[derive(Clone, Debug)]
pub(crate) struct Close {
    pub(crate) reason: String,
    /// Without sending what waits.
    pub(crate) at_once: bool,
}

/// While so much waits to be sent already, an outbox keeps what it has, and its limit counts.
const COLLECT_BYTES_MAX: usize = 1 << 20;

/// Why a request was not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    Busy(&'static str),
    TooLong(usize),
    Ended(String),
}

impl Connection {
    pub(crate) fn new(ends: Ends, settings: Settings, doorbell: Doorbell) -> Connection {
        let outbox = Outbox {
            output: Output::new(settings.serialization),
            calls: Calls::default(),
            end: None,
            close: None,
            retired: false,
        };
        let Ends { id, address, local, listener } = ends;
        let peer =
            Peer { id, address, local, listener, settings, doorbell, rung: false.into(), outbox: Mutex::new(outbox) };
        Connection { peer: Arc::new(peer) }
    }

    /// An output for this connection.
    pub(crate) fn new_output(&self) -> Output {
        Output::new(self.peer.settings.serialization)
    }

    /// A number that no other connection of this server or client has or had.
    pub fn id(&self) -> u64 {
        self.peer.id
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer.address
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        self.peer.local
    }

    /// On a server, which of [`ServerOptions::listen`](crate::ServerOptions::listen) the peer came in by.
    pub fn listener(&self) -> usize {
        self.peer.listener
    }

    /// Whether the connection has ended. It may end at any time after.
    pub fn is_closed(&self) -> bool {
        self.peer.outbox.lock().end.is_some()
    }

    /// Promises an answer that is given later, from any thread.
    pub fn responder(&self, to: impl Into<Exchange>) -> Responder {
        Responder { connection: self.clone(), to: to.into(), answered: false }
    }

    /// Sends a request that wants no answer. It is on its way when this returns; nobody learns whether it arrives.
    pub fn oneway(&self, request: &Request) -> Result<(), CallError> {
        let sent = self.admit(request.size_hint(), false).map(|outbox| self.put_request(outbox, request, None));
        sent.map(drop).map_err(|refusal| self.refused(refusal, request))
    }

    /// Sends a request and waits for its answer, at most for `timeout`.
    pub async fn call(&self, request: Request, timeout: Duration) -> Result<Response, CallError> {
        let deadline = Instant::now() + timeout;
        let pending = self.begin(&request, deadline).map_err(|refusal| self.refused(refusal, &request))?;
        let answer = tokio::time::timeout_at(deadline, pending).await.unwrap_or(Err(Unanswered::Timeout));
        answer.map_err(|why| why.explain(self.peer.address.to_string(), request.code, timeout))
    }

    /// Ends the connection as soon as no call waits for an answer.
    pub(crate) fn close_when_quiet(&self) {
        self.peer.outbox.lock().retired = true;
        self.ring();
    }

    /// Why the connection shall end, once it is retired and no call waits.
    pub(crate) fn close_if_quiet(&self) -> Option<String> {
        let outbox = self.peer.outbox.lock();
        (outbox.retired && outbox.calls.len() == 0 && outbox.output.is_empty())
            .then(|| "not needed any more".to_owned())
    }

    /// Ends the connection, after what was said on it before is sent. `reason` is for the log.
    pub fn close(&self, reason: &str) {
        let mut outbox = self.peer.outbox.lock();
        if outbox.end.is_none() && outbox.close.is_none() {
            outbox.close = Some(Close { reason: reason.to_owned(), at_once: false });
            drop(outbox);
            self.ring();
        }
    }

    /// Sends a request whose answer the returned future waits for, without end: the deadline is kept by whoever calls
    /// [`Connection::expire`], or by the caller.
    pub(crate) fn begin(&self, request: &Request, deadline: Instant) -> Result<Pending, Refusal> {
        let outbox = self.admit(request.size_hint(), true)?;
        let (sender, receiver) = oneshot::channel();
        let opaque = self.put_request(outbox, request, Some(Waiter { deadline, taker: Taker::Pending(sender) }));
        Ok(Pending::new(self.clone(), opaque, receiver))
    }

    /// Sends what somebody asks who takes the answer where it is read. One that is refused is given back.
    pub(crate) fn begin_inquiry<T: Inquiry>(
        &self,
        inquiry: Box<T>,
        deadline: Instant,
    ) -> Result<(), (Refusal, Box<T>)> {
        let header = inquiry.header();
        let bytes = message::size_hint(&header, inquiry.body());
        let mut outbox = match self.admit(bytes, true) {
            Ok(outbox) => outbox,
            Err(refusal) => {
                drop(header);
                return Err((refusal, inquiry));
            }
        };
        let opaque = outbox.calls.free_opaque();
        let head = self.head(Head::request(inquiry.code().0, opaque));
        message::write_header(&mut outbox.output, head, &header, inquiry.body());
        drop(header);
        self.put(outbox, opaque, Some(Waiter { deadline, taker: Taker::InPlace(inquiry) }));
        Ok(())
    }

    /// As [`Connection::begin_inquiry`], for a request that was signed.
    pub(crate) fn begin_signed_inquiry<T: Inquiry>(
        &self,
        inquiry: Box<T>,
        signed: &Request,
        deadline: Instant,
    ) -> Result<(), (Refusal, Box<T>)> {
        match self.admit(signed.size_hint(), true) {
            Ok(outbox) => {
                self.put_request(outbox, signed, Some(Waiter { deadline, taker: Taker::InPlace(inquiry) }));
                Ok(())
            }
            Err(refusal) => Err((refusal, inquiry)),
        }
    }

    /// The outbox, if a request of about so many bytes may be put there.
    fn admit(&self, bytes: usize, is_call: bool) -> Result<MutexGuard<'_, Outbox>, Refusal> {
        let settings = &self.peer.settings;
        if bytes > settings.frame_bytes_max {
            return Err(Refusal::TooLong(bytes));
        }
        let outbox = self.peer.outbox.lock();
        if let Some(reason) = outbox.end.as_ref().or(outbox.close.as_ref().map(|close| &close.reason)) {
            return Err(Refusal::Ended(reason.clone()));
        }
        if is_call && outbox.calls.len() >= settings.calls_max {
            return Err(Refusal::Busy("calls in flight"));
        }
        // One request always finds room, however long.
        if !outbox.output.is_empty() && outbox.output.len() + bytes > settings.outbox_bytes_max {
            return Err(Refusal::Busy("bytes waiting to be sent"));
        }
        Ok(outbox)
    }

    fn head<'h>(&self, head: Head<'h>) -> Head<'h> {
        Head { language: self.peer.settings.language, ..head }
    }

    /// Puts a request into the outbox, whose answer somebody waits for or nobody wants.
    fn put_request(&self, mut outbox: MutexGuard<'_, Outbox>, request: &Request, waiter: Option<Waiter>) -> i32 {
        let opaque = outbox.calls.free_opaque();
        let head = match waiter {
            Some(_) => Head::request(request.code.0, opaque),
            None => Head::oneway(request.code.0, opaque),
        };
        message::write(&mut outbox.output, self.head(head), &request.fields, &request.body);
        self.put(outbox, opaque, waiter);
        opaque
    }

    /// Lets the owner send what was written into the outbox.
    fn put(&self, mut outbox: MutexGuard<'_, Outbox>, opaque: i32, waiter: Option<Waiter>) {
        if let Some(waiter) = waiter {
            outbox.calls.insert(opaque, waiter);
        }
        drop(outbox);
        self.ring();
    }

    /// The answer to a call is of no use any more.
    pub(crate) fn forget_call(&self, opaque: i32) {
        let forgotten = self.peer.outbox.lock().calls.remove(opaque);
        drop(forgotten);
    }

    fn refused(&self, refusal: Refusal, request: &Request) -> CallError {
        refusal.explain(self.peer.address.to_string(), request.code, self.peer.settings.frame_bytes_max)
    }

    /// Lets the owner look into the outbox, unless it is about to.
    fn ring(&self) {
        if !self.peer.rung.swap(true, Ordering::AcqRel) {
            self.wake_owner();
        }
    }

    fn wake_owner(&self) {
        match &self.peer.doorbell {
            Doorbell::Mailbox(mailbox) => {
                mailbox.rung.lock().push(self.peer.id);
                mailbox.turn.wake_by_ref();
            }
            Doorbell::Task(waker) => {
                if let Some(waker) = &*waker.lock() {
                    waker.wake_by_ref();
                }
            }
        }
    }

    /// The owner's task, to be woken when the outbox has something.
    pub(crate) fn listen(&self, waker: &Waker) {
        if let Doorbell::Task(slot) = &self.peer.doorbell {
            let mut slot = slot.lock();
            if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *slot = Some(waker.clone());
            }
        }
    }

    /// Moves what waits in the outbox behind `output`, unless too much waits there. Returns why the connection shall
    /// end, if it shall.
    pub(crate) fn collect(&self, output: &mut Output) -> Option<Close> {
        if !self.is_rung() {
            return None;
        }
        let has_room = output.len() < COLLECT_BYTES_MAX;
        if has_room {
            self.peer.rung.swap(false, Ordering::AcqRel);
        }
        let mut outbox = self.peer.outbox.lock();
        if has_room && !outbox.output.is_empty() {
            output.append(&mut outbox.output);
        }
        outbox.close.clone()
    }

    /// Whether the outbox has something, or was not looked into since it had.
    pub(crate) fn is_rung(&self) -> bool {
        self.peer.rung.load(Ordering::Acquire)
    }

    /// Hands an answer to the call that waits for it; `false` when none does.
    pub(crate) fn answered(&self, answer: &Command<'_>) -> bool {
        let waiter = self.peer.outbox.lock().calls.remove(answer.opaque);
        waiter.map(|waiter| waiter.tell(Ok(answer))).is_some()
    }

    /// Fails the calls whose time is up; `true` when there were any.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        let late = self.peer.outbox.lock().calls.late(now);
        let any = !late.is_empty();
        for waiter in late {
            waiter.tell(Err(Unanswered::Timeout));
        }
        any
    }

    /// When the first of the calls is late, or earlier.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.peer.outbox.lock().calls.next_deadline()
    }

    /// Whether calls wait for an answer.
    pub(crate) fn has_calls(&self) -> bool {
        self.peer.outbox.lock().calls.len() > 0
    }

    /// The connection is gone: nothing more is taken, and who waits for an answer is told.
    pub(crate) fn ended(&self, reason: &str) {
        let mut outbox = self.peer.outbox.lock();
        outbox.end.get_or_insert_with(|| reason.to_owned());
        outbox.output = Output::new(self.peer.settings.serialization);
        let calls = outbox.calls.take_all();
        drop(outbox);
        for waiter in calls {
            waiter.tell(Err(Unanswered::Lost(reason.to_owned())));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.peer.id).field("peer", &self.peer.address).finish()
    }
}

impl PartialEq for Connection {
    /// Whether both are the same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.peer, &other.peer)
    }
}

impl Eq for Connection {}

impl Refusal {
    pub(crate) fn explain(self, address: String, code: RequestCode, max: usize) -> CallError {
        match self {
            Refusal::Busy(what) => CallError::Busy { address, what },
            Refusal::TooLong(bytes) => CallError::TooLong { address, code, bytes, max },
            Refusal::Ended(reason) => CallError::Lost { address, code, reason, sent: false },
        }
    }
}

/// The duty to answer a request, to be met later and from any thread. When it is dropped instead, the requester waits
/// until its own time is up.
#[derive(Debug)]
pub struct Responder {
    connection: Connection,
    to: Exchange,
    answered: bool,
}

impl Responder {
    /// The connection that the request came in by.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Answers without fields or body.
    pub fn respond(self, code: ResponseCode, remark: Option<&str>) {
        self.answer(|to, out| out.respond(to, code, remark));
    }

    /// Answers with `response`.
    pub fn respond_with(self, response: &Response) {
        self.answer(|to, out| out.respond_with(to, response));
    }

    /// Answers with what `write` puts into the output: one command for the exchange given. `write` runs under the
    /// connection's lock: it writes and does nothing else. After the connection's end it is not called at all.
    pub fn answer(mut self, write: impl FnOnce(Exchange, &mut Output)) {
        self.answered = true;
        if self.to.oneway {
            return;
        }
        let peer = &self.connection.peer;
        let mut outbox = peer.outbox.lock();
        if outbox.end.is_some() || outbox.close.is_some() {
            return;
        }
        outbox.output.lend_buffer(|| Vec::with_capacity(512));
        write(self.to, &mut outbox.output);
        let waiting = outbox.output.len();
        if waiting > peer.settings.outbox_bytes_max {
            let reason = format!("{waiting} bytes of answers wait, and the peer does not read");
            outbox.close = Some(Close { reason, at_once: true });
            drop(outbox);
            // The owner was rung long ago and waits for the socket.
            self.connection.ring();
            self.connection.wake_owner();
            return;
        }
        drop(outbox);
        self.connection.ring();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered && !self.to.oneway {
            tracing::debug!(peer = %self.connection.peer_addr(), opaque = self.to.opaque, "a request is left unanswered");
        }
    }
}
