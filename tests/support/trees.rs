//! Real trees with odd names, the same every time, and edits to them.

use super::Dice;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Names that have broken backup tools: bytes, not text.
pub fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        // Line ends and control characters.
        "line\nfeed",
        "carriage\rreturn",
        "cr at end\r",
        "crlf\r\nname",
        "tab\tname",
        "bell\u{7}",
        "escape\u{1b}[31m",
        "delete\u{7f}",
        "\u{1}",
        // Spaces.
        " leading space",
        "trailing space ",
        " ",
        "   ",
        "two  spaces",
        // What shells, globs and comments mean something by.
        "back\\slash",
        "# comment",
        "; comment",
        "star*",
        "question?",
        "[brackets]",
        "{braces}",
        "dollar$HOME",
        "back`tick`",
        "bang!",
        "-dash",
        "--no-traverse",
        "tilde~",
        "quote\"double",
        "quote'single",
        "<angle>",
        "pipe|",
        // What URLs and remotes mean something by.
        "colon:name",
        "percent%41",
        "%2F",
        "plus+name",
        "amper&sand",
        "equals=",
        "at@sign",
        // Dots.
        "trailing dot.",
        "...",
        ".hidden",
        // Unicode: both normal forms, look-alikes of rclone's own encoding, invisible and wide ones.
        "nfc_\u{e9}",
        "nfd_e\u{301}",
        "emoji \u{1f6a2}",
        "fullwidth slash \u{ff0f}",
        "symbol for line feed \u{240a}",
        "quote mark \u{201b}",
        "symbol for null \u{2400}",
        "\u{feff}byte order mark",
        "bidi \u{202e}txt.exe",
        "line separator \u{2028}",
        "\u{ff0e}",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(vec![b'x'; 255]);
    names.push(b"bad\xff\xfename".to_vec());
    names.push(b"lone\xe9".to_vec());
    names
}

/// The odd names that the oldest rclone cannot address at all.
pub fn beyond_the_oldest_rclone(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    text.contains('\u{201b}') || text == "\u{ff0e}" || text == "\u{ff0e}\u{ff0e}"
}

/// What to plant.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Regular files with ordinary names.
    pub files: usize,
    /// Also one file and one folder of each odd name.
    pub odd_names: bool,
    /// Also symlinks, hard links, a FIFO, empty files and folders.
    pub odd_kinds: bool,
    /// Another seed is another tree.
    pub seed: u64,
}

impl Plan {
    /// A tree of some files with everything odd in it.
    pub fn odd(files: usize, seed: u64) -> Plan {
        Plan { files, odd_names: true, odd_kinds: true, seed }
    }

    /// Ordinary files only.
    pub fn plain(files: usize, seed: u64) -> Plan {
        Plan { files, odd_names: false, odd_kinds: false, seed }
    }

    /// Makes the tree in `root`.
    pub fn plant(self, root: &Path) {
        let mut dice = Dice(self.seed);
        fs::create_dir_all(root).unwrap();
        // About fourteen files a folder, up to five deep, as in people's trees.
        let mut folders = vec![root.to_path_buf()];
        for number in 0..self.files / 14 {
            let parent = folders[dice.below(folders.len())].clone();
            let deep = parent.strip_prefix(root).unwrap().components().count();
            let parent = if deep < 5 { parent } else { root.to_path_buf() };
            let folder = parent.join(format!("folder {number}"));
            fs::create_dir(&folder).unwrap();
            folders.push(folder);
        }
        for number in 0..self.files {
            let folder = dice.pick(&folders).clone();
            fs::write(folder.join(format!("file {number}.dat")), content(&mut dice, 3_000)).unwrap();
        }
        if self.odd_names {
            plant_odd_names(root, &mut dice);
        }
        if self.odd_kinds {
            plant_odd_kinds(root);
        }
    }
}

fn plant_odd_names(root: &Path, dice: &mut Dice) {
    let files = root.join("odd files");
    let folders = root.join("odd folders");
    fs::create_dir(&files).unwrap();
    fs::create_dir(&folders).unwrap();
    for name in odd_names() {
        let name = OsStr::from_bytes(&name);
        fs::write(files.join(name), content(dice, 200)).unwrap();
        fs::create_dir(folders.join(name)).unwrap();
        fs::write(folders.join(name).join("inside"), content(dice, 200)).unwrap();
    }
}

fn plant_odd_kinds(root: &Path) {
    let odd = root.join("odd kinds");
    fs::create_dir_all(odd.join("empty folder/in an empty folder")).unwrap();
    fs::write(odd.join("empty file"), "").unwrap();
    fs::write(odd.join("first name"), "two names").unwrap();
    fs::hard_link(odd.join("first name"), odd.join("second name")).unwrap();
    symlink("first name", odd.join("link")).unwrap();
    symlink("nowhere", odd.join("dangling link")).unwrap();
    symlink(".", odd.join("link to its own folder")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, odd.join("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::os::unix::net::UnixListener::bind(odd.join("socket")).map(drop).unwrap_or_default();
    fs::create_dir(odd.join(".git")).unwrap();
    fs::write(odd.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(odd.join(".gitignore"), "*\n").unwrap();
}

/// Some bytes, at most `bytes_max`.
pub fn content(dice: &mut Dice, bytes_max: usize) -> Vec<u8> {
    let length = dice.below(bytes_max + 1);
    (0..length).map(|_| dice.roll() as u8).collect()
}

/// Every regular file below `root`, relative, sorted.
pub fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path().strip_prefix(root).unwrap().to_path_buf());
            }
        }
    }
    files.sort();
    files
}

/// What [`edit`] did, as paths relative to the root.
#[derive(Debug, Default)]
pub struct Edited {
    /// Made.
    pub created: Vec<PathBuf>,
    /// Written with other bytes, half of them of the same number.
    pub changed: Vec<PathBuf>,
    /// Same bytes, new mtime.
    pub touched: Vec<PathBuf>,
    /// Gone: deleted, renamed away, or in the way of a folder.
    pub removed: Vec<PathBuf>,
}

/// Edits `count` files of each kind: new, changed, touched, deleted, renamed,
/// and one file in four that becomes a folder or the reverse.
pub fn edit(root: &Path, count: usize, seed: u64) -> Edited {
    let mut dice = Dice(seed);
    let mut edited = Edited::default();
    let mut files = files_below(root);
    let mut take = |dice: &mut Dice| {
        let index = dice.below(files.len());
        files.swap_remove(index)
    };
    for number in 0..count {
        let changed = take(&mut dice);
        change(&root.join(&changed), number % 2 == 0, &mut dice);
        edited.changed.push(changed);

        let touched = take(&mut dice);
        let times = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
        fs::File::options().append(true).open(root.join(&touched)).unwrap().set_times(times).unwrap();
        edited.touched.push(touched);

        let deleted = take(&mut dice);
        fs::remove_file(root.join(&deleted)).unwrap();
        edited.removed.push(deleted);

        let renamed = take(&mut dice);
        let new_name = renamed.with_file_name(format!("renamed {seed} {number}"));
        fs::rename(root.join(&renamed), root.join(&new_name)).unwrap();
        edited.removed.push(renamed);
        edited.created.push(new_name);

        let new = PathBuf::from(format!("new {seed}/deep {}/file {number}", number % 3));
        fs::create_dir_all(root.join(&new).parent().unwrap()).unwrap();
        fs::write(root.join(&new), content(&mut dice, 2_000)).unwrap();
        edited.created.push(new);

        if number % 4 == 0 {
            let file = take(&mut dice);
            fs::remove_file(root.join(&file)).unwrap();
            fs::create_dir(root.join(&file)).unwrap();
            fs::write(root.join(&file).join("was a file"), content(&mut dice, 500)).unwrap();
            edited.created.push(file.join("was a file"));
            edited.removed.push(file);
        }
    }
    if let Some(becomes_file) = smallest_folder(root) {
        edited
            .removed
            .extend(files_below(&root.join(&becomes_file)).iter().map(|file| becomes_file.join(file)));
        fs::remove_dir_all(root.join(&becomes_file)).unwrap();
        fs::write(root.join(&becomes_file), content(&mut dice, 500)).unwrap();
        edited.created.push(becomes_file);
    }
    // What was made or changed in that folder went with it.
    edited.created.retain(|path| root.join(path).is_file());
    edited.changed.retain(|path| root.join(path).is_file());
    edited
}

/// Other bytes in the same file, of the same number or not.
fn change(path: &Path, same_size: bool, dice: &mut Dice) {
    let mut bytes = fs::read(path).unwrap();
    if same_size && !bytes.is_empty() {
        let index = dice.below(bytes.len());
        bytes[index] ^= 0x55;
    } else {
        bytes.extend_from_slice(b"one more line\n");
    }
    fs::write(path, bytes).unwrap();
}

/// An ordinary folder without folders in it, as a victim.
fn smallest_folder(root: &Path) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .filter(|entry| entry.file_name().as_bytes().starts_with(b"folder"))
        .filter(|entry| {
            fs::read_dir(entry.path()).unwrap().all(|inner| !inner.unwrap().file_type().unwrap().is_dir())
        })
        .map(|entry| PathBuf::from(entry.file_name()))
        .collect();
    folders.sort();
    folders.into_iter().next()
}

/// Waits until nothing that was written can change without a trace: the program trusts no time stamp
/// that is younger than the margin of the file system, 20 ms where tests run.
pub fn let_times_settle() {
    std::thread::sleep(std::time::Duration::from_millis(60));
}

/// Another content under the same time stamp, as of a disk that rots.
pub fn rot_into(file: &Path, content: impl AsRef<[u8]>) {
    let mtime = fs::metadata(file).unwrap().modified().unwrap();
    fs::write(file, content).unwrap();
    fs::File::options().append(true).open(file).unwrap().set_modified(mtime).unwrap();
    let_times_settle();
}

/// A path from bytes.
pub fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::scratch;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_plants_and_edits_the_same_tree() {
        let (one, other) = (scratch(), scratch());
        for root in [one.path(), other.path()] {
            Plan::odd(300, 7).plant(root);
            let edited = edit(root, 8, 9);
            assert!(edited.changed.len() <= 8 && edited.created.len() >= 16, "{edited:?}");
        }
        assert_eq!(files_below(one.path()), files_below(other.path()));
        for file in files_below(one.path()) {
            assert_eq!(
                fs::read(one.path().join(&file)).unwrap(),
                fs::read(other.path().join(&file)).unwrap()
            );
        }
    }

    #[test]
    fn the_odd_names_differ_and_can_be_names() {
        let names = odd_names();
        assert!(names.len() >= 54);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in &names {
            assert!(!name.is_empty() && name.len() <= 255 && !name.contains(&0) && !name.contains(&b'/'));
        }
    }
}
