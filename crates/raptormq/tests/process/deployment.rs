//! What deployment guides tell people to type, in a folder that `raptormq dist` wrote: two name servers, two masters and two
//! slaves by the shipped files, and the scripts that start and stop all of a machine, in a machine of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Ended, Serving, ended, free_port, raptormq, run};

/// Longer than a cluster takes to come into step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages of `quickstart.Producer`.
const MESSAGES: usize = 1000;

/// An installation, which the home holds with everything that its processes keep.
fn installation(home: &Path) -> PathBuf {
    let folder = home.join("rocketmq");
    let ended = run(home, &["dist", folder.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    folder
}

/// A script of the installation, run as guides do.
fn script(home: &Path, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg(home.join("rocketmq").join(name)).args(words).env_clear().env("HOME", home).current_dir(home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn finish(mut command: Command) -> Ended {
    ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Starts a broker by a shipped file, to which a test adds what four brokers on one machine need.
fn broker(home: &Path, file: &str, names: &str) -> Serving {
    let shipped = std::fs::read_to_string(home.join("rocketmq/conf").join(file)).unwrap();
    let name = file.replace('/', "-");
    let own = format!(
        "listenPort={}\nbrokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nstorePathRootDir={}\nmappedFileSizeCommitLog=4194304\n\
         maxHashSlotNum=10000\nmaxIndexNum=40000\n",
        free_port(),
        home.join(&name).display()
    );
    std::fs::write(home.join(&name).with_extension("conf"), shipped + &own).unwrap();
    let conf = home.join(&name).with_extension("conf");
    let mut command = script(home, "bin/mqbroker", &["-n", names, "-c", conf.to_str().unwrap()]);
    command.env("JAVA_OPT_EXT", "-server -Xms8g -Xmx8g -Xmn4g");
    // Each has a machine of its own, and so logs of its own.
    command.env("HOME", home.join(name));
    Serving::start(command)
}

/// How many of the messages of `quickstart.Producer` are answered so.
fn sent(home: &Path, names: &str, status: &str) -> usize {
    let mut command = script(home, "bin/tools.sh", &["org.apache.rocketmq.example.quickstart.Producer"]);
    // More than a pipe takes.
    let out = home.join("sent");
    command.env("NAMESRV_ADDR", names).stdin(Stdio::null()).stdout(std::fs::File::create(&out).unwrap());
    let ended = ended(command.stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    std::fs::read_to_string(out).unwrap().matches(&format!("sendStatus={status},")).count()
}

/// Starts two name servers, two masters and two slaves, sends, and ends a slave and then the rest.
fn deployed(mode: &str, without_slave: &str) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    installation(home);
    let ports = [free_port(), free_port()];
    let name_server = |port| {
        let conf = home.join(format!("{port}.conf"));
        std::fs::write(&conf, format!("listenPort={port}\n")).unwrap();
        Serving::start(script(home, "bin/mqnamesrv", &["-c", conf.to_str().unwrap()]))
    };
    let [first, second] = ports.map(name_server);
    let names = ports.map(|port| format!("127.0.0.1:{port}")).join(";");
    let files = ["broker-a", "broker-a-s", "broker-b", "broker-b-s"].map(|name| format!("{mode}/{name}.properties"));
    let [a, slave_of_a, b, slave_of_b] = files.each_ref().map(|file| broker(home, file, &names));
    for port in ports {
        let ended = finish(script(home, "bin/mqadmin", &["clusterList", "-n", &format!("127.0.0.1:{port}")]));
        let rows: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        for (name, id) in [("broker-a", "0"), ("broker-a", "1"), ("broker-b", "0"), ("broker-b", "1")] {
            assert!(rows.contains(&vec!["DefaultCluster", name, id]), "{name} {id}: {ended:?}");
        }
    }
    let begun = Instant::now();
    // Until the slaves are in step a synchronous master says that there are none.
    while sent(home, &names, "SEND_OK") < MESSAGES {
        assert!(begun.elapsed() < PATIENCE, "not all are sent");
    }
    assert_eq!(slave_of_a.stop("TERM").status, Some(0));
    let (of_a, ok) = (sent(home, &names, without_slave), sent(home, &names, "SEND_OK"));
    match mode {
        // Half of the queues are those of the master that is alone.
        "2m-2s-sync" => assert!(of_a > 100 && ok > 100 && ok < MESSAGES, "{of_a}, {ok}"),
        _ => assert_eq!((of_a, ok), (0, MESSAGES)),
    }
    // One name server is enough.
    assert_eq!(first.stop("TERM").status, Some(0));
    assert!(sent(home, &names, "SEND_OK") > 0);
    for (serving, file) in [(slave_of_b, &files[3]), (a, &files[0]), (b, &files[2])] {
        assert_eq!(serving.stop("TERM").status, Some(0), "{file}");
        let log = home.join(file.replace('/', "-")).join("logs/rocketmqlogs/broker.log");
        assert!(std::fs::read_to_string(log).unwrap().contains("boot success"), "{file}");
    }
    assert_eq!(second.stop("TERM").status, Some(0));
    assert!(home.join("logs/rocketmqlogs/namesrv.log").is_file());
}

#[test]
fn two_masters_and_two_slaves_replicate_asynchronously() {
    deployed("2m-2s-async", "SLAVE_NOT_AVAILABLE");
}

#[test]
fn two_masters_and_two_slaves_replicate_synchronously() {
    deployed("2m-2s-sync", "SLAVE_NOT_AVAILABLE");
}

/// Runs lines of a shell in a machine of its own: no processes and no network but its own. `None` where this user may not
/// make one.
fn alone(home: &Path, lines: &str) -> Option<Ended> {
    let unshare = |lines: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "sh", "-c", lines]);
        command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(home);
        command
    };
    let can = unshare("ip link set lo up").stdin(Stdio::null()).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: no machine of one's own (unshare) can be had here");
        return None;
    }
    Some(finish(unshare(&format!("ip link set lo up\n{lines}"))))
}

#[test]
fn play_starts_both_and_mqshutdown_ends_them_with_the_original_s_lines() {
    let home = tempfile::tempdir().unwrap();
    installation(home.path());
    // Small files; nobody else's ports are in the way here.
    let lines = r#"
        cd rocketmq/bin
        for role in broker namesrv proxy controller brokerContainer nothing; do sh mqshutdown $role; echo "= $?"; done
        sed -i 's/mqbroker"/mqbroker" -c small.conf/' play.sh
        printf 'mappedFileSizeCommitLog=4194304\nmaxHashSlotNum=10000\nmaxIndexNum=40000\n' > small.conf
        sh play.sh
        patience=600
        until grep -q 'boot success' ns.log && grep -q 'boot success' bk.log; do
          patience=$((patience - 1)); [ $patience -gt 0 ] || { cat ns.log bk.log; exit 9; }; sleep 0.1
        done
        for role in broker namesrv; do
          sh mqshutdown $role; echo "= $?"
          until sh mqshutdown $role | grep -q '^No '; do sleep 0.1; done
        done
        ls ../../logs/rocketmqlogs ../../store
    "#;
    let Some(ended) = alone(home.path(), lines) else { return };
    // Process ids differ.
    let text: String = ended.stdout.chars().filter(|c| !c.is_ascii_digit()).collect();
    for (role, status) in [("mqbroker", 255), ("mqnamesrv", 255), ("mqproxy", 255), ("mqcontroller", 255)] {
        assert!(ended.stdout.contains(&format!("No {role} running.\n= {status}\n")), "{ended:?}");
    }
    assert!(ended.stdout.contains("No broker container running.\n= 255\nUseage: mqshutdown broker | "), "{ended:?}");
    assert!(text.contains("Start Name Server and Broker Successfully, "), "{ended:?}");
    for role in ["mqbroker", "mqnamesrv"] {
        let both = format!("The {role}() is running...\nSend shutdown request to {role}() OK\n= \n");
        assert!(text.contains(&both), "{both} in {ended:?}");
    }
    assert!(text.contains("broker.log") && text.contains("namesrv.log"), "{ended:?}");
    assert!(text.contains("commitlog") && !text.contains("abort"), "the store was closed cleanly: {ended:?}");
}

#[test]
fn roles_that_there_are_not_yet_say_so() {
    let home = tempfile::tempdir().unwrap();
    installation(home.path());
    for name in ["mqproxy", "mqcontroller"] {
        let ended = finish(script(home.path(), &format!("bin/{name}"), &[]));
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(name.trim_start_matches("mq")) && ended.stderr.contains("yet"), "{ended:?}");
    }
}

#[test]
fn scripts_for_the_machine_say_what_they_would_do() {
    let home = tempfile::tempdir().unwrap();
    installation(home.path());
    let ended = finish(script(home.path(), "bin/os.sh", &["-n"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let settings =
        ["vm.overcommit_memory = 1 ", "vm.max_map_count = 655360 ", "vm.swappiness = 1 ", "vm.dirty_ratio = 50 "];
    for key in settings.into_iter().chain(["nofile 655350 "]) {
        assert!(ended.stdout.contains(key), "{key} in {ended:?}");
    }
    let ended = finish(script(home.path(), "bin/setcache.sh", &[]));
    assert_eq!((ended.status, ended.stdout.trim()), (Some(1), "usage: setcache.sh KILOBYTES"));
    // Each binds its broker to the node in its name.
    let tools = home.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("numactl"), "#!/bin/sh\necho \"$@\"\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(tools.join("numactl")).status().unwrap().success());
    for node in 0..4 {
        let mut command = script(home.path(), &format!("bin/mqbroker.numanode{node}"), &["-c", "b.conf"]);
        command.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default()));
        let ended = finish(command);
        let words = format!("--cpunodebind={node} --membind={node} sh ");
        assert!(ended.stdout.starts_with(&words) && ended.stdout.ends_with("run.sh broker -c b.conf\n"), "{ended:?}");
    }
}

/// Every file as it is in the source, scripts to be run, and what is printed from the declarations.
#[test]
fn an_installation_is_whole() {
    let home = tempfile::tempdir().unwrap();
    let folder = installation(home.path());
    let source: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../distribution"].iter().collect();
    let mut folders = vec![source.clone()];
    let mut count = 0;
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let written = folder.join(path.strip_prefix(&source).unwrap());
            let text = std::fs::read(&path).unwrap();
            assert_eq!(std::fs::read(&written).unwrap(), text, "{}", written.display());
            let is_executable = Command::new("test").arg("-x").arg(&written).status().unwrap().success();
            assert_eq!(is_executable, text.starts_with(b"#!"), "{}", written.display());
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
    for printed in ["share/man/man1/mqadmin.1", "share/bash-completion/completions/mqadmin"] {
        assert!(folder.join(printed).is_file(), "{printed}");
    }
    let mut own = raptormq(home.path());
    let version = finish({
        own.arg("--version");
        own
    });
    let mut theirs = Command::new(folder.join("bin/raptormq"));
    let theirs = finish({
        theirs.arg("--version");
        theirs
    });
    assert_eq!((theirs.status, &theirs.stdout), (Some(0), &version.stdout));
}
