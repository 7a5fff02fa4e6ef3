//! `pair`: a synchronous master and its slave under load; either is killed, stopped or frozen at random moments. What was
//! acknowledged is at the one that is left, and in the end both have the same.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use raptormq_config::{Environment, NamesrvSettings};
use raptormq_protocol::body::HARuntimeInfo;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_store::{Clock as _, SystemClock};
use raptormq_testkit::{PATIENCE, Peer, free_broker_port};

use crate::load::{Acknowledged, Found, QUEUES, Senders};
use crate::process::{Broker, Flush, Place, Setting, binary, signal};
use crate::random::Random;

const TOPIC: &str = "Survivors";

/// Longest time between two things that happen.
const STEP_MS_MAX: usize = 600;

/// What happens to the slave while messages are sent.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Nothing,
    /// It is killed and comes back.
    Kill,
    /// It is stopped in order and comes back.
    Stop,
    /// It does nothing for a while.
    Freeze,
}

const BLOWS: [Blow; 4] = [Blow::Nothing, Blow::Kill, Blow::Stop, Blow::Freeze];

/// Plays so many schedules.
pub(crate) fn run(root: &Path, cycles: u32, seed: u64) -> anyhow::Result<()> {
    let binary = binary(root)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let mut settings = NamesrvSettings::new(&Environment {
        home: folder.path().to_string_lossy().into_owned(),
        ..Environment::default()
    });
    settings.server.bind_address = "127.0.0.1".to_owned();
    settings.server.listen_port = 0;
    let names = raptormq_namesrv::start(settings, std::sync::Arc::new(|| SystemClock.now_ms()))?;
    // A machine whose disk is nearly full must not lose what is looked for.
    let common = "brokerIP2=127.0.0.1\nslaveReadEnable=true\ncleanFileForciblyEnable=false\n";
    let common = format!("{common}namesrvAddr={}\n", names.local_addr());
    let setting = |name: &str, more: &str| Setting {
        binary: binary.clone(),
        home: folder.path().join(name),
        store: folder.path().join(name).join("store"),
        port: free_broker_port(),
        place: Place::here(),
        flush: Flush::Async,
        more: format!("{common}{more}"),
    };
    let mut pair = Pair {
        master: setting("master", "brokerRole=SYNC_MASTER\ninSyncReplicas=2\nslaveTimeout=60000\n"),
        slave: setting("slave", "brokerRole=SLAVE\nbrokerId=1\n"),
        of_master: Found::default(),
        of_slave: Found::default(),
        count: 0,
    };
    let mut random = Random::new(seed);
    if let Err(reason) = runtime.block_on(pair.run(cycles, &mut random)) {
        let kept = folder.keep();
        return Err(reason.context(format!("seed {seed}; the stores are kept in {}", kept.display())));
    }
    let count = pair.count;
    println!(
        "pair: {cycles} schedules from seed {seed}, {count} acknowledged messages at both; {:.0?}",
        began.elapsed()
    );
    Ok(())
}

struct Pair {
    master: Setting,
    slave: Setting,
    of_master: Found,
    of_slave: Found,
    count: usize,
}

impl Pair {
    async fn run(&mut self, cycles: u32, random: &mut Random) -> anyhow::Result<()> {
        let mut slave = start(&self.slave)?;
        for cycle in 0..cycles {
            let (blow, is_killed) = (BLOWS[random.below(BLOWS.len())], random.below(2) == 0);
            let steps = [(); 3].map(|()| Duration::from_millis(5 + random.below(STEP_MS_MAX) as u64));
            slave = self.cycle(cycle, slave, (blow, is_killed), steps).await.with_context(|| {
                format!("schedule {cycle}: the slave {blow:?}, master killed {is_killed}, {steps:?}")
            })?;
        }
        Ok(())
    }

    /// Both run; the slave gets a blow and the master is ended, under load.
    async fn cycle(
        &mut self,
        cycle: u32,
        slave: Broker,
        (blow, is_killed): (Blow, bool),
        steps: [Duration; 3],
    ) -> anyhow::Result<Broker> {
        let master = start(&self.master)?;
        self.in_step(cycle).await?;
        let senders = Senders::start(&self.master.address(), TOPIC, cycle);
        tokio::time::sleep(steps[0]).await;
        let slave = self.strike(slave, blow, steps[1]).await?;
        tokio::time::sleep(steps[2]).await;
        let id = master.id()?;
        master.stop(id, if is_killed { "KILL" } else { "TERM" })?;
        let acknowledged = senders.finish().await?;
        self.of_slave.read_on(&Peer::new(self.slave.address()), TOPIC).await.context("the slave")?;
        missing(&self.of_slave, &acknowledged).context("the slave, alone")?;
        self.count += acknowledged.len();

        let master = start(&self.master)?;
        self.in_step(cycle).await?;
        self.of_master.read_on(&Peer::new(self.master.address()), TOPIC).await.context("the master")?;
        self.of_slave.read_on(&Peer::new(self.slave.address()), TOPIC).await.context("the slave")?;
        missing(&self.of_master, &acknowledged).context("the master, back again")?;
        ensure!(self.of_master.places == self.of_slave.places, "master and slave do not have the same");
        let id = master.id()?;
        master.stop(id, "TERM")?;
        Ok(slave)
    }

    async fn strike(&self, slave: Broker, blow: Blow, pause: Duration) -> anyhow::Result<Broker> {
        let id = slave.id()?;
        match blow {
            Blow::Nothing => return Ok(slave),
            Blow::Freeze => {
                signal(id, "STOP")?;
                tokio::time::sleep(pause).await;
                signal(id, "CONT")?;
                return Ok(slave);
            }
            Blow::Kill => slave.stop(id, "KILL")?,
            Blow::Stop => slave.stop(id, "TERM")?,
        };
        tokio::time::sleep(pause).await;
        start(&self.slave)
    }

    /// Waits until the slave has the master's whole log, and in the first schedule also its topic.
    async fn in_step(&self, cycle: u32) -> anyhow::Result<()> {
        let (master, slave) = (Peer::new(self.master.address()), Peer::new(self.slave.address()));
        if cycle == 0 && self.count == 0 {
            master.create_topic(TOPIC, QUEUES).await;
        }
        in_step(&master, &slave, TOPIC).await
    }
}

/// Waits until a slave has its master's whole log, and knows the topic.
pub(crate) async fn in_step(master: &Peer, slave: &Peer, topic: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let (of_master, of_slave) = (ha_status(master).await, ha_status(slave).await);
        if let (Some(of_master), Some(of_slave)) = (of_master, of_slave)
            && of_master.in_sync_slave_nums == 1
            && of_slave.ha_client_runtime_info.max_offset == of_master.master_commit_log_max_offset
            && slave.pull(topic, 0, 0).await.code != ResponseCode::TOPIC_NOT_EXIST
        {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "the slave is not in step after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How replication goes, if the broker says it.
pub(crate) async fn ha_status(peer: &Peer) -> Option<HARuntimeInfo> {
    let answer = peer.try_call(Request::new(RequestCode::GET_BROKER_HA_STATUS)).await.ok()?;
    json::from_slice(&answer.body).ok()
}

/// Starts a broker.
pub(crate) fn start(setting: &Setting) -> anyhow::Result<Broker> {
    setting.start(None)?.context("a broker without failpoint starts")
}

/// Fails when something acknowledged is not where it was acknowledged to be.
pub(crate) fn missing(found: &Found, acknowledged: &[Acknowledged]) -> anyhow::Result<()> {
    let missing = found.missing(acknowledged);
    ensure!(missing.is_empty(), "{} of {} are missing, as {:?}", missing.len(), acknowledged.len(), missing[0]);
    Ok(())
}
