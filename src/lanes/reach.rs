//! The way to one peer: its connection, and a private folder on this machine.
//!
//! Invariants: sockets and folders lie where only this user can put anything; what a killed run left of them is swept by the next one,
//! and nothing that is in use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::host::link::{Keeper, Link};
use crate::host::sockets;
use crate::host::{clock, files};
use crate::lanes::truth::propose::ProposeError;
use crate::model::policy::{Peer, Policy, Remote};
use crate::model::worker_doc::WorkerDoc;
use crate::tool::ssh;

/// Seconds to wait for a connection; a peer that is away is known to be so after that.
pub const CONNECT_TIMEOUT: u64 = 10;

/// How the private folder of a run on this machine is named, and that of a worker.
const OF_A_RUN: &str = "run-";
const OF_A_WORKER: &str = "worker-";
/// How long a file of ours may be on its way to its name.
const UNFINISHED: Duration = Duration::from_secs(600);
/// In such a folder: where its sockets lie, when its own name is too long for them.
const ELSEWHERE: &str = "elsewhere";

/// What all lanes of one peer share: the way to it, and a private folder on this machine.
pub struct Reach {
    pub link: Link,
    pub scratch: tempfile::TempDir,
    /// While it lives, the connection does.
    _keeper: Option<Keeper>,
    /// Dropped last: ssh removes its socket itself.
    _sockets: Option<Sockets>,
}

/// A private folder in which the sockets of connections lie.
pub struct Sockets {
    dir: PathBuf,
    /// Not below the owner's folder, so it has to be removed for itself.
    is_elsewhere: bool,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        if self.is_elsewhere {
            let _ = files::remove_tree(&self.dir);
        }
    }
}

impl Sockets {
    /// In `owner`, or where names are shorter; then a note in `owner` says where, so that a sweep finds it.
    pub fn beside(owner: &Path) -> Result<Self, files::FileError> {
        if ssh::fits(&owner.join("x".repeat(NAME))) {
            return Ok(Self {
                dir: owner.to_owned(),
                is_elsewhere: false,
            });
        }
        let dir = short().join(format!("ubos-{}", files::random_hex(8)?));
        let note = dir.to_string_lossy().into_owned();
        files::write_atomic(&owner.join(ELSEWHERE), note.as_bytes(), files::Sync::Later)?;
        files::private_dir(&dir)?;
        Ok(Self {
            dir,
            is_elsewhere: true,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, peer: &Peer, remote: &Remote) -> PathBuf {
        self.dir.join(name(&format!("{} {remote:?}", peer.name)))
    }
}

/// Letters in the name of a socket.
const NAME: usize = 10;

fn name(of: &str) -> String {
    let digest = Sha256::digest(of);
    crate::model::text::hex(&digest)[..NAME].to_owned()
}

/// A directory of this machine with a short name.
fn short() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let fits = |d: &PathBuf| d.is_dir() && d.as_os_str().len() < 50;
    runtime.filter(fits).unwrap_or_else(std::env::temp_dir)
}

fn no_room(state: &Path, e: &dyn std::fmt::Display) -> ProposeError {
    let state = state.display();
    ProposeError::Failed {
        message: format!("no room for a run in {state}: {e}"),
        hint: format!("df -h {state}"),
    }
}

/// A private folder of a run on this machine.
pub fn scratch(state: &Path) -> Result<tempfile::TempDir, ProposeError> {
    private(state, OF_A_RUN)
}

/// A private folder of a worker on this machine: it stays through many runs.
pub fn of_a_worker(state: &Path) -> Result<tempfile::TempDir, ProposeError> {
    private(state, OF_A_WORKER)
}

fn private(state: &Path, prefix: &str) -> Result<tempfile::TempDir, ProposeError> {
    files::private_dir(state).map_err(|e| ProposeError::Failed {
        message: format!("the state directory cannot be used: {e}"),
        hint: format!("ls -ld {}", state.display()),
    })?;
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(state)
        .map_err(|e| no_room(state, &e))
}

/// The way to a peer. `connect`: the connection is made now and kept for as long as the result lives; otherwise the first
/// session of a lane makes it.
pub fn reach(policy: &Policy, peer: &Peer, connect: bool) -> Result<Reach, ProposeError> {
    let state = &policy.site.state_dir;
    from(state, peer, peer.keep_connection, connect, scratch(state)?)
}

/// The same for who does without the site's lock, and must not lose its folder to a run that sweeps: our own directories on this
/// machine are neither made nor touched, and the connection ends with the result.
pub fn lightly(policy: &Policy, peer: &Peer) -> Result<Reach, ProposeError> {
    let scratch = tempfile::Builder::new()
        .prefix("ubos-")
        .tempdir()
        .map_err(|e| ProposeError::Failed {
            message: format!("no room for temporary files: {e}"),
            hint: "df -h \"${TMPDIR:-/tmp}\"".into(),
        })?;
    from(&policy.site.state_dir, peer, Duration::ZERO, true, scratch)
}

fn from(
    state: &Path,
    peer: &Peer,
    persist: Duration,
    connect: bool,
    scratch: tempfile::TempDir,
) -> Result<Reach, ProposeError> {
    let mut sockets = None;
    let link = match &peer.remote {
        None => Link::local(&peer.name),
        Some(remote) => {
            let persist = persist.as_secs();
            let place = (persist > 0).then(|| lasting(state, remote)).flatten();
            let (socket, persist) = match place {
                Some(socket) => (socket, persist),
                // Where no place lasts that is short enough, the connection ends with the run.
                None => {
                    let here = Sockets::beside(scratch.path()).map_err(|e| no_room(state, &e))?;
                    let socket = here.path(peer, remote);
                    sockets = Some(here);
                    (socket, 0)
                }
            };
            Link::ssh(&peer.name, remote, socket, persist, CONNECT_TIMEOUT)
        }
    };
    let keeper = match connect {
        true => link.keep()?,
        false => None,
    };
    Ok(Reach {
        link,
        scratch,
        _keeper: keeper,
        _sockets: sockets,
    })
}

/// Whether an earlier run left a connection to this peer, so that nobody has to wait until one is made. It may have died since.
pub fn is_left(policy: &Policy, peer: &Peer) -> bool {
    let remote = peer
        .remote
        .as_ref()
        .filter(|_| peer.keep_connection.as_secs() > 0);
    let socket = remote.and_then(|r| lasting(&policy.site.state_dir, r));
    socket.is_some_and(|s| s.exists())
}

/// The way over a connection that somebody else keeps.
pub fn over(state: &Path, link: Link) -> Result<Reach, ProposeError> {
    Ok(Reach {
        link,
        scratch: scratch(state)?,
        _keeper: None,
        _sockets: None,
    })
}

/// Where the socket of a connection that outlives its run lies; `None` when no such place has a name that is short enough.
fn lasting(state: &Path, remote: &Remote) -> Option<PathBuf> {
    let socket = state.join("ssh").join(name(&format!("{remote:?}")));
    (ssh::fits(&socket) && files::private_dir(&state.join("ssh")).is_ok()).then_some(socket)
}

/// Removes what killed runs and workers left. The site's lock is ours, so no folder of a run is in use.
pub fn sweep(state: &Path) {
    let names = files::names(state).unwrap_or_default();
    let begin_with = |prefix: &str| -> Vec<PathBuf> {
        let these = names
            .iter()
            .filter(|n| n.to_string_lossy().starts_with(prefix));
        these
            .map(|n| state.join(n))
            .filter(|p| p.is_dir())
            .collect()
    };
    begin_with(OF_A_RUN).iter().for_each(|d| remove(d));
    // A worker takes its lock before it makes its folder, and the folders were listed before the lock is looked at.
    let of_workers = begin_with(OF_A_WORKER);
    if !of_workers.is_empty() && !files::is_locked(&state.join(WorkerDoc::LOCK)) {
        of_workers.iter().for_each(|d| remove(d));
    }
    // A file that somebody began and never named: whoever still writes has been at it for moments.
    let old = clock::now().timestamp() - UNFINISHED.as_secs().cast_signed();
    for name in &names {
        let file = state.join(name);
        let is_stage = name.to_string_lossy().starts_with(files::STAGE);
        if is_stage && files::modified(&file).is_ok_and(|at| at < old) {
            let _ = files::remove_file(&file);
        }
    }
    let ssh = state.join("ssh");
    for socket in files::names(&ssh).unwrap_or_default() {
        sockets::remove_dead(&ssh.join(socket));
    }
}

/// Removes what workers before this one left; the lock of the worker is ours.
pub fn sweep_workers(state: &Path) {
    for name in files::names(state).unwrap_or_default() {
        let dir = state.join(&name);
        if name.to_string_lossy().starts_with(OF_A_WORKER) && dir.is_dir() {
            remove(&dir);
        }
    }
}

fn remove(dir: &Path) {
    if let Ok(note) = files::read_bounded(&dir.join(ELSEWHERE), 4096) {
        let there = PathBuf::from(String::from_utf8_lossy(&note).into_owned());
        let is_ours = there
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("ubos-"));
        if is_ours && there.is_absolute() {
            let _ = files::remove_tree(&there);
        }
    }
    let _ = files::remove_tree(dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_swept_also_where_its_sockets_lay_elsewhere() {
        let tmp = tempfile::tempdir().unwrap();
        let state = tmp.path().join("x".repeat(80));
        let scratch = scratch(&state).unwrap();
        let sockets = Sockets::beside(scratch.path()).unwrap();
        let there = sockets.dir.clone();
        assert!(there.is_dir() && !there.starts_with(&state));
        // Killed: nothing of it is dropped.
        std::mem::forget(sockets);
        let left = scratch.keep();
        sweep(&state);
        assert!(!there.exists() && !left.exists());
        // An orderly end takes its folder along.
        let scratch = super::scratch(&state).unwrap();
        let sockets = Sockets::beside(scratch.path()).unwrap();
        let there = sockets.dir.clone();
        drop(sockets);
        assert!(!there.exists());
    }

    #[test]
    fn a_file_that_never_got_its_name_is_swept_when_nobody_can_be_at_it_any_more() {
        let tmp = tempfile::tempdir().unwrap();
        let (old, young) = (
            tmp.path().join(".ubos-sync.a"),
            tmp.path().join(".ubos-sync.b"),
        );
        let long_ago = clock::now() - UNFINISHED - Duration::from_secs(60);
        for file in [&old, &young] {
            std::fs::write(file, "half").unwrap();
        }
        let times = std::fs::FileTimes::new().set_modified(long_ago.into());
        std::fs::File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_times(times)
            .unwrap();
        sweep(tmp.path());
        assert!(!old.exists() && young.exists());
    }

    #[test]
    fn the_folder_of_a_worker_is_swept_only_when_none_lives() {
        let tmp = tempfile::tempdir().unwrap();
        let state = tmp.path().join("s");
        let dir = of_a_worker(&state).unwrap().keep();
        let lock = files::lock(&state.join(WorkerDoc::LOCK)).unwrap();
        sweep(&state);
        assert!(dir.exists());
        drop(lock);
        sweep(&state);
        assert!(!dir.exists());
    }

    #[test]
    fn a_socket_that_nobody_answers_at_is_swept_and_one_in_use_stays() {
        let tmp = tempfile::tempdir().unwrap();
        let ssh = tmp.path().join("ssh");
        std::fs::create_dir(&ssh).unwrap();
        let (live, dead) = (ssh.join("live"), ssh.join("dead"));
        let _listens = std::os::unix::net::UnixListener::bind(&live).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        std::fs::write(ssh.join("file"), "not a socket").unwrap();
        // A program that another test starts just now holds the dead one, too, until it runs.
        let until = clock::monotonic() + Duration::from_secs(60);
        while dead.exists() && clock::monotonic() < until {
            sweep(tmp.path());
        }
        assert!(live.exists() && !dead.exists() && ssh.join("file").exists());
    }
}
