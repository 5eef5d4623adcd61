//! Observe: events and counters going out.
//!
//! Knows: the nouns of `model`.
//! Promises: the library never prints; whoever wants to know, listens.
//! Must not know: terminals, colours, files.

use crate::model::{Lane, Outcome, TreePath};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens, as it happens. Values are borrowed: an event that nobody wants
/// costs nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A job begins.
    JobStarted {
        /// Its name.
        job: &'a str,
    },
    /// A phase of the run begins.
    PhaseStarted(Phase),
    /// A phase ended; `summary` is one line for people.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// One line.
        summary: &'a str,
    },
    /// How far the scan is. Sent now and then.
    ScanProgress {
        /// Entries seen that are no directories.
        files: u64,
        /// Directories seen.
        directories: u64,
        /// What the base had, for an estimate; 0 in a first run.
        files_expected: u64,
    },
    /// What the plan came to: the totals for a progress bar.
    TransferPlanned {
        /// Files to go up.
        files: u64,
        /// Their sizes, in bytes.
        bytes: u64,
        /// Versions to leave the mirror, for the trash or for good.
        removals: u64,
        /// Files are read before it is clear whether they go up: all this is at the most.
        is_at_most: bool,
        /// Nothing of it is done: somebody only asked.
        is_dry_run: bool,
        /// What that costs, for people: requests, and time where it can be told. Empty: nothing.
        cost: &'a str,
    },
    /// How far the running batch is. Sent about once a second.
    TransferProgress {
        /// Bytes of files that are confirmed, plus the running ones, of this run.
        bytes: u64,
        /// Files confirmed in this run.
        files: u64,
        /// Bytes per second, by rclone's own account.
        bytes_per_second: f64,
        /// Names of the files under way, at most a few.
        current: &'a [String],
    },
    /// What a restore or a verification is about to do: the totals for a progress bar.
    WorkPlanned {
        /// Which of them.
        phase: Phase,
        /// Files.
        files: u64,
        /// Their sizes, in bytes.
        bytes: u64,
    },
    /// How much of a large file was read so far. Sent now and then; a file that is read once more
    /// begins anew.
    FileUnderWay {
        /// Which path.
        path: &'a TreePath,
        /// From its start, in bytes.
        bytes: u64,
    },
    /// A file is done with: restored, or there already, or verified.
    FileDone {
        /// Which path.
        path: &'a TreePath,
        /// Its size, in bytes.
        bytes: u64,
    },
    /// A restore or a verification found something wrong at a path.
    Finding {
        /// Which path; may be a directory, with all below it.
        path: &'a TreePath,
        /// What, for people.
        reason: &'a str,
    },
    /// A path got its outcome.
    Settled {
        /// In which lane.
        lane: Lane,
        /// Which path.
        path: &'a TreePath,
        /// Its size, in bytes.
        bytes: u64,
        /// What became of it.
        outcome: &'a Outcome,
    },
    /// Something in scope is not protected (exit code 3).
    Unprotected {
        /// Which path; may be a directory, with all below it.
        path: &'a TreePath,
        /// Why, for people.
        reason: &'a str,
    },
    /// A name that the rules leave out, with the rule (`plan --excluded`).
    Excluded {
        /// Which path.
        path: &'a TreePath,
        /// The pattern that decided.
        rule: &'a str,
    },
    /// Something people should know, but nothing is lost.
    Warning(&'a str),
    /// For the log.
    Detail(&'a str),
    /// A line that rclone said, cleaned of credentials.
    RcloneLine {
        /// `error`, `warning`, `notice`, `info` or `debug`; empty for lines that are no JSON.
        level: &'a str,
        /// The text.
        text: &'a str,
    },
}

/// The phases of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Folding in what an interrupted run left.
    Recover,
    /// Walking the source.
    Scan,
    /// Comparing with the base, counting, guarding.
    Plan,
    /// Reading files whose stamp changed but perhaps not their content.
    Compare,
    /// Sending.
    Transfer,
    /// Writing the new base.
    Commit,
    /// Emptying expired trash.
    Prune,
    /// Fetching files back.
    Restore,
    /// Reading what should be as it was.
    Verify,
}

/// Listens. Called from many threads at once.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);

    /// Work was done. Kept apart from events because it happens millions of times.
    fn count(&self, counter: Counter, amount: u64);
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Work that tests count instead of looking at the clock.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Counter { $($(#[$doc])* $name),* }

        impl Counter {
            /// All of them.
            pub const ALL: &'static [Counter] = &[$(Counter::$name),*];
        }
    };
}

counters! {
    /// Directories opened for a scan.
    DirectoriesOpened,
    /// Directories whose names were read (getdents).
    DirectoriesListed,
    /// statx of a single name.
    NamesStatted,
    /// Names matched against exclude rules.
    NamesMatched,
    /// Files read to the end and hashed.
    FilesHashed,
    /// Bytes of those files.
    BytesHashed,
    /// Nodes read from an index and checked.
    NodesRead,
    /// Nodes written to an index file or a pending tree.
    NodesWritten,
    /// Bytes appended to the index file.
    IndexBytesWritten,
    /// fsync and fdatasync calls.
    Syncs,
    /// rclone processes started.
    RcloneProcesses,
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event<'_>) {}
    fn count(&self, _counter: Counter, _amount: u64) {}
}

/// Counts, and keeps every event as text: for tests, and for reports that need
/// the figures.
#[derive(Debug, Default)]
pub struct Recorder {
    counters: [AtomicU64; Counter::ALL.len()],
    events: Mutex<Vec<String>>,
}

impl Recorder {
    /// How much of this work was done so far.
    pub fn counted(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// Everything heard so far, in its `Debug` form.
    pub fn events(&self) -> Vec<String> {
        self.events.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Observer for Recorder {
    fn event(&self, event: &Event<'_>) {
        self.events.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(format!("{event:?}"));
    }

    fn count(&self, counter: Counter, amount: u64) {
        self.counters[counter as usize].fetch_add(amount, Ordering::Relaxed);
    }
}
