//! Extension files of simple queues (`enableConsumeQueueExt`): what is too much for a unit. A unit's tags code then is an
//! address in them.
//!
//! i16 size, i64 tags code, i64 store timestamp, i16 length of a bit map, the bit map. Four bytes of each file stay free
//! at its end; where a unit does not fit any more stands an i16 -1 (Java: `store/ConsumeQueueExt.java`).

use std::io;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::{Queue, QueueType};

/// Bytes of a unit without a bit map, which nobody computes yet.
const UNIT_BYTES: usize = 20;
/// Bytes that stay free at the end of a file.
const END_BYTES: i64 = 4;
/// In the place of a size: the file ends here.
const END: i16 = -1;
/// Addresses are below every hash of tags.
const ADDRESS_MAX: i64 = i32::MIN as i64 - 1;

/// What of a queue's extension is not in the files yet. It ends at `written + bytes`.
#[derive(Debug, Default)]
pub(super) struct ExtTail {
    written: i64,
    bytes: Vec<u8>,
}

/// Where in the extension the unit lies that a tags code is the address of.
pub(crate) fn address_of(tags_code: i64) -> Option<i64> {
    (tags_code <= ADDRESS_MAX).then(|| tags_code.wrapping_sub(i64::MIN))
}

impl ExtTail {
    /// Adds a unit and returns its address.
    pub(super) fn push(&mut self, tags_code: i64, store_timestamp_ms: i64, file_bytes: i64) -> i64 {
        let mut at = self.written + self.bytes.len() as i64;
        let left = file_bytes - at % file_bytes;
        if UNIT_BYTES as i64 > left - END_BYTES {
            self.bytes.extend_from_slice(&END.to_be_bytes());
            self.bytes.resize(self.bytes.len() + left as usize - size_of::<i16>(), 0);
            at += left;
        }
        self.bytes.extend_from_slice(&(UNIT_BYTES as i16).to_be_bytes());
        self.bytes.extend_from_slice(&tags_code.to_be_bytes());
        self.bytes.extend_from_slice(&store_timestamp_ms.to_be_bytes());
        self.bytes.extend_from_slice(&0_i16.to_be_bytes());
        at.wrapping_add(i64::MIN)
    }

    /// Writes what is not in the files.
    pub(super) fn write_behind(&mut self, queue: &Queue, files: &QueueFiles) -> io::Result<()> {
        files.write_ext(queue, self.written, &self.bytes)?;
        self.written += self.bytes.len() as i64;
        self.bytes.clear();
        Ok(())
    }
}

impl Queue {
    /// The tags code of a unit, which may have to be looked up; `None` when it cannot be.
    pub(crate) fn resolve_tags_code(&self, files: &QueueFiles, tags_code: i64) -> Option<i64> {
        let Some(at) = address_of(tags_code).filter(|_| self.queue_type == QueueType::Simple) else {
            return Some(tags_code);
        };
        let mut unit = [0; UNIT_BYTES];
        let in_memory = {
            let tail = self.tail.lock();
            let from = usize::try_from(at - tail.ext.written).ok();
            let bytes = from.and_then(|from| tail.ext.bytes.get(from..)?.first_chunk::<UNIT_BYTES>().copied());
            bytes.map(|bytes| unit = bytes).is_some()
        };
        if !in_memory && let Err(error) = files.read_ext(self, at, &mut unit) {
            tracing::error!(queue = ?self, at, %error, "an extension of a consume queue cannot be read");
            return None;
        }
        let is_unit = i16::from_be_bytes([unit[0], unit[1]]) >= UNIT_BYTES as i16;
        unit[2..].first_chunk().filter(|_| is_unit).map(|code| i64::from_be_bytes(*code))
    }

    /// Lets the extension end behind the last unit that the queue's units up to position `end` name.
    pub(super) fn settle_ext(&self, files: &QueueFiles, end: i64) -> io::Result<()> {
        if !self.has_ext {
            return Ok(());
        }
        let mut written = 0;
        let mut position = end;
        while position > self.first() {
            position -= 1;
            if let Some(at) = self.unit(files, position)?.and_then(|unit| address_of(unit.tags_code)) {
                let mut size = [0; 2];
                let found = files.read_ext(self, at, &mut size);
                let size = found.ok().map(|()| i16::from_be_bytes(size)).filter(|size| *size > 0);
                written = at + i64::from(size.unwrap_or(UNIT_BYTES as i16));
                break;
            }
        }
        self.tail.lock().ext = ExtTail { written, bytes: Vec::new() };
        Ok(())
    }

    /// Deletes the files of the extension before the unit that the queue's first unit names.
    pub(super) fn ext_follow_log(&self, files: &QueueFiles) -> io::Result<()> {
        if !self.has_ext {
            return Ok(());
        }
        let Some(at) = self.unit(files, self.first())?.and_then(|unit| address_of(unit.tags_code)) else {
            return Ok(());
        };
        let first = self.ext_first_file.load(Ordering::Acquire);
        for number in first..at / files.ext_file_bytes() {
            files.delete_ext(self, number)?;
            self.ext_first_file.store(number + 1, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stand_as_java_writes_them() {
        let mut tail = ExtTail::default();
        let addresses: Vec<_> = (0..7).map(|number| tail.push(number, 9, 128)).collect();
        assert_eq!(addresses[..2], [i64::MIN, i64::MIN + 20]);
        // Six fit into a file of 128 bytes; then it says that it ends.
        assert_eq!((addresses[6], &tail.bytes[120..124]), (i64::MIN + 128, [255_u8, 255, 0, 0].as_slice()));
        assert_eq!(tail.bytes[..20], [0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!((address_of(addresses[6]), address_of(i64::from(i32::MIN)), address_of(0)), (Some(128), None, None));
    }
}
