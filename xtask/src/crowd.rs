//! `cargo xtask crowd`: consumers that join and leave one group all the time while messages come; nothing may be lost, out of
//! order, or held by two.
//!
//! Two tests of testkit for a longer time: the broker alone with peers that say what clients say
//! (`tests/cluster/crowd.rs`), and the client crate's ordered consumers (`tests/consumers/crowd.rs`).

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

/// How long they come and go; the tests read it.
const SECONDS_KEY: &str = "RAPTORMQ_CROWD_SECONDS";

/// Runs both tests side by side for so many minutes.
pub(crate) fn run(root: &Path, minutes: u64) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let seconds = minutes.saturating_mul(60).to_string();
    let words = ["test", "-p", "raptormq-testkit", "--no-run"];
    let built = Command::new(&cargo).args(words).current_dir(root).status()?;
    ensure!(built.success(), "the tests of testkit do not build");
    let begin = |tests| {
        let words = ["test", "-p", "raptormq-testkit", "--test", tests, "crowd"];
        Command::new(&cargo).args(words).env(SECONDS_KEY, &seconds).current_dir(root).spawn()
    };
    let crowds = [("cluster", begin("cluster")), ("consumers", begin("consumers"))];
    // Both come to their end, whatever one of them finds.
    let ends = crowds.map(|(tests, crowd)| (tests, crowd.and_then(|mut crowd| crowd.wait())));
    for (tests, end) in ends {
        ensure!(end?.success(), "the crowd of {tests} found a fault");
    }
    Ok(())
}
