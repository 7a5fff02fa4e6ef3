//! What else an installation holds beside scripts: settings of every kind, container and service files. Each is read by what
//! reads it later.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use raptormq_config::{BrokerSettings, Environment, NamesrvSettings, Properties};
use serde_yaml_ng::Value;

use crate::common::{Ended, ended, run};

/// Where the service files look for an installation.
const SERVICES_AT: &str = "/opt/raptormq";

fn installation(home: &Path) -> PathBuf {
    let folder = home.join("raptormq");
    let ended = run(home, &["dist", folder.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    folder
}

fn finish(command: &mut Command) -> Ended {
    ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// The files below a folder whose names end so.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let is_wanted = path.extension().is_some_and(|ending| endings.contains(&&*ending.to_string_lossy()));
            match path.is_dir() {
                true => folders.push(path),
                false => found.extend(is_wanted.then_some(path)),
            }
        }
    }
    found.sort();
    found
}

fn yaml(path: &Path) -> Value {
    let mut value: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    value.apply_merge().unwrap();
    value
}

fn words(value: &Value) -> Vec<&str> {
    value.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Those of what is there are in force without a remark; those of what is not there yet are refused in one line.
#[test]
fn every_shipped_properties_file_is_read_without_a_remark() {
    let home = tempfile::tempdir().unwrap();
    let conf = installation(home.path()).join("conf");
    let paths = files(&conf, &["conf", "properties"]);
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        let name = path.strip_prefix(&conf).unwrap().to_string_lossy().into_owned();
        let properties = Properties::parse(&path, &std::fs::read(&path).unwrap()).unwrap();
        let is_absent = name.starts_with("dledger") || name.starts_with("controller");
        let remarks = match () {
            () if name.contains("namesrv") => NamesrvSettings::new(&Environment::default()).load(&properties),
            () if is_absent => {
                let role = if name.contains("controller-") { "controller" } else { "broker" };
                let ended = run(home.path(), &[role, "-c", path.to_str().unwrap()]);
                assert!(ended.status.is_some_and(|status| status != 0), "{name}: {ended:?}");
                let says = ended.stderr.contains("yet") || ended.stderr.contains("this version of RaptorMQ has no ");
                assert!(says, "{name}: {ended:?}");
                continue;
            }
            () => BrokerSettings::new(&Environment::default()).load(&properties),
        };
        let remarks: Vec<String> = remarks.unwrap().lines().map(str::to_owned).collect();
        match is_absent {
            // The name server runs without the controller in it, and says so.
            true => assert!(remarks.concat().contains("enableControllerInNamesrv"), "{name}: {remarks:?}"),
            false => assert_eq!(remarks, Vec::<String>::new(), "{name}"),
        }
    }
}

#[test]
fn the_other_shipped_settings_are_what_their_readers_expect() {
    let home = tempfile::tempdir().unwrap();
    let conf = installation(home.path()).join("conf");
    let tools = yaml(&conf.join("tools.yml"));
    let accounts = yaml(&conf.join("plain_acl.yml"));
    let accounts = accounts["accounts"].as_sequence().unwrap();
    let is_tools = |account: &&Value| account["accessKey"] == tools["accessKey"];
    let account = accounts.iter().find(is_tools).expect("the account of the tools is one");
    assert_eq!((&account["secretKey"], &account["admin"]), (&tools["secretKey"], &Value::Bool(true)));
    let proxy = std::fs::read(conf.join("rmq-proxy.json")).unwrap();
    let proxy: serde_json::Value = serde_json::from_slice(&proxy).unwrap();
    assert_eq!(proxy["rocketMQClusterName"], "DefaultCluster");
}

#[test]
fn the_compose_file_describes_two_masters_and_two_slaves() {
    let home = tempfile::tempdir().unwrap();
    let folder = installation(home.path());
    let compose = yaml(&folder.join("docker/docker-compose.yml"));
    let services = compose["services"].as_mapping().unwrap();
    let names: Vec<&str> = services.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["namesrv-1", "namesrv-2", "broker-a", "broker-a-s", "broker-b", "broker-b-s"]);
    let mut ports = Vec::new();
    for (name, service) in services {
        assert_eq!(service["image"], "raptormq", "{name:?}");
        let Some(volumes) = service.get("volumes") else { continue };
        for volume in words(volumes) {
            let (volume, at) = volume.split_once(':').unwrap();
            assert!(compose["volumes"].get(volume).is_some() && at == "/home/rocketmq/store", "{volume}");
        }
        for mode in ["2m-2s-async", "2m-2s-sync"] {
            let printed = settings_of(home.path(), &folder, service, mode);
            let value = |key: &str| printed.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").to_owned();
            let file = words(&service["command"])[0];
            assert_eq!(name.as_str(), Some(file));
            assert!(file.starts_with(&value("brokerName=")), "{file}: {printed}");
            let role = match (file.ends_with("-s"), mode) {
                (true, _) => "SLAVE",
                (false, "2m-2s-sync") => "SYNC_MASTER",
                (false, _) => "ASYNC_MASTER",
            };
            assert_eq!((&*value("brokerRole="), &*value("brokerIP1=")), (role, "127.0.0.1"), "{file}");
            assert_eq!(value("namesrvAddr="), "127.0.0.1:9876;127.0.0.1:9877");
            ports.push(value("listenPort="));
        }
    }
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 4, "{ports:?}");
    let can = Command::new("docker").args(["compose", "version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: docker compose config; there is none here");
        return;
    }
    let ended = finish(Command::new("docker").args(["compose", "config", "-q"]).current_dir(folder.join("docker")));
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
}

/// What a broker prints that is started as its container does it, with a temporary folder of its own.
fn settings_of(home: &Path, folder: &Path, service: &Value, mode: &str) -> String {
    let entry = words(&service["entrypoint"]);
    assert_eq!(entry[..2], ["sh", "-c"]);
    let own = home.join("broker.conf");
    let line = entry[2].replace("$$", "$").replace("/tmp/broker.conf", own.to_str().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{line} -p")]).args(words(&service["command"])).current_dir(folder.join("bin"));
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let environment = service["environment"].as_mapping().unwrap();
    for (key, value) in environment {
        let (key, value) = (key.as_str().unwrap(), value.as_str().unwrap());
        command.env(key, value.replace("${REPLICATION:-2m-2s-async}", mode));
    }
    let ended = finish(&mut command);
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{mode}");
    ended.stdout
}

#[test]
fn the_container_has_what_its_file_names() {
    let home = tempfile::tempdir().unwrap();
    let folder = installation(home.path());
    let file = std::fs::read_to_string(folder.join("docker/Dockerfile")).unwrap();
    let copied: Vec<&str> = file.lines().filter(|line| line.starts_with("COPY")).collect();
    assert_eq!(copied.len(), 2);
    for line in copied {
        let source = line.split_whitespace().nth(2).unwrap();
        assert!(folder.join(source).is_dir(), "{line}");
    }
    let ended = finish(Command::new("sh").arg("-n").arg(folder.join("docker/play-docker.sh")));
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn the_service_files_start_what_the_installation_holds() {
    let home = tempfile::tempdir().unwrap();
    let folder = installation(home.path());
    let units = files(&folder.join("systemd"), &["service"]);
    assert_eq!(units.len(), 2);
    let mut verified = Command::new("systemd-analyze");
    verified.arg("verify");
    for unit in &units {
        let name = unit.file_name().unwrap().to_string_lossy().replace('@', "@broker");
        let text = std::fs::read_to_string(unit).unwrap();
        let text = text.replace(SERVICES_AT, folder.to_str().unwrap());
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap().replace("%i", "broker");
        let mut line = start.split_whitespace();
        let mut command = Command::new(line.next().unwrap());
        let ended = finish(command.args(line).arg("-p").env_clear().env("HOME", home.path()));
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{start}");
        let own = home.path().join(name);
        std::fs::write(&own, text).unwrap();
        verified.arg(own);
    }
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: systemd-analyze verify; there is none here");
        return;
    }
    let ended = finish(&mut verified);
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
}
