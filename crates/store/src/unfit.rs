//! Why the folder of a store cannot be used: each in one line with the path, what was expected, what was found, and what
//! to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Entry;

/// A file or folder of the store is not what it should be. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is something else.
    #[error("{}: expected {expected}, found {found}; {advice}", path.display())]
    Wrong {
        /// What.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The system does not give it.
    #[error("{}: expected {}, found {error}; {}", path.display(), expected_of(error), advice_on(error))]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A file of no use, to be removed when all was checked.
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    pub(crate) why: &'static str,
}

impl Unfit {
    pub(crate) fn wrong(path: &Path, expected: String, found: String, advice: &'static str) -> Unfit {
        Unfit::Wrong { path: path.to_owned(), expected, found, advice }
    }

    /// For `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Unfit {
        move |error| Unfit::Io { path: path.to_owned(), error }
    }
}

/// What was wanted of a file or folder when the system gave an error instead.
fn expected_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "leave to read and write it",
        io::ErrorKind::ReadOnlyFilesystem => "a disk that can be written",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "a folder",
        io::ErrorKind::IsADirectory | io::ErrorKind::NotSeekable => "a file",
        io::ErrorKind::StorageFull => "room for it",
        _ => "to read it",
    }
}

fn advice_on(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "start as the user whom it belongs to, or give this one the permission",
        io::ErrorKind::ReadOnlyFilesystem => "the disk is mounted read-only: mount it for writing, or use another",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a folder belongs: move it away, or set another storePathRootDir"
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::NotSeekable => "move away what stands where a file belongs",
        io::ErrorKind::StorageFull => "free some space",
        io::ErrorKind::NotFound => "bring it back, or set another storePathRootDir",
        _ => "see to the disk, or set another storePathRootDir",
    }
}

/// Where a file of log or queue may begin at most, so that no sum of an offset and a length overflows. No disk has so much.
pub(crate) const FILE_START_MAX: i64 = 1 << 62;

/// The start that a file of twenty digits is named by.
pub(crate) fn file_start(name: &str) -> Option<i64> {
    let is_number = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { name.parse().ok() } else { None }
}

/// A file of the store must have the length that the settings say, and lie at a multiple of it.
pub(crate) fn check_file(path: &Path, entry: &Entry, bytes: u64, key: &'static str) -> Result<(), Unfit> {
    if entry.is_folder {
        let advice = "move the folder away";
        return Err(Unfit::wrong(path, format!("a file of {bytes} bytes"), "a folder".to_owned(), advice));
    }
    if entry.len != bytes {
        return Err(Unfit::wrong(
            path,
            format!("{bytes} bytes, which is what {key} says"),
            format!("{} bytes", entry.len),
            "set the key to what the store was made with, or move the file away",
        ));
    }
    let start = file_start(&entry.name).unwrap_or_default();
    if start > FILE_START_MAX {
        return Err(Unfit::wrong(
            path,
            format!("a name up to {FILE_START_MAX:020}"),
            "another".to_owned(),
            "move the file away, it is none of a store",
        ));
    }
    if !(start as u64).is_multiple_of(bytes) {
        return Err(Unfit::wrong(
            path,
            format!("a name that is a multiple of {bytes}, which is what {key} says"),
            "another".to_owned(),
            "set the key to what the store was made with, or move the file away",
        ));
    }
    Ok(())
}

/// Says that something in a folder of the store is not the store's, and left alone.
pub(crate) fn warn_of_foreign(folder: &Path, entry: &Entry) {
    let path = folder.join(&entry.name);
    tracing::warn!(path = %path.display(), "not a file of the store; it is left alone");
}
