//! `[notify]`: who is told after a run.

use super::reader::Section;
use super::values::{self, NotifyOn, Secret};
pub use crate::notify::{Channels, Healthcheck, Mail, MailBy, Telegram, Webhook};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `[notify]`: when, and through what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// When.
    pub on: NotifyOn,
    /// Through what.
    pub channels: Channels,
}

pub(super) fn read(section: &Section<'_>) -> Notify {
    // A table that is there but empty is one that was prepared and not yet filled in.
    let part = |name: &str| {
        let title = format!("notify.{name}");
        let part = section.subsection(name, &format!("[{title}]"), &title);
        (!part.is_empty()).then_some(part)
    };
    let channels = Channels {
        proxy: proxy(section),
        telegram: part("telegram").and_then(|part| telegram(&part)),
        mail: part("mail").and_then(|part| mail(&part)),
        webhook: part("webhook").and_then(|part| webhook(&part)),
        healthcheck: part("healthcheck")
            .and_then(|part| Some(Healthcheck { url: required_secret(&part, "url", Some("http"))? })),
    };
    Notify { on: section.read("on", NotifyOn::Always, values::choice), channels }
}

fn proxy(section: &Section<'_>) -> Option<Secret> {
    let proxy = secret_or_nothing(section, "proxy")?;
    let schemes = ["http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"];
    if let Secret::Value(text) = &proxy {
        let is_known = schemes.iter().any(|scheme| text.starts_with(scheme));
        let checked = if is_known {
            crate::notify::check_login_of_address(text)
        } else {
            Err("must be a URL like \"http://host:port\" or \"socks5://host:port\"".into())
        };
        if let Err(reason) = checked {
            section.problem("proxy", format!("`proxy` {reason}"));
            return None;
        }
    }
    Some(proxy)
}

fn telegram(section: &Section<'_>) -> Option<Telegram> {
    let bot_token = required_secret(section, "bot_token", None);
    let chat_id = section.required("chat_id", |value| match value.as_integer() {
        Some(number) => Ok(number.as_str().to_owned()),
        None => filled(value),
    });
    let api_base = section.read("api_base", "https://api.telegram.org".into(), http_url);
    Some(Telegram { bot_token: bot_token?, chat_id: chat_id?, api_base })
}

fn mail(section: &Section<'_>) -> Option<Mail> {
    let smtp = section.optional("smtp", |value| {
        let url = values::text(value)?;
        let fits = url.starts_with("smtps://") || url.starts_with("smtp://");
        if !fits {
            return Err("must be a URL like \"smtps://user@host:465\"".into());
        }
        crate::notify::check_login_of_address(&url)?;
        crate::notify::check_smtp_address(&url).map(|()| url)
    });
    let password = secret(section, "password");
    let sendmail = section.optional("sendmail", mail_program);
    let to = section.required("to", |value| match values::text_or_list(value)? {
        list if list.is_empty() || list.iter().any(|to| !to.contains('@')) => {
            Err("must name at least one mail address".into())
        }
        list => list.iter().try_for_each(|to| crate::notify::check_mail_address(to)).map(|()| list),
    });
    let from = section.optional("from", |value| {
        let from = filled(value)?;
        crate::notify::check_mail_address(&from).map(|()| from)
    });
    let subject = section.read("subject", "treeferry: {job}: {result}".into(), filled);
    let by = match (smtp, sendmail) {
        (Some(url), None) => {
            if from.is_none() {
                section.problem("from", "`from` is missing in [notify.mail]: SMTP needs a sender");
            }
            MailBy::Smtp { url, password }
        }
        (None, Some(program)) => MailBy::Sendmail(program),
        (given, _) => {
            let has_key = section.find("smtp").is_some() || section.find("sendmail").is_some();
            if given.is_some() || !has_key {
                section.problem("smtp", "[notify.mail] needs either `smtp` or `sendmail`, not both");
            }
            return None;
        }
    };
    Some(Mail { by, from, to: to?, subject })
}

/// By name, as a shell finds it, or by absolute path.
fn mail_program(value: &toml::de::DeValue<'_>) -> Result<PathBuf, String> {
    let program = filled(value)?;
    if program.contains('/') { values::absolute_path(value) } else { Ok(PathBuf::from(program)) }
}

fn webhook(section: &Section<'_>) -> Option<Webhook> {
    let url = required_secret(section, "url", Some("http"));
    let headers = section.read("headers", BTreeMap::new(), |value| {
        let table = value.as_table().ok_or(WRONG_HEADERS)?;
        table.iter().map(|(name, value)| Ok((name.get_ref().to_string(), header(value.get_ref())?))).collect()
    });
    let body = secret_or_nothing(section, "body");
    Some(Webhook { url: url?, headers, body })
}

const WRONG_HEADERS: &str = "must be a table like { Authorization = \"…\" }; instead of the text, { file = \"/…\" } \
     or { command = \"…\" } may stand";

fn header(value: &toml::de::DeValue<'_>) -> Result<Secret, String> {
    let Some(table) = value.as_table() else {
        return values::text(value).map(Secret::Value).map_err(|_| WRONG_HEADERS.into());
    };
    let mut given = table.iter().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref()));
    match (given.next(), given.next()) {
        (Some(("file", value)), None) => values::absolute_path(value).map(Secret::File),
        (Some(("command", value)), None) => filled(value).map(Secret::Command),
        _ => Err(WRONG_HEADERS.into()),
    }
}

fn filled(value: &toml::de::DeValue<'_>) -> Result<String, String> {
    match values::text(value)? {
        text if text.is_empty() => Err("must not be empty".into()),
        text => Ok(text),
    }
}

fn http_url(value: &toml::de::DeValue<'_>) -> Result<String, String> {
    let url = values::text(value)?;
    let fits = url.starts_with("http://") || url.starts_with("https://");
    if !fits {
        return Err("must be a URL that begins with http:// or https://".into());
    }
    crate::notify::check_login_of_address(&url).map(|()| url)
}

/// Reads `name`, `name_file` or `name_command`; more than one is a problem.
fn secret(section: &Section<'_>, name: &str) -> Option<Secret> {
    let (file, command) = (format!("{name}_file"), format!("{name}_command"));
    let given: Vec<&str> =
        [name, &file, &command].into_iter().filter(|key| section.find(key).is_some()).collect();
    if let [_, second, ..] = given[..] {
        section.problem(second, format!("only one of `{name}`, `{file}` and `{command}` may be given"));
    }
    let value = section.optional(name, |value| {
        // The message must not quote what was written.
        values::text(value)
            .and_then(|_| filled(value))
            .map_err(|_| "must be text in quotes, and not empty".into())
    });
    value
        .map(Secret::Value)
        .or_else(|| section.optional(&file, values::absolute_path).map(Secret::File))
        .or_else(|| section.optional(&command, filled).map(Secret::Command))
}

/// As [`secret`], where empty text stands for none.
fn secret_or_nothing(section: &Section<'_>, name: &str) -> Option<Secret> {
    let value = section.find(name).map(toml::Spanned::get_ref);
    if value.is_some_and(|value| values::text(value).is_ok_and(|text| text.is_empty())) {
        return None;
    }
    secret(section, name)
}

fn required_secret(section: &Section<'_>, name: &str, scheme: Option<&str>) -> Option<Secret> {
    let forms = ["", "_file", "_command"];
    if forms.iter().all(|form| section.find(&format!("{name}{form}")).is_none()) {
        section.required(name, values::text);
    }
    let secret = secret(section, name)?;
    if let (Secret::Value(url), Some(scheme)) = (&secret, scheme)
        && !url.starts_with(scheme)
    {
        section.problem(name, format!("`{name}` must be a URL that begins with http:// or https://"));
    }
    Some(secret)
}
