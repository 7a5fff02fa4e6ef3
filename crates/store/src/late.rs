//! Properties whose values are queue offsets, which a record gets only under the log's lock.
//!
//! They are staged with the offsets that are likely, as the last properties of the record, and written anew when the
//! record gets its place. Only when the number of digits has changed meanwhile, the record grows or shrinks.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raptormq_protocol::message::properties::{self, PROPERTY_SEPARATOR, name};
use raptormq_protocol::message::record;

use crate::consume_queue::Queue;
use crate::staging::Staging;

/// Digits of the largest offset.
const DIGITS_MAX: usize = 19;

/// A value at the end of a record's properties.
pub(crate) struct Late {
    /// Bytes of the value.
    len: usize,
    /// Bytes of the record behind the value.
    pub(crate) behind: usize,
    /// The light queues that get the message as well; the value is their offsets. Without any it is the message's own.
    pub(crate) light: Vec<Light>,
}

/// A place in the list of light queues.
pub(crate) struct Light {
    /// `None` for a name that is none of a light queue, or that comes again.
    pub(crate) queue: Option<Arc<Queue>>,
    /// `None` for a name that is none of a light queue.
    pub(crate) offset: Option<i64>,
}

impl Late {
    /// Appends the property that says which offset the first message of the record has.
    /// Java: `store/queue/BatchConsumeQueue.java`, `assignQueueOffset`.
    pub(crate) fn base(queue: &Queue, text: &mut String) -> Late {
        let mut late = Late { len: 0, behind: PROPERTY_SEPARATOR.len_utf8(), light: Vec::new() };
        late.append(name::INNER_BASE, queue.next_offset.load(Ordering::Relaxed), text);
        late
    }

    /// Appends the property that says which offsets the message has in its light queues. Java: `store/LmqDispatch.java`.
    pub(crate) fn multi(light: Vec<Light>, text: &mut String) -> Late {
        let mut late = Late { len: 0, behind: PROPERTY_SEPARATOR.len_utf8(), light };
        late.append(name::INNER_MULTI_QUEUE_OFFSET, 0, text);
        late
    }

    fn append(&mut self, name: &str, queue_offset: i64, text: &mut String) {
        let mut value = String::new();
        self.write(queue_offset, &mut value);
        properties::append(text, name, &value);
        self.len = value.len();
    }

    /// Bytes that the record may grow by.
    pub(crate) fn growth_max(&self) -> usize {
        DIGITS_MAX * self.light.len().max(1)
    }

    /// Writes the value as it is now, and takes the offsets over.
    fn write(&mut self, queue_offset: i64, text: &mut String) {
        // Writing to a string does not fail.
        if self.light.is_empty() {
            let _ = write!(text, "{queue_offset}");
        }
        for number in 0..self.light.len() {
            let light = &mut self.light[number];
            if let Some(queue) = &light.queue {
                light.offset = Some(queue.next_offset.load(Ordering::Relaxed));
            }
            let separator = if number > 0 { "," } else { "" };
            let _ = match light.offset {
                Some(offset) => write!(text, "{separator}{offset}"),
                None => write!(text, "{separator}"),
            };
        }
    }

    /// Takes the offsets of the light queues, or gives them back.
    pub(crate) fn take_offsets(&self, count: i64) {
        for light in &self.light {
            if let Some(queue) = &light.queue {
                queue.next_offset.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The light queues with the offset that the message has there.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Arc<Queue>, i64)> {
        self.light.iter().filter_map(|light| light.queue.as_ref().zip(light.offset))
    }
}

impl Staging {
    /// Writes the late values of an entry that is about to get its place. Called under the log's lock.
    pub(crate) fn settle(&mut self, position: usize) {
        let entry = &self.entries[position];
        let mut next = entry.queue.next_offset.load(Ordering::Relaxed);
        let mut text = String::new();
        for number in entry.records.clone() {
            let record = &mut self.records[number];
            let queue_offset = next;
            next += record.taken();
            let Some(late) = &mut record.late else { continue };
            text.clear();
            late.write(queue_offset, &mut text);
            let end = record.bytes.end - late.behind;
            let value = end - late.len..end;
            if text.len() == late.len {
                self.buffer[value].copy_from_slice(text.as_bytes());
            } else {
                let grown = text.len() as isize - late.len as isize;
                late.len = text.len();
                self.buffer.splice(value, text.bytes());
                self.grow(position, number, grown);
            }
        }
    }

    /// Moves everything behind the end of a record, which became that much longer.
    fn grow(&mut self, position: usize, number: usize, grown: isize) {
        // A record that became shorter still has its other bytes.
        let moved = |at: &mut usize| *at = at.wrapping_add_signed(grown);
        moved(&mut self.records[number].bytes.end);
        for record in &mut self.records[number + 1..] {
            moved(&mut record.bytes.start);
            moved(&mut record.bytes.end);
        }
        moved(&mut self.entries[position].bytes.end);
        for entry in &mut self.entries[position + 1..] {
            moved(&mut entry.bytes.start);
            moved(&mut entry.bytes.end);
        }
        record::resize_properties(&mut self.buffer[self.records[number].bytes.clone()], grown);
    }
}
