//! Who serves a topic, and which brokers there are: what every client asks for.

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Version;
use raptormq_protocol::header::GetRouteInfoRequestHeader;
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::Response;

use super::{Call, Failure, Reply, success_with};
use crate::kv_config::ORDER_TOPIC_CONFIG;
use crate::name_server::NameServer;
use crate::routes::keep_zone;

/// Field by which brokers and clients name the zone that they stand in. Java: `MixAll.ZONE_NAME`.
pub(super) const ZONE_NAME: &str = "__ZONE_NAME";
/// Field by which a client asks for brokers of its zone only. Java: `MixAll.ZONE_MODE`.
const ZONE_MODE: &str = "__ZONE_MODE";

/// What follows a refusal that the documentation explains. Java: `common/…/common/help/FAQUrl.java`.
const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// GET_ROUTEINFO_BY_TOPIC (105).
pub(super) fn route(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    if !namesrv.is_ready() {
        return Err(Failure::system("name server not ready"));
    }
    let header: GetRouteInfoRequestHeader<'_> = call.request.header()?;
    let settings = namesrv.settings();
    let Some(mut route) = namesrv.routes.read().route(header.topic, settings.namesrv.support_acting_master) else {
        return Err(Failure {
            code: ResponseCode::TOPIC_NOT_EXIST,
            remark: format!("No topic route info in name server for the topic: {}{FAQ}", header.topic),
        });
    };
    if settings.namesrv.order_message_enable {
        route.order_topic_conf = namesrv.kv_config.read().get(ORDER_TOPIC_CONFIG, header.topic).map(str::to_owned);
    }
    let is_zone_asked = call.request.fields.get(ZONE_MODE).is_some_and(|mode| mode.eq_ignore_ascii_case("true"));
    let zone = call.request.fields.get(ZONE_NAME).filter(|zone| is_zone_asked && !zone.trim().is_empty());
    if let Some(zone) = zone {
        keep_zone(&mut route, zone);
    }
    let body = encode(&route, call.request.version, header.accept_standard_json_only == Some(true))?;
    Ok(Reply::Now(Response::new(ResponseCode::SUCCESS).body(body)))
}

/// Older clients of other languages have parsers for bare integer keys and nothing else; newer ones read standard JSON.
fn encode(route: &TopicRouteData, version: Version, wants_standard: bool) -> Result<Vec<u8>, json::JsonError> {
    if version >= Version::V4_9_4 || wants_standard { json::to_vec_strict(route) } else { json::to_vec(route) }
}

/// GET_BROKER_CLUSTER_INFO (106).
pub(super) fn cluster_info(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    let info = namesrv.routes.read().cluster_info();
    success_with(&info)
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::code::RequestCode;

    use super::super::testing::{ask, ask_as, register_master, text, verdict};
    use super::*;
    use crate::name_server::testing::Fixture;

    const ROUTE: RequestCode = RequestCode::GET_ROUTEINFO_BY_TOPIC;

    fn parsed(response: &Response) -> TopicRouteData {
        json::from_slice(&response.body).unwrap()
    }

    #[test]
    fn an_unknown_topic_is_refused_with_the_words_that_clients_know() {
        let fixture = Fixture::new();
        let answer = ask(&fixture.namesrv, ROUTE, &[("topic", "nope")], b"");
        // As a name server 5.3.3 answered it.
        let expected = "No topic route info in name server for the topic: nope\n\
            See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";
        assert_eq!(verdict(&answer), (17, expected));
    }

    #[test]
    fn keys_are_bare_for_old_peers_and_quoted_for_new_ones_and_on_request() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let loose = r#""brokerAddrs":{0:"a:0"}"#;
        let strict = r#""brokerAddrs":{"0":"a:0"}"#;
        let topic = ("topic", "A");
        let standard = ("acceptStandardJsonOnly", "true");
        for (version, fields, expected) in [
            (Version(400), &[topic][..], loose),
            (Version(400), &[topic, ("acceptStandardJsonOnly", "false")], loose),
            (Version(400), &[topic, standard], strict),
            (Version::V4_9_4, &[topic], strict),
            (Version::CURRENT, &[topic], strict),
        ] {
            let answer = ask_as(&fixture.namesrv, version, ROUTE, (fields, b""));
            assert!(text(&answer).contains(expected), "{version} {fields:?}: {}", text(&answer));
        }
    }

    #[test]
    fn the_body_is_the_one_that_java_answers() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "broker-a", "127.0.0.1:21911");
        let answer = ask_as(&fixture.namesrv, Version(353), ROUTE, (&[("topic", "A")], b""));
        // As a name server 5.3.3 answered it, and the former name of topicSysFlag.
        let expected = concat!(
            r#"{"brokerDatas":[{"brokerAddrs":{0:"127.0.0.1:21911"},"brokerName":"broker-a","cluster":"C","#,
            r#""enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"#,
            r#""readQueueNums":4,"topicSynFlag":0,"topicSysFlag":0,"writeQueueNums":4}]}"#
        );
        assert_eq!(text(&answer), expected);
    }

    #[test]
    fn the_order_configuration_is_added_only_when_it_is_switched_on() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let put = [("namespace", ORDER_TOPIC_CONFIG), ("key", "A"), ("value", "a:4")];
        ask(&fixture.namesrv, RequestCode::PUT_KV_CONFIG, &put, b"");
        assert_eq!(parsed(&ask(&fixture.namesrv, ROUTE, &[("topic", "A")], b"")).order_topic_conf, None);
        ask(&fixture.namesrv, RequestCode::UPDATE_NAMESRV_CONFIG, &[], b"orderMessageEnable=true");
        let ordered = parsed(&ask(&fixture.namesrv, ROUTE, &[("topic", "A")], b""));
        assert_eq!(ordered.order_topic_conf.as_deref(), Some("a:4"));
        assert_eq!(parsed(&ask(&fixture.namesrv, ROUTE, &[("topic", "B")], b"")).order_topic_conf, None);
    }

    #[test]
    fn a_zone_filters_only_when_it_is_asked_for() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let count = |fields: &[(&str, &str)]| {
            let fields = [&[("topic", "A")], fields].concat();
            parsed(&ask(&fixture.namesrv, ROUTE, &fields, b"")).broker_datas.len()
        };
        assert_eq!(count(&[(ZONE_NAME, "z")]), 1);
        assert_eq!(count(&[(ZONE_MODE, "true"), (ZONE_NAME, " ")]), 1);
        assert_eq!(count(&[(ZONE_MODE, "false"), (ZONE_NAME, "z")]), 1);
        assert_eq!(count(&[(ZONE_MODE, "true"), (ZONE_NAME, "z")]), 0);
    }

    #[test]
    fn a_name_server_that_shall_wait_answers_no_routes_yet() {
        let fixture = Fixture::with(|settings| settings.namesrv.need_wait_for_service = true);
        register_master(&fixture.namesrv, "a", "a:0");
        let early = ask(&fixture.namesrv, ROUTE, &[("topic", "A")], b"");
        assert_eq!(verdict(&early), (1, "name server not ready"));
        fixture.advance_ms(45_000);
        assert_eq!(verdict(&ask(&fixture.namesrv, ROUTE, &[("topic", "A")], b"")), (0, ""));
    }

    #[test]
    fn the_cluster_is_shown_as_java_shows_it() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let answer = ask(&fixture.namesrv, RequestCode::GET_BROKER_CLUSTER_INFO, &[], b"");
        let expected = concat!(
            r#"{"brokerAddrTable":{"a":{"brokerAddrs":{0:"a:0"},"brokerName":"a","cluster":"C","#,
            r#""enableActingMaster":false}},"clusterAddrTable":{"C":["a"]}}"#
        );
        assert_eq!(text(&answer), expected);
    }
}
