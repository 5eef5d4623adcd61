//! A mail handed to a program. Each kind wants to be called in its own way: what the name promises is kept.

use super::attempt::Trouble;
use super::masks::Masks;
use super::program;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How a program takes a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// `-i -t`, the whole mail on stdin: the receivers stand in its head, a line with one dot is text. cron calls it so.
    Sendmail,
    /// `-h`, the whole mail on stdin; nullmailer-inject knows neither `-i` nor `-t`.
    Inject,
    /// `-s SUBJECT RECEIVER…`, the text alone on stdin; the program writes the head.
    Mail,
}

/// The parts of a mail, for those who take it whole and those who do not.
pub(super) struct Parts<'a> {
    /// Head and text, with `\n`.
    pub(super) whole: String,
    pub(super) subject: &'a str,
    /// Bare addresses.
    pub(super) to: Vec<String>,
    pub(super) text: &'a str,
}

/// Whether a program of this name takes a mail on its standard input: as
/// sendmail does, as nullmailer-inject does, or as `mail` does.
pub fn is_mail_program(program: &Path) -> bool {
    const LIKE_SENDMAIL: [&str; 8] =
        ["sendmail", "msmtp", "ssmtp", "esmtp", "dma", "exim", "exim4", "postfix-sendmail"];
    let name = name_of(program);
    manner_of(program) != Manner::Sendmail
        || LIKE_SENDMAIL.contains(&name.as_str())
        || name.starts_with("sendmail.")
}

fn name_of(program: &Path) -> String {
    program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn manner_of(program: &Path) -> Manner {
    match name_of(program).as_str() {
        "nullmailer-inject" => Manner::Inject,
        "mail" | "mailx" | "Mail" | "bsd-mailx" | "s-nail" | "mail.mailutils" | "heirloom-mailx" | "mutt" => {
            Manner::Mail
        }
        _ => Manner::Sendmail,
    }
}

pub(super) fn send(program: &Path, parts: Parts<'_>, limit: Duration, masks: &Masks) -> Result<(), Trouble> {
    let mut command = Command::new(program);
    let (called, input) = match manner_of(program) {
        Manner::Sendmail => {
            command.args(["-i", "-t"]);
            (" -i -t", parts.whole)
        }
        Manner::Inject => {
            command.arg("-h");
            (" -h", parts.whole)
        }
        Manner::Mail => {
            command.args(["-s", parts.subject]).args(&parts.to);
            (" -s …", parts.text.to_owned())
        }
    };
    let trouble = |reason: String| Trouble::new(format!("{}{called} {reason}", program.display()));
    let ended = program::run(command, input.into_bytes(), limit).map_err(trouble)?;
    if ended.status.success() {
        return Ok(());
    }
    let said = masks.quoted(&String::from_utf8_lossy(&ended.stderr));
    Err(trouble(format!("ended with {}: {said}", ended.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_as_its_name_promises() {
        for (program, manner) in [
            ("/usr/sbin/sendmail", Manner::Sendmail),
            ("/opt/bin/msmtp", Manner::Sendmail),
            ("/etc/treeferry/my-own", Manner::Sendmail),
            ("nullmailer-inject", Manner::Inject),
            ("/usr/bin/mail", Manner::Mail),
            ("s-nail", Manner::Mail),
        ] {
            assert_eq!(manner_of(Path::new(program)), manner, "{program}");
        }
        assert!(is_mail_program(Path::new("msmtp")) && is_mail_program(Path::new("/usr/bin/mail")));
        assert!(!is_mail_program(Path::new("/etc/treeferry/my-own")));
    }
}
