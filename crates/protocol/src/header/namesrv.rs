//! Brokers and clients at the name server.

use super::headers;

headers! {
    /// REGISTER_BROKER (103).
    struct RegisterBrokerRequestHeader<'a> {
        /// Name of the replica group.
        broker_name: &'a str = "brokerName",
        /// Where clients reach the broker.
        broker_addr: &'a str = "brokerAddr",
        /// Cluster it belongs to.
        cluster_name: &'a str = "clusterName",
        /// Where slaves reach it.
        ha_server_addr: &'a str = "haServerAddr",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
        /// After how long without a word the broker is taken for dead, ms.
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// Whether a slave of the group may act as master.
        enable_acting_master: Option<bool> = "enableActingMaster",
        /// Whether the body is the compressed form.
        compressed: bool = "compressed",
        /// CRC-32 of the body without its top bit; 0 for none.
        body_crc32: i32 = "bodyCrc32",
    }

    /// Answer to REGISTER_BROKER.
    struct RegisterBrokerResponseHeader<'a> {
        /// Where a slave reaches its master's log.
        ha_server_addr: Option<&'a str> = "haServerAddr",
        /// Where a slave reaches its master.
        master_addr: Option<&'a str> = "masterAddr",
    }

    /// UNREGISTER_BROKER (104).
    struct UnRegisterBrokerRequestHeader<'a> {
        /// Name of the replica group.
        broker_name: &'a str = "brokerName",
        /// Where clients reached the broker.
        broker_addr: &'a str = "brokerAddr",
        /// Cluster it belonged to.
        cluster_name: &'a str = "clusterName",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
    }

    /// GET_ROUTEINFO_BY_TOPIC (105).
    struct GetRouteInfoRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
        /// Whether the client reads only strict JSON.
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }

    /// WIPE_WRITE_PERM_OF_BROKER (205), ADD_WRITE_PERM_OF_BROKER (327).
    struct WritePermOfBrokerRequestHeader<'a> {
        /// Name of the replica group.
        broker_name: &'a str = "brokerName",
    }

    /// Answer to WIPE_WRITE_PERM_OF_BROKER.
    struct WipeWritePermOfBrokerResponseHeader {
        /// Topics that changed.
        wipe_topic_count: i32 = "wipeTopicCount",
    }

    /// Answer to ADD_WRITE_PERM_OF_BROKER.
    struct AddWritePermOfBrokerResponseHeader {
        /// Topics that changed.
        add_topic_count: i32 = "addTopicCount",
    }

    /// DELETE_TOPIC_IN_NAMESRV (216).
    struct DeleteTopicFromNamesrvRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
        /// Only in this cluster.
        cluster_name: Option<&'a str> = "clusterName",
    }

    /// REGISTER_TOPIC_IN_NAMESRV (217).
    struct RegisterTopicRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
    }

    /// GET_TOPICS_BY_CLUSTER (224).
    struct GetTopicsByClusterRequestHeader<'a> {
        /// Name of the cluster.
        cluster: &'a str = "cluster",
    }

    /// PUT_KV_CONFIG (100).
    struct PutKVConfigRequestHeader<'a> {
        /// Namespace of the key.
        namespace: Option<&'a str> = "namespace",
        /// The key.
        key: Option<&'a str> = "key",
        /// Its new value.
        value: Option<&'a str> = "value",
    }

    /// GET_KV_CONFIG (101).
    struct GetKVConfigRequestHeader<'a> {
        /// Namespace of the key.
        namespace: &'a str = "namespace",
        /// The key.
        key: &'a str = "key",
    }

    /// Answer to GET_KV_CONFIG.
    struct GetKVConfigResponseHeader<'a> {
        /// The value.
        value: Option<&'a str> = "value",
    }

    /// DELETE_KV_CONFIG (102).
    struct DeleteKVConfigRequestHeader<'a> {
        /// Namespace of the key.
        namespace: Option<&'a str> = "namespace",
        /// The key.
        key: Option<&'a str> = "key",
    }

    /// GET_KVLIST_BY_NAMESPACE (219).
    struct GetKVListByNamespaceRequestHeader<'a> {
        /// The namespace.
        namespace: &'a str = "namespace",
    }

    /// QUERY_DATA_VERSION (322).
    struct QueryDataVersionRequestHeader<'a> {
        /// Name of the replica group.
        broker_name: &'a str = "brokerName",
        /// Where clients reach the broker.
        broker_addr: &'a str = "brokerAddr",
        /// Cluster it belongs to.
        cluster_name: &'a str = "clusterName",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
    }

    /// Answer to QUERY_DATA_VERSION.
    struct QueryDataVersionResponseHeader {
        /// Whether the broker's tables differ from what the name server has.
        changed: bool = "changed",
    }

    /// GET_BROKER_MEMBER_GROUP (901).
    struct GetBrokerMemberGroupRequestHeader<'a> {
        /// Cluster of the group.
        cluster_name: &'a str = "clusterName",
        /// Name of the replica group.
        broker_name: &'a str = "brokerName",
    }

    /// BROKER_HEARTBEAT (904).
    struct BrokerHeartbeatRequestHeader<'a> {
        /// Cluster the broker belongs to.
        cluster_name: &'a str = "clusterName",
        /// Where clients reach it.
        broker_addr: &'a str = "brokerAddr",
        /// Name of the replica group.
        broker_name: &'a str = "brokerName",
        /// 0 is the master.
        broker_id: Option<i64> = "brokerId",
        /// The master's epoch (controller mode).
        epoch: Option<i32> = "epoch",
        /// End of its log.
        max_offset: Option<i64> = "maxOffset",
        /// How far its log is replicated.
        confirm_offset: Option<i64> = "confirmOffset",
        /// After how long without a word it is taken for dead, ms; the misspelling is the wire's.
        heartbeat_timeout_mills: Option<i64> = "heartbeatTimeoutMills",
        /// Its turn in an election; smaller is earlier.
        election_priority: Option<i32> = "electionPriority",
    }

    /// NOTIFY_MIN_BROKER_ID_CHANGE (905), from the name server to brokers.
    struct NotifyMinBrokerIdChangeRequestHeader<'a> {
        /// Smallest id that is alive.
        min_broker_id: Option<i64> = "minBrokerId",
        /// Name of the replica group.
        broker_name: Option<&'a str> = "brokerName",
        /// Address of the smallest id.
        min_broker_addr: Option<&'a str> = "minBrokerAddr",
        /// Address that went away.
        offline_broker_addr: Option<&'a str> = "offlineBrokerAddr",
        /// Where the log of the smallest id is reached.
        ha_broker_addr: Option<&'a str> = "haBrokerAddr",
    }
}
