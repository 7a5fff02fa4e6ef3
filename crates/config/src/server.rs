//! Keys of [`ServerConfig`]: how a role listens and what it grants its connections.
//!
//! Java: `remoting/…/remoting/netty/NettyServerConfig.java`.

use crate::macros::config;

config! {
    /// How a role listens and what it grants its connections.
    pub struct ServerConfig {
        /// Address to listen on; 0.0.0.0 means every IPv4 address, :: every address.
        pub bind_address: String = "bindAddress" => "0.0.0.0", address;
        /// Port to listen on. A broker also opens this port less 2 (the VIP port) and, for slaves, this port plus 1.
        pub listen_port: u16 = "listenPort" => 10_911;
        /// Threads of Netty's workers; see ioThreads.
        pub server_worker_threads: u32 = "serverWorkerThreads" => 8, no_effect;
        /// Threads for callbacks; 0 means four.
        pub server_callback_executor_threads: u32 = "serverCallbackExecutorThreads" => 0, no_effect;
        /// Threads of Netty's selectors; see ioThreads.
        pub server_selector_threads: u32 = "serverSelectorThreads" => 3, no_effect;
        /// One-way requests to clients on their way.
        pub server_oneway_semaphore_value: u32 = "serverOnewaySemaphoreValue" => 256, no_effect;
        /// Requests to one client that wait for its answer.
        pub server_async_semaphore_value: u32 = "serverAsyncSemaphoreValue" [1..=2147483647] => 64;
        /// Seconds after which a silent connection is closed.
        pub server_channel_max_idle_time_seconds: u32 = "serverChannelMaxIdleTimeSeconds" [1..=2147483647] => 120;
        /// Bytes of a connection's send buffer; 0 leaves it to the system.
        pub server_socket_snd_buf_size: u32 = "serverSocketSndBufSize" => 0, no_effect;
        /// Bytes of a connection's receive buffer; 0 leaves it to the system.
        pub server_socket_rcv_buf_size: u32 = "serverSocketRcvBufSize" => 0, no_effect;
        /// Unsent bytes above which Netty calls a connection not writable; see outputBytesMax.
        pub write_buffer_high_water_mark: u32 = "writeBufferHighWaterMark" => 0, no_effect;
        /// Unsent bytes below which Netty calls it writable again.
        pub write_buffer_low_water_mark: u32 = "writeBufferLowWaterMark" => 0, no_effect;
        /// Connections that may wait to be accepted; always 1024 here.
        pub server_socket_backlog: u32 = "serverSocketBacklog" [1..=65535] => 1024, no_effect;
        /// Decode on threads of their own.
        pub server_netty_worker_group_enable: bool = "serverNettyWorkerGroupEnable" => true, no_effect;
        /// Pool Netty's buffers.
        pub server_pooled_byte_buf_allocator_enable: bool = "serverPooledByteBufAllocatorEnable" => true, no_effect;
        /// At the end, tell clients to go elsewhere and let requests finish.
        pub enable_shutdown_gracefully: bool = "enableShutdownGracefully" => false;
        /// Seconds that an orderly end may take.
        pub shutdown_wait_time_seconds: u32 = "shutdownWaitTimeSeconds" => 30;
        /// Netty's native epoll; RaptorMQ always uses epoll on Linux.
        pub use_epoll_native_selector: bool = "useEpollNativeSelector" => false, no_effect;
        /// I/O threads: each owns its connections from read to write, appends included. Under SYNC_FLUSH a broker has one
        /// more, for connections that come while all of these wait for the disk.
        pub io_threads: u32 = "ioThreads" [1..=1024] (env) => (env.cores / 2).clamp(1, 8), own;
        /// Bytes of the longest frame that is taken, its length word included; a longer one closes its connection.
        pub frame_bytes_max: u32 = "frameBytesMax" [1024..=1073741824] => 16 * 1024 * 1024, own;
        /// Connections at a time; more are closed as soon as they come.
        pub connections_max: u32 = "connectionsMax" [1..=10000000] => 65_536, own;
        /// Bytes read from one connection before the others have their turn.
        pub turn_bytes_max: u32 = "turnBytesMax" [1024..=1073741824] => 256 * 1024, own;
        /// Requests taken from one connection before the others have their turn.
        pub turn_frames_max: u32 = "turnFramesMax" [1..=1000000] => 1024, own;
        /// Bytes of frames that have not wholly arrived, over all connections; above it the connection that has been at its frame for the longest time is closed.
        pub unfinished_bytes_max: u64 = "unfinishedBytesMax" [1048576..=1099511627776] => 96 * 1024 * 1024, own;
        /// Unsent bytes above which a connection is not read until it has taken them.
        pub output_bytes_max: u64 = "outputBytesMax" [65536..=1099511627776] => 4 * 1024 * 1024, own;
        /// Unsent bytes of later answers above which a connection is closed, and of requests to the client above which no more are sent to it.
        pub outbox_bytes_max: u64 = "outboxBytesMax" [65536..=1099511627776] => 64 * 1024 * 1024, own;
    }
}
