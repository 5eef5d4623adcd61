//! A restore under way: what is there already, what is fetched, and what became
//! of it.

use super::destination::{Attributes, Destination, Existing, Refusal, existing_below};
use super::moved_last::MovedLast;
use super::options::{Overwrite, RestoreOptions, RestoreReport};
use crate::index::{Finder, Tree};
use crate::model::{Content, ContentDigest, Entry, EntryKind, Failure, OwnedEntry, RunId, TreePath};
use crate::observe::Event;
use crate::scan::{RootDirectory, read_file};
use crate::transfer::{Download, Fetched, is_corrupted};
use crate::workflow::halt::Halt;
use crate::workflow::history::{Location, Locator};
use crate::workflow::tree_walk::{Next, Selection, Visit, walk};
use crate::workflow::way::Way;
use std::collections::{BTreeMap, BTreeSet};

/// Files and bytes of one batch: what lies in the staging folder at most, but
/// for a single larger file.
const BATCH_FILES_MAX: usize = 5_000;
const BATCH_BYTES_MAX: u64 = 8 << 30;
/// Warnings about folders that are kept; the rest are alike.
const WARNINGS_MAX: usize = 20;
/// How rclone and the system say that the disk is full.
const NO_ROOM: [&str; 4] =
    ["no space left", "No space left", "too big for remaining disk space", "quota exceeded"];

/// A file that is to be fetched.
struct Wanted {
    path: TreePath,
    size: u64,
    attributes: Attributes,
    digest: Option<ContentDigest>,
    replace: bool,
    /// It is looked for in the trash first, where an open move may have taken it from the mirror.
    else_on_mirror: bool,
}

#[derive(Default)]
struct Waiting {
    files: Vec<Wanted>,
    bytes: u64,
}

/// A restore under way.
pub(super) struct Restoring<'a> {
    options: &'a RestoreOptions,
    way: Way<'a>,
    locator: Locator<'a>,
    moved_last: MovedLast,
    report: &'a mut RestoreReport,
    /// `None` in a dry run.
    destination: Option<Destination>,
    /// For reading what is there; `None` when nothing is.
    existing: Option<RootDirectory>,
    /// By where they lie: the mirror, or the trash of a run.
    waiting: BTreeMap<Option<RunId>, Waiting>,
    download: Option<Download<'a>>,
    files_asked: u64,
    files_absent: u64,
    /// Something was not restored for want of room here.
    is_full: bool,
}

impl<'a> Restoring<'a> {
    /// Opens the folder to restore into; makes it, unless in a dry run.
    pub(super) fn new(
        options: &'a RestoreOptions,
        way: Way<'a>,
        locator: Locator<'a>,
        moved_last: MovedLast,
        report: &'a mut RestoreReport,
    ) -> Result<Self, Halt> {
        let cannot =
            |error| Halt::Fatal(format!("opening {} to restore into: {error}", options.to.display()));
        let destination =
            if options.dry_run { None } else { Some(Destination::open(&options.to).map_err(cannot)?) };
        let existing = match RootDirectory::open(&options.to) {
            Ok(root) => Some(root),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        Ok(Restoring {
            options,
            way,
            locator,
            moved_last,
            report,
            destination,
            existing,
            waiting: BTreeMap::new(),
            download: None,
            files_asked: 0,
            files_absent: 0,
            is_full: false,
        })
    }

    /// Names the paths that are not in this state. `None`: nothing is left.
    pub(super) fn name_missing(
        &mut self,
        tree: &Tree<'_>,
        selection: Selection,
    ) -> Result<Option<Selection>, Halt> {
        let mut found = Vec::new();
        for path in selection.paths() {
            // A damaged folder on the way is named by the walk.
            if matches!(Finder::new(tree).find(path), Ok(None)) && !path.is_root() {
                self.fail(path, "there is nothing of this name in the snapshot");
            } else {
                found.push(path.clone());
            }
        }
        Ok((!found.is_empty()).then(|| Selection::new(&found)))
    }

    /// Everything but the attributes of folders.
    pub(super) fn drive(&mut self, tree: &Tree<'_>, selection: &Selection) -> Result<(), Halt> {
        walk(tree, selection, &mut |path, visit| {
            self.way.surroundings.halt_if_stopped()?;
            match visit {
                Visit::Enter(attributes) => {
                    let make =
                        |destination: &mut Destination| destination.make_folder(path, attributes.into());
                    return Ok(self.folder(path, &make));
                }
                Visit::Entry(entry) => self.entry(path, entry)?,
                Visit::Leave(_) => {}
                Visit::Damaged(reason) => self.fail(path, &format!("the index is damaged here: {reason}")),
            }
            Ok(Next::Into)
        })?;
        // The mirror last: what no trash has is looked for there.
        while let Some(place) = self.waiting.last_key_value().map(|(&place, _)| place) {
            self.fetch(place)?;
        }
        Ok(())
    }

    fn folder(&mut self, path: &TreePath, make: &dyn Fn(&mut Destination) -> Result<(), Refusal>) -> Next {
        if path.is_root() {
            return Next::Into;
        }
        let made = match &mut self.destination {
            Some(destination) => make(destination),
            None => match existing_below(&self.options.to, path) {
                Ok(Existing::Nothing | Existing::Folder) => Ok(()),
                Ok(_) => Err("something that is no folder is in its place".into()),
                Err(refusal) => Err(refusal),
            },
        };
        match made {
            Ok(()) => {
                self.report.directories += 1;
                Next::Into
            }
            Err(refusal) => {
                self.fail(path, &refusal);
                Next::Past
            }
        }
    }

    fn entry(&mut self, path: &TreePath, entry: &Entry<'_>) -> Result<(), Halt> {
        match entry.kind {
            EntryKind::File => self.file(path, entry),
            EntryKind::Symlink => {
                self.link(path, entry);
                Ok(())
            }
            // What was mounted there was not backed up; its place is.
            EntryKind::Mount | EntryKind::Directory => {
                self.folder(path, &|destination| destination.make_mount_point(path));
                Ok(())
            }
            EntryKind::Special => {
                self.report.specials_skipped += 1;
                Ok(())
            }
        }
    }

    fn look(&mut self, path: &TreePath) -> Result<Existing, String> {
        match &mut self.destination {
            Some(destination) => destination.existing(path),
            None => existing_below(&self.options.to, path),
        }
    }

    /// Whether what is there gives way. `None`: it does not, and that was named.
    fn gives_way(&mut self, path: &TreePath, existing: Existing) -> Option<bool> {
        match (existing, self.options.overwrite) {
            (Existing::Nothing, _) => Some(false),
            (Existing::Folder, _) => {
                self.fail(path, "a folder is in its place");
                None
            }
            (_, Overwrite::Never) => {
                self.fail(path, "something else is there (--overwrite if-different replaces it)");
                None
            }
            (_, Overwrite::IfDifferent | Overwrite::Always) => Some(true),
        }
    }

    fn link(&mut self, path: &TreePath, entry: &Entry<'_>) {
        let Content::Target(target) = entry.content else { return };
        let existing = match self.look(path) {
            Ok(existing) => existing,
            Err(refusal) => return self.fail(path, &refusal),
        };
        let Some(destination) = &mut self.destination else {
            if existing == Existing::Link || self.gives_way(path, existing).is_some() {
                self.report.links += 1;
            }
            return;
        };
        if existing == Existing::Link && destination.link_target(path).as_deref() == Some(target) {
            self.report.links += 1;
            return;
        }
        let Some(replace) = self.gives_way(path, existing) else { return };
        let Some(destination) = &mut self.destination else { return };
        match destination.place_link(path, target, &entry.permissions, entry.stamp.mtime, replace) {
            Ok(()) => self.report.links += 1,
            Err(refusal) => self.fail(path, &refusal),
        }
    }

    fn file(&mut self, path: &TreePath, entry: &Entry<'_>) -> Result<(), Halt> {
        let existing = match self.look(path) {
            Ok(existing) => existing,
            Err(refusal) => {
                self.fail(path, &refusal);
                return Ok(());
            }
        };
        if self.options.overwrite != Overwrite::Always && self.is_there(path, entry, existing) {
            self.keep_unchanged(path, entry);
            return Ok(());
        }
        let Some(replace) = self.gives_way(path, existing) else { return Ok(()) };
        let located = self.locator.locate(path, &OwnedEntry::from(entry));
        let place = match located.location {
            Location::Mirror => self.moved_last.trash_of(path),
            Location::Trash(run) => Some(run),
            Location::Gone(reason) => {
                self.fail(path, &reason);
                return Ok(());
            }
        };
        let else_on_mirror = located.location == Location::Mirror && place.is_some();
        self.files_asked += 1;
        if self.destination.is_none() {
            self.report.files_restored += 1;
            self.report.bytes_restored += entry.stamp.size;
            return Ok(());
        }
        let waiting = self.waiting.entry(place).or_default();
        waiting.bytes += entry.stamp.size;
        waiting.files.push(Wanted {
            path: path.clone(),
            size: entry.stamp.size,
            attributes: entry.into(),
            digest: located.digest,
            replace,
            else_on_mirror,
        });
        if waiting.bytes >= BATCH_BYTES_MAX || waiting.files.len() >= BATCH_FILES_MAX {
            self.fetch(place)?;
        }
        Ok(())
    }

    /// The file is there already with this content. One without a known content
    /// counts as the same by size and time.
    fn is_there(&self, path: &TreePath, entry: &Entry<'_>, existing: Existing) -> bool {
        let Some(root) = self.existing.as_ref() else { return false };
        if existing != (Existing::File { bytes: entry.stamp.size }) {
            return false;
        }
        let read = read_file(root, path, false, self.way.surroundings.observer);
        read.is_ok_and(|read| match entry.digest() {
            Some(digest) => read.digest == digest,
            None => read.stamp.mtime == entry.stamp.mtime,
        })
    }

    fn keep_unchanged(&mut self, path: &TreePath, entry: &Entry<'_>) {
        if let Some(destination) = &mut self.destination
            && self.options.overwrite == Overwrite::IfDifferent
            && let Err(refusal) = destination.touch_up(path, entry.into())
        {
            return self.fail(path, &format!("its content is right, but: {refusal}"));
        }
        self.report.files_unchanged += 1;
        self.way.surroundings.observer.event(&Event::FileDone { path, bytes: entry.stamp.size });
    }

    /// Fetches what waits at one place.
    fn fetch(&mut self, place: Option<RunId>) -> Result<(), Halt> {
        let Some(waiting) = self.waiting.remove(&place) else { return Ok(()) };
        self.way.surroundings.halt_if_stopped()?;
        let mut download = match self.download.take() {
            Some(download) => download,
            None => Download::new(self.way.session()?),
        };
        let Some(staging) = self.destination.as_ref().and_then(Destination::staging) else { return Ok(()) };
        let cannot = |error| Halt::Fatal(format!("using the staging folder {}: {error}", staging.display()));
        let staged = RootDirectory::open(&staging).map_err(cannot)?;
        let paths: Vec<(TreePath, u64)> =
            waiting.files.iter().map(|wanted| (wanted.path.clone(), wanted.size)).collect();
        let remote = self.way.remote(place);
        let (mut locked, mut not_moved) = (None, BTreeSet::new());
        let fetched = download.fetch(&remote, &staging, &paths, &mut |index, fetched| match fetched {
            // Of no file in particular: to be said once, and as what it is.
            Fetched::Failed(failure) if is_of_configuration(&failure) => drop(locked.get_or_insert(failure)),
            Fetched::Absent if waiting.files[index].else_on_mirror => drop(not_moved.insert(index)),
            fetched => self.settle(&waiting.files[index], fetched, &staged),
        });
        let files = waiting.files.into_iter().enumerate();
        for (_, wanted) in files.filter(|(index, _)| not_moved.contains(index)) {
            let on_mirror = self.waiting.entry(None).or_default();
            on_mirror.bytes += wanted.size;
            on_mirror.files.push(Wanted { else_on_mirror: false, ..wanted });
        }
        self.download = Some(download);
        if let Some(destination) = &mut self.destination {
            destination.clear_staging().map_err(cannot)?;
        }
        self.way.surroundings.halt_if_stopped()?;
        if let Some(failure) = locked {
            return Err(Halt::from_failure("rclone cannot be used", &failure));
        }
        fetched.map_err(|failure: Failure| Halt::from_failure("restoring", &failure))
    }

    fn settle(&mut self, wanted: &Wanted, fetched: Fetched, staged: &RootDirectory) {
        let placed = match fetched {
            Fetched::Arrived => self.check_and_place(wanted, staged),
            Fetched::Absent => {
                self.files_absent += 1;
                Err("the remote shows nothing there".into())
            }
            Fetched::Failed(failure) if is_corrupted(&failure) => {
                self.report.files_damaged += 1;
                Err(format!("damaged on the remote, whose own hash says so: {}", failure.reason))
            }
            Fetched::Failed(failure) => Err(failure.reason),
            // The end of the whole run says why.
            Fetched::NotAttempted => return,
        };
        match placed {
            Ok(()) => {
                self.report.files_restored += 1;
                self.report.bytes_restored += wanted.size;
                let done = Event::FileDone { path: &wanted.path, bytes: wanted.size };
                self.way.surroundings.observer.event(&done);
            }
            Err(reason) => self.fail(&wanted.path, &reason),
        }
    }

    fn check_and_place(&mut self, wanted: &Wanted, staged: &RootDirectory) -> Result<(), String> {
        let read = read_file(staged, &wanted.path, false, self.way.surroundings.observer)
            .map_err(|error| format!("checking what was fetched: {error}"))?;
        if read.stamp.size != wanted.size {
            self.report.files_damaged += 1;
            return Err(format!(
                "damaged on the remote: it has {} bytes there, and {} were sent",
                read.stamp.size, wanted.size
            ));
        }
        match wanted.digest {
            Some(digest) if digest != read.digest => {
                self.report.files_damaged += 1;
                return Err(format!(
                    "damaged on the remote: its BLAKE3 is {} there, and {digest} was sent",
                    read.digest
                ));
            }
            Some(_) => {}
            None => self.report.files_unchecked += 1,
        }
        let Some(destination) = &mut self.destination else { return Ok(()) };
        destination.place_file(&wanted.path, wanted.attributes, wanted.replace)
    }

    /// Names something that was asked for and is not there.
    fn fail(&mut self, path: &TreePath, reason: &str) {
        self.way.surroundings.observer.event(&Event::Finding { path, reason });
        self.report.not_restored.add(path.clone(), reason);
        self.is_full |= NO_ROOM.iter().any(|words| reason.contains(words));
    }

    /// Folders get their own mode and time when everything is in them.
    pub(super) fn finish_folders(&mut self, tree: &Tree<'_>, selection: &Selection) -> Result<(), Halt> {
        let Some(destination) = &mut self.destination else { return Ok(()) };
        destination.remove_staging();
        let warnings = &mut self.report.warnings;
        walk(tree, selection, &mut |path, visit| {
            if let Visit::Leave(attributes) = visit
                && let Err(refusal) = destination.finish_folder(path, attributes.into())
                && warnings.len() < WARNINGS_MAX
            {
                warnings.push(format!("{path}: the folder did not get its mode and time: {refusal}"));
            }
            Ok(Next::Into)
        })?;
        warnings.extend(destination.owners().warning());
        if let Err(error) = destination.sync() {
            warnings.push(format!("{} could not be synced: {error}", self.options.to.display()));
        }
        Ok(())
    }

    /// What is to be said at the end.
    pub(super) fn conclude(self) -> Result<(), Halt> {
        if self.files_asked > 1 && self.files_absent == self.files_asked {
            return Err(Halt::RemoteUnwell(format!(
                "the remote shows none of the {} files that it holds by the index; is {:?} the right place, and the \
                 storage behind it there?",
                self.files_asked, self.way.job.remote
            )));
        }
        if self.is_full {
            self.report.warnings.push(format!(
                "there is no room left at {}: make some, and run the same command again; it goes on where it stopped",
                self.options.to.display()
            ));
        }
        if self.report.files_unchecked > 0 {
            self.report.warnings.push(format!(
                "{} files were restored by their size alone: their content was never read by a backup",
                self.report.files_unchecked
            ));
        }
        if self.report.specials_skipped > 0 {
            self.report
                .warnings
                .push(format!("{} FIFOs, sockets or devices are not restored", self.report.specials_skipped));
        }
        Ok(())
    }
}

/// rclone cannot even read its own configuration.
fn is_of_configuration(failure: &Failure) -> bool {
    matches!(Halt::from_failure("", failure), Halt::Configuration(_))
}
