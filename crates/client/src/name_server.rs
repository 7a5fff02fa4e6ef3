//! The name servers: which there are, and asking one of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::GetRouteInfoRequestHeader;
use raptormq_protocol::json;
use raptormq_protocol::route::{ClusterInfo, TopicRouteData};
use raptormq_remoting::{Request, Response};

use crate::error::{Error, Result};

/// How long an answer of a name server or broker may take (Java: `ClientConfig.mqClientApiTimeout`).
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Port of a name server that is given without one.
const DEFAULT_PORT: u16 = 9876;

/// Schemes of an address in URL form.
const SCHEMES: [&str; 2] = ["rocketmq://", "http://"];

/// The name servers of a cluster. All of them know the same, so any one that answers will do.
pub(crate) struct NameServers {
    addresses: Vec<String>,
    /// Index of the one that answered last.
    current: AtomicUsize,
}

impl NameServers {
    /// Takes `host:port` lists with `;` or `,` between, also as `rocketmq://host:port,host:port`. A host without a port
    /// has 9876. An empty text is no name server.
    pub(crate) fn parse(text: &str) -> Result<NameServers> {
        let list = text.trim();
        let list = SCHEMES.iter().find_map(|scheme| list.strip_prefix(scheme)).unwrap_or(list).trim_end_matches('/');
        if list.contains(['@', '?', '/']) {
            let text = format!("name server address {text:?}: only hosts and ports can be given here");
            return Err(Error::invalid(text));
        }
        let addresses: Vec<String> = list
            .split([';', ','])
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(with_port)
            .collect::<Result<_>>()?;
        Ok(NameServers { addresses, current: AtomicUsize::new(0) })
    }

    /// The addresses, `host:port`.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The addresses; that there is none is an error.
    pub(crate) fn required(&self) -> Result<&[String]> {
        match self.addresses.as_slice() {
            [] => Err(Error::invalid("No name server address, please set it.")),
            addresses => Ok(addresses),
        }
    }

    /// The addresses as one text, for messages.
    pub(crate) fn text(&self) -> String {
        self.addresses.join(";")
    }

    /// Asks the name server that answered last, and the others when it does not.
    pub(crate) async fn call(&self, remoting: &raptormq_remoting::Client, request: Request) -> Result<Response> {
        self.required()?;
        let first = self.current.load(Ordering::Relaxed);
        let mut last_error = None;
        for step in 0..self.addresses.len() {
            let index = (first + step) % self.addresses.len();
            match remoting.call(&self.addresses[index], request.clone(), CALL_TIMEOUT).await {
                Ok(response) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => last_error = Some(Error::from(error)),
            }
        }
        let error = last_error.unwrap_or_else(|| Error::invalid("No name server address, please set it."));
        Err(error.during(format_args!("no name server of {} answers", self.text())))
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
            assert_eq!(NameServers::parse(text).unwrap().addresses, addresses, "{text}");
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
