//! Topics on brokers.

use raptormq_protocol::body::{
    CreateTopicListRequestBody, GroupList, TopicConfig, TopicConfigSerializeWrapper, TopicList, TopicStatsTable,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    CreateTopicRequestHeader, DeleteTopicRequestHeader, GetTopicConfigRequestHeader, GetTopicStatsInfoRequestHeader,
    QueryTopicConsumeByWhoRequestHeader,
};
use raptormq_protocol::json;
use raptormq_remoting::Request;

use super::Admin;
use crate::error::{Error, Result};
use crate::names::DEFAULT_TOPIC;

impl Admin {
    /// Creates a topic on a broker, or changes it. Names of attributes carry `+` in front.
    #[doc(alias = "createAndUpdateTopicConfig")]
    pub async fn put_topic(&self, address: &str, topic: &TopicConfig) -> Result<()> {
        let attributes: Vec<String> = topic
            .attributes
            .iter()
            .map(|(name, value)| if value.is_empty() { name.clone() } else { format!("{name}={value}") })
            .collect();
        let attributes = attributes.join(",");
        let header = CreateTopicRequestHeader {
            topic: &topic.topic_name,
            default_topic: DEFAULT_TOPIC,
            read_queue_nums: topic.read_queue_nums,
            write_queue_nums: topic.write_queue_nums,
            perm: topic.perm,
            topic_filter_type: topic.topic_filter_type.name(),
            topic_sys_flag: Some(topic.topic_sys_flag),
            order: topic.order,
            attributes: Some(&attributes),
            force: None,
        };
        self.call(address, Request::new(RequestCode::UPDATE_AND_CREATE_TOPIC).header(&header)).await.map(drop)
    }

    /// Creates or changes several topics on a broker at once. Names of attributes carry `+` in front.
    #[doc(alias = "createAndUpdateTopicConfigList")]
    pub async fn put_topics(&self, address: &str, topics: Vec<TopicConfig>) -> Result<()> {
        let unwritable = |error| Error::invalid("the topics cannot be written").with_source(error);
        let body = json::to_vec(&CreateTopicListRequestBody { topic_config_list: topics }).map_err(unwritable)?;
        self.call(address, Request::new(RequestCode::UPDATE_AND_CREATE_TOPIC_LIST).body(body)).await.map(drop)
    }

    /// Deletes a topic on a broker. A topic that is not there is no error.
    #[doc(alias = "deleteTopicInBroker")]
    pub async fn delete_topic_in_broker(&self, address: &str, topic: &str) -> Result<()> {
        let request = Request::new(RequestCode::DELETE_TOPIC_IN_BROKER).header(&DeleteTopicRequestHeader { topic });
        self.call(address, request).await.map(drop)
    }

    /// A topic's settings on a broker.
    #[doc(alias = "examineTopicConfig")]
    pub async fn topic_config(&self, address: &str, topic: &str) -> Result<TopicConfig> {
        let request = Request::new(RequestCode::GET_TOPIC_CONFIG).header(&GetTopicConfigRequestHeader { topic });
        self.ask(address, request, "a topic").await
    }

    /// All topics of a broker.
    #[doc(alias = "getAllTopicConfig")]
    pub async fn all_topics(&self, address: &str) -> Result<TopicConfigSerializeWrapper> {
        self.ask(address, Request::new(RequestCode::GET_ALL_TOPIC_CONFIG), "a list of topics").await
    }

    /// The topics that a broker has for itself.
    #[doc(alias = "getSystemTopicListFromBroker")]
    pub async fn system_topics(&self, address: &str) -> Result<Vec<String>> {
        let request = Request::new(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER);
        let list: TopicList = self.ask(address, request, "a list of topics").await?;
        Ok(list.topic_list)
    }

    /// The offsets of a topic's queues on a broker.
    #[doc(alias = "examineTopicStats")]
    pub async fn topic_stats(&self, address: &str, topic: &str) -> Result<TopicStatsTable> {
        let header = GetTopicStatsInfoRequestHeader { topic };
        self.ask(address, Request::new(RequestCode::GET_TOPIC_STATS_INFO).header(&header), "offsets").await
    }

    /// The groups that consume a topic, as a broker knows them.
    #[doc(alias = "queryTopicConsumeByWho")]
    pub async fn groups_of_topic(&self, address: &str, topic: &str) -> Result<Vec<String>> {
        let header = QueryTopicConsumeByWhoRequestHeader { topic };
        let request = Request::new(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO).header(&header);
        let list: GroupList = self.ask(address, request, "a list of groups").await?;
        Ok(list.group_list)
    }
}
