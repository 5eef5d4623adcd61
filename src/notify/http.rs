//! One way to speak HTTP: with limits, through the proxy, and without ever
//! following a redirect (it would turn a POST into a GET that "works").

use super::attempt::Trouble;
use super::masks::Masks;
use super::secret::{SECRET_LIMIT, Secret, check_login_of_address, without_password};
use std::io::Read;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// An agent for one attempt.
pub(super) struct Http {
    agent: Agent,
    /// ` through the proxy …`, for messages.
    way: String,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What came back, in a few words for people.
    pub(super) fn in_words(&self, masks: &Masks) -> String {
        let said = masks.quoted(&self.body);
        let hint = if (300..400).contains(&self.status) { ": it points to another address" } else { "" };
        if said.is_empty() {
            format!("HTTP status {}{hint}", self.status)
        } else {
            format!("HTTP status {}{hint}: {said}", self.status)
        }
    }
}

impl Http {
    pub(super) fn new(proxy: Option<&Secret>, limit: Duration, masks: &mut Masks) -> Result<Http, Trouble> {
        let mut way = String::new();
        let mut through = None;
        if let Some(secret) = proxy {
            let unusable =
                |why: &dyn std::fmt::Display| Trouble::new(format!("the proxy cannot be used: {why}"));
            let address = secret.reveal(SECRET_LIMIT).map_err(|error| unusable(&error))?;
            masks.hide_password_of(&address);
            check_login_of_address(&address).map_err(|reason| unusable(&format!("its address {reason}")))?;
            way = format!(" through the proxy {}", without_password(&address));
            // Where a name is blocked, the local resolver is what lies: the proxy resolves.
            let address = address.replacen("socks5://", "socks5h://", 1);
            through = Some(Proxy::new(&address).map_err(|error| unusable(&error))?);
        }
        let config = Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(through)
            .user_agent(concat!("treeferry/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(trusted()).build())
            .build();
        Ok(Http { agent: config.new_agent(), way })
    }

    /// POSTs `body`, and returns whatever answer there is.
    pub(super) fn post(
        &self,
        doing: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Trouble> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let trouble = |error: ureq::Error| Trouble::new(format!("{doing}{}: {error}", self.way));
        let mut response = request.send(body).map_err(trouble)?;
        let status = response.status().as_u16();
        // The status says enough where the rest of the answer does not come.
        let mut body = Vec::new();
        let _ = response.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut body);
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// The authorities that the system trusts; on a system without any, the ones
/// that were known when this was built.
fn trusted() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    RootCerts::new_with_certs(
        &found.iter().map(|found| Certificate::from_der(found).to_owned()).collect::<Vec<_>>(),
    )
}

/// Whether the system trusts anybody at all.
pub(super) fn system_has_authorities() -> bool {
    !rustls_native_certs::load_native_certs().certs.is_empty()
}
