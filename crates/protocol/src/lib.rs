//! Turns bytes into RocketMQ commands and messages and back, exactly as RocketMQ does. No I/O, no tokio, no clock.
//!
//! The way of a request through this crate: [`frame`] finds where a command begins and ends in what was read,
//! [`command`] decodes its header (JSON or binary) without copying, [`header`] gives the fields of one request code
//! their names and types. An answer goes the other way: a [`command::CommandWriter`] puts it behind whatever the
//! connection already has to say.

#![forbid(unsafe_code)]

pub mod allocate;
pub mod body;
pub mod code;
pub mod command;
pub mod frame;
pub mod hash;
pub mod header;
pub mod heartbeat;
pub mod json;
mod marks;
pub mod message;
pub mod route;
