//! The check of the mirror that `check_every_days` asks for: when it is made, what
//! it finds, what it sends again, and what it does not believe. The recipe is called with
//! a clock of the test's own, the rclones and servers are real.

use crate::support::openlist::{as_told, behave};
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, edit, files_below, let_times_settle, rot_into};
use crate::support::world::{JOB, World};
use std::fs;
use std::path::{Path, PathBuf};
use treeferry::observe::{Counter, Event, Observer, Recorder};
use treeferry::workflow::budget::{BudgetLimits, RunBudget};
use treeferry::workflow::configuration::{Configuration, Defaults};
use treeferry::workflow::options::{BackupOptions, Stop};
use treeferry::workflow::report::{JobOutcome, JobReport};
use treeferry::workflow::{Machine, Surroundings, backup, check_rclone_flags};

const DAY: i64 = 24 * 60 * 60;

/// Day 7 is today, so that the program itself may run after it.
fn on(day: i64) -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp() + (day - 7) * DAY
}

/// A backup on that day; in a dry run, too.
fn on_day(world: &World, day: i64, dry_run: bool) -> JobReport {
    within(world, day, dry_run, BudgetLimits::default())
}

fn within(world: &World, day: i64, dry_run: bool, limits: BudgetLimits) -> JobReport {
    observed(world, day, dry_run, limits, &Recorder::default())
}

fn observed(
    world: &World,
    day: i64,
    dry_run: bool,
    limits: BudgetLimits,
    observer: &dyn Observer,
) -> JobReport {
    let defaults = Defaults { state_home: None, check_rclone_flags };
    let configuration =
        Configuration::parse(&world.configuration.text(), Path::new("config.toml"), &defaults).unwrap();
    let machine =
        Machine { environment: std::env::vars_os().collect(), temporary_directory: std::env::temp_dir() };
    let stop = Stop::default();
    let now = on(day);
    let clock = move || now;
    let mut surroundings = Surroundings::new(&configuration, machine, &stop, &clock, observer);
    surroundings.second_look_seconds = 0;
    let budget = RunBudget::starting_now(limits);
    let options = BackupOptions { dry_run, budget, ..BackupOptions::default() };
    backup(&configuration, configuration.job(JOB).unwrap(), &options, &surroundings)
}

/// Backed up on day 0, and checked then: it never was before.
fn checked(mut world: World, action: &str) -> World {
    world.set("check_every_days", "7");
    world.set("check_action", &format!("{action:?}"));
    Plan::odd(40, 11).plant(&world.source());
    for number in 0..12 {
        let file = world.source().join(format!("album/{number}"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("picture {number}")).unwrap();
    }
    let report = on_day(&world, 0, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    let check = report.check.unwrap();
    assert_eq!(check.files_verified, files_below(&world.source()).len() as u64);
    world
}

fn listings(world: &World) -> usize {
    world.rclone_calls().iter().filter(|call| call.starts_with("lsjson") && call.contains(" -R ")).count()
}

fn uploads(world: &World) -> usize {
    world.rclone_calls().iter().filter(|call| call.starts_with("copy")).count()
}

#[test]
fn a_check_is_one_listing_when_it_is_due_and_nothing_before() {
    let world = checked(World::local(Rclone::Current), "warn");
    let calls = world.rclone_calls().len();
    assert_eq!(listings(&world), 1);
    let early = on_day(&world, 6, false);
    assert_eq!((early.outcome, early.check), (JobOutcome::Protected, None));
    assert_eq!(world.rclone_calls().len(), calls, "an unchanged run sends nothing");
    assert_eq!(on_day(&world, 6, true).check_forecast, None);
    assert!(on_day(&world, 7, true).check_forecast.is_some(), "the plan says that it is due");
    assert_eq!(listings(&world), 1, "and makes none");

    // What happened in the source since is no damage, and is sent by the same run.
    edit(&world.source(), 6, 3);
    let index = world.index_bytes();
    let due = on_day(&world, 7, false);
    assert_ne!(world.index_bytes(), index, "the edits went up");
    assert_eq!(due.outcome, JobOutcome::Protected, "{due:?}");
    assert_eq!((listings(&world), due.check.unwrap().has_findings()), (2, false));
    assert_eq!(on_day(&world, 8, false).check, None);
    world.program.run(&["status"]).expect(0).says("next check");
}

#[test]
fn what_a_check_misses_is_named_in_every_run_until_it_is_sent_again() {
    let world = checked(World::local(Rclone::Current), "warn");
    fs::remove_file(world.mirror().join("odd kinds/first name")).unwrap();
    fs::write(world.mirror().join("odd kinds/second name"), "other").unwrap();
    fs::write(world.mirror().join("nobody's"), "whose?").unwrap();
    let sent = uploads(&world);
    let report = on_day(&world, 7, false);
    assert!(matches!(report.outcome, JobOutcome::Damaged { .. }), "{report:?}");
    let check = report.check.unwrap();
    assert_eq!((check.files_missing, check.files_damaged, check.files_surplus), (1, 1, 1));
    assert_eq!(uploads(&world), sent, "a check that warns sends nothing");

    let told = world.backup(&[]).expect(3).says("last check of the mirror");
    assert_eq!(told.number("files_unprotected"), 2, "{told}");
    world.program.run(&["status"]).expect(3).says("missing or damaged on the mirror");
    world.program.run(&["verify", JOB, "--remote", "--repair"]).expect(0).says("nobody's");
    fs::remove_file(world.mirror().join("nobody's")).unwrap();
    world.assert_mirror_equals_source();
    world.backup(&[]).expect(0);
    assert!(!world.program.run(&["status"]).expect(0).stdout.contains("missing or damaged"));
}

#[test]
fn a_file_that_is_rotten_here_and_damaged_there_is_one_file_that_is_not_protected() {
    let mut world = checked(World::local(Rclone::Current), "warn");
    // Once more with the clock of the files, so that their content is known to have settled.
    let_times_settle();
    world.set("check_every_days", "0");
    world.backup(&[]).expect(0);
    world.set("check_every_days", "7");
    let file = world.source().join("album/3");
    rot_into(&file, "pictore 3");
    world.program.run(&["verify", JOB, "--source"]).expect(15).says("album/3");
    fs::write(world.mirror().join("album/3"), "other").unwrap();
    assert!(matches!(on_day(&world, 7, false).outcome, JobOutcome::Damaged { .. }));

    let told = world.backup(&[]).expect(3).says("bit rot").says("something else in its place");
    assert_eq!(told.number("files_unprotected"), 1, "{told}");
}

#[test]
fn what_is_known_to_be_wrong_is_named_also_when_the_check_that_is_due_is_not_made() {
    let world = checked(World::served(Protocol::Wsgidav, Rclone::Current), "warn");
    fs::remove_file(world.mirror().join("album/3")).unwrap();
    assert!(matches!(on_day(&world, 7, false).outcome, JobOutcome::Damaged { .. }));
    let limits = BudgetLimits { requests: Some(1), ..BudgetLimits::default() };
    let assert_named = |report: &JobReport| {
        assert_eq!((report.unprotected.total, report.was_protected), (1, false), "{report:?}");
        assert!(report.unprotected.named.iter().any(|(path, _)| path.as_bytes() == b"album/3"));
        world.program.run(&["status"]).says("album/3");
    };
    let report = within(&world, 14, false, limits);
    assert_eq!(report.outcome, JobOutcome::Unprotected, "{report:?}");
    assert_named(&report);
    // The backup itself has not enough room.
    world.write("new/file", "content");
    let report = within(&world, 14, false, limits);
    assert_eq!(report.outcome, JobOutcome::Unprotected, "{report:?}");
    assert!(report.unprotected.named.iter().any(|(path, _)| path.as_bytes() == b"album/3"));
    fs::remove_dir_all(world.source().join("new")).unwrap();

    world.proxy.as_ref().unwrap().fail(|_| Some(Fault::Status(500)));
    let report = on_day(&world, 14, false);
    assert!(matches!(report.outcome, JobOutcome::RemoteUnwell { .. }), "{report:?}");
    assert_named(&report);
}

#[test]
fn status_knows_of_a_repair_before_the_next_backup() {
    let world = checked(World::local(Rclone::Current), "warn");
    fs::remove_file(world.mirror().join("odd kinds/first name")).unwrap();
    assert!(matches!(on_day(&world, 7, false).outcome, JobOutcome::Damaged { .. }));
    world.backup(&[]).expect(3);
    world.program.run(&["status"]).expect(3).says("did not find it there");
    world.program.run(&["verify", JOB, "--remote", "--repair"]).expect(0);
    assert!(!world.program.run(&["status"]).expect(0).stdout.contains("did not find it there"));
    world.backup(&[]).expect(0);
}

/// A monitor asks before the next run does.
#[test]
fn status_knows_what_a_verification_found_before_the_next_backup() {
    let world = World::local(Rclone::Current);
    for name in ["flipped", "missing", "stays"] {
        world.write(name, "some content");
    }
    world.backup(&[]).expect(0);
    fs::write(world.mirror().join("flipped"), "same contend").unwrap();
    fs::remove_file(world.mirror().join("missing")).unwrap();
    world.program.run(&["status"]).expect(0);
    world.program.run(&["verify", JOB, "--remote", "--download"]).expect(15);
    let told = world.program.run(&["--json", "status", "--max-age", "1d"]).expect(3);
    told.says("did not find it there").says("found something else in its place");
    world.program.run(&["verify", JOB, "--remote", "--download", "--repair"]);
    world.program.run(&["verify", JOB, "--remote", "--download"]).expect(0);
    world.program.run(&["status", "--max-age", "1d"]).expect(0);
}

#[test]
fn status_still_names_what_a_repair_could_not_send() {
    let world = checked(World::local(Rclone::Current), "warn");
    for name in ["first name", "second name"] {
        fs::remove_file(world.mirror().join("odd kinds").join(name)).unwrap();
    }
    assert!(matches!(on_day(&world, 7, false).outcome, JobOutcome::Damaged { .. }));
    world.backup(&[]).expect(3);
    world.program.run(&["verify", JOB, "--remote", "--repair", "odd kinds/first name"]).expect(0);
    let told = world.program.run(&["status"]).expect(3).says("second name");
    assert!(!told.stdout.contains("first name"), "{told}");
}

#[test]
fn a_version_that_is_replaced_or_gone_is_not_missed_any_more() {
    let world = checked(World::local(Rclone::Current), "warn");
    for lost in ["odd kinds/first name", "album/3"] {
        fs::remove_file(world.mirror().join(lost)).unwrap();
    }
    assert!(matches!(on_day(&world, 7, false).outcome, JobOutcome::Damaged { .. }));
    fs::write(world.source().join("odd kinds/first name"), "a new version").unwrap();
    let report = on_day(&world, 8, false);
    assert_eq!(report.unprotected.total, 1, "{report:?}");
    fs::remove_file(world.source().join("album/3")).unwrap();
    let report = on_day(&world, 9, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    world.assert_mirror_equals_source();
}

#[test]
fn a_check_that_repairs_sends_again_what_the_source_has() {
    for protocol in [None, Some(Protocol::Wsgidav)] {
        let world = match protocol {
            None => World::local(Rclone::Current),
            Some(protocol) => World::served(protocol, Rclone::Current),
        };
        let world = checked(world, "repair");
        fs::remove_file(world.mirror().join("odd kinds/first name")).unwrap();
        fs::write(world.mirror().join("odd kinds/second name"), "of another length").unwrap();
        let report = on_day(&world, 7, false);
        assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
        let check = report.check.unwrap();
        assert_eq!((check.files_missing, check.files_damaged, check.files_repaired), (1, 1, 2));
        assert!(report.files_uploaded >= 2 && report.run_id.is_some());
        world.assert_mirror_equals_source();
        assert!(world.all_trash().iter().any(|(_, bytes)| bytes == b"of another length"), "never in place");
        assert!(world.rclone_calls().iter().all(|call| !call.starts_with("sync")));
        assert_eq!(on_day(&world, 8, false).outcome, JobOutcome::Protected);
    }
}

/// Somebody writes `file` while a check is at work, as soon as it has found something.
struct EditedMeanwhile {
    file: PathBuf,
    content: String,
}

impl Observer for EditedMeanwhile {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Finding { .. }) {
            fs::write(&self.file, &self.content).unwrap();
        }
    }

    fn count(&self, _: Counter, _: u64) {}
}

#[test]
fn a_file_that_is_edited_while_a_check_finds_it_spoiled_is_wrong_until_it_is_sent() {
    let world = checked(World::local(Rclone::Current), "repair");
    let spoil = || {
        fs::write(world.mirror().join("album/3"), "of another length").unwrap();
        fs::remove_file(world.mirror().join("album/7")).unwrap();
    };
    let edited = |content: String| EditedMeanwhile { file: world.source().join("album/3"), content };
    spoil();
    let sent = edited("edited".into());
    let report = observed(&world, 7, false, BudgetLimits::default(), &sent);
    assert!(matches!(report.outcome, JobOutcome::Damaged { .. }), "that version is lost: {report:?}");
    world.assert_mirror_equals_source();
    assert_eq!(on_day(&world, 8, false).outcome, JobOutcome::Protected);

    // There was no room to send it.
    spoil();
    let unsent = edited("edited again".repeat(1_000));
    let limits = BudgetLimits { transfer_bytes: Some(1_000), ..BudgetLimits::default() };
    let report = observed(&world, 14, false, limits, &unsent);
    assert_eq!(report.check.as_ref().unwrap().files_repaired, 1, "{report:?}");
    assert_eq!(fs::read(world.mirror().join("album/3")).unwrap(), b"of another length");
    let report = within(&world, 15, false, limits);
    assert!(report.unprotected.named.iter().any(|(path, _)| path.to_string() == "album/3"), "{report:?}");
    assert_eq!(on_day(&world, 16, false).outcome, JobOutcome::Protected);
    world.assert_mirror_equals_source();
}

#[test]
fn a_remote_that_shows_next_to_nothing_is_unwell_and_nothing_is_sent() {
    let world = checked(World::local(Rclone::Current), "repair");
    let away = world.root().join("away");
    fs::rename(world.mirror(), &away).unwrap();
    fs::create_dir(world.mirror()).unwrap();
    let sent = uploads(&world);
    let report = on_day(&world, 7, false);
    assert!(
        matches!(&report.outcome, JobOutcome::RemoteUnwell { reason } if reason.contains("the backup is done"))
    );
    assert!(report.was_protected);
    assert_eq!(uploads(&world), sent);
    fs::remove_dir(world.mirror()).unwrap();
    fs::rename(&away, world.mirror()).unwrap();
    // It is made up for by the next run.
    let report = on_day(&world, 8, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    assert!(report.check.is_some());
}

#[test]
fn a_folder_that_openlist_denies_is_an_unwell_remote() {
    let world = checked(World::served(Protocol::Webdav, Rclone::Current), "repair");
    let proxy = world.proxy.as_ref().unwrap();
    behave(proxy);
    proxy.fail(|seen| {
        let is_album = seen.path.contains("/album") && seen.method == "PROPFIND";
        is_album.then(|| Fault::Status(as_told("PROPFIND")))
    });
    let sent = uploads(&world);
    let report = on_day(&world, 7, false);
    assert!(matches!(report.outcome, JobOutcome::RemoteUnwell { .. }), "{report:?}");
    assert_eq!(uploads(&world), sent, "nothing is sent again");
    proxy.fail(|_| None);
    let report = on_day(&world, 8, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    assert_eq!((report.check.unwrap().files_missing, uploads(&world)), (0, sent));
}

#[test]
fn a_folder_that_lists_as_empty_is_not_sent_again_at_first_sight() {
    let world = checked(World::served(Protocol::Wsgidav, Rclone::Current), "repair");
    let album = world.mirror().join("album");
    let away = world.root().join("away");
    fs::rename(&album, &away).unwrap();
    fs::create_dir(&album).unwrap();
    let sent = uploads(&world);
    let report = on_day(&world, 7, false);
    assert!(matches!(report.outcome, JobOutcome::Damaged { .. }), "{report:?}");
    assert!(report.warnings.iter().any(|warning| warning.contains("album")), "{report:?}");
    assert_eq!((report.check.unwrap().files_missing, uploads(&world)), (12, sent), "nothing is sent again");
    // It was an error after all: the next run looks again, without being due, and all is well.
    fs::remove_dir(&album).unwrap();
    fs::rename(&away, &album).unwrap();
    let report = on_day(&world, 8, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    assert_eq!((report.check.unwrap().files_missing, uploads(&world)), (0, sent));
    assert_eq!(on_day(&world, 9, false).check, None);
}

#[test]
fn a_folder_that_is_gone_is_sent_again_when_a_second_check_does_not_see_it_either() {
    let world = checked(World::served(Protocol::Wsgidav, Rclone::Current), "repair");
    fs::remove_dir_all(world.mirror().join("album")).unwrap();
    assert!(matches!(on_day(&world, 7, false).outcome, JobOutcome::Damaged { .. }));
    assert!(!world.mirror().join("album").exists());
    let report = on_day(&world, 8, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    assert_eq!(report.check.unwrap().files_repaired, 12);
    world.assert_mirror_equals_source();
}

/// `wide` is to be cut; what has odd names belongs to the rest.
fn large(world: &World, folders: usize) {
    for number in 0..folders {
        let folder = world.source().join(format!("wide/{}/{number}", number % 4));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), format!("{number}")).unwrap();
    }
    for odd in ["[odd]/a", "new\nline/b", "照片/c"] {
        let file = world.source().join(odd);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, odd).unwrap();
    }
}

#[test]
fn a_check_that_a_budget_ends_goes_on_where_it_stopped() {
    let mut world = World::served(Protocol::Wsgidav, Rclone::Current);
    large(&world, 420);
    world = checked(world, "repair");
    let before = listings(&world);
    assert_eq!(before, 1, "it is not so large where nothing is short");
    for lost in ["wide/0/0/file", "wide/3/3/file", "[odd]/a"] {
        fs::remove_file(world.mirror().join(lost)).unwrap();
    }
    fs::write(world.mirror().join("wide/2/2/file"), "of another size").unwrap();
    fs::write(world.mirror().join("wide/1/nobody's"), "whose?").unwrap();
    let limits = BudgetLimits { requests: Some(340), ..BudgetLimits::default() };
    let mut runs = 0;
    let report = loop {
        runs += 1;
        let listed = listings(&world);
        let requests = world.requests();
        let report = within(&world, 7, false, limits);
        assert!(world.requests() - requests <= 440, "{} requests", world.requests() - requests);
        if report.check.is_some() {
            break report;
        }
        assert!(matches!(report.outcome, JobOutcome::BudgetSpent { .. }), "{report:?}");
        assert!(listings(&world) > listed && runs < 9, "no run of {runs} came any further");
        // What is sent again meanwhile is not held against the mirror.
        if runs == 1 {
            fs::write(world.source().join("wide/3/3/file"), "a newer version").unwrap();
        }
    };
    assert!(runs > 1 && listings(&world) > before + 3);
    let check = report.check.unwrap();
    assert_eq!((check.files_surplus, check.files_damaged), (1, 1), "{check:?}");
    assert!((2..=3).contains(&check.files_missing), "{check:?}");
    fs::remove_file(world.mirror().join("wide/1/nobody's")).unwrap();
    world.assert_mirror_equals_source();
    assert_eq!(on_day(&world, 8, false).check, None, "it is done");
}

#[test]
fn a_large_mirror_that_is_gone_is_unwell_and_nothing_of_the_check_is_kept() {
    let mut world = World::local(Rclone::Current);
    large(&world, 1_300);
    world = checked(world, "repair");
    let away = world.root().join("away");
    fs::rename(world.mirror(), &away).unwrap();
    fs::create_dir(world.mirror()).unwrap();
    let report = on_day(&world, 7, false);
    assert!(matches!(report.outcome, JobOutcome::RemoteUnwell { .. }), "{report:?}");
    assert!(!world.configuration.state_dir.join(JOB).join("check-progress.json").exists());
    fs::remove_dir(world.mirror()).unwrap();
    fs::rename(&away, world.mirror()).unwrap();
    let report = on_day(&world, 8, false);
    assert_eq!(report.outcome, JobOutcome::Protected, "{report:?}");
    let check = report.check.unwrap();
    assert_eq!(check.files_verified, files_below(&world.source()).len() as u64);
    assert_eq!((check.files_missing, check.files_surplus), (0, 0));
}
