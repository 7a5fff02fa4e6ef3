//! A disk of which nothing is changed: whoever tries gets `ReadOnlyFilesystem`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, Entry, LogFile, Space, Usage};

/// Another disk, for reading.
pub struct ReadOnlyDisk<D>(pub D);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl<D: Disk> Disk for ReadOnlyDisk<D> {
    fn create(&self, _path: &Path, _len: u64, _space: Space) -> io::Result<Arc<dyn LogFile>> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.0.open_to_read(path)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.0.read(path, bytes_max)
    }

    fn replace(&self, _path: &Path, _content: &[u8]) -> io::Result<()> {
        refused()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(folder)
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_folder(&self, _folder: &Path) -> io::Result<()> {
        refused()
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_all(&self, _folder: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        refused()
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.0.modified_ms(path)
    }

    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        self.0.usage(folder)
    }
}
