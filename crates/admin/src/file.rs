//! Files that commands write.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::failure::{Failure, Result};

/// Writes a file for its user only, and the folders that it needs. It is written aside and put in place: what stands there,
/// a link of somebody else's for example, is not followed.
pub(crate) fn write(path: &str, bytes: &[u8]) -> Result<()> {
    let failed = |error| Failure::File { path: path.to_owned(), error };
    if let Some(folder) = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let aside = format!("{path}.{}", std::process::id());
    // It is there only when a process of that number was killed while it wrote.
    let _ = std::fs::remove_file(&aside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    std::fs::rename(&aside, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_stands_there_is_replaced_and_not_followed() {
        let folder = std::env::temp_dir().join(format!("raptormq-file-{}", std::process::id()));
        let path = folder.join("a/b.json");
        let (other, path) = (folder.join("other"), path.to_str().unwrap());
        write(path, b"first").unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(&other, b"untouched").unwrap();
        std::os::unix::fs::symlink(&other, path).unwrap();
        write(path, b"second").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"second");
        assert_eq!(std::fs::read(&other).unwrap(), b"untouched");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
