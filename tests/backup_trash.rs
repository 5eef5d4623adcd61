//! What happens to old versions: the trash beside the mirror, and the six ways
//! of `on_delete` and `keep_versions`.

use crate::support::program::chmod;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, let_times_settle};
use crate::support::world::World;
use std::fs;
use std::path::{Path, PathBuf};

/// Twenty files that stay, and two that do not.
fn plant(world: &World) {
    Plan::plain(20, 1).plant(&world.source());
    fs::create_dir(world.source().join("deep")).unwrap();
    fs::write(world.source().join("deep/changed"), "old version").unwrap();
    fs::write(world.source().join("deleted"), "last words").unwrap();
}

fn edit(world: &World) {
    fs::write(world.source().join("deep/changed"), "new version, longer").unwrap();
    fs::remove_file(world.source().join("deleted")).unwrap();
}

fn held(world: &World, path: &str) -> Option<String> {
    fs::read_to_string(world.mirror().join(path)).ok()
}

#[test]
fn the_six_ways_of_on_delete_and_keep_versions() {
    for protocol in [None, Some(Protocol::Webdav), Some(Protocol::S3)] {
        for on_delete in ["trash", "delete", "keep"] {
            for keep_versions in [true, false] {
                let case = format!("{protocol:?}, on_delete = {on_delete}, keep_versions = {keep_versions}");
                let mut world = protocol
                    .map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
                world.set("on_delete", &format!("\"{on_delete}\""));
                world.set("keep_versions", &keep_versions.to_string());
                plant(&world);
                world.backup(&[]).expect(0);
                edit(&world);
                world.backup(&[]).expect(0);

                assert_eq!(held(&world, "deep/changed").as_deref(), Some("new version, longer"), "{case}");
                let old = world.trashed("deep/changed");
                let was_kept = |is_kept: bool, text: &'static str| Vec::from_iter(is_kept.then_some(text));
                assert_eq!(old, was_kept(keep_versions, "old version"), "{case}");
                let last_words = Some("last words");
                assert_eq!(
                    held(&world, "deleted").as_deref(),
                    last_words.filter(|_| on_delete == "keep"),
                    "{case}"
                );
                assert_eq!(world.trashed("deleted"), was_kept(on_delete == "trash", "last words"), "{case}");

                // What was settled stays settled.
                let calls = world.rclone_calls().len();
                world.backup(&[]).expect(0);
                assert_eq!(world.rclone_calls().len(), calls, "{case}: a further run started rclone");

                world.set("exclude", "[\"deep/\"]");
                world.backup(&[]).expect(0);
                assert_eq!(held(&world, "deep/changed").as_deref(), Some("new version, longer"), "{case}");
            }
        }
    }
}

#[test]
fn each_run_has_a_trash_folder_of_its_own() {
    let world = World::local(Rclone::Current);
    plant(&world);
    world.backup(&[]).expect(0);
    for version in ["second", "third"] {
        fs::write(world.source().join("deep/changed"), version).unwrap();
        world.backup(&[]).expect(0);
    }
    let trash = world.trash();
    assert_eq!(trash.len(), 2, "two runs replaced something: {:?}", trash.keys());
    let sequences: Vec<&str> = trash.keys().map(|run| run.split_once('-').unwrap().0).collect();
    assert!(sequences.is_sorted() && sequences[0] != sequences[1], "{sequences:?}");
    let versions: Vec<&[u8]> =
        trash.values().map(|run| run[&PathBuf::from("deep/changed")].as_slice()).collect();
    assert_eq!(versions, [b"old version".as_slice(), b"second".as_slice()]);
}

#[test]
fn a_file_becomes_a_folder_and_back_again() {
    for protocol in [None, Some(Protocol::Webdav), Some(Protocol::Wsgidav), Some(Protocol::S3)] {
        let world =
            protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
        plant(&world);
        fs::write(world.source().join("both"), "a file").unwrap();
        world.backup(&[]).expect(0);

        fs::remove_file(world.source().join("both")).unwrap();
        fs::create_dir(world.source().join("both")).unwrap();
        for name in ["one", "two"] {
            fs::write(world.source().join("both").join(name), name).unwrap();
        }
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.trashed("both"), ["a file"]);

        fs::remove_dir_all(world.source().join("both")).unwrap();
        fs::write(world.source().join("both"), "a file again").unwrap();
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.trashed("both/one"), ["one"], "{protocol:?}");
        assert_eq!(world.trashed("both/two"), ["two"], "{protocol:?}");
    }
}

#[test]
fn what_is_newly_excluded_stays_on_the_mirror_until_that_is_accepted() {
    let mut world = World::local(Rclone::Current);
    plant(&world);
    world.backup(&[]).expect(0);
    world.set("exclude", "[\"deep/\"]");
    let finished = world.backup(&[]).expect(0);
    assert_eq!(finished.number("files_out_of_scope"), 1);
    assert_eq!(held(&world, "deep/changed").as_deref(), Some("old version"));
    assert!(world.all_trash().is_empty());

    world.backup(&["--accept", "excluded"]).expect(0);
    assert_eq!(held(&world, "deep/changed"), None);
    assert_eq!(world.trashed("deep/changed"), ["old version"]);
}

/// `secret/` and `keep/` are on the mirror, and `secret/` is excluded since.
fn newly_excluded() -> World {
    let mut world = World::local(Rclone::Current);
    world.write("secret/s1", "secret");
    world.write("keep/k1", "kept");
    world.backup(&[]).expect(0);
    world.set("exclude", "[\"/secret/\"]");
    world
}

#[test]
fn what_is_newly_excluded_leaves_the_backup_though_the_first_run_ended_early() {
    let world = newly_excluded();
    for name in ["n1", "n2"] {
        world.write(name, &"x".repeat(5000));
    }
    world.backup(&["--max-transfer", "6000"]).expect(4);
    assert_eq!(world.backup(&[]).expect(0).number("files_out_of_scope"), 1);
    world.write("secret/s1", "another secret");
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    assert_eq!(held(&world, "secret/s1").as_deref(), Some("secret"));
}

/// Rules that were tried for one run only, and that run was killed with files on the mirror.
#[test]
fn what_a_killed_run_sent_by_other_rules_leaves_the_backup_with_them() {
    let mut world = newly_excluded();
    world.backup(&[]).expect(0);
    world.set("exclude", "[]");
    world.write("secret/s2", "another secret");
    // The receipt is to be in the journal: without one, what lies there is junk. A file that was written
    // a moment ago is read once more before it counts.
    let_times_settle();
    world.before_rclone(
        "case \"$*\" in *copy*files-from-raw*) \"$real\" \"$@\"; status=$?; sleep 1; kill -9 $PPID; exit $status;; esac",
    );
    assert_ne!(world.backup(&[]).code, 0);
    assert_eq!(held(&world, "secret/s2").as_deref(), Some("another secret"));
    world.watch_rclone();
    world.set("exclude", "[\"/secret/\"]");

    assert_eq!(world.backup(&[]).expect(0).number("files_out_of_scope"), 1);
    world.write("secret/s2", "this is nobody's business");
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    assert_eq!(held(&world, "secret/s2").as_deref(), Some("another secret"));
}

#[test]
fn what_is_newly_excluded_leaves_the_backup_though_a_folder_could_not_be_read_at_first() {
    let mut world = World::local(Rclone::Current);
    world.write("folder/secret", "secret");
    world.write("folder/keep", "kept");
    world.write("bad/file", "never to be read again");
    world.backup(&[]).expect(0);
    world.set("exclude", "[\"secret\"]");
    world.become_ordinary();
    let backup = || {
        let finished = world.backup(&[]);
        assert!([0, 3].contains(&finished.code), "{finished}");
        finished
    };
    let folders = ["folder", "bad"].map(|folder| world.source().join(folder));
    folders.iter().for_each(|folder| chmod(folder, 0o000));
    backup();
    // A folder that can never be read costs no write in each run.
    let (calls, bytes) = (world.rclone_calls().len(), world.index_bytes());
    backup();
    assert_eq!(world.rclone_calls().len(), calls);
    assert!(world.index_bytes() == bytes, "the state was written for nothing");
    chmod(&folders[0], 0o755);
    assert_eq!(backup().number("files_out_of_scope"), 1);
    world.write("folder/secret", "another secret");
    assert_eq!(backup().number("files_uploaded"), 0);
    chmod(&folders[1], 0o755);
}

#[test]
fn a_file_that_is_never_protected_does_not_keep_new_rules_from_counting() {
    let world = newly_excluded();
    world.write("too large", &"x".repeat(5000));
    for _ in 0..2 {
        world.backup(&["--max-transfer", "1000"]).expect(4);
    }
    let bytes = world.index_bytes();
    let calls = world.rclone_calls().len();
    world.backup(&["--max-transfer", "1000"]).expect(4);
    assert_eq!(world.rclone_calls().len(), calls);
    let without_docket = |bytes: std::collections::BTreeMap<PathBuf, Vec<u8>>| {
        bytes.into_iter().filter(|(path, _)| path != Path::new("docket")).collect::<Vec<_>>()
    };
    assert!(without_docket(world.index_bytes()) == without_docket(bytes), "the index grew for nothing");
}

#[test]
fn a_kept_file_that_comes_back_is_a_change_and_not_an_overwrite() {
    let mut world = World::local(Rclone::Current);
    world.set("on_delete", "\"keep\"");
    plant(&world);
    world.backup(&[]).expect(0);
    fs::remove_file(world.source().join("deleted")).unwrap();
    world.backup(&[]).expect(0);
    assert_eq!(held(&world, "deleted").as_deref(), Some("last words"));
    fs::write(world.source().join("deleted"), "first words").unwrap();
    world.backup(&[]).expect(0);
    assert_eq!(held(&world, "deleted").as_deref(), Some("first words"));
    assert_eq!(world.trashed("deleted"), ["last words"]);
}

#[test]
fn a_deleted_folder_is_kept_file_by_file_where_deletions_are_kept() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let mut world =
            protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
        world.set("on_delete", "\"keep\"");
        plant(&world);
        let gone = world.source().join("gone");
        Plan::plain(30, 2).plant(&gone);
        world.backup(&[]).expect(0);
        let held = crate::support::trees::files_below(&gone);
        fs::remove_dir_all(&gone).unwrap();
        world.backup(&[]).expect(0);
        assert!(world.all_trash().is_empty(), "{protocol:?}: it went to a trash, which expires");
        assert_eq!(crate::support::trees::files_below(&world.mirror().join("gone")), held);
        world.backup(&["--accept", "kept"]).expect(0);
        assert_eq!(world.all_trash().len(), 30, "{protocol:?}: it was not known as kept");
    }
}

#[test]
fn a_deleted_folder_goes_to_the_trash_with_all_that_is_in_it() {
    for protocol in [None, Some(Protocol::Webdav), Some(Protocol::Wsgidav)] {
        let world =
            protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
        plant(&world);
        let gone = world.source().join("gone");
        Plan::plain(30, 2).plant(&gone);
        world.backup(&[]).expect(0);
        let held = crate::support::trees::files_below(&gone);
        fs::remove_dir_all(&gone).unwrap();
        world.backup(&["--accept", "max-delete"]).expect(0);
        world.assert_mirror_equals_source();
        let trash: Vec<PathBuf> = world.all_trash().into_iter().map(|(path, _)| path).collect();
        assert_eq!(trash.len(), 30, "{protocol:?}");
        assert!(held.iter().all(|path| trash.contains(&Path::new("gone").join(path))));
    }
}
