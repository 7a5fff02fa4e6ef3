//! What the defaults take from this machine and from what surrounds the process.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use raptormq_config::Environment;

/// Reads the surroundings; `-D` properties come before environment variables, as in RocketMQ.
pub(crate) fn environment(system_properties: &BTreeMap<String, String>) -> Environment {
    let set = |property: &str, variable: &str| {
        let given = system_properties.get(property).cloned();
        given.or_else(|| std::env::var(variable).ok()).unwrap_or_default()
    };
    let home = std::env::home_dir().map(|home| home.to_string_lossy().into_owned());
    let host_name = gethostname::gethostname().to_string_lossy().into_owned();
    let (ip, ip_reason) = local_ip();
    Environment {
        home: system_properties.get("user.home").cloned().or(home).unwrap_or_else(|| ".".into()),
        rocketmq_home: set("rocketmq.home.dir", "ROCKETMQ_HOME"),
        namesrv_addr: set("rocketmq.namesrv.addr", "NAMESRV_ADDR"),
        host_name: if host_name.is_empty() { "DEFAULT_BROKER".into() } else { host_name },
        ip,
        ip_reason,
        cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
    }
}

/// The address that others can most likely reach, and why that one: IPv4 before IPv6, no loopback, no link-local address,
/// no bridge (those of containers), and 192.168 only when there is nothing else; 127.0.0.1 on a machine without a network.
///
/// Java: `common/…/common/utils/NetworkUtil.java` getLocalAddress.
fn local_ip() -> (String, String) {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let is_bridge = |name: &str| Path::new("/sys/class/net").join(name).join("bridge").exists();
    let reachable = interfaces.iter().filter(|one| !one.is_loopback() && !one.is_link_local() && !is_bridge(&one.name));
    choose(reachable.map(|one| (one.name.as_str(), one.ip())))
}

fn choose<'a>(reachable: impl Iterator<Item = (&'a str, IpAddr)>) -> (String, String) {
    let rank = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) if ip.octets()[..2] == [192, 168] => 1,
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 2,
    };
    let all: Vec<_> = reachable.collect();
    match (all.iter().min_by_key(|(_, ip)| rank(ip)), all.len()) {
        (None, _) => ("127.0.0.1".into(), "this machine has no address but loopback".into()),
        (Some((name, ip)), 1) => (ip.to_string(), format!("of {name}, the only one")),
        (Some((name, ip)), count) => {
            (ip.to_string(), format!("of {name}, the first of {count}: IPv4 before IPv6, 192.168 behind other IPv4"))
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_others_most_likely_reach_is_chosen() {
        let chosen =
            |texts: &[(&'static str, &str)]| choose(texts.iter().map(|(name, ip)| (*name, ip.parse().unwrap()))).0;
        assert_eq!(chosen(&[]), "127.0.0.1");
        assert_eq!(chosen(&[("a", "fd00::1")]), "fd00::1");
        assert_eq!(chosen(&[("a", "fd00::1"), ("b", "192.168.1.1"), ("c", "10.0.0.1"), ("d", "10.0.0.2")]), "10.0.0.1");
        assert_eq!(chosen(&[("a", "fd00::1"), ("b", "192.168.1.1")]), "192.168.1.1");
    }
}
