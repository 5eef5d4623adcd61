//! How secrets stay out of what is told.

use super::secret::user_and_password;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::ops::Range;

/// Stands where a secret stood.
pub(super) const MASK: &str = "***";
/// Shorter words are no tokens, and masked they would make a message hard to read.
const WORD_BYTES_MIN: usize = 8;
/// Of a secret that is broken off at the end of a text, fewer characters than these give nothing away.
const BROKEN_CHARACTERS_MIN: usize = 4;
/// How much of what the other end says is told.
const QUOTED_CHARACTERS_MAX: usize = 300;

/// All secrets of one attempt, in every form in which they may come back to us.
#[derive(Default)]
pub(super) struct Masks(Vec<String>);

impl Masks {
    /// From now on this is masked: as it is, percent-encoded, and as JSON writes it.
    pub(super) fn hide(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let quoted = serde_json::Value::from(secret).to_string();
        let in_json = &quoted[1..quoted.len() - 1];
        self.0.push(secret.to_owned());
        self.0.push(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
        self.0.push(percent_decode_str(secret).decode_utf8_lossy().into_owned());
        self.0.push(in_json.to_owned());
        // As PHP writes it.
        self.0.push(in_json.replace('/', "\\/"));
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// From now on this password is masked, also in the lines by which it goes to a server: a
    /// mail server that refuses `AUTH PLAIN` or `AUTH LOGIN`, or a proxy that refuses `Basic`,
    /// may quote them.
    pub(super) fn hide_login(&mut self, user: &str, password: &str) {
        self.hide(password);
        for line in [format!("\0{user}\0{password}"), format!("{user}:{password}"), password.to_owned()] {
            // Without padding: what is left of it says nothing.
            self.hide(&STANDARD_NO_PAD.encode(line));
        }
    }

    /// From now on the words of this text are masked that may be tokens: the other end may quote what it got.
    pub(super) fn hide_words_of(&mut self, text: &str) {
        let is_of_word = |character: char| character.is_alphanumeric() || "-_.:+/=~".contains(character);
        let words = text.split(|character| !is_of_word(character));
        words.filter(|word| word.len() >= WORD_BYTES_MIN).for_each(|word| self.hide(word));
    }

    /// From now on the password of this address is masked.
    pub(super) fn hide_password_of(&mut self, url: &str) {
        if let Some((user, Some(password))) = user_and_password(url)
            && !password.is_empty()
        {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            self.hide_login(user, password);
            self.hide_login(&decoded(user), &decoded(password));
        }
    }

    /// From now on everything of this address but scheme and host is masked:
    /// webhooks and pings carry their key in the path.
    pub(super) fn hide_all_but_host_of(&mut self, url: &str) {
        self.hide_password_of(url);
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        if let Some(path) = url[after_scheme..].find(['/', '?', '#']).map(|at| &url[after_scheme + at..])
            && path.len() > 1
        {
            self.hide(path);
            // The parts as well: the other end may quote only one of them.
            for part in path.split(['/', '?', '&', '=', '#']).filter(|part| part.len() >= WORD_BYTES_MIN) {
                self.hide(part);
            }
        }
    }

    /// The text without any of them.
    pub(super) fn clean(&self, text: &str) -> String {
        masked(text, self.whole(text))
    }

    /// What the other end said, as it may be told: without any of them, then cut. The other way
    /// round, one that lies over the edge would be known no more.
    pub(super) fn quoted(&self, said: &str) -> String {
        // Our reading ends somewhere too, perhaps within a character.
        let said = said.trim_end_matches(char::REPLACEMENT_CHARACTER).trim();
        let mut found = self.whole(said);
        found.extend(self.broken_off(said));
        masked(said, found).chars().take(QUOTED_CHARACTERS_MAX).collect()
    }

    /// Where they stand in the text.
    fn whole(&self, text: &str) -> Vec<Range<usize>> {
        let of_one = |secret| text.match_indices(secret).map(|(at, found): (_, &str)| at..at + found.len());
        self.0.iter().flat_map(|secret| of_one(secret.as_str())).collect()
    }

    /// The end of the text that may be the beginning of one of them.
    fn broken_off(&self, text: &str) -> Option<Range<usize>> {
        let longest = self.0.iter().map(String::len).max().unwrap_or(0);
        let from = text.len().saturating_sub(longest);
        text.char_indices()
            .map(|(at, _)| at)
            .filter(|at| *at >= from)
            .find(|at| {
                let end = &text[*at..];
                end.chars().count() >= BROKEN_CHARACTERS_MIN
                    && self.0.iter().any(|secret| secret.starts_with(end))
            })
            .map(|at| at..text.len())
    }
}

/// The text with a mask in place of these parts, which may overlap.
fn masked(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_unstable_by_key(|part| (part.start, std::cmp::Reverse(part.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for part in parts {
        if part.start >= done {
            out.push_str(&text[done..part.start]);
            out.push_str(MASK);
        }
        done = done.max(part.end);
    }
    out + &text[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_may_be_tokens_are_masked_one_by_one() {
        let mut masks = Masks::default();
        masks.hide_words_of("{\"token\": \"azGDORePK8gMaC0QOYAMyEEuzJnyUi\", \"user\": \"me\"}");
        let told = masks.clean("the application azGDORePK8gMaC0QOYAMyEEuzJnyUi of user me");
        assert_eq!(told, "the application *** of user me");
    }

    #[test]
    fn whatever_form_a_secret_comes_back_in_it_is_masked() {
        let mut masks = Masks::default();
        masks.hide("12:a/b");
        masks.hide_password_of("socks5://me:pa%40ss@host:1");
        masks.hide_all_but_host_of("https://hooks.example/services/T0001234/KEYKEYKEY?x=1");
        let told = "12:a/b 12%3Aa%2Fb 12:a\\/b pa@ss pa%40ss https://hooks.example/services/T0001234/KEYKEYKEY?x=1 KEYKEYKEY";
        assert_eq!(masks.clean(told), "*** *** *** *** *** https://hooks.example*** ***");
        assert_eq!(Masks::default().clean("nothing to hide"), "nothing to hide");
        masks.hide_password_of("smtps://me:25#hunter2@host:465");
        assert_eq!(masks.clean("login 25#hunter2 refused"), "login *** refused");
    }

    #[test]
    fn of_secrets_that_overlap_nothing_is_left() {
        let mut masks = Masks::default();
        ["ABCDEFGH", "GHIJ", "CD"].iter().for_each(|secret| masks.hide(secret));
        assert_eq!(masks.clean("xABCDEFGHIJx CD"), "x***x ***");
    }

    #[test]
    fn a_login_is_masked_in_the_base_64_by_which_it_goes_to_a_server() {
        let mut masks = Masks::default();
        masks.hide_login("me", "PASS");
        // `AUTH PLAIN`, the second line of `AUTH LOGIN`, and `Basic`.
        let told = masks.clean("AUTH PLAIN AG1lAFBBU1M=, UEFTUw==, Basic bWU6UEFTUw==, bWU=");
        assert_eq!(told, "AUTH PLAIN ***=, ***==, Basic ***==, bWU=");
        let mut masks = Masks::default();
        masks.hide_password_of("http://me:PA%53S@proxy:3128");
        assert_eq!(masks.clean("what is bWU6UEFTUw==?"), "what is ***==?");
    }

    #[test]
    fn what_is_said_is_masked_before_it_is_cut_and_wherever_it_ends_within_a_secret() {
        let mut masks = Masks::default();
        masks.hide_all_but_host_of("https://h/hook/SECRETTOKEN-图图图图?key=shorter");
        let path = "/hook/SECRETTOKEN-图图图图?key=shorter";
        for dots in 240..300 {
            let told = masks.quoted(&format!("{}{path}{}", ".".repeat(dots), "z".repeat(400)));
            assert!(told.chars().count() <= 300 && told.trim_start_matches('.').starts_with('*'), "{told}");
        }
        // Where the answer ends, or our reading of it, at any byte.
        for end in "/hoo".len().."/hook/SECRETTOKEN-图图图图?key=shorter".len() {
            let bytes = format!("no {path}");
            let said = String::from_utf8_lossy(&bytes.as_bytes()[..3 + end]).into_owned();
            assert_eq!(masks.quoted(&said), "no ***", "{said}");
        }
        assert_eq!(masks.quoted("  the word is SECR"), "the word is ***");
        assert_eq!(masks.quoted("the word is SEC\n"), "the word is SEC");
    }
}
