//! The shell scripts of `distribution/bin`: they find the binary, hand words on, and stop what they started.

use std::process::{Command, Stdio};

use crate::common::{Ended, Serving, ended, free_port, script, standalone};

fn run(mut command: Command) -> Ended {
    ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn jvm_flags_are_ignored_and_system_properties_kept() {
    let home = tempfile::tempdir().unwrap();
    let mut command = script(home.path(), "mqnamesrv");
    command.args(["-Xms4g", "-p"]).env("JAVA_OPT_EXT", "-Xmx8g -Duser.home=/elsewhere");
    let ended = run(command);
    assert!(ended.stdout.contains("kvConfigPath=/elsewhere/namesrv/kvConfig.json\n"), "{ended:?}");
    assert_eq!(ended.status, Some(0));
}

#[test]
fn class_names_become_commands() {
    let home = tempfile::tempdir().unwrap();
    let mut command = script(home.path(), "runbroker.sh");
    let ended = run({
        command.args(["org.apache.rocketmq.broker.BrokerStartup", "-c", "a file with blanks.conf"]);
        command
    });
    assert!(ended.stderr.contains("a file with blanks.conf"), "{ended:?}");
    let mut command = script(home.path(), "tools.sh");
    command.arg("org.apache.rocketmq.example.NoSuch");
    let ended = run(command);
    assert!(ended.stderr.contains("RaptorMQ has no such class"), "{ended:?}");
    assert_eq!(ended.status, Some(1));
}

#[test]
fn a_role_started_by_its_script_gets_the_signal() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("n.conf"), format!("listenPort={}\n", free_port())).unwrap();
    let mut command = script(home.path(), "mqnamesrv");
    command.args(["-c", "n.conf"]);
    assert_eq!(Serving::start(command).stop("TERM").status, Some(0));
}

#[test]
fn a_cluster_is_exported_into_one_file() {
    let home = tempfile::tempdir().unwrap();
    let (serving, namesrv) = standalone(home.path());
    let answers = format!("{namesrv}\nDefaultCluster\n{}/out\n", home.path().display());
    std::fs::write(home.path().join("answers"), answers).unwrap();
    let mut command = script(home.path(), "export.sh");
    command.stdin(std::fs::File::open(home.path().join("answers")).unwrap());
    let ended = ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let text = std::fs::read_to_string(home.path().join("out/rocketmq-metadata-export.json")).unwrap();
    for part in ["\"configs\": {", "\"metadata\": {", "\"metrics\": {", "broker-a", "clusterScale"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(serving.stop("TERM").status, Some(0));
}
