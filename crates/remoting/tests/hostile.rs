//! What peers send that is no protocol, or too much of it. Everybody else is served meanwhile.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use raptormq_protocol::command::Head;
use raptormq_remoting::Server;
use support::*;
use tokio::io::AsyncWriteExt;

/// A frame with that header behind lengths that fit.
fn frame(header: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + header.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(header.len() as u32).to_be_bytes());
    bytes.extend_from_slice(header);
    bytes
}

/// Sends that and expects the end of the connection; another connection works before, after, and meanwhile.
async fn is_refused(server: &Server, other: &mut Raw, bytes: &[u8], what: &str) {
    let mut raw = Raw::connect(server).await;
    // The server may close before it was given everything.
    let _ = raw.stream.write_all(bytes).await;
    other.round_trip().await;
    assert_eq!(raw.read().await, None, "{what}");
    other.round_trip().await;
}

#[tokio::test]
async fn what_is_no_command_ends_its_connection_and_no_other() {
    let (server, _) = server(|_| {});
    let mut other = Raw::served(&server).await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        })
        .collect();
    let word = |total: u32, mark: u32| [total.to_be_bytes(), mark.to_be_bytes()].concat();
    let deep = [b"{\"code\":1,\"extFields\":".to_vec(), b"{\"a\":".repeat(10_000), b"}".repeat(10_001)].concat();
    let brackets = [b"{\"code\":1,\"x\":".to_vec(), b"[".repeat(10_000), b"]".repeat(10_000), b"}".to_vec()].concat();
    let fields: String = (0..100_000).map(|at| format!("\"k{at}\":\"v\",")).collect();
    let fields = format!("{{\"code\":1,\"extFields\":{{{}}}}}", fields.trim_end_matches(','));
    let cases: [(&str, Vec<u8>); 12] = [
        ("1 MB of noise", noise),
        ("a frame of 2 GB", word(0x7fff_ffff, 20)),
        ("a frame of negative length", word(0xffff_ff00, 20)),
        ("a frame just above the limit", word((16 << 20) - 3, 20)),
        ("a frame without a header word", word(2, 0)),
        ("a header longer than its frame", word(100, 97)),
        ("an unknown serialization", word(100, 7 << 24 | 20)),
        ("nesting 10,000 deep in the fields", frame(&deep)),
        ("nesting 10,000 deep elsewhere", frame(&brackets)),
        ("100,000 fields", frame(fields.as_bytes())),
        ("a header that is no JSON", frame(b"\x00\x01hello")),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        is_refused(&server, &mut other, &bytes, what).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_came_before_rubbish_is_answered() {
    let (server, _) = server(|_| {});
    let mut raw = Raw::connect(&server).await;
    raw.send(&[request(Head::request(NOW, 1), b"x"), request(Head::request(TURN, 2), b""), vec![0xff; 8]].concat())
        .await;
    let mut opaques = vec![raw.read().await.unwrap().opaque, raw.read().await.unwrap().opaque];
    opaques.sort_unstable();
    assert_eq!(opaques, [1, 2]);
    assert_eq!(raw.read().await, None);
    server.shutdown().await;
}

/// Two hundred peers each begin a frame of 16 MB and never end it: what is kept is bounded, and the newest of them and
/// everybody else are served.
#[tokio::test]
async fn frames_that_never_end_fill_no_more_than_their_share() {
    const FRAME: usize = 64 << 10;
    let (server, seen) = server(|options| {
        options.frame_bytes_max = FRAME;
        options.unfinished_bytes_max = 0; // two frames, then
    });
    let mut other = Raw::served(&server).await;
    let honest = request(Head::request(NOW, 7), &vec![1; FRAME - 1000]);
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(&server).await;
        raw.send(&honest[..20_000]).await;
        other.round_trip().await;
        slow.push(raw);
    }
    // A frame that is begun now is finished, whatever the others hold.
    let mut last = Raw::served(&server).await;
    last.send(&honest[..30_000]).await;
    other.round_trip().await;
    last.send(&honest[30_000..]).await;
    assert_eq!(last.read().await.unwrap().opaque, 7);
    // The first ones are closed; no more are kept than fit into two frames.
    for raw in &mut slow[..190] {
        assert_eq!(raw.read().await, None);
    }
    assert!(server.connections() <= 2 + 2 * FRAME / 20_000 + 1, "{} connections", server.connections());
    other.round_trip().await;
    server.shutdown().await;
    assert!(seen.closed.load(std::sync::atomic::Ordering::SeqCst) > 190);
}

#[tokio::test]
async fn an_announced_length_takes_no_memory() {
    let (server, _) = server(|_| {});
    let mut other = Raw::served(&server).await;
    let before = resident_bytes();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(&server).await;
        raw.send(&[((16 << 20) - 4_u32).to_be_bytes(), 200_u32.to_be_bytes()].concat()).await;
        raw.send(&[b' '; 100]).await;
        slow.push(raw);
    }
    other.round_trip().await;
    assert_eq!(server.connections(), 201);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for 200 connections that sent 108 bytes each");
    server.shutdown().await;
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
