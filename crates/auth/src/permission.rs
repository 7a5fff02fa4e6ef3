//! What an account may do with a topic or a group. Java: `acl/common/Permission.java`.

use crate::error::AclError;

/// A set of rights. None at all is what the original calls DENY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    bits: u8,
}

impl Permissions {
    /// Nothing.
    pub const DENY: Permissions = Permissions { bits: 0 };
    /// To send.
    pub const PUB: Permissions = Permissions { bits: 1 };
    /// To consume.
    pub const SUB: Permissions = Permissions { bits: 2 };
    /// Both.
    pub const PUB_SUB: Permissions = Permissions { bits: 3 };

    /// The rights of a word of the file; what is no such word gives none.
    pub fn parse(word: &str) -> Permissions {
        match word.trim() {
            "PUB" => Permissions::PUB,
            "SUB" => Permissions::SUB,
            "PUB|SUB" | "SUB|PUB" => Permissions::PUB_SUB,
            _ => Permissions::DENY,
        }
    }

    /// Whether all of `needed` are here.
    pub fn include(self, needed: Permissions) -> bool {
        self.bits & needed.bits == needed.bits
    }
}

/// The two halves of `name=permission`.
pub(crate) fn split(resource: &str) -> Result<(&str, Permissions), AclError> {
    let mut parts = resource.split('=').filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(word), None) => Ok((name.trim(), Permissions::parse(word))),
        _ => Err(AclError::ResourceFormat(resource.to_owned())),
    }
}

/// As [`split`], and the permission must be one: what an administrator writes is not to be lost.
pub(crate) fn check(resource: &str) -> Result<(), AclError> {
    let (_, permissions) = split(resource)?;
    let is_denied = resource.rsplit('=').next().is_some_and(|word| word.trim() == "DENY");
    match permissions == Permissions::DENY && !is_denied {
        true => Err(AclError::ResourcePermission(resource.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_rights() {
        for (word, publish, subscribe) in [
            ("PUB", true, false),
            (" SUB ", false, true),
            ("PUB|SUB", true, true),
            ("SUB|PUB", true, true),
            ("DENY", false, false),
            ("pub", false, false),
            ("", false, false),
        ] {
            let rights = Permissions::parse(word);
            assert_eq!(
                (rights.include(Permissions::PUB), rights.include(Permissions::SUB)),
                (publish, subscribe),
                "{word}"
            );
        }
    }

    #[test]
    fn what_is_no_permission_is_refused_in_the_originals_words() {
        assert!(check("a=PUB|SUB").is_ok() && check("a=DENY").is_ok());
        assert_eq!(
            check("a").unwrap_err().to_string(),
            "Parse Resource format error for a.\nThe expected resource format is 'Res=Perm'. For example: topicA=SUB"
        );
        assert_eq!(
            check("a=FOO").unwrap_err().to_string(),
            "Parse resource permission error for a=FOO.\n\
             The expected permissions are 'SUB' or 'PUB' or 'SUB|PUB' or 'PUB|SUB'."
        );
        assert!(check("a=b=PUB").is_err() && check("=").is_err());
    }
}
