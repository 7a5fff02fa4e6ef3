//! Which of a topic's queues each member of a group consumes. Everybody who has the same sorted lists gets the same result,
//! so that clients need not talk to each other, and a broker that is asked gives out what they would have taken.
//!
//! Mirrors `client/consumer/rebalance/AllocateMessageQueueAveragely.java` and `AllocateMessageQueueAveragelyByCircle.java`.

/// A way to share queues out among the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Each member gets a run of neighbours, the first ones one queue more when it does not come out even.
    Averagely,
    /// The queues are dealt out one by one, round and round.
    ByCircle,
}

impl Strategy {
    /// The strategy that Java calls so; those that only clients know are none.
    pub fn from_name(name: &str) -> Option<Strategy> {
        match name {
            "AVG" => Some(Strategy::Averagely),
            "AVG_BY_CIRCLE" => Some(Strategy::ByCircle),
            _ => None,
        }
    }

    /// The share of the client `me` of `queues`; both lists are sorted. Nothing for a client that is not a member.
    pub fn share<Q: Clone>(self, queues: &[Q], members: &[impl AsRef<str>], me: &str) -> Vec<Q> {
        let Some(index) = members.iter().position(|member| member.as_ref() == me) else {
            return Vec::new();
        };
        match self {
            Strategy::Averagely => averagely(queues, members.len(), index),
            Strategy::ByCircle => queues.iter().skip(index).step_by(members.len()).cloned().collect(),
        }
    }
}

fn averagely<Q: Clone>(queues: &[Q], member_count: usize, index: usize) -> Vec<Q> {
    let remainder = queues.len() % member_count;
    let has_more = index < remainder;
    let size = if queues.len() <= member_count { 1 } else { queues.len() / member_count + usize::from(has_more) };
    let start = if has_more { index * size } else { index * size + remainder };
    queues.iter().skip(start).take(size).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("c{number:02}")).collect()
    }

    #[test]
    fn every_queue_has_one_owner_and_shares_differ_by_one() {
        for strategy in [Strategy::Averagely, Strategy::ByCircle] {
            for queue_count in 0..40 {
                for member_count in 1..20 {
                    let (queues, members) = ((0..queue_count).collect::<Vec<_>>(), members(member_count));
                    let shares: Vec<_> = members.iter().map(|me| strategy.share(&queues, &members, me)).collect();
                    let mut all = shares.concat();
                    all.sort_unstable();
                    assert_eq!(all, queues, "{queue_count} queues, {member_count} members");
                    let sizes = shares.iter().map(Vec::len);
                    assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
                }
            }
        }
    }

    #[test]
    fn shares_are_javas() {
        let (queues, members) = ((0..8).collect::<Vec<_>>(), members(3));
        let all = |strategy: Strategy| ["c00", "c01", "c02"].map(|me| strategy.share(&queues, &members, me));
        assert_eq!(all(Strategy::Averagely), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(all(Strategy::ByCircle), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert!(Strategy::Averagely.share(&queues, &members, "stranger").is_empty());
        assert_eq!((Strategy::from_name("AVG"), Strategy::from_name("CONFIG")), (Some(Strategy::Averagely), None));
    }
}
