//! What peers send that is no protocol, no command, or no such command: it ends its connection or is answered with an
//! error, memory stays bounded, and everybody else is served meanwhile.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::json;
use raptormq_protocol::route::ClusterInfo;
use raptormq_remoting::Request;
use raptormq_testkit::raw::{Outcome, batch_of, frame, length_words, noise};
use raptormq_testkit::{Peer, Raw};

use crate::{BROKER, start};

/// What a process may take at most, in all, to read rubbish one piece after another, in bytes. One frame may have 16 MiB.
const MEMORY_MAX: usize = 64 << 20;

/// What must come of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Closed,
    /// Answered with that code.
    Refused(ResponseCode),
    /// Either: nothing is wrong with it but its size.
    Any,
}

use Expected::{Any, Closed, Refused};

/// A header with that code and those fields.
fn header(code: i32, fields: &str) -> Vec<u8> {
    let rest = "\"language\":\"JAVA\",\"version\":479,\"opaque\":7,\"flag\":0,\"serializeTypeCurrentRPC\":\"JSON\"";
    format!("{{\"code\":{code},{rest},\"extFields\":{{{fields}}}}}").into_bytes()
}

fn request(code: RequestCode, fields: &str, body: &[u8]) -> Vec<u8> {
    frame(&header(code.0, fields), body)
}

fn nested(depth: usize) -> Vec<u8> {
    [b"[".repeat(depth), b"]".repeat(depth)].concat()
}

fn nested_objects(depth: usize) -> Vec<u8> {
    [b"{\"a\":".repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat()
}

/// A header in RocketMQ's binary form, whose remark and fields have these lengths, whatever follows.
fn binary(remark_len: i32, fields_len: i32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [&310_i16.to_be_bytes()[..], &[7], &1_i16.to_be_bytes(), &[0; 8]].concat();
    bytes.extend_from_slice(&remark_len.to_be_bytes());
    bytes.extend_from_slice(&fields_len.to_be_bytes());
    bytes.extend_from_slice(rest);
    let words = length_words(4 + bytes.len() as u32, 1 << 24 | bytes.len() as u32);
    [words, bytes].concat()
}

/// What is wrong before anybody asks what the request is.
fn no_commands() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let deep = String::from_utf8(nested_objects(10_000)).unwrap();
    let many: Vec<String> = (0..100_000).map(|number| format!("\"key{number}\":\"value\"")).collect();
    let mut many_binary = Vec::new();
    for number in 0..100_000 {
        let key = format!("key{number}");
        many_binary.extend_from_slice(&(key.len() as i16).to_be_bytes());
        many_binary.extend_from_slice(key.as_bytes());
        many_binary.extend_from_slice(&5_i32.to_be_bytes());
        many_binary.extend_from_slice(b"value");
    }
    vec![
        ("1 MB of noise", noise(1 << 20), Closed),
        ("a frame of 2 GB", [length_words(0x7fff_ffff, 100), noise(4096)].concat(), Closed),
        ("a frame of 16 MiB and a byte", length_words((16 << 20) - 3, 100), Closed),
        ("a frame of negative length", [length_words(0xffff_fff0, 100), noise(4096)].concat(), Closed),
        ("a frame of no length", vec![0; 1024], Closed),
        ("a header of negative length", [length_words(100, 0xffff_ffff), vec![b' '; 96]].concat(), Closed),
        ("a header longer than its frame", [length_words(100, 97), vec![b' '; 96]].concat(), Closed),
        ("a header of 16 MB in a small frame", [length_words(100, 0x00ff_ffff), vec![b' '; 96]].concat(), Closed),
        ("a header of nothing", frame(b"", b""), Closed),
        ("a header that is no JSON", frame(b"{\"code\":", b""), Closed),
        ("arrays 10,000 deep", frame(&nested(10_000), b""), Closed),
        ("arrays 10,000 deep in a header", frame(&header(310, &format!("\"a\":{}", "[".repeat(10_000))), b""), Closed),
        ("objects 10,000 deep in a header", frame(&header(310, &format!("\"a\":{deep}")), b""), Closed),
        ("objects 10,000 deep and never closed", frame(&b"{\"a\":".repeat(10_000), b""), Closed),
        ("100,000 fields", frame(&header(310, &many.join(",")), b"x"), Any),
        ("100,000 fields in a binary header", binary(0, many_binary.len() as i32, &many_binary), Any),
        ("a binary remark of 2 GB", binary(0x7fff_ffff, 0, b"x"), Closed),
        ("a binary remark of negative length", binary(-1, 0, b"x"), Closed),
        ("binary fields of 2 GB", binary(0, 0x7fff_fff0, b"\0\x01a"), Closed),
        ("a binary key of negative length", binary(0, 7, b"\xff\xffaaaaa"), Closed),
        ("a binary value of negative length", binary(0, 7, b"\0\x01a\xff\xff\xff\xff"), Closed),
        ("a binary header cut in its middle", [length_words(8, 1 << 24 | 4), noise(4)].concat(), Closed),
    ]
}

/// The body of a batch with that in place of four bytes.
fn batch_with(at: usize, bytes: [u8; 4]) -> Vec<u8> {
    let mut batch = batch_of(["first", "second"]);
    batch[at..at + 4].copy_from_slice(&bytes);
    batch
}

/// Requests of a broker whose bodies are not what their headers say.
fn bodies_for_a_broker() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let batch = |body: &[u8]| {
        let fields = "\"a\":\"p\",\"b\":\"Orders\",\"c\":\"TBW102\",\"d\":\"4\",\"e\":\"0\",\"f\":\"0\",\"g\":\"0\",\
                      \"h\":\"0\",\"i\":\"\",\"j\":\"0\",\"k\":\"false\",\"m\":\"true\"";
        request(RequestCode::SEND_BATCH_MESSAGE, fields, body)
    };
    let illegal = Refused(ResponseCode::MESSAGE_ILLEGAL);
    let error = Refused(ResponseCode::SYSTEM_ERROR);
    let whole = batch_of(["first", "second"]);
    let [i32_max, minus_1, zero] = [i32::MAX, -1, 0].map(i32::to_be_bytes);
    let mut cases = vec![
        ("a batch of noise", batch(&noise(100_000)), illegal),
        ("a batch of zeros", batch(&[0; 100_000]), illegal),
        ("a batch of nothing", batch(b""), illegal),
        ("a batch that is cut", batch(&whole[..whole.len() - 1]), illegal),
        ("a batch with a tail", batch(&[&whole[..], b"x"].concat()), illegal),
        ("a message of 2 GB in a batch", batch(&batch_with(0, i32_max)), illegal),
        ("a message of negative length in a batch", batch(&batch_with(0, minus_1)), illegal),
        ("a message of no length in a batch", batch(&batch_with(0, zero)), illegal),
        ("a body of 2 GB in a batch", batch(&batch_with(16, i32_max)), illegal),
        ("a body of negative length in a batch", batch(&batch_with(16, minus_1)), illegal),
        ("a body longer than its message in a batch", batch(&batch_with(16, 6_i32.to_be_bytes())), illegal),
    ];
    let bodies = [
        RequestCode::HEART_BEAT,
        RequestCode::LOCK_BATCH_MQ,
        RequestCode::UNLOCK_BATCH_MQ,
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        RequestCode::CHECK_CLIENT_CONFIG,
    ];
    for code in bodies {
        cases.push(("a JSON body that is noise", request(code, "", &noise(100_000)), error));
        cases.push(("a JSON body 10,000 arrays deep", request(code, "", &nested(10_000)), error));
        // A field that nobody knows is passed over, however deep it is.
        cases.push(("a JSON body 10,000 objects deep", request(code, "", &nested_objects(10_000)), Any));
        cases.push((
            "a JSON body that is cut",
            request(code, "", b"{\"clientID\":\"c\",\"consumerDataSet\":[{"),
            error,
        ));
    }
    cases
}

/// Registrations whose bodies are not what their headers say.
fn bodies_for_a_name_server() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let register = |compressed: bool, body: &[u8]| {
        let fields = format!(
            "\"brokerName\":\"b\",\"brokerAddr\":\"127.0.0.1:1\",\"clusterName\":\"C\",\"haServerAddr\":\"127.0.0.1:2\",\
             \"brokerId\":\"0\",\"compressed\":\"{compressed}\",\"bodyCrc32\":\"0\""
        );
        request(RequestCode::REGISTER_BROKER, &fields, body)
    };
    let zipped = |bytes: &[u8], times: usize| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        (0..times).for_each(|_| encoder.write_all(bytes).unwrap());
        encoder.finish().unwrap()
    };
    let whole = zipped(&noise(10_000), 1);
    let error = Refused(ResponseCode::SYSTEM_ERROR);
    vec![
        ("a compressed body of noise", register(true, &noise(100_000)), error),
        ("a compressed body that is cut", register(true, &whole[..whole.len() / 2]), error),
        ("a compressed body with noise in it", register(true, &whole), error),
        ("a compressed body of 256 MB of zeros", register(true, &zipped(&[0; 1 << 20], 256)), error),
        (
            "a compressed body of 256 MB of lengths",
            register(true, &zipped(&0x00ff_ffff_i32.to_be_bytes().repeat(1 << 18), 256)),
            error,
        ),
        ("a plain body of noise", register(false, &noise(100_000)), error),
        ("a plain body 10,000 arrays deep", register(false, &nested(10_000)), error),
    ]
}

/// A figure of a process in bytes, by its name in `/proc/PID/status`.
fn memory(id: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Says each piece on a connection of its own; `other` is served before it is known what comes of the piece, and after.
async fn fire(id: u32, address: &str, cases: Vec<(&'static str, Vec<u8>, Expected)>, other: &mut impl AsyncFnMut()) {
    let before = memory(id, "VmRSS");
    for (what, bytes, expected) in cases {
        let mut raw = Raw::connect(address).await.unwrap();
        raw.say(&bytes).await;
        other().await;
        let outcome = raw.outcome().await;
        let is_expected = match (expected, &outcome) {
            (Closed, Outcome::Closed) | (Any, _) => true,
            (Refused(code), Outcome::Answered(answered, _)) => code == *answered,
            _ => false,
        };
        assert!(is_expected, "{what}: {outcome:?} instead of {expected:?}");
        other().await;
        let peak = memory(id, "VmHWM").saturating_sub(before);
        assert!(peak < MEMORY_MAX, "{what}: {peak} bytes more than before");
    }
    let after = memory(id, "VmRSS").saturating_sub(before);
    assert!(after < MEMORY_MAX / 2, "{after} bytes are not given back");
}

#[tokio::test]
async fn a_broker_stands_bad_input_and_serves_everybody_else() {
    let home = tempfile::tempdir().unwrap();
    let (broker, address) = start(home.path(), "broker", BROKER);
    let other = Peer::new(address.clone());
    other.send("Orders", 0, "before").await;
    let mut sent = 0;
    let mut serve = async || {
        sent += 1;
        assert_eq!(other.send("Served", 0, "x").await, sent - 1);
    };
    fire(broker.id(), &address, no_commands(), &mut serve).await;
    fire(broker.id(), &address, bodies_for_a_broker(), &mut serve).await;
    assert_eq!(other.max_offset("Orders", 0).await, 1, "nothing of it is stored");
    assert_eq!(Peer::new(address).pull("Orders", 0, 0).await.texts(), ["before"]);
    assert_eq!(broker.stop("TERM").status, Some(0));
}

#[tokio::test]
async fn a_name_server_stands_bad_input_and_serves_everybody_else() {
    let home = tempfile::tempdir().unwrap();
    let (namesrv, address) = start(home.path(), "namesrv", "");
    let other = Peer::new(address.clone());
    let mut serve = async || {
        let answer = other.ok(Request::new(RequestCode::GET_BROKER_CLUSTER_INFO)).await;
        let cluster: ClusterInfo = json::from_slice(&answer.body).unwrap();
        assert!(cluster.broker_addr_table.is_empty(), "nobody is registered by rubbish: {cluster:?}");
    };
    fire(namesrv.id(), &address, no_commands(), &mut serve).await;
    fire(namesrv.id(), &address, bodies_for_a_name_server(), &mut serve).await;
    assert_eq!(namesrv.stop("TERM").status, Some(0));
}

/// Peers that begin frames and never end them get no more memory than the broker grants them together.
#[tokio::test]
async fn frames_that_never_end_leave_room_for_those_that_do() {
    let home = tempfile::tempdir().unwrap();
    let limit: usize = 8 << 20;
    let (broker, address) = start(home.path(), "broker", &format!("{BROKER}unfinishedBytesMax={limit}\n"));
    let other = Peer::new(address.clone());
    other.send("Orders", 0, "before").await;
    let before = memory(broker.id(), "VmRSS");
    let mut begun = tokio::task::JoinSet::new();
    let bytes = [length_words(16_000_000, 200), vec![b'{'; 2 << 20]].concat();
    for _ in 0..120 {
        let mut raw = Raw::connect(&address).await.unwrap();
        raw.say(&bytes).await;
        begun.spawn(async move { raw.outcome().await });
    }
    // There is room for 17 of them. The others are closed for those who come later.
    for _ in 0..100 {
        assert_eq!(begun.join_next().await.unwrap().unwrap(), Outcome::Closed);
    }
    for number in 1..=3 {
        assert_eq!(other.send("Orders", 0, vec![b'x'; 3 << 20]).await, number);
    }
    // 240 MB are said. Two whole frames are granted whatever the limit is; buffers grow by doubling.
    let peak = memory(broker.id(), "VmHWM").saturating_sub(before);
    assert!(peak < 2 * (limit + (32 << 20)) + MEMORY_MAX, "{peak} bytes for frames that never end");
    drop(begun);
    assert_eq!(broker.stop("TERM").status, Some(0));
}
