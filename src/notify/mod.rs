//! Notify: telling people and monitors, through whatever they gave us.
//!
//! Knows: Telegram's API, mail by SMTP and by a program, HTTP, dead-man pings,
//! proxies; where secrets come from.
//! Promises: [`send`] comes back in bounded time whatever the other end does,
//! and says for each channel whether it worked; each channel is tried twice; no
//! secret is in anything it returns.
//! Must not know: how a run works, what a job is.

mod attempt;
mod healthcheck;
mod http;
mod mail;
mod mail_program;
mod masks;
mod message;
mod program;
mod secret;
mod settings;
mod smtp;
mod telegram;
mod webhook;

pub use attempt::{Delivery, Patience, ping, send};
pub use healthcheck::Ping;
pub use mail::check_mail_address;
pub use mail_program::is_mail_program;
pub use message::Message;
pub use secret::{Secret, SecretError, check_login_of_address};
pub use settings::{Channel, Channels, Healthcheck, Mail, MailBy, Telegram, Webhook};
pub use smtp::check_smtp_address;
