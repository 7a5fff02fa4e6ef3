//! The body of REGISTER_BROKER (103): everything a broker has, as JSON or as a compressed stream.
//!
//! The stream is zlib around: length and JSON of the [`DataVersion`]; the count of topics, and each as length and text
//! (`name readQueues writeQueues perm filterType attributesJson`); length and JSON of the filter servers; and from 5.0 on
//! the count of static mappings, and each as length and JSON. All counts and lengths are big-endian i32. The `order` and
//! `topicSysFlag` of topics are not in it. Java: `body/RegisterBrokerBody.java`, `TopicConfig.encode`.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::{TopicConfig, TopicConfigAndMappingSerializeWrapper, TopicFilterType};
use crate::command::Version;
use crate::json::{self, JsonError};

/// How far a compressed body may expand, in bytes: twice the longest frame, enough for some 300,000 topics. Whoever sends
/// a few kilobytes that expand to gigabytes gets an error instead of our memory.
pub const INFLATED_BYTES_MAX: u64 = 32 << 20;

/// Longest piece of a compressed body, in bytes. A topic, a mapping or a list of addresses is far shorter; reading broken
/// text as JSON takes several times its length.
const PIECE_BYTES_MAX: u64 = 4 << 20;

/// Everything a broker has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegisterBrokerBody {
    /// Addresses of its filter servers (gone since 4.x, still a field).
    pub filter_server_list: Vec<String>,
    /// Its topics and their version.
    pub topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper,
}

/// Why a register body was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegisterBodyError {
    /// The JSON in it is wrong.
    #[error("register body: {0}")]
    Json(#[from] JsonError),
    /// The stream ends early, is damaged, or goes on beyond [`INFLATED_BYTES_MAX`].
    #[error("register body: {0}")]
    Stream(#[from] io::Error),
    /// A piece is announced that is longer than any topic, mapping or list.
    #[error("register body: a piece of {0} bytes")]
    PieceTooLong(u64),
    /// A length or count in the stream is negative.
    #[error("register body: a negative length")]
    NegativeLength,
    /// A topic in the stream is not written as Java writes topics.
    #[error("register body: not a topic: {0}")]
    Topic(String),
}

impl RegisterBrokerBody {
    /// Reads a body from a broker of this version.
    ///
    /// What the header says of compression is not asked for, because Java's brokers say it wrong: a body that does not
    /// begin like JSON is taken for compressed. No body at all is an empty table of version 0. Before V3_0_11 the body was the table alone.
    pub fn decode(body: &[u8], version: Version) -> Result<RegisterBrokerBody, RegisterBodyError> {
        match body.trim_ascii_start().first() {
            None => Ok(RegisterBrokerBody::default()),
            Some(b'{') if version < Version::V3_0_11 => {
                Ok(RegisterBrokerBody { topic_config_serialize_wrapper: json::from_slice(body)?, ..Default::default() })
            }
            Some(b'{') => Ok(json::from_slice(body)?),
            Some(_) => inflate(body),
        }
    }

    /// Writes the body as JSON, which every name server since V3_0_11 reads.
    pub fn encode(&self) -> Result<Vec<u8>, RegisterBodyError> {
        Ok(json::to_vec(self)?)
    }

    /// Writes the body as a compressed stream (the key `compressedRegister`), with the mappings that name servers since
    /// 5.0 look for and older ones do not read.
    pub fn encode_compressed(&self) -> Result<Vec<u8>, RegisterBodyError> {
        let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
        let wrapper = &self.topic_config_serialize_wrapper;
        write_piece(&mut stream, &json::to_vec(&wrapper.data_version)?)?;
        stream.write_all(&length(wrapper.topic_config_table.len())?.to_be_bytes())?;
        for topic in wrapper.topic_config_table.values() {
            write_piece(&mut stream, topic_line(topic)?.as_bytes())?;
        }
        write_piece(&mut stream, &json::to_vec(&self.filter_server_list)?)?;
        stream.write_all(&length(wrapper.topic_queue_mapping_info_map.len())?.to_be_bytes())?;
        for mapping in wrapper.topic_queue_mapping_info_map.values() {
            write_piece(&mut stream, &json::to_vec(mapping)?)?;
        }
        Ok(stream.finish()?)
    }
}

fn inflate(body: &[u8]) -> Result<RegisterBrokerBody, RegisterBodyError> {
    let mut stream = ZlibDecoder::new(body).take(INFLATED_BYTES_MAX);
    let mut piece = Vec::new();
    let mut wrapper = TopicConfigAndMappingSerializeWrapper {
        data_version: json::from_slice(read_piece(&mut stream, &mut piece)?)?,
        ..Default::default()
    };
    for _ in 0..read_length(&mut stream)? {
        let topic = parse_topic_line(&String::from_utf8_lossy(read_piece(&mut stream, &mut piece)?))?;
        wrapper.topic_config_table.insert(topic.topic_name.clone(), topic);
    }
    let filter_server_list = json::from_slice(read_piece(&mut stream, &mut piece)?)?;
    // Brokers before 5.0 end here.
    let mappings = match read_length(&mut stream) {
        Err(RegisterBodyError::Stream(error)) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
        mappings => mappings?,
    };
    for _ in 0..mappings {
        let mapping: crate::route::TopicQueueMappingInfo = json::from_slice(read_piece(&mut stream, &mut piece)?)?;
        wrapper.topic_queue_mapping_info_map.insert(mapping.topic.clone().unwrap_or_default(), mapping);
    }
    Ok(RegisterBrokerBody { filter_server_list, topic_config_serialize_wrapper: wrapper })
}

fn read_length(stream: &mut impl Read) -> Result<u32, RegisterBodyError> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    u32::try_from(i32::from_be_bytes(bytes)).map_err(|_| RegisterBodyError::NegativeLength)
}

/// Reads a length and so many bytes. Memory grows with what is really there, not with what the length announces.
fn read_piece<'a>(stream: &mut impl Read, piece: &'a mut Vec<u8>) -> Result<&'a [u8], RegisterBodyError> {
    let wanted = u64::from(read_length(stream)?);
    if wanted > PIECE_BYTES_MAX {
        return Err(RegisterBodyError::PieceTooLong(wanted));
    }
    piece.clear();
    let read = stream.by_ref().take(wanted).read_to_end(piece)?;
    if read as u64 != wanted {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(piece)
}

fn write_piece(stream: &mut impl Write, piece: &[u8]) -> Result<(), RegisterBodyError> {
    stream.write_all(&length(piece.len())?.to_be_bytes())?;
    Ok(stream.write_all(piece)?)
}

fn length(len: usize) -> io::Result<i32> {
    i32::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

/// A topic as one line of text.
fn topic_line(topic: &TopicConfig) -> Result<String, JsonError> {
    let attributes = json::to_vec(&topic.attributes)?;
    Ok(format!(
        "{} {} {} {} {} {}",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        topic.perm,
        topic.topic_filter_type.name(),
        String::from_utf8_lossy(&attributes)
    ))
}

/// A topic from its line; the attributes are missing in lines from before 5.0.
fn parse_topic_line(line: &str) -> Result<TopicConfig, RegisterBodyError> {
    let wrong = || RegisterBodyError::Topic(line.chars().take(200).collect());
    let mut parts = line.splitn(6, ' ');
    let mut next = || parts.next().ok_or_else(wrong);
    let topic_name = next()?.to_owned();
    let mut number = || next()?.parse::<i32>().map_err(|_| wrong());
    let (read_queue_nums, write_queue_nums, perm) = (number()?, number()?, number()?);
    let topic_filter_type = TopicFilterType::from_name(next()?);
    let attributes = match parts.next() {
        None | Some("") => Default::default(),
        Some(attributes) => json::from_slice(attributes.as_bytes())?,
    };
    let rest = TopicConfig::default();
    Ok(TopicConfig { topic_name, read_queue_nums, write_queue_nums, perm, topic_filter_type, attributes, ..rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::DataVersion;
    use crate::route::TopicQueueMappingInfo;

    fn body() -> RegisterBrokerBody {
        let topic = |name: &str| TopicConfig {
            topic_name: name.to_owned(),
            perm: 7,
            attributes: [("message.type".to_owned(), "a b".to_owned())].into(),
            ..TopicConfig::default()
        };
        let mapping = TopicQueueMappingInfo { topic: Some("A".to_owned()), ..TopicQueueMappingInfo::default() };
        RegisterBrokerBody {
            filter_server_list: vec!["10.0.0.1:1".to_owned()],
            topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper {
                data_version: DataVersion { counter: 3, state_version: 0, timestamp: 1_700_000_000_000 },
                topic_config_table: [("A".to_owned(), topic("A")), ("B".to_owned(), topic("B"))].into(),
                topic_queue_mapping_info_map: [("A".to_owned(), mapping)].into(),
                ..Default::default()
            },
        }
    }

    #[test]
    fn both_forms_are_read_whatever_the_header_says() {
        let compressed = body().encode_compressed().unwrap();
        assert_eq!(RegisterBrokerBody::decode(&compressed, Version::CURRENT).unwrap(), body());
        let plain = body().encode().unwrap();
        assert_eq!(RegisterBrokerBody::decode(&plain, Version::CURRENT).unwrap(), body());
        assert_eq!(RegisterBrokerBody::decode(b"", Version::CURRENT).unwrap(), RegisterBrokerBody::default());
        let table = json::to_vec(&body().topic_config_serialize_wrapper).unwrap();
        let read = RegisterBrokerBody::decode(&table, Version(0)).unwrap();
        assert_eq!(read.topic_config_serialize_wrapper, body().topic_config_serialize_wrapper);
    }

    #[test]
    fn a_body_of_4_x_has_neither_attributes_nor_mappings() {
        let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
        for piece in [&b"{\"counter\":1}"[..], b"", b"T 4 8 6 SINGLE_TAG", b"[]"] {
            match piece {
                b"" => stream.write_all(&1_i32.to_be_bytes()).unwrap(),
                piece => write_piece(&mut stream, piece).unwrap(),
            }
        }
        let read = RegisterBrokerBody::decode(&stream.finish().unwrap(), Version::CURRENT).unwrap();
        let topic = &read.topic_config_serialize_wrapper.topic_config_table["T"];
        assert_eq!((topic.read_queue_nums, topic.write_queue_nums, topic.perm), (4, 8, 6));
    }

    #[test]
    fn a_small_body_that_expands_without_end_is_refused() {
        let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
        write_piece(&mut stream, b"{}").unwrap();
        stream.write_all(&i32::MAX.to_be_bytes()).unwrap();
        for _ in 0..400_000 {
            // One topic again and again, so that the table stays small.
            write_piece(&mut stream, format!("T 4 4 6 SINGLE_TAG {:80}", "{}").as_bytes()).unwrap();
        }
        let body = stream.finish().unwrap();
        assert!(body.len() < 200_000, "{}", body.len());
        let refused = RegisterBrokerBody::decode(&body, Version::CURRENT).unwrap_err();
        assert!(matches!(refused, RegisterBodyError::Stream(_)), "{refused}");
    }

    #[test]
    fn a_piece_longer_than_any_topic_is_not_read() {
        let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
        write_piece(&mut stream, &[0xff; 5 << 20]).unwrap();
        let body = stream.finish().unwrap();
        let refused = RegisterBrokerBody::decode(&body, Version::CURRENT).unwrap_err();
        assert!(matches!(refused, RegisterBodyError::PieceTooLong(5_242_880)), "{refused}");
    }

    #[test]
    fn no_cut_or_noise_panics() {
        let compressed = body().encode_compressed().unwrap();
        // Up to the checksum at the end, every missing byte is noticed, except in the optional mappings.
        for len in 1..compressed.len() - 4 {
            let _whatever = RegisterBrokerBody::decode(&compressed[..len], Version::CURRENT);
        }
        assert!(RegisterBrokerBody::decode(&compressed[..20], Version::CURRENT).is_err());
        assert!(RegisterBrokerBody::decode(b"noise", Version::CURRENT).is_err());
    }
}
