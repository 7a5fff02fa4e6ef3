//! `raptormq send`: messages from the command line, a file or the lines of stdin.

use std::collections::VecDeque;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use raptormq_client::{Ack, Client, Error, ErrorKind, Message, SendReceipt};
use tokio::sync::mpsc;

use super::cluster::{self, TopicName};
use super::printer::Printer;
use crate::argv::Invocation;

/// Messages on their way at once.
const IN_FLIGHT_MAX: usize = 512;
/// Lines that were read and not sent.
const LINES_MAX: usize = 1024;

/// Sends messages: the bodies given, or a file, or each line of stdin.
#[derive(clap::Parser)]
struct Options {
    /// Topic to send to
    topic: String,
    /// Bodies, one message each; without any, and without --file, each line of stdin is one
    #[arg(value_name = "BODY")]
    bodies: Vec<String>,
    /// Name server to ask [default: NAMESRV_ADDR or 127.0.0.1:9876]
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// Send the content of a file as one message
    #[arg(short, long, value_name = "FILE", conflicts_with = "bodies")]
    file: Option<PathBuf>,
    /// Tag of the messages
    #[arg(short = 't', long)]
    tag: Option<String>,
    /// Key of the messages; may be given several times
    #[arg(short, long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Property of the messages; may be given several times
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// Send each body or file so often
    #[arg(short, long, default_value_t = 1)]
    count: u64,
    /// Producer group
    #[arg(short, long, default_value = "raptormq_send")]
    group: String,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
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
    let client = super::connect(namesrv).await?;
    let name = cluster::look_up(namesrv, &options.topic).await;
    let sent = send_all(&client, options, bodies, &name).await;
    client.shutdown().await;
    let failed = sent?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends every body and returns how many failed.
async fn send_all(
    client: &Client,
    options: &Options,
    mut bodies: mpsc::Receiver<std::io::Result<Bytes>>,
    name: &TopicName,
) -> anyhow::Result<u64> {
    let producer = client.producer(&options.group).accept_weak_ack().start().await?;
    let mut outcome = Outcome { printer: Printer::start()?, options, name, sent: 0, failed: 0 };
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
                Some(body) => match producer.enqueue(message(options, body?)).await {
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
    producer.shutdown().await;
    Ok(outcome.failed)
}

fn message(options: &Options, body: Bytes) -> Message {
    let mut message = Message::new(&options.topic, body);
    if let Some(tag) = &options.tag {
        message = message.tag(tag);
    }
    let message = options.keys.iter().fold(message, |message, key| message.key(key));
    options.properties.iter().fold(message, |message, (name, value)| message.property(name, value))
}

/// What became of the messages so far.
struct Outcome<'a> {
    printer: Printer,
    options: &'a Options,
    name: &'a TopicName,
    sent: u64,
    failed: u64,
}

impl Outcome<'_> {
    fn take(&mut self, receipt: Result<SendReceipt, Error>) {
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
    if let Some(file) = &options.file {
        let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        given.push(content.map_err(|error| anyhow::anyhow!("{error:#}"))?.into());
    }
    let count = options.count;
    let read = move || {
        if given.is_empty() {
            for line in std::io::stdin().lock().split(b'\n') {
                let line = line.map(|mut line| {
                    line.pop_if(|last| *last == b'\r');
                    Bytes::from(line)
                });
                // A message has a body, so an empty line is none.
                if !line.as_ref().is_ok_and(Bytes::is_empty) && sender.blocking_send(line).is_err() {
                    return;
                }
            }
            return;
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
