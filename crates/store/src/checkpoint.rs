//! The file `checkpoint`: up to which store timestamp everything is on disk, so that recovery need not go further back.
//!
//! 4096 bytes; i64 at 0 the log's timestamp, at 8 the queues', at 16 the index's, at 24 the flushed offset of the master,
//! at 32 the confirmed log offset (Java: `store/StoreCheckpoint.java`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::disk::{Disk, LogFile, Space};
use crate::unfit::Unfit;

/// Bytes of the file.
const FILE_BYTES: u64 = 4096;
/// What the original goes back before the timestamps: records of one millisecond may stand on both sides.
const MARGIN_MS: i64 = 3_000;

/// The five fields of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Store timestamp of the last record on disk.
    pub log_timestamp_ms: i64,
    /// Store timestamp of the last record whose queue unit is on disk.
    pub queues_timestamp_ms: i64,
    /// Store timestamp of the last entry of the last index file that is full; 0 until one is.
    pub index_timestamp_ms: i64,
    /// In controller mode, what the master had flushed.
    pub master_flushed_offset: i64,
    /// Start of the last good record when the log was last recovered.
    pub confirm_offset: i64,
}

impl Checkpoint {
    /// Records stored before are in the log and in their queues, whatever happened.
    pub fn min_timestamp_ms(&self) -> i64 {
        (self.log_timestamp_ms.min(self.queues_timestamp_ms) - MARGIN_MS).max(0)
    }

    /// Records stored before are in the log, whatever happened; their units may be missing.
    pub(crate) fn log_until_ms(&self) -> i64 {
        (self.log_timestamp_ms - MARGIN_MS).max(0)
    }

    fn encode(&self) -> [u8; 40] {
        let fields = [
            self.log_timestamp_ms,
            self.queues_timestamp_ms,
            self.index_timestamp_ms,
            self.master_flushed_offset,
            self.confirm_offset,
        ];
        let mut bytes = [0; 40];
        for (chunk, field) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
            *chunk = field.to_be_bytes();
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; 40]) -> Checkpoint {
        let (fields, _) = bytes.as_chunks::<8>();
        let field = |number: usize| i64::from_be_bytes(fields[number]);
        Checkpoint {
            log_timestamp_ms: field(0),
            queues_timestamp_ms: field(1),
            index_timestamp_ms: field(2),
            master_flushed_offset: field(3),
            confirm_offset: field(4),
        }
    }
}

/// The checkpoint and its file.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    /// The open file, once [`CheckpointFile::prepare`] was called.
    file: OnceLock<Arc<dyn LogFile>>,
    /// What the file has. Not held while the disk is waited for: whoever asks may be an I/O thread.
    written: Mutex<Checkpoint>,
    /// Held while it is changed.
    changing: Mutex<()>,
}

impl CheckpointFile {
    /// Reads the file and changes nothing. One that does not have its length counts for nothing.
    pub(crate) fn load(disk: &dyn Disk, root: &Path) -> Result<CheckpointFile, Unfit> {
        let path = root.join("checkpoint");
        let value = match disk.read(&path, FILE_BYTES) {
            Ok(bytes) => bytes.first_chunk().filter(|_| bytes.len() as u64 == FILE_BYTES).map(Checkpoint::decode),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => None,
            Err(error) => return Err(Unfit::io(&path)(error)),
        };
        let written = Mutex::new(value.unwrap_or_default());
        Ok(CheckpointFile { path, file: OnceLock::new(), written, changing: Mutex::new(()) })
    }

    /// Opens the file for writing. Makes it when there is none, or when it does not have its length.
    pub(crate) fn prepare(&self, disk: &dyn Disk) -> io::Result<()> {
        let path = &self.path;
        let file = match disk.open(path) {
            Ok(file) if file.len() == FILE_BYTES => file,
            Ok(file) => {
                tracing::warn!(path = %path.display(), bytes = file.len(), "replaced a checkpoint of the wrong length");
                disk.remove(path)?;
                disk.create(path, FILE_BYTES, Space::Sparse)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(path, FILE_BYTES, Space::Sparse)?,
            Err(error) => return Err(error),
        };
        // Whoever was first opened the same file.
        let _ = self.file.set(file);
        Ok(())
    }

    /// What the file has.
    pub(crate) fn value(&self) -> Checkpoint {
        *self.written.lock()
    }

    /// Changes the checkpoint, and writes it when that made it another one.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Checkpoint)) -> io::Result<()> {
        let _changing = self.changing.lock();
        let written = self.value();
        let mut next = written;
        change(&mut next);
        if next == written {
            return Ok(());
        }
        // All fields lie in one sector, so a crash leaves the old ones or the new ones.
        let file = self.file.get().ok_or(io::ErrorKind::NotFound)?;
        file.write_at(0, &next.encode())?;
        file.sync()?;
        *self.written.lock() = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    #[test]
    fn the_layout_is_javas() {
        let disk = MemoryDisk::default();
        let file = CheckpointFile::load(&disk, Path::new("/s")).unwrap();
        file.prepare(&disk).unwrap();
        let value = Checkpoint {
            log_timestamp_ms: 1,
            queues_timestamp_ms: 2,
            index_timestamp_ms: 3,
            master_flushed_offset: 4,
            confirm_offset: 5,
        };
        file.update(|checkpoint| *checkpoint = value).unwrap();
        let bytes = disk.read(Path::new("/s/checkpoint"), 5000).unwrap();
        assert_eq!(bytes.len(), 4096);
        for number in 0..5 {
            assert_eq!(bytes[number * 8..number * 8 + 8], (number as i64 + 1).to_be_bytes());
        }
        assert_eq!(CheckpointFile::load(&disk, Path::new("/s")).unwrap().value(), value);
    }

    #[test]
    fn the_margin_is_taken_from_the_older_of_log_and_queues() {
        let checkpoint = Checkpoint { log_timestamp_ms: 10_000, queues_timestamp_ms: 9_000, ..Checkpoint::default() };
        assert_eq!(checkpoint.min_timestamp_ms(), 6_000);
        assert_eq!(Checkpoint::default().min_timestamp_ms(), 0);
    }
}
