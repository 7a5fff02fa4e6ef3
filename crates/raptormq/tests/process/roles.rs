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
fn a_broker_says_which_addresses_it_registers_and_why() {
    let home = tempfile::tempdir().unwrap();
    broker_conf(home.path(), free_port(), "brokerIP2=localhost\n");
    let mut command = raptormq(home.path());
    command.args(["broker", "-c", "broker.conf"]);
    assert_eq!(Serving::start(command).stop("TERM").status, Some(0));
    let words = "clients are told to connect to 127.0.0.1 (as brokerIP1 says), slaves to localhost (as brokerIP2 says)";
    let log = log_of(home.path(), "broker");
    assert!(log.contains(words), "{log}");
}

/// Name server, master and slave find each other by the name or the address `host`, and a message goes through.
fn found_by(host: &str, bind: &str) {
    let homes = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let ports = [(); 3].map(|()| free_port());
    let named = |port: u16| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    std::fs::write(homes[0].path().join("n.conf"), format!("listenPort={}\nbindAddress={bind}\n", ports[0])).unwrap();
    let mut command = raptormq(homes[0].path());
    command.args(["namesrv", "-c", "n.conf"]);
    let names = Serving::start(command);
    let broker = |number: usize, more: &str| {
        let text = format!(
            "brokerName=broker-a\nbrokerIP1={host}\nbrokerIP2={host}\nbindAddress={bind}\nlistenPort={}\n\
             namesrvAddr={}\nmappedFileSizeCommitLog=1048576\n{more}",
            ports[number],
            named(ports[0])
        );
        std::fs::write(homes[number].path().join("b.conf"), text).unwrap();
        let mut command = raptormq(homes[number].path());
        command.args(["broker", "-c", "b.conf"]);
        Serving::start(command)
    };
    let master = broker(1, "brokerRole=SYNC_MASTER\ninSyncReplicas=2\nslaveTimeout=60000\n");
    assert!(master.boot_line.contains(&format!(", {}]", named(ports[1]))), "{}", master.boot_line);
    let slave = broker(2, "brokerRole=SLAVE\nbrokerId=1\n");
    // It is acknowledged when the slave has it.
    let sent = run(homes[0].path(), &["send", "-n", &named(ports[0]), "T", "hello"]);
    assert_eq!(sent.status, Some(0), "{host}: {sent:?}");
    for serving in [slave, master, names] {
        assert_eq!(serving.stop("TERM").status, Some(0), "{host}");
    }
}

#[test]
fn brokers_and_name_servers_are_found_by_domain_name() {
    found_by("localhost", "127.0.0.1");
}

#[test]
fn brokers_and_name_servers_are_found_by_ipv6() {
    if TcpListener::bind(("::1", 0)).is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    found_by("::1", "::1");
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
