//! The bytes around a record, and the header of the file.
//!
//! ```text
//! header:  "treeferJ" | u32 format version | u64 run sequence | i64 run started | 32 bytes base
//!          | u8 length, program version (text) | u64 checksum of all before
//! record:  u32 length of payload | u8 kind | u32 check of the start | u64 checksum | payload
//! ```
//!
//! A record's checksum is BLAKE3 keyed with the header, over its place in the
//! file, length, kind and payload. So a record of an older journal that shows
//! through in a recycled disk block is not taken for one of this journal, nor is
//! one that was copied to another place. The start has a check of its own, so that
//! behind damage every byte can be tried as the start of a record without
//! hashing what would follow (with the checksum alone, one damaged byte in a journal
//! of 8 MB made a search of many gigabytes).

use crate::journal::codec::{Decoder, Malformed};
use crate::model::RunId;

/// What a journal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The run that writes it.
    pub run: RunId,
    /// The digest of the docket that its outcomes are to be added to (all
    /// zero when there is none yet). Only compared, never looked into.
    pub belongs_to: [u8; 32],
}

pub(super) const MAGIC: &[u8; 8] = b"treeferJ";
pub(super) const FORMAT_VERSION: u32 = 1;
/// Bytes before a record's payload.
pub(super) const FRAME_BYTES: u64 = 4 + 1 + 4 + 8;
/// No header is longer.
pub(super) const HEADER_BYTES_MAX: usize = 8 + 4 + 8 + 8 + 32 + 1 + 255 + 8;

/// Seals and checks the records of one journal.
#[derive(Clone)]
pub(super) struct Seal {
    key: [u8; 32],
}

impl Seal {
    fn of_header(header: &[u8]) -> Seal {
        Seal { key: blake3::derive_key("treeferry 2026 journal records v1", header) }
    }

    fn start_check(&self, position: u64, length: u32, kind: u8) -> u32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"start");
        hasher.update(&position.to_le_bytes());
        hasher.update(&length.to_le_bytes());
        hasher.update(&[kind]);
        first_eight(&hasher.finalize()) as u32
    }

    fn checksum(&self, position: u64, kind: u8, payload: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"whole");
        hasher.update(&position.to_le_bytes());
        hasher.update(&(payload.len() as u64).to_le_bytes());
        hasher.update(&[kind]);
        hasher.update(payload);
        first_eight(&hasher.finalize())
    }

    /// The record as it stands in the file at `position`; `None` when the
    /// payload is too long for its length field.
    pub(super) fn frame(&self, position: u64, kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let length = u32::try_from(payload.len()).ok()?;
        let mut bytes = Vec::with_capacity(FRAME_BYTES as usize + payload.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&self.start_check(position, length, kind).to_le_bytes());
        bytes.extend_from_slice(&self.checksum(position, kind, payload).to_le_bytes());
        bytes.extend_from_slice(payload);
        Some(bytes)
    }

    /// What stands before a payload, if a record of this journal starts with
    /// these bytes at this place.
    pub(super) fn start(&self, position: u64, bytes: &[u8]) -> Option<FrameStart> {
        let mut decoder = Decoder::new(bytes);
        let length = decoder.u32().ok()?;
        let kind = decoder.byte().ok()?;
        let check = decoder.u32().ok()?;
        let checksum = decoder.u64().ok()?;
        (check == self.start_check(position, length, kind)).then_some(FrameStart { length, kind, checksum })
    }

    pub(super) fn is_intact(&self, position: u64, start: &FrameStart, payload: &[u8]) -> bool {
        start.checksum == self.checksum(position, start.kind, payload)
    }
}

/// What stands before a payload.
pub(super) struct FrameStart {
    pub(super) length: u32,
    pub(super) kind: u8,
    checksum: u64,
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

pub(super) fn encode_header(header: &Header) -> (Vec<u8>, Seal) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&header.run.sequence.to_le_bytes());
    bytes.extend_from_slice(&header.run.started_seconds.to_le_bytes());
    bytes.extend_from_slice(&header.belongs_to);
    let program = env!("CARGO_PKG_VERSION").as_bytes();
    let program = &program[..program.len().min(255)];
    bytes.push(program.len() as u8);
    bytes.extend_from_slice(program);
    let checksum = first_eight(&blake3::hash(&bytes));
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let seal = Seal::of_header(&bytes);
    (bytes, seal)
}

/// A header that was read.
pub(super) struct DecodedHeader {
    pub(super) header: Header,
    pub(super) format_version: u32,
    pub(super) program_version: String,
    pub(super) bytes: usize,
    pub(super) seal: Seal,
}

/// Only the layout up to the format version is the same for ever: a version
/// that is not ours comes back as `Err(Some(version))`.
pub(super) fn decode_header(bytes: &[u8]) -> Result<DecodedHeader, Option<u32>> {
    let mut decoder = Decoder::new(bytes);
    let no_header = |Malformed| None;
    if &decoder.array::<8>().map_err(no_header)? != MAGIC {
        return Err(None);
    }
    let format_version = decoder.u32().map_err(no_header)?;
    if format_version != FORMAT_VERSION {
        return Err(Some(format_version));
    }
    decode_rest(decoder, bytes, format_version).map_err(no_header)
}

fn decode_rest(
    mut decoder: Decoder<'_>,
    bytes: &[u8],
    format_version: u32,
) -> Result<DecodedHeader, Malformed> {
    let run = RunId { sequence: decoder.u64()?, started_seconds: decoder.i64()? };
    let header = Header { run, belongs_to: decoder.array()? };
    let program_length = decoder.byte()?;
    let program_version = String::from_utf8_lossy(decoder.slice(program_length.into())?).into_owned();
    let before_checksum = bytes.len() - decoder.remaining();
    let checksum = decoder.u64()?;
    let length = bytes.len() - decoder.remaining();
    if checksum != first_eight(&blake3::hash(&bytes[..before_checksum])) {
        return Err(Malformed);
    }
    let seal = Seal::of_header(&bytes[..length]);
    Ok(DecodedHeader { header, format_version, program_version, bytes: length, seal })
}
