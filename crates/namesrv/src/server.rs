//! The name server as something that runs: its threads, from start to end.
//!
//! I/O threads answer requests. The keeper changes files ([`crate::keeper`]). The watch looks for brokers that are
//! silent, and tells brokers what they must know.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_config::NamesrvSettings;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::command::Command;
use raptormq_protocol::header::NotifyMinBrokerIdChangeRequestHeader;
use raptormq_remoting::{
    Client, ClientOptions, ClientTls, Connection, Listen, Outcome, Output, Request, Server, ServerOptions, Service,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::handle::{self, Call, Reply};
use crate::keeper::{self, Keeper};
use crate::kv_config::KvConfigError;
use crate::name_server::{Clock, NameServer};
use crate::routes::{ConnectionId, MinBrokerIdChanged};

/// How long telling one broker of a change may take, connecting included. Java: 300 ms in `RouteInfoManager`.
const NOTICE_TIMEOUT: Duration = Duration::from_millis(300);

/// Why a name server does not start. Nothing runs then.
#[derive(Debug, Error)]
pub enum StartError {
    /// The KV configuration cannot be used.
    #[error(transparent)]
    KvConfig(#[from] KvConfigError),
    /// `bindAddress` is not an address of anything.
    #[error("bindAddress={address}: {reason}; name an address of this machine, or 0.0.0.0 for all")]
    Address {
        /// What is configured.
        address: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The port cannot be listened on, or the network threads cannot start.
    #[error(transparent)]
    Remoting(#[from] raptormq_remoting::StartError),
    /// Another thread cannot start.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A name server that runs. Dropped without [`RunningNamesrv::shutdown`], it stops without order.
pub struct RunningNamesrv {
    server: Server,
    local_addr: SocketAddr,
    keeper: Keeper,
    watch: Watch,
}

struct Watch {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts a name server. It listens when this returns.
///
/// # Errors
/// It cannot; nothing was started then.
pub fn start(settings: NamesrvSettings, clock: Clock) -> Result<RunningNamesrv, StartError> {
    let address = resolve(&settings.server.bind_address, settings.server.listen_port)?;
    let options = ServerOptions {
        listen: vec![Listen { address, key: "listenPort" }],
        name: "namesrv-io".to_owned(),
        tls: Some(settings.tls.clone()),
        ..ServerOptions::from(&settings.server)
    };
    let tls = ClientTls::of(&settings.client, &settings.tls).map_err(raptormq_remoting::StartError::Tls)?;
    let client_options = ClientOptions { tls, ..ClientOptions::from(&settings.client) };
    let (namesrv, notices) = NameServer::new(settings, clock)?;
    let namesrv = Arc::new(namesrv);
    let brokers = Arc::new(Brokers::default());
    let keeper = Keeper::start(namesrv.clone()).map_err(StartError::Thread)?;
    let watch = Watch::start(namesrv.clone(), brokers.clone(), notices, client_options).map_err(StartError::Thread)?;
    let queue = keeper.queue();
    let server = Server::start(options, move |_| Requests {
        namesrv: namesrv.clone(),
        brokers: brokers.clone(),
        keeper: queue.clone(),
    });
    match server {
        Ok(server) => {
            let local_addr = server.local_addrs()[0];
            Ok(RunningNamesrv { server, local_addr, keeper, watch })
        }
        Err(refused) => {
            watch.finish();
            keeper.finish();
            Err(refused.into())
        }
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, StartError> {
    let refused = |reason| StartError::Address { address: host.to_owned(), reason };
    let mut addresses = (host, port).to_socket_addrs().map_err(refused)?;
    addresses.next().ok_or_else(|| refused(io::ErrorKind::AddrNotAvailable.into()))
}

impl RunningNamesrv {
    /// Where it listens: the port, too, when the configured one was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends in order: requests that came are answered, changes that were asked for are on disk.
    pub async fn shutdown(self) {
        let RunningNamesrv { server, keeper, watch, .. } = self;
        server.shutdown().await;
        // With the server go the I/O threads and their ends of the keeper's queue.
        drop(server);
        watch.finish();
        keeper.finish();
    }
}

/// Connections that brokers registered on.
#[derive(Default)]
struct Brokers {
    connections: Mutex<HashMap<ConnectionId, Connection>>,
}

impl Brokers {
    fn keep(&self, connection: &Connection) {
        self.connections.lock().entry(connection.id()).or_insert_with(|| connection.clone());
    }

    fn remove(&self, id: ConnectionId) -> Option<Connection> {
        self.connections.lock().remove(&id)
    }

    fn get(&self, id: ConnectionId) -> Option<Connection> {
        self.connections.lock().get(&id).cloned()
    }
}

/// What an I/O thread hands requests to.
struct Requests {
    namesrv: Arc<NameServer>,
    brokers: Arc<Brokers>,
    keeper: keeper::Queue,
}

impl Service for Requests {
    type Ticket = ();

    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<()> {
        if request.code == RequestCode::REGISTER_BROKER.0 {
            self.brokers.keep(peer);
        }
        match handle::dispatch(&self.namesrv, &Call { request, connection: peer.id() }) {
            Reply::Now(response) => out.respond_with(request, &response),
            Reply::Keep(change) => self.keeper.put(change, peer.responder(request)),
        }
        Outcome::Done
    }

    fn end_turn(&self) {}

    fn finish(&self, _: &Connection, (): (), _: &mut Output) {}

    fn closed(&self, peer: &Connection) {
        if self.brokers.remove(peer.id()).is_some() {
            self.namesrv.connection_closed(peer.id());
        }
    }
}

impl Watch {
    fn start(
        namesrv: Arc<NameServer>,
        brokers: Arc<Brokers>,
        notices: mpsc::Receiver<MinBrokerIdChanged>,
        client_options: ClientOptions,
    ) -> io::Result<Watch> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("namesrv-watch".to_owned()).spawn(move || {
            runtime.block_on(async {
                let client = Client::new(client_options, Arc::new(()));
                tokio::select! {
                    // An error means that whoever could say stop is gone.
                    _ = stopped => {}
                    () = search(&namesrv, &brokers) => {}
                    () = tell(&client, notices) => {}
                }
            });
        })?;
        Ok(Watch { stop, thread })
    }

    fn finish(self) {
        // An error means that the thread has ended, which the next line says.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread that looks for silent brokers panicked");
        }
    }
}

/// Removes silent brokers, time and again.
async fn search(namesrv: &NameServer, brokers: &Brokers) {
    let interval = Duration::from_millis(namesrv.settings().namesrv.scan_not_active_broker_interval);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for connection in namesrv.expire().into_iter().filter_map(|id| brokers.get(id)) {
            tracing::warn!(peer = %connection.peer_addr(), "a broker was silent for too long");
            connection.close("the broker that registered here was silent for too long");
        }
    }
}

/// Tells brokers that the smallest id of their group changed, with NOTIFY_MIN_BROKER_ID_CHANGE (905).
async fn tell(client: &Client, mut notices: mpsc::Receiver<MinBrokerIdChanged>) {
    while let Some(notice) = notices.recv().await {
        let request =
            Request::new(RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE).header(&NotifyMinBrokerIdChangeRequestHeader {
                min_broker_id: Some(notice.min_broker_id),
                broker_name: Some(&notice.broker_name),
                min_broker_addr: Some(&notice.min_broker_addr),
                offline_broker_addr: notice.offline_broker_addr.as_deref(),
                ha_broker_addr: notice.ha_broker_addr.as_deref(),
            });
        for addr in &notice.to {
            let told = tokio::time::timeout(NOTICE_TIMEOUT, client.oneway(addr, &request)).await;
            let problem = match told {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no connection within {NOTICE_TIMEOUT:?}"),
            };
            tracing::warn!(
                broker = notice.broker_name,
                addr,
                problem,
                "a broker is not told of its group's smallest id"
            );
        }
    }
}
