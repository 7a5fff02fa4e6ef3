//! Decides who someone is and what they may do: the access control of RocketMQ 4.x.
//!
//! [`PlainAcl`] keeps the accounts of `conf/plain_acl.yml` and `conf/acl/*.yml`, reads them again when they change, and
//! changes them for administrators. [`Rules`] is what they say at one time: [`Rules::authenticate`] knows the sender of a
//! request by its signature, [`Account::check`] what it may do. [`Credentials`] signs. Nothing here knows a connection or a
//! request code's meaning: which resources a request needs is said by whoever handles it.

#![forbid(unsafe_code)]

mod account;
mod address;
mod error;
mod file;
mod permission;
mod plain;
mod rules;
mod signature;

pub use self::account::Account;
pub use self::address::AddressRule;
pub use self::error::{AclError, Denied};
pub use self::file::{AccountConfig, Version};
pub use self::permission::Permissions;
pub use self::plain::PlainAcl;
pub use self::rules::Rules;
pub use self::signature::Credentials;
