//! Names that are one name on the remote, names that are too long for it, names
//! that it reserves.

use super::there_and_back::named;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::path;
use crate::support::world::World;
use std::fs;
use std::path::{Path, PathBuf};

fn write(world: &World, path: &str, text: &str) {
    let file = world.source().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// A folder of which rclone says that it tells no cases apart, as OneDrive and Dropbox do.
fn without_cases() -> World {
    let mut world = World::local(Rclone::Current);
    let settings = [("type", "local".to_owned()), ("case_insensitive", "true".to_owned())];
    world.rclone_configuration.add("folded", &settings);
    let remote = format!("folded:{}", world.mirror().display());
    world.configuration.jobs[0] = crate::support::program::Job::new("photos", &world.source(), &remote);
    world.set("max_delete", "\"off\"");
    world
}

fn names_of(world: &World, arguments: &[&str], code: i32) -> Vec<PathBuf> {
    named(&world.backup(arguments).expect(code)).into_keys().collect()
}

#[test]
fn of_case_twins_one_goes_up_and_the_others_are_named() {
    let world = without_cases();
    for path in
        ["a.jpg", "A.JPG", "Folder/one", "folder/two", "folder/deep/three", "straße", "STRASSE", "single"]
    {
        write(&world, path, path);
    }
    let losers = ["a.jpg", "folder/deep/three", "folder/two", "straße"].map(PathBuf::from);
    assert_eq!(names_of(&world, &[], 3), losers);
    let calls = world.rclone_calls().len();
    assert_eq!(names_of(&world, &[], 3), losers);
    assert_eq!(world.rclone_calls().len(), calls, "an unchanged run asked the remote");
    assert!(world.mirror().join("A.JPG").exists() && !world.mirror().join("a.jpg").exists());

    // When the winner goes, the other one gets the place, in the same run.
    fs::remove_file(world.source().join("A.JPG")).unwrap();
    fs::remove_dir_all(world.source().join("Folder")).unwrap();
    assert_eq!(names_of(&world, &[], 3), [PathBuf::from("straße")]);
    assert_eq!(fs::read_to_string(world.mirror().join("a.jpg")).unwrap(), "a.jpg");
    assert_eq!(fs::read_to_string(world.mirror().join("folder/deep/three")).unwrap(), "folder/deep/three");
    assert!(!world.mirror().join("Folder/one").exists());
    assert_eq!(world.all_trash().len(), 2);
}

#[test]
fn a_name_that_changes_its_case_leaves_before_it_comes() {
    let world = without_cases();
    write(&world, "Photo.jpg", "content");
    for number in 0..12 {
        write(&world, &format!("Album/{number}"), "content");
    }
    world.backup(&[]).expect(0);
    fs::rename(world.source().join("Photo.jpg"), world.source().join("photo.JPG")).unwrap();
    fs::rename(world.source().join("Album"), world.source().join("album")).unwrap();
    let before = world.rclone_calls().len();
    world.backup(&["--accept", "max-change"]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.all_trash().len(), 13);
    let lanes: Vec<String> = world.rclone_calls().split_off(before);
    let of = |words: &[&str]| lanes.iter().position(|call| words.iter().any(|word| call.starts_with(word)));
    let last_move = lanes.iter().rposition(|call| call.starts_with("move"));
    assert!(last_move < of(&["copy "]) && last_move.is_some(), "{lanes:#?}");
    world.backup(&[]).expect(0);
}

#[test]
fn what_is_kept_has_its_place_until_somebody_accepts() {
    let mut world = without_cases();
    world.set("on_delete", "\"keep\"");
    write(&world, "Photo.jpg", "old");
    world.backup(&[]).expect(0);
    fs::rename(world.source().join("Photo.jpg"), world.source().join("photo.jpg")).unwrap();
    for _ in 0..2 {
        assert_eq!(names_of(&world, &[], 3), [Path::new("photo.jpg")]);
    }
    assert_eq!(fs::read_to_string(world.mirror().join("Photo.jpg")).unwrap(), "old");
    // It is moved away by this run, and the place is free for the next one.
    assert_eq!(names_of(&world, &["--accept", "kept"], 3), [Path::new("photo.jpg")]);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

/// `rclone serve` takes composed and decomposed characters for the same.
#[test]
fn of_two_normal_forms_one_goes_up_where_the_server_tells_them_not_apart() {
    for protocol in [Protocol::Webdav, Protocol::S3] {
        let world = World::served(protocol, Rclone::Current);
        write(&world, "caf\u{e9}", "composed");
        write(&world, "cafe\u{301}", "decomposed");
        write(&world, "Case", "1");
        write(&world, "case", "2");
        assert_eq!(names_of(&world, &[], 3), [Path::new("caf\u{e9}")], "{protocol:?}");
        let requests = world.requests();
        assert_eq!(names_of(&world, &[], 3), [Path::new("caf\u{e9}")], "{protocol:?}");
        assert_eq!(world.requests(), requests);
        fs::remove_file(world.source().join("cafe\u{301}")).unwrap();
        world.backup(&["--accept", "max-delete"]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.all_trash().len(), 1);
    }
    // And a server that does.
    let world = World::served(Protocol::Wsgidav, Rclone::Oldest);
    write(&world, "caf\u{e9}", "composed");
    write(&world, "cafe\u{301}", "decomposed");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(fs::read_dir(world.mirror()).unwrap().count(), 2);
}

#[test]
fn a_file_with_the_ending_of_links_beside_a_link_keeps_its_place() {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    write(&world, "a.rclonelink", "a file");
    write(&world, "b.rclonelink", "no link beside it");
    std::os::unix::fs::symlink("elsewhere", world.source().join("a")).unwrap();
    assert_eq!(names_of(&world, &[], 3), [Path::new("a")]);
    assert_eq!(fs::read_to_string(world.mirror().join("a.rclonelink")).unwrap(), "a file");
    fs::remove_file(world.source().join("a.rclonelink")).unwrap();
    world.backup(&[]).expect(0);
    assert_eq!(fs::read_to_string(world.mirror().join("a.rclonelink")).unwrap(), "elsewhere");
    assert_eq!(world.all_trash(), [("a.rclonelink".into(), b"a file".to_vec())]);
}

#[test]
fn names_that_get_too_long_are_named_and_cost_nothing_the_next_time() {
    // WsgiDAV keeps what it gets: three bytes for a line feed, five for a byte that is no text.
    let world = World::served(Protocol::Wsgidav, Rclone::Current);
    let long = |character: &str, count: usize| character.repeat(count);
    write(&world, &long("\n", 80), "240 bytes there");
    // More than the twenty equal failures that end a run.
    for number in 10..40 {
        write(&world, &format!("{number}{}", long("\n", 100)), "302 bytes there");
    }
    write(&world, &long("备", 85), "255 bytes");
    let named = names_of(&world, &[], 3);
    assert_eq!(named.len(), 30);
    assert_eq!(fs::read_dir(world.mirror()).unwrap().count(), 2);
    let requests = world.requests();
    assert_eq!(names_of(&world, &[], 3), named);
    assert_eq!(world.requests(), requests);
}

#[test]
fn paths_that_rclone_cannot_open_are_named_and_the_others_go() {
    for rclone in Rclone::BOTH {
        let world = World::local(rclone);
        write(&world, "near", "x");
        // Deeper than PATH_MAX: only steps from folder to folder lead there.
        let step = "d".repeat(250);
        let mut folder = fs::File::open(world.source()).unwrap();
        for _ in 0..17 {
            rustix::fs::mkdirat(&folder, &step, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            folder = rustix::fs::openat(&folder, &step, flags, rustix::fs::Mode::empty()).unwrap().into();
        }
        for number in 0..30 {
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::openat(&folder, format!("{number}"), flags, mode).unwrap();
        }
        assert_eq!(names_of(&world, &[], 3).len(), 30, "{rclone:?}");
        assert!(world.mirror().join("near").exists());
    }
}

/// The same bytes mean other names on a remote of another kind.
#[test]
fn another_kind_of_remote_under_the_same_job_is_refused_when_names_depend_on_it() {
    for (name, code) in [("line\nfeed", 2), ("plain", 0)] {
        let mut world = World::served(Protocol::Wsgidav, Rclone::Current);
        write(&world, name, "x");
        world.backup(&[]).expect(0);
        // The same folder, seen from the other side.
        let remote = format!("local:{}", world.mirror().display());
        world.configuration.jobs[0] = crate::support::program::Job::new("photos", &world.source(), &remote);
        world.write_configuration();
        write(&world, "more", "x");
        world.backup(&["--accept", "remote-changed"]).expect(code);
    }
}

/// Which rclone sends does not matter, once a mirror has begun.
#[test]
fn a_mirror_that_an_old_rclone_began_is_kept_up_by_a_new_one_and_the_reverse_is_refused() {
    let mut world = World::served(Protocol::Wsgidav, Rclone::Oldest);
    write(&world, "line\nfeed \u{240a} \u{ff0f}", "x");
    write(&world, "quote \u{201b}", "x");
    assert_eq!(names_of(&world, &[], 3).len(), 1);
    world.configuration.rclone = Rclone::Current.program();
    world.write_configuration();
    write(&world, "line\nfeed \u{240a} \u{ff0f}", "changed");
    // Still the old way of writing names: nothing moves under other bytes.
    assert_eq!(names_of(&world, &["--accept", "max-change"], 3).len(), 1);
    assert_eq!(fs::read_dir(world.mirror()).unwrap().count(), 1);

    let mut world = World::local(Rclone::Current);
    write(&world, "file", "x");
    world.backup(&[]).expect(0);
    world.configuration.rclone = Rclone::Oldest.program();
    world.write_configuration();
    write(&world, "file", "changed");
    world.backup(&["--accept", "max-change"]).expect(2).says("update rclone").says("set `program`");
}

/// A server that is an rclone keeps a byte that is no text as eight, where five travel.
#[test]
fn a_name_that_grows_at_the_server_only_is_named_before_it_is_sent() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    let name = [&[b'a'; 250][..], b"\xea"].concat();
    fs::write(world.source().join(path(&name)), "content").unwrap();
    world.write("short", "content");
    let finished = world.backup(&[]).expect(3);
    let told = finished.messages("error");
    assert_eq!(told.len(), 1, "{finished}");
    assert!(told[0].to_string().contains("its name has 258 bytes"), "{finished}");
    assert_eq!(finished.number("files_uploaded"), 1, "{finished}");
}
