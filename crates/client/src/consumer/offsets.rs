//! Where a group is in each queue: kept by the broker for clustering groups, in a local file for broadcasting ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::json;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Folder of all clients' broadcast offsets within the home folder (Java: `LocalFileOffsetStore`).
const FOLDER: &str = ".rocketmq_offsets";
/// Name of the file.
const FILE: &str = "offsets.json";
/// Name of the file as it was before the last write.
const BACKUP: &str = "offsets.json.bak";

/// The offsets of a broadcasting group: `~/.rocketmq_offsets/<client>/<group>/offsets.json`, as Java's clients have it.
pub(crate) struct LocalOffsets {
    folder: PathBuf,
    table: Mutex<BTreeMap<MessageQueue, i64>>,
}

/// The file's content. Java: `OffsetSerializeWrapper`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    offset_table: BTreeMap<MessageQueue, i64>,
}

impl LocalOffsets {
    /// Opens the offsets of `group` below `home`, the folder `~` stands for. What cannot be read is taken from the
    /// backup; without either the group begins anew.
    pub(crate) fn open(home: &Path, client: &str, group: &str) -> Result<LocalOffsets> {
        let folder = home.join(FOLDER).join(client).join(group);
        let content = match read(&folder.join(FILE)) {
            Ok(Some(content)) => content,
            // The file is empty or broken when the machine stopped while it was written.
            outcome => {
                if let Err(error) = outcome {
                    tracing::warn!(%error, folder = %folder.display(), "broadcast offsets are taken from the backup");
                }
                read(&folder.join(BACKUP))?.unwrap_or_default()
            }
        };
        Ok(LocalOffsets { folder, table: Mutex::new(content.offset_table) })
    }

    /// The offset kept for a queue.
    pub(crate) fn get(&self, queue: &MessageQueue) -> Option<i64> {
        self.table.lock().get(queue).copied().filter(|offset| *offset >= 0)
    }

    /// Keeps offsets and writes the file, if anything is new.
    pub(crate) fn save(&self, offsets: impl IntoIterator<Item = (MessageQueue, i64)>) -> Result<()> {
        let text = {
            let mut table = self.table.lock();
            let mut changed = false;
            for (queue, offset) in offsets {
                changed |= table.insert(queue, offset) != Some(offset);
            }
            if !changed {
                return Ok(());
            }
            let content = Content { offset_table: table.clone() };
            json::to_pretty(&content).map_err(|error| Error::protocol(error.to_string()))?
        };
        self.write(&text).map_err(|error| {
            let text = format!("cannot write broadcast offsets to {}", self.folder.join(FILE).display());
            Error::new(ErrorKind::Storage, format!("{text}: {error}")).with_source(error)
        })
    }

    /// Writes the file beside the old one, which becomes the backup.
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let (file, backup, new) =
            (self.folder.join(FILE), self.folder.join(BACKUP), self.folder.join(format!("{FILE}.tmp")));
        fs::create_dir_all(&self.folder)?;
        let mut out = fs::File::create(&new)?;
        out.write_all(text)?;
        out.sync_all()?;
        match fs::rename(&file, &backup) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&new, &file)
    }
}

/// The content of a file; `None` when there is no file or it is empty.
fn read(file: &Path) -> Result<Option<Content>> {
    let failed = |reason: String| Error::new(ErrorKind::Storage, format!("cannot read {}: {reason}", file.display()));
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    json::from_slice(&text).map(Some).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> MessageQueue {
        MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id }
    }

    #[test]
    fn offsets_survive_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let offsets = LocalOffsets::open(home.path(), "10.0.0.1@DEFAULT", "g").unwrap();
        assert_eq!(offsets.get(&queue(0)), None);
        offsets.save([(queue(0), 5), (queue(1), 7)]).unwrap();
        offsets.save([(queue(0), 6)]).unwrap();
        let again = LocalOffsets::open(home.path(), "10.0.0.1@DEFAULT", "g").unwrap();
        assert_eq!((again.get(&queue(0)), again.get(&queue(1)), again.get(&queue(2))), (Some(6), Some(7), None));
    }

    #[test]
    fn the_file_of_a_java_client_is_read_and_a_broken_one_replaced_by_the_backup() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(FOLDER).join("c").join("g");
        fs::create_dir_all(&folder).unwrap();
        let java = "{\n\t\"offsetTable\":{{\n\t\t\t\"brokerName\":\"b\",\n\t\t\t\"queueId\":1,\n\t\t\t\"topic\":\"T\"\n\t\t}:42\n\t}\n}";
        fs::write(folder.join(FILE), java).unwrap();
        assert_eq!(LocalOffsets::open(home.path(), "c", "g").unwrap().get(&queue(1)), Some(42));
        for broken in ["", "{\"offsetTable\":"] {
            fs::write(folder.join(FILE), broken).unwrap();
            fs::write(folder.join(BACKUP), java).unwrap();
            assert_eq!(LocalOffsets::open(home.path(), "c", "g").unwrap().get(&queue(1)), Some(42), "{broken:?}");
        }
    }
}
