//! One I/O thread: its connections, its turns, its end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::accept::{Dealer, Dealt};
use super::serve::{self, Conn};
use super::{Common, Service};
use crate::connection::{Connection, Doorbell, Mailbox};
use crate::socket::Socket;

/// What a thread is told to do.
pub(super) enum Control {
    /// Accept on these.
    Accept(Vec<TcpListener>, Dealer),
    /// Take this connection.
    Serve(Dealt),
    /// End in order and say when.
    Shutdown(oneshot::Sender<()>),
    /// End now.
    Stop,
}

/// How far the thread's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Far.
    Running,
    /// Clients that know the word are told to go away.
    GoingAway,
    /// No request is taken; what was answered is sent, then connections close.
    Closing,
}

/// Empty buffers kept for the next answers.
const SPARE_BUFFERS_MAX: usize = 64;
/// A buffer that has grown beyond is given back to the system.
const SPARE_BUFFER_BYTES_MAX: usize = 256 << 10;

/// How long a thread that ends leaves to its peers to close their sides: a connection closed with bytes unread is reset,
/// which may destroy answers on their way.
const LINGER: Duration = Duration::from_millis(200);

/// A thread's state, shared by its tasks.
pub(super) struct Thread<S: Service> {
    pub(super) service: S,
    pub(super) common: Arc<Common>,
    pub(super) phase: Cell<Phase>,
    /// Where sockets are read into. What is left over there belongs to nobody.
    pub(super) input: RefCell<Vec<u8>>,
    /// For headers that are written in an unusual way.
    pub(super) scratch: RefCell<Vec<u8>>,
    pub(super) unfinished: Unfinished,
    connections: RefCell<HashMap<u64, Rc<Conn<S>>>>,
    /// Connections whose requests wait for the end of the turn.
    turn: RefCell<Vec<Rc<Conn<S>>>>,
    mailbox: Arc<Mailbox>,
    spare: RefCell<Vec<Vec<u8>>>,
    /// Connections that only wait for their peers' end.
    lingering: Cell<usize>,
    /// Woken when a connection has ended or begins to linger.
    left: tokio::sync::Notify,
}

/// Memory of frames that have not wholly arrived.
#[derive(Default)]
pub(super) struct Unfinished {
    pub(super) bytes: Cell<usize>,
    /// Numbers the frames in the order in which they began.
    pub(super) began: Cell<u64>,
}

/// Runs one I/O thread to its end.
pub(super) fn run<S: Service>(
    common: Arc<Common>,
    make_service: impl FnOnce() -> S,
    orders: mpsc::UnboundedReceiver<Control>,
    ready: &std::sync::mpsc::Sender<io::Result<()>>,
) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            // Who starts the server waits for this.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let service = make_service();
    runtime.block_on(async {
        let thread = Thread::new(service, common).await;
        // Who starts the server waits for this.
        let _ = ready.send(Ok(()));
        thread.serve(orders).await;
    });
}

impl<S: Service> Thread<S> {
    async fn new(service: S, common: Arc<Common>) -> Rc<Thread<S>> {
        let (tell, told) = oneshot::channel::<Rc<Thread<S>>>();
        let (give, given) = oneshot::channel();
        // The task that ends turns: it runs behind all tasks that were ready when the first of them woke it.
        spawn_local(async move {
            let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            let _ = give.send(waker);
            let Ok(thread) = told.await else { return };
            poll_fn(|_| {
                thread.end_turn();
                Poll::<()>::Pending
            })
            .await;
        });
        let turn = given.await.expect("the task that ends turns gives its waker first of all");
        let input = vec![0; common.options.turn_bytes_max.max(4096)];
        let thread = Rc::new(Thread {
            service,
            common,
            phase: Cell::new(Phase::Running),
            input: RefCell::new(input),
            scratch: RefCell::default(),
            unfinished: Unfinished::default(),
            connections: RefCell::default(),
            turn: RefCell::default(),
            mailbox: Arc::new(Mailbox::new(turn)),
            spare: RefCell::default(),
            lingering: Cell::new(0),
            left: tokio::sync::Notify::new(),
        });
        // The task waits for this and cannot have ended.
        let _ = tell.send(thread.clone());
        thread
    }

    async fn serve(self: Rc<Self>, mut orders: mpsc::UnboundedReceiver<Control>) {
        let sweep = spawn_local(self.clone().sweep());
        let mut acceptors = Vec::new();
        while let Some(order) = orders.recv().await {
            match order {
                Control::Accept(listeners, dealer) => {
                    for (index, listener) in listeners.into_iter().enumerate() {
                        match tokio::net::TcpListener::from_std(listener) {
                            Ok(listener) => acceptors.push(spawn_local(dealer.clone().accept(listener, index))),
                            Err(error) => tracing::error!(%error, index, "cannot wait for connections"),
                        }
                    }
                }
                Control::Serve(dealt) => self.admit(dealt),
                Control::Shutdown(done) => {
                    acceptors.iter().for_each(|acceptor| acceptor.abort());
                    self.shutdown(&mut orders).await;
                    sweep.abort();
                    // Who waits for it may have given up.
                    let _ = done.send(());
                    return;
                }
                Control::Stop => return,
            }
        }
    }

    fn admit(self: &Rc<Self>, dealt: Dealt) {
        let Dealt { stream, ends, seat } = dealt;
        let socket = match tokio::net::TcpStream::from_std(stream)
            .and_then(|stream| Socket::accepted(stream, self.common.tls.clone()))
        {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(peer = %ends.address, %error, "a connection ended before it began");
                return;
            }
        };
        let doorbell = Doorbell::Mailbox(self.mailbox.clone());
        let public = Connection::new(ends, self.common.options.settings(), doorbell);
        let conn = Rc::new(Conn::new(public, socket, seat));
        self.connections.borrow_mut().insert(ends.id, conn.clone());
        spawn_local(serve::serve(self.clone(), conn));
    }

    /// The connection is gone.
    pub(super) fn remove(&self, conn: &Conn<S>) {
        self.connections.borrow_mut().remove(&conn.public.id());
        if conn.lingers.get() {
            self.lingering.set(self.lingering.get() - 1);
        }
        self.left.notify_waiters();
    }

    /// The connection has sent everything, while the thread ends.
    pub(super) fn lingers(&self, conn: &Conn<S>) {
        debug_assert!(conn.lingers.get(), "only a connection that lingers is counted");
        self.lingering.set(self.lingering.get() + 1);
        self.left.notify_waiters();
    }

    /// Lets `conn` be finished at the end of this turn.
    pub(super) fn join_turn(&self, conn: &Rc<Conn<S>>) {
        let mut turn = self.turn.borrow_mut();
        if turn.is_empty() {
            self.mailbox.wake();
        }
        turn.push(conn.clone());
    }

    fn end_turn(&self) {
        let mut turn = std::mem::take(&mut *self.turn.borrow_mut());
        if !turn.is_empty() && catch_unwind(AssertUnwindSafe(|| self.service.end_turn())).is_err() {
            tracing::error!("the end of a turn panicked; its connections are closed");
            for conn in turn.drain(..) {
                conn.abort();
            }
        }
        let mut rung = Vec::new();
        self.mailbox.collect(&mut rung);
        {
            let connections = self.connections.borrow();
            for id in rung.drain(..) {
                // One that is in this turn already looks into its outbox there.
                if let Some(conn) = connections.get(&id).filter(|conn| !conn.in_turn()) {
                    turn.push(conn.clone());
                }
            }
        }
        for conn in turn.drain(..) {
            if catch_unwind(AssertUnwindSafe(|| conn.finish_turn(self))).is_err() {
                tracing::error!(peer = %conn.public.peer_addr(), "an answer panicked; its connection is closed");
                conn.abort();
            }
        }
        let mut empty = self.turn.borrow_mut();
        if empty.is_empty() {
            *empty = turn;
        }
    }

    /// An empty buffer to write into.
    pub(super) fn spare_buffer(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    /// Takes an empty buffer back.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_BUFFERS_MAX && (1..=SPARE_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            spare.push(buffer);
        }
    }

    /// Keeps the memory of unfinished frames bounded: the oldest of them goes.
    pub(super) fn shed_unfinished(&self) {
        let options = &self.common.options;
        let share = options.unfinished_bytes_max / options.io_threads.max(1);
        if self.unfinished.bytes.get() <= share.max(2 * options.frame_bytes_max) {
            return;
        }
        let connections = self.connections.borrow();
        let oldest = connections
            .values()
            .filter(|conn| conn.unfinished.get().is_some())
            .min_by_key(|conn| conn.unfinished.get());
        if let Some(conn) = oldest {
            // Its memory goes when it looks into its outbox, before anybody reads again.
            self.unfinished.bytes.set(self.unfinished.bytes.get() - conn.booked.take());
            conn.unfinished.set(None);
            conn.public.close("frames that do not arrive fill the memory set aside for them; this one is the oldest");
        }
    }

    /// Closes connections on which nothing happens. The clock is not read when something does.
    async fn sweep(self: Rc<Self>) {
        let idle = self.common.options.idle_timeout;
        if idle.is_zero() {
            return;
        }
        let mut ticks = tokio::time::interval((idle / 4).max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now: Instant = ticks.tick().await;
            for conn in self.connections.borrow().values() {
                if conn.idle_since(now) + idle <= now {
                    tracing::debug!(peer = %conn.public.peer_addr(), "connection closed: idle");
                    conn.abort();
                }
            }
        }
    }

    async fn shutdown(&self, orders: &mut mpsc::UnboundedReceiver<Control>) {
        let options = &self.common.options;
        self.enter(Phase::GoingAway);
        if !options.shutdown_wait.is_zero() {
            self.only(|open, _| open == 0, options.shutdown_wait).await;
        }
        self.enter(Phase::Closing);
        self.only(|open, lingering| open == lingering, options.shutdown_timeout).await;
        let deaf = self.connections.borrow().len() - self.lingering.get();
        if deaf > 0 {
            tracing::warn!(connections = deaf, "closed connections that did not take their answers in time");
        }
        self.only(|open, _| open == 0, LINGER).await;
        orders.close();
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        for conn in self.connections.borrow().values() {
            conn.wake();
        }
    }

    /// Waits until `holds` of the numbers of open and of lingering connections, at most for `limit`.
    async fn only(&self, holds: impl Fn(usize, usize) -> bool, limit: Duration) {
        let wait = async {
            loop {
                let left = self.left.notified();
                if holds(self.connections.borrow().len(), self.lingering.get()) {
                    return;
                }
                left.await;
            }
        };
        // Either is an end of the wait.
        let _ = tokio::time::timeout(limit, wait).await;
    }
}
