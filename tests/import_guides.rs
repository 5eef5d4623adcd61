//! The guides and the files to be copied from `docs/contrib` name only commands
//! and flags that exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn guides() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for folder in ["docs", "docs/contrib"] {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.is_file() && !path.ends_with("docs/cli.md")));
    }
    files.sort();
    files
}

/// The arguments of every `treeferry` that stands in a line of code of this text.
fn calls(text: &str, is_markdown: bool) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    let mut in_fence = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_fence = !in_fence;
        }
        let is_code = !is_markdown || in_fence || line.starts_with("    ");
        let line = line.trim_start_matches("ExecStart=");
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "treeferry" || word.ends_with("/treeferry"))
        else {
            continue;
        };
        // In front of it: nothing, variables, a prompt, or a time of cron.
        let is_call = words[..at].iter().all(|word| {
            *word == "$"
                || word.contains('=')
                || word.chars().all(|c| c.is_ascii_digit() || "*/,-".contains(c))
        });
        if !is_code || !is_call || line.starts_with('#') || at + 1 == words.len() {
            continue;
        }
        let ends =
            |word: &&&str| !(word.starts_with(['#', '>', '|', ';', '&', '(']) || word.starts_with('…'));
        let arguments = words[at + 1..].iter().take_while(ends);
        calls.push(
            arguments.map(|word| word.trim_matches(['[', ']', '`', ',', ';', '"']).to_owned()).collect(),
        );
    }
    calls
}

#[test]
fn guides_and_units_name_only_commands_and_flags_that_exist() {
    let mut found = 0;
    for file in guides() {
        let text = fs::read_to_string(&file).unwrap();
        for mut call in calls(&text, file.extension().is_some_and(|ending| ending == "md")) {
            found += 1;
            // Asked for help behind the arguments: whatever is wrong before it is told first.
            call.push("--help".into());
            let ended = Command::new(env!("CARGO_BIN_EXE_treeferry")).args(&call).output().unwrap();
            assert_eq!(
                ended.status.code(),
                Some(0),
                "{}: treeferry {}\n{}",
                file.display(),
                call.join(" "),
                String::from_utf8_lossy(&ended.stderr)
            );
        }
    }
    assert!(found > 30, "only {found} calls were found in the guides: are they still read?");
}

#[test]
fn calls_are_found_where_people_copy_them_from() {
    let text = "Run `treeferry fly`.\n\n    17 * * * *   treeferry -q backup   # why\n\n```\nA=b treeferry man >x\n$ treeferry status\n# treeferry old\n```\ntreeferry is prose\n";
    let found: Vec<String> = calls(text, true).iter().map(|call| call.join(" ")).collect();
    assert_eq!(found, ["-q backup", "man", "status"]);
    let unit = "Documentation=man:treeferry(1)\nExecStart=/usr/bin/treeferry --quiet backup\n";
    assert_eq!(calls(unit, false), [vec!["--quiet".to_owned(), "backup".to_owned()]]);
}

#[test]
fn links_between_the_guides_lead_somewhere() {
    for file in guides().iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let target = target.split('#').next().unwrap_or_default();
            assert!(file.parent().unwrap().join(target).exists(), "{}: {target}", file.display());
        }
    }
}
