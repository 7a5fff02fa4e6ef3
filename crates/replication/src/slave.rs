//! The slave's side: follows a master. Java: `store/ha/DefaultHAClient.java`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use raptormq_store::{CopyError, LogCopy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Host;
use crate::rate::Rate;
use crate::secret::{Secret, Unproved};
use crate::wire::{FrameReader, Piece};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Rest after a connection ended. Java: `closeMasterAndWait`.
const REST: Duration = Duration::from_secs(5);
/// The first rest; each further one is twice as long, up to [`REST`].
const REST_MIN: Duration = Duration::from_millis(250);
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What a slave knows of its master. Also a master has one, and nobody in it.
pub struct Following {
    master: watch::Sender<Option<String>>,
    is_connected: AtomicBool,
    last_read_ms: AtomicI64,
    last_write_ms: AtomicI64,
    rate: Rate,
}

/// How the following goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowingStatus {
    /// Where the master is, as host:port of its `haListenPort`.
    pub master: Option<String>,
    /// Whether a connection to it is open.
    pub is_connected: bool,
    /// When something was last read, in milliseconds since 1970; 0 for never.
    pub last_read_ms: i64,
    /// When something was last written.
    pub last_write_ms: i64,
    /// Bytes read in the last whole second.
    pub bytes_per_second: u64,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("it was closed by the other side")]
    Closed,
    #[error("the master is another one now")]
    Moved,
    #[error("a frame of {0} bytes")]
    Frame(i32),
    #[error("its log has another past: {0}; nothing was changed here. Empty this slave's store to copy the master's")]
    OtherPast(String),
    #[error("{0}")]
    Unproved(Unproved),
    #[error("{0}; nothing of it was taken")]
    Copy(#[from] CopyError),
    #[error("the store does not go on")]
    Stopped,
}

impl Following {
    /// Follows the master at this address once there is one.
    pub fn new(master: Option<String>) -> Following {
        Following {
            master: watch::Sender::new(master.filter(|address| !address.is_empty())),
            is_connected: AtomicBool::new(false),
            last_read_ms: AtomicI64::new(0),
            last_write_ms: AtomicI64::new(0),
            rate: Rate::default(),
        }
    }

    /// Where the master is from now on, as host:port of its `haListenPort`. A connection to another one is closed.
    pub fn set_master(&self, address: &str) {
        self.master.send_if_modified(|master| {
            let is_new = master.as_deref() != Some(address);
            if is_new {
                tracing::info!(from = master.as_deref().unwrap_or("nobody"), to = address, "the master to follow");
                *master = Some(address.to_owned());
            }
            is_new
        });
    }

    /// There is no master any more.
    pub fn forget_master(&self) {
        self.master.send_if_modified(|master| {
            let is_new = master.is_some();
            if is_new {
                tracing::info!(from = master.as_deref().unwrap_or_default(), "nobody to follow");
                *master = None;
            }
            is_new
        });
    }

    /// How it goes.
    pub fn status(&self) -> FollowingStatus {
        FollowingStatus {
            master: self.master.borrow().clone(),
            is_connected: self.is_connected.load(Ordering::Acquire),
            last_read_ms: self.last_read_ms.load(Ordering::Acquire),
            last_write_ms: self.last_write_ms.load(Ordering::Acquire),
            bytes_per_second: self.rate.per_second(),
        }
    }
}

/// Follows the master for as long as this is polled, through as many connections as it takes.
pub async fn follow<H: Host>(host: Arc<H>) {
    let mut masters = host.following().master.subscribe();
    let mut said = String::new();
    let mut rest = REST_MIN;
    loop {
        let Some(master) = masters.borrow_and_update().clone() else {
            // The sender lives as long as the host.
            let _ = masters.changed().await;
            continue;
        };
        let before = host.store().log_max_offset();
        let end = tokio::select! {
            end = follow_one(&host, &master) => end,
            _ = masters.changed() => End::Moved,
        };
        host.following().is_connected.store(false, Ordering::Release);
        let has_grown = host.store().log_max_offset() > before;
        let text = end.to_string();
        // Each reason is said once, however often it is tried without getting any farther.
        if has_grown || text != said {
            match end {
                End::OtherPast(_) | End::Copy(_) | End::Frame(_) | End::Unproved(_) => {
                    tracing::error!(master, reason = text, "the master is not followed; trying on");
                }
                _ => tracing::warn!(master, reason = text, "the master is not followed; trying on"),
            }
        }
        if has_grown {
            rest = REST_MIN;
        }
        said = text;
        if !matches!(end, End::Moved) {
            // Whichever comes first.
            let _ = timeout(rest, masters.changed()).await;
        }
        rest = (rest * 2).min(REST);
    }
}

async fn follow_one<H: Host>(host: &Arc<H>, master: &str) -> End {
    if let Err(reason) = host.same_past(master).await {
        return End::OtherPast(reason);
    }
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(master)).await;
    let mut stream = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(error) => return End::Connect(error),
    };
    if let Err(error) = stream.set_nodelay(true) {
        return error.into();
    }
    if let Some(secret) = Secret::new(&host.slaves().options.shared_secret) {
        match timeout(CONNECT_TIMEOUT, secret.prove(&mut stream)).await {
            Ok(Ok(())) => {}
            Ok(Err(unproved)) => return End::Unproved(unproved),
            Err(_) => return End::Silent(CONNECT_TIMEOUT),
        }
    }
    let (reader, writer) = stream.into_split();
    let mut link = Link {
        host,
        reader,
        writer,
        copy: host.store().log_copy(),
        reported: -1,
        reported_at: Instant::now(),
        frames: FrameReader::default(),
        joined: Vec::new(),
        has_taken: false,
    };
    match link.run(master).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// A connection to the master.
struct Link<'a, H> {
    host: &'a Arc<H>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    copy: LogCopy,
    /// What was reported last, and when.
    reported: i64,
    reported_at: Instant,
    frames: FrameReader,
    /// Bytes of several frames; empty between two reads.
    joined: Vec<u8>,
    /// Something of it was appended.
    has_taken: bool,
}

impl<H: Host> Link<'_, H> {
    async fn run(&mut self, master: &str) -> Result<std::convert::Infallible, End> {
        let slaves = self.host.slaves();
        let (heartbeat, patience) = (slaves.options.heartbeat_interval, slaves.options.housekeeping_interval);
        let following = self.host.following();
        let from = self.host.store().log_max_offset();
        self.report(from).await?;
        let mut buffer = vec![0; READ_BYTES];
        let mut heard_at = Instant::now();
        loop {
            match timeout_at(self.reported_at + heartbeat, self.reader.read(&mut buffer)).await {
                Err(_) if heard_at.elapsed() >= patience => return Err(End::Silent(patience)),
                Err(_) => {
                    let log_offset = self.reported;
                    self.report(log_offset).await?;
                }
                Ok(read) => {
                    let count = read?;
                    if count == 0 {
                        return Err(End::Closed);
                    }
                    following.is_connected.store(true, Ordering::Release);
                    heard_at = Instant::now();
                    following.last_read_ms.store(self.host.now_ms(), Ordering::Release);
                    following.rate.add(count as u64);
                    self.take(&buffer[..count])?;
                    if self.report_progress().await? && !self.has_taken {
                        self.has_taken = true;
                        tracing::info!(master, from, "the master is followed");
                    }
                }
            }
        }
    }

    /// Appends what came. The bytes of frames that follow each other are put together before: a frame is small, and each
    /// append a call of the system.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        let mut joined = std::mem::take(&mut self.joined);
        let mut start = 0;
        let end = loop {
            match self.frames.next(&mut bytes) {
                Ok(Some(Piece::Bytes(log_offset, piece))) => {
                    if joined.is_empty() {
                        start = log_offset;
                    }
                    joined.extend_from_slice(piece);
                }
                Ok(Some(Piece::Begin(log_offset))) => {
                    let follows = !joined.is_empty() && start.saturating_add(joined.len() as i64) == log_offset;
                    if !follows {
                        self.append(start, &joined)?;
                        joined.clear();
                        self.check_place(log_offset)?;
                    }
                }
                Ok(None) => break Ok(()),
                Err(len) => break Err(End::Frame(len)),
            }
        };
        self.append(start, &joined)?;
        joined.clear();
        self.joined = joined;
        end
    }

    fn append(&mut self, log_offset: i64, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        let host = self.host;
        let mut arrived = |arrivals: &[raptormq_store::Arrival<'_>]| host.arrived(arrivals);
        Ok(host.store().append_copy(&mut self.copy, log_offset, bytes, &mut arrived)?)
    }

    /// A frame without bytes says where the master is, too.
    fn check_place(&self, log_offset: i64) -> Result<(), End> {
        let expected = self.copy.next();
        if expected != 0 && log_offset != expected {
            return Err(CopyError::Elsewhere { expected, got: log_offset }.into());
        }
        Ok(())
    }

    /// Tells the master how far this log is, if it is farther than it was told; returns whether it is.
    async fn report_progress(&mut self) -> Result<bool, End> {
        let store = self.host.store();
        let end = store.log_max_offset();
        if end <= self.reported {
            return Ok(false);
        }
        if self.host.slaves().options.is_sync_flush {
            store.flush_soon();
            store.watermarks().flushed.reached(end).await.map_err(|_| End::Stopped)?;
        }
        self.report(end).await?;
        Ok(true)
    }

    async fn report(&mut self, log_offset: i64) -> Result<(), End> {
        self.writer.write_all(&log_offset.to_be_bytes()).await?;
        self.reported = log_offset;
        self.reported_at = Instant::now();
        self.host.following().last_write_ms.store(self.host.now_ms(), Ordering::Release);
        Ok(())
    }
}
