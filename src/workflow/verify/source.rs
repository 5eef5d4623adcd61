//! Reads the source again. What has another content under the same size and
//! mtime has rotted: nobody wrote it, or somebody hid that he did.

use super::{Verifying, is_chosen};
use crate::disk::RealDisk;
use crate::model::{ContentDigest, Entry, EntryFlags, Stamp, TreePath};
use crate::scan::{FolderReader, ReadFile, ReadFileError, Reading, RootDirectory, is_large};
use crate::workflow::halt::Halt;
use crate::workflow::quarantine::{Quarantine, Rotten};
use crate::workflow::source::open_root;
use crate::workflow::tree_walk::{Next, Visit, walk};
use rayon::prelude::*;
use std::time::Duration;

/// Files and bytes that are read together: so long the memory of one round, and
/// so long the time until a signal is heard.
const ROUND_FILES: usize = 8_192;
const ROUND_BYTES: u64 = 1 << 30;

/// Longer than the clock of file times stands still on local file systems.
const SETTLING: Duration = Duration::from_millis(60);

/// What the index says of a file.
struct Known {
    path: TreePath,
    stamp: Stamp,
    digest: ContentDigest,
    followed: bool,
    racy: bool,
}

/// Files of one folder.
struct Folder {
    path: TreePath,
    files: Vec<Known>,
}

/// What reading a file came to.
enum Found {
    Good,
    /// Changed or gone since the last backup.
    Changed,
    /// It may have been written without a trace.
    Racy,
    Rotten(ReadFile),
    Unstable,
    Unreadable {
        is_damage: bool,
        reason: String,
    },
}

pub(super) fn verify(mut verifying: Verifying<'_>) -> Result<(), Halt> {
    let root = open_root(verifying.job)?;
    let mut quarantine = Quarantine::load(&verifying.opened.state)?;
    let mut round = Round::default();
    let (tree, selection) = (verifying.tree, verifying.selection.clone());
    let walked = walk(&tree, &selection, &mut |path, visit| {
        match visit {
            Visit::Entry(entry) if is_chosen(path, entry, &verifying.chooser) => match entry.digest() {
                Some(digest) => round.add(path, entry, digest),
                None => verifying.report.files_unverifiable += 1,
            },
            Visit::Damaged(reason) => {
                verifying.report.files_failed += 1;
                verifying
                    .find(path, &format!("the index is damaged here, the next backup mends it: {reason}"));
            }
            _ => {}
        }
        if round.is_full() {
            round.read(&root, &mut verifying, &mut quarantine)?;
        }
        Ok(Next::Into)
    });
    let read = walked.and_then(|()| round.read(&root, &mut verifying, &mut quarantine));
    // What was found so far counts, whatever ended the walk.
    quarantine.save(&verifying.opened.state, &RealDisk::new(verifying.surroundings.observer))?;
    read
}

#[derive(Default)]
struct Round {
    /// Read beside each other.
    small: Vec<Folder>,
    /// One file each, read one after the other by all threads.
    large: Vec<Folder>,
    files: usize,
    bytes: u64,
}

impl Round {
    fn add(&mut self, path: &TreePath, entry: &Entry<'_>, digest: ContentDigest) {
        let Some(folder) = path.parent() else { return };
        let followed = entry.flags.contains(EntryFlags::FOLLOWED);
        let is_same = |last: &&mut Folder| last.path == folder;
        let known = Known {
            path: path.clone(),
            stamp: entry.stamp,
            digest,
            followed,
            racy: entry.flags.contains(EntryFlags::RACY),
        };
        self.files += 1;
        self.bytes += entry.stamp.size;
        if is_large(entry.stamp.size) {
            return self.large.push(Folder { path: folder, files: vec![known] });
        }
        match self.small.last_mut().filter(is_same) {
            Some(last) => last.files.push(known),
            None => self.small.push(Folder { path: folder, files: vec![known] }),
        }
    }

    fn is_full(&self) -> bool {
        self.files >= ROUND_FILES || self.bytes >= ROUND_BYTES
    }

    /// Reads everything in it, in parallel, and starts anew.
    fn read(
        &mut self,
        root: &RootDirectory,
        verifying: &mut Verifying<'_>,
        quarantine: &mut Quarantine,
    ) -> Result<(), Halt> {
        let surroundings = verifying.surroundings;
        surroundings.halt_if_stopped()?;
        let round = std::mem::take(self);
        let observer = surroundings.observer;
        let stop = surroundings.stop;
        let read_folder = |folder: &Folder| {
            let reader = FolderReader::open(root, &folder.path);
            let read = |known: &Known| {
                if stop.is_requested() {
                    return None;
                }
                Some(match &reader {
                    Ok(reader) => judge(known, |reading| {
                        reader.read_if(&known.path, &known.stamp, known.followed, reading, observer)
                    }),
                    Err(error) => unreadable(error),
                })
            };
            folder.files.par_iter().map(read).collect()
        };
        let of_small: Vec<Vec<_>> = round.small.par_iter().map(read_folder).collect();
        let of_large: Vec<Vec<_>> = round.large.iter().map(read_folder).collect();
        let folders = round.small.iter().chain(&round.large);
        for (folder, found) in folders.clone().zip(of_small.into_iter().chain(of_large)) {
            for (known, found) in folder.files.iter().zip(found) {
                if let Some(found) = found {
                    take_in(verifying, quarantine, known, found);
                }
            }
        }
        surroundings.halt_if_stopped()?;
        if let Some(last) = folders.flat_map(|folder| &folder.files).map(|known| &known.path).max() {
            *verifying.done = Some(last.clone());
        }
        Ok(())
    }
}

/// Reads twice before it says that a file is rotten.
fn judge(known: &Known, read: impl Fn(Reading) -> Result<Option<ReadFile>, ReadFileError>) -> Found {
    let differing = |reading| match read(reading) {
        Ok(None) => Err(Found::Changed),
        Ok(Some(found)) if found.digest == known.digest => Err(Found::Good),
        Ok(Some(_)) if known.racy => Err(Found::Racy),
        Ok(Some(found)) => Ok(found),
        Err(error) => Err(unreadable(&error)),
    };
    let confirmed = |first: ReadFile| match read(Reading::Anew) {
        Ok(None) => Found::Changed,
        Ok(Some(second)) if second.digest == first.digest => Found::Rotten(second),
        Ok(Some(_)) => Found::Unstable,
        Err(error) => unreadable(&error),
    };
    match differing(Reading::OncePerInode) {
        Err(found) => found,
        Ok(first) if first.settled => confirmed(first),
        // Touched a moment ago, with its time set back. Most file systems tell after a few milliseconds.
        Ok(_) => {
            std::thread::sleep(SETTLING);
            match differing(Reading::Anew) {
                Err(found) => found,
                Ok(later) if later.settled => confirmed(later),
                Ok(_) => Found::Racy,
            }
        }
    }
}

fn unreadable(error: &ReadFileError) -> Found {
    match error {
        ReadFileError::Vanished { .. }
        | ReadFileError::NotAFile { .. }
        | ReadFileError::ChangedWhileReading { .. } => Found::Changed,
        ReadFileError::Io { source, .. } => {
            let is_damage = source.raw_os_error() == Some(libc::EIO);
            Found::Unreadable { is_damage, reason: source.to_string() }
        }
    }
}

fn take_in(verifying: &mut Verifying<'_>, quarantine: &mut Quarantine, known: &Known, found: Found) {
    let path = &known.path;
    match found {
        Found::Good => {
            quarantine.remove(path);
            verifying.good(path, known.stamp.size);
        }
        Found::Changed => verifying.report.files_changed += 1,
        Found::Racy => verifying.report.files_unverifiable += 1,
        Found::Rotten(read) => {
            verifying.report.files_damaged += 1;
            let Stamp { size, mtime, .. } = known.stamp;
            quarantine.add(path.clone(), Rotten { digest: read.digest, size, mtime });
            let times = if read.stamp == known.stamp { "times" } else { "modification time" };
            verifying.find(
                path,
                &format!(
                    "bit rot: its content changed, but neither its size nor its {times} did (BLAKE3 {} instead of {}). \
                     The remote holds the good version, and no backup replaces it; `treeferry restore` gets it back, \
                     or `treeferry backup --accept changed-content` sends the file as it is now",
                    read.digest, known.digest
                ),
            );
        }
        Found::Unstable => {
            verifying.report.files_damaged += 1;
            verifying.find(path, "it reads differently each time: its disk, cable or memory is failing");
        }
        Found::Unreadable { is_damage, reason } => {
            let count = if is_damage {
                &mut verifying.report.files_damaged
            } else {
                &mut verifying.report.files_failed
            };
            *count += 1;
            verifying.find(path, &format!("it cannot be read: {reason}"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Permissions;

    #[test]
    fn a_file_that_may_have_been_written_without_a_trace_is_never_called_rotten() {
        let known = |racy| Known {
            path: TreePath::from_bytes("a").unwrap(),
            stamp: Stamp::default(),
            digest: ContentDigest([1; 32]),
            followed: false,
            racy,
        };
        let read = |digest, settled| {
            move |_: Reading| {
                let (stamp, permissions) = (Stamp::default(), Permissions::default());
                Ok(Some(ReadFile { digest: ContentDigest([digest; 32]), stamp, permissions, settled }))
            }
        };
        assert!(matches!(judge(&known(true), read(2, true)), Found::Racy));
        assert!(matches!(judge(&known(false), read(2, false)), Found::Racy));
        assert!(matches!(judge(&known(true), read(1, false)), Found::Good));
        assert!(matches!(judge(&known(false), read(2, true)), Found::Rotten(_)));
    }
}
