//! The syncs that are under way, so that a disk that hangs is noticed while it does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A sync that takes so long is one of a disk that hangs, and is spoken of.
pub(crate) const LONG: Duration = Duration::from_secs(1);

/// The syncs of one store.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    /// As many as there are threads that sync.
    running: Mutex<Vec<Running>>,
    /// What [`Syncs::watch`] has found last.
    is_hanging: AtomicBool,
}

#[derive(Debug)]
struct Running {
    path: Arc<Path>,
    begun: Instant,
    /// After how long it is spoken of next.
    told_at: Duration,
}

impl Syncs {
    /// Runs a sync of a file or folder.
    pub(crate) fn run<T>(&self, path: Arc<Path>, sync: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        self.running.lock().push(Running { path: path.clone(), begun, told_at: LONG });
        let result = sync();
        let mut running = self.running.lock();
        // Two threads may begin at the same moment, but not with the same file.
        let own = running.iter().position(|other| other.begun == begun && Arc::ptr_eq(&other.path, &path));
        own.map(|own| running.swap_remove(own));
        drop(running);
        let took = begun.elapsed();
        if took >= LONG {
            tracing::warn!(path = %path.display(), ms = took.as_millis(), "a sync that took long has ended");
        }
        result
    }

    /// Says which syncs hang: when they have for [`LONG`], and each time that has doubled. To be called about so often.
    pub(crate) fn watch(&self, now: Instant) {
        let mut long = Vec::new();
        let mut is_hanging = false;
        for sync in &mut *self.running.lock() {
            let took = now.saturating_duration_since(sync.begun);
            is_hanging |= took >= LONG;
            if took >= sync.told_at {
                long.push((sync.path.clone(), took));
                sync.told_at = took * 2;
            }
        }
        self.is_hanging.store(is_hanging, Ordering::Relaxed);
        for (path, took) in long {
            let ms = took.as_millis();
            tracing::warn!(path = %path.display(), ms, "the disk hangs: it has been syncing this for so long");
        }
    }

    /// Whether a sync was seen to hang at the last look.
    pub(crate) fn are_hanging(&self) -> bool {
        self.is_hanging.load(Ordering::Relaxed)
    }

    /// What has been syncing for the longest time and for [`LONG`] at least, and for how long.
    pub(crate) fn longest(&self, now: Instant) -> Option<(Arc<Path>, Duration)> {
        let running = self.running.lock();
        let longest = running.iter().min_by_key(|sync| sync.begun)?;
        let took = now.saturating_duration_since(longest.begun);
        (took >= LONG).then(|| (longest.path.clone(), took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_hangs_is_told_of_while_it_does_and_less_and_less_often() {
        let syncs = Syncs::default();
        let path: Arc<Path> = Path::new("/s/commitlog/0").into();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        syncs.run(path.clone(), || {
            syncs.watch(Instant::now());
            assert!(!syncs.are_hanging() && syncs.longest(Instant::now()).is_none(), "it may be slow, that is all");
            let mut told_at = LONG;
            let mut told = Vec::new();
            for second in 1..=20 {
                syncs.watch(after(second));
                let next = syncs.running.lock()[0].told_at;
                if next != std::mem::replace(&mut told_at, next) {
                    told.push(second);
                }
            }
            assert!(told.len() <= 6 && told[0] == 1, "{told:?}");
            assert!(syncs.are_hanging());
            // Another one that has just begun is not the longest.
            syncs.run(Path::new("/s/checkpoint").into(), || {
                let (longest, took) = syncs.longest(after(2)).unwrap();
                assert!(*longest == *path && took >= Duration::from_secs(2));
            });
        });
        assert!(syncs.longest(after(60)).is_none());
        syncs.watch(after(60));
        assert!(!syncs.are_hanging());
    }
}
