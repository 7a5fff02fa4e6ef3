//! Which of a topic's queues each member of a group consumes.

use raptormq_protocol::body::MessageQueue;

/// The share of the client `me`: each member gets a run of neighbours, the first ones one queue more when it does not
/// come out even. All members compute it from the same sorted lists and so agree without talking to each other.
/// Nothing for a client that is not a member. Java: `AllocateMessageQueueAveragely`.
pub(crate) fn averagely(queues: &[MessageQueue], members: &[String], me: &str) -> Vec<MessageQueue> {
    let Some(index) = members.iter().position(|member| member == me) else {
        return Vec::new();
    };
    let (queue_count, member_count) = (queues.len(), members.len());
    let remainder = queue_count % member_count;
    let has_more = index < remainder;
    let size = if queue_count <= member_count { 1 } else { queue_count / member_count + usize::from(has_more) };
    let start = if has_more { index * size } else { index * size + remainder };
    queues.iter().skip(start).take(size).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        let queue = |queue_id| MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id };
        (0..count).map(queue).collect()
    }

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("c{number:02}")).collect()
    }

    #[test]
    fn every_queue_has_one_owner_and_shares_differ_by_one() {
        for queue_count in 0..40 {
            for member_count in 1..20 {
                let (queues, members) = (queues(queue_count), members(member_count));
                let shares: Vec<_> = members.iter().map(|me| averagely(&queues, &members, me)).collect();
                assert_eq!(shares.concat(), queues, "{queue_count} queues, {member_count} members");
                let sizes = shares.iter().map(Vec::len);
                assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn the_first_members_have_the_longer_runs() {
        let members = members(3);
        let ids = |me: &str| averagely(&queues(8), &members, me).iter().map(|queue| queue.queue_id).collect::<Vec<_>>();
        assert_eq!((ids("c00"), ids("c01"), ids("c02")), (vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]));
        assert!(ids("stranger").is_empty());
    }
}
