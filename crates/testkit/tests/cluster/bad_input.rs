//! Mistakes of those who use the client: each error names the thing and the remedy, within the time-out.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use raptormq_client::{Client, ClientTls, Error, ErrorKind, Message, TlsConfig};
use raptormq_protocol::body::{RegisterBrokerBody, TopicConfig};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::RegisterBrokerRequestHeader;
use raptormq_remoting::Request;
use raptormq_testkit::{Cluster, Peer};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::common::*;

/// How long the client's calls may take, and what a busy machine adds.
const TIME_OUT: Duration = Duration::from_secs(3 + 10);

/// The error of `work`, which has to come in time and to have all these words.
async fn fails<T>(words: &[&str], work: impl IntoFuture<Output = Result<T, Error>>) -> Error {
    let began = Instant::now();
    let Err(error) = work.await else { panic!("it was no mistake: {words:?}") };
    assert!(began.elapsed() < TIME_OUT, "{:?}: {error}", began.elapsed());
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    error
}

/// A server that does what `serve` does with each connection.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A web server: it answers whatever comes with a page.
async fn web_server(page: &'static str) -> SocketAddr {
    server(move |mut stream| async move {
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(page.as_bytes()).await;
        let _ = stream.shutdown().await;
    })
    .await
}

/// A server that takes everything and says nothing.
async fn silent_server() -> SocketAddr {
    server(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// What a broker at `address` with that topic tells a name server.
pub(crate) fn registration(address: &str, topic: &str) -> Request {
    let header = RegisterBrokerRequestHeader {
        broker_name: "other",
        broker_addr: address,
        cluster_name: "C",
        ha_server_addr: "127.0.0.1:2",
        heartbeat_timeout_millis: Some(60_000),
        ..RegisterBrokerRequestHeader::default()
    };
    let mut body = RegisterBrokerBody::default();
    // One alone would be the change of a broker that is known.
    for topic in [topic, "Another"] {
        let config = TopicConfig { topic_name: topic.to_owned(), ..TopicConfig::default() };
        body.topic_config_serialize_wrapper.topic_config_table.insert(topic.to_owned(), config);
    }
    Request::new(RequestCode::REGISTER_BROKER).header(&header).body(body.encode().unwrap())
}

async fn send(client: &Client, message: Message) -> Result<(), Error> {
    let producer = client.producer("p").start().await?;
    producer.send(message).await.map(drop)
}

#[tokio::test]
async fn a_wrong_name_server() {
    let web = web_server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let (silent, gone) = (silent_server().await, "127.0.0.1:1");
    let error = fails(&[gone, "start a name server there"], Client::connect(gone)).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    for other in [web, silent] {
        let address = other.to_string();
        fails(&[&address, "no name server", "9876"], Client::connect(&address)).await;
    }
    fails(&["no.such.host.invalid"], Client::connect("no.such.host.invalid:9876")).await;
    fails(&["is no host:port"], Client::connect("127.0.0.1:notaport")).await;
    fails(&["No name server address, please set it", "NAMESRV_ADDR"], Client::connect("")).await;
    // One that is right is enough.
    let cluster = Cluster::start().await.unwrap();
    let client = Client::connect(format!("{web};{gone};{}", cluster.namesrv_addr())).await.unwrap();
    send(&client, Message::new("T", "x")).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn an_address_server_that_has_no_list() {
    let not_found = web_server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let page = web_server("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>").await;
    for (server, word) in [(not_found, "status 404"), (page, "no list")] {
        let url = format!("http://{server}/rocketmq/nsaddr");
        fails(&[&url, word, "host:port;host:port"], Client::builder().address_server(url.as_str()).connect()).await;
    }
    let cluster = Cluster::start().await.unwrap();
    let list = cluster.namesrv_addr();
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}\n", list.len() + 1);
    let right = web_server(String::leak(text)).await;
    let client = Client::builder().address_server(format!("http://{right}/rocketmq/nsaddr")).connect().await.unwrap();
    send(&client, Message::new("T", "x")).await.unwrap();
    cluster.shutdown().await;
}

/// Name servers tell of brokers that are gone, that are something else, or that never answer.
#[tokio::test]
async fn a_broker_that_is_none() {
    let web = web_server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let silent = silent_server().await;
    let gone: SocketAddr = ([127, 0, 0, 1], 1).into();
    for (address, words) in
        [(gone, ["cannot connect", "brokerIP1"]), (web, ["ended before", "TLS"]), (silent, ["did not answer", "log"])]
    {
        let cluster = Cluster::start().await.unwrap();
        // Whose connection ends is taken for gone.
        let broker = Peer::new(cluster.namesrv_addr());
        broker.ok(registration(&address.to_string(), "Elsewhere")).await;
        let client = client(&cluster).await;
        let producer = client.producer("p").timeout(Duration::from_secs(1)).start().await.unwrap();
        let text = address.to_string();
        let error = fails(&[&text, words[0], words[1]], producer.send(Message::new("Elsewhere", "x"))).await;
        assert_eq!(error.broker(), Some(text.as_str()));
        cluster.shutdown().await;
    }
}

#[tokio::test]
async fn a_topic_that_cannot_be() {
    let cluster = Cluster::builder().set("autoCreateTopicEnable", "false").start().await.unwrap();
    let client = client(&cluster).await;
    fails(&["My topic", "illegal characters"], send(&client, Message::new("My topic", "x"))).await;
    fails(&["topic", "blank"], send(&client, Message::new("", "x"))).await;
    let long = "t".repeat(200);
    fails(&[&long, "127"], send(&client, Message::new(long.as_str(), "x"))).await;
    fails(&["forbidden"], send(&client, Message::new("SCHEDULE_TOPIC_XXXX", "x"))).await;
    fails(&["my group"], client.producer("my group").start()).await;
    let error = fails(
        &["No route info of this topic: Absent", "autoCreateTopicEnable", "updateTopic"],
        send(&client, Message::new("Absent", "x")),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::TopicNotExist);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_or_none() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let five_megabytes = Message::new("T", vec![7; 5 << 20]);
    let error = fails(&["MAX: 4194304", "5242880 bytes"], send(&client, five_megabytes.clone())).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    fails(&["length is zero"], send(&client, Message::new("T", ""))).await;
    // A program that thinks it may send more is told by the broker.
    let producer = client.producer("big").max_message_bytes(8 << 20).compress_from(usize::MAX).start().await.unwrap();
    fails(&[cluster.broker_addr(), "MESSAGE_ILLEGAL"], producer.send(five_megabytes)).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_condition_that_cannot_be_read() {
    for (is_on, reason) in [("true", "is not accepted"), ("false", "enablePropertyFilter=true")] {
        let cluster = Cluster::builder().set("enablePropertyFilter", is_on).start().await.unwrap();
        let client = client(&cluster).await;
        send(&client, Message::new("T", "x")).await.unwrap();
        let condition = "price > AND";
        let words = [cluster.broker_addr(), "\"price > AND\"", "topic T", reason];
        fails(&words, client.consumer("c").subscribe_sql("T", condition).start(|_| async { Ok(()) })).await;
        fails(&words, client.pull_consumer("c").subscribe_sql("T", condition).start()).await;
        fails(&words, client.reader("T").sql(condition).open()).await;
        cluster.shutdown().await;
    }
}

/// Files of a key and of a certificate that was good until 2020.
fn expired_certificate(folder: &Path) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let certificate = parameters.self_signed(&key).unwrap();
    let (key_file, certificate_file) = (folder.join("expired.key"), folder.join("expired.pem"));
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::write(&certificate_file, certificate.pem()).unwrap();
    (key_file.to_string_lossy().into_owned(), certificate_file.to_string_lossy().into_owned())
}

#[tokio::test]
async fn a_certificate_that_has_expired_and_sides_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = expired_certificate(folder.path());
    let builder = Cluster::builder()
        .set_namesrv("tls.test.mode.enable", "false")
        .set_namesrv("tls.server.mode", "permissive")
        .set_namesrv("tls.server.keyPath", &key)
        .set_namesrv("tls.server.certPath", &certificate);
    let cluster = builder.start().await.unwrap();
    let keys = TlsConfig {
        test_mode_enable: false,
        client_auth_server: true,
        client_trust_cert_path: certificate,
        ..TlsConfig::default()
    };
    let client = Client::builder().namesrv(cluster.namesrv_addr()).tls(ClientTls::new(&keys).unwrap());
    fails(&[cluster.namesrv_addr(), "xpired"], client.connect()).await;
    cluster.shutdown().await;
    // One side only uses TLS.
    let enforcing = Cluster::builder().set_namesrv("tls.server.mode", "disabled").start().await.unwrap();
    let client = Client::builder().namesrv(enforcing.namesrv_addr());
    let client = client.tls(ClientTls::new(&TlsConfig::default()).unwrap());
    fails(&[enforcing.namesrv_addr(), "TLS"], client.connect()).await;
    enforcing.shutdown().await;
}

#[tokio::test]
async fn a_wrong_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    let accounts = "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  admin: false\n  defaultTopicPerm: DENY\n  \
                    defaultGroupPerm: PUB|SUB\n  topicPerms:\n  - topicB=PUB|SUB\n";
    std::fs::write(folder.path().join("conf/plain_acl.yml"), accounts).unwrap();
    let home = folder.path().to_string_lossy().into_owned();
    let builder = Cluster::builder().set("aclEnable", "true").set("rocketmqHome", &home);
    let cluster = builder.start().await.unwrap();
    let signed = |key: &'static str, secret: &'static str| {
        let builder = Client::builder().namesrv(cluster.namesrv_addr());
        builder.credentials(key, secret).connect()
    };
    let right = signed("RocketMQ", "12345678").await.unwrap();
    send(&right, Message::new("topicB", "x")).await.unwrap();
    for (key, secret, topic) in
        [("RocketMQ", "wrong678", "topicB"), ("nobody", "12345678", "topicB"), ("RocketMQ", "12345678", "topicA")]
    {
        let client = signed(key, secret).await.unwrap();
        let words = [cluster.broker_addr(), "access key", "secret"];
        let error = fails(&words, send(&client, Message::new(topic, "x"))).await;
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
    }
    let anonymous = client(&cluster).await;
    fails(&[cluster.broker_addr(), "access key"], send(&anonymous, Message::new("topicB", "x"))).await;
    cluster.shutdown().await;
}
