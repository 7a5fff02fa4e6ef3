//! Consumes in order: the messages of a queue come one after another, and one whose handler fails is handled again, in its
//! place, before those behind it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Message, Result, Retry};

const TOPIC: &str = "OrderedConsumer";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("ordered_producers").start().await?;
    // All of one order go to one queue.
    for step in ["created", "paid", "sent"] {
        producer.send(Message::new(TOPIC, step).key("order-1")).ordering_key("order-1").await?;
    }

    let steps = Arc::new(Mutex::new(Vec::new()));
    let kept = steps.clone();
    let consumer = client
        .consumer("ordered_consumers")
        .subscribe(TOPIC, "*")
        .from(ConsumeFrom::First)
        .orderly()
        // After so many tries a message goes to the dead letters, and the queue goes on.
        .max_redeliveries(5)
        .start(move |message| {
            let kept = kept.clone();
            async move {
                let step = String::from_utf8_lossy(message.body()).into_owned();
                if step == "paid" && message.reconsume_times() == 0 {
                    println!("{step}: the bank does not answer; its queue waits");
                    return Err(Retry::After(Duration::from_millis(100)));
                }
                println!("{step}");
                kept.lock().push(step);
                Ok(())
            }
        })
        .await?;

    for _ in 0..600 {
        if steps.lock().len() >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    client.shutdown().await;
    let is_in_order = *steps.lock() == ["created", "paid", "sent"];
    println!("{}", if is_in_order { "in order" } else { "out of order" });
    Ok(())
}
