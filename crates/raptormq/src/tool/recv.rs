//! `raptormq recv`: prints messages as they come, with or without a group.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use jiff::{Span, Timestamp, Zoned, civil};
use raptormq_client::{Client, ConsumeFrom, MessageView, Retry};
use tokio::sync::{mpsc, oneshot};

use super::cluster::{self, TopicName};
use super::printer::Printer;
use crate::argv::Invocation;

/// Prints the messages of a topic, new ones as they come.
#[derive(clap::Parser)]
struct Options {
    /// Topic to read
    topic: String,
    /// Name server to ask [default: NAMESRV_ADDR or 127.0.0.1:9876]
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// Consume as a member of this group, which remembers where it is; without it nothing is left behind
    #[arg(short, long)]
    group: Option<String>,
    /// Where to begin: first, last, a time (2026-01-31T12:00:00, also with a zone) or how long ago (10m, 2h)
    #[arg(long, value_name = "first|last|TIME", default_value = "last", value_parser = from)]
    from: ConsumeFrom,
    /// Only messages with one of these tags: TagA || TagB
    #[arg(short, long, value_name = "TAGS", default_value = "*")]
    tag: String,
    /// Only messages whose properties fulfil this SQL92 condition, which brokers read with enablePropertyFilter=true
    #[arg(long, value_name = "CONDITION", conflicts_with = "tag")]
    sql: Option<String>,
    /// With -g: begin where the group is, but do not join it and leave its offsets as they are
    #[arg(long, requires = "group")]
    no_commit: bool,
    /// Stop behind the messages that are there, instead of waiting for more; not as a member of a group
    #[arg(long)]
    no_follow: bool,
    /// Stop after so many messages
    #[arg(short, long)]
    count: Option<u64>,
    /// How a message is printed: its body as text, everything as JSON, its body in hexadecimal
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Hex,
}

/// Where to begin.
fn from(text: &str) -> Result<ConsumeFrom, String> {
    match text {
        "first" => return Ok(ConsumeFrom::First),
        "last" => return Ok(ConsumeFrom::Last),
        _ => {}
    }
    let moment = text
        .parse::<Timestamp>()
        .or_else(|_| text.parse::<Zoned>().map(|zoned| zoned.timestamp()))
        .or_else(|_| text.parse::<civil::DateTime>()?.to_zoned(jiff::tz::TimeZone::system()).map(|z| z.timestamp()))
        .or_else(|_| Zoned::now().checked_sub(text.parse::<Span>()?.abs()).map(|zoned| zoned.timestamp()));
    let moment = moment.map_err(|_| "expected first, last, a time as 2026-01-31T12:00:00, or how long ago as 10m")?;
    Ok(ConsumeFrom::Time(SystemTime::from(moment)))
}

/// Prints messages until enough came or Ctrl-C.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let namesrv = super::namesrv(options.namesrv.as_deref(), &invocation);
    match super::log_to_stderr() {
        Ok(_logging) => super::run_to_end(&invocation.program, receive(&namesrv, &options)),
        Err(error) => super::fail(&invocation.program, &error),
    }
}

async fn receive(namesrv: &str, options: &Options) -> anyhow::Result<ExitCode> {
    let told = super::until_told();
    tokio::pin!(told);
    let client = super::connect(namesrv).await?;
    let name = cluster::look_up(namesrv, &options.topic).await;
    if name != TopicName::Known {
        eprintln!("topic {} does not exist yet{}; waiting for it", options.topic, name.guess());
    }
    let mut messages = match &options.group {
        Some(_) if options.no_follow && !options.no_commit => {
            anyhow::bail!("a member of a group follows its topic: add --no-commit to --no-follow, or -c to stop")
        }
        Some(group) if !options.no_commit => Source::member(&client, group, options).await?,
        _ => Source::reader(&client, options).await?,
    };
    let printer = Printer::start()?;
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { break };
                printer.line(text(&message.0, options.format));
                message.done();
                left -= 1;
            }
            told = &mut told => {
                told?;
                break;
            }
        }
    }
    messages.end().await;
    client.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// A message, and who waits to hear that it was printed.
struct Received(MessageView, Option<oneshot::Sender<()>>);

impl Received {
    fn done(self) {
        if let Some(waiting) = self.1 {
            // The consumer may have stopped waiting because it ends; then the message comes again.
            let _ = waiting.send(());
        }
    }
}

/// Where messages come from.
enum Source {
    Reader(raptormq_client::Reader),
    Member(raptormq_client::Consumer, mpsc::Receiver<Received>),
}

impl Source {
    async fn reader(client: &Client, options: &Options) -> anyhow::Result<Source> {
        let mut reader = client.reader(&options.topic).tags(&options.tag).from(options.from);
        if let Some(condition) = &options.sql {
            reader = reader.sql(condition);
        }
        if let Some(group) = &options.group {
            reader = reader.from_group(group);
        }
        if options.no_follow {
            reader = reader.until_end();
        }
        Ok(Source::Reader(reader.open().await?))
    }

    /// One message after another, so that none is taken for done that was not printed.
    async fn member(client: &Client, group: &str, options: &Options) -> anyhow::Result<Source> {
        let (sender, receiver) = mpsc::channel(1);
        let hand_over = move |message: MessageView| {
            let sender = sender.clone();
            async move {
                let (done, printed) = oneshot::channel();
                sender.send(Received(message, Some(done))).await.map_err(|_| Retry::Default)?;
                printed.await.map_err(Retry::from)
            }
        };
        let consumer = client.consumer(group).from(options.from);
        let consumer = match &options.sql {
            Some(condition) => consumer.subscribe_sql(&options.topic, condition),
            None => consumer.subscribe(&options.topic, &options.tag),
        };
        Ok(Source::Member(consumer.concurrency(1).start(hand_over).await?, receiver))
    }

    async fn next(&mut self) -> Option<Received> {
        match self {
            Source::Reader(reader) => reader.next().await.map(|message| Received(message, None)),
            Source::Member(_, receiver) => receiver.recv().await,
        }
    }

    async fn end(self) {
        if let Source::Member(consumer, receiver) = self {
            // The handler that waits for its message to be printed ends once nobody listens; the message is left.
            tokio::join!(consumer.shutdown(), async { drop(receiver) });
        }
    }
}

fn text(message: &MessageView, format: Format) -> String {
    match format {
        Format::Text => String::from_utf8_lossy(message.body()).into_owned(),
        Format::Hex => hex(message.body()),
        Format::Json => json(message),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Everything of a message in one line; a body that is no text stands in `bodyHex`.
fn json(message: &MessageView) -> String {
    let ext = message.ext();
    let (body_key, body) = match std::str::from_utf8(message.body()) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("bodyHex", hex(message.body())),
    };
    let properties: serde_json::Map<String, serde_json::Value> =
        ext.properties.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut object = serde_json::json!({
        "topic": message.topic(),
        "brokerName": ext.broker_name,
        "queueId": message.queue_id(),
        "queueOffset": message.queue_offset(),
        "msgId": message.message_id(),
        "offsetMsgId": message.offset_message_id(),
        "tags": message.tag(),
        "keys": message.keys().collect::<Vec<_>>(),
        "bornTimestamp": ext.born_timestamp_ms,
        "bornHost": ext.born_host.to_string(),
        "storeTimestamp": ext.store_timestamp_ms,
        "storeHost": ext.store_host.to_string(),
        "reconsumeTimes": message.reconsume_times(),
        "properties": properties,
    });
    object[body_key] = body.into();
    object.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_taken_in_words_as_times_and_as_how_long_ago() {
        assert_eq!(from("first"), Ok(ConsumeFrom::First));
        assert_eq!(from("last"), Ok(ConsumeFrom::Last));
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00", "2026-01-31 12:00:00", "10m", "2h 30m", "-1h"] {
            let Ok(ConsumeFrom::Time(time)) = from(text) else { panic!("{text}") };
            assert!(time != SystemTime::UNIX_EPOCH, "{text}");
        }
        assert!(from("yesterday").is_err());
    }

    #[test]
    fn bytes_are_printed_in_hexadecimal() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
