//! `queues`: what many queues cost the release binary.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::binary;

/// What a process may open at once on the machine that the goals are for.
const DESCRIPTORS: &str = "20000";

/// Runs the test of many queues with the release binary and so many topics, and lets it print its figures.
pub(crate) fn run(root: &Path, topics: u64) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(["test", "--package", "raptormq", "--test", "queues", "--", "--nocapture"])
        .env("RAPTORMQ_BIN", binary(root)?)
        .env("RAPTORMQ_TOPICS", topics.to_string())
        .env("RAPTORMQ_DESCRIPTORS", DESCRIPTORS)
        .current_dir(root)
        .status()
        .context("cargo cannot be run")?;
    ensure!(status.success(), "{topics} topics of four queues cost more than they may, or something was not there");
    Ok(())
}
