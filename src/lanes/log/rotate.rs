//! Another generation began over there: the end of the old one is fetched from where it was moved to, whole generations that
//! nobody has seen come along, and the old one is archived here.
//!
//! Invariants: the archive is made by giving the live file another name, never by copying or cutting it; its name is new; a gap
//! is only called closed when the moved file's hashes prove that it continues what is held.

use std::path::PathBuf;

use crate::host::log_files;
use crate::lanes::log::held::{self, Log, Mine};
use crate::lanes::log::probe::{self, File, Item, Members, There};
use crate::lanes::log::pull::{self, PullError, Way};
use crate::model::log_state::{CHUNK, Rotated, State, archive_suffix, rotated, window};
use crate::tool::remote;

/// How many rotated siblings are looked at.
const MOST: usize = 24;
/// Bytes of a packed file that are fetched in one piece.
const PIECE: u64 = 8 << 20;

/// What came of it.
#[derive(Debug, Default)]
pub struct Turned {
    pub notes: Vec<String>,
    /// Something may be missing between the archived generation and the next.
    pub has_gap: bool,
    /// Something that somebody wrote behind the copy was set aside.
    pub has_edit: bool,
    /// Bytes that came.
    pub bytes: u64,
}

/// Archives the live file as a finished generation. `state` is what is remembered of it; afterwards nothing is live.
pub fn turn(
    way: &Way,
    log: &Log,
    mine: &Mine,
    state: &State,
    state_path: &std::path::Path,
    stamp: &str,
) -> Result<Turned, PullError> {
    let mut out = Turned::default();
    let mut state = state.clone();
    let siblings = siblings(way, log)?;
    let mut mine = mine.clone();
    let mut found = find(way, log, &mine, &siblings)?;
    if let (None, Mine::Longer { held, .. }) = (&found, &mine) {
        // Nothing over there has what lies behind the bytes that were left here: somebody wrote it.
        let held = *held;
        out.notes.push(split(log, held, &mut state, stamp)?);
        out.has_edit = true;
        mine = Mine::Ours(held);
        found = find(way, log, &mine, &siblings)?;
    }
    let mine = &mine;
    let mut next = state.generation + 1;
    match found {
        Some((n, file)) => {
            finish(
                way,
                log,
                mine,
                &siblings[n],
                &file,
                &mut state,
                state_path,
                &mut out,
            )?;
            for unseen in siblings[..n].iter().rev() {
                fetch(way, log, unseen, next, stamp, &mut out)?;
                next += 1;
            }
        }
        None => {
            out.has_gap = true;
            out.notes.push(format!(
                "GAP: what was written after byte {} of generation {} and before it was rotated is not to be found over there",
                state.local.size, state.generation
            ));
        }
    }
    let kept = archive(log, &state, stamp)?;
    out.notes.push(format!(
        "generation {} is kept as {}",
        state.generation,
        kept.display()
    ));
    state.generation = next;
    state.local = Default::default();
    state.chunks.clear();
    state.tail = None;
    held::save(state_path, &state).map_err(|e| PullError::Failed(e.to_string()))?;
    Ok(out)
}

fn in_dir_of(log: &Log, name: &[u8]) -> Vec<u8> {
    match log.remote_parts() {
        (b"", _) if !log.remote.starts_with(b"/") => name.to_vec(),
        (dir, _) => [dir, b"/", name].concat(),
    }
}

/// The rotated files beside the log, youngest first.
fn siblings(way: &Way, log: &Log) -> Result<Vec<Rotated>, PullError> {
    let (dir, name) = log.remote_parts();
    let dir = if dir.is_empty() { b"." } else { dir };
    let answer = probe::ask(
        &way.reach.link,
        &way.peer.root,
        "",
        &[(dir.to_vec(), 1)],
        &[],
    )
    .map_err(|e| PullError::Broke(e.to_string()))?;
    let names = match &answer.globs[0] {
        Members::All(all) => all.iter().map(|(p, _)| p.as_bytes().to_vec()).collect(),
        _ => usual(way, log)?,
    };
    let mut found = rotated(name, names);
    found.truncate(MOST);
    Ok(found)
}

/// The names that rotation usually gives, for a directory that cannot be listed.
fn usual(way: &Way, log: &Log) -> Result<Vec<Vec<u8>>, PullError> {
    let (_, name) = log.remote_parts();
    let names: Vec<Vec<u8>> = (1..=3)
        .flat_map(|n| [format!(".{n}"), format!(".{n}.gz")])
        .map(|ending| [name, ending.as_bytes()].concat())
        .collect();
    let items: Vec<Item> = names
        .iter()
        .map(|n| Item {
            path: in_dir_of(log, n),
            ..Item::default()
        })
        .collect();
    let answer = probe::ask(&way.reach.link, &way.peer.root, "", &[], &items)
        .map_err(|e| PullError::Broke(e.to_string()))?;
    let all = names.into_iter().zip(answer.items);
    Ok(all
        .filter(|(_, there)| matches!(there, There::File(_)))
        .map(|(name, _)| name)
        .collect())
}

/// The sibling that continues what is held.
fn find(
    way: &Way,
    log: &Log,
    mine: &Mine,
    siblings: &[Rotated],
) -> Result<Option<(usize, File)>, PullError> {
    let held = mine.held();
    if held == 0 || siblings.is_empty() {
        return Ok(None);
    }
    let mut ranges = vec![window(held), (0, held.min(CHUNK))];
    if let Mine::Longer { held, size } = mine {
        ranges.push((*held, size - held));
    }
    ranges.dedup();
    let mut ours = Vec::new();
    for (offset, len) in &ranges {
        ours.push(
            log_files::hash(&log.local, *offset, *len)
                .map_err(|e| PullError::Failed(e.to_string()))?,
        );
    }
    let items: Vec<Item> = siblings
        .iter()
        .map(|s| Item {
            path: in_dir_of(log, &s.name),
            ranges: ranges.clone(),
            packed: s.packed,
            ..Item::default()
        })
        .collect();
    let answer = probe::ask(&way.reach.link, &way.peer.root, "", &[], &items)
        .map_err(|e| PullError::Broke(e.to_string()))?;
    let continues = |file: &File| {
        ranges
            .iter()
            .zip(&ours)
            .all(|(r, h)| h.is_some() && file.hashes.get(r) == h.as_ref())
    };
    Ok(answer
        .items
        .into_iter()
        .enumerate()
        .find_map(|(n, there)| match there {
            There::File(file) if continues(&file) => Some((n, file)),
            _ => None,
        }))
}

/// Fetches the end of the old generation from the sibling that has it.
#[expect(clippy::too_many_arguments, reason = "the parts of one append")]
fn finish(
    way: &Way,
    log: &Log,
    mine: &Mine,
    sibling: &Rotated,
    file: &File,
    state: &mut State,
    state_path: &std::path::Path,
    out: &mut Turned,
) -> Result<(), PullError> {
    let io = |e: std::io::Error| PullError::Failed(e.to_string());
    let at = match mine {
        Mine::Longer { size, .. } => *size,
        other => other.held(),
    };
    let name = String::from_utf8_lossy(&sibling.name).into_owned();
    if file.size > at {
        let path = in_dir_of(log, &sibling.name);
        if sibling.packed {
            unpack(way, log, &path, at, file.size)?;
            out.bytes += file.size - at;
        } else {
            let staged = pull::pull(way, log, &path, at)?;
            if staged.end < file.size {
                return Err(PullError::Broke(
                    staged.why_cut.unwrap_or_else(|| "it came in part".into()),
                ));
            }
            log_files::append(&log.local, &staged.file, at, staged.end, staged.mtime_ns)
                .map_err(io)?;
            out.bytes += staged.end - at;
        }
        out.notes.push(format!(
            "{} bytes of the old generation's end were found in {}",
            file.size - at,
            crate::model::text::neutral(&name)
        ));
    }
    if let log_files::Found::File(now) = log_files::look(&log.local).map_err(io)?
        && now != state.local
    {
        *state = held::state_of(
            &way.peer.name,
            log,
            state.generation,
            now,
            Some(state),
            Vec::new(),
        )
        .map_err(io)?;
        held::save(state_path, state).map_err(|e| PullError::Failed(e.to_string()))?;
    }
    Ok(())
}

/// The end of a packed generation, piece by piece, into a stage and then behind the log.
fn unpack(way: &Way, log: &Log, path: &[u8], at: u64, end: u64) -> Result<(), PullError> {
    let io = |e: std::io::Error| PullError::Failed(e.to_string());
    let dir = log_files::stage_dir(&log.local).map_err(io)?;
    let stage = dir.path().join("unpacked");
    log_files::stub(&stage, at).map_err(io)?;
    let mut place = at;
    while place < end {
        let most = PIECE.min(end - place);
        let (name, from, n) = (remote::escaped(path), place.to_string(), most.to_string());
        let bytes = way
            .reach
            .link
            .call(remote::LOG_READ, &[&way.peer.root, &name, &from, &n], &[])
            .map_err(|e| PullError::Broke(e.to_string()))?;
        if bytes.is_empty() {
            return Err(PullError::Moved(
                "a packed generation changed while it was read".into(),
            ));
        }
        log_files::extend(&stage, &bytes).map_err(io)?;
        place += bytes.len() as u64;
    }
    log_files::append(&log.local, &stage, at, end, 0).map_err(io)?;
    Ok(())
}

/// A whole generation that was never seen live.
fn fetch(
    way: &Way,
    log: &Log,
    sibling: &Rotated,
    number: u32,
    stamp: &str,
    out: &mut Turned,
) -> Result<(), PullError> {
    let io = |e: std::io::Error| PullError::Failed(e.to_string());
    let path = in_dir_of(log, &sibling.name);
    let staged = pull::pull(way, log, &path, 0)?;
    if let Some(why) = staged.why_cut {
        return Err(PullError::Broke(why));
    }
    let sum = log_files::hash(&staged.file, 0, staged.end)
        .map_err(io)?
        .unwrap_or_default();
    // A run that died behind this point has it already, under the same number and with the same hash.
    let ending = format!(
        ".{}{}",
        &sum[..8.min(sum.len())],
        if sibling.packed { ".gz" } else { "" }
    );
    let already = log_files::generations(&log.local)
        .into_iter()
        .any(|(n, p)| n == number && p.to_string_lossy().ends_with(&ending));
    if already {
        return Ok(());
    }
    let mut name = log.local.clone().into_os_string();
    name.push(archive_suffix(number, stamp, &sum));
    if sibling.packed {
        name.push(".gz");
    }
    let to = PathBuf::from(name);
    log_files::put(&staged.file, &to, staged.mtime_ns).map_err(io)?;
    out.bytes += staged.end;
    out.notes.push(format!(
        "generation {number}, which came and went between two pulls, is kept as {}",
        to.display()
    ));
    Ok(())
}

/// Takes what somebody wrote behind our copy apart from it: the whole file gets a name of its own, a copy of what was left goes
/// on as the generation that it is.
fn split(log: &Log, held: u64, state: &mut State, stamp: &str) -> Result<String, PullError> {
    let io = |e: std::io::Error| PullError::Failed(e.to_string());
    let dir = log_files::stage_dir(&log.local).map_err(io)?;
    let copy = dir.path().join("copy");
    log_files::copy_beginning(&log.local, &copy, held).map_err(io)?;
    let aside = log_files::edit_name(&log.local, stamp).map_err(io)?;
    log_files::move_aside(&log.local, &aside).map_err(io)?;
    state.local = log_files::put(&copy, &log.local, state.local.mtime_ns).map_err(io)?;
    Ok(format!(
        "somebody wrote behind the copy here; the file as it was is kept as {}",
        aside.display()
    ))
}

/// Gives the live file its archive name.
fn archive(log: &Log, state: &State, stamp: &str) -> Result<PathBuf, PullError> {
    let io = |e: std::io::Error| PullError::Failed(e.to_string());
    let (offset, len) = window(state.local.size);
    let sum = log_files::hash(&log.local, offset, len)
        .map_err(io)?
        .unwrap_or_default();
    let mut name = log.local.clone().into_os_string();
    name.push(archive_suffix(state.generation, stamp, &sum));
    let to = PathBuf::from(name);
    log_files::move_aside(&log.local, &to).map_err(io)?;
    Ok(to)
}
