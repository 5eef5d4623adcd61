//! Comparing content without keeping it: rclone reads the files through and hashes
//! them itself (1.71 and later).

use crate::model::{ContentDigest, Failure, FailureClass, TreePath};
use crate::observe::Event;
use crate::transfer::command_line::{LIST, Traffic, list_of};
use crate::transfer::log_line::{LogLine, Stats};
use crate::transfer::looks::scratch_failure;
use crate::transfer::process::{Ended, Heard};
use crate::transfer::send::list_line;
use crate::transfer::{Capability, Session, classify};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;

/// A sign and a blank, before the name.
const MARK_BYTES: usize = 2;

/// What rclone says of the content of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It has this hash.
    Same,
    /// Another one.
    Other,
    /// The remote does not give it out, in these words: asking once more is of no use.
    Refused(Failure),
    /// It could not be read: to be looked at alone.
    NotRead,
    /// It was not told of. **No proof** of anything.
    Silent,
}

impl Session<'_> {
    /// True when [`Session::check_content`] can be asked about this path: its answers are
    /// lines of text, so that not every name can be told apart in them.
    pub fn can_check_content(&self, path: &TreePath) -> bool {
        self.rclone.version().has(Capability::Blake3)
            && list_line(*self, path, false).is_ok_and(|line| is_plain(&line))
    }

    /// Has rclone fetch files and hash them; nothing is kept. `settled` hears of each file
    /// once, as soon as it is known, and the observer how far the ones under way are.
    ///
    /// # Errors
    /// When the remote as a whole is in trouble, or rclone was ended.
    pub fn check_content(
        &self,
        remote: &str,
        files: &[(TreePath, ContentDigest)],
        settled: &mut dyn FnMut(usize, Checked),
    ) -> Result<(), Failure> {
        let mut open: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut sums = String::new();
        for (index, (path, digest)) in files.iter().enumerate() {
            let line = list_line(*self, path, false)
                .map_err(|reason| Failure { class: FailureClass::File, reason })?;
            let _ = writeln!(sums, "{digest}  {}", String::from_utf8_lossy(&line));
            open.insert(line, index);
        }
        let scratch = self.scratch_directory()?;
        let sum_file = scratch.path().join("sums");
        std::fs::write(&sum_file, sums).map_err(|error| scratch_failure(&error))?;
        let list = list_of(open.keys().map(Vec::as_slice));
        let mut arguments: Vec<OsString> =
            vec!["checksum".into(), "blake3".into(), sum_file.into(), remote.into()];
        arguments.extend(["--download", "--combined", "-"].map(OsString::from));
        arguments.extend(LIST.iter().map(OsString::from));
        let mut rest: Vec<u8> = Vec::new();
        let open = RefCell::new(open);
        let (mut refused, mut not_read) = (HashMap::new(), Vec::new());
        let mut on_line = |line: &LogLine| {
            line.stats.iter().for_each(|stats| self.tell_under_way(stats, files, &open.borrow()));
            refused.extend(refusal(line));
            Heard::Nothing
        };
        let finished = self.run_streaming(arguments, list, Traffic::Bytes, &mut on_line, &mut |bytes| {
            rest.extend_from_slice(bytes);
            let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else { return };
            for line in rest[..end].split(|&byte| byte == b'\n') {
                let understood = understand(line, &mut open.borrow_mut());
                match understood {
                    // Why, comes through the other pipe, perhaps later.
                    Some((index, Checked::NotRead)) => not_read.push((index, line[MARK_BYTES..].to_vec())),
                    Some((index, checked)) => settled(index, checked),
                    None => {}
                }
            }
            rest.drain(..=end);
        })?;
        for (index, name) in not_read {
            settled(index, refused.remove(&name).map_or(Checked::NotRead, Checked::Refused));
        }
        let open = open.into_inner();
        let all_silent = open.len() == files.len();
        for index in open.into_values() {
            settled(index, Checked::Silent);
        }
        let is_ended = matches!(finished.ended, Ended::ByUs(_) | Ended::Signalled(_));
        if is_ended || (all_silent && !files.is_empty() && !finished.succeeded()) {
            return Err(finished.failure("reading files of the remote"));
        }
        Ok(())
    }

    /// Only of what is `open`: a line of statistics may come behind the answer.
    fn tell_under_way(
        &self,
        stats: &Stats,
        files: &[(TreePath, ContentDigest)],
        open: &HashMap<Vec<u8>, usize>,
    ) {
        for file in stats.transferring.iter().flatten() {
            if let (Some(&index), Ok(bytes)) = (open.get(file.name.as_bytes()), u64::try_from(file.bytes)) {
                self.observer.event(&Event::FileUnderWay { path: &files[index].0, bytes });
            }
        }
    }
}

/// The file that the remote does not give out by this line, under its name in the list.
fn refusal(line: &LogLine) -> Option<(Vec<u8>, Failure)> {
    let name = line.object.as_ref().filter(|_| line.is_trouble())?;
    let words = classify::without_name(&line.text, name);
    let is_final = classify::class_of(&words) == FailureClass::File && classify::says_no_permission(&words);
    is_final.then(|| (name.clone().into_bytes(), classify::failure(FailureClass::File, &line.text)))
}

/// `= path`: the same, `* path`: another hash. Anything else needs a look of its own.
fn understand(line: &[u8], open: &mut HashMap<Vec<u8>, usize>) -> Option<(usize, Checked)> {
    let (sign, path) = (line.first()?, line.get(MARK_BYTES..)?);
    let index = open.remove(path)?;
    let checked = match sign {
        b'=' => Checked::Same,
        b'*' => Checked::Other,
        _ => Checked::NotRead,
    };
    Some((index, checked))
}

/// No name that a file of sums, or a line of an answer, shows in another way.
fn is_plain(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let is_odd = |character: char| {
        character.is_control()
            || matches!(character, '\\' | '\u{201B}' | '\u{FFFD}' | '\u{2400}'..='\u{243F}' | '\u{FF00}'..='\u{FF0F}')
            || (character.is_whitespace() && character != ' ')
    };
    text.trim() == text && !text.starts_with(['#', '*', ';']) && !text.contains(is_odd)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_settles_its_own_file_once() {
        let mut open =
            HashMap::from([(b"a b".to_vec(), 0), ("图".as_bytes().to_vec(), 1), (b"c".to_vec(), 2)]);
        assert_eq!(understand(b"= a b", &mut open), Some((0, Checked::Same)));
        assert_eq!(understand(b"= a b", &mut open), None);
        assert_eq!(understand("* 图".as_bytes(), &mut open), Some((1, Checked::Other)));
        assert_eq!(understand(b"+ c", &mut open), Some((2, Checked::NotRead)));
        assert_eq!(understand(b"= nobody's", &mut open), None);
        assert_eq!(understand(b"", &mut open), None);
    }

    #[test]
    fn names_that_would_be_shown_otherwise_are_read_in_another_way() {
        for plain in ["a", "a b/c.jpg", "照片/图 1.jpg", "a#b", "x/*y"] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
        }
        for odd in ["a\nb", "a\u{240a}b", " a", "a ", "a\\b", "\u{201b}", "*a", "#a", "a\u{a0}"] {
            assert!(!is_plain(odd.as_bytes()), "{odd:?}");
        }
        assert!(!is_plain(b"\xff"));
    }
}
