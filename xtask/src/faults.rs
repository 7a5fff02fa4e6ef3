//! `cargo xtask faults`: the disk fails at every call, and nothing that was acknowledged is missing afterwards.
//!
//! First in the store's test, on a disk in memory, each call of it in turn (`crates/store/tests/faults.rs`). Then with the
//! release binary on the real disk, where strace makes system calls fail under load: what was acknowledged must be read
//! from the broker that goes on, and from one that is started after it was killed. Last a sync hangs for six seconds.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use raptormq_protocol::message::MessageExt;
use serde_json::{Value, json};

/// Which system calls fail: as strace's `inject` says it, and whether that must end all accepting.
const INJECTIONS: [(&str, bool); 9] = [
    ("fdatasync:error=EIO:when=3+", true),
    ("fdatasync:error=EIO:when=3", true),
    ("fdatasync:error=ENOSPC:when=4", true),
    ("pwrite64:error=EIO:when=40", false),
    ("pwrite64:error=ENOSPC:when=40..60", false),
    ("fallocate:error=ENOSPC:when=2..5", false),
    ("ftruncate:error=EIO:when=4..6", false),
    ("rename:error=EIO:when=1", false),
    ("openat:error=EIO:when=60..64", false),
];
/// A sync that hangs, in an I/O thread as in any other that has synced so often: strace counts for each thread.
const HANG: &str = "fdatasync:delay_enter=6000000:when=40";
/// How long senders wait for a sync, in milliseconds.
const SYNC_TIMEOUT_MS: u64 = 1_000;
/// Without an answer for so long, the thread that should give it hangs.
const HANGS_AFTER: Duration = Duration::from_millis(700);
/// How long messages are sent to a broker whose disk fails.
const LOAD: Duration = Duration::from_secs(3);
/// How long a broker may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);
const SUCCESS: i64 = 0;
const FLUSH_DISK_TIMEOUT: i64 = 10;
const SERVICE_NOT_AVAILABLE: i64 = 14;
const QUEUES: i32 = 4;

/// Runs all of it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = ["test", "--release", "-p", "raptormq-store", "--test", "faults", "--", "--nocapture"];
    let tested = Command::new(&cargo).args(test).env("RAPTORMQ_FAULTS", "all").current_dir(root).status()?;
    ensure!(tested.success(), "the store's test found something missing");
    if !Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: faults of system calls, because strace is not installed (apt-get install strace)");
        return Ok(());
    }
    let built = Command::new(&cargo).args(["build", "--release", "-p", "raptormq"]).current_dir(root).status()?;
    ensure!(built.success(), "the binary does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("faults");
    for flush in ["SYNC_FLUSH", "ASYNC_FLUSH"] {
        for (inject, is_final) in INJECTIONS {
            let case = Case { binary: target.join("release/raptormq"), folder: folder.clone(), flush, inject };
            let said = case.run(is_final).with_context(|| format!("{flush}, {inject}, folder {}", folder.display()))?;
            println!("{flush} {inject}: {said}");
        }
    }
    let case =
        Case { binary: target.join("release/raptormq"), folder: folder.clone(), flush: "SYNC_FLUSH", inject: HANG };
    let said = case.hang().with_context(|| format!("{HANG}, folder {}", folder.display()))?;
    println!("SYNC_FLUSH {HANG}: {said}");
    Ok(())
}

struct Case {
    binary: PathBuf,
    folder: PathBuf,
    flush: &'static str,
    inject: &'static str,
}

/// A broker process, killed when dropped.
struct Broker {
    child: Child,
    port: u16,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Case {
    fn run(&self, is_final: bool) -> anyhow::Result<String> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::create_dir_all(&self.folder)?;
        let broker = self.start(true)?;
        let load = send_load(broker.port)?;
        let struck = std::fs::read_to_string(self.folder.join("strace"))?.matches("INJECTED").count();
        ensure!(!is_final || struck == 0 || load.accepted_after_refusal == 0, "accepted again after a failed sync");
        ensure!(!is_final || struck == 0 || load.refused > 0, "a sync failed, and nothing was refused");
        load.check(broker.port).context("read from the broker whose disk failed")?;
        drop(broker);
        let broker = self.start(false)?;
        load.check(broker.port).context("read after it was killed and started again")?;
        Ok(format!("{struck} calls failed, {} acknowledged and there, {} refused", load.accepted.len(), load.refused))
    }

    /// The disk hangs in the sync of the only I/O thread: who comes then is served, and nothing acknowledged is missing.
    fn hang(&self) -> anyhow::Result<String> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::create_dir_all(&self.folder)?;
        let broker = self.start(true)?;
        let answers = AtomicUsize::new(0);
        let (load, said) = std::thread::scope(|scope| {
            let load = scope.spawn(|| send_load_counted(broker.port, &answers));
            let said = self.look_at_hanging(broker.port, &answers);
            (load.join(), said)
        });
        let load = load.map_err(|_| anyhow::anyhow!("the load panicked"))??;
        let said = said?;
        ensure!(load.timed_out > 0, "who waited for the hanging sync was told that all is well");
        load.check(broker.port).context("read from the broker whose disk hung")?;
        drop(broker);
        let broker = self.start(false)?;
        load.check(broker.port).context("read after a kill and a start")?;
        Ok(format!("{} accepted, {} timed out; {said}", load.accepted.len(), load.timed_out))
    }

    /// Waits until the load gets no answers any more, and asks on connections of its own.
    fn look_at_hanging(&self, port: u16, answers: &AtomicUsize) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let before = answers.load(Ordering::Relaxed);
            std::thread::sleep(HANGS_AFTER);
            if before > 0 && answers.load(Ordering::Relaxed) == before {
                break;
            }
            ensure!(Instant::now() < end, "nothing hung");
        }
        let begun = Instant::now();
        let mut peer = Peer::connect(port)?;
        peer.call(28, &json!({}), &[])?;
        let asked = begun.elapsed();
        let begun = Instant::now();
        let (code, ..) = peer.call(310, &send_fields(0, 0), b"later")?;
        let sent = begun.elapsed();
        ensure!(code == FLUSH_DISK_TIMEOUT, "a send while the disk hung was answered {code}");
        let limit = Duration::from_millis(SYNC_TIMEOUT_MS) + HANGS_AFTER;
        ensure!(asked < HANGS_AFTER && sent < limit, "answered after {asked:?} and {sent:?}");
        let (_, _, body) = peer.call(28, &json!({}), &[])?;
        let told = String::from_utf8_lossy(&body).contains("storeSyncing");
        ensure!(told, "brokerStatus does not say that the disk hangs");
        Ok(format!("a newcomer was answered after {asked:.0?}, and told of the timeout after {sent:.0?}"))
    }

    fn start(&self, faulty: bool) -> anyhow::Result<Broker> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let conf = self.folder.join("broker.conf");
        let store = self.folder.join("store");
        let lines = format!(
            "brokerName=faults\nlistenPort={port}\nbrokerIP1=127.0.0.1\nstorePathRootDir={0}\n\
             storePathCommitLog={0}/commitlog\nflushDiskType={1}\nmappedFileSizeCommitLog=1048576\n\
             mappedFileSizeConsumeQueue=20000\nmaxHashSlotNum=1000\nmaxIndexNum=4000\n\
             syncFlushTimeout={SYNC_TIMEOUT_MS}\nioThreads=1\n",
            store.display(),
            self.flush
        );
        std::fs::write(&conf, lines)?;
        let mut command = if faulty {
            let mut command = Command::new("strace");
            let call = self.inject.split(':').next().unwrap_or_default();
            // With -D the process that is started is the broker itself.
            command.args(["-D", "-f", "-qq", "-e", &format!("trace={call}"), "-e", &format!("inject={}", self.inject)]);
            command.arg("-o").arg(self.folder.join("strace")).arg(&self.binary);
            command
        } else {
            Command::new(&self.binary)
        };
        let log = std::fs::File::create(self.folder.join(if faulty { "faulty.log" } else { "again.log" }))?;
        command.args(["broker", "-c"]).arg(&conf).env("HOME", &self.folder);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut broker = Broker { child, port };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = broker.child.try_wait()? {
                // A start that meets the error may say so and end: nothing was acknowledged, and the next one must do.
                ensure!(faulty && !status.success(), "the broker ended: {status}");
                return self.start(false);
            }
            ensure!(Instant::now() < end, "the broker does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(broker)
    }
}

/// What a broker said of messages that were sent to it.
#[derive(Default)]
struct Load {
    /// Queue and offset of each that was accepted, with its number.
    accepted: BTreeMap<(i32, i64), u32>,
    refused: usize,
    /// Those of them that were stored, but not in time.
    timed_out: usize,
    /// Those that were accepted after one was refused because the store is not available.
    accepted_after_refusal: usize,
}

fn send_load(port: u16) -> anyhow::Result<Load> {
    send_load_counted(port, &AtomicUsize::new(0))
}

/// What a send says of its message.
fn send_fields(queue_id: i32, number: u32) -> Value {
    json!({"a": "faults", "b": "Faults", "c": "TBW102", "d": QUEUES.to_string(), "e": queue_id.to_string(), "f": "0",
        "g": "0", "h": "0", "i": format!("KEYS\u{1}k{number}\u{2}"), "j": "0", "k": "false", "m": "false"})
}

/// Sends, and counts the answers there as they come.
fn send_load_counted(port: u16, answers: &AtomicUsize) -> anyhow::Result<Load> {
    let mut peer = Peer::connect(port)?;
    let mut load = Load::default();
    let mut was_unavailable = false;
    let end = Instant::now() + LOAD;
    let mut number = 0_u32;
    while Instant::now() < end {
        number += 1;
        let queue_id = (number % QUEUES as u32) as i32;
        let body = [&number.to_be_bytes()[..], &[b'x'; 500]].concat();
        let (code, fields, _) = peer.call(310, &send_fields(queue_id, number), &body)?;
        answers.fetch_add(1, Ordering::Relaxed);
        if code == SUCCESS {
            let offset = fields["queueOffset"].as_str().and_then(|text| text.parse().ok()).context("no queueOffset")?;
            let before = load.accepted.insert((queue_id, offset), number);
            ensure!(before.is_none(), "two messages at offset {offset} of queue {queue_id}");
            load.accepted_after_refusal += usize::from(was_unavailable);
        } else {
            load.refused += 1;
            load.timed_out += usize::from(code == FLUSH_DISK_TIMEOUT);
            was_unavailable |= code == SERVICE_NOT_AVAILABLE;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(load)
}

impl Load {
    /// Reads all queues, and finds every message that was accepted where it was said to be.
    fn check(&self, port: u16) -> anyhow::Result<()> {
        let mut peer = Peer::connect(port)?;
        let mut found = BTreeMap::new();
        for queue_id in 0..QUEUES {
            let mut from = 0;
            loop {
                let fields = json!({"consumerGroup": "faults", "topic": "Faults", "queueId": queue_id.to_string(),
                    "queueOffset": i64::to_string(&from), "maxMsgNums": "32", "sysFlag": "4", "commitOffset": "0",
                    "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG"});
                let (code, _, body) = peer.call(11, &fields, &[])?;
                if code != SUCCESS {
                    break;
                }
                for message in MessageExt::decode_all(&body, 1 << 20)? {
                    let number = message.body.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                    found.insert((queue_id, message.queue_offset), number);
                    from = message.queue_offset + 1;
                }
            }
        }
        let missing: Vec<_> = self.accepted.iter().filter(|(place, number)| found.get(place) != Some(number)).collect();
        if let Some(first) = missing.first() {
            bail!("{} of {} acknowledged messages are missing, first {first:?}", missing.len(), self.accepted.len());
        }
        Ok(())
    }
}

/// A connection that asks one thing after another.
struct Peer(TcpStream);

impl Peer {
    fn connect(port: u16) -> anyhow::Result<Peer> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Peer(stream))
    }

    /// Asks, and returns the code, the fields and the body of the answer.
    fn call(&mut self, code: i32, fields: &Value, body: &[u8]) -> anyhow::Result<(i64, Value, Vec<u8>)> {
        let header = json!({"code": code, "language": "JAVA", "version": 453, "opaque": 1, "flag": 0,
            "serializeTypeCurrentRPC": "JSON", "extFields": fields});
        let header = serde_json::to_vec(&header)?;
        let total = u32::try_from(4 + header.len() + body.len())?;
        let words = [total.to_be_bytes(), u32::try_from(header.len())?.to_be_bytes()].concat();
        self.0.write_all(&[&words, &header, body].concat())?;
        let mut words = [0; 8];
        self.0.read_exact(&mut words).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => anyhow::anyhow!("no answer to request {code} within {PATIENCE:?}"),
            _ => error.into(),
        })?;
        let [total, header_len] =
            [0, 4].map(|at| u32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]));
        let mut rest = vec![0; (total as usize).saturating_sub(4)];
        self.0.read_exact(&mut rest)?;
        // The top byte says how the header is written: 0 is JSON, as ours.
        let answer = rest.split_off((header_len & 0x00FF_FFFF) as usize);
        let header: Value = serde_json::from_slice(&rest)?;
        let code = header["code"].as_i64().context("an answer without a code")?;
        Ok((code, header["extFields"].clone(), answer))
    }
}
