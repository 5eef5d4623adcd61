//! How a name is written in a list, so that rclone carries its exact bytes.
//!
//! A list line is read by rclone in its own "standard" encoding: control
//! characters are written as the symbols U+2400.., and such symbols themselves
//! are quoted by U+201B. Tried with 54 odd names on local, WebDAV and S3, with
//! 1.60.1 and 1.75.2; bytes that are not UTF-8 travel raw.

use crate::model::TreePath;
use std::fmt;
use std::str::FromStr;

/// Which way of writing names a mirror was begun with. It never varies for a
/// mirror: keep it with the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameEncoding {
    /// With `--local-encoding Raw`, rclone 1.68 and later: carries every name.
    Raw,
    /// For older ones: names with U+201B, and U+FF0E as a whole name, cannot be carried.
    Legacy,
    /// A mirror that rclone filled with its default settings, before us: its names
    /// stay as they are. Lists are written as for `Legacy`.
    Default,
}

/// A name that cannot be written so that this rclone finds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotCarried {
    /// For people.
    pub reason: String,
}

/// Control characters travel as symbols. rclone's default for S3 sends them as they are, and then
/// listings, which are XML, cannot show them: HEAD finds such a file and a listing does not.
const SYMBOLS: &str = "Slash,Ctl,Del,InvalidUtf8,Dot";
const QUOTE: char = '\u{201B}';
const FULL_STOP: &str = "\u{FF0E}";

impl NameEncoding {
    /// `path` as a line of a list, and as a part of a remote path.
    ///
    /// # Errors
    /// When this way of writing cannot carry it.
    pub fn encode(self, path: &TreePath) -> Result<Vec<u8>, NotCarried> {
        self.encode_components(path.components(), path.as_bytes().len())
    }

    pub(crate) fn encode_components<'a>(
        self,
        components: impl Iterator<Item = &'a [u8]>,
        length: usize,
    ) -> Result<Vec<u8>, NotCarried> {
        let mut line = Vec::with_capacity(length + 8);
        for component in components {
            if !line.is_empty() {
                line.push(b'/');
            }
            self.encode_component(component, &mut line)?;
        }
        Ok(line)
    }

    fn encode_component(self, component: &[u8], line: &mut Vec<u8>) -> Result<(), NotCarried> {
        if component == FULL_STOP.as_bytes() || component == "\u{FF0E}\u{FF0E}".as_bytes() {
            if self != NameEncoding::Raw {
                // 1.60 takes the line for `.` or `..`, a directory, and gives up the whole batch.
                return Err(not_carried_by_legacy("is U+FF0E (．) alone or twice"));
            }
            for _ in component.chunks(FULL_STOP.len()) {
                push(line, QUOTE);
                push(line, '\u{FF0E}');
            }
            return Ok(());
        }
        // Most names: every path is encoded three times on its way.
        if component.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            line.extend_from_slice(component);
            return Ok(());
        }
        for chunk in component.utf8_chunks() {
            for character in chunk.valid().chars() {
                self.encode_character(character, line)?;
            }
            line.extend_from_slice(chunk.invalid());
        }
        Ok(())
    }

    fn encode_character(self, character: char, line: &mut Vec<u8>) -> Result<(), NotCarried> {
        match character {
            '\u{01}'..='\u{1F}' => push(line, symbol(character as u32)),
            '\u{7F}' => push(line, '\u{2421}'),
            QUOTE if self != NameEncoding::Raw => {
                return Err(not_carried_by_legacy("holds the character U+201B (‛)"));
            }
            '\u{FF0F}' | '\u{2400}' if self != NameEncoding::Raw => push(line, character),
            '\u{2400}'..='\u{241F}' | '\u{2421}' | '\u{FF0F}' | QUOTE => {
                push(line, QUOTE);
                push(line, character);
            }
            _ => push(line, character),
        }
        Ok(())
    }

    /// True when this name may lie on a mirror under other bytes than the ones
    /// with which a mirror of our own would hold it.
    pub fn differs_by_default(path: &TreePath) -> bool {
        path.as_bytes().utf8_chunks().any(|chunk| {
            let odd = |character: char| {
                character.is_ascii_control()
                    || matches!(character, '\u{2400}'..='\u{2421}' | '\u{FF0F}' | '\u{FF0E}' | QUOTE)
            };
            !chunk.invalid().is_empty() || chunk.valid().chars().any(odd)
        })
    }

    /// The flags that go with it, for every command of this mirror.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            NameEncoding::Raw => {
                &["--local-encoding", "Raw", "--webdav-encoding", SYMBOLS, "--s3-encoding", SYMBOLS]
            }
            NameEncoding::Legacy => &["--webdav-encoding", SYMBOLS, "--s3-encoding", SYMBOLS],
            NameEncoding::Default => &[],
        }
    }
}

fn not_carried_by_legacy(what: &str) -> NotCarried {
    let reason =
        format!("its name {what}, which rclone carries from 1.68 on, for mirrors begun with such a version");
    NotCarried { reason }
}

fn push(line: &mut Vec<u8>, character: char) {
    line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn symbol(control: u32) -> char {
    char::from_u32(0x2400 + control).unwrap_or(char::REPLACEMENT_CHARACTER)
}

impl fmt::Display for NameEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameEncoding::Raw => "raw",
            NameEncoding::Legacy => "legacy",
            NameEncoding::Default => "default",
        })
    }
}

impl FromStr for NameEncoding {
    type Err = NotCarried;

    fn from_str(text: &str) -> Result<Self, NotCarried> {
        match text {
            "raw" => Ok(NameEncoding::Raw),
            "legacy" => Ok(NameEncoding::Legacy),
            "default" => Ok(NameEncoding::Default),
            _ => Err(NotCarried { reason: format!("{text:?} is no name encoding known here") }),
        }
    }
}

/// How rclone's log shows these bytes: one U+FFFD for each that is not UTF-8.
/// Rust's own lossy form differs, it writes one for a whole broken sequence.
pub fn as_logged(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn encoded(encoding: NameEncoding, name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        encoding.encode(&TreePath::from_bytes(name.as_ref()).unwrap()).ok()
    }

    #[test]
    fn control_characters_become_symbols_and_symbols_are_quoted() {
        let raw = |name: &str| String::from_utf8(encoded(NameEncoding::Raw, name).unwrap()).unwrap();
        assert_eq!(raw("a\nb\r"), "a␊b␍");
        assert_eq!(raw("a␊b"), "a‛␊b");
        assert_eq!(raw("\u{7f}/\u{2421}"), "\u{2421}/\u{201B}\u{2421}");
        assert_eq!(raw("‛"), "‛‛");
        assert_eq!(raw("\u{FF0F}"), "\u{201B}\u{FF0F}");
        assert_eq!(raw("\u{FF0E}/\u{FF0E}\u{FF0E}/x\u{FF0E}"), "‛\u{FF0E}/‛\u{FF0E}‛\u{FF0E}/x\u{FF0E}");
        assert_eq!(raw("␠ #;*?[x]{}"), "␠ #;*?[x]{}");
    }

    #[test]
    fn bytes_that_are_no_text_travel_as_they_are() {
        assert_eq!(encoded(NameEncoding::Raw, b"a\xff\xfe").unwrap(), b"a\xff\xfe");
        assert_eq!(as_logged(b"a\xe2\x82b\xff"), "a\u{FFFD}\u{FFFD}b\u{FFFD}");
    }

    #[test]
    fn the_old_way_says_what_it_cannot_carry() {
        assert_eq!(encoded(NameEncoding::Legacy, "a‛b"), None);
        assert_eq!(encoded(NameEncoding::Legacy, "a/\u{FF0E}"), None);
        assert_eq!(encoded(NameEncoding::Legacy, "a\u{FF0F}").unwrap(), "a\u{FF0F}".as_bytes());
    }

    proptest::proptest! {
        #[test]
        fn different_paths_have_different_lines_without_line_breaks(
            a in proptest::collection::vec(1u8.., 1..40), b in proptest::collection::vec(1u8.., 1..40),
        ) {
            let (Ok(a), Ok(b)) = (TreePath::from_bytes(a), TreePath::from_bytes(b)) else { return Ok(()) };
            let (line_a, line_b) = (NameEncoding::Raw.encode(&a).unwrap(), NameEncoding::Raw.encode(&b).unwrap());
            proptest::prop_assert!(!line_a.contains(&b'\n') && !line_a.contains(&b'\r'));
            proptest::prop_assert_eq!(line_a == line_b, a == b);
        }
    }
}
