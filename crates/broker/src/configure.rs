//! Settings changed while the broker runs (25): checked together, written to the file that `-c` named, then in effect.
//! The keeper's thread does it, because files are slow. Java: `remoting/Configuration.java`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use raptormq_config::{BrokerSettings, Properties};
use raptormq_protocol::code::ResponseCode;
use raptormq_remoting::Responder;
use raptormq_store::disk::Disk;

use crate::broker::Broker;
use crate::dispatch::refuse_waiting;
use crate::failure::Failure;
use crate::start;

/// Longest configuration file that is changed.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A change, and who waits for it.
pub(crate) struct Change {
    pub(crate) changes: Properties,
    /// What is said when it is made.
    pub(crate) remark: Option<String>,
    pub(crate) responder: Responder,
}

impl Change {
    /// Makes the change and answers.
    pub(crate) fn run(self, broker: &Broker, disk: &dyn Disk) {
        match make(broker, disk, &self.changes) {
            Ok(()) => self.responder.respond(ResponseCode::SUCCESS, self.remark.as_deref()),
            Err(failure) => self.refuse(&failure),
        }
    }

    /// Says that it cannot be made.
    pub(crate) fn refuse(self, failure: &Failure) {
        refuse_waiting(self.responder, failure);
    }
}

/// Makes all changes or none. Without a file they hold until the broker stops.
fn make(broker: &Broker, disk: &dyn Disk, changes: &Properties) -> Result<(), Failure> {
    if changes.entries.is_empty() {
        return Ok(());
    }
    let before = broker.settings();
    let mut settings = BrokerSettings::clone(&before);
    let changed = settings.update(changes).map_err(|refusal| Failure::invalid(refusal.to_string()))?;
    // What could not start must not be written down.
    settings.clone().settle().map_err(|refusal| Failure::invalid(refusal.to_string()))?;
    let deletion = start::clean_options(&settings.store).map_err(|refusal| Failure::invalid(refusal.to_string()))?;
    let path = &before.broker.broker_config_path;
    if !path.is_empty() {
        write(disk, Path::new(path), changes).map_err(|error| {
            tracing::error!(path, %error, "a change of the settings cannot be written");
            Failure::system(format!("nothing was changed: cannot write {path}: {error}"))
        })?;
    }
    for key in &changed {
        let takes_effect = if key.flags.is_dynamic { "now" } else { "at the next start" };
        tracing::info!(key = key.name, takes_effect, "a setting is changed by request");
    }
    broker.follow(settings, deletion);
    Ok(())
}

/// Changes the lines of the keys and leaves the others as they are.
fn write(disk: &dyn Disk, path: &Path, changes: &Properties) -> io::Result<()> {
    let path = &std::path::absolute(path)?;
    let old = match disk.read(path, FILE_BYTES_MAX) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let pairs = changes.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
    let pairs: BTreeMap<String, String> = pairs.collect();
    disk.replace(path, &Properties::edit(&old, &pairs))
}
