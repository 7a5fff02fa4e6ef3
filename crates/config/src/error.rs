//! Why a configuration is refused. Every text says what, where and what to do.

use std::path::PathBuf;

/// A value that its key does not take. Whoever knows where it came from turns it into a [`ConfigError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value}: expected {expected}")]
pub struct BadValue {
    /// The key as it was given.
    pub key: String,
    /// The text that was refused.
    pub value: String,
    /// What the key takes.
    pub expected: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {}: {reason}; check the path given with -c and its permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is not a properties file.
    #[error("{} line {line}: {reason}; write key=value, and a backslash as \\\\", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of the file has a value that it does not take.
    #[error("{origin}: {value}; correct the value, or remove the line to use the default {default}")]
    Value {
        /// File and line, or what else the value came from.
        origin: String,
        /// Key, value and what was expected.
        value: BadValue,
        /// The default of the key on this machine.
        default: String,
    },
    /// Keys that may not be changed while the process runs, or that no family has.
    #[error("{key}: {reason}")]
    Refused {
        /// The key.
        key: String,
        /// Why it may not be changed.
        reason: &'static str,
    },
    /// `namesrvAddr` is not a list of host:port. RocketMQ's own sentence.
    #[error("The Name Server Address[{0}] illegal, please set it as follows, \"127.0.0.1:9876;192.168.0.1:9876\"")]
    NamesrvAddr(String),
    /// A slave without an id of its own. RocketMQ's own sentence.
    #[error("Slave's brokerId must be > 0")]
    SlaveId,
    /// Two ways of electing a master at once. RocketMQ's own sentence.
    #[error("The config enableControllerMode and enableDLegerCommitLog cannot both be true.")]
    ControllerAndDledger,
    /// Access control without a place for its accounts.
    #[error(
        "aclEnable=true: set ROCKETMQ_HOME, or rocketmqHome in the config file; the accounts are in conf/plain_acl.yml there"
    )]
    NoAclHome,
    /// Something that RocketMQ can and this version cannot, and that must not be ignored.
    #[error("{setting}: this version of RaptorMQ {cannot}; remove the setting to run without")]
    Unsupported {
        /// The setting as it would stand in the file.
        setting: String,
        /// What it cannot do, as the end of a sentence.
        cannot: &'static str,
    },
}
