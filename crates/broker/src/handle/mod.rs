//! Handlers: one function a request, grouped in families. Each takes the broker, the call and the request's header, and
//! answers through the call, or refuses.

pub(crate) mod acl;
pub(crate) mod admin;
pub(crate) mod assignment;
pub(crate) mod clean;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod end_transaction;
pub(crate) mod group;
pub(crate) mod ha;
pub(crate) mod lock;
pub(crate) mod offset;
pub(crate) mod progress;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod reset;
pub(crate) mod send;
pub(crate) mod send_back;
pub(crate) mod topic;
