//! A directory on one side where a file stands on the other: who gives way, with all that lies below.

use super::{Conflict, Work};
use crate::model::path::RelPath;
use crate::model::plan::{Decided, Side};
use crate::model::policy;

impl Work<'_> {
    /// Where a named winner has a directory and the other side a file, or the other way round, its word covers all that lies
    /// below on both sides; what the loser wrote there is kept like any loser.
    pub(super) fn spread_named(&mut self) {
        let Some((winner, word)) = self.named() else {
            return;
        };
        let loser = winner.other();
        let unlike = |p: &RelPath| {
            let entry = |side: Side| self.replica(side).entry(p);
            let (won, lost) = (entry(winner)?, entry(loser)?);
            (won.is_dir() != lost.is_dir()).then(|| p.clone())
        };
        let unlike: Vec<RelPath> = self.flows.keys().filter_map(unlike).collect();
        for path in unlike {
            let within = |side: Side| {
                let replica = self.replica(side);
                let all = Self::within(&replica.tree.truth, &path).map(|(p, _)| p.clone());
                // A pipe stands there and goes nowhere.
                all.filter(|p| replica.has(p))
            };
            let goes = |p: RelPath| self.flows.get(&p).is_some_and(|(to, _)| *to == winner);
            // The other side's file against a directory in which the winner changed nothing is no conflict.
            if within(winner).all(goes) {
                continue;
            }
            let all: Vec<RelPath> = Side::BOTH.into_iter().flat_map(within).collect();
            for p in all {
                if !self.left.contains_key(&p)
                    && self.flows.get(&p).is_none_or(|(to, _)| *to == winner)
                {
                    self.flows.insert(p, (loser, Some(word.clone())));
                }
            }
        }
    }

    /// A directory gives way to a file or link only when everything in it is known and unchanged, or loses by name.
    pub(super) fn settle_replacements(&mut self) {
        let candidates: Vec<(RelPath, Side)> = self
            .flows
            .iter()
            .filter(|(p, (to, _))| {
                let source = self.replica(to.other()).entry(p);
                let target = self.replica(*to).entry(p);
                matches!((source, target), (Some(s), Some(t)) if t.is_dir() && !s.is_dir())
            })
            .map(|(p, (to, _))| (p.clone(), *to))
            .collect();
        for (path, to) in candidates {
            let replica = self.replica(to);
            let all: Vec<RelPath> = Self::within(&replica.tree.truth, &path)
                .map(|(p, _)| p.clone())
                .collect();
            let goes = |p: &RelPath| self.flows.get(p).is_some_and(|(t, _)| *t == to);
            let all_go = all.iter().all(goes)
                && !replica
                    .tree
                    .unreadable
                    .iter()
                    .any(|u| u.is_within(path.as_bytes()));
            if all_go && !replica.tree.holds_apart(&path) {
                continue;
            }
            let host = self.name(to);
            let why = if all_go {
                format!(
                    "it became a file on the other side, but the directory on {host} holds state or excluded files that stay"
                )
            } else {
                format!(
                    "it became a file on the other side, but something inside the directory on {host} is new or changed"
                )
            };
            for p in all {
                self.flows.remove(&p);
            }
            self.leave(&path, why, true);
        }
    }

    /// The winner of every conflict, when the policy names one.
    fn named(&self) -> Option<(Side, Conflict)> {
        let (side, how) = match self.judge.strategy {
            policy::Strategy::Local => (Side::Local, Decided::Local),
            policy::Strategy::Peer => (Side::Peer, Decided::Peer),
            _ => return None,
        };
        Some((
            side,
            (how, format!("the policy prefers {}", self.name(side))),
        ))
    }
}
