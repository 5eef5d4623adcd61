//! How many requests runs take, counted by a proxy, beside what `plan` forecast.

use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::world::World;
use std::fs;

/// What a process, and what the owner file of a changing run may cost on top.
const PER_PROCESS: usize = 5;
const OWNER_FILE: usize = 3;

/// Runs `plan` and `backup`; gives back how many requests the backup took.
#[track_caller]
fn within_forecast(world: &World, work: &str) -> usize {
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    let plan: Finished = world.program.run(&["--json", "plan"]).expect(0);
    assert_eq!(proxy.total(), 0, "`plan` asked the remote");
    // Nothing to do, nothing to forecast.
    let forecast = plan.summary()["forecast"]["requests"].as_u64().unwrap_or(0) as usize;
    world.backup(&[]).expect(0);
    let taken = proxy.total();
    assert!(taken <= forecast, "{work}: {taken} requests, forecast were {forecast}: {:#?}", proxy.seen());
    taken
}

/// `formula` and what the processes that were started may cost.
#[track_caller]
fn assert_within(world: &World, work: &str, taken: usize, calls_before: usize, formula: usize) {
    let asking = |call: &&String| !call.starts_with("version") && !call.starts_with("backend");
    let calls = world.rclone_calls();
    let processes = calls[calls_before..].iter().filter(asking).count();
    let most = formula + PER_PROCESS * processes + OWNER_FILE;
    assert!(taken <= most, "{work}: {taken} requests, {most} are allowed with {processes} processes");
}

fn plant(world: &World) {
    for folder in 0..12 {
        for file in 0..5 {
            let path = format!("top-{}/middle-{}/folder-{folder}/file-{file}", folder % 2, folder % 3);
            world.write(&path, &format!("content {file}"));
        }
    }
}

fn life(protocol: Protocol, rclone: Rclone, new_file: usize, new_folder: usize, mut trashed: usize) {
    let mut world = World::served(protocol, rclone);
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    plant(&world);
    within_forecast(&world, "first run");

    let mut calls = world.rclone_calls().len();
    let mut step = |world: &World, work: &str, formula: usize| {
        let taken = within_forecast(world, work);
        assert_within(world, work, taken, calls, formula);
        calls = world.rclone_calls().len();
        taken
    };
    assert_eq!(step(&world, "unchanged", 0), 0);

    for number in 0..30 {
        world.write(&format!("new/deeper/still deeper {}/file {number}", number % 3), "new");
    }
    step(&world, "new files in new folders", 30 * new_file + 5 * new_folder);

    for number in 0..10 {
        world.write(&format!("top-0/file {number}"), "new");
    }
    step(&world, "new files in an old folder", 10 * new_file);

    for folder in 0..12 {
        let path = format!("top-{}/middle-{}/folder-{folder}/file-1", folder % 2, folder % 3);
        world.write(&path, "another content");
    }
    // 12 leaves, 6 folders above them, 2 above those; the run's folder and `trash`.
    step(&world, "changed files", 12 * (new_file + trashed) + 22 * new_folder);

    for number in 0..10 {
        fs::remove_file(world.source().join(format!("top-0/file {number}"))).unwrap();
    }
    step(&world, "deleted files", 10 * trashed + 3 * new_folder);

    for number in 0..300 {
        world.write(&format!("a/b/c/large/{}/{number}", number % 7), "many");
    }
    step(&world, "a large folder", 300 * new_file + 11 * new_folder);
    fs::remove_dir_all(world.source().join("a/b/c/large")).unwrap();
    if new_folder > 0 {
        trashed = 0;
    }
    let formula = 300 * trashed + 6 + 5 * new_folder;
    let taken = step(&world, "the large folder deleted", formula);
    assert!(new_folder == 0 || taken < 40, "{taken} requests for a folder in one piece");
    world.assert_mirror_equals_source();
}

#[test]
fn webdav_runs_stay_within_the_forecast_and_the_formula() {
    life(Protocol::Webdav, Rclone::Current, 3, 1, 4);
}

#[test]
fn a_foreign_webdav_server_is_asked_no_more() {
    life(Protocol::Wsgidav, Rclone::Current, 3, 1, 4);
}

#[test]
fn s3_runs_stay_within_the_forecast_and_the_formula() {
    life(Protocol::S3, Rclone::Current, 2, 0, 4);
}

/// The oldest makes folders and looks in its own way: only the forecast holds.
#[test]
fn the_oldest_rclone_stays_within_the_forecast() {
    let mut world = World::served(Protocol::Webdav, Rclone::Oldest);
    world.set("max_change", "\"off\"");
    plant(&world);
    within_forecast(&world, "first run");
    assert_eq!(within_forecast(&world, "unchanged"), 0);
    for folder in 0..12 {
        let path = format!("top-{}/middle-{}/folder-{folder}/file-1", folder % 2, folder % 3);
        world.write(&path, "another content");
    }
    within_forecast(&world, "changed files");
    world.assert_mirror_equals_source();
}

/// Chains of folders, five levels and more: before 1.66 rclone begins each at its end.
fn life_in_deep_folders(rclone: Rclone) {
    let mut world = World::served(Protocol::Webdav, rclone);
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    let chain = |top: &str, number: usize| {
        (0..5).fold(top.to_owned(), |above, level| format!("{above}/chain {number} level {level}"))
    };
    let write = |world: &World, top: &str, content: &str| {
        (0..5).for_each(|number| world.write(&format!("{}/file", chain(top, number)), content));
    };
    world.write("stays", "here");
    write(&world, "before", "first");
    within_forecast(&world, "first run");
    fs::rename(world.source().join("before"), world.source().join("after")).unwrap();
    within_forecast(&world, "renamed");
    world.write("new/a/b/c/d/e/f/g/file", "new");
    within_forecast(&world, "new");
    write(&world, "after", "second");
    within_forecast(&world, "changed");
    world.set("keep_versions", "false");
    write(&world, "after", "the third");
    within_forecast(&world, "changed, and the old version is not kept");
    for number in 0..5 {
        fs::remove_file(world.source().join(chain("after", number)).join("file")).unwrap();
    }
    within_forecast(&world, "deleted");
    world.assert_mirror_equals_source();
}

#[test]
fn deep_folders_stay_within_the_forecast() {
    life_in_deep_folders(Rclone::Current);
}

#[test]
fn deep_folders_stay_within_the_forecast_with_the_oldest_rclone() {
    life_in_deep_folders(Rclone::Oldest);
}

/// The mirror is claimed then, and nothing was asked of the remote: the next run opens it as a first one does.
#[test]
fn a_run_after_one_that_had_nothing_to_send_stays_within_the_forecast() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    world.set("companion", "\"remote:deep/er/than/usual/and/deeper/companion\"");
    std::os::unix::fs::symlink("nowhere", world.source().join("link")).unwrap();
    world.backup(&[]).expect(0);
    world.write("file", "x");
    within_forecast(&world, "the first file");
}

/// With a real program (a script before it is asked each time).
#[test]
fn what_rclone_and_the_remote_can_do_is_remembered_until_the_configuration_changes() {
    let mut world = World::local(Rclone::Current);
    world.configuration.rclone = world.rclone.program();
    world.write_configuration();
    let remembered_after = |content: &str| {
        world.write("file", content);
        world.backup(&[]).expect(0);
        fs::read_to_string(world.root().join("state/photos/rclone")).unwrap()
    };
    let first = remembered_after("one");
    assert!(first.contains("\"version\":\"1.") && !first.contains("\"fingerprint\":null"), "{first}");
    assert_eq!(remembered_after("two"), first);
    world.rclone_configuration.add("other", &[("type", "memory".to_owned())]);
    assert_ne!(remembered_after("three"), first);
}

#[test]
fn kept_files_that_come_back_and_folders_that_give_way_are_forecast() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    world.set("on_delete", "\"keep\"");
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    plant(&world);
    for number in 0..60 {
        world.write(&format!("returning/file {number}"), "first");
    }
    for number in 0..20 {
        world.write(&format!("give way/{number}/only"), "first");
    }
    world.backup(&[]).expect(0);
    fs::remove_dir_all(world.source().join("returning")).unwrap();
    world.backup(&[]).expect(0);
    for number in 0..60 {
        world.write(&format!("returning/file {number}"), "second, longer");
    }
    within_forecast(&world, "kept files that come back");
    world.assert_mirror_equals_source();
    for number in 0..20 {
        fs::remove_dir_all(world.source().join(format!("give way/{number}"))).unwrap();
        world.write(&format!("give way/{number}"), "a file");
    }
    within_forecast(&world, "folders that become files");
    world.assert_mirror_equals_source();
}
