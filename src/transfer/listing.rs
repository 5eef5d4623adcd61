//! Everything that lies on a remote: one recursive listing, handed over file by
//! file.

use crate::model::{Failure, FailureClass, TreePath};
use crate::transfer::command_line::Traffic;
use crate::transfer::process::Heard;
use crate::transfer::{Session, classify};
use serde::Deserialize;

/// A file somewhere below the folder that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Below the folder, in rclone's standard encoding. Bytes that are no text are
    /// U+FFFD, one for each.
    pub line: String,
    /// In bytes; `None` when the remote does not know it.
    pub size: Option<u64>,
}

impl ListedFile {
    /// The path that a list line of this mirror means. `None` when that cannot be
    /// told: see [`ListedFile::line`].
    pub fn path(&self) -> Option<TreePath> {
        decode(&self.line)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonFile {
    path: String,
    #[serde(default = "unknown_size")]
    size: i64,
}

fn unknown_size() -> i64 {
    -1
}

/// A path of 32 KiB with every byte escaped is below this.
const LINE_BYTES_MAX: usize = 1 << 20;

impl Session<'_> {
    /// Lists all files below `folder` that the filter `rules` let pass (all, when they are
    /// empty), one request per folder for most backends.
    /// `false`: the remote says that there is no such folder. **That is no proof**,
    /// and neither is a file that is missing in the listing: some remotes answer
    /// every error so.
    ///
    /// # Errors
    /// When something could not be listed; what came until then is not all.
    pub fn list_all(
        &self,
        folder: &str,
        rules: &str,
        each: &mut dyn FnMut(ListedFile),
    ) -> Result<bool, Failure> {
        let mut words = vec!["lsjson", folder, "-R", "--files-only", "--no-modtime", "--no-mimetype"];
        if !rules.is_empty() {
            words.extend(["--filter-from", "-"]);
        }
        let mut lines = JsonLines::default();
        let finished = self.run_streaming(
            words.into_iter().map(Into::into).collect(),
            rules.as_bytes().to_vec(),
            Traffic::Requests,
            &mut |_| Heard::Nothing,
            &mut |bytes| lines.take(bytes, each),
        )?;
        if finished.says_absent() && !lines.found_any {
            return Ok(false);
        }
        if !finished.succeeded() {
            return Err(finished.failure("listing everything on the remote"));
        }
        match lines.wrong {
            None => Ok(true),
            Some(wrong) => {
                let reason = format!("reading the listing of the remote: {wrong}");
                Err(classify::failure(FailureClass::Rclone, &reason))
            }
        }
    }
}

/// `lsjson` writes a list with one object a line.
#[derive(Default)]
pub(crate) struct JsonLines {
    rest: Vec<u8>,
    found_any: bool,
    pub(crate) wrong: Option<String>,
}

impl JsonLines {
    pub(crate) fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(ListedFile)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.rest.len() + piece.len() > LINE_BYTES_MAX {
                self.wrong = Some("a line is too long".into());
                self.rest.clear();
                continue;
            }
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.line(&line, each);
            }
        }
    }

    fn line(&mut self, line: &[u8], each: &mut dyn FnMut(ListedFile)) {
        let line = line.trim_ascii();
        // Some versions open the list, or close it, on the line of an object.
        let line = line.strip_prefix(b"[").unwrap_or(line);
        let line = line.strip_suffix(b"]").unwrap_or(line);
        let line = line.strip_suffix(b",").unwrap_or(line).trim_ascii();
        if line.is_empty() {
            return;
        }
        match serde_json::from_slice::<JsonFile>(line) {
            Ok(file) => {
                self.found_any = true;
                each(ListedFile { line: file.path, size: u64::try_from(file.size).ok() });
            }
            Err(error) => self.wrong = Some(error.to_string()),
        }
    }
}

/// The way back from `NameEncoding::encode`.
fn decode(line: &str) -> Option<TreePath> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    let mut put = |character: char| bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(character) = characters.next() {
        match character {
            char::REPLACEMENT_CHARACTER => return None,
            '\u{201B}' => match characters.peek().copied() {
                Some(
                    quoted @ ('\u{2400}'..='\u{241F}' | '\u{2421}' | '\u{FF0F}' | '\u{FF0E}' | '\u{201B}'),
                ) => {
                    put(quoted);
                    characters.next();
                }
                _ => put(character),
            },
            '\u{2401}'..='\u{241F}' => put(char::from_u32(character as u32 - 0x2400)?),
            '\u{2421}' => put('\u{7F}'),
            _ => put(character),
        }
    }
    TreePath::from_bytes(bytes).ok().filter(|path| !path.is_root())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::transfer::NameEncoding;

    fn parse(pieces: &[&str]) -> (Vec<(String, Option<u64>)>, Option<String>) {
        let mut lines = JsonLines::default();
        let mut files = Vec::new();
        for piece in pieces {
            lines.take(piece.as_bytes(), &mut |file| files.push((file.line, file.size)));
        }
        (files, lines.wrong)
    }

    #[test]
    fn a_listing_is_read_in_whatever_pieces_it_comes() {
        let text = "[\n{\"Path\":\"a/b\",\"Name\":\"b\",\"Size\":3,\"IsDir\":false},\n{\"Path\":\"图\",\"Size\":-1}\n]\n";
        let expected = (vec![("a/b".to_owned(), Some(3)), ("图".to_owned(), None)], None);
        assert_eq!(parse(&[text]), expected);
        let (start, end) = text.split_at(30);
        assert_eq!(parse(&[start, end]), expected);
        assert_eq!(parse(&["[\n", "]\n"]), (vec![], None));
        assert!(parse(&["[\n{\"Path\":1}\n]\n"]).1.is_some());
    }

    proptest::proptest! {
        #[test]
        fn a_name_comes_back_as_it_was_sent(name in "[a\u{1}-\u{1f}\u{7f}\u{2400}-\u{2422}\u{FF0F}\u{FF0E}\u{201B}图 ]{1,8}(/[a\u{2401}\u{201B}]{1,3})?") {
            let Ok(path) = TreePath::from_bytes(name) else { return Ok(()) };
            for encoding in [NameEncoding::Raw, NameEncoding::Default] {
                if let Ok(line) = encoding.encode(&path) {
                    let decoded = decode(std::str::from_utf8(&line).unwrap());
                    // Without the quoted form a lone U+2400 stays what it is.
                    proptest::prop_assert_eq!(decoded.as_ref(), Some(&path), "{}", encoding);
                }
            }
        }
    }
}
