//! Compaction: the same trees, all of them, and nothing else.

use super::records::{moved, record};
use super::*;
use treeferry::index::{
    CompactError, MovedAway, append_run_record, compact, live_bytes, needs_compaction, run_records,
};

/// A history of `rounds` runs, a record for each.
fn history(shelf: &Shelf, rounds: u64) -> Docket {
    let mut root = None;
    let mut newest = None;
    for round in 1..=rounds {
        let mut edits: Vec<Edit> = (0..300u64)
            .filter(|number| round == 1 || number % 50 == round)
            .map(|number| {
                let path = path(format!("{}/{}/{number:03}", number % 3, number % 7));
                Edit::Put { path, entry: file(round as u8, number) }
            })
            .collect();
        // A big directory as well, of which every round changes one entry.
        edits.extend(
            (0..3000u64).filter(|number| round == 1 || *number == round).map(|number| Edit::Put {
                path: path(format!("9/{number:06}")),
                entry: file(round as u8, 1),
            }),
        );
        edits.sort_by(|a, b| a.path().cmp(b.path()));
        let before = root;
        root = shelf.rewrite(root, edits);
        let record = treeferry::index::RunRecord { root_before: before, ..record(round, root, newest) };
        let rows = (0..round).map(|number| moved(path(format!("gone {number:03}")), number));
        newest = Some(append_run_record(&shelf.file.writer(&Silent), &record, rows).unwrap());
    }
    let mut docket = Docket { newest_record: newest, ..shelf.docket(root) };
    docket.facts.oldest_retained_sequence = 1;
    docket
}

fn compacted(shelf: &Shelf, docket: &Docket, id: u8) -> (Shelf, Docket) {
    let fresh = Shelf::with(DataId([id; 16]));
    let old = shelf.reopen(docket, MapMode::Map);
    let docket = compact(&old, docket, &fresh.file.writer(&Silent), u64::MAX).unwrap();
    (fresh, docket)
}

type Past = Vec<(u64, Option<Model>, Option<Model>, Vec<MovedAway>)>;

fn past(shelf: &Shelf, docket: &Docket) -> Past {
    let file = shelf.reopen(docket, MapMode::Read);
    let model = |root: Option<Root>| root.map(|root| read_model(&Tree::new(&file, Some(root), &Silent)));
    run_records(&file, docket.newest_record)
        .map(|stored| {
            let stored = stored.unwrap();
            let rows = stored.moved_away(&file).collect::<Result<_, _>>().unwrap();
            (
                stored.record.run.sequence,
                model(stored.record.root_before),
                model(stored.record.root_after),
                rows,
            )
        })
        .collect()
}

#[test]
fn a_compacted_index_holds_the_same_past_and_is_no_larger() {
    let shelf = Shelf::new();
    let docket = history(&shelf, 8);
    let (fresh, new) = compacted(&shelf, &docket, 8);
    assert_eq!(past(&fresh, &new), past(&shelf, &docket));
    assert_eq!(new.base.unwrap().pointer.content, docket.base.unwrap().pointer.content);
    assert_eq!(new.base.unwrap().totals, docket.base.unwrap().totals);
    // Sharing survives: everything was reached before, so nothing can shrink, nor may it grow.
    let (old_length, new_length) = (docket.committed_length, new.committed_length);
    assert!(new_length.abs_diff(old_length) < old_length / 50, "{old_length} bytes became {new_length}");
    assert_eq!(live_bytes(&shelf.file, &docket).unwrap(), docket.committed_length);
    assert_eq!(live_bytes(&fresh.file, &new).unwrap(), new.committed_length);
}

#[test]
fn two_compactions_are_the_same_bytes_and_one_of_a_compacted_file_changes_nothing() {
    let shelf = Shelf::new();
    let docket = history(&shelf, 5);
    let (first, first_docket) = compacted(&shelf, &docket, 8);
    let (second, _) = compacted(&shelf, &docket, 8);
    let bytes = std::fs::read(first.path()).unwrap();
    assert_eq!(bytes, std::fs::read(second.path()).unwrap());
    let (third, third_docket) = compacted(&first, &first_docket, 8);
    assert_eq!(bytes, std::fs::read(third.path()).unwrap());
    assert_eq!(first_docket, third_docket);
}

#[test]
fn what_is_no_longer_retained_is_left_behind() {
    let shelf = Shelf::new();
    let mut docket = history(&shelf, 8);
    docket.facts.oldest_retained_sequence = 6;
    let live = live_bytes(&shelf.file, &docket).unwrap();
    let (fresh, new) = compacted(&shelf, &docket, 8);
    assert_eq!(past(&fresh, &new)[..], past(&shelf, &docket)[..3]);
    assert!(new.committed_length < docket.committed_length);
    assert!(live.abs_diff(new.committed_length) < live / 20, "{live} were live, {}", new.committed_length);
}

#[test]
fn without_room_nothing_is_written() {
    let shelf = Shelf::new();
    let docket = history(&shelf, 1);
    let fresh = Shelf::new();
    let length = fresh.file.length();
    let result = compact(&shelf.file, &docket, &fresh.file.writer(&Silent), 1 << 20);
    assert!(matches!(result, Err(CompactError::NoRoom { .. })), "{result:?}");
    assert_eq!(fresh.file.length(), length);
}

#[test]
fn only_a_file_that_is_mostly_dead_needs_it() {
    let docket = |committed_length, live_bytes| Docket { committed_length, live_bytes, ..Docket::default() };
    assert!(!needs_compaction(&docket(64 << 10, 64), true), "too small to matter");
    assert!(!needs_compaction(&docket(100 << 20, 60 << 20), false));
    assert!(needs_compaction(&docket(100 << 20, 40 << 20), false));
    assert!(needs_compaction(&docket(100 << 20, 60 << 20), true), "checkpoints leave less dead, at once");
    assert!(!needs_compaction(&docket(100 << 20, 80 << 20), true));
}

#[test]
fn the_checkpoints_of_a_run_are_released_and_what_it_moved_away_is_not() {
    let shelf = Shelf::new();
    let mut root = None;
    let mut newest = None;
    let mut began_with = None;
    // Run 1, then run 2 with three checkpoints, each of which writes one directory anew.
    for (sequence, part) in [(1, 0u64), (2, 1), (2, 2), (2, 3), (2, 4)] {
        let edits = (0..500u64).map(|number| Edit::Put {
            path: path(format!("d/{number:04}")),
            entry: file((number <= 100 * part) as u8, part),
        });
        let before = root;
        root = shelf.rewrite(root, edits.collect());
        if part == 0 {
            began_with = root;
        }
        let record = treeferry::index::RunRecord { root_before: before, ..record(sequence, root, newest) };
        let rows = [moved(path(format!("gone {part}")), part)];
        newest = Some(append_run_record(&shelf.file.writer(&Silent), &record, rows).unwrap());
    }
    let mut docket = Docket { newest_record: newest, ..shelf.docket(root) };
    docket.facts.oldest_retained_sequence = 1;
    let live = live_bytes(&shelf.file, &docket).unwrap();
    assert!(live < docket.committed_length / 2, "{live} of {}", docket.committed_length);
    let (fresh, new) = compacted(&shelf, &docket, 8);
    assert!(live.abs_diff(new.committed_length) < live / 20, "{live} were live, {}", new.committed_length);
    assert_eq!(live_bytes(&fresh.file, &new).unwrap(), new.committed_length);

    let (old, past) = (past(&shelf, &docket), past(&fresh, &new));
    assert_eq!(past.iter().map(|run| run.0).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
    assert_eq!(
        past.iter().map(|run| &run.3).collect::<Vec<_>>(),
        old.iter().map(|run| &run.3).collect::<Vec<_>>()
    );
    assert_eq!(past[0].1, Some(read_model(&shelf.tree(began_with))), "what the run began with");
    assert_eq!(past[0].2, old[0].2, "what it ended with");
    assert!(past[1..4].iter().all(|run| run.1.is_none() && run.2.is_none()));
    assert_eq!(past[4], old[4]);
}

#[test]
fn a_tree_deeper_than_a_stack_is_compacted() {
    let shelf = Shelf::new();
    let mut directory = Directory::default();
    directory.push(file(1, 1).as_entry(b"bottom"));
    let mut totals = Totals { files: 1, directories: 0, bytes: 1 };
    let writer = shelf.file.writer(&Silent);
    let mut pointer = writer.write_directory(&directory, totals).unwrap();
    for _ in 0..20_000 {
        directory.clear();
        directory.push(directory_entry(pointer).as_entry(b"d"));
        totals.directories += 1;
        pointer = writer.write_directory(&directory, totals).unwrap();
    }
    let docket = shelf.docket(Some(Root { pointer, totals }));
    let (_fresh, new) = compacted(&shelf, &docket, 8);
    assert_eq!(new.base.unwrap().pointer.content, pointer.content);
}
