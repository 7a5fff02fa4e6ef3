//! Commands about name servers.

use std::collections::BTreeMap;

use crate::broker::{check_keys, check_values};
use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::session::{Session, line, record};

const NAMESPACE: Opt = Opt::value("s", "namespace", "Namespace of the key").required();
const KEY: Opt = Opt::value("k", "key", "The key").required();
const VALUE: Opt = Opt::value("v", "value", "Its new value").required();
const BROKER: Opt = Opt::value("b", "brokerName", "Name of the broker").required();

pub(crate) const PUT_KV: Command = Command {
    name: "updateKvConfig",
    about: "Set a key that name servers keep",
    kind: Kind::Changes,
    options: &[NAMESPACE, KEY, VALUE],
    run: Run::By(|session, arguments| Box::pin(put_kv(session, arguments))),
};

pub(crate) const DELETE_KV: Command = Command {
    name: "deleteKvConfig",
    about: "Remove a key that name servers keep",
    kind: Kind::Changes,
    options: &[NAMESPACE, KEY],
    run: Run::By(|session, arguments| Box::pin(delete_kv(session, arguments))),
};

pub(crate) const WIPE_PERM: Command = Command {
    name: "wipeWritePerm",
    about: "Have no more messages sent to a broker: take the write permission from all its topics",
    kind: Kind::Changes,
    options: &[BROKER],
    run: Run::By(|session, arguments| Box::pin(change_perm(session, arguments, false))),
};

pub(crate) const ADD_PERM: Command = Command {
    name: "addWritePerm",
    about: "Have messages sent to a broker again: give the write permission to all its topics",
    kind: Kind::Changes,
    options: &[BROKER],
    run: Run::By(|session, arguments| Box::pin(change_perm(session, arguments, true))),
};

pub(crate) const GET_CONFIG: Command = Command {
    name: "getNamesrvConfig",
    about: "Show the settings of name servers",
    kind: Kind::Shows,
    options: &[],
    run: Run::By(|session, _| Box::pin(get_config(session))),
};

pub(crate) const UPDATE_CONFIG: Command = Command {
    name: "updateNamesrvConfig",
    about: "Change a setting of name servers while they run",
    kind: Kind::Changes,
    options: &[KEY, VALUE],
    run: Run::By(|session, arguments| Box::pin(update_config(session, arguments))),
};

/// The name servers, of which there must be one.
fn servers(session: &Session<'_>) -> Result<Vec<String>> {
    let servers = session.admin.name_servers();
    match servers.is_empty() {
        true => Err(Failure::argument("no name server is named: name it with -n HOST:PORT or in NAMESRV_ADDR")),
        false => Ok(servers),
    }
}

async fn put_kv(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (namespace, key, value) = (arguments.require("s")?, arguments.require("k")?, arguments.require("v")?);
    let work = session.admin.put_kv_config(namespace, key, value);
    session.change(format_args!("set {key}={value} in namespace {namespace} of the name servers"), work).await?;
    line!(session, "create or update kv config to namespace success.");
    Ok(())
}

async fn delete_kv(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (namespace, key) = (arguments.require("s")?, arguments.require("k")?);
    match session.admin.kv_config(namespace, key).await {
        Err(error) if error.code() == Some(raptormq_client::ResponseCode::QUERY_NOT_FOUND) => {
            return Err(Failure::argument(format!("there is no key {key} in the namespace {namespace}")));
        }
        known => known?,
    };
    let work = session.admin.delete_kv_config(namespace, key);
    session.change(format_args!("delete {key} in namespace {namespace} of the name servers"), work).await?;
    line!(session, "delete kv config from namespace success.");
    Ok(())
}

async fn change_perm(session: &Session<'_>, arguments: &Arguments, adds: bool) -> Result<()> {
    let broker = arguments.require("b")?;
    let known = session.admin.cluster_info().await?.broker_addr_table;
    if !known.contains_key(broker) {
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        return Err(Failure::argument(format!("there is no broker {broker}; there are {}", names.join(", "))));
    }
    let verb = if adds { "add" } else { "wipe" };
    for server in &servers(session)? {
        if session.is_dry_run() {
            let what = format_args!("{verb} the write permission of broker {broker} in name server {server}");
            session.change(what, async { Ok(()) }).await?;
            continue;
        }
        let outcome = match adds {
            true => session.admin.add_write_permission(server, broker).await,
            false => session.admin.wipe_write_permission(server, broker).await,
        };
        match outcome {
            Ok(count) => line!(session, "{verb} write perm of broker[{broker}] in name server[{server}] OK, {count}"),
            Err(error) => {
                line!(session, "{verb} write perm of broker[{broker}] in name server[{server}] Failed");
                session.complain(&error.into());
            }
        }
    }
    Ok(())
}

async fn get_config(session: &Session<'_>) -> Result<()> {
    for server in &servers(session)? {
        let settings = session.admin.name_server_config(server).await?;
        record!(session, "address": server, "settings": settings);
        line!(session, "============{server}============");
        for (key, value) in settings {
            line!(session, "{key:<50}=  {value}");
        }
    }
    Ok(())
}

async fn update_config(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (key, value) = (arguments.require("k")?, arguments.require("v")?);
    let settings = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let servers = servers(session)?;
    for server in &servers {
        check_keys(server, &session.admin.name_server_config(server).await?, &settings)?;
        let work = session.admin.update_name_server_config(server, &settings);
        session.change(format_args!("set {key}={value} in name server {server}"), work).await?;
        if !session.is_dry_run() {
            check_values(server, &session.admin.name_server_config(server).await?, &settings)?;
        }
    }
    line!(session, "update name server config success![{}]", servers.join(", "));
    line!(session, "{key} : {value}");
    Ok(())
}
