//! Which addresses need no signature.
//!
//! One address; a list `1.2.3.4,1.2.3.5`; a list at the end `1.2.3.{4,5}`; parts that are anything or a range,
//! `192.168.*.*`, `192.168.1-10.5-10`, `fe80::1-a:*`; `*` for everybody. Where the original compares only the first such
//! part, here every part counts. Java: `acl/plain/RemoteAddressStrategyFactory.java`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::error::AclError;

/// A set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRule {
    /// None: nothing was written.
    Nobody,
    /// All.
    Everybody,
    /// These.
    OneOf(Vec<IpAddr>),
    /// Those of IPv4 whose parts lie in these.
    V4([RangeInclusive<u8>; 4]),
    /// Those of IPv6 whose parts lie in these.
    V6([RangeInclusive<u16>; 8]),
}

impl AddressRule {
    /// Reads what stands in the file.
    ///
    /// # Errors
    /// It is of none of the forms.
    pub fn parse(text: &str) -> Result<AddressRule, AclError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(AddressRule::Nobody);
        }
        if matches!(text, "*" | "*.*.*.*" | "*:*:*:*:*:*:*:*") {
            return Ok(AddressRule::Everybody);
        }
        let bad = || AclError::Address(text.to_owned());
        let rule = if let Some((front, ends)) = text.strip_suffix('}').and_then(|text| text.split_once('{')) {
            one_of(ends.split(',').map(|end| format!("{front}{}", end.trim())))
        } else if text.contains(',') {
            one_of(text.split(',').map(|one| one.trim().to_owned()))
        } else if text.contains(['*', '-']) {
            if text.contains(':') { v6(text) } else { v4(text) }
        } else {
            one_of(std::iter::once(text.to_owned()))
        };
        rule.ok_or_else(bad)
    }

    /// Whether the address is one of them.
    pub fn matches(&self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (AddressRule::Nobody, _) => false,
            (AddressRule::Everybody, _) => true,
            (AddressRule::OneOf(known), address) => known.contains(&address),
            (AddressRule::V4(parts), IpAddr::V4(address)) => all_in(parts, &address.octets()),
            (AddressRule::V6(parts), IpAddr::V6(address)) => all_in(parts, &address.segments()),
            (AddressRule::V4(_) | AddressRule::V6(_), _) => false,
        }
    }
}

fn all_in<N: PartialOrd>(ranges: &[RangeInclusive<N>], parts: &[N]) -> bool {
    ranges.iter().zip(parts).all(|(range, part)| range.contains(part))
}

fn one_of(texts: impl Iterator<Item = String>) -> Option<AddressRule> {
    let addresses: Option<Vec<IpAddr>> =
        texts.map(|text| text.parse().ok().map(|address: IpAddr| address.to_canonical())).collect();
    addresses.filter(|addresses| !addresses.is_empty()).map(AddressRule::OneOf)
}

fn v4(text: &str) -> Option<AddressRule> {
    let parts: Option<Vec<_>> = text.split('.').map(|part| range(part, 10, u16::from(u8::MAX))).collect();
    let bytes = |part: RangeInclusive<u16>| Some(u8::try_from(*part.start()).ok()?..=u8::try_from(*part.end()).ok()?);
    let parts: Option<Vec<_>> = parts?.into_iter().map(bytes).collect();
    Some(AddressRule::V4(parts?.try_into().ok()?))
}

fn v6(text: &str) -> Option<AddressRule> {
    let parse = |text: &str| -> Option<Vec<_>> {
        let parts = text.split(':').map(|part| range(part, 16, u16::MAX));
        if text.is_empty() { Some(Vec::new()) } else { parts.collect() }
    };
    let parts = match text.split_once("::") {
        None => parse(text)?,
        Some((front, back)) => {
            let (mut parts, back) = (parse(front)?, parse(back)?);
            parts.resize(8_usize.checked_sub(back.len()).filter(|front| *front >= parts.len())?, 0..=0);
            parts.extend(back);
            parts
        }
    };
    Some(AddressRule::V6(parts.try_into().ok()?))
}

/// `*`, a number, or two with a minus between them.
fn range(part: &str, radix: u32, max: u16) -> Option<RangeInclusive<u16>> {
    let number = |text: &str| u16::from_str_radix(text.trim(), radix).ok().filter(|number| *number <= max);
    match part.split_once('-') {
        _ if part.trim() == "*" => Some(0..=max),
        Some((from, to)) => Some(number(from)?..=number(to)?).filter(|range| !range.is_empty()),
        None => number(part).map(|number| number..=number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_takes_what_it_says() {
        let cases = [
            ("1.2.3.4", "1.2.3.4", "1.2.3.5"),
            ("1.2.3.4, 1.2.3.6", "1.2.3.6", "1.2.3.5"),
            ("1.2.3.{4,6}", "1.2.3.4", "1.2.3.5"),
            ("192.168.0.*", "192.168.0.77", "192.168.1.77"),
            ("192.168.*.*", "192.168.9.77", "192.167.1.77"),
            ("192.168.1-10.5-10", "192.168.1.10", "192.168.1.11"),
            ("*", "fe80::1", ""),
            ("*.*.*.*", "9.9.9.9", ""),
            ("1.2.3.4", "::ffff:1.2.3.4", "::1"),
            ("fe80::1", "fe80:0:0:0:0:0:0:1", "fe80::2"),
            ("fe80::{1,2}", "fe80::2", "fe80::3"),
            ("fe80::1-a:*", "fe80::5:ffff", "fe80::b:1"),
            ("1:2:3:4:5:6:7:*", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:8:8"),
            ("", "", "1.2.3.4"),
        ];
        for (text, inside, outside) in cases {
            let rule = AddressRule::parse(text).unwrap();
            assert!(inside.is_empty() || rule.matches(inside.parse().unwrap()), "{text} has {inside}");
            assert!(outside.is_empty() || !rule.matches(outside.parse().unwrap()), "{text} has not {outside}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "nonsense",
            "1.2.3",
            "1.2.3.256",
            "1.2.3.{",
            "1.2.3.{4,x}",
            "1.2.3.4,",
            "1.2.10-5.*",
            "1.2.-1.*",
            "1.2.*",
            "*.*",
            "1.2.3.4.*",
            "1:2:3:*",
            "1::2::*",
            "x::*",
            "1:2:3:4:5:6:7:8:9:*",
            "1.2.3.4-1000",
        ] {
            let error = AddressRule::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("Netaddress examine Exception netaddress is {text}"));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[0-9a-f.:*,{}\\- ]{0,40}") {
            drop(AddressRule::parse(&text));
        }
    }
}
