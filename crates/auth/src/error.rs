//! Why a request is refused, and why accounts cannot be used.

use std::path::PathBuf;

use thiserror::Error;

/// Why a request is refused. The texts are the original's. Java: `acl/plain/PlainPermissionManager.java`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denied {
    /// It names no account.
    #[error("No accessKey is configured")]
    NoAccessKey,
    /// There is no such account.
    #[error("No acl config for {0}")]
    Unknown(String),
    /// It was not signed with the account's secret.
    #[error("Check signature failed for accessKey={0}")]
    Signature(String),
    /// The account is not an administrator's.
    #[error("Need admin permission for request code={code}, but accessKey={access_key} is not")]
    NotAdmin {
        /// The request's code.
        code: i32,
        /// The account.
        access_key: String,
    },
    /// The account may not do that with the topic.
    #[error("No default permission for topic:{0}")]
    Topic(String),
    /// The account may not consume in the group.
    #[error("No default permission for group:{0}")]
    Group(String),
}

/// Why accounts cannot be read or changed. Those that answer an administrator are the original's.
#[derive(Debug, Error)]
pub enum AclError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that everybody could guess.
    #[error("The accessKey={access_key} and secretKey={secret_key} cannot be null and length should longer than 6")]
    ShortKey {
        /// What was given, or `null`.
        access_key: String,
        /// What was given, or `null`.
        secret_key: String,
    },
    /// A permission that is not of the form name=permission.
    #[error(
        "Parse Resource format error for {0}.\nThe expected resource format is 'Res=Perm'. For example: topicA=SUB"
    )]
    ResourceFormat(String),
    /// A permission that is none.
    #[error(
        "Parse resource permission error for {0}.\n\
         The expected permissions are 'SUB' or 'PUB' or 'SUB|PUB' or 'PUB|SUB'."
    )]
    ResourcePermission(String),
    /// An address that is none.
    #[error("Netaddress examine Exception netaddress is {0}")]
    Address(String),
}
