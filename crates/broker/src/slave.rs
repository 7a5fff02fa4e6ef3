//! What a slave copies from its master beside the log: topics, groups, offsets of consumers and of delay levels, request
//! modes.
//!
//! Every ten seconds; the original does it each minute, and until then its slaves answer that they do not know a topic.
//! Java: `slave/SlaveSynchronize.java`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::body::{
    ConsumerOffsetSerializeWrapper, DataVersion, DelayOffsetSerializeWrapper, MessageRequestModeSerializeWrapper,
    SubscriptionGroupWrapper, TopicConfigAndMappingSerializeWrapper,
};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{GetAllSubscriptionGroupRequestHeader, GetAllTopicConfigRequestHeader};
use raptormq_protocol::json;
use raptormq_remoting::{Client, Request, Response};
use serde::de::DeserializeOwned;

use crate::broker::Broker;
use crate::persist::Table;

/// Between two copies.
const INTERVAL: Duration = Duration::from_secs(10);
/// After the start, and after a copy that failed.
const INTERVAL_SHORT: Duration = Duration::from_secs(1);
/// How long the master may take to answer. Java: `getAllTopicConfig`.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Entries that are asked for at once. Java: `splitMetadataSize`.
const PAGE: i32 = 2000;
/// Pages at most, so that a master that says nonsense is not asked for ever.
const PAGES_MAX: usize = 4096;

/// Copies again and again, for as long as this is polled.
pub(crate) async fn run(broker: Arc<Broker>, client: Client) {
    let mut said = String::new();
    loop {
        let copied = match broker.outer.master_addr() {
            Some(master) => copy(&broker, &client, &master).await.map_err(|reason| (master, reason)),
            None => Err((String::new(), "no name server has told of a master yet".to_owned())),
        };
        let pause = match copied {
            Ok(()) => {
                said.clear();
                INTERVAL
            }
            Err((master, reason)) => {
                // Each reason is said once.
                if reason != said {
                    tracing::warn!(
                        master,
                        reason,
                        "topics, groups and offsets of the master are not copied; trying on"
                    );
                    said = reason;
                }
                INTERVAL_SHORT
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Copies everything once.
async fn copy(broker: &Broker, client: &Client, master: &str) -> Result<(), String> {
    copy_topics(broker, client, master).await?;
    copy_groups(broker, client, master).await?;
    let offsets: ConsumerOffsetSerializeWrapper = ask(client, master, RequestCode::GET_ALL_CONSUMER_OFFSET).await?;
    broker.offsets.take_from_master(offsets);
    let delays: DelayOffsetSerializeWrapper = ask(client, master, RequestCode::GET_ALL_DELAY_OFFSET).await?;
    broker.schedule.take_from_master(&delays);
    copy_modes(broker, client, master).await
}

/// What a master that comes back takes over from a slave: how far groups are, and what was delivered of delayed messages,
/// where the slave knows that later. Java: `BrokerPreOnlineService.syncMetadataReverse`.
pub(crate) async fn take_back(broker: &Broker, client: &Client, slave: &str) -> Result<(), String> {
    let offsets: ConsumerOffsetSerializeWrapper = ask(client, slave, RequestCode::GET_ALL_CONSUMER_OFFSET).await?;
    let delays: DelayOffsetSerializeWrapper = ask(client, slave, RequestCode::GET_ALL_DELAY_OFFSET).await?;
    let count = broker.offsets.take_back(offsets);
    broker.schedule.take_back(&delays);
    tracing::info!(slave, count, "offsets that a slave was told were taken over");
    Ok(())
}

/// Copies whether groups pull or pop, unless the master is of a release that knows no such thing.
async fn copy_modes(broker: &Broker, client: &Client, master: &str) -> Result<(), String> {
    let request = Request::new(RequestCode::GET_ALL_MESSAGE_REQUEST_MODE);
    let response = client.call(master, request, TIMEOUT).await.map_err(|error| error.to_string())?;
    if response.code == ResponseCode::REQUEST_CODE_NOT_SUPPORTED {
        return Ok(());
    }
    let modes: MessageRequestModeSerializeWrapper = body_of(&response)?;
    if broker.request_modes.take_from_master(modes) {
        broker.keeper.changed(Table::RequestModes);
    }
    Ok(())
}

async fn copy_topics(broker: &Broker, client: &Client, master: &str) -> Result<(), String> {
    let known = broker.topics.version();
    let mut all = BTreeMap::new();
    let mut version: Option<DataVersion> = None;
    for _ in 0..PAGES_MAX {
        let text = version.map(text_of).transpose()?;
        let header = GetAllTopicConfigRequestHeader {
            topic_seq: Some(i32::try_from(all.len()).unwrap_or(i32::MAX)),
            data_version: text.as_deref(),
            max_topic_num: Some(PAGE),
        };
        let request = Request::new(RequestCode::GET_ALL_TOPIC_CONFIG).header(&header);
        let (page, response): (TopicConfigAndMappingSerializeWrapper, _) = call(client, master, request).await?;
        if version.is_none() && page.data_version == known {
            return Ok(());
        }
        if version.is_some_and(|version| version != page.data_version) {
            // The table changed meanwhile: its first page came.
            all.clear();
        }
        version = Some(page.data_version);
        let is_empty = page.topic_config_table.is_empty();
        all.extend(page.topic_config_table);
        // Without a total the master does not know of pages, and this is all.
        let total = total_of(&response, "totalTopicNum");
        if is_empty || total.is_none_or(|total| all.len() >= total) {
            let count = all.len();
            if broker.topics.take_from_master(all, page.data_version) {
                tracing::info!(master, count, "topics of the master were copied");
                broker.topics_changed();
            }
            return Ok(());
        }
    }
    Err("the table of topics has no end".to_owned())
}

async fn copy_groups(broker: &Broker, client: &Client, master: &str) -> Result<(), String> {
    let known = broker.groups.snapshot().data_version;
    let mut all = SubscriptionGroupWrapper::default();
    let mut version: Option<DataVersion> = None;
    for _ in 0..PAGES_MAX {
        let text = version.map(text_of).transpose()?;
        let header = GetAllSubscriptionGroupRequestHeader {
            group_seq: Some(i32::try_from(all.subscription_group_table.len()).unwrap_or(i32::MAX)),
            data_version: text.as_deref(),
            max_group_num: Some(PAGE),
        };
        let request = Request::new(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG).header(&header);
        let (page, response): (SubscriptionGroupWrapper, _) = call(client, master, request).await?;
        if version.is_none() && page.data_version == known {
            return Ok(());
        }
        if version.is_some_and(|version| version != page.data_version) {
            all.subscription_group_table.clear();
        }
        version = Some(page.data_version);
        let is_empty = page.subscription_group_table.is_empty();
        all.subscription_group_table.extend(page.subscription_group_table);
        all.data_version = page.data_version;
        all.forbidden_table = page.forbidden_table;
        let total = total_of(&response, "totalGroupNum");
        if is_empty || total.is_none_or(|total| all.subscription_group_table.len() >= total) {
            tracing::info!(master, count = all.subscription_group_table.len(), "groups of the master were copied");
            broker.groups.take_from_master(all);
            broker.keeper.changed(Table::Groups);
            return Ok(());
        }
    }
    Err("the table of groups has no end".to_owned())
}

/// A version as the request's field has it.
fn text_of(version: DataVersion) -> Result<String, String> {
    let text = json::to_vec(&version).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

fn total_of(response: &Response, field: &str) -> Option<usize> {
    response.fields.get(field).and_then(|total| total.parse().ok())
}

async fn ask<T: DeserializeOwned>(client: &Client, master: &str, code: RequestCode) -> Result<T, String> {
    call(client, master, Request::new(code)).await.map(|(body, _)| body)
}

async fn call<T: DeserializeOwned>(client: &Client, master: &str, request: Request) -> Result<(T, Response), String> {
    let response = client.call(master, request, TIMEOUT).await.map_err(|error| error.to_string())?;
    Ok((body_of(&response)?, response))
}

fn body_of<T: DeserializeOwned>(response: &Response) -> Result<T, String> {
    if !response.is_success() {
        return Err(format!("it answered {}: {}", response.code, response.remark.as_deref().unwrap_or_default()));
    }
    // An empty body stands for nothing, as of a broker that never had a delayed message.
    let body = if response.body.is_empty() { b"{}" as &[u8] } else { &response.body };
    json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))
}
