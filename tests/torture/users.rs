//! What users do to a tree, as far as it can be done.
//!
//! Invariant: a deed that has no object (a file that is not there) does nothing, so that a shortened script still means something.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::model::is_below;
use super::script::{Deed, How, Path, When};
use crate::lab::{mtime_ns, set_mtime};
use crate::pair::T;

/// A tree, and those that may hold the same paths.
pub struct Ground {
    pub root: PathBuf,
    pub others: Vec<PathBuf>,
}

fn under(root: &std::path::Path, path: &Path) -> PathBuf {
    root.join(OsStr::from_bytes(&path.0))
}

impl Ground {
    fn at(&self, path: &Path) -> PathBuf {
        under(&self.root, path)
    }

    fn time(&self, path: &Path, when: When) -> i128 {
        let of = |at: PathBuf| at.symlink_metadata().ok().map(|_| mtime_ns(&at));
        match when {
            When::At(ns) => T + i128::from(ns),
            When::Now(ns) => super::runs::now() + i128::from(ns),
            When::Other(ns) => {
                let mut all = self.others.iter().filter_map(|r| of(under(r, path)));
                all.next().unwrap_or_else(super::runs::now) + i128::from(ns)
            }
            When::Was(ns) => of(self.at(path)).unwrap_or_else(super::runs::now) + i128::from(ns),
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        let meta = self.at(path).symlink_metadata();
        meta.is_ok_and(|m| m.is_dir())
    }

    fn is_there(&self, path: &Path) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    fn clear(&self, path: &Path) {
        let at = self.at(path);
        match at.symlink_metadata() {
            Ok(m) if m.is_dir() => fs::remove_dir_all(at).unwrap(),
            Ok(_) => fs::remove_file(at).unwrap(),
            Err(_) => {}
        }
    }

    /// Makes what lies on the way to a path directories.
    fn way(&self, path: &Path) {
        for (n, _) in path.0.iter().enumerate().filter(|(_, b)| **b == b'/') {
            let dir = Path(path.0[..n].to_vec());
            if !self.is_dir(&dir) {
                self.clear(&dir);
                fs::create_dir(self.at(&dir)).unwrap();
            }
        }
    }

    pub fn deed(&self, deed: &Deed) {
        match deed {
            Deed::Write {
                path,
                tag,
                len,
                how,
                when,
            } => self.write(path, &content(*tag, *len), *how, *when),
            Deed::Remove { path } => self.clear(path),
            Deed::Mkdir { path } => {
                self.way(path);
                if !self.is_dir(path) {
                    self.clear(path);
                    fs::create_dir(self.at(path)).unwrap();
                }
            }
            Deed::Link { path, tag } => {
                self.way(path);
                self.clear(path);
                std::os::unix::fs::symlink(format!("no where {tag}"), self.at(path)).unwrap();
            }
            Deed::Rename { path, to } => self.rename(path, to),
            Deed::Swap { path, with } => {
                let inside = |a: &Path, b: &Path| is_below(&a.0, &b.0);
                if inside(path, with) || inside(with, path) || !self.is_there(with) {
                    return;
                }
                let aside = Path(b"swap.tmp".to_vec());
                self.rename(path, &aside);
                self.rename(with, path);
                self.rename(&aside, with);
            }
            Deed::Chmod { path, mode } => {
                let at = self.at(path);
                let set =
                    |mode| fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
                match at.symlink_metadata() {
                    // Who may not enter a directory is another story.
                    Ok(m) if m.is_dir() => set(mode | 0o700),
                    Ok(m) if m.is_file() => set(*mode),
                    _ => {}
                }
            }
            Deed::Touch { path, when } => {
                if self.is_there(path) {
                    set_mtime(&self.at(path), self.time(path, *when));
                }
            }
        }
    }

    fn rename(&self, path: &Path, to: &Path) {
        if path == to || is_below(&to.0, &path.0) || !self.is_there(path) {
            return;
        }
        // Out of the way first: making room for the new name may take the old one away.
        let aside = Path(b"aside.tmp".to_vec());
        fs::rename(self.at(path), self.at(&aside)).unwrap();
        self.way(to);
        self.clear(to);
        fs::rename(self.at(&aside), self.at(to)).unwrap();
    }

    fn write(&self, path: &Path, text: &[u8], how: How, when: When) {
        let ns = self.time(path, when);
        self.way(path);
        let at = self.at(path);
        if !at.symlink_metadata().is_ok_and(|m| m.is_file()) {
            self.clear(path);
        }
        match how {
            How::Append if at.exists() => {
                let mut old = fs::read(&at).unwrap();
                // Bounded, however often the dice say so.
                old.truncate(1 << 17);
                fs::write(&at, [&old, text].concat()).unwrap();
            }
            How::Rename => {
                let aside = self.root.join("aside.tmp");
                fs::write(&aside, text).unwrap();
                fs::rename(aside, &at).unwrap();
            }
            _ => fs::write(&at, text).unwrap(),
        }
        set_mtime(&at, ns);
    }
}

/// Content that says whose it is; of equal length for many tags.
fn content(tag: u32, len: usize) -> Vec<u8> {
    if len == 0 {
        return Vec::new();
    }
    let mut text = format!("value {tag:08}\n").into_bytes();
    text.resize(len.max(text.len()), b'.');
    text
}

/// Paths that a deed may change.
pub fn touched(deed: &Deed) -> Vec<&Path> {
    match deed {
        Deed::Write { path, .. }
        | Deed::Remove { path }
        | Deed::Mkdir { path }
        | Deed::Link { path, .. }
        | Deed::Chmod { path, .. }
        | Deed::Touch { path, .. } => vec![path],
        Deed::Rename { path, to } => vec![path, to],
        Deed::Swap { path, with } => vec![path, with],
    }
}
