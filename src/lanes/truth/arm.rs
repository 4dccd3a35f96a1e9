//! The last step before the first effect: on both hosts the plan is laid down, what it will change is written beside it, and what
//! the engine cannot keep itself is copied.

use crate::host::clock;
use crate::host::link::LinkError;
use crate::lanes::truth::base;
use crate::lanes::truth::begin::Work;
use crate::lanes::truth::propose::{Proposal, Request};
use crate::model::plan::{Side, TruthPlan};
use crate::model::snapshot::Snapshot;
use crate::model::time;
use crate::tool::remote;

/// Proof that the plan lies where a later run finds it, and that what the engine cannot keep has been copied.
pub struct Armed(());

pub fn arm(
    p: &Proposal,
    request: &Request,
    plan: &TruthPlan,
    work: &Work,
    writer: Option<&str>,
) -> Result<Armed, LinkError> {
    let pending = base::pending_bytes(plan, Side::Local);
    let snapshot = snapshot(p, request, plan, writer);
    let one = |side: Side| {
        let host = if side == Side::Local {
            &p.pair.local
        } else {
            &p.pair.peer
        };
        let copies: Vec<String> = plan
            .changes
            .iter()
            .filter(|c| c.to == side && work.asks.own_copies.contains(&c.path))
            .map(|c| remote::escaped(c.path.as_bytes()))
            .collect();
        let loses = plan
            .changes
            .iter()
            .any(|c| c.to == side && c.conflict.is_some());
        let n = copies.len().to_string();
        let mut parameters: Vec<&str> = vec![
            &host.state_given,
            &host.root_given,
            &p.pair.id,
            request.run,
            if loses { "1" } else { "0" },
            &n,
        ];
        parameters.extend(copies.iter().map(String::as_str));
        let data = (&*pending, "SNAPSHOT", &*snapshot);
        host.link
            .call_with(remote::ARM, &parameters, data)
            .map(|_| ())
    };
    std::thread::scope(|s| {
        let far = s.spawn(|| one(Side::Peer));
        one(Side::Local)?;
        far.join().unwrap_or_else(|_| {
            Err(LinkError::failed(
                "the snapshot ended unexpectedly",
                "run it again",
            ))
        })
    })?;
    Ok(Armed(()))
}

/// One line, since line breaks in it are escaped.
fn snapshot(p: &Proposal, request: &Request, plan: &TruthPlan, writer: Option<&str>) -> Vec<u8> {
    let names = [p.pair.local.name.as_str(), p.pair.peer.name.as_str()];
    let now = time::rfc3339(clock::now());
    let mut snapshot = Snapshot::of(request.run, &now, names, plan);
    snapshot.before.clone_from(&p.base.generation);
    snapshot.files = [&p.local, &p.peer].map(|r| r.entries().count());
    snapshot.writer = writer.map(str::to_owned);
    let mut bytes = serde_json::to_vec(&snapshot).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
