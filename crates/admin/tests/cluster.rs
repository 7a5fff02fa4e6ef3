//! Commands against a name server and a broker of ours: what they print, what they change, and what they refuse.

use std::collections::BTreeMap;

use raptormq_admin::{Invocation, Style, run_on};
use raptormq_testkit::Cluster;

/// What a command line did.
#[derive(Debug)]
struct Outcome {
    status: u8,
    out: String,
    errors: String,
}

/// Runs a command line whose words have blanks between, on a thread of its own: it starts a runtime.
async fn call(cluster: &Cluster, line: &str) -> Outcome {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    words.extend(["-n".to_owned(), cluster.namesrv_addr().to_owned()]);
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let invocation = Invocation { style: Style::Raptormq, words, system_properties: BTreeMap::new() };
        let status = run_on(invocation, &mut out, &mut errors);
        let text = |bytes| String::from_utf8(bytes).expect("commands print text");
        // Nobody waits when the test has ended before.
        drop(done.send(Outcome { status, out: text(out), errors: text(errors) }));
    });
    outcome.await.expect("a command ends")
}

/// As [`call`], and everything must have gone well; returns what was printed.
async fn ok(cluster: &Cluster, line: &str) -> String {
    let outcome = call(cluster, line).await;
    assert_eq!((outcome.status, outcome.errors.as_str()), (0, ""), "{line}: {outcome:?}");
    outcome.out
}

/// As [`call`], and one line must say what is wrong; returns it.
async fn refused(cluster: &Cluster, line: &str) -> String {
    let outcome = call(cluster, line).await;
    assert_eq!((outcome.status, outcome.errors.lines().count()), (1, 1), "{line}: {outcome:?}");
    outcome.errors
}

#[tokio::test]
async fn a_topic_from_its_making_to_its_end() {
    let cluster = Cluster::start().await.unwrap();
    let address = cluster.broker_addr().to_owned();
    let made = ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 2 -w 2").await;
    assert_eq!(
        made,
        format!(
            "create topic to {address} success.\nTopicConfig [topicName=Orders, readQueueNums=2, writeQueueNums=2, \
             perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={{}}]\n"
        )
    );
    assert!(ok(&cluster, "topicList").await.lines().any(|topic| topic == "Orders"));
    assert_eq!(ok(&cluster, "topicClusterList -t Orders").await, "DefaultCluster\n");
    assert!(ok(&cluster, "topicRoute -t Orders").await.contains("\t\t\t\"writeQueueNums\":2\n"));
    let perm = ok(&cluster, &format!("updateTopicPerm -b {address} -t Orders -p 4")).await;
    assert!(perm.starts_with(&format!("update topic perm from 6 to 4 in {address} success.\n")), "{perm}");
    let order = "updateOrderConf -t Orders -m put -v broker-a:2";
    assert_eq!(ok(&cluster, order).await, "update orderConf success. topic=[Orders], orderConf=[broker-a:2]");
    let deleted = ok(&cluster, "deleteTopic -c DefaultCluster -t Orders").await;
    assert!(deleted.ends_with("delete topic [Orders] from NameServer success.\n"), "{deleted}");
    assert!(refused(&cluster, "deleteTopic -c DefaultCluster -t Orders").await.contains("Orders"));
    assert!(refused(&cluster, "topicRoute -t Orders").await.contains("topicList shows"));
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_message_is_sent_and_found_in_every_way() {
    let cluster = Cluster::start().await.unwrap();
    let name = cluster.broker_name().to_owned();
    ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 2 -w 2").await;
    let sent = ok(&cluster, &format!("sendMessage -t Orders -p hello -c TagA -k k1 -b {name} -i 1")).await;
    let row = sent.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("{name:<32}  1     SEND_OK                 ")), "{row}");
    let id = row.rsplit(' ').next().unwrap().to_owned();
    let shown = ok(&cluster, &format!("queryMsgById -t Orders -i {id} -f UTF-8")).await;
    assert!(shown.contains("Tags:                [TagA]\n") && shown.ends_with("\n\n\nWARN: No Consumer"), "{shown}");
    assert!(shown.contains("Message Body:        hello\n"), "{shown}");
    let place = shown.lines().next().unwrap().rsplit(' ').next().unwrap();
    let by_place = ok(&cluster, &format!("queryMsgById -t Orders -i {place}")).await;
    assert!(by_place.contains(&format!("UNIQ_KEY={id}")), "{by_place}");
    let by_key = ok(&cluster, "queryMsgByKey -t Orders -k k1").await;
    assert!(by_key.lines().nth(1).unwrap().starts_with(&id), "{by_key}");
    assert!(
        ok(&cluster, &format!("queryMsgByUniqueKey -t Orders -i {id}"))
            .await
            .starts_with("Topic:               Orders")
    );
    let by_offset = ok(&cluster, &format!("queryMsgByOffset -t Orders -b {name} -i 1 -o 0")).await;
    assert!(by_offset.contains("MAX_OFFSET=1"), "{by_offset}");
    let printed = ok(&cluster, "printMsg -t Orders").await;
    assert!(printed.contains(&format!("MSGID: {id} MessageExt [brokerName={name}")), "{printed}");
    let counted = ok(&cluster, &format!("printMsgByQueue -t Orders -a {name} -i 1 -f true")).await;
    assert_eq!(counted, format!("Tag: {:<30} Count: 1\n", "TagA"));
    assert!(ok(&cluster, &format!("consumeMessage -t Orders -b {name} -i 1")).await.starts_with("Consume ok\nMSGID: "));
    assert!(ok(&cluster, "queryCq -t Orders -q 1 -i 0 -c 1").await.starts_with("Queue data: \nmax: 1, min: 0\n"));
    assert!(refused(&cluster, "queryMsgById -t Orders -i xyz").await.contains("no message xyz in topic Orders"));
    assert!(
        refused(&cluster, &format!("queryMsgByOffset -t Orders -b {name} -i 1 -o 9")).await.contains("from 0 to 1")
    );
    assert!(refused(&cluster, "printMsgByQueue -t Orders -a nobody -i 1").await.contains("it is on"));
    cluster.shutdown().await;
}

#[tokio::test]
async fn groups_brokers_and_name_servers_are_administrated() {
    let cluster = Cluster::start().await.unwrap();
    let (address, server) = (cluster.broker_addr().to_owned(), cluster.namesrv_addr().to_owned());
    ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 1 -w 1").await;
    ok(&cluster, "sendMessage -t Orders -p hello").await;
    assert!(ok(&cluster, "updateSubGroup -c DefaultCluster -g readers -r 3").await.contains("retryMaxTimes=3"));
    let reset = ok(&cluster, &format!("resetOffsetByTime -g readers -t Orders -s 0 -b {address} -q 0 -o 1")).await;
    assert!(reset.ends_with("reset consumer offset to 1\n"), "{reset}");
    let progress = ok(&cluster, "consumerProgress -g readers").await;
    assert!(progress.contains("Consume Diff Total: 0\n"), "{progress}");
    ok(&cluster, "updateSubGroup -c DefaultCluster -g heirs").await;
    ok(&cluster, "cloneGroupOffset -s readers -d heirs -t Orders").await;
    assert!(ok(&cluster, "consumerProgress -g heirs").await.contains("Orders"));
    assert!(
        ok(&cluster, "getConsumerConfig -g readers").await.contains("retryMaxTimes                           =  3\n")
    );
    ok(&cluster, &format!("deleteSubGroup -b {address} -g readers -r true")).await;
    for (line, hint) in [
        (format!("deleteSubGroup -b {address} -g readers"), "there is no consumer group readers"),
        ("consumerConnection -g nobody".to_owned(), "there is no consumer group nobody"),
        ("updateSubGroup -c DefaultCluster -g a/b".to_owned(), "letters, digits"),
        (format!("updateBrokerConfig -b {address} -k noSuchKey -v 1"), "no setting noSuchKey"),
        ("wipeWritePerm -b nobody".to_owned(), "there is no broker nobody"),
        ("deleteKvConfig -s N -k k".to_owned(), "there is no key k"),
        ("updateTopic -c DefaultCluster -t T -r four".to_owned(), "-r four: a whole number is expected"),
        ("resetOffsetByTime -g g -t Orders -s yesterday".to_owned(), "a time is expected"),
        (format!("sendMsgStatus -b nobody -n {server}"), "there is no broker nobody"),
    ] {
        let said = refused(&cluster, &line).await;
        assert!(said.contains(hint), "{line}: {said}");
    }
    ok(&cluster, &format!("updateBrokerConfig -b {address} -k waitTimeMillsInSendQueue -v 321")).await;
    let settings = ok(&cluster, &format!("getBrokerConfig -b {address}")).await;
    assert!(settings.contains(&format!("{:<50}=  321\n", "waitTimeMillsInSendQueue")), "{settings}");
    ok(&cluster, "updateKvConfig -s N -k k -v v").await;
    ok(&cluster, "deleteKvConfig -s N -k k").await;
    assert!(ok(&cluster, "getNamesrvConfig").await.starts_with(&format!("============{server}============\n")));
    assert!(ok(&cluster, "clusterList").await.contains(&address));
    assert!(
        ok(&cluster, &format!("brokerStatus -b {address}"))
            .await
            .contains("brokerVersionDesc               : V5_3_3\n")
    );
    assert_eq!(ok(&cluster, "cleanUnusedTopic").await, "success");
    assert!(ok(&cluster, "statsAll -t Orders").await.starts_with("#Topic "));
    cluster.shutdown().await;
}
