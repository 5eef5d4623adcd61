//! What is said in a journal, and how it looks as bytes.

use crate::journal::codec::{Decoder, Malformed, put_number, put_path_after};
use crate::model::{Batch, BatchItem, ContentDigest, Lane, Permissions, Stamp, Timestamp, TreePath};

/// What became of one path, as far as the next base is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The remote confirmed it. The values are those after the receipt: what the base may say now.
    Confirmed {
        /// The stat key after the receipt (upload), or what the base knew.
        stamp: Stamp,
        /// Mode and owner at that time.
        permissions: Permissions,
        /// The content that lies there; `None` when it was never read (weak).
        digest: Option<ContentDigest>,
        /// The stamp was not settled when the content was read.
        racy: bool,
    },
    /// Nothing that could be relied on happened; known for sure.
    NotDone(NotDone),
    /// It may or may not have happened: a doubt, to be looked at.
    Unknown,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// The remote, or rclone, said no.
    Failed,
    /// The file was gone before it could be sent.
    Vanished,
    /// The run ended before its turn.
    NotAttempted,
    /// The source changed while it was sent: what lies on the remote is ours
    /// and of no worth.
    ChangedMeanwhile,
}

/// One record, decoded. Encoding borrows instead, see the functions below.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Intent { batch_number: u64, batch: Batch },
    Outcomes { batch_number: u64, outcomes: Vec<(u32, Settled)> },
    OwnerIntent { owner_sequence: u64 },
    FolderIntent { path: TreePath },
    FolderOutcome { path: TreePath, moved: bool },
}

/// Never 0: a run of zeros is no record.
pub(super) mod kind {
    pub(in crate::journal) const INTENT: u8 = 1;
    pub(in crate::journal) const OUTCOMES: u8 = 2;
    pub(in crate::journal) const OWNER_INTENT: u8 = 3;
    pub(in crate::journal) const FOLDER_INTENT: u8 = 4;
    pub(in crate::journal) const FOLDER_OUTCOME: u8 = 5;
}

const AS_LINK: u8 = 1;
const HAS_DIGEST: u8 = 2;
const RACY: u8 = 4;

pub(super) fn encode_intent(batch_number: u64, batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, batch_number);
    bytes.push(lane_byte(batch.lane));
    put_number(&mut bytes, batch.items.len() as u64);
    let mut previous: &[u8] = b"";
    for item in &batch.items {
        put_path_after(&mut bytes, previous, &item.path);
        previous = item.path.as_bytes();
        let as_link = if item.as_link { AS_LINK } else { 0 };
        put_facts(&mut bytes, as_link, &item.stamp, &item.permissions, item.digest);
    }
    bytes
}

pub(super) fn encode_outcomes(batch_number: u64, outcomes: &[(u32, Settled)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, batch_number);
    put_number(&mut bytes, outcomes.len() as u64);
    for (item, settled) in outcomes {
        put_number(&mut bytes, u64::from(*item));
        match settled {
            Settled::Confirmed { stamp, permissions, digest, racy } => {
                bytes.push(b'C');
                let racy = if *racy { RACY } else { 0 };
                put_facts(&mut bytes, racy, stamp, permissions, *digest);
            }
            Settled::NotDone(NotDone::Failed) => bytes.push(b'f'),
            Settled::NotDone(NotDone::Vanished) => bytes.push(b'v'),
            Settled::NotDone(NotDone::NotAttempted) => bytes.push(b'n'),
            Settled::NotDone(NotDone::ChangedMeanwhile) => bytes.push(b'm'),
            Settled::Unknown => bytes.push(b'?'),
        }
    }
    bytes
}

pub(super) fn encode_owner_intent(owner_sequence: u64) -> Vec<u8> {
    owner_sequence.to_le_bytes().to_vec()
}

pub(super) fn encode_folder_intent(path: &TreePath) -> Vec<u8> {
    path.as_bytes().to_vec()
}

pub(super) fn encode_folder_outcome(path: &TreePath, moved: bool) -> Vec<u8> {
    [&[u8::from(moved)], path.as_bytes()].concat()
}

/// `None` for a kind that this version does not know.
pub(super) fn decode(kind: u8, payload: &[u8]) -> Option<Result<Record, Malformed>> {
    let path = |bytes: &[u8]| TreePath::from_bytes(bytes).map_err(|_| Malformed);
    Some(match kind {
        kind::INTENT => decode_intent(payload),
        kind::OUTCOMES => decode_outcomes(payload),
        kind::OWNER_INTENT => payload
            .try_into()
            .map(|bytes| Record::OwnerIntent { owner_sequence: u64::from_le_bytes(bytes) })
            .map_err(|_| Malformed),
        kind::FOLDER_INTENT => path(payload).map(|path| Record::FolderIntent { path }),
        kind::FOLDER_OUTCOME => match payload {
            [moved @ (0 | 1), rest @ ..] => {
                path(rest).map(|path| Record::FolderOutcome { path, moved: *moved == 1 })
            }
            _ => Err(Malformed),
        },
        _ => return None,
    })
}

fn decode_intent(payload: &[u8]) -> Result<Record, Malformed> {
    let mut decoder = Decoder::new(payload);
    let batch_number = decoder.number()?;
    let lane = lane_of(decoder.byte()?)?;
    let count = decoder.length()?;
    // An item takes at least two bytes: a count that lies must not make us allocate.
    let mut items: Vec<BatchItem> = Vec::with_capacity(count.min(decoder.remaining() / 2));
    for _ in 0..count {
        let previous: &[u8] = items.last().map_or(b"", |item| item.path.as_bytes());
        let path = decoder.path_after(previous)?;
        let (flags, stamp, permissions, digest) = take_facts(&mut decoder, AS_LINK)?;
        items.push(BatchItem { path, as_link: flags & AS_LINK != 0, stamp, permissions, digest });
    }
    decoder.finish()?;
    Ok(Record::Intent { batch_number, batch: Batch { lane, items } })
}

fn decode_outcomes(payload: &[u8]) -> Result<Record, Malformed> {
    let mut decoder = Decoder::new(payload);
    let batch_number = decoder.number()?;
    let count = decoder.length()?;
    let mut outcomes = Vec::with_capacity(count.min(decoder.remaining() / 2));
    for _ in 0..count {
        let item = u32::try_from(decoder.number()?).map_err(|_| Malformed)?;
        let settled = match decoder.byte()? {
            b'C' => {
                let (flags, stamp, permissions, digest) = take_facts(&mut decoder, RACY)?;
                Settled::Confirmed { stamp, permissions, digest, racy: flags & RACY != 0 }
            }
            b'f' => Settled::NotDone(NotDone::Failed),
            b'v' => Settled::NotDone(NotDone::Vanished),
            b'n' => Settled::NotDone(NotDone::NotAttempted),
            b'm' => Settled::NotDone(NotDone::ChangedMeanwhile),
            b'?' => Settled::Unknown,
            _ => return Err(Malformed),
        };
        outcomes.push((item, settled));
    }
    decoder.finish()?;
    Ok(Record::Outcomes { batch_number, outcomes })
}

fn put_facts(
    bytes: &mut Vec<u8>,
    flags: u8,
    stamp: &Stamp,
    permissions: &Permissions,
    digest: Option<ContentDigest>,
) {
    bytes.push(flags | if digest.is_some() { HAS_DIGEST } else { 0 });
    put_number(bytes, stamp.size);
    for time in [stamp.mtime, stamp.ctime] {
        bytes.extend_from_slice(&time.seconds.to_le_bytes());
        bytes.extend_from_slice(&time.nanoseconds.to_le_bytes());
    }
    bytes.extend_from_slice(&stamp.inode.to_le_bytes());
    for number in [permissions.mode, permissions.uid, permissions.gid] {
        put_number(bytes, u64::from(number));
    }
    if let Some(digest) = digest {
        bytes.extend_from_slice(&digest.0);
    }
}

type Facts = (u8, Stamp, Permissions, Option<ContentDigest>);

fn take_facts(decoder: &mut Decoder<'_>, flags_known: u8) -> Result<Facts, Malformed> {
    let flags = decoder.byte()?;
    if flags & !(flags_known | HAS_DIGEST) != 0 {
        return Err(Malformed);
    }
    let size = decoder.number()?;
    let mtime = Timestamp { seconds: decoder.i64()?, nanoseconds: decoder.u32()? };
    let ctime = Timestamp { seconds: decoder.i64()?, nanoseconds: decoder.u32()? };
    let stamp = Stamp { size, mtime, ctime, inode: decoder.u64()? };
    let mut number = || u32::try_from(decoder.number()?).map_err(|_| Malformed);
    let permissions = Permissions { mode: number()?, uid: number()?, gid: number()? };
    let digest = if flags & HAS_DIGEST != 0 { Some(ContentDigest(decoder.array()?)) } else { None };
    Ok((flags, stamp, permissions, digest))
}

fn lane_byte(lane: Lane) -> u8 {
    match lane {
        Lane::Upload => b'U',
        Lane::Trash => b'T',
        Lane::Delete => b'D',
        Lane::Discard => b'X',
    }
}

fn lane_of(byte: u8) -> Result<Lane, Malformed> {
    match byte {
        b'U' => Ok(Lane::Upload),
        b'T' => Ok(Lane::Trash),
        b'D' => Ok(Lane::Delete),
        b'X' => Ok(Lane::Discard),
        _ => Err(Malformed),
    }
}
