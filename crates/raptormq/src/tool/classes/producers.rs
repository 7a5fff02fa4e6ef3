//! The classes that send: what each sends is a row, how is one function.
//!
//! Groups, topics, tags, keys, bodies and printed lines are the original's, so that its consumers go with them. Java:
//! `example/…/example/{quickstart,simple,ordermessage,batch,filter,schedule,tracemessage,transaction,operation,rpc}`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use raptormq_client::{Client, Message, MessageQueue, SendReceipt, TransactionState};

use super::options::{self, needed};
use super::{Class, SetUp, in_namespace, plain, run_with, with_client, with_word};
use crate::argv::Invocation;
use crate::tool::{self, quickstart};

/// See the module's documentation.
pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "quickstart.Producer",
        about: "sends 1,000 messages to TopicTest",
        run: |invocation| quickstart::run(with_word(invocation, "producer")),
    },
    Class {
        name: "simple.Producer",
        about: "sends 128 messages with a key to TopicTest",
        run: |invocation| run(&invocation, &SIMPLE),
    },
    Class {
        name: "simple.AsyncProducer",
        about: "sends 100 messages to Jodie_topic_1023, all on their way at once",
        run: |invocation| run(&invocation, &ASYNC),
    },
    Class {
        name: "simple.OnewayProducer",
        about: "sends 100 messages to TopicTest without waiting for answers",
        run: |invocation| run(&invocation, &ONEWAY),
    },
    Class {
        name: "ordermessage.Producer",
        about: "sends 100 messages to TopicTest, those of an order to one queue",
        run: |invocation| run(&invocation, &ORDERED),
    },
    Class {
        name: "batch.SimpleBatchProducer",
        about: "sends a batch of 3 messages to BatchTest",
        run: |invocation| run(&invocation, &BATCH),
    },
    Class {
        name: "batch.SplitBatchProducer",
        about: "sends 100,000 messages to BatchTest in batches of 1 MB",
        run: |invocation| run(&invocation, &SPLIT_BATCH),
    },
    Class {
        name: "filter.TagFilterProducer",
        about: "sends 60 messages with three tags to TagFilterTest",
        run: |invocation| run(&invocation, &TAGS),
    },
    Class {
        name: "filter.SqlFilterProducer",
        about: "sends 10 messages with a property to SqlFilterTest",
        run: |invocation| run(&invocation, &SQL),
    },
    Class {
        name: "schedule.ScheduledMessageProducer",
        about: "sends 100 messages to TestTopic that come after 10 s",
        run: |invocation| run(&invocation, &SCHEDULED),
    },
    Class {
        name: "tracemessage.TraceProducer",
        about: "sends 128 messages to TopicTest and traces of them",
        run: |invocation| run(&invocation, &TRACED),
    },
    Class {
        name: "transaction.TransactionProducer",
        about: "sends 10 messages to TopicTest1234 in transactions, and answers for them until Ctrl-C",
        run: |invocation| transactions(&invocation),
    },
    Class {
        name: "operation.Producer",
        about: "sends messages: -g group -t topic -a tags -k keys -c count",
        run: |invocation| operation(&invocation),
    },
    Class {
        name: "rpc.RequestProducer",
        about: "sends a request to RequestTopic and prints the reply",
        run: |invocation| request(&invocation),
    },
    Class { name: "rpc.AsyncRequestProducer", about: "the same", run: |invocation| request(&invocation) },
    Class {
        name: "schedule.TimerMessageProducer",
        about: "sends 10 messages to TimerTopic that are due in 10 s; the broker needs timer messages",
        run: |invocation| run(&invocation, &TIMED),
    },
    Class {
        name: "namespace.ProducerWithNamespace",
        about: "sends 100 messages to NAMESPACE_TOPIC of the namespace InstanceTest",
        run: |invocation| run(&invocation, &NAMESPACED),
    },
    Class {
        name: "lmq.LMQProducer",
        about: "sends 128 messages to TopicLMQParent and into the light queues %LMQ%123 and %LMQ%456",
        run: |invocation| run(&invocation, &LIGHT),
    },
];

/// How messages are sent.
enum Way {
    /// One after another.
    Sync,
    /// All at once.
    Async,
    Oneway,
    /// Each to the queue of this number, modulo the queues.
    Ordered(fn(usize) -> usize),
    /// In batches of at most so many bytes.
    Batches(usize),
}

/// What a class sends.
pub(super) struct Sample {
    group: &'static str,
    count: usize,
    way: Way,
    is_traced: bool,
    set_up: SetUp,
    message: fn(usize) -> Message,
    /// What is printed of what was taken.
    line: fn(&SendReceipt) -> String,
}

const UNIQUE_GROUP: &str = "please_rename_unique_group_name";
/// Tags that samples go through.
const FIVE_TAGS: [&str; 5] = ["TagA", "TagB", "TagC", "TagD", "TagE"];
/// Bytes of a batch of the split producer (Java: `ListSplitter`).
const BATCH_BYTES: usize = 1000 * 1000;

fn hello(number: usize) -> String {
    format!("Hello RocketMQ {number}")
}

pub(super) const SIMPLE: Sample = Sample {
    group: "ProducerGroupName",
    count: 128,
    way: Way::Sync,
    is_traced: false,
    set_up: plain,
    message: |_| Message::new("TopicTest", "Hello world").tag("TagA").key("OrderID188"),
    line: ToString::to_string,
};
const TRACED: Sample = Sample { is_traced: true, ..SIMPLE };
const ASYNC: Sample = Sample {
    group: "Jodie_Daily_test",
    count: 100,
    way: Way::Async,
    message: |_| Message::new("Jodie_topic_1023", "Hello world").tag("TagA").key("OrderID188"),
    ..SIMPLE
};
const ONEWAY: Sample = Sample {
    group: UNIQUE_GROUP,
    count: 100,
    way: Way::Oneway,
    message: |number| Message::new("TopicTest", hello(number)).tag("TagA"),
    ..SIMPLE
};
const ORDERED: Sample = Sample {
    group: UNIQUE_GROUP,
    count: 100,
    way: Way::Ordered(|number| number % 10),
    message: |number| Message::new("TopicTest", hello(number)).tag(FIVE_TAGS[number % 5]).key(format!("KEY{number}")),
    ..SIMPLE
};
const BATCH: Sample = Sample {
    group: "BatchProducerGroupName",
    count: 3,
    way: Way::Batches(BATCH_BYTES),
    message: |number| {
        Message::new("BatchTest", format!("Hello world {number}")).tag("Tag").key(format!("OrderID00{}", number + 1))
    },
    ..SIMPLE
};
const SPLIT_BATCH: Sample = Sample {
    count: 100_000,
    message: |number| {
        Message::new("BatchTest", format!("Hello world {number}")).tag("Tag").key(format!("OrderID{number}"))
    },
    ..BATCH
};
const TAGS: Sample = Sample {
    group: UNIQUE_GROUP,
    count: 60,
    message: |number| Message::new("TagFilterTest", "Hello world").tag(FIVE_TAGS[number % 3]),
    ..SIMPLE
};
const SQL: Sample = Sample {
    group: UNIQUE_GROUP,
    count: 10,
    message: |number| {
        Message::new("SqlFilterTest", hello(number)).tag(FIVE_TAGS[number % 3]).property("a", number.to_string())
    },
    ..SIMPLE
};
const SCHEDULED: Sample = Sample {
    group: "ExampleProducerGroup",
    count: 100,
    message: |number| Message::new("TestTopic", format!("Hello scheduled message {number}")).delay_level(3),
    ..SIMPLE
};
const TIMED: Sample = Sample {
    group: "TimerMessageProducerGroup",
    count: 10,
    message: |number| {
        let due = SystemTime::now() + Duration::from_secs(10);
        Message::new("TimerTopic", format!("Hello scheduled message {number}")).deliver_at(due)
    },
    ..SIMPLE
};
const NAMESPACED: Sample = Sample {
    group: "pidTest",
    count: 100,
    set_up: in_namespace,
    message: |_| Message::new("NAMESPACE_TOPIC", "Hello world").tag("tagTest"),
    line: |receipt| format!("Topic:{} send success, misId is:{}", receipt.queue.topic, receipt.message_id),
    ..SIMPLE
};
const LIGHT: Sample = Sample {
    message: |number| {
        let message = Message::new("TopicLMQParent", hello(number)).tag("TagA").key(format!("Key{number}"));
        message.property("INNER_MULTI_DISPATCH", "%LMQ%123,%LMQ%456")
    },
    ..SIMPLE
};

fn run(invocation: &Invocation, sample: &Sample) -> ExitCode {
    with_client(invocation, sample.set_up, async |client| send(&client, sample).await)
}

pub(super) async fn send(client: &Client, sample: &Sample) -> anyhow::Result<ExitCode> {
    let builder = client.producer(sample.group).accept_weak_ack();
    let builder = if sample.is_traced { builder.trace() } else { builder };
    let producer = builder.start().await?;
    let mut failed = 0;
    let mut take = |outcome: raptormq_client::Result<String>| match outcome {
        Ok(line) if line.is_empty() => {}
        Ok(line) => say!("{line}"),
        Err(error) => {
            failed += 1;
            eprintln!("{error}");
        }
    };
    match sample.way {
        Way::Sync => {
            for number in 0..sample.count {
                take(producer.send((sample.message)(number)).await.map(|receipt| (sample.line)(&receipt)));
            }
        }
        Way::Async => {
            let mut acks = Vec::with_capacity(sample.count);
            for number in 0..sample.count {
                acks.push(producer.enqueue((sample.message)(number)).await?);
            }
            for (number, ack) in acks.into_iter().enumerate() {
                match ack.await {
                    Ok(receipt) => take(Ok(format!("{number:<10} OK {} ", receipt.message_id))),
                    Err(error) => take(Err(error).inspect_err(|error| say!("{number:<10} Exception {error} "))),
                }
            }
        }
        Way::Oneway => {
            for number in 0..sample.count {
                take(producer.send_oneway((sample.message)(number)).await.map(|()| String::new()));
            }
        }
        Way::Ordered(order_of) => {
            for number in 0..sample.count {
                let order = order_of(number);
                let choose = move |queues: &[MessageQueue]| order % queues.len();
                let sent = producer.send((sample.message)(number)).select(choose).await;
                take(sent.map(|receipt| (sample.line)(&receipt)));
            }
        }
        Way::Batches(bytes_max) => {
            for receipt in producer.send_batches((0..sample.count).map(sample.message), bytes_max).await? {
                take(Ok((sample.line)(&receipt)));
            }
        }
    }
    producer.shutdown().await;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Messages whose transactions stay open; the broker's questions are answered with not known, yes and no in turn.
fn transactions(invocation: &Invocation) -> ExitCode {
    with_client(invocation, plain, async |client| {
        let turn = AtomicUsize::new(0);
        let check = move |_| {
            let state = match turn.fetch_add(1, Ordering::Relaxed) % 3 {
                0 => TransactionState::Unknown,
                1 => TransactionState::Commit,
                _ => TransactionState::Rollback,
            };
            async move { state }
        };
        let producer = client.producer(UNIQUE_GROUP).start_transactional(check).await?;
        let work = async {
            for number in 0..10 {
                let message = Message::new("TopicTest1234", hello(number)).tag(FIVE_TAGS[number % 5]);
                match producer.send(message.key(format!("KEY{number}")), async { TransactionState::Unknown }).await {
                    Ok((receipt, _)) => say!("{receipt}"),
                    Err(error) => eprintln!("{error}"),
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            // First, so that a signal is heard from the beginning.
            biased;
            told = tool::until_told() => told?,
            () = work => {}
        }
        producer.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn request(invocation: &Invocation) -> ExitCode {
    /// How long the reply may take (Java: `RequestProducer`).
    const PATIENCE: Duration = Duration::from_secs(3);
    with_client(invocation, plain, async |client| {
        let producer = client.producer(UNIQUE_GROUP).start().await?;
        let began = std::time::Instant::now();
        let reply = producer.request(Message::new("RequestTopic", "Hello world"), PATIENCE).await;
        let took_ms = began.elapsed().as_millis();
        match &reply {
            Ok(reply) => say!("request to <RequestTopic> cost: {took_ms} replyMessage: {reply} "),
            Err(error) => eprintln!("request to <RequestTopic> fail. {error}"),
        }
        producer.shutdown().await;
        Ok(if reply.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// `operation.Producer`: what is sent is said by options, all of which must be there.
fn operation(invocation: &Invocation) -> ExitCode {
    let known = [
        needed("g", "producerGroup", "Producer Group Name"),
        needed("t", "topic", "Topic Name"),
        needed("a", "tags", "Tags Name"),
        needed("k", "keys", "Keys Name"),
        needed("c", "msgCount", "Message Count"),
    ];
    let found = match options::read(invocation, "producer", &known) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let value = |short: &str| found.text(short).unwrap_or_default().to_owned();
    let Ok(count) = value("c").parse::<u64>() else {
        return tool::fail(&invocation.program, &anyhow::anyhow!("-c {} is no number", value("c")));
    };
    let builder = Client::builder().namesrv(tool::namesrv(found.text("n"), invocation));
    run_with(invocation, builder, async |client| {
        let producer = client.producer(value("g")).accept_weak_ack().start().await?;
        let mut failed = 0;
        for number in 0..count {
            let message = Message::new(value("t"), format!("Hello RocketMQ {number}"));
            match producer.send(message.tag(value("a")).key(value("k"))).await {
                Ok(receipt) => say!("{number:<8} {receipt}"),
                Err(error) => {
                    failed += 1;
                    eprintln!("{error}");
                }
            }
        }
        producer.shutdown().await;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
