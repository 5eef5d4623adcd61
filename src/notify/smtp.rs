//! SMTP: TLS from the start (`smtps://`) or by STARTTLS (`smtp://`), and login.

use super::attempt::{Again, Trouble};
use super::http::system_has_authorities;
use super::masks::Masks;
use super::secret::Secret;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{CertificateStore, Tls, TlsParameters};
use lettre::{Address, SmtpTransport, Transport};
use percent_encoding::percent_decode_str;
use std::io::ErrorKind;
use std::time::Duration;
use url::Url;

/// Where a server is, and how to speak to it.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
    security: Security,
    user: String,
    password: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// TLS before the first word.
    Wrapped,
    /// STARTTLS before login and mail, or nothing is sent.
    StartTls,
    /// Only to this machine, or because the address says so.
    Nothing,
}

pub(super) fn send(
    url: &str,
    password: Option<&Secret>,
    letter: &lettre::Message,
    limit: Duration,
    masks: &mut Masks,
) -> Result<(), Trouble> {
    masks.hide_password_of(url);
    let mut server = parse(url).map_err(Trouble::new)?;
    if let Some(secret) = password {
        server.password = Some(secret.reveal(limit).map_err(|error| Trouble::new(error.to_string()))?);
    }
    server.password.iter().for_each(|password| masks.hide_login(&server.user, password));
    let doing = format!("sending a mail by {}:{}", server.host, server.port);
    let trouble = |error: Error| Trouble::new(format!("{doing}: {}", in_words(&error, limit, masks)));
    let transport = transport(&server, limit).map_err(trouble)?;
    match transport.send(letter) {
        Ok(_) => Ok(()),
        Err(error) if is_of_a_mailbox(&error) && letter.envelope().to().len() > 1 => {
            send_to_each(&transport, letter, |to, error| {
                format!("{doing}: {to}: {}", in_words(&error, limit, masks))
            })
        }
        Err(error) => Err(trouble(error)),
    }
}

/// 550 to 554: what a server says of a mailbox, not of the login (535), which must not be
/// tried again and again.
fn is_of_a_mailbox(error: &Error) -> bool {
    error.status().is_some_and(|code| (550..=554).contains(&u16::from(code)))
}

/// One receiver that is refused takes the mail from nobody else. Only when none has it is
/// there a second attempt: the others would get it twice.
fn send_to_each(
    transport: &SmtpTransport,
    letter: &lettre::Message,
    say: impl Fn(&Address, Error) -> String,
) -> Result<(), Trouble> {
    let envelope = letter.envelope();
    let mut refused = Vec::new();
    for to in envelope.to() {
        let alone = Envelope::new(envelope.from().cloned(), vec![to.clone()])
            .map_err(|error| Trouble::new(format!("writing the mail: {error}")))?;
        if let Err(error) = transport.send_raw(&alone, &letter.formatted()) {
            refused.push(say(to, error));
        }
    }
    match refused.len() {
        0 => Ok(()),
        all if all == envelope.to().len() => Err(Trouble::new(refused.join("; "))),
        _ => Err(Trouble { again: Again::Never, ..Trouble::new(refused.join("; ")) }),
    }
}

/// A read that took too long is "resource temporarily unavailable" to the system.
fn in_words(error: &Error, limit: Duration, masks: &Masks) -> String {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        {
            return format!("the server did not answer within {} seconds", limit.as_secs_f64());
        }
        cause = inner.source();
    }
    masks.quoted(&error.to_string())
}

fn transport(server: &Server, limit: Duration) -> Result<SmtpTransport, Error> {
    let mut transport = SmtpTransport::builder_dangerous(&server.host).port(server.port).timeout(Some(limit));
    if server.security != Security::Nothing {
        let store =
            if system_has_authorities() { CertificateStore::Default } else { CertificateStore::WebpkiRoots };
        let parameters = TlsParameters::builder(server.host.clone()).certificate_store(store).build()?;
        transport = transport.tls(match server.security {
            Security::Wrapped => Tls::Wrapper(parameters),
            _ => Tls::Required(parameters),
        });
    }
    if !server.user.is_empty() {
        let password = server.password.clone().unwrap_or_default();
        transport = transport.credentials(Credentials::new(server.user.clone(), password));
    }
    Ok(transport.build())
}

/// Whether `smtp` can be used, before there is anything to send.
///
/// # Errors
/// Says what is wrong, without quoting the address.
pub fn check_smtp_address(address: &str) -> Result<(), String> {
    parse(address).map(|_| ())
}

/// The message of an error never quotes the address: it may hold a password.
fn parse(address: &str) -> Result<Server, String> {
    let url = Url::parse(address)
        .map_err(|error| format!("`smtp` is no address like smtps://user@host:465: {error}"))?;
    // Without brackets, also for IPv6.
    let host = match url.host() {
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err("`smtp` names no host".into()),
    };
    let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let wish = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
    let security = match (url.scheme(), wish.as_deref()) {
        ("smtps", None) => Security::Wrapped,
        ("smtp", Some("required")) => Security::StartTls,
        ("smtp", Some("none")) => Security::Nothing,
        ("smtp", None) if is_here => Security::Nothing,
        ("smtp", None) => Security::StartTls,
        _ => return Err("`smtp` may end in ?tls=required or ?tls=none, with smtp:// only".into()),
    };
    let usual_port = match security {
        Security::Wrapped => 465,
        Security::StartTls => 587,
        Security::Nothing => 25,
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Ok(Server {
        host,
        port: url.port().unwrap_or(usual_port),
        security,
        user: decoded(url.username()),
        password: url.password().map(decoded),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_host_port_security_and_login() {
        let server = parse("smtps://me@example.org:p%40ss@mail.example.org").unwrap();
        assert_eq!((server.host.as_str(), server.port), ("mail.example.org", 465));
        assert_eq!((server.user.as_str(), server.password.as_deref()), ("me@example.org", Some("p@ss")));
        for (address, security, port) in [
            ("smtps://h:4650", Security::Wrapped, 4650),
            ("smtp://u@h", Security::StartTls, 587),
            ("smtp://u@h?tls=none", Security::Nothing, 25),
            ("smtp://localhost", Security::Nothing, 25),
            ("smtp://127.0.0.1:2500?tls=required", Security::StartTls, 2500),
            ("smtp://[::1]:25", Security::Nothing, 25),
        ] {
            let server = parse(address).unwrap();
            assert_eq!((server.security, server.port), (security, port), "{address}");
        }
        assert!(parse("smtps://h?tls=none").is_err());
    }
}
