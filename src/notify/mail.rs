//! A mail: written once, sent by a server or by a program.

use super::attempt::Trouble;
use super::mail_program::{self, Parts};
use super::masks::Masks;
use super::message::{Message, one_line};
use super::settings::{Mail, MailBy};
use super::smtp;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, MIME_VERSION_1_0};
use std::time::Duration;

/// Stands in for a sender that the program will choose; never sent.
const NO_SENDER: &str = "nobody@localhost";

pub(super) fn send(
    settings: &Mail,
    message: &Message,
    limit: Duration,
    masks: &mut Masks,
) -> Result<(), Trouble> {
    let letter = write(settings, message)?;
    match &settings.by {
        MailBy::Smtp { url, password } => smtp::send(url, password.as_ref(), &letter, limit, masks),
        MailBy::Sendmail(program) => {
            let to: Result<Vec<String>, Trouble> =
                settings.to.iter().map(|to| Ok(mailbox(to)?.email.to_string())).collect();
            let parts = Parts {
                // Programs read lines as files hold them, not as they go over the wire.
                whole: String::from_utf8_lossy(&letter.formatted()).replace("\r\n", "\n"),
                subject: &subject(settings, message),
                to: to?,
                text: &message.text,
            };
            mail_program::send(program, parts, limit, masks)
        }
    }
}

fn subject(settings: &Mail, message: &Message) -> String {
    one_line(&message.fill(&settings.subject, str::to_owned))
}

fn write(settings: &Mail, message: &Message) -> Result<lettre::Message, Trouble> {
    let from = mailbox(settings.from.as_deref().unwrap_or(NO_SENDER))?;
    let mut letter = lettre::Message::builder().from(from);
    for to in &settings.to {
        letter = letter.to(mailbox(to)?);
    }
    let mut letter = letter
        .subject(subject(settings, message))
        // The host is not named: it is nobody's business beyond the sender's own server.
        .message_id(None)
        // Without it a strict reader shows the base64 of a Chinese text as it is.
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(message.text.clone())
        .map_err(|error| Trouble::new(format!("writing the mail: {error}")))?;
    if settings.from.is_none() {
        letter.headers_mut().remove_raw("From");
    }
    Ok(letter)
}

/// Whether this is an address like `me@example.org` or `Me <me@example.org>`.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_mail_address(address: &str) -> Result<(), String> {
    mailbox(address).map(|_| ()).map_err(|trouble| trouble.reason)
}

fn mailbox(address: &str) -> Result<Mailbox, Trouble> {
    address.parse().map_err(|error| Trouble::new(format!("{address:?} is no mail address: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(from: Option<&str>, subject: &str) -> String {
        let settings = Mail {
            by: MailBy::Sendmail("/bin/true".into()),
            from: from.map(str::to_owned),
            to: vec!["me@example.org".into(), "You <you@example.org>".into()],
            subject: subject.into(),
        };
        let message = Message {
            job: "照片".into(),
            result: "ok\r\nBcc: thief@example.org".into(),
            text: "一\n.\nFrom here\n".into(),
            ..Message::default()
        };
        String::from_utf8(write(&settings, &message).unwrap().formatted()).unwrap()
    }

    #[test]
    fn no_value_can_add_a_line_to_the_head_of_a_mail() {
        let mail = written(Some("ferry <f@example.org>"), "treeferry: {result}");
        let head = mail.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{mail}");
        assert!(
            head.contains("From: \"ferry\" <f@example.org>") || head.contains("From: ferry <f@example.org>"),
            "{mail}"
        );
        assert!(head.contains("me@example.org") && head.contains("you@example.org"), "{mail}");
        assert!(head.contains("MIME-Version: 1.0") && head.contains("Message-ID: <"), "{mail}");
    }

    #[test]
    fn without_a_sender_the_program_chooses_one() {
        let mail = written(None, "treeferry: {job}");
        assert!(!mail.contains("From:") && !mail.contains("nobody"), "{mail}");
        // "照片" as the mail standards want it.
        assert!(mail.contains("=?utf-8?b?"), "{mail}");
    }
}
