//! Files of our own: private directories, whole writes, appends, bounded reads, removal of trees.
//!
//! Invariants: nothing here follows a symbolic link at the path it is given; a file it makes has mode 0600 and a
//! directory 0700; a reader sees the old bytes or the new ones, never half of either. The directories it accepts
//! can be renamed or replaced by nobody but their owner and root (a sticky parent such as /tmp is fine), which
//! is what makes working by path safe between two calls.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::model::text::neutral_bytes;

/// Stages of ours carry this prefix everywhere, so that they are recognised, never synced, and swept.
pub const STAGE: &str = ".ubos-sync.";

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {doing} {}: {source}", shown(path))]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// It could be done, but it would not be safe.
    #[error("refused: {} {why}", shown(path))]
    Refused { path: PathBuf, why: String },
}

impl FileError {
    /// Whether it only says that nothing stands at the path.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

type Result<T> = std::result::Result<T, FileError>;

/// How much of a write must have reached the disk when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Nothing: what a power cut takes is missed by nobody.
    Later,
    /// The bytes; their name follows with the next `Name` write in the same directory.
    Content,
    /// The bytes and their name: it is there after a power cut.
    Name,
}

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    neutral_bytes(path.as_os_str().as_bytes())
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io {
        doing,
        path: path.into(),
        source,
    }
}

fn refused(path: &Path, why: impl Into<String>) -> FileError {
    FileError::Refused {
        path: path.into(),
        why: why.into(),
    }
}

/// A directory that only we may read: made with 0700 (parents too), or an existing one of ours tightened to it.
pub fn private_dir(dir: &Path) -> Result<()> {
    shared_dir(dir)?;
    let meta = fs::symlink_metadata(dir).map_err(failed("look at", dir))?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(dir, "belongs to another user"));
    }
    if meta.mode() & 0o7777 != 0o700 {
        let handle = open_dir(dir)?;
        handle
            .set_permissions(Permissions::from_mode(0o700))
            .map_err(failed("set the mode of", dir))?;
    }
    Ok(())
}

/// A directory of the user: made with 0700 when absent, never re-moded when it exists. Refused when another
/// user could replace what we put there.
pub fn shared_dir(dir: &Path) -> Result<()> {
    match fs::symlink_metadata(dir) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed("make the directory", dir))?,
        Err(e) => return Err(failed("look at", dir)(e)),
    }
    let meta = fs::symlink_metadata(dir).map_err(failed("look at", dir))?;
    if meta.is_symlink() {
        return Err(refused(dir, "is a symbolic link"));
    }
    if !meta.is_dir() {
        return Err(refused(dir, "is not a directory"));
    }
    trusted_way(dir)
}

/// Whether such a directory is there and safe; none is made.
pub fn shared_dir_if_any(dir: &Path) -> Result<bool> {
    match fs::symlink_metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        _ => shared_dir(dir).map(|()| true),
    }
}

/// Every directory from `dir` up to `/` belongs to us or to root and lets nobody else rename what is in it.
fn trusted_way(dir: &Path) -> Result<()> {
    let real = fs::canonicalize(dir).map_err(failed("resolve", dir))?;
    // The owner of `/` can do anything anyway; inside a user namespace that is not uid 0.
    let top = fs::metadata("/").map_or(0, |m| m.uid());
    let us = rustix::process::geteuid().as_raw();
    for part in real.ancestors() {
        let meta = fs::symlink_metadata(part).map_err(failed("look at", part))?;
        if ![us, 0, top].contains(&meta.uid()) {
            return Err(refused(part, "belongs to another user"));
        }
        if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
            let why = format!(
                "may be written by other users (mode {:04o}): chmod go-w makes it safe",
                meta.mode() & 0o7777
            );
            return Err(refused(part, why));
        }
    }
    Ok(())
}

fn open_dir(dir: &Path) -> Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    open_with(
        fs::OpenOptions::new().read(true),
        flags,
        "open the directory",
        dir,
    )
}

fn open_with(
    options: &mut fs::OpenOptions,
    flags: OFlags,
    doing: &'static str,
    path: &Path,
) -> Result<File> {
    // NONBLOCK, so that a planted FIFO is found out instead of waited for; it means nothing to regular files.
    let flags = (flags | OFlags::NONBLOCK).bits() as i32;
    match options.mode(0o600).custom_flags(flags).open(path) {
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(refused(path, "is a symbolic link"))
        }
        other => other.map_err(failed(doing, path)),
    }
}

/// What stands at a path where a file of ours belongs: nothing, or a plain file of ours with one name.
pub fn plain_or_absent(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed("look at", path)(e)),
        Ok(meta) => plain(path, &meta),
    }
}

fn plain(path: &Path, meta: &Metadata) -> Result<()> {
    let why = if meta.is_symlink() {
        "is a symbolic link"
    } else if !meta.is_file() {
        "is not a plain file"
    } else if meta.nlink() > 1 {
        "has a second name (hard link)"
    } else if meta.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else {
        return Ok(());
    };
    Err(refused(path, why))
}

/// Puts `bytes` at `path` as a whole, mode 0600: a reader, or a crash, sees the old file or the new one.
pub fn write_atomic(path: &Path, bytes: &[u8], sync: Sync) -> Result<()> {
    write_parts(path, sync, |out| out.write_all(bytes))
}

/// The same of what is long, as it is made.
pub fn write_parts(
    path: &Path,
    sync: Sync,
    make: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    plain_or_absent(path)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut stage = tempfile::Builder::new()
        .prefix(STAGE)
        .tempfile_in(dir)
        .map_err(failed("write in", dir))?;
    let mut out = io::BufWriter::with_capacity(1 << 16, &mut stage);
    make(&mut out)
        .and_then(|()| out.flush())
        .map_err(failed("write", path))?;
    drop(out);
    if sync != Sync::Later {
        stage
            .as_file()
            .sync_all()
            .map_err(failed("bring to disk", path))?;
    }
    stage
        .persist(path)
        .map_err(|e| failed("put in place", path)(e.error))?;
    match sync {
        Sync::Later | Sync::Content => Ok(()),
        Sync::Name => sync_dir(dir),
    }
}

/// Brings the names in a directory to disk.
pub fn sync_dir(dir: &Path) -> Result<()> {
    open_dir(dir)?
        .sync_all()
        .map_err(failed("bring to disk", dir))
}

/// Opens a file of ours for appending, made with 0600 when absent; links and strangers' files are refused.
pub fn open_append(path: &Path) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    let file = open_with(
        options.append(true).create(true),
        OFlags::NOFOLLOW,
        "open",
        path,
    )?;
    let meta = file.metadata().map_err(failed("look at", path))?;
    plain(path, &meta)?;
    Ok(file)
}

/// Takes the exclusive lock of a lock file, waiting for it. The file is made when absent and never removed:
/// a removed lock file lets two holders in. The lock ends with the returned file.
pub fn lock(path: &Path) -> Result<File> {
    let file = open_append(path)?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

/// Whether somebody holds the exclusive lock of this file right now.
pub fn is_locked(path: &Path) -> bool {
    let mut options = fs::OpenOptions::new();
    let Ok(file) = open_with(options.read(true), OFlags::NOFOLLOW, "open", path) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// What asking for a lock without waiting brings.
pub enum Locked {
    Ours(File),
    /// Somebody else's, with what is written in the file about them.
    Theirs(String),
}

/// Takes the exclusive lock without waiting, and writes for people who holds it. The words inform, the lock decides: a
/// dead holder's words stay, its lock does not.
pub fn try_lock(path: &Path, words: &str) -> Result<Locked> {
    use std::io::{Seek, Write};
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = open_with(options, OFlags::NOFOLLOW, "open", path)?;
    let meta = file.metadata().map_err(failed("look at", path))?;
    plain(path, &meta)?;
    if let Err(e) = file.try_lock() {
        return match e {
            fs::TryLockError::WouldBlock => Ok(Locked::Theirs(
                String::from_utf8_lossy(&read_bounded(path, 4096)?).into_owned(),
            )),
            fs::TryLockError::Error(e) => Err(failed("lock", path)(e)),
        };
    }
    let write = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(words.as_bytes())
    };
    write(&mut file).map_err(failed("write", path))?;
    Ok(Locked::Ours(file))
}

/// Moves what a log holds to a second name when it has grown beyond `most`. The file itself stays and is emptied: who appends to it,
/// a worker for weeks, never opens it again.
pub fn turn_over(log: &Path, most: u64) -> Result<()> {
    match fs::symlink_metadata(log) {
        Ok(meta) if meta.is_file() && meta.len() > most => {}
        _ => return Ok(()),
    }
    let mut old = log.as_os_str().to_owned();
    old.push(".1");
    let old = PathBuf::from(old);
    let mut options = fs::OpenOptions::new();
    let mut file = open_with(
        options.read(true).write(true),
        OFlags::NOFOLLOW,
        "open",
        log,
    )?;
    remove_file(&old)?;
    let mut options = fs::OpenOptions::new();
    let mut copy = open_with(
        options.write(true).create_new(true),
        OFlags::NOFOLLOW,
        "open",
        &old,
    )?;
    io::copy(&mut file, &mut copy).map_err(failed("copy", log))?;
    file.set_len(0).map_err(failed("empty", log))
}

/// The bytes of a plain file, refused when it is a link or longer than `max`.
pub fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    let file = open_with(options.read(true), OFlags::NOFOLLOW, "open", path)?;
    let meta = file.metadata().map_err(failed("look at", path))?;
    if !meta.is_file() {
        return Err(refused(path, "is not a plain file"));
    }
    let too_long = || refused(path, format!("is longer than {max} bytes"));
    if meta.len() > max {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    // It may have grown since it was looked at.
    if bytes.len() as u64 > max {
        return Err(too_long());
    }
    Ok(bytes)
}

/// Hands the bytes of a plain file over in parts, for as long as somebody wants more: what is long needs no room.
pub fn read_parts(path: &Path, take: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = open_with(options.read(true), OFlags::NOFOLLOW, "open", path)?;
    parts_of(file, &mut vec![0; 1 << 17], take).map_err(failed("read", path))
}

/// The same of a file that is open, in parts of this room.
pub fn parts_of(
    mut file: File,
    part: &mut [u8],
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    loop {
        match file.read(part) {
            Ok(0) => return Ok(()),
            Ok(n) if take(&part[..n]) => {}
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Result<Vec<OsString>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        all.push(entry.map_err(failed("list", dir))?.file_name());
    }
    all.sort();
    Ok(all)
}

/// When the thing at `path` was last modified, in seconds since 1970; nothing is followed.
pub fn modified(path: &Path) -> Result<i64> {
    fs::symlink_metadata(path)
        .map(|m| m.mtime())
        .map_err(failed("look at", path))
}

/// Removes a file (or a link itself, never what it points to); absent is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a directory with everything in it; a link in it, or in its place, is removed and not followed.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("look at", path)(e)),
        Ok(meta) if !meta.is_dir() => return remove_file(path),
        Ok(_) => {}
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that removes trees; std holds directories open while it descends, so a link \
                  swapped in is not followed"
    )]
    fs::remove_dir_all(path).map_err(failed("remove", path))
}

/// `n` random bytes of the system as hexadecimal digits.
pub fn random_hex(n: usize) -> Result<String> {
    let source = Path::new("/dev/urandom");
    let mut bytes = vec![0; n];
    File::open(source)
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(failed("read", source))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn private_directories_are_made_0700_and_tightened() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("a/b");
        private_dir(&dir).unwrap();
        assert_eq!((mode(&dir), mode(&tmp.path().join("a"))), (0o700, 0o700));
        chmod(&dir, 0o755);
        private_dir(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
    }

    #[test]
    fn a_directory_of_the_user_keeps_its_mode() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("logs");
        fs::create_dir(&dir).unwrap();
        chmod(&dir, 0o755);
        shared_dir(&dir).unwrap();
        assert_eq!(mode(&dir), 0o755);
    }

    #[test]
    fn directories_that_others_can_swap_are_refused_but_sticky_ones_are_fine() {
        let tmp = tempfile::tempdir().unwrap();
        let (open, target) = (tmp.path().join("open"), tmp.path().join("target"));
        fs::create_dir(&open).unwrap();
        fs::create_dir(&target).unwrap();
        symlink(&target, tmp.path().join("link")).unwrap();
        chmod(&open, 0o777);
        let why = private_dir(&open.join("x")).unwrap_err().to_string();
        assert!(why.contains("mode 0777"), "{why}");
        chmod(&open, 0o1777);
        private_dir(&open.join("x")).unwrap();
        let why = private_dir(&tmp.path().join("link"))
            .unwrap_err()
            .to_string();
        assert!(why.contains("symbolic link"), "{why}");
        fs::write(tmp.path().join("file"), "").unwrap();
        assert!(private_dir(&tmp.path().join("file")).is_err());
    }

    #[test]
    fn writes_are_whole_private_and_leave_no_stage() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("f");
        for text in ["one", "two"] {
            write_atomic(&path, text.as_bytes(), Sync::Name).unwrap();
            assert_eq!(read_bounded(&path, 3).unwrap(), text.as_bytes());
        }
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(tmp.path()).unwrap(), ["f"]);
        assert!(read_bounded(&path, 2).is_err());
        assert!(
            read_bounded(&tmp.path().join("no"), 2)
                .unwrap_err()
                .is_absent()
        );
    }

    #[test]
    fn planted_links_fifos_and_hard_links_are_refused_and_their_targets_untouched() {
        let tmp = tempfile::tempdir().unwrap();
        let (victim, at) = (tmp.path().join("victim"), tmp.path().join("at"));
        fs::write(&victim, "whole").unwrap();
        let check = |what: &str| {
            assert!(write_atomic(&at, b"x", Sync::Content).is_err(), "{what}");
            assert!(open_append(&at).is_err(), "{what}");
            assert_eq!(fs::read(&victim).unwrap(), b"whole");
            remove_file(&at).unwrap();
        };
        symlink(&victim, &at).unwrap();
        assert!(read_bounded(&at, 9).is_err());
        check("link");
        symlink(tmp.path().join("nowhere"), &at).unwrap();
        check("dangling link");
        assert!(!tmp.path().join("nowhere").exists());
        fs::hard_link(&victim, &at).unwrap();
        check("hard link");
        #[cfg(not(target_vendor = "apple"))]
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &at,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        assert!(read_bounded(&at, 9).is_err());
        #[cfg(not(target_vendor = "apple"))]
        check("fifo");
    }

    #[test]
    fn a_tree_is_removed_without_following_its_links() {
        let tmp = tempfile::tempdir().unwrap();
        let (tree, outside) = (tmp.path().join("tree"), tmp.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("keep"), "").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        symlink(&outside, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(outside.join("keep").exists() && !tree.exists());
    }

    #[test]
    fn a_log_that_has_grown_gets_another_name() {
        let tmp = tempfile::tempdir().unwrap();
        let (log, old) = (tmp.path().join("log"), tmp.path().join("log.1"));
        turn_over(&log, 2).unwrap();
        for text in ["abc", "ABC"] {
            fs::write(&log, "ab").unwrap();
            turn_over(&log, 2).unwrap();
            assert!(log.exists());
            fs::write(&log, text).unwrap();
            turn_over(&log, 2).unwrap();
            let now = [&old, &log].map(|f| fs::read_to_string(f).unwrap());
            assert_eq!(now, [text.to_owned(), String::new()]);
        }
        // Who has it open goes on in the same file.
        let mut writer = fs::OpenOptions::new().append(true).open(&log).unwrap();
        writer.write_all(b"long").unwrap();
        turn_over(&log, 2).unwrap();
        writer.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "new");
    }

    #[test]
    fn an_append_goes_to_the_end_of_a_private_file() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("log");
        for _ in 0..2 {
            open_append(&path).unwrap().write_all(b"a\n").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"a\na\n");
        assert_eq!(mode(&path), 0o600);
        assert_ne!(random_hex(8).unwrap(), random_hex(8).unwrap());
    }
}
