//! Remote paths as rclone writes them, put together and taken apart.

/// A remote that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("remote {remote:?}: {reason}")]
pub struct RemotePathError {
    remote: String,
    reason: &'static str,
}

/// Where the path begins: behind the colon that ends the name and the
/// connection string. 0 for a plain local path.
pub(crate) fn path_start(remote: &str) -> usize {
    if remote.starts_with('/') {
        return 0;
    }
    let mut quote = None;
    for (position, character) in remote.char_indices() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, ':') if position > 0 => return position + 1,
            _ => {}
        }
    }
    0
}

/// Refuses what is neither `remote:path`, `:backend,option=value:path` nor an
/// absolute local path.
///
/// # Errors
/// Says what is wrong.
pub fn check_remote(remote: &str) -> Result<(), RemotePathError> {
    let error = |reason| Err(RemotePathError { remote: super::without_credentials(remote), reason });
    if remote.is_empty() {
        return error("it is empty; write it as rclone does: `name:folder`");
    }
    if path_start(remote) == 0 && !remote.starts_with('/') {
        return error("it has no colon; write it as rclone does: `name:folder`, or give an absolute path");
    }
    if remote[path_start(remote)..].split('/').any(|component| component == "..") {
        return error("`..` is not allowed in it");
    }
    Ok(())
}

/// `remote` with `path` below it.
pub fn join(remote: &str, path: &str) -> String {
    let mut joined = remote.to_owned();
    if path.is_empty() {
        return joined;
    }
    if path_start(remote) < remote.len() && !remote.ends_with('/') {
        joined.push('/');
    }
    joined.push_str(path);
    joined
}

/// The remote without a path: what `backend features` can be asked about
/// without a request.
pub fn root_of(remote: &str) -> String {
    match path_start(remote) {
        0 => "/".into(),
        start => remote[..start].into(),
    }
}

/// The configured name, without colon; `None` for connection strings on the fly
/// and local paths.
pub fn remote_name(remote: &str) -> Option<&str> {
    let start = path_start(remote);
    if start == 0 || remote.starts_with(':') {
        return None;
    }
    remote[..start - 1].split(',').next()
}

/// Parent and leaf of a remote path; `None` at the root.
pub(crate) fn split_leaf(remote: &str) -> Option<(&str, &str)> {
    let path = path_start(remote);
    let trimmed = remote.trim_end_matches('/');
    if trimmed.len() <= path {
        return None;
    }
    let leaf = trimmed[path..].rfind('/').map_or(path, |slash| path + slash + 1);
    let parent = &trimmed[..leaf];
    let parent = if parent.len() > path + 1 { parent.trim_end_matches('/') } else { parent };
    Some((parent, &trimmed[leaf..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_below_every_kind_of_remote() {
        for (remote, joined) in [
            ("dav:dir", "dav:dir/x"),
            ("dav:dir/", "dav:dir/x"),
            ("dav:", "dav:x"),
            (":local:/srv", ":local:/srv/x"),
            (":local:/", ":local:/x"),
            (":webdav,url=\"http://h:80\":", ":webdav,url=\"http://h:80\":x"),
            (":webdav,url=\"http://h:80\":d", ":webdav,url=\"http://h:80\":d/x"),
            ("/srv/mirror", "/srv/mirror/x"),
            ("/", "/x"),
        ] {
            assert_eq!(join(remote, "x"), joined);
            assert_eq!(join(remote, ""), remote);
        }
    }

    #[test]
    fn remotes_are_taken_apart() {
        assert_eq!(root_of("dav:a/b"), "dav:");
        assert_eq!(root_of(":webdav,url='http://h:80':a"), ":webdav,url='http://h:80':");
        assert_eq!(root_of("/srv"), "/");
        assert_eq!(remote_name("dav,opt=1:a"), Some("dav"));
        assert_eq!(remote_name(":local:/x"), None);
        assert_eq!(split_leaf("dav:a/b"), Some(("dav:a", "b")));
        assert_eq!(split_leaf("dav:b"), Some(("dav:", "b")));
        assert_eq!(split_leaf("/b"), Some(("/", "b")));
        assert_eq!(split_leaf("dav:"), None);
        assert!(check_remote("photos").is_err());
        assert!(check_remote("a:../b").is_err());
        assert!(check_remote("a:b").is_ok());
    }
}
