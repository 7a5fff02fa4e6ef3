//! Brokers: they register, say that they live, and go; administrators take their write permission.

use raptormq_protocol::body::{
    DataVersion, GetBrokerMemberGroupResponseBody, PERM_READ, PERM_WRITE, RegisterBrokerBody,
};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    AddWritePermOfBrokerResponseHeader, BrokerHeartbeatRequestHeader, GetBrokerMemberGroupRequestHeader,
    QueryDataVersionRequestHeader, QueryDataVersionResponseHeader, RegisterBrokerRequestHeader,
    RegisterBrokerResponseHeader, UnRegisterBrokerRequestHeader, WipeWritePermOfBrokerResponseHeader,
    WritePermOfBrokerRequestHeader,
};
use raptormq_protocol::json;
use raptormq_protocol::message::record::body_crc;
use raptormq_remoting::Response;

use super::route::ZONE_NAME;
use super::{Call, Failure, Reply, success, success_with};
use crate::kv_config::ORDER_TOPIC_CONFIG;
use crate::name_server::NameServer;
use crate::routes::{BrokerKey, Departure, Registration};

/// REGISTER_BROKER (103).
pub(super) fn register(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: RegisterBrokerRequestHeader<'_> = call.request.header()?;
    if header.body_crc32 != 0 && header.body_crc32 != body_crc(call.request.body) {
        return Err(Failure::system("crc32 not match"));
    }
    let body = RegisterBrokerBody::decode(call.request.body, call.request.version).map_err(Failure::system)?;
    let registration = Registration {
        header: header.clone(),
        zone_name: call.request.fields.get(ZONE_NAME),
        topics: body.topic_config_serialize_wrapper,
        filter_servers: body.filter_server_list,
        connection: call.connection,
        now_ms: namesrv.now_ms(),
    };
    let settings = namesrv.settings();
    let registered = namesrv.routes.write().register(registration, &settings.namesrv);
    let registered = registered.map_err(|refusal| {
        tracing::warn!(broker = header.broker_name, addr = header.broker_addr, %refusal, "a registration is refused");
        Failure::system(refusal)
    })?;
    namesrv.notify(registered.notice);

    let response = Response::new(ResponseCode::SUCCESS).with_header(&RegisterBrokerResponseHeader {
        ha_server_addr: registered.ha_server_addr.as_deref(),
        master_addr: registered.master_addr.as_deref(),
    });
    let order_topics = match settings.namesrv.return_order_topic_config_to_broker {
        true => namesrv.kv_config.read().namespace(ORDER_TOPIC_CONFIG),
        false => None,
    };
    Ok(Reply::Now(match order_topics {
        Some(table) => response.body(json::to_vec(&table)?),
        None => response,
    }))
}

/// UNREGISTER_BROKER (104).
pub(super) fn unregister(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: UnRegisterBrokerRequestHeader<'_> = call.request.header()?;
    let departure = Departure {
        key: BrokerKey::new(header.cluster_name, header.broker_addr),
        broker_name: header.broker_name.to_owned(),
    };
    let settings = namesrv.settings();
    let notices = namesrv.routes.write().unregister(&[departure], &settings.namesrv);
    namesrv.notify(notices);
    success()
}

/// BROKER_HEARTBEAT (904).
pub(super) fn heartbeat(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: BrokerHeartbeatRequestHeader<'_> = call.request.header()?;
    namesrv.routes.write().heartbeat(header.cluster_name, header.broker_addr, namesrv.now_ms());
    success()
}

/// QUERY_DATA_VERSION (322): whether the broker has to register again. It is a sign of life, too.
pub(super) fn query_data_version(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: QueryDataVersionRequestHeader<'_> = call.request.header()?;
    let of_broker: Option<DataVersion> = match call.request.body {
        [] => None,
        body => Some(json::from_slice(body)?),
    };
    let known = {
        let mut routes = namesrv.routes.write();
        routes.heartbeat(header.cluster_name, header.broker_addr, namesrv.now_ms());
        routes.data_version(header.cluster_name, header.broker_addr)
    };
    let changed = known.is_none() || known != of_broker;
    let response = Response::new(ResponseCode::SUCCESS).with_header(&QueryDataVersionResponseHeader { changed });
    Ok(Reply::Now(match known {
        Some(version) => response.body(json::to_vec(&version)?),
        None => response,
    }))
}

/// GET_BROKER_MEMBER_GROUP (901).
pub(super) fn member_group(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: GetBrokerMemberGroupRequestHeader<'_> = call.request.header()?;
    let group = namesrv.routes.read().member_group(header.cluster_name, header.broker_name);
    success_with(&GetBrokerMemberGroupResponseBody { broker_member_group: Some(group) })
}

/// WIPE_WRITE_PERM_OF_BROKER (205).
pub(super) fn wipe_write_permission(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let wipe_topic_count = change_permission(namesrv, call, |perm| perm & !PERM_WRITE)?;
    let header = WipeWritePermOfBrokerResponseHeader { wipe_topic_count };
    Ok(Reply::Now(Response::new(ResponseCode::SUCCESS).with_header(&header)))
}

/// ADD_WRITE_PERM_OF_BROKER (327).
pub(super) fn add_write_permission(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let add_topic_count = change_permission(namesrv, call, |_| PERM_READ | PERM_WRITE)?;
    let header = AddWritePermOfBrokerResponseHeader { add_topic_count };
    Ok(Reply::Now(Response::new(ResponseCode::SUCCESS).with_header(&header)))
}

fn change_permission(namesrv: &NameServer, call: &Call<'_, '_>, change: fn(i32) -> i32) -> Result<i32, Failure> {
    let header: WritePermOfBrokerRequestHeader<'_> = call.request.header()?;
    let count = namesrv.routes.write().change_write_permission(header.broker_name, change);
    tracing::info!(broker = header.broker_name, topics = count, code = call.request.code, "write permission changed");
    Ok(count)
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::code::RequestCode;
    use raptormq_protocol::command::Version;

    use super::super::testing::{ask, ask_as, register_master, text, verdict};
    use super::*;
    use crate::name_server::testing::Fixture;

    const MASTER: [(&str, &str); 5] =
        [("brokerName", "a"), ("brokerAddr", "a:0"), ("clusterName", "C"), ("haServerAddr", "ha"), ("brokerId", "0")];
    const SLAVE: [(&str, &str); 5] =
        [("brokerName", "a"), ("brokerAddr", "a:1"), ("clusterName", "C"), ("haServerAddr", "ha1"), ("brokerId", "1")];

    fn topics(fixture: &Fixture) -> Vec<String> {
        fixture.namesrv.routes.read().topic_list().topic_list
    }

    #[test]
    fn a_body_that_was_damaged_on_its_way_is_refused() {
        let fixture = Fixture::new();
        let with_crc = |crc: &'static str| [&MASTER[..], &[("bodyCrc32", crc)]].concat();
        let refused = ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &with_crc("5"), b"{}");
        assert_eq!(verdict(&refused), (1, "crc32 not match"));
        let crc: &'static str = body_crc(b"{}").to_string().leak();
        assert_eq!(verdict(&ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &with_crc(crc), b"{}")), (0, ""));
    }

    #[test]
    fn the_body_of_very_old_brokers_is_the_table_alone() {
        let fixture = Fixture::new();
        let body = br#"{"dataVersion":{"counter":3},"topicConfigTable":{"A":{"perm":6},"Old":{"perm":6}}}"#;
        let old = Version(Version::V3_0_11.0 - 1);
        let answer = ask_as(&fixture.namesrv, old, RequestCode::REGISTER_BROKER, (&MASTER, body));
        assert_eq!(verdict(&answer), (0, ""));
        assert_eq!(topics(&fixture), ["A", "Old"]);
    }

    #[test]
    fn the_compressed_body_is_read_whatever_the_header_says() {
        let mut body = RegisterBrokerBody::default();
        for name in ["A", "B"] {
            let topic = raptormq_protocol::body::TopicConfig { topic_name: name.to_owned(), ..Default::default() };
            body.topic_config_serialize_wrapper.topic_config_table.insert(name.to_owned(), topic);
        }
        let compressed = body.encode_compressed().unwrap();
        for flag in ["true", "false"] {
            let fixture = Fixture::new();
            let fields = [&MASTER[..], &[("compressed", flag)]].concat();
            let answer = ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &fields, &compressed);
            assert_eq!(verdict(&answer), (0, ""));
            assert_eq!(topics(&fixture), ["A", "B"]);
        }
    }

    #[test]
    fn rubbish_in_a_registration_is_answered_with_what_is_wrong() {
        let fixture = Fixture::new();
        for body in [&b"garbage"[..], b"{", b"{\"topicConfigSerializeWrapper\":7}"] {
            let refused = ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &MASTER, body);
            assert_eq!(refused.code, ResponseCode::SYSTEM_ERROR);
            assert!(refused.remark.unwrap().contains("register body: "));
        }
        assert_eq!(fixture.namesrv.routes.read().cluster_info(), Default::default());
    }

    #[test]
    fn a_slave_is_told_where_its_master_is_and_every_broker_what_is_ordered() {
        let fixture = Fixture::new();
        let plain = ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &MASTER, b"");
        assert_eq!((plain.fields.iter().count(), text(&plain)), (0, ""));
        let order = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "A"), ("value", "a:4")];
        ask(&fixture.namesrv, RequestCode::PUT_KV_CONFIG, &order, b"");
        let slave = ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &SLAVE, b"");
        assert_eq!((slave.fields.get("haServerAddr"), slave.fields.get("masterAddr")), (Some("ha"), Some("a:0")));
        assert_eq!(text(&slave), r#"{"table":{"A":"a:4"}}"#);
        let off = b"returnOrderTopicConfigToBroker=false";
        ask(&fixture.namesrv, RequestCode::UPDATE_NAMESRV_CONFIG, &[], off);
        assert_eq!(text(&ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &SLAVE, b"")), "");
    }

    #[test]
    fn a_broker_asks_whether_it_must_register_again_and_lives_on_by_asking() {
        let fixture = Fixture::new();
        let ask_version = |body: &[u8]| ask(&fixture.namesrv, RequestCode::QUERY_DATA_VERSION, &MASTER, body);
        let unknown = ask_version(br#"{"counter":1,"timestamp":2}"#);
        assert_eq!((unknown.fields.get("changed"), text(&unknown)), (Some("true"), ""));
        register_master(&fixture.namesrv, "a", "a:0");
        fixture.advance_ms(119_000);
        let same = ask_version(br#"{"counter":1,"stateVersion":0,"timestamp":2}"#);
        assert_eq!(same.fields.get("changed"), Some("false"));
        assert_eq!(text(&same), r#"{"counter":1,"stateVersion":0,"timestamp":2}"#);
        fixture.advance_ms(119_000);
        assert!(fixture.namesrv.expire().is_empty(), "the question was a sign of life");
        assert_eq!(ask_version(br#"{"counter":2,"timestamp":2}"#).fields.get("changed"), Some("true"));
        assert_eq!(ask_version(b"").fields.get("changed"), Some("true"));
        assert_eq!(ask_version(b"[").code, ResponseCode::SYSTEM_ERROR);
    }

    #[test]
    fn heartbeats_keep_a_broker_and_silence_removes_it() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        for _ in 0..3 {
            fixture.advance_ms(100_000);
            assert_eq!(verdict(&ask(&fixture.namesrv, RequestCode::BROKER_HEARTBEAT, &MASTER, b"")), (0, ""));
            assert!(fixture.namesrv.expire().is_empty());
        }
        fixture.advance_ms(120_001);
        assert_eq!(fixture.namesrv.expire(), [1]);
        assert!(topics(&fixture).is_empty());
    }

    #[test]
    fn a_broker_that_says_goodbye_is_gone_and_its_group_is_told() {
        let mut fixture = Fixture::with(|settings| settings.namesrv.notify_min_broker_id_changed = true);
        register_master(&fixture.namesrv, "a", "a:0");
        ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &SLAVE, b"");
        assert_eq!(verdict(&ask(&fixture.namesrv, RequestCode::UNREGISTER_BROKER, &MASTER, b"")), (0, ""));
        let notice = fixture.notices.try_recv().unwrap();
        assert_eq!((notice.min_broker_id, notice.offline_broker_addr.as_deref()), (1, Some("a:0")));
        assert_eq!(verdict(&ask(&fixture.namesrv, RequestCode::UNREGISTER_BROKER, &MASTER, b"")), (0, ""));
        ask(&fixture.namesrv, RequestCode::REGISTER_BROKER, &MASTER, b"");
        let notice = fixture.notices.try_recv().unwrap();
        assert_eq!((notice.min_broker_id, notice.ha_broker_addr.as_deref()), (0, Some("ha")));
    }

    #[test]
    fn a_group_is_shown_with_bare_ids() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let fields = [("clusterName", "C"), ("brokerName", "a")];
        let answer = ask(&fixture.namesrv, RequestCode::GET_BROKER_MEMBER_GROUP, &fields, b"");
        assert_eq!(text(&answer), r#"{"brokerMemberGroup":{"brokerAddrs":{0:"a:0"},"brokerName":"a","cluster":"C"}}"#);
    }

    #[test]
    fn write_permission_is_wiped_and_given_back_with_a_count_of_topics() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let perm = || fixture.namesrv.routes.read().route("A", false).unwrap().queue_datas[0].perm;
        let fields = [("brokerName", "a")];
        let wiped = ask(&fixture.namesrv, RequestCode::WIPE_WRITE_PERM_OF_BROKER, &fields, b"");
        assert_eq!((wiped.fields.get("wipeTopicCount"), perm()), (Some("2"), 4));
        let added = ask(&fixture.namesrv, RequestCode::ADD_WRITE_PERM_OF_BROKER, &fields, b"");
        assert_eq!((added.fields.get("addTopicCount"), perm()), (Some("2"), 6));
    }
}
