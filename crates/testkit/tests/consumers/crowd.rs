//! Ordered consumers of the client crate that join and leave one group all the time while messages come: nothing is lost
//! and nothing is out of order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raptormq_client::MessageView;

use super::*;

const MEMBERS: usize = 12;
const QUEUES: i32 = 8;
/// How long they come and go, unless the environment says another number of seconds.
const SECONDS: u64 = 3;
const SECONDS_KEY: &str = "RAPTORMQ_CROWD_SECONDS";

/// What was handled, by queue and in order.
type Handled = Arc<Mutex<BTreeMap<i32, Vec<u64>>>>;

/// A member that comes, stays for a while, and goes, again and again.
async fn member(namesrv: String, stay: Duration, handled: Handled, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        let client = Client::connect(&namesrv).await.unwrap();
        let handled = handled.clone();
        let handle = move |message: MessageView| {
            let number = text(&message).parse().unwrap();
            handled.lock().entry(message.queue_id()).or_default().push(number);
            async { Ok(()) }
        };
        let builder = client.consumer(GROUP).subscribe(TOPIC, "*").from(ConsumeFrom::First).orderly();
        let consumer = builder.start(handle).await.unwrap();
        tokio::time::sleep(stay).await;
        consumer.shutdown().await;
        client.shutdown().await;
    }
}

#[tokio::test]
async fn a_crowd_of_consumers_that_come_and_go_loses_nothing_and_keeps_the_order() {
    let seconds = std::env::var(SECONDS_KEY).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let (cluster, peer) = cluster(QUEUES).await;
    let (handled, is_over) = (Handled::default(), Arc::new(AtomicBool::new(false)));
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| {
            let stay = Duration::from_millis(300 + 170 * number as u64);
            tokio::spawn(member(cluster.namesrv_addr().to_owned(), stay, handled.clone(), is_over.clone()))
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut sent = 0;
    while Instant::now() < end {
        for queue in 0..QUEUES {
            peer.send(TOPIC, queue, sent.to_string()).await;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let has_all = |numbers: &Vec<u64>| numbers.last() == Some(&(sent - 1));
    eventually("all messages", || {
        let handled = handled.lock();
        handled.len() == QUEUES as usize && handled.values().all(has_all)
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    for member in members {
        member.await.unwrap();
    }
    for (queue, numbers) in &*handled.lock() {
        // A member whose offset did not reach the broker in time leaves messages that come again; then all that follow do.
        let mut next = 0;
        for number in numbers {
            assert!(*number <= next, "queue {queue}: {number} came before {next}");
            next = number + 1;
        }
        assert_eq!(next, sent, "queue {queue}");
    }
}
