//! The walk: every directory is a task of its own, and the last child to finish
//! finishes its parent. No recursion, so that depth costs no stack.

use crate::model::{
    Directory, DirectoryAttributes, DirectoryFlags, DirectoryPointer, DirectorySink, Timestamp, Totals,
    TreePath, TreeView,
};
use crate::observe::{Counter, Event, Observer};
use crate::scan::compare::{Merge, Merged, Note, Scratch};
use crate::scan::finish::result_of_error;
use crate::scan::node::{ChildResult, Node, Opened, Waiting, lock};
use crate::scan::open::{Metadata, stat_open};
use crate::scan::settled::{FileSystem, Listing, SkipSettled, listing};
use crate::scan::{RootDirectory, ScanError, ScanOptions, ScanReport, identity};
use rayon::Scope;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A directory whose listing will not hold still is listed this often; after
/// that nothing in it counts as gone.
const LISTINGS_MAX: usize = 3;
/// Workers give the memory of larger directories back.
const NAMES_KEPT_MAX: usize = 65_536;
/// Progress is told every so many directories.
const PROGRESS_DIRECTORIES: u64 = 1_024;

/// Scans the tree at `root` into a pending tree.
///
/// Directories in which nothing changed are the base's own, by pointer; what
/// changed is written to `sink`, children before parents. See [`ScanOptions`].
///
/// # Errors
/// When the root itself cannot be scanned or the sink cannot be written. Errors
/// below the root are reported as [`Event::Unprotected`], and the base's entries
/// stay.
pub fn scan<Base: TreeView + ?Sized, Sink: DirectorySink + ?Sized>(
    root: &Path,
    base: &Base,
    sink: &Sink,
    options: &ScanOptions,
    observer: &dyn Observer,
) -> Result<ScanReport, ScanError> {
    let started = now();
    let opened = RootDirectory::open(root).map_err(|error| ScanError::of_root(root, error))?;
    let identity = identity::of(&opened);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|index| format!("scan-{index}"))
        .build()?;
    let walk = Walk {
        base,
        sink,
        options,
        observer,
        root: opened,
        root_path: root,
        seed: u64::from(started.nanoseconds) ^ started.seconds as u64,
        handles_max: handles_max(options),
        tally: Tally::default(),
        skip_wrong: AtomicBool::new(false),
        scratches: Mutex::new(Vec::new()),
        failure: Mutex::new(None),
        ended: AtomicBool::new(false),
        outcome: Mutex::new(None),
    };
    let top = Node::new(None, Box::from(c""), base.root(), false, false);
    pool.scope(|scope| walk.run(scope, top));
    walk.report(identity, started)
}

fn handles_max(options: &ScanOptions) -> u64 {
    if options.open_directories_max > 0 {
        return options.open_directories_max as u64;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    (limit / 2).clamp(16, 4_096)
}

/// The time that file times are compared with.
pub(crate) fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Realtime);
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec as u32 }
}

/// What is counted while walking.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) directories: AtomicU64,
    pub(crate) directories_skipped: AtomicU64,
    pub(crate) names: AtomicU64,
    pub(crate) names_expected: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) out_of_scope: AtomicU64,
    pub(crate) excluded: AtomicU64,
    pub(crate) specials: AtomicU64,
    pub(crate) handles: AtomicU64,
    pub(crate) root_is_empty: AtomicBool,
}

/// One scan.
pub(crate) struct Walk<'a, Base: ?Sized, Sink: ?Sized> {
    pub(crate) base: &'a Base,
    pub(crate) sink: &'a Sink,
    pub(crate) options: &'a ScanOptions,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) root: RootDirectory,
    pub(crate) root_path: &'a Path,
    pub(crate) seed: u64,
    pub(crate) handles_max: u64,
    pub(crate) tally: Tally,
    /// A directory that looked settled had other names: no more skips.
    pub(crate) skip_wrong: AtomicBool,
    /// Not thread-locals: a worker may take up another directory while it waits
    /// for the parts of a very large one.
    pub(crate) scratches: Mutex<Vec<Scratch>>,
    pub(crate) failure: Mutex<Option<ScanError>>,
    pub(crate) ended: AtomicBool,
    pub(crate) outcome: Mutex<Option<(DirectoryPointer, Totals)>>,
}

/// A directory that is open.
struct Entered {
    descriptor: OwnedFd,
    metadata: Metadata,
    file_system: FileSystem,
    seen_at: Timestamp,
}

impl<Base: TreeView + ?Sized, Sink: DirectorySink + ?Sized> Walk<'_, Base, Sink> {
    /// Visits `node` and, one after the other, first children; the rest are
    /// offered to other workers.
    fn run<'scope>(&'scope self, scope: &Scope<'scope>, node: Arc<Node>) {
        let mut scratch = lock(&self.scratches).pop().unwrap_or_default();
        let mut next = Some(node);
        while let Some(node) = next {
            if self.is_over() {
                break;
            }
            next = self.visit(scope, node, &mut scratch);
            scratch.shrink(NAMES_KEPT_MAX);
        }
        lock(&self.scratches).push(scratch);
    }

    fn is_over(&self) -> bool {
        let stopped = || self.options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
        self.ended.load(Ordering::Relaxed) || stopped()
    }

    pub(crate) fn fail(&self, error: ScanError) {
        lock(&self.failure).get_or_insert(error);
        self.ended.store(true, Ordering::Relaxed);
    }

    fn visit<'scope>(
        &'scope self,
        scope: &Scope<'scope>,
        node: Arc<Node>,
        scratch: &mut Scratch,
    ) -> Option<Arc<Node>> {
        let seen_at = now();
        let entered = match self.enter(&node, scratch) {
            Ok((descriptor, metadata, file_system)) => Entered { descriptor, metadata, file_system, seen_at },
            Err(result) => {
                self.finish(node, result, scratch);
                return None;
            }
        };
        match self.merge(&node, entered, scratch) {
            Err(errno) => {
                let result = self.unreadable(&node, errno, scratch);
                self.finish(node, result, scratch);
                None
            }
            Ok((waiting, descriptor)) if scratch.result.children.is_empty() => {
                drop(descriptor);
                let result = self.close(&node, waiting, scratch);
                self.finish(node, result, scratch);
                None
            }
            Ok((waiting, descriptor)) => Some(self.descend(scope, &node, waiting, descriptor, scratch)),
        }
    }

    /// Makes nodes of the children, and gives back the first.
    fn descend<'scope>(
        &'scope self,
        scope: &Scope<'scope>,
        node: &Arc<Node>,
        waiting: Waiting,
        descriptor: OwnedFd,
        scratch: &mut Scratch,
    ) -> Arc<Node> {
        *lock(&node.waiting) = waiting;
        let count = scratch.result.children.len() as u32;
        node.children_unopened.store(count, Ordering::Relaxed);
        node.children_unfinished.store(count, Ordering::Release);
        if self.tally.handles.load(Ordering::Relaxed) < self.handles_max {
            self.tally.handles.fetch_add(1, Ordering::Relaxed);
            *lock(&node.handle) = Some(Arc::new(descriptor));
        }
        let mut children = scratch.result.children.drain(..).map(|child| {
            Node::new(
                Some((node.clone(), child.position)),
                child.name,
                child.base,
                child.followed,
                child.is_new,
            )
        });
        let first = children.next();
        // Taken from the end by ourselves, from the front by others.
        for child in children.rev() {
            scope.spawn(move |scope| self.run(scope, child));
        }
        first.unwrap_or_else(|| node.clone())
    }

    /// Reads what is there and compares it with the base.
    fn merge(
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
        if is_known && self.may_skip(&file_system) {
            how = listing(&base_attributes, &attributes, self.seed);
        }
        let mut complete = true;
        if how == Listing::Skip && !run(None, false).must_list {
            self.tally.directories_skipped.fetch_add(1, Ordering::Relaxed);
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
                    if how == Listing::Probe && outline.names_differ {
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
            if node.parent.is_none() && names.len() == 0 {
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
        self.tell(node, result, base.len().max(names.len()));
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
        self.options.skip_settled == SkipSettled::Auto
            && self.options.same_rules_as_base
            && file_system.settles
            && !self.skip_wrong.load(Ordering::Relaxed)
    }

    fn skip_was_wrong(&self, node: &Node) {
        self.skip_wrong.store(true, Ordering::Relaxed);
        let path = node.path();
        self.observer.event(&Event::Warning(&format!(
            "{path}: names changed although the times of the directory did not; \
             every directory is listed from here on. Set `scan.skip_settled = \"off\"` for this source"
        )));
    }

    /// Tells what was noted, now that the listing has proved stable.
    fn tell(&self, node: &Node, result: &mut Merged, names: usize) {
        for note in result.notes.drain(..) {
            match note {
                Note::Unprotected(path, reason) => {
                    self.tally.unreadable.fetch_add(1, Ordering::Relaxed);
                    self.observer.event(&Event::Unprotected { path: &path, reason: &reason });
                }
                Note::Excluded(path, rule) => {
                    self.observer.event(&Event::Excluded { path: &path, rule: &rule })
                }
            }
        }
        if result.excluded > 0 {
            self.tally.excluded.fetch_add(result.excluded, Ordering::Relaxed);
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

    /// Sums below a directory of the base; zero when it cannot be read.
    pub(crate) fn base_totals(&self, pointer: &DirectoryPointer, spare: &mut Directory) -> Totals {
        self.observer.count(Counter::NodesRead, 1);
        self.base.read_directory(pointer, spare).unwrap_or_default()
    }

    pub(crate) fn unreadable(&self, node: &Node, errno: Errno, scratch: &mut Scratch) -> ChildResult {
        let source = std::io::Error::from(errno);
        if node.parent.is_none() {
            self.fail(ScanError::RootUnreadable { path: self.root_path.to_path_buf(), source });
            return ChildResult::Absent { incomplete: true };
        }
        self.unprotected(&node.path(), &format!("is a directory that cannot be read: {source}"));
        result_of_error(node, |pointer| self.base_totals(pointer, &mut scratch.spare))
    }

    pub(crate) fn unprotected(&self, path: &TreePath, reason: &str) {
        self.tally.unreadable.fetch_add(1, Ordering::Relaxed);
        self.observer.event(&Event::Unprotected { path, reason });
    }

    /// Notes that a directory is open, for what lies below it.
    pub(crate) fn remember(&self, node: &Node, metadata: &Metadata, file_system: FileSystem) {
        let opened = Opened { device: metadata.device, inode: metadata.inode, file_system };
        // Set once: a node is visited once.
        let _ = node.opened.set(opened);
    }

    fn report(
        self,
        identity: crate::scan::SourceIdentity,
        started: Timestamp,
    ) -> Result<ScanReport, ScanError> {
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        let Some((root, totals)) = *lock(&self.outcome) else { return Err(ScanError::Stopped) };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(ScanReport {
            root,
            totals,
            identity,
            started,
            files_unreadable: count(&self.tally.unreadable),
            out_of_scope: count(&self.tally.out_of_scope),
            excluded: count(&self.tally.excluded),
            specials: count(&self.tally.specials),
            directories_opened: count(&self.tally.directories),
            directories_skipped: count(&self.tally.directories_skipped),
            root_is_empty: self.tally.root_is_empty.load(Ordering::Relaxed),
        })
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
