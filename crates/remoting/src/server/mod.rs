//! The server: ports, I/O threads, and what a request is handed to.
//!
//! [`accept`] takes connections and deals them to the threads. [`thread`] owns a thread's connections and ends its
//! turns. [`serve`] is one connection: reading, handing over, writing. [`watch`] reads certificates again, [`absence`] knows
//! which threads are waiting for something.

mod absence;
mod accept;
mod serve;
mod thread;
mod watch;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_config::TlsConfig;
use raptormq_protocol::command::{Command, Language};
use raptormq_protocol::frame::{FRAME_BYTES_MAX, Serialization};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, oneshot};

use self::absence::Absence;
pub use self::absence::IoThread;
use self::accept::Place;
use self::thread::Control;
use crate::connection::Settings;
use crate::tls::ServerTls;
use crate::warnings::Warnings;
use crate::{Connection, Output, StartError};

/// Answers requests. Each I/O thread has a value of its own, which may hold what cannot be shared.
pub trait Service: 'static {
    /// What must be known of a request that is answered when the turn ends.
    type Ticket: 'static;

    /// Handles one request: answers into `out`, or hands back a ticket for the end of the turn, or keeps a
    /// [`Responder`](crate::Responder) and answers later. A request that [is one-way](Command::is_oneway) gets no
    /// answer.
    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<Self::Ticket>;

    /// Every connection that was ready has been drained, and at least one ticket is out.
    fn end_turn(&self);

    /// Answers the request of that ticket. Called once for each ticket, after [`Service::end_turn`].
    fn finish(&self, peer: &Connection, ticket: Self::Ticket, out: &mut Output);

    /// A connection has come.
    fn opened(&self, _peer: &Connection) {}

    /// A connection has ended; all its tickets are finished.
    fn closed(&self, peer: &Connection);
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Answered, or never to be answered, or to be answered later through a [`Responder`](crate::Responder).
    Done,
    /// To be answered when the turn ends.
    Turn(T),
}

/// A port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The configuration key that sets it, for messages.
    pub key: &'static str,
}

/// How a server is set up. Every number is a limit that no peer can exceed.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen. [`Connection::listener`] is an index into it.
    pub listen: Vec<Listen>,
    /// Threads that carry the connections; by default as many as there are processors.
    pub io_threads: usize,
    /// Whether there is one more, which takes connections only while all others are [away](IoThread::away), and accepts
    /// for all of them; by default not.
    pub has_spare_thread: bool,
    /// Name of the threads, in front of their number.
    pub name: String,
    /// The form of header that is written.
    pub serialization: Serialization,
    /// The language that requests to clients name.
    pub language: Language,
    /// The longest frame taken, its length word included; by default 16 MiB, as Java's.
    pub frame_bytes_max: usize,
    /// Bytes read from one connection before the others have their turn; by default 256 KiB.
    pub turn_bytes_max: usize,
    /// Requests taken from one connection before the others have their turn; by default 1024.
    pub turn_frames_max: usize,
    /// Bytes of frames that have not wholly arrived, over all connections; by default 96 MiB. Each thread has its
    /// share, and never less than two of the longest frames. Above it, the connection that has been at its frame for
    /// the longest time is closed.
    pub unfinished_bytes_max: usize,
    /// Unsent bytes above which a connection is not read until it has taken them; by default 4 MiB.
    pub output_bytes_max: usize,
    /// Unsent bytes of later answers and of requests to the client above which the connection is closed (answers) or
    /// nothing more is taken (requests); by default 64 MiB.
    pub outbox_bytes_max: usize,
    /// Connections at a time; more are closed at once. By default 65,536.
    pub connections_max: usize,
    /// Requests to one client that wait for its answer; by default 64, as Java's.
    pub calls_max: usize,
    /// A connection on which nothing was read or written for so long is closed; by default 120 s, as Java's. Zero:
    /// never.
    pub idle_timeout: Duration,
    /// Keys and certificates; by default only plain text is taken.
    pub tls: Option<TlsConfig>,
    /// How long, after a shutdown began, newer clients are still told to go elsewhere; by default not at all.
    pub shutdown_wait: Duration,
    /// How long, after that, peers have to take what was answered; by default 3 s.
    pub shutdown_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            listen: Vec::new(),
            io_threads: std::thread::available_parallelism().map_or(1, usize::from),
            has_spare_thread: false,
            name: "io".to_owned(),
            serialization: Serialization::Json,
            language: Language::JAVA,
            frame_bytes_max: FRAME_BYTES_MAX,
            turn_bytes_max: 256 << 10,
            turn_frames_max: 1024,
            unfinished_bytes_max: 96 << 20,
            output_bytes_max: 4 << 20,
            outbox_bytes_max: 64 << 20,
            connections_max: 65_536,
            calls_max: 64,
            idle_timeout: Duration::from_secs(120),
            tls: None,
            shutdown_wait: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(3),
        }
    }
}

impl ServerOptions {
    fn settings(&self) -> Settings {
        Settings {
            serialization: self.serialization,
            language: self.language,
            frame_bytes_max: self.frame_bytes_max,
            outbox_bytes_max: self.outbox_bytes_max,
            calls_max: self.calls_max,
        }
    }
}

/// What a server's threads share.
struct Common {
    options: ServerOptions,
    /// Open connections of all threads.
    connections: AtomicUsize,
    next_id: AtomicU64,
    warnings: Warnings,
    tls: Option<Arc<ServerTls>>,
}

/// A server that runs. Dropping it ends it at once; [`Server::shutdown`] ends it in order.
pub struct Server {
    threads: Vec<Thread>,
    local_addrs: Vec<SocketAddr>,
    common: Arc<Common>,
    /// Looks for new certificates.
    _watch: Option<watch::Watch>,
}

struct Thread {
    control: mpsc::UnboundedSender<Control>,
    handle: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// Connections that may wait to be accepted. Java: `serverSocketBacklog`.
const BACKLOG: i32 = 1024;

impl Server {
    /// Listens and serves. `make_service` is called once on each thread. When this returns an error, nothing listens and no
    /// thread runs.
    pub fn start<S, F>(options: ServerOptions, make_service: F) -> Result<Server, StartError>
    where
        S: Service,
        F: Fn(IoThread) -> S + Send + Sync + 'static,
    {
        let mut listeners = Vec::with_capacity(options.listen.len());
        let mut local_addrs = Vec::with_capacity(options.listen.len());
        for listen in &options.listen {
            let refused = |source| StartError::Listen { address: listen.address, key: listen.key, source };
            let listener = bind(listen.address).map_err(refused)?;
            local_addrs.push(listener.local_addr().map_err(refused)?);
            listeners.push(listener);
        }
        let tls = options.tls.as_ref().map(ServerTls::new).transpose()?.flatten().map(Arc::new);
        let watch = tls.as_ref().and_then(watch::Watch::start).transpose().map_err(StartError::Thread)?;
        let common = Arc::new(Common {
            options,
            connections: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            warnings: Warnings::new(),
            tls,
        });
        let mut server = Server { threads: Vec::new(), local_addrs, common: common.clone(), _watch: watch };
        let make_service = Arc::new(make_service);
        let io_threads = common.options.io_threads.max(1);
        let mut places = Vec::new();
        for index in 0..io_threads + usize::from(common.options.has_spare_thread) {
            let is_spare = index == io_threads;
            let absence = Absence::new();
            let (control, orders) = mpsc::unbounded_channel();
            places.push(Place::new(control.clone(), absence.clone(), is_spare));
            let own = IoThread::new(index, is_spare, absence);
            let name = if is_spare { "spare".to_owned() } else { index.to_string() };
            let (common, make_service) = (common.clone(), make_service.clone());
            let (ready, started) = std::sync::mpsc::channel();
            let handle = std::thread::Builder::new()
                .name(format!("{}-{name}", common.options.name))
                .spawn(move || thread::run(common, || make_service(own), orders, &ready))
                .map_err(StartError::Thread)?;
            server.threads.push(Thread { control, handle: Mutex::new(Some(handle)) });
            let started = started.recv().unwrap_or_else(|_| Err(io::Error::other("it ended while it started")));
            started.map_err(StartError::Thread)?;
        }
        // The spare one, if there is one: it is never away.
        let acceptor = if common.options.has_spare_thread { io_threads } else { 0 };
        server.order(acceptor, Control::Accept(listeners, accept::Dealer::new(common, places)));
        Ok(server)
    }

    /// The addresses listened on, in the order of [`ServerOptions::listen`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.common.connections.load(Ordering::Relaxed)
    }

    /// Ends in order: no new connections; clients that know GO_AWAY are told so as long as
    /// [`ServerOptions::shutdown_wait`] says; what was answered is sent; connections are closed, and threads end.
    pub async fn shutdown(&self) {
        let mut ends = Vec::with_capacity(self.threads.len());
        for index in 0..self.threads.len() {
            let (done, end) = oneshot::channel();
            self.order(index, Control::Shutdown(done));
            ends.push(end);
        }
        for end in ends {
            // An error means that the thread has ended before.
            let _ = end.await;
        }
        for thread in &self.threads {
            // The thread has said that it is done: this does not block.
            let handle = thread.handle.lock().take();
            if handle.is_some_and(|handle| handle.join().is_err()) {
                tracing::error!("an I/O thread panicked");
            }
        }
    }

    fn order(&self, thread: usize, order: Control) {
        // A thread that takes no orders has ended.
        let _ = self.threads[thread].control.send(order);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for index in 0..self.threads.len() {
            self.order(index, Control::Stop);
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
