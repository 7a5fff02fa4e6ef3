//! `raptormq admin` and `mqadmin`: the crate `raptormq-admin` on this command line.

use std::process::ExitCode;

use raptormq_admin::Style;

use crate::argv::Invocation;

/// Runs a command of `mqadmin`.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let style = if invocation.program.ends_with("mqadmin") { Style::Mqadmin } else { Style::Raptormq };
    let Invocation { words, system_properties, .. } = invocation;
    raptormq_admin::run(raptormq_admin::Invocation { style, words, system_properties })
}
