//! Versions of a file that lie on either host, fetched to be looked at or to be put back here.
//!
//! Invariant: a local file is only replaced when it still is what the record said of it.

use std::path::Path;

use crate::host::link::Link;
use crate::host::{log_files, plain_files};
use crate::tool::remote;

/// More than this is not fetched into memory.
pub const MOST: u64 = 256 << 20;
const PIECE: u64 = 8 << 20;

/// A file of a host: `root` and a path below it, or an absolute path.
pub fn read(link: &Link, root: &str, path: &[u8], most: u64) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        let (at, n) = (all.len().to_string(), PIECE.to_string());
        let piece = link
            .call(
                remote::READ_FILE,
                &[root, &remote::escaped(path), &at, &n],
                &[],
            )
            .map_err(|e| format!("it cannot be read on {}: {e}", link.name))?;
        let last = (piece.len() as u64) < PIECE;
        all.extend(piece);
        if all.len() as u64 > most {
            return Err(format!(
                "it is larger than {}",
                crate::model::text::size(most)
            ));
        }
        if last {
            return Ok(all);
        }
    }
}

/// Whether a local file is the version with this hash (`None`: nothing is there).
pub fn is(path: &Path, hash: Option<&str>) -> bool {
    let found = log_files::look(path);
    match (found, hash) {
        (Ok(log_files::Found::Nothing), None) => true,
        (Ok(log_files::Found::File(facts)), Some(hash)) => {
            log_files::hash(path, 0, facts.size)
                .ok()
                .flatten()
                .as_deref()
                == Some(hash)
        }
        _ => false,
    }
}

/// Puts content in the place of a version that is still there.
pub fn put(path: &Path, before: Option<&str>, content: &[u8]) -> Result<(), String> {
    if !is(path, before) {
        return Err(format!(
            "{} was changed since; it stays as it is",
            path.display()
        ));
    }
    let said = |e: std::io::Error| format!("{}: {e}", path.display());
    match before {
        None => {
            plain_files::make_dir(path.parent().unwrap_or(Path::new("/"))).map_err(said)?;
            plain_files::write_new(path, content).map_err(said)
        }
        Some(_) => plain_files::replace_alike(path, content).map_err(said),
    }
}
