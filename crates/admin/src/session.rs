//! What a command works with: the cluster, and where it prints.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write;

use raptormq_client::Admin;

use crate::failure::{Failure, Result};

/// A command's surroundings.
pub(crate) struct Session<'o> {
    /// The cluster.
    pub(crate) admin: Admin,
    /// What complaints begin with: the command's name.
    program: String,
    out: RefCell<&'o mut dyn Write>,
    errors: RefCell<&'o mut dyn Write>,
    has_failed: Cell<bool>,
}

impl<'o> Session<'o> {
    pub(crate) fn new(admin: Admin, program: &str, out: &'o mut dyn Write, errors: &'o mut dyn Write) -> Session<'o> {
        let (out, errors) = (RefCell::new(out), RefCell::new(errors));
        Session { admin, program: program.to_owned(), out, errors, has_failed: Cell::new(false) }
    }

    /// Prints to standard output, which is buffered: see [`Session::flush`].
    pub(crate) fn print(&self, text: fmt::Arguments<'_>) -> Result<()> {
        self.out.borrow_mut().write_fmt(text).map_err(Failure::Output)
    }

    /// Shows what was printed. For commands that wait between two lines.
    pub(crate) fn flush(&self) -> Result<()> {
        self.out.borrow_mut().flush().map_err(Failure::Output)
    }

    /// Says on standard error what failed. The command goes on, or ends without a further word.
    pub(crate) fn complain(&self, failure: &Failure) {
        self.has_failed.set(true);
        // Nobody to tell when even that cannot be printed.
        let _ = writeln!(self.errors.borrow_mut(), "{}: {}", self.program, failure.line());
    }

    /// Says on standard error what is to be known and is no failure.
    pub(crate) fn report(&self, text: &str) {
        // Nobody to tell when even that cannot be printed.
        let _ = writeln!(self.errors.borrow_mut(), "{} {text}", crate::stats::stamp());
    }

    /// Whether something was complained about.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.get()
    }
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

pub(crate) use {line, print};
