//! What every command does when something is wrong. The command lines are made from the declarations, so that no command
//! and no option can be forgotten: nobody answers, somebody answers never, a name is not known, a number is none.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use raptormq_protocol::body::{RegisterBrokerBody, TopicConfig};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::RegisterBrokerRequestHeader;
use raptormq_remoting::Request;
use raptormq_testkit::{Cluster, Peer};

use crate::command::{Command, DRY_RUN, Extra, JSON, NUMBER, Run, TIME, WATCH};
use crate::commands;
use crate::commons_cli::{Known, Need};
use crate::session::Streams;
use crate::start::{CLEAR, Ending, Extras, Invocation, Style, run_on, run_with, status};

/// An address where nobody listens.
const NOBODY: &str = "127.0.0.1:1";
/// What begins an order to a terminal.
const ESCAPE: char = '\u{1b}';
/// Longest time that a command may take when nobody answers: a request's time-out, or that of a query, and a few more.
const TIME_MAX: Duration = Duration::from_secs(25);
/// Commands that go on until they are stopped, however it goes.
const ENDLESS: &str = "startMonitoring";
/// Commands that ask nobody.
const OF_FILES: &[&str] = &["dumpCompactionLog"];
/// Commands that ask name servers only, so that no broker is missed.
const OF_NAME_SERVERS: &[&str] = &[
    "topicRoute",
    "topicClusterList",
    "updateKvConfig",
    "deleteKvConfig",
    "wipeWritePerm",
    "addWritePerm",
    "updateOrderConf",
    "allocateMQ",
    "getNamesrvConfig",
    "updateNamesrvConfig",
    "topicList",
];
/// Names that may be new: the command makes what they name, or is about what is to come.
const MAY_BE_NEW: &[(&str, &str)] = &[
    // They make it.
    ("updateTopic", "t"),
    ("updateSubGroup", "g"),
    ("cloneGroupOffset", "d"),
    // Brokers make a topic that is sent to.
    ("sendMessage", "t"),
    ("checkMsgSendRT", "t"),
    // The setting is there before what it is for.
    ("setConsumeMode", "t"),
    ("setConsumeMode", "g"),
    // A broker takes any reader, and what a group that is not on line asks for is shown as that.
    ("consumeMessage", "g"),
    ("queryCq", "g"),
    // It is looked at only for a topic that has no route.
    ("consumerProgress", "c"),
    ("resetOffsetByTime", "c"),
    ("skipAccumulatedMessage", "c"),
    // That the group is not on line is said first.
    ("getConsumerStatus", "t"),
];

/// Standard output of a command: it takes some lines, and then nobody reads any more. So commands end that go on for ever.
struct Page(Vec<u8>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let lines = self.0.iter().filter(|byte| **byte == b'\n').count();
        if lines < 4 { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

/// What a command did.
#[derive(Debug)]
struct Said {
    line: String,
    ending: Ending,
    out: String,
    errors: String,
    took: Duration,
}

fn call(words: Vec<String>) -> Said {
    call_with(words, &[])
}

/// As [`call`], with options of ours.
fn call_with(words: Vec<String>, ours: &[Extra]) -> Said {
    let (line, begin) = (words.join(" "), Instant::now());
    let invocation = Invocation { style: Style::Mqadmin, words, system_properties: BTreeMap::new() };
    let (mut out, mut errors) = (Page(Vec::new()), Vec::new());
    let mut streams =
        Streams { out: &mut out, errors: &mut errors, is_terminal: false, has_colours: false, shows_progress: false };
    let extras = Extras::take(&mut ours.iter().map(|extra| extra.word.to_owned()).collect()).unwrap();
    let ending = run_with(&invocation, &extras, &mut streams, false);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { line, ending, out: text(out.0), errors: text(errors), took: begin.elapsed() }
}

impl Said {
    /// What is wrong when it did not end in time with at most one line of complaint, and with a status that says whether there
    /// is one, as that of Java's does not.
    fn wrong(&self) -> Option<String> {
        let name = self.line.split(' ').next().unwrap_or_default();
        let statuses = [(Style::Raptormq, false), (Style::Mqadmin, true), (Style::Mqadmin, false)]
            .map(|(style, is_strict)| status(self.ending, style, is_strict));
        let (expected, lines) = match self.ending {
            Ending::Done => ([0, 0, 0], 0),
            Ending::Failed => ([1, 1, 0], 1),
            Ending::Absent => ([1, 1, 1], 1),
            _ => return Some(format!("{self:?}")),
        };
        let is_complaint = |line: &str| line.starts_with(&format!("mqadmin {name}: "));
        let is_right = self.took < TIME_MAX
            && !self.has_colours()
            && self.errors.lines().count() == lines
            && self.errors.lines().all(is_complaint)
            && statuses == expected;
        (!is_right).then(|| format!("{self:?}"))
    }

    /// Whether there are colours, or anything else for terminals only.
    fn has_colours(&self) -> bool {
        self.out.contains(ESCAPE) || self.errors.contains(ESCAPE)
    }

    /// As [`Said::wrong`], and it must have failed, with a line that says what it is about.
    fn wrong_unless_failed(&self, about: &str) -> Option<String> {
        let is_right = self.ending == Ending::Failed && self.errors.contains(about);
        self.wrong().or_else(|| (!is_right).then(|| format!("{about} is not told: {self:?}")))
    }
}

/// What a command line may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Address,
    Topic,
    Group,
    Broker,
    Cluster,
    /// Nothing that there must be.
    Nothing,
}

fn names(option: &Known) -> Names {
    match option.long.trim_end() {
        _ if option.about.contains("host:port") => Names::Address,
        _ if option.value_name != "VALUE" => Names::Nothing,
        "topic" | "topicName" | "lmqParentTopic" | "traceTopic" => Names::Topic,
        "group" | "groupName" | "consumerGroup" | "producerGroup" | "srcGroup" | "destGroup" | "consumer" => {
            Names::Group
        }
        "cluster" | "clusterName" => Names::Cluster,
        "brokerName" | "broker" => Names::Broker,
        _ => Names::Nothing,
    }
}

/// A cluster, with what there is of everything, and files for the commands that read or write some.
struct Place {
    namesrv: String,
    broker: String,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(namesrv: &str, broker: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let list = r#"[{"topicName":"Orders","groupName":"readers"}]"#;
        std::fs::write(folder.path().join("list.json"), list).unwrap();
        std::fs::write(folder.path().join("records"), crate::dump::tests::record()).unwrap();
        Place { namesrv: namesrv.to_owned(), broker: broker.to_owned(), folder }
    }

    /// A value that an option may have.
    fn good(&self, option: &Known) -> String {
        let in_folder = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let text = match (names(option), option.long.trim_end()) {
            (Names::Address, _) => &self.broker,
            (Names::Topic, _) => "Orders",
            (Names::Group, "destGroup") => "heirs",
            (Names::Group, _) => "readers",
            (Names::Broker, _) => "broker-a",
            (Names::Cluster, _) => "DefaultCluster",
            (Names::Nothing, "filename") => return in_folder("list.json"),
            (Names::Nothing, "filePath") => return in_folder("out"),
            (Names::Nothing, "file") => return in_folder("records"),
            (Names::Nothing, "mode") => "PULL",
            (Names::Nothing, "method") => "get",
            (Names::Nothing, "timeoutMillis") => "1000",
            (Names::Nothing, "perm") => "4",
            (Names::Nothing, _) if option.value_name == TIME => "0",
            (Names::Nothing, _) => "1",
        };
        text.to_owned()
    }

    /// Carries out a command line, which must succeed.
    fn prepare(&self, line: &str) {
        let said = call(line.split(' ').chain(["-n", &self.namesrv]).map(str::to_owned).collect());
        assert_eq!(said.ending, Ending::Done, "{said:?}");
    }

    /// A command line with all that must be given, and with one more option if it is named, with the value for it.
    fn line(&self, command: &Command, one: Option<(&str, &str)>) -> Vec<String> {
        let known = command.known();
        let mut words = vec![command.name.to_owned()];
        let chosen = one.and_then(|(key, _)| known.iter().find(|option| option.key() == key));
        let mut is_chosen = false;
        for option in known.iter().filter(|option| option.takes_value && option.short != "n") {
            let is_one = chosen.is_some_and(|chosen| chosen.long == option.long);
            let is_first =
                known.iter().find(|other| other.need == option.need).is_some_and(|first| first.long == option.long);
            let is_needed = match option.need {
                Need::Required => true,
                Need::OneOf(_) => is_first && chosen.is_none_or(|chosen| chosen.need != option.need),
                Need::Optional => {
                    is_helpful(command, option) && chosen.is_none_or(|chosen| !is_choice(chosen) || !is_choice(option))
                }
            };
            if is_one || is_needed {
                let value =
                    if let (true, Some((_, value))) = (is_one, one) { value.to_owned() } else { self.good(option) };
                words.extend([dashed(option), value]);
                is_chosen |= is_one;
            }
        }
        assert!(one.is_none() || is_chosen, "{} has no {one:?}", command.name);
        if command.name == "exportMetadata" {
            words.push("-t".to_owned());
        }
        if known.iter().any(|option| option.short == "n") {
            words.extend(["-n".to_owned(), self.namesrv.clone()]);
        }
        words
    }
}

/// As it is typed.
fn dashed(option: &Known) -> String {
    if option.short.is_empty() { format!("--{}", option.long) } else { format!("-{}", option.short) }
}

/// Whether an option says where, of which the original wants one without saying so.
fn is_choice(option: &Known) -> bool {
    matches!(option.long.as_str(), "brokerAddr" | "clusterName" | "cluster")
}

/// Whether an option that may be left out is given all the same: the command asks for one that says where, or it ends sooner.
fn is_helpful(command: &Command, option: &Known) -> bool {
    let first = command.known().into_iter().find(is_choice);
    let is_where = first.is_some_and(|first| first.long == option.long);
    let is_end = matches!(option.long.as_str(), "amount" | "count" | "timeoutMillis") && option.value_name == NUMBER;
    let is_round = command.name == "clusterRT" && option.long == "interval";
    let is_offset = command.name == "resetMasterFlushOffset" && option.long == "offset";
    let is_export = command.name == "exportMetadata" && option.long == "filePath";
    let is_file = OF_FILES.contains(&command.name) && option.long == "file";
    is_where || is_end || is_round || is_offset || is_export || is_file
}

/// Commands that do something.
fn working() -> impl Iterator<Item = &'static Command> {
    commands::all().filter(|command| matches!(command.run, Run::By(_)))
}

#[test]
fn nobody_answers_at_the_name_server_s_address() {
    let place = Place::new(NOBODY, NOBODY);
    let of_command = |command: &Command| {
        let said = call(place.line(command, None));
        match command.run {
            Run::By(_) if OF_FILES.contains(&command.name) => said.wrong(),
            Run::By(_) => said.wrong_unless_failed(NOBODY),
            Run::Absent(reason) => {
                let is_right = said.ending == Ending::Absent && said.errors.contains(reason);
                said.wrong().or_else(|| (!is_right).then(|| format!("{said:?}")))
            }
        }
    };
    none(commands::all().filter_map(of_command));
}

/// Nothing may be wrong; all that is, is told.
fn none(wrong: impl Iterator<Item = String>) {
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A name server that knows a broker which a test is, at an address of its choice, and what runs it all.
struct Registered {
    runtime: tokio::runtime::Runtime,
    cluster: Cluster,
    /// The registration lasts as long as the connection.
    _broker: Peer,
}

impl Registered {
    fn at(address: &str) -> Registered {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (cluster, broker) = runtime.block_on(async {
            let mut cluster = Cluster::start().await.unwrap();
            cluster.stop_broker().await;
            let broker = Peer::new(cluster.namesrv_addr());
            broker.ok(registration(address)).await;
            (cluster, broker)
        });
        Registered { runtime, cluster, _broker: broker }
    }

    fn end(self) {
        self.runtime.block_on(self.cluster.shutdown());
    }
}

/// The registration of a broker with all that commands ask for.
fn registration(address: &str) -> Request {
    let header = RegisterBrokerRequestHeader {
        broker_name: "broker-a",
        broker_addr: address,
        cluster_name: "DefaultCluster",
        ha_server_addr: NOBODY,
        broker_id: 0,
        heartbeat_timeout_millis: Some(600_000),
        ..Default::default()
    };
    let mut body = RegisterBrokerBody::default();
    for name in ["Orders", "%RETRY%readers", "broker-a", "DefaultCluster", "RMQ_SYS_TRACE_TOPIC", "OFFSET_MOVED_EVENT"]
    {
        let topic = TopicConfig { topic_name: name.to_owned(), ..Default::default() };
        body.topic_config_serialize_wrapper.topic_config_table.insert(name.to_owned(), topic);
    }
    Request::new(RequestCode::REGISTER_BROKER).header(&header).body(body.encode().unwrap())
}

/// Runs all commands that ask brokers, at the same time, and checks that each says that this one is gone.
fn misses_broker(address: &str) {
    let registered = Registered::at(address);
    let place = Place::new(registered.cluster.namesrv_addr(), address);
    let others = [OF_NAME_SERVERS, OF_FILES, &[ENDLESS]].concat();
    let asking = working().filter(|command| !others.contains(&command.name));
    std::thread::scope(|scope| {
        let calls: Vec<_> = asking.map(|command| scope.spawn(|| call(place.line(command, None)))).collect();
        let said: Vec<Said> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        none(said.iter().filter_map(|said| said.wrong_unless_failed(address)));
    });
    registered.end();
}

#[test]
fn nobody_answers_at_the_broker_s_address() {
    misses_broker(NOBODY);
}

#[test]
fn a_broker_that_never_answers_is_not_waited_for_longer_than_a_request_may_take() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // Connections are taken by the system, and nobody reads from them.
    misses_broker(&silent.local_addr().unwrap().to_string());
}

#[test]
fn a_name_that_nothing_has_is_said() {
    with_cluster(|place| {
        let mut wrong = Vec::new();
        for command in working() {
            for option in command.known().iter().filter(|option| option.short != "n") {
                let (key, name) = (option.key(), command.name);
                // Another one each time: some commands make what they name.
                let unknown = match names(option) {
                    Names::Nothing => continue,
                    Names::Address => NOBODY.to_owned(),
                    _ => format!("noSuch-{name}-{key}"),
                };
                let said = call(place.line(command, Some((key, &unknown))));
                wrong.extend(match MAY_BE_NEW.contains(&(name, key)) {
                    true => said.wrong(),
                    false => said.wrong_unless_failed(&unknown),
                });
            }
        }
        none(wrong.into_iter());
    });
}

#[test]
fn a_number_or_time_that_is_none_is_refused_with_its_option() {
    with_cluster(|place| {
        let mut wrong = Vec::new();
        for command in working().filter(|command| command.name != ENDLESS) {
            let is_value =
                |option: &&Known| option.takes_value && !["namesrvAddr", "filePath"].contains(&option.long.as_str());
            for option in command.known().iter().filter(is_value) {
                let expects_number = [NUMBER, TIME].contains(&option.value_name);
                for rubbish in ["rubbish", "1x", "99999999999999999999", "\u{fc}"] {
                    let said = call(place.line(command, Some((option.key(), rubbish))));
                    wrong.extend(match expects_number {
                        true => said.wrong_unless_failed(&format!("-{} {rubbish}: ", option.key())),
                        // It is taken for what it is, and the declaration has not forgotten to say that it is a number.
                        false => said.errors.contains("a whole number is expected").then(|| format!("{said:?}")),
                    });
                }
            }
        }
        none(wrong.into_iter());
    });
}

/// Commands that print more than one line of headings, and have nothing else to show here: there is no message, and no lag.
const ONLY_HEADINGS: &[&str] = &["printMsg", "brokerConsumeStats"];

#[test]
fn what_has_json_prints_an_object_a_line() {
    with_cluster(|place| {
        let shown = working().filter(|command| command.kind.extras().contains(&JSON) && command.name != ENDLESS);
        let of_command = |command: &Command| {
            let said = call_with(place.line(command, None), &[JSON]);
            let is_record =
                |line: &str| serde_json::from_str(line).is_ok_and(|record: serde_json::Value| record.is_object());
            // Columns have a heading, and behind it what there is a record of.
            let columns = call(place.line(command, None)).out.lines().count();
            let is_told = !said.out.is_empty()
                || columns <= 1
                || said.ending == Ending::Failed
                || ONLY_HEADINGS.contains(&command.name);
            let is_right = is_told && said.out.lines().all(is_record);
            said.wrong().or_else(|| (!is_right).then(|| format!("{columns} lines of columns: {said:?}")))
        };
        none(shown.filter_map(of_command));
    });
}

/// Values for what a command is to change, where those of other tests change nothing.
const CHANGING: &[(&str, &str)] = &[
    ("updateOrderConf", "-m delete"),
    ("deleteKvConfig", "-s Places -k office"),
    ("updateBrokerConfig", "-k waitTimeMillsInSendQueue -v 321"),
    ("updateNamesrvConfig", "-k scanNotActiveBrokerInterval -v 6000"),
];

/// A command line that changes something.
fn changing(place: &Place, command: &Command) -> Vec<String> {
    let mut words = place.line(command, None);
    let values = CHANGING.iter().find(|(name, _)| *name == command.name).map_or("", |(_, values)| values);
    let values: Vec<&str> = values.split_whitespace().collect();
    for value in values.chunks(2) {
        let at = words.iter().position(|word| word == value[0]).expect("the option is among those that must be given");
        words[at + 1] = value[1].to_owned();
    }
    words
}

/// All that command lines of these tests could have changed, as other commands show it.
fn state(place: &Place) -> Vec<String> {
    let broker = &place.broker;
    [
        "topicList",
        "topicRoute -t Orders",
        "topicStatus -t Orders",
        "updateOrderConf -t Orders -m get",
        // It is there to be deleted.
        "deleteKvConfig -s Places -k office --dry-run",
        "getConsumerConfig -g readers",
        "getConsumerConfig -g heirs",
        "consumerProgress -g readers",
        "getNamesrvConfig",
        &format!("getBrokerConfig -b {broker}"),
        "printMsg -t Orders",
    ]
    .map(|line| {
        let words = line.split(' ').chain(["-n", &place.namesrv]).map(str::to_owned).collect();
        let invocation = Invocation { style: Style::Raptormq, words, system_properties: BTreeMap::new() };
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        run_on(invocation, &mut out, &mut errors);
        String::from_utf8([out, errors].concat()).unwrap()
    })
    .into()
}

#[test]
fn what_has_a_dry_run_says_what_it_would_do_and_does_not() {
    with_cluster(|place| {
        for line in
            ["updateKvConfig -s Places -k office -v third-floor", "updateOrderConf -t Orders -m put -v broker-a:1"]
        {
            place.prepare(line);
        }
        let before = state(place);
        let changing_ones = working().filter(|command| command.kind.extras().contains(&DRY_RUN));
        let of_command = |command: &Command| {
            let said = call_with(changing(place, command), &[DRY_RUN]);
            let is_right = !said.out.is_empty() && said.out.lines().all(|line| line.starts_with("would "));
            said.wrong().or_else(|| (!is_right).then(|| format!("{said:?}")))
        };
        none(changing_ones.filter_map(of_command));
        assert_eq!(state(place), before);
    });
}

/// Times that [`Rounds`] are shown.
const ROUNDS: usize = 3;

/// A terminal: somebody looks at it until it was emptied [`ROUNDS`] times and filled once more.
#[derive(Default)]
struct Rounds(Vec<u8>);

impl Rounds {
    fn count(&self) -> usize {
        self.0.windows(CLEAR.len()).filter(|bytes| *bytes == CLEAR.as_bytes()).count()
    }
}

impl Write for Rounds {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.count() < ROUNDS { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

/// What a command shows on a terminal with `--watch 1`.
fn watched(words: Vec<String>) -> (Ending, String) {
    let invocation = Invocation { style: Style::Raptormq, words, system_properties: BTreeMap::new() };
    let (mut out, mut errors) = (Rounds::default(), Vec::new());
    let mut streams =
        Streams { out: &mut out, errors: &mut errors, is_terminal: true, has_colours: true, shows_progress: false };
    let extras = Extras::take(&mut vec![WATCH.word.to_owned(), "1".to_owned()]).unwrap();
    let ending = run_with(&invocation, &extras, &mut streams, false);
    (ending, String::from_utf8(out.0).unwrap())
}

#[test]
fn what_can_be_watched_is_shown_again_and_has_no_colours_even_on_a_terminal() {
    with_cluster(|place| {
        std::thread::scope(|scope| {
            let shown = working().filter(|command| command.kind.extras().contains(&WATCH));
            let calls: Vec<_> =
                shown.map(|command| (command.name, scope.spawn(|| watched(place.line(command, None))))).collect();
            for (name, call) in calls {
                let (ending, out) = call.join().unwrap();
                let rounds: Vec<&str> = out.split(CLEAR).skip(1).collect();
                assert!(matches!(ending, Ending::Done | Ending::Failed), "{name}: {ending:?} {out}");
                assert_eq!(rounds.len(), ROUNDS, "{name}: {out}");
                let is_empty = rounds.iter().map(|round| round.is_empty());
                assert!(is_empty.clone().all(|empty| empty) || !is_empty.clone().any(|empty| empty), "{name}: {out}");
                assert!(!rounds.concat().contains(ESCAPE), "{name}: {out}");
            }
        });
    });
}

/// Runs a test on a cluster that has the topic and the group that command lines name.
fn with_cluster(test: impl FnOnce(&Place)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = runtime.block_on(Cluster::start()).unwrap();
    let place = Place::new(cluster.namesrv_addr(), cluster.broker_addr());
    place.prepare("updateTopic -c DefaultCluster -t Orders -r 1 -w 1");
    place.prepare("updateSubGroup -c DefaultCluster -g readers");
    place.prepare(&format!("resetOffsetByTime -g readers -t Orders -s 0 -b {} -q 0 -o 0", place.broker));
    test(&place);
    runtime.block_on(cluster.shutdown());
}
