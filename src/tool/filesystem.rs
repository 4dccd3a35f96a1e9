//! How a file system keeps names: whether it tells upper from lower case, and what it makes of accents. Pure.
//!
//! Invariant: what is not known is called unknown; only what was seen, or what a kind of file system always does, is said.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accents {
    /// Every byte as it was given.
    Kept,
    /// As given, but found in either form.
    Either,
    /// Taken apart into letter and accent.
    Apart,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    kind: String,
    /// Whether `a` and `A` are two names; `None` when nobody knows.
    case: Option<bool>,
    accents: Accents,
}

impl Names {
    /// From the kind as `stat` or `mount` calls it, and what the marker under another case showed (`exact`, `blind`).
    pub fn of(kind: &str, seen: Option<&str>) -> Self {
        let kind: String = kind.chars().filter(|c| !c.is_control()).take(24).collect();
        let (case, accents) = match kind.to_ascii_lowercase().as_str() {
            "ext2/ext3" | "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "tmpfs" | "overlay"
            | "overlayfs" | "f2fs" | "nfs" | "ramfs" => (None, Accents::Kept),
            "apfs" => (None, Accents::Either),
            "hfs" | "hfs+" => (None, Accents::Apart),
            "msdos" | "vfat" | "exfat" | "fuseblk" | "ntfs" => (Some(false), Accents::Kept),
            _ => (None, Accents::Unknown),
        };
        let seen = match seen {
            Some("exact") => Some(true),
            Some("blind") => Some(false),
            _ => None,
        };
        Self {
            kind,
            case: seen.or(case),
            accents,
        }
    }

    /// What two hosts that keep names differently come to; `None`: nothing.
    pub fn trouble(a: (&str, &Names), b: (&str, &Names)) -> Option<String> {
        let mut all = Vec::new();
        let exact = |n: &Names| n.case == Some(true);
        let blind = |n: &Names| n.case == Some(false);
        for ((x, nx), (y, ny)) in [(a, b), (b, a)] {
            if exact(nx) && blind(ny) {
                all.push(format!(
                    "{x} tells `a` from `A` and {y} does not: of two names that differ only in that, one cannot arrive there"
                ));
            }
            if nx.accents == Accents::Kept && matches!(ny.accents, Accents::Either | Accents::Apart)
            {
                all.push(format!(
                    "{x} keeps the bytes of a name and {y} finds either form of an accent: two names that differ only in that are one there"
                ));
            }
        }
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let case = match self.case {
            Some(true) => "tells upper from lower case",
            Some(false) => "does not tell upper from lower case",
            None => "nobody knows whether it tells upper from lower case",
        };
        let accents = match self.accents {
            Accents::Kept => "keeps accents as they are",
            Accents::Either => "finds either form of an accent",
            Accents::Apart => "takes accents apart",
            Accents::Unknown => "what it makes of accents is not known",
        };
        let kind = if self.kind.is_empty() {
            "unknown"
        } else {
            &self.kind
        };
        write!(f, "{kind} {case} and {accents}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_counts_more_than_the_kind_and_differences_are_told() {
        let (ext, apfs) = (
            Names::of("ext2/ext3", Some("exact")),
            Names::of("apfs", Some("blind")),
        );
        assert_eq!(Names::trouble(("a", &ext), ("b", &ext)), None);
        assert_eq!(Names::trouble(("a", &apfs), ("b", &apfs)), None);
        let told = Names::trouble(("mac", &apfs), ("balaur", &ext)).unwrap();
        assert!(
            told.contains("balaur tells `a` from `A` and mac does not"),
            "{told}"
        );
        assert!(told.contains("accent"), "{told}");
        let exact = Names::of("apfs", Some("exact"));
        let told = Names::trouble(("mac", &exact), ("balaur", &ext)).unwrap();
        assert!(!told.contains("`A`") && told.contains("accent"), "{told}");
        assert_eq!(
            Names::trouble(("a", &Names::of("", None)), ("b", &ext)),
            None
        );
        assert!(
            Names::of("vfat", None)
                .to_string()
                .contains("does not tell")
        );
    }
}
