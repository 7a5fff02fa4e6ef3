//! Who is connected: members of producer and consumer groups by connection, and what consumer groups subscribe to.
//!
//! A pull looks up its group here, so that look-up takes no lock but the group's own. A member is gone with its
//! connection, or when it has said nothing for two minutes.
//! Java: `client/ConsumerManager.java`, `client/ConsumerGroupInfo.java`, `client/ProducerManager.java`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use raptormq_protocol::command::{Language, Version};
use raptormq_protocol::heartbeat::{ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel};
use raptormq_remoting::Connection;

use crate::budget::{Budget, Exhausted, Share};
use crate::filter::Subscription;

/// Most groups that one connection may be a member of.
const GROUPS_PER_CONNECTION_MAX: usize = 4096;
/// Most topics that a group may subscribe to.
const SUBSCRIPTIONS_MAX: usize = 65_536;

/// What a member, a group and a subscription take beside their texts, in bytes.
const MEMBER_BYTES: usize = 256;
const GROUP_BYTES: usize = 1024;
const SUBSCRIPTION_BYTES: usize = 512;
/// What a tag takes beside its text, in bytes.
const TAG_BYTES: usize = 96;

/// One client of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client_id: Box<str>,
    pub(crate) connection: Connection,
    pub(crate) language: Language,
    pub(crate) version: Version,
    /// Its last heartbeat.
    last_update_ms: AtomicI64,
    _share: Share,
}

impl Member {
    /// When it last said something.
    pub(crate) fn last_update_ms(&self) -> i64 {
        self.last_update_ms.load(Ordering::Relaxed)
    }
}

/// Who sends a heartbeat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) connection: &'a Connection,
    pub(crate) language: Language,
    pub(crate) version: Version,
    pub(crate) now_ms: i64,
    /// What the heartbeat says its subscriptions are; 0 from clients that do not say it.
    pub(crate) fingerprint: i32,
}

impl Caller<'_> {
    fn member(&self, share: Share) -> Arc<Member> {
        Arc::new(Member {
            client_id: self.client_id.into(),
            connection: self.connection.clone(),
            language: self.language,
            version: self.version,
            last_update_ms: AtomicI64::new(self.now_ms),
            _share: share,
        })
    }
}

/// Members of a group, by the number of their connection.
#[derive(Debug, Default)]
struct Members(RwLock<BTreeMap<u64, Arc<Member>>>);

impl Members {
    /// Notes a sign of life; `true` when it came from a new member, or from one that has another name now. A new member
    /// takes `own_bytes` and those of its name.
    fn touch(&self, caller: &Caller<'_>, own_bytes: usize, budget: &Budget) -> Result<bool, Exhausted> {
        let id = caller.connection.id();
        if let Some(member) = self.0.read().get(&id)
            && *member.client_id == *caller.client_id
        {
            member.last_update_ms.store(caller.now_ms, Ordering::Relaxed);
            return Ok(false);
        }
        let share = budget.take(MEMBER_BYTES + own_bytes + caller.client_id.len())?;
        self.0.write().insert(id, caller.member(share));
        Ok(true)
    }

    fn remove(&self, connection_id: u64) -> Option<Arc<Member>> {
        self.0.write().remove(&connection_id)
    }

    fn all(&self) -> Vec<Arc<Member>> {
        self.0.read().values().cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// Connections that have said nothing since `before_ms`.
    fn silent(&self, before_ms: i64) -> Vec<Connection> {
        let members = self.0.read();
        let silent = members.values().filter(|member| member.last_update_ms() < before_ms);
        silent.map(|member| member.connection.clone()).collect()
    }
}

/// How a group consumes, as its members say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) consume_type: ConsumeType,
    pub(crate) message_model: MessageModel,
    pub(crate) consume_from_where: ConsumeFromWhere,
}

impl From<&ConsumerData> for Manner {
    fn from(data: &ConsumerData) -> Manner {
        Manner {
            consume_type: data.consume_type,
            message_model: data.message_model,
            consume_from_where: data.consume_from_where,
        }
    }
}

/// A consumer group that has members.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    members: Members,
    manner: RwLock<Manner>,
    /// The fingerprint of the last heartbeat of any member.
    fingerprint: Mutex<Option<i32>>,
    /// By topic. Replaced as a whole, because pulls read it all the time and it seldom changes.
    subscriptions: ArcSwap<HashMap<Box<str>, Arc<Subscription>>>,
    /// What the subscriptions take; held while they change.
    subscriptions_share: Mutex<Option<Share>>,
    _share: Share,
}

impl ConsumerGroup {
    fn new(manner: Manner, share: Share) -> ConsumerGroup {
        ConsumerGroup {
            members: Members::default(),
            manner: RwLock::new(manner),
            fingerprint: Mutex::default(),
            subscriptions: ArcSwap::default(),
            subscriptions_share: Mutex::default(),
            _share: share,
        }
    }

    pub(crate) fn manner(&self) -> Manner {
        *self.manner.read()
    }

    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.members.all()
    }

    /// What the group subscribes to in the topic.
    pub(crate) fn subscription(&self, topic: &str) -> Option<Arc<Subscription>> {
        self.subscriptions.load().get(topic).cloned()
    }

    /// Everything that the group subscribes to.
    pub(crate) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.subscriptions.load().values().cloned().collect()
    }

    /// Takes over a member's subscriptions: of two for one topic the newer one, and what the member has not is gone.
    /// Returns whether topics came or went. Without room for them, everything stays as it was.
    fn subscribe(&self, data: ConsumerData, budget: &Budget) -> Result<bool, Exhausted> {
        let mut share = self.subscriptions_share.lock();
        let known = self.subscriptions.load_full();
        let mut next: HashMap<Box<str>, Arc<Subscription>> = HashMap::with_capacity(data.subscription_data_set.len());
        let mut is_other = false;
        let mut topics_changed = false;
        for said in data.subscription_data_set.into_iter().take(SUBSCRIPTIONS_MAX) {
            let topic: Box<str> = said.topic.as_str().into();
            match known.get(&topic) {
                Some(kept) if said.sub_version <= kept.data.sub_version => {
                    next.insert(topic, Arc::clone(kept));
                }
                kept => {
                    is_other = true;
                    topics_changed |= kept.is_none();
                    next.insert(topic, Arc::new(Subscription::new(said)));
                }
            }
        }
        topics_changed |= known.keys().any(|topic| !next.contains_key(topic));
        if is_other || topics_changed {
            *share = Some(budget.take(next.values().map(|subscription| bytes_of(subscription)).sum())?);
            self.subscriptions.store(Arc::new(next));
        }
        Ok(topics_changed)
    }
}

/// What a subscription takes, in bytes.
fn bytes_of(subscription: &Subscription) -> usize {
    let data = &subscription.data;
    let tags: usize = data.tags_set.iter().map(|tag| TAG_BYTES + tag.len()).sum();
    let codes = data.code_set.len() * TAG_BYTES;
    SUBSCRIPTION_BYTES + 2 * data.topic.len() + 2 * data.sub_string.len() + data.expression_type.len() + tags + codes
}

/// What a heartbeat changed in a consumer group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The member was not there before.
    pub(crate) is_new_member: bool,
    /// Topics came or went.
    pub(crate) topics_changed: bool,
    /// The member before subscribed to something else, or did not say.
    pub(crate) is_other_fingerprint: bool,
}

impl Change {
    /// Whether the members must be told.
    pub(crate) fn is_any(self) -> bool {
        self.is_new_member || self.topics_changed
    }
}

/// The groups that a connection is in.
#[derive(Debug, Default)]
struct Joined {
    producers: HashSet<Arc<str>>,
    consumers: HashSet<Arc<str>>,
}

impl Joined {
    fn close_if_idle(&self, connection: &Connection) {
        if self.producers.is_empty() && self.consumers.is_empty() {
            connection.close("no heartbeat within channelExpiredTimeout");
        }
    }
}

/// All connected clients.
#[derive(Debug)]
pub(crate) struct Clients {
    budget: Budget,
    consumers: papaya::HashMap<Arc<str>, Arc<ConsumerGroup>>,
    producers: papaya::HashMap<Arc<str>, Arc<Members>>,
    /// Connections of producers by client id: replies go there.
    producer_ids: papaya::HashMap<Box<str>, Connection>,
    /// By connection number. Also held while members come and go, so that no group is dropped as somebody joins it.
    joined: Mutex<HashMap<u64, Joined>>,
}

impl Clients {
    /// No clients; those that come take their bytes from the budget.
    pub(crate) fn new(budget: Budget) -> Clients {
        Clients {
            budget,
            consumers: papaya::HashMap::default(),
            producers: papaya::HashMap::default(),
            producer_ids: papaya::HashMap::default(),
            joined: Mutex::default(),
        }
    }

    /// The group, if it has members.
    pub(crate) fn consumer_group(&self, group: &str) -> Option<Arc<ConsumerGroup>> {
        self.consumers.pin().get(group).cloned()
    }

    /// Groups whose members subscribe to the topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let pin = self.consumers.pin();
        let own = pin.iter().filter(|(_, group)| group.subscription(topic).is_some());
        own.map(|(name, _)| name.to_string()).collect()
    }

    /// Every producer group with its members.
    pub(crate) fn all_producers(&self) -> Vec<(String, Vec<Arc<Member>>)> {
        self.producers.pin().iter().map(|(group, members)| (group.to_string(), members.all())).collect()
    }

    /// The group's producers, by connection.
    pub(crate) fn producers(&self, group: &str) -> Vec<Arc<Member>> {
        self.producers.pin().get(group).map(|members| members.all()).unwrap_or_default()
    }

    /// The connection of a producer by its client id.
    pub(crate) fn producer(&self, client_id: &str) -> Option<Connection> {
        self.producer_ids.pin().get(client_id).filter(|connection| !connection.is_closed()).cloned()
    }

    /// A heartbeat of a producer. It is no member of more groups than a connection may be in.
    pub(crate) fn produce(&self, group: &str, caller: &Caller<'_>) -> Result<(), Exhausted> {
        let mut joined = self.joined.lock();
        let joined = joined.entry(caller.connection.id()).or_default();
        if !joined.producers.contains(group) && joined.producers.len() >= GROUPS_PER_CONNECTION_MAX {
            return Ok(());
        }
        let pin = self.producers.pin();
        let known = pin.get(group);
        let members = known.cloned().unwrap_or_default();
        let own_bytes = GROUP_BYTES + 2 * group.len() + caller.client_id.len();
        if members.touch(caller, own_bytes, &self.budget)? {
            self.producer_ids.pin().insert(caller.client_id.into(), caller.connection.clone());
        }
        if known.is_none() {
            pin.insert(group.into(), members);
        }
        joined.producers.insert(group.into());
        Ok(())
    }

    /// A heartbeat of a consumer; `data` without subscriptions (`with_subscriptions` false) leaves them as they are.
    pub(crate) fn consume(
        &self,
        data: ConsumerData,
        with_subscriptions: bool,
        caller: &Caller<'_>,
    ) -> Result<Change, Exhausted> {
        let manner = Manner::from(&data);
        let (group, is_new_member) = {
            let mut joined = self.joined.lock();
            let joined = joined.entry(caller.connection.id()).or_default();
            let name: &str = &data.group_name;
            if !joined.consumers.contains(name) && joined.consumers.len() >= GROUPS_PER_CONNECTION_MAX {
                return Ok(Change::default());
            }
            let pin = self.consumers.pin();
            let known = pin.get(name);
            let group = match known {
                Some(group) => Arc::clone(group),
                None => Arc::new(ConsumerGroup::new(manner, self.budget.take(GROUP_BYTES + name.len())?)),
            };
            let is_new_member = group.members.touch(caller, name.len(), &self.budget)?;
            if known.is_none() {
                pin.insert(name.into(), Arc::clone(&group));
            }
            joined.consumers.insert(name.into());
            (group, is_new_member)
        };
        *group.manner.write() = manner;
        let topics_changed = with_subscriptions && group.subscribe(data, &self.budget)?;
        let before = group.fingerprint.lock().replace(caller.fingerprint);
        let is_other_fingerprint = before.is_some_and(|before| before != caller.fingerprint);
        Ok(Change { is_new_member, topics_changed, is_other_fingerprint })
    }

    /// A client says that it is no producer of the group any more.
    pub(crate) fn leave_producers(&self, group: &str, connection_id: u64) {
        let mut joined = self.joined.lock();
        let mut is_last = true;
        if let Some(joined) = joined.get_mut(&connection_id) {
            joined.producers.remove(group);
            is_last = joined.producers.is_empty();
        }
        self.drop_producer(group, connection_id, is_last);
    }

    /// A client says that it is no consumer of the group any more; `true` when it was one.
    pub(crate) fn leave_consumers(&self, group: &str, connection_id: u64) -> bool {
        let mut joined = self.joined.lock();
        if let Some(joined) = joined.get_mut(&connection_id) {
            joined.consumers.remove(group);
        }
        self.drop_consumer(group, connection_id)
    }

    /// A connection has ended. Returns the consumer groups that lost a member.
    pub(crate) fn closed(&self, connection_id: u64) -> Vec<Arc<str>> {
        let mut joined = self.joined.lock();
        let Some(groups) = joined.remove(&connection_id) else { return Vec::new() };
        for group in groups.producers {
            self.drop_producer(&group, connection_id, true);
        }
        let left = groups.consumers.into_iter();
        left.filter(|group| self.drop_consumer(group, connection_id)).collect()
    }

    /// Drops members that have said nothing since `before_ms`, and closes connections that are in no group then: who is
    /// still there comes again and says who it is. Returns the consumer groups that lost a member.
    pub(crate) fn expire(&self, before_ms: i64) -> Vec<Arc<str>> {
        let mut joined = self.joined.lock();
        let mut changed = Vec::new();
        let producers: Vec<(Arc<str>, Vec<Connection>)> =
            self.producers.pin().iter().map(|(group, members)| (group.clone(), members.silent(before_ms))).collect();
        for (group, silent) in producers {
            for connection in silent {
                let mut is_last = true;
                if let Some(joined) = joined.get_mut(&connection.id()) {
                    joined.producers.remove(&group);
                    is_last = joined.producers.is_empty();
                    joined.close_if_idle(&connection);
                }
                self.drop_producer(&group, connection.id(), is_last);
            }
        }
        let consumers: Vec<(Arc<str>, Vec<Connection>)> = self
            .consumers
            .pin()
            .iter()
            .map(|(group, members)| (group.clone(), members.members.silent(before_ms)))
            .collect();
        for (group, silent) in consumers {
            let lost = silent.into_iter().filter(|connection| {
                if let Some(joined) = joined.get_mut(&connection.id()) {
                    joined.consumers.remove(&group);
                    joined.close_if_idle(connection);
                }
                self.drop_consumer(&group, connection.id())
            });
            if lost.count() > 0 {
                changed.push(group);
            }
        }
        changed
    }

    /// Takes a producer out, and its client id if it is in no other group; the caller holds `joined`.
    fn drop_producer(&self, group: &str, connection_id: u64, is_last: bool) {
        let pin = self.producers.pin();
        let Some(members) = pin.get(group) else { return };
        let Some(member) = members.remove(connection_id) else { return };
        if members.is_empty() {
            pin.remove(group);
        }
        let ids = self.producer_ids.pin();
        // The client may have come back by another connection.
        if is_last && ids.get(&member.client_id).is_some_and(|connection| connection.id() == connection_id) {
            ids.remove(&member.client_id);
        }
    }

    /// Takes a consumer out, and the group with its last one; the caller holds `joined`.
    fn drop_consumer(&self, group: &str, connection_id: u64) -> bool {
        let pin = self.consumers.pin();
        let Some(members) = pin.get(group) else { return false };
        let removed = members.members.remove(connection_id).is_some();
        if removed && members.members.is_empty() {
            pin.remove(group);
        }
        removed
    }
}
