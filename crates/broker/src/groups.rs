//! The subscription groups of this broker, kept in `config/subscriptionGroup.json`.
//! Java: `subscription/SubscriptionGroupManager.java`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use raptormq_config::BrokerSettings;
use raptormq_protocol::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};

use crate::names;

/// Most groups of a broker; clients can make groups, so there is an end.
const GROUPS_MAX: usize = 1 << 20;

/// The bit of what is forbidden that is about reading. Java: `PermName.INDEX_PERM_READ`.
const READ: i32 = 1 << 2;

/// All subscription groups.
#[derive(Debug)]
pub(crate) struct Groups {
    table: papaya::HashMap<Arc<str>, Arc<SubscriptionGroupConfig>>,
    /// Held while the table changes, so that a version names one state of it.
    version: Mutex<DataVersion>,
    /// By group and topic: bits of what the group may not do with the topic, as the original keeps them.
    forbidden: RwLock<BTreeMap<String, BTreeMap<String, i32>>>,
    /// Whether anything is forbidden at all: pulls ask this first.
    is_any_forbidden: AtomicBool,
    auto_create: AtomicBool,
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
        let auto_create = AtomicBool::new(settings.broker.auto_create_subscription_group);
        let forbidden = kept.forbidden_table.unwrap_or_default();
        Groups {
            table,
            version: Mutex::new(version),
            is_any_forbidden: AtomicBool::new(!forbidden.is_empty()),
            forbidden: RwLock::new(forbidden),
            auto_create,
        }
    }

    /// Follows a changed `autoCreateSubscriptionGroup`.
    pub(crate) fn set_auto_create(&self, auto_create: bool) {
        self.auto_create.store(auto_create, Ordering::Relaxed);
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
        if !(self.auto_create.load(Ordering::Relaxed) || names::is_system_group(name))
            || names::check_group(name).is_err()
        {
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

    /// Lets a group consume no more; `false` when it may not, or there is none.
    pub(crate) fn stop(&self, name: &str, now_ms: i64) -> bool {
        let mut version = self.version.lock();
        let pin = self.table.pin();
        let Some(group) = pin.get(name).filter(|group| group.consume_enable) else { return false };
        let stopped = SubscriptionGroupConfig { consume_enable: false, ..SubscriptionGroupConfig::clone(group) };
        pin.insert(name.into(), Arc::new(stopped));
        version.next(now_ms);
        true
    }

    /// Makes the table the master's, with its version.
    pub(crate) fn take_from_master(&self, master: SubscriptionGroupWrapper) {
        let mut version = self.version.lock();
        let pin = self.table.pin();
        let table = master.subscription_group_table;
        for name in pin.keys().filter(|name| !table.contains_key(&***name)).cloned().collect::<Vec<_>>() {
            pin.remove(&name);
        }
        for (name, config) in table.into_iter().take(GROUPS_MAX) {
            pin.insert(Arc::from(name.as_str()), Arc::new(SubscriptionGroupConfig { group_name: name, ..config }));
        }
        let mut forbidden = self.forbidden.write();
        *forbidden = master.forbidden_table.unwrap_or_default();
        self.is_any_forbidden.store(!forbidden.is_empty(), Ordering::Relaxed);
        *version = master.data_version;
    }

    /// Forgets a group and what it may not do; `false` when there is none.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> bool {
        let mut version = self.version.lock();
        let removed = self.table.pin().remove(name).is_some();
        let mut forbidden = self.forbidden.write();
        forbidden.remove(name);
        self.is_any_forbidden.store(!forbidden.is_empty(), Ordering::Relaxed);
        if removed {
            version.next(now_ms);
        }
        removed
    }

    /// Whether the group may not read the topic.
    pub(crate) fn is_forbidden(&self, group: &str, topic: &str) -> bool {
        self.is_any_forbidden.load(Ordering::Relaxed)
            && self
                .forbidden
                .read()
                .get(group)
                .and_then(|topics| topics.get(topic))
                .is_some_and(|bits| bits & READ != 0)
    }

    /// Forbids or allows the group to read the topic.
    pub(crate) fn forbid(&self, group: &str, topic: &str, is_forbidden: bool, now_ms: i64) {
        let mut version = self.version.lock();
        let mut forbidden = self.forbidden.write();
        let topics = forbidden.entry(group.to_owned()).or_default();
        let bits = topics.get(topic).copied().unwrap_or(0).max(0);
        match if is_forbidden { bits | READ } else { bits & !READ } {
            0 => topics.remove(topic),
            bits => topics.insert(topic.to_owned(), bits),
        };
        if topics.is_empty() {
            forbidden.remove(group);
        }
        self.is_any_forbidden.store(!forbidden.is_empty(), Ordering::Relaxed);
        version.next(now_ms);
    }

    /// The whole table with the version that it has.
    pub(crate) fn snapshot(&self) -> SubscriptionGroupWrapper {
        let version = self.version.lock();
        let pin = self.table.pin();
        SubscriptionGroupWrapper {
            data_version: *version,
            forbidden_table: Some(self.forbidden.read().clone()).filter(|forbidden| !forbidden.is_empty()),
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
