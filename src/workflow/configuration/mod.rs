//! Configuration: the TOML that the user writes, checked and typed.
//!
//! Knows: every key, its default and what it may hold; the places of all jobs.
//! Promises: what is returned holds every rule of `docs/configuration.md`;
//! an error names file, line, column and what would be right, all at once;
//! what is shown holds no secret.
//! Must not know: the environment, the disk. Text comes in, values go out.

mod error;
mod jobs;
mod keys;
mod masking;
mod notification;
mod places;
mod reader;
mod reference;
mod remote_path;
mod show;
mod values;

pub use error::{ConfigurationError, Problem};
pub use jobs::Job;
pub use keys::{KEYS, Key, SECTIONS};
pub use masking::{mask_flags, mask_remote, mask_url};
pub use notification::{Channels, Healthcheck, Mail, MailBy, Notify, Telegram, Webhook};
pub use reference::reference;
pub use remote_path::RemotePath;
pub use values::{
    CheckAction, Choice, Language, Limit, Links, NotifyOn, OnDelete, Secret, SkipSettled, SourceFilesystem,
    format_duration, format_size, parse_duration, parse_size,
};

use reader::{Document, Section};
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// All that a configuration file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The file it was read from; for messages.
    pub file: PathBuf,
    /// Holds one folder per job.
    pub state_dir: PathBuf,
    /// Holds the logs.
    pub log_dir: PathBuf,
    /// 0: logs are never removed.
    pub log_retention_days: u32,
    /// Of summary and notifications.
    pub language: Language,
    /// The rclone to use.
    pub rclone: Rclone,
    /// At least one; names are unique.
    pub jobs: Vec<Job>,
    /// Who is told.
    pub notify: Notify,
}

/// `[rclone]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Rclone {
    /// By name or absolute path.
    pub program: String,
    /// `None`: rclone's own default.
    pub config: Option<PathBuf>,
    /// Names of variables that are let through.
    pub environment: Vec<String>,
    /// Checked by the function of [`Defaults`].
    pub flags: Vec<String>,
}

impl std::fmt::Debug for Rclone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rclone")
            .field("program", &self.program)
            .field("config", &self.config)
            .field("environment", &self.environment)
            .field("flags", &mask_flags(&self.flags))
            .finish()
    }
}

/// What the surroundings give when the file is silent.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// `$XDG_STATE_HOME` or `~/.local/state`; `None` when neither is known.
    pub state_home: Option<PathBuf>,
    /// Says why these rclone flags cannot be used, in one sentence.
    pub check_rclone_flags: fn(&[String]) -> Result<(), String>,
}

impl Configuration {
    /// Reads `text`, which was found in `file`.
    ///
    /// # Errors
    /// Every problem that was found, in the order of the file.
    pub fn parse(text: &str, file: &Path, defaults: &Defaults) -> Result<Self, ConfigurationError> {
        let document = Document::new(text);
        let configuration = document.parse().and_then(|table| read(&document, &table, file, defaults));
        document.finish(file)?;
        match configuration {
            Some(configuration) => Ok(configuration),
            // `None` without a problem cannot be; should it ever be, this is no reason to run.
            None => Err(ConfigurationError { file: file.to_path_buf(), problems: Vec::new() }),
        }
    }

    /// The job of this name.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// The state folder of `job`.
    pub fn state_dir_of(&self, job: &Job) -> PathBuf {
        self.state_dir.join(&job.name)
    }

    /// The effective configuration as TOML: every key with its value, secrets
    /// as `***`. Reads back as the same configuration, but for those.
    pub fn show(&self) -> String {
        show::show(self)
    }
}

fn read<'d>(
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    file: &Path,
    defaults: &Defaults,
) -> Option<Configuration> {
    let top = Section::new(document, "", "", 0..0, Some(table));
    let state_dir = read_state_dir(&top, defaults);
    let log_dir = top.optional("log_dir", values::absolute_path);
    let rclone = read_rclone(&top.subsection("rclone", "[rclone]", "rclone"), defaults);
    let notify = notification::read(&top.subsection("notify", "[notify]", "notify"));
    let jobs = jobs::read(document, &top);
    let configuration = Configuration {
        file: file.to_path_buf(),
        log_dir: log_dir.or_else(|| Some(state_dir.as_ref()?.join("logs")))?,
        state_dir: state_dir?,
        log_retention_days: top.read("log_retention_days", 30, values::whole_number),
        language: top.read("language", Language::Auto, values::choice),
        rclone,
        jobs: jobs.iter().map(|placed| placed.job.clone()).collect(),
        notify,
    };
    places::check(document, &configuration, &jobs);
    Some(configuration)
}

fn read_state_dir(top: &Section<'_>, defaults: &Defaults) -> Option<PathBuf> {
    if top.find("state_dir").is_some() {
        return top.optional("state_dir", values::absolute_path);
    }
    let state_dir = defaults.state_home.as_ref().map(|home| home.join("treeferry"));
    if state_dir.is_none() {
        top.problem(
            "state_dir",
            "no place for the state: neither HOME nor XDG_STATE_HOME is set; write `state_dir = \"/var/lib/treeferry\"`, or set one of them",
        );
    }
    state_dir
}

fn read_rclone(section: &Section<'_>, defaults: &Defaults) -> Rclone {
    let rclone = Rclone {
        program: section.read("program", "rclone".into(), values::text),
        config: section
            .optional("config", |value| match value.as_str() {
                Some("") => Ok(None),
                _ => values::absolute_path(value).map(Some),
            })
            .flatten(),
        environment: section.read("environment", Vec::new(), values::list),
        flags: section.read("flags", vec!["--transfers=4".into()], values::list),
    };
    if rclone.program.is_empty() || (rclone.program.contains('/') && !rclone.program.starts_with('/')) {
        section.problem("program", "`program` must be a name that is found in PATH, or an absolute path");
    }
    for name in &rclone.environment {
        let characters_fit = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !name.starts_with("RCLONE_") || !characters_fit {
            section.problem(
                "environment",
                format!("`environment` holds names of RCLONE_* variables, not \"{name}\""),
            );
        }
    }
    if let Err(reason) = (defaults.check_rclone_flags)(&rclone.flags) {
        section.problem("flags", format!("`flags`: {reason}"));
    }
    rclone
}

#[cfg(test)]
mod tests;
