//! The file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Write};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Disk, Entry, LogFile, Space, Usage, checked_range};

/// What the file `lock` holds.
const LOCK: &[u8; 4] = b"lock";
/// What the kernel calls tmpfs (`statfs(2)`).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// What `stat(2)` counts blocks in.
const STAT_BLOCK_BYTES: u64 = 512;

/// Bytes that are written at once where zeros have to be written.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, len: u64, space: Space) -> io::Result<Arc<dyn LogFile>> {
        let make = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            OpenOptions::new().read(true).write(true).create_new(true).open(path)
        };
        let file = make().map_err(|error| at(path, error))?;
        let sized = match space {
            Space::Reserved => reserve(&file, len),
            Space::Sparse => file.set_len(len),
        };
        if let Err(error) = sized {
            // A file without its length would be taken for a damaged one at the next start.
            if let Err(remove_error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %remove_error, "a file that could not be sized stays behind");
            }
            return Err(error);
        }
        Ok(Arc::new(RealFile::new(file, len)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        opened(OpenOptions::new().read(true).write(true), path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        opened(OpenOptions::new().read(true), path)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        regular(OpenOptions::new().read(true), path)?.0.take(bytes_max + 1).read_to_end(&mut content)?;
        if content.len() as u64 > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {bytes_max} bytes")));
        }
        Ok(content)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        self.create_folder(folder)?;
        let mut aside = path.as_os_str().to_owned();
        aside.push(".tmp");
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        };
        if let Err(error) = write() {
            // On a full disk it would take away room; where it was never made there is nothing to remove.
            let _ = fs::remove_file(&aside);
            return Err(at(path, error));
        }
        self.sync_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Of a folder the listing itself says what it is: there may be many.
            let is_folder = entry.file_type()?.is_dir();
            let len = if is_folder { 0 } else { entry.metadata()?.len() };
            found.push(Entry { name, is_folder, len });
        }
        found.sort();
        Ok(found)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(folder)?;
        for made in missing.into_iter().rev() {
            // A relative path of one name has an empty parent, which is the working folder.
            let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if let Err(error) = self.sync_folder(above) {
                // One that is there already would not be synced the next time. It may have got content meanwhile.
                let _ = fs::remove_dir(made);
                return Err(error);
            }
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn sync_all(&self, folder: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(folder)?)?)
    }

    fn lock(&self, root: &Path) -> io::Result<Box<dyn Send + Sync>> {
        // The original takes a record lock on the first byte of the file `lock`, which keeps other processes out but not
        // a second store of this one, and which is lost when any handle of that file is closed. So the folder is
        // locked first: that lock belongs to the handle, and a second store never gets as far as opening the file.
        let folder = File::open(root)?;
        rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
        let (file, _) =
            regular(OpenOptions::new().read(true).write(true).create(true).truncate(false), &root.join("lock"))?;
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            // EACCES and EAGAIN both say that another process has it.
            if error == rustix::io::Errno::ACCESS { io::ErrorKind::WouldBlock.into() } else { io::Error::from(error) }
        })?;
        // The original writes it at every start. That ours does not tells where one of the others was: see
        // [`crate::consume_queue::tails`].
        let mut content = [0; LOCK.len()];
        if file.read_exact_at(&mut content, 0).is_err() || content != *LOCK {
            file.write_all_at(LOCK, 0)?;
        }
        Ok(Box::new((folder, file)))
    }

    fn changed_at(&self, folder: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(folder) {
            // The time of the last change of the folder, which nobody can set.
            Ok(data) => {
                Ok(Some((data.ctime() as u64).wrapping_mul(1_000_000_000).wrapping_add(data.ctime_nsec() as u64)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn usage(&self, folder: &Path) -> io::Result<Usage> {
        let mut found = Err(rustix::io::Errno::NOENT);
        for folder in folder.ancestors() {
            found = rustix::fs::statvfs(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
            if !matches!(found, Err(rustix::io::Errno::NOENT)) {
                break;
            }
        }
        let stat = found?;
        Ok(Usage {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            used_bytes: stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let modified = fs::metadata(path)?.modified()?;
        // A file from before 1970 counts as one of 1970.
        Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }
}

/// The same error, which says where.
fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Opens a file and says how long it is. What is none, as a pipe that nobody writes to, is refused rather than waited for.
fn regular(how: &mut OpenOptions, path: &Path) -> io::Result<(File, u64)> {
    let file = how.custom_flags(libc::O_NONBLOCK).open(path)?;
    let data = file.metadata()?;
    if data.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !data.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotSeekable, "a pipe, a device or a socket"));
    }
    Ok((file, data.len()))
}

fn opened(how: &mut OpenOptions, path: &Path) -> io::Result<Arc<dyn LogFile>> {
    let (file, len) = regular(how, path)?;
    Ok(Arc::new(RealFile::new(file, len)?))
}

/// Sets the space of a new file aside; where the file system cannot, the file only gets its length. In tmpfs it would take
/// memory for what may never be written.
///
/// The file has no length before it has all of its space: who is killed meanwhile leaves an empty one.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    let in_memory = rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type == TMPFS_MAGIC);
    if len > 0 && !in_memory {
        // An attempt that fails would take all the room there is for a moment, which others need for a few bytes.
        if rustix::fs::fstatvfs(file).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < len) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    file.set_len(len)
}

/// Bytes of a file that one mapping shows at most. Pages stay in the process's resident memory as long as the mapping that
/// they were touched through, so a long-lived mapping would grow to what was ever read; they stay in the page cache anyway.
const MAPPING_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a file that are kept book of together.
const BLOCK_BYTES: u64 = 64 << 10;

/// How long a block that was found in memory is taken to be there: whoever reads a queue comes back for the next messages of
/// the same blocks at once, and what was just read is not the first that the kernel gives up.
const FOUND_FOR: Duration = Duration::from_millis(500);

/// An open file, and its mapping once somebody wanted a view.
struct RealFile {
    file: File,
    len: u64,
    mapping: Mutex<Mapping>,
}

/// The mapping that serves views now.
#[derive(Default)]
struct Mapping {
    /// The whole file; unmapped when it was replaced and its last view is dropped.
    bytes: Bytes,
    /// What its views show.
    viewed: Blocks,
    found: Found,
}

/// Some of a file's blocks.
#[derive(Default)]
struct Blocks {
    /// A bit a block.
    bits: Vec<u64>,
    count: u64,
}

impl Blocks {
    /// The blocks that hold those bytes.
    fn of(at: u64, len: u64) -> Range<u64> {
        at / BLOCK_BYTES..(at + len).div_ceil(BLOCK_BYTES)
    }

    fn has(&self, block: u64) -> bool {
        self.bits.get((block / 64) as usize).is_some_and(|bits| bits >> (block % 64) & 1 == 1)
    }

    fn add(&mut self, blocks: Range<u64>) {
        for block in blocks {
            if !self.has(block) {
                let word = (block / 64) as usize;
                self.bits.resize(self.bits.len().max(word + 1), 0);
                self.bits[word] |= 1 << (block % 64);
                self.count += 1;
            }
        }
    }

    fn clear(&mut self) {
        self.bits.clear();
        self.count = 0;
    }
}

/// Blocks of a file that were in memory a moment ago.
#[derive(Default)]
struct Found {
    blocks: Blocks,
    /// When the first of them was found.
    since: Option<Instant>,
}

impl Found {
    /// Whether all those blocks were found.
    fn has(&mut self, mut blocks: Range<u64>) -> bool {
        let is_fresh = self.since.is_some_and(|since| since.elapsed() < FOUND_FOR);
        if !is_fresh {
            self.blocks.clear();
            self.since = None;
        }
        is_fresh && blocks.all(|block| self.blocks.has(block))
    }

    fn add(&mut self, blocks: Range<u64>) {
        self.since.get_or_insert_with(Instant::now);
        self.blocks.add(blocks);
    }
}

impl RealFile {
    fn new(file: File, len: u64) -> io::Result<RealFile> {
        usize::try_from(len).map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "longer than an address"))?;
        Ok(RealFile { file, len, mapping: Mutex::default() })
    }

    /// The mapping that serves views, of which one of those blocks is made.
    fn mapped(&self, view: Range<u64>) -> io::Result<Bytes> {
        let mut mapping = self.mapping.lock();
        if mapping.bytes.is_empty() || mapping.viewed.count >= MAPPING_BYTES_MAX / BLOCK_BYTES {
            mapping.bytes = self.map()?;
            mapping.viewed.clear();
        }
        mapping.viewed.add(view);
        Ok(mapping.bytes.clone())
    }

    /// The whole file, mapped for reading.
    fn map(&self) -> io::Result<Bytes> {
        let mut options = memmap2::MmapOptions::new();
        options.len(self.len as usize);
        // SAFETY: The store's lock keeps other processes that keep to it away, the length was taken at opening and
        // this process never shortens a file, so every byte of the mapping exists as long as the mapping does. The
        // range check of `view` and its contract keep the slices handed out apart from ranges still to be written: what
        // is seen through a slice does not change.
        #[allow(unsafe_code)]
        let mapping = unsafe { options.map(&self.file)? };
        Ok(Bytes::from_owner(mapping))
    }
}

/// Whether all pages of a part of a mapping are in memory.
fn are_resident(view: &[u8]) -> io::Result<bool> {
    /// Pages that are asked about at once.
    const PAGES: usize = 64;
    let page_bytes = rustix::param::page_size();
    let end = view.as_ptr().addr() + view.len();
    let mut at = view.as_ptr().addr() / page_bytes * page_bytes;
    while at < end {
        let mut is_resident = [0_u8; PAGES];
        let len = (end - at).min(PAGES * page_bytes);
        // SAFETY: `at` is the start of a page, and all pages up to `end` belong to the mapping that `view` borrows from: the
        // first begins at or behind the mapping's own start, which is that of a page. The kernel reads no memory of
        // the range and writes one byte a page into `is_resident`, of which there are at most `PAGES`.
        #[allow(unsafe_code)]
        let result = unsafe { libc::mincore(std::ptr::without_provenance_mut(at), len, is_resident.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        if is_resident[..len.div_ceil(page_bytes)].iter().any(|page| page & 1 == 0) {
            return Ok(false);
        }
        at += len;
    }
    Ok(true)
}

impl LogFile for RealFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        checked_range(at, bytes.len() as u64, self.len)?;
        self.file.write_all_at(bytes, at)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        checked_range(at, into.len() as u64, self.len)?;
        self.file.read_exact_at(into, at)
    }

    fn read_cached_at(&self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        checked_range(at, into.len() as u64, self.len)?;
        let mut done = 0;
        while done < into.len() {
            let rest = &mut into[done..];
            match preadv2(&self.file, &mut [IoSliceMut::new(rest)], at + done as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                // The file system cannot tell, as tmpfs of older kernels, which has everything in memory anyway.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return self.file.read_exact_at(&mut into[done..], at + done as u64).map(|()| true);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn is_cached(&self, at: u64, len: usize) -> io::Result<bool> {
        let range = checked_range(at, len as u64, self.len)?;
        if range.is_empty() {
            return Ok(true);
        }
        let blocks = Blocks::of(at, len as u64);
        if self.mapping.lock().found.has(blocks.clone()) {
            return Ok(true);
        }
        let bytes = self.mapped(0..0)?;
        let whole = (blocks.start * BLOCK_BYTES) as usize..(blocks.end * BLOCK_BYTES).min(self.len) as usize;
        if are_resident(&bytes[whole])? {
            self.mapping.lock().found.add(blocks);
            return Ok(true);
        }
        are_resident(&bytes[range])
    }

    fn read_ahead(&self, at: u64, len: usize) {
        let len = self.len.saturating_sub(at).min(len as u64);
        if let Some(len) = NonZeroU64::new(len) {
            // Advice only: without it the read that follows waits longer.
            let _ = fadvise(&self.file, at, Some(len), Advice::WillNeed);
        }
    }

    fn view(&self, at: u64, len: usize) -> io::Result<Bytes> {
        let range = checked_range(at, len as u64, self.len)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        Ok(self.mapped(Blocks::of(at, len as u64))?.slice(range))
    }

    fn release_views(&self) {
        *self.mapping.lock() = Mapping::default();
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        checked_range(at, len, self.len)?;
        if len == 0 {
            return Ok(());
        }
        // Zeroing a range sets its space aside; a file that is mostly holes is to stay so.
        let is_sparse =
            self.file.metadata().is_ok_and(|data| data.blocks().saturating_mul(STAT_BLOCK_BYTES) < self.len);
        let mut modes = [FallocateFlags::ZERO_RANGE, FallocateFlags::PUNCH_HOLE];
        if is_sparse {
            modes.reverse();
        }
        for mode in modes {
            if rustix::fs::fallocate(&self.file, mode | FallocateFlags::KEEP_SIZE, at, len).is_ok() {
                return Ok(());
            }
        }
        let mut at = at;
        let end = at + len;
        while at < end {
            let count = (end - at).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..count as usize], at)?;
            at += count;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // Without the times of the file; a changed length would be included.
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_were_found_are_known_for_a_while() {
        let mut found = Found::default();
        assert!(!found.has(0..1));
        found.add(3..5);
        found.add(63..65);
        assert!(found.has(3..5) && found.has(64..65) && !found.has(2..4) && !found.has(64..66) && !found.has(200..201));
        found.since = found.since.and_then(|since| since.checked_sub(FOUND_FOR));
        assert!(!found.has(3..5), "too long ago");
        found.add(7..8);
        assert!(found.has(7..8) && !found.has(3..5));
    }

    #[test]
    fn what_was_just_written_is_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("a"), 100_000, Space::Reserved).unwrap();
        file.write_at(0, &[7; 100_000]).unwrap();
        assert!(file.is_cached(10, 99_990).unwrap());
        let mut into = [0; 3];
        assert!(file.read_cached_at(99_997, &mut into).unwrap());
        assert_eq!(into, [7; 3]);
        file.read_ahead(50_000, usize::MAX);
        file.load(1, 99_999).unwrap();
        assert!(file.is_cached(1, 100_000).is_err() && file.load(0, 100_001).is_err(), "behind the end");
    }

    #[test]
    fn a_prepared_file_reads_as_zeros_and_views_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let file = RealDisk.create(&path, 10_000, Space::Reserved).unwrap();
        assert_eq!(file.view(0, 10_000).unwrap(), vec![0; 10_000]);
        file.write_at(9_000, b"hello").unwrap();
        assert_eq!(file.view(9_000, 5).unwrap().as_ref(), b"hello");
        file.sync().unwrap();
        let again = RealDisk.open(&path).unwrap();
        let mut read = [0; 5];
        again.read_at(9_000, &mut read).unwrap();
        assert_eq!(&read, b"hello");
        file.zero(8_000, 2_000).unwrap();
        again.read_at(9_000, &mut read).unwrap();
        assert_eq!(read, [0; 5]);
        assert_eq!(again.len(), 10_000);
    }

    #[test]
    fn zeroing_a_file_of_holes_takes_no_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let file = RealDisk.create(&path, 64 << 20, Space::Sparse).unwrap();
        file.write_at(5 << 20, b"hello").unwrap();
        file.zero(1 << 20, 60 << 20).unwrap();
        assert_eq!(file.view(5 << 20, 5).unwrap(), vec![0; 5]);
        file.sync().unwrap();
        let blocks = fs::metadata(&path).unwrap().blocks();
        assert!(blocks * STAT_BLOCK_BYTES < 1 << 20, "{blocks} blocks");
    }

    #[test]
    fn a_file_that_the_disk_has_no_room_for_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let free_bytes = RealDisk.usage(folder.path()).unwrap().free_bytes;
        let in_memory = rustix::fs::statfs(folder.path()).unwrap().f_type == TMPFS_MAGIC;
        if !in_memory && free_bytes < 1 << 42 {
            let refused = RealDisk.create(&path, 1 << 43, Space::Reserved);
            assert_eq!(refused.err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_is_not_within_the_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("f"), 100, Space::Sparse).unwrap();
        for error in [
            file.write_at(98, b"abc").unwrap_err(),
            file.read_at(u64::MAX, &mut [0; 2]).unwrap_err(),
            file.view(0, 101).unwrap_err(),
            file.zero(100, 1).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let second = RealDisk.create(&folder.path().join("f"), 100, Space::Sparse);
        assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
    }

    #[test]
    fn a_view_outlives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let file = RealDisk.create(&path, 100, Space::Sparse).unwrap();
        file.write_at(0, b"hello").unwrap();
        let view = file.view(0, 5).unwrap();
        drop(file);
        RealDisk.remove(&path).unwrap();
        assert_eq!(view.as_ref(), b"hello");
    }

    #[test]
    fn views_of_a_mapping_that_was_replaced_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("f"), 2 * MAPPING_BYTES_MAX, Space::Sparse).unwrap();
        file.write_at(0, b"hello").unwrap();
        let early = file.view(0, 5).unwrap();
        for _ in 0..2 * MAPPING_BYTES_MAX / BLOCK_BYTES {
            assert_eq!(file.view(0, 5).unwrap().as_ptr(), early.as_ptr(), "the same block again costs no room");
        }
        for at in (0..2 * MAPPING_BYTES_MAX).step_by(BLOCK_BYTES as usize) {
            file.view(at, 1).unwrap();
        }
        let late = file.view(0, 5).unwrap();
        assert_ne!(early.as_ptr(), late.as_ptr());
        assert_eq!((early.as_ref(), late.as_ref()), (b"hello".as_slice(), b"hello".as_slice()));
    }

    #[test]
    fn room_and_age_are_those_of_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let usage = RealDisk.usage(folder.path()).unwrap();
        assert!(usage.total_bytes >= usage.used_bytes && usage.total_bytes >= usage.free_bytes, "{usage:?}");
        assert_eq!(RealDisk.usage(&folder.path().join("to/be/made")).unwrap().total_bytes, usage.total_bytes);
        let path = folder.path().join("f");
        RealDisk.create(&path, 10, Space::Sparse).unwrap();
        let aged = UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_123);
        File::options().write(true).open(&path).unwrap().set_modified(aged).unwrap();
        assert_eq!(RealDisk.modified_ms(&path).unwrap(), 1_700_000_000_123);
    }

    #[test]
    fn replace_leaves_nothing_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        RealDisk.replace(&path, b"one").unwrap();
        RealDisk.replace(&path, b"two").unwrap();
        assert_eq!(RealDisk.read(&path, 3).unwrap(), b"two");
        assert_eq!(RealDisk.read(&path, 2).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let names: Vec<_> = RealDisk.list(folder.path()).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["checkpoint"]);
    }

    #[test]
    fn a_locked_folder_is_refused_until_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let guard = RealDisk.lock(folder.path()).unwrap();
        for _ in 0..2 {
            let refused = RealDisk.lock(folder.path()).map(drop).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        }
        drop(guard);
        RealDisk.lock(folder.path()).unwrap();
        assert_eq!(RealDisk.read(&folder.path().join("lock"), 10).unwrap(), b"lock");
    }
}
