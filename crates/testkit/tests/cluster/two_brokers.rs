//! Two brokers at two name servers, which do not know each other: routes, queues shared out over both, a broker that
//! leaves and comes back.

use std::collections::BTreeSet;

use raptormq_client::Client;
use raptormq_protocol::body::{MessageQueue, QueryAssignmentRequestBody, QueryAssignmentResponseBody};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::heartbeat::MessageModel;
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::Request;
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

const TOPIC: &str = "Orders";
/// Queues of the topic on each broker.
const QUEUES: i32 = 3;

async fn cluster(broker_name: &str) -> Cluster {
    let builder = Cluster::builder().set("brokerName", broker_name).set("loadBalancePollNameServerInterval", "1000");
    builder.start().await.unwrap()
}

/// Lets the broker of a cluster register with both name servers.
async fn register_with(cluster: &Cluster, name_servers: &str) {
    let body = format!("namesrvAddr={name_servers}");
    Peer::new(cluster.broker_addr()).ok(Request::new(RequestCode::UPDATE_BROKER_CONFIG).body(body)).await;
}

/// The brokers that a name server says have the topic.
async fn brokers_at(name_server: &Peer) -> BTreeSet<String> {
    let request = Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).field("topic", TOPIC);
    let response = name_server.call(request).await;
    let route: TopicRouteData = json::from_slice(&response.body).unwrap_or_default();
    route.broker_datas.into_iter().map(|broker| broker.broker_name).collect()
}

/// What a broker gives out to a member of the group.
async fn share(peer: &Peer, client_id: &str) -> Vec<MessageQueue> {
    let body = QueryAssignmentRequestBody {
        client_id: client_id.into(),
        consumer_group: "g".into(),
        message_model: MessageModel::Clustering,
        strategy_name: "AVG".into(),
        topic: TOPIC.into(),
    };
    let request = Request::new(RequestCode::QUERY_ASSIGNMENT).body(json::to_vec(&body).unwrap());
    let answer: QueryAssignmentResponseBody = json::from_slice(&peer.ok(request).await.body).unwrap();
    let queues = answer.message_queue_assignments.unwrap_or_default().into_iter();
    queues.filter_map(|assignment| assignment.message_queue).collect()
}

/// Waits until both members together have all queues of these brokers, each once.
async fn shared_over(members: &[(Peer, &str); 2], brokers: &[&str]) {
    let wanted: BTreeSet<_> = brokers.iter().flat_map(|name| (0..QUEUES).map(|id| ((*name).to_owned(), id))).collect();
    until("the queues are shared out", async || {
        let mut all = share(&members[0].0, members[0].1).await;
        all.extend(share(&members[0].0, members[1].1).await);
        let distinct: BTreeSet<_> = all.iter().map(|queue| (queue.broker_name.clone(), queue.queue_id)).collect();
        all.len() == distinct.len() && distinct == wanted
    })
    .await;
}

#[tokio::test]
async fn routes_follow_brokers_that_come_and_go_at_every_name_server() {
    let (first, mut second) = (cluster("broker-a").await, cluster("broker-b").await);
    let name_servers = format!("{};{}", first.namesrv_addr(), second.namesrv_addr());
    for cluster in [&first, &second] {
        register_with(cluster, &name_servers).await;
        Peer::new(cluster.broker_addr()).create_topic(TOPIC, QUEUES).await;
    }
    let at = [first.namesrv_addr(), second.namesrv_addr()].map(Peer::new);
    let routes_name = async |brokers: &[&str]| {
        let wanted: BTreeSet<String> = brokers.iter().map(|name| (*name).to_owned()).collect();
        for name_server in &at {
            until("a route has these brokers", async || brokers_at(name_server).await == wanted).await;
        }
    };
    routes_name(&["broker-a", "broker-b"]).await;
    let members = ["c1", "c2"].map(|id| (Peer::new(first.broker_addr()), id));
    for (peer, id) in &members {
        peer.join(id, "g", TOPIC, "*").await;
    }
    shared_over(&members, &["broker-a", "broker-b"]).await;

    let client = Client::connect(&name_servers).await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", TOPIC).await;
    let sent = send_numbered(&client, TOPIC, 0..12).await;
    assert_eq!(ids_received(&inbox.take(12).await), ids_sent(&sent));

    second.stop_broker().await;
    routes_name(&["broker-a"]).await;
    shared_over(&members, &["broker-a"]).await;
    let other_client = Client::connect(&name_servers).await.unwrap();
    let sent = send_numbered(&other_client, TOPIC, 12..24).await;
    assert_eq!(ids_received(&inbox.take(12).await), ids_sent(&sent), "the broker that is left serves on");

    second.restart_broker().await.unwrap();
    register_with(&second, &name_servers).await;
    routes_name(&["broker-a", "broker-b"]).await;
    shared_over(&members, &["broker-a", "broker-b"]).await;
    assert_eq!(Peer::new(second.broker_addr()).max_offset(TOPIC, 0).await, 2, "what it had is there");
    consumer.shutdown().await;
    first.shutdown().await;
    second.shutdown().await;
}
