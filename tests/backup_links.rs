//! Symlinks that are followed or uploaded: what lies behind them is protected, and what is
//! kept of them stands in nobody's way.

use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{files_below, let_times_settle, rot_into};
use crate::support::world::{JOB, World};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

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
        let again = world.backup(&[]).expect(0);
        assert_eq!((again.number("files_unchanged"), again.number("index_bytes_written")), (6, 0), "{again}");
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
    let_times_settle();
    world.backup(&[]).expect(0);
    assert_eq!(verify_source(&world).expect(0).number("files_verified"), 6);
    let file = world.root().join("near/deep/er/g");
    rot_into(&file, "dEep");
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
    let_times_settle();
    let unverifiable = || verify_source(&world).number("files_unverifiable");
    assert_eq!(unverifiable(), 6);
    for _ in 0..2 {
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    }
    assert_eq!(unverifiable(), 0);
    assert_eq!(verify_source(&world).expect(0).number("files_verified"), 6);
}

fn uploading(on_delete: &str) -> World {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    world.set("on_delete", &format!("\"{on_delete}\""));
    world.write("r", "r");
    world
}

fn link(world: &World, target: &str, name: &str) {
    let at = world.source().join(name);
    if at.symlink_metadata().is_ok() {
        fs::remove_file(&at).unwrap();
    }
    symlink(target, at).unwrap();
}

fn remove(world: &World, name: &str) {
    fs::remove_file(world.source().join(name)).unwrap();
}

/// A run that protects everything, and another one that finds nothing to do.
#[track_caller]
fn settled(world: &World) {
    world.backup(&[]).expect(0);
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "the run before had left something to do");
    let plan = world.program.run(&["--json", "plan"]).expect(0);
    assert_eq!((plan.number("files_new"), plan.number("files_changed")), (0, 0), "{plan}");
}

/// What a restore gives: contents of files, targets of links.
#[track_caller]
fn assert_restores(world: &World, expected: &[(&str, &str)]) {
    let to = world.root().join("restored");
    if to.exists() {
        fs::remove_dir_all(&to).unwrap();
    }
    restore(world, "restored").expect(0);
    for (name, content) in expected {
        let at = to.join(name);
        let found = match fs::read_link(&at) {
            Ok(target) => target.to_string_lossy().into_owned(),
            Err(_) => fs::read_to_string(&at).unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        assert_eq!(found, *content, "{name}");
    }
    assert_eq!(fs::read_dir(&to).unwrap().count(), expected.len());
}

#[test]
fn a_file_takes_the_name_of_a_link_that_is_kept() {
    let world = uploading("keep");
    link(&world, "r", "a");
    world.backup(&[]).expect(0);
    remove(&world, "a");
    settled(&world);
    assert_holds(&world.mirror(), &[("a.rclonelink", "r"), ("r", "r")]);
    world.write("a", "IMPORTANT");
    settled(&world);
    assert_holds(&world.mirror(), &[("a", "IMPORTANT"), ("r", "r")]);
    assert_eq!(world.trashed("a.rclonelink"), ["r"]);
    assert_restores(&world, &[("a", "IMPORTANT"), ("r", "r")]);
    // And the other way round.
    remove(&world, "a");
    settled(&world);
    assert_holds(&world.mirror(), &[("a", "IMPORTANT"), ("r", "r")]);
    link(&world, "r", "a");
    settled(&world);
    assert_holds(&world.mirror(), &[("a.rclonelink", "r"), ("r", "r")]);
    assert_eq!(world.trashed("a"), ["IMPORTANT"]);
    assert_restores(&world, &[("a", "r"), ("r", "r")]);
}

#[test]
fn a_file_takes_the_name_of_a_link_that_was_excluded() {
    let mut world = uploading("trash");
    link(&world, "r", "a");
    world.backup(&[]).expect(0);
    world.set("exclude", "[\"a\"]");
    settled(&world);
    world.set("exclude", "[]");
    remove(&world, "a");
    world.write("a", "IMPORTANT");
    settled(&world);
    assert_holds(&world.mirror(), &[("a", "IMPORTANT"), ("r", "r")]);
    assert_eq!(world.trashed("a.rclonelink"), ["r"]);
}

#[test]
fn a_link_that_was_kept_returns_with_its_target_or_with_another_one() {
    let world = uploading("keep");
    link(&world, "r", "same");
    link(&world, "r", "other");
    world.backup(&[]).expect(0);
    remove(&world, "same");
    remove(&world, "other");
    settled(&world);
    link(&world, "r", "same");
    link(&world, "elsewhere", "other");
    settled(&world);
    assert_holds(&world.mirror(), &[("other.rclonelink", "elsewhere"), ("r", "r"), ("same.rclonelink", "r")]);
    assert_eq!(world.trashed("other.rclonelink"), ["r"]);
    assert_eq!(world.trashed("same.rclonelink"), <[&str; 0]>::default(), "it was held all the time");
    world.program.run(&["ls"]).expect(0).says("same").says("other");
    assert_restores(&world, &[("other", "elsewhere"), ("r", "r"), ("same", "r")]);
    // Taken back alone, with nothing else to do.
    remove(&world, "same");
    settled(&world);
    link(&world, "r", "same");
    let calls = world.rclone_calls().len();
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    world.program.run(&["ls"]).expect(0).says("same");
    assert!(world.rclone_calls().iter().skip(calls).all(|call| !call.contains("copy")), "nothing to send");
}

#[test]
fn another_way_to_treat_links_leaves_nothing_unprotected() {
    let mut world = uploading("trash");
    world.write("d/f", "in a folder");
    link(&world, "r", "a");
    link(&world, "d", "to folder");
    link(&world, "nowhere", "to nothing");
    world.backup(&[]).expect(0);
    world.set("links", "\"record\"");
    settled(&world);
    let links = [("a.rclonelink", "r"), ("to folder.rclonelink", "d"), ("to nothing.rclonelink", "nowhere")];
    let files = [("d/f", "in a folder"), ("r", "r")];
    assert_holds(&world.mirror(), &[&links[..], &files].concat());

    // Said of the link to nothing.
    world.set("links", "\"follow\"");
    for _ in 0..2 {
        world.backup(&[]).expect(3).says("to nothing");
    }
    remove(&world, "to nothing");
    settled(&world);
    let followed = [("a", "r"), ("to folder/f", "in a folder")];
    let kept = [("to nothing.rclonelink", "nowhere")];
    assert_holds(&world.mirror(), &[&followed[..], &kept, &files].concat());
    assert_eq!(world.trashed("a.rclonelink"), ["r"]);
    assert_eq!(world.trashed("to folder.rclonelink"), ["d"]);

    world.set("links", "\"upload\"");
    world.backup(&[]).expect(3).says("to folder").says("next run");
    assert_eq!(fs::read_to_string(world.mirror().join("a.rclonelink")).unwrap(), "r");
    settled(&world);
    let below = [("to folder/f", "in a folder")];
    assert_holds(&world.mirror(), &[&links[..], &below, &files].concat());
    assert_eq!(world.trashed("a"), ["r"]);
    world.program.run(&["ls"]).expect(0).says("to folder");
    assert_restores(&world, &[("a", "r"), ("d/f", "in a folder"), ("r", "r"), ("to folder", "d")]);
}

#[test]
fn uploaded_links_that_cannot_be_followed_are_kept() {
    for on_delete in ["trash", "delete", "keep"] {
        let mut world = uploading(on_delete);
        world.write("d/f", "in a folder");
        let fifo = world.source().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let links =
            [("d/up", ".."), ("loop", "."), ("to fifo", "pipe"), ("to nothing", "no"), ("zero", "/dev/zero")];
        for (name, target) in links {
            link(&world, target, name);
        }
        world.backup(&[]).expect(0);
        let held = contents(&world.mirror());
        assert_eq!(held.len(), 7);
        world.set("links", "\"follow\"");
        let run = world.backup(&[]).expect(3);
        assert_eq!((run.number("files_out_of_scope"), run.number("files_deleted")), (5, 0), "{run}");
        assert_eq!(contents(&world.mirror()), held, "{on_delete}");
        assert_eq!(world.backup(&[]).expect(3).number("index_bytes_written"), 0, "settled a run late");
        // Taken back as they are.
        world.set("links", "\"upload\"");
        world.backup(&[]).expect(0);
        settled(&world);
        assert_eq!(contents(&world.mirror()), held);
        assert_eq!(world.all_trash().len(), 0);
    }
}

#[test]
fn a_followed_link_that_leads_nowhere_now_deletes_nothing() {
    let world = following(World::local(Rclone::Current));
    world.backup(&[]).expect(0);
    let held = contents(&world.mirror());
    fs::rename(world.root().join("near"), world.root().join("away")).unwrap();
    for number in 0..2 {
        world.write(&format!("new {number}"), "another change");
        world.backup(&[]).expect(3).says("relative");
        fs::remove_file(world.source().join(format!("new {number}"))).unwrap();
    }
    fs::rename(world.root().join("away"), world.root().join("near")).unwrap();
    world.backup(&[]).expect(0);
    assert_eq!(contents(&world.mirror()), held);
    assert!(world.trashed("relative/f").is_empty(), "an error was taken for a deletion");
}

#[test]
fn what_links_led_to_is_kept_when_they_are_recorded() {
    let mut world = following(World::local(Rclone::Current));
    world.backup(&[]).expect(0);
    let held = contents(&world.mirror());
    world.set("links", "\"record\"");
    assert_eq!(world.backup(&[]).expect(0).number("files_out_of_scope"), 5);
    assert_eq!(world.backup(&[]).expect(0).number("index_bytes_written"), 0, "settled a run late");
    settled(&world);
    assert_eq!(contents(&world.mirror()), held, "out of scope is not deleted");
    assert_eq!(world.all_trash().len(), 0);
    // Taken back as it is.
    world.set("links", "\"follow\"");
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    settled(&world);
    assert_eq!(contents(&world.mirror()), held);
    assert_eq!(world.all_trash().len(), 0);
    world.backup(&["--accept", "kept"]).expect(0);
    assert_eq!(contents(&world.mirror()), held, "nothing is kept any more");
}

#[test]
fn links_are_recorded_in_the_very_run_that_gives_up_what_they_led_to() {
    for guard in ["excluded", "kept"] {
        let mut world = following(World::local(Rclone::Current));
        world.backup(&[]).expect(0);
        world.set("links", "\"record\"");
        let is_accepted = guard == "excluded";
        let run = world.backup(&["--accept", guard]).expect(0);
        assert_eq!(run.number("files_trashed"), if is_accepted { 5 } else { 0 }, "{run}");
        assert_eq!(world.mirror().join("relative/f").exists(), !is_accepted);
        assert_eq!(world.backup(&[]).expect(0).number("index_bytes_written"), 0);
        restore(&world, "restored").expect(0);
        let restored = world.root().join("restored");
        assert_eq!(fs::read_link(restored.join("relative")).unwrap(), Path::new("../near"));
        assert_eq!(fs::read_link(restored.join("own/absolute")).unwrap(), world.root().join("far"));
    }
}

#[test]
fn a_link_that_is_kept_beside_a_folder_of_its_name_does_not_take_its_place() {
    let mut world = uploading("keep");
    world.set("links", "\"follow\"");
    world.write("d/f", "in a folder");
    link(&world, "d", "l");
    world.backup(&[]).expect(0);
    world.set("links", "\"upload\"");
    world.backup(&[]).expect(3);
    settled(&world);
    // The folder `l` is kept, and stands in the index where the link were to stand.
    remove(&world, "l");
    settled(&world);
    assert_holds(&world.mirror(), &[("d/f", "in a folder"), ("l/f", "in a folder"), ("r", "r")]);
    assert_eq!(world.trashed("l.rclonelink"), ["d"]);
    world.backup(&["--accept", "kept"]).expect(0);
    assert_eq!(world.trashed("l/f"), ["in a folder"]);
    assert_holds(&world.mirror(), &[("d/f", "in a folder"), ("r", "r")]);
}

#[test]
fn a_folder_takes_the_name_of_a_link() {
    for on_delete in ["trash", "keep", "delete"] {
        let world = uploading(on_delete);
        link(&world, "r", "now");
        link(&world, "r", "later");
        world.backup(&[]).expect(0);
        remove(&world, "now");
        remove(&world, "later");
        world.write("now/f", "below");
        settled(&world);
        world.write("later/f", "below");
        settled(&world);
        assert_holds(&world.mirror(), &[("later/f", "below"), ("now/f", "below"), ("r", "r")]);
        assert_eq!(world.trashed("now.rclonelink"), ["r"], "{on_delete}");
        fs::remove_dir_all(world.source().join("now")).unwrap();
        settled(&world);
        assert_eq!(world.mirror().join("now/f").exists(), on_delete == "keep");
    }
}

#[test]
fn links_that_are_kept_go_to_the_trash_when_somebody_accepts() {
    for guard in ["excluded", "kept"] {
        let mut world = uploading("trash");
        link(&world, "r", "a");
        world.backup(&[]).expect(0);
        world.set("links", "\"record\"");
        settled(&world);
        assert_holds(&world.mirror(), &[("a.rclonelink", "r"), ("r", "r")]);
        world.backup(&["--accept", guard]).expect(0);
        assert_holds(&world.mirror(), &[("r", "r")]);
        assert_eq!(world.trashed("a.rclonelink"), ["r"]);
        settled(&world);
        // The link itself is recorded all the same.
        assert_restores(&world, &[("a", "r"), ("r", "r")]);
        let calls = world.rclone_calls().len();
        world.backup(&["--accept", guard]).expect(0);
        assert_eq!(world.rclone_calls().len(), calls, "nothing is kept any more");
    }
}

#[test]
fn what_is_named_as_a_link_that_is_kept_goes_up_in_its_place() {
    let world = uploading("keep");
    link(&world, "r", "a");
    link(&world, "r", "b");
    world.write("c.rclonelink", "a file");
    world.backup(&[]).expect(0);
    remove(&world, "a");
    remove(&world, "b");
    remove(&world, "c.rclonelink");
    settled(&world);
    world.write("a.rclonelink", "a file of that name");
    world.write("b.rclonelink/f", "below");
    link(&world, "r", "c");
    settled(&world);
    let held = [
        ("a.rclonelink", "a file of that name"),
        ("b.rclonelink/f", "below"),
        ("c.rclonelink", "r"),
        ("r", "r"),
    ];
    assert_holds(&world.mirror(), &held);
    assert_eq!(world.trashed("a.rclonelink"), ["r"]);
    assert_eq!(world.trashed("b.rclonelink"), ["r"]);
    assert_eq!(world.trashed("c.rclonelink"), ["a file"]);
    // And beside a link that is there, it is refused as before.
    link(&world, "r", "a");
    world.backup(&[]).expect(3).says("its name is the same as that of a.rclonelink");
    assert_holds(&world.mirror(), &held);
}

#[test]
fn a_file_does_not_go_up_over_a_folder_in_which_only_links_are_kept() {
    let world = uploading("keep");
    fs::create_dir(world.source().join("d")).unwrap();
    link(&world, "../r", "d/a");
    world.backup(&[]).expect(0);
    remove(&world, "d/a");
    fs::remove_dir(world.source().join("d")).unwrap();
    settled(&world);
    world.write("d", "a file");
    world.backup(&[]).expect(3).says("a folder of that name is kept");
    assert_eq!(fs::read_to_string(world.mirror().join("d/a.rclonelink")).unwrap(), "../r");
    world.backup(&["--accept", "kept"]).expect(3);
    settled(&world);
    assert_holds(&world.mirror(), &[("d", "a file"), ("r", "r")]);
    assert_eq!(world.trashed("d/a.rclonelink"), ["../r"]);
}

#[test]
fn a_doubt_about_a_link_is_no_junk_where_the_link_is_held_or_kept() {
    let world = uploading("keep");
    link(&world, "r", "held");
    link(&world, "r", "kept");
    world.backup(&[]).expect(0);
    remove(&world, "kept");
    settled(&world);
    // As a run leaves them that was killed between an upload and its commit.
    let mut doubts = b"held.rclonelink\0junk.rclonelink\0kept.rclonelink\0".to_vec();
    doubts.extend_from_slice(blake3::hash(&doubts).as_bytes());
    fs::write(world.configuration.state_dir.join(JOB).join("doubts"), doubts).unwrap();
    fs::write(world.mirror().join("junk.rclonelink"), "half of a li").unwrap();
    settled(&world);
    assert_holds(&world.mirror(), &[("held.rclonelink", "r"), ("kept.rclonelink", "r"), ("r", "r")]);
    assert_eq!(world.all_trash().len(), 0);
}
