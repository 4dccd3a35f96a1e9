//! What could stand in the way of a run, looked for on both hosts before it does. Takes no lock and changes nothing.
//!
//! Invariant: every row that is not well names what to type.

use std::path::Path;

use crate::audit::store::Store;
use crate::host::policy_file::variable;
use crate::host::{clock, files, plain_files, process};
use crate::lanes::flow::Run;
use crate::lanes::log::probe;
use crate::lanes::log::run::ours;
use crate::lanes::peers::{self, Reach};
use crate::lanes::truth::base;
use crate::lanes::truth::facts;
use crate::lanes::truth::hosts::{self, Host, OpenError, Pair};
use crate::model::guards;
use crate::model::invocation::Invocation;
use crate::model::policy::{Peer, Policy, Scan};
use crate::model::text::{count, neutral, size};
use crate::tool::rsync::Flavour;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Bad,
    Look,
    Good,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Bad => "bad",
            Verdict::Look => "look",
            Verdict::Good => "ok",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub struct Check {
    pub verdict: Verdict,
    pub host: String,
    pub what: &'static str,
    pub found: String,
    /// What to type; empty for what is well.
    pub fix: String,
}

struct Book {
    host: String,
    all: Vec<Check>,
}

impl Book {
    fn put(
        &mut self,
        verdict: Verdict,
        what: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.all.push(Check {
            verdict,
            host: self.host.clone(),
            what,
            found: found.into(),
            fix: fix.into(),
        });
    }

    fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.put(Verdict::Good, what, found, "");
    }
}

/// Everything about this host.
pub fn here(policy: &Policy) -> Vec<Check> {
    let mut book = Book {
        host: policy.site.name.clone(),
        all: Vec::new(),
    };
    book.good("policy", format!("{} is valid", policy.file.display()));
    programs(policy, &mut book);
    let state = &policy.site.state_dir;
    match plain_files::mode(state) {
        None => book.good(
            "state",
            format!("{} will be made by the first run", state.display()),
        ),
        Some(mode) if mode & 0o077 != 0 => book.put(
            Verdict::Bad,
            "state",
            format!("{} may be entered by others", state.display()),
            format!("chmod 700 {}", state.display()),
        ),
        Some(_) => book.good("state", format!("{} is private", state.display())),
    }
    match Store::open(&policy.audit.dir) {
        Ok(_) => book.good("records", format!("kept in {}", policy.audit.dir.display())),
        Err(e) => book.put(
            Verdict::Bad,
            "records",
            e.to_string(),
            format!("ls -ld {}", policy.audit.dir.display()),
        ),
    }
    if files::is_locked(&state.join("lock")) {
        book.put(
            Verdict::Look,
            "lock",
            "a run is under way right now",
            "ubos-sync status",
        );
    }
    let notify = &policy.notify;
    for name in [&notify.webhook_url_env, &notify.ping_url_env]
        .into_iter()
        .flatten()
    {
        if variable(name).is_none() {
            book.put(
                Verdict::Look,
                "notify",
                format!("${name} is not set here, so nobody is told by it"),
                format!("set {name} where the worker runs"),
            );
        }
    }
    watches(&mut book);
    for peer in &policy.peers {
        let identity = peer.remote.as_ref().and_then(|r| r.identity.as_deref());
        key(identity, &mut book);
    }
    book.all
}

fn programs(policy: &Policy, book: &mut Book) {
    let truth = policy.peers.iter().any(|p| p.truth);
    let logs = policy.peers.iter().any(|p| !p.logs.is_empty());
    let ssh = policy.peers.iter().any(|p| p.remote.is_some());
    let publish = policy.publish.as_ref();
    let scan = publish.is_some_and(|p| p.scan == Scan::Gitleaks);
    let wanted = [
        (truth, "unison", "-version", "it carries the two-way lane"),
        (
            logs || publish.is_some(),
            "rsync",
            "--version",
            "it pulls logs and publishes",
        ),
        (ssh, "ssh", "-V", "it reaches the peers"),
        (
            publish.is_some(),
            "git",
            "--version",
            "it reads what is published",
        ),
        (scan, "gitleaks", "version", "[publish] scan asks for it"),
    ];
    for (_, program, flag, why) in wanted.into_iter().filter(|w| w.0) {
        let Some(path) = process::which(program) else {
            book.put(
                Verdict::Bad,
                "program",
                format!("{program} is not installed: {why}"),
                match program {
                    "ssh" => "install openssh-client".into(),
                    other => format!("install {other}"),
                },
            );
            continue;
        };
        let asked = process::run(&Invocation::new(&path).args([flag]), Vec::new());
        let said = asked
            .map(|o| [o.stdout, o.stderr].concat())
            .unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let line = neutral(said.lines().next().unwrap_or_default());
        if program == "rsync" {
            flavour(ours(&path), &line, book);
        } else {
            book.good("program", format!("{program}: {line}"));
        }
    }
}

fn flavour(flavour: Option<Flavour>, line: &str, book: &mut Book) {
    match flavour {
        Some(Flavour::Modern { zstd }) => book.good(
            "rsync",
            format!(
                "{line}: only new bytes of a log travel{}",
                if zstd { ", packed by zstd" } else { "" }
            ),
        ),
        Some(Flavour::Old) => book.put(
            Verdict::Look,
            "rsync",
            format!("{line}: it reads all of a log on both sides for each pull"),
            "install rsync 3 (on a Mac: brew install rsync)",
        ),
        None => book.put(
            Verdict::Bad,
            "rsync",
            format!("no rsync that can append ({line})"),
            "install rsync 3",
        ),
    }
}

/// How many directories may be watched.
fn watches(book: &mut Book) {
    let file = Path::new("/proc/sys/fs/inotify/max_user_watches");
    let Ok(bytes) = files::read_bounded(file, 64) else {
        return;
    };
    let most: u64 = String::from_utf8_lossy(&bytes)
        .trim()
        .parse()
        .unwrap_or(u64::MAX);
    match most < 8192 {
        true => book.put(
            Verdict::Look,
            "watches",
            format!("only {most} directories can be watched; the worker may have to do without file events"),
            "sysctl fs.inotify.max_user_watches=524288",
        ),
        false => book.good("watches", format!("{most} directories can be watched")),
    }
}

/// ssh refuses a key that others may read.
fn key(identity: Option<&Path>, book: &mut Book) {
    let Some(path) = identity else { return };
    match plain_files::mode(path) {
        None => book.put(
            Verdict::Bad,
            "key",
            format!("{} is not there", path.display()),
            format!("ssh-keygen -t ed25519 -f {}", path.display()),
        ),
        Some(mode) if mode & 0o077 != 0 => book.put(
            Verdict::Bad,
            "key",
            format!(
                "{} may be read by others, so ssh will not use it",
                path.display()
            ),
            format!("chmod 600 {}", path.display()),
        ),
        Some(_) => book.good("key", format!("{} is private", path.display())),
    }
}

/// Everything about one peer, and about the two of them.
pub fn there(policy: &Policy, peer: &Peer, run: &Run) -> Vec<Check> {
    let mut book = Book {
        host: peer.name.clone(),
        all: Vec::new(),
    };
    let reach = match peers::reach(policy, peer, run.id, true) {
        Ok(reach) => reach,
        Err(e) => {
            let e = e.as_link();
            book.put(Verdict::Bad, "connection", e.to_string(), e.hint());
            return book.all;
        }
    };
    book.good(
        "connection",
        match peer.remote.as_ref().map(|r| &r.host) {
            Some(host) => format!("{host} answers"),
            None => "it is a directory on this machine".into(),
        },
    );
    if peer.truth {
        pair(policy, peer, &reach, run, &mut book);
    }
    if !peer.logs.is_empty() {
        match probe::ask(&reach.link, &peer.root, &peer.rsync, &[], &[]) {
            Ok(answer) if answer.rsync.is_none() => book.put(
                Verdict::Bad,
                "rsync",
                format!(
                    "there is no rsync that can append on {} ({})",
                    peer.name, peer.rsync
                ),
                format!("install rsync 3 on {}", peer.name),
            ),
            Ok(answer) => flavour(
                answer.rsync,
                &format!("{} on {}", peer.rsync, peer.name),
                &mut book,
            ),
            Err(e) => book.put(Verdict::Bad, "rsync", e.to_string(), e.hint()),
        }
    }
    book.all
}

fn pair(policy: &Policy, peer: &Peer, reach: &Reach, run: &Run, book: &mut Book) {
    let mut pair = match hosts::look(policy, peer, reach, run.id, "doctor") {
        Ok(pair) => pair,
        Err(e) => {
            let hint = match &e {
                OpenError::Offline { hint, .. }
                | OpenError::Failed { hint, .. }
                | OpenError::NoLock { hint, .. } => hint.clone(),
                OpenError::Locked(_) | OpenError::Stopped => "ubos-sync status".into(),
            };
            book.put(Verdict::Bad, "pair", e.to_string(), hint);
            return;
        }
    };
    let (clocks, skew_ms) = facts::clocks(policy, &mut pair, false);
    let base = base::choose(&pair, None);
    let known = facts::before(policy, &pair, &base, &clocks);
    let found = guards::before_plan(&known);
    for f in &found {
        book.put(
            Verdict::Bad,
            "guard",
            format!("{}: {}", f.guard, f.message),
            f.hint.clone(),
        );
    }
    let free_of = |guard: &str| !found.iter().any(|f| f.guard == guard);
    if free_of("engine_version") {
        let versions = [&pair.local, &pair.peer].map(|h| neutral(h.said.unison.trim()));
        book.good(
            "unison",
            format!("{} here, {} there", versions[0], versions[1]),
        );
    }
    if free_of("clock_skew") {
        let travelled = (pair.answered_at - pair.opened_at) / 2_000_000;
        book.good(
            "clocks",
            format!("{skew_ms} ms apart, known to {travelled} ms"),
        );
    }
    if free_of("marker") && free_of("roots") {
        book.good(
            "roots",
            format!(
                "{} and {} are there, with their marker",
                root(&pair.local),
                root(&pair.peer)
            ),
        );
    }
    for host in [&pair.local, &pair.peer] {
        space(policy, host, book);
    }
    memory(&pair, base.generation.as_deref(), book);
}

fn root(host: &Host) -> &str {
    host.said.root.as_deref().unwrap_or(&host.root_given)
}

fn space(policy: &Policy, host: &Host, book: &mut Book) {
    let Some(free) = host.said.free_bytes else {
        return;
    };
    let least = policy.guards.min_free_space;
    match free < least {
        true => book.put(
            Verdict::Bad,
            "space",
            format!(
                "{} free on {}, and {} must stay free",
                size(free),
                host.name,
                size(least)
            ),
            format!("on {}: df -h {}", host.name, root(host)),
        ),
        false => book.good("space", format!("{} free on {}", size(free), host.name)),
    }
}

/// What the pair remembers, and what died before it was done.
fn memory(pair: &Pair, generation: Option<&str>, book: &mut Book) {
    let dead: Vec<&String> = pair
        .local
        .said
        .pending
        .iter()
        .chain(&pair.peer.said.pending)
        .collect();
    match generation {
        _ if !dead.is_empty() => book.put(
            Verdict::Look,
            "memory",
            format!(
                "{} died half-way; the next run records what was delivered",
                dead[0]
            ),
            format!("ubos-sync truth {}", pair.peer.name),
        ),
        None => book.good("memory", "the pair has not synced yet"),
        Some(name) => book.good(
            "memory",
            format!(
                "{} known on both hosts, the newest {name}",
                count(base::common(pair).len(), "generation")
            ),
        ),
    }
}

/// Time of the look, for the document.
pub fn at() -> String {
    crate::model::time::rfc3339(clock::now())
}
