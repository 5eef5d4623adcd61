//! What goes wrong beside the files: in which words, and with which exit code, people hear of it.

use crate::backup_endings::back_up_without_waits;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::Plan;
use crate::support::world::World;
use std::fs;
use std::time::{Duration, Instant};

/// It helps against nothing else.
const ADVICE: &str = "give a `companion` on the same storage";
/// In the place of an rclone: takes each list and does nothing.
const MUTE: &str = "case \"$*\" in *files-from*) cat >/dev/null; exit 0;; esac";

#[test]
fn another_companion_is_advised_only_where_the_move_failed() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(3, 3).plant(&world.source());
    let proxy = world.proxy.as_ref().unwrap();
    for (method, status, code) in [("PUT", 403, 12), ("PUT", 413, 5), ("PUT", 500, 5), ("MOVE", 403, 2)] {
        proxy.fail(move |seen| (seen.method == method).then_some(Fault::Status(status)));
        let finished = world.backup(&[]).expect(code);
        assert_eq!(finished.stdout.contains(ADVICE), method == "MOVE", "{method} {status}: {finished}");
    }
}

#[test]
fn a_program_that_does_nothing_is_told_by_its_name() {
    for rclone in Rclone::BOTH {
        let mut world = World::served(Protocol::Webdav, rclone);
        for name in ["changed", "stays"] {
            world.write(name, "the first version");
        }
        world.before_rclone(MUTE);
        let first =
            world.backup(&[]).expect(1).says("rclone-of-this-test").says("does not do what rclone does");
        assert!(!first.stdout.contains(ADVICE), "{first}");
        world.watch_rclone();
        world.backup(&[]).expect(0);

        world.write("new", "new");
        world.before_rclone(MUTE);
        world.backup(&[]).expect(1).says("rclone-of-this-test").says("nor statistics");
        world.write("changed", "the second version, longer");
        fs::remove_file(world.source().join("new")).unwrap();
        world.backup(&[]).expect(1).says("rclone-of-this-test").says("nor statistics");
        world.watch_rclone();
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.trashed("changed"), ["the first version"]);
    }
}

/// A proxy before the remote with a limit, as nginx has one, in a row of more than twenty.
#[test]
fn files_too_large_for_the_remote_are_named_and_the_others_are_sent() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    for name in ["changed", "deleted", "stays"] {
        world.write(name, "the first version");
    }
    world.backup(&[]).expect(0);
    for number in 0..24 {
        world.write(&format!("large/{number}"), "too large");
    }
    world.write("changed", "the second version, longer");
    fs::remove_file(world.source().join("deleted")).unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| (seen.method == "PUT" && seen.path.contains("/large/")).then_some(Fault::Status(413)));
    let finished = world.backup(&[]).expect(3).says("takes no file of this size (9 B)");
    assert_eq!(finished.number("files_unprotected"), 24, "{finished}");
    assert_eq!((world.trashed("changed").len(), world.trashed("deleted").len()), (1, 1), "{finished}");
    proxy.heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn an_encrypted_configuration_without_its_password_is_a_matter_of_configuration() {
    for rclone in Rclone::BOTH {
        let world = World::served(Protocol::Webdav, rclone);
        world.write("file", "x");
        let locked =
            format!("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\n{}\n", "A".repeat(100));
        fs::write(&world.rclone_configuration.path, locked).unwrap();
        world.backup(&[]).expect(2).says("RCLONE_CONFIG_PASS").says("--password-command");
        world.program.run(&["doctor"]).says("RCLONE_CONFIG_PASS");
    }
}

#[test]
fn a_restore_with_an_encrypted_configuration_and_no_password_says_so_once() {
    for rclone in Rclone::BOTH {
        let world = World::served(Protocol::Webdav, rclone);
        for name in ["one", "two", "three"] {
            world.write(name, name);
        }
        world.backup(&[]).expect(0);
        let locked =
            format!("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\n{}\n", "A".repeat(100));
        fs::write(&world.rclone_configuration.path, locked).unwrap();
        let there = world.root().join("restored");
        let told = world.program.run(&["restore", "--to", there.to_str().unwrap()]).expect(2);
        let told = told.says("RCLONE_CONFIG_PASS").to_string();
        assert_eq!(told.matches("configuration is encrypted").count(), 1, "{told}");
    }
}

#[test]
fn of_garbage_in_the_place_of_a_version_the_beginning_is_told() {
    let mut world = World::local(Rclone::Current);
    world.write("file", "x");
    world.before_rclone("head -c 5000 /dev/zero | tr '\\000' x; echo; echo second line; exit 0");
    let finished = world.backup(&[]).expect(1).says("did not answer like rclone");
    assert!(!finished.stdout.contains("second line"), "{finished}");
    assert!(!finished.stdout.contains(&"x".repeat(100)), "{finished}");
}

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

#[test]
fn a_credential_in_the_place_of_a_mirror_is_shown_by_no_command() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    world.write("file", "x");
    let told = |arguments: &[&str]| {
        let told = world.program.run(arguments).to_string();
        assert!(!told.contains("s3cret"), "{arguments:?}: {told}");
        told
    };
    let written = |remote: &str| {
        let text = world.configuration.text().replace("\"remote:backup/", &format!("\"{remote}:backup/"));
        fs::write(world.root().join("config.toml"), text).unwrap();
    };
    written("remote,bearer_token=s3cret");
    world.write("../remote/backup/photos/foreign", "in the way");
    assert!(told(&["-vvv", "backup"]).contains("bearer_token=***"));
    assert!(told(&["backup", "--accept", "nonempty-remote"]).contains("exit code 0"));
    for json in [&[][..], &["--json"]] {
        assert!(told(&[json, &["doctor"]].concat()).contains("bearer_token=***:backup/photos answers"));
    }
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|_| Some(Fault::Status(401)));
    told(&["doctor"]);
    proxy.fail(|_| None);
    written("remote,bearer_token=s3cret2");
    for command in [&["plan"][..], &["status"], &["config", "show"], &["verify", "--source"]] {
        told(command);
    }
    fs::write(
        world.root().join("config.toml"),
        world.configuration.text().replace("remote:", ":local,token=s3cret:"),
    )
    .unwrap();
    assert!(told(&["config", "validate"]).contains("token=***"));
}
