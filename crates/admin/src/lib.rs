//! `mqadmin`: RocketMQ's administration from the command line, with the original's commands, options and output.
//!
//! A command is declared once, in the module of its family (`topic`, `group`, `broker`, `cluster`, `message`,
//! `name_server`, …): name, options, what it does, the function that runs it. [`commands`] puts them in the original's
//! order. [`run`] finds the command, [`commons_cli`] reads its options as the original's parser does, and the function
//! asks the cluster through [`raptormq_client::Admin`] and prints.
//!
//! Standard output is the original's, column by column, because people's scripts read it. Standard error is one line:
//! what failed, where, and what to do.

#![forbid(unsafe_code)]

mod absent;
mod broker;
mod cluster;
mod command;
mod commands;
pub mod commons_cli;
mod completions;
mod connection;
mod consumer_info;
mod credentials;
mod dump;
#[cfg(test)]
mod every_command;
mod export;
mod failure;
mod file;
mod group;
mod ha;
mod lists;
mod manual;
mod message;
mod name_server;
mod offset;
mod pretty;
mod print_messages;
mod progress;
mod reference;
mod send;
mod session;
mod start;
mod stats;
mod targets;
mod text;
mod topic;
mod trace;
mod track;

pub use self::completions::{Shell, completions};
pub use self::manual::manual;
pub use self::reference::{absent_commands, reference, working_commands};
pub use self::start::{Invocation, Style, run, run_on};
