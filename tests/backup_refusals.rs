//! What the remote refuses to show: one path for ever, or everything for a while.

use crate::backup_endings::back_up_without_waits;
use crate::support::proxy::{Fault, Proxy, Seen};
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::files_below;
use crate::support::world::World;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use treeferry::workflow::report::JobOutcome;

/// One that every server of these tests may be asked for.
const BAD: &str = "folder 0/file 0";

fn served(rclone: Rclone) -> World {
    let mut world = World::served(Protocol::Webdav, rclone);
    for key in ["max_delete", "max_change"] {
        world.set(key, "\"off\"");
    }
    world
}

fn write_all(world: &World, files: usize, content: &str) {
    for number in 0..files {
        world.write(&format!("folder {}/file {number}", number % 3), &format!("{content} of {number}"));
    }
}

fn refuse(proxy: &Proxy, status: u16) {
    proxy.fail(move |seen| {
        let is_bad = seen.path.ends_with("/folder%200/file%200") || seen.path.ends_with("/folder 0/file 0");
        let is_refused = matches!(seen.method.as_str(), "PROPFIND" | "MOVE") && is_bad;
        (is_refused && !seen.path.contains(".treeferry")).then_some(Fault::Status(status))
    });
}

/// Files of the source that are not on the mirror as they are.
fn unheld(world: &World) -> Vec<PathBuf> {
    let (source, mirror) = (world.source(), world.mirror());
    let is_held = |path: &PathBuf| fs::read(mirror.join(path)).ok() == fs::read(source.join(path)).ok();
    files_below(&source).into_iter().filter(|path| !is_held(path)).collect()
}

#[test]
fn one_changed_file_that_the_remote_refuses_to_show_is_named_and_all_others_are_replaced() {
    let cases = [(Rclone::Current, 403, 230), (Rclone::Oldest, 403, 30), (Rclone::Current, 423, 30)];
    for (rclone, status, files) in cases {
        let world = served(rclone);
        write_all(&world, files, "first");
        world.backup(&[]).expect(0);
        write_all(&world, files, "the second");
        let proxy = world.proxy.as_ref().unwrap();
        refuse(proxy, status);
        for run in 0..2 {
            world.write(&format!("new in run {run}"), "new");
            proxy.forget();
            let finished = world.backup(&[]).expect(3).says(&status.to_string());
            assert_eq!(finished.number("files_unprotected"), 1, "{status}, run {run}: {finished}");
            assert_eq!(unheld(&world), [PathBuf::from(BAD)], "{status}, run {run}");
            let kept = fs::read_to_string(world.mirror().join(BAD)).unwrap();
            assert_eq!(kept, "first of 0", "it was left where it is");
        }
        proxy.forget();
        world.backup(&[]).expect(3).says(&status.to_string());
        // A run with one new file, and what is still open: no hammering.
        assert!(proxy.total() <= 80, "{status}: {} requests: {:#?}", proxy.total(), proxy.seen());
        proxy.heal();
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.trashed(BAD), ["first of 0"]);
    }
}

#[test]
fn many_files_that_the_remote_refuses_to_show_are_not_asked_for_one_by_one() {
    let world = served(Rclone::Current);
    write_all(&world, 60, "first");
    let refused = 14;
    for number in 0..refused {
        world.write(&format!("refused {number}"), "first");
    }
    world.backup(&[]).expect(0);
    write_all(&world, 60, "the second");
    for number in 0..refused {
        world.write(&format!("refused {number}"), "the second");
    }
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    proxy.fail(|seen| {
        let is_refused =
            matches!(seen.method.as_str(), "PROPFIND" | "MOVE") && seen.path.contains("/refused");
        (is_refused && !seen.path.contains(".treeferry")).then_some(Fault::Status(409))
    });
    let finished = world.backup(&[]).expect(3);
    // Behind the tenth, what stands in one list with them counts as refused with them, in this run.
    let named = finished.number("files_unprotected");
    assert!((refused..=2 * refused).contains(&named), "{finished}");
    assert_eq!(unheld(&world).len() as u64, named);
    // Seven for each file that is replaced; and the refused ones a few times each.
    assert!(proxy.total() <= 60 * 7 + 14 * 12 + 60, "{} requests", proxy.total());
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_deletion_that_the_remote_refuses_to_show_is_named_and_tried_again() {
    let mut world = served(Rclone::Current);
    world.set("on_delete", "\"delete\"");
    write_all(&world, 12, "first");
    world.backup(&[]).expect(0);
    for number in [0, 3] {
        fs::remove_file(world.source().join(format!("folder 0/file {number}"))).unwrap();
    }
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| {
        let is_refused = matches!(seen.method.as_str(), "PROPFIND" | "DELETE");
        (is_refused && seen.path.ends_with("file%200")).then_some(Fault::Status(403))
    });
    world.backup(&[]).expect(3).says("refuses to show it");
    assert!(!world.mirror().join("folder 0/file 3").exists() && world.mirror().join(BAD).exists());
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

/// A look that came back with 409 was taken for an rclone that does not work.
#[test]
fn an_answer_of_the_server_that_ends_a_run_is_its_own_fault_and_not_rclones() {
    let world = served(Rclone::Current);
    write_all(&world, 3, "first");
    world.backup(&[]).expect(0);
    write_all(&world, 3, "the second");
    for status in [400, 409, 412, 451] {
        world.proxy.as_ref().unwrap().fail(move |_| Some(Fault::Status(status)));
        world.backup(&[]).expect(5).says(&status.to_string());
    }
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    proxy.fail(|_| Some(Fault::Status(401)));
    world.backup(&[]).expect(12);
    assert!(proxy.total() <= 2, "{:#?}", proxy.seen());
}

/// The end comes where what the run before left open is looked at, before the source is scanned.
#[test]
fn a_run_that_ends_over_what_the_one_before_left_open_counts_what_is_unprotected() {
    let world = served(Rclone::Current);
    write_all(&world, 30, "first");
    world.backup(&[]).expect(0);
    write_all(&world, 30, "the second");
    let proxy = world.proxy.as_ref().unwrap();
    // Answered as long as nothing is moved, so that the moves stay open.
    let is_closed = |seen: &Seen| seen.method == "MOVE";
    let closed = AtomicUsize::new(0);
    proxy.fail(move |seen| {
        closed.fetch_add(usize::from(is_closed(seen)), Ordering::Relaxed);
        (closed.load(Ordering::Relaxed) > 0).then_some(Fault::Status(403))
    });
    for run in 0..2 {
        let finished = world.backup(&[]).expect(12);
        assert_eq!(finished.number("files_unprotected"), 30, "run {run}: {finished}");
    }
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

/// From any request on, for so many requests: nothing of it stays out of the mirror.
#[test]
fn a_storm_over_any_request_of_a_run_is_waited_out() {
    let storms = [(423, 0, 6), (405, 2, 3), (405, 6, 6), (423, 20, 6), (405, 40, 6), (503, 60, 6)];
    for (status, from, requests) in storms {
        let world = served(Rclone::Current);
        write_all(&world, 12, "first");
        world.write("gone", "first");
        world.backup(&[]).expect(0);
        write_all(&world, 12, "the second");
        fs::remove_file(world.source().join("gone")).unwrap();
        let proxy = world.proxy.as_ref().unwrap();
        let asked = AtomicUsize::new(0);
        proxy.fail(move |_| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            (number >= from && number < from + requests).then_some(Fault::Status(status))
        });
        let report = back_up_without_waits(&world);
        assert_eq!(report.outcome, JobOutcome::Protected, "{status} from {from}: {report:?}");
        world.assert_mirror_equals_source();
    }
}

#[test]
fn a_remote_that_refuses_every_look_for_good_is_asked_a_few_times() {
    let world = served(Rclone::Current);
    write_all(&world, 60, "first");
    world.backup(&[]).expect(0);
    write_all(&world, 60, "the second");
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    let moved = AtomicUsize::new(0);
    proxy.fail(move |seen| {
        moved.fetch_add(usize::from(seen.method == "MOVE"), Ordering::Relaxed);
        (moved.load(Ordering::Relaxed) > 0).then_some(Fault::Status(423))
    });
    let report = back_up_without_waits(&world);
    assert!(matches!(report.outcome, JobOutcome::RemoteUnwell { .. }), "{report:?}");
    assert_eq!(report.unprotected.total, 60, "{report:?}");
    assert!(proxy.total() <= 250, "{} requests", proxy.total());
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn what_lies_below_a_file_that_cannot_leave_is_named_file_by_file() {
    let world = served(Rclone::Current);
    write_all(&world, 3, "first");
    world.write("a", "a file");
    world.backup(&[]).expect(0);
    fs::remove_file(world.source().join("a")).unwrap();
    for below in ["a/x", "a/deep/y", "a/deep/z"] {
        world.write(below, "below");
    }
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| (seen.method == "MOVE" && seen.path.ends_with("/a")).then_some(Fault::Status(403)));
    for _ in 0..2 {
        let finished = world.backup(&[]).expect(3);
        assert_eq!(finished.number("files_unprotected"), 4, "{finished}");
        let errors = finished.messages("error");
        let mut paths: Vec<&str> = errors.iter().filter_map(|error| error["item"].as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["a", "a/deep/y", "a/deep/z", "a/x"], "{finished}");
        assert_eq!(fs::read_to_string(world.mirror().join("a")).unwrap(), "a file");
    }
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("a"), ["a file"]);
}
