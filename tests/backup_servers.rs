//! The same backup against every server and with both rclones: odd names, old
//! versions, and how many requests it takes.

use crate::support::proxy::Seen;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, beyond_the_oldest_rclone, files_below, odd_names, path};
use crate::support::world::World;
use std::fs;

fn there_and_back(protocol: Protocol, rclone: Rclone) {
    let mut world = World::served(protocol, rclone);
    world.stop_watching_rclone();
    Plan::odd(60, 1).plant(&world.source());
    if protocol == Protocol::S3 {
        // `rclone serve s3` cannot list a folder with this name: XML has no ESC.
        fs::remove_dir_all(world.source().join("odd folders/escape\u{1b}[31m")).unwrap();
    }
    if protocol == Protocol::Wsgidav {
        // It cuts the target of a move at such a character: see the test of its own.
        for name in odd_names().iter().filter(|name| name.iter().any(|byte| b";?#".contains(byte))) {
            fs::remove_file(world.source().join("odd files").join(path(name))).unwrap();
            fs::remove_dir_all(world.source().join("odd folders").join(path(name))).unwrap();
        }
    }
    if rclone == Rclone::Oldest {
        world.backup(&[]).expect(3).says("\u{201b}");
        for name in odd_names().iter().filter(|name| beyond_the_oldest_rclone(name)) {
            fs::remove_file(world.source().join("odd files").join(path(name))).unwrap();
            fs::remove_dir_all(world.source().join("odd folders").join(path(name))).unwrap();
        }
    }
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();

    // Every odd file changes: its old version must be found in the trash again.
    let odd = world.source().join("odd files");
    for file in files_below(&odd) {
        fs::write(odd.join(file), "another version").unwrap();
    }
    world.backup(&["--accept", "max-change"]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.all_trash().len(), files_below(&odd).len());

    // And every odd file goes.
    fs::remove_dir_all(&odd).unwrap();
    fs::remove_dir_all(world.source().join("odd folders")).unwrap();
    world.backup(&["--accept", "max-delete"]).expect(0);
    world.assert_mirror_equals_source();
    let requests = world.requests();
    world.backup(&[]).expect(0);
    assert_eq!(world.requests(), requests, "an unchanged run sent something");
}

#[test]
fn what_is_remembered_of_a_folder_still_holds_in_the_second_run() {
    let mut world = World::local(Rclone::Current);
    world.stop_watching_rclone();
    Plan::odd(60, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    fs::write(world.source().join("another"), "file").unwrap();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn odd_names_through_webdav_with_the_current_rclone() {
    there_and_back(Protocol::Webdav, Rclone::Current);
}

#[test]
fn odd_names_through_webdav_with_the_oldest_rclone() {
    there_and_back(Protocol::Webdav, Rclone::Oldest);
}

#[test]
fn odd_names_through_wsgidav_with_the_current_rclone() {
    there_and_back(Protocol::Wsgidav, Rclone::Current);
}

#[test]
fn odd_names_through_wsgidav_with_the_oldest_rclone() {
    there_and_back(Protocol::Wsgidav, Rclone::Oldest);
}

/// WsgiDAV 4.4 moves `a;b` to `a`: over the trash of another file, or over the
/// trash folder itself. Found out once by a scratch file; such files stay as they are, and are named.
#[test]
fn names_that_a_server_cannot_move_are_named_and_left_alone() {
    let world = World::served(Protocol::Wsgidav, Rclone::Current);
    fs::write(world.source().join("a;b"), "old").unwrap();
    fs::write(world.source().join("plain"), "old").unwrap();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    fs::write(world.source().join("a;b"), "another version").unwrap();
    fs::write(world.source().join("plain"), "another version").unwrap();
    world.backup(&[]).expect(3).says("a;b");
    assert_eq!(fs::read_to_string(world.mirror().join("a;b")).unwrap(), "old");
    assert_eq!(fs::read_to_string(world.mirror().join("plain")).unwrap(), "another version");
}

#[test]
fn odd_names_through_s3_with_the_current_rclone() {
    there_and_back(Protocol::S3, Rclone::Current);
}

#[test]
fn odd_names_through_s3_with_the_oldest_rclone() {
    there_and_back(Protocol::S3, Rclone::Oldest);
}

#[test]
fn odd_names_through_sftp_with_the_current_rclone() {
    let world = World::served(Protocol::Sftp, Rclone::Current);
    Plan::odd(60, 2).plant(&world.source());
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn odd_names_in_a_folder_with_either_rclone() {
    for rclone in Rclone::BOTH {
        let world = World::local(rclone);
        Plan::odd(60, 3).plant(&world.source());
        if rclone == Rclone::Oldest {
            world.backup(&[]).expect(3).says("\u{201b}");
            for name in odd_names().iter().filter(|name| beyond_the_oldest_rclone(name)) {
                fs::remove_file(world.source().join("odd files").join(path(name))).unwrap();
                fs::remove_dir_all(world.source().join("odd folders").join(path(name))).unwrap();
            }
        }
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
    }
}

/// Issue 3 asks for these figures; here they are an upper bound already.
#[test]
fn a_webdav_run_stays_within_its_requests() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    for number in 0..40 {
        fs::write(world.source().join(format!("file {number}")), format!("content {number}")).unwrap();
    }
    world.backup(&[]).expect(0);
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    for number in 0..10 {
        fs::write(world.source().join(format!("file {number}")), format!("changed {number}")).unwrap();
        fs::write(world.source().join(format!("new {number}")), "new").unwrap();
    }
    world.backup(&[]).expect(0);
    // 3 per new file, 7 per changed file; the rest is folders, owner file and starts of rclone.
    let most = 10 * 3 + 10 * 7 + 60;
    assert!(proxy.total() <= most, "{} requests, {most} are plenty: {:#?}", proxy.total(), proxy.seen());
    // The companion's own files (owner, scratch) may go; nothing of the user's.
    let deleted = |seen: &Seen| seen.method == "DELETE" && !seen.path.contains("/.treeferry/");
    assert!(!proxy.seen().iter().any(deleted), "something was deleted although versions are kept");
}
