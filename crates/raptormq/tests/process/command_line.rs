//! Help, printed settings and refusals of the roles, against what mqbroker and mqnamesrv of Java 5.3.3 do: the same
//! streams, words and statuses, except that a mistake in a file is refused in one line instead of being ignored.

use crate::common::run;

const BROKER_USAGE: &str = "\
usage: mqbroker [-c <arg>] [-h] [-m] [-n <arg>] [-p]
 -c,--configFile <arg>
 -h,--help
 -m,--printImportantConfig
 -n,--namesrvAddr <arg>
 -p,--printConfigItem
";

const NAMESRV_USAGE: &str = "\
usage: mqnamesrv [-c <arg>] [-h] [-n <arg>] [-p]
 -c,--configFile <arg>
 -h,--help
 -n,--namesrvAddr <arg>
 -p,--printConfigItem
";

/// The usage without our sentences behind the options.
fn without_sentences(text: &str) -> String {
    text.lines().map(|line| line.split("   ").next().unwrap().trim_end().to_owned() + "\n").collect()
}

#[test]
fn help_is_on_stdout_with_status_0() {
    let home = tempfile::tempdir().unwrap();
    for (role, usage) in [("broker", BROKER_USAGE), ("namesrv", NAMESRV_USAGE)] {
        let ended = run(home.path(), &[role, "-h"]);
        assert_eq!((without_sentences(&ended.stdout).as_str(), ended.status), (usage, Some(0)));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn an_unknown_option_is_named_on_stderr_and_the_usage_shown() {
    let home = tempfile::tempdir().unwrap();
    for (role, usage) in [("mqbroker", BROKER_USAGE), ("mqnamesrv", NAMESRV_USAGE)] {
        let ended = run(home.path(), &[role, "-x"]);
        assert_eq!((without_sentences(&ended.stdout).as_str(), ended.status), (usage, Some(1)));
        assert_eq!(ended.stderr, "Unrecognized option: -x\n");
    }
}

#[test]
fn an_unknown_command_is_refused_with_the_nearest_one() {
    let home = tempfile::tempdir().unwrap();
    let ended = run(home.path(), &["brokr"]);
    assert_eq!(
        ended.stderr,
        "raptormq: there is no command brokr, did you mean broker? `raptormq help` lists the commands\n"
    );
    assert_eq!(ended.status, Some(1));
}

#[test]
fn settings_are_printed_after_the_file_and_the_command_line() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("b.conf"), "listenPort=20911\nnamesrvAddr=a:1\nfileReservedTime=7\n").unwrap();
    let printed = run(home.path(), &["broker", "-c", "b.conf", "-nb:2", "stray", "-p"]);
    assert_eq!(printed.status, Some(0));
    for line in ["namesrvAddr=b:2", "listenPort=20911", "haListenPort=20912", "fileReservedTime=7"] {
        assert!(printed.stdout.lines().any(|printed| printed == line), "{line}");
    }
    let root = format!("storePathRootDir={}/store", home.path().display());
    assert!(printed.stdout.lines().any(|line| line == root), "{root}");
    let important = run(home.path(), &["broker", "-m"]);
    assert!(important.stdout.starts_with("namesrvAddr=\nlistenPort=6888\n"), "{}", important.stdout);
    assert!(important.stdout.lines().count() < printed.stdout.lines().count() / 2);
    let elsewhere = run(home.path(), &["-Duser.home=/elsewhere", "namesrv", "-p"]);
    assert!(elsewhere.stdout.contains("\nkvConfigPath=/elsewhere/namesrv/kvConfig.json\n"));
}

/// Runs a role on a file with this text, and checks that it ends with one line on stderr that has all of `parts`.
fn refused_file(role: &str, text: &str, parts: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("x.conf"), text).unwrap();
    let ended = run(home.path(), &[role, "-c", "x.conf"]);
    assert_eq!(ended.status, Some(255), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    parts.iter().for_each(|part| assert!(ended.stderr.contains(part), "{part} in {ended:?}"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing was begun");
}

#[test]
fn a_bad_value_in_the_file_is_refused_with_file_line_and_remedy() {
    refused_file(
        "broker",
        "\nbrokerId=abc\n",
        &["x.conf line 2: brokerId=abc: expected a whole number", "remove the line"],
    );
    refused_file("broker", "flushDiskType=SOMETIMES\n", &["x.conf line 1: ", "expected one of SYNC_FLUSH ASYNC_FLUSH"]);
    refused_file("broker", "brokerIP1=1.2.3.4 #mine\n", &["x.conf line 1: ", "a comment needs a line of its own"]);
    refused_file("namesrv", "serverWorkerThreads=abc\n", &["x.conf line 1: serverWorkerThreads=abc: expected"]);
    refused_file("namesrv", "a=\\u12", &["x.conf line 1: ", "write key=value"]);
}

#[test]
fn a_missing_file_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    for role in ["broker", "namesrv"] {
        let ended = run(home.path(), &[role, "-c", "nosuch.conf"]);
        assert_eq!((ended.stdout.as_str(), ended.status), ("", Some(255)));
        assert_eq!(ended.stderr.lines().count(), 1);
        assert!(ended.stderr.contains("cannot read the config file nosuch.conf: No such file"), "{}", ended.stderr);
    }
}

#[test]
fn settings_that_rocketmq_refuses_are_refused_in_its_words() {
    let home = tempfile::tempdir().unwrap();
    let ended = run(home.path(), &["broker", "-n", "noport"]);
    let text =
        "The Name Server Address[noport] illegal, please set it as follows, \"127.0.0.1:9876;192.168.0.1:9876\"\n";
    assert_eq!((ended.stdout.as_str(), ended.status), (text, Some(253)));
    std::fs::write(home.path().join("b.conf"), "brokerRole=SLAVE\nbrokerId=0\n").unwrap();
    let ended = run(home.path(), &["broker", "-c", "b.conf"]);
    assert_eq!((ended.stdout.as_str(), ended.status), ("Slave's brokerId must be > 0\n", Some(253)));
}

#[test]
fn a_log_folder_that_cannot_be_made_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("logs"), "a file where the folder should be").unwrap();
    for role in ["broker", "namesrv"] {
        let ended = run(home.path(), &[role]);
        assert_eq!((ended.stdout.as_str(), ended.status), ("", Some(255)));
        assert_eq!(ended.stderr.lines().count(), 1);
        assert!(ended.stderr.contains("logs/rocketmqlogs/broker.log: ") || role == "namesrv", "{}", ended.stderr);
        assert!(ended.stderr.contains("make the folder writable"), "{}", ended.stderr);
    }
}
