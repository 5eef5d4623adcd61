//! A remote, or a source, that is for a while not what it was: nothing that is
//! known to be held may be lost over it.

use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::Plan;
use crate::support::world::World;
use std::fs;
use std::path::Path;

fn write(world: &World, path: &str, content: &str) {
    let file = world.source().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

fn trashed(world: &World, path: &str) -> Option<String> {
    let found = world.all_trash().into_iter().find(|(trashed, _)| trashed == Path::new(path));
    found.map(|(_, bytes)| String::from_utf8(bytes).unwrap())
}

/// A driver behind a relay that answers 404 for one folder (OpenList does, for any error).
fn a_folder_denies_itself(folder: &'static str, has_sibling: bool) {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 1).plant(&world.source().join("elsewhere"));
    write(&world, "up/down/changed", "the first version");
    if has_sibling {
        write(&world, "up/down/beside", "stays as it is");
    }
    world.backup(&[]).expect(0);

    write(&world, "up/down/changed", "the second version, longer");
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(move |seen| {
        let is_asked = matches!(seen.method.as_str(), "PROPFIND" | "MOVE");
        (is_asked && seen.path.contains(folder) && !seen.path.contains(".treeferry"))
            .then_some(Fault::Status(404))
    });
    world.backup(&[]).expect(5);
    proxy.heal();
    let held = fs::read_to_string(world.mirror().join("up/down/changed")).unwrap();
    assert_eq!(held, "the first version", "it was overwritten while the remote denied it");

    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(trashed(&world, "up/down/changed").as_deref(), Some("the first version"));
}

#[test]
fn a_folder_that_denies_its_files_is_not_believed() {
    a_folder_denies_itself("up/down", true);
}

#[test]
fn a_folder_that_denies_its_only_file_is_not_believed_while_it_is_listed_above() {
    a_folder_denies_itself("up/down", false);
}

#[test]
fn a_source_that_is_moved_away_in_mid_run_loses_the_mirror_no_more_than_one_pair() {
    let mut world = World::local(Rclone::Current);
    for number in 0..5 {
        write(&world, &format!("changed-{number}"), "the first version");
        write(&world, &format!("deleted-{number}"), "the first version");
    }
    Plan::plain(40, 1).plant(&world.source().join("stay"));
    world.backup(&[]).expect(0);
    for number in 0..5 {
        write(&world, &format!("changed-{number}"), "the second version, longer");
        fs::remove_file(world.source().join(format!("deleted-{number}"))).unwrap();
    }
    let (source, away) = (world.source(), world.root().join("away"));
    let once = world.root().join("meddled");
    world.before_rclone(&format!(
        "if [ \"$1\" = move ] && ! [ -e '{once}' ]; then touch '{once}'; \"$real\" \"$@\"; code=$?; \
         mv '{source}' '{away}'; exit $code; fi",
        once = once.display(),
        source = source.display(),
        away = away.display()
    ));
    world.backup(&[]).expect(13).says("does not lead any more");
    for number in 0..5 {
        assert_eq!(
            trashed(&world, &format!("changed-{number}")).as_deref(),
            Some("the first version"),
            "the old version is nowhere"
        );
        assert!(world.mirror().join(format!("deleted-{number}")).exists(), "and it went on deleting");
    }
    fs::rename(away, source).unwrap();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_link_and_a_file_of_one_name_change_places_and_no_version_is_lost() {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    Plan::plain(10, 1).plant(&world.source());
    std::os::unix::fs::symlink("target", world.source().join("it")).unwrap();
    world.backup(&[]).expect(0);
    assert!(world.mirror().join("it.rclonelink").exists());

    fs::remove_file(world.source().join("it")).unwrap();
    write(&world, "it", "the first version");
    world.backup(&[]).expect(0);
    assert_eq!(fs::read_to_string(world.mirror().join("it")).unwrap(), "the first version");
    assert!(!world.mirror().join("it.rclonelink").exists());
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "it was forgotten that the file is there");

    write(&world, "it", "the second version, longer");
    world.backup(&[]).expect(0);
    assert_eq!(trashed(&world, "it").as_deref(), Some("the first version"));

    fs::remove_file(world.source().join("it")).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.source().join("it")).unwrap();
    world.backup(&[]).expect(0);
    assert!(!world.mirror().join("it").exists() && world.mirror().join("it.rclonelink").exists());
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls);
}

#[test]
fn a_link_that_did_not_go_up_takes_no_file_with_it() {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    world.set("on_delete", "\"keep\"");
    Plan::plain(10, 1).plant(&world.source());
    write(&world, "it", "the only version");
    world.backup(&[]).expect(0);
    fs::remove_file(world.source().join("it")).unwrap();
    std::os::unix::fs::symlink("target", world.source().join("it")).unwrap();
    world.before_rclone(
        "case \"$*\" in *':local,links:'*) cat >/dev/null; echo '{\"level\":\"error\",\"msg\":\"Failed to copy: \
         409 Conflict\",\"object\":\"it.rclonelink\"}' >&2; exit 1;; esac",
    );
    world.backup(&[]).expect(3);
    world.stop_watching_rclone();
    fs::remove_file(world.source().join("it")).unwrap();
    world.backup(&[]).expect(0);
    let held = fs::read_to_string(world.mirror().join("it")).ok();
    assert_eq!(held.or(trashed(&world, "it")).as_deref(), Some("the only version"));
}
