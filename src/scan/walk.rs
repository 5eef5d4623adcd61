//! The walk: every directory is a task of its own, and the last child to finish
//! finishes its parent. No recursion, so that depth costs no stack.

use crate::model::{Directory, DirectoryPointer, DirectorySink, Timestamp, Totals, TreePath, TreeView};
use crate::observe::{Counter, Event, Observer};
use crate::scan::compare::{Child, Scratch};
use crate::scan::finish::result_of_error;
use crate::scan::mounts::{Mounts, NotEntered};
use crate::scan::node::{ChildResult, Handle, Node, Opened, Waiting, lock};
use crate::scan::open::Metadata;
use crate::scan::settled::{FileSystem, earlier};
use crate::scan::survey::Entered;
use crate::scan::{RootDirectory, ScanError, ScanOptions, ScanReport, identity};
use rayon::Scope;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Workers give the memory of larger directories back.
const NAMES_KEPT_MAX: usize = 65_536;
/// So many children of a directory become nodes at once. The others wait as names: a
/// node weighs a kilobyte, and a directory may have a million subdirectories.
const CHILDREN_AT_ONCE: usize = 256;

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
    let mut opened = RootDirectory::open(root).map_err(|error| ScanError::of_root(root, error))?;
    let identity = identity::of(&opened);
    opened.file_system.stable_inodes &= !options.loose_inodes;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|index| format!("scan-{index}"))
        .build()?;
    // What was written since the time that now comes a second time proves nothing.
    let is_set_back = options.base_scanned > started;
    let distrusted_from = is_set_back.then(|| earlier(started, opened.file_system.margin_ns));
    if is_set_back {
        observer.event(&Event::Warning(
            "the clock was set back since the last backup; files with a later time are read again",
        ));
    }
    let walk = Walk {
        base,
        distrusted_from,
        sink,
        options,
        observer,
        root: opened,
        root_path: root,
        seed: u64::from(started.nanoseconds) ^ started.seconds as u64,
        handles_max: handles_max(options),
        tally: Tally::default(),
        unreadable: Mutex::new(Vec::new()),
        mounts: Mutex::default(),
        mounts_given_up: Mutex::default(),
        not_entered: Mutex::default(),
        skip_wrong: AtomicBool::new(false),
        scratches: Mutex::new(Vec::new()),
        failure: Mutex::new(None),
        ended: AtomicBool::new(false),
        outcome: Mutex::new(None),
    };
    let top = Node::new(None, Box::from(c""), base.root(), false, None, false);
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
    pub(crate) inodes_changed: AtomicU64,
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
    pub(crate) distrusted_from: Option<Timestamp>,
    pub(crate) tally: Tally,
    /// The first of those that were counted as unreadable, and why.
    unreadable: Mutex<Vec<(TreePath, String)>>,
    pub(crate) mounts: Mutex<Mounts>,
    pub(crate) mounts_given_up: Mutex<Vec<TreePath>>,
    pub(crate) not_entered: Mutex<NotEntered>,
    /// A directory that looked settled had other names: no more skips.
    pub(crate) skip_wrong: AtomicBool,
    /// Not thread-locals: a worker may take up another directory while it waits
    /// for the parts of a very large one.
    pub(crate) scratches: Mutex<Vec<Scratch>>,
    pub(crate) failure: Mutex<Option<ScanError>>,
    pub(crate) ended: AtomicBool,
    pub(crate) outcome: Mutex<Option<(DirectoryPointer, Totals)>>,
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
                // Of a very large directory there is a second copy by now.
                scratch.shrink(NAMES_KEPT_MAX);
                let result = self.close(&node, waiting, scratch);
                self.finish(node, result, scratch);
                None
            }
            Ok((waiting, descriptor)) => Some(self.descend(scope, &node, waiting, descriptor, scratch)),
        }
    }

    /// Makes nodes of the first children, and gives back the first of all.
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
        let held = self.tally.handles.load(Ordering::Relaxed) < self.handles_max;
        if held {
            self.tally.handles.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&node.handle) = Some(Handle { descriptor: Arc::new(descriptor), held });
        let children = &mut scratch.result.children;
        if children.len() > CHILDREN_AT_ONCE {
            let rest = children.split_off(CHILDREN_AT_ONCE);
            let above = node.clone();
            // Before the first ones, so that it is the last that we take and the first
            // that is taken from us.
            scope.spawn(move |scope| self.unfold(scope, above, rest.into_iter()));
            let first_ones = std::mem::take(children);
            return self.offer(scope, node, first_ones.into_iter()).unwrap_or_else(|| node.clone());
        }
        self.offer(scope, node, children.drain(..)).unwrap_or_else(|| node.clone())
    }

    /// Makes nodes of the next children, and leaves the rest for later.
    fn unfold<'scope>(
        &'scope self,
        scope: &Scope<'scope>,
        node: Arc<Node>,
        mut waiting: std::vec::IntoIter<Child>,
    ) {
        if self.is_over() {
            return;
        }
        let next: Vec<Child> = waiting.by_ref().take(CHILDREN_AT_ONCE).collect();
        if waiting.len() > 0 {
            let above = node.clone();
            scope.spawn(move |scope| self.unfold(scope, above, waiting));
        }
        if let Some(first) = self.offer(scope, &node, next.into_iter()) {
            drop(node);
            self.run(scope, first);
        }
    }

    /// Gives back the first child, and offers the others to whoever is idle.
    fn offer<'scope>(
        &'scope self,
        scope: &Scope<'scope>,
        node: &Arc<Node>,
        children: impl DoubleEndedIterator<Item = Child>,
    ) -> Option<Arc<Node>> {
        let mut children = children.map(|child| {
            Node::new(
                Some((node.clone(), child.position)),
                child.name,
                child.base,
                child.followed,
                child.uploaded_link,
                child.is_new,
            )
        });
        let first = children.next();
        // Taken from the end by ourselves, from the front by others.
        for child in children.rev() {
            scope.spawn(move |scope| self.run(scope, child));
        }
        first
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
        let mut named = lock(&self.unreadable);
        if named.len() < ScanReport::UNREADABLE_NAMED_MAX {
            named.push((path.clone(), reason.to_owned()));
        }
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
        let mut unreadable = std::mem::take(&mut *lock(&self.unreadable));
        unreadable.sort();
        let mut mounts_given_up = std::mem::take(&mut *lock(&self.mounts_given_up));
        mounts_given_up.sort();
        let mut not_entered = std::mem::take(&mut *lock(&self.not_entered));
        not_entered.named.sort();
        Ok(ScanReport {
            root,
            totals,
            identity,
            started,
            files_unreadable: count(&self.tally.unreadable),
            unreadable,
            out_of_scope: count(&self.tally.out_of_scope),
            excluded: count(&self.tally.excluded),
            specials: count(&self.tally.specials),
            inodes_changed: count(&self.tally.inodes_changed),
            inodes_last: self.root.file_system.stable_inodes,
            mounts: std::mem::take(&mut *lock(&self.mounts)),
            mounts_given_up,
            not_entered,
            skip_was_wrong: self.skip_wrong.load(Ordering::Relaxed),
            directories_opened: count(&self.tally.directories),
            directories_skipped: count(&self.tally.directories_skipped),
            root_is_empty: self.tally.root_is_empty.load(Ordering::Relaxed),
        })
    }
}
