//! JSON bodies in Java's dialect, and compressed register bodies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_protocol::body::{RegisterBrokerBody, TopicStatsTable};
use raptormq_protocol::command::Version;
use raptormq_protocol::heartbeat::HeartbeatData;
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;

fuzz_target!(|data: &[u8]| {
    let _whatever = RegisterBrokerBody::decode(data, Version::CURRENT);
    let _whatever = json::parse_value(data);
    if let Ok(heartbeat) = json::from_slice::<HeartbeatData>(data) {
        let text = json::to_vec(&heartbeat).expect("a heartbeat can be written");
        assert_eq!(json::from_slice::<HeartbeatData>(&text).expect("what we write is read"), heartbeat);
    }
    if let Ok(route) = json::from_slice::<TopicRouteData>(data) {
        let text = json::to_vec_strict(&route).expect("a route can be written");
        assert_eq!(json::from_slice::<TopicRouteData>(&text).expect("what we write is read"), route);
    }
    if let Ok(table) = json::from_slice::<TopicStatsTable>(data) {
        let text = json::to_vec(&table.offset_table).expect("object keys can be written");
        json::parse_value(&text).expect("what we write is read");
    }
});
