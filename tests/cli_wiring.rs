//! The built program: what it says, and the codes it ends with.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A home of its own, so that nothing of the machine is read.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_treeferry"));
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn configure(&self, text: &str) {
        let file = self.path(".config/treeferry/config.toml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn ends_with(output: &Output, code: i32, message: &str) {
    let told = stdout(output) + &stderr(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(message), "expected: {message}\ntold: {told}");
}

const JOB: &str = "[[job]]\nname = \"a\"\nsource = \"/data/a\"\nremote = \"r:mirror/a\"\n";

#[test]
fn init_writes_once_for_the_owner_only_and_what_it_writes_is_valid() {
    let home = Home::new();
    let init = ["init", "--source", "photos", "--remote", "r:mirror/photos"];
    ends_with(&home.run(&init), 0, "next: treeferry config validate");
    let file = home.path(".config/treeferry/config.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains(&format!("source = \"{}\"", home.path("photos").display())), "{written}");
    ends_with(&home.run(&["config", "show"]), 0, "companion = \"r:mirror/.treeferry/photos\"");
    ends_with(&home.run(&init), 2, "exists already and is left as it is");
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
}

#[test]
fn init_leaves_even_a_dangling_link_and_says_what_is_missing_without_a_terminal() {
    let home = Home::new();
    std::os::unix::fs::symlink(home.path("nowhere"), home.path("link.toml")).unwrap();
    let init = ["init", "--source", "/data", "--remote", "r:m", "--output"];
    ends_with(&home.run(&[&init[..], &["link.toml"]].concat()), 2, "exists already");
    assert!(!home.path("nowhere").exists());
    ends_with(&home.run(&["init", "--remote", "r:m"]), 2, "--source is missing, and there is no terminal");
    ends_with(&home.run(&["init", "--source", "/data", "--remote", "nocolon"]), 2, "nothing was written");
    assert!(!home.path(".config").exists());
}

#[test]
fn the_configuration_is_looked_for_in_the_documented_order() {
    let home = Home::new();
    ends_with(&home.run(&["config", "show"]), 2, "treeferry init");
    home.configure(JOB);
    ends_with(&home.run(&["config", "show"]), 0, "name = \"a\"");
    fs::create_dir_all(home.path("xdg/treeferry")).unwrap();
    fs::write(home.path("xdg/treeferry/config.toml"), JOB.replace("\"a\"", "\"xdg\"")).unwrap();
    fs::write(home.path("named.toml"), JOB.replace("\"a\"", "\"named\"")).unwrap();
    fs::write(home.path("given.toml"), JOB.replace("\"a\"", "\"given\"")).unwrap();
    let mut command = home.command();
    command.env("XDG_CONFIG_HOME", home.path("xdg")).args(["config", "show"]);
    ends_with(&command.output().unwrap(), 0, "name = \"xdg\"");
    command.env("TREEFERRY_CONFIG", home.path("named.toml"));
    ends_with(&command.output().unwrap(), 0, "name = \"named\"");
    command.args(["-c", "given.toml"]);
    ends_with(&command.output().unwrap(), 0, "name = \"given\"");
    ends_with(&home.run(&["-c", "absent.toml", "backup"]), 2, "reading the configuration absent.toml");
}

#[test]
fn a_wrong_configuration_is_told_with_its_place_and_as_json() {
    let home = Home::new();
    home.configure(&format!("{JOB}on_delte = \"trash\"\n"));
    let message = "config.toml:5:1: unknown key `on_delte` in [[job]]; did you mean `on_delete`?";
    for command in [&["backup"][..], &["plan"], &["status"], &["config", "validate"]] {
        ends_with(&home.run(command), 2, message);
    }
    let told = home.run(&["--json", "backup"]);
    let line: Value = serde_json::from_str(stdout(&told).trim()).unwrap();
    assert_eq!((line["message_type"].as_str(), line["code"].as_u64()), (Some("exit_error"), Some(2)));
    assert!(line["message"].as_str().unwrap().contains(message));
    assert_eq!(told.status.code(), Some(2));
    assert_eq!(stderr(&told), "");
}

#[test]
fn without_home_the_message_says_what_to_set() {
    let home = Home::new();
    fs::write(home.path("c.toml"), JOB).unwrap();
    let mut command = home.command();
    command.env_remove("HOME").args(["-c", "c.toml", "config", "show"]);
    ends_with(&command.output().unwrap(), 2, "neither HOME nor XDG_STATE_HOME is set");
    fs::write(home.path("c.toml"), format!("state_dir = \"/s\"\n{JOB}")).unwrap();
    ends_with(&command.output().unwrap(), 0, "log_dir = \"/s/logs\"");
    let mut init = home.command();
    init.env_remove("HOME").args(["init", "--source", "/d", "--remote", "r:m"]);
    ends_with(&init.output().unwrap(), 2, "say with --output");
}

#[test]
fn what_cannot_be_typed_ends_with_2() {
    let home = Home::new();
    home.configure(&format!("{JOB}{}", JOB.replace("\"a\"", "\"b\"").replace("mirror/a", "mirror/b")));
    ends_with(&home.run(&[]), 2, "Usage");
    ends_with(&home.run(&["fly"]), 2, "unrecognized subcommand");
    ends_with(&home.run(&["backup", "--accept", "all"]), 2, "possible values: source-empty");
    ends_with(&home.run(&["backup", "c"]), 2, "there is no job \"c\"; the jobs are: a, b");
    ends_with(
        &home.run(&["backup", "--accept", "max-delete,kept"]),
        2,
        "--accept holds for the job that is named",
    );
    ends_with(&home.run(&["status", "--max-age", "36"]), 2, "must be a duration like");
    // They would do nothing: what rots in the source is not repaired from the mirror.
    for option in ["--repair", "--download"] {
        ends_with(&home.run(&["verify", "a", "--source", option]), 2, "cannot be used with");
    }
    ends_with(&home.run(&["--version"]), 0, "treeferry ");
}

#[test]
fn a_log_that_cannot_be_written_is_a_warning() {
    let home = Home::new();
    fs::write(home.path("file"), "").unwrap();
    home.configure(&format!("log_dir = \"{}\"\n{JOB}", home.path("file/logs").display()));
    let output = home.run(&["backup"]);
    assert!(stderr(&output).contains("warning: no log is written to"), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("a: "), "{}", stdout(&output));
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let home = Home::new();
    home.configure(JOB);
    let mut child = home
        .command()
        .args(["config", "show"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}

fn without_trailing_blanks(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn command_line_document_is_that_of_the_program() {
    let home = Home::new();
    let mut text = "# Command line\n\n<!-- Made from the program: UPDATE_DOCS=1 cargo test --test tests command_line_document -->\n".to_owned();
    let commands = [
        "",
        "init",
        "backup",
        "plan",
        "status",
        "snapshots",
        "ls",
        "restore",
        "verify",
        "adopt",
        "import",
        "import settings",
        "import snapshot",
        "notify",
        "notify test",
        "bench",
        "bench scan",
        "bench hash",
        "bench index",
        "config",
        "config show",
        "config validate",
        "completions",
        "man",
    ];
    for command in commands {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let help = home.run(&arguments);
        assert_eq!(help.status.code(), Some(0));
        let title = format!("treeferry {command}");
        text +=
            &format!("\n## {}\n\n```text\n{}\n```\n", title.trim(), without_trailing_blanks(&stdout(&help)));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, text, "run: UPDATE_DOCS=1 cargo test --test tests command_line_document");
}
