//! Files of several names: read once in a run, under whichever name comes first.

use crate::scan::open::OpenFile;
use crate::scan::read::ReadFile;
use crate::scan::settled::FileSystem;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// Inodes that are remembered at once; what comes beyond is read under each of its
/// names. About 45 MB.
const INODES_MAX: usize = 1 << 18;

/// What reading an inode came to, or nothing yet. Held locked by whoever reads it.
pub(crate) type Known = Arc<Mutex<Option<ReadFile>>>;

/// What is known of inodes with more than one name.
#[derive(Debug, Default)]
pub(crate) struct HardLinks {
    inodes: Mutex<HashMap<(u64, u64), Inode>>,
}

#[derive(Debug)]
struct Inode {
    known: Known,
    /// Names that may still come, in this source or elsewhere.
    names_left: u32,
}

impl HardLinks {
    /// The place for what is known of `file`; `None` when it has one name only, or
    /// when inode numbers do not last. Forgotten as soon as all its names have come.
    pub(crate) fn known(&self, file: &OpenFile, file_system: &FileSystem) -> Option<Known> {
        if file.links < 2 || !file_system.stable_inodes {
            return None;
        }
        let mut inodes = self.inodes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = inodes.len() >= INODES_MAX;
        match inodes.entry((file.metadata.device, file.metadata.inode)) {
            Entry::Occupied(mut inode) => {
                inode.get_mut().names_left -= 1;
                Some(if inode.get().names_left == 0 {
                    inode.remove().known
                } else {
                    inode.get().known.clone()
                })
            }
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(place) => {
                let known = Known::default();
                place.insert(Inode { known: known.clone(), names_left: file.links - 1 });
                Some(known)
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.inodes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
