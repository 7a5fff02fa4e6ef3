//! [`Cluster`]: a name server and a broker in this process, and [`Slave`]s of the broker.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use raptormq_broker::RunningBroker;
use raptormq_config::{BrokerSettings, Environment, NamesrvSettings, Properties, Remarks};
use raptormq_namesrv::RunningNamesrv;
use raptormq_remoting::StartError as ListenError;
use raptormq_store::disk::Disk;
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{Clock as _, SystemClock};
use tempfile::TempDir;

use crate::ports::free_broker_port;

/// How often another port is tried when somebody else was faster.
const PORT_ATTEMPTS: usize = 20;

const LOOPBACK: &str = "127.0.0.1";

/// What a test's broker is set to before its own settings: small files, so that a store is made in a moment.
const SMALL_STORE: &[(&str, &str)] = &[
    ("brokerName", "broker-a"),
    ("mappedFileSizeCommitLog", "16777216"),
    ("mappedFileSizeConsumeQueue", "200000"),
    ("maxHashSlotNum", "10000"),
    ("maxIndexNum", "40000"),
];

/// A name server and a broker that run in this process, on free loopback ports and in a temporary folder, which goes
/// with the cluster. Dropped without [`Cluster::shutdown`], both stop without order.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// use raptormq_testkit::Cluster;
///
/// let mut cluster = Cluster::builder().set("autoCreateTopicEnable", "false").start().await?;
/// let broker_addr = cluster.broker_addr().to_owned();
/// cluster.restart_broker().await?;
/// assert_eq!(cluster.broker_addr(), broker_addr);
/// cluster.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Cluster {
    /// `None` while it is stopped.
    namesrv: Option<RunningNamesrv>,
    /// As the name server was started with them, and is started again.
    namesrv_settings: NamesrvSettings,
    /// `None` while it is stopped.
    broker: Option<RunningBroker>,
    /// As the broker was started with them, and is started again.
    settings: BrokerSettings,
    disk: Arc<dyn Disk>,
    broker_addr: String,
    namesrv_addr: String,
    // Dropped last.
    folder: TempDir,
}

/// Settings of a [`Cluster`].
#[derive(Clone, Default)]
#[must_use = "a cluster begins with start()"]
pub struct ClusterBuilder {
    disk: Option<Arc<dyn Disk>>,
    broker: Vec<(String, String)>,
    namesrv: Vec<(String, String)>,
}

impl ClusterBuilder {
    /// Sets a key of the broker, as a line of its file would.
    pub fn set(mut self, key: &str, value: &str) -> ClusterBuilder {
        self.broker.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The disk of the broker's store, instead of this machine's.
    pub fn on(mut self, disk: Arc<dyn Disk>) -> ClusterBuilder {
        self.disk = Some(disk);
        self
    }

    /// Sets a key of the name server.
    pub fn set_namesrv(mut self, key: &str, value: &str) -> ClusterBuilder {
        self.namesrv.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts both. The broker is registered when this returns.
    ///
    /// # Errors
    /// A key that is unknown, a value that its key does not take, or a start that failed; nothing runs then.
    pub async fn start(self) -> anyhow::Result<Cluster> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let (namesrv, namesrv_settings) = start_namesrv(folder.path(), &self.namesrv)?;
        let namesrv_addr = namesrv.local_addr().to_string();
        let mut settings = BrokerSettings::new(&environment(&folder.path().join("broker"), &namesrv_addr));
        settings.server.bind_address = LOOPBACK.to_owned();
        let pairs = SMALL_STORE.iter().copied().chain(self.broker.iter().map(|(key, value)| (&**key, &**value)));
        known(settings.load(&properties(pairs))?)?;
        let disk = self.disk.unwrap_or_else(|| Arc::new(RealDisk));
        let (broker, settings) = start_broker_somewhere(&settings, &disk)?;
        broker.registered().await;
        let broker_addr = broker.local_addr().to_string();
        let (namesrv, broker) = (Some(namesrv), Some(broker));
        Ok(Cluster { namesrv, namesrv_settings, broker, settings, disk, broker_addr, namesrv_addr, folder })
    }
}

impl Cluster {
    /// A cluster with the defaults, but for a store of small files.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> anyhow::Result<Cluster> {
        Cluster::builder().start().await
    }

    /// A cluster with settings of its own.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Where clients find the name server: `host:port`.
    pub fn namesrv_addr(&self) -> &str {
        &self.namesrv_addr
    }

    /// Where clients find the broker: `host:port`. It stays the same over restarts.
    pub fn broker_addr(&self) -> &str {
        &self.broker_addr
    }

    /// The broker's port for what must not wait behind pulls, as `host:port`.
    pub fn vip_addr(&self) -> String {
        format!("{LOOPBACK}:{}", self.settings.server.listen_port - 2)
    }

    /// The broker's name.
    pub fn broker_name(&self) -> &str {
        &self.settings.broker.broker_name
    }

    /// The folder of the broker's store.
    pub fn store_folder(&self) -> PathBuf {
        PathBuf::from(&self.settings.store.store_path_root_dir)
    }

    /// A folder for whatever the test keeps; it goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the broker in order, if it runs.
    pub async fn stop_broker(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await;
        }
    }

    /// Stops the broker in order, if it runs, and starts it again on the same port and folder. It is registered when
    /// this returns.
    ///
    /// # Errors
    /// It does not start; the cluster has no broker then.
    pub async fn restart_broker(&mut self) -> anyhow::Result<()> {
        self.stop_broker().await;
        let broker = start_broker(self.settings.clone(), &self.disk).context("the broker does not start again")?;
        broker.registered().await;
        self.broker = Some(broker);
        Ok(())
    }

    /// Stops the name server in order, if it runs.
    pub async fn stop_name_server(&mut self) {
        if let Some(namesrv) = self.namesrv.take() {
            namesrv.shutdown().await;
        }
    }

    /// Starts the name server again, on the same port. It knows nothing until brokers register with it.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_name_server(&mut self) -> anyhow::Result<()> {
        self.stop_name_server().await;
        self.namesrv = Some(run_namesrv(&self.namesrv_settings)?);
        Ok(())
    }

    /// Starts a slave of the broker, with keys of its own. It is registered when this returns.
    ///
    /// # Errors
    /// It does not start.
    pub async fn slave(&self, broker_id: i64, pairs: &[(&str, &str)]) -> anyhow::Result<Slave> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut settings = BrokerSettings::new(&environment(folder.path(), &self.namesrv_addr));
        settings.server.bind_address = LOOPBACK.to_owned();
        let id = broker_id.to_string();
        let own = [("brokerRole", "SLAVE"), ("brokerId", id.as_str()), ("brokerName", self.broker_name())];
        let pairs = SMALL_STORE.iter().copied().chain(own).chain(pairs.iter().copied());
        known(settings.load(&properties(pairs))?)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (broker, settings) = start_broker_somewhere(&settings, &disk)?;
        broker.registered().await;
        Ok(Slave { broker: Some(broker), settings, _folder: folder })
    }

    /// Stops both in order.
    pub async fn shutdown(mut self) {
        self.stop_broker().await;
        self.stop_name_server().await;
    }
}

/// A slave of a cluster's broker, in this process and in a folder of its own. Dropped, it stops without order.
pub struct Slave {
    /// `None` while it is stopped.
    broker: Option<RunningBroker>,
    settings: BrokerSettings,
    // Dropped last.
    _folder: TempDir,
}

impl Slave {
    /// Where clients find it: `host:port`.
    pub fn addr(&self) -> String {
        format!("{LOOPBACK}:{}", self.settings.server.listen_port)
    }

    /// The folder of its store.
    pub fn store_folder(&self) -> PathBuf {
        PathBuf::from(&self.settings.store.store_path_root_dir)
    }

    /// Stops it in order, if it runs.
    pub async fn stop(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await;
        }
    }

    /// Starts it again on the same port and folder.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let broker = raptormq_broker::start(self.settings.clone()).context("the slave does not start again")?;
        broker.registered().await;
        self.broker = Some(broker);
        Ok(())
    }
}

/// Surroundings that reach nothing outside `home`.
fn environment(home: &Path, namesrv_addr: &str) -> Environment {
    Environment {
        home: home.to_string_lossy().into_owned(),
        namesrv_addr: namesrv_addr.to_owned(),
        ..Environment::default()
    }
}

fn properties<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Properties {
    Properties::from_pairs("the test's settings", pairs)
}

/// Refuses what a role only warns of: a test that sets an unknown key tests nothing.
fn known(remarks: Remarks) -> anyhow::Result<()> {
    let lines: Vec<&str> = remarks.lines().collect();
    ensure!(lines.is_empty(), "{}", lines.join("; "));
    Ok(())
}

/// Starts a name server on a port of the system's choice; returns the settings that have that port.
fn start_namesrv(folder: &Path, pairs: &[(String, String)]) -> anyhow::Result<(RunningNamesrv, NamesrvSettings)> {
    let mut settings = NamesrvSettings::new(&environment(&folder.join("namesrv"), ""));
    settings.server.bind_address = LOOPBACK.to_owned();
    settings.server.listen_port = 0;
    known(settings.load(&properties(pairs.iter().map(|(key, value)| (&**key, &**value))))?)?;
    let namesrv = run_namesrv(&settings)?;
    settings.server.listen_port = namesrv.local_addr().port();
    Ok((namesrv, settings))
}

fn run_namesrv(settings: &NamesrvSettings) -> anyhow::Result<RunningNamesrv> {
    let clock = Arc::new(|| SystemClock.now_ms());
    raptormq_namesrv::start(settings.clone(), clock).context("the name server does not start")
}

/// Starts the broker on a port that nobody else has; returns the settings that it runs with.
fn start_broker_somewhere(
    settings: &BrokerSettings,
    disk: &Arc<dyn Disk>,
) -> anyhow::Result<(RunningBroker, BrokerSettings)> {
    for _ in 0..PORT_ATTEMPTS {
        let mut settings = settings.clone();
        settings.server.listen_port = free_broker_port();
        settings.broker.listen_port = settings.server.listen_port;
        settings.settle()?;
        match start_broker(settings.clone(), disk) {
            Ok(broker) => return Ok((broker, settings)),
            Err(refusal) if is_taken(&refusal) => {}
            Err(refusal) => return Err(refusal).context("the broker does not start"),
        }
    }
    bail!("{PORT_ATTEMPTS} ports were free and then taken")
}

fn start_broker(settings: BrokerSettings, disk: &Arc<dyn Disk>) -> Result<RunningBroker, raptormq_broker::StartError> {
    raptormq_broker::start_with(settings, Arc::clone(disk), Arc::new(SystemClock))
}

fn is_taken(refusal: &raptormq_broker::StartError) -> bool {
    match refusal {
        raptormq_broker::StartError::Server(ListenError::Listen { source, .. }) => {
            source.kind() == io::ErrorKind::AddrInUse
        }
        _ => false,
    }
}
