//! What stands at a path: the observed facts of one file system object.

/// How far a time may be off after the engine carried it. It goes through a double (some 0.24 µs apart until 2106) and is then
/// cut to whole microseconds, so `.800000` may arrive as `.799999`: comparing cut values would call half of all whole microseconds wrong.
const ENGINE_TIME_NS: u128 = 1_500;

/// sha256, lower-case hex. Shared: what is remembered, seen and planned is mostly the same.
pub type ContentHash = std::sync::Arc<str>;

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
