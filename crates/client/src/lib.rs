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
//! A pipeline, without waiting for one answer before the next message:
//!
//! ```no_run
//! # use raptormq_client::{Client, Message, Result};
//! # async fn example(client: Client) -> Result<()> {
//! let producer = client.producer("orders").max_in_flight(1024, 64 << 20).start().await?;
//! let mut acks = Vec::new();
//! for number in 0..10_000 {
//!     acks.push(producer.enqueue(Message::new("TopicTest", format!("message {number}"))).await?);
//! }
//! for ack in acks {
//!     ack.await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A message that is delivered only when local work has succeeded:
//!
//! ```no_run
//! # use raptormq_client::{Client, Message, Result, TransactionState};
//! # async fn example(client: Client) -> Result<()> {
//! // Asked when a transaction was not ended, for example after a crash.
//! let producer = client.producer("pay").start_transactional(|_order| async { TransactionState::Rollback }).await?;
//! let transaction = producer.begin(Message::new("Paid", "order-42")).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | to | use |
//! |---|---|
//! | connect: name servers, TLS, accounts, namespaces | [`Client::connect`], [`Client::builder`] |
//! | send: with a receipt, in a pipeline, one-way, in batches | [`Producer`] |
//! | send to a chosen queue, or by key in order | [`Send::to_queue`], [`Send::ordering_key`], [`Send::select`] |
//! | send what comes later | [`Message::delay_level`], [`Message::deliver_after`], [`Message::deliver_at`] |
//! | send in a transaction | [`ProducerBuilder::start_transactional`], [`TransactionProducer`] |
//! | ask and answer | [`Producer::request`], [`Producer::reply`] |
//! | look at, change or refuse what is sent | [`ProducerHook`] |
//! | consume in a group | [`Client::consumer`], [`Consumer`] |
//! | consume by polling | [`Client::pull_consumer`], [`PullConsumer`] |
//! | handle each message once | [`Once`] |
//! | read without a group | [`Client::reader`], [`Reader`] |
//! | administrate | [`Client::admin`], [`Admin`] |
//! | know what went wrong, and what to do | [`Error`], [`ErrorKind`] |
//!
//! `docs/client.md` says what corresponds to what of the Java client; `examples` has a program for each feature.
//!
//! Inside: `client` is what is shared, `producer` the way of a send, `consumer` the way of a received message, `reader`
//! reading without a group, `admin` what administrators ask, `route` what is known of topics, `trace` what is written down
//! of messages.

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
