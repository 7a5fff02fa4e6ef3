//! A slave that does not belong to its master: it says what is different, and keeps what it has.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{Serving, free_port, raptormq, run};

/// Longer than a slave takes to find its master on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A name server, a master and a slave, each with a home of its own.
struct Group {
    homes: [tempfile::TempDir; 3],
    ports: [u16; 3],
}

const MASTER: usize = 1;
const SLAVE: usize = 2;

impl Group {
    fn new() -> Group {
        Group { homes: [(); 3].map(|()| tempfile::tempdir().unwrap()), ports: [(); 3].map(|()| free_port()) }
    }

    fn names(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    fn serve(&self, number: usize, text: &str) -> Serving {
        let home = self.homes[number].path();
        std::fs::write(home.join("own.conf"), format!("listenPort={}\n{text}", self.ports[number])).unwrap();
        let mut command = raptormq(home);
        command.args([if number == 0 { "namesrv" } else { "broker" }, "-c", "own.conf"]);
        Serving::start(command)
    }

    fn broker(&self, number: usize, more: &str) -> Serving {
        self.serve(
            number,
            &format!(
                "brokerName=broker-a\nbrokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nnamesrvAddr={}\n\
                 mappedFileSizeCommitLog=1048576\nmaxHashSlotNum=10000\nmaxIndexNum=40000\n{more}",
                self.names()
            ),
        )
    }

    fn slave(&self) -> Serving {
        self.broker(SLAVE, "brokerRole=SLAVE\nbrokerId=1\n")
    }

    fn store(&self, number: usize) -> PathBuf {
        self.homes[number].path().join("store")
    }

    /// Sends messages of so many bytes.
    fn send(&self, letter: &str, lengths: &[usize]) {
        for len in lengths {
            let sent = run(self.homes[0].path(), &["send", "-n", &self.names(), "T", &letter.repeat(*len)]);
            assert_eq!(sent.status, Some(0), "{sent:?}");
        }
    }
}

/// The bytes of a store's log.
fn log_of(store: &Path) -> Vec<u8> {
    std::fs::read(store.join("commitlog/00000000000000000000")).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &into),
            false => drop(std::fs::copy(entry.path(), into).unwrap()),
        }
    }
}

/// The master has begun anew with another store: other messages of the same lengths, records that end elsewhere and come to
/// the same end, fewer messages.
#[test]
fn a_slave_says_how_its_past_is_another_and_keeps_what_it_has() {
    let group = Group::new();
    let names = group.serve(0, "");
    let master = group.broker(MASTER, "brokerRole=SYNC_MASTER\ninSyncReplicas=2\nslaveTimeout=60000\n");
    let slave = group.slave();
    group.send("x", &[1, 400]);
    assert_eq!(slave.stop("TERM").status, Some(0));
    assert_eq!(master.stop("TERM").status, Some(0));
    let kept = group.homes[0].path().join("kept");
    copy(&group.store(SLAVE), &kept);
    let before = log_of(&kept);

    for (lengths, reason) in [
        (&[1, 400][..], "it has another message than this slave"),
        (&[5, 396], "it has no message, and this slave has"),
        (&[1], "it ends at log offset"),
    ] {
        std::fs::remove_dir_all(group.store(MASTER)).unwrap();
        std::fs::remove_dir_all(group.store(SLAVE)).unwrap();
        copy(&kept, &group.store(SLAVE));
        let log = group.homes[SLAVE].path().join("logs/rocketmqlogs/broker.log");
        std::fs::remove_file(&log).unwrap();
        let master = group.broker(MASTER, "");
        group.send("y", lengths);
        let slave = group.slave();
        let begun = Instant::now();
        let line = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains("the master is not followed"));
            if let Some(line) = line {
                break line.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "{reason}: {text}");
            std::thread::sleep(Duration::from_millis(20));
        };
        for part in
            ["ERROR", "its log has another past: ", reason, "nothing was changed here. Empty this slave's store"]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
        // What comes at the master does not change that.
        group.send("y", &[7]);
        assert_eq!(slave.stop("TERM").status, Some(0));
        assert_eq!(master.stop("TERM").status, Some(0));
        assert!(log_of(&group.store(SLAVE)) == before, "{reason}: the slave's log was changed");
    }
    assert_eq!(names.stop("TERM").status, Some(0));
}
