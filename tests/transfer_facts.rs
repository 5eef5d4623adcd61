//! What `docs/rclone.md` says of rclone, tried on the bare binary, the oldest and the
//! newest: a new version that behaves in another way breaks a test and no backup.

use crate::support::proxy::{Fault, Proxy};
use crate::support::servers::{Protocol, Rclone, RcloneConfiguration, Server};
use crate::support::{scratch, trees::files_below};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// One rclone, a source, and a WebDAV server behind a proxy.
struct Bench {
    scratch: tempfile::TempDir,
    rclone: Rclone,
    proxy: Proxy,
    configuration: RcloneConfiguration,
    // Dropped after the proxy.
    server: Server,
}

/// What became of a command.
struct Said {
    code: Option<i32>,
    lines: Vec<serde_json::Value>,
    all: String,
}

impl Said {
    fn receipts(&self, object: &str, text: &str) -> usize {
        let is_it = |line: &&serde_json::Value| {
            line["object"] == object && line["msg"].as_str().is_some_and(|said| said.starts_with(text))
        };
        self.lines.iter().filter(is_it).count()
    }
}

impl Bench {
    fn new(rclone: Rclone) -> Bench {
        Bench::on(Protocol::Webdav, rclone)
    }

    fn on(protocol: Protocol, rclone: Rclone) -> Bench {
        let scratch = scratch();
        let server = Server::start(protocol, Rclone::Current, &scratch.path().join("served"));
        let proxy = Proxy::start(server.port);
        let configuration = RcloneConfiguration::new(scratch.path());
        configuration.add("remote", &server.remote_settings(proxy.port));
        fs::create_dir(scratch.path().join("source")).unwrap();
        Bench { scratch, rclone, proxy, configuration, server }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn write(&self, name: &str, content: &str) {
        write(&self.source().join(name), content);
    }

    fn serve(&self, name: &str, content: &str) {
        write(&self.server.folder.join(name), content);
    }

    fn served(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.server.folder.join(name)).ok()
    }

    /// Runs one command on `list`, with the flags that the program always gives.
    fn run(&self, arguments: &[&str], list: impl AsRef<[u8]>) -> Said {
        let mut command = self.rclone.command(&self.configuration.path);
        command.args(arguments).args(["--files-from-raw", "-", "--no-traverse"]);
        command.args(["--use-json-log", "--log-level", "INFO", "--no-unicode-normalization"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(list.as_ref()).unwrap();
        let output = child.wait_with_output().unwrap();
        let all = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines = all.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Said { code: output.status.code(), lines, all }
    }

    fn copy(&self, flags: &[&str], list: impl AsRef<[u8]>) -> Said {
        let source = self.source();
        let start = ["copy", source.to_str().unwrap(), "remote:mirror", "--retries", "1"];
        self.run(&[&start, flags].concat(), list)
    }

    /// Requests with this method for a path with this ending.
    fn asked(&self, method: &str, ending: &str) -> usize {
        self.proxy.seen().iter().filter(|seen| seen.method == method && seen.path.ends_with(ending)).count()
    }
}

fn write(place: &Path, content: &str) {
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, content).unwrap();
}

const SEND: &[&str] = &["--no-check-dest", "--low-level-retries", "1"];

#[test]
fn a_failed_upload_is_followed_by_a_deletion_of_its_target() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.serve("mirror/file", "the last good version");
        bench.write("file", "the next version");
        bench.proxy.fail(|seen| (seen.method == "PUT").then_some(Fault::Status(507)));
        let said = bench.copy(SEND, "file\n");
        assert_ne!(said.code, Some(0));
        assert_eq!(said.receipts("file", "Copied"), 0);
        assert_eq!(bench.asked("DELETE", "/mirror/file"), 1, "{rclone:?}: {:#?}", bench.proxy.seen());
        assert_eq!(bench.served("mirror/file"), None, "why old versions go to the trash first");
    }
}

#[test]
fn a_file_sent_over_a_folder_deletes_the_folder() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.serve("mirror/one/a", "a");
        bench.serve("mirror/one/b", "b");
        bench.write("one", "a file");
        bench.copy(SEND, "one\n");
        assert_eq!(bench.served("mirror/one/a"), None, "{rclone:?}: why what is in the way leaves first");
    }
}

#[test]
fn equal_size_counts_as_equal_content_unless_rclone_is_told_not_to_look() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.serve("mirror/file", "old");
        bench.write("file", "new");
        let said = bench.copy(&[], "file\n");
        assert_eq!((said.code, said.receipts("file", "Copied")), (Some(0), 0), "{rclone:?}");
        assert_eq!(bench.served("mirror/file").as_deref(), Some("old"));
        assert_eq!(bench.copy(SEND, "file\n").receipts("file", "Copied ("), 1, "{rclone:?}");
        assert_eq!(bench.served("mirror/file").as_deref(), Some("new"));
    }
}

#[test]
fn a_move_onto_equal_size_deletes_its_source_unless_rclone_is_told_not_to_look() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.serve("mirror/file", "new");
        bench.serve("trash/file", "old");
        // Before the first request: rclone's server remembers for a while what it has seen.
        bench.serve("other/file", "new");
        bench.run(&["move", "remote:mirror", "remote:trash"], "file\n");
        assert_eq!(bench.served("mirror/file"), None, "{rclone:?}");
        assert_eq!(
            bench.served("trash/file").as_deref(),
            Some("old"),
            "{rclone:?}: the moved version is gone"
        );

        let said = bench.run(&["move", "remote:other", "remote:fresh", "--no-check-dest"], "file\n");
        assert_eq!(said.receipts("file", "Moved (server-side)"), 1, "{rclone:?}: {}", said.all);
        assert_eq!(bench.served("fresh/file").as_deref(), Some("new"));
    }
}

#[test]
fn what_is_not_there_is_skipped_without_a_word_and_with_exit_code_0() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.serve("mirror/other", "x");
        let silent = |said: Said, what: &str| {
            assert_eq!(said.code, Some(0), "{rclone:?} {what}: {}", said.all);
            assert_eq!(said.receipts("absent", ""), 0, "{rclone:?} {what}: {}", said.all);
        };
        silent(bench.copy(SEND, "absent\n"), "copy");
        silent(bench.run(&["delete", "remote:mirror"], "absent\n"), "delete");
        silent(bench.run(&["move", "remote:mirror", "remote:trash", "--no-check-dest"], "absent\n"), "move");
        fs::remove_dir(bench.source()).unwrap();
        silent(bench.copy(SEND, "absent\n"), "copy from a folder that is not there");
    }
}

#[test]
fn a_second_attempt_of_the_whole_command_would_send_good_files_again() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        for name in ["good", "bad"] {
            bench.write(name, "x");
        }
        bench
            .proxy
            .fail(|seen| (seen.method == "PUT" && seen.path.ends_with("/bad")).then_some(Fault::Status(403)));
        bench.copy(&[SEND, &["--retries", "2"]].concat(), "good\nbad\n");
        assert_eq!(bench.asked("PUT", "/good"), 2, "{rclone:?}");
        bench.proxy.forget();
        bench.copy(SEND, "good\nbad\n");
        assert_eq!(bench.asked("PUT", "/good"), 1, "{rclone:?}");
    }
}

/// It does so without a wait to speak of; `Retry-After` is not looked at on WebDAV. 405, with
/// which OpenList tells most trouble, is never repeated.
#[test]
fn a_refused_upload_is_repeated_at_once_as_often_as_low_level_retries_says() {
    for rclone in Rclone::BOTH {
        for (status, tries, expected) in
            [(503, "3", 3), (503, "1", 1), (429, "3", 3), (429, "1", 1), (405, "3", 1), (507, "3", 1)]
        {
            let bench = Bench::new(rclone);
            bench.write("file", "x");
            bench.proxy.fail(move |seen| (seen.method == "PUT").then_some(Fault::Status(status)));
            bench.copy(&["--no-check-dest", "--low-level-retries", tries], "file\n");
            assert_eq!(bench.asked("PUT", "/file"), expected, "{rclone:?}: {status} with {tries} tries");
        }
    }
}

#[test]
fn a_file_whose_look_after_the_upload_fails_has_no_receipt_and_is_there() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.serve("mirror/other", "x");
        bench.write("file", "content");
        bench.proxy.fail(|seen| {
            (seen.method == "PROPFIND" && seen.path.ends_with("/mirror/file")).then_some(Fault::Status(404))
        });
        let said = bench.copy(SEND, "file\n");
        assert_eq!(said.receipts("file", "Copied"), 0, "{rclone:?}: {}", said.all);
        assert_eq!(bench.served("mirror/file").as_deref(), Some("content"), "{rclone:?}");
    }
}

#[test]
fn a_folder_in_a_list_stops_the_others_only_before_1_75() {
    for (rclone, sent) in [(Rclone::Current, 1), (Rclone::Oldest, 0)] {
        let bench = Bench::new(rclone);
        bench.write("good", "x");
        fs::create_dir(bench.source().join("folder")).unwrap();
        let said = bench.copy(SEND, "folder\ngood\n");
        assert_eq!(said.receipts("good", "Copied ("), sent, "{rclone:?}: {}", said.all);
        assert_ne!(said.code, Some(0));
    }
}

/// WsgiDAV keeps both names apart; rclone's own server does not.
#[test]
fn twins_of_the_two_normal_forms_are_both_sent_with_the_flag_that_tells_them_apart() {
    for rclone in Rclone::BOTH {
        let bench = Bench::on(Protocol::Wsgidav, rclone);
        for name in ["\u{e9}", "e\u{301}"] {
            bench.write(name, name);
        }
        let said = bench.copy(SEND, "\u{e9}\ne\u{301}\n");
        for name in ["\u{e9}", "e\u{301}"] {
            assert_eq!(said.receipts(name, "Copied ("), 1, "{rclone:?}: {}", said.all);
            assert_eq!(bench.served(&format!("mirror/{name}")).as_deref(), Some(name));
        }
    }
}

/// What a client finds under the very name that it sent, once the server was started anew.
#[test]
fn bytes_that_are_no_text_outlive_a_server_that_is_not_rclones() {
    for (protocol, lives) in [(Protocol::Wsgidav, 1), (Protocol::Webdav, 0)] {
        let mut bench = Bench::on(protocol, Rclone::Current);
        bench.write("plain", "x");
        fs::write(bench.source().join(crate::support::trees::path(b"a\xb5b")), "x").unwrap();
        let list = b"plain\na\xb5b\n";
        // The log shows the byte as U+FFFD.
        let logged = "a\u{FFFD}b";
        let encoding = ["--local-encoding", "Raw", "--webdav-encoding", "Slash,Ctl,Del,InvalidUtf8,Dot"];
        let said = bench.copy(&[SEND, &encoding].concat(), list);
        assert_eq!(said.receipts(logged, "Copied ("), 1, "{protocol:?}: {}", said.all);
        let folder = bench.server.folder.clone();
        bench.server = Server::start(protocol, Rclone::Current, &folder);
        bench.proxy.set_upstream(bench.server.port);
        let said = bench.run(&[&["delete", "remote:mirror"], &encoding[..]].concat(), list);
        assert_eq!(said.receipts("plain", "Deleted"), 1, "{protocol:?}: {}", said.all);
        assert_eq!(said.receipts(logged, "Deleted"), lives, "{protocol:?}: {}", said.all);
    }
}

#[test]
fn a_whole_folder_is_moved_by_one_request_to_a_name_that_is_free() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        for number in 0..20 {
            bench.serve(&format!("mirror/folder/{number}"), "x");
        }
        let mut command = rclone.command(&bench.configuration.path);
        command.args(["moveto", "remote:mirror/folder", "remote:trash/folder", "--no-check-dest"]);
        assert!(command.status().unwrap().success());
        assert_eq!(bench.asked("MOVE", ""), 1, "{rclone:?}: {:#?}", bench.proxy.seen());
        assert_eq!(files_below(&bench.server.folder.join("trash/folder")).len(), 20);
    }
}

#[test]
fn a_folder_is_purged_by_one_deletion() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        for number in 0..20 {
            bench.serve(&format!("trash/run/{number}"), "x");
        }
        let mut command = rclone.command(&bench.configuration.path);
        assert!(command.args(["purge", "remote:trash/run"]).status().unwrap().success());
        assert_eq!(bench.asked("DELETE", ""), 1, "{rclone:?}");
    }
}

#[test]
fn what_a_remote_can_do_is_told_without_a_request() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        let mut command = rclone.command(&bench.configuration.path);
        let output = command.args(["backend", "features", "remote:"]).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for (feature, has) in [("Move", true), ("Copy", true), ("DirMove", true), ("Purge", true)] {
            assert_eq!(answer["Features"][feature], has, "{rclone:?} {feature}");
        }
        assert!(answer["Hashes"].as_array().is_none_or(Vec::is_empty), "{rclone:?}: {answer}");
        assert_eq!(bench.proxy.total(), 0, "{rclone:?}");
    }
}

/// The watchdog and the progress bar live on it.
#[test]
fn statistics_tell_what_is_under_way() {
    for rclone in Rclone::BOTH {
        let bench = Bench::new(rclone);
        bench.write("large", &"x".repeat(400_000));
        let flags = [SEND, &["--stats", "200ms", "--bwlimit", "200k", "--transfers", "1"]].concat();
        let said = bench.copy(&flags, "large\n");
        let under_way = said.lines.iter().any(|line| {
            line["stats"]["transferring"].as_array().is_some_and(|running| {
                running.iter().any(|file| file["name"] == "large" && file["bytes"].is_number())
            })
        });
        assert!(under_way, "{rclone:?}: {}", said.all);
        let last = said.lines.iter().rev().find(|line| line["stats"].is_object()).unwrap();
        assert_eq!(last["stats"]["bytes"], 400_000, "{rclone:?}");
    }
}

/// The table of docs/rclone.md says which test holds which fact.
#[test]
fn every_test_that_the_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/rclone.md")).unwrap();
    let table = document.split("## Fact by fact").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut code = String::new();
    for folder in ["src", "tests"] {
        for file in files_below(&root.join(folder))
            .iter()
            .filter(|file| file.extension().is_some_and(|is| is == "rs"))
        {
            code += &fs::read_to_string(root.join(folder).join(file)).unwrap();
        }
    }
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fact")).collect();
    assert!(rows.len() >= 40, "only {} facts", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || tests.contains("no test"), "nothing holds this fact: {row}");
        missing.extend(names.into_iter().filter(|name| !code.contains(&format!("fn {name}("))));
    }
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
