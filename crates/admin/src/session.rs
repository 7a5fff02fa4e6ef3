//! What a command works with: the cluster, and where it prints.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raptormq_client::Admin;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::failure::{Failure, Result};

/// What a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// The original's columns.
    #[default]
    Columns,
    /// A JSON object a line.
    Json,
    /// What would be changed. Nothing is.
    DryRun,
}

/// Where a command prints.
pub(crate) struct Streams<'o> {
    /// Standard output.
    pub(crate) out: &'o mut dyn Write,
    /// Standard error.
    pub(crate) errors: &'o mut dyn Write,
    /// Whether standard output is a terminal.
    pub(crate) is_terminal: bool,
    /// Whether standard error is a terminal, on which complaints may have a colour.
    pub(crate) has_colours: bool,
    /// Whether it may be told how far a long command is: standard error is a terminal, and standard output is not the same.
    pub(crate) shows_progress: bool,
}

impl Streams<'_> {
    /// The same, for a while.
    pub(crate) fn reborrow(&mut self) -> Streams<'_> {
        Streams { out: &mut *self.out, errors: &mut *self.errors, ..*self }
    }
}

/// A command's surroundings.
pub(crate) struct Session<'o> {
    /// The cluster.
    pub(crate) admin: Admin,
    /// What is printed.
    output: Output,
    /// What complaints begin with: the command's name.
    program: String,
    streams: RefCell<Streams<'o>>,
    /// How far a long command is; hidden where nobody would see it.
    progress: ProgressBar,
    has_failed: Cell<bool>,
    /// What was complained about last.
    complaint: RefCell<String>,
}

/// A record: names and values, in their order.
struct Record<'a>(&'a [(&'a str, Value)]);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'o> Session<'o> {
    pub(crate) fn new(admin: Admin, program: &str, output: Output, streams: Streams<'o>) -> Session<'o> {
        let progress = match streams.shows_progress {
            // Without a style there is a bar without a text.
            true => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_style(ProgressStyle::default_spinner()),
            false => ProgressBar::hidden(),
        };
        let program = program.to_owned();
        Session {
            admin,
            output,
            program,
            streams: RefCell::new(streams),
            progress,
            has_failed: Cell::new(false),
            complaint: RefCell::default(),
        }
    }

    /// Prints to standard output, which is buffered: see [`Session::flush`]. Only columns are printed so.
    pub(crate) fn print(&self, text: fmt::Arguments<'_>) -> Result<()> {
        match self.output {
            Output::Columns => self.streams.borrow_mut().out.write_fmt(text).map_err(Failure::Output),
            Output::Json | Output::DryRun => Ok(()),
        }
    }

    /// Whether records are wanted: see [`record!`](record).
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a record, in a line of its own.
    pub(crate) fn record(&self, fields: &[(&str, Value)]) -> Result<()> {
        let text = serde_json::to_string(&Record(fields)).map_err(|error| Failure::Output(error.into()))?;
        writeln!(self.streams.borrow_mut().out, "{text}").map_err(Failure::Output)
    }

    /// Whether nothing may be changed.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.output == Output::DryRun
    }

    /// Carries out a change, or says what it would be.
    pub(crate) async fn change(
        &self,
        what: fmt::Arguments<'_>,
        work: impl Future<Output = raptormq_client::Result<()>>,
    ) -> Result<()> {
        match self.output {
            Output::DryRun => writeln!(self.streams.borrow_mut().out, "would {what}").map_err(Failure::Output),
            Output::Columns | Output::Json => Ok(work.await?),
        }
    }

    /// Asks and says everything once more, of a command that looks again and again.
    pub(crate) fn begin_round(&self) {
        self.admin.ask_again();
        self.complaint.borrow_mut().clear();
    }

    /// Begins a round and empties the terminal, if standard output is one.
    pub(crate) fn clear(&self, how: &str) {
        self.begin_round();
        let mut streams = self.streams.borrow_mut();
        if streams.is_terminal {
            // What comes next says when nothing can be printed any more.
            let _ = streams.out.write_all(how.as_bytes());
        }
    }

    /// Prints whatever is printed else.
    pub(crate) fn show(&self, text: &str) {
        // Nobody to tell when it cannot be printed.
        let _ = self.streams.borrow_mut().out.write_all(text.as_bytes());
    }

    /// Shows what was printed. For commands that wait between two lines.
    pub(crate) fn flush(&self) -> Result<()> {
        self.streams.borrow_mut().out.flush().map_err(Failure::Output)
    }

    /// Says on a terminal how far a long command is.
    pub(crate) fn progress(&self, text: impl FnOnce() -> String) {
        if !self.progress.is_hidden() {
            self.progress.set_message(text());
        }
    }

    /// Takes what was said about progress away.
    pub(crate) fn end_progress(&self) {
        self.progress.finish_and_clear();
    }

    /// Says on standard error what failed, once when it fails again and again. The command goes on, or ends without a
    /// further word.
    pub(crate) fn complain(&self, failure: &Failure) {
        self.has_failed.set(true);
        let line = failure.line();
        if *self.complaint.borrow() == line {
            return;
        }
        let mut streams = self.streams.borrow_mut();
        let program = coloured(&self.program, streams.has_colours);
        // Nobody to tell when even that cannot be printed.
        self.progress.suspend(|| drop(writeln!(streams.errors, "{program}: {line}")));
        *self.complaint.borrow_mut() = line;
    }

    /// Goes on after a part that failed, which is said. Only when nobody reads any further there is no point in that.
    pub(crate) fn go_on(&self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(failure) if !matches!(failure, Failure::Output(_)) => {
                self.complain(&failure);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// What was asked for, or nothing when that failed, which is said.
    pub(crate) fn or_nothing<T: Default>(&self, outcome: Result<T>) -> T {
        outcome.unwrap_or_else(|failure| {
            self.complain(&failure);
            T::default()
        })
    }

    /// Shows what was printed, then waits until it is to be shown again; `false` when once is enough.
    pub(crate) async fn again(&self, interval_s: Option<u64>) -> Result<bool> {
        self.flush()?;
        let Some(seconds) = interval_s else { return Ok(false) };
        tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
        self.begin_round();
        Ok(true)
    }

    /// Says on standard error what is to be known and is no failure.
    pub(crate) fn report(&self, text: &str) {
        let mut streams = self.streams.borrow_mut();
        // Nobody to tell when even that cannot be printed.
        self.progress.suspend(|| drop(writeln!(streams.errors, "{} {text}", crate::stats::stamp())));
    }

    /// Whether something was complained about.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.get()
    }
}

/// What failed, in red where there are colours.
pub(crate) fn coloured(program: &str, has_colours: bool) -> String {
    if has_colours { format!("\x1b[31m{program}\x1b[0m") } else { program.to_owned() }
}

/// Prints a line, or a part of one, to standard output.
macro_rules! print {
    ($session:expr, $($text:tt)*) => { $session.print(format_args!($($text)*))? };
}

/// Prints a line to standard output.
macro_rules! line {
    ($session:expr $(,)?) => { $session.print(format_args!("\n"))? };
    ($session:expr, $($text:tt)*) => { $session.print(format_args!("{}\n", format_args!($($text)*)))? };
}

/// Prints a record where records are wanted: `record!(session, "name": value, …)`.
macro_rules! record {
    ($session:expr, $($name:literal: $value:expr),+ $(,)?) => {
        if $session.is_json() {
            $session.record(&[$(($name, serde_json::json!($value))),+])?;
        }
    };
}

pub(crate) use {line, print, record};
