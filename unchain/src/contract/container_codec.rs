//! How the blocks of a container file are compressed: not at all, by deflate, or by zstandard.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use apache_avro::{Codec as AvroCodec, DeflateSettings};
use thiserror::Error;

/// A compression of the Avro specification, "Required Codecs" and "Optional Codecs".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    Null,
    Deflate,
    #[default]
    Zstandard,
}

/// A name that is no codec's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is no codec: there are zstandard, deflate and null")]
pub struct NoCodec {
    given: String,
}

impl Codec {
    /// The name in a file's header.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate => "deflate",
            Codec::Zstandard => "zstandard",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Codec> {
        [Codec::Null, Codec::Deflate, Codec::Zstandard].into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = NoCodec;

    /// A codec's name; `zstd` and `none` are understood as well.
    fn from_str(text: &str) -> Result<Codec, NoCodec> {
        match text {
            "zstd" => Ok(Codec::Zstandard),
            "none" => Ok(Codec::Null),
            name => Codec::of_name(name).ok_or_else(|| NoCodec { given: name.to_owned() }),
        }
    }
}

/// A recording is to keep up with its topics: on records of one schema this finds what repeats (to 15 %, level 1 to 10 %),
/// and where nothing repeats it takes 40 % of level 1's time.
const ZSTANDARD_LEVEL: i32 = -3;

/// One codec with its contexts, which serve block after block.
pub(super) struct Coder {
    codec: Codec,
    compressed: Vec<u8>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

impl Coder {
    pub(super) fn new(codec: Codec) -> Coder {
        Coder { codec, compressed: Vec::new(), compressor: None, decompressor: None }
    }

    /// What stands in the file for a block's data.
    pub(super) fn compress<'a>(&'a mut self, data: &'a [u8]) -> io::Result<&'a [u8]> {
        match self.codec {
            Codec::Null => return Ok(data),
            Codec::Deflate => {
                self.compressed.clear();
                self.compressed.extend_from_slice(data);
                let deflate = AvroCodec::Deflate(DeflateSettings::default());
                deflate.compress(&mut self.compressed).map_err(io::Error::other)?;
            }
            Codec::Zstandard => {
                let compressor = match &mut self.compressor {
                    Some(compressor) => compressor,
                    none => none.insert(zstd::bulk::Compressor::new(ZSTANDARD_LEVEL)?),
                };
                self.compressed.clear();
                self.compressed.reserve(zstd::zstd_safe::compress_bound(data.len()));
                compressor.compress_to_buffer(data, &mut self.compressed)?;
            }
        }
        Ok(&self.compressed)
    }

    /// The data of a block of which `stored` stands in the file, which is used up; at most `max_bytes` of them.
    pub(super) fn decompress(&mut self, stored: &mut Vec<u8>, data: &mut Vec<u8>, max_bytes: usize) -> io::Result<()> {
        data.clear();
        match self.codec {
            Codec::Null => std::mem::swap(stored, data),
            Codec::Deflate => {
                AvroCodec::Deflate(DeflateSettings::default()).decompress(stored).map_err(io::Error::other)?;
                std::mem::swap(stored, data);
            }
            Codec::Zstandard => self.decompress_zstandard(stored, data, max_bytes)?,
        }
        if data.len() > max_bytes {
            return Err(io::Error::other(format!("it has {} bytes, {max_bytes} at most are read", data.len())));
        }
        Ok(())
    }

    fn decompress_zstandard(&mut self, stored: &[u8], data: &mut Vec<u8>, max_bytes: usize) -> io::Result<()> {
        let size = zstd::zstd_safe::get_frame_content_size(stored).ok().flatten();
        let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= max_bytes);
        let Some(size) = size else {
            // A writer that streams does not say how much it will be.
            let limit = max_bytes as u64 + 1;
            return zstd::Decoder::with_buffer(stored)?.take(limit).read_to_end(data).map(drop);
        };
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        data.reserve(size);
        decompressor.decompress_to_buffer(stored, data).map(drop)
    }
}
