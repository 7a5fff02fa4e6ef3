//! The broker at its name servers: registered with each of them, at the start, in a fixed period and when topics change.
//!
//! Each name server has a task of its own, so one that is slow or gone delays neither the others nor the broker.
//! Java: `out/BrokerOuterAPI.java`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raptormq_auth::Credentials;
use raptormq_config::BrokerSettings;
use raptormq_protocol::body::{
    DataVersion, KVTable, PERM_READ, PERM_WRITE, RegisterBrokerBody, TopicConfigAndMappingSerializeWrapper,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    QueryDataVersionRequestHeader, QueryDataVersionResponseHeader, RegisterBrokerRequestHeader,
    RegisterBrokerResponseHeader, UnRegisterBrokerRequestHeader,
};
use raptormq_protocol::json;
use raptormq_remoting::{Client, ClientOptions, ClientTls, Request, Response, Signer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::StartError;
use crate::broker::Broker;
use crate::ha;

/// How long a name server has to answer when the broker leaves. Java: `unregisterBrokerAll`.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// Shortest and longest period between two registrations. Java: `BrokerController.start`.
const PERIOD_MIN: Duration = Duration::from_secs(10);
const PERIOD_MAX: Duration = Duration::from_secs(60);
/// Longest rest between two registrations while topics change.
const REST_MAX: Duration = Duration::from_secs(1);
/// Longest that an answer waits until the name servers know of a topic; one that is gone must not hold up senders.
const TOLD_MAX: Duration = Duration::from_secs(1);
/// When a name server that did not take the broker is asked again.
const RETRY_PERIOD: Duration = Duration::from_secs(3);
/// How long without a registration a name server keeps a broker. Java: the default of `heartbeatTimeoutMillis`.
const HEARTBEAT_TIMEOUT_MS: i64 = 120_000;

/// The name servers, and what they are told.
pub(crate) struct Outer {
    /// In the order of `namesrvAddr`, which may change.
    name_servers: watch::Sender<Vec<String>>,
    /// Where clients and slaves reach this broker.
    broker_addr: String,
    ha_server_addr: String,
    /// Where the master of this slave is reached, if a name server has told.
    master_addr: Mutex<Option<String>>,
    /// Where the broker is reached whose log is followed: the master, or one that is about to be it.
    log_master_addr: Mutex<Option<String>>,
    /// The settings do not name the address of the master's log, so the name servers do.
    learns_ha_address: bool,
    period: Duration,
    /// Counts changes of topics; the tasks wait for it.
    changes: watch::Sender<u64>,
    /// For each name server how many changes there were when its last attempt began, plus one; 0 before the first ended.
    attempts: watch::Sender<Vec<u64>>,
    /// The register body of a version, encoded once for all name servers.
    body: Mutex<Option<(DataVersion, Bytes)>>,
}

impl Outer {
    pub(crate) fn new(settings: &BrokerSettings) -> Outer {
        let broker = &settings.broker;
        let join = |ip: &str, port: u16| match ip.contains(':') && !ip.starts_with('[') {
            true => format!("[{ip}]:{port}"),
            false => format!("{ip}:{port}"),
        };
        let name_servers = names_of(settings);
        Outer {
            broker_addr: join(&broker.broker_ip1, settings.server.listen_port),
            ha_server_addr: join(&broker.broker_ip2, settings.store.ha_listen_port),
            master_addr: Mutex::new(None),
            log_master_addr: Mutex::new(None),
            learns_ha_address: !ha::names_master(settings),
            period: Duration::from_millis(broker.register_name_server_period).clamp(PERIOD_MIN, PERIOD_MAX),
            changes: watch::Sender::new(0),
            attempts: watch::Sender::new(vec![0; name_servers.len()]),
            name_servers: watch::Sender::new(name_servers),
            body: Mutex::new(None),
        }
    }

    /// Where clients reach this broker, as it is registered.
    pub(crate) fn broker_addr(&self) -> &str {
        &self.broker_addr
    }

    /// Where the master of this slave is reached, if a name server has told.
    pub(crate) fn master_addr(&self) -> Option<String> {
        self.master_addr.lock().clone()
    }

    /// Where the broker is reached whose log is followed.
    pub(crate) fn log_master_addr(&self) -> Option<String> {
        self.log_master_addr.lock().clone()
    }

    /// Where slaves reach this broker's log, as it is registered.
    pub(crate) fn ha_server_addr(&self) -> &str {
        &self.ha_server_addr
    }

    /// Notes where this slave's master and its log are reached; what is empty stays as it was.
    pub(crate) fn set_master(&self, broker: &Broker, address: &str, ha_address: &str) {
        if !address.is_empty() {
            *self.master_addr.lock() = Some(address.to_owned());
        }
        self.set_log_master(broker, address, ha_address);
    }

    /// Notes whose log to follow. Topics and offsets are not copied from there before a name server says that it is the
    /// master: one that comes back asks its slaves for their offsets first.
    pub(crate) fn set_log_master(&self, broker: &Broker, address: &str, ha_address: &str) {
        if !address.is_empty() {
            *self.log_master_addr.lock() = Some(address.to_owned());
        }
        if !ha_address.is_empty() && self.learns_ha_address {
            broker.following.set_master(ha_address);
        }
    }

    /// The broker at that address is gone: if it is the master, there is none.
    pub(crate) fn forget_master(&self, broker: &Broker, address: &str) {
        self.log_master_addr.lock().take_if(|known| known == address);
        if self.master_addr.lock().take_if(|known| known == address).is_some() && self.learns_ha_address {
            broker.following.forget_master();
        }
    }

    /// The name servers as they are set now.
    pub(crate) fn names(&self) -> Vec<String> {
        self.name_servers.borrow().clone()
    }

    /// Follows changed settings: other name servers, another form of the register body.
    pub(crate) fn follow(&self, settings: &BrokerSettings) {
        *self.body.lock() = None;
        let names = names_of(settings);
        self.name_servers.send_if_modified(|known| {
            let is_other = *known != names;
            *known = names;
            is_other
        });
    }

    /// Lets every name server be told soon.
    pub(crate) fn topics_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits until every name server was tried once.
    pub(crate) async fn tried(&self) {
        let mut attempts = self.attempts.subscribe();
        // The sender lives as long as `self`.
        let _ = attempts.wait_for(|attempts| attempts.iter().all(|changes| *changes > 0)).await;
    }

    /// Waits until every name server was told of the topics as they are now, whether it listened or not. Java answers
    /// then, too, and clients look for the topic's route as soon as they are answered.
    pub(crate) fn told(&self) -> impl Future<Output = ()> + use<> {
        let wanted = *self.changes.borrow() + 1;
        let mut attempts = self.attempts.subscribe();
        async move {
            let told = attempts.wait_for(|attempts| attempts.iter().all(|changes| *changes >= wanted));
            // Time that is up and a broker that stops are both reasons to wait no longer.
            let _ = tokio::time::timeout(TOLD_MAX, told).await;
        }
    }
}

/// Keeps the broker registered for as long as this is polled.
pub(crate) async fn run(broker: Arc<Broker>, client: Client) {
    let mut names = broker.outer.name_servers.subscribe();
    loop {
        let known = names.borrow_and_update().clone();
        broker.outer.attempts.send_replace(vec![0; known.len()]);
        // A panic in one of them is logged by the panic hook and ends that one alone.
        let mut tasks = tokio::task::JoinSet::new();
        for (index, name) in known.into_iter().enumerate() {
            tasks.spawn(keep_registered(Arc::clone(&broker), client.clone(), index, name));
        }
        // Other name servers, or never: the broker owns the sender. The tasks end with their set.
        if names.changed().await.is_err() {
            return;
        }
    }
}

/// The name servers that are set.
fn names_of(settings: &BrokerSettings) -> Vec<String> {
    let names = settings.broker.namesrv_addr.split(';').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// How long a name server has to answer.
fn timeout(broker: &Broker) -> Duration {
    Duration::from_millis(broker.settings().broker.register_broker_timeout_mills)
}

/// Signs what the broker asks of others.
struct Signing(Credentials);

impl Signer for Signing {
    fn sign(&self, request: &Request) -> Vec<(&'static str, String)> {
        self.0.sign(request.fields.iter(), &request.body).into()
    }
}

/// An account, as `innerClientAuthenticationCredentials` names it. Java: `acl/common/SessionCredentials.java`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct InnerCredentials {
    access_key: String,
    secret_key: String,
}

/// Who this broker is at brokers and name servers with access control; nobody unless it is set.
fn signer(settings: &BrokerSettings) -> Result<Option<Arc<dyn Signer>>, StartError> {
    let text = settings.auth.inner_client_authentication_credentials.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let account: InnerCredentials =
        json::from_slice(text.as_bytes()).map_err(|error| StartError::InnerCredentials(error.to_string()))?;
    if account.access_key.is_empty() || account.secret_key.is_empty() {
        return Err(StartError::InnerCredentials("a key is empty".to_owned()));
    }
    Ok(Some(Arc::new(Signing(Credentials::new(account.access_key, &account.secret_key)))))
}

/// A client for name servers and other brokers.
pub(crate) fn client(settings: &BrokerSettings) -> Result<Client, StartError> {
    let net = &settings.client;
    let options = ClientOptions {
        connect_timeout: Duration::from_millis(net.connect_timeout_millis),
        idle_timeout: Duration::from_secs(net.client_channel_max_idle_time_seconds.into()),
        language: raptormq_protocol::command::Language::JAVA,
        tls: ClientTls::of(net, &settings.tls).map_err(raptormq_remoting::StartError::Tls)?,
        signer: signer(settings)?,
        ..ClientOptions::default()
    };
    Ok(Client::new(options, Arc::new(())))
}

async fn keep_registered(broker: Arc<Broker>, client: Client, index: usize, name_server: String) {
    let outer = &broker.outer;
    broker.members.online().await;
    let mut changes = outer.changes.subscribe();
    let mut is_force = true;
    let mut is_failing = false;
    loop {
        // What changes from now on is a reason to come again.
        let changes_seen = *changes.borrow_and_update();
        let begin = Instant::now();
        let outcome = register(&broker, &client, &name_server, is_force).await;
        match &outcome {
            Ok(()) if is_failing => tracing::info!(name_server, "registered again"),
            // Said once, not every half minute.
            Err(reason) if !is_failing => tracing::warn!(name_server, reason, "cannot register; trying on"),
            _ => {}
        }
        is_failing = outcome.is_err();
        outer.attempts.send_modify(|attempts| {
            // The list may have been made anew.
            if let Some(attempt) = attempts.get_mut(index) {
                *attempt = changes_seen + 1;
            }
        });
        is_force = broker.settings().broker.force_register;
        // While thousands of topics are being made, a large table must not be on its way all the time.
        tokio::time::sleep(begin.elapsed().min(REST_MAX)).await;
        let pause = if is_failing { RETRY_PERIOD } else { outer.period };
        match tokio::time::timeout(pause, changes.changed()).await {
            Ok(Ok(())) => is_force = true,
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}

/// Registers, unless the name server already has this version of the topics (which it is asked only without force).
async fn register(broker: &Broker, client: &Client, name_server: &str, is_force: bool) -> Result<(), String> {
    let outer = &broker.outer;
    let identity = &broker.settings().broker;
    let version = broker.topics.version();
    if !is_force && !needs_register(broker, client, name_server, version).await {
        return Ok(());
    }
    let body = encoded_body(broker)?;
    let header = RegisterBrokerRequestHeader {
        broker_name: &identity.broker_name,
        broker_addr: &outer.broker_addr,
        cluster_name: &identity.broker_cluster_name,
        ha_server_addr: &outer.ha_server_addr,
        broker_id: identity.broker_id,
        heartbeat_timeout_millis: Some(match identity.enable_slave_acting_master {
            true => i64::try_from(identity.broker_not_active_timeout_millis).unwrap_or(i64::MAX),
            false => HEARTBEAT_TIMEOUT_MS,
        }),
        enable_acting_master: Some(identity.enable_slave_acting_master),
        compressed: identity.compressed_register,
        body_crc32: raptormq_protocol::message::record::body_crc(&body),
    };
    let request = Request::new(RequestCode::REGISTER_BROKER).header(&header).body(body);
    let response = client.call(name_server, request, timeout(broker)).await.map_err(|error| error.to_string())?;
    if !response.is_success() {
        return Err(format!("{}: {}", response.code, response.remark.unwrap_or_default()));
    }
    if broker.is_slave() {
        take_master(broker, &response);
    }
    if !response.body.is_empty()
        && let Ok(orders) = json::from_slice::<KVTable>(&response.body)
    {
        broker.take_order_topics(orders.table.keys());
    }
    Ok(())
}

/// Takes over where a name server says that the master is. One that does not know it says nothing.
fn take_master(broker: &Broker, response: &Response) {
    if let Ok(header) = response.header::<RegisterBrokerResponseHeader<'_>>() {
        let (address, ha_address) = (header.master_addr, header.ha_server_addr);
        broker.outer.set_master(broker, address.unwrap_or_default(), ha_address.unwrap_or_default());
    }
}

/// Whether the name server has another version of the topics. When it does not say, it is told.
async fn needs_register(broker: &Broker, client: &Client, name_server: &str, version: DataVersion) -> bool {
    let identity = &broker.settings().broker;
    let header = QueryDataVersionRequestHeader {
        broker_name: &identity.broker_name,
        broker_addr: &broker.outer.broker_addr,
        cluster_name: &identity.broker_cluster_name,
        broker_id: identity.broker_id,
    };
    let Ok(body) = json::to_vec(&version) else { return true };
    let request = Request::new(RequestCode::QUERY_DATA_VERSION).header(&header).body(body);
    match client.call(name_server, request, timeout(broker)).await {
        Ok(response) if response.is_success() => {
            let changed = response.header::<QueryDataVersionResponseHeader>().is_ok_and(|header| header.changed);
            let theirs = json::from_slice::<DataVersion>(&response.body).ok();
            changed || theirs.is_some_and(|theirs| theirs != version)
        }
        _ => true,
    }
}

/// The register body of the topics as they are.
fn encoded_body(broker: &Broker) -> Result<Bytes, String> {
    let table = broker.topics.snapshot();
    let mut known = broker.outer.body.lock();
    if let Some((version, body)) = &*known
        && *version == table.data_version
    {
        return Ok(body.clone());
    }
    let permission = i32::try_from(broker.settings().broker.broker_permission).unwrap_or(PERM_READ | PERM_WRITE);
    let mut topic_config_table = table.topic_config_table;
    if permission != PERM_READ | PERM_WRITE {
        topic_config_table.values_mut().for_each(|topic| topic.perm &= permission);
    }
    let body = RegisterBrokerBody {
        filter_server_list: Vec::new(),
        topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper {
            data_version: table.data_version,
            topic_config_table,
            ..Default::default()
        },
    };
    let encoded = match broker.settings().broker.compressed_register {
        true => body.encode_compressed(),
        false => body.encode(),
    };
    let encoded = Bytes::from(encoded.map_err(|error| error.to_string())?);
    *known = Some((table.data_version, encoded.clone()));
    Ok(encoded)
}

/// Tells every name server that the broker leaves; each has three seconds.
pub(crate) async fn unregister(broker: &Broker, client: &Client) {
    let identity = &broker.settings().broker;
    let header = UnRegisterBrokerRequestHeader {
        broker_name: &identity.broker_name,
        broker_addr: &broker.outer.broker_addr,
        cluster_name: &identity.broker_cluster_name,
        broker_id: identity.broker_id,
    };
    let request = Request::new(RequestCode::UNREGISTER_BROKER).header(&header);
    let names = broker.outer.names();
    let calls: Vec<_> = names
        .into_iter()
        .map(|name| {
            let (client, request) = (client.clone(), request.clone());
            tokio::spawn(async move { (client.call(&name, request, UNREGISTER_TIMEOUT).await, name) })
        })
        .collect();
    for call in calls {
        if let Ok((Err(error), name_server)) = call.await {
            tracing::warn!(name_server, %error, "cannot unregister");
        }
    }
}
