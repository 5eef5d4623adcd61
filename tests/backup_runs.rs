//! The main job, through the built program: the first run sends everything, the
//! second nothing, later ones the difference.

use crate::support::is_long;
use crate::support::program::{Job, chmod};
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, edit, files_below, let_times_settle};
use crate::support::world::{JOB, World};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[test]
fn the_first_run_sends_everything_and_the_mirror_equals_the_source() {
    for rclone in Rclone::BOTH {
        let world = World::local(rclone);
        Plan::plain(300, 1).plant(&world.source());
        let finished = world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(finished.number("files_uploaded"), 300);
        assert_eq!(finished.number("files_new"), 300);
        assert_eq!(finished.number("files_failed"), 0);
        assert_eq!(finished.number("exit_code"), 0);
        let bytes: u64 = files_below(&world.source())
            .iter()
            .map(|path| fs::metadata(world.source().join(path)).unwrap().len())
            .sum();
        assert_eq!(finished.number("bytes_uploaded"), bytes);
        assert_eq!(finished.summary()["job"], JOB);
        assert_eq!(finished.summary()["dry_run"], false);
    }
}

#[test]
fn an_unchanged_run_starts_no_rclone_sends_no_request_and_writes_no_index_byte() {
    for world in [World::local(Rclone::Current), World::served(Protocol::Webdav, Rclone::Current)] {
        Plan::odd(200, 2).plant(&world.source());
        let_times_settle();
        world.backup(&[]).expect(0);
        let (calls, requests, index) = (world.rclone_calls().len(), world.requests(), world.index_bytes());
        let finished = world.backup(&[]).expect(0);
        assert_eq!(world.requests(), requests, "a request was sent");
        assert_eq!(
            world.rclone_calls().len(),
            calls,
            "rclone was started: {:?}",
            world.rclone_calls().last()
        );
        assert_eq!(finished.number("files_uploaded"), 0);
        assert_eq!(finished.number("index_bytes_written"), 0);
        let changed: Vec<_> =
            world.index_bytes().into_iter().filter(|(path, bytes)| index.get(path) != Some(bytes)).collect();
        let changed: Vec<_> = changed.iter().map(|(path, bytes)| (path, bytes.len())).collect();
        assert!(changed.is_empty(), "bytes of the index changed: {changed:?}");
    }
}

#[test]
fn touch_and_chmod_of_the_whole_tree_send_nothing_and_trip_no_guard() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(200, 3).plant(&world.source());
    world.backup(&[]).expect(0);
    let requests = world.requests();
    let calls = world.rclone_calls().len();

    for path in files_below(&world.source()) {
        let earlier = SystemTime::now() - Duration::from_secs(3_600);
        let file = fs::File::options().append(true).open(world.source().join(path)).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(earlier)).unwrap();
    }
    let planned = world.backup(&["-n"]).expect(0);
    assert_eq!(planned.summary()["forecast"]["files_upload"], 0, "the plan would send what is the same");
    assert_eq!(planned.number("files_changed"), 0);
    let finished = world.backup(&[]).expect(0);
    assert_eq!(finished.number("files_uploaded"), 0, "touched files went up");

    // Too few for a guard to look at: the plan reads nothing, and says that it may be less.
    for path in files_below(&world.source()).iter().take(5) {
        chmod(&world.source().join(path), 0o700);
    }
    let planned = world.backup(&["-n"]).expect(0).summary();
    assert_eq!(
        (&planned["forecast"]["files_suspect"], &planned["forecast"]["files_upload"]),
        (&5.into(), &5.into())
    );

    for path in files_below(&world.source()) {
        chmod(&world.source().join(path), 0o600);
    }
    let finished = world.backup(&[]).expect(0);
    assert_eq!(finished.number("files_uploaded"), 0, "files with a new mode went up");
    assert_eq!(world.requests(), requests, "a request was sent");
    assert_eq!(world.rclone_calls().len(), calls, "rclone was started: {:?}", world.rclone_calls().last());
    world.assert_mirror_equals_source();
}

#[test]
fn a_change_of_the_same_size_with_its_old_mtime_is_found() {
    let world = World::local(Rclone::Current);
    Plan::plain(20, 4).plant(&world.source());
    let path = world.source().join("notes");
    fs::write(&path, "before").unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let_times_settle();
    world.backup(&[]).expect(0);
    fs::write(&path, "behind").unwrap();
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 1);
    world.assert_mirror_equals_source();
}

#[test]
fn any_sequence_of_edits_and_runs_leaves_mirror_and_source_equal() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        world.set("max_delete", "\"off\"");
        world.set("max_change", "\"off\"");
        Plan::plain(400, 5).plant(&world.source());
        world.backup(&[]).expect(0);
        for round in 0..if is_long() { 30 } else { 5 } {
            let edited = edit(&world.source(), 10, 100 + round);
            let finished = world.backup(&[]).expect(0);
            world.assert_mirror_equals_source();
            assert_eq!(
                finished.number("files_uploaded") as usize,
                edited.created.len() + edited.changed.len()
            );
        }
    }
}

#[test]
fn twenty_thousand_files_with_everything_odd_go_up_and_stay_equal() {
    let mut world = World::local(Rclone::Current);
    world.set("max_change", "\"off\"");
    Plan::odd(20_000, 6).plant(&world.source());
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    edit(&world.source(), 200, 7);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls);
}

#[test]
fn an_ordinary_user_backs_up_as_well_as_root() {
    let mut world = World::local(Rclone::Current);
    Plan::odd(100, 8).plant(&world.source());
    world.become_ordinary();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    edit(&world.source(), 5, 9);
    world.become_ordinary();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn special_files_and_links_are_recorded_and_neither_opened_nor_sent() {
    let world = World::local(Rclone::Current);
    Plan { files: 10, odd_names: false, odd_kinds: true, seed: 10 }.plant(&world.source());
    // A FIFO that is opened would hang the run for ever.
    let finished = world.backup(&[]).expect(0);
    assert_eq!(finished.number("files_uploaded") as usize, files_below(&world.source()).len());
    world.assert_mirror_equals_source();
    assert!(world.mirror().join("odd kinds/.git/HEAD").exists(), "nothing but `exclude` hides a file");
}

#[test]
fn links_are_followed_or_uploaded_when_asked() {
    let mut world = World::local(Rclone::Current);
    fs::write(world.source().join("file"), "content").unwrap();
    symlink("file", world.source().join("link")).unwrap();
    world.set("links", "\"upload\"");
    world.backup(&[]).expect(0);
    assert_eq!(fs::read_to_string(world.mirror().join("link.rclonelink")).unwrap(), "file");

    let mut world = World::local(Rclone::Current);
    fs::write(world.source().join("file"), "content").unwrap();
    symlink("file", world.source().join("link")).unwrap();
    world.set("links", "\"follow\"");
    world.backup(&[]).expect(0);
    assert_eq!(fs::read_to_string(world.mirror().join("link")).unwrap(), "content");
}

#[test]
fn a_plan_sends_nothing_and_says_what_a_backup_would_do() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(30, 11).plant(&world.source());
    for arguments in [&["--json", "plan"][..], &["--json", "backup", "-n"]] {
        let finished = world.program.run(arguments).expect(0);
        assert_eq!(finished.number("files_new"), 30);
        assert_eq!(finished.summary()["dry_run"], true);
        assert_eq!(files_below(world.mirror().parent().unwrap()).len(), 0, "something was sent");
    }
    assert_eq!(world.proxy.as_ref().map(|proxy| proxy.count("PUT")), Some(0));
}

#[test]
fn excluded_names_stay_at_home_and_the_plan_names_the_rule() {
    let mut world = World::local(Rclone::Current);
    world.set("exclude", "[\"*.tmp\", \"cache/\", \"!keep.tmp\"]");
    for name in ["photo.jpg", "scratch.tmp", "keep.tmp"] {
        fs::write(world.source().join(name), name).unwrap();
    }
    fs::create_dir(world.source().join("cache")).unwrap();
    fs::write(world.source().join("cache/inside"), "").unwrap();
    world.program.run(&["plan", "--excluded"]).expect(0).says("scratch.tmp").says("*.tmp");
    world.backup(&[]).expect(0);
    let held: Vec<String> =
        files_below(&world.mirror()).iter().map(|path| path.to_string_lossy().into_owned()).collect();
    assert_eq!(held, ["keep.tmp", "photo.jpg"]);
}

#[test]
fn several_jobs_run_in_order_and_one_that_fails_stops_no_other() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(20, 12).plant(&world.source());
    let held = world.mirror().parent().unwrap().to_path_buf();
    let missing =
        Job::new("missing", &world.root().join("nowhere"), &format!("local:{}/missing", held.display()));
    world.configuration.jobs.insert(0, missing);
    world.write_configuration();
    let finished = world.backup(&[]).expect(13);
    world.assert_mirror_equals_source();
    let summaries = finished.messages("summary");
    assert!(summaries.iter().any(|summary| summary["job"] == JOB && summary["exit_code"] == 0), "{finished}");
    assert!(!held.join("missing").exists());

    // Only the named one runs.
    fs::write(world.source().join("later"), "x").unwrap();
    world.backup(&[JOB]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn status_and_the_log_tell_what_happened() {
    let world = World::local(Rclone::Current);
    world.program.run(&["status"]).expect(10);
    Plan::plain(20, 13).plant(&world.source());
    world.backup(&[]).expect(0);
    world.program.run(&["status"]).expect(0).says(JOB);
    let logs = world.configuration.state_dir.join("logs");
    let log = files_below(&logs).into_iter().next().expect("a log file of today");
    assert!(log.to_string_lossy().starts_with("backup-"), "{log:?}");
}

#[test]
fn what_cannot_be_read_is_named_and_its_old_copy_stays() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(40, 14).plant(&world.source());
    fs::create_dir(world.source().join("closed")).unwrap();
    fs::write(world.source().join("closed/inside"), "held").unwrap();
    fs::write(world.source().join("sealed"), "held as well").unwrap();
    world.become_ordinary();
    world.backup(&[]).expect(0);

    chmod(&world.source().join("closed"), 0o000);
    fs::write(world.source().join("sealed"), "changed, and not readable").unwrap();
    chmod(&world.source().join("sealed"), 0o000);
    let finished = world.backup(&[]).expect(3).says("closed").says("sealed");
    assert!(finished.number("files_unprotected") >= 1);
    assert_eq!(fs::read_to_string(world.mirror().join("closed/inside")).unwrap(), "held");
    let inside = Path::new("closed/inside");
    assert!(world.all_trash().iter().all(|(path, _)| path != inside), "an error was taken for a deletion");
    // The old version of the sealed file may have gone aside already; it must not have gone.
    let sealed = (PathBuf::from("sealed"), b"held as well".to_vec());
    let is_on_mirror = fs::read(world.mirror().join("sealed")).is_ok_and(|bytes| bytes == sealed.1);
    assert!(is_on_mirror || world.all_trash().contains(&sealed), "the last good copy is gone");

    chmod(&world.source().join("closed"), 0o755);
    chmod(&world.source().join("sealed"), 0o644);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_folder_that_cannot_be_read_is_not_protected_though_nothing_changed() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(40, 14).plant(&world.source());
    world.write("closed/inside", "held");
    world.become_ordinary();
    world.backup(&[]).expect(0);
    chmod(&world.source().join("closed"), 0o000);
    for number in 0..2 {
        let told = world.backup(&[]).expect(3).says("closed").says("cannot be read");
        assert_eq!(told.number("files_unprotected"), 1, "{told}");
        world.program.run(&["plan"]).expect(3).says("closed");
        world.program.run(&["status"]).expect(3).says("closed");
        world.write(&format!("new {number}"), "another change");
    }
    assert!(world.mirror().join("new 0").exists() && world.mirror().join("closed/inside").exists());
    assert_eq!(world.trash().len(), 0, "an error was taken for a deletion");
    chmod(&world.source().join("closed"), 0o755);
    world.backup(&[]).expect(0);
    world.program.run(&["status"]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_taken_for_confirmed() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    let big = world.source().join("big");
    fs::write(&big, vec![7; 4_000_000]).unwrap();
    // The last byte changes while the request waits in the proxy.
    let victim = big.clone();
    world.proxy.as_ref().unwrap().fail(move |seen| {
        if seen.method == "PUT" {
            let mut bytes = fs::read(&victim).unwrap();
            *bytes.last_mut().unwrap() = bytes.last().unwrap().wrapping_add(1);
            fs::write(&victim, bytes).unwrap();
        }
        None
    });
    world.backup(&[]).expect(3).says("big");
    world.proxy.as_ref().unwrap().heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn restoring_by_hand_is_a_plain_copy() {
    let world = World::local(Rclone::Current);
    Plan::plain(30, 16).plant(&world.source());
    world.backup(&[]).expect(0);
    let back = world.root().join("back");
    let copied = Rclone::Current
        .command(&world.rclone_configuration.path)
        .arg("copy")
        .args([&world.mirror(), &back])
        .status()
        .unwrap();
    assert!(copied.success());
    crate::support::mirror::assert_same(&world.source(), &back);
    let mode = fs::metadata(world.configuration.state_dir.join(JOB)).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "the index names every file: others must not read it");
}

#[test]
fn only_small_files_on_a_local_mirror_go_in_place() {
    let in_place = |world: &World| -> Vec<bool> {
        let calls = world.rclone_calls();
        calls.iter().filter(|call| call.starts_with("copy ")).map(|call| call.contains("--inplace")).collect()
    };
    let local = World::local(Rclone::Current);
    let served = World::served(Protocol::Webdav, Rclone::Current);
    let oldest = World::local(Rclone::Oldest);
    for world in [&local, &served, &oldest] {
        world.write("small", "a few bytes");
        fs::write(world.source().join("large"), vec![7; 3 << 20]).unwrap();
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
    }
    assert_eq!(in_place(&local), [true, false], "{:?}", local.rclone_calls());
    for world in [&served, &oldest] {
        assert_eq!(in_place(world), [false, false], "{:?}", world.rclone_calls());
    }
}
