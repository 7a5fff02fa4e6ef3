//! The name server's own configuration over the wire.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use raptormq_config::Properties;
use raptormq_protocol::code::ResponseCode;
use raptormq_remoting::Response;

use super::{Call, Failure, Reply};
use crate::keeper::Change;
use crate::name_server::NameServer;

/// GET_NAMESRV_CONFIG (319): every key as a properties text, sorted.
pub(super) fn get(namesrv: &NameServer, _: &Call<'_, '_>) -> Result<Reply, Failure> {
    let pairs: BTreeMap<&str, String> = namesrv.settings().pairs().into_iter().collect();
    let mut text = String::with_capacity(64 * pairs.len());
    for (key, value) in pairs {
        let _ = writeln!(text, "{key}={value}"); // writing to a String cannot fail
    }
    Ok(Reply::Now(Response::new(ResponseCode::SUCCESS).body(text)))
}

/// UPDATE_NAMESRV_CONFIG (318): a properties text, of which all is taken or nothing. Java takes what it knows and answers
/// success in any case; here a key that is unknown or may not be changed, and a value that is none, are refused.
pub(super) fn update(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let text = std::str::from_utf8(call.request.body).map_err(Failure::system)?;
    let changes =
        Properties::parse(Path::new("the request"), Properties::escape(text).as_bytes()).map_err(Failure::system)?;
    let settings = namesrv.settings();
    let mut black_list = settings.namesrv.config_black_list.split(';').map(str::trim);
    if black_list.any(|listed| changes.get(listed).is_some()) {
        let remark = "Can not update config in black list.".to_owned();
        return Err(Failure { code: ResponseCode::NO_PERMISSION, remark });
    }
    Ok(Reply::Keep(Change::Settings(changes)))
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::code::RequestCode;

    use super::super::testing::{ask, text, verdict};
    use super::*;
    use crate::name_server::testing::Fixture;

    fn update(fixture: &Fixture, body: &str) -> Response {
        ask(&fixture.namesrv, RequestCode::UPDATE_NAMESRV_CONFIG, &[], body.as_bytes())
    }

    fn shown(fixture: &Fixture) -> Vec<String> {
        let answer = ask(&fixture.namesrv, RequestCode::GET_NAMESRV_CONFIG, &[], b"");
        text(&answer).lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_configuration_is_shown_sorted_and_changes_show() {
        let fixture = Fixture::new();
        let before = shown(&fixture);
        assert!(before.is_sorted());
        assert!(before.contains(&"orderMessageEnable=false".to_owned()));
        assert!(before.contains(&"listenPort=9876".to_owned()));
        assert_eq!(verdict(&update(&fixture, "orderMessageEnable=true\nproductEnvName=z\u{e9}\u{1f600}\n")), (0, ""));
        let after = shown(&fixture);
        assert!(after.contains(&"orderMessageEnable=true".to_owned()));
        assert!(after.contains(&"productEnvName=z\u{e9}\u{1f600}".to_owned()));
        assert_eq!(verdict(&update(&fixture, "")), (0, ""));
    }

    #[test]
    fn what_may_not_be_changed_is_refused_and_nothing_else_changes() {
        let fixture = Fixture::new();
        let before = shown(&fixture);
        for key in ["configBlackList", "configStorePath", "kvConfigPath"] {
            let refused = update(&fixture, &format!("orderMessageEnable=true\n{key}=/x\n"));
            assert_eq!(verdict(&refused), (16, "Can not update config in black list."));
        }
        for (body, expected) in [
            ("rocketmqHome=/x", "rocketmqHome: this key can only be set in the config file"),
            ("noSuchKey=1\norderMessageEnable=true", "noSuchKey: there is no such key"),
            ("orderMessageEnable=maybe", "the request line 1: orderMessageEnable=maybe: expected true or false"),
        ] {
            let refused = update(&fixture, body);
            assert_eq!(refused.code, ResponseCode::INVALID_PARAMETER);
            assert!(verdict(&refused).1.starts_with(expected), "{}", verdict(&refused).1);
        }
        assert_eq!(update(&fixture, "a=\\u12").code, ResponseCode::SYSTEM_ERROR);
        assert_eq!(shown(&fixture), before);
    }
}
