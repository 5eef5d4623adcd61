//! What a configuration may say and this version does not do yet. Each line
//! leaves with the feature that makes it untrue.

use super::Configuration;

pub(super) fn warnings(configuration: &Configuration) -> Vec<String> {
    let mut warnings = Vec::new();
    for job in &configuration.jobs {
        if !job.pause.is_zero() {
            warnings.push(format!(
                "job \"{}\": pause is understood, but this version does not wait between operations yet; \
                 --tpslimit in [rclone] flags slows every request",
                job.name
            ));
        }
    }
    warnings
}
