//! Reads options as commons-cli does, which RocketMQ uses, and prints a usage text as it does.
//!
//! Its forms are wide: `-nADDR`, `-n=ADDR`, `-namesrvAddr ADDR`, unique prefixes of long options, flags in one word,
//! stray words that are ignored. Java: `srvutil/ServerUtil.java` over `DefaultParser` and `HelpFormatter`.

/// An option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The short name, of one letter or a few; empty when it has none.
    pub short: String,
    /// The long name.
    pub long: String,
    /// Whether a value belongs to it.
    pub takes_value: bool,
    /// Whether a command line without it is refused.
    pub need: Need,
    /// What it is for, in a few words.
    pub about: String,
}

/// Whether an option must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// It may be there.
    #[default]
    Optional,
    /// It must be there.
    Required,
    /// One of the options with this need must be there, and only one.
    OneOf,
}

/// Why a command line is refused. The texts are commons-cli's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("Unrecognized option: {0}")]
    Unrecognized(String),
    /// Its value is missing.
    #[error("Missing argument for option: {0}")]
    MissingArgument(String),
    /// Several long names begin so.
    #[error("Ambiguous option: '{option}'  (could be: {candidates})")]
    Ambiguous {
        /// What was given.
        option: String,
        /// What it may stand for.
        candidates: String,
    },
    /// Options that must be there are not.
    #[error("Missing required option{}: {}", if .0.len() == 1 { "" } else { "s" }, .0.join(", "))]
    Missing(Vec<String>),
    /// Two that exclude each other.
    #[error("The option '{second}' was specified but an option from this group has already been selected: '{first}'")]
    Exclusive {
        /// The one that came first.
        first: String,
        /// The one that came then.
        second: String,
    },
}

/// The options that a command line has, each with its value, in their order; of an option given twice the first counts.
/// Stray words are dropped.
///
/// # Errors
/// An option that is not known, or one without its value. Whether all that must be there are there is another question:
/// [`check_needs`].
pub fn read<'k>(known: &'k [Known], words: &[String]) -> Result<Vec<(&'k Known, Option<String>)>, OptionError> {
    let options = Options(known);
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
                    return Err(OptionError::MissingArgument(option.key().to_owned()));
                }
            }
            let other = found.iter().find(|(seen, _)| seen.need == Need::OneOf && seen.long != option.long);
            if let (Need::OneOf, Some((first, _))) = (option.need, other) {
                let (first, second) = (first.key().to_owned(), option.key().to_owned());
                return Err(OptionError::Exclusive { first, second });
            }
            if !found.iter().any(|(seen, _)| seen.long == option.long) {
                found.push((option, value.map(|value| unquoted(&value).to_owned())));
            }
        }
    }
    Ok(found)
}

/// Checks that all options that must be there are there.
///
/// # Errors
/// The missing ones, in the order of their declaration.
pub fn check_needs(known: &[Known], found: &[(&Known, Option<String>)]) -> Result<(), OptionError> {
    let is_there = |option: &Known| found.iter().any(|(seen, _)| seen.long == option.long);
    let mut missing: Vec<String> = Vec::new();
    let group: Vec<&Known> = known.iter().filter(|option| option.need == Need::OneOf).collect();
    for option in known {
        match option.need {
            Need::Required if !is_there(option) => missing.push(option.key().to_owned()),
            Need::OneOf if group.first() == Some(&option) && !group.iter().any(|option| is_there(option)) => {
                let of_group: Vec<_> =
                    group.iter().map(|option| format!("-{} {}", option.key(), option.about)).collect();
                missing.push(format!("[{}]", of_group.join(", ")));
            }
            _ => {}
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(OptionError::Missing(missing)) }
}

struct Options<'k>(&'k [Known]);

impl<'k> Options<'k> {
    /// The options that one word is, with the values that stand in it; none when it is a stray word.
    fn read(&self, word: &str) -> Result<Vec<(&'k Known, Option<String>)>, OptionError> {
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
    fn concatenated(&self, text: &str) -> Option<Vec<(&'k Known, Option<String>)>> {
        let mut found = Vec::new();
        for (at, letter) in text.char_indices() {
            let end = at + letter.len_utf8();
            let option = self.by_short(&text[at..end])?;
            let rest = &text[end..];
            if option.takes_value && !rest.is_empty() {
                found.push((option, Some(rest.to_owned())));
                return Some(found);
            }
            found.push((option, None));
        }
        Some(found)
    }

    fn by_short(&self, name: &str) -> Option<&'k Known> {
        self.0.iter().find(|known| !known.short.is_empty() && known.short == name)
    }

    /// The option of that long name, or the only one that begins so.
    fn by_long(&self, name: &str, word: &str) -> Result<Option<&'k Known>, OptionError> {
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
    pub fn key(&self) -> &str {
        if self.short.is_empty() { &self.long } else { &self.short }
    }

    /// As it stands in the first line of a usage text: `-n <arg>`.
    fn in_short(&self) -> String {
        let value = if self.takes_value { " <arg>" } else { "" };
        if self.short.is_empty() { format!("--{}{value}", self.long) } else { format!("-{}{value}", self.short) }
    }

    /// As it stands in front of its explanation: `-n,--namesrvAddr <arg>`.
    fn in_full(&self) -> String {
        let value = if self.takes_value { " <arg>" } else { "" };
        let short = if self.short.is_empty() { "   ".to_owned() } else { format!("-{},", self.short) };
        format!(" {short}--{}{value}", self.long)
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

/// Letters in a line of a usage text (Java: `ServerUtil.printCommandLineHelp`).
const USAGE_WIDTH: usize = 110;
/// What the first line begins with; the next ones stand under what follows it.
const USAGE: &str = "usage: ";

/// The usage text as commons-cli prints it: all options in short, then an option a line, sorted.
pub fn usage(program: &str, known: &[Known]) -> String {
    let mut sorted: Vec<&Known> = known.iter().collect();
    sorted.sort_by_key(|option| option.key().to_lowercase());
    let mut line = format!("{USAGE}{program} ");
    let mut is_group_shown = false;
    for (at, option) in sorted.iter().enumerate() {
        match option.need {
            Need::Required => line.push_str(&option.in_short()),
            Need::Optional => line.push_str(&format!("[{}]", option.in_short())),
            // The group stands where its first member would; the others leave only the blank in front of the next.
            Need::OneOf if !is_group_shown => {
                is_group_shown = true;
                let group = sorted.iter().filter(|option| option.need == Need::OneOf);
                line.push_str(&group.map(|option| option.in_short()).collect::<Vec<_>>().join(" | "));
            }
            Need::OneOf => {}
        }
        if at + 1 < sorted.len() {
            line.push(' ');
        }
    }
    let mut text = String::new();
    wrap(&mut text, &line, USAGE.len());
    let width = sorted.iter().map(|option| option.in_full().len()).max().unwrap_or(0) + 3;
    for option in sorted {
        wrap(&mut text, &format!("{:width$}{}", option.in_full(), option.about), width);
    }
    text
}

/// Appends a text in lines; those after the first begin with `indent` blanks.
fn wrap(out: &mut String, text: &str, indent: usize) {
    let mut rest = text.to_owned();
    loop {
        let Some(at) = wrap_position(&rest) else {
            out.push_str(rest.trim_end());
            out.push('\n');
            return;
        };
        out.push_str(rest[..at].trim_end());
        out.push('\n');
        rest = format!("{:indent$}{}", "", rest[at..].trim());
        // Something without a blank does not fit: it is shown as it is.
        if wrap_position(&rest).is_some_and(|at| at < indent) {
            out.push_str(&rest);
            out.push('\n');
            return;
        }
    }
}

/// Where a line ends that is too long: at its last blank that fits.
fn wrap_position(text: &str) -> Option<usize> {
    if text.chars().count() <= USAGE_WIDTH {
        return None;
    }
    let end = text.char_indices().nth(USAGE_WIDTH).map_or(text.len(), |(at, letter)| at + letter.len_utf8());
    text[..end].rfind(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(short: &str, long: &str, takes_value: bool) -> Known {
        Known { short: short.to_owned(), long: long.to_owned(), takes_value, ..Known::default() }
    }

    fn known() -> Vec<Known> {
        vec![
            option("n", "namesrvAddr", true),
            option("c", "configFile", true),
            option("p", "printConfigItem", false),
            option("m", "printImportantConfig", false),
            Known { about: "Show this.".to_owned(), ..option("h", "help", false) },
            option("bn", "brokerName", true),
            option("", "attributes", true),
        ]
    }

    fn parse(line: &str) -> Result<Vec<String>, OptionError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let known = known();
        let found = read(&known, &words)?;
        Ok(found.into_iter().map(|(option, value)| format!("{}={}", option.long, value.unwrap_or_default())).collect())
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
            assert_eq!(parse(line).unwrap(), ["namesrvAddr=a:1"], "{line}");
        }
    }

    #[test]
    fn flags_may_be_joined_and_mixed_with_values() {
        assert_eq!(parse("-p -m").unwrap(), ["printConfigItem=", "printImportantConfig="]);
        assert_eq!(parse("-pmna:1").unwrap(), ["printConfigItem=", "printImportantConfig=", "namesrvAddr=a:1"]);
        assert_eq!(parse("-c -5 -h").unwrap(), ["configFile=-5", "help="]);
        assert_eq!(parse("-c -unknown").unwrap(), ["configFile=-unknown"]);
        assert_eq!(parse("-bn b --attributes +a=b").unwrap(), ["brokerName=b", "attributes=+a=b"]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_commons_cli() {
        let text = |line| parse(line).unwrap_err().to_string();
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

    fn with_needs() -> Vec<Known> {
        let mut known = known();
        known[0].need = Need::Required;
        known[2].need = Need::OneOf;
        known[3].need = Need::OneOf;
        known
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        let known = with_needs();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let missing = |line: &str| check_needs(&known, &read(&known, &words(line)).unwrap());
        assert_eq!(missing("-n a -p"), Ok(()));
        assert_eq!(missing("-p").unwrap_err().to_string(), "Missing required option: n");
        assert_eq!(missing("-c x").unwrap_err().to_string(), "Missing required options: n, [-p , -m ]");
        let both = read(&known, &words("-m -p")).unwrap_err();
        assert_eq!(
            both.to_string(),
            "The option 'p' was specified but an option from this group has already been selected: 'm'"
        );
    }

    #[test]
    fn usage_is_what_commons_cli_prints() {
        let expected = "usage: mqbroker [--attributes <arg>] [-bn <arg>] [-c <arg>] [-h] -m | -p -n <arg>\n    \
                        --attributes <arg>\n -bn,--brokerName <arg>\n -c,--configFile <arg>\n \
                        -h,--help                   Show this.\n -m,--printImportantConfig\n \
                        -n,--namesrvAddr <arg>\n -p,--printConfigItem\n";
        assert_eq!(usage("mqbroker", &with_needs()).replace("  ", " "), expected.replace("  ", " "));
    }

    #[test]
    fn long_usage_lines_break_where_the_originals_do() {
        // As recorded from a live 5.3.3.
        let mut known: Vec<Known> = ["b", "c", "f", "g", "n", "o", "q", "s", "t"]
            .map(|short| option(short, &format!("{short}xxxx"), true))
            .to_vec();
        known.push(option("h", "help", false));
        for at in [3, 7, 8] {
            known[at].need = Need::Required;
        }
        let text = usage("mqadmin resetOffsetByTime", &known);
        let expected = "usage: mqadmin resetOffsetByTime [-b <arg>] [-c <arg>] [-f <arg>] -g <arg> [-h] [-n <arg>] \
                        [-o <arg>] [-q\n       <arg>] -s <arg> -t <arg>\n";
        assert!(text.starts_with(expected), "{text}");
    }
}
