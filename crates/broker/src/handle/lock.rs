//! Locks on queues for those who consume in order (41, 42). Java: `processor/AdminBrokerProcessor.java`.

use raptormq_protocol::body::{LockBatchRequestBody, LockBatchResponseBody, UnlockBatchRequestBody};
use raptormq_protocol::json;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;

/// LOCK_BATCH_MQ (41).
pub(crate) fn lock(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let body: LockBatchRequestBody = json::from_slice(call.request.body).map_err(Failure::body)?;
    let locked = broker.locks.lock(&body.consumer_group, &body.client_id, body.mq_set, broker.now_ms());
    call.success_json(&LockBatchResponseBody { lock_ok_mq_set: locked })
}

/// UNLOCK_BATCH_MQ (42).
pub(crate) fn unlock(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let body: UnlockBatchRequestBody = json::from_slice(call.request.body).map_err(Failure::body)?;
    broker.locks.unlock(&body.consumer_group, &body.client_id, &body.mq_set);
    Ok(call.success())
}
