//! Run records: the chain, and the tables of what was moved away.

use super::*;
use treeferry::index::{
    MovedAway, RecordPointer, RunCounts, RunRecord, append_run_record, read_run_record, run_records,
};
use treeferry::model::RunId;

pub(super) fn record(sequence: u64, root: Option<Root>, previous: Option<RecordPointer>) -> RunRecord {
    RunRecord {
        run: RunId { sequence, started_seconds: 1_795_371_300 },
        finished_seconds: -1,
        root_before: None,
        root_after: root,
        kept_after: None,
        previous,
        counts: RunCounts {
            files_new: 1,
            files_unprotected: u64::MAX,
            bytes_uploaded: 1 << 50,
            ..Default::default()
        },
        recovered: sequence.is_multiple_of(2),
    }
}

pub(super) fn moved(path: TreePath, number: u64) -> MovedAway {
    MovedAway {
        path,
        digest: (!number.is_multiple_of(3)).then(|| ContentDigest::of(&number.to_le_bytes())),
        size: number << 20,
        mtime: Timestamp { seconds: -(number as i64), nanoseconds: 999_999_999 },
    }
}

#[test]
fn the_chain_is_walked_backwards_with_every_table() {
    let shelf = Shelf::new();
    let writer = shelf.file.writer(&Silent);
    let root = shelf.rewrite(None, vec![Edit::Put { path: path("a"), entry: file(1, 1) }]);
    let rows: Vec<MovedAway> =
        (0..5000).map(|number| moved(path(format!("d{:02}/{number:05}\n", number / 100)), number)).collect();
    let mut newest = None;
    let mut expected = Vec::new();
    for sequence in 1..=4 {
        let record = record(sequence, root, newest);
        let count = [0, 1, 1024, 5000][sequence as usize - 1];
        newest = Some(append_run_record(&writer, &record, rows[..count].iter().cloned()).unwrap());
        expected.push((record, count));
    }
    let docket = Docket { newest_record: newest, ..shelf.docket(root) };
    let file = shelf.reopen(&docket, MapMode::Map);
    let read: Vec<_> = run_records(&file, docket.newest_record).collect::<Result<_, _>>().unwrap();
    assert_eq!(read.len(), 4);
    for (stored, (record, count)) in read.iter().zip(expected.iter().rev()) {
        assert_eq!(&stored.record, record);
        assert_eq!(stored.moved_away_count, *count as u64);
        let found: Vec<MovedAway> = stored.moved_away(&file).collect::<Result<_, _>>().unwrap();
        assert_eq!(found, rows[..*count]);
    }
}

#[test]
fn a_table_out_of_order_is_refused() {
    let shelf = Shelf::new();
    let writer = shelf.file.writer(&Silent);
    let rows = ["b", "a"].map(|name| moved(path(name), 1));
    assert!(append_run_record(&writer, &record(1, None, None), rows).is_err());
    let twice = ["b", "b"].map(|name| moved(path(name), 1));
    assert!(append_run_record(&writer, &record(1, None, None), twice).is_err());
}

#[test]
fn a_directory_is_no_run_record() {
    let shelf = Shelf::new();
    let root = shelf.rewrite(None, vec![Edit::Put { path: path("a"), entry: file(1, 1) }]).unwrap();
    let pointer = RecordPointer {
        offset: root.pointer.offset.0,
        length: root.pointer.length,
        digest: root.pointer.node,
    };
    assert!(read_run_record(&shelf.file, &pointer).is_err());
}
