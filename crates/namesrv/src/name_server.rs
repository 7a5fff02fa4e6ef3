//! The one context that every handler borrows.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use raptormq_config::NamesrvSettings;
use tokio::sync::mpsc;

use crate::kv_config::{KvConfig, KvConfigError};
use crate::routes::{ConnectionId, MinBrokerIdChanged, Routes};

/// Tells the time, in ms since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Notices that wait to be sent. There is one when a group's smallest id changes; when thousands of brokers go at
/// once, the oldest are the ones that matter, and brokers ask by themselves, too.
const NOTICES_MAX: usize = 4096;

/// Everything that the name server knows and is set to.
pub(crate) struct NameServer {
    clock: Clock,
    started_ms: i64,
    /// Replaced as a whole, so that a request sees one configuration from its begin to its end.
    settings: RwLock<Arc<NamesrvSettings>>,
    pub(crate) routes: RwLock<Routes>,
    /// Changed by the keeper alone.
    pub(crate) kv_config: RwLock<KvConfig>,
    notices: mpsc::Sender<MinBrokerIdChanged>,
}

impl NameServer {
    /// A name server without brokers, with the KV configuration of its file; and the notices that brokers must get.
    pub(crate) fn new(
        settings: NamesrvSettings,
        clock: Clock,
    ) -> Result<(NameServer, mpsc::Receiver<MinBrokerIdChanged>), KvConfigError> {
        let kv_config = KvConfig::load(Path::new(&settings.namesrv.kv_config_path))?;
        let (notices, to_send) = mpsc::channel(NOTICES_MAX);
        let namesrv = NameServer {
            started_ms: clock(),
            clock,
            settings: RwLock::new(Arc::new(settings)),
            routes: RwLock::default(),
            kv_config: RwLock::new(kv_config),
            notices,
        };
        Ok((namesrv, to_send))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The configuration as it is now.
    pub(crate) fn settings(&self) -> Arc<NamesrvSettings> {
        self.settings.read().clone()
    }

    /// Replaces the configuration. Only the keeper does.
    pub(crate) fn set_settings(&self, settings: NamesrvSettings) {
        *self.settings.write() = Arc::new(settings);
    }

    /// Whether routes may be answered: at once, or, when so configured, only when brokers have had the time to register.
    pub(crate) fn is_ready(&self) -> bool {
        let settings = self.settings();
        let wait_ms = i64::from(settings.namesrv.wait_seconds_for_service) * 1000;
        !settings.namesrv.need_wait_for_service || self.now_ms() - self.started_ms >= wait_ms
    }

    /// Has brokers told that the smallest id of their group changed.
    pub(crate) fn notify(&self, notices: impl IntoIterator<Item = MinBrokerIdChanged>) {
        for notice in notices {
            if let Err(refused) = self.notices.try_send(notice) {
                tracing::warn!(%refused, "a change of the smallest broker id is not told to the group");
            }
        }
    }

    /// A connection that brokers had registered on has closed: they are gone.
    pub(crate) fn connection_closed(&self, connection: ConnectionId) {
        let settings = self.settings();
        let notices = self.routes.write().connection_closed(connection, &settings.namesrv);
        self.notify(notices);
    }

    /// Removes brokers that were silent for too long, and returns the connections to close for it.
    pub(crate) fn expire(&self) -> Vec<ConnectionId> {
        let settings = self.settings();
        let expired = self.routes.write().expire(self.now_ms(), &settings.namesrv);
        self.notify(expired.notices);
        expired.connections
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicI64, Ordering};

    use raptormq_config::Environment;
    use tempfile::TempDir;

    use super::*;

    /// A name server whose files lie in a folder of its own and whose clock stands until it is moved.
    pub(crate) struct Fixture {
        pub(crate) namesrv: NameServer,
        pub(crate) notices: mpsc::Receiver<MinBrokerIdChanged>,
        _folder: TempDir,
        clock: Arc<AtomicI64>,
    }

    impl Fixture {
        pub(crate) fn new() -> Fixture {
            Fixture::with(|_| {})
        }

        pub(crate) fn with(change: impl FnOnce(&mut NamesrvSettings)) -> Fixture {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().to_str().unwrap().to_owned();
            let mut settings = NamesrvSettings::new(&Environment { home, ..Environment::default() });
            change(&mut settings);
            let clock = Arc::new(AtomicI64::new(1_000));
            let reading = clock.clone();
            let clock_reader = Arc::new(move || reading.load(Ordering::Relaxed));
            let (namesrv, notices) = NameServer::new(settings, clock_reader).unwrap();
            Fixture { namesrv, notices, _folder: folder, clock }
        }

        pub(crate) fn advance_ms(&self, ms: i64) {
            self.clock.fetch_add(ms, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Fixture;

    #[test]
    fn a_name_server_that_shall_wait_becomes_ready_in_time() {
        let fixture = Fixture::with(|settings| settings.namesrv.need_wait_for_service = true);
        assert!(!fixture.namesrv.is_ready());
        fixture.advance_ms(44_999);
        assert!(!fixture.namesrv.is_ready());
        fixture.advance_ms(1);
        assert!(fixture.namesrv.is_ready());
        assert!(Fixture::new().namesrv.is_ready(), "without the key it is ready at once");
    }
}
