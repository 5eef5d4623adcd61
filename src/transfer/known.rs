//! What was found out about rclone and a remote, and whether it still holds: two
//! processes less in each run that sends something.

use crate::observe::Observer;
use crate::transfer::command_line::environment;
use crate::transfer::version::OLDEST;
use crate::transfer::{Control, Features, NameEncoding, Rclone, RcloneSettings, RcloneVersion};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Version and features, to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Of the program.
    pub version: RcloneVersion,
    /// Of the remote.
    pub features: Features,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Of everything the answers depend on; `None`: they may change unseen.
    fingerprint: Option<String>,
    version: String,
    /// Under another name than once, when not all of it was written: that is asked again.
    #[serde(rename = "all_features")]
    features: Features,
}

impl Known {
    /// Asks for both by one process: no request for most backends. `None`: not found out;
    /// whoever asks one by one is told why.
    pub fn ask(
        settings: &RcloneSettings,
        remote: &str,
        control: &Control,
        observer: &dyn Observer,
    ) -> Option<Known> {
        // With flags that every version understands.
        let any = Rclone::with_version(settings.clone(), OLDEST);
        let session = any.session(NameEncoding::Legacy, control, observer).ok()?;
        let (features, version) = session.features_and_version(remote).ok()?;
        Some(Known { version: version.filter(|&version| version >= OLDEST)?, features })
    }

    /// For a small file: with a fingerprint of what the answers depend on, and sealed.
    pub fn encode(&self, settings: &RcloneSettings, remote: &str) -> Vec<u8> {
        let stored = Stored {
            fingerprint: fingerprint(settings, remote),
            version: self.version.to_string(),
            features: self.features.clone(),
        };
        let text = serde_json::to_string(&stored).unwrap_or_default();
        format!("{}\n{text}\n", blake3::hash(text.as_bytes()).to_hex()).into_bytes()
    }

    /// What was remembered, and whether it surely still holds. `None`: nothing legible.
    pub fn decode(bytes: &[u8], settings: &RcloneSettings, remote: &str) -> Option<(Known, bool)> {
        let (seal, text) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let text = text.strip_suffix('\n')?;
        if blake3::hash(text.as_bytes()).to_hex().as_str() != seal {
            return None;
        }
        let stored: Stored = serde_json::from_str(text).ok()?;
        let version = RcloneVersion::parse(&format!("rclone v{}", stored.version))?;
        let holds = stored.fingerprint.is_some() && stored.fingerprint == fingerprint(settings, remote);
        Some((Known { version, features: stored.features }, holds))
    }
}

/// Of program, configuration, flags and environment. `None` when the program is a
/// script: what it starts may change behind it.
fn fingerprint(settings: &RcloneSettings, remote: &str) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let variable = |wanted: &str| {
        let found = settings.inherited_environment.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_os_str())
    };
    let program = find_program(&settings.program, variable("PATH"))?;
    let mut magic = [0; 4];
    std::fs::File::open(&program).and_then(|mut file| file.read_exact(&mut magic)).ok()?;
    if magic != *b"\x7fELF" {
        return None;
    }
    add(stamp_text(&program).as_bytes());
    for file in configuration_files(settings, &program, &variable) {
        add(file.as_os_str().as_encoded_bytes());
        add(stamp_text(&file).as_bytes());
    }
    for (name, value) in environment(&settings.inherited_environment, &settings.environment) {
        if name.to_string_lossy().starts_with("RCLONE_") {
            add(name.as_encoded_bytes());
            add(value.as_encoded_bytes());
        }
    }
    settings.flags.iter().for_each(|flag| add(flag.as_bytes()));
    add(remote.as_bytes());
    Some(hasher.finalize().to_hex().to_string())
}

/// As the system finds it.
fn find_program(program: &Path, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_path_buf());
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let folders = search_path?.as_bytes().split(|&byte| byte == b':');
    folders.map(|folder| Path::new(OsStr::from_bytes(folder)).join(program)).find(is_program)
}

/// Everywhere rclone looks for its configuration.
fn configuration_files<'a>(
    settings: &RcloneSettings,
    program: &Path,
    variable: &dyn Fn(&str) -> Option<&'a OsStr>,
) -> Vec<PathBuf> {
    if let Some(config) = &settings.config {
        return vec![config.clone()];
    }
    let below = |name: &str, rest: &str| variable(name).map(|folder| Path::new(folder).join(rest));
    [
        variable("RCLONE_CONFIG").map(PathBuf::from),
        program.parent().map(|folder| folder.join("rclone.conf")),
        below("XDG_CONFIG_HOME", "rclone/rclone.conf"),
        below("HOME", ".config/rclone/rclone.conf"),
        below("HOME", ".rclone.conf"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn stamp_text(file: &Path) -> String {
    file.metadata().map_or_else(
        |error| format!("{:?}", error.kind()),
        |found| {
            let (size, inode) = (found.size(), found.ino());
            let mtime = (found.mtime(), found.mtime_nsec());
            format!("{size} {inode} {mtime:?} {:?}", (found.ctime(), found.ctime_nsec()))
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn settings(program: &Path, config: &Path) -> RcloneSettings {
        RcloneSettings {
            program: program.to_path_buf(),
            config: Some(config.to_path_buf()),
            environment: vec![],
            flags: vec![],
            inherited_environment: vec![("PATH".into(), OsString::from("/usr/bin:/bin"))],
            scratch: PathBuf::new(),
        }
    }

    #[test]
    fn what_is_remembered_holds_until_program_or_configuration_change() {
        let folder = tempfile::tempdir().unwrap();
        let (program, config) = (folder.path().join("rclone"), folder.path().join("rclone.conf"));
        std::fs::write(&program, b"\x7fELF one").unwrap();
        std::fs::write(&config, "[a]").unwrap();
        let settings = settings(&program, &config);
        // All of them, so that none can be forgotten: the kind of remote goes by the last.
        let features = Features {
            move_: true,
            copy: true,
            dir_move: true,
            purge: true,
            can_have_empty_directories: true,
            case_insensitive: true,
            duplicate_files: true,
            partial_uploads: true,
            bucket_based: true,
            is_local: true,
            hashes: vec!["md5".into()],
            description: "Local file system at /a".into(),
        };
        let known = Known { version: RcloneVersion { major: 1, minor: 75, patch: 2 }, features };
        let bytes = known.encode(&settings, "a:b");
        assert_eq!(Known::decode(&bytes, &settings, "a:b"), Some((known.clone(), true)));
        assert_eq!(Known::decode(&bytes, &settings, "a:c"), Some((known.clone(), false)));
        std::fs::write(&config, "[a] more").unwrap();
        assert_eq!(Known::decode(&bytes, &settings, "a:b"), Some((known.clone(), false)));
        let bytes = known.encode(&settings, "a:b");
        std::fs::write(&program, b"\x7fELF two!").unwrap();
        assert_eq!(Known::decode(&bytes, &settings, "a:b"), Some((known, false)));
    }

    #[test]
    fn a_script_is_asked_each_time_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("rclone");
        std::fs::write(&program, "#!/bin/sh").unwrap();
        let settings = settings(&program, &folder.path().join("none"));
        let known = Known { version: OLDEST, features: Features::default() };
        let mut bytes = known.encode(&settings, "a:b");
        assert_eq!(Known::decode(&bytes, &settings, "a:b"), Some((known, false)));
        let last = bytes.len() - 8;
        bytes[last] ^= 1;
        assert_eq!(Known::decode(&bytes, &settings, "a:b"), None);
    }
}
