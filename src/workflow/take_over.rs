//! A mirror that somebody else filled, set against the source: what counts as
//! held, and what the next run must know of.
//!
//! One walk over the source as it is now and a sorted list of what the mirror is
//! said to hold. Nothing is read and nothing is sent. What agrees is held, weak
//! (nobody has read it yet), under the stamp of the source, so that the next scan
//! finds it unchanged. What does not agree is known as the list has it, and marked
//! so that no stamp of the source can be taken for it.

use super::halt::Halt;
use crate::diff::{Changes, Equality, diff};
use crate::index::Edit;
use crate::model::{
    Change, Directory, DirectoryAttributes, DirectoryPointer, EntryFlags, EntryKind, OwnedEntry, Permissions,
    ReadNodeError, Stamp, Timestamp, Totals, TreePath, TreeView,
};
use crate::scan::{ExcludeRules, is_staging_folder};
use std::collections::VecDeque;
use std::path::Path;

/// A file on the mirror, as a list names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claimed {
    /// Where the list names it, from 1; 0: that is no list with lines.
    pub(super) line: u64,
    pub(super) path: TreePath,
    /// In bytes.
    pub(super) size: u64,
    pub(super) time: ClaimedTime,
    /// It lies there as `.rclonelink`, and its size is right.
    pub(super) as_link: bool,
    /// Its hash is not that of the source.
    pub(super) has_other_content: bool,
}

/// When the list says that a file was changed last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ClaimedTime {
    /// It does not say; size decides.
    Unknown,
    /// Seconds since 1970, as a 64-bit float.
    Float(f64),
    /// Whole seconds; the rest was cut off.
    Whole(i64),
}

impl Claimed {
    /// True when this is the file that the source has now.
    fn is(&self, entry: &OwnedEntry) -> bool {
        let mtime = entry.stamp.mtime;
        entry.kind == EntryKind::File
            && !self.has_other_content
            && entry.stamp.size == self.size
            && match self.time {
                ClaimedTime::Unknown => true,
                // As Python computes it, rounding included.
                ClaimedTime::Float(time) => {
                    mtime.seconds as f64 + 1e-9 * f64::from(mtime.nanoseconds) == time
                }
                ClaimedTime::Whole(seconds) => mtime.seconds == seconds,
            }
    }

    /// What the index knows of a version that it never saw: no ctime, mode or owner, by which `restore` tells
    /// it from others.
    fn as_entry(&self, flags: EntryFlags) -> OwnedEntry {
        let mtime = match self.time {
            ClaimedTime::Unknown => Timestamp::default(),
            ClaimedTime::Whole(seconds) => Timestamp { seconds, nanoseconds: 0 },
            ClaimedTime::Float(time) => {
                let nanoseconds = ((time - time.floor()) * 1e9) as u32;
                Timestamp { seconds: time.floor() as i64, nanoseconds: nanoseconds.min(999_999_999) }
            }
        };
        OwnedEntry {
            kind: EntryKind::File,
            flags,
            stamp: Stamp { size: self.size, mtime, ..Stamp::default() },
            permissions: Permissions::default(),
            digest: None,
            target: None,
            child: None,
        }
    }
}

/// Sorts a list, and takes out what cannot all be there: of two lines for one path
/// the last counts, and a file is dropped that others are said to lie in. Gives back
/// the lines that were dropped for that.
pub(super) fn put_in_order(claimed: &mut Vec<Claimed>) -> Vec<(u64, TreePath)> {
    // Stable, so that the last of several stays the last.
    claimed.sort_by(|a, b| a.path.cmp(&b.path));
    claimed.reverse();
    claimed.dedup_by(|later, earlier| later.path == earlier.path);
    let mut dropped = Vec::new();
    claimed.dedup_by(|above, below| {
        let is_folder = below.path.is_within(&above.path);
        if is_folder {
            dropped.push((above.line, above.path.clone()));
        }
        is_folder
    });
    claimed.reverse();
    dropped.reverse();
    dropped
}

/// What becomes of one path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// The mirror holds what the source has.
    Held(TreePath, OwnedEntry),
    /// The mirror holds something else than the source has.
    Differs(TreePath, OwnedEntry),
    /// The mirror holds it, the source does not: it is to leave.
    Gone(TreePath, OwnedEntry),
    /// The same, and it is to stay.
    Surplus(TreePath, OwnedEntry),
    /// The mirror holds it, and it is not in scope.
    Kept(TreePath, OwnedEntry),
    /// The source has it, the mirror does not. With its size.
    New(TreePath, u64),
    /// A directory of the source.
    Folder(TreePath, DirectoryAttributes),
    /// A link or a special file: only recorded.
    Recorded(TreePath, OwnedEntry),
}

impl Verdict {
    /// What it means for the base.
    pub(super) fn edits(self) -> impl Iterator<Item = Edit> {
        let (first, second) = match self {
            Verdict::Held(path, entry) | Verdict::Recorded(path, entry) => {
                (Some(Edit::Put { path, entry }), None)
            }
            Verdict::Differs(path, entry) | Verdict::Gone(path, entry) => {
                (Some(Edit::Put { path: path.clone(), entry }), Some(Edit::Unconfirmed { path }))
            }
            Verdict::Kept(path, _) | Verdict::Surplus(path, _) | Verdict::New(path, _) => {
                (Some(Edit::Unconfirmed { path }), None)
            }
            Verdict::Folder(path, attributes) => (Some(Edit::Directory { path, attributes }), None),
        };
        first.into_iter().chain(second)
    }
}

/// The walk.
pub(super) struct TakeOver<'a> {
    changes: Changes<'a>,
    claimed: std::iter::Peekable<std::slice::Iter<'a, Claimed>>,
    exclude: &'a ExcludeRules,
    source: &'a Path,
    /// What the source does not have stays on the mirror.
    surplus_stays: bool,
    /// A folder of the source that is a file on the mirror: nothing below it can be there.
    blocked: Option<TreePath>,
    queue: VecDeque<Verdict>,
    finished: bool,
}

impl<'a> TakeOver<'a> {
    /// `claimed` is in order (see [`put_in_order`]).
    pub(super) fn new(
        pending: &'a dyn TreeView,
        claimed: &'a [Claimed],
        exclude: &'a ExcludeRules,
        source: &'a Path,
        surplus_stays: bool,
    ) -> Self {
        TakeOver {
            changes: diff(&NOTHING, pending, Equality::Stamp),
            claimed: claimed.iter().peekable(),
            exclude,
            source,
            surplus_stays,
            blocked: None,
            queue: VecDeque::new(),
            finished: false,
        }
    }

    fn step(&mut self) -> Result<(), Halt> {
        let Some(change) = self.changes.next() else {
            while let Some(claim) = self.claimed.next() {
                self.without_source(claim);
            }
            self.finished = true;
            return Ok(());
        };
        let change = change.map_err(Halt::fatal)?;
        while let Some(claim) = self.claimed.next_if(|claim| claim.path < change.path) {
            self.without_source(claim);
        }
        self.with_source(change);
        Ok(())
    }

    fn with_source(&mut self, change: Change) {
        let Change { path, pending, pending_attributes, .. } = change;
        let Some(entry) = pending else { return };
        if self.blocked.as_ref().is_some_and(|blocked| path.is_within(blocked)) {
            if entry.is_on_mirror() {
                self.queue.push_back(Verdict::New(path, entry.stamp.size));
            }
            return;
        }
        let claim = self.claimed.next_if(|claim| claim.path == path);
        let has_claims_below = self.claimed.peek().is_some_and(|claim| claim.path.is_within(&path));
        let verdict = match (claim, entry.kind) {
            (Some(claim), EntryKind::Directory) => {
                self.blocked = Some(path.clone());
                Verdict::Differs(path, claim.as_entry(EntryFlags::RACY))
            }
            (None, EntryKind::Directory) => match pending_attributes {
                Some(attributes) => Verdict::Folder(path, attributes),
                None => return,
            },
            (Some(claim), EntryKind::File) if claim.is(&entry) => Verdict::Held(path, entry),
            (Some(claim), EntryKind::File) => Verdict::Differs(path, claim.as_entry(EntryFlags::RACY)),
            (Some(claim), EntryKind::Symlink) if claim.as_link => Verdict::Held(path, entry),
            // What lies there is what a link pointed to: not what the source has, and not in its way.
            (Some(claim), _) => {
                self.queue.push_back(Verdict::Kept(path.clone(), claim.as_entry(EntryFlags::NONE)));
                if entry.is_on_mirror() { Verdict::New(path, 0) } else { Verdict::Recorded(path, entry) }
            }
            (None, _) if has_claims_below || entry.is_on_mirror() => Verdict::New(path, entry.stamp.size),
            (None, _) => Verdict::Recorded(path, entry),
        };
        self.queue.push_back(verdict);
    }

    /// The list names it, and the scan did not find it.
    fn without_source(&mut self, claim: &Claimed) {
        let path = claim.path.clone();
        let is_staged = path.parent().is_some_and(|parent| parent.components().any(is_staging_folder));
        let verdict = if is_staged || self.exclude.verdict_with_parents(&path, false).is_some() {
            Verdict::Kept(path, claim.as_entry(EntryFlags::NONE))
        } else if self.surplus_stays {
            Verdict::Surplus(path, claim.as_entry(EntryFlags::NONE))
        } else {
            // An error is no deletion: what cannot be looked at may still be what the list says.
            let is_gone = match path.below(self.source).symlink_metadata() {
                Ok(_) => true,
                Err(error) => {
                    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
                }
            };
            let flags = if is_gone { EntryFlags::RACY } else { EntryFlags::NONE };
            Verdict::Gone(path, claim.as_entry(flags))
        };
        self.queue.push_back(verdict);
    }
}

impl Iterator for TakeOver<'_> {
    type Item = Result<Verdict, Halt>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.queue.is_empty() && !self.finished {
            if let Err(halt) = self.step() {
                self.finished = true;
                return Some(Err(halt));
            }
        }
        self.queue.pop_front().map(Ok)
    }
}

/// The tree of a mirror of which nothing is known.
pub(super) struct Nothing;

pub(super) static NOTHING: Nothing = Nothing;

impl TreeView for Nothing {
    fn root(&self) -> Option<DirectoryPointer> {
        None
    }

    fn read_directory(&self, _: &DirectoryPointer, into: &mut Directory) -> Result<Totals, ReadNodeError> {
        into.clear();
        Ok(Totals::default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_bytes(text).unwrap()
    }

    fn claim(text: &str, size: u64) -> Claimed {
        Claimed {
            line: 0,
            path: path(text),
            size,
            time: ClaimedTime::Unknown,
            as_link: false,
            has_other_content: false,
        }
    }

    #[test]
    fn of_two_lines_the_last_counts_and_a_file_gives_way_to_what_lies_in_it() {
        let numbered = |text, line| Claimed { line, ..claim(text, 1) };
        let mut list = vec![
            claim("b", 1),
            claim("a.txt", 1),
            numbered("a/x", 3),
            numbered("a", 4),
            claim("b", 2),
            claim("a/x/y", 1),
        ];
        assert_eq!(put_in_order(&mut list), [(4, path("a")), (3, path("a/x"))]);
        assert_eq!(list, [claim("a/x/y", 1), claim("a.txt", 1), claim("b", 2)]);
    }

    #[test]
    fn times_are_compared_as_python_computed_them() {
        let at = |seconds, nanoseconds| OwnedEntry {
            stamp: Stamp { size: 1, mtime: Timestamp { seconds, nanoseconds }, ..Stamp::default() },
            ..claim("a", 1).as_entry(EntryFlags::NONE)
        };
        // Printed by Python: repr(os.stat(path).st_mtime).
        for (seconds, nanoseconds, printed) in [
            (1_700_000_000, 123_456_789, "1700000000.1234567"),
            (1_700_000_000, 0, "1700000000.0"),
            (1_700_000_000, 999_999_999, "1700000001.0"),
            (1_234_567_890, 987_654_321, "1234567890.9876542"),
            (0, 1, "1e-09"),
            (-1, 500_000_000, "-0.5"),
            (1_718_273_645, 100, "1718273645.0"),
        ] {
            let time = ClaimedTime::Float(printed.parse().unwrap());
            let claim = Claimed { time, ..claim("a", 1) };
            assert!(claim.is(&at(seconds, nanoseconds)), "{seconds}.{nanoseconds} is not {printed}");
            assert!(!claim.is(&at(seconds, nanoseconds ^ 512)), "{printed}");
            assert!(!claim.is(&at(seconds + 1, nanoseconds)), "{printed}");
        }
        let whole = Claimed { time: ClaimedTime::Whole(7), ..claim("a", 1) };
        assert!(whole.is(&at(7, 5)) && !whole.is(&at(8, 0)));
    }
}
