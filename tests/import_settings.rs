//! `import settings`, `completions` and `man`, as a user meets them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

const SCRIPT: &str = r#"import os
SYNC_PAIRS = [
    "/volume2/照片:backup/照片",
    ("/volume2/docs", "backup/docs"),
]
REMOTE_NAME = "alist"
EXCLUDES = ["*.tmp", "node_modules/**"]
CACHE_DIR = "/volume1/cache"
LOG_DIR = os.path.join(CACHE_DIR, "logs")
TG_BOT_TOKEN = "42:very-secret"
TG_CHAT_ID = "7"
os.system("touch ran")
"#;

fn treeferry(folder: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_treeferry"));
    command.env_clear().env("HOME", folder).current_dir(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_settings_of_the_script_become_a_configuration_that_is_valid_and_the_script_is_not_run() {
    let home = super::support::scratch();
    fs::write(home.path().join("backup.py"), SCRIPT).unwrap();
    let written = treeferry(home.path(), &["import", "settings", "backup.py", "--output", "c/config.toml"]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let told = text(&written.stderr);
    assert!(told.contains("not carried over: LOG_DIR (line 9): it is computed (`os`)"), "{told}");
    assert!(told.contains("treeferry import snapshot FILE --job 照片"), "{told}");
    assert!(told.contains("/volume1/cache"), "{told}");
    assert!(!told.contains("very-secret"), "{told}");
    let file = home.path().join("c/config.toml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!home.path().join("ran").exists());

    let shown = treeferry(home.path(), &["-c", "c/config.toml", "config", "show"]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("remote = \"alist:backup/照片\""), "{shown}");
    assert!(shown.contains("node_modules/"), "{shown}");

    let before = fs::read(&file).unwrap();
    let again = treeferry(home.path(), &["import", "settings", "backup.py", "-o", "c/config.toml"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("exists already and is left as it is"));
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(treeferry(home.path(), &["import", "settings", "backup.py"]).stdout, before);
}

#[test]
fn a_script_without_pairs_or_that_is_no_text_ends_with_2() {
    let home = super::support::scratch();
    fs::write(home.path().join("a.py"), "SYNC_PAIRS = load()\n").unwrap();
    fs::write(home.path().join("b.py"), b"X = '\xff'\n").unwrap();
    for (script, message) in [
        ("a.py", "SYNC_PAIRS (line 1): it is computed (`load`)"),
        ("b.py", "is not UTF-8"),
        ("absent.py", "reading the script absent.py"),
    ] {
        let ended = treeferry(home.path(), &["import", "settings", script, "-o", "out.toml"]);
        assert_eq!(ended.status.code(), Some(2));
        assert!(text(&ended.stderr).contains(message), "{}", text(&ended.stderr));
    }
    assert!(!home.path().join("out.toml").exists());
}

#[test]
fn completions_and_manual_know_every_command() {
    let home = super::support::scratch();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = treeferry(home.path(), &["completions", shell]);
        assert_eq!(script.status.code(), Some(0));
        assert!(text(&script.stdout).contains("backup"), "{shell}");
    }
    let parsed = {
        let script = text(&treeferry(home.path(), &["completions", "bash"]).stdout);
        fs::write(home.path().join("completion"), script).unwrap();
        Command::new("bash").args(["-n", "completion"]).current_dir(home.path()).output().unwrap()
    };
    assert!(parsed.status.success(), "{parsed:?}");
    let page = text(&treeferry(home.path(), &["man"]).stdout);
    assert!(page.contains(".TH treeferry 1") && page.contains("backup"), "{page}");
    let page = text(&treeferry(home.path(), &["man", "import", "settings"]).stdout);
    assert!(page.contains("FILE.py"), "{page}");
    assert_eq!(treeferry(home.path(), &["man", "fly"]).status.code(), Some(2));
    assert_eq!(treeferry(home.path(), &["completions", "fly"]).status.code(), Some(2));
}
