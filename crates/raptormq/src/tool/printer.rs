//! Prints lines to stdout from a thread of its own, so that a slow terminal holds up nobody who measures.

use std::io::{BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait; whoever prints more waits.
const LINES_WAITING_MAX: usize = 4096;

/// See the module's documentation. Dropping it waits until all is printed.
pub(super) struct Printer {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Printer {
    /// Starts to print.
    pub(super) fn start() -> std::io::Result<Printer> {
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let thread = std::thread::Builder::new().name("printer".into()).spawn(move || print(&waiting))?;
        Ok(Printer { lines: Some(lines), thread: Some(thread) })
    }

    /// Prints a line. Nothing happens when nobody reads stdout any more.
    pub(super) fn line(&self, line: String) {
        if let Some(lines) = &self.lines {
            // The thread ends early when stdout is closed: then there is nobody to print for.
            let _ = lines.send(line);
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by itself.
            let _ = thread.join();
        }
    }
}

/// Prints until the last sender is gone or stdout is closed. Flushes when nothing waits.
fn print(waiting: &Receiver<String>) {
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    while let Ok(line) = waiting.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            if stdout.write_all(line.as_bytes()).and_then(|()| stdout.write_all(b"\n")).is_err() {
                return;
            }
            next = waiting.try_recv().ok();
        }
        if stdout.flush().is_err() {
            return;
        }
    }
}
