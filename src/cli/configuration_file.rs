//! Which configuration file is meant, and what the environment adds to it.

use super::arguments::Global;
use super::{Stopped, recipes};
use std::env;
use std::path::PathBuf;
use treeferry::workflow::configuration::{Configuration, Defaults};

const IN_HOME: &str = "treeferry/config.toml";
const OF_SYSTEM: &str = "/etc/treeferry/config.toml";

/// The value of a variable that holds an absolute path. The XDG rules say that
/// others are to be ignored, and an empty one counts as not set.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn xdg_home(variable: &str, in_home: &str) -> Option<PathBuf> {
    absolute_variable(variable).or_else(|| Some(absolute_variable("HOME")?.join(in_home)))
}

/// The file that was named, by option or by variable.
fn named_file(global: &Global) -> Option<PathBuf> {
    let variable = || env::var_os("TREEFERRY_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    global.config.clone().or_else(variable)
}

/// Where `init` writes when it is not told.
pub(super) fn file_to_create(global: &Global) -> Result<PathBuf, Stopped> {
    named_file(global).or_else(|| Some(xdg_home("XDG_CONFIG_HOME", ".config")?.join(IN_HOME))).ok_or_else(
        || {
            Stopped::usage(
                "neither HOME nor XDG_CONFIG_HOME is set: say with --output where the configuration goes",
            )
        },
    )
}

/// What the library cannot know: it never reads the environment.
pub(super) fn defaults() -> Defaults {
    Defaults {
        state_home: xdg_home("XDG_STATE_HOME", ".local/state"),
        check_rclone_flags: recipes::check_rclone_flags,
    }
}

fn find(global: &Global) -> Result<PathBuf, Stopped> {
    if let Some(file) = named_file(global) {
        return Ok(file);
    }
    let candidates: Vec<PathBuf> = xdg_home("XDG_CONFIG_HOME", ".config")
        .map(|home| home.join(IN_HOME))
        .into_iter()
        .chain([PathBuf::from(OF_SYSTEM)])
        .collect();
    // A file that is there but cannot be read is the one that is meant: `try_exists` errs there.
    let found = candidates.iter().find(|file| file.try_exists().unwrap_or(true));
    found.cloned().ok_or_else(|| {
        let looked: Vec<String> = candidates.iter().map(|file| file.display().to_string()).collect();
        Stopped::usage(format!(
            "no configuration: there is no {}. Write one with `treeferry init`, or name yours with --config",
            looked.join(" and no ")
        ))
    })
}

/// Finds, reads and checks the configuration. Its warnings are told here.
pub(super) fn load(global: &Global) -> Result<Configuration, Stopped> {
    let file = find(global)?;
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Stopped::usage(format!("reading the configuration {}: {error}", file.display())))?;
    Configuration::parse(&text, &file, &defaults())
        .map_err(|error| Stopped::usage(format!("the configuration cannot be used\n{error}")))
}
