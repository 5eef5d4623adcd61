//! Paths below the source root, as bytes, with a written order.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One component of a path: any bytes but `/` and NUL, never empty, `.` or `..`.
///
/// A plain slice on purpose: names live in arenas and maps, and are not owned
/// one by one.
pub type Name = [u8];

/// A path relative to the source root. Bytes, `/` between components, no
/// leading or trailing `/`. The empty path is the root itself.
///
/// **Order:** component by component, each compared as bytes, a parent before
/// what is below it. It is the order in which a depth-first walk over sorted
/// names meets the paths, so that streams of paths can be merged.
/// It differs from comparing the whole strings: `a/x` comes before `a.txt`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

/// Why some bytes are not a [`TreePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path below the source: {reason}")]
pub struct TreePathError {
    path: String,
    reason: &'static str,
}

impl TreePath {
    /// The source root itself.
    pub const fn root() -> Self {
        TreePath(Vec::new())
    }

    /// Checks and takes over `bytes`.
    ///
    /// # Errors
    /// When a component is empty, `.`, `..` or holds a NUL byte.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, TreePathError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(TreePath(bytes));
        }
        let reason = bytes.split(|&byte| byte == b'/').find_map(|component| match component {
            b"" => Some("a component is empty"),
            b"." | b".." => Some("a component is `.` or `..`"),
            _ if component.contains(&0) => Some("a component holds a NUL byte"),
            _ => None,
        });
        match reason {
            None => Ok(TreePath(bytes)),
            Some(reason) => Err(TreePathError { path: String::from_utf8_lossy(&bytes).into_owned(), reason }),
        }
    }

    /// True where all names are UTF-8.
    pub fn is_text(&self) -> bool {
        std::str::from_utf8(&self.0).is_ok()
    }

    /// The path of `name` inside this directory.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        TreePath(bytes)
    }

    /// Goes down into `name`; undone by [`TreePath::pop`].
    pub fn push(&mut self, name: &Name) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    /// Goes up by one component. Nothing happens at the root.
    pub fn pop(&mut self) {
        let parent_length = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        self.0.truncate(parent_length);
    }

    /// The bytes, `/` between components.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as a relative operating-system path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Where this path lies below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        if self.is_root() { root.to_path_buf() } else { root.join(self.as_path()) }
    }

    /// True for the source root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory this path lies in; `None` for the root.
    pub fn parent(&self) -> Option<TreePath> {
        if self.is_root() {
            return None;
        }
        let mut parent = self.clone();
        parent.pop();
        Some(parent)
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&Name> {
        if self.is_root() { None } else { self.0.rsplit(|&byte| byte == b'/').next() }
    }

    /// All components from the top down. None for the root.
    pub fn components(&self) -> impl Iterator<Item = &Name> {
        self.0.split(|&byte| byte == b'/').filter(|component| !component.is_empty())
    }

    /// True when `self` is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &TreePath) -> bool {
        ancestor.is_root()
            || (self.0.starts_with(&ancestor.0) && matches!(self.0.get(ancestor.0.len()), None | Some(b'/')))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // `/` sorts before every other byte, which makes the comparison one by components.
        let rank = |&byte: &u8| if byte == b'/' { 0 } else { byte };
        self.0.iter().map(rank).cmp(other.0.iter().map(rank))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// For people: invalid UTF-8 and control characters are escaped, so that a name
/// can neither break a line of a log nor colour a terminal.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_bytes(text).expect(text)
    }

    #[test]
    fn order_is_that_of_a_depth_first_walk() {
        let mut paths = ["b", "a.txt", "a/x", "a", "a/x/y", "a/x.y", ""].map(path);
        paths.sort();
        assert_eq!(paths, ["", "a", "a/x", "a/x/y", "a/x.y", "a.txt", "b"].map(path));
    }

    #[test]
    fn push_and_pop_undo_each_other() {
        let mut walking = TreePath::root();
        walking.push(b"a");
        walking.push(b"b c");
        assert_eq!(walking, path("a/b c"));
        walking.pop();
        assert_eq!(walking, path("a"));
        walking.pop();
        walking.pop();
        assert!(walking.is_root());
    }

    #[test]
    fn bytes_that_lead_out_of_the_source_are_refused() {
        for bad in ["/a", "a/", "a//b", ".", "a/../b", "..", "a\0b"] {
            assert!(TreePath::from_bytes(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_compares_whole_components() {
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(path("a").is_within(&TreePath::root()));
    }

    #[test]
    fn what_people_see_cannot_break_a_line() {
        let hostile = TreePath::from_bytes(b"a\nb\x1b[31m\xff".to_vec()).expect("bytes are names");
        assert_eq!(hostile.to_string(), "a\\nb\\u{1b}[31m\\xff");
    }
}
