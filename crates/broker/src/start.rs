//! Starts the broker and stops it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_config::{BrokerRole, BrokerSettings, FlushDiskType, StoreConfig};
use raptormq_remoting::{Client, Listen, Server, ServerOptions};
use raptormq_store::disk::Disk;
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{
    CleanOptions, Clock, Hours, OpenError, OptionsError, QueueNameError, StoreOptions, SystemClock, TransferLimits,
    in_memory_bytes, parse_delay_levels,
};
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::dispatch::VIP_LISTENER;
use crate::persist::KeptError;
use crate::readers::OVERDUE_INTERVAL;
use crate::service::BrokerService;
use crate::stats::SAMPLE_INTERVAL;
use crate::{deliver, ha, hold, members, outer, persist, routes};

/// How far below the broker's port its VIP port is.
const VIP_PORT_BELOW: u16 = 2;
/// How often the files of accounts are looked at. Java: 5 s in `AclFileWatchService`.
const ACL_INTERVAL: Duration = Duration::from_secs(1);
/// How often silent clients and free locks are looked for. Java: `ClientHousekeepingService`.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(10);
/// How often when `channelExpiredTimeout` is shorter than that.
const EXPIRE_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Percent of the machine's memory that a slave counts less than a master. Java: `BrokerStartup.buildBrokerController`.
const SLAVE_RATIO_LESS: u32 = 10;
/// How long a broker that stops waits for its slaves to have everything.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// How often groups are looked for that are too far behind. Java: 3 min in `BrokerController.protectBroker`.
const SLOW_INTERVAL: Duration = Duration::from_secs(5);
/// How often members of changed groups are told when they are not told at once. Java: `DefaultConsumerIdsChangeListener`.
const NOTIFY_INTERVAL: Duration = Duration::from_secs(15);

/// Why a broker did not start. Nothing is left half-started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("{}", store_advice(.0))]
    Store(#[from] OpenError),
    /// A setting of the store is none.
    #[error(transparent)]
    StoreOptions(#[from] OptionsError),
    /// The store cannot have a queue that the broker needs.
    #[error(transparent)]
    Queue(#[from] QueueNameError),
    /// What an earlier run kept cannot be read.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A port cannot be had, or a thread.
    #[error(transparent)]
    Server(#[from] raptormq_remoting::StartError),
    /// The address to listen on is none.
    #[error("{key}={text} is no IP address; set one of this machine, or 0.0.0.0 for all")]
    BindAddress {
        /// The key.
        key: &'static str,
        /// Its value.
        text: String,
    },
    /// The address to register is none.
    #[error("brokerIP1={ip} is no address that clients could use: {reason}; set the address of this machine")]
    BrokerIp {
        /// The setting.
        ip: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The accounts of access control cannot be used.
    #[error("access control: {0}")]
    Acl(#[from] raptormq_auth::AclError),
    /// The account that the broker asks others with is none.
    #[error(
        "innerClientAuthenticationCredentials cannot be read: {0}; set it to \
         {{\"accessKey\":\"NAME\",\"secretKey\":\"SECRET\"}}, or leave it out"
    )]
    InnerCredentials(String),
    /// A thread cannot be had.
    #[error("cannot start the thread {name}: {source}; allow this process more threads (ulimit -u)")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What happened to the store, and what to do about it.
fn store_advice(error: &OpenError) -> String {
    match error {
        OpenError::Locked { .. } => format!("{error}; stop the broker that uses it, or set another storePathRootDir"),
        OpenError::Io { .. } => format!("{error}; make the folder writable, or set another storePathRootDir"),
        OpenError::Options(_) | OpenError::Unfit(_) => error.to_string(),
    }
}

/// A broker that runs. Dropping it stops it at once; [`RunningBroker::shutdown`] stops it in order.
pub struct RunningBroker {
    broker: Arc<Broker>,
    server: Server,
    housekeeping: Thread,
    replication: Thread,
    deliverer: Thread,
    keeper: Thread,
}

/// A thread, and what ends it.
struct Thread {
    handle: Mutex<Option<std::thread::JoinHandle<()>>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// Starts a broker on this machine's disk and clock.
pub fn start(settings: BrokerSettings) -> Result<RunningBroker, StartError> {
    start_with(settings, Arc::new(RealDisk), Arc::new(SystemClock))
}

/// Starts a broker on that disk and clock.
pub fn start_with(
    mut settings: BrokerSettings,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<RunningBroker, StartError> {
    let options = server_options(&settings)?;
    // Each belongs to the thread that uses it.
    let client = outer::client(&settings)?;
    let master_client = outer::client(&settings)?;
    let ha_places = ha::places(&settings, options.listen[0].address.ip())?;
    let ha_port = settings.store.ha_listen_port;
    // A port that the system chooses must be known before name servers are told of it.
    let chosen = if ha_port == 0 { Some(listen_for_slaves(&ha_places, ha_port)?) } else { None };
    if let Some(address) = chosen.as_ref().and_then(|listeners| listeners[0].local_addr().ok()) {
        settings.store.ha_listen_port = address.port();
    }
    let broker = Broker::new(settings, disk, clock)?;
    let server = {
        let broker = Arc::clone(&broker);
        Server::start(options, move |thread| BrokerService::new(Arc::clone(&broker), thread))
    };
    let server = server.inspect_err(|_| close_store(&broker))?;
    let slaves = match chosen {
        Some(listeners) => listeners,
        None => listen_for_slaves(&ha_places, ha_port).inspect_err(|_| close_store(&broker))?,
    };
    let replication = {
        let broker = Arc::clone(&broker);
        Thread::spawn("broker-ha", move |stop| ha::run(broker, master_client, slaves, stop))?
    };
    let keeper = {
        let broker = Arc::clone(&broker);
        Thread::spawn("broker-keeper", move |_| persist::run(&broker))?
    };
    let deliverer = {
        let broker = Arc::clone(&broker);
        Thread::spawn("broker-deliver", move |_| deliver::run(&broker))?
    };
    let housekeeping = {
        let broker = Arc::clone(&broker);
        Thread::spawn("broker-housekeeping", move |stop| keep_house(broker, client, stop))?
    };
    Ok(RunningBroker { broker, server, housekeeping, replication, deliverer, keeper })
}

impl RunningBroker {
    /// Where clients connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    /// Where clients connect to that prefer the VIP port; `None` when there is no port below.
    pub fn vip_addr(&self) -> Option<SocketAddr> {
        self.server.local_addrs().get(VIP_LISTENER).copied()
    }

    /// The address that is registered with the name servers.
    pub fn broker_addr(&self) -> &str {
        self.broker.outer.broker_addr()
    }

    /// Waits until every name server was asked once to take the broker, whether it did or not.
    pub async fn registered(&self) {
        self.broker.outer.tried().await;
    }

    /// Stops in order: leaves the name servers, so that clients go elsewhere; closes connections; writes everything out.
    pub async fn shutdown(self) {
        self.housekeeping.end().await;
        self.server.shutdown().await;
        self.broker.alarm.stop();
        self.deliverer.end().await;
        self.broker.readers.stop();
        // Slaves get what was acknowledged, unless they are far behind.
        let caught_up = self.broker.slaves.caught_up(self.broker.store.log_max_offset());
        let _ = tokio::time::timeout(CATCH_UP_MAX, caught_up).await;
        self.replication.end().await;
        // Then all that the delay offsets speak of is on disk.
        close_store(&self.broker);
        self.broker.keeper.stop();
        self.keeper.end().await;
    }
}

/// Opens the port that slaves connect to, at each of these addresses; 0 for one that the system chooses.
fn listen_for_slaves(places: &[IpAddr], mut port: u16) -> Result<Vec<std::net::TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for ip in places {
        let address = SocketAddr::new(*ip, port);
        let refused = |source| raptormq_remoting::StartError::Listen { address, key: "haListenPort", source };
        let listener = raptormq_replication::listen(address).map_err(refused)?;
        port = listener.local_addr().map_err(refused)?.port();
        listeners.push(listener);
    }
    tracing::info!(addresses = ?places, port, "slaves are served there");
    Ok(listeners)
}

fn close_store(broker: &Broker) {
    if let Err(error) = broker.store.close() {
        tracing::error!(%error, "the store was not closed in order; the next start recovers it");
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        self.broker.alarm.stop();
        self.broker.keeper.stop();
        // It writes what is left to be kept: whoever removes the folder then finds nothing made anew.
        if let Some(handle) = self.keeper.handle.lock().take()
            && handle.join().is_err()
        {
            tracing::error!("the thread that keeps tables panicked");
        }
    }
}

impl Thread {
    fn spawn(
        name: &'static str,
        body: impl FnOnce(oneshot::Receiver<()>) + Send + 'static,
    ) -> Result<Thread, StartError> {
        let (stop, stopped) = oneshot::channel();
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || body(stopped))
            .map_err(|source| StartError::Thread { name, source })?;
        Ok(Thread { handle: Mutex::new(Some(handle)), stop: Mutex::new(Some(stop)) })
    }

    /// Asks the thread to end and waits for it.
    async fn end(&self) {
        drop(self.stop.lock().take());
        let Some(handle) = self.handle.lock().take() else { return };
        let (done, ended) = oneshot::channel();
        // Joining blocks, so a thread of its own does it.
        let joiner = std::thread::spawn(move || {
            if handle.join().is_err() {
                tracing::error!("a thread of the broker panicked");
            }
            // Who waits for it may have given up.
            let _ = done.send(());
        });
        // An error means that the joiner has ended, too.
        let _ = ended.await;
        drop(joiner);
    }
}

/// What needs time and not a request: registration, the ends of holds, silent clients.
fn keep_house(broker: Arc<Broker>, client: Client, stop: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no event queue for housekeeping: the broker is not registered");
            return;
        }
    };
    runtime.block_on(async {
        tokio::spawn(hold::run(Arc::clone(&broker)));
        tokio::spawn(hold::run_flushed(Arc::clone(&broker)));
        tokio::spawn(every(SAMPLE_INTERVAL, Arc::clone(&broker), Broker::sample));
        let timeout = Duration::from_millis(broker.settings().broker.channel_expired_timeout);
        let interval = (timeout / 4).clamp(EXPIRE_INTERVAL_MIN, EXPIRE_INTERVAL);
        tokio::spawn(every(interval, Arc::clone(&broker), Broker::expire_clients));
        tokio::spawn(every(NOTIFY_INTERVAL, Arc::clone(&broker), Broker::notify_late));
        tokio::spawn(every(SLOW_INTERVAL, Arc::clone(&broker), Broker::stop_slow_groups));
        tokio::spawn(every(OVERDUE_INTERVAL, Arc::clone(&broker), Broker::refuse_overdue));
        if broker.acl.is_some() {
            tokio::spawn(every(ACL_INTERVAL, Arc::clone(&broker), Broker::follow_accounts));
        }
        let registering = tokio::spawn(outer::run(Arc::clone(&broker), client.clone()));
        tokio::spawn(members::run(Arc::clone(&broker), client.clone()));
        tokio::spawn(routes::run(Arc::clone(&broker), client.clone()));
        // The sender is dropped to stop.
        let _ = stop.await;
        registering.abort();
        outer::unregister(&broker, &client).await;
    });
}

async fn every(interval: Duration, broker: Arc<Broker>, step: fn(&Broker)) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        step(&broker);
    }
}

/// An address to listen on.
pub(crate) fn parse_address(key: &'static str, text: &str) -> Result<IpAddr, StartError> {
    text.parse().map_err(|_| StartError::BindAddress { key, text: text.to_owned() })
}

fn server_options(settings: &BrokerSettings) -> Result<ServerOptions, StartError> {
    let server = &settings.server;
    let text = server.bind_address.trim();
    let ip: IpAddr = match text {
        "" => Ipv4Addr::UNSPECIFIED.into(),
        text => parse_address("bindAddress", text)?,
    };
    let listen = |port| Listen { address: SocketAddr::new(ip, port), key: "listenPort" };
    let mut ports = vec![listen(server.listen_port)];
    debug_assert_eq!(ports.len(), VIP_LISTENER, "the VIP port comes behind the broker's");
    match server.listen_port.checked_sub(VIP_PORT_BELOW) {
        // With port 0 the system chooses, and nobody could find a port below.
        Some(vip) if vip > 0 => ports.push(listen(vip)),
        _ => {}
    }
    let tls = Some(settings.tls.clone());
    // I/O threads sync themselves, and a disk that was quick may hang all the same.
    let has_spare_thread = settings.store.flush_disk_type == FlushDiskType::SyncFlush;
    let name = "broker-io".to_owned();
    Ok(ServerOptions { listen: ports, has_spare_thread, name, tls, ..ServerOptions::from(server) })
}

/// The store's settings as the store wants them.
pub(crate) fn store_options(config: &StoreConfig) -> Result<StoreOptions, OptionsError> {
    let ms = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let limits = |bytes: u32, count: u32| TransferLimits { bytes: bytes as usize, count: count as usize };
    let defaults = StoreOptions::new(&config.store_path_root_dir);
    // The original separates several folders by commas.
    let folders = |text: &str| -> Vec<std::path::PathBuf> {
        text.split(',').map(str::trim).filter(|folder| !folder.is_empty()).map(Into::into).collect()
    };
    let commit_log_folders = folders(&config.store_path_commit_log);
    Ok(StoreOptions {
        commit_log_folders: match commit_log_folders.is_empty() {
            true => defaults.commit_log_folders.clone(),
            false => commit_log_folders,
        },
        read_only_log_folders: folders(&config.read_only_commit_log_store_paths),
        segment_bytes: config.mapped_file_size_commit_log,
        queue_file_bytes: config.mapped_file_size_consume_queue,
        batch_queue_file_bytes: config.mapper_file_size_batch_consume_queue,
        index_enabled: config.message_index_enable,
        index_slots: config.max_hash_slot_num,
        index_entries: config.max_index_num,
        body_bytes_max: config.max_message_size as usize,
        sync_flush: config.flush_disk_type == FlushDiskType::SyncFlush,
        flush_log_interval_ms: ms(config.flush_interval_commit_log),
        flush_log_thorough_interval_ms: ms(config.flush_commit_log_thorough_interval),
        flush_queues_interval_ms: ms(config.flush_interval_consume_queue),
        flush_queues_pages_min: config.flush_consume_queue_least_pages.into(),
        flush_queues_thorough_interval_ms: ms(config.flush_consume_queue_thorough_interval),
        ext_enabled: config.enable_consume_queue_ext,
        ext_file_bytes: config.mapped_file_size_consume_queue_ext,
        light_enabled: config.enable_lmq && config.enable_multi_dispatch,
        light_queues_max: config.max_lmq_consume_queue_num as usize,
        append_property_crc: config.enabled_append_prop_crc,
        verify_property_crc: config.force_verify_prop_crc,
        check_crc_on_recover: config.check_crc_on_recover,
        filter_bytes_max: config.max_filter_message_size as usize,
        queue_files_a_read: config.travel_cq_file_num_when_get_message,
        reads_unflushed: config.read_uncommitted,
        reads_ahead: config.data_read_ahead_enable,
        stores_long_topics: config.auto_message_version_on_topic_len,
        in_memory: limits(
            config.max_transfer_bytes_on_message_in_memory,
            config.max_transfer_count_on_message_in_memory,
        ),
        on_disk: limits(config.max_transfer_bytes_on_message_in_disk, config.max_transfer_count_on_message_in_disk),
        // A slave's machine keeps less of it in memory for its readers. Java: `BrokerStartup`.
        in_memory_bytes: in_memory_bytes(match config.broker_role {
            BrokerRole::Slave => config.access_message_in_memory_max_ratio.saturating_sub(SLAVE_RATIO_LESS).into(),
            BrokerRole::AsyncMaster | BrokerRole::SyncMaster => config.access_message_in_memory_max_ratio.into(),
        }),
        query_count_max: config.max_msgs_num_batch as usize,
        delay_levels_ms: parse_delay_levels(&config.message_delay_level)?,
        clean: clean_options(config)?,
        ..defaults
    })
}

/// What of the store's settings is about deletion.
pub(crate) fn clean_options(config: &StoreConfig) -> Result<CleanOptions, OptionsError> {
    let ms = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let options = CleanOptions {
        interval_ms: ms(config.clean_resource_interval),
        segment_interval_ms: ms(config.delete_commit_log_files_interval),
        queues_interval_ms: ms(config.delete_consume_queue_files_interval),
        segments_max: config.delete_file_batch_max,
        retry_interval_ms: ms(config.redelete_hanged_file_interval),
        hours: Hours::parse(&config.delete_when)?,
        is_forcible: config.clean_file_forcibly_enable,
        brokers_on_disk: config.replicas_per_disk_partition,
        share_forcible_ratio: config.logical_disk_space_clean_forcibly_threshold,
        ..CleanOptions::default()
    };
    Ok(options.with_limits(
        config.file_reserved_time,
        config.disk_max_used_space_ratio,
        config.disk_space_clean_forcibly_ratio,
        config.disk_space_warning_level_ratio,
    ))
}
