//! Base plus edits: a new root that shares every directory no edit touches.
//!
//! Edits come in path order and are merged while they come. In memory are the
//! directories on the current path only; each is written when the edits leave
//! it, children first. The sums are carried as differences, so that no
//! untouched sibling is read.

use crate::index::edit::{Edit, RewriteError};
use crate::index::merge::{Current, Frame, exchange, new_directory, with_itself};
use crate::index::node::{OldPages, PAGED_ABOVE};
use crate::index::node_file::NodeWriter;
use crate::index::pointer::Root;
use crate::index::tree::Tree;
use crate::model::{
    Directory, DirectoryAttributes, DirectoryFlags, DirectoryPointer, EntryKind, Name, OwnedEntry,
    ReadNodeError, Totals, TreePath, TreeView, WriteNodeError,
};

/// Writes `base` with all `edits`, which come in [`TreePath`] order; of several
/// for the same path the last one counts (but an `Unconfirmed` never undoes the
/// others). When nothing changes, the result is the base's own root and nothing
/// is written. Without a base, and with nothing put, there is no root.
///
/// # Errors
/// See [`RewriteError`]; records written by then are garbage that is not committed.
pub fn rewrite<E>(
    base: &Tree<'_>,
    edits: impl IntoIterator<Item = Result<Edit, E>>,
    writer: &NodeWriter<'_>,
) -> Result<Option<Root>, RewriteError<E>> {
    let mut rewriting = Rewriting {
        base,
        writer,
        frames: Vec::new(),
        path: TreePath::root(),
        spare: Vec::new(),
        root_is_gone: base.root().is_none(),
    };
    let mut before = TreePath::root();
    for edit in edits {
        let edit = edit.map_err(RewriteError::Edits)?;
        if *edit.path() < before {
            return Err(RewriteError::Unsorted { path: edit.path().clone(), before });
        }
        before.clone_from(edit.path());
        match edit {
            Edit::Put { path, .. } | Edit::PutIfEmpty { path, .. } if path.is_root() => {
                return Err(RewriteError::RootIsADirectory);
            }
            Edit::Put { path, entry } => rewriting.put(&path, &entry)?,
            Edit::Remove { path } => rewriting.remove(&path)?,
            Edit::RemoveIfEmpty { path } => drop(rewriting.remove_if_empty(&path, None)?),
            Edit::PutIfEmpty { path, entry } => {
                if !rewriting.remove_if_empty(&path, Some(&entry))? {
                    rewriting.put(&path, &entry)?;
                }
            }
            Edit::Directory { path, attributes } => rewriting.directory(&path, attributes)?,
            Edit::Unconfirmed { path } => rewriting.unconfirmed(&path)?,
        }
    }
    Ok(rewriting.finish()?)
}

/// Both kinds of failure of the work itself.
enum Failed {
    Read(ReadNodeError),
    Write(WriteNodeError),
}

impl From<ReadNodeError> for Failed {
    fn from(error: ReadNodeError) -> Self {
        Failed::Read(error)
    }
}

impl From<WriteNodeError> for Failed {
    fn from(error: WriteNodeError) -> Self {
        Failed::Write(error)
    }
}

impl<E> From<Failed> for RewriteError<E> {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Read(error) => RewriteError::Read(error),
            Failed::Write(error) => RewriteError::Write(error),
        }
    }
}

struct Rewriting<'r> {
    base: &'r Tree<'r>,
    writer: &'r NodeWriter<'r>,
    /// Open directories from the root down.
    frames: Vec<Frame>,
    /// The path of the innermost one.
    path: TreePath,
    spare: Vec<(Directory, Directory)>,
    root_is_gone: bool,
}

impl Rewriting<'_> {
    fn put(&mut self, path: &TreePath, entry: &OwnedEntry) -> Result<(), Failed> {
        self.open_for_name(path)?;
        if entry.kind != EntryKind::Directory || entry.child.is_some() {
            self.discard(path);
            return self.replace_current(Some(entry.clone()));
        }
        self.open_current(path)?;
        let above = self.frames.len().checked_sub(2).and_then(|above| self.frames.get_mut(above));
        if let Some(made) = above.and_then(|frame| frame.current.as_mut()?.entry.as_mut()) {
            made.flags = entry.flags;
        }
        Ok(())
    }

    fn remove(&mut self, path: &TreePath) -> Result<(), Failed> {
        if path.is_root() {
            self.frames.clear();
            self.path = TreePath::root();
            self.root_is_gone = true;
            return Ok(());
        }
        if !self.open_existing(path)? {
            return Ok(());
        }
        self.discard(path);
        self.replace_current(None)
    }

    /// Throws away the directory that was opened for `path` itself by an edit before.
    fn discard(&mut self, path: &TreePath) {
        if self.path == *path
            && let Some(frame) = self.frames.pop()
        {
            self.path.pop();
            self.spare.push((frame.old, frame.new));
        }
    }

    /// False when there is no directory.
    fn remove_if_empty(&mut self, path: &TreePath, instead: Option<&OwnedEntry>) -> Result<bool, Failed> {
        if path.is_root() || !self.open_existing(path)? {
            return Ok(false);
        }
        if self.path != *path {
            let current = self.frames.last().and_then(|frame| frame.current.as_ref());
            let is_directory = current
                .and_then(|current| current.entry.as_ref())
                .is_some_and(|entry| entry.kind == EntryKind::Directory);
            if !is_directory {
                return Ok(false);
            }
            self.open_current(path)?;
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.goes_if_empty = true;
            frame.gives_way_to = instead.cloned();
        }
        Ok(true)
    }

    fn directory(&mut self, path: &TreePath, attributes: DirectoryAttributes) -> Result<(), Failed> {
        if path.is_root() {
            self.leave_to(path)?;
            self.open_root()?;
        } else {
            self.open_for_name(path)?;
            self.open_current(path)?;
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.new.attributes = attributes;
        }
        Ok(())
    }

    /// When the directory around it is not known either, the nearest one that is.
    fn unconfirmed(&mut self, path: &TreePath) -> Result<(), Failed> {
        if path.is_root() || !self.open_existing(path)? {
            self.leave_to(path)?;
            if self.root_is_gone && self.frames.is_empty() {
                return Ok(());
            }
            self.open_root()?;
        }
        // An open frame for `path` itself (`Directory` came before) is one too deep.
        let above = usize::from(self.path == *path && !path.is_root());
        let at = self.frames.len() - 1 - above;
        self.frames[at].new.attributes.flags.0 &= !DirectoryFlags::SETTLED.0;
        Ok(())
    }

    /// Opens the directory around `path`, made if need be, and makes its name current.
    fn open_for_name(&mut self, path: &TreePath) -> Result<(), Failed> {
        self.leave_to(path)?;
        self.open_root()?;
        let Some(name) = path.name() else { return Ok(()) };
        let parent = path.parent().unwrap_or_default();
        if self.path == *path {
            return Ok(());
        }
        let depth = self.path.components().count();
        for component in parent.components().skip(depth) {
            self.advance(component);
            let below = self.path.join(component);
            self.open_current(&below)?;
        }
        self.advance(name);
        Ok(())
    }

    /// As [`Rewriting::open_for_name`], but makes nothing: false when a
    /// directory on the way is missing. Then the nearest one is open.
    fn open_existing(&mut self, path: &TreePath) -> Result<bool, Failed> {
        self.leave_to(path)?;
        if self.frames.is_empty() {
            if self.root_is_gone {
                return Ok(false);
            }
            self.open_root()?;
        }
        if self.path == *path {
            return Ok(true);
        }
        let Some(name) = path.name() else { return Ok(true) };
        let parents = path.components().count() - 1;
        let depth = self.path.components().count();
        for component in path.components().take(parents).skip(depth) {
            self.advance(component);
            let current = self.frames.last().and_then(|frame| frame.current.as_ref());
            let is_directory = current
                .and_then(|current| current.entry.as_ref())
                .is_some_and(|entry| entry.kind == EntryKind::Directory);
            if !is_directory {
                return Ok(false);
            }
            let below = self.path.join(component);
            self.open_current(&below)?;
        }
        self.advance(name);
        Ok(true)
    }

    fn advance(&mut self, name: &Name) {
        if let Some(frame) = self.frames.last_mut() {
            frame.advance(name);
        }
    }

    /// Finishes directories until the innermost open one is `path` or around it.
    fn leave_to(&mut self, path: &TreePath) -> Result<(), Failed> {
        while !path.is_within(&self.path) {
            self.close()?;
        }
        Ok(())
    }

    fn open_root(&mut self) -> Result<(), Failed> {
        if !self.frames.is_empty() {
            return Ok(());
        }
        let pointer = if self.root_is_gone { None } else { self.base.root() };
        self.root_is_gone = false;
        self.open(Vec::new(), pointer)
    }

    /// Goes into the current entry of the innermost directory, which becomes a
    /// directory if it is none. `path` is its path.
    fn open_current(&mut self, path: &TreePath) -> Result<(), Failed> {
        if self.path == *path {
            return Ok(());
        }
        let Some(current) = self.frames.last().and_then(|frame| frame.current.as_ref()) else {
            return Ok(());
        };
        let name = current.name.clone();
        let child = current.entry.as_ref().and_then(|entry| entry.child);
        if child.is_none() {
            self.replace_current(Some(new_directory()))?;
        }
        self.open(name, child)?;
        self.path.clone_from(path);
        Ok(())
    }

    fn open(&mut self, name: Vec<u8>, pointer: Option<DirectoryPointer>) -> Result<(), Failed> {
        let (mut old, mut new) = self.spare.pop().unwrap_or_default();
        old.clear();
        new.clear();
        let read = pointer.as_ref().map(|pointer| self.base.read_directory(pointer, &mut old));
        let damaged = matches!(read, Some(Err(_)));
        if damaged {
            // One directory is unknown, and is listed again by the next scan. Never: it is empty.
            old.clear();
        }
        let totals = read.and_then(Result::ok).unwrap_or_default();
        new.attributes = old.attributes;
        self.frames.push(Frame {
            name,
            old_pointer: pointer,
            old,
            new,
            totals,
            totals_before: totals,
            changed: pointer.is_none() || damaged,
            damaged,
            ..Frame::default()
        });
        Ok(())
    }

    /// Replaces the current entry of the innermost directory, and keeps the sums.
    fn replace_current(&mut self, entry: Option<OwnedEntry>) -> Result<(), Failed> {
        let mut new_totals = Some(Totals::default());
        if let Some(entry) = &entry {
            new_totals = self.totals_of(entry)?;
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let Some(current) = frame.current.as_mut() else { return Ok(()) };
        let replaced = std::mem::replace(&mut current.entry, entry);
        let old_totals = match &replaced {
            Some(replaced) => self.totals_of(replaced)?,
            None => Some(Totals::default()),
        };
        if let Some(frame) = self.frames.last_mut() {
            match (old_totals, new_totals) {
                (Some(old), Some(new)) => exchange(&mut frame.totals, old, new),
                _ => frame.recount = true,
            }
        }
        Ok(())
    }

    /// What an entry adds to the sums of its directory; `None` for a directory
    /// that is damaged.
    fn totals_of(&mut self, entry: &OwnedEntry) -> Result<Option<Totals>, Failed> {
        Ok(match (entry.kind, &entry.child) {
            (EntryKind::File, _) => Some(Totals { files: 1, directories: 0, bytes: entry.stamp.size }),
            (EntryKind::Directory, Some(child)) => {
                let (mut scratch, other) = self.spare.pop().unwrap_or_default();
                let totals = self.base.read_directory(child, &mut scratch).ok();
                self.spare.push((scratch, other));
                totals.map(with_itself)
            }
            (EntryKind::Directory, None) => Some(with_itself(Totals::default())),
            _ => Some(Totals::default()),
        })
    }

    /// Finishes the innermost directory and hands it to the one above.
    fn close(&mut self) -> Result<Option<Root>, Failed> {
        let Some(mut frame) = self.frames.pop() else { return Ok(None) };
        self.path.pop();
        frame.settle_all();
        if frame.recount {
            frame.totals = self.count(&frame.new)?;
        }
        if frame.goes_if_empty && frame.new.is_empty() {
            self.drop_empty(frame)?;
            return Ok(None);
        }
        if frame.gives_way_to.is_some()
            && let Some(parent) = self.frames.last_mut()
        {
            parent.new.attributes.flags.0 &= !DirectoryFlags::SETTLED.0;
        }
        let unchanged = !frame.changed && !frame.recount && !frame.attributes_changed();
        let pointer = match frame.old_pointer.filter(|_| unchanged) {
            Some(pointer) => pointer,
            None => {
                let old_pages = match &frame.old_pointer {
                    // Pages that look as they did may be the very ones that are damaged.
                    Some(old) if frame.new.len() > PAGED_ABOVE && !frame.damaged => {
                        self.base.pages_of(old)?
                    }
                    _ => OldPages::new(),
                };
                self.writer.write_over(&frame.new, frame.totals, &old_pages)?
            }
        };
        if let Some((parent, current)) =
            self.frames.last_mut().and_then(|parent| parent.current.take().map(|current| (parent, current)))
        {
            debug_assert_eq!(current.name, frame.name);
            if frame.damaged {
                parent.recount = true;
            } else {
                exchange(&mut parent.totals, frame.totals_before, frame.totals);
            }
            let entry = current.entry.map(|entry| OwnedEntry { child: Some(pointer), ..entry });
            parent.current = Some(Current { entry, ..current });
        }
        let root = Root { pointer, totals: frame.totals };
        self.spare.push((frame.old, frame.new));
        Ok(Some(root))
    }

    /// Takes an empty directory out of the one above, or puts something in its place.
    fn drop_empty(&mut self, mut frame: Frame) -> Result<(), Failed> {
        let instead = frame.gives_way_to.take();
        let totals = match &instead {
            Some(entry) => self.totals_of(entry)?.unwrap_or_default(),
            None => Totals::default(),
        };
        if let Some(parent) = self.frames.last_mut() {
            if frame.damaged {
                parent.recount = true;
            } else {
                exchange(&mut parent.totals, with_itself(frame.totals_before), totals);
            }
            if let Some(current) = parent.current.as_mut() {
                current.entry = instead;
            }
        }
        self.spare.push((frame.old, frame.new));
        Ok(())
    }

    /// What lies below a damaged node is not known and counts as nothing.
    fn count(&mut self, directory: &Directory) -> Result<Totals, Failed> {
        let mut sums = Totals::default();
        for entry in directory.iter() {
            sums.add(self.totals_of(&OwnedEntry::from(&entry))?.unwrap_or_default());
        }
        Ok(sums)
    }

    fn finish(mut self) -> Result<Option<Root>, Failed> {
        let mut root = if self.root_is_gone { None } else { self.base.root_with_totals() };
        while !self.frames.is_empty() {
            root = self.close()?;
        }
        Ok(root)
    }
}
