//! Handles each message once by its key, although a producer may send it twice and a broker deliver it twice.
//!
//! [`RecentKeys`] remembers in this process. Where several members share a topic, write a [`KeyStore`](
//! raptormq_client::KeyStore) over a table with a unique key, in the database that the handler changes anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message, Once, RecentKeys, Result};

const TOPIC: &str = "IdempotentConsumer";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("idempotent_producers").start().await?;
    for order in ["order-1", "order-2", "order-1", "order-3", "order-2"] {
        producer.send(Message::new(TOPIC, "charge").key(order)).ordering_key(order).await?;
    }
    producer.send(Message::new(TOPIC, "the end").key("the end")).await?;

    let charges = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(tokio::sync::Notify::new());
    let (count, end) = (charges.clone(), ended.clone());
    let once = Once::by_key(RecentKeys::new(100_000, Duration::from_secs(3600)));
    let handle = once.wrap(move |message| {
        let (count, end) = (count.clone(), end.clone());
        async move {
            if message.body() == "charge" {
                println!("charged for {}", message.keys().next().unwrap_or_default());
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                end.notify_one();
            }
            Ok(())
        }
    });
    let consumer = client.consumer("billing").subscribe(TOPIC, "*").from(ConsumeFrom::First).start(handle).await?;
    ended.notified().await;
    // Queues have no order among them.
    for _ in 0..600 {
        if charges.load(Ordering::Relaxed) >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    client.shutdown().await;
    println!("{} charges", charges.load(Ordering::Relaxed));
    Ok(())
}
