//! The master's side of a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raptormq_store::{ReadError, Watermark};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::Host;
use crate::fetch::Fetcher;
use crate::frames::Frames;
use crate::secret::{self, Secret, Unproved};
use crate::slaves::{Connected, Slaves};
use crate::wire::last_report;

/// Bytes that are written at once; several frames.
const WRITE_BYTES: usize = 512 << 10;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long to wait when the system has no descriptor or memory for another connection.
const REST: Duration = Duration::from_millis(200);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("it was closed by the other side")]
    Closed,
    /// The slave cannot have what it wants.
    #[error("{0}")]
    Refused(String),
    #[error("the store is closed")]
    Stopped,
}

/// Opens the port that slaves connect to.
///
/// # Errors
/// The port is taken, or the address is not this machine's.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves slaves for as long as this is polled, on a runtime of one thread.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve<H: Host>(host: Arc<H>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    // They end with this future.
    let mut connections = tokio::task::JoinSet::new();
    let open = Arc::new(AtomicUsize::new(0));
    let fetcher = Arc::new(Fetcher::new(Arc::clone(&host)));
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, address)) => {
                let slaves = host.slaves();
                let max = slaves.options.connections_max;
                if open.load(Ordering::Relaxed) >= max {
                    slaves.refuse(address, format!("there are {max} connections already (haConnectionsMax)"));
                    continue;
                }
                let seat = Open::take(&open);
                let fetcher = Arc::clone(&fetcher);
                connections.spawn(async move {
                    let end = serve_one(&fetcher, stream, address).await;
                    drop(seat);
                    if let End::Refused(reason) = end {
                        fetcher.host.slaves().refuse(address, reason);
                    }
                });
            }
            // The peer has gone while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a slave; trying again soon");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Counts a connection as long as it is held.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn take(count: &Arc<AtomicUsize>) -> Open {
        count.fetch_add(1, Ordering::Relaxed);
        Open(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve_one<H: Host>(fetcher: &Fetcher<H>, mut stream: TcpStream, address: SocketAddr) -> End {
    let host = &fetcher.host;
    if let Err(error) = stream.set_nodelay(true) {
        return error.into();
    }
    let slaves = host.slaves();
    if let Some(secret) = Secret::new(&slaves.options.shared_secret) {
        match timeout(slaves.options.housekeeping_interval, secret.demand(&mut stream)).await {
            Ok(Ok(())) => {}
            Ok(Err(unproved @ Unproved::Wrong)) => return End::Refused(unproved.to_string()),
            Ok(Err(Unproved::Io(error))) => return error.into(),
            Err(_) => return End::Silent(slaves.options.housekeeping_interval),
        }
    }
    let (reader, writer) = stream.into_split();
    let mut reports = Reports { reader, buffer: [0; 4096], filled: 0 };
    let first = match reports.next(slaves.options.housekeeping_interval).await {
        Ok(first) => first,
        Err(end) => {
            tracing::debug!(peer = %address, reason = %end, "a connection ended before it said what it has");
            return end;
        }
    };
    let from = match begin(host.store(), first) {
        Ok(from) => from,
        Err(reason) => return End::Refused(reason),
    };
    tracing::info!(slave = %address, has = first, from, "a slave is served");
    let seat = slaves.add(address, first.min(from));
    slaves.acknowledge(&seat.slave, first);
    let end = tokio::select! {
        end = read(host, &mut reports, &seat.slave) => end,
        end = write(fetcher, writer, &seat.slave, from) => end,
    };
    tracing::info!(slave = %address, reason = %end, "a slave is not served any more");
    end
}

/// From where a slave is served that has everything up to `has`; or why it is not.
fn begin(store: &raptormq_store::Store, has: i64) -> Result<i64, String> {
    let (min, max) = (store.log_min_offset(), store.log_max_offset());
    match has {
        // One that has nothing begins at the last file, as the original lets it.
        0 => Ok(store.log_last_file_start().max(min)),
        has if secret::is_greeting(has) => Err("it expects haSharedSecret here, and none is set".to_owned()),
        has if has < 0 => Err(format!("it reports the log offset {has}")),
        has if has > max => Err(format!(
            "it has the log up to {has}, and this master only up to {max}: another past, or this master lost messages. \
             Compare them; then empty the slave's store, or make the slave the master"
        )),
        has if has < min => Err(format!(
            "it has the log up to {has}, but here everything before {min} was deleted: empty the slave's store, or raise \
             fileReservedTime"
        )),
        has => Ok(has),
    }
}

/// What a slave sends.
struct Reports {
    reader: OwnedReadHalf,
    buffer: [u8; 4096],
    filled: usize,
}

impl Reports {
    /// The newest report.
    async fn next(&mut self, patience: Duration) -> Result<i64, End> {
        loop {
            let read = timeout(patience, self.reader.read(&mut self.buffer[self.filled..]));
            match read.await.map_err(|_| End::Silent(patience))?? {
                0 => return Err(End::Closed),
                count => self.filled += count,
            }
            if let Some((log_offset, used)) = last_report(&self.buffer[..self.filled]) {
                self.buffer.copy_within(used..self.filled, 0);
                self.filled -= used;
                return Ok(log_offset);
            }
        }
    }
}

async fn read<H: Host>(host: &Arc<H>, reports: &mut Reports, slave: &Connected) -> End {
    let slaves: &Slaves = host.slaves();
    loop {
        match reports.next(slaves.options.housekeeping_interval).await {
            Ok(has) if has > host.store().log_max_offset() => {
                return End::Refused(format!(
                    "it reports the log offset {has}, which this master's log does not reach"
                ));
            }
            Ok(has) => slaves.acknowledge(slave, has),
            Err(end) => return end,
        }
    }
}

async fn write<H: Host>(fetcher: &Fetcher<H>, mut writer: OwnedWriteHalf, slave: &Connected, from: i64) -> End {
    let host = &fetcher.host;
    let options = &host.slaves().options;
    let mut next = from;
    loop {
        if let Some(pause) = options.bytes_per_second_max.and_then(|max| slave.rate.pause(max)) {
            tokio::time::sleep(pause).await;
        }
        let mut frames = Frames::default();
        match gather(fetcher, &mut frames, next).await {
            Ok(len) => next += len as i64,
            Err(ReadError::NotThere(_)) if !host.store().is_writeable() => return End::Stopped,
            Err(error) => return End::Refused(format!("what it needs cannot be read: {error}")),
        }
        if frames.is_empty() {
            match timeout(options.heartbeat_interval, source(host).reached(next + 1)).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => return End::Stopped,
                Err(_) => frames.heartbeat(next),
            }
        }
        slave.rate.add(frames.len() as u64);
        if let Err(error) = writer.write_all_buf(&mut frames).await {
            return error.into();
        }
        slave.sent.store(next, Ordering::Release);
    }
}

/// Up to where the log is sent. What could still be lost at a loss of power, though it promises otherwise, no slave may
/// have.
fn source<H: Host>(host: &Arc<H>) -> &Watermark {
    let watermarks = host.store().watermarks();
    if host.slaves().options.is_sync_flush { watermarks.flushed } else { watermarks.appended }
}

/// Puts what follows in the log into frames; returns how many bytes of it.
async fn gather<H: Host>(fetcher: &Fetcher<H>, frames: &mut Frames, from: i64) -> Result<usize, ReadError> {
    let store = fetcher.host.store();
    let len_max = usize::try_from(source(&fetcher.host).value() - from).unwrap_or(0).min(WRITE_BYTES);
    if len_max == 0 {
        return Ok(0);
    }
    let Some(part) = store.log_part(from, len_max)? else { return Ok(0) };
    let len = part.len();
    if !store.is_log_cached(from, len)? {
        fetcher.fetch(from, len).await?;
    }
    frames.part(from, &part, fetcher.host.slaves().options.frame_bytes);
    Ok(len)
}
