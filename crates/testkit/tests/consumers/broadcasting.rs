//! Broadcasting consumers: everybody gets everything, and remembers by itself where it is.

use super::*;

#[tokio::test]
async fn every_member_gets_all_in_order_and_goes_on_where_its_own_file_says() {
    let (cluster, peer) = cluster(2).await;
    for number in 0..10 {
        peer.send(TOPIC, number % 2, number.to_string()).await;
    }
    let homes = [cluster.folder().join("one"), cluster.folder().join("two")];
    let seen = [Seen::default(), Seen::default()];
    for (home, seen) in homes.iter().zip(&seen) {
        let consumer = keeping(builder(&cluster).await.broadcast().orderly().offsets_home(home), seen).await;
        eventually("all", || seen.lock().len() == 10).await;
        consumer.shutdown().await;
        for queue in 0..2 {
            let of_queue =
                seen.lock().iter().filter(|message| message.queue_id() == queue).map(text).collect::<Vec<_>>();
            assert!(of_queue.is_sorted());
        }
    }
    peer.send(TOPIC, 0, "later").await;
    let again = Seen::default();
    let consumer = keeping(builder(&cluster).await.broadcast().offsets_home(&homes[0]), &again).await;
    eventually("the new one", || !again.lock().is_empty()).await;
    consumer.shutdown().await;
    assert_eq!(texts(&again), ["later"]);
    assert_eq!(peer.consumer_offset(GROUP, TOPIC, 0).await, None);
}
