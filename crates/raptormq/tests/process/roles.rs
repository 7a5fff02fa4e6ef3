//! Roles from their boot line to their end, and everything that keeps them from starting.

use std::net::TcpListener;
use std::path::Path;

use crate::common::{Ended, Serving, free_port, raptormq, run};

/// Writes a broker's file: its own port, everything else in `home`.
fn broker_conf(home: &Path, port: u16, more: &str) {
    let text =
        format!("brokerName=broker-a\nbrokerIP1=127.0.0.1\nlistenPort={port}\nmappedFileSizeCommitLog=1048576\n{more}");
    std::fs::write(home.join("broker.conf"), text).unwrap();
}

fn namesrv(home: &Path, port: u16) -> Serving {
    std::fs::write(home.join("namesrv.conf"), format!("listenPort={port}\n")).unwrap();
    let mut command = raptormq(home);
    command.args(["namesrv", "-c", "namesrv.conf"]);
    Serving::start(command)
}

fn log_of(home: &Path, role: &str) -> String {
    std::fs::read_to_string(home.join("logs/rocketmqlogs").join(format!("{role}.log"))).unwrap()
}

/// One line on stderr with all of `parts`, a bad status, and no boot line.
fn refused(ended: &Ended, parts: &[&str]) {
    assert!(ended.status.is_some_and(|status| status != 0), "{ended:?}");
    assert!(!ended.stdout.contains("boot success"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    parts.iter().for_each(|part| assert!(ended.stderr.contains(part), "{part} in {ended:?}"));
}

#[test]
fn a_name_server_prints_its_boot_line_logs_and_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let serving = namesrv(home.path(), port);
    assert_eq!(serving.boot_line, format!("The Name Server boot success. serializeType=JSON, address 0.0.0.0:{port}"));
    assert_eq!(serving.stop("TERM").status, Some(0));
    let log = log_of(home.path(), "namesrv");
    assert!(log.contains("boot success"), "{log}");
    assert!(log.trim_end().ends_with("stopped"), "the last line is there: {log}");
}

#[test]
fn a_broker_prints_its_boot_line_logs_and_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    let (namesrv_port, port) = (free_port(), free_port());
    let names = namesrv(home.path(), namesrv_port);
    broker_conf(home.path(), port, "noSuchKey=1\n");
    let mut command = raptormq(home.path());
    command.args(["broker", "-c", "broker.conf", "-n", &format!("127.0.0.1:{namesrv_port}")]);
    let serving = Serving::start(command);
    assert_eq!(
        serving.boot_line,
        format!(
            "The broker[broker-a, 127.0.0.1:{port}] boot success. serializeType=JSON and name server is \
             127.0.0.1:{namesrv_port}"
        )
    );
    let ended = serving.stop("INT");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "warning: broker.conf: unknown keys, ignored: noSuchKey in line 5\n");
    let log = log_of(home.path(), "broker");
    assert!(log.contains("noSuchKey") && log.trim_end().ends_with("stopped"), "{log}");
    assert!(!home.path().join("store/abort").exists(), "the store was closed cleanly");
    assert_eq!(names.stop("TERM").status, Some(0));
}

#[test]
fn standalone_serves_both_and_keeps_its_data_in_one_folder() {
    let home = tempfile::tempdir().unwrap();
    let offset = free_port().saturating_sub(10911);
    let mut command = raptormq(home.path());
    command.args(["standalone", "--data", "here", "-o", &offset.to_string()]);
    let serving = Serving::start(command);
    assert!(serving.boot_line.starts_with("The Name Server boot success. serializeType=JSON, address 127.0.0.1:"));
    let ended = serving.stop("TERM");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("The broker[broker-a, 127.0.0.1:"), "{ended:?}");
    let there: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["here"]);
}

#[test]
fn an_occupied_port_is_named_and_nothing_is_left_half_started() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    broker_conf(home.path(), port, "");
    std::fs::write(home.path().join("namesrv.conf"), format!("listenPort={port}\n")).unwrap();
    let taken = TcpListener::bind(("0.0.0.0", port)).unwrap();
    for role in ["broker", "namesrv"] {
        let ended = run(home.path(), &[role, "-c", &format!("{role}.conf")]);
        refused(&ended, &[&port.to_string(), "listenPort"]);
    }
    drop(taken);
    assert!(!home.path().join("store/abort").exists(), "the store was not left open");
    // The VIP port, which no line of the file names, is named just the same.
    let taken = TcpListener::bind(("0.0.0.0", port - 2)).unwrap();
    refused(&run(home.path(), &["broker", "-c", "broker.conf"]), &[&(port - 2).to_string(), "listenPort"]);
    drop(taken);
    assert!(!home.path().join("store/abort").exists());
}

#[test]
fn a_store_in_use_by_another_process_is_refused() {
    let home = tempfile::tempdir().unwrap();
    broker_conf(home.path(), free_port(), "");
    let mut command = raptormq(home.path());
    command.args(["broker", "-c", "broker.conf"]);
    let first = Serving::start(command);
    broker_conf(home.path(), free_port(), "");
    let second = run(home.path(), &["broker", "-c", "broker.conf"]);
    let store = home.path().join("store").display().to_string();
    refused(&second, &[&store, "storePathRootDir"]);
    assert_eq!(first.stop("TERM").status, Some(0), "the first one went on");
}

#[test]
fn a_store_folder_that_cannot_be_made_is_refused() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "not a folder").unwrap();
    let root = home.path().join("file/store").display().to_string();
    broker_conf(home.path(), free_port(), &format!("storePathRootDir={root}\n"));
    refused(&run(home.path(), &["broker", "-c", "broker.conf"]), &[&root, "storePathRootDir"]);
}
