//! Stopped at any moment: by a signal that asks, by one that does not, by a
//! remote that fails. Two runs later everything is as if nothing had happened,
//! and no version that was ever confirmed is lost.

use crate::support::openlist;
use crate::support::program::Finished;
use crate::support::proxy::{Fault, Seen};
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, edit, files_below};
use crate::support::world::{JOB, World};
use crate::support::{Dice, is_long};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use treeferry::disk::RealDisk;
use treeferry::journal::{self, JournalWriter, Settled};
use treeferry::model::{BatchItem, Lane};
use treeferry::observe::Silent;

type Versions = BTreeSet<(PathBuf, Vec<u8>)>;

fn world(protocol: Option<Protocol>) -> World {
    let mut world =
        protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    world
}

/// Every version that the mirror holds now: after a run with exit 0, confirmed.
fn versions_on_the_mirror(world: &World) -> Versions {
    let mirror = world.mirror();
    files_below(&mirror)
        .into_iter()
        .map(|path| (path.clone(), fs::read(mirror.join(path)).unwrap()))
        .collect()
}

/// Asserts that each of these is in the mirror or in the trash, under its path.
#[track_caller]
fn assert_none_lost(world: &World, confirmed: &Versions, after: &str) {
    let mut there = versions_on_the_mirror(world);
    there.extend(world.all_trash());
    let lost: Vec<_> = confirmed.difference(&there).map(|(path, _)| path).collect();
    assert!(lost.is_empty(), "versions that were confirmed are nowhere after {after}: {lost:?}");
}

/// Two runs, after which nothing may be left of what happened.
#[track_caller]
fn assert_two_runs_heal(world: &World) {
    let first = world.backup(&[]);
    assert!([0, 3].contains(&first.code), "the first run after it:\n{first}");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "a third run still had something to do");
}

fn send(signal: Signal, child: &Child) {
    let id = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(id, signal).unwrap();
}

/// rclone processes that use this world's configuration, by looking at /proc.
fn rclones_at_work(world: &World) -> Vec<String> {
    let configuration = world.rclone_configuration.path.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let folder = entry.unwrap().path();
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let uses = command.contains(&configuration)
            || String::from_utf8_lossy(&environment).contains(&configuration);
        if uses && command.contains("rclone") {
            found.push(command);
        }
    }
    found
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kill_minus_nine(protocol: Option<Protocol>, kills: u64) {
    let world = world(protocol);
    Plan::plain(300, 1).plant(&world.source());
    let mut dice = Dice(2);
    // The first one hits the first upload, when there is no base yet.
    let mut confirmed = Versions::new();
    for kill in 0..kills {
        let mut run = world.program.start(&["backup"]);
        std::thread::sleep(Duration::from_millis(dice.roll() % 700));
        send(Signal::KILL, &run);
        run.wait().unwrap();
        wait_until("rclone dies with treeferry", || rclones_at_work(&world).is_empty());
        assert_two_runs_heal(&world);
        assert_none_lost(&world, &confirmed, "a kill");
        confirmed = versions_on_the_mirror(&world);
        edit(&world.source(), 12, 1_000 + kill);
    }
}

#[test]
fn kill_minus_nine_at_random_moments_on_a_local_remote() {
    kill_minus_nine(None, if is_long() { 50 } else { 10 });
}

#[test]
fn kill_minus_nine_at_random_moments_on_webdav() {
    kill_minus_nine(Some(Protocol::Webdav), if is_long() { 50 } else { 8 });
}

/// The owner file of the killed run is known by the docket, whatever other runs commit before
/// the remote is asked again.
#[test]
fn killed_behind_its_owner_file_a_run_is_known_after_a_run_that_needed_no_remote() {
    let world = world(Some(Protocol::Webdav));
    Plan::plain(120, 21).plant(&world.source());
    world.backup(&[]).expect(0);
    fs::write(world.source().join("new"), "content").unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| {
        let is_owner = seen.method == "PUT" && seen.path.ends_with("owner-2");
        is_owner.then_some(Fault::Hang(Duration::from_secs(60)))
    });
    let mut run = world.program.start(&["backup"]);
    wait_until("the owner file is written", || world.companion().join("owner-2").exists());
    send(Signal::KILL, &run);
    run.wait().unwrap();
    wait_until("rclone dies with treeferry", || rclones_at_work(&world).is_empty());

    for path in files_below(&world.source()) {
        let file = fs::File::options().append(true).open(world.source().join(path)).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
    }
    proxy.fail(|_| Some(Fault::Status(401)));
    let asked = world.requests();
    world.backup(&[]).expect(0);
    assert_eq!(world.requests(), asked, "a touched tree was no reason to ask the remote");

    proxy.heal();
    fs::write(world.source().join("newest"), "content").unwrap();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn kill_minus_nine_twice_in_a_row_is_no_worse() {
    let world = world(None);
    Plan::plain(300, 3).plant(&world.source());
    world.backup(&[]).expect(0);
    let confirmed = versions_on_the_mirror(&world);
    let mut dice = Dice(4);
    edit(&world.source(), 30, 5);
    for _ in 0..5 {
        let mut run = world.program.start(&["backup"]);
        std::thread::sleep(Duration::from_millis(dice.roll() % 300));
        send(Signal::KILL, &run);
        run.wait().unwrap();
    }
    assert_two_runs_heal(&world);
    assert_none_lost(&world, &confirmed, "a kill");
}

#[test]
fn no_file_with_a_journalled_receipt_is_sent_again() {
    let world = world(Some(Protocol::Webdav));
    Plan::plain(400, 6).plant(&world.source());
    let proxy = world.proxy.as_ref().unwrap();
    proxy.set_latency(Duration::from_millis(15));
    let mut run = world.program.start(&["backup"]);
    wait_until("half of the files are sent", || proxy.count("PUT") >= 200);
    send(Signal::KILL, &run);
    run.wait().unwrap();
    world.program.run(&["status"]).expect(3).says("the first backup has not finished yet");
    let sent = proxy.count("PUT");
    proxy.set_latency(Duration::ZERO);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    // Receipts are synced once a second or every 256; what is not yet synced may go again.
    let again = proxy.count("PUT") as i64 - 400 - 10;
    assert!(again <= sent as i64, "everything went up again");
    assert!(proxy.count("PUT") < 400 + sent, "{} uploads for 400 files", proxy.count("PUT"));
}

#[test]
fn a_polite_signal_saves_the_state_and_the_next_run_goes_on() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let world = world(Some(Protocol::Webdav));
        Plan::plain(300, 7).plant(&world.source());
        let proxy = world.proxy.as_ref().unwrap();
        proxy.set_latency(Duration::from_millis(20));
        let run = world.program.start(&["backup"]);
        wait_until("files are being sent", || proxy.count("PUT") >= 40);
        send(signal, &run);
        proxy.set_latency(Duration::ZERO);
        Finished::from(run.wait_with_output().unwrap()).expect(code);
        assert!(rclones_at_work(&world).is_empty(), "an rclone was left behind");
        assert_two_runs_heal(&world);
    }
}

#[test]
fn a_batch_that_takes_too_long_is_ended_after_its_grace() {
    if !is_long() {
        // Thirty seconds of grace are worth waiting for in the nightly form only; the short
        // form checks that the batch under way is not cut before.
        let world = world(Some(Protocol::Webdav));
        Plan::plain(20, 8).plant(&world.source());
        let proxy = world.proxy.as_ref().unwrap();
        proxy.set_latency(Duration::from_millis(100));
        let run = world.program.start(&["backup"]);
        wait_until("files are being sent", || proxy.count("PUT") >= 2);
        send(Signal::TERM, &run);
        Finished::from(run.wait_with_output().unwrap()).expect(143);
        assert_two_runs_heal(&world);
        return;
    }
    let world = world(Some(Protocol::Webdav));
    Plan::plain(20, 8).plant(&world.source());
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| (seen.method == "PUT").then_some(Fault::Hang(Duration::from_secs(90))));
    let run = world.program.start(&["backup"]);
    wait_until("files are being sent", || proxy.count("PUT") >= 1);
    send(Signal::TERM, &run);
    Finished::from(run.wait_with_output().unwrap()).expect(143);
    assert!(rclones_at_work(&world).is_empty(), "an rclone was left behind");
    proxy.heal();
    assert_two_runs_heal(&world);
}

#[test]
fn a_remote_that_fails_once_in_any_way_loses_nothing() {
    let world = world(Some(Protocol::Webdav));
    Plan::plain(120, 9).plant(&world.source());
    world.backup(&[]).expect(0);
    let faults = [
        Fault::Status(403),
        Fault::Status(405),
        Fault::Status(423),
        Fault::Status(500),
        Fault::Status(507),
        Fault::Refuse,
        Fault::LoseReply,
        Fault::CutUpload,
        Fault::CutReply,
    ];
    let mut dice = Dice(10);
    let proxy = world.proxy.as_ref().unwrap();
    for (round, fault) in faults.into_iter().enumerate() {
        let confirmed = versions_on_the_mirror(&world);
        edit(&world.source(), 4, 2_000 + round as u64);
        proxy.forget();
        let chosen = 1 + dice.roll() % 60;
        proxy.fail_request(chosen, fault);
        let hurt = world.backup(&[]);
        assert!([0, 1, 3, 5, 12, 14].contains(&hurt.code), "{fault:?}:\n{hurt}");
        let failed = proxy.seen().into_iter().find(|seen| seen.number == chosen);
        let after = format!("{fault:?} of {failed:?}, {hurt}");
        assert_none_lost(&world, &confirmed, &after);
        proxy.heal();
        assert_two_runs_heal(&world);
        assert_none_lost(&world, &confirmed, &after);
    }
}

#[test]
fn a_closed_a_full_and_an_unwell_remote_are_told_apart() {
    for (method, fault, code) in
        [("", Fault::Status(401), 12), ("PUT", Fault::Status(507), 14), ("", Fault::Refuse, 5)]
    {
        let world = world(Some(Protocol::Webdav));
        Plan::plain(40, 11).plant(&world.source());
        world.backup(&[]).expect(0);
        let confirmed = versions_on_the_mirror(&world);
        edit(&world.source(), 4, 12);
        let proxy = world.proxy.as_ref().unwrap();
        proxy.fail(move |seen| seen.method.starts_with(method).then_some(fault));
        world.backup(&[]).expect(code);
        assert_none_lost(&world, &confirmed, "a fault");
        proxy.heal();
        assert_two_runs_heal(&world);
    }
}

#[test]
fn a_remote_that_lies_like_openlist_loses_nothing() {
    let world = world(Some(Protocol::Webdav));
    let proxy = world.proxy.as_ref().unwrap();
    openlist::behave(proxy);
    Plan::plain(80, 13).plant(&world.source());
    // It may refuse an upload that meets the making of its folder.
    assert_two_runs_heal(&world);
    let mut dice = Dice(14);
    for round in 0..if is_long() { 60 } else { 8 } {
        let confirmed = versions_on_the_mirror(&world);
        edit(&world.source(), 3, 3_000 + round);
        proxy.forget();
        let chosen = 1 + dice.roll() % 50;
        proxy.fail(move |seen| {
            (seen.number == chosen).then(|| Fault::Status(openlist::as_told(&seen.method)))
        });
        let hurt = world.backup(&[]);
        let failed = proxy.seen().into_iter().find(|seen| seen.number == chosen);
        let after = format!("a lie about {failed:?}, {hurt}");
        assert_none_lost(&world, &confirmed, &after);
        proxy.heal();
        assert_two_runs_heal(&world);
        assert_none_lost(&world, &confirmed, &after);
    }
}

/// rclone deletes what a failed upload left. Killed before that, it must never come to
/// it: the next run has confirmed the very path by then.
#[test]
fn killed_in_an_upload_that_fails_no_late_deletion_hits_what_the_next_run_confirms() {
    let world = world(Some(Protocol::Webdav));
    let proxy = world.proxy.as_ref().unwrap();
    for round in 0..if is_long() { 20 } else { 3 } {
        fs::write(world.source().join("file"), format!("version of round {round}")).unwrap();
        let is_upload = |seen: &Seen| seen.method == "PUT" && seen.path.ends_with("photos/file");
        let last_that_fails = Arc::new(AtomicU64::new(u64::MAX));
        let limit = Arc::clone(&last_that_fails);
        proxy.forget();
        proxy.set_latency(Duration::from_millis(400));
        proxy.fail(move |seen| {
            (is_upload(seen) && seen.number <= limit.load(Ordering::Relaxed)).then_some(Fault::Status(500))
        });
        let mut run = world.program.start(&["backup"]);
        wait_until("the upload is under way", || proxy.seen().iter().any(is_upload));
        send(Signal::KILL, &run);
        let sent_by_the_first = proxy.total();
        last_that_fails.store(sent_by_the_first as u64, Ordering::Relaxed);
        proxy.set_latency(Duration::ZERO);
        // At once: nobody waits until the first one is gone.
        let second = world.backup(&[]);
        run.wait().unwrap();
        assert!([0, 3, 11].contains(&second.code), "{second}");
        std::thread::sleep(Duration::from_millis(600));
        let late: Vec<Seen> = proxy.seen().split_off(sent_by_the_first);
        let deletions =
            late.iter().filter(|seen| seen.method == "DELETE" && seen.path.ends_with("photos/file"));
        assert_eq!(deletions.count(), 0, "{late:#?}");
        assert_two_runs_heal(&world);
    }
}

/// A receipt that a bad disk has eaten: the intent of the upload behind it says as much.
#[test]
fn a_move_whose_receipt_is_lost_is_known_by_the_upload_that_followed_it() {
    for upload_is_confirmed in [true, false] {
        let mut world = world(None);
        world.write("f1", "the first version");
        world.write("f2", "as it is");
        world.backup(&[]).expect(0);
        world.write("f1", "another version");
        world.before_rclone(
            "case \"$*\" in *copy*files-from-raw*) \"$real\" \"$@\"; status=$?; kill -9 $PPID; exit $status;; esac",
        );
        assert_ne!(world.backup(&[]).code, 0);
        world.watch_rclone();
        forget_receipts(&world, upload_is_confirmed);
        let finished = world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert!(world.trashed("f1").contains(&"the first version".to_owned()), "{finished}");
        let told = world.program.run(&["log", "f1"]).expect(0);
        assert!(!told.stdout.contains("cannot be had"), "confirmed {upload_is_confirmed}: {told}");
        let before = world.root().join("before");
        let to = before.to_str().unwrap();
        world.program.run(&["restore", "--at", "1", "--to", to]).expect(0);
        assert_eq!(fs::read_to_string(before.join("f1")).unwrap(), "the first version");
    }
}

/// Writes the journal again without what it says of moves, and, for `is_confirmed`, with a
/// receipt for every upload.
fn forget_receipts(world: &World, is_confirmed: bool) {
    let path = world.configuration.state_dir.join(JOB).join("journal");
    let replay = journal::replay(&path).unwrap().unwrap();
    let batches: Vec<_> = replay.batches().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|one| one.batch.lane).collect::<Vec<_>>(), [Lane::Trash, Lane::Upload]);
    let disk = RealDisk::new(&Silent);
    fs::remove_file(&path).unwrap();
    let mut writer = JournalWriter::create(&disk, &path, &replay.header()).unwrap();
    for one in batches {
        writer.append_intent(one.number, &one.batch).unwrap();
        let BatchItem { stamp, permissions, digest, .. } = one.batch.items[0].clone();
        if one.batch.lane == Lane::Upload && is_confirmed {
            let confirmed = Settled::Confirmed { stamp, permissions, digest, racy: false };
            writer.append_outcomes(one.number, &[(0, confirmed)], Instant::now()).unwrap();
        }
    }
    writer.sync().unwrap();
}
