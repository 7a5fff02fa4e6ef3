//! What name servers keep: routes, the list of brokers, key-value settings, their own configuration.

use std::collections::BTreeMap;

use raptormq_protocol::body::TopicList;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    AddWritePermOfBrokerResponseHeader, DeleteKVConfigRequestHeader, DeleteTopicFromNamesrvRequestHeader,
    GetKVConfigRequestHeader, GetKVConfigResponseHeader, PutKVConfigRequestHeader, WipeWritePermOfBrokerResponseHeader,
    WritePermOfBrokerRequestHeader,
};
use raptormq_protocol::route::{ClusterInfo, TopicRouteData};
use raptormq_remoting::Request;

use super::{Admin, read_header, read_settings, settings_text};
use crate::error::{Error, ErrorKind, Result};

impl Admin {
    /// The route of a topic. [`ErrorKind::TopicNotExist`] when there is none.
    #[doc(alias = "examineTopicRouteInfo")]
    pub async fn topic_route(&self, topic: &str) -> Result<TopicRouteData> {
        let route = self.client.name_servers().route(self.client.remoting(), topic).await?;
        route.ok_or_else(|| {
            let text = format!("No topic route info in name server for the topic: {topic}");
            Error::new(ErrorKind::TopicNotExist, text)
        })
    }

    /// All brokers and the clusters that they form.
    #[doc(alias = "examineBrokerClusterInfo")]
    pub async fn cluster_info(&self) -> Result<ClusterInfo> {
        self.client.name_servers().cluster(self.client.remoting()).await
    }

    /// The names of all topics.
    #[doc(alias = "fetchAllTopicList")]
    pub async fn topics(&self) -> Result<Vec<String>> {
        let request = Request::new(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
        let list: TopicList = self.ask_name_server(request, "a list of topics").await?;
        Ok(list.topic_list)
    }

    /// The value of a key that name servers keep. An error with code QUERY_NOT_FOUND when there is none.
    #[doc(alias = "getKVConfig")]
    pub async fn kv_config(&self, namespace: &str, key: &str) -> Result<String> {
        let request = Request::new(RequestCode::GET_KV_CONFIG).header(&GetKVConfigRequestHeader { namespace, key });
        let response = self.client.name_servers().call(self.client.remoting(), request).await?;
        if !response.is_success() {
            return Err(Error::refused(response.code.0, response.remark.as_deref(), "the name server"));
        }
        let header: GetKVConfigResponseHeader<'_> = read_header(&response, "the name server")?;
        Ok(header.value.unwrap_or_default().to_owned())
    }

    /// Sets a key at all name servers.
    #[doc(alias = "createAndUpdateKvConfig")]
    pub async fn put_kv_config(&self, namespace: &str, key: &str, value: &str) -> Result<()> {
        let header = PutKVConfigRequestHeader { namespace: Some(namespace), key: Some(key), value: Some(value) };
        self.tell_name_servers(Request::new(RequestCode::PUT_KV_CONFIG).header(&header)).await
    }

    /// Removes a key from all name servers.
    #[doc(alias = "deleteKvConfig")]
    pub async fn delete_kv_config(&self, namespace: &str, key: &str) -> Result<()> {
        let header = DeleteKVConfigRequestHeader { namespace: Some(namespace), key: Some(key) };
        self.tell_name_servers(Request::new(RequestCode::DELETE_KV_CONFIG).header(&header)).await
    }

    /// Removes a topic, of one cluster only or of all, from all name servers.
    #[doc(alias = "deleteTopicInNameServer")]
    pub async fn delete_topic_in_name_servers(&self, topic: &str, cluster_name: Option<&str>) -> Result<()> {
        let header = DeleteTopicFromNamesrvRequestHeader { topic, cluster_name };
        self.tell_name_servers(Request::new(RequestCode::DELETE_TOPIC_IN_NAMESRV).header(&header)).await
    }

    /// Takes the write permission from all topics of a broker at one name server. Returns how many topics changed.
    #[doc(alias = "wipeWritePermOfBroker")]
    pub async fn wipe_write_permission(&self, address: &str, broker_name: &str) -> Result<i32> {
        let header = WritePermOfBrokerRequestHeader { broker_name };
        let request = Request::new(RequestCode::WIPE_WRITE_PERM_OF_BROKER).header(&header);
        let response = self.call(address, request).await?;
        Ok(read_header::<WipeWritePermOfBrokerResponseHeader>(&response, address)?.wipe_topic_count)
    }

    /// Gives the write permission back to all topics of a broker at one name server. Returns how many topics changed.
    #[doc(alias = "addWritePermOfBroker")]
    pub async fn add_write_permission(&self, address: &str, broker_name: &str) -> Result<i32> {
        let header = WritePermOfBrokerRequestHeader { broker_name };
        let request = Request::new(RequestCode::ADD_WRITE_PERM_OF_BROKER).header(&header);
        let response = self.call(address, request).await?;
        Ok(read_header::<AddWritePermOfBrokerResponseHeader>(&response, address)?.add_topic_count)
    }

    /// The settings of one name server.
    #[doc(alias = "getNameServerConfig")]
    pub async fn name_server_config(&self, address: &str) -> Result<BTreeMap<String, String>> {
        let response = self.call(address, Request::new(RequestCode::GET_NAMESRV_CONFIG)).await?;
        Ok(read_settings(&response.body))
    }

    /// Changes settings of one name server.
    #[doc(alias = "updateNameServerConfig")]
    pub async fn update_name_server_config(&self, address: &str, settings: &BTreeMap<String, String>) -> Result<()> {
        let request = Request::new(RequestCode::UPDATE_NAMESRV_CONFIG).body(settings_text(settings));
        self.call(address, request).await.map(drop)
    }

    async fn ask_name_server<T: serde::de::DeserializeOwned>(&self, request: Request, what: &str) -> Result<T> {
        let response = self.client.name_servers().call(self.client.remoting(), request).await?;
        crate::name_server::read_body(&response, "the name server", what)
    }

    /// Tells all name servers, because they do not tell each other. The first error is returned when all were told.
    async fn tell_name_servers(&self, request: Request) -> Result<()> {
        let mut outcome = Ok(());
        for address in self.client.name_servers().required()?.iter() {
            let told = self.call(address, request.clone()).await.map(drop);
            outcome = outcome.and(told);
        }
        outcome
    }
}
