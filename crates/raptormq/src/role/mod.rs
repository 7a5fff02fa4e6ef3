//! The roles as processes: what they print, where they log, how they stop and with which status they end.

pub(crate) mod broker;
pub(crate) mod namesrv;
pub(crate) mod standalone;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use raptormq_config::{ConfigError, Environment, Properties, Remarks};

use crate::argv::{self, Invocation};
use crate::logging::{self, Destination};

/// Exit status of RocketMQ when the start fails by an exception (-1).
pub(crate) const EXIT_FAILED: u8 = 255;

/// Exit status of RocketMQ when a setting is refused (-3).
const EXIT_REFUSED: u8 = 253;

/// Exit status of RocketMQ when controller and DLedger mode are both asked for (-4).
const EXIT_TWO_MODES: u8 = 252;

/// Exit status of a command line that is no use.
const EXIT_USAGE: u8 = 1;

/// Reads a role's options from the command line; an `Err` is the status to end with, everything being said.
fn options<O: clap::Parser>(invocation: &Invocation) -> Result<O, ExitCode> {
    let command = O::command();
    let words = argv::normalise(&command, &invocation.words).map_err(|mistake| {
        say(&argv::usage(&invocation.program, &command));
        eprintln!("{mistake}");
        ExitCode::from(EXIT_USAGE)
    })?;
    if words.iter().any(|word| word == "--help") {
        say(&argv::usage(&invocation.program, &command));
        return Err(ExitCode::SUCCESS);
    }
    O::try_parse_from(std::iter::once(invocation.program.clone()).chain(words)).map_err(|mistake| {
        eprint!("{mistake}");
        ExitCode::from(EXIT_USAGE)
    })
}

/// Prints to stdout; that nobody reads it is no reason to end.
fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints `key=value` lines.
fn say_pairs(pairs: &[(&'static str, String)]) {
    say(&pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<String>());
}

/// Says on stderr what keeps a role from starting, in one line, and gives the status to end with.
fn fail(program: &str, reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{program}: {reason}");
    ExitCode::from(EXIT_FAILED)
}

/// As [`fail`], with the streams and statuses that RocketMQ has for some refusals.
fn refuse(program: &str, reason: &ConfigError) -> ExitCode {
    let status = match reason {
        ConfigError::NamesrvAddr(_) | ConfigError::SlaveId => EXIT_REFUSED,
        ConfigError::ControllerAndDledger => EXIT_TWO_MODES,
        _ => return fail(program, reason),
    };
    say(&format!("{reason}\n"));
    ExitCode::from(status)
}

/// Runs a role with its log, and gives the status to end with.
fn run_logged(
    program: &str,
    destination: &Destination,
    remarks: &Remarks,
    serve: impl FnOnce() -> anyhow::Result<()>,
) -> ExitCode {
    let served = logging::start(destination, "info").and_then(|_logging| {
        warn(remarks);
        serve().inspect_err(|reason| tracing::error!("not started: {reason}"))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(program, &reason),
    }
}

/// Warns about the config file, on stderr for who starts the role and in the log for who looks later.
fn warn(remarks: &Remarks) {
    for line in remarks.lines() {
        eprintln!("warning: {line}");
        tracing::warn!("{line}");
    }
}

/// The keys of TLS among the system properties, where RocketMQ reads them.
fn tls_properties(properties: &BTreeMap<String, String>) -> Properties {
    let of_tls = properties.iter().filter(|(key, _)| key.starts_with("tls."));
    Properties::from_pairs("-D", of_tls.map(|(key, value)| (key.as_str(), value.as_str())))
}

/// The surroundings of a role.
fn environment(invocation: &Invocation) -> Environment {
    crate::machine::environment(&invocation.system_properties)
}
