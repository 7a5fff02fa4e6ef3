//! [`Client`]: what producers and consumers of one process share. Connections, routes, heartbeats, the client's id.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_auth::Credentials;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{NotifyConsumerIdsChangedRequestHeader, UnregisterClientRequestHeader};
use raptormq_protocol::json;
use raptormq_protocol::message::id::UniqueIdGenerator;
use raptormq_remoting::{ClientOptions, ClientTls, Connection, Inbound, Output, Request, Response, Signer};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::admin::Admin;
use crate::clock;
use crate::consumer::ConsumerBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::name_server::{CALL_TIMEOUT, NameServers};
use crate::names::DEFAULT_TOPIC;
use crate::producer::ProducerBuilder;
use crate::reader::ReaderBuilder;
use crate::registry::Registry;
use crate::route::{Route, Routes};

/// How often routes are asked for and brokers are told that we live (Java: `pollNameServerInterval`,
/// `heartbeatBrokerInterval`).
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// How soon routes are asked for again after a broker could not be reached.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// Environment variable with the name servers, for clients that name none.
const NAMESRV_VARIABLE: &str = "NAMESRV_ADDR";

/// Instance name of clients that are to be told apart by their address only: the folder of broadcast offsets carries it.
const DEFAULT_INSTANCE: &str = "DEFAULT";

/// A connection to a RocketMQ cluster: the base of producers and consumers. Cheap to clone; one per process is enough.
///
/// Must be made within a tokio runtime; its work is done there.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    /// Folder name of what must survive a restart of this client.
    stable_id: String,
    name_servers: NameServers,
    remoting: raptormq_remoting::Client,
    routes: Routes,
    /// One question about a missing route at a time.
    asking: tokio::sync::Mutex<()>,
    registry: Arc<Registry>,
    unique_ids: UniqueIdGenerator,
    /// Brokers that know us.
    greeted: Arc<Mutex<BTreeSet<String>>>,
    attention: Arc<Attention>,
    /// Becomes true, or is dropped, when the client ends.
    closed: watch::Sender<bool>,
    runtime: Handle,
}

/// What the background task is asked to do before its time.
#[derive(Default)]
struct Attention {
    /// A route may be out of date.
    refresh: Notify,
    /// There may be brokers that do not know us.
    greet: Notify,
}

/// Settings of a [`Client`]; see [`Client::builder`].
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    name_servers: Option<String>,
    instance_name: Option<String>,
    lazy: bool,
    tls: Option<ClientTls>,
    credentials: Option<Credentials>,
}

impl ClientBuilder {
    /// The name servers: `host:port`, several with `;` or `,` between. Without it they are taken from the environment
    /// variable `NAMESRV_ADDR`.
    pub fn namesrv(mut self, addresses: impl Into<String>) -> ClientBuilder {
        self.name_servers = Some(addresses.into());
        self
    }

    /// A name for this client instead of one that is new at each start. It must differ from that of every other client
    /// on this machine, because brokers tell clients apart by address and instance name.
    #[doc(alias = "setInstanceName")]
    pub fn instance_name(mut self, name: impl Into<String>) -> ClientBuilder {
        self.instance_name = Some(name.into());
        self
    }

    /// Encrypts all connections. [`ClientTls::new`] says whom to trust; with `TlsConfig::default()` that is everybody.
    #[doc(alias = "setUseTLS")]
    pub fn tls(mut self, tls: ClientTls) -> ClientBuilder {
        self.tls = Some(tls);
        self
    }

    /// Signs all requests: who this client is where brokers have access control.
    #[doc(alias = "AclClientRPCHook")]
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: &str) -> ClientBuilder {
        self.credentials = Some(Credentials::new(access_key, secret_key));
        self
    }

    /// Does not try to reach a name server before it is needed; that there is none at all is not noticed before, either.
    pub fn lazy(mut self) -> ClientBuilder {
        self.lazy = true;
        self
    }

    /// Connects. Fails with [`ErrorKind::Unreachable`] when no name server answers, unless the client is
    /// [`lazy`](ClientBuilder::lazy).
    pub async fn connect(self) -> Result<Client> {
        let text = match self.name_servers {
            Some(text) => text,
            None => std::env::var(NAMESRV_VARIABLE).unwrap_or_default(),
        };
        let name_servers = NameServers::parse(&text)?;
        if !self.lazy {
            name_servers.required()?;
        }
        let ip = local_ip();
        let instance = self.instance_name.clone().unwrap_or_else(new_instance_name);
        let registry = Arc::new(Registry::default());
        let greeted = Arc::<Mutex<BTreeSet<String>>>::default();
        let attention = Arc::<Attention>::default();
        let inbound =
            Arc::new(Notices { registry: registry.clone(), greeted: greeted.clone(), attention: attention.clone() });
        let (closed, _) = watch::channel(false);
        let signer = self.credentials.map(|credentials| Arc::new(Signing(credentials)) as Arc<dyn Signer>);
        let options = ClientOptions { tls: self.tls, signer, ..ClientOptions::default() };
        let shared = Arc::new(Shared {
            id: format!("{ip}@{instance}"),
            stable_id: format!("{ip}@{}", self.instance_name.as_deref().unwrap_or(DEFAULT_INSTANCE)),
            name_servers,
            remoting: raptormq_remoting::Client::new(options, inbound),
            routes: Routes::default(),
            asking: tokio::sync::Mutex::default(),
            registry,
            unique_ids: UniqueIdGenerator::new(ip, std::process::id(), random_number(), clock::month_of),
            greeted,
            attention,
            closed,
            runtime: Handle::current(),
        });
        if !self.lazy {
            shared.name_servers.ping(&shared.remoting).await?;
        }
        tokio::spawn(maintain(Arc::downgrade(&shared), shared.attention.clone(), shared.closed.subscribe()));
        Ok(Client { shared })
    }
}

/// Signs with the credentials of an account.
struct Signing(Credentials);

impl Signer for Signing {
    fn sign(&self, request: &Request) -> Vec<(&'static str, String)> {
        self.0.sign(request.fields.iter(), &request.body).into()
    }
}

impl Client {
    /// Connects to the cluster of these name servers: see [`ClientBuilder::namesrv`] for the form.
    pub async fn connect(addresses: impl Into<String>) -> Result<Client> {
        Client::builder().namesrv(addresses).connect().await
    }

    /// A client with settings of its own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A producer in a group; the group tells brokers which producers belong together.
    #[doc(alias = "DefaultMQProducer")]
    pub fn producer(&self, group: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), group.into())
    }

    /// A consumer in a group. The members of a group share the messages of what it subscribes to.
    #[doc(alias = "DefaultMQPushConsumer")]
    pub fn consumer(&self, group: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), group.into())
    }

    /// A reader of a topic: sees messages without being a member of a group, and leaves no trace.
    pub fn reader(&self, topic: impl Into<String>) -> ReaderBuilder {
        ReaderBuilder::new(self.clone(), topic.into())
    }

    /// What administrators ask: topics, groups, brokers, name servers, messages.
    #[doc(alias = "DefaultMQAdminExt")]
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// The id by which brokers know this client: `address@instance`.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Ends the client and its connections. Shut down producers and consumers first: what they still have to tell the
    /// brokers cannot be told afterwards. Idempotent.
    pub async fn shutdown(&self) {
        self.shared.closed.send_replace(true);
        self.shared.remoting.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.shared.closed.borrow()
    }

    pub(crate) fn remoting(&self) -> &raptormq_remoting::Client {
        &self.shared.remoting
    }

    pub(crate) fn name_servers(&self) -> &NameServers {
        &self.shared.name_servers
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    /// Address and instance name without what changes at each start.
    pub(crate) fn stable_id(&self) -> &str {
        &self.shared.stable_id
    }

    pub(crate) fn new_message_id(&self, now_ms: i64) -> String {
        self.shared.unique_ids.next(now_ms)
    }

    /// Calls a broker; an answer other than success is an error.
    pub(crate) async fn call(&self, address: &str, request: Request) -> Result<Response> {
        self.call_within(address, request, CALL_TIMEOUT).await
    }

    /// As [`Client::call`], with a time of its own.
    pub(crate) async fn call_within(&self, address: &str, request: Request, timeout: Duration) -> Result<Response> {
        let response = self.shared.remoting.call(address, request, timeout).await?;
        if response.is_success() {
            return Ok(response);
        }
        Err(Error::refused(response.code.0, response.remark.as_deref(), address))
    }

    /// Queues to send to, if they are known.
    pub(crate) fn known_publish_route(&self, topic: &str) -> Option<Arc<Route>> {
        self.shared.routes.get(topic).filter(|route| !route.publish.is_empty())
    }

    /// Queues to send to, asking the name server when the topic is new to us. A topic that does not exist has the
    /// queues it will get, at most `queue_count_max`.
    pub(crate) async fn publish_route(&self, topic: &str, queue_count_max: i32) -> Result<Arc<Route>> {
        if let Some(route) = self.known_publish_route(topic) {
            return Ok(route);
        }
        let _asking = self.shared.asking.lock().await;
        if let Some(route) = self.known_publish_route(topic) {
            return Ok(route);
        }
        let (servers, remoting) = (&self.shared.name_servers, &self.shared.remoting);
        let route = match servers.route(remoting, topic).await? {
            Some(data) => Route::of(topic, &data),
            None => match servers.route(remoting, DEFAULT_TOPIC).await? {
                Some(default) => Route::of_default(topic, &default, queue_count_max),
                None => Route::default(),
            },
        };
        if route.publish.is_empty() {
            return Err(self.no_route(topic).await);
        }
        let route = self.shared.routes.put(topic, route);
        self.shared.attention.greet.notify_one();
        Ok(route)
    }

    /// The route of a topic to consume from; `None` while the topic does not exist.
    pub(crate) async fn subscribe_route(&self, topic: &str) -> Result<Option<Arc<Route>>> {
        let usable = |route: &Arc<Route>| !route.subscribe.is_empty();
        if let Some(route) = self.shared.routes.get(topic).filter(usable) {
            return Ok(Some(route));
        }
        let _asking = self.shared.asking.lock().await;
        let Some(data) = self.shared.name_servers.route(&self.shared.remoting, topic).await? else { return Ok(None) };
        let route = self.shared.routes.put(topic, Route::of(topic, &data));
        Ok(Some(route))
    }

    /// The route as it is known, without asking.
    pub(crate) fn known_route(&self, topic: &str) -> Option<Arc<Route>> {
        self.shared.routes.get(topic)
    }

    /// Asks for fresh routes soon: what we know led to a broker that does not answer.
    pub(crate) fn suspect_routes(&self) {
        self.shared.attention.refresh.notify_one();
    }

    /// Why nobody takes messages of a topic.
    async fn no_route(&self, topic: &str) -> Error {
        let servers = &self.shared.name_servers;
        let start = format!("No route info of this topic: {topic}");
        match servers.cluster(&self.shared.remoting).await {
            Ok(cluster) if cluster.broker_addr_table.is_empty() => {
                let text = format!(
                    "{start}. No broker is registered with the name server {0}: start one with -n {0}, or name the \
                     name server that the brokers register with",
                    servers.text()
                );
                Error::new(ErrorKind::NoRoute, text)
            }
            Ok(_) => {
                let text = format!(
                    "{start}. It does not exist, or may not be written to, and no broker creates topics by itself \
                     (autoCreateTopicEnable=false): create it, for example with mqadmin updateTopic"
                );
                Error::new(ErrorKind::TopicNotExist, text)
            }
            Err(error) => error.during(start),
        }
    }

    /// Tells all brokers who lives here.
    pub(crate) async fn heartbeat(&self) {
        self.shared.heartbeat(false).await;
    }

    /// Tells one broker who lives here.
    pub(crate) async fn heartbeat_to(&self, address: &str) {
        self.shared.heartbeat_to(&BTreeSet::from([address.to_owned()])).await;
    }

    /// Tells all brokers that a group's last member here is gone.
    pub(crate) async fn unregister(&self, producer_group: Option<&str>, consumer_group: Option<&str>) {
        let header = UnregisterClientRequestHeader { client_id: &self.shared.id, producer_group, consumer_group };
        let request = Request::new(RequestCode::UNREGISTER_CLIENT).header(&header);
        let greeted = self.shared.greeted.lock().clone();
        let calls = greeted.iter().map(|address| self.call(address, request.clone()));
        for error in join_all(calls).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a broker was not told that the client leaves; it will notice");
        }
    }
}

impl Shared {
    /// Heartbeats to the brokers of all routes, or only to those that do not know us.
    async fn heartbeat(&self, only_new: bool) {
        let mut addresses = self.routes.addresses(self.registry.has_consumers());
        {
            let mut greeted = self.greeted.lock();
            // Brokers that are in no route any more need not be told that we leave.
            greeted.retain(|address| addresses.contains(address));
            if only_new {
                addresses.retain(|address| !greeted.contains(address));
            }
        }
        self.heartbeat_to(&addresses).await;
    }

    async fn heartbeat_to(&self, addresses: &BTreeSet<String>) {
        let Some(data) = self.registry.heartbeat(&self.id) else { return };
        let body = match json::to_vec(&data) {
            Ok(body) => bytes::Bytes::from(body),
            Err(error) => return tracing::warn!(%error, "the heartbeat could not be written"),
        };
        let send = |address: &String| {
            let request = Request::new(RequestCode::HEART_BEAT).body(body.clone());
            let address = address.clone();
            async move { (self.remoting.call(&address, request, CALL_TIMEOUT).await, address) }
        };
        for (answer, address) in join_all(addresses.iter().map(send)).await {
            match answer {
                Ok(response) if response.is_success() => drop(self.greeted.lock().insert(address)),
                Ok(Response { code, remark, .. }) => {
                    let remark = remark.unwrap_or_default();
                    tracing::warn!(broker = address, %code, remark, "a broker refused the heartbeat");
                }
                Err(error) => {
                    self.greeted.lock().remove(&address);
                    tracing::debug!(%error, "a broker did not take the heartbeat");
                }
            }
        }
    }

    /// Asks for the routes of all topics in use. What cannot be had stays as it is.
    async fn refresh_routes(&self) {
        let mut changed = false;
        for topic in self.routes.topics() {
            match self.name_servers.route(&self.remoting, &topic).await {
                Ok(Some(data)) => {
                    let before = self.routes.get(&topic);
                    let now = self.routes.put(&topic, Route::of(&topic, &data));
                    changed |= before.is_none_or(|before| !Arc::ptr_eq(&before, &now));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "routes cannot be refreshed; the known ones stay in use");
                    break;
                }
            }
        }
        if changed {
            self.registry.wake_all();
        }
    }
}

/// Keeps routes and heartbeats fresh until the client ends.
async fn maintain(shared: Weak<Shared>, attention: Arc<Attention>, mut closed: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + MAINTENANCE_INTERVAL, MAINTENANCE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refreshed = Instant::now();
    loop {
        let only_new = tokio::select! {
            _ = ticks.tick() => false,
            () = attention.greet.notified() => true,
            () = attention.refresh.notified() => {
                tokio::time::sleep_until(refreshed + REFRESH_PAUSE).await;
                false
            }
            // Also when the sender is gone.
            _ = closed.changed() => return,
        };
        let Some(shared) = shared.upgrade() else { return };
        if !only_new {
            shared.refresh_routes().await;
            refreshed = Instant::now();
        }
        shared.heartbeat(only_new).await;
    }
}

/// What comes from brokers without being asked for.
struct Notices {
    registry: Arc<Registry>,
    greeted: Arc<Mutex<BTreeSet<String>>>,
    attention: Arc<Attention>,
}

impl Inbound for Notices {
    fn handle(&self, _server: &Connection, request: &Command<'_>, out: &mut Output) {
        match RequestCode(request.code) {
            // One-way: no answer.
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                if let Ok(header) = request.header::<NotifyConsumerIdsChangedRequestHeader<'_>>() {
                    self.registry.wake(header.consumer_group);
                }
            }
            code => {
                let remark = format!(" request type {} not supported", code.0);
                out.respond(request, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, Some(&remark));
            }
        }
    }

    /// A broker forgets a client with its connection, so it is told again on the next one.
    fn closed(&self, address: &str, reason: &str) {
        tracing::debug!(address, reason, "a connection ended");
        if self.greeted.lock().remove(address) {
            self.attention.greet.notify_one();
        }
    }
}

/// The address by which others know this machine: the first that is neither loopback nor link-local, IPv4 before IPv6.
fn local_ip() -> IpAddr {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> =
        interfaces.iter().filter(|one| !one.is_loopback() && !one.is_link_local()).map(|one| one.ip()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// `pid#nanoseconds`, as Java names an instance at its start.
fn new_instance_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}#{}", std::process::id(), since.as_nanos())
}

/// A number that no other client of this process has: part of the message ids.
fn random_number() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() as u32
}
