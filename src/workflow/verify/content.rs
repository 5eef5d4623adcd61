//! Fetches files from the mirror only to hash them. rclone does that by itself where
//! it can (1.71 and later); else small ones come in batches, through a scratch folder,
//! and large ones one by one, through memory.

use super::Verifying;
use super::repair::Wrong;
use crate::model::{ContentDigest, Failure, FailureClass, TreePath};
use crate::observe::Event;
use crate::scan::{RootDirectory, read_file};
use crate::transfer::{Checked, Download, Fetched, is_corrupted, is_forbidden};
use crate::workflow::halt::{Halt, worse_of};
use crate::workflow::way::Way;

/// Larger files are not put into the scratch folder.
const SMALL_BYTES_MAX: u64 = 64 << 20;
/// What lies in the scratch folder at most.
const BATCH_BYTES_MAX: u64 = 1 << 30;
const BATCH_FILES_MAX: usize = 5_000;
/// What one rclone hashes, so that a share that is interrupted goes on near there.
const CHECKED_BYTES_MAX: u64 = 16 << 30;

/// So many files that are forbidden, where none was given out yet, are enough.
const FORBIDDEN_MAX: usize = 10_000;

/// How far a file is that is read through memory is told whenever so much came.
const TOLD_BYTES: u64 = 8 << 20;

const READ_ONCE: &str = "its content on the remote is not what was sent, as rclone reads it; this verification ended before \
                         it was read a second time";

struct Expected {
    path: TreePath,
    size: u64,
    digest: ContentDigest,
}

pub(super) struct Contents<'a> {
    way: Way<'a>,
    download: Option<Download<'a>>,
    batch: Vec<Expected>,
    bytes: u64,
    /// Those that rclone hashes.
    checked: Vec<Expected>,
    checked_bytes: u64,
    /// The last one that was handed over, in path order.
    last: Option<TreePath>,
    /// The remote gave out the content of one file at least: it lets us in.
    is_let_in: bool,
    /// Forbidden, as long as that is not known.
    forbidden: Vec<(TreePath, Failure)>,
}

impl<'a> Contents<'a> {
    pub(super) fn new(way: Way<'a>) -> Self {
        Contents {
            way,
            download: None,
            batch: Vec::new(),
            bytes: 0,
            checked: Vec::new(),
            checked_bytes: 0,
            last: None,
            is_let_in: false,
            forbidden: Vec::new(),
        }
    }

    /// Hashes the file, now or with others.
    pub(super) fn add(
        &mut self,
        path: TreePath,
        size: u64,
        digest: ContentDigest,
        verifying: &mut Verifying<'_>,
    ) -> Result<(), Halt> {
        self.last = Some(path.clone());
        let is_checked = self.way.session()?.can_check_content(&path);
        let expected = Expected { path, size, digest };
        if is_checked {
            self.checked_bytes += size;
            self.checked.push(expected);
            if self.checked_bytes >= CHECKED_BYTES_MAX || self.checked.len() >= BATCH_FILES_MAX {
                self.hash_waiting(verifying)?;
            }
            return Ok(());
        }
        if size > SMALL_BYTES_MAX {
            return self.read_through(&expected, verifying);
        }
        self.bytes += size;
        self.batch.push(expected);
        if self.bytes >= BATCH_BYTES_MAX || self.batch.len() >= BATCH_FILES_MAX {
            self.hash_waiting(verifying)?;
        }
        Ok(())
    }

    fn read_through(&mut self, expected: &Expected, verifying: &mut Verifying<'_>) -> Result<(), Halt> {
        verifying.surroundings.halt_if_stopped()?;
        let mut hasher = blake3::Hasher::new();
        let observer = verifying.surroundings.observer;
        let (path, mut bytes) = (&expected.path, 0);
        let read = self.way.session()?.read_through(&self.way.remote(None), path, &mut |piece| {
            let told = bytes / TOLD_BYTES;
            bytes += piece.len() as u64;
            hasher.update(piece);
            // What is too long there is no more than a file of its size.
            if bytes / TOLD_BYTES > told && bytes <= expected.size {
                observer.event(&Event::FileUnderWay { path, bytes });
            }
        });
        if read.is_err() {
            verifying.surroundings.halt_if_stopped()?;
        }
        match read {
            Ok(true) => {
                self.is_let_in = true;
                compare(expected, bytes, ContentDigest(*hasher.finalize().as_bytes()), verifying);
            }
            Ok(false) => absent(expected, verifying),
            Err(failure) => {
                let halt = cannot_read(&failure);
                if !matches!(halt, Halt::RemoteUnwell(_)) {
                    return Err(halt);
                }
                return self.not_read(expected, failure, verifying);
            }
        }
        Ok(())
    }

    /// Names a file that could not be read. One that is forbidden waits until another shows that it is not all.
    fn not_read(
        &mut self,
        expected: &Expected,
        failure: Failure,
        verifying: &mut Verifying<'_>,
    ) -> Result<(), Halt> {
        if self.is_let_in || !is_forbidden(&failure) {
            failed(&expected.path, &failure.reason, verifying);
            return Ok(());
        }
        self.forbidden.push((expected.path.clone(), failure));
        if self.forbidden.len() < FORBIDDEN_MAX { Ok(()) } else { self.judge_forbidden(verifying) }
    }

    /// Where nothing at all was given out, the remote does not let us in.
    fn judge_forbidden(&mut self, verifying: &mut Verifying<'_>) -> Result<(), Halt> {
        for (path, failure) in std::mem::take(&mut self.forbidden) {
            if !self.is_let_in {
                return Err(cannot_read(&Failure { class: FailureClass::Authentication, ..failure }));
            }
            failed(&path, &failure.reason, verifying);
        }
        Ok(())
    }

    /// The last one that was handed over.
    pub(super) fn last(&self) -> Option<&TreePath> {
        self.last.as_ref()
    }

    /// Hashes what waits, and judges what was forbidden.
    pub(super) fn finish(&mut self, verifying: &mut Verifying<'_>) -> Result<(), Halt> {
        let hashed = self.hash_waiting(verifying);
        worse_of(hashed, self.judge_forbidden(verifying))
    }

    fn hash_waiting(&mut self, verifying: &mut Verifying<'_>) -> Result<(), Halt> {
        self.check(verifying)?;
        self.fetch(verifying)?;
        if self.is_let_in {
            self.judge_forbidden(verifying)?;
        }
        // A share goes on before what waits for its judgement.
        if self.forbidden.is_empty() {
            verifying.done.clone_from(&self.last);
        }
        Ok(())
    }

    /// What rclone does not find to be the same is read once more, by ourselves. Where that is
    /// broken off, what rclone read counts: damage that was seen must not be lost.
    fn check(&mut self, verifying: &mut Verifying<'_>) -> Result<(), Halt> {
        let batch = std::mem::take(&mut self.checked);
        self.checked_bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        verifying.surroundings.halt_if_stopped()?;
        let files: Vec<_> = batch.iter().map(|expected| (expected.path.clone(), expected.digest)).collect();
        let (mut others, mut unread, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_let_in = false;
        let checked =
            self.way.session()?.check_content(&self.way.remote(None), &files, &mut |index, checked| {
                is_let_in |= matches!(checked, Checked::Same | Checked::Other);
                match checked {
                    Checked::Same => verifying.good(&batch[index].path, batch[index].size),
                    Checked::Other => others.push(index),
                    Checked::Refused(failure) => refused.push((index, failure)),
                    Checked::NotRead | Checked::Silent => unread.push(index),
                }
            });
        self.is_let_in |= is_let_in;
        let ended = verifying.surroundings.halt_if_stopped().and_then(|()| {
            checked.map_err(|failure| cannot_read(&failure))?;
            for (index, failure) in refused {
                self.not_read(&batch[index], failure, verifying)?;
            }
            while let Some(&index) = others.last() {
                self.read_through(&batch[index], verifying)?;
                others.pop();
            }
            unread.into_iter().try_for_each(|index| self.read_through(&batch[index], verifying))
        });
        for index in others {
            verifying.find_wrong(&batch[index].path, Wrong::Damaged, READ_ONCE);
        }
        ended
    }

    fn fetch(&mut self, verifying: &mut Verifying<'_>) -> Result<(), Halt> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        verifying.surroundings.halt_if_stopped()?;
        let cannot = |error: std::io::Error| Halt::Fatal(format!("using a temporary folder: {error}"));
        let scratch = tempfile::tempdir_in(&verifying.surroundings.temporary_directory).map_err(cannot)?;
        let root = RootDirectory::open(scratch.path()).map_err(cannot)?;
        let paths: Vec<_> = batch.iter().map(|expected| (expected.path.clone(), expected.size)).collect();
        let mut download = match self.download.take() {
            Some(download) => download,
            None => Download::new(self.way.session()?),
        };
        let observer = verifying.surroundings.observer;
        let (mut again, mut forbidden, mut is_let_in) = (Vec::new(), Vec::new(), false);
        let fetched =
            download.fetch(&self.way.remote(None), scratch.path(), &paths, &mut |index, fetched| {
                let expected = &batch[index];
                match fetched {
                    Fetched::Arrived => {
                        is_let_in = true;
                        match read_file(&root, &expected.path, false, observer) {
                            Ok(read) => compare(expected, read.stamp.size, read.digest, verifying),
                            Err(error) => failed(&expected.path, &error.to_string(), verifying),
                        }
                        // Room for the next one; what stays goes with the folder.
                        let _ = std::fs::remove_file(expected.path.below(scratch.path()));
                    }
                    Fetched::Absent => absent(expected, verifying),
                    // The hash that the remote keeps is not that of what it holds.
                    Fetched::Failed(failure) if is_corrupted(&failure) => again.push(index),
                    Fetched::Failed(failure) if is_forbidden(&failure) => forbidden.push((index, failure)),
                    Fetched::Failed(failure) => failed(&expected.path, &failure.reason, verifying),
                    Fetched::NotAttempted => {}
                }
            });
        self.download = Some(download);
        self.is_let_in |= is_let_in;
        for (index, failure) in forbidden {
            self.not_read(&batch[index], failure, verifying)?;
        }
        verifying.surroundings.halt_if_stopped()?;
        fetched.map_err(|failure| Halt::from_failure("reading the mirror", &failure))?;
        again.into_iter().try_for_each(|index| self.read_through(&batch[index], verifying))
    }
}

fn compare(expected: &Expected, size: u64, digest: ContentDigest, verifying: &mut Verifying<'_>) {
    if digest == expected.digest {
        return verifying.good(&expected.path, size);
    }
    let reason = if size == expected.size {
        format!("its BLAKE3 on the remote is {digest}, and {} was sent", expected.digest)
    } else {
        format!("{size} bytes came from the remote, and {} were sent", expected.size)
    };
    verifying.find_wrong(&expected.path, Wrong::Damaged, &reason);
}

fn absent(expected: &Expected, verifying: &mut Verifying<'_>) {
    verifying.find_wrong(&expected.path, Wrong::Missing, "listed by the remote, but not to be had");
}

fn cannot_read(failure: &Failure) -> Halt {
    Halt::from_failure("reading files of the mirror", failure)
}

fn failed(path: &TreePath, reason: &str, verifying: &mut Verifying<'_>) {
    verifying.report.files_failed += 1;
    verifying.find(path, &format!("it could not be fetched: {reason}"));
}
