//! The bodies of the fuzzer over what it once found, and over seeds: they cannot
//! rot, and no mended crash comes back. `fuzz/README.md` tells how to find more.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

fn every_kept_input(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        body(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
    // Cut and flipped neighbours of nothing: the bodies themselves must hold.
    body(b"");
    body(&[0xff; 100]);
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
