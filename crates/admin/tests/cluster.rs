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
    call_with(cluster, line, BTreeMap::new()).await
}

/// As [`call`], with system properties.
async fn call_with(cluster: &Cluster, line: &str, system_properties: BTreeMap<String, String>) -> Outcome {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    words.extend(["-n".to_owned(), cluster.namesrv_addr().to_owned()]);
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let invocation = Invocation { style: Style::Raptormq, words, system_properties };
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
        ("updateTopic -c DefaultCluster -t T -r 0".to_owned(), "-r 0: 1 or more is expected"),
        ("updateTopic -c DefaultCluster -t T -w -3".to_owned(), "-w -3: 1 or more is expected"),
        ("updateSubGroup -c DefaultCluster -g g -r -1".to_owned(), "-r -1: 0 or more is expected"),
        // What the original says on standard output only.
        ("consumeMessage -t Orders -i 0".to_owned(), "-i needs -b"),
        ("consumeMessage -t Orders -c 0".to_owned(), "-c must be 1 or more"),
        ("sendMessage -t Orders -p hello -i 0".to_owned(), "-i needs -b"),
        ("updateTopicList -c DefaultCluster -f /no/such/file".to_owned(), "/no/such/file: No such file"),
        ("updateSubGroupList -c DefaultCluster -f /no/such/file".to_owned(), "/no/such/file: No such file"),
        ("dumpCompactionLog".to_owned(), "name it with -f"),
        ("dumpCompactionLog -f /no/such/file".to_owned(), "/no/such/file: No such file"),
        ("dumpCompactionLog -f /".to_owned(), "/: a file is expected"),
        ("resetOffsetByTime -g g -t Orders -s yesterday".to_owned(), "a time is expected"),
        (format!("sendMsgStatus -b nobody -n {server}"), "there is no broker nobody"),
    ] {
        let said = refused(&cluster, &line).await;
        assert!(said.contains(hint), "{line}: {said}");
    }
    ok(&cluster, &format!("updateBrokerConfig -b {address} -k waitTimeMillsInSendQueue -v 321")).await;
    let settings = ok(&cluster, &format!("getBrokerConfig -b {address}")).await;
    assert!(settings.contains(&format!("{:<50}=  321\n", "waitTimeMillsInSendQueue")), "{settings}");
    let mode = ok(&cluster, &format!("setCommitLogReadAheadMode -b {address} -m 1")).await;
    assert!(mode.ends_with("rstStrset commitlog readahead mode success, mode: 1\n"), "{mode}");
    let settings = ok(&cluster, &format!("getBrokerConfig -b {address}")).await;
    assert!(settings.contains(&format!("{:<50}=  false\n", "dataReadAheadEnable")), "{settings}");
    assert!(refused(&cluster, "setCommitLogReadAheadMode -c DefaultCluster -m 7").await.contains("0 or 1"));
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

#[tokio::test]
async fn a_slave_is_not_given_topics_and_groups_of_its_own() {
    let cluster = Cluster::start().await.unwrap();
    ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 1 -w 1").await;
    ok(&cluster, "updateSubGroup -c DefaultCluster -g readers").await;
    let mut slave = cluster.slave(1, &[]).await.unwrap();
    let address = slave.addr();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.json").display().to_string();
    std::fs::write(&list, r#"[{"topicName":"More","groupName":"more"}]"#).unwrap();
    for line in [
        "updateTopic -t More".to_owned(),
        format!("updateTopicList -f {list}"),
        "updateSubGroup -g more".to_owned(),
        format!("updateSubGroupList -f {list}"),
        "deleteSubGroup -g readers".to_owned(),
    ] {
        let said = refused(&cluster, &format!("{line} -b {address}")).await;
        assert!(said.contains(&format!("{address} is a slave")), "{line}: {said}");
    }
    slave.stop().await;
    cluster.shutdown().await;
}

/// The records that a command prints with `--json`.
async fn records(cluster: &Cluster, line: &str) -> Vec<serde_json::Value> {
    let out = ok(cluster, &format!("{line} --json")).await;
    out.lines().map(|line| serde_json::from_str(line).expect("each line is a record")).collect()
}

#[tokio::test]
async fn what_is_shown_can_be_had_in_json() {
    let cluster = Cluster::start().await.unwrap();
    let address = cluster.broker_addr().to_owned();
    ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 1 -w 1").await;
    assert!(records(&cluster, "topicList").await.contains(&serde_json::json!({ "topic": "Orders" })));
    let route = records(&cluster, "topicRoute -t Orders").await;
    assert_eq!((route.len(), &route[0]["readQueueNums"], &route[0]["perm"]), (1, &1.into(), &6.into()));
    let sent = records(&cluster, "sendMessage -t Orders -p hello").await;
    assert_eq!(sent[0]["sendResult"], "SEND_OK");
    let found = records(&cluster, &format!("queryMsgById -t Orders -i {}", sent[0]["msgId"].as_str().unwrap())).await;
    assert_eq!((&found[0]["queueOffset"], &found[0]["tracks"]), (&0.into(), &serde_json::json!([])));
    let printed = records(&cluster, "printMsg -t Orders").await;
    assert_eq!((printed.len(), &printed[0]["body"]), (1, &"hello".into()));
    let status = records(&cluster, &format!("brokerStatus -b {address}")).await;
    assert_eq!(status[0]["figures"]["brokerVersionDesc"], "V5_3_3");
    let replication = records(&cluster, "haStatus -c DefaultCluster").await;
    assert_eq!((&replication[0]["address"], &replication[0]["haStatus"]["master"]), (&address.into(), &true.into()));
    let said = refused_as(&cluster, "updateTopic -c DefaultCluster -t Orders --json", 2).await;
    assert_eq!(said, "mqadmin updateTopic: there is no --json here, only --dry-run, --strict-exit\n");
    assert!(refused_as(&cluster, "topicList --watch 0", 2).await.contains("a number of seconds is expected"));
    cluster.shutdown().await;
}

/// As [`refused`], with this status.
async fn refused_as(cluster: &Cluster, line: &str, status: u8) -> String {
    let outcome = call(cluster, line).await;
    assert_eq!((outcome.status, outcome.errors.lines().count()), (status, 1), "{line}: {outcome:?}");
    outcome.errors
}

/// What commands that change something could have changed.
async fn state(cluster: &Cluster) -> Vec<String> {
    let mut all = Vec::new();
    for line in [
        "topicList",
        "topicRoute -t Orders",
        "topicStatus -t Orders",
        "getConsumerConfig -g readers",
        "consumerProgress -g readers",
        &format!("getBrokerConfig -b {}", cluster.broker_addr()),
    ] {
        all.push(ok(cluster, line).await);
    }
    all
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let cluster = Cluster::start().await.unwrap();
    let address = cluster.broker_addr().to_owned();
    ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 1 -w 1").await;
    ok(&cluster, "sendMessage -t Orders -p hello").await;
    ok(&cluster, "updateSubGroup -c DefaultCluster -g readers").await;
    ok(&cluster, &format!("resetOffsetByTime -g readers -t Orders -s 0 -b {address} -q 0 -o 1")).await;
    ok(&cluster, "updateKvConfig -s N -k k -v v").await;
    let before = state(&cluster).await;
    for line in [
        "deleteTopic -c DefaultCluster -t Orders".to_owned(),
        "deleteSubGroup -c DefaultCluster -g readers -r true".to_owned(),
        "resetOffsetByTime -g readers -t Orders -s 0".to_owned(),
        format!("resetOffsetByTime -g readers -t Orders -s 0 -b {address} -q 0 -o 0"),
        "skipAccumulatedMessage -g readers -t Orders".to_owned(),
        "cloneGroupOffset -s readers -d heirs -t Orders".to_owned(),
        "updateTopic -c DefaultCluster -t More -o true".to_owned(),
        "updateTopicPerm -c DefaultCluster -t Orders -p 4".to_owned(),
        "updateOrderConf -t Orders -m delete".to_owned(),
        "deleteKvConfig -s N -k k".to_owned(),
        format!("wipeWritePerm -b {}", cluster.broker_name()),
        format!("updateBrokerConfig -b {address} -k waitTimeMillsInSendQueue -v 321"),
        "cleanUnusedTopic".to_owned(),
        "cleanExpiredCQ".to_owned(),
        "deleteExpiredCommitLog".to_owned(),
        "setConsumeMode -c DefaultCluster -t Orders -g readers -m POP".to_owned(),
    ] {
        let said = ok(&cluster, &format!("{line} --dry-run")).await;
        assert!(!said.is_empty() && said.lines().all(|said| said.starts_with("would ")), "{line}: {said}");
    }
    assert_eq!(state(&cluster).await, before);
    cluster.shutdown().await;
}

#[tokio::test]
async fn requests_are_signed_with_the_keys_of_tools_yml() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("conf")).unwrap();
    let accounts = "accounts:\n- accessKey: operators\n  secretKey: 12345678\n  admin: true\n";
    std::fs::write(home.path().join("conf/plain_acl.yml"), accounts).unwrap();
    let path = home.path().to_str().unwrap().to_owned();
    let cluster = Cluster::builder().set("aclEnable", "true").set("rocketmqHome", &path).start().await.unwrap();
    let line = "updateTopic -c DefaultCluster -t Orders -r 1 -w 1";
    let properties = BTreeMap::from([("rocketmq.home.dir".to_owned(), path)]);
    // There is no file yet.
    let refused = call_with(&cluster, line, properties.clone()).await;
    assert_eq!((refused.status, refused.errors.lines().count()), (1, 1), "{refused:?}");
    for (secret, status) in [("87654321", 1), ("12345678", 0)] {
        let keys = format!("accessKey: operators\nsecretKey: {secret}\n");
        std::fs::write(home.path().join("conf/tools.yml"), keys).unwrap();
        let outcome = call_with(&cluster, line, properties.clone()).await;
        assert_eq!((outcome.status, outcome.errors.is_empty()), (status, status == 0), "{outcome:?}");
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn what_brokers_have_is_exported() {
    let cluster = Cluster::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (path, address) = (folder.path().display(), cluster.broker_addr());
    ok(&cluster, "updateTopic -c DefaultCluster -t Orders -r 1 -w 1").await;
    ok(&cluster, "updateSubGroup -c DefaultCluster -g readers").await;
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    let said = ok(&cluster, &format!("exportMetadata -b {address} -t -f {path}")).await;
    assert_eq!(said, format!("export {path}/topic.json success"));
    let topics = read("topic.json")["topicConfigTable"].as_object().unwrap().clone();
    assert_eq!(topics.keys().collect::<Vec<_>>(), ["Orders"]);
    ok(&cluster, &format!("exportMetadata -b {address} -g -f {path}")).await;
    assert_eq!(read("subscriptionGroup.json")["subscriptionGroupTable"].as_object().unwrap().len(), 1);
    ok(&cluster, &format!("exportMetadata -c DefaultCluster -f {path}")).await;
    assert_eq!(read("metadata.json")["subscriptionGroupTable"]["readers"]["retryMaxTimes"], 16);
    ok(&cluster, &format!("exportConfigs -c DefaultCluster -f {path}")).await;
    assert_eq!(read("configs.json")["clusterScale"]["masterBrokerSize"], 1);
    ok(&cluster, &format!("exportMetrics -c DefaultCluster -f {path}")).await;
    let metrics = read("metrics.json");
    assert_eq!(metrics["evaluateReport"][cluster.broker_name()]["runtimeQuota"]["topicSize"], 1);
    assert_eq!(metrics["totalData"]["totalOneDayNum"]["normalOneDayInNum"], 0);
    cluster.shutdown().await;
}
