//! What files of this machine contain, as `sha256sum` tells it of another: without a program to start.
//!
//! Invariants: no link is followed to a file, and nothing but a file is opened; a file that cannot be read is missing from the answer.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::host::{files, sweep};
use crate::model::entry::ContentHash;
use crate::model::path::RelPath;

/// So much of a file is read at once.
const PIECE: usize = 256 << 10;

/// The hashes of named files below a root, in the order of the names. An error: the root cannot be opened.
pub fn hash(root: &Path, paths: &[RelPath]) -> io::Result<Vec<(RelPath, ContentHash)>> {
    let root = sweep::open_root(root)?;
    let mut piece = vec![0; PIECE];
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        if let Ok(hash) = open(&root, path).and_then(|file| digest(file, &mut piece)) {
            found.push((path.clone(), hash));
        }
    }
    Ok(found)
}

fn open(root: &OwnedFd, path: &RelPath) -> io::Result<File> {
    // What became a pipe a moment ago is not waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, path.as_bytes(), flags, Mode::empty())?;
    let mode = rustix::fs::fstat(&file)?.st_mode;
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn digest(file: File, piece: &mut [u8]) -> io::Result<ContentHash> {
    let mut sum = Sha256::new();
    files::parts_of(file, piece, |part| {
        sum.update(part);
        true
    })?;
    Ok(ContentHash::from(<[u8; 32]>::from(sum.finalize())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn only_files_that_can_be_read_have_a_hash() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let big = vec![7; 2 * PIECE + 1];
        std::fs::write(root.join("big"), &big).unwrap();
        std::fs::write(root.join("li\nne\\"), "").unwrap();
        std::fs::write(root.join("closed"), "x").unwrap();
        std::fs::create_dir(root.join("dir")).unwrap();
        symlink("big", root.join("link")).unwrap();
        let closed = std::fs::Permissions::from_mode(0o0);
        std::fs::set_permissions(root.join("closed"), closed).unwrap();
        let path = |p| RelPath::new(p).unwrap();
        let names = ["li\nne\\", "big", "dir", "link", "gone", "big/x"].map(path);
        let found = hash(root, &names).unwrap();
        let of = |bytes: &[u8]| ContentHash::from(<[u8; 32]>::from(Sha256::digest(bytes)));
        let wanted = vec![(path("li\nne\\"), of(b"")), (path("big"), of(&big))];
        assert_eq!(found, wanted);
        if !rustix::process::geteuid().is_root() {
            assert_eq!(hash(root, &[path("closed")]).unwrap(), []);
        }
        assert!(hash(&root.join("gone"), &names).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let fifo = FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, Mode::RUSR, 0).unwrap();
        let found = hash(dir.path(), &[RelPath::new("pipe").unwrap()]);
        assert_eq!(found.unwrap(), []);
    }
}
