//! Two stores and a connection between them: what is copied, what is refused, and what a port that is not open to anyone
//! has to bear.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raptormq_replication::{Following, Host, Options, Slaves, follow, listen, serve};
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{Arrival, NewMessage, Store, StoreOptions, SystemClock};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    store: Store,
    slaves: Slaves,
    following: Following,
    other_past: Option<String>,
    _folder: TempDir,
}

impl Host for Node {
    fn store(&self) -> &Store {
        &self.store
    }

    fn slaves(&self) -> &Slaves {
        &self.slaves
    }

    fn following(&self) -> &Following {
        &self.following
    }

    fn now_ms(&self) -> i64 {
        1
    }

    fn arrived(&self, _arrivals: &[Arrival<'_>]) {}

    async fn same_past(&self, _ha_address: &str) -> Result<(), String> {
        self.other_past.clone().map_or(Ok(()), Err)
    }
}

fn open(folder: &Path) -> Store {
    let options = StoreOptions {
        segment_bytes: 64 << 10,
        queue_file_bytes: 6000,
        index_slots: 100,
        index_entries: 400,
        ..StoreOptions::new(folder)
    };
    Store::open(options, Arc::new(RealDisk), Arc::new(SystemClock)).unwrap()
}

fn node(master: Option<SocketAddr>, change: impl FnOnce(&mut Options)) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options {
        heartbeat_interval: Duration::from_millis(50),
        housekeeping_interval: Duration::from_secs(1),
        frame_bytes: 2000,
        bytes_per_second_max: None,
        gap_max: 1 << 20,
        connections_max: 4,
        shared_secret: String::new(),
        is_sync_flush: false,
    };
    change(&mut options);
    Node {
        store: open(folder.path()),
        slaves: Slaves::new(options),
        following: Following::new(master.map(|address| address.to_string())),
        other_past: None,
        _folder: folder,
    }
}

fn put(store: &Store, count: usize, body_len: usize) {
    let queue = store.queue_or_create("T", 0).unwrap();
    let mut staging = store.staging();
    for number in 0..count {
        let message = NewMessage {
            flag: number as i32,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: "127.0.0.1:1".parse().unwrap(),
            store_host: "127.0.0.1:2".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &vec![number as u8; body_len],
            properties: &[],
        };
        staging.put(&queue, &message).unwrap();
        store.append(&mut staging);
        staging.clear();
    }
}

/// Serves slaves; returns where.
fn start_serving(master: &Arc<Node>) -> SocketAddr {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(master.clone(), vec![listener]));
    address
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn assert_same(master: &Store, slave: &Store) {
    let mut at = slave.log_min_offset();
    while let Some(bytes) = master.log_part(at, 4096).unwrap() {
        assert_eq!(slave.log_slice(at, bytes.len()).unwrap(), bytes, "at {at}");
        at += bytes.len() as i64;
    }
}

#[tokio::test]
async fn slaves_follow_each_at_its_own_pace() {
    let master = Arc::new(node(None, |_| ()));
    put(&master.store, 5, 3000);
    let address = start_serving(&master);
    let slaves = [Arc::new(node(Some(address), |_| ())), Arc::new(node(Some(address), |_| ()))];
    let tasks = slaves.clone().map(|slave| tokio::spawn(follow(slave)));
    until("both have it", || slaves.iter().all(|slave| slave.store.log_max_offset() > 0)).await;
    put(&master.store, 200, 1000);
    let end = master.store.log_max_offset();
    tokio::time::timeout(PATIENCE, master.slaves.replicated(2).unwrap().reached(end)).await.unwrap().unwrap();
    slaves.iter().for_each(|slave| assert_same(&master.store, &slave.store));
    assert_eq!(slaves[0].store.queue("T", 0).unwrap().max_offset(), 205);
    assert!(master.slaves.status(end).iter().all(|slave| slave.is_in_sync && slave.acked == end));

    // One goes away, and comes back for what it missed.
    tasks[1].abort();
    put(&master.store, 50, 100);
    let end = master.store.log_max_offset();
    tokio::time::timeout(PATIENCE, master.slaves.replicated(1).unwrap().reached(end)).await.unwrap().unwrap();
    assert!(slaves[1].store.log_max_offset() < end);
    tokio::spawn(follow(slaves[1].clone()));
    until("the second has it", || slaves[1].store.log_max_offset() == end).await;
    assert_same(&master.store, &slaves[1].store);
}

#[tokio::test]
async fn a_slave_that_is_ahead_or_has_another_past_keeps_what_it_has() {
    let master = Arc::new(node(None, |_| ()));
    put(&master.store, 3, 500);
    let address = start_serving(&master);
    let ahead = Arc::new(node(Some(address), |_| ()));
    put(&ahead.store, 9, 500);
    let before = ahead.store.log_max_offset();
    // Its end is in the middle of a record of the master's.
    let other = Arc::new(node(Some(address), |_| ()));
    put(&other.store, 1, 77);
    let other_before = other.store.log_max_offset();
    let told = Arc::new(Node { other_past: Some("it says so".to_owned()), ..node(Some(address), |_| ()) });
    for slave in [&ahead, &other, &told] {
        tokio::spawn(follow(slave.clone()));
    }
    until("they were tried", || {
        ahead.following.status().last_write_ms > 0 && other.following.status().last_read_ms > 0
    })
    .await;
    put(&master.store, 20, 500);
    until("it was tried again", || master.slaves.status(0).is_empty()).await;
    assert_eq!((ahead.store.log_max_offset(), other.store.log_max_offset()), (before, other_before));
    assert_eq!(told.store.log_max_offset(), 0);
    assert_eq!(told.following.status().last_write_ms, 0, "it did not even connect");
}

#[tokio::test]
async fn strangers_at_the_port_are_bounded_and_disturb_nobody() {
    let master = Arc::new(node(None, |options| options.connections_max = 3));
    put(&master.store, 10, 500);
    let address = start_serving(&master);
    let slave = Arc::new(node(Some(address), |_| ()));
    tokio::spawn(follow(slave.clone()));
    until("it follows", || slave.store.log_max_offset() == master.store.log_max_offset()).await;

    let mut strangers = Vec::new();
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], &(-5_i64).to_be_bytes(), &i64::MAX.to_be_bytes(), b"abc", b""] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be closed already.
        let _ = stream.write_all(words).await;
        strangers.push(stream);
    }
    for mut stream in strangers {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(read.is_err() || rest.is_empty(), "a stranger got {} bytes", rest.len());
    }
    // One that asks for everything and reads nothing.
    put(&master.store, 300, 1000);
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(&master.store.log_last_file_start().to_be_bytes()).await.unwrap();
    put(&master.store, 10, 1000);
    until("the slave goes on", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
    until("who says nothing is closed", || master.slaves.status(0).len() == 1).await;
}

/// Says `first`, and then `second` once it is served.
async fn say(master: &Node, address: SocketAddr, first: i64, second: i64) -> TcpStream {
    let served = master.slaves.status(0).len();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&first.to_be_bytes()).await.unwrap();
    until("it is served", || master.slaves.status(0).len() > served).await;
    stream.write_all(&second.to_be_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn who_is_served_and_then_says_absurd_offsets_is_closed_and_counts_for_nothing() {
    let master = Arc::new(node(None, |_| ()));
    put(&master.store, 10, 500);
    let address = start_serving(&master);
    let end = master.store.log_max_offset();
    for absurd in [i64::MIN, i64::MIN + 1, -1, end + 1, i64::MAX] {
        let mut stream = say(&master, address, end, absurd).await;
        until("it is closed", || {
            // What a broker asks of its slaves meanwhile.
            assert!(master.slaves.in_sync_count(i64::MAX) <= 1 && master.slaves.in_sync_count(0) <= 1);
            master.slaves.status(i64::MAX).is_empty()
        })
        .await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(master.slaves.replicated(1).unwrap().value(), end);
    }
    // And a stranger that says the same number again and again is one.
    let _one = say(&master, address, end, end).await;
    assert_eq!(master.slaves.replicated(2).unwrap().value(), 0);
}

#[tokio::test]
async fn who_says_that_it_is_there_and_never_reads_is_closed() {
    let master = Arc::new(node(None, |options| options.housekeeping_interval = Duration::from_millis(300)));
    // More than a connection's buffers take.
    put(&master.store, 1, 10);
    let from = master.store.log_max_offset();
    put(&master.store, 200, 60_000);
    let address = start_serving(&master);
    let slave = Arc::new(node(Some(address), |_| ()));
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let begun = std::time::Instant::now();
    deaf.write_all(&from.to_be_bytes()).await.unwrap();
    until("it is served", || master.slaves.status(0).len() == 1).await;
    tokio::spawn(follow(slave.clone()));
    let mut reports = 0;
    while deaf.write_all(&from.to_be_bytes()).await.is_ok() {
        reports += 1;
        assert!(begun.elapsed() < PATIENCE, "{reports} reports are no reason to wait for it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let end = master.store.log_max_offset();
    until("the slave has everything", || slave.store.log_max_offset() == end).await;
    assert_eq!(master.slaves.status(end).len(), 1);
}

/// Memory of this process that is nobody's file, in KiB.
fn own_memory_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn slow_slaves_cost_no_memory() {
    let count = 16;
    let master = Arc::new(node(None, |options| {
        options.connections_max = count;
        options.housekeeping_interval = Duration::from_secs(600);
    }));
    put(&master.store, 1, 100);
    let address = start_serving(&master);
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&0_i64.to_be_bytes()).await.unwrap();
        slow.push(stream);
    }
    until("all are served", || master.slaves.status(0).len() == count).await;
    let before = own_memory_kib();
    put(&master.store, 320, 50_000);
    let end = master.store.log_max_offset();
    assert!(end > 16_000_000);
    until("they are sent what goes into their sockets", || {
        master.slaves.status(end).iter().all(|slave| slave.sent > 1000)
    })
    .await;
    let after = own_memory_kib();
    // For each of them the log would be 16 MiB, 256 together.
    assert!(after < before + (32 << 10), "{before} KiB before, {after} after");
    // And one that reads after all gets everything.
    let mut stream = slow.swap_remove(0);
    let mut buffer = vec![0; 1 << 20];
    let mut left = usize::try_from(end).unwrap();
    while left > 0 {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0);
        left = left.saturating_sub(read);
    }
}

#[tokio::test]
async fn those_that_say_nothing_keep_no_slave_out() {
    let master = Arc::new(node(None, |options| {
        options.connections_max = 3;
        options.housekeeping_interval = PATIENCE;
    }));
    put(&master.store, 10, 500);
    let address = start_serving(&master);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let slaves = [(); 3].map(|()| Arc::new(node(Some(address), |_| ())));
    for slave in &slaves {
        tokio::spawn(follow(slave.clone()));
        until("it follows", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
    }
    // All seats are taken by those who have one.
    for stream in &mut silent {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(read.is_err() || rest.is_empty());
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, late.read_to_end(&mut rest)).await.unwrap();
    assert_eq!((rest.len(), master.slaves.status(0).len()), (0, 3));
}

#[tokio::test]
async fn a_slave_is_served_at_each_address() {
    let master = Arc::new(node(None, |options| options.connections_max = 2));
    put(&master.store, 10, 500);
    let listeners = ["127.0.0.1:0", "127.0.0.2:0"].map(|address| listen(address.parse().unwrap()).unwrap());
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    tokio::spawn(serve(master.clone(), listeners.into()));
    for address in addresses {
        let slave = Arc::new(node(Some(address), |_| ()));
        tokio::spawn(follow(slave.clone()));
        until("it follows", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
    }
    assert_eq!(master.slaves.status(0).len(), 2);
}

#[tokio::test]
async fn without_the_secret_nobody_gets_the_log_and_no_slave_follows_a_stranger() {
    let with = |secret: &str| {
        let secret = secret.to_owned();
        move |options: &mut Options| options.shared_secret = secret
    };
    let master = Arc::new(node(None, with("our secret")));
    put(&master.store, 5, 500);
    let address = start_serving(&master);
    let knowing = Arc::new(node(Some(address), with("our secret")));
    let others = ["", "another", "our secret and more"].map(|secret| Arc::new(node(Some(address), with(secret))));
    for slave in others.iter().chain([&knowing]) {
        tokio::spawn(follow(slave.clone()));
    }
    until("who knows it follows", || knowing.store.log_max_offset() == master.store.log_max_offset()).await;
    until("the others tried", || others[0].following.status().last_write_ms > 0).await;
    assert!(others.iter().all(|slave| slave.store.log_max_offset() == 0));
    assert_eq!(master.slaves.status(0).len(), 1);

    // A master that does not know it gets nobody who expects it to, and says what it would have to know.
    let open = Arc::new(node(None, |_| ()));
    put(&open.store, 5, 500);
    let wary = Arc::new(node(Some(start_serving(&open)), with("our secret")));
    tokio::spawn(follow(wary.clone()));
    let mut stream = TcpStream::connect(start_serving(&open)).await.unwrap();
    stream.write_all(&(i64::from_be_bytes(*b"RaptorHA") | i64::MIN).to_be_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!((rest.len(), wary.store.log_max_offset()), (0, 0));
}

#[tokio::test]
async fn a_thousand_connections_leave_the_slave_in_peace() {
    let master = Arc::new(node(None, |options| options.connections_max = 8));
    put(&master.store, 10, 500);
    let address = start_serving(&master);
    let slave = Arc::new(node(Some(address), |_| ()));
    tokio::spawn(follow(slave.clone()));
    until("it follows", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
    let mut streams = Vec::new();
    for number in 0..1000_i64 {
        // Some never say anything, some ask for the log and never read it.
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            let _ = stream.write_all(&master.store.log_min_offset().to_be_bytes()).await;
        }
        streams.push(stream);
        assert!(master.slaves.status(0).len() <= 8);
    }
    put(&master.store, 100, 1000);
    until("the slave goes on", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
    assert!(master.slaves.status(0).len() <= 8);
    drop(streams);
    until("only the slave is left", || master.slaves.status(0).len() == 1).await;
    put(&master.store, 10, 1000);
    until("and is served", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
}

/// Frames of a master that is none: a slave takes nothing of them.
#[tokio::test]
async fn a_slave_takes_nothing_of_frames_that_make_no_sense() {
    let frame =
        |log_offset: i64, len: i32, body: &[u8]| [&log_offset.to_be_bytes()[..], &len.to_be_bytes(), body].concat();
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let record_of_2_gib = [&0x7fff_ffff_i32.to_be_bytes()[..], &(-626_843_481_i32).to_be_bytes(), &[7; 200]].concat();
    let cases = [
        noise.clone(),
        frame(0, -1, b""),
        frame(i64::MIN, 100, &noise[..100]),
        frame(i64::MAX, 100, &noise[..100]),
        frame(-64, 100, &noise[..100]),
        frame(17, 100, &noise[..100]),
        frame(0, i32::MAX, &noise),
        frame(0, 208, &record_of_2_gib),
        frame(65_536, 100, &[0; 100]),
    ];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (case, count) in cases.iter().flat_map(|case| [(case, 0), (case, 3)]) {
        let slave = Arc::new(node(Some(listener.local_addr().unwrap()), |_| ()));
        put(&slave.store, count, 100);
        let end = slave.store.log_max_offset();
        let following = tokio::spawn(follow(slave.clone()));
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut report = [0; 8];
        stream.read_exact(&mut report).await.unwrap();
        // It may close while this is written; a record that is not whole yet it waits for.
        let _ = stream.write_all(case).await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut rest)).await;
        assert_eq!(slave.store.log_max_offset(), end);
        following.abort();
    }
}

#[tokio::test]
async fn an_empty_slave_begins_at_the_last_file_and_a_flow_limit_holds() {
    let limit = 200_000;
    let master = Arc::new(node(None, |options| options.bytes_per_second_max = Some(limit)));
    put(&master.store, 100, 2000);
    let start = master.store.log_last_file_start();
    assert!(start > 0);
    let address = start_serving(&master);
    let slave = Arc::new(node(Some(address), |_| ()));
    tokio::spawn(follow(slave.clone()));
    until("it has the last file", || slave.store.log_max_offset() == master.store.log_max_offset()).await;
    assert_eq!(slave.store.log_min_offset(), start);
    assert_same(&master.store, &slave.store);
}
