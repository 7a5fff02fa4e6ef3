//! Telling brokers who lives in this client.
//!
//! In the newer form a heartbeat carries a fingerprint, and one that says nothing new leaves the subscriptions out. Java:
//! `MQClientInstance.java` (`sendHeartbeatToAllBrokerV2`), `ClientManageProcessor.java` (`heartBeatV2`).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::hash::java_hash;
use raptormq_protocol::heartbeat::HeartbeatData;
use raptormq_protocol::json;
use raptormq_remoting::{Request, Response};

use super::Shared;
use crate::error::{Error, Result};
use crate::name_server::CALL_TIMEOUT;

/// Fields of a broker's answer to a heartbeat (Java: `MixAll`).
const KNOWS_V2_FIELD: &str = "IS_SUPPORT_HEART_BEAT_V2";
const IS_CHANGED_FIELD: &str = "IS_SUB_CHANGE";

/// Brokers that know us, each with the fingerprint of what it was told; 0 where it does not know the newer form.
#[derive(Default)]
pub(super) struct Greeted {
    brokers: Mutex<BTreeMap<String, i32>>,
}

impl Greeted {
    /// A broker does not know us any more; `true` if it did.
    pub(super) fn forget(&self, address: &str) -> bool {
        self.brokers.lock().remove(address).is_some()
    }

    /// The brokers that know us.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.brokers.lock().keys().cloned().collect()
    }
}

/// A heartbeat to send, with and without subscriptions.
struct Heartbeat {
    fingerprint: i32,
    whole: bytes::Bytes,
    /// `None` in the older form.
    short: Option<bytes::Bytes>,
}

impl Heartbeat {
    fn of(mut data: HeartbeatData, is_v2: bool) -> Result<Heartbeat> {
        let write = |data: &HeartbeatData| {
            let bytes = json::to_vec(data).map(bytes::Bytes::from);
            bytes.map_err(|error| Error::protocol("the heartbeat could not be written").with_source(error))
        };
        if !is_v2 {
            return Ok(Heartbeat { fingerprint: 0, whole: write(&data)?, short: None });
        }
        data.heartbeat_fingerprint = fingerprint(&data)?;
        let whole = write(&data)?;
        data.without_sub = true;
        data.consumer_data_set.iter_mut().for_each(|consumer| consumer.subscription_data_set.clear());
        Ok(Heartbeat { fingerprint: data.heartbeat_fingerprint, whole, short: Some(write(&data)?) })
    }
}

/// A number that changes with what brokers have to know: not with the client, nor with when it subscribed. Never 0, which
/// stands for the older form.
fn fingerprint(data: &HeartbeatData) -> Result<i32> {
    let mut data = data.clone();
    data.client_id.clear();
    for consumer in &mut data.consumer_data_set {
        consumer.subscription_data_set.iter_mut().for_each(|subscription| subscription.sub_version = 0);
    }
    let text = json::to_vec(&data).map_err(|error| Error::protocol("a heartbeat").with_source(error))?;
    let hash = java_hash(&String::from_utf8_lossy(&text));
    Ok(if hash == 0 { 1 } else { hash })
}

impl Shared {
    /// Heartbeats to the brokers of all routes, or only to those that do not know us.
    pub(super) async fn heartbeat(&self, only_new: bool) {
        let mut addresses = self.routes.addresses(self.registry.has_consumers());
        {
            let mut greeted = self.greeted.brokers.lock();
            // Brokers that are in no route any more need not be told that we leave.
            greeted.retain(|address, _| addresses.contains(address));
            if only_new {
                addresses.retain(|address| !greeted.contains_key(address));
            }
        }
        self.heartbeat_to(&addresses).await;
    }

    pub(super) async fn heartbeat_to(&self, addresses: &BTreeSet<String>) {
        let Some(data) = self.registry.heartbeat(&self.id) else { return };
        let heartbeat = match Heartbeat::of(data, self.heartbeat_v2) {
            Ok(heartbeat) => heartbeat,
            Err(error) => return tracing::warn!(%error, "no heartbeat is sent"),
        };
        join_all(addresses.iter().map(|address| self.greet(address, &heartbeat))).await;
    }

    /// Tells one broker: the short form if it was told the same before, and the whole if it does not remember.
    async fn greet(&self, address: &str, heartbeat: &Heartbeat) {
        let told = self.greeted.brokers.lock().get(address).copied();
        let short = heartbeat.short.as_ref().filter(|_| told == Some(heartbeat.fingerprint));
        if let Some(short) = short {
            match self.send_heartbeat(address, short).await {
                Some(answer) if answer.fields.get(IS_CHANGED_FIELD) != Some("true") => return,
                Some(_) => {}
                None => return,
            }
        }
        if let Some(answer) = self.send_heartbeat(address, &heartbeat.whole).await {
            let knows_v2 = answer.fields.get(KNOWS_V2_FIELD) == Some("true");
            let fingerprint = if knows_v2 { heartbeat.fingerprint } else { 0 };
            self.greeted.brokers.lock().insert(address.to_owned(), fingerprint);
        }
    }

    /// The answer of a broker that took a heartbeat.
    async fn send_heartbeat(&self, address: &str, body: &bytes::Bytes) -> Option<Response> {
        let request = Request::new(RequestCode::HEART_BEAT).body(body.clone());
        match self.remoting.call(address, request, CALL_TIMEOUT).await {
            Ok(response) if response.is_success() => Some(response),
            Ok(Response { code, remark, .. }) => {
                let remark = remark.unwrap_or_default();
                tracing::warn!(broker = address, %code, remark, "a broker refused the heartbeat");
                None
            }
            Err(error) => {
                self.greeted.forget(address);
                tracing::debug!(%error, "a broker did not take the heartbeat");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_protocol::heartbeat::{ConsumerData, SubscriptionData};

    fn data(client_id: &str, tags: &str, sub_version: i64) -> HeartbeatData {
        let subscription =
            SubscriptionData { topic: "T".into(), sub_string: tags.into(), sub_version, ..SubscriptionData::default() };
        let consumer = ConsumerData {
            group_name: "g".into(),
            subscription_data_set: vec![subscription],
            ..ConsumerData::default()
        };
        HeartbeatData { client_id: client_id.into(), consumer_data_set: vec![consumer], ..HeartbeatData::default() }
    }

    #[test]
    fn a_fingerprint_changes_with_subscriptions_alone() {
        let first = fingerprint(&data("a", "*", 1)).unwrap();
        assert_eq!(fingerprint(&data("b", "*", 2)).unwrap(), first);
        assert_ne!(fingerprint(&data("a", "A", 1)).unwrap(), first);
    }

    #[test]
    fn the_short_form_has_no_subscriptions() {
        let heartbeat = Heartbeat::of(data("a", "*", 1), true).unwrap();
        let short: HeartbeatData = json::from_slice(&heartbeat.short.unwrap()).unwrap();
        assert!(short.without_sub && short.consumer_data_set[0].subscription_data_set.is_empty());
        assert_eq!(short.heartbeat_fingerprint, heartbeat.fingerprint);
        assert!(Heartbeat::of(data("a", "*", 1), false).unwrap().short.is_none());
    }
}
