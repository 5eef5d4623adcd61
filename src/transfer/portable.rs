//! Which names a remote can hold: what is known of its kind, without asking it. Pure.

use crate::model::{Name, TreePath};
use crate::transfer::{Features, NameEncoding};
use unicode_normalization::UnicodeNormalization;

/// Kinds of remotes that have rules of their own for names. The numbers are kept in the docket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteKind {
    /// Wrapped (crypt, union, …), or without rules that are known here.
    Other = 1,
    /// A folder of this machine.
    Local = 2,
    /// Listings are XML.
    Webdav = 3,
    /// Listings are XML, and a whole path is one name of at most 1,024 bytes.
    S3 = 4,
    /// Another store of buckets, with the same limit.
    Bucket = 5,
    /// Refuses what systems litter folders with.
    Dropbox = 6,
    /// Refuses what Windows and SharePoint reserve.
    OneDrive = 7,
    /// Mostly Windows behind it.
    Smb = 8,
    /// Raw bytes, as the server takes them.
    Sftp = 9,
}

/// Which names are one name on a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folding {
    /// `A` and `a`.
    pub case: bool,
    /// Composed and decomposed characters (NFC and NFD).
    pub unicode: bool,
}

/// In bytes, of a whole path in a bucket.
const KEY_BYTES_MAX: usize = 1024;
/// A name up to here goes everywhere, as far as is known.
const NAME_BYTES_SAFE: usize = 255;
/// Wrapped remotes (crypt) make names longer: 143 bytes are 255 then.
const NAME_BYTES_SAFE_WRAPPED: usize = 143;
/// What rclone gives to the system must be shorter than `PATH_MAX`.
const LOCAL_PATH_BYTES_MAX: usize = 4095;

impl RemoteKind {
    /// Files are found under every name they were sent under. Elsewhere a byte that is no text travels
    /// as another, and what keeps the file may keep it under that (`rclone serve webdav` and `s3` do).
    pub fn keeps_all_bytes(self) -> bool {
        matches!(self, RemoteKind::Local | RemoteKind::Sftp)
    }

    const ALL: [RemoteKind; 9] = [
        RemoteKind::Other,
        RemoteKind::Local,
        RemoteKind::Webdav,
        RemoteKind::S3,
        RemoteKind::Bucket,
        RemoteKind::Dropbox,
        RemoteKind::OneDrive,
        RemoteKind::Smb,
        RemoteKind::Sftp,
    ];

    /// From its number.
    pub fn from_number(number: u8) -> Option<Self> {
        RemoteKind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    pub(crate) fn of(features: &Features) -> Self {
        let begins = |text: &str| features.description.starts_with(text);
        match () {
            () if begins("Local file system at") => RemoteKind::Local,
            () if begins("webdav root") => RemoteKind::Webdav,
            () if begins("S3 ") => RemoteKind::S3,
            () if begins("Dropbox root") => RemoteKind::Dropbox,
            () if begins("One drive root") => RemoteKind::OneDrive,
            () if begins("smb://") => RemoteKind::Smb,
            () if begins("sftp://") => RemoteKind::Sftp,
            () if features.bucket_based => RemoteKind::Bucket,
            () => RemoteKind::Other,
        }
    }

    /// How long a name may be before the remote is tried with longer ones, in bytes as [`stored_bytes`] counts them.
    /// `None`: there is no need, what this machine can have it can have.
    pub fn name_bytes_safe(self) -> Option<usize> {
        match self {
            RemoteKind::Local => None,
            RemoteKind::Other => Some(NAME_BYTES_SAFE_WRAPPED),
            _ => Some(NAME_BYTES_SAFE),
        }
    }

    /// Why this kind of remote cannot hold a file of this path, whatever server it is.
    pub fn refuses(self, path: &TreePath) -> Option<String> {
        path.components().find_map(|name| self.refuses_name(name))
    }

    fn refuses_name(self, name: &Name) -> Option<String> {
        let text = String::from_utf8_lossy(name);
        let is_xml = matches!(self, RemoteKind::Webdav | RemoteKind::S3);
        if is_xml && text.contains(['\u{FFFE}', '\u{FFFF}']) {
            return Some(
                "its name holds U+FFFE or U+FFFF, which no listing of this remote can show (XML)".into(),
            );
        }
        let lower = text.to_ascii_lowercase();
        let reserved = match self {
            RemoteKind::Dropbox => is_dropbox_litter(&lower),
            RemoteKind::OneDrive => is_onedrive_name(&lower) || is_device(&lower),
            RemoteKind::Smb => is_device(&lower),
            _ => false,
        };
        reserved.then(|| format!("the name {text:?} is reserved on this remote"))
    }

    /// Why a path is too long for this kind, `places` being the folders it must have room below (the
    /// mirror, the trash of a run), as the remote writes them.
    pub fn too_long(self, encoding: NameEncoding, path: &TreePath, places: [&str; 2]) -> Option<String> {
        let longest = places.iter().map(|place| place.len()).max().unwrap_or_default() + 1;
        let (length, most) = match self {
            RemoteKind::S3 | RemoteKind::Bucket => {
                let names = path.components().map(|name| wire_bytes(encoding, name) + 1);
                (longest + names.sum::<usize>() - 1, KEY_BYTES_MAX)
            }
            RemoteKind::Local => (longest + path.as_bytes().len(), LOCAL_PATH_BYTES_MAX),
            _ => return None,
        };
        (length > most).then(|| {
            format!("with its folders its path has {length} bytes there, in the trash at the latest; the remote takes {most}")
        })
    }
}

/// rclone opens the files of the source by their whole path.
pub fn too_long_for_rclone(source: &std::path::Path, path: &TreePath) -> Option<String> {
    let length = source.as_os_str().len() + 1 + path.as_bytes().len();
    (length > LOCAL_PATH_BYTES_MAX).then(|| {
        format!("with its folders its path has {length} bytes; rclone opens up to {LOCAL_PATH_BYTES_MAX}")
    })
}

/// How long a name is where control characters are symbols, and bytes that are no text are
/// written out, as WebDAV and S3 remotes get it; an upper bound for the others.
pub fn wire_bytes(encoding: NameEncoding, name: &Name) -> usize {
    // A byte becomes `‛FF`.
    bytes_with(encoding, name, 5)
}

/// How long a name becomes where it is kept at the worst: a server that is an rclone itself, or that keeps files
/// through one, writes `‛‛FF` for the `‛FF` that it gets.
pub fn stored_bytes(encoding: NameEncoding, name: &Name) -> usize {
    bytes_with(encoding, name, 8)
}

fn bytes_with(encoding: NameEncoding, name: &Name, bytes_of_no_text: usize) -> usize {
    let encoded = encoding.encode_components(std::iter::once(name), name.len());
    let line = encoded.as_deref().unwrap_or(name);
    line.utf8_chunks().map(|chunk| chunk.valid().len() + bytes_of_no_text * chunk.invalid().len()).sum()
}

impl Folding {
    /// All that any remote does.
    pub const MOST: Folding = Folding { case: true, unicode: true };

    /// Two names with the same result are one name there.
    pub fn fold(self, name: &Name) -> Vec<u8> {
        let mut folded = Vec::with_capacity(name.len());
        for chunk in name.utf8_chunks() {
            if chunk.valid().is_ascii() {
                let bytes = chunk.valid().bytes();
                folded.extend(bytes.map(|byte| if self.case { byte.to_ascii_lowercase() } else { byte }));
            } else {
                folded.extend_from_slice(self.fold_text(chunk.valid()).as_bytes());
            }
            folded.extend_from_slice(chunk.invalid());
        }
        folded
    }

    fn fold_text(self, text: &str) -> String {
        let text = if self.unicode { text.nfd().collect() } else { text.to_owned() };
        // Both ways: `ſ` and `ς` have the capitals of `s` and `σ`.
        let text = if self.case { text.to_uppercase().to_lowercase() } else { text };
        if self.unicode { text.nfc().collect() } else { text }
    }

    /// As kept in the docket.
    pub fn number(self) -> u8 {
        1 | u8::from(self.case) << 1 | u8::from(self.unicode) << 2
    }

    /// From the docket; `None` while nothing is known.
    pub fn from_number(number: u8) -> Option<Self> {
        (number & 1 != 0).then_some(Folding { case: number & 2 != 0, unicode: number & 4 != 0 })
    }
}

/// As rclone's Dropbox backend refuses them.
fn is_dropbox_litter(lower: &str) -> bool {
    ["desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"].contains(&lower)
}

/// As Microsoft lists them for OneDrive and SharePoint.
fn is_onedrive_name(lower: &str) -> bool {
    [".lock", "desktop.ini"].contains(&lower) || lower.contains("_vti_") || lower.starts_with("~$")
}

/// Devices of DOS, with any extension.
fn is_device(lower: &str) -> bool {
    let stem = lower.split('.').next().unwrap_or(lower).trim_end();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    ["con", "prn", "aux", "nul"].contains(&stem) || numbered("com") || numbered("lpt")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_bytes(text).unwrap()
    }

    #[test]
    fn reserved_names_are_those_of_the_remote_wherever_they_stand_in_the_path() {
        assert!(RemoteKind::Dropbox.refuses(&path("a/Thumbs.DB")).is_some());
        assert!(RemoteKind::OneDrive.refuses(&path("a/nul.txt/b")).is_some());
        assert!(RemoteKind::OneDrive.refuses(&path("~$letter.docx")).is_some());
        assert!(RemoteKind::Smb.refuses(&path("COM1")).is_some());
        assert!(RemoteKind::Smb.refuses(&path("common/contents/lpt10")).is_none());
        assert!(RemoteKind::Webdav.refuses(&path("CON/desktop.ini")).is_none());
        assert!(RemoteKind::Webdav.refuses(&path("a\u{FFFF}")).is_some());
        assert!(RemoteKind::Local.refuses(&path("a\u{FFFF}")).is_none());
    }

    #[test]
    fn lengths_are_those_after_encoding() {
        assert_eq!(wire_bytes(NameEncoding::Raw, b"plain"), 5);
        assert_eq!(wire_bytes(NameEncoding::Raw, b"a\n\xff"), 1 + 3 + 5);
        assert_eq!(stored_bytes(NameEncoding::Raw, b"a\n\xff"), 1 + 3 + 8);
        assert_eq!(wire_bytes(NameEncoding::Raw, "␊".as_bytes()), 6);
        let deep = path(&["x".repeat(250).as_str(); 4].join("/"));
        assert!(RemoteKind::S3.too_long(NameEncoding::Raw, &deep, ["m", "c/trash/7"]).is_none());
        let trash = "c/.treeferry/photos/trash/7-20261122T100000Z";
        assert!(RemoteKind::S3.too_long(NameEncoding::Raw, &deep, ["m", trash]).is_some());
        assert!(RemoteKind::Webdav.too_long(NameEncoding::Raw, &deep, ["m", trash]).is_none());
        assert!(
            too_long_for_rclone(
                std::path::Path::new("/srv"),
                &path(&["x".repeat(250).as_str(); 17].join("/"))
            )
            .is_some()
        );
    }

    #[test]
    fn twins_are_told_by_what_the_remote_folds() {
        let same =
            |folding: Folding, a: &str, b: &str| folding.fold(a.as_bytes()) == folding.fold(b.as_bytes());
        let (case, unicode) =
            (Folding { case: true, unicode: false }, Folding { case: false, unicode: true });
        assert!(same(case, "Å.JPG", "å.jpg") && !same(case, "\u{e9}", "e\u{301}"));
        assert!(same(unicode, "\u{e9}", "e\u{301}") && !same(unicode, "A", "a"));
        assert!(same(Folding::MOST, "\u{c9}", "e\u{301}"));
        assert!(!same(Folding::default(), "A", "a"));
        assert_eq!(Folding::MOST.fold(b"A\xff"), b"a\xff");
        assert_eq!(Folding::from_number(case.number()), Some(case));
        assert_eq!(Folding::from_number(0), None);
        for kind in RemoteKind::ALL {
            assert_eq!(RemoteKind::from_number(kind as u8), Some(kind));
        }
    }
}
