//! A message that is delivered only when local work has succeeded.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Message, Result, TransactionState};
use tokio::sync::mpsc;

/// What a database would be.
type Paid = Arc<Mutex<BTreeSet<String>>>;

/// Whether an order was paid.
fn look_up(paid: &Paid, order: &str) -> TransactionState {
    if paid.lock().contains(order) { TransactionState::Commit } else { TransactionState::Rollback }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let paid = Paid::default();
    let known = paid.clone();
    // Asked when a transaction was not ended: after a crash, it may be another program of the group that answers.
    let check = move |message: raptormq_client::MessageView| {
        let state = message.keys().next().map_or(TransactionState::Rollback, |order| look_up(&known, order));
        async move { state }
    };
    let producer = client.producer("transaction_producers").start_transactional(check).await?;
    for (order, can_pay) in [("order-1", true), ("order-2", false)] {
        let message = Message::new("Payments", format!("{order} is paid")).key(order);
        let transaction = producer.begin(message).await?;
        // The local work.
        if can_pay && paid.lock().insert(order.to_owned()) {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
    }
    // The same in one call, for work that is a future.
    let order = Message::new("Payments", "order-3 is paid").key("order-3");
    let (receipt, state) = producer.send(order, async { TransactionState::Commit }).await?;
    println!("{state}: {receipt}");

    let (came, mut coming) = mpsc::channel(16);
    let consumer = client.consumer("transaction_consumers").subscribe("Payments", "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            let came = came.clone();
            async move { Ok(came.send(message).await?) }
        })
        .await?;
    // They lie in different queues, so either may come first.
    let mut missing = BTreeSet::from(["order-1 is paid", "order-3 is paid"]);
    while !missing.is_empty()
        && let Some(message) = coming.recv().await
    {
        let text = String::from_utf8_lossy(message.body());
        println!("{text}");
        assert_ne!(text, "order-2 is paid", "it was rolled back");
        missing.remove(&*text);
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
