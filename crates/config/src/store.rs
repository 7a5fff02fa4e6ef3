//! Keys of [`StoreConfig`]: how messages are kept on disk.
//!
//! Java: `store/…/store/config/MessageStoreConfig.java`.

use crate::macros::config;

crate::value::words! {
    /// What this broker is in its group.
    pub enum BrokerRole {
        /// Master; sends do not wait for slaves.
        AsyncMaster = "ASYNC_MASTER",
        /// Master; sends wait for slaves.
        SyncMaster = "SYNC_MASTER",
        /// Follows a master.
        Slave = "SLAVE",
    }
}

crate::value::words! {
    /// When a message is acknowledged.
    pub enum FlushDiskType {
        /// When it is on disk.
        SyncFlush = "SYNC_FLUSH",
        /// When the kernel has it.
        AsyncFlush = "ASYNC_FLUSH",
    }
}

config! {
    /// How messages are kept on disk.
    pub struct StoreConfig {
        /// Folder of the store.
        pub store_path_root_dir: String = "storePathRootDir" (env) => format!("{}/store", env.home), important, fixed;
        /// Folder of the commit log; empty for commitlog in the store's folder.
        pub store_path_commit_log: String = "storePathCommitLog" => "", important, fixed;
        /// Folder of the commit log in DLedger mode.
        pub store_path_dledger_commit_log: String = "storePathDLedgerCommitLog" => "", important, fixed, no_effect;
        /// File of the epochs in controller mode.
        pub store_path_epoch_file: String = "storePathEpochFile" => "", important, fixed, no_effect;
        /// File of the broker's identity in controller mode.
        pub store_path_broker_identity: String = "storePathBrokerIdentity" => "", important, fixed, no_effect;
        /// Folders whose commit log files are read, and deleted in time, but where no new ones are made; separated by commas.
        pub read_only_commit_log_store_paths: String = "readOnlyCommitLogStorePaths" => "", fixed;
        /// Bytes of a commit log file.
        pub mapped_file_size_commit_log: u64 = "mappedFileSizeCommitLog" [4096..=2147483647] => 1_073_741_824;
        /// Bytes of a file of a compacted topic.
        pub compaction_mapped_file_size: u64 = "compactionMappedFileSize" => 104_857_600, no_effect;
        /// Bytes of a consume queue file of a compacted topic.
        pub compaction_cq_mapped_file_size: u64 = "compactionCqMappedFileSize" => 10_485_760, no_effect;
        /// Milliseconds between two compactions.
        pub compaction_schedule_internal: u64 = "compactionScheduleInternal" => 900_000, no_effect;
        /// Bytes of memory for one compaction.
        pub max_offset_map_size: u64 = "maxOffsetMapSize" => 104_857_600, no_effect;
        /// Threads for compactions.
        pub compaction_thread_num: u32 = "compactionThreadNum" => 6, no_effect;
        /// Compact topics that ask for it.
        pub enable_compaction: bool = "enableCompaction" => true, no_effect;
        /// Bytes of a timer log file.
        pub mapped_file_size_timer_log: u64 = "mappedFileSizeTimerLog" => 104_857_600, no_effect;
        /// Milliseconds of a slot of the timer wheel.
        pub timer_precision_ms: u64 = "timerPrecisionMs" => 1000, no_effect;
        /// Slots after which a delayed message is rolled.
        pub timer_roll_window_slot: u32 = "timerRollWindowSlot" => 172_800, no_effect;
        /// Milliseconds between two flushes of the timer files.
        pub timer_flush_interval_ms: u64 = "timerFlushIntervalMs" => 1000, no_effect;
        /// Threads that read due messages.
        pub timer_get_message_thread_num: u32 = "timerGetMessageThreadNum" => 3, no_effect;
        /// Threads that write due messages.
        pub timer_put_message_thread_num: u32 = "timerPutMessageThreadNum" => 3, no_effect;
        /// Another queue between those threads.
        pub timer_enable_disruptor: bool = "timerEnableDisruptor" => false, no_effect;
        /// Check the timer statistics.
        pub timer_enable_check_metrics: bool = "timerEnableCheckMetrics" => true, no_effect;
        /// Serve delay levels by the timer wheel.
        pub timer_intercept_delay_level: bool = "timerInterceptDelayLevel" => false, no_effect;
        /// Longest delay in seconds.
        pub timer_max_delay_sec: u64 = "timerMaxDelaySec" => 259_200, no_effect;
        /// Serve messages with a delivery time of their own.
        pub timer_wheel_enable: bool = "timerWheelEnable" => true, no_effect;
        /// Milliseconds after the start in which old timer messages vanish; -1 for never.
        pub disappear_time_after_start: i64 = "disappearTimeAfterStart" => -1, important, no_effect;
        /// Stop taking messages into the timer wheel.
        pub timer_stop_enqueue: bool = "timerStopEnqueue" => false, no_effect;
        /// Hour at which the timer statistics are checked.
        pub timer_check_metrics_when: String = "timerCheckMetricsWhen" => "05", no_effect;
        /// Skip timer messages that cannot be read.
        pub timer_skip_unknown_error: bool = "timerSkipUnknownError" => false, no_effect;
        /// Read the timer wheel into memory at the start.
        pub timer_warm_enable: bool = "timerWarmEnable" => false, no_effect;
        /// Stop taking messages out of the timer wheel.
        pub timer_stop_dequeue: bool = "timerStopDequeue" => false, no_effect;
        /// Try due messages until they are written.
        pub timer_enable_retry_until_success: bool = "timerEnableRetryUntilSuccess" => false, no_effect;
        /// Messages of one slot above which new ones are refused.
        pub timer_congest_num_each_slot: u32 = "timerCongestNumEachSlot" => 2_147_483_647, no_effect;
        /// Messages above which timer statistics are written one by one.
        pub timer_metric_small_threshold: u32 = "timerMetricSmallThreshold" => 1_000_000, no_effect;
        /// Milliseconds between two log lines about the timer.
        pub timer_progress_log_interval_ms: u64 = "timerProgressLogIntervalMs" => 10_000, no_effect;
        /// Kind of store: default. RaptorMQ has no RocksDB store.
        pub store_type: String = "storeType" => "default", important;
        /// Bytes of a consume queue file, rounded up to whole units of 20 bytes.
        pub mapped_file_size_consume_queue: u64 = "mappedFileSizeConsumeQueue" [20..=2147483647] => 6_000_000;
        /// Write extension files beside consume queues.
        pub enable_consume_queue_ext: bool = "enableConsumeQueueExt" => false;
        /// Bytes of an extension file.
        pub mapped_file_size_consume_queue_ext: u64 = "mappedFileSizeConsumeQueueExt" [64..=2147483647] => 50_331_648;
        /// Bytes of a batch consume queue file, rounded up to whole units of 46 bytes.
        pub mapper_file_size_batch_consume_queue: u64 = "mapperFileSizeBatchConsumeQueue" [46..=2147483647] => 13_800_000;
        /// Bits of a filter bit map.
        pub bit_map_length_consume_queue_ext: u32 = "bitMapLengthConsumeQueueExt" => 64, no_effect;
        /// Milliseconds between two flushes of the commit log when flushDiskType is ASYNC_FLUSH; each flushes everything.
        pub flush_interval_commit_log: u64 = "flushIntervalCommitLog" [1..=2147483647] => 500, important;
        /// Milliseconds between two commits of the transient store pool.
        pub commit_interval_commit_log: u64 = "commitIntervalCommitLog" => 200, important, no_effect;
        /// Commit log files that are read at most after a crash.
        pub max_recovery_commitlog_files: u32 = "maxRecoveryCommitlogFiles" => 30, no_effect;
        /// Used disk in percent above which the store takes no more messages; taken as 35 to 90.
        pub disk_space_warning_level_ratio: u32 = "diskSpaceWarningLevelRatio" [1..=100] => 90, dynamic;
        /// Used disk in percent above which the oldest files are deleted whatever their age; taken as 30 to 85.
        pub disk_space_clean_forcibly_ratio: u32 = "diskSpaceCleanForciblyRatio" [1..=100] => 85, dynamic;
        /// Kind of lock around an append.
        pub use_reentrant_lock_when_put_message: bool = "useReentrantLockWhenPutMessage" => true, no_effect;
        /// Flush by the clock rather than when told.
        pub flush_commit_log_timed: bool = "flushCommitLogTimed" => true, important, no_effect;
        /// Milliseconds between two flushes of the consume queues.
        pub flush_interval_consume_queue: u64 = "flushIntervalConsumeQueue" [1..=2147483647] => 1000;
        /// Milliseconds between two looks for files to delete.
        pub clean_resource_interval: u64 = "cleanResourceInterval" => 10_000;
        /// Milliseconds between two deletions of commit log files.
        pub delete_commit_log_files_interval: u64 = "deleteCommitLogFilesInterval" => 100;
        /// Milliseconds between two batches of queues whose files are deleted.
        pub delete_consume_queue_files_interval: u64 = "deleteConsumeQueueFilesInterval" => 100;
        /// Milliseconds after which a file that is still read is deleted all the same; RaptorMQ need not wait.
        pub destroy_maped_file_interval_forcibly: u64 = "destroyMapedFileIntervalForcibly" => 120_000, no_effect;
        /// Milliseconds between two attempts to delete a file that could not be deleted.
        pub redelete_hanged_file_interval: u64 = "redeleteHangedFileInterval" => 120_000;
        /// Hours of the day at which old files are deleted, two digits each, separated by semicolons.
        pub delete_when: String = "deleteWhen" => "04", important, dynamic;
        /// Used disk in percent above which old files are deleted at any hour; taken as 10 to 95.
        pub disk_max_used_space_ratio: u32 = "diskMaxUsedSpaceRatio" [0..=100] => 75, dynamic;
        /// Hours for which a commit log file is kept after it was last written.
        pub file_reserved_time: u32 = "fileReservedTime" => 72, important, dynamic;
        /// Commit log files deleted at one look.
        pub delete_file_batch_max: u32 = "deleteFileBatchMax" => 10, important, dynamic;
        /// Index entries that may wait; nothing reads it in the original either.
        pub put_msg_index_hight_water: u32 = "putMsgIndexHightWater" => 600_000, no_effect;
        /// Bytes of the largest message body.
        pub max_message_size: u32 = "maxMessageSize" [1..=1073741824] => 4_194_304;
        /// Bytes of the largest filter message.
        pub max_filter_message_size: u32 = "maxFilterMessageSize" => 16_000;
        /// Check the CRC of message bodies when the store recovers.
        pub check_crc_on_recover: bool = "checkCRCOnRecover" => true;
        /// Pages of 4 KiB that a flush of the commit log waits for; RaptorMQ waits for none.
        pub flush_commit_log_least_pages: u32 = "flushCommitLogLeastPages" => 4, no_effect;
        /// Pages of 4 KiB that a commit of the transient store pool waits for.
        pub commit_commit_log_least_pages: u32 = "commitCommitLogLeastPages" => 4, no_effect;
        /// Pages of 4 KiB between two flushes while a file is warmed.
        pub flush_least_pages_when_warm_maped_file: u32 = "flushLeastPagesWhenWarmMapedFile" => 4096, no_effect;
        /// Pages of 4 KiB that a flush of a consume queue waits for.
        pub flush_consume_queue_least_pages: u32 = "flushConsumeQueueLeastPages" => 2;
        /// Milliseconds after which everything in the commit log is flushed, if less than flushIntervalCommitLog.
        pub flush_commit_log_thorough_interval: u64 = "flushCommitLogThoroughInterval" => 10_000;
        /// Milliseconds after which everything in the transient store pool is committed.
        pub commit_commit_log_thorough_interval: u64 = "commitCommitLogThoroughInterval" => 200, no_effect;
        /// Milliseconds after which everything in consume queues is flushed, however little.
        pub flush_consume_queue_thorough_interval: u64 = "flushConsumeQueueThoroughInterval" => 60_000;
        /// Bytes that one pull returns of messages that are in memory.
        pub max_transfer_bytes_on_message_in_memory: u32 = "maxTransferBytesOnMessageInMemory" => 262_144, important;
        /// Messages that one pull returns when they are in memory.
        pub max_transfer_count_on_message_in_memory: u32 = "maxTransferCountOnMessageInMemory" => 32, important;
        /// Bytes that one pull returns of messages that are on disk.
        pub max_transfer_bytes_on_message_in_disk: u32 = "maxTransferBytesOnMessageInDisk" => 65_536, important;
        /// Messages that one pull returns when they are on disk.
        pub max_transfer_count_on_message_in_disk: u32 = "maxTransferCountOnMessageInDisk" => 8, important;
        /// Memory of the machine, in percent, within which the newest messages count as in memory; slaves use 10 less.
        pub access_message_in_memory_max_ratio: u32 = "accessMessageInMemoryMaxRatio" [0..=100] => 40, important;
        /// Write index files, so that messages are found by key.
        pub message_index_enable: bool = "messageIndexEnable" => true, important;
        /// Hash slots of an index file.
        pub max_hash_slot_num: u32 = "maxHashSlotNum" [1..=2147483647] => 5_000_000;
        /// Entries of an index file.
        pub max_index_num: u32 = "maxIndexNum" [1..=2147483647] => 20_000_000;
        /// Messages that a query by key returns at most.
        pub max_msgs_num_batch: u32 = "maxMsgsNumBatch" => 64;
        /// Check the log before the index is trusted after a crash; RaptorMQ always does.
        pub message_index_safe: bool = "messageIndexSafe" => false, important, no_effect;
        /// Port that slaves replicate from; 0 for listenPort plus 1.
        pub ha_listen_port: u16 = "haListenPort" => 0;
        /// Milliseconds between two heartbeats to slaves.
        pub ha_send_heartbeat_interval: u64 = "haSendHeartbeatInterval" => 5000;
        /// Milliseconds without news after which a replication connection is closed.
        pub ha_housekeeping_interval: u64 = "haHousekeepingInterval" => 20_000;
        /// Bytes of one replication frame.
        pub ha_transfer_batch_size: u32 = "haTransferBatchSize" => 32_768;
        /// Address to replicate from; empty for what the name server says.
        pub ha_master_address: String = "haMasterAddress" => "", important;
        /// Bytes that a slave may be behind and still count as in sync.
        pub ha_max_gap_not_in_sync: u64 = "haMaxGapNotInSync" => 268_435_456;
        /// ASYNC_MASTER, SYNC_MASTER or SLAVE.
        pub broker_role: BrokerRole = "brokerRole" => BrokerRole::AsyncMaster, important, fixed;
        /// ASYNC_FLUSH answers when the message is in the page cache, SYNC_FLUSH when it is on disk.
        pub flush_disk_type: FlushDiskType = "flushDiskType" => FlushDiskType::AsyncFlush, important;
        /// Milliseconds that a send waits for the disk under SYNC_FLUSH.
        pub sync_flush_timeout: u64 = "syncFlushTimeout" => 5000, dynamic;
        /// Milliseconds that an append may take; nothing reads it in the original either.
        pub put_message_timeout: u64 = "putMessageTimeout" => 8000, no_effect;
        /// Milliseconds that a send waits for slaves.
        pub slave_timeout: u64 = "slaveTimeout" => 3000;
        /// Delays of the levels from 1 on, as numbers with s, m, h or d.
        pub message_delay_level: String = "messageDelayLevel" => "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";
        /// Milliseconds between two writes of the delay offsets.
        pub flush_delay_offset_interval: u64 = "flushDelayOffsetInterval" [1..=9223372036854775807] => 10_000, dynamic;
        /// Delete old files at any hour when the disk is too full.
        pub clean_file_forcibly_enable: bool = "cleanFileForciblyEnable" => true, important, dynamic;
        /// Touch every page of a new file.
        pub warm_maped_file_enable: bool = "warmMapedFileEnable" => false, no_effect;
        /// As a slave, tell a consumer that is outside of a queue where it begins or ends; else it is sent to the master.
        pub offset_check_in_slave: bool = "offsetCheckInSlave" => false;
        /// Log slow appends with their stacks.
        pub debug_lock_enable: bool = "debugLockEnable" => false, no_effect;
        /// Replicate by copying.
        pub duplication_enable: bool = "duplicationEnable" => false, no_effect;
        /// Keep statistics of how far consumers are behind on disk.
        pub disk_fall_recorded: bool = "diskFallRecorded" => true, no_effect;
        /// Milliseconds of one append after which the page cache counts as busy and sends are refused.
        pub os_page_cache_busy_time_out_mills: u64 = "osPageCacheBusyTimeOutMills" => 1000, dynamic, no_effect;
        /// Messages that a query returns unless it says otherwise.
        pub default_query_max_num: u32 = "defaultQueryMaxNum" => 32, dynamic;
        /// Write through memory outside the page cache.
        pub transient_store_pool_enable: bool = "transientStorePoolEnable" => false, important, no_effect;
        /// Buffers of the transient store pool.
        pub transient_store_pool_size: u32 = "transientStorePoolSize" => 5, no_effect;
        /// Refuse sends while the pool is empty.
        pub fast_fail_if_no_buffer_in_store_pool: bool = "fastFailIfNoBufferInStorePool" => false, no_effect;
        /// Replicate by DLedger.
        pub enable_dleger_commit_log: bool = "enableDLegerCommitLog" => false, no_effect;
        /// Name of the DLedger group.
        pub dleger_group: String = "dLegerGroup" => "", no_effect;
        /// Members of the DLedger group as id-host:port, separated by semicolons.
        pub dleger_peers: String = "dLegerPeers" => "", no_effect;
        /// Id of this member.
        pub dleger_self_id: String = "dLegerSelfId" => "", no_effect;
        /// Id of the member that should lead.
        pub preferred_leader_id: String = "preferredLeaderId" => "", no_effect;
        /// Replicate several entries at once.
        pub enable_batch_push: bool = "enableBatchPush" => false, no_effect;
        /// Keep statistics of delayed messages.
        pub enable_schedule_message_stats: bool = "enableScheduleMessageStats" => true, no_effect;
        /// Serve light message queues; together with enableMultiDispatch.
        pub enable_lmq: bool = "enableLmq" => false;
        /// Put one message into several queues; together with enableLmq.
        pub enable_multi_dispatch: bool = "enableMultiDispatch" => false;
        /// Most light message queues; messages that need another one are refused.
        pub max_lmq_consume_queue_num: u32 = "maxLmqConsumeQueueNum" => 20_000;
        /// Deliver delayed messages without waiting for each.
        pub enable_schedule_async_deliver: bool = "enableScheduleAsyncDeliver" => false, no_effect;
        /// Delayed messages on their way at once.
        pub schedule_async_deliver_max_pending_limit: u32 = "scheduleAsyncDeliverMaxPendingLimit" => 2000, no_effect;
        /// Attempts after which delivery waits.
        pub schedule_async_deliver_max_resend_num2_blocked: u32 = "scheduleAsyncDeliverMaxResendNum2Blocked" => 3, no_effect;
        /// Files that one deletion removes at most.
        pub max_batch_delete_files_num: u32 = "maxBatchDeleteFilesNum" => 50, dynamic, no_effect;
        /// Threads that fill batch consume queues.
        pub dispatch_cq_threads: u32 = "dispatchCqThreads" => 10, no_effect;
        /// Entries that wait for those threads.
        pub dispatch_cq_cache_num: u32 = "dispatchCqCacheNum" => 4096, no_effect;
        /// Dispatch on another thread; RaptorMQ dispatches with the append.
        pub enable_async_reput: bool = "enableAsyncReput" => true, no_effect;
        /// Look for the dispatch position in the consume queues again.
        pub recheck_reput_offset_from_cq: bool = "recheckReputOffsetFromCq" => false, no_effect;
        /// Not used: topics are limited to 127 bytes, and longer ones to message version 2.
        pub max_topic_length: u32 = "maxTopicLength" => 127, no_effect;
        /// Store topics of more than 127 bytes, which only those of retries may be, as message version 2; else they are refused.
        pub auto_message_version_on_topic_len: bool = "autoMessageVersionOnTopicLen" => true;
        /// Write a CRC of each whole record as its last property.
        pub enabled_append_prop_crc: bool = "enabledAppendPropCRC" => false;
        /// When the store recovers, check that CRC in records that have one, rather than that of the body.
        pub force_verify_prop_crc: bool = "forceVerifyPropCRC" => false;
        /// Consume queue files that one pull looks at as long as it finds nothing.
        pub travel_cq_file_num_when_get_message: u32 = "travelCqFileNumWhenGetMessage" [1..=2147483647] => 1;
        /// Milliseconds between two corrections of queue starts.
        pub correct_logic_min_offset_sleep_interval: u64 = "correctLogicMinOffsetSleepInterval" => 1, no_effect;
        /// Milliseconds after which queue starts are corrected in any case.
        pub correct_logic_min_offset_force_interval: u64 = "correctLogicMinOffsetForceInterval" => 300_000, no_effect;
        /// Map files anew now and then.
        pub mapped_file_swap_enable: bool = "mappedFileSwapEnable" => true, no_effect;
        /// Milliseconds after which a commit log file is mapped anew.
        pub commit_log_force_swap_map_interval: u64 = "commitLogForceSwapMapInterval" => 43_200_000, no_effect;
        /// Milliseconds between two looks for such files.
        pub commit_log_swap_map_interval: u64 = "commitLogSwapMapInterval" => 3_600_000, no_effect;
        /// Newest commit log files that keep their mapping.
        pub commit_log_swap_map_reserve_file_num: u32 = "commitLogSwapMapReserveFileNum" => 100, no_effect;
        /// Milliseconds after which a consume queue file is mapped anew.
        pub logic_queue_force_swap_map_interval: u64 = "logicQueueForceSwapMapInterval" => 43_200_000, no_effect;
        /// Milliseconds between two looks for such files.
        pub logic_queue_swap_map_interval: u64 = "logicQueueSwapMapInterval" => 3_600_000, no_effect;
        /// Milliseconds after which an old mapping is dropped.
        pub clean_swaped_map_interval: u64 = "cleanSwapedMapInterval" => 300_000, no_effect;
        /// Newest consume queue files that keep their mapping.
        pub logic_queue_swap_map_reserve_file_num: u32 = "logicQueueSwapMapReserveFileNum" => 20, no_effect;
        /// Search batch consume queues through a cache; RaptorMQ needs none.
        pub search_bcq_by_cache_enable: bool = "searchBcqByCacheEnable" => true, no_effect;
        /// Dispatch on the sender's thread; RaptorMQ always does.
        pub dispatch_from_sender_thread: bool = "dispatchFromSenderThread" => false, important, no_effect;
        /// Wake the committing thread at every append.
        pub wake_commit_when_put_message: bool = "wakeCommitWhenPutMessage" => true, important, no_effect;
        /// Wake the flushing thread at every append.
        pub wake_flush_when_put_message: bool = "wakeFlushWhenPutMessage" => false, important, no_effect;
        /// Forget offsets of queues that are gone; nothing reads it in the original either.
        pub enable_clean_expired_offset: bool = "enableCleanExpiredOffset" => false, important, no_effect;
        /// Sends on their way at once.
        pub max_async_put_message_requests: u32 = "maxAsyncPutMessageRequests" => 5000, dynamic, no_effect;
        /// Messages that one pull returns at most; nothing reads it in the original either.
        pub pull_batch_max_message_count: u32 = "pullBatchMaxMessageCount" => 160, dynamic, no_effect;
        /// Replicas of the group, this one included; with enableSlaveActingMaster and more than one a broker catches up before it registers.
        pub total_replicas: u32 = "totalReplicas" => 1, important;
        /// Replicas that must have a message before it is acknowledged.
        pub in_sync_replicas: u32 = "inSyncReplicas" => 1, important;
        /// With enableAutoInSyncReplicas, how far inSyncReplicas may be lowered.
        pub min_in_sync_replicas: u32 = "minInSyncReplicas" => 1, important;
        /// Wait for all replicas that are in sync; in controller mode only, as in the original, and that is not there yet.
        pub all_ack_in_sync_state_set: bool = "allAckInSyncStateSet" => false, important, no_effect;
        /// With enableSlaveActingMaster, lower inSyncReplicas to those that are there.
        pub enable_auto_in_sync_replicas: bool = "enableAutoInSyncReplicas" => false, important;
        /// Limit what replication sends.
        pub ha_flow_control_enable: bool = "haFlowControlEnable" => false, important;
        /// Bytes a second that replication sends.
        pub max_ha_transfer_byte_in_second: u64 = "maxHaTransferByteInSecond" => 104_857_600;
        /// Milliseconds that a slave may be behind and stay in sync.
        pub ha_max_time_slave_not_catchup: u64 = "haMaxTimeSlaveNotCatchup" => 15_000, no_effect;
        /// Take the master's flushed offset at the start.
        pub sync_master_flush_offset_when_startup: bool = "syncMasterFlushOffsetWhenStartup" => false, no_effect;
        /// Bytes over which replicas compare checksums.
        pub max_checksum_range: u64 = "maxChecksumRange" => 1_073_741_824, no_effect;
        /// Brokers that share the disk of the commit log. When there are several, diskMaxUsedSpaceRatio counts of this broker's share.
        pub replicas_per_disk_partition: u32 = "replicasPerDiskPartition" => 1;
        /// Used part (0 to 1) of this broker's share of the disk above which the oldest files are deleted whatever their age; with replicasPerDiskPartition above 1.
        pub logical_disk_space_clean_forcibly_threshold: f64 = "logicalDiskSpaceCleanForciblyThreshold" => 0.8;
        /// Bytes that a slave sends again at most.
        pub max_slave_resend_length: u64 = "maxSlaveResendLength" => 268_435_456, no_effect;
        /// Let an empty slave begin at the master's last file.
        pub sync_from_last_file: bool = "syncFromLastFile" => false, no_effect;
        /// Replicate without ever counting as in sync.
        pub async_learner: bool = "asyncLearner" => false, no_effect;
        /// Entries of a consume queue that one count reads.
        pub max_consume_queue_scan: u32 = "maxConsumeQueueScan" => 20_000, dynamic, no_effect;
        /// Messages above which counts are estimated.
        pub sample_count_threshold: u32 = "sampleCountThreshold" => 5000, dynamic, no_effect;
        /// Limit reads of cold data.
        pub cold_data_flow_control_enable: bool = "coldDataFlowControlEnable" => false, no_effect;
        /// Ask the system which data is in memory.
        pub cold_data_scan_enable: bool = "coldDataScanEnable" => false, no_effect;
        /// Let the disk read on in the log behind what a pull or a slave had to wait for.
        pub data_read_ahead_enable: bool = "dataReadAheadEnable" => true, dynamic;
        /// Milliseconds between two looks for cold data.
        pub timer_cold_data_check_interval_ms: u64 = "timerColdDataCheckIntervalMs" => 60_000, no_effect;
        /// Pages between two that are looked at.
        pub sample_steps: u32 = "sampleSteps" => 32, no_effect;
        /// Memory of the machine, in percent, that counts as hot.
        pub access_message_in_memory_hot_ratio: u32 = "accessMessageInMemoryHotRatio" => 26, no_effect;
        /// Fill consume queues on several threads.
        pub enable_build_consume_queue_concurrently: bool = "enableBuildConsumeQueueConcurrently" => false, no_effect;
        /// Threads for that.
        pub batch_dispatch_request_thread_pool_nums: u32 = "batchDispatchRequestThreadPoolNums" => 16, no_effect;
        /// Of the RocksDB store: minutes between two cleanings.
        pub clean_rocksdb_dirty_cq_interval_min: u32 = "cleanRocksDBDirtyCQIntervalMin" => 60, no_effect;
        /// Of the RocksDB store: seconds between two statistics.
        pub stat_rocksdb_cq_interval_sec: u32 = "statRocksDBCQIntervalSec" => 10, no_effect;
        /// Of the RocksDB store: milliseconds between two flushes.
        pub mem_table_flush_interval_ms: u64 = "memTableFlushIntervalMs" => 3_600_000, no_effect;
        /// Of the RocksDB store: write metadata at once.
        pub real_time_persist_rocksdb_config: bool = "realTimePersistRocksDBConfig" => true, no_effect;
        /// Of the RocksDB store: write its log.
        pub enable_rocksdb_log: bool = "enableRocksDBLog" => false, no_effect;
        /// Locks that the queues share.
        pub topic_queue_lock_num: u32 = "topicQueueLockNum" => 32, no_effect;
        /// Let consumers see what is not on disk yet, under SYNC_FLUSH too.
        pub read_uncommitted: bool = "readUnCommitted" => false;
        /// Write consume queues by system calls; RaptorMQ always does.
        pub put_consume_queue_data_by_file_channel: bool = "putConsumeQueueDataByFileChannel" => true, no_effect;
        /// Of the RocksDB store: fill both kinds of consume queues.
        pub rocksdb_cq_double_write_enable: bool = "rocksdbCQDoubleWriteEnable" => false, no_effect;
        /// Of the RocksDB store: compression of the oldest data.
        pub bottom_most_compression_type_for_consume_queue_store: String = "bottomMostCompressionTypeForConsumeQueueStore" => "zstd", no_effect;
        /// Of the RocksDB store: compression.
        pub rocksdb_compression_type: String = "rocksdbCompressionType" => "lz4", no_effect;
        /// Of the RocksDB store: writes between two flushes.
        pub rocksdb_flush_wal_frequency: u32 = "rocksdbFlushWalFrequency" => 1024, no_effect;
        /// Of the RocksDB store: bytes of its log.
        pub rocksdb_wal_file_rolling_threshold: u64 = "rocksdbWalFileRollingThreshold" => 1_073_741_824, no_effect;
        /// Of the spinning lock: tries before it waits.
        pub spin_lock_collision_retreat_optimal_degree: u32 = "spinLockCollisionRetreatOptimalDegree" => 1000, no_effect;
        /// Use a lock that adapts.
        pub use_abs_lock: bool = "useABSLock" => false, no_effect;
        /// Write by system calls (5.4); RaptorMQ always does.
        pub write_without_mmap: bool = "writeWithoutMmap" => false, later, no_effect;
        /// Stop flushing after an error (5.4); RaptorMQ always does.
        pub enable_running_flags_in_flush: bool = "enableRunningFlagsInFlush" => false, later, no_effect;
        /// Kinds of consume queues to load (5.4).
        pub combine_cq_loading_cq_types: String = "combineCQLoadingCQTypes" => "default;defaultRocksDB", later, no_effect;
        /// Kind of consume queue to read from (5.4).
        pub combine_cq_prefer_cq_type: String = "combineCQPreferCQType" => "default", later, no_effect;
        /// Kind of consume queue that assigns offsets (5.4).
        pub combine_assign_offset_cq_type: String = "combineAssignOffsetCQType" => "default", later, no_effect;
        /// Compare the kinds of consume queues (5.4).
        pub combine_cq_enable_check_self: bool = "combineCQEnableCheckSelf" => false, later, no_effect;
        /// Commit log files that are searched more (5.4).
        pub combine_cq_max_extra_search_commit_log_files: u32 = "combineCQMaxExtraSearchCommitLogFiles" => 3, later, no_effect;
        /// Recover queues on several threads (5.4).
        pub enable_accelerated_recovery: bool = "enableAcceleratedRecovery" => false, later, no_effect;
        /// Log entries built twice in a recovery (5.4).
        pub enable_log_consume_queue_repeatedly_build_when_recover: bool = "enableLogConsumeQueueRepeatedlyBuildWhenRecover" => false, later, no_effect;
        /// Address that haListenPort is open at. Empty for bindAddress; where that is every address, for brokerIP2 and the loopback, if brokerIP2 is an address of this machine.
        pub ha_bind_address: String = "haBindAddress" => "", address, fixed, own;
        /// Connections that haListenPort takes at a time; of more, those that said nothing yet are closed, else the new one.
        pub ha_connections_max: u32 = "haConnectionsMax" [1..=1000] => 32, own;
        /// What a slave must know to get the log at haListenPort, and its master too; the same at all brokers of a group. Empty for nothing, which Java's brokers need.
        pub ha_shared_secret: String = "haSharedSecret" => "", hidden, fixed, own;
    }
}
