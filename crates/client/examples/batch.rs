//! Many messages in one request, and as many requests as many messages need.

use raptormq_client::{Client, Message, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("batch_producers").start().await?;
    let message = |number: usize| Message::new("BatchTest", format!("Hello world {number}")).tag("Tag");
    // All are stored or none, one after another in one queue.
    let receipt = producer.send_batch((0..100).map(message)).await?;
    println!("{} messages from offset {} of {}", 100, receipt.queue_offset, receipt.queue);
    // More than one request may hold: as many batches as are needed, of a million bytes each.
    let receipts = producer.send_batches((0..50_000).map(message), 1_000_000).await?;
    println!("50000 messages in {} batches", receipts.len());
    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
