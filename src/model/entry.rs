//! What stands at a path: the observed facts of one file system object.

use std::fmt;

/// How far a time may be off after the engine carried it. It goes through a double (some 0.24 µs apart until 2106) and is then
/// cut to whole microseconds, so `.800000` may arrive as `.799999`: comparing cut values would call half of all whole microseconds wrong.
const ENGINE_TIME_NS: u128 = 1_500;

/// sha256. Held as it is: a tree of many files has several for each of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Reads what [`ContentHash::hex`] and the programs that make such sums write.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        let mut out = [0; 32];
        let (pairs, []) = hex.as_chunks::<2>() else {
            return None;
        };
        if pairs.len() != out.len() {
            return None;
        }
        for (byte, pair) in out.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(out))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// In lower-case digits, as bytes of a line.
    pub fn hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [0; 64];
        for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15].map(|n| DIGITS[usize::from(n)]);
        }
        out
    }

    /// Whether a document that names a hash means this one.
    pub fn is(&self, named: Option<&str>) -> bool {
        named.is_some_and(|hex| Self::parse(hex.as_bytes()) == Some(*self))
    }
}

impl From<[u8; 32]> for ContentHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.hex()))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A short name instead of a sum: tests ask whether two are the same, not what was hashed.
#[cfg(test)]
impl From<&str> for ContentHash {
    fn from(name: &str) -> Self {
        let mut out = [0; 32];
        out[..name.len()].copy_from_slice(name.as_bytes());
        Self(out)
    }
}

/// A file system object as far as it can be synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    File(File),
    Dir { mode: u32 },
    Link { target: Vec<u8>, mtime_ns: i128 },
}

/// A regular file. Content is known by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub size: u64,
    /// Permission bits (`0o777` and below: set-id bits never travel).
    pub mode: u32,
    pub mtime_ns: i128,
    pub hash: ContentHash,
}

impl Entry {
    pub fn bytes(&self) -> u64 {
        match self {
            Entry::File(f) => f.size,
            _ => 0,
        }
    }

    pub fn is_dir(&self) -> bool {
        matches!(self, Entry::Dir { .. })
    }

    pub fn mtime_ns(&self) -> Option<i128> {
        match self {
            Entry::File(f) => Some(f.mtime_ns),
            Entry::Link { mtime_ns, .. } => Some(*mtime_ns),
            Entry::Dir { .. } => None,
        }
    }

    pub fn mode(&self) -> Option<u32> {
        match self {
            Entry::File(f) => Some(f.mode),
            Entry::Dir { mode } => Some(*mode),
            Entry::Link { .. } => None,
        }
    }

    /// `file`, `directory` or `link`.
    pub fn word(&self) -> &'static str {
        match self {
            Entry::File(_) => "file",
            Entry::Dir { .. } => "directory",
            Entry::Link { .. } => "link",
        }
    }

    /// Same type and same content (a directory's content is not its own).
    pub fn same_content(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::File(a), Entry::File(b)) => a.hash == b.hash && a.size == b.size,
            (Entry::Dir { .. }, Entry::Dir { .. }) => true,
            (Entry::Link { target: a, .. }, Entry::Link { target: b, .. }) => a == b,
            _ => false,
        }
    }

    /// Times are equal as far as the engine carries them (see [`ENGINE_TIME_NS`]).
    pub fn same_time(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::File(a), Entry::File(b)) => a.mtime_ns.abs_diff(b.mtime_ns) <= ENGINE_TIME_NS,
            _ => true,
        }
    }

    /// Whether the engine, finding equal content, would see no difference between the times: whole seconds that differ by at
    /// most one, or by an hour give or take one (it thinks of daylight saving). Such a time is never carried by itself.
    pub fn engine_sees_same_time(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::File(a), Entry::File(b)) => {
                let seconds = |f: &File| f.mtime_ns / 1_000_000_000;
                let apart = seconds(a).abs_diff(seconds(b));
                apart <= 1 || apart.abs_diff(3600) <= 1
            }
            _ => true,
        }
    }

    /// Equal in everything that a sync carries.
    pub fn same(&self, other: &Entry) -> bool {
        self.same_content(other) && self.same_time(other) && self.mode() == other.mode()
    }

    /// What a plan's identity rests on.
    pub fn meaning(&self) -> String {
        match self {
            Entry::File(f) => format!("f {:o} {} {} {}", f.mode, f.mtime_ns, f.size, f.hash),
            Entry::Dir { mode } => format!("d {mode:o}"),
            Entry::Link { target, .. } => format!("l {}", super::text::neutral_bytes(target)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written_and_nothing_else_is_one() {
        let text = "00ff10a5".repeat(8);
        let hash = ContentHash::parse(text.as_bytes()).unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(
            ContentHash::parse(text.to_ascii_uppercase().as_bytes()),
            Some(hash)
        );
        assert!(hash.is(Some(&text)) && !hash.is(Some(&text[2..])) && !hash.is(None));
        for bad in [&text[1..], &text[2..], &text.replace("f1", "+1"), ""] {
            assert_eq!(ContentHash::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_time_that_went_through_the_engine_is_still_the_same_time() {
        let file = |mtime_ns| {
            Entry::File(File {
                size: 0,
                mode: 0o644,
                mtime_ns,
                hash: "".into(),
            })
        };
        let given = 1_700_000_000_800_000_000;
        assert!(file(given).same_time(&file(1_700_000_000_799_999_000)));
        assert!(file(given + 999).same_time(&file(given)));
        assert!(!file(given).same_time(&file(given + 2_000)));
    }

    #[test]
    fn the_engine_does_not_tell_a_second_or_an_hour_apart() {
        let file = |tenths: i128| {
            Entry::File(File {
                size: 0,
                mode: 0o644,
                mtime_ns: (17_000_000_000 + tenths) * 100_000_000,
                hash: "".into(),
            })
        };
        let blind = |tenths| file(0).engine_sees_same_time(&file(tenths));
        for tenths in [0, 4, 19, -10, 35_990, 36_000, 36_019, -36_010] {
            assert!(blind(tenths), "{tenths}");
        }
        for tenths in [20, -11, 35_989, 36_020, 72_000] {
            assert!(!blind(tenths), "{tenths}");
        }
    }
}
