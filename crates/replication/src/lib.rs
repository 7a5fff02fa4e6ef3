//! Moves the log from master to slaves and knows which of them are in sync.
//!
//! Master ([`serve`]): a slave connects to `haListenPort` and says how far its log is. From there on it gets the bytes of
//! the master's log in frames, as they are appended: slices of the log's mapping, nothing is kept in memory for a slave
//! that is slow. What it says it has moves the watermarks of [`Slaves`], on which synchronous sends wait.
//!
//! Slave ([`follow`]): asks its [`Host`] for the master, checks that the logs have the same past, and appends what comes
//! to its own store, which fills queues and index from it. Whatever does not fit is refused and said; nothing that a slave
//! has is ever cut off.
//!
//! All of it runs on one thread of the broker's; only reads that wait for the disk go to others. Java: `store/ha/`.
#![forbid(unsafe_code)]

mod fetch;
mod frames;
mod options;
mod rate;
mod refusals;
mod secret;
mod serve;
mod slave;
mod slaves;
mod wire;

use std::future::Future;

use raptormq_store::{Arrival, Store};

pub use options::Options;
pub use serve::{listen, serve};
pub use slave::{Following, FollowingStatus, follow};
pub use slaves::{SlaveStatus, Slaves};
pub use wire::{FrameReader, Piece};

/// The broker, as replication sees it.
pub trait Host: Send + Sync + 'static {
    /// Its messages.
    fn store(&self) -> &Store;

    /// Its slaves.
    fn slaves(&self) -> &Slaves;

    /// Its master.
    fn following(&self) -> &Following;

    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// Messages were copied from the master and can be read now.
    fn arrived(&self, arrivals: &[Arrival<'_>]);

    /// Whether the master's log has the same past as this one; if not, what is different. Asked before each connection
    /// to this address.
    fn same_past(&self, ha_address: &str) -> impl Future<Output = Result<(), String>> + Send;
}
