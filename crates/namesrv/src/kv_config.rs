//! The KV configuration: namespace to key to value, kept in one file.
//!
//! It belongs to this name server alone: administrators write to each of them. Brokers and clients read the namespace
//! [`ORDER_TOPIC_CONFIG`]. Java: `namesrv/…/namesrv/kvconfig/KVConfigManager.java`.

use std::io;
use std::path::{Path, PathBuf};

use raptormq_protocol::body::{KVConfigSerializeWrapper, KVTable};
use raptormq_protocol::json::{self, JsonError};
use thiserror::Error;

use crate::file;

/// The namespace that tells how many queues of a globally ordered topic each broker has.
/// Java: `NamesrvUtil.NAMESPACE_ORDER_TOPIC_CONFIG`.
pub(crate) const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// The KV configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KvConfig {
    table: KVConfigSerializeWrapper,
}

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum KvConfigError {
    /// It cannot be read.
    #[error("cannot read kvConfigPath {}: {reason}; check that it is a file and its permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It does not hold what it should.
    #[error("kvConfigPath {} is damaged: {reason}; repair it, or move it away to start without KV configuration", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: JsonError,
    },
}

impl KvConfig {
    /// Reads the file; none is an empty configuration. A damaged one is replaced by its `.bak` where there is one that
    /// can be read.
    pub(crate) fn load(path: &Path) -> Result<KvConfig, KvConfigError> {
        match KvConfig::read(path) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Ok(KvConfig::default()),
            Err(damaged) => match KvConfig::read(&file::sibling(path, ".bak")) {
                Ok(Some(before)) => {
                    tracing::warn!(%damaged, "the KV configuration is taken from the file before, .bak");
                    Ok(before)
                }
                _ => Err(damaged),
            },
        }
    }

    fn read(path: &Path) -> Result<Option<KvConfig>, KvConfigError> {
        let content = file::read(path).map_err(|reason| KvConfigError::Read { path: path.to_owned(), reason })?;
        let Some(content) = content else { return Ok(None) };
        match json::from_slice(&content) {
            Ok(table) => Ok(Some(KvConfig { table })),
            Err(reason) => Err(KvConfigError::Damaged { path: path.to_owned(), reason }),
        }
    }

    /// The file's content, as Java writes it.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, JsonError> {
        json::to_vec(&self.table)
    }

    /// The value of a key.
    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.table.config_table.get(namespace)?.get(key).map(String::as_str)
    }

    /// All keys of a namespace; `None` when nothing was ever put there.
    pub(crate) fn namespace(&self, namespace: &str) -> Option<KVTable> {
        self.table.config_table.get(namespace).map(|table| KVTable { table: table.clone() })
    }

    /// Sets a key.
    pub(crate) fn put(&mut self, namespace: &str, key: &str, value: &str) {
        self.table.config_table.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// Removes a key and says whether it was there. An empty namespace stays.
    pub(crate) fn delete(&mut self, namespace: &str, key: &str) -> bool {
        self.table.config_table.get_mut(namespace).is_some_and(|table| table.remove(key).is_some())
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.table.config_table.iter();
        let texts = tables.flat_map(|(name, table)| std::iter::once(name).chain(table.keys()).chain(table.values()));
        texts.map(String::len).sum()
    }

    /// Namespaces and keys together.
    pub(crate) fn len(&self) -> usize {
        self.table.config_table.values().map(|table| 1 + table.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> KvConfig {
        let mut kv = KvConfig::default();
        kv.put("N", "k", "v\u{e9}\"\n");
        kv.put("N", "l", "");
        kv.put(ORDER_TOPIC_CONFIG, "A", "a:4");
        kv
    }

    #[test]
    fn keys_are_found_where_they_were_put() {
        let mut kv = example();
        assert_eq!((kv.get("N", "l"), kv.get("N", "x"), kv.get("M", "l")), (Some(""), None, None));
        kv.put("N", "l", "2");
        assert_eq!(kv.namespace("N").unwrap().table["l"], "2");
        assert_eq!((kv.delete("N", "k"), kv.delete("N", "k"), kv.delete("M", "k")), (true, false, false));
        assert!(kv.delete("N", "l"));
        assert_eq!(kv.namespace("N"), Some(KVTable::default()), "an empty namespace is still one");
        assert_eq!(kv.namespace("M"), None);
        assert_eq!(kv.len(), 3);
    }

    #[test]
    fn the_file_is_the_one_that_java_writes() {
        let mut kv = KvConfig::default();
        kv.put("ORDER_TOPIC_CONFIG", "A", "broker-x:4");
        // Written by a name server 5.3.3, the order of the namespaces apart.
        assert_eq!(kv.to_json().unwrap(), br#"{"configTable":{"ORDER_TOPIC_CONFIG":{"A":"broker-x:4"}}}"#);
    }

    #[test]
    fn what_was_written_is_read_and_a_damaged_file_is_replaced_by_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kvConfig.json");
        assert_eq!(KvConfig::load(&path).unwrap(), KvConfig::default());
        file::replace(&path, &example().to_json().unwrap()).unwrap();
        assert_eq!(KvConfig::load(&path).unwrap(), example());
        file::replace(&path, b"{\"configTable\":{").unwrap();
        assert_eq!(KvConfig::load(&path).unwrap(), example(), "from .bak");
        std::fs::remove_file(file::sibling(&path, ".bak")).unwrap();
        let refusal = KvConfig::load(&path).unwrap_err().to_string();
        assert!(refusal.contains("kvConfig.json is damaged"), "{refusal}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = KvConfig::load(folder.path()).unwrap_err().to_string();
        assert!(refusal.starts_with("cannot read kvConfigPath"), "{refusal}");
    }
}
