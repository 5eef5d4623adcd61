//! The contract with rclone (docs/rclone.md), tried on the real thing: the
//! oldest and the newest supported version, against local folders and rclone's
//! own WebDAV and S3 servers on loopback.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use treeferry::model::{
    Batch, BatchItem, FailureClass, Lane, Outcome, Permissions, RunId, Stamp, Timestamp, TreePath,
};
use treeferry::observe::{Counter, Recorder};
use treeferry::transfer::{
    CompanionMove, Control, FolderMove, NameEncoding, Place, Rclone, RcloneError, RcloneSettings, Remotes,
    Session, Transfer,
};

const RUN: RunId = RunId { sequence: 7, started_seconds: 1_795_371_300 };

fn binary(program: &str, variable: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(program);
    if built.exists() {
        return built;
    }
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    named.unwrap_or_else(|| {
        panic!("{} is missing: run `scripts/test`, which fetches it, or set {variable}", built.display())
    })
}

fn newest() -> PathBuf {
    binary("rclone-current/rclone", "TREEFERRY_TEST_RCLONE")
}

fn oldest() -> PathBuf {
    binary("rclone-1.60.1/rclone", "TREEFERRY_TEST_RCLONE_OLD")
}

/// Runs with the newest and with the oldest rclone.
fn with_both(test: fn(&World)) {
    for program in [newest(), oldest()] {
        let world = World::new(program);
        test(&world);
    }
}

/// One rclone with an empty configuration, a source and a place for servers.
struct World {
    directory: tempfile::TempDir,
    rclone: Rclone,
    control: Control,
    observer: Recorder,
}

fn settings(program: PathBuf, directory: &Path, more: &[(&str, String)]) -> RcloneSettings {
    let mut environment: Vec<(OsString, OsString)> =
        vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), directory.into())];
    environment.extend(more.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    RcloneSettings {
        program,
        config: None,
        environment: vec![],
        // Senders that race for a fresh folder are refused now and then (WsgiDAV 500, `rclone serve` 423).
        // A run sends such files again after a wait; here, where one call is looked at, rclone does.
        flags: vec!["--transfers=4".into(), "--low-level-retries=3".into()],
        inherited_environment: environment,
        scratch: directory.to_path_buf(),
    }
}

impl World {
    fn new(program: PathBuf) -> World {
        World::with(program, &[])
    }

    fn with(program: PathBuf, more: &[(&str, String)]) -> World {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("source")).unwrap();
        let (control, observer) = (Control::default(), Recorder::default());
        let rclone = Rclone::detect(settings(program, directory.path(), more), &control, &observer).unwrap();
        World { directory, rclone, control, observer }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn local(&self, path: &str) -> String {
        format!(":local:{}", self.at(path).display())
    }

    fn session(&self) -> Session<'_> {
        self.rclone.session(self.rclone.name_encoding(), &self.control, &self.observer).unwrap()
    }

    fn transfer(&self, mirror: &str, companion: &str) -> Transfer<'_> {
        let remotes =
            Remotes { source: self.at("source"), mirror: mirror.into(), companion: companion.into() };
        Transfer::new(self.session(), remotes, RUN)
    }

    fn transfer_to_local(&self) -> Transfer<'_> {
        self.transfer(&self.local("mirror"), &self.local("companion"))
    }

    fn write(&self, name: impl AsRef<[u8]>, content: &str) -> BatchItem {
        let path = TreePath::from_bytes(name.as_ref()).unwrap();
        let file = path.below(&self.at("source"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        item(&self.at("source"), path)
    }
}

fn item(source: &Path, path: TreePath) -> BatchItem {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path.below(source)).unwrap();
    let time = |seconds, nanoseconds: i64| Timestamp { seconds, nanoseconds: nanoseconds as u32 };
    let stamp = Stamp {
        size: found.len(),
        mtime: time(found.mtime(), found.mtime_nsec()),
        ctime: time(found.ctime(), found.ctime_nsec()),
        inode: found.ino(),
    };
    BatchItem { path, as_link: found.is_symlink(), stamp, permissions: Permissions::default(), digest: None }
}

fn send(transfer: &mut Transfer<'_>, lane: Lane, items: &[BatchItem]) -> Vec<Outcome> {
    let mut heard = 0;
    let outcomes = transfer.send(&Batch { lane, items: items.to_vec() }, &mut |_, _| heard += 1);
    assert_eq!((outcomes.len(), heard), (items.len(), items.len()), "one outcome per path");
    outcomes
}

fn all_confirmed(transfer: &mut Transfer<'_>, lane: Lane, items: &[BatchItem]) {
    if lane == Lane::Trash {
        // As the workflow does: movers that race for a folder are answered 500 by some servers.
        let mut folders: Vec<TreePath> = items.iter().filter_map(|item| item.path.parent()).collect();
        folders.sort();
        folders.dedup();
        folders.retain(|folder| !folder.is_root());
        if !folders.is_empty() {
            transfer.create_folders(Place::Trash(RUN), &folders).unwrap();
        }
    }
    for (item, outcome) in items.iter().zip(send(transfer, lane, items)) {
        assert_eq!(outcome, Outcome::Confirmed, "{lane} of {}", item.path);
    }
}

fn places(items: &[BatchItem]) -> Vec<(TreePath, bool)> {
    items.iter().map(|item| (item.path.clone(), item.as_link)).collect()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server of a folder on loopback; ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(newest());
        command.arg("serve").args(arguments).args(["--addr", &address, "--config", "/dev/null"]);
        Server::wait_for(command, port)
    }

    /// A WebDAV server that is not rclone's own.
    fn wsgidav(folder: &Path) -> Server {
        std::fs::create_dir_all(folder).unwrap();
        let port = free_port();
        let mut command = Command::new(binary("wsgidav", "TREEFERRY_TEST_WSGIDAV"));
        command.args(["--host", "127.0.0.1", "--auth", "anonymous", "--server", "cheroot", "--no-config"]);
        command.arg("--port").arg(port.to_string()).arg("--root").arg(folder);
        Server::wait_for(command, port)
    }

    fn wait_for(mut command: Command, port: u16) -> Server {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server { child, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the test server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn webdav(folder: &Path) -> Server {
        std::fs::create_dir_all(folder).unwrap();
        Server::start(&["webdav", folder.to_str().unwrap()])
    }

    fn s3(folder: &Path) -> Server {
        std::fs::create_dir_all(folder.join("bucket")).unwrap();
        Server::start(&["s3", folder.to_str().unwrap(), "--auth-key", "accesskey,secretkey"])
    }

    fn webdav_remote(&self) -> String {
        format!(":webdav,vendor=other,url=\"http://127.0.0.1:{}\":", self.port)
    }

    fn s3_remote(&self) -> String {
        format!(
            ":s3,provider=Other,access_key_id=accesskey,secret_access_key=secretkey,force_path_style=true,endpoint=\"http://127.0.0.1:{}\":",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names that were trouble for somebody.
fn odd_names() -> Vec<Vec<u8>> {
    let long = "x".repeat(255);
    let text = [
        "plain",
        "line\nbreak",
        "return\rinside",
        "ends in return\r",
        "crlf\r\n",
        "tab\there",
        "bell\x07",
        "esc\x1b[31m",
        "\x01first",
        "del\x7f",
        " leading",
        "trailing ",
        " ",
        "back\\slash",
        "#hash",
        ";semicolon",
        "- dash",
        "-n",
        "--no-traverse",
        "star*",
        "question?",
        "[x]",
        "{a,b}",
        "**",
        "smile😀",
        "nfc\u{e9}",
        "nfde\u{301}",
        "dot.",
        "...",
        ".hidden",
        "a:b",
        "100%",
        "%41",
        "plus+",
        "and&",
        "quote\"",
        "it's",
        "<tag>",
        "pipe|",
        "full\u{FF0F}width",
        "symbol\u{240A}",
        "quoted\u{201B}",
        "null\u{2400}",
        "\u{FF0E}",
        "\u{FF0E}\u{FF0E}",
        "\u{FEFF}bom",
        "bidi\u{202E}x",
        "sep\u{2028}x",
        "\u{2421}del",
        "tilde~",
        "$(x)",
        "name.partial",
        &long,
    ];
    let mut names: Vec<Vec<u8>> = text.iter().map(|name| name.as_bytes().to_vec()).collect();
    names.extend([
        b"latin\xe9".to_vec(),
        b"bad\xff\xfename".to_vec(),
        b"bad\xff\xfdname".to_vec(),
        b"cut\xe2\x82".to_vec(),
    ]);
    names
}

fn can_carry(encoding: NameEncoding, name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let leaf = text.rsplit('/').next().unwrap();
    encoding == NameEncoding::Raw
        || !(leaf.contains('\u{201B}') || ["\u{FF0E}", "\u{FF0E}\u{FF0E}"].contains(&leaf))
}

#[test]
fn odd_names_go_out_and_into_the_trash_byte_for_byte() {
    with_both(|world| {
        let mut transfer = world.transfer_to_local();
        let names = odd_names();
        let items: Vec<_> = names.iter().map(|name| world.write([b"d/", &name[..]].concat(), "x")).collect();
        let encoding = world.rclone.name_encoding();
        for (item, outcome) in items.iter().zip(send(&mut transfer, Lane::Upload, &items)) {
            if can_carry(encoding, item.path.as_bytes()) {
                assert_eq!(outcome, Outcome::Confirmed, "{}", item.path);
                assert!(item.path.below(&world.at("mirror")).is_file(), "{}", item.path);
            } else {
                assert!(
                    matches!(&outcome, Outcome::Failed(failure) if failure.class == FailureClass::File
                    && failure.reason.contains("1.68")),
                    "{outcome:?}"
                );
            }
        }
        let carried: Vec<_> =
            items.into_iter().filter(|item| can_carry(encoding, item.path.as_bytes())).collect();
        all_confirmed(&mut transfer, Lane::Trash, &carried);
        let trash = world.at(&format!("companion/trash/{RUN}"));
        for item in &carried {
            assert!(item.path.below(&trash).is_file() && !item.path.below(&world.at("mirror")).exists());
        }
        let sizes = transfer.look(Place::Trash(RUN), &places(&carried)).unwrap();
        assert_eq!(sizes, vec![Some(1); carried.len()]);
    });
}

/// Names made of what names break on, the same ones every time.
fn random_names(count: usize) -> std::collections::BTreeSet<Vec<u8>> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).unwrap()
    };
    let texts = [
        "\u{201B}", "\u{FF0E}", "\u{FF0F}", "\u{240A}", "\u{2400}", "\u{2421}", "e\u{301}", "\u{e9}", "FF",
        ".",
    ];
    let mut names = std::collections::BTreeSet::new();
    while names.len() < count {
        let mut name = Vec::new();
        for _ in 0..=below(6) {
            match below(4) {
                0 => name.extend_from_slice(texts[below(texts.len())].as_bytes()),
                1 => name.push(u8::try_from(1 + below(255)).unwrap()),
                2 => name.push(u8::try_from(1 + below(32)).unwrap()),
                _ => name.extend_from_slice(&"aZ0 ~".as_bytes()[..=below(4)]),
            }
        }
        name.retain(|byte| *byte != b'/');
        if TreePath::from_bytes(name.clone()).is_ok_and(|path| !path.is_root()) {
            names.insert(name);
        }
    }
    names
}

#[test]
fn random_names_arrive_as_they_are_or_are_named_as_not_carried() {
    with_both(|world| {
        let items: Vec<_> = random_names(400).iter().map(|name| world.write(name, "x")).collect();
        let mut expected = std::collections::BTreeSet::new();
        for (item, outcome) in items.iter().zip(send(&mut world.transfer_to_local(), Lane::Upload, &items)) {
            if can_carry(world.rclone.name_encoding(), item.path.as_bytes()) {
                assert_eq!(outcome, Outcome::Confirmed, "{}", item.path);
                expected.insert(item.path.as_bytes().to_vec());
            } else {
                assert!(matches!(outcome, Outcome::Failed(_)), "{} {outcome:?}", item.path);
            }
        }
        let arrived = std::fs::read_dir(world.at("mirror")).unwrap();
        let arrived = arrived.map(|entry| entry.unwrap().file_name().into_encoded_bytes()).collect();
        assert_eq!(expected, arrived);
    });
}

#[test]
fn a_mirror_begun_with_an_old_rclone_goes_on_with_a_new_one() {
    let world = World::new(newest());
    let server = Server::wsgidav(&world.at("served"));
    let remote = server.webdav_remote();
    let names: Vec<_> =
        odd_names().into_iter().filter(|name| can_carry(NameEncoding::Legacy, name)).collect();
    let mut served = vec![];
    for (mirror, program) in [("old", oldest()), ("new", newest())] {
        let other = World::new(program);
        let session = other.rclone.session(NameEncoding::Legacy, &other.control, &other.observer).unwrap();
        let remotes = Remotes {
            source: other.at("source"),
            mirror: format!("{remote}{mirror}"),
            companion: format!("{remote}companion"),
        };
        let items: Vec<_> = names.iter().map(|name| other.write(name, "x")).collect();
        all_confirmed(&mut Transfer::new(session, remotes, RUN), Lane::Upload, &items);
        let there = std::fs::read_dir(world.at("served").join(mirror)).unwrap();
        let there = there.map(|entry| entry.unwrap().file_name());
        served.push(there.collect::<std::collections::BTreeSet<_>>());
    }
    assert_eq!(served[0], served[1]);
}

#[test]
fn odd_names_live_through_all_lanes_on_webdav() {
    with_both(|world| {
        let server = Server::webdav(&world.at("served"));
        let remote = server.webdav_remote();
        let mut transfer = world.transfer(&format!("{remote}mirror"), &format!("{remote}companion"));
        // rclone's own server takes NFC and NFD for one name, and a symbol for the
        // control character that it stands for: other servers do not.
        let merged = ["nfde\u{301}", "symbol\u{240A}", "null\u{2400}", "\u{2421}del"];
        let items: Vec<_> = odd_names()
            .iter()
            .filter(|name| !merged.iter().any(|merged| merged.as_bytes() == &name[..]))
            .filter(|name| can_carry(world.rclone.name_encoding(), name))
            .map(|name| world.write([b"d/", &name[..]].concat(), "x"))
            .collect();
        all_confirmed(&mut transfer, Lane::Upload, &items);
        assert_eq!(transfer.look(Place::Mirror, &places(&items)).unwrap(), vec![Some(1); items.len()]);
        all_confirmed(&mut transfer, Lane::Trash, &items);
        assert_eq!(transfer.look(Place::Mirror, &places(&items)).unwrap(), vec![None; items.len()]);
        all_confirmed(&mut transfer, Lane::Discard, &items);
    });
}

#[test]
fn all_odd_names_live_through_all_lanes_on_a_foreign_webdav_server() {
    with_both(|world| {
        let server = Server::wsgidav(&world.at("served"));
        let remote = server.webdav_remote();
        let mut transfer = world.transfer(&format!("{remote}mirror"), &format!("{remote}companion"));
        let items: Vec<_> = odd_names()
            .iter()
            .filter(|name| can_carry(world.rclone.name_encoding(), name))
            .map(|name| world.write([b"d/", &name[..]].concat(), "x"))
            .collect();
        all_confirmed(&mut transfer, Lane::Upload, &items);
        assert_eq!(std::fs::read_dir(world.at("served/mirror/d")).unwrap().count(), items.len());
        assert_eq!(transfer.look(Place::Mirror, &places(&items)).unwrap(), vec![Some(1); items.len()]);
        // It takes `folder/;name` as the target of a move for `folder/`, and replaces that folder.
        assert_eq!(transfer.try_companion_move().unwrap(), CompanionMove::OnServerPlainNamesOnly);
        assert_eq!(std::fs::read_dir(world.at("served/companion")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(world.at("served/mirror")).unwrap().count(), 1);
        let mut transfer = transfer.moving_plain_names_only(true);
        let (with, items): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.path.as_bytes().iter().any(|byte| b";?#".contains(byte)));
        let outcomes = send(&mut transfer, Lane::Trash, &with);
        assert_eq!(outcomes.len(), 3);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Failed(_))), "{outcomes:?}");
        all_confirmed(&mut transfer, Lane::Delete, &with);
        all_confirmed(&mut transfer, Lane::Trash, &items);
        assert_eq!(transfer.look(Place::Mirror, &places(&items)).unwrap(), vec![None; items.len()]);
        assert_eq!(transfer.look(Place::Trash(RUN), &places(&items)).unwrap(), vec![Some(1); items.len()]);
        all_confirmed(&mut transfer, Lane::Discard, &items);
    });
}

fn all_lanes(world: &World, remote: &str) {
    let mut transfer = world.transfer(&format!("{remote}/mirror"), &format!("{remote}/companion"));
    let items: Vec<_> = (0..5).map(|n| world.write(format!("a/{n}/file"), &"x".repeat(n))).collect();
    all_confirmed(&mut transfer, Lane::Upload, &items);
    let sizes: Vec<_> = items.iter().map(|item| Some(item.stamp.size)).collect();
    assert_eq!(transfer.look(Place::Mirror, &places(&items)).unwrap(), sizes);
    all_confirmed(&mut transfer, Lane::Trash, &items[..3]);
    all_confirmed(&mut transfer, Lane::Delete, &items[3..]);
    assert_eq!(transfer.look(Place::Mirror, &places(&items)).unwrap(), vec![None; 5]);
    assert_eq!(transfer.look(Place::Trash(RUN), &places(&items[..3])).unwrap(), sizes[..3]);
    all_confirmed(&mut transfer, Lane::Discard, &items[..3]);

    // Missing is silent for rclone, and no proof of anything for us.
    assert_eq!(send(&mut transfer, Lane::Delete, &items[..1]), [Outcome::Unknown]);
    assert_eq!(send(&mut transfer, Lane::Trash, &items[..1]), [Outcome::Unknown]);
}

#[test]
fn every_lane_gives_receipts_on_webdav() {
    with_both(|world| {
        let server = Server::webdav(&world.at("served"));
        all_lanes(world, &format!("{}base", server.webdav_remote()));
    });
}

#[test]
fn every_lane_gives_receipts_on_s3() {
    with_both(|world| {
        let server = Server::s3(&world.at("served"));
        all_lanes(world, &format!("{}bucket/base", server.s3_remote()));
    });
}

#[test]
fn every_lane_gives_receipts_on_a_local_folder() {
    with_both(|world| all_lanes(world, &world.local("base")));
}

#[test]
fn what_changed_before_its_turn_is_not_sent_and_does_not_stop_the_others() {
    with_both(|world| {
        let good = world.write("good", "x");
        let gone = world.write("gone", "x");
        let changed = world.write("changed", "x");
        let fifo = world.write("fifo", "x");
        let directory = world.write("directory", "x");
        std::fs::remove_file(world.at("source/gone")).unwrap();
        std::fs::write(world.at("source/changed"), "xy").unwrap();
        for name in ["source/fifo", "source/directory"] {
            std::fs::remove_file(world.at(name)).unwrap();
        }
        assert!(Command::new("mkfifo").arg(world.at("source/fifo")).status().unwrap().success());
        std::fs::create_dir(world.at("source/directory")).unwrap();
        let outcomes =
            send(&mut world.transfer_to_local(), Lane::Upload, &[good, gone, changed, fifo, directory]);
        use Outcome::*;
        assert_eq!(outcomes, [Confirmed, Vanished, ChangedMeanwhile, ChangedMeanwhile, ChangedMeanwhile]);
        assert_eq!(std::fs::read_dir(world.at("mirror")).unwrap().count(), 1);
    });
}

#[test]
fn an_unreadable_name_on_the_remote_fails_alone_with_its_reason() {
    with_both(|world| {
        std::fs::create_dir_all(world.at("mirror/blocked")).unwrap();
        std::fs::write(world.at("mirror/blocked/file"), "x").unwrap();
        let items = [world.write("blocked", "x"), world.write("good", "x")];
        let outcomes = send(&mut world.transfer_to_local(), Lane::Upload, &items);
        assert!(matches!(&outcomes[0], Outcome::Failed(_)), "{outcomes:?}");
        assert_eq!(outcomes[1], Outcome::Confirmed);
    });
}

#[test]
fn links_travel_as_rclonelink_files_beside_regular_files() {
    with_both(|world| {
        let file = world.write("d/file", "x");
        std::os::unix::fs::symlink("../elsewhere", world.at("source/d/link")).unwrap();
        let link = item(&world.at("source"), TreePath::from_bytes("d/link").unwrap());
        let mut transfer = world.transfer_to_local();
        let items = [file, link];
        all_confirmed(&mut transfer, Lane::Upload, &items);
        assert_eq!(std::fs::read_to_string(world.at("mirror/d/link.rclonelink")).unwrap(), "../elsewhere");
        let batch = Batch { lane: Lane::Upload, items: items.to_vec() };
        assert_eq!(transfer.compare_by_hash(&batch).unwrap(), [true, true]);
        all_confirmed(&mut transfer, Lane::Trash, &items);
    });
}

#[test]
fn names_that_the_log_shows_alike_go_in_processes_of_their_own() {
    with_both(|world| {
        let items = [world.write(b"a\xff", "1"), world.write(b"a\xfe", "22"), world.write("b", "333")];
        let before = world.observer.counted(Counter::RcloneProcesses);
        all_confirmed(&mut world.transfer_to_local(), Lane::Upload, &items);
        assert_eq!(world.observer.counted(Counter::RcloneProcesses) - before, 2);
    });
}

#[test]
fn a_hash_tells_equal_content_from_equal_size() {
    with_both(|world| {
        let server = Server::s3(&world.at("served"));
        let remote = format!("{}bucket", server.s3_remote());
        assert!(!world.session().features(&remote).unwrap().hashes.is_empty());
        let mut transfer = world.transfer(&format!("{remote}/m"), &format!("{remote}/c"));
        let items = [world.write("same", "abc"), world.write("other", "abc"), world.write("missing", "abc")];
        all_confirmed(&mut transfer, Lane::Upload, &items[..2]);
        world.write("other", "xyz");
        let batch = Batch { lane: Lane::Upload, items: items.to_vec() };
        assert_eq!(transfer.compare_by_hash(&batch).unwrap(), [true, false, false]);
    });
}

#[test]
fn equal_sizes_are_no_hash() {
    with_both(|world| {
        let server = Server::webdav(&world.at("served"));
        let remote = server.webdav_remote();
        assert!(world.session().features(&remote).unwrap().hashes.is_empty());
        let mut transfer = world.transfer(&format!("{remote}m"), &format!("{remote}c"));
        let items = [world.write("same", "abc")];
        all_confirmed(&mut transfer, Lane::Upload, &items);
        let batch = Batch { lane: Lane::Upload, items: items.to_vec() };
        assert_eq!(transfer.compare_by_hash(&batch).unwrap(), [false]);
    });
}

fn small_verbs(world: &World, remote: &str) {
    let session = world.session();
    let owner = format!("{remote}/companion/owner-1");
    assert_eq!(session.read_small(&owner).unwrap(), None);
    session.write_small(&owner, b"mirror 1\nrun 2\n").unwrap();
    assert_eq!(session.read_small(&owner).unwrap().as_deref(), Some(&b"mirror 1\nrun 2\n"[..]));
    let listed = session.list_folder(&format!("{remote}/companion")).unwrap().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].name.as_str(), listed[0].size, listed[0].is_directory),
        ("owner-1", Some(15), false)
    );
    assert!(session.delete_file(&owner).unwrap());
    assert!(!session.delete_file(&owner).unwrap());
    assert_eq!(session.list_folder(&format!("{remote}/nowhere")).unwrap().unwrap_or_default(), vec![]);

    let transfer = world.transfer(&format!("{remote}/mirror"), &format!("{remote}/companion"));
    assert_eq!(transfer.try_companion_move().unwrap(), CompanionMove::OnServer);
    assert_eq!(session.list_folder(&format!("{remote}/mirror")).unwrap().unwrap_or_default(), vec![]);
    session.write_small(&format!("{remote}/companion/trash/1/f"), b"x").unwrap();
    assert!(session.purge(&format!("{remote}/companion/trash/1")).unwrap());
    assert_eq!(session.read_small(&format!("{remote}/companion/trash/1/f")).unwrap(), None);
    assert!(session.purge(remote.split(':').next().unwrap()).is_err());
}

#[test]
fn small_files_and_folders_work_on_webdav() {
    with_both(|world| {
        let server = Server::webdav(&world.at("served"));
        small_verbs(world, &format!("{}base", server.webdav_remote()));
        assert!(!world.session().purge(&format!("{}nowhere", server.webdav_remote())).unwrap());
    });
}

#[test]
fn small_files_and_folders_work_on_s3() {
    with_both(|world| {
        let server = Server::s3(&world.at("served"));
        small_verbs(world, &format!("{}bucket/base", server.s3_remote()));
    });
}

#[test]
fn small_files_and_folders_work_on_a_local_folder() {
    with_both(|world| {
        small_verbs(world, &world.local("base"));
        assert!(!world.session().purge(&world.local("nowhere")).unwrap());
    });
}

#[test]
fn a_move_between_two_storages_is_told_from_one_on_the_server() {
    with_both(|world| {
        let server = Server::webdav(&world.at("served"));
        let transfer =
            world.transfer(&format!("{}mirror", server.webdav_remote()), &world.local("companion"));
        assert_eq!(transfer.try_companion_move().unwrap(), CompanionMove::ThroughHere);
        assert_eq!(std::fs::read_dir(world.at("companion")).unwrap().count(), 0);
    });
}

#[test]
fn folders_are_made_ahead_and_moved_whole() {
    with_both(|world| {
        let server = Server::webdav(&world.at("served"));
        let remote = server.webdav_remote();
        let mut transfer = world.transfer(&format!("{remote}mirror"), &format!("{remote}companion"));
        let folders = ["a/b/c", "a/line\nbreak", "d"].map(|path| TreePath::from_bytes(path).unwrap());
        transfer.create_folders(Place::Mirror, &folders).unwrap();
        assert!(world.at("served/mirror/a/b/c").is_dir() && world.at("served/mirror/d").is_dir());
        all_confirmed(&mut transfer, Lane::Upload, &[world.write("a/line\nbreak/file", "x")]);
        assert_eq!(
            transfer.move_folder(&TreePath::from_bytes("a/line\nbreak").unwrap()),
            FolderMove::Confirmed
        );
        let moved = [(TreePath::from_bytes("a/line\nbreak/file").unwrap(), false)];
        assert_eq!(transfer.look(Place::Trash(RUN), &moved).unwrap(), [Some(1)]);
        assert_eq!(transfer.look(Place::Mirror, &moved).unwrap(), [None]);
        let again = transfer.move_folder(&TreePath::from_bytes("nowhere").unwrap());
        assert_ne!(again, FolderMove::Confirmed);
    });
}

#[test]
fn a_remote_that_does_not_answer_is_unwell() {
    with_both(|world| {
        let port = free_port();
        let remote = format!(":webdav,vendor=other,url=\"http://127.0.0.1:{port}\":");
        let mut transfer = world.transfer(&format!("{remote}m"), &format!("{remote}c"));
        let outcomes = send(&mut transfer, Lane::Upload, &[world.write("a", "x")]);
        assert!(
            matches!(&outcomes[0], Outcome::Failed(failure) if failure.class == FailureClass::RemoteUnwell),
            "{outcomes:?}"
        );
        let failure = world.session().list_folder(&remote).unwrap_err();
        assert_eq!(failure.class, FailureClass::RemoteUnwell, "{failure:?}");
    });
}

#[test]
fn a_wrong_password_is_told_and_never_shown() {
    with_both(|world| {
        std::fs::create_dir_all(world.at("served")).unwrap();
        let folder = world.at("served");
        let server = Server::start(&["webdav", folder.to_str().unwrap(), "--user", "me", "--pass", "right"]);
        let remote = format!(":webdav,vendor=other,url=\"http://me:wr0ng@127.0.0.1:{}\":", server.port);
        let mut transfer = world.transfer(&format!("{remote}m"), &format!("{remote}c"));
        let items: Vec<_> = (0..30).map(|n| world.write(format!("{n}"), "x")).collect();
        let outcomes = send(&mut transfer, Lane::Upload, &items);
        assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Confirmed));
        assert_eq!(transfer.last_trouble().unwrap().class, FailureClass::Authentication, "{outcomes:?}");
        assert_eq!(world.session().list_folder(&remote).unwrap_err().class, FailureClass::Authentication);
        let heard = format!("{:?} {outcomes:?}", world.observer.events());
        assert!(!heard.contains("wr0ng"), "{heard}");
    });
}

#[test]
fn a_remote_that_is_not_configured_is_rclones_trouble() {
    with_both(|world| {
        assert!(!world.session().remote_exists("nosuch:x").unwrap());
        assert!(world.session().remote_exists(":local:/x").unwrap());
        let mut transfer = world.transfer("nosuch:m", "nosuch:c");
        let outcomes = send(&mut transfer, Lane::Upload, &[world.write("a", "x")]);
        assert!(
            matches!(&outcomes[0], Outcome::Failed(failure) if failure.class == FailureClass::Rclone),
            "{outcomes:?}"
        );
    });
    for program in [newest(), oldest()] {
        let more = [("RCLONE_CONFIG_HERE_TYPE", "local".to_owned()), ("RCLONE_DRY_RUN", "true".to_owned())];
        let world = World::with(program, &more);
        assert!(world.session().remote_exists("here:x").unwrap());
        // A dry run from the environment would give no receipt.
        let mut transfer = world.transfer(&format!("here:{}", world.at("m").display()), "here:/x");
        all_confirmed(&mut transfer, Lane::Upload, &[world.write("a", "x")]);
    }
}

#[test]
fn an_encrypted_configuration_without_its_password_is_an_error_and_no_prompt() {
    for program in [newest(), oldest()] {
        let config = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config.path(), "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
        let mut world = World::new(program.clone());
        let mut settings = settings(program, world.directory.path(), &[]);
        settings.config = Some(config.path().to_path_buf());
        world.rclone = Rclone::detect(settings, &world.control, &world.observer).unwrap();
        let failure = world.session().remote_exists("photos:x").unwrap_err();
        assert_eq!(failure.class, FailureClass::Rclone);
        assert!(failure.reason.contains("password"), "{failure:?}");
    }
}

/// A stand-in, for what the real rclone cannot be made to do.
fn stand_in(directory: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let program = directory.join("stand-in");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && {{ echo rclone v1.75.2; exit; }}\ncat >/dev/null\n{script}\n"
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn copied(name: &str) -> String {
    format!(r#"echo '{{"level":"info","msg":"Copied (new)","object":"{name}"}}' >&2"#)
}

fn outcomes_of(script: &str, control: Control) -> Vec<Outcome> {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(newest());
    world.control = control;
    world.rclone = Rclone::detect(
        settings(stand_in(directory.path(), script), directory.path(), &[]),
        &world.control,
        &world.observer,
    )
    .unwrap();
    let items = [world.write("a", "x"), world.write("b", "x")];
    send(&mut world.transfer_to_local(), Lane::Upload, &items)
}

#[test]
fn garbage_and_sudden_death_leave_receipts_and_doubts() {
    use Outcome::*;
    let garbage = format!("printf '\\377\\n{{\\n' >&2; {}; echo panic: oh >&2; kill -9 $$", copied("a"));
    assert_eq!(outcomes_of(&garbage, Control::default()), [Confirmed, Unheard]);
    let fatal = format!("{}; exit 7", copied("a"));
    assert_eq!(outcomes_of(&fatal, Control::default()), [Confirmed, Unheard]);
}

fn failed(name: &str, why: &str) -> String {
    format!(r#"echo '{{"level":"error","msg":"Failed to copy: {why}","object":"{name}"}}' >&2"#)
}

#[test]
fn each_kind_of_failure_has_its_class_and_an_answer_that_did_not_come_is_unknown() {
    let script =
        format!("{}; {}; exit 1", failed("a", "507 Insufficient Storage"), failed("b", "i/o timeout"));
    let outcomes = outcomes_of(&script, Control::default());
    assert!(matches!(&outcomes[0], Outcome::Failed(failure) if failure.class == FailureClass::RemoteFull));
    assert_eq!(outcomes[1], Outcome::Unknown);

    // A receipt counts, even after an error of an earlier try.
    let script = format!("{}; {}; {}", failed("a", "500"), copied("a"), copied("b"));
    assert_eq!(outcomes_of(&script, Control::default()), [Outcome::Confirmed, Outcome::Confirmed]);
}

#[test]
fn a_login_that_fails_ends_the_batch_at_once() {
    let script = format!("{}; sleep 1000; {}", failed("a", "401 Unauthorized"), copied("b"));
    let outcomes = outcomes_of(&script, Control::default());
    assert!(
        matches!(&outcomes[0], Outcome::Failed(failure) if failure.class == FailureClass::Authentication)
    );
    assert_eq!(outcomes[1], Outcome::Unheard);
}

#[test]
fn a_hanging_rclone_is_ended_and_what_was_open_is_unknown() {
    let control = Control { no_progress: Duration::from_millis(500), ..Control::default() };
    let script = format!("{}; sleep 1000", copied("b"));
    assert_eq!(outcomes_of(&script, control), [Outcome::Unheard, Outcome::Confirmed]);
}

#[test]
fn a_stop_gives_grace_and_then_ends_it() {
    let control = Control { grace: Duration::from_millis(300), ..Control::default() };
    control.stop.finish();
    // Asked for before the start: nothing is started.
    assert_eq!(outcomes_of(&copied("a"), control), [Outcome::NotAttempted, Outcome::NotAttempted]);

    let control = Control { grace: Duration::from_millis(300), ..Control::default() };
    let stop = control.stop.clone();
    let control = Control {
        record_process: Box::new(move |_| {
            stop.finish();
            Ok(())
        }),
        ..control
    };
    let directory = tempfile::tempdir().unwrap();
    let program = stand_in(directory.path(), &format!("{}; sleep 1000", copied("a")));
    // Detected without the control that stops.
    let mut world = World::new(newest());
    world.rclone =
        Rclone::detect(settings(program, directory.path(), &[]), &world.control, &world.observer).unwrap();
    world.control = control;
    let items = [world.write("a", "x"), world.write("b", "x")];
    let outcomes = send(&mut world.transfer_to_local(), Lane::Upload, &items);
    assert_eq!(outcomes, [Outcome::Confirmed, Outcome::Unheard]);
}

#[test]
fn a_file_changed_between_receipt_and_look_is_not_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(newest());
    let script = format!("echo changed > {}; {}", world.at("source/a").display(), copied("a"));
    let program = stand_in(directory.path(), &script);
    world.rclone =
        Rclone::detect(settings(program, directory.path(), &[]), &world.control, &world.observer).unwrap();
    let items = [world.write("a", "x")];
    assert_eq!(send(&mut world.transfer_to_local(), Lane::Upload, &items), [Outcome::ChangedMeanwhile]);
}

#[test]
fn a_missing_or_strange_or_ancient_program_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (control, observer) = (Control::default(), Recorder::default());
    let detect = |program: &Path| {
        Rclone::detect(settings(program.into(), directory.path(), &[]), &control, &observer).err()
    };
    assert!(matches!(detect(Path::new("/nowhere/rclone")), Some(RcloneError::NotStartable { .. })));
    assert!(matches!(detect(Path::new("/bin/true")), Some(RcloneError::NotRclone { .. })));
    // A bare name is looked up in the PATH that was given.
    assert!(matches!(detect(Path::new("true")), Some(RcloneError::NotRclone { .. })));
    let old = directory.path().join("old");
    std::fs::write(&old, "#!/bin/sh\necho rclone v1.53.3\n").unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = detect(&old);
    assert!(matches!(error, Some(RcloneError::TooOld { .. })), "{error:?}");
}
