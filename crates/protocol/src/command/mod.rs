//! Commands: what stands in a frame. A request, or the answer to one; both have the same form.
//!
//! Decoding borrows everything from the frame. Text that is escaped in JSON, as a message's properties always are, is
//! written out into a buffer that is used again and again, so it costs no allocation. Headers that are written in an
//! unusual way take a slower path through the tolerant JSON reader. Java: `RemotingCommand`, `RocketMQSerializable`.

mod binary;
mod json;
mod writer;

use smallvec::SmallVec;
use thiserror::Error;

pub use self::writer::{CommandWriter, Head};
use crate::frame::{Frame, Serialization};
use crate::header::{Header, HeaderError};

/// Bit of [`Command::flag`] that makes a command an answer.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of [`Command::flag`] that tells the receiver not to answer.
pub const FLAG_ONEWAY: i32 = 2;

/// The most header fields one command may have. Java has no limit; its own commands have at most some twenty.
pub const FIELDS_MAX: usize = 1024;
/// The longest header that is read. Java has no limit below the frame's; a header holds at most 32 KiB of properties,
/// escaped up to six times as long.
pub const HEADER_BYTES_MAX: usize = 1 << 20;

/// A language a peer may name. An open number: what is not listed is carried as it came. Java: `LanguageCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Language(pub u8);

impl Language {
    /// What Java peers and, so that every old peer knows it, our servers say.
    pub const JAVA: Language = Language(0);
    /// What C++ clients say.
    pub const CPP: Language = Language(1);
    /// Any language without a number of its own.
    pub const OTHER: Language = Language(7);
    /// What our clients say.
    pub const RUST: Language = Language(12);

    const NAMES: [&'static str; 14] = [
        "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST",
        "NODE_JS",
    ];

    /// The name in a JSON header; `OTHER` for a number that has none.
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self.0 as usize).copied().unwrap_or("OTHER")
    }

    /// The language of that name; `OTHER` when there is none, as a peer's own word must not end its connection.
    pub fn from_name(name: &str) -> Language {
        Self::NAMES.iter().position(|known| *known == name).map_or(Language::OTHER, |at| Language(at as u8))
    }
}

/// A peer's release: the ordinal of Java's `MQVersion`. From V4_0_0 on, release x.y.z has the number
/// 213 + 2 × (10 × (10 × (x − 4) + y) + z).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i32);

impl Version {
    /// First release that sends register bodies with filter servers.
    pub const V3_0_11: Version = Version(37);
    /// First release whose consumers take new offsets from a broker.
    pub const V3_0_7_SNAPSHOT: Version = Version(28);
    /// First release whose consumers answer an administrator.
    pub const V3_1_8_SNAPSHOT: Version = Version(62);
    /// First release whose `maxReconsumeTimes` in a send counts.
    pub const V3_4_9: Version = Version(121);
    /// First release that reads only strict JSON in routes.
    pub const V4_9_4: Version = Version::release(4, 9, 4);
    /// First release whose compressed register body carries queue mappings.
    pub const V5_0_0: Version = Version::release(5, 0, 0);
    /// Last release that does not know GO_AWAY.
    pub const V5_3_1: Version = Version::release(5, 3, 1);
    /// What we say we are.
    pub const CURRENT: Version = Version::release(5, 3, 3);

    /// The number of release `x.y.z`, for 4.0.0 and later.
    pub const fn release(x: i32, y: i32, z: i32) -> Version {
        Version(213 + 2 * (10 * (10 * (x - 4) + y) + z))
    }
}

impl std::fmt::Display for Version {
    /// `V5_3_3`, as Java names its versions, for 4.0.0 and later; the bare number for what is older.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = self.0 - 213;
        if steps < 0 {
            return write!(f, "V{}", self.0);
        }
        if self.0 >= 612 {
            return write!(f, "HIGHER_VERSION");
        }
        let release = steps / 2;
        let suffix = if steps % 2 == 1 { "_SNAPSHOT" } else { "" };
        // A snapshot stands in front of its release, so its number belongs to the next one.
        let release = release + steps % 2;
        write!(f, "V{}_{}_{}{suffix}", 4 + release / 100, release / 10 % 10, release % 10)
    }
}

/// A command, borrowed from the frame it came in.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// Request code, or in an answer the response code.
    pub code: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// The sender's language.
    pub language: Language,
    /// The requester's number for this exchange; the answer repeats it.
    pub opaque: i32,
    /// The sender's release.
    pub version: Version,
    /// What an answer has to say in words.
    pub remark: Option<&'a str>,
    /// How the header was written.
    pub serialization: Serialization,
    /// The header's fields.
    pub fields: Fields<'a>,
    /// What follows the header; empty when nothing does.
    pub body: &'a [u8],
}

impl<'a> Command<'a> {
    /// Decodes the command in `bytes`, which are the frame's. `scratch` holds what is not to be read as it stands there:
    /// texts with escapes, and all texts of a header that was written in an unusual way.
    pub fn decode(bytes: &'a [u8], frame: &Frame, scratch: &'a mut Vec<u8>) -> Result<Command<'a>, CommandError> {
        let mut command = Command::empty();
        command.read(bytes, frame, scratch)?;
        Ok(command)
    }

    /// Becomes the command in `bytes`, as [`Command::decode`] returns it: a command is large, and whoever reads one after
    /// another has no copy made of each. After an error what it is has no meaning.
    pub fn read(&mut self, bytes: &'a [u8], frame: &Frame, scratch: &'a mut Vec<u8>) -> Result<(), CommandError> {
        if frame.header.len() > HEADER_BYTES_MAX {
            return Err(CommandError::HeaderTooLong { bytes: frame.header.len() });
        }
        self.clear();
        self.serialization = frame.serialization;
        self.body = &bytes[frame.body.start..];
        let header = &bytes[frame.header.clone()];
        match frame.serialization {
            Serialization::Json => json::read(self, header, scratch),
            Serialization::Rocketmq => binary::read(self, header),
        }
    }

    /// What a header without any entry means.
    #[inline]
    pub fn empty() -> Command<'a> {
        Command {
            code: 0,
            flag: 0,
            language: Language::JAVA,
            opaque: 0,
            version: Version(0),
            remark: None,
            serialization: Serialization::Json,
            fields: Fields::default(),
            body: &[],
        }
    }

    /// Forgets every entry.
    fn clear(&mut self) {
        self.code = 0;
        self.flag = 0;
        self.language = Language::JAVA;
        self.opaque = 0;
        self.version = Version(0);
        self.remark = None;
        self.fields.pairs.clear();
    }

    /// Whether this is the answer to a request.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether the sender wants no answer.
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// The fields as the header type of this command's code.
    pub fn header<H: Header<'a>>(&self) -> Result<H, HeaderError> {
        H::decode(self.fields.iter())
    }
}

/// The fields of a header, in the order they came. Java: `extFields`.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    pairs: SmallVec<[(&'a str, &'a str); 24]>,
}

impl<'a> Fields<'a> {
    /// The value of `key`; the last one, should it stand there twice, as in a Java map.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// Keys and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + '_ {
        self.pairs.iter().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn push(&mut self, key: &'a str, value: &'a str) -> Result<(), CommandError> {
        if self.pairs.len() == FIELDS_MAX {
            return Err(CommandError::TooManyFields);
        }
        self.pairs.push((key, value));
        Ok(())
    }
}

/// Why a header cannot be read. Java closes the connection then; so do we.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    /// The header is longer than any that has a meaning.
    #[error("a header of {bytes} bytes; at most {HEADER_BYTES_MAX} are read")]
    HeaderTooLong {
        /// Its length.
        bytes: usize,
    },
    /// More fields than any command has.
    #[error("a header with more than {FIELDS_MAX} fields")]
    TooManyFields,
    /// The JSON header is none.
    #[error("a JSON header that cannot be read: {0}")]
    Json(String),
    /// The binary header ends too early or names lengths it does not have.
    #[error("a binary header whose {part} does not fit into its {bytes} bytes")]
    Binary {
        /// What was being read.
        part: &'static str,
        /// The header's length.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_numbers_that_java_gives_them() {
        for (name, number) in [("V4_9_4", 401), ("V5_0_0", 413), ("V5_3_1", 475), ("V5_3_3", 479), ("V4_3_2", 277)] {
            assert_eq!(Version(number).to_string(), name);
        }
        assert_eq!(Version::CURRENT, Version(479));
        assert_eq!(Version(478).to_string(), "V5_3_3_SNAPSHOT");
    }

    #[test]
    fn an_unknown_language_is_other() {
        assert_eq!(Language::from_name("GO"), Language(9));
        assert_eq!(Language::from_name("COBOL"), Language::OTHER);
        assert_eq!(Language(200).name(), "OTHER");
    }
}
