//! `raptormq send`: messages from the command line, from files, or from the lines of files or stdin.

use std::collections::VecDeque;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raptormq_client::{Ack, Client, Error, ErrorKind, Message, Producer, SendReceipt};
use tokio::sync::mpsc;

use super::cluster::{self, TopicName};
use super::printer::Printer;
use crate::argv::Invocation;

/// Messages on their way at once.
const IN_FLIGHT_MAX: usize = 512;
/// Lines that were read and not sent.
const LINES_MAX: usize = 1024;

/// Sends messages: the bodies given, or files, or each line of files or stdin.
#[derive(clap::Parser)]
struct Options {
    /// Topic to send to
    topic: String,
    /// Bodies, one message each; without any, and without --file and --lines, each line of stdin is one
    #[arg(value_name = "BODY")]
    bodies: Vec<String>,
    /// Name server to ask [default: NAMESRV_ADDR or 127.0.0.1:9876]
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// Send the content of a file as one message; may be given several times
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "bodies")]
    files: Vec<PathBuf>,
    /// Send each line of a file as one message; may be given several times
    #[arg(short, long = "lines", value_name = "FILE", conflicts_with_all = ["bodies", "files"])]
    lines: Vec<PathBuf>,
    /// Tag of the messages
    #[arg(short = 't', long)]
    tag: Option<String>,
    /// Key of the messages; may be given several times
    #[arg(short, long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Property of the messages; may be given several times
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// Let consumers have the messages after the delay of this level, 1 to 18
    #[arg(short, long, value_name = "LEVEL")]
    delay_level: Option<u32>,
    /// Let consumers have the messages after so many seconds; needs a broker with timer messages
    #[arg(long, value_name = "SECONDS", conflicts_with = "delay_level", value_parser = seconds)]
    after: Option<Duration>,
    /// Send all messages to the queue that this key falls on
    #[arg(short, long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// Send each body or file so often
    #[arg(short, long, default_value_t = 1)]
    count: u64,
    /// Producer group
    #[arg(short, long, default_value = "raptormq_send")]
    group: String,
    /// Put topic and group into this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Access key of an account; the secret is taken from the environment variable RAPTORMQ_SECRET_KEY
    #[arg(long, value_name = "KEY")]
    access_key: Option<String>,
    /// Write traces of the messages to RMQ_SYS_TRACE_TOPIC
    #[arg(long)]
    trace: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Environment variable with the secret of `--access-key`: other users see command lines.
const SECRET_VARIABLE: &str = "RAPTORMQ_SECRET_KEY";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds, such as 1.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Sends the messages.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let namesrv = super::namesrv(options.namesrv.as_deref(), &invocation);
    match super::log_to_stderr() {
        Ok(_logging) => super::run_to_end(&invocation.program, send(&namesrv, &options)),
        Err(error) => super::fail(&invocation.program, &error),
    }
}

async fn send(namesrv: &str, options: &Options) -> anyhow::Result<ExitCode> {
    let bodies = open_bodies(options)?;
    let client = connect(namesrv, options).await?;
    let name = cluster::look_up(namesrv, &options.topic).await;
    let sent = send_all(&client, options, bodies, &name).await;
    client.shutdown().await;
    let failed = sent?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn connect(namesrv: &str, options: &Options) -> anyhow::Result<Client> {
    let mut builder = Client::builder().namesrv(namesrv);
    if let Some(namespace) = &options.namespace {
        builder = builder.namespace(namespace);
    }
    if let Some(key) = &options.access_key {
        let secret = std::env::var(SECRET_VARIABLE);
        let secret = secret.with_context(|| format!("--access-key needs its secret in {SECRET_VARIABLE}"));
        builder = builder.credentials(key, &secret.map_err(|error| anyhow::anyhow!("{error:#}"))?);
    }
    super::connect_with(builder).await
}

/// Sends every body and returns how many failed.
async fn send_all(
    client: &Client,
    options: &Options,
    mut bodies: mpsc::Receiver<std::io::Result<Bytes>>,
    name: &TopicName,
) -> anyhow::Result<u64> {
    let producer = client.producer(&options.group).accept_weak_ack();
    let producer = if options.trace { producer.trace() } else { producer };
    let producer = producer.start().await?;
    let bar = progress_bar(options);
    let mut outcome = Outcome { printer: Printer::start()?, options, name, bar, sent: 0, failed: 0 };
    let mut acks: VecDeque<Ack> = VecDeque::new();
    let mut more = true;
    while more || !acks.is_empty() {
        let wanted = more && acks.len() < IN_FLIGHT_MAX;
        let first_ack = async {
            match acks.front_mut() {
                Some(ack) => ack.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            receipt = first_ack => {
                acks.pop_front();
                outcome.take(receipt);
            }
            body = bodies.recv(), if wanted => match body {
                Some(body) => match begin(&producer, options, body?).await {
                    Ok(ack) => acks.push_back(ack),
                    Err(error) => {
                        // What is wrong with the topic or the cluster is wrong for every message.
                        more = !matches!(error.kind(), ErrorKind::TopicNotExist | ErrorKind::NoRoute);
                        outcome.take(Err(error));
                    }
                },
                None => more = false,
            },
        }
    }
    outcome.bar.finish_and_clear();
    producer.shutdown().await;
    Ok(outcome.failed)
}

async fn begin(producer: &Producer, options: &Options, body: Bytes) -> raptormq_client::Result<Ack> {
    let send = producer.send(message(options, body));
    match &options.ordering_key {
        Some(key) => send.ordering_key(key).enqueue().await,
        None => send.enqueue().await,
    }
}

/// A bar where somebody looks at it and the lines go elsewhere.
fn progress_bar(options: &Options) -> ProgressBar {
    let is_shown = !options.quiet && std::io::stderr().is_terminal() && !std::io::stdout().is_terminal();
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    // How many lines there are is known only at their end.
    let given = options.bodies.len() + options.files.len();
    let total = (given > 0).then(|| options.count.saturating_mul(given as u64));
    let template = match total {
        Some(_) => "[{wide_bar}] {pos}/{len} messages, {per_sec}",
        None => "{spinner} {pos} messages, {per_sec}",
    };
    let bar = ProgressBar::with_draw_target(total, target);
    ProgressStyle::with_template(template).map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

fn message(options: &Options, body: Bytes) -> Message {
    let mut message = Message::new(&options.topic, body);
    if let Some(tag) = &options.tag {
        message = message.tag(tag);
    }
    if let Some(level) = options.delay_level {
        message = message.delay_level(level);
    }
    if let Some(delay) = options.after {
        message = message.deliver_after(delay);
    }
    let message = options.keys.iter().fold(message, |message, key| message.key(key));
    options.properties.iter().fold(message, |message, (name, value)| message.property(name, value))
}

/// What became of the messages so far.
struct Outcome<'a> {
    printer: Printer,
    options: &'a Options,
    name: &'a TopicName,
    bar: ProgressBar,
    sent: u64,
    failed: u64,
}

impl Outcome<'_> {
    fn take(&mut self, receipt: Result<SendReceipt, Error>) {
        self.bar.inc(1);
        match receipt {
            Ok(receipt) => {
                self.sent += 1;
                if self.sent == 1 && *self.name != TopicName::Known && !self.options.quiet {
                    eprintln!("topic {} did not exist{}; it has been created", self.options.topic, self.name.guess());
                }
                if !self.options.quiet {
                    self.printer.line(receipt.to_string());
                }
            }
            Err(error) => {
                self.failed += 1;
                eprintln!("{error}{}", self.name.guess());
            }
        }
    }
}

/// The bodies, from wherever they come: read by a thread, so that typing slowly holds up nothing.
fn open_bodies(options: &Options) -> anyhow::Result<mpsc::Receiver<std::io::Result<Bytes>>> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    let mut given: Vec<Bytes> = options.bodies.iter().map(|body| Bytes::from(body.clone())).collect();
    for file in &options.files {
        let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        given.push(content.map_err(|error| anyhow::anyhow!("{error:#}"))?.into());
    }
    let mut sources: Vec<Box<dyn std::io::BufRead + Send>> = Vec::new();
    for file in &options.lines {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()));
        sources.push(Box::new(std::io::BufReader::new(opened.map_err(|error| anyhow::anyhow!("{error:#}"))?)));
    }
    if given.is_empty() && sources.is_empty() {
        sources.push(Box::new(std::io::BufReader::new(std::io::stdin())));
    }
    let count = options.count;
    let read = move || {
        for source in sources {
            for line in source.split(b'\n') {
                let line = line.map(|mut line| {
                    line.pop_if(|last| *last == b'\r');
                    Bytes::from(line)
                });
                // A message has a body, so an empty line is none.
                if !line.as_ref().is_ok_and(Bytes::is_empty) && sender.blocking_send(line).is_err() {
                    return;
                }
            }
        }
        for body in std::iter::repeat_n(&given, usize::try_from(count).unwrap_or(usize::MAX)).flatten() {
            if sender.blocking_send(Ok(body.clone())).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("bodies".into()).spawn(read)?;
    Ok(receiver)
}
