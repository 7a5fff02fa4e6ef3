//! What a process reads its properties into: all families of its role, fed by one file.

use std::fmt::Write as _;

use crate::error::ConfigError;
use crate::found;
use crate::key::{AnyFamily, Family, Key};
use crate::properties::{Entry, Properties};
use crate::store::BrokerRole;
use crate::{
    AuthConfig, BrokerConfig, ClientNetConfig, Environment, NamesrvConfig, ServerConfig, StoreConfig, TlsConfig,
    TlsMode,
};

/// Spellings that are still found in files, and what they are called now. As in RocketMQ they have no effect.
const RENAMED: &[(&str, &str)] = &[
    ("mapedFileSizeCommitLog", "mappedFileSizeCommitLog"),
    ("mapedFileSizeConsumeQueue", "mappedFileSizeConsumeQueue"),
];

/// The source of properties that are no file's.
const SYSTEM_PROPERTIES: &str = "-D";

/// Keys that guides name for what always lies in `storePathRootDir`, and where.
const IN_ROOT: &[(&str, &str)] = &[
    ("storePathConsumeQueue", "consumequeue"),
    ("storePathIndex", "index"),
    ("storeCheckpoint", "checkpoint"),
    ("abortFile", "abort"),
];

/// Keys that guides name and RocketMQ itself ignores, and why.
const WITHOUT_MEANING: &[(&str, &str)] = &[
    ("checkTransactionMessageEnable", "no key of RocketMQ: open transactions are always asked for"),
    ("rmqAddressServerDomain", "there is no address server client"),
    ("rmqAddressServerSubGroup", "there is no address server client"),
];

/// Everything that a broker can be configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerSettings {
    /// What the broker does.
    pub broker: BrokerConfig,
    /// How it listens.
    pub server: ServerConfig,
    /// How it connects to name servers.
    pub client: ClientNetConfig,
    /// How it keeps messages.
    pub store: StoreConfig,
    /// Whether it is encrypted.
    pub tls: TlsConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// The file says how many replicas must have a message (`inSyncReplicas`).
    pub is_in_sync_replicas_set: bool,
    environment: Environment,
}

impl BrokerSettings {
    /// The defaults on this machine: port 10911.
    pub fn new(environment: &Environment) -> BrokerSettings {
        BrokerSettings {
            broker: BrokerConfig::new(environment),
            server: ServerConfig::new(environment),
            client: ClientNetConfig::new(environment),
            store: StoreConfig::new(environment),
            tls: TlsConfig::new(environment),
            auth: AuthConfig::new(environment),
            is_in_sync_replicas_set: false,
            environment: environment.clone(),
        }
    }

    /// Takes every key of the file; keys of no family are named in the remarks.
    ///
    /// # Errors
    /// The first value that its key does not take, with file and line; nothing has changed then.
    pub fn load(&mut self, properties: &Properties) -> Result<Remarks, ConfigError> {
        let mut loaded = self.clone();
        let environment = self.environment.clone();
        let unknown = load(&mut loaded.families_mut(), properties, &environment)?;
        // The system properties are loaded before the file that says where the store is.
        let is_file = properties.source.as_os_str() != SYSTEM_PROPERTIES;
        let taken = if is_file { loaded.follow_files(properties) } else { String::new() };
        let remarks = Remarks { taken, ..remarks(&loaded.families_mut(), properties, (&unknown, &environment)) };
        follow_tls(&loaded.tls, &mut loaded.client, properties);
        loaded.is_in_sync_replicas_set |= properties.get("inSyncReplicas").is_some();
        *self = loaded;
        Ok(remarks)
    }

    /// Takes the sizes of the files that the store has, where the file names none; says so.
    fn follow_files(&mut self, properties: &Properties) -> String {
        let mut text = String::new();
        for found in found::sizes(&self.store).filter(|found| properties.get(found.key).is_none()) {
            let wanted = self.store.get(found.key).unwrap_or_default();
            let bytes = found.bytes.to_string();
            if wanted == bytes || self.store.set(found.key, &bytes).is_err() {
                continue;
            }
            let (key, path) = (found.key, found.path.display());
            let _ = write!(text, "{key} is {bytes} and not {wanted}, because {path} is so large; "); // cannot fail
        }
        if !text.is_empty() {
            let source = properties.source.display();
            return format!("{source}: {text}set what the files have, so that it stays");
        }
        text
    }

    /// What follows from the keys together, after the last of them was set: masters have id 0, `haListenPort` is the
    /// port after `listenPort`, the name server addresses are addresses.
    ///
    /// # Errors
    /// Settings that cannot go together, or that this version must not ignore.
    pub fn settle(&mut self) -> Result<(), ConfigError> {
        check_namesrv_addr(&self.broker.namesrv_addr)?;
        if self.broker.enable_controller_mode && self.store.enable_dleger_commit_log {
            return Err(ConfigError::ControllerAndDledger);
        }
        self.refuse_what_must_not_be_ignored()?;
        match self.store.broker_role {
            BrokerRole::AsyncMaster | BrokerRole::SyncMaster => self.broker.broker_id = 0,
            BrokerRole::Slave if self.broker.broker_id <= 0 => return Err(ConfigError::SlaveId),
            BrokerRole::Slave => {}
        }
        if self.broker.acl_enable && self.broker.rocketmq_home.is_empty() {
            return Err(ConfigError::NoAclHome);
        }
        // With port 0 the system chooses both.
        if self.store.ha_listen_port == 0 && self.server.listen_port > 0 {
            self.store.ha_listen_port = self.server.listen_port.saturating_add(1);
        }
        Ok(())
    }

    /// Settings whose user counts on them: a broker that ignored them would be open, alone, or elsewhere than told.
    fn refuse_what_must_not_be_ignored(&self) -> Result<(), ConfigError> {
        let settings = [
            (self.broker.enable_controller_mode, "enableControllerMode=true", "has no controller mode yet"),
            (self.store.enable_dleger_commit_log, "enableDLegerCommitLog=true", "has no DLedger mode yet"),
            (self.auth.authentication_enabled, "authenticationEnabled=true", "has no access control yet"),
            (self.auth.authorization_enabled, "authorizationEnabled=true", "has no access control yet"),
            (self.store.store_type != "default", "storeType", "has only the store type `default`"),
        ];
        match settings.into_iter().find(|(is_set, ..)| *is_set) {
            Some((_, setting, cannot)) => Err(unsupported(setting, cannot)),
            None => Ok(()),
        }
    }

    /// Which addresses the broker registers, and why: for the line before the boot line.
    pub fn address_choice(&self) -> String {
        let why = |key: &str, ip: &str| match ip == self.environment.ip {
            true => format!("{}; {key} sets another", self.environment.ip_reason),
            false => format!("as {key} says"),
        };
        let (ip, slaves_ip) = (&self.broker.broker_ip1, &self.broker.broker_ip2);
        let clients = format!("clients are told to connect to {ip} ({})", why("brokerIP1", ip));
        match slaves_ip == ip {
            true => format!("{clients}, slaves too"),
            false => format!("{clients}, slaves to {slaves_ip} ({})", why("brokerIP2", slaves_ip)),
        }
    }

    /// The lines of `-p`, or those of `-m` when only important keys are wanted.
    pub fn printed(&self, only_important: bool) -> Vec<(&'static str, String)> {
        print(&[&self.broker, &self.server, &self.client, &self.store], only_important)
    }

    /// Key and value of everything, as the request GET_BROKER_CONFIG answers it: hidden keys too, but what is null in
    /// Java only when it is set, and keys of [`AuthConfig`] only where they differ from their defaults. A key of two
    /// families comes twice, the later counts.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let is_null = |key: &str, value: &str| value.is_empty() && key == "brokerConfigPath";
        let broker = self.broker.pairs(|flags| !flags.is_later).into_iter();
        let store = self.store.pairs(|flags| !flags.is_later).into_iter().filter(|(_, value)| !value.is_empty());
        let defaults = AuthConfig::new(&self.environment).pairs(|_| true).into_iter();
        let auth = self.auth.pairs(|_| true).into_iter().zip(defaults).filter(|(now, default)| now != default);
        let mut pairs: Vec<_> = broker.filter(|(key, value)| !is_null(key, value)).collect();
        pairs.extend(self.server.pairs(|_| true));
        pairs.extend(self.client.pairs(|_| true));
        pairs.extend(store.chain(auth.map(|(now, _)| now)));
        pairs
    }

    /// Changes keys while the broker runs: all of them, or none. Returns the keys whose value is another now.
    ///
    /// # Errors
    /// A key that is unknown or may not be changed, or a value that its key does not take; nothing has changed then.
    pub fn update(&mut self, changes: &Properties) -> Result<Vec<&'static Key>, ConfigError> {
        let mut updated = self.clone();
        let black_list = self.broker.config_black_list.clone();
        let changed = update(&mut updated.families_mut(), changes, &black_list, &self.environment)?;
        *self = updated;
        Ok(changed)
    }

    fn families_mut(&mut self) -> [&mut dyn AnyFamily; 6] {
        [&mut self.broker, &mut self.server, &mut self.client, &mut self.store, &mut self.tls, &mut self.auth]
    }
}

/// Everything that a name server can be configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct NamesrvSettings {
    /// What the name server does.
    pub namesrv: NamesrvConfig,
    /// How it listens.
    pub server: ServerConfig,
    /// How it connects to brokers.
    pub client: ClientNetConfig,
    /// Whether both are encrypted.
    pub tls: TlsConfig,
    environment: Environment,
}

impl NamesrvSettings {
    /// The defaults on this machine: port 9876.
    pub fn new(environment: &Environment) -> NamesrvSettings {
        NamesrvSettings {
            namesrv: NamesrvConfig::new(environment),
            server: ServerConfig { listen_port: 9876, ..ServerConfig::new(environment) },
            client: ClientNetConfig::new(environment),
            tls: TlsConfig::new(environment),
            environment: environment.clone(),
        }
    }

    /// Takes every key of the file; keys of no family are named in the remarks.
    ///
    /// # Errors
    /// The first value that its key does not take, with file and line; nothing has changed then.
    pub fn load(&mut self, properties: &Properties) -> Result<Remarks, ConfigError> {
        let mut loaded = self.clone();
        let environment = self.environment.clone();
        let unknown = load(&mut loaded.families_mut(), properties, &environment)?;
        let remarks = remarks(&loaded.families_mut(), properties, (&unknown, &environment));
        follow_tls(&loaded.tls, &mut loaded.client, properties);
        *self = loaded;
        Ok(remarks)
    }

    /// The lines of `-p`.
    pub fn printed(&self) -> Vec<(&'static str, String)> {
        print(&[&self.namesrv, &self.server, &self.client], false)
    }

    /// Key and value of name server and network, as the request GET_NAMESRV_CONFIG answers them: Java 5.3.3 leaves out
    /// the keys of its client.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        print(&[&self.namesrv, &self.server], false)
    }

    /// Changes keys while the name server runs: all of them, or none. Returns the keys whose value is another now.
    ///
    /// # Errors
    /// A key that is unknown or may not be changed, or a value that its key does not take; nothing has changed then.
    pub fn update(&mut self, changes: &Properties) -> Result<Vec<&'static Key>, ConfigError> {
        let mut updated = self.clone();
        let black_list = self.namesrv.config_black_list.clone();
        let changed = update(&mut updated.families_mut(), changes, &black_list, &self.environment)?;
        *self = updated;
        Ok(changed)
    }

    fn families_mut(&mut self) -> [&mut dyn AnyFamily; 4] {
        [&mut self.namesrv, &mut self.server, &mut self.client, &mut self.tls]
    }
}

/// What is worth a warning in a file that was taken all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// One sentence about all unknown keys, with the nearest real one; empty when all are known.
    pub unknown: String,
    /// One sentence about all keys that are set to something and have no effect here; empty when there are none.
    pub no_effect: String,
    /// One sentence about sizes that were taken from files that are there; empty when the settings are theirs.
    pub taken: String,
    /// One sentence about folders that are written as Windows writes them; empty when there are none.
    pub foreign_paths: String,
}

impl Remarks {
    /// The sentences, each of them one warning.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let lines = [&self.unknown, &self.no_effect, &self.taken, &self.foreign_paths];
        lines.into_iter().map(String::as_str).filter(|line| !line.is_empty())
    }
}

/// Connections to others are encrypted when the server takes nothing else, unless `useTLS` says something.
/// Java: `BrokerStartup.buildBrokerController`.
fn follow_tls(tls: &TlsConfig, client: &mut ClientNetConfig, properties: &Properties) {
    let is_told = properties.get("tls.enable").or(properties.get("tls.server.mode")).is_some();
    if is_told && properties.get("useTLS").is_none() {
        client.use_tls = tls.enable || tls.server_mode == TlsMode::Enforcing;
    }
}

fn unsupported(setting: &str, cannot: &'static str) -> ConfigError {
    ConfigError::Unsupported { setting: setting.into(), cannot }
}

/// Whether the text is empty or a list of host:port, separated by semicolons.
///
/// # Errors
/// RocketMQ's sentence about it.
fn check_namesrv_addr(text: &str) -> Result<(), ConfigError> {
    let is_address = |one: &str| match one.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok(),
        None => false,
    };
    let illegal = !text.is_empty() && !text.split(';').filter(|one| !one.is_empty()).all(is_address);
    if illegal { Err(ConfigError::NamesrvAddr(text.into())) } else { Ok(()) }
}

/// Sets every key that a family has; returns the others.
fn load<'p>(
    families: &mut [&mut dyn AnyFamily],
    properties: &'p Properties,
    environment: &Environment,
) -> Result<Vec<&'p Entry>, ConfigError> {
    let mut unknown = Vec::new();
    for entry in &properties.entries {
        let key = entry.key.as_str();
        let mut is_known = false;
        for family in families.iter_mut() {
            is_known |= family.set_text(key, &entry.value).map_err(|value| ConfigError::Value {
                origin: properties.origin(entry),
                default: family.default_of(key, environment).unwrap_or_default(),
                value,
            })?;
        }
        if !is_known {
            unknown.push(entry);
        }
    }
    Ok(unknown)
}

/// What is worth a warning in a file that was taken.
fn remarks(
    families: &[&mut dyn AnyFamily],
    properties: &Properties,
    (unknown, environment): (&[&Entry], &Environment),
) -> Remarks {
    let source = properties.source.display();
    let mut no_effect: Vec<&str> = Vec::new();
    let mut foreign: Vec<&str> = Vec::new();
    for key in properties.entries.iter().map(|entry| entry.key.as_str()) {
        let is_without_effect = families.iter().any(|family| is_without_effect(&**family, key, environment));
        if is_without_effect && !no_effect.contains(&key) {
            no_effect.push(key);
        }
        let value = families.iter().find_map(|family| family.text_of(key));
        if cfg!(not(windows)) && key.contains("Path") && value.is_some_and(|path| is_of_windows(&path)) {
            foreign.push(key);
        }
    }
    Remarks {
        unknown: describe_unknown(unknown, families, properties),
        no_effect: match no_effect.as_slice() {
            [] => String::new(),
            keys => format!("{source}: accepted, has no effect here: {}", keys.join(", ")),
        },
        taken: String::new(),
        foreign_paths: match foreign.as_slice() {
            [] => String::new(),
            keys => format!(
                "{source}: a path of Windows, here a folder of that name in the working folder: {}",
                keys.join(", ")
            ),
        },
    }
}

/// Whether a path begins with a drive, as `C:\rocketmq` or `C:/rocketmq`; in a file of properties a single backslash
/// is gone.
fn is_of_windows(path: &str) -> bool {
    matches!(path.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic())
}

/// Whether a key has no effect here and was set to something else than its default, so that its user should know.
fn is_without_effect(family: &dyn AnyFamily, key: &str, environment: &Environment) -> bool {
    let flagged = family.keys().iter().any(|known| known.name == key && known.flags.is_no_effect);
    flagged && family.text_of(key) != family.default_of(key, environment)
}

fn describe_unknown(unknown: &[&Entry], families: &[&mut dyn AnyFamily], properties: &Properties) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    let mut text = format!("{}: unknown keys, ignored:", properties.source.display());
    for (at, entry) in unknown.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(text, "{comma} {}", entry.key); // writing to a String cannot fail
        if entry.line > 0 {
            let _ = write!(text, " in line {}", entry.line);
        }
        let in_force = |key: &str| families.iter().find_map(|family| family.text_of(key)).unwrap_or_default();
        if let Some((_, name)) = IN_ROOT.iter().find(|(key, _)| *key == entry.key) {
            let _ = write!(text, " (always {name} in storePathRootDir, which is {})", in_force("storePathRootDir"));
        } else if let Some((_, why)) = WITHOUT_MEANING.iter().find(|(key, _)| *key == entry.key) {
            let _ = write!(text, " ({why})");
        } else if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == entry.key) {
            let _ = write!(text, " (now {new}, which is {})", in_force(new));
        } else if let Some(nearest) = nearest(&entry.key, families) {
            let _ = write!(text, " (did you mean {nearest}? It is {})", in_force(nearest));
        }
    }
    text
}

/// The known key that is most like `key`, if one is like it at all.
fn nearest(key: &str, families: &[&mut dyn AnyFamily]) -> Option<&'static str> {
    let wanted = key.to_lowercase();
    let names = families.iter().flat_map(|family| family.keys()).map(|known| known.name);
    let (distance, name) =
        names.map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name)).min()?;
    (distance <= 2.max(key.len() / 4)).then_some(name)
}

fn update(
    families: &mut [&mut dyn AnyFamily],
    changes: &Properties,
    black_list: &str,
    environment: &Environment,
) -> Result<Vec<&'static Key>, ConfigError> {
    let mut changed: Vec<&'static Key> = Vec::new();
    for entry in &changes.entries {
        let refused = |reason| Err(ConfigError::Refused { key: entry.key.clone(), reason });
        if black_list.split(';').any(|listed| listed.trim() == entry.key) {
            return refused("this key is in configBlackList, which keeps it from being changed over the wire");
        }
        let mut is_known = false;
        for family in families.iter_mut() {
            let Some(key) = family.keys().iter().find(|known| known.name == entry.key) else { continue };
            if key.flags.is_fixed {
                return refused("this key can only be set in the config file");
            }
            is_known = true;
            let before = family.text_of(key.name);
            family.set_text(key.name, &entry.value).map_err(|value| ConfigError::Value {
                origin: changes.origin(entry),
                default: family.default_of(key.name, environment).unwrap_or_default(),
                value,
            })?;
            if family.text_of(key.name) != before && !changed.iter().any(|known| known.name == key.name) {
                changed.push(key);
            }
        }
        if !is_known {
            return refused("there is no such key; getBrokerConfig or getNamesrvConfig lists all of them");
        }
    }
    Ok(changed)
}

fn print(families: &[&dyn AnyFamily], only_important: bool) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for family in families {
        let keys = family.keys().iter().filter(|key| !key.flags.is_hidden && !key.flags.is_later);
        let keys = keys.filter(|key| key.flags.is_important || !only_important);
        lines.extend(keys.filter_map(|key| Some((key.name, family.text_of(key.name)?))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn load_broker(text: &str) -> Result<(BrokerSettings, Remarks), ConfigError> {
        let mut settings = BrokerSettings::new(&Environment::default());
        let remarks = settings.load(&Properties::parse(Path::new("broker.conf"), text.as_bytes())?)?;
        settings.settle()?;
        Ok((settings, remarks))
    }

    fn refusal(text: &str) -> String {
        load_broker(text).unwrap_err().to_string()
    }

    #[test]
    fn one_file_feeds_all_families() {
        let text = "brokerName=broker-a\nlistenPort=20911\nfileReservedTime=48\nbrokerRole=sync_master\nbrokerId=7\n";
        let (settings, _) = load_broker(text).unwrap();
        assert_eq!(settings.broker.broker_name, "broker-a");
        assert_eq!((settings.broker.listen_port, settings.server.listen_port), (20911, 20911));
        assert_eq!(settings.store.file_reserved_time, 48);
        assert_eq!(settings.store.broker_role, BrokerRole::SyncMaster);
        assert_eq!(settings.store.ha_listen_port, 20912, "the port after listenPort");
        assert_eq!(settings.broker.broker_id, 0, "masters have id 0");
    }

    #[test]
    fn a_bad_value_is_refused_with_file_line_key_and_remedy() {
        assert_eq!(
            refusal("\nbrokerName=a\nbrokerId=abc\n"),
            "broker.conf line 3: brokerId=abc: expected a whole number from -1 to 9223372036854775807; \
             correct the value, or remove the line to use the default 0"
        );
        assert_eq!(
            refusal("autoCreateTopicEnable=yes"),
            "broker.conf line 1: autoCreateTopicEnable=yes: expected true or false; \
             correct the value, or remove the line to use the default true"
        );
        assert_eq!(
            refusal("flushDiskType=SOMETIMES"),
            "broker.conf line 1: flushDiskType=SOMETIMES: expected one of SYNC_FLUSH ASYNC_FLUSH; \
             correct the value, or remove the line to use the default ASYNC_FLUSH"
        );
        assert!(refusal("listenPort=70000").contains("expected a whole number from 0 to 65535"));
        assert!(refusal("brokerIP1=1.2.3.4 # mine").contains("an address without blanks"));
        assert!(refusal("fileReservedTime=48 # hours").contains("a comment needs a line of its own"));
    }

    #[test]
    fn unknown_keys_are_named_once_with_the_nearest_real_key() {
        let (_, remarks) = load_broker("brokerNmae=a\nnoSuchThing=1\nstorePathIndex=/x\nlistenPort=1\n").unwrap();
        assert_eq!(
            remarks.unknown,
            "broker.conf: unknown keys, ignored: brokerNmae in line 1 (did you mean brokerName? It is DEFAULT_BROKER), \
             noSuchThing in line 2, storePathIndex in line 3 (always index in storePathRootDir, which is ./store)"
        );
    }

    #[test]
    fn keys_without_effect_are_named_only_where_they_differ_from_their_default() {
        let (_, remarks) =
            load_broker("useEpollNativeSelector=true\ntransferMsgByHeap=true\nuseABSLock=true\n").unwrap();
        assert_eq!(remarks.no_effect, "broker.conf: accepted, has no effect here: useEpollNativeSelector, useABSLock");
        assert_eq!(remarks.lines().count(), 1);
    }

    #[test]
    fn an_old_spelling_is_not_applied_and_the_value_in_force_is_named() {
        let (settings, remarks) = load_broker("mapedFileSizeCommitLog=8192\nmapedFileSizeConsumeQueue=300000").unwrap();
        assert_eq!(settings.store.mapped_file_size_commit_log, 1 << 30);
        assert_eq!(
            remarks.unknown,
            "broker.conf: unknown keys, ignored: mapedFileSizeCommitLog in line 1 (now mappedFileSizeCommitLog, which is \
             1073741824), mapedFileSizeConsumeQueue in line 2 (now mappedFileSizeConsumeQueue, which is 6000000)"
        );
        let (settings, _) = load_broker("mappedFileSizeCommitLog=16384\nmapedFileSizeCommitLog=8192\n").unwrap();
        assert_eq!(settings.store.mapped_file_size_commit_log, 16384);
    }

    #[test]
    fn files_that_are_there_keep_their_size_unless_the_settings_name_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("commitlog");
        std::fs::create_dir(&log).unwrap();
        std::fs::write(log.join("00000000000000000000"), [1; 8192]).unwrap();
        let root = folder.path().display();
        let (settings, remarks) =
            load_broker(&format!("storePathRootDir={root}\nmapedFileSizeCommitLog=4096\n")).unwrap();
        assert_eq!(settings.store.mapped_file_size_commit_log, 8192);
        assert!(remarks.unknown.ends_with("(now mappedFileSizeCommitLog, which is 8192)"), "{}", remarks.unknown);
        let expected = "broker.conf: mappedFileSizeCommitLog is 8192 and not 1073741824, because ";
        assert!(remarks.taken.starts_with(expected), "{}", remarks.taken);
        assert_eq!(remarks.lines().count(), 2);
        let (settings, remarks) =
            load_broker(&format!("storePathRootDir={root}\nmappedFileSizeCommitLog=4096\n")).unwrap();
        assert_eq!((settings.store.mapped_file_size_commit_log, remarks), (4096, Remarks::default()));
    }

    #[test]
    #[cfg(not(windows))]
    fn paths_of_windows_are_taken_and_named() {
        let text = "storePathRootDir=D:\\\\RocketMQ\\\\store\nstorePathCommitLog=D:/RocketMQ/store/commitlog\nabortFile=D:\\abort\n";
        let (settings, remarks) = load_broker(text).unwrap();
        assert_eq!(settings.store.store_path_root_dir, "D:\\RocketMQ\\store");
        let expected = "broker.conf: a path of Windows, here a folder of that name in the working folder: \
                        storePathRootDir, storePathCommitLog";
        assert_eq!(remarks.foreign_paths, expected);
        assert!(remarks.unknown.contains("abortFile in line 3 (always abort in storePathRootDir, which is D:"));
    }

    #[test]
    fn settings_that_cannot_go_together_are_refused_in_the_words_of_rocketmq() {
        assert_eq!(
            refusal("namesrvAddr=noport"),
            "The Name Server Address[noport] illegal, please set it as follows, \"127.0.0.1:9876;192.168.0.1:9876\""
        );
        assert_eq!(refusal("brokerRole=SLAVE\nbrokerId=0"), "Slave's brokerId must be > 0");
        assert!(refusal("enableControllerMode=true\nenableDLegerCommitLog=true").contains("cannot both be true."));
        for ignored in ["enableDLegerCommitLog", "authenticationEnabled"] {
            let refusal = refusal(&format!("{ignored}=true"));
            assert!(refusal.starts_with(&format!("{ignored}=true: this version of RaptorMQ has no ")), "{refusal}");
        }
        assert!(load_broker("namesrvAddr=a:1;[::1]:2;").is_ok());
    }

    #[test]
    fn the_addresses_are_told_with_the_reason_for_them() {
        let choice = |text: &str| {
            let environment = Environment {
                ip: "10.1.2.3".into(),
                ip_reason: "of eth0, the only one".into(),
                ..Environment::default()
            };
            let mut settings = BrokerSettings::new(&environment);
            settings.load(&Properties::parse(Path::new("b"), text.as_bytes()).unwrap()).unwrap();
            settings.address_choice()
        };
        let chosen = "clients are told to connect to 10.1.2.3 (of eth0, the only one; brokerIP1 sets another)";
        assert_eq!(choice(""), format!("{chosen}, slaves too"));
        assert_eq!(choice("brokerIP2=broker.lan"), format!("{chosen}, slaves to broker.lan (as brokerIP2 says)"));
        assert_eq!(
            choice("brokerIP1=fd00::1"),
            "clients are told to connect to fd00::1 (as brokerIP1 says), slaves to 10.1.2.3 (of eth0, the only one; \
             brokerIP2 sets another)"
        );
    }

    #[test]
    fn an_update_changes_all_or_nothing() {
        let (mut settings, _) = load_broker("").unwrap();
        let before = settings.clone();
        let update = |settings: &mut BrokerSettings, pairs: &[(&str, &str)]| {
            settings.update(&Properties::from_pairs("the request", pairs.iter().copied()))
        };
        for refused in [
            &[("fileReservedTime", "1"), ("fileReservedTimes", "2")][..],
            &[("fileReservedTime", "1"), ("deleteFileBatchMax", "x")],
            &[("fileReservedTime", "1"), ("brokerConfigPath", "/etc/passwd")],
            &[("fileReservedTime", "1"), ("storePathRootDir", "/etc")],
        ] {
            assert!(update(&mut settings, refused).is_err(), "{refused:?}");
            assert_eq!(settings, before);
        }
        let changed = update(&mut settings, &[("fileReservedTime", "1"), ("deleteWhen", "04")]).unwrap();
        assert_eq!(changed.iter().map(|key| key.name).collect::<Vec<_>>(), ["fileReservedTime"]);
        assert!(changed[0].flags.is_dynamic);
        assert_eq!(settings.store.file_reserved_time, 1);
    }
}
