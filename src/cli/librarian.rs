//! `librarian`: the five acceptance tests against the real pair.

use std::cell::RefCell;
use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::complete;
use super::documents::{self, LibrarianTest};
use super::failure::Failure;
use super::out;
use super::profile::chosen;
use crate::host::{policy_file, signals};
use crate::lanes::flow::{self, Ended, Setup};
use crate::lanes::librarian::{self, TESTS, Tested};
use crate::lanes::reach;
use crate::model::exit;
use crate::model::policy::{Peer, Policy};
use crate::model::record::{Lane, Mode, Outcome, SCHEMA, TruthLane};
use crate::model::text::neutral;

/// Run the five acceptance tests against the real pair, in a scratch folder on both (told unless --apply is given)
#[derive(Debug, Args)]
pub struct Librarian {
    /// Only this peer
    #[arg(add = complete::peers())]
    peer: Option<String>,
    /// Carry them out
    #[arg(long)]
    apply: bool,
    /// Say what they would do (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
}

impl Librarian {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let names: Vec<String> = self.peer.iter().cloned().collect();
        let all = match names.is_empty() {
            true => policy.peers.iter().collect(),
            false => chosen(&policy, &names)?,
        };
        let peers: Vec<&Peer> = all.into_iter().filter(|p| p.truth).collect();
        if peers.is_empty() {
            return Err(Failure::usage(
                "the policy has no [[peer]] that takes part in truth",
            ));
        }
        if !self.apply {
            return Ok(told(&peers, global));
        }
        signals::listen();
        let mut code = exit::DONE;
        let mut rows = Vec::new();
        for peer in peers {
            let (tested, peer_code) = one(&policy, peer, global)?;
            code = code.max(peer_code);
            rows.extend(tested.into_iter().map(|t| (peer.name.clone(), t)));
        }
        if global.json {
            let tests = rows.iter().map(|(peer, t)| LibrarianTest::Done {
                name: t.name,
                peer,
                result: if t.pass { "pass" } else { "fail" },
                evidence: &t.evidence,
            });
            out::json(&document(tests.collect(), code));
            return Ok(code);
        }
        for (peer, t) in &rows {
            let word = if t.pass { "PASS" } else { "FAIL" };
            out::line(&format!(
                "{word}  {peer}  {:<12} {}",
                t.name,
                neutral(&t.evidence)
            ));
        }
        let failed = rows.iter().filter(|(_, t)| !t.pass).count();
        out::line(&match failed {
            0 => "all five passed".to_owned(),
            n => format!("{n} failed; to see what stands in the way: ubos-sync doctor"),
        });
        Ok(code)
    }
}

fn document(tests: Vec<LibrarianTest>, exit_code: u8) -> documents::Librarian {
    documents::Librarian {
        schema: SCHEMA,
        command: "librarian",
        tests,
        exit_code,
    }
}

fn told(peers: &[&Peer], global: &Global) -> u8 {
    if global.json {
        let tests = TESTS.map(|(name, would)| LibrarianTest::Told { name, would });
        out::json(&document(tests.into(), exit::DONE));
        return exit::DONE;
    }
    for peer in peers {
        out::line(&format!(
            "with {}, in a scratch folder inside both roots, removed afterwards:",
            peer.name
        ));
    }
    for (name, what) in TESTS {
        out::line(&format!("  {name:<12} {what}"));
    }
    out::line("Next: ubos-sync librarian --apply");
    exit::DONE
}

/// The tests with one peer, as a recorded run.
fn one(policy: &Policy, peer: &Peer, global: &Global) -> Result<(Vec<Tested>, u8), Failure> {
    let progress = out::progress(global);
    progress.phase(&format!("trying the pair with {}", peer.name), None);
    let setup = Setup {
        policy,
        command: "librarian",
        mode: Mode::Apply,
        reason: "manual",
        wait: global.wait.unwrap_or(Duration::ZERO),
        is_check: false,
        repeat: Vec::new(),
    };
    let found = RefCell::new(Vec::new());
    let work = |_: &flow::Run| {
        librarian::sweep(policy);
        let mut lane = TruthLane::new(&peer.name);
        // It says nothing about the trees themselves.
        lane.limited = true;
        let tested = match reach::reach(policy, peer, true) {
            Ok(reach) => librarian::run(policy, peer, &reach),
            Err(e) => Err(e.to_string()),
        };
        librarian::sweep(policy);
        match tested {
            Ok(tested) => {
                let passed = tested.iter().filter(|t| t.pass).count();
                lane.message = Some(format!(
                    "{passed} of {} acceptance tests passed",
                    tested.len()
                ));
                lane.outcome = match passed == tested.len() {
                    true => Outcome::InSync,
                    false => Outcome::Failed,
                };
                *found.borrow_mut() = tested;
            }
            Err(why) => {
                lane.message = Some(format!("the acceptance tests could not be run: {why}"));
                lane.outcome = Outcome::Failed;
            }
        }
        Ended {
            lanes: vec![Lane::Truth(lane)],
            findings: Vec::new(),
            ..Ended::default()
        }
    };
    let record = flow::recorded(&setup, work).map_err(|e| Failure::failed(format!("{e:#}")))?;
    progress.done();
    let tested = found.into_inner();
    if tested.is_empty() {
        let lane = record.lanes.first();
        let why = match lane {
            Some(Lane::Truth(t)) => t.message.clone(),
            _ => record.findings.first().map(|f| f.message.clone()),
        };
        return Err(Failure::with(
            record.exit_code.max(exit::FAILED),
            why.unwrap_or_default(),
        ));
    }
    Ok((tested, record.exit_code))
}
