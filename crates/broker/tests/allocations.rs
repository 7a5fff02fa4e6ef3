//! Allocations of the whole process, client and background threads included, while messages go in and out. The client here
//! makes none, so what is counted is the broker's.
//!
//! `cargo test -p raptormq-broker --test allocations -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;

use raptormq_protocol::code::RequestCode;
use raptormq_protocol::command::{CommandWriter, Head};
use raptormq_protocol::frame::Serialization;
use raptormq_protocol::header::{Header, PullMessageRequestHeader, SendMessageRequestHeaderV2};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

mod support;
use support::{Rig, SUBSCRIPTION};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests before it is counted: what grows to its size does so then.
const WARM_UP: usize = 10_000;
const COUNTED: usize = 20_000;

/// What the process may allocate for a request, on average: the background writes queues and index out every second, and
/// the tails of the queues in memory grow.
const A_REQUEST_MAX: f64 = 0.02;

/// A connection that sends the same requests again and again.
struct Wire {
    stream: TcpStream,
    requests: Vec<u8>,
    depth: usize,
    answers: Vec<u8>,
    filled: usize,
}

impl Wire {
    fn new<'h>(port: u16, depth: usize, code: RequestCode, header: &impl Header<'h>, body: &[u8]) -> Wire {
        let mut requests = Vec::new();
        for opaque in 0..depth {
            let head = Head::request(code.0, opaque as i32);
            CommandWriter::new(&mut requests, Serialization::Json, head).header(header).finish(body);
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, requests, depth, answers: vec![0; 4 << 20], filled: 0 }
    }

    /// Sends as many requests as fit into one round, and reads their answers.
    fn round(&mut self) {
        self.stream.write_all(&self.requests).unwrap();
        let mut answered = 0;
        while answered < self.depth {
            let count = self.stream.read(&mut self.answers[self.filled..]).unwrap();
            assert!(count > 0, "the broker has closed the connection");
            self.filled += count;
            let mut at = 0;
            while let Some(length) = self.answers[at..self.filled].first_chunk::<4>() {
                let end = at + 4 + u32::from_be_bytes(*length) as usize;
                if end > self.filled {
                    break;
                }
                let answer = &self.answers[at..end];
                // The first answer shows whether the request was understood.
                assert!(answer.windows(9).take(400).any(|part| part == b"\"code\":0,"), "{answer:?}");
                answered += 1;
                at = end;
            }
            self.answers.copy_within(at..self.filled, 0);
            self.filled -= at;
        }
    }

    fn rounds(&mut self, requests: usize) {
        (0..requests.div_ceil(self.depth)).for_each(|_| self.round());
    }

    /// Allocations for a request, once everything has its size.
    fn count(&mut self, what: &str) -> f64 {
        self.rounds(WARM_UP);
        let region = Region::new(ALLOCATOR);
        self.rounds(COUNTED);
        let stats = region.change();
        let made = (stats.allocations + stats.reallocations) as f64 / COUNTED as f64;
        let bytes = stats.bytes_allocated as f64 / COUNTED as f64;
        println!("{what}, {} in flight: {made:.4} allocations and {bytes:.0} bytes a request", self.depth);
        made
    }
}

#[test]
fn in_the_steady_state_sends_and_pulls_allocate_nothing() {
    let rig = Rig::with(|settings| {
        settings.server.io_threads = 1;
        settings.store.mapped_file_size_commit_log = 1 << 30;
        settings.store.max_index_num = 4_000_000;
    });
    let port = rig.settings.server.listen_port;
    let body = [7; 1024];
    let properties =
        "KEYS\u{1}key\u{2}UNIQ_KEY\u{1}7F00000100002A139A5564B5C7A40000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}";
    let send = SendMessageRequestHeaderV2 {
        producer_group: "producers",
        topic: "Allocations",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 1,
        born_timestamp: 1_700_000_000_000,
        properties: Some(properties),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(false),
        ..SendMessageRequestHeaderV2::default()
    };
    let pull = PullMessageRequestHeader {
        consumer_group: "consumers",
        topic: "Allocations",
        queue_id: 1,
        max_msg_nums: 32,
        sys_flag: SUBSCRIPTION,
        subscription: Some("TagA"),
        sub_version: 1,
        ..PullMessageRequestHeader::default()
    };
    let mut failed = Vec::new();
    for depth in [1, 32] {
        let counted = [
            Wire::new(port, depth, RequestCode::SEND_MESSAGE_V2, &send, &body).count("sends of 1 KiB"),
            Wire::new(port, depth, RequestCode::PULL_MESSAGE, &pull, &[]).count("pulls of 32 messages"),
        ];
        failed.extend(counted.into_iter().filter(|made| *made > A_REQUEST_MAX));
    }
    assert!(failed.is_empty(), "{failed:?} allocations a request");
}
