//! Entering a directory: whether it may be, and how.

use crate::model::{DirectorySink, EntryFlags, TreeView};
use crate::observe::{Counter, Event};
use crate::scan::compare::Scratch;
use crate::scan::exclude::is_staging_folder;
use crate::scan::finish::result_of_error;
use crate::scan::node::{ChildResult, LinkEntry, Node, lock};
use crate::scan::open::{
    Entering, Metadata, OpenDirectory, open_directory, stat_directory, stat_name, stat_open,
};
use crate::scan::settled::FileSystem;
use crate::scan::walk::Walk;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::readlinkat;
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<Base: TreeView + ?Sized, Sink: DirectorySink + ?Sized> Walk<'_, Base, Sink> {
    /// Opens the directory, or says what it comes to without being entered.
    pub(crate) fn enter(
        &self,
        node: &Node,
        scratch: &mut Scratch,
    ) -> Result<(OwnedFd, Metadata, FileSystem), ChildResult> {
        let Some((parent, _)) = &node.parent else { return self.enter_root(node, scratch) };
        let above = self.handle_of(parent).map_err(|errno| self.unreadable(node, errno, scratch));
        let entered = above.and_then(|above| self.enter_below(node, parent, &above, scratch));
        self.release_handle(parent);
        entered
    }

    /// One more child of `parent` is open, or will never be.
    fn release_handle(&self, parent: &Node) {
        let is_last = parent.child_opened();
        let mut handle = lock(&parent.handle);
        let Some(held) = handle.as_ref().map(|handle| handle.held) else { return };
        if is_last && held {
            self.tally.handles.fetch_sub(1, Ordering::Relaxed);
        }
        if is_last || !held {
            *handle = None;
        }
    }

    fn enter_root(
        &self,
        node: &Node,
        scratch: &mut Scratch,
    ) -> Result<(OwnedFd, Metadata, FileSystem), ChildResult> {
        self.observer.count(Counter::DirectoriesOpened, 1);
        let file_system = self.root.file_system;
        let opened = open_directory(&self.root.descriptor, c".", Entering::AnyMount).and_then(|descriptor| {
            stat_open(&descriptor, &file_system).map(|metadata| (descriptor, metadata))
        });
        match opened {
            Ok((descriptor, metadata)) => {
                self.remember(node, &metadata, file_system);
                Ok((descriptor, metadata, file_system))
            }
            Err(errno) => Err(self.unreadable(node, errno, scratch)),
        }
    }

    /// The parent's descriptor: the one that was kept, or a new one, opened from
    /// the root down when too many were open already.
    fn handle_of(&self, parent: &Node) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(handle) = &*lock(&parent.handle) {
            return Ok(handle.descriptor.clone());
        }
        let mut nodes: Vec<&Node> = parent.ancestors().filter(|node| node.parent.is_some()).collect();
        nodes.reverse();
        let components = nodes.iter().map(|node| {
            let entering = if node.followed { Entering::Following } else { Entering::AnyMount };
            (node.name.to_bytes(), entering)
        });
        self.root.open_components(components).map(Arc::new)
    }

    fn enter_below(
        &self,
        node: &Node,
        parent: &Node,
        above: &OwnedFd,
        scratch: &mut Scratch,
    ) -> Result<(OwnedFd, Metadata, FileSystem), ChildResult> {
        if !node.followed && is_staging_folder(node.name.to_bytes()) {
            return Err(self.never_taken(node, "a staging folder of treeferry restore", scratch));
        }
        let entering = match (node.followed, self.options.cross_mounts) {
            (true, _) => Entering::Following,
            (false, true) => Entering::AnyMount,
            (false, false) => Entering::SameMount,
        };
        let parent_opened = parent.opened.get().copied();
        let mut file_system = parent_opened.map_or(self.root.file_system, |opened| opened.file_system);
        self.observer.count(Counter::DirectoriesOpened, 1);
        let descriptor = match open_directory(above, &*node.name, entering) {
            Ok(descriptor) => descriptor,
            Err(errno) => return Err(self.not_opened(node, above, errno, scratch)),
        };
        let OpenDirectory { mut metadata, is_mount_root } = match stat_directory(&descriptor, &file_system) {
            Ok(found) => found,
            Err(errno) => return Err(self.unreadable(node, errno, scratch)),
        };
        let elsewhere = parent_opened.is_some_and(|opened| opened.device != metadata.device);
        if !self.options.cross_mounts && (elsewhere || (is_mount_root == Some(true) && !node.followed)) {
            return Err(self.another_file_system(node, scratch));
        }
        if self.options.always_excluded.contains(&(metadata.device, metadata.inode)) {
            return Err(self.never_taken(node, "treeferry's own state and logs", scratch));
        }
        if (node.followed || self.options.cross_mounts) && node.leads_back(metadata.device, metadata.inode) {
            return Err(self.leads_back(node, above, &file_system, scratch));
        }
        // Older kernels do not tell mount points (a bind mount of the same file system then passes for none).
        let is_mount = is_mount_root.unwrap_or(elsewhere);
        self.look_at_mount(node, &descriptor, metadata.device, is_mount, scratch)?;
        if elsewhere {
            file_system = FileSystem::of(&descriptor);
            metadata.stamp.inode = if file_system.stable_inodes { metadata.inode } else { 0 };
        }
        self.remember(node, &metadata, file_system);
        Ok((descriptor, metadata, file_system))
    }

    /// A directory was listed, and now it does not open.
    fn not_opened(&self, node: &Node, above: &OwnedFd, errno: Errno, scratch: &mut Scratch) -> ChildResult {
        if matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
            && let Some(result) = self.vanished_with_mount(node, scratch)
        {
            return result;
        }
        match errno {
            Errno::XDEV => self.another_file_system(node, scratch),
            Errno::NOENT => match stat_name(above.as_fd(), &*node.name, &self.root.file_system, false) {
                // Removed since it was listed.
                Err(Errno::NOENT) => ChildResult::Absent { incomplete: false },
                _ => self.changing(node, scratch),
            },
            // Replaced by a file or a symlink since it was listed.
            Errno::NOTDIR | Errno::LOOP => self.changing(node, scratch),
            errno => self.unreadable(node, errno, scratch),
        }
    }

    /// It changes under our eyes: the next scan will tell.
    fn changing(&self, node: &Node, scratch: &mut Scratch) -> ChildResult {
        let path = node.path();
        self.observer
            .event(&Event::Detail(&format!("{path} changed while it was scanned; left to the next run")));
        result_of_error(node, |pointer| self.base_totals(pointer, &mut scratch.spare))
    }

    /// Left alone because of `cross_mounts`; said each time, for nothing of it is backed up.
    fn another_file_system(&self, node: &Node, scratch: &mut Scratch) -> ChildResult {
        let path = node.path();
        if self.options.report_excluded {
            let rule = "cross_mounts = false: another file system is mounted there";
            self.observer.event(&Event::Excluded { path: &path, rule });
        }
        lock(&self.not_entered).add(path);
        self.mount(node, scratch)
    }

    fn mount(&self, node: &Node, scratch: &mut Scratch) -> ChildResult {
        match node.base {
            Some(_) => self.left_scope(node, scratch),
            None => ChildResult::Mount(node.marks_of_unfollowed()),
        }
    }

    /// A directory of our own, which no exclude pattern names.
    fn never_taken(&self, node: &Node, rule: &str, scratch: &mut Scratch) -> ChildResult {
        self.tally.excluded.fetch_add(1, Ordering::Relaxed);
        if self.options.report_excluded {
            self.observer.event(&Event::Excluded { path: &node.path(), rule });
        }
        match node.base {
            Some(_) => self.left_scope(node, scratch),
            None => node.left_link().unwrap_or(ChildResult::Absent { incomplete: false }),
        }
    }

    fn left_scope(&self, node: &Node, scratch: &mut Scratch) -> ChildResult {
        let Some(pointer) = node.base else { return ChildResult::Absent { incomplete: false } };
        let files = self.base_totals(&pointer, &mut scratch.spare).files;
        self.tally.out_of_scope.fetch_add(files, Ordering::Relaxed);
        // A new entry for a known node means that only this mark differs.
        let flags = if node.followed == node.is_new { EntryFlags::NONE } else { EntryFlags::FOLLOWED };
        ChildResult::OutOfScope(flags, pointer)
    }

    /// A symlink (or a bind mount) that leads to a directory above it.
    fn leads_back(
        &self,
        node: &Node,
        above: &OwnedFd,
        file_system: &FileSystem,
        scratch: &mut Scratch,
    ) -> ChildResult {
        self.unprotected(
            &node.path(),
            "leads back to a directory above it; what lies there is not taken twice",
        );
        if !node.followed {
            return self.mount(node, scratch);
        }
        let link = stat_name(above.as_fd(), &*node.name, file_system, false).and_then(|found| {
            readlinkat(above.as_fd(), &*node.name, Vec::new()).map(|target| (found, target))
        });
        match link {
            Ok((found, target)) => ChildResult::Link(Box::new(LinkEntry {
                flags: node.marks_of_unfollowed(),
                target: target.into_bytes(),
                stamp: found.stamp,
                permissions: found.permissions,
            })),
            Err(_) => result_of_error(node, |pointer| self.base_totals(pointer, &mut scratch.spare)),
        }
    }
}
