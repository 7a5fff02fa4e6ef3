//! From the command line to a command and back to an exit status.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use raptormq_client::Client;

use crate::command::{Arguments, Command, Run};
use crate::commands;
use crate::commons_cli::{self, OptionError};
use crate::credentials;
use crate::failure::{Failure, Result};
use crate::session::Session;

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
/// Word that asks for a status other than 0 when a command fails.
const STRICT_WORD: &str = "--strict-exit";
/// Environment variable that asks for the same.
const STRICT_VARIABLE: &str = "MQADMIN_STRICT_EXIT";
/// Letters by which a name may differ and still be meant.
const TYPOS_MAX: usize = 4;

/// How a command line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
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
}

/// Runs a command line to its end, on standard output and standard error.
pub fn run(invocation: Invocation) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    ExitCode::from(run_on(invocation, &mut out, &mut io::stderr().lock()))
}

/// As [`run`], on streams of one's own; returns the exit status. Not within an async runtime: it starts one.
pub fn run_on(mut invocation: Invocation, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let words = invocation.words.len();
    invocation.words.retain(|word| word != STRICT_WORD);
    let is_asked = std::env::var(STRICT_VARIABLE).is_ok_and(|value| matches!(value.trim(), "1" | "true"));
    let is_strict = invocation.words.len() < words || is_asked;
    let ending = run_with(&invocation, out, errors);
    // Who reads no further has seen what they wanted.
    let _ = out.flush();
    status(ending, invocation.style, is_strict)
}

fn status(ending: Ending, style: Style, is_strict: bool) -> u8 {
    match (ending, style) {
        (Ending::Done, _) => 0,
        (Ending::Refused | Ending::Unclear | Ending::Unknown, Style::Raptormq) => 2,
        (Ending::Absent, _) | (Ending::Failed, Style::Raptormq) | (Ending::Refused, Style::Mqadmin) => 1,
        (_, Style::Mqadmin) => u8::from(is_strict),
    }
}

fn run_with(invocation: &Invocation, out: &mut dyn Write, errors: &mut dyn Write) -> Ending {
    // Nobody to tell when these lines cannot be printed.
    let words = &invocation.words;
    let Some(name) = words.first() else {
        let _ = write!(out, "{}", overview());
        return Ending::Done;
    };
    let (name, wants_help) = match words.as_slice() {
        [help, wanted] if help.eq_ignore_ascii_case("help") => (wanted, true),
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
    let namesrv = namesrv(&arguments, invocation);
    let program = format!("mqadmin {}", command.name);
    let outcome = block_on(async {
        let mut builder = Client::builder().namesrv(namesrv).lazy();
        if let Some((access_key, secret_key)) = credentials::find(&invocation.system_properties)? {
            builder = builder.credentials(access_key, &secret_key);
        }
        let client = builder.connect().await?;
        let session = Session::new(client.admin(), &program, out, errors);
        let outcome = by(&session, &arguments).await;
        if let Err(failure) = &outcome
            && !matches!(failure, Failure::Usage | Failure::Output(_))
        {
            session.complain(failure);
        }
        let has_failed = session.has_failed();
        client.shutdown().await;
        Ok((outcome, has_failed))
    });
    match outcome {
        Ok((Err(Failure::Usage), _)) => {
            let _ = write!(out, "{}", usage(command));
            Ending::Unclear
        }
        Ok((Ok(()) | Err(Failure::Output(_)), false)) => Ending::Done,
        Ok(_) => Ending::Failed,
        Err(failure) => {
            let _ = writeln!(errors, "{program}: {}", failure.line());
            Ending::Failed
        }
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
    use crate::commons_cli::Need;

    fn called(line: &str) -> (Ending, String, String) {
        let words = line.split_whitespace().map(str::to_owned).collect();
        let invocation = Invocation { style: Style::Mqadmin, words, system_properties: BTreeMap::new() };
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let ending = run_with(&invocation, &mut out, &mut errors);
        (ending, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    #[test]
    fn exit_statuses() {
        use Ending::*;
        let statuses = |style, is_strict| {
            [Done, Failed, Absent, Refused, Unclear, Unknown].map(|end| status(end, style, is_strict))
        };
        assert_eq!(statuses(Style::Mqadmin, false), [0, 0, 1, 1, 0, 0]);
        assert_eq!(statuses(Style::Mqadmin, true), [0, 1, 1, 1, 1, 1]);
        assert_eq!(statuses(Style::Raptormq, false), [0, 1, 1, 2, 2, 2]);
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

    /// A command line with all that must be given: `1` for each, and nobody at the name server's address.
    fn words(command: &Command) -> Vec<String> {
        let mut words = vec![command.name.to_owned(), "-n".to_owned(), "127.0.0.1:1".to_owned()];
        let known = command.known();
        let first_of_group = known.iter().find(|option| option.need == Need::OneOf);
        for option in known.iter().filter(|option| option.need == Need::Required).chain(first_of_group) {
            let value = if option.key() == "b" { "127.0.0.1:1" } else { "1" };
            words.extend([format!("-{}", option.key()), value.to_owned()]);
        }
        words
    }

    #[test]
    fn every_command_says_in_one_line_that_nobody_answers() {
        for command in commands::all() {
            let begin = std::time::Instant::now();
            let (ending, out, errors) = called(&words(command).join(" "));
            let name = command.name;
            assert!(begin.elapsed().as_secs() < 6, "{name} took {:?}", begin.elapsed());
            match ending {
                Ending::Failed | Ending::Absent => {
                    let start = format!("mqadmin {name}: ");
                    assert!(!errors.is_empty() && errors.lines().all(|line| line.starts_with(&start)), "{errors}");
                }
                // There is no file of that name, which is said as the original says it.
                Ending::Done => assert!(out.starts_with("the file path 1 does not exists"), "{name}: {out}{errors}"),
                Ending::Unclear => assert!(out.starts_with("usage: "), "{name}: {out}{errors}"),
                Ending::Refused | Ending::Unknown => panic!("{name}: {errors}"),
            }
        }
    }
}
