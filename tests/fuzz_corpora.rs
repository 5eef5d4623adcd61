//! The bodies of the fuzzer over what it once found, and over seeds: they cannot
//! rot, and no mended crash comes back. `fuzz/README.md` tells how to find more.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use crate::support::{Dice, is_long};
use std::path::Path;

fn every_kept_input(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target);
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let inputs: Vec<Vec<u8>> = names.iter().map(|name| std::fs::read(name).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    body(b"");
    body(&[0xff; 100]);
    inputs.iter().for_each(|input| body(input));
    // Neighbours of the kept inputs: what the fuzzer would try first, where there is none.
    let mut dice = Dice(0x5eed);
    for round in 0..if is_long() { 20_000 } else { 100 } {
        let neighbour = neighbour(&mut dice, &inputs);
        if std::panic::catch_unwind(|| body(&neighbour)).is_err() {
            let kept = std::env::temp_dir().join(format!("treeferry-{target}-{round}"));
            std::fs::write(&kept, &neighbour).unwrap();
            panic!("{target} does not stand {}: mend it, and keep that file", kept.display());
        }
    }
}

/// One of `inputs`, with one to four damages.
fn neighbour(dice: &mut Dice, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = dice.pick(inputs).clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(16)).min(bytes.len());
        match dice.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff, b'/', b'"', b'\n']),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].to_vec();
                let place = dice.below(bytes.len() + 1);
                bytes.splice(place..place, again);
            }
            _ => {
                let other = dice.pick(inputs);
                let from = dice.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

#[test]
fn directories() {
    every_kept_input("node", bodies::node);
}

#[test]
fn dockets() {
    every_kept_input("docket", bodies::docket);
}

#[test]
fn journals() {
    every_kept_input("journal", bodies::journal);
}

#[test]
fn run_records() {
    every_kept_input("run_record", bodies::run_record);
}

#[test]
fn differences() {
    every_kept_input("diff", bodies::diff_of_trees);
}

#[test]
fn lines_of_a_log() {
    every_kept_input("log_line", bodies::log_line);
}

#[test]
fn answers_of_rclone() {
    every_kept_input("answer", bodies::answer);
}

#[test]
fn names_of_files() {
    every_kept_input("name", bodies::name);
}

#[test]
fn configurations() {
    every_kept_input("configuration", bodies::configuration);
}

#[test]
fn scripts_in_python() {
    every_kept_input("script", bodies::script);
}

#[test]
fn snapshots_of_the_script() {
    every_kept_input("snapshot", bodies::snapshot);
}

#[test]
fn side_files_of_a_job() {
    every_kept_input("side_files", bodies::side_files);
}

#[test]
fn words_of_people() {
    every_kept_input("word", bodies::word);
}
