//! What a configuration may say and this version does not do yet. Each line
//! leaves with the feature that makes it untrue.

use super::{Configuration, Language};

pub(super) fn warnings(configuration: &Configuration) -> Vec<String> {
    let mut warnings = Vec::new();
    for job in &configuration.jobs {
        if job.check_every_days > 0 {
            warnings.push(format!(
                "job \"{}\": check_every_days is understood, but this version does not check the remote yet",
                job.name
            ));
        }
    }
    if configuration.language == Language::Chinese {
        warnings.push(
            "language = \"zh\" holds for notifications; on the terminal this version speaks English only yet"
                .into(),
        );
    }
    warnings
}
