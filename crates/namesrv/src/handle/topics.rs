//! Lists of topics, and single topics that are entered or deleted here.

use raptormq_protocol::header::{
    DeleteTopicFromNamesrvRequestHeader, GetTopicsByClusterRequestHeader, RegisterTopicRequestHeader,
};
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;

use super::{Call, Failure, Reply, success, success_with};
use crate::name_server::NameServer;
use crate::routes::UnitTopics;

/// GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206).
pub(super) fn all(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    check_enabled(namesrv.settings().namesrv.enable_all_topic_list)?;
    let list = namesrv.routes.read().topic_list();
    success_with(&list)
}

/// GET_TOPICS_BY_CLUSTER (224).
pub(super) fn of_cluster(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    check_enabled(namesrv.settings().namesrv.enable_topic_list)?;
    let header: GetTopicsByClusterRequestHeader<'_> = call.request.header()?;
    let list = namesrv.routes.read().topics_of_cluster(header.cluster);
    success_with(&list)
}

/// GET_SYSTEM_TOPIC_LIST_FROM_NS (304). No key switches it off, in Java neither.
pub(super) fn system(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    let list = namesrv.routes.read().system_topic_list();
    success_with(&list)
}

/// GET_UNIT_TOPIC_LIST (311).
pub(super) fn unit(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    unit_list(namesrv, UnitTopics::Unit)
}

/// GET_HAS_UNIT_SUB_TOPIC_LIST (312).
pub(super) fn unit_sub(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    unit_list(namesrv, UnitTopics::UnitSub)
}

/// GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST (313).
pub(super) fn unit_sub_without_unit(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    unit_list(namesrv, UnitTopics::UnitSubWithoutUnit)
}

fn unit_list(namesrv: &NameServer, wanted: UnitTopics) -> Result<Reply, Failure> {
    check_enabled(namesrv.settings().namesrv.enable_topic_list)?;
    let list = namesrv.routes.read().unit_topics(wanted);
    success_with(&list)
}

fn check_enabled(is_enabled: bool) -> Result<(), Failure> {
    if is_enabled { Ok(()) } else { Err(Failure::system("disable")) }
}

/// DELETE_TOPIC_IN_NAMESRV (216): everywhere, or in the cluster that newer administrators name.
pub(super) fn delete(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: DeleteTopicFromNamesrvRequestHeader<'_> = call.request.header()?;
    let mut routes = namesrv.routes.write();
    match header.cluster_name {
        None | Some("") => routes.delete_topic(header.topic),
        Some(cluster) => routes.delete_topic_of_cluster(header.topic, cluster),
    }
    tracing::info!(topic = header.topic, cluster = header.cluster_name, "topic deleted by request");
    success()
}

/// REGISTER_TOPIC_IN_NAMESRV (217).
pub(super) fn register(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: RegisterTopicRequestHeader<'_> = call.request.header()?;
    if !call.request.body.is_empty() {
        let route: TopicRouteData = json::from_slice(call.request.body)?;
        let settings = namesrv.settings();
        namesrv.routes.write().register_topic(header.topic, route.queue_datas, &settings.namesrv);
    }
    success()
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::body::TopicList;
    use raptormq_protocol::code::RequestCode;

    use super::super::testing::{ask, register_master, text, verdict};
    use super::*;
    use crate::name_server::testing::Fixture;

    fn list(fixture: &Fixture, code: RequestCode, fields: &[(&str, &str)]) -> Vec<String> {
        let answer = ask(&fixture.namesrv, code, fields, b"");
        assert_eq!(verdict(&answer), (0, ""));
        json::from_slice::<TopicList>(&answer.body).unwrap().topic_list
    }

    #[test]
    fn lists_are_answered() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        assert_eq!(list(&fixture, RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]), ["A", "B"]);
        assert_eq!(list(&fixture, RequestCode::GET_TOPICS_BY_CLUSTER, &[("cluster", "C")]), ["A", "B"]);
        assert!(list(&fixture, RequestCode::GET_TOPICS_BY_CLUSTER, &[("cluster", "x")]).is_empty());
        assert!(list(&fixture, RequestCode::GET_UNIT_TOPIC_LIST, &[]).is_empty());
        let system = ask(&fixture.namesrv, RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS, &[], b"");
        assert_eq!(text(&system), r#"{"brokerAddr":"a:0","topicList":["C","a"]}"#);
    }

    #[test]
    fn lists_that_are_switched_off_are_refused() {
        let fixture = Fixture::with(|settings| {
            settings.namesrv.enable_all_topic_list = false;
            settings.namesrv.enable_topic_list = false;
        });
        for code in [206, 224, 311, 312, 313] {
            assert_eq!(verdict(&ask(&fixture.namesrv, RequestCode(code), &[], b"")), (1, "disable"), "{code}");
        }
        assert_eq!(verdict(&ask(&fixture.namesrv, RequestCode(304), &[], b"")), (0, ""));
    }

    #[test]
    fn a_topic_is_entered_and_deleted_with_and_without_a_cluster() {
        let fixture = Fixture::new();
        register_master(&fixture.namesrv, "a", "a:0");
        let enter = |topic: &str| {
            let body = br#"{"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":1,"writeQueueNums":1}]}"#;
            let fields = [("topic", topic)];
            let answer = ask(&fixture.namesrv, RequestCode::REGISTER_TOPIC_IN_NAMESRV, &fields, body);
            assert_eq!(verdict(&answer), (0, ""));
        };
        let delete = |fields: &[(&str, &str)]| {
            let answer = ask(&fixture.namesrv, RequestCode::DELETE_TOPIC_IN_NAMESRV, fields, b"");
            assert_eq!(verdict(&answer), (0, ""));
        };
        let topics = || list(&fixture, RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]);
        enter("T");
        enter("U");
        delete(&[("topic", "T"), ("clusterName", "x")]);
        assert_eq!(topics(), ["A", "B", "T", "U"]);
        delete(&[("topic", "T"), ("clusterName", "C")]);
        delete(&[("topic", "U")]);
        delete(&[("topic", "nope")]);
        assert_eq!(topics(), ["A", "B"]);
    }

    #[test]
    fn a_topic_without_a_body_is_answered_and_one_with_rubbish_is_refused() {
        let fixture = Fixture::new();
        let enter =
            |body: &[u8]| ask(&fixture.namesrv, RequestCode::REGISTER_TOPIC_IN_NAMESRV, &[("topic", "T")], body).code.0;
        assert_eq!((enter(b""), enter(b"{}"), enter(b"{")), (0, 0, 1));
    }
}
