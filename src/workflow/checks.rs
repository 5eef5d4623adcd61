//! What can be said of a configuration before any run.

use super::configuration::{Configuration, Job};
use super::connect::{cannot_use_remote, check_place_beside_bucket, control_without_record};
use super::surroundings::Surroundings;
use crate::observe::Observer;
use crate::transfer;

/// Refuses rclone flags that would break the protocol.
///
/// # Errors
/// Names the flag and the reason.
pub fn check_rclone_flags(flags: &[String]) -> Result<(), String> {
    transfer::check_user_flags(flags).map_err(|error| error.to_string())
}

/// Asks rclone whether it knows the remotes of all jobs: no request. One
/// sentence for each problem.
pub fn check_remotes(configuration: &Configuration, surroundings: &Surroundings<'_>) -> Vec<String> {
    let control = control_without_record();
    let rclone = match surroundings.rclone(&control) {
        Ok(rclone) => rclone,
        Err(halt) => return vec![halt.to_string()],
    };
    let observer: &dyn Observer = surroundings.observer;
    let session = match rclone.session(rclone.name_encoding(), &control, observer) {
        Ok(session) => session,
        Err(error) => return vec![error.to_string()],
    };
    let problem_of = |job: &Job| match session.features(&job.remote.to_string()) {
        Ok(features) => check_place_beside_bucket(job, &features).err().map(|halt| halt.to_string()),
        Err(failure) => Some(cannot_use_remote(job, &failure)),
    };
    configuration.jobs.iter().filter_map(problem_of).collect()
}
