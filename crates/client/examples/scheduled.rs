//! Messages that come later.

use std::time::{Duration, Instant};

use raptormq_client::{Client, ConsumeFrom, Message, Result};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let (came, mut coming) = mpsc::channel(16);
    let consumer = client.consumer("scheduled_consumers").subscribe("Scheduled", "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            let came = came.clone();
            async move { Ok(came.send(message).await?) }
        })
        .await?;
    let producer = client.producer("scheduled_producers").start().await?;
    let sent = Instant::now();
    // Level 1 is one second; see messageDelayLevel of the broker. `deliver_after` and `deliver_at` take any time, where
    // the broker has timer messages.
    let receipt = producer.send(Message::new("Scheduled", "not before a second").delay_level(1)).await?;
    // What an earlier run has left comes, too.
    while let Some(message) = coming.recv().await {
        println!("{} after {} ms", message.message_id(), sent.elapsed().as_millis());
        if message.message_id() == receipt.message_id {
            break;
        }
    }
    assert!(sent.elapsed() >= Duration::from_secs(1), "it came too early");
    producer.shutdown().await;
    consumer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
