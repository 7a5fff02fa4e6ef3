//! JSON headers, in their usual form and in every unusual one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_protocol::frame::Serialization;

fuzz_target!(|data: &[u8]| raptormq_fuzz::header(Serialization::Json, data));
