//! [`Client`]: what producers and consumers of one process share. Connections, routes, heartbeats, the client's id.

mod builder;
mod heartbeat;
mod notices;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::UnregisterClientRequestHeader;
use raptormq_protocol::message::id::UniqueIdGenerator;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub use self::builder::ClientBuilder;
use self::heartbeat::Greeted;
use crate::admin::Admin;
use crate::consumer::ConsumerBuilder;
use crate::consumer::pull_consumer::PullConsumerBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::message::MessageView;
use crate::name_server::{CALL_TIMEOUT, NameServers};
use crate::names::{self, DEFAULT_TOPIC};
use crate::producer::ProducerBuilder;
use crate::reader::ReaderBuilder;
use crate::registry::Registry;
use crate::route::{self, Route, Routes};

/// How often routes are asked for and brokers are told that we live (Java: `pollNameServerInterval`,
/// `heartbeatBrokerInterval`).
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// How often an address server is asked for the name servers.
const NAME_SERVERS_INTERVAL: Duration = Duration::from_secs(120);

/// How soon routes are asked for again after a broker could not be reached.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

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
    greeted: Arc<Greeted>,
    attention: Arc<Attention>,
    /// Becomes true, or is dropped, when the client ends.
    closed: watch::Sender<bool>,
    runtime: Handle,
    namespace: Option<String>,
    vip_channel: bool,
    heartbeat_v2: bool,
}

/// What the background task is asked to do before its time.
#[derive(Default)]
struct Attention {
    /// A route may be out of date.
    refresh: Notify,
    /// There may be brokers that do not know us.
    greet: Notify,
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

    /// Makes a message one that is shown to users: its topic without the namespace.
    pub(crate) fn show(&self, message: &mut MessageView) {
        if self.shared.namespace.is_some() {
            self.strip_namespace(&mut message.ext_mut().topic);
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
        let greeted = self.shared.greeted.addresses();
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
    let (mut refreshed, mut asked) = (Instant::now(), Instant::now());
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
            if asked.elapsed() >= NAME_SERVERS_INTERVAL {
                shared.name_servers.refresh().await;
                asked = Instant::now();
            }
            shared.refresh_routes().await;
            refreshed = Instant::now();
        }
        shared.heartbeat(only_new).await;
    }
}

/// A number that no other client of this process has: part of the message ids.
fn random_number() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() as u32
}
