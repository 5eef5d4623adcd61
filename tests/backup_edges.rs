//! Corners where the plain recipe would lose something or never end: folders
//! that were emptied, files that were kept and come back, a damaged index, a
//! state that was set back.

use crate::support::program::Job;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, edit, files_below};
use crate::support::world::{JOB, World};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const REMOTES: [Option<Protocol>; 3] = [None, Some(Protocol::Webdav), Some(Protocol::S3)];

fn world(protocol: Option<Protocol>) -> World {
    protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current))
}

#[test]
fn a_file_takes_the_place_of_a_folder_that_was_emptied_before() {
    for protocol in REMOTES {
        let world = world(protocol);
        world.write("a/x", "in a folder");
        world.write("b", "beside it");
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.source().join("a")).unwrap();
        world.backup(&[]).expect(0);
        // The folder stayed on the mirror, empty; the index does not know of it.
        world.write("a", "now a file");
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.trashed("a/x"), ["in a folder"], "{protocol:?}");
    }
}

#[test]
fn a_kept_file_that_comes_back_with_other_content_leaves_its_old_version_in_the_trash() {
    for protocol in REMOTES {
        let mut world = world(protocol);
        world.set("on_delete", "\"keep\"");
        world.write("a", "first");
        world.write("b", "beside it");
        world.backup(&[]).expect(0);
        fs::remove_file(world.source().join("a")).unwrap();
        world.backup(&[]).expect(0);
        assert_eq!(fs::read_to_string(world.mirror().join("a")).unwrap(), "first");
        world.write("a", "second, and longer");
        world.backup(&[]).expect(0);
        assert_eq!(fs::read_to_string(world.mirror().join("a")).unwrap(), "second, and longer");
        assert_eq!(world.trashed("a"), ["first"], "{protocol:?}");
        // And the same content again is nothing to send.
        fs::remove_file(world.source().join("a")).unwrap();
        world.backup(&[]).expect(0);
        world.write("a", "second, and longer");
        let finished = world.backup(&[]).expect(0);
        assert_eq!(finished.number("files_uploaded"), 0, "{protocol:?}");
        let calls = world.rclone_calls().len();
        world.backup(&[]).expect(0);
        assert_eq!(world.rclone_calls().len(), calls, "it is held now, not kept");
    }
}

#[test]
fn a_kept_file_makes_way_for_a_folder() {
    for protocol in REMOTES {
        let mut world = world(protocol);
        world.set("on_delete", "\"keep\"");
        world.write("a", "kept");
        world.write("b", "beside it");
        world.backup(&[]).expect(0);
        fs::remove_file(world.source().join("a")).unwrap();
        world.backup(&[]).expect(0);
        world.write("a/x", "below");
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(world.trashed("a"), ["kept"], "{protocol:?}");
    }
}

/// A remote that moves folders takes what is kept along; S3 does not, and a server that keeps objects in
/// folders could not hold both.
#[test]
fn a_file_in_the_place_of_a_folder_of_which_a_part_is_kept() {
    for protocol in [Some(Protocol::Webdav), Some(Protocol::S3)] {
        let mut world = world(protocol);
        world.set("on_delete", "\"keep\"");
        world.write("folder/a", "one");
        world.write("folder/sub/kept", "two");
        world.write("b", "beside it");
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.source().join("folder/sub")).unwrap();
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.source().join("folder")).unwrap();
        world.write("folder", "a file now");
        if protocol == Some(Protocol::S3) {
            for _ in 0..2 {
                let finished = world.backup(&[]).expect(3);
                assert!(finished.stdout.contains("--accept kept moves it to the trash"), "{finished}");
            }
            world.backup(&["--accept", "kept"]);
        }
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        assert_eq!(
            (world.trashed("folder/a"), world.trashed("folder/sub/kept")),
            (vec!["one".into()], vec!["two".into()])
        );
    }
}

#[test]
fn what_is_kept_goes_to_the_trash_when_that_is_accepted() {
    let mut world = world(None);
    world.set("on_delete", "\"keep\"");
    world.write("deep/a", "kept");
    world.write("b", "beside it");
    world.backup(&[]).expect(0);
    fs::remove_dir_all(world.source().join("deep")).unwrap();
    world.backup(&[]).expect(0);
    world.backup(&["--accept", "kept"]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("deep/a"), ["kept"]);
    let calls = world.rclone_calls().len();
    world.backup(&["--accept", "kept"]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "nothing is kept any more");
}

#[test]
fn a_folder_of_many_files_leaves_as_one_piece_and_each_file_is_found_in_the_trash() {
    let world = world(Some(Protocol::Webdav));
    for number in 0..300 {
        world.write(&format!("many/{}/file {number}", number % 7), &format!("content {number}"));
    }
    for number in 0..900 {
        world.write(&format!("stays/file {number}"), "stays");
    }
    world.backup(&[]).expect(0);
    fs::remove_dir_all(world.source().join("many")).unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.forget();
    let finished = world.backup(&[]).expect(0);
    assert_eq!(proxy.count("MOVE"), 1, "{:#?}", proxy.seen());
    assert!(proxy.total() <= 20, "{} requests: {:#?}", proxy.total(), proxy.seen());
    assert_eq!(finished.number("files_trashed"), 300);
    assert_eq!(world.trashed("many/3/file 17"), ["content 17"]);
    world.assert_mirror_equals_source();
}

#[test]
fn a_lost_answer_to_the_move_of_a_folder_is_looked_up() {
    let mut world = world(Some(Protocol::Webdav));
    world.set("max_delete", "\"off\"");
    for number in 0..50 {
        world.write(&format!("many/file {number}"), &format!("content {number}"));
        world.write(&format!("stays/file {number}"), "stays");
    }
    world.backup(&[]).expect(0);
    fs::remove_dir_all(world.source().join("many")).unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| (seen.method == "MOVE").then_some(Fault::LoseReply));
    world.backup(&[]);
    proxy.heal();
    world.backup(&[]).expect(0);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("many/file 7"), ["content 7"]);
}

/// The one node file of the job.
fn node_file(world: &World) -> PathBuf {
    let job = world.configuration.state_dir.join(JOB);
    let name = files_below(&job).into_iter().find(|path| path.to_string_lossy().starts_with("nodes."));
    job.join(name.unwrap())
}

#[test]
fn a_damaged_index_costs_a_rescan_and_never_a_version() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let world = world(protocol);
        Plan::plain(60, 5).plant(&world.source());
        world.backup(&[]).expect(0);
        let path = node_file(&world);
        let whole = fs::read(&path).unwrap();
        for position in [whole.len() - 40, whole.len() / 2, 200] {
            let mut bytes = fs::read(&path).unwrap();
            bytes[position] ^= 0x55;
            fs::write(&path, bytes).unwrap();
            let before = everything_held(&world);
            for _ in 0..2 {
                world.backup(&["--accept", "max-change,max-delete"]);
            }
            world.backup(&[]).expect(0);
            world.assert_mirror_equals_source();
            let after = everything_held(&world);
            assert!(before.iter().all(|version| after.contains(version)), "a version is gone");
        }
    }
}

fn everything_held(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let mirror = world.mirror();
    let live =
        files_below(&mirror).into_iter().map(|path| (path.clone(), fs::read(mirror.join(path)).unwrap()));
    live.chain(world.all_trash()).collect()
}

#[test]
fn a_state_that_was_set_back_is_a_foreign_writer() {
    let world = world(None);
    Plan::plain(10, 6).plant(&world.source());
    world.backup(&[]).expect(0);
    let state = world.configuration.state_dir.join(JOB);
    let saved = world.root().join("saved-state");
    copy_folder(&state, &saved);
    world.write("later", "1");
    world.backup(&[]).expect(0);
    fs::remove_dir_all(&state).unwrap();
    copy_folder(&saved, &state);
    world.write("even later", "2");
    world.backup(&[]).expect(13).says("--accept foreign-writer");
    assert!(!world.mirror().join("even later").exists(), "something was sent");
    world.backup(&["--accept", "foreign-writer"]).expect(0);
    world.assert_mirror_equals_source();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files_below(from) {
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
}

#[test]
fn another_remote_under_the_same_job_is_not_believed_to_hold_anything() {
    let mut world = world(None);
    Plan::plain(10, 7).plant(&world.source());
    world.backup(&[]).expect(0);
    let other = world.root().join("elsewhere");
    fs::create_dir(&other).unwrap();
    let remote = format!("local:{}/photos", other.display());
    world.configuration.jobs = vec![Job::new(JOB, &world.source(), &remote)];
    world.write_configuration();
    world.backup(&[]).expect(13).says("remote-changed");
    // Nor when somebody says so: the owner file must be there.
    world.backup(&["--accept", "remote-changed"]).expect(5);
    assert!(files_below(&other).is_empty());
}

#[test]
fn an_owner_file_that_is_gone_stops_the_run_until_somebody_accepts() {
    let world = world(None);
    Plan::plain(10, 8).plant(&world.source());
    world.backup(&[]).expect(0);
    for path in files_below(&world.companion()) {
        fs::remove_file(world.companion().join(path)).unwrap();
    }
    world.write("later", "1");
    world.backup(&[]).expect(5).says("--accept foreign-writer");
    assert!(!world.mirror().join("later").exists(), "something was sent");
    world.backup(&["--accept", "foreign-writer"]).expect(0);
    world.assert_mirror_equals_source();
}

/// The state directory, the source and the place of temporary files share no disk.
#[test]
fn the_state_directory_may_lie_on_another_disk() {
    let mut world = World::local(Rclone::Current);
    let disk = |path: &Path| fs::metadata(path).unwrap().dev();
    let is_other = |place: &&str| disk(Path::new(place)) != disk(&world.source());
    let place = ["/dev/shm", env!("CARGO_TARGET_TMPDIR")].into_iter().find(is_other).expect("a second disk");
    let elsewhere = tempfile::Builder::new().prefix("treeferry-").tempdir_in(place).unwrap();
    world.configuration.state_dir = elsewhere.path().to_path_buf();
    world.write_configuration();
    Plan::plain(200, 3).plant(&world.source());
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    edit(&world.source(), 40, 4);
    world.backup(&["--accept", "max-delete,max-change"]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.backup(&[]).expect(0).number("index_bytes_written"), 0);
    assert!(elsewhere.path().join(JOB).join("docket").exists());
}

/// Somebody lost the docket and has a copy of it: what it names was not cleared away meanwhile.
#[test]
fn a_docket_that_comes_back_finds_its_node_file() {
    let world = World::local(Rclone::Current);
    Plan::plain(30, 5).plant(&world.source());
    world.backup(&[]).expect(0);
    let docket = world.configuration.state_dir.join(JOB).join("docket");
    let bytes = fs::read(&docket).unwrap();
    fs::remove_file(&docket).unwrap();
    world.backup(&[]).expect(13).says("adopt");
    world.backup(&[]).expect(13);
    fs::write(&docket, bytes).unwrap();
    let back = world.backup(&[]).expect(0);
    assert_eq!((back.number("files_uploaded"), back.number("files_unchanged")), (0, 30));
}

#[test]
fn a_job_may_have_a_chinese_name_as_folders_of_the_script_have() {
    let mut world = World::local(Rclone::Current);
    let remote = format!("local:{}", world.mirror().display());
    world.configuration.jobs = vec![Job::new("照片", &world.source(), &remote)];
    world.write_configuration();
    Plan::plain(3, 1).plant(&world.source());
    world.backup(&["照片"]).expect(0);
    world.assert_mirror_equals_source();
    world.backup(&[]).expect(0);
    world.program.run(&["status"]).expect(0).says("照片");
}
