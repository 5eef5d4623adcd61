//! The first half of a file, under a name that rclone made up.
//!
//! On local, SFTP, FTP and SMB it writes `name.1a2b3c4d.partial` and renames that in the end; killed in
//! between, it leaves it. Sent again unchanged the file takes the same one; changed, renamed or
//! deleted it takes another or none, and the first would lie there for ever.

use crate::model::{Failure, TreePath};
use crate::transfer::folders::Shown;
use crate::transfer::{Place, Transfer};
use std::collections::BTreeMap;

/// `.1a2b3c4d.partial`
pub(super) const ENDING_BYTES: usize = 17;
/// Names longer than this are cut by the length of the ending, or a little more.
const CUT_ABOVE_BYTES: usize = 100;

impl Transfer<'_> {
    /// What lies on the mirror as the first half of one of `paths`, by one listing for each folder. Names that
    /// are both cut and written in another way than ours are not found; nor is what the remote refuses to list.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn partials_of(&self, paths: &[TreePath]) -> Result<Vec<TreePath>, Failure> {
        let mut by_folder: BTreeMap<TreePath, Vec<&TreePath>> = BTreeMap::new();
        for path in paths {
            if let Some(folder) = path.parent() {
                by_folder.entry(folder).or_default().push(path);
            }
        }
        let mut found = Vec::new();
        for (folder, members) in by_folder {
            let Ok(shown) = self.past_refusal(|transfer| transfer.names_in(Place::Mirror, &folder))? else {
                continue;
            };
            let spellings = self.spellings(&members);
            let files = shown.iter().filter(|(_, shown)| **shown == Shown::File);
            found.extend(files.filter_map(|(listed, _)| partial_of(listed, &folder, &spellings)));
        }
        Ok(found)
    }

    /// How a listing may write the names, and the names.
    fn spellings<'p>(&self, members: &[&'p TreePath]) -> BTreeMap<String, &'p [u8]> {
        let mut spellings = BTreeMap::new();
        for path in members {
            let (Some(name), Ok(line)) = (path.name(), self.encoded(path)) else { continue };
            let written = line.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            for spelling in [written, name] {
                spellings.insert(String::from_utf8_lossy(spelling).into_owned(), name);
            }
        }
        spellings
    }
}

fn partial_of(listed: &str, folder: &TreePath, spellings: &BTreeMap<String, &[u8]>) -> Option<TreePath> {
    let stem = stem_of(listed)?;
    if let Some(name) = spellings.get(stem) {
        let ending = &listed.as_bytes()[stem.len()..];
        return Some(folder.join(&[*name, ending].concat()));
    }
    let (whole, name) = spellings.range(stem.to_owned()..).next()?;
    let is_cut = whole.starts_with(stem) && whole.len() > CUT_ABOVE_BYTES && whole.as_bytes() == *name;
    // Up to three bytes more, so that no character is cut in two.
    let is_as_much = whole.len() - stem.len().min(whole.len()) <= ENDING_BYTES + 3;
    (is_cut && is_as_much).then(|| folder.join(listed.as_bytes()))
}

/// `name` of `name.1a2b3c4d.partial`.
pub(super) fn stem_of(listed: &str) -> Option<&str> {
    let (stem, hash) = listed.strip_suffix(".partial")?.rsplit_once('.')?;
    (hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(stem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rclone_makes_of_our_names_is_ours() {
        let folder = TreePath::from_bytes("d").unwrap();
        let long = "图".repeat(50);
        let spellings = BTreeMap::from([
            ("big".to_owned(), &b"big"[..]),
            ("a\u{fffd}b".to_owned(), &b"a\xb5b"[..]),
            (long.clone(), long.as_bytes()),
        ]);
        let found =
            |listed: &str| partial_of(listed, &folder, &spellings).map(|path| path.as_bytes().to_vec());
        assert_eq!(found("big.1a2b3c4d.partial"), Some(b"d/big.1a2b3c4d.partial".to_vec()));
        assert_eq!(found("a\u{fffd}b.1a2b3c4d.partial"), Some(b"d/a\xb5b.1a2b3c4d.partial".to_vec()));
        let cut = format!("{}.00000000.partial", "图".repeat(44));
        assert_eq!(found(&cut), Some(format!("d/{cut}").into_bytes()));
        for other in
            ["big", "big.partial", "big.1a2b3c4.partial", "bigger.1a2b3c4d.partial", "bi.1a2b3c4d.partial"]
        {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
