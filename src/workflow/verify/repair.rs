//! Sends again what the mirror lost or spoiled and the source still has.
//!
//! No lane of its own: the index is made to say what the remote was found to
//! hold, and an ordinary backup sees to the difference, with all its guards. What
//! lies in the wrong on the mirror goes to the trash first, as ever.

use super::progress::remembered;
use super::{Found, VerifyReport};
use crate::index::{Edit, Finder, Tree};
use crate::model::{EntryFlags, EntryKind, Failure, OwnedEntry, Stamp, TreePath};
use crate::observe::{Event, Phase};
use crate::scan::{RootDirectory, read_file};
use crate::transfer::{Place, Seen};
use crate::workflow::backoff::Patience;
use crate::workflow::budget::RunBudget;
use crate::workflow::check_state::Remembered;
use crate::workflow::committed::{Aside, CommitNote, Committed};
use crate::workflow::configuration::{Configuration, Job};
use crate::workflow::connect::Connector;
use crate::workflow::halt::Halt;
use crate::workflow::history::open_with_index;
use crate::workflow::opened::{Opened, open_to_write};
use crate::workflow::owner::{self, Belief};
use crate::workflow::periodic_check::send_again;
use crate::workflow::source::open_root;
use crate::workflow::surroundings::Surroundings;
use crate::workflow::way::{Way, control_for_looking};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::os::unix::ffi::OsStrExt;

/// More are left for the next time.
pub(super) const WRONG_MAX: usize = 100_000;

/// Paths of one command that looks.
const LOOKS_AT_ONCE: usize = 1_000;

/// What is wrong with a file on the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workflow) enum Wrong {
    /// It is not there.
    Missing,
    /// Another content lies there.
    Damaged,
}

/// Repairs what can be repaired, and notes in the report how much that was.
pub(super) fn repair(
    configuration: &Configuration,
    job: &Job,
    found: &mut Found,
    budget: &RunBudget,
    surroundings: &Surroundings<'_>,
    report: &mut VerifyReport,
) -> Result<(), Halt> {
    if found.wrong.is_empty() {
        return Ok(());
    }
    let wrong = repairable(configuration, job, &found.wrong, surroundings, report)?;
    let Admitted { paths: repaired, others } =
        admit(configuration, job, &wrong, found, surroundings, report)?;
    if repaired.is_empty() {
        return Ok(());
    }
    // From here on the index knows of them by itself.
    for path in &repaired {
        found.no_longer_wrong(path);
    }
    let mut sent = send_again(configuration, job, budget, surroundings);
    report.warnings.append(&mut sent.warnings);
    report.repair_run = Some(Box::new(sent));
    let opened = open_with_index(configuration, job, surroundings)?;
    let tree = Tree::new(&opened.nodes, opened.docket.base, surroundings.observer);
    let mut finder = Finder::new(&tree);
    for path in &repaired {
        if matches!(finder.find(path), Ok(Some(entry)) if entry.digest.is_some() || entry.kind == EntryKind::Symlink)
        {
            report.files_repaired += 1;
        }
    }
    for other in others {
        let Some(path) = other.path() else { continue };
        // The run sent what the source has by now, or took the file from the mirror.
        if !finder.find(&path).map_err(Halt::fatal)?.is_some_and(|known| other.is_still(&known)) {
            found.no_longer_wrong(&path);
        }
    }
    Ok(())
}

/// Without those that can neither be asked for nor sent, and those that a folder lies in the place of.
///
/// A remote that lies says of everything that it is not there, and sending it all
/// again is the least of it: an upload that fails in the place of a good copy takes that
/// away. So the owner file must be seen, and what is missing must be denied a second
/// time, a minute later.
fn repairable(
    configuration: &Configuration,
    job: &Job,
    wrong: &BTreeMap<TreePath, Wrong>,
    surroundings: &Surroundings<'_>,
    report: &mut VerifyReport,
) -> Result<BTreeMap<TreePath, Wrong>, Halt> {
    let opened = open_with_index(configuration, job, surroundings)?;
    let control = control_for_looking(surroundings);
    let way = Way::new(job, &opened.docket, &control, surroundings);
    let encoding = way.session()?.encoding();
    let mut repairable = BTreeMap::new();
    for (path, wrong) in wrong {
        match encoding.encode(path) {
            Ok(_) => drop(repairable.insert(path.clone(), *wrong)),
            Err(error) => report.warnings.push(format!("{path}: it cannot be sent again: {error}")),
        }
    }
    let missing = repairable.iter().filter(|(_, wrong)| **wrong == Wrong::Missing);
    let missing: Vec<_> = missing.map(|(path, _)| path.clone()).collect();
    if missing.is_empty() {
        return Ok(repairable);
    }
    wait_for_second_look(missing.len(), &way, surroundings)?;
    let belief = Belief::of(&opened.docket.facts, false, job.companion.to_string());
    if belief.sequence > 0 {
        owner::check(&way.session()?, &belief, &Patience::at_the_door(surroundings, None))?;
    }
    let missing = looks(&missing, &Tree::new(&opened.nodes, opened.docket.base, surroundings.observer))?;
    for path in folders_in_place(&missing, &way, surroundings)? {
        repairable.remove(&path);
        report
            .warnings
            .push(format!("{path}: a folder lies in its place on the remote, it was not sent again"));
    }
    Ok(repairable)
}

fn wait_for_second_look(missing: usize, way: &Way<'_>, surroundings: &Surroundings<'_>) -> Result<(), Halt> {
    let features = way.session()?.features(&way.remote(None)).map_err(cannot_look)?;
    if features.is_local || features.bucket_based {
        return Ok(());
    }
    let seconds = surroundings.second_look_seconds;
    let summary = format!(
        "{missing} files seem to be missing: the remote is asked again in {seconds} s, before anything is sent"
    );
    surroundings.observer.event(&Event::PhaseFinished { phase: Phase::Verify, summary: &summary });
    surroundings.pause(seconds)
}

fn cannot_look(failure: Failure) -> Halt {
    Halt::from_failure("looking again for what is missing", &failure)
}

/// All are still missing; in the place of these lies a folder.
fn folders_in_place(
    missing: &[(TreePath, bool)],
    way: &Way<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<TreePath>, Halt> {
    let mut folders = Vec::new();
    for some in missing.chunks(LOOKS_AT_ONCE) {
        surroundings.halt_if_stopped()?;
        let shown = way.looking()?.look_past_folders(Place::Mirror, some).map_err(cannot_look)?;
        for ((path, _), shown) in some.iter().zip(shown) {
            match shown {
                Seen::Nothing => {}
                Seen::File(_) => {
                    return Err(Halt::RemoteUnwell(
                        "the remote shows files now that it denied a moment ago: nothing was repaired".into(),
                    ));
                }
                Seen::Folder => folders.push(path.clone()),
            }
        }
    }
    Ok(folders)
}

/// The files to look for, and whether each lies there as a link.
pub(super) fn looks(paths: &[TreePath], tree: &Tree<'_>) -> Result<Vec<(TreePath, bool)>, Halt> {
    let mut finder = Finder::new(tree);
    let look = |path: &TreePath| {
        let known = finder.find(path).map_err(Halt::fatal)?;
        Ok((path.clone(), known.is_some_and(|known| known.kind == EntryKind::Symlink)))
    };
    paths.iter().map(look).collect()
}

struct Admitted {
    /// The next backup will send them.
    paths: BTreeSet<TreePath>,
    /// What else was found to be wrong, in the version that it was found in: it may
    /// have been changed in the source, and then the next backup sends that.
    others: Vec<Remembered>,
}

/// Makes the index admit what was found, as far as it can be sent again.
fn admit(
    configuration: &Configuration,
    job: &Job,
    wrong: &BTreeMap<TreePath, Wrong>,
    found: &Found,
    surroundings: &Surroundings<'_>,
    report: &mut VerifyReport,
) -> Result<Admitted, Halt> {
    let opened = open_to_write(configuration, job, surroundings)?;
    if opened.docket.facts.last_run != report.snapshot || opened.state.journal_path().exists() {
        return Err(Halt::Guard {
            guard: None,
            message:
                "a backup ran meanwhile, or was interrupted before: run `treeferry backup`, then verify again"
                    .into(),
        });
    }
    let root = open_root(job)?;
    let (mut edits, mut paths) = (Vec::new(), BTreeSet::new());
    let tree = Tree::new(&opened.nodes, opened.docket.base, surroundings.observer);
    let mut finder = Finder::new(&tree);
    for (path, wrong) in wrong {
        surroundings.halt_if_stopped()?;
        let Some(known) = finder.find(path).map_err(Halt::fatal)?.filter(OwnedEntry::is_on_mirror) else {
            continue;
        };
        if !is_in_source(job, &root, path, &known, surroundings) {
            report.warnings.push(format!("{path}: the source does not have this version any more either"));
            continue;
        }
        edits.push(match wrong {
            Wrong::Missing => Edit::Remove { path: path.clone() },
            Wrong::Damaged => Edit::Put { path: path.clone(), entry: unknown_content(&known) },
        });
        edits.push(Edit::Unconfirmed { path: path.clone() });
        paths.insert(path.clone());
    }
    let all = found.wrong.iter().chain(&found.postponed).map(|(path, wrong)| (path, *wrong));
    let others = remembered(all.filter(|(path, _)| !paths.contains(path)), &tree)?;
    commit(&opened, &Connector::new(job, &opened.state, surroundings), edits)?;
    Ok(Admitted { paths, others })
}

/// Something of which only the place is known: no stamp of the source equals it.
fn unknown_content(known: &OwnedEntry) -> OwnedEntry {
    OwnedEntry { flags: EntryFlags::RACY, stamp: Stamp::default(), digest: None, ..known.clone() }
}

/// The source has the very version that the mirror should have: a rotten file
/// must not stand in for it.
fn is_in_source(
    job: &Job,
    root: &RootDirectory,
    path: &TreePath,
    known: &OwnedEntry,
    surroundings: &Surroundings<'_>,
) -> bool {
    if known.kind == EntryKind::Symlink {
        let target = std::fs::read_link(path.below(&job.source));
        return target.is_ok_and(|target| known.target.as_deref() == Some(target.as_os_str().as_bytes()));
    }
    let followed = known.flags.contains(EntryFlags::FOLLOWED);
    let read = read_file(root, path, followed, surroundings.observer);
    read.is_ok_and(|read| match known.digest {
        Some(digest) => read.digest == digest,
        None => read.stamp == known.stamp,
    })
}

fn commit(opened: &Opened, connector: &Connector<'_>, edits: Vec<Edit>) -> Result<(), Halt> {
    let mut committed = Committed::of(opened, connector);
    let now = connector.surroundings.now_seconds();
    let note = CommitNote { run: committed.next_run(now), finished_seconds: now, recovered: false };
    let mut facts = committed.docket.facts.clone();
    facts.complete = false;
    committed.commit(edits.into_iter().map(Ok::<_, Infallible>), Aside::default(), facts, &note)?;
    Ok(())
}
