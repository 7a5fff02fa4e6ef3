//! A disk of 256 MB that fills up: senders are told, everything else goes on, and so do they when there is room again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{
    GetMinOffsetRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use raptormq_remoting::{Request, Response};
use raptormq_testkit::peer::send_header;
use raptormq_testkit::{PATIENCE, Peer};

use crate::common::{Serving, free_port};
use crate::{BROKER, start_on};

const TOPIC: &str = "Full";
const QUEUES: i32 = 2;
const DISK_BYTES: u64 = 256 << 20;
const BODY_BYTES: usize = 60_000;
const SENDERS: usize = 4;
/// How long a refusal may take.
const REFUSAL_MAX: Duration = Duration::from_millis(100);

/// A file system of its own, unmounted when it is dropped.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Makes one in `home`; the reason why that is not possible here.
    fn mount(home: &Path) -> Result<Disk, String> {
        let (image, folder) = (home.join("disk.img"), home.join("disk"));
        std::fs::File::create(&image).and_then(|file| file.set_len(DISK_BYTES)).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&folder))?;
        Ok(Disk { folder })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A broker that is still there when a test fails keeps it busy.
        let _ = run(Command::new("umount").arg("-l").arg(&self.folder));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// What was acknowledged: body by queue and offset.
type Acknowledged = BTreeMap<(i32, i64), String>;

fn send(body: String, queue_id: i32) -> Request {
    let header = SendMessageRequestHeaderV2 { queue_id, ..send_header("producers", TOPIC) };
    Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body)
}

/// Sends until it is refused, and returns the refusal.
async fn send_until_refused(peer: &Peer, name: &str) -> (Acknowledged, Response) {
    let mut acknowledged = Acknowledged::new();
    for number in 0.. {
        let body = format!("{name}-{number}-{}", "x".repeat(BODY_BYTES));
        let response = peer.call(send(body.clone(), number % QUEUES)).await;
        if !response.is_success() {
            return (acknowledged, response);
        }
        let header: SendMessageResponseHeader<'_> = response.header().unwrap();
        acknowledged.insert((header.queue_id, header.queue_offset), body);
    }
    unreachable!("a disk has an end")
}

async fn fill(address: &str, name: &str) -> Acknowledged {
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (peer, name) = (Peer::new(address), format!("{name}-{sender}"));
        senders.spawn(async move { send_until_refused(&peer, &name).await });
    }
    let mut acknowledged = Acknowledged::new();
    while let Some(sent) = senders.join_next().await {
        let (places, refusal) = sent.unwrap();
        check_refusal(&refusal);
        acknowledged.extend(places);
    }
    acknowledged
}

fn check_refusal(response: &Response) {
    let remark = response.remark.as_deref().unwrap_or_default();
    assert_eq!(response.code, ResponseCode::SERVICE_NOT_AVAILABLE, "{remark}");
    assert!(
        remark.starts_with("service not available now. It may be caused by one of the following reasons: the "),
        "{remark}"
    );
    assert!(remark.contains("broker's disk is full [CL:  "), "{remark}");
}

/// How long refusals take, half of them.
async fn refusal_time(peer: &Peer) -> Duration {
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let response = peer.call(send("x".into(), 0)).await;
        times.push(begun.elapsed());
        check_refusal(&response);
    }
    times.sort();
    times[times.len() / 2]
}

async fn min_offset(peer: &Peer, queue_id: i32) -> i64 {
    let header = GetMinOffsetRequestHeader { topic: TOPIC, queue_id };
    peer.offset(Request::new(RequestCode::GET_MIN_OFFSET).header(&header)).await.unwrap()
}

/// Consumes everything from the queues' minima on, and checks that each message lies where the next one is to be.
async fn consume(peer: &Peer) -> Acknowledged {
    let mut found = Acknowledged::new();
    for queue_id in 0..QUEUES {
        let end = peer.max_offset(TOPIC, queue_id).await;
        let mut next = min_offset(peer, queue_id).await;
        while next < end {
            let pulled = peer.pull(TOPIC, queue_id, next).await;
            if pulled.code == ResponseCode::PULL_OFFSET_MOVED {
                // It was deleted meanwhile.
                let min = min_offset(peer, queue_id).await;
                assert!(min > next, "queue {queue_id} from {next}, which begins at {min}");
                next = min;
                continue;
            }
            assert_eq!(pulled.code, ResponseCode::SUCCESS, "queue {queue_id} from {next}, which has {end}");
            for (message, text) in pulled.messages.iter().zip(pulled.texts()) {
                let begun = Instant::now();
                // What is passed over was deleted a moment ago, which the queue says a moment later.
                while message.queue_offset > next && min_offset(peer, queue_id).await < message.queue_offset {
                    assert!(begun.elapsed() < PATIENCE, "queue {queue_id}: {next} is passed over");
                }
                found.insert((queue_id, message.queue_offset), text);
                next = message.queue_offset + 1;
            }
        }
    }
    found
}

/// Makes all files of the log but the last two old enough to be deleted.
fn age(log: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let long_ago = SystemTime::now() - Duration::from_secs(73 * 3600);
    for path in &files[..files.len() - 2] {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
}

/// Waits until messages are taken again; the place of the first.
async fn resumed(peer: &Peer) -> (i32, i64) {
    let begun = Instant::now();
    loop {
        let response = peer.call(send("again".into(), 0)).await;
        if response.is_success() {
            let header: SendMessageResponseHeader<'_> = response.header().unwrap();
            return (header.queue_id, header.queue_offset);
        }
        check_refusal(&response);
        assert!(begun.elapsed() < PATIENCE, "messages are still refused: {:?}", response.remark);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fills the disk with log files of that size, and has it emptied again.
async fn a_disk_fills_up(segment_bytes: u64) {
    let home = tempfile::tempdir().unwrap();
    let disk = match Disk::mount(home.path()) {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("skipped: no file system can be mounted here: {reason}"),
    };
    let more = format!(
        "{}storePathRootDir={}/store\nmappedFileSizeCommitLog={segment_bytes}\nmaxHashSlotNum=1000\nmaxIndexNum=20000\n\
         cleanFileForciblyEnable=false\ncleanResourceInterval=200\ndeleteCommitLogFilesInterval=1\ndeleteWhen=\n",
        BROKER.replace("mappedFileSizeCommitLog=8388608\n", ""),
        disk.folder.display(),
    );
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let start = || -> (Serving, Arc<Peer>) {
        let broker = start_on(home.path(), "broker", port, &more);
        (broker, Arc::new(Peer::new(address.clone())))
    };
    let (broker, peer) = start();
    peer.create_topic(TOPIC, QUEUES).await;
    let mut acknowledged = fill(&address, "first").await;
    assert!(acknowledged.len() as u64 > DISK_BYTES / BODY_BYTES as u64 / 2, "{}", acknowledged.len());
    let time = refusal_time(&peer).await;
    assert!(time <= REFUSAL_MAX, "a refusal takes {time:?}");

    // Everything else goes on.
    let all_there = |found: &Acknowledged, acknowledged: &Acknowledged| {
        let lost = acknowledged.iter().filter(|(place, body)| found.get(place) != Some(body)).count();
        assert_eq!(lost, 0, "of {}", acknowledged.len());
    };
    all_there(&consume(&peer).await, &acknowledged);
    let offset = acknowledged.len() as i64 / 4;
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: TOPIC,
        queue_id: Some(0),
        commit_offset: Some(offset),
    };
    peer.join("c", "g", TOPIC, "*").await;
    peer.ok(Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&header)).await;
    peer.create_topic("Another", 1).await;
    assert_eq!(broker.stop("TERM").status, Some(0));
    drop(peer);

    // So it does after a restart, when what was set aside for the next log file is used up.
    let (broker, peer) = start();
    acknowledged.extend(fill(&address, "restarted").await);
    all_there(&consume(&peer).await, &acknowledged);
    assert_eq!(peer.consumer_offset("g", TOPIC, 0).await, Some(offset));

    // Old files are deleted, and that is enough.
    age(&disk.folder.join("store/commitlog"));
    let place = resumed(&peer).await;
    let mins = [min_offset(&peer, 0).await, min_offset(&peer, 1).await];
    assert!(mins.iter().all(|min| *min > 0), "{mins:?}");
    let found = consume(&peer).await;
    acknowledged.retain(|place, _| found.contains_key(place));
    assert!(!acknowledged.is_empty());
    all_there(&found, &acknowledged);
    assert_eq!(found.get(&place).map(String::as_str), Some("again"));
    // And it can fill up again, and come back after a kill.
    acknowledged = fill(&address, "second").await;
    assert!(!acknowledged.is_empty());
    broker.stop("KILL");
    let (broker, peer) = start();
    all_there(&consume(&peer).await, &acknowledged);
    assert_eq!(broker.stop("TERM").status, Some(0));
}

#[tokio::test]
async fn without_room_for_the_next_file_it_is_the_same() {
    a_disk_fills_up(60 << 20).await;
}

#[tokio::test]
async fn above_the_threshold_messages_are_refused_and_everything_else_goes_on() {
    a_disk_fills_up(8 << 20).await;
}
