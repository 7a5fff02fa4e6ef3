//! Filters: by tags, and by an SQL92 condition over properties, for which brokers need `enablePropertyFilter=true`.

use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, ErrorKind, Message, Result};

const TOPIC: &str = "FilterConsumer";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    let producer = client.producer("filter_producers").start().await?;
    for (tag, amount) in [("food", "5"), ("books", "50"), ("books", "500"), ("cars", "50000")] {
        let message = Message::new(TOPIC, format!("{tag} for {amount}")).tag(tag).property("amount", amount);
        producer.send(message).await?;
    }

    let by_tag = client.pull_consumer("by_tag").subscribe(TOPIC, "food || books").from(ConsumeFrom::First);
    let by_sql = client.pull_consumer("by_sql").subscribe_sql(TOPIC, "amount BETWEEN 10 AND 1000 AND TAGS = 'books'");
    for (name, builder, wanted) in [("by tag", by_tag, 3), ("by SQL", by_sql.from(ConsumeFrom::First), 2)] {
        let consumer = builder.start().await?;
        let mut bodies = Vec::new();
        for _ in 0..60 {
            let messages = consumer.poll(Duration::from_secs(1)).await?;
            bodies.extend(messages.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()));
            if bodies.len() >= wanted {
                break;
            }
        }
        bodies.sort();
        println!("{name}: {}", bodies.join(", "));
        consumer.shutdown().await;
    }

    // A mistake is found when the consumer starts.
    let wrong = client.pull_consumer("wrong").subscribe_sql(TOPIC, "amount >").start().await;
    match wrong {
        Err(error) if error.kind() == ErrorKind::InvalidArgument => println!("refused: {error}"),
        Err(error) => return Err(error),
        Ok(consumer) => consumer.shutdown().await,
    }
    producer.shutdown().await;
    client.shutdown().await;
    Ok(())
}
