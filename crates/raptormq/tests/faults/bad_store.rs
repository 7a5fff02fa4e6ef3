//! Store folders that a broker must not take: it says so in one line, and leaves them as they were. So do the tools that
//! look at one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use raptormq_testkit::Peer;

use crate::common::{Ended, ended, free_port, run};
use crate::start_on;

/// Small files, so that they can be compared.
const SETTINGS: &str = "brokerName=broker-a\nbrokerIP1=127.0.0.1\nmappedFileSizeCommitLog=65536\n\
                        mappedFileSizeConsumeQueue=2000\nmaxHashSlotNum=100\nmaxIndexNum=400\n";
const LOG: &str = "commitlog/00000000000000000000";
const QUEUE: &str = "consumequeue/T/0/00000000000000000000";

/// A broker's home, in which one ran and stopped in order.
struct Home {
    folder: tempfile::TempDir,
    port: u16,
}

impl Home {
    async fn new() -> Home {
        let home = Home { folder: tempfile::tempdir().unwrap(), port: free_port() };
        let broker = start_on(home.path(), "broker", home.port, SETTINGS);
        let peer = Peer::new(format!("127.0.0.1:{}", home.port));
        peer.create_topic("T", 1).await;
        for number in 0..3 {
            peer.send("T", 0, format!("message {number}")).await;
        }
        peer.leave();
        assert_eq!(broker.stop("TERM").status, Some(0));
        // As a store that somebody else stopped, so that a start looks at every queue.
        fs::remove_file(home.store().join("raptormq.queues")).unwrap();
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> PathBuf {
        self.path().join("store")
    }
}

/// Everything in a folder, with what a change of it would change.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            folders.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
        }
        // Whoever is not root may not read what nobody may.
        let bytes =
            if data.is_file() && data.len() < 1 << 30 { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        found.insert(path, (data.mode(), data.mtime(), data.mtime_nsec(), bytes));
    }
    found
}

fn replace_by_folder(path: &Path) {
    let _may_be_missing = fs::remove_file(path);
    fs::create_dir(path).unwrap();
}

fn replace_by_file(path: &Path) {
    fs::remove_dir_all(path).unwrap();
    fs::write(path, "a file").unwrap();
}

fn replace_by_pipe(path: &Path) {
    let _may_be_missing = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn forbid(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

fn set_len(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// What is done to a store, in which file or folder of it; what the refusal says of it beside that; and whether
/// `store check` has to find it, too.
type Case = (&'static str, fn(&Path), &'static [&'static str], bool);

const FOLDERS_AND_FILES: &[Case] = &[
    ("commitlog", replace_by_file, &["expected a folder", "move it away"], true),
    ("consumequeue", replace_by_file, &["expected a folder", "move it away"], true),
    ("index", replace_by_file, &["expected a folder", "move it away"], true),
    ("config", replace_by_file, &["expected a folder", "move it away"], true),
    (
        "consumequeue/T/0",
        replace_by_file,
        &["expected the folder of queue 0", "found a file", "move the file away"],
        true,
    ),
    (LOG, replace_by_folder, &["expected a file", "found a folder", "move the folder away"], true),
    (QUEUE, replace_by_folder, &["expected a file", "found a folder", "move the folder away"], true),
    ("checkpoint", replace_by_folder, &["expected a file", "move"], true),
    ("lock", replace_by_folder, &["expected a file", "move"], false),
    ("abort", |path| fs::create_dir(path).unwrap(), &["expected a file", "found a folder", "move"], false),
    ("raptormq.queues", |path| fs::create_dir(path).unwrap(), &["expected a file", "found a folder", "move"], false),
    ("config/topics.json", replace_by_folder, &["expected a file", "move"], true),
    ("config/subscriptionGroup.json", replace_by_folder, &["expected a file", "move"], true),
    ("config/consumerOffset.json", replace_by_folder, &["expected a file", "move"], true),
    ("config/delayOffset.json", replace_by_folder, &["expected a file", "move"], true),
];

const PIPES: &[Case] = &[
    (LOG, replace_by_pipe, &["expected", "found", "move"], true),
    (QUEUE, replace_by_pipe, &["expected", "found", "move"], true),
    ("checkpoint", replace_by_pipe, &["expected a file", "found a pipe", "move"], true),
    ("lock", replace_by_pipe, &["expected a file", "found a pipe", "move"], false),
    ("config/topics.json", replace_by_pipe, &["expected a file", "found a pipe", "move"], true),
];

const SIZES_AND_NAMES: &[Case] = &[
    (
        LOG,
        |path| set_len(path, 65_535),
        &["expected 65536 bytes, which is what mappedFileSizeCommitLog says", "found 65535 bytes"],
        false,
    ),
    (LOG, |path| set_len(path, 1 << 40), &["expected 65536 bytes", "found 1099511627776 bytes", "set the key"], true),
    (LOG, |path| set_len(path, 7), &["expected 65536 bytes", "found 7 bytes", "set the key"], true),
    (
        QUEUE,
        |path| set_len(path, 1999),
        &["expected 2000 bytes, which is what mappedFileSizeConsumeQueue says", "found 1999"],
        true,
    ),
    (QUEUE, |path| set_len(path, 4), &["expected 2000 bytes", "found 4 bytes"], true),
    ("commitlog/00000000000000070000", set_len_of_new, &["expected a name that is a multiple of 65536"], true),
    ("commitlog/00000000000000131072", set_len_of_new, &["expected the log file 00000000000000065536", "bring"], true),
    ("commitlog/09223372036854710272", set_len_of_new, &["expected a name up to 04611686018427387904", "move"], true),
    (
        LOG,
        |path| write(path, 4, &[0xDA, 0xA3, 0x20, 0xAC]),
        &["expected a record of magic DAA320A7 or DAA320AB", "found magic DAA320AC", "newer version"],
        true,
    ),
    ("config/topics.json", damage_both, &["is damaged, and so is", "topics.json.bak", "restore one of them"], true),
    (
        "config/consumerOffset.json",
        damage_both,
        &["is damaged, and so is", "consumerOffset.json.bak", "restore one of them"],
        true,
    ),
];

const FORBIDDEN: &[Case] = &[
    ("", forbid, &["expected leave to read", "found Permission denied", "give this one the permission"], true),
    ("commitlog", forbid, &["found Permission denied", "give this one the permission"], true),
    ("consumequeue", forbid, &["found Permission denied", "give this one the permission"], true),
    ("config", forbid, &["found Permission denied", "give this one the permission"], true),
    (LOG, forbid, &["found Permission denied", "give this one the permission"], true),
    (QUEUE, forbid, &["found Permission denied", "give this one the permission"], true),
    ("checkpoint", forbid, &["found Permission denied", "give this one the permission"], true),
    ("lock", forbid, &["found Permission denied", "give this one the permission"], false),
    ("config/consumerOffset.json", forbid, &["found Permission denied", "give this one the permission"], true),
];

fn set_len_of_new(path: &Path) {
    fs::File::create_new(path).unwrap().set_len(65_536).unwrap();
    write(path, 0, b"not nothing");
}

fn write(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

fn damage_both(path: &Path) {
    fs::write(path, "{\"offsetTable\":{").unwrap();
    fs::write(path.with_extension("json.bak"), "]").unwrap();
}

/// Runs the binary as `prefix` says, to its end.
fn run_as(prefix: &[&str], home: &Path, words: &[&str]) -> Ended {
    let Some((program, rest)) = prefix.split_first() else { return run(home, words) };
    let mut command = Command::new(program);
    command.args(rest).arg(env!("CARGO_BIN_EXE_raptormq")).args(words).current_dir(home);
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// A broker refuses each of them in one line that names the path, and `store check` and `store dump` come to an end;
/// nothing changes the folder.
async fn all_are_refused(cases: &[Case], prefix: &[&str]) {
    let home = Home::new().await;
    let store = home.store();
    in_shell(home.path(), "cp -a store whole");
    for (name, damage, parts, is_found) in cases {
        in_shell(home.path(), "chmod -R u+rwX store; rm -rf store; cp -a whole store");
        // An empty name is the folder itself.
        let path = store.join(name).components().collect::<PathBuf>();
        damage(&path);
        let before = contents(&store);
        let refusal = run_as(prefix, home.path(), &["broker", "-c", "broker.conf"]);
        assert!(refusal.status.is_some_and(|status| status != 0), "{name}: {refusal:?}");
        assert_eq!((refusal.stderr.lines().count(), refusal.stdout.as_str()), (1, ""), "{name}: {refusal:?}");
        let said = |text: &str, part: &str| assert!(text.contains(part), "{name}: {part} in {text}");
        parts.iter().for_each(|part| said(&refusal.stderr, part));
        said(&refusal.stderr, path.strip_prefix(home.path()).unwrap().to_str().unwrap());
        assert!(contents(&store) == before, "{name}: the broker changed something");

        let checked = run_as(prefix, home.path(), &["store", "check", "store", "--index-slots", "100"]);
        let text = format!("{}{}", checked.stdout, checked.stderr);
        assert!(matches!(checked.status, Some(0..=2)), "{name}: {checked:?}");
        if *is_found {
            assert_ne!(checked.status, Some(0), "{name}: {checked:?}");
            said(&text, path.strip_prefix(home.path()).unwrap().to_str().unwrap());
        }
        let dumped = run_as(prefix, home.path(), &["store", "dump", "store", "--topic", "T"]);
        assert!(matches!(dumped.status, Some(0..=2)), "{name}: {dumped:?}");
        assert!(contents(&store) == before, "{name}: a tool changed something");
    }
    in_shell(home.path(), "chmod -R u+rwX store");
}

fn in_shell(folder: &Path, script: &str) {
    assert!(Command::new("sh").args(["-c", script]).current_dir(folder).status().unwrap().success(), "{script}");
}

#[tokio::test]
async fn a_folder_where_a_file_should_be_and_the_other_way_round_are_refused() {
    all_are_refused(FOLDERS_AND_FILES, &[]).await;
}

#[tokio::test]
async fn pipes_are_refused_and_nobody_waits_for_their_other_end() {
    all_are_refused(PIPES, &[]).await;
}

#[tokio::test]
async fn wrong_sizes_names_versions_and_damaged_settings_are_refused() {
    all_are_refused(SIZES_AND_NAMES, &[]).await;
}

/// Whether a command can be run here.
fn works(words: &[&str]) -> bool {
    let (program, rest) = words.split_first().expect("a command has a name");
    Command::new(program).args(rest).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
}

#[tokio::test]
async fn what_may_not_be_read_is_refused() {
    // What root may do beyond others it may not do without capabilities.
    let without = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"];
    let is_root = user_id() == 0;
    if is_root && !works(&[&without[..], &["true"]].concat()) {
        println!("SKIPPED: this is root, and setpriv cannot take its capabilities away");
        return;
    }
    all_are_refused(FORBIDDEN, if is_root { &without } else { &[] }).await;
}

fn user_id() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

#[tokio::test]
async fn a_read_only_disk_is_refused_by_a_broker_and_checked_by_the_tool() {
    let home = Home::new().await;
    let script = "mount --bind store store && mount -o remount,bind,ro store store && exec \"$0\" \"$@\"";
    let prefix = ["unshare", "-m", "sh", "-c", script];
    let probe = Command::new(prefix[0]).args(&prefix[1..]).arg("true").current_dir(home.path()).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("SKIPPED: a folder cannot be mounted read-only in a namespace of its own here");
        return;
    }
    let before = contents(&home.store());
    let refusal = run_as(&prefix, home.path(), &["broker", "-c", "broker.conf"]);
    assert!(refusal.status.is_some_and(|status| status != 0), "{refusal:?}");
    assert_eq!(refusal.stderr.lines().count(), 1, "{refusal:?}");
    for part in ["store/lock: ", "expected a disk that can be written", "found Read-only", "mount it for writing"] {
        assert!(refusal.stderr.contains(part), "{part} in {refusal:?}");
    }
    let checked = run_as(&prefix, home.path(), &["store", "check", "store", "--index-slots", "100"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    assert!(contents(&home.store()) == before);
}

#[tokio::test]
async fn a_second_broker_is_refused_and_disturbs_nothing() {
    let home = Home::new().await;
    let first = start_on(home.path(), "broker", home.port, SETTINGS);
    let config = fs::read_to_string(home.path().join("broker.conf")).unwrap();
    let other = config.replace(&format!("listenPort={}", home.port), &format!("listenPort={}", free_port()));
    fs::write(home.path().join("other.conf"), other).unwrap();
    let second = run(home.path(), &["broker", "-c", "other.conf"]);
    assert!(second.status.is_some_and(|status| status != 0), "{second:?}");
    for part in ["Lock failed,MQ already started", "/store", "stop the broker that uses it"] {
        assert!(second.stderr.contains(part), "{part} in {second:?}");
    }
    let abort = fs::read_to_string(home.store().join("abort")).unwrap();
    assert_eq!(abort.trim(), first.id().to_string(), "the store is the first one's");
    let peer = Peer::new(format!("127.0.0.1:{}", home.port));
    assert_eq!(peer.send("T", 0, "after").await, 3);
    peer.leave();
    assert_eq!(first.stop("TERM").status, Some(0));
}

#[tokio::test]
async fn foreign_files_are_left_alone_and_named() {
    let home = Home::new().await;
    let foreign = ["notes", "commitlog/notes", "consumequeue/notes", "consumequeue/T/notes", "consumequeue/T/0/notes"];
    let foreign = foreign.into_iter().chain(["consumequeue/T/007", "index/notes", "config/notes", "notes-\u{e9}"]);
    let foreign: Vec<PathBuf> = foreign.map(|name| home.store().join(name)).collect();
    for path in &foreign {
        fs::write(path, "foreign").unwrap();
    }
    let broker = start_on(home.path(), "broker", home.port, SETTINGS);
    let peer = Peer::new(format!("127.0.0.1:{}", home.port));
    assert_eq!(peer.send("T", 0, "after").await, 3);
    peer.leave();
    assert_eq!(broker.stop("TERM").status, Some(0));
    let log = fs::read_to_string(home.path().join("logs/rocketmqlogs/broker.log")).unwrap();
    for path in &foreign {
        assert_eq!(fs::read(path).unwrap(), b"foreign");
        // What lies beside the store's folders is nobody's business.
        let is_within =
            ["commitlog", "consumequeue", "index"].iter().any(|name| path.starts_with(home.store().join(name)));
        let name = path.strip_prefix(home.path()).unwrap().to_str().unwrap();
        assert!(!is_within || log.lines().any(|line| line.contains(name) && line.contains("left alone")), "{name}");
    }
    let checked = run(home.path(), &["store", "check", "store", "--index-slots", "100"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_file_in_the_place_of_the_store_and_absurd_words_are_refused() {
    let home = Home::new().await;
    fs::write(home.path().join("file"), "a file").unwrap();
    for (words, parts) in [
        (&["store", "check", "file"][..], &["file: expected a folder", "move it away"][..]),
        (&["store", "check", "store", "--index-slots", "0"], &["maxHashSlotNum"]),
        (&["store", "check", "store", "--index-slots=-1"], &["--index-slots"]),
        (&["store", "check", "store", "--index-slots", "99999999999"], &["--index-slots"]),
        (&["store", "check", "store/nowhere"], &["store/nowhere: ", "No such file"]),
        (&["store", "check"], &["PATH"]),
        (&["store", "dump", "store"], &["--topic"]),
        (&["store", "dump", "store", "--topic", "T", "--queue", "x"], &["--queue"]),
    ] {
        let ended = run(home.path(), words);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{words:?}: {ended:?}");
        parts.iter().for_each(|part| assert!(ended.stderr.contains(part), "{part} in {ended:?}"));
    }
    // Numbers that are none of the store's, but numbers.
    let (least, most) = (i64::MIN.to_string(), i64::MAX.to_string());
    for offset in ["-1", "0", "2", &least, &most] {
        for count in ["-1", "0", "1", &least, &most] {
            let (offset, count) = (format!("--offset={offset}"), format!("--count={count}"));
            for queue in ["--queue=0", "--queue=-1", "--queue=2147483647"] {
                let dumped = run(home.path(), &["store", "dump", "store", "-t", "T", queue, &offset, &count]);
                assert!(matches!(dumped.status, Some(0 | 1)), "{offset} {count} {queue}: {dumped:?}");
                assert!(dumped.stdout.lines().count() <= 3, "{dumped:?}");
            }
        }
    }
    for topic in ["", "..", "../../etc", "a/b", "\u{1}", &"x".repeat(10_000)] {
        let dumped = run(home.path(), &["store", "dump", "store", "--topic", topic]);
        assert_eq!(dumped.status, Some(1), "{topic}: {dumped:?}");
    }
    // Another number of slots than the index has is a finding, not a reason to stop.
    for slots in ["1", "4294967295"] {
        let checked = run(home.path(), &["store", "check", "store", "--index-slots", slots]);
        assert!(matches!(checked.status, Some(0 | 1)), "{checked:?}");
        assert!(checked.stdout.contains("result    "), "{checked:?}");
    }
}

/// Files that say that they are huge, and are holes: looking at them takes neither the memory nor the time.
#[tokio::test]
async fn huge_files_cost_a_look_no_memory() {
    let home = Home::new().await;
    let huge =
        ["config/topics.json", "config/kept.json", "checkpoint", "index/20231114221320000", "index/20231114221320001"];
    for name in huge {
        let path = home.store().join(name);
        fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap().set_len(1 << 40).unwrap();
    }
    set_len(&home.store().join("config/kept.json"), 64 << 20);
    // No more than it needs for its code and stacks.
    let script = "ulimit -v 3000000; exec \"$0\" \"$@\"";
    for slots in ["100", "500000000", "4294967295"] {
        let words = ["store", "check", "store", "--index-slots", slots];
        let checked = run_as(&["sh", "-c", script], home.path(), &words);
        assert_eq!(checked.status, Some(1), "{checked:?}");
        for name in ["topics.json", "kept.json", "checkpoint", "20231114221320000"] {
            assert!(checked.stdout.contains(name), "{name} in {checked:?}");
        }
    }
}
