//! Directories on the frontier of the walk: what is open, waiting for its
//! children, or still to be visited. All that a scan keeps in memory.

use crate::model::{
    Content, Directory, DirectoryAttributes, DirectoryPointer, Entry, EntryFlags, Permissions, Stamp, Totals,
    TreePath,
};
use crate::scan::settled::FileSystem;
use rustix::fd::OwnedFd;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A directory on the frontier.
#[derive(Debug)]
pub(crate) struct Node {
    /// The directory above, and where our entry stands in it.
    pub(crate) parent: Option<(Arc<Node>, u32)>,
    pub(crate) name: Box<CStr>,
    pub(crate) base: Option<DirectoryPointer>,
    pub(crate) followed: bool,
    /// The link itself lies on the mirror, because of another `links`.
    pub(crate) uploaded_link: Option<Box<LinkEntry>>,
    /// The parent's entry is not the base's own.
    pub(crate) is_new: bool,
    pub(crate) opened: OnceLock<Opened>,
    /// Kept open until all children were opened relative to it.
    pub(crate) handle: Mutex<Option<Handle>>,
    pub(crate) children_unopened: AtomicU32,
    pub(crate) children_unfinished: AtomicU32,
    pub(crate) waiting: Mutex<Waiting>,
}

/// A directory that is open for its children.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) descriptor: Arc<OwnedFd>,
    /// Counted, and held until the last child is open. If not, too many were
    /// open already, and the first child, which comes next, is the only one.
    pub(crate) held: bool,
}

/// What is known of a directory since it was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) file_system: FileSystem,
}

/// A directory whose own names are done, and whose children are not.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) attributes: DirectoryAttributes,
    pub(crate) attributes_differ: bool,
    /// The new entries; `None` while they are those of the base, which is then
    /// read once more if a child changes.
    pub(crate) entries: Option<Directory>,
    pub(crate) base_totals: Totals,
    /// Sums over the children that are finished.
    pub(crate) below: Totals,
    pub(crate) changed: Vec<(u32, ChildResult)>,
}

/// What a subdirectory came to.
#[derive(Debug)]
pub(crate) enum ChildResult {
    /// The base's entry, as it was; also when it could not be read.
    Same(Totals),
    /// A new node, or the base's node under a new entry.
    Stored(DirectoryPointer, Totals),
    /// On another file system, and not entered; with marks.
    Mount(EntryFlags),
    /// The base's node, no longer in scope; with the entry's marks in the base.
    OutOfScope(EntryFlags, DirectoryPointer),
    /// The symlink itself: it is not followed.
    Link(Box<LinkEntry>),
    /// Not recorded.
    Absent {
        /// Because of an error: the parent must be listed again next time.
        incomplete: bool,
    },
}

/// A symlink whose entry is made without the directory that it stands in.
#[derive(Debug, Clone)]
pub(crate) struct LinkEntry {
    pub(crate) flags: EntryFlags,
    pub(crate) target: Vec<u8>,
    pub(crate) stamp: Stamp,
    pub(crate) permissions: Permissions,
}

impl LinkEntry {
    pub(crate) fn of_uploaded(entry: &Entry<'_>) -> Option<LinkEntry> {
        let Content::Target(target) = entry.content else { return None };
        let &Entry { flags, stamp, permissions, .. } = entry;
        let target = target.to_vec();
        flags.contains(EntryFlags::UPLOADED_LINK).then_some(LinkEntry { flags, target, stamp, permissions })
    }
}

impl Node {
    pub(crate) fn new(
        parent: Option<(Arc<Node>, u32)>,
        name: Box<CStr>,
        base: Option<DirectoryPointer>,
        followed: bool,
        uploaded_link: Option<Box<LinkEntry>>,
        is_new: bool,
    ) -> Arc<Node> {
        Arc::new(Node {
            parent,
            name,
            base,
            followed,
            uploaded_link,
            is_new,
            opened: OnceLock::new(),
            handle: Mutex::new(None),
            children_unopened: AtomicU32::new(0),
            children_unfinished: AtomicU32::new(0),
            waiting: Mutex::new(Waiting::default()),
        })
    }

    /// The link that lies on the mirror, to be kept there: what it leads to is not followed, and the
    /// link is still in the source.
    pub(crate) fn left_link(&self) -> Option<ChildResult> {
        let link = self.uploaded_link.as_deref()?.clone();
        let flags = link.flags.with(EntryFlags::OUT_OF_SCOPE);
        Some(ChildResult::Link(Box::new(LinkEntry { flags, ..link })))
    }

    /// Of what the index alone records where a link is not followed.
    pub(crate) fn marks_of_unfollowed(&self) -> EntryFlags {
        if self.uploaded_link.is_some() { EntryFlags::OUT_OF_SCOPE } else { EntryFlags::NONE }
    }

    /// This directory and those above it, the root last.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &Node> {
        std::iter::successors(Some(self), |node| node.parent.as_ref().map(|(parent, _)| &**parent))
    }

    pub(crate) fn path(&self) -> TreePath {
        let mut names: Vec<&[u8]> =
            self.ancestors().filter(|node| node.parent.is_some()).map(|node| node.name.to_bytes()).collect();
        names.reverse();
        let mut path = TreePath::root();
        names.iter().for_each(|name| path.push(name));
        path
    }

    /// True when `path` is this directory's; compared from the end, without making a path.
    pub(crate) fn is_at(&self, path: &TreePath) -> bool {
        let names = self.ancestors().filter(|node| node.parent.is_some()).map(|node| node.name.to_bytes());
        names.eq(path.as_bytes().rsplit(|&byte| byte == b'/'))
    }

    /// True when it is the same directory as one above it.
    pub(crate) fn leads_back(&self, device: u64, inode: u64) -> bool {
        let is_it = |opened: &Opened| opened.device == device && opened.inode == inode;
        self.ancestors().skip(1).any(|above| above.opened.get().is_some_and(is_it))
    }

    /// The parent's entry is that of a mount that was not entered before either.
    pub(crate) fn was_mount(&self) -> bool {
        !self.is_new && self.base.is_none()
    }

    /// One more child was opened (or will never be). True for the last one.
    pub(crate) fn child_opened(&self) -> bool {
        self.children_unopened.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// One after the other: a scan that is stopped lets go of a chain of directories as
/// deep as the tree, and each would be dropped inside the one below it.
impl Drop for Node {
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some((parent, _)) = above {
            above = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

/// A panic of another thread ends the scan anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
