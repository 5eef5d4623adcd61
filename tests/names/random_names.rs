//! Names nobody thought of, the same ones every time.

use crate::support::Dice;
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;

/// What names break on, by kind of reason.
const PIECES: &[&str] = &[
    // rclone's own encoding and what it stands for.
    "\u{201B}",
    "\u{FF0E}",
    "\u{FF0F}",
    "\u{240A}",
    "\u{2400}",
    "\u{2421}",
    "\u{2420}",
    "\u{FF3C}",
    "\u{FF1A}",
    "FF",
    "\u{201B}FF",
    // What URLs, globs, lists and comments mean something by.
    "%",
    "%2F",
    "%00",
    "?",
    "#",
    ";",
    "&",
    "+",
    "*",
    "[",
    "]",
    "{",
    "}",
    "\\",
    ":",
    "\"",
    "'",
    "<",
    ">",
    "|",
    "~",
    "$",
    "!",
    "-",
    "- ",
    ".",
    "..",
    // Spaces and line ends.
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\u{A0}",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    // Both normal forms, cases, what changes its length with its case, and what cannot be seen.
    "\u{e9}",
    "e\u{301}",
    "\u{212b}",
    "A\u{30a}",
    "\u{ac00}",
    "\u{1100}\u{1161}",
    "\u{fb01}",
    "\u{130}",
    "\u{131}",
    "\u{df}",
    "SS",
    "\u{1e9e}",
    "\u{3a3}",
    "\u{3c3}",
    "\u{3c2}",
    "\u{feff}",
    "\u{202e}",
    "\u{200d}",
    "\u{fe0f}",
    "\u{1f6a2}",
    "\u{fffd}",
    "备份",
    "照片",
    "ア",
    "カ\u{3099}",
    "ガ",
    // What ends up special somewhere.
    ".partial",
    ".rclonelink",
    ".treeferry-try-1",
    "desktop.ini",
    "CON",
    "nul",
    ".lock",
    "Thumbs.db",
    "-n",
    "--no-traverse",
    "lost+found",
];

/// So many different names, each a legal name on Linux. Some are twins of others: by case, by
/// normal form.
pub(super) fn random_names(count: usize, dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let mut names: Vec<Vec<u8>> = Vec::with_capacity(count);
    while names.len() < count {
        let name = match dice.below(20) {
            0 if !names.is_empty() => twin(&names[names.len() - 1 - dice.below(names.len().min(50))], dice),
            1 => long_name(dice),
            kind => short_name(kind, dice),
        };
        if is_legal(&name) && seen.insert(name.clone()) {
            names.push(name);
        }
    }
    names
}

fn is_legal(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != b"."
        && name != b".."
        && !name.contains(&0)
        && !name.contains(&b'/')
}

fn short_name(kind: usize, dice: &mut Dice) -> Vec<u8> {
    let mut name = Vec::new();
    for _ in 0..=dice.below(7) {
        match (kind + dice.below(3)) % 6 {
            0 | 1 => name.extend_from_slice(dice.pick(PIECES).as_bytes()),
            2 => put(&mut name, scalar(dice)),
            3 => name.push(dice.below(256) as u8),
            4 => name.push(dice.below(33) as u8),
            _ => name.extend_from_slice(&b"aZ0-photos_2024.jpg"[..=dice.below(19).min(18)]),
        }
    }
    name.retain(|byte| *byte != b'/' && *byte != 0);
    name
}

/// Near the 255 bytes that a name may have, of one kind of character.
fn long_name(dice: &mut Dice) -> Vec<u8> {
    let length = 200 + dice.below(56);
    let mut name = short_name(dice.below(6), dice);
    let kind = dice.below(6);
    while name.len() < length {
        match kind {
            0 => name.push(b'a' + dice.below(26) as u8),
            1 => put(&mut name, char::from_u32(0x4e00 + dice.below(0x5000) as u32).unwrap()),
            2 => name.push(1 + dice.below(31) as u8),
            3 => name.push(0x80 + dice.below(0x80) as u8),
            4 => put(&mut name, scalar(dice)),
            _ => name.extend_from_slice(dice.pick(PIECES).as_bytes()),
        }
    }
    while name.len() > 255 {
        name.pop();
    }
    name.retain(|byte| *byte != b'/' && *byte != 0);
    name
}

/// Any character of Unicode, every plane as likely.
fn scalar(dice: &mut Dice) -> char {
    loop {
        let plane = [0, 0, 0, 1, 2, 3, 14, 15, 16][dice.below(9)];
        if let Some(character) = char::from_u32(plane * 0x1_0000 + dice.below(0x1_0000) as u32) {
            return character;
        }
    }
}

/// The same name, to some.
fn twin(name: &[u8], dice: &mut Dice) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(name) else { return name.to_ascii_uppercase() };
    match dice.below(4) {
        0 => text.nfc().collect::<String>().into_bytes(),
        1 => text.nfd().collect::<String>().into_bytes(),
        2 => text.to_uppercase().into_bytes(),
        _ => text.to_lowercase().into_bytes(),
    }
}

fn put(name: &mut Vec<u8>, character: char) {
    name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
