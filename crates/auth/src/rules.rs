//! What the files say at one time: who is known, from where nobody needs to be.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

use raptormq_protocol::command::Command;

use crate::account::Account;
use crate::address::AddressRule;
use crate::error::{AclError, Denied};
use crate::file::{AccountConfig, Content, Version};
use crate::signature::{ACCESS_KEY, SIGNATURE};

/// Accounts and addresses of all files.
#[derive(Debug, Default)]
pub struct Rules {
    /// Addresses from which everything is allowed, as they are written.
    pub global_white_addresses: Vec<String>,
    /// The accounts, as they are written.
    pub configs: Vec<AccountConfig>,
    /// The version of each file.
    pub versions: BTreeMap<PathBuf, Version>,
    global: Vec<AddressRule>,
    accounts: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    account: Account,
    file: PathBuf,
}

impl Rules {
    /// Takes what a file says. An account that an earlier file has is passed over. A file without version was changed now.
    pub(crate) fn take(&mut self, path: PathBuf, content: Content, now_ms: i64) -> Result<(), AclError> {
        let in_file = |error: AclError| match error {
            error @ (AclError::File { .. } | AclError::Content { .. }) => error,
            // Not the message that shows a secret.
            AclError::ShortKey { access_key, .. } => AclError::Content {
                path: path.clone(),
                reason: format!("the keys of account {access_key} must be longer than 6 characters"),
            },
            error => AclError::Content { path: path.clone(), reason: error.to_string() },
        };
        for address in content.global_white_remote_addresses.into_iter().flatten() {
            self.global.push(AddressRule::parse(&address).map_err(in_file)?);
            self.global_white_addresses.push(address);
        }
        for config in content.accounts.into_iter().flatten() {
            let account = Account::new(&config).map_err(in_file)?;
            let name = account.access_key().to_owned();
            if self.accounts.contains_key(&name) {
                tracing::warn!(account = name, file = %path.display(), "an account stands in several ACL files; the first counts");
                continue;
            }
            self.accounts.insert(name, Known { account, file: path.clone() });
            self.configs.push(config);
        }
        let version = content.data_version.and_then(|versions| versions.first().copied());
        self.versions.insert(path, version.unwrap_or(Version { counter: 0, timestamp: now_ms }));
        Ok(())
    }

    /// Whose request this is; `None` when it comes from where nobody needs an account, and everything is allowed.
    ///
    /// # Errors
    /// It is not signed by an account that is known.
    pub fn authenticate(&self, request: &Command<'_>, address: IpAddr) -> Result<Option<&Account>, Denied> {
        if self.global.iter().any(|rule| rule.matches(address)) {
            return Ok(None);
        }
        let access_key = request.fields.get(ACCESS_KEY).ok_or(Denied::NoAccessKey)?;
        let known = self.accounts.get(access_key).ok_or_else(|| Denied::Unknown(access_key.to_owned()))?;
        let account = &known.account;
        if account.trusts(address) {
            return Ok(None);
        }
        let signature = request.fields.get(SIGNATURE).unwrap_or_default();
        match account.secret.has_signed(signature, request.fields.iter(), request.body) {
            true => Ok(Some(account)),
            false => Err(Denied::Signature(access_key.to_owned())),
        }
    }

    /// The file in which the account stands.
    pub(crate) fn file_of(&self, access_key: &str) -> Option<&PathBuf> {
        self.accounts.get(access_key).map(|known| &known.file)
    }
}
