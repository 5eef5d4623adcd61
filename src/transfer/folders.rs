//! Whole folders: made ahead, moved aside, and whether moving works at all.

use crate::model::{Failure, FailureClass, RunId, TreePath};
use crate::transfer::command_line::{ALWAYS, LIST, Traffic, below, list_of};
use crate::transfer::log_line::Receipt;
use crate::transfer::looks::{Place, scratch_failure};
use crate::transfer::process::{Ended, Heard};
use crate::transfer::{Transfer, classify, join};
use std::ffi::OsString;

/// How a file gets from the mirror to the companion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompanionMove {
    /// On the server: the trash works.
    OnServer,
    /// rclone had to download and upload it: the trash would cost a transfer of
    /// every replaced file. `companion` should be elsewhere.
    ThroughHere,
}

/// What became of the move of a whole folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderMove {
    /// All of it is in the trash, by one request.
    Confirmed,
    /// The remote refused before anything moved, as far as it says. Look before relying on it.
    Failed(Failure),
    /// Look at the target; never simply try again.
    Unknown,
}

impl Transfer<'_> {
    /// Creates missing folders below the mirror or this run's trash: one request
    /// each, where rclone's own way on the fly costs four to five per fresh
    /// level. Only an economy: without it uploads create what they need. Only for
    /// remotes with `can_have_empty_directories`.
    ///
    /// # Errors
    /// When rclone says that one of them failed.
    pub fn create_folders(&self, place: Place, folders: &[TreePath]) -> Result<(), Failure> {
        if folders.is_empty() {
            return Ok(());
        }
        let target = match place {
            Place::Mirror => self.remotes.mirror.clone(),
            Place::Trash(run) => self.remotes.trash(run),
        };
        let skeleton = self.session.scratch_directory()?;
        for folder in folders {
            std::fs::create_dir_all(folder.below(skeleton.path()))
                .map_err(|error| scratch_failure(&error))?;
        }
        let arguments: Vec<OsString> = vec![
            "copy".into(),
            skeleton.path().into(),
            target.into(),
            "--create-empty-src-dirs".into(),
            "--no-traverse".into(),
        ];
        let finished = self.session.run(arguments, Vec::new(), Traffic::Requests, &mut |_| Heard::Nothing)?;
        if finished.succeeded() { Ok(()) } else { Err(finished.failure("creating folders")) }
    }

    /// Moves a whole folder from the mirror to this run's trash by one request.
    /// Only for remotes with `dir_move`, and to a target that does not exist.
    pub fn move_folder(&self, folder: &TreePath) -> FolderMove {
        let line = match self.session.encoding.encode(folder) {
            Ok(line) if !folder.is_root() => line,
            Ok(_) => return FolderMove::Failed(file_failure("the root of the mirror is never moved")),
            Err(error) => return FolderMove::Failed(file_failure(&error.reason)),
        };
        let arguments: Vec<OsString> = vec![
            "moveto".into(),
            below(&self.remotes.mirror, &line),
            below(&self.trash(), &line),
            ALWAYS.into(),
        ];
        let mut moved = false;
        let mut without_answer = false;
        let finished = self.session.run(arguments, Vec::new(), Traffic::Requests, &mut |line| {
            moved |= line.receipt() == Some(Receipt::DirectoryMoved);
            without_answer |= line.is_trouble() && classify::is_without_answer(&line.text);
            Heard::Nothing
        });
        match finished {
            _ if moved => FolderMove::Confirmed,
            Ok(finished) if matches!(finished.ended, Ended::Exited(code) if code != 0) && !without_answer => {
                FolderMove::Failed(finished.failure("moving a folder to the trash"))
            }
            Ok(_) => FolderMove::Unknown,
            Err(failure) => FolderMove::Failed(failure),
        }
    }

    /// Writes a scratch file into the mirror, moves it to the companion and
    /// removes it. Told apart: a move on the server, and a download with upload.
    ///
    /// # Errors
    /// When any of it fails; the message says where the scratch file may be left.
    pub fn try_companion_move(&self) -> Result<CompanionMove, Failure> {
        let session = self.session;
        let name = scratch_name(self.run);
        let (start, end) = (join(&self.remotes.mirror, &name), join(&self.remotes.companion, &name));
        session
            .write_small(&start, b"treeferry tries whether this file can be moved; it may be deleted\n")?;
        let mut arguments: Vec<OsString> =
            vec!["move".into(), self.remotes.mirror.clone().into(), self.remotes.companion.clone().into()];
        arguments.push(ALWAYS.into());
        arguments.extend(LIST.iter().map(OsString::from));
        let (mut on_server, mut through_here, mut deleted) = (false, false, false);
        let list = list_of([name.as_bytes()].into_iter());
        let finished = session.run(arguments, list, Traffic::Requests, &mut |line| {
            match line.receipt() {
                Some(Receipt::Moved | Receipt::Copied { server_side: true }) => on_server = true,
                Some(Receipt::Copied { server_side: false }) => through_here = true,
                Some(Receipt::Deleted) => deleted = true,
                _ => {}
            }
            Heard::Nothing
        });
        let moved = on_server || (through_here && deleted);
        if !moved {
            // Leave nothing behind in the mirror if it can be helped.
            let _ = session.delete_file(&start);
            return Err(finished?.failure("moving a scratch file from the mirror to the companion"));
        }
        session.delete_file(&end)?;
        Ok(if on_server { CompanionMove::OnServer } else { CompanionMove::ThroughHere })
    }
}

fn scratch_name(run: RunId) -> String {
    format!(".treeferry-try-{run}")
}

fn file_failure(reason: &str) -> Failure {
    Failure { class: FailureClass::File, reason: reason.into() }
}
