//! Knows which broker serves which topic.
//!
//! Brokers register here and keep saying that they live; clients ask here where a topic's queues are. Each name server
//! stands alone: brokers register with all of them, and nothing is copied between them.
//!
//! Where to go next: [`start`] runs one. A request goes through `handle` (one table from code to handler) to the tables
//! in `routes`, which are pure data with a test for every rule. What must survive a restart, the KV configuration and
//! changed settings, goes through `keeper`, which writes before it answers.

#![forbid(unsafe_code)]

mod file;
mod handle;
mod keeper;
mod kv_config;
mod name_server;
mod routes;
mod server;

pub use self::kv_config::KvConfigError;
pub use self::name_server::Clock;
pub use self::server::{RunningNamesrv, StartError, start};
