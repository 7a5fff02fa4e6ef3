//! The classes that receive.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use raptormq_client::{Client, ConsumeFrom, Consumer, ConsumerBuilder, MessageView, PullConsumer, Retry};

use super::{Class, SetUp, in_namespace, options, plain, run_with, with_client, with_word};
use crate::argv::Invocation;
use crate::tool::printer::Printer;
use crate::tool::{self, quickstart};

/// Handlers that run at once; the lines name their threads.
const THREADS: usize = 20;
/// How long one poll waits (Java: `DefaultLitePullConsumer.pollTimeoutMillis`).
const POLL_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module's documentation. Java: `example/…/example/**`.
pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "quickstart.Consumer",
        about: "prints the messages of TopicTest as they come",
        run: |invocation| quickstart::run(with_word(invocation, "consumer")),
    },
    Class {
        name: "simple.PushConsumer",
        about: "prints the messages of TopicTest, in group CID_JODIE_1",
        run: |invocation| push(&invocation, &Sample { from: ConsumeFrom::First, ..SAMPLE }),
    },
    Class {
        name: "ordermessage.Consumer",
        about: "prints TagA, TagC and TagD of TopicTest in order, and lets a queue wait now and then",
        run: |invocation| {
            let sample = Sample {
                group: "please_rename_unique_group_name_3",
                filter: Filter::Tags("TagA || TagC || TagD"),
                from: ConsumeFrom::First,
                is_ordered: true,
                ..SAMPLE
            };
            push(&invocation, &sample)
        },
    },
    Class {
        name: "broadcast.PushConsumer",
        about: "prints TagA, TagC and TagD of TopicTest, as every member of its group does",
        run: |invocation| {
            let sample = Sample {
                group: "please_rename_unique_group_name_1",
                filter: Filter::Tags("TagA || TagC || TagD"),
                from: ConsumeFrom::First,
                is_broadcast: true,
                started: "Broadcast Consumer Started.",
                ..SAMPLE
            };
            push(&invocation, &sample)
        },
    },
    Class {
        name: "filter.TagFilterConsumer",
        about: "prints TagA and TagC of TagFilterTest",
        run: |invocation| {
            let filter = Filter::Tags("TagA || TagC");
            push(&invocation, &Sample { group: FILTER_GROUP, topic: "TagFilterTest", filter, ..SAMPLE })
        },
    },
    Class {
        name: "filter.SqlFilterConsumer",
        about: "prints what of SqlFilterTest fits an SQL92 filter",
        run: |invocation| {
            let filter =
                Filter::Sql("(TAGS is not null and TAGS in ('TagA', 'TagB'))and (a is not null and a between 0 and 3)");
            push(&invocation, &Sample { group: FILTER_GROUP, topic: "SqlFilterTest", filter, ..SAMPLE })
        },
    },
    Class {
        name: "schedule.ScheduledMessageConsumer",
        about: "prints how long after their storing the messages of TestTopic come",
        run: |invocation| {
            let sample = Sample { group: "ExampleConsumer", topic: "TestTopic", show: Show::SinceStored, ..SAMPLE };
            push(&invocation, &Sample { started: "", ..sample })
        },
    },
    Class {
        name: "schedule.TimerMessageConsumer",
        about: "prints how long after their making the messages of TimerTopic come",
        run: |invocation| {
            let sample =
                Sample { group: "TimerMessageConsumerGroup", topic: "TimerTopic", show: Show::SinceBorn, ..SAMPLE };
            push(&invocation, &Sample { started: "", ..sample })
        },
    },
    Class {
        name: "namespace.PushConsumerWithNamespace",
        about: "prints the ids of the messages of NAMESPACE_TOPIC in the namespace InstanceTest",
        run: |invocation| {
            let sample = Sample { group: "cidTest", topic: "NAMESPACE_TOPIC", show: Show::Topic, ..SAMPLE };
            push(&invocation, &Sample { set_up: in_namespace, started: "", ..sample })
        },
    },
    Class {
        name: "rpc.ResponseConsumer",
        about: "replies to the requests in RequestTopic",
        run: |invocation| with_client(&invocation, plain, reply),
    },
    Class {
        name: "tracemessage.TracePushConsumer",
        about: "prints the messages of TopicTest and writes traces of them",
        run: |invocation| {
            let sample = Sample { group: "ProducerGroupName", from: ConsumeFrom::First, is_traced: true, ..SAMPLE };
            push(&invocation, &sample)
        },
    },
    Class {
        name: "simple.LitePullConsumerSubscribe",
        about: "polls the messages of TopicTest",
        run: |invocation| poll(&invocation, Polled::Subscribed),
    },
    Class {
        name: "simple.LitePullConsumerAssign",
        about: "polls half of the queues of TopicTest, the first from offset 10 on",
        run: |invocation| poll(&invocation, Polled::HalfOfQueues),
    },
    Class {
        name: "simple.LitePullConsumerAssignWithSubExpression",
        about: "polls TagA of all queues of TopicTest and TopicTest1, the first from offset 10 on",
        run: |invocation| poll(&invocation, Polled::Tagged),
    },
    Class {
        name: "simple.PullConsumer",
        about: "takes the messages of TopicTest and prints nothing",
        run: |invocation| poll(&invocation, Polled::Silently),
    },
    Class { name: "operation.Consumer", about: "prints the messages of -t TOPIC in group -g GROUP", run: operation },
];

const FILTER_GROUP: &str = "please_rename_unique_group_name";

/// What a sample that gets its messages pushed does.
#[derive(Clone, Copy)]
struct Sample {
    group: &'static str,
    topic: &'static str,
    filter: Filter,
    from: ConsumeFrom,
    is_ordered: bool,
    is_broadcast: bool,
    is_traced: bool,
    set_up: SetUp,
    show: Show,
    /// What is printed once it runs.
    started: &'static str,
}

const SAMPLE: Sample = Sample {
    group: "CID_JODIE_1",
    topic: "TopicTest",
    filter: Filter::Tags("*"),
    from: ConsumeFrom::Last,
    is_ordered: false,
    is_broadcast: false,
    is_traced: false,
    set_up: plain,
    show: Show::Message,
    started: "Consumer Started.",
};

#[derive(Clone, Copy)]
enum Filter {
    Tags(&'static str),
    Sql(&'static str),
}

/// What is printed of a message.
#[derive(Clone, Copy)]
enum Show {
    Message,
    /// How long ago it was stored.
    SinceStored,
    /// How long ago it was made.
    SinceBorn,
    /// Its topic and how often it came.
    Topic,
}

/// Runs a sample until Ctrl-C.
fn push(invocation: &Invocation, sample: &Sample) -> ExitCode {
    with_client(invocation, sample.set_up, |client| async move {
        let printer = Arc::new(Printer::start()?);
        let consumer = start(&client, sample, &printer).await?;
        if !sample.started.is_empty() {
            printer.line(sample.started.to_owned());
        }
        tool::until_told().await?;
        consumer.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn start(client: &Client, sample: &Sample, printer: &Arc<Printer>) -> raptormq_client::Result<Consumer> {
    let builder = client.consumer(sample.group).from(sample.from).concurrency(THREADS);
    let mut builder: ConsumerBuilder = match sample.filter {
        Filter::Tags(tags) => builder.subscribe(sample.topic, tags),
        Filter::Sql(condition) => builder.subscribe_sql(sample.topic, condition),
    };
    if sample.is_ordered {
        builder = builder.orderly();
    }
    if sample.is_broadcast {
        builder = builder.broadcast();
    }
    if sample.is_traced {
        builder = builder.trace();
    }
    let (printer, turns, sample) = (printer.clone(), AtomicUsize::new(0), *sample);
    let handle = move |message: MessageView| {
        let turn = turns.fetch_add(1, Ordering::Relaxed) + 1;
        printer.line(sample.line(turn, &message));
        // The ordered one of the original does so with what is divided by 5 and not by 2.
        let waits = sample.is_ordered && turn % 5 == 0 && turn % 2 != 0;
        async move { if waits { Err(Retry::After(Duration::from_secs(3))) } else { Ok(()) } }
    };
    builder.start(handle).await
}

impl Sample {
    fn line(&self, turn: usize, message: &MessageView) -> String {
        match self.show {
            Show::Message => {
                let (group, thread) = (self.group, turn % THREADS + 1);
                // As Java's `%s Receive New Messages: %s %n` prints a thread and a list of one.
                format!("ConsumeMessageThread_{group}_{thread} Receive New Messages: [{message}] ")
            }
            Show::SinceStored => delay_line(message, message.ext().store_timestamp_ms),
            Show::SinceBorn => delay_line(message, message.ext().born_timestamp_ms),
            Show::Topic => {
                let (topic, id, times) = (message.topic(), message.message_id(), message.reconsume_times());
                format!("Msg topic is:{topic}, MsgId is:{id}, reconsumeTimes is:{times}")
            }
        }
    }
}

/// How long ago something happened to a message.
fn delay_line(message: &MessageView, since_ms: i64) -> String {
    let later = Timestamp::now().as_millisecond() - since_ms;
    format!("Receive message[msgId={} {later}  ms later]", message.message_id())
}

/// Starts the consumer of the sample with an account; `body` is what it prints of a message's body.
pub(super) async fn start_signed(
    client: &Client,
    body: impl Fn(&MessageView) -> String + Send + Sync + 'static,
) -> anyhow::Result<Consumer> {
    const SIGNED: Sample = Sample { group: "please_rename_unique_group_name_5", ..SAMPLE };
    let printer = Printer::start()?;
    let turns = AtomicUsize::new(0);
    let handle = move |message: MessageView| {
        printer.line(SIGNED.line(turns.fetch_add(1, Ordering::Relaxed) + 1, &message));
        printer.line(body(&message));
        async { Ok(()) }
    };
    let builder = client.consumer(SIGNED.group).subscribe(SIGNED.topic, "*").from(ConsumeFrom::First);
    Ok(builder.concurrency(THREADS).start(handle).await?)
}

/// Java: `rpc/ResponseConsumer.java`.
async fn reply(client: Client) -> anyhow::Result<ExitCode> {
    const ANSWERS: Sample = Sample { group: FILTER_GROUP, topic: "RequestTopic", ..SAMPLE };
    let printer = Arc::new(Printer::start()?);
    let replies = client.producer(ANSWERS.group).start().await?;
    let (replier, lines, turns) = (replies.clone(), printer.clone(), AtomicUsize::new(0));
    let handle = move |message: MessageView| {
        lines.line(ANSWERS.line(turns.fetch_add(1, Ordering::Relaxed) + 1, &message));
        lines.line(format!("handle message: {message} "));
        let (replier, lines) = (replier.clone(), lines.clone());
        async move {
            match replier.reply(&message, "reply message contents.").await {
                Ok(receipt) => {
                    let to = message.property("REPLY_TO_CLIENT").unwrap_or("null");
                    lines.line(format!("reply to {to} , {receipt} "));
                }
                // A requester that is gone, and a message that is no request, are no reason for another delivery.
                Err(error) => eprintln!("{error}"),
            }
            Ok(())
        }
    };
    let consumer =
        client.consumer(ANSWERS.group).subscribe(ANSWERS.topic, "*").concurrency(THREADS).start(handle).await?;
    printer.line(ANSWERS.started.to_owned());
    tool::until_told().await?;
    consumer.shutdown().await;
    replies.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// The samples that poll.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Polled {
    Subscribed,
    HalfOfQueues,
    Tagged,
    Silently,
}

fn poll(invocation: &Invocation, sample: Polled) -> ExitCode {
    with_client(invocation, plain, |client| async move {
        let consumer = start_polling(&client, sample).await?;
        let printer = Printer::start()?;
        let told = tool::until_told();
        tokio::pin!(told);
        loop {
            let messages = tokio::select! {
                told = &mut told => break told?,
                messages = consumer.poll(POLL_TIMEOUT) => messages?,
            };
            match sample {
                Polled::Subscribed => printer.line(list(&messages)),
                Polled::HalfOfQueues | Polled::Tagged => {
                    printer.line(format!("{} ", list(&messages)));
                    consumer.commit().await?;
                }
                Polled::Silently => {}
            }
        }
        consumer.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn start_polling(client: &Client, sample: Polled) -> anyhow::Result<PullConsumer> {
    let group = match sample {
        Polled::Subscribed => "lite_pull_consumer_test",
        Polled::HalfOfQueues | Polled::Tagged => FILTER_GROUP,
        Polled::Silently => "please_rename_unique_group_name_5",
    };
    let builder = client.pull_consumer(group);
    Ok(match sample {
        Polled::Subscribed => builder.subscribe("TopicTest", "*").from(ConsumeFrom::First).start().await?,
        Polled::Silently => builder.subscribe("TopicTest", "*").pull_batch(32).start().await?,
        Polled::HalfOfQueues | Polled::Tagged => {
            let tags = if sample == Polled::Tagged { "TagA" } else { "*" };
            let consumer = builder.assigned_tags(tags).manual_commit().start().await?;
            let mut queues = consumer.queues("TopicTest").await?;
            match sample {
                Polled::Tagged => queues.extend(consumer.queues("TopicTest1").await?),
                _ => queues.truncate(queues.len() / 2),
            }
            let first = queues.first().cloned();
            consumer.assign(queues).await?;
            if let Some(first) = first {
                consumer.seek(&first, 10).await?;
            }
            consumer
        }
    })
}

/// As Java prints a list.
fn list(messages: &[MessageView]) -> String {
    let texts: Vec<String> = messages.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(", "))
}

/// Java: `operation/Consumer.java`.
fn operation(invocation: Invocation) -> ExitCode {
    let known = [
        options::needed("g", "consumerGroup", "Consumer Group Name"),
        options::needed("t", "topic", "Topic Name"),
        options::with_value("s", "subscription", "subscription"),
        options::needed("f", "returnFailedHalf", "return failed result, for half message"),
    ];
    let found = match options::read(&invocation, "producer", &known) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let fails = found.is_true("f");
    let text = |option: &str| found.text(option).unwrap_or_default().to_owned();
    let (group, topic, tags) = (text("g"), text("t"), text("s"));
    let builder = Client::builder().namesrv(tool::namesrv(found.text("n"), &invocation));
    run_with(&invocation, builder, |client| async move {
        let printer = Arc::new(Printer::start()?);
        let (lines, times) = (printer.clone(), AtomicUsize::new(0));
        let handle = move |message: MessageView| {
            let turn = times.fetch_add(1, Ordering::Relaxed) + 1;
            lines.line(format!("{turn:<8} [{message}]"));
            async move { if fails && turn % 2 == 0 { Err(Retry::Default) } else { Ok(()) } }
        };
        let consumer = client.consumer(group).subscribe(topic, tags).start(handle).await?;
        printer.line("Consumer Started.".to_owned());
        tool::until_told().await?;
        consumer.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}
