//! ENABLE_NOTIFY and what belongs to it.

use super::literal::Literal;
use super::rclone::shell_words;
use super::script::Script;
use super::written::{Written, shown};
use crate::notify::{check_login_of_address, is_mail_program};
use std::path::Path;

/// All constants of notifications.
const NAMES: [&str; 7] =
    ["NOTIFY_MODE", "MAIL_TO", "MAIL_SUBJECT", "MAIL_BIN", "TG_BOT_TOKEN", "TG_CHAT_ID", "PROXY_URL"];

pub(super) fn sections(script: &mut Script) -> String {
    if script.truth("ENABLE_NOTIFY") == Some(false) {
        let there: Vec<&str> = NAMES.into_iter().filter(|name| script.has(name)).collect();
        there.iter().for_each(|name| script.done(name));
        let left_out = if there.is_empty() {
            String::new()
        } else {
            format!("; left out with it: {}", there.join(", "))
        };
        return format!("\n# ENABLE_NOTIFY was False: nobody is told{left_out}\n");
    }
    let mut notify = Written::section("[notify]");
    if script.has("ENABLE_NOTIFY") && !script.is_unreadable("ENABLE_NOTIFY") {
        notify.comment("ENABLE_NOTIFY was on");
    }
    let (wants_telegram, wants_mail) = channels(script, &mut notify);
    let telegram =
        if wants_telegram { telegram(script) } else { unused(script, &["TG_BOT_TOKEN", "TG_CHAT_ID"]) };
    let mail =
        if wants_mail { mail(script) } else { unused(script, &["MAIL_TO", "MAIL_SUBJECT", "MAIL_BIN"]) };
    if let Some(proxy) = script.text("PROXY_URL") {
        let schemes = ["http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"];
        if let Err(reason) = check_login_of_address(&proxy) {
            script.leave("PROXY_URL", &format!("it {reason}"));
        } else if schemes.iter().any(|scheme| proxy.starts_with(scheme)) {
            script.done("PROXY_URL");
            notify.key("proxy", proxy, "PROXY_URL");
        } else {
            script.leave("PROXY_URL", "it is no URL like http://host:port or socks5://host:port");
        }
    }
    format!("{}{}{}", notify.text(), telegram.text(), mail.text())
}

/// Whether Telegram and mail are wanted.
fn channels(script: &mut Script, notify: &mut Written) -> (bool, bool) {
    let Some(mode) = script.texts("NOTIFY_MODE") else { return (true, true) };
    let mode = mode.join(" ").to_lowercase();
    notify.comment(&format!("NOTIFY_MODE was {mode:?}"));
    let has = |words: &[&str]| words.iter().any(|word| mode.contains(word));
    let both = has(&["both", "all"]);
    let wanted = (both || has(&["tg", "telegram"]), both || has(&["mail"]));
    if wanted == (false, false) && !mode.is_empty() && !has(&["none", "off"]) {
        script.leave("NOTIFY_MODE", "it names neither telegram nor mail; what is configured below is used");
        return (true, true);
    }
    wanted
}

/// What the script kept for the way that NOTIFY_MODE does not choose. Values stay out: a token is a secret.
fn unused(script: &mut Script, names: &[&str]) -> Written {
    let mut section = Written::section("");
    let there: Vec<&str> = names.iter().copied().filter(|name| script.has(name)).collect();
    there.iter().for_each(|name| script.done(name));
    if !there.is_empty() {
        section.comment(&format!("Left out, because NOTIFY_MODE does not choose it: {}", there.join(", ")));
    }
    section
}

fn telegram(script: &mut Script) -> Written {
    let mut telegram = Written::section("[notify.telegram]");
    let token = script.text("TG_BOT_TOKEN");
    let chat = match script.value("TG_CHAT_ID") {
        Some(Literal::Number(number)) => Some(number),
        Some(Literal::Text(text)) if !text.is_empty() => Some(text),
        Some(literal @ (Literal::List(_) | Literal::Table(_) | Literal::Truth(_))) => {
            script.leave("TG_CHAT_ID", &format!("it should be one chat, and is {}", shown(&literal)));
            None
        }
        _ => None,
    };
    script.done("TG_CHAT_ID");
    match (token, chat) {
        (Some(token), Some(chat)) => {
            script.done("TG_BOT_TOKEN");
            telegram.key("bot_token", token, "TG_BOT_TOKEN; `bot_token_file` keeps it out of this file");
            telegram.key("chat_id", chat, "TG_CHAT_ID");
        }
        (None, None) => {}
        (Some(_), None) => script.leave("TG_BOT_TOKEN", "there is no TG_CHAT_ID beside it"),
        (None, Some(_)) => script.leave("TG_CHAT_ID", "there is no TG_BOT_TOKEN beside it"),
    }
    telegram
}

fn mail(script: &mut Script) -> Written {
    let mut mail = Written::section("[notify.mail]");
    let to: Vec<String> = script
        .texts("MAIL_TO")
        .unwrap_or_default()
        .iter()
        .flat_map(|to| to.split([',', ';']))
        .map(|to| to.trim().to_owned())
        .filter(|to| !to.is_empty())
        .collect();
    let program = script.texts("MAIL_BIN").unwrap_or_default();
    let subject = script.text("MAIL_SUBJECT");
    script.done("MAIL_BIN");
    script.done("MAIL_SUBJECT");
    if to.is_empty() {
        no_mail(script, &mut mail);
        return mail;
    }
    // A user of this machine, as cron knows one.
    let to: Vec<String> =
        to.into_iter().map(|to| if to.contains('@') { to } else { format!("{to}@localhost") }).collect();
    if let Some(wrong) = to.iter().find(|to| crate::notify::check_mail_address(to).is_err()) {
        script.leave("MAIL_TO", &format!("{wrong:?} is no mail address, so that no mail is configured"));
        no_mail(script, &mut mail);
        return mail;
    }
    sendmail(script, &program, &mut mail);
    mail.key("to", to, "MAIL_TO");
    if let Some(subject) = subject {
        mail.key("subject", subject, "MAIL_SUBJECT; may hold {job} and {result}");
    }
    mail
}

/// Names what is of no use without a receiver.
fn no_mail(script: &Script, mail: &mut Written) {
    let there: Vec<&str> =
        ["MAIL_TO", "MAIL_SUBJECT", "MAIL_BIN"].into_iter().filter(|name| script.has(name)).collect();
    if !there.is_empty() {
        mail.comment(&format!("No mail is sent, for want of a receiver; left out: {}", there.join(", ")));
    }
}

/// The same program as the script called.
fn sendmail(script: &mut Script, program: &[String], mail: &mut Written) {
    let words: Vec<String> = program.iter().flat_map(|text| shell_words(text)).collect();
    let usual = "/usr/sbin/sendmail";
    let Some((program, arguments)) = words.split_first() else {
        mail.key("sendmail", usual, "the usual place; `smtp` sends through a server instead");
        return;
    };
    let is_place = program.starts_with('/') || !program.contains('/');
    if !is_place || !is_mail_program(Path::new(program)) {
        script.leave("MAIL_BIN", &format!("{program:?} is no program that is known to take a mail; {usual} stands instead (`smtp` sends through a server)"));
        mail.key("sendmail", usual, "the usual place");
        return;
    }
    // cron's PATH does not have its folder.
    let program = if program == "sendmail" { usual } else { program };
    mail.key("sendmail", program, "MAIL_BIN; called in the way that its name promises");
    let strange: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !["-t", "-i", "-oi", "-ti", "-it", "-h", "-s"].contains(argument))
        .collect();
    if !strange.is_empty() {
        let strange = strange.join(" ");
        script.leave("MAIL_BIN", &format!("its arguments {strange:?}; a script of your own may add them"));
    }
}
