//! Keys of [`ClientNetConfig`]: how a role connects to others.
//!
//! Java: `remoting/…/remoting/netty/NettyClientConfig.java`.

use crate::macros::config;

config! {
    /// How a role connects to others.
    pub struct ClientNetConfig {
        /// Threads that decode answers.
        pub client_worker_threads: u32 = "clientWorkerThreads" => 4, no_effect;
        /// Threads that run callbacks.
        pub client_callback_executor_threads: u32 = "clientCallbackExecutorThreads" (env) => env.cores, no_effect;
        /// One-way requests on their way.
        pub client_oneway_semaphore_value: u32 = "clientOnewaySemaphoreValue" => 65_535, no_effect;
        /// Requests on their way.
        pub client_async_semaphore_value: u32 = "clientAsyncSemaphoreValue" [1..=2147483647] => 65_535;
        /// Milliseconds that opening a connection may take.
        pub connect_timeout_millis: u64 = "connectTimeoutMillis" [1..=2147483647] => 3000;
        /// Milliseconds between two checks of idle connections.
        pub channel_not_active_interval: u64 = "channelNotActiveInterval" => 60_000, no_effect;
        /// Look in the background for a name server that answers.
        pub is_scan_available_name_srv: bool = "isScanAvailableNameSrv" => true, no_effect;
        /// Seconds after which a silent connection is closed.
        pub client_channel_max_idle_time_seconds: u32 = "clientChannelMaxIdleTimeSeconds" [1..=2147483647] => 120;
        /// Bytes of a connection's send buffer; 0 leaves it to the system.
        pub client_socket_snd_buf_size: u32 = "clientSocketSndBufSize" => 0, no_effect;
        /// Bytes of a connection's receive buffer; 0 leaves it to the system.
        pub client_socket_rcv_buf_size: u32 = "clientSocketRcvBufSize" => 0, no_effect;
        /// Pool Netty's buffers.
        pub client_pooled_byte_buf_allocator_enable: bool = "clientPooledByteBufAllocatorEnable" => false, no_effect;
        /// Close a connection on which a request timed out.
        pub client_close_socket_if_timeout: bool = "clientCloseSocketIfTimeout" => true, no_effect;
        /// Connect by TLS; also set by tls.enable and tls.server.mode=enforcing.
        pub use_tls: bool = "useTLS" => false;
        /// SOCKS proxies as JSON: network to proxy.
        pub socks_proxy_config: String = "socksProxyConfig" => "{}", no_effect;
        /// Unsent bytes above which Netty calls a connection not writable.
        pub write_buffer_high_water_mark: u32 = "writeBufferHighWaterMark" => 0, no_effect;
        /// Unsent bytes below which Netty calls it writable again.
        pub write_buffer_low_water_mark: u32 = "writeBufferLowWaterMark" => 0, no_effect;
        /// Run callbacks on the network threads.
        pub disable_callback_executor: bool = "disableCallbackExecutor" => false, no_effect;
        /// Decode on the network threads.
        pub disable_netty_worker_group: bool = "disableNettyWorkerGroup" => false, no_effect;
        /// Longest pause between two attempts to connect, in seconds.
        pub max_reconnect_interval_time_seconds: u32 = "maxReconnectIntervalTimeSeconds" => 60, no_effect;
        /// Connect anew when a server says that it goes away.
        pub enable_reconnect_for_go_away: bool = "enableReconnectForGoAway" => true, no_effect;
    }
}
