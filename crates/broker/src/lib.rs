//! Answers every request of producers, consumers and admins over one store.
//!
//! The way of a request: an I/O thread's [`service`] gets it from remoting; [`dispatch`] has the one table of requests
//! and finds its handler in [`handle`]; the handler borrows the [`Broker`] and answers at once, or at the end of the turn
//! (a send, when the turn's messages are appended), or later (a pull that waits in [`hold`] or whose messages [`readers`]
//! fetch from the disk, a change that [`persist`] must keep first). A refusal is a [`failure`].
//!
//! What the broker knows: [`topics`], [`groups`] and [`offsets`], which [`persist`] keeps on disk; [`clients`] and
//! [`locks`], which live as long as their connections. [`filter`] says which messages a group wants, [`names`] which names
//! are allowed, [`outer`] tells the name servers, [`routes`] asks them, [`stats`] counts, [`configure`] changes
//! settings while the broker runs. [`ha`] is the broker's part in replication, and what a [`slave`] copies beside the log.
//! [`start`] puts it all together and takes it apart again.
#![forbid(unsafe_code)]

mod access;
mod alarm;
mod attributes;
mod broker;
mod budget;
mod clients;
mod configure;
mod deliver;
mod dispatch;
mod escape;
mod failure;
mod filter;
mod groups;
mod ha;
mod handle;
mod hold;
mod lane;
mod locks;
mod members;
mod names;
mod offsets;
mod outer;
mod persist;
mod readers;
mod reput;
mod request_modes;
mod routes;
mod schedule;
mod service;
mod slave;
mod start;
mod stats;
mod topics;
mod transaction;

pub use broker::Broker;
pub use filter::sql;
pub use persist::KeptError;
pub use start::{RunningBroker, StartError, start, start_with};
