//! `conflicts`: what newer-wins decided and what waits for a person, both contents, and the decision.

use clap::{Args, Subcommand, ValueEnum};
use globset::{GlobBuilder, GlobMatcher};

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::sync::{Wish, carry};
use super::{documents, out, render};
use crate::audit::store::Store;
use crate::host::link::Link;
use crate::host::{clock, policy_file, signals};
use crate::lanes::{reach, versions};
use crate::model::conflict::{Conflict, State, Version, conflicts};
use crate::model::exit;
use crate::model::path::RelPath;
use crate::model::policy::{Peer, Policy, Strategy};
use crate::model::record::SCHEMA;
use crate::model::text::{neutral, unhex};
use crate::model::time;

/// Conflicts: open ones, and settled ones with the losers kept
#[derive(Debug, Args)]
pub struct Conflicts {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All conflicts, the open ones first (the default)
    List,
    /// Both versions of a path: what differs, for text
    Show {
        #[arg(add = complete::conflicts())]
        path: String,
    },
    /// Decide: this side's version, the peer's, or both (shown unless --apply is given)
    Keep {
        side: Keep,
        /// Paths or globs of conflicts
        #[arg(required = true, add = complete::conflicts())]
        paths: Vec<String>,
        /// Carry it out
        #[arg(long)]
        apply: bool,
        /// Show what would be done (the default)
        #[arg(long, conflicts_with = "apply")]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    Local,
    Peer,
    Both,
}

/// Records that are looked through.
const NEWEST: usize = 2000;
/// Of a file that is shown.
const SHOWN: u64 = 1 << 20;

impl Conflicts {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let all = known(&policy)?;
        match &self.what {
            None | Some(What::List) => {
                list(&all, global);
                Ok(exit::DONE)
            }
            Some(What::Show { path }) => show(&policy, &all, path, global),
            Some(What::Keep {
                side, paths, apply, ..
            }) => {
                signals::listen();
                keep(&policy, &all, *side, paths, *apply, global)
            }
        }
    }
}

fn known(policy: &Policy) -> Result<Vec<Conflict>, Failure> {
    let store = Store::open(&policy.audit.dir).map_err(|e| Failure::failed(e.to_string()))?;
    let newest = store
        .newest(NEWEST)
        .map_err(|e| Failure::failed(e.to_string()))?;
    let worth = newest
        .into_iter()
        .filter(|s| s.facts.as_ref().is_some_and(|f| f.complete));
    let records: Vec<_> = worth.filter_map(|s| store.read(&s.run).ok()).collect();
    Ok(conflicts(&records))
}

fn list(all: &[Conflict], global: &Global) {
    if global.json {
        out::json(&documents::Conflicts {
            schema: SCHEMA,
            command: "conflicts",
            conflicts: all,
            exit_code: exit::DONE,
        });
    } else {
        out::text(&render::conflicts::screen(all, &out::style(global, false)));
    }
}

/// The conflict of this path, the open one before a settled one.
fn find<'a>(all: &'a [Conflict], path: &str) -> Result<&'a Conflict, Failure> {
    all.iter().find(|c| c.path == path).ok_or_else(|| {
        Failure::usage(format!(
            "no conflict of {} is known; to see all: ubos-sync conflicts",
            neutral(path)
        ))
    })
}

fn peer_of<'a>(policy: &'a Policy, c: &Conflict) -> Result<&'a Peer, Failure> {
    policy
        .peers
        .iter()
        .find(|p| p.name == c.peer)
        .ok_or_else(|| {
            Failure::refused(format!(
                "the policy has no peer {} any more; nothing was touched",
                neutral(&c.peer)
            ))
        })
}

fn rel(c: &Conflict) -> Result<RelPath, Failure> {
    let no = || {
        Failure::refused(format!(
            "the name of {} is not text; decide it on the host itself",
            neutral(&c.path)
        ))
    };
    match c.path_hex {
        Some(_) => Err(no()),
        None => RelPath::new(c.path.as_bytes())
            .filter(|p| !p.is_root())
            .ok_or_else(no),
    }
}

/// The content of one side: of an open conflict what is there now, of a settled one's loser what was kept.
fn content(
    policy: &Policy,
    peer: &Peer,
    far: &Link,
    c: &Conflict,
    side: &str,
) -> Result<Vec<u8>, String> {
    let near = Link::local(&policy.site.name);
    let (link, root) = match side {
        "peer" => (far, peer.root.clone()),
        _ => (&near, policy.site.root.display().to_string()),
    };
    let kept = c.loser.as_ref().filter(|l| l.side == side);
    let bytes = |text: &str, hex: &Option<String>| {
        let exact = hex.as_deref().and_then(unhex);
        exact.unwrap_or_else(|| text.as_bytes().to_vec())
    };
    match kept.map(|l| (l.at.as_ref(), &l.at_hex)) {
        None => versions::read(link, &root, &bytes(&c.path, &c.path_hex), versions::MOST),
        Some((Some(at), hex)) => versions::read(link, "/", &bytes(at, hex), versions::MOST),
        Some((None, _)) => Err("it was deleted there, or is no longer kept".into()),
    }
}

fn show(policy: &Policy, all: &[Conflict], path: &str, global: &Global) -> Result<u8, Failure> {
    let c = find(all, path)?;
    let peer = peer_of(policy, c)?;
    let reach = reach::lightly(policy, peer).map_err(|e| Failure::failed(e.to_string()))?;
    let local = content(policy, peer, &reach.link, c, "local");
    let far = content(policy, peer, &reach.link, c, "peer");
    if global.json {
        let text = |r: &Result<Vec<u8>, String>| {
            r.as_ref()
                .ok()
                .map(|b| String::from_utf8_lossy(b).into_owned())
        };
        out::json(&documents::ConflictShown {
            schema: SCHEMA,
            command: "conflicts",
            conflict: c,
            local: text(&local),
            peer: text(&far),
            exit_code: exit::DONE,
        });
        return Ok(exit::DONE);
    }
    out::text(&render::conflicts::screen(
        std::slice::from_ref(c),
        &out::style(global, false),
    ));
    let (local, far) = match (local, far) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            for (name, side) in [(&policy.site.name, a), (&peer.name, b)] {
                match side {
                    Err(why) => out::line(&format!("{name}: {}", neutral(&why))),
                    Ok(bytes) => out::line(&format!("{name}: {} bytes", bytes.len())),
                }
            }
            return Ok(exit::DONE);
        }
    };
    let is_text =
        |b: &[u8]| b.len() as u64 <= SHOWN && !b.contains(&0) && std::str::from_utf8(b).is_ok();
    if !is_text(&local) || !is_text(&far) {
        out::line(&format!(
            "{}: {} bytes; {}: {} bytes; not shown, since they are not text or are long",
            policy.site.name,
            local.len(),
            peer.name,
            far.len()
        ));
        return Ok(exit::DONE);
    }
    let (a, b) = (
        String::from_utf8_lossy(&local),
        String::from_utf8_lossy(&far),
    );
    let diff = similar::TextDiff::from_lines(a.as_ref(), b.as_ref());
    let text = diff
        .unified_diff()
        .header(&policy.site.name, &peer.name)
        .to_string();
    for line in text.lines() {
        out::line(&neutral(line));
    }
    Ok(exit::DONE)
}

fn matchers(paths: &[String]) -> Result<Vec<(String, GlobMatcher)>, Failure> {
    let one = |p: &String| {
        let glob = GlobBuilder::new(p).literal_separator(true).build();
        glob.map(|g| (p.clone(), g.compile_matcher()))
            .map_err(|e| Failure::usage(format!("{}: {e}; nothing was touched", neutral(p))))
    };
    paths.iter().map(one).collect()
}

fn keep(
    policy: &Policy,
    all: &[Conflict],
    side: Keep,
    paths: &[String],
    apply: bool,
    global: &Global,
) -> Result<u8, Failure> {
    let matchers = matchers(paths)?;
    let mut meant: Vec<&Conflict> = Vec::new();
    for (text, glob) in &matchers {
        let before = meant.len();
        // By its very name a settled one is meant too; a glob is for what is open.
        let fits =
            |c: &&Conflict| c.path == *text || (c.state == State::Open && glob.is_match(&c.path));
        for c in all.iter().filter(fits) {
            if !meant.iter().any(|m| m.path == c.path && m.peer == c.peer) {
                meant.push(c);
            }
        }
        if meant.len() == before {
            if all.iter().any(|c| glob.is_match(&c.path)) {
                return Err(Failure::usage(format!(
                    "no conflict that {} matches is open; one that was decided is decided anew by its path: ubos-sync conflicts",
                    neutral(text)
                )));
            }
            find(all, text)?;
        }
    }
    let mut code = exit::DONE;
    for peer in &policy.peers {
        let own: Vec<&Conflict> = meant
            .iter()
            .copied()
            .filter(|c| c.peer == peer.name)
            .collect();
        if own.is_empty() {
            continue;
        }
        for c in &own {
            peer_of(policy, c)?;
        }
        code = code.max(decide(policy, peer, &own, side, apply, global)?);
    }
    Ok(code)
}

/// Lays what is to be kept in its place on this side; the two-way lane, limited to these paths, does the rest with its guards,
/// backups and record.
fn decide(
    policy: &Policy,
    peer: &Peer,
    own: &[&Conflict],
    side: Keep,
    apply: bool,
    global: &Global,
) -> Result<u8, Failure> {
    let mut paths = Vec::new();
    let mut strategy = policy.clone();
    strategy.truth.conflicts = match side {
        Keep::Peer => Strategy::Peer,
        Keep::Local | Keep::Both => Strategy::Local,
    };
    let stamp = time::run_stamp(clock::now());
    let reach = match own.iter().any(|c| needs_content(c, side)) {
        true => Some(reach::lightly(policy, peer).map_err(|e| Failure::failed(e.to_string()))?),
        false => None,
    };
    for c in own {
        let path = rel(c)?;
        let local = policy.site.root.join(&c.path);
        if let Some(reach) = reach.as_ref().filter(|_| needs_content(c, side)) {
            let from = match (c.state, side) {
                (State::Open, _) => "peer",
                (State::Settled, _) => c.loser.as_ref().map_or("peer", |l| l.side),
            };
            let bytes = content(policy, peer, &reach.link, c, from).map_err(|why| {
                Failure::failed(format!("{}: {why}; nothing was touched", neutral(&c.path)))
            })?;
            let host = if from == "peer" {
                &peer.name
            } else {
                &policy.site.name
            };
            let (to, before) = match side {
                Keep::Both => (local.with_file_name(beside(&c.path, host, &stamp)), None),
                _ => (local.clone(), hash(c.winner.as_ref())),
            };
            if apply {
                versions::put(&to, before.as_deref(), &bytes).map_err(Failure::refused)?;
            } else {
                out::note(&format!(
                    "would write {} ({} bytes)",
                    to.display(),
                    bytes.len()
                ));
            }
            if let Some(below) = to
                .strip_prefix(&policy.site.root)
                .ok()
                .and_then(|p| RelPath::new(p.as_os_str().as_encoded_bytes()))
            {
                paths.push(below);
            }
        }
        if c.state == State::Settled && !needs_content(c, side) {
            out::note(&format!("{} is already decided so", neutral(&c.path)));
            continue;
        }
        paths.push(path);
    }
    if paths.is_empty() {
        return Ok(exit::DONE);
    }
    Wish {
        global,
        policy: &strategy,
        command: "conflicts",
        peers: vec![peer],
        truth: Some(carry(apply, None)),
        logs: None,
        paths,
        full: false,
        repeat: Vec::new(),
        exit_code: false,
        all: false,
        beside: None,
    }
    .run()
}

/// Whether a version that is not in its place has to be brought there.
fn needs_content(c: &Conflict, side: Keep) -> bool {
    match (c.state, side) {
        (_, Keep::Both) => true,
        (State::Open, _) => false,
        (State::Settled, Keep::Local) => c.loser.as_ref().is_some_and(|l| l.side == "local"),
        (State::Settled, Keep::Peer) => c.loser.as_ref().is_some_and(|l| l.side == "peer"),
    }
}

fn hash(version: Option<&Version>) -> Option<String> {
    version?.entry.as_ref()?.hash.clone()
}

/// The name beside a path that carries host and time, valid everywhere.
fn beside(path: &str, host: &str, stamp: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    // A name may have 255 bytes.
    let most = 255 - host.len() - stamp.len() - 2;
    let mut end = name.len().min(most);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{host}-{stamp}", &name[..end])
}
