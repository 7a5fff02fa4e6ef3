//! Replaces small files so that a crash leaves the old one or the new one, never a part of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces `path` by `content`. What was there before is kept as `path.bak`; folders that are missing are made. The
/// new file and its name are on disk when this returns.
///
/// # Errors
/// The disk or the rights do not allow it; `path` is as it was.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(&folder)?;
    match fs::read(path) {
        Ok(before) => write_aside(&sibling(path, ".bak"), &before)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    write_aside(path, content)?;
    File::open(folder)?.sync_all()
}

/// Writes a file beside `path`, lets it reach the disk and gives it the name.
fn write_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = sibling(path, ".tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// The content of `path`; `None` when there is no such file.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `path` with `ending` behind its last name.
pub(crate) fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_the_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/as needed/kv.json");
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, b"1").unwrap();
        assert_eq!(read(&sibling(&path, ".bak")).unwrap(), None);
        replace(&path, b"2").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"2");
        assert_eq!(read(&sibling(&path, ".bak")).unwrap().unwrap(), b"1");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "nothing is left aside");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kv.json");
        replace(&path, b"1").unwrap();
        fs::create_dir(sibling(&path, ".tmp")).unwrap();
        assert!(replace(&path, b"2").is_err());
        assert_eq!(read(&path).unwrap().unwrap(), b"1");
    }
}
