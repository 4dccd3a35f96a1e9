//! File events of this host's tree.
//!
//! Invariant: what cannot be heard is said (`Lost`): silence always means that nothing was seen.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// An open ear.
pub struct Events {
    receiver: Receiver<notify::Result<Event>>,
    _watcher: RecommendedWatcher,
}

/// What was heard within the time given.
pub enum Heard {
    Nothing,
    Paths(Vec<PathBuf>),
    /// Something got another name; what lies below it has moved without a word.
    Renamed(Vec<PathBuf>),
    /// Something was missed: which files changed is not known.
    Lost(String),
}

/// Listens to everything below these directories; why not, in words and with a way out, when it cannot be done.
pub fn listen(dirs: &[PathBuf]) -> Result<Events, String> {
    let (sender, receiver) = channel();
    let mut watcher = notify::recommended_watcher(move |event| {
        let _ = sender.send(event);
    })
    .map_err(|e| explained(&e))?;
    for dir in dirs {
        watcher
            .watch(dir, RecursiveMode::Recursive)
            .map_err(|e| format!("{}: {}", dir.display(), explained(&e)))?;
    }
    Ok(Events {
        receiver,
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
                    Heard::Renamed(event.paths)
                }
                _ => Heard::Paths(event.paths),
            },
        }
    }
}

/// A file's facts by which a change of it is noticed; `None` when it is not there.
pub fn stamp(path: &Path) -> Option<(u64, i128)> {
    use std::os::unix::fs::MetadataExt;
    let m = std::fs::metadata(path).ok()?;
    let time = i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec());
    Some((m.len() ^ m.ino(), time))
}
