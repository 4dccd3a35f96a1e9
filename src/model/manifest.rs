//! What both sides last had in common: the base that decides who changed what.
//!
//! A text file, one line per path, fields between tabs; later lines win, `-` removes a path and `m` without a value a fact, so a run
//! says what changed in a delta behind it. Both lie beside the engine's archives in every generation, on both hosts, and a digest of
//! both is the generation's proof.
//! Invariant: a line that cannot be understood makes the whole file unusable; a base is never half-read.

use std::collections::BTreeMap;

use super::entry::{ContentHash, Entry, File};
use super::number;
use super::path::RelPath;
use super::sorted::{Sorted, settle};
use super::walk::Walk;

/// The base: entries by path, and facts about the pair (`rules`, `root <site>`, `unison <site>`, …).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub entries: Sorted<Entry>,
    pub facts: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a whole file. `None` when any line is not understood.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut m = Manifest::default();
        if bytes.is_empty() {
            return Some(m);
        }
        let mut entries = Vec::new();
        for line in bytes.strip_suffix(b"\n")?.split(|b| *b == b'\n') {
            let mut f = line.split(|b| *b == b'\t');
            match f.next()? {
                b"-" => {
                    entries.push((path(f.next()?)?, None));
                }
                b"m" => {
                    let key = String::from_utf8(unescape(f.next()?)?).ok()?;
                    match f.next() {
                        Some(value) => {
                            let value = String::from_utf8(unescape(value)?).ok()?;
                            m.facts.insert(key, value);
                        }
                        None => {
                            m.facts.remove(&key);
                        }
                    }
                }
                kind => {
                    let (p, e) = entry(kind, &mut f)?;
                    entries.push((p, Some(e)));
                }
            }
            if f.next().is_some() {
                return None;
            }
        }
        settle(&mut entries);
        let left = entries.into_iter().filter_map(|(p, e)| Some((p, e?)));
        m.entries = Sorted::in_order(left.collect());
        Some(m)
    }

    pub fn files(&self) -> usize {
        let is_file = |e: &&Entry| matches!(e, Entry::File(_));
        self.entries.values().filter(is_file).count()
    }

    /// The lines that turn `self` into `next`.
    pub fn delta(&self, next: &Manifest) -> Vec<u8> {
        let mut out = Vec::new();
        for key in self.facts.keys() {
            if !next.facts.contains_key(key) {
                line(&mut out, &[b"m", &escape(key.as_bytes())]);
            }
        }
        for (key, value) in &next.facts {
            if self.facts.get(key) != Some(value) {
                line(
                    &mut out,
                    &[b"m", &escape(key.as_bytes()), &escape(value.as_bytes())],
                );
            }
        }
        let mut after = Walk::of(&next.entries);
        for path in self.entries.keys() {
            if after.at(path).is_none() {
                line(&mut out, &[b"-", &escape(path.as_bytes())]);
            }
        }
        let mut before = Walk::of(&self.entries);
        for (path, entry) in &next.entries {
            if before.at(path) != Some(entry) {
                write_entry(&mut out, path, entry);
            }
        }
        out
    }
}

/// One line for a path, as [`Manifest::parse`] reads it.
pub fn write_entry(out: &mut Vec<u8>, path: &RelPath, entry: &Entry) {
    let p = escape(path.as_bytes());
    match entry {
        Entry::File(f) => line(
            out,
            &[
                b"f",
                &f.hash.hex(),
                f.size.to_string().as_bytes(),
                format!("{:o}", f.mode).as_bytes(),
                f.mtime_ns.to_string().as_bytes(),
                &p,
            ],
        ),
        Entry::Dir { mode } => line(out, &[b"d", format!("{mode:o}").as_bytes(), &p]),
        Entry::Link { target, mtime_ns } => line(
            out,
            &[b"l", &escape(target), mtime_ns.to_string().as_bytes(), &p],
        ),
    }
}

/// Reads the rest of a line whose first field was `kind`.
pub fn entry<'a>(kind: &[u8], f: &mut impl Iterator<Item = &'a [u8]>) -> Option<(RelPath, Entry)> {
    let entry = match kind {
        b"f" => {
            let hash = ContentHash::parse(f.next()?)?;
            Entry::File(File {
                hash,
                size: number::unsigned(f.next()?)?,
                mode: number::octal(f.next()?)?,
                mtime_ns: number::signed(f.next()?)?,
            })
        }
        b"d" => Entry::Dir {
            mode: number::octal(f.next()?)?,
        },
        b"l" => Entry::Link {
            target: unescape(f.next()?)?,
            mtime_ns: number::signed(f.next()?)?,
        },
        _ => return None,
    };
    Some((path(f.next()?)?, entry))
}

fn line(out: &mut Vec<u8>, fields: &[&[u8]]) {
    for (i, f) in fields.iter().enumerate() {
        if i > 0 {
            out.push(b'\t');
        }
        out.extend_from_slice(f);
    }
    out.push(b'\n');
}

/// A path as [`escape`] wrote it; most need nothing undone.
pub fn path(bytes: &[u8]) -> Option<RelPath> {
    match bytes.contains(&b'\\') {
        true => RelPath::new(unescape(bytes)?),
        false => RelPath::new(bytes),
    }
}

/// Bytes that fit into one field of one line.
pub fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for b in bytes {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b => out.push(*b),
        }
    }
    out
}

pub fn unescape(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut it = bytes.iter();
    while let Some(b) = it.next() {
        match b {
            b'\\' => out.push(match it.next()? {
                b'\\' => b'\\',
                b't' => b'\t',
                b'n' => b'\n',
                _ => return None,
            }),
            b => out.push(*b),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            (0u64..9, 0u32..0o1000, any::<i64>()).prop_map(|(size, mode, t)| Entry::File(File {
                size,
                mode,
                mtime_ns: i128::from(t),
                hash: [size as u8; 32].into()
            })),
            (0u32..0o1000).prop_map(|mode| Entry::Dir { mode }),
            any::<Vec<u8>>().prop_map(|target| Entry::Link {
                target,
                mtime_ns: 5
            }),
        ]
    }

    fn some_manifest() -> impl Strategy<Value = Manifest> {
        let name = "[a-c\\\\\t\n é]{1,3}";
        let facts = proptest::collection::btree_map("[a-c\t]{1,2}", "[x\t\n]{0,2}", 0..4);
        let entries = proptest::collection::btree_map(name, some_entry(), 0..12);
        (entries, facts).prop_map(|(m, facts)| Manifest {
            entries: m
                .into_iter()
                .filter_map(|(k, v)| Some((RelPath::new(k)?, v)))
                .collect(),
            facts,
        })
    }

    proptest! {
        #[test]
        fn a_delta_turns_one_base_into_the_next(a in some_manifest(), b in some_manifest()) {
            let mut bytes = Manifest::default().delta(&a);
            prop_assert_eq!(&Manifest::parse(&bytes).unwrap(), &a);
            bytes.extend(a.delta(&b));
            prop_assert_eq!(Manifest::parse(&bytes).unwrap(), b);
        }

        #[test]
        fn damage_is_noticed_or_harmless_but_never_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = Manifest::parse(&bytes);
        }
    }

    #[test]
    fn a_cut_file_is_not_read() {
        assert!(Manifest::parse(b"d\t755\ta").is_none());
        assert!(Manifest::parse(b"q\t755\ta\n").is_none());
        assert!(Manifest::parse(b"d\t755\t../a\n").is_none());
    }

    #[test]
    fn a_fact_that_is_no_longer_true_is_forgotten() {
        let mut old = Manifest::default();
        old.facts.insert("root mac".into(), "1:2".into());
        let mut bytes = Manifest::default().delta(&old);
        bytes.extend(old.delta(&Manifest::default()));
        assert_eq!(Manifest::parse(&bytes).unwrap(), Manifest::default());
    }
}
