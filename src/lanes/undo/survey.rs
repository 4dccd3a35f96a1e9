//! What is to be taken back, and what stands at each path now.

use std::collections::BTreeMap;

use super::{Request, Stop, refuse};
use crate::host::link::LinkError;
use crate::lanes::truth::base;
use crate::lanes::truth::content;
use crate::lanes::truth::hosts::{Held, Host, Pair};
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::tree::What;
use crate::model::undo::{self, Back, Fate, Now};

/// What the run did, and the generation that was current before it (`None`: it was the first).
pub(super) fn subject(request: &Request, pair: &Pair) -> Result<(Vec<Back>, Option<Held>), Stop> {
    let name = &request.peer.name;
    let gone = || {
        refuse(
            name,
            "snapshot",
            format!(
                "what the pair remembered before {} is no longer kept on both hosts",
                request.undone
            ),
            "ubos-sync runs list".into(),
        )
    };
    let backs = undo::of_lane(request.lane).ok_or_else(|| {
        refuse(
            name,
            "snapshot",
            format!(
                "the record of {} names a path that leads out of the root",
                request.undone
            ),
            "ubos-sync runs verify".into(),
        )
    })?;
    let generation = request.lane.generation.as_deref().ok_or_else(gone)?;
    let all = base::common(pair);
    let made = all.iter().find(|g| g.name == generation).ok_or_else(gone)?;
    let before = all
        .iter()
        .rfind(|g| g.serial < made.serial)
        .map(|g| (*g).clone());
    let first_possible = made.serial == 1;
    if before.is_none() && !first_possible {
        return Err(gone());
    }
    let newest = all.last().ok_or_else(gone)?;
    if newest.name != made.name {
        let then = base::manifest(pair, made).ok_or_else(gone)?;
        let now = base::manifest(pair, newest).ok_or_else(gone)?;
        let moved = backs
            .iter()
            .find(|b| then.entries.get(&b.path) != now.entries.get(&b.path));
        if let Some(b) = moved {
            return Err(refuse(
                name,
                "newer_run",
                format!(
                    "{} was changed again by a run after {} (generation {})",
                    b.path, request.undone, newest.name
                ),
                format!(
                    "roll back the newer ones first: ubos-sync rollback --to {}",
                    request.undone
                ),
            ));
        }
    }
    Ok((backs, before))
}

/// One path of the rollback: what it is now, and what is to be done.
pub(super) struct Step<'a> {
    pub(super) back: &'a Back,
    pub(super) fate: Fate,
    pub(super) now: Option<Now>,
    /// Why it cannot be put back although nobody edited it.
    pub(super) trouble: Option<String>,
}

impl Step<'_> {
    pub(super) fn is_open(&self) -> bool {
        self.fate == Fate::Restore && self.trouble.is_none()
    }
}

pub(super) fn host(pair: &Pair, side: Side) -> &Host {
    match side {
        Side::Local => &pair.local,
        Side::Peer => &pair.peer,
    }
}

pub(super) fn survey<'a>(
    request: &Request,
    pair: &Pair,
    backs: &'a [Back],
) -> Result<Vec<Step<'a>>, Stop> {
    let mut steps = Vec::new();
    for side in Side::BOTH {
        let host = host(pair, side);
        let own: Vec<&Back> = backs.iter().filter(|b| b.side == side).collect();
        let paths: Vec<RelPath> = own.iter().map(|b| b.path.clone()).collect();
        let now = seen(host, &host.root_given, &paths)?;
        let backup = format!(
            "{}/pairs/{}/runs/{}/backup",
            host.said.state, pair.id, request.undone
        );
        let needed: Vec<RelPath> = own
            .iter()
            .filter(|b| needs_content(b))
            .map(|b| b.path.clone())
            .collect();
        let kept = seen(host, &backup, &needed).unwrap_or_default();
        for back in own {
            let now = now.get(&back.path).cloned();
            let fate = undo::fate(back, now.as_ref());
            let lost = fate != Fate::Already
                && needs_content(back)
                && !is_kept(back, kept.get(&back.path));
            steps.push(Step {
                back,
                fate,
                now,
                trouble: lost.then(|| {
                    format!(
                        "its earlier version is not in the run's folder on {}",
                        host.name
                    )
                }),
            });
        }
    }
    Ok(steps)
}

/// Whether the earlier version is more than an entry in a list.
pub(super) fn needs_content(back: &Back) -> bool {
    let Some(before) = &back.before else {
        return false;
    };
    let same = back.after.as_ref().is_some_and(|a| {
        a.r#type == before.r#type && a.hash == before.hash && a.link == before.link
    });
    before.r#type != "directory" && !same
}

pub(super) fn is_kept(back: &Back, kept: Option<&Now>) -> bool {
    let (Some(before), Some(kept)) = (&back.before, kept) else {
        return false;
    };
    match &kept.stat.what {
        What::File => before.r#type == "file" && before.hash == kept.hash,
        What::Link(_) => before.r#type == "link",
        _ => false,
    }
}

pub(super) fn seen(
    host: &Host,
    root: &str,
    paths: &[RelPath],
) -> Result<BTreeMap<RelPath, Now>, LinkError> {
    let stats = content::look(&host.link, root, &host.said.style, false, paths)?;
    let files: Vec<RelPath> = stats
        .iter()
        .filter(|(_, s)| s.what == What::File)
        .map(|(p, _)| p.clone())
        .collect();
    let hashes = content::hash(&host.link, root, &files)?;
    Ok(stats
        .into_iter()
        .filter(|(p, _)| paths.contains(p))
        .map(|(path, stat)| {
            let hash = hashes.get(&path).cloned();
            (path, Now { stat, hash })
        })
        .collect())
}
