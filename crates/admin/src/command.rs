//! What a command is: declared once, and everything about it follows.

use std::pin::Pin;

use crate::commons_cli::{Known, Need};
use crate::failure::{Failure, Result};
use crate::session::Session;

/// A command of `mqadmin`.
pub(crate) struct Command {
    /// The original's name.
    pub(crate) name: &'static str,
    /// What it does, in a few words of ours.
    pub(crate) about: &'static str,
    /// What it is for, which decides about the options that are ours.
    pub(crate) kind: Kind,
    /// Its options; every command has `-h` and `-n` besides.
    pub(crate) options: &'static [Opt],
    /// What runs it.
    pub(crate) run: Run,
}

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It shows what there is: `--json`, `--watch`.
    Shows,
    /// It sends messages or goes on until it is stopped, and shows what comes of it: `--json`.
    Probes,
    /// It changes something in the cluster: `--dry-run`.
    Changes,
    /// It writes files.
    Writes,
}

/// An option of ours. The original's usage texts do not have them, so they are read apart from its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// The word on the command line.
    pub(crate) word: &'static str,
    /// What its value is, if it has one.
    pub(crate) value: Option<&'static str>,
    /// What it is for, in a few words.
    pub(crate) about: &'static str,
}

/// Asks for a record a line in JSON instead of columns.
pub(crate) const JSON: Extra =
    Extra { word: "--json", value: None, about: "Print a JSON object a line instead of columns" };
/// Asks to show it again and again.
pub(crate) const WATCH: Extra =
    Extra { word: "--watch", value: Some("SECONDS"), about: "Show it again every so many seconds" };
/// Asks to change nothing.
pub(crate) const DRY_RUN: Extra =
    Extra { word: "--dry-run", value: None, about: "Change nothing, say what would be changed" };
/// Asks for a status other than 0 when the command fails.
pub(crate) const STRICT: Extra =
    Extra { word: "--strict-exit", value: None, about: "As mqadmin, too: exit with 1 when something failed" };

impl Kind {
    /// The options of ours that such a command has.
    pub(crate) fn extras(self) -> &'static [Extra] {
        match self {
            Kind::Shows => &[JSON, WATCH, STRICT],
            Kind::Probes => &[JSON, STRICT],
            Kind::Changes => &[DRY_RUN, STRICT],
            Kind::Writes => &[STRICT],
        }
    }
}

/// What runs a command.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// A function.
    By(By),
    /// Nothing yet, for this reason.
    Absent(&'static str),
}

/// A function that runs a command.
pub(crate) type By = for<'a, 'o> fn(&'a Session<'o>, &'a Arguments) -> Work<'a>;

/// A command at work.
pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// What a whole number is called.
pub(crate) const NUMBER: &str = "NUMBER";
/// What a moment is called.
pub(crate) const TIME: &str = "TIME";

/// An option of a command.
pub(crate) struct Opt {
    short: &'static str,
    long: &'static str,
    /// What its value is; empty when it has none.
    value: &'static str,
    need: Need,
    about: &'static str,
}

impl Opt {
    /// An option with a value.
    pub(crate) const fn value(short: &'static str, long: &'static str, about: &'static str) -> Opt {
        Opt { short, long, value: "VALUE", need: Need::Optional, about }
    }

    /// An option with a whole number: see [`Arguments::number`].
    pub(crate) const fn number(short: &'static str, long: &'static str, about: &'static str) -> Opt {
        Opt { value: NUMBER, ..Opt::value(short, long, about) }
    }

    /// An option with a moment: see [`Arguments::moment`].
    pub(crate) const fn moment(short: &'static str, long: &'static str, about: &'static str) -> Opt {
        Opt { value: TIME, ..Opt::value(short, long, about) }
    }

    /// An option without a value.
    pub(crate) const fn flag(short: &'static str, long: &'static str, about: &'static str) -> Opt {
        Opt { value: "", ..Opt::value(short, long, about) }
    }

    /// The same, but it must be given.
    pub(crate) const fn required(self) -> Opt {
        Opt { need: Need::Required, ..self }
    }

    /// The same, but it or another one of the command that is marked so must be given, and not both.
    pub(crate) const fn one_of(self) -> Opt {
        Opt { need: Need::OneOf(0), ..self }
    }

    /// As [`Opt::one_of`], for a second choice that the command asks for.
    pub(crate) const fn one_of_others(self) -> Opt {
        Opt { need: Need::OneOf(1), ..self }
    }

    fn known(&self) -> Known {
        Known {
            short: self.short.to_owned(),
            long: self.long.to_owned(),
            takes_value: !self.value.is_empty(),
            value_name: self.value,
            need: self.need,
            about: self.about.to_owned(),
        }
    }
}

/// Options of every command.
const COMMON: [Opt; 2] = [
    Opt::flag("h", "help", "Show this text"),
    Opt::value("n", "namesrvAddr", "Name servers to ask, host:port, with ; between; else those of NAMESRV_ADDR"),
];

impl Command {
    /// All options, as the parser wants them.
    pub(crate) fn known(&self) -> Vec<Known> {
        let is_own = |common: &&Opt| self.options.iter().any(|option| option.short == common.short);
        COMMON.iter().filter(|common| !is_own(common)).chain(self.options).map(Opt::known).collect()
    }
}

/// The options that a command was given.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// Key (the short name if there is one) and value; the value of a flag is empty.
    found: Vec<(String, String)>,
}

impl Arguments {
    pub(crate) fn new(found: Vec<(&Known, Option<String>)>) -> Arguments {
        let found = found.into_iter().map(|(option, value)| (option.key().to_owned(), value.unwrap_or_default()));
        Arguments { found: found.collect() }
    }

    /// All of them, by their keys.
    #[cfg(test)]
    pub(crate) fn all(&self) -> std::collections::BTreeMap<String, String> {
        self.found.iter().cloned().collect()
    }

    /// The value of an option, without blanks around it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.found.iter().find(|(name, _)| name == key).map(|(_, value)| value.trim())
    }

    /// The value of an option that must be there.
    pub(crate) fn require(&self, key: &str) -> Result<&str> {
        self.get(key).ok_or_else(|| Failure::argument(format!("option -{key} is missing")))
    }

    /// Whether an option is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The number that an option gives.
    pub(crate) fn number<N: std::str::FromStr>(&self, key: &str) -> Result<Option<N>> {
        self.get(key)
            .map(|text| {
                let wrong = |_| Failure::argument(format!("-{key} {text}: a whole number is expected"));
                text.parse().map_err(wrong)
            })
            .transpose()
    }

    /// As [`Arguments::number`], and it may not be less than `least`, which the original does not look at.
    pub(crate) fn number_from<N>(&self, key: &str, least: N) -> Result<Option<N>>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        match self.number(key)? {
            Some(number) if number < least => {
                Err(Failure::argument(format!("-{key} {number}: {least} or more is expected")))
            }
            number => Ok(number),
        }
    }

    /// Whether an option says `true`; `None` when it is not there.
    pub(crate) fn truth(&self, key: &str) -> Option<bool> {
        self.get(key).map(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The moment that an option gives, in ms since 1970: as a number or as `yyyy-MM-dd#HH:mm:ss:SSS` of this time zone.
    pub(crate) fn moment(&self, key: &str) -> Result<Option<i64>> {
        self.get(key)
            .map(|text| {
                crate::text::moment(text).ok_or_else(|| {
                    Failure::argument(format!(
                        "-{key} {text}: a time is expected, in milliseconds since 1970 or as yyyy-MM-dd#HH:mm:ss:SSS"
                    ))
                })
            })
            .transpose()
    }
}
