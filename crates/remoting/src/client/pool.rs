//! Opens connections when they are needed and keeps one an address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::code::RequestCode;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::link;
use super::{ClientOptions, Inbound};
use crate::connection::{Doorbell, Ends};
use crate::socket::Socket;
use crate::{CallError, Connection};

/// Addresses remembered; those without a connection are forgotten beyond.
const ADDRESSES_MAX: usize = 1024;

pub(super) struct Pool {
    pub(super) options: ClientOptions,
    pub(super) inbound: Arc<dyn Inbound>,
    next_id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    slots: HashMap<Box<str>, Arc<Slot>>,
}

/// What is known of one address.
#[derive(Default)]
struct Slot {
    /// Held by the one who connects; others wait for what comes of it.
    connecting: tokio::sync::Mutex<Failed>,
    link: Mutex<Option<Connection>>,
}

/// How the last attempts went.
#[derive(Default)]
struct Failed {
    /// Attempts that failed since the last that did not.
    attempts: u32,
    retry_at: Option<Instant>,
    reason: String,
}

impl Pool {
    pub(super) fn new(options: ClientOptions, inbound: Arc<dyn Inbound>) -> Pool {
        Pool { options, inbound, next_id: AtomicU64::new(1), state: Mutex::default() }
    }

    /// The connection to `address`, if it is open.
    pub(super) fn open_link(&self, address: &str) -> Option<Connection> {
        let state = self.state.lock();
        let link = state.slots.get(address)?.link.lock();
        link.clone()
    }

    /// The connection to `address`, opened if need be.
    pub(super) async fn connect(self: &Arc<Self>, address: &str, code: RequestCode) -> Result<Connection, CallError> {
        let closed = || CallError::Closed { address: address.to_owned(), code };
        let slot = self.slot(address).ok_or_else(closed)?;
        let mut failed = slot.connecting.lock().await;
        if let Some(link) = slot.link.lock().clone() {
            return Ok(link);
        }
        let refused = |reason: String| CallError::Connect { address: address.to_owned(), reason };
        if let Some(wait) = failed.retry_at.and_then(|at| at.checked_duration_since(Instant::now())) {
            return Err(refused(format!("{}; tried again in {} ms", failed.reason, wait.as_millis())));
        }
        let (socket, ends) = match self.open(address).await {
            Ok(opened) => opened,
            Err(error) => {
                if let CallError::Connect { reason, .. } = &error {
                    failed.note(reason, &self.options);
                }
                return Err(error);
            }
        };
        *failed = Failed::default();
        let link = self.start(address, socket, ends);
        *slot.link.lock() = Some(link.clone());
        if self.state.lock().closed {
            link.close("the client is closed");
            return Err(closed());
        }
        Ok(link)
    }

    fn slot(&self, address: &str) -> Option<Arc<Slot>> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        if let Some(slot) = state.slots.get(address) {
            return Some(slot.clone());
        }
        if state.slots.len() >= ADDRESSES_MAX {
            state.slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.link.lock().is_some());
        }
        let slot = Arc::<Slot>::default();
        state.slots.insert(address.into(), slot.clone());
        Some(slot)
    }

    async fn open(&self, address: &str) -> Result<(Socket, Ends), CallError> {
        let unknown = |reason: String| CallError::Address { address: address.to_owned(), reason };
        let refused = |reason: String| CallError::Connect { address: address.to_owned(), reason };
        let resolve_and_connect = async {
            let candidates: Vec<SocketAddr> =
                tokio::net::lookup_host(address).await.map_err(|error| unknown(error.to_string()))?.collect();
            let mut reason = None;
            for candidate in candidates {
                match self.socket(candidate).await {
                    Ok(opened) => return Ok(opened),
                    Err(error) => reason = Some(error.to_string()),
                }
            }
            Err(reason.map_or_else(|| unknown("the name has no address".to_owned()), refused))
        };
        let limit = self.options.connect_timeout;
        let late = |_| refused(format!("no answer within {} ms", limit.as_millis()));
        tokio::time::timeout(limit, resolve_and_connect).await.map_err(late)?
    }

    /// Connects to one address; under TLS, when the handshake is over.
    async fn socket(&self, candidate: SocketAddr) -> std::io::Result<(Socket, Ends)> {
        let stream = TcpStream::connect(candidate).await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let ends = Ends { id, address: stream.peer_addr()?, local: stream.local_addr()?, listener: 0 };
        Ok((Socket::connected(stream, self.options.tls.as_ref()).await?, ends))
    }

    fn start(self: &Arc<Self>, address: &str, socket: Socket, ends: Ends) -> Connection {
        let link = Connection::new(ends, self.options.settings(), Doorbell::Task(Mutex::default()));
        tokio::spawn(link::drive(link.clone(), socket, address.into(), self.clone()));
        link
    }

    /// `link` takes no more calls: the next one opens another. Those on their way still have their answers, and then
    /// the server closes it.
    pub(super) fn retire(&self, address: &str, link: &Connection) {
        self.forget(address, link);
        link.close_when_quiet();
    }

    /// `link` has ended.
    pub(super) fn forget(&self, address: &str, link: &Connection) {
        let state = self.state.lock();
        if let Some(slot) = state.slots.get(address) {
            slot.link.lock().take_if(|known| known == link);
        }
    }

    pub(super) fn close(&self) {
        let slots = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.slots)
        };
        for slot in slots.into_values() {
            if let Some(link) = slot.link.lock().take() {
                link.close("the client is closed");
            }
        }
    }
}

impl Failed {
    fn note(&mut self, reason: &str, options: &ClientOptions) {
        let wait = options.retry_min.saturating_mul(1 << self.attempts.min(16)).min(options.retry_max);
        self.attempts += 1;
        self.retry_at = Some(Instant::now() + wait.max(Duration::from_millis(1)));
        self.reason = reason.to_owned();
    }
}
