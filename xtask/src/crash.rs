//! `crash`: opens the store on more crash images than the test suite does.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};

/// Runs workloads until there were so many images. Without a seed the present second is the first one, so that each run
/// sees others; it is printed with the counts.
pub(crate) fn run(root: &Path, images: u64, first_seed: Option<u64>) -> anyhow::Result<()> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let first_seed = first_seed.unwrap_or(now_s << 20);
    let status = Command::new("cargo")
        .args(["test", "--release", "--package", "raptormq-store", "--test", "crash", "--"])
        .args(["--ignored", "--nocapture", "as_many_images_as_wanted"])
        .env("CRASH_IMAGES", images.to_string())
        .env("CRASH_FIRST_SEED", first_seed.to_string())
        .current_dir(root)
        .status()
        .context("cargo cannot be run")?;
    ensure!(status.success(), "an image was found that breaks a promise; CRASH_SEED=… above shows it again");
    Ok(())
}
