//! The master's side of a connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Buf as _;
use parking_lot::Mutex;
use raptormq_store::{ReadError, Watermark};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::Host;
use crate::fetch::Fetcher;
use crate::frames::Frames;
use crate::refusals::Refusal;
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
    #[error(transparent)]
    Refused(#[from] Refusal),
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
/// A listener cannot be used.
pub async fn serve<H: Host>(host: Arc<H>, listeners: Vec<std::net::TcpListener>) -> io::Result<()> {
    let door = Arc::new(Door { fetcher: Fetcher::new(host), guests: Mutex::default() });
    // They end with this future.
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(Arc::clone(&door), TcpListener::from_std(listener)?));
    }
    while accepting.join_next().await.is_some() {}
    Ok(())
}

async fn accept<H: Host>(door: Arc<Door<H>>, listener: TcpListener) {
    // They end with this future.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, address)) => {
                if !door.has_room(address).await {
                    continue;
                }
                let guest = Guest::new(&door);
                let number = guest.number;
                let abort = connections.spawn(async move {
                    let end = serve_one(&guest, stream, address).await;
                    if let End::Refused(refusal) = end {
                        guest.door.fetcher.host.slaves().refusals.say(address, &refusal);
                    }
                });
                door.guests.lock().silent.push_back(Silent { number, address, abort });
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

/// Where connections come in.
struct Door<H> {
    fetcher: Fetcher<H>,
    guests: Mutex<Guests>,
}

/// The connections that are open.
#[derive(Default)]
struct Guests {
    open: usize,
    /// Counts them all.
    next_number: u64,
    /// Those that have not said yet what they have, oldest first.
    silent: VecDeque<Silent>,
}

struct Silent {
    number: u64,
    address: SocketAddr,
    abort: AbortHandle,
}

impl<H: Host> Door<H> {
    /// Whether another connection can be taken. Slaves speak at once, so who has been silent for the longest time goes
    /// first: strangers that say nothing keep no slave out.
    async fn has_room(&self, address: SocketAddr) -> bool {
        let slaves = self.fetcher.host.slaves();
        let max = slaves.options.connections_max;
        let displaced = {
            let mut guests = self.guests.lock();
            if guests.open < max {
                return true;
            }
            guests.silent.pop_front()
        };
        let Some(displaced) = displaced else {
            slaves.refusals.say(address, &Refusal::Full(max));
            return false;
        };
        slaves.refusals.say(displaced.address, &Refusal::Displaced(max));
        displaced.abort.abort();
        // Its task ends before this one goes on.
        tokio::task::yield_now().await;
        true
    }
}

/// A connection, counted as long as this is held.
struct Guest<H: Host> {
    door: Arc<Door<H>>,
    number: u64,
}

impl<H: Host> Guest<H> {
    fn new(door: &Arc<Door<H>>) -> Guest<H> {
        let mut guests = door.guests.lock();
        guests.open += 1;
        guests.next_number += 1;
        Guest { number: guests.next_number, door: Arc::clone(door) }
    }

    /// It has said what it has.
    fn speaks(&self) {
        self.door.guests.lock().silent.retain(|silent| silent.number != self.number);
    }
}

impl<H: Host> Drop for Guest<H> {
    fn drop(&mut self) {
        self.speaks();
        self.door.guests.lock().open -= 1;
    }
}

async fn serve_one<H: Host>(guest: &Guest<H>, mut stream: TcpStream, address: SocketAddr) -> End {
    let fetcher = &guest.door.fetcher;
    let host = &fetcher.host;
    if let Err(error) = stream.set_nodelay(true) {
        return error.into();
    }
    let slaves = host.slaves();
    if let Some(secret) = Secret::new(&slaves.options.shared_secret) {
        match timeout(slaves.options.housekeeping_interval, secret.demand(&mut stream)).await {
            Ok(Ok(())) => {}
            Ok(Err(Unproved::Wrong)) => return Refusal::Unproved.into(),
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
    guest.speaks();
    let from = match begin(host.store(), first) {
        Ok(from) => from,
        Err(refusal) => return refusal.into(),
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
fn begin(store: &raptormq_store::Store, has: i64) -> Result<i64, Refusal> {
    let (min, max) = (store.log_min_offset(), store.log_max_offset());
    match has {
        // One that has nothing begins at the last file, as the original lets it.
        0 => Ok(store.log_last_file_start().max(min)),
        has if secret::is_greeting(has) => Err(Refusal::ExpectsSecret),
        has if has < 0 => Err(Refusal::Negative(has)),
        has if has > max => Err(Refusal::Ahead { has, max }),
        has if has < min => Err(Refusal::Deleted { has, min }),
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
            Ok(has) if has < 0 => return Refusal::Negative(has).into(),
            Ok(has) if has > host.store().log_max_offset() => return Refusal::Beyond(has).into(),
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
            Err(error) => return Refusal::Unreadable(error).into(),
        }
        if frames.is_empty() {
            match timeout(options.heartbeat_interval, source(host).reached(next + 1)).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => return End::Stopped,
                Err(_) => frames.heartbeat(next),
            }
        }
        slave.rate.add(frames.len() as u64);
        // One that says that it is there and reads nothing would hold a part of the log for ever.
        while frames.has_remaining() {
            match timeout(options.housekeeping_interval, writer.write_buf(&mut frames)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => {
                    // What the system keeps for it goes at once. If not, then after a while.
                    let _ = SockRef::from(writer.as_ref()).set_linger(Some(Duration::ZERO));
                    return Refusal::Deaf(options.housekeeping_interval).into();
                }
            }
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
