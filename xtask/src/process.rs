//! The release binary as a broker of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long a start or an end may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a broker is started with each time.
pub(crate) struct Setting {
    pub(crate) binary: PathBuf,
    /// For its configuration and its logs.
    pub(crate) home: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) port: u16,
    pub(crate) place: Place,
    pub(crate) flush: Flush,
    /// Further lines of its file.
    pub(crate) more: String,
}

/// Where a process runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its address.
    pub(crate) host: String,
    /// The network namespace that it is alone in, if there is one.
    pub(crate) namespace: Option<String>,
}

impl Place {
    /// On this machine, where everything is.
    pub(crate) fn here() -> Place {
        Place { host: "127.0.0.1".to_owned(), namespace: None }
    }

    /// A command that starts a program there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                // It becomes the program, so that its process id is the program's.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        }
    }
}

/// `flushDiskType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    Sync,
    Async,
}

impl Flush {
    pub(crate) const ALL: [Flush; 2] = [Flush::Sync, Flush::Async];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Flush::Sync => "SYNC_FLUSH",
            Flush::Async => "ASYNC_FLUSH",
        }
    }
}

/// The system call that kills the broker when it is about to make it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failpoint {
    pub(crate) call: &'static str,
    /// Counted for each of its threads.
    pub(crate) number: usize,
}

/// A broker that runs, or did.
pub(crate) struct Broker {
    child: Child,
    store: PathBuf,
}

/// The release binary: `RAPTORMQ_BIN`, or what `cargo build --release` made.
pub(crate) fn binary(root: &Path) -> anyhow::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = std::env::var_os("RAPTORMQ_BIN").map_or_else(|| target.join("release/raptormq"), PathBuf::from);
    ensure!(binary.exists(), "{} is not there: cargo build --release first, or set RAPTORMQ_BIN", binary.display());
    Ok(binary)
}

/// Whether a tool can be run.
pub(crate) fn has_tool(name: &str, probe: &str) -> bool {
    Command::new(name).arg(probe).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
}

/// Sends a signal by name.
pub(crate) fn signal(id: u32, name: &str) -> anyhow::Result<()> {
    // The process may have ended by itself just now.
    let _ = Command::new("kill").args(["-s", name, &id.to_string()]).stderr(Stdio::null()).status()?;
    Ok(())
}

impl Setting {
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.place.host, self.port)
    }

    /// Starts the broker and waits until it is up; `None` when it died at the failpoint before.
    pub(crate) fn start(&self, failpoint: Option<Failpoint>) -> anyhow::Result<Option<Broker>> {
        fs::create_dir_all(&self.home)?;
        // Small files, so that the end comes at their ends, too.
        let config = format!(
            "listenPort={}\nbindAddress={host}\nbrokerIP1={host}\nbrokerName=broker-a\nstorePathRootDir={}\n\
             flushDiskType={}\nmappedFileSizeCommitLog=4194304\nmappedFileSizeConsumeQueue=20000\n\
             maxHashSlotNum=10000\nmaxIndexNum=40000\n{}",
            self.port,
            self.store.display(),
            self.flush.name(),
            self.more,
            host = self.place.host
        );
        let file = self.home.join("broker.conf");
        fs::write(&file, config)?;
        let mut command = match failpoint {
            None => self.place.command(&self.binary),
            Some(Failpoint { call, number }) => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
                strace.arg(format!("inject={call}:signal=SIGKILL:when={number}")).arg(&self.binary);
                strace
            }
        };
        command.env_clear().env("HOME", &self.home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(&self.home).args(["broker", "-c"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().context("the broker cannot be started")?;
        let mut broker = Broker { child, store: self.store.clone() };
        match broker.wait_until_up()? {
            true => Ok(Some(broker)),
            false if failpoint.is_some() => Ok(None),
            false => bail!("the broker does not start; its log is in {}", self.home.display()),
        }
    }
}

impl Broker {
    /// Returns whether it came up, rather than ended.
    fn wait_until_up(&mut self) -> anyhow::Result<bool> {
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(self.child.stdout.take().context("the broker's output is a pipe")?);
        // Reads on to the end, so that the broker never waits for a reader; whoever waits for lines may be gone.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains("boot success") => return Ok(true),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.wait().map(|_| false),
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("the broker is not up after {PATIENCE:?}"),
            }
        }
    }

    /// Its process id, also when it runs under another program: it stands in the file `abort`.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        let text = fs::read_to_string(self.store.join("abort")).context("a running broker has a file abort")?;
        text.trim().parse().context("the file abort holds the process id")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Sends it a signal by name and waits for its end.
    pub(crate) fn stop(mut self, id: u32, signal: &str) -> anyhow::Result<bool> {
        self::signal(id, signal)?;
        self.wait()
    }

    /// Waits for its end; whether that was in order.
    fn wait(&mut self) -> anyhow::Result<bool> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            ensure!(begun.elapsed() < PATIENCE, "the broker has not ended after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Ok(id) = self.id() {
                let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
