//! What is asked of the remote, and the one answer each path gets.

use crate::model::{ContentDigest, Permissions, Stamp, TreePath};
use std::fmt;

/// What one transfer does with all of its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Source to mirror. Nothing that is known lies at the target.
    Upload,
    /// Mirror to this run's trash folder, on the server.
    Trash,
    /// Delete from the mirror.
    Delete,
    /// Delete from this run's trash folder (versions that are not to be kept).
    Discard,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Upload => "upload",
            Lane::Trash => "move to trash",
            Lane::Delete => "delete",
            Lane::Discard => "discard old version",
        })
    }
}

/// What rclone appends to the name of a symlink that it uploads.
pub const LINK_ENDING: &[u8] = b".rclonelink";

/// One path of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// Where it lies below the source and below the mirror.
    pub path: TreePath,
    /// A symlink that travels as `<path>.rclonelink`.
    pub as_link: bool,
    /// Upload: the stamp under which the content was read. Other lanes: what
    /// the base knows.
    pub stamp: Stamp,
    /// Mode and owner, for the index.
    pub permissions: Permissions,
    /// Upload: the content that was read. Other lanes: the content that the
    /// base knows at this path. `None`: not known (weak entries, and large files
    /// that are read beside their upload).
    pub digest: Option<ContentDigest>,
}

/// Paths that go to the remote together, in one rclone process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What happens to the paths.
    pub lane: Lane,
    /// The paths; none twice.
    pub items: Vec<BatchItem>,
}

impl Batch {
    /// Sum of the sizes, in bytes.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.stamp.size).sum()
    }
}

/// What became of one path. Every path of a batch gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The remote confirmed it, by a receipt for this very path.
    Confirmed,
    /// The source changed while it was uploaded: what lies on the remote now is
    /// ours and of no worth.
    ChangedMeanwhile,
    /// It was gone before it could be sent.
    Vanished,
    /// The remote, or rclone, said no.
    Failed(Failure),
    /// The run ended before its turn; nothing was sent.
    NotAttempted,
    /// Sent, and no answer: it may or may not be there.
    Unknown,
    /// rclone ended before its end and had said nothing of it. As many as it sends side by
    /// side may have been under way, no more: the others were never begun, and which is which is
    /// not known.
    Unheard,
}

/// Why a path, or a whole transfer, failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of trouble it is: decides whether to go on, and the exit code.
    pub class: FailureClass,
    /// In the words of rclone, shortened; without credentials.
    pub reason: String,
}

/// Kinds of trouble that are handled differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// This one file: not readable, a name that the remote refuses.
    File,
    /// The remote does not let us in. Stop at once: providers lock accounts.
    Authentication,
    /// No room left on the remote.
    RemoteFull,
    /// Refused connections, 405 and 423 storms, time-outs: back off.
    RemoteUnwell,
    /// rclone itself: not found, not startable, broken configuration.
    Rclone,
}
