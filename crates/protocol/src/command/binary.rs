//! ROCKETMQ headers: the binary form. Java: `RocketMQSerializable`.
//!
//! ```text
//! i16 code | u8 language | i16 version | i32 opaque | i32 flag | i32 + remark | i32 + fields
//! field: i16 + key | i32 + value
//! ```

use super::{Command, CommandError, Language, Version};

/// Reads `header` into a command that has no entries yet.
pub(super) fn read<'a>(command: &mut Command<'a>, header: &'a [u8]) -> Result<(), CommandError> {
    let mut reader = Reader { rest: header, bytes: header.len() };
    command.code = reader.i16("code")?.into();
    command.language = Language(reader.take(1, "language")?[0]);
    command.version = Version(reader.i16("version")?.into());
    command.opaque = reader.i32("opaque")?;
    command.flag = reader.i32("flag")?;
    let remark = reader.sized("remark")?;
    let block = reader.sized("fields")?;
    let mut reader = Reader { rest: block, bytes: header.len() };
    while !reader.rest.is_empty() {
        let length = reader.i16("field's key")?;
        let key = reader.text(length.into(), "field's key")?;
        let length = reader.i32("field's value")?;
        let value = reader.text(length, "field's value")?;
        // Java writes no entry without key or value and reads an empty one as missing.
        if !key.is_empty() && !value.is_empty() {
            command.fields.push(key, value)?;
        }
    }
    command.remark = (!remark.is_empty()).then(|| utf8(remark, "remark", header.len())).transpose()?;
    Ok(())
}

fn utf8<'a>(text: &'a [u8], part: &'static str, bytes: usize) -> Result<&'a str, CommandError> {
    std::str::from_utf8(text).map_err(|_| CommandError::Binary { part, bytes })
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Length of the whole header, for messages.
    bytes: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, part: &'static str) -> Result<&'a [u8], CommandError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(CommandError::Binary { part, bytes: self.bytes })?;
        self.rest = tail;
        Ok(head)
    }

    fn i16(&mut self, part: &'static str) -> Result<i16, CommandError> {
        self.take(2, part).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn i32(&mut self, part: &'static str) -> Result<i32, CommandError> {
        self.take(4, part).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// As many bytes as the i32 in front of them says.
    fn sized(&mut self, part: &'static str) -> Result<&'a [u8], CommandError> {
        let length = self.i32(part)?;
        let length = usize::try_from(length).map_err(|_| CommandError::Binary { part, bytes: self.bytes })?;
        self.take(length, part)
    }

    fn text(&mut self, length: i32, part: &'static str) -> Result<&'a str, CommandError> {
        let length = usize::try_from(length).map_err(|_| CommandError::Binary { part, bytes: self.bytes })?;
        utf8(self.take(length, part)?, part, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CommandWriter, Head};
    use crate::frame::Serialization;
    use crate::header::{FieldSink, FieldValue};

    fn header() -> Vec<u8> {
        let mut out = Vec::new();
        let head = Head { code: 310, remark: Some("why"), opaque: 7, ..Head::default() };
        let mut writer = CommandWriter::new(&mut out, Serialization::Rocketmq, head);
        writer.field("a", FieldValue::Text("group"));
        writer.field("e", FieldValue::Integer(-3));
        writer.finish(b"");
        out.split_off(8)
    }

    fn decode(header: &[u8]) -> Result<Command<'_>, CommandError> {
        let mut command = Command::empty();
        read(&mut command, header).map(|()| command)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let header = header();
        let command = decode(&header).unwrap();
        assert_eq!((command.code, command.opaque, command.remark), (310, 7, Some("why")));
        assert_eq!(command.fields.iter().collect::<Vec<_>>(), [("a", "group"), ("e", "-3")]);
    }

    #[test]
    fn a_header_cut_anywhere_is_an_error_and_not_a_panic() {
        let header = header();
        for cut in 0..header.len() {
            assert!(decode(&header[..cut]).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let fixed = [&310i16.to_be_bytes()[..], &[7], &1i16.to_be_bytes(), &[0; 8]].concat();
        let with = |rest: &[u8]| [&fixed[..], rest].concat();
        assert!(decode(&with(&i32::MAX.to_be_bytes())).is_err());
        assert!(decode(&with(&[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xf0, 0, 1, b'a'])).is_err());
        assert!(decode(&with(&[0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff, b'a', b'a', b'a', b'a', b'a'])).is_err());
    }
}
