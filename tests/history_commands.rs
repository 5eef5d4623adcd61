//! `diff`, `log` and `doctor`: history from the index, without a request, and what would go wrong.

use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::world::{JOB, World};
use std::fs;

/// Three states: one file; changed and another beside it; that one gone.
fn three_states(world: &World) {
    let source = world.source();
    fs::create_dir_all(source.join("照片")).unwrap();
    fs::write(source.join("照片/图 1"), "one").unwrap();
    fs::write(source.join("stays"), "as it is").unwrap();
    world.backup(&[]).expect(0);
    fs::write(source.join("照片/图 1"), "changed").unwrap();
    fs::write(source.join("short-lived"), "x").unwrap();
    world.backup(&[]).expect(0);
    fs::remove_file(source.join("short-lived")).unwrap();
    fs::remove_file(source.join("stays")).unwrap();
    fs::create_dir(source.join("stays")).unwrap();
    world.backup(&[]).expect(0);
}

fn changes(finished: &Finished) -> Vec<String> {
    let line = |change: &serde_json::Value| {
        format!("{} {}", change["modifier"].as_str().unwrap(), change["path"].as_str().unwrap())
    };
    finished.messages("change").iter().map(line).collect()
}

#[test]
fn diff_names_what_differs_between_two_states_without_a_request() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    three_states(&world);
    let (requests, calls) = (world.requests(), world.rclone_calls().len());
    let diff = |arguments: &[&str]| {
        let all: Vec<&str> = ["--json", "diff"].iter().chain(arguments).copied().collect();
        world.program.run(&all).expect(0)
    };
    assert_eq!(changes(&diff(&[])), ["- short-lived", "T stays"]);
    assert_eq!(changes(&diff(&["1", "2"])), ["+ short-lived", "M 照片/图 1"]);
    assert_eq!(changes(&diff(&["1"])), ["T stays", "M 照片/图 1"]);
    assert_eq!(changes(&diff(&["2", "1"])), ["- short-lived", "M 照片/图 1"]);
    assert_eq!(changes(&diff(&["3", "3"])), Vec::<String>::new());
    let sums = diff(&["1", "2"]);
    let sum = |key: &str| sums.summary()[key].as_u64().unwrap();
    assert_eq!((sum("files_added"), sum("files_changed"), sum("bytes_added")), (1, 1, 8));
    world.program.run(&["diff", "1", "2"]).expect(0).says("M  照片/图 1");
    world.program.run(&["diff", "77"]).expect(2).says("there is no snapshot 77");
    assert_eq!((world.requests(), world.rclone_calls().len()), (requests, calls));
}

#[test]
fn log_names_the_versions_of_a_path_and_where_each_lies() {
    let world = World::local(Rclone::Current);
    world.program.run(&["log", "stays"]).expect(10);
    three_states(&world);
    let calls = world.rclone_calls().len();
    let log = |path: &str| {
        let told = world.program.run(&["--json", "log", path]).expect(0);
        let version = |version: &serde_json::Value| {
            format!("{} {}", version["change"].as_str().unwrap(), version["kept"].as_str().unwrap_or("-"))
        };
        told.messages("version").iter().map(version).collect::<Vec<_>>()
    };
    assert_eq!(log("照片/图 1"), ["changed mirror", "added trash"]);
    assert_eq!(log("short-lived"), ["removed -", "added trash"]);
    assert_eq!(log("stays"), ["changed -", "added trash"]);
    assert_eq!(log("照片"), ["changed -", "added -"]);
    world.program.run(&["log", "照片/图 1"]).expect(0).says("in the trash of 000002-");
    world.program.run(&["log", "never"]).expect(2).says("nor was there");
    assert_eq!(world.rclone_calls().len(), calls);
}

#[test]
fn doctor_says_what_is_wrong_and_ends_as_a_backup_would() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    fs::write(world.source().join("file"), "x").unwrap();
    world.backup(&[]).expect(0);
    let well = world.program.run(&["doctor"]).expect(0);
    let well =
        well.says("rclone: version").says(&format!("{JOB}: remote: ")).says("everything was protected");
    assert!(!well.stdout.contains("bad "), "{well}");

    let away = world.root().join("away");
    fs::rename(world.source(), &away).unwrap();
    world.program.run(&["doctor"]).expect(13).says("source: ").says("cannot be listed");
    fs::create_dir(world.source()).unwrap();
    world.program.run(&["doctor"]).expect(13).says("is it mounted?");
    fs::remove_dir(world.source()).unwrap();
    fs::rename(&away, world.source()).unwrap();

    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|_| Some(crate::support::proxy::Fault::Status(401)));
    let told = world.program.run(&["--json", "doctor"]).expect(12);
    assert_eq!(told.summary()["bad"], 1, "{told}");
    proxy.fail(|_| None);

    fs::write(&world.configuration.rclone, "#!/bin/sh\nexit 1\n").unwrap();
    world.program.run(&["-q", "doctor"]).expect(1).says("rclone: ");
}

/// Whoever only asks must not change anything.
#[test]
fn diff_log_and_doctor_change_nothing() {
    let world = World::local(Rclone::Current);
    three_states(&world);
    let (index, mirror) = (world.index_bytes(), crate::support::trees::files_below(&world.mirror()));
    for command in [&["diff"][..], &["log", "stays"], &["doctor"]] {
        world.program.run(command).expect(0);
    }
    assert_eq!(world.index_bytes(), index);
    assert_eq!(crate::support::trees::files_below(&world.mirror()), mirror);
    let names = |finished: Finished| finished.stdout;
    assert_eq!(names(world.program.run(&["diff", "1", "2"])), names(world.program.run(&["diff", "1", "2"])));
}
