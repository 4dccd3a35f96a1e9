//! Trees of our own making: what a commit holds, laid out below a private directory.
//!
//! Invariants: everything is made anew, nothing that exists is written to; times are set, so that the same commit always gives
//! the same tree.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::host::process;
use crate::model::path::RelPath;

pub fn at(root: &Path, path: &RelPath) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

fn parent(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)
}

pub fn make_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

pub fn lay_file(
    root: &Path,
    path: &RelPath,
    bytes: &[u8],
    mode: u32,
    seconds: u64,
) -> io::Result<()> {
    let name = at(root, path);
    parent(&name)?;
    let mut file = File::create_new(&name)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_times(FileTimes::new().set_modified(time))
}

pub fn lay_link(root: &Path, path: &RelPath, target: &[u8]) -> io::Result<()> {
    let name = at(root, path);
    parent(&name)?;
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), name)
}

/// The same file below another root, by a second name.
pub fn lay_again(from: &Path, to: &Path, path: &RelPath) -> io::Result<()> {
    let (source, name) = (at(from, path), at(to, path));
    // Most directories are there by the time the second of their files comes.
    if fs::hard_link(&source, &name).is_ok() {
        return Ok(());
    }
    parent(&name)?;
    match fs::hard_link(&source, &name) {
        Ok(()) => Ok(()),
        Err(_) => fs::copy(&source, &name).map(|_| ()),
    }
}

/// Directories of a tree are for everybody to enter, as git's are, whatever our umask is.
pub fn open_dirs(root: &Path) -> io::Result<()> {
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_dirs(&entry.path())?;
        }
    }
    Ok(())
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// A small program of ours that something else starts.
pub fn write_script(path: &Path, text: &str) -> io::Result<()> {
    process::while_none_starts(|| fs::write(path, text))?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::invocation::Invocation;

    #[test]
    fn a_script_can_be_started_at_once_while_other_threads_start_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let each = |thread: u32| {
            for n in 0..40 {
                let script = dir.join(format!("s{thread}-{n}"));
                write_script(&script, "#!/bin/sh\nexit 7\n").unwrap();
                let out = process::run(&Invocation::new(&script), &[]);
                assert_eq!(out.unwrap().code, Some(7));
            }
        };
        std::thread::scope(|s| {
            for thread in 0..4 {
                s.spawn(move || each(thread));
            }
        });
    }
}
