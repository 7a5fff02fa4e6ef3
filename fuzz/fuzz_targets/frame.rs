//! A connection's bytes: frames one after another, each decoded, as a server does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_fuzz::FRAME_BYTES_MAX;
use raptormq_protocol::command::Command;
use raptormq_protocol::frame;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(frame)) = frame::split(rest, FRAME_BYTES_MAX) {
        let (bytes, next) = rest.split_at(frame.len());
        if Command::decode(bytes, &frame, &mut Vec::new()).is_err() {
            return;
        }
        rest = next;
    }
});
