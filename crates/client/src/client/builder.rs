//! How a client is set up and connected.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use raptormq_auth::Credentials;
use raptormq_protocol::message::id::UniqueIdGenerator;
use raptormq_remoting::{ClientOptions, ClientTls, Request, Signer};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::heartbeat::Greeted;
use super::notices::Notices;
use super::{Attention, Client, Shared, random_number};
use crate::clock;
use crate::error::Result;
use crate::name_server::{self, NAMESRV_VARIABLE, NameServers};
use crate::registry::Registry;
use crate::route::Routes;

/// Fields that name the namespace of a request (Java: `rpc/RpcRequestHeader.java`, `NamespaceRpcHook.java`).
const NAMESPACED_FIELD: &str = "nsd";
const NAMESPACE_FIELD: &str = "ns";

/// Instance name of clients that are to be told apart by their address only: the folder of broadcast offsets carries it.
const DEFAULT_INSTANCE: &str = "DEFAULT";

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
    address_server: Option<String>,
    heartbeat_v2: bool,
}

impl ClientBuilder {
    /// The name servers: `host:port`, several with `;` or `,` between. Without it they are taken from the environment
    /// variable `NAMESRV_ADDR`.
    pub fn namesrv(mut self, addresses: impl Into<String>) -> ClientBuilder {
        self.name_servers = Some(addresses.into());
        self
    }

    /// Asks an address server for the name servers: an HTTP URL that answers with `host:port;host:port`, at the start and
    /// every two minutes, so that they can be moved. Counts before [`ClientBuilder::namesrv`] and the environment.
    #[doc(alias = "rocketmq.namesrv.domain")]
    pub fn address_server(mut self, url: impl Into<String>) -> ClientBuilder {
        self.address_server = Some(url.into());
        self
    }

    /// Leaves the subscriptions out of heartbeats that say nothing new, for brokers that know this form (RocketMQ 5.1 and
    /// later): less to send and read with many subscriptions.
    #[doc(alias = "setUseHeartbeatV2")]
    pub fn heartbeat_v2(mut self) -> ClientBuilder {
        self.heartbeat_v2 = true;
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
        let name_servers = match &self.address_server {
            Some(url) => NameServers::of_address_server(url).await?,
            None => NameServers::parse(&text)?,
        };
        if !self.lazy {
            name_servers.required()?;
        }
        let ip = local_ip();
        let instance = self.instance_name.clone().unwrap_or_else(new_instance_name);
        let registry = Arc::new(Registry::default());
        let greeted = Arc::<Greeted>::default();
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
            heartbeat_v2: self.heartbeat_v2,
        });
        if !self.lazy {
            shared.name_servers.ping(&shared.remoting).await?;
        }
        tokio::spawn(super::maintain(Arc::downgrade(&shared), shared.attention.clone(), shared.closed.subscribe()));
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
