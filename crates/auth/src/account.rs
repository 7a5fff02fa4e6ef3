//! An account: its secret, and what it may do.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use crate::address::AddressRule;
use crate::error::{AclError, Denied};
use crate::file::AccountConfig;
use crate::permission::{self, Permissions};
use crate::signature::Secret;

/// Keys of this length are too short. Java: `AclConstants.ACCESS_KEY_MIN_LENGTH`, `SECRET_KEY_MIN_LENGTH`.
const KEY_BYTES_TOO_FEW: usize = 6;

/// What the names of groups' retry topics begin with: whoever names one means the group.
const RETRY_PREFIX: &str = "%RETRY%";

/// The topic of message traces, to which every account may send. Java: `TopicValidator.RMQ_SYS_TRACE_TOPIC`.
pub(crate) const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";

/// Someone who signs requests, and what they may do.
pub struct Account {
    access_key: String,
    pub(crate) secret: Secret,
    address: AddressRule,
    is_admin: bool,
    default_topic: Permissions,
    default_group: Permissions,
    topics: HashMap<String, Permissions>,
    groups: HashMap<String, Permissions>,
}

impl Account {
    /// Reads what a file or an administrator says of an account.
    ///
    /// # Errors
    /// It has no proper keys, or a permission or an address that is none.
    pub(crate) fn new(config: &AccountConfig) -> Result<Account, AclError> {
        let (access_key, secret_key) = keys(config)?;
        let table = |resources: &Option<Vec<String>>| -> Result<HashMap<String, Permissions>, AclError> {
            let pairs = resources.iter().flatten().map(|resource| permission::split(resource));
            pairs.map(|pair| pair.map(|(name, permissions)| (name.to_owned(), permissions))).collect()
        };
        let default = |word: &Option<String>| Permissions::parse(word.as_deref().unwrap_or_default());
        Ok(Account {
            access_key: access_key.to_owned(),
            secret: Secret::new(secret_key),
            address: AddressRule::parse(config.white_remote_address.as_deref().unwrap_or_default())?,
            is_admin: config.admin,
            default_topic: default(&config.default_topic_perm),
            default_group: default(&config.default_group_perm),
            topics: table(&config.topic_perms)?,
            groups: table(&config.group_perms)?,
        })
    }

    /// Its name.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Whether requests from there need no signature of this account.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.address.matches(address)
    }

    /// Whether it is an administrator's.
    ///
    /// # Errors
    /// It is not.
    pub fn check_admin(&self, code: i32) -> Result<(), Denied> {
        match self.is_admin {
            true => Ok(()),
            false => Err(Denied::NotAdmin { code, access_key: self.access_key.clone() }),
        }
    }

    /// Whether it may do that with a topic; the retry topic of a group stands for the group.
    ///
    /// # Errors
    /// It may not.
    pub fn check_topic(&self, topic: &str, needed: Permissions) -> Result<(), Denied> {
        if let Some(group) = topic.strip_prefix(RETRY_PREFIX) {
            return self.check_group(group);
        }
        let is_trace = topic == TRACE_TOPIC && needed == Permissions::PUB;
        let owned = self.topics.get(topic).copied().unwrap_or(self.default_topic);
        match is_trace || self.is_unrestricted() || owned.include(needed) {
            true => Ok(()),
            false => Err(Denied::Topic(topic.to_owned())),
        }
    }

    /// Whether it may consume in a group.
    ///
    /// # Errors
    /// It may not.
    pub fn check_group(&self, group: &str) -> Result<(), Denied> {
        let owned = self.groups.get(group).copied().unwrap_or(self.default_group);
        match self.is_unrestricted() || owned.include(Permissions::SUB) {
            true => Ok(()),
            false => Err(Denied::Group(group.to_owned())),
        }
    }

    /// An administrator's account in which no permissions are written may do everything.
    fn is_unrestricted(&self) -> bool {
        self.is_admin && self.topics.is_empty() && self.groups.is_empty()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Name and secret, if they are long enough.
fn keys(config: &AccountConfig) -> Result<(&str, &str), AclError> {
    let (access_key, secret_key) = (config.access_key.as_deref(), config.secret_key.as_deref());
    match (access_key, secret_key) {
        (Some(access), Some(secret)) if access.len().min(secret.len()) > KEY_BYTES_TOO_FEW => Ok((access, secret)),
        _ => Err(AclError::ShortKey {
            access_key: access_key.unwrap_or("null").to_owned(),
            secret_key: secret_key.unwrap_or("null").to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AccountConfig {
        AccountConfig {
            access_key: Some("RocketMQ".into()),
            secret_key: Some("12345678".into()),
            default_group_perm: Some("SUB".into()),
            topic_perms: Some(vec!["a=DENY".into(), "b=PUB|SUB".into(), "c=SUB".into()]),
            group_perms: Some(vec!["g=DENY".into()]),
            ..AccountConfig::default()
        }
    }

    #[test]
    fn what_is_not_written_has_the_default() {
        let account = Account::new(&config()).unwrap();
        let cases = [
            ("a", Permissions::SUB, false),
            ("b", Permissions::PUB, true),
            ("b", Permissions::SUB, true),
            ("c", Permissions::PUB, false),
            ("c", Permissions::SUB, true),
            ("other", Permissions::SUB, false),
            ("%RETRY%g", Permissions::PUB, false),
            ("%RETRY%h", Permissions::PUB, true),
            ("%RETRY%h", Permissions::SUB, true),
            (TRACE_TOPIC, Permissions::PUB, true),
            (TRACE_TOPIC, Permissions::SUB, false),
        ];
        for (topic, needed, is_allowed) in cases {
            assert_eq!(account.check_topic(topic, needed).is_ok(), is_allowed, "{topic} {needed:?}");
        }
        assert_eq!(account.check_group("g"), Err(Denied::Group("g".into())));
        assert_eq!(account.check_group("h"), Ok(()));
        assert_eq!(
            account.check_admin(17).unwrap_err().to_string(),
            "Need admin permission for request code=17, but accessKey=RocketMQ is not"
        );
    }

    #[test]
    fn an_administrator_may_everything_unless_something_is_written() {
        let all = AccountConfig { admin: true, topic_perms: None, group_perms: None, ..config() };
        assert_eq!(Account::new(&all).unwrap().check_topic("a", Permissions::PUB), Ok(()));
        let some = AccountConfig { admin: true, ..config() };
        assert_eq!(Account::new(&some).unwrap().check_topic("x", Permissions::PUB), Err(Denied::Topic("x".into())));
        assert_eq!(Account::new(&some).unwrap().check_admin(17), Ok(()));
    }

    #[test]
    fn keys_must_be_long_enough() {
        let short = AccountConfig { secret_key: None, ..config() };
        assert_eq!(
            Account::new(&short).unwrap_err().to_string(),
            "The accessKey=RocketMQ and secretKey=null cannot be null and length should longer than 6"
        );
        assert!(Account::new(&AccountConfig { access_key: Some("123456".into()), ..config() }).is_err());
    }
}
