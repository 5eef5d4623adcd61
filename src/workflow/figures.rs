//! Numbers for people: thousands separated, bytes in powers of 1024.

use std::time::Duration;

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `1 file`, `1,200 files`.
pub fn files(number: u64) -> String {
    counted(number, "file", "files")
}

/// `512 B`, `3.4 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64;
    let mut unit = "";
    for name in UNITS {
        value /= 1024.0;
        unit = name;
        // 1023.95 would be written as 1024.0.
        if value < 1023.95 {
            break;
        }
    }
    format!("{value:.1} {unit}")
}

/// About how long, in one unit: `40 seconds`, `35 minutes`, `22 hours`, `3 days`.
pub fn about(seconds: f64) -> String {
    let (length, one, many) = match seconds {
        ..90.0 => (1.0, "second", "seconds"),
        90.0..5_400.0 => (60.0, "minute", "minutes"),
        5_400.0..172_800.0 => (3_600.0, "hour", "hours"),
        _ => (86_400.0, "day", "days"),
    };
    counted((seconds / length).round() as u64, one, many)
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_in_one_unit() {
        for (seconds, text) in [
            (0.4, "0 seconds"),
            (1.0, "1 second"),
            (2_100.0, "35 minutes"),
            (79_880.0, "22 hours"),
            (259_000.0, "3 days"),
        ] {
            assert_eq!(about(seconds), text);
        }
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!((files(1), files(2)), ("1 file".into(), "2 files".into()));
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        for (seconds, text) in [
            (0.41, "0.4 s"),
            (59.0, "59 s"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 5 min"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }
}
