//! What a scan keeps in memory, at its widest and at its deepest.

#![allow(clippy::unwrap_used)]

use super::SkipSettled;
use super::node::Node;
use super::tests::Source;
use crate::observe::{Counter, Recorder};
use std::fs;

#[test]
fn a_folder_of_many_folders_is_unfolded_piece_by_piece_and_none_is_missed() {
    const FOLDERS: u64 = 2_000;
    let mut source = Source::new(&[]);
    let folder = |index: u64| source.root().join(format!("folder {index:04}"));
    for index in 0..FOLDERS {
        fs::create_dir(folder(index)).unwrap();
        fs::write(folder(index).join("file"), "x").unwrap();
    }
    let edges = [0, 255, 256, 257, 511, 512, FOLDERS - 1].map(folder);
    for threads in [1, 4] {
        source.options.threads = threads;
        let report = source.commit();
        assert_eq!((report.totals.directories, report.totals.files), (FOLDERS, FOLDERS));
        edges.iter().for_each(|edge| fs::write(edge.join("new"), "y").unwrap());
        for skip in [SkipSettled::Off, SkipSettled::Auto] {
            source.options.skip_settled = skip;
            let recorder = Recorder::default();
            let report = source.scan(&recorder);
            assert_eq!((report.totals.directories, report.totals.files), (FOLDERS, FOLDERS + 7));
            assert_eq!(report.directories_opened, FOLDERS + 1);
            assert_eq!(recorder.counted(Counter::NodesWritten), 7 + 1);
        }
        edges.iter().for_each(|edge| fs::remove_file(edge.join("new")).unwrap());
    }
}

#[test]
fn a_deep_chain_of_directories_is_let_go_without_recursion() {
    let mut node = Node::new(None, Box::from(c""), None, false, None, true);
    for _ in 0..200_000 {
        node = Node::new(Some((node, 0)), Box::from(c"deep"), None, false, None, true);
    }
    drop(node);
}
