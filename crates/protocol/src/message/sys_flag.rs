//! The bits of a message's system flag: compression, transaction state and the family of the two host addresses.
//!
//! Java: `common/sysflag/MessageSysFlag.java`.

/// The body is compressed; [`compression`](super::compress::Compression::of) says how.
pub const COMPRESSED: i32 = 0x1;
/// The message has several tags.
pub const MULTI_TAGS: i32 = 0x2;
/// Bits of the transaction state; 0 is a message outside a transaction.
pub const TRANSACTION_MASK: i32 = 0xC;
/// State of a message outside a transaction.
pub const TRANSACTION_NONE: i32 = 0;
/// State of a half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// State of a committed message.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// State of a rolled back message.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The born host is an IPv6 address: 20 bytes instead of 8.
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host is an IPv6 address: 20 bytes instead of 8.
pub const STORE_HOST_V6: i32 = 0x20;
/// The body has to be unwrapped before use.
pub const NEED_UNWRAP: i32 = 0x40;
/// The record holds several messages (batch consume queue).
pub const INNER_BATCH: i32 = 0x80;
/// Bits 8 to 10: the compression type.
pub const COMPRESSION_TYPE_MASK: i32 = 0x700;

/// The transaction bits of a flag: one of the `TRANSACTION_*` values.
pub fn transaction_state(sys_flag: i32) -> i32 {
    sys_flag & TRANSACTION_MASK
}

/// Whether a record with this flag has a place in its consume queue: half messages and rollbacks have none, and their
/// queue offset is 0.
pub fn is_queued(sys_flag: i32) -> bool {
    matches!(transaction_state(sys_flag), TRANSACTION_NONE | TRANSACTION_COMMIT)
}

/// Bytes of the born host in a record with this flag.
pub fn born_host_len(sys_flag: i32) -> usize {
    if sys_flag & BORN_HOST_V6 == 0 { 8 } else { 20 }
}

/// Bytes of the store host in a record with this flag.
pub fn store_host_len(sys_flag: i32) -> usize {
    if sys_flag & STORE_HOST_V6 == 0 { 8 } else { 20 }
}
