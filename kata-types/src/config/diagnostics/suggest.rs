//! "Did you mean …?"

/// Edits that still count as a typo.
const MAX_EDITS: usize = 2;

/// The candidate that `name` was probably meant to be: at most two letters dropped, inserted,
/// replaced or swapped, and one in a short name.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut rows = Rows::default();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let edits = rows.edits(name.as_bytes(), candidate.as_bytes())?;
            let allowed = if candidate.len() < 5 { 1 } else { MAX_EDITS };
            // Between equals, a typo is more likely behind the first letter.
            let first_differs = name.as_bytes().first() != candidate.as_bytes().first();
            (edits <= allowed).then_some(((edits, first_differs), candidate))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

/// Three rows of the usual table: the one before the previous, the previous, the current one.
#[derive(Default)]
struct Rows {
    older: Vec<usize>,
    old: Vec<usize>,
    row: Vec<usize>,
}

impl Rows {
    /// Optimal string alignment distance, swapped neighbours counting as one edit; `None` when it
    /// is more than [`MAX_EDITS`].
    fn edits(&mut self, a: &[u8], b: &[u8]) -> Option<usize> {
        if a.len().abs_diff(b.len()) > MAX_EDITS {
            return None;
        }
        self.old.clear();
        self.old.extend(0..=b.len());
        let mut before = None; // the previous byte of `a`
        for (i, &x) in a.iter().enumerate() {
            self.row.clear();
            self.row.push(i + 1);
            let (mut left, mut least_of_row) = (i + 1, i + 1);
            let mut before_y = None;
            for (j, (&y, window)) in b.iter().zip(self.old.windows(2)).enumerate() {
                let &[diagonal, above] = window else { continue };
                let mut least = (above + 1)
                    .min(left + 1)
                    .min(diagonal + usize::from(x != y));
                if before == Some(y) && before_y == Some(x) {
                    let swapped = j.checked_sub(1).and_then(|j| self.older.get(j));
                    least = least.min(swapped.map_or(least, |edits| edits + 1));
                }
                self.row.push(least);
                least_of_row = least_of_row.min(least);
                left = least;
                before_y = Some(y);
            }
            if least_of_row > MAX_EDITS {
                return None;
            }
            before = Some(x);
            std::mem::swap(&mut self.older, &mut self.old);
            std::mem::swap(&mut self.old, &mut self.row);
        }
        self.old.last().copied().filter(|edits| *edits <= MAX_EDITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Section;

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in [
            ("abc", "abc", Some(0)),
            ("abc", "ab", Some(1)),
            ("abc", "abcd", Some(1)),
            ("abc", "axc", Some(1)),
            ("abc", "acb", Some(1)),
            ("abcd", "badc", Some(2)),
            ("abc", "bca", Some(2)),
            ("ca", "abc", None),
            ("abc", "xyz", None),
            ("", "ab", Some(2)),
            ("", "abc", None),
            ("kernel_params", "kernel", None),
        ] {
            let mut rows = Rows::default();
            assert_eq!(rows.edits(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(rows.edits(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn long_names_cost_nothing() {
        let name = "a".repeat(8 << 20);
        assert_eq!(closest(&name, ["kernel"]), None);
    }

    /// One letter dropped, swapped with its neighbour, or inserted.
    fn typos(name: &str) -> Vec<String> {
        let letters: Vec<char> = name.chars().collect();
        let mut typos = Vec::new();
        for at in 0..letters.len() {
            let mut dropped = letters.clone();
            dropped.remove(at);
            let mut inserted = letters.clone();
            inserted.insert(at, ['a', 'q', '_'][at % 3]);
            let mut swapped = letters.clone();
            swapped.swap(at, (at + 1).min(letters.len() - 1));
            typos.extend([dropped, inserted, swapped].map(String::from_iter));
        }
        typos
    }

    #[test]
    fn almost_every_typo_is_understood() {
        let (mut all, mut right) = (0, 0);
        for section in Section::ALL {
            for spec in section.keys() {
                for typo in typos(spec.name) {
                    if section.find(&typo).is_some() {
                        continue; // not a typo any more
                    }
                    all += 1;
                    let names = section.keys().map(|spec| spec.name);
                    right += usize::from(closest(&typo, names) == Some(spec.name));
                }
            }
        }
        assert!(all > 5_000, "{all}");
        assert!(right * 1000 >= all * 990, "{right} of {all}");
    }
}
