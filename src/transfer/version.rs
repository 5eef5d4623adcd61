//! What each version of rclone lacks: the one table.

use crate::transfer::NameEncoding;
use std::fmt;

/// The version of an rclone, as `rclone version` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RcloneVersion {
    /// Always 1 so far.
    pub major: u32,
    /// What people mean by "rclone 75".
    pub minor: u32,
    /// Bug fixes.
    pub patch: u32,
}

/// The oldest that works: Debian 12 has it.
pub(crate) const OLDEST: RcloneVersion = RcloneVersion { major: 1, minor: 60, patch: 0 };

/// What not every supported version can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// `--webdav-pacer-min-sleep`.
    WebdavPacer,
    /// Uploads to local, SFTP, FTP and SMB go through a `.partial` file.
    PartialFiles,
    /// A skeleton of empty folders is made from above, each when its parent exists.
    FoldersFromAbove,
    /// `--no-update-dir-modtime`: sparing the request that sets a folder's time.
    FolderTimes,
    /// `--local-encoding Raw`.
    RawEncoding,
    /// BLAKE3 and the newer hashes.
    Blake3,
    /// WebDAV looks at one name with `PROPFIND Depth: 0`.
    WebdavDepthZero,
    /// One bad line of a list does not stop the others.
    ListKeepsGoing,
}

/// One thing that the rclone found here lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// What.
    pub capability: Capability,
    /// The first version that has it.
    pub since: RcloneVersion,
    /// What that means here, for people.
    pub consequence: &'static str,
}

const fn since(minor: u32) -> RcloneVersion {
    RcloneVersion { major: 1, minor, patch: 0 }
}

/// Found with `git describe --contains` on rclone's history, and tried with 1.60.1 and 1.75.2.
const TABLE: &[Gap] = &[
    Gap {
        capability: Capability::WebdavPacer,
        since: since(63),
        consequence: "WebDAV remotes get at most 100 requests a second",
    },
    Gap {
        capability: Capability::PartialFiles,
        since: since(63),
        consequence: "an interrupted upload to local, SFTP, FTP or SMB leaves a short file under the final name until the next run",
    },
    // Before, all were listed first, and only those that hold nothing were made: from below.
    Gap {
        capability: Capability::FoldersFromAbove,
        since: since(66),
        consequence: "a new folder inside a new folder costs up to three WebDAV requests instead of one",
    },
    // The times of folders came with 1.66; whether the flag was there from the first day was not tried.
    Gap {
        capability: Capability::FolderTimes,
        since: since(67),
        consequence: "1.66 also sets the times of folders, for a request each; older ones leave them alone",
    },
    Gap {
        capability: Capability::RawEncoding,
        since: since(68),
        consequence: "files with the character U+201B in their name, or called U+FF0E, cannot be sent",
    },
    Gap {
        capability: Capability::Blake3,
        since: since(71),
        consequence: "remote files cannot be hashed with BLAKE3 by rclone",
    },
    Gap {
        capability: Capability::WebdavDepthZero,
        since: since(74),
        consequence: "every start on a WebDAV remote lists the folder given on the command line once",
    },
    Gap {
        capability: Capability::ListKeepsGoing,
        since: since(75),
        consequence: "one file that turns into a directory while a batch starts makes the whole batch wait for the next run",
    },
];

/// What the found version lacks; empty for a current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionGaps(pub Vec<Gap>);

impl RcloneVersion {
    /// Reads the first line of `rclone version`: `rclone v1.60.1-DEV`.
    pub(crate) fn parse(output: &str) -> Option<Self> {
        let word = output.lines().find_map(|line| line.strip_prefix("rclone v"))?;
        let numbers = word.split(['-', '+', ' ']).next()?;
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(RcloneVersion { major, minor, patch })
    }

    /// Reads what every rclone says first with debug lines: `Version "v1.75.2" starting with …`.
    pub(crate) fn from_first_line(text: &str) -> Option<Self> {
        let (version, _) = text.trim().strip_prefix("Version \"v")?.split_once('"')?;
        RcloneVersion::parse(&format!("rclone v{version}"))
    }

    /// True when this version has it.
    pub fn has(self, capability: Capability) -> bool {
        TABLE.iter().filter(|gap| gap.capability == capability).all(|gap| self >= gap.since)
    }

    /// How a new mirror begun with this version writes names.
    pub fn name_encoding(self) -> NameEncoding {
        if self.has(Capability::RawEncoding) { NameEncoding::Raw } else { NameEncoding::Legacy }
    }

    /// The oldest that can go on with a mirror whose names are written so.
    pub fn oldest_for(encoding: NameEncoding) -> RcloneVersion {
        let raw = TABLE.iter().find(|gap| gap.capability == Capability::RawEncoding);
        raw.filter(|_| encoding == NameEncoding::Raw).map_or(OLDEST, |gap| gap.since)
    }

    /// What it lacks.
    pub fn gaps(self) -> VersionGaps {
        VersionGaps(TABLE.iter().filter(|gap| self < gap.since).copied().collect())
    }
}

impl fmt::Display for RcloneVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_and_the_project_write_them() {
        let read = |text| RcloneVersion::parse(text).map(|version| version.to_string());
        assert_eq!(read("rclone v1.60.1-DEV\n- os/version: debian"), Some("1.60.1".into()));
        assert_eq!(read("rclone v1.75.2\n"), Some("1.75.2".into()));
        assert_eq!(read("rclone v1.76.0-beta.9000.abc\n"), Some("1.76.0".into()));
        assert_eq!(read("rclone v1.66\n"), Some("1.66.0".into()));
        assert_eq!(read("restic 0.14"), None);
        let first = |text| RcloneVersion::from_first_line(text).map(|version| version.to_string());
        assert_eq!(
            first("Version \"v1.60.1-DEV\" starting with parameters [\"rclone\"]"),
            Some("1.60.1".into())
        );
        assert_eq!(first("Using config file from \"/v1.2/rclone.conf\""), None);
    }

    #[test]
    fn the_oldest_lacks_all_and_the_newest_nothing() {
        assert_eq!(OLDEST.gaps().0.len(), TABLE.len());
        assert!(RcloneVersion::parse("rclone v1.75.2").unwrap().gaps().0.is_empty());
        assert!(!RcloneVersion { major: 1, minor: 67, patch: 9 }.has(Capability::RawEncoding));
        assert!(RcloneVersion { major: 1, minor: 68, patch: 0 }.has(Capability::RawEncoding));
    }
}
