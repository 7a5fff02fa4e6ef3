//! The broker's settings, as tools read (26) and change them (25).
//! Java: `processor/AdminBrokerProcessor.java`, `remoting/Configuration.java`.

use std::collections::BTreeMap;
use std::path::Path;

use raptormq_config::Properties;
use raptormq_protocol::header::FieldValue;
use raptormq_protocol::json;

use crate::broker::Broker;
use crate::configure::Change;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;

/// GET_BROKER_CONFIG (26): every key and value, as lines of a properties file.
pub(crate) fn get(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let settings = broker.settings();
    let mut pairs: BTreeMap<&str, String> = BTreeMap::new();
    // A key that two families have counts as the later one says.
    pairs.extend(settings.pairs());
    let mut text = String::new();
    for (key, value) in &pairs {
        text.push_str(key);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    let version = json::to_vec(&broker.settings_version()).map_err(Failure::answer)?;
    let version = String::from_utf8_lossy(&version).into_owned();
    Ok(call.success_fields_body(|field| field("version", FieldValue::Text(&version)), text))
}

/// UPDATE_BROKER_CONFIG (25): a properties text, of which all is taken or nothing. Java takes what it knows and answers
/// success in any case; here a key that is unknown or may not be changed, and a value that is none, are refused.
pub(crate) fn update(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let text = std::str::from_utf8(call.request.body).map_err(Failure::body)?;
    let escaped = Properties::escape(text);
    let changes = Properties::parse(Path::new("the request"), escaped.as_bytes()).map_err(Failure::body)?;
    let settings = broker.settings();
    let mut black_list = settings.broker.config_black_list.split(';').map(str::trim);
    if black_list.any(|listed| changes.get(listed).is_some()) {
        return Err(Failure::forbidden("Can not update config in black list."));
    }
    let by = call.peer.peer_addr();
    tracing::info!(keys = changes.entries.len(), %by, "settings shall be changed");
    broker.keeper.configure(Change { changes, remark: None, responder: call.responder() });
    Ok(Reply::Done)
}

/// Field of SET_COMMITLOG_READ_MODE. Java: `common/constant/FIleReadaheadMode.java`.
const READ_AHEAD_MODE: &str = "READ_AHEAD_MODE";

/// SET_COMMITLOG_READ_MODE (2004): whether the disk reads on in the log behind what is read, 0, or not, 1. That is the setting
/// `dataReadAheadEnable`, which is kept as others are; the original forgets it at its next start.
pub(crate) fn set_read_mode(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let mode = call.request.fields.get(READ_AHEAD_MODE);
    let reads_ahead = match mode.ok_or_else(|| Failure::system("set commitlog readahead mode param error"))? {
        "0" => true,
        "1" => false,
        _ => return Err(Failure::system("set commitlog readahead mode param value error")),
    };
    let text = format!("dataReadAheadEnable={reads_ahead}\n");
    let changes = Properties::parse(Path::new("the request"), text.as_bytes()).map_err(Failure::body)?;
    let remark = Some(format!("set commitlog readahead mode success, mode: {}", u8::from(!reads_ahead)));
    broker.keeper.configure(Change { changes, remark, responder: call.responder() });
    Ok(Reply::Done)
}
