//! The name servers: which there are, and asking one of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::GetRouteInfoRequestHeader;
use raptormq_protocol::json;
use raptormq_protocol::route::{ClusterInfo, TopicRouteData};
use raptormq_remoting::{Request, Response};

use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

/// How long an answer of a name server or broker may take (Java: `ClientConfig.mqClientApiTimeout`).
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Port of a name server that is given without one.
const DEFAULT_PORT: u16 = 9876;

/// Environment variable with the name servers, for clients that name none.
pub(crate) const NAMESRV_VARIABLE: &str = "NAMESRV_ADDR";

/// Longest list that is taken from an address server, in bytes.
const LIST_BYTES_MAX: usize = 64 << 10;

/// Schemes of an address in URL form.
const SCHEMES: [&str; 2] = ["rocketmq://", "http://"];

/// The name servers of a cluster. All of them know the same, so any one that answers will do.
pub(crate) struct NameServers {
    addresses: ArcSwap<Vec<String>>,
    /// Index of the one that answered last.
    current: AtomicUsize,
    /// Where the addresses are asked for, when they were not given.
    source: Option<String>,
}

impl NameServers {
    /// Takes `host:port` lists with `;` or `,` between, also as `rocketmq://host:port,host:port`. A host without a port
    /// has 9876. An empty text is no name server.
    pub(crate) fn parse(text: &str) -> Result<NameServers> {
        let addresses = ArcSwap::from_pointee(parse_list(text)?);
        Ok(NameServers { addresses, current: AtomicUsize::new(0), source: None })
    }

    /// Those that an address server names: an HTTP URL that answers with a list.
    pub(crate) async fn of_address_server(url: &str) -> Result<NameServers> {
        let addresses = ArcSwap::from_pointee(fetch_list(url).await?);
        Ok(NameServers { addresses, current: AtomicUsize::new(0), source: Some(url.to_owned()) })
    }

    /// Asks the address server again, where there is one. The known addresses stay when it does not answer.
    pub(crate) async fn refresh(&self) {
        let Some(url) = &self.source else { return };
        match fetch_list(url).await {
            Ok(list) if list != **self.addresses.load() => {
                tracing::info!(url, list = list.join(";"), "other name servers");
                self.addresses.store(Arc::new(list));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the name servers stay as they are"),
        }
    }

    /// The addresses, `host:port`.
    pub(crate) fn addresses(&self) -> Arc<Vec<String>> {
        self.addresses.load_full()
    }

    /// The addresses; that there is none is an error.
    pub(crate) fn required(&self) -> Result<Arc<Vec<String>>> {
        let addresses = self.addresses();
        if addresses.is_empty() {
            let text = format!(
                "No name server address, please set it. Give host:port, or set {NAMESRV_VARIABLE} in the environment"
            );
            return Err(Error::invalid(text));
        }
        Ok(addresses)
    }

    /// The addresses as one text, for messages.
    pub(crate) fn text(&self) -> String {
        self.addresses.load().join(";")
    }

    /// Asks the name server that answered last, and the others when it does not.
    pub(crate) async fn call(&self, remoting: &raptormq_remoting::Client, request: Request) -> Result<Response> {
        let addresses = self.required()?;
        let first = self.current.load(Ordering::Relaxed);
        let mut last_error = None;
        for step in 0..addresses.len() {
            let index = first.wrapping_add(step) % addresses.len();
            match remoting.call(&addresses[index], request.clone(), CALL_TIMEOUT).await {
                Ok(response) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => last_error = Some(Error::from(error)),
            }
        }
        let Some(error) = last_error else { return Err(Error::invalid("No name server address, please set it.")) };
        let advice = match error.kind() {
            ErrorKind::Unreachable if error.is_refused_connection() => {
                "start a name server there, or name the one that the brokers register with"
            }
            _ => {
                "something answers there that is no name server, or none that takes part: check the host, the port (9876 \
                  unless set) and whether both sides use TLS"
            }
        };
        Err(error.during(format_args!("no name server of {} answers", self.text())).with_advice(advice))
    }

    /// The route of a topic, or `None` when the name server has none.
    pub(crate) async fn route(
        &self,
        remoting: &raptormq_remoting::Client,
        topic: &str,
    ) -> Result<Option<TopicRouteData>> {
        let header = GetRouteInfoRequestHeader { topic, accept_standard_json_only: None };
        let request = Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).header(&header);
        let response = self.call(remoting, request).await?;
        if response.code == ResponseCode::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        read_body(&response, "the name server", "a route").map(Some)
    }

    /// All brokers that are registered.
    pub(crate) async fn cluster(&self, remoting: &raptormq_remoting::Client) -> Result<ClusterInfo> {
        let response = self.call(remoting, Request::new(RequestCode::GET_BROKER_CLUSTER_INFO)).await?;
        read_body(&response, "the name server", "the cluster's brokers")
    }

    /// Checks that one of them answers at all. What it answers does not matter.
    pub(crate) async fn ping(&self, remoting: &raptormq_remoting::Client) -> Result<()> {
        self.call(remoting, Request::new(RequestCode::GET_BROKER_CLUSTER_INFO)).await.map(drop)
    }
}

/// The body of a successful answer.
pub(crate) fn read_body<T: serde::de::DeserializeOwned>(response: &Response, who: &str, what: &str) -> Result<T> {
    if !response.is_success() {
        return Err(Error::refused(response.code.0, response.remark.as_deref(), who));
    }
    let unreadable = |error| Error::protocol(format!("{who} sent what is not {what}")).with_source(error);
    json::from_slice(&response.body).map_err(unreadable)
}

fn parse_list(text: &str) -> Result<Vec<String>> {
    let list = text.trim();
    let list = SCHEMES.iter().find_map(|scheme| list.strip_prefix(scheme)).unwrap_or(list).trim_end_matches('/');
    if list.contains(['@', '?', '/']) {
        let text = format!("name server address {text:?}: only hosts and ports can be given here");
        return Err(Error::invalid(text));
    }
    list.split([';', ',']).map(str::trim).filter(|one| !one.is_empty()).map(with_port).collect()
}

/// Asks an address server. Java: `common/namesrv/DefaultTopAddressing.java`.
async fn fetch_list(url: &str) -> Result<Vec<String>> {
    let owned = url.to_owned();
    let seconds = CALL_TIMEOUT.as_secs();
    let ask = move || minreq::get(owned).with_timeout(seconds).with_max_redirects(3).send();
    let unusable = |what: String| {
        let text = format!(
            "the address server {url} {what}; it should answer with host:port;host:port. Name the name servers themselves, or \
             correct its URL"
        );
        Error::new(ErrorKind::Unreachable, text)
    };
    let (sender, answer) = oneshot::channel();
    let work = move || drop(sender.send(ask()));
    let thread = std::thread::Builder::new().name("address-server".into()).spawn(work);
    thread.map_err(|error| unusable(format!("cannot be asked: {error}")))?;
    let answer = answer.await.map_err(|error| unusable(error.to_string()))?;
    let answer = answer.map_err(|error| unusable(format!("does not answer: {error}")))?;
    let text = answer.as_str().unwrap_or_default().trim();
    if answer.status_code != 200 || text.is_empty() || text.len() > LIST_BYTES_MAX {
        return Err(unusable(format!("answered with status {} and {} bytes", answer.status_code, text.len())));
    }
    parse_list(text).map_err(|error| unusable(format!("answered with what is no list: {error}")))
}

/// What the name of a name server begins with that stands for a namespace.
const INSTANCE_PREFIX: &str = "MQ_INST_";

/// The namespace that the address of a name server stands for: `MQ_INST_a_b.domain`, also behind `http://`.
///
/// Java: `common/utils/NameServerAddressUtils.java`.
pub(crate) fn namespace_of(text: &str) -> Option<String> {
    let host = text.trim().rsplit('/').next()?;
    let (instance, _) = host.split_once('.')?;
    let rest = instance.strip_prefix(INSTANCE_PREFIX)?;
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (first, second) = rest.split_once('_')?;
    (is_word(first) && is_word(second)).then(|| instance.to_owned())
}

fn with_port(address: &str) -> Result<String> {
    // A bare IPv6 address has colons that are no port's.
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT).to_string());
    }
    match address.rsplit_once(':') {
        None => Ok(format!("{address}:{DEFAULT_PORT}")),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(address.to_owned()),
        Some(_) => Err(Error::invalid(format!("{address:?} is no host:port"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_every_usual_form() {
        for (text, addresses) in [
            ("127.0.0.1:9876", vec!["127.0.0.1:9876"]),
            (" a:1 ; b:2;", vec!["a:1", "b:2"]),
            ("rocketmq://a,b:2/", vec!["a:9876", "b:2"]),
            ("::1", vec!["[::1]:9876"]),
            ("[::1]", vec!["[::1]:9876"]),
            ("[::1]:5", vec!["[::1]:5"]),
        ] {
            assert_eq!(*NameServers::parse(text).unwrap().addresses(), addresses, "{text}");
        }
    }

    #[test]
    fn a_namespace_may_stand_in_the_address() {
        for text in ["http://MQ_INST_12_ab.mq.example.com:80", "MQ_INST_12_ab.example.com:80"] {
            assert_eq!(namespace_of(text).as_deref(), Some("MQ_INST_12_ab"), "{text}");
        }
        for text in ["MQ_INST_12.example.com", "a.b:1", "127.0.0.1:9876", ""] {
            assert_eq!(namespace_of(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["a:b", "a:99999", ":1", "rocketmq://user:secret@a:1", "a:1/?tls=true"] {
            assert!(NameServers::parse(text).is_err(), "{text}");
        }
        for text in ["", " ; "] {
            assert!(NameServers::parse(text).unwrap().required().is_err(), "{text}");
        }
    }
}
