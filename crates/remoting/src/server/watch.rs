//! Reads certificates again when their files have changed. Java: `srvutil/FileWatchService.java`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::tls::ServerTls;

/// How often the files are looked at. Java: `WATCH_INTERVAL`.
const INTERVAL: Duration = Duration::from_millis(500);

/// A thread that looks at the files of a server's certificates until it is dropped.
pub(super) struct Watch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// `None` when there are no files.
    pub(super) fn start(tls: &Arc<ServerTls>) -> Option<io::Result<Watch>> {
        let files = tls.files();
        if files.is_empty() {
            return None;
        }
        let (stop, stopped) = sync_channel(0);
        let tls = tls.clone();
        // What was read a moment ago; a change in between is seen at the first look.
        let mut seen = contents(&files);
        let watch = move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let now = contents(&files);
                if now == seen {
                    continue;
                }
                seen = now;
                match tls.reload() {
                    Ok(()) => tracing::info!("new TLS certificates are used from now on"),
                    // Key and certificate are two files: one of them may be the old one still.
                    Err(error) => tracing::warn!(%error, "TLS certificates have changed and cannot be used yet"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("tls-watch".to_owned()).spawn(watch);
        Some(thread.map(|thread| Watch { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that looks for new TLS certificates panicked");
        }
    }
}

/// What stands in the files; a file that cannot be read is worth nothing.
fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}
