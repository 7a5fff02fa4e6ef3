//! What a server does, seen through sockets.

mod support;

use raptormq_protocol::command::Head;
use support::*;

#[tokio::test]
async fn answers_come_at_once_or_when_the_turn_ends() {
    let (server, seen) = server(|_| {});
    let mut raw = Raw::connect(&server).await;
    let bytes = [
        request(Head::request(NOW, 1), b"x"),
        request(Head::request(TURN, 2), b""),
        request(Head::request(77, 3), b""),
    ];
    raw.send(&bytes.concat()).await;
    let mut answers = [raw.read().await.unwrap(), raw.read().await.unwrap(), raw.read().await.unwrap()];
    answers.sort_by_key(|answer| answer.opaque);
    assert_eq!(answers.each_ref().map(|answer| (answer.code, answer.flag)), [(0, 1), (0, 1), (3, 1)]);
    assert_eq!(answers[0].body, b"x");
    assert_eq!(answers[1].remark.as_deref(), Some("1"));
    assert_eq!(*seen.tickets.lock(), [1]);
    server.shutdown().await;
}
