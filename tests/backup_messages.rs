//! What goes wrong beside the files: in which words, and with which exit code, people hear of it.

use crate::backup_endings::back_up_without_waits;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::world::World;
use std::time::{Duration, Instant};

/// The first folder that is refused tells of all; after each wait one file knocks, and no more.
#[test]
fn a_remote_that_makes_no_folder_is_asked_a_few_times() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    world.write("file", "x");
    world.backup(&[]).expect(0);
    for number in 0..4 {
        world.write(&format!("new {number}/below/file"), "x");
    }
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    proxy.fail(|seen| (seen.method == "MKCOL" && seen.path.contains("/new")).then_some(Fault::Status(423)));
    let report = back_up_without_waits(&world);
    assert_eq!(report.unprotected.total, 4, "{report:?}");
    // Ahead eight, with each file four or five, and three who knock.
    let is_new = |path: &str| path.contains("/new");
    let asked = proxy.seen().iter().filter(|seen| seen.method == "MKCOL" && is_new(&seen.path)).count();
    assert!(asked <= 8 + 4 * 5 + 3 * 5, "{asked} of {:#?}", proxy.seen());
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

/// rclone would wait for somebody to write into it, for ever.
#[test]
fn a_file_that_becomes_a_pipe_before_it_is_opened_holds_nobody_up() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        for name in ["a", "pipe", "z"] {
            world.write(name, "x");
        }
        let pipe = world.source().join("pipe");
        // Behind our last look, because we have written the list.
        world.before_rclone(&format!(
            "case \"$*\" in *files-from*) list=$(cat); rm '{0}'; mkfifo '{0}'; echo \"$list\" | \"$real\" \"$@\"; exit;; esac",
            pipe.display()
        ));
        let begun = Instant::now();
        let finished = world.backup(&[]).expect(3).says("pipe");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}: {finished}", begun.elapsed());
        assert_eq!(finished.number("files_uploaded"), 2, "{finished}");
        assert_eq!(finished.number("files_unprotected"), 1, "{finished}");
    }
}
