//! What may be written as a value: sizes, durations, limits, choices, secrets.

pub use crate::notify::Secret;
pub use crate::plan::Limit;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use toml::de::DeValue;

/// A value that is one of a few words.
pub trait Choice: Copy + PartialEq + 'static {
    /// All words, in the order of the reference.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $name { $($(#[$word_doc])* $variant),* }

            impl Choice for $name {
                const WORDS: &'static [(&'static str, Self)] = &[$(($word, $name::$variant)),*];
            }
        )*
    };
}

choices! {
    /// Language of summary and notifications.
    Language {
        /// As the environment says.
        Auto = "auto",
        /// English.
        English = "en",
        /// Chinese.
        Chinese = "zh",
    }
    /// Whether settled directories are listed again.
    SkipSettled {
        /// Where the file system can be trusted.
        Auto = "auto",
        /// Every directory is listed.
        Off = "off",
    }
    /// What happens on the mirror to what was deleted here.
    OnDelete {
        /// It goes to the run's trash.
        Trash = "trash",
        /// It is deleted.
        Delete = "delete",
        /// It stays.
        Keep = "keep",
    }
    /// Guard on the file system of the source.
    SourceFilesystem {
        /// The one of the last run.
        Same = "same",
        /// Any.
        Any = "any",
    }
    /// What becomes of symlinks.
    Links {
        /// Their target is kept in the index.
        Record = "record",
        /// What they point to is backed up.
        Follow = "follow",
        /// They go up as `.rclonelink`.
        Upload = "upload",
    }
    /// What a check does about a difference.
    CheckAction {
        /// Names it.
        Warn = "warn",
        /// Uploads again.
        Repair = "repair",
    }
    /// When to notify.
    NotifyOn {
        /// After every run.
        Always = "always",
        /// When something was sent, or failed.
        Change = "change",
        /// When something failed.
        Failure = "failure",
    }
}

/// Reads `10M`, `1.5G`, `500KiB`, `5GB`, `123` into bytes. `K`, `M`, `G`, `T`,
/// `P` and `KiB` … are powers of 1024, as in rclone and restic; `KB` … of 1000.
///
/// # Errors
/// What would have been right, for people.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("must be a size like \"10M\" or \"1.5G\", not \"{text}\"");
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim().to_ascii_uppercase();
    let (letter, base) = match unit.strip_suffix("IB").or_else(|| unit.strip_suffix('I')) {
        Some(letter) => (letter, 1024_f64),
        None => match unit.strip_suffix('B') {
            Some(letter) => (letter, 1000.0),
            None => (unit.as_str(), 1024.0),
        },
    };
    let power = match letter {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return Err(wrong()),
    };
    let bytes = number * base.powi(power);
    if bytes.is_finite() && bytes < 9e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Writes bytes so that [`parse_size`] reads the same number.
pub fn format_size(bytes: u64) -> String {
    for (letter, shift) in [("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{letter}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Reads `36h`, `2d`, `1h30m`, `90s`, `500ms`, `2w`.
///
/// # Errors
/// What would have been right, for people.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("must be a duration like \"36h\", \"2d\" or \"1h30m\", not \"{text}\"");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    if rest == "0" {
        return Ok(total);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .map_or(rest.len(), |length| digits + length);
        let seconds = match &rest[digits..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(wrong()),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = rest[unit_end..].trim_start();
    }
    Ok(total)
}

/// Writes a duration so that [`parse_duration`] reads the same.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 {
        return format!("{}ms", duration.as_millis());
    }
    match seconds {
        0 => "0s".into(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(text) if text.contains('\0') => Err("must not hold a NUL character".into()),
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("must be text in quotes, not {}", kind_of(value))),
    }
}

pub(super) fn truth(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false (without quotes), not {}", kind_of(value)))
}

pub(super) fn whole_number(value: &DeValue<'_>) -> Result<u32, String> {
    let number = value.as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
    number.ok_or_else(|| {
        format!("must be a whole number from 0 to {} (without quotes), not {}", u32::MAX, kind_of(value))
    })
}

pub(super) fn list(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wrong = || format!("must be a list of text like [\"a\", \"b\"], not {}", kind_of(value));
    let items = value.as_array().ok_or_else(wrong)?;
    items.iter().map(|item| text(item.get_ref()).map_err(|_| wrong())).collect()
}

pub(super) fn text_or_list(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    if value.is_str() { text(value).map(|one| vec![one]) } else { list(value) }
}

pub(super) fn choice<T: Choice>(value: &DeValue<'_>) -> Result<T, String> {
    let found = T::WORDS.iter().find(|(word, _)| value.as_str() == Some(word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        format!("must be one of {}, not {}", words.join(", "), kind_of(value))
    })
}

pub(super) fn size(value: &DeValue<'_>) -> Result<u64, String> {
    match value {
        DeValue::Integer(number) => parse_size(number.as_str()),
        other => parse_size(&text(other)?),
    }
}

pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    match value.as_integer() {
        Some(number) if number.as_str() != "0" => {
            Err(format!("needs a unit: \"{number}s\", \"{number}m\" or \"{number}h\""))
        }
        Some(_) => Ok(Duration::ZERO),
        None => parse_duration(&text(value)?),
    }
}

pub(super) fn limit(value: &DeValue<'_>) -> Result<Limit, String> {
    let wrong = || {
        format!(
            "must be a part like \"25%\", a number of files like 1000, or \"off\", not {}",
            kind_of(value)
        )
    };
    let written = match value {
        DeValue::Integer(number) => number.as_str(),
        other => other.as_str().ok_or_else(wrong)?,
    };
    match written.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.trim().parse().map_err(|_| wrong())?;
            if percent <= 100 { Ok(Limit::Percent(percent)) } else { Err(wrong()) }
        }
        None if written == "off" => Ok(Limit::Off),
        None => written.parse().map(Limit::Count).map_err(|_| wrong()),
    }
}

/// An absolute path, without `..` and with nothing doubled.
pub(super) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let written = text(value)?;
    let path = Path::new(&written);
    if written.starts_with('~') {
        return Err(format!("must be an absolute path; `~` is not expanded: \"{written}\""));
    }
    if !path.is_absolute() {
        return Err(format!("must be an absolute path like \"/data\", not \"{written}\""));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(format!("must be a path without `..`, not \"{written}\""));
    }
    Ok(path.components().collect())
}

/// What stands there, for "not …". Never the text itself unless it is short:
/// it might be a secret in the wrong place.
fn kind_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 24 => format!("\"{text}\""),
        DeValue::String(_) => "this text".into(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
        DeValue::Datetime(_) => "a date".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_rclone_writes_them_and_go_back() {
        for (written, bytes) in [
            ("0", 0),
            ("123", 123),
            ("10M", 10 << 20),
            ("1.5G", 3 << 29),
            ("500KiB", 500 << 10),
            ("2Gi", 2 << 30),
            ("5GB", 5_000_000_000),
            ("10 m", 10 << 20),
        ] {
            assert_eq!(parse_size(written), Ok(bytes), "{written}");
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes), "{written}");
        }
        for bad in ["", "M", "10X", "-1", "1e3", "1..5M", "99999999P"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_read_as_restic_writes_them_and_go_back() {
        for (written, seconds) in [
            ("0", 0.0),
            ("36h", 129_600.0),
            ("2d", 172_800.0),
            ("1h30m", 5_400.0),
            ("500ms", 0.5),
            ("1.5s", 1.5),
        ] {
            let duration = Duration::from_secs_f64(seconds);
            assert_eq!(parse_duration(written), Ok(duration), "{written}");
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration), "{written}");
        }
        for bad in ["", "h", "36", "36 hours", "-1h", "1h-", "99999999999999999999w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
