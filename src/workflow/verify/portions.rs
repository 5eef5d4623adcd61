//! A large mirror in portions: each is listed by an rclone of its own, so that a
//! check goes on where it stopped, and fits into a budget.
//!
//! Every listing begins at the top of the mirror and is led down by filters. So a
//! folder is only ever asked for after the folder above it has shown it, as in one
//! listing of everything: OpenList's "not found" stays what it is, an error.

use crate::index::Tree;
use crate::model::{Directory, DirectoryPointer, ReadNodeError, TreePath, TreeView};
use serde::{Deserialize, Serialize};

/// A mirror with fewer folders is listed as one; a portion has about so many.
pub(super) const FOLDERS_MAX: u64 = 1_000;
/// Where a budget is small, portions are smaller, but each is a process of its own.
pub(super) const FOLDERS_MIN: u64 = 100;
/// Levels that are cut: each costs every listing below it a request.
const DEPTH_MAX: usize = 8;
/// With more names in a folder than this, its listing is what costs.
const NAMES_MAX: usize = 1_000;
/// So often is such a folder listed at most.
const LISTINGS_OF_WIDE_MAX: u64 = 8;

/// What one rclone lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Portion {
    /// Its components are plain names; empty: the top.
    folder: String,
    /// Folders in it, sorted.
    names: Vec<String>,
    /// Everything in the folder but what lies in `names`; else only what lies in them.
    is_rest: bool,
    /// Requests, about.
    pub(super) requests: u64,
}

impl Portion {
    /// Everything.
    pub(super) fn whole(folders: u64) -> Self {
        Portion { folder: String::new(), names: Vec::new(), is_rest: true, requests: folders }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.folder.is_empty() && self.names.is_empty() && self.is_rest
    }

    pub(super) fn folder(&self) -> TreePath {
        TreePath::from_bytes(self.folder.as_bytes()).unwrap_or_default()
    }

    /// `path` and all below it belong to it.
    pub(super) fn holds(&self, path: &TreePath) -> bool {
        match self.below(path) {
            Below::Elsewhere | Below::OnTheWay => false,
            Below::In(name, _) => self.is_rest != self.has(name),
        }
    }

    /// The file `path` belongs to it.
    pub(super) fn covers(&self, path: &TreePath) -> bool {
        match self.below(path) {
            Below::Elsewhere | Below::OnTheWay => false,
            // A file where a folder was belongs to the folder it is in.
            Below::In(_, true) => self.is_rest,
            Below::In(name, false) => self.is_rest != self.has(name),
        }
    }

    /// Something of it may lie in the folder `path`.
    pub(super) fn reaches_into(&self, path: &TreePath) -> bool {
        match self.below(path) {
            Below::Elsewhere => false,
            Below::OnTheWay => true,
            Below::In(name, _) => self.is_rest != self.has(name),
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.names.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
    }

    fn below<'p>(&self, path: &'p TreePath) -> Below<'p> {
        let mut components = path.components();
        for wanted in self.folder.split('/').filter(|component| !component.is_empty()) {
            match components.next() {
                None => return Below::OnTheWay,
                Some(component) if component == wanted.as_bytes() => {}
                Some(_) => return Below::Elsewhere,
            }
        }
        match components.next() {
            None => Below::OnTheWay,
            Some(name) => Below::In(name, components.next().is_none()),
        }
    }

    /// For rclone, in its own syntax, one rule a line. None for everything.
    pub(super) fn filter_rules(&self) -> String {
        if self.is_whole() {
            return String::new();
        }
        let prefix = if self.folder.is_empty() { String::new() } else { format!("/{}", self.folder) };
        let sign = if self.is_rest { '-' } else { '+' };
        let mut rules: String =
            self.names.iter().map(|name| format!("{sign} {prefix}/{name}/**\n")).collect();
        if self.is_rest {
            rules.push_str(&format!("+ {prefix}/**\n"));
        }
        rules + "- **\n"
    }
}

enum Below<'p> {
    Elsewhere,
    /// The folder of the portion, or one that leads to it.
    OnTheWay,
    /// The name in the folder, and whether the path ends with it.
    In(&'p [u8], bool),
}

/// Cuts the mirror that `tree` describes into portions of about `folders_max` folders.
///
/// # Errors
/// When the index cannot be read at its top.
pub(super) fn cut(tree: &Tree<'_>, folders_max: u64) -> Result<Vec<Portion>, ReadNodeError> {
    let Some(root) = tree.root_with_totals() else { return Ok(vec![Portion::whole(1)]) };
    if root.totals.directories < folders_max {
        return Ok(vec![Portion::whole(root.totals.directories + 1)]);
    }
    let mut portions = Vec::new();
    let mut open = vec![(String::new(), root.pointer, root.totals.directories)];
    while let Some((folder, pointer, folders)) = open.pop() {
        let cut = cut_folder(tree, &folder, &pointer, folders, folders_max)?;
        portions.extend(cut.portions);
        open.extend(cut.larger);
    }
    Ok(portions)
}

/// One folder, cut.
struct Cut {
    portions: Vec<Portion>,
    /// Folders in it that are to be cut themselves: where, and folders below each.
    larger: Vec<(String, DirectoryPointer, u64)>,
}

fn cut_folder(
    tree: &Tree<'_>,
    folder: &str,
    pointer: &DirectoryPointer,
    folders: u64,
    folders_max: u64,
) -> Result<Cut, ReadNodeError> {
    let depth = folder.split('/').filter(|component| !component.is_empty()).count();
    let (mut listed, mut below) = (Directory::default(), Directory::default());
    tree.read_directory(pointer, &mut listed)?;
    let group_max =
        if listed.len() > NAMES_MAX { folders_max.max(folders / LISTINGS_OF_WIDE_MAX) } else { folders_max };
    let mut cut = Cut { portions: Vec::new(), larger: Vec::new() };
    let (mut named, mut folders_named) = (Vec::new(), 0);
    let mut group = Group::default();
    let on_the_way = depth as u64 + 1;
    for entry in listed.iter() {
        let Some(child) = entry.child() else { continue };
        let Some(name) = plain(entry.name) else { continue };
        // What cannot be read is left to the rest, and named when it is walked.
        let Ok(totals) = tree.read_directory(&child, &mut below) else { continue };
        let size = totals.directories.saturating_add(1);
        named.push(name.to_owned());
        folders_named += size;
        if size > folders_max && depth < DEPTH_MAX {
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            cut.larger.push((path, child, totals.directories));
            continue;
        }
        if group.folders + size > group_max {
            cut.portions.extend(std::mem::take(&mut group).portion(folder, on_the_way));
        }
        group.names.push(name.to_owned());
        group.folders += size;
    }
    cut.portions.extend(group.portion(folder, on_the_way));
    let requests = folders.saturating_sub(folders_named) + on_the_way;
    // Last, so that what comes to a folder while a check is under way is seen where it may be.
    cut.portions.push(Portion { folder: folder.to_owned(), names: named, is_rest: true, requests });
    Ok(cut)
}

#[derive(Default)]
struct Group {
    names: Vec<String>,
    folders: u64,
}

impl Group {
    fn portion(self, folder: &str, on_the_way: u64) -> Option<Portion> {
        let Group { names, folders } = self;
        let requests = folders + on_the_way;
        (!names.is_empty()).then(|| Portion { folder: folder.to_owned(), names, is_rest: false, requests })
    }
}

/// A name that is the same for every remote and needs no quoting in a rule.
fn plain(name: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(name).ok()?;
    let is_plain = |character: char| character.is_alphanumeric() || " _-.,+=@#&()!~'%".contains(character);
    let is_open = |character: char| character == ' ' || character == '.';
    (text.chars().all(is_plain) && !text.starts_with(is_open) && !text.ends_with(is_open)).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_bytes(text).unwrap()
    }

    fn portion(folder: &str, names: &[&str], is_rest: bool) -> Portion {
        let names = names.iter().map(ToString::to_string).collect();
        Portion { folder: folder.into(), names, is_rest, requests: 1 }
    }

    #[test]
    fn every_path_belongs_to_exactly_one_portion() {
        let portions = [
            portion("", &["b", "照片"], false),
            portion("", &["a", "b", "照片"], true),
            portion("a", &["x"], false),
            portion("a", &["x", "y"], true),
            portion("a/y", &[], true),
        ];
        for file in [
            "f",
            "b",
            "b/f",
            "照片/f/g",
            "a/f",
            "a/x",
            "a/x/f",
            "a/y/f",
            "a/y/z/f",
            "new/f",
            "a/new/f",
            "odd\n/f",
        ] {
            let covering = portions.iter().filter(|portion| portion.covers(&path(file))).count();
            assert_eq!(covering, 1, "{file}");
            let covering = portions.iter().find(|portion| portion.covers(&path(file))).unwrap();
            let parent = path(file).parent().unwrap();
            assert!(parent.is_root() || covering.reaches_into(&parent), "{file}");
        }
        assert!(!portions[3].holds(&path("a")) && !portions[2].reaches_into(&path("b")));
    }

    #[test]
    fn rules_lead_down_to_the_portion() {
        assert_eq!(Portion::whole(7).filter_rules(), "");
        assert_eq!(portion("", &["a b", "c"], false).filter_rules(), "+ /a b/**\n+ /c/**\n- **\n");
        assert_eq!(portion("a", &["x"], true).filter_rules(), "- /a/x/**\n+ /a/**\n- **\n");
        for odd in ["a[b", "*", "a\\", "a\n", ".hidden", "a ", "‛", "␊", "{a}"] {
            assert_eq!(plain(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(plain("照片 2019 (1)".as_bytes()), Some("照片 2019 (1)"));
    }
}
