//! A disk for tests: it works like the real one, remembers every verb, and
//! shows what a crash between any two of them may leave.

use crate::disk::Disk;
use crate::disk::durable::DiskFile;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// Up to this many un-synced sectors, every subset of them is tried. Above:
/// every prefix, and every set with exactly one missing or exactly one present.
const SECTORS_IN_ALL_SUBSETS: usize = 5;

/// Writes to a real directory (flat, one level), and can tell which files a crash may leave.
///
/// The live state is in the directory, so that whatever reads needs no seam.
/// What was there at the beginning counts as durable.
pub struct CrashDisk {
    directory: PathBuf,
    state: Mutex<State>,
}

struct State {
    verbs: Vec<Verb>,
    /// Verbs with this number and above fail.
    fails_from: usize,
    files: Vec<Vec<u8>>,
    names: BTreeMap<OsString, usize>,
    /// Files and names before the first verb.
    files_at_start: Vec<Vec<u8>>,
    names_at_start: BTreeMap<OsString, usize>,
}

#[derive(Clone)]
enum Verb {
    Create { name: OsString, file: usize },
    Append { file: usize, bytes: Vec<u8> },
    SyncFile { file: usize },
    Rename { from: OsString, to: OsString, file: usize },
    Remove { name: OsString },
    SyncDirectory,
}

/// One state of the directory that a crash may leave.
pub struct CrashImage {
    /// How many verbs had returned when it crashed.
    pub verbs_done: usize,
    /// The files, by name.
    pub files: BTreeMap<OsString, Vec<u8>>,
}

impl CrashImage {
    /// Puts the files into an existing directory, in place of all that is in it.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            std::fs::remove_file(entry?.path())?;
        }
        self.files.iter().try_for_each(|(name, bytes)| std::fs::write(directory.join(name), bytes))
    }
}

impl CrashDisk {
    /// Works on `directory`, which holds plain files only.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn over(directory: &Path) -> io::Result<CrashDisk> {
        let mut files = Vec::new();
        let mut names = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            names.insert(entry.file_name(), files.len());
            files.push(std::fs::read(entry.path())?);
        }
        let state = State {
            verbs: Vec::new(),
            fails_from: usize::MAX,
            files_at_start: files.clone(),
            names_at_start: names.clone(),
            files,
            names,
        };
        Ok(CrashDisk { directory: directory.to_path_buf(), state: Mutex::new(state) })
    }

    /// How many verbs were asked for so far: a mark for "this was promised by then".
    pub fn verbs(&self) -> usize {
        self.lock().verbs.len()
    }

    /// From the verb of this number on, everything fails as on a full disk;
    /// appends leave half of their bytes.
    pub fn fail_from(&self, verb: usize) {
        self.lock().fails_from = verb;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name_of(&self, path: &Path) -> io::Result<OsString> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if parent == self.directory => Ok(name.to_os_string()),
            _ => Err(io::Error::other(format!("{} is not in the directory of this test", path.display()))),
        }
    }

    /// Every state that a crash may have left, at every moment until now.
    pub fn crash_images(&self) -> Vec<CrashImage> {
        let state = self.lock();
        (0..=state.verbs.len()).flat_map(|verbs_done| images_after(&state, verbs_done)).collect()
    }
}

impl State {
    /// Notes the verb; says whether it must fail.
    fn note(&mut self, verb: Verb) -> io::Result<()> {
        if self.verbs.len() >= self.fails_from {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.verbs.push(verb);
        Ok(())
    }

    fn file(&self, name: &OsStr) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for CrashDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile + '_>> {
        let name = self.name_of(path)?;
        let mut state = self.lock();
        let file = state.files.len();
        if state.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.note(Verb::Create { name: name.clone(), file })?;
        let live = OpenOptions::new().write(true).create_new(true).open(path)?;
        state.names.insert(name, file);
        state.files.push(Vec::new());
        Ok(Box::new(CrashFile { disk: self, file, live }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_name, to_name) = (self.name_of(from)?, self.name_of(to)?);
        let mut state = self.lock();
        let file = state.file(&from_name)?;
        state.note(Verb::Rename { from: from_name.clone(), to: to_name.clone(), file })?;
        std::fs::rename(from, to)?;
        state.names.remove(&from_name);
        state.names.insert(to_name, file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let name = self.name_of(path)?;
        let mut state = self.lock();
        state.file(&name)?;
        state.note(Verb::Remove { name: name.clone() })?;
        std::fs::remove_file(path)?;
        state.names.remove(&name);
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if directory != self.directory {
            return Err(io::Error::other("another directory was synced"));
        }
        self.lock().note(Verb::SyncDirectory)
    }
}

struct CrashFile<'d> {
    disk: &'d CrashDisk,
    file: usize,
    live: File,
}

impl DiskFile for CrashFile<'_> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let fails = state.verbs.len() >= state.fails_from;
        let written = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        state.verbs.push(Verb::Append { file: self.file, bytes: written.to_vec() });
        state.files[self.file].extend_from_slice(written);
        self.live.write_all(written)?;
        if fails { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.lock().note(Verb::SyncFile { file: self.file })
    }
}

/// The bytes of one file: what is durable, and all.
#[derive(Clone, Default)]
struct Bytes {
    live: Vec<u8>,
    durable_length: usize,
}

/// A change of names that may or may not have reached the disk.
#[derive(Clone)]
enum NameChange {
    Set(OsString, usize),
    Move(OsString, OsString, usize),
    Unset(OsString),
}

fn images_after(state: &State, verbs_done: usize) -> Vec<CrashImage> {
    let durable = |live: &Vec<u8>| Bytes { live: live.clone(), durable_length: live.len() };
    let mut files: Vec<Bytes> = state.files_at_start.iter().map(durable).collect();
    let mut names = state.names_at_start.clone();
    let mut pending: Vec<NameChange> = Vec::new();
    for verb in &state.verbs[..verbs_done] {
        match verb.clone() {
            Verb::Create { name, file } => {
                files.resize(files.len().max(file + 1), Bytes::default());
                pending.push(NameChange::Set(name, file));
            }
            Verb::Append { file, bytes } => files[file].live.extend_from_slice(&bytes),
            Verb::SyncFile { file } => files[file].durable_length = files[file].live.len(),
            Verb::Rename { from, to, file } => pending.push(NameChange::Move(from, to, file)),
            Verb::Remove { name } => pending.push(NameChange::Unset(name)),
            Verb::SyncDirectory => pending.drain(..).for_each(|change| apply(&mut names, change)),
        }
    }
    let mut images = Vec::new();
    for subset in 0..1_u32 << pending.len() {
        let mut names = names.clone();
        let chosen = pending.iter().enumerate().filter(|(number, _)| subset & (1 << number) != 0);
        chosen.for_each(|(_, change)| apply(&mut names, change.clone()));
        images.extend(all_contents(&names, &files).into_iter().map(|files| CrashImage { verbs_done, files }));
    }
    images
}

fn apply(names: &mut BTreeMap<OsString, usize>, change: NameChange) {
    match change {
        NameChange::Set(name, file) => {
            names.insert(name, file);
        }
        NameChange::Move(from, to, file) => {
            // Only if the old name is still this file's: it may have been given out again.
            if names.get(&from) == Some(&file) {
                names.remove(&from);
            }
            names.insert(to, file);
        }
        NameChange::Unset(name) => {
            names.remove(&name);
        }
    }
}

fn all_contents(names: &BTreeMap<OsString, usize>, files: &[Bytes]) -> Vec<BTreeMap<OsString, Vec<u8>>> {
    let mut images = vec![BTreeMap::new()];
    for (name, &file) in names {
        let versions = versions_of(&files[file]);
        images = images
            .iter()
            .flat_map(|image| {
                versions.iter().map(|bytes| {
                    let mut image = image.clone();
                    image.insert(name.clone(), bytes.clone());
                    image
                })
            })
            .collect();
    }
    images
}

/// What a file may hold: each un-synced sector old (zeros, where there was
/// nothing) or new, and the length grown or not.
fn versions_of(bytes: &Bytes) -> Vec<Vec<u8>> {
    let Bytes { live, durable_length } = bytes;
    if live.len() == *durable_length {
        return vec![live.clone()];
    }
    let sectors: Vec<usize> = (durable_length / SECTOR..live.len().div_ceil(SECTOR)).collect();
    let mut versions = Vec::new();
    for present in subsets(sectors.len()) {
        let mut version = live[..*durable_length].to_vec();
        version.resize(live.len(), 0);
        let mut end = *durable_length;
        for (_, sector) in sectors.iter().enumerate().filter(|(number, _)| present[*number]) {
            let from = (sector * SECTOR).max(*durable_length);
            let to = ((sector + 1) * SECTOR).min(live.len());
            version[from..to].copy_from_slice(&live[from..to]);
            end = to;
        }
        versions.push(version[..end].to_vec());
        if end < live.len() {
            versions.push(version);
        }
    }
    versions
}

fn subsets(count: usize) -> Vec<Vec<bool>> {
    if count <= SECTORS_IN_ALL_SUBSETS {
        return (0..1_u32 << count).map(|bits| (0..count).map(|n| bits & (1 << n) != 0).collect()).collect();
    }
    let prefixes = (0..=count).map(|length| (0..count).map(|n| n < length).collect());
    let without_one = (0..count).map(|missing| (0..count).map(|n| n != missing).collect());
    let only_one = (0..count).map(|present| (0..count).map(|n| n == present).collect());
    prefixes.chain(without_one).chain(only_one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::disk::replace_atomically;
    use std::collections::BTreeSet;

    fn contents(images: &[CrashImage], verbs_done: usize, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        let at = images.iter().filter(|image| image.verbs_done == verbs_done);
        at.map(|image| image.files.get(OsStr::new(name)).cloned()).collect()
    }

    #[test]
    fn what_was_not_synced_may_be_lost_in_any_part() {
        let directory = tempfile::tempdir().unwrap();
        let disk = CrashDisk::over(directory.path()).unwrap();
        let mut file = disk.create_new(&directory.path().join("f")).unwrap();
        file.append(b"ab").unwrap();
        let images = disk.crash_images();
        let expected = [None, Some(vec![]), Some(vec![0, 0]), Some(b"ab".to_vec())];
        assert_eq!(contents(&images, 2, "f"), BTreeSet::from(expected));
        file.sync().unwrap();
        disk.sync_directory(directory.path()).unwrap();
        assert_eq!(contents(&disk.crash_images(), 4, "f"), BTreeSet::from([Some(b"ab".to_vec())]));
    }

    #[test]
    fn a_rename_without_a_sync_of_the_file_can_leave_rubbish_and_the_model_shows_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), b"old").unwrap();
        let disk = CrashDisk::over(directory.path()).unwrap();
        disk.create_new(&directory.path().join("t")).unwrap().append(b"new").unwrap();
        disk.rename(&directory.path().join("t"), &directory.path().join("f")).unwrap();
        assert!(contents(&disk.crash_images(), 3, "f").contains(&Some(vec![])));
    }

    #[test]
    fn an_atomic_replacement_is_old_or_new_in_every_crash_and_new_once_it_returned() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, b"old").unwrap();
        let disk = CrashDisk::over(directory.path()).unwrap();
        let new = vec![b'n'; 1300];
        replace_atomically(&disk, &path, &new).unwrap();
        let images = disk.crash_images();
        let allowed = BTreeSet::from([Some(b"old".to_vec()), Some(new.clone())]);
        for verbs_done in 0..=disk.verbs() {
            assert!(contents(&images, verbs_done, "f").is_subset(&allowed));
        }
        assert_eq!(contents(&images, disk.verbs(), "f"), BTreeSet::from([Some(new)]));
    }

    #[test]
    fn an_atomic_replacement_that_fails_at_any_verb_leaves_old_or_new() {
        for verb in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("f");
            std::fs::write(&path, b"old").unwrap();
            let disk = CrashDisk::over(directory.path()).unwrap();
            disk.fail_from(verb);
            replace_atomically(&disk, &path, b"new").unwrap_err();
            let expected: &[u8] = if verb == 4 { b"new" } else { b"old" };
            assert_eq!(std::fs::read(&path).unwrap(), expected, "failed from verb {verb}");
        }
    }
}
