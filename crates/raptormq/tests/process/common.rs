//! Runs the binary as its users do: with a home of its own, and nothing left behind.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than any start or stop takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with `home` as the user's home and a clean environment.
pub(crate) fn raptormq(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raptormq"));
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(home);
    command
}

/// What a run that ends by itself printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: Option<i32>,
}

/// Runs the binary to its end; panics when it does not end.
pub(crate) fn run(home: &Path, words: &[&str]) -> Ended {
    ended(
        raptormq(home).args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
    )
}

/// Waits for a process to end.
pub(crate) fn ended(mut child: Child) -> Ended {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it still ran after {PATIENCE:?}: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ended {
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        status: status.code(),
    }
}
