//! The effective configuration as TOML, without secrets.

use super::masking::{MASK, mask_flags, mask_remote, mask_url};
use super::values::{Choice, Limit, Secret, format_duration, format_size};
use super::{Configuration, Job, MailBy, Notify};
use std::fmt::Write as _;
use std::path::Path;
use toml::Value;

type Lines = Vec<(String, Value)>;

pub(super) fn show(configuration: &Configuration) -> String {
    let rclone = &configuration.rclone;
    let mut text = String::new();
    let line = |name: &str, value: Value| (name.to_owned(), value);
    section(
        &mut text,
        "",
        vec![
            line("state_dir", path(&configuration.state_dir)),
            line("log_dir", path(&configuration.log_dir)),
            line("log_retention_days", number(configuration.log_retention_days)),
            line("language", word(configuration.language)),
        ],
    );
    section(
        &mut text,
        "[rclone]",
        vec![
            line("program", Value::from(rclone.program.clone())),
            line("config", rclone.config.as_deref().map_or(Value::from(""), path)),
            line("environment", Value::from(rclone.environment.clone())),
            line("flags", Value::from(mask_flags(&rclone.flags))),
        ],
    );
    for job in &configuration.jobs {
        section(&mut text, "[[job]]", job_lines(job));
    }
    show_notify(&mut text, &configuration.notify);
    text
}

fn job_lines(job: &Job) -> Lines {
    [
        ("name", Value::from(job.name.clone())),
        ("source", path(&job.source)),
        ("remote", Value::from(mask_remote(&job.remote.to_string()))),
        ("on_delete", word(job.on_delete)),
        ("keep_versions", Value::from(job.keep_versions)),
        ("companion", Value::from(mask_remote(&job.companion.to_string()))),
        ("trash_retention_days", number(job.trash_retention_days)),
        (
            "legacy_trash",
            Value::from(
                job.legacy_trash.as_ref().map_or(String::new(), |place| mask_remote(&place.to_string())),
            ),
        ),
        ("max_delete", limit(job.max_delete)),
        ("max_change", limit(job.max_change)),
        ("source_filesystem", word(job.source_filesystem)),
        ("cross_mounts", Value::from(job.cross_mounts)),
        ("remove_empty_dirs", Value::from(job.remove_empty_dirs)),
        ("links", word(job.links)),
        ("check_every_days", number(job.check_every_days)),
        ("check_action", word(job.check_action)),
        ("hash_fill_per_run", Value::from(format_size(job.hash_fill_per_run))),
        ("threads", number(job.threads)),
        ("pause", Value::from(format_duration(job.pause))),
        ("exclude", Value::from(job.exclude.clone())),
        ("scan.skip_settled", word(job.skip_settled)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn show_notify(text: &mut String, notify: &Notify) {
    let channels = &notify.channels;
    let line = |name: &str, value: Value| (name.to_owned(), value);
    let url = |url: &str| Value::from(mask_url(url));
    section(
        text,
        "[notify]",
        vec![
            line("on", word(notify.on)),
            match &channels.proxy {
                None => line("proxy", Value::from("")),
                Some(Secret::Value(address)) => line("proxy", url(address)),
                Some(other) => secret("proxy", other),
            },
        ],
    );
    if let Some(telegram) = &channels.telegram {
        let lines = vec![
            secret("bot_token", &telegram.bot_token),
            line("chat_id", Value::from(telegram.chat_id.clone())),
            line("api_base", url(&telegram.api_base)),
        ];
        section(text, "[notify.telegram]", lines);
    }
    if let Some(mail) = &channels.mail {
        let mut lines = match &mail.by {
            MailBy::Smtp { url, .. } => vec![line("smtp", Value::from(mask_url(url)))],
            MailBy::Sendmail(program) => vec![line("sendmail", path(program))],
        };
        if let MailBy::Smtp { password: Some(password), .. } = &mail.by {
            lines.push(secret("password", password));
        }
        lines.extend(mail.from.iter().map(|from| line("from", Value::from(from.clone()))));
        lines.push(line("to", Value::from(mail.to.clone())));
        lines.push(line("subject", Value::from(mail.subject.clone())));
        section(text, "[notify.mail]", lines);
    }
    if let Some(webhook) = &channels.webhook {
        let headers = webhook.headers.iter().map(|(name, value)| (name.clone(), header(value)));
        let lines = vec![
            secret("url", &webhook.url),
            line("headers", Value::Table(headers.collect())),
            webhook.body.as_ref().map_or(line("body", Value::from("")), |body| secret("body", body)),
        ];
        section(text, "[notify.webhook]", lines);
    }
    if let Some(healthcheck) = &channels.healthcheck {
        section(text, "[notify.healthcheck]", vec![secret("url", &healthcheck.url)]);
    }
}

fn section(text: &mut String, title: &str, lines: Lines) {
    if !title.is_empty() {
        let _ = writeln!(text, "\n{title}");
    }
    for (name, value) in lines {
        let _ = writeln!(text, "{name} = {value}");
    }
}

fn path(path: &Path) -> Value {
    Value::from(path.to_string_lossy().into_owned())
}

fn number(number: u32) -> Value {
    Value::from(i64::from(number))
}

fn word<T: Choice>(value: T) -> Value {
    Value::from(value.word())
}

fn limit(limit: Limit) -> Value {
    match limit {
        Limit::Count(count) => i64::try_from(count).map_or(Value::from(count.to_string()), Value::from),
        other => Value::from(other.to_string()),
    }
}

fn header(secret: &Secret) -> Value {
    let table = |name: &str, value: Value| Value::Table([(name.to_owned(), value)].into_iter().collect());
    match secret {
        Secret::Value(_) => Value::from(MASK),
        Secret::File(file) => table("file", path(file)),
        Secret::Command(_) => table("command", Value::from(MASK)),
    }
}

/// A masked web address still looks like one, so that what is shown reads back.
fn secret(name: &str, secret: &Secret) -> (String, Value) {
    match secret {
        Secret::Value(value) if value.starts_with("http") => {
            let scheme = value.split_once("://").map_or("http", |(scheme, _)| scheme);
            (name.to_owned(), Value::from(format!("{scheme}://{MASK}")))
        }
        Secret::Value(_) => (name.to_owned(), Value::from(MASK)),
        Secret::File(file) => (format!("{name}_file"), path(file)),
        Secret::Command(_) => (format!("{name}_command"), Value::from(MASK)),
    }
}
