//! Whole folders: made ahead, moved aside, and whether moving works at all.

use crate::model::{Failure, FailureClass, TreePath};
use crate::transfer::command_line::{ALWAYS, LIST, Traffic, below, list_of};
use crate::transfer::log_line::Receipt;
use crate::transfer::looks::{Place, scratch_failure};
use crate::transfer::process::{Ended, Heard};
use crate::transfer::rclone::Finished;
use crate::transfer::{Transfer, classify, join};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How a file gets from the mirror to the companion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompanionMove {
    /// On the server: the trash works.
    OnServer,
    /// On the server, but not for names with `;`, `?` or `#`. WsgiDAV 4.4 decodes
    /// the target of a MOVE before it takes it apart, and cuts it there: a file
    /// `folder/;name` then replaces the whole `folder` in the trash. Give this to
    /// [`Transfer::moving_plain_names_only`].
    OnServerPlainNamesOnly,
    /// rclone had to download and upload it: the trash would cost a transfer of
    /// every replaced file. `companion` should be elsewhere.
    ThroughHere,
}

/// Whether the companion is reached by a move was not found out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// A plain file lies in the mirror, and the remote does not move it.
    #[error("{}", .0.reason)]
    NotMoved(Failure),
    /// It did not come so far, or rclone does not work: that says nothing of moving.
    #[error("{}", .0.reason)]
    NotTried(Failure),
}

impl TrialError {
    fn failure(&self) -> &Failure {
        match self {
            TrialError::NotMoved(failure) | TrialError::NotTried(failure) => failure,
        }
    }
}

impl From<Failure> for TrialError {
    fn from(failure: Failure) -> Self {
        TrialError::NotTried(failure)
    }
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

/// As what a folder shows a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A folder, empty or not.
    Folder,
    /// A file.
    File,
    /// The remote refuses to list the folder above, and answers elsewhere.
    Refused,
}

/// The names in a listing.
fn shown_names(entries: &[serde_json::Value]) -> BTreeMap<String, Shown> {
    let kind = |entry: &serde_json::Value| if entry["IsDir"] == true { Shown::Folder } else { Shown::File };
    let named = entries.iter().filter_map(|entry| Some((entry["Path"].as_str()?.to_owned(), kind(entry))));
    named.collect()
}

impl Transfer<'_> {
    /// Creates missing folders below the mirror or this run's trash: one request
    /// each, where rclone's own way on the fly costs four to five per fresh
    /// level; what lies above `folders` and is needed for several of them, too. Only an economy: without it uploads create what they need. Only for
    /// remotes with `can_have_empty_directories`.
    ///
    /// # Errors
    /// When rclone says that one of them failed.
    pub fn create_folders(&self, place: Place, folders: &[TreePath]) -> Result<(), Failure> {
        if folders.is_empty() {
            return Ok(());
        }
        let top = common_parent(folders);
        let line = self.encoded(&top)?;
        let skeleton = self.session.scratch_directory()?;
        // What lies above the run's folder in the trash may not be there either: begun at the
        // companion, each level is one request.
        let (target, prefix) = match place {
            Place::Trash(run) if top.is_root() => {
                (self.remotes.companion.clone().into(), skeleton.path().join(format!("trash/{run}")))
            }
            place if top.is_root() => (self.remote_of(place).into(), skeleton.path().to_path_buf()),
            place => (below(&self.remote_of(place), &line), skeleton.path().to_path_buf()),
        };
        let above = if top.is_root() { 0 } else { top.as_bytes().len() + 1 };
        for folder in folders {
            let rest = Path::new(OsStr::from_bytes(&folder.as_bytes()[above..]));
            std::fs::create_dir_all(prefix.join(rest)).map_err(|error| scratch_failure(&error))?;
        }
        let arguments: Vec<OsString> = vec![
            "copy".into(),
            skeleton.path().into(),
            target,
            "--create-empty-src-dirs".into(),
            "--no-traverse".into(),
        ];
        let finished = self.session.run(arguments, Vec::new(), Traffic::Folders, &mut |_| Heard::Nothing)?;
        if finished.succeeded() { Ok(()) } else { Err(finished.failure("creating folders")) }
    }

    /// True when a place has a folder of that name, empty or not. (**No proof**
    /// when false, as everywhere.)
    ///
    /// # Errors
    /// When the remote cannot be asked, or the name cannot be written.
    pub fn has_folder(&self, place: Place, folder: &TreePath) -> Result<bool, Failure> {
        // Asked about a file, rclone lists that one file; a bucket lists nothing for what is not there.
        let Some(entries) = self.list(place, folder)? else { return Ok(false) };
        let name = folder.name().map(String::from_utf8_lossy).unwrap_or_default();
        let is_file =
            matches!(entries.as_slice(), [only] if only["IsDir"] == false && only["Path"] == name.as_ref());
        Ok(!is_file)
    }

    /// True when the folder above shows one of that name, or is refused: then it may. Where it cannot be listed,
    /// nothing is shown.
    ///
    /// # Errors
    /// As [`Transfer::has_folder`].
    pub fn is_listed_above(&self, place: Place, folder: &TreePath) -> Result<bool, Failure> {
        let shown = self.shown_above(place, std::slice::from_ref(folder))?;
        Ok(matches!(shown.get(folder), Some(Shown::Folder | Shown::Refused)))
    }

    /// Those of `paths` that the folders above them show, and as what, by one listing for neighbours.
    /// Where the folder above cannot be listed, nothing is shown; nor is a name that cannot be written.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn shown_above(
        &self,
        place: Place,
        paths: &[TreePath],
    ) -> Result<BTreeMap<TreePath, Shown>, Failure> {
        let mut found = BTreeMap::new();
        let mut listed: Option<(TreePath, Option<BTreeMap<String, Shown>>)> = None;
        for path in paths {
            let (Some(above), Some(name)) = (path.parent(), path.name()) else { continue };
            let Ok(line) = self.encoded(path) else { continue };
            if listed.as_ref().is_none_or(|(folder, _)| *folder != above) {
                let answer = self.past_refusal(|transfer| transfer.names_in(place, &above))?;
                listed = Some((above, answer.ok()));
            }
            let written = line.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            let names = [name, written].map(String::from_utf8_lossy);
            let shown = |(_, shown): &(_, Option<BTreeMap<String, Shown>>)| match shown {
                Some(shown) => names.iter().find_map(|name| shown.get(name.as_ref()).copied()),
                None => Some(Shown::Refused),
            };
            if let Some(shown) = listed.as_ref().and_then(shown) {
                found.insert(path.clone(), shown);
            }
        }
        Ok(found)
    }

    /// The names that a folder of a place shows; none where there is no such folder, as far as the remote says.
    pub(super) fn names_in(
        &self,
        place: Place,
        folder: &TreePath,
    ) -> Result<BTreeMap<String, Shown>, Failure> {
        Ok(shown_names(&self.list(place, folder)?.unwrap_or_default()))
    }

    /// What a folder of a place shows. `None`: there is none, as far as the remote says.
    fn list(&self, place: Place, folder: &TreePath) -> Result<Option<Vec<serde_json::Value>>, Failure> {
        let remote = self.remote_of(place);
        let target = if folder.is_root() { remote.into() } else { below(&remote, &self.encoded(folder)?) };
        let words: [OsString; 4] = ["lsjson".into(), target, "--no-modtime".into(), "--no-mimetype".into()];
        let finished = self.session.ask(words.to_vec())?;
        if finished.says_no_folder() {
            return Ok(None);
        }
        if !finished.succeeded() {
            return Err(finished.failure("looking for a folder"));
        }
        let entries = serde_json::from_str(&String::from_utf8_lossy(&finished.output));
        self.session.understood(entries, &finished.output, "a list of a folder").map(Some)
    }

    pub(super) fn encoded(&self, path: &TreePath) -> Result<Vec<u8>, Failure> {
        self.session.encoding.encode(path).map_err(|error| file_failure(&error.reason))
    }

    /// Moves a whole folder from the mirror to this run's trash by one request.
    /// Only for remotes with `dir_move`, and to a target that does not exist.
    pub fn move_folder(&self, folder: &TreePath) -> FolderMove {
        let line = match self.session.encoding.encode(folder) {
            Ok(line) if !folder.is_root() => line,
            Ok(_) => return FolderMove::Failed(file_failure("the root of the mirror is never moved")),
            Err(error) => return FolderMove::Failed(file_failure(&error.reason)),
        };
        if let Some(reason) = self.not_moved(folder) {
            return FolderMove::Failed(file_failure(reason));
        }
        let arguments: Vec<OsString> = vec![
            "moveto".into(),
            below(&self.remotes.mirror, &line),
            below(&self.trash(), &line),
            ALWAYS.into(),
        ];
        let mut moved = false;
        let mut without_answer = false;
        let finished = self.session.run(arguments, Vec::new(), Traffic::Moves, &mut |line| {
            moved |= line.receipt() == Some(Receipt::DirectoryMoved);
            without_answer |= line.is_trouble() && classify::says_no_answer(&line.text);
            Heard::Nothing
        });
        match finished {
            _ if moved => FolderMove::Confirmed,
            Ok(finished) if matches!(finished.ended, Ended::Exited(code) if code != 0) && !without_answer => {
                // `rclone serve webdav` answers 403 for a folder that is not there.
                FolderMove::Failed(about_one_path(finished.failure("moving a folder to the trash")))
            }
            Ok(_) => FolderMove::Unknown,
            Err(failure) => FolderMove::Failed(failure),
        }
    }

    /// Writes a scratch file into the mirror, moves it to a folder of its own in
    /// the companion, and removes both. Told apart: a move on the server, and a
    /// download with upload. Once for each pair of remotes; remember the answer.
    ///
    /// # Errors
    /// When a plain file cannot be moved at all, or not even be written.
    pub fn try_companion_move(&self) -> Result<CompanionMove, TrialError> {
        let name = format!(".treeferry-try-{}", self.run);
        match self.try_move(&format!("{name}#a?b;c")) {
            Ok(way) => Ok(way),
            // What is remembered of the remote must not come from its bad hour.
            Err(error) if error.failure().class != FailureClass::File => Err(error),
            Err(_) => match self.try_move(&name)? {
                CompanionMove::ThroughHere => Ok(CompanionMove::ThroughHere),
                _ => Ok(CompanionMove::OnServerPlainNamesOnly),
            },
        }
    }

    fn try_move(&self, name: &str) -> Result<CompanionMove, TrialError> {
        let session = self.session;
        let start = join(&self.remotes.mirror, name);
        let target = join(&self.remotes.companion, &format!("try-{}", self.run));
        session
            .write_small(&start, b"treeferry tries whether this file can be moved; it may be deleted\n")?;
        let mut arguments: Vec<OsString> =
            vec!["move".into(), self.remotes.mirror.clone().into(), target.clone().into()];
        arguments.push(ALWAYS.into());
        arguments.extend(LIST.iter().map(OsString::from));
        let (mut on_server, mut through_here, mut deleted) = (false, false, false);
        let (mut refused, mut speaks) = (false, false);
        let list = list_of([name.as_bytes()].into_iter());
        let finished = session.run(arguments, list, Traffic::Moves, &mut |line| {
            refused |= line.is_trouble() && line.object.is_some();
            speaks |= line.stats.is_some();
            match line.receipt() {
                Some(Receipt::Moved | Receipt::Copied { server_side: true }) => on_server = true,
                Some(Receipt::Copied { server_side: false }) => through_here = true,
                Some(Receipt::Deleted) => deleted = true,
                _ => {}
            }
            Heard::Nothing
        })?;
        let moved = on_server || (through_here && deleted);
        if !moved {
            // Leave nothing behind if it can be helped; the failure of the move is the one to tell.
            let _ = session.delete_file(&start);
        }
        let cleaned = session.purge(&target);
        if !moved {
            let doing = "moving a scratch file from the mirror to the companion";
            return Err(match finished.succeeded() && !speaks {
                true => TrialError::NotTried(session.mute(doing)),
                false => why_not_moved(&finished, doing, refused),
            });
        }
        cleaned?;
        Ok(if on_server { CompanionMove::OnServer } else { CompanionMove::ThroughHere })
    }
}

/// `refused`: rclone had come to the file when it failed.
fn why_not_moved(finished: &Finished, doing: &str, refused: bool) -> TrialError {
    if finished.succeeded() {
        let words = "rclone did not find it: the remote does not show what was written a moment ago";
        return TrialError::NotTried(file_failure(&format!("{doing}: {words}")));
    }
    let failure = finished.failure(doing);
    // It was let in to write the file.
    if refused { TrialError::NotMoved(about_one_path(failure)) } else { TrialError::NotTried(failure) }
}

/// The deepest folder that holds all of `folders`.
fn common_parent(folders: &[TreePath]) -> TreePath {
    let mut top = folders.first().and_then(TreePath::parent).unwrap_or_default();
    for folder in folders {
        while *folder == top || !folder.is_within(&top) {
            top = top.parent().unwrap_or_default();
            if top.is_root() {
                return top;
            }
        }
    }
    top
}

/// Of a command for a single path: then a 403 is about that, and no closed door.
fn about_one_path(failure: Failure) -> Failure {
    match classify::class_of(&failure.reason) {
        FailureClass::File => Failure { class: FailureClass::File, ..failure },
        _ => failure,
    }
}

fn file_failure(reason: &str) -> Failure {
    Failure { class: FailureClass::File, reason: reason.into() }
}
