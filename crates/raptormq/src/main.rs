//! RocketMQ, rebuilt in Rust: one binary for every role.
fn main() {}
