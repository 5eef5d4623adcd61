//! How a run ends when the worst happens at a chosen command of rclone: somebody
//! stops or kills us there, or the remote refuses. A script in front of the real
//! rclone waits for that command.

use crate::support::mounts::{in_shell, with_mounts};
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, files_below, let_times_settle};
use crate::support::world::{JOB, World};
use std::fs;
use std::path::{Path, PathBuf};
use treeferry::observe::Recorder;
use treeferry::workflow::configuration::{Configuration, Defaults};
use treeferry::workflow::options::{BackupOptions, Stop};
use treeferry::workflow::report::{JobOutcome, JobReport};
use treeferry::workflow::{Machine, Surroundings, backup, check_rclone_flags};

/// In this process, without the minute between two looks.
pub(crate) fn back_up_without_waits(world: &World) -> JobReport {
    let defaults = Defaults { state_home: None, check_rclone_flags };
    let text = world.configuration.text();
    let configuration = Configuration::parse(&text, Path::new("config.toml"), &defaults).unwrap();
    let environment =
        std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("RCLONE_")).collect();
    let machine = Machine { environment, temporary_directory: world.root().to_path_buf() };
    let (stop, recorder) = (Stop::default(), Recorder::default());
    let clock = || time::OffsetDateTime::now_utc().unix_timestamp();
    let mut surroundings = Surroundings::new(&configuration, machine, &stop, &clock, &recorder);
    surroundings.sleep = &|_| {};
    surroundings.second_look_seconds = 0;
    backup(&configuration, configuration.job(JOB).unwrap(), &BackupOptions::default(), &surroundings)
}

/// Written between our reading and rclone's, and then we are killed: the mirror has what the
/// source has now, which is not what the journal tells of.
#[test]
fn a_file_rewritten_before_a_crash_is_not_confirmed_with_the_content_of_before() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(5, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    let file = world.source().join("x");
    fs::write(&file, "the first content").unwrap();
    let shell = format!(
        "if [ \"$1\" = copy ]; then\n\
         list=$(cat); printf 'something else' >'{}'\n\
         echo \"$list\" | \"$real\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit\nfi",
        file.display()
    );
    // A stamp that was not settled yet is never believed anyhow.
    let_times_settle();
    world.before_rclone(&shell);
    world.backup(&[]).expect(137);
    assert_eq!(fs::read_to_string(world.mirror().join("x")).unwrap(), "something else");

    world.stop_watching_rclone();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    // What was never sent has no version anywhere.
    assert!(world.all_trash().is_empty(), "{:?}", world.all_trash());
    world.program.run(&["verify", "--remote", "--download"]).expect(0);
}

#[test]
fn a_folder_that_moved_while_we_were_stopped_is_remembered_file_by_file() {
    let mut world = World::local(Rclone::Current);
    world.set("max_delete", "\"off\"");
    Plan::plain(5, 1).plant(&world.source());
    let gone = world.source().join("gone");
    Plan::plain(30, 2).plant(&gone);
    let all = files_below(&world.source()).len();
    world.backup(&[]).expect(0);
    fs::remove_dir_all(&gone).unwrap();
    let shell =
        "if [ \"$1\" = moveto ]; then \"$real\" \"$@\"; code=$?; kill -TERM $PPID; sleep 1; exit $code; fi";
    world.before_rclone(shell);
    world.backup(&[]).expect(143);
    assert_eq!(world.all_trash().len(), 30);

    world.stop_watching_rclone();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    let to = world.root().join("restored");
    world.program.run(&["restore", "--to", to.to_str().unwrap(), "--at", "000001"]).expect(0);
    assert_eq!(files_below(&to).len(), all);
}

/// Somebody deleted it there, and it vanished here: nothing is left to be moved.
#[test]
fn a_folder_that_is_in_neither_place_does_not_stop_what_comes_after_it() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let mut world =
            protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
        world.set("max_delete", "\"off\"");
        Plan::plain(5, 1).plant(&world.source());
        Plan::plain(15, 2).plant(&world.source().join("gone"));
        fs::write(world.source().join("zz last"), "deleted as well").unwrap();
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.mirror().join("gone")).unwrap();
        world.renew_server();
        fs::remove_dir_all(world.source().join("gone")).unwrap();
        fs::remove_file(world.source().join("zz last")).unwrap();
        let report = back_up_without_waits(&world);
        assert_eq!(report.outcome, JobOutcome::Protected, "{protocol:?}: {report:?}");
        let trash: Vec<PathBuf> = world.all_trash().into_iter().map(|(path, _)| path).collect();
        assert_eq!(trash, [PathBuf::from("zz last")], "{protocol:?}");
        world.assert_mirror_equals_source();
    }
}

#[test]
fn an_owner_file_that_is_refused_is_told_although_a_budget_ran_out_too() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(5, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    let refuse = "case \"$*\" in *owner-*) case \"$1\" in copyto)\n\
        echo '{\"level\":\"error\",\"msg\":\"It is refused: 409 Conflict\"}' >&2; exit 1;;\n\
        esac;; esac";
    for (name, arguments) in [("one", &[][..]), ("two", &["--max-transfer", "2K"][..])] {
        world.stop_watching_rclone();
        // The owner file that the run before could not write.
        world.backup(&[]).expect(0);
        world.before_rclone(refuse);
        for part in ["a", "b"] {
            fs::write(world.source().join(format!("{name} {part}")), [7; 1_500]).unwrap();
        }
        world.backup(arguments).expect(5);
    }
    world.stop_watching_rclone();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

/// rclone is ended by the same signal, or gives up because we end it.
#[test]
fn a_stop_while_rclone_is_asked_something_is_told_as_a_stop() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(5, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    fs::write(world.source().join("new"), "content").unwrap();
    world.before_rclone("if [ \"$1\" = cat ]; then kill -TERM $PPID; sleep 1; exit 1; fi");
    world.backup(&[]).expect(143);
    world.stop_watching_rclone();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

/// They are refused here, and not there: nothing speaks against going on.
#[test]
fn names_that_a_server_cannot_move_do_not_end_a_run_however_many_there_are() {
    let mut world = World::served(Protocol::Wsgidav, Rclone::Current);
    world.set("max_change", "\"off\"");
    let odd: Vec<String> = (10..40).map(|number| format!("odd #{number}")).collect();
    for name in odd.iter().map(String::as_str).chain(["a first", "z last"]) {
        fs::write(world.source().join(name), format!("first content of {name}")).unwrap();
    }
    world.backup(&[]).expect(0);
    for name in odd.iter().map(String::as_str).chain(["a first"]) {
        fs::write(world.source().join(name), format!("another content of {name}")).unwrap();
    }
    fs::remove_file(world.source().join("z last")).unwrap();
    let finished = world.backup(&[]).expect(3).says("cannot move such files safely");
    assert_eq!(finished.number("files_unprotected"), 30, "{finished}");
    assert_eq!(fs::read_to_string(world.mirror().join("a first")).unwrap(), "another content of a first");
    assert!(!world.mirror().join("z last").exists(), "the lanes behind did not have their turn");
}

#[test]
fn a_local_disk_that_is_full_ends_with_14_and_names_what_is_missing() {
    let world = World::local(Rclone::Current);
    for index in 0..8 {
        world.write(&format!("file {index}"), &"x".repeat(500_000));
    }
    let mirror = world.mirror();
    fs::create_dir_all(&mirror).unwrap();
    let backup = in_shell(&world.program.command(&["--json", "backup"]));
    let script =
        format!("mount -t tmpfs -o size=2m none '{}'; exec {backup}", mirror.parent().unwrap().display());
    let Some(finished) = with_mounts(&script) else { return };
    let finished = finished.expect(14);
    let unprotected = finished.summary()["unprotected"].to_string();
    assert!(unprotected.contains("\"file "), "{finished}");
}

type Change = fn(&World);

/// A run that ends before it has moved what is in the way has changed nothing of it: not in the index either,
/// whatever else it has to record there.
#[test]
fn what_is_in_the_way_of_another_type_is_still_known_after_a_run_that_ended_early() {
    let changes: [(&str, &str, Change); 7] = [
        ("a folder of folders", "f", |world| world.write("f/inner/z", "z")),
        ("an empty folder in a folder", "f", |world| {
            fs::create_dir_all(world.source().join("f/inner")).unwrap();
        }),
        ("a folder with a link", "f", |world| {
            fs::create_dir(world.source().join("f")).unwrap();
            std::os::unix::fs::symlink("nowhere", world.source().join("f/link")).unwrap();
        }),
        ("a link", "f", |world| {
            std::os::unix::fs::symlink("nowhere", world.source().join("f")).unwrap();
        }),
        ("a link for a folder", "d/e/a", |world| {
            std::os::unix::fs::symlink("nowhere", world.source().join("d")).unwrap();
        }),
        ("a file for a folder", "d/e/a", |world| world.write("d", "a file now")),
        ("a socket for a folder", "d/e/a", |world| {
            drop(std::os::unix::net::UnixListener::bind(world.source().join("d")).unwrap());
        }),
    ];
    for keeps in [false, true] {
        for (what, path, change) in changes {
            let mut world = World::served(Protocol::Webdav, Rclone::Current);
            for (key, value) in [("max_delete", "\"off\""), ("max_change", "\"off\"")] {
                world.set(key, value);
            }
            let top = world.source().join(path.split('/').next().unwrap());
            let clear = || match top.symlink_metadata() {
                Ok(found) if found.is_dir() => fs::remove_dir_all(&top).unwrap(),
                Ok(_) => fs::remove_file(&top).unwrap(),
                Err(_) => (),
            };
            world.write(path, "the first version");
            world.write("other", "other");
            world.backup(&[]).expect(0);
            if keeps {
                world.set("on_delete", "\"keep\"");
                clear();
                world.backup(&[]).expect(0);
            }
            clear();
            change(&world);
            world.backup(&["--max-requests", "10"]);
            assert_eq!(fs::read_to_string(world.mirror().join(path)).unwrap(), "the first version", "{what}");
            clear();
            world.write(path, "another version, of another length");
            world.backup(&[]).expect(0);
            let mirrored = fs::read_to_string(world.mirror().join(path)).unwrap();
            assert_eq!(mirrored, "another version, of another length", "{what}");
            assert_eq!(world.trashed(path), ["the first version"], "{what}, keeps: {keeps}");

            // And when it stays so, it comes to an end.
            clear();
            change(&world);
            world.backup(&["--max-requests", "10"]);
            world.backup(&[]);
            world.backup(&[]).expect(0);
            let calls = world.rclone_calls().len();
            world.backup(&[]).expect(0);
            assert_eq!(world.rclone_calls().len(), calls, "{what}, keeps: {keeps}: it was not done");
        }
    }
}
