//! The two kinds of message id: where a message lies ([`OffsetMessageId`]) and which one it is ([`UniqueIdGenerator`]).
//!
//! Both are upper-case hexadecimal and 32 characters long with IPv4, so nobody can tell them apart by looking.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};

/// Where a message lies: the broker's address and the offset in its commit log.
///
/// Text: ip (4 or 16 bytes), port (4) and offset (8) in hexadecimal, 32 or 56 characters
/// (Java: `common/message/MessageDecoder.java`, `createMessageId`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetMessageId {
    /// The broker's store host.
    pub store_host: SocketAddr,
    /// Offset of the record in that broker's commit log.
    pub log_offset: i64,
}

/// A text that is no offset message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an offset message id: 32 or 56 hexadecimal digits with a port below 65536 are expected")]
pub struct OffsetMessageIdError;

impl OffsetMessageId {
    /// The text: every message that is read gets one.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(if self.store_host.is_ipv4() { 32 } else { 56 });
        let (ip, ip_digits) = match self.store_host.ip() {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), 8),
            IpAddr::V6(ip) => (ip.to_bits(), 32),
        };
        push_hex(&mut text, ip, ip_digits);
        push_hex(&mut text, self.store_host.port(), 8);
        push_hex(&mut text, self.log_offset.cast_unsigned(), 16);
        text
    }
}

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn write_ip(out: &mut impl fmt::Write, ip: IpAddr) -> fmt::Result {
    match ip {
        IpAddr::V4(ip) => write!(out, "{:08X}", ip.to_bits()),
        IpAddr::V6(ip) => write!(out, "{:032X}", ip.to_bits()),
    }
}

impl FromStr for OffsetMessageId {
    type Err = OffsetMessageIdError;

    fn from_str(text: &str) -> Result<OffsetMessageId, OffsetMessageIdError> {
        let ip_digits = match text.len() {
            32 => 8,
            56 => 32,
            _ => return Err(OffsetMessageIdError),
        };
        // Not `from_str_radix` alone: it takes a sign.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(OffsetMessageIdError);
        }
        let number = |digits: &str| u128::from_str_radix(digits, 16).map_err(|_| OffsetMessageIdError);
        let (ip, rest) = text.split_at(ip_digits);
        let ip = match ip_digits {
            8 => IpAddr::V4(Ipv4Addr::from_bits(number(ip)? as u32)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(number(ip)?)),
        };
        let port = u16::try_from(number(&rest[..8])?).map_err(|_| OffsetMessageIdError)?;
        Ok(OffsetMessageId { store_host: SocketAddr::new(ip, port), log_offset: number(&rest[8..])? as i64 })
    }
}

/// The month that a moment lies in, in milliseconds since 1970: from its first to the next month's first, both at
/// midnight of the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// When it begins.
    pub start_ms: i64,
    /// When the next one begins.
    pub next_ms: i64,
}

/// Makes the `UNIQ_KEY` of messages: ip, low 16 bits of the process id, a number of the process's own (Java: the hash of
/// its class loader), milliseconds since the month began, and a counter; 32 or 56 hexadecimal digits.
///
/// `mqadmin` computes the time of a message from its id, so the layout is kept
/// (Java: `common/message/MessageClientIDSetter.java`).
pub struct UniqueIdGenerator {
    prefix: String,
    month_of: Box<dyn Fn(i64) -> Month + Send + Sync>,
    month_start_ms: AtomicI64,
    month_next_ms: AtomicI64,
    counter: AtomicU16,
}

impl UniqueIdGenerator {
    /// A generator for this process. `month_of` answers which month a moment in milliseconds lies in: time zones are no
    /// business of this crate.
    pub fn new(
        ip: IpAddr,
        process_id: u32,
        process_number: u32,
        month_of: impl Fn(i64) -> Month + Send + Sync + 'static,
    ) -> UniqueIdGenerator {
        let mut prefix = String::with_capacity(44);
        write_ip(&mut prefix, ip).expect("a String takes every text");
        fmt::Write::write_fmt(&mut prefix, format_args!("{:04X}{process_number:08X}", process_id as u16))
            .expect("a String takes every text");
        UniqueIdGenerator {
            prefix,
            month_of: Box::new(month_of),
            month_start_ms: AtomicI64::new(0),
            month_next_ms: AtomicI64::new(0),
            counter: AtomicU16::new(0),
        }
    }

    /// Appends a new id to `out`: unique within the process as long as fewer than 65,536 are made in a millisecond.
    pub fn append_to(&self, now_ms: i64, out: &mut String) {
        // The start is written before the end and read after it, so whoever sees a new end sees its start. A thread
        // whose clock is behind at midnight of the first may date its id wrongly; it stays unique by its counter.
        if now_ms >= self.month_next_ms.load(Ordering::Acquire) {
            let month = (self.month_of)(now_ms);
            self.month_start_ms.store(month.start_ms, Ordering::Release);
            self.month_next_ms.store(month.next_ms, Ordering::Release);
        }
        let since_month = now_ms - self.month_start_ms.load(Ordering::Acquire);
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        out.push_str(&self.prefix);
        push_hex(out, since_month as u32, 8);
        push_hex(out, u32::from(counter), 4);
    }

    /// A new id: see [`UniqueIdGenerator::append_to`].
    pub fn next(&self, now_ms: i64) -> String {
        let mut id = String::with_capacity(self.prefix.len() + 12);
        self.append_to(now_ms, &mut id);
        id
    }
}

/// `digits` upper-case hexadecimal digits of `value`, at most 32, without the formatting machinery: this runs for every
/// message.
fn push_hex(out: &mut String, value: impl Into<u128>, digits: usize) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = [0; 32];
    let mut rest = value.into();
    for place in text[..digits].iter_mut().rev() {
        *place = HEX[(rest & 0xF) as usize];
        rest >>= 4;
    }
    out.push_str(std::str::from_utf8(&text[..digits]).expect("hexadecimal digits are text"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offset_ids_are_javas() {
        // Seen in the output of a live 5.3.3: mqadmin consumeMessage.
        let id: OffsetMessageId = "7F000001000051AF00000000000001D4".parse().unwrap();
        assert_eq!(id, OffsetMessageId { store_host: "127.0.0.1:20911".parse().unwrap(), log_offset: 468 });
        assert_eq!(id.to_string(), "7F000001000051AF00000000000001D4");
    }

    #[test]
    fn texts_that_are_no_offset_ids_are_refused() {
        for text in ["", "7F", "+F000001000051AF00000000000001D4", "7F000001FFFF51AF00000000000001D4", &"Ä".repeat(16)]
        {
            assert_eq!(text.parse::<OffsetMessageId>(), Err(OffsetMessageIdError), "{text}");
        }
    }

    #[test]
    fn unique_ids_hold_address_process_time_and_counter() {
        let ids = UniqueIdGenerator::new("192.0.2.2".parse().unwrap(), 0x1_3300, 0x30946E09, |_| Month {
            start_ms: 1_000,
            next_ms: i64::MAX,
        });
        // The shape of one made by a live client: C0000202330030946E0969AC834F0002.
        assert_eq!(ids.next(1_000 + 0x69AC834F), "C0000202330030946E0969AC834F0000");
        assert_eq!(ids.next(1_000 + 0x69AC8394), "C0000202330030946E0969AC83940001");
    }

    #[test]
    fn unique_ids_follow_the_month() {
        let ids = UniqueIdGenerator::new("::1".parse().unwrap(), 1, 2, |now| Month {
            start_ms: now / 100 * 100,
            next_ms: now / 100 * 100 + 100,
        });
        assert_eq!(&ids.next(110)[44..52], "0000000A");
        assert_eq!(&ids.next(205)[44..52], "00000005");
        assert_eq!(ids.next(206).len(), 56);
    }

    proptest! {
        #[test]
        fn offset_ids_come_back(ip in any::<IpAddr>(), port in any::<u16>(), log_offset in any::<i64>()) {
            let id = OffsetMessageId { store_host: SocketAddr::new(ip, port), log_offset };
            prop_assert_eq!(id.to_string().parse::<OffsetMessageId>().unwrap(), id);
        }
    }
}
