//! Looking at the names of a large directory in the order of their inodes.
//!
//! The order of names has nothing to do with where inodes lie: on a cold disk each
//! look then reads another block. The merge with the base wants the order of names,
//! so what is seen waits for its turn here, a block of names at a time.

use crate::scan::open::{Metadata, stat_name};
use crate::scan::settled::FileSystem;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::ffi::CStr;
use std::ops::Range;

/// A smaller directory fits into a few blocks of inodes, and gains nothing.
const NAMES_MIN: usize = 1_024;
/// About 1.6 MB a worker.
const BLOCK_NAMES: usize = 16_384;

/// What stat said of a name.
pub(crate) type Look = Result<Metadata, Errno>;

/// Names of one directory that were looked at before their turn.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    first: usize,
    looks: Vec<Option<Look>>,
    /// Inodes of the block, and the indices of their names.
    order: Vec<(u64, usize)>,
}

impl Ahead {
    pub(crate) fn clear(&mut self) {
        self.looks.clear();
    }

    /// What was seen of the name at `index` of `count`; indices come one after the other.
    /// `inode_of` says what the listing says of a name that is to be looked at, `None` for
    /// one that is not.
    #[inline]
    pub(crate) fn take<'n>(
        &mut self,
        directory: (BorrowedFd<'_>, &FileSystem),
        (index, count): (usize, usize),
        name_of: impl Fn(usize) -> &'n CStr,
        inode_of: impl Fn(usize) -> Option<u64>,
    ) -> Option<Look> {
        if count < NAMES_MIN {
            return None;
        }
        if index.is_multiple_of(BLOCK_NAMES) {
            self.look(directory, index..count.min(index + BLOCK_NAMES), name_of, inode_of);
        }
        self.looks.get_mut(index - self.first)?.take()
    }

    fn look<'n>(
        &mut self,
        (directory, file_system): (BorrowedFd<'_>, &FileSystem),
        block: Range<usize>,
        name_of: impl Fn(usize) -> &'n CStr,
        inode_of: impl Fn(usize) -> Option<u64>,
    ) {
        self.first = block.start;
        self.looks.clear();
        self.looks.resize(block.len(), None);
        self.order.clear();
        self.order.extend(block.filter_map(|index| Some((inode_of(index)?, index))));
        self.order.sort_unstable();
        for (_, index) in &self.order {
            let look = stat_name(directory, name_of(*index), file_system, false);
            self.looks[index - self.first] = Some(look);
        }
    }
}
