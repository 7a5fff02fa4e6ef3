//! Commands of the original for what RaptorMQ does not have yet. Their options are known, so that help and mistakes are the
//! original's; then they say what is missing.

use crate::command::{Command, Kind, Opt, Run};

pub(crate) const ADD_BROKER: Command = Command {
    name: "addBroker",
    about: "Start a broker in a broker container",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "brokerContainerAddr", "The container, host:port").required(),
        Opt::value("b", "brokerConfigPath", "Configuration files of brokers").required(),
    ],
    run: Run::Absent("RaptorMQ does not have broker containers yet"),
};

pub(crate) const REMOVE_BROKER: Command = Command {
    name: "removeBroker",
    about: "Stop a broker in a broker container",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "brokerContainerAddr", "The container, host:port").required(),
        Opt::value("b", "brokerIdentity", "The broker: cluster:name:id").required(),
    ],
    run: Run::Absent("RaptorMQ does not have broker containers yet"),
};

pub(crate) const UPDATE_STATIC_TOPIC: Command = Command {
    name: "updateStaticTopic",
    about: "Create a topic whose queues keep their numbers wherever they are",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusters", "Clusters, with commas between").one_of(),
        Opt::value("b", "brokers", "Names of brokers, with commas between").one_of(),
        Opt::value("t", "topic", "Name of the topic").required(),
        Opt::value("qn", "totalQueueNum", "Queues of the topic").required(),
        Opt::value("mf", "mapFile", "A file that says where queues are"),
        Opt::value("fr", "forceReplace", "Whether to replace what there is, true or false"),
    ],
    run: Run::Absent("RaptorMQ does not have static topics yet"),
};

pub(crate) const REMAPPING_STATIC_TOPIC: Command = Command {
    name: "remappingStaticTopic",
    about: "Move the queues of a static topic to other brokers",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusters", "Clusters, with commas between").one_of(),
        Opt::value("b", "brokers", "Names of brokers, with commas between").one_of(),
        Opt::value("t", "topic", "Name of the topic").required(),
        Opt::value("mf", "mapFile", "A file that says where queues are"),
        Opt::value("fr", "forceReplace", "Whether to replace what there is, true or false"),
    ],
    run: Run::Absent("RaptorMQ does not have static topics yet"),
};

pub(crate) const EXPORT_METADATA_IN_ROCKS_DB: Command = Command {
    name: "exportMetadataInRocksDB",
    about: "Show metadata that RocksDB keeps",
    kind: Kind::Shows,
    options: &[
        Opt::value("p", "path", "Folder of the data").required(),
        Opt::value("t", "configType", "topics or subscriptionGroups").required(),
        Opt::value("j", "jsonEnable", "Whether to print JSON, true or false"),
    ],
    run: Run::Absent("RaptorMQ does not have RocksDB yet"),
};

pub(crate) const EXPORT_POP_RECORD: Command = Command {
    name: "exportPopRecord",
    about: "Move the records of pop consumers into topics",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster"),
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        Opt::value("d", "dryRun", "Whether only to show what would be done, true or false"),
    ],
    run: Run::Absent("RaptorMQ does not have pop consumers yet"),
};

pub(crate) const GET_SYNC_STATE_SET: Command = Command {
    name: "getSyncStateSet",
    about: "Show which brokers of a group are in sync",
    kind: Kind::Shows,
    options: &[
        Opt::value("a", "controllerAddress", "Controllers, host:port, with ; between").required(),
        Opt::value("c", "clusterName", "All brokers of this cluster"),
        Opt::value("b", "brokerName", "Name of the broker"),
        Opt::value("i", "interval", "Show it again every so many seconds"),
    ],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const GET_BROKER_EPOCH: Command = Command {
    name: "getBrokerEpoch",
    about: "Show the epochs of a broker's log",
    kind: Kind::Shows,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster"),
        Opt::value("b", "brokerName", "Name of the broker"),
        Opt::value("i", "interval", "Show it again every so many seconds"),
    ],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const GET_CONTROLLER_META_DATA: Command = Command {
    name: "getControllerMetaData",
    about: "Show the controllers and their leader",
    kind: Kind::Shows,
    options: &[Opt::value("a", "controllerAddress", "Controllers, host:port, with ; between").required()],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const GET_CONTROLLER_CONFIG: Command = Command {
    name: "getControllerConfig",
    about: "Show the settings of controllers",
    kind: Kind::Shows,
    options: &[Opt::value("a", "controllerAddress", "Controllers, host:port, with ; between").required()],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const UPDATE_CONTROLLER_CONFIG: Command = Command {
    name: "updateControllerConfig",
    about: "Change a setting of controllers while they run",
    kind: Kind::Changes,
    options: &[
        Opt::value("a", "controllerAddress", "Controllers, host:port, with ; between").required(),
        Opt::value("k", "key", "Key of the setting").required(),
        Opt::value("v", "value", "Its new value").required(),
    ],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const ELECT_MASTER: Command = Command {
    name: "electMaster",
    about: "Have the controller choose a master",
    kind: Kind::Changes,
    options: &[
        Opt::value("a", "controllerAddress", "Controllers, host:port, with ; between").required(),
        Opt::value("b", "brokerId", "Id of the broker").required(),
        Opt::value("bn", "brokerName", "Name of the broker").required(),
        Opt::value("c", "clusterName", "All brokers of this cluster").required(),
    ],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const CLEAN_BROKER_METADATA: Command = Command {
    name: "cleanBrokerMetadata",
    about: "Remove what the controller knows of a broker",
    kind: Kind::Changes,
    options: &[
        Opt::value("a", "controllerAddress", "Controllers, host:port, with ; between").required(),
        Opt::value("b", "brokerControllerIdsToClean", "Ids to remove, with ; between"),
        Opt::value("bn", "brokerName", "Name of the broker").required(),
        Opt::value("c", "clusterName", "All brokers of this cluster"),
        Opt::flag("l", "cleanLivingBroker", "Even when it is alive"),
    ],
    run: Run::Absent("RaptorMQ does not have the controller yet"),
};

pub(crate) const GET_COLD_DATA_FLOW_CTR_INFO: Command = Command {
    name: "getColdDataFlowCtrInfo",
    about: "Show how much groups read from disk",
    kind: Kind::Shows,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        Opt::value("c", "clusterName", "All brokers of this cluster"),
    ],
    run: Run::Absent("RaptorMQ does not have flow control of cold reads yet"),
};

pub(crate) const UPDATE_COLD_DATA_FLOW_CTR_GROUP_CONFIG: Command = Command {
    name: "updateColdDataFlowCtrGroupConfig",
    about: "Limit how much a group may read from disk",
    kind: Kind::Changes,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        Opt::value("c", "clusterName", "All brokers of this cluster"),
        Opt::value("g", "consumerGroup", "Name of the group").required(),
        Opt::value("v", "threshold", "Bytes a second").required(),
    ],
    run: Run::Absent("RaptorMQ does not have flow control of cold reads yet"),
};

pub(crate) const REMOVE_COLD_DATA_FLOW_CTR_GROUP_CONFIG: Command = Command {
    name: "removeColdDataFlowCtrGroupConfig",
    about: "Remove a group's limit of reading from disk",
    kind: Kind::Changes,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        Opt::value("c", "clusterName", "All brokers of this cluster"),
        Opt::value("g", "consumerGroup", "Name of the group").required(),
    ],
    run: Run::Absent("RaptorMQ does not have flow control of cold reads yet"),
};

pub(crate) const CREATE_USER: Command = Command {
    name: "createUser",
    about: "Create a user",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("u", "username", "Name of the user").required(),
        Opt::value("p", "password", "The password").required(),
        Opt::value("t", "userType", "Super or Normal"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const UPDATE_USER: Command = Command {
    name: "updateUser",
    about: "Change a user",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("u", "username", "Name of the user").required(),
        Opt::value("p", "password", "The password").one_of_others(),
        Opt::value("t", "userType", "Super or Normal").one_of_others(),
        Opt::value("s", "userStatus", "enable or disable").one_of_others(),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const DELETE_USER: Command = Command {
    name: "deleteUser",
    about: "Delete a user",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("u", "username", "Name of the user").required(),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const GET_USER: Command = Command {
    name: "getUser",
    about: "Show a user",
    kind: Kind::Shows,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("u", "username", "Name of the user"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const LIST_USER: Command = Command {
    name: "listUser",
    about: "List users",
    kind: Kind::Shows,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("f", "filter", "Part of the name"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const COPY_USER: Command = Command {
    name: "copyUser",
    about: "Copy users from one broker to another",
    kind: Kind::Changes,
    options: &[
        Opt::value("f", "fromBroker", "The broker that has them, host:port").required(),
        Opt::value("t", "toBroker", "The broker that gets them, host:port").required(),
        Opt::value("u", "usernames", "Names, with commas between"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const CREATE_ACL: Command = Command {
    name: "createAcl",
    about: "Create a rule of who may do what",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("s", "subject", "The user: User:name").required(),
        Opt::value("r", "resources", "What it is about, with commas between").required(),
        Opt::value("a", "actions", "What may be done, with commas between").required(),
        Opt::value("i", "sourceIp", "From which addresses"),
        Opt::value("d", "decision", "Allow or Deny").required(),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const UPDATE_ACL: Command = Command {
    name: "updateAcl",
    about: "Change a rule of who may do what",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("s", "subject", "The user: User:name").required(),
        Opt::value("r", "resources", "What it is about, with commas between").required(),
        Opt::value("a", "actions", "What may be done, with commas between").required(),
        Opt::value("d", "decision", "Allow or Deny").required(),
        Opt::value("i", "sourceIp", "From which addresses"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const DELETE_ACL: Command = Command {
    name: "deleteAcl",
    about: "Delete a rule of who may do what",
    kind: Kind::Changes,
    options: &[
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("s", "subject", "The user: User:name").required(),
        Opt::value("r", "resources", "What it is about, with commas between"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const GET_ACL: Command = Command {
    name: "getAcl",
    about: "Show the rules for a user",
    kind: Kind::Shows,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("s", "subject", "The user: User:name"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const LIST_ACL: Command = Command {
    name: "listAcl",
    about: "List the rules of who may do what",
    kind: Kind::Shows,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port").one_of(),
        Opt::value("c", "clusterName", "All brokers of this cluster").one_of(),
        Opt::value("s", "subject", "The user: User:name"),
        Opt::value("r", "resource", "What it is about"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

pub(crate) const COPY_ACL: Command = Command {
    name: "copyAcl",
    about: "Copy rules from one broker to another",
    kind: Kind::Changes,
    options: &[
        Opt::value("f", "fromBroker", "The broker that has them, host:port").required(),
        Opt::value("t", "toBroker", "The broker that gets them, host:port").required(),
        Opt::value("s", "subjects", "Users, with commas between"),
    ],
    run: Run::Absent("RaptorMQ does not have access control 2.0 yet"),
};

/// What two commands call the option that every command has.
const NAMESERVERS: Opt = Opt::value("n", "nameserverAddr", "Name servers to ask, host:port, with ; between");

pub(crate) const ROCKS_DBCONFIG_TO_JSON: Command = Command {
    name: "rocksDBConfigToJson",
    about: "Write metadata that RocksDB keeps as JSON",
    kind: Kind::Shows,
    options: &[
        Opt::value("t", "configType", "topics or subscriptionGroups"),
        Opt::value("p", "configPath", "Folder of the data"),
        Opt::value("e", "exportFile", "The file to write to"),
        Opt::value("j", "jsonEnable", "Whether to print JSON, true or false"),
        Opt::value("c", "cluster", "The cluster"),
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        NAMESERVERS,
    ],
    run: Run::Absent("RaptorMQ does not have RocksDB yet"),
};

pub(crate) const CHECK_ROCKSDB_CQ_WRITE_PROGRESS: Command = Command {
    name: "checkRocksdbCqWriteProgress",
    about: "Compare queues in files with those in RocksDB",
    kind: Kind::Shows,
    options: &[
        Opt::value("c", "cluster", "The cluster").required(),
        Opt::value("t", "topic", "Name of the topic"),
        Opt::value("cf", "checkFrom", "From this moment on, milliseconds since 1970"),
        NAMESERVERS.required(),
    ],
    run: Run::Absent("RaptorMQ does not have RocksDB yet"),
};
