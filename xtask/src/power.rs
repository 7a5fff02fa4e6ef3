//! `power`: the power goes under load. The store lies on an ext4 of its own in a loop device, which is shut down: what was
//! not on disk is gone, and nothing can be written any more.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use raptormq_testkit::{Peer, free_broker_port};

use crate::load::{Found, QUEUES, Senders};
use crate::process::{Flush, Place, Setting, binary, has_tool};
use crate::random::Random;

/// Bytes of the file system.
const FILE_SYSTEM_BYTES: u64 = 512 << 20;
/// `EXT4_IOC_SHUTDOWN` without a last write of the journal, and then the end of the process that is named.
///
/// It says when it is ready and waits for the end of its input, so that the moment is known.
const SHUT_DOWN: &str = "import fcntl, os, sys
root = os.open(sys.argv[1], os.O_RDONLY)
print(flush=True)
sys.stdin.read()
fcntl.ioctl(root, 0x8004587D, (2).to_bytes(4, 'little'))
if len(sys.argv) > 2: os.kill(int(sys.argv[2]), 9)";
/// How long a process goes on that has lost its disk.
const AFTERLIFE: Duration = Duration::from_secs(1);
/// `flushIntervalCommitLog`, and what the flush itself and the answers on their way may take on a busy machine.
const ASYNC_LOSS_MAX: Duration = Duration::from_millis(500 + 1_000);
/// What the next start says.
const REPORT: &str = "the store was not stopped cleanly";

/// Takes the power so often from a broker of each flush mode, which dies at once or goes on for a while.
pub(crate) fn run(root: &Path, cycles: u32, seed: u64) -> anyhow::Result<()> {
    let binary = binary(root)?;
    let folder = tempfile::tempdir()?;
    let file_system = match FileSystem::make(folder.path()) {
        Ok(file_system) => file_system,
        Err(reason) => {
            println!("power: skipped, because no file system can be made in a loop device here: {reason:#}");
            return Ok(());
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut random = Random::new(seed);
    for flush in Flush::ALL {
        for goes_on in [false, true] {
            let name = format!("{}{}", flush.name(), if goes_on { "-goes-on" } else { "" });
            let setting = Setting {
                place: Place::here(),
                binary: binary.clone(),
                home: folder.path().join(format!("home-{name}")),
                store: file_system.mount_point.join(&name),
                port: free_broker_port(),
                flush,
                more: String::new(),
            };
            let mut total = Counts::default();
            for cycle in 0..cycles {
                let life = Duration::from_millis(50 + random.below(900) as u64);
                let cut = Cut { cycle, life, goes_on };
                let counts = runtime.block_on(cut.run(&setting, &file_system));
                total.add(&counts.with_context(|| format!("{name}, seed {seed}, {cut:?}"))?);
            }
            let after = if goes_on { "going on without a disk" } else { "dying with the disk" };
            println!(
                "power: {}, {after}: {cycles} cycles, {} acknowledged, {} lost{}",
                flush.name(),
                total.acknowledged,
                total.lost,
                if total.lost > 0 { format!(", none older than {:.0?}", total.oldest_lost) } else { String::new() }
            );
        }
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    acknowledged: usize,
    lost: usize,
    /// How long before the power went the oldest message was acknowledged that is lost.
    oldest_lost: Duration,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.oldest_lost = self.oldest_lost.max(other.oldest_lost);
    }
}

/// One loss of power.
#[derive(Debug)]
struct Cut {
    cycle: u32,
    /// From the making of the topic to the loss.
    life: Duration,
    goes_on: bool,
}

impl Cut {
    async fn run(&self, setting: &Setting, file_system: &FileSystem) -> anyhow::Result<Counts> {
        let topic = format!("MadeMomentsBefore{}", self.cycle);
        let broker = setting.start(None)?.context("a broker without failpoint starts")?;
        let id = broker.id()?;
        Peer::new(setting.address()).create_topic(&topic, QUEUES).await;
        let senders = Senders::start(&setting.address(), &topic, self.cycle);
        tokio::time::sleep(self.life).await;
        let gone_at = file_system.shut_down(if self.goes_on { None } else { Some(id) }).await?;
        if self.goes_on {
            tokio::time::sleep(AFTERLIFE).await;
        }
        broker.stop(id, "KILL")?;
        let acknowledged = senders.finish().await?;
        file_system.mount_again()?;
        let broker = setting.start(None)?.context("a broker without failpoint starts")?;
        ensure!(says(&setting.home.join("logs"), REPORT)?, "the next start does not report the crash");
        let mut found = Found::default();
        found.read_on(&Peer::new(setting.address()), &topic).await.context("the topic")?;
        let missing = found.missing(&acknowledged);
        let id = broker.id()?;
        ensure!(broker.stop(id, "TERM")?, "the broker does not stop in order");
        let before = |message: &Instant| gone_at.saturating_duration_since(*message);
        let oldest_lost = missing.iter().map(|message| before(&message.at)).max().unwrap_or_default();
        let is_fine = match setting.flush {
            Flush::Sync => missing.is_empty(),
            Flush::Async => oldest_lost <= ASYNC_LOSS_MAX,
        };
        let counts = Counts { acknowledged: acknowledged.len(), lost: missing.len(), oldest_lost };
        ensure!(is_fine, "{} of {} are lost, the oldest {oldest_lost:.0?} old", counts.lost, counts.acknowledged);
        Ok(counts)
    }
}

/// Whether a file in a folder has these words.
fn says(folder: &Path, words: &str) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let found = if path.is_dir() {
            says(&path, words)?
        } else {
            String::from_utf8_lossy(&std::fs::read(&path)?).contains(words)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An ext4 in a loop device; unmounted when it is dropped.
struct FileSystem {
    image: PathBuf,
    mount_point: PathBuf,
}

impl FileSystem {
    fn make(folder: &Path) -> anyhow::Result<FileSystem> {
        ensure!(has_tool("python3", "--version"), "python3, which calls the ioctl, is not here");
        let file_system = FileSystem { image: folder.join("image"), mount_point: folder.join("mount") };
        std::fs::create_dir(&file_system.mount_point)?;
        std::fs::File::create(&file_system.image)?.set_len(FILE_SYSTEM_BYTES)?;
        tool(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file_system.image))?;
        file_system.mount()?;
        Ok(file_system)
    }

    fn mount(&self) -> anyhow::Result<()> {
        tool(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount_point))
    }

    /// Takes the power away, and from the process its life; when that was.
    async fn shut_down(&self, id: Option<u32>) -> anyhow::Result<Instant> {
        let mut command = Command::new("python3");
        command.args(["-c", SHUT_DOWN]).arg(&self.mount_point).args(id.map(|id| id.to_string()));
        // The senders go on meanwhile.
        let (sender, gone_at) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || drop(sender.send(when_ready(&mut command))));
        gone_at.await?
    }

    fn mount_again(&self) -> anyhow::Result<()> {
        tool(Command::new("umount").arg(&self.mount_point))?;
        self.mount()
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mount_point).stderr(Stdio::null()).status();
    }
}

/// Runs [`SHUT_DOWN`]; when it was told to go on.
fn when_ready(command: &mut Command) -> anyhow::Result<Instant> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdout.take().context("its output is a pipe")?.read_exact(&mut [0])?;
    let gone_at = Instant::now();
    drop(child.stdin.take());
    ensure!(child.wait()?.success(), "{command:?} failed");
    Ok(gone_at)
}

fn tool(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
