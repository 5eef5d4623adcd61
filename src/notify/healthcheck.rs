//! Dead-man pings, as healthchecks.io understands them: a monitor that hears
//! nothing complains.

use super::attempt::Trouble;
use super::http::Http;
use super::masks::Masks;
use super::secret::SECRET_LIMIT;
use super::settings::Healthcheck;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ping {
    /// A run begins.
    Start,
    /// It ended well. With the end of its log.
    Success(String),
    /// It did not. With the end of its log.
    Fail(String),
}

pub(super) fn send(
    settings: &Healthcheck,
    ping: &Ping,
    http: &Http,
    masks: &mut Masks,
) -> Result<(), Trouble> {
    let url = settings.url.reveal(SECRET_LIMIT).map_err(|error| Trouble::new(error.to_string()))?;
    masks.hide_all_but_host_of(&url);
    let (suffix, log) = match ping {
        Ping::Start => ("/start", ""),
        Ping::Success(log) => ("", log.as_str()),
        Ping::Fail(log) => ("/fail", log.as_str()),
    };
    let url = with_suffix(&url, suffix);
    let headers = [("Content-Type", "text/plain; charset=utf-8")];
    let answer = http.post(&format!("ping to {url}"), &url, &headers, log.as_bytes())?;
    if answer.is_good() {
        return Ok(());
    }
    Err(Trouble::new(format!("ping to {url}: {}", answer.in_words(masks))))
}

/// Before a query, where there is one.
fn with_suffix(url: &str, suffix: &str) -> String {
    let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    format!("{}{suffix}{query}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_ping_goes_before_the_query() {
        assert_eq!(with_suffix("https://hc/ping/uuid", "/start"), "https://hc/ping/uuid/start");
        assert_eq!(with_suffix("https://hc/ping/uuid/", "/fail"), "https://hc/ping/uuid/fail");
        assert_eq!(with_suffix("https://hc/k/slug?create=1", "/fail"), "https://hc/k/slug/fail?create=1");
        assert_eq!(with_suffix("https://hc/ping/uuid", ""), "https://hc/ping/uuid");
    }
}
