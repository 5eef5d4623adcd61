//! What leads to a record, and the two marks that ride in its offset.

use crate::model::{DirectoryPointer, NodeDigest, NodeOffset, Totals};
use std::fmt;
use std::io;

/// A whole tree: where its top directory lies, and the sums over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The top directory.
    pub pointer: DirectoryPointer,
    /// Everything below it, itself not counted.
    pub totals: Totals,
}

/// Where a record that is no directory lies (a run record).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordPointer {
    /// Offset in the node file, in bytes.
    pub offset: u64,
    /// Length, in bytes.
    pub length: u32,
    /// S of the record.
    pub digest: NodeDigest,
}

/// Which node file a docket belongs to: random, new with every node file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DataId(pub [u8; 16]);

impl DataId {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random() -> io::Result<DataId> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(DataId(bytes))
    }
}

/// 32 hexadecimal digits, fit for a file name.
impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The node lies in the scratch file of a pending tree. Never in a node file.
const SCRATCH: u64 = 1 << 63;

/// Something in or below the node is racy or unread. It rides in the offset so
/// that a parent can be written without reading its children again.
const UNSETTLED: u64 = 1 << 62;

pub(super) fn position_of(offset: NodeOffset) -> u64 {
    offset.0 & !(SCRATCH | UNSETTLED)
}

pub(super) fn is_scratch(offset: NodeOffset) -> bool {
    offset.0 & SCRATCH != 0
}

pub(super) fn is_unsettled(offset: NodeOffset) -> bool {
    offset.0 & UNSETTLED != 0
}

pub(super) fn node_offset(position: u64, scratch: bool, unsettled: bool) -> NodeOffset {
    NodeOffset(position | if scratch { SCRATCH } else { 0 } | if unsettled { UNSETTLED } else { 0 })
}
