//! Topics and groups, as clients and `mqadmin` create and inspect them on a broker.

use super::headers;

headers! {
    /// UPDATE_AND_CREATE_TOPIC (17).
    struct CreateTopicRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
        /// Topic whose settings are the pattern.
        default_topic: &'a str = "defaultTopic",
        /// Queues to read from.
        read_queue_nums: i32 = "readQueueNums",
        /// Queues to write to.
        write_queue_nums: i32 = "writeQueueNums",
        /// Bits of `PermName`.
        perm: i32 = "perm",
        /// SINGLE_TAG or MULTI_TAG.
        topic_filter_type: &'a str = "topicFilterType",
        /// Bits of `TopicSysFlag`.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Whether messages of the topic are ordered over all brokers.
        order: bool = "order",
        /// `+key=value,-key`.
        attributes: Option<&'a str> = "attributes",
        /// Whether an existing topic may be replaced.
        force: Option<bool> = "force",
    }

    /// UPDATE_AND_CREATE_ACL_CONFIG (50), of 4.x.
    struct CreateAccessConfigRequestHeader<'a> {
        /// Name of the account.
        access_key: Option<&'a str> = "accessKey",
        /// What it signs with.
        secret_key: Option<&'a str> = "secretKey",
        /// From where requests need no signature.
        white_remote_address: Option<&'a str> = "whiteRemoteAddress",
        /// Whether it is an administrator's.
        admin: bool = "admin",
        /// What it may do with topics that are not listed.
        default_topic_perm: Option<&'a str> = "defaultTopicPerm",
        /// What it may do with groups that are not listed.
        default_group_perm: Option<&'a str> = "defaultGroupPerm",
        /// `topic=permission`, separated by commas.
        topic_perms: Option<&'a str> = "topicPerms",
        /// `group=permission`, separated by commas.
        group_perms: Option<&'a str> = "groupPerms",
    }

    /// DELETE_ACL_CONFIG (51), of 4.x.
    struct DeleteAccessConfigRequestHeader<'a> {
        /// Name of the account.
        access_key: &'a str = "accessKey",
    }

    /// UPDATE_GLOBAL_WHITE_ADDRS_CONFIG (53), of 4.x.
    struct UpdateGlobalWhiteAddrsConfigRequestHeader<'a> {
        /// Addresses that need no account, separated by commas.
        global_white_addrs: Option<&'a str> = "globalWhiteAddrs",
        /// The file to change; without it, the one in which accounts are made.
        acl_file_full_path: Option<&'a str> = "aclFileFullPath",
    }

    /// Answer to GET_BROKER_CLUSTER_ACL_INFO (52), of 4.x.
    struct GetBrokerAclConfigResponseHeader<'a> {
        /// JSON: the version of the file in which accounts are made.
        version: &'a str = "version",
        /// JSON: file to version.
        all_acl_file_version: &'a str = "allAclFileVersion",
        /// Name of the broker.
        broker_name: &'a str = "brokerName",
        /// Where clients reach it.
        broker_addr: &'a str = "brokerAddr",
        /// Its cluster.
        cluster_name: &'a str = "clusterName",
    }

    /// DELETE_TOPIC_IN_BROKER (215).
    struct DeleteTopicRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
    }

    /// GET_ALL_TOPIC_CONFIG (21).
    struct GetAllTopicConfigRequestHeader<'a> {
        /// First topic of the page; missing from 4.x slaves, which want all.
        topic_seq: Option<i32> = "topicSeq",
        /// Version of the table that the earlier pages came from.
        data_version: Option<&'a str> = "dataVersion",
        /// Topics in a page.
        max_topic_num: Option<i32> = "maxTopicNum",
    }

    /// Answer to GET_ALL_TOPIC_CONFIG.
    struct GetAllTopicConfigResponseHeader {
        /// Topics in the whole table.
        total_topic_num: Option<i32> = "totalTopicNum",
    }

    /// RESET_MASTER_FLUSH_OFFSET (908).
    struct ResetMasterFlushOffsetHeader {
        /// Log offset up to which the master's log is on disk.
        master_flush_offset: Option<i64> = "masterFlushOffset",
    }

    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
    struct GetAllSubscriptionGroupRequestHeader<'a> {
        /// First group of the page; missing from 4.x slaves, which want all.
        group_seq: Option<i32> = "groupSeq",
        /// Version of the table that the earlier pages came from.
        data_version: Option<&'a str> = "dataVersion",
        /// Groups in a page.
        max_group_num: Option<i32> = "maxGroupNum",
    }

    /// Answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
    struct GetAllSubscriptionGroupResponseHeader {
        /// Groups in the whole table.
        total_group_num: Option<i32> = "totalGroupNum",
    }

    /// DELETE_SUBSCRIPTIONGROUP (207).
    struct DeleteSubscriptionGroupRequestHeader<'a> {
        /// Name of the group.
        group_name: &'a str = "groupName",
        /// Whether its offsets go, too.
        clean_offset: bool = "cleanOffset",
    }

    /// GET_TOPIC_STATS_INFO (202).
    struct GetTopicStatsInfoRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
    }

    /// GET_CONSUME_STATS (208).
    struct GetConsumeStatsRequestHeader<'a> {
        /// The group.
        consumer_group: &'a str = "consumerGroup",
        /// Only this topic.
        topic: Option<&'a str> = "topic",
        /// Only these topics, with semicolons between.
        topic_list: Option<&'a str> = "topicList",
    }

    /// GET_TOPIC_CONFIG (351).
    struct GetTopicConfigRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
    }

    /// GET_SUBSCRIPTIONGROUP_CONFIG (352).
    struct GetSubscriptionGroupConfigRequestHeader<'a> {
        /// Name of the group.
        group: &'a str = "group",
    }

    /// Answer to GET_BROKER_CONFIG (26).
    struct GetBrokerConfigResponseHeader<'a> {
        /// Data version of the broker's configuration, as JSON.
        version: &'a str = "version",
    }

    /// QUERY_TOPIC_CONSUME_BY_WHO (300).
    struct QueryTopicConsumeByWhoRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
    }

    /// QUERY_CONSUME_TIME_SPAN (303).
    struct QueryConsumeTimeSpanRequestHeader<'a> {
        /// Name of the topic.
        topic: &'a str = "topic",
        /// The group.
        group: &'a str = "group",
    }

    /// VIEW_BROKER_STATS_DATA (315).
    struct ViewBrokerStatsDataRequestHeader<'a> {
        /// Which statistic, such as `TOPIC_PUT_NUMS`.
        stats_name: &'a str = "statsName",
        /// Of what, such as a topic.
        stats_key: &'a str = "statsKey",
    }

    /// GET_BROKER_CONSUME_STATS (317).
    struct GetConsumeStatsInBrokerHeader {
        /// Only topics that are ordered over all brokers.
        is_order: bool = "isOrder",
    }

    /// QUERY_TOPICS_BY_CONSUMER (343).
    struct QueryTopicsByConsumerRequestHeader<'a> {
        /// The group.
        group: &'a str = "group",
    }

    /// QUERY_SUBSCRIPTION_BY_CONSUMER (345).
    struct QuerySubscriptionByConsumerRequestHeader<'a> {
        /// The group.
        group: &'a str = "group",
        /// Name of the topic.
        topic: &'a str = "topic",
    }

    /// UPDATE_AND_GET_GROUP_FORBIDDEN (353).
    struct UpdateGroupForbiddenRequestHeader<'a> {
        /// The group.
        group: &'a str = "group",
        /// Name of the topic.
        topic: &'a str = "topic",
        /// Whether the group may read the topic; only asked for when missing.
        readable: Option<bool> = "readable",
    }

    /// EXCHANGE_BROKER_HA_INFO (906): tells a slave of its master, or asks a master without any field.
    struct ExchangeHAInfoRequestHeader<'a> {
        /// Where the master's log is had.
        master_ha_address: Option<&'a str> = "masterHaAddress",
        /// Up to where the master's log is on disk.
        master_flush_offset: Option<i64> = "masterFlushOffset",
        /// Where the master is reached.
        master_address: Option<&'a str> = "masterAddress",
    }

    /// Answer to EXCHANGE_BROKER_HA_INFO.
    struct ExchangeHAInfoResponseHeader<'a> {
        /// Where the master's log is had.
        master_ha_address: Option<&'a str> = "masterHaAddress",
        /// Up to where the master's log is on disk.
        master_flush_offset: Option<i64> = "masterFlushOffset",
        /// Where the master is reached.
        master_address: Option<&'a str> = "masterAddress",
    }
}
