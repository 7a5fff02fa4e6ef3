//! Sends messages, one after another and all at once.
//!
//! Run it with `NAMESRV_ADDR` set to the name server: `cargo run -p raptormq-client --example quickstart_producer`.

use raptormq_client::{Client, Message, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("quickstart_producers").start().await?;
    // Each message waits for its receipt.
    for number in 0..3 {
        let message = Message::new("TopicTest", format!("Hello RocketMQ {number}")).tag("TagA");
        println!("{}", producer.send(message).await?);
    }
    // Many times faster: hand over first, look at the receipts later.
    let mut acks = Vec::new();
    for number in 3..1000 {
        let message = Message::new("TopicTest", format!("Hello RocketMQ {number}")).tag("TagA");
        acks.push(producer.enqueue(message).await?);
    }
    for ack in acks {
        ack.await?;
    }
    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
