//! Tables of the language's names: look-up in any case, and the nearest name to one that doesn't exist. No IO.

use std::cmp::Ordering;

/// Longer names than this have no similar name worth looking for.
const MAX_SUGGESTED: usize = 40;

/// A table of names with their meanings, sorted by length and then in lower case.
#[derive(Debug)]
pub(crate) struct Names<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Names<T> {
    /// What a name means, whatever its case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<T> {
        let at = self
            .0
            .binary_search_by(|(known, _)| compare(known.as_bytes(), name))
            .ok()?;
        self.0.get(at).map(|(_, meaning)| *meaning)
    }

    /// The known name that `name` is most likely a slip of.
    pub(crate) fn nearest(&self, name: &[u8]) -> Option<&'static str> {
        if name.len() > MAX_SUGGESTED {
            return None;
        }
        let furthest = match name.len() {
            0..=3 => 1,
            4..=8 => 2,
            _ => 3,
        };
        let near = self
            .0
            .iter()
            .filter(|(known, _)| known.len().abs_diff(name.len()) <= furthest);
        let ranked = near.map(|(known, _)| (distance(known.as_bytes(), name), *known));
        ranked
            .filter(|(distance, _)| *distance <= furthest)
            .min()
            .map(|(_, known)| known)
    }
}

fn compare(known: &[u8], name: &[u8]) -> Ordering {
    known.len().cmp(&name.len()).then_with(|| {
        let known = known.iter().map(u8::to_ascii_lowercase);
        known.cmp(name.iter().map(u8::to_ascii_lowercase))
    })
}

/// How many bytes must be inserted, removed, replaced or swapped with their neighbour to get from one name to the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j) + usize::from(!x.eq_ignore_ascii_case(y));
            let swapped = match (
                i.checked_sub(1).and_then(|i| a.get(i)),
                j.checked_sub(1).and_then(|j| b.get(j)),
            ) {
                (Some(p), Some(q)) if p.eq_ignore_ascii_case(y) && q.eq_ignore_ascii_case(x) => {
                    at(&before_last, j - 1) + 1
                }
                _ => usize::MAX,
            };
            row.push(replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1).min(swapped));
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

/// Sorts a table as [`Names`] needs it, when the crate is compiled.
#[allow(
    clippy::indexing_slicing,
    reason = "runs in the compiler only, which refuses an index out of bounds"
)]
pub(crate) const fn sorted<T: Copy, const N: usize>(list: &[(&'static str, T)]) -> [(&'static str, T); N] {
    let mut table = [list[0]; N];
    let mut filled = 0;
    while filled < N {
        let mut at = filled;
        while at > 0 && precedes(list[filled].0.as_bytes(), table[at - 1].0.as_bytes()) {
            table[at] = table[at - 1];
            at -= 1;
        }
        table[at] = list[filled];
        filled += 1;
    }
    table
}

#[allow(
    clippy::indexing_slicing,
    reason = "runs in the compiler only, which refuses an index out of bounds"
)]
const fn precedes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return a.len() < b.len();
    }
    let mut at = 0;
    while at < a.len() {
        let (x, y) = (a[at].to_ascii_lowercase(), b[at].to_ascii_lowercase());
        if x != y {
            return x < y;
        }
        at += 1;
    }
    false
}

/// An enum of names: each variant with the spelling that is printed, and those that are also read.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $enum:ident { $($variant:ident = $name:literal $(| $alias:literal)*,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl $enum {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub(crate) const NAMES: $crate::names::Names<Self> = {
                const LIST: &[(&str, $enum)] = &[$(($name, $enum::$variant), $(($alias, $enum::$variant),)*)+];
                static SORTED: [(&str, $enum); LIST.len()] = $crate::names::sorted(LIST);
                $crate::names::Names(&SORTED)
            };

            /// The name as the language's manuals write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of this name, in any case.
            pub fn parse(name: &[u8]) -> Option<Self> {
                Self::NAMES.find(name)
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use vocabulary;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        let cases = [
            ("", "", 0),
            ("rx", "rx", 0),
            ("RX", "rx", 0),
            ("rx", "rz", 1),
            ("phrase", "phase", 1),
            ("dney", "deny", 1),
        ];
        for (a, b, expected) in cases {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
    }
}
