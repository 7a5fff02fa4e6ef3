//! Messages that come later: `cargo run -p raptormq-client --example scheduled -- 127.0.0.1:9876`.

use std::error::Error;
use std::time::{Duration, Instant};

use raptormq_client::{Client, ConsumeFrom, Message};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args()
        .nth(1)
        .or_else(|| std::env::var("NAMESRV_ADDR").ok())
        .unwrap_or_else(|| "127.0.0.1:9876".to_owned()))
    .await
}

/// The example, with the cluster of that name server.
pub async fn run(namesrv: &str) -> Result<(), Box<dyn Error>> {
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
