//! Groups: their settings, members and offsets.

use std::collections::BTreeMap;

use raptormq_protocol::body::{
    ConsumeMessageDirectlyResult, ConsumeStats, ConsumerConnection, ConsumerRunningInfo, GetConsumerStatusBody,
    MessageQueue, ProducerConnection, ProducerTableInfo, ResetOffsetBody, SetMessageRequestModeRequestBody,
    SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupWrapper,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, DeleteSubscriptionGroupRequestHeader, GetConsumeStatsRequestHeader,
    GetConsumerConnectionListRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
    GetProducerConnectionListRequestHeader, ResetOffsetRequestHeader,
};
use raptormq_protocol::json;
use raptormq_remoting::Request;

use super::Admin;
use crate::consumer::calls;
use crate::error::{Error, Result};

impl Admin {
    /// Creates a group on a broker, or changes it.
    #[doc(alias = "createAndUpdateSubscriptionGroupConfig")]
    pub async fn put_group(&self, address: &str, group: &SubscriptionGroupConfig) -> Result<()> {
        let unwritable = |error| Error::invalid("the group cannot be written").with_source(error);
        let body = json::to_vec(group).map_err(unwritable)?;
        let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body);
        self.call(address, request).await.map(drop)
    }

    /// Creates or changes several groups on a broker at once.
    #[doc(alias = "createAndUpdateSubscriptionGroupConfigList")]
    pub async fn put_groups(&self, address: &str, groups: Vec<SubscriptionGroupConfig>) -> Result<()> {
        let unwritable = |error| Error::invalid("the groups cannot be written").with_source(error);
        let body = json::to_vec(&SubscriptionGroupList { group_config_list: groups }).map_err(unwritable)?;
        let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST).body(body);
        self.call(address, request).await.map(drop)
    }

    /// Deletes a group on a broker, with its offsets when `clean_offset` is set.
    #[doc(alias = "deleteSubscriptionGroup")]
    pub async fn delete_group(&self, address: &str, group_name: &str, clean_offset: bool) -> Result<()> {
        let header = DeleteSubscriptionGroupRequestHeader { group_name, clean_offset };
        self.call(address, Request::new(RequestCode::DELETE_SUBSCRIPTIONGROUP).header(&header)).await.map(drop)
    }

    /// A group's settings on a broker; `None` when it has no such group. Asked by the list of all groups: brokers that
    /// are asked for one group may create it.
    #[doc(alias = "examineSubscriptionGroupConfig")]
    pub async fn group_config(&self, address: &str, group: &str) -> Result<Option<SubscriptionGroupConfig>> {
        Ok(self.all_groups(address).await?.subscription_group_table.remove(group))
    }

    /// All groups of a broker.
    #[doc(alias = "getAllSubscriptionGroup")]
    pub async fn all_groups(&self, address: &str) -> Result<SubscriptionGroupWrapper> {
        let request = Request::new(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG);
        self.ask(address, request, "a list of groups").await
    }

    /// Chooses how a group consumes a topic on a broker.
    #[doc(alias = "setMessageRequestMode")]
    pub async fn set_request_mode(&self, address: &str, mode: &SetMessageRequestModeRequestBody) -> Result<()> {
        let unwritable = |error| Error::invalid("the mode cannot be written").with_source(error);
        let body = json::to_vec(mode).map_err(unwritable)?;
        self.call(address, Request::new(RequestCode::SET_MESSAGE_REQUEST_MODE).body(body)).await.map(drop)
    }

    /// How far a group is in all its topics on a broker, or in one.
    #[doc(alias = "examineConsumeStats")]
    pub async fn consume_stats(&self, address: &str, group: &str, topic: Option<&str>) -> Result<ConsumeStats> {
        let header = GetConsumeStatsRequestHeader { consumer_group: group, topic, topic_list: None };
        self.ask(address, Request::new(RequestCode::GET_CONSUME_STATS).header(&header), "offsets").await
    }

    /// The members of a consumer group that a broker knows.
    #[doc(alias = "examineConsumerConnectionInfo")]
    pub async fn consumer_connections(&self, address: &str, consumer_group: &str) -> Result<ConsumerConnection> {
        let header = GetConsumerConnectionListRequestHeader { consumer_group };
        let request = Request::new(RequestCode::GET_CONSUMER_CONNECTION_LIST).header(&header);
        self.ask(address, request, "a list of connections").await
    }

    /// The members of a producer group that a broker knows.
    #[doc(alias = "examineProducerConnectionInfo")]
    pub async fn producer_connections(&self, address: &str, producer_group: &str) -> Result<ProducerConnection> {
        let header = GetProducerConnectionListRequestHeader { producer_group };
        let request = Request::new(RequestCode::GET_PRODUCER_CONNECTION_LIST).header(&header);
        self.ask(address, request, "a list of connections").await
    }

    /// All producers that a broker knows, by group.
    #[doc(alias = "getAllProducerInfo")]
    pub async fn all_producers(&self, address: &str) -> Result<ProducerTableInfo> {
        self.ask(address, Request::new(RequestCode::GET_ALL_PRODUCER_INFO), "a list of producers").await
    }

    /// What a consumer says of itself, through its broker; with `jstack` what its threads do.
    #[doc(alias = "getConsumerRunningInfo")]
    pub async fn running_info(
        &self,
        address: &str,
        consumer_group: &str,
        client_id: &str,
        jstack: bool,
    ) -> Result<ConsumerRunningInfo> {
        let jstack_enable = Some(jstack);
        let header = GetConsumerRunningInfoRequestHeader { consumer_group, client_id, jstack_enable };
        let request = Request::new(RequestCode::GET_CONSUMER_RUNNING_INFO).header(&header);
        self.ask(address, request, "what a consumer says of itself").await
    }

    /// Has a consumer consume one message, through its broker.
    #[doc(alias = "consumeMessageDirectly")]
    pub async fn consume_directly(
        &self,
        address: &str,
        header: &ConsumeMessageDirectlyResultRequestHeader<'_>,
    ) -> Result<ConsumeMessageDirectlyResult> {
        let request = Request::new(RequestCode::CONSUME_MESSAGE_DIRECTLY).header(header);
        self.ask(address, request, "how a message was consumed").await
    }

    /// Sets the offsets of a group on a broker, and has its members take them over. Returns the new offsets.
    #[doc(alias = "resetOffsetByTimestamp")]
    pub async fn reset_offsets(
        &self,
        address: &str,
        header: &ResetOffsetRequestHeader<'_>,
    ) -> Result<BTreeMap<MessageQueue, i64>> {
        let request = Request::new(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET).header(header);
        let body: ResetOffsetBody = self.ask(address, request, "offsets").await?;
        Ok(body.offset_table)
    }

    /// The offsets that the members of a group have, by client, through their broker.
    #[doc(alias = "getConsumeStatus")]
    pub async fn member_offsets(
        &self,
        address: &str,
        topic: &str,
        group: &str,
        client_id: Option<&str>,
    ) -> Result<BTreeMap<String, BTreeMap<MessageQueue, i64>>> {
        let header = GetConsumerStatusRequestHeader { topic, group, client_addr: client_id };
        let request = Request::new(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS).header(&header);
        let body: GetConsumerStatusBody = self.ask(address, request, "offsets").await?;
        Ok(body.consumer_table)
    }

    /// Sets the offset of a group in one queue.
    #[doc(alias = "updateConsumeOffset")]
    pub async fn commit_offset(&self, address: &str, group: &str, queue: &MessageQueue, offset: i64) -> Result<()> {
        self.call(address, calls::commit_request(group, queue, offset)).await.map(drop)
    }
}
