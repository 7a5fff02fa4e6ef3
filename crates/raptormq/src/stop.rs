//! Waits for the word to stop: SIGTERM or Ctrl-C. A second one ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Catches SIGTERM and SIGINT from its making on, so that neither kills a start half done.
pub(crate) struct Stop {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

/// Exit status of a process that was told twice to stop.
const EXIT_HURRIED: i32 = 130;

impl Stop {
    /// Begins to catch the signals.
    pub(crate) fn catch() -> std::io::Result<Stop> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(guard);
        Ok(Stop { runtime, terminate, interrupt })
    }

    /// Blocks until the first signal, and names it. From then on a second one ends the process.
    pub(crate) fn wait(mut self) -> &'static str {
        let Stop { runtime, terminate, interrupt } = &mut self;
        let name = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "Ctrl-C",
            }
        });
        std::thread::spawn(move || {
            let Stop { runtime, terminate, interrupt } = &mut self;
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            std::process::exit(EXIT_HURRIED);
        });
        name
    }
}

/// Runs an orderly end to its end.
pub(crate) fn finish(end: impl Future<Output = ()>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(end),
        // Out of files: what runs is dropped instead, which ends it without order.
        Err(reason) => tracing::error!(%reason, "cannot end in order"),
    }
}
