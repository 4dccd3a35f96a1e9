//! Everything there is to know about a tree at one moment, and what differs between two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Link,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permission bits, without the type.
    pub mode: u32,
    pub mtime_ns: i128,
    pub ctime_ns: i128,
    pub inode: u64,
    pub size: u64,
    /// sha256 of a regular file, lower-case hex.
    pub sha256: Option<String>,
    pub target: Option<Vec<u8>>,
}

/// A tree by path relative to its root; the root itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    pub entries: BTreeMap<Vec<u8>, Entry>,
}

impl Snapshot {
    /// Reads the tree. A root that does not exist is an empty snapshot.
    pub fn of(root: &Path) -> Snapshot {
        let mut snapshot = Snapshot::default();
        if root.symlink_metadata().is_ok() {
            snapshot.add(root, Vec::new());
        }
        snapshot
    }

    fn add(&mut self, file: &Path, path: Vec<u8>) {
        let entry = read_entry(file);
        if entry.kind == Kind::Dir {
            for child in fs::read_dir(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())) {
                let child = child.unwrap();
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(child.file_name().as_bytes());
                self.add(&child.path(), below);
            }
        }
        self.entries.insert(path, entry);
    }

    /// The paths, lossy, without the root.
    pub fn paths(&self) -> Vec<String> {
        let named = self.entries.keys().filter(|path| !path.is_empty());
        named.map(|path| show(path)).collect()
    }

    /// One line per difference down to nanosecond, inode and mode; empty when there is none.
    pub fn diff(&self, later: &Snapshot) -> String {
        compare(self, later, |before, after| {
            let mut what = content_difference(before, after);
            note(&mut what, "mode", oct(before.mode), oct(after.mode));
            note(&mut what, "mtime", ns(before.mtime_ns), ns(after.mtime_ns));
            note(&mut what, "ctime", ns(before.ctime_ns), ns(after.ctime_ns));
            note(&mut what, "inode", before.inode, after.inode);
            what
        })
    }

    /// Fails, listing the differences, unless nothing at all has changed since this snapshot.
    #[track_caller]
    pub fn assert_unchanged(&self, root: &Path, why: &str) {
        let diff = self.diff(&Snapshot::of(root));
        assert!(
            diff.is_empty(),
            "{why}: {} has changed\n{diff}",
            root.display()
        );
    }
}

/// What two replicas disagree about as truth: names, types, contents, link targets, permission bits, and the
/// time of files to a microsecond or so. Ignored: the marker, and what `ignore` names: a path with everything
/// below it, or `*suffix` for every name that ends so (and what is below that).
pub fn truth_difference(a: &Snapshot, b: &Snapshot, ignore: &[&str]) -> String {
    let keep = |snapshot: &Snapshot| Snapshot {
        entries: snapshot
            .entries
            .iter()
            .filter(|(path, _)| !path.is_empty() && !ignored(path, ignore))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect(),
    };
    compare(&keep(a), &keep(b), |left, right| {
        let mut what = content_difference(left, right);
        if left.kind != Kind::Link {
            note(
                &mut what,
                "mode",
                oct(left.mode & 0o777),
                oct(right.mode & 0o777),
            );
        }
        // Unison keeps the times of files only.
        // They travel as doubles, cut to the microsecond.
        if left.kind == Kind::File && left.mtime_ns.abs_diff(right.mtime_ns) >= 2_000 {
            let micros = |entry: &Entry| entry.mtime_ns.div_euclid(1000);
            // It carries them in a double and then cuts to microseconds: one up or down is its doing.
            if left.mtime_ns.abs_diff(right.mtime_ns) > 1500 {
                note(&mut what, "mtime (µs)", micros(left), micros(right));
            }
        }
        what
    })
}

fn ignored(path: &[u8], ignore: &[&str]) -> bool {
    let text = String::from_utf8_lossy(path);
    std::iter::once(&".ubos-root").chain(ignore).any(|rule| {
        if let Some(suffix) = rule.strip_prefix('*') {
            return text.split('/').any(|name| name.ends_with(suffix));
        }
        let rule = rule.trim_end_matches('/');
        text == rule
            || text
                .strip_prefix(rule)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

fn compare(a: &Snapshot, b: &Snapshot, differ: impl Fn(&Entry, &Entry) -> Vec<String>) -> String {
    let mut report = String::new();
    for (path, left) in &a.entries {
        let Some(right) = b.entries.get(path) else {
            writeln!(report, "- {} ({:?})", show(path), left.kind).unwrap();
            continue;
        };
        let what = differ(left, right);
        if !what.is_empty() {
            writeln!(report, "~ {}: {}", show(path), what.join(", ")).unwrap();
        }
    }
    for (path, right) in &b.entries {
        if !a.entries.contains_key(path) {
            writeln!(report, "+ {} ({:?})", show(path), right.kind).unwrap();
        }
    }
    report
}

fn content_difference(a: &Entry, b: &Entry) -> Vec<String> {
    let mut what = Vec::new();
    if a.kind != b.kind {
        what.push(format!("type {:?} → {:?}", a.kind, b.kind));
        return what;
    }
    // The size of a directory is its file system's business.
    if a.kind != Kind::Dir {
        note(&mut what, "size", a.size, b.size);
    }
    if a.sha256 != b.sha256 {
        what.push("content".to_owned());
    }
    if a.target != b.target {
        let target = |entry: &Entry| show(entry.target.as_deref().unwrap_or_default());
        note(&mut what, "target", target(a), target(b));
    }
    what
}

fn note<T: PartialEq + std::fmt::Display>(what: &mut Vec<String>, name: &str, a: T, b: T) {
    if a != b {
        what.push(format!("{name} {a} → {b}"));
    }
}

fn read_entry(file: &Path) -> Entry {
    let meta = file
        .symlink_metadata()
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let kind = match meta.file_type() {
        t if t.is_file() => Kind::File,
        t if t.is_dir() => Kind::Dir,
        t if t.is_symlink() => Kind::Link,
        _ => Kind::Other,
    };
    let target = fs::read_link(file).ok();
    Entry {
        kind,
        mode: meta.mode() & 0o7777,
        mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        size: meta.size(),
        sha256: (kind == Kind::File).then(|| digest(file)),
        target: target.map(|t| t.as_os_str().as_bytes().to_vec()),
    }
}

fn nanos(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

fn digest(file: &Path) -> String {
    let mut source = fs::File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let n = source.read(&mut chunk).unwrap();
        if n == 0 {
            break;
        }
        hasher.update(&chunk[..n]);
    }
    hasher
        .finalize()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
}

fn show(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

fn oct(mode: u32) -> String {
    format!("{mode:04o}")
}

fn ns(time: i128) -> String {
    let second = 1_000_000_000;
    format!("{}.{:09}", time.div_euclid(second), time.rem_euclid(second))
}
