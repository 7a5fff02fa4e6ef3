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
    /// What pages of ours call its value; the original's usage texts do not.
    pub value_name: &'static str,
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
    /// One of the options with the same number must be there, and only one.
    OneOf(u8),
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
    // The last option found has a value, which is still to come.
    let mut waits = false;
    for word in words.iter().take_while(|word| *word != END_OF_OPTIONS) {
        if let (true, Some((_, value)), false) = (waits, found.last_mut(), options.is_option(word)) {
            *value = Some(unquoted(word).to_owned());
            waits = false;
            continue;
        }
        let (read, mistake) = options.read(word);
        for (option, value) in read {
            check_waiting(waits, &found)?;
            check_group(option, &found)?;
            waits = option.takes_value && value.is_none();
            found.push((option, value));
        }
        mistake.map_or(Ok(()), Err)?;
    }
    check_waiting(waits, &found)?;
    let mut first = std::collections::BTreeSet::new();
    found.retain(|(option, _)| first.insert(option.key()));
    Ok(found)
}

/// Behind this word there are no options.
const END_OF_OPTIONS: &str = "--";

/// Refuses what comes behind an option whose value has not come.
fn check_waiting(waits: bool, found: &[(&Known, Option<String>)]) -> Result<(), OptionError> {
    match found.last() {
        Some((option, _)) if waits => Err(OptionError::MissingArgument(option.key().to_owned())),
        _ => Ok(()),
    }
}

/// Refuses an option that another one excludes.
fn check_group(option: &Known, found: &[(&Known, Option<String>)]) -> Result<(), OptionError> {
    let other = found.iter().find(|(seen, _)| seen.need == option.need && seen.long != option.long);
    match (option.need, other) {
        (Need::OneOf(_), Some((first, _))) => {
            Err(OptionError::Exclusive { first: first.key().to_owned(), second: option.key().to_owned() })
        }
        _ => Ok(()),
    }
}

/// Checks that all options that must be there are there.
///
/// # Errors
/// The missing ones, in the order of their declaration.
pub fn check_needs(known: &[Known], found: &[(&Known, Option<String>)]) -> Result<(), OptionError> {
    let is_there = |option: &Known| found.iter().any(|(seen, _)| seen.long == option.long);
    let mut missing: Vec<String> = Vec::new();
    for option in known {
        let group: Vec<&Known> = known.iter().filter(|other| other.need == option.need).collect();
        match option.need {
            Need::Required if !is_there(option) => missing.push(option.key().to_owned()),
            Need::OneOf(_) if group.first() == Some(&option) && !group.iter().any(|option| is_there(option)) => {
                let of_group: Vec<_> =
                    group.iter().map(|option| format!("-{} {}", option.key(), option.about)).collect();
                missing.push(format!("[{}]", of_group.join(", ")));
            }
            _ => {}
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(OptionError::Missing(missing)) }
}

/// Options of a word, each with the value that stands in it.
type Read<'k> = Vec<(&'k Known, Option<String>)>;

struct Options<'k>(&'k [Known]);

impl<'k> Options<'k> {
    /// The options that one word is, up to a mistake if there is one; none when it is a stray word.
    fn read(&self, word: &str) -> (Read<'k>, Option<OptionError>) {
        if word.starts_with("--") {
            return whole(self.long(word));
        }
        let Some(text) = word.strip_prefix('-').filter(|text| !text.is_empty()) else { return (Vec::new(), None) };
        let mut letters = text.chars();
        if let (Some(_), None) = (letters.next(), letters.next()) {
            return whole(self.short(text).map(|option| (option, None)).ok_or_else(|| unrecognized(word)));
        }
        match text.split_once('=') {
            Some((name, value)) if name.chars().count() == 1 => {
                let option = self.short(name).filter(|option| option.takes_value);
                whole(option.map(|option| (option, Some(value.to_owned()))).ok_or_else(|| unrecognized(word)))
            }
            // A short name of several letters is not looked for here.
            Some(_) => whole(self.long(word)),
            None if self.short(text).is_some() => {
                whole(self.short(text).map(|option| (option, None)).ok_or_else(|| unrecognized(word)))
            }
            None if !self.longs(text).is_empty() => whole(self.long(word)),
            None => match self.long_in_front(text).filter(|option| option.takes_value) {
                Some(option) => whole(Ok((option, Some(text[option.long.len()..].to_owned())))),
                None => self.letters(word),
            },
        }
    }

    /// A long name, or the unique beginning of one, with a value behind `=` if there is one.
    fn long(&self, word: &str) -> Result<(&'k Known, Option<String>), OptionError> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value.to_owned())));
        match self.longs(without_hyphens(name)).as_slice() {
            [] => Err(unrecognized(word)),
            [one] if value.is_some() && !one.takes_value => Err(unrecognized(word)),
            [one] => Ok((one, value)),
            several => {
                let names: Vec<_> = several.iter().map(|known| format!("'{}'", known.long)).collect();
                Err(OptionError::Ambiguous { option: name.to_owned(), candidates: names.join(", ") })
            }
        }
    }

    /// `-pm` is `-p -m`; the rest of a word after an option that takes a value is its value, as in `-nADDR`.
    fn letters(&self, word: &str) -> (Read<'k>, Option<OptionError>) {
        let mut found = Vec::new();
        for (at, letter) in word.char_indices().skip(1) {
            let end = at + letter.len_utf8();
            let Some(option) = self.short(&word[at..end]) else { return (found, Some(unrecognized(word))) };
            if option.takes_value && end < word.len() {
                found.push((option, Some(word[end..].to_owned())));
                return (found, None);
            }
            found.push((option, None));
        }
        (found, None)
    }

    /// The option of a short name; what has none is found by its long one.
    fn short(&self, name: &str) -> Option<&'k Known> {
        self.0.iter().find(|known| known.key() == name)
    }

    /// The option of that long name, or all that begin so.
    fn longs(&self, name: &str) -> Vec<&'k Known> {
        match self.0.iter().find(|known| known.long == name) {
            Some(exact) => vec![exact],
            None => self.0.iter().filter(|known| known.long.starts_with(name)).collect(),
        }
    }

    /// The longest long name that a text begins with, a value behind it.
    fn long_in_front(&self, text: &str) -> Option<&'k Known> {
        let is_in_front = |known: &&Known| {
            let rest = text.strip_prefix(known.long.as_str());
            known.long.len() >= LONG_IN_FRONT_MIN && rest.is_some_and(|rest| rest.chars().count() >= LONG_REST_MIN)
        };
        self.0.iter().filter(is_in_front).max_by_key(|known| known.long.len())
    }

    /// Whether a word is an option rather than a value, by how it begins: it need not be one that can be read.
    fn is_option(&self, word: &str) -> bool {
        let Some(text) = word.strip_prefix('-').filter(|text| !text.is_empty()) else { return false };
        if text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') && word.parse::<f64>().is_ok() {
            return false;
        }
        let name = without_hyphens(word.split_once('=').map_or(word, |(name, _)| name));
        let first = text.chars().next().unwrap_or_default();
        !self.longs(name).is_empty()
            || self.short(name).is_some()
            || self.short(first.encode_utf8(&mut [0; 4])).is_some()
            || (!text.starts_with('-') && self.long_in_front(text).is_some())
    }
}

/// Letters of the shortest long name that may stand in front of its value without anything between.
const LONG_IN_FRONT_MIN: usize = 2;
/// Letters of the shortest such value.
const LONG_REST_MIN: usize = 2;

/// A word that is one option or a mistake.
fn whole<'k>(read: Result<(&'k Known, Option<String>), OptionError>) -> (Read<'k>, Option<OptionError>) {
    match read {
        Ok(option) => (vec![option], None),
        Err(mistake) => (Vec::new(), Some(mistake)),
    }
}

fn unrecognized(word: &str) -> OptionError {
    OptionError::Unrecognized(word.to_owned())
}

/// A name without the one or two hyphens in front.
fn without_hyphens(name: &str) -> &str {
    name.strip_prefix("--").or(name.strip_prefix('-')).unwrap_or(name)
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

/// Values that are words of their own may stand in double quotes that a shell has left.
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
    let mut shown = Vec::new();
    for (at, option) in sorted.iter().enumerate() {
        match option.need {
            Need::Required => line.push_str(&option.in_short()),
            Need::Optional => line.push_str(&format!("[{}]", option.in_short())),
            // The group stands where its first member would; the others leave only the blank in front of the next.
            Need::OneOf(group) if !shown.contains(&group) => {
                shown.push(group);
                let group = sorted.iter().filter(|other| other.need == option.need);
                line.push_str(&group.map(|option| option.in_short()).collect::<Vec<_>>().join(" | "));
            }
            Need::OneOf(_) => {}
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
        known[2].need = Need::OneOf(0);
        known[3].need = Need::OneOf(0);
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
