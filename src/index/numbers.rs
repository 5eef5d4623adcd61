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
    let form = shortest_form(numbers, base, bits);
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

fn shortest_form(numbers: &[u64], base: u64, bits: u8) -> u8 {
    if bits <= 8 {
        return bits; // The other two take a byte for each.
    }
    let packed_bytes = (numbers.len() * usize::from(bits)).div_ceil(8);
    let (mut leb_bytes, mut difference_bytes) = (0, 0);
    let mut before = base;
    for &number in numbers {
        leb_bytes += leb_length(number.wrapping_sub(base));
        difference_bytes += leb_length(zigzag(number.wrapping_sub(before)));
        before = number;
    }
    if packed_bytes <= leb_bytes.min(difference_bytes) {
        bits
    } else if leb_bytes <= difference_bytes {
        LEB
    } else {
        DIFFERENCES
    }
}

fn pack(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, bits: u8) {
    let mut gathered: u128 = 0;
    let mut filled = 0;
    for number in numbers {
        gathered |= u128::from(number) << filled;
        filled += u32::from(bits);
        if filled >= 64 {
            out.extend_from_slice(&(gathered as u64).to_le_bytes());
            gathered >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(gathered as u64).to_le_bytes()[..filled.div_ceil(8) as usize]);
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

/// Reads a column of `count` numbers from the beginning of `rest` into `into`,
/// which is cleared first.
pub(super) fn take_numbers(
    rest: &mut Column<'_>,
    count: usize,
    near: u64,
    into: &mut Vec<u64>,
) -> Result<(), Broken> {
    into.clear();
    if count == 0 {
        return Ok(());
    }
    let first = rest.byte()?;
    let base = if first & HAS_BASE == 0 { near } else { rest.delta(near)? };
    match first & !HAS_BASE {
        0 => into.resize(count, base),
        bits @ 1..=64 => {
            let packed = rest.take(count.saturating_mul(bits.into()).div_ceil(8))?;
            unpack(packed, count, base, bits, into);
        }
        LEB => {
            for _ in 0..count {
                into.push(base.wrapping_add(rest.leb()?));
            }
        }
        DIFFERENCES => {
            let mut number = base;
            for _ in 0..count {
                number = rest.delta(number)?;
                into.push(number);
            }
        }
        _ => return Err("a column has a form that this version does not know"),
    }
    Ok(())
}

fn unpack(packed: &[u8], count: usize, base: u64, bits: u8, into: &mut Vec<u64>) {
    let width = usize::from(bits);
    let mask = u64::MAX >> (64 - width);
    into.extend((0..count).map(|at| {
        let (start, shift) = (at * width / 8, at * width % 8);
        let mut number = load(packed, start) >> shift;
        // Up to 64 bits that begin within a byte reach into a ninth one.
        if shift + width > 64 {
            number |= u64::from(packed[start + 8]) << (64 - shift);
        }
        base.wrapping_add(number & mask)
    }));
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
        let mut read = vec![9];
        let mut column = Column(&bytes);
        take_numbers(&mut column, numbers.len(), near, &mut read).unwrap();
        assert_eq!(read, numbers);
        column.finish().unwrap();
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
            let mut read = Vec::new();
            if take_numbers(&mut Column(&bytes), count, 7, &mut read).is_ok() {
                assert_eq!(read.len(), count);
            }
        }
    }

    #[test]
    fn the_shortest_form_is_taken() {
        assert!(round_trip(&[], 5).is_empty());
        assert_eq!(round_trip(&[5; 1000], 5), [0]);
        assert_eq!(round_trip(&[6; 1000], 5), [HAS_BASE, 2]);
        assert_eq!(round_trip(&[3, 2, 1, 0, 0, 0, 0, 0], 0).len(), 3, "two bits each");
        assert_eq!(round_trip(&[0, 0, 0, 0, 0, 1 << 40], 0)[0], LEB);
        let distant: Vec<u64> =
            (0..20).map(|number| number + if number < 10 { 0 } else { 1 << 30 }).collect();
        assert_eq!(round_trip(&distant, 0)[0], DIFFERENCES);
    }
}
