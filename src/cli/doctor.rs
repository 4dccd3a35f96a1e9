//! `doctor`: what could stand in the way, on this host and on each peer, with what to type.

use clap::Args;
use serde_json::json;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::out;
use super::profile::chosen;
use super::render::doctor;
use crate::host::{policy_file, signals};
use crate::lanes::doctor::{Check, Verdict, at, here, there};
use crate::lanes::flow::Run;
use crate::model::exit;
use crate::model::record::SCHEMA;

/// Check tools, versions, connections, roots, clocks and permissions on both hosts; each bad row names its fix
#[derive(Debug, Args)]
pub struct Doctor {
    /// Only these peers
    #[arg(add = complete::peers())]
    peers: Vec<String>,
}

impl Doctor {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let peers = match self.peers.is_empty() {
            true => policy.peers.iter().collect(),
            false => chosen(&policy, &self.peers)?,
        };
        signals::listen();
        let progress = out::progress(global);
        progress.phase("looking at everything", None);
        let run = Run {
            id: "doctor",
            open: None,
        };
        let mut checks = here(&policy);
        let found: Vec<Vec<Check>> = std::thread::scope(|s| {
            let started: Vec<_> = peers
                .iter()
                .map(|peer| s.spawn(|| there(&policy, peer, &run)))
                .collect();
            let joined = started.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined
                .map(|t| t.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        checks.extend(found.into_iter().flatten());
        progress.done();
        let bad = checks.iter().filter(|c| c.verdict == Verdict::Bad).count();
        let code = if bad == 0 { exit::DONE } else { exit::FAILED };
        if global.json {
            let rows: Vec<_> = checks
                .iter()
                .map(|c| json!({
                    "result": c.verdict.word(), "host": c.host, "check": c.what, "found": c.found, "fix": c.fix,
                }))
                .collect();
            out::json(&json!({
                "schema": SCHEMA, "command": "doctor", "at": at(), "checks": rows, "exit_code": code,
            }));
        } else {
            out::text(&doctor::screen(checks, &out::style(global, false)));
        }
        Ok(code)
    }
}
