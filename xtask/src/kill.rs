//! `kill`: the broker is killed under load, over and over, and has everything that it acknowledged.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use raptormq_testkit::{Peer, free_broker_port};

use crate::load::{Acknowledged, Found, QUEUES, Senders};
use crate::process::{Broker, Failpoint, Flush, Place, Setting, binary, has_tool};
use crate::random::Random;

const TOPIC: &str = "Survivors";

/// Longest life of a broker under load.
const LIFE_MS_MAX: usize = 700;

/// System calls before which the broker is killed, and up to how often a thread makes them before.
const FAILPOINTS: &[(&str, usize)] = &[
    ("pwrite64", 400),
    ("fdatasync", 60),
    ("fsync", 6),
    ("rename", 6),
    ("openat", 120),
    ("fallocate", 4),
    ("ftruncate", 8),
    ("unlink", 2),
    ("syncfs", 2),
];

/// Kills a broker of each flush mode so often.
pub(crate) fn run(root: &Path, cycles: u32, seed: u64) -> anyhow::Result<()> {
    let binary = binary(root)?;
    let has_strace = has_tool("strace", "-V");
    if !has_strace {
        println!("kill: strace is not here, so only random moments are tried and no failpoints");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for flush in Flush::ALL {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("home");
        let store = folder.path().join("store");
        let setting = Setting {
            binary: binary.clone(),
            home,
            store,
            port: free_broker_port(),
            place: Place::here(),
            flush,
            more: String::new(),
        };
        let began = Instant::now();
        let mut cycles_left = Cycles { setting, found: Found::default(), pending: Vec::new(), count: 0 };
        let mut random = Random::new(seed);
        let done = runtime.block_on(cycles_left.run(cycles, has_strace, &mut random));
        if let Err(reason) = done {
            // The store is what one wants to look at now.
            let kept = folder.keep();
            return Err(reason.context(format!(
                "{}, seed {seed}; the store is kept in {}",
                flush.name(),
                kept.display()
            )));
        }
        println!(
            "kill: {}: {cycles} cycles, {} acknowledged messages present once, in order, at their offsets; {} found; {:.0?}",
            flush.name(),
            cycles_left.count,
            cycles_left.found.places.len(),
            began.elapsed()
        );
    }
    Ok(())
}

struct Cycles {
    setting: Setting,
    found: Found,
    /// Acknowledged since the topic was last read.
    pending: Vec<Acknowledged>,
    count: usize,
}

impl Cycles {
    async fn run(&mut self, cycles: u32, has_strace: bool, random: &mut Random) -> anyhow::Result<()> {
        for cycle in 0..cycles {
            let failpoint = if has_strace && cycle % 2 == 1 { Some(draw(random)) } else { None };
            let life = Duration::from_millis(5 + random.below(LIFE_MS_MAX) as u64);
            self.cycle(cycle, failpoint, life)
                .await
                .with_context(|| format!("cycle {cycle}, {failpoint:?}, {life:?}"))?;
        }
        // All of it once more, also after an orderly stop.
        let mut broker = self.setting.start(None)?.context("a broker without failpoint starts")?;
        self.verify().await?;
        for _ in 0..2 {
            let mut again = Found::default();
            again.read_on(&Peer::new(self.setting.address()), TOPIC).await?;
            ensure!(again.places == self.found.places, "the topic changed while nobody sent");
            let id = broker.id()?;
            ensure!(broker.stop(id, "TERM")?, "the broker does not stop in order");
            broker = self.setting.start(None)?.context("a broker without failpoint starts")?;
        }
        let id = broker.id()?;
        broker.stop(id, "TERM").map(drop)
    }

    async fn cycle(&mut self, cycle: u32, failpoint: Option<Failpoint>, life: Duration) -> anyhow::Result<()> {
        let Some(mut broker) = self.setting.start(failpoint)? else { return Ok(()) };
        let id = broker.id()?;
        if cycle == 0 {
            Peer::new(self.setting.address()).create_topic(TOPIC, QUEUES).await;
        } else if failpoint.is_none() {
            self.verify().await?;
        }
        let senders = Senders::start(&self.setting.address(), TOPIC, cycle);
        // A failpoint that is not met is a random moment.
        let ends_at = Instant::now() + if failpoint.is_some() { 2 * life } else { life };
        while Instant::now() < ends_at && !broker.has_ended()? {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        end(broker, id)?;
        self.pending.extend(senders.finish().await?);
        Ok(())
    }

    /// Reads on, and finds everything that was acknowledged.
    async fn verify(&mut self) -> anyhow::Result<()> {
        self.found.read_on(&Peer::new(self.setting.address()), TOPIC).await?;
        let missing = self.found.missing(&self.pending);
        ensure!(missing.is_empty(), "{} of {} are missing, as {:?}", missing.len(), self.pending.len(), missing[0]);
        self.count += self.pending.len();
        self.pending.clear();
        Ok(())
    }
}

fn end(broker: Broker, id: u32) -> anyhow::Result<()> {
    broker.stop(id, "KILL").map(drop)
}

fn draw(random: &mut Random) -> Failpoint {
    let (call, number_max) = FAILPOINTS[random.below(FAILPOINTS.len())];
    Failpoint { call, number: 1 + random.below(number_max) }
}
