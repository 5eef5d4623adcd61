//! Mount points below the source. What stands below one was on its file system: when
//! that is not there, nothing below it can be told to be gone.

use crate::model::{DirectorySink, EntryFlags, EntryKind, TreePath, TreeView};
use crate::observe::Counter;
use crate::scan::compare::{Merge, Scratch};
use crate::scan::finish::result_of_error;
use crate::scan::identity::lasting_id;
use crate::scan::node::{ChildResult, Node, lock};
use crate::scan::walk::Walk;
use rustix::fd::AsFd;
use std::collections::BTreeMap;

/// Mount points by path, each with the file system that was mounted there: an id that
/// is the same after a reboot, or 0 where nothing tells that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts(pub BTreeMap<TreePath, u64>);

/// Other file systems below the source that were met and not entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotEntered {
    /// Some by name, in path order.
    pub named: Vec<TreePath>,
    /// How many there are.
    pub total: u64,
}

impl NotEntered {
    /// How many are kept by name.
    pub const NAMED_MAX: usize = 100;

    pub(crate) fn add(&mut self, path: TreePath) {
        self.total += 1;
        if self.named.len() < Self::NAMED_MAX {
            self.named.push(path);
        }
    }
}

const NOT_MOUNTED: &str = "a disk that was mounted here or below is not mounted now; what is here stays as it was. Mount it \
                           and run again; if it was removed for good: --accept source-filesystem";
const ANOTHER_MOUNTED: &str = "another file system is mounted here than in the last run; what is here stays as it was. If \
                               that is meant: --accept source-filesystem; if it changes with every mount: \
                               source_filesystem = \"any\"";

impl Mounts {
    /// One of them is `path`, or lies below it.
    fn lie_within(&self, path: &TreePath) -> bool {
        self.0.keys().any(|mount| mount.is_within(path))
    }

    /// How many components of `path` it takes to the last mount point on the way to it.
    pub(crate) fn depth_on_the_way_to(&self, path: &TreePath) -> usize {
        let on_the_way = self.0.keys().filter(|mount| path.is_within(mount));
        on_the_way.map(|mount| mount.components().count()).max().unwrap_or(0)
    }

    /// The file system that was mounted at `node`. For every directory of a tree: makes no path.
    fn at(&self, node: &Node) -> Option<u64> {
        self.0.iter().find(|(path, _)| node.is_at(path)).map(|(_, file_system)| *file_system)
    }
}

impl<Base: TreeView + ?Sized, Sink: DirectorySink + ?Sized> Walk<'_, Base, Sink> {
    /// Notes that `node` is a mount point, or says what it comes to when it was one that is not there.
    pub(crate) fn look_at_mount(
        &self,
        node: &Node,
        directory: impl AsFd,
        device: u64,
        is_mount: bool,
        scratch: &mut Scratch,
    ) -> Result<(), ChildResult> {
        let before = self.options.mounts_before.at(node);
        if before.is_none() && !is_mount {
            return Ok(());
        }
        let file_system = if is_mount { lasting_id(directory, device).unwrap_or(0) } else { 0 };
        let is_the_same = match before {
            Some(0) | None => is_mount,
            Some(before) => {
                let is_other = file_system != 0 && file_system != before;
                is_mount && (!is_other || self.options.any_file_system)
            }
        };
        if !is_the_same && self.knows_anything_below(node, scratch) {
            let reason = if is_mount { ANOTHER_MOUNTED } else { NOT_MOUNTED };
            return Err(self.left_alone(node, reason, scratch));
        }
        let path = node.path();
        if is_mount {
            let told = if file_system == 0 { before.unwrap_or(0) } else { file_system };
            lock(&self.mounts).0.insert(path, told);
        } else {
            lock(&self.mounts_given_up).push(path);
        }
        Ok(())
    }

    /// A directory that is not there any more, and was a mount point or led to one.
    pub(crate) fn vanished_with_mount(&self, node: &Node, scratch: &mut Scratch) -> Option<ChildResult> {
        let before = &self.options.mounts_before;
        // To take away a link that is followed is no unmounting.
        let may_be = !before.0.is_empty() && !node.followed && before.lie_within(&node.path());
        let holds = may_be && self.knows_anything_below(node, scratch);
        holds.then(|| self.left_alone(node, NOT_MOUNTED, scratch))
    }

    fn knows_anything_below(&self, node: &Node, scratch: &mut Scratch) -> bool {
        let Some(pointer) = &node.base else { return false };
        self.observer.count(Counter::NodesRead, 1);
        // Of a damaged node it can't be said.
        self.base.read_directory(pointer, &mut scratch.spare).is_err() || !scratch.spare.is_empty()
    }

    fn left_alone(&self, node: &Node, reason: &str, scratch: &mut Scratch) -> ChildResult {
        self.unprotected(&node.path(), reason);
        result_of_error(node, |pointer| self.base_totals(pointer, &mut scratch.spare))
    }
}

impl Merge<'_> {
    /// The base has a directory here that was a mount point, or led to one.
    pub(crate) fn led_to_a_mount(&self, known: usize) -> bool {
        let before = &self.options.mounts_before;
        let (kind, flags) = self.base.kind(known);
        !before.0.is_empty()
            && kind == EntryKind::Directory
            && !flags.contains(EntryFlags::FOLLOWED)
            && before.lie_within(&(self.path)().join(self.base.name(known)))
    }

    /// It is no directory any more. To be visited as one all the same, unless it is left out: that
    /// fails, and then it is kept as it was.
    pub(crate) fn visit_lost_mount(&mut self, known: usize) {
        let base = self.base;
        let (name, entry) = (base.c_name(known), base.get(known));
        if !self.is_excluded(name, true, Some(&entry), Some(known), known) {
            // Should it be a file now, the base's names are not all there is.
            self.into.incomplete = true;
            self.directory(name, false, Some(&entry), Some(known), known);
        }
    }
}
