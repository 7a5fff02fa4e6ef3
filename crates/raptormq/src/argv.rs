//! Reads the command line as RocketMQ does, and hands clap a form that it understands.
//!
//! RocketMQ uses commons-cli, whose forms are wider than clap's: `-nADDR`, `-n=ADDR`, `-namesrvAddr ADDR`, unique
//! prefixes of long options, stray words that are ignored (people write `mqbroker autoCreateTopicEnable=true`).
//! [`normalise`] rewrites them to `--long=value`. What options there are comes from the clap command alone.

use std::collections::BTreeMap;

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

/// Why a command line is refused. The texts are commons-cli's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("Unrecognized option: {0}")]
    Unrecognized(String),
    #[error("Missing argument for option: {0}")]
    MissingArgument(String),
    #[error("Ambiguous option: '{option}'  (could be: {candidates})")]
    Ambiguous { option: String, candidates: String },
}

/// An option as commons-cli sees it.
struct Known {
    short: Option<char>,
    long: String,
    takes_value: bool,
}

/// Rewrites words to `--long` and `--long=value`. Of an option given twice the first counts; stray words are dropped.
///
/// # Errors
/// An option that the command does not have, or one without its value.
pub(crate) fn normalise(command: &clap::Command, words: &[String]) -> Result<Vec<String>, OptionError> {
    let known: Vec<Known> = command
        .get_arguments()
        .filter_map(|argument| {
            let takes_value = argument.get_action().takes_values();
            Some(Known { short: argument.get_short(), long: argument.get_long()?.to_owned(), takes_value })
        })
        .collect();
    let options = Options(&known);
    let mut found: Vec<(&Known, Option<String>)> = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        for (option, mut value) in options.read(word)? {
            if option.takes_value && value.is_none() {
                value = words.next_if(|next| !options.is_option(next)).cloned();
                if value.is_none() {
                    return Err(OptionError::MissingArgument(option.name()));
                }
            }
            if !found.iter().any(|(seen, _)| seen.long == option.long) {
                found.push((option, value));
            }
        }
    }
    let line = |(option, value): (&Known, Option<String>)| match value {
        Some(value) => format!("--{}={}", option.long, unquoted(&value)),
        None => format!("--{}", option.long),
    };
    Ok(found.into_iter().map(line).collect())
}

struct Options<'a>(&'a [Known]);

impl<'a> Options<'a> {
    /// The options that one word is, with the values that stand in it; none when it is a stray word.
    fn read(&self, word: &str) -> Result<Vec<(&'a Known, Option<String>)>, OptionError> {
        let unrecognized = || OptionError::Unrecognized(word.to_owned());
        let Some(text) = word.strip_prefix('-').filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
        if let Some(long) = text.strip_prefix('-') {
            let (name, value) = split_value(long);
            let option = self.by_long(name, word)?.ok_or_else(unrecognized)?;
            return match value {
                Some(_) if !option.takes_value => Err(unrecognized()),
                value => Ok(vec![(option, value)]),
            };
        }
        let (name, value) = split_value(text);
        if let Some(option) = self.by_short(name).or(self.by_long(name, word)?)
            && (value.is_none() || option.takes_value)
        {
            return Ok(vec![(option, value)]);
        }
        self.concatenated(text).ok_or_else(unrecognized)
    }

    /// `-pm` is `-p -m`; the rest of a word after an option that takes a value is its value, as in `-nADDR`.
    fn concatenated(&self, text: &str) -> Option<Vec<(&'a Known, Option<String>)>> {
        let mut found = Vec::new();
        for (at, letter) in text.char_indices() {
            let option = self.0.iter().find(|known| known.short == Some(letter))?;
            let rest = &text[at + letter.len_utf8()..];
            if option.takes_value && !rest.is_empty() {
                found.push((option, Some(rest.to_owned())));
                return Some(found);
            }
            found.push((option, None));
        }
        Some(found)
    }

    fn by_short(&self, name: &str) -> Option<&'a Known> {
        let mut letters = name.chars();
        let letter = letters.next().filter(|_| letters.next().is_none())?;
        self.0.iter().find(|known| known.short == Some(letter))
    }

    /// The option of that long name, or the only one that begins so.
    fn by_long(&self, name: &str, word: &str) -> Result<Option<&'a Known>, OptionError> {
        if let Some(exact) = self.0.iter().find(|known| known.long == name) {
            return Ok(Some(exact));
        }
        let candidates: Vec<_> = self.0.iter().filter(|known| known.long.starts_with(name)).collect();
        match candidates.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            // One letter is a short option or nothing: it never is ambiguous.
            _ if name.chars().count() == 1 && !word.starts_with("--") => Ok(None),
            several => {
                let names: Vec<_> = several.iter().map(|known| format!("'{}'", known.long)).collect();
                Err(OptionError::Ambiguous { option: word.to_owned(), candidates: names.join(", ") })
            }
        }
    }

    /// Whether a word is an option rather than a value: a word that begins with `-` and is no known option is a value.
    fn is_option(&self, word: &str) -> bool {
        let looks_so = word.starts_with('-') && word.len() > 1 && word.parse::<f64>().is_err();
        looks_so && self.read(word).is_ok()
    }
}

impl Known {
    /// What messages call it: the short name if there is one.
    fn name(&self) -> String {
        self.short.map_or_else(|| self.long.clone(), String::from)
    }
}

fn split_value(text: &str) -> (&str, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    }
}

/// Values may stand in double quotes that a shell has left.
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(value)
}

/// The usage text as commons-cli prints it: one line, then an option a line, sorted.
pub(crate) fn usage(program: &str, command: &clap::Command) -> String {
    let mut rows: Vec<(String, String, String)> = command
        .get_arguments()
        .filter_map(|argument| {
            let value = if argument.get_action().takes_values() { " <arg>" } else { "" };
            let long = argument.get_long()?;
            let (short, both) = match argument.get_short() {
                Some(short) => (format!("-{short}{value}"), format!("-{short},--{long}{value}")),
                None => (format!("--{long}{value}"), format!("   --{long}{value}")),
            };
            Some((short, both, argument.get_help().map(ToString::to_string).unwrap_or_default()))
        })
        .collect();
    rows.sort();
    let width = rows.iter().map(|(_, both, _)| both.len()).max().unwrap_or(0) + 3;
    let mut text = format!("usage: {program}");
    rows.iter().for_each(|(short, ..)| text.push_str(&format!(" [{short}]")));
    text.push('\n');
    for (_, both, help) in &rows {
        text.push_str(format!(" {both:width$}{help}").trim_end());
        text.push('\n');
    }
    text
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
    fn every_form_of_an_option_with_a_value() {
        for line in [
            "-n a:1",
            "-na:1",
            "-n=a:1",
            "-namesrvAddr a:1",
            "--namesrvAddr a:1",
            "--namesrvAddr=a:1",
            "-namesrvAddr=a:1",
            "--name a:1",
            "-names a:1",
            "-n \"a:1\"",
            "stray -n a:1 autoCreateTopicEnable=true",
            "-n a:1 -n b:2",
            "-n a:1 -- -x",
        ] {
            assert_eq!(read(line).unwrap(), ["--namesrvAddr=a:1"], "{line}");
        }
    }

    #[test]
    fn flags_may_be_joined_and_mixed_with_values() {
        assert_eq!(read("-p -m").unwrap(), ["--printConfigItem", "--printImportantConfig"]);
        assert_eq!(read("-pmna:1").unwrap(), ["--printConfigItem", "--printImportantConfig", "--namesrvAddr=a:1"]);
        assert_eq!(read("-c -5 -h").unwrap(), ["--configFile=-5", "--help"]);
        assert_eq!(read("-c -unknown").unwrap(), ["--configFile=-unknown"]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_commons_cli() {
        let text = |line| read(line).unwrap_err().to_string();
        assert_eq!(text("-x"), "Unrecognized option: -x");
        assert_eq!(text("--nosuch"), "Unrecognized option: --nosuch");
        assert_eq!(text("-h=1"), "Unrecognized option: -h=1");
        assert_eq!(text("-n"), "Missing argument for option: n");
        assert_eq!(text("-n -p"), "Missing argument for option: n");
        assert_eq!(
            text("--print"),
            "Ambiguous option: '--print'  (could be: 'printConfigItem', 'printImportantConfig')"
        );
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
