//! What stands before rclone in tests: notes the call, and becomes the real one. A program and not a
//! script, because of a script nothing is remembered (`treeferry::transfer::Known`), and each run
//! would start two processes more than those of users do.

use std::fs::OpenOptions;
use std::io::{Error, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Called as `FOLDER/rclone`: adds the arguments to `FOLDER/rclone-calls`, NUL after each call because
/// they may hold newlines, and becomes what `FOLDER/rclone-real` points to.
fn main() -> Result<(), Error> {
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    let folder = Path::new(&called).parent().unwrap_or(Path::new("."));
    let words: Vec<_> = words.collect();
    let mut line = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ');
    line.push(0);
    OpenOptions::new().append(true).create(true).open(folder.join("rclone-calls"))?.write_all(&line)?;
    Err(Command::new(folder.join("rclone-real")).args(words).exec())
}
