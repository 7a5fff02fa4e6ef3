//! Declares configuration keys once; reads, prints, updates and documents them.
//!
//! A key is one entry of a [`config!`] block: Rust field, type, RocketMQ's name, default, flags and a doc sentence.
//! The struct, its defaults, the parser, the printer and `docs/config.md` all come from that entry.
//!
//! Where to go next: [`BrokerSettings`] and [`NamesrvSettings`] are what a process reads its file into; one module
//! per family of keys ([`BrokerConfig`], [`StoreConfig`], [`NamesrvConfig`], [`ServerConfig`], [`ClientNetConfig`],
//! [`TlsConfig`], [`AuthConfig`]); [`Properties`] reads and edits `java.util.Properties` files.
#![forbid(unsafe_code)]

mod auth;
mod broker;
mod client_net;
mod environment;
mod error;
mod found;
mod key;
mod macros;
mod namesrv;
mod properties;
mod server;
mod settings;
mod store;
mod tls;
mod value;

pub use auth::AuthConfig;
pub use broker::BrokerConfig;
pub use client_net::ClientNetConfig;
pub use environment::Environment;
pub use error::{BadValue, ConfigError};
pub use key::{Family, Flags, Key};
pub use namesrv::NamesrvConfig;
pub use properties::{Entry, Properties};
pub use server::ServerConfig;
pub use settings::{BrokerSettings, NamesrvSettings, Remarks};
pub use store::{BrokerRole, FlushDiskType, StoreConfig};
pub use tls::{TlsClientAuth, TlsConfig, TlsMode};
pub use value::Value;
