//! Telegram's bot API, `sendMessage`.

use super::attempt::{Again, Trouble};
use super::http::{Answer, Http};
use super::masks::Masks;
use super::message::{Message, cut, fitting, one_line};
use super::secret::SECRET_LIMIT;
use super::settings::Telegram;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// Telegram counts in UTF-16 units, and refuses what is longer.
const UNITS_MAX: usize = 4_096;
const SUBJECT_UNITS_MAX: usize = 200;
/// What the API answers, good or bad.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Verdict {
    ok: bool,
    description: String,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

pub(super) fn send(
    settings: &Telegram,
    message: &Message,
    http: &Http,
    masks: &mut Masks,
) -> Result<(), Trouble> {
    let token = settings.bot_token.reveal(SECRET_LIMIT).map_err(|error| Trouble::new(error.to_string()))?;
    masks.hide(&token);
    masks.hide_password_of(&settings.api_base);
    // The token becomes part of the address: anything else would be an error that quotes it.
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte)) {
        return Err(Trouble::new(
            "the bot token holds characters that no token has; copy it from @BotFather",
        ));
    }
    let url = format!("{}/bot{token}/sendMessage", settings.api_base.trim_end_matches('/'));
    let doing = format!("asking {} to send a message", settings.api_base);
    let body = body(&settings.chat_id, message);
    let answer = http.post(&doing, &url, &[("Content-Type", "application/json")], body.as_bytes())?;
    judge(&doing, &answer, masks)
}

/// Plain text with its first line in bold. Bold by position, not by markup: so
/// nothing needs escaping, and no name of a file can break the message.
fn body(chat_id: &str, message: &Message) -> String {
    let subject = cut(&one_line(&message.subject), SUBJECT_UNITS_MAX, "…").replace('\n', " ");
    let texts = std::iter::once(&message.text).chain(&message.shorter);
    let texts = texts.map(|text| format!("{subject}\n\n{}", text.trim_end()));
    let text = fitting(texts, UNITS_MAX, &message.cut_note);
    json!({
        "chat_id": chat_id,
        "text": text,
        "entities": [{"type": "bold", "offset": 0, "length": subject.encode_utf16().count()}],
        "link_preview_options": {"is_disabled": true},
    })
    .to_string()
}

fn judge(doing: &str, answer: &Answer, masks: &Masks) -> Result<(), Trouble> {
    let verdict: Option<Verdict> = serde_json::from_str(&answer.body).ok();
    let Some(verdict) = verdict else {
        // A login page of some network says 200 as well.
        return Err(Trouble::new(format!(
            "{doing}: what answers is no bot server: {}; check `api_base` and `proxy`",
            answer.in_words(masks)
        )));
    };
    if verdict.ok && answer.is_good() {
        return Ok(());
    }
    let advice = match (answer.status, verdict.parameters.migrate_to_chat_id) {
        (_, Some(chat)) => format!("; the group has moved: write `chat_id = {chat}`"),
        (401 | 404, _) => "; check `bot_token`".into(),
        (400, _) => "; check `chat_id`, and send the bot a message first".into(),
        (403, _) => {
            "; the bot may not write to this chat: send it a message first, or add it to the group".into()
        }
        _ => String::new(),
    };
    let why = match masks.quoted(&verdict.description) {
        // As a proxy before the bot server answers, or a server of one's own.
        none if none.is_empty() => "refused without a reason".to_owned(),
        why => why,
    };
    Err(Trouble {
        reason: format!("{doing}: {why} ({}){advice}", answer.status),
        again: verdict
            .parameters
            .retry_after
            .map_or(Again::AsUsual, |seconds| Again::After(Duration::from_secs(seconds))),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn sent(subject: &str, text: &str) -> Value {
        sent_or_shorter(subject, text, &[])
    }

    fn sent_or_shorter(subject: &str, text: &str, shorter: &[String]) -> Value {
        let message = Message {
            shorter: shorter.to_vec(),
            subject: subject.into(),
            text: text.into(),
            cut_note: "(cut)".into(),
            ..Message::default()
        };
        serde_json::from_str(&body("-1", &message)).unwrap()
    }

    #[test]
    fn special_characters_survive_and_the_head_is_bold_in_utf_16_units() {
        let text = "a_b*c [d](e) <f> & `g` \\ 图\u{1f6a2}";
        let sent = sent("🚢 photos: <b>", text);
        assert_eq!(sent["text"], format!("🚢 photos: <b>\n\n{text}"));
        assert_eq!(sent["entities"][0]["length"], 14);
        assert!(sent.get("parse_mode").is_none());
    }

    #[test]
    fn long_messages_are_cut_within_telegrams_limit() {
        let sent = sent(&"s".repeat(5_000), &"🚢 line\n".repeat(1_000));
        let text = sent["text"].as_str().unwrap();
        assert!(text.encode_utf16().count() <= UNITS_MAX, "{}", text.encode_utf16().count());
        assert!(text.ends_with("line\n(cut)"), "{text}");
    }

    #[test]
    fn what_is_too_long_is_told_with_less_detail_before_it_is_cut() {
        let long = "line\n".repeat(1_000);
        let shorter = |texts: &[&String]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).clone()).collect();
            sent_or_shorter("s", &long, &texts)["text"].as_str().unwrap_or_default().to_owned()
        };
        let (short, shortest) = ("short".to_owned(), "shortest".to_owned());
        assert_eq!(shorter(&[&long, &short, &shortest]), "s\n\nshort");
        let other = "other\n".repeat(1_000);
        let cut = shorter(&[&long, &other]);
        assert!(cut.starts_with("s\n\nother\n") && cut.ends_with("other\n(cut)"), "{cut}");
    }
}
