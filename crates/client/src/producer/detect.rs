//! Asks brokers that could not be reached whether they can be again.
//!
//! Java: `latency/LatencyFaultToleranceImpl.java` (`detectByOneRound`), and the detector of `DefaultMQProducerImpl`.

use std::sync::Weak;
use std::time::Duration;

use futures_util::future::join_all;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::GetMaxOffsetRequestHeader;
use raptormq_remoting::Request;
use tokio::time::Instant;

use super::Shared;

/// Time between two questions to one broker (Java: `detectInterval`).
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a broker may take to answer (Java: `detectTimeout`).
const TIMEOUT: Duration = Duration::from_millis(200);

/// Asks until the producer is gone.
pub(super) async fn run(producer: Weak<Shared>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(shared) = producer.upgrade() else { return };
        let Some(faults) = &shared.faults else { return };
        let due = faults.due(INTERVAL, Instant::now());
        let ask = |broker: String| {
            let shared = &shared;
            async move {
                if answers(shared, &broker).await {
                    faults.reached(&broker, Instant::now());
                }
            }
        };
        join_all(due.into_iter().map(ask)).await;
    }
}

/// Whether a broker says where a queue ends. What it says does not matter.
async fn answers(shared: &Shared, broker: &str) -> bool {
    let Some((topic, address)) = shared.client.master_of(broker) else { return false };
    let header = GetMaxOffsetRequestHeader { topic: &topic, queue_id: 0, ..GetMaxOffsetRequestHeader::default() };
    let request = Request::new(RequestCode::GET_MAX_OFFSET).header(&header);
    shared.client.remoting().call(&address, request, TIMEOUT).await.is_ok()
}
