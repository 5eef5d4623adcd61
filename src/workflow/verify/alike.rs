//! Which of the files that a listing shows alike lies where.
//!
//! A listing shows each byte of a name that is no text as the same sign, so `a\xfe` and
//! `a\xff` are one line in it, twice. Where as many are listed under a line as are known, with the
//! sizes that were sent, that is all a listing can say, and they are good. Where anything is
//! amiss it does not say with which: then each is asked for by its own name.

use super::Verifying;
use super::portions::Portion;
use super::remote::selection_of;
use crate::model::{EntryFlags, EntryKind, TreePath};
use crate::plan::mirror_path;
use crate::transfer::{NameEncoding, Place, Seen, as_listed};
use crate::workflow::halt::Halt;
use crate::workflow::tree_walk::{Next, Visit, walk};
use crate::workflow::way::Way;
use std::collections::BTreeMap;

/// The listed sizes of files by their lines, where the line does not tell the path.
pub(super) type ByLine = BTreeMap<String, Vec<Option<u64>>>;

/// A file or uploaded link that the index knows.
struct Known {
    /// In the source.
    path: TreePath,
    as_link: bool,
    /// `None` for a link.
    sent: Option<u64>,
}

impl Known {
    fn may_have(&self, size: Option<u64>) -> bool {
        self.sent.is_none() || size.is_none() || self.sent == size
    }
}

/// The listed sizes by the paths on the mirror. What is left in `untold` is none of the known files.
pub(super) fn tell_apart(
    verifying: &Verifying<'_>,
    portion: &Portion,
    encoding: NameEncoding,
    untold: &mut ByLine,
    way: &Way<'_>,
) -> Result<BTreeMap<TreePath, Option<u64>>, Halt> {
    let mut told = BTreeMap::new();
    let mut doubtful = Vec::new();
    for (line, known) in known_by_line(verifying, portion, encoding, untold)? {
        let sizes = untold.get(&line).map_or(&[][..], Vec::as_slice);
        match pair_off(&known, sizes) {
            Some(pairs) => {
                told.extend(
                    known.into_iter().map(|known| mirror_path(&known.path, known.as_link)).zip(pairs),
                );
                untold.remove(&line);
            }
            None => doubtful.extend(known.into_iter().map(|known| (line.clone(), known))),
        }
    }
    let asked: Vec<_> = doubtful.iter().map(|(_, known)| (known.path.clone(), known.as_link)).collect();
    if asked.is_empty() {
        return Ok(told);
    }
    let shown = way
        .looking()?
        .look_past_folders(Place::Mirror, &asked)
        .map_err(|failure| Halt::from_failure("looking for files that a listing shows alike", &failure))?;
    for ((line, known), shown) in doubtful.into_iter().zip(shown) {
        let Seen::File(size) = shown else { continue };
        let listed = untold.get_mut(&line).and_then(|sizes| {
            let at = sizes.iter().position(|&listed| listed.is_none_or(|listed| listed == size))?;
            Some(sizes.swap_remove(at))
        });
        // What is there and was not listed is left to those who look for what is missing.
        if let Some(size) = listed {
            told.insert(mirror_path(&known.path, known.as_link), size);
        }
    }
    Ok(told)
}

/// What the index knows under the lines that do not tell a path.
fn known_by_line(
    verifying: &Verifying<'_>,
    portion: &Portion,
    encoding: NameEncoding,
    untold: &ByLine,
) -> Result<BTreeMap<String, Vec<Known>>, Halt> {
    let mut by_line: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    if untold.is_empty() {
        return Ok(by_line);
    }
    walk(&verifying.tree, &selection_of(verifying, portion), &mut |path, visit| {
        verifying.surroundings.halt_if_stopped()?;
        match visit {
            Visit::Enter(_) if !path.is_root() && !portion.reaches_into(path) => return Ok(Next::Past),
            Visit::Entry(entry) if portion.covers(path) => {
                let as_link = entry.flags.contains(EntryFlags::UPLOADED_LINK);
                // No name that cannot be sent was listed.
                let line = encoding.encode(&mirror_path(path, as_link)).map(|line| as_listed(&line));
                if (as_link || entry.kind == EntryKind::File)
                    && let Ok(line) = line
                    && untold.contains_key(&line)
                {
                    let sent = (!as_link).then_some(entry.stamp.size);
                    by_line.entry(line).or_default().push(Known { path: path.clone(), as_link, sent });
                }
            }
            _ => {}
        }
        Ok(Next::Into)
    })?;
    Ok(by_line)
}

/// A listed size for each, in their order, if as many are listed and every one fits.
fn pair_off(known: &[Known], sizes: &[Option<u64>]) -> Option<Vec<Option<u64>>> {
    let mut left = sizes.to_vec();
    let mut pairs = Vec::with_capacity(known.len());
    for known in known {
        // One of the known size first: one of unknown size fits any.
        let exact = left.iter().position(|&size| known.sent.is_some() && size == known.sent);
        let at = exact.or_else(|| left.iter().position(|&size| known.may_have(size)))?;
        pairs.push(left.swap_remove(at));
    }
    left.is_empty().then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(sent: &[Option<u64>]) -> Vec<Known> {
        sent.iter().map(|&sent| Known { path: TreePath::root(), as_link: sent.is_none(), sent }).collect()
    }

    #[test]
    fn as_many_as_are_known_with_the_sizes_that_were_sent_are_good() {
        let three = known(&[Some(3), Some(7), Some(3)]);
        assert_eq!(pair_off(&three, &[Some(7), Some(3), Some(3)]), Some(vec![Some(3), Some(7), Some(3)]));
        assert_eq!(pair_off(&three, &[None, Some(3), Some(3)]), Some(vec![Some(3), None, Some(3)]));
        let amiss: [&[Option<u64>]; 4] =
            [&[Some(3), Some(3)], &[Some(3), Some(7), Some(4)], &[Some(3), Some(7), Some(3), Some(3)], &[]];
        for sizes in amiss {
            assert_eq!(pair_off(&three, sizes), None, "{sizes:?}");
        }
    }
}
