//! The frames of all records: the one file that knows `bincode`.
//!
//! A frame is a few numbers and borrowed slices; what is in the slices, and after
//! the frame of a directory, is packed by `columns`. bincode 2.0.1 is the last release, so the bytes are
//! frozen in `docs/format.md` and by golden files; to replace the crate, write
//! these few functions by hand.
//!
//! Configuration: little-endian, variable-length integers, decoding limited to
//! [`RECORD_BYTES_MAX`], and no byte may be left over (what follows the frame of
//! a directory is read to its end by `columns`).

use bincode::{BorrowDecode, Encode};

/// No record is longer. A directory page holds at most 1,024 entries.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;

/// First byte of a record: what it is. Covered by the digest in the pointer, so
/// that one kind cannot be taken for another.
pub(super) mod kind {
    pub(in crate::index) const DIRECTORY: u8 = 1;
    pub(in crate::index) const PAGED_DIRECTORY: u8 = 2;
    pub(in crate::index) const PAGE: u8 = 3;
    pub(in crate::index) const RUN: u8 = 4;
    pub(in crate::index) const MOVED_AWAY: u8 = 5;
}

/// A directory, or one page of a big one. Its columns follow, without lengths:
/// each says itself where it ends. Lengths in front of fourteen columns were
/// 20 bytes a directory.
#[derive(Encode, BorrowDecode, Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct EntriesFrame {
    pub(super) kind: u8,
    pub(super) count: u32,
}

/// A directory of more than a thousand entries: where its pages are.
#[derive(Encode, BorrowDecode, Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct PagedFrame<'a> {
    pub(super) kind: u8,
    pub(super) head: &'a [u8],
    pub(super) count: u64,
    pub(super) pages: &'a [u8],
    pub(super) extra: &'a [u8],
}

/// What a run did, and where the rows of what it moved away are.
#[derive(Encode, BorrowDecode, Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct RunFrame<'a> {
    pub(super) kind: u8,
    pub(super) sequence: u64,
    pub(super) started_seconds: i64,
    pub(super) finished_seconds: i64,
    pub(super) recovered: bool,
    pub(super) counts: [u64; 8],
    pub(super) previous: &'a [u8],
    pub(super) root_before: &'a [u8],
    pub(super) root_after: &'a [u8],
    pub(super) kept_after: &'a [u8],
    pub(super) moved_count: u64,
    pub(super) chunks: &'a [u8],
    pub(super) extra: &'a [u8],
}

/// Some rows of what a run moved away.
#[derive(Encode, BorrowDecode, Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct MovedAwayFrame<'a> {
    pub(super) kind: u8,
    pub(super) count: u32,
    pub(super) paths: &'a [u8],
    pub(super) stats: &'a [u8],
    pub(super) digests: &'a [u8],
    pub(super) extra: &'a [u8],
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>()
}

/// Appends the bytes of `frame` to `out`, which keeps its memory.
pub(super) fn encode_into(frame: &impl Encode, out: &mut Vec<u8>) -> Result<(), String> {
    struct Appender<'v>(&'v mut Vec<u8>);
    impl bincode::enc::write::Writer for Appender<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    bincode::encode_into_writer(frame, Appender(out), configuration()).map_err(|error| error.to_string())?;
    if out.len() > RECORD_BYTES_MAX {
        return Err(format!("a record of {} bytes is longer than the format allows", out.len()));
    }
    Ok(())
}

/// Reads a frame whose slices point into `bytes`.
pub(super) fn decode<'a, F: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<F, String> {
    let (frame, rest) = decode_first(bytes)?;
    if !rest.is_empty() {
        return Err(format!("{} bytes are left over after its frame", rest.len()));
    }
    Ok(frame)
}

/// As [`decode`], and what follows the frame.
pub(super) fn decode_first<'a, F: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(F, &'a [u8]), String> {
    let (frame, used) = bincode::borrow_decode_from_slice(bytes, configuration())
        .map_err(|error| format!("its frame cannot be read: {error}"))?;
    Ok((frame, &bytes[used..]))
}
