//! Where log lines go: stdout in standalone, `~/logs/rocketmqlogs/ROLE.log` with rotation in the roles.
//!
//! A line is `2026-01-31 12:00:00 INFO thread - text key=value`, the first fields being RocketMQ's, in local time.
//! `ROCKETMQ_LOG_LEVEL` sets the level (`debug`, or `raptormq_store=debug,info`); `ROCKETMQ_LOG_STDOUT=true` sends the
//! lines of a role to stdout.

mod rolling;

use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use rolling::{RollingFile, Rotation};

/// Lines that may wait for the disk; beyond it lines are dropped rather than hold up the broker.
const LINES_WAITING_MAX: usize = 8192;

/// Where the lines of a process go.
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file of this name (without `.log`) in this folder.
    File { folder: PathBuf, name: &'static str },
}

impl Destination {
    /// The log file of a role, or stdout when the user asks for it.
    pub(crate) fn of_role(name: &'static str, home: &str) -> Destination {
        match std::env::var("ROCKETMQ_LOG_STDOUT").as_deref() {
            Ok("true" | "1") => Destination::Stdout,
            _ => Destination::File { folder: PathBuf::from(home).join("logs/rocketmqlogs"), name },
        }
    }
}

/// Keeps the log going; dropping it writes every line that was logged before.
#[must_use]
pub(crate) struct Logging {
    _worker: WorkerGuard,
}

/// Sends all log lines of this process to `destination`.
///
/// # Errors
/// The log folder or file cannot be made, the level is not one, or logging has begun before.
pub(crate) fn start(destination: &Destination, default_level: &str) -> anyhow::Result<Logging> {
    let (writer, worker) = match destination {
        Destination::Stdout => builder().finish(std::io::stdout()),
        Destination::Stderr => builder().finish(std::io::stderr()),
        Destination::File { folder, name } => {
            let file = RollingFile::open(folder, name, Rotation::default()).map_err(|reason| {
                let path = folder.join(format!("{name}.log"));
                anyhow::anyhow!(
                    "cannot write the log file {}: {reason}; make the folder writable, or set ROCKETMQ_LOG_STDOUT=true",
                    path.display()
                )
            })?;
            builder().finish(file)
        }
    };
    let level = std::env::var("ROCKETMQ_LOG_LEVEL").or_else(|_| std::env::var("RUST_LOG"));
    let level = level.unwrap_or_else(|_| default_level.into());
    let filter = EnvFilter::builder().parse(&level).map_err(|reason| {
        anyhow::anyhow!("ROCKETMQ_LOG_LEVEL={level}: {reason}; write error, warn, info, debug, or CRATE=LEVEL,LEVEL")
    })?;
    let is_colourful = matches!(destination, Destination::Stdout) && std::io::stdout().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_colourful && std::env::var_os("NO_COLOR").is_none())
        .event_format(RocketmqLine)
        .with_writer(Lines(writer))
        .finish();
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(Logging { _worker: worker })
}

fn builder() -> NonBlockingBuilder {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING_MAX).thread_name("log")
}

struct Lines(NonBlocking);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        self.0.clone()
    }
}

/// The line layout of RocketMQ's log files.
struct RocketmqLine;

impl<S, N> FormatEvent<S, N> for RocketmqLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = jiff::Zoned::now();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("-");
        write!(line, "{} {} {thread} - ", now.strftime("%Y-%m-%d %H:%M:%S"), event.metadata().level())?;
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}
