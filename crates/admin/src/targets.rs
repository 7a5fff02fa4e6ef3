//! The brokers that a command is for.

use std::collections::BTreeSet;

use raptormq_client::ErrorKind;
use raptormq_protocol::route::{BrokerData, TopicRouteData};

use crate::failure::{Failure, Result};
use crate::session::{Session, print};

/// Id of a broker group's master.
pub(crate) const MASTER_ID: i64 = 0;

/// What the original prints, without a line end, when a cluster is not known. Java: `CommandUtil.ERROR_MESSAGE`.
const NO_CLUSTER: &str =
    "[error] Make sure the specified clusterName exists or the name server connected to is correct.";

/// Addresses of a cluster's masters, sorted. A cluster that does not exist has none; it is said on standard output as by
/// the original, and on standard error. So is one without a master.
pub(crate) async fn masters(session: &Session<'_>, cluster: &str) -> Result<BTreeSet<String>> {
    let groups = groups_of(session, cluster).await?;
    let masters: BTreeSet<String> =
        groups.iter().filter_map(|group| group.broker_addrs.get(&MASTER_ID).cloned()).collect();
    if masters.is_empty() && !groups.is_empty() {
        session.complain(&Failure::argument(format!(
            "cluster {cluster} has no master now; clusterList shows its brokers"
        )));
    }
    Ok(masters)
}

/// Refuses a slave: what it has of topics and groups is its master's, and what is changed is gone when it looks there next. The
/// original tells of a success. A broker that does not say what it is, as those of 4.x, is taken for a master.
pub(crate) async fn check_master(session: &Session<'_>, address: &str) -> Result<()> {
    match session.admin.ha_status(address).await {
        Ok(state) if !state.master => Err(Failure::argument(format!(
            "{address} is a slave and has its topics and groups from its master; name that one, clusterList shows it"
        ))),
        Err(error) if error.code().is_none() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Addresses of a cluster's brokers, slaves too, sorted: as [`masters`].
pub(crate) async fn members(session: &Session<'_>, cluster: &str) -> Result<BTreeSet<String>> {
    let groups = groups_of(session, cluster).await?;
    Ok(groups.iter().flat_map(|group| group.broker_addrs.values().cloned()).collect())
}

/// The broker groups of a cluster, sorted by name.
pub(crate) async fn groups_of(session: &Session<'_>, cluster: &str) -> Result<Vec<BrokerData>> {
    let mut info = session.admin.cluster_info().await?;
    let Some(names) = info.cluster_addr_table.remove(cluster) else {
        print!(session, "{NO_CLUSTER}");
        session.complain(&no_such_cluster(cluster));
        return Ok(Vec::new());
    };
    Ok(names.iter().filter_map(|name| info.broker_addr_table.remove(name)).collect())
}

/// What is said of a cluster that does not exist.
pub(crate) fn no_such_cluster(cluster: &str) -> Failure {
    Failure::argument(format!("there is no cluster {cluster}; clusterList shows the clusters that there are"))
}

/// The route of a topic. What has none of its own, as light queues have not, is on all brokers of a cluster, whose own topic
/// has its name.
pub(crate) async fn route(session: &Session<'_>, topic: &str, cluster: Option<&str>) -> Result<TopicRouteData> {
    match (session.admin.topic_route(topic).await, cluster) {
        (Err(error), Some(cluster)) if error.kind() == ErrorKind::TopicNotExist => {
            Ok(session.admin.topic_route(cluster).await?)
        }
        (route, _) => Ok(route?),
    }
}

/// The address of a group's master, or of another member when it has none.
pub(crate) fn any_member(group: &BrokerData) -> Option<&str> {
    let addresses = &group.broker_addrs;
    addresses.get(&MASTER_ID).or_else(|| addresses.values().next()).map(String::as_str)
}

/// Name and [`any_member`] of each broker group of a route, in the route's order.
pub(crate) fn brokers(route: &TopicRouteData) -> Vec<(&str, &str)> {
    let brokers = route.broker_datas.iter();
    brokers.filter_map(|group| Some((group.broker_name.as_str(), any_member(group)?))).collect()
}
