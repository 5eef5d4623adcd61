//! What the Python script did, line by line, after moving over from it: its
//! settings are imported, its snapshots too, and then each thing still works.
//! (Notifications, the remote check and the clock have rings of their own, too.)

use crate::support::program::{Finished, Program};
use crate::support::servers::{Rclone, RcloneConfiguration};
use crate::support::trees::files_below;
use std::fs;
use std::path::{Path, PathBuf};

/// A machine on which the script ran until now.
struct Machine {
    scratch: tempfile::TempDir,
    program: Program,
}

impl Machine {
    /// `settings` are more constants of the script.
    fn after_the_script(settings: &str) -> Machine {
        let scratch = crate::support::scratch();
        let root = scratch.path().to_path_buf();
        let rclone = RcloneConfiguration::new(&root);
        for (folder, file, content) in [
            ("photos", "照片/图 1.jpg", "one"),
            ("photos", "照片/图 2.jpg", "two"),
            ("photos", "tmp/left out", "x"),
            ("docs", "a|b.txt", "a and b"),
            ("docs", "src/node_modules/deep/x.js", "x"),
            ("docs", "notes.bak", "x"),
        ] {
            let path = root.join("data").join(folder).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let script = format!(
            "SYNC_PAIRS = [\n    '{0}/data/photos|{0}/remote/photos',  # 照片\n    ('{0}/data/docs', '{0}/remote/docs'),\n]\n\
             REMOTE_NAME = 'local'\nEXCLUDES = ['tmp/', 'node_modules/**', '*.bak']\nLOG_DIR = '{0}/logs'\n\
             RCLONE_BIN = '{1}'\nRCLONE_OPTS = ['--config', '{2}', '--transfers', '2']\n{settings}\n",
            root.display(),
            Rclone::Current.program().display(),
            rclone.path.display()
        );
        fs::write(root.join("backup.py"), script).unwrap();
        let program = Program::new(&root.join("config.toml"));
        let machine = Machine { scratch, program };
        let output = root.join("config.toml");
        let script = root.join("backup.py");
        let written = [script.to_str().unwrap(), "-o", output.to_str().unwrap()];
        machine.run(&["import", "settings", written[0], written[1], written[2]]).expect(0);
        machine
    }

    fn path(&self, below: &str) -> PathBuf {
        self.scratch.path().join(below)
    }

    /// With a state folder of its own.
    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.program.command(arguments);
        command.env("XDG_STATE_HOME", self.path("state")).env("HOME", self.path("home"));
        Finished::from(command.output().unwrap())
    }

    fn backup(&self, more: &[&str]) -> Finished {
        let all: Vec<&str> = ["--json", "backup"].iter().chain(more).copied().collect();
        self.run(&all)
    }

    fn sum(finished: &Finished, key: &str) -> u64 {
        finished.messages("summary").iter().map(|summary| summary[key].as_u64().unwrap()).sum()
    }

    fn mirror(&self) -> Vec<String> {
        let mut names: Vec<String> =
            files_below(&self.path("remote")).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        names.retain(|name| !name.contains(".treeferry"));
        names.sort();
        names
    }

    fn trash(&self) -> Vec<String> {
        let mut names: Vec<String> = files_below(&self.path("remote"))
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .filter(|name| name.contains("/trash/"))
            .collect();
        names.sort();
        names
    }
}

const EVERYTHING: [&str; 3] = ["docs/a|b.txt", "photos/照片/图 1.jpg", "photos/照片/图 2.jpg"];

#[test]
fn pairs_ignore_rules_first_run_all_later_runs_only_new_and_changed() {
    let machine = Machine::after_the_script("");
    let first = machine.backup(&[]).expect(0);
    assert_eq!(Machine::sum(&first, "files_uploaded"), 3);
    assert_eq!(machine.mirror(), EVERYTHING);
    assert_eq!(Machine::sum(&machine.backup(&[]).expect(0), "files_uploaded"), 0);
    fs::write(machine.path("data/docs/new.txt"), "new").unwrap();
    fs::write(machine.path("data/photos/照片/图 1.jpg"), "changed").unwrap();
    let third = machine.backup(&[]).expect(0);
    assert_eq!((Machine::sum(&third, "files_new"), Machine::sum(&third, "files_changed")), (1, 1));
    assert_eq!(Machine::sum(&third, "files_uploaded"), 2);
    assert_eq!(fs::read(machine.path("remote/photos/照片/图 1.jpg")).unwrap(), b"changed");
}

/// rclone is no script here: what was found out about it is remembered, also which kind of remote it is.
#[test]
fn a_mirror_with_odd_names_that_was_taken_over_goes_on_run_after_run() {
    let machine = Machine::after_the_script("");
    let (source, mirror) = (machine.path("data/docs"), machine.path("remote/docs"));
    fs::create_dir_all(&mirror).unwrap();
    let mut lines = Vec::new();
    for name in ["a|b.txt", "a／b", "␊", "bell\u{7}"] {
        fs::write(source.join(name), name).unwrap();
        fs::copy(source.join(name), mirror.join(name)).unwrap();
        lines.extend(crate::import_snapshot::line(&source, Path::new(name)));
    }
    let snapshot = machine.path("docs.snapshot");
    fs::write(&snapshot, lines).unwrap();
    machine.run(&["import", "snapshot", snapshot.to_str().unwrap(), "--job", "docs"]).expect(0);
    for run in 1..=3_u64 {
        fs::write(source.join("changes ␊"), "x".repeat(run as usize)).unwrap();
        let finished = machine.backup(&["docs"]).expect(0);
        assert_eq!(Machine::sum(&finished, "files_uploaded"), 1, "run {run}");
    }
    assert_eq!(fs::read(mirror.join("changes ␊")).unwrap(), b"xxx");
}

#[test]
fn deleted_files_are_deleted_remotely_or_moved_to_a_trash_or_left() {
    for (settings, is_left, trashed) in [
        ("PROTECT_MODE = False\nREMOTE_TRASH = ''", false, 0),
        ("PROTECT_MODE = False\nREMOTE_TRASH = 'old'", false, 1),
        ("PROTECT_MODE = True\nREMOTE_TRASH = 'old'", true, 0),
    ] {
        let machine = Machine::after_the_script(settings);
        machine.backup(&[]).expect(0);
        fs::remove_file(machine.path("data/photos/照片/图 2.jpg")).unwrap();
        machine.backup(&[]).expect(0);
        let is_there = machine.mirror().contains(&"photos/照片/图 2.jpg".to_owned());
        assert_eq!((is_there, machine.trash().len()), (is_left, trashed), "{settings}");
    }
}

#[test]
fn failed_files_are_named_and_retried_by_the_next_run() {
    let machine = Machine::after_the_script("");
    // Something of another type lies where a folder must be.
    fs::create_dir_all(machine.path("remote")).unwrap();
    fs::write(machine.path("remote/docs"), "in the way").unwrap();
    let failed = machine.backup(&[]);
    assert_ne!(failed.code, 0, "{failed}");
    assert_eq!(machine.mirror(), ["docs", EVERYTHING[1], EVERYTHING[2]], "one pair must not stop the other");
    fs::remove_file(machine.path("remote/docs")).unwrap();
    machine.backup(&[]).expect(0);
    assert_eq!(machine.mirror(), EVERYTHING);
}

#[test]
fn a_missing_source_directory_is_reported_and_skipped_never_read_as_all_deleted() {
    let machine = Machine::after_the_script("");
    machine.backup(&[]).expect(0);
    fs::rename(machine.path("data/photos"), machine.path("data/elsewhere")).unwrap();
    fs::write(machine.path("data/docs/new.txt"), "new").unwrap();
    machine.backup(&[]).expect(13).says("does not exist");
    let mut expected: Vec<String> = EVERYTHING.iter().map(ToString::to_string).collect();
    expected.insert(1, "docs/new.txt".into());
    assert_eq!(machine.mirror(), expected);
    // Not mounted: the folder is there, and empty.
    fs::create_dir(machine.path("data/photos")).unwrap();
    machine.backup(&[]).expect(13).says("source-empty");
    assert_eq!(machine.mirror(), expected);
}

#[test]
fn logs_by_day_in_utf8_to_file_and_terminal_and_purged_after_n_days() {
    let machine = Machine::after_the_script("LOG_RETENTION_DAYS = 15");
    let logs = machine.path("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("backup-2020-01-01.log"), "old").unwrap();
    fs::write(logs.join("of-somebody-else.log"), "theirs").unwrap();
    let told = machine.run(&["-v", "backup"]).expect(0);
    told.says("图 1.jpg");
    let names: Vec<String> =
        files_below(&logs).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    assert!(!names.contains(&"backup-2020-01-01.log".to_owned()), "{names:?}");
    assert!(names.contains(&"of-somebody-else.log".to_owned()), "{names:?}");
    let today = names.iter().find(|name| name.starts_with("backup-")).unwrap();
    let log = fs::read_to_string(logs.join(today)).unwrap();
    assert!(log.contains("图 1.jpg") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn a_lock_so_that_a_second_instance_leaves() {
    let machine = Machine::after_the_script("");
    machine.backup(&[]).expect(0);
    let lock = fs::File::open(machine.path("state/treeferry/photos/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    fs::write(machine.path("data/docs/new.txt"), "new").unwrap();
    // The other job has its turn all the same.
    machine.backup(&[]).expect(11);
    assert!(machine.mirror().contains(&"docs/new.txt".to_owned()));
    drop(lock);
    machine.backup(&[]).expect(0);
}

#[test]
fn free_rclone_options_reach_rclone_and_dangerous_ones_are_refused() {
    let machine = Machine::after_the_script("");
    let text = fs::read_to_string(machine.path("config.toml")).unwrap();
    assert!(text.contains("\"--transfers=2\""), "{text}");
    let machine = Machine::after_the_script("RCLONE_OPTS = RCLONE_OPTS + ['--dry-run']");
    let text = fs::read_to_string(machine.path("config.toml")).unwrap();
    assert!(!text.contains("flags = [") && text.contains("RCLONE_OPTS (line"), "{text}");
    let machine = Machine::after_the_script("RCLONE_OPTS = ['--dry-run', '--bwlimit=9M']");
    let text = fs::read_to_string(machine.path("config.toml")).unwrap();
    assert!(
        text.contains("--bwlimit=9M") && text.contains("`--dry-run`: it makes rclone log as if"),
        "{text}"
    );
}

#[test]
fn an_interrupted_run_of_the_script_goes_on_where_it_stopped() {
    let machine = Machine::after_the_script("");
    // The script came as far as one file, and its snapshot says so.
    let source = machine.path("data/photos");
    let done = Path::new("照片/图 1.jpg");
    fs::create_dir_all(machine.path("remote/photos/照片")).unwrap();
    fs::copy(source.join(done), machine.path("remote/photos").join(done)).unwrap();
    let snapshot = machine.path("photos.snapshot");
    let temporary = machine.path("photos.snapshot.tmp");
    fs::write(temporary, crate::import_snapshot::line(&source, done)).unwrap();
    machine.run(&["import", "snapshot", snapshot.to_str().unwrap(), "--job", "photos"]).expect(0);
    let finished = machine.backup(&["photos"]).expect(0);
    assert_eq!((Machine::sum(&finished, "files_new"), Machine::sum(&finished, "files_uploaded")), (1, 1));
    assert_eq!(machine.mirror(), EVERYTHING[1..]);
    assert!(machine.trash().is_empty());
}

#[test]
fn every_n_days_a_check_that_warns_or_repairs_counted_from_the_last_one_of_the_script() {
    let days_ago = |days: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        format!("{}.5\n", now - days * 86_400)
    };
    for (action, days, code, is_repaired) in
        [("repair", 6, 0, false), ("repair", 8, 0, true), ("warn", 8, 15, false)]
    {
        let machine =
            Machine::after_the_script(&format!("FULL_CHECK_DAYS = 7\nFULL_CHECK_ACTION = '{action}'"));
        let source = machine.path("data/docs");
        fs::create_dir_all(machine.path("remote/docs")).unwrap();
        for more in 0..4 {
            fs::write(source.join(format!("{more}.txt")), "more").unwrap();
        }
        let mut lines = Vec::new();
        for name in ["a|b.txt", "0.txt", "1.txt", "2.txt", "3.txt"] {
            lines.extend(crate::import_snapshot::line(&source, Path::new(name)));
            if name != "a|b.txt" {
                fs::copy(source.join(name), machine.path("remote/docs").join(name)).unwrap();
            }
        }
        let snapshot = machine.path("docs.snapshot");
        fs::write(&snapshot, lines).unwrap();
        fs::write(machine.path("last_full_check"), days_ago(days)).unwrap();
        let imported = machine.run(&["import", "snapshot", snapshot.to_str().unwrap(), "--job", "docs"]);
        imported.expect(0).says("last check");
        // The snapshot names a file that the remote has lost behind the script's back.
        machine.backup(&["docs"]).expect(code);
        let is_there = machine.mirror().contains(&"docs/a|b.txt".to_owned());
        assert_eq!(is_there, is_repaired, "{action} after {days} days");
    }
}

#[test]
fn a_summary_by_the_mail_program_of_the_script() {
    let folder = crate::support::scratch();
    let program = folder.path().join("msmtp");
    let got = folder.path().join("got");
    fs::write(&program, format!("#!/bin/sh\nexec cat >'{}'\n", got.display())).unwrap();
    crate::support::program::chmod(&program, 0o755);
    let machine = Machine::after_the_script(&format!(
        "ENABLE_NOTIFY = True\nNOTIFY_MODE = 'mail'\nMAIL_TO = 'root'\nMAIL_SUBJECT = 'report: {{result}}'\nMAIL_BIN = '{}'",
        program.display()
    ));
    machine.backup(&[]).expect(0);
    let mail = fs::read_to_string(&got).unwrap();
    for part in
        ["To: root@localhost\n", "Subject: report: all is well\n", "uploaded: 2 files", "time taken: "]
    {
        assert!(mail.contains(part), "{part} is not in\n{mail}");
    }
}
