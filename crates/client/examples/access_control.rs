//! A client with an account: run it with `RAPTORMQ_ACCESS_KEY` and `RAPTORMQ_SECRET_KEY`. The broker has `aclEnable=true` and
//! the account in `conf/plain_acl.yml`.

use std::error::Error;

use raptormq_client::{Client, ErrorKind, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let (access_key, secret_key) = (variable("RAPTORMQ_ACCESS_KEY")?, variable("RAPTORMQ_SECRET_KEY")?);
    let client = Client::builder().namesrv(namesrv.as_str()).credentials(&access_key, &secret_key).connect().await?;
    let producer = client.producer("signing_producers").start().await?;
    println!("{}", producer.send(Message::new("TopicTest", "signed")).await?);
    producer.shutdown().await;
    client.shutdown().await;
    // Whoever signs with another secret is told so.
    let forger = Client::builder().namesrv(namesrv).credentials(&access_key, "not the secret").connect().await?;
    let producer = forger.producer("forging_producers").start().await?;
    match producer.send(Message::new("TopicTest", "forged")).await {
        Err(error) if error.kind() == ErrorKind::NotPermitted => println!("{error}"),
        other => return Err(format!("not refused: {other:?}").into()),
    }
    producer.shutdown().await;
    forger.shutdown().await;
    Ok(())
}
