//! A whole cluster as its clients meet it: our own client on one side, requests that no client would make on the other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod acting;
mod bad_input;
mod common;
mod configured;
mod consuming;
mod crowd;
mod limits;
mod members;
mod producing;
mod pulling;
mod refusals;
mod refusing;
mod restart;
mod sending;
mod serving;
mod slaves;
mod troubles;
mod two_brokers;
