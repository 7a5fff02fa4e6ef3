//! Options from configuration keys.

use std::time::Duration;

use raptormq_config::{ClientNetConfig, ServerConfig};

use crate::client::ClientOptions;
use crate::server::ServerOptions;

impl From<&ServerConfig> for ServerOptions {
    /// Limits and threads; where to listen is left to the role, which knows its ports.
    fn from(config: &ServerConfig) -> ServerOptions {
        let wait = if config.enable_shutdown_gracefully { config.shutdown_wait_time_seconds } else { 0 };
        ServerOptions {
            io_threads: config.io_threads as usize,
            frame_bytes_max: config.frame_bytes_max as usize,
            turn_bytes_max: config.turn_bytes_max as usize,
            turn_frames_max: config.turn_frames_max as usize,
            unfinished_bytes_max: size(config.unfinished_bytes_max),
            output_bytes_max: size(config.output_bytes_max),
            outbox_bytes_max: size(config.outbox_bytes_max),
            connections_max: config.connections_max as usize,
            calls_max: config.server_async_semaphore_value as usize,
            idle_timeout: Duration::from_secs(config.server_channel_max_idle_time_seconds.into()),
            shutdown_wait: Duration::from_secs(wait.into()),
            ..ServerOptions::default()
        }
    }
}

impl From<&ClientNetConfig> for ClientOptions {
    fn from(config: &ClientNetConfig) -> ClientOptions {
        ClientOptions {
            connect_timeout: Duration::from_millis(config.connect_timeout_millis),
            idle_timeout: Duration::from_secs(config.client_channel_max_idle_time_seconds.into()),
            calls_max: config.client_async_semaphore_value as usize,
            ..ClientOptions::default()
        }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
