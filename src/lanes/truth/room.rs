//! Whether a run failed because a disk is full: on which host, under what, and how much is missing.

use crate::lanes::truth::hosts::{Host, Pair};
use crate::lanes::truth::verify::Verified;
use crate::model::plan::{Change, Kind, Side};
use crate::model::record::ResultWord;
use crate::model::text::{neutral, size};
use crate::tool::remote;

/// With less than this nothing of ours works, whatever is still to come.
pub const LEAST: u64 = 64 << 10;

/// Bytes that one host still needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Need {
    pub tree: u64,
    pub state: u64,
}

impl Need {
    /// By disk: the tree's, and our own files' when they lie on another. On one disk both meet.
    pub fn by_disk(self, state_is_apart: bool) -> (u64, u64) {
        match state_is_apart {
            false => (self.tree.saturating_add(self.state), 0),
            true => (self.tree, self.state),
        }
    }
}

/// A disk that is too small, in words.
#[derive(Debug, Clone)]
pub struct Short {
    pub side: Side,
    pub words: String,
}

/// What the changes that were not done would take, by side. Nothing is known to be done: all of them.
pub fn needs(changes: &[Change], results: &[Verified]) -> [Need; 2] {
    Side::BOTH.map(|side| {
        let mut need = Need::default();
        for (i, c) in changes.iter().enumerate() {
            let is_done = results.get(i).is_some_and(|r| r.result == ResultWord::Done);
            if c.to != side || is_done {
                continue;
            }
            if c.kind != Kind::Delete {
                need.tree = need.tree.saturating_add(c.bytes());
            }
            let kept = c.target.as_ref().filter(|_| c.kind != Kind::Meta);
            need.state = need.state.saturating_add(kept.map_or(0, |t| t.bytes()));
        }
        need
    })
}

/// Asks both hosts; one that does not answer is not short of anything that we know of.
pub fn short(pair: &Pair, needs: [Need; 2]) -> Vec<Short> {
    std::thread::scope(|s| {
        let far = s.spawn(|| of_host(&pair.peer, Side::Peer, needs[1]));
        let mut all = of_host(&pair.local, Side::Local, needs[0]);
        all.extend(far.join().unwrap_or_default());
        all
    })
}

/// A message behind the disks that were too small.
pub fn said(short: &[Short], message: &str) -> String {
    let mut all: Vec<&str> = short.iter().map(|s| s.words.as_str()).collect();
    all.push(message);
    all.join("; ")
}

fn of_host(host: &Host, side: Side, need: Need) -> Vec<Short> {
    let root = host.said.root.as_deref().unwrap_or(&host.root_given);
    let Ok(body) = host.link.call(remote::ROOM, &[&host.said.state, root], &[]) else {
        return Vec::new();
    };
    let free = |key| {
        let kib = remote::value(&body, key)?.parse::<u64>().ok()?;
        Some(kib.saturating_mul(1024))
    };
    let (tree, state) = (free("space"), free("statespace"));
    let (tree_needs, state_needs) = need.by_disk(state.is_some());
    let places = [
        (tree, tree_needs, root),
        (state, state_needs, host.said.state.as_str()),
    ];
    let words = |(free, need, at): (Option<u64>, u64, &str)| {
        let need = need.max(LEAST);
        let free = free.filter(|f| *f < need)?;
        Some(Short {
            side,
            words: format!(
                "the disk of {} under {} is full: {} are free, {} more are needed",
                host.name,
                neutral(at),
                size(free),
                size(need - free)
            ),
        })
    };
    places.into_iter().filter_map(words).collect()
}
