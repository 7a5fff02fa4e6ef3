//! Compression of message bodies: ZLIB (RFC 1950, the default), LZ4 in its frame format, and ZSTD.
//!
//! Java: `common/compression/*.java`. Java always decompresses what it is given; here the caller sets the limit, so that
//! a small body cannot become a large allocation.

use std::io::{Read, Write};

use super::sys_flag;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// LZ4 frame format.
    Lz4,
    /// Zstandard.
    Zstd,
    /// Deflate with the zlib header.
    Zlib,
}

/// Why a body cannot be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The bytes are not what the flag says.
    #[error("the body is not valid {compression:?} data: {reason}")]
    Invalid {
        /// What the flag says.
        compression: Compression,
        /// The codec's words.
        reason: String,
    },
    /// The body would be larger than the caller allows.
    #[error("the decompressed body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The caller's limit.
        bytes_max: usize,
    },
    /// Type bits that name no codec.
    #[error("unknown compression type {0}")]
    UnknownType(i32),
}

impl Compression {
    /// What a system flag says about the body: `None` when it is not compressed. The type bits are read only when the
    /// compressed bit is set; 0 there is the zlib of clients that know no other.
    pub fn of(flag: i32) -> Result<Option<Compression>, CompressError> {
        if flag & sys_flag::COMPRESSED == 0 {
            return Ok(None);
        }
        match (flag & sys_flag::COMPRESSION_TYPE_MASK) >> 8 {
            0 | 3 => Ok(Some(Compression::Zlib)),
            1 => Ok(Some(Compression::Lz4)),
            2 => Ok(Some(Compression::Zstd)),
            other => Err(CompressError::UnknownType(other)),
        }
    }

    /// The bits that say so in a system flag.
    pub fn flag(self) -> i32 {
        let kind = match self {
            Compression::Lz4 => 0x100,
            Compression::Zstd => 0x200,
            Compression::Zlib => 0x300,
        };
        sys_flag::COMPRESSED | kind
    }
}

/// The compressed form of `body`. `level` is zlib's 0 to 9 or zstd's 1 to 22; LZ4 has one.
pub fn compress(compression: Compression, level: i32, body: &[u8]) -> Result<Vec<u8>, CompressError> {
    let invalid = |error: std::io::Error| CompressError::Invalid { compression, reason: error.to_string() };
    match compression {
        Compression::Zlib => {
            let level = flate2::Compression::new(level.clamp(0, 9) as u32);
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::with_capacity(body.len() / 2), level);
            encoder.write_all(body).and_then(|()| encoder.finish()).map_err(invalid)
        }
        Compression::Zstd => zstd::bulk::compress(body, level).map_err(invalid),
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(body.len() / 2));
            encoder.write_all(body).map_err(invalid)?;
            encoder.finish().map_err(|error| CompressError::Invalid { compression, reason: error.to_string() })
        }
    }
}

/// The body that was compressed, if it is not larger than `bytes_max`.
pub fn decompress(compression: Compression, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressError> {
    match compression {
        Compression::Zlib => read_bounded(compression, flate2::read::ZlibDecoder::new(bytes), bytes_max),
        Compression::Lz4 => read_bounded(compression, lz4_flex::frame::FrameDecoder::new(bytes), bytes_max),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(bytes)
                .map_err(|error| CompressError::Invalid { compression, reason: error.to_string() })?;
            read_bounded(compression, decoder, bytes_max)
        }
    }
}

/// Reads to the end, or to one byte over the limit, which shows that there is more.
fn read_bounded(compression: Compression, decoder: impl Read, bytes_max: usize) -> Result<Vec<u8>, CompressError> {
    let mut body = Vec::new();
    decoder
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| CompressError::Invalid { compression, reason: error.to_string() })?;
    if body.len() > bytes_max {
        return Err(CompressError::TooLarge { bytes_max });
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Compression; 3] = [Compression::Lz4, Compression::Zstd, Compression::Zlib];

    #[test]
    fn the_flag_names_the_codec() {
        for compression in ALL {
            assert_eq!(Compression::of(compression.flag()).unwrap(), Some(compression));
        }
        assert_eq!(Compression::of(0x300).unwrap(), None);
        assert_eq!(Compression::of(0x1).unwrap(), Some(Compression::Zlib));
        assert!(matches!(Compression::of(0x401), Err(CompressError::UnknownType(4))));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        for compression in ALL {
            let bomb = compress(compression, 5, &vec![0; 1 << 20]).unwrap();
            assert!(matches!(decompress(compression, &bomb, 1000), Err(CompressError::TooLarge { bytes_max: 1000 })));
            assert_eq!(decompress(compression, &bomb, 1 << 20).unwrap().len(), 1 << 20);
        }
    }

    #[test]
    fn a_cut_body_never_reads_as_the_whole() {
        // LZ4's reader takes the end of the bytes for the end of the frame; a record's CRC is what tells a cut body.
        let body = b"hello hello hello hello";
        for compression in ALL {
            let whole = compress(compression, 5, body).unwrap();
            for cut in 1..whole.len() - 8 {
                let read = decompress(compression, &whole[..cut], 1000);
                assert!(
                    read.is_err() || read.is_ok_and(|read| read.len() < body.len()),
                    "{compression:?} cut at {cut}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(body in any::<Vec<u8>>()) {
            for compression in ALL {
                let bytes = compress(compression, 5, &body).unwrap();
                prop_assert_eq!(&decompress(compression, &bytes, body.len()).unwrap(), &body);
            }
        }

        #[test]
        fn noise_is_refused_or_bounded(noise in any::<Vec<u8>>()) {
            for compression in ALL {
                if let Ok(body) = decompress(compression, &noise, 64) {
                    prop_assert!(body.len() <= 64);
                }
            }
        }
    }
}
