#![allow(clippy::unwrap_used)]

use super::*;
use std::path::Path;

fn planted() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let folder = place.path().join(format!("{}", number % 3));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("file {number}")), vec![1; number]).unwrap();
    }
    place
}

#[test]
fn every_kind_of_walk_sees_the_whole_tree() {
    let place = planted();
    let scratch = tempfile::tempdir().unwrap();
    let temporary_directory = scratch.path().to_path_buf();
    let options = BenchScanOptions { threads: 2, rounds: 2, build: true, temporary_directory };
    let report = bench_scan(place.path(), &options).unwrap();
    assert_eq!((report.files, report.directories, report.rounds), (20, 4, 2));
    assert_eq!(report.rows.len(), 4);
    assert!(report.rows.iter().all(|row| row.files == 20 && row.wall_seconds > 0.0));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert!(bench_scan(Path::new("/nowhere"), &options).unwrap_err().to_string().contains("/nowhere"));
}

#[test]
fn files_are_read_whole_from_a_tree_and_alone() {
    let place = planted();
    let scratch = tempfile::tempdir().unwrap();
    let report = bench_hash(place.path(), 1, 1, scratch.path()).unwrap();
    assert_eq!((report.files, report.bytes), (20, (0..20).sum()));
    let report = bench_hash(&place.path().join("1/file 7"), 1, 1, scratch.path()).unwrap();
    assert_eq!((report.files, report.bytes), (1, 7));
}

#[test]
fn a_made_up_index_has_what_was_asked_for() {
    let scratch = tempfile::tempdir().unwrap();
    for files_a_directory in [15, 2000] {
        let options = BenchIndexOptions {
            entries: 12_000,
            files_a_directory,
            temporary_directory: scratch.path().to_path_buf(),
        };
        let report = bench_index(&options).unwrap();
        assert_eq!(report.files, 12_000);
        let files: Vec<u64> = report.rows.iter().map(|row| row.files).collect();
        assert_eq!(files[..3], [12_000, 12, 0]);
        // The directories of changed files differ, too.
        assert!((10_000..=10_000 + report.directories).contains(&files[3]), "{files:?}");
        let figure = |name| report.figures.iter().find(|(known, _)| *known == name).unwrap().1;
        assert!((40.0..80.0).contains(&figure("bytes_per_entry")), "{:?}", report.figures);
        assert!(figure("nodes_read_when_equal") <= 3.0);
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
