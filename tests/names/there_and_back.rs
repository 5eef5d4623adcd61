//! Random names out and back: each file of the source comes back by `restore`
//! with its bytes, or was named before anything was sent; and nothing else comes.

use super::random_names::random_names;
use crate::support::program::Finished;
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{files_below, path};
use crate::support::world::World;
use crate::support::{Dice, is_long};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files with random names in folders with random names, a hundred in each.
fn plant(root: &Path, count: usize, seed: u64) {
    let mut dice = Dice(seed);
    let folders = random_names(count.div_ceil(100), &mut dice);
    for (number, folder) in folders.iter().enumerate() {
        let folder = root.join(path(folder));
        fs::create_dir(&folder).unwrap();
        let files = random_names((count - number * 100).min(100), &mut dice);
        for (place, name) in files.iter().enumerate() {
            fs::write(folder.join(path(name)), format!("{number} {place}")).unwrap();
        }
    }
}

/// What a run named, and why.
pub(super) fn named(finished: &Finished) -> BTreeMap<PathBuf, String> {
    let name = |message: &serde_json::Value| match message["item_bytes"].as_str() {
        Some(digits) => path(&from_hexadecimal(digits)),
        None => PathBuf::from(message["item"].as_str().unwrap()),
    };
    let reason = |message: &serde_json::Value| message["error"]["message"].as_str().unwrap().to_owned();
    finished.messages("error").iter().map(|message| (name(message), reason(message))).collect()
}

fn from_hexadecimal(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// In the suite; the long form takes more. A folder takes 20,000 in either. Through a server each
/// thousand costs 2.6 (S3), 3.5 (SFTP), 3.6 (WebDAV) and 5.7 seconds (WsgiDAV) of processor time, measured with
/// this debug build: 20,000 each are more than five minutes, which a gate of fifteen does not have.
fn count(in_the_suite: usize, in_the_long_form: usize) -> usize {
    if is_long() {
        return in_the_long_form;
    }
    eprintln!("{in_the_suite} names; TREEFERRY_LONG=1 takes {in_the_long_form}");
    in_the_suite
}

fn there_and_back(world: &World, count: usize, seed: u64) {
    plant(&world.source(), count, seed);
    let finished = world.backup(&[]);
    let named = named(&finished);
    assert_eq!(finished.number("files_unprotected") as usize, named.len(), "a run names so many only");
    assert_eq!(finished.code, if named.is_empty() { 0 } else { 3 }, "{:?}", finished.messages("exit_error"));
    assert_eq!(
        finished.number("files_uploaded") as usize + named.len(),
        count,
        "each one confirmed or named"
    );
    // What a server said about a file is no name that was refused before it was sent.
    let refused_late: Vec<_> = named.iter().filter(|(_, reason)| reason.contains("Failed to copy")).collect();
    assert!(refused_late.is_empty(), "named, but only after it was sent: {refused_late:#?}");

    let to = world.root().join("restored");
    world.program.run(&["--json", "restore", "--to", to.to_str().unwrap()]).expect(0);
    let came = files_below(&to);
    let mut wrong = Vec::new();
    for file in files_below(&world.source()) {
        let is_back = came.binary_search(&file).is_ok();
        let same =
            is_back && fs::read(to.join(&file)).unwrap() == fs::read(world.source().join(&file)).unwrap();
        if same == named.contains_key(&file) {
            wrong.push(format!(
                "back: {is_back}, with its bytes: {same}, named {:?}: {file:?}",
                named.get(&file)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    assert_eq!(came.len() + named.len(), count, "something came back that nobody sent");

    // Names that cannot go do not keep the others awake.
    let (calls, requests) = (world.rclone_calls().len(), world.requests());
    let again = world.backup(&[]);
    assert_eq!(super::there_and_back::named(&again), named);
    assert_eq!(again.code, finished.code);
    assert_eq!(
        (world.rclone_calls().len(), world.requests()),
        (calls, requests),
        "an unchanged run sent something"
    );
}

#[test]
fn random_names_in_a_folder() {
    there_and_back(&World::local_in_memory(Rclone::Current), count(20_000, 1_000_000), 1);
}

#[test]
fn random_names_in_a_folder_with_the_oldest_rclone() {
    there_and_back(&World::local_in_memory(Rclone::Oldest), count(20_000, 20_000), 2);
}

#[test]
fn random_names_through_webdav() {
    there_and_back(&World::served(Protocol::Webdav, Rclone::Current), count(600, 20_000), 3);
}

#[test]
fn random_names_through_webdav_with_the_oldest_rclone() {
    // It cannot carry one in twenty of them, and a run names a thousand files.
    for part in 0..if is_long() { 2 } else { 1 } {
        there_and_back(&World::served(Protocol::Webdav, Rclone::Oldest), count(200, 10_000), 4 + part);
    }
}

#[test]
fn random_names_through_wsgidav() {
    there_and_back(&World::served(Protocol::Wsgidav, Rclone::Current), count(300, 20_000), 5);
}

#[test]
fn random_names_through_s3() {
    there_and_back(&World::served(Protocol::S3, Rclone::Current), count(600, 20_000), 6);
}

#[test]
fn random_names_through_s3_with_the_oldest_rclone() {
    there_and_back(&World::served(Protocol::S3, Rclone::Oldest), count(300, 20_000), 7);
}

#[test]
fn random_names_through_sftp() {
    there_and_back(&World::served(Protocol::Sftp, Rclone::Current), count(300, 20_000), 8);
}
