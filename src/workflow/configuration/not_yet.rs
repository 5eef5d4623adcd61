//! What a configuration may say and this version does not do yet. Each line
//! leaves with the feature that makes it untrue.

use super::{Configuration, Language};

pub(super) fn warnings(configuration: &Configuration) -> Vec<String> {
    let notify = &configuration.notify;
    let channels = [
        ("telegram", notify.telegram.is_some()),
        ("mail", notify.mail.is_some()),
        ("webhook", notify.webhook.is_some()),
        ("healthcheck", notify.healthcheck.is_some()),
    ];
    let mut warnings = Vec::new();
    for (channel, _) in channels.iter().filter(|(_, configured)| *configured) {
        warnings
            .push(format!("[notify.{channel}] is understood, but this version sends no notifications yet"));
    }
    for job in &configuration.jobs {
        if job.check_every_days > 0 {
            warnings.push(format!(
                "job \"{}\": check_every_days is understood, but this version does not check the remote yet",
                job.name
            ));
        }
    }
    if configuration.language == Language::Chinese {
        warnings.push("language = \"zh\" is understood, but this version speaks English only yet".into());
    }
    warnings
}
