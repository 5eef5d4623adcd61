//! `docs/format.md` is enough to write another reader: one that was written from it
//! alone (`tests/format_reader.py`) tells of a real index what the program tells.

use crate::support::program::Finished;
use crate::support::servers::Rclone;
use crate::support::tool;
use crate::support::trees::{Plan, edit, let_times_settle};
use crate::support::world::{JOB, World};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the other reader says, line by line.
fn other_reader(docket: &Path, nodes: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format_reader.py");
    // That launcher is a python which surely starts.
    let output = Command::new(tool("aiosmtpd")).arg(script).args([docket, nodes]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The docket and the node file in this state directory.
fn index_in(state: &Path) -> (PathBuf, PathBuf) {
    let names = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let is_nodes = |path: &PathBuf| path.file_name().unwrap().as_bytes().starts_with(b"nodes");
    (state.join("docket"), names.into_iter().find(is_nodes).expect("a node file"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of each path, in hexadecimal digits: kind, size, mode, mtime, hash and target.
type Told = BTreeMap<String, (Value, Value, Value, i64, Value, Value)>;

fn told(lines: &[Value], seconds: impl Fn(&Value) -> i64) -> Told {
    let of = |line: &Value| {
        let path = line["path_bytes"].as_str().map(str::to_owned);
        let path = path.unwrap_or_else(|| hexadecimal(line["path"].as_str().unwrap().as_bytes()));
        let field = |name: &str| line.get(name).cloned().unwrap_or_default();
        let seconds = seconds(&line["mtime"]);
        (path, (field("type"), field("size"), field("mode"), seconds, field("blake3"), field("target")))
    };
    lines.iter().map(of).collect()
}

fn of_tree(lines: &[Value], tree: &str) -> Told {
    let lines: Vec<Value> = lines.iter().filter(|line| line["in"] == tree).cloned().collect();
    told(&lines, |mtime| mtime.as_i64().unwrap())
}

fn by_the_program(world: &World, arguments: &[&str]) -> Told {
    let all = [&["--json", "ls", "--recursive"], arguments].concat();
    told(&world.program.run(&all).expect(0).messages("node"), |mtime| {
        OffsetDateTime::parse(mtime.as_str().unwrap(), &Rfc3339).unwrap().unix_timestamp()
    })
}

#[test]
fn a_reader_written_from_the_document_alone_tells_what_the_program_tells() {
    let mut world = World::local(Rclone::Current);
    Plan::odd(400, 8).plant(&world.source());
    let big = world.source().join("in pages");
    fs::create_dir(&big).unwrap();
    for number in 0..1_300 {
        fs::write(big.join(format!("{number:05} of many")), number.to_string()).unwrap();
    }
    symlink("nowhere/图", world.source().join("a link")).unwrap();
    fs::write(world.source().join("kept later"), "kept").unwrap();
    let first = world.backup(&[]);
    let first_state = by_the_program(&world, &[]);
    let (docket, nodes) = index_in(&world.configuration.state_dir.join(JOB));
    assert_eq!(of_tree(&other_reader(&docket, &nodes), "base"), first_state);
    assert!(first_state.len() > 1_700, "{}", first_state.len());

    edit(&world.source(), 60, 9);
    fs::remove_file(big.join("00007 of many")).unwrap();
    world.set("exclude", "[\"/kept later\"]");
    let second = world.backup(&[]);
    let (docket, nodes) = index_in(&world.configuration.state_dir.join(JOB));
    let lines = other_reader(&docket, &nodes);
    assert_eq!(of_tree(&lines, "base"), by_the_program(&world, &[]));
    assert_eq!(of_tree(&lines, "kept").len(), 1);
    let runs: Vec<_> = lines.iter().filter(|line| line["in"] == "runs").collect();
    assert_eq!(runs.iter().map(|run| &run["sequence"]).collect::<Vec<_>>(), [2, 1]);
    let counts = |run: &Value, finished: &Finished| {
        let names = ["new", "changed", "deleted", "uploaded"].map(|name| format!("files_{name}"));
        let said: Vec<u64> = names.iter().map(|name| finished.number(name)).collect();
        let recorded: Vec<u64> =
            run["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(recorded[..4], said, "{run}");
        assert_eq!(recorded[4], finished.number("bytes_uploaded"));
        assert_eq!(recorded[5], finished.number("files_trashed"));
        assert_eq!(recorded[7], finished.number("files_unprotected"));
    };
    counts(runs[0], &second);
    counts(runs[1], &first);
    assert_eq!(of_tree(&lines, "2 before"), first_state, "the past is told as well");
    assert_eq!(of_tree(&lines, "1 after"), first_state);
    let gone = hexadecimal(b"in pages/00007 of many");
    assert!(lines.iter().any(|line| line["in"] == "2 moved" && line["path"] == "in pages/00007 of many"));
    assert!(!of_tree(&lines, "base").contains_key(&gone));
}

/// Files that nobody has read yet mark every folder above them.
#[test]
fn an_index_that_was_taken_over_unread_reads_by_the_document_as_well() {
    let world = World::local(Rclone::Current);
    Plan::plain(300, 10).plant(&world.source());
    world.backup(&[]).expect(0);
    let state = world.configuration.state_dir.join(JOB);
    fs::rename(&state, state.with_extension("away")).unwrap();
    world.program.run(&["adopt", JOB, "--size-only", "--accept", "foreign-writer"]).expect(0);
    let (docket, nodes) = index_in(&state);
    let base = of_tree(&other_reader(&docket, &nodes), "base");
    assert_eq!(base, by_the_program(&world, &[]));
    let unread = base.values().filter(|entry| entry.0 == "file" && entry.4.is_null()).count();
    assert_eq!(unread, 300, "none was read");

    let_times_settle();
    world.backup(&[]).expect(0);
    world.backup(&[]).expect(0);
    let (docket, nodes) = index_in(&state);
    let base = of_tree(&other_reader(&docket, &nodes), "base");
    assert_eq!(base, by_the_program(&world, &[]));
    assert!(base.values().all(|entry| entry.0 != "file" || !entry.4.is_null()), "all were read since");
}

/// Every kind of record of the released format is in the golden index.
#[test]
fn the_golden_index_holds_every_kind_of_record_and_reads_by_the_document() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/index-v1");
    let lines = other_reader(&golden.join("docket"), &golden.join("nodes"));
    assert_eq!(lines.last().unwrap()["kinds"], serde_json::json!([1, 2, 3, 4, 5]));
    let kinds = ["file", "dir", "symlink", "special", "mount"];
    for kind in kinds {
        assert!(lines.iter().any(|line| line["in"] == "base" && line["type"] == kind), "{kind}");
    }
    let is_weak = |line: &Value| line["type"] == "file" && line["blake3"].is_null();
    assert!(lines.iter().any(|line| line["in"] == "base" && is_weak(line)), "a file that was not read");
    assert_eq!(lines.iter().filter(|line| line["in"] == "1 moved").count(), 3);
    assert_eq!(of_tree(&lines, "base"), of_tree(&lines, "kept"));
}

/// It refuses what the document says is to be refused.
#[test]
fn the_other_reader_refuses_a_flipped_byte_anywhere_in_a_record() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/index-v1");
    let scratch = crate::support::scratch();
    let nodes = scratch.path().join("nodes");
    let mut bytes = fs::read(golden.join("nodes")).unwrap();
    for at in [3, 20, 64, bytes.len() / 2, bytes.len() - 1] {
        bytes[at] ^= 0x10;
        fs::write(&nodes, &bytes).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format_reader.py");
        let files = [golden.join("docket"), nodes.clone()];
        let output = Command::new(tool("aiosmtpd")).arg(script).args(files).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "byte {at}: {}", String::from_utf8_lossy(&output.stdout));
        bytes[at] ^= 0x10;
    }
}
