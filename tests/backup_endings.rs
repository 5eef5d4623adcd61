//! How a run ends when the worst happens at a chosen command of rclone: somebody
//! stops or kills us there, or the remote refuses. A script in front of the real
//! rclone waits for that command.

use crate::support::program::chmod;
use crate::support::servers::Rclone;
use crate::support::trees::{Plan, files_below};
use crate::support::world::World;
use std::fs;

/// From now on `shell` has its say before each call of rclone: `$real` is the program,
/// `$PPID` are we. What it does not end goes on as usual.
fn before_rclone(world: &mut World, shell: &str) {
    let script = world.root().join("rclone-of-this-test");
    let text =
        format!("#!/bin/sh\nreal='{}'\n{shell}\nexec \"$real\" \"$@\"\n", world.rclone.program().display());
    fs::write(&script, text).unwrap();
    chmod(&script, 0o755);
    world.configuration.rclone = script;
    world.write_configuration();
}

fn rclone_as_usual(world: &mut World) {
    world.stop_watching_rclone();
}

/// Written between our reading and rclone's, and then we are killed: the mirror has what the
/// source has now, which is not what the journal tells of.
#[test]
fn a_file_rewritten_before_a_crash_is_not_confirmed_with_the_content_of_before() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(5, 1).plant(&world.source());
    world.backup(&[]).expect(0);
    let file = world.source().join("x");
    fs::write(&file, "the first content").unwrap();
    let shell = format!(
        "if [ \"$1\" = copy ]; then\n\
         list=$(cat); printf 'something else' >'{}'\n\
         echo \"$list\" | \"$real\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit\nfi",
        file.display()
    );
    // A stamp that was not settled yet is never believed anyhow.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    before_rclone(&mut world, &shell);
    world.backup(&[]).expect(137);
    assert_eq!(fs::read_to_string(world.mirror().join("x")).unwrap(), "something else");

    rclone_as_usual(&mut world);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    // What was never sent has no version anywhere.
    assert!(world.all_trash().is_empty(), "{:?}", world.all_trash());
    world.program.run(&["verify", "--remote", "--download"]).expect(0);
}

#[test]
fn a_folder_that_moved_while_we_were_stopped_is_remembered_file_by_file() {
    let mut world = World::local(Rclone::Current);
    world.set("max_delete", "\"off\"");
    Plan::plain(5, 1).plant(&world.source());
    let gone = world.source().join("gone");
    Plan::plain(30, 2).plant(&gone);
    let all = files_below(&world.source()).len();
    world.backup(&[]).expect(0);
    fs::remove_dir_all(&gone).unwrap();
    let shell =
        "if [ \"$1\" = moveto ]; then \"$real\" \"$@\"; code=$?; kill -TERM $PPID; sleep 1; exit $code; fi";
    before_rclone(&mut world, shell);
    world.backup(&[]).expect(143);
    assert_eq!(world.all_trash().len(), 30);

    rclone_as_usual(&mut world);
    world.backup(&[]).expect(0);
    world.assert_mirror_equals_source();
    let to = world.root().join("restored");
    world.program.run(&["restore", "--to", to.to_str().unwrap(), "--at", "000001"]).expect(0);
    assert_eq!(files_below(&to).len(), all);
}
