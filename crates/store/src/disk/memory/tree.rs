//! The files of a disk in memory: what the folders name, and what the files hold.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tells files apart that had the same name one after the other.
pub type FileId = u64;

/// What a file system allocates at once.
const BLOCK_BYTES: usize = 4096;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    File(FileId),
}

/// Names and contents. A clone costs no copy of the contents; they are copied when one side changes them.
#[derive(Clone, Default)]
pub(super) struct Tree {
    pub(super) names: BTreeMap<Arc<Path>, Node>,
    /// Also those of files without a name: handles go on using them.
    pub(super) contents: BTreeMap<FileId, Arc<Vec<u8>>>,
    /// How many changes of names there were when one was last made in a folder.
    pub(super) changed: BTreeMap<PathBuf, u64>,
    changes: u64,
}

/// Something that was done to the disk and not synced yet. Each reaches the disk by itself: the name of a new file, its
/// length, and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A folder was made.
    MakeFolder {
        /// Which folder.
        path: PathBuf,
    },
    /// An empty file was made.
    Create {
        /// Which file.
        path: PathBuf,
        /// The same.
        file: FileId,
    },
    /// A file was given a length; what is new of it is zero.
    SetLength {
        /// The name it had then.
        path: PathBuf,
        /// Which file.
        file: FileId,
        /// Bytes.
        len: u64,
    },
    /// Bytes were written.
    Write {
        /// The name it had when it was opened.
        path: PathBuf,
        /// Which file.
        file: FileId,
        /// Where.
        at: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A file was given another name within its folder.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new one.
        path: PathBuf,
    },
    /// A file or an empty folder was removed.
    Remove {
        /// Which.
        path: PathBuf,
    },
}

/// What a crash does to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It reached the disk.
    Kept,
    /// It did not.
    Lost,
    /// Of a write, that many bytes did, and of a length, whole blocks of that; any other operation is lost.
    Torn(usize),
    /// Of a write, the bytes from there on did; any other operation is lost.
    TornBefore(usize),
    /// Of a write, all but these bytes did; any other operation is lost.
    Hole(usize, usize),
}

impl Operation {
    /// The file or folder, by the name that it had or got.
    pub fn path(&self) -> &Path {
        match self {
            Operation::MakeFolder { path }
            | Operation::Create { path, .. }
            | Operation::SetLength { path, .. }
            | Operation::Write { path, .. }
            | Operation::Rename { path, .. }
            | Operation::Remove { path } => path,
        }
    }

    /// The file that this is about, if it is one that it names by its id.
    pub(super) fn any_file(&self) -> Option<FileId> {
        match self {
            Operation::Create { file, .. } => Some(*file),
            _ => self.file(),
        }
    }

    /// The file whose sync makes this durable; none when that is a folder's.
    pub(super) fn file(&self) -> Option<FileId> {
        match self {
            Operation::SetLength { file, .. } | Operation::Write { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// The folder whose sync makes this durable; none when that is the file's.
    pub(super) fn folder(&self) -> Option<&Path> {
        if self.file().is_some() { None } else { self.path().parent() }
    }
}

impl Tree {
    /// Does what is left of `operation` after its `fate`.
    pub(super) fn apply(&mut self, operation: &Operation, fate: Fate) {
        if fate == Fate::Lost {
            return;
        }
        match operation {
            Operation::Write { file, at, bytes, .. } => {
                self.content(*file);
                for part in parts(fate, bytes.len()) {
                    self.write(*file, *at as usize + part.start, &bytes[part]);
                }
            }
            Operation::SetLength { file, len, .. } => {
                let len = match fate {
                    Fate::Kept => *len as usize,
                    // A file system gives a file its blocks one after the other.
                    Fate::Torn(len) => len / BLOCK_BYTES * BLOCK_BYTES,
                    _ => return,
                };
                self.content(*file).resize(len, 0);
            }
            _ if fate != Fate::Kept => {}
            _ => self.apply_name(operation),
        }
    }

    /// Does an operation on names.
    fn apply_name(&mut self, operation: &Operation) {
        self.changes += 1;
        if let Some(folder) = operation.folder() {
            self.changed.insert(folder.to_owned(), self.changes);
        }
        match operation {
            Operation::Write { .. } | Operation::SetLength { .. } => {}
            Operation::MakeFolder { path } => {
                self.names.insert(path.as_path().into(), Node::Folder);
            }
            Operation::Create { path, file } => {
                self.content(*file);
                self.names.insert(path.as_path().into(), Node::File(*file));
            }
            Operation::Rename { from, path } => {
                if let Some(node) = self.names.remove(from.as_path()) {
                    self.names.insert(path.as_path().into(), node);
                }
            }
            Operation::Remove { path } => {
                self.names.remove(path.as_path());
            }
        }
    }

    fn content(&mut self, file: FileId) -> &mut Vec<u8> {
        Arc::make_mut(self.contents.entry(file).or_default())
    }

    /// Writes what lies within the file: it may be shorter than it was, because its length was lost.
    fn write(&mut self, file: FileId, at: usize, bytes: &[u8]) {
        let content = self.content(file);
        let end = content.len().min(at + bytes.len());
        if at < end {
            content[at..end].copy_from_slice(&bytes[..end - at]);
        }
    }

    /// Leaves only what can be reached by name through folders that are there.
    pub(super) fn pruned(mut self) -> Tree {
        let names = std::mem::take(&mut self.names);
        for (path, node) in names {
            // A folder stands before what is in it.
            let is_reachable = path.parent().is_none_or(|folder| {
                folder.parent().is_none() || self.names.get(folder).is_some_and(|node| *node == Node::Folder)
            });
            if is_reachable {
                self.names.insert(path, node);
            }
        }
        let mut contents = BTreeMap::new();
        for node in self.names.values() {
            if let Node::File(file) = node {
                contents.insert(*file, self.contents.remove(file).unwrap_or_default());
            }
        }
        self.contents = contents;
        self
    }

    /// The file of that name.
    pub(super) fn file(&self, path: &Path) -> Option<(FileId, &Arc<Vec<u8>>)> {
        match self.names.get(path)? {
            Node::File(file) => self.contents.get(file).map(|content| (*file, content)),
            Node::Folder => None,
        }
    }
}

/// Which parts of a write of `len` bytes reached the disk.
fn parts(fate: Fate, len: usize) -> [Range<usize>; 2] {
    match fate {
        Fate::Kept => [0..len, 0..0],
        Fate::Lost => [0..0, 0..0],
        Fate::Torn(count) => [0..count.min(len), 0..0],
        Fate::TornBefore(from) => [from.min(len)..len, 0..0],
        Fate::Hole(from, to) => [0..from.min(len), to.min(len)..len],
    }
}
