//! What a directory's record says of the directory itself: stat data, marks,
//! sums; and the dictionary of modes and owners.

use crate::index::pack::{Broken, Column, put_delta, put_leb, put_totals, take_totals};
use crate::model::{DirectoryAttributes, DirectoryFlags, Permissions, Timestamp, Totals};

pub(super) const NANOSECONDS_END: u32 = 1_000_000_000;

/// Marks in the head's first byte, above [`DirectoryFlags`].
const HEAD_CTIME_IS_MTIME: u8 = 0x80;
const HEAD_SUMS_FOLLOW: u8 = 0x40;

/// Writes attributes and totals. `below` is none where the totals follow from
/// the directory's own entries.
pub(super) fn put_head(
    head: &mut Vec<u8>,
    attributes: &DirectoryAttributes,
    below: Option<&Totals>,
) -> Result<(), String> {
    let DirectoryAttributes { mtime, ctime, inode, permissions, flags } = *attributes;
    if flags.0 & (HEAD_CTIME_IS_MTIME | HEAD_SUMS_FOLLOW) != 0 {
        return Err(format!("the directory mark {:#x} is taken by the format", flags.0));
    }
    if mtime.nanoseconds >= NANOSECONDS_END || ctime.nanoseconds >= NANOSECONDS_END {
        return Err("a time has a billion nanoseconds or more".into());
    }
    let ctime_mark = if ctime == mtime { HEAD_CTIME_IS_MTIME } else { 0 };
    head.push(flags.0 | ctime_mark | if below.is_none() { HEAD_SUMS_FOLLOW } else { 0 });
    put_delta(head, mtime.seconds as u64, 0);
    head.extend_from_slice(&mtime.nanoseconds.to_le_bytes());
    if ctime != mtime {
        put_delta(head, ctime.seconds as u64, mtime.seconds as u64);
        head.extend_from_slice(&ctime.nanoseconds.to_le_bytes());
    }
    put_leb(head, inode);
    put_leb(head, permissions.mode.into());
    put_leb(head, permissions.uid.into());
    put_leb(head, permissions.gid.into());
    if let Some(below) = below {
        put_totals(head, below);
    }
    Ok(())
}

/// Reads attributes, and the totals unless they follow from the entries.
pub(super) fn take_head(column: &mut Column<'_>) -> Result<(DirectoryAttributes, Option<Totals>), Broken> {
    let flags = column.byte()?;
    let mtime = Timestamp { seconds: column.delta(0)? as i64, nanoseconds: take_nanoseconds(column)? };
    let ctime = if flags & HEAD_CTIME_IS_MTIME != 0 {
        mtime
    } else {
        Timestamp {
            seconds: column.delta(mtime.seconds as u64)? as i64,
            nanoseconds: take_nanoseconds(column)?,
        }
    };
    let attributes = DirectoryAttributes {
        mtime,
        ctime,
        inode: column.leb()?,
        permissions: Permissions { mode: column.leb_u32()?, uid: column.leb_u32()?, gid: column.leb_u32()? },
        flags: DirectoryFlags(flags & !(HEAD_CTIME_IS_MTIME | HEAD_SUMS_FOLLOW)),
    };
    let below = if flags & HEAD_SUMS_FOLLOW == 0 { Some(take_totals(column)?) } else { None };
    Ok((attributes, below))
}

fn take_nanoseconds(column: &mut Column<'_>) -> Result<u32, Broken> {
    let nanoseconds = u32::from_le_bytes(column.array()?);
    if nanoseconds < NANOSECONDS_END { Ok(nanoseconds) } else { Err("a time has too many nanoseconds") }
}

/// Writes the modes and owners that entries refer to by number.
pub(super) fn put_dictionary(out: &mut Vec<u8>, dictionary: &[Permissions], near: Permissions) {
    dictionary.iter().fold(near, |before, permissions| {
        put_leb(out, permissions.mode.into());
        put_delta(out, permissions.uid.into(), before.uid.into());
        put_delta(out, permissions.gid.into(), before.gid.into());
        *permissions
    });
}

/// Reads `count` of them.
pub(super) fn take_dictionary(
    column: &mut Column<'_>,
    count: usize,
    near: Permissions,
    into: &mut Vec<Permissions>,
) -> Result<(), Broken> {
    let mut before = near;
    into.clear();
    for _ in 0..count {
        let id = |value: u64| u32::try_from(value).map_err(|_| "an owner has more than 32 bits");
        before = Permissions {
            mode: column.leb_u32()?,
            uid: id(column.delta(before.uid.into())?)?,
            gid: id(column.delta(before.gid.into())?)?,
        };
        into.push(before);
    }
    Ok(())
}
