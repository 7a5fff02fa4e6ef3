//! Keys of [`BrokerConfig`]: what the broker does, apart from store and network.
//!
//! Java: `common/…/common/BrokerConfig.java`, `BrokerIdentity.java`.

use crate::macros::config;

config! {
    /// What the broker does, apart from store and network.
    pub struct BrokerConfig {
        /// The file that -c named.
        pub broker_config_path: String = "brokerConfigPath" => "", fixed;
        /// Folder of the installation: ROCKETMQ_HOME. Never required.
        pub rocketmq_home: String = "rocketmqHome" (env) => env.rocketmq_home.clone(), fixed;
        /// Name servers as host:port, separated by semicolons.
        pub namesrv_addr: String = "namesrvAddr" (env) => env.namesrv_addr.clone(), important, dynamic;
        /// Port of the broker as this family sees it; the port that is opened is the listenPort of the server keys, which the same line of the file sets.
        pub listen_port: u16 = "listenPort" => 6888, important;
        /// Address that the broker registers: what clients connect to.
        pub broker_ip1: String = "brokerIP1" (env) => env.ip.clone(), important, address;
        /// Address that slaves replicate from.
        pub broker_ip2: String = "brokerIP2" (env) => env.ip.clone(), address;
        /// Recover queues on several threads.
        pub recover_concurrently: bool = "recoverConcurrently" => false, important, no_effect;
        /// What clients may do with the whole broker: 4 read, 2 write, 6 both.
        pub broker_permission: u32 = "brokerPermission" [0..=7] => 6, dynamic;
        /// Queues of the template topic TBW102, and so the most that an automatically created topic gets.
        pub default_topic_queue_nums: u32 = "defaultTopicQueueNums" [1..=65535] => 8, dynamic;
        /// Create a topic when a message for an unknown one arrives.
        pub auto_create_topic_enable: bool = "autoCreateTopicEnable" => true, important, dynamic;
        /// Keep a topic with the name of the cluster.
        pub cluster_topic_enable: bool = "clusterTopicEnable" => true, dynamic;
        /// Keep a topic with the name of the broker.
        pub broker_topic_enable: bool = "brokerTopicEnable" => true, dynamic;
        /// Create a consumer group when an unknown one asks for messages.
        pub auto_create_subscription_group: bool = "autoCreateSubscriptionGroup" => true, important, dynamic;
        /// Java classes wrapped around the store.
        pub message_store_plug_in: String = "messageStorePlugIn" => "", no_effect;
        /// Topic that clients send message traces to.
        pub msg_trace_topic_name: String = "msgTraceTopicName" => "RMQ_SYS_TRACE_TOPIC", important, dynamic;
        /// Keep the trace topic on this broker.
        pub trace_topic_enable: bool = "traceTopicEnable" => false, important, dynamic;
        /// Threads for messages given back that are not in memory; what producers send RaptorMQ appends on its I/O threads.
        pub send_message_thread_pool_nums: u32 = "sendMessageThreadPoolNums" (env) => env.cores.min(4);
        /// Threads that answer finished sends; RaptorMQ answers on its I/O threads.
        pub put_message_future_thread_pool_nums: u32 = "putMessageFutureThreadPoolNums" (env) => env.cores.min(4), no_effect;
        /// Threads for pulls whose messages are not in memory; what is in memory is read on the I/O threads.
        pub pull_message_thread_pool_nums: u32 = "pullMessageThreadPoolNums" (env) => 16 + 2 * env.cores;
        /// Threads for pulls of lite consumers whose messages are not in memory.
        pub lite_pull_message_thread_pool_nums: u32 = "litePullMessageThreadPoolNums" (env) => 16 + 2 * env.cores;
        /// Threads for acknowledgements of pop consumers, which there are not yet.
        pub ack_message_thread_pool_nums: u32 = "ackMessageThreadPoolNums" => 16, no_effect;
        /// Threads for reply messages; RaptorMQ hands them over on its I/O threads.
        pub process_reply_message_thread_pool_nums: u32 = "processReplyMessageThreadPoolNums" (env) => 16 + 2 * env.cores, no_effect;
        /// Threads for message queries.
        pub query_message_thread_pool_nums: u32 = "queryMessageThreadPoolNums" (env) => 8 + env.cores;
        /// Threads for what tools ask that may have to be read from the disk; RaptorMQ answers the rest on its I/O threads.
        pub admin_broker_thread_pool_nums: u32 = "adminBrokerThreadPoolNums" => 16;
        /// Threads for client management; RaptorMQ does it on its I/O threads.
        pub client_manage_thread_pool_nums: u32 = "clientManageThreadPoolNums" => 32, no_effect;
        /// Threads for consumer management; RaptorMQ does it on its I/O threads.
        pub consumer_manage_thread_pool_nums: u32 = "consumerManageThreadPoolNums" => 32, no_effect;
        /// Threads for server-side load balancing; RaptorMQ does it on its I/O threads.
        pub load_balance_processor_thread_pool_nums: u32 = "loadBalanceProcessorThreadPoolNums" => 32, no_effect;
        /// Threads for heartbeats; RaptorMQ takes them on its I/O threads.
        pub heartbeat_thread_pool_nums: u32 = "heartbeatThreadPoolNums" (env) => env.cores.min(32), no_effect;
        /// Threads for recovery.
        pub recover_thread_pool_nums: u32 = "recoverThreadPoolNums" => 32, no_effect;
        /// Threads for ends of transactions whose halves are not in memory; RaptorMQ does the rest on its I/O threads.
        pub end_transaction_thread_pool_nums: u32 = "endTransactionThreadPoolNums" (env) => (8 + 2 * env.cores).max(4 * env.cores.min(4));
        /// Milliseconds between two writes of the consumer offsets to disk.
        pub flush_consumer_offset_interval: u64 = "flushConsumerOffsetInterval" [1..=9223372036854775807] => 5000, dynamic;
        /// Milliseconds between two writes of the history of consumer offsets.
        pub flush_consumer_offset_history_interval: u64 = "flushConsumerOffsetHistoryInterval" => 60_000, no_effect;
        /// Refuse transactional messages.
        pub reject_transaction_message: bool = "rejectTransactionMessage" => false, important, dynamic;
        /// Resolve the host names of namesrvAddr again at every update, and use every address that they have.
        pub fetch_name_srv_addr_by_dns_lookup: bool = "fetchNameSrvAddrByDnsLookup" => false, important, dynamic, no_effect;
        /// Ask an HTTP address server for the name servers.
        pub fetch_namesrv_addr_by_address_server: bool = "fetchNamesrvAddrByAddressServer" => false, important, dynamic, no_effect;
        /// Sends whose answers wait for the disk, for slaves or for name servers; while there are so many, further ones are refused. Also messages given back that wait for a thread.
        pub send_thread_pool_queue_capacity: u32 = "sendThreadPoolQueueCapacity" => 10_000;
        /// Finished sends that wait for a thread; none does in RaptorMQ.
        pub put_thread_pool_queue_capacity: u32 = "putThreadPoolQueueCapacity" => 10_000, no_effect;
        /// Pulls that wait for a thread; further ones are refused.
        pub pull_thread_pool_queue_capacity: u32 = "pullThreadPoolQueueCapacity" => 100_000;
        /// Pulls of lite consumers that wait for a thread; further ones are refused.
        pub lite_pull_thread_pool_queue_capacity: u32 = "litePullThreadPoolQueueCapacity" => 100_000;
        /// Acknowledgements that wait for a thread; there are none yet.
        pub ack_thread_pool_queue_capacity: u32 = "ackThreadPoolQueueCapacity" => 100_000, no_effect;
        /// Replies that wait until their requester has taken them; while there are so many, further ones are refused.
        pub reply_thread_pool_queue_capacity: u32 = "replyThreadPoolQueueCapacity" => 10_000;
        /// Queries that wait for a thread; further ones are refused.
        pub query_thread_pool_queue_capacity: u32 = "queryThreadPoolQueueCapacity" => 20_000;
        /// Client management requests that wait for a thread; none does in RaptorMQ.
        pub client_manager_thread_pool_queue_capacity: u32 = "clientManagerThreadPoolQueueCapacity" => 1_000_000, no_effect;
        /// Consumer management requests that wait for a thread; none does in RaptorMQ.
        pub consumer_manager_thread_pool_queue_capacity: u32 = "consumerManagerThreadPoolQueueCapacity" => 1_000_000, no_effect;
        /// Heartbeats that wait for a thread; none does in RaptorMQ.
        pub heartbeat_thread_pool_queue_capacity: u32 = "heartbeatThreadPoolQueueCapacity" => 50_000, no_effect;
        /// Ends of transactions that wait for a thread; further ones are refused.
        pub end_transaction_pool_queue_capacity: u32 = "endTransactionPoolQueueCapacity" => 100_000;
        /// Requests of tools that wait for a thread, and as many that wait for a file or for a client; further ones are refused.
        pub admin_broker_thread_pool_queue_capacity: u32 = "adminBrokerThreadPoolQueueCapacity" => 10_000;
        /// Questions for shares of queues that wait for a name server.
        pub load_balance_thread_pool_queue_capacity: u32 = "loadBalanceThreadPoolQueueCapacity" => 100_000;
        /// Hold a pull that finds nothing until a message arrives or its time is over.
        pub long_polling_enable: bool = "longPollingEnable" => true, dynamic;
        /// Milliseconds for which a pull is held when long polling is off.
        pub short_polling_time_mills: u64 = "shortPollingTimeMills" => 1000, dynamic;
        /// Tell the members of a consumer group at once when the group changes.
        pub notify_consumer_ids_changed_enable: bool = "notifyConsumerIdsChangedEnable" => true, dynamic;
        /// Unused in RocketMQ too.
        pub high_speed_mode: bool = "highSpeedMode" => false, no_effect;
        /// Messages for which the commercial statistics count one.
        pub commercial_base_count: i32 = "commercialBaseCount" => 1, no_effect;
        /// Bytes for which the commercial statistics count one message.
        pub commercial_size_per_msg: u32 = "commercialSizePerMsg" => 4096, no_effect;
        /// Keep statistics by account.
        pub account_stats_enable: bool = "accountStatsEnable" => true, no_effect;
        /// Print the statistics of idle accounts too.
        pub account_stats_print_zero_values: bool = "accountStatsPrintZeroValues" => true, no_effect;
        /// Minutes after which idle statistics are dropped; -1 keeps them.
        pub max_stats_idle_time_in_minutes: i32 = "maxStatsIdleTimeInMinutes" => -1, dynamic, no_effect;
        /// Copy messages through memory on reads; RaptorMQ always sends them straight from the log's mapping.
        pub transfer_msg_by_heap: bool = "transferMsgByHeap" => true, no_effect;
        /// Region that is written to every message as MSG_REGION.
        pub region_id: String = "regionId" => "DefaultRegion", dynamic;
        /// Milliseconds that a registration with a name server may take.
        pub register_broker_timeout_mills: u64 = "registerBrokerTimeoutMills" => 24_000, dynamic;
        /// Milliseconds that a heartbeat to a name server or controller may take.
        pub send_heartbeat_timeout_millis: u64 = "sendHeartbeatTimeoutMillis" => 1000, no_effect;
        /// Tell consumers that have fallen behind to read from a slave.
        pub slave_read_enable: bool = "slaveReadEnable" => false, dynamic;
        /// Stop groups that have fallen behind by consumerFallbehindThreshold: they may not consume until an administrator lets them (updateSubGroup).
        pub disable_consume_if_consumer_read_slowly: bool = "disableConsumeIfConsumerReadSlowly" => false, dynamic;
        /// Bytes of the log by which a group may be behind in what it reads.
        pub consumer_fallbehind_threshold: u64 = "consumerFallbehindThreshold" => 17_179_869_184, dynamic;
        /// Refuse requests that have waited too long for a thread. RaptorMQ never refuses a send so: none waits in front of the log.
        pub broker_fast_failure_enable: bool = "brokerFastFailureEnable" => true, dynamic;
        /// Milliseconds that a message given back may wait for a thread before it is refused.
        pub wait_time_mills_in_send_queue: u64 = "waitTimeMillsInSendQueue" => 200, dynamic;
        /// Milliseconds that a pull may wait for a thread before it is refused.
        pub wait_time_mills_in_pull_queue: u64 = "waitTimeMillsInPullQueue" => 5000, dynamic;
        /// Milliseconds that a pull of a lite consumer may wait for a thread before it is refused.
        pub wait_time_mills_in_lite_pull_queue: u64 = "waitTimeMillsInLitePullQueue" => 5000, dynamic;
        /// Milliseconds that a heartbeat may wait before it is refused; none waits in RaptorMQ.
        pub wait_time_mills_in_heartbeat_queue: u64 = "waitTimeMillsInHeartbeatQueue" => 31_000, no_effect;
        /// Milliseconds that an end of a transaction may wait for a thread before it is refused.
        pub wait_time_mills_in_transaction_queue: u64 = "waitTimeMillsInTransactionQueue" => 3000, dynamic;
        /// Milliseconds that an acknowledgement may wait before it is refused; there are none yet.
        pub wait_time_mills_in_ack_queue: u64 = "waitTimeMillsInAckQueue" => 3000, no_effect;
        /// Milliseconds that a request of a tool may wait for a thread before it is refused.
        pub wait_time_mills_in_admin_broker_queue: u64 = "waitTimeMillsInAdminBrokerQueue" => 5000, dynamic;
        /// Unix milliseconds before which sends are refused.
        pub start_accept_send_request_time_stamp: i64 = "startAcceptSendRequestTimeStamp" => 0, dynamic;
        /// Write TRACE_ON=true to every message.
        pub trace_on: bool = "traceOn" => true, dynamic;
        /// Compute at append which groups of SQL filters want a message; needs enableConsumeQueueExt.
        pub enable_calc_filter_bit_map: bool = "enableCalcFilterBitMap" => false, dynamic;
        /// Refuse consumers that pull by themselves.
        pub reject_pull_consumer_enable: bool = "rejectPullConsumerEnable" => false, dynamic;
        /// Groups with SQL filters expected on a topic.
        pub expect_consumer_num_use_filter: u32 = "expectConsumerNumUseFilter" => 32;
        /// Wrong hits of the filter bit map, in percent.
        pub max_error_rate_of_bloom_filter: u32 = "maxErrorRateOfBloomFilter" => 20;
        /// Milliseconds after which the filter of a group that is gone is dropped.
        pub filter_data_clean_time_span: u64 = "filterDataCleanTimeSpan" => 86_400_000;
        /// Filter the messages of retry topics by SQL too.
        pub filter_support_retry: bool = "filterSupportRetry" => false, dynamic;
        /// Allow filters by SQL92.
        pub enable_property_filter: bool = "enablePropertyFilter" => false, dynamic;
        /// Send registrations compressed to name servers that understand it.
        pub compressed_register: bool = "compressedRegister" => false, dynamic;
        /// Register at every period, changed or not.
        pub force_register: bool = "forceRegister" => true, dynamic;
        /// Milliseconds between two registrations, from 10,000 to 60,000.
        pub register_name_server_period: u64 = "registerNameServerPeriod" [1..=3600000] => 30_000;
        /// Milliseconds between two readings of the name server addresses.
        pub update_name_server_addr_period: u64 = "updateNameServerAddrPeriod" => 120_000, no_effect;
        /// Milliseconds between two heartbeats to the name servers, if they are sent.
        pub broker_heartbeat_interval: u64 = "brokerHeartbeatInterval" => 1000;
        /// Milliseconds without a heartbeat after which a name server takes this broker for gone.
        pub broker_not_active_timeout_millis: u64 = "brokerNotActiveTimeoutMillis" => 10_000;
        /// Limit the network by the state of the machine.
        pub enable_network_flow_control: bool = "enableNetWorkFlowControl" => false, no_effect;
        /// Keep offsets of broadcasting consumers for their move between proxy and broker.
        pub enable_broadcast_offset_store: bool = "enableBroadcastOffsetStore" => true, dynamic, no_effect;
        /// Seconds after which such an offset may be given to another client.
        pub broadcast_offset_expire_second: u32 = "broadcastOffsetExpireSecond" => 120, dynamic, no_effect;
        /// Seconds after which such an offset is dropped.
        pub broadcast_offset_expire_max_second: u32 = "broadcastOffsetExpireMaxSecond" => 300, dynamic, no_effect;
        /// Pops that may wait on one queue.
        pub pop_polling_size: u32 = "popPollingSize" => 1024, dynamic, no_effect;
        /// Queues on which pops may wait.
        pub pop_polling_map_size: u32 = "popPollingMapSize" => 100_000, dynamic, no_effect;
        /// Pops that may wait in all.
        pub max_pop_polling_size: u32 = "maxPopPollingSize" => 100_000, dynamic, no_effect;
        /// Queues of the topic that brings unacknowledged messages back.
        pub revive_queue_num: u32 = "reviveQueueNum" => 8;
        /// Milliseconds between two rounds of bringing unacknowledged messages back.
        pub revive_interval: u64 = "reviveInterval" => 1000, dynamic, no_effect;
        /// Rounds of slowness that are tolerated.
        pub revive_max_slow: u32 = "reviveMaxSlow" => 3, dynamic, no_effect;
        /// Milliseconds that one round may read.
        pub revive_scan_time: u64 = "reviveScanTime" => 10_000, dynamic, no_effect;
        /// Give up checkpoints that wait too long for their acknowledgements.
        pub enable_skip_long_awaiting_ack: bool = "enableSkipLongAwaitingAck" => false, dynamic, no_effect;
        /// Milliseconds after which a checkpoint has waited too long.
        pub revive_ack_wait_ms: u64 = "reviveAckWaitMs" => 180_000, dynamic, no_effect;
        /// Log what pop does.
        pub enable_pop_log: bool = "enablePopLog" => false, dynamic, no_effect;
        /// Keep pop checkpoints in memory for a while before they are written.
        pub enable_pop_buffer_merge: bool = "enablePopBufferMerge" => false, dynamic, no_effect;
        /// Milliseconds that a checkpoint stays in memory.
        pub pop_ck_stay_buffer_time: u64 = "popCkStayBufferTime" => 10_000, dynamic, no_effect;
        /// Milliseconds before its time is over at which a checkpoint must be written.
        pub pop_ck_stay_buffer_time_out: u64 = "popCkStayBufferTimeOut" => 3000, dynamic, no_effect;
        /// Checkpoints in memory.
        pub pop_ck_max_buffer_size: u32 = "popCkMaxBufferSize" => 200_000, dynamic, no_effect;
        /// Checkpoints in memory for one queue.
        pub pop_ck_offset_max_queue_size: u32 = "popCkOffsetMaxQueueSize" => 20_000, dynamic, no_effect;
        /// Write acknowledgements of a batch as one.
        pub enable_pop_batch_ack: bool = "enablePopBatchAck" => false, dynamic, no_effect;
        /// Milliseconds after which a waiting pop is tried again without news.
        pub pop_long_polling_force_notify_interval: u64 = "popLongPollingForceNotifyInterval" => 800, dynamic, no_effect;
        /// Wake waiting pops before the lag is computed.
        pub enable_notify_before_pop_calculate_lag: bool = "enableNotifyBeforePopCalculateLag" => true, dynamic, no_effect;
        /// Wake waiting pops when an ordered queue becomes free.
        pub enable_notify_after_pop_order_lock_release: bool = "enableNotifyAfterPopOrderLockRelease" => true, dynamic, no_effect;
        /// Start a new pop group at the end only when messages are no longer in memory.
        pub init_pop_offset_by_check_msg_in_mem: bool = "initPopOffsetByCheckMsgInMem" => true, dynamic, no_effect;
        /// Read retry topics of the older naming too.
        pub retrieve_message_from_pop_retry_topic_v1: bool = "retrieveMessageFromPopRetryTopicV1" => true, dynamic, no_effect;
        /// Name retry topics of pop groups in the newer way.
        pub enable_retry_topic_v2: bool = "enableRetryTopicV2" => false, dynamic, no_effect;
        /// Of 100 pops, those that read the retry topic first.
        pub pop_from_retry_probability: u32 = "popFromRetryProbability" => 20, dynamic, no_effect;
        /// Prepare the file variant of the pop consumer service.
        pub pop_consumer_fs_service_init: bool = "popConsumerFSServiceInit" => true, no_effect;
        /// Log the RocksDB variant of the pop consumer service.
        pub pop_consumer_kv_service_log: bool = "popConsumerKVServiceLog" => false, no_effect;
        /// Prepare the RocksDB variant of the pop consumer service.
        pub pop_consumer_kv_service_init: bool = "popConsumerKVServiceInit" => false, no_effect;
        /// Use the RocksDB variant of the pop consumer service.
        pub pop_consumer_kv_service_enable: bool = "popConsumerKVServiceEnable" => false, no_effect;
        /// Messages that one read of the RocksDB variant returns.
        pub pop_revive_max_return_size_per_read: u32 = "popReviveMaxReturnSizePerRead" => 16_384, dynamic, no_effect;
        /// Attempts to bring a message back.
        pub pop_revive_max_attempt_times: u32 = "popReviveMaxAttemptTimes" => 16, dynamic, no_effect;
        /// Tell members of groups about changes at once, not every 15 seconds.
        pub real_time_notify_consumer_change: bool = "realTimeNotifyConsumerChange" => true, dynamic;
        /// Take pulls of lite consumers.
        pub lite_pull_message_enable: bool = "litePullMessageEnable" => true, dynamic;
        /// Milliseconds between two readings of this broker's group from the name servers.
        pub sync_broker_member_group_period: u64 = "syncBrokerMemberGroupPeriod" => 1000;
        /// Milliseconds between two readings of routes for load balancing.
        pub load_balance_poll_name_server_interval: u64 = "loadBalancePollNameServerInterval" => 30_000, dynamic;
        /// Milliseconds between two removals of brokers that are gone.
        pub clean_offline_broker_interval: u64 = "cleanOfflineBrokerInterval" => 30_000, no_effect;
        /// Share queues out on the server for clients that ask.
        pub server_load_balancer_enable: bool = "serverLoadBalancerEnable" => true, dynamic;
        /// How groups read unless told otherwise: PULL or POP.
        pub default_message_request_mode: String = "defaultMessageRequestMode" => "PULL", dynamic, no_effect;
        /// Queues that pop consumers share; -1 for all.
        pub default_pop_share_queue_num: i32 = "defaultPopShareQueueNum" => -1, dynamic, no_effect;
        /// Milliseconds after which the producer of an open transaction is asked for the first time.
        pub transaction_time_out: u64 = "transactionTimeOut" => 6000, important, dynamic;
        /// Times that the producer of an open transaction is asked.
        pub transaction_check_max: u32 = "transactionCheckMax" => 15, important, dynamic;
        /// Milliseconds between two rounds of asking.
        pub transaction_check_interval: u64 = "transactionCheckInterval" => 30_000, important, dynamic;
        /// Milliseconds between two writes of the transaction statistics.
        pub transaction_metric_flush_interval: u64 = "transactionMetricFlushInterval" => 3000, no_effect;
        /// Bytes of one record about finished transactions.
        pub transaction_op_msg_max_size: u32 = "transactionOpMsgMaxSize" => 4096, dynamic;
        /// Milliseconds for which finished transactions are gathered; RaptorMQ notes them at the end of each turn.
        pub transaction_op_batch_interval: u64 = "transactionOpBatchInterval" => 3000, dynamic, no_effect;
        /// The access control of 4.x.
        pub acl_enable: bool = "aclEnable" => false, important, fixed;
        /// File of accounts within rocketmqHome; `.yml` files in its folder conf/acl count too. Also -Drocketmq.acl.plain.file.
        pub plain_acl_file: String = "plainAclFile" => "conf/plain_acl.yml", fixed, hidden, own;
        /// Keep reply messages in the store.
        pub store_reply_message_enable: bool = "storeReplyMessageEnable" => true, dynamic;
        /// Keep statistics by topic and group.
        pub enable_detail_stat: bool = "enableDetailStat" => true, dynamic;
        /// Drop the statistics of deleted topics and groups.
        pub auto_delete_unused_stats: bool = "autoDeleteUnusedStats" => true, dynamic, no_effect;
        /// Write the logs of each broker to a folder of its own.
        pub isolate_log_enable: bool = "isolateLogEnable" => false, no_effect;
        /// Milliseconds that forwarded requests may take.
        pub forward_timeout: u64 = "forwardTimeout" => 3000, dynamic, no_effect;
        /// Let a slave serve as master while there is none.
        pub enable_slave_acting_master: bool = "enableSlaveActingMaster" => false;
        /// Let an acting master send delayed messages that are due to brokers of other names.
        pub enable_remote_escape: bool = "enableRemoteEscape" => false;
        /// Skip the catching-up before a broker comes on line.
        pub skip_pre_online: bool = "skipPreOnline" => false;
        /// Answer sends from another thread; RaptorMQ never blocks a thread on them.
        pub async_send_enable: bool = "asyncSendEnable" => true, no_effect;
        /// Reset offsets on the broker as well as in the clients.
        pub use_server_side_reset_offset: bool = "useServerSideResetOffset" => true, dynamic;
        /// Changes of offsets after which their data version grows.
        pub consumer_offset_update_version_step: u64 = "consumerOffsetUpdateVersionStep" => 500, dynamic;
        /// Changes of delay offsets after which their data version grows.
        pub delay_offset_update_version_step: u64 = "delayOffsetUpdateVersionStep" => 200;
        /// Lock a queue only when enough replicas agree.
        pub lock_in_strict_mode: bool = "lockInStrictMode" => false, dynamic, no_effect;
        /// Send what name servers before 5.0 understand.
        pub compatible_with_old_name_srv: bool = "compatibleWithOldNameSrv" => true, dynamic, no_effect;
        /// Let a controller decide who is master.
        pub enable_controller_mode: bool = "enableControllerMode" => false, no_effect;
        /// Controllers as host:port, separated by semicolons.
        pub controller_addr: String = "controllerAddr" => "", no_effect;
        /// Resolve the controllers' host names again at every update.
        pub fetch_controller_addr_by_dns_lookup: bool = "fetchControllerAddrByDnsLookup" => false, no_effect;
        /// Milliseconds between two exchanges of metadata with the controller.
        pub sync_broker_metadata_period: u64 = "syncBrokerMetadataPeriod" => 5000, no_effect;
        /// Milliseconds between two checks of who is in sync.
        pub check_sync_state_set_period: u64 = "checkSyncStateSetPeriod" => 5000, no_effect;
        /// Milliseconds between two readings of the controller's leader.
        pub sync_controller_metadata_period: u64 = "syncControllerMetadataPeriod" => 10_000, no_effect;
        /// Milliseconds without a heartbeat after which the controller takes this broker for gone.
        pub controller_heart_beat_timeout_mills: u64 = "controllerHeartBeatTimeoutMills" => 10_000, no_effect;
        /// Refuse changes of system topics.
        pub validate_system_topic_when_update_topic: bool = "validateSystemTopicWhenUpdateTopic" => true, dynamic;
        /// Rank in elections; smaller comes first.
        pub broker_election_priority: u32 = "brokerElectionPriority" => 2_147_483_647, no_effect;
        /// Look for a group's subscription in its settings rather than in heartbeats.
        pub use_static_subscription: bool = "useStaticSubscription" => false, no_effect;
        /// Where metrics go: DISABLE, OTLP_GRPC, PROM or LOG.
        pub metrics_exporter_type: String = "metricsExporterType" => "DISABLE", no_effect;
        /// Label combinations of one metric.
        pub metrics_otel_cardinality_limit: u32 = "metricsOtelCardinalityLimit" => 50_000, no_effect;
        /// Address of the collector.
        pub metrics_grpc_exporter_target: String = "metricsGrpcExporterTarget" => "", no_effect;
        /// Headers for the collector.
        pub metrics_grpc_exporter_header: String = "metricsGrpcExporterHeader" => "", no_effect;
        /// Milliseconds that sending metrics may take.
        pub metric_grpc_exporter_time_out_in_mills: u64 = "metricGrpcExporterTimeOutInMills" => 3000, no_effect;
        /// Milliseconds between two sendings of metrics.
        pub metric_grpc_exporter_interval_in_mills: u64 = "metricGrpcExporterIntervalInMills" => 60_000, no_effect;
        /// Milliseconds between two loggings of metrics.
        pub metric_logging_exporter_interval_in_mills: u64 = "metricLoggingExporterIntervalInMills" => 10_000, no_effect;
        /// Port on which metrics are read.
        pub metrics_prom_exporter_port: u16 = "metricsPromExporterPort" => 5557, no_effect;
        /// Address on which metrics are read.
        pub metrics_prom_exporter_host: String = "metricsPromExporterHost" => "", no_effect;
        /// Labels added to every metric, as name:value separated by commas.
        pub metrics_label: String = "metricsLabel" => "", no_effect;
        /// Send metrics as differences.
        pub metrics_in_delta: bool = "metricsInDelta" => false, no_effect;
        /// Milliseconds without a heartbeat after which a client is dropped.
        pub channel_expired_timeout: u64 = "channelExpiredTimeout" => 120_000, dynamic;
        /// Milliseconds after which the subscription of an absent group is dropped.
        pub subscription_expired_timeout: u64 = "subscriptionExpiredTimeout" => 600_000, dynamic, no_effect;
        /// Estimate the lag of filtered groups from samples.
        pub estimate_accumulation: bool = "estimateAccumulation" => true, dynamic, no_effect;
        /// Adapt the limits of cold reads to the load.
        pub cold_ctr_strategy_enable: bool = "coldCtrStrategyEnable" => false, no_effect;
        /// Adapt them by a PID controller.
        pub use_pid_cold_ctr_strategy: bool = "usePIDColdCtrStrategy" => true, no_effect;
        /// Bytes of cold data a second for one group.
        pub cg_cold_read_threshold: u64 = "cgColdReadThreshold" => 3_145_728, no_effect;
        /// Bytes of cold data a second for all groups.
        pub global_cold_read_threshold: u64 = "globalColdReadThreshold" => 104_857_600, no_effect;
        /// Milliseconds between two questions to the address server.
        pub fetch_namesrv_addr_interval: u64 = "fetchNamesrvAddrInterval" => 10_000, no_effect;
        /// Give pop consumers messages under the name of their retry topic.
        pub pop_response_return_actual_retry_topic: bool = "popResponseReturnActualRetryTopic" => false, dynamic, no_effect;
        /// Register a changed topic alone instead of all topics.
        pub enable_single_topic_register: bool = "enableSingleTopicRegister" => false, dynamic, no_effect;
        /// Let one topic hold messages of different types.
        pub enable_mixed_message_type: bool = "enableMixedMessageType" => false, dynamic;
        /// Register topics in several parts.
        pub enable_split_registration: bool = "enableSplitRegistration" => false, dynamic, no_effect;
        /// Unacknowledged messages of a queue above which pops wait.
        pub pop_inflight_message_threshold: u64 = "popInflightMessageThreshold" => 10_000, dynamic, no_effect;
        /// Apply popInflightMessageThreshold.
        pub enable_pop_message_threshold: bool = "enablePopMessageThreshold" => false, dynamic, no_effect;
        /// Look up the groups of a lost connection by an index; RaptorMQ always does.
        pub enable_fast_channel_event_process: bool = "enableFastChannelEventProcess" => false, no_effect;
        /// Log the groups of a lost connection.
        pub print_channel_groups: bool = "printChannelGroups" => false, no_effect;
        /// Groups from which they are logged.
        pub print_channel_groups_min_num: u32 = "printChannelGroupsMinNum" => 5, no_effect;
        /// Topics in one part of a registration.
        pub split_registration_size: u32 = "splitRegistrationSize" => 800, dynamic, no_effect;
        /// Keys that are never changed over the wire, separated by semicolons.
        pub config_black_list: String = "configBlackList" => "configBlackList;brokerConfigPath", fixed;
        /// Drop a checkpoint that was written too often.
        pub skip_when_ck_reput_reach_max_times: bool = "skipWhenCKRePutReachMaxTimes" => false, dynamic, no_effect;
        /// Write acknowledgements without waiting for them.
        pub append_ack_async: bool = "appendAckAsync" => false, no_effect;
        /// Write checkpoints without waiting for them.
        pub append_ck_async: bool = "appendCkAsync" => false, no_effect;
        /// Delete the pop retry topics of a deleted topic too.
        pub clear_retry_topic_when_delete_topic: bool = "clearRetryTopicWhenDeleteTopic" => true, dynamic, no_effect;
        /// Keep statistics of light message queues.
        pub enable_lmq_stats: bool = "enableLmqStats" => false, no_effect;
        /// Format of the RocksDB metadata.
        pub config_manager_version: String = "configManagerVersion" => "v1", no_effect;
        /// Recall delayed messages while the broker takes no new ones.
        pub allow_recall_when_broker_not_writeable: bool = "allowRecallWhenBrokerNotWriteable" => true, dynamic, no_effect;
        /// Allow that delayed messages are recalled.
        pub recall_message_enable: bool = "recallMessageEnable" => false, dynamic, no_effect;
        /// Remember producers from their heartbeats.
        pub enable_register_producer: bool = "enableRegisterProducer" => true, dynamic;
        /// Create the system groups at the start.
        pub enable_create_sys_group: bool = "enableCreateSysGroup" => true, dynamic, no_effect;
        /// Name of the broker group; master and slaves share it.
        pub broker_name: String = "brokerName" (env) => env.host_name.clone(), fixed, hidden;
        /// Name of the cluster.
        pub broker_cluster_name: String = "brokerClusterName" => "DefaultCluster", fixed, hidden;
        /// 0 for the master, above 0 for slaves. Masters get 0 whatever the file says.
        pub broker_id: i64 = "brokerId" [-1..=9223372036854775807] => 0, fixed, hidden;
        /// Run several brokers in one process.
        pub is_broker_container: bool = "isBrokerContainer" => false, hidden, no_effect;
        /// This broker runs with others in one process.
        pub is_in_broker_container: bool = "isInBrokerContainer" => false, hidden, no_effect;
        /// Seconds after which an idle entry of waiting pops is dropped (5.4).
        pub pop_polling_map_expire_time_seconds: u32 = "popPollingMapExpireTimeSeconds" => 600, later, no_effect;
        /// Keep metrics of the network (5.4).
        pub enable_remoting_metrics: bool = "enableRemotingMetrics" => true, later, no_effect;
        /// Keep metrics of the store (5.4).
        pub enable_message_store_metrics: bool = "enableMessageStoreMetrics" => true, later, no_effect;
        /// Keep metrics of pop (5.4).
        pub enable_pop_metrics: bool = "enablePopMetrics" => true, later, no_effect;
        /// Keep metrics of connections (5.4).
        pub enable_connection_metrics: bool = "enableConnectionMetrics" => true, later, no_effect;
        /// Keep metrics of transactions (5.4).
        pub enable_transaction_metrics: bool = "enableTransactionMetrics" => true, later, no_effect;
        /// Keep metrics of messages (5.4).
        pub enable_stats_metrics: bool = "enableStatsMetrics" => true, later, no_effect;
        /// Keep metrics of requests (5.4).
        pub enable_request_metrics: bool = "enableRequestMetrics" => true, later, no_effect;
        /// Keep metrics of lag and dead letters (5.4).
        pub enable_lag_and_dlq_metrics: bool = "enableLagAndDlqMetrics" => true, later, no_effect;
        /// Send metadata to slaves in parts (5.4).
        pub enable_split_metadata: bool = "enableSplitMetadata" => true, later;
        /// Entries in one part of the metadata (5.4).
        pub split_metadata_size: u32 = "splitMetadataSize" => 2000, later;
        /// Bytes that clients may make the broker remember together: members and subscriptions of groups, locks on queues, held pulls. Beyond it heartbeats are refused, queues are not locked, and pulls are answered at once.
        pub client_bytes_max: u64 = "clientBytesMax" [1048576..=1099511627776] => 256 * 1024 * 1024, own;
    }
}
