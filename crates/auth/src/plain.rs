//! The accounts of a broker: read from its files, read again when these change, changed by administrators.
//! Java: `acl/plain/PlainPermissionManager.java`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use crate::account::Account;
use crate::address::AddressRule;
use crate::error::AclError;
use crate::file::{self, AccountConfig, Content, Edit, Version};
use crate::permission;
use crate::rules::Rules;

/// Folders in folders beyond are not looked into: links may go round.
const FOLDERS_DEEP: usize = 8;

/// The accounts, and where they are kept.
pub struct PlainAcl {
    /// Every `.yml` and `.yaml` below is read.
    folder: PathBuf,
    /// Where accounts are made.
    default_file: PathBuf,
    rules: ArcSwap<Rules>,
    /// What the files looked like when they were read; held while they are read or changed.
    seen: Mutex<Vec<Trait>>,
}

/// How a file looks from outside.
type Trait = (PathBuf, Option<SystemTime>, u64);

impl PlainAcl {
    /// Reads the files of the home folder: `conf/acl` and what is below, then `default_file`, which need not exist.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn open(home: &Path, default_file: &Path, now_ms: i64) -> Result<PlainAcl, AclError> {
        let acl = PlainAcl {
            folder: home.join("conf").join("acl"),
            default_file: home.join(default_file),
            rules: ArcSwap::default(),
            seen: Mutex::default(),
        };
        let mut seen = acl.seen.lock();
        *seen = acl.look();
        let rules = acl.read(&seen, now_ms)?;
        drop(seen);
        acl.rules.store(Arc::new(rules));
        Ok(acl)
    }

    /// What the files say.
    pub fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// The version of the file in which accounts are made.
    pub fn version(&self) -> Version {
        self.rules.load().versions.get(&self.default_file).copied().unwrap_or_default()
    }

    /// Reads the files again if one of them has changed; `true` when they are in effect. As long as one cannot be used,
    /// what was read before stays.
    ///
    /// # Errors
    /// A file that cannot be used. It is not said again before the file changes.
    pub fn reload(&self, now_ms: i64) -> Result<bool, AclError> {
        let mut seen = self.seen.lock();
        let now = self.look();
        if now == *seen {
            return Ok(false);
        }
        *seen = now;
        self.rules.store(Arc::new(self.read(&seen, now_ms)?));
        Ok(true)
    }

    /// Makes an account, or changes what is said of it.
    ///
    /// # Errors
    /// It would not be usable, or the file cannot be changed; nothing has changed then.
    pub fn put(&self, account: &AccountConfig, now_ms: i64) -> Result<(), AclError> {
        Account::new(&AccountConfig { topic_perms: None, group_perms: None, ..account.clone() })?;
        let mut resources = account.topic_perms.iter().chain(&account.group_perms).flatten();
        resources.try_for_each(|resource| permission::check(resource))?;
        let access_key = account.access_key.as_deref().unwrap_or_default();
        let file = self.rules.load().file_of(access_key).unwrap_or(&self.default_file).clone();
        self.edit(&file, &Edit::Put(account), now_ms).map(drop)
    }

    /// Removes an account; `false` when there is none of that name.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub fn delete(&self, access_key: &str, now_ms: i64) -> Result<bool, AclError> {
        match self.rules.load().file_of(access_key).cloned() {
            Some(file) => self.edit(&file, &Edit::Delete(access_key), now_ms),
            None => Ok(false),
        }
    }

    /// Sets the addresses of a file from which everything is allowed; without a file, of the one in which accounts are made.
    /// `false` when `file` is none of those that were read: no other is touched.
    ///
    /// # Errors
    /// An address that is none, or the file cannot be changed.
    pub fn set_global_addresses(
        &self,
        addresses: &[String],
        file: Option<&Path>,
        now_ms: i64,
    ) -> Result<bool, AclError> {
        addresses.iter().try_for_each(|address| AddressRule::parse(address).map(drop))?;
        let file = file.unwrap_or(&self.default_file);
        if file != self.default_file && !self.rules.load().versions.contains_key(file) {
            return Ok(false);
        }
        self.edit(file, &Edit::GlobalAddresses(addresses), now_ms)
    }

    fn edit(&self, path: &Path, edit: &Edit<'_>, now_ms: i64) -> Result<bool, AclError> {
        let mut seen = self.seen.lock();
        let is_changed = file::edit(path, edit, now_ms)?;
        *seen = self.look();
        self.rules.store(Arc::new(self.read(&seen, now_ms)?));
        Ok(is_changed)
    }

    fn read(&self, files: &[Trait], now_ms: i64) -> Result<Rules, AclError> {
        let mut rules = Rules::default();
        for (path, ..) in files {
            rules.take(path.clone(), Content::read(path)?, now_ms)?;
        }
        Ok(rules)
    }

    /// The files in the order in which they count.
    fn look(&self) -> Vec<Trait> {
        let mut files = Vec::new();
        collect(&self.folder, FOLDERS_DEEP, &mut files);
        files.sort();
        if self.default_file.is_file() && !files.contains(&self.default_file) {
            files.push(self.default_file.clone());
        }
        let looks = |path: PathBuf| match std::fs::metadata(&path) {
            Ok(there) => (path, there.modified().ok(), there.len()),
            Err(_) => (path, None, 0),
        };
        files.into_iter().map(looks).collect()
    }
}

fn collect(folder: &Path, deep: usize, files: &mut Vec<PathBuf>) {
    // A folder that is not there has no files.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if deep > 0 {
                collect(&path, deep - 1, files);
            }
        } else if path.extension().is_some_and(|end| end == "yml" || end == "yaml") {
            files.push(path);
        }
    }
}
