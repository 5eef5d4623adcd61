//! What is told, whoever it is told to.

/// One message, for all channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// What it is about: `{job}` in templates.
    pub job: String,
    /// How it ended, in a few words: `{result}` in templates.
    pub result: String,
    /// One line: the head of chat messages, `{subject}` in templates.
    pub subject: String,
    /// Many lines, plain; the most important first: `{text}` in templates.
    pub text: String,
    /// The same with less and less detail, for channels with a limit: a text that names less
    /// of every job is worth more than one whose end is missing.
    pub shorter: Vec<String>,
    /// Stands where the end of a text was cut off that is too long for a channel.
    pub cut_note: String,
    /// More placeholders, for templates.
    pub fields: Vec<(&'static str, String)>,
    /// For machines: the body of a webhook without template.
    pub json: String,
}

impl Message {
    /// Puts the values into `{name}` of a template; `escape` makes each fit for
    /// its place. What is in no field stays as it is.
    pub(super) fn fill(&self, template: &str, escape: impl Fn(&str) -> String) -> String {
        let mut filled = String::with_capacity(template.len() + self.text.len());
        let mut rest = template;
        while let Some(start) = rest.find('{') {
            filled.push_str(&rest[..start]);
            let after = &rest[start + 1..];
            match after.find('}').and_then(|end| Some((end, self.field(&after[..end])?))) {
                Some((end, value)) => {
                    filled.push_str(&escape(value));
                    rest = &after[end + 1..];
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled + rest
    }

    fn field(&self, name: &str) -> Option<&str> {
        Some(match name {
            "job" => &self.job,
            "result" => &self.result,
            "subject" => &self.subject,
            "text" => &self.text,
            _ => &self.fields.iter().find(|(known, _)| *known == name)?.1,
        })
    }
}

/// The first of `texts` within `units_max` UTF-16 units; where none is, the last, [`cut`].
pub(super) fn fitting(mut texts: impl Iterator<Item = String>, units_max: usize, note: &str) -> String {
    let mut last = String::new();
    let fits = |text: &String| {
        last.clone_from(text);
        text.encode_utf16().count() <= units_max
    };
    texts.find(fits).unwrap_or_else(|| cut(&last, units_max, note))
}

/// One line: what would break it, or a mail's head, becomes a blank.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The text within `units_max` UTF-16 units, cut at the end of a line where
/// there is one near, with `note` in place of the rest.
pub(super) fn cut(text: &str, units_max: usize, note: &str) -> String {
    if text.encode_utf16().count() <= units_max {
        return text.to_owned();
    }
    let room = units_max.saturating_sub(note.encode_utf16().count() + 1);
    let mut units = 0;
    let end = text
        .char_indices()
        .find(|(_, character)| {
            units += character.len_utf16();
            units > room
        })
        .map_or(text.len(), |(at, _)| at);
    let kept = &text[..end];
    // A last line of a thousand units is better cut in its middle than lost.
    let at_line = kept.rfind('\n').filter(|line| kept.len() - line < 1_000);
    format!("{}\n{note}", &kept[..at_line.unwrap_or(end)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_with_each_value_escaped_and_strange_braces_left_alone() {
        let message = Message {
            job: "{result}".into(),
            result: "a\"b".into(),
            fields: vec![("files_uploaded", "12".into())],
            ..Message::default()
        };
        let escape = |value: &str| value.replace('"', "\\\"");
        let filled = message.fill("{\"t\": \"{job}: {result}\", \"n\": {files_uploaded}, {other} {", escape);
        assert_eq!(filled, "{\"t\": \"{result}: a\\\"b\", \"n\": 12, {other} {");
    }

    #[test]
    fn a_long_text_is_cut_in_utf_16_units_at_a_line_and_says_so() {
        assert_eq!(cut("a\nb", 3, "…"), "a\nb");
        assert_eq!(cut("ab\ncd\nef", 7, "…"), "ab\n…");
        assert_eq!(cut("abcdefgh", 7, "…"), "abcde\n…");
        // One of these takes two units, and four bytes.
        let text = "🚢".repeat(3_000);
        let short = cut(&text, 4_096, "(cut)");
        assert_eq!(short.encode_utf16().count(), 4_096);
        assert!(short.ends_with("🚢\n(cut)"));
        let lines: String = (0..2_000).map(|number| format!("图片/{number}\n")).collect();
        let short = cut(&lines, 4_096, "(cut)");
        assert!(short.encode_utf16().count() <= 4_096);
        assert!(lines.starts_with(short.strip_suffix("(cut)").unwrap_or_default()), "{short}");
    }
}
