//! What a consumer does, seen by brokers and by its handler.
#![allow(clippy::unwrap_used)] // a failure ends the test

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Consumer, ConsumerBuilder, ErrorKind, MessageView, ReaderBuilder, Retry};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use support::*;

type Seen = Arc<Mutex<Vec<MessageView>>>;

async fn builder(cluster: &Cluster) -> ConsumerBuilder {
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    client.consumer("g").subscribe("T", "*").from(ConsumeFrom::First)
}

/// Starts a consumer that keeps what it gets.
async fn keeping(builder: ConsumerBuilder, seen: &Seen) -> Consumer {
    let seen = seen.clone();
    let keep = move |message| {
        seen.lock().push(message);
        async { Ok(()) }
    };
    builder.start(keep).await.unwrap()
}

fn bodies(seen: &Seen) -> BTreeSet<String> {
    seen.lock().iter().map(|message| text(message.body())).collect()
}

fn offset(cluster: &Cluster, queue_id: i32) -> Option<i64> {
    cluster.state.lock().offsets.get(&("g".to_owned(), queue("T", queue_id))).copied()
}

#[tokio::test]
async fn every_message_comes_once_and_the_offsets_are_committed_at_the_end() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["a", "b", "c"]);
    cluster.put("T", 1, &["d"]);
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    eventually("what was there", || seen.lock().len() == 4).await;
    cluster.put("T", 1, &["e", "f"]);
    eventually("what came later", || seen.lock().len() == 6).await;
    consumer.shutdown().await;
    assert_eq!(bodies(&seen).into_iter().collect::<String>(), "abcdef");
    assert_eq!((offset(&cluster, 0), offset(&cluster, 1)), (Some(3), Some(3)));
    assert_eq!(cluster.state.lock().left, ["g"]);

    // The next member goes on where this one stopped.
    cluster.put("T", 0, &["g"]);
    let later = Seen::default();
    let consumer = keeping(builder(&cluster).await, &later).await;
    eventually("only the new one", || bodies(&later).contains("g")).await;
    consumer.shutdown().await;
    assert_eq!(later.lock().len(), 1);
}

#[tokio::test]
async fn a_message_says_where_it_is_from_and_prints_as_java_s_does() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 1, &["a", "b"]);
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    eventually("both", || seen.lock().len() == 2).await;
    consumer.shutdown().await;
    let message = seen.lock()[0].clone();
    assert_eq!((message.topic(), message.queue_id(), message.queue_offset()), ("T", 1, 0));
    assert_eq!((message.property("MIN_OFFSET"), message.property("MAX_OFFSET")), (Some("0"), Some("2")));
    assert!(message.property("CONSUME_START_TIME").is_some());
    assert!(message.to_string().starts_with("MessageExt [brokerName=broker-0, queueId=1, storeSize="), "{message}");
}

#[tokio::test]
async fn the_heartbeat_tells_the_subscriptions_and_the_retry_topic() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let consumer = client.consumer("g").subscribe("T", "A || B");
    let consumer = keeping(consumer, &Seen::default()).await;
    let data = cluster.state.lock().heartbeats[0].clone();
    let group = &data.consumer_data_set[0];
    let subscriptions: Vec<_> =
        group.subscription_data_set.iter().map(|one| (one.topic.as_str(), one.sub_string.as_str())).collect();
    assert_eq!(subscriptions, [("%RETRY%g", "*"), ("T", "A || B")]);
    assert_eq!(data.client_id, client.id());
    let taken = client.consumer("g").subscribe("T", "*").start(|_| async { Ok(()) }).await.err().unwrap();
    assert_eq!(taken.kind(), ErrorKind::InvalidArgument);
    consumer.shutdown().await;
}

#[tokio::test]
async fn messages_with_other_tags_are_passed_over_and_count_as_done() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    {
        let mut state = cluster.state.lock();
        for tag in ["A", "X", "B", "X"] {
            let properties = format!("TAGS\u{1}{tag}\u{2}");
            state.append(&queue("T", 0), Stored { body: tag.as_bytes(), properties: &properties, ..Stored::default() });
        }
    }
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let seen = Seen::default();
    let consumer = client.consumer("g").subscribe("T", "A || B").from(ConsumeFrom::First);
    let consumer = keeping(consumer, &seen).await;
    eventually("A and B", || seen.lock().len() == 2).await;
    consumer.shutdown().await;
    assert_eq!(bodies(&seen), ["A".to_owned(), "B".to_owned()].into());
    assert_eq!(offset(&cluster, 0), Some(4));
}

#[tokio::test]
async fn where_a_new_group_begins_is_what_it_asked_for() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["old"]);
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let seen = Seen::default();
    let consumer = keeping(client.consumer("g").subscribe("T", "*"), &seen).await;
    eventually("the queues", || consumer.queues().len() == 2).await;
    cluster.put("T", 0, &["new"]);
    eventually("the new one", || !seen.lock().is_empty()).await;
    consumer.shutdown().await;
    assert_eq!(bodies(&seen), ["new".to_owned()].into());
}

#[tokio::test]
async fn a_group_whose_offset_is_gone_goes_on_where_the_broker_says() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.state.lock().first_offsets.insert(queue("T", 0), 100);
    cluster.put("T", 0, &["a", "b"]);
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    eventually("both", || seen.lock().len() == 2).await;
    consumer.shutdown().await;
    assert_eq!(seen.lock()[0].queue_offset(), 100);
    assert_eq!(offset(&cluster, 0), Some(102));
}

#[tokio::test]
async fn what_a_handler_cannot_do_goes_back_to_the_broker() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["default", "after", "dead", "panic", "fine"]);
    let handle = |message: MessageView| async move {
        match &message.body()[..] {
            b"default" => Err("some error")?,
            b"after" => Err(Retry::After(Duration::from_secs(5))),
            b"dead" => Err(Retry::DeadLetter),
            b"panic" => panic!("as the test asked"),
            _ => Ok(()),
        }
    };
    let consumer = builder(&cluster).await.start(handle).await.unwrap();
    eventually("four given back", || cluster.state.lock().given_back.len() == 4).await;
    consumer.shutdown().await;
    let mut levels: Vec<i32> = cluster.state.lock().given_back.iter().map(|(_, level)| *level).collect();
    levels.sort();
    assert_eq!(levels, [-1, 0, 0, 2]);
    // Given back is done: the queue goes on.
    assert_eq!(offset(&cluster, 0), Some(5));
}

#[tokio::test]
async fn what_cannot_be_given_back_is_handled_again_here() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.answer(0, RequestCode::CONSUMER_SEND_MSG_BACK, &[ResponseCode::SYSTEM_ERROR]);
    cluster.put("T", 0, &["a"]);
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let handle = move |message: MessageView| {
        let mut seen = seen.lock();
        seen.push(message.reconsume_times());
        let first = seen.len() == 1;
        async move { if first { Err(Retry::Default) } else { Ok(()) } }
    };
    let consumer = builder(&cluster).await.start(handle).await.unwrap();
    eventually("the second time", || times.lock().len() == 2).await;
    consumer.shutdown().await;
    assert_eq!(*times.lock(), [0, 1]);
    assert_eq!(offset(&cluster, 0), Some(1));
}

#[tokio::test]
async fn a_message_to_be_consumed_again_has_its_first_topic() {
    let cluster = Cluster::start(1).with_topics(&["T", "%RETRY%g"]);
    let properties = "RETRY_TOPIC\u{1}T\u{2}";
    cluster
        .state
        .lock()
        .append(&queue("%RETRY%g", 0), Stored { body: b"again", properties, reconsume_times: 3, ..Stored::default() });
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    eventually("the message", || seen.lock().len() == 1).await;
    consumer.shutdown().await;
    let message = seen.lock()[0].clone();
    assert_eq!((message.topic(), message.reconsume_times()), ("T", 3));
}

#[tokio::test]
async fn members_share_the_queues_and_take_over_at_once() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    let (seen, other) = (Seen::default(), Seen::default());
    let first = keeping(builder(&cluster).await, &seen).await;
    eventually("all queues", || first.queues().len() == 4).await;
    let second = keeping(builder(&cluster).await, &other).await;
    eventually("two queues each", || (first.queues().len(), second.queues().len()) == (2, 2)).await;
    let all: BTreeSet<_> = first.queues().into_iter().chain(second.queues()).collect();
    assert_eq!(all.len(), 4);
    second.shutdown().await;
    eventually("all queues again", || first.queues().len() == 4).await;
    first.shutdown().await;
}

#[tokio::test]
async fn a_slow_handler_holds_back_the_offset_and_no_more_run_than_allowed() {
    /// Handlers that run, that ran at once, that are done.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Count {
        running: usize,
        most: usize,
        done: usize,
    }

    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["slow", "b", "c"]);
    let (gate, count) = (Arc::new(tokio::sync::Notify::new()), Arc::new(Mutex::new(Count::default())));
    let shared = (gate.clone(), count.clone());
    let handle = move |message: MessageView| {
        let (gate, count) = shared.clone();
        async move {
            {
                let mut count = count.lock();
                count.running += 1;
                count.most = count.most.max(count.running);
            }
            if message.body() == "slow" {
                gate.notified().await;
            }
            let mut count = count.lock();
            count.running -= 1;
            count.done += 1;
            Ok(())
        }
    };
    let consumer = builder(&cluster).await.concurrency(2).start(handle).await.unwrap();
    eventually("the fast ones", || count.lock().done == 2).await;
    // Pulls commit offsets; nothing behind the slow one may count.
    cluster.put("T", 0, &["d"]);
    eventually("the last one", || count.lock().done == 3).await;
    assert_eq!(offset(&cluster, 0), None);
    gate.notify_one();
    consumer.shutdown().await;
    assert_eq!(*count.lock(), Count { running: 0, most: 2, done: 4 });
    assert_eq!(offset(&cluster, 0), Some(4));
}

#[tokio::test]
async fn a_shutdown_lets_running_handlers_finish_and_starts_no_others() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["a", "b", "c"]);
    let started = Seen::default();
    let (gate, seen) = (Arc::new(tokio::sync::Notify::new()), started.clone());
    let opened = gate.clone();
    let handle = move |message: MessageView| {
        seen.lock().push(message);
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok(())
        }
    };
    let consumer = builder(&cluster).await.concurrency(1).start(handle).await.unwrap();
    eventually("the first", || started.lock().len() == 1).await;
    let open = async {
        tokio::task::yield_now().await;
        opened.notify_one();
    };
    tokio::join!(consumer.shutdown(), open);
    assert_eq!(started.lock().len(), 1);
    assert_eq!(offset(&cluster, 0), Some(1));
    // Again changes nothing.
    consumer.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_subscription_is_told_it_again() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["a"]);
    cluster.put("T", 1, &["b"]);
    cluster.answer(0, RequestCode::PULL_MESSAGE, &[ResponseCode::SUBSCRIPTION_NOT_LATEST; 2]);
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    eventually("both", || seen.lock().len() == 2).await;
    assert!(cluster.state.lock().heartbeats.len() >= 2);
    consumer.shutdown().await;
}

#[tokio::test]
async fn a_broadcasting_group_keeps_its_offsets_here_and_every_member_gets_all() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["a", "b"]);
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let member = async |home: usize, seen: &Seen| {
        keeping(builder(&cluster).await.broadcast().offsets_home(homes[home].path()), seen).await
    };
    let seen = [Seen::default(), Seen::default()];
    let members = [member(0, &seen[0]).await, member(1, &seen[1]).await];
    eventually("both have both", || seen.iter().all(|seen| seen.lock().len() == 2)).await;
    for member in &members {
        member.shutdown().await;
    }
    assert!(cluster.state.lock().offsets.is_empty());
    cluster.put("T", 0, &["c"]);
    let again = Seen::default();
    let restarted = member(0, &again).await;
    eventually("the new one", || again.lock().len() == 1).await;
    restarted.shutdown().await;
    assert_eq!(bodies(&again), ["c".to_owned()].into());
}

#[tokio::test]
async fn a_broadcasting_group_passes_over_what_its_handler_cannot_do() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["a", "b"]);
    let home = tempfile::tempdir().unwrap();
    let seen = Seen::default();
    let kept = seen.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message);
        async { Err(Retry::Default) }
    };
    let consumer = builder(&cluster).await.broadcast().offsets_home(home.path()).start(handle).await.unwrap();
    eventually("both", || seen.lock().len() == 2).await;
    consumer.shutdown().await;
    assert_eq!(cluster.state.lock().given_back, []);
}

#[tokio::test]
async fn a_damaged_message_does_not_stop_the_queue() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["first", "damaged", "last"]);
    {
        let mut state = cluster.state.lock();
        let record = &mut state.queues.get_mut(&queue("T", 0)).unwrap()[1];
        let body = record.windows(7).position(|window| window == b"damaged").unwrap();
        record[body] ^= 1;
    }
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    eventually("both others", || seen.lock().len() == 2).await;
    consumer.shutdown().await;
    assert_eq!(bodies(&seen), ["first".to_owned(), "last".to_owned()].into());
    assert_eq!(offset(&cluster, 0), Some(3));
}

#[tokio::test]
async fn a_topic_that_comes_later_is_consumed_soon() {
    let cluster = Cluster::start(1).with_topics(&["Other"]);
    let seen = Seen::default();
    let consumer = keeping(builder(&cluster).await, &seen).await;
    cluster.state.lock().topics.insert("T".to_owned());
    cluster.put("T", 0, &["a"]);
    eventually("the message", || seen.lock().len() == 1).await;
    consumer.shutdown().await;
}

#[tokio::test]
async fn a_dropped_consumer_leaves_its_group() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    drop(keeping(builder(&cluster).await, &Seen::default()).await);
    eventually("leaving", || cluster.state.lock().left == ["g"]).await;
}

#[tokio::test]
async fn a_reader_sees_all_without_joining_and_waits_for_a_topic_that_is_not_there() {
    let cluster = Cluster::start(1).with_topics(&["Other"]);
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let mut reader = client.reader("T").open().await.unwrap();
    cluster.put("T", 0, &["a", "b"]);
    cluster.state.lock().topics.insert("T".to_owned());
    for body in ["a", "b"] {
        assert_eq!(reader.next().await.unwrap().body(), body);
    }
    // A second one begins at the end.
    let mut late = client.reader("T").open().await.unwrap();
    cluster.put("T", 0, &["c"]);
    assert_eq!(late.next().await.unwrap().body(), "c");
    assert_eq!(reader.next().await.unwrap().body(), "c");
    let state = cluster.state.lock();
    assert!(state.heartbeats.is_empty() && state.offsets.is_empty() && state.members.is_empty());
}

#[tokio::test]
async fn a_reader_ends_with_what_is_there_and_begins_where_a_group_is() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.put("T", 0, &["a", "b", "c"]);
    cluster.state.lock().offsets.insert(("g".to_owned(), queue("T", 0)), 1);
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let read = async |builder: ReaderBuilder| {
        let mut reader = builder.from(ConsumeFrom::First).until_end().open().await.unwrap();
        let mut bodies = String::new();
        while let Some(message) = reader.next().await {
            bodies.push_str(&text(message.body()));
        }
        bodies
    };
    assert_eq!(read(client.reader("T")).await, "abc");
    assert_eq!(read(client.reader("T").from_group("g")).await, "bc");
    assert_eq!(read(client.reader("Absent")).await, "");
    assert_eq!(cluster.state.lock().offsets.len(), 1);
}
