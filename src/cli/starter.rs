//! The configuration that `init` writes: what was answered, and every other key
//! as a comment with its default.

use std::fmt::Write as _;
use treeferry::workflow::configuration::{KEYS, Key, SECTIONS};

/// What the user said.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) remote: String,
    pub(super) companion: Option<String>,
    pub(super) exclude: Vec<String>,
    pub(super) state_dir: Option<String>,
}

impl Answers {
    fn value(&self, key: &Key) -> Option<toml::Value> {
        match (key.section, key.name) {
            ("job", "name") => Some(self.name.clone().into()),
            ("job", "source") => Some(self.source.clone().into()),
            ("job", "remote") => Some(self.remote.clone().into()),
            ("job", "companion") => self.companion.clone().map(Into::into),
            ("job", "exclude") if !self.exclude.is_empty() => Some(self.exclude.clone().into()),
            ("", "state_dir") => self.state_dir.clone().map(Into::into),
            _ => None,
        }
    }
}

/// The text of the file.
pub(super) fn starter(answers: &Answers) -> String {
    let mut text = "# Configuration of treeferry. What is commented out shows the default.\n\
        # All keys: docs/configuration.md; check with `treeferry config validate`.\n"
        .to_owned();
    for (section, _) in SECTIONS {
        match *section {
            "" => {}
            "job" => text += "\n# One source and one remote. Add as many [[job]] as you like.\n[[job]]\n",
            // An empty table changes nothing: it may stand there uncommented.
            section => {
                let _ = write!(text, "\n[{section}]\n");
            }
        }
        for key in KEYS.iter().filter(|key| key.section == *section) {
            put_key(&mut text, key, answers);
        }
    }
    text
}

fn put_key(text: &mut String, key: &Key, answers: &Answers) {
    wrap_comment(text, key.meaning);
    let _ = match answers.value(key) {
        Some(value) => writeln!(text, "{} = {value}", key.name),
        None if key.default.is_empty() => writeln!(text, "# {} = …  ({})", key.name, key.kind),
        None => writeln!(text, "# {} = {}", key.name, key.default),
    };
}

fn wrap_comment(text: &mut String, meaning: &str) {
    let mut width = usize::MAX;
    for word in meaning.split(' ') {
        if width == usize::MAX || width + 1 + word.chars().count() > 96 {
            if width != usize::MAX {
                text.push('\n');
            }
            text.push('#');
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + word.chars().count();
    }
    text.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::Path;
    use treeferry::workflow::configuration::{Configuration, Defaults};

    fn defaults() -> Defaults {
        Defaults { state_home: Some("/home/me/.local/state".into()), check_rclone_flags: |_| Ok(()) }
    }

    #[test]
    fn the_starter_reads_back_as_what_was_answered_with_all_defaults() {
        let answers = Answers {
            name: "photos".into(),
            source: "/data/\"odd\" 图片".into(),
            remote: "alist:115/photos".into(),
            exclude: vec!["*.tmp".into()],
            ..Answers::default()
        };
        let text = starter(&answers);
        let read = Configuration::parse(&text, Path::new("c.toml"), &defaults()).unwrap();
        assert_eq!(read.jobs[0].source, Path::new("/data/\"odd\" 图片"));
        assert_eq!(read.jobs[0].exclude, ["*.tmp"]);
        // What the comments show as default must be the default.
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_key(rest) && !rest.contains(" = …") && !is_channel_key(rest) => {
                    format!("{rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        assert!(uncommented.contains("\nkeep_versions = true"), "{uncommented}");
        let with_defaults = Configuration::parse(&uncommented, Path::new("c.toml"), &defaults()).unwrap();
        assert_eq!(with_defaults, read);
    }

    fn is_key(line: &str) -> bool {
        KEYS.iter().any(|key| line.starts_with(&format!("{} = ", key.name)))
    }

    /// Keys of a channel: one alone would turn it on.
    fn is_channel_key(line: &str) -> bool {
        KEYS.iter().any(|key| key.section.contains('.') && line.starts_with(&format!("{} = ", key.name)))
    }
}
