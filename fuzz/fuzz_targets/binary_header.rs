//! Binary headers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_protocol::frame::Serialization;

fuzz_target!(|data: &[u8]| raptormq_fuzz::header(Serialization::Rocketmq, data));
