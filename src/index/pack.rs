//! Numbers and pointers packed into columns: LEB128, zigzag, fixed arrays.

use crate::index::pointer::{RecordPointer, Root};
use crate::model::{DirectoryPointer, NodeDigest, NodeOffset, Totals, TreeDigest};

pub(super) fn put_leb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Differences wrap, so that any two values have one.
pub(super) fn put_delta(out: &mut Vec<u8>, value: u64, before: u64) {
    let difference = value.wrapping_sub(before) as i64;
    put_leb(out, ((difference << 1) ^ (difference >> 63)) as u64);
}

/// What a column says when it is broken. Becomes the reason of a `ReadNodeError`.
pub(super) type Broken = &'static str;

/// Reads a column from its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<'a>(pub(super) &'a [u8]);

impl<'a> Column<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a column ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("a column ends too early")?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        let (&byte, rest) = self.0.split_first().ok_or("a column ends too early")?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn leb(&mut self) -> Result<u64, Broken> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err("a number has more than 64 bits");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 { Err("a number is not in its shortest form") } else { Ok(value) };
            }
        }
        Err("a number has more than 64 bits")
    }

    pub(super) fn leb_u32(&mut self) -> Result<u32, Broken> {
        u32::try_from(self.leb()?).map_err(|_| "a number has more than 32 bits")
    }

    pub(super) fn leb_length(&mut self) -> Result<usize, Broken> {
        Ok(self.leb_u32()? as usize)
    }

    pub(super) fn delta(&mut self, before: u64) -> Result<u64, Broken> {
        let zigzag = self.leb()?;
        let difference = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        Ok(before.wrapping_add(difference))
    }

    pub(super) fn finish(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err("a column has bytes left over") }
    }
}

pub(super) fn put_totals(out: &mut Vec<u8>, totals: &Totals) {
    put_leb(out, totals.files);
    put_leb(out, totals.directories);
    put_leb(out, totals.bytes);
}

pub(super) fn take_totals(column: &mut Column<'_>) -> Result<Totals, Broken> {
    Ok(Totals { files: column.leb()?, directories: column.leb()?, bytes: column.leb()? })
}

/// `near`: where the record before ends. Directories lie beside each other, children first.
pub(super) fn put_directory_pointer(out: &mut Vec<u8>, pointer: &DirectoryPointer, near: u64) {
    put_delta(out, pointer.offset.0, near);
    put_leb(out, pointer.length.into());
    out.extend_from_slice(&pointer.node.0);
    out.extend_from_slice(&pointer.content.0);
}

pub(super) fn take_directory_pointer(column: &mut Column<'_>, near: u64) -> Result<DirectoryPointer, Broken> {
    Ok(DirectoryPointer {
        offset: NodeOffset(column.delta(near)?),
        length: column.leb_u32()?,
        node: NodeDigest(column.array()?),
        content: TreeDigest(column.array()?),
    })
}

/// Where the record of `pointer` ends, with its marks; wraps in damaged bytes.
pub(super) fn end_of(pointer: &DirectoryPointer) -> u64 {
    pointer.offset.0.wrapping_add(pointer.length.into())
}

/// Nothing at all for `None`.
pub(super) fn put_root(out: &mut Vec<u8>, root: Option<&Root>) {
    if let Some(root) = root {
        put_directory_pointer(out, &root.pointer, 0);
        put_totals(out, &root.totals);
    }
}

pub(super) fn take_root(bytes: &[u8]) -> Result<Option<Root>, Broken> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut column = Column(bytes);
    let root = Root { pointer: take_directory_pointer(&mut column, 0)?, totals: take_totals(&mut column)? };
    column.finish()?;
    Ok(Some(root))
}

pub(super) fn put_record_pointer(out: &mut Vec<u8>, pointer: &RecordPointer, offset_before: u64) {
    put_delta(out, pointer.offset, offset_before);
    put_leb(out, pointer.length.into());
    out.extend_from_slice(&pointer.digest.0);
}

pub(super) fn take_record_pointer(
    column: &mut Column<'_>,
    offset_before: u64,
) -> Result<RecordPointer, Broken> {
    Ok(RecordPointer {
        offset: column.delta(offset_before)?,
        length: column.leb_u32()?,
        digest: NodeDigest(column.array()?),
    })
}
