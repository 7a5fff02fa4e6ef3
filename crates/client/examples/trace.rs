//! What becomes of each message, written down. The broker needs `traceTopicEnable=true`; `mqadmin queryMsgTraceById -i ID`
//! shows the traces.

use raptormq_client::{Client, ConsumeFrom, Message, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namesrv = std::env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned());
    let client = Client::connect(namesrv).await?;
    // `trace_to` names another topic than RMQ_SYS_TRACE_TOPIC.
    let producer = client.producer("traced_producers").trace().start().await?;
    let receipt = producer.send(Message::new("TopicTest", "Hello world").tag("TagA").key("OrderID188")).await?;
    // Traces are sent behind the messages; a shutdown waits for them.
    producer.shutdown().await;
    let mut traces = client.reader("RMQ_SYS_TRACE_TOPIC").from(ConsumeFrom::First).open().await?;
    while let Some(trace) = traces.next().await {
        if trace.keys().any(|key| key == receipt.message_id) {
            // Fields are separated by the character 1, records by the character 2.
            println!("{}", String::from_utf8_lossy(trace.body()).replace(['\u{1}', '\u{2}'], " "));
            break;
        }
    }
    client.shutdown().await;
    Ok(())
}
