//! A broker's settings, figures and house-keeping.

use std::collections::BTreeMap;

use raptormq_protocol::body::{BrokerStatsData, ConsumeStatsList, HARuntimeInfo, KVTable};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    GetConsumeStatsInBrokerHeader, ResetMasterFlushOffsetHeader, ViewBrokerStatsDataRequestHeader,
};
use raptormq_remoting::Request;

use super::{Admin, read_settings, settings_text};
use crate::error::Result;

impl Admin {
    /// What a broker says of itself, by name.
    #[doc(alias = "fetchBrokerRuntimeStats")]
    pub async fn runtime_info(&self, address: &str) -> Result<BTreeMap<String, String>> {
        let request = Request::new(RequestCode::GET_BROKER_RUNTIME_INFO);
        let table: KVTable = self.ask(address, request, "a table of figures").await?;
        Ok(table.table)
    }

    /// A broker's settings.
    #[doc(alias = "getBrokerConfig")]
    pub async fn broker_config(&self, address: &str) -> Result<BTreeMap<String, String>> {
        let response = self.call(address, Request::new(RequestCode::GET_BROKER_CONFIG)).await?;
        Ok(read_settings(&response.body))
    }

    /// Changes a broker's settings.
    #[doc(alias = "updateBrokerConfig")]
    pub async fn update_broker_config(&self, address: &str, settings: &BTreeMap<String, String>) -> Result<()> {
        let request = Request::new(RequestCode::UPDATE_BROKER_CONFIG).body(settings_text(settings));
        self.call(address, request).await.map(drop)
    }

    /// A figure of a broker, such as `TOPIC_PUT_NUMS` of a topic.
    #[doc(alias = "viewBrokerStatsData")]
    pub async fn stats(&self, address: &str, stats_name: &str, stats_key: &str) -> Result<BrokerStatsData> {
        let header = ViewBrokerStatsDataRequestHeader { stats_name, stats_key };
        self.ask(address, Request::new(RequestCode::VIEW_BROKER_STATS_DATA).header(&header), "a figure").await
    }

    /// How far all groups of a broker are.
    #[doc(alias = "fetchConsumeStatsInBroker")]
    pub async fn all_consume_stats(&self, address: &str, is_order: bool) -> Result<ConsumeStatsList> {
        let header = GetConsumeStatsInBrokerHeader { is_order };
        let request = Request::new(RequestCode::GET_BROKER_CONSUME_STATS).header(&header);
        self.ask(address, request, "a list of offsets").await
    }

    /// Has a broker delete what its queues hold of messages that are gone.
    #[doc(alias = "cleanExpiredConsumerQueueByAddr")]
    pub async fn clean_expired_queues(&self, address: &str) -> Result<()> {
        self.call(address, Request::new(RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE)).await.map(drop)
    }

    /// Has a broker delete the queues of topics that are gone.
    #[doc(alias = "cleanUnusedTopicByAddr")]
    pub async fn clean_unused_topics(&self, address: &str) -> Result<()> {
        self.call(address, Request::new(RequestCode::CLEAN_UNUSED_TOPIC)).await.map(drop)
    }

    /// Has a broker delete the files of its log that are old enough.
    #[doc(alias = "deleteExpiredCommitLogByAddr")]
    pub async fn delete_expired_log(&self, address: &str) -> Result<()> {
        self.call(address, Request::new(RequestCode::DELETE_EXPIRED_COMMITLOG)).await.map(drop)
    }

    /// How replication goes: of a master its slaves, of a slave how it follows.
    #[doc(alias = "getBrokerHAStatus")]
    pub async fn ha_status(&self, address: &str) -> Result<HARuntimeInfo> {
        self.ask(address, Request::new(RequestCode::GET_BROKER_HA_STATUS), "a state of replication").await
    }

    /// Has a broker's disk read on in the log behind what is read, or not; returns what the broker says to that.
    #[doc(alias = "setCommitLogReadAheadMode")]
    pub async fn set_read_ahead(&self, address: &str, reads_ahead: bool) -> Result<String> {
        let request = Request::new(RequestCode::SET_COMMITLOG_READ_MODE);
        let answer = self.call(address, request.field("READ_AHEAD_MODE", if reads_ahead { "0" } else { "1" })).await?;
        Ok(answer.remark.as_deref().unwrap_or_default().to_owned())
    }

    /// Tells a slave up to where its master's log is on disk. RaptorMQ's slaves have no use for it.
    #[doc(alias = "resetMasterFlushOffset")]
    pub async fn reset_master_flush_offset(&self, address: &str, master_flush_offset: i64) -> Result<()> {
        let header = ResetMasterFlushOffsetHeader { master_flush_offset: Some(master_flush_offset) };
        self.call(address, Request::new(RequestCode::RESET_MASTER_FLUSH_OFFSET).header(&header)).await.map(drop)
    }
}
