//! What several fuzz targets share.

use raptormq_protocol::command::{Command, CommandWriter, Head};
use raptormq_protocol::frame::{self, Serialization};
use raptormq_protocol::header::{FieldSink, FieldValue, PullMessageRequestHeader, SendMessageRequestHeaderV2};

/// The longest frame a target looks at.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// Decodes a header that stands in a frame of its own. What was read is written and read again: it must be the same.
pub fn header(serialization: Serialization, header: &[u8]) {
    let total = header.len() as u32 + 4;
    let mark = u32::from(serialization.number()) << 24 | header.len() as u32 & 0x00FF_FFFF;
    let bytes = [&total.to_be_bytes()[..], &mark.to_be_bytes(), header].concat();
    let Ok(Some(frame)) = frame::split(&bytes, FRAME_BYTES_MAX) else { return };
    let (mut again, mut scratch, mut scratch_again) = (Vec::new(), Vec::new(), Vec::new());
    let Ok(command) = Command::decode(&bytes, &frame, &mut scratch) else { return };
    let _whatever = command.header::<SendMessageRequestHeaderV2<'_>>();
    let _whatever = command.header::<PullMessageRequestHeader<'_>>();

    let head = Head {
        code: command.code,
        flag: command.flag,
        language: command.language,
        opaque: command.opaque,
        remark: command.remark,
        version: command.version,
    };
    // JSON keeps everything that either form can say, and the 16 bits of the binary form would cut codes.
    let mut writer = CommandWriter::new(&mut again, Serialization::Json, head);
    for (key, value) in command.fields.iter() {
        writer.field(key, FieldValue::Text(value));
    }
    writer.finish(command.body);
    let frame = frame::split(&again, 2 * FRAME_BYTES_MAX).expect("what we write has a frame").expect("and a whole one");
    let Ok(read) = Command::decode(&again, &frame, &mut scratch_again) else {
        // Escapes may make a header longer than is read.
        assert!(header.len() * 6 > raptormq_protocol::command::HEADER_BYTES_MAX, "what we write is not read");
        return;
    };
    assert_eq!(
        (read.code, read.flag, read.opaque, read.version, read.remark),
        (command.code, command.flag, command.opaque, command.version, command.remark)
    );
    assert!(read.fields.iter().eq(command.fields.iter()), "fields changed on the way");
}
