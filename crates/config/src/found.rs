//! How large the files are that a store's folder holds: a broker whose file does not say how large they shall be goes on
//! with them, whatever the default is.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::StoreConfig;

/// Digits of a file's name. Java: `UtilAll.offset2FileName`.
const NAME_DIGITS: usize = 20;

/// A key whose value is taken from files.
pub(crate) struct Found {
    pub(crate) key: &'static str,
    pub(crate) bytes: u64,
    /// One of the files.
    pub(crate) path: PathBuf,
}

/// The sizes of the log's and the queues' files, where there are any.
pub(crate) fn sizes(store: &StoreConfig) -> impl Iterator<Item = Found> + use<> {
    let root = Path::new(&store.store_path_root_dir);
    let logs = store.store_path_commit_log.split(',').map(str::trim).filter(|folder| !folder.is_empty());
    let mut logs: Vec<PathBuf> = logs.map(PathBuf::from).collect();
    if logs.is_empty() {
        logs.push(root.join("commitlog"));
    }
    let log = logs.iter().find_map(|folder| written_file(folder));
    let queue =
        folders(&root.join("consumequeue")).find_map(|topic| folders(&topic).find_map(|queue| written_file(&queue)));
    let found = [("mappedFileSizeCommitLog", log), ("mappedFileSizeConsumeQueue", queue)];
    found.into_iter().filter_map(|(key, file)| file.map(|(path, bytes)| Found { key, bytes, path }))
}

fn folders(of: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(of).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// The first file of a folder, if something was written to it, and its length.
fn written_file(folder: &Path) -> Option<(PathBuf, u64)> {
    let is_file_of_store = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit()) && path.is_file()
    };
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let first = entries.filter(is_file_of_store).min()?;
    let mut head = [0; 12];
    let mut file = File::open(&first).ok()?;
    file.read_exact(&mut head).ok()?;
    let len = file.metadata().ok()?.len();
    head.iter().any(|byte| *byte != 0).then_some((first, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Family as _};

    #[test]
    fn files_that_were_written_say_how_large_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = StoreConfig::new(&Environment::default());
        store.store_path_root_dir = folder.path().to_string_lossy().into_owned();
        assert_eq!(sizes(&store).count(), 0);
        let queue = folder.path().join("consumequeue/T/0");
        let log = folder.path().join("commitlog");
        fs::create_dir_all(&queue).unwrap();
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("00000000000000000000"), [0; 8192]).unwrap();
        fs::write(log.join("notes"), [1; 77]).unwrap();
        assert_eq!(sizes(&store).count(), 0, "one that is being made says nothing");
        fs::write(log.join("00000000000000000000"), [1; 8192]).unwrap();
        fs::write(log.join("00000000000000008192"), [1; 100]).unwrap();
        fs::write(queue.join("00000000000000000000"), [1; 400]).unwrap();
        let found: Vec<_> = sizes(&store).map(|found| (found.key, found.bytes)).collect();
        assert_eq!(found, [("mappedFileSizeCommitLog", 8192), ("mappedFileSizeConsumeQueue", 400)]);
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("00000000000000000000"), [1; 4096]).unwrap();
        store.store_path_commit_log = format!("{}/none,{}", folder.path().display(), elsewhere.display());
        assert_eq!(sizes(&store).next().map(|found| found.bytes), Some(4096));
    }
}
