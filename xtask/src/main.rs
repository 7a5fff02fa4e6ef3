//! The project's own chores: `cargo xtask CHORE`.
#![forbid(unsafe_code)]

mod cluster;
mod crash;
mod crowd;
mod docs;
mod faults;
mod kill;
mod load;
mod mqadmin;
mod net;
mod pair;
mod power;
mod process;
mod queues;
mod random;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

const USAGE: &str = "usage: cargo xtask CHORE

  docs           print the generated pages (docs/config.md, docs/mqadmin.md) anew
  docs --check   fail when a generated page is not what would be printed
  faults         let each call to the disk fail in turn: nothing acknowledged may be missing; takes minutes
  crash [--images N] [--seed N]
                 open the store on N crash images (1,000,000), drawn from the seed on
  mqadmin [ours|java|java4|abroad ...]
                 compare our mqadmin and Java's, on our cluster and on a Java cluster, with the recorded outputs (all four)
  crowd [--minutes N]
                 let consumers join and leave one group for N minutes (10), with the broker alone and with our client
  queues [--topics N]
                 register, send, consume and start again with N topics of four queues (50,000), release binary
  kill [--cycles N] [--seed N]
                 kill the release broker under load, N times for each flush mode (100)
  pair [--cycles N] [--seed N]
                 kill, stop and freeze the release broker as a synchronous master and its slave under load, N times (20)
  cluster [--cycles N] [--seed N]
                 kill, stop, freeze and cut off what runs of two name servers, two synchronous masters and two slaves, with
                 producers and consumers at them, N times (200)
  power [--cycles N] [--seed N]
                 take the power from the release broker under load, N times for each flush mode (10), dying and going on";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["docs"] => docs::write(root()),
        ["docs", "--check"] => docs::check(root()),
        ["faults"] => faults::run(root()),
        ["crash", options @ ..] => number(options, "--images")
            .and_then(|images| crash::run(root(), images.unwrap_or(1_000_000), number(options, "--seed")?)),
        ["mqadmin", wanted @ ..] => mqadmin::run(root(), wanted),
        ["crowd", options @ ..] => {
            number(options, "--minutes").and_then(|minutes| crowd::run(root(), minutes.unwrap_or(10)))
        }
        ["queues", options @ ..] => {
            number(options, "--topics").and_then(|topics| queues::run(root(), topics.unwrap_or(50_000)))
        }
        ["kill", options @ ..] => cycles(options, 100).and_then(|(cycles, seed)| kill::run(root(), cycles, seed)),
        ["pair", options @ ..] => cycles(options, 20).and_then(|(cycles, seed)| pair::run(root(), cycles, seed)),
        ["cluster", options @ ..] => cycles(options, 200).and_then(|(cycles, seed)| cluster::run(root(), cycles, seed)),
        ["power", options @ ..] => cycles(options, 10).and_then(|(cycles, seed)| power::run(root(), cycles, seed)),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason:#}");
            ExitCode::FAILURE
        }
    }
}

/// How many cycles, and their seed, which is another one each time unless it is given.
fn cycles(options: &[&str], unless_given: u32) -> anyhow::Result<(u32, u64)> {
    let cycles = number(options, "--cycles")?.map_or(Ok(unless_given), u32::try_from)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok((cycles, number(options, "--seed")?.unwrap_or(now_s)))
}

/// The number behind an option, if it is there.
fn number(options: &[&str], name: &str) -> anyhow::Result<Option<u64>> {
    let pairs = options.chunks_exact(2);
    let is_known = |pair: &[&str]| ["--images", "--cycles", "--minutes", "--seed", "--topics"].contains(&pair[0]);
    anyhow::ensure!(pairs.remainder().is_empty() && pairs.clone().all(is_known), USAGE);
    let found = pairs.clone().find(|pair| pair[0] == name);
    found.map(|pair| pair[1].parse().with_context(|| format!("{name} {}", pair[1]))).transpose()
}

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's folder")
}
