//! Runs the binary as its users do: with a home of its own, and nothing left behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than any start or stop takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with `home` as the user's home and a clean environment.
pub(crate) fn raptormq(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raptormq"));
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(home);
    command
}

/// A script of `distribution/bin`, with the same surroundings.
pub(crate) fn script(home: &Path, name: &str) -> Command {
    let mut command = Command::new("sh");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../distribution/bin");
    command.arg(scripts.join(name)).env_clear().env("HOME", home).env("RAPTORMQ_BIN", env!("CARGO_BIN_EXE_raptormq"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(home);
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

/// A role that serves, until it is dropped or stopped.
pub(crate) struct Serving {
    child: Option<Child>,
    lines: mpsc::Receiver<String>,
    /// The line of stdout that said that it is up.
    pub(crate) boot_line: String,
}

impl Serving {
    /// Starts a role and waits for its boot line; panics with what it printed when there is none.
    pub(crate) fn start(mut command: Command) -> Serving {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut seen = Vec::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            if line.contains("boot success") {
                return Serving { child: Some(child), lines, boot_line: line };
            }
            seen.push(line);
        }
        let _ = child.kill();
        let _ = child.wait();
        let mut errors = String::new();
        let _ = child.stderr.take().unwrap().read_to_string(&mut errors);
        panic!("no boot line; stdout {seen:?}, stderr {errors}");
    }

    /// Its process id.
    #[allow(dead_code, reason = "tests/faults, which shares this file, looks at its memory")]
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs until it is stopped").id()
    }

    /// Sends a signal by name (`TERM`, `INT`), waits for the end, and returns what else came, with its status.
    pub(crate) fn stop(mut self, signal: &str) -> Ended {
        let child = self.child.take().expect("it runs until it is stopped");
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut ended = ended(child);
        ended.stdout = self.lines.iter().fold(String::new(), |text, line| text + &line + "\n");
        ended
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A figure of a process in bytes, by its name in `/proc/PID/status`.
pub(crate) fn memory(id: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A standalone on ports of its own, and where its name server is.
pub(crate) fn standalone(home: &Path) -> (Serving, String) {
    let offset = free_port() - 10_911;
    let mut command = raptormq(home);
    command.args(["standalone", "-o", &offset.to_string()]);
    (Serving::start(command), format!("127.0.0.1:{}", 9_876 + offset))
}

/// A port that nobody else is given: a broker also takes the port less 2 and the port plus 1. They lie below the ports
/// that the system deals out to connections, and where they begin differs from process to process.
pub(crate) fn free_port() -> u16 {
    static DEALT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = (std::process::id() * 61 + DEALT.fetch_add(1, Ordering::Relaxed)) % 3000;
        let port = u16::try_from(20_000 + 4 * number).unwrap();
        let is_free = |port| TcpListener::bind(("0.0.0.0", port)).is_ok();
        if [port, port - 2, port + 1].into_iter().all(is_free) {
            return port;
        }
    }
}
