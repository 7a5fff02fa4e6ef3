//! Producers and consumers of RocketMQ for async Rust.
//!
//! One [`Client`] per process shares connections, routes and heartbeats; [`Producer`]s and [`Consumer`]s are made from
//! it. It runs on the tokio runtime it is made in. Works with RaptorMQ and with Apache RocketMQ 4.x and 5.x brokers.
//!
//! ```no_run
//! use raptormq_client::{Client, ConsumeFrom, Message, Result};
//!
//! # async fn example() -> Result<()> {
//! let client = Client::connect("127.0.0.1:9876").await?;
//! let producer = client.producer("greeters").start().await?;
//! println!("{}", producer.send(Message::new("TopicTest", "hello").tag("TagA")).await?);
//!
//! let consumer = client
//!     .consumer("listeners")
//!     .subscribe("TopicTest", "*")
//!     .from(ConsumeFrom::First)
//!     .start(|message| async move {
//!         println!("{:?}", message.body());
//!         Ok(())
//!     })
//!     .await?;
//! consumer.shutdown().await;
//! producer.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Who comes from Java: `DefaultMQProducer` is [`Producer`], `SendResult` is [`SendReceipt`] (whose weaker forms are
//! errors here), `DefaultMQPushConsumer` with a concurrent listener is [`Consumer`], `MessageExt` is [`MessageView`],
//! `RECONSUME_LATER` is [`Retry`].
//!
//! Where to go next: `client` for what is shared, `producer` for the way of a send, `consumer` for the way of a received
//! message, `reader` for reading without a group, `admin` for what administrators ask, `route` for what is known of topics.

#![forbid(unsafe_code)]

mod admin;
mod client;
mod clock;
mod consumer;
mod error;
mod message;
mod name_server;
mod names;
mod producer;
mod reader;
mod registry;
mod route;
mod trace;

pub use raptormq_config::{TlsClientAuth, TlsConfig, TlsMode};
pub use raptormq_protocol::body::MessageQueue;
pub use raptormq_protocol::code::ResponseCode;
pub use raptormq_protocol::message::MessageExt;
pub use raptormq_protocol::message::compress::Compression;
pub use raptormq_remoting::{ClientTls, TlsError};

pub use self::admin::{Admin, PullFrom, PullStatus, Pulled, QueueRange};
pub use self::client::{Client, ClientBuilder};
pub use self::consumer::allocate::Allocation;
pub use self::consumer::idempotence::{Claim, KeyStore, KeyStoreError, Once, RecentKeys};
pub use self::consumer::pull_consumer::{PullConsumer, PullConsumerBuilder};
pub use self::consumer::{ConsumeFrom, Consumer, ConsumerBuilder, Retry};
pub use self::error::{Error, ErrorKind, Result};
pub use self::message::{Message, MessageView};
pub use self::producer::{
    Ack, EndedContext, Producer, ProducerBuilder, ProducerHook, Send, SendReceipt, SendStatus, SentContext,
    Transaction, TransactionProducer, TransactionState,
};
pub use self::reader::{Reader, ReaderBuilder};
