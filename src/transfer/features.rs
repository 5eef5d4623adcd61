//! What a backend can do, as `rclone backend features` says.

use crate::model::Failure;
use crate::transfer::command_line::Traffic;
use crate::transfer::log_line::LogLine;
use crate::transfer::process::Heard;
use crate::transfer::{RcloneVersion, RemoteKind, Session, root_of};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a backend can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Features {
    /// Moves a file on the server.
    #[serde(rename = "Move")]
    pub move_: bool,
    /// Copies a file on the server.
    pub copy: bool,
    /// Moves a whole folder in one request.
    pub dir_move: bool,
    /// Removes a whole folder in one request.
    pub purge: bool,
    /// Folders exist without a file in them.
    #[serde(rename = "CanHaveEmptyDirectories")]
    pub can_have_empty_directories: bool,
    /// `A` and `a` are one name.
    pub case_insensitive: bool,
    /// Two files may have one name.
    pub duplicate_files: bool,
    /// Uploads go to a `.partial` name first.
    pub partial_uploads: bool,
    /// Kept in buckets: no folders of its own.
    pub bucket_based: bool,
    /// It is this machine.
    pub is_local: bool,
    /// Hashes that the remote knows without a download, in rclone's names.
    pub hashes: Vec<String>,
    /// How rclone calls it: `webdav root ''`.
    pub description: String,
}

impl Features {
    /// Which rules for names it has.
    pub fn kind(&self) -> RemoteKind {
        RemoteKind::of(self)
    }

    /// True when the trash can be filled without downloading anything.
    pub fn can_move_on_server(&self) -> bool {
        self.move_ || self.copy
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    hashes: Option<Vec<String>>,
    #[serde(default)]
    string: String,
    features: Features,
}

impl Session<'_> {
    /// Asks about the root of `remote`: no request for most backends.
    ///
    /// # Errors
    /// When rclone does not know the remote or cannot set it up.
    pub fn features(&self, remote: &str) -> Result<Features, Failure> {
        self.ask_features(root_of(remote), Traffic::Question, &mut |_| Heard::Nothing)
    }

    /// The folder of this machine that `remote` leads to, in the words of rclone: its configuration can
    /// put a name before it. No request. `None`: it leads elsewhere, or rclone does not say.
    pub fn local_folder(&self, remote: &str) -> Option<PathBuf> {
        let asked = self.ask_features(remote.to_owned(), Traffic::Question, &mut |_| Heard::Nothing);
        let features = asked.ok().filter(|features| features.is_local)?;
        let folder = features.description.strip_prefix("Local file system at ")?;
        folder.starts_with('/').then(|| folder.into())
    }

    /// The same, and the version, which rclone tells in its first line: `rclone version` is a
    /// process more, which starts three of its own to describe the system.
    pub(crate) fn features_and_version(
        &self,
        remote: &str,
    ) -> Result<(Features, Option<RcloneVersion>), Failure> {
        let mut version = None;
        let features = self.ask_features(root_of(remote), Traffic::Introduction, &mut |line| {
            version = version.or_else(|| RcloneVersion::from_first_line(&line.text));
            Heard::Nothing
        })?;
        Ok((features, version))
    }

    fn ask_features(
        &self,
        place: String,
        traffic: Traffic,
        on_line: &mut dyn FnMut(&LogLine) -> Heard,
    ) -> Result<Features, Failure> {
        let arguments = vec!["backend".into(), "features".into(), place.into()];
        let finished = self.run(arguments, Vec::new(), traffic, on_line)?;
        if !finished.succeeded() {
            return Err(finished.failure("asking what the remote can do"));
        }
        self.understood(read(&finished.output), &finished.output, "what the remote can do")
    }
}

pub(crate) fn read(output: &[u8]) -> serde_json::Result<Features> {
    let answer: Answer = serde_json::from_slice(output)?;
    let hashes = answer.hashes.unwrap_or_default();
    Ok(Features { hashes, description: answer.string, ..answer.features })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn features_of_old_and_new_versions_are_read() {
        let text = r#"{"Name":"d","Hashes":[],"Features":{"Move":true,"Copy":true,"DirMove":true,"Purge":true,
            "CanHaveEmptyDirectories":true,"CaseInsensitive":false,"DuplicateFiles":false,"ListP":false}}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert!(answer.features.dir_move && answer.features.can_have_empty_directories);
        assert_eq!(answer.features.request_costs(None).whole_folder, Some(6));
        assert_eq!(Features { bucket_based: true, ..Features::default() }.request_costs(None).upload, 2);
        assert!(!answer.features.partial_uploads && answer.features.can_move_on_server());
    }
}
