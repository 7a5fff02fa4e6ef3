//! The classes that pull queue by queue and keep their own offsets. Java: `simple/PullScheduleService.java`,
//! `simple/AclClient.java`, `namespace/PullConsumerWithNamespace.java`, `lmq/LMQPullConsumer.java`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use raptormq_client::{Client, ClientBuilder, MessageExt, MessageQueue, PullFrom, PullStatus, Pulled};

use super::{Class, consumers, in_namespace, plain, producers, with_client};
use crate::tool::{self, printer::Printer};

/// See the module's documentation.
pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "simple.PullScheduleService",
        about: "pulls what is its group's of TopicTest, every 100 ms, and commits it",
        run: |invocation| with_client(&invocation, plain, pull_on_schedule),
    },
    Class {
        name: "simple.AclClient",
        about: "sends, consumes and pulls TopicTest with the account RocketMQ",
        run: |invocation| with_client(&invocation, signed, send_consume_and_pull),
    },
    Class {
        name: "namespace.PullConsumerWithNamespace",
        about: "pulls NAMESPACE_TOPIC of the namespace InstanceTest from its beginning to its end",
        run: |invocation| with_client(&invocation, in_namespace, pull_namespace),
    },
    Class {
        name: "lmq.LMQPullConsumer",
        about: "pulls the first 32 messages of the light queue %LMQ%123",
        run: |invocation| with_client(&invocation, plain, pull_light_queue),
    },
];

/// Messages that one pull may bring.
const BATCH: i32 = 32;
/// Pause between two rounds of [`pull_on_schedule`].
const ROUND: Duration = Duration::from_millis(100);

/// The account of the sample (Java: `simple/AclClient.java`).
fn signed(builder: ClientBuilder) -> ClientBuilder {
    builder.credentials("RocketMQ", "1234567")
}

/// As Java prints the result of a pull.
fn pull_result(pulled: &Pulled) -> String {
    format!(
        "PullResult [pullStatus={}, nextBeginOffset={}, minOffset={}, maxOffset={}, msgFoundList={}]",
        pulled.status.name(),
        pulled.next_offset,
        pulled.min_offset,
        pulled.max_offset,
        pulled.messages.len()
    )
}

async fn pull(
    client: &Client,
    group: &str,
    (queue, address): (&MessageQueue, &str),
    offset: i64,
) -> anyhow::Result<Pulled> {
    let from = PullFrom { queue, group, expression: "*", offset, messages_max: BATCH };
    Ok(client.admin().pull(address, from).await?)
}

/// Pulls a queue from its beginning to its end, and prints each result and what `show` makes of each message.
async fn pull_to_end(
    client: &Client,
    group: &str,
    from: (&MessageQueue, &str),
    show: impl Fn(&MessageExt) -> String,
) -> anyhow::Result<()> {
    let mut offset = 0;
    loop {
        let pulled = pull(client, group, from, offset).await?;
        say!("{}", pull_result(&pulled));
        pulled.messages.iter().for_each(|message| say!("{}", show(message)));
        // Only forward, whatever a broker says.
        if pulled.status == PullStatus::NoNewMessage || pulled.next_offset <= offset {
            return Ok(());
        }
        offset = pulled.next_offset;
    }
}

async fn pull_on_schedule(client: Client) -> anyhow::Result<ExitCode> {
    const TOPIC: &str = "TopicTest";
    const GROUP: &str = "GroupName1";
    // A member of the group, for its share of the queues; what it pulls ahead by itself is left where it is.
    let consumer = client.pull_consumer(GROUP).subscribe(TOPIC, "*").manual_commit().start().await?;
    let printer = Printer::start()?;
    let mut addresses = BTreeMap::new();
    let round = async |addresses: &mut BTreeMap<MessageQueue, String>| {
        for queue in consumer.assignment() {
            consumer.pause([&queue]);
            if !addresses.contains_key(&queue) {
                *addresses = client.admin().subscribe_queues(TOPIC).await?.into_iter().collect();
            }
            let Some(address) = addresses.get(&queue) else { continue };
            let offset = consumer.committed(&queue).await?.unwrap_or(0);
            let pulled = pull(&client, GROUP, (&queue, address), offset).await?;
            printer.line(format!("{offset}\t{queue}\t{}", pull_result(&pulled)));
            consumer.commit_offsets([(queue, pulled.next_offset)]).await?;
        }
        anyhow::Ok(())
    };
    let told = tool::until_told();
    tokio::pin!(told);
    loop {
        if let Err(error) = round(&mut addresses).await {
            eprintln!("{error}");
        }
        tokio::select! {
            told = &mut told => break told?,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
    consumer.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// As the sample with an account prints a message.
fn body_line(message: &MessageExt) -> String {
    format!("msgId : {}  body : {}  ", message.msg_id, String::from_utf8_lossy(&message.body))
}

async fn send_consume_and_pull(client: Client) -> anyhow::Result<ExitCode> {
    producers::send(&client, &producers::SIMPLE).await?;
    let consumer = consumers::start_signed(&client, |message| body_line(message.ext())).await?;
    say!("Consumer Started.");
    for (queue, address) in client.admin().subscribe_queues("TopicTest").await? {
        say!("Consume from the queue: {queue}");
        pull_to_end(&client, "please_rename_unique_group_name_6", (&queue, &address), body_line).await?;
    }
    tool::until_told().await?;
    consumer.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

async fn pull_namespace(client: Client) -> anyhow::Result<ExitCode> {
    for (queue, address) in client.admin().subscribe_queues("NAMESPACE_TOPIC").await? {
        say!("Consume from the topic: {}, queue: {queue}", queue.topic);
        let show = |message: &MessageExt| {
            let id = message.unique_key().unwrap_or(&message.msg_id);
            format!("Topic is:{}, msgId is:{id}", message.topic)
        };
        pull_to_end(&client, "cidTest", (&queue, &address), show).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn pull_light_queue(client: Client) -> anyhow::Result<ExitCode> {
    // The light queue lies with its parent topic's broker.
    let parents = client.admin().subscribe_queues("TopicLMQParent").await?;
    let (parent, address) = parents.first().ok_or_else(|| anyhow::anyhow!("no broker has TopicLMQParent"))?;
    let queue = MessageQueue { topic: "%LMQ%123".to_owned(), queue_id: 0, ..parent.clone() };
    let offset = client.admin().min_offset(address, &queue).await?;
    for message in pull(&client, "CID_LMQ_PULL_1", (&queue, address), offset).await?.messages {
        say!("NettyClientPublicExecutor_1 Pull New Messages: {message} ");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_printed_as_java_does() {
        let pulled = Pulled {
            status: PullStatus::NoNewMessage,
            messages: Vec::new(),
            next_offset: 3,
            min_offset: 0,
            max_offset: 3,
        };
        assert_eq!(
            pull_result(&pulled),
            "PullResult [pullStatus=NO_NEW_MSG, nextBeginOffset=3, minOffset=0, maxOffset=3, msgFoundList=0]"
        );
    }
}
