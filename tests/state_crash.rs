//! A run that crashes between any two verbs on the state directory, is
//! recovered, and crashes again in its recovery (`docs/write-order.md`).
//!
//! Goal: whatever was promised is there afterwards, and nothing that was never
//! confirmed. Method: a run in miniature over a `CrashDisk`, whose docket
//! simply lists what is confirmed; every legal crash image is recovered as
//! the workflow does it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;
use treeferry::commit::{SideFile, StateDir, docket_digest};
use treeferry::disk::{CrashDisk, CrashImage, Disk};
use treeferry::journal::{Header, JournalWriter, NotDone, Settled, replay};
use treeferry::model::{Batch, BatchItem, ContentDigest, Lane, Permissions, RunId, Stamp, TreePath};

/// In each batch.
const ITEMS: u32 = 24;

/// Paths.
type Set = BTreeSet<String>;

/// What a state directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    confirmed: Set,
    doubts: Set,
}

/// From this number of verbs on, this must be known.
#[derive(Default)]
struct Promises {
    confirmed: Vec<(usize, String)>,
    /// Sent, as far as anybody can tell: confirmed, failed or a doubt, but never forgotten.
    intended: Vec<(usize, String)>,
    failed: Set,
}

fn path(batch: u64, item: u32) -> String {
    format!("{item:02} of {batch}")
}

/// What becomes of an item: so many of each kind that records cross sectors.
fn is_confirmed(item: u32) -> bool {
    matches!(item % 4, 0 | 3)
}

fn items_of(number: u64, chosen: impl Fn(u32) -> bool) -> impl Iterator<Item = String> {
    (0..ITEMS).filter(move |item| chosen(*item)).map(move |item| path(number, item))
}

fn batch(number: u64) -> Batch {
    let item = |item| BatchItem {
        path: TreePath::from_bytes(path(number, item)).unwrap(),
        as_link: false,
        stamp: Stamp::default(),
        permissions: Permissions::default(),
        digest: Some(ContentDigest::of(&item.to_le_bytes())),
    };
    Batch { lane: Lane::Upload, items: (0..ITEMS).map(item).collect() }
}

fn header(belongs_to: Option<&[u8]>) -> Header {
    Header { run: RunId { sequence: 1, started_seconds: 0 }, belongs_to: docket_digest(belongs_to) }
}

fn confirmed() -> Settled {
    Settled::Confirmed {
        stamp: Stamp::default(),
        permissions: Permissions::default(),
        digest: None,
        racy: false,
    }
}

fn lines(set: &Set) -> Vec<u8> {
    set.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

fn set(bytes: Option<Vec<u8>>) -> Set {
    String::from_utf8(bytes.unwrap_or_default()).unwrap().lines().map(str::to_owned).collect()
}

/// Intent, outcomes with and without sync, checkpoint in the middle of a
/// batch, a second part after the restart, and the end.
fn run_in_miniature(state: &StateDir, disk: &CrashDisk) -> Promises {
    let now = Instant::now();
    let mut promises = Promises::default();
    let mut all_confirmed = Set::new();
    let mut journal = JournalWriter::create(disk, &state.journal_path(), &header(None)).unwrap();
    for number in 0..4 {
        journal.append_intent(number, &batch(number)).unwrap();
        promises.intended.extend(items_of(number, |_| true).map(|path| (disk.verbs(), path)));
        let outcomes = |chosen: fn(u32) -> bool, settled: Settled| -> Vec<(u32, Settled)> {
            (0..ITEMS).filter(|item| chosen(*item)).map(|item| (item, settled)).collect()
        };
        journal.append_outcomes(number, &outcomes(is_confirmed, confirmed()), now).unwrap();
        let failed = |item| item % 4 == 2;
        journal.append_outcomes(number, &outcomes(failed, Settled::NotDone(NotDone::Failed)), now).unwrap();
        promises.failed.extend(items_of(number, failed));
        all_confirmed.extend(items_of(number, is_confirmed));
        if number % 2 == 1 {
            journal.sync().unwrap();
            let synced = disk.verbs();
            promises.confirmed.extend(all_confirmed.iter().map(|path| (synced, path.clone())));
            // The others have no outcome: doubts, to be written before the journal is left behind.
            let doubts = (0..=number).flat_map(|number| items_of(number, |item| item % 4 == 1)).collect();
            state.write_side_file(disk, SideFile::Doubts, &lines(&doubts)).unwrap();
            let docket = lines(&all_confirmed);
            state.promote(disk, &docket).unwrap();
            journal.restart(&header(Some(&docket))).unwrap();
        }
    }
    journal.finish().unwrap();
    promises
}

/// What the workflow reads when it starts.
fn look(state: &StateDir) -> Known {
    let docket = state.read_docket().unwrap();
    let mut known = Known {
        confirmed: set(docket.clone()),
        doubts: set(state.read_side_file(SideFile::Doubts).unwrap()),
    };
    let replay = replay(&state.journal_path()).expect("no crash makes a journal unreadable");
    // A journal of another docket is history: its outcomes are in the current one.
    if let Some(replay) =
        replay.filter(|replay| replay.header().belongs_to == docket_digest(docket.as_deref()))
    {
        for batch in replay.batches().map(Result::unwrap) {
            known.doubts.extend(batch.doubts().map(|item| item.path.to_string()));
            let settled = batch.batch.items.iter().zip(&batch.settled);
            let confirmed = settled.filter(|(_, settled)| matches!(settled, Settled::Confirmed { .. }));
            known.confirmed.extend(confirmed.map(|(item, _)| item.path.to_string()));
        }
    }
    // Said to be a doubt before a crash took the promotion back.
    known.doubts = known.doubts.difference(&known.confirmed).cloned().collect();
    known
}

/// Doubts, docket, journal: in this order.
fn recover(state: &StateDir, disk: &dyn Disk) -> Known {
    let known = look(state);
    state.write_side_file(disk, SideFile::Doubts, &lines(&known.doubts)).unwrap();
    let docket = lines(&known.confirmed);
    state.promote(disk, &docket).unwrap();
    JournalWriter::create(disk, &state.journal_path(), &header(Some(&docket))).unwrap().finish().unwrap();
    known
}

fn check(known: &Known, verbs_done: usize, promises: &Promises) {
    let due = |promises: &[(usize, String)]| -> Set {
        promises.iter().filter(|(verbs, _)| *verbs <= verbs_done).map(|(_, path)| path.clone()).collect()
    };
    let missing: Vec<_> = due(&promises.confirmed).difference(&known.confirmed).cloned().collect();
    assert!(missing.is_empty(), "after {verbs_done} verbs, lost: {missing:?}");
    for path in due(&promises.intended) {
        let remembered = known.confirmed.contains(&path)
            || known.doubts.contains(&path)
            || promises.failed.contains(&path);
        assert!(remembered, "after {verbs_done} verbs, sent and forgotten: {path}");
    }
    let never_confirmed: Set =
        (0..4).flat_map(|number| items_of(number, |item| !is_confirmed(item))).collect();
    let invented = known.confirmed.intersection(&never_confirmed).next();
    assert_eq!(invented, None, "after {verbs_done} verbs");
}

/// Equal images promise what the latest of them promises.
fn distinct(images: Vec<CrashImage>) -> BTreeMap<BTreeMap<OsString, Vec<u8>>, usize> {
    images.into_iter().map(|image| (image.files, image.verbs_done)).collect()
}

fn put(files: BTreeMap<OsString, Vec<u8>>, verbs_done: usize, directory: &Path) {
    CrashImage { verbs_done, files }.write_to(directory).unwrap();
}

#[test]
fn after_a_crash_at_any_verb_everything_promised_is_there_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), "run").unwrap();
    let disk = CrashDisk::over(state.path()).unwrap();
    let promises = run_in_miniature(&state, &disk);
    let images = distinct(disk.crash_images());
    assert!(images.len() > 100, "only {} images", images.len());
    for (files, verbs_done) in images {
        put(files, verbs_done, state.path());
        check(&look(&state), verbs_done, &promises);
    }
}

#[test]
fn a_crash_during_recovery_changes_nothing_of_what_is_recovered() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), "run").unwrap();
    let disk = CrashDisk::over(state.path()).unwrap();
    run_in_miniature(&state, &disk);
    // One in seven first crashes, so that it stays a matter of seconds; every second crash of those.
    for (files, verbs_done) in distinct(disk.crash_images()).into_iter().step_by(7) {
        put(files, verbs_done, state.path());
        let recovery = CrashDisk::over(state.path()).unwrap();
        let known = recover(&state, &recovery);
        assert_eq!(look(&state), known);
        for (files, verbs_done) in distinct(recovery.crash_images()) {
            put(files, verbs_done, state.path());
            assert_eq!(look(&state), known, "second crash after {verbs_done} verbs");
        }
    }
}

#[test]
fn the_docket_is_the_old_or_the_new_one_in_every_crash() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), "run").unwrap();
    let disk = CrashDisk::over(state.path()).unwrap();
    let dockets = [vec![b'1'; 700], vec![b'2'; 1500]];
    for docket in &dockets {
        state.promote(&disk, docket).unwrap();
    }
    let images = disk.crash_images();
    assert!(images.len() > 30);
    for image in images {
        image.write_to(state.path()).unwrap();
        let docket = state.read_docket().unwrap();
        assert!(docket.is_none_or(|docket| dockets.contains(&docket)));
    }
}

/// What is open goes from one journal to the next in one piece.
#[test]
fn what_is_open_is_in_the_old_journal_or_in_the_new_one_in_every_crash() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), "run").unwrap();
    let disk = CrashDisk::over(state.path()).unwrap();
    let folder = TreePath::from_bytes("a folder").unwrap();
    let mut journal = JournalWriter::create(&disk, &state.journal_path(), &header(None)).unwrap();
    journal.append_intent(1, &batch(1)).unwrap();
    journal.append_folder_intent(&folder).unwrap();
    let intended = disk.verbs();
    journal.restart_with(&header(Some(b"the new docket")), &[(2, batch(1))], Some(&folder)).unwrap();
    assert_eq!(journal.open_items(), ITEMS as usize);
    // Numbers go on, and so does the journal.
    assert!(journal.append_intent(2, &batch(2)).is_err());
    journal.append_intent(3, &batch(3)).unwrap();
    journal.finish().unwrap();
    let mut seen = BTreeSet::new();
    for image in disk.crash_images().into_iter().filter(|image| image.verbs_done >= intended) {
        image.write_to(state.path()).unwrap();
        let replay = replay(&state.journal_path()).unwrap().unwrap();
        let open = replay.batches().next().unwrap().unwrap();
        assert_eq!(open.doubts().count(), ITEMS as usize);
        assert_eq!(replay.folders().len(), 1);
        seen.insert((open.number, replay.batches().count()));
    }
    assert_eq!(seen, BTreeSet::from([(1, 1), (2, 1), (2, 2)]));
}
