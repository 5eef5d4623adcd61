//! Which jobs a command is about.

use super::Stopped;
use treeferry::workflow::configuration::{Configuration, Job};

/// The jobs of these names, each once, in the order of the configuration; all when none is named.
pub(super) fn select<'c>(
    configuration: &'c Configuration,
    names: &[String],
) -> Result<Vec<&'c Job>, Stopped> {
    if let Some(unknown) = names.iter().find(|name| configuration.job(name).is_none()) {
        let known: Vec<&str> = configuration.jobs.iter().map(|job| job.name.as_str()).collect();
        return Err(Stopped::usage(format!(
            "there is no job \"{unknown}\"; the jobs are: {}",
            known.join(", ")
        )));
    }
    let is_meant = |job: &&Job| names.is_empty() || names.contains(&job.name);
    Ok(configuration.jobs.iter().filter(is_meant).collect())
}
