//! Everyday tools. Each is a module with `run(Invocation) -> ExitCode` and a row in the table of `main.rs`.
//!
//! They are programs over the public client, like any user's. Results go to stdout, everything else to stderr; what
//! fails is said in one line with what to do, and the status is not 0.

/// Prints a line to stdout. Nothing happens when nobody reads it any more.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::tool::print_line(format_args!($($text)*))
    };
}

pub(crate) mod admin;
pub(crate) mod bench;
pub(crate) mod classes;
mod cluster;
pub(crate) mod dist;
mod embedded;
mod printer;
pub(crate) mod quickstart;
pub(crate) mod recv;
pub(crate) mod send;
pub(crate) mod store;

use std::process::ExitCode;

use raptormq_client::{Client, ClientBuilder, ErrorKind};

use crate::argv::Invocation;
use crate::logging::{self, Destination, Logging};

/// Name server that tools ask when none is named and `NAMESRV_ADDR` is not set.
const DEFAULT_NAMESRV: &str = "127.0.0.1:9876";

/// Exit status of a command line that is no use.
const EXIT_USAGE: u8 = 2;

/// Reads a tool's options; an `Err` is the status to end with, everything being said.
fn options<O: clap::Parser>(invocation: &Invocation) -> Result<O, ExitCode> {
    let words = std::iter::once(&invocation.program).chain(&invocation.words);
    let command = O::command().bin_name(&invocation.program).no_binary_name(false);
    let parsed = command.try_get_matches_from(words).and_then(|matches| O::from_arg_matches(&matches));
    parsed.map_err(|mistake| {
        // Nobody to tell when even that cannot be printed.
        let _ = mistake.print();
        if mistake.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

/// The name servers to ask: those given, or those of the environment, or the one on this machine.
fn namesrv(given: Option<&str>, invocation: &Invocation) -> String {
    let property = invocation.system_properties.get("rocketmq.namesrv.addr").cloned();
    let found = given.map(str::to_owned).or(property).or_else(|| std::env::var("NAMESRV_ADDR").ok());
    found.filter(|address| !address.trim().is_empty()).unwrap_or_else(|| DEFAULT_NAMESRV.to_owned())
}

/// Runs a tool's work to its end; what fails is said on stderr.
fn run_to_end(program: &str, work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| fail(program, &error))
}

/// Waits until this program is told to end: by Ctrl-C or by a termination signal.
async fn until_told() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// What `say!` does.
fn print_line(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // That nobody reads it is no reason to end: Java's programs do not either.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what failed, with its causes, and gives the status to end with.
fn fail(program: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{program}: {error}");
    ExitCode::FAILURE
}

/// Connects to a cluster, or says what to do.
async fn connect(namesrv: &str) -> anyhow::Result<Client> {
    connect_with(Client::builder().namesrv(namesrv)).await
}

/// As [`connect`], with settings of its own.
async fn connect_with(builder: ClientBuilder) -> anyhow::Result<Client> {
    builder.connect().await.map_err(|error| match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Timeout => anyhow::anyhow!(
            "{}; start a name server there (`raptormq standalone` starts all that is needed), or name another one \
             with -n HOST:PORT",
            error.text()
        ),
        _ => error.into(),
    })
}

/// Sends log lines to stderr: warnings, unless `ROCKETMQ_LOG_LEVEL` says otherwise.
fn log_to_stderr() -> anyhow::Result<Logging> {
    logging::start(&Destination::Stderr, "warn")
}
