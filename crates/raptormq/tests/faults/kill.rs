//! A broker that is killed: what it has acknowledged is there, once, whenever it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use raptormq_remoting::Request;
use raptormq_testkit::peer::send_header;
use raptormq_testkit::{PATIENCE, Peer};
use tokio::sync::Notify;

use crate::common::free_port;
use crate::{BROKER, start_on};

pub(crate) const TOPIC: &str = "Survivors";
const QUEUES: i32 = 4;
const CONNECTIONS: usize = 4;
/// Sends on their way on each connection.
const DEPTH: usize = 8;

/// Body of a message to the queue and the place in it.
pub(crate) type Places = BTreeMap<String, (i32, i64)>;

/// Counts acknowledgements, and tells when there are enough.
pub(crate) struct Goal {
    left: AtomicUsize,
    reached: Notify,
}

impl Goal {
    pub(crate) fn new(count: usize) -> Goal {
        Goal { left: AtomicUsize::new(count), reached: Notify::new() }
    }

    pub(crate) async fn reached(&self) {
        tokio::time::timeout(PATIENCE, self.reached.notified()).await.expect("the broker acknowledges");
    }
}

/// Sends until the broker is gone; the places of what was acknowledged.
pub(crate) async fn send_until_lost(peer: Arc<Peer>, name: String, goal: Arc<Goal>) -> Places {
    let mut acknowledged = Places::new();
    for number in 0.. {
        // Some are longer than a page, so that records are torn, too.
        let padding = "x".repeat(number * 37 % 9_000);
        let body = format!("{name}-{number}-{padding}");
        let queue_id = number as i32 % QUEUES;
        let header = SendMessageRequestHeaderV2 { queue_id, ..send_header("producers", TOPIC) };
        let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body.clone());
        let Ok(response) = peer.try_call(request).await else { break };
        assert!(response.is_success(), "{:?} {:?}", response.code, response.remark);
        let header: SendMessageResponseHeader<'_> = response.header().unwrap();
        acknowledged.insert(body, (header.queue_id, header.queue_offset));
        if goal.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            goal.reached.notify_one();
        }
    }
    acknowledged
}

/// Everything that the broker has. Offsets have no gaps, and no message is there twice.
pub(crate) async fn everything(peer: &Peer) -> Places {
    let mut places = Places::new();
    for queue_id in 0..QUEUES {
        let end = peer.max_offset(TOPIC, queue_id).await;
        let mut next = 0;
        while next < end {
            let pulled = peer.pull(TOPIC, queue_id, next).await;
            assert_eq!(pulled.code, ResponseCode::SUCCESS, "queue {queue_id} from {next}, which has {end}");
            for (message, text) in pulled.messages.iter().zip(pulled.texts()) {
                assert_eq!(message.queue_offset, next, "queue {queue_id}");
                let place = (queue_id, next);
                let twice = places.insert(text, place);
                assert_eq!(twice, None, "what is at {place:?} is somewhere else, too");
                next += 1;
            }
            assert_eq!(pulled.header.next_begin_offset, next);
        }
    }
    places
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_nine() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    // Small files, so that the end comes at their ends, too.
    let more = BROKER.replace("8388608", "1048576");
    let flushing = format!("{more}flushDiskType=SYNC_FLUSH\n");
    let mut acknowledged = Places::new();
    let mut found = Places::new();
    // How many acknowledgements the broker lives for, and with what settings.
    let lives = [(500, &more), (1, &more), (1500, &more), (200, &flushing), (777, &more)];
    for (life, (count, settings)) in lives.into_iter().enumerate() {
        let broker = start_on(home.path(), "broker", port, settings);
        if life > 0 {
            found = everything(&Peer::new(address.clone())).await;
            let lost: Vec<_> = acknowledged.iter().filter(|(body, place)| found.get(*body) != Some(place)).collect();
            assert!(lost.is_empty(), "life {life}: {} lost or elsewhere, among them {:?}", lost.len(), lost.first());
            // What was in the queues stays, whether anybody knows that it arrived or not.
            acknowledged.clone_from(&found);
        }
        let goal = Arc::new(Goal::new(count));
        let mut senders = tokio::task::JoinSet::new();
        for connection in 0..CONNECTIONS {
            let peer = Arc::new(Peer::new(address.clone()));
            for lane in 0..DEPTH {
                let name = format!("{life}-{connection}-{lane}");
                senders.spawn(send_until_lost(Arc::clone(&peer), name, Arc::clone(&goal)));
            }
        }
        goal.reached().await;
        broker.stop("KILL");
        while let Some(sent) = senders.join_next().await {
            acknowledged.extend(sent.unwrap());
        }
    }
    let broker = start_on(home.path(), "broker", port, &more);
    let last = everything(&Peer::new(address.clone())).await;
    assert!(acknowledged.iter().all(|(body, place)| last.get(body) == Some(place)));
    assert!(last.len() > 2_900 && found.len() < last.len(), "{} messages", last.len());
    // And an orderly end changes nothing.
    assert_eq!(broker.stop("TERM").status, Some(0));
    let broker = start_on(home.path(), "broker", port, &more);
    assert_eq!(everything(&Peer::new(address)).await, last);
    assert_eq!(broker.stop("TERM").status, Some(0));
}
