//! Crashes: workloads are run on the in-memory disk, and the store is opened on every disk that the death of the process
//! or a loss of power may have left at any moment of them.
//!
//! [`workload`] draws what is done, [`run`] does it and writes down what was promised when, [`check`] opens an image and
//! compares. [`planted`] puts in the bugs that this must find.
//!
//! `cargo xtask crash --images N` runs it for longer, `CRASH_SEED=N` runs one workload again.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod check;
#[path = "../common/mod.rs"]
mod common;
mod planted;
mod run;
mod workload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use run::Setup;
use workload::Workload;

/// Images that the test suite looks at.
const SUITE_IMAGES: u64 = 200_000;

/// How long a failing workload is made smaller, in milliseconds.
const SHRINK_MS_MAX: u32 = 30_000;

/// Runs the workload of a seed; returns how many images were looked at, or what was found in the smallest workload that
/// still shows it.
fn run_seed(seed: u64, setup: &Setup, shrinks_max: u32) -> Result<u64, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: shrinks_max,
        max_shrink_time: SHRINK_MS_MAX,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let count = AtomicU64::new(0);
    let ran = runner.run(&workload::strategy(), |workload: Workload| {
        count.fetch_add(run::run(&workload, setup, seed)?, Ordering::Relaxed);
        Ok(())
    });
    match ran {
        Ok(()) => Ok(count.into_inner()),
        Err(TestError::Fail(reason, workload)) => Err(format!("CRASH_SEED={seed}: {reason}\n{workload:#?}")),
        Err(other) => Err(format!("CRASH_SEED={seed}: {other}")),
    }
}

/// Runs workloads from `first_seed` on, on all cores, until there were so many images.
fn run_images(wanted: u64, first_seed: u64) -> (u64, u64) {
    let (next, count) = (AtomicU64::new(first_seed), AtomicU64::new(0));
    let worker = || {
        while count.load(Ordering::Relaxed) < wanted {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            match run_seed(seed, &Setup::default(), 1000) {
                Ok(images) => count.fetch_add(images, Ordering::Relaxed),
                Err(failure) => {
                    // The other threads need not go on.
                    count.fetch_max(wanted, Ordering::Relaxed);
                    panic!("{failure}");
                }
            };
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(worker);
        }
    });
    (count.into_inner(), next.into_inner() - first_seed)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn every_crash_leaves_a_store_that_keeps_its_promises() {
    if let Some(seed) = number("CRASH_SEED") {
        println!("{} images", run_seed(seed, &Setup::default(), 0).unwrap_or_else(|failure| panic!("{failure}")));
        return;
    }
    let started = Instant::now();
    let (images, workloads) = run_images(SUITE_IMAGES, 0);
    let believed = check::BELIEVED.load(Ordering::Relaxed);
    let took = started.elapsed();
    println!("{images} images of {workloads} workloads in {took:.0?}, {believed} with the queues' ends written down");
    assert!(images >= SUITE_IMAGES);
    assert!(believed >= images / 20, "{believed} images had the queues' ends written down");
}

/// `cargo xtask crash` runs this.
#[test]
#[ignore = "runs for as long as it is told to"]
fn as_many_images_as_wanted() {
    let wanted = number("CRASH_IMAGES").unwrap_or(SUITE_IMAGES);
    let first_seed = number("CRASH_FIRST_SEED").unwrap_or(0);
    let started = Instant::now();
    let (mut images, mut workloads) = (0, 0);
    while images < wanted {
        let more = run_images((wanted - images).min(1_000_000), first_seed + workloads);
        (images, workloads) = (images + more.0, workloads + more.1);
        let rate = images as f64 / started.elapsed().as_secs_f64();
        println!("{images} images of {workloads} workloads, seeds from {first_seed}, {rate:.0} images a second");
    }
}
