//! A log file that rolls by size: `NAME.log` is the newest, `otherdays/NAME.1.log.gz` the one before, and so on.
//!
//! tracing-appender rolls by time only and does not compress. The layout is that of RocketMQ's logback files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;

/// When a file rolls, and how many old ones are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// Bytes after which the file is put away.
    pub(super) file_bytes_max: u64,
    /// Old files that are kept.
    pub(super) old_files_max: u32,
}

impl Default for Rotation {
    /// RocketMQ's: 128 MiB, ten old files.
    fn default() -> Rotation {
        Rotation { file_bytes_max: 128 * 1024 * 1024, old_files_max: 10 }
    }
}

/// The newest log file and what rolls it. Written by one thread.
pub(super) struct RollingFile {
    folder: PathBuf,
    name: String,
    rotation: Rotation,
    file: File,
    bytes: u64,
    /// The compression that is under way; the next roll waits for it.
    compressing: Option<JoinHandle<()>>,
}

impl RollingFile {
    /// Opens `NAME.log` in `folder` to append to it, and makes the folder if there is none.
    pub(super) fn open(folder: &Path, name: &str, rotation: Rotation) -> io::Result<RollingFile> {
        std::fs::create_dir_all(folder)?;
        let file = append_to(&folder.join(format!("{name}.log")))?;
        let bytes = file.metadata()?.len();
        Ok(RollingFile { folder: folder.into(), name: name.into(), rotation, file, bytes, compressing: None })
    }

    /// Puts the file away and begins a new one. Compressing goes on in the background.
    fn roll(&mut self) -> io::Result<()> {
        self.finish_compressing();
        let old_days = self.folder.join("otherdays");
        std::fs::create_dir_all(&old_days)?;
        let current = self.folder.join(format!("{}.log", self.name));
        let put_away = old_days.join(format!("{}.1.log", self.name));
        for index in (1..=self.rotation.old_files_max).rev() {
            let from = old_days.join(format!("{}.{index}.log.gz", self.name));
            let to = old_days.join(format!("{}.{}.log.gz", self.name, index + 1));
            let moved = if index == self.rotation.old_files_max {
                std::fs::remove_file(&from)
            } else {
                std::fs::rename(&from, &to)
            };
            if let Err(reason) = moved
                && reason.kind() != io::ErrorKind::NotFound
            {
                return Err(reason);
            }
        }
        std::fs::rename(&current, &put_away)?;
        self.file = append_to(&current)?;
        self.bytes = 0;
        let compress = move || {
            // The uncompressed file stays when it cannot be compressed: nothing is lost, and the next roll tells.
            if compress(&put_away).is_ok() {
                let _ = std::fs::remove_file(&put_away);
            }
        };
        self.compressing = std::thread::Builder::new().name("log-compress".into()).spawn(compress).ok();
        Ok(())
    }

    fn finish_compressing(&mut self) {
        if let Some(thread) = self.compressing.take() {
            let _ = thread.join(); // a panic there left the uncompressed file, which is all there is to lose
        }
    }
}

impl Write for RollingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_full = self.bytes > 0 && self.bytes + line.len() as u64 > self.rotation.file_bytes_max;
        if is_full && self.roll().is_err() {
            // The disk is full or the folder is gone: go on with the file there is, and try again after as much more.
            self.bytes = 0;
        }
        let written = self.file.write(line)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for RollingFile {
    fn drop(&mut self) {
        self.finish_compressing();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes `FILE.gz` beside the file, complete or not at all.
fn compress(path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension("log.gz.tmp");
    let mut input = File::open(path)?;
    let mut output = GzEncoder::new(File::create(&unfinished)?, Compression::fast());
    io::copy(&mut input, &mut output)?;
    output.finish()?;
    std::fs::rename(&unfinished, path.with_extension("log.gz"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn unzipped(path: &Path) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn old_files_are_numbered_compressed_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation { file_bytes_max: 10, old_files_max: 2 };
        let mut file = RollingFile::open(folder.path(), "broker", rotation).unwrap();
        for line in ["line one\n", "line two\n", "line three\n", "line four\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        drop(file);
        let old_days = folder.path().join("otherdays");
        assert_eq!(std::fs::read_to_string(folder.path().join("broker.log")).unwrap(), "line four\n");
        assert_eq!(unzipped(&old_days.join("broker.1.log.gz")), "line three\n");
        assert_eq!(unzipped(&old_days.join("broker.2.log.gz")), "line two\n");
        assert_eq!(std::fs::read_dir(&old_days).unwrap().count(), 2);
    }

    #[test]
    fn a_file_from_before_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        for line in ["first\n", "second\n"] {
            RollingFile::open(folder.path(), "n", Rotation::default()).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("n.log")).unwrap(), "first\nsecond\n");
    }
}
