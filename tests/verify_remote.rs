//! Comparing the mirror with the index: by one listing, or by content.

use crate::support::program::Finished;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, edit, files_below, let_times_settle, odd_names, path, rot_into};
use crate::support::world::{JOB, World};
use std::fs;

fn verify(world: &World, arguments: &[&str]) -> Finished {
    let fixed = ["--json", "verify", JOB, "--remote"];
    let all: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
    world.program.run(&all)
}

fn backed_up(protocol: Option<Protocol>, rclone: Rclone) -> World {
    let world = protocol.map_or_else(|| World::local(rclone), |protocol| World::served(protocol, rclone));
    Plan::odd(60, 4).plant(&world.source());
    if rclone == Rclone::Oldest {
        let beyond = |name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            name.contains('\u{201b}') || name == "\u{ff0e}"
        };
        for name in odd_names().iter().filter(|name| beyond(name)) {
            fs::remove_file(world.source().join("odd files").join(path(name))).unwrap();
            fs::remove_dir_all(world.source().join("odd folders").join(path(name))).unwrap();
        }
    }
    world.backup(&[]).expect(0);
    world
}

fn assert_all_is_well(protocol: Option<Protocol>, rclone: Rclone) {
    let world = backed_up(protocol, rclone);
    let files = files_below(&world.source()).len() as u64;
    let state = world.index_bytes();
    for arguments in [&[][..], &["--download"]] {
        let told = verify(&world, arguments).expect(0);
        assert_eq!(told.number("files_verified"), files, "{told}");
        assert_eq!(told.number("files_unverifiable"), 0, "{told}");
    }
    // What happened in the source since is no damage.
    edit(&world.source(), 6, 7);
    assert_eq!(verify(&world, &[]).expect(0).number("files_verified"), files);
    assert_eq!(world.index_bytes(), state);
}

#[test]
fn a_mirror_in_a_folder_is_as_the_index_says_with_either_rclone() {
    for rclone in Rclone::BOTH {
        assert_all_is_well(None, rclone);
    }
}

#[test]
fn a_mirror_behind_webdav_is_as_the_index_says_with_either_rclone() {
    for rclone in Rclone::BOTH {
        assert_all_is_well(Some(Protocol::Webdav), rclone);
    }
}

#[test]
fn a_mirror_behind_sftp_is_as_the_index_says() {
    assert_all_is_well(Some(Protocol::Sftp), Rclone::Current);
}

#[test]
fn missing_short_and_surplus_files_are_named_by_a_listing() {
    let world = backed_up(None, Rclone::Current);
    let mirror = world.mirror();
    fs::remove_file(mirror.join("odd kinds/first name")).unwrap();
    fs::write(mirror.join("odd kinds/second name"), "short").unwrap();
    fs::write(mirror.join("nobody's"), "whose?").unwrap();
    let told = verify(&world, &[]).expect(15).says("missing on the remote").says("unknown to the index");
    let counts = ["files_missing", "files_damaged", "files_surplus"].map(|key| told.number(key));
    assert_eq!(counts, [1, 1, 1], "{told}");
    verify(&world, &["odd files"]).expect(0);
    // A part of the files is compared; what is surplus is seen all the same.
    verify(&world, &["--subset", "1/1000"]).says("nobody's");
}

#[test]
fn what_is_surplus_is_named_and_no_damage() {
    let world = World::local(Rclone::Current);
    world.write("a", "a");
    world.backup(&[]).expect(0);
    for (name, words) in
        [("zz", "1 file on the remote that nobody knows of: zz"), ("zzz", "2 files on the remote")]
    {
        fs::write(world.mirror().join(name), "whose?").unwrap();
        for arguments in [&[][..], &["--download"], &["--repair"]] {
            let told = verify(&world, arguments).expect(0);
            let message = told.summary()["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with(&format!("nothing wrong was found; {words}")), "{message}");
            assert_eq!(told.number("files_surplus") as usize, named(&told).len(), "{told}");
        }
    }
    assert_eq!(fs::read(world.mirror().join("zz")).unwrap(), b"whose?");
    world.backup(&[]).expect(0);
    // Beside damage it is named, and not counted as such.
    fs::remove_file(world.mirror().join("a")).unwrap();
    let told = verify(&world, &[]).expect(15).says("damage was found: 1 file missing on the remote");
    assert_eq!(told.number("files_surplus"), 2, "{told}");
}

fn named(told: &Finished) -> Vec<String> {
    let summary = told.summary();
    let findings = summary["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_share_that_breaks_off_goes_on_before_what_is_missing() {
    let mut world = World::local(Rclone::Current);
    for number in 0..12 {
        world.write(&format!("{number}"), "a version");
    }
    world.backup(&[]).expect(0);
    for lost in ["5", "7"] {
        fs::remove_file(world.mirror().join(lost)).unwrap();
    }
    world.before_rclone(
        "case \"$*\" in *lsjson*--files-from-raw*) echo '{\"level\":\"error\",\"msg\":\"503 Service Unavailable\"}' >&2; \
         exit 1;; esac",
    );
    verify(&world, &["--download", "--subset", "99%"]).expect(5);
    world.stop_watching_rclone();
    let told = verify(&world, &["--download", "--subset", "99%"]).expect(15);
    assert_eq!(named(&told), ["5", "7"], "{told}");
}

/// Twelve files on the mirror, of which it lost one and spoiled two.
fn with_three_wrong(rclone: Rclone) -> World {
    let world = World::local(rclone);
    for number in 0..12 {
        world.write(&format!("{number}"), "a version");
    }
    world.backup(&[]).expect(0);
    fs::remove_file(world.mirror().join("3")).unwrap();
    for spoiled in ["5", "7"] {
        fs::write(world.mirror().join(spoiled), "b version").unwrap();
    }
    world
}

#[test]
fn what_was_found_before_an_interruption_is_named_and_stays_known() {
    for rclone in Rclone::BOTH {
        let mut world = with_three_wrong(rclone);
        world.before_rclone("case \"$*\" in *checksum*) kill -INT $PPID; sleep 0.3;; esac");
        let told = verify(&world, &["--download", "--subset", "1/1"]).expect(130);
        let mut found = named(&told);
        found.sort();
        assert_eq!(found, ["3", "5", "7"], "{told}");
        assert_eq!(told.number("files_verified"), 9, "{told}");
        world.stop_watching_rclone();
        assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 3);
        // What was not seen to its end comes first.
        let told = verify(&world, &["--download", "--subset", "1/1"]).expect(15);
        assert_eq!(told.number("files_verified"), 9, "{told}");
        verify(&world, &["--download", "--repair"]).expect(0);
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
    }
}

#[test]
fn what_a_listing_lacked_is_known_after_an_interruption_and_what_it_showed_after_any_end() {
    const LOOK: &str = "case \"$*\" in *lsjson*--files-from-raw*)";
    let mut world = with_three_wrong(Rclone::Current);
    fs::write(world.mirror().join("5"), "short").unwrap();
    world.before_rclone(&format!(
        "{LOOK} echo '{{\"level\":\"error\",\"msg\":\"503 Service Unavailable\"}}' >&2; exit 1;; esac"
    ));
    // One look proves no absence.
    assert_eq!(named(&verify(&world, &[]).expect(5)), ["5"]);
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 1);
    world.before_rclone(&format!("{LOOK} kill -INT $PPID; sleep 0.3; exit 1;; esac"));
    let told = verify(&world, &[]).expect(130);
    assert_eq!(named(&told), ["5", "3"], "{told}");
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 2);
}

#[test]
fn shares_of_a_folder_cover_it() {
    let world = World::local(Rclone::Current);
    Plan::plain(100, 4).plant(&world.source().join("apart"));
    for number in 0..40 {
        world.write(&format!("folder/{number}"), "a version");
    }
    world.backup(&[]).expect(0);
    fs::remove_dir_all(world.mirror().join("folder")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        seen.extend(named(&verify(&world, &["--subset", "1/10", "folder"]).expect(15)));
    }
    assert_eq!(seen.len(), 40, "{seen:?}");
}

#[test]
fn a_flipped_byte_on_the_remote_is_found_by_its_content() {
    for (protocol, rclone) in [
        (None, Rclone::Current),
        (Some(Protocol::Webdav), Rclone::Current),
        (Some(Protocol::Webdav), Rclone::Oldest),
    ] {
        let world = backed_up(protocol, rclone);
        let file = world.mirror().join("odd kinds/first name");
        let mut bytes = fs::read(&file).unwrap();
        bytes[0] ^= 1;
        fs::write(&file, bytes).unwrap();
        verify(&world, &[]).expect(0);
        let told = verify(&world, &["--download"]).expect(15).says("first name");
        assert_eq!(told.number("files_damaged"), 1, "{told}");
    }
}

/// The server remembers the hash of what it took, and rclone compares with it what it fetches. Which files it
/// fetches itself, and which it only hashes, depends on their names and on the version.
#[test]
fn a_flipped_byte_is_damage_also_where_the_remote_has_a_hash_of_its_own() {
    let world = backed_up(Some(Protocol::Sftp), Rclone::Current);
    fs::write(world.source().join("\u{240a}"), "a symbol").unwrap();
    world.backup(&[]).expect(0);
    for name in ["odd kinds/first name", "\u{240a}"] {
        let file = world.mirror().join(name);
        let mut bytes = fs::read(&file).unwrap();
        bytes[0] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let told = verify(&world, &["--download"]).expect(15).says("first name");
    assert_eq!((told.number("files_damaged"), told.number("files_failed")), (2, 0), "{told}");
    let told = verify(&world, &["--download", "--repair"]).expect(0);
    assert_eq!(told.number("files_repaired"), 2, "{told}");
    world.assert_mirror_equals_source();
}

#[test]
fn how_far_a_large_file_is_that_rclone_reads_is_told_before_its_end() {
    let mut world = World::local(Rclone::Current);
    fs::write(world.source().join("large"), vec![0; 4_000_000]).unwrap();
    world.backup(&[]).expect(0);
    world.configuration.rclone_flags.push("--bwlimit=500k".into());
    world.write_configuration();
    let told = verify(&world, &["--download"]).expect(0);
    let statuses = told.messages("status");
    let done: Vec<u64> = statuses.iter().map(|status| status["bytes_done"].as_u64().unwrap()).collect();
    let partly = done.iter().filter(|&&bytes| (1..4_000_000).contains(&bytes)).count();
    assert!(partly >= 2 && done.is_sorted(), "{done:?}");
    assert!(statuses.iter().any(|status| status["seconds_remaining"].as_u64().is_some()), "{statuses:?}");
}

#[test]
fn large_files_are_read_through_without_room_on_the_disk() {
    for rclone in Rclone::BOTH {
        let world = World::local(rclone);
        let file = world.source().join("large\nfile");
        fs::File::create(&file).unwrap().set_len(65 << 20).unwrap();
        fs::write(world.source().join("small"), "small").unwrap();
        world.backup(&[]).expect(0);
        assert_eq!(verify(&world, &["--download"]).expect(0).number("files_verified"), 2);
        use std::os::unix::fs::FileExt;
        let mirror = fs::File::options().write(true).open(world.mirror().join("large\nfile")).unwrap();
        mirror.write_all_at(b"x", 40 << 20).unwrap();
        verify(&world, &["--download"]).expect(15).says("large");
    }
}

#[test]
fn a_listing_that_looks_empty_concludes_nothing() {
    let world = backed_up(None, Rclone::Current);
    fs::rename(world.mirror(), world.root().join("elsewhere")).unwrap();
    fs::create_dir(world.mirror()).unwrap();
    let told = verify(&world, &[]).expect(5).says("no answer to rely on");
    assert_eq!(told.number("files_missing"), 0, "{told}");
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error_and_no_loss() {
    let world = backed_up(Some(Protocol::Webdav), Rclone::Current);
    world.proxy.as_ref().unwrap().fail(|seen| {
        (seen.method == "PROPFIND" && seen.path.contains("odd%20files")).then_some(Fault::Status(500))
    });
    let told = verify(&world, &[]).expect(5);
    assert_eq!(told.number("files_missing"), 0, "{told}");
}

#[test]
fn what_is_kept_and_what_was_uploaded_as_a_link_is_known() {
    let mut world = World::local(Rclone::Current);
    world.set("on_delete", "\"keep\"");
    world.set("links", "\"upload\"");
    Plan::odd(30, 6).plant(&world.source());
    world.backup(&[]).expect(0);
    fs::remove_file(world.source().join("odd kinds/link")).unwrap();
    fs::remove_file(world.source().join("odd kinds/first name")).unwrap();
    world.backup(&[]).expect(0);
    verify(&world, &[]).expect(0);
    fs::remove_file(world.mirror().join("odd kinds/dangling link.rclonelink")).unwrap();
    verify(&world, &[]).expect(15).says("dangling link");
}

#[test]
fn what_the_mirror_lost_or_spoiled_is_sent_again_from_the_source() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let world = backed_up(protocol, Rclone::Current);
        let good = fs::read(world.source().join("odd kinds/first name")).unwrap();
        let spoiled: Vec<u8> = good.iter().map(|byte| byte ^ 1).collect();
        fs::write(world.mirror().join("odd kinds/first name"), &spoiled).unwrap();
        let mut wrong = 1;
        if protocol.is_none() {
            // A server that keeps what it has seen would go on showing it.
            fs::remove_file(world.mirror().join("odd kinds/second name")).unwrap();
            fs::write(world.mirror().join("odd kinds/.gitignore"), "longer than it was").unwrap();
            wrong = 3;
        }
        let told = verify(&world, &["--download", "--repair"]).expect(0).says("repaired");
        assert_eq!(told.messages("summary").last().unwrap()["files_repaired"], wrong, "{told}");
        world.assert_mirror_equals_source();
        // What lay there in the wrong is in the trash, and nothing is left to do.
        assert!(world.all_trash().iter().any(|(_, bytes)| *bytes == spoiled));
        verify(&world, &["--download"]).expect(0);
        let calls = world.rclone_calls().len();
        world.backup(&[]).expect(0);
        assert_eq!(world.rclone_calls().len(), calls);
    }
}

#[test]
fn an_older_state_takes_a_repaired_file_from_the_mirror_and_not_the_damaged_one_from_the_trash() {
    let world = World::local(Rclone::Current);
    for name in ["picture", "other"] {
        fs::write(world.source().join(name), name).unwrap();
    }
    world.backup(&[]).expect(0);
    fs::write(world.source().join("other"), "changed").unwrap();
    world.backup(&[]).expect(0);
    fs::write(world.mirror().join("picture"), "pictuRe").unwrap();
    verify(&world, &["--download", "--repair"]).expect(0).says("repaired");
    let to = world.root().join("restored");
    world.program.run(&["restore", "--at", "1", "--to", to.to_str().unwrap()]).expect(0);
    assert_eq!(fs::read(to.join("picture")).unwrap(), b"picture");
    assert_eq!(fs::read(to.join("other")).unwrap(), b"other");
}

#[test]
fn a_rotten_file_does_not_stand_in_for_what_the_mirror_lost() {
    let world = World::local(Rclone::Current);
    let rotten = world.source().join("rotten");
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    let write_as_of_yesterday = |content: &str| {
        fs::write(&rotten, content).unwrap();
        let times = fs::FileTimes::new().set_modified(yesterday);
        fs::File::options().append(true).open(&rotten).unwrap().set_times(times).unwrap();
        let_times_settle();
    };
    write_as_of_yesterday("a picture");
    for name in ["lost", "one", "two"] {
        fs::write(world.source().join(name), name).unwrap();
    }
    world.backup(&[]).expect(0);
    write_as_of_yesterday("a_picture");
    fs::remove_file(world.mirror().join("rotten")).unwrap();
    fs::remove_file(world.mirror().join("lost")).unwrap();
    world.program.run(&["verify", JOB, "--source"]).expect(15);
    let told = verify(&world, &["--repair"]).expect(15).says("does not have this version any more");
    assert_eq!(told.messages("summary").last().unwrap()["files_repaired"], 1, "{told}");
    assert!(!world.mirror().join("rotten").exists() && world.mirror().join("lost").exists());
}

#[test]
fn a_link_that_the_mirror_lost_is_named_until_it_is_sent_again() {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    let (link, lost) = (world.source().join("link"), world.mirror().join("link.rclonelink"));
    world.write("file", "content");
    std::os::unix::fs::symlink("file", &link).unwrap();
    world.backup(&[]).expect(0);
    fs::remove_file(&lost).unwrap();
    verify(&world, &[]).expect(15).says("link");
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 1);

    let told = verify(&world, &["--repair"]).expect(0);
    assert_eq!(told.messages("summary").last().unwrap()["files_repaired"], 1, "{told}");
    assert_eq!(fs::read(&lost).unwrap(), b"file");
    world.backup(&[]).expect(0);
    verify(&world, &[]).expect(0);

    // One that leads elsewhere by now is another version.
    fs::remove_file(&lost).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    verify(&world, &["--repair"]).expect(15).says("does not have this version any more");
    assert!(!lost.exists());
}

/// Four files on a mirror, of which one has another content of the same size.
fn with_another_content(name: &str) -> World {
    let world = World::local(Rclone::Current);
    for file in ["1", "2", "3", "4"] {
        world.write(file, file);
    }
    world.backup(&[]).expect(0);
    fs::write(world.mirror().join(name), "x").unwrap();
    world
}

#[test]
fn the_advice_for_another_content_names_the_command_that_sees_it() {
    let world = with_another_content("2");
    verify(&world, &["--download"]).expect(15);
    world.backup(&[]).expect(3).says("--remote --download --repair");
    world.program.run(&["status"]).expect(3).says("--remote --download --repair");
    verify(&world, &["--repair"]).expect(0);
    world.backup(&[]).expect(3);
    verify(&world, &["--download", "--repair", "2"]).expect(0);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_newer_version_that_the_run_of_a_repair_sent_is_no_longer_wrong_and_one_that_it_held_back_is() {
    let world = with_another_content("2");
    fs::write(world.source().join("2"), "edited since").unwrap();
    fs::remove_file(world.mirror().join("3")).unwrap();
    let told =
        verify(&world, &["--download", "--repair"]).expect(15).says("does not have this version any more");
    assert_eq!(told.messages("summary").last().unwrap()["files_repaired"], 1, "{told}");
    world.assert_mirror_equals_source();
    world.program.run(&["status"]).expect(0);
    world.backup(&[]).expect(0);

    // Rotten here: no run sends it, also not beside one that was edited and one that is repaired.
    let_times_settle();
    world.write("4", "of some length");
    let_times_settle();
    world.backup(&[]).expect(0);
    rot_into(&world.source().join("4"), "of bent length");
    verify_source(&world).expect(15);
    fs::write(world.source().join("2"), "edited again").unwrap();
    for (name, content) in [("1", "x"), ("2", "something else"), ("4", "of lost length")] {
        fs::write(world.mirror().join(name), content).unwrap();
    }
    verify(&world, &["--download", "--repair"]).expect(15);
    let told = world.backup(&[]).expect(3).says("something else in its place");
    assert_eq!(told.number("files_unprotected"), 1, "{told}");
    assert_eq!(fs::read(world.mirror().join("2")).unwrap(), b"edited again");
}

fn verify_source(world: &World) -> Finished {
    world.program.run(&["--json", "verify", JOB, "--source"])
}

#[test]
fn what_was_put_right_by_hand_is_forgotten_by_the_verification_that_sees_it() {
    let world = with_another_content("3");
    fs::remove_file(world.mirror().join("1")).unwrap();
    verify(&world, &["--download"]).expect(15);
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 2);
    for name in ["1", "3"] {
        fs::copy(world.source().join(name), world.mirror().join(name)).unwrap();
    }
    verify(&world, &["3"]).expect(0);
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 2, "no listing sees that");
    verify(&world, &["--download", "3"]).expect(0);
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 1);
    verify(&world, &["2"]).expect(0);
    world.backup(&[]).expect(3);
    verify(&world, &["1"]).expect(0);
    world.backup(&[]).expect(0);
}

/// A listing shows each byte that is no text as the same sign.
#[test]
fn names_that_a_listing_shows_alike_are_told_apart_by_what_was_sent() {
    let world = World::local(Rclone::Current);
    let contents: [(&[u8], &str); 4] =
        [(b"a\xff", "one"), (b"a\xc3", "two two"), (b"a\xfe", "six"), (b"b", "b")];
    for (name, content) in contents {
        fs::write(world.source().join(path(name)), content).unwrap();
    }
    let_times_settle();
    world.backup(&[]).expect(0);
    for how in [&["verify", "--remote"][..], &["verify", "--remote", "--download"]] {
        world.program.run(how).expect(0);
    }
    world.backup(&[]).expect(0);
    // Another length: the listing tells that something is amiss, and not with which of them.
    for damaged in [b"a\xfe", b"a\xc3", b"a\xff"] {
        fs::write(world.mirror().join(path(damaged)), "longer than before").unwrap();
        let told = world.program.run(&["--json", "verify", "--remote"]).expect(15);
        assert_eq!((told.number("files_damaged"), told.number("files_missing")), (1, 0), "{told}");
        world.program.run(&["verify", "--remote", "--repair"]).expect(0);
        world.assert_mirror_equals_source();
        fs::remove_file(world.mirror().join(path(damaged))).unwrap();
        let told = world.program.run(&["--json", "verify", "--remote"]).expect(15);
        assert_eq!((told.number("files_damaged"), told.number("files_missing")), (0, 1), "{told}");
        world.program.run(&["verify", "--remote", "--repair"]).expect(0);
        world.assert_mirror_equals_source();
    }
    // As long as before: only the content tells.
    fs::write(world.mirror().join(path(b"a\xfe")), "sex").unwrap();
    let told = world.program.run(&["--json", "verify", "--remote", "--download"]).expect(15);
    assert_eq!(told.number("files_damaged"), 1, "{told}");
    world.program.run(&["verify", "--remote", "--download", "--repair"]).expect(0);
    world.assert_mirror_equals_source();
    world.program.run(&["verify", "--remote", "--download"]).expect(0);
}

/// A file that is sent to where a folder lies takes the place of all that is in it.
#[test]
fn a_folder_in_the_place_of_a_file_is_named_and_left_and_the_rest_is_repaired() {
    for rclone in [Rclone::Current, Rclone::Oldest] {
        let world = World::local(rclone);
        for name in ["a", "b", "c", "d", "e", "f"] {
            fs::write(world.source().join(name), name).unwrap();
        }
        let_times_settle();
        world.backup(&[]).expect(0);
        for name in ["b", "e"] {
            fs::remove_file(world.mirror().join(name)).unwrap();
            fs::create_dir(world.mirror().join(name)).unwrap();
        }
        fs::write(world.mirror().join("b/theirs"), "theirs").unwrap();
        fs::remove_file(world.mirror().join("c")).unwrap();
        fs::write(world.mirror().join("d"), "longer").unwrap();
        let told = world.program.run(&["--json", "verify", "--remote"]).expect(15);
        assert_eq!(told.number("files_missing"), 3, "{told}");
        assert!(told.to_string().contains("a folder lies in its place"), "{told}");
        world.program.run(&["verify", "--remote", "--repair"]).expect(15);
        assert_eq!(fs::read(world.mirror().join("b/theirs")).unwrap(), b"theirs");
        assert_eq!(fs::read(world.mirror().join("c")).unwrap(), b"c");
        assert_eq!(fs::read(world.mirror().join("d")).unwrap(), b"d");
        for name in ["b", "e"] {
            fs::remove_dir_all(world.mirror().join(name)).unwrap();
        }
        world.program.run(&["verify", "--remote", "--repair"]).expect(0);
        world.assert_mirror_equals_source();
    }
}
