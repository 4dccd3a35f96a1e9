//! All logs of a peer, looked at here and there: the named ones, and the members of globs.
//!
//! Invariants: one round trip, and a second only for new members for which something lies here already; what a glob does not
//! list is gone, what a name does not show is missing; state is never among them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::host::link::LinkError;
use crate::host::{clock, log_files};
use crate::lanes::log::held::{self, Log, Mine};
use crate::lanes::log::plan;
use crate::lanes::log::probe::{self, Item, Members, There};
use crate::lanes::log::run::Request;
use crate::model::log_state::{Range, State};
use crate::model::path::RelPath;
use crate::model::policy::{LogPull, Peer, Policy};
use crate::model::rules::Verdict;
use crate::model::text::neutral_bytes;
use crate::tool::rsync::Flavour;

/// A log with everything that is known of it.
pub struct Seen {
    pub log: Log,
    pub mine: Mine,
    pub state: Option<State>,
    pub there: There,
    pub local: HashMap<Range, String>,
    /// Why it cannot be looked at on this host.
    pub trouble: Option<String>,
}

/// Everything the probe found.
pub struct Survey {
    pub seen: Vec<Seen>,
    pub notes: Vec<(String, String)>,
    pub rsync: Option<Flavour>,
    /// Whether the line is slow enough for compression to pay.
    pub is_slow: bool,
}

/// An answer that takes longer than this came over a slow line.
const SLOW: Duration = Duration::from_millis(150);

/// Looks at all logs of the peer, here and there.
pub fn survey(request: &Request) -> Result<Survey, LinkError> {
    let (policy, peer) = (request.policy, request.peer);
    let mut logs = known(policy, peer);
    let globs: Vec<&LogPull> = peer.logs.iter().filter(|p| p.is_glob).collect();
    let dirs: Vec<(Vec<u8>, usize)> = globs
        .iter()
        .map(|p| (base_of(p).as_bytes().to_vec(), p.depth()))
        .collect();
    let salt = u64::try_from(clock::now_ns() / 1_000_000).unwrap_or(0);
    let mut seen: Vec<Seen> = logs
        .drain(..)
        .map(|log| near(policy, peer, log, salt))
        .collect();
    let items: Vec<Item> = seen.iter().map(item).collect();
    let begun = clock::monotonic();
    let link = &request.reach.link;
    let answer = probe::ask(link, &peer.root, &peer.rsync, &dirs, &items)?;
    let is_slow = link.is_remote() && begun.elapsed() > SLOW;
    for (s, there) in seen.iter_mut().zip(answer.items) {
        s.there = there;
    }
    let mut notes = Vec::new();
    let fresh = members(
        policy,
        peer,
        &globs,
        &answer.globs,
        &mut seen,
        &mut notes,
        salt,
    );
    ask_again(request, fresh, &mut seen)?;
    let mut taken = HashSet::new();
    for s in &mut seen {
        if !taken.insert(s.log.local.clone()) {
            s.trouble = Some("another log of this peer goes to the same local file".into());
        }
    }
    Ok(Survey {
        seen,
        notes,
        rsync: answer.rsync,
        is_slow,
    })
}

/// Stages of killed runs, wherever logs of this peer go. Only while no pull is under way: several peers may share a directory.
pub fn sweep_stages(policy: &Policy, peer: &Peer) {
    let mut dirs = HashSet::new();
    for log in known(policy, peer) {
        if dirs.insert(log.local.parent().map(std::path::Path::to_owned)) {
            log_files::sweep_stages(&log.local);
        }
    }
}

/// What is known before anybody was asked: the named logs, and the members of globs that were pulled before.
fn known(policy: &Policy, peer: &Peer) -> Vec<Log> {
    let mut all: Vec<Log> = peer
        .logs
        .iter()
        .filter(|p| !p.is_glob)
        .map(|p| Log {
            remote: p.remote.as_bytes().to_vec(),
            local: p.local.clone(),
            is_named: true,
        })
        .collect();
    for remote in held::remembered(&policy.site.state_dir, &peer.name) {
        let of = peer.logs.iter().filter(|p| p.is_glob).find_map(|p| {
            let base = base_of(p);
            let below = match base {
                "." => remote.as_slice(),
                base => remote.strip_prefix(base.as_bytes())?.strip_prefix(b"/")?,
            };
            let below = RelPath::new(below)?;
            p.is_member(&below).then(|| member(p, &below))
        });
        if let Some(log) = of
            && !all.iter().any(|l| l.remote == log.remote)
        {
            all.push(log);
        }
    }
    all
}

/// The directory of a glob, as the script reads it.
fn base_of(pull: &LogPull) -> &str {
    match pull.base_and_tail().0 {
        "" if pull.remote.starts_with('/') => "/",
        "" => ".",
        base => base,
    }
}

fn member(pull: &LogPull, below: &RelPath) -> Log {
    let remote = match base_of(pull) {
        "." => below.as_bytes().to_vec(),
        "/" => [b"/", below.as_bytes()].concat(),
        base => [base.as_bytes(), b"/", below.as_bytes()].concat(),
    };
    Log {
        remote,
        local: pull.local.join(OsStr::from_bytes(below.as_bytes())),
        is_named: false,
    }
}

/// This host's half.
fn near(policy: &Policy, peer: &Peer, log: Log, salt: u64) -> Seen {
    let state = held::load(&held::state_path(&policy.site.state_dir, &peer.name, &log));
    let (mine, trouble) = match held::look(&log, state.as_ref()) {
        Ok(mine) => (mine, None),
        Err(e) => (
            Mine::Nothing,
            Some(format!("{} cannot be read: {e}", log.local.display())),
        ),
    };
    let mut local = HashMap::new();
    for (offset, len) in plan::wanted(&mine, salt) {
        if let Ok(Some(sum)) = log_files::hash(&log.local, offset, len) {
            local.insert((offset, len), sum);
        }
    }
    Seen {
        log,
        mine,
        state,
        there: There::Missing,
        local,
        trouble,
    }
}

fn item(seen: &Seen) -> Item {
    Item {
        path: seen.log.remote.clone(),
        ranges: seen.local.keys().copied().collect(),
        tail: Some(seen.mine.held()),
        packed: false,
    }
}

/// Sorts the members of globs: those known already, new ones, and those that went away.
fn members(
    policy: &Policy,
    peer: &Peer,
    globs: &[&LogPull],
    answers: &[Members],
    seen: &mut Vec<Seen>,
    notes: &mut Vec<(String, String)>,
    salt: u64,
) -> Vec<usize> {
    let mut again = Vec::new();
    let mut unsure = false;
    for (pull, answer) in globs.iter().zip(answers) {
        let mut lost = |why: String| {
            let trouble = format!("the directory {} {why} on {}", base_of(pull), peer.name);
            seen.push(nowhere(pull, trouble));
        };
        let listed = match answer {
            Members::All(all) => all,
            Members::Partly(all) => {
                lost("cannot be read to its end".into());
                unsure = true;
                all
            }
            Members::Missing | Members::Outside => {
                let why = match answer {
                    Members::Outside => "is reached through a link that leads out of the root",
                    _ => "is not there",
                };
                lost(why.into());
                continue;
            }
        };
        for (below, stat) in listed.iter().filter(|(below, _)| pull.is_member(below)) {
            let log = member(pull, below);
            if is_state(policy, peer, &log) {
                notes.push((
                    neutral_bytes(&log.remote),
                    "state never crosses; it was left alone".into(),
                ));
                continue;
            }
            if seen.iter().any(|s| s.log.remote == log.remote) {
                continue;
            }
            let mut fresh = near(policy, peer, log, salt);
            fresh.there = probe::there(stat);
            if !fresh.local.is_empty() {
                again.push(seen.len());
            }
            seen.push(fresh);
        }
    }
    // A member that is gone stays here, and that is all there is to say.
    seen.retain(|s| {
        let gone = !s.log.is_named && s.there == There::Missing;
        if gone {
            let note = match unsure {
                true => format!(
                    "it cannot be seen on {} now; what was pulled of it stays",
                    peer.name
                ),
                false => format!(
                    "it is no longer on {}; what was pulled of it stays",
                    peer.name
                ),
            };
            notes.push((neutral_bytes(&s.log.remote), note));
        }
        !gone
    });
    let unasked = |n: &usize| seen.get(*n).is_some_and(|s| !s.local.is_empty());
    match notes.is_empty() {
        true => again.into_iter().filter(unasked).collect(),
        // Places may have moved: whatever has ranges and no hashes yet.
        false => (0..seen.len()).filter(|n| is_unasked(&seen[*n])).collect(),
    }
}

/// A glob that could not be looked at, as a log of its own that has failed.
fn nowhere(pull: &LogPull, trouble: String) -> Seen {
    Seen {
        log: Log {
            remote: pull.remote.as_bytes().to_vec(),
            local: pull.local.join(".ubos-sync.none"),
            is_named: true,
        },
        mine: Mine::Nothing,
        state: None,
        there: There::Missing,
        local: HashMap::new(),
        trouble: Some(trouble),
    }
}

fn is_unasked(seen: &Seen) -> bool {
    matches!(&seen.there, There::File(f) if f.hashes.is_empty() && !seen.local.is_empty() && !seen.log.is_named)
}

/// State never crosses, in no lane.
fn is_state(policy: &Policy, peer: &Peer, log: &Log) -> bool {
    let inside = match log.remote.strip_prefix(peer.root.as_bytes()) {
        Some(rest) if log.remote.starts_with(b"/") => rest.strip_prefix(b"/").unwrap_or(rest),
        _ => log.remote.strip_prefix(b"/").unwrap_or(&log.remote),
    };
    RelPath::new(inside)
        .is_some_and(|p| matches!(policy.truth.rules.verdict(&p, false), Verdict::State(_)))
}

/// New members for which something lies here already are asked about once more, with what has to be compared.
fn ask_again(request: &Request, which: Vec<usize>, seen: &mut [Seen]) -> Result<(), LinkError> {
    if which.is_empty() {
        return Ok(());
    }
    let items: Vec<Item> = which.iter().map(|n| item(&seen[*n])).collect();
    let link = &request.reach.link;
    let answer = probe::ask(link, &request.peer.root, "", &[], &items)?;
    for (n, there) in which.into_iter().zip(answer.items) {
        seen[n].there = there;
    }
    Ok(())
}
