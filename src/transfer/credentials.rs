//! Keeps passwords and tokens out of every line that leaves the room.

/// What stands before a `=` or `:` when a secret follows. Compared without case,
/// as the end of a word.
const SECRET_NAMES: &[&str] = &[
    "pass",
    "password",
    "password2",
    "passwd",
    "pwd",
    "token",
    "secret",
    "secret_access_key",
    "access_key_id",
    "client_secret",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "signature",
    "credential",
    "sas_url",
    "session_token",
    "key",
    "sign",
];

const HIDDEN: &str = "***";

/// `text` without the passwords of URLs (`user:password@`), without the values
/// of `pass=`, `token=` and their like, and without authorization headers.
pub fn without_credentials(text: &str) -> String {
    hide_values(&hide_url_users(text))
}

fn hide_url_users(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, after) = rest.split_at(found + 3);
        out.push_str(before);
        let end = after
            .find(|character: char| character.is_whitespace() || matches!(character, '/' | '?' | '"' | '\''))
            .unwrap_or(after.len());
        let authority = &after[..end];
        match authority.rfind('@') {
            Some(at) => {
                out.push_str(HIDDEN);
                out.push_str(&authority[at..]);
            }
            None => out.push_str(authority),
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn hide_values(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(found + 1);
        out.push_str(before);
        rest = after;
        let colon = before.ends_with(':');
        if names_a_secret(&before[..found], colon) {
            let value = value_length(rest, colon);
            if value > 0 {
                out.push_str(HIDDEN);
            }
            rest = &rest[value..];
        }
    }
    out.push_str(rest);
    out
}

fn names_a_secret(before: &str, colon: bool) -> bool {
    let quoted = before.ends_with(['"', '\'']);
    let word: String = before
        .trim_end_matches(['"', '\'', '\\'])
        .chars()
        .rev()
        .take_while(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'))
        .collect();
    let word: String = word.chars().rev().collect::<String>().to_ascii_lowercase().replace('-', "_");
    // In prose a colon follows a word all the time: only headers and quoted keys count there.
    if colon && !quoted && !matches!(word.as_str(), "authorization" | "cookie" | "token" | "password") {
        return false;
    }
    SECRET_NAMES.iter().any(|name| {
        word == *name || word.strip_suffix(name).is_some_and(|rest| rest.ends_with('_') || rest.is_empty())
    })
}

/// How many bytes belong to the value at the start of `text`.
fn value_length(text: &str, colon: bool) -> usize {
    let blanks = text.len() - text.trim_start_matches([' ', '\\']).len();
    let value = &text[blanks..];
    if let Some(quote) = value.chars().next().filter(|character| matches!(character, '"' | '\'')) {
        let end = value[1..].find(quote).map_or(value.len(), |end| end + 2);
        return blanks + end;
    }
    // A header's value goes on to the end of the line: `Authorization: Basic abc`.
    let stop = |character: char| {
        matches!(character, '\n' | '"' | '\'' | ',' | ';')
            || (!colon && matches!(character, ' ' | '&' | ':' | '\t'))
    };
    blanks + value.find(stop).unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_left() {
        for (text, clean) in [
            ("Put \"https://me:s3cr3t@host:80/a b\": EOF", "Put \"https://***@host:80/a b\": EOF"),
            (":webdav,url='http://h',user=me,pass=abc:dir", ":webdav,url='http://h',user=me,pass=***:dir"),
            (":webdav,pass=\"a,b\",user=u:", ":webdav,pass=***,user=u:"),
            ("GET /x?token=abc&y=1", "GET /x?token=***&y=1"),
            ("X-Amz-Signature=ff00 X-Amz-Credential=AK", "X-Amz-Signature=*** X-Amz-Credential=***"),
            ("{\"access_token\":\"abc\",\"a\":1}", "{\"access_token\":***,\"a\":1}"),
            ("Authorization: Basic YTpi", "Authorization:***"),
            ("a/three: 507 Insufficient Storage", "a/three: 507 Insufficient Storage"),
            ("monkey=1 compass=north", "monkey=1 compass=north"),
        ] {
            assert_eq!(without_credentials(text), clean);
        }
    }
}
