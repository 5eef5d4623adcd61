//! Disks that are mounted below the source, and those that are not.

use crate::support::mounts::{in_shell, with_mounts};
use crate::support::program::Finished;
use crate::support::servers::Rclone;
use crate::support::world::{JOB, World};
use std::fs;
use std::path::Path;

/// A source of which `disk` is the mount point of another file system.
struct Mounted {
    world: World,
    disk: tempfile::TempDir,
}

impl Mounted {
    /// Backed up once, with the disk mounted. `None`: nothing can be mounted here.
    fn new() -> Option<Mounted> {
        let mut world = World::local(Rclone::Current);
        world.set("cross_mounts", "true");
        world.write("plain", "plain");
        fs::create_dir(world.source().join("disk")).unwrap();
        // A tmpfs everywhere, and not where the worlds are.
        let disk = tempfile::tempdir_in("/dev/shm").unwrap();
        for file in ["a", "b", "folder/c"] {
            fs::create_dir_all(disk.path().join(file).parent().unwrap()).unwrap();
            fs::write(disk.path().join(file), file).unwrap();
        }
        let mounted = Mounted { world, disk };
        mounted.backup(&[])?.expect(0);
        assert_eq!(mounted.held(), ["a", "b", "folder/c"]);
        Some(mounted)
    }

    /// `treeferry --json backup ARGUMENTS` with the disk mounted.
    fn backup(&self, arguments: &[&str]) -> Option<Finished> {
        self.backup_with(&format!("mount --bind '{}'", self.disk.path().display()), arguments)
    }

    fn backup_with(&self, mount: &str, arguments: &[&str]) -> Option<Finished> {
        let all = [&["--json", "backup"], arguments].concat();
        let backup = in_shell(&self.world.program.command(&all));
        with_mounts(&format!("{mount} '{}/disk'; exec {backup}", self.world.source().display()))
    }

    /// What the mirror holds of the disk.
    fn held(&self) -> Vec<String> {
        let files = crate::support::trees::files_below(&self.world.mirror().join("disk"));
        files.iter().map(|file| file.to_str().unwrap().to_owned()).collect()
    }

    fn remembers(&self) -> bool {
        self.world.configuration.state_dir.join(JOB).join("mounts").exists()
    }

    /// Runs without the disk: nothing of it leaves the mirror, and the report names `name`.
    #[track_caller]
    fn assert_kept_without_the_disk(&self, name: &str) {
        for command in ["plan", "backup"] {
            let finished = self.world.program.run(&["--json", command]).expect(3);
            let unprotected = finished.summary()["unprotected"].to_string();
            assert!(unprotected.contains(&format!("\"{name}\"")), "{command}: {finished}");
            let finished = finished.says("not mounted").says("--accept source-filesystem");
            assert_eq!(finished.number("files_deleted"), 0, "{command}: {finished}");
        }
        assert_eq!(self.held(), ["a", "b", "folder/c"]);
        assert!(self.world.all_trash().is_empty());
    }
}

fn write(folder: &Path, name: &str) {
    fs::write(folder.join(name), "content").unwrap();
}

fn vec_of<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// One file system is the default: no fault, and no secret either.
#[test]
fn a_disk_that_is_not_entered_is_named() {
    let world = World::local(Rclone::Current);
    world.write("plain", "plain");
    for folder in ["disk", "other/disk"] {
        fs::create_dir_all(world.source().join(folder)).unwrap();
    }
    let source = world.source().display().to_string();
    let run = |arguments: &[&str]| {
        let command = in_shell(&world.program.command(arguments));
        let mount =
            |name: &str| format!("mount -t tmpfs none '{source}/{name}'; echo x >'{source}/{name}/inner'; ");
        with_mounts(&format!("{}{}exec {command}", mount("disk"), mount("other/disk")))
    };
    let Some(planned) = run(&["plan", "--excluded"]) else { return };
    let line = "2 other file systems below the source: disk, other/disk (cross_mounts)";
    planned
        .expect(0)
        .says(&format!("not entered    {line}"))
        .says("excluded other/disk  (by cross_mounts = false");
    // The second one changes nothing.
    for _ in 0..2 {
        let summary = run(&["--json", "backup"]).unwrap().expect(0).summary();
        assert_eq!(summary["mounts_not_entered"], 2);
        assert_eq!(summary["not_entered"][1]["path"], "other/disk");
    }
    assert!(!world.mirror().join("disk").exists());
    world.program.run(&["status"]).expect(0).says(&format!("not entered: {line}"));
    // Without them nothing is said.
    let summary = world.backup(&[]).expect(0).summary();
    assert_eq!(summary["mounts_not_entered"], 0);
    let status = world.program.run(&["status"]).expect(0);
    assert!(!status.to_string().contains("not entered"), "{status}");
}

#[test]
fn a_disk_that_is_not_mounted_is_no_deletion() {
    let Some(mounted) = Mounted::new() else { return };
    let source = mounted.world.source();
    let place = source.join("disk");
    write(&source, "new");
    write(&place, "written below the mount point");
    mounted.assert_kept_without_the_disk("disk");
    assert!(mounted.world.mirror().join("new").exists(), "the rest is backed up as ever");
    mounted.assert_kept_without_the_disk("disk");

    fs::remove_dir_all(&place).unwrap();
    mounted.assert_kept_without_the_disk("disk");
    write(&source, "disk");
    mounted.assert_kept_without_the_disk("disk");

    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    fs::remove_file(mounted.disk.path().join("a")).unwrap();
    let finished = mounted.backup(&[]).unwrap().expect(0);
    assert_eq!((finished.number("files_uploaded"), finished.number("files_trashed")), (0, 1), "{finished}");
    assert_eq!(mounted.held(), ["b", "folder/c"]);
}

#[test]
fn a_disk_that_was_removed_for_good_is_given_up_by_a_person() {
    let Some(mounted) = Mounted::new() else { return };
    write(&mounted.world.source().join("disk"), "ordinary");
    mounted.assert_kept_without_the_disk("disk");
    mounted.world.backup(&["--accept", "source-filesystem"]).expect(0);
    assert_eq!((mounted.held(), mounted.world.all_trash().len()), (vec_of(["ordinary"]), 3));
    assert!(!mounted.remembers());
    mounted.world.backup(&[]).expect(0);
    mounted.world.assert_mirror_equals_source();
}

#[test]
fn another_disk_in_its_place_is_no_deletion_either() {
    let Some(mut mounted) = Mounted::new() else { return };
    let another = "mount -t tmpfs -o size=1M another";
    let finished = mounted.backup_with(another, &[]).unwrap().expect(3);
    finished.says("another file system").says("--accept source-filesystem");
    assert_eq!(mounted.held().len(), 3);
    mounted.backup(&[]).unwrap().expect(0);
    mounted.world.set("source_filesystem", "\"any\"");
    mounted.backup_with(another, &[]).unwrap().expect(0);
    assert_eq!((mounted.held().len(), mounted.world.all_trash().len()), (0, 3));
}

#[test]
fn a_disk_that_is_unmounted_during_a_run_is_named_and_nothing_of_it_is_deleted() {
    let Some(mut mounted) = Mounted::new() else { return };
    fs::remove_file(mounted.disk.path().join("a")).unwrap();
    write(mounted.disk.path(), "new");
    write(&mounted.world.source(), "new");
    let place = mounted.world.source().join("disk");
    mounted.world.before_rclone(&format!("umount -l '{}' 2>/dev/null", place.display()));
    let finished = mounted.backup(&[]).unwrap().expect(3).says("unmounted here while the backup ran");
    assert!(finished.summary()["unprotected"].to_string().contains("\"disk\""), "{finished}");
    assert_eq!((mounted.held(), mounted.world.all_trash().len()), (vec_of(["a", "b", "folder/c"]), 0));
    assert!(mounted.world.mirror().join("new").exists());
    mounted.world.before_rclone("");
    mounted.backup(&[]).unwrap().expect(0);
    assert_eq!((mounted.held(), mounted.world.all_trash().len()), (vec_of(["b", "folder/c", "new"]), 1));
}

#[test]
fn mounts_that_are_not_entered_any_more_are_kept_mounted_or_not() {
    let Some(mut mounted) = Mounted::new() else { return };
    mounted.world.set("cross_mounts", "false");
    mounted.assert_kept_without_the_disk("disk");
    let finished = mounted.backup(&[]).unwrap().expect(0);
    assert_eq!(finished.number("files_out_of_scope"), 3, "{finished}");
    assert!(!mounted.remembers(), "the base holds nothing of it any more");
    mounted.world.backup(&[]).expect(0);
    assert_eq!((mounted.held().len(), mounted.world.all_trash().len()), (3, 0));
}

#[test]
fn an_excluded_mount_point_is_not_missed() {
    let Some(mut mounted) = Mounted::new() else { return };
    fs::remove_dir(mounted.world.source().join("disk")).unwrap();
    mounted.world.set("exclude", "[\"/disk\"]");
    mounted.world.backup(&[]).expect(0);
    assert_eq!((mounted.held().len(), mounted.world.all_trash().len()), (3, 0));
    mounted.world.backup(&["--accept", "kept"]).expect(0);
    assert_eq!((mounted.held().len(), mounted.world.all_trash().len()), (0, 3));
}

#[test]
fn a_disk_that_an_older_version_has_backed_up_is_remembered_by_a_run_without_changes() {
    let Some(mounted) = Mounted::new() else { return };
    fs::remove_file(mounted.world.configuration.state_dir.join(JOB).join("mounts")).unwrap();
    let before = mounted.world.index_bytes();
    mounted.backup(&["--dry-run"]).unwrap().expect(0);
    assert!(mounted.world.index_bytes() == before, "a plan writes nothing");
    mounted.backup(&[]).unwrap().expect(0);
    assert!(mounted.remembers());
    mounted.assert_kept_without_the_disk("disk");
}
