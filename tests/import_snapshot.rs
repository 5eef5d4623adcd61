//! Moving over from the Python script: its snapshot becomes the first index, and
//! nothing is uploaded again.

use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, files_below, let_times_settle};
use crate::support::world::{JOB, World};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A line as the script writes it: `f"{path}|{st.st_size}|{st.st_mtime}"`.
pub(crate) fn line(source: &Path, path: &Path) -> Vec<u8> {
    let found = fs::metadata(source.join(path)).unwrap();
    let mtime = found.mtime() as f64 + 1e-9 * found.mtime_nsec() as f64;
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.extend(format!("|{}|{mtime:?}\n", found.size()).bytes());
    line
}

/// The script's snapshot of everything that lies in the source now.
fn snapshot(world: &World) -> PathBuf {
    let source = world.source();
    let lines: Vec<u8> = files_below(&source).iter().flat_map(|path| line(&source, path)).collect();
    let file = world.root().join("photos.snapshot");
    fs::write(&file, lines).unwrap();
    file
}

/// A tree that the script could keep: names in Chinese, with `|`, no line breaks.
fn plant(world: &World, files: usize) {
    let source = world.source();
    Plan::plain(files, 5).plant(&source);
    for name in ["照片/2024年/图 1.jpg", "a|b|3.txt", "照片/x|y", "leer/.versteckt", "plus+ %41 #.txt"]
    {
        let path = source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
}

fn import(world: &World, file: &Path, more: &[&str]) -> crate::support::program::Finished {
    let mut arguments = vec!["--json", "import", "snapshot", file.to_str().unwrap(), "--job", JOB];
    arguments.extend(more);
    world.program.run(&arguments)
}

#[test]
fn after_the_import_nothing_is_uploaded_and_no_file_is_read() {
    for world in [World::local(Rclone::Current), World::served(Protocol::Webdav, Rclone::Oldest)] {
        plant(&world, 200);
        world.copy_with_plain_rclone();
        let file = snapshot(&world);
        let (requests, files) = (world.requests(), files_below(&world.source()).len() as u64);
        let imported = import(&world, &file, &[]).expect(0);
        assert_eq!(imported.number("files_held"), files);
        for nothing in ["files_changed", "files_new", "files_deleted", "files_out_of_scope", "lines_left_out"]
        {
            assert_eq!(imported.number(nothing), 0, "{nothing}");
        }
        let index = world.index_bytes();
        let finished = world.backup(&[]).expect(0);
        assert_eq!(finished.number("files_uploaded"), 0);
        assert_eq!(finished.number("files_unchanged"), files);
        assert_eq!(finished.number("index_bytes_written"), 0);
        assert_eq!(world.index_bytes(), index, "an unchanged tree wrote to the index");
        // Only later runs read the files, for their hashes.
        assert!(world.backup(&[]).expect(0).number("index_bytes_written") > 0);
        let index = world.index_bytes();
        assert_eq!(world.backup(&[]).expect(0).number("index_bytes_written"), 0);
        assert_eq!(world.index_bytes(), index);
        assert_eq!(world.rclone_calls(), Vec::<String>::new());
        assert_eq!(world.requests(), requests);
        world.assert_mirror_equals_source();
    }
}

#[test]
fn a_mark_of_utf_8_before_the_first_line_is_no_part_of_its_name() {
    let world = World::local(Rclone::Current);
    plant(&world, 5);
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    let lines = fs::read(&file).unwrap();
    fs::write(&file, [b"\xEF\xBB\xBF", lines.as_slice()].concat()).unwrap();
    let imported = import(&world, &file, &[]).expect(0);
    assert_eq!((imported.number("files_new"), imported.number("files_deleted")), (0, 0), "{imported}");
}

#[test]
fn a_last_check_in_the_future_is_none() {
    let mut world = World::local(Rclone::Current);
    plant(&world, 5);
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    world.set("check_every_days", "7");
    for time in ["99999999999", "9999999999", "2200-01-01"] {
        fs::write(world.root().join("last_full_check"), time).unwrap();
        let imported = import(&world, &file, &["--dry-run"]).expect(0);
        assert_eq!(imported.summary()["last_check_seconds"], serde_json::Value::Null, "{time}: {imported}");
    }
}

#[test]
fn a_line_that_is_left_out_is_named_whatever_is_wrong_with_it_and_progress_names_the_job() {
    let world = World::local(Rclone::Current);
    fs::create_dir(world.source().join("folder")).unwrap();
    fs::write(world.source().join("folder/file"), "x").unwrap();
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    let lines = [b"folder|3|1.0\nno line\n", fs::read(&file).unwrap().as_slice()].concat();
    fs::write(&file, lines).unwrap();
    let imported = import(&world, &file, &["--dry-run"]).expect(0);
    let summary = imported.summary();
    assert_eq!(summary["lines_left_out"], 2, "{imported}");
    let texts: Vec<(u64, &str)> = (summary["left_out"].as_array().unwrap().iter())
        .map(|left| (left["line"].as_u64().unwrap(), left["text"].as_str().unwrap()))
        .collect();
    assert_eq!(texts, [(2, "no line"), (1, "folder (a file, and other lines lie in it)")]);
    for status in imported.messages("status") {
        assert_eq!(status["job"], JOB, "{imported}");
    }
    let path = file.to_str().unwrap();
    let told = world.program.run(&["import", "snapshot", path, "--job", JOB, "-n"]).expect(0);
    let told = told.says("line 1: folder (a file").says("line 2: no line");
    assert!(!told.to_string().contains("\n: scanning"), "{told}");
}

#[test]
fn a_name_with_a_newline_which_the_script_broke_in_two_is_put_together_again() {
    let world = World::local(Rclone::Current);
    plant(&world, 20);
    for name in ["照片/line\nbreak", "照片/a\n\nb|1|2.5", "own line", "gone\nname"] {
        fs::write(world.source().join(name), name).unwrap();
    }
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    fs::remove_file(world.source().join("gone\nname")).unwrap();
    let own = line(&world.source(), Path::new("own line"));
    let mut lines = fs::read(&file).unwrap();
    lines.extend([b"not a line of ours\n", own.as_slice(), b"# the end\n"].concat());
    fs::write(&file, lines).unwrap();
    let files = files_below(&world.source()).len() as u64;
    let imported = import(&world, &file, &[]).expect(0);
    assert_eq!((imported.number("files_held"), imported.number("files_new")), (files, 0), "{imported}");
    // Never claimed to be on the mirror: the second half of a name whose first half nobody knows.
    assert_eq!((imported.number("files_deleted"), imported.number("lines_left_out")), (0, 4), "{imported}");
    let finished = world.backup(&[]).expect(0);
    assert_eq!((finished.number("files_uploaded"), finished.number("files_trashed")), (0, 0));
}

#[test]
fn hashes_are_filled_in_by_later_runs_within_a_budget() {
    let mut world = World::local(Rclone::Current);
    let source = world.source();
    for number in 0..5 {
        fs::write(source.join(format!("file {number}")), vec![number; 400]).unwrap();
    }
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    world.set("hash_fill_per_run", "\"1000\"");
    import(&world, &file, &[]).expect(0);
    let_times_settle();
    let unverifiable = || world.program.run(&["--json", "verify", "--source"]).number("files_unverifiable");
    world.backup(&[]).expect(0);
    assert_eq!(unverifiable(), 5, "the first run after the import reads nothing");
    let content_root = |finished: &Finished| finished.summary()["content_root"].clone();
    let taken_over = content_root(&world.backup(&["-n"]).expect(0));
    for left in [3, 1, 0, 0] {
        let finished = world.backup(&[]).expect(0);
        assert_eq!(content_root(&finished), taken_over, "a hash that was filled in is no change for C");
        assert_eq!(finished.number("files_uploaded") + finished.number("files_changed"), 0);
        assert_eq!(finished.summary()["run_id"], serde_json::Value::Null, "{finished}");
        assert_eq!(unverifiable(), left);
    }
    assert_eq!(world.rclone_calls(), Vec::<String>::new());
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(source.join("file 1"), mode).unwrap();
    let finished = world.backup(&[]).expect(0);
    assert_eq!((finished.number("files_uploaded"), content_root(&finished)), (0, taken_over), "{finished}");
    // From now on a touch sends nothing.
    fs::File::options()
        .append(true)
        .open(source.join("file 0"))
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
}

#[test]
fn what_changed_since_the_snapshot_is_new_changed_or_deleted_and_nothing_else() {
    for world in [World::local(Rclone::Current), World::served(Protocol::Webdav, Rclone::Current)] {
        plant(&world, 200);
        world.copy_with_plain_rclone();
        let file = snapshot(&world);
        let source = world.source();
        fs::write(source.join("照片/new"), "new").unwrap();
        fs::write(source.join("a|b|3.txt"), "another size than before").unwrap();
        // The same size, another time within the same second.
        let same_size = source.join("照片/x|y");
        let before = fs::metadata(&same_size).unwrap().modified().unwrap();
        let old = fs::read(&same_size).unwrap();
        fs::write(&same_size, vec![b'z'; old.len()]).unwrap();
        let time = before + std::time::Duration::from_nanos(700);
        fs::File::options().append(true).open(&same_size).unwrap().set_modified(time).unwrap();
        fs::remove_file(source.join("照片/2024年/图 1.jpg")).unwrap();
        // A folder that became a file.
        fs::remove_dir_all(source.join("leer")).unwrap();
        fs::write(source.join("leer"), "now a file").unwrap();

        let imported = import(&world, &file, &[]).expect(0);
        assert_eq!(imported.number("files_changed"), 2);
        assert_eq!(imported.number("files_new"), 2);
        assert_eq!(imported.number("files_deleted"), 2);

        let finished = world.backup(&[]).expect(0);
        assert_eq!(finished.number("files_uploaded"), 4);
        assert_eq!(finished.number("files_changed"), 2);
        assert_eq!(finished.number("files_new"), 2);
        assert_eq!(finished.number("files_deleted"), 2);
        let mut trash = world.all_trash();
        trash.sort();
        let trash: Vec<_> = trash.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(trash, ["a|b|3.txt", "leer/.versteckt", "照片/2024年/图 1.jpg", "照片/x|y"]);
        assert!(world.all_trash().iter().any(|(_, bytes)| *bytes == old));
        world.assert_mirror_equals_source();
        assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    }
}

#[test]
fn the_temporary_file_of_an_interrupted_run_is_the_newer_truth() {
    let world = World::local(Rclone::Current);
    plant(&world, 20);
    let source = world.source();
    let file = snapshot(&world);
    let all = files_below(&source);
    let (known, late) = all.split_at(10);
    let lines = |paths: &[PathBuf]| paths.iter().flat_map(|path| line(&source, path)).collect::<Vec<u8>>();
    fs::write(&file, lines(known)).unwrap();
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".tmp");
    // Whole: it alone counts.
    fs::write(&temporary, lines(late)).unwrap();
    let finished = import(&world, &file, &["-n"]).expect(0);
    assert_eq!((finished.number("files_held"), finished.number("files_new")), (late.len() as u64, 10));
    // Broken off in the middle of a line: the older one speaks for the rest.
    let mut broken = lines(late);
    broken.truncate(broken.len() - 3);
    fs::write(&temporary, broken).unwrap();
    let finished = import(&world, &file, &["-n"]).expect(0);
    assert_eq!((finished.number("files_held"), finished.number("files_new")), (all.len() as u64 - 1, 1));
    // What both of them leave out is told of each.
    let older = [lines(known), b"no line\n".to_vec()].concat();
    fs::write(&file, older).unwrap();
    fs::write(&temporary, "no line\nbroken of").unwrap();
    let finished = import(&world, &file, &["-n"]).expect(0);
    let left_out = finished.summary()["left_out"].as_array().unwrap().clone();
    let files: Vec<Option<&str>> = left_out.iter().map(|left_out| left_out["file"].as_str()).collect();
    assert_eq!(files, [file.to_str(), Path::new(&temporary).to_str()], "{finished}");
    // Alone: a first run that was interrupted.
    fs::remove_file(&file).unwrap();
    fs::write(&temporary, lines(&all)).unwrap();
    assert_eq!(import(&world, &file, &[]).expect(0).number("files_held"), all.len() as u64);
}

#[test]
fn an_index_that_exists_is_left_as_it_is_and_a_dry_run_makes_none() {
    let world = World::local(Rclone::Current);
    plant(&world, 20);
    let file = snapshot(&world);
    import(&world, &file, &["--dry-run"]).expect(0);
    assert!(!world.configuration.state_dir.join(JOB).exists());
    import(&world, &file, &[]).expect(0);
    let index = world.index_bytes();
    import(&world, &file, &[]).expect(2).says("has an index already").says("move ");
    assert_eq!(world.index_bytes(), index);
}

#[test]
fn what_is_no_snapshot_makes_no_index() {
    let world = World::local(Rclone::Current);
    plant(&world, 20);
    let file = world.root().join("odd");
    import(&world, &file, &[]).expect(2).says("there is no snapshot");
    fs::write(&file, "nothing\nof | the sort\n").unwrap();
    import(&world, &file, &[]).expect(2).says("names no file below");
    let source = world.source();
    fs::rename(&source, world.root().join("elsewhere")).unwrap();
    fs::write(&file, "a|1|2.0\n").unwrap();
    import(&world, &file, &[]).expect(13).says("does not exist");
    fs::rename(world.root().join("elsewhere"), &source).unwrap();
    // Nothing is in the way of a first run.
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn what_the_rules_leave_out_stays_on_the_mirror_and_is_no_deletion() {
    let mut world = World::local(Rclone::Current);
    plant(&world, 50);
    let source = world.source();
    fs::create_dir(source.join("tmp")).unwrap();
    fs::write(source.join("tmp/x"), "x").unwrap();
    symlink("a|b|3.txt", source.join("link")).unwrap();
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    // The script followed the link when it took its size and time; rclone did not upload it.
    let mut lines = fs::read(&file).unwrap();
    if !files_below(&source).contains(&PathBuf::from("link")) {
        lines.extend(line(&source, Path::new("link")));
    }
    fs::write(&file, lines).unwrap();
    world.set("exclude", "[\"tmp/\"]");
    let imported = import(&world, &file, &[]).expect(0);
    assert_eq!(imported.number("files_out_of_scope"), 2);
    assert_eq!(imported.number("files_deleted"), 0);
    let finished = world.backup(&[]).expect(0);
    assert_eq!((finished.number("files_uploaded"), finished.number("files_trashed")), (0, 0));
    assert_eq!(world.rclone_calls(), Vec::<String>::new());
    assert!(world.mirror().join("tmp/x").exists());
}

#[test]
fn a_mirror_that_was_taken_over_is_guarded_like_any_other() {
    let world = World::local(Rclone::Current);
    plant(&world, 200);
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    import(&world, &file, &[]).expect(0);
    let source = world.source();
    for path in files_below(&source).iter().take(100) {
        fs::remove_file(source.join(path)).unwrap();
    }
    world.backup(&[]).expect(13).says("max-delete");
    world.backup(&["--accept", "max-delete", JOB]).expect(0);
    world.assert_mirror_equals_source();
    // The owner file that this run wrote is ours.
    fs::write(source.join("later"), "later").unwrap();
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 1);
    world.assert_mirror_equals_source();
}

#[test]
fn names_on_which_the_encodings_differ_are_listed_and_stay_as_they_are() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    plant(&world, 20);
    let odd = world.source().join("with ␁ symbol and ／");
    fs::write(&odd, "odd").unwrap();
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    let imported = import(&world, &file, &[]).expect(0);
    assert_eq!(imported.number("files_with_odd_names"), 1);
    fs::write(world.source().join("another"), "x").unwrap();
    fs::write(&odd, "another size").unwrap();
    let finished = world.backup(&[]).expect(0);
    assert_eq!((finished.number("files_new"), finished.number("files_changed")), (1, 1));
    // Seen with rclone's own names: one file under one name, as the script left it.
    let checked = world
        .rclone
        .command(&world.rclone_configuration.path)
        .args(["check", "--download"])
        .arg(world.source())
        .arg(format!("remote:backup/{JOB}"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let calls = world.rclone_calls().join("\n");
    assert!(calls.contains("files-from-raw"), "{calls}");
    assert!(!calls.contains("-encoding"), "the mirror was begun with rclone's own names:\n{calls}");
}

#[test]
fn a_name_that_cannot_be_asked_for_hides_no_other_damage() {
    let mut world = World::local(Rclone::Current);
    plant(&world, 10);
    world.copy_with_plain_rclone();
    // On the list, and not on the remote.
    world.write("\u{201b}odd", "odd");
    import(&world, &snapshot(&world), &[]).expect(0);
    fs::remove_file(world.mirror().join("照片/x|y")).unwrap();
    let verify = |more: &[&str]| {
        let arguments = ["--json", "verify", JOB, "--remote"];
        world.program.run(&arguments.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let told = verify(&[]).expect(15).says("U+201B").says("x|y");
    assert_eq!(told.number("files_missing"), 2, "{told}");
    // The rest is repaired.
    let told = verify(&["--repair"]).expect(15).says("it cannot be sent again");
    assert_eq!(told.messages("summary").last().unwrap()["files_repaired"], 1, "{told}");
    assert!(world.mirror().join("照片/x|y").exists());
    assert_eq!(world.backup(&[]).expect(3).number("files_unprotected"), 1);
    // So is it in the check that comes by itself.
    fs::remove_file(world.mirror().join("照片/x|y")).unwrap();
    fs::remove_file(world.configuration.state_dir.join(JOB).join("check.json")).unwrap();
    world.set("check_every_days", "7");
    world.set("check_action", "\"repair\"");
    world.backup(&[]).expect(15).says("U+201B");
    assert!(world.mirror().join("照片/x|y").exists());
}

#[test]
fn trash_older_than_n_days_is_purged_also_that_of_the_script() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    plant(&world, 20);
    let old_trash = world.root().join("remote/backup/old-trash");
    let today = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().unwrap().stdout;
    let today = String::from_utf8(today).unwrap().trim().to_owned();
    let folders = ["2020-01-31", "20200131_101500", &today, "photos 2020-01-31", "2020"];
    for folder in folders {
        fs::create_dir_all(old_trash.join(folder).join("deep")).unwrap();
        fs::write(old_trash.join(folder).join("deep/file"), "old").unwrap();
    }
    fs::write(old_trash.join("2020-02-01"), "a file").unwrap();
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    world.set("legacy_trash", "\"remote:backup/old-trash\"");
    import(&world, &file, &[]).expect(0);
    let requests = world.requests();
    world.backup(&[]).expect(0);
    assert_eq!(world.requests(), requests, "a run without changes sends nothing");
    fs::write(world.source().join("new"), "new").unwrap();
    world.backup(&[]).expect(0);
    let mut left: Vec<_> = fs::read_dir(&old_trash)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut expected =
        vec!["2020".to_owned(), "2020-02-01".to_owned(), today, "photos 2020-01-31".to_owned()];
    expected.sort();
    assert_eq!(left, expected);
    world.assert_mirror_equals_source();
}

fn restore(world: &World, to: &str, more: &[&str]) -> PathBuf {
    let to = world.root().join(to);
    let mut arguments = vec!["restore", "--to", to.to_str().unwrap()];
    arguments.extend(more);
    world.program.run(&arguments).expect(0);
    to
}

#[test]
fn the_first_state_comes_back_after_later_runs_have_read_its_files() {
    let world = World::local(Rclone::Current);
    for name in ["stays", "changes", "goes"] {
        world.write(name, name);
    }
    world.copy_with_plain_rclone();
    import(&world, &snapshot(&world), &[]).expect(0);
    let_times_settle();
    world.backup(&[]).expect(0);
    assert!(world.backup(&[]).expect(0).number("index_bytes_written") > 0, "the hashes");
    let assert_first = |to: &str| {
        let restored = restore(&world, to, &["--at", "1"]);
        for name in ["stays", "changes", "goes"] {
            assert_eq!(fs::read_to_string(restored.join(name)).unwrap(), name);
        }
        for name in ["stays", "changes", "goes"] {
            let told = world.program.run(&["log", name]).expect(0);
            assert!(!told.stdout.contains("cannot be had"), "{told}");
        }
    };
    assert_first("at once");
    world.write("changes", "another content");
    fs::remove_file(world.source().join("goes")).unwrap();
    world.backup(&[]).expect(0);
    assert_first("later");
}

/// Another time is no other content: what was taken over lies on the mirror still.
#[test]
fn the_first_state_comes_back_after_its_files_were_read_and_then_touched() {
    let world = World::local(Rclone::Current);
    for name in ["touched", "touched and changed", "damaged", "stays"] {
        world.write(name, name);
    }
    world.copy_with_plain_rclone();
    import(&world, &snapshot(&world), &[]).expect(0);
    let_times_settle();
    world.backup(&[]).expect(0);
    assert!(world.backup(&[]).expect(0).number("index_bytes_written") > 0, "the hashes");
    for name in ["touched", "touched and changed", "damaged"] {
        let file = fs::File::options().append(true).open(world.source().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(86_400)).unwrap();
    }
    assert_eq!(world.backup(&[]).expect(0).number("files_uploaded"), 0);
    world.write("touched and changed", "another content");
    world.backup(&[]).expect(0);

    let restored = restore(&world, "first", &["--at", "1"]);
    for name in ["touched", "touched and changed", "damaged", "stays"] {
        assert_eq!(fs::read_to_string(restored.join(name)).unwrap(), name);
        let told = world.program.run(&["log", name]).expect(0);
        assert!(!told.stdout.contains("cannot be had"), "{told}");
    }
    // It is known by its hash, and so it is checked by it.
    fs::write(world.mirror().join("damaged"), "DAMAGED").unwrap();
    let to = world.root().join("checked");
    let arguments = ["restore", "--at", "1", "--to", to.to_str().unwrap(), "damaged"];
    world.program.run(&arguments).expect(15).says("damaged on the remote");
}

#[test]
fn what_only_the_list_knew_comes_back_with_the_modes_of_new_files() {
    let world = World::local(Rclone::Current);
    world.write("a", "a");
    world.write("gone/x", "x");
    let listed = fs::metadata(world.source().join("a")).unwrap().mtime();
    world.copy_with_plain_rclone();
    let file = snapshot(&world);
    world.write("a", "changed");
    fs::remove_dir_all(world.source().join("gone")).unwrap();
    import(&world, &file, &[]).expect(0);
    fs::create_dir(world.root().join("new folder")).unwrap();
    fs::write(world.root().join("new folder/file"), "x").unwrap();
    let facts = |path: PathBuf| {
        let found = fs::metadata(path).unwrap();
        (found.mode(), found.uid(), found.gid())
    };
    let (folder, new) = (world.root().join("new folder"), world.root().join("new folder/file"));
    let assert_as_new = |restored: &Path| {
        assert_eq!(facts(restored.join("a")), facts(new.clone()));
        assert_eq!(facts(restored.join("gone/x")), facts(new.clone()));
        assert_eq!(facts(restored.join("gone")), facts(folder.clone()));
        assert_eq!(fs::metadata(restored.join("a")).unwrap().mtime(), listed, "this the list knew");
        assert!(fs::metadata(restored.join("gone")).unwrap().mtime() >= listed, "not of 1970");
    };
    assert_as_new(&restore(&world, "at once", &[]));
    world.backup(&[]).expect(0);
    assert_as_new(&restore(&world, "later", &["--at", "1"]));
    // A folder that was there before stays as closed as it was.
    fs::create_dir_all(world.root().join("closed/gone")).unwrap();
    crate::support::program::chmod(&world.root().join("closed/gone"), 0o700);
    let restored = restore(&world, "closed", &["--at", "1"]);
    assert_eq!(fs::metadata(restored.join("gone")).unwrap().mode() & 0o777, 0o700);
}
