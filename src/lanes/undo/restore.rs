//! The effects of a rollback: the hold, the paths put back, the memory of the pair set back.

use super::survey::{Step, host};
use super::{Request, Stop, refuse};
use crate::host::clock;
use crate::host::link::LinkError;
use crate::lanes::truth::base;
use crate::lanes::truth::commit::{self, Generation};
use crate::lanes::truth::hosts::{Held, Pair};
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::time;
use crate::model::undo::{self, Back, Fate};
use crate::tool::remote;

/// Holds the pair on both hosts.
pub(super) fn hold(pair: &Pair, why: &str) -> Result<(), LinkError> {
    for host in [&pair.local, &pair.peer] {
        host.link.call(
            remote::HOLD,
            &[
                &host.state_given,
                &pair.id,
                "hold",
                &crate::model::text::neutral(why),
            ],
            &[],
        )?;
    }
    Ok(())
}

/// Puts everything back, on both hosts at once; the paths of which a host says that it could not.
pub(super) fn restore(
    request: &Request,
    pair: &Pair,
    run: &str,
    steps: &[Step],
) -> Result<Vec<RelPath>, LinkError> {
    let stamp = time::run_stamp(clock::now());
    let one = |side: Side| -> Result<Vec<RelPath>, LinkError> {
        let host = host(pair, side);
        let own = || {
            steps
                .iter()
                .filter(|s| s.back.side == side && s.trouble.is_none())
        };
        let open: Vec<&Back> = own()
            .filter(|s| s.fate == Fate::Restore || (request.force && s.fate == Fate::Edited))
            .map(|s| s.back)
            .collect();
        let mut actions = Vec::new();
        if request.force {
            let edited = own().filter(|s| s.fate == Fate::Edited && s.now.is_some());
            actions.extend(edited.map(|s| undo::Action {
                what: "aside",
                mode: format!("{}-{stamp}", host.name),
                time: String::new(),
                path: s.back.path.clone(),
            }));
        }
        actions.extend(undo::actions(&open));
        if actions.is_empty() {
            return Ok(Vec::new());
        }
        let n = actions.len().to_string();
        let mut lines: Vec<String> = Vec::new();
        for a in &actions {
            lines.extend([
                a.what.to_owned(),
                a.mode.clone(),
                a.time.clone(),
                remote::octal(a.path.as_bytes()),
            ]);
        }
        let mut parameters: Vec<&str> = vec![
            &host.state_given,
            &host.root_given,
            &pair.id,
            request.undone,
            run,
            &n,
        ];
        parameters.extend(lines.iter().map(String::as_str));
        let body = host.link.call(remote::RESTORE, &parameters, &[])?;
        let bad = remote::values(&body, "bad").filter_map(|i| i.parse::<usize>().ok());
        Ok(bad
            .filter_map(|i| Some(actions.get(i)?.path.clone()))
            .collect())
    };
    std::thread::scope(|s| {
        let far = s.spawn(|| one(Side::Peer));
        let mut bad = one(Side::Local)?;
        bad.extend(
            far.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?,
        );
        Ok(bad)
    })
}

/// The pair forgets the run: what it remembered before becomes current on both hosts.
pub(super) fn forget(
    request: &Request,
    pair: &Pair,
    run: &str,
    before: Option<&Held>,
) -> Result<(), Stop> {
    let manifest = match before {
        None => Default::default(),
        Some(g) => base::manifest(pair, g).ok_or_else(|| {
            refuse(
                &request.peer.name,
                "snapshot",
                "the earlier memory of the pair is damaged".into(),
                "ubos-sync doctor".into(),
            )
        })?,
    };
    let highest = pair
        .local
        .said
        .generations
        .iter()
        .chain(&pair.peer.said.generations)
        .map(|g| g.serial)
        .max();
    let generation = Generation {
        run,
        from: before.map(|g| g.name.as_str()),
        serial: highest.unwrap_or(0) + 1,
        old: &manifest,
        new: &manifest,
        with_run_archives: false,
    };
    Ok(commit::commit(
        pair,
        &generation,
        request.policy.snapshots.keep,
    )?)
}
