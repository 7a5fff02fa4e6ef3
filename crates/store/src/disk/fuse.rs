//! One failed sync is the last one that is tried.
//!
//! When a sync fails, the kernel may have dropped what was to be written and counts it as written, so that the next sync
//! of the same file succeeds and says nothing about it. Whoever tried again would call durable what is lost. So the store
//! sees its disk through a [`Fuse`]: the first failing sync of any file or folder blows it, and from then on every sync is
//! refused without being tried. The store accepts nothing more until it is opened again, when recovery looks at what there
//! really is.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::syncs::Syncs;
use super::{Disk, Entry, LogFile, Space, Usage};

/// Whether the disk failed in a way after which nothing can be promised, and how.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    reason: OnceLock<String>,
    /// Those that are under way.
    pub(crate) syncs: Syncs,
}

impl Fuse {
    /// What blew it, if anything did.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Whether it is blown.
    pub(crate) fn is_blown(&self) -> bool {
        self.reason.get().is_some()
    }

    /// Blows it. The first reason is kept, and logged.
    pub(crate) fn blow(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            let reason = self.reason().unwrap_or_default();
            tracing::error!(reason, "the store's disk failed: nothing is accepted until the store is opened again");
        }
    }

    fn sync(&self, path: &Arc<Path>, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if let Some(reason) = self.reason() {
            return Err(io::Error::other(format!("not synced, because {reason}")));
        }
        self.syncs.run(path.clone(), sync).inspect_err(|error| {
            // Of what is not there nothing can be lost.
            if error.kind() != io::ErrorKind::NotFound {
                self.blow(format!("a sync of {} failed: {error}", path.display()));
            }
        })
    }
}

/// A disk behind a fuse.
pub(crate) struct FusedDisk {
    disk: Arc<dyn Disk>,
    fuse: Arc<Fuse>,
}

impl FusedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, fuse: Arc<Fuse>) -> FusedDisk {
        FusedDisk { disk, fuse }
    }

    fn file(&self, path: &Path, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(FusedFile { file, path: path.into(), fuse: self.fuse.clone() })
    }
}

impl Disk for FusedDisk {
    fn create(&self, path: &Path, len: u64, space: Space) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path, self.disk.create(path, len, space)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path, self.disk.open(path)?))
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.disk.read(path, bytes_max)
    }

    /// A replacement that fails leaves the old content, and the next one writes everything anew: it blows nothing.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.disk.replace(path, content)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.remove_folder(folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.fuse.sync(&folder.into(), || self.disk.sync_folder(folder))
    }

    fn sync_all(&self, folder: &Path) -> io::Result<()> {
        self.fuse.sync(&folder.into(), || self.disk.sync_all(folder))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.disk.modified_ms(path)
    }

    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(root)
    }

    fn changed_at(&self, folder: &Path) -> io::Result<Option<u64>> {
        self.disk.changed_at(folder)
    }

    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        self.disk.usage(folder)
    }
}

struct FusedFile {
    file: Arc<dyn LogFile>,
    path: Arc<Path>,
    fuse: Arc<Fuse>,
}

impl LogFile for FusedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(at, bytes)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, into)
    }

    fn read_cached_at(&self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        self.file.read_cached_at(at, into)
    }

    fn is_cached(&self, at: u64, len: usize) -> io::Result<bool> {
        self.file.is_cached(at, len)
    }

    fn load(&self, at: u64, len: usize) -> io::Result<()> {
        self.file.load(at, len)
    }

    fn read_ahead(&self, at: u64, len: usize) {
        self.file.read_ahead(at, len);
    }

    fn view(&self, at: u64, len: usize) -> io::Result<Bytes> {
        self.file.view(at, len)
    }

    fn release_views(&self) {
        self.file.release_views();
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        self.file.zero(at, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.fuse.sync(&self.path, || self.file.sync())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::{Fault, MemoryDisk};

    #[test]
    fn after_a_failed_sync_no_file_and_no_folder_is_synced() {
        let (memory, fuse) = (MemoryDisk::default(), Arc::new(Fuse::default()));
        let disk = FusedDisk::new(Arc::new(memory.clone()), fuse.clone());
        let one = disk.create(Path::new("/s/one"), 8, Space::Sparse).unwrap();
        let two = disk.create(Path::new("/s/two"), 8, Space::Sparse).unwrap();
        one.sync().unwrap();
        memory.fail_next(Fault::Sync);
        assert!(one.sync().is_err());
        assert!(fuse.reason().is_some_and(|reason| reason.contains("/s/one")), "{fuse:?}");
        let unsynced = memory.unsynced_count();
        for refused in [two.sync(), one.sync(), disk.sync_folder(Path::new("/s")), disk.sync_all(Path::new("/s"))] {
            assert!(refused.unwrap_err().to_string().starts_with("not synced"));
        }
        assert_eq!(memory.unsynced_count(), unsynced, "nothing reached the disk");
        two.write_at(0, b"x").unwrap();
    }
}
