//! What a remote makes of names, tried with scratch files in the companion: only
//! when a name needs to know, and once.

use crate::model::{Failure, TreePath};
use crate::transfer::command_line::{ALWAYS, LIST, Traffic, list_of};
use crate::transfer::log_line::Receipt;
use crate::transfer::looks::scratch_failure;
use crate::transfer::names::as_logged;
use crate::transfer::portable::{Folding, wire_bytes};
use crate::transfer::process::Heard;
use crate::transfer::{Transfer, join};
use std::ffi::OsString;

const CONTENT: &[u8] = b"treeferry tries names with this file; it may be deleted\n";
/// Names of so many characters are tried, of each kind: some servers undo rclone's symbols for
/// control characters, and keep the others as they come.
const TRIED: &[(&[u8], &[usize])] = &[
    (b"\n", &[1, 48, 85, 102, 153, 204, 255]),
    (b"\xFF", &[28, 46, 51, 60, 80, 102, 153, 204, 255]),
    ("\u{2400}".as_bytes(), &[28, 42, 48, 57, 68, 85]),
];

impl Transfer<'_> {
    /// Which names are one name on the remote: a file is written under one name
    /// and looked for under others. About ten requests.
    ///
    /// # Errors
    /// When the scratch file cannot be written, or the remote cannot be asked.
    pub fn try_folding(&self) -> Result<Folding, Failure> {
        let folder = self.trial_folder();
        let session = self.session;
        let written = "Treeferry \u{C9}";
        let tried = session.write_small(&join(&folder, written), CONTENT).and_then(|()| {
            let names = [written, "tREEFERRY \u{E9}", "Treeferry E\u{301}"];
            let paths = names.map(|name| (TreePath::from_bytes(name).unwrap_or_default(), false));
            let found = self.look_below(&folder, &paths)?;
            Ok(Folding { case: found[1].is_some(), unicode: found[2].is_some() })
        });
        let cleaned = session.purge(&folder);
        let folding = tried?;
        cleaned?;
        Ok(folding)
    }

    /// How long a name may be on the remote, in bytes as [`wire_bytes`] counts
    /// them: files with longer and longer names are written. About seventy requests.
    ///
    /// # Errors
    /// When not even a short name can be written, or the remote cannot be asked.
    pub fn try_name_lengths(&self) -> Result<usize, Failure> {
        let session = self.session;
        let scratch = session.scratch_directory()?;
        let names =
            TRIED.iter().flat_map(|(character, counts)| counts.iter().map(|&count| character.repeat(count)));
        let mut tried = Vec::new();
        for name in names {
            let path = TreePath::from_bytes(name.as_slice()).unwrap_or_default();
            std::fs::write(path.below(scratch.path()), CONTENT).map_err(|error| scratch_failure(&error))?;
            let line = session.encoding.encode(&path).unwrap_or_default();
            tried.push((wire_bytes(session.encoding, &name), as_logged(&line), line, false));
        }
        let folder = self.trial_folder();
        let mut arguments: Vec<OsString> =
            vec!["copy".into(), scratch.path().into(), folder.clone().into(), ALWAYS.into()];
        arguments.extend(LIST.iter().map(OsString::from));
        let list = list_of(tried.iter().map(|(_, _, line, _)| line.as_slice()));
        let finished = session.run(arguments, list, Traffic::Requests, &mut |line| {
            let copied = matches!(line.receipt(), Some(Receipt::Copied { .. }));
            let one = tried.iter_mut().find(|(_, logged, ..)| copied && line.object.as_ref() == Some(logged));
            one.map_or(Heard::Nothing, |(.., taken)| {
                *taken = true;
                Heard::Progress
            })
        })?;
        let cleaned = session.purge(&folder);
        let shortest_refused = tried.iter().filter(|(.., taken)| !taken).map(|(bytes, ..)| *bytes).min();
        let taken = tried.iter().filter(|(.., taken)| *taken).map(|(bytes, ..)| *bytes);
        let longest = match shortest_refused {
            None => Some(usize::from(u16::MAX)),
            Some(refused) => taken.filter(|bytes| *bytes < refused).max(),
        };
        let longest = longest.ok_or_else(|| finished.failure("trying how long a name may be"))?;
        cleaned?;
        Ok(longest)
    }

    fn trial_folder(&self) -> String {
        join(&self.remotes.companion, &format!("names-{}", self.run))
    }
}
