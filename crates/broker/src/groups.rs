//! The subscription groups of this broker, kept in `config/subscriptionGroup.json`.
//! Java: `subscription/SubscriptionGroupManager.java`.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use raptormq_config::BrokerSettings;
use raptormq_protocol::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};

use crate::names;

/// Most groups of a broker; clients can make groups, so there is an end.
const GROUPS_MAX: usize = 1 << 20;

/// All subscription groups.
#[derive(Debug)]
pub(crate) struct Groups {
    table: papaya::HashMap<Arc<str>, Arc<SubscriptionGroupConfig>>,
    /// Held while the table changes, so that a version names one state of it.
    version: Mutex<DataVersion>,
    /// Which topics a group may not read, as the original keeps them; carried, not changed.
    forbidden: Option<BTreeMap<String, BTreeMap<String, i32>>>,
    auto_create: bool,
}

impl Groups {
    /// What was kept, and the groups that every broker knows.
    pub(crate) fn new(settings: &BrokerSettings, kept: SubscriptionGroupWrapper, now_ms: i64) -> Groups {
        let mut version = kept.data_version;
        if version.timestamp == 0 {
            version.timestamp = now_ms;
        }
        let table = papaya::HashMap::new();
        let pin = table.pin();
        for name in names::PRESET_GROUPS {
            pin.insert(Arc::from(name), Arc::new(named(name)));
        }
        for (name, config) in kept.subscription_group_table {
            let key = Arc::from(name.as_str());
            pin.insert(key, Arc::new(SubscriptionGroupConfig { group_name: name, ..config }));
        }
        drop(pin);
        let auto_create = settings.broker.auto_create_subscription_group;
        Groups { table, version: Mutex::new(version), forbidden: kept.forbidden_table, auto_create }
    }

    /// The group, if it is known.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.table.pin().get(name).cloned()
    }

    /// The group, made if this broker makes groups (or it is a system's) and its name may be one; and whether it is new.
    pub(crate) fn get_or_create(&self, name: &str, now_ms: i64) -> Option<(Arc<SubscriptionGroupConfig>, bool)> {
        if let Some(group) = self.get(name) {
            return Some((group, false));
        }
        if !(self.auto_create || names::is_system_group(name)) || names::check_group(name).is_err() {
            return None;
        }
        let mut version = self.version.lock();
        let pin = self.table.pin();
        if let Some(group) = pin.get(name) {
            return Some((Arc::clone(group), false));
        }
        if pin.len() >= GROUPS_MAX {
            return None;
        }
        let group = Arc::new(named(name));
        pin.insert(name.into(), Arc::clone(&group));
        version.next(now_ms);
        Some((group, true))
    }

    /// Makes or replaces a group.
    pub(crate) fn put(&self, config: SubscriptionGroupConfig, now_ms: i64) {
        let mut version = self.version.lock();
        self.table.pin().insert(config.group_name.as_str().into(), Arc::new(config));
        version.next(now_ms);
    }

    /// Forgets a group; `false` when there is none.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> bool {
        let mut version = self.version.lock();
        let removed = self.table.pin().remove(name).is_some();
        if removed {
            version.next(now_ms);
        }
        removed
    }

    /// The whole table with the version that it has.
    pub(crate) fn snapshot(&self) -> SubscriptionGroupWrapper {
        let version = self.version.lock();
        let pin = self.table.pin();
        SubscriptionGroupWrapper {
            data_version: *version,
            forbidden_table: self.forbidden.clone(),
            subscription_group_table: pin.iter().map(|(name, group)| (name.to_string(), (**group).clone())).collect(),
        }
    }
}

fn named(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_config::Environment;

    fn groups(auto_create: bool) -> Groups {
        let mut settings = BrokerSettings::new(&Environment::default());
        settings.broker.auto_create_subscription_group = auto_create;
        Groups::new(&settings, SubscriptionGroupWrapper::default(), 5)
    }

    #[test]
    fn an_unknown_group_is_made_once() {
        let groups = groups(true);
        assert!(groups.get("g").is_none());
        let (group, is_new) = groups.get_or_create("g", 9).unwrap();
        assert!(is_new && group.consume_enable && group.retry_max_times == 16);
        assert!(!groups.get_or_create("g", 10).unwrap().1);
        assert_eq!(groups.snapshot().data_version, DataVersion { counter: 1, state_version: 0, timestamp: 9 });
        assert!(groups.get_or_create("not a name", 9).is_none());
    }

    #[test]
    fn without_auto_creation_only_system_groups_come_by_themselves() {
        let groups = groups(false);
        assert!(groups.get("TOOLS_CONSUMER").is_some());
        assert!(groups.get_or_create("g", 9).is_none());
        assert!(groups.get_or_create("CID_RMQ_SYS_OTHER", 9).is_some());
    }
}
