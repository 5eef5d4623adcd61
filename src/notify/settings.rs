//! What is known of each channel.

use super::secret::{Secret, without_password};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// All ways of telling; none of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channels {
    /// For HTTP; `None`: directly. The address may hold a password.
    pub proxy: Option<Secret>,
    /// `[notify.telegram]`.
    pub telegram: Option<Telegram>,
    /// `[notify.mail]`.
    pub mail: Option<Mail>,
    /// `[notify.webhook]`.
    pub webhook: Option<Webhook>,
    /// `[notify.healthcheck]`.
    pub healthcheck: Option<Healthcheck>,
}

/// The name of a channel, as in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A Telegram bot.
    Telegram,
    /// A mail.
    Mail,
    /// An HTTP POST.
    Webhook,
    /// Dead-man pings.
    Healthcheck,
}

impl Channel {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Telegram => "telegram",
            Channel::Mail => "mail",
            Channel::Webhook => "webhook",
            Channel::Healthcheck => "healthcheck",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Telegram bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// Of the bot.
    pub bot_token: Secret,
    /// Who gets the message.
    pub chat_id: String,
    /// Address of the bot server.
    pub api_base: String,
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// How it leaves.
    pub by: MailBy,
    /// Sender; `None`: chosen by the program.
    pub from: Option<String>,
    /// Receivers, at least one.
    pub to: Vec<String>,
    /// May hold `{job}` and `{result}`.
    pub subject: String,
}

/// How a mail leaves.
#[derive(Clone, PartialEq, Eq)]
pub enum MailBy {
    /// Through a server.
    Smtp {
        /// `smtps://user@host:465`; may hold the password.
        url: String,
        /// Where it does not.
        password: Option<Secret>,
    },
    /// Through a program.
    Sendmail(PathBuf),
}

/// An HTTP POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub url: Secret,
    /// Sent with it.
    pub headers: BTreeMap<String, Secret>,
    /// Template, which may hold a token; `None`: the JSON of the message.
    pub body: Option<Secret>,
}

/// Dead-man pings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// Without `/start` and `/fail`.
    pub url: Secret,
}

// By hand, because the address may hold what must not be shown.
impl fmt::Debug for MailBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailBy::Smtp { url, password } => f
                .debug_struct("Smtp")
                .field("url", &without_password(url))
                .field("password", password)
                .finish(),
            MailBy::Sendmail(program) => f.debug_tuple("Sendmail").field(program).finish(),
        }
    }
}
