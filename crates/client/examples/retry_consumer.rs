//! Retries: what a handler fails with comes again later, and after too many times lies in the group's dead letters.

use std::sync::Arc;
use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message, Result, Retry};
use tokio::sync::Notify;

const TOPIC: &str = "RetryConsumer";
const GROUP: &str = "retrying";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("retry_producers").start().await?;
    for body in ["works", "works later", "never works"] {
        producer.send(Message::new(TOPIC, body)).await?;
    }

    let worked = Arc::new(Notify::new());
    let tell = worked.clone();
    let consumer = client
        .consumer(GROUP)
        .subscribe(TOPIC, "*")
        .from(ConsumeFrom::First)
        .max_redeliveries(3)
        .consume_timeout(Duration::from_secs(60))
        .start(move |message| {
            let tell = tell.clone();
            async move {
                println!("{}, time {}", String::from_utf8_lossy(message.body()), message.reconsume_times() + 1);
                match (&message.body()[..], message.reconsume_times()) {
                    // The broker knows 18 delays, the first of which is a second.
                    (b"works later", 0) => Err(Retry::After(Duration::from_secs(1))),
                    (b"works later", _) => {
                        tell.notify_one();
                        Ok(())
                    }
                    // `?` does for any error, and delays longer each time; this gives up at once.
                    (b"never works", _) => Err(Retry::DeadLetter),
                    _ => Ok(()),
                }
            }
        })
        .await?;

    let mut dead_letters = client.reader(format!("%DLQ%{GROUP}")).from(ConsumeFrom::First).open().await?;
    if let Some(dead) = dead_letters.next().await {
        println!("a dead letter: {}", String::from_utf8_lossy(dead.body()));
    }
    worked.notified().await;
    consumer.shutdown().await;
    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
