//! Bodies of batches.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_protocol::message::batch;
use raptormq_protocol::message::properties::Properties;

fuzz_target!(|data: &[u8]| {
    let Ok(messages) = batch::decode(data).collect::<Result<Vec<_>, _>>() else { return };
    let mut again = Vec::new();
    for message in &messages {
        let _whatever = Properties(message.properties).iter().count();
        batch::encode(message, &mut again).expect("what was in a batch fits one");
    }
    assert!(batch::decode(&again).map(|message| message.expect("what we write is read")).eq(messages));
});
