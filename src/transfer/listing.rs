//! What the remote says that it holds, and single large files read through.

use crate::model::{Failure, FailureClass, TreePath};
use crate::transfer::command_line::{Traffic, below};
use crate::transfer::process::Heard;
use crate::transfer::send::list_line;
use crate::transfer::{Session, classify};
use std::ffi::OsString;

/// A name can have 255 bytes, a path some thousands; more is no line of a listing.
const LINE_BYTES_MAX: usize = 1 << 20;

/// One file of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where; `Err` holds what rclone printed, for a name that is none of ours.
    pub path: Result<TreePath, String>,
    /// In bytes; `None` when the remote does not know it.
    pub size: Option<u64>,
}

impl Session<'_> {
    /// Lists all files below `remote`, one request per folder, in no order;
    /// nothing is kept here. `false`: the remote says that there is no such folder.
    /// **That is no proof**, and neither is a name that is not listed.
    ///
    /// # Errors
    /// When the remote cannot be asked, or a part of it could not be listed.
    pub fn list_files(&self, remote: &str, tell: &mut dyn FnMut(ListedFile)) -> Result<bool, Failure> {
        let words = ["lsf", remote, "-R", "--files-only", "--format", "sp", "--separator", ";"];
        let mut rest: Vec<u8> = Vec::new();
        let (mut is_readable, mut told_any) = (true, false);
        let finished = self.run_streaming(
            words.map(OsString::from).to_vec(),
            Vec::new(),
            Traffic::Requests,
            &mut |_| Heard::Nothing,
            &mut |bytes| {
                rest.extend_from_slice(&bytes);
                let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else {
                    is_readable &= rest.len() < LINE_BYTES_MAX;
                    return;
                };
                for line in rest[..end].split(|&byte| byte == b'\n') {
                    match self.listed_file(line) {
                        Some(file) => {
                            told_any = true;
                            tell(file);
                        }
                        None => is_readable = false,
                    }
                }
                rest.drain(..=end);
            },
        )?;
        if finished.says_absent() && !told_any {
            return Ok(false);
        }
        if !finished.succeeded() {
            return Err(finished.failure("listing the mirror"));
        }
        if !is_readable || !rest.is_empty() {
            let text = "listing the mirror: rclone printed something else than a list";
            return Err(classify::failure(FailureClass::Rclone, text));
        }
        Ok(true)
    }

    fn listed_file(&self, line: &[u8]) -> Option<ListedFile> {
        let at = line.iter().position(|&byte| byte == b';')?;
        let size: i64 = std::str::from_utf8(&line[..at]).ok()?.trim().parse().ok()?;
        let name = &line[at + 1..];
        let path = self.encoding.decode(name).ok_or_else(|| String::from_utf8_lossy(name).into_owned());
        Some(ListedFile { path, size: u64::try_from(size).ok() })
    }

    /// Reads one file through, piece by piece. `Ok(false)`: the remote says that
    /// it is not there (no proof).
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
        let finished = self.run_streaming(
            vec!["cat".into(), below(remote, &line)],
            Vec::new(),
            Traffic::Bytes,
            &mut |_| Heard::Nothing,
            &mut |bytes| tell(&bytes),
        )?;
        if finished.says_absent() {
            return Ok(false);
        }
        if finished.succeeded() { Ok(true) } else { Err(finished.failure("reading a file")) }
    }
}
