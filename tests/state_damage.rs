//! Every file of the state directory flipped, cut, swapped, doubled or replaced
//! by another one: never a panic, never "empty", never a mass deletion or a mass
//! upload past a guard; and what a refusal says leads out.

use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{files_below, rot_into};
use crate::support::world::{JOB, World};
use crate::support::{Dice, is_long};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use treeferry::commit::{SideFile, StateDir};
use treeferry::disk::RealDisk;
use treeferry::index::{Docket, MapMode, NodeFile, Root, Tree, find};
use treeferry::model::TreePath;
use treeferry::observe::Silent;

const FOLDERS: usize = 12;
const FILES: usize = 12;
/// Above this share the guard `max-change` must have stopped the run.
const MOST_SENT_AGAIN: usize = FOLDERS * FILES / 2;

/// A job with everything in its state: history, kept files, a quarantine, and,
/// after a run that was killed behind its upload, a journal and doubts.
struct Damaged {
    world: World,
    /// Copies of state and remote, by name.
    seeds: Vec<&'static str>,
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

impl Damaged {
    fn new() -> Damaged {
        let mut world = World::local(Rclone::Current);
        for folder in 0..FOLDERS {
            fs::create_dir(world.source().join(format!("d{folder:02}"))).unwrap();
            for file in 0..FILES {
                let path = world.source().join(format!("d{folder:02}/f{file:02}"));
                fs::write(path, format!("content {folder} {file}")).unwrap();
            }
        }
        fs::write(world.source().join("left out later"), "kept").unwrap();
        // Of yesterday: only content that had settled can be called rotten.
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        for path in files_below(&world.source()) {
            set_modified(&world.source().join(path), yesterday);
        }
        world.backup(&[]).expect(0);
        fs::write(world.source().join("d00/f00"), "the second version").unwrap();
        fs::remove_file(world.source().join("d01/f01")).unwrap();
        world.set("exclude", "[\"/left out later\"]");
        world.backup(&[]).expect(0);
        rot(&world.source().join("d02/f02"));
        world.program.run(&["--json", "verify", "--source"]).expect(15);
        let mut damaged = Damaged { world, seeds: vec!["settled"] };
        damaged.keep("settled");

        // A run that dies right behind a transfer: intents, perhaps outcomes.
        fs::write(damaged.world.source().join("d03/f03"), "another version").unwrap();
        fs::write(damaged.world.source().join("d04/new"), "new").unwrap();
        damaged.kill_behind_transfers();
        assert_ne!(damaged.world.backup(&[]).code, 0);
        assert!(damaged.job().join("journal").exists(), "the run was to die");
        damaged.world.watch_rclone();
        damaged.keep("killed");
        damaged.seeds.push("killed");
        damaged
    }

    fn kill_behind_transfers(&mut self) {
        self.world.before_rclone(
            "\"$real\" \"$@\"; ended=$?\n\
             case \"$*\" in *--files-from-raw*) kill -9 $PPID;; esac\n\
             exit $ended",
        );
    }

    fn job(&self) -> PathBuf {
        self.world.configuration.state_dir.join(JOB)
    }

    fn keep(&self, name: &str) {
        copy(&self.world.configuration.state_dir, &self.world.root().join(format!("{name}-state")));
        copy(&self.world.root().join("remote"), &self.world.root().join(format!("{name}-remote")));
    }

    fn bring_back(&self, name: &str) {
        copy(&self.world.root().join(format!("{name}-state")), &self.world.configuration.state_dir);
        copy(&self.world.root().join(format!("{name}-remote")), &self.world.root().join("remote"));
        let _ = fs::remove_dir_all(self.world.root().join("restored"));
    }

    /// The files of the job's state, by name; the node file without its random id.
    fn state_files(&self) -> BTreeMap<String, PathBuf> {
        let named = |path: PathBuf| {
            let name = path.to_string_lossy().split(".").next().unwrap_or_default().to_owned();
            (name, self.job().join(path))
        };
        files_below(&self.job()).into_iter().map(named).collect()
    }

    /// Runs everything that reads the state, and holds it to its promises.
    fn try_everything(&self, what: &str) {
        let held_before = self.held();
        let restored = self.world.root().join("restored");
        let restored = restored.to_str().unwrap();
        for command in [
            &["plan"][..],
            &["status"],
            &["snapshots"],
            &["ls", "--recursive"],
            &["restore", "--to", restored],
        ] {
            check(&self.world.program.run(command), &format!("{what}: {command:?}"));
        }
        assert!(self.held() == held_before, "{what}: those that only look changed the mirror");
        let mut last = self.world.backup(&[]);
        for round in 0..2 {
            let where_from = format!("{what}: backup {round}");
            check(&last, &where_from);
            // A file of the source that was there is there: nothing was taken for deleted.
            let held = self.held();
            for (path, content) in &held_before {
                let is_same = fs::read(self.world.source().join(path)).is_ok_and(|now| now == *content);
                assert!(
                    !is_same || held.get(path) == Some(content),
                    "{where_from}: {path:?} is lost\n{last}"
                );
            }
            let uploaded = last
                .messages("summary")
                .first()
                .map_or(0, |summary| summary["files_uploaded"].as_u64().unwrap_or_default() as usize);
            assert!(uploaded <= MOST_SENT_AGAIN, "{where_from}: {uploaded} files sent, no guard\n{last}");
            if round == 0 {
                last = self.world.backup(&[]);
            }
        }
    }

    fn held(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mirror = self.world.mirror();
        let read = |path: PathBuf| {
            let bytes = fs::read(mirror.join(&path)).unwrap();
            (path, bytes)
        };
        files_below(&mirror).into_iter().map(read).collect()
    }
}

/// Another content under the same size and time.
fn rot(path: &Path) {
    rot_into(path, fs::read(path).unwrap().to_ascii_uppercase());
}

fn set_modified(path: &Path, modified: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// It ended by itself, and when it did not do what it was asked for, it said so.
#[track_caller]
fn check(finished: &Finished, what: &str) {
    assert!(!finished.stderr.contains("panicked"), "{what}\n{finished}");
    assert!(finished.code < 100, "{what}\n{finished}");
    if finished.code == 1 {
        let says_what_to_do =
            ["run `treeferry", "remove it", "move it away", "the next backup", "`verify --"];
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(says_what_to_do.iter().any(|advice| said.contains(advice)), "{what}: no advice\n{finished}");
    }
}

/// One way to damage some bytes; the name says which, for the report.
fn damage(dice: &mut Dice, bytes: &[u8], others: &[Vec<u8>]) -> (String, Vec<u8>) {
    let mut damaged = bytes.to_vec();
    let length = 1 + dice.below(64);
    if bytes.is_empty() {
        return ("garbage appended".into(), vec![b'x'; length]);
    }
    let at = dice.below(bytes.len());
    let end = bytes.len().min(at + length);
    let name = match dice.below(9) {
        0..=2 => {
            damaged[at] ^= 1 << dice.below(8);
            format!("flipped at {at}")
        }
        3 => {
            damaged.truncate(at);
            format!("cut at {at}")
        }
        4 => {
            damaged[at..end].fill(0);
            format!("zeros at {at}..{end}")
        }
        5 => {
            let other = dice.below(bytes.len() - (end - at) + 1);
            let (one, two) = (bytes[at..end].to_vec(), bytes[other..other + end - at].to_vec());
            damaged[at..end].copy_from_slice(&two);
            damaged[other..other + end - at].copy_from_slice(&one);
            format!("{at}..{end} swapped with {other}")
        }
        6 => {
            damaged.splice(at..at, bytes[at..end].iter().copied());
            format!("{at}..{end} doubled")
        }
        7 => {
            damaged = dice.pick(others).clone();
            "replaced by another file".to_owned()
        }
        _ => {
            damaged.clear();
            "emptied".to_owned()
        }
    };
    (name, damaged)
}

#[test]
fn no_damage_to_any_state_file_loses_what_the_mirror_holds_or_sends_everything_again() {
    let damaged = Damaged::new();
    let mut dice = Dice(0x5eed);
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    // In the long form every file some forty times, otherwise each once.
    for _ in 0..if is_long() { 40 } else { 1 } {
        for seed in &damaged.seeds {
            damaged.bring_back(seed);
            for (name, path) in damaged.state_files() {
                // The small form leaves out what the killed run did not change.
                let is_new = *seed == "settled" || name == "journal" || name == "rclone";
                if name == "lock" || !(is_long() || is_new) {
                    continue;
                }
                damaged.bring_back(seed);
                let files = damaged.state_files();
                let others: Vec<_> = files
                    .values()
                    .filter(|other| **other != path)
                    .map(|other| fs::read(other).unwrap())
                    .collect();
                let (how, bytes) = damage(&mut dice, &fs::read(&path).unwrap(), &others);
                fs::write(&path, bytes).unwrap();
                damaged.try_everything(&format!("{seed}: {name} {how}"));
                *tried.entry(name).or_default() += 1;
            }
        }
    }
    for name in ["docket", "nodes", "journal", "quarantine", "last-run", "rclone"] {
        assert!(tried.contains_key(name), "{name} was never there: {tried:?}");
    }
}

/// The way out that the message names is one.
#[test]
fn a_job_whose_index_is_damaged_goes_on_by_adopting_its_own_mirror() {
    let damaged = Damaged::new();
    for file in ["docket", "nodes"] {
        damaged.bring_back("settled");
        let path = &damaged.state_files()[file];
        fs::write(path, &fs::read(path).unwrap()[..50]).unwrap();
        let job = damaged.job();
        damaged.world.backup(&[]).expect(1).says("treeferry adopt photos --accept foreign-writer");
        damaged.world.program.run(&["status"]);
        fs::rename(&job, job.with_extension("away")).unwrap();
        damaged.world.program.run(&["adopt", JOB, "--accept", "foreign-writer"]).expect(0);
        let before = damaged.held();
        let next = damaged.world.backup(&[]);
        assert_eq!(next.number("files_deleted"), 0, "{next}");
        // One is new, one has another size, one is rotten: that is seen by its hash.
        assert!(next.number("files_uploaded") <= 3, "only what was rotten or changed: {next}");
        for (path, content) in before {
            assert!(damaged.held().contains_key(&path), "{path:?}: {content:?}");
        }
    }
}

/// The first run after the damage gets only a part of the directory done.
#[test]
fn what_a_damaged_directory_held_goes_to_the_trash_though_the_first_run_ends_early() {
    let mut world = World::local(Rclone::Current);
    world.set("max_change", "\"off\"");
    let content = |number: u32, version: &str| format!("{version} {number} {}", "x".repeat(1000));
    let names: Vec<String> = (1..=6).map(|number| format!("d/f{number}")).collect();
    for (number, name) in (1..).zip(&names) {
        world.write(name, &content(number, "old"));
    }
    world.backup(&[]).expect(0);
    damage_node_of(&world, "d");
    world.write("d/f6", &content(6, "new"));
    world.backup(&["--max-transfer", "2500"]).expect(4).says("goes to the trash");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    for (number, name) in (1..).zip(&names) {
        assert_eq!(world.trashed(name), [content(number, "old")], "{name}");
    }
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "a third run still had something to do");
}

/// The lanes ask the base for a folder whose own place in the index is damaged.
#[test]
fn a_damaged_directory_of_the_base_met_while_folders_are_made_costs_no_run() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    world.set("max_change", "\"off\"");
    for number in 1..=3 {
        world.write(&format!("d/e/f{number}"), &format!("old {number}"));
    }
    world.write("beside", "it");
    world.backup(&[]).expect(0);
    damage_node_of(&world, "d");
    world.write("d/e/f1", "the new version");
    world.write("d/e/new/g", "a new folder below it");
    world.write("d/e/new/h", "two files");
    assert_converges(&world);
    assert_eq!(world.trashed("d/e/f1"), ["old 1"]);
}

/// A WebDAV server deletes the folder over which a file is put.
#[test]
fn a_file_in_the_place_of_a_folder_that_only_a_damaged_directory_knew_costs_no_version() {
    for world in [World::served(Protocol::Webdav, Rclone::Current), World::local(Rclone::Current)] {
        let mut world = world;
        world.set("max_change", "\"off\"");
        world.write("d/folder/one", "first");
        world.write("d/folder/below/two", "second");
        world.write("d/file", "third");
        world.write("beside", "it");
        world.backup(&[]).expect(0);
        damage_node_of(&world, "d");
        fs::remove_dir_all(world.source().join("d/folder")).unwrap();
        fs::remove_file(world.source().join("d/file")).unwrap();
        world.write("d/folder", "a file now");
        world.write("d/file/below", "a folder now");
        assert_converges(&world);
        assert_eq!(world.trashed("d/folder/one"), ["first"]);
        assert_eq!(world.trashed("d/folder/below/two"), ["second"]);
        assert_eq!(world.trashed("d/file"), ["third"]);
    }
}

/// What is kept in a damaged directory is not forgotten, and stops nothing.
#[test]
fn a_damaged_directory_of_what_is_kept_stops_no_run_and_loses_nothing_kept() {
    let mut world = World::served(Protocol::Webdav, Rclone::Current);
    world.set("max_change", "\"off\"");
    world.set("on_delete", "\"keep\"");
    for name in [
        "d/changes",
        "d/kept",
        "d/comes back",
        "d/comes later",
        "d/leaves",
        "d/below/kept",
        "d/folder/kept",
        "beside",
    ] {
        world.write(name, &format!("old {name}"));
    }
    world.backup(&[]).expect(0);
    for name in ["d/kept", "d/comes back", "d/comes later", "d/below/kept", "d/folder/kept"] {
        fs::remove_file(world.source().join(name)).unwrap();
    }
    fs::remove_dir(world.source().join("d/below")).unwrap();
    fs::remove_dir(world.source().join("d/folder")).unwrap();
    world.backup(&[]).expect(0);
    damage_kept_node_of(&world, "d");
    fs::remove_file(world.source().join("d/leaves")).unwrap();
    world.write("d/changes", "the new version");
    world.write("d/comes back", "as another one");
    world.write("d/new", "one");
    world.write("d/kept/new", "where a file is kept");
    world.write("d/folder", "where a folder is kept");
    let first = world.backup(&[]).expect(3).says("d/folder");
    assert_eq!(first.number("files_unprotected"), 1, "{first}");
    world.write("d/comes later", "as another one, too");
    world.backup(&[]).expect(3);
    fs::remove_file(world.source().join("d/folder")).unwrap();
    world.backup(&[]).expect(0);
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "a run without a change still had something to do");
    let held = |path: &str| fs::read_to_string(world.mirror().join(path)).unwrap();
    assert_eq!(held("d/changes"), "the new version");
    assert_eq!(held("d/comes back"), "as another one");
    assert_eq!(held("d/comes later"), "as another one, too");
    assert_eq!(held("d/leaves"), "old d/leaves");
    assert_eq!(held("d/new"), "one");
    assert_eq!(held("d/kept/new"), "where a file is kept");
    assert_eq!(held("d/below/kept"), "old d/below/kept");
    assert_eq!(held("d/folder/kept"), "old d/folder/kept");
    assert_eq!(world.trashed("d/changes"), ["old d/changes"]);
    assert_eq!(world.trashed("d/comes back"), ["old d/comes back"]);
    assert_eq!(world.trashed("d/comes later"), ["old d/comes later"]);
    assert_eq!(world.trashed("d/kept"), ["old d/kept"]);
}

/// Whether it is junk or a version can't be told: so it is not deleted.
#[test]
fn a_doubt_below_a_damaged_directory_goes_to_the_trash() {
    let mut world = World::local(Rclone::Current);
    world.set("max_change", "\"off\"");
    world.write("d/f", "held");
    world.write("beside", "it");
    world.backup(&[]).expect(0);
    damage_node_of(&world, "d");
    fs::write(world.mirror().join("d/junk"), "half of something").unwrap();
    let state = StateDir::open(&world.configuration.state_dir, JOB).unwrap();
    state.write_side_file(&RealDisk::new(&Silent), SideFile::Doubts, b"d/gone\0d/junk\0").unwrap();
    assert_converges(&world);
    assert_eq!(world.trashed("d/junk"), ["half of something"]);
}

/// The first run may leave something, the second not, and the third asks nothing.
#[track_caller]
fn assert_converges(world: &World) {
    world.backup(&[]).expect(0);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "a third run still had something to do");
}

/// Flips a bit of the record of a directory.
fn damage_node_of(world: &World, path: &str) {
    damage_node(world, |docket| docket.base, path);
}

fn damage_kept_node_of(world: &World, path: &str) {
    damage_node(world, |docket| docket.kept, path);
}

fn damage_node(world: &World, root: fn(&Docket) -> Option<Root>, path: &str) {
    let job = world.configuration.state_dir.join(JOB);
    let docket = Docket::decode(&fs::read(job.join("docket")).unwrap()).unwrap();
    let is_nodes = |path: &PathBuf| path.to_string_lossy().starts_with("nodes.");
    let nodes = job.join(files_below(&job).into_iter().find(is_nodes).unwrap());
    let file = NodeFile::open(&nodes, &docket, MapMode::Read).unwrap();
    let tree = Tree::new(&file, root(&docket), &Silent);
    let entry = find(&tree, &TreePath::from_bytes(path).unwrap()).unwrap().unwrap();
    let mut bytes = fs::read(&nodes).unwrap();
    bytes[entry.child.unwrap().offset.0 as usize] ^= 1;
    fs::write(nodes, bytes).unwrap();
}
