//! Where a remote leads: behind an alias, or another name for the same server.
//!
//! `backend features` would tell it for one remote, but asks the server whether the path is a file. The
//! configuration tells it for all, by one process and without a request.

use crate::model::Failure;
use crate::transfer::Session;
use crate::transfer::remote_path::{join, path_start};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// rclone follows no longer chain of aliases either.
const ALIASES_MAX: usize = 10;

type Section = BTreeMap<String, serde_json::Value>;

/// A folder on a storage, whatever the remotes are called that lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What tells one storage from another: never a secret.
    storage: String,
    components: Vec<String>,
}

impl Destination {
    fn new(storage: impl Into<String>, path: &str) -> Self {
        let components = path.split('/').filter(|component| !matches!(*component, "" | "."));
        Destination { storage: storage.into(), components: components.map(str::to_owned).collect() }
    }

    /// True when both are the same folder, or one lies in the other. Of two names for one account it is known
    /// where the configuration names a server (WebDAV, SFTP, FTP, SMB, S3, HTTP); elsewhere another name counts
    /// as another storage.
    pub fn overlaps(&self, other: &Destination) -> bool {
        self.storage == other.storage
            && self.components.iter().zip(&other.components).all(|(ours, theirs)| ours == theirs)
    }

    /// The folder of this machine.
    pub fn local_folder(&self) -> Option<PathBuf> {
        (self.storage == "local").then(|| PathBuf::from(format!("/{}", self.components.join("/"))))
    }
}

impl Session<'_> {
    /// Where each of `remotes` leads. No request.
    ///
    /// # Errors
    /// When rclone cannot read its configuration.
    pub fn destinations(&self, remotes: &[String]) -> Result<Vec<Destination>, Failure> {
        let finished = self.ask(vec!["config".into(), "dump".into()])?;
        if !finished.succeeded() {
            return Err(finished.failure("reading rclone's configuration"));
        }
        // One that defines nothing, or that only the environment makes up, is no reason to stop.
        let sections = serde_json::from_slice(&finished.output).unwrap_or_default();
        Ok(remotes.iter().map(|remote| resolve(remote, &sections)).collect())
    }
}

fn resolve(remote: &str, sections: &BTreeMap<String, Section>) -> Destination {
    let mut remote = remote.to_owned();
    for _ in 0..ALIASES_MAX {
        let start = path_start(&remote);
        if start == 0 {
            return Destination::new("local", &remote);
        }
        let (head, path) = (&remote[..start - 1], &remote[start..]);
        let options = options_of(head, sections);
        let option = |name: &str| options.get(name).map_or("", String::as_str);
        match option("type") {
            "alias" | "hasher" | "chunker" | "compress" if !option("remote").is_empty() => {
                remote = join(option("remote"), path.trim_start_matches('/'));
            }
            "local" if path.starts_with('/') => return Destination::new("local", path),
            kind @ ("webdav" | "http") if !option("url").is_empty() => {
                return Destination::new(kind, &join(option("url"), path.trim_start_matches('/')));
            }
            kind @ ("sftp" | "ftp" | "smb") if !option("host").is_empty() => {
                let server = [kind, option("host"), option("port"), option("user")].join(" ");
                return Destination::new(server, path);
            }
            "s3" => {
                let account = ["s3", option("provider"), option("endpoint"), option("region")].join(" ");
                return Destination::new(account, path);
            }
            _ => return Destination::new(head, path),
        }
    }
    Destination::new(remote, "")
}

/// The options of a section and those that are given beside its name; of a backend on the fly only those.
fn options_of(head: &str, sections: &BTreeMap<String, Section>) -> BTreeMap<String, String> {
    let mut parts = split_options(head);
    let name = if parts.is_empty() { String::new() } else { parts.remove(0) };
    let mut options = BTreeMap::new();
    if let Some(kind) = name.strip_prefix(':') {
        options.insert("type".to_owned(), kind.to_owned());
    } else if let Some(section) = sections.get(&name) {
        let texts = section.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        options.extend(texts);
    }
    for part in parts {
        if let Some((key, value)) = part.split_once('=') {
            options.insert(key.to_owned(), value.to_owned());
        }
    }
    options
}

/// The parts between the commas of a connection string, without their quotes: a quote in a quoted value is doubled.
fn split_options(head: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut characters = head.chars().peekable();
    while let Some(character) = characters.next() {
        let last = parts.len() - 1;
        match (character, quote) {
            (',', None) => parts.push(String::new()),
            ('"' | '\'', None) => quote = Some(character),
            (character, Some(open)) if character == open => {
                if characters.next_if_eq(&open).is_some() {
                    parts[last].push(open);
                } else {
                    quote = None;
                }
            }
            _ => parts[last].push(character),
        }
    }
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn other_names_for_one_place_are_seen() {
        let dump = r#"{"loc":{"type":"local"}, "al":{"type":"alias","remote":"loc:/data"},
            "al2":{"type":"alias","remote":"al:deeper"}, "root":{"type":"alias","remote":"/data"},
            "w":{"type":"webdav","url":"http://h/dav/","pass":"x"}, "w2":{"type":"webdav","url":"http://h/dav/photos"},
            "s":{"type":"sftp","host":"h","user":"me"}, "t":{"type":"sftp","host":"h","user":"you"},
            "d":{"type":"drive","token":"x"}, "loop":{"type":"alias","remote":"loop:"}}"#;
        let sections = serde_json::from_str(dump).unwrap();
        let overlap = |one: &str, other: &str| resolve(one, &sections).overlaps(&resolve(other, &sections));
        for (one, other) in [
            ("loc:/data/x", "al:x/y"),
            ("al2:x", "root:deeper"),
            (":local:/data", "al2:z"),
            ("loc,encoding=None:/data", "/data/q"),
            ("w:photos/a", "w2:a/b"),
            (":webdav,url='http://h/dav',vendor=other:photos", "w2:"),
            ("d:a", "d:a/b"),
            ("s:a", "s,port_forward=1:a"),
        ] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("loc:/data/x", "al:xy"),
            ("w:photo", "w2:"),
            ("s:a", "t:a"),
            ("d:a", "loc:/a"),
            ("unknown:a", "d:a"),
            ("loop:a", "loc:/a"),
        ] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
        }
        assert_eq!(resolve("al2:x", &sections).local_folder(), Some("/data/deeper/x".into()));
        assert_eq!(split_options(":x,a='b,''c',d=\"e:f\""), [":x", "a=b,'c", "d=e:f"]);
    }
}
