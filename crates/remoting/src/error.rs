//! What can go wrong with a server's start and with a call.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use raptormq_protocol::code::RequestCode;
use thiserror::Error;

use crate::tls::TlsError;

/// Why a server did not start. Nothing is left half-started.
#[derive(Debug, Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error("cannot listen on {address}: {}", listen_advice(.source, .key))]
    Listen {
        /// The address wanted.
        address: SocketAddr,
        /// The configuration key that names its port.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or its event queue cannot be had.
    #[error("cannot start an I/O thread: {0}; allow this process more threads or files (ulimit -u, ulimit -n)")]
    Thread(#[source] io::Error),
    /// Keys or certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn listen_advice(error: &io::Error, key: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("another process listens there; stop it or set {key}"),
        io::ErrorKind::PermissionDenied => format!("no permission ({error}); set {key} to a port above 1023"),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; set one that it has".to_owned(),
        _ => format!("{error}; set {key}"),
    }
}

/// Why a call has no answer. Each says where; [`CallError::outcome_unknown`] says whether the request may have been
/// carried out nevertheless.
#[derive(Debug, Error)]
pub enum CallError {
    /// The address is none.
    #[error("{address} is no address to connect to: {reason}; expected host:port")]
    Address {
        /// The address given.
        address: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection came about.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("{address} did not answer request {code} within {} ms", .timeout.as_millis())]
    Timeout {
        /// The address.
        address: String,
        /// What was asked for.
        code: RequestCode,
        /// How long was waited.
        timeout: Duration,
        /// The request went to the socket.
        sent: bool,
    },
    /// The connection ended in between.
    #[error("the connection to {address} ended before request {code} was answered: {reason}")]
    Lost {
        /// The address.
        address: String,
        /// What was asked for.
        code: RequestCode,
        /// Why it ended.
        reason: String,
        /// The request went to the socket.
        sent: bool,
    },
    /// Too much is on its way already. The request was not sent.
    #[error("too much waits for {address}: {what}; ask less at once")]
    Busy {
        /// The address.
        address: String,
        /// The limit that was met.
        what: &'static str,
    },
    /// The request is longer than a frame may be. It was not sent.
    #[error("request {code} for {address} has about {bytes} bytes; frames have at most {max}")]
    TooLong {
        /// The address.
        address: String,
        /// What was asked for.
        code: RequestCode,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// This side was closed. The request was not sent.
    #[error("request {code} for {address} was not sent: the client is closed")]
    Closed {
        /// The address.
        address: String,
        /// What was asked for.
        code: RequestCode,
    },
}

impl CallError {
    /// Whether the request may have been carried out although no answer came.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, CallError::Timeout { sent: true, .. } | CallError::Lost { sent: true, .. })
    }
}
