//! Finishing directories: the base's pointer where nothing changed, a new node
//! where something did, and on to the parent when this was its last child.

use crate::model::{
    Content, Directory, DirectoryFlags, DirectoryPointer, DirectorySink, Entry, EntryFlags, EntryKind,
    Permissions, Stamp, Totals, TreeView,
};
use crate::observe::Counter;
use crate::scan::compare::Scratch;
use crate::scan::node::{ChildResult, Node, Waiting, lock};
use crate::scan::survey::same_attributes;
use crate::scan::walk::Walk;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An error is never a deletion: the base's entry stays where it still stands,
/// and something new that cannot be read is not recorded.
pub(crate) fn result_of_error(node: &Node, totals: impl FnOnce(&DirectoryPointer) -> Totals) -> ChildResult {
    match (node.is_new, &node.base) {
        (false, Some(pointer)) => ChildResult::Same(totals(pointer)),
        (false, None) => ChildResult::Mount(EntryFlags::NONE),
        (true, Some(pointer)) => ChildResult::Stored(*pointer, totals(pointer)),
        (true, None) => match &node.uploaded_link {
            Some(link) => ChildResult::Link(link.clone()),
            None => ChildResult::Absent { incomplete: true },
        },
    }
}

impl<Base: TreeView + ?Sized, Sink: DirectorySink + ?Sized> Walk<'_, Base, Sink> {
    /// Hands `result` to the parent; the last child closes it, and so on up.
    pub(crate) fn finish(&self, mut node: Arc<Node>, mut result: ChildResult, scratch: &mut Scratch) {
        loop {
            let Some((parent, position)) = &node.parent else { return self.finish_root(&node, result) };
            self.hand_over(&node, parent, *position, result);
            if parent.children_unfinished.fetch_sub(1, Ordering::AcqRel) != 1 {
                return;
            }
            let parent = parent.clone();
            let waiting = std::mem::take(&mut *lock(&parent.waiting));
            result = self.close(&parent, waiting, scratch);
            // The child is dropped while its parent is held: no recursion in drop.
            node = parent;
        }
    }

    fn hand_over(&self, node: &Node, parent: &Node, position: u32, result: ChildResult) {
        let mut waiting = lock(&parent.waiting);
        if let ChildResult::Same(totals) | ChildResult::Stored(_, totals) = &result {
            waiting.below.add(*totals);
            waiting.below.directories += 1;
        }
        match (result, node.base) {
            (ChildResult::Same(_), _) if !node.is_new => {}
            (ChildResult::Mount(_), _) if node.was_mount() => {}
            // The base's node under an entry that is not the base's.
            (ChildResult::Same(totals), Some(pointer)) => {
                waiting.changed.push((position, ChildResult::Stored(pointer, totals)));
            }
            (result, _) => waiting.changed.push((position, result)),
        }
    }

    fn finish_root(&self, node: &Node, result: ChildResult) {
        let outcome = match (result, node.base) {
            (ChildResult::Same(totals), Some(pointer)) => Some((pointer, totals)),
            (ChildResult::Stored(pointer, totals), _) => Some((pointer, totals)),
            _ => None,
        };
        *lock(&self.outcome) = outcome;
    }

    /// Closes a directory all of whose children are finished.
    pub(crate) fn close(&self, node: &Node, mut waiting: Waiting, scratch: &mut Scratch) -> ChildResult {
        if waiting.entries.is_none() && waiting.changed.is_empty() && !waiting.attributes_differ {
            return ChildResult::Same(waiting.base_totals);
        }
        let mut directory = match waiting.entries.take() {
            Some(entries) => entries,
            None => match self.base_again(node, scratch) {
                Some(base) => base,
                None => return ChildResult::Same(waiting.base_totals),
            },
        };
        if !waiting.changed.is_empty() {
            waiting.changed.sort_unstable_by_key(|(position, _)| *position);
            let mut applied = Directory::default();
            let incomplete = apply(&directory, &waiting.changed, &mut applied);
            if incomplete {
                waiting.attributes.flags = DirectoryFlags::NONE;
            }
            directory = applied;
        }
        directory.attributes = waiting.attributes;
        self.store(node, directory, &waiting, scratch)
    }

    /// The base's entries once more: they were the same, but a child changed.
    fn base_again(&self, node: &Node, scratch: &mut Scratch) -> Option<Directory> {
        let mut directory = std::mem::take(&mut scratch.spare);
        let Some(pointer) = &node.base else {
            directory.clear();
            return Some(directory);
        };
        self.observer.count(Counter::NodesRead, 1);
        match self.base.read_directory(pointer, &mut directory) {
            Ok(_) => Some(directory),
            Err(error) => {
                self.unprotected(&node.path(), &format!("is known no longer: {error}"));
                None
            }
        }
    }

    fn store(
        &self,
        node: &Node,
        directory: Directory,
        waiting: &Waiting,
        scratch: &mut Scratch,
    ) -> ChildResult {
        if let Some(pointer) = &node.base
            && self.equals_base(pointer, &directory, &mut scratch.spare)
        {
            return ChildResult::Same(waiting.base_totals);
        }
        let mut totals = waiting.below;
        for entry in directory.iter().filter(|entry| entry.kind == EntryKind::File) {
            if !entry.flags.contains(EntryFlags::OUT_OF_SCOPE) {
                totals.files += 1;
                totals.bytes += entry.stamp.size;
            }
        }
        self.observer.count(Counter::NodesWritten, 1);
        let stored = self.sink.write_directory(&directory, totals);
        scratch.result.pending = directory;
        match stored {
            Ok(pointer) => ChildResult::Stored(pointer, totals),
            Err(error) => {
                self.fail(error.into());
                ChildResult::Absent { incomplete: true }
            }
        }
    }

    /// What looked different may have come out the same: a new directory that is
    /// left out after all, a symlink that leads back.
    fn equals_base(&self, pointer: &DirectoryPointer, directory: &Directory, spare: &mut Directory) -> bool {
        self.observer.count(Counter::NodesRead, 1);
        self.base.read_directory(pointer, spare).is_ok()
            && same_attributes(&spare.attributes, &directory.attributes)
            && spare.len() == directory.len()
            && spare.iter().eq(directory.iter())
    }
}

/// Puts the results of children in the place of their entries. True when one was
/// left out because of an error, or will be by the next base.
fn apply(source: &Directory, changed: &[(u32, ChildResult)], into: &mut Directory) -> bool {
    let mut incomplete = false;
    let mut changed = changed.iter().peekable();
    for (position, entry) in source.iter().enumerate() {
        let Some((_, result)) = changed.next_if(|(at, _)| *at as usize == position) else {
            into.push(entry);
            continue;
        };
        let bare = Entry {
            flags: entry.flags,
            stamp: Stamp::default(),
            permissions: Permissions::default(),
            kind: EntryKind::Directory,
            ..entry
        };
        match result {
            ChildResult::Same(_) => into.push(entry),
            ChildResult::Stored(pointer, _) => into.push(Entry { content: Content::Child(*pointer), ..bare }),
            ChildResult::OutOfScope(flags, pointer) => {
                incomplete = true;
                into.push(Entry {
                    flags: flags.with(EntryFlags::OUT_OF_SCOPE),
                    content: Content::Child(*pointer),
                    ..bare
                });
            }
            ChildResult::Mount(flags) => {
                incomplete |= *flags != EntryFlags::NONE;
                into.push(Entry { kind: EntryKind::Mount, content: Content::None, flags: *flags, ..bare });
            }
            ChildResult::Link(link) => {
                // In the place of an uploaded one, because of an error or out of scope.
                incomplete |= link.flags != EntryFlags::NONE;
                into.push(Entry {
                    kind: EntryKind::Symlink,
                    flags: link.flags,
                    stamp: link.stamp,
                    permissions: link.permissions,
                    content: Content::Target(&link.target),
                    ..bare
                });
            }
            ChildResult::Absent { incomplete: because_of_error } => incomplete |= because_of_error,
        }
    }
    incomplete
}
