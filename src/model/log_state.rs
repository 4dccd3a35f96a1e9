//! What is remembered of a pulled log between runs, and the ranges by which it is recognised over there. Pure.
//!
//! Invariant: a state only ever describes bytes that are on disk; a file longer than its state proves nothing about the rest.

use serde::{Deserialize, Serialize};

/// Bytes of one remembered piece.
pub const CHUNK: u64 = 1 << 20;
/// Bytes before the end by which a generation is recognised.
pub const WINDOW: u64 = 1 << 16;

/// The facts of a local file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Facts {
    pub size: u64,
    pub ino: u64,
    pub mtime_ns: i128,
}

/// The durable state of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub schema: u32,
    pub peer: String,
    /// The remote path, in hex: any bytes.
    pub remote: String,
    /// Number of the generation that the live file holds.
    pub generation: u32,
    /// The live file as this program left it.
    pub local: Facts,
    /// sha256 of each whole chunk of it.
    pub chunks: Vec<String>,
    /// And of what comes after the last of them.
    #[serde(default)]
    pub tail: Option<String>,
}

pub const SCHEMA: u32 = 1;

/// A range of bytes: offset and length.
pub type Range = (u64, u64);

/// The last bytes that are held.
pub fn window(held: u64) -> Range {
    let len = held.min(WINDOW);
    (held - len, len)
}

/// The ranges that must be equal over there, the window first. `salt` makes the samples of one run differ from another's.
pub fn ranges(held: u64, salt: u64) -> Vec<Range> {
    if held == 0 {
        return Vec::new();
    }
    let mut all = vec![window(held)];
    if held <= CHUNK {
        // Small enough to compare whole.
        if held > WINDOW {
            all.push((0, held));
        }
        return all;
    }
    all.push((0, CHUNK));
    let whole = held / CHUNK;
    for n in 1..=2_u64 {
        // Any spread will do, as long as it is another one each time.
        let mixed = (salt.wrapping_add(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
        let at = mixed % whole * CHUNK;
        if !all.contains(&(at, CHUNK)) {
            all.push((at, CHUNK));
        }
    }
    all
}

/// `NAME.g0001.20251007T120000Z.1a2b3c4d`
pub fn archive_suffix(generation: u32, stamp: &str, hash: &str) -> String {
    format!(".g{generation:04}.{stamp}.{}", &hash[..hash.len().min(8)])
}

/// What a rotated sibling of a log is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rotated {
    /// How far back: 1 is the youngest.
    pub age: u64,
    pub name: Vec<u8>,
    pub packed: bool,
}

/// The rotated siblings among `names`, youngest first: `NAME.1`, `NAME.2.gz`, and those with a date (`NAME-20251007`).
pub fn rotated(log: &[u8], names: impl IntoIterator<Item = Vec<u8>>) -> Vec<Rotated> {
    let mut numbered = Vec::new();
    let mut dated = Vec::new();
    for name in names {
        let Some(rest) = name.strip_prefix(log) else {
            continue;
        };
        let packed = rest.ends_with(b".gz");
        let rest = rest.strip_suffix(b".gz").unwrap_or(rest);
        let digits = |b: &[u8]| {
            let sound = !b.is_empty() && b.len() <= 14 && b.iter().all(u8::is_ascii_digit);
            sound.then(|| String::from_utf8_lossy(b).parse::<u64>().unwrap_or(0))
        };
        match rest.split_first() {
            Some((b'.', n)) if n.len() <= 3 => {
                if let Some(age) = digits(n) {
                    numbered.push(Rotated { age, name, packed });
                }
            }
            Some((b'-' | b'.', date)) if date.len() >= 8 => {
                let plain: Vec<u8> = date.iter().copied().filter(|b| *b != b'-').collect();
                if let Some(day) = digits(&plain) {
                    dated.push((day, name, packed));
                }
            }
            _ => {}
        }
    }
    numbered.sort();
    dated.sort_by_key(|d| std::cmp::Reverse(d.0));
    let from = numbered.last().map_or(0, |r| r.age);
    let dated = dated
        .into_iter()
        .zip(1..)
        .map(|((_, name, packed), n)| Rotated {
            age: from + n,
            name,
            packed,
        });
    numbered.into_iter().chain(dated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_comes_first_and_nothing_reaches_beyond_the_end() {
        assert_eq!(ranges(0, 1), []);
        assert_eq!(ranges(10, 1), [(0, 10)]);
        assert_eq!(ranges(100_000, 1), [(34_464, 65_536), (0, 100_000)]);
        for salt in 0..200 {
            let held = CHUNK * 7 + 5;
            let all = ranges(held, salt);
            assert_eq!(all[..2], [window(held), (0, CHUNK)]);
            assert!(all.iter().all(|(o, l)| o + l <= held), "{all:?}");
        }
        let starts: std::collections::BTreeSet<u64> = (0..200)
            .flat_map(|salt| ranges(CHUNK * 7, salt))
            .map(|r| r.0)
            .collect();
        assert!(starts.len() >= 7, "every piece is sampled sooner or later");
    }

    #[test]
    fn rotated_siblings_are_ordered_from_the_youngest() {
        let names = [
            "m.log",
            "m.log.2.gz",
            "m.log.1",
            "m.log.g0001.x",
            "m.log-20251007",
            "m.log-20251008.gz",
            "m.logs.1",
            "m.log.old",
        ];
        let found = rotated(b"m.log", names.map(|n| n.as_bytes().to_vec()));
        let named: Vec<(u64, &[u8], bool)> = found
            .iter()
            .map(|r| (r.age, r.name.as_slice(), r.packed))
            .collect();
        assert_eq!(
            named,
            [
                (1, b"m.log.1".as_slice(), false),
                (2, b"m.log.2.gz", true),
                (3, b"m.log-20251008.gz", true),
                (4, b"m.log-20251007", false)
            ]
        );
    }
}
