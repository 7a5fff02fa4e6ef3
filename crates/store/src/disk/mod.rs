//! The seam between the store and its disk: everything the store does to files goes through [`Disk`] and [`LogFile`].
//!
//! [`real`] is the file system, [`memory`] the same in memory, with the list of what was not synced yet, so that a test
//! can reopen the store on any image that a crash could have left.
//!
//! What a caller may rely on:
//! * A write that returned is seen by every later read, and survives the death of the process.
//! * It survives the death of the machine once [`LogFile::sync`] of that file (or [`Disk::sync_all`]) returned after it.
//!   Until then any part of it may be there or not.
//! * A file is there after a crash once it was synced and its folder was synced by [`Disk::sync_folder`]; and so with its
//!   folder, unless [`Disk::create_folder`] made it.
//! * [`Disk::replace`] leaves the old content or the new one, never a mixture; the new one once it returned.
//! * After an error of `sync` nothing is known about what was written since the last good one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub mod faulty;
pub(crate) mod fuse;
pub mod memory;
pub mod read_only;
pub mod real;
pub(crate) mod syncs;

/// Bytes that [`LogFile::load`] and [`LogFile::is_cached`] look at in one piece.
const LOAD_BYTES: usize = 16 << 10;

/// Files and folders under the store's root. Paths are made of the store's own names only.
pub trait Disk: Send + Sync + 'static {
    /// Makes a file of `len` bytes, all zero, and its folders. Fails with `AlreadyExists` when there is one.
    fn create(&self, path: &Path, len: u64, space: Space) -> io::Result<Arc<dyn LogFile>>;

    /// Opens a file for reading and writing. Its length is taken now and does not change.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// Opens a file for reading only.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.open(path)
    }

    /// The content of a small file; `InvalidData` when it is longer than `bytes_max`.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// Gives a file this content, at once or not at all: written aside, synced, renamed, the folder synced.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()>;

    /// What is in a folder, by name; nothing when there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// Removes a file. Handles and views of it stay valid.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and everything in it.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes a folder and those above it. They are durable when this returns.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes durable which files are in a folder.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes durable everything that was written to the file system of `folder`.
    fn sync_all(&self, folder: &Path) -> io::Result<()>;

    /// Takes the store under `root` for this process until the guard is dropped: the file `lock`, as the original does.
    /// `WouldBlock` when somebody has it.
    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// A number that is another one when something was made, removed or renamed in the folder, or when the file was
    /// written; `None` when the disk cannot tell, or there is neither.
    fn changed_at(&self, _path: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// Room on the file system of `folder`, or of where it will be made.
    fn usage(&self, folder: &Path) -> io::Result<Usage>;

    /// When a file was last written, in milliseconds since 1970.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
}

/// A file of fixed length. What has a default here is forwarded in `fuse.rs` all the same.
pub trait LogFile: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes all of `bytes` at `at`; `InvalidInput` when that is not within the file.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `into` from `at`.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// Fills `into` from `at` if the device need not be waited for; returns whether it did.
    fn read_cached_at(&self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        self.read_at(at, into).map(|()| true)
    }

    /// Whether all of the range is in memory: looking at a view of it waits for no device.
    fn is_cached(&self, at: u64, len: usize) -> io::Result<bool> {
        let _range = checked_range(at, len as u64, self.len())?;
        Ok(true)
    }

    /// Brings the range into memory and waits for that. A device that cannot read it is an error here; where a view of
    /// it is looked at first, the same ends the process.
    fn load(&self, at: u64, len: usize) -> io::Result<()> {
        let mut into = [0; LOAD_BYTES];
        let range = checked_range(at, len as u64, self.len())?;
        let mut at = range.start;
        while at < range.end {
            let count = (range.end - at).min(LOAD_BYTES);
            self.read_at(at as u64, &mut into[..count])?;
            at += count;
        }
        Ok(())
    }

    /// Lets the disk begin to read what will be asked for soon, as far as it is within the file. Waits for nothing.
    fn read_ahead(&self, _at: u64, _len: usize) {}

    /// The bytes from `at`, without a copy where the disk can. The caller asks only for what will not be written again.
    fn view(&self, at: u64, len: usize) -> io::Result<Bytes>;

    /// Lets go of what the file keeps in memory to serve views; those handed out stay.
    fn release_views(&self) {}

    /// Makes the range read as zeros.
    fn zero(&self, at: u64, len: u64) -> io::Result<()>;

    /// Makes durable what was written to the file.
    fn sync(&self) -> io::Result<()>;
}

/// Whether the space of a new file is set aside at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// It is, so that a full disk shows when the file is made and not when it is written.
    Reserved,
    /// It is not: most of the file may never be written.
    Sparse,
}

/// A file or folder in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name; files whose names are not UTF-8 are none of ours and left out.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes of a file, 0 of a folder.
    pub len: u64,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub total_bytes: u64,
    /// What holds files.
    pub used_bytes: u64,
    /// What can still be written; less than the rest where the system keeps some for itself.
    pub free_bytes: u64,
}

impl Usage {
    /// The part that is used, 0 to 1: what `df` prints, in whole percents rounded up. The original compares and reports
    /// this (Java: `UtilAll.getDiskPartitionSpaceUsedPercent`).
    pub fn used_ratio(&self) -> f64 {
        let room = self.used_bytes.saturating_add(self.free_bytes).max(1);
        let percent = (u128::from(self.used_bytes) * 100).div_ceil(room.into());
        percent as f64 / 100.0
    }
}

/// Whether an error says that the disk has no room left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The range as positions in a slice; `InvalidInput` when it is not within `len` bytes.
fn checked_range(at: u64, count: u64, len: u64) -> io::Result<std::ops::Range<usize>> {
    match at.checked_add(count) {
        // A file of more than usize bytes is refused when it is opened.
        Some(end) if end <= len => Ok(at as usize..end as usize),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{count} bytes at {at} are not within a file of {len} bytes"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_said_as_df_does() {
        let ratio = |used_bytes, free_bytes| Usage { total_bytes: 1000, used_bytes, free_bytes }.used_ratio();
        // Of 1000, 100 are the system's own.
        assert_eq!((ratio(0, 900), ratio(450, 450), ratio(451, 449), ratio(900, 0)), (0.0, 0.5, 0.51, 1.0));
        assert_eq!((ratio(0, 0), ratio(u64::MAX, u64::MAX)), (0.0, 1.0));
    }
}
