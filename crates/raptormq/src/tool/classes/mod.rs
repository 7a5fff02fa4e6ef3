//! `raptormq tools CLASS`, which `tools.sh CLASS` runs: RocketMQ's sample and benchmark programs by the names of their
//! classes.
//!
//! A class is one row: [`producers`] has those that send, [`consumers`] those that receive, [`pulls`] those that pull queue
//! by queue, [`benchmark`] those that measure. What has no equal is a row of [`ABSENT`], which says why. A class is found by its full
//! name, or by what comes behind `org.apache.rocketmq.example.`.

mod benchmark;
mod consumers;
mod options;
mod producers;
mod pulls;

use std::process::ExitCode;

use raptormq_client::{Client, ClientBuilder};

use crate::argv::Invocation;
use crate::tool;

/// What stands before the names of the sample classes.
const PACKAGE: &str = "org.apache.rocketmq.example.";

/// Letters by which a name may differ and still be meant.
const TYPOS_MAX: usize = 3;

/// A program of RocketMQ's.
struct Class {
    /// Its name without [`PACKAGE`].
    name: &'static str,
    /// What it does, in a few words.
    about: &'static str,
    /// Runs it to its end; the words are those behind the class.
    run: fn(Invocation) -> ExitCode,
}

/// Every class.
fn classes() -> impl Iterator<Item = &'static Class> {
    [producers::CLASSES, consumers::CLASSES, pulls::CLASSES, benchmark::CLASSES].into_iter().flatten()
}

const NO_POP: &str = "there is no pop yet; simple.PushConsumer consumes the same topic";
const NO_OPEN_MESSAGING: &str = "the OpenMessaging interface is one of Java's; simple.Producer, simple.PushConsumer and \
                                 simple.PullConsumer do the same";
const NO_OPEN_TRACING: &str = "it reports to a tracer of Java's; tracemessage.TraceProducer and tracemessage.TracePushConsumer \
                               write RocketMQ's own traces";
const NO_PROGRAM: &str = "it is a part of other samples and no program";

/// Classes of the original that have no equal, and why.
const ABSENT: &[(&str, &str)] = &[
    ("benchmark.AclClient", NO_PROGRAM),
    (
        "lmq.LMQPushConsumer",
        "consumers of a group have no light queues, which no name server knows; lmq.LMQPullConsumer reads the same one",
    ),
    ("lmq.LMQPushPopConsumer", NO_POP),
    ("openmessaging.SimpleProducer", NO_OPEN_MESSAGING),
    ("openmessaging.SimplePullConsumer", NO_OPEN_MESSAGING),
    ("openmessaging.SimplePushConsumer", NO_OPEN_MESSAGING),
    ("simple.CachedQueue", NO_PROGRAM),
    ("simple.PopConsumer", NO_POP),
    ("simple.RandomAsyncCommit", NO_PROGRAM),
    ("tracemessage.OpenTracingProducer", NO_OPEN_TRACING),
    ("tracemessage.OpenTracingPushConsumer", NO_OPEN_TRACING),
    ("tracemessage.OpenTracingTransactionProducer", NO_OPEN_TRACING),
    ("transaction.TransactionListenerImpl", NO_PROGRAM),
];

/// Runs the class named by the first word.
pub(crate) fn run(mut invocation: Invocation) -> ExitCode {
    let asks_for_list = |word: &str| matches!(word, "-h" | "--help" | "help");
    if invocation.words.first().is_none_or(|word| asks_for_list(word)) {
        print!("{}", list());
        return ExitCode::SUCCESS;
    }
    let word = invocation.words.remove(0);
    let name = word.strip_prefix(PACKAGE).unwrap_or(&word);
    match classes().find(|class| class.name == name) {
        Some(class) => {
            invocation.program = format!("{} {}", invocation.program, class.name);
            (class.run)(invocation)
        }
        None => {
            match ABSENT.iter().find(|(absent, _)| *absent == name) {
                Some((_, reason)) => eprintln!("{word}: {reason}"),
                None => eprintln!("{word}: RaptorMQ has no such class{}\n\n{}", guess(name), list()),
            }
            ExitCode::FAILURE
        }
    }
}

/// A question for the class that may be meant.
fn guess(name: &str) -> String {
    let distance = |class: &&Class| strsim::damerau_levenshtein(name, class.name);
    let nearest = classes().min_by_key(distance).filter(|class| distance(class) <= TYPOS_MAX);
    nearest.map(|class| format!("; did you mean {}?", class.name)).unwrap_or_default()
}

fn list() -> String {
    let width = classes().map(|class| class.name.len()).max().unwrap_or(0);
    let mut text = format!("Classes, with or without {PACKAGE} in front:\n\n");
    for class in classes() {
        text.push_str(&format!("  {:width$}  {}\n", class.name, class.about));
    }
    text
}

/// What a class changes of a client before it connects.
type SetUp = fn(ClientBuilder) -> ClientBuilder;

/// Nothing.
fn plain(builder: ClientBuilder) -> ClientBuilder {
    builder
}

/// The namespace of the samples that have one.
fn in_namespace(builder: ClientBuilder) -> ClientBuilder {
    builder.namespace_v2("InstanceTest")
}

/// Runs a program with a client of the cluster that the command line, the environment or a system property names.
fn with_client<F>(invocation: &Invocation, set_up: SetUp, program: impl FnOnce(Client) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    match options::namesrv(invocation) {
        Ok(namesrv) => run_with(invocation, set_up(Client::builder().namesrv(namesrv)), program),
        Err(status) => status,
    }
}

/// Runs a program with a client of these settings, which ends behind it.
fn run_with<F>(invocation: &Invocation, builder: ClientBuilder, program: impl FnOnce(Client) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    let run = async {
        let client = tool::connect_with(builder).await?;
        let outcome = program(client.clone()).await;
        client.shutdown().await;
        outcome
    };
    match tool::log_to_stderr() {
        Ok(_logging) => tool::run_to_end(&invocation.program, run),
        Err(error) => tool::fail(&invocation.program, &error),
    }
}

/// Calls another command with `word` in front of the words of this one.
fn with_word(mut invocation: Invocation, word: &str) -> Invocation {
    invocation.words.insert(0, word.to_owned());
    invocation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_one_row_and_stands_in_the_list() {
        let list = list();
        for class in classes() {
            assert_eq!(classes().filter(|other| other.name == class.name).count(), 1, "{}", class.name);
            assert!(list.contains(class.name), "{}", class.name);
        }
        // Those of org.apache.rocketmq:rocketmq-example:5.3.3.
        let originals = include_str!("classes-5.3.3.txt").lines();
        for name in originals {
            let is_absent = ABSENT.iter().any(|(absent, _)| *absent == name);
            assert!(is_absent != classes().any(|class| class.name == name), "{name}");
        }
        assert_eq!(guess("quickstart.Produzer"), "; did you mean quickstart.Producer?");
        assert_eq!(guess("something.Else"), "");
    }
}
