//! Clusters in one process, and peers that say to them whatever a test wants. For tests only.
//!
//! [`Cluster`] is a name server and a broker on loopback ports and in a folder of their own. [`Peer`] calls one of them
//! with requests that no client of ours would make, and [`Raw`] with bytes that are no requests at all. Tests that use
//! them stand in `tests/cluster`, one file a subject.
//!
//! A test waits for what it wants to see, never for time to pass; [`PATIENCE`] says when it gives up.
#![forbid(unsafe_code)]

mod cluster;
pub mod peer;
mod ports;
pub mod raw;

use std::time::Duration;

pub use self::cluster::{Cluster, ClusterBuilder, Slave};
pub use self::peer::Peer;
pub use self::ports::free_broker_port;
pub use self::raw::Raw;

/// How long a test waits for something that takes milliseconds, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);
