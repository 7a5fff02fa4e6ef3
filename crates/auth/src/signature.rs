//! Signatures: Base64 of the HMAC-SHA1 of all header values in the order of their keys, then the body.
//! Java: `acl/common/AclSigner.java`, `AclUtils.java`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{Context, HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, Tag};
use smallvec::SmallVec;
use subtle::ConstantTimeEq as _;

/// The header field that names the account.
pub(crate) const ACCESS_KEY: &str = "AccessKey";
/// The header field with the signature.
pub(crate) const SIGNATURE: &str = "Signature";
/// A header field that clients add when they have signed. Java: `MixAll.UNIQUE_MSG_QUERY_FLAG`.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";

/// The key that signatures of a secret are made with.
#[derive(Clone)]
pub(crate) struct Secret {
    key: Key,
}

impl Secret {
    pub(crate) fn new(secret_key: &str) -> Secret {
        Secret { key: Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret_key.as_bytes()) }
    }

    fn tag<'f>(&self, fields: impl Iterator<Item = (&'f str, &'f str)>, body: &[u8]) -> Tag {
        let is_signed = |(key, _): &(&str, &str)| !matches!(*key, SIGNATURE | UNIQUE_KEY_QUERY);
        let mut fields: SmallVec<[(&str, &str); 24]> = fields.filter(is_signed).collect();
        // Stable, so that of a key that stands twice the last one stays the last: it counts, as in Java's map.
        fields.sort_by_key(|(key, _)| *key);
        let mut context = Context::with_key(&self.key);
        for (at, (key, value)) in fields.iter().enumerate() {
            if fields.get(at + 1).is_none_or(|(next, _)| next != key) {
                context.update(value.as_bytes());
            }
        }
        context.update(body);
        context.sign()
    }

    /// Whether `signature` is what this secret makes of fields and body. Takes as long for a wrong one as for the right.
    pub(crate) fn has_signed<'f>(
        &self,
        signature: &str,
        fields: impl Iterator<Item = (&'f str, &'f str)>,
        body: &[u8],
    ) -> bool {
        let Ok(given) = STANDARD.decode(signature) else { return false };
        self.tag(fields, body).as_ref().ct_eq(&given).into()
    }
}

/// An account and its secret, to sign requests with.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret: Secret,
}

impl Credentials {
    /// The account of that name.
    pub fn new(access_key: impl Into<String>, secret_key: &str) -> Credentials {
        Credentials { access_key: access_key.into(), secret: Secret::new(secret_key) }
    }

    /// The fields that a request must have beside `fields` so that a broker knows its sender.
    pub fn sign<'f>(
        &'f self,
        fields: impl Iterator<Item = (&'f str, &'f str)>,
        body: &[u8],
    ) -> [(&'static str, String); 2] {
        let fields = fields.chain(std::iter::once((ACCESS_KEY, self.access_key.as_str())));
        let signature = STANDARD.encode(self.secret.tag(fields, body));
        [(ACCESS_KEY, self.access_key.clone()), (SIGNATURE, signature)]
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_the_values() {
        // printf 'RocketMQ12body' | openssl dgst -sha1 -hmac 12345678 -binary | base64, with fields b=1, c=2.
        let fields = [("c", "2"), ("b", "1"), (SIGNATURE, "x"), (UNIQUE_KEY_QUERY, "true")];
        let [(_, access_key), (_, signature)] =
            Credentials::new("RocketMQ", "12345678").sign(fields.into_iter(), b"body");
        assert_eq!((access_key.as_str(), signature.as_str()), ("RocketMQ", "ovtiERlqVsqHPObqitk6NVqn23k="));
        let signed = fields.into_iter().chain([(ACCESS_KEY, "RocketMQ")]);
        let secret = Secret::new("12345678");
        assert!(secret.has_signed(&signature, signed.clone(), b"body"));
        assert!(!secret.has_signed(&signature, signed.clone(), b"bodz"));
        assert!(!secret.has_signed(&signature[1..], signed.clone(), b"body"));
        assert!(!Secret::new("12345679").has_signed(&signature, signed, b"body"));
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts() {
        let secret = Secret::new("12345678");
        let twice = secret.tag([("a", "1"), ("a", "2")].into_iter(), b"");
        assert_eq!(twice.as_ref(), secret.tag([("a", "2")].into_iter(), b"").as_ref());
    }
}
