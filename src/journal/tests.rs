//! A journal that is cut, flipped and copied about never says what was not
//! written.

#![allow(clippy::unwrap_used)]

use crate::disk::{CrashDisk, RealDisk};
use crate::journal::*;
use crate::model::{Batch, BatchItem, ContentDigest, Lane, Permissions, RunId, Stamp, Timestamp, TreePath};
use crate::observe::{Counter, Recorder, Silent};
use std::path::Path;
use std::time::{Duration, Instant};

fn header(run: u64) -> Header {
    Header { run: RunId { sequence: run, started_seconds: 1_795_371_300 }, belongs_to: [run as u8; 32] }
}

fn stamp(size: u64) -> Stamp {
    Stamp {
        size,
        mtime: Timestamp { seconds: -5, nanoseconds: 999_999_999 },
        ctime: Timestamp { seconds: 1 << 40, nanoseconds: 1 },
        inode: u64::MAX - size,
    }
}

fn path(bytes: &[u8]) -> TreePath {
    TreePath::from_bytes(bytes).unwrap()
}

fn batch(lane: Lane, paths: &[&[u8]]) -> Batch {
    let item = |(number, bytes): (usize, &&[u8])| BatchItem {
        path: path(bytes),
        as_link: number % 3 == 1,
        stamp: stamp(number as u64),
        permissions: Permissions { mode: 0o4755, uid: 1000, gid: u32::MAX },
        digest: (number % 2 == 0).then(|| ContentDigest::of(bytes)),
    };
    Batch { lane, items: paths.iter().enumerate().map(item).collect() }
}

fn confirmed(size: u64) -> Settled {
    let digest = (size % 2 == 1).then(|| ContentDigest::of(&size.to_le_bytes()));
    Settled::Confirmed {
        stamp: stamp(size),
        permissions: Permissions::default(),
        digest,
        racy: size.is_multiple_of(3),
    }
}

const ODD: [&[u8]; 5] = [b"a/one\nline", b"a/one\xff", b"a/two", "b/␊".as_bytes(), b"b"];

/// Two batches, with every kind of outcome and every kind of record.
fn write_everything(directory: &Path) -> (Vec<u8>, Vec<ReplayedBatch>) {
    let disk = RealDisk::new(&Silent);
    let journal = directory.join("journal");
    let mut writer = JournalWriter::create(&disk, &journal, &header(7)).unwrap();
    let now = Instant::now();
    let first = batch(Lane::Trash, &ODD);
    let second = batch(Lane::Upload, &ODD[..2]);
    writer.append_owner_intent(41).unwrap();
    writer.append_intent(0, &first).unwrap();
    writer.append_outcomes(0, &[(0, confirmed(3)), (4, Settled::NotDone(NotDone::Failed))], now).unwrap();
    writer.append_intent(5, &second).unwrap();
    let rest = [NotDone::Vanished, NotDone::NotAttempted, NotDone::ChangedMeanwhile].map(Settled::NotDone);
    writer.append_outcomes(5, &[(1, Settled::Unknown)], now).unwrap();
    writer.append_outcomes(0, &[(1, rest[0]), (2, rest[1]), (3, rest[2])], now).unwrap();
    writer.append_folder_intent(&path(b"a/folder")).unwrap();
    writer.append_folder_intent(&path(b"a/other")).unwrap();
    writer.append_folder_outcome(&path(b"a/folder"), true).unwrap();
    assert_eq!(writer.open_items(), 2);
    writer.finish().unwrap();
    let settled = vec![confirmed(3), rest[0], rest[1], rest[2], Settled::NotDone(NotDone::Failed)];
    let expected = vec![
        ReplayedBatch { number: 0, batch: first, settled },
        ReplayedBatch { number: 5, batch: second, settled: vec![Settled::Unknown; 2] },
    ];
    (std::fs::read(&journal).unwrap(), expected)
}

fn batches(replay: &Replay) -> Vec<ReplayedBatch> {
    replay.batches().map(Result::unwrap).collect()
}

#[test]
fn a_journal_of_format_1_from_long_ago_is_still_understood() {
    let directory = tempfile::tempdir().unwrap();
    let (_, expected) = write_everything(directory.path());
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journal-v1");
    assert_eq!(batches(&replay(&old).unwrap().unwrap()), expected);
}

/// Nothing that was not written: every batch is one of `written`, and every
/// outcome is its true one or a doubt.
fn assert_never_more_than(replay: &Replay, written: &[ReplayedBatch], context: &str) {
    for found in batches(replay) {
        let original = written.iter().find(|batch| batch.number == found.number).expect(context);
        assert_eq!(found.batch, original.batch, "{context}");
        for (now, then) in found.settled.iter().zip(&original.settled) {
            assert!(now == then || *now == Settled::Unknown, "{context}: {now:?} was {then:?}");
        }
    }
}

#[test]
fn what_was_written_is_replayed_and_replaying_again_gives_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, expected) = write_everything(directory.path());
    let journal = directory.path().join("journal");
    for _ in 0..2 {
        let replay = replay(&journal).unwrap().unwrap();
        assert_eq!(replay.header(), header(7));
        assert_eq!(batches(&replay), expected);
        assert_eq!(replay.owner_sequence(), Some(41));
        let folders: Vec<_> = replay.folders().iter().map(|f| (f.path.as_bytes(), f.moved)).collect();
        assert_eq!(folders, [(&b"a/folder"[..], Some(true)), (b"a/other", None)]);
        assert_eq!((replay.dropped_bytes(), replay.batches_behind_damage()), (0, 0));
    }
    assert_eq!(expected[1].doubts().count(), 2);
    assert_eq!(std::fs::read(&journal).unwrap(), bytes);
    assert!(replay(&directory.path().join("none")).unwrap().is_none());
}

#[test]
fn a_journal_cut_at_any_byte_gives_what_is_whole_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, expected) = write_everything(directory.path());
    let cut = directory.path().join("cut");
    let mut known_before = 0;
    for length in 0..=bytes.len() {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let Ok(Some(replay)) = replay(&cut) else { continue };
        assert_never_more_than(&replay, &expected, &format!("cut at {length}"));
        let settled = |batch: &ReplayedBatch| batch.settled.len() - batch.doubts().count();
        let known: usize = batches(&replay).iter().map(|batch| 1 + settled(batch)).sum();
        assert!(known >= known_before, "a longer journal knows less");
        known_before = known;
    }
    assert_eq!(known_before, 2 + 5);
}

#[test]
fn a_flipped_bit_anywhere_never_panics_and_never_invents_an_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, expected) = write_everything(directory.path());
    let flipped = directory.path().join("flipped");
    for position in 0..bytes.len() {
        for mask in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[position] ^= mask;
            std::fs::write(&flipped, &bytes).unwrap();
            let context = format!("byte {position} ^ {mask:#x}");
            match replay(&flipped) {
                Ok(Some(replay)) => {
                    assert!(replay.dropped_bytes() > 0, "{context}: not noticed");
                    assert_never_more_than(&replay, &expected, &context);
                }
                Ok(None) => panic!("{context}"),
                Err(ReplayError::NotAJournal(_) | ReplayError::OtherVersion { .. }) => {}
                Err(error) => panic!("{context}: {error}"),
            }
        }
    }
}

#[test]
fn pieces_left_out_doubled_or_swapped_never_invent_an_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, expected) = write_everything(directory.path());
    let damaged = directory.path().join("damaged");
    for from in (100..bytes.len()).step_by(7) {
        for length in [1, 13, 64, 200] {
            let to = (from + length).min(bytes.len());
            let without = [&bytes[..from], &bytes[to..]].concat();
            let doubled = [&bytes[..to], &bytes[from..]].concat();
            let swapped = [&bytes[..from], &bytes[to..], &bytes[from..to]].concat();
            for damage in [without, doubled, swapped] {
                std::fs::write(&damaged, damage).unwrap();
                if let Ok(Some(replay)) = replay(&damaged) {
                    assert_never_more_than(&replay, &expected, &format!("{from}..{to}"));
                }
            }
        }
    }
}

#[test]
fn behind_damage_intents_are_doubts_and_outcomes_are_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut bytes, expected) = write_everything(directory.path());
    // The first outcome record of batch 0: its digest is nowhere else.
    let place = bytes.windows(4).position(|bytes| bytes == &stamp(3).inode.to_le_bytes()[..4]).unwrap();
    let digest = ContentDigest::of(&3_u64.to_le_bytes());
    let place = bytes.windows(32).position(|bytes| bytes == digest.0).unwrap_or(place);
    bytes[place] ^= 1;
    let journal = directory.path().join("journal");
    std::fs::write(&journal, &bytes).unwrap();
    let replay = replay(&journal).unwrap().unwrap();
    let found = batches(&replay);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].batch, expected[1].batch, "the intent behind the damage is known");
    assert!(found.iter().all(|batch| batch.doubts().count() == batch.settled.len()));
    assert_eq!(replay.batches_behind_damage(), 1);
    assert_eq!(replay.folders().iter().map(|folder| folder.moved).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn records_of_another_journal_are_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, _) = write_everything(directory.path());
    let path = directory.path().join("journal");
    let header_bytes = {
        let other = directory.path().join("other");
        JournalWriter::create(&RealDisk::new(&Silent), &other, &header(8)).unwrap();
        std::fs::read(other).unwrap()
    };
    // As when the blocks of the old journal show through behind the new header.
    let mixed = [&header_bytes[..], &bytes[header_bytes.len()..]].concat();
    std::fs::write(&path, mixed).unwrap();
    let replay = replay(&path).unwrap().unwrap();
    assert_eq!(replay.header(), header(8));
    assert_eq!(batches(&replay), []);
    assert_eq!(replay.dropped_bytes(), (bytes.len() - header_bytes.len()) as u64);
}

#[test]
fn another_format_and_another_file_are_named_and_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let (mut bytes, _) = write_everything(directory.path());
    let journal = directory.path().join("journal");
    bytes[8] = 9;
    std::fs::write(&journal, &bytes).unwrap();
    assert!(matches!(replay(&journal), Err(ReplayError::OtherVersion { found: 9, .. })));
    for other in [&b""[..], b"treefer", b"something else, and long enough to hold a header of ours"] {
        std::fs::write(&journal, other).unwrap();
        assert!(matches!(replay(&journal), Err(ReplayError::NotAJournal(_))));
    }
}

#[test]
fn a_whole_record_of_an_unknown_kind_is_an_error_that_names_the_version() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let (header, seal) = frame::encode_header(&header(1));
    let record = seal.frame(header.len() as u64, 99, b"from the future").unwrap();
    std::fs::write(&journal, [header, record].concat()).unwrap();
    let message = replay(&journal).err().unwrap().to_string();
    assert!(message.contains("kind 99") && message.contains(env!("CARGO_PKG_VERSION")), "{message}");
}

#[test]
fn outcomes_are_synced_in_groups_and_intents_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let disk = RealDisk::new(&recorder);
    let mut writer = JournalWriter::create(&disk, &directory.path().join("journal"), &header(1)).unwrap();
    let names: Vec<String> = (0..600).map(|number| format!("file {number:04}")).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    writer.append_intent(1, &batch(Lane::Upload, &names)).unwrap();
    assert_eq!(recorder.counted(Counter::Syncs), 3, "file and directory of the header, then the intent");
    let start = Instant::now();
    for item in 0..600 {
        writer.append_outcomes(1, &[(item, confirmed(1))], start).unwrap();
    }
    assert_eq!(recorder.counted(Counter::Syncs), 3 + 600 / 256);
    assert!(!writer.sync_if_due(start + Duration::from_millis(999)).unwrap());
    assert!(writer.sync_if_due(start + Duration::from_secs(1)).unwrap());
    assert!(!writer.sync_if_due(start + Duration::from_secs(9)).unwrap(), "nothing waits any more");
    assert_eq!(writer.open_items(), 0);
}

#[test]
fn outcomes_that_nobody_intended_are_refused_and_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(&Silent);
    let journal = directory.path().join("journal");
    let mut writer = JournalWriter::create(&disk, &journal, &header(1)).unwrap();
    let now = Instant::now();
    writer.append_intent(3, &batch(Lane::Upload, &ODD[..2])).unwrap();
    let length = journal.metadata().unwrap().len();
    for (batch_number, item) in [(2, 0), (3, 2), (4, 0)] {
        let result = writer.append_outcomes(batch_number, &[(item, confirmed(1))], now);
        assert!(matches!(result, Err(WriteError::NoSuchItem { .. })));
    }
    assert!(matches!(writer.append_intent(3, &batch(Lane::Upload, &[])), Err(WriteError::NumberUsed(3))));
    assert_eq!(journal.metadata().unwrap().len(), length);
    writer.append_outcomes(3, &[(1, confirmed(1))], now).unwrap();
    writer.append_outcomes(3, &[(1, confirmed(2))], now).unwrap();
    writer.finish().unwrap();
    let found = batches(&replay(&journal).unwrap().unwrap());
    assert_eq!(found[0].settled, [Settled::Unknown, confirmed(2)], "the last outcome counts");
}

/// Goal: a full disk loses nothing that was promised, and no record is written
/// behind a torn one, where it would never be found.
#[test]
fn after_a_failed_write_the_journal_takes_nothing_more_and_keeps_what_was_synced() {
    for verb in 0..14 {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal");
        let disk = CrashDisk::over(directory.path()).unwrap();
        disk.fail_from(verb);
        let mut synced = Vec::new();
        let mut failed = false;
        if let Ok(mut writer) = JournalWriter::create(&disk, &journal, &header(1)) {
            for number in 0..5 {
                let result = writer.append_intent(number, &batch(Lane::Upload, &ODD));
                assert!(result.is_err() || !failed, "it went on after an error");
                failed |= result.is_err();
                if result.is_ok() {
                    synced.push(number);
                }
                // From now on the disk has room again: the journal must not be used all the same.
                if failed {
                    disk.fail_from(usize::MAX);
                }
            }
            assert!(failed == writer.sync().is_err());
        }
        if let Some(replay) = replay(&journal).unwrap() {
            let found: Vec<u64> = batches(&replay).iter().map(|batch| batch.number).collect();
            assert!(found.starts_with(&synced), "{verb}: {found:?} {synced:?}");
        } else {
            assert!(synced.is_empty());
        }
    }
}
