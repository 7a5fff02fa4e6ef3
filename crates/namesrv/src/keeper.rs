//! The thread that changes what lies on disk: the KV configuration and the name server's own.
//!
//! A change is written first and takes effect then, so that what was answered with success survives a crash, and what
//! could not be written never was. One thread makes one change after the other; requests wait for it in a bounded
//! queue, and no I/O thread waits at all.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use raptormq_config::Properties;
use raptormq_protocol::code::ResponseCode;
use raptormq_remoting::{Responder, Response};

use crate::file;
use crate::handle::Failure;
use crate::kv_config::KvConfig;
use crate::name_server::NameServer;

/// Changes that may wait. Each takes a few ms of disk.
const CHANGES_MAX: usize = 1024;

/// Something that must be on disk before it is answered.
#[derive(Debug)]
pub(crate) enum Change {
    /// Set a key of the KV configuration.
    PutKv { namespace: String, key: String, value: String },
    /// Remove one.
    DeleteKv { namespace: String, key: String },
    /// Set keys of the name server's configuration.
    Settings(Properties),
}

/// The thread's end that others hold.
pub(crate) struct Keeper {
    queue: SyncSender<(Change, Responder)>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn start(namesrv: Arc<NameServer>) -> io::Result<Keeper> {
        let (queue, changes) = sync_channel(CHANGES_MAX);
        let keep = move || keep(&namesrv, &changes);
        let thread = std::thread::Builder::new().name("namesrv-keeper".to_owned()).spawn(keep)?;
        Ok(Keeper { queue, thread })
    }

    /// Where changes are put.
    pub(crate) fn queue(&self) -> Queue {
        Queue(self.queue.clone())
    }

    /// Ends when all changes are made; every [`Queue`] must be dropped before.
    pub(crate) fn finish(self) {
        drop(self.queue);
        if self.thread.join().is_err() {
            tracing::error!("the thread that keeps the configuration panicked");
        }
    }
}

/// Takes changes for the keeper.
#[derive(Clone)]
pub(crate) struct Queue(SyncSender<(Change, Responder)>);

impl Queue {
    /// Makes the change and answers then.
    pub(crate) fn put(&self, change: Change, responder: Responder) {
        match self.0.try_send((change, responder)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, responder))) => {
                let remark = "[OVERLOAD]system busy, start flow control for a while";
                responder.respond(ResponseCode::SYSTEM_BUSY, Some(remark));
            }
            Err(TrySendError::Disconnected((_, responder))) => {
                responder.respond(ResponseCode::SYSTEM_ERROR, Some("the name server is shutting down"));
            }
        }
    }
}

fn keep(namesrv: &NameServer, changes: &Receiver<(Change, Responder)>) {
    while let Ok((change, responder)) = changes.recv() {
        let response = match make(namesrv, change) {
            Ok(()) => Response::new(ResponseCode::SUCCESS),
            Err(failure) => failure.into_response(),
        };
        responder.respond_with(&response);
    }
}

/// Writes a change and lets it take effect.
pub(crate) fn make(namesrv: &NameServer, change: Change) -> Result<(), Failure> {
    match change {
        Change::PutKv { namespace, key, value } => put_kv(namesrv, &namespace, &key, &value),
        Change::DeleteKv { namespace, key } => delete_kv(namesrv, &namespace, &key),
        Change::Settings(changes) => change_settings(namesrv, &changes),
    }
}

fn put_kv(namesrv: &NameServer, namespace: &str, key: &str, value: &str) -> Result<(), Failure> {
    let mut changed = namesrv.kv_config.read().clone();
    changed.put(namespace, key, value);
    let max = namesrv.settings().namesrv.kv_config_entries_max as usize;
    if changed.len() > max && changed.len() > namesrv.kv_config.read().len() {
        return Err(Failure::system(format!(
            "the KV configuration holds {max} keys already; raise kvConfigEntriesMax to let it hold more"
        )));
    }
    save_kv(namesrv, changed)
}

fn delete_kv(namesrv: &NameServer, namespace: &str, key: &str) -> Result<(), Failure> {
    let mut changed = namesrv.kv_config.read().clone();
    if changed.delete(namespace, key) { save_kv(namesrv, changed) } else { Ok(()) }
}

fn save_kv(namesrv: &NameServer, changed: KvConfig) -> Result<(), Failure> {
    let content = changed.to_json().map_err(Failure::system)?;
    let settings = namesrv.settings();
    // A namespace is answered as one frame.
    let max = settings.server.frame_bytes_max as usize;
    if content.len() > max && changed.bytes() > namesrv.kv_config.read().bytes() {
        return Err(Failure::system(format!("the KV configuration would be longer than frameBytesMax, {max} bytes")));
    }
    save(&settings.namesrv.kv_config_path, &content)?;
    *namesrv.kv_config.write() = changed;
    Ok(())
}

fn change_settings(namesrv: &NameServer, changes: &Properties) -> Result<(), Failure> {
    let mut settings = (*namesrv.settings()).clone();
    let changed = settings
        .update(changes)
        .map_err(|refusal| Failure { code: ResponseCode::INVALID_PARAMETER, remark: refusal.to_string() })?;
    if changes.entries.is_empty() {
        return Ok(());
    }
    let path = settings.namesrv.config_store_path.clone();
    let pairs = changes.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
    let pairs: BTreeMap<String, String> = pairs.collect();
    let before = file::read(Path::new(&path)).map_err(|error| cannot_save(&path, error))?;
    save(&path, &Properties::edit(&before.unwrap_or_default(), &pairs))?;
    for key in changed {
        let takes_effect = if key.flags.is_dynamic { "now" } else { "at the next start" };
        tracing::info!(key = key.name, takes_effect, "configuration changed by request");
    }
    namesrv.set_settings(settings);
    Ok(())
}

fn save(path: &str, content: &[u8]) -> Result<(), Failure> {
    file::replace(Path::new(path), content).map_err(|error| cannot_save(path, error))
}

fn cannot_save(path: &str, error: io::Error) -> Failure {
    tracing::error!(path, %error, "a change of the configuration cannot be saved");
    Failure::system(format!("nothing was changed: cannot save {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_server::testing::Fixture;

    fn put(namespace: &str, key: &str, value: &str) -> Change {
        Change::PutKv { namespace: namespace.to_owned(), key: key.to_owned(), value: value.to_owned() }
    }

    fn settings(pairs: &[(&str, &str)]) -> Change {
        Change::Settings(Properties::from_pairs("the request", pairs.iter().copied()))
    }

    fn in_file(fixture: &Fixture) -> KvConfig {
        KvConfig::load(Path::new(&fixture.namesrv.settings().namesrv.kv_config_path)).unwrap()
    }

    #[test]
    fn a_kv_change_is_in_the_file_and_in_memory() {
        let fixture = Fixture::new();
        make(&fixture.namesrv, put("N", "k", "v")).unwrap();
        make(&fixture.namesrv, put("N", "l", "w")).unwrap();
        make(&fixture.namesrv, Change::DeleteKv { namespace: "N".to_owned(), key: "k".to_owned() }).unwrap();
        assert_eq!(fixture.namesrv.kv_config.read().get("N", "l"), Some("w"));
        assert_eq!(in_file(&fixture), *fixture.namesrv.kv_config.read());
        make(&fixture.namesrv, Change::DeleteKv { namespace: "X".to_owned(), key: "k".to_owned() }).unwrap();
    }

    #[test]
    fn what_cannot_be_saved_never_was() {
        let fixture = Fixture::new();
        make(&fixture.namesrv, put("N", "k", "v")).unwrap();
        let path = fixture.namesrv.settings().namesrv.kv_config_path.clone();
        std::fs::create_dir(format!("{path}.tmp")).unwrap();
        let failure = make(&fixture.namesrv, put("N", "k", "w")).unwrap_err();
        assert_eq!(failure.code, ResponseCode::SYSTEM_ERROR);
        assert!(failure.remark.starts_with("nothing was changed: cannot save "), "{}", failure.remark);
        assert_eq!(fixture.namesrv.kv_config.read().get("N", "k"), Some("v"));
        assert_eq!(in_file(&fixture).get("N", "k"), Some("v"));
    }

    #[test]
    fn the_kv_configuration_has_a_limit_that_does_not_hinder_changes() {
        let fixture = Fixture::with(|settings| settings.namesrv.kv_config_entries_max = 2);
        make(&fixture.namesrv, put("N", "k", "v")).unwrap();
        assert!(make(&fixture.namesrv, put("N", "l", "v")).unwrap_err().remark.contains("kvConfigEntriesMax"));
        make(&fixture.namesrv, put("N", "k", "w")).unwrap();
        let fixture = Fixture::with(|settings| settings.server.frame_bytes_max = 1024);
        let failure = make(&fixture.namesrv, put("N", "k", &"v".repeat(1024))).unwrap_err();
        assert!(failure.remark.contains("longer than frameBytesMax"), "{}", failure.remark);
        make(&fixture.namesrv, put("N", "k", &"v".repeat(512))).unwrap();
    }

    #[test]
    fn settings_change_in_the_file_and_in_memory_all_or_none() {
        let fixture = Fixture::new();
        let path = fixture.namesrv.settings().namesrv.config_store_path.clone();
        file::replace(Path::new(&path), b"# mine\norderMessageEnable=false\n").unwrap();
        let failure = make(&fixture.namesrv, settings(&[("orderMessageEnable", "true"), ("noSuchKey", "1")]));
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, ResponseCode::INVALID_PARAMETER);
        assert!(failure.remark.starts_with("noSuchKey: "), "{}", failure.remark);
        let failure = make(&fixture.namesrv, settings(&[("orderMessageEnable", "maybe")])).unwrap_err();
        assert!(failure.remark.contains("expected true or false"), "{}", failure.remark);
        assert!(!fixture.namesrv.settings().namesrv.order_message_enable);

        make(&fixture.namesrv, settings(&[("orderMessageEnable", "true"), ("waitSecondsForService", "5")])).unwrap();
        assert!(fixture.namesrv.settings().namesrv.order_message_enable);
        let saved = String::from_utf8(file::read(Path::new(&path)).unwrap().unwrap()).unwrap();
        assert_eq!(saved, "# mine\norderMessageEnable=true\nwaitSecondsForService=5\n");
        make(&fixture.namesrv, settings(&[])).unwrap();
    }
}
