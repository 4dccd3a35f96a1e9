//! File events of trees on this host.
//!
//! Invariant: what cannot be heard is said (`Lost`): silence always means that nothing was seen.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::model::path::RelPath;

/// A tree to listen to, or parts of it.
pub struct Root {
    /// As the system names it, because events name it so.
    dir: PathBuf,
    parts: Vec<PathBuf>,
}

impl Root {
    /// `below`: the parts of interest; none: all of it. Parts that are not there are not listened to.
    pub fn new(dir: &Path, below: &[RelPath]) -> Self {
        let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let part = |p: &RelPath| dir.join(std::ffi::OsStr::from_bytes(p.as_bytes()));
        let parts = match below.is_empty() {
            true => vec![dir.clone()],
            false => below.iter().map(part).collect(),
        };
        Self { dir, parts }
    }
}

/// An open ear.
pub struct Events {
    receiver: Receiver<notify::Result<Event>>,
    roots: Vec<PathBuf>,
    _watcher: RecommendedWatcher,
}

/// A path below a root, with the number of that root.
pub type Place = (usize, Vec<u8>);

/// What was heard within the time given.
pub enum Heard {
    Nothing,
    Paths(Vec<Place>),
    /// Something got another name; what lies below it has moved without a word.
    Renamed(Vec<Place>),
    /// Something was missed: which files changed is not known.
    Lost(String),
}

/// Listens to everything below these roots; why not, in words and with a way out, when it cannot be done.
pub fn listen(roots: &[Root]) -> Result<Events, String> {
    let (sender, receiver) = channel();
    let mut watcher = notify::recommended_watcher(move |event| {
        let _ = sender.send(event);
    })
    .map_err(|e| explained(&e))?;
    if let Some(root) = roots.iter().find(|r| !r.dir.is_dir()) {
        return Err(format!("{} is not there", root.dir.display()));
    }
    for part in roots.iter().flat_map(|r| &r.parts).filter(|p| p.exists()) {
        watcher
            .watch(part, RecursiveMode::Recursive)
            .map_err(|e| format!("{}: {}", part.display(), explained(&e)))?;
    }
    Ok(Events {
        receiver,
        roots: roots.iter().map(|r| r.dir.clone()).collect(),
        _watcher: watcher,
    })
}

fn explained(e: &notify::Error) -> String {
    let limit = match &e.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(e) => e.raw_os_error() == Some(28) || e.raw_os_error() == Some(24),
        _ => false,
    };
    match limit {
        true => "the system's limit of watched directories is reached; to raise it: sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512".into(),
        false => e.to_string(),
    }
}

impl Events {
    /// Waits for what happens next.
    pub fn hear(&self, how_long: Duration) -> Heard {
        match self.receiver.recv_timeout(how_long) {
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Lost("the listener ended".into()),
            Ok(Err(e)) => Heard::Lost(explained(&e)),
            Ok(Ok(event)) if event.need_rescan() => {
                Heard::Lost("more happened than could be listed".into())
            }
            Ok(Ok(event)) => match event.kind {
                EventKind::Access(_) => Heard::Paths(Vec::new()),
                EventKind::Modify(notify::event::ModifyKind::Name(_)) => {
                    Heard::Renamed(self.places(&event.paths))
                }
                _ => Heard::Paths(self.places(&event.paths)),
            },
        }
    }

    fn places(&self, paths: &[PathBuf]) -> Vec<Place> {
        let place = |path: &PathBuf| {
            // One root may lie inside another.
            let within = self
                .roots
                .iter()
                .enumerate()
                .filter(|(_, root)| path.starts_with(root));
            let (n, root) = within.max_by_key(|(_, root)| root.as_os_str().len())?;
            let below = path.strip_prefix(root).ok()?;
            Some((n, below.as_os_str().as_bytes().to_vec()))
        };
        paths.iter().filter_map(place).collect()
    }
}

/// A mark in a listened folder of ours: when it is heard, all that happened before has been.
pub fn mark(folder: &Path, number: u64) -> bool {
    let file = folder.join(format!("mark.{number}"));
    std::fs::write(&file, b"").is_ok() && std::fs::remove_file(&file).is_ok()
}

/// The number of a mark that was heard.
pub fn marked(path: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(path).ok()?.strip_prefix("mark.")?;
    number.parse().ok()
}

/// A file's facts by which a change of it is noticed; `None` when it is not there.
pub fn stamp(path: &Path) -> Option<(u64, i128)> {
    use std::os::unix::fs::MetadataExt;
    let m = std::fs::metadata(path).ok()?;
    let time = i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec());
    Some((m.len() ^ m.ino(), time))
}
