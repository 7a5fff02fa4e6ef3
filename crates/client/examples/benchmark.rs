//! Sends messages as fast as acknowledgements come, consumes them, and prints both rates and what the consuming cost.
//!
//! `benchmark [COUNT] [produce|consume]`: only one half with a word. `raptormq bench` measures more, and better.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raptormq_client::{Client, ConsumeFrom, Message, Result};
use tokio::sync::Semaphore;

const TOPIC: &str = "BenchmarkExample";
/// Messages on their way at once.
const DEPTH: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let mut words = std::env::args().skip(1);
    let count: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(10_000);
    let half = words.next();
    let client = Client::connect(namesrv).await?;
    if half.as_deref() != Some("consume") {
        produce(&client, count).await?;
    }
    if half.as_deref() != Some("produce") {
        consume(&client, count).await?;
    }
    client.shutdown().await;
    Ok(())
}

async fn produce(client: &Client, count: u32) -> Result<()> {
    let producer = client.producer("benchmark_producer").max_in_flight(DEPTH, usize::MAX).start().await?;
    let message = Message::new(TOPIC, vec![b'x'; 1024]);
    let began = Instant::now();
    let mut on_the_way = VecDeque::with_capacity(DEPTH);
    for _ in 0..count {
        if on_the_way.len() == DEPTH
            && let Some(first) = on_the_way.pop_front()
        {
            let ack: raptormq_client::Ack = first;
            ack.await?;
        }
        on_the_way.push_back(producer.enqueue(message.clone()).await?);
    }
    for ack in on_the_way {
        ack.await?;
    }
    print("sent", count, began.elapsed());
    producer.shutdown().await;
    Ok(())
}

async fn consume(client: &Client, count: u32) -> Result<()> {
    let handled = Arc::new(Semaphore::new(0));
    let counted = handled.clone();
    let (began, busy_before) = (Instant::now(), busy());
    let consumer = client
        .consumer(format!("benchmark_consumer_{}", std::process::id()))
        .subscribe(TOPIC, "*")
        .from(ConsumeFrom::First)
        .start(move |_| {
            counted.add_permits(1);
            async { Ok(()) }
        })
        .await?;
    // Released only when the consumer has stopped.
    let all = tokio::time::timeout(Duration::from_secs(60), handled.acquire_many(count)).await;
    let (took, busy_for) = (began.elapsed(), busy().saturating_sub(busy_before));
    consumer.shutdown().await;
    match all {
        Ok(_) => print("consumed", count, took),
        Err(_) => println!("consumed only {} in {took:?}", handled.available_permits()),
    }
    println!("{:.2} microseconds of processor time a message", busy_for.as_secs_f64() * 1e6 / f64::from(count));
    Ok(())
}

fn print(what: &str, count: u32, took: Duration) {
    println!("{what} {count} messages of 1 KiB, {:.0} per second", f64::from(count) / took.as_secs_f64());
}

/// The processor time of this process, as Linux tells it in hundredths of a second.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
