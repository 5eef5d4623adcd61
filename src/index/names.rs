//! Names, compressed against the name before, and checked while they are read.

use crate::index::pack::{Broken, Column, put_leb};

/// Linux allows 255 bytes, some FUSE file systems more.
const NAME_BYTES_MAX: usize = 4096;

/// One byte holds both lengths as far as they are below this.
const SHORT: usize = 15;

/// Appends `name`, which must come after `before`.
pub(super) fn put_name(out: &mut Vec<u8>, name: &[u8], before: &[u8]) -> Result<(), String> {
    let shared = name.iter().zip(before).take_while(|(a, b)| a == b).count();
    let rest = &name[shared..];
    if let Err(reason) = check_order(shared, rest, before).and_then(|()| check_name(name)) {
        return Err(format!("{:?}: {reason}", String::from_utf8_lossy(name)));
    }
    put_shared(out, shared, rest);
    Ok(())
}

/// Appends the lengths of what is shared with the string before and of what is
/// not, and the latter.
pub(super) fn put_shared(out: &mut Vec<u8>, shared: usize, rest: &[u8]) {
    out.push((shared.min(SHORT) << 4 | rest.len().min(SHORT)) as u8);
    for length in [shared, rest.len()] {
        if length >= SHORT {
            put_leb(out, (length - SHORT) as u64);
        }
    }
    out.extend_from_slice(rest);
}

/// Reverses [`put_shared`]: how much is shared, and the rest.
#[inline]
pub(super) fn take_shared<'a>(column: &mut Column<'a>) -> Result<(usize, &'a [u8]), Broken> {
    let lengths = column.byte()?;
    let mut shared = usize::from(lengths >> 4);
    let mut rest = usize::from(lengths & 15);
    for length in [&mut shared, &mut rest] {
        if *length == SHORT {
            *length = SHORT.checked_add(column.leb_length()?).ok_or("a length is too large")?;
        }
    }
    Ok((shared, column.take(rest)?))
}

/// The next name, as what it shares with `before` and the rest; checked but for
/// the bytes that no name has. `is_first`: of a page, so that nothing is shared,
/// but the order must be right.
#[inline]
pub(super) fn take_name<'a>(
    column: &mut Column<'a>,
    before: &[u8],
    is_first: bool,
) -> Result<(usize, &'a [u8]), Broken> {
    let (shared, rest) = take_shared(column)?;
    if is_first {
        if shared != 0 || (!before.is_empty() && rest <= before) {
            return Err("the names are not in order");
        }
    } else {
        check_order(shared, rest, before)?;
    }
    if shared + rest.len() > NAME_BYTES_MAX {
        return Err("a name is too long");
    }
    let leads_out = match (shared, rest) {
        (0, b"." | b"..") => true,
        (1, b".") => before.starts_with(b"."),
        _ => false,
    };
    if leads_out { Err(NOT_A_NAME) } else { Ok((shared, rest)) }
}

pub(super) const NOT_A_NAME: Broken = "a name holds a byte that no name can have";

/// Ascending order, and as much shared as possible, both by one byte.
#[inline]
fn check_order(shared: usize, rest: &[u8], before: &[u8]) -> Result<(), Broken> {
    match (rest.first(), before.get(shared)) {
        (None, _) => Err("a name is empty or stands twice"),
        (Some(_), None) if shared == before.len() => Ok(()),
        (Some(first), Some(replaced)) if first > replaced => Ok(()),
        _ => Err("the names are not in order"),
    }
}

/// A name must not lead out of its directory.
fn check_name(name: &[u8]) -> Result<(), Broken> {
    if name.len() > NAME_BYTES_MAX {
        return Err("a name is too long");
    }
    if name.iter().any(|&byte| byte == b'/' || byte == 0) || name == b"." || name == b".." {
        return Err(NOT_A_NAME);
    }
    Ok(())
}
