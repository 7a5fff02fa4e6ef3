//! Messages that are stored again: given back by a consumer, due after a delay, committed, or asked about.

use raptormq_protocol::message::record::RecordView;
use raptormq_store::{NewMessage, Staging};

use crate::broker::Broker;
use crate::hold;

/// The message of a record with everything that stays the same when it is stored again; the body stays compressed.
pub(crate) fn again<'a>(view: &RecordView<'a>, properties: &'a [&'a str]) -> NewMessage<'a> {
    NewMessage {
        flag: view.flag,
        sys_flag: view.sys_flag,
        born_timestamp_ms: view.born_timestamp_ms,
        born_host: view.born_host,
        store_host: view.store_host,
        reconsume_times: view.reconsume_times,
        prepared_transaction_offset: 0,
        body: view.body,
        properties,
    }
}

/// Appends what a thread outside of any turn has staged, and answers the pulls that wait for it.
pub(crate) fn append(broker: &Broker, staging: &mut Staging) {
    broker.store.append(staging);
    hold::wake(broker, staging);
}
