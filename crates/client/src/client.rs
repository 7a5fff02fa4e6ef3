//! [`Client`]: what producers and consumers of one process share. Connections, routes, heartbeats, the client's id.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_auth::Credentials;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{
    CheckTransactionStateRequestHeader, NotifyConsumerIdsChangedRequestHeader, ReplyMessageRequestHeader,
    UnregisterClientRequestHeader,
};
use raptormq_protocol::json;
use raptormq_protocol::message::compress::{self, CompressError, Compression};
use raptormq_protocol::message::id::UniqueIdGenerator;
use raptormq_protocol::message::properties::{Properties, name};
use raptormq_protocol::message::{MessageExt, sys_flag};
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::{ClientOptions, ClientTls, Connection, Inbound, Output, Request, Response, Signer};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::admin::Admin;
use crate::clock;
use crate::consumer::pull_consumer::PullConsumerBuilder;
use crate::consumer::{ConsumerBuilder, commands};
use crate::error::{Error, ErrorKind, Result};
use crate::name_server::{self, CALL_TIMEOUT, NameServers};
use crate::names::{self, DEFAULT_TOPIC};
use crate::producer::{ProducerBuilder, Question};
use crate::reader::ReaderBuilder;
use crate::registry::Registry;
use crate::route::{self, Route, Routes};

/// How often routes are asked for and brokers are told that we live (Java: `pollNameServerInterval`,
/// `heartbeatBrokerInterval`).
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// How soon routes are asked for again after a broker could not be reached.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// Fields that name the namespace of a request (Java: `rpc/RpcRequestHeader.java`, `NamespaceRpcHook.java`).
const NAMESPACED_FIELD: &str = "nsd";
const NAMESPACE_FIELD: &str = "ns";

/// Environment variable with the name servers, for clients that name none.
const NAMESRV_VARIABLE: &str = "NAMESRV_ADDR";

/// Largest body of a message that a broker sends of its own accord, decompressed.
const PUSHED_BODY_BYTES_MAX: usize = 64 << 20;

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
    namespace: Option<String>,
    vip_channel: bool,
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
    unit_name: Option<String>,
    lazy: bool,
    tls: Option<ClientTls>,
    credentials: Option<Credentials>,
    namespace: Option<String>,
    namespace_v2: Option<String>,
    vip_channel: bool,
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

    /// The unit of a deployment over several sites that this client belongs to; part of its id.
    #[doc(alias = "setUnitName")]
    pub fn unit_name(mut self, name: impl Into<String>) -> ClientBuilder {
        self.unit_name = Some(name.into());
        self
    }

    /// Puts all topics and groups of this client into a namespace: brokers know them as `namespace%name`, the program by
    /// their bare names. Without it a name server that is called `MQ_INST_….domain` names the namespace.
    #[doc(alias = "setNamespace")]
    pub fn namespace(mut self, namespace: impl Into<String>) -> ClientBuilder {
        self.namespace = Some(namespace.into());
        self
    }

    /// Names the namespace in a field of each request instead of in the names; for servers and proxies that know it
    /// (RocketMQ 5.2 and later).
    #[doc(alias = "setNamespaceV2")]
    pub fn namespace_v2(mut self, namespace: impl Into<String>) -> ClientBuilder {
        self.namespace_v2 = Some(namespace.into());
        self
    }

    /// Sends messages to the brokers' second port (`listenPort` − 2), where they do not wait behind pulls.
    #[doc(alias = "setVipChannelEnabled")]
    pub fn vip_channel(mut self) -> ClientBuilder {
        self.vip_channel = true;
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
        let signs = self.credentials.is_some() || self.namespace_v2.is_some();
        let signing = Signing { credentials: self.credentials, namespace: self.namespace_v2 };
        let signer = signs.then(|| Arc::new(signing) as Arc<dyn Signer>);
        let unit = self.unit_name.map(|unit| format!("@{unit}")).unwrap_or_default();
        let namespace = self.namespace.or_else(|| name_server::namespace_of(&text)).filter(|name| !name.is_empty());
        let options = ClientOptions { tls: self.tls, signer, ..ClientOptions::default() };
        let shared = Arc::new(Shared {
            id: format!("{ip}@{instance}{unit}"),
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
            namespace,
            vip_channel: self.vip_channel,
        });
        if !self.lazy {
            shared.name_servers.ping(&shared.remoting).await?;
        }
        tokio::spawn(maintain(Arc::downgrade(&shared), shared.attention.clone(), shared.closed.subscribe()));
        Ok(Client { shared })
    }
}

/// What is added to each request: the namespace, and the signature of an account over everything.
struct Signing {
    credentials: Option<Credentials>,
    namespace: Option<String>,
}

impl Signer for Signing {
    fn sign(&self, request: &Request) -> Vec<(&'static str, String)> {
        let mut added = Vec::new();
        if let Some(namespace) = &self.namespace {
            added.extend([(NAMESPACED_FIELD, "true".to_owned()), (NAMESPACE_FIELD, namespace.clone())]);
        }
        if let Some(credentials) = &self.credentials {
            let before = added.clone();
            let fields = request.fields.iter().chain(before.iter().map(|(key, value)| (*key, value.as_str())));
            added.extend(credentials.sign(fields, &request.body));
        }
        added
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

    /// A consumer in a group that is polled for messages.
    #[doc(alias = "DefaultLitePullConsumer")]
    pub fn pull_consumer(&self, group: impl Into<String>) -> PullConsumerBuilder {
        PullConsumerBuilder::new(self.clone(), group.into())
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

    /// A name as brokers know it: with the namespace of this client.
    pub(crate) fn with_namespace<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.shared.namespace {
            Some(namespace) => names::with_namespace(namespace, name),
            None => Cow::Borrowed(name),
        }
    }

    /// Takes the namespace of this client from a name that is shown to users.
    pub(crate) fn strip_namespace(&self, name: &mut String) {
        if let Some(namespace) = &self.shared.namespace {
            *name = names::without_namespace(namespace, name).into_owned();
        }
    }

    /// A queue as users know it.
    pub(crate) fn queue_without_namespace(&self, queue: &MessageQueue) -> MessageQueue {
        let mut queue = queue.clone();
        self.strip_namespace(&mut queue.topic);
        queue
    }

    /// Where messages for the broker at `address` are sent: its port for what must not wait, where that is asked for.
    pub(crate) fn send_address(&self, address: &str) -> String {
        if self.shared.vip_channel { route::vip_address(address) } else { address.to_owned() }
    }

    /// A topic that a broker has, and the address of its master.
    pub(crate) fn master_of(&self, broker_name: &str) -> Option<(String, String)> {
        self.shared.routes.master_of(broker_name)
    }

    /// A number that nobody can guess easily.
    pub(crate) fn random_number(&self) -> u128 {
        u128::from(random_number()) << 96
            | u128::from(random_number()) << 64
            | u128::from(random_number()) << 32
            | u128::from(random_number())
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
            Some(data) => self.shared.route_of(topic, &data),
            None => match servers.route(remoting, DEFAULT_TOPIC).await? {
                Some(default) => self.shared.with_send_addresses(Route::of_default(topic, &default, queue_count_max)),
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
        let route = self.shared.routes.put(topic, self.shared.route_of(topic, &data));
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

    /// Tells the brokers that do not know us who lives here.
    pub(crate) async fn greet_new(&self) {
        self.shared.heartbeat(true).await;
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
    /// The route that an answer describes.
    fn route_of(&self, topic: &str, data: &TopicRouteData) -> Route {
        self.with_send_addresses(Route::of(topic, data))
    }

    fn with_send_addresses(&self, route: Route) -> Route {
        if self.vip_channel { route.with_vip_addresses() } else { route }
    }

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
                    let now = self.routes.put(&topic, self.route_of(&topic, &data));
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
    fn handle(&self, server: &Connection, request: &Command<'_>, out: &mut Output) {
        match RequestCode(request.code) {
            // One-way: no answer.
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                if let Ok(header) = request.header::<NotifyConsumerIdsChangedRequestHeader<'_>>() {
                    self.registry.wake(header.consumer_group);
                }
            }
            RequestCode::CHECK_TRANSACTION_STATE => self.check_transaction(server, request),
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => {
                let code = match self.take_reply(request) {
                    Ok(()) => ResponseCode::SUCCESS,
                    Err(error) => {
                        tracing::warn!(%error, "a reply cannot be read");
                        ResponseCode::SYSTEM_ERROR
                    }
                };
                out.respond(request, code, None);
            }
            _ if commands::receive(&self.registry, server, request, out) => {}
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

impl Notices {
    /// A broker asks what became of a transaction. One-way: the answer is a request of ours.
    fn check_transaction(&self, server: &Connection, request: &Command<'_>) {
        let header = request.header::<CheckTransactionStateRequestHeader<'_>>();
        let message = MessageExt::decode(request.body, PUSHED_BODY_BYTES_MAX);
        let (Ok(header), Ok((message, _))) = (header, message) else {
            return tracing::warn!(broker = %server.peer_addr(), "a question for a transaction cannot be read");
        };
        let Some((group, question)) = Question::of(server, &header, message) else { return };
        match self.registry.checks(&group) {
            Some(checks) => checks.ask(question),
            None => tracing::debug!(group, "nobody here answers for the transactions of the group"),
        }
    }

    /// A broker hands on the reply to a request of ours.
    fn take_reply(&self, request: &Command<'_>) -> Result<()> {
        let unreadable = |error: &dyn std::fmt::Display| Error::protocol(format!("a pushed reply: {error}"));
        let header: ReplyMessageRequestHeader<'_> = request.header().map_err(|error| unreadable(&error))?;
        let mut reply = pushed_message(&header, request.body).map_err(|error| unreadable(&error))?;
        reply.set_property(name::ARRIVE_TIME, clock::now_ms().to_string());
        if !self.registry.requests().answer(reply) {
            tracing::debug!(topic = header.topic, "a reply that nobody waits for any more");
        }
        Ok(())
    }
}

/// The message that a broker pushes.
fn pushed_message(
    header: &ReplyMessageRequestHeader<'_>,
    body: &[u8],
) -> std::result::Result<MessageExt, CompressError> {
    let address = |text: &str| {
        let text = text.trim_start_matches('/');
        text.parse().unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    };
    let body = match Compression::of(header.sys_flag)? {
        Some(compression) => compress::decompress(compression, body, PUSHED_BODY_BYTES_MAX)?.into(),
        None => bytes::Bytes::copy_from_slice(body),
    };
    let properties = Properties(header.properties.unwrap_or_default());
    let properties: Vec<(String, String)> =
        properties.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let unique_key = properties.iter().find(|(known, _)| known == name::UNIQ_KEY);
    Ok(MessageExt {
        broker_name: String::new(),
        queue_id: header.queue_id,
        store_size: 0,
        queue_offset: 0,
        sys_flag: header.sys_flag & !sys_flag::COMPRESSED,
        born_timestamp_ms: header.born_timestamp,
        born_host: address(header.born_host),
        store_timestamp_ms: header.store_timestamp,
        store_host: address(header.store_host),
        msg_id: unique_key.map(|(_, key)| key.clone()).unwrap_or_default(),
        commit_log_offset: 0,
        body_crc: 0,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        topic: header.topic.to_owned(),
        flag: header.flag,
        properties,
        body,
        transaction_id: None,
    })
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
