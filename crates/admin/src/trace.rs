//! `queryMsgTraceById`: what became of a message, as its producer and consumers recorded it.

use std::collections::BTreeMap;

use raptormq_protocol::message::MessageExt;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::message::{Query, query_all};
use crate::session::{Session, line, record};
use crate::text;

/// The topic of traces unless another one is named.
pub(crate) const TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// What stands between the fields of a record.
const FIELD_END: char = '\u{1}';
/// What stands behind a record.
const RECORD_END: char = '\u{2}';

pub(crate) const COMMAND: Command = Command {
    name: "queryMsgTraceById",
    about: "Show what became of a message, if its clients record traces",
    kind: Kind::Shows,
    options: &[
        Opt::value("i", "msgId", "The id that its producer gave it").required(),
        Opt::value("t", "traceTopic", "The topic of traces, RMQ_SYS_TRACE_TOPIC unless given"),
        Opt::number("b", "beginTimestamp", "Recorded from this moment on, milliseconds since 1970"),
        Opt::number("e", "endTimestamp", "Recorded up to this moment, milliseconds since 1970"),
        Opt::number("c", "maxNum", "Records to find on each broker, 64 unless given"),
    ],
    run: Run::By(|session, arguments| Box::pin(run(session, arguments))),
};

/// Something that a client did with a message.
#[derive(Debug, PartialEq, Eq)]
struct View {
    is_send: bool,
    group: String,
    host: String,
    time_ms: i64,
    cost_ms: i64,
    is_success: bool,
}

async fn run(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let id = arguments.require("i")?;
    let span = (arguments.number("b")?.unwrap_or(0), arguments.number("e")?.unwrap_or(i64::MAX));
    let topic = arguments.get("t").unwrap_or(TOPIC);
    let query = Query { topic, key: id, max: arguments.number("c")?.unwrap_or(64), span };
    let records = query_all(session, None, &query, false).await?;
    if records.is_empty() {
        return Err(Failure::argument(format!(
            "no trace of {id} in {topic}: its clients record none, or not in that time"
        )));
    }
    let mut consumed: BTreeMap<String, Vec<View>> = BTreeMap::new();
    for view in records.iter().flat_map(|record| views(id, record)) {
        if view.is_send {
            print(session, "#ProducerGroup", "#SendTime", &[view])?;
        } else {
            consumed.entry(view.group.clone()).or_default().push(view);
        }
    }
    for views in consumed.values() {
        print(session, "#ConsumerGroup", "#ConsumerTime", views)?;
    }
    Ok(())
}

fn print(session: &Session<'_>, group: &str, time: &str, views: &[View]) -> Result<()> {
    line!(
        session,
        "{:<10} {group:<20} {:<20} {time:<20} {:<10} {:<10}",
        "#Type",
        "#ClientHost",
        "#CostTimes",
        "#Status"
    );
    for view in views {
        let kind = if view.is_send { "Pub" } else { "Sub" };
        record!(
            session,
            "type": kind,
            "group": view.group,
            "clientHost": view.host,
            "time": view.time_ms,
            "costTimeMs": view.cost_ms,
            "success": view.is_success,
        );
        let (cost, status) = (format!("{}ms", view.cost_ms), if view.is_success { "success" } else { "failed" });
        let time = text::time(view.time_ms);
        line!(session, "{kind:<10} {:<20} {:<20} {time:<20} {cost:<10} {status:<10}", view.group, view.host);
    }
    line!(session);
    Ok(())
}

/// What a record message says about a message. Java: `client/trace/TraceDataEncoder.java`.
fn views(id: &str, record: &MessageExt) -> Vec<View> {
    let body = String::from_utf8_lossy(&record.body);
    let host = record.born_host.ip().to_string();
    let lines: Vec<Vec<&str>> = body.split(RECORD_END).map(|line| line.split(FIELD_END).collect()).collect();
    let number = |text: Option<&&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut views = Vec::new();
    for fields in &lines {
        match fields.as_slice() {
            ["Pub", time, _, group, _, of, _, _, _, _, cost, rest @ ..] if *of == id => views.push(View {
                is_send: true,
                group: (*group).to_owned(),
                host: host.clone(),
                time_ms: number(Some(time)),
                cost_ms: number(Some(cost)),
                is_success: rest.last().is_none_or(|success| *success != "false"),
            }),
            ["SubAfter", _, of, cost, success, _, rest @ ..] if *of == id => views.push(View {
                is_send: false,
                group: rest.get(2).unwrap_or(&"").to_string(),
                host: host.clone(),
                time_ms: number(rest.get(1)),
                cost_ms: number(Some(cost)),
                is_success: *success == "true",
            }),
            _ => {}
        }
    }
    views
}
