//! One connection of a server: reads, hands requests over, writes.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::{Command, CommandError, Version};
use raptormq_protocol::frame::Frame;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::accept::Seat;
use super::thread::{Phase, Thread};
use super::{Outcome, Service};
use crate::Output;
use crate::connection::Connection;
use crate::inbox::{Flow, Inbox};
use crate::socket::Socket;
use crate::tls::Session;

/// Scratch space beyond this is given back.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// A connection as its thread sees it.
pub(super) struct Conn<S: Service> {
    pub(super) public: Connection,
    /// While a frame has not wholly arrived: the number of its begin.
    pub(super) unfinished: Cell<Option<u64>>,
    /// Bytes of unfinished frames that the thread's books know of.
    pub(super) booked: Cell<usize>,
    /// It waits for the end of the turn.
    in_turn: Cell<bool>,
    /// The thread ends, and nothing but the peer's own end is waited for.
    pub(super) lingers: Cell<bool>,
    /// The time of its TLS handshake is watched.
    is_timed: Cell<bool>,
    /// Something was read or written since the last sweep.
    active: Cell<bool>,
    idle_since: Cell<Instant>,
    state: RefCell<State<S::Ticket>>,
    _seat: Seat,
}

struct State<T> {
    socket: Socket,
    inbox: Inbox,
    output: Output,
    tickets: Vec<T>,
    waker: Option<Waker>,
    /// The inbox was left with whole frames in it.
    behind: bool,
    end: Option<End>,
    /// The last requests that a thread which ends takes from here are taken.
    last_pass: bool,
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The peer has closed its side.
    Closed,
    /// We close it, in order.
    Asked(String),
    /// The socket is broken, or what came is no protocol of ours.
    Broken,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S: Service>(thread: Rc<Thread<S>>, conn: Rc<Conn<S>>) {
    // Dropped in any case: also when the service panics and when the thread ends.
    let leave = Leave { thread, conn };
    let Leave { thread, conn } = &leave;
    thread.service.opened(&conn.public);
    poll_fn(|context| conn.poll(thread, context)).await;
}

struct Leave<S: Service> {
    thread: Rc<Thread<S>>,
    conn: Rc<Conn<S>>,
}

impl<S: Service> Drop for Leave<S> {
    fn drop(&mut self) {
        let Leave { thread, conn } = self;
        let reason = conn.release(thread);
        conn.public.ended(&reason);
        thread.remove(conn);
        thread.service.closed(&conn.public);
    }
}

impl<S: Service> Conn<S> {
    pub(super) fn new(public: Connection, socket: Socket, seat: Seat) -> Conn<S> {
        let state = State {
            socket,
            inbox: Inbox::default(),
            output: public.new_output(),
            tickets: Vec::new(),
            waker: None,
            behind: false,
            end: None,
            last_pass: false,
        };
        Conn {
            public,
            unfinished: Cell::new(None),
            booked: Cell::new(0),
            in_turn: Cell::new(false),
            lingers: Cell::new(false),
            is_timed: Cell::new(false),
            active: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            state: RefCell::new(state),
            _seat: seat,
        }
    }

    /// Since when nothing has happened.
    pub(super) fn idle_since(&self, now: Instant) -> Instant {
        if self.active.take() {
            self.idle_since.set(now);
        }
        self.idle_since.get()
    }

    pub(super) fn in_turn(&self) -> bool {
        self.in_turn.get()
    }

    pub(super) fn wake(&self) {
        self.state.borrow().wake();
    }

    /// Ends the connection at once, whatever is left to be sent.
    pub(super) fn abort(&self) {
        self.in_turn.set(false);
        let mut state = self.state.borrow_mut();
        state.tickets.clear();
        state.end = Some(End::Broken);
        state.wake();
    }

    /// Answers what waited for the end of the turn, and sends everything with one write.
    pub(super) fn finish_turn(&self, thread: &Thread<S>) {
        self.in_turn.set(false);
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if !state.tickets.is_empty() {
            state.output.lend_buffer(|| thread.spare_buffer());
        }
        for ticket in state.tickets.drain(..) {
            thread.service.finish(&self.public, ticket, &mut state.output);
        }
        self.collect(thread, state);
        let sent = self.send(thread, state);
        let running = state.end.is_none() && thread.phase.get() == Phase::Running;
        if !sent || state.behind || !running || self.public.is_rung() {
            state.wake();
        }
    }

    /// One pass: reads what is there, handles it, sends what is ready.
    fn poll(self: &Rc<Self>, thread: &Thread<S>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.waker.is_none() {
            state.waker = Some(context.waker().clone());
        }
        if state.end.is_none() && !state.last_pass {
            if state.output.len() < thread.common.options.output_bytes_max {
                self.read(thread, state, context);
                state.last_pass = thread.phase.get() == Phase::Closing;
            } else {
                state.behind = true;
            }
            if !state.tickets.is_empty() && !self.in_turn.replace(true) {
                thread.join_turn(self);
            }
        }
        if self.in_turn.get() {
            // The end of the turn sends, and wakes this task when there is more to do.
            return Poll::Pending;
        }
        self.collect(thread, state);
        while !self.send(thread, state) {
            match state.socket.poll_write_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => state.end = Some(End::Broken),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.public.is_rung() && state.end != Some(End::Broken) {
            // More was left in the outbox, or has come.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rest(thread, state, context)
    }

    /// Reads and handles what there is, as far as one turn goes.
    fn read(self: &Rc<Self>, thread: &Thread<S>, state: &mut State<S::Ticket>, context: &mut Context<'_>) {
        let mut input = thread.input.borrow_mut();
        let mut pass = Pass { frames: thread.common.options.turn_frames_max, bytes: input.len() };
        let mut flow = Flow::Continue;
        if std::mem::take(&mut state.behind) {
            flow = self.handle(thread, state, &[], &mut pass);
        }
        while flow == Flow::Continue && state.end.is_none() && pass.bytes > 0 {
            match state.socket.poll_read(context, &mut input) {
                Poll::Ready(Ok(0)) => state.end = Some(End::Closed),
                Poll::Ready(Ok(count)) => {
                    self.active.set(true);
                    pass.bytes = pass.bytes.saturating_sub(count);
                    flow = self.handle(thread, state, &input[..count], &mut pass);
                }
                Poll::Ready(Err(error)) => {
                    self.note_broken(thread, &error);
                    state.end = Some(End::Broken);
                }
                Poll::Pending => {
                    self.note_session(thread, state);
                    return;
                }
            }
        }
        self.note_session(thread, state);
        state.behind = true;
    }

    /// Handles the frames that are whole with `data`.
    fn handle(&self, thread: &Thread<S>, state: &mut State<S::Ticket>, data: &[u8], pass: &mut Pass) -> Flow {
        let State { socket, inbox, output, tickets, .. } = state;
        let options = &thread.common.options;
        output.lend_buffer(|| thread.spare_buffer());
        let frames_before = pass.frames;
        let mut bad: Option<CommandError> = None;
        let mut scratch = thread.scratch.borrow_mut();
        let found = inbox.drain(data, options.frame_bytes_max, &mut |bytes: &[u8], frame: &Frame| {
            let mut command = Command::empty();
            if let Err(error) = command.read(bytes, frame, &mut scratch) {
                bad = Some(error);
                return Flow::Stop;
            }
            if command.is_response() {
                self.answered(&command);
            } else if let Outcome::Turn(ticket) = self.request(thread, &command, output) {
                tickets.push(ticket);
            }
            pass.frames = pass.frames.saturating_sub(1);
            if pass.frames == 0 || output.len() >= options.output_bytes_max { Flow::Stop } else { Flow::Continue }
        });
        if scratch.capacity() > SCRATCH_BYTES_MAX {
            *scratch = Vec::new();
        }
        let held_bytes = inbox.capacity() + socket.tls().map_or(0, Session::held_bytes);
        self.account(thread, held_bytes, pass.frames < frames_before);
        let reason = match (found, bad) {
            (Ok(flow), None) => return flow,
            (Ok(_), Some(error)) => error.to_string(),
            (Err(error), _) => error.to_string(),
        };
        if let Some(suppressed) = thread.common.warnings.allow() {
            tracing::warn!(peer = %self.public.peer_addr(), reason, suppressed, "connection closed: it sent what is no command");
        }
        state.end = Some(End::Asked(reason));
        state.inbox = Inbox::default();
        self.account(thread, 0, false);
        Flow::Stop
    }

    /// A connection that ends because of what came on it is worth a warning; one that just breaks is not.
    fn note_broken(&self, thread: &Thread<S>, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData
            && let Some(suppressed) = thread.common.warnings.allow()
        {
            tracing::warn!(peer = %self.public.peer_addr(), reason = %error, suppressed, "connection closed");
        }
    }

    /// Counts what an encrypted connection holds, and sees to it that its handshake ends.
    fn note_session(self: &Rc<Self>, thread: &Thread<S>, state: &State<S::Ticket>) {
        let Some(session) = state.socket.tls() else { return };
        self.account(thread, state.inbox.capacity() + session.held_bytes(), false);
        let Some(tls) = thread.common.tls.as_ref().filter(|_| session.is_handshaking()) else { return };
        if !self.is_timed.replace(true) {
            let (conn, timeout) = (Rc::downgrade(self), tls.handshake_timeout);
            spawn_local(async move {
                tokio::time::sleep(timeout).await;
                if let Some(conn) = conn.upgrade()
                    && conn.state.borrow().socket.tls().is_some_and(Session::is_handshaking)
                {
                    tracing::debug!(peer = %conn.public.peer_addr(), "connection closed: its TLS handshake takes too long");
                    conn.abort();
                }
            });
        }
    }

    fn request(&self, thread: &Thread<S>, request: &Command<'_>, output: &mut Output) -> Outcome<S::Ticket> {
        if thread.phase.get() != Phase::Running && request.version > Version::V5_3_1 {
            output.respond(request, ResponseCode::GO_AWAY, Some("please go away"));
            return Outcome::Done;
        }
        thread.service.handle(&self.public, request, output)
    }

    fn answered(&self, command: &Command<'_>) {
        if !self.public.answered(command) {
            tracing::debug!(peer = %self.public.peer_addr(), opaque = command.opaque, "an answer that nobody waits for");
        }
    }

    /// Keeps the books of memory for unfinished frames.
    fn account(&self, thread: &Thread<S>, now: usize, completed: bool) {
        let books = &thread.unfinished;
        let before = self.booked.replace(now);
        books.bytes.set(books.bytes.get() + now - before);
        if now == 0 {
            self.unfinished.set(None);
        } else if completed || before == 0 {
            books.began.set(books.began.get() + 1);
            self.unfinished.set(Some(books.began.get()));
        }
        if now > before {
            thread.shed_unfinished();
        }
    }

    /// Takes what others have left for this connection.
    fn collect(&self, thread: &Thread<S>, state: &mut State<S::Ticket>) {
        if let Some(close) = self.public.collect(&mut state.output) {
            if close.at_once {
                tracing::warn!(peer = %self.public.peer_addr(), reason = close.reason, "connection closed");
                state.end = Some(End::Broken);
            } else {
                state.end.get_or_insert(End::Asked(close.reason));
            }
            state.inbox = Inbox::default();
            self.account(thread, 0, false);
        }
    }

    /// Sends what there is; `true` when nothing is left to send.
    fn send(&self, thread: &Thread<S>, state: &mut State<S::Ticket>) -> bool {
        let has_unsent = state.socket.has_unsent();
        if state.output.is_bare() && !has_unsent {
            return true;
        }
        let waiting = state.output.len();
        if (waiting > 0 || has_unsent) && state.end != Some(End::Broken) {
            match state.socket.send(&mut state.output) {
                Ok(true) => {}
                Ok(false) => {
                    self.active.set(self.active.get() || state.output.len() < waiting);
                    return false;
                }
                Err(_) => state.end = Some(End::Broken),
            }
            self.active.set(true);
        }
        thread.give_back(state.output.take_buffer());
        true
    }

    /// Everything is sent: what now?
    fn rest(&self, thread: &Thread<S>, state: &mut State<S::Ticket>, context: &mut Context<'_>) -> Poll<()> {
        match &state.end {
            Some(End::Broken | End::Closed) => Poll::Ready(()),
            // Whether or not the peer still hears it, we are done.
            Some(End::Asked(_)) => state.socket.finish(context).map(drop),
            None if state.last_pass => {
                if !self.lingers.replace(true) {
                    thread.lingers(self);
                }
                // Closing with unread bytes would reset the connection and destroy answers on their way: the peer
                // closes first. The thread bounds the wait.
                let _ = state.socket.finish(context);
                let mut input = thread.input.borrow_mut();
                loop {
                    match state.socket.poll_read(context, &mut input) {
                        Poll::Ready(Ok(1..)) => {}
                        Poll::Ready(_) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
            None => {
                if state.behind {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }

    /// Gives back what is held, and says why the connection ends.
    fn release(&self, thread: &Thread<S>) -> String {
        let mut state = self.state.borrow_mut();
        state.inbox = Inbox::default();
        self.account(thread, 0, false);
        state.tickets.clear();
        match state.end.replace(End::Broken) {
            Some(End::Closed) => "closed by the peer".to_owned(),
            Some(End::Asked(reason)) => reason,
            Some(End::Broken) => "the connection broke".to_owned(),
            None => "the server has ended".to_owned(),
        }
    }
}

impl<T> State<T> {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// What one turn may still take from a connection.
struct Pass {
    frames: usize,
    bytes: usize,
}
