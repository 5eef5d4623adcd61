//! Fetching files: one rclone, one answer per path.
//!
//! Whoever calls checks the content: a receipt says that rclone is content, not
//! that the remote gave back what was once sent.

use crate::model::{Failure, FailureClass, TreePath};
use crate::observe::Event;
use crate::transfer::command_line::{ALWAYS, LIST, Traffic, below, list_of};
use crate::transfer::log_line::{LogLine, Receipt};
use crate::transfer::names::as_logged;
use crate::transfer::process::{Ended, Heard};
use crate::transfer::rclone::Finished;
use crate::transfer::send::list_line;
use crate::transfer::{Capability, Session, classify};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// So many failures in a row that are not about one file end the batch.
const FAILURES_IN_A_ROW_MAX: u32 = 20;

/// What became of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It lies in the folder it was fetched into, by rclone's receipt.
    Arrived,
    /// The remote showed nothing at this path. **No proof** that nothing is there.
    Absent,
    /// The remote, or rclone, said no.
    Failed(Failure),
    /// It was not tried, or was under way when rclone was ended.
    NotAttempted,
}

/// Fetches the files of one command, and adds up its progress.
pub struct Download<'a> {
    session: Session<'a>,
    files_done: u64,
    bytes_done: u64,
}

/// From the name in the log to the index of the path, and its list line.
type Group = HashMap<String, (usize, Vec<u8>)>;

impl<'a> Download<'a> {
    /// Nothing is started yet.
    pub fn new(session: Session<'a>) -> Self {
        Download { session, files_done: 0, bytes_done: 0 }
    }

    /// Fetches `paths` (each with its size in bytes) from `remote` into the
    /// folder `into`, which must be empty of them. `settled` hears of each path
    /// exactly once, as soon as it is known; an arrived file may be moved away then.
    ///
    /// # Errors
    /// When rclone or the whole remote is in trouble. What was not heard of until
    /// then is told as [`Fetched::NotAttempted`] or with that failure.
    pub fn fetch(
        &mut self,
        remote: &str,
        into: &Path,
        paths: &[(TreePath, u64)],
        settled: &mut dyn FnMut(usize, Fetched),
    ) -> Result<(), Failure> {
        let mut answers: Vec<bool> = vec![false; paths.len()];
        let mut once = |index: usize, fetched: Fetched| {
            if !std::mem::replace(&mut answers[index], true) {
                settled(index, fetched);
            }
        };
        let mut groups: Vec<Group> = Vec::new();
        for (index, (path, _)) in paths.iter().enumerate() {
            match list_line(self.session, path, false) {
                Ok(line) => add(&mut groups, index, line),
                Err(reason) => once(index, Fetched::Failed(Failure { class: FailureClass::File, reason })),
            }
        }
        let mut result = Ok(());
        while let Some(group) = groups.pop() {
            if result.is_err() || self.session.control.stop.is_set() {
                break;
            }
            match self.fetch_group(remote, into, paths, &group, &mut once) {
                Ok(again) => groups.extend(again),
                Err(failure) => result = Err(failure),
            }
        }
        for index in 0..paths.len() {
            once(index, Fetched::NotAttempted);
        }
        result
    }

    /// Gives back what is to be tried again in smaller groups.
    fn fetch_group(
        &mut self,
        remote: &str,
        into: &Path,
        paths: &[(TreePath, u64)],
        group: &Group,
        settled: &mut dyn FnMut(usize, Fetched),
    ) -> Result<Vec<Group>, Failure> {
        let mut hearing = Hearing { failures: HashMap::new(), arrived: HashMap::new(), in_a_row: 0 };
        let session = self.session;
        let list = list_of(group.values().map(|(_, line)| line.as_slice()));
        let arguments = self.arguments(remote, into)?;
        let finished = session.run(arguments, list, Traffic::Bytes, &mut |line| {
            if let Some(stats) = &line.stats {
                let running = stats.transferring.as_deref().unwrap_or_default();
                let current: Vec<String> = running.iter().take(4).map(|file| file.name.clone()).collect();
                let under_way: u64 = running.iter().map(|file| u64::try_from(file.bytes).unwrap_or(0)).sum();
                session.observer.event(&Event::TransferProgress {
                    bytes: self.bytes_done + under_way,
                    files: self.files_done,
                    bytes_per_second: stats.speed,
                    current: &current,
                });
                return Heard::Nothing;
            }
            let Some((index, _)) = line.object.as_ref().and_then(|object| group.get(object)) else {
                return Heard::Nothing;
            };
            if matches!(line.receipt(), Some(Receipt::Copied { .. })) {
                if hearing.arrived.insert(*index, ()).is_none() {
                    self.files_done += 1;
                    self.bytes_done += paths[*index].1;
                    hearing.in_a_row = 0;
                    settled(*index, Fetched::Arrived);
                }
                return Heard::Progress;
            }
            if line.is_trouble() { hearing.take_failure(*index, line) } else { Heard::Nothing }
        })?;
        settle_rest(group, &hearing, &finished, settled)
    }

    fn arguments(&self, remote: &str, into: &Path) -> Result<Vec<OsString>, Failure> {
        let bytes = into.as_os_str().as_bytes();
        let components = bytes.split(|&byte| byte == b'/').filter(|component| !component.is_empty());
        let encoded = self.session.encoding.encode_components(components, bytes.len()).map_err(|error| {
            classify::failure(FailureClass::Rclone, &format!("the folder to restore into: {error}"))
        })?;
        let mut arguments: Vec<OsString> = vec!["copy".into(), remote.into(), below("/", &encoded)];
        // Every file is read once anyway, to its BLAKE3; hashing it again for rclone proves less.
        arguments.extend([ALWAYS, "--ignore-checksum"].map(OsString::from));
        if self.session.rclone.version().has(Capability::PartialFiles) {
            // The folder is ours alone, and a name of 255 bytes has no room for `.partial`.
            arguments.push("--inplace".into());
        }
        arguments.extend(LIST.iter().map(OsString::from));
        Ok(arguments)
    }
}

impl Session<'_> {
    /// Reads one file through, piece by piece, and keeps none of it. `false`: the
    /// remote says that it is not there (no proof).
    ///
    /// # Errors
    /// When it could not be read to its end.
    pub fn read_through(
        &self,
        remote: &str,
        path: &TreePath,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, Failure> {
        let line =
            list_line(*self, path, false).map_err(|reason| Failure { class: FailureClass::File, reason })?;
        let arguments = vec!["cat".into(), below(remote, &line)];
        let finished =
            self.run_streaming(arguments, Vec::new(), Traffic::Bytes, &mut |_| Heard::Nothing, tell)?;
        if finished.says_absent() {
            return Ok(false);
        }
        let name = String::from_utf8_lossy(&line);
        if finished.succeeded() { Ok(true) } else { Err(finished.failure_of_file("reading a file", &name)) }
    }
}

/// No two lines of a group are shown alike in rclone's log.
fn add(groups: &mut Vec<Group>, index: usize, line: Vec<u8>) {
    let logged = as_logged(&line);
    match groups.iter_mut().find(|group| !group.contains_key(&logged)) {
        Some(group) => {
            group.insert(logged, (index, line));
        }
        None => groups.push(Group::from([(logged, (index, line))])),
    }
}

struct Hearing {
    failures: HashMap<usize, Failure>,
    arrived: HashMap<usize, ()>,
    in_a_row: u32,
}

impl Hearing {
    fn take_failure(&mut self, index: usize, line: &LogLine) -> Heard {
        let name = line.object.as_deref().unwrap_or_default();
        let class = classify::class_of(&classify::without_name(&line.text, name));
        let first = self.failures.insert(index, classify::failure(class, &line.text)).is_none();
        if class == FailureClass::Authentication {
            return Heard::EnoughNow;
        }
        self.in_a_row += u32::from(first && class != FailureClass::File);
        if self.in_a_row < FAILURES_IN_A_ROW_MAX { Heard::Progress } else { Heard::Enough }
    }
}

/// The paths without a receipt, once rclone has ended.
fn settle_rest(
    group: &Group,
    hearing: &Hearing,
    finished: &Finished,
    settled: &mut dyn FnMut(usize, Fetched),
) -> Result<Vec<Group>, Failure> {
    let mut silent: Vec<(usize, Vec<u8>)> = Vec::new();
    for (index, line) in group.values() {
        match hearing.failures.get(index) {
            _ if hearing.arrived.contains_key(index) => {}
            Some(failure) => settled(*index, Fetched::Failed(failure.clone())),
            None => silent.push((*index, line.clone())),
        }
    }
    if let Ended::ByUs(_) | Ended::Signalled(_) = finished.ended {
        let worst = hearing.failures.values().find(|failure| failure.class != FailureClass::File);
        return Err(worst.cloned().unwrap_or_else(|| finished.failure("fetching files")));
    }
    if silent.is_empty() {
        return Ok(Vec::new());
    }
    let heard_nothing = hearing.arrived.is_empty() && hearing.failures.is_empty();
    if finished.succeeded() || finished.says_absent() || !heard_nothing {
        // Listed files that the remote does not show are skipped without a word.
        silent.iter().for_each(|(index, _)| settled(*index, Fetched::Absent));
        return Ok(Vec::new());
    }
    let failure = finished.failure("fetching files");
    if matches!(failure.class, FailureClass::Authentication | FailureClass::RemoteUnwell) {
        return Err(failure);
    }
    if let [(index, _)] = silent.as_slice() {
        settled(*index, Fetched::Failed(failure));
        return Ok(Vec::new());
    }
    // Before 1.75 one bad line (a folder where a file should be) ends the whole command.
    silent.sort_by(|a, b| a.1.cmp(&b.1));
    let (first, second) = silent.split_at(silent.len() / 2);
    let mut halves = Vec::new();
    for half in [first, second] {
        let mut groups = Vec::new();
        half.iter().for_each(|(index, line)| add(&mut groups, *index, line.clone()));
        halves.extend(groups);
    }
    Ok(halves)
}
