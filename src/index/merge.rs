//! One directory under rewriting: the old entries merged with the edited ones.

use crate::model::{
    Directory, DirectoryFlags, DirectoryPointer, EntryFlags, EntryKind, Name, OwnedEntry, Permissions, Stamp,
    Totals,
};

/// A directory under work: entries before `next` are merged already.
#[derive(Default)]
pub(super) struct Frame {
    /// Its name in the directory above.
    pub(super) name: Vec<u8>,
    pub(super) old_pointer: Option<DirectoryPointer>,
    pub(super) old: Directory,
    pub(super) next: usize,
    pub(super) new: Directory,
    /// The name that edits are at. It is held back from `new`, because a later
    /// edit may replace it or go below it.
    pub(super) current: Option<Current>,
    pub(super) totals: Totals,
    /// The sums when it was opened: what the directory above has in its own.
    pub(super) totals_before: Totals,
    pub(super) changed: bool,
    /// The difference of the sums is not known: a child that was replaced is
    /// damaged. They are summed up again at the end.
    pub(super) recount: bool,
    /// The node of the base is damaged: what lies here is known by the edits only.
    pub(super) damaged: bool,
    pub(super) goes_if_empty: bool,
    /// And then this comes in its place.
    pub(super) gives_way_to: Option<OwnedEntry>,
}

pub(super) struct Current {
    pub(super) name: Vec<u8>,
    pub(super) old: Option<OwnedEntry>,
    /// What an edit made of it; while a frame is open for it, what it was before.
    pub(super) entry: Option<OwnedEntry>,
}

impl Frame {
    /// Makes `name` the current one, merging everything before it.
    pub(super) fn advance(&mut self, name: &Name) {
        if self.current.as_ref().is_some_and(|current| current.name == name) {
            return;
        }
        self.settle();
        while self.next < self.old.len() && self.old.get(self.next).name < name {
            self.new.push(self.old.get(self.next));
            self.next += 1;
        }
        let old = (self.next < self.old.len())
            .then(|| self.old.get(self.next))
            .filter(|entry| entry.name == name)
            .map(|entry| OwnedEntry::from(&entry));
        self.next += usize::from(old.is_some());
        self.current = Some(Current { name: name.to_vec(), entry: old.clone(), old });
    }

    /// Puts the current entry where it belongs.
    fn settle(&mut self) {
        if let Some(current) = self.current.take() {
            self.changed |= current.entry != current.old;
            if let Some(entry) = &current.entry {
                self.new.push(entry.as_entry(&current.name));
            }
        }
    }

    pub(super) fn settle_all(&mut self) {
        self.settle();
        while self.next < self.old.len() {
            self.new.push(self.old.get(self.next));
            self.next += 1;
        }
    }

    pub(super) fn attributes_changed(&self) -> bool {
        let bare = |directory: &Directory| {
            let mut attributes = directory.attributes;
            attributes.flags.0 &= !DirectoryFlags::UNSETTLED_BELOW.0;
            attributes
        };
        bare(&self.old) != bare(&self.new)
    }
}

pub(super) fn new_directory() -> OwnedEntry {
    OwnedEntry {
        kind: EntryKind::Directory,
        flags: EntryFlags::NONE,
        stamp: Stamp::default(),
        permissions: Permissions::default(),
        digest: None,
        target: None,
        child: None,
    }
}

pub(super) fn with_itself(below: Totals) -> Totals {
    Totals { directories: below.directories + 1, ..below }
}

/// Replaces a part of the sums. They come from records that were checked; wrapping keeps even wrong ones from a panic.
pub(super) fn exchange(sums: &mut Totals, old: Totals, new: Totals) {
    let exchanged = |sum: u64, old: u64, new: u64| sum.wrapping_sub(old).wrapping_add(new);
    sums.files = exchanged(sums.files, old.files, new.files);
    sums.directories = exchanged(sums.directories, old.directories, new.directories);
    sums.bytes = exchanged(sums.bytes, old.bytes, new.bytes);
}
