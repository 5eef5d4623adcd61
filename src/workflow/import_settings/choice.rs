//! One character out of several, as a glob of `.gitignore`.
//!
//! Python counts characters, `.gitignore` counts bytes: `?` is one byte there, and
//! a name of one Chinese character has three. So what may be any character is
//! spelled as one ASCII byte, or one lead byte with its continuation bytes.

/// A lead byte: all but printable ASCII.
const LEAD: &str = "[! -~]";
/// A continuation byte (0x80 to 0xBF; 0xC2 comes along, and can't be left out).
const CONTINUATION: &str = "[\u{7f}-¿]";
/// More members than this are not worth a list.
const MEMBERS_MAX: u32 = 64;

/// Which characters fit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    ascii: [bool; 128],
    others: Others,
}

/// Characters beyond ASCII.
#[derive(Debug, Clone, PartialEq)]
enum Others {
    All,
    These(Vec<char>),
}

impl Choice {
    /// `?`
    pub(super) fn anything() -> Self {
        Choice { ascii: [true; 128], others: Others::All }
    }

    /// What stands between `[` and `]`.
    ///
    /// # Errors
    /// Why there is no glob for it.
    pub(super) fn of_set(inside: &[char]) -> Result<Self, String> {
        let (is_negated, members) = match inside.split_first() {
            Some(('!', members)) => (true, members),
            _ => (false, inside),
        };
        let mut ascii = [false; 128];
        let mut others = Vec::new();
        for (first, last) in ranges(members) {
            if !last.is_ascii() && last as u32 - first as u32 > MEMBERS_MAX {
                return Err("it has too large a range in brackets".into());
            }
            for character in first..=last {
                match ascii.get_mut(character as usize) {
                    Some(fits) => *fits = true,
                    None => others.push(character),
                }
            }
        }
        if !is_negated && others.is_empty() && !ascii.contains(&true) {
            return Err("its brackets hold nothing".into());
        }
        if !is_negated {
            return Ok(Choice { ascii, others: Others::These(others) });
        }
        if !others.is_empty() {
            return Err("it has [!…] with characters beyond ASCII".into());
        }
        Ok(Choice { ascii: ascii.map(|fits| !fits), others: Others::All })
    }

    /// Whether this ASCII character is one of them.
    pub(super) fn fits(&self, character: char) -> bool {
        self.ascii.get(character as usize).copied().unwrap_or(false)
    }

    /// A glob for all of them but `/`; empty when that is all.
    pub(super) fn glob(&self) -> String {
        let mut ways = self.ascii_ways();
        match &self.others {
            Others::All => {
                ways.extend((1..=3).map(|more| format!("{LEAD}{}", CONTINUATION.repeat(more))));
            }
            Others::These(characters) => ways.extend(characters.iter().map(char::to_string)),
        }
        match &ways[..] {
            [] => String::new(),
            [only] => only.clone(),
            _ => format!("{{{}}}", ways.join(",")),
        }
    }

    fn ascii_ways(&self) -> Vec<String> {
        // These mean something in brackets, by their place.
        let special = |character: char| "]-!^".contains(character);
        let plain = |byte: u8| byte > 0 && self.fits(byte as char) && byte != b'/' && !special(byte as char);
        let mut class = String::new();
        if self.fits(']') {
            class.push(']');
        }
        let mut byte = 0_u8;
        while byte < 128 {
            let start = byte;
            while byte < 128 && plain(byte) {
                byte += 1;
            }
            match byte - start {
                0 => byte += 1,
                1 => class.push(start as char),
                _ => class.extend([start as char, '-', (byte - 1) as char]),
            }
        }
        let mut ways = Vec::new();
        for character in ['!', '^'].into_iter().filter(|&character| self.fits(character)) {
            if class.is_empty() { ways.push(character.to_string()) } else { class.push(character) }
        }
        if self.fits('-') {
            class.push('-');
        }
        if !class.is_empty() {
            ways.push(format!("[{class}]"));
        }
        ways
    }
}

/// `a-z` and single characters. A range that ends before it begins is empty.
fn ranges(members: &[char]) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut position = 0;
    while let Some(&first) = members.get(position) {
        match (members.get(position + 1), members.get(position + 2)) {
            (Some('-'), Some(&last)) => {
                ranges.push((first, last));
                position += 3;
            }
            _ => {
                ranges.push((first, first));
                position += 1;
            }
        }
    }
    ranges.retain(|(first, last)| first <= last);
    ranges
}
