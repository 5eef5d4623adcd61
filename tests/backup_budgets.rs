//! Budgets, pauses and the forecast in time: the built program against a server whose
//! requests are counted and timed.

use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::files_below;
use crate::support::world::World;
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// `folders` folders of ten files of a kilobyte.
fn plant(world: &World, folders: usize) {
    for folder in 0..folders {
        let folder = world.source().join(format!("folder {folder:02}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..10 {
            fs::write(folder.join(format!("file {file}")), vec![b'x'; 1000 + file]).unwrap();
        }
    }
}

fn left(summary: &Value, key: &str) -> u64 {
    summary["left_for_next_run"][key].as_u64().unwrap_or_else(|| panic!("nothing is left: {summary}"))
}

#[test]
fn a_budget_of_requests_is_kept_closely_and_the_next_run_goes_on() {
    for protocol in [Protocol::Webdav, Protocol::S3] {
        let world = World::served(protocol, Rclone::Current);
        plant(&world, 12);
        let mut sent = 0;
        for run in 1.. {
            let before = world.requests();
            let finished = world.backup(&["--max-requests", "150"]);
            let taken = world.requests() - before;
            assert!(taken <= 150, "{protocol:?}: {taken} requests in run {run}");
            sent += finished.number("files_uploaded");
            if finished.code == 0 {
                break;
            }
            let finished = finished.expect(4);
            assert!(taken > 100, "{protocol:?}: only {taken} requests in run {run}");
            assert_eq!(finished.number("files_unprotected"), 0);
            assert_eq!(left(&finished.summary(), "files_upload"), 120 - sent, "{protocol:?}");
            assert!(run < 10, "{protocol:?}: it does not come to an end");
        }
        assert_eq!(sent, 120, "nothing went up twice");
        world.assert_mirror_equals_source();
    }
}

#[test]
fn a_budget_of_bytes_stops_between_files_small_ones_first() {
    let world = World::local(Rclone::Current);
    plant(&world, 2);
    fs::write(world.source().join("a large one"), vec![0; 3 << 20]).unwrap();
    fs::write(world.source().join("never"), vec![0; 6 << 20]).unwrap();
    let finished = world.backup(&["--max-transfer", "2M"]).expect(4);
    assert_eq!(finished.number("files_uploaded"), 20);
    assert_eq!(left(&finished.summary(), "files_upload"), 2);
    assert!(!world.mirror().join("a large one").exists());
    let finished = world.backup(&["--max-transfer", "4M"]).expect(4).says("never (6.0 MiB) is larger than");
    assert_eq!(finished.number("bytes_uploaded"), 3 << 20);
    assert_eq!(finished.summary()["left_for_next_run"]["first"][0]["path"], "never");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn where_a_budget_will_not_do_files_far_below_a_mebibyte_go_before_those_just_below() {
    let plant_sizes = |world: &World| {
        for file in 0..6 {
            fs::write(world.source().join(format!("a{file}")), vec![1; 1_000_000]).unwrap();
            fs::write(world.source().join(format!("b{file}")), vec![2; 100_000]).unwrap();
        }
        for file in 0..40 {
            fs::write(world.source().join(format!("c{file}")), vec![3; 1_000]).unwrap();
        }
    };
    let count = |world: &World, letter: &str| {
        let names = fs::read_dir(world.mirror()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(letter)).count()
    };
    let world = World::local(Rclone::Current);
    plant_sizes(&world);
    let planned = world.program.run(&["--json", "plan", "--max-transfer", "2700000"]);
    assert_eq!(left(&planned.summary(), "files_upload"), 4, "{planned}");
    let finished = world.backup(&["--max-transfer", "2700000"]).expect(4);
    assert_eq!(["a", "b", "c"].map(|letter| count(&world, letter)), [2, 6, 40], "{finished}");

    // Where all of it goes, all of it goes together.
    let world = World::local(Rclone::Current);
    plant_sizes(&world);
    world.backup(&["--max-transfer", "100M"]).expect(0);
    let sent = world.rclone_calls().iter().filter(|call| call.contains("--files-from")).count();
    assert_eq!(sent, 1, "{:#?}", world.rclone_calls());
    world.assert_mirror_equals_source();
}

#[test]
fn a_budget_of_time_ends_a_batch_between_two_files_with_both_rclones() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        world.configuration.rclone_flags = vec!["--transfers=1".into(), "--bwlimit=200k".into()];
        world.write_configuration();
        for file in 0..20 {
            fs::write(world.source().join(format!("file {file:02}")), vec![b'x'; 200_000]).unwrap();
        }
        let finished = world.backup(&["--max-duration", "6s"]).expect(4);
        let sent = finished.number("files_uploaded");
        assert!((1..20).contains(&sent), "{rclone:?}: {sent} files were sent");
        assert_eq!(finished.number("files_failed"), 0, "{finished}");
        assert_eq!(left(&finished.summary(), "files_upload"), 20 - sent);
        world.configuration.rclone_flags.pop();
        world.write_configuration();
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 20 - sent);
        world.assert_mirror_equals_source();
    }
}

#[test]
fn a_budget_that_allows_nothing_ends_cleanly_and_says_what_is_left() {
    for budget in [["--max-duration", "0s"], ["--max-transfer", "0"], ["--max-requests", "0"]] {
        let world = World::served(Protocol::Webdav, Rclone::Current);
        plant(&world, 1);
        let finished = world.backup(&budget).expect(4);
        assert_eq!(finished.number("files_uploaded"), 0);
        assert_eq!(left(&finished.summary(), "files_upload"), 10, "{budget:?}");
        assert_eq!(world.requests(), 0, "{budget:?}");
        // What is unchanged asks for no budget.
        world.backup(&[]).expect(0);
        world.backup(&budget).expect(0);
    }
}

#[test]
fn changed_files_leave_no_hole_in_the_mirror_when_a_budget_ends_the_run() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    plant(&world, 5);
    world.backup(&[]).expect(0);
    for path in files_below(&world.source()) {
        fs::write(world.source().join(path), "other content").unwrap();
    }
    for budget in [["--max-requests", "200"], ["--max-duration", "2s"]] {
        let finished = world.backup(&["--accept", "max-change", budget[0], budget[1]]);
        assert!([0, 4].contains(&finished.code), "{finished}");
        assert_eq!(finished.number("files_trashed"), finished.number("files_uploaded"));
        assert_eq!(finished.number("files_unprotected"), 0, "{finished}");
        assert_eq!(files_below(&world.mirror()).len(), 50, "a hole in the mirror");
    }
    world.backup(&["--accept", "max-change"]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.all_trash().len(), 50);
}

#[test]
fn a_pause_is_kept_between_the_operations_as_the_server_sees_them() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    plant(&world, 1);
    world.backup(&[]).expect(0);
    world.set("pause", "\"700ms\"");
    for file in 0..3 {
        fs::write(world.source().join(format!("folder 00/file {file}")), "changed").unwrap();
    }
    fs::remove_file(world.source().join("folder 00/file 9")).unwrap();
    fs::write(world.source().join("new"), "new").unwrap();
    let planned = world.program.run(&["plan"]).expect(0);
    assert!(planned.stdout.contains("with a pause of 700ms after each file"), "{planned}");
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    world.backup(&[]).expect(0);
    let operations: Vec<_> = proxy
        .seen_at()
        .into_iter()
        .filter(|(seen, _)| ["PUT", "MOVE"].contains(&seen.method.as_str()))
        .collect();
    // Three pairs, one new file, one to the trash, and the owner file.
    assert_eq!(operations.len(), 9, "{operations:?}");
    for pair in operations.windows(2) {
        let between = pair[1].1 - pair[0].1;
        assert!(
            between >= Duration::from_millis(690),
            "{between:?} between {:?} and {:?}",
            pair[0].0,
            pair[1].0
        );
    }
    world.assert_mirror_equals_source();
}

#[test]
fn a_limited_rate_makes_the_forecast_a_time() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    plant(&world, 10);
    world.configuration.rclone_flags.push("--tpslimit=0.5".into());
    world.write_configuration();
    let planned = world.program.run(&["--json", "plan"]).expect(0).summary();
    let forecast = &planned["forecast"];
    let requests = forecast["requests"].as_u64().unwrap();
    assert_eq!(forecast["seconds"].as_f64(), Some(requests as f64 / 0.5));
    assert_eq!(forecast["requests_per_second"], 0.5);
    world.program.run(&["plan"]).expect(0).says(" minutes at 0.5 a second");
    // What a budget would leave is told beforehand.
    let planned = world.program.run(&["--json", "plan", "--max-requests", "200"]).expect(0).summary();
    assert!((40..100).contains(&left(&planned, "files_upload")), "{planned}");
}

#[test]
fn the_budget_holds_for_all_jobs_of_a_run_together() {
    let mut world = World::local(Rclone::Current);
    plant(&world, 1);
    let other = world.root().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), vec![0; 5_000]).unwrap();
    let remote = format!("local:{}", world.root().join("remote/backup/other").display());
    world.configuration.jobs.push(crate::support::program::Job::new("other", &other, &remote));
    world.write_configuration();
    let finished = world.backup(&["--max-transfer", "12K"]).expect(4);
    let summaries = finished.messages("summary");
    assert_eq!(summaries[0]["exit_code"], 0);
    assert_eq!(summaries[1]["exit_code"], 4);
    world.backup(&["--max-transfer", "12K"]).expect(0);
}

#[test]
fn status_says_what_the_installed_rclone_lacks() {
    let old = World::local(Rclone::Oldest);
    plant(&old, 1);
    old.backup(&[]).expect(0);
    old.program
        .run(&["status"])
        .expect(0)
        .says("rclone 1.60.1 is older than 1.63.0: WebDAV remotes get at most");
    let new = World::local(Rclone::Current);
    plant(&new, 1);
    new.backup(&[]).expect(0);
    let status = new.program.run(&["status"]).expect(0);
    assert!(!status.stdout.contains("is older than"), "{status}");
}

#[test]
fn a_slow_upload_of_one_large_file_is_told_every_few_seconds_with_its_totals() {
    let mut world = World::local(Rclone::Current);
    world.configuration.rclone_flags.push("--bwlimit=500k".into());
    world.write_configuration();
    fs::write(world.source().join("large"), vec![0; 4_000_000]).unwrap();
    let finished = world.backup(&[]).expect(0);
    let told: Vec<u64> = finished
        .messages("status")
        .iter()
        .filter(|status| status["phase"] == "transfer")
        .inspect(|status| {
            assert_eq!((&status["total_bytes"], &status["total_files"]), (&4_000_000.into(), &1.into()))
        })
        .map(|status| status["bytes_done"].as_u64().unwrap())
        .collect();
    let partly = told.iter().filter(|&&bytes| (1..4_000_000).contains(&bytes)).count();
    assert!(partly >= 2 && told.is_sorted(), "{told:?}");
}
