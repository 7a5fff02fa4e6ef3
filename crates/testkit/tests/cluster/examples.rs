//! The example that needs a cluster with accounts; the others are run by `tests/examples.rs`.
#![allow(dead_code, unreachable_pub, reason = "the main function of the example")]

use raptormq_testkit::{Cluster, PATIENCE};

#[path = "../../../client/examples/access_control.rs"]
mod access_control;

#[tokio::test]
async fn the_example_with_an_account_runs_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    let account = "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  admin: false\n  defaultTopicPerm: PUB|SUB\n  \
                   defaultGroupPerm: PUB|SUB\n";
    std::fs::write(folder.path().join("conf/plain_acl.yml"), account).unwrap();
    let home = folder.path().to_string_lossy().into_owned();
    let cluster = Cluster::builder().set("aclEnable", "true").set("rocketmqHome", &home).start().await.unwrap();
    let run = access_control::run(cluster.namesrv_addr(), "RocketMQ", "12345678");
    tokio::time::timeout(PATIENCE, run).await.expect("in time").unwrap();
    cluster.shutdown().await;
}
