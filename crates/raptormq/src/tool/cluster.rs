//! What a tool asks a name server beside what the client asks: which topics there are.

use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::body::TopicList;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::json;
use raptormq_remoting::{Client, ClientOptions, Request};

/// How long the name server may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Letters by which a name may differ and still be meant.
const TYPOS_MAX: usize = 2;

/// What is known of a topic's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TopicName {
    /// There is such a topic, or nobody could say.
    Known,
    /// There is none.
    Unknown {
        /// A topic that may be meant.
        nearest: Option<String>,
    },
}

/// Looks a topic up by its name. That nobody answers is said by whoever needs the topic.
pub(super) async fn look_up(namesrv: &str, topic: &str) -> TopicName {
    let client = Client::new(ClientOptions::default(), Arc::new(()));
    let address = namesrv.split([';', ',']).next().unwrap_or_default().trim();
    let request = Request::new(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
    let Ok(response) = client.call(address, request, TIMEOUT).await else { return TopicName::Known };
    match json::from_slice::<TopicList>(&response.body) {
        Ok(list) if response.is_success() => judge(topic, list.topic_list),
        _ => TopicName::Known,
    }
}

fn judge(topic: &str, known: impl IntoIterator<Item = String>) -> TopicName {
    let mut nearest: Option<(usize, String)> = None;
    for name in known {
        let distance = strsim::damerau_levenshtein(topic, &name);
        if distance == 0 {
            return TopicName::Known;
        }
        if distance <= TYPOS_MAX && nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
            nearest = Some((distance, name));
        }
    }
    TopicName::Unknown { nearest: nearest.map(|(_, name)| name) }
}

impl TopicName {
    /// ` (did you mean X?)`, when there is somebody to ask that of.
    pub(super) fn guess(&self) -> String {
        match self {
            TopicName::Unknown { nearest: Some(name) } => format!(" (did you mean {name}?)"),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_told_from_a_new_name() {
        let known = ["TopicTest", "Orders"].map(str::to_owned);
        assert_eq!(judge("TopicTest", known.clone()), TopicName::Known);
        assert_eq!(judge("TopicTset", known.clone()).guess(), " (did you mean TopicTest?)");
        assert_eq!(judge("Payments", known), TopicName::Unknown { nearest: None });
    }
}
