//! Java's bytes cut at each length and damaged at each place: every decoder answers with an error or a value, and none
//! panics or takes a cut one for whole.

use raptormq_protocol::body::RegisterBrokerBody;
use raptormq_protocol::command::{Command, Version};
use raptormq_protocol::message::record::RecordView;
use raptormq_protocol::message::{MessageExt, batch};
use raptormq_protocol::{frame, json};

use crate::Vector;

const FRAME_BYTES_MAX: usize = 16 << 20;
const BODY_BYTES_MAX: usize = 1 << 20;

/// The bytes with each one changed in turn, in a way that moves lengths to their limits.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).flat_map(move |at| {
        [0x00, 0x7F, 0x80, 0xFF].map(|byte| {
            let mut copy = bytes.to_vec();
            copy[at] = byte;
            copy
        })
    })
}

fn decode(bytes: &[u8]) -> bool {
    match frame::split(bytes, FRAME_BYTES_MAX) {
        Ok(Some(frame)) => Command::decode(bytes, &frame, &mut Vec::new()).is_ok(),
        _ => false,
    }
}

#[test]
fn frames() {
    for vector in Vector::all("commands.json") {
        let java = vector.bytes("hex");
        for len in 0..java.len() {
            assert!(frame::split(&java[..len], FRAME_BYTES_MAX).is_ok_and(|frame| frame.is_none()));
        }
        for bytes in damaged(&java) {
            decode(&bytes);
        }
    }
}

#[test]
fn headers_whose_frame_is_whole() {
    for vector in Vector::all("commands.json") {
        let java = vector.bytes("hex");
        let header = frame::split(&java, FRAME_BYTES_MAX).unwrap().unwrap().header;
        for len in 0..header.len() {
            // Both lengths say what is there; only the header itself ends early.
            let mut bytes = u32::try_from(len + 4).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(&(u32::from(java[4]) << 24 | u32::try_from(len).unwrap()).to_be_bytes());
            bytes.extend_from_slice(&java[header.start..header.start + len]);
            assert!(!decode(&bytes), "{} cut at {len}", vector.name());
        }
    }
}

#[test]
fn bodies() {
    for vector in Vector::all("bodies.json") {
        for form in ["loose", "strict", "pretty"] {
            let Some(text) = vector.maybe(form) else { continue };
            for len in 0..text.len() {
                assert!(json::parse_value(&text.as_bytes()[..len]).is_err());
            }
        }
        if vector.maybe("hex").is_some() {
            let java = vector.bytes("hex");
            for len in 0..java.len() {
                let _whatever = RegisterBrokerBody::decode(&java[..len], Version::CURRENT);
            }
            for bytes in damaged(&java) {
                let _whatever = RegisterBrokerBody::decode(&bytes, Version::CURRENT);
            }
        }
    }
}

#[test]
fn records() {
    for vector in Vector::named("messages.json", "record") {
        let java = vector.bytes("hex");
        for len in 0..java.len() {
            assert!(RecordView::parse(&java[..len]).is_err());
            assert!(MessageExt::decode(&java[..len], BODY_BYTES_MAX).is_err());
        }
        for bytes in damaged(&java) {
            let _whatever = MessageExt::decode(&bytes, BODY_BYTES_MAX).map(|(message, _)| message.to_string());
        }
    }
}

#[test]
fn batches() {
    for vector in Vector::named("messages.json", "batch") {
        let java = vector.bytes("hex");
        let whole = batch::decode(&java).count();
        for len in 1..java.len() {
            let read = batch::decode(&java[..len]).filter(Result::is_ok).count();
            assert!(read < whole, "cut at {len}");
        }
        for bytes in damaged(&java) {
            assert!(batch::decode(&bytes).count() <= java.len());
        }
    }
}
