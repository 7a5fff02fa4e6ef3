//! The broker: everything that handlers need, built once and whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use raptormq_auth::PlainAcl;
use raptormq_config::{BrokerRole, BrokerSettings, FlushDiskType};
use raptormq_protocol::body::{
    ConsumerFilterTable, DataVersion, DelayOffsetSerializeWrapper, MessageRequestModeSerializeWrapper,
    SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::hash;
use raptormq_protocol::header::NotifyConsumerIdsChangedRequestHeader;
use raptormq_protocol::heartbeat::MessageModel;
use raptormq_protocol::message::id::{Month, OffsetMessageId, UniqueIdGenerator};
use raptormq_protocol::message::properties::{self, name};
use raptormq_remoting::Request;
use raptormq_replication::{Following, Slaves};
use raptormq_store::disk::Disk;
use raptormq_store::{BitMaps, CleanOptions, Clock, Queue, Store};

use crate::StartError;
use crate::alarm::Alarm;
use crate::budget::Budget;
use crate::clients::Clients;
use crate::failure::Failure;
use crate::filter::kept::ConsumerFilters;
use crate::groups::Groups;
use crate::ha::{self, GroupRule, SyncRule};
use crate::hold::Holds;
use crate::lane::Lanes;
use crate::locks::Locks;
use crate::members::Members;
use crate::offsets::Offsets;
use crate::outer::Outer;
use crate::persist::{Intervals, Keeper, Table};
use crate::readers::Readers;
use crate::request_modes::RequestModes;
use crate::routes::Routes;
use crate::schedule::Schedule;
use crate::start;
use crate::stats::{Counters, History, Stats, Totals};
use crate::topics::{Topic, Topics, is_batch};
use crate::transaction::Transactions;

/// One broker. Handlers borrow it; nothing in it is wired later.
pub struct Broker {
    settings: ArcSwap<BrokerSettings>,
    /// Changes of the settings since the start; held while they change.
    settings_version: Mutex<DataVersion>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) offsets: Offsets,
    pub(crate) clients: Clients,
    /// Groups whose members are told later that they have changed. Connected clients bound it.
    changed_groups: Mutex<BTreeSet<String>>,
    /// Conditions of groups on the messages of topics.
    pub(crate) filters: Arc<ConsumerFilters>,
    pub(crate) locks: Locks,
    pub(crate) holds: Holds,
    pub(crate) readers: Readers,
    pub(crate) lanes: Lanes,
    pub(crate) schedule: Schedule,
    pub(crate) transactions: Transactions,
    /// Wakes the thread that stores messages again: the delayed ones, and halves whose producer is asked.
    pub(crate) alarm: Alarm,
    pub(crate) keeper: Keeper,
    pub(crate) outer: Outer,
    pub(crate) slaves: Slaves,
    pub(crate) following: Following,
    pub(crate) members: Members,
    pub(crate) routes: Routes,
    pub(crate) request_modes: RequestModes,
    pub(crate) counters: Counters,
    pub(crate) history: History,
    pub(crate) stats: Stats,
    pub(crate) identity: Identity,
    /// Who may do what; `None` when everybody may everything.
    pub(crate) acl: Option<PlainAcl>,
}

/// What of the settings every message needs, in the form that it needs.
pub(crate) struct Identity {
    /// Where this broker says its messages are.
    pub(crate) store_host: SocketAddr,
    /// What the offset message ids of this broker begin with.
    pub(crate) message_id_prefix: String,
    /// What every stored message says of the way it came: cluster, region, and whether it may be traced.
    pub(crate) broker_properties: ArcSwap<String>,
    /// Makes the ids of messages that come without.
    pub(crate) unique_ids: UniqueIdGenerator,
    /// Sends are acknowledged when they are on disk.
    pub(crate) is_sync_flush: bool,
    /// Consumers see messages when they are on disk.
    pub(crate) reads_flushed: bool,
    /// What sends wait for until slaves have their messages.
    pub(crate) sync_rule: Option<SyncRule>,
    /// What the rule is made of for each send, when it depends on who is there.
    pub(crate) group_rule: Option<GroupRule>,
    /// It follows a master, and takes no messages itself.
    pub(crate) is_slave: bool,
}

/// The accounts, when access control is on.
fn accounts(settings: &BrokerSettings, now_ms: i64) -> Result<Option<PlainAcl>, StartError> {
    let broker = &settings.broker;
    if !broker.acl_enable {
        return Ok(None);
    }
    let acl = PlainAcl::open(broker.rocketmq_home.as_ref(), broker.plain_acl_file.as_ref(), now_ms)?;
    if acl.rules().configs.is_empty() {
        tracing::warn!(home = broker.rocketmq_home, "aclEnable=true and there is no account: every request is refused");
    }
    Ok(Some(acl))
}

impl Broker {
    /// Opens the store and reads what was kept. Nothing runs and nothing listens yet but the store's own threads.
    pub fn new(
        settings: BrokerSettings,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Broker>, StartError> {
        let identity = Identity::new(&settings)?;
        let acl = accounts(&settings, clock.now_ms())?;
        let root = settings.store.store_path_root_dir.as_ref();
        let keeper = Keeper::new(Arc::clone(&disk), root, settings.store.enable_lmq, intervals(&settings));
        let topics: TopicConfigSerializeWrapper = keeper.load(Table::Topics)?;
        let mut options = start::store_options(&settings.store)?;
        let batch_topics = topics.topic_config_table.iter().filter(|(_, config)| is_batch(config));
        options.batch_topics = batch_topics.map(|(name, _)| name.clone()).collect();
        let now_ms = clock.now_ms();
        let budget = Budget::new(settings.broker.client_bytes_max);
        // All of it is read before the store is opened, which changes it: where a file cannot be used nothing changes.
        let filters: ConsumerFilterTable = keeper.load(Table::Filters)?;
        let groups: SubscriptionGroupWrapper = keeper.load(Table::Groups)?;
        let request_modes: MessageRequestModeSerializeWrapper = keeper.load(Table::RequestModes)?;
        keeper.load_offsets()?;
        keeper.load::<DelayOffsetSerializeWrapper>(Table::DelayOffsets)?;
        let filters = Arc::new(ConsumerFilters::new(&settings.broker, filters, budget.clone(), now_ms));
        options.bit_maps = Some(Arc::clone(&filters) as Arc<dyn BitMaps>);
        let store = Store::open(options, disk, Arc::clone(&clock))?;
        let now_ms = clock.now_ms();
        // Again: a broker that had the store until just now wrote these last of all.
        let offsets = keeper.load_offsets()?;
        let delays: DelayOffsetSerializeWrapper = keeper.load(Table::DelayOffsets)?;
        let schedule = Schedule::new(&settings, &store, delays, now_ms)?;
        let kept_offsets = Offsets::new(offsets, settings.broker.consumer_offset_update_version_step, now_ms);
        if !store.recovered().was_clean
            && kept_offsets.cut_to(|topic, id| store.queue(topic, id).map_or(0, |queue| queue.max_offset()))
        {
            // New messages may soon have these offsets, so the file must not say them any longer.
            keeper.keep_offsets_now(kept_offsets.snapshot());
        }
        if schedule.take_dirty() {
            keeper.keep_delays_now(&schedule.snapshot(store.watermarks().flushed.value()));
        }
        let transactions = Transactions::new(&store, &kept_offsets)?;
        Ok(Arc::new_cyclic(|broker| Broker {
            topics: Topics::new(&settings, topics, now_ms),
            groups: Groups::new(&settings, groups, now_ms),
            offsets: kept_offsets,
            clients: Clients::new(budget.clone()),
            changed_groups: Mutex::default(),
            filters,
            locks: Locks::new(budget.clone()),
            holds: Holds::new(budget),
            readers: Readers::new(broker, &settings.broker),
            lanes: Lanes::new(&settings.broker),
            outer: Outer::new(&settings),
            slaves: Slaves::new(ha::options(&settings)),
            following: ha::following(&settings),
            members: Members::new(&settings),
            routes: Routes::default(),
            request_modes: RequestModes::new(request_modes),
            counters: Counters::default(),
            history: History::default(),
            stats: Stats::default(),
            schedule,
            transactions,
            alarm: Alarm::default(),
            store,
            keeper,
            identity,
            acl,
            clock,
            settings: ArcSwap::from_pointee(settings),
            settings_version: Mutex::default(),
        }))
    }

    /// The settings as they are now; a request that changes them replaces them as a whole. Costs a few ns.
    pub(crate) fn settings(&self) -> Guard<Arc<BrokerSettings>> {
        self.settings.load()
    }

    /// Which version the settings are.
    pub(crate) fn settings_version(&self) -> DataVersion {
        *self.settings_version.lock()
    }

    /// Puts new settings in the place of the old ones, and what follows from dynamic keys into effect; `deletion` is
    /// what they say of that.
    pub(crate) fn follow(&self, new: BrokerSettings, deletion: CleanOptions) {
        let now_ms = self.now_ms();
        let mut version = self.settings_version.lock();
        let old = self.settings.swap(Arc::new(new));
        version.next(now_ms);
        drop(version);
        self.keeper.rules_changed();
        let new = self.settings.load_full();
        self.identity.broker_properties.store(Arc::new(broker_properties(&new)));
        self.offsets.set_version_step(new.broker.consumer_offset_update_version_step);
        self.groups.set_auto_create(new.broker.auto_create_subscription_group);
        self.filters.fill_bit_maps(new.broker.enable_calc_filter_bit_map);
        self.keeper.set_intervals(intervals(&new));
        self.store.set_clean_options(deletion);
        self.store.set_reads_ahead(new.store.data_read_ahead_enable);
        self.outer.follow(&new);
        let is_permission_new = old.broker.broker_permission != new.broker.broker_permission;
        if self.topics.follow(&old, &new, now_ms) || is_permission_new {
            self.topics.touch(now_ms);
            self.topics_changed();
        }
    }

    /// Whether it follows a master, and takes no messages itself.
    pub(crate) fn is_slave(&self) -> bool {
        self.identity.is_slave
    }

    /// Refuses requests that have waited too long for a thread.
    pub(crate) fn refuse_overdue(&self) {
        self.readers.refuse_overdue(&self.settings().broker);
    }

    /// Reads the accounts again when their files have changed.
    pub(crate) fn follow_accounts(&self) {
        match self.acl.as_ref().map(|acl| acl.reload(self.now_ms())) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => tracing::info!("the accounts of access control were read again"),
            Some(Err(error)) => {
                tracing::warn!(%error, "accounts have changed and cannot be used; the earlier ones count")
            }
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// A topic was made, changed or removed: the table is written and the name servers are told.
    pub(crate) fn topics_changed(&self) {
        self.keeper.changed(Table::Topics);
        self.outer.topics_changed();
    }

    /// Whether a table that changes all the time did since the last call.
    pub(crate) fn take_dirty(&self, table: Table) -> bool {
        match table {
            Table::Offsets => self.offsets.take_dirty(),
            Table::DelayOffsets => self.schedule.take_dirty(),
            Table::Filters => {
                self.filters.expire(self.now_ms(), self.settings().broker.filter_data_clean_time_span);
                self.filters.take_dirty()
            }
            Table::Topics | Table::Groups | Table::RequestModes => false,
        }
    }

    /// How far the delay levels are. Once the store is closed everything is on disk.
    pub(crate) fn delay_offsets(&self) -> DelayOffsetSerializeWrapper {
        self.schedule.snapshot(self.store.watermarks().flushed.value())
    }

    /// The group, made if this broker makes groups (or it is a system's).
    pub(crate) fn group_or_create(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        let (group, is_new) = self.groups.get_or_create(name, self.now_ms())?;
        if is_new {
            tracing::info!(group = name, "a subscription group was made");
            self.keeper.changed(Table::Groups);
        }
        Some(group)
    }

    /// A topic that the broker itself sends to, made if there is none: retries and dead letters of groups and the like.
    /// Also says whether it is new.
    pub(crate) fn group_topic(&self, name: &str, queues: i32, sys_flag: i32) -> Result<(Arc<Topic>, bool), Failure> {
        if let Some(topic) = self.topics.get(name) {
            return Ok((topic, false));
        }
        let topic = self.topics.create_for_group(name, queues, sys_flag, self.now_ms());
        let topic = topic.ok_or_else(|| Failure::system(format!("topic[{name}] not exist")))?;
        self.topics_changed();
        Ok((topic, true))
    }

    /// The queue of a message that is stored again. The topic may be gone meanwhile: the original stores it all the same.
    pub(crate) fn queue_again(&self, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
        let known = self.topics.get(topic);
        let queue = known.and_then(|topic| topic.queue(&self.store, queue_id).cloned());
        queue.or_else(|| self.store.queue_or_create(topic, queue_id).ok())
    }

    /// The offset message id of a log offset.
    pub(crate) fn message_id(&self, log_offset: i64) -> String {
        OffsetMessageId { store_host: self.identity.store_host, log_offset }.to_string()
    }

    /// Makes the topic an ordered one, or one that is not.
    pub(crate) fn set_order(&self, topic: &Topic, is_ordered: bool) {
        if topic.config.order != is_ordered {
            self.topics.put(TopicConfig { order: is_ordered, ..topic.config.clone() }, self.now_ms());
            self.topics_changed();
        }
    }

    /// Name servers know which topics are ordered over all brokers.
    pub(crate) fn take_order_topics<'a>(&self, names: impl Iterator<Item = &'a String>) {
        let mut is_other = false;
        for name in names {
            if let Some(topic) = self.topics.get(name)
                && !topic.config.order
            {
                self.topics.put(TopicConfig { order: true, ..topic.config.clone() }, self.now_ms());
                is_other = true;
            }
        }
        if is_other {
            self.topics_changed();
        }
    }

    /// Stops groups that are too far behind, where that is set: what they read from the disk holds up others. Java:
    /// `BrokerController.protectBroker`.
    pub(crate) fn stop_slow_groups(&self) {
        let settings = self.settings();
        if !settings.broker.disable_consume_if_consumer_read_slowly {
            return;
        }
        let max = i64::try_from(settings.broker.consumer_fallbehind_threshold).unwrap_or(i64::MAX);
        let mut slow = BTreeMap::new();
        self.offsets.for_each(|group, topic, _, progress| {
            if progress.behind_bytes() > max {
                slow.insert(group.to_owned(), (topic.to_owned(), progress.behind_bytes()));
                // It begins anew when it may consume again.
                progress.note_behind(0);
            }
        });
        for (group, (topic, bytes)) in slow {
            if self.groups.stop(&group, self.now_ms()) {
                tracing::warn!(group, topic, bytes, max, "a group is too far behind and is stopped: see consumeEnable");
                self.keeper.changed(Table::Groups);
            }
        }
    }

    /// Tells the members of a consumer group that it has others now: at once, or later when that is set.
    pub(crate) fn notify_members(&self, group: &str) {
        if self.clients.consumer_group(group).is_none() {
            // The last one has left.
            return self.filters.unregister(group, self.now_ms());
        }
        if self.settings().broker.real_time_notify_consumer_change {
            return self.tell_members(group);
        }
        self.changed_groups.lock().insert(group.to_owned());
    }

    /// Tells the members of all groups that have changed since the last call and were not told at once.
    pub(crate) fn notify_late(&self) {
        let groups = std::mem::take(&mut *self.changed_groups.lock());
        groups.iter().for_each(|group| self.tell_members(group));
    }

    /// Tells the members of a group, unless it does not want to know.
    fn tell_members(&self, group: &str) {
        let is_wanted = self.groups.get(group).is_none_or(|config| config.notify_consumer_ids_changed_enable);
        if !(self.settings().broker.notify_consumer_ids_changed_enable && is_wanted) {
            return;
        }
        let Some(members) = self.clients.consumer_group(group) else { return };
        if members.manner().message_model == MessageModel::Broadcasting {
            // Each of them has all queues, whoever else there is.
            return;
        }
        let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: group };
        let request = Request::new(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED).header(&header);
        for member in members.members() {
            // Who is gone or does not read finds out at its next rebalance.
            if let Err(error) = member.connection.oneway(&request) {
                tracing::debug!(group, client_id = %member.client_id, %error, "a member was not told of a change");
            }
        }
    }

    /// What was served since the start. What came and went since the last sample counts as no system topic's.
    pub(crate) fn totals(&self) -> Totals {
        let Totals { system_messages_in, system_messages_out, .. } = self.history.last();
        let now = self.counters.totals(self.store.figures().appended_count);
        Totals { system_messages_in, system_messages_out, ..now }
    }

    /// Notes what was served up to now.
    pub(crate) fn sample(&self) {
        let (system_messages_in, system_messages_out) = self.stats.sample(self);
        let totals = self.counters.totals(self.store.figures().appended_count);
        self.history.note(self.now_ms(), Totals { system_messages_in, system_messages_out, ..totals });
    }

    /// Drops clients and locks of which nothing was heard for too long.
    pub(crate) fn expire_clients(&self) {
        let now_ms = self.now_ms();
        let timeout_ms = i64::try_from(self.settings().broker.channel_expired_timeout).unwrap_or(i64::MAX);
        for group in self.clients.expire(now_ms.saturating_sub(timeout_ms)) {
            self.notify_members(&group);
        }
        self.locks.sweep(now_ms);
    }
}

impl Identity {
    fn new(settings: &BrokerSettings) -> Result<Identity, StartError> {
        let ip = &settings.broker.broker_ip1;
        let port = settings.server.listen_port;
        let found = (ip.as_str(), port).to_socket_addrs().map(|mut addresses| addresses.next());
        let store_host = match found {
            Ok(Some(address)) => address,
            Ok(None) => return Err(StartError::BrokerIp { ip: ip.clone(), reason: "it has no address".to_owned() }),
            Err(error) => return Err(StartError::BrokerIp { ip: ip.clone(), reason: error.to_string() }),
        };
        let mut id = OffsetMessageId { store_host, log_offset: 0 }.to_string();
        // The last sixteen digits are the log offset's.
        id.truncate(id.len() - 16);
        // Java puts the hash of its class loader there: a number of this process's own.
        let process_number = hash::java_hash(&format!("{store_host} {:p}", &raw const *settings)) as u32;
        Ok(Identity {
            store_host,
            message_id_prefix: id,
            broker_properties: ArcSwap::from_pointee(broker_properties(settings)),
            unique_ids: UniqueIdGenerator::new(store_host.ip(), std::process::id(), process_number, month_of),
            is_sync_flush: settings.store.flush_disk_type == FlushDiskType::SyncFlush,
            reads_flushed: settings.store.flush_disk_type == FlushDiskType::SyncFlush
                && !settings.store.read_uncommitted,
            sync_rule: SyncRule::of(settings),
            group_rule: GroupRule::of(settings),
            is_slave: settings.store.broker_role == BrokerRole::Slave,
        })
    }
}

/// How often the conditions of groups are written, when they change. Java: `BrokerController.java`.
const FILTERS_INTERVAL: Duration = Duration::from_secs(10);

/// How often tables are written that change all the time.
fn intervals(settings: &BrokerSettings) -> Intervals {
    Intervals {
        offsets: Duration::from_millis(settings.broker.flush_consumer_offset_interval),
        delay_offsets: Duration::from_millis(settings.store.flush_delay_offset_interval),
        filters: FILTERS_INTERVAL,
    }
}

/// What every stored message says of the way it came.
fn broker_properties(settings: &BrokerSettings) -> String {
    let mut text = String::new();
    properties::append(&mut text, name::MSG_REGION, &settings.broker.region_id);
    properties::append(&mut text, name::TRACE_ON, &settings.broker.trace_on.to_string());
    properties::append(&mut text, name::CLUSTER, &settings.broker.broker_cluster_name);
    text
}

/// The month of the local time zone that a moment lies in.
fn month_of(now_ms: i64) -> Month {
    let bounds = || -> Result<Month, jiff::Error> {
        let now = jiff::Timestamp::from_millisecond(now_ms)?.to_zoned(jiff::tz::TimeZone::system());
        let start = now.first_of_month()?.start_of_day()?;
        let next = start.checked_add(jiff::Span::new().months(1))?;
        Ok(Month { start_ms: start.timestamp().as_millisecond(), next_ms: next.timestamp().as_millisecond() })
    };
    // Only a clock thousands of years ahead has no month; an id needs none to be unique.
    bounds().unwrap_or(Month { start_ms: 0, next_ms: i64::MAX })
}
