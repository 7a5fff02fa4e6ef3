//! `raptormq dist DIR`: writes the folder that people know as RocketMQ's installation, this binary in it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use raptormq_admin::Shell;

use crate::argv::Invocation;

/// What the command line can say.
#[derive(clap::Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
struct Options {
    /// Folder to make
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print help
    #[arg(short = 'h', long = "help")]
    _help: bool,
}

/// Declares the files of `distribution`, which the binary carries.
macro_rules! files {
    ($($path:literal)*) => { &[$(($path, include_str!(concat!("../../../../distribution/", $path)))),*] };
}

/// Every file: where it goes, and what it holds.
const FILES: &[(&str, &str)] = files! {
    "benchmark/batchproducer.sh" "benchmark/consumer.sh" "benchmark/producer.sh" "benchmark/runclass.sh"
    "benchmark/shutdown.sh" "benchmark/tproducer.sh"
    "bin/cachedog.sh" "bin/cleancache.sh" "bin/cleancache.v1.sh" "bin/export.sh" "bin/mqadmin" "bin/mqbroker"
    "bin/mqbroker.numanode0" "bin/mqbroker.numanode1" "bin/mqbroker.numanode2" "bin/mqbroker.numanode3"
    "bin/mqcontroller" "bin/mqnamesrv" "bin/mqproxy" "bin/mqshutdown" "bin/os.sh" "bin/play.sh" "bin/run.sh"
    "bin/runbroker.sh" "bin/runserver.sh" "bin/setcache.sh" "bin/tools.sh"
    "conf/2m-2s-async/broker-a-s.properties" "conf/2m-2s-async/broker-a.properties"
    "conf/2m-2s-async/broker-b-s.properties" "conf/2m-2s-async/broker-b.properties"
    "conf/2m-2s-sync/broker-a-s.properties" "conf/2m-2s-sync/broker-a.properties"
    "conf/2m-2s-sync/broker-b-s.properties" "conf/2m-2s-sync/broker-b.properties"
    "conf/2m-noslave/broker-a.properties" "conf/2m-noslave/broker-b.properties"
    "conf/2m-noslave/broker-trace.properties" "conf/broker.conf" "conf/namesrv.conf"
    "conf/controller/cluster-3n-independent/controller-n0.conf"
    "conf/controller/cluster-3n-independent/controller-n1.conf"
    "conf/controller/cluster-3n-independent/controller-n2.conf"
    "conf/controller/cluster-3n-namesrv-plugin/namesrv-n0.conf"
    "conf/controller/cluster-3n-namesrv-plugin/namesrv-n1.conf"
    "conf/controller/cluster-3n-namesrv-plugin/namesrv-n2.conf"
    "conf/controller/controller-standalone.conf" "conf/controller/quick-start/broker-n0.conf"
    "conf/controller/quick-start/broker-n1.conf" "conf/controller/quick-start/namesrv.conf"
    "conf/dledger/broker-n0.conf" "conf/dledger/broker-n1.conf" "conf/dledger/broker-n2.conf"
    "conf/plain_acl.yml" "conf/rmq-proxy.json" "conf/tools.yml"
    "docker/Dockerfile" "docker/docker-compose.yml" "docker/play-docker.sh"
    "systemd/raptormq-broker@.service" "systemd/raptormq-namesrv.service"
};

/// Writes the folder.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    match write(&options.folder) {
        Ok(()) => {
            println!("wrote {0}: begin with sh {0}/bin/mqnamesrv and sh {0}/bin/mqbroker", options.folder.display());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{}: {reason:#}", invocation.program);
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> anyhow::Result<()> {
    let is_new = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    ensure!(is_new, "{} is not empty; name a folder that is, or that there is not yet", folder.display());
    for (path, text) in FILES {
        let path = folder.join(path);
        write_file(&path, text)?;
        if text.starts_with("#!") {
            set_executable(&path).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    for (path, text) in printed() {
        write_file(&folder.join(path), &text)?;
    }
    let own = std::env::current_exe().context("where this program lies is not known")?;
    let binary = folder.join("bin/raptormq");
    std::fs::copy(own, &binary).with_context(|| format!("cannot write {}", binary.display()))?;
    Ok(())
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(failed)?;
    }
    std::fs::write(path, text).with_context(failed)
}

/// What is printed from the declarations of `mqadmin`, where systems look for such files.
fn printed() -> [(&'static str, String); 4] {
    [
        ("share/man/man1/mqadmin.1", raptormq_admin::manual()),
        ("share/bash-completion/completions/mqadmin", raptormq_admin::completions(Shell::Bash)),
        ("share/zsh/site-functions/_mqadmin", raptormq_admin::completions(Shell::Zsh)),
        ("share/fish/vendor_completions.d/mqadmin.fish", raptormq_admin::completions(Shell::Fish)),
    ]
}

#[cfg(unix)]
fn set_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn set_executable(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn files_of(folder: &Path, below: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_of(&path, below, found);
            } else {
                found.insert(path.strip_prefix(below).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn the_binary_carries_all_of_the_distribution() {
        let source: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../distribution"].iter().collect();
        let mut there = BTreeSet::new();
        files_of(&source, &source, &mut there);
        let carried: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(carried, there);
    }

    #[test]
    fn every_broker_file_is_taken_without_a_remark() {
        let is_broker = |path: &str| path == "conf/broker.conf" || path.starts_with("conf/2m-");
        let brokers = FILES.iter().filter(|(path, _)| is_broker(path));
        for (path, text) in brokers {
            let mut settings = raptormq_config::BrokerSettings::new(&raptormq_config::Environment::default());
            let properties = raptormq_config::Properties::parse(Path::new(path), text.as_bytes()).unwrap();
            let remarks = settings.load(&properties).unwrap();
            settings.settle().unwrap();
            assert_eq!(remarks.lines().collect::<Vec<_>>(), Vec::<&str>::new(), "{path}");
        }
    }

    #[test]
    fn brokers_that_elect_their_master_are_refused_in_words() {
        let brokers = FILES.iter().filter(|(path, _)| path.contains("/broker-n"));
        assert_eq!(brokers.clone().count(), 5);
        for (path, text) in brokers {
            let mut settings = raptormq_config::BrokerSettings::new(&raptormq_config::Environment::default());
            let properties = raptormq_config::Properties::parse(Path::new(path), text.as_bytes()).unwrap();
            assert_eq!(settings.load(&properties).unwrap().unknown, "", "{path}");
            let refusal = settings.settle().unwrap_err().to_string();
            assert!(refusal.contains(" mode yet"), "{path}: {refusal}");
        }
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine"), "x").unwrap();
        assert!(write(folder.path()).unwrap_err().to_string().contains("is not empty"));
        let folder = folder.path().join("new");
        write(&folder).unwrap();
        assert!(
            folder.join("bin/raptormq").is_file() && folder.join("conf/2m-2s-sync/broker-b-s.properties").is_file()
        );
    }
}
