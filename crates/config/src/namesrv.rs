//! Keys of [`NamesrvConfig`]: what the name server does, apart from the network.
//!
//! Java: `common/…/common/namesrv/NamesrvConfig.java`.

use crate::macros::config;

config! {
    /// What the name server does, apart from the network.
    pub struct NamesrvConfig {
        /// Folder of the installation: ROCKETMQ_HOME. Never required.
        pub rocketmq_home: String = "rocketmqHome" (env) => env.rocketmq_home.clone(), fixed;
        /// File that keeps the KV configuration.
        pub kv_config_path: String = "kvConfigPath" (env) => format!("{}/namesrv/kvConfig.json", env.home), fixed;
        /// File that keeps changed keys; the file of -c when there is one.
        pub config_store_path: String = "configStorePath" (env) => format!("{}/namesrv/namesrv.properties", env.home), fixed;
        /// Name of the environment that clusterTest asks.
        pub product_env_name: String = "productEnvName" => "center", no_effect;
        /// Ask the address server's cluster for topics that are not known here.
        pub cluster_test: bool = "clusterTest" => false, no_effect;
        /// Add the order configuration of a topic to its route.
        pub order_message_enable: bool = "orderMessageEnable" => false, dynamic;
        /// Tell registering brokers which topics are ordered.
        pub return_order_topic_config_to_broker: bool = "returnOrderTopicConfigToBroker" => true, dynamic;
        /// Threads for route requests of clients; RaptorMQ answers on its I/O threads.
        pub client_request_thread_pool_nums: u32 = "clientRequestThreadPoolNums" => 8, no_effect;
        /// Threads for all other requests.
        pub default_thread_pool_nums: u32 = "defaultThreadPoolNums" => 16, no_effect;
        /// Route requests that wait for a thread.
        pub client_request_thread_pool_queue_capacity: u32 = "clientRequestThreadPoolQueueCapacity" => 50_000, no_effect;
        /// Other requests that wait for a thread.
        pub default_thread_pool_queue_capacity: u32 = "defaultThreadPoolQueueCapacity" => 10_000, no_effect;
        /// Milliseconds between two searches for brokers that are silent.
        pub scan_not_active_broker_interval: u64 = "scanNotActiveBrokerInterval" [1..=9223372036854775807] => 5000;
        /// Brokers that wait to be removed; RaptorMQ removes them at once.
        pub unregister_broker_queue_capacity: u32 = "unRegisterBrokerQueueCapacity" [1..=2147483647] => 3000, no_effect;
        /// Tell clients of a slave that acts as master.
        pub support_acting_master: bool = "supportActingMaster" => false, dynamic;
        /// Answer requests for the list of all topics.
        pub enable_all_topic_list: bool = "enableAllTopicList" => true, dynamic;
        /// Answer requests for the list of system topics and the like.
        pub enable_topic_list: bool = "enableTopicList" => true, dynamic;
        /// Tell the brokers of a group when its smallest id changes.
        pub notify_min_broker_id_changed: bool = "notifyMinBrokerIdChanged" => false, dynamic;
        /// Run a controller in this process.
        pub enable_controller_in_namesrv: bool = "enableControllerInNamesrv" => false, no_effect;
        /// Refuse route requests for the first waitSecondsForService seconds.
        pub need_wait_for_service: bool = "needWaitForService" => false, dynamic;
        /// Seconds after the start in which routes are refused while needWaitForService is on.
        pub wait_seconds_for_service: u32 = "waitSecondsForService" => 45, dynamic;
        /// Forget topics that a registration of their broker no longer has.
        pub delete_topic_with_broker_registration: bool = "deleteTopicWithBrokerRegistration" => false, dynamic;
        /// Keys that are never changed over the wire, separated by semicolons.
        pub config_black_list: String = "configBlackList" => "configBlackList;configStorePath;kvConfigPath", fixed;
        /// Brokers that may be registered at once; more are refused.
        pub brokers_max: u32 = "brokersMax" [1..=2147483647] => 10_000, dynamic, own;
        /// Topics that may be known at once, each counted once for every broker group that serves it; registrations with more are refused.
        pub topics_max: u32 = "topicsMax" [1..=2147483647] => 2_000_000, dynamic, own;
        /// Keys that the KV configuration may hold; more are refused.
        pub kv_config_entries_max: u32 = "kvConfigEntriesMax" [1..=2147483647] => 100_000, dynamic, own;
    }
}
