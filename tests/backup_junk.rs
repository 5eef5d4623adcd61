//! What a kill in the middle of an upload leaves on the mirror, when the source holds something
//! else before the next run: it is cleared away, and nothing stands in the way of what comes.

use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::files_below;
use crate::support::world::World;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const KINDS: [Option<Protocol>; 4] =
    [None, Some(Protocol::Sftp), Some(Protocol::Webdav), Some(Protocol::Wsgidav)];

type Become = fn(&Path);

/// Its uploads take long enough to be killed.
fn slow_world(protocol: Option<Protocol>, rclone: Rclone, bandwidth: &str) -> World {
    let mut world = protocol.map_or_else(|| World::local(rclone), |to| World::served(to, rclone));
    for key in ["max_delete", "max_change"] {
        world.set(key, "\"off\"");
    }
    world.write("base", "b");
    world.backup(&[]).expect(0);
    set_flags(&mut world, &[&format!("--bwlimit={bandwidth}"), "--transfers=1"]);
    world
}

fn set_flags(world: &mut World, flags: &[&str]) {
    world.configuration.rclone_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    world.write_configuration();
}

/// `kill -9` as soon as it `holds`.
#[track_caller]
fn kill_when(world: &World, what: &str, mut holds: impl FnMut() -> bool) {
    let mut run = world.program.start(&["backup"]);
    let patience = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        assert!(run.try_wait().unwrap().is_none(), "it ended before it could be killed: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    // The parent-death signal is not instantaneous.
    std::thread::sleep(Duration::from_millis(300));
}

fn mirrored(world: &World, below: &str) -> Vec<PathBuf> {
    let folder = world.mirror().join(below);
    if folder.is_dir() { files_below(&folder) } else { Vec::new() }
}

#[track_caller]
fn assert_heals(world: &mut World) {
    set_flags(world, &["--transfers=4"]);
    world.write("unrelated", "must go up as well");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "an unchanged run had something to do");
}

/// Killed while `x/in` went up, and `x` is a file in the source by now.
fn file_in_the_place_of_a_begun_folder(world: &World, bytes: usize) {
    fs::create_dir(world.source().join("x")).unwrap();
    fs::write(world.source().join("x/in"), vec![7; bytes]).unwrap();
    let folder = world.mirror().join("x");
    kill_when(world, "the folder is made", || folder.is_dir());
    fs::remove_dir_all(world.source().join("x")).unwrap();
    world.write("x", "a file now");
}

#[test]
fn a_file_in_the_place_of_a_folder_that_was_begun() {
    let current = KINDS.map(|protocol| (protocol, Rclone::Current));
    for (protocol, rclone) in current.into_iter().chain([(None, Rclone::Oldest)]) {
        let mut world = slow_world(protocol, rclone, "50k");
        file_in_the_place_of_a_begun_folder(&world, 400_000);
        assert_heals(&mut world);
    }
}

#[test]
fn what_came_in_the_place_of_a_file_that_was_begun() {
    let becomes: [(&str, Become); 4] = [
        ("a folder", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("q"), "q").unwrap();
        }),
        ("a FIFO", |path| rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap()),
        ("a link to nothing", |path| symlink("nowhere", path).unwrap()),
        ("a link to itself", |path| symlink(path.file_name().unwrap(), path).unwrap()),
    ];
    for (what, become_it) in becomes {
        let mut world = slow_world(None, Rclone::Current, "50k");
        fs::create_dir(world.source().join("x")).unwrap();
        for number in 0..5 {
            fs::write(world.source().join(format!("x/in{number}")), vec![number; 100_000]).unwrap();
        }
        kill_when(&world, "a file is begun", || !mirrored(&world, "x").is_empty());
        std::thread::sleep(Duration::from_millis(100));
        let begun = mirrored(&world, "x").into_iter().next().unwrap();
        let begun = world.source().join("x").join(begun);
        fs::remove_file(&begun).unwrap();
        become_it(&begun);
        set_flags(&mut world, &["--transfers=4"]);
        world.write("unrelated", "must go up as well");
        let finished = world.backup(&[]).expect(0);
        assert!(world.mirror().join("unrelated").is_file(), "{what}: {finished}");
        assert_eq!(mirrored(&world, "x").len(), 4 + usize::from(what == "a folder"), "{what}: {finished}");
    }
}

#[test]
fn a_doubt_in_whose_place_a_folder_is_held_is_none() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let mut world = slow_world(protocol, Rclone::Current, "100k");
        fs::create_dir(world.source().join("d")).unwrap();
        for number in 0..6 {
            fs::write(world.source().join(format!("d/f{number}")), vec![number; 60_000]).unwrap();
        }
        let whole = |path: &PathBuf| !path.to_string_lossy().ends_with(".partial");
        kill_when(&world, "two are sent", || {
            mirrored(&world, "d").iter().filter(|path| whole(path)).count() >= 2
        });
        let sent = mirrored(&world, "d");
        for number in 0..6 {
            let name = PathBuf::from(format!("f{number}"));
            if !sent.contains(&name) {
                let file = world.source().join("d").join(&name);
                fs::remove_file(&file).unwrap();
                fs::create_dir(&file).unwrap();
                fs::write(file.join("in"), vec![number; 60_000]).unwrap();
            }
        }
        kill_when(&world, "a folder is begun", || {
            mirrored(&world, "d").iter().any(|path| path.ends_with("in"))
        });
        assert_heals(&mut world);
    }
}

#[test]
fn a_doubt_below_a_file_that_is_held_is_none() {
    for protocol in [None, Some(Protocol::Webdav)] {
        for rclone in Rclone::BOTH {
            let mut world = slow_world(protocol, rclone, "300k");
            file_in_the_place_of_a_begun_folder(&world, 600_000);
            fs::write(world.source().join("z, larger"), vec![7; 900_000]).unwrap();
            kill_when(&world, "the file is held", || {
                world.mirror().join("x").is_file()
                    && mirrored(&world, "").iter().any(|path| path.to_string_lossy().starts_with("z, larger"))
            });
            assert_heals(&mut world);
        }
    }
}

/// The folder stays when its last file leaves. `rclone serve sftp` takes the failed rename for done until its
/// image of the disk expires; OpenSSH heals in the same run.
#[test]
fn a_file_takes_the_place_of_a_folder_that_was_emptied_in_an_earlier_run() {
    for on_delete in ["trash", "delete"] {
        let mut world = World::served(Protocol::Sftp, Rclone::Current);
        for (key, value) in [("max_delete", "off"), ("max_change", "off"), ("on_delete", on_delete)] {
            world.set(key, &format!("\"{value}\""));
        }
        world.write("x/one", "1");
        world.write("base", "b");
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.source().join("x")).unwrap();
        world.backup(&[]).expect(0);
        assert!(world.mirror().join("x").is_dir(), "else this shows nothing");
        world.write("x", "a file now");
        if world.backup(&[]).code != 0 {
            std::thread::sleep(Duration::from_secs(3));
        }
        assert_heals(&mut world);
    }
}

#[test]
fn half_a_file_under_a_name_of_rclone_does_not_stay() {
    for protocol in [None, Some(Protocol::Sftp)] {
        for (number, name) in ["big", "大 a\nb", &"long ".repeat(30)].into_iter().enumerate() {
            let mut world = slow_world(protocol, Rclone::Current, "1M");
            let file = world.source().join("d").join(name);
            // Somebody's own file of such a name stays.
            world.write("d/big.1a2b3c4d.partial", "mine");
            let is_half = |path: &PathBuf| {
                path.to_string_lossy().ends_with(".partial") && *path != Path::new("big.1a2b3c4d.partial")
            };
            // On a busy machine the kill may come when rclone has just renamed it.
            let is_left = (0..5).any(|attempt| {
                fs::write(&file, vec![attempt; 6_000_000]).unwrap();
                kill_when(&world, "half of it is there", || mirrored(&world, "d").iter().any(is_half));
                mirrored(&world, "d").iter().any(is_half)
            });
            assert!(is_left, "five kills came too late");
            match number {
                0 => fs::remove_file(&file).unwrap(),
                1 => fs::write(&file, vec![2; 2_500_000]).unwrap(),
                _ => fs::rename(&file, file.with_file_name("another")).unwrap(),
            }
            assert_heals(&mut world);
            assert_eq!(fs::read_to_string(world.mirror().join("d/big.1a2b3c4d.partial")).unwrap(), "mine");
        }
    }
}
