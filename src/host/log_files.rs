//! The local half of a pulled log: reading ranges, appending in place, setting generations aside. Nothing here ever cuts or
//! overwrites a byte that is held.
//!
//! Invariants: the file at the path itself is used, never what a link there points to; an append goes exactly behind the bytes
//! that are known and is on disk when the call returns; a rename never replaces anything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::model::log_state::{CHUNK, Facts};
use crate::model::text::hex;

/// What stands at a path where a log belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    File(Facts),
    /// A link, a directory or a special file: in words.
    Other(&'static str),
}

pub fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(e) => Err(e),
        Ok(m) if m.is_file() => Ok(Found::File(facts(&m))),
        Ok(m) if m.is_symlink() => Ok(Found::Other("a symbolic link")),
        Ok(m) if m.is_dir() => Ok(Found::Other("a directory")),
        Ok(_) => Ok(Found::Other("not a plain file")),
    }
}

fn facts(m: &fs::Metadata) -> Facts {
    Facts {
        size: m.len(),
        ino: m.ino(),
        mtime_ns: i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
}

/// sha256 of `len` bytes from `offset` on; `None` when there are fewer.
pub fn hash(path: &Path, offset: u64, len: u64) -> io::Result<Option<String>> {
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut rest = len;
    while rest > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(rest).unwrap_or(usize::MAX));
        let n = file.read(&mut buffer[..most])?;
        if n == 0 {
            return Ok(None);
        }
        sum.update(&buffer[..n]);
        rest -= n as u64;
    }
    Ok(Some(hex(&sum.finalize())))
}

/// sha256 over a range of one file followed by a range of another, as if they were one.
pub fn hash_of_two(a: (&Path, u64, u64), b: (&Path, u64, u64)) -> io::Result<String> {
    let mut sum = Sha256::new();
    for (path, offset, len) in [a, b] {
        if len == 0 {
            continue;
        }
        let mut file = open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut buffer = vec![0; 1 << 18];
        let mut rest = len;
        while rest > 0 {
            let most = buffer
                .len()
                .min(usize::try_from(rest).unwrap_or(usize::MAX));
            let n = file.read(&mut buffer[..most])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sum.update(&buffer[..n]);
            rest -= n as u64;
        }
    }
    Ok(hex(&sum.finalize()))
}

/// The hashes of the whole chunks that the first `len` bytes have, from chunk number `from` on.
pub fn chunks(path: &Path, len: u64, from: usize) -> io::Result<Vec<String>> {
    let whole = usize::try_from(len / CHUNK).unwrap_or(usize::MAX);
    (from..whole)
        .map(|i| {
            hash(path, i as u64 * CHUNK, CHUNK)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
        .collect()
}

/// What is remembered of a log, and told: the hashes of its whole chunks, and its line breaks.
#[derive(Debug, Default, PartialEq)]
pub struct Sums {
    pub chunks: Vec<String>,
    pub lines: u64,
}

/// The same of a file from its beginning on, read once.
pub fn sums(path: &Path) -> io::Result<Sums> {
    let mut file = open(path)?;
    let mut buffer = Vec::new();
    let mut sums = Sums::default();
    loop {
        buffer.clear();
        let n = Read::by_ref(&mut file)
            .take(CHUNK)
            .read_to_end(&mut buffer)? as u64;
        sums.lines += count_lines(&buffer);
        if n < CHUNK {
            return Ok(sums);
        }
        sums.chunks.push(hex(&Sha256::digest(&buffer)));
    }
}

/// Has the bytes of a file written to its disk: what has to be there in the end may as well go while something else is done.
pub fn settle(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()
}

/// Makes a directory on the way to a log; existing ones stay as they are.
pub fn make_way(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
}

/// A private directory beside the log, for its stage.
pub fn stage_dir(log: &Path) -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(crate::host::files::STAGE)
        .tempdir_in(log.parent().unwrap_or(Path::new("/")))
}

/// Stages beside a log that killed runs left.
pub fn sweep_stages(log: &Path) {
    let dir = log.parent().unwrap_or(Path::new("/"));
    for name in crate::host::files::names(dir).unwrap_or_default() {
        if name
            .to_string_lossy()
            .starts_with(crate::host::files::STAGE)
        {
            let _ = crate::host::files::remove_tree(&dir.join(name));
        }
    }
}

/// A stage that looks as if it had the first `len` bytes, without having them.
pub fn stub(stage: &Path, len: u64) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(stage)?;
    file.set_len(len)?;
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1))
}

/// A stage that has what the log has.
pub fn clone(log: &Path, stage: &Path) -> io::Result<()> {
    fs::copy(log, stage)?;
    OpenOptions::new()
        .write(true)
        .open(stage)?
        .set_modified(UNIX_EPOCH + Duration::from_secs(1))
}

/// A copy of the first `len` bytes.
pub fn copy_beginning(log: &Path, to: &Path, len: u64) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).open(to)?;
    let copied = io::copy(&mut open(log)?.take(len), &mut out)?;
    match copied == len {
        true => out.sync_all(),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The name under which a file that somebody edited is kept.
pub fn edit_name(log: &Path, stamp: &str) -> io::Result<PathBuf> {
    let sum = hash(log, 0, size(log))?.unwrap_or_default();
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".local-edit.{stamp}.{}", &sum[..8.min(sum.len())]));
    Ok(PathBuf::from(name))
}

pub fn size(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |m| m.len())
}

/// Puts a complete stage where nothing is, on disk when it returns.
pub fn put(stage: &Path, log: &Path, mtime_ns: i128) -> io::Result<Facts> {
    let file = OpenOptions::new().read(true).write(true).open(stage)?;
    file.set_modified(time(mtime_ns))?;
    file.sync_all()?;
    move_aside(stage, log)?;
    Ok(facts(&file.metadata()?))
}

/// Appends what the stage has from `at` to `end` to the log, which must be exactly `at` long. Returns its facts and the number
/// of line breaks among the new bytes.
pub fn append(
    log: &Path,
    stage: &Path,
    at: u64,
    end: u64,
    mtime_ns: i128,
) -> io::Result<(Facts, u64)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(log)?;
    if file.metadata()?.len() != at {
        return Err(io::Error::other(
            "it changed while new bytes were on their way",
        ));
    }
    let from = open(stage)?;
    let mut buffer = vec![0; 1 << 18];
    let (mut place, mut lines) = (at, 0);
    while place < end {
        let most = buffer
            .len()
            .min(usize::try_from(end - place).unwrap_or(usize::MAX));
        let n = from.read_at(&mut buffer[..most], place)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(&buffer[..n], place)?;
        lines += count_lines(&buffer[..n]);
        place += n as u64;
    }
    file.set_modified(time(mtime_ns))?;
    file.sync_all()?;
    Ok((facts(&file.metadata()?), lines))
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// Gives the log the time of the one it is a copy of.
pub fn set_time(log: &Path, mtime_ns: i128) -> io::Result<Facts> {
    let file = OpenOptions::new()
        .append(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(log)?;
    file.set_modified(time(mtime_ns))?;
    Ok(facts(&file.metadata()?))
}

fn time(ns: i128) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

/// Moves a file to a name that nothing has; on disk when it returns.
pub fn move_aside(from: &Path, to: &Path) -> io::Result<()> {
    // A second name first: unlike a rename it fails when the name is taken.
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from)?,
        // A file system without hard links (FAT, some network ones): look, then rename.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists && fs::symlink_metadata(to).is_err() => {
            fs::rename(from, to)?;
        }
        Err(e) => return Err(e),
    }
    let dir = to.parent().unwrap_or(Path::new("/"));
    File::open(dir)?.sync_all()
}

/// Bytes that can still be written where the log lies.
pub fn free(log: &Path) -> Option<u64> {
    let dir = log.ancestors().skip(1).find(|d| d.is_dir())?;
    let fs = rustix::fs::statvfs(dir).ok()?;
    Some(fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Names of a log's own archived generations, with their numbers.
pub fn generations(log: &Path) -> Vec<(u32, PathBuf)> {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name()) else {
        return Vec::new();
    };
    let mut prefix = name.to_os_string();
    prefix.push(".g");
    let prefix = prefix.as_encoded_bytes().to_vec();
    crate::host::files::names(dir)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|n| {
            let rest = n.as_encoded_bytes().strip_prefix(prefix.as_slice())?;
            let digits = std::str::from_utf8(rest.get(..4)?).ok()?;
            Some((digits.parse().ok()?, dir.join(&n)))
        })
        .collect()
}

/// All plain files of a log: the live one, its archived generations, edits that were set aside.
pub fn family(log: &Path) -> io::Result<Vec<(std::ffi::OsString, Facts)>> {
    let (Some(dir), Some(own)) = (log.parent(), log.file_name()) else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for name in crate::host::files::names(dir).unwrap_or_default() {
        let rest = name.as_encoded_bytes().strip_prefix(own.as_encoded_bytes());
        let ours = rest.is_some_and(|r| {
            let numbered = r.strip_prefix(b".g").and_then(|r| r.get(..5));
            let is_generation =
                numbered.is_some_and(|n| n[..4].iter().all(u8::is_ascii_digit) && n[4] == b'.');
            r.is_empty() || r.starts_with(b".local-edit.") || is_generation
        });
        if ours && let Found::File(facts) = look(&dir.join(&name))? {
            all.push((name, facts));
        }
    }
    all.sort();
    Ok(all)
}

/// `FILE` + `suffix`, with a number behind it when that is taken.
pub fn free_name(file: &Path, suffix: &str) -> PathBuf {
    let with = |more: String| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        name.push(more);
        PathBuf::from(name)
    };
    let names = (1..).map(|n| match n {
        1 => with(String::new()),
        n => with(format!(".{n}")),
    });
    names
        .into_iter()
        .find(|p| fs::symlink_metadata(p).is_err())
        .unwrap_or_else(|| with(String::new()))
}

/// Takes what lies behind the first `len` bytes of a log off it, into a file of its own whose name is returned. The copy is on
/// disk before the log is cut; a cut that broke off in between finds its copy again.
pub fn cut(log: &Path, len: u64, suffix: &str) -> io::Result<PathBuf> {
    let rest = size(log).saturating_sub(len);
    let first = {
        let mut name = log.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let is_there =
        size(&first) == rest && hash(&first, 0, rest).ok().flatten() == hash(log, len, rest)?;
    let to = match is_there {
        true => first,
        false => {
            let dir = stage_dir(log)?;
            let copy = dir.path().join("rest");
            let mut out = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&copy)?;
            let mut from = open(log)?;
            from.seek(SeekFrom::Start(len))?;
            if io::copy(&mut from.take(rest), &mut out)? != rest {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out.sync_all()?;
            let to = free_name(log, suffix);
            move_aside(&copy, &to)?;
            to
        }
    };
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(log)?;
    if file.metadata()?.len() != len + rest {
        return Err(io::Error::other("somebody writes to it at this moment"));
    }
    file.set_len(len)?;
    file.sync_all()?;
    Ok(to)
}

/// Writes bytes of our own making behind a stage.
pub fn extend(stage: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(stage)?
        .write_all(bytes)
}

/// A small file for a child of ours to read.
pub fn write_for_child(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    crate::host::process::while_none_starts(|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(path)?;
        file.write_all(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_keeps_the_inode_and_refuses_a_log_that_moved_on() {
        let tmp = tempfile::tempdir().unwrap();
        let (log, stage) = (tmp.path().join("log"), tmp.path().join("stage"));
        fs::write(&log, "one\n").unwrap();
        stub(&stage, 4).unwrap();
        extend(&stage, b"two\nthr").unwrap();
        let before = fs::metadata(&log).unwrap().ino();
        let (facts, lines) = append(&log, &stage, 4, 11, 5_000_000_001).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\nthr");
        assert_eq!(
            (facts.ino, facts.size, facts.mtime_ns, lines),
            (before, 11, 5_000_000_001, 1)
        );
        assert!(append(&log, &stage, 4, 11, 0).is_err());
        assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\nthr");
    }

    #[test]
    fn one_look_gives_the_chunks_and_the_lines() {
        let tmp = tempfile::tempdir().unwrap();
        let log = tmp.path().join("log");
        for len in [0, 5, CHUNK as usize, CHUNK as usize * 2 + 9] {
            let text: Vec<u8> = b"line\n".iter().copied().cycle().take(len).collect();
            fs::write(&log, &text).unwrap();
            let sums = sums(&log).unwrap();
            assert_eq!(sums.chunks, chunks(&log, len as u64, 0).unwrap());
            assert_eq!(sums.lines, (len / 5) as u64);
        }
    }

    #[test]
    fn nothing_is_ever_moved_over_something() {
        let tmp = tempfile::tempdir().unwrap();
        let (a, b) = (tmp.path().join("a"), tmp.path().join("b"));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        assert!(move_aside(&a, &b).is_err());
        assert_eq!(
            (fs::read(&a).unwrap(), fs::read(&b).unwrap()),
            (b"a".to_vec(), b"b".to_vec())
        );
    }

    #[test]
    fn generations_are_found_by_their_numbers() {
        let tmp = tempfile::tempdir().unwrap();
        for name in [
            "m.log.g0001.x",
            "m.log.g0012.y",
            "m.log.gz",
            "other.g0003.z",
        ] {
            fs::write(tmp.path().join(name), "").unwrap();
        }
        let mut found: Vec<u32> = generations(&tmp.path().join("m.log"))
            .iter()
            .map(|g| g.0)
            .collect();
        found.sort();
        assert_eq!(found, [1, 12]);
    }
}
