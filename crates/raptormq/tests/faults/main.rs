//! The binary under fire: input that is none, and ends that come without warning.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_input;
mod bad_store;
#[path = "../process/common.rs"]
#[allow(dead_code, reason = "shared with the tests of processes that behave")]
mod common;
mod full_disk;
mod kill;
mod slaves;

use std::path::Path;

use common::{Serving, free_port, raptormq};

/// A role with its settings, started; where it listens.
fn start(home: &Path, role: &str, more: &str) -> (Serving, String) {
    let port = free_port();
    (start_on(home, role, port, more), format!("127.0.0.1:{port}"))
}

/// As [`start`], on a port that it had before.
fn start_on(home: &Path, role: &str, port: u16, more: &str) -> Serving {
    let file = format!("{role}.conf");
    let common = format!("listenPort={port}\nbindAddress=127.0.0.1\n");
    std::fs::write(home.join(&file), common + more).unwrap();
    let mut command = raptormq(home);
    command.args([role, "-c", &file]);
    Serving::start(command)
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(raptormq_testkit::PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A broker's settings: small files, and addresses that are this machine's.
const BROKER: &str = "brokerName=broker-a\nbrokerIP1=127.0.0.1\nmappedFileSizeCommitLog=8388608\n";
