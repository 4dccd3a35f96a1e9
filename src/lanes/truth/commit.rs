//! The commit point: a new generation, prepared on both hosts, then made current by one rename on each.
//!
//! Invariant: nothing is current before both hosts have the same digest of what changed and of the manifest that it changes (which
//! they share with the generation before, and is written anew now and then). When a crash falls between the two renames, the older
//! common generation stays the base and the pending plan lets the next run roll forward.

use crate::host::link::{Link, LinkError};
use crate::lanes::truth::hosts::{Host, Pair};
use crate::model::manifest::Manifest;
use crate::model::policy::Snapshots;
use crate::model::thread::joined;
use crate::tool::remote;

pub struct Generation<'a> {
    pub run: &'a str,
    pub from: Option<&'a str>,
    /// Higher than that of any generation on either host.
    pub serial: u64,
    pub old: &'a Manifest,
    pub new: &'a Manifest,
    /// Whether the run's own working copy of the engine's archives goes in, or those of the generation before.
    pub with_run_archives: bool,
    /// Whether all of it is written, and not only what is new.
    pub whole: bool,
}

pub fn commit(pair: &Pair, g: &Generation, keep: &Snapshots) -> Result<(), LinkError> {
    let all = || prepare(pair, g, keep, "whole", &Manifest::default().delta(g.new));
    let digests = match g.whole {
        true => all()?,
        false => prepare(pair, g, keep, "", &g.old.delta(g.new))?,
    };
    // Different ones: what a host had of the old one is damaged, so that this time it gets all of the new one.
    let (near, far) = match digests.0 == digests.1 {
        true => digests,
        false => all()?,
    };
    if near != far || near.len() != 64 {
        return Err(LinkError::failed(
            format!(
                "{} and {} did not prepare the same base; the old one stays current",
                pair.local.name, pair.peer.name
            ),
            "run it again",
        ));
    }
    // At the same time: it is current when both have it, and what only one of them has is rolled forward by the next run.
    std::thread::scope(|s| {
        let far = s.spawn(|| call(&pair.peer, pair, g, "publish", keep, &near, &[]));
        let own = call(&pair.local, pair, g, "publish", keep, &near, &[]);
        joined(far).and(own).map(|_| ())
    })
}

/// Lays the generation down on both hosts at once; the digests of what each then has.
fn prepare(
    pair: &Pair,
    g: &Generation,
    keep: &Snapshots,
    how: &str,
    data: &[u8],
) -> Result<(String, String), LinkError> {
    let step = if g.with_run_archives {
        "prepare"
    } else {
        "recover"
    };
    let one = |host: &Host| {
        let body = call(host, pair, g, step, keep, how, data)?;
        Ok(remote::value(&body, "digest")
            .unwrap_or_default()
            .to_owned())
    };
    std::thread::scope(|s| {
        let far = s.spawn(|| one(&pair.peer));
        let near = one(&pair.local)?;
        let far = far.join().unwrap_or_else(|_| {
            Err(LinkError::failed(
                "the commit ended unexpectedly",
                "run it again",
            ))
        })?;
        Ok((near, far))
    })
}

fn call(
    host: &Host,
    pair: &Pair,
    g: &Generation,
    step: &str,
    keep: &Snapshots,
    digest: &str,
    data: &[u8],
) -> Result<Vec<u8>, LinkError> {
    let days = (keep.keep_losers.as_secs() / 86_400).to_string();
    let keep = keep.keep.max(2).to_string();
    host.link.call(
        remote::COMMIT,
        &[
            &host.state_given,
            &pair.id,
            g.run,
            g.from.unwrap_or(""),
            step,
            &keep,
            &days,
            digest,
            &g.serial.to_string(),
        ],
        data,
    )
}

/// Throws the folder of a run away on both hosts (a dry run, or one that changed nothing).
pub fn discard(pair: &Pair, run: &str) {
    for host in [&pair.peer, &pair.local] {
        discard_at(&host.link, &host.state_given, &pair.id, run);
    }
}

/// The same on one host.
pub fn discard_at(link: &Link, state: &str, pair: &str, run: &str) {
    let parameters = [state, pair, run, "", "discard", "2", "0", "", ""];
    let _ = link.call(remote::COMMIT, &parameters, &[]);
}
