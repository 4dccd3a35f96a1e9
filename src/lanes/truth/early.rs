//! An engine that is asked before there is a plan: while the peer still lists its tree, this host knows already which of its files
//! were edited, and mostly nothing else will be in the plan.
//!
//! Invariant: it is a guess, and changes nothing: an engine stays at its last question, and is only let go on by a plan that asks
//! for exactly what it was asked. A guess that is dropped leaves nothing.

use crate::host::link::Link;
use crate::lanes::truth::base;
use crate::lanes::truth::begin::{Asks, EARLY_NUMBER, SMALL, Work, is_long};
use crate::lanes::truth::ends::{Ends, Head};
use crate::lanes::truth::hosts::{self, Host};
use crate::lanes::truth::propose::Request;
use crate::lanes::truth::said::{Held, Said};
use crate::lanes::truth::{commit, facts};
use crate::model::entry::Entry;
use crate::model::index::Index;
use crate::model::manifest::Manifest;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::progress::Silent;
use crate::model::region::Region;
use crate::model::scope::Scope;
use crate::model::tree::What;
use crate::model::walk::Walk;

/// More than this is no edit by hand, and less sure to be all.
const FEW: usize = 64;

/// The folder of the run on both hosts, and the engine that waits in it.
pub struct Guess {
    work: Option<Work>,
    /// Where the folder lies: the way to each host, and its state directory.
    places: Vec<(Link, String)>,
    pair: String,
    run: String,
}

impl Guess {
    /// The engine, when it was asked exactly this. The folder is the caller's from now on.
    pub fn asked(mut self, asks: &Asks) -> Option<Work> {
        self.places.clear();
        self.work
            .take()
            .filter(|w| w.asks == *asks && w.is_waiting())
    }

    /// The way to the peer is gone; what lies there is swept up by a later run.
    pub fn is_only_here(&mut self) {
        self.places.truncate(1);
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        // The engine ends first.
        self.work = None;
        for (link, state) in &self.places {
            commit::discard_at(link, state, &self.pair, &self.run);
        }
    }
}

/// Asks an engine for what was edited here. `peer` waits until the peer has said what it is.
pub fn begin(
    request: &Request,
    local: &Host,
    index: &Index,
    base: &base::Early,
    region: Option<&Region>,
    peer: &dyn Fn() -> Option<Head>,
) -> Option<Guess> {
    let of_region = region.map(|r| r.base(base.manifest()));
    let edited = edited(local, index, of_region.as_ref().unwrap_or(base.manifest()))?;
    let peer = peer()?;
    let ends = Ends {
        id: &hosts::pair_id(&local.name, peer.end().name),
        scratch: request.reach.scratch.path(),
        local: local.end(),
        peer: peer.end(),
    };
    let usual = [&local.said, &peer.said].map(|said| is_usual(said, base.held()));
    if !peer.is_locked || usual != [true; 2] || facts::moved(&ends, request.policy, base.manifest())
    {
        return None;
    }
    let asks = Asks {
        scope: Scope::of_files(edited),
        own_copies: Vec::new(),
        remembers: false,
        keep_marker_check: true,
    };
    let mut guess = Guess {
        work: None,
        places: [ends.local, ends.peer]
            .map(|e| (e.link.clone(), e.state.to_owned()))
            .into(),
        pair: ends.id.to_owned(),
        run: request.run.to_owned(),
    };
    let mut work = Work::lay(request, &ends, "", asks).ok()?;
    work.engine = work.ask(&ends, EARLY_NUMBER, 0, &Silent).ok();
    guess.work = Some(work);
    Some(guess)
}

/// Nothing that a guard may have to speak of, or a run has to take up first.
fn is_usual(said: &Said, base: &Held) -> bool {
    said.root_usable
        && said.marker
        && said.pending.is_empty()
        && said.through.is_empty()
        && said.missing.is_empty()
        && said.held.is_none()
        && said.undoing.is_none()
        && said.generations.iter().max() == Some(base)
}

/// The files that were edited or made here since the base, when there are a few, and nothing else has changed.
fn edited(local: &Host, index: &Index, base: &Manifest) -> Option<Vec<RelPath>> {
    let hashed = local.hashed.as_ref()?;
    if !local.tree.unreadable.is_empty() {
        return None;
    }
    let mut known = index.walk(Side::Local);
    let mut before = Walk::of(&base.entries);
    let (mut met, mut bytes) = (0, 0);
    let mut edited = Vec::new();
    for (path, stat) in &local.tree.truth {
        let was = before.at(path);
        met += usize::from(was.is_some());
        let hash = match stat.what {
            What::File => hashed.get(path).copied().or_else(|| known.hash(path, stat)),
            _ => None,
        };
        let now = stat.entry(hash)?;
        match (was, &now) {
            (Some(was), now) if was == now => continue,
            (Some(Entry::File(was)), Entry::File(now)) if was.hash != now.hash => {}
            (None, Entry::File(_)) if comes_into(base, path) => {}
            _ => return None,
        }
        bytes += was.map_or(0, Entry::bytes) + now.bytes();
        if edited.len() >= FEW || bytes > SMALL.1 || is_long(path) {
            return None;
        }
        edited.push(path.clone());
    }
    (met == base.entries.len() && !edited.is_empty()).then_some(edited)
}

/// Whether both hosts have the directory of a new file.
fn comes_into(base: &Manifest, path: &RelPath) -> bool {
    let parent = path.ancestors().next().and_then(RelPath::new);
    parent.is_none_or(|p| base.entries.get(&p).is_some_and(Entry::is_dir))
}
