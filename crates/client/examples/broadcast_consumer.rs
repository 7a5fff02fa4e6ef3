//! Broadcasts: every member of the group gets every message, and each keeps on its own disk where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message, Result};

const TOPIC: &str = "BroadcastConsumer";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(&namesrv).await?;
    let producer = client.producer("broadcasters").start().await?;
    producer.send_batch((0..10).map(|number| Message::new(TOPIC, format!("news {number}")))).await?;

    let mut members = Vec::new();
    for name in ["one", "two"] {
        // The instance's name is part of the folder's: the same member finds its offsets again.
        let member = Client::builder().namesrv(&namesrv).instance_name(name).connect().await?;
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let consumer = member
            .consumer("listeners")
            .subscribe(TOPIC, "*")
            .from(ConsumeFrom::First)
            .broadcast()
            .start(move |message| {
                counted.fetch_add(1, Ordering::Relaxed);
                println!("{name}: {}", String::from_utf8_lossy(message.body()));
                async { Ok(()) }
            })
            .await?;
        members.push((member, consumer, count));
    }
    for _ in 0..600 {
        if members.iter().all(|(_, _, count)| count.load(Ordering::Relaxed) >= 10) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (member, consumer, count) in &members {
        consumer.shutdown().await;
        member.shutdown().await;
        println!("a member got {}", count.load(Ordering::Relaxed));
    }
    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
