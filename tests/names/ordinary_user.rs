//! As somebody who may not read everything: what cannot be read is named, keeps
//! what the mirror holds of it, and is no deletion.

use super::there_and_back::named;
use crate::support::program::chmod;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, files_below};
use crate::support::world::World;
use std::fs;
use std::path::{Path, PathBuf};

fn lock_up(world: &World, paths: &[&str]) {
    paths.iter().for_each(|path| chmod(&world.source().join(path), 0));
}

fn open_up(world: &World, paths: &[&str]) {
    for path in paths {
        let place = world.source().join(path);
        chmod(&place, if place.is_dir() { 0o755 } else { 0o644 });
    }
}

fn a_tree_with_locked_places(mut world: World) {
    Plan::odd(60, 1).plant(&world.source());
    for number in 0..30 {
        let folder = world.source().join("locked\nfolder");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}")), format!("{number}")).unwrap();
        fs::write(world.source().join(format!("locked {number}")), "x").unwrap();
    }
    let files: Vec<String> = (0..30).map(|number| format!("locked {number}")).collect();
    let mut locked: Vec<&str> = files.iter().map(String::as_str).collect();
    locked.extend(["locked\nfolder", "odd files/bell\u{7}"]);
    lock_up(&world, &locked);
    world.become_ordinary();
    let expected: Vec<PathBuf> = {
        let mut paths: Vec<PathBuf> = locked.iter().map(PathBuf::from).collect();
        paths.sort();
        paths
    };
    let named_now = |world: &World| named(&world.backup(&[]).expect(3)).into_keys().collect::<Vec<PathBuf>>();
    assert_eq!(named_now(&world), expected);
    let held = files_below(&world.mirror()).len();
    assert_eq!(named_now(&world), expected);
    assert_eq!(files_below(&world.mirror()).len(), held);

    open_up(&world, &locked);
    world.backup(&["--accept", "max-change"]).expect(0);
    world.assert_mirror_equals_source();

    // What was held and cannot be read any more is no deletion, and no change.
    let held = files_below(&world.mirror());
    lock_up(&world, &locked);
    world.backup(&[]);
    assert_eq!(files_below(&world.mirror()), held);
    assert!(world.all_trash().is_empty());
    fs::remove_file(world.source().join(Path::new("locked 7"))).unwrap();
    open_up(&world, &locked[..7]);
    let finished = world.backup(&[]);
    assert_eq!(finished.code, 3, "{finished}");
    assert_eq!(files_below(&world.mirror()).len(), held.len() - 1);
    assert_eq!(world.all_trash().len(), 1);
}

#[test]
fn an_ordinary_user_backs_up_what_may_be_read_and_hears_of_the_rest() {
    a_tree_with_locked_places(World::local(Rclone::Current));
}

#[test]
fn an_ordinary_user_does_so_on_webdav() {
    a_tree_with_locked_places(World::served(Protocol::Webdav, Rclone::Current));
}
