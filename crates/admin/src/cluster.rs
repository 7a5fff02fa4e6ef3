//! `clusterList`: the brokers of the clusters.

use std::collections::BTreeMap;

use raptormq_protocol::route::ClusterInfo;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::Result;
use crate::session::{Session, line, record};
use crate::targets;
use crate::text;

pub(crate) const LIST: Command = Command {
    name: "clusterList",
    about: "List brokers with their load",
    kind: Kind::Shows,
    options: &[
        Opt::flag("m", "moreStats", "Show the messages of yesterday and today instead"),
        Opt::number("i", "interval", "Show it again every so many seconds"),
        Opt::value("c", "clusterName", "Only this cluster"),
    ],
    run: Run::By(|session, arguments| Box::pin(list(session, arguments))),
};

async fn list(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let interval: Option<u64> = arguments.number("i")?;
    loop {
        let info = session.admin.cluster_info().await?;
        let wanted = arguments.get("c").filter(|cluster| !cluster.is_empty());
        let rows = rows(&info, wanted);
        match arguments.has("m") {
            true => print_totals(session, &rows).await?,
            false => print_load(session, &rows).await?,
        }
        if let Some(unknown) = wanted.filter(|wanted| !info.cluster_addr_table.contains_key(*wanted)) {
            session.complain(&targets::no_such_cluster(unknown));
        }
        if !session.again(interval).await? {
            return Ok(());
        }
    }
}

/// A broker of a cluster.
struct Row<'a> {
    cluster: &'a str,
    broker: &'a str,
    id: i64,
    address: &'a str,
}

/// All brokers, or those of one cluster, sorted by cluster, name and id.
fn rows<'a>(info: &'a ClusterInfo, wanted: Option<&str>) -> Vec<Row<'a>> {
    let clusters = info.cluster_addr_table.iter().filter(|(cluster, _)| wanted.is_none_or(|wanted| wanted == *cluster));
    let groups = clusters.flat_map(|(cluster, names)| {
        names.iter().filter_map(move |name| Some((cluster, info.broker_addr_table.get(name)?)))
    });
    let rows = groups.flat_map(|(cluster, group)| {
        let members = group.broker_addrs.iter();
        members.map(move |(id, address)| Row { cluster, broker: &group.broker_name, id: *id, address })
    });
    rows.collect()
}

/// The figures of a broker; none, and a complaint, when it does not answer.
async fn figures(session: &Session<'_>, row: &Row<'_>) -> BTreeMap<String, String> {
    session.admin.runtime_info(row.address).await.unwrap_or_else(|error| {
        session.complain(&error.into());
        BTreeMap::new()
    })
}

async fn print_totals(session: &Session<'_>, rows: &[Row<'_>]) -> Result<()> {
    line!(
        session,
        "{:<16}  {:<32} {:>14} {:>14} {:>14} {:>14}",
        "#Cluster Name",
        "#Broker Name",
        "#InTotalYest",
        "#OutTotalYest",
        "#InTotalToday",
        "#OutTotalToday"
    );
    for row in rows {
        let figures = figures(session, row).await;
        let figure = |name: &str| figures.get(name).and_then(|text| text.parse::<i64>().ok());
        let between = |kind: &str, from: &str, to: &str| {
            let [from, to] = [from, to].map(|when| figure(&format!("msg{kind}Total{when}")));
            Some(to? - from?)
        };
        let [yesterday, morning, now] = ["YesterdayMorning", "TodayMorning", "TodayNow"];
        let totals = [
            between("Put", yesterday, morning),
            between("Get", yesterday, morning),
            between("Put", morning, now),
            between("Get", morning, now),
        ];
        // As the original: what is not known of one figure is not shown of the others, either.
        let known = totals.iter().all(Option::is_some);
        let [a, b, c, d] = totals.map(|total| total.filter(|_| known).unwrap_or(0));
        record!(
            session,
            "cluster": row.cluster,
            "brokerName": row.broker,
            "brokerId": row.id,
            "address": row.address,
            "inTotalYesterday": a,
            "outTotalYesterday": b,
            "inTotalToday": c,
            "outTotalToday": d,
        );
        line!(session, "{:<16}  {:<32} {a:>14} {b:>14} {c:>14} {d:>14}", row.cluster, row.broker);
    }
    Ok(())
}

async fn print_load(session: &Session<'_>, rows: &[Row<'_>]) -> Result<()> {
    line!(
        session,
        "{:<22}  {:<22}  {:<4}  {:<22} {:<16}  {:>16}  {:>30}  {:<22}  {:<11}  {:<12}  {:<8}  {:<10}",
        "#Cluster Name",
        "#Broker Name",
        "#BID",
        "#Addr",
        "#Version",
        "#InTPS(LOAD)",
        "#OutTPS(LOAD)",
        "#Timer(Progress)",
        "#PCWait(ms)",
        "#Hour",
        "#SPACE",
        "#ACTIVATED"
    );
    for row in rows {
        let figures = figures(session, row).await;
        record!(
            session,
            "cluster": row.cluster,
            "brokerName": row.broker,
            "brokerId": row.id,
            "address": row.address,
            "figures": figures,
        );
        let load = Load::of(&figures, text::now_ms());
        line!(
            session,
            "{:<22}  {:<22}  {:<4}  {:<22} {:<16}  {:>16}  {:>30}  {:<22}  {:>11}  {:<12}  {:<8}  {:>10}",
            row.cluster,
            row.broker,
            row.id,
            row.address,
            load.version,
            load.sends,
            load.pulls,
            load.timer,
            load.page_cache_wait,
            load.hours,
            load.space,
            load.is_active
        );
    }
    Ok(())
}

/// What a broker's load is shown as.
struct Load {
    version: String,
    sends: String,
    pulls: String,
    timer: String,
    page_cache_wait: String,
    hours: String,
    space: String,
    is_active: bool,
}

impl Load {
    fn of(figures: &BTreeMap<String, String>, now_ms: i64) -> Load {
        let text = |name: &str| figures.get(name).map_or("", String::as_str);
        let or_none = |name: &str| figures.get(name).map_or("N", String::as_str);
        // Of the three rates, that of the last ten seconds.
        let rate = |name: &str| text(name).split(' ').next().and_then(|rate| rate.parse::<f64>().ok()).unwrap_or(0.0);
        // Brokers of 4.x spell it otherwise.
        let pulls = if figures.contains_key("getTransferredTps") { "getTransferredTps" } else { "getTransferedTps" };
        let whole = |name: &str| text(name).parse::<i64>().unwrap_or(0);
        let fraction = |name: &str| text(name).parse::<f64>().unwrap_or(0.0);
        let oldest_ms = whole("earliestMessageTimeStamp");
        // Without a message there is no oldest one.
        let hours = if oldest_ms > 0 { (now_ms - oldest_ms) as f64 / 3_600_000.0 } else { 0.0 };
        Load {
            version: text("brokerVersionDesc").to_owned(),
            sends: format!(
                "{:9.2}({},{}ms)",
                rate("putTps"),
                text("sendThreadPoolQueueSize"),
                text("sendThreadPoolQueueHeadWaitTimeMills")
            ),
            pulls: format!(
                "{:9.2}({},{}ms|{},{}ms)",
                rate(pulls),
                text("pullThreadPoolQueueSize"),
                text("pullThreadPoolQueueHeadWaitTimeMills"),
                or_none("ackThreadPoolQueueSize"),
                or_none("ackThreadPoolQueueHeadWaitTimeMills")
            ),
            timer: format!(
                "{}-{}({:.1}w, {:.1}, {:.1})",
                whole("timerReadBehind"),
                whole("timerOffsetBehind"),
                fraction("timerCongestNum") / 10_000.0,
                fraction("timerEnqueueTps"),
                fraction("timerDequeueTps")
            ),
            page_cache_wait: text("pageCacheLockTimeMills").to_owned(),
            hours: format!("{hours:.2}"),
            space: format!("{:.4}", fraction("commitLogDiskRatio")),
            is_active: text("brokerActive").eq_ignore_ascii_case("true"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_shown_as_the_original_shows_it() {
        let figures = [
            ("putTps", "12.5 3.0 1.0"),
            ("sendThreadPoolQueueSize", "0"),
            ("sendThreadPoolQueueHeadWaitTimeMills", "0"),
            ("earliestMessageTimeStamp", "1000"),
            ("commitLogDiskRatio", "0.16"),
            ("brokerActive", "true"),
        ];
        let figures = figures.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let load = Load::of(&figures, 1000 + 5_400_000);
        assert_eq!(
            (load.sends.as_str(), load.hours.as_str(), load.space.as_str()),
            ("    12.50(0,0ms)", "1.50", "0.1600")
        );
        assert_eq!(load.timer, "0-0(0.0w, 0.0, 0.0)");
        assert!(load.is_active && load.pulls.ends_with("(,ms|N,Nms)"));
        // A broker without a message has no oldest one.
        let empty = [("earliestMessageTimeStamp".to_owned(), "-1".to_owned())].into();
        assert_eq!(Load::of(&empty, 5_400_000).hours, "0.00");
    }
}
