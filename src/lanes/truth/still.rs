//! The last look before an effect: is what is about to change still what the plan knew?
//!
//! Invariant: nothing is overwritten, carried or deleted that appeared or changed behind the plan.

use std::collections::{BTreeMap, HashSet};

use crate::lanes::truth::content;
use crate::lanes::truth::propose::Proposal;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::policy::Writer;
use crate::model::scope::Item;
use crate::model::tree::{Stat, Tree, What};

/// What is about to change is looked at once more: the engine takes what it finds for what was planned. A target that was
/// edited since must not be overwritten, and something born in a directory that goes as a whole must not be carried or
/// deleted unseen. A source that merely grew is no reason to wait: it travels as it is. Unless
/// writers hold still (`is_still`): then what they wrote behind the plan is planned anew, and nothing moves any more.
pub fn unmoved(
    p: &Proposal,
    items: &[Item],
    writer: Option<&Writer>,
    is_still: bool,
) -> Result<(), String> {
    let one = |side| {
        let (host, replica) = match side {
            Side::Local => (&p.pair.local, &p.local),
            Side::Peer => (&p.pair.peer, &p.peer),
        };
        let look = |whole| {
            let of = items.iter().filter(|i| i.whole == whole);
            let paths: Vec<RelPath> = of.map(|i| i.path.clone()).collect();
            content::look(
                &host.link,
                &host.root_given,
                &host.said.style,
                whole,
                &paths,
            )
        };
        let mut now = look(true).map_err(|e| e.to_string())?;
        now.extend(look(false).map_err(|e| e.to_string())?);
        // The pause of this very run, and its answer, are no news and never truth.
        let files = writer.map(|w| [&w.pause_file, &w.ack_file]);
        let of_pause =
            |p: &RelPath| files.is_some_and(|f| f.iter().any(|f| f.as_bytes() == p.as_bytes()));
        now.retain(|p, _| !of_pause(p));
        match surprise(side, &replica.tree, items, &now, is_still) {
            None => Ok(()),
            Some(path) => Err(format!(
                "{path} appeared or changed on {} after the plan was made",
                host.name
            )),
        }
    };
    std::thread::scope(|s| {
        let far = s.spawn(|| one(Side::Peer));
        one(Side::Local)?;
        far.join()
            .unwrap_or_else(|_| Err("the last look at the peer ended unexpectedly".into()))
    })
}

/// The first path that is not as the plan knew it.
fn surprise(
    side: Side,
    tree: &Tree,
    items: &[Item],
    now: &BTreeMap<RelPath, Stat>,
    is_still: bool,
) -> Option<RelPath> {
    let targets: HashSet<&[u8]> = items
        .iter()
        .filter(|i| i.to == side)
        .map(|i| i.path.as_bytes())
        .collect();
    let known = |path: &RelPath, stat: &Stat| {
        let apart = |a: &[u8]| RelPath::new(a).is_some_and(|a| tree.apart.contains_key(&a));
        if tree.apart.contains_key(path) || path.ancestors().any(apart) {
            return true;
        }
        let is_target =
            targets.contains(path.as_bytes()) || path.ancestors().any(|a| targets.contains(a));
        tree.truth.get(path).is_some_and(|was| {
            was.what == stat.what
                && (stat.what == What::Dir || !(is_target || is_still) || was == stat)
        })
    };
    let gone = items
        .iter()
        .map(|i| &i.path)
        .find(|p| tree.truth.contains_key(p) && !now.contains_key(*p));
    gone.or_else(|| now.iter().find(|(p, s)| !known(p, s)).map(|(p, _)| p))
        .cloned()
}
