//! Pulls (11, 361).
//! Java: `processor/PullMessageProcessor.java`, `processor/DefaultPullMessageResultHandler.java`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raptormq_config::BrokerRole;
use raptormq_protocol::body::{PERM_READ, SubscriptionGroupConfig};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use raptormq_protocol::heartbeat::{EXPRESSION_SQL92, EXPRESSION_TAG, MessageModel, SubscriptionData};
use raptormq_protocol::message::properties::{Properties, name};
use raptormq_protocol::message::record::RecordView;
use raptormq_remoting::{Exchange, Output, Responder};
use raptormq_store::{Arrival, Extension, Filter, GetLimits, GetResult, GetStatus, Queue};

use crate::broker::Broker;
use crate::dispatch::{Call, Reply, refuse_waiting};
use crate::failure::{Failure, Forbidden};
use crate::filter::kept::ConsumerFilter;
use crate::filter::sql::Expression;
use crate::filter::{Subscription, TagFilter};
use crate::hold::NotHeld;
use crate::names;
use crate::offsets::Progress;
use crate::persist::Table;
use crate::stats::Counters;
use crate::topics::Topic;

/// Bits of a pull's `sysFlag`. Java: `common/sysflag/PullSysFlag.java`.
mod pull_flag {
    pub(super) const COMMIT_OFFSET: i32 = 0x1;
    pub(super) const SUSPEND: i32 = 0x2;
    pub(super) const SUBSCRIPTION: i32 = 0x4;
}

/// Bytes of messages that a pull answers when it names no limit. Java: `PullMessageRequestHeader.maxMsgBytes`.
const BYTES_DEFAULT: usize = 256 << 10;

/// Most bytes of messages that a pull answers, whatever it and the settings say; the first message is answered whole.
/// Java: `DefaultMessageStore.MAX_PULL_MSG_SIZE`.
const BYTES_MAX: usize = 128 << 20;

/// A pull that is allowed: what is needed to run it, and to run it again.
pub(crate) struct Pull {
    pub(crate) queue: Arc<Queue>,
    pub(crate) queue_offset: i64,
    pub(crate) filter: PullFilter,
    limits: GetLimits,
    is_lite: bool,
    /// The request has brought the filter.
    has_own_filter: bool,
    /// [`Keeper::rules`](crate::persist::Keeper::rules) by which it was allowed.
    rules: u64,
    topic_sys_flag: i32,
    pub(crate) group: Arc<SubscriptionGroupConfig>,
    /// How far the group is in the queue.
    progress: Arc<Progress>,
}

/// Which messages a pull wants, and where that comes from.
pub(crate) enum PullFilter {
    /// Tags that the request names.
    Own(TagFilter),
    /// Tags that the group subscribes to.
    Of(Arc<Subscription>),
    /// A condition that the request brings.
    OwnSql(Box<Expression>),
    /// The condition of the group on the topic.
    Sql(Arc<ConsumerFilter>),
    /// The conditions of the group on the topics whose messages it gave back (`filterSupportRetry`).
    Retries(String),
}

impl PullFilter {
    /// Bytes that it takes by itself.
    pub(crate) fn own_bytes(&self) -> usize {
        match self {
            PullFilter::Own(TagFilter::Codes(codes)) => size_of_val(&**codes),
            PullFilter::OwnSql(expression) => expression.bytes(),
            PullFilter::Retries(group) => group.len(),
            PullFilter::Own(TagFilter::All) | PullFilter::Of(_) | PullFilter::Sql(_) => 0,
        }
    }

    /// Whether a message may be wanted whose tags have that code.
    pub(crate) fn matches(&self, tags_code: i64) -> bool {
        match self {
            PullFilter::Own(filter) => filter.matches(tags_code),
            PullFilter::Of(subscription) => subscription.filter.matches(tags_code),
            PullFilter::OwnSql(_) | PullFilter::Sql(_) | PullFilter::Retries(_) => true,
        }
    }

    /// Whether the tags code does not decide.
    fn needs_record(&self) -> bool {
        !matches!(self, PullFilter::Own(_) | PullFilter::Of(_))
    }

    /// Whether looking into messages may take long.
    fn is_heavy(&self) -> bool {
        match self {
            PullFilter::Own(_) | PullFilter::Of(_) => false,
            PullFilter::OwnSql(expression) => expression.is_heavy(),
            PullFilter::Sql(filter) => filter.expression.is_heavy(),
            PullFilter::Retries(_) => true,
        }
    }

    /// Whether a message may be wanted, by what the extension of its queue says of it.
    fn may_want(&self, extension: &Extension, log_offset: i64) -> bool {
        match self {
            PullFilter::Sql(filter) => filter.may_want(extension, log_offset),
            _ => true,
        }
    }

    /// Whether the message is wanted, given that it may be by its tags code.
    fn matches_record(&self, broker: &Broker, record: &[u8]) -> bool {
        if !self.needs_record() {
            return true;
        }
        // A record that cannot be read has no properties, as in Java.
        let view = RecordView::parse(record).ok();
        let text = view.as_ref().map(RecordView::properties).unwrap_or_default();
        let properties = Properties(&text);
        match self {
            PullFilter::Own(_) | PullFilter::Of(_) => true,
            PullFilter::OwnSql(expression) => expression.matches(properties),
            PullFilter::Sql(filter) => filter.expression.matches(properties),
            PullFilter::Retries(group) => {
                let topic = properties.get(name::RETRY_TOPIC).unwrap_or_default();
                broker.filters.get(topic, group).is_none_or(|filter| filter.expression.matches(properties))
            }
        }
    }

    /// Whether a message that has just come may end the wait of a pull. What takes long is left to the pull itself.
    pub(crate) fn is_woken_by(&self, broker: &Broker, arrival: &Arrival<'_>) -> bool {
        self.matches(arrival.tags_code) && (self.is_heavy() || self.matches_record(broker, arrival.record))
    }
}

/// PULL_MESSAGE (11).
pub(crate) fn pull(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: PullMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    run(broker, call, &header, false)
}

/// LITE_PULL_MESSAGE (361).
pub(crate) fn lite_pull(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: PullMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    run(broker, call, &header, true)
}

fn run(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: &PullMessageRequestHeader<'_>,
    is_lite: bool,
) -> Result<Reply, Failure> {
    let pull = allow(broker, call.peer.peer_addr(), header, is_lite)?;
    let (is_committing, progress) = (header.sys_flag & pull_flag::COMMIT_OFFSET != 0, &pull.progress);
    if progress.is_reset() {
        // A client that was started after the reset stands where it should already; any other is told, and what it
        // says it has consumed does not count.
        let here = Some(header.queue_offset);
        if is_committing && Some(header.commit_offset) == here && progress.consumed() == here {
            progress.take_reset();
        }
    } else if is_committing {
        broker.offsets.commit_to(progress, header.commit_offset, broker.now_ms());
    }
    let wait_ms = (header.sys_flag & pull_flag::SUSPEND != 0).then_some(header.suspend_timeout_millis);
    match (read_cached(broker, &pull), wait_ms) {
        (Some(answer), Some(wait_ms)) if answer.code == ResponseCode::PULL_NOT_FOUND => {
            hold(broker, pull, call.responder(), wait_ms);
        }
        (Some(answer), _) => answer.write(call.exchange(), call.out),
        (None, _) => read_later(broker, pull, call.responder(), wait_ms),
    }
    Ok(Reply::Done)
}

/// Runs a pull where it may wait for the disk.
fn read_later(broker: &Broker, pull: Pull, responder: Responder, wait_ms: Option<i64>) {
    let pool = if pull.is_lite { &broker.readers.lite_pulls } else { &broker.readers.pulls };
    pool.run(responder, move |broker, responder| {
        if responder.connection().is_closed() {
            return;
        }
        let answer = read(broker, &pull);
        match wait_ms {
            Some(wait_ms) if answer.code == ResponseCode::PULL_NOT_FOUND => hold(broker, pull, responder, wait_ms),
            _ => responder.answer(|to, out| answer.write(to, out)),
        }
    });
}

fn hold(broker: &Broker, pull: Pull, responder: Responder, asked_ms: i64) {
    let config = &broker.settings().broker;
    let timeout_ms = match config.long_polling_enable {
        true => u64::try_from(asked_ms).unwrap_or(0),
        false => config.short_polling_time_mills,
    };
    match broker.holds.add(&broker.store, pull, responder, Duration::from_millis(timeout_ms)) {
        Ok(()) => {}
        Err(NotHeld::Full(pull, responder) | NotHeld::Arrived(pull, responder)) => again(broker, pull, responder),
    }
}

/// Runs a pull that waited, and answers whatever there is.
pub(crate) fn again(broker: &Broker, mut pull: Pull, responder: Responder) {
    if responder.connection().is_closed() {
        return;
    }
    if pull.rules != broker.keeper.rules()
        && let Err(failure) = allow_again(broker, &mut pull, responder.connection().peer_addr())
    {
        return refuse_waiting(responder, &failure);
    }
    match read_cached(broker, &pull) {
        Some(answer) => responder.answer(|to, out| answer.write(to, out)),
        None => read_later(broker, pull, responder, None),
    }
}

/// Checks a pull that waited by the rules as they are now: the topic may be gone, the group may not consume any more. The
/// group's subscription, which was new enough, has not become older.
fn allow_again(broker: &Broker, pull: &mut Pull, peer: SocketAddr) -> Result<(), Failure> {
    let group = Arc::clone(&pull.group);
    let before = Arc::clone(&pull.queue);
    let header = PullMessageRequestHeader {
        consumer_group: &group.group_name,
        topic: &before.topic,
        queue_id: before.queue_id,
        ..PullMessageRequestHeader::default()
    };
    let allowed = check(broker, peer, &header, pull.is_lite)?;
    match (pull.has_own_filter, pull.filter.needs_record()) {
        (true, true) => check_expression_type(broker, EXPRESSION_SQL92)?,
        (true, false) => {}
        (false, _) => pull.filter = group_filter(broker, &allowed.group, &header)?,
    }
    pull.topic_sys_flag = allowed.topic.config.topic_sys_flag;
    (pull.group, pull.queue) = (allowed.group, allowed.queue);
    Ok(())
}

/// What a pull is about.
struct Allowed {
    group: Arc<SubscriptionGroupConfig>,
    topic: Arc<Topic>,
    queue: Arc<Queue>,
}

/// Checks everything but the filter, in the original's order.
fn check(
    broker: &Broker,
    peer: SocketAddr,
    header: &PullMessageRequestHeader<'_>,
    is_lite: bool,
) -> Result<Allowed, Failure> {
    check_broker(broker, is_lite)?;
    let group = find_group(broker, header.consumer_group)?;
    let topic = broker.topics.get(header.topic).ok_or_else(|| Failure::no_topic_to_pull(header.topic))?;
    if !topic.is_readable() {
        let remark = format!("the topic[{}] pulling message is forbidden", header.topic);
        return Err(Failure::pull_forbidden(Forbidden::Topic, remark));
    }
    let queue = find_queue(broker, &topic, header, peer)?;
    Ok(Allowed { group, topic, queue })
}

fn check_broker(broker: &Broker, is_lite: bool) -> Result<(), Failure> {
    let config = &broker.settings().broker;
    let ip = &config.broker_ip1;
    if config.broker_permission & PERM_READ as u32 == 0 {
        let remark = format!("the broker[{ip}] pulling message is forbidden");
        return Err(Failure::pull_forbidden(Forbidden::Broker, remark));
    }
    if is_lite && !config.lite_pull_message_enable {
        let remark = format!("the broker[{ip}] for lite pull consumer is forbidden");
        return Err(Failure::pull_forbidden(Forbidden::Broker, remark));
    }
    Ok(())
}

/// Checks a pull.
fn allow(
    broker: &Broker,
    peer: SocketAddr,
    header: &PullMessageRequestHeader<'_>,
    is_lite: bool,
) -> Result<Pull, Failure> {
    // What changes while it is checked is seen when it runs again.
    let rules = broker.keeper.rules();
    let Allowed { group, topic, queue } = check(broker, peer, header, is_lite)?;
    let has_own_filter = header.sys_flag & pull_flag::SUBSCRIPTION != 0;
    let filter = match has_own_filter {
        true => own_filter(broker, header)?,
        false => group_filter(broker, &group, header)?,
    };
    let bytes = header.max_msg_bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    Ok(Pull {
        queue,
        queue_offset: header.queue_offset,
        filter,
        limits: GetLimits {
            count: usize::try_from(header.max_msg_nums).unwrap_or(0).max(1),
            bytes: bytes.unwrap_or(BYTES_DEFAULT).min(BYTES_MAX),
        },
        is_lite,
        has_own_filter,
        rules,
        topic_sys_flag: topic.config.topic_sys_flag,
        progress: broker.offsets.progress_or_new(header.consumer_group, header.topic, header.queue_id),
        group,
    })
}

fn find_group(broker: &Broker, name: &str) -> Result<Arc<SubscriptionGroupConfig>, Failure> {
    let group = match broker.groups.get(name) {
        Some(group) => group,
        None => {
            let made = broker.groups.get_or_create(name, broker.now_ms());
            let (group, is_new) = made.ok_or_else(|| Failure::no_group_to_pull(name))?;
            if is_new {
                broker.keeper.changed(Table::Groups);
            }
            group
        }
    };
    if !group.consume_enable {
        let remark = format!("subscription group no permission, {name}");
        return Err(Failure::pull_forbidden(Forbidden::Group, remark));
    }
    Ok(group)
}

fn find_queue(
    broker: &Broker,
    topic: &Topic,
    header: &PullMessageRequestHeader<'_>,
    peer: SocketAddr,
) -> Result<Arc<Queue>, Failure> {
    let is_readable = (0..topic.config.read_queue_nums).contains(&header.queue_id);
    let queue = if is_readable { topic.queue(&broker.store, header.queue_id) } else { None };
    queue.cloned().ok_or_else(|| {
        Failure::invalid(format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[/{peer}]",
            header.queue_id, header.topic, topic.config.read_queue_nums,
        ))
    })
}

/// The filter that the request carries.
fn own_filter(broker: &Broker, header: &PullMessageRequestHeader<'_>) -> Result<PullFilter, Failure> {
    let refused = || Failure::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, "parse the consumer's subscription failed");
    let (text, kind) = (header.subscription.unwrap_or_default(), header.expression_type.unwrap_or_default());
    if is_by_tags(kind) {
        return TagFilter::parse(text).map(PullFilter::Own).ok_or_else(refused);
    }
    if text.is_empty() {
        return Err(refused());
    }
    check_expression_type(broker, kind)?;
    if kind != EXPRESSION_SQL92 {
        return Err(refused());
    }
    // Most often the group has said the same in a heartbeat.
    if let Some(filter) = broker.filters.get(header.topic, header.consumer_group).filter(|filter| *filter.text == *text)
    {
        return Ok(PullFilter::Sql(filter));
    }
    // The original lets everything through when it does not understand the text.
    Expression::parse(text).map(|expression| PullFilter::OwnSql(Box::new(expression))).map_err(|_| refused())
}

/// The filter that the group's members have told.
fn group_filter(
    broker: &Broker,
    group: &SubscriptionGroupConfig,
    header: &PullMessageRequestHeader<'_>,
) -> Result<PullFilter, Failure> {
    let name = header.consumer_group;
    let members = broker.clients.consumer_group(name).ok_or_else(Failure::group_not_online)?;
    if !group.consume_broadcast_enable && members.manner().message_model == MessageModel::Broadcasting {
        let remark = format!("the consumer group[{name}] can not consume by broadcast way");
        return Err(Failure::pull_forbidden(Forbidden::Broadcasting, remark));
    }
    if broker.groups.is_forbidden(name, header.topic) {
        let remark = format!("the consumer group[{name}] is forbidden for topic[{}]", header.topic);
        return Err(Failure::pull_forbidden(Forbidden::Subscription, remark));
    }
    let subscription = members.subscription(header.topic).ok_or_else(Failure::not_subscribed)?;
    if subscription.data.sub_version < header.sub_version {
        return Err(Failure::new(ResponseCode::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest"));
    }
    if subscription.data.is_tag_type() {
        return Ok(PullFilter::Of(subscription));
    }
    let filter = broker.filters.get(header.topic, name).ok_or_else(|| {
        let remark = "The broker's consumer filter data is not exist!Your expression may be wrong!";
        Failure::new(ResponseCode::FILTER_DATA_NOT_EXIST, remark)
    })?;
    if filter.client_version() < header.sub_version {
        let remark = "the consumer's consumer filter data not latest";
        return Err(Failure::new(ResponseCode::FILTER_DATA_NOT_LATEST, remark));
    }
    check_expression_type(broker, &subscription.data.expression_type)?;
    let is_by_origin = broker.settings().broker.filter_support_retry && header.topic.starts_with(names::RETRY_PREFIX);
    Ok(match is_by_origin {
        true => PullFilter::Retries(name.to_owned()),
        false => PullFilter::Sql(filter),
    })
}

fn is_by_tags(expression_type: &str) -> bool {
    expression_type.is_empty() || expression_type == EXPRESSION_TAG
}

/// Refuses what is no filter by tags, unless others are allowed.
fn check_expression_type(broker: &Broker, expression_type: &str) -> Result<(), Failure> {
    if is_by_tags(expression_type) || broker.settings().broker.enable_property_filter {
        return Ok(());
    }
    Err(Failure::system(format!("The broker does not support consumer to filter message by {expression_type}")))
}

/// Checks a subscription before it is used.
pub(crate) fn check_subscription(broker: &Broker, data: &SubscriptionData) -> Result<(), Failure> {
    if data.is_tag_type() {
        return Ok(());
    }
    check_expression_type(broker, &data.expression_type)?;
    let refused = |remark: String| Err(Failure::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark));
    if data.expression_type != EXPRESSION_SQL92 {
        return refused(format!("there are no filters of type {}, only TAG and SQL92", data.expression_type));
    }
    Expression::parse(&data.sub_string).map(drop).or_else(|error| refused(error.to_string()))
}

/// What a pull is answered.
struct Answer {
    code: ResponseCode,
    header: PullMessageResponseHeader,
    result: GetResult,
}

/// Reads what the pull wants, and waits for the disk if it must.
fn read(broker: &Broker, pull: &Pull) -> Answer {
    let begin = Instant::now();
    let result = match pull.progress.take_reset() {
        Some(offset) => reset_to(broker, &pull.queue, offset),
        None => with_filter(broker, &pull.filter, |filter| {
            broker.store.get_filtered(&pull.queue, pull.queue_offset, &pull.limits, filter)
        }),
    };
    answer(broker, pull, result, begin.elapsed())
}

/// Reads with what the store asks for each message: its tags code and, where that does not decide, the extension of its
/// queue and the whole record.
fn with_filter<T>(broker: &Broker, filter: &PullFilter, read: impl FnOnce(Filter<'_>) -> T) -> T {
    let mut by_tags = |code| filter.matches(code);
    if !filter.needs_record() {
        return read(Filter { by_tags: &mut by_tags, by_extension: None, by_record: None });
    }
    let mut by_extension = |extension: &Extension, log_offset| filter.may_want(extension, log_offset);
    let mut by_record = |record: &[u8]| filter.matches_record(broker, record);
    read(Filter { by_tags: &mut by_tags, by_extension: Some(&mut by_extension), by_record: Some(&mut by_record) })
}

/// Reads what the pull wants if that is in memory, and not much work.
fn read_cached(broker: &Broker, pull: &Pull) -> Option<Answer> {
    if pull.filter.is_heavy() {
        return None;
    }
    let begin = Instant::now();
    let result = match pull.progress.take_reset() {
        Some(offset) => reset_to(broker, &pull.queue, offset),
        None => with_filter(broker, &pull.filter, |filter| {
            broker.store.get_cached_filtered(&pull.queue, pull.queue_offset, &pull.limits, filter)
        })?,
    };
    Some(answer(broker, pull, result, begin.elapsed()))
}

/// What is answered for what was read in that time.
fn answer(broker: &Broker, pull: &Pull, mut result: GetResult, took: Duration) -> Answer {
    broker.stats.note_get_time(took);
    let is_corrected = corrects_offsets(broker, result.status);
    if !is_corrected {
        result.next_offset = pull.queue_offset;
    }
    pull.progress.note_pulled(result.next_offset);
    let code = match result.status {
        GetStatus::Found => ResponseCode::SUCCESS,
        GetStatus::MessageWasRemoving | GetStatus::NoMatchedMessage => ResponseCode::PULL_RETRY_IMMEDIATELY,
        GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue if pull.queue_offset != 0 => {
            ResponseCode::PULL_OFFSET_MOVED
        }
        GetStatus::NoMatchedLogicQueue
        | GetStatus::NoMessageInQueue
        | GetStatus::OffsetFoundNull
        | GetStatus::OffsetOverflowOne => ResponseCode::PULL_NOT_FOUND,
        GetStatus::OffsetOverflowBadly | GetStatus::OffsetTooSmall | GetStatus::OffsetReset => {
            ResponseCode::PULL_OFFSET_MOVED
        }
    };
    // Who asked a slave for what it does not have asks the broker that the group reads from.
    let goes_elsewhere = !is_corrected && code == ResponseCode::PULL_OFFSET_MOVED;
    let code = if goes_elsewhere { ResponseCode::PULL_RETRY_IMMEDIATELY } else { code };
    match result.status {
        GetStatus::Found => {
            Counters::add(&broker.counters.pulls_found, 1);
            Counters::add(&broker.counters.messages_out, result.count as u64);
            pull.progress.note_read(result.count, result.bytes, took);
        }
        _ => Counters::add(&broker.counters.pulls_missed, 1),
    }
    let config = &broker.settings().broker;
    if config.disable_consume_if_consumer_read_slowly {
        match result.status {
            GetStatus::Found | GetStatus::NoMatchedMessage => pull.progress.note_behind(result.behind_bytes),
            GetStatus::OffsetOverflowOne => pull.progress.note_behind(0),
            _ => {}
        }
    }
    let suggested = match (config.slave_read_enable, result.suggest_slave) {
        _ if goes_elsewhere => pull.group.broker_id,
        (true, true) => pull.group.which_broker_when_consume_slowly,
        (true, false) => pull.group.broker_id,
        (false, _) => 0,
    };
    let header = PullMessageResponseHeader {
        suggest_which_broker_id: suggested,
        next_begin_offset: result.next_offset,
        min_offset: result.min_offset,
        max_offset: result.max_offset,
        topic_sys_flag: Some(pull.topic_sys_flag),
        group_sys_flag: Some(pull.group.group_sys_flag),
        ..PullMessageResponseHeader::default()
    };
    Answer { code, header, result }
}

/// Whether a reader that is outside of a queue is told where the queue begins or ends. A slave may be behind its master, so
/// there it is told only with `offsetCheckInSlave`. Java: `DefaultMessageStore.nextOffsetCorrection`.
fn corrects_offsets(broker: &Broker, status: GetStatus) -> bool {
    let is_inside = match status {
        GetStatus::Found | GetStatus::NoMatchedMessage | GetStatus::MessageWasRemoving | GetStatus::OffsetReset => true,
        GetStatus::OffsetFoundNull
        | GetStatus::OffsetOverflowBadly
        | GetStatus::OffsetOverflowOne
        | GetStatus::OffsetTooSmall
        | GetStatus::NoMatchedLogicQueue
        | GetStatus::NoMessageInQueue => false,
    };
    if is_inside {
        return true;
    }
    let store = &broker.settings().store;
    store.broker_role != BrokerRole::Slave || store.offset_check_in_slave
}

/// The answer to the first pull after the group's offset was set from outside.
fn reset_to(broker: &Broker, queue: &Queue, offset: i64) -> GetResult {
    let mut result = GetResult::no_queue();
    result.status = GetStatus::OffsetReset;
    result.next_offset = offset;
    result.min_offset = queue.min_offset();
    result.max_offset = broker.store.visible_end(queue).unwrap_or(offset);
    result
}

impl Answer {
    /// Writes the answer; the messages are slices of the log, sent without a copy.
    fn write(self, to: Exchange, out: &mut Output) {
        let Some(writer) = out.answer(to, self.code, Some(self.result.status.name())) else { return };
        let bytes = self.result.slices.iter().map(|slice| slice.len()).sum();
        writer.header(&self.header).finish_detached(bytes);
        for slice in self.result.slices {
            out.attach(slice);
        }
    }
}
