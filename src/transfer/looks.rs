//! Looking at the remote, and single small files on it.

use crate::model::{Batch, BatchItem, Failure, FailureClass, RunId, TreePath};
use crate::transfer::command_line::{ALWAYS, LIST, Traffic, list_of};
use crate::transfer::log_line::{LogLine, Receipt};
use crate::transfer::names::as_logged;
use crate::transfer::process::{Ended, Heard};
use crate::transfer::rclone::Finished;
use crate::transfer::remote_path::split_leaf;
use crate::transfer::send::list_line;
use crate::transfer::{Session, Transfer, classify, source_state};
use serde::Deserialize;
use std::collections::HashMap;
use std::ffi::OsString;

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The mirror.
    Mirror,
    /// The trash of a run.
    Trash(RunId),
}

/// What the remote shows at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing. **No proof**: OpenList answers every error so.
    Nothing,
    /// A file of so many bytes; 0 when the remote does not know it.
    File(u64),
    /// A folder: nothing may be sent there, it would take the place of all that is in it.
    Folder,
}

/// What a comparison by hash says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Nothing says that it is another.
    Same,
    /// Another content.
    Other,
    /// No hash could be made of it, here or there, or it was not there any more.
    NotCompared,
}

/// One name of a remote folder, in rclone's standard encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// In bytes; `None` when the remote does not know it.
    pub size: Option<u64>,
    /// It is a folder.
    pub is_directory: bool,
}

/// From the name in rclone's output to the index of the path and its list line.
pub(super) type Group = HashMap<String, (usize, Vec<u8>)>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JsonEntry {
    path: String,
    name: String,
    #[serde(default = "unknown_size")]
    size: i64,
    #[serde(default)]
    is_dir: bool,
}

fn unknown_size() -> i64 {
    -1
}

impl JsonEntry {
    fn size(&self) -> Option<u64> {
        u64::try_from(self.size).ok()
    }
}

impl Session<'_> {
    /// The names in one folder. `None`: the remote says that there is no such
    /// folder. **That is no proof**: some answer every error so.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn list_folder(&self, folder: &str) -> Result<Option<Vec<Listed>>, Failure> {
        let words = ["lsjson", folder, "--no-modtime", "--no-mimetype"];
        let finished = self.ask(words.map(OsString::from).to_vec())?;
        if finished.says_absent() {
            return Ok(None);
        }
        if !finished.succeeded() {
            return Err(finished.failure("listing a folder"));
        }
        let entries =
            self.understood(read_entries(&finished.output), &finished.output, "a list of a folder")?;
        let listed =
            |entry: JsonEntry| Listed { size: entry.size(), is_directory: entry.is_dir, name: entry.name };
        Ok(Some(entries.into_iter().map(listed).collect()))
    }

    /// The contents of all files in `folder` whose name begins with `prefix`, one behind
    /// the other in no order: three requests and one process, where listing and reading take five and
    /// two. `None`: as [`Session::list_folder`].
    ///
    /// # Errors
    /// When the remote cannot be asked, or one of them cannot be read.
    pub fn read_all_small(&self, folder: &str, prefix: &str) -> Result<Option<Vec<u8>>, Failure> {
        // The depth keeps it out of the trash beside them.
        let include = OsString::from(format!("--include=/{prefix}*"));
        let finished = self.ask(vec!["cat".into(), folder.into(), include, "--max-depth=1".into()])?;
        if finished.says_absent() {
            return Ok(None);
        }
        if !finished.succeeded() {
            return Err(finished.failure("reading small files"));
        }
        Ok(Some(finished.output))
    }

    /// The content of a small file. `None`: the remote says that it is not
    /// there (no proof, as above), or it is empty: S3 cannot tell the two apart.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn read_small(&self, file: &str) -> Result<Option<Vec<u8>>, Failure> {
        let finished = self.ask(vec!["cat".into(), file.into()])?;
        if finished.says_absent() {
            return Ok(None);
        }
        if !finished.succeeded() {
            return Err(finished.failure("reading a small file"));
        }
        Ok(Some(finished.output).filter(|content| !content.is_empty()))
    }

    /// Writes a small file under a name that is **not in use**: replacing in
    /// place could lose it. Three requests on WebDAV, as `rcat` costs, but with
    /// a receipt, which `rcat` of current versions does not give.
    ///
    /// # Errors
    /// When there is no receipt. It may be there all the same.
    pub fn write_small(&self, file: &str, content: &[u8]) -> Result<(), Failure> {
        let (_, leaf) = split_leaf(file)
            .ok_or_else(|| classify::failure(FailureClass::Rclone, "writing a small file: it has no name"))?;
        let scratch = self.scratch_directory()?;
        let local = scratch.path().join(leaf);
        std::fs::write(&local, content).map_err(|error| scratch_failure(&error))?;
        let mut confirmed = false;
        let arguments = vec!["copyto".into(), local.into(), file.into(), ALWAYS.into()];
        let finished = self.run(arguments, Vec::new(), Traffic::Question, &mut |line| {
            confirmed |= matches!(line.receipt(), Some(Receipt::Copied { .. }));
            Heard::Nothing
        })?;
        if confirmed { Ok(()) } else { Err(finished.failure("writing a small file")) }
    }

    /// Deletes one file; `false` when the remote says that it was not there.
    ///
    /// # Errors
    /// When the remote refuses or cannot be asked.
    pub fn delete_file(&self, file: &str) -> Result<bool, Failure> {
        let (parent, leaf) = split_leaf(file)
            .ok_or_else(|| classify::failure(FailureClass::Rclone, "deleting a file: it has no name"))?;
        let mut deleted = false;
        let mut arguments: Vec<OsString> = vec!["delete".into(), parent.into()];
        arguments.extend(LIST.iter().map(OsString::from));
        let list = list_of([leaf.as_bytes()].into_iter());
        let finished = self.run(arguments, list, Traffic::Question, &mut |line| {
            deleted |= line.receipt() == Some(Receipt::Deleted);
            Heard::Nothing
        })?;
        match deleted || finished.succeeded() || finished.says_absent() {
            true => Ok(deleted),
            false => Err(finished.failure("deleting a file")),
        }
    }

    /// Removes a folder with all that is in it; `false` when the remote says that
    /// there is none.
    ///
    /// # Errors
    /// When the remote refuses or cannot be asked.
    pub fn purge(&self, folder: &str) -> Result<bool, Failure> {
        if split_leaf(folder).is_none() {
            return Err(classify::failure(FailureClass::Rclone, "purging the root of a remote is refused"));
        }
        let finished = self.ask(vec!["purge".into(), folder.into()])?;
        match finished.succeeded() {
            true => Ok(true),
            false if finished.says_absent() => Ok(false),
            false => Err(finished.failure("removing a folder")),
        }
    }

    pub(crate) fn scratch_directory(&self) -> Result<tempfile::TempDir, Failure> {
        tempfile::Builder::new()
            .prefix("rclone-")
            .tempdir_in(&self.rclone.settings.scratch)
            .map_err(|error| scratch_failure(&error))
    }
}

pub(crate) fn scratch_failure(error: &std::io::Error) -> Failure {
    classify::failure(FailureClass::Rclone, &format!("writing a short-lived file for rclone: {error}"))
}

pub(crate) fn read_entries(output: &[u8]) -> serde_json::Result<Vec<JsonEntry>> {
    // A name that is not UTF-8 is shown with U+FFFD, by some versions as it is.
    serde_json::from_str(&String::from_utf8_lossy(output))
}

pub(super) fn halves(group: Group) -> [Group; 2] {
    let half = group.len() / 2;
    let mut members = group.into_iter();
    let first = members.by_ref().take(half).collect();
    [first, members.collect()]
}

/// What went wrong may have gone wrong with the remote, and not with the one file. The last words of the
/// command repeat the line of a file, without its name.
fn is_of_the_whole_remote(line: &LogLine) -> bool {
    let name = line.object.as_deref().unwrap_or_default();
    let class = classify::class_of(&classify::without_name(&line.text, name));
    line.is_trouble()
        && !line.text.contains("Failed to check")
        && matches!(class, FailureClass::RemoteUnwell | FailureClass::Authentication)
}

/// What `rclone check --combined` printed.
struct Checked {
    output: String,
    /// Some or all were compared by size alone.
    without_hash: bool,
}

impl Checked {
    /// Which paths stand behind this mark.
    fn marks<'c>(&'c self, mark: char, group: &'c Group) -> impl Iterator<Item = usize> + 'c {
        let names = self.output.lines().filter_map(move |line| line.strip_prefix(mark)?.strip_prefix(' '));
        names.filter_map(|name| group.get(name)).map(|(index, _)| *index)
    }
}

impl Transfer<'_> {
    pub(super) fn remote_of(&self, place: Place) -> String {
        match place {
            Place::Mirror => self.remotes.mirror.clone(),
            Place::Trash(run) => self.remotes.trash(run),
        }
    }

    /// The size of each path at a place, `None` where the remote says that it is
    /// not there (**no proof**: OpenList answers every error so). One request a
    /// path. The flag says that the path is a link, kept as `.rclonelink`. A size that
    /// the remote does not know is 0.
    ///
    /// # Errors
    /// When the remote cannot be asked, or a name cannot be written.
    pub fn look(&self, place: Place, paths: &[(TreePath, bool)]) -> Result<Vec<Option<u64>>, Failure> {
        self.look_below(&self.remote_of(place), paths)
    }

    pub(crate) fn look_below(
        &self,
        folder: &str,
        paths: &[(TreePath, bool)],
    ) -> Result<Vec<Option<u64>>, Failure> {
        let mut found = vec![None; paths.len()];
        for group in self.groups(paths)? {
            let finished = self.list_group(folder, &group)?;
            if finished.says_absent() {
                continue;
            }
            if !finished.succeeded() {
                let failure = finished.failure("looking at single files");
                // Files are known at these paths: it is the remote that shows something else, not rclone
                // that does not work.
                let is_remote = failure.class == FailureClass::Rclone && finished.says_folder();
                let class = if is_remote { FailureClass::RemoteUnwell } else { failure.class };
                return Err(Failure { class, ..failure });
            }
            for (index, size) in self.sizes_of(&finished, &group)? {
                found[index] = Some(size);
            }
        }
        Ok(found)
    }

    /// As [`Transfer::look`], where folders may lie in the place of files.
    ///
    /// # Errors
    /// As there, but not for such a folder.
    pub fn look_past_folders(&self, place: Place, paths: &[(TreePath, bool)]) -> Result<Vec<Seen>, Failure> {
        let folder = self.remote_of(place);
        let mut shown = vec![Seen::Nothing; paths.len()];
        let mut groups = self.groups(paths)?;
        while let Some(group) = groups.pop() {
            let finished = self.list_group(&folder, &group)?;
            if finished.says_absent() {
                continue;
            }
            if finished.succeeded() {
                for (index, size) in self.sizes_of(&finished, &group)? {
                    shown[index] = Seen::File(size);
                }
            } else if !finished.says_folder() {
                return Err(finished.failure("looking at single files"));
            } else if group.len() == 1 {
                group.values().for_each(|&(index, _)| shown[index] = Seen::Folder);
            } else {
                // 1.60.1 ends at the first and does not say which it was.
                groups.extend(halves(group));
            }
        }
        Ok(shown)
    }

    /// The files that were shown: their places in the list of paths, and their sizes.
    pub(super) fn sizes_of(&self, finished: &Finished, group: &Group) -> Result<Vec<(usize, u64)>, Failure> {
        let entries = read_entries(&finished.output);
        let entries = self.session.understood(entries, &finished.output, "a list of files")?;
        let known = |entry: &JsonEntry| group.get(&as_logged(entry.path.as_bytes())).map(|&(index, _)| index);
        Ok(entries.iter().filter_map(|entry| Some((known(entry)?, entry.size().unwrap_or(0)))).collect())
    }

    pub(super) fn list_group(&self, folder: &str, group: &Group) -> Result<Finished, Failure> {
        let mut arguments: Vec<OsString> = vec!["lsjson".into(), folder.into()];
        arguments.extend(["-R", "--files-only", "--no-modtime", "--no-mimetype"].map(OsString::from));
        arguments.extend(LIST.iter().map(OsString::from));
        let list = list_of(group.values().map(|(_, line)| line.as_slice()));
        self.session.run(arguments, list, Traffic::Requests, &mut |_| Heard::Nothing)
    }

    /// Compares source and mirror by a hash that both know. Only where
    /// [`crate::transfer::Features::hashes`] is not empty: without a common hash
    /// rclone compares sizes, and that is no comparison.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn compare_by_hash(&self, batch: &Batch) -> Result<Vec<bool>, Failure> {
        let paths: Vec<_> = batch.items.iter().map(|item| (item.path.clone(), item.as_link)).collect();
        let mut equal = vec![false; paths.len()];
        for group in self.groups(&paths)? {
            let checked = self.check(&group, LIST)?;
            if !checked.without_hash {
                checked.marks('=', &group).for_each(|index| equal[index] = true);
            }
        }
        Ok(equal)
    }

    /// The source still has the file under the very stamp of `item`. To be asked after a
    /// comparison, which knows only what the source has now.
    pub fn is_source_as_read(&self, item: &BatchItem) -> bool {
        source_state::difference(&self.remotes.source, item, self.follow_links).is_none()
    }

    /// Which files have another content on the mirror than in the source, as far as
    /// hashes say that both know; a listing had all of them, with the right size. A file
    /// whose hash the remote does not know does not differ; one whose hash could not be made, or
    /// that is not there any more, is not known to be the same. One listing of each
    /// folder, and every file of the source is read.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn differ_by_hash(&self, paths: &[TreePath]) -> Result<Vec<Likeness>, Failure> {
        let paths: Vec<_> = paths.iter().map(|path| (path.clone(), false)).collect();
        let mut alike = vec![Likeness::Same; paths.len()];
        for group in self.groups(&paths)? {
            // Without --no-traverse: hashes come with a listing, or they cost a request each.
            let checked = self.check(&group, &["--files-from-raw", "-"])?;
            for (mark, likeness) in
                [('*', Likeness::Other), ('!', Likeness::NotCompared), ('+', Likeness::NotCompared)]
            {
                checked.marks(mark, &group).for_each(|index| alike[index] = likeness);
            }
        }
        Ok(alike)
    }

    fn check(&self, group: &Group, list_flags: &[&str]) -> Result<Checked, Failure> {
        let source = self.source_argument_for_comparing()?;
        let mut arguments: Vec<OsString> = vec!["check".into(), source, self.remotes.mirror.clone().into()];
        arguments.extend(["--one-way", "--combined", "-"].map(OsString::from));
        arguments.extend(list_flags.iter().map(OsString::from));
        let list = list_of(group.values().map(|(_, line)| line.as_slice()));
        let (mut without_hash, mut is_unwell) = (false, false);
        let finished = self.session.run(arguments, list, Traffic::Bytes, &mut |line| {
            is_unwell |= is_of_the_whole_remote(line);
            without_hash |=
                line.text.contains("No common hash") || line.text.contains("hashes could not be checked");
            Heard::Nothing
        })?;
        // Differences alone make it exit with 1, and so does a file without a hash: they are on stdout.
        let is_answer = matches!(finished.ended, Ended::Exited(1)) && !finished.output.is_empty();
        if !finished.succeeded() && (is_unwell || !is_answer) {
            return Err(finished.failure("comparing by hash"));
        }
        Ok(Checked { output: String::from_utf8_lossy(&finished.output).into_owned(), without_hash })
    }

    /// Lists that one rclone can take: no two lines that it would print alike.
    pub(super) fn groups(&self, paths: &[(TreePath, bool)]) -> Result<Vec<Group>, Failure> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, (path, as_link)) in paths.iter().enumerate() {
            let line = list_line(self.session, path, *as_link).map_err(|reason| Failure {
                class: FailureClass::File,
                reason: format!("{path}: {reason}"),
            })?;
            let logged = as_logged(&line);
            match groups.iter_mut().find(|group| !group.contains_key(&logged)) {
                Some(group) => {
                    group.insert(logged, (index, line));
                }
                None => groups.push(Group::from([(logged, (index, line))])),
            }
        }
        Ok(groups)
    }
}
