//! A column of numbers in the shortest of three forms.
//!
//! Inodes and times of one directory lie close together, sizes do not. Tried:
//! LEB128 differences alone cost 3 to 4 bytes more per entry.
//!
//! The first byte of a column says the form: `0..=64` is a width in bits, every
//! number is packed as its distance from a base, lowest bit first; 65 is LEB128
//! of that distance; 66 is LEB128 of the zigzag difference to the number before
//! (the first: to the base). With bit 7 set, the base follows as a zigzag
//! LEB128 difference to `near`, which the reader knows; otherwise it is `near`.
//! A column without numbers has no bytes at all.

use crate::index::pack::{Broken, Column, put_delta, put_leb};

const LEB: u8 = 65;
const DIFFERENCES: u8 = 66;
const HAS_BASE: u8 = 0x80;

/// Appends the column. Numbers wrap: signed ones come as their bits.
pub(super) fn put_numbers(out: &mut Vec<u8>, numbers: &[u64], near: u64) {
    // Signed distances, so that negative times do not look huge.
    let distance = |number: u64| number.wrapping_sub(near) as i64;
    let Some(least) = numbers.iter().map(|&number| distance(number)).min() else { return };
    let most = numbers.iter().map(|&number| distance(number)).max().unwrap_or(least);
    let least = if least >= 0 && width(least.abs_diff(most)) == width(most as u64) { 0 } else { least };
    let base = near.wrapping_add(least as u64);

    let bits = width(most.abs_diff(least));
    let packed_bytes = (numbers.len() * usize::from(bits)).div_ceil(8);
    let leb_bytes: usize = numbers.iter().map(|number| leb_length(number.wrapping_sub(base))).sum();
    let mut before = base;
    let difference_bytes: usize = numbers
        .iter()
        .map(|&number| leb_length(zigzag(number.wrapping_sub(std::mem::replace(&mut before, number)))))
        .sum();
    let form = if packed_bytes <= leb_bytes.min(difference_bytes) {
        bits
    } else if leb_bytes <= difference_bytes {
        LEB
    } else {
        DIFFERENCES
    };
    if base == near {
        out.push(form);
    } else {
        out.push(form | HAS_BASE);
        put_delta(out, base, near);
    }
    match form {
        LEB => numbers.iter().for_each(|number| put_leb(out, number.wrapping_sub(base))),
        DIFFERENCES => {
            numbers.iter().fold(base, |before, &number| {
                put_delta(out, number, before);
                number
            });
        }
        bits => pack(out, numbers.iter().map(|number| number.wrapping_sub(base)), bits),
    }
}

fn pack(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, bits: u8) {
    let mut gathered: u128 = 0;
    let mut filled = 0;
    for number in numbers {
        gathered |= u128::from(number) << filled;
        filled += u32::from(bits);
        while filled >= 8 {
            out.push(gathered as u8);
            gathered >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(gathered as u8);
    }
}

fn width(number: u64) -> u8 {
    (64 - number.leading_zeros()) as u8
}

fn leb_length(number: u64) -> usize {
    usize::from(width(number).max(1)).div_ceil(7)
}

fn zigzag(difference: u64) -> u64 {
    let signed = difference as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

/// Gives the numbers of a column one by one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'a> {
    form: u8,
    base: u64,
    /// The packed numbers, or nothing.
    packed: &'a [u8],
    bit: usize,
    mask: u64,
    /// What is left of the other forms.
    rest: Column<'a>,
}

impl<'a> Numbers<'a> {
    /// Takes a column of `count` numbers off `column`, as far as its length is
    /// known; the two LEB forms are read where they lie, so they must come last
    /// or in a slice of their own.
    pub(super) fn take(column: &'a [u8], count: usize, near: u64) -> Result<Self, Broken> {
        let mut rest = Column(column);
        let first = if count == 0 { 0 } else { rest.byte()? };
        let form = first & !HAS_BASE;
        let base = if first & HAS_BASE == 0 { near } else { rest.delta(near)? };
        let mut packed: &[u8] = &[];
        match form {
            0..=64 => {
                let bits = count.checked_mul(form.into()).ok_or("a column is too long")?;
                packed = rest.take(bits.div_ceil(8))?;
                rest.finish()?;
            }
            LEB | DIFFERENCES => {}
            _ => return Err("a column has a form that this version does not know"),
        }
        let mask = if form >= 64 { u64::MAX } else { (1 << form) - 1 };
        Ok(Numbers { form, base, packed, bit: 0, mask, rest })
    }

    /// The next one. Not to be called more often than there are numbers.
    #[inline]
    pub(super) fn next(&mut self) -> Result<u64, Broken> {
        match self.form {
            0 => Ok(self.base),
            1..=64 => {
                let number = self.unpack()?;
                Ok(self.base.wrapping_add(number))
            }
            LEB => Ok(self.base.wrapping_add(self.rest.leb()?)),
            _ => {
                self.base = self.rest.delta(self.base)?;
                Ok(self.base)
            }
        }
    }

    #[inline]
    fn unpack(&mut self) -> Result<u64, Broken> {
        let start = self.bit / 8;
        let shift = self.bit % 8;
        self.bit += usize::from(self.form);
        if self.bit > self.packed.len() * 8 {
            return Err("a column ends too early");
        }
        // Up to 64 bits that begin within a byte reach into a ninth one.
        let low = load(self.packed, start) >> shift;
        let high = if shift + usize::from(self.form) > 64 {
            u64::from(self.packed[start + 8]) << (64 - shift)
        } else {
            0
        };
        Ok((low | high) & self.mask)
    }

    /// All numbers were taken, and nothing is left.
    pub(super) fn finish(self) -> Result<(), Broken> {
        self.rest.finish()
    }
}

#[inline]
fn load(bytes: &[u8], start: usize) -> u64 {
    match bytes.get(start..start + 8).and_then(|eight| eight.first_chunk::<8>()) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            let rest = &bytes[start..];
            eight[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(eight)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[u64], near: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_numbers(&mut bytes, numbers, near);
        let mut reader = Numbers::take(&bytes, numbers.len(), near).unwrap();
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(reader.next(), Ok(*number), "number {at} of {numbers:?}");
        }
        reader.finish().unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn numbers_read_back(
            bits in 0u32..=64,
            numbers in prop::collection::vec(any::<u64>(), 0..50),
            near in any::<u64>(),
        ) {
            let narrow: Vec<u64> = numbers.iter().map(|number| number.checked_shr(64 - bits).unwrap_or(0)).collect();
            round_trip(&narrow, near);
            round_trip(&narrow, 0);
            let close: Vec<u64> = narrow.iter().map(|number| number.wrapping_add(near)).collect();
            round_trip(&close, near);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..20) {
            if let Ok(mut reader) = Numbers::take(&bytes, count, 7) {
                for _ in 0..count {
                    let _ = reader.next();
                }
            }
        }
    }

    #[test]
    fn the_shortest_form_is_taken() {
        assert_eq!(round_trip(&[], 5), []);
        assert_eq!(round_trip(&[5; 1000], 5), [0]);
        assert_eq!(round_trip(&[6; 1000], 5), [HAS_BASE, 2]);
        assert_eq!(round_trip(&[3, 2, 1, 0, 0, 0, 0, 0], 0).len(), 3, "two bits each");
        assert_eq!(round_trip(&[0, 0, 0, 0, 0, 1 << 40], 0)[0], LEB);
        let distant: Vec<u64> =
            (0..20).map(|number| number + if number < 10 { 0 } else { 1 << 30 }).collect();
        assert_eq!(round_trip(&distant, 0)[0], DIFFERENCES);
    }
}
