//! A route as the original's `topicRoute` prints it: its JSON writer has a layout of its own.

use std::fmt::Write as _;

use raptormq_protocol::json::{self, JsonError};
use raptormq_protocol::route::TopicRouteData;

/// Prints a route in lines, tabs in front.
pub(crate) fn route(route: &TopicRouteData) -> Result<String, JsonError> {
    let mut members: Vec<String> = Vec::new();
    let brokers = route.broker_datas.iter().map(|group| {
        let addresses = group.broker_addrs.iter().map(|(id, address)| Ok(format!("{id}:{}", text(address)?)));
        let addresses: Vec<String> = addresses.collect::<Result<_, JsonError>>()?;
        let mut fields = vec![
            // Members of a map with numbers as keys stand in one line, and its end in the next.
            format!("\"brokerAddrs\":{{{}\n\t\t\t}}", addresses.join(",")),
            format!("\"brokerName\":{}", text(&group.broker_name)?),
            format!("\"cluster\":{}", text(&group.cluster)?),
            format!("\"enableActingMaster\":{}", group.enable_acting_master),
        ];
        if let Some(zone) = &group.zone_name {
            fields.push(format!("\"zoneName\":{}", text(zone)?));
        }
        Ok(fields)
    });
    members.push(list("brokerDatas", &brokers.collect::<Result<Vec<_>, JsonError>>()?));
    members.push(format!("\"filterServerTable\":{}", one_line(&route.filter_server_table)?));
    if let Some(order) = &route.order_topic_conf {
        members.push(format!("\"orderTopicConf\":{}", text(order)?));
    }
    let queues = route.queue_datas.iter().map(|queues| {
        Ok(vec![
            format!("\"brokerName\":{}", text(&queues.broker_name)?),
            format!("\"perm\":{}", queues.perm),
            format!("\"readQueueNums\":{}", queues.read_queue_nums),
            format!("\"topicSysFlag\":{}", queues.topic_sys_flag),
            format!("\"writeQueueNums\":{}", queues.write_queue_nums),
        ])
    });
    members.push(list("queueDatas", &queues.collect::<Result<Vec<_>, JsonError>>()?));
    if let Some(mappings) = &route.topic_queue_mapping_by_broker {
        members.push(format!("\"topicQueueMappingByBroker\":{}", one_line(mappings)?));
    }
    Ok(format!("{{\n\t{}\n}}", members.join(",\n\t")))
}

fn text(value: &str) -> Result<String, JsonError> {
    one_line(value)
}

fn one_line<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, JsonError> {
    Ok(String::from_utf8_lossy(&json::to_vec(value)?).into_owned())
}

fn list(name: &str, items: &[Vec<String>]) -> String {
    let mut out = format!("\"{name}\":[");
    for (at, fields) in items.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}\n\t\t{{\n\t\t\t{}\n\t\t}}", fields.join(",\n\t\t\t"));
    }
    out.push_str(if items.is_empty() { "]" } else { "\n\t]" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_protocol::route::{BrokerData, QueueData};

    #[test]
    fn a_route_looks_as_recorded_from_a_live_5_3_3() {
        let shown = TopicRouteData {
            broker_datas: vec![BrokerData {
                broker_addrs: [(0, "127.0.0.1:20911".to_owned()), (1, "127.0.0.1:22911".to_owned())].into(),
                broker_name: "broker-a".to_owned(),
                cluster: "DefaultCluster".to_owned(),
                ..BrokerData::default()
            }],
            queue_datas: vec![QueueData {
                broker_name: "broker-a".to_owned(),
                perm: 6,
                read_queue_nums: 4,
                write_queue_nums: 4,
                ..QueueData::default()
            }],
            ..TopicRouteData::default()
        };
        let expected = "{\n\t\"brokerDatas\":[\n\t\t{\n\t\t\t\"brokerAddrs\":{0:\"127.0.0.1:20911\",1:\"127.0.0.1:22911\"\n\
                        \t\t\t},\n\t\t\t\"brokerName\":\"broker-a\",\n\t\t\t\"cluster\":\"DefaultCluster\",\n\
                        \t\t\t\"enableActingMaster\":false\n\t\t}\n\t],\n\t\"filterServerTable\":{},\n\t\"queueDatas\":[\n\
                        \t\t{\n\t\t\t\"brokerName\":\"broker-a\",\n\t\t\t\"perm\":6,\n\t\t\t\"readQueueNums\":4,\n\
                        \t\t\t\"topicSysFlag\":0,\n\t\t\t\"writeQueueNums\":4\n\t\t}\n\t]\n}";
        assert_eq!(route(&shown).unwrap(), expected);
    }
}
