//! What hangs on the time: expired trash, a clock that jumps, checkpoints. The
//! recipe is called with a clock of the test's own, the rclone is real.

use crate::support::servers::Rclone;
use crate::support::trees::{Plan, files_below};
use crate::support::world::{JOB, World};
use std::collections::HashSet;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};
use treeferry::commit::StateDir;
use treeferry::disk::RealDisk;
use treeferry::index::{DataId, Docket, Edit, MapMode, NodeFile, Tree, find, live_bytes, rewrite};
use treeferry::model::{ContentDigest, EntryFlags, Lane, Outcome, OwnedEntry, Stamp, Timestamp, TreePath};
use treeferry::observe::{Counter, Event, Observer, Phase, Recorder, Silent};
use treeferry::workflow::configuration::{Configuration, Defaults};
use treeferry::workflow::options::{BackupOptions, Guard, Stop};
use treeferry::workflow::report::{JobOutcome, JobReport};
use treeferry::workflow::{
    Machine, PruneOptions, PruneReport, Surroundings, backup, check_rclone_flags, prune,
};

const DAY: i64 = 24 * 60 * 60;
const START: i64 = 1_790_000_000;

fn back_up(
    world: &World,
    clock: &(dyn Fn() -> i64 + Sync),
    accept: &[Guard],
    observer: &dyn Observer,
) -> JobReport {
    let defaults = Defaults { state_home: None, check_rclone_flags };
    let text = world.configuration.text();
    let configuration = Configuration::parse(&text, Path::new("config.toml"), &defaults).unwrap();
    let machine =
        Machine { environment: std::env::vars_os().collect(), temporary_directory: std::env::temp_dir() };
    let stop = Stop::default();
    let surroundings = Surroundings::new(&configuration, machine, &stop, clock, observer);
    let options = BackupOptions { accept: accept.to_vec(), ..BackupOptions::default() };
    backup(&configuration, configuration.job(JOB).unwrap(), &options, &surroundings)
}

fn on_day(world: &World, day: i64, accept: &[Guard]) -> JobReport {
    let mut report = back_up(world, &|| START + day * DAY, accept, &Recorder::default());
    // Tests share this process: an rclone that another one is just starting holds our lock until it is one.
    for _ in 0..50 {
        if !matches!(report.outcome, JobOutcome::LockHeld { .. }) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        report = back_up(world, &|| START + day * DAY, accept, &Recorder::default());
    }
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    report
}

#[test]
fn trash_older_than_its_retention_is_purged_and_younger_is_not() {
    let world = World::local(Rclone::Current);
    Plan::plain(5, 1).plant(&world.source());
    fs::write(world.source().join("a"), "version 0").unwrap();
    on_day(&world, 0, &[]);
    for day in [1, 20, 31] {
        fs::write(world.source().join("a"), format!("version of day {day}")).unwrap();
        on_day(&world, day, &[]);
    }
    assert_eq!(world.trash().len(), 3, "day 31: the trash of day 1 was in use until day 20");
    on_day(&world, 51, &[]);
    let left: Vec<String> = world.trash().into_keys().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|run| !run.starts_with("000002-")), "the oldest went: {left:?}");
    on_day(&world, 80, &[]);
    assert_eq!(world.trash().len(), 0, "all three are older than 30 days now");
    world.assert_mirror_equals_source();
}

/// Length of the node file, what of it the retained states reach, and which file it is.
fn node_file(world: &World) -> (u64, u64, DataId) {
    let state = world.configuration.state_dir.join(JOB);
    let docket = Docket::decode(&fs::read(state.join("docket")).unwrap()).unwrap();
    let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = names.filter(|path| path.to_str().unwrap().contains("/nodes.")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let nodes = NodeFile::open(&files[0], &docket, MapMode::Read).unwrap();
    (fs::metadata(&files[0]).unwrap().len(), live_bytes(&nodes, &docket).unwrap(), docket.data_id)
}

#[test]
fn the_node_file_is_never_longer_than_twice_what_the_retained_states_reach() {
    let mut world = World::local(Rclone::Current);
    world.set("trash_retention_days", "3");
    Plan::plain(1_200, 1).plant(&world.source());
    let mut ids = HashSet::new();
    let mut written = 0;
    for day in 0..14 {
        // Every entry gets another stamp; one file goes up, and its old version to the trash.
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs((START + (day - 100) * DAY) as u64);
        for path in files_below(&world.source()) {
            let file = fs::File::options().write(true).open(world.source().join(path)).unwrap();
            file.set_modified(then).unwrap();
        }
        fs::write(world.source().join("a"), format!("version of day {day}")).unwrap();
        written += on_day(&world, day, &[]).index_bytes_written;
        let (length, live, id) = node_file(&world);
        // Less than 64 KiB of dead bytes is not worth a compaction.
        assert!(length <= (2 * live).max(live + (64 << 10)), "day {day}: {length} bytes, {live} alive");
        ids.insert(id);
    }
    let (length, _, _) = node_file(&world);
    assert!(ids.len() > 1 && written > length, "{written} bytes were written, the file has {length}");
}

/// `prune` on some day.
fn prune_on_day(world: &World, day: i64, dry_run: bool, accept: &[Guard]) -> PruneReport {
    let defaults = Defaults { state_home: None, check_rclone_flags };
    let text = world.configuration.text();
    let configuration = Configuration::parse(&text, Path::new("config.toml"), &defaults).unwrap();
    let machine =
        Machine { environment: std::env::vars_os().collect(), temporary_directory: std::env::temp_dir() };
    let stop = Stop::default();
    let clock = || START + day * DAY;
    let recorder = Recorder::default();
    let surroundings = Surroundings::new(&configuration, machine, &stop, &clock, &recorder);
    let options = PruneOptions { dry_run, accept: accept.to_vec() };
    prune(&configuration, configuration.job(JOB).unwrap(), &options, &surroundings)
}

#[test]
fn prune_empties_expired_trash_without_a_backup_and_counts_the_snapshots_that_needed_it() {
    let world = World::local(Rclone::Current);
    assert_eq!(prune_on_day(&world, 0, false, &[]).outcome, JobOutcome::NoIndex);
    Plan::plain(5, 1).plant(&world.source());
    fs::write(world.source().join("a"), "version 0").unwrap();
    on_day(&world, 0, &[]);
    for day in [1, 20] {
        fs::write(world.source().join("a"), format!("version of day {day}")).unwrap();
        on_day(&world, day, &[]);
    }
    let early = prune_on_day(&world, 25, false, &[]);
    assert_eq!((early.outcome, early.emptied.len()), (JobOutcome::Protected, 0));
    let dry = prune_on_day(&world, 51, true, &[]);
    assert_eq!((dry.emptied.len(), world.trash().len()), (2, 2), "{dry:?}");
    let pruned = prune_on_day(&world, 51, false, &[]);
    assert_eq!((pruned.emptied, pruned.versions, pruned.snapshots_dropped), (dry.emptied, 2, 2));
    assert_eq!(world.trash().len(), 0);
    assert_eq!(prune_on_day(&world, 51, false, &[]).emptied, []);
    on_day(&world, 52, &[]);
    world.assert_mirror_equals_source();
}

#[test]
fn prune_does_not_believe_a_clock_that_jumped() {
    let world = World::local(Rclone::Current);
    fs::write(world.source().join("a"), "version 0").unwrap();
    on_day(&world, 0, &[]);
    fs::write(world.source().join("a"), "another version").unwrap();
    on_day(&world, 1, &[]);
    let stopped = prune_on_day(&world, 5_000, false, &[]).outcome;
    assert!(matches!(stopped, JobOutcome::GuardStopped { guard: Some(Guard::Clock), .. }), "{stopped:?}");
    assert_eq!(world.trash().len(), 1);
    assert_eq!(prune_on_day(&world, 5_000, false, &[Guard::Clock]).emptied.len(), 1);
    assert_eq!(world.trash().len(), 0);
}

#[test]
fn a_clock_that_jumps_purges_nothing_until_somebody_accepts() {
    let world = World::local(Rclone::Current);
    fs::write(world.source().join("a"), "version 0").unwrap();
    on_day(&world, 0, &[]);
    fs::write(world.source().join("a"), "another version").unwrap();
    on_day(&world, 1, &[]);
    let jumped = on_day(&world, 5_000, &[]);
    assert_eq!(world.trash().len(), 1);
    assert!(jumped.warnings.iter().any(|warning| warning.contains("--accept clock")), "{jumped:?}");
    on_day(&world, 5_000, &[Guard::Clock]);
    assert_eq!(world.trash().len(), 0);
}

#[test]
fn trash_from_before_a_clock_was_ahead_is_purged_with_what_came_after() {
    let world = World::local(Rclone::Current);
    for day in [0, 1, 1_000, 3, 4] {
        fs::write(world.source().join("a"), format!("the version of day {day}")).unwrap();
        on_day(&world, day, &[Guard::Clock]);
    }
    assert_eq!(world.trash().len(), 4);
    on_day(&world, 45, &[Guard::Clock]);
    let left: Vec<String> = world.trash().into_keys().collect();
    assert_eq!(left.len(), 0, "{left:?}");
}

#[test]
fn trash_that_is_to_be_kept_for_ever_is() {
    let mut world = World::local(Rclone::Current);
    world.set("trash_retention_days", "0");
    fs::write(world.source().join("a"), "version 0").unwrap();
    on_day(&world, 0, &[]);
    fs::write(world.source().join("a"), "another version").unwrap();
    on_day(&world, 1, &[]);
    on_day(&world, 50, &[Guard::Clock]);
    assert_eq!(world.trash().len(), 1);
}

/// Time flies: a quarter of an hour at every look at the clock. Each batch is
/// followed by a checkpoint, and the end must be as without them.
#[test]
fn checkpoints_in_between_change_nothing_about_the_end() {
    let time = AtomicI64::new(START);
    let clock = || time.fetch_add(16 * 60, Ordering::Relaxed);
    let mut world = World::local(Rclone::Current);
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    world.set("trash_retention_days", "0");
    Plan::odd(700, 2).plant(&world.source());
    let recorder = Recorder::default();
    let report = back_up(&world, &clock, &[], &recorder);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    world.assert_mirror_equals_source();
    for seed in 0..4 {
        crate::support::trees::edit(&world.source(), 60, 50 + seed);
        let recorder = Recorder::default();
        let report = back_up(&world, &clock, &[], &recorder);
        assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
        world.assert_mirror_equals_source();
        assert!(recorder.counted(Counter::Syncs) > 10, "no checkpoint was made");
    }
    let recorder = Recorder::default();
    let report = back_up(&world, &clock, &[], &recorder);
    assert_eq!((report.files_uploaded, report.index_bytes_written), (0, 0));
    assert_eq!(recorder.counted(Counter::RcloneProcesses), 0);
}

/// From the first confirmed upload to the end of the lanes no docket can be written.
struct NoDocketForAWhile {
    obstacle: PathBuf,
}

impl Observer for NoDocketForAWhile {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Settled { lane: Lane::Upload, outcome: Outcome::Confirmed, .. } => {
                fs::create_dir(&self.obstacle).unwrap();
            }
            Event::PhaseStarted(Phase::Commit) => fs::remove_dir(&self.obstacle).unwrap_or_default(),
            _ => {}
        }
    }

    fn count(&self, _counter: Counter, _amount: u64) {}
}

/// What a checkpoint could not write down is in the journal, and only there.
#[test]
fn after_a_checkpoint_that_failed_the_run_commits_nothing_and_the_next_one_knows_what_was_sent() {
    let time = AtomicI64::new(START);
    let clock = || time.fetch_add(16 * 60, Ordering::Relaxed);
    let world = World::local(Rclone::Current);
    Plan::plain(20, 1).plant(&world.source().join("elsewhere"));
    world.write("it", "the first version");
    let report = back_up(&world, &clock, &[], &Recorder::default());
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");

    world.write("it", "the second version, longer");
    let state = world.configuration.state_dir.join(JOB);
    let obstacle = state.join(".docket.new");
    let report = back_up(&world, &clock, &[], &NoDocketForAWhile { obstacle: obstacle.clone() });
    assert!(matches!(report.outcome, JobOutcome::Fatal { .. }), "{report:?}");
    let _ = fs::remove_dir(obstacle);
    assert!(state.join("journal").exists(), "what was confirmed is nowhere");

    let report = back_up(&world, &clock, &[], &Recorder::default());
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("it"), ["the first version"]);
}

/// A run that takes a week replaces versions until its end, and each of its records knows some.
#[test]
fn what_a_long_run_replaced_is_as_old_as_its_end_whichever_checkpoint_knows_it() {
    let time = AtomicI64::new(START);
    let mut world = World::local(Rclone::Current);
    world.set("max_change", "\"off\"");
    world.set("trash_retention_days", "3");
    let write = |content: &str| {
        for number in 0..450 {
            fs::write(world.source().join(format!("file {number}")), content).unwrap();
        }
    };
    write("first");
    let report = back_up(&world, &|| time.load(Ordering::Relaxed), &[], &Recorder::default());
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    write("second version");
    let clock = || time.fetch_add(DAY / 3, Ordering::Relaxed);
    let report = back_up(&world, &clock, &[], &Recorder::default());
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    assert!(report.finished - report.started > time::Duration::days(4), "{report:?}");
    assert_eq!(world.all_trash().len(), 450);
    world.assert_mirror_equals_source();
}

/// What `path` holds is taken back to `content` in the index, under the stamp that the file has now; and
/// the scan that found it so was an hour from now.
fn pretend_the_clock_was_ahead(world: &World, path: &str, content: &str) {
    let state = StateDir::open(&world.configuration.state_dir, JOB).unwrap();
    let docket = Docket::decode(&state.read_docket().unwrap().unwrap()).unwrap();
    let id: String = docket.data_id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let nodes = NodeFile::open_for_append(&state.node_file_path(&id), &docket, MapMode::Read).unwrap();
    let tree = Tree::new(&nodes, docket.base, &Silent);
    let path = TreePath::from_bytes(path).unwrap();
    let metadata = path.below(&world.source()).metadata().unwrap();
    let stamp = Stamp {
        size: metadata.len(),
        mtime: Timestamp { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 },
        ctime: Timestamp { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() as u32 },
        inode: metadata.ino(),
    };
    let digest = Some(ContentDigest::of(content.as_bytes()));
    let known = find(&tree, &path).unwrap().unwrap();
    let entry = OwnedEntry { stamp, digest, flags: EntryFlags::NONE, ..known };
    let writer = nodes.writer(&Silent);
    let base = rewrite(&tree, [Ok::<_, Infallible>(Edit::Put { path, entry })], &writer).unwrap();
    let mut facts = docket.facts.clone();
    facts.scan_started.seconds += 60 * 60;
    let committed_length = writer.sync().unwrap();
    let docket = Docket { base, facts, committed_length, ..docket };
    state.promote(&RealDisk::new(&Silent), &docket.encode()).unwrap();
}

/// Written at a time that came a second time: the stamp is that of before, and the content is not.
#[test]
fn after_the_clock_was_set_back_files_of_a_later_time_are_read_and_not_only_announced() {
    let world = World::local(Rclone::Current);
    Plan::plain(5, 1).plant(&world.source());
    for name in ["it", "same"] {
        world.write(name, "the first version");
    }
    world.backup(&[]).expect(0);
    let later = SystemTime::now() + Duration::from_secs(30 * 60);
    world.write("it", "the other version");
    for (name, content) in [("it", "the first version"), ("same", "the first version")] {
        let file = fs::File::options().write(true).open(world.source().join(name)).unwrap();
        file.set_modified(later).unwrap();
        pretend_the_clock_was_ahead(&world, name, content);
    }
    // The first run has no room for it: it is not forgotten.
    world.backup(&["--max-transfer", "10"]).expect(4);
    let next = world.backup(&[]).expect(0);
    assert_eq!((next.number("files_uploaded"), next.number("files_unprotected")), (1, 0), "{next}");
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("it"), ["the first version"]);
    assert_eq!(world.trashed("same"), [""; 0]);
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls);
}
