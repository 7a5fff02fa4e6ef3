//! Polls: with a subscription, whose queues the group shares; and with queues that the program names, in which it goes
//! where it wants.

use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message, PullConsumer, Result};

const TOPIC: &str = "PullConsumer";
const MESSAGES: usize = 20;

/// Polls until so many have come.
async fn take(consumer: &PullConsumer, count: usize) -> Result<usize> {
    let mut taken = 0;
    for _ in 0..60 {
        taken += consumer.poll(Duration::from_secs(1)).await?.len();
        if taken >= count {
            break;
        }
    }
    Ok(taken)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("pull_producers").start().await?;
    for number in 0..MESSAGES {
        producer.send(Message::new(TOPIC, format!("{number}"))).await?;
    }

    // What was polled is committed by itself, every 5 s and at the end.
    let shared = client.pull_consumer("sharing").subscribe(TOPIC, "*").from(ConsumeFrom::First).start().await?;
    println!("subscribed: {} messages", take(&shared, MESSAGES).await?);
    shared.shutdown().await;

    // Here the program says what and when.
    let named = client.pull_consumer("naming").from(ConsumeFrom::First).manual_commit().start().await?;
    let queues = named.queues(TOPIC).await?;
    named.assign(queues.clone()).await?;
    println!("assigned: {} messages", take(&named, MESSAGES).await?);
    named.commit().await?;
    let mut committed = 0;
    for queue in &queues {
        committed += named.committed(queue).await?.unwrap_or(0);
        named.seek_to_begin(queue).await?;
    }
    println!("committed: {committed}; once more: {} messages", take(&named, MESSAGES).await?);
    named.pause(&queues);
    named.resume(&queues);
    named.shutdown().await;

    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
