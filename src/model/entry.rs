//! What stands at a path: the observed facts of one file system object.

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
    /// sha256, lower-case hex.
    pub hash: String,
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

    /// Times are equal as far as the engine carries them: to the microsecond.
    pub fn same_time(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::File(a), Entry::File(b)) => {
                a.mtime_ns.div_euclid(1000) == b.mtime_ns.div_euclid(1000)
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
