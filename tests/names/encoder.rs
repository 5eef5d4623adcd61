//! The encoder against the real binaries: what rclone lists and logs is what was
//! predicted, byte for byte, for names that nobody chose.

use super::random_names::random_names;
use crate::support::servers::{Rclone, RcloneConfiguration};
use crate::support::trees::path;
use crate::support::{Dice, is_long, scratch_in_memory};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use treeferry::model::TreePath;
use treeferry::transfer::{NameEncoding, as_listed};

fn encoding(rclone: Rclone) -> (NameEncoding, &'static [&'static str]) {
    match rclone {
        Rclone::Current => (NameEncoding::Raw, &["--local-encoding", "Raw"]),
        Rclone::Oldest => (NameEncoding::Legacy, &[]),
    }
}

/// Plants the names, copies them by list, and lists both sides; whatever the encoder
/// accepts must be found under the predicted line, in the log too.
fn agrees(rclone: Rclone, names: &BTreeSet<Vec<u8>>) -> Result<(), TestCaseError> {
    let scratch = scratch_in_memory();
    let configuration = RcloneConfiguration::new(scratch.path());
    let (source, copy) = (scratch.path().join("source"), scratch.path().join("copy"));
    fs::create_dir(&source).unwrap();
    let (encoding, flags) = encoding(rclone);
    let mut lines = BTreeSet::new();
    let mut list = Vec::new();
    let mut expected = BTreeSet::new();
    for name in names {
        let tree_path = TreePath::from_bytes(name.as_slice()).unwrap();
        let Ok(line) = encoding.encode(&tree_path) else { continue };
        // Names that the log would show alike go in separate lists: see `transfer/send.rs`.
        if !lines.insert(as_listed(&line)) {
            continue;
        }
        fs::write(source.join(path(name)), "x").unwrap();
        list.extend_from_slice(&line);
        list.push(b'\n');
        expected.insert(name.clone());
    }
    let mut copying = rclone
        .command(&configuration.path)
        .args(["copy", "--files-from-raw", "-", "--no-traverse", "--no-check-dest", "--use-json-log"])
        .args(["--log-level", "INFO", "--stats", "0", "--no-unicode-normalization", "--retries", "1"])
        // Names of 255 bytes that grow by encoding have no room for `.partial`.
        .args((rclone == Rclone::Current).then_some("--inplace"))
        .args(flags)
        .args([&source, &copy])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = copying.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&list));
    let output = copying.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let confirmed: BTreeSet<String> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["msg"].as_str().is_some_and(|text| text.starts_with("Copied (")))
        .map(|line| line["object"].as_str().unwrap().to_owned())
        .collect();
    prop_assert!(
        confirmed == lines,
        "{rclone:?} logged other names: {:?}",
        confirmed.symmetric_difference(&lines).take(4).collect::<Vec<_>>()
    );
    let arrived: BTreeSet<Vec<u8>> = fs::read_dir(&copy)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_encoded_bytes()).collect())
        .unwrap_or_default();
    prop_assert!(
        arrived == expected,
        "{rclone:?}: other names arrived: {:?}",
        arrived.symmetric_difference(&expected).take(4).collect::<Vec<_>>()
    );
    let listed = rclone
        .command(&configuration.path)
        .args(["lsf", "--files-only", "--no-unicode-normalization"])
        .args(flags)
        .arg(&source)
        .output()
        .unwrap();
    let listed: BTreeSet<String> =
        listed.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(as_listed).collect();
    prop_assert!(
        listed == lines,
        "{rclone:?} lists other names: {:?}",
        listed.symmetric_difference(&lines).take(4).collect::<Vec<_>>()
    );
    Ok(())
}

/// Any bytes, and characters that the encoding is about more often than others.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<char>().prop_map(|character| character.to_string().into_bytes()),
        any::<u8>().prop_map(|byte| vec![byte]),
        "[\u{1}-\u{20}\u{7f}\u{2400}-\u{2422}\u{201B}\u{FF0E}\u{FF0F}]{1,3}".prop_map(String::into_bytes),
        "[.／．‛FE0-9]{1,3}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 1..30).prop_map(|pieces| pieces.concat()).prop_filter("no name", |name| {
        name.len() <= 255 && !name.contains(&0) && !name.contains(&b'/') && name != b"." && name != b".."
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if is_long() { 200 } else { 4 }, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_either_rclone_lists_and_logs_is_what_the_encoder_predicts(names in prop::collection::btree_set(any_name(), 1..400)) {
        for rclone in Rclone::BOTH {
            agrees(rclone, &names)?;
        }
    }
}

#[test]
fn many_random_names_are_listed_and_logged_as_predicted() {
    let count = if is_long() { 1_000_000 } else { 4_000 };
    eprintln!("{count} names; TREEFERRY_LONG=1 takes 1,000,000");
    let mut dice = Dice(99);
    for _ in 0..count / 4_000 {
        let names = random_names(4_000, &mut dice).into_iter().collect();
        for rclone in Rclone::BOTH {
            agrees(rclone, &names).unwrap();
        }
    }
}
