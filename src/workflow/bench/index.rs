//! An index of made-up entries: how large it is, what changes cost, how fast
//! differences are found. Needs no tree on a disk.

use super::{BenchError, BenchReport, BenchRow, measure};
use crate::diff::{Equality, diff};
use crate::index::{DataId, Docket, Edit, MapMode, NodeFile, Root, Tree, rewrite};
use crate::model::{
    ContentDigest, DirectoryAttributes, DirectoryFlags, EntryFlags, EntryKind, OwnedEntry, Permissions,
    Stamp, Timestamp, TreePath,
};
use crate::observe::{Counter, Recorder, Silent};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;

/// What to make.
#[derive(Debug, Clone)]
pub struct BenchIndexOptions {
    /// Files in it, about.
    pub entries: u64,
    /// Files in each directory.
    pub files_a_directory: u64,
    /// Where the index may lie for the while; it takes about 70 bytes an entry.
    pub temporary_directory: PathBuf,
}

/// Random changes of which the difference is looked for.
const CHANGES: u64 = 10_000;

/// Makes an index of made-up entries, changes it, and looks for differences.
///
/// # Errors
/// When there is no room for it.
pub fn bench_index(options: &BenchIndexOptions) -> Result<BenchReport, BenchError> {
    let wrong = |reason: &dyn std::fmt::Display| BenchError::new("an index of made-up entries", reason);
    let directory = tempfile::tempdir_in(&options.temporary_directory).map_err(|error| wrong(&error))?;
    let shape = Shape::new(options);
    let data_id = DataId([1; 16]);
    let path = directory.path().join("nodes");
    let file = NodeFile::create(&path, data_id).map_err(|error| wrong(&error))?;
    let apply = |base: Option<Root>, edits: &mut dyn Iterator<Item = Edit>| {
        let writer = file.writer(&Silent);
        let base = Tree::new(&file, base, &Silent);
        let root = rewrite(&base, edits.map(Ok::<_, Infallible>), &writer).map_err(|error| wrong(&error))?;
        let length = writer.sync().map_err(|error| wrong(&error))?;
        Ok::<_, BenchError>((root, length))
    };

    let (build, built) = measure(|| apply(None, &mut shape.all()));
    let (first, length_first) = built?;
    let thousandth = (shape.files() / 1000).max(1);
    let (change, changed) = measure(|| apply(first, &mut shape.changed(thousandth, 2)));
    let (_, length_second) = changed?;
    let (third, length_third) = apply(first, &mut shape.changed(CHANGES.min(shape.files()), 3))?;
    drop(file);

    let docket = Docket { data_id, committed_length: length_third, base: first, ..Docket::default() };
    let recorder = Recorder::default();
    let (equal, found) = measure(|| {
        let file = NodeFile::open(&path, &docket, MapMode::Map).map_err(|error| wrong(&error))?;
        let tree = Tree::new(&file, first, &recorder);
        Ok::<_, BenchError>(diff(&tree, &tree, Equality::Stamp).count())
    });
    debug_assert_eq!(found?, 0);
    let file = NodeFile::open(&path, &docket, MapMode::Map).map_err(|error| wrong(&error))?;
    let (old, new) = (Tree::new(&file, first, &Silent), Tree::new(&file, third, &Silent));
    let (differ, found) = measure(|| diff(&old, &new, Equality::Stamp).count());

    let total = shape.files() + shape.directories;
    let row = |name, cost: super::Cost, files| BenchRow {
        name,
        wall_seconds: cost.wall_seconds,
        cpu_seconds: cost.cpu_seconds,
        files,
    };
    Ok(BenchReport {
        subject: format!("{} files in each of {} directories", options.files_a_directory, shape.directories),
        files: shape.files(),
        directories: shape.directories,
        bytes: 0,
        threads: 1,
        rounds: 1,
        rows: vec![
            row("made from nothing, and synced", build, shape.files()),
            row("0.1 % random changes, and synced", change, thousandth),
            row("opened, and found equal", equal, 0),
            row("differences found", differ, found as u64),
        ],
        figures: vec![
            ("size_bytes", length_first as f64),
            ("bytes_per_entry", length_first as f64 / total as f64),
            ("appended_by_changes_bytes", (length_second - length_first) as f64),
            ("nodes_read_when_equal", recorder.counted(Counter::NodesRead) as f64),
        ],
    })
}

/// Every directory holds files, and up to eight directories: the numbers of a heap.
struct Shape {
    directories: u64,
    files_a_directory: u64,
}

const FAN_OUT: u64 = 8;

/// A directory whose names are being told.
struct Open {
    number: u64,
    path: TreePath,
    /// Names in order, last first: files by their place, directories by their number.
    rest: Vec<(String, Below)>,
}

enum Below {
    File(u64),
    Directory(u64),
}

impl Shape {
    fn new(options: &BenchIndexOptions) -> Shape {
        let files_a_directory = options.files_a_directory.clamp(1, 1_000_000);
        Shape { directories: options.entries.max(1).div_ceil(files_a_directory), files_a_directory }
    }

    fn files(&self) -> u64 {
        self.directories * self.files_a_directory
    }

    /// Every directory and every file, in path order.
    fn all(&self) -> impl Iterator<Item = Edit> {
        let mut open: Vec<Open> = Vec::new();
        let root = Edit::Directory { path: TreePath::root(), attributes: attributes(0) };
        open.push(self.open(0, TreePath::root()));
        let below = std::iter::from_fn(move || {
            loop {
                let directory = open.last_mut()?;
                match directory.rest.pop() {
                    None => drop(open.pop()),
                    Some((name, Below::File(at))) => {
                        return Some(put(&directory.path, &name, directory.number, at, 1));
                    }
                    Some((name, Below::Directory(number))) => {
                        let mut path = directory.path.clone();
                        path.push(name.as_bytes());
                        open.push(self.open(number, path.clone()));
                        return Some(Edit::Directory { path, attributes: attributes(number) });
                    }
                }
            }
        });
        std::iter::once(root).chain(below)
    }

    fn open(&self, number: u64, path: TreePath) -> Open {
        let files = self.names(number).into_iter().enumerate();
        let mut rest: Vec<_> = files.map(|(at, name)| (name, Below::File(at as u64))).collect();
        let below =
            (number * FAN_OUT + 1..=number * FAN_OUT + FAN_OUT).filter(|&below| below < self.directories);
        rest.extend(below.map(|below| (folder_name(below), Below::Directory(below))));
        rest.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Open { number, path, rest }
    }

    /// Other content for `count` files that `seed` decides on, in path order.
    fn changed(&self, count: u64, seed: u64) -> impl Iterator<Item = Edit> {
        let mut chosen = BTreeSet::new();
        let mut number = 0;
        while (chosen.len() as u64) < count {
            chosen.insert(mixed(seed << 40 | number) % self.files());
            number += 1;
        }
        let chosen: Vec<u64> = chosen.into_iter().collect();
        let directory_of = |file: &u64| file / self.files_a_directory;
        let mut edits: Vec<Edit> = chosen
            .chunk_by(|file, next| directory_of(file) == directory_of(next))
            .flat_map(|files| {
                let directory = directory_of(&files[0]);
                let (folder, names) = (path_of(directory), self.names(directory));
                let places = files.iter().map(|file| file % self.files_a_directory);
                places.map(|at| put(&folder, &names[at as usize], directory, at, seed)).collect::<Vec<_>>()
            })
            .collect();
        edits.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        edits.into_iter()
    }

    /// As people name files: a word, something of its own, an ending.
    fn names(&self, directory: u64) -> Vec<String> {
        const WORDS: [&str; 8] =
            ["IMG_", "report ", "scan-", "DSC0", "track ", "invoice_", "index", "notes-"];
        const ENDINGS: [&str; 4] = [".jpg", ".pdf", ".txt", ".flac"];
        let mut names: Vec<String> = (0..self.files_a_directory)
            .map(|at| {
                let random = mixed(directory << 20 | at);
                let word = WORDS[(random & 7) as usize];
                format!("{word}{:06}{}", random >> 8 & 0xf_ffff, ENDINGS[(random >> 3 & 3) as usize])
            })
            .collect();
        names.sort_unstable();
        // Two of a name: the later one gets another.
        for at in 1..names.len() {
            if names[at] <= names[at - 1] {
                names[at] = format!("{}~", names[at - 1]);
            }
        }
        names
    }
}

fn folder_name(number: u64) -> String {
    format!("folder-{number:06}")
}

fn path_of(mut directory: u64) -> TreePath {
    let mut names = Vec::new();
    while directory > 0 {
        names.push(folder_name(directory));
        directory = (directory - 1) / FAN_OUT;
    }
    let mut path = TreePath::root();
    names.iter().rev().for_each(|name| path.push(name.as_bytes()));
    path
}

fn put(folder: &TreePath, name: &str, directory: u64, at: u64, seed: u64) -> Edit {
    let mut path = folder.clone();
    path.push(name.as_bytes());
    let random = mixed(directory << 24 | at << 4 | seed);
    let mtime = time(directory, random);
    // Copied or moved once since it was written, every fourth.
    let ctime = if random & 3 == 0 { time(directory + 99, random >> 7) } else { mtime };
    let mut digest = [0; 32];
    for (part, bytes) in digest.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&mixed(random ^ part as u64).to_le_bytes());
    }
    let entry = OwnedEntry {
        kind: EntryKind::File,
        flags: EntryFlags::NONE,
        stamp: Stamp { size: random >> 42, mtime, ctime, inode: directory * 16 + at + 1000 },
        permissions: PERMISSIONS,
        digest: Some(ContentDigest(digest)),
        target: None,
        child: None,
    };
    Edit::Put { path, entry }
}

const PERMISSIONS: Permissions = Permissions { mode: 0o644, uid: 1000, gid: 1000 };

fn attributes(number: u64) -> DirectoryAttributes {
    let mtime = time(number, mixed(number));
    let permissions = Permissions { mode: 0o755, ..PERMISSIONS };
    let flags = DirectoryFlags::SETTLED;
    DirectoryAttributes { mtime, ctime: mtime, inode: number * 16 + 999, permissions, flags }
}

/// Within some hours of what else lies in the folder, to the nanosecond.
fn time(folder: u64, random: u64) -> Timestamp {
    let seconds = 1_500_000_000 + (folder as i64 * 977) % 200_000_000 + (random >> 33) as i64 % 20_000;
    Timestamp { seconds, nanoseconds: (random % 1_000_000_000) as u32 }
}

/// SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
