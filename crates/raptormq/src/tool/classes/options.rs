//! Options of the classes, in commons-cli's forms.

use std::process::ExitCode;

use raptormq_admin::commons_cli::{self, Known, Need};

use crate::argv::Invocation;
use crate::tool;

/// Exit status of a command line that is no use (Java: `ServerUtil.parseCmdLine`).
const EXIT_USAGE: u8 = 1;

/// An option with a value.
pub(super) fn with_value(short: &str, long: &str, about: &str) -> Known {
    Known { short: short.into(), long: long.into(), takes_value: true, about: about.into(), ..Known::default() }
}

/// An option with a value that must be there.
pub(super) fn needed(short: &str, long: &str, about: &str) -> Known {
    Known { need: Need::Required, ..with_value(short, long, about) }
}

/// What stands on a command line.
pub(super) struct Found(Vec<(String, Option<String>)>);

impl Found {
    /// The value of an option, given by its short name.
    pub(super) fn text(&self, short: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == short).and_then(|(_, value)| value.as_deref()).map(str::trim)
    }

    /// The number that an option gives.
    pub(super) fn number<N: std::str::FromStr>(&self, short: &str, default: N) -> anyhow::Result<N> {
        let Some(text) = self.text(short) else { return Ok(default) };
        text.parse().map_err(|_| anyhow::anyhow!("-{short} {text} is not the number that it needs"))
    }

    /// Whether an option says so.
    pub(super) fn is_true(&self, short: &str) -> bool {
        self.text(short).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

/// Reads these options, and -n and -h, of which every class knows. An `Err` is the status to end with, everything being
/// said.
pub(super) fn read(invocation: &Invocation, program: &str, own: &[Known]) -> Result<Found, ExitCode> {
    let mut known = own.to_vec();
    known.push(Known { short: "h".into(), long: "help".into(), about: "Print help".into(), ..Known::default() });
    let namesrv = "Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'";
    known.push(with_value("n", "namesrvAddr", namesrv));
    let found = commons_cli::read(&known, &invocation.words);
    let found = found.and_then(|found| {
        let asks_for_help = found.iter().any(|(option, _)| option.short == "h");
        if !asks_for_help {
            commons_cli::check_needs(&known, &found)?;
        }
        Ok((asks_for_help, found.into_iter().map(|(option, value)| (option.short.clone(), value)).collect()))
    });
    match found {
        Ok((false, found)) => Ok(Found(found)),
        Ok((true, _)) => {
            print!("{}", commons_cli::usage(program, &known));
            Err(ExitCode::SUCCESS)
        }
        Err(mistake) => {
            eprintln!("{mistake}\n{}", commons_cli::usage(program, &known));
            Err(ExitCode::from(EXIT_USAGE))
        }
    }
}

/// The name server of a class without options of its own.
pub(super) fn namesrv(invocation: &Invocation) -> Result<String, ExitCode> {
    let found = read(invocation, &invocation.program, &[])?;
    Ok(tool::namesrv(found.text("n"), invocation))
}
