//! The binary as its users run it: what it prints, where it logs, how it starts, stops and refuses to start.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod admin;
mod command_line;
mod common;
mod deployment;
mod producers;
mod replicas;
mod roles;
mod scripts;
mod shipped;
mod tools;
