//! Senders that note what was acknowledged, and a reader that compares.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use raptormq_remoting::Request;
use raptormq_testkit::Peer;
use raptormq_testkit::peer::send_header;
use tokio::task::JoinSet;

pub(crate) const QUEUES: i32 = 4;
const CONNECTIONS: usize = 4;
/// Sends on their way on each connection.
const DEPTH: usize = 8;
/// Before a sender that was refused tries again.
const PAUSE: Duration = Duration::from_millis(5);

/// A message that the broker has acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) name: Name,
    pub(crate) queue_id: i32,
    pub(crate) queue_offset: i64,
    pub(crate) at: Instant,
}

/// Which message of which sender of which cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    cycle: u32,
    sender: u32,
    number: u32,
}

impl Name {
    /// A body, of up to some pages, so that records are torn, too.
    fn body(self) -> String {
        let Name { cycle, sender, number } = self;
        format!("{cycle}-{sender}-{number}-{}", "x".repeat(number as usize * 37 % 9_000))
    }

    fn parse(body: &str) -> Option<Name> {
        let mut words = body.split('-').map(|word| word.parse().ok());
        let name = Name { cycle: words.next()??, sender: words.next()??, number: words.next()?? };
        (name.body() == body).then_some(name)
    }
}

/// Senders at work.
pub(crate) struct Senders {
    tasks: JoinSet<Vec<Acknowledged>>,
    is_over: Arc<AtomicBool>,
}

impl Senders {
    /// Sends to a topic from now on, until the broker is gone or they are told to end.
    pub(crate) fn start(address: &str, topic: &str, cycle: u32) -> Senders {
        let mut tasks = JoinSet::new();
        let is_over = Arc::new(AtomicBool::new(false));
        for connection in 0..CONNECTIONS {
            let peer = Arc::new(Peer::new(address));
            for lane in 0..DEPTH {
                let sender = (connection * DEPTH + lane) as u32;
                tasks.spawn(send(peer.clone(), topic.to_owned(), cycle, sender, is_over.clone()));
            }
        }
        Senders { tasks, is_over }
    }

    /// Ends them; what was acknowledged. What is on its way is waited for.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        while let Some(sent) = self.tasks.join_next().await {
            acknowledged.extend(sent?);
        }
        Ok(acknowledged)
    }
}

async fn send(peer: Arc<Peer>, topic: String, cycle: u32, sender: u32, is_over: Arc<AtomicBool>) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let name = Name { cycle, sender, number };
        let header =
            SendMessageRequestHeaderV2 { queue_id: number as i32 % QUEUES, ..send_header("producers", &topic) };
        let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(name.body());
        let Ok(response) = peer.try_call(request).await else { break };
        let at = Instant::now();
        match response.header::<SendMessageResponseHeader<'_>>() {
            Ok(SendMessageResponseHeader { queue_id, queue_offset, .. }) if response.is_success() => {
                acknowledged.push(Acknowledged { name, queue_id, queue_offset, at });
            }
            _ if is_over.load(Ordering::Relaxed) => break,
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    acknowledged
}

/// What a topic was found to hold.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) places: HashMap<Name, (i32, i64)>,
    /// Up to where each queue was read.
    next: HashMap<i32, i64>,
    /// Last message of each sender in each queue.
    last: HashMap<(u32, u32, i32), u32>,
}

impl Found {
    /// Reads on in every queue: offsets have no gap, no message is there twice, and each sender's are in its order.
    pub(crate) async fn read_on(&mut self, peer: &Peer, topic: &str) -> anyhow::Result<()> {
        for queue_id in 0..QUEUES {
            let end = peer.max_offset(topic, queue_id).await;
            let mut next = self.next.get(&queue_id).copied().unwrap_or(0);
            ensure!(next <= end, "queue {queue_id} ended at {next} and now ends at {end}");
            while next < end {
                let pulled = peer.pull(topic, queue_id, next).await;
                let is_found = pulled.code == ResponseCode::SUCCESS && !pulled.messages.is_empty();
                ensure!(is_found, "queue {queue_id} has nothing at {next} and ends at {end}: {:?}", pulled.remark);
                for (message, text) in pulled.messages.iter().zip(pulled.texts()) {
                    ensure!(message.queue_offset == next, "queue {queue_id} has {} at {next}", message.queue_offset);
                    self.take(queue_id, next, &text)?;
                    next += 1;
                }
            }
            self.next.insert(queue_id, next);
        }
        Ok(())
    }

    fn take(&mut self, queue_id: i32, queue_offset: i64, text: &str) -> anyhow::Result<()> {
        let Some(name) = Name::parse(text) else {
            bail!("queue {queue_id} has at {queue_offset} what was never sent: {:.60}", text);
        };
        if let Some(twice) = self.places.insert(name, (queue_id, queue_offset)) {
            bail!("{name:?} is at {twice:?} and at {:?}", (queue_id, queue_offset));
        }
        let last = self.last.insert((name.cycle, name.sender, queue_id), name.number);
        ensure!(last.is_none_or(|last| last < name.number), "queue {queue_id}: {name:?} comes behind {last:?}");
        Ok(())
    }

    /// Those of `acknowledged` that are not where they were acknowledged to be.
    pub(crate) fn missing<'a>(&self, acknowledged: &'a [Acknowledged]) -> Vec<&'a Acknowledged> {
        let is_there =
            |message: &&Acknowledged| self.places.get(&message.name) != Some(&(message.queue_id, message.queue_offset));
        acknowledged.iter().filter(is_there).collect()
    }
}
