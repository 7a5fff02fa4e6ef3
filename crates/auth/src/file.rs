//! The files with accounts: `plain_acl.yml` and its like, read and edited. Java: `acl/common/AclUtils.java`,
//! `common/PlainAccessConfig.java`.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_yaml_ng::{Mapping, Value};

use crate::error::AclError;

const ACCOUNTS: &str = "accounts";
const ACCESS_KEY: &str = "accessKey";
const GLOBAL_WHITE_ADDRESSES: &str = "globalWhiteRemoteAddresses";
const DATA_VERSION: &str = "dataVersion";

/// An account as it is written in a file and shown to administrators. What is not written is not there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AccountConfig {
    /// Its name.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Whether it is an administrator's.
    #[serde(deserialize_with = "flag")]
    pub admin: bool,
    /// What it may do with groups that are not listed.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub default_group_perm: Option<String>,
    /// What it may do with topics that are not listed.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub default_topic_perm: Option<String>,
    /// `group=permission`.
    #[serde(deserialize_with = "texts", skip_serializing_if = "Option::is_none")]
    pub group_perms: Option<Vec<String>>,
    /// What it signs with.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// `topic=permission`.
    #[serde(deserialize_with = "texts", skip_serializing_if = "Option::is_none")]
    pub topic_perms: Option<Vec<String>>,
    /// From where requests need no signature.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub white_remote_address: Option<String>,
}

impl fmt::Debug for AccountConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountConfig").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// How often a file was changed by administrators, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Changes.
    pub counter: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// What stands in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Content {
    #[serde(deserialize_with = "texts")]
    pub(crate) global_white_remote_addresses: Option<Vec<String>>,
    pub(crate) accounts: Option<Vec<AccountConfig>>,
    pub(crate) data_version: Option<Vec<Version>>,
}

impl Content {
    /// Reads a file; an empty one has nothing, and so has one that is not there.
    pub(crate) fn read(path: &Path) -> Result<Content, AclError> {
        let value = read(path)?;
        let content: Option<Content> = serde_yaml_ng::from_value(value).map_err(|error| content(path, &error))?;
        Ok(content.unwrap_or_default())
    }
}

/// A change of a file.
pub(crate) enum Edit<'e> {
    /// Make an account, or change what is said of it.
    Put(&'e AccountConfig),
    /// Remove an account.
    Delete(&'e str),
    /// Addresses that need no account.
    GlobalAddresses(&'e [String]),
}

/// Changes a file as a whole and safely on disk; keys that nobody knows stay. `false` when there is nothing to change.
pub(crate) fn edit(path: &Path, edit: &Edit<'_>, now_ms: i64) -> Result<bool, AclError> {
    let mut file = match read(path)? {
        Value::Mapping(file) => file,
        Value::Null => Mapping::new(),
        _ => return Err(content(path, &"it is no mapping")),
    };
    let is_changed = match edit {
        Edit::Put(account) => put(path, &mut file, account)?,
        Edit::Delete(access_key) => match file.get_mut(ACCOUNTS) {
            Some(Value::Sequence(accounts)) => {
                let before = accounts.len();
                accounts.retain(|account| !is_of(account, access_key));
                accounts.len() < before
            }
            _ => false,
        },
        Edit::GlobalAddresses(addresses) => {
            file.insert(GLOBAL_WHITE_ADDRESSES.into(), addresses.to_vec().into());
            true
        }
    };
    if !is_changed {
        return Ok(false);
    }
    let version = file.get(DATA_VERSION).cloned().unwrap_or(Value::Null);
    let version: Option<Vec<Version>> = serde_yaml_ng::from_value(version).map_err(|error| content(path, &error))?;
    let counter = version.and_then(|versions| versions.first().copied()).unwrap_or_default().counter;
    let next = vec![Version { counter: counter.wrapping_add(1), timestamp: now_ms }];
    file.insert(DATA_VERSION.into(), serde_yaml_ng::to_value(next).map_err(|error| content(path, &error))?);
    write(path, &Value::Mapping(file))?;
    Ok(true)
}

fn put(path: &Path, file: &mut Mapping, account: &AccountConfig) -> Result<bool, AclError> {
    let access_key = account.access_key.as_deref().unwrap_or_default();
    let Value::Mapping(said) = serde_yaml_ng::to_value(account).map_err(|error| content(path, &error))? else {
        return Ok(false);
    };
    let accounts = file.entry(ACCOUNTS.into()).or_insert(Value::Null);
    if accounts.is_null() {
        *accounts = Value::Sequence(Vec::new());
    }
    let Value::Sequence(accounts) = accounts else { return Err(content(path, &"`accounts` is no list")) };
    match accounts.iter_mut().find(|known| is_of(known, access_key)) {
        Some(Value::Mapping(known)) => known.extend(said),
        _ => accounts.push(Value::Mapping(said)),
    }
    Ok(true)
}

fn is_of(account: &Value, access_key: &str) -> bool {
    match account.get(ACCESS_KEY) {
        Some(Value::String(name)) => name == access_key,
        Some(Value::Number(name)) => name.to_string() == access_key,
        _ => false,
    }
}

fn read(path: &Path) -> Result<Value, AclError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(source) => return Err(AclError::File { path: path.into(), source }),
    };
    serde_yaml_ng::from_slice(&bytes).map_err(|error| content(path, &error))
}

/// Writes aside and renames: who reads it meanwhile sees the old file or the new one.
fn write(path: &Path, value: &Value) -> Result<(), AclError> {
    let text = serde_yaml_ng::to_string(value).map_err(|error| content(path, &error))?;
    let aside = path.with_extension("tmp");
    let replace = || {
        let mut file = File::create(&aside)?;
        if let Ok(there) = std::fs::metadata(path) {
            file.set_permissions(there.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    replace().map_err(|source| AclError::File { path: path.into(), source })
}

fn content(path: &Path, reason: &dyn fmt::Display) -> AclError {
    AclError::Content { path: path.into(), reason: reason.to_string() }
}

/// A scalar as a text: people write keys of digits without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Flag(bool),
    Number(serde_yaml_ng::Number),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Scalar::Text(text) => text,
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Number(number) => number.to_string(),
        }
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(deserializer)?.map(Scalar::into_text))
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(text(deserializer)?.is_some_and(|word| word.eq_ignore_ascii_case("true")))
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    struct Texts;
    impl<'de> Visitor<'de> for Texts {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(scalar) = list.next_element::<Option<Scalar>>()? {
                texts.extend(scalar.map(Scalar::into_text));
            }
            Ok(Some(texts))
        }
    }
    deserializer.deserialize_any(Texts)
}
