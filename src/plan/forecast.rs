//! How many requests a plan will cost. On a touchy remote requests, not bytes,
//! are what takes time.

use super::Tally;

/// What one file costs on a kind of remote, in requests; measured, see
/// `docs/rclone.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCosts {
    /// A new file.
    pub upload: u64,
    /// A move into the trash on the server.
    pub trash: u64,
    /// A plain deletion.
    pub delete: u64,
    /// Each rclone process, whatever it does.
    pub process: u64,
    /// The owner file, once per changing run.
    pub owner: u64,
}

impl RequestCosts {
    /// WebDAV, and whatever is not known better.
    pub const WEBDAV: RequestCosts = RequestCosts { upload: 3, trash: 4, delete: 2, process: 5, owner: 3 };
    /// S3 and its kin.
    pub const S3: RequestCosts = RequestCosts { upload: 2, trash: 4, delete: 2, process: 3, owner: 3 };
    /// A local folder: no requests at all.
    pub const LOCAL: RequestCosts = RequestCosts { upload: 0, trash: 0, delete: 0, process: 0, owner: 0 };
}

/// An upper bound of the requests for a plan, folders that do not exist yet not
/// counted. `processes` is the number of rclone processes expected.
pub fn forecast_requests(tally: &Tally, costs: &RequestCosts, trash_removed: bool, processes: u64) -> u64 {
    let replaced = tally.changed_files + tally.suspect_files;
    let removed = if trash_removed { costs.trash } else { costs.delete };
    let files = tally.new_files_total() * costs.upload
        + replaced * (costs.trash + costs.upload)
        + tally.blocking_files * costs.trash
        + tally.removed_files * removed;
    if files == 0 { 0 } else { files + processes * costs.process + costs.owner }
}
