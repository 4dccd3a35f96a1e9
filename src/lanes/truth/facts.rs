//! What the guards are told: the two hosts, the clocks, the base, in plain data.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::host::clock;
use crate::lanes::truth::base::Base;
use crate::lanes::truth::ends::{End, Ends};
use crate::lanes::truth::hosts::{Host, Pair};
use crate::model::decide::Clocks;
use crate::model::entry::{ContentHash, Entry};
use crate::model::guards::{Facts, HostFacts};
use crate::model::manifest::Manifest;
use crate::model::policy::Policy;
use crate::model::reconcile::Replica;
use crate::model::walk::Walk;

/// Key under which the base remembers where a site's root really was.
fn root_key(site: &str) -> String {
    format!("root {site}")
}

/// Key under which the base remembers the rules as a site had them: each host resolves its own policy.
fn rules_key(site: &str) -> String {
    format!("rules {site}")
}

/// Everything that is known before there is a plan.
pub fn before(policy: &Policy, pair: &Pair, base: &Base, clocks: &Clocks) -> Facts {
    Facts {
        peer: pair.peer.name.clone(),
        local: host(&pair.local, &base.manifest),
        remote: host(&pair.peer, &base.manifest),
        same_machine: !pair.peer.link.is_remote(),
        clocks_apart: clocks.apart.clone(),
        base_lost: base.lost.clone(),
        first_time: base.generation.is_none(),
        rules_before: base
            .manifest
            .facts
            .get(&rules_key(&pair.local.name))
            .cloned(),
        rules_now: policy.truth.rules.digest(),
        held: pair.local.said.held.clone().or(pair.peer.said.held.clone()),
        undoing: pair
            .local
            .said
            .undoing
            .clone()
            .or(pair.peer.said.undoing.clone()),
        leaks: Vec::new(),
        marker_name: policy.guards.marker.clone(),
    }
}

fn host(h: &Host, base: &Manifest) -> HostFacts {
    let mut missing = h.said.missing.clone();
    if h.noise > 0 {
        missing.push(format!(
            "a quiet login shell (it printed {} bytes before our script; let its start-up files print only for interactive shells)",
            h.noise
        ));
    }
    HostFacts {
        name: h.name.clone(),
        root: h.root_given.clone(),
        real_root: h.said.root.clone(),
        root_problem: h.said.root_problem.clone(),
        root_is_usable: h.said.root_usable,
        root_identity: h.said.root.clone().unwrap_or_default(),
        root_identity_before: base.facts.get(&root_key(&h.name)).cloned(),
        marker: h.said.marker,
        free_bytes: h.said.free_bytes,
        state_free: h.said.state_free,
        state: h.said.state.clone(),
        unison: h.said.unison.clone(),
        files: h.tree.files(),
        before: 0,
        unchanged: 0,
        tools_missing: missing,
    }
}

/// Whether a fact about the pair is not yet in the base (its roots, its rules).
pub fn moved(ends: &Ends, policy: &Policy, base: &Manifest) -> bool {
    let mut next = Manifest {
        facts: base.facts.clone(),
        ..Manifest::default()
    };
    set(&mut next, ends, policy);
    next.facts != base.facts
}

/// Writes down the facts about the pair as they are now.
pub fn set(next: &mut Manifest, ends: &Ends, policy: &Policy) {
    for End { name, said, .. } in [ends.local, ends.peer] {
        if let Some(root) = &said.root {
            next.facts.insert(root_key(name), root.clone());
        }
        next.facts
            .insert(format!("unison {name}"), said.unison.clone());
    }
    next.facts
        .insert(rules_key(ends.local.name), policy.truth.rules.digest());
}

/// Adds what only the content of both replicas tells. `seen`: the part of the base that was looked at; the rest counts as it was.
pub fn with_content(
    facts: &mut Facts,
    base: &Manifest,
    seen: &Manifest,
    local: &Replica,
    peer: &Replica,
) {
    let outside = base.files() - seen.files();
    for (host, replica) in [(&mut facts.local, local), (&mut facts.remote, peer)] {
        let (before, unchanged) = compare(seen, replica);
        host.files = outside + replica.tree.files();
        host.before = outside + before;
        host.unchanged = outside + unchanged;
    }
}

/// How many files the base has, and how many of them this side still has as they were or under another name.
fn compare(base: &Manifest, replica: &Replica) -> (usize, usize) {
    let mut before = 0;
    let mut unchanged = 0;
    let mut gone: Vec<ContentHash> = Vec::new();
    let mut apart = Walk::of(&replica.tree.apart);
    let mut entries = replica.walk();
    for (path, entry) in &base.entries {
        let Entry::File(was) = entry else { continue };
        // What the rules no longer call truth, or cannot be read, says nothing about a change.
        if apart.at(path).is_some()
            || replica.tree.is_unknown(path)
            || replica.unread.contains(path)
        {
            continue;
        }
        before += 1;
        match entries(path) {
            // Times that never travel may differ between the sides for good: that is no change.
            Some(now) if entry.same_content(&now) && entry.engine_sees_same_time(&now) => {
                unchanged += 1;
            }
            None => gone.push(was.hash),
            Some(_) => {}
        }
    }
    if unchanged == 0 && !gone.is_empty() {
        let old: BTreeSet<ContentHash> = base
            .entries
            .values()
            .filter_map(|e| match e {
                Entry::File(f) => Some(f.hash),
                _ => None,
            })
            .collect();
        let new: HashSet<ContentHash> = replica
            .entries()
            .filter(|(p, _)| !base.entries.contains_key(p))
            .filter_map(|(_, e)| match e {
                Entry::File(f) if old.contains(&f.hash) => Some(f.hash),
                _ => None,
            })
            .collect();
        unchanged += gone.iter().filter(|h| new.contains(*h)).count();
    }
    (before, unchanged)
}

/// What may be believed about the two clocks; asks the peer again when the first answer was too vague.
pub fn clocks(policy: &Policy, pair: &mut Pair, waived: bool) -> (Clocks, i64) {
    let limit = i128::try_from(policy.guards.max_clock_skew.as_nanos()).unwrap_or(i128::MAX);
    let (low, high) = skew(pair, limit);
    let middle = i128::midpoint(low, high);
    let now = clock::now_ns();
    let apart = (low > limit || high < -limit) && !waived;
    let by = Duration::from_nanos(u64::try_from(middle.unsigned_abs()).unwrap_or(u64::MAX));
    let word = if middle > 0 { "ahead of" } else { "behind" };
    let clocks = Clocks {
        apart: apart.then(|| {
            format!(
                "the clock of {} is {:.1} s {word} that of {}",
                pair.peer.name,
                by.as_secs_f64(),
                pair.local.name
            )
        }),
        latest_local_ns: now + limit,
        latest_peer_ns: now + high.max(0) + limit,
    };
    (
        clocks,
        i64::try_from(middle / 1_000_000).unwrap_or(i64::MAX),
    )
}

/// The peer's clock minus ours, as an interval.
fn skew(pair: &mut Pair, limit: i128) -> (i128, i128) {
    if !pair.peer.link.is_remote() {
        return (0, 0);
    }
    let first = pair
        .peer
        .said
        .clock
        .map(|theirs| (theirs - pair.answered_at, theirs - pair.opened_at));
    if let Some((low, high)) = first
        && ((low >= -limit && high <= limit) || low > limit || high < -limit)
    {
        return (low, high);
    }
    match pair.peer.agent.clock() {
        Some((theirs, before, after)) => (theirs - after, theirs - before),
        None => first.unwrap_or((0, 0)),
    }
}
