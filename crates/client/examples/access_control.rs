//! A client with an account: `RAPTORMQ_ACCESS_KEY=RocketMQ RAPTORMQ_SECRET_KEY=12345678 cargo run -p raptormq-client
//! --example access_control -- 127.0.0.1:9876`. The broker has `aclEnable=true` and the account in `conf/plain_acl.yml`.

use std::error::Error;

use raptormq_client::{Client, ErrorKind, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let namesrv = std::env::args()
        .nth(1)
        .or_else(|| std::env::var("NAMESRV_ADDR").ok())
        .unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    run(&namesrv, &variable("RAPTORMQ_ACCESS_KEY")?, &variable("RAPTORMQ_SECRET_KEY")?).await
}

/// The example, with the cluster of that name server and an account that may send to `TopicTest`.
pub async fn run(namesrv: &str, access_key: &str, secret_key: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().namesrv(namesrv).credentials(access_key, secret_key).connect().await?;
    let producer = client.producer("signing_producers").start().await?;
    println!("{}", producer.send(Message::new("TopicTest", "signed")).await?);
    producer.shutdown().await;
    client.shutdown().await;
    // Whoever signs with another secret is told so.
    let forger = Client::builder().namesrv(namesrv).credentials(access_key, "not the secret").connect().await?;
    let producer = forger.producer("forging_producers").start().await?;
    match producer.send(Message::new("TopicTest", "forged")).await {
        Err(error) if error.kind() == ErrorKind::NotPermitted => println!("{error}"),
        other => return Err(format!("not refused: {other:?}").into()),
    }
    producer.shutdown().await;
    forger.shutdown().await;
    Ok(())
}
