//! Deleting the log's oldest files.

use std::io;
use std::path::{Path, PathBuf};

use super::CommitLog;

impl CommitLog {
    /// The oldest file, if there are others behind it: what is deleted next. The last file is never deleted.
    pub(crate) fn oldest_path(&self) -> Option<PathBuf> {
        let segments = self.segments.read();
        segments.front().filter(|_| segments.len() > 1).map(|segment| segment.path.clone())
    }

    /// Deletes the oldest file. Whoever reads it goes on: what was handed out of it stays.
    ///
    /// The folder is synced before the next one can be deleted, because the log must not have a gap after a crash.
    pub(crate) fn delete_oldest(&self, path: &Path) -> io::Result<()> {
        // One that is gone already was removed before its folder could be synced.
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        path.parent().map_or(Ok(()), |folder| self.disk.sync_folder(folder))?;
        let mut segments = self.segments.write();
        let gone = if segments.len() > 1 { segments.pop_front_if(|first| first.path == path) } else { None };
        drop(segments);
        // Outside of the lock: unmapping a file takes time.
        drop(gone);
        Ok(())
    }
}
