//! Everything about one peer, and about the two of them.

use super::mend::{Act, Mend};
use super::programs::flavour;
use super::{Asked, Book, Check, state_dir};
use crate::host::link::LinkError;
use crate::host::plain_files;
use crate::lanes::log::probe;
use crate::lanes::reach::{self, Reach};
use crate::lanes::truth::base::{self, Base};
use crate::lanes::truth::facts;
use crate::lanes::truth::hosts::{self, Host, OpenError, Pair};
use crate::model::entry::Entry;
use crate::model::guards::{self, Facts};
use crate::model::policy::{Peer, Policy};
use crate::model::text::{count, neutral, size};
use crate::tool::filesystem::Names;
use crate::tool::remote;

pub(super) fn rows(policy: &Policy, peer: &Peer) -> Vec<Check> {
    let mut book = Book::of(&peer.name);
    let run = format!("doctor-{}", std::process::id());
    let reach = match reach::lightly(policy, peer) {
        Ok(reach) => reach,
        Err(e) => {
            away(std::env::consts::OS, &e.as_link(), &mut book);
            return book.all;
        }
    };
    let mut opened = true;
    if peer.truth {
        opened = pair(policy, peer, &reach, &run, &mut book);
    }
    if !peer.logs.is_empty() {
        rsync(peer, &reach, &mut book);
    }
    match peer.remote.as_ref().map(|r| &r.host) {
        None => book.good("connection", "it is a directory on this machine"),
        // The pair is opened over the connection that is there: one more session was let in.
        Some(host) if peer.truth && opened => book.good(
            "connection",
            format!("{host} answers, and one connection serves several sessions"),
        ),
        Some(host) => book.good("connection", format!("{host} answers")),
    }
    book.all
}

/// A peer that cannot be reached, with what a Mac may have to do with it.
fn away(os: &str, e: &LinkError, book: &mut Book) {
    let said = e.to_string();
    let hint = match os == "macos" && said.contains("No route to host") {
        true => format!(
            "{}   # when that works in a terminal: System Settings, Privacy & Security, Local Network: allow ubos-sync",
            e.hint()
        ),
        false => e.hint(),
    };
    book.bad("connection", said, hint);
}

fn rsync(peer: &Peer, reach: &Reach, book: &mut Book) {
    match probe::ask(&reach.link, &peer.root, &peer.rsync, &[], &[]) {
        Ok(answer) if answer.rsync.is_none() => {
            book.bad(
                "rsync",
                format!(
                    "there is no rsync that can append on {} ({})",
                    peer.name, peer.rsync
                ),
                format!("install rsync 3 on {}", peer.name),
            );
        }
        Ok(answer) => flavour(
            answer.rsync,
            &format!("{} on {}", peer.rsync, peer.name),
            book,
        ),
        Err(e) => {
            book.bad("rsync", e.to_string(), e.hint());
        }
    }
}

/// Whether the pair could be opened.
fn pair(policy: &Policy, peer: &Peer, reach: &Reach, run: &str, book: &mut Book) -> bool {
    let mut pair = match hosts::look(policy, peer, reach, run, "doctor") {
        Ok(pair) => pair,
        Err(e) => {
            let hint = match &e {
                OpenError::Offline { hint, .. }
                | OpenError::Failed { hint, .. }
                | OpenError::Lost { hint, .. }
                | OpenError::NoLock { hint, .. } => hint.clone(),
                OpenError::Locked(_) | OpenError::Stopped => "ubos-sync status".into(),
            };
            book.bad("pair", e.to_string(), hint);
            return false;
        }
    };
    let (clocks, skew_ms) = facts::clocks(policy, &mut pair, false);
    let mut base = base::choose(&pair, None);
    if base.generation.is_none()
        && base.lost.is_none()
        && plain_files::is_dir(&policy.audit.dir.join("runs"))
    {
        base.lost = base::on_record(policy, &peer.name);
    }
    let known = facts::before(policy, &pair, &base, &clocks);
    let found = guards::before_plan(&known);
    let free_of = |guard: &str| !found.iter().any(|f| f.guard == guard);
    for f in found.iter().filter(|f| f.guard != "marker") {
        book.bad(
            "guard",
            format!("{}: {}", f.guard, f.message),
            f.hint.clone(),
        );
    }
    if !free_of("marker") {
        let why_not = match free_of("roots") {
            true => None,
            false => Some("something else is wrong with the roots".to_owned()),
        };
        markers(policy, &mut pair, &known, &base, why_not, book);
    }
    if free_of("engine_version") {
        let versions = [&pair.local, &pair.peer].map(|h| neutral(h.said.unison.trim()));
        book.good(
            "unison",
            format!(
                "{} here, {} there: they can talk to each other",
                versions[0], versions[1]
            ),
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
        locks(peer, host, book);
    }
    own_files(policy, peer, &pair, &base, book);
    true
}

fn root(host: &Host) -> &str {
    host.said.root.as_deref().unwrap_or(&host.root_given)
}

/// A root without its marker. One that shows the tree it belongs to can be given it; any other may be a disk that is not mounted.
fn markers(
    policy: &Policy,
    pair: &mut Pair,
    known: &Facts,
    base: &Base,
    why_not: Option<String>,
    book: &mut Book,
) {
    let sorted = hosts::sort_trees(pair, policy).map_err(|e| e.to_string());
    for f in guards::marker(known) {
        let host = [&pair.local, &pair.peer]
            .into_iter()
            .find(|h| f.message.starts_with(&format!("{} has no ", h.name)));
        let evidence = match (&why_not, &sorted, host) {
            (Some(why), _, _) | (None, Err(why), _) => Err(why.clone()),
            (None, Ok(()), Some(host)) => shows_its_tree(policy, &pair.id, host, base),
            (None, Ok(()), None) => Err("nobody knows whose it is".into()),
        };
        let mut message = format!("{}: {}", f.guard, f.message);
        let mend = match (&evidence, host) {
            (Ok(seen), Some(host)) => {
                message += &format!("; but {seen}, so doctor --fix can put it there");
                Some(Mend {
                    act: Act::Marker(policy.guards.marker.clone()),
                    path: host.said.root.clone().unwrap_or_default(),
                })
            }
            (Ok(_), None) => None,
            (Err(why), _) => {
                message += &format!("; nothing here shows that it is the tree: {why}");
                None
            }
        };
        let check = book.bad("guard", message, f.hint);
        check.mend = mend;
        if let Some(host) = host {
            check.host.clone_from(&host.name);
        }
    }
}

/// What shows that a root is the tree and not the empty place of a disk: most files of the last sync, or, before the first sync with
/// anybody, any file.
fn shows_its_tree(policy: &Policy, pair: &str, host: &Host, base: &Base) -> Result<String, String> {
    if let Some(lost) = &base.lost {
        return Err(format!(
            "the pair has synced before ({lost}) and remembers nothing"
        ));
    }
    let files = base.manifest.entries.iter();
    let files = files.filter(|(_, e)| matches!(e, Entry::File(_)));
    let (mut all, mut there) = (0, 0);
    for (path, _) in files {
        all += 1;
        there += usize::from(host.tree.truth.contains_key(path));
    }
    match (base.generation.is_some(), host.tree.files()) {
        (true, _) if there * 2 >= all && there > 0 => Ok(format!(
            "{there} of {} of the last sync are there",
            count(all, "file")
        )),
        (true, _) => Err(format!(
            "only {there} of {} of the last sync are there",
            count(all, "file")
        )),
        (false, 0) => Err("the root holds no file".into()),
        (false, _) if has_other_pairs(policy, pair, host)? => Err(
            "this host has synced with others, and only that memory tells what belongs there"
                .into(),
        ),
        (false, n) => Ok(format!(
            "the root holds {}, and the pair has never synced",
            count(n, "file")
        )),
    }
}

fn has_other_pairs(policy: &Policy, pair: &str, host: &Host) -> Result<bool, String> {
    let asked = Asked {
        link: &host.link,
        state: &host.state_given,
        root: &host.root_given,
        marker: &policy.guards.marker,
        generation: (pair, ""),
    };
    let answer = asked.answer().map_err(|e| e.to_string())?;
    Ok(remote::value(&answer, "others").is_some())
}

fn space(policy: &Policy, host: &Host, book: &mut Book) {
    let Some(free) = host.said.free_bytes else {
        return;
    };
    let least = policy.guards.min_free_space;
    match free < least {
        true => {
            book.bad(
                "space",
                format!(
                    "{} free on {}, and {} must stay free",
                    size(free),
                    host.name,
                    size(least)
                ),
                format!("on {}: df -h {}", host.name, root(host)),
            );
        }
        false => book.good("space", format!("{} free on {}", size(free), host.name)),
    }
}

/// A lock that a dead run left, and what only looks like one.
fn locks(peer: &Peer, host: &Host, book: &mut Book) {
    if let Some(run) = &host.said.dead_lock {
        book.look(
            "lock",
            format!(
                "the run {} died on {} and left its lock; the next run ends what is left of it and takes the lock over",
                neutral(run),
                host.name
            ),
            format!("ubos-sync truth {}", peer.name),
        );
    }
    if let Some(what) = &host.said.odd_lock {
        book.bad(
            "lock",
            format!(
                "the lock on {} cannot be taken: {}",
                host.name,
                neutral(what)
            ),
            format!(
                "look at it on {}, and remove it when no run lives: ls -la {}",
                host.name, host.said.state
            ),
        );
    }
}

/// When changes over there are heard of while a worker runs. Without a tool it is only later, never wrong.
fn events(tool: Option<&str>) -> String {
    match tool {
        Some(tool) => format!("{} tells a worker at once of what changes there", neutral(tool)),
        None => "a worker sees what changes there at its interval; at once with inotify-tools (Linux) or fswatch (Mac)".into(),
    }
}

/// The directories of our own on both hosts, what the pair remembers there, and how names are kept.
fn own_files(policy: &Policy, peer: &Peer, pair: &Pair, base: &Base, book: &mut Book) {
    let newest = base::newest_common(pair);
    let mut names = Vec::new();
    let mut damaged = Vec::new();
    for host in [&pair.local, &pair.peer] {
        let asked = Asked {
            link: &host.link,
            state: &host.state_given,
            root: &host.root_given,
            marker: &policy.guards.marker,
            generation: (&pair.id, newest.map_or("", |g| &g.name)),
        };
        let answer = match asked.answer() {
            Ok(answer) => answer,
            Err(e) => {
                book.bad("state", format!("{}: {e}", host.name), e.hint());
                continue;
            }
        };
        if host.name != pair.local.name {
            let why = (!pair.local.said.generations.is_empty() || pair.local.said.synced)
                .then(|| format!("{} remembers syncing with it", pair.local.name));
            state_dir(&answer, why.as_deref(), book);
            book.good("events", events(remote::value(&answer, "events")));
        }
        if let Some(g) = newest
            && remote::value(&answer, "manifest") != Some(&g.digest)
        {
            damaged.push(host.name.as_str());
        }
        names.push((
            host.name.clone(),
            Names::of(
                remote::value(&answer, "kind").unwrap_or_default(),
                remote::value(&answer, "case"),
            ),
        ));
    }
    if let [(here, ours), (there, theirs)] = names.as_slice() {
        match Names::trouble((here, ours), (there, theirs)) {
            None => book.good("names", format!("{here}: {ours}; {there}: {theirs}")),
            Some(trouble) => {
                book.look(
                    "names",
                    trouble,
                    "rename one of two names that would be the same there",
                );
            }
        }
    }
    memory(peer, pair, base, &damaged, book);
}

/// What the pair remembers, what of it is damaged, and what died before it was done.
fn memory(peer: &Peer, pair: &Pair, base: &Base, damaged: &[&str], book: &mut Book) {
    let dead = pair.local.said.pending.iter();
    let dead: Vec<&String> = dead.chain(&pair.peer.said.pending).collect();
    if !damaged.is_empty() {
        let newest = base::newest_common(pair).map_or("", |g| &g.name);
        let on = damaged.join(" and ");
        let what = format!("the memory of {newest} is damaged on {on}");
        match &base.generation {
            Some(older) if older == newest => book.look(
                "memory",
                format!("{what}; runs go by the other host's, and one that reads everything again writes a new one"),
                format!("ubos-sync truth {} --apply --full-scan", peer.name),
            ),
            Some(older) => book.look(
                "memory",
                format!("{what}; the next run goes by {older}, which is whole"),
                format!("ubos-sync truth {}", peer.name),
            ),
            None => book.bad(
                "memory",
                format!("{what}, and no older one is whole: deleted files would come back"),
                format!(
                    "restore the state directory on {on}, or look at the plan: ubos-sync truth {} --allow first_sync",
                    peer.name
                ),
            ),
        };
    }
    match base.generation.as_deref() {
        _ if !dead.is_empty() => {
            book.look(
                "memory",
                format!(
                    "{} died half-way; the next run records what was delivered",
                    dead[0]
                ),
                format!("ubos-sync truth {}", peer.name),
            );
        }
        _ if !damaged.is_empty() => {}
        None => book.good("memory", "the pair has not synced yet"),
        Some(name) => book.good(
            "memory",
            format!(
                "{} known on both hosts, the newest {name} whole on both",
                count(base::common(pair).len(), "generation")
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_that_finds_no_route_may_only_lack_a_permission() {
        let e = LinkError::Offline {
            message: "h is offline: No route to host".into(),
            hint: "ssh h true".into(),
        };
        let fix = |os| {
            let mut book = Book::of("h");
            away(os, &e, &mut book);
            book.all[0].fix.clone()
        };
        assert!(fix("macos").starts_with("ssh h true") && fix("macos").contains("Local Network"));
        assert_eq!(fix("linux"), "ssh h true");
    }
}
