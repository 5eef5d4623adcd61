//! The walk: two sorted listings at a time, one frame per directory on the way
//! down.

use super::Equality;
use crate::model::{
    Change, Directory, DirectoryAttributes, DirectoryPointer, Entry, EntryFlags, EntryKind, OwnedEntry,
    ReadNodeError, TreePath, TreeView,
};
use std::cmp::Ordering;

/// The pending tree could not be read. (A damaged node of the base is no error:
/// see [`Changes`].)
#[derive(Debug, thiserror::Error)]
#[error("reading the pending tree at {path}: {source}")]
pub struct DiffError {
    /// Which directory.
    pub path: TreePath,
    /// Why.
    pub source: ReadNodeError,
}

/// The changes from `base` to `pending`, in path order.
///
/// A damaged node of the base makes everything that is pending below that
/// directory a change with `base_is_unknown`; what vanished below it cannot be
/// told and is not reported.
pub fn diff<'a>(base: &'a dyn TreeView, pending: &'a dyn TreeView, equality: Equality) -> Changes<'a> {
    Changes {
        base,
        pending,
        equality,
        started: false,
        stack: Vec::new(),
        spare: Vec::new(),
        path: TreePath::root(),
    }
}

/// An iterator over changes; see [`diff`].
pub struct Changes<'a> {
    base: &'a dyn TreeView,
    pending: &'a dyn TreeView,
    equality: Equality,
    started: bool,
    stack: Vec<Frame>,
    /// Directories whose memory is used again.
    spare: Vec<Directory>,
    path: TreePath,
}

/// One pair of directories under comparison. A side that is not there is empty.
struct Frame {
    base: Directory,
    base_index: usize,
    pending: Directory,
    pending_index: usize,
    /// The base's node is damaged: nothing can be said about its side.
    base_is_unknown: bool,
    /// The pending side does not exist because the whole subtree left the scope.
    out_of_scope: bool,
}

/// What stands next in a frame. Indexes, so that nothing stays borrowed.
enum Step {
    Base,
    Pending,
    Both,
    Finished,
}

impl Frame {
    fn next_step(&self) -> Step {
        let base = (self.base_index < self.base.len()).then(|| self.base.get(self.base_index).name);
        let pending =
            (self.pending_index < self.pending.len()).then(|| self.pending.get(self.pending_index).name);
        match (base, pending) {
            (None, None) => Step::Finished,
            (Some(_), None) => Step::Base,
            (None, Some(_)) => Step::Pending,
            (Some(base), Some(pending)) => match base.cmp(pending) {
                Ordering::Less => Step::Base,
                Ordering::Greater => Step::Pending,
                Ordering::Equal => Step::Both,
            },
        }
    }
}

impl Changes<'_> {
    /// Goes down into a pair of directories. Gives back the stat data of the
    /// pending one.
    fn enter(
        &mut self,
        base: Option<DirectoryPointer>,
        pending: Option<DirectoryPointer>,
        base_is_unknown: bool,
        out_of_scope: bool,
    ) -> Result<Option<DirectoryAttributes>, DiffError> {
        let mut frame = Frame {
            base: self.spare.pop().unwrap_or_default(),
            base_index: 0,
            pending: self.spare.pop().unwrap_or_default(),
            pending_index: 0,
            base_is_unknown,
            out_of_scope,
        };
        frame.base.clear();
        frame.pending.clear();
        if let Some(pointer) = base
            && self.base.read_directory(&pointer, &mut frame.base).is_err()
        {
            frame.base.clear();
            frame.base_is_unknown = true;
        }
        if let Some(pointer) = pending {
            self.pending
                .read_directory(&pointer, &mut frame.pending)
                .map_err(|source| DiffError { path: self.path.clone(), source })?;
        }
        let pending_attributes = pending.map(|_| frame.pending.attributes);
        self.stack.push(frame);
        Ok(pending_attributes)
    }

    fn leave(&mut self) {
        if let Some(frame) = self.stack.pop() {
            self.spare.push(frame.base);
            self.spare.push(frame.pending);
            self.path.pop();
        }
    }

    fn start(&mut self) -> Result<Option<Change>, DiffError> {
        self.started = true;
        let (base, pending) = (self.base.root(), self.pending.root());
        match (base, pending) {
            (Some(base), Some(pending)) if self.equality.skips(&base, &pending) => return Ok(None),
            (None, None) => return Ok(None),
            _ => {}
        }
        let pending_attributes = self.enter(base, pending, false, false)?;
        Ok(Some(Change {
            path: TreePath::root(),
            base: base.map(root_entry),
            pending: pending.map(root_entry),
            pending_attributes,
            base_is_unknown: false,
        }))
    }

    /// Looks at the next name of the top frame. `None`: nothing to report there.
    fn step(&mut self) -> Result<Option<Change>, DiffError> {
        let Some(frame) = self.stack.last_mut() else { return Ok(None) };
        let base_is_unknown = frame.base_is_unknown;
        let (base, pending) = match frame.next_step() {
            Step::Finished => {
                self.leave();
                return Ok(None);
            }
            Step::Base => {
                frame.base_index += 1;
                let base = frame.base.get(frame.base_index - 1);
                (Some(base), frame.out_of_scope.then(|| left_behind(base)))
            }
            Step::Pending => {
                frame.pending_index += 1;
                (None, Some(frame.pending.get(frame.pending_index - 1)))
            }
            Step::Both => {
                frame.base_index += 1;
                frame.pending_index += 1;
                let base = frame.base.get(frame.base_index - 1);
                let pending = frame.pending.get(frame.pending_index - 1);
                let equal = match (base.child(), pending.child()) {
                    (Some(base_child), Some(pending_child)) => {
                        base.flags == pending.flags && self.equality.skips(&base_child, &pending_child)
                    }
                    _ => self.equality.agrees(&base, &pending),
                };
                if equal {
                    return Ok(None);
                }
                (Some(base), Some(pending))
            }
        };
        let Some(name) = base.or(pending).map(|entry| entry.name) else { return Ok(None) };
        self.path.push(name);
        let out_of_scope = pending.is_some_and(|entry| entry.flags.contains(EntryFlags::OUT_OF_SCOPE));
        let base_child = base.and_then(|entry| entry.child());
        let pending_child = pending.and_then(|entry| entry.child()).filter(|_| !out_of_scope);
        let mut change = Change {
            path: self.path.clone(),
            base: base.as_ref().map(OwnedEntry::from),
            pending: pending.as_ref().map(OwnedEntry::from),
            pending_attributes: None,
            base_is_unknown,
        };
        if base_child.is_some() || pending_child.is_some() {
            change.pending_attributes =
                self.enter(base_child, pending_child, base_is_unknown, out_of_scope)?;
        } else {
            self.path.pop();
        }
        Ok(Some(change))
    }
}

/// The pending side of an entry whose directory left the scope as a whole.
fn left_behind(base: Entry<'_>) -> Entry<'_> {
    Entry { flags: base.flags.with(EntryFlags::OUT_OF_SCOPE), ..base }
}

fn root_entry(pointer: DirectoryPointer) -> OwnedEntry {
    OwnedEntry {
        kind: EntryKind::Directory,
        flags: EntryFlags::NONE,
        stamp: Default::default(),
        permissions: Default::default(),
        digest: None,
        target: None,
        child: Some(pointer),
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, DiffError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.started
            && let Some(item) = self.start().transpose()
        {
            return Some(item);
        }
        while !self.stack.is_empty() {
            if let Some(item) = self.step().transpose() {
                if item.is_err() {
                    self.stack.clear();
                }
                return Some(item);
            }
        }
        None
    }
}
