//! Carries commands over TCP and TLS: server, client, calls in flight, limits. Knows no request's meaning.
//!
//! The way of a request on the server: the acceptor deals a socket to one of the I/O threads ([`server`]); there one
//! task reads what has arrived, finds the frames in it and hands each command to the thread's [`Service`]. The service
//! writes its answer into the connection's [`Output`] at once, or when the turn ends (one pass over all connections
//! that were ready, so that a store appends once for all of them), or later from any thread through a [`Responder`].
//! [`Client`] is the other end. A [`Connection`] is the same thing on both: either side may ask, tell and answer.

#![forbid(unsafe_code)]

mod calls;
mod client;
mod configured;
mod connection;
mod error;
mod inbox;
mod message;
mod output;
mod server;
mod socket;
mod tls;
mod warnings;

pub use self::calls::{Inquiry, Unanswered};
pub use self::client::{Client, ClientOptions, Inbound, PendingCall, Signer};
pub use self::connection::{Connection, Responder};
pub use self::error::{CallError, StartError};
pub use self::message::{Exchange, OwnedFields, Request, Response};
pub use self::output::Output;
pub use self::server::{IoThread, Listen, Outcome, Server, ServerOptions, Service};
pub use self::tls::{ClientTls, TlsError};
