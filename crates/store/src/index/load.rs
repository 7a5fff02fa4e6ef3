//! The index at opening: which files there are, and what they are worth after an unclean stop.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::file::IndexFile;
use super::format::Layout;
use super::{Index, Records, Resume, State};
use crate::disk::Disk;
use crate::options::StoreOptions;
use crate::unfit::{Leftover, Unfit, warn_of_foreign};

/// Digits of a file's name: yyyyMMddHHmmssSSS.
const NAME_DIGITS: usize = 17;

impl Index {
    /// Opens the files, and changes nothing. A store without index does not look at them.
    pub(crate) fn load(
        disk: Arc<dyn Disk>,
        options: Arc<StoreOptions>,
        leftovers: &mut Vec<Leftover>,
    ) -> Result<Index, Unfit> {
        let layout = Layout { slots: options.index_slots, entries: options.index_entries };
        let index = Index { disk, options, layout, state: Mutex::default() };
        if index.options.index_enabled {
            index.load_files(leftovers)?;
        }
        Ok(index)
    }

    /// Whether there are files.
    pub(crate) fn has_files(&self) -> bool {
        !self.state.lock().files.is_empty()
    }

    fn load_files(&self, leftovers: &mut Vec<Leftover>) -> Result<(), Unfit> {
        let mut files = Vec::new();
        let folder = self.folder();
        for entry in self.disk.list(&folder).map_err(Unfit::io(&folder))? {
            if entry.name.len() != NAME_DIGITS || !entry.name.bytes().all(|byte| byte.is_ascii_digit()) {
                warn_of_foreign(&folder, &entry);
                continue;
            }
            let path = folder.join(&entry.name);
            if entry.is_folder {
                let expected = format!("a file of {} bytes", self.layout.file_bytes());
                return Err(Unfit::wrong(&path, expected, "a folder".to_owned(), "move the folder away"));
            } else if entry.len == 0 {
                // What is no file has no length either.
                self.disk.open(&path).map_err(Unfit::io(&path))?;
                leftovers.push(Leftover { path, why: "its making was cut short" });
            } else if entry.len != self.layout.file_bytes() {
                tracing::warn!(
                    path = %path.display(),
                    bytes = entry.len,
                    expected = self.layout.file_bytes(),
                    "an index file of other maxHashSlotNum and maxIndexNum is not used"
                );
            } else {
                let opened = self.disk.open(&path).and_then(|file| IndexFile::open(path.clone(), self.layout, file));
                files.push(opened.map_err(Unfit::io(&path))?);
            }
        }
        let mut state = self.state.lock();
        state.finished = files.iter().take_while(|file| file.is_full()).count();
        state.synced = state.finished;
        let end_offset = files.iter().rev().find(|file| file.header.next_entry > 1);
        state.resume = Resume { log_offset: end_offset.map_or(-1, |file| file.header.end_offset), keys: usize::MAX };
        state.files = files;
        Ok(())
    }

    /// Verifies the files that were not on disk for good when the store last stopped uncleanly, and returns the log offset
    /// from which records have to be replayed; nothing when there are no files.
    pub(crate) fn verify(&self, safe_until_ms: i64, log_end: i64, log: &dyn Records) -> io::Result<Option<i64>> {
        let state = &mut *self.state.lock();
        if state.files.is_empty() {
            return Ok(None);
        }
        let safe = state.files.iter().take_while(|file| file.is_full() && file.header.end_ms <= safe_until_ms).count();
        let mut kept = safe;
        for file in &mut state.files[safe..] {
            file.verify(log_end, log)?;
            kept += 1;
            if !file.is_full() {
                break;
            }
        }
        self.keep(state, kept)?;
        state.finished = state.finished.min(safe);
        state.synced = state.synced.min(safe);
        state.resume = state.resume()?;
        Ok(Some(state.resume.log_offset.max(0)))
    }

    /// Drops the entries of records at `log_end` and behind it, which the log turned out not to have.
    pub(crate) fn cut(&self, log_end: i64, log: &dyn Records) -> io::Result<()> {
        if self.state.lock().files.iter().any(|file| file.header.next_entry > 1 && file.header.end_offset >= log_end) {
            self.verify(0, log_end, log)?;
        }
        Ok(())
    }

    /// Removes the files behind the first `count`.
    fn keep(&self, state: &mut State, count: usize) -> io::Result<()> {
        for file in state.files.drain(count..) {
            tracing::warn!(path = %file.path.display(), "removed an index file behind one that is not full; its keys are put in again");
            self.disk.remove(&file.path)?;
        }
        Ok(())
    }
}

impl State {
    /// What the last entries say.
    fn resume(&self) -> io::Result<Resume> {
        let Some(last) = self.files.iter().rev().find(|file| file.header.next_entry > 1) else {
            return Ok(Resume { log_offset: -1, keys: 0 });
        };
        let log_offset = last.header.end_offset;
        let mut keys = 0;
        // The keys of one record may stand in two files.
        for file in self.files.iter().rev() {
            for number in (1..file.header.next_entry).rev() {
                if file.read_entry(number)?.log_offset != log_offset {
                    return Ok(Resume { log_offset, keys });
                }
                keys += 1;
            }
        }
        Ok(Resume { log_offset, keys })
    }
}

/// The name of a file begun at that time, which is local time as in the original, and behind the last file's.
pub(super) fn file_name(now_ms: i64, last: Option<&str>) -> String {
    let time = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::system());
    let name = time.strftime("%Y%m%d%H%M%S%3f").to_string();
    match last.and_then(|last| last.parse::<u64>().ok()) {
        // Two files in one millisecond, or a clock that went back: names must still follow each other.
        Some(last) if name.parse::<u64>().is_ok_and(|name| name <= last) => format!("{:017}", last + 1),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_times_that_follow_each_other() {
        let name = file_name(1_700_000_000_123, None);
        assert!(name.len() == NAME_DIGITS && name.starts_with("202311") && name.ends_with("123"), "{name}");
        assert_eq!(file_name(0, Some("20231114221320999")), "20231114221321000");
    }
}
