//! Accounts, for administrators (50 to 54, of 4.x). Java: `processor/AdminBrokerProcessor.java` of 4.9.

use std::collections::BTreeMap;
use std::path::PathBuf;

use raptormq_auth::{AccountConfig, AclError, PlainAcl};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    CreateAccessConfigRequestHeader, DeleteAccessConfigRequestHeader, GetBrokerAclConfigResponseHeader,
    UpdateGlobalWhiteAddrsConfigRequestHeader,
};
use raptormq_protocol::json::{self, JsonError};
use raptormq_remoting::{Exchange, Output};
use serde::Serialize;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;

/// The accounts; without access control there is nobody who answers.
fn accounts(broker: &Broker, code: i32) -> Result<&PlainAcl, Failure> {
    broker.acl.as_ref().ok_or_else(|| Failure::not_supported(code))
}

/// The parts of a list; `None` when it was not given.
fn list(text: Option<&str>) -> Option<Vec<String>> {
    let parts = text?.split(',').map(str::trim);
    Some(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// Carries a change out on a thread that may wait for the disk. `Ok(false)` is answered with `otherwise`.
fn change(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    (code, otherwise): (ResponseCode, String),
    work: impl FnOnce(&PlainAcl, i64) -> Result<bool, AclError> + Send + 'static,
) -> Result<Reply, Failure> {
    let request_code = call.request.code;
    accounts(broker, request_code)?;
    Ok(call.answer_later(&broker.readers.tools, move |broker| {
        match work(accounts(broker, request_code)?, broker.now_ms()) {
            Ok(true) => Ok(|to: Exchange, out: &mut Output| out.respond(to, ResponseCode::SUCCESS, None)),
            Ok(false) => Err(Failure::new(code, otherwise)),
            Err(error) => Err(Failure::new(code, error.to_string())),
        }
    }))
}

/// UPDATE_AND_CREATE_ACL_CONFIG (50).
pub(crate) fn put(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: CreateAccessConfigRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let text = |value: Option<&str>| value.map(str::to_owned);
    let given = |value: Option<&str>| text(value.filter(|value| !value.is_empty()));
    let account = AccountConfig {
        access_key: text(header.access_key),
        admin: header.admin,
        default_group_perm: given(header.default_group_perm),
        default_topic_perm: given(header.default_topic_perm),
        group_perms: list(header.group_perms),
        secret_key: text(header.secret_key),
        topic_perms: list(header.topic_perms),
        white_remote_address: text(header.white_remote_address),
    };
    let refusal = (ResponseCode::UPDATE_AND_CREATE_ACL_CONFIG_FAILED, String::new());
    change(broker, call, refusal, move |acl, now_ms| acl.put(&account, now_ms).map(|()| true))
}

/// DELETE_ACL_CONFIG (51).
pub(crate) fn delete(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: DeleteAccessConfigRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let access_key = header.access_key.to_owned();
    let otherwise = format!("The accesskey[{access_key}] corresponding to accessConfig has been deleted failed.");
    let refusal = (ResponseCode::DELETE_ACL_CONFIG_FAILED, otherwise);
    change(broker, call, refusal, move |acl, now_ms| acl.delete(&access_key, now_ms))
}

/// UPDATE_GLOBAL_WHITE_ADDRS_CONFIG (53).
pub(crate) fn set_global_addresses(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: UpdateGlobalWhiteAddrsConfigRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let addresses = list(header.global_white_addrs);
    let path = header.acl_file_full_path.filter(|path| !path.is_empty()).map(PathBuf::from);
    let shown = header.global_white_addrs.unwrap_or("null");
    let otherwise = format!("The globalWhiteAddresses[{shown}] has been updated failed.");
    let refusal = (ResponseCode::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED, otherwise);
    change(broker, call, refusal, move |acl, now_ms| match &addresses {
        Some(addresses) => acl.set_global_addresses(addresses, path.as_deref(), now_ms),
        None => Ok(false),
    })
}

/// GET_BROKER_CLUSTER_ACL_INFO (52).
pub(crate) fn versions(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let acl = accounts(broker, call.request.code)?;
    let text = |json: Result<Vec<u8>, JsonError>| -> Result<String, Failure> {
        String::from_utf8(json.map_err(Failure::answer)?).map_err(Failure::answer)
    };
    let rules = acl.rules();
    let versions: BTreeMap<_, _> =
        rules.versions.iter().map(|(path, version)| (path.to_string_lossy(), version)).collect();
    let settings = broker.settings();
    Ok(call.success_with(&GetBrokerAclConfigResponseHeader {
        version: &text(json::to_vec(&acl.version()))?,
        all_acl_file_version: &text(json::to_vec(&versions))?,
        broker_name: &settings.broker.broker_name,
        broker_addr: broker.outer.broker_addr(),
        cluster_name: &settings.broker.broker_cluster_name,
    }))
}

/// GET_BROKER_CLUSTER_ACL_CONFIG (54).
pub(crate) fn all(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    /// Java: `header/GetBrokerClusterAclConfigResponseBody.java`.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'r> {
        global_white_addrs: &'r [String],
        plain_access_configs: &'r [AccountConfig],
    }
    let rules = accounts(broker, call.request.code)?.rules();
    call.success_json(&Body { global_white_addrs: &rules.global_white_addresses, plain_access_configs: &rules.configs })
}
