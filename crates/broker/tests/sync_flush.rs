//! What consumers see under SYNC_FLUSH: what is on disk, and nothing that a loss of power could take back.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::sync::Arc;
use std::time::Duration;

use raptormq_config::{BrokerSettings, FlushDiskType};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_remoting::Response;
use raptormq_store::disk::Disk;
use raptormq_store::disk::faulty::FaultyDisk;
use raptormq_store::disk::memory::{Fate, Fault, MemoryDisk};
use support::*;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A broker on a disk whose syncs can be made to hang.
fn hanging() -> (Rig, FaultyDisk, MemoryDisk) {
    hanging_with(|_| ())
}

fn hanging_with(change: impl FnOnce(&mut BrokerSettings)) -> (Rig, FaultyDisk, MemoryDisk) {
    let folder = TempDir::new().unwrap();
    let mut settings = settings(&folder);
    change(&mut settings);
    settings.store.flush_disk_type = FlushDiskType::SyncFlush;
    // No test waits for it.
    settings.store.flush_interval_commit_log = 3_600_000;
    let memory = MemoryDisk::default();
    let disk = FaultyDisk::new(memory.clone(), None);
    (Rig::on(settings, Arc::new(disk.clone())), disk, memory)
}

async fn max_offset(peer: &Peer, topic: &str) -> i64 {
    let header = GetMaxOffsetRequestHeader { topic, queue_id: 0, committed: true };
    offset(&peer.get(RequestCode::GET_MAX_OFFSET, &header).await)
}

fn hasty(topic: &str) -> Message {
    Message::new(topic).property("WAIT", "false")
}

/// Waits until the log has something that is not on disk.
async fn appended(peer: &Peer) {
    while peer.runtime().await["remainHowManyDataToFlush"] == "0 B" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_held_pull_gets_its_message_when_that_is_on_disk_and_not_before() {
    let (rig, disk, memory) = hanging();
    let (consumer, producer, other) = (rig.peer(), rig.peer(), rig.peer());
    assert_eq!(producer.send("T", "old").await.code, ResponseCode::SUCCESS);
    disk.hang(true);
    let held = consumer.pull(Pull::new("T", 1).waiting(60_000));
    let sent = async {
        other.held(1).await;
        producer.send("T", "n3west").await
    };
    let watched = async {
        appended(&other).await;
        // What is appended and not on disk: the queue ends before it, for whoever asks in whatever way.
        assert_eq!(max_offset(&other, "T").await, 1);
        let pulled = other.pull(Pull::new("T", 0)).await;
        assert_eq!(bodies(&pulled), ["old"]);
        assert_eq!(pulled.header::<PullMessageResponseHeader>().unwrap().max_offset, 1);
        assert_refused(&other.pull(Pull::new("T", 1)).await, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE");
        // One that comes now waits as well, and so does one that has its deadline before.
        let ended = other.pull(Pull::new("T", 1).waiting(20)).await;
        assert_refused(&ended, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE");
        let (late, ()) = tokio::join!(other.pull(Pull::new("T", 1).waiting(60_000)), async {
            let watcher = rig.peer();
            watcher.held(2).await;
            let crashed = memory.after_crash(|_, _| Fate::Lost);
            disk.hang(false);
            assert!(!crashed.files().values().any(|file| file.windows(6).any(|bytes| bytes == b"n3west")));
        });
        late
    };
    let (pulled, sent, late) = tokio::join!(held, sent, watched);
    assert_eq!(sent.code, ResponseCode::SUCCESS);
    assert_eq!((bodies(&pulled), bodies(&late)), (vec!["n3west".to_owned()], vec!["n3west".to_owned()]));
    assert_eq!(max_offset(&other, "T").await, 2);
    // All that anybody saw survives.
    let crashed = memory.after_crash(|_, _| Fate::Lost);
    assert!(crashed.files().values().any(|file| file.windows(6).any(|bytes| bytes == b"n3west")));
}

/// Lets the disk hang in the first I/O thread's own sync, in whose turn the send is that is returned.
async fn hang_inline(producer: &Arc<Peer>, disk: &FaultyDisk) -> JoinHandle<Response> {
    loop {
        // A disk in memory is quick, unless the machine is too busy for that.
        for _ in 0..8 {
            producer.send("T", "old").await;
        }
        disk.hang(true);
        let sent = producer.clone();
        let sent = tokio::spawn(async move { sent.send("T", "hung").await });
        let hangs = |name: &str| disk.hanging().iter().any(|thread| thread == name);
        while !hangs("broker-io-0") && !hangs("store-flush") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if hangs("broker-io-0") {
            return sent;
        }
        disk.hang(false);
        sent.await.unwrap();
    }
}

/// A client that came while a thread hung, once one is served: what is dealt to a thread that has just begun to hang waits.
async fn late_comer(rig: &Rig) -> Peer {
    loop {
        let peer = rig.peer();
        if tokio::time::timeout(Duration::from_millis(200), peer.runtime()).await.is_ok() {
            return peer;
        }
    }
}

/// Messages that can be read, and what of them was neither sent before the disk hung nor is "hung".
async fn readable(peer: &Peer) -> (i64, Vec<String>) {
    let end = max_offset(peer, "T").await;
    let mut found = Vec::new();
    while (found.len() as i64) < end {
        found.extend(bodies(&peer.pull(Pull::new("T", found.len() as i64)).await));
    }
    found.retain(|body| body != "old");
    (end, found)
}

#[tokio::test]
async fn a_disk_that_hangs_in_the_only_io_threads_sync_leaves_newcomers_served() {
    let (rig, disk, _) = hanging_with(|settings| {
        settings.server.io_threads = 1;
        settings.store.sync_flush_timeout = 300;
    });
    let producer = Arc::new(rig.peer());
    let sent = hang_inline(&producer, &disk).await;
    let peer = late_comer(&rig).await;
    let (end, others) = readable(&peer).await;
    assert!(end >= 8 && others.iter().all(|body| body == "hung"), "{others:?}");
    assert_eq!(peer.send("T", "later").await.code, ResponseCode::FLUSH_DISK_TIMEOUT);
    assert_refused(&peer.pull(Pull::new("T", end)).await, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE");
    // The broker says what the disk is at.
    let syncing = loop {
        if let Some(text) = peer.runtime().await.remove("storeSyncing") {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(syncing.contains("/commitlog/") && syncing.ends_with(" ms"), "{syncing}");
    assert!(!disk.hanging().contains(&"broker-io-spare".to_owned()), "{:?}", disk.hanging());
    assert!(!sent.is_finished());
    disk.hang(false);
    // It is on disk now, but later than the sender was to wait; as the original answers, though not when.
    assert_eq!(sent.await.unwrap().code, ResponseCode::FLUSH_DISK_TIMEOUT);
    while max_offset(&peer, "T").await < end + 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(readable(&peer).await.1.ends_with(&["hung".to_owned(), "later".to_owned()]));
    assert_eq!(producer.send("T", "old").await.code, ResponseCode::SUCCESS);
    assert!(!peer.runtime().await.contains_key("storeSyncing"));
}

#[tokio::test]
async fn other_io_threads_do_not_wait_for_one_whose_sync_hangs() {
    let (rig, disk, _) = hanging_with(|settings| {
        settings.server.io_threads = 2;
        settings.store.sync_flush_timeout = 300;
    });
    let (producer, other) = (Arc::new(rig.peer()), rig.peer());
    // Connections are dealt in turn.
    assert_eq!(producer.send("T", "old").await.code, ResponseCode::SUCCESS);
    let (end, _) = readable(&other).await;
    assert_eq!(end, 1);
    let sent = hang_inline(&producer, &disk).await;
    let end = max_offset(&other, "T").await;
    // Senders are left to the flushed watermark, and everything else is answered meanwhile, on their connection, too.
    for _ in 0..3 {
        let (late, ()) = tokio::join!(other.send("T", "later"), async {
            for _ in 0..20 {
                assert_eq!(bodies(&other.pull(Pull::new("T", 0)).await)[0], "old");
                let hastily = other.ask(hasty("T").request("hasty")).await;
                assert_eq!(hastily.code, ResponseCode::SUCCESS);
            }
        });
        assert_eq!(late.code, ResponseCode::FLUSH_DISK_TIMEOUT);
    }
    assert_eq!(max_offset(&other, "T").await, end);
    let newcomer = late_comer(&rig).await;
    assert_eq!(max_offset(&newcomer, "T").await, end);
    assert!(!disk.hanging().contains(&"broker-io-1".to_owned()), "{:?}", disk.hanging());
    disk.hang(false);
    assert_eq!(sent.await.unwrap().code, ResponseCode::FLUSH_DISK_TIMEOUT);
    while max_offset(&other, "T").await < end + 64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(other.send("T", "old").await.code, ResponseCode::SUCCESS);
}

/// What was written before a sync that failed may be gone whatever later ones say.
#[tokio::test]
async fn after_a_failed_sync_senders_and_tools_are_told_and_reads_go_on_until_the_next_start() {
    let (mut rig, _, memory) = hanging();
    let peer = rig.peer();
    assert_eq!(peer.send("T", "old").await.code, ResponseCode::SUCCESS);
    assert!(!peer.runtime().await.contains_key("storeFailure"));
    memory.fail_next(Fault::Sync);
    assert_ne!(peer.send("T", "unsure").await.code, ResponseCode::SUCCESS);
    for _ in 0..2 {
        let refused = peer.send("T", "refused").await;
        assert_eq!(refused.code, ResponseCode::SERVICE_NOT_AVAILABLE);
        let remark = refused.remark.unwrap();
        assert!(remark.contains("Here the disk failed, and the broker must be restarted: "), "{remark}");
    }
    let failure = peer.runtime().await["storeFailure"].clone();
    assert!(failure.ends_with("; nothing is accepted until the broker is restarted"), "{failure}");
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["old"]);
    rig.restart().await;
    let peer = rig.peer();
    assert_eq!(peer.send("T", "new").await.code, ResponseCode::SUCCESS);
    assert!(!peer.runtime().await.contains_key("storeFailure"));
}

/// Those of one turn share a wait; each is answered as its own message fares.
#[tokio::test]
async fn sends_that_come_together_are_all_answered_when_the_disk_goes_on_or_the_time_is_up() {
    let (mut rig, disk, _) = hanging();
    let producer = rig.peer();
    assert_eq!(producer.send("T", "first").await.code, ResponseCode::SUCCESS);
    disk.hang(true);
    let (answers, ()) = tokio::join!(producer.send_together("T", 100), async {
        appended(&rig.peer()).await;
        disk.hang(false);
    });
    let mut offsets: Vec<i64> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.code, ResponseCode::SUCCESS);
            answer.header::<SendMessageResponseHeader>().unwrap().queue_offset
        })
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, Vec::from_iter(1..101));

    rig.settings.store.sync_flush_timeout = 50;
    rig.restart().await;
    let producer = rig.peer();
    assert_eq!(producer.send("T", "still quick").await.code, ResponseCode::SUCCESS);
    disk.hang(true);
    let answers = producer.send_together("T", 100).await;
    disk.hang(false);
    assert!(answers.iter().all(|answer| answer.code == ResponseCode::FLUSH_DISK_TIMEOUT));
}

#[tokio::test]
async fn what_is_sent_without_waiting_can_be_read_after_the_next_flush() {
    let (rig, disk, _) = hanging();
    let (consumer, producer) = (rig.peer(), rig.peer());
    assert_eq!(producer.send("T", "old").await.code, ResponseCode::SUCCESS);
    disk.hang(true);
    for body in ["one", "two"] {
        assert_eq!(producer.ask(hasty("T").request(body)).await.code, ResponseCode::SUCCESS);
    }
    assert_eq!(max_offset(&producer, "T").await, 1);
    let (pulled, ()) = tokio::join!(consumer.pull(Pull::new("T", 1).waiting(60_000)), async {
        producer.held(1).await;
        disk.hang(false);
    });
    assert_eq!(bodies(&pulled)[0], "one");
    let rest = consumer.pull(Pull::new("T", 2).waiting(60_000)).await;
    assert_eq!(bodies(&rest), ["two"]);
    // And with a disk that is well a held pull is woken by them, too.
    let (pulled, _) = tokio::join!(consumer.pull(Pull::new("T", 3).waiting(60_000)), async {
        producer.held(1).await;
        producer.ask(hasty("T").request("three")).await
    });
    assert_eq!(bodies(&pulled), ["three"]);
}

#[tokio::test]
async fn delayed_messages_and_held_pulls_go_on_under_sync_flush() {
    let rig = Rig::with(|settings| {
        settings.store.flush_disk_type = FlushDiskType::SyncFlush;
        settings.store.flush_interval_commit_log = 3_600_000;
        settings.store.message_delay_level = "1s".into();
    });
    let (consumer, producer) = (rig.peer(), rig.peer());
    assert_eq!(producer.send("T", "old").await.code, ResponseCode::SUCCESS);
    let sent = producer.ask(Message::new("T").property("DELAY", "1").request("late")).await;
    assert_eq!(sent.code, ResponseCode::SUCCESS);
    assert_eq!(bodies(&consumer.pull(Pull::new("T", 1).waiting(60_000)).await), ["late"]);
    // Many turns, inline and by the other thread: none leaves a held pull behind.
    for number in 2..60 {
        let (pulled, _) = tokio::join!(consumer.pull(Pull::new("T", number).waiting(60_000)), producer.send("T", "x"));
        assert_eq!(bodies(&pulled), ["x"]);
    }
}

#[tokio::test]
async fn after_a_crash_no_group_is_behind_the_end_of_its_queue() {
    let folder = TempDir::new().unwrap();
    let settings = settings(&folder);
    let config = std::path::Path::new(&settings.store.store_path_root_dir).join("config");
    let disk = MemoryDisk::default();
    let mut rig = Rig::on(settings.clone(), Arc::new(disk.clone()));
    let peer = rig.peer();
    for body in ["0", "1", "2"] {
        peer.send("T", body).await;
    }
    let crashed = disk.after_kill();
    rig.stop().await;
    crashed.create_folder(&config).unwrap();
    // As if a loss of power had taken messages that a group had consumed.
    let text = r#"{"offsetTable":{"T@ahead":{0:9,1:4},"T@within":{0:2}}}"#;
    crashed.replace(&config.join("consumerOffset.json"), text.as_bytes()).unwrap();
    crashed.replace(&config.join("delayOffset.json"), br#"{"offsetTable":{3:7}}"#).unwrap();
    let kept = |disk: &MemoryDisk, name: &str| {
        String::from_utf8(disk.read(&config.join(name), 1 << 20).unwrap()).unwrap().replace(char::is_whitespace, "")
    };
    let rig = Rig::on(settings, Arc::new(crashed.clone()));
    // Before anything can be sent, the files say so: another crash would bring the old offsets back.
    let offsets = kept(&crashed, "consumerOffset.json");
    assert!(offsets.contains(r#""T@ahead":{0:3,1:0}"#) && offsets.contains(r#""T@within":{0:2}"#), "{offsets}");
    let delays = kept(&crashed, "delayOffset.json");
    assert!(delays.contains(r#"{3:0}"#), "{delays}");
    let peer = rig.peer();
    peer.send("T", "again").await;
    for (group, expected) in [("ahead", 3), ("within", 2)] {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group,
            topic: "T",
            queue_id: 0,
            set_zero_if_not_found: Some(false),
        };
        assert_eq!(offset(&peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &header).await), expected);
    }
    assert_eq!(bodies(&peer.pull(Pull { group: "ahead", ..Pull::new("T", 3) }).await), ["again"]);
}
