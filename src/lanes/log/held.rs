//! What is held of a log on this host: the live file compared with what was remembered of it.
//!
//! Invariant: a file that is not exactly what this program left is never taken for it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::host::files;
use crate::host::log_files::{self, Found};
use crate::model::log_state::{CHUNK, Facts, SCHEMA, State};
use crate::model::text::{hex, unhex};

/// One log of a peer and the file that it is pulled into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Relative to the peer's root, or absolute.
    pub remote: Vec<u8>,
    pub local: PathBuf,
    /// The policy names it; a member of a glob may come and go.
    pub is_named: bool,
}

impl Log {
    /// The directory and the name of the remote file; the directory is empty for one that lies in the root itself.
    pub fn remote_parts(&self) -> (&[u8], &[u8]) {
        match self.remote.iter().rposition(|b| *b == b'/') {
            Some(cut) => (&self.remote[..cut], &self.remote[cut + 1..]),
            None => (b"", &self.remote),
        }
    }
}

/// What this host has of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mine {
    Nothing,
    /// Exactly what was left.
    Ours(u64),
    /// What was left, and more behind it: an unfinished commit of ours, or somebody's edit.
    Longer {
        held: u64,
        size: u64,
    },
    /// A file of which nothing is remembered.
    Unknown(u64),
    /// Not what was left: somebody changed it.
    Edited,
    /// Something stands there that is no plain file.
    Blocked(&'static str),
}

impl Mine {
    /// How many of its bytes count as held.
    pub fn held(&self) -> u64 {
        match self {
            Mine::Ours(n) | Mine::Unknown(n) | Mine::Longer { held: n, .. } => *n,
            _ => 0,
        }
    }
}

fn dir(state_dir: &Path, peer: &str) -> PathBuf {
    state_dir.join("logs").join(peer)
}

/// Where the state of a log lies.
pub fn state_path(state_dir: &Path, peer: &str, log: &Log) -> PathBuf {
    let mut sum = Sha256::new();
    sum.update(&log.remote);
    sum.update([0]);
    sum.update(log.local.as_os_str().as_encoded_bytes());
    let name = hex(&sum.finalize());
    dir(state_dir, peer).join(format!("{}.json", &name[..32]))
}

pub fn load(path: &Path) -> Option<State> {
    let bytes = files::read_bounded(path, 1 << 26).ok()?;
    let state: State = serde_json::from_slice(&bytes).ok()?;
    (state.schema <= SCHEMA).then_some(state)
}

pub fn save(path: &Path, state: &State) -> Result<(), files::FileError> {
    if let Some(dir) = path.parent() {
        files::private_dir(dir)?;
    }
    let text = serde_json::to_string(state).unwrap_or_default();
    files::write_atomic(path, text.as_bytes(), files::Sync::Name)
}

/// The remote names of all logs of a peer of which something is remembered.
pub fn remembered(state_dir: &Path, peer: &str) -> Vec<Vec<u8>> {
    let dir = dir(state_dir, peer);
    let names = files::names(&dir).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|n| unhex(&load(&dir.join(n))?.remote))
        .collect()
}

/// Looks at the live file.
pub fn look(log: &Log, state: Option<&State>) -> std::io::Result<Mine> {
    let now = match log_files::look(&log.local)? {
        Found::Nothing => return Ok(Mine::Nothing),
        Found::Other(what) => return Ok(Mine::Blocked(what)),
        Found::File(facts) => facts,
    };
    let Some(state) = state else {
        return Ok(Mine::Unknown(now.size));
    };
    let was = state.local;
    if now == was {
        return Ok(Mine::Ours(was.size));
    }
    if now.size < was.size || !starts_as(&log.local, state)? {
        return Ok(Mine::Edited);
    }
    Ok(match now.size == was.size {
        true => Mine::Ours(was.size),
        false => Mine::Longer {
            held: was.size,
            size: now.size,
        },
    })
}

/// Whether the file still begins with what was left.
pub fn starts_as(local: &Path, state: &State) -> std::io::Result<bool> {
    let same_tail = match &state.tail {
        // Remembered by an earlier version; the comparison with the other side covers it.
        None => true,
        known => *known == tail(local, state.local.size)?,
    };
    Ok(same_tail && log_files::chunks(local, state.local.size, 0)? == state.chunks)
}

/// The hash of the piece behind the last whole chunk.
fn tail(local: &Path, size: u64) -> std::io::Result<Option<String>> {
    let rest = size % CHUNK;
    log_files::hash(local, size - rest, rest)
}

/// A state for what is on disk now.
pub fn state_of(
    peer: &str,
    log: &Log,
    generation: u32,
    local: Facts,
    before: Option<&State>,
    known: Vec<String>,
) -> std::io::Result<State> {
    let mut chunks = before
        .filter(|b| b.generation == generation && b.local.size <= local.size && known.is_empty())
        .map_or(known, |b| b.chunks.clone());
    chunks.extend(log_files::chunks(&log.local, local.size, chunks.len())?);
    Ok(State {
        schema: SCHEMA,
        peer: peer.to_owned(),
        remote: hex(&log.remote),
        generation,
        local,
        chunks,
        tail: tail(&log.local, local.size)?,
    })
}
