//! Surveying one open directory: listed until it holds still, or not listed
//! because it is settled, and compared with the base.

use crate::model::{
    Directory, DirectoryAttributes, DirectoryFlags, DirectorySink, Timestamp, Totals, TreeView,
};
use crate::observe::{Counter, Event};
use crate::scan::SkipSettled;
use crate::scan::compare::{Merge, Merged, Note, Scratch};
use crate::scan::node::{Node, Waiting};
use crate::scan::open::{Metadata, stat_open};
use crate::scan::settled::{FileSystem, Listing, listing};
use crate::scan::walk::{Walk, now};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::sync::atomic::Ordering;

/// A directory whose listing will not hold still is listed this often; after
/// that nothing in it counts as gone.
const LISTINGS_MAX: usize = 3;
/// Progress is told every so many directories.
const PROGRESS_DIRECTORIES: u64 = 1_024;
/// A directory that is open.
pub(crate) struct Entered {
    pub(crate) descriptor: OwnedFd,
    pub(crate) metadata: Metadata,
    pub(crate) file_system: FileSystem,
    pub(crate) seen_at: Timestamp,
}

impl<Base: TreeView + ?Sized, Sink: DirectorySink + ?Sized> Walk<'_, Base, Sink> {
    /// Reads what is there and compares it with the base.
    pub(crate) fn merge(
        &self,
        node: &Node,
        entered: Entered,
        scratch: &mut Scratch,
    ) -> Result<(Waiting, OwnedFd), Errno> {
        let Entered { descriptor, metadata, file_system, mut seen_at } = entered;
        let (is_known, base_totals) = self.read_base(node, &mut scratch.base);
        let base_attributes = scratch.base.attributes;
        let mut attributes = attributes_of(&metadata);
        let Scratch { base, names, result, spare } = scratch;
        let path = || node.path();
        let mut run = |names: Option<&_>, keep_missing| {
            let merge = Merge {
                descriptor: descriptor.as_fd(),
                file_system,
                options: self.options,
                base: &*base,
                path: &path,
                keep_missing,
                distrusted_from: self.distrusted_from,
                into: &mut *result,
            };
            match names {
                Some(names) => merge.with_listing(names),
                None => merge.without_listing(),
            }
            self.observer.count(Counter::NamesStatted, result.names_statted);
            if result.names_matched > 0 {
                self.observer.count(Counter::NamesMatched, result.names_matched);
            }
            Outline {
                differs: result.differs,
                names_differ: result.names_differ,
                must_list: result.must_list,
            }
        };
        let mut how = Listing::Needed;
        // The root is always listed: whether it is empty is asked of it.
        if is_known && node.parent.is_some() && self.may_skip(&file_system) {
            how = listing(&base_attributes, &attributes, self.seed);
            if how == Listing::Skip && self.options.skip_settled == SkipSettled::Check {
                how = Listing::Probe;
            }
        }
        let mut complete = true;
        let names_seen;
        if how == Listing::Skip && !run(None, false).must_list {
            self.tally.directories_skipped.fetch_add(1, Ordering::Relaxed);
            names_seen = base.len();
        } else {
            for attempt in 0..=LISTINGS_MAX {
                if attempt > 0 {
                    rustix::fs::seek(&descriptor, SeekFrom::Start(0))?;
                }
                names.list(&descriptor)?;
                self.observer.count(Counter::DirectoriesListed, 1);
                let keep_missing = attempt == LISTINGS_MAX;
                let outline = run(Some(names), keep_missing);
                if is_known && !outline.differs && same_attributes(&base_attributes, &attributes) {
                    break;
                }
                let after = attributes_of(&stat_open(&descriptor, &file_system)?);
                if same_times(&attributes, &after) {
                    // Only the first listing stands against the times that looked settled: what came
                    // while it was probed has moved them, and is in the second.
                    if how == Listing::Probe && outline.names_differ && attempt == 0 {
                        self.skip_was_wrong(node);
                    }
                    complete = !keep_missing;
                    break;
                }
                if keep_missing {
                    complete = false;
                } else {
                    seen_at = now();
                    attributes = after;
                }
            }
            names_seen = names.len();
            if node.parent.is_none() && names_seen == 0 {
                self.tally.root_is_empty.store(true, Ordering::Relaxed);
            }
        }
        if complete
            && !result.incomplete
            && file_system.is_settled(attributes.mtime, attributes.ctime, seen_at)
        {
            attributes.flags = DirectoryFlags::SETTLED;
        }
        let attributes_differ = !is_known || !same_attributes(&base_attributes, &attributes);
        self.tell(node, result, names_seen);
        self.count_out_of_scope(result, spare);
        let entries = result.differs.then(|| std::mem::take(&mut result.pending));
        Ok((
            Waiting { attributes, attributes_differ, entries, base_totals, ..Waiting::default() },
            descriptor,
        ))
    }

    /// The base's node of this directory, if there is one that can be read.
    fn read_base(&self, node: &Node, into: &mut Directory) -> (bool, Totals) {
        into.clear();
        let Some(pointer) = &node.base else { return (false, Totals::default()) };
        self.observer.count(Counter::NodesRead, 1);
        match self.base.read_directory(pointer, into) {
            Ok(totals) => {
                if node.parent.is_none() {
                    self.tally.names_expected.store(totals.files, Ordering::Relaxed);
                }
                (true, totals)
            }
            Err(error) => {
                into.clear();
                let path = node.path();
                self.observer.event(&Event::Warning(&format!(
                    "{path}: what is known of this directory is damaged ({error}); its files are read again"
                )));
                (false, Totals::default())
            }
        }
    }

    fn may_skip(&self, file_system: &FileSystem) -> bool {
        self.options.skip_settled != SkipSettled::Off
            && self.options.same_rules_as_base
            && file_system.settles
            && !self.skip_wrong.load(Ordering::Relaxed)
    }

    fn skip_was_wrong(&self, node: &Node) {
        self.skip_wrong.store(true, Ordering::Relaxed);
        let path = node.path();
        self.observer.event(&Event::Warning(&format!(
            "{path}: names changed although the times of the directory did not; \
             every directory of this source is listed from here on, in later runs too"
        )));
    }

    /// Tells what was noted, now that the listing has proved stable.
    fn tell(&self, node: &Node, result: &mut Merged, names: usize) {
        for note in result.notes.drain(..) {
            match note {
                Note::Unprotected(path, reason) => self.unprotected(&path, &reason),
                Note::Excluded(path, rule) => {
                    self.observer.event(&Event::Excluded { path: &path, rule: &rule })
                }
            }
        }
        if result.excluded > 0 {
            self.tally.excluded.fetch_add(result.excluded, Ordering::Relaxed);
        }
        if result.inodes_changed > 0 {
            self.tally.inodes_changed.fetch_add(result.inodes_changed, Ordering::Relaxed);
        }
        if result.specials > 0 {
            self.tally.specials.fetch_add(result.specials, Ordering::Relaxed);
        }
        let files = (names - result.children.len().min(names)) as u64;
        let files = self.tally.names.fetch_add(files, Ordering::Relaxed) + files;
        let directories = self.tally.directories.fetch_add(1, Ordering::Relaxed) + 1;
        if directories.is_multiple_of(PROGRESS_DIRECTORIES) || node.parent.is_none() {
            let files_expected = self.tally.names_expected.load(Ordering::Relaxed);
            self.observer.event(&Event::ScanProgress { files, directories, files_expected });
        }
    }

    fn count_out_of_scope(&self, result: &Merged, spare: &mut Directory) {
        if result.files_out_of_scope > 0 {
            self.tally.out_of_scope.fetch_add(result.files_out_of_scope, Ordering::Relaxed);
        }
        for pointer in &result.directories_out_of_scope {
            let files = self.base_totals(pointer, spare).files;
            self.tally.out_of_scope.fetch_add(files, Ordering::Relaxed);
        }
    }
}

struct Outline {
    differs: bool,
    names_differ: bool,
    must_list: bool,
}

fn attributes_of(metadata: &Metadata) -> DirectoryAttributes {
    DirectoryAttributes {
        mtime: metadata.stamp.mtime,
        ctime: metadata.stamp.ctime,
        inode: metadata.stamp.inode,
        permissions: metadata.permissions,
        flags: DirectoryFlags::NONE,
    }
}

fn same_times(a: &DirectoryAttributes, b: &DirectoryAttributes) -> bool {
    a.mtime == b.mtime && a.ctime == b.ctime
}

/// All but the marks. Where inodes do not last, ctime does not either.
pub(crate) fn same_attributes(base: &DirectoryAttributes, now: &DirectoryAttributes) -> bool {
    let lasting = base.inode == 0 || now.inode == 0 || (base.inode == now.inode && base.ctime == now.ctime);
    lasting && base.mtime == now.mtime && base.permissions == now.permissions
}
