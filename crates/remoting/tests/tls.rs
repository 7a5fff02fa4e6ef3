//! TLS: modes, certificates, their exchange while connections are open, and what is no TLS.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use raptormq_config::{TlsClientAuth, TlsConfig, TlsMode};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::command::Head;
use raptormq_remoting::{Client, ClientOptions, ClientTls, Request, Server, StartError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::*;

const LONG: Duration = Duration::from_secs(20);

fn mode(server_mode: TlsMode) -> TlsConfig {
    TlsConfig { server_mode, ..TlsConfig::default() }
}

fn server_with(tls: TlsConfig) -> Server {
    server(|options| options.tls = Some(tls)).0
}

fn client(tls: Option<&TlsConfig>) -> Client {
    let tls = tls.map(|keys| ClientTls::new(keys).unwrap());
    Client::new(ClientOptions { tls, ..ClientOptions::default() }, Arc::new(()))
}

/// Whether a request is answered, with the body that it had.
async fn is_served(client: &Client, server: &Server, body: Vec<u8>) -> Result<(), String> {
    let address = server.local_addrs()[0].to_string();
    let request = Request::new(RequestCode(NOW)).body(body.clone());
    let response = client.call(&address, request, LONG).await.map_err(|error| error.to_string())?;
    (response.body == body).then_some(()).ok_or_else(|| "another body".to_owned())
}

#[tokio::test]
async fn each_mode_takes_what_it_is_for() {
    let cases = [
        (TlsMode::Disabled, false, true),
        (TlsMode::Disabled, true, false),
        (TlsMode::Permissive, false, true),
        (TlsMode::Permissive, true, true),
        (TlsMode::Enforcing, false, false),
        (TlsMode::Enforcing, true, true),
    ];
    for (server_mode, is_encrypted, is_taken) in cases {
        let server = server_with(mode(server_mode));
        let keys = TlsConfig::default();
        let served = is_served(&client(is_encrypted.then_some(&keys)), &server, b"hello".to_vec()).await;
        assert_eq!(served.is_ok(), is_taken, "{server_mode:?}, encrypted {is_encrypted}: {served:?}");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn whatever_the_size_it_comes_back_as_it_was_sent() {
    let server = server_with(mode(TlsMode::Enforcing));
    let client = client(Some(&TlsConfig::default()));
    for size in [0, 1, 4095, 16_383, 16_384, 16_385, 300_000, 15 << 20] {
        let body: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
        assert_eq!(is_served(&client, &server, body).await, Ok(()), "{size}");
    }
    let calls = (0..200_usize).map(|at| {
        let (client, server) = (&client, &server);
        async move { is_served(client, server, vec![at as u8; at * 997]).await }
    });
    for served in futures_util::future::join_all(calls).await {
        assert_eq!(served, Ok(()));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn answers_that_the_peer_takes_slowly_arrive_whole() {
    let server = server_with(mode(TlsMode::Enforcing));
    let client = client(Some(&TlsConfig::default()));
    let address = server.local_addrs()[0].to_string();
    for _ in 0..3 {
        let calls = (0..8).map(|_| {
            let request = Request::new(RequestCode(BIG)).field("bytes", &(3 << 20).to_string());
            client.call(&address, request, LONG)
        });
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().body.len(), 3 << 20);
        }
    }
    server.shutdown().await;
}

#[test]
fn openssl_agrees_in_both_versions() {
    let server = server_with(mode(TlsMode::Permissive));
    let address = server.local_addrs()[0].to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &address, version, "-quiet", "-no_ign_eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&request(Head::request(NOW, 1), b"from openssl")).unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut answer = Vec::new();
        while !answer.windows(12).any(|window| window == b"from openssl") {
            let mut chunk = [0; 1024];
            let count = stdout.read(&mut chunk).unwrap();
            assert_ne!(count, 0, "the end before the answer, {version}");
            answer.extend_from_slice(&chunk[..count]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A folder with certificates, each signed by the authority of its name.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, text: String) -> String {
        // Whoever watches the file sees the old one or the new one.
        let aside: PathBuf = self.folder.path().join("aside");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, self.path(name)).unwrap();
        self.path(name)
    }

    /// `NAME.ca`, `NAME.crt` and `NAME.key` of a new authority and what it has signed.
    fn authority(&self, name: &str) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        self.write(&format!("{name}.ca"), issuer.pem());
        self.write(&format!("{name}.crt"), certificate.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    fn server_keys(&self, name: &str) -> TlsConfig {
        TlsConfig {
            test_mode_enable: false,
            server_cert_path: self.path(&format!("{name}.crt")),
            server_key_path: self.path(&format!("{name}.key")),
            ..TlsConfig::default()
        }
    }

    /// Trusts the authority `trusted` and shows what `own` has signed.
    fn client_keys(&self, trusted: &str, own: Option<&str>) -> TlsConfig {
        let mut keys = TlsConfig {
            test_mode_enable: false,
            client_auth_server: true,
            client_trust_cert_path: self.path(&format!("{trusted}.ca")),
            ..TlsConfig::default()
        };
        if let Some(own) = own {
            keys.client_cert_path = self.path(&format!("{own}.crt"));
            keys.client_key_path = self.path(&format!("{own}.key"));
        }
        keys
    }
}

#[tokio::test]
async fn certificates_are_checked_where_it_is_asked_for() {
    let files = Files::new();
    files.authority("a");
    files.authority("b");
    let asking = |need| TlsConfig {
        server_need_client_auth: need,
        server_auth_client: true,
        server_trust_cert_path: files.path("a.ca"),
        ..files.server_keys("a")
    };
    let unchecked = TlsConfig { server_auth_client: false, ..asking(TlsClientAuth::Require) };
    let cases = [
        ("a server that the client trusts", files.server_keys("a"), ("a", None), true),
        ("a server that it does not trust", files.server_keys("b"), ("a", None), false),
        ("a client without certificate", asking(TlsClientAuth::Require), ("a", None), false),
        ("a client with the right one", asking(TlsClientAuth::Require), ("a", Some("a")), true),
        ("a client with another one", asking(TlsClientAuth::Require), ("a", Some("b")), false),
        ("a client without one, where it may", asking(TlsClientAuth::Optional), ("a", None), true),
        ("a client with another one, where it may", asking(TlsClientAuth::Optional), ("a", Some("b")), false),
        ("a client without, where any will do", unchecked.clone(), ("a", None), false),
        ("a client with another one, where any will do", unchecked, ("a", Some("b")), true),
    ];
    for (what, server_keys, (trusted, own), is_taken) in cases {
        let server = server_with(server_keys);
        let client = client(Some(&files.client_keys(trusted, own)));
        let served = is_served(&client, &server, b"x".to_vec()).await;
        assert_eq!(served.is_ok(), is_taken, "{what}: {served:?}");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn new_certificates_are_taken_and_open_connections_stay() {
    let files = Files::new();
    files.authority("old");
    files.authority("new");
    for end in ["crt", "key"] {
        std::fs::copy(files.path(&format!("old.{end}")), files.path(&format!("now.{end}"))).unwrap();
    }
    let server = server_with(files.server_keys("now"));
    let before = client(Some(&files.client_keys("old", None)));
    is_served(&before, &server, b"x".to_vec()).await.unwrap();
    let open = before.connection(&server.local_addrs()[0].to_string()).unwrap();
    // In between, key and certificate do not belong together, and the old ones stay.
    for end in ["key", "crt"] {
        files.write(&format!("now.{end}"), std::fs::read_to_string(files.path(&format!("new.{end}"))).unwrap());
    }
    let begun = Instant::now();
    loop {
        let after = client(Some(&files.client_keys("new", None)));
        match is_served(&after, &server, b"y".to_vec()).await {
            Ok(()) => break,
            Err(reason) => assert!(begun.elapsed() < LONG, "{reason}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_served(&before, &server, b"z".to_vec()).await.unwrap();
    assert_eq!(before.connection(&server.local_addrs()[0].to_string()), Some(open), "the same connection");
    server.shutdown().await;
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn keys_and_certificates_of_openssl_are_read() {
    let files = Files::new();
    let (plain, sealed, old) = (files.path("plain.key"), files.path("sealed.key"), files.path("old.key"));
    let (certificate, request, version_1) = (files.path("rsa.crt"), files.path("rsa.csr"), files.path("v1.crt"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=a",
        "-keyout",
        &plain,
        "-out",
        &certificate,
    ]);
    openssl(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", &plain, "-out", &sealed, "-passout", "pass:secret"]);
    openssl(&["rsa", "-traditional", "-in", &plain, "-out", &old]);
    openssl(&["req", "-new", "-key", &plain, "-subj", "/CN=a", "-out", &request]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &certificate,
        "-CAkey",
        &plain,
        "-CAcreateserial",
        "-out",
        &version_1,
    ]);
    let keys = |key: &str, certificate: &str, password: &str| TlsConfig {
        test_mode_enable: false,
        server_key_path: key.to_owned(),
        server_cert_path: certificate.to_owned(),
        server_key_password: password.to_owned(),
        ..TlsConfig::default()
    };
    for keys in [
        keys(&plain, &certificate, ""),
        keys(&sealed, &certificate, "secret"),
        keys(&old, &certificate, ""),
        keys(&plain, &version_1, ""),
    ] {
        let server = server_with(keys);
        is_served(&client(Some(&TlsConfig::default())), &server, b"x".to_vec()).await.unwrap();
        server.shutdown().await;
    }
    for (keys, reason) in [
        (keys(&sealed, &certificate, "wrong"), "cannot be decrypted with the configured password"),
        (keys(&certificate, &certificate, ""), "no private key in it"),
        (keys(&plain, &plain, ""), "no certificate in it"),
        (keys("/no/such", &certificate, ""), "tls.server.keyPath=/no/such: "),
        (keys(&plain, "", ""), "tls.server.certPath must be set"),
    ] {
        let options = raptormq_remoting::ServerOptions { tls: Some(keys), ..Default::default() };
        match Server::start(options, |_| -> Counting { unreachable!("it does not start") }) {
            Err(error @ StartError::Tls(_)) => assert!(error.to_string().contains(reason), "{error}"),
            other => panic!("{reason}: {:?}", other.map(|_| ())),
        }
    }
}

/// The first bytes that a client sends.
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "broker.example".try_into().unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn what_is_no_handshake_ends_its_connection_and_no_other() {
    let server = server_with(mode(TlsMode::Permissive));
    let mut other = Raw::served(&server).await;
    let hello = client_hello();
    let record = |kind: u8, length: u16, body: &[u8]| [&[kind, 3, 3][..], &length.to_be_bytes(), body].concat();
    let endless = record(0x16, 1 << 14, &[1, 0xff, 0xff, 0xff]).into_iter().chain(vec![0; (1 << 14) - 4]);
    let cases = [
        ("a record of an unknown kind", [hello.as_slice(), &record(99, 1, &[0])].concat()),
        ("a record of 64 KiB", record(0x16, 0xffff, &[])),
        ("application data first", record(0x16, 4, &[1, 2, 3, 4]).into_iter().chain(record(0x17, 1, &[0])).collect()),
        ("a hello of 16 MiB", endless.collect::<Vec<_>>().repeat(20)),
        ("a hello twice", hello.repeat(2)),
        ("noise", [vec![0x16], vec![0xa7; 100_000]].concat()),
        ("a hello cut in the middle with rubbish", [&hello[..100], vec![0xff; 1000].as_slice()].concat()),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::connect(&server).await;
        // The server may close before it was given everything.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &bytes).await;
        other.round_trip().await;
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut raw.stream, &mut rest);
        assert!(tokio::time::timeout(LONG, read).await.is_ok(), "{what}");
        other.round_trip().await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_ended() {
    let keys = TlsConfig { server_handshake_timeout_millis: 300, ..mode(TlsMode::Permissive) };
    let server = server_with(keys);
    let mut other = Raw::served(&server).await;
    let hello = client_hello();
    let mut slow = Raw::connect(&server).await;
    let begun = Instant::now();
    for byte in hello.iter().cycle() {
        if tokio::io::AsyncWriteExt::write_all(&mut slow.stream, &[*byte]).await.is_err() {
            break;
        }
        other.round_trip().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(begun.elapsed() < LONG, "it is still open");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn half_open_handshakes_cost_what_they_sent_and_the_oldest_go() {
    let (server, _) = server(|options| {
        options.tls = Some(mode(TlsMode::Permissive));
        options.frame_bytes_max = 64 << 10;
        options.unfinished_bytes_max = 128 << 10;
    });
    let mut other = Raw::served(&server).await;
    let hello = client_hello();
    let mut half_open = Vec::new();
    for _ in 0..1000 {
        let mut raw = Raw::connect(&server).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &hello[..hello.len() - 1]).await;
        half_open.push(raw);
        other.round_trip().await;
    }
    let begun = Instant::now();
    let bound = (128 << 10) / (hello.len() - 1) + 2;
    while server.connections() > bound {
        other.round_trip().await;
        assert!(begun.elapsed() < LONG, "{} connections are open", server.connections());
    }
    is_served(&client(Some(&TlsConfig::default())), &server, b"x".to_vec()).await.unwrap();
    server.shutdown().await;
}

/// Most connections of the test below.
const CROWD_MAX: usize = 10_000;
/// What they may cost, in bytes.
const CROWD_BYTES_MAX: usize = 128 << 20;

/// Connections to itself that this process may still open: it has both ends.
fn connections_left() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let max = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    (max - std::fs::read_dir("/proc/self/fd").unwrap().count() - 100) / 2
}

/// Bytes of memory that this process has.
fn resident_bytes() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn ten_thousand_half_open_handshakes_take_little_and_hinder_nobody() {
    let keys = TlsConfig { server_handshake_timeout_millis: 15_000, ..mode(TlsMode::Permissive) };
    let server = server_with(keys);
    let mut other = Raw::served(&server).await;
    let count = CROWD_MAX.min(connections_left());
    assert!(count > 400, "too few descriptors to try it: {count}");
    let hello = client_hello();
    let before = resident_bytes();
    let mut crowd = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        let mut raw = Raw::connect(&server).await;
        // Cut anywhere, also behind the first byte.
        let sent = 1 + number % (hello.len() - 1);
        tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &hello[..sent]).await.unwrap();
        crowd.push(raw);
        if number % 10 == 0 {
            let begun = Instant::now();
            other.round_trip().await;
            slowest = slowest.max(begun.elapsed());
        }
    }
    let open = server.connections();
    let taken = resident_bytes().saturating_sub(before);
    eprintln!("{open} connections are open, {} bytes each with both ends; slowest answer {slowest:?}", taken / count);
    assert!(taken < CROWD_BYTES_MAX, "{taken} bytes for {count} connections");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    is_served(&client(Some(&TlsConfig::default())), &server, b"x".to_vec()).await.unwrap();
    let begun = Instant::now();
    while server.connections() > 2 {
        other.round_trip().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(begun.elapsed() < LONG, "{} connections are open", server.connections());
    }
    server.shutdown().await;
}
