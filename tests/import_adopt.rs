//! `adopt`: a mirror that exists already is taken over, and nothing that is there
//! is uploaded.

use crate::support::program::Finished;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, files_below};
use crate::support::world::{JOB, World};
use std::fs;
use std::path::PathBuf;

fn adopt(world: &World, more: &[&str]) -> Finished {
    let mut arguments = vec!["--json", "adopt", JOB];
    arguments.extend(more);
    world.program.run(&arguments)
}

#[test]
fn a_mirror_that_rclone_filled_is_taken_over_and_nothing_is_uploaded() {
    for world in [
        World::local(Rclone::Oldest),
        World::served(Protocol::Webdav, Rclone::Current),
        World::served(Protocol::Wsgidav, Rclone::Oldest),
        World::served(Protocol::S3, Rclone::Current),
    ] {
        Plan::plain(150, 11).plant(&world.source());
        fs::create_dir_all(world.source().join("照片/空 格")).unwrap();
        fs::write(world.source().join("照片/空 格/a|b %41.jpg"), "图").unwrap();
        world.copy_with_plain_rclone();
        let files = files_below(&world.source()).len() as u64;
        let adopted = adopt(&world, &[]).expect(0);
        assert_eq!(adopted.number("files_held"), files);
        assert_eq!(adopted.number("files_new") + adopted.number("files_changed"), 0);
        let (calls, requests) = (world.rclone_calls().len(), world.requests());
        let finished = world.backup(&[]).expect(0);
        assert_eq!(finished.number("files_unchanged"), files);
        assert_eq!((world.rclone_calls().len(), world.requests()), (calls, requests));
        world.assert_mirror_equals_source();
        fs::write(world.source().join("照片/空 格/a|b %41.jpg"), "another size").unwrap();
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 1);
        world.assert_mirror_equals_source();
    }
}

#[test]
fn what_has_the_right_size_and_another_content_is_found_by_hash_where_there_is_one() {
    for (world, has_hashes) in [
        (World::local(Rclone::Oldest), true),
        (World::served(Protocol::S3, Rclone::Current), true),
        (World::served(Protocol::Webdav, Rclone::Current), false),
    ] {
        Plan::plain(60, 16).plant(&world.source());
        fs::write(world.source().join("图|same.bin"), "one").unwrap();
        world.copy_with_plain_rclone();
        fs::write(world.source().join("图|same.bin"), "two").unwrap();
        let by_size = adopt(&world, &["-n", "--size-only"]);
        assert_eq!((by_size.number("files_changed"), by_size.number("files_compared_by_hash")), (0, 0));
        let adopted = adopt(&world, &[]);
        let compared = adopted.number("files_compared_by_hash");
        if !has_hashes {
            assert_eq!(compared, 0, "{adopted}");
            continue;
        }
        assert_eq!(adopted.summary()["changed"], serde_json::json!([{"path": "图|same.bin"}]), "{adopted}");
        assert_eq!(compared, by_size.number("files_held"), "{adopted}");
        let finished = world.backup(&[]);
        assert_eq!(finished.number("files_uploaded"), 1, "{finished}");
        assert!(world.all_trash().contains(&(PathBuf::from("图|same.bin"), b"one".to_vec())));
    }
}

#[test]
fn a_file_whose_hash_cannot_be_had_ends_nothing_and_is_sent_again() {
    let says = |name: &str, words: &str| {
        format!("echo '{{\"level\":\"error\",\"msg\":\"{words}\",\"object\":\"{name}\"}}' >&2")
    };
    let check = |words: &str| {
        let (denied, gone) = (says("b", words), says("c", "file not in sftp://h/m"));
        format!("case \"$1\" in check) echo '= a'; echo '! b'; echo '+ c'; {denied}; {gone}; exit 1;; esac")
    };
    let mut world = World::local(Rclone::Current);
    ["a", "b", "c"].iter().for_each(|name| world.write(name, name));
    world.copy_with_plain_rclone();
    world.before_rclone(&check("failed to run md5sum /m/b: 503 Service Unavailable"));
    adopt(&world, &[]).expect(5);
    world.before_rclone(&check("failed to run md5sum /m/b: no such file or directory"));
    let adopted = adopt(&world, &[]).expect(0);
    assert_eq!(adopted.summary()["changed"], serde_json::json!([{"path": "b"}, {"path": "c"}]), "{adopted}");
    assert_eq!(adopted.number("files_compared_by_hash"), 1, "{adopted}");
    // What was not believed goes to the trash first.
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 2);
    world.assert_mirror_equals_source();
}

#[test]
fn an_adopt_that_is_interrupted_says_that_it_begins_anew_and_does() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(10, 17).plant(&world.source());
    world.copy_with_plain_rclone();
    world.before_rclone("case \"$1\" in lsjson) kill -TERM $PPID; sleep 2;; esac");
    let stopped = world.program.run(&["adopt", JOB]).expect(143).says("begins anew");
    assert!(!stopped.to_string().contains("state is saved"), "{stopped}");
    world.before_rclone("");
    adopt(&world, &[]).expect(0);
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
}

#[test]
fn one_listing_is_all_that_is_asked_of_the_remote() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(100, 12).plant(&world.source());
    world.copy_with_plain_rclone();
    world.proxy.as_ref().unwrap().forget();
    adopt(&world, &[]).expect(0);
    let seen = world.proxy.as_ref().unwrap().seen();
    let odd: Vec<_> = seen.iter().filter(|seen| seen.method != "PROPFIND").collect();
    assert!(odd.is_empty(), "{odd:?}");
    let folders = walk_folders(&world.source());
    assert!(seen.len() <= folders + 8, "{} requests for {folders} folders", seen.len());
}

fn walk_folders(folder: &std::path::Path) -> usize {
    let below = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    1 + below.map(|path| walk_folders(&path)).sum::<usize>()
}

#[test]
fn what_differs_is_shown_first_and_what_only_the_mirror_has_is_left_alone() {
    let world = World::local(Rclone::Current);
    Plan::plain(100, 13).plant(&world.source());
    fs::write(world.source().join("grown"), "short").unwrap();
    fs::write(world.source().join("surplus"), "only here").unwrap();
    world.copy_with_plain_rclone();
    fs::remove_file(world.source().join("surplus")).unwrap();
    fs::write(world.source().join("grown"), "not so short").unwrap();
    fs::write(world.source().join("new"), "new").unwrap();
    for arguments in [&["-n"][..], &[]] {
        let adopted = adopt(&world, arguments).expect(0);
        assert_eq!(adopted.summary()["changed"], serde_json::json!([{"path": "grown"}]));
        assert_eq!(adopted.summary()["new"], serde_json::json!([{"path": "new"}]));
        assert_eq!(adopted.summary()["surplus"], serde_json::json!([{"path": "surplus"}]));
        assert_eq!(world.configuration.state_dir.join(JOB).exists(), arguments.is_empty());
    }
    let finished = world.backup(&[]).expect(0);
    assert_eq!((finished.number("files_uploaded"), finished.number("files_trashed")), (2, 1));
    assert_eq!(world.all_trash(), [(PathBuf::from("grown"), b"short".to_vec())]);
    assert_eq!(fs::read(world.mirror().join("surplus")).unwrap(), b"only here");
    // Nothing is overwritten in place, not even what nobody knew.
    fs::write(world.source().join("surplus"), "here again").unwrap();
    world.backup(&[]).expect(0);
    assert!(world.all_trash().contains(&(PathBuf::from("surplus"), b"only here".to_vec())));
    world.assert_mirror_equals_source();
}

#[test]
fn a_lost_index_is_made_anew_after_a_person_said_so() {
    for rclone in Rclone::BOTH {
        let world = World::local(rclone);
        Plan::odd(100, 14).plant(&world.source());
        world.backup(&[]);
        fs::write(world.source().join("second run"), "x").unwrap();
        world.backup(&[]);
        let state = world.configuration.state_dir.join(JOB);
        let held = files_below(&world.mirror()).len() as u64;
        fs::rename(&state, world.root().join("lost")).unwrap();
        adopt(&world, &[]).expect(13).says("--accept foreign-writer");
        let adopted = adopt(&world, &["--accept", "foreign-writer"]).expect(0);
        assert_eq!(adopted.number("files_held"), held, "{adopted}");
        assert_eq!(adopted.number("files_surplus"), 0, "{adopted}");
        fs::write(world.source().join("third run"), "x").unwrap();
        let finished = world.backup(&[]);
        assert_eq!(finished.number("files_uploaded"), 1);
        // The machine that was thought to be lost comes back: it must not go on.
        fs::remove_dir_all(&state).unwrap();
        fs::rename(world.root().join("lost"), &state).unwrap();
        fs::write(world.source().join("fourth run"), "x").unwrap();
        world.backup(&[]).expect(13).says("foreign-writer");
    }
}

/// The key of `x␊.txt` as rclone writes it is that of a name with a newline as we do.
#[test]
fn names_that_rclone_wrote_are_read_so_although_the_mirror_has_our_owner_file() {
    for protocol in [Protocol::S3, Protocol::Webdav] {
        let world = World::served(protocol, Rclone::Current);
        Plan::plain(20, 15).plant(&world.source());
        for name in ["x\u{240a}.txt", "tab\u{2409}/z"] {
            world.write(name, name);
        }
        world.copy_with_plain_rclone();
        adopt(&world, &[]).expect(0);
        world.write("later", "x");
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.configuration.state_dir.join(JOB)).unwrap();
        for arguments in [&["--accept", "foreign-writer", "-n"][..], &["--accept", "foreign-writer"]] {
            let adopted = adopt(&world, arguments).expect(0);
            assert_eq!((adopted.number("files_surplus"), adopted.number("files_new")), (0, 0), "{adopted}");
            if protocol == Protocol::S3 {
                assert_eq!(adopted.summary()["names_after_all"], "rclone", "{adopted}");
            }
        }
        world.write("last", "x");
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 1);
        world.program.run(&["verify", JOB, "--remote"]).expect(0);
    }
}

#[test]
fn names_that_we_wrote_are_read_so_although_the_owner_file_is_lost() {
    let mut world = World::served(Protocol::S3, Rclone::Current);
    Plan::plain(20, 15).plant(&world.source());
    world.write("x\n.txt", "x");
    world.backup(&[]).expect(0);
    fs::remove_dir_all(world.companion()).unwrap();
    world.renew_server();
    fs::remove_dir_all(world.configuration.state_dir.join(JOB)).unwrap();
    let told =
        world.program.run(&["adopt", JOB, "-n"]).expect(0).says("as treeferry's, although it left no owner");
    assert!(!told.to_string().contains("odd names"), "{told}");
    let adopted = adopt(&world, &[]).expect(0);
    assert_eq!((adopted.number("files_surplus"), adopted.number("files_new")), (0, 0), "{adopted}");
    world.write("last", "x");
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 1);
}

#[test]
fn an_index_that_exists_an_empty_mirror_and_a_remote_that_fails_are_refused() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 15).plant(&world.source());
    fs::create_dir_all(world.source().join("deep/er")).unwrap();
    fs::write(world.source().join("deep/er/file"), "x").unwrap();
    adopt(&world, &[]).expect(2).says("nothing to adopt");
    world.copy_with_plain_rclone();
    // One folder that cannot be listed: the rest is not all.
    world.proxy.as_ref().unwrap().fail(|seen| {
        (seen.method == "PROPFIND" && seen.path.trim_end_matches('/').matches('/').count() > 2)
            .then_some(Fault::Status(500))
    });
    adopt(&world, &[]).expect(5);
    assert!(
        world.index_bytes().iter().all(|(path, _)| path.to_str() != Some("docket")),
        "half a listing counted"
    );
    world.proxy.as_ref().unwrap().heal();
    adopt(&world, &[]).expect(0);
    adopt(&world, &[]).expect(2).says("has an index already");
}
