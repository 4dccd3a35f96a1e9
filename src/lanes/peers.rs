//! The lanes of each peer: all peers at the same time, each over one connection that its lanes share.
//!
//! Invariants: what one peer's work comes to does not stop another's; only one peer at a time works on the local replica,
//! because each must plan against what the one before has brought.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::link::{Keeper, Link};
use crate::host::{clock, files};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::truth::propose::{ProposeError, Request};
use crate::lanes::{log, truth};
use crate::model::path::RelPath;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::tool::ssh;

/// Seconds to wait for a connection; a peer that is away is known to be so after that.
pub const CONNECT_TIMEOUT: u64 = 10;

/// How the private folder of a run on this machine is named.
const SCRATCH: &str = "run-";

/// How far a lane goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carry {
    /// Stop after the guards.
    Show,
    /// Carry it out; with an id, only that very plan.
    Apply { plan: Option<String> },
    /// Say whether all is as it should be, by every byte.
    Compare,
}

/// What is asked of the lanes.
pub struct Order<'a> {
    pub policy: &'a Policy,
    pub peers: Vec<&'a Peer>,
    pub command: &'a str,
    /// The two-way lane; `None`: not asked for.
    pub truth: Option<Carry>,
    /// The append-only lane; `None`: not asked for.
    pub logs: Option<Carry>,
    pub paths: Vec<RelPath>,
    pub allow: Vec<String>,
    /// How long to wait for the lock on a peer.
    pub wait: Duration,
    /// Every file is read again, whatever the memory of content says.
    pub full: bool,
    pub progress: &'a dyn Progress,
}

/// What all lanes of one peer share: the way to it, and a private folder on this machine.
pub struct Reach {
    pub link: Link,
    pub scratch: tempfile::TempDir,
    /// While it lives, the connection does.
    _keeper: Option<Keeper>,
}

/// Runs the lanes that are asked for with every peer.
pub fn run(order: &Order, run: &Run) -> Ended {
    sweep_scratch(&order.policy.site.state_dir);
    if run.open.is_some() && matches!(order.logs, Some(Carry::Apply { .. })) {
        for peer in &order.peers {
            log::survey::sweep_stages(order.policy, peer);
        }
    }
    let turn = Mutex::new(());
    let until = clock::monotonic() + order.wait;
    let several = order.peers.len() > 1;
    let ended: Vec<Ended> = std::thread::scope(|s| {
        let started: Vec<_> = order
            .peers
            .iter()
            .map(|peer| {
                let turn = &turn;
                s.spawn(move || {
                    let aside = several.then(|| order.progress.beside(&peer.name));
                    let progress = aside.as_deref().unwrap_or(order.progress);
                    one_peer(order, peer, run, progress, turn, until)
                })
            })
            .collect();
        let joined = started.into_iter().map(|t| t.join());
        joined
            .map(|t| t.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = Ended::default();
    ended.into_iter().for_each(|e| all.extend(e));
    all
}

fn one_peer(
    order: &Order,
    peer: &Peer,
    run: &Run,
    progress: &dyn Progress,
    turn: &Mutex<()>,
    until: Instant,
) -> Ended {
    // With several peers each connects before its turn, so that those that are away are found out at the same time.
    // So does one whose connection several lanes share.
    let logs = order.logs.as_ref().filter(|_| !peer.logs.is_empty());
    let connect = order.peers.len() > 1 || logs.is_some();
    let reach = reach(order.policy, peer, run.id, connect);
    let mut all = Ended::default();
    if let Some(carry) = order.truth.as_ref().filter(|_| takes_part(order, peer)) {
        match &reach {
            Ok(reach) => {
                let request = Request {
                    policy: order.policy,
                    peer,
                    reach,
                    run: run.id,
                    command: order.command,
                    allow: &order.allow,
                    paths: &order.paths,
                    progress,
                    full: order.full,
                };
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend(truth::run::run(&request, carry, run, until));
            }
            Err(e) => all.extend(truth::run::not_begun(peer, e)),
        }
    }
    if let Some(carry) = logs {
        match &reach {
            Ok(reach) => {
                let request = log::run::Request {
                    policy: order.policy,
                    peer,
                    reach,
                    command: order.command,
                    allow: &order.allow,
                    progress,
                };
                all.extend(match carry {
                    Carry::Compare => log::verify::run(&request),
                    _ => log::run::run(&request, carry, run),
                });
            }
            Err(e) => all.extend(log::run::not_begun(peer, &e.as_link())),
        }
    }
    all
}

/// A peer that takes no part in truth may still have logs.
fn takes_part(order: &Order, peer: &Peer) -> bool {
    peer.truth || order.command == "truth"
}

/// The way to a peer. `connect`: the connection is made now and kept for as long as the result lives; otherwise the first
/// session of a lane makes it.
pub fn reach(
    policy: &Policy,
    peer: &Peer,
    run: &str,
    connect: bool,
) -> Result<Reach, ProposeError> {
    let state = policy.site.state_dir.display().to_string();
    files::private_dir(&policy.site.state_dir).map_err(|e| ProposeError::Failed {
        message: format!("the state directory cannot be used: {e}"),
        hint: format!("ls -ld {state}"),
    })?;
    let scratch = tempfile::Builder::new()
        .prefix(SCRATCH)
        .tempdir_in(&policy.site.state_dir)
        .map_err(|e| ProposeError::Failed {
            message: format!("no room for a run in {state}: {e}"),
            hint: format!("df -h {state}"),
        })?;
    reach_from(policy, peer, run, connect, scratch)
}

/// The same for who only looks: our own directories on this machine are neither made nor touched, and the connection ends with the
/// result.
pub fn reach_lightly(policy: &Policy, peer: &Peer, run: &str) -> Result<Reach, ProposeError> {
    let scratch = tempfile::Builder::new()
        .prefix("ubos-")
        .tempdir()
        .map_err(|e| ProposeError::Failed {
            message: format!("no room for temporary files: {e}"),
            hint: "df -h \"${TMPDIR:-/tmp}\"".into(),
        })?;
    let brief = Peer {
        keep_connection: Duration::ZERO,
        ..peer.clone()
    };
    reach_from(policy, &brief, run, true, scratch)
}

fn reach_from(
    policy: &Policy,
    peer: &Peer,
    run: &str,
    connect: bool,
    scratch: tempfile::TempDir,
) -> Result<Reach, ProposeError> {
    let link = match &peer.remote {
        None => Link::local(&peer.name),
        Some(remote) => {
            let persist = peer.keep_connection.as_secs();
            let socket = socket_path(policy, peer, run, persist, scratch.path());
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
    })
}

/// Private folders that killed runs left. The site's lock is ours, so none of them is in use.
fn sweep_scratch(state: &Path) {
    for name in files::names(state).unwrap_or_default() {
        if name.to_string_lossy().starts_with(SCRATCH) {
            let _ = files::remove_tree(&state.join(name));
        }
    }
}

/// The shared connection's socket: private, and short enough for the system's limit.
fn socket_path(policy: &Policy, peer: &Peer, run: &str, persist: u64, scratch: &Path) -> PathBuf {
    use sha2::{Digest, Sha256};
    let mut name = Sha256::new();
    name.update(format!("{:?}", peer.remote));
    if persist == 0 {
        name.update(run);
    }
    let name: String = name
        .finalize()
        .iter()
        .take(5)
        .map(|b| format!("{b:02x}"))
        .collect();
    let stable = policy.site.state_dir.join("ssh");
    let dir = if persist > 0 && files::private_dir(&stable).is_ok() {
        stable
    } else {
        scratch.to_path_buf()
    };
    let path = dir.join(&name);
    if ssh::fits(&path) {
        return path;
    }
    let short = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|d| d.is_dir());
    match short {
        Some(d) => d.join(format!("ubos-{name}")),
        None => tempfile::Builder::new()
            .prefix("ubos-")
            .tempdir()
            .map_or(path, |d| d.keep().join(name)),
    }
}
