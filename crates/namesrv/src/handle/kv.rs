//! The KV configuration over the wire.

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    DeleteKVConfigRequestHeader, GetKVConfigRequestHeader, GetKVConfigResponseHeader,
    GetKVListByNamespaceRequestHeader, PutKVConfigRequestHeader,
};
use raptormq_remoting::Response;

use super::{Call, Failure, Reply, success_with};
use crate::keeper::Change;
use crate::name_server::NameServer;

const PART_MISSING: &str = "namespace or key is null";

/// PUT_KV_CONFIG (100).
pub(super) fn put(_: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: PutKVConfigRequestHeader<'_> = call.request.header()?;
    let (Some(namespace), Some(key)) = (header.namespace, header.key) else {
        return Err(Failure::system(PART_MISSING));
    };
    // Java keeps a key without a value in memory, and answers later that there is none.
    let value =
        header.value.ok_or_else(|| Failure::system("value is null; send DELETE_KV_CONFIG to remove the key"))?;
    Ok(Reply::Keep(Change::PutKv { namespace: namespace.to_owned(), key: key.to_owned(), value: value.to_owned() }))
}

/// GET_KV_CONFIG (101).
pub(super) fn get(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: GetKVConfigRequestHeader<'_> = call.request.header()?;
    let kv_config = namesrv.kv_config.read();
    match kv_config.get(header.namespace, header.key) {
        Some(value) => {
            let header = GetKVConfigResponseHeader { value: Some(value) };
            Ok(Reply::Now(Response::new(ResponseCode::SUCCESS).with_header(&header)))
        }
        None => Err(Failure {
            code: ResponseCode::QUERY_NOT_FOUND,
            remark: format!("No config item, Namespace: {} Key: {}", header.namespace, header.key),
        }),
    }
}

/// DELETE_KV_CONFIG (102).
pub(super) fn delete(_: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: DeleteKVConfigRequestHeader<'_> = call.request.header()?;
    let (Some(namespace), Some(key)) = (header.namespace, header.key) else {
        return Err(Failure::system(PART_MISSING));
    };
    Ok(Reply::Keep(Change::DeleteKv { namespace: namespace.to_owned(), key: key.to_owned() }))
}

/// GET_KVLIST_BY_NAMESPACE (219).
pub(super) fn list(namesrv: &NameServer, call: &Call<'_, '_>) -> Result<Reply, Failure> {
    let header: GetKVListByNamespaceRequestHeader<'_> = call.request.header()?;
    let table = namesrv.kv_config.read().namespace(header.namespace);
    match table {
        Some(table) => success_with(&table),
        None => Err(Failure {
            code: ResponseCode::QUERY_NOT_FOUND,
            remark: format!("No config item, Namespace: {}", header.namespace),
        }),
    }
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::code::RequestCode;

    use super::super::testing::{ask, text, verdict};
    use crate::name_server::testing::Fixture;

    const KEY: [(&str, &str); 2] = [("namespace", "N"), ("key", "k")];

    #[test]
    fn a_value_is_kept_found_listed_and_deleted() {
        let fixture = Fixture::new();
        let namesrv = &fixture.namesrv;
        let put = [KEY[0], KEY[1], ("value", "v\u{e9}\"\n")];
        assert_eq!(verdict(&ask(namesrv, RequestCode::PUT_KV_CONFIG, &put, b"")), (0, ""));
        let got = ask(namesrv, RequestCode::GET_KV_CONFIG, &KEY, b"");
        assert_eq!((got.code.0, got.fields.get("value")), (0, Some("v\u{e9}\"\n")));
        let listed = ask(namesrv, RequestCode::GET_KVLIST_BY_NAMESPACE, &KEY[..1], b"");
        assert_eq!(text(&listed), "{\"table\":{\"k\":\"v\u{e9}\\\"\\n\"}}");
        assert_eq!(verdict(&ask(namesrv, RequestCode::DELETE_KV_CONFIG, &KEY, b"")), (0, ""));
        assert_eq!(verdict(&ask(namesrv, RequestCode::DELETE_KV_CONFIG, &KEY, b"")), (0, ""));
        let listed = ask(namesrv, RequestCode::GET_KVLIST_BY_NAMESPACE, &KEY[..1], b"");
        assert_eq!(text(&listed), r#"{"table":{}}"#);
    }

    #[test]
    fn what_is_not_there_is_answered_in_the_words_of_java() {
        let fixture = Fixture::new();
        let got = ask(&fixture.namesrv, RequestCode::GET_KV_CONFIG, &KEY, b"");
        assert_eq!(verdict(&got), (22, "No config item, Namespace: N Key: k"));
        let listed = ask(&fixture.namesrv, RequestCode::GET_KVLIST_BY_NAMESPACE, &KEY[..1], b"");
        assert_eq!(verdict(&listed), (22, "No config item, Namespace: N"));
    }

    #[test]
    fn a_request_without_a_part_changes_nothing() {
        let fixture = Fixture::new();
        for (code, fields) in [(100, &KEY[..1]), (100, &KEY[1..]), (102, &KEY[..1]), (102, &[])] {
            let refused = ask(&fixture.namesrv, RequestCode(code), fields, b"");
            assert_eq!(verdict(&refused), (1, "namespace or key is null"), "{code}");
        }
        assert_eq!(ask(&fixture.namesrv, RequestCode::PUT_KV_CONFIG, &KEY, b"").code.0, 1);
        assert_eq!(*fixture.namesrv.kv_config.read(), Default::default());
    }
}
