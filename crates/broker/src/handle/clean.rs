//! What tools have deleted at once: queues that nobody uses (306, 316) and old files of the log (329).
//! Java: `processor/AdminBrokerProcessor.java`, `store/queue/ConsumeQueueStore.java`.

use raptormq_protocol::code::ResponseCode;
use raptormq_store::{DoomedQueues, Queue};

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;

/// CLEAN_EXPIRED_CONSUMEQUEUE (306): deletes the queues whose messages are all gone and that their topic has no more, as
/// after a change to fewer queues.
///
/// The original deletes those of a topic in use as well: its queue would begin at 0 again, below what its consumers have
/// consumed, and they would miss messages.
pub(crate) fn expired_queues(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let is_expired = |queue: &Queue| queue.max_offset() > 0 && queue.min_offset() == queue.max_offset();
    Ok(delete(broker, call, broker.store.doomed_queues(|queue| is_expired(queue) && !has_queue(broker, queue))))
}

/// CLEAN_UNUSED_TOPIC (316): deletes the queues of topics that there are no more.
pub(crate) fn unused_topics(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let is_unused = |queue: &Queue| !has_topic(broker, queue);
    Ok(delete(broker, call, broker.store.doomed_queues(is_unused)))
}

/// DELETE_EXPIRED_COMMITLOG (329): deletes what is old enough, whatever the hour.
pub(crate) fn expired_files(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    tracing::info!(by = %call.peer.peer_addr(), "old files of the log are to be deleted");
    broker.store.delete_expired_files();
    Ok(call.success())
}

fn has_topic(broker: &Broker, queue: &Queue) -> bool {
    broker.topics.system.contains(&queue.topic) || broker.topics.get(&queue.topic).is_some()
}

/// Whether the queue is one that its topic has now, for writing or for reading.
fn has_queue(broker: &Broker, queue: &Queue) -> bool {
    let topic = broker.topics.get(&queue.topic);
    broker.topics.system.contains(&queue.topic) || topic.is_some_and(|topic| queue.queue_id < topic.queue_count())
}

/// Deletes queues on a thread that may wait for the disk, and answers then.
fn delete(broker: &Broker, call: &Call<'_, '_>, queues: DoomedQueues) -> Reply {
    let by = call.peer.peer_addr();
    broker.readers.tools.run(call.responder(), move |_, responder| match queues.delete() {
        Ok(count) => {
            tracing::info!(%by, count, "queues without use were deleted");
            responder.respond(ResponseCode::SUCCESS, None);
        }
        Err(error) => {
            let refused = format!("a queue could not be deleted: {error}");
            responder.respond(ResponseCode::SYSTEM_ERROR, Some(&refused));
        }
    });
    Reply::Done
}
