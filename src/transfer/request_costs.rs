//! What a remote charges for each thing done, in requests: counted by a proxy
//! (`docs/rclone.md`). For the forecast; retries come on top.

use crate::transfer::{Capability, Features, RcloneVersion};

/// Requests for one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCosts {
    /// A new file whose folder exists.
    pub upload: u64,
    /// A file moved to the trash, into a folder that exists.
    pub trash: u64,
    /// A file deleted by list.
    pub delete: u64,
    /// A look at one file.
    pub look: u64,
    /// A folder made ahead, at most. Met on the way it costs [`RequestCosts::fresh_level`].
    pub folder: u64,
    /// Each level of folders that does not exist yet, if rclone meets it on the way, at most.
    pub fresh_level: u64,
    /// A whole folder moved to the trash, whatever it holds; `None`: not possible.
    pub whole_folder: Option<u64>,
    /// Each rclone process, on top, at most.
    pub process: u64,
}

/// WebDAV, and what stands for all remotes that have folders of their own.
const WEBDAV: RequestCosts = RequestCosts {
    upload: 3,
    trash: 4,
    delete: 2,
    look: 1,
    folder: 1,
    fresh_level: 5,
    whole_folder: Some(6),
    process: 2,
};

/// WebDAV before 1.66, for each folder made ahead: MKCOL is refused because the folder above it is missing, a look
/// whether it is there all the same, and MKCOL again when that one has been made.
const FOLDER_FROM_BELOW: u64 = 3;

/// S3, and what stands for all remotes that keep objects in buckets.
const S3: RequestCosts = RequestCosts {
    upload: 2,
    trash: 4,
    delete: 2,
    look: 1,
    folder: 0,
    fresh_level: 0,
    whole_folder: None,
    process: 2,
};

/// A folder of this machine: nothing is asked of anybody.
const LOCAL: RequestCosts = RequestCosts {
    upload: 0,
    trash: 0,
    delete: 0,
    look: 0,
    folder: 0,
    fresh_level: 0,
    whole_folder: Some(0),
    process: 0,
};

impl Features {
    /// The costs to forecast with, for an rclone of this version; `None`: it is not known, and the dearest is taken.
    pub fn request_costs(&self, version: Option<RcloneVersion>) -> RequestCosts {
        let costs = match () {
            () if self.is_local => LOCAL,
            () if self.bucket_based => S3,
            () => WEBDAV,
        };
        let is_from_above = version.is_some_and(|version| version.has(Capability::FoldersFromAbove));
        RequestCosts {
            folder: if is_from_above { costs.folder } else { costs.folder * FOLDER_FROM_BELOW },
            whole_folder: costs.whole_folder.filter(|_| self.dir_move),
            ..costs
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_made_from_below_costs_three() {
        let folder = |features: &Features, minor: u32| {
            features.request_costs(Some(RcloneVersion { major: 1, minor, patch: 0 })).folder
        };
        let webdav = Features::default();
        assert_eq!((folder(&webdav, 60), folder(&webdav, 65), folder(&webdav, 66)), (3, 3, 1));
        assert_eq!(webdav.request_costs(None).folder, 3);
        let bucket = Features { bucket_based: true, ..Features::default() };
        assert_eq!((folder(&bucket, 60), folder(&bucket, 75)), (0, 0));
    }
}
