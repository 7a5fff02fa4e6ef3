//! Consumes what the quick start producer sends: a handler gets each message, and what it fails with comes again.
//!
//! Run it with `NAMESRV_ADDR` set to the name server, while `cargo run --example quickstart_producer` sends.

use std::sync::Arc;
use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message, Result};
use tokio::sync::Semaphore;

const TOPIC: &str = "TopicTest";
const MESSAGES: u32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;

    // So that there is something to consume.
    let producer = client.producer("please_rename_unique_group_name").start().await?;
    for number in 0..MESSAGES {
        producer.send(Message::new(TOPIC, format!("Hello RocketMQ {number}")).tag("TagA")).await?;
    }

    let handled = Arc::new(Semaphore::new(0));
    let count = handled.clone();
    let consumer = client
        .consumer("please_rename_unique_group_name_4")
        .subscribe(TOPIC, "*")
        .from(ConsumeFrom::First)
        .start(move |message| {
            let count = count.clone();
            async move {
                println!("{}: {}", message.message_id(), std::str::from_utf8(message.body())?);
                count.add_permits(1);
                Ok(())
            }
        })
        .await?;

    // A service would wait for its end here.
    let all = tokio::time::timeout(Duration::from_secs(60), handled.acquire_many(MESSAGES)).await;
    consumer.shutdown().await;
    producer.shutdown().await;
    client.shutdown().await;
    println!("{}", if all.is_ok() { "all came" } else { "not all came" });
    Ok(())
}
