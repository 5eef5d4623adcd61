//! Places that must not contain each other: written so, through symlinks, and behind names of rclone's configuration.

use crate::support::program::Job;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::files_below;
use crate::support::world::{JOB, World};
use std::fs;
use std::os::unix::fs::symlink;

/// Each run would back the mirror up into itself.
#[test]
fn a_mirror_that_a_symlink_puts_into_its_source_is_refused() {
    let folder = |world: &World, name: &str| world.root().join(name);
    let refused = |world: &World, says: &str| {
        for command in [&["config", "validate"][..], &["--json", "backup"], &["--json", "plan"]] {
            world.program.run(command).expect(2).says("must not contain each other").says(says);
        }
        assert!(!world.configuration.state_dir.join(JOB).join("docket").exists());
    };
    let place = |world: &mut World, source: &str, mirror: &str| {
        let mirror = format!(":local:{}", folder(world, mirror).display());
        world.configuration.jobs = vec![Job::new(JOB, &folder(world, source), &mirror)];
        world.write_configuration();
    };
    let mut world = World::local(Rclone::Current);
    fs::create_dir(world.source().join("inner")).unwrap();
    fs::create_dir(folder(&world, "m")).unwrap();
    symlink("../source/inner", folder(&world, "m/mirror")).unwrap();
    place(&mut world, "source", "m/mirror");
    refused(&world, "source/inner");
    // It need not be there yet.
    place(&mut world, "source", "m/mirror/to/come");
    refused(&world, "source/inner/to/come");
    symlink("m", folder(&world, "link")).unwrap();
    place(&mut world, "link", "m/place");
    refused(&world, "the source");
    // Nor may one mirror lie in another.
    let mut two = World::local(Rclone::Current);
    symlink("remote", folder(&two, "alias")).unwrap();
    place(&mut two, "source", "remote/backup/one");
    let inner = format!(":local,links=false:{}", folder(&two, "alias/backup/one/two").display());
    two.configuration.jobs.push(Job::new("two", &two.source(), &inner));
    two.write_configuration();
    refused(&two, "remote/backup/one/two");
    place(&mut two, "source", "alias/backup/one");
    two.write("file", "1");
    two.backup(&[]).expect(0);
}

/// What is behind a name only rclone knows: it is asked once, before there is an index.
#[test]
fn a_mirror_that_the_configuration_of_rclone_puts_into_its_source_is_refused() {
    for rclone in [Rclone::Oldest, Rclone::Current] {
        let mut world = World::local(rclone);
        world.write("inner/file", "1");
        let inner = world.source().join("inner");
        world
            .rclone_configuration
            .add("short", &[("type", "alias".into()), ("remote", inner.display().to_string())]);
        symlink(&inner, world.root().join("link")).unwrap();
        for remote in
            ["short:mirror".to_owned(), format!("local:{}/mirror", world.root().join("link").display())]
        {
            world.configuration.jobs = vec![Job::new(JOB, &world.source(), &remote)];
            world.write_configuration();
            for command in [&["config", "validate"][..], &["--json", "backup"], &["--json", "plan"]] {
                let says = "source/inner/mirror, and the source is";
                world.program.run(command).expect(2).says("must not contain each other").says(says);
            }
            assert_eq!(files_below(&inner).len(), 1, "{remote}: something was sent");
        }
        // Beside the source it is as good as any other.
        let beside = world.root().join("remote").display().to_string();
        world.rclone_configuration.add("beside", &[("type", "alias".into()), ("remote", beside)]);
        world.configuration.jobs = vec![Job::new(JOB, &world.source(), "beside:backup/photos")];
        world.write_configuration();
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
    }
}

/// One job would take the other's files for what is in its way.
#[test]
fn mirrors_that_contain_each_other_behind_other_names_are_refused() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        let held = world.root().join("remote/backup");
        let alias = ("remote", held.display().to_string());
        world.rclone_configuration.add("beside", &[("type", "alias".into()), alias]);
        world
            .rclone_configuration
            .add("through", &[("type", "alias".into()), ("remote", "beside:photos".into())]);
        symlink(&held, world.root().join("link")).unwrap();
        fs::create_dir(world.root().join("second")).unwrap();
        fs::write(world.root().join("second/inner"), "2").unwrap();
        world.write("file", "1");
        let first = world.configuration.jobs.remove(0);
        let link = format!("local:{}/photos/x", world.root().join("link").display());
        let plain = format!(":local:{}/photos/x", held.display());
        for remote in ["beside:photos/x", "through:x", "beside:.treeferry/photos/x", &link, &plain] {
            let second = Job::new("second", &world.root().join("second"), remote);
            world.configuration.jobs = vec![first.clone(), second];
            world.write_configuration();
            // All three go through one check: each way round it is tried with one of them.
            let is_first = remote == "beside:photos/x";
            let commands = [&["config", "validate"][..], &["--json", "plan"], &["--json", "backup"]];
            for command in &commands[if is_first { 0 } else { 2 }..] {
                world.program.run(command).expect(2).says("must not contain each other");
            }
            assert!(files_below(&world.root().join("remote")).is_empty(), "{remote}: something was sent");
        }
        let second = Job::new("second", &world.root().join("second"), "beside:photos two");
        world.configuration.jobs = vec![first, second];
        world.write_configuration();
        world.program.run(&["config", "validate"]).expect(0);
        world.program.run(&["--json", "backup"]).expect(0);
    }
}

#[test]
fn two_names_for_one_server_are_one_place() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    let port = world.proxy.as_ref().unwrap().port;
    let settings = [
        ("type", "webdav".into()),
        ("url", format!("http://127.0.0.1:{port}/backup")),
        ("vendor", "other".into()),
    ];
    world.rclone_configuration.add("again", &settings);
    world.write("file", "1");
    world.configuration.jobs.push(Job::new("second", &world.source(), "again:photos/x"));
    world.write_configuration();
    world.program.run(&["config", "validate"]).expect(2).says("must not contain each other");
    world.program.run(&["--json", "backup"]).expect(2).says("must not contain each other");
    assert!(files_below(&world.root().join("remote")).is_empty(), "something was sent");
}

/// What a backup would stop at, its plan stops at.
#[test]
fn a_plan_says_what_keeps_a_backup_from_working() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        world.write("file", "1");
        world.rclone_configuration.add("bucket", &[("type", "s3".into()), ("provider", "Other".into())]);
        for (remote, says) in [("nope:x", "nope"), (":nope:x/y", "nope"), ("bucket:whole", "companion")] {
            world.configuration.jobs = vec![Job::new(JOB, &world.source(), remote)];
            world.write_configuration();
            for command in [&["config", "validate"][..], &["--json", "plan"], &["--json", "backup"]] {
                world.program.run(command).expect(2).says(says);
            }
        }
    }
}
