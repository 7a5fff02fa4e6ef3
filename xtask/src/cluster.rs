//! `cluster`: two name servers, two synchronous masters and two slaves, each a process, with producers and consumers at
//! them; at random moments one or two are killed, stopped, frozen or cut off, and come back.
//!
//! Nothing acknowledged may be missing where its group lives on; consumers go on from the slave; where a group is said to be
//! never lies behind what it has not seen; and the logs of master and slave are the same bytes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader};
use raptormq_remoting::{Request, Response};
use raptormq_testkit::peer::{Pulled, pull_header};
use raptormq_testkit::{PATIENCE, Peer, free_broker_port};

use crate::load::{Found, QUEUES, Senders};
use crate::net::Net;
use crate::pair::{ha_status, in_step, missing, start};
use crate::process::{Broker, Flush, Place, Setting, binary, signal};
use crate::random::Random;

const TOPIC: &str = "Survivors";
const GROUP: &str = "readers";

/// Bytes of a log file, as [`Setting`] sets them.
const LOG_FILE_BYTES: u64 = 4 << 20;
/// Longest time between two things that happen.
const STEP_MS_MAX: usize = 600;
/// After so long a consumer asks another broker.
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// What happens to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Kill,
    Stop,
    Freeze,
    /// Nobody reaches it for a while.
    Cut,
}

const BLOWS: [Blow; 4] = [Blow::Kill, Blow::Stop, Blow::Freeze, Blow::Cut];

/// Which process: the numbers are those of the places.
const NAMES: [usize; 2] = [0, 1];
const MASTERS: [usize; 2] = [2, 4];
const SLAVES: [usize; 2] = [3, 5];

/// Plays so many schedules.
pub(crate) fn run(root: &Path, cycles: u32, seed: u64) -> anyhow::Result<()> {
    let binary = binary(root)?;
    let net = Net::new(6).inspect_err(|reason| {
        println!("cluster: SKIPPED: nothing is cut off, because network namespaces cannot be made here: {reason:#}");
    });
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let mut cluster = Cluster::new(&binary, folder.path(), net.ok());
    let played = runtime.block_on(cluster.run(cycles, seed));
    if let Err(reason) = played {
        drop(cluster);
        let kept = folder.keep();
        return Err(reason.context(format!("first seed {seed}; the stores are kept in {}", kept.display())));
    }
    println!(
        "cluster: {cycles} schedules from seed {seed}, {} acknowledged messages at both of each group, {} pulled from \
         slaves; {:.0?}",
        cluster.groups.iter().map(|group| group.count).sum::<usize>(),
        cluster.groups.iter().map(|group| group.consumer.of_slave.load(Ordering::Relaxed)).sum::<u32>(),
        began.elapsed()
    );
    Ok(())
}

struct Cluster {
    net: Option<Net>,
    names: [NameServer; 2],
    groups: [Group; 2],
}

/// A master and its slave.
struct Group {
    settings: [Setting; 2],
    running: [Option<Broker>; 2],
    found: [Found; 2],
    consumer: Arc<Consumer>,
    /// Up to where the logs were compared.
    compared: u64,
    count: usize,
}

impl Cluster {
    fn new(binary: &Path, folder: &Path, net: Option<Net>) -> Cluster {
        let places = match &net {
            Some(net) => net.places().to_vec(),
            None => vec![Place::here(); 6],
        };
        let names = NAMES.map(|number| NameServer {
            binary: binary.to_owned(),
            home: folder.join(format!("names-{number}")),
            place: places[number].clone(),
            port: free_broker_port(),
            child: None,
        });
        let addresses = names.iter().map(NameServer::address).collect::<Vec<_>>().join(";");
        // The second group's brokers prove who they are.
        let secrets = ["", "haSharedSecret=only brokers know it\n"];
        let groups = [0, 1].map(|group| {
            let setting = |number: usize, name: &str, more: &str| Setting {
                binary: binary.to_owned(),
                home: folder.join(format!("{name}-{group}")),
                store: folder.join(format!("{name}-{group}/store")),
                port: free_broker_port(),
                flush: Flush::Async,
                more: format!(
                    "brokerName=broker-{group}\nbrokerIP2={}\nslaveReadEnable=true\ncleanFileForciblyEnable=false\n\
                     namesrvAddr={addresses}\n{}{more}",
                    places[number].host, secrets[group]
                ),
                place: places[number].clone(),
            };
            let settings = [
                setting(MASTERS[group], "master", "brokerRole=SYNC_MASTER\ninSyncReplicas=2\nslaveTimeout=60000\n"),
                setting(SLAVES[group], "slave", "brokerRole=SLAVE\nbrokerId=1\n"),
            ];
            let consumer = Arc::new(Consumer::new(settings.each_ref().map(Setting::address)));
            Group { settings, running: [None, None], found: Default::default(), consumer, compared: 0, count: 0 }
        });
        Cluster { net, names, groups }
    }

    async fn run(&mut self, cycles: u32, seed: u64) -> anyhow::Result<()> {
        for names in &mut self.names {
            names.start()?;
        }
        for group in &mut self.groups {
            for (running, setting) in group.running.iter_mut().zip(&group.settings) {
                *running = Some(start(setting)?);
            }
            let [master, slave] = group.peers();
            master.create_topic(TOPIC, QUEUES).await;
            for peer in [&master, &slave] {
                peer.join("consumer", GROUP, TOPIC, "*").await;
            }
            in_step(&master, &slave, TOPIC).await?;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let consumers = self.groups.each_ref().map(|group| {
            let (consumer, is_over) = (Arc::clone(&group.consumer), Arc::clone(&is_over));
            tokio::spawn(async move { consumer.run(&is_over).await })
        });
        for cycle in 0..cycles {
            let seed = seed.wrapping_add(cycle.into());
            let plan = Plan::draw(&mut Random::new(seed), self.net.is_some());
            self.cycle(cycle, &plan).await.with_context(|| format!("seed {seed}: {plan:?}"))?;
            println!(
                "cluster: seed {seed}: {plan:?}: {} messages",
                self.groups.iter().map(|it| it.count).sum::<usize>()
            );
        }
        is_over.store(true, Ordering::Relaxed);
        for consumer in consumers {
            consumer.await?;
        }
        Ok(())
    }

    /// Everything runs; some of it gets a blow under load, and comes back.
    async fn cycle(&mut self, cycle: u32, plan: &Plan) -> anyhow::Result<()> {
        let mut senders = self.groups.each_ref().map(|group| {
            group.consumer.restarts.fetch_add(1, Ordering::Relaxed);
            Some(Senders::start(&group.settings[0].address(), TOPIC, cycle))
        });
        tokio::time::sleep(plan.steps[0]).await;
        for (victim, blow) in &plan.blows {
            self.strike(*victim, *blow)?;
        }
        tokio::time::sleep(plan.steps[1]).await;
        for (number, group) in self.groups.iter_mut().enumerate() {
            if group.running[0].is_none() {
                let senders = senders[number].take().context("its senders")?;
                group.left_alone(senders).await.context("the slave, alone")?;
            }
        }
        for (victim, blow) in plan.blows.iter().rev() {
            self.bring_back(*victim, *blow)?;
        }
        tokio::time::sleep(plan.steps[2]).await;
        for (number, group) in self.groups.iter_mut().enumerate() {
            group.together(senders[number].take()).await.with_context(|| format!("group {number}"))?;
        }
        Ok(())
    }

    fn strike(&mut self, victim: usize, blow: Blow) -> anyhow::Result<()> {
        if blow == Blow::Cut {
            return self.net.as_ref().context("a plan with a cut has a net")?.cut(victim);
        }
        let Some((group, member)) = member(victim) else {
            return self.names[victim].strike(blow);
        };
        let running = &mut self.groups[group].running[member];
        let broker = running.take().context("it runs")?;
        let id = broker.id()?;
        match blow {
            Blow::Kill => drop(broker.stop(id, "KILL")?),
            Blow::Stop => drop(broker.stop(id, "TERM")?),
            Blow::Freeze | Blow::Cut => {
                signal(id, "STOP")?;
                *running = Some(broker);
            }
        }
        Ok(())
    }

    fn bring_back(&mut self, victim: usize, blow: Blow) -> anyhow::Result<()> {
        if blow == Blow::Cut {
            return self.net.as_ref().context("a plan with a cut has a net")?.heal(victim);
        }
        let Some((group, member)) = member(victim) else {
            return self.names[victim].bring_back(blow);
        };
        let group = &mut self.groups[group];
        match &group.running[member] {
            Some(broker) => signal(broker.id()?, "CONT"),
            None => {
                group.running[member] = Some(start(&group.settings[member])?);
                Ok(())
            }
        }
    }
}

/// Which group, and which of its brokers, a place is; `None` for a name server.
fn member(place: usize) -> Option<(usize, usize)> {
    let place = place.checked_sub(NAMES.len())?;
    Some((place / 2, place % 2))
}

/// What happens, and when.
#[derive(Debug)]
struct Plan {
    blows: Vec<(usize, Blow)>,
    steps: [Duration; 3],
}

impl Plan {
    fn draw(random: &mut Random, can_cut: bool) -> Plan {
        let count = 1 + random.below(2);
        let mut blows: Vec<(usize, Blow)> = Vec::new();
        while blows.len() < count {
            let victim = random.below(6);
            let blow = BLOWS[random.below(if can_cut { 4 } else { 3 })];
            // Of each two that do the same one is left.
            if blows.iter().all(|(other, _)| other / 2 != victim / 2) {
                blows.push((victim, blow));
            }
        }
        Plan { blows, steps: [(); 3].map(|()| Duration::from_millis(5 + random.below(STEP_MS_MAX) as u64)) }
    }
}

impl Group {
    fn peers(&self) -> [Peer; 2] {
        self.settings.each_ref().map(|setting| Peer::new(setting.address()))
    }

    /// The master has ended: its slave has what was acknowledged, and the consumer reads on there.
    async fn left_alone(&mut self, senders: Senders) -> anyhow::Result<()> {
        let acknowledged = senders.finish().await?;
        let [_, slave] = self.peers();
        self.found[1].read_on(&slave, TOPIC).await?;
        missing(&self.found[1], &acknowledged)?;
        self.count += acknowledged.len();
        self.consumer.reaches(&slave).await
    }

    /// Both are there again and have the same, with all that was acknowledged.
    async fn together(&mut self, senders: Option<Senders>) -> anyhow::Result<()> {
        let acknowledged = match senders {
            Some(senders) => senders.finish().await?,
            None => Vec::new(),
        };
        let [master, slave] = self.peers();
        in_step(&master, &slave, TOPIC).await?;
        for (found, peer) in self.found.iter_mut().zip([&master, &slave]) {
            found.read_on(peer, TOPIC).await?;
            missing(found, &acknowledged)?;
        }
        ensure!(self.found[0].places == self.found[1].places, "master and slave do not have the same");
        self.count += acknowledged.len();
        self.consumer.reaches(&master).await?;
        let end = ha_status(&master).await.context("the master says where its log ends")?.master_commit_log_max_offset;
        self.compare_logs(u64::try_from(end)?)
    }

    /// Compares what has come since the last time up to the end of both, byte by byte.
    fn compare_logs(&mut self, end: u64) -> anyhow::Result<()> {
        let logs = self.settings.each_ref().map(|setting| setting.store.join("commitlog"));
        while self.compared < end {
            let start = self.compared / LOG_FILE_BYTES * LOG_FILE_BYTES;
            let (at, to) = (self.compared - start, (end - start).min(LOG_FILE_BYTES));
            let read = |log: &PathBuf| -> anyhow::Result<Vec<u8>> {
                let mut bytes = vec![0; usize::try_from(to - at)?];
                File::open(log.join(format!("{start:020}")))?.read_exact_at(&mut bytes, at)?;
                Ok(bytes)
            };
            let (of_master, of_slave) = (read(&logs[0])?, read(&logs[1])?);
            if let Some(differs) = of_master.iter().zip(&of_slave).position(|(one, other)| one != other) {
                bail!("the logs differ at {}", self.compared + differs as u64);
            }
            self.compared = start + to;
        }
        Ok(())
    }
}

/// A name server that can be ended and started again.
struct NameServer {
    binary: PathBuf,
    home: PathBuf,
    place: Place,
    port: u16,
    child: Option<Child>,
}

impl NameServer {
    fn address(&self) -> String {
        format!("{}:{}", self.place.host, self.port)
    }

    fn start(&mut self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.home)?;
        let file = self.home.join("namesrv.conf");
        std::fs::write(&file, format!("listenPort={}\nbindAddress={}\n", self.port, self.place.host))?;
        let mut command = self.place.command(&self.binary);
        command.env("HOME", &self.home).current_dir(&self.home).args(["namesrv", "-c"]).arg(file);
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(())
    }

    fn strike(&mut self, blow: Blow) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        match blow {
            Blow::Kill => signal(child.id(), "KILL")?,
            Blow::Stop => signal(child.id(), "TERM")?,
            Blow::Freeze | Blow::Cut => {
                signal(child.id(), "STOP")?;
                self.child = Some(child);
                return Ok(());
            }
        }
        child.wait()?;
        Ok(())
    }

    fn bring_back(&mut self, blow: Blow) -> anyhow::Result<()> {
        match (&self.child, blow) {
            (Some(child), _) => signal(child.id(), "CONT"),
            (None, _) => self.start(),
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A member of a group that reads from the master, or from the slave when the master does not answer; it says both how far
/// it is. Again and again it begins anew where the brokers say that its group is.
struct Consumer {
    addresses: [String; 2],
    /// Up to where each queue was seen, without a gap.
    seen: [AtomicI64; QUEUES as usize],
    restarts: AtomicU32,
    of_slave: AtomicU32,
    problem: Mutex<Option<String>>,
}

impl Consumer {
    fn new(addresses: [String; 2]) -> Consumer {
        Consumer {
            addresses,
            seen: Default::default(),
            restarts: AtomicU32::new(0),
            of_slave: AtomicU32::new(0),
            problem: Mutex::new(None),
        }
    }

    async fn run(&self, is_over: &AtomicBool) {
        let mut peers = self.addresses.each_ref().map(Peer::new);
        let mut restarts = u32::MAX;
        let mut next = [None; QUEUES as usize];
        while !is_over.load(Ordering::Relaxed) {
            let wanted = self.restarts.load(Ordering::Relaxed);
            if wanted != restarts {
                restarts = wanted;
                next = [None; QUEUES as usize];
                peers = self.addresses.each_ref().map(Peer::new);
            }
            let mut has_moved = false;
            for queue_id in 0..QUEUES {
                let at = &mut next[queue_id as usize];
                let before = *at;
                if let Err(reason) = self.step(&peers, queue_id, at).await {
                    *self.problem.lock() = Some(format!("queue {queue_id}: {reason:#}"));
                    return;
                }
                has_moved |= *at != before;
            }
            if !has_moved {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Reads some messages of a queue and says so.
    async fn step(&self, peers: &[Peer; 2], queue_id: i32, next: &mut Option<i64>) -> anyhow::Result<()> {
        let seen = &self.seen[queue_id as usize];
        let from = match *next {
            Some(from) => from,
            None => {
                let header = QueryConsumerOffsetRequestHeader {
                    consumer_group: GROUP,
                    topic: TOPIC,
                    queue_id,
                    ..Default::default()
                };
                let request = Request::new(RequestCode::QUERY_CONSUMER_OFFSET).header(&header);
                let Some((answer, _)) = first_answer(peers, &request).await else { return Ok(()) };
                let offset = answer.fields.get("offset").and_then(|offset| offset.parse::<i64>().ok());
                let offset = offset.filter(|_| answer.is_success()).unwrap_or(0);
                let seen = seen.load(Ordering::Relaxed);
                ensure!(offset <= seen, "the group is said to be at {offset}, and it has seen what lies before {seen}");
                *next.insert(offset)
            }
        };
        let header = raptormq_protocol::header::PullMessageRequestHeader {
            queue_id,
            queue_offset: from,
            ..pull_header(GROUP, TOPIC)
        };
        let request = Request::new(RequestCode::PULL_MESSAGE).header(&header);
        let Some((answer, is_slave)) = first_answer(peers, &request).await else { return Ok(()) };
        let pulled = Pulled::of(answer);
        match pulled.code {
            ResponseCode::SUCCESS => {}
            // A slave that has not got everything yet; a master that comes back.
            _ => return Ok(()),
        }
        let mut at = from;
        for message in &pulled.messages {
            ensure!(message.queue_offset == at, "{} comes where {at} must come", message.queue_offset);
            at += 1;
        }
        if is_slave {
            self.of_slave.fetch_add(pulled.messages.len() as u32, Ordering::Relaxed);
        }
        seen.fetch_max(at, Ordering::Relaxed);
        *next = Some(at);
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: GROUP,
            topic: TOPIC,
            queue_id: Some(queue_id),
            commit_offset: Some(at),
        };
        // Nobody may be there; the next ones say it, too.
        drop(first_answer(peers, &Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&header)).await);
        Ok(())
    }

    /// Waits until it has seen all that a broker has.
    async fn reaches(&self, peer: &Peer) -> anyhow::Result<()> {
        let begun = Instant::now();
        for queue_id in 0..QUEUES {
            let end = peer.max_offset(TOPIC, queue_id).await;
            while self.seen[queue_id as usize].load(Ordering::Relaxed) < end {
                if let Some(problem) = &*self.problem.lock() {
                    bail!("a consumer: {problem}");
                }
                ensure!(begun.elapsed() < PATIENCE, "a consumer does not come to {end} in queue {queue_id}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }
}

/// The answer of the first that gives one in time, and whether that is the slave.
async fn first_answer(peers: &[Peer; 2], request: &Request) -> Option<(Response, bool)> {
    for (peer, is_slave) in peers.iter().zip([false, true]) {
        if let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_MAX, peer.try_call(request.clone())).await {
            return Some((answer, is_slave));
        }
    }
    None
}
