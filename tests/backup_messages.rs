//! What goes wrong beside the files: in which words, and with which exit code, people hear of it.

use crate::support::servers::Rclone;
use crate::support::world::World;
use std::time::{Duration, Instant};

/// rclone would wait for somebody to write into it, for ever.
#[test]
fn a_file_that_becomes_a_pipe_before_it_is_opened_holds_nobody_up() {
    for rclone in Rclone::BOTH {
        let mut world = World::local(rclone);
        for name in ["a", "pipe", "z"] {
            world.write(name, "x");
        }
        let pipe = world.source().join("pipe");
        // Behind our last look, because we have written the list.
        world.before_rclone(&format!(
            "case \"$*\" in *files-from*) list=$(cat); rm '{0}'; mkfifo '{0}'; echo \"$list\" | \"$real\" \"$@\"; exit;; esac",
            pipe.display()
        ));
        let begun = Instant::now();
        let finished = world.backup(&[]).expect(3).says("pipe");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}: {finished}", begun.elapsed());
        assert_eq!(finished.number("files_uploaded"), 2, "{finished}");
        assert_eq!(finished.number("files_unprotected"), 1, "{finished}");
    }
}
