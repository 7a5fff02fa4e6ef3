//! A broker with many queues and few descriptors: it registers them, takes and gives a message on each, and starts again,
//! after a stop and after a crash. Prints what that costs.
//!
//! With 4,000 topics of 4 queues by default. `cargo xtask queues` runs it with the release binary and 50,000, looks then
//! what it costs to have nothing to do and what a send costs to one and to many of the topics, and sums up. It takes two
//! minutes; the machine should have nothing else to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../process/common.rs"]
#[allow(dead_code, reason = "shared with the tests of processes that behave")]
mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Serving, free_port, memory};
use raptormq_testkit::Peer;

const QUEUES: i32 = 4;
/// Topics without `RAPTORMQ_TOPICS`.
const TOPICS: usize = 4_000;
/// What a process may open at once without `RAPTORMQ_DESCRIPTORS`: far fewer files than there are queues.
const DESCRIPTORS: usize = 256;
/// Requests on their way while topics are made: their tables are written, and the name server is told, for many at once.
const MAKING: usize = 1_000;
/// Requests on their way otherwise.
const WORKING: usize = 64;
/// What a queue may cost the process, in bytes: the goal of 200 MiB for 200,000.
const QUEUE_BYTES_MAX: usize = 1_048;
/// Sends by which their cost is measured, beside so many topics and beside one.
const MEASURED: usize = 60_000;
/// What the process may take without queues.
const BASE_BYTES_MAX: usize = 24 << 20;
/// How long the broker must have had nothing to do, and how long that may take to come.
const SETTLED: Duration = Duration::from_secs(10);
const SETTLED_MAX: Duration = Duration::from_secs(150);
/// What it may cost then, in percent of a core.
const IDLE_PERCENT_MAX: f64 = 1.0;

fn topic(number: usize) -> String {
    format!("Topic{number:06}")
}

/// What an environment variable says.
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether what is measured is a debug build: it is not what runs anywhere, and takes its memory from another allocator.
fn is_debug() -> bool {
    cfg!(debug_assertions) && given("RAPTORMQ_BIN").is_none()
}

/// Starts a role with few descriptors.
fn start(home: &Path, role: &str, settings: &str) -> Serving {
    let file = format!("{role}.conf");
    std::fs::write(home.join(&file), settings).unwrap();
    let mut command = Command::new("sh");
    let binary = given("RAPTORMQ_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_raptormq").to_owned());
    let descriptors = given("RAPTORMQ_DESCRIPTORS").unwrap_or_else(|| DESCRIPTORS.to_string());
    command.args(["-c", &format!("ulimit -n {descriptors}; exec {binary} {role} -c {file}")]);
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(home);
    Serving::start(command)
}

/// Does `work` for every number, so many at once.
async fn each<F: Future<Output = ()> + Send>(count: usize, at_once: usize, work: impl Fn(usize) -> F) {
    let next = Arc::new(AtomicUsize::new(0));
    let lane = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            work(number).await;
        }
    };
    let lanes: Vec<_> = (0..at_once.min(count)).map(|_| Box::pin(lane())).collect();
    futures_of(lanes).await;
}

/// Waits for all of them.
async fn futures_of<F: Future<Output = ()> + Unpin>(mut lanes: Vec<F>) {
    std::future::poll_fn(|context| {
        lanes.retain_mut(|lane| std::pin::Pin::new(lane).poll(context).is_pending());
        if lanes.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// CPU time of a process in ticks of 10 ms.
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until the broker has made the files of its queues, which takes the system some 50 µs for each, and prints what it
/// costs when it has nothing to do; returns that, in percent of a core.
async fn idle(id: u32) -> f64 {
    let (begun, first) = (Instant::now(), ticks(id));
    let mut before = first;
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = ticks(id);
        let percent = (now - before) as f64 / SETTLED.as_secs_f64();
        if percent < IDLE_PERCENT_MAX || begun.elapsed() > SETTLED_MAX {
            let settling = Duration::from_millis(10 * (before - first));
            println!("files of queues made in {:?}, {settling:?} of processor time", begun.elapsed() - SETTLED);
            println!("idle {percent:.2} % of a core");
            assert!(percent < IDLE_PERCENT_MAX);
            return percent;
        }
        before = now;
    }
}

/// Starts the broker and sends; prints how long that took and how much of it on a processor, and returns the former.
async fn start_and_send(home: &Path, settings: &str, address: &str, topic: &str, when: &str) -> (Serving, Duration) {
    let begun = Instant::now();
    let broker = start(home, "broker", settings);
    Peer::new(address).send(topic, 0, "first").await;
    let took = begun.elapsed();
    let processor = Duration::from_millis(10 * ticks(broker.id()));
    println!("start to first accepted send {when}: {took:?}, {processor:?} of processor time");
    (broker, took)
}

/// Anonymous memory of a process in MiB.
fn anonymous_mib(id: u32) -> f64 {
    memory(id, "RssAnon") as f64 / f64::from(1 << 20)
}

/// What sends cost the broker and how much more that is than to one topic, for some numbers of topics.
async fn send_costs(broker: u32, peer: &Peer, topics: usize) -> String {
    // Once for warming up: the first sends to each queue make its tail.
    send_cost(broker, peer, topics).await;
    let one = send_cost(broker, peer, 1).await;
    let mut text = format!("{one:.1} µs to 1 topic");
    for count in [1_000, 10_000, topics] {
        let cost = send_cost(broker, peer, count).await;
        text += &format!("; to {count}: {cost:.1} µs, {:.2} times", cost / one);
    }
    text
}

/// What a send to these topics in turn costs the broker, in µs of processor time.
async fn send_cost(broker: u32, peer: &Peer, topics: usize) -> f64 {
    let before = ticks(broker);
    each(MEASURED, WORKING, |number| async move {
        // Neighbours in time are none in the tables.
        let topic = topic(number.wrapping_mul(7919) % topics);
        peer.send(&topic, (number % QUEUES as usize) as i32, "measured").await;
    })
    .await;
    (ticks(broker) - before) as f64 * 10_000.0 / MEASURED as f64
}

/// The first message of each queue is the one that was sent to it.
async fn check(peer: &Peer, topics: usize, step: usize) {
    each(topics.div_ceil(step) * QUEUES as usize, WORKING, move |number| async move {
        let (number, queue_id) = (number / QUEUES as usize * step, (number % QUEUES as usize) as i32);
        let texts = peer.pull(&topic(number), queue_id, 0).await.texts();
        assert_eq!(texts.first().map(String::as_str), Some(format!("{number}-{queue_id}").as_str()));
    })
    .await;
}

#[tokio::test]
async fn many_queues_cost_little_and_start_at_once() {
    let topics = given("RAPTORMQ_TOPICS").map_or(TOPICS, |text| text.parse().unwrap());
    let queues = topics * QUEUES as usize;
    let home = tempfile::tempdir().unwrap();
    let (namesrv_port, port) = (free_port(), free_port());
    let address = format!("127.0.0.1:{port}");
    let namesrv = start(home.path(), "namesrv", &format!("listenPort={namesrv_port}\nbindAddress=127.0.0.1\n"));
    let settings = format!(
        "listenPort={port}\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nnamesrvAddr=127.0.0.1:{namesrv_port}\n\
         mappedFileSizeCommitLog=67108864\nmappedFileSizeConsumeQueue=20000\n"
    );
    let (broker, start_empty) = start_and_send(home.path(), &settings, &address, "Another", "without topics").await;
    let anonymous_empty = anonymous_mib(broker.id());
    let peer = Peer::new(address.clone());

    let begun = Instant::now();
    each(topics, MAKING, |number| {
        let peer = &peer;
        async move { peer.create_topic(&topic(number), QUEUES).await }
    })
    .await;
    println!("{topics} topics made and registered in {:?}", begun.elapsed());

    let begun = Instant::now();
    each(queues, WORKING, |number| {
        let peer = &peer;
        async move {
            let (number, queue_id) = (number / QUEUES as usize, (number % QUEUES as usize) as i32);
            assert_eq!(peer.send(&topic(number), queue_id, format!("{number}-{queue_id}")).await, 0);
        }
    })
    .await;
    println!("{queues} sends in {:?}", begun.elapsed());
    let begun = Instant::now();
    check(&peer, topics, 1).await;
    println!("{queues} pulls in {:?}", begun.elapsed());

    let anonymous = memory(broker.id(), "RssAnon");
    println!("anonymous memory {} MiB", anonymous >> 20);
    let mut summary = Vec::new();
    let queue_bytes_max = QUEUE_BYTES_MAX * if is_debug() { 2 } else { 1 };
    assert!(anonymous < BASE_BYTES_MAX + queues * queue_bytes_max, "{anonymous} bytes");
    if topics > TOPICS {
        summary.push(format!("idle with {topics} topics: {:.2} % of a core", idle(broker.id()).await));
        summary.push(format!("processor time of a send: {}", send_costs(broker.id(), &peer, topics).await));
    }

    let sent = peer.max_offset(&topic(0), 0).await;
    peer.leave();
    assert_eq!(broker.stop("TERM").status, Some(0));
    assert!(home.path().join("store/raptormq.queues").exists());
    let (broker, start_stopped) = start_and_send(home.path(), &settings, &address, &topic(0), "after a stop").await;
    let peer = Peer::new(address.clone());
    check(&peer, topics, topics.div_ceil(100)).await;
    let anonymous_started = anonymous_mib(broker.id());

    broker.stop("KILL");
    let (broker, start_killed) = start_and_send(home.path(), &settings, &address, &topic(0), "after kill -9").await;
    let peer = Peer::new(address.clone());
    check(&peer, topics, topics.div_ceil(100)).await;
    assert_eq!(peer.max_offset(&topic(0), 0).await, sent + 2);
    assert_eq!(broker.stop("TERM").status, Some(0));
    assert_eq!(namesrv.stop("TERM").status, Some(0));
    summary.push(format!(
        "start to first accepted send: {start_empty:.0?} without topics; with {topics} {start_stopped:.0?} after a stop, \
         {start_killed:.0?} after kill -9"
    ));
    summary.push(format!(
        "anonymous memory: {anonymous_empty:.1} MiB without topics; with {queues} queues {} MiB loaded, \
         {anonymous_started:.0} MiB after a start",
        anonymous >> 20
    ));
    println!("== {}", summary.join("\n== "));
}
