//! The docket: the few bytes that say what is true.
//!
//! Fixed little-endian fields and no `bincode`, so that anything can read it.
//! Written by `commit`, by one rename; here are only its bytes.

use crate::index::pack::{Broken, Column};
use crate::index::pointer::{DataId, RecordPointer, Root};
use crate::model::{DirectoryPointer, NodeDigest, NodeOffset, RunId, Timestamp, Totals, TreeDigest};

const MAGIC: [u8; 8] = *b"tfDOC\r\n\x1a";
const FORMAT: u16 = 1;
/// What this version may meet without misunderstanding anything.
const FEATURES_KNOWN: u32 = 0;
const CHECKSUM_BYTES: usize = 32;
/// Paths and remotes are far below: a limit for damaged bytes.
const STRING_BYTES_MAX: usize = 128 << 10;

/// What is committed: where the trees are, and what is known of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Docket {
    /// Which node file it speaks of.
    pub data_id: DataId,
    /// How much of that file is true, in bytes. Never read past it.
    pub committed_length: u64,
    /// How much of it the retained roots reach, in bytes; or
    /// [`Docket::LIVE_BYTES_UNKNOWN`]. Exact after a compaction; then add what
    /// each commit appends, and measure anew ([`crate::index::live_bytes`]) when
    /// runs were purged.
    pub live_bytes: u64,
    /// What the mirror holds of the source.
    pub base: Option<Root>,
    /// What the mirror holds besides: gone from the source, or out of scope.
    pub kept: Option<Root>,
    /// The newest run; older ones hang on it.
    pub newest_record: Option<RecordPointer>,
    /// What changes with the same rename.
    pub facts: Facts,
}

/// What is known of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Random, given when the mirror was first written.
    pub mirror_id: [u8; 16],
    /// The last run that changed something.
    pub last_run: Option<RunId>,
    /// When it ended, in seconds since 1970 UTC.
    pub last_run_ended_seconds: i64,
    /// Number of the newest owner file.
    pub owner_sequence: u64,
    /// Which encoding of names was found to work on the remote; meaning is the caller's.
    pub name_encoding: u8,
    /// The source directory.
    pub source: Vec<u8>,
    /// Identity of its file system, as far as it has one that lasts.
    pub source_file_system: u64,
    /// Inode of the source directory.
    pub source_root_inode: u64,
    /// The mirror, as rclone names it.
    pub remote: String,
    /// The companion, as rclone names it.
    pub companion: String,
    /// Whether the mirror's files can be moved into the companion on the server: 0 unknown, 1 yes, 2 no.
    pub companion_movable: u8,
    /// Digest of what decides the scope: exclude rules, links, mounts.
    pub scope_digest: [u8; 32],
    /// When the last completed scan began.
    pub scan_started: Timestamp,
    /// Runs before this sequence are purged.
    pub oldest_retained_sequence: u64,
    /// Everything in scope was confirmed at least once.
    pub complete: bool,
    /// What the remote makes of names.
    pub names: NameFacts,
    /// The run that may have written the owner file after `owner_sequence`, and did not come to
    /// the commit that would name it.
    pub owner_ahead: Option<RunId>,
}

/// What was found out of the remote's way with names; the meaning is the caller's. All 0 while
/// nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameFacts {
    /// Which kind of remote it is.
    pub kind: u8,
    /// Which names are one name there.
    pub folding: u8,
    /// The longest name it takes, in bytes.
    pub name_bytes_max: u16,
}

/// Some bytes are no docket that this version can work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocketError {
    /// Not a docket at all.
    #[error("the index head is no treeferry docket")]
    NotADocket,
    /// Its checksum is wrong, or it does not hold what it should.
    #[error("the index head is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer version.
    #[error(
        "the index was written by a newer treeferry (format {format}, features {features:#x}): \
         use that version, this one would misread it"
    )]
    TooNew {
        /// Its format.
        format: u16,
        /// Its features that must be understood.
        features: u32,
    },
}

impl Docket {
    /// Runs were purged since `live_bytes` was measured.
    pub const LIVE_BYTES_UNKNOWN: u64 = 0;

    /// The bytes of the docket's file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&FEATURES_KNOWN.to_le_bytes());
        out.extend_from_slice(&self.data_id.0);
        put_u64(&mut out, self.committed_length);
        put_u64(&mut out, self.live_bytes);
        put_option(&mut out, self.base.as_ref(), put_root);
        put_option(&mut out, self.kept.as_ref(), put_root);
        put_option(&mut out, self.newest_record.as_ref(), |out, record| {
            put_u64(out, record.offset);
            out.extend_from_slice(&record.length.to_le_bytes());
            out.extend_from_slice(&record.digest.0);
        });
        self.facts.encode_into(&mut out);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// Reads and checks the bytes of a docket's file.
    ///
    /// # Errors
    /// When they are no docket, damaged, or from a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Docket, DocketError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(DocketError::NotADocket);
        }
        let body_length = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(DocketError::Damaged("it is cut"))?;
        let (body, checksum) = bytes.split_at(body_length);
        if blake3::hash(body).as_bytes() != checksum {
            return Err(DocketError::Damaged("its checksum is wrong"));
        }
        let mut column = Column(body);
        let damaged = DocketError::Damaged;
        column.take(MAGIC.len()).map_err(damaged)?;
        let format = u16::from_le_bytes(column.array().map_err(damaged)?);
        column.take(2).map_err(damaged)?;
        let features = u32::from_le_bytes(column.array().map_err(damaged)?);
        if format != FORMAT || features & !FEATURES_KNOWN != 0 {
            return Err(DocketError::TooNew { format, features });
        }
        let docket = Docket::take(&mut column).map_err(damaged)?;
        // Bytes after what is known are fields of a later version that may be ignored.
        Ok(docket)
    }

    fn take(column: &mut Column<'_>) -> Result<Docket, Broken> {
        Ok(Docket {
            data_id: DataId(column.array()?),
            committed_length: take_u64(column)?,
            live_bytes: take_u64(column)?,
            base: take_option(column, take_root)?,
            kept: take_option(column, take_root)?,
            newest_record: take_option(column, |column| {
                Ok(RecordPointer {
                    offset: take_u64(column)?,
                    length: u32::from_le_bytes(column.array()?),
                    digest: NodeDigest(column.array()?),
                })
            })?,
            facts: Facts::take(column)?,
        })
    }
}

impl Facts {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.mirror_id);
        put_option(out, self.last_run.as_ref(), put_run);
        put_i64(out, self.last_run_ended_seconds);
        put_u64(out, self.owner_sequence);
        out.push(self.name_encoding);
        put_string(out, &self.source);
        put_u64(out, self.source_file_system);
        put_u64(out, self.source_root_inode);
        put_string(out, self.remote.as_bytes());
        put_string(out, self.companion.as_bytes());
        out.push(self.companion_movable);
        out.extend_from_slice(&self.scope_digest);
        put_i64(out, self.scan_started.seconds);
        out.extend_from_slice(&self.scan_started.nanoseconds.to_le_bytes());
        put_u64(out, self.oldest_retained_sequence);
        out.push(self.complete.into());
        // Came later: dockets that know nothing of it are written as before.
        if self.names != NameFacts::default() || self.owner_ahead.is_some() {
            out.push(self.names.kind);
            out.push(self.names.folding);
            out.extend_from_slice(&self.names.name_bytes_max.to_le_bytes());
        }
        if self.owner_ahead.is_some() {
            put_option(out, self.owner_ahead.as_ref(), put_run);
        }
    }

    fn take(column: &mut Column<'_>) -> Result<Facts, Broken> {
        let text = |column: &mut Column<'_>| {
            String::from_utf8(take_string(column)?).map_err(|_| "a remote is not UTF-8")
        };
        Ok(Facts {
            mirror_id: column.array()?,
            last_run: take_option(column, take_run)?,
            last_run_ended_seconds: take_i64(column)?,
            owner_sequence: take_u64(column)?,
            name_encoding: column.byte()?,
            source: take_string(column)?,
            source_file_system: take_u64(column)?,
            source_root_inode: take_u64(column)?,
            remote: text(column)?,
            companion: text(column)?,
            companion_movable: column.byte()?,
            scope_digest: column.array()?,
            scan_started: Timestamp {
                seconds: take_i64(column)?,
                nanoseconds: u32::from_le_bytes(column.array()?),
            },
            oldest_retained_sequence: take_u64(column)?,
            complete: take_bool(column)?,
            names: NameFacts::take(column)?,
            owner_ahead: if column.0.is_empty() { None } else { take_option(column, take_run)? },
        })
    }
}

impl NameFacts {
    fn take(column: &mut Column<'_>) -> Result<Self, Broken> {
        if column.0.is_empty() {
            return Ok(NameFacts::default());
        }
        let (kind, folding) = (column.byte()?, column.byte()?);
        Ok(NameFacts { kind, folding, name_bytes_max: u16::from_le_bytes(column.array()?) })
    }
}

fn put_run(out: &mut Vec<u8>, run: &RunId) {
    put_u64(out, run.sequence);
    put_i64(out, run.started_seconds);
}

fn take_run(column: &mut Column<'_>) -> Result<RunId, Broken> {
    Ok(RunId { sequence: take_u64(column)?, started_seconds: take_i64(column)? })
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn take_u64(column: &mut Column<'_>) -> Result<u64, Broken> {
    Ok(u64::from_le_bytes(column.array()?))
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn take_i64(column: &mut Column<'_>) -> Result<i64, Broken> {
    Ok(i64::from_le_bytes(column.array()?))
}

fn take_bool(column: &mut Column<'_>) -> Result<bool, Broken> {
    match column.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err("a truth value is neither"),
    }
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(&(string.len() as u32).to_le_bytes());
    out.extend_from_slice(string);
}

fn take_string(column: &mut Column<'_>) -> Result<Vec<u8>, Broken> {
    let length = u32::from_le_bytes(column.array()?) as usize;
    if length > STRING_BYTES_MAX {
        return Err("a string is too long");
    }
    Ok(column.take(length)?.to_vec())
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

fn take_option<T>(
    column: &mut Column<'_>,
    take: impl FnOnce(&mut Column<'_>) -> Result<T, Broken>,
) -> Result<Option<T>, Broken> {
    take_bool(column)?.then(|| take(column)).transpose()
}

fn put_root(out: &mut Vec<u8>, root: &Root) {
    put_u64(out, root.pointer.offset.0);
    out.extend_from_slice(&root.pointer.length.to_le_bytes());
    out.extend_from_slice(&root.pointer.node.0);
    out.extend_from_slice(&root.pointer.content.0);
    put_u64(out, root.totals.files);
    put_u64(out, root.totals.directories);
    put_u64(out, root.totals.bytes);
}

fn take_root(column: &mut Column<'_>) -> Result<Root, Broken> {
    Ok(Root {
        pointer: DirectoryPointer {
            offset: NodeOffset(take_u64(column)?),
            length: u32::from_le_bytes(column.array()?),
            node: NodeDigest(column.array()?),
            content: TreeDigest(column.array()?),
        },
        totals: Totals { files: take_u64(column)?, directories: take_u64(column)?, bytes: take_u64(column)? },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn full() -> Docket {
        Docket {
            data_id: DataId([7; 16]),
            committed_length: 123_456,
            live_bytes: 100_000,
            base: Some(Root {
                pointer: DirectoryPointer {
                    offset: NodeOffset(1 << 62 | 64),
                    length: 99,
                    node: NodeDigest([1; 16]),
                    content: TreeDigest([2; 32]),
                },
                totals: Totals { files: 1, directories: 2, bytes: u64::MAX },
            }),
            kept: None,
            newest_record: Some(RecordPointer { offset: 163, length: 9, digest: NodeDigest([3; 16]) }),
            facts: Facts {
                last_run: Some(RunId { sequence: 42, started_seconds: -5 }),
                source: b"/a\xff\n".to_vec(),
                remote: "alist:115/备份".into(),
                companion: "alist:115/.treeferry/a".into(),
                scan_started: Timestamp { seconds: i64::MIN, nanoseconds: 1 },
                complete: true,
                names: NameFacts { kind: 2, folding: 5, name_bytes_max: 765 },
                owner_ahead: Some(RunId { sequence: 43, started_seconds: i64::MAX }),
                ..Facts::default()
            },
        }
    }

    #[test]
    fn a_docket_reads_back_as_it_was_written() {
        assert_eq!(Docket::decode(&full().encode()), Ok(full()));
        assert_eq!(Docket::decode(&Docket::default().encode()), Ok(Docket::default()));
        assert!(full().encode().len() < 4096);
    }

    #[test]
    fn no_flipped_or_missing_byte_goes_unnoticed() {
        let bytes = full().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            assert!(Docket::decode(&flipped).is_err(), "byte {at}");
            assert!(Docket::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_and_later_fields_are_ignored() {
        let reseal = |mut body: Vec<u8>| {
            let checksum = blake3::hash(&body);
            body.extend_from_slice(checksum.as_bytes());
            body
        };
        let mut body = full().encode();
        body.truncate(body.len() - CHECKSUM_BYTES);
        let mut longer = body.clone();
        longer.extend_from_slice(b"a later field");
        assert_eq!(Docket::decode(&reseal(longer)), Ok(full()));
        body[12] = 1;
        assert_eq!(Docket::decode(&reseal(body)), Err(DocketError::TooNew { format: 1, features: 1 }));
    }
}
