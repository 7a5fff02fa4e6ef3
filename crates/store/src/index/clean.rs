//! Index files whose messages were all deleted.

use std::io;

use super::Index;

impl Index {
    /// Bytes of all files.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.state.lock().files.len() as u64 * self.layout.file_bytes()
    }

    /// Deletes the files whose last entry names a message before `log_min`, as the original never the last one.
    pub(crate) fn delete_before(&self, log_min: i64) -> io::Result<()> {
        let gone: Vec<_> = {
            let state = &mut *self.state.lock();
            let others = state.synced.min(state.files.len().saturating_sub(1));
            let count = state.files[..others].iter().take_while(|file| file.header.end_offset < log_min).count();
            state.finished -= count;
            state.synced -= count;
            state.deleted += count;
            state.files.drain(..count).collect()
        };
        for file in gone {
            tracing::info!(path = %file.path.display(), "deleted an index file");
            // One that stays because of an error is found again when the store is opened.
            self.disk.remove(&file.path)?;
        }
        Ok(())
    }
}
