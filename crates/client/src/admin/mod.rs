//! [`Admin`]: what administrators ask name servers and brokers, each request as a function.
//!
//! Java: `tools/admin/MQAdminExt.java`. Where to go next: `name_server` for what name servers keep, `broker` for a
//! broker's settings and figures, `topic`, `group` and `message` for those.

mod broker;
mod group;
mod message;
mod name_server;
mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::header::Header;
use raptormq_remoting::{Request, Response};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::name_server::read_body;

pub use self::message::{PullFrom, PullStatus, Pulled, QueueRange};

/// How long a request may take unless [`Admin::with_timeout`] says otherwise (Java: `DefaultMQAdminExt`, 5 s).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Administration of a cluster: topics, groups, brokers, name servers, messages. Made by [`Client::admin`]; cheap to
/// clone. It sends no heartbeats, so brokers do not take it for a producer or consumer.
///
/// Functions that take an `address` ask that broker or name server, `host:port`; the others ask any name server.
#[doc(alias = "DefaultMQAdminExt")]
#[derive(Clone)]
pub struct Admin {
    client: Client,
    timeout: Duration,
    /// Addresses that were not reached or did not answer in time, with the error, where they are not to be asked again.
    /// Bounded by the brokers of a cluster.
    silent: Option<Arc<Mutex<BTreeMap<String, Error>>>>,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client, timeout: TIMEOUT, silent: None }
    }

    /// The same, but who was not reached or did not answer in time is not asked again, and gives the same error: what goes over
    /// all topics of a cluster does not wait for each of them anew. [`Admin::ask_again`] forgets who that was. Messages are
    /// pulled and sent all the same.
    pub fn giving_up(&self) -> Admin {
        Admin { silent: Some(Arc::default()), ..self.clone() }
    }

    /// Asks everybody again.
    pub fn ask_again(&self) {
        if let Some(silent) = &self.silent {
            silent.lock().clear();
        }
    }

    /// The same with another limit for the time that a request may take.
    pub fn with_timeout(&self, timeout: Duration) -> Admin {
        Admin { timeout, ..self.clone() }
    }

    /// The client that this asks through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The addresses of the name servers, `host:port`.
    pub fn name_servers(&self) -> Vec<String> {
        self.client.name_servers().addresses().to_vec()
    }

    /// Calls a server; an answer other than success is an error.
    async fn call(&self, address: &str, request: Request) -> Result<Response> {
        let Some(silent) = &self.silent else { return self.client.call_within(address, request, self.timeout).await };
        if let Some(error) = silent.lock().get(address) {
            return Err(error.clone());
        }
        let answer = self.client.call_within(address, request, self.timeout).await;
        let is_silent = |error: &&Error| matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unreachable);
        if let Some(error) = answer.as_ref().err().filter(is_silent) {
            silent.lock().insert(address.to_owned(), error.clone());
        }
        answer
    }

    /// Calls a server for a body.
    async fn ask<T: DeserializeOwned>(&self, address: &str, request: Request, what: &str) -> Result<T> {
        read_body(&self.call(address, request).await?, address, what)
    }
}

fn read_header<'a, H: Header<'a>>(response: &'a Response, address: &str) -> Result<H> {
    let unreadable = |error| Error::protocol(format!("the answer of {address} cannot be read")).with_source(error);
    response.header().map_err(unreadable)
}

/// Reads `key=value` lines, as servers send their settings.
fn read_settings(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(key, value)| (key.trim().to_owned(), unescaped(value.trim()))).collect()
}

/// Takes away the backslashes that Java's `Properties` writes in front of separators.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut escaped = false;
    for letter in value.chars() {
        if letter == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        text.push(letter);
    }
    text
}

/// Writes settings as servers read them.
fn settings_text(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_in_the_forms_that_servers_write() {
        let read = read_settings(b"a=1\nb = x=y\nurl=http\\://h\\:1\n\nno separator\n");
        let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(read, [("a", "1"), ("b", "x=y"), ("url", "http://h:1")]);
    }
}
