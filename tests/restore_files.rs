//! Getting files back: names, bytes, modes, times and symlinks, against real
//! servers and both rclones; and what is said when that cannot be done.

use crate::backup_endings::back_up_without_waits;
use crate::support::mounts::{in_shell, with_mounts};
use crate::support::program::{Finished, chmod};
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, beyond_the_oldest_rclone, files_below, odd_names, path};
use crate::support::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use treeferry::workflow::report::JobOutcome;

/// `treeferry --json restore --to <world>/restored ARGUMENTS`.
fn restore(world: &World, arguments: &[&str]) -> Finished {
    let to = target(world);
    let fixed = ["--json", "restore", "--to", to.to_str().unwrap()];
    let all: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
    world.program.run(&all)
}

fn target(world: &World) -> PathBuf {
    world.root().join("restored")
}

/// Every name below `root` with kind, mode, owner, mtime and content.
fn picture(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut picture = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let found = entry.path().symlink_metadata().unwrap();
            let what = if found.is_dir() {
                folders.push(entry.path());
                "folder".to_owned()
            } else if found.is_symlink() {
                format!("link to {:?}", fs::read_link(entry.path()).unwrap())
            } else if found.is_file() {
                format!("file {:?}", fs::read(entry.path()).unwrap())
            } else {
                continue;
            };
            let mode = if found.is_symlink() { 0 } else { found.mode() };
            let place = entry.path().strip_prefix(root).unwrap().to_path_buf();
            let facts = format!("{mode:o} {} {}.{} {what}", found.uid(), found.mtime(), found.mtime_nsec());
            picture.insert(place, facts);
        }
    }
    picture
}

#[track_caller]
fn assert_restored(source: &Path, restored: &Path) {
    let (wanted, found) = (picture(source), picture(restored));
    let differing: Vec<_> = wanted.iter().filter(|(path, facts)| found.get(*path) != Some(facts)).collect();
    assert!(differing.is_empty(), "not as they were: {differing:#?}");
    let more: Vec<_> = found.keys().filter(|path| !wanted.contains_key(*path)).collect();
    assert!(more.is_empty(), "nobody asked for {more:#?}");
}

fn without_what_the_oldest_rclone_cannot_carry(world: &World) {
    let beyond = |name: &[u8]| beyond_the_oldest_rclone(name) || name == "\u{ff0e}".as_bytes();
    for name in odd_names().iter().filter(|name| beyond(name)) {
        fs::remove_file(world.source().join("odd files").join(path(name))).unwrap();
        fs::remove_dir_all(world.source().join("odd folders").join(path(name))).unwrap();
    }
}

/// A tree with odd names, modes and times, that went to the mirror.
fn backed_up(protocol: Option<Protocol>, rclone: Rclone) -> World {
    let world = protocol.map_or_else(|| World::local(rclone), |protocol| World::served(protocol, rclone));
    Plan::odd(60, 1).plant(&world.source());
    if rclone == Rclone::Oldest {
        without_what_the_oldest_rclone_cannot_carry(&world);
    }
    let odd = world.source().join("odd kinds");
    chmod(&odd.join("first name"), 0o4751);
    chmod(&odd.join("empty file"), 0o400);
    chmod(&odd.join("empty folder"), 0o750);
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_000_000_123_456_789);
    let file = fs::File::options().append(true).open(odd.join(".git/HEAD")).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(old)).unwrap();
    chmod(&odd.join(".git"), 0o555);
    world.backup(&[]).expect(0);
    world
}

fn there_and_back(protocol: Option<Protocol>, rclone: Rclone) {
    let world = backed_up(protocol, rclone);
    let finished = restore(&world, &[]).expect(0);
    let files = files_below(&world.source()).len() as u64;
    assert_eq!(finished.number("files_restored"), files);
    assert_restored(&world.source(), &target(&world));

    // Again: all is there, and rclone is not even started.
    let calls = world.rclone_calls().len();
    let again = restore(&world, &[]).expect(0);
    assert_eq!((again.number("files_restored"), again.number("files_unchanged")), (0, files));
    assert_eq!(world.rclone_calls().len(), calls);
    assert_restored(&world.source(), &target(&world));
}

#[test]
fn everything_comes_back_from_a_folder_with_either_rclone() {
    for rclone in Rclone::BOTH {
        there_and_back(None, rclone);
    }
}

#[test]
fn everything_comes_back_over_webdav_with_the_current_rclone() {
    there_and_back(Some(Protocol::Webdav), Rclone::Current);
}

#[test]
fn everything_comes_back_over_webdav_with_the_oldest_rclone() {
    there_and_back(Some(Protocol::Webdav), Rclone::Oldest);
}

#[test]
fn everything_comes_back_over_sftp() {
    there_and_back(Some(Protocol::Sftp), Rclone::Current);
}

#[test]
fn an_ordinary_user_gets_closed_folders_back_and_can_go_on_in_them() {
    let mut world = World::local(Rclone::Current);
    fs::create_dir_all(world.source().join("closed/inner")).unwrap();
    for file in ["closed/one", "closed/inner/two"] {
        fs::write(world.source().join(file), file).unwrap();
    }
    chmod(&world.source().join("closed/inner"), 0o500);
    chmod(&world.source().join("closed"), 0o555);
    world.become_ordinary();
    world.backup(&[]).expect(0);
    restore(&world, &["closed/one"]).expect(0);
    assert!(!target(&world).join("closed/inner").exists());
    restore(&world, &[]).expect(0);
    assert_restored(&world.source(), &target(&world));
}

#[test]
fn only_what_was_asked_for_comes_back_and_what_is_not_there_is_named() {
    let world = World::local(Rclone::Current);
    fs::create_dir_all(world.source().join("a/b")).unwrap();
    for file in ["a/b/one", "a/two", "three"] {
        fs::write(world.source().join(file), file).unwrap();
    }
    world.backup(&[]).expect(0);
    let absolute = world.source().join("three");
    restore(&world, &["a/b", absolute.to_str().unwrap()]).expect(0);
    assert_eq!(files_below(&target(&world)), ["a/b/one", "three"].map(PathBuf::from));
    restore(&world, &["a/nothing", "a/two"]).expect(3).says("a/nothing").says("nothing of this name");
    assert!(target(&world).join("a/two").exists());
    restore(&world, &["/elsewhere"]).expect(2).says("does not lie below");
    restore(&world, &["../out"]).expect(2);
}

#[test]
fn a_dry_run_writes_and_asks_nothing() {
    let world = backed_up(None, Rclone::Current);
    let calls = world.rclone_calls().len();
    let told = restore(&world, &["-n"]).expect(0);
    assert_eq!(told.number("files_restored"), files_below(&world.source()).len() as u64);
    assert!(!target(&world).exists());
    assert_eq!(world.rclone_calls().len(), calls);
}

#[test]
fn files_that_are_there_stay_unless_told_otherwise() {
    let world = World::local(Rclone::Current);
    for file in ["changed", "same", "folder", "link"] {
        fs::write(world.source().join(file), file).unwrap();
    }
    world.backup(&[]).expect(0);
    let to = target(&world);
    fs::create_dir_all(to.join("folder")).unwrap();
    fs::write(to.join("changed"), "by somebody").unwrap();
    fs::write(to.join("same"), "same").unwrap();
    symlink("changed", to.join("link")).unwrap();

    let told = restore(&world, &[]).expect(3);
    assert_eq!(told.number("files_not_restored"), 3, "{told}");
    assert_eq!(fs::read_to_string(to.join("changed")).unwrap(), "by somebody");

    let told = restore(&world, &["--overwrite", "if-different"]).expect(3).says("a folder is in its place");
    assert_eq!((told.number("files_restored"), told.number("files_unchanged")), (2, 1), "{told}");
    assert_eq!(fs::read_to_string(to.join("changed")).unwrap(), "changed");
    assert!(to.join("link").symlink_metadata().unwrap().is_file());
    fs::remove_dir(to.join("folder")).unwrap();
    let told = restore(&world, &["--overwrite", "always"]).expect(0);
    assert_eq!(told.number("files_restored"), 4);
}

#[test]
fn a_planted_symlink_does_not_lead_out_of_the_folder() {
    let world = World::local(Rclone::Current);
    fs::create_dir_all(world.source().join("a/b")).unwrap();
    fs::write(world.source().join("a/b/file"), "content").unwrap();
    fs::write(world.source().join("file"), "content").unwrap();
    world.backup(&[]).expect(0);
    let outside = world.root().join("outside");
    fs::create_dir_all(outside.join("b")).unwrap();
    fs::write(outside.join("victim"), "mine").unwrap();
    for overwrite in ["never", "if-different", "always"] {
        let _ = fs::remove_dir_all(target(&world));
        fs::create_dir(target(&world)).unwrap();
        symlink(&outside, target(&world).join("a")).unwrap();
        symlink(outside.join("victim"), target(&world).join("file")).unwrap();
        restore(&world, &["--overwrite", overwrite]).expect(3).says("symlinks are not followed");
        assert_eq!(files_below(&outside), [PathBuf::from("victim")], "{overwrite}");
        assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "mine", "{overwrite}");
    }
}

fn flip_a_byte(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[3] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_or_missing_file_is_named_and_does_not_get_its_name() {
    let world = backed_up(None, Rclone::Current);
    flip_a_byte(&world.mirror().join("odd kinds/first name"));
    fs::write(world.mirror().join("odd kinds/.gitignore"), "longer than it was").unwrap();
    fs::remove_file(world.mirror().join("odd kinds/second name")).unwrap();
    let told = restore(&world, &[]).expect(15).says("damaged on the remote").says("shows nothing there");
    assert_eq!((told.number("files_damaged"), told.number("files_not_restored")), (2, 3), "{told}");
    for name in ["first name", "second name", ".gitignore"] {
        assert!(!target(&world).join("odd kinds").join(name).exists(), "{name}");
    }
    assert_eq!(files_below(&target(&world)).len() + 3, files_below(&world.source()).len());
}

#[test]
fn a_file_that_rots_behind_a_server_is_found() {
    let world = backed_up(Some(Protocol::Webdav), Rclone::Current);
    flip_a_byte(&world.mirror().join("odd kinds/first name"));
    let told = restore(&world, &[]).expect(15).says("damaged on the remote");
    assert_eq!(told.number("files_not_restored"), 1, "{told}");
    assert!(!target(&world).join("odd kinds/first name").exists());
}

#[test]
fn a_folder_in_the_place_of_a_file_costs_only_this_file() {
    for rclone in Rclone::BOTH {
        let world = backed_up(Some(Protocol::Webdav), rclone);
        let missing = world.mirror().join("odd kinds/first name");
        fs::remove_file(&missing).unwrap();
        fs::create_dir(&missing).unwrap();
        let told = restore(&world, &[]).expect(3);
        assert_eq!(told.number("files_not_restored"), 1, "{told}");
        assert_eq!(files_below(&target(&world)).len() + 1, files_below(&world.source()).len());
    }
}

#[test]
fn a_remote_that_shows_nothing_is_unwell() {
    let world = backed_up(None, Rclone::Current);
    fs::rename(world.mirror(), world.root().join("elsewhere")).unwrap();
    fs::create_dir(world.mirror()).unwrap();
    restore(&world, &[]).expect(5).says("shows none of the");
}

#[test]
fn a_remote_that_fails_half_way_is_gone_on_with_later() {
    let world = backed_up(Some(Protocol::Webdav), Rclone::Current);
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(|seen| (seen.method == "GET" && seen.number % 2 == 0).then_some(Fault::Status(403)));
    let first = restore(&world, &[]);
    assert!(first.code != 0, "{first}");
    proxy.heal();
    let second = restore(&world, &[]).expect(0);
    assert!(second.number("files_unchanged") > 0 || first.code == 12, "{first}{second}");
    assert_restored(&world.source(), &target(&world));
}

#[test]
fn states_of_the_past_come_back_from_the_trash() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let world =
            protocol.map_or_else(|| World::local(Rclone::Current), |to| World::served(to, Rclone::Current));
        let mut pasts = Vec::new();
        for round in 1..=4 {
            fs::create_dir_all(world.source().join("a folder")).unwrap();
            for file in 0..6 {
                let place = world.source().join(format!("a folder/{file}"));
                if file % round == 0 {
                    fs::write(place, format!("{file} in round {round}")).unwrap();
                } else if round == 3 && place.exists() {
                    fs::remove_file(place).unwrap();
                }
            }
            if round == 4 {
                fs::remove_dir_all(world.source().join("gone")).unwrap();
            } else {
                fs::create_dir_all(world.source().join("gone/deep")).unwrap();
                fs::write(world.source().join("gone/deep/file"), format!("{round}")).unwrap();
            }
            world.backup(&["--accept", "max-delete,max-change"]).expect(0);
            pasts.push(picture(&world.source()));
        }
        let snapshots = world.program.run(&["--json", "snapshots"]).expect(0).messages("snapshot");
        assert_eq!(snapshots.len(), 4);
        for (past, snapshot) in pasts.iter().zip(&snapshots) {
            let _ = fs::remove_dir_all(target(&world));
            restore(&world, &["--at", snapshot["id"].as_str().unwrap()]).expect(0);
            assert_eq!(&picture(&target(&world)), past, "{snapshot}");
            let id = snapshot["id"].as_str().unwrap();
            let listed = world.program.run(&["--json", "ls", "-R", "--at", id]).expect(0).messages("node");
            assert_eq!(listed.len(), past.len());
        }
        restore(&world, &["--at", "999"]).expect(2).says("no snapshot");
        restore(&world, &["--at", "1999-01-01"]).expect(2).says("no snapshot");
    }
}

#[test]
fn a_version_that_was_not_kept_is_named() {
    let mut world = World::local(Rclone::Current);
    world.set("keep_versions", "false");
    fs::write(world.source().join("file"), "first").unwrap();
    fs::write(world.source().join("other"), "stays").unwrap();
    world.backup(&[]).expect(0);
    fs::write(world.source().join("file"), "second").unwrap();
    world.backup(&[]).expect(0);
    restore(&world, &["--at", "1"]).expect(3).says("not kept");
    assert_eq!(files_below(&target(&world)), [PathBuf::from("other")]);
}

#[test]
fn without_an_index_the_exit_code_says_so() {
    let world = World::local(Rclone::Current);
    restore(&world, &[]).expect(10);
    world.program.run(&["snapshots"]).expect(10);
    world.program.run(&["ls"]).expect(10);
}

#[test]
fn files_come_back_where_their_owner_cannot_be_set() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::local(Rclone::Current);
    for file in ["folder/one", "folder/two"] {
        world.write(file, file);
        chown(world.source().join(file), Some(1234), Some(1234)).unwrap();
    }
    chmod(&world.source().join("folder/two"), 0o4755);
    symlink("one", world.source().join("folder/link")).unwrap();
    lchown(world.source().join("folder/link"), Some(1234), Some(1234)).unwrap();
    world.backup(&[]).expect(0);

    let to = target(&world);
    let restore = world.program.command(&["--json", "restore", "--to", to.to_str().unwrap()]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-chown", "--inh-caps", "-chown", "--"]);
    command.arg(restore.get_program()).args(restore.get_args()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("the owner of 3 files, folders or symlinks could not be set"), "{told}");
    assert_eq!(fs::read_to_string(to.join("folder/one")).unwrap(), "folder/one");
    let two = to.join("folder/two").metadata().unwrap();
    assert_eq!((two.uid(), two.mode() & 0o7777), (0, 0o755), "no set-user-ID for another owner");
    assert_eq!(fs::read_link(to.join("folder/link")).unwrap(), Path::new("one"));
}

/// A staging folder as a killed restore leaves it in the source, and names that are none.
fn leave_staging(world: &World) {
    for file in [".treeferry-restore-Ab3dE9/files/c", "sub/.treeferry-restore-0aB1cD/files/d"] {
        world.write(file, "half");
    }
    for file in [".treeferry-restore-my-own/mine", "sub/.treeferry-restore-Ab3dE9"] {
        world.write(file, "mine");
    }
}

#[test]
fn what_a_killed_restore_left_in_the_source_is_not_backed_up_and_nothing_else_is_hidden() {
    let world = World::local(Rclone::Current);
    world.write("a", "a");
    world.backup(&[]).expect(0);
    leave_staging(&world);
    let plan = world.program.run(&["plan", "--excluded"]).expect(0);
    let told = plan.stdout.clone();
    for folder in [".treeferry-restore-Ab3dE9", "sub/.treeferry-restore-0aB1cD"] {
        assert!(
            told.contains(&format!("excluded {folder}  (by a staging folder of treeferry restore)")),
            "{told}"
        );
    }
    assert_eq!(told.matches("excluded ").count(), 2, "{told}");
    world.backup(&[]).expect(0);
    let found: Vec<_> = files_below(&world.mirror()).into_iter().collect();
    let wanted = [".treeferry-restore-my-own/mine", "a", "sub/.treeferry-restore-Ab3dE9"].map(PathBuf::from);
    assert_eq!(found, wanted);
}

#[test]
fn the_root_gets_its_mode_and_time_and_the_same_command_goes_on() {
    let mut world = World::local(Rclone::Current);
    world.write("file", "1");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::open(world.source()).unwrap().set_times(fs::FileTimes::new().set_modified(old)).unwrap();
    chmod(&world.source(), 0o555);
    world.become_ordinary();
    world.backup(&[]).expect(0);
    restore(&world, &[]).expect(0);
    let root = || target(&world).metadata().unwrap();
    assert_eq!((root().mtime(), root().mode() & 0o7777), (1_000_000, 0o555));
    assert_restored(&world.source(), &target(&world));
    restore(&world, &[]).expect(0);
    assert_eq!(root().mode() & 0o7777, 0o555);
    assert_restored(&world.source(), &target(&world));
}

#[test]
fn what_lies_on_another_file_system_comes_back_into_place() {
    let mut world = World::local(Rclone::Current);
    world.set("cross_mounts", "true");
    world.write("m/placeholder", "");
    world.write("plain", "plain");
    let source = world.source();
    let to = source.to_str().unwrap();
    let backup = in_shell(&world.program.command(&["backup"]));
    let restore = in_shell(&world.program.command(&["restore", "--to", to, "--overwrite", "if-different"]));
    let script = format!(
        "mount -t tmpfs none '{to}/m'; cd '{to}/m'; mkdir deep; echo old >f; echo old >deep/g; chmod 640 f; ln -s f link
         {backup} >&2; echo newer >f; rm deep/g link; {restore} >&2
         find . | sort; stat -c %a f; cat f deep/g; readlink link"
    );
    let Some(finished) = with_mounts(&script) else { return };
    let finished = finished.expect(0);
    let wanted = ".\n./deep\n./deep/g\n./f\n./link\n640\nold\nold\nf\n";
    assert_eq!(finished.stdout, wanted, "{}", finished.stderr);
}

#[test]
fn a_mount_that_was_not_entered_comes_back_as_a_folder_that_others_can_enter() {
    let world = World::local(Rclone::Current);
    world.write("m/placeholder", "");
    world.write("plain", "plain");
    let (source, to) = (world.source(), target(&world));
    let backup = in_shell(&world.program.command(&["backup"]));
    let restore = in_shell(&world.program.command(&["restore", "--to", to.to_str().unwrap()]));
    let script = format!(
        "mount -t tmpfs none '{}/m'; {backup} >&2; {restore} >&2; stat -c %a '{}/m'",
        source.display(),
        to.display()
    );
    let Some(finished) = with_mounts(&script) else { return };
    assert_eq!(finished.expect(0).stdout, "755\n");
}

/// The moves were made, and the server is away before anybody can see it: the index holds all of it still.
#[test]
fn what_an_interrupted_run_may_have_moved_to_its_trash_is_looked_for_there_first() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    for number in 0..6 {
        world.write(&format!("d/f{number}"), "the first version");
    }
    world.backup(&[]).expect(0);
    let before = world.root().join("before");
    restore(&world, &[]).expect(0);
    fs::rename(target(&world), &before).unwrap();
    for number in 0..3 {
        world.write(&format!("d/f{number}"), "the second version");
    }
    fs::remove_file(world.source().join("d/f5")).unwrap();
    let is_away = Arc::new(AtomicBool::new(false));
    world.proxy.as_ref().unwrap().fail(move |seen| {
        let is_look = seen.method == "PROPFIND" && seen.path.contains("/trash/") && seen.path.contains("/f");
        if is_look {
            is_away.store(true, Ordering::SeqCst);
        }
        is_away.load(Ordering::SeqCst).then_some(Fault::Status(503))
    });
    let report = back_up_without_waits(&world);
    assert!(matches!(report.outcome, JobOutcome::RemoteUnwell { .. }), "{report:?}");
    world.proxy.as_ref().unwrap().heal();
    assert!(!world.mirror().join("d/f0").exists(), "the server did move them");

    restore(&world, &["--at", "000001"]).expect(0);
    assert_restored(&before, &target(&world));
    fs::remove_dir_all(target(&world)).unwrap();
    assert_eq!(restore(&world, &[]).expect(0).number("files_restored"), 6);
    fs::remove_dir_all(target(&world)).unwrap();
    world.backup(&[]).expect(0);
    restore(&world, &[]).expect(0);
    assert_restored(&world.source(), &target(&world));
}
