//! Commands that read queues and print what is in them. They hold one pull's messages at a time.

use std::collections::BTreeMap;

use encoding_rs::{Encoding, UTF_8};
use raptormq_client::{PullFrom, PullStatus, Pulled};
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::message::MessageExt;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::message::{TOOLS_GROUP, address_of, charset, fields_of, shown_id};
use crate::session::{Session, line, print, record};
use crate::text;

/// Messages that one pull may bring.
const PULL_BATCH: i32 = 32;
/// Messages that `consumeMessage` prints unless it is told otherwise.
const CONSUME_COUNT: i64 = 128;
/// Messages that one of its pulls may bring: what is asked for may be millions.
const CONSUME_BATCH_MAX: i64 = 1024;

// Some of the original's names end in a blank. On the command line it can be left out: a unique beginning will do.
const TOPIC: Opt = Opt::value("t", "topic", "Name of the topic").required();
const CHARSET: Opt = Opt::value("c", "charsetName ", "The charset of the bodies, UTF-8 unless given");
const EXPRESSION: Opt = Opt::value("s", "subExpression ", "Only messages with these tags: TagA||TagB");
const BEGIN: Opt =
    Opt::moment("b", "beginTimestamp ", "From here: milliseconds since 1970, or yyyy-MM-dd#HH:mm:ss:SSS");
const END: Opt = Opt::moment("e", "endTimestamp ", "To here: milliseconds since 1970, or yyyy-MM-dd#HH:mm:ss:SSS");

pub(crate) const PRINT: Command = Command {
    name: "printMsg",
    about: "Print the messages of a topic",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        CHARSET,
        EXPRESSION,
        BEGIN,
        END,
        Opt::value("d", "printBody ", "Whether to print bodies: true, unless given, or false"),
        Opt::value("l", "lmqParentTopic", "The topic whose route a light queue has"),
    ],
    run: Run::By(|session, arguments| Box::pin(print_topic(session, arguments))),
};

pub(crate) const PRINT_QUEUE: Command = Command {
    name: "printMsgByQueue",
    about: "Print the messages of one queue, or count its tags",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        Opt::value("a", "brokerName ", "Name of the broker").required(),
        Opt::number("i", "queueId ", "The queue").required(),
        CHARSET,
        EXPRESSION,
        BEGIN,
        END,
        Opt::value("p", "print msg", "Whether to print messages: true, or false unless given"),
        Opt::value("d", "printBody ", "Whether to print bodies: true, or false unless given"),
        Opt::value("f", "calculate", "Whether to count messages by tag: true, or false unless given"),
    ],
    run: Run::By(|session, arguments| Box::pin(print_queue(session, arguments))),
};

pub(crate) const CONSUME: Command = Command {
    name: "consumeMessage",
    about: "Read messages of a topic, without any group's offsets being changed",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        Opt::value("b", "brokerName", "With -i: name of the broker"),
        Opt::number("i", "queueId", "With -b: only this queue"),
        Opt::number("o", "offset", "With -b and -i: from this offset on"),
        Opt::value("g", "consumerGroup", "The group to read as"),
        Opt::moment("s", "beginTimestamp ", "From here: milliseconds since 1970, or yyyy-MM-dd#HH:mm:ss:SSS"),
        Opt::moment("e", "endTimestamp ", "To here: milliseconds since 1970, or yyyy-MM-dd#HH:mm:ss:SSS"),
        Opt::number("c", "MessageNumber", "Messages to read, 128 unless given"),
    ],
    run: Run::By(|session, arguments| Box::pin(consume(session, arguments))),
};

/// How messages are shown.
struct Look {
    charset: &'static Encoding,
    prints_body: bool,
}

impl Look {
    fn print(&self, session: &Session<'_>, messages: &[MessageExt]) -> Result<()> {
        for message in messages {
            let body = match self.prints_body {
                true => self.charset.decode_without_bom_handling(&message.body).0,
                false => "NOT PRINT BODY".into(),
            };
            if session.is_json() {
                let mut fields = fields_of(message);
                if self.prints_body {
                    fields.push(("body", body.into()));
                }
                session.record(&fields)?;
                continue;
            }
            line!(session, "MSGID: {} {message} BODY: {body}", shown_id(message));
        }
        Ok(())
    }
}

/// A queue, and the offsets to read from and to.
struct Span {
    queue: MessageQueue,
    address: String,
    from: i64,
    to: i64,
}

impl Span {
    /// The whole queue, or what was stored in a time.
    async fn of(
        session: &Session<'_>,
        (queue, address): (MessageQueue, String),
        begin_ms: Option<i64>,
        end_ms: Option<i64>,
    ) -> Result<Span> {
        let admin = &session.admin;
        let from = match begin_ms {
            Some(time_ms) => admin.offset_by_time(&address, &queue, time_ms).await?,
            None => admin.min_offset(&address, &queue).await?,
        };
        let to = match end_ms {
            Some(time_ms) => admin.offset_by_time(&address, &queue, time_ms).await?,
            None => admin.max_offset(&address, &queue).await?,
        };
        Ok(Span { queue, address, from, to })
    }

    async fn pull(&self, session: &Session<'_>, as_whom: (&str, &str), offset: i64, count: i32) -> Result<Pulled> {
        let (group, expression) = as_whom;
        let from = PullFrom { queue: &self.queue, group, expression, offset, messages_max: count };
        Ok(session.admin.pull(&self.address, from).await?)
    }
}

async fn print_topic(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    let look = Look {
        charset: arguments.get("c").map_or(Ok(UTF_8), charset)?,
        prints_body: arguments.truth("d").unwrap_or(true),
    };
    let (begin_ms, end_ms) = (arguments.moment("b")?, arguments.moment("e")?);
    let expression = arguments.get("s").unwrap_or("*");
    let queues = session.admin.subscribe_queues(arguments.get("l").unwrap_or(topic)).await?;
    let count = queues.len();
    let mut printed = 0_u64;
    for (at, (queue, address)) in queues.into_iter().enumerate() {
        let queue = MessageQueue { topic: topic.to_owned(), ..queue };
        let span = Span::of(session, (queue, address), begin_ms, end_ms).await?;
        let queue = &span.queue;
        line!(session, "minOffset={}, maxOffset={}, {queue}", span.from, span.to);
        let mut offset = span.from;
        while offset < span.to {
            let pulled = match span.pull(session, (TOOLS_GROUP, expression), offset, PULL_BATCH).await {
                Ok(pulled) => pulled,
                Err(failure) => {
                    session.complain(&failure);
                    break;
                }
            };
            let stood_still = pulled.next_offset <= offset;
            offset = pulled.next_offset;
            let status = pulled.status.name();
            match pulled.status {
                PullStatus::Found => {
                    look.print(session, &pulled.messages)?;
                    printed += pulled.messages.len() as u64;
                    session.progress(|| {
                        format!("queue {} of {count}: offset {offset} of {}; {printed} messages", at + 1, span.to)
                    });
                }
                PullStatus::NoMatchedMessage if !stood_still => {
                    line!(session, "{queue} no matched msg. status={status}, offset={offset}");
                }
                _ => {
                    line!(session, "{queue} print msg finished. status={status}, offset={offset}");
                    break;
                }
            }
        }
        line!(session, "--------------------------------------------------------");
    }
    Ok(())
}

async fn print_queue(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topic, broker_name) = (arguments.require("t")?, arguments.require("a")?);
    let queue_id: i32 = arguments.number("i")?.unwrap_or_default();
    let look = Look {
        charset: arguments.get("c").map_or(Ok(UTF_8), charset)?,
        prints_body: arguments.truth("d").unwrap_or(false),
    };
    let prints = arguments.truth("p").unwrap_or(false);
    let counts = arguments.truth("f").unwrap_or(false);
    let expression = arguments.get("s").unwrap_or("*");
    let address = address_of(session, topic, broker_name).await?;
    let queue = MessageQueue { broker_name: broker_name.to_owned(), queue_id, topic: topic.to_owned() };
    let span = Span::of(session, (queue, address), arguments.moment("b")?, arguments.moment("e")?).await?;
    // Bounded by the tags of the queue.
    let mut tags: BTreeMap<String, u64> = BTreeMap::new();
    let mut offset = span.from;
    while offset < span.to {
        let pulled = span.pull(session, (TOOLS_GROUP, expression), offset, PULL_BATCH).await?;
        // Messages that do not match are passed over, where the original ends.
        let ends = match pulled.status {
            PullStatus::Found | PullStatus::NoMatchedMessage => pulled.next_offset <= offset,
            PullStatus::NoNewMessage | PullStatus::OffsetIllegal => true,
        };
        if counts {
            for tag in pulled.messages.iter().filter_map(MessageExt::tags).filter(|tag| !tag.trim().is_empty()) {
                *tags.entry(tag.to_owned()).or_default() += 1;
            }
        }
        if prints {
            look.print(session, &pulled.messages)?;
        }
        session.progress(|| format!("offset {} of {}", pulled.next_offset, span.to));
        if ends {
            break;
        }
        offset = pulled.next_offset;
    }
    let mut tags: Vec<(String, u64)> = tags.into_iter().collect();
    tags.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (tag, count) in tags {
        record!(session, "tag": tag, "count": count);
        line!(session, "Tag: {tag:<30} Count: {count}");
    }
    Ok(())
}

async fn consume(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    let count = arguments.number("c")?.unwrap_or(CONSUME_COUNT);
    let queue_id: Option<i32> = arguments.number("i")?;
    let offset: Option<i64> = arguments.number("o")?;
    let (begin_ms, end_ms) = (arguments.moment("s")?, arguments.moment("e")?);
    let now_ms = text::now_ms();
    // What the original prints, and what to do about it.
    let refusal = if count <= 0 {
        Some(("Please input a positive messageNumber!", "-c must be 1 or more"))
    } else if queue_id.is_some() && !arguments.has("b") {
        Some(("Please set the brokerName before queueId!", "-i needs -b with the name of the queue's broker, too"))
    } else if offset.is_some() && queue_id.is_none() {
        Some(("Please set queueId before offset!", "-o needs -i with the queue, too"))
    } else if begin_ms.is_some_and(|begin_ms| begin_ms > now_ms) {
        Some(("Please set the beginTimestamp before now!", "-s must not lie in the future"))
    } else if end_ms.is_some_and(|end_ms| end_ms > now_ms) {
        Some(("Please set the endTimestamp before now!", "-e must not lie in the future"))
    } else if end_ms.is_some_and(|end_ms| begin_ms.unwrap_or(0) > end_ms) {
        let text = "Please make sure that the beginTimestamp is less than or equal to the endTimestamp";
        Some((text, "-s must not be later than -e"))
    } else {
        None
    };
    if let Some((text, remedy)) = refusal {
        print!(session, "{text}");
        return Err(Failure::argument(remedy));
    }
    // A time of 0 is no time.
    let (begin_ms, end_ms) = (begin_ms.filter(|time| *time > 0), end_ms.filter(|time| *time > 0));
    let group = arguments.get("g").unwrap_or(TOOLS_GROUP);
    let (Some(broker_name), Some(queue_id)) = (arguments.get("b"), queue_id) else {
        let mut queues = session.admin.subscribe_queues(topic).await?;
        if let Some(name) = arguments.get("b") {
            queues.retain(|(queue, _)| queue.broker_name == name);
            if queues.is_empty() {
                return Err(Failure::argument(format!("topic {topic} has no queue on a broker {name}")));
            }
        }
        return consume_queues(session, queues, (group, count), (begin_ms, end_ms)).await;
    };
    let address = address_of(session, topic, broker_name).await?;
    let queue = MessageQueue { broker_name: broker_name.to_owned(), queue_id, topic: topic.to_owned() };
    let mut span = Span::of(session, (queue, address), begin_ms, end_ms).await?;
    let offset = offset.unwrap_or(0);
    if offset > span.to {
        line!(session, "{} no matched msg, offset={offset}", span.queue);
        return Ok(());
    }
    span.from = span.from.max(offset);
    if span.to - span.from > count {
        line!(session, "The oldler {count} message will be provided");
        span.to = span.from + count - 1;
    }
    consume_span(session, group, &span).await
}

async fn consume_queues(
    session: &Session<'_>,
    queues: Vec<(MessageQueue, String)>,
    (group, count): (&str, i64),
    (begin_ms, end_ms): (Option<i64>, Option<i64>),
) -> Result<()> {
    let mut left = count;
    for (queue, address) in queues {
        if left <= 0 {
            break;
        }
        let mut span = Span::of(session, (queue, address), begin_ms, end_ms).await?;
        if span.to - span.from > left {
            line!(session, "The older {left} message of the {} queue will be provided", span.queue.queue_id);
            span.to = span.from + left - 1;
            left = 0;
        } else {
            left -= span.to - span.from + 1;
        }
        consume_span(session, group, &span).await?;
    }
    Ok(())
}

/// Reads a queue from an offset to another, that one included.
async fn consume_span(session: &Session<'_>, group: &str, span: &Span) -> Result<()> {
    let look = Look { charset: UTF_8, prints_body: true };
    let queue = &span.queue;
    let mut offset = span.from;
    while offset <= span.to {
        let count = (span.to - offset + 1).clamp(1, CONSUME_BATCH_MAX) as i32;
        let pulled = span.pull(session, (group, "*"), offset, count).await?;
        let stood_still = pulled.next_offset <= offset;
        offset = pulled.next_offset;
        let status = pulled.status.name();
        match pulled.status {
            PullStatus::Found => {
                line!(session, "Consume ok");
                look.print(session, &pulled.messages)?;
            }
            PullStatus::NoMatchedMessage if !stood_still => {
                line!(session, "{queue} no matched msg. status={status}, offset={offset}");
            }
            _ => {
                line!(session, "{queue} print msg finished. status={status}, offset={offset}");
                break;
            }
        }
    }
    Ok(())
}
