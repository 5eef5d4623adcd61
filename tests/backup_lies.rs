//! A remote, or a source, that is for a while not what it was: nothing that is
//! known to be held may be lost over it.

use crate::backup_endings::back_up_without_waits;
use crate::support::proxy::{Fault, Manners, Seen};
use crate::support::servers::{Protocol, Rclone};
use crate::support::trees::{Plan, files_below, path};
use crate::support::world::{JOB, World};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use treeferry::index::Docket;

/// A driver behind a relay that answers 404 for one folder (OpenList does, for any error).
fn a_folder_denies_itself(folder: &'static str, has_sibling: bool) {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 1).plant(&world.source().join("elsewhere"));
    world.write("up/down/changed", "the first version");
    if has_sibling {
        world.write("up/down/beside", "stays as it is");
    }
    for name in ["changed", "deleted", "stays"] {
        world.write(&format!("apart/{name}"), "the first version");
    }
    world.backup(&[]).expect(0);

    world.write("up/down/changed", "the second version, longer");
    world.write("apart/changed", "the second version, longer");
    fs::remove_file(world.source().join("apart/deleted")).unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(move |seen| {
        let is_asked = matches!(seen.method.as_str(), "PROPFIND" | "MOVE");
        (is_asked && seen.path.contains(folder) && !seen.path.contains(".treeferry"))
            .then_some(Fault::Status(404))
    });
    world.backup(&[]).expect(5).says("up/down/changed");
    proxy.heal();
    let held = |path: &str| fs::read_to_string(world.mirror().join(path)).ok();
    assert_eq!(held("up/down/changed").as_deref(), Some("the first version"), "it was overwritten unseen");
    assert_eq!(
        held("apart/changed").as_deref(),
        Some("the second version, longer"),
        "the others waited for it"
    );
    assert_eq!(held("apart/deleted"), None, "the others waited for it");

    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("up/down/changed"), ["the first version"]);
}

#[test]
fn a_folder_that_denies_its_files_is_not_believed() {
    a_folder_denies_itself("up/down", true);
}

/// While `path`, or what lies below it, is asked for or moved, the server says that it is not there.
fn denies(world: &World, path: &'static str) {
    world.proxy.as_ref().unwrap().fail(move |seen| {
        let is_asked = matches!(seen.method.as_str(), "PROPFIND" | "MOVE");
        let asked = seen.path.trim_end_matches('/');
        let is_of_it = asked.ends_with(path) || asked.contains(&format!("{path}/"));
        (is_asked && is_of_it && !asked.contains(".treeferry")).then_some(Fault::Status(404))
    });
}

/// WebDAV remotes delete the whole folder for a file of its name.
#[test]
fn a_file_does_not_go_up_over_a_folder_that_is_denied_and_listed_above() {
    for rclone in Rclone::BOTH {
        let world = World::served(Protocol::Webdav, rclone);
        world.write("beside", "stays");
        let below = ["turns/one", "turns/two", "turns/below/three"];
        below.iter().for_each(|name| world.write(name, name));
        world.backup(&[]).expect(0);
        fs::remove_dir_all(world.source().join("turns")).unwrap();
        world.write("turns", "a file now");
        world.write("new", "is sent all the same");
        denies(&world, "/turns");
        let report = back_up_without_waits(&world);
        let is_named = report.unprotected.named.iter().any(|(path, _)| path.as_bytes() == b"turns");
        assert!(is_named, "{report:?}");
        for name in below {
            let held = fs::read_to_string(world.mirror().join(name));
            assert_eq!(held.ok().as_deref(), Some(name), "{rclone:?}");
        }
        assert!(world.mirror().join("new").is_file(), "the others waited for it: {report:?}");
        world.proxy.as_ref().unwrap().heal();
        world.backup(&[]).expect(0);
        world.assert_mirror_equals_source();
        below.iter().for_each(|name| assert_eq!(world.trashed(name), [*name]));
    }
}

/// Everybody beside it is shown, and so is it, by the listing.
fn is_denied_and_listed(path: &'static str) {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    for name in ["turns", "changed", "beside"] {
        world.write(name, "the first version");
    }
    world.backup(&[]).expect(0);
    fs::remove_file(world.source().join("turns")).unwrap();
    world.write("turns/into/a folder", "new");
    world.write("changed", "the second version, longer");
    denies(&world, path);
    let report = back_up_without_waits(&world);
    assert!(format!("{report:?}").contains("lists it in its folder"), "{report:?}");
    let held = fs::read_to_string(world.mirror().join(&path[1..]));
    assert_eq!(held.ok().as_deref(), Some("the first version"), "{path}");
    world.proxy.as_ref().unwrap().heal();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed(&path[1..]), ["the first version"]);
}

#[test]
fn a_changed_file_that_is_denied_and_listed_is_not_taken_for_gone() {
    is_denied_and_listed("/changed");
}

#[test]
fn a_file_that_became_a_folder_and_is_denied_and_listed_is_not_taken_for_gone() {
    is_denied_and_listed("/turns");
}

/// The nearest one that is asked about it is missing, too: others of its folder speak for the remote.
#[test]
fn two_files_that_were_deleted_on_the_mirror_hold_up_no_run() {
    for protocol in [None, Some(Protocol::Webdav)] {
        let rclone = Rclone::Current;
        let mut world =
            protocol.map_or_else(|| World::local(rclone), |protocol| World::served(protocol, rclone));
        for number in 0..8 {
            world.write(&format!("d/f{number}"), "the first version");
        }
        world.backup(&[]).expect(0);
        for name in ["d/f0", "d/f5"] {
            fs::remove_file(world.mirror().join(name)).unwrap();
        }
        if protocol.is_some() {
            // It remembers its folders for a while.
            world.renew_server();
        }
        world.write("d/f5", "the second version, longer");
        let report = back_up_without_waits(&world);
        assert_eq!(report.unprotected.total, 0, "{report:?}");
        let held = fs::read_to_string(world.mirror().join("d/f5")).unwrap();
        assert_eq!(held, "the second version, longer", "{protocol:?}");
    }
}

/// `rclone serve webdav` shows such names only until it reads the folder again.
fn several_files_whose_names_are_no_text_change(rclone: Rclone, with_text: bool) {
    let mut world = World::served(Protocol::Webdav, rclone);
    let names = [b"a\xb5b", b"c\xb5d", b"e\xb5f"].map(|name| path(name));
    let write = |world: &World, content: &str| {
        for name in &names {
            fs::create_dir_all(world.source().join("down")).unwrap();
            fs::write(world.source().join("down").join(name), content).unwrap();
        }
    };
    write(&world, "the first version");
    if with_text {
        world.write("down/text", "stays");
    }
    world.write("elsewhere/changed", "the first version");
    world.write("elsewhere/deleted", "the first version");
    world.backup(&[]).expect(0);
    world.renew_server();
    // The third is there, and hidden: it must not be what tells of the others.
    for name in &names[..2] {
        fs::write(world.source().join("down").join(name), "the second version, longer").unwrap();
    }
    world.write("elsewhere/changed", "the second version, longer");
    fs::remove_file(world.source().join("elsewhere/deleted")).unwrap();
    let report = back_up_without_waits(&world);
    assert_eq!(world.trashed("elsewhere/changed"), ["the first version"], "{report:?}");
    assert_eq!(world.trashed("elsewhere/deleted"), ["the first version"], "{report:?}");
    assert_eq!(report.unprotected.total, 2, "{report:?}");
    assert!(format!("{report:?}").contains("are no text"), "{report:?}");
    let first_versions = |world: &World| {
        files_below(&world.mirror().join("down"))
            .into_iter()
            .filter(|name| fs::read(world.mirror().join("down").join(name)).unwrap() == b"the first version")
            .count()
    };
    assert_eq!(first_versions(&world), 3, "no version was written over on the disk of the server");
    world.renew_server();
    world.backup(&[]).expect(3);
    // One goes, is known as kept, and comes back: it is no new file then.
    let gone = world.source().join("down").join(&names[0]);
    fs::remove_file(&gone).unwrap();
    let report = back_up_without_waits(&world);
    let unprotected = if with_text { 1 } else { 2 };
    assert_eq!(report.unprotected.total, unprotected, "{report:?}");
    fs::write(&gone, "the third version").unwrap();
    let report = back_up_without_waits(&world);
    assert_eq!(report.unprotected.total, 2, "{report:?}");
    assert_eq!(first_versions(&world), 3);
}

#[test]
fn a_witness_whose_name_is_no_text_is_not_asked_where_there_is_another() {
    several_files_whose_names_are_no_text_change(Rclone::Current, true);
}

#[test]
fn a_witness_whose_name_is_no_text_and_is_hidden_tells_nothing() {
    several_files_whose_names_are_no_text_change(Rclone::Oldest, false);
}

#[test]
fn a_folder_that_denies_its_only_file_is_not_believed_while_it_is_listed_above() {
    a_folder_denies_itself("up/down", false);
}

/// While `is_armed`: from the first version that leaves `folder` on, which does leave, nothing is there.
struct DeniesFromTheFirstMove {
    folder: &'static str,
    is_armed: Arc<AtomicBool>,
    denies: AtomicBool,
    /// Made then.
    obstacle: Option<PathBuf>,
}

impl Manners for DeniesFromTheFirstMove {
    fn instead(&self, seen: &Seen) -> Option<u16> {
        let is_denied = self.is_armed.load(Ordering::SeqCst) && self.denies.load(Ordering::SeqCst);
        (is_denied && seen.method != "MOVE" && seen.path.contains(self.folder)).then_some(404)
    }

    fn reply(&self, seen: &Seen, status: u16) -> u16 {
        let is_move = seen.method == "MOVE" && seen.path.contains(self.folder);
        if !is_move || !self.is_armed.load(Ordering::SeqCst) {
            return status;
        }
        self.denies.store(true, Ordering::SeqCst);
        if let Some(obstacle) = &self.obstacle {
            let _ = fs::create_dir(obstacle);
        }
        404
    }
}

/// As after a run with checkpoints: what the index reaches is not measured yet, and the
/// end of the next run puts that into the docket.
fn forget_how_much_of_the_index_is_alive(world: &World) {
    let path = world.configuration.state_dir.join(JOB).join("docket");
    let docket = Docket::decode(&fs::read(&path).unwrap()).unwrap();
    fs::write(path, Docket { live_bytes: Docket::LIVE_BYTES_UNKNOWN, ..docket }.encode()).unwrap();
}

#[test]
fn a_version_that_left_unseen_is_found_whatever_else_the_run_wanted_to_write_down() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 1).plant(&world.source().join("elsewhere"));
    world.write("up/down/changed", "the first version");
    world.write("up/down/beside", "stays as it is");
    world.backup(&[]).expect(0);
    forget_how_much_of_the_index_is_alive(&world);

    world.write("up/down/changed", "the second version, longer");
    let is_armed = Arc::new(AtomicBool::new(true));
    world.proxy.as_ref().unwrap().set_manners(DeniesFromTheFirstMove {
        folder: "up/down",
        is_armed: Arc::clone(&is_armed),
        denies: AtomicBool::new(false),
        obstacle: None,
    });
    world.backup(&[]).expect(5).says("up/down/changed");
    assert_eq!(world.trashed("up/down/changed"), ["the first version"], "the server did move it");
    is_armed.store(false, Ordering::SeqCst);

    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    world.program.run(&["log", "up/down/changed"]).expect(0).says("in the trash of 000002-");
}

/// The docket is the new one by then, and the journal that was to name the open move is not there.
#[test]
fn a_version_that_left_unseen_is_found_though_the_run_died_before_its_journal_began_anew() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 1).plant(&world.source().join("elsewhere"));
    world.write("up/down/changed", "the first version");
    world.write("up/down/beside", "stays as it is");
    world.backup(&[]).expect(0);

    world.write("up/down/changed", "the second version, longer");
    let is_armed = Arc::new(AtomicBool::new(true));
    let obstacle = world.configuration.state_dir.join(JOB).join(".journal.new");
    let proxy = world.proxy.as_ref().unwrap();
    proxy.set_manners(DeniesFromTheFirstMove {
        folder: "up/down",
        is_armed: Arc::clone(&is_armed),
        denies: AtomicBool::new(false),
        obstacle: Some(obstacle.clone()),
    });
    world.backup(&[]).expect(1).says("the journal");
    assert_eq!(world.trashed("up/down/changed"), ["the first version"], "the server did move it");
    is_armed.store(false, Ordering::SeqCst);
    fs::remove_dir(obstacle).unwrap();

    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    world.program.run(&["log", "up/down/changed"]).expect(0).says("in the trash of 000002-");
    let requests = world.requests();
    world.backup(&[]).expect(0);
    assert_eq!(world.requests(), requests);
}

#[test]
fn a_remote_that_shows_nothing_but_the_owner_file_ends_the_run() {
    let world = World::served(Protocol::Webdav, Rclone::Current);
    Plan::plain(20, 1).plant(&world.source().join("elsewhere"));
    world.write("folder/changed", "the first version");
    world.write("apart/deleted", "the first version");
    world.backup(&[]).expect(0);

    world.write("folder/changed", "the second version, longer");
    fs::remove_file(world.source().join("apart/deleted")).unwrap();
    let proxy = world.proxy.as_ref().unwrap();
    proxy.fail(move |seen| {
        let is_asked = matches!(seen.method.as_str(), "PROPFIND" | "MOVE");
        (is_asked && !seen.path.contains(".treeferry")).then_some(Fault::Status(404))
    });
    world.backup(&[]).expect(5).says("nothing more is sent");
    proxy.heal();
    assert_eq!(fs::read_to_string(world.mirror().join("folder/changed")).unwrap(), "the first version");
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    assert_eq!(world.trashed("apart/deleted"), ["the first version"]);
    assert_eq!(world.trashed("folder/changed"), ["the first version"]);
}

#[test]
fn a_source_that_is_moved_away_in_mid_run_loses_the_mirror_no_more_than_one_pair() {
    let mut world = World::local(Rclone::Current);
    for number in 0..5 {
        world.write(&format!("changed-{number}"), "the first version");
        world.write(&format!("deleted-{number}"), "the first version");
    }
    Plan::plain(40, 1).plant(&world.source().join("stay"));
    world.backup(&[]).expect(0);
    for number in 0..5 {
        world.write(&format!("changed-{number}"), "the second version, longer");
        fs::remove_file(world.source().join(format!("deleted-{number}"))).unwrap();
    }
    let (source, away) = (world.source(), world.root().join("away"));
    let once = world.root().join("meddled");
    world.before_rclone(&format!(
        "if [ \"$1\" = move ] && ! [ -e '{once}' ]; then touch '{once}'; \"$real\" \"$@\"; code=$?; \
         mv '{source}' '{away}'; exit $code; fi",
        once = once.display(),
        source = source.display(),
        away = away.display()
    ));
    world.backup(&[]).expect(13).says("does not lead any more");
    for number in 0..5 {
        assert_eq!(
            world.trashed(&format!("changed-{number}")),
            ["the first version"],
            "the old version is nowhere"
        );
        assert!(world.mirror().join(format!("deleted-{number}")).exists(), "and it went on deleting");
    }
    fs::rename(away, source).unwrap();
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
}

#[test]
fn a_link_and_a_file_of_one_name_change_places_and_no_version_is_lost() {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    Plan::plain(10, 1).plant(&world.source());
    std::os::unix::fs::symlink("target", world.source().join("it")).unwrap();
    world.backup(&[]).expect(0);
    assert!(world.mirror().join("it.rclonelink").exists());

    fs::remove_file(world.source().join("it")).unwrap();
    world.write("it", "the first version");
    world.backup(&[]).expect(0);
    assert_eq!(fs::read_to_string(world.mirror().join("it")).unwrap(), "the first version");
    assert!(!world.mirror().join("it.rclonelink").exists());
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls, "it was forgotten that the file is there");

    world.write("it", "the second version, longer");
    world.backup(&[]).expect(0);
    assert_eq!(world.trashed("it"), ["the first version"]);

    fs::remove_file(world.source().join("it")).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.source().join("it")).unwrap();
    world.backup(&[]).expect(0);
    assert!(!world.mirror().join("it").exists() && world.mirror().join("it.rclonelink").exists());
    let calls = world.rclone_calls().len();
    world.backup(&[]).expect(0);
    assert_eq!(world.rclone_calls().len(), calls);
}

#[test]
fn a_link_that_did_not_go_up_takes_no_file_with_it() {
    let mut world = World::local(Rclone::Current);
    world.set("links", "\"upload\"");
    world.set("on_delete", "\"keep\"");
    Plan::plain(10, 1).plant(&world.source());
    world.write("it", "the only version");
    world.backup(&[]).expect(0);
    fs::remove_file(world.source().join("it")).unwrap();
    std::os::unix::fs::symlink("target", world.source().join("it")).unwrap();
    world.before_rclone(
        "case \"$*\" in *':local,links:'*) cat >/dev/null; echo '{\"level\":\"error\",\"msg\":\"Failed to copy: \
         409 Conflict\",\"object\":\"it.rclonelink\"}' >&2; exit 1;; esac",
    );
    world.backup(&[]).expect(3);
    world.stop_watching_rclone();
    fs::remove_file(world.source().join("it")).unwrap();
    world.backup(&[]).expect(0);
    let held = fs::read_to_string(world.mirror().join("it")).ok();
    let found: Vec<String> = held.into_iter().chain(world.trashed("it")).collect();
    assert_eq!(found, ["the only version"]);
}
