//! The random life of a tree: edits of every kind, runs between them. After every
//! run the mirror is the source, every version that left it is in the trash, and a run without
//! edits starts no rclone.

use crate::support::openlist;
use crate::support::program::Finished;
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{beyond_the_oldest_rclone, files_below, odd_names, path};
use crate::support::world::World;
use crate::support::{Dice, is_long};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A tree that lives. Every content is written once, so that versions are told apart.
struct Life {
    root: PathBuf,
    dice: Dice,
    names: Vec<Vec<u8>>,
    serial: u64,
    links: bool,
}

impl Life {
    fn new(root: PathBuf, names: Vec<Vec<u8>>, seed: u64) -> Life {
        Life { root, dice: Dice(seed), names, serial: 0, links: true }
    }

    fn content(&mut self, length: usize) -> Vec<u8> {
        self.serial += 1;
        let mut content = format!("{:012}", self.serial).into_bytes();
        content.resize(length.max(12), b'.');
        content
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.root.clone()];
        let mut at = 0;
        while at < folders.len() {
            let inner = fs::read_dir(&folders[at]).unwrap().map(|entry| entry.unwrap());
            let mut inner: Vec<PathBuf> =
                inner.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()).collect();
            inner.sort();
            folders.extend(inner);
            at += 1;
        }
        folders
    }

    fn any_file(&mut self) -> Option<PathBuf> {
        let files = files_below(&self.root);
        (!files.is_empty()).then(|| self.root.join(self.dice.pick(&files)))
    }

    /// A place at which nothing is, not too deep.
    fn free_place(&mut self) -> PathBuf {
        let folders = self.folders();
        loop {
            let folder = self.dice.pick(&folders).clone();
            let deep = folder.strip_prefix(&self.root).unwrap().components().count();
            let place = folder.join(path(self.dice.pick::<Vec<u8>>(&self.names)));
            if deep < 4 && place.symlink_metadata().is_err() {
                return place;
            }
        }
    }

    fn write(&mut self, place: &Path) {
        let length = 12 + self.dice.below(300);
        let content = self.content(length);
        fs::write(place, content).unwrap();
    }

    fn edit(&mut self) {
        let kind = self.dice.below(14);
        let Some(file) = self.any_file().filter(|_| kind > 2) else {
            let place = self.free_place();
            return self.write(&place);
        };
        match kind {
            3 => self.write(&file),
            4 => {
                // As many bytes as before, and not even a new time.
                let before = fs::metadata(&file).unwrap();
                let content = self.content(before.len() as usize);
                fs::write(&file, content).unwrap();
                let times = fs::FileTimes::new().set_modified(before.modified().unwrap());
                fs::File::options().append(true).open(&file).unwrap().set_times(times).unwrap();
            }
            5 => fs::set_permissions(&file, fs::Permissions::from_mode(0o600 + self.dice.below(64) as u32))
                .unwrap(),
            6 => {
                let times = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
                fs::File::options().append(true).open(&file).unwrap().set_times(times).unwrap();
            }
            7 => fs::rename(&file, self.free_place()).unwrap(),
            8 => fs::remove_file(&file).unwrap(),
            9 => {
                fs::remove_file(&file).unwrap();
                fs::create_dir(&file).unwrap();
                let inside = file.join(path(self.dice.pick::<Vec<u8>>(&self.names)));
                self.write(&inside);
            }
            10 => self.edit_a_folder(),
            11 => {
                let place = self.free_place();
                fs::create_dir(&place).unwrap();
            }
            12 if self.links => symlink(file.file_name().unwrap(), self.free_place()).unwrap(),
            _ => {
                // Written beside and renamed over, as editors do.
                let place = self.free_place();
                self.write(&place);
                fs::rename(place, file).unwrap();
            }
        }
    }

    /// Renamed, deleted, or a file in its place.
    fn edit_a_folder(&mut self) {
        let folders = self.folders();
        let folder = self.dice.pick(&folders).clone();
        if folder == self.root {
            return;
        }
        match self.dice.below(3) {
            0 => {
                let place = self.free_place();
                if !place.starts_with(&folder) {
                    fs::rename(folder, place).unwrap();
                }
            }
            1 => fs::remove_dir_all(folder).unwrap(),
            _ => {
                fs::remove_dir_all(&folder).unwrap();
                self.write(&folder);
            }
        }
    }

    fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files_below(&self.root)
            .into_iter()
            .map(|file| {
                let content = fs::read(self.root.join(&file)).unwrap();
                (file, content)
            })
            .collect()
    }
}

fn live(mut world: World, names: Vec<Vec<u8>>, seed: u64, steps: usize, edits_most: usize) {
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    let mut life = Life::new(world.source(), names, seed);
    let first = life.root.join("first");
    life.write(&first);
    let mut held = BTreeMap::new();
    let mut in_the_trash: BTreeSet<Vec<u8>> = BTreeSet::new();
    for step in 0..steps {
        for _ in 0..=life.dice.below(edits_most) {
            life.edit();
        }
        if life.any_file().is_none() {
            let place = life.free_place();
            life.write(&place);
        }
        let context = format!("seed {seed}, step {step}");
        let plan = world.program.run(&["--json", "plan"]).expect(0);
        let forecast = plan.summary()["forecast"]["requests"].as_u64().unwrap_or(0);
        let requests = world.requests();
        let finished = world.backup(&[]);
        assert_eq!(finished.code, 0, "{context}: {finished}");
        let taken = (world.requests() - requests) as u64;
        eprintln!("{context}: {taken} requests, {forecast} were forecast");
        assert!(taken <= forecast, "{context}: {taken} requests, {forecast} were forecast");
        let now = life.snapshot();
        // A version that moved elsewhere in the source still left its place on the mirror.
        let left = held.iter().filter(|(file, content)| now.get(*file) != Some(*content));
        in_the_trash.extend(left.map(|(_, content): (&PathBuf, &Vec<u8>)| content.clone()));
        held = now;
        eprintln!("{context}: {} files", held.len());
        world.assert_mirror_equals_source();
        let trash: BTreeSet<Vec<u8>> = world.all_trash().into_iter().map(|(_, content)| content).collect();
        assert!(
            trash == in_the_trash,
            "{context}: the trash holds {} versions, {} left the mirror",
            trash.len(),
            in_the_trash.len()
        );

        let (calls, requests) = (world.rclone_calls().len(), world.requests());
        world.backup(&[]).expect(0);
        assert_eq!(
            (world.rclone_calls().len(), world.requests()),
            (calls, requests),
            "{context}: an unchanged run"
        );
    }
    let to = world.root().join("restored");
    world.program.run(&["restore", "--to", to.to_str().unwrap()]).expect(0);
    crate::support::mirror::assert_same(&world.source(), &to);
}

/// The same on a remote that now and then lies about what it did, as OpenList does: a run may fail
/// then, but nothing is lost, and two runs later all is well.
fn live_among_lies(mut world: World, seed: u64, steps: usize) {
    world.set("max_delete", "\"off\"");
    world.set("max_change", "\"off\"");
    openlist::behave(world.proxy.as_ref().unwrap());
    let names = (0..12).map(|number| format!("name {number}").into_bytes()).collect();
    let mut life = Life::new(world.source(), names, seed);
    life.write(&life.root.join("first"));
    // Every version that was ever confirmed, and what each finished run held.
    let mut confirmed: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut snapshots = Vec::new();
    for step in 0..steps {
        for _ in 0..=life.dice.below(12) {
            life.edit();
        }
        if life.any_file().is_none() {
            let place = life.free_place();
            life.write(&place);
        }
        let (every, proxy) = (11 + life.dice.below(40) as u64, world.proxy.as_ref().unwrap());
        proxy.forget();
        proxy.fail(move |seen| {
            (seen.number % every == 0).then(|| Fault::Status(openlist::as_told(&seen.method)))
        });
        let context = format!("seed {seed}, step {step}, a lie every {every} requests");
        let assert_none_lost = |after: &Finished| {
            let mirror = world.mirror();
            let live = files_below(&mirror).into_iter().map(|file| fs::read(mirror.join(file)).unwrap());
            let there: BTreeSet<Vec<u8>> =
                live.chain(world.all_trash().into_iter().map(|(_, content)| content)).collect();
            let lost: Vec<_> = confirmed.difference(&there).map(|one| String::from_utf8_lossy(one)).collect();
            assert!(lost.is_empty(), "{context}: lost {lost:?} after {after}");
        };
        let mut run = world.backup(&[]);
        assert_none_lost(&run);
        assert!([0, 3, 5].contains(&run.code), "{context}: {run}");
        world.proxy.as_ref().unwrap().heal();
        for _ in 0..2 {
            if run.code != 0 {
                run = world.backup(&[]);
                assert_none_lost(&run);
            }
        }
        assert_eq!(run.code, 0, "{context}: not converged: {run}");
        world.assert_mirror_equals_source();
        let now = life.snapshot();
        confirmed.extend(now.values().cloned());
        let id = world.program.run(&["--json", "snapshots"]).expect(0).messages("snapshot").pop().unwrap();
        snapshots.retain(|(known, _)| *known != id["id"]);
        snapshots.push((id["id"].clone(), now));
    }
    for (number, (id, held)) in snapshots.into_iter().enumerate() {
        let to = world.root().join(format!("restored-{number}"));
        world.program.run(&["restore", "--at", id.as_str().unwrap(), "--to", to.to_str().unwrap()]).expect(0);
        let back: BTreeMap<PathBuf, Vec<u8>> = files_below(&to)
            .into_iter()
            .map(|file| (file.clone(), fs::read(to.join(file)).unwrap()))
            .collect();
        assert_eq!(back, held, "seed {seed}: restored as of {id}");
    }
}

fn carried(rclone: Rclone) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = (0..20).map(|number| format!("plain {number}").into_bytes()).collect();
    let odd = odd_names().into_iter();
    names.extend(odd.filter(|name| rclone == Rclone::Current || !beyond_the_oldest_rclone(name)));
    names
}

/// Steps in the suite, and in the long form, where each life is lived for several seeds.
fn lives(world: impl Fn() -> World, rclone: Rclone, steps: usize, steps_long: usize) {
    if !is_long() {
        eprintln!("one life of {steps} steps; TREEFERRY_LONG=1 lives four of {steps_long}");
        return live(world(), carried(rclone), 1, steps, 25);
    }
    for seed in 1..=4 {
        live(world(), carried(rclone), seed, steps_long, 10 * seed as usize);
    }
}

#[test]
fn a_random_life_on_a_folder() {
    lives(|| World::local(Rclone::Current), Rclone::Current, 5, 60);
}

#[test]
fn a_random_life_on_a_folder_with_the_oldest_rclone() {
    lives(|| World::local(Rclone::Oldest), Rclone::Oldest, 3, 60);
}

#[test]
fn a_random_life_on_webdav() {
    lives(|| World::served(Protocol::Webdav, Rclone::Current), Rclone::Current, 3, 40);
}

#[test]
fn a_random_life_on_a_server_that_lies_like_openlist() {
    let (seeds, steps) = if is_long() { (6, 20) } else { (1, 3) };
    eprintln!("{seeds} lives of {steps} steps; TREEFERRY_LONG=1 lives six of 20");
    for seed in 1..=seeds {
        live_among_lies(World::served(Protocol::Webdav, Rclone::Current), seed, steps);
    }
}

#[test]
fn a_random_life_on_webdav_with_the_oldest_rclone() {
    lives(|| World::served(Protocol::Webdav, Rclone::Oldest), Rclone::Oldest, 2, 40);
}

/// Slow, so a short one: the limit is part of the forecast as a time, and must not change the requests.
#[test]
fn a_random_life_within_a_limited_rate() {
    let world = || {
        let mut world = World::served(Protocol::Webdav, Rclone::Current);
        world.configuration.rclone_flags.push("--tpslimit=200".into());
        world.write_configuration();
        world
    };
    lives(world, Rclone::Current, 2, 10);
}

#[test]
fn a_random_life_on_s3() {
    lives(|| World::served(Protocol::S3, Rclone::Current), Rclone::Current, 3, 40);
}
