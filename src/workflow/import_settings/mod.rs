//! The settings of the Python script that came before, as a configuration.
//!
//! The script is read as text and never run: what it would have to compute is
//! named, and left for a person.

mod bindings;
mod choice;
mod jobs;
mod literal;
mod notification;
mod patterns;
mod python;
mod rclone;
mod script;
mod tokens;
mod written;

use super::configuration::{Configuration, ConfigurationError, Defaults};
use script::Script;
use std::path::Path;
use written::Written;

/// A configuration that does what the script did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedSettings {
    /// TOML, with a comment on what became of each constant. May hold secrets.
    pub text: String,
    /// The names of its jobs.
    pub jobs: Vec<String>,
    /// What could not be carried over: one sentence each, without secrets.
    pub left_behind: Vec<String>,
    /// Where the script kept its snapshots, if it says so.
    pub snapshots: Option<String>,
}

/// The script's settings cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportSettingsError {
    /// No pair of folders is left that treeferry could back up.
    #[error("the script has no pair of folders that can be taken over:\n{}", reasons.join("\n"))]
    NoJobs {
        /// What was found instead.
        reasons: Vec<String>,
    },
    /// A fault of this program: what it wrote cannot be read.
    #[error("what was made of the script cannot be used: {0}")]
    Unusable(ConfigurationError),
}

/// Reads the constants of `script`, which is called `name` in the comments.
///
/// # Errors
/// When no job could be made of it.
pub fn import_settings(
    script: &str,
    name: &str,
    defaults: &Defaults,
) -> Result<ImportedSettings, ImportSettingsError> {
    let mut script = Script::read(script);
    let snapshots = script.text("CACHE_DIR");
    let body = write_all(&mut script, defaults);
    let mut text = format!(
        "# Made from {} by `treeferry import settings`.\n# Beside each key stands the constant that it came from.\n",
        written::one_line(name)
    );
    let left_behind = script.left_behind();
    if !left_behind.is_empty() {
        text.push_str("#\n# Not carried over:\n");
    }
    for reason in &left_behind {
        text.push_str(&format!("# - {}\n", written::one_line(reason)));
    }
    text.push_str(&body);
    let configuration = match Configuration::parse(&text, Path::new(name), defaults) {
        Ok(configuration) => configuration,
        Err(_) if !body.contains("\n[[job]]\n") => {
            return Err(ImportSettingsError::NoJobs { reasons: left_behind });
        }
        Err(error) => return Err(ImportSettingsError::Unusable(error)),
    };
    let jobs = configuration.jobs.iter().map(|job| job.name.clone()).collect();
    Ok(ImportedSettings { text, jobs, left_behind, snapshots })
}

fn write_all(script: &mut Script, defaults: &Defaults) -> String {
    let mut top = Written::top();
    logs(script, &mut top);
    let rclone = rclone::section(script, defaults);
    let common = jobs::defaults(script);
    let notification = notification::sections(script);
    let before_jobs = [top.text(), rclone.text(), common.text(), notification].concat();
    let jobs = jobs::jobs(script, &before_jobs, defaults);
    script.leave_the_rest();
    let body = format!("{before_jobs}{jobs}");
    let empty = script.leave_unspoken(&body);
    if empty.is_empty() {
        return body;
    }
    format!(
        "# Empty or off in the script, so that nothing stands here for them: {}\n{body}",
        empty.join(", ")
    )
}

fn logs(script: &mut Script, top: &mut Written) {
    if let Some(folder) = script.absolute_path("LOG_DIR") {
        top.key("log_dir", folder, "LOG_DIR");
    }
    if let Some(days) = script.whole_number("LOG_RETENTION_DAYS") {
        top.key("log_retention_days", i64::from(days), "LOG_RETENTION_DAYS; 0 means never");
    }
    if let Some(folder) = script.text("CACHE_DIR") {
        script.done("CACHE_DIR");
        top.comment(&format!(
            "CACHE_DIR was {folder:?}: its snapshots are taken over by `treeferry import snapshot FILE --job NAME`. The state goes to its own place, never into a cache folder."
        ));
    }
}

#[cfg(test)]
mod same_files;
#[cfg(test)]
mod tests;
