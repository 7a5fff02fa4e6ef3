//! What tools have deleted: old files, queues that a topic has no more, queues of topics that are no more.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::path::Path;
use std::time::{Duration, SystemTime};

use raptormq_protocol::body::{TopicConfigSerializeWrapper, TopicStatsTable};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::json;
use raptormq_remoting::Request;
use support::*;

const SEGMENT_BYTES: u64 = 65_536;

fn small() -> Rig {
    Rig::with(|settings| {
        settings.store.mapped_file_size_commit_log = SEGMENT_BYTES;
        settings.store.clean_resource_interval = 10;
        settings.store.delete_commit_log_files_interval = 1;
        settings.store.delete_when = String::new();
        // Whatever else is on this machine's disk.
        settings.store.clean_file_forcibly_enable = false;
    })
}

/// Makes every file of the log an old one.
fn age(rig: &Rig) {
    let long_ago = SystemTime::now() - Duration::from_secs(73 * 3600);
    for entry in std::fs::read_dir(rig.folder.path().join("store/commitlog")).unwrap() {
        std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
    }
}

fn queue_folders(rig: &Rig, topic: &str) -> Vec<String> {
    let folder = rig.folder.path().join("store/consumequeue").join(topic);
    let names = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Minimum and end of each queue.
async fn ranges(peer: &Peer, topic: &str) -> Vec<(i64, i64)> {
    let answer = peer.get(RequestCode::GET_TOPIC_STATS_INFO, &GetTopicStatsInfoRequestHeader { topic }).await;
    let stats: TopicStatsTable = json::from_slice(&answer.body).unwrap();
    let mut ranges: Vec<_> = stats
        .offset_table
        .iter()
        .map(|(queue, offset)| (queue.queue_id, (offset.min_offset, offset.max_offset)))
        .collect();
    ranges.sort();
    ranges.into_iter().map(|(_, range)| range).collect()
}

async fn make_topic(peer: &Peer, topic: &str, queues: i32) {
    let header = CreateTopicRequestHeader {
        topic,
        default_topic: "TBW102",
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        ..CreateTopicRequestHeader::default()
    };
    assert_eq!(peer.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &header).await.code, ResponseCode::SUCCESS);
}

async fn asked(peer: &Peer, code: RequestCode) {
    let answer = peer.ask(Request::new(code)).await;
    assert_eq!((answer.code, answer.remark), (ResponseCode::SUCCESS, None));
}

/// Waits until something holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LONG, "it did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn old_files_go_when_asked_and_offsets_go_on() {
    let mut rig = small();
    let peer = rig.peer();
    make_topic(&peer, "Wide", 4).await;
    for queue_id in 0..4 {
        peer.ask(Message::new("Wide").queue(queue_id).request("x")).await;
    }
    make_topic(&peer, "Wide", 2).await;
    // Other messages, so that the file with those of the topic is not the last.
    for _ in 0..4 {
        let sent = peer.send("Filler", &"x".repeat(SEGMENT_BYTES as usize / 2)).await;
        assert_eq!(sent.code, ResponseCode::SUCCESS, "{:?}", sent.remark);
    }
    let first = rig.folder.path().join("store/commitlog/00000000000000000000");
    asked(&peer, RequestCode::DELETE_EXPIRED_COMMITLOG).await;
    // Nothing is old yet.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(Path::exists(&first));
    // Queues are written behind.
    until(async || queue_folders(&rig, "Wide").len() == 4).await;
    asked(&peer, RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE).await;
    assert_eq!(queue_folders(&rig, "Wide"), ["0", "1", "2", "3"]);

    age(&rig);
    asked(&peer, RequestCode::DELETE_EXPIRED_COMMITLOG).await;
    until(async || ranges(&peer, "Wide").await == [(1, 1), (1, 1)]).await;
    assert!(!Path::exists(&first));
    until(async || peer.runtime().await["commitLogMinOffset"] == (3 * SEGMENT_BYTES).to_string()).await;
    let pulled = peer.pull(Pull::new("Wide", 0)).await;
    assert_eq!(pulled.code, ResponseCode::PULL_OFFSET_MOVED);

    asked(&peer, RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE).await;
    assert_eq!(queue_folders(&rig, "Wide"), ["0", "1"]);
    rig.restart().await;
    let peer = rig.peer();
    assert_eq!(ranges(&peer, "Wide").await, [(1, 1), (1, 1)]);
    let sent = peer.send("Wide", "next").await;
    assert_eq!(sent.header::<SendMessageResponseHeader<'_>>().unwrap().queue_offset, 1);
    assert_eq!(bodies(&peer.pull(Pull::new("Wide", 1)).await), ["next"]);
    // A queue that the topic gets again begins anew.
    make_topic(&peer, "Wide", 4).await;
    assert_eq!(ranges(&peer, "Wide").await, [(1, 1 + 1), (1, 1), (0, 0), (0, 0)]);
}

#[tokio::test]
async fn queues_of_topics_that_are_no_more_go_when_asked() {
    let mut rig = small();
    let peer = rig.peer();
    for topic in ["Kept", "Lost"] {
        make_topic(&peer, topic, 1).await;
        peer.send(topic, "x").await;
    }
    rig.stop().await;
    let path = rig.folder.path().join("store/config/topics.json");
    let mut table: TopicConfigSerializeWrapper = json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    table.topic_config_table.remove("Lost").unwrap();
    std::fs::write(&path, json::to_vec(&table).unwrap()).unwrap();
    rig.start();
    let peer = rig.peer();
    assert_eq!(queue_folders(&rig, "Lost"), ["0"]);
    asked(&peer, RequestCode::CLEAN_UNUSED_TOPIC).await;
    assert!(!rig.folder.path().join("store/consumequeue/Lost").exists());
    assert_eq!(bodies(&peer.pull(Pull::new("Kept", 0)).await), ["x"]);
}
