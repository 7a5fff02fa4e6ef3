//! What brokers ask of consumers on behalf of administrators.

use raptormq_protocol::body::{
    CMResult, ConsumeMessageDirectlyResult, ConsumerRunningInfo, GetConsumerStatusBody, ResetOffsetBody,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
    ResetOffsetRequestHeader,
};
use raptormq_protocol::json;
use raptormq_remoting::Request;

use super::*;

#[tokio::test]
async fn a_consumer_tells_what_it_does_and_consumes_what_it_is_handed() {
    let (cluster, peer) = cluster(2).await;
    for number in 0..4 {
        peer.send(TOPIC, number % 2, number.to_string()).await;
    }
    let client = client(&cluster).await;
    let seen = Seen::default();
    let kept = seen.clone();
    let handle = move |message: MessageView| {
        let is_again = kept.lock().iter().any(|one: &MessageView| one.message_id() == message.message_id());
        kept.lock().push(message);
        async move { if is_again { panic!("seen before") } else { Ok(()) } }
    };
    let builder = client.consumer(GROUP).subscribe(TOPIC, "*").from(ConsumeFrom::First);
    let consumer = builder.start(handle).await.unwrap();
    eventually("all", || seen.lock().len() == 4).await;

    let header =
        GetConsumerRunningInfoRequestHeader { consumer_group: GROUP, client_id: client.id(), jstack_enable: None };
    let answer = peer.ok(Request::new(RequestCode::GET_CONSUMER_RUNNING_INFO).header(&header)).await;
    let info: ConsumerRunningInfo = json::from_slice(&answer.body).unwrap();
    assert_eq!(info.properties["PROP_CONSUME_TYPE"], "CONSUME_PASSIVELY");
    assert_eq!(info.properties["PROP_CONSUMEORDERLY"], "false");
    assert_eq!(info.subscription_set.len(), 2);
    assert_eq!(info.mq_table.values().map(|queue| queue.commit_offset).sum::<i64>(), 4);
    assert!(info.status_table[TOPIC].consume_ok_tps > 0.0);

    let id = seen.lock()[0].offset_message_id().to_owned();
    let header = ConsumeMessageDirectlyResultRequestHeader {
        consumer_group: GROUP,
        client_id: Some(client.id()),
        msg_id: Some(&id),
        broker_name: Some(cluster.broker_name()),
        ..ConsumeMessageDirectlyResultRequestHeader::default()
    };
    let answer = peer.ok(Request::new(RequestCode::CONSUME_MESSAGE_DIRECTLY).header(&header)).await;
    let result: ConsumeMessageDirectlyResult = json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (result.consume_result, result.remark.as_deref()),
        (Some(CMResult::CrThrowException), Some("seen before"))
    );
    consumer.shutdown().await;
}

#[tokio::test]
async fn a_consumer_goes_where_an_administrator_sends_it() {
    let cluster = Cluster::builder().set("useServerSideResetOffset", "false").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic(TOPIC, 2).await;
    for number in 0..6 {
        peer.send(TOPIC, number % 2, number.to_string()).await;
    }
    let seen = Seen::default();
    for is_ordered in [false, true] {
        let client = client(&cluster).await;
        let group = if is_ordered { "ordered" } else { GROUP };
        let builder = client.consumer(group).subscribe(TOPIC, "*").from(ConsumeFrom::First);
        let builder = builder.commit_interval(Duration::from_millis(20));
        seen.lock().clear();
        let consumer = keeping(if is_ordered { builder.orderly() } else { builder }, &seen).await;
        eventually("all", || seen.lock().len() == 6).await;
        // Only what the broker has an offset of can be reset by clients.
        let committed = async {
            while peer.consumer_offset(group, TOPIC, 0).await.is_none()
                || peer.consumer_offset(group, TOPIC, 1).await.is_none()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, committed).await.unwrap();
        let status = GetConsumerStatusRequestHeader { topic: TOPIC, group, client_addr: None };
        let answer = peer.ok(Request::new(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS).header(&status)).await;
        let body: GetConsumerStatusBody = json::from_slice(&answer.body).unwrap();
        assert_eq!(body.consumer_table[client.id()].values().sum::<i64>(), 6);

        let reset = ResetOffsetRequestHeader {
            topic: TOPIC,
            group,
            timestamp: 0,
            is_force: true,
            ..ResetOffsetRequestHeader::default()
        };
        let answer = peer.ok(Request::new(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET).header(&reset)).await;
        let body: ResetOffsetBody = json::from_slice(&answer.body).unwrap();
        assert_eq!(body.offset_table.len(), 2);
        eventually("all again", || seen.lock().len() == 12).await;
        consumer.shutdown().await;
        assert_eq!(seen.lock().len(), 12);
    }
}
