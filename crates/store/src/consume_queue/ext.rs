//! Extension files of simple queues (`enableConsumeQueueExt`): what is too much for a unit. A unit's tags code then is an
//! address in them.
//!
//! i16 size, i64 tags code, i64 store timestamp, i16 length of a bit map, the bit map. Four bytes of each file stay free
//! at its end; where a unit does not fit any more stands an i16 -1 (Java: `store/ConsumeQueueExt.java`).

use std::fmt::Debug;
use std::io;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::{Queue, QueueType};
use crate::get::Patience;

/// Bytes of a unit without its bit map.
const HEAD_BYTES: usize = 20;
/// Most bytes of a unit: its size is an i16.
const UNIT_BYTES_MAX: usize = i16::MAX as usize;
/// Bytes that stay free at the end of a file.
const END_BYTES: i64 = 4;
/// In the place of a size: the file ends here.
const END: i16 = -1;
/// Addresses are below every hash of tags.
const ADDRESS_MAX: i64 = i32::MIN as i64 - 1;

/// Says in bits which filters want a message, for the extension of its queue. Asked once when a message comes into its
/// queue, while nothing else can.
pub trait BitMaps: Debug + Send + Sync {
    /// Fills the map, which is empty, for a message of the topic with these properties; one that is left empty is none.
    fn fill(&self, topic: &str, properties: &str, map: &mut Vec<u8>);
}

/// What an extension says of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// Bytes of the unit that it is.
    pub size: i16,
    /// Java's hash of the tags, 0 without; of delayed messages the time of delivery in milliseconds.
    pub tags_code: i64,
    /// When the message was stored, in milliseconds.
    pub store_timestamp_ms: i64,
    /// Which filters want the message; empty when nobody asked them.
    pub bit_map: Vec<u8>,
}

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
    /// Adds a unit and returns its address. A bit map for which no file has room is left out.
    pub(super) fn push(&mut self, tags_code: i64, store_timestamp_ms: i64, bit_map: &[u8], file_bytes: i64) -> i64 {
        let unit_bytes_max = UNIT_BYTES_MAX.min((file_bytes - END_BYTES) as usize);
        let bit_map = if HEAD_BYTES + bit_map.len() > unit_bytes_max { &[] } else { bit_map };
        let size = HEAD_BYTES + bit_map.len();
        let mut at = self.written + self.bytes.len() as i64;
        let left = file_bytes - at % file_bytes;
        if size as i64 > left - END_BYTES {
            self.bytes.extend_from_slice(&END.to_be_bytes());
            self.bytes.resize(self.bytes.len() + left as usize - size_of::<i16>(), 0);
            at += left;
        }
        self.bytes.extend_from_slice(&(size as i16).to_be_bytes());
        self.bytes.extend_from_slice(&tags_code.to_be_bytes());
        self.bytes.extend_from_slice(&store_timestamp_ms.to_be_bytes());
        self.bytes.extend_from_slice(&(bit_map.len() as i16).to_be_bytes());
        self.bytes.extend_from_slice(bit_map);
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
    /// Fills `into` from the extension.
    fn read_ext(&self, files: &QueueFiles, at: i64, into: &mut [u8], patience: Patience) -> io::Result<()> {
        {
            let tail = self.tail.lock();
            let from = usize::try_from(at - tail.ext.written).ok();
            if let Some(bytes) = from.and_then(|from| tail.ext.bytes.get(from..)?.get(..into.len())) {
                into.copy_from_slice(bytes);
                return Ok(());
            }
        }
        files.read_ext(self, at, into, patience)
    }

    /// The tags code of a unit, which may have to be looked up. `InvalidData` when it cannot be, `WouldBlock` as in
    /// [`QueueFiles::read`].
    pub(crate) fn resolve_tags_code(&self, files: &QueueFiles, tags_code: i64, patience: Patience) -> io::Result<i64> {
        let Some(at) = address_of(tags_code).filter(|_| self.queue_type == QueueType::Simple) else {
            return Ok(tags_code);
        };
        let mut head = [0; HEAD_BYTES];
        self.read_ext(files, at, &mut head, patience)?;
        head_of(&head).map(|(head, _)| head.tags_code)
    }

    /// What the extension says of a unit; `None` for a unit that needs none.
    pub(crate) fn extension(
        &self,
        files: &QueueFiles,
        tags_code: i64,
        patience: Patience,
    ) -> io::Result<Option<Extension>> {
        let Some(at) = address_of(tags_code).filter(|_| self.queue_type == QueueType::Simple) else {
            return Ok(None);
        };
        let mut head = [0; HEAD_BYTES];
        self.read_ext(files, at, &mut head, patience)?;
        let (mut extension, bit_map_bytes) = head_of(&head)?;
        if bit_map_bytes > 0 {
            extension.bit_map.resize(bit_map_bytes, 0);
            self.read_ext(files, at + HEAD_BYTES as i64, &mut extension.bit_map, patience)?;
        }
        Ok(Some(extension))
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
                let found = files.read_ext(self, at, &mut size, Patience::Disk);
                let size = found.ok().map(|()| i16::from_be_bytes(size)).filter(|size| *size > 0);
                written = at + i64::from(size.unwrap_or(HEAD_BYTES as i16));
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
        let end = at / files.ext_file_bytes();
        for number in files.ext_numbers(self, first..end)? {
            files.delete_ext(self, number)?;
            self.ext_first_file.store(number + 1, Ordering::Release);
        }
        self.ext_first_file.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }
}

/// A unit without its bit map, and the length of that.
fn head_of(head: &[u8; HEAD_BYTES]) -> io::Result<(Extension, usize)> {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *head;
    let size = i16::from_be_bytes([a, b]);
    let bit_map_bytes = i16::from_be_bytes([s, t]);
    let is_unit = bit_map_bytes >= 0 && i32::from(size) == HEAD_BYTES as i32 + i32::from(bit_map_bytes);
    if !is_unit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no unit of an extension is there"));
    }
    let extension = Extension {
        size,
        tags_code: i64::from_be_bytes([c, d, e, f, g, h, i, j]),
        store_timestamp_ms: i64::from_be_bytes([k, l, m, n, o, p, q, r]),
        bit_map: Vec::new(),
    };
    Ok((extension, bit_map_bytes as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stand_as_java_writes_them() {
        let mut tail = ExtTail::default();
        let addresses: Vec<_> = (0..7).map(|number| tail.push(number, 9, &[], 128)).collect();
        assert_eq!(addresses[..2], [i64::MIN, i64::MIN + 20]);
        // Six fit into a file of 128 bytes; then it says that it ends.
        assert_eq!((addresses[6], &tail.bytes[120..124]), (i64::MIN + 128, [255_u8, 255, 0, 0].as_slice()));
        assert_eq!(tail.bytes[..20], [0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!((address_of(addresses[6]), address_of(i64::from(i32::MIN)), address_of(0)), (Some(128), None, None));
    }

    #[test]
    fn a_bit_map_stands_behind_its_unit_if_a_file_has_room_for_it() {
        let mut tail = ExtTail::default();
        tail.push(5, 9, &[1, 2], 128);
        assert_eq!(tail.bytes[..2], [0, 22]);
        assert_eq!(tail.bytes[18..], [0, 2, 1, 2]);
        assert_eq!(tail.push(6, 9, &[7; 110], 128), i64::MIN + 22);
        assert_eq!(tail.bytes[22..24], [0, 20]);
        let head = head_of(tail.bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(head, (Extension { size: 22, tags_code: 5, store_timestamp_ms: 9, bit_map: Vec::new() }, 2));
        assert!(head_of(&[0; HEAD_BYTES]).is_err());
        let mut wrong = *tail.bytes.first_chunk::<HEAD_BYTES>().unwrap();
        wrong[19] = 3;
        assert!(head_of(&wrong).is_err(), "a length that the size does not allow");
    }
}
