//! What both trees looked like, to the last fact, at the end of a run that found nothing at all to do: when they look the same
//! again, nothing has to be read, hashed or compared.
//!
//! Invariants: only a run whose plan was empty in every respect is remembered, and only when each file's content was known from
//! facts that can be trusted (never one that had changed within two seconds of being looked at). Whatever the answer could
//! depend on is part of the key; anything that is missing or odd means the long way. `full_scan_every` holds as ever.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::host::files;
use crate::lanes::truth::base::{self, Base};
use crate::lanes::truth::hosts::{Host, Pair};
use crate::model::index::Index;
use crate::model::plan::{Side, TruthPlan};
use crate::model::policy::Policy;
use crate::model::reconcile::Replica;
use crate::model::text::hex;
use crate::model::tree::What;

const HEAD: &str = "ubos-sync calm 2";

/// What is remembered: the key of the state that was found to be in sync, and when everything was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calm {
    key: String,
    /// Of this host's list alone: when it is another one, the long way is certain before the peer has answered.
    pub local: String,
    full_at: i128,
}

fn path(pair: &str, policy: &Policy) -> PathBuf {
    policy.site.state_dir.join("pairs").join(pair).join("calm")
}

/// What the last run that found nothing to do left, unless everything is due to be read again.
pub fn load(pair: &str, policy: &Policy, now: i128) -> Option<Calm> {
    let bytes = files::read_bounded(&path(pair, policy), 4096).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return None;
    }
    let calm = Calm {
        key: lines.next()?.to_owned(),
        local: lines.next()?.to_owned(),
        full_at: lines.next()?.parse().ok()?,
    };
    let age = now - calm.full_at;
    let due = i128::try_from(policy.truth.full_scan_every.as_nanos()).unwrap_or(i128::MAX);
    (lines.next() == Some("end") && (0..=due).contains(&age)).then_some(calm)
}

/// Whether both hosts show exactly what was remembered.
pub fn holds(calm: &Calm, policy: &Policy, pair: &Pair) -> bool {
    key(policy, pair).is_some_and(|k| k == calm.key)
}

/// Forgets it: something is about to change.
pub fn forget(policy: &Policy, pair: &Pair) {
    let _ = files::remove_file(&path(&pair.id, policy));
}

/// Remembers this state, when it is one that may be.
pub fn remember(
    policy: &Policy,
    pair: &Pair,
    base: &Base,
    plan: &TruthPlan,
    (local, peer): (&Replica, &Replica),
    index: &Index,
) {
    let quiet = plan.changes.is_empty() && plan.left.is_empty() && plan.notes.is_empty();
    let newest = base::newest_common(pair).map(|g| &g.name);
    if !quiet || newest.is_none() || newest != base.generation.as_ref() {
        return;
    }
    if !is_known(Side::Local, local, index) || !is_known(Side::Peer, peer, index) {
        return;
    }
    let (Some(key), Some(here)) = (key(policy, pair), &pair.local.sweep_digest) else {
        return;
    };
    let text = format!("{HEAD}\n{key}\n{here}\n{}\nend\n", index.full_at);
    let _ = files::write_atomic(
        &path(&pair.id, policy),
        text.as_bytes(),
        files::Sync::Content,
    );
}

/// Whether everything in a replica could be read and is remembered by facts that can be trusted.
fn is_known(side: Side, replica: &Replica, index: &Index) -> bool {
    let tree = &replica.tree;
    let mut known = index.walk(side);
    tree.unreadable.is_empty()
        && tree.litter.is_empty()
        && replica.unread.is_empty()
        && tree
            .truth
            .iter()
            .all(|(p, s)| s.what != What::File || known.hash(p, s).is_some())
}

fn key(policy: &Policy, pair: &Pair) -> Option<String> {
    let mut sum = Sha256::new();
    let mut add = |bytes: &[u8]| {
        sum.update((bytes.len() as u64).to_be_bytes());
        sum.update(bytes);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(policy.digest.as_bytes());
    add(policy.truth.rules.digest().as_bytes());
    let generation = base::newest_common(pair)?;
    add(generation.name.as_bytes());
    add(generation.digest.as_bytes());
    for host in [&pair.local, &pair.peer] {
        let Host { said, name, .. } = host;
        // Anything unfinished, unusual or unknown goes the long way.
        if !said.pending.is_empty() || !said.through.is_empty() {
            return None;
        }
        add(name.as_bytes());
        add(said.root.as_deref()?.as_bytes());
        add(said.root_identity.as_bytes());
        add(said.unison.as_bytes());
        add(host.sweep_digest.as_deref()?.as_bytes());
    }
    Some(hex(&sum.finalize()))
}
