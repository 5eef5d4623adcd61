//! Places on a remote, as the user writes them: `name:path`.

use std::fmt;

/// A folder of an rclone remote: `alist:115/backup/photos`,
/// `:webdav,url='https://host/dav':backup`.
#[derive(Clone, PartialEq, Eq)]
pub struct RemotePath {
    /// Up to the colon, colon included.
    remote: String,
    /// After the colon, nothing doubled, no `/` at its end.
    path: String,
}

/// Backends where the first folder is a bucket: nothing lies beside it.
const BUCKETS: [&str; 9] = [
    "s3",
    "b2",
    "swift",
    "azureblob",
    "google cloud storage",
    "oracleobjectstorage",
    "qingstor",
    "storj",
    "gcs",
];

impl RemotePath {
    /// Reads `name:path` or `:backend:path`.
    ///
    /// # Errors
    /// What would have been right, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = super::masking::mask_remote(text);
        let Some(colon) = end_of_remote(text) else {
            return Err(if text.starts_with('/') {
                format!("must be \"name:path\"; for a local folder write \":local:{shown}\"")
            } else {
                format!("must be \"name:path\" with a name from `rclone listremotes`, not \"{shown}\"")
            });
        };
        let (remote, path) = text.split_at(colon + 1);
        let name = remote.trim_end_matches(':').trim_start_matches(':').split(',').next().unwrap_or("");
        if name.is_empty() {
            return Err(format!(
                "must be \"name:path\", and there is no name before the colon in \"{shown}\""
            ));
        }
        if let Some(bad) = name.chars().find(|&c| !(c.is_alphanumeric() || "_-.+@ ".contains(c))) {
            return Err(format!("must be \"name:path\"; a name of rclone does not hold {bad:?}"));
        }
        if name.starts_with(['-', ' ']) {
            return Err("must be \"name:path\"; a name of rclone begins with a letter or a digit".into());
        }
        let lead = if path.starts_with('/') { "/" } else { "" };
        let components: Vec<&str> =
            path.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
        if components.contains(&"..") {
            return Err(format!("must be a path without `..`, not \"{shown}\""));
        }
        if path.contains(['\0', '\n', '\r']) {
            return Err("must be a path without line breaks".into());
        }
        let is_local = remote == ":local:" || remote.starts_with(":local,");
        if is_local && lead.is_empty() {
            return Err(format!("must be an absolute path after `:local:`, not \"{shown}\""));
        }
        Ok(RemotePath { remote: remote.to_owned(), path: format!("{lead}{}", components.join("/")) })
    }

    /// The part that names the remote, colon included.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// The part behind the colon.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The local folder, for the `:local:` backend.
    pub fn local_path(&self) -> Option<&std::path::Path> {
        self.is_local().then(|| std::path::Path::new(&self.path))
    }

    fn is_local(&self) -> bool {
        self.remote == ":local:" || self.remote.starts_with(":local,")
    }

    /// True when the path is empty, or the first folder of a backend that is
    /// known to call that a bucket: nothing can lie beside it. What lies behind
    /// a name of the user's configuration only rclone knows.
    pub fn is_root(&self) -> bool {
        let backend = self.remote.trim_matches(':').split(',').next().unwrap_or("");
        let on_the_fly = self.remote.starts_with(':');
        let depth = self.components().count();
        depth == 0 || (depth == 1 && on_the_fly && BUCKETS.contains(&backend))
    }

    /// `folder` beside the last folder of the path. `None` at a root.
    pub fn beside(&self, folder: &str) -> Option<RemotePath> {
        if self.is_root() {
            return None;
        }
        let parent_end = self.path.rfind('/').map_or(0, |slash| slash + 1);
        Some(RemotePath {
            remote: self.remote.clone(),
            path: format!("{}{folder}", &self.path[..parent_end]),
        })
    }

    /// True when both are the same place, or one lies in the other.
    /// A leading `/` makes no difference here: most backends ignore it. What is said to the local backend
    /// beside the path neither.
    pub fn overlaps(&self, other: &RemotePath) -> bool {
        let is_same = self.remote == other.remote || (self.is_local() && other.is_local());
        is_same && self.components().zip(other.components()).all(|(a, b)| a == b)
    }

    fn components(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|component| !component.is_empty())
    }
}

/// The whole, as rclone takes it. May hold credentials.
impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.remote, self.path)
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::masking::mask_remote(&self.to_string()))
    }
}

/// The colon that ends the remote: the first one that is neither the one in
/// front of a backend nor inside the quotes of a connection string.
fn end_of_remote(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut in_parameters = false;
    for (position, character) in text.char_indices() {
        match (character, quote) {
            (':', None) if position == 0 => {}
            (':', None) => return Some(position),
            ('/', None) if !in_parameters => return None,
            (',', None) => in_parameters = true,
            ('"' | '\'', None) if in_parameters => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn place(text: &str) -> RemotePath {
        RemotePath::parse(text).unwrap()
    }

    #[test]
    fn a_place_has_a_remote_and_a_path() {
        for (text, remote, path) in [
            ("alist:115/backup//photos/", "alist:", "115/backup/photos"),
            (":local:/mnt/mirror/", ":local:", "/mnt/mirror"),
            (
                ":webdav,url='https://h:1/dav',vendor=other:a/b",
                ":webdav,url='https://h:1/dav',vendor=other:",
                "a/b",
            ),
            ("s3:", "s3:", ""),
            ("阿里云盘:照片", "阿里云盘:", "照片"),
        ] {
            let place = place(text);
            assert_eq!((place.remote(), place.path()), (remote, path), "{text}");
        }
    }

    #[test]
    fn what_rclone_would_read_as_something_else_is_refused() {
        for (text, part) in [
            ("/mnt/mirror", "\":local:/mnt/mirror\""),
            ("photos", "rclone listremotes"),
            (":local:mirror", "absolute path"),
            ("a:b/../c", "without `..`"),
            (":", "name:path"),
            ("-x:y", "begins with"),
            ("a/b:c", "rclone listremotes"),
            ("a:b\nc", "line breaks"),
        ] {
            let message = RemotePath::parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn the_place_beside_a_folder_is_in_its_parent_and_a_root_has_none() {
        let beside = |text: &str| place(text).beside(".treeferry/x").map(|place| place.to_string());
        assert_eq!(beside("a:b/c").as_deref(), Some("a:b/.treeferry/x"));
        assert_eq!(beside("a:c").as_deref(), Some("a:.treeferry/x"));
        assert_eq!(beside(":local:/m").as_deref(), Some(":local:/.treeferry/x"));
        assert_eq!(beside("a:"), None);
        assert_eq!(beside(":local:/"), None);
        assert_eq!(beside(":s3:bucket"), None);
        assert_eq!(beside(":s3:bucket/folder").as_deref(), Some(":s3:bucket/.treeferry/x"));
    }

    #[test]
    fn overlap_compares_whole_folders() {
        assert!(place("a:b/c").overlaps(&place("a:b")));
        assert!(place("a:").overlaps(&place("a:b")));
        assert!(place("a:/b").overlaps(&place("a:b")));
        assert!(place(":local:/x/y").overlaps(&place(":local,links=false:/x")));
        assert!(!place(":local:/x").overlaps(&place(":sftp,host=a:/x")));
        assert!(!place("a:bc").overlaps(&place("a:b")));
        assert!(!place("a:b").overlaps(&place("other:b")));
    }
}
