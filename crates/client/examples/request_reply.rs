//! A message that waits for another in return: `cargo run -p raptormq-client --example request_reply -- 127.0.0.1:9876`.

use std::error::Error;
use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Message};

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
    // Who answers: a consumer of the topic, with a producer for its replies.
    let answering = Client::connect(namesrv).await?;
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
