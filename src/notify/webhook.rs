//! A POST to anything that takes one.

use super::attempt::Trouble;
use super::http::Http;
use super::masks::Masks;
use super::message::Message;
use super::secret::{SECRET_LIMIT, SecretError};
use super::settings::Webhook;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What a body is, and with that how values are escaped in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
    Plain,
}

pub(super) fn send(
    settings: &Webhook,
    message: &Message,
    http: &Http,
    masks: &mut Masks,
) -> Result<(), Trouble> {
    let unknown = |error: SecretError| Trouble::new(error.to_string());
    let url = settings.url.reveal(SECRET_LIMIT).map_err(unknown)?;
    masks.hide_all_but_host_of(&url);
    let mut revealed = Vec::with_capacity(settings.headers.len());
    for (name, value) in &settings.headers {
        let value = value.reveal(SECRET_LIMIT).map_err(unknown)?;
        masks.hide(&value);
        // Of `Bearer …` the other end may quote the second word alone.
        masks.hide_words_of(&value);
        revealed.push((name.as_str(), value));
    }
    let mut headers: Vec<(&str, &str)> =
        revealed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let template = match &settings.body {
        Some(body) => body.reveal_lines(SECRET_LIMIT).map_err(unknown)?,
        None => String::new(),
    };
    masks.hide_words_of(&template);
    let kind = kind_of(given.map(|(_, value)| *value), &template);
    let body = match template.as_str() {
        "" => message.json.clone(),
        template => message.fill(template, |value| escaped(kind, value)),
    };
    if given.is_none() {
        headers.push((
            "Content-Type",
            match kind {
                Kind::Json => "application/json",
                Kind::Form | Kind::Plain => "text/plain; charset=utf-8",
            },
        ));
    }
    let answer = http.post(&format!("POST to {url}"), &url, &headers, body.as_bytes())?;
    if answer.is_good() && !refuses_in_its_body(&answer.body) {
        return Ok(());
    }
    Err(Trouble::new(format!("POST to {url}: {}", answer.in_words(masks))))
}

/// As the header says; without one, a body that opens like JSON is JSON.
fn kind_of(content_type: Option<&str>, template: &str) -> Kind {
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    if content_type.contains("json") || template.is_empty() {
        return Kind::Json;
    }
    if content_type.contains("x-www-form-urlencoded") {
        return Kind::Form;
    }
    let template = template.trim_start();
    let opens_object =
        template.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']));
    if content_type.is_empty() && (opens_object || template.starts_with('[')) {
        Kind::Json
    } else {
        Kind::Plain
    }
}

/// WeCom and DingTalk (`errcode`), Feishu (`code` and `msg`) and Slack (`ok`)
/// refuse with HTTP status 200.
fn refuses_in_its_body(body: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<Value>(body) else { return false };
    let is_error = |key: &str| answer[key].as_i64().is_some_and(|code| code != 0);
    is_error("errcode") || (answer.get("msg").is_some() && is_error("code")) || answer["ok"] == false
}

fn escaped(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Json => {
            let quoted = Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        Kind::Form => utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        Kind::Plain => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_with_http_status_200_is_one() {
        for body in [
            "{\"errcode\": 93000, \"errmsg\": \"invalid webhook url\"}",
            "{\"code\": 19001, \"msg\": \"param invalid\"}",
            "{\"ok\": false}",
        ] {
            assert!(refuses_in_its_body(body), "{body}");
        }
        for body in [
            "",
            "ok",
            "[]",
            "{\"errcode\": 0}",
            "{\"code\": 0, \"msg\": \"\"}",
            "{\"code\": 200}",
            "{\"ok\": true}",
        ] {
            assert!(!refuses_in_its_body(body), "{body}");
        }
    }

    #[test]
    fn values_are_escaped_for_the_kind_of_body_they_stand_in() {
        for (content_type, template, kind) in [
            (None, "", Kind::Json),
            (None, "{\"text\": \"{text}\"}", Kind::Json),
            (None, "{\n \"text\": \"{text}\"}", Kind::Json),
            (None, "{subject}: {text}", Kind::Plain),
            (Some("application/json; charset=utf-8"), "{text}", Kind::Json),
            (Some("application/x-www-form-urlencoded"), "text={text}", Kind::Form),
            (Some("text/markdown"), "[{job}]", Kind::Plain),
        ] {
            assert_eq!(kind_of(content_type, template), kind, "{content_type:?} {template}");
        }
        assert_eq!(escaped(Kind::Json, "a\"\n\\图"), "a\\\"\\n\\\\图");
        assert_eq!(escaped(Kind::Form, "a&b=图 +"), "a%26b%3D%E5%9B%BE%20%2B");
        assert_eq!(escaped(Kind::Plain, "a\"\n"), "a\"\n");
    }
}
