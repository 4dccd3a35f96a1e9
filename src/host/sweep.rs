//! The list of a tree on this machine, or of some paths in it, as `find` gives it of another: the same facts, without a program to
//! start and a text to take apart.
//!
//! Invariants: no link is followed, below the root; what could not be read is named and never taken for absent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::model::path::RelPath;
use crate::model::sorted::settle;
use crate::model::text::hex;
use crate::model::tree::{Stat, What};

/// Each level below the root keeps a directory open.
const DEEPEST: usize = 200;

/// What stands below a root, in the order of the paths.
#[derive(Debug, Default, PartialEq)]
pub struct Swept {
    pub stats: Vec<(RelPath, Stat)>,
    pub unreadable: Vec<RelPath>,
    /// Whether nothing was missed: neither unreadable nor gone while it was looked at.
    pub is_whole: bool,
}

impl Swept {
    /// Equal ones are equal trees; none, when something was missed.
    pub fn digest(&self) -> Option<String> {
        if !self.is_whole {
            return None;
        }
        let mut sum = Sha256::new();
        let mut facts = Vec::new();
        for (path, s) in &self.stats {
            facts.clear();
            let (kind, target) = match &s.what {
                What::File => (b'f', &[][..]),
                What::Dir => (b'd', &[][..]),
                What::Link(target) => (b'l', target.as_slice()),
                What::Other => (b'o', &[][..]),
            };
            facts.push(kind);
            for n in [s.size, s.ino, u64::from(s.mode)] {
                facts.extend(n.to_be_bytes());
            }
            for n in [s.mtime_ns, s.ctime_ns] {
                facts.extend(n.to_be_bytes());
            }
            // Neither has a NUL in it.
            for name in [path.as_bytes(), target] {
                facts.extend(name);
                facts.push(0);
            }
            sum.update(&facts);
        }
        Some(hex(&sum.finalize()))
    }
}

/// Lists a root, or only what lies below the given paths in it and the directories `above` by themselves; directories of the given
/// names are shown but not entered. With an `inode`, the root must be the directory that had it.
pub fn sweep(
    root: &Path,
    inode: Option<u64>,
    includes: &[RelPath],
    above: &[RelPath],
    prunes: &[String],
) -> io::Result<Swept> {
    let root = open_root(root)?;
    let found = stat_of(What::Dir, &rustix::fs::fstat(&root)?);
    if inode.is_some_and(|inode| inode != found.ino) {
        return Err(io::Error::other(
            "another directory stands in the root's place",
        ));
    }
    let mut walk = Walk {
        prunes,
        swept: Swept {
            is_whole: true,
            ..Swept::default()
        },
    };
    if includes.is_empty() {
        walk.add(RelPath::root(), found);
        walk.dir(root, &RelPath::root(), 0);
        return Ok(walk.swept);
    }
    for include in includes {
        walk.below(root.as_fd(), include);
    }
    for dir in above {
        // One that is not there is not told of.
        if let Some(stat) = walk.look(root.as_fd(), dir.as_bytes(), dir) {
            walk.add(dir.clone(), stat);
        }
    }
    if includes.len() + above.len() > 1 {
        // Each in its order, but one may lie in another.
        settle(&mut walk.swept.stats);
    }
    Ok(walk.swept)
}

/// The facts of named paths below a root, `deep`: and of all that lies below them. What is not there, or cannot be looked at, is missing.
pub fn look(root: &Path, paths: &[RelPath], deep: bool) -> io::Result<Vec<(RelPath, Stat)>> {
    let root = open_root(root)?;
    let mut walk = Walk {
        prunes: &[],
        swept: Swept::default(),
    };
    for path in paths {
        if deep {
            walk.below(root.as_fd(), path);
            continue;
        }
        let name = if path.is_root() {
            b"."
        } else {
            path.as_bytes()
        };
        if let Some(stat) = walk.look(root.as_fd(), name, path) {
            walk.add(path.clone(), stat);
        }
    }
    settle(&mut walk.swept.stats);
    Ok(walk.swept.stats)
}

/// A root itself may be reached through a link.
pub(super) fn open_root(root: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(root, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
}

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

struct Walk<'a> {
    prunes: &'a [String],
    swept: Swept,
}

impl Walk<'_> {
    fn add(&mut self, path: RelPath, stat: Stat) {
        self.swept.stats.push((path, stat));
    }

    /// What an include stands for; the way to it is no link, the agent has seen to that. One that is not there is no miss.
    fn below(&mut self, root: BorrowedFd, include: &RelPath) {
        let name = include.as_bytes();
        let there = rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW);
        if matches!(there, Err(Errno::NOENT | Errno::NOTDIR)) {
            return;
        }
        let Some(stat) = self.look(root, name, include) else {
            return;
        };
        let is_dir = stat.what == What::Dir;
        self.add(include.clone(), stat);
        if is_dir {
            self.enter(root, name, include, 1);
        }
    }

    /// The facts of one name in a directory.
    fn look(&mut self, dir: BorrowedFd, name: &[u8], path: &RelPath) -> Option<Stat> {
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(why) => return self.missed(path, why),
        };
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => What::File,
            FileType::Directory => What::Dir,
            FileType::Symlink => match rustix::fs::readlinkat(dir, name, Vec::new()) {
                Ok(target) => What::Link(target.into_bytes()),
                Err(why) => return self.missed(path, why),
            },
            _ => What::Other,
        };
        Some(stat_of(what, &stat))
    }

    /// A name that was listed and could not be looked at: it has gone meanwhile, or its directory does not let anybody in.
    fn missed(&mut self, path: &RelPath, why: Errno) -> Option<Stat> {
        match why {
            Errno::NOENT => self.swept.is_whole = false,
            _ => self.unread(&path.parent().unwrap_or_default()),
        }
        None
    }

    fn unread(&mut self, dir: &RelPath) {
        self.swept.is_whole = false;
        if self.swept.unreadable.last() != Some(dir) {
            self.swept.unreadable.push(dir.clone());
        }
    }

    fn enter(&mut self, parent: BorrowedFd, name: &[u8], path: &RelPath, depth: usize) {
        if self.prunes.iter().any(|p| p.as_bytes() == path.name()) {
            return;
        }
        match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            Ok(_) if depth >= DEEPEST => self.unread(path),
            Ok(dir) => self.dir(dir, path, depth),
            // Also one that has gone meanwhile: what was in it may have moved to where it was not seen.
            Err(_) => self.unread(path),
        }
    }

    /// A directory and all below it. A name stands in the order for itself, and a directory once more, as the beginning of what is in
    /// it: so the paths come in their order without ever being sorted together.
    fn dir(&mut self, dir: OwnedFd, path: &RelPath, depth: usize) {
        let Ok(mut dir) = Dir::new(dir) else {
            return self.unread(path);
        };
        let mut names = Vec::new();
        while let Some(entry) = dir.read() {
            let Ok(entry) = entry else {
                return self.unread(path);
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push((name.to_vec(), None));
            }
        }
        let Ok(fd) = dir.fd() else {
            return self.unread(path);
        };
        let mut inner = Vec::new();
        for (name, stat) in &mut names {
            let Some(full) = path.join(name) else {
                continue;
            };
            *stat = self.look(fd, name, &full).map(|stat| {
                if stat.what == What::Dir {
                    inner.push(([name.as_slice(), b"/"].concat(), None));
                }
                (full, stat)
            });
        }
        names.retain(|(_, stat)| stat.is_some());
        names.append(&mut inner);
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, found) in names {
            match (found, name.strip_suffix(b"/")) {
                (Some((full, stat)), _) => self.add(full, stat),
                (None, Some(name)) => {
                    if let Some(full) = path.join(name) {
                        self.enter(fd, name, &full, depth + 1);
                    }
                }
                (None, None) => {}
            }
        }
    }
}

#[allow(
    clippy::useless_conversion,
    reason = "the types are others on another system"
)]
fn stat_of(what: What, stat: &rustix::fs::Stat) -> Stat {
    let ns = |s, n| i128::from(s) * 1_000_000_000 + n;
    Stat {
        what,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: ns(stat.st_mtime, i128::from(stat.st_mtime_nsec)),
        ctime_ns: ns(stat.st_ctime, i128::from(stat.st_ctime_nsec)),
        ino: stat.st_ino.into(),
        mode: u32::from(stat.st_mode) & 0o777,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::host::process;
    use crate::model::invocation::Invocation;
    use crate::tool::facts;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    /// What the agent's own words would have given.
    fn found(root: &Path, from: &[&str], prune: &str) -> Vec<(RelPath, Stat)> {
        let words = [
            "-type", "d", "-name", prune, "-printf", FORMAT, "-prune", "-o", "-printf", FORMAT,
        ];
        let find = Invocation::new("find").args(from.iter().chain(&words).copied());
        said(&find.within(root))
    }

    const FORMAT: &str = r"%y\0%s\0%T@\0%C@\0%i\0%m\0%p\0%l\0";

    fn said(find: &Invocation) -> Vec<(RelPath, Stat)> {
        let said = process::run(find, &[]).unwrap();
        let list = [
            b"n SWEEP gnu\n".as_slice(),
            &said.stdout,
            b"\0\nn SWEPT 0\n\0\n",
        ]
        .concat();
        facts::parse_sweep(&list, "n").unwrap().stats
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in [
            "a/b/c",
            "a-b",
            "a",
            "a.d/.git/objects",
            "li\nne",
            "-x",
            "ü/\u{1}",
            "skip/deep",
        ] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in [
            "a/b/f",
            "a/b.f",
            "a-b/f",
            "a!f",
            "a0",
            "li\nne/f\tg",
            "-x/*",
            "skip/f",
            "a.d/.git/f",
        ] {
            fs::write(root.join(name), name).unwrap();
        }
        // Before 1970, where a fraction counts forwards from the second below.
        let early = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
        let times = fs::FileTimes::new().set_modified(early);
        let file = fs::File::options().append(true).open(root.join("a0"));
        file.unwrap().set_times(times).unwrap();
        symlink("../nowhere", root.join("a/l")).unwrap();
        symlink("a", root.join("dir link")).unwrap();
        fs::set_permissions(root.join("a0"), fs::Permissions::from_mode(0o4711)).unwrap();
        dir
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_tells_what_find_tells_and_in_the_order_of_paths() {
        let dir = tree();
        let prunes = ["skip".to_owned(), ".git".to_owned()];
        let all = sweep(dir.path(), None, &[], &[], &prunes[..1]).unwrap();
        assert_eq!(all.stats, found(dir.path(), &["."], "skip"));
        assert!(all.is_whole && all.unreadable.is_empty());
        assert!(all.stats.is_sorted_by(|a, b| a.0 < b.0));
        let flat = look(
            dir.path(),
            &["a", "gone", "dir link", "a0"].map(path),
            false,
        )
        .unwrap();
        let from = ["./a", "./dir link", "./a0"];
        let only = Invocation::new("find")
            .args(from)
            .args(["-prune", "-printf", FORMAT]);
        assert_eq!(flat, said(&only.within(dir.path())));
        let deep = look(dir.path(), &["a.d", "a-b"].map(path), true).unwrap();
        assert_eq!(deep, found(dir.path(), &["./a.d", "./a-b"], "none"));
        let some = [
            path("li\nne"),
            path("a"),
            path("a/b"),
            path("gone"),
            path("dir link"),
        ];
        let some = sweep(dir.path(), None, &some, &[], &prunes[1..]).unwrap();
        let from = ["./li\nne", "./a", "./a/b", "./dir link"];
        assert_eq!(some.stats, found(dir.path(), &from, ".git"));
        assert!(some.is_whole);
    }

    #[test]
    fn no_link_is_followed_and_the_depth_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut deep = dir.path().to_owned();
        (0..DEEPEST + 3).for_each(|_| deep.push("d"));
        fs::create_dir_all(&deep).unwrap();
        let swept = sweep(dir.path(), None, &[], &[], &[]).unwrap();
        assert_eq!(swept.stats.len(), DEEPEST + 1);
        assert_eq!(swept.unreadable.len(), 1);
        assert!(!swept.is_whole);
        // The root itself may be reached through one.
        let link = dir.path().join("link");
        let ino = fs::metadata(dir.path()).unwrap().ino();
        assert!(sweep(dir.path(), Some(ino + 1), &[], &[], &[]).is_err());
        symlink(dir.path(), &link).unwrap();
        let through = sweep(&link, Some(ino), &[path("link")], &[], &[]).unwrap();
        assert!(matches!(&through.stats[..], [(_, s)] if matches!(s.what, What::Link(_))));
    }
}
