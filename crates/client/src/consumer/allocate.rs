//! Which of a topic's queues each member of a group takes. Every member computes it by itself from the same sorted lists,
//! so all of them, those written in Java among them, must be set to the same strategy.
//!
//! Mirrors `client/consumer/rebalance/*.java`; `golden/vectors/allocations.json` holds what those classes answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use md5::{Digest, Md5};
use raptormq_protocol::allocate::Strategy;
use raptormq_protocol::body::MessageQueue;

/// Points on the ring for each member (Java: `AllocateMessageQueueConsistentHash`).
const VIRTUAL_NODES: usize = 10;

/// Whether a room, by its name, has brokers or clients: see [`Allocation::NearbyMachineRoom`].
type RoomOf<T> = Arc<dyn Fn(&T) -> String + Send + Sync>;

/// A strategy of the program's own: the queues, the members and this client's id, both lists sorted.
type Custom = Arc<dyn Fn(&[MessageQueue], &[String], &str) -> Vec<MessageQueue> + Send + Sync>;

/// How the queues of a topic are dealt out among the members of a group. All members must use the same.
#[derive(Clone, Default)]
#[non_exhaustive]
#[doc(alias = "AllocateMessageQueueStrategy")]
pub enum Allocation {
    /// Each member gets a run of neighbouring queues; the first ones get one more when it does not come out even.
    #[default]
    #[doc(alias = "AllocateMessageQueueAveragely")]
    Averagely,
    /// The queues are dealt out one by one, round and round.
    #[doc(alias = "AllocateMessageQueueAveragelyByCircle")]
    ByCircle,
    /// Members and queues lie on a ring of hashes, so that few queues move when a member comes or goes; shares differ
    /// in size. `virtual_nodes` is how many points each member has on the ring: 10 in Java unless set.
    #[doc(alias = "AllocateMessageQueueConsistentHash")]
    ConsistentHash {
        /// Points of each member; at least 1 is used.
        virtual_nodes: usize,
    },
    /// This member takes exactly these queues, whoever else there is.
    #[doc(alias = "AllocateMessageQueueByConfig")]
    ByConfig(Vec<MessageQueue>),
    /// Only queues of brokers in these rooms are dealt out: those whose broker name is `room@name` with one of the rooms.
    #[doc(alias = "AllocateMessageQueueByMachineRoom")]
    ByMachineRoom(BTreeSet<String>),
    /// Members take the queues of their own room, by the strategy `base`; those of rooms without members are dealt out
    /// among all.
    #[doc(alias = "AllocateMachineRoomNearby")]
    NearbyMachineRoom {
        /// How the queues of a room are dealt out.
        base: Box<Allocation>,
        /// The room that a queue's broker stands in.
        broker_room: RoomOf<MessageQueue>,
        /// The room that a client, given by its id, stands in.
        client_room: RoomOf<str>,
    },
    /// By a function of the program's own: made by [`Allocation::custom`].
    Custom(Custom),
}

impl Allocation {
    /// [`Allocation::ConsistentHash`] with as many points as Java's clients have.
    pub fn consistent_hash() -> Allocation {
        Allocation::ConsistentHash { virtual_nodes: VIRTUAL_NODES }
    }

    /// [`Allocation::NearbyMachineRoom`] over `base`, with the functions that tell a queue's and a client's room.
    pub fn nearby(
        base: Allocation,
        broker_room: impl Fn(&MessageQueue) -> String + Send + Sync + 'static,
        client_room: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Allocation {
        let (broker_room, client_room) = (Arc::new(broker_room), Arc::new(client_room));
        Allocation::NearbyMachineRoom { base: Box::new(base), broker_room, client_room }
    }

    /// A strategy of the program's own: gets the topic's queues, the ids of the group's members and this client's id,
    /// both lists sorted, and answers with this client's queues. Whatever is not in the list of queues is ignored.
    pub fn custom(
        share: impl Fn(&[MessageQueue], &[String], &str) -> Vec<MessageQueue> + Send + Sync + 'static,
    ) -> Allocation {
        Allocation::Custom(Arc::new(share))
    }

    /// The share of the client `me`; both lists are sorted. Nothing for a client that is not a member, but for
    /// [`Allocation::ByConfig`].
    pub fn share(&self, queues: &[MessageQueue], members: &[String], me: &str) -> Vec<MessageQueue> {
        match self {
            Allocation::Averagely => Strategy::Averagely.share(queues, members, me),
            Allocation::ByCircle => Strategy::ByCircle.share(queues, members, me),
            Allocation::ConsistentHash { virtual_nodes } => Ring::new(members, *virtual_nodes).share(queues, me),
            Allocation::ByConfig(mine) => mine.clone(),
            Allocation::ByMachineRoom(rooms) => by_machine_room(rooms, queues, members, me),
            Allocation::NearbyMachineRoom { base, broker_room, client_room } => {
                nearby(base, (broker_room, client_room), (queues, members), me)
            }
            Allocation::Custom(share) => share(queues, members, me),
        }
    }

    /// The name by which Java calls the strategy.
    pub fn name(&self) -> &'static str {
        match self {
            Allocation::Averagely => "AVG",
            Allocation::ByCircle => "AVG_BY_CIRCLE",
            Allocation::ConsistentHash { .. } => "CONSISTENT_HASH",
            Allocation::ByConfig(_) => "CONFIG",
            Allocation::ByMachineRoom(_) => "MACHINE_ROOM",
            Allocation::NearbyMachineRoom { .. } => "MACHINE_ROOM_NEARBY",
            Allocation::Custom(_) => "CUSTOM",
        }
    }
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allocation::NearbyMachineRoom { base, .. } => write!(f, "MACHINE_ROOM_NEARBY-{base:?}"),
            other => f.write_str(other.name()),
        }
    }
}

/// The hashes of the members' points, each with the member it belongs to.
struct Ring<'a>(BTreeMap<u32, &'a str>);

impl<'a> Ring<'a> {
    fn new(members: &'a [String], virtual_nodes: usize) -> Ring<'a> {
        let points = |member: &'a String| {
            (0..virtual_nodes.max(1)).map(move |number| (hash(&format!("{member}-{number}")), member.as_str()))
        };
        Ring(members.iter().flat_map(points).collect())
    }

    fn share(&self, queues: &[MessageQueue], me: &str) -> Vec<MessageQueue> {
        queues.iter().filter(|queue| self.owner(queue) == Some(me)).cloned().collect()
    }

    /// The member whose point comes next, round the ring.
    fn owner(&self, queue: &MessageQueue) -> Option<&'a str> {
        let next = self.0.range(hash(&queue.to_string())..).next().or_else(|| self.0.first_key_value());
        next.map(|(_, member)| *member)
    }
}

/// The first four bytes of the MD5 sum.
fn hash(text: &str) -> u32 {
    let sum = Md5::digest(text.as_bytes());
    u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]])
}

fn by_machine_room(
    rooms: &BTreeSet<String>,
    queues: &[MessageQueue],
    members: &[String],
    me: &str,
) -> Vec<MessageQueue> {
    let Some(index) = members.iter().position(|member| member == me) else { return Vec::new() };
    let in_rooms: Vec<&MessageQueue> = queues.iter().filter(|queue| is_in(&queue.broker_name, rooms)).collect();
    let (each, rest) = (in_rooms.len() / members.len(), in_rooms.len() % members.len());
    let run = in_rooms.iter().skip(each * index).take(each);
    let extra = in_rooms.get(each * members.len() + index).filter(|_| index < rest);
    run.chain(extra).map(|queue| (*queue).clone()).collect()
}

/// Whether a broker `room@name` stands in one of the rooms.
fn is_in(broker_name: &str, rooms: &BTreeSet<String>) -> bool {
    let mut parts = broker_name.split('@');
    let room = parts.next().unwrap_or_default();
    parts.next().is_some_and(|name| !name.is_empty()) && parts.next().is_none() && rooms.contains(room)
}

fn nearby(
    base: &Allocation,
    (broker_room, client_room): (&RoomOf<MessageQueue>, &RoomOf<str>),
    (queues, members): (&[MessageQueue], &[String]),
    me: &str,
) -> Vec<MessageQueue> {
    if !members.iter().any(|member| member == me) {
        return Vec::new();
    }
    let mut queues_by_room: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
    for queue in queues {
        queues_by_room.entry(broker_room(queue)).or_default().push(queue.clone());
    }
    let mut members_by_room: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in members {
        members_by_room.entry(client_room(member)).or_default().push(member.clone());
    }
    let mut mine = Vec::new();
    let here = client_room(me);
    if let Some(queues) = queues_by_room.remove(&here) {
        mine.extend(base.share(&queues, members_by_room.get(&here).map_or(&[][..], Vec::as_slice), me));
    }
    for (_, queues) in queues_by_room.iter().filter(|(room, _)| !members_by_room.contains_key(*room)) {
        mine.extend(base.share(queues, members, me));
    }
    mine
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn texts(list: &Value) -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    fn queue(text: &str) -> MessageQueue {
        let (broker_name, id) = text.rsplit_once('/').unwrap();
        MessageQueue { topic: "TopicTest".into(), broker_name: broker_name.into(), queue_id: id.parse().unwrap() }
    }

    fn queues(list: &Value) -> Vec<MessageQueue> {
        texts(list).iter().map(|text| queue(text)).collect()
    }

    fn strategy(vector: &Value) -> Allocation {
        match vector["name"].as_str().unwrap() {
            "AVG" => Allocation::Averagely,
            "AVG_BY_CIRCLE" => Allocation::ByCircle,
            "CONSISTENT_HASH" => {
                Allocation::ConsistentHash { virtual_nodes: vector["virtualNodes"].as_u64().unwrap() as usize }
            }
            "CONFIG" => Allocation::ByConfig(queues(&vector["config"])),
            "MACHINE_ROOM" => Allocation::ByMachineRoom(texts(&vector["rooms"]).into_iter().collect()),
            "MACHINE_ROOM_NEARBY" => {
                let base = match vector["base"].as_str().unwrap() {
                    "AVG" => Allocation::Averagely,
                    base => panic!("{base}"),
                };
                let room = |name: &str| name.split(['@', '-']).next().unwrap().to_owned();
                Allocation::nearby(base, move |queue| room(&queue.broker_name), room)
            }
            name => panic!("unknown strategy {name}"),
        }
    }

    #[test]
    fn every_share_is_the_one_that_java_computes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/vectors/allocations.json");
        let vectors: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(vectors.len() > 500);
        for vector in &vectors {
            let (queues_all, members) = (queues(&vector["queues"]), texts(&vector["members"]));
            let me = vector["me"].as_str().unwrap();
            let share = strategy(vector).share(&queues_all, &members, me);
            assert_eq!(share, queues(&vector["share"]), "{vector}");
        }
    }

    #[test]
    fn nobody_takes_anything_in_a_group_it_is_not_in() {
        let (all, members) = (vec![queue("a@b/0")], vec!["c".to_owned()]);
        let rooms = Allocation::ByMachineRoom(["a".to_owned()].into());
        for strategy in [Allocation::Averagely, Allocation::consistent_hash(), rooms] {
            assert_eq!(strategy.share(&all, &members, "stranger"), [], "{strategy:?}");
            assert_eq!(strategy.share(&all, &[], "stranger"), [], "{strategy:?}");
        }
    }
}
