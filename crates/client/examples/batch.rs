//! Many messages in one request: `cargo run -p raptormq-client --example batch -- 127.0.0.1:9876`.

use std::error::Error;

use raptormq_client::{Client, Message};

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
