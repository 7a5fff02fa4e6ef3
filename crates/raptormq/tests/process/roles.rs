//! Roles from their boot line to their end, and everything that keeps them from starting.

use std::net::TcpListener;
use std::path::Path;

use crate::common::{Ended, Serving, free_port, raptormq, run};

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
fn an_occupied_port_is_named_and_nothing_is_left_half_started() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    std::fs::write(home.path().join("namesrv.conf"), format!("listenPort={port}\n")).unwrap();
    let _taken = TcpListener::bind(("0.0.0.0", port)).unwrap();
    refused(&run(home.path(), &["namesrv", "-c", "namesrv.conf"]), &[&port.to_string(), "listenPort"]);
}
