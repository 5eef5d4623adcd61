//! Reading the source again: bit rot is found, named and kept from the mirror;
//! nothing else is called rot.

use crate::support::program::{Finished, chmod};
use crate::support::servers::Rclone;
use crate::support::trees::{Plan, edit, files_below, let_times_settle, rot_into};
use crate::support::world::{JOB, World};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn verify(world: &World, arguments: &[&str]) -> Finished {
    let fixed = ["--json", "verify", JOB, "--source"];
    let all: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
    world.program.run(&all)
}

fn set_mtime(file: &Path, mtime: SystemTime) {
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(mtime)).unwrap();
}

/// Flips a bit and sets the time back.
fn rot(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    rot_into(file, bytes);
}

/// Some files of yesterday, on the mirror.
fn backed_up() -> World {
    let world = World::local(Rclone::Current);
    Plan::odd(60, 3).plant(&world.source());
    fs::write(world.source().join("picture"), "a picture").unwrap();
    for file in files_below(&world.source()) {
        set_mtime(&world.source().join(file), SystemTime::now() - Duration::from_secs(86_400));
    }
    world.backup(&[]).expect(0);
    world
}

#[test]
fn a_source_as_it_was_is_verified_without_a_request() {
    let world = backed_up();
    let files = files_below(&world.source()).len() as u64;
    let calls = world.rclone_calls().len();
    let state = world.index_bytes();
    let told = verify(&world, &[]).expect(0);
    assert_eq!((told.number("files_verified"), told.number("files_selected")), (files, files), "{told}");
    assert_eq!(verify(&world, &["odd kinds/empty file"]).expect(0).number("files_verified"), 1);
    let third = || verify(&world, &["--subset", "1/3"]).expect(0).number("files_verified");
    let thirds = [third(), third(), third()];
    assert!(thirds.iter().sum::<u64>() >= files && thirds.iter().all(|&part| part * 2 < files), "{thirds:?}");
    assert_eq!(world.rclone_calls().len(), calls);
    assert_eq!(world.index_bytes(), state);
    verify(&world, &["nothing there"]).expect(2);
    world.program.run(&["verify"]).expect(2);
}

#[test]
fn a_third_of_the_files_three_times_finds_whatever_rotted() {
    let world = backed_up();
    for rotten in ["picture", "odd kinds/.gitignore"] {
        rot(&world.source().join(rotten));
    }
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let told = verify(&world, &["--subset", "1/3"]).summary();
        found.extend(told["findings"].as_array().unwrap().iter().map(|finding| finding["path"].to_string()));
    }
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn ordinary_changes_are_no_rot() {
    let world = backed_up();
    let edited = edit(&world.source(), 6, 5);
    let told = verify(&world, &[]).expect(0);
    let gone_or_changed = edited.changed.len() + edited.touched.len() + edited.removed.len();
    assert!(told.number("files_changed") >= gone_or_changed as u64 - 6, "{told}");
    assert_eq!(told.number("files_damaged"), 0, "{told}");
}

#[test]
fn a_flipped_byte_is_named_and_does_not_reach_the_mirror_until_it_is_accepted() {
    let world = backed_up();
    let picture = world.source().join("picture");
    rot(&picture);
    let told = verify(&world, &[]).expect(15).says("bit rot").says("picture");
    assert_eq!(told.number("files_damaged"), 1, "{told}");
    let held = || fs::read_to_string(world.mirror().join("picture")).unwrap();

    world.backup(&[]).expect(3).says("bit rot");
    assert_eq!(held(), "a picture");
    world.program.run(&["status"]).says("rotted in the source");

    // Neither a new ctime nor a new mode heals it.
    chmod(&picture, 0o600);
    world.backup(&[]).expect(3).says("bit rot");
    assert_eq!(held(), "a picture");
    verify(&world, &[]).expect(15);

    world.backup(&["--accept", "changed-content"]).expect(0);
    assert_ne!(held(), "a picture");
    world.backup(&[]).expect(0);
    verify(&world, &[]).expect(0);
}

/// A dying disk does not stop at one bit.
#[test]
fn a_rotten_file_that_rots_on_is_still_held_back() {
    let world = backed_up();
    let picture = world.source().join("picture");
    rot(&picture);
    verify(&world, &[]).expect(15);
    rot_into(&picture, b"a piczuse");
    chmod(&picture, 0o640);
    world.backup(&[]).expect(3).says("bit rot");
    assert_eq!(fs::read_to_string(world.mirror().join("picture")).unwrap(), "a picture");
    // What was good once more is free, whoever brought it back.
    rot_into(&picture, b"a picture");
    world.backup(&[]).expect(0);
    verify(&world, &[]).expect(0);
    assert_eq!(world.trashed("picture").len(), 0);
}

/// Its ctime is milliseconds old, but its modification time is of yesterday.
#[test]
fn a_byte_that_was_flipped_a_moment_ago_is_named() {
    for turn in 0..4 {
        let world = backed_up();
        let picture = world.source().join("picture");
        let modified = fs::metadata(&picture).unwrap().modified().unwrap();
        fs::write(&picture, format!("a pictur{turn}")).unwrap();
        set_mtime(&picture, modified);
        verify(&world, &[]).expect(15).says("bit rot");
    }
}

#[test]
fn a_rotten_file_that_was_restored_is_free_again() {
    let world = backed_up();
    let picture = world.source().join("picture");
    rot(&picture);
    verify(&world, &[]).expect(15);
    let to = world.source();
    let to = to.to_str().unwrap();
    world.program.run(&["restore", "picture", "--to", to, "--overwrite", "if-different"]).expect(0);
    assert_eq!(fs::read_to_string(&picture).unwrap(), "a picture");
    world.backup(&[]).expect(0);
    verify(&world, &[]).expect(0);
    let status = world.program.run(&["status"]).expect(0);
    assert!(!status.stdout.contains("rotted"), "{status}");
}

#[test]
fn a_rotten_file_that_was_renamed_tells_where_its_good_version_is() {
    for folder in ["", "folder/"] {
        let world = World::local(Rclone::Current);
        let name = format!("{folder}picture");
        world.write(&name, "a picture");
        // So many that the folder leaves as one piece.
        for number in 0..12 {
            world.write(&format!("{folder}{number}"), "another");
        }
        world.write("stays", "stays");
        let_times_settle();
        world.backup(&[]).expect(0);
        rot(&world.source().join(&name));
        verify(&world, &[]).expect(15);
        world.backup(&[]).expect(3);
        let (from, to) = if folder.is_empty() { ("picture", "moved") } else { ("folder", "moved") };
        fs::rename(world.source().join(from), world.source().join(to)).unwrap();
        let told = world.backup(&["--accept", "max-delete"]).expect(0).says("is gone from the source");
        let warnings = told.summary()["warnings"].to_string();
        let command =
            warnings.split('`').nth(1).unwrap().replace("DIR", world.root().join("back").to_str().unwrap());
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        world.program.run(&words).expect(0);
        let back = fs::read_to_string(world.root().join("back").join(&name)).unwrap();
        assert_eq!(back, "a picture", "{command}");
        assert!(!world.program.run(&["status"]).stdout.contains("rotted in the source"));
        assert!(!world.backup(&[]).expect(0).stdout.contains("is gone from the source"));
    }
}

/// Left out for a while, or kept on the mirror while it was away: what comes back is rotten still.
#[test]
fn a_rotten_file_whose_good_version_is_kept_stays_held_back_until_it_comes_back() {
    for is_excluded in [true, false] {
        let mut world = World::local(Rclone::Current);
        world.set("on_delete", "\"keep\"");
        for name in ["folder/picture", "folder/beside", "stays"] {
            world.write(name, "a picture");
        }
        let_times_settle();
        world.backup(&[]).expect(0);
        rot(&world.source().join("folder/picture"));
        verify(&world, &[]).expect(15);
        let (folder, away) = (world.source().join("folder"), world.root().join("away"));
        if is_excluded {
            world.set("exclude", "[\"folder/\"]");
        } else {
            fs::rename(&folder, &away).unwrap();
        }
        let told = world.backup(&[]).expect(0);
        assert_eq!(told.stdout.contains("stays on the mirror"), !is_excluded, "{told}");
        assert!(!told.stdout.contains("went to the trash"), "{told}");
        if is_excluded {
            world.set("exclude", "[]");
        } else {
            fs::rename(&away, &folder).unwrap();
        }
        for _ in 0..2 {
            world.backup(&[]).expect(3).says("bit rot");
            let held = fs::read_to_string(world.mirror().join("folder/picture")).unwrap();
            assert_eq!(held, "a picture");
        }
        // Brought back to what the mirror keeps.
        rot_into(&folder.join("picture"), b"a picture");
        world.backup(&[]).expect(0);
        assert_eq!(world.backup(&[]).expect(0).number("files_unchanged"), 3);
    }
}

#[test]
fn a_rotten_file_that_was_written_since_is_sent_with_a_word() {
    let world = backed_up();
    let picture = world.source().join("picture");
    rot(&picture);
    verify(&world, &[]).expect(15);
    fs::write(&picture, "another picture").unwrap();
    world.backup(&[]).expect(0).says("was written since: it is no longer held back");
    assert_eq!(fs::read_to_string(world.mirror().join("picture")).unwrap(), "another picture");
    verify(&world, &[]).expect(0);
}

#[test]
fn a_rotten_file_that_was_written_back_as_it_was_is_free_and_nothing_is_sent() {
    let world = backed_up();
    let picture = world.source().join("picture");
    let good = fs::read(&picture).unwrap();
    rot(&picture);
    verify(&world, &[]).expect(15);
    fs::write(&picture, good).unwrap();
    let told = world.backup(&[]).expect(0).says("it is no longer held back");
    assert_eq!(told.number("files_uploaded"), 0, "{told}");
    verify(&world, &[]).expect(0);
}

/// A camera or a NAS whose clock is ahead. Its ctime tells that it is at rest.
#[test]
fn a_file_of_the_future_is_verified_and_kept_from_the_mirror_when_it_rots() {
    let world = World::local(Rclone::Current);
    let file = world.source().join("file");
    fs::write(&file, "content").unwrap();
    set_mtime(&file, SystemTime::now() + Duration::from_secs(300 * 86_400));
    let_times_settle();
    world.backup(&[]).expect(0);
    let told = verify(&world, &[]).expect(0);
    assert_eq!((told.number("files_verified"), told.number("files_unverifiable")), (1, 0), "{told}");
    // It is not read in each run any more.
    let lines = world.backup(&[]).expect(0).messages("status");
    assert!(lines.iter().all(|line| line["bytes_hashed"].as_u64().unwrap_or(0) == 0), "{lines:?}");

    rot(&file);
    let told = verify(&world, &[]).expect(15).says("bit rot");
    assert_eq!(told.number("files_damaged"), 1, "{told}");
    world.backup(&[]).expect(3).says("bit rot");
    assert_eq!(fs::read_to_string(world.mirror().join("file")).unwrap(), "content");

    // An edit that keeps the size goes up, though it sets the time of before again.
    world.program.run(&[
        "restore",
        "file",
        "--to",
        world.source().to_str().unwrap(),
        "--overwrite",
        "if-different",
    ]);
    world.backup(&[]).expect(0);
    rot(&file);
    let rotten = fs::read(&file).unwrap();
    world.backup(&[]).expect(0);
    assert_eq!(fs::read(world.mirror().join("file")).unwrap(), rotten);
}

#[test]
fn a_missing_source_is_no_damage_and_no_index_is_said_so() {
    let world = World::local(Rclone::Current);
    verify(&world, &[]).expect(10);
    fs::write(world.source().join("file"), "content").unwrap();
    world.backup(&[]).expect(0);
    fs::rename(world.source(), world.root().join("elsewhere")).unwrap();
    verify(&world, &[]).expect(13);
}
