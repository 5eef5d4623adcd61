//! `verify --remote --download` where the remote lists files and does not give out their content.

use crate::support::program::Finished;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::world::{JOB, World};
use std::fs;

fn verify(world: &World, more: &[&str]) -> Finished {
    let fixed = ["--json", "verify", JOB, "--remote", "--download"];
    world.program.run(&fixed.iter().chain(more).copied().collect::<Vec<_>>())
}

/// Twelve files, in folders of four.
fn plant(world: &World) {
    for number in 0..12 {
        world.write(&format!("{}/f{number:02}", number % 3), &format!("content {number:02}"));
    }
    world.backup(&[]).expect(0);
}

fn reason_of(told: &Finished, path: &str) -> String {
    let summary = told.messages("summary").into_iter().next_back().unwrap();
    let findings = summary["findings"].as_array().unwrap().clone();
    let found = findings.into_iter().find(|finding| finding["path"] == path);
    found.unwrap_or_else(|| panic!("{path} is not named: {told}"))["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_is_forbidden_is_named_and_the_others_are_judged_and_repaired() {
    for rclone in Rclone::BOTH {
        let world = World::served(Protocol::Webdav, rclone);
        plant(&world);
        fs::write(world.mirror().join("2/f11"), "consent 11").unwrap();
        // The first in order, so that nothing has been read before it.
        world.proxy.as_ref().unwrap().fail(|seen| {
            (seen.method == "GET" && seen.path.ends_with("0/f00")).then_some(Fault::Status(403))
        });
        let told = verify(&world, &[]).expect(15);
        assert!(reason_of(&told, "0/f00").contains("403"), "{told}");
        let counts = ["files_verified", "files_failed", "files_damaged"].map(|key| told.number(key));
        assert_eq!(counts, [10, 1, 1], "{told}");
        let told = verify(&world, &["--repair"]).expect(3);
        assert_eq!(told.messages("summary").last().unwrap()["files_repaired"], 1, "{told}");
        assert_eq!(fs::read(world.mirror().join("2/f11")).unwrap(), b"content 11");
    }
}

#[test]
fn where_every_read_is_forbidden_the_remote_does_not_let_us_in() {
    for rclone in Rclone::BOTH {
        let world = World::served(Protocol::Webdav, rclone);
        plant(&world);
        let proxy = world.proxy.as_ref().unwrap();
        proxy.fail(|seen| (seen.method == "GET").then_some(Fault::Status(403)));
        for share in [&[][..], &["--subset", "1/1"]] {
            let told = verify(&world, share).expect(12).says("403");
            assert_eq!((told.number("files_verified"), told.number("files_failed")), (0, 0), "{told}");
        }
        // The share is still to be verified.
        proxy.heal();
        assert_eq!(verify(&world, &["--subset", "1/1"]).expect(0).number("files_verified"), 12);
    }
}

#[test]
fn one_login_that_is_refused_among_files_that_are_read_ends_it_at_once() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    plant(&world);
    world
        .proxy
        .as_ref()
        .unwrap()
        .fail(|seen| (seen.method == "GET" && seen.path.ends_with("0/f00")).then_some(Fault::Status(401)));
    verify(&world, &[]).expect(12).says("401");
}

/// What rclone says to a login that may not read a file, as SFTP does: tests run as root, who may.
const DENIED: &str = r#"case "$*" in
*checksum*) for n in 00 03 06 09; do echo "= 0/f$n"; done; echo '! 1/f01'; echo '* 2/f11'; echo '! 1/f10'
  echo '{"level":"error","msg":"Failed to calculate hash: permission denied","object":"1/f10"}' >&2; exit 1;;
"cat "*f01*) echo '{"level":"error","msg":"Failed to send to output: permission denied","object":"f01"}' >&2
  echo '{"level":"notice","msg":"Failed to cat: permission denied"}' >&2; exit 1;;
"cat "*f10*) exit 9;;
esac"#;

#[test]
fn files_that_a_login_may_not_read_are_named_and_one_that_is_gone_is_missing() {
    let mut world = World::local(Rclone::Current);
    plant(&world);
    fs::write(world.mirror().join("2/f11"), "consent 11").unwrap();
    world.before_rclone(DENIED);
    let told = verify(&world, &[]).expect(15);
    let counts = ["files_verified", "files_failed", "files_damaged"].map(|key| told.number(key));
    assert_eq!(counts, [9, 2, 1], "{told}");
    for unread in ["1/f01", "1/f10"] {
        assert!(reason_of(&told, unread).contains("permission denied"), "{told}");
    }
    // It goes away behind the listing: reading it tells.
    let lost = world.mirror().join("1/f04");
    world.before_rclone(&format!("case \"$*\" in *checksum*) rm {};; esac\n{DENIED}", lost.display()));
    let told = verify(&world, &["--repair"]).expect(3);
    let summary = told.messages("summary").into_iter().next_back().unwrap();
    assert_eq!((&summary["files_missing"], &summary["files_damaged"]), (&1.into(), &1.into()), "{told}");
}
