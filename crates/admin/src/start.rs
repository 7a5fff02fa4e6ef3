//! From the command line to a command and back to an exit status.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use raptormq_client::Client;

use crate::command::{Arguments, By, Command, DRY_RUN, JSON, Run, STRICT, WATCH};
use crate::commands;
use crate::commons_cli::{self, OptionError};
use crate::completions::{Shell, completions};
use crate::credentials;
use crate::failure::{Failure, Result};
use crate::manual::manual;
use crate::session::{Output, Session, Streams, coloured};

/// As which program it was called: that decides about the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The original's: 0 whatever happens, but 1 when options cannot be read; with `--strict-exit`, or
    /// `MQADMIN_STRICT_EXIT=1` in the environment, 1 when a command fails.
    Mqadmin,
    /// Ours: 0 done, 1 failed, 2 the command line is no use.
    Raptormq,
}

/// A command line.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// As which program it was called.
    pub style: Style,
    /// Its words, system properties taken out.
    pub words: Vec<String>,
    /// `-Dkey=value` words, as a JVM takes them.
    pub system_properties: BTreeMap<String, String>,
}

/// Key of the system property that names the name servers.
const NAMESRV_PROPERTY: &str = "rocketmq.namesrv.addr";
/// Environment variable that names them.
const NAMESRV_VARIABLE: &str = "NAMESRV_ADDR";
/// Environment variable that asks for a status other than 0 when a command fails.
const STRICT_VARIABLE: &str = "MQADMIN_STRICT_EXIT";
/// Environment variable that forbids colours, whatever it holds: <https://no-color.org>.
const NO_COLOUR_VARIABLE: &str = "NO_COLOR";
/// Bytes of standard output that are kept back: a system call for each line would be most of a long command's work.
const OUT_BYTES: usize = 64 << 10;
/// What empties a terminal.
pub(crate) const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";
/// Letters by which a name may differ and still be meant.
const TYPOS_MAX: usize = 4;

/// How a command line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Failed,
    /// The command is for something that we do not have.
    Absent,
    /// The options cannot be read.
    Refused,
    /// The options do not say what to do it with.
    Unclear,
    /// There is no such command.
    Unknown,
    /// It was stopped by this signal.
    Stopped(u8),
}

/// What to add to a signal's number for the status of a process that it stopped, as shells and the JVM do.
const STATUS_OF_SIGNAL: u8 = 128;
/// Number of the signal of Ctrl-C.
const SIGINT: u8 = 2;
/// Number of the signal of `kill`.
const SIGTERM: u8 = 15;

/// Runs a command line to its end, on standard output and standard error. Ctrl-C ends it with what was printed so far.
pub fn run(invocation: Invocation) -> ExitCode {
    let (is_shown, tells) = (io::stdout().is_terminal(), io::stderr().is_terminal());
    let mut out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
    let streams = Streams {
        out: &mut out,
        errors: &mut io::stderr().lock(),
        is_terminal: is_shown,
        has_colours: tells && std::env::var_os(NO_COLOUR_VARIABLE).is_none_or(|value| value.is_empty()),
        shows_progress: tells && !is_shown,
    };
    ExitCode::from(run_in(invocation, streams, true))
}

/// As [`run`], on streams of one's own; returns the exit status. Not within an async runtime: it starts one. Signals are
/// not looked at.
pub fn run_on(invocation: Invocation, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let streams = Streams { out, errors, is_terminal: false, has_colours: false, shows_progress: false };
    run_in(invocation, streams, false)
}

fn run_in(mut invocation: Invocation, mut streams: Streams<'_>, catches_signals: bool) -> u8 {
    let extras = match Extras::take(&mut invocation.words) {
        Ok(extras) => extras,
        Err(mistake) => {
            // Nobody to tell when even that cannot be printed.
            let _ = writeln!(streams.errors, "mqadmin: {mistake}");
            return status(Ending::Refused, invocation.style, true);
        }
    };
    let is_asked = std::env::var(STRICT_VARIABLE).is_ok_and(|value| matches!(value.trim(), "1" | "true"));
    let ending = run_with(&invocation, &extras, &mut streams, catches_signals);
    // Who reads no further has seen what they wanted.
    let _ = streams.out.flush();
    status(ending, invocation.style, extras.is_strict || is_asked)
}

/// The options of ours that a command line has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    is_strict: bool,
    is_json: bool,
    is_dry_run: bool,
    watch: Option<Duration>,
}

impl Extras {
    /// Takes them out of a command line, wherever they stand.
    pub(crate) fn take(words: &mut Vec<String>) -> Result<Extras, String> {
        let mut extras = Extras::default();
        let mut rest = Vec::with_capacity(words.len());
        let mut all = std::mem::take(words).into_iter();
        while let Some(word) = all.next() {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            match (name, value) {
                (name, None) if name == STRICT.word => extras.is_strict = true,
                (name, None) if name == JSON.word => extras.is_json = true,
                (name, None) if name == DRY_RUN.word => extras.is_dry_run = true,
                (name, value) if name == WATCH.word => {
                    let value = value.map(str::to_owned).or_else(|| all.next()).unwrap_or_default();
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    let wrong = || format!("{} {value}: a number of seconds is expected, 1 or more", WATCH.word);
                    extras.watch = Some(Duration::from_secs(seconds.ok_or_else(wrong)?));
                }
                _ => rest.push(word),
            }
        }
        *words = rest;
        Ok(extras)
    }

    /// What is printed.
    fn output(&self) -> Output {
        match (self.is_dry_run, self.is_json) {
            (true, _) => Output::DryRun,
            (false, true) => Output::Json,
            (false, false) => Output::Columns,
        }
    }

    /// One that was given and the command does not have.
    fn unfit(&self, command: &Command) -> Option<&'static str> {
        let given = [(self.is_json, JSON), (self.is_dry_run, DRY_RUN), (self.watch.is_some(), WATCH)].into_iter();
        let mut unfit = given.filter(|(is_given, extra)| *is_given && !command.kind.extras().contains(extra));
        unfit.next().map(|(_, extra)| extra.word)
    }
}

/// The exit status of an ending.
pub(crate) fn status(ending: Ending, style: Style, is_strict: bool) -> u8 {
    match (ending, style) {
        (Ending::Done, _) => 0,
        (Ending::Stopped(signal), _) => STATUS_OF_SIGNAL + signal,
        (Ending::Refused | Ending::Unclear | Ending::Unknown, Style::Raptormq) => 2,
        (Ending::Absent, _) | (Ending::Failed, Style::Raptormq) | (Ending::Refused, Style::Mqadmin) => 1,
        (_, Style::Mqadmin) => u8::from(is_strict),
    }
}

/// Runs a command line, options of ours taken out; they are given apart.
pub(crate) fn run_with(
    invocation: &Invocation,
    extras: &Extras,
    streams: &mut Streams<'_>,
    catches_signals: bool,
) -> Ending {
    // Nobody to tell when these lines cannot be printed.
    let (out, errors) = (&mut *streams.out, &mut *streams.errors);
    let words = &invocation.words;
    let Some(name) = words.first() else {
        let _ = write!(out, "{}", overview());
        return Ending::Done;
    };
    if let Some(ending) = print_for_others(words, out, errors) {
        return ending;
    }
    let (name, wants_help) = match words.as_slice() {
        [help, wanted] if help == "help" => (wanted, true),
        _ => (name, false),
    };
    let found = commands::find(name);
    if let (Some(command), true) = (found, wants_help) {
        let _ = write!(out, "{}", usage(command));
        return Ending::Done;
    }
    let Some(command) = found else {
        let _ = writeln!(out, "The sub command {name} not exist.");
        let _ = writeln!(errors, "mqadmin: there is no command {name}{}", guess(name));
        return Ending::Unknown;
    };
    let known = command.known();
    let arguments = match read_options(&known, &words[1..]) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            let _ = write!(out, "{}", usage(command));
            return Ending::Done;
        }
        Err(mistake) => {
            let _ = writeln!(errors, "{mistake}");
            let _ = write!(out, "{}", usage(command));
            return Ending::Refused;
        }
    };
    let by = match command.run {
        Run::By(by) => by,
        Run::Absent(reason) => {
            let _ = writeln!(errors, "mqadmin {}: {reason}", command.name);
            return Ending::Absent;
        }
    };
    if let Some(word) = extras.unfit(command) {
        let known: Vec<_> = command.kind.extras().iter().map(|extra| extra.word).collect();
        let _ = writeln!(errors, "mqadmin {name}: there is no {word} here, only {}", known.join(", "));
        return Ending::Refused;
    }
    let call = Call { command, arguments: &arguments, by, watch: extras.watch, catches_signals };
    match call.run(invocation, extras.output(), streams) {
        Ok(ending) => ending,
        Err(failure) => {
            let program = coloured(&call.program(), streams.has_colours);
            let _ = writeln!(streams.errors, "{program}: {}", failure.line());
            Ending::Failed
        }
    }
}

/// Word that asks for what a shell needs to complete command lines.
const COMPLETIONS: &str = "completions";
/// Word that asks for the manual page.
const MANUAL: &str = "man";

/// Prints what shells and `man` read, if that is asked for. The original has no such commands.
fn print_for_others(words: &[String], out: &mut dyn Write, errors: &mut dyn Write) -> Option<Ending> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        [MANUAL] => Some(manual()),
        [COMPLETIONS, shell] => Shell::find(shell).map(completions),
        [COMPLETIONS, ..] => None,
        _ => return None,
    };
    // Nobody to tell when these lines cannot be printed.
    let Some(text) = text else {
        let shells = Shell::ALL.map(|(name, _)| name).join(", ");
        let _ = writeln!(errors, "mqadmin {COMPLETIONS}: name a shell: {shells}");
        return Some(Ending::Refused);
    };
    let _ = write!(out, "{text}");
    Some(Ending::Done)
}

/// A command that is to run.
struct Call<'c> {
    command: &'static Command,
    arguments: &'c Arguments,
    by: By,
    watch: Option<Duration>,
    catches_signals: bool,
}

impl Call<'_> {
    fn program(&self) -> String {
        format!("mqadmin {}", self.command.name)
    }

    fn run(&self, invocation: &Invocation, output: Output, streams: &mut Streams<'_>) -> Result<Ending> {
        block_on(async {
            let mut builder = Client::builder().namesrv(namesrv(self.arguments, invocation)).lazy();
            if let Some((access_key, secret_key)) = credentials::find(&invocation.system_properties)? {
                builder = builder.credentials(access_key, &secret_key);
            }
            let client = builder.connect().await?;
            let session = Session::new(client.admin().giving_up(), &self.program(), output, streams.reborrow());
            let ending = tokio::select! {
                ending = self.rounds(&session) => ending,
                signal = signal(self.catches_signals) => Ending::Stopped(signal),
            };
            session.end_progress();
            client.shutdown().await;
            Ok(ending)
        })
    }

    /// Runs the command, again and again if that is wanted.
    async fn rounds(&self, session: &Session<'_>) -> Ending {
        loop {
            if self.watch.is_some() {
                session.clear(CLEAR);
            }
            match (self.by)(session, self.arguments).await {
                Ok(()) => {}
                // Nobody reads any further.
                Err(Failure::Output(_)) if session.has_failed() => return Ending::Failed,
                Err(Failure::Output(_)) => return Ending::Done,
                Err(Failure::Usage) => {
                    session.show(&usage(self.command));
                    return Ending::Unclear;
                }
                Err(failure) => session.complain(&failure),
            }
            match self.watch {
                Some(interval) if session.flush().is_ok() => tokio::time::sleep(interval).await,
                _ if session.has_failed() => return Ending::Failed,
                _ => return Ending::Done,
            }
        }
    }
}

/// Waits for Ctrl-C or SIGTERM, or for ever when nobody is to look at them; returns the signal's number.
async fn signal(catches: bool) -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = catches.then(|| (signal(SignalKind::interrupt()), signal(SignalKind::terminate())));
    // Where they cannot be caught they do what they always do.
    let Some((Ok(mut interrupt), Ok(mut terminate))) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => SIGINT,
        _ = terminate.recv() => SIGTERM,
    }
}

/// The options; `None` when they ask for help.
fn read_options(known: &[commons_cli::Known], words: &[String]) -> Result<Option<Arguments>, OptionError> {
    let found = commons_cli::read(known, words)?;
    if found.iter().any(|(option, _)| option.short == "h") {
        return Ok(None);
    }
    commons_cli::check_needs(known, &found)?;
    Ok(Some(Arguments::new(found)))
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::argument(format!("no runtime: {error}")))?.block_on(work)
}

/// The name servers to ask: those given, or of the system property, or of the environment; empty for none.
fn namesrv(arguments: &Arguments, invocation: &Invocation) -> String {
    let given = arguments.get("n").map(str::to_owned);
    let property = || invocation.system_properties.get(NAMESRV_PROPERTY).cloned();
    given.or_else(property).or_else(|| std::env::var(NAMESRV_VARIABLE).ok()).unwrap_or_default()
}

fn usage(command: &Command) -> String {
    commons_cli::usage(&format!("mqadmin {}", command.name), &command.known())
}

/// All commands. Java: `MQAdminStartup.printHelp`.
fn overview() -> String {
    let mut text = String::from("The most commonly used mqadmin commands are:\n");
    for command in commands::all().filter(|command| !commands::is_old(command)) {
        text.push_str(&format!("   {:35} {}\n", command.name, command.about));
    }
    text.push_str("\nSee 'mqadmin help <command>' for more information on a specific command.\n");
    text
}

/// What may have been meant.
fn guess(name: &str) -> String {
    let distance = |command: &&Command| strsim::damerau_levenshtein(&name.to_lowercase(), &command.name.to_lowercase());
    let nearest = commands::all().min_by_key(distance);
    match nearest.filter(|command| distance(command) <= TYPOS_MAX) {
        Some(command) => format!(", did you mean {}? `mqadmin` alone lists the commands", command.name),
        None => "; `mqadmin` alone lists the commands".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(line: &str) -> (Ending, String, String) {
        ended(line.split_whitespace().map(str::to_owned).collect())
    }

    fn ended(words: Vec<String>) -> (Ending, String, String) {
        let mut invocation = Invocation { style: Style::Mqadmin, words, system_properties: BTreeMap::new() };
        let extras = Extras::take(&mut invocation.words).unwrap();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let mut streams = Streams {
            out: &mut out,
            errors: &mut errors,
            is_terminal: false,
            has_colours: false,
            shows_progress: false,
        };
        let ending = run_with(&invocation, &extras, &mut streams, false);
        (ending, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    #[test]
    fn exit_statuses() {
        use Ending::*;
        let statuses = |style, is_strict| {
            [Done, Failed, Absent, Refused, Unclear, Unknown, Stopped(SIGINT)].map(|end| status(end, style, is_strict))
        };
        assert_eq!(statuses(Style::Mqadmin, false), [0, 0, 1, 1, 0, 0, 130]);
        assert_eq!(statuses(Style::Mqadmin, true), [0, 1, 1, 1, 1, 1, 130]);
        assert_eq!(statuses(Style::Raptormq, false), [0, 1, 1, 2, 2, 2, 130]);
    }

    #[test]
    fn a_command_is_found_whatever_its_case_and_guessed_when_misspelt() {
        let (ending, out, errors) = called("topiclist -h");
        assert_eq!((ending, errors.as_str()), (Ending::Done, ""));
        assert!(out.starts_with("usage: mqadmin topicList [-c] [-h] [-n <arg>]\n -c,--clusterModel"), "{out}");
        let (ending, out, errors) = called("topicLost -n x");
        assert_eq!((ending, out.as_str()), (Ending::Unknown, "The sub command topicLost not exist.\n"));
        assert!(errors.contains("did you mean topicList?"), "{errors}");
    }

    #[test]
    fn a_missing_option_is_said_in_the_originals_words() {
        let (ending, out, errors) = called("topicRoute -n x");
        assert_eq!((ending, errors.as_str()), (Ending::Refused, "Missing required option: t\n"));
        assert!(out.starts_with("usage: mqadmin topicRoute [-h] [-l] [-n <arg>] -t <arg>\n"), "{out}");
        let (_, out, errors) = called("help topicRoute");
        assert!(out.starts_with("usage: mqadmin topicRoute") && errors.is_empty());
    }

    #[test]
    fn without_name_servers_one_line_says_what_to_do() {
        let (ending, out, errors) = called("topicRoute -t x -n");
        assert_eq!((ending, out.is_empty()), (Ending::Refused, false), "{errors}");
        // A port that nobody listens on.
        let (ending, out, errors) = called("topicRoute -t x -n 127.0.0.1:1");
        assert_eq!((ending, out.as_str(), errors.lines().count()), (Ending::Failed, "", 1));
        assert!(errors.starts_with("mqadmin topicRoute: ") && errors.contains("127.0.0.1:1"), "{errors}");
    }

    /// Command lines, and what a live 5.3.3 makes of them.
    const RECORDED: &str = include_str!("../../../golden/vectors/mqadmin.json");

    /// A record: the options that were read, or how it ended.
    #[derive(serde::Deserialize)]
    struct Line {
        words: Vec<String>,
        options: Option<BTreeMap<String, String>>,
        status: Option<u8>,
        #[serde(default)]
        out: String,
        #[serde(default)]
        err: String,
    }

    /// What is asked for help is given it: the original checks first whether all options are there that must be.
    fn is_help(line: &Line) -> bool {
        let missing = line.err.starts_with("Missing required option");
        missing && line.words.iter().any(|word| ["-h", "--help"].contains(&word.as_str()))
    }

    /// The message about a missing group without the sentences about its options.
    fn without_sentences(line: &str) -> String {
        let group = regex::Regex::new(r"\[(-.*?)\]").unwrap();
        let shortened = group.replace_all(line, |found: &regex::Captures<'_>| {
            let options: Vec<_> = found[1].split(", -").map(|option| option.split(' ').next().unwrap()).collect();
            format!("[{}]", options.join(", -"))
        });
        shortened.into_owned()
    }

    #[test]
    fn command_lines_are_read_as_the_original_reads_them() {
        let lines: Vec<Line> = serde_json::from_str(RECORDED).unwrap();
        assert!(lines.len() > 60, "{}", lines.len());
        for line in lines {
            let command = commands::find(&line.words[0]).unwrap();
            let known = command.known();
            match (read_options(&known, &line.words[1..]), &line.options) {
                (Ok(Some(arguments)), Some(expected)) => assert_eq!(arguments.all(), *expected, "{:?}", line.words),
                (Ok(Some(_)), None) => panic!("{:?} is refused: {}", line.words, line.err),
                (read, _) => {
                    let (ending, out, errors) = ended(line.words.clone());
                    let out = out.lines().next().unwrap_or_default();
                    let errors = without_sentences(errors.lines().next().unwrap_or_default());
                    if is_help(&line) {
                        assert_eq!(
                            (ending, out, errors.as_str()),
                            (Ending::Done, line.out.as_str(), ""),
                            "{:?}",
                            line.words
                        );
                        continue;
                    }
                    let status = Some(status(ending, Style::Mqadmin, false));
                    let found = (status, out, errors.as_str());
                    assert_eq!(
                        found,
                        (line.status, line.out.as_str(), line.err.as_str()),
                        "{:?}: {read:?}",
                        line.words
                    );
                }
            }
        }
    }
}
