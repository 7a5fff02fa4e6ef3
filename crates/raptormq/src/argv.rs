//! Reads the command line as RocketMQ does, and hands clap a form that it understands.
//!
//! RocketMQ uses commons-cli, whose forms are wider than clap's ([`commons_cli`]). [`normalise`] rewrites them to
//! `--long=value`. What options there are comes from the clap command alone.

use std::collections::BTreeMap;

use raptormq_admin::commons_cli::{self, Known, OptionError};

/// A command as it was called.
pub(crate) struct Invocation {
    /// What usage lines call it.
    pub(crate) program: String,
    /// The words after the command, system properties taken out.
    pub(crate) words: Vec<String>,
    /// `-Dkey=value` words, as a JVM takes them.
    pub(crate) system_properties: BTreeMap<String, String>,
}

impl Invocation {
    /// Takes the `-D` words out of `words`.
    pub(crate) fn new(program: &str, words: Vec<String>) -> Invocation {
        let mut system_properties = BTreeMap::new();
        let mut left = Vec::with_capacity(words.len());
        for word in words {
            match word.strip_prefix("-D") {
                Some(pair) if !pair.is_empty() => {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    system_properties.insert(key.to_owned(), value.to_owned());
                }
                _ => left.push(word),
            }
        }
        Invocation { program: program.to_owned(), words: left, system_properties }
    }
}

/// Rewrites words to `--long` and `--long=value`. Of an option given twice the first counts; stray words are dropped.
///
/// # Errors
/// An option that the command does not have, or one without its value.
pub(crate) fn normalise(command: &clap::Command, words: &[String]) -> Result<Vec<String>, OptionError> {
    let known = known(command);
    let found = commons_cli::read(&known, words)?;
    let line = |(option, value): (&Known, Option<String>)| match value {
        Some(value) => format!("--{}={value}", option.long),
        None => format!("--{}", option.long),
    };
    Ok(found.into_iter().map(line).collect())
}

/// The usage text as commons-cli prints it.
pub(crate) fn usage(program: &str, command: &clap::Command) -> String {
    commons_cli::usage(program, &known(command))
}

fn known(command: &clap::Command) -> Vec<Known> {
    let options = command.get_arguments().filter_map(|argument| {
        Some(Known {
            short: argument.get_short().map(String::from).unwrap_or_default(),
            long: argument.get_long()?.to_owned(),
            takes_value: argument.get_action().takes_values(),
            about: argument.get_help().map(ToString::to_string).unwrap_or_default(),
            ..Known::default()
        })
    });
    options.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    fn command() -> clap::Command {
        clap::Command::new("mqbroker").disable_help_flag(true).args([
            Arg::new("n").short('n').long("namesrvAddr"),
            Arg::new("c").short('c').long("configFile"),
            Arg::new("p").short('p').long("printConfigItem").action(ArgAction::SetTrue),
            Arg::new("m").short('m').long("printImportantConfig").action(ArgAction::SetTrue),
            Arg::new("h").short('h').long("help").action(ArgAction::SetTrue).help("Show this."),
        ])
    }

    fn read(line: &str) -> Result<Vec<String>, OptionError> {
        normalise(&command(), &line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_become_what_clap_reads() {
        assert_eq!(
            read("stray -na:1 -pm").unwrap(),
            ["--namesrvAddr=a:1", "--printConfigItem", "--printImportantConfig"]
        );
        assert_eq!(read("-x").unwrap_err().to_string(), "Unrecognized option: -x");
    }

    #[test]
    fn system_properties_are_collected_from_anywhere() {
        let words = ["-Duser.home=/x", "-n", "a:1", "-Dflag"].map(str::to_owned).to_vec();
        let invocation = Invocation::new("mqbroker", words);
        assert_eq!(invocation.words, ["-n", "a:1"]);
        assert_eq!(invocation.system_properties["user.home"], "/x");
        assert_eq!(invocation.system_properties["flag"], "");
    }

    #[test]
    fn usage_is_what_commons_cli_prints() {
        let expected = "usage: mqbroker [-c <arg>] [-h] [-m] [-n <arg>] [-p]\n -c,--configFile <arg>\n \
                        -h,--help                   Show this.\n -m,--printImportantConfig\n \
                        -n,--namesrvAddr <arg>\n -p,--printConfigItem\n";
        assert_eq!(usage("mqbroker", &command()), expected);
    }
}
