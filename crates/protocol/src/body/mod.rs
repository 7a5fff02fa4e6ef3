//! JSON bodies of requests and answers, and of the configuration files that are made of the same types.
//!
//! Fields stand in the alphabetical order of their Java names, because fastjson writes them so; what Java leaves out
//! when it is null is an `Option`. What a peer leaves out has Java's default, and what it adds is ignored. Read with
//! [`crate::json::from_slice`], write with [`crate::json::to_vec`]. Heartbeats and routes have modules of their own,
//! [`crate::heartbeat`] and [`crate::route`].
//!
//! Mirrors `remoting/protocol/{body,admin,subscription}/*.java` and what they use of `common`.

mod client;
mod filter;
mod group;
mod offset;
mod queue;
mod register;
mod stats;
mod topic;

pub use client::*;
pub use filter::*;
pub use group::*;
pub use offset::*;
pub use queue::*;
pub use register::*;
pub use stats::*;
pub use topic::*;
