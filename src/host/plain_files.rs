//! Small files that a command writes or looks at for a person: starters, markers, profiles.
//!
//! Invariant: nothing that exists is overwritten, but by `replace`, which is whole or not at all.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file that must not exist yet (a dangling link counts as existing).
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// As [`replace`], with the permissions of what it replaces.
pub fn replace_alike(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions();
    replace(path, bytes)?;
    std::fs::set_permissions(path, mode)
}

/// Puts a file in place of another in one step.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, 0o600)
}

/// The same for what everybody may read.
pub fn replace_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, 0o644)
}

fn replace_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut temp = tempfile::Builder::new()
        .prefix(".ubos-sync.")
        .tempfile_in(dir)?;
    temp.write_all(bytes)?;
    temp.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// The bytes of a file, `None` when there is none.
pub fn read_if_any(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// The permission bits of what stands there.
pub fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}

/// Whether the path itself (not what it links to) is a directory.
pub fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// Whether the path is, or leads to, a directory.
pub fn leads_to_dir(path: &Path) -> bool {
    path.is_dir()
}

/// How many directories a tree has; the counting stops at `most`, and what cannot be read counts as one.
pub fn directories(root: &Path, most: u64) -> u64 {
    let mut left = vec![root.to_owned()];
    let mut seen = 0;
    while let Some(dir) = left.pop().filter(|_| seen < most) {
        seen += 1;
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let below = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        left.extend(below.map(|e| e.path()));
    }
    seen
}

/// Whether anything is there, a dangling link included.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The absolute form of a path that a user typed.
pub fn absolute(path: &Path) -> io::Result<std::path::PathBuf> {
    let joined = std::env::current_dir()?.join(path);
    Ok(crate::model::policy::normal(&joined).unwrap_or(joined))
}
