//! What stops a run before it does harm: guards, the lock, a configuration that
//! cannot be right. Each says how to go on.

use crate::support::program::{Finished, Job, chmod};
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, files_below};
use crate::support::world::{JOB, World};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// 120 files, sent.
fn backed_up() -> World {
    let world = World::local(Rclone::Current);
    Plan::plain(120, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    world
}

/// Runs, expects guard `name` to stop it with nothing sent, and goes on with `--accept`.
#[track_caller]
fn stops_until_accepted(world: &World, name: &str) {
    let before = everything_on_the_remote(world);
    world.backup(&[]).expect(13).says(&format!("--accept {name}"));
    assert!(everything_on_the_remote(world) == before, "{name} stopped the run too late");
    world.backup(&["--accept", name]).expect(0);
}

fn everything_on_the_remote(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let root = world.root().join("remote");
    files_below(&root).into_iter().map(|path| (path.clone(), fs::read(root.join(path)).unwrap())).collect()
}

#[test]
fn a_mass_deletion_is_stopped() {
    let world = backed_up();
    for path in files_below(&world.source()).iter().take(40) {
        fs::remove_file(world.source().join(path)).unwrap();
    }
    world.backup(&[]).expect(13).says("40");
    stops_until_accepted(&world, "max-delete");
    world.assert_mirror_equals_source();
}

#[test]
fn a_mass_change_is_stopped() {
    let world = backed_up();
    for path in files_below(&world.source()).iter().take(80) {
        fs::write(world.source().join(path), "encrypted, pay here").unwrap();
    }
    stops_until_accepted(&world, "max-change");
    world.assert_mirror_equals_source();
}

/// Each of two runs in a row comes to its end but for the owner file: the first wrote it and
/// was not told, the second did not write it.
#[test]
fn an_owner_file_of_ours_is_known_however_many_runs_failed_after_it() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 2).plant(&world.source());
    world.backup(&[]).expect(0);
    let proxy = world.proxy.as_ref().unwrap();
    for (number, fault) in [(2, Fault::LoseReply), (3, Fault::Status(403))] {
        fs::write(world.source().join(format!("new {number}")), "content").unwrap();
        let owner = format!("owner-{number}");
        // rclone removes what it could not upload: that must not work either.
        proxy.fail(move |seen| match seen.method.as_str() {
            "PUT" if seen.path.ends_with(&owner) => Some(fault),
            "DELETE" if seen.path.ends_with(&owner) => Some(Fault::Status(403)),
            _ => None,
        });
        let failed = world.backup(&[]);
        assert_ne!(failed.code, 0, "{failed}");
        assert_ne!(failed.code, 13, "{failed}");
    }
    proxy.heal();
    fs::write(world.source().join("newest"), "content").unwrap();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn what_is_only_left_out_is_not_called_vanished() {
    let mut world = backed_up();
    for number in 0..60 {
        world.write(&format!("left out/{number}"), "x");
    }
    world.backup(&[]).expect(0);
    world.set("exclude", "[\"/left out\"]");
    let stopped = world.backup(&["--accept", "excluded"]).expect(13);
    assert!(!stopped.to_string().contains("vanished from"), "{stopped}");
    stopped.says("60 of them did not vanish, they are only left out").says("--accept excluded,max-delete");
    world.backup(&["--accept", "excluded,max-delete"]).expect(0);
    assert!(!world.mirror().join("left out/1").exists());
}

/// A new mode is a new stamp: whether there is anything to send, reading tells.
#[test]
fn what_may_be_no_change_is_announced_with_at_most() {
    let world = backed_up();
    for path in files_below(&world.source()).iter().take(20) {
        chmod(&world.source().join(path), 0o700);
    }
    let finished = world.program.run(&["backup"]).expect(0).says("nothing to send");
    finished.says("to send: at most 20 files").says("to take: at most 20 versions out of the mirror");
}

#[test]
fn few_deletions_pass() {
    let world = backed_up();
    for path in files_below(&world.source()).iter().take(20) {
        fs::remove_file(world.source().join(path)).unwrap();
    }
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_missing_an_empty_and_an_unreadable_source_delete_nothing() {
    let mut world = backed_up();
    let away = world.root().join("away");
    let source = world.source();
    fs::rename(&source, &away).unwrap();
    let before = everything_on_the_remote(&world);
    world.backup(&[]).expect(13);

    fs::create_dir(&source).unwrap();
    world.backup(&[]).expect(13).says("--accept source-empty");

    fs::remove_dir(&source).unwrap();
    fs::rename(&away, &source).unwrap();
    world.become_ordinary();
    chmod(&source, 0o000);
    world.backup(&[]).expect(13);
    assert!(everything_on_the_remote(&world) == before);

    chmod(&source, 0o755);
    world.backup(&[]).expect(0);
}

#[test]
fn another_source_under_the_same_name_is_stopped() {
    let mut world = backed_up();
    let other = world.root().join("other");
    Plan::plain(120, 2).plant(&other);
    let remote = format!("local:{}", world.mirror().display());
    world.configuration.jobs = vec![Job::new(JOB, &other, &remote)];
    world.write_configuration();
    world.backup(&[]).expect(13).says("--accept source-changed");
}

/// The same companion, so that the owner file in it is no proof: what holds the run up is the guard alone.
#[test]
fn another_remote_under_the_same_name_is_stopped_even_when_nothing_changed() {
    let mut world = backed_up();
    let other = world.root().join("remote/backup/other");
    let old = format!("local:{}", world.mirror().display());
    point_to(&mut world, &format!("local:{}/", other.display()));
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("somebody else's"), "").unwrap();
    let calls = world.rclone_calls().len();
    for verb in ["backup", "plan"] {
        let stopped = world.program.run(&["--json", verb]).expect(13);
        stopped.says("--accept remote-changed").says(&old).says("remote/backup/other");
    }
    for command in [&["verify", "--remote"][..], &["prune"]] {
        world.program.run(command).expect(13).says("remote-changed");
    }
    assert_eq!(world.rclone_calls().len(), calls, "something was asked of the remote");
    world.program.run(&["status"]).says("the mirror of the last run is");
    // What is not looked for at the right place is named so.
    let to = world.root().join("restored");
    world.program.run(&["restore", "--to", to.to_str().unwrap()]).says("the index speaks of the mirror at");
    assert_eq!(files_below(&other).len(), 1);

    point_to(&mut world, &format!("{old}//"));
    let calls = world.rclone_calls().len();
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    assert_eq!(world.rclone_calls().len(), calls, "a slash more is no other place");
}

#[test]
fn a_mirror_that_was_moved_is_believed_when_somebody_says_so() {
    let mut world = backed_up();
    let other = world.root().join("remote/backup/other");
    fs::rename(world.mirror(), &other).unwrap();
    point_to(&mut world, &format!("local:{}", other.display()));
    world.backup(&[]).expect(13);
    let accepted = world.backup(&["--accept", "remote-changed"]).expect(0);
    assert_eq!(accepted.number("files_uploaded"), 0);
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "an unchanged run asks nothing");
    world.program.run(&["verify", "--remote"]).expect(0);
    fs::write(world.source().join("later"), "1").unwrap();
    world.backup(&[]).expect(0);
    assert!(other.join("later").exists() && !world.mirror().exists());
}

fn point_to(world: &mut World, remote: &str) {
    world.configuration.jobs = vec![Job::new(JOB, &world.source(), remote)];
    let companion = format!("\"local:{}\"", world.companion().display());
    world.set("companion", &companion);
}

#[test]
fn an_empty_source_is_no_first_backup() {
    let world = World::local(Rclone::Current);
    world.backup(&[]).expect(13).says("perhaps a disk is not mounted").says("--accept source-empty");
    assert!(world.rclone_calls().iter().all(|call| call.contains("backend features")), "something was sent");
    world.backup(&["--accept", "source-empty"]).expect(0);
    Plan::plain(3, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_mirror_that_is_not_empty_is_not_taken_over_by_a_first_run() {
    let world = World::local(Rclone::Current);
    Plan::plain(20, 3).plant(&world.source());
    fs::create_dir_all(world.mirror()).unwrap();
    fs::write(world.mirror().join("somebody else's"), "").unwrap();
    let plan = world.program.run(&["plan"]).expect(0).says("would send 20 files");
    let stopped = world.program.run(&["backup"]).expect(13).says("--accept nonempty-remote");
    for nothing_was_sent in [plan, stopped] {
        assert!(!nothing_was_sent.to_string().contains("sending"), "{nothing_was_sent}");
    }
    world.program.run(&["backup", "--accept", "nonempty-remote"]).expect(0).says("sending 20 files");
    assert!(world.mirror().join("somebody else's").exists());
}

/// Nothing is overwritten in place, also not what somebody else put there.
#[test]
fn what_lies_in_the_way_on_a_mirror_that_is_let_pass_goes_to_the_trash() {
    for (protocol, rclone) in [
        (None, Rclone::Current),
        (None, Rclone::Oldest),
        (Some(Protocol::Webdav), Rclone::Current),
        (Some(Protocol::S3), Rclone::Current),
    ] {
        let world = protocol.map_or_else(|| World::local(rclone), |protocol| World::served(protocol, rclone));
        for (path, content) in [
            ("same", "ours"),
            ("file", "ours"),
            ("folder/deep/x", "ours"),
            ("folder/y", "ours"),
            ("new/z", "ours"),
        ] {
            world.write(path, content);
        }
        let theirs =
            [("same", "theirs"), ("file/a", "theirs a"), ("file/b/c", "theirs c"), ("folder", "theirs too")];
        // In a bucket `file` and `file/a` are no hindrance to each other.
        let theirs = if protocol == Some(Protocol::S3) { &theirs[..1] } else { &theirs[..] };
        for (path, content) in theirs.iter().copied().chain([("else/where", "stays")]) {
            let place = world.mirror().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, content).unwrap();
        }
        world.backup(&[]).expect(13).says("--accept nonempty-remote");
        world.backup(&["--accept", "nonempty-remote"]).expect(0);
        world.backup(&[]).expect(0);
        for &(path, content) in theirs {
            assert_eq!(world.trashed(path), [content], "{protocol:?} {rclone:?} {path}");
        }
        assert_eq!(fs::read(world.mirror().join("else/where")).unwrap(), b"stays");
        for path in files_below(&world.source()) {
            assert_eq!(fs::read(world.mirror().join(path)).unwrap(), b"ours");
        }
    }
}

#[test]
fn an_empty_source_that_is_right_needs_one_consent_and_one_that_is_left_out_none() {
    let mut world = backed_up();
    world.set("exclude", "[\"*\"]");
    world.backup(&[]).expect(0);
    assert_eq!(files_below(&world.mirror()).len(), 120, "what is left out is kept");
    let world = backed_up();
    fs::remove_dir_all(world.source()).unwrap();
    fs::create_dir(world.source()).unwrap();
    stops_until_accepted(&world, "source-empty");
    assert!(files_below(&world.mirror()).is_empty());
}

#[test]
fn a_rolled_back_state_is_a_foreign_writer() {
    let world = backed_up();
    let state = world.configuration.state_dir.clone();
    let saved = world.root().join("saved");
    copy_folder(&state, &saved);
    fs::write(world.source().join("second"), "run").unwrap();
    world.backup(&[]).expect(0);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&saved, &state).unwrap();
    fs::write(world.source().join("third"), "run").unwrap();
    stops_until_accepted(&world, "foreign-writer");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_missing_owner_file_is_an_unwell_remote_and_never_a_go() {
    let world = backed_up();
    for path in files_below(&world.companion()) {
        if path.to_string_lossy().contains("owner") {
            fs::remove_file(world.companion().join(path)).unwrap();
        }
    }
    fs::write(world.source().join("second"), "run").unwrap();
    let before = everything_on_the_remote(&world);
    world.backup(&[]).expect(5).says("foreign-writer");
    assert!(everything_on_the_remote(&world) == before);
    world.backup(&["--accept", "foreign-writer"]).expect(0);
    world.assert_mirror_equals_source();
}

fn copy_folder(from: &Path, to: &Path) {
    for path in files_below(from) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
}

#[test]
fn a_second_instance_leaves_at_once_and_says_who_is_at_work() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(60, 4).plant(&world.source());
    world.proxy.as_ref().unwrap().set_latency(Duration::from_millis(400));
    let first = world.program.start(&["--json", "backup"]);
    let patience = Instant::now() + Duration::from_secs(30);
    while world.requests() < 3 {
        assert!(Instant::now() < patience, "the first instance sends nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.backup(&[]).expect(11).says(&first.id().to_string());
    // Looking is always allowed.
    assert_ne!(world.program.run(&["status"]).code, 11);
    world.proxy.as_ref().unwrap().set_latency(Duration::ZERO);
    Finished::from(first.wait_with_output().unwrap()).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_configuration_that_cannot_be_right_is_refused_before_anything_is_sent() {
    let refused = |change: &dyn Fn(&mut World), says: &str| {
        let mut world = World::local(Rclone::Current);
        Plan::plain(5, 5).plant(&world.source());
        change(&mut world);
        let finished = world.backup(&[]).says(says);
        assert!([1, 2].contains(&finished.code), "{says}: {finished}");
        assert!(everything_on_the_remote(&world).is_empty(), "{says}: something was sent");
    };
    let mirror = |world: &World| format!("local:{}", world.mirror().display());
    refused(&|world| world.set("sourse_filesystem", "\"any\""), "source_filesystem");
    refused(&|world| world.set("max_delete", "\"many\""), "max_delete");
    refused(
        &|world| {
            world.configuration.jobs = vec![Job::new(JOB, Path::new("relative/source"), &mirror(world))];
            world.write_configuration();
        },
        "relative/source",
    );
    refused(
        &|world| {
            world.configuration.jobs = vec![Job::new(JOB, &world.source(), "nosuchremote:backup/photos")];
            world.write_configuration();
        },
        "nosuchremote",
    );
    refused(
        &|world| {
            world.configuration.jobs = vec![Job::new(JOB, &world.source(), "local:")];
            world.write_configuration();
        },
        "companion",
    );
    refused(
        &|world| {
            let inner = Job::new("inner", &world.source(), &format!("{}/inner", mirror(world)));
            world.configuration.jobs.push(inner);
            world.write_configuration();
        },
        "inner",
    );
    for flag in
        ["--dry-run", "--update", "--max-age=1d", "--log-file=x", "--backup-dir=x", "--delete-excluded"]
    {
        refused(
            &|world| {
                world.configuration.rclone_flags.push(flag.to_owned());
                world.write_configuration();
            },
            flag.split('=').next().unwrap(),
        );
    }
}

#[test]
fn a_remote_that_rclone_does_not_know_is_told_by_a_first_run_that_has_nothing_to_send() {
    for files in [0, 1] {
        let mut world = World::local(Rclone::Current);
        fs::create_dir(world.source().join("folder")).unwrap();
        Plan::plain(files, 5).plant(&world.source());
        world.configuration.jobs = vec![Job::new(JOB, &world.source(), "nosuchremote:backup/photos")];
        world.write_configuration();
        let says = "rclone can't use the remote nosuchremote:backup/photos";
        for command in [&["config", "validate"][..], &["--json", "backup"]] {
            world.program.run(command).expect(2).says(says);
        }
        assert!(!world.configuration.state_dir.join(JOB).join("docket").exists());
    }
}

#[test]
fn a_companion_that_no_move_reaches_is_refused_before_any_file_is_sent() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(5, 5).plant(&world.source());
    world.set("companion", &format!("\"local:{}\"", world.root().join("elsewhere").display()));
    world.backup(&[]).expect(2).says("companion").says("same remote");
    // As on AList, where one remote has several storages.
    let other = "\"remote:elsewhere/companion\"";
    world.set("companion", other);
    for (status, code) in [(403, 2), (500, 5), (405, 5)] {
        let proxy = world.proxy.as_ref().unwrap();
        proxy.fail(move |seen| (seen.method == "MOVE").then_some(Fault::Status(status)));
        world.backup(&[]).expect(code).says("`companion` on the same storage");
        assert!(!world.mirror().exists() || files_below(&world.mirror()).is_empty());
    }
}

#[test]
fn a_kind_of_remote_that_can_neither_move_nor_copy_is_told_apart() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        Plan::plain(5, 5).plant(&world.source());
        // Nobody listens there: rclone is asked what it can do, and the remote nothing.
        world
            .rclone_configuration
            .add("sia", &[("type", "sia".to_owned()), ("api_url", "http://127.0.0.1:1".to_owned())]);
        world.configuration.jobs = vec![Job::new(JOB, &world.source(), "sia:backup/photos")];
        world.write_configuration();
        world.backup(&[]).expect(2).says("neither move nor copy");
    }
}

/// What is remembered of a companion must not come from a bad hour of the remote.
#[test]
fn a_fault_while_the_companion_is_tried_teaches_nothing() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    fs::write(world.source().join("a;b"), "first").unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| (seen.method == "MOVE").then_some(Fault::Status(503)));
    world.backup(&[]).expect(5);
    proxy.heal();
    world.backup(&[]).expect(0);
    fs::write(world.source().join("a;b"), "second version").unwrap();
    world.backup(&["--accept", "max-change"]).expect(0);
    assert_eq!(world.all_trash(), [(Path::new("a;b").to_path_buf(), b"first".to_vec())]);
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_overwrites_none() {
    let world = World::local(Rclone::Current);
    let config = world.root().join("config.toml");
    let before = fs::read(&config).unwrap();
    assert_ne!(world.program.run(&["init"]).code, 0, "an existing configuration was overwritten");
    assert_eq!(fs::read(&config).unwrap(), before);
    world.program.run(&["config", "validate"]).expect(0);
    world.program.run(&["config", "show"]).expect(0).says(JOB);
}

#[test]
fn no_credential_of_rclone_reaches_our_logs() {
    let world = World::served(Protocol::Sftp, Rclone::Current);
    Plan::plain(5, 6).plant(&world.source());
    let finished = world.program.run(&["-vv", "backup"]).expect(0);
    let secret = fs::read_to_string(&world.rclone_configuration.path)
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("pass = ").map(str::to_owned))
        .unwrap();
    let logs = world.configuration.state_dir.join("logs");
    let logged: String =
        files_below(&logs).iter().map(|path| fs::read_to_string(logs.join(path)).unwrap()).collect();
    assert!(
        !logged.contains(&secret) && !finished.stderr.contains(&secret) && !finished.stdout.contains(&secret)
    );
}
