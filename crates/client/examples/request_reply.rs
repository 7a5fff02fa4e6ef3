//! A message that waits for another in return.

use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    // Who answers: a consumer of the topic, with a producer for its replies.
    let answering = Client::connect(namesrv.as_str()).await?;
    let replies = answering.producer("repliers").start().await?;
    let replier = replies.clone();
    let consumer = answering.consumer("answerers").subscribe("RequestTopic", "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |request| {
            let replier = replier.clone();
            async move {
                // An error would have the request delivered again; a requester that is gone is no reason for that.
                if let Err(error) = replier.reply(&request, request.body().to_ascii_uppercase()).await {
                    eprintln!("{error}");
                }
                Ok(())
            }
        })
        .await?;
    // Who asks.
    let asking = Client::connect(namesrv).await?;
    let producer = asking.producer("requesters").start().await?;
    let reply = producer.request(Message::new("RequestTopic", "hello"), Duration::from_secs(60)).await?;
    println!("{}", String::from_utf8_lossy(reply.body()));
    assert_eq!(reply.body(), "HELLO");
    producer.shutdown().await;
    consumer.shutdown().await;
    replies.shutdown().await;
    asking.shutdown().await;
    answering.shutdown().await;
    Ok(())
}
