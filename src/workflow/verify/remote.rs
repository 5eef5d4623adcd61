//! Compares the mirror, as the remote lists it, with the index. Local edits since
//! the last backup are no damage: the source is not looked at.

use super::alike::{ByLine, tell_apart};
use super::content::Contents;
use super::portions::{FOLDERS_MAX, FOLDERS_MIN, Portion, cut};
use super::progress::CheckProgress;
use super::repair::{WRONG_MAX, Wrong, looks};
use super::sorted_listing::{Listed, Merged, SortedListing};
use super::{Verifying, What, is_chosen};
use crate::disk::RealDisk;
use crate::index::Tree;
use crate::model::{Entry, EntryFlags, EntryKind, TreePath};
use crate::observe::Event;
use crate::plan::mirror_path;
use crate::transfer::{NameEncoding, Place, Seen};
use crate::workflow::budget::Cost;
use crate::workflow::halt::Halt;
use crate::workflow::tree_walk::{Next, Selection, Visit, walk};
use crate::workflow::views::find_on_mirror;
use crate::workflow::way::{Way, control_for_looking};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// So many missing files are looked for one by one: a folder that could not be
/// listed for a moment is no loss.
const SECOND_LOOKS_MAX: usize = 1_000;
/// With which rclone begins.
const REQUESTS_OF_RCLONE: u64 = 3;
/// A folder that should hold so many files and lists none is not simply believed.
const DARK_FILES_MIN: u64 = 10;
const DARK_FOLDERS_MAX: usize = 10_000;
const MISSING: &str = "missing on the remote";
const FOLDER_IN_PLACE: &str = "a folder lies in its place on the remote, and nothing is sent over that: move it away \
     on the remote, then run `treeferry verify --remote --repair`";
const MISSING_UNLOOKED: &str =
    "not listed by the remote; this verification was interrupted before it was asked for by its name";
/// Warnings of one kind that name files.
const NAMED_MAX: usize = 5;

pub(super) fn verify(mut verifying: Verifying<'_>) -> Result<(), Halt> {
    let surroundings = verifying.surroundings;
    let control = control_for_looking(surroundings);
    let way = Way::new(verifying.job, &verifying.opened.docket, &control, surroundings);
    let mut progress = match verifying.check {
        Some(_) => begin_or_go_on(&verifying, &way)?,
        None => CheckProgress::begin(vec![Portion::whole(0)], surroundings.now_seconds()),
    };
    let missing = progress.resume(&mut verifying)?;
    let encoding = way.session()?.encoding();
    let mut comparing = Comparing {
        contents: Contents::new(way),
        encoding,
        untold: ByLine::new(),
        told: BTreeMap::new(),
        missing,
        before_missing: None,
        open: Vec::new(),
        links: BTreeMap::new(),
        unmatched: SortedListing::new(&surroundings.temporary_directory),
        verifying,
    };
    let compared = comparing.all(&mut progress, &way);
    if compared.is_err() {
        comparing.hold_back();
        // The check after a backup keeps it in its progress.
        if surroundings.stop.is_requested() && comparing.verifying.check.is_none() {
            comparing.name_unlooked();
        }
    }
    compared
}

/// What an earlier run left of the check, or all of it.
fn begin_or_go_on(verifying: &Verifying<'_>, way: &Way<'_>) -> Result<CheckProgress, Halt> {
    let (surroundings, state) = (verifying.surroundings, &verifying.opened.state);
    if let Some(progress) = CheckProgress::load(state, surroundings.now_seconds())? {
        let (done, all) = (progress.done, progress.portions.len());
        surroundings.observer.event(&Event::Detail(&format!(
            "the check of the mirror goes on where it stopped: {done} of {all} parts are done"
        )));
        return Ok(progress);
    }
    let folders = verifying.tree.root_with_totals().map_or(0, |root| root.totals.directories);
    let limit = verifying.check.and_then(|budget| budget.limits().requests);
    let folders_max = limit.map_or(FOLDERS_MAX, |limit| (limit / 2).clamp(FOLDERS_MIN, FOLDERS_MAX));
    // A bucket lists a thousand objects a request, wherever they lie, unless it is asked by rules.
    let is_one = folders < folders_max || {
        let features = way.session()?.features(&way.remote(None));
        features
            .map_err(|failure| Halt::from_failure("asking what the remote can do", &failure))?
            .bucket_based
    };
    let portions = match is_one {
        true => vec![Portion::whole(folders + 1)],
        false => cut(&verifying.tree, folders_max).map_err(Halt::fatal)?,
    };
    Ok(CheckProgress::begin(portions, surroundings.now_seconds()))
}

fn cannot_sort(error: io::Error) -> Halt {
    Halt::Fatal(format!("sorting the listing in a temporary file: {error}"))
}

/// What the remote lists: in path order, and by their lines those whose path the
/// listing does not tell (bytes that are no text all look alike in it).
struct Listing {
    sorted: Merged,
    by_line: ByLine,
    files: u64,
}

/// One portion of the mirror; what is not selected is left out.
fn list(verifying: &Verifying<'_>, portion: &Portion, way: &Way<'_>) -> Result<Listing, Halt> {
    let mut sorting = SortedListing::new(&verifying.surroundings.temporary_directory);
    let mut sorted = Ok(());
    let mut files = 0;
    let mut by_line = ByLine::new();
    let listed = way.session()?.list_all(&way.remote(None), &portion.filter_rules(), &mut |file| {
        let path = file.path();
        if path.as_ref().is_some_and(|path| !portion.covers(path)) {
            return;
        }
        files += 1;
        match path {
            Some(path) if sorted.is_ok() && verifying.selection.covers(&path) => {
                sorted = sorting.push((path, file.size));
            }
            Some(_) => {}
            None => by_line.entry(file.line).or_default().push(file.size),
        }
    });
    verifying.surroundings.halt_if_stopped()?;
    // A folder that is said not to be there lists nothing, and what that means is judged below.
    listed.map_err(|failure| match failure.reason.contains("not found") {
        // Told of a moment ago, and denied now: so OpenList speaks of any error.
        true => Halt::RemoteUnwell(format!("a folder of the mirror cannot be listed: {}", failure.reason)),
        false => Halt::from_failure("listing the mirror", &failure),
    })?;
    sorted.map_err(cannot_sort)?;
    Ok(Listing { sorted: sorting.finish().map_err(cannot_sort)?, by_line, files })
}

/// What of the index is compared with the listing of a portion.
pub(super) fn selection_of(verifying: &Verifying<'_>, portion: &Portion) -> Selection {
    match portion.is_whole() {
        true => verifying.selection.clone(),
        false => Selection::new(&[portion.folder()]),
    }
}

/// An answer that leaves out most of what is known is none.
fn judge(verifying: &Verifying<'_>, files_listed: u64, way: &Way<'_>) -> Result<(), Halt> {
    let docket = &verifying.opened.docket;
    let roots = [docket.base, docket.kept];
    let files_known: u64 = roots.iter().flatten().map(|root| root.totals.files).sum();
    if files_listed * 2 >= files_known {
        return Ok(());
    }
    if verifying.check.is_some() {
        CheckProgress::forget(&verifying.opened.state, &RealDisk::new(verifying.surroundings.observer))?;
    }
    Err(Halt::RemoteUnwell(format!(
        "{} lists {files_listed} files, and by the index it holds {files_known}: that is no answer to rely on. \
         Nothing was concluded from it",
        way.remote(None)
    )))
}

struct Comparing<'a> {
    verifying: Verifying<'a>,
    contents: Contents<'a>,
    encoding: NameEncoding,
    /// What is listed under lines that do not tell its path, and is not found to be a known file.
    untold: ByLine,
    /// The listed sizes of those whose lines do not tell their paths.
    told: BTreeMap<TreePath, Option<u64>>,
    /// Not listed, by the paths that the index has.
    missing: Vec<TreePath>,
    /// Once something is missing: the file before the first such, if there is one.
    before_missing: Option<Option<TreePath>>,
    /// The open folders of the walk, the root first.
    open: Vec<Answered>,
    /// Where uploaded symlinks lie on the mirror, each with its own path.
    links: BTreeMap<TreePath, TreePath>,
    /// What the remote lists and the base does not know.
    unmatched: SortedListing,
}

/// What the remote showed of one folder and all below it.
#[derive(Default)]
struct Answered {
    files_listed: u64,
    files_missing: u64,
}

impl Comparing<'_> {
    fn all(&mut self, progress: &mut CheckProgress, way: &Way<'_>) -> Result<(), Halt> {
        while let Some(portion) = progress.portions.get(progress.done).cloned() {
            self.allow(&portion, progress)?;
            self.portion(&portion, progress, way)?;
        }
        self.contents.finish(&mut self.verifying)?;
        self.name_missing(way)
    }

    /// A share that breaks off goes on behind what is done, and what is missing is named at the
    /// end: it goes on before the first of those.
    fn hold_back(&mut self) {
        if let Some(before) = self.before_missing.take()
            && *self.verifying.done > before
        {
            *self.verifying.done = before;
        }
    }

    /// A portion comes to its end once it is begun: it is begun only where there is room for it.
    fn allow(&self, portion: &Portion, progress: &CheckProgress) -> Result<(), Halt> {
        let Some(budget) = self.verifying.check else { return Ok(()) };
        let is_local = self.verifying.job.remote.local_path().is_some();
        let requests = if is_local { 0 } else { portion.requests + REQUESTS_OF_RCLONE };
        if let Some(spent) = budget.lacks(Cost { requests, ..Cost::default() }) {
            let (done, all) = (progress.done, progress.portions.len());
            return Err(Halt::BudgetSpent(match done {
                0 => format!("{spent}, before the check of the mirror that is due"),
                _ => format!("{spent}, with {done} of {all} parts of the check of the mirror done"),
            }));
        }
        budget.spend(0, requests);
        Ok(())
    }

    /// Lists one portion of the mirror and compares it.
    fn portion(
        &mut self,
        portion: &Portion,
        progress: &mut CheckProgress,
        way: &Way<'_>,
    ) -> Result<(), Halt> {
        let Listing { sorted, by_line, files } = list(&self.verifying, portion, way)?;
        self.untold = by_line;
        progress.files_listed += files;
        progress.done += 1;
        if progress.done == progress.portions.len() {
            judge(&self.verifying, progress.files_listed, way)?;
        }
        self.told = tell_apart(&self.verifying, portion, self.encoding, &mut self.untold, way)?;
        self.base(sorted, portion)?;
        let empty = SortedListing::new(&self.verifying.surroundings.temporary_directory);
        let rest = std::mem::replace(&mut self.unmatched, empty);
        self.kept(rest.finish().map_err(cannot_sort)?)?;
        if progress.portions.len() > 1 {
            progress.save(
                &self.verifying,
                &self.missing,
                &RealDisk::new(self.verifying.surroundings.observer),
            )?;
        }
        Ok(())
    }

    /// A folder is done. One of which nothing was listed may be unlistable for the moment.
    fn leave(&mut self, path: &TreePath, portion: &Portion) {
        let Some(left) = self.open.pop() else { return };
        if let Some(above) = self.open.last_mut() {
            above.files_listed += left.files_listed;
            above.files_missing += left.files_missing;
        }
        if left.files_listed == 0 && left.files_missing >= DARK_FILES_MIN && portion.holds(path) {
            let dark = &mut self.verifying.found.dark;
            dark.retain(|below| !below.is_within(path));
            if dark.len() < DARK_FOLDERS_MAX {
                dark.insert(path.clone());
            }
        }
    }

    /// Merges the listing with what the source had at the last backup.
    fn base(&mut self, mut listing: Merged, portion: &Portion) -> Result<(), Halt> {
        let tree = self.verifying.tree;
        walk(&tree, &selection_of(&self.verifying, portion), &mut |path, visit| {
            self.verifying.surroundings.halt_if_stopped()?;
            match visit {
                Visit::Enter(_) if !path.is_root() && !portion.reaches_into(path) => return Ok(Next::Past),
                Visit::Entry(_) if !portion.covers(path) => {}
                Visit::Entry(entry) if entry.kind == EntryKind::File => {
                    let listed = self.advance_to(&mut listing, path)?;
                    if let Some(folder) = self.open.last_mut() {
                        folder.files_listed += u64::from(listed.is_some());
                        folder.files_missing += u64::from(listed.is_none());
                    }
                    if is_chosen(path, entry, &self.verifying.chooser) {
                        self.compare(path, entry, listed)?;
                    }
                }
                Visit::Entry(entry) if entry.flags.contains(EntryFlags::UPLOADED_LINK) => {
                    let link = mirror_path(path, true);
                    match self.told.remove(&link) {
                        Some(_) => self.verifying.note_good(path),
                        None => drop(self.links.insert(link, path.clone())),
                    }
                }
                Visit::Enter(_) => self.open.push(Answered::default()),
                Visit::Leave(_) => self.leave(path, portion),
                // Told once, by the portion that it belongs to.
                Visit::Damaged(reason) if portion.is_whole() || portion.holds(path) => {
                    self.verifying.report.files_failed += 1;
                    let reason = format!("the index is damaged here, the next backup mends it: {reason}");
                    self.verifying.find(path, &reason);
                }
                _ => {}
            }
            Ok(Next::Into)
        })?;
        while let Some(entry) = listing.next_if(|_| true).map_err(cannot_sort)? {
            self.unmatched.push(entry).map_err(cannot_sort)?;
        }
        Ok(())
    }

    /// The listed entry at `path`; those before it match nothing.
    fn advance_to(&mut self, listing: &mut Merged, path: &TreePath) -> Result<Option<Listed>, Halt> {
        while let Some(entry) = listing.next_if(|listed| listed < path).map_err(cannot_sort)? {
            self.unmatched.push(entry).map_err(cannot_sort)?;
        }
        let listed = listing.next_if(|listed| listed == path).map_err(cannot_sort)?;
        Ok(listed.or_else(|| Some((path.clone(), self.told.remove(path)?))))
    }

    fn compare(&mut self, path: &TreePath, entry: &Entry<'_>, listed: Option<Listed>) -> Result<(), Halt> {
        let Some((_, size)) = listed else {
            if self.before_missing.is_none() {
                self.before_missing = Some(self.contents.last().cloned());
            }
            if self.missing.len() < WRONG_MAX {
                self.missing.push(path.clone());
            } else {
                self.verifying.find_wrong(path, Wrong::Missing, MISSING);
            }
            return Ok(());
        };
        let sent = entry.stamp.size;
        if let Some(size) = size.filter(|&size| size != sent) {
            self.verifying.find_wrong(
                path,
                Wrong::Damaged,
                &format!("it has {size} bytes on the remote, and {sent} were sent"),
            );
            return Ok(());
        }
        match (self.verifying.report.what, entry.digest()) {
            (What::Download, Some(digest)) => {
                self.contents.add(path.clone(), sent, digest, &mut self.verifying)
            }
            (What::Download, None) => {
                self.verifying.report.files_unverifiable += 1;
                Ok(())
            }
            _ => {
                self.verifying.good(path, sent);
                Ok(())
            }
        }
    }

    /// What is left is kept, or an uploaded symlink, or perhaps junk of an upload
    /// that was broken off; else nobody knows of it.
    fn kept(&mut self, mut rest: Merged) -> Result<(), Halt> {
        let opened = self.verifying.opened;
        let kept = Tree::new(&opened.nodes, opened.docket.kept, self.verifying.surroundings.observer);
        while let Some((path, _)) = rest.next_if(|_| true).map_err(cannot_sort)? {
            let link = self.links.remove(&path);
            if let Some(link) = &link {
                self.verifying.note_good(link);
            }
            let is_known = link.is_some()
                || opened.doubts.contains(&path)
                || matches!(find_on_mirror(&kept, &path), Ok(Some(_)));
            if !is_known {
                self.verifying.report.files_surplus += 1;
                self.verifying.find(&path, "on the remote, and unknown to the index");
            }
        }
        // Kept files may be among those without a path: they look like others of their kind.
        let is_judged = self.verifying.selection.is_all() && !self.verifying.has_kept();
        for (line, sizes) in std::mem::take(&mut self.untold) {
            let path = TreePath::from_bytes(line).unwrap_or_default();
            for _ in sizes.iter().filter(|_| is_judged) {
                self.verifying.report.files_surplus += 1;
                self.verifying.find(&path, "on the remote, and unknown to the index");
            }
        }
        if self.verifying.chooser.is_all() {
            self.missing.extend(std::mem::take(&mut self.links).into_values());
        }
        Ok(())
    }

    /// Looks once more, one by one, for what was not listed.
    fn name_missing(&mut self, way: &Way<'_>) -> Result<(), Halt> {
        self.name_unaskable();
        let mut shown = vec![Seen::Nothing; self.missing.len()];
        if !self.missing.is_empty() && self.missing.len() <= SECOND_LOOKS_MAX {
            let paths = looks(&self.missing, &self.verifying.tree)?;
            shown = way
                .looking()?
                .look_past_folders(Place::Mirror, &paths)
                .map_err(|failure| Halt::from_failure("looking for files that were not listed", &failure))?;
        }
        let missing = std::mem::take(&mut self.missing);
        let mut denied_first = Vec::new();
        for (path, shown) in missing.iter().zip(shown) {
            match shown {
                Seen::File(_) => denied_first.push(path),
                Seen::Folder => self.verifying.find_wrong(path, Wrong::Missing, FOLDER_IN_PLACE),
                Seen::Nothing => self.verifying.find_wrong(path, Wrong::Missing, MISSING),
            }
        }
        self.warn_of_denied(&denied_first);
        self.name_dark_folders(way)
    }

    /// A name that rclone cannot carry cannot be asked for: there the listing alone decides, and the
    /// others do not wait for it.
    fn name_unaskable(&mut self) {
        for path in std::mem::take(&mut self.missing) {
            match self.encoding.encode(&path) {
                Ok(_) => self.missing.push(path),
                Err(error) => {
                    let reason =
                        format!("not listed by the remote, and not to be asked for by its name: {error}");
                    self.verifying.find_wrong(&path, Wrong::Missing, &reason);
                }
            }
        }
    }

    /// Somebody stopped us, and the remote cannot be asked any more: what its listing lacked counts.
    fn name_unlooked(&mut self) {
        for path in std::mem::take(&mut self.missing) {
            self.verifying.find_wrong(&path, Wrong::Missing, MISSING_UNLOOKED);
        }
    }

    fn warn_of_denied(&mut self, there: &[&TreePath]) {
        if there.is_empty() {
            return;
        }
        let named: Vec<String> = there.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        self.verifying.report.files_unverifiable += there.len() as u64;
        self.verifying.report.warnings.push(format!(
            "{} files are not listed by the remote, and yet there when asked for one by one ({}{}): its listings are \
             not to be relied on",
            there.len(),
            named.join(", "),
            if there.len() > NAMED_MAX { ", …" } else { "" }
        ));
    }

    /// A machine's own folder, and a bucket, do not lie: there empty is empty.
    fn name_dark_folders(&mut self, way: &Way<'_>) -> Result<(), Halt> {
        let found = &mut self.verifying.found;
        // Files that are there after all are not in `wrong`, nor is their folder dark.
        let still_dark: BTreeSet<TreePath> = std::mem::take(&mut found.dark)
            .into_iter()
            .filter(|folder| {
                let mut from = found.wrong.range(folder.clone()..);
                from.next().is_some_and(|(path, _)| path.is_within(folder))
            })
            .collect();
        if still_dark.is_empty() {
            return Ok(());
        }
        let features = way
            .session()?
            .features(&way.remote(None))
            .map_err(|failure| Halt::from_failure("asking what the remote can do", &failure))?;
        if features.is_local || features.bucket_based {
            return Ok(());
        }
        let named: Vec<String> = still_dark.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        self.verifying.report.warnings.push(format!(
            "whole folders list nothing ({}{}). Some remotes, AList and OpenList among them, answer any error so: look \
             at them on the web page of the remote before you believe it. A periodic check sends them again only when \
             the next one sees the same",
            named.join(", "),
            if still_dark.len() > NAMED_MAX { ", …" } else { "" }
        ));
        self.verifying.found.dark = still_dark;
        Ok(())
    }
}
