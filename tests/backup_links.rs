//! Symlinks that are followed or uploaded: what lies behind them is protected, and what is
//! kept of them stands in nobody's way.

use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::files_below;
use crate::support::world::{JOB, World};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// What the files of a folder hold, by path.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    let files = files_below(folder).into_iter();
    files
        .map(|file| (file.to_string_lossy().into_owned(), fs::read_to_string(folder.join(file)).unwrap()))
        .collect()
}

#[track_caller]
fn assert_holds(folder: &Path, expected: &[(&str, &str)]) {
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect();
    assert_eq!(contents(folder), expected);
}

fn restore(world: &World, to: &str) -> Finished {
    let to = world.root().join(to);
    world.program.run(&["--json", "restore", "--to", to.to_str().unwrap()])
}

fn verify_source(world: &World) -> Finished {
    world.program.run(&["--json", "verify", JOB, "--source"])
}

/// A job that follows a relative and an absolute link to folders beside the source.
fn following(mut world: World) -> World {
    world.set("links", "\"follow\"");
    world.write("own/file", "own");
    for (path, content) in [("near/f", "near"), ("near/deep/er/g", "deep"), ("far/h", "far")] {
        let file = world.root().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    // Large enough to be read by all threads together.
    fs::write(world.root().join("far/large"), "large ".repeat(50_000)).unwrap();
    symlink("../near", world.source().join("relative")).unwrap();
    symlink(world.root().join("far"), world.source().join("own/absolute")).unwrap();
    // A link behind a link.
    symlink("../far/h", world.root().join("near/to h")).unwrap();
    world
}

#[test]
fn what_lies_below_a_followed_link_is_protected_like_everything_else() {
    for world in [
        World::local(Rclone::Current),
        World::local(Rclone::Oldest),
        World::served(Protocol::Webdav, Rclone::Current),
    ] {
        let world = following(world);
        let large = "large ".repeat(50_000);
        let mut held = vec![
            ("own/absolute/h", "far"),
            ("own/absolute/large", large.as_str()),
            ("own/file", "own"),
            ("relative/deep/er/g", "deep"),
            ("relative/f", "near"),
            ("relative/to h", "far"),
        ];
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 6);
        assert_holds(&world.mirror(), &held);
        let calls = world.rclone_calls().len();
        assert_eq!(world.backup(&[]).expect(0).number("files_unchanged"), 6);
        assert_eq!(world.rclone_calls().len(), calls, "nothing changed, and something was asked");

        fs::write(world.root().join("near/f"), "nearer").unwrap();
        fs::write(world.root().join("near/deep/new"), "new").unwrap();
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 2);
        held[4] = ("relative/f", "nearer");
        held.insert(4, ("relative/deep/new", "new"));
        assert_holds(&world.mirror(), &held);
        assert_eq!(world.trashed("relative/f"), ["near"]);
        restore(&world, "restored").expect(0);
        assert_holds(&world.root().join("restored"), &held);

        fs::remove_file(world.source().join("relative")).unwrap();
        assert_eq!(world.backup(&[]).expect(0).number("files_trashed"), 4);
        held.truncate(3);
        assert_holds(&world.mirror(), &held);
        assert_eq!(fs::read_to_string(world.root().join("near/f")).unwrap(), "nearer");
    }
}

#[test]
fn what_lies_below_a_followed_link_is_verified() {
    let world = following(World::local(Rclone::Current));
    world.backup(&[]).expect(0);
    // The margin below which no stamp is trusted; what was read within it is read again.
    std::thread::sleep(Duration::from_millis(2_100));
    world.backup(&[]).expect(0);
    assert_eq!(verify_source(&world).expect(0).number("files_verified"), 6);
    let file = world.root().join("near/deep/er/g");
    let mtime = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "dEep").unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(mtime).unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    verify_source(&world).expect(15).says("relative/deep/er/g");
    // A version that is missing on the mirror is sent again from behind the link.
    fs::remove_file(world.mirror().join("relative/f")).unwrap();
    world.program.run(&["verify", JOB, "--remote", "--repair"]).says("relative/f");
    world.backup(&[]);
    assert_eq!(fs::read_to_string(world.mirror().join("relative/f")).unwrap(), "near");
}

#[test]
fn hashes_are_filled_in_below_a_followed_link() {
    let world = following(World::served(Protocol::Webdav, Rclone::Current));
    let copied =
        std::process::Command::new("cp").arg("-rL").arg(world.source()).arg(world.mirror()).status().unwrap();
    assert!(copied.success());
    world.program.run(&["--json", "adopt", JOB]).expect(0);
    std::thread::sleep(Duration::from_millis(2_100));
    let unverifiable = || verify_source(&world).number("files_unverifiable");
    assert_eq!(unverifiable(), 6);
    for _ in 0..2 {
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    }
    assert_eq!(unverifiable(), 0);
    assert_eq!(verify_source(&world).expect(0).number("files_verified"), 6);
}
