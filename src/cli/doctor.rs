//! `doctor`: what could stand in the way, on this host and on each peer, with what to type; and what of it can be mended at once.

use std::cell::RefCell;
use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::complete;
use super::documents::{self, DoctorCheck, DoctorMended};
use super::failure::Failure;
use super::out;
use super::profile::chosen;
use super::render::doctor;
use crate::host::policy_file::PolicyError;
use crate::host::{policy_file, process, signals};
use crate::lanes::doctor::mend::{self, Mended};
use crate::lanes::doctor::{Check, Verdict, at, look};
use crate::lanes::flow::{self, Ended, Setup};
use crate::lanes::outside::MENDS;
use crate::model::exit;
use crate::model::finding::{Finding, Severity};
use crate::model::policy::{Peer, Policy};
use crate::model::record::{Mode, Outcome, SCHEMA};

/// Check tools, versions, connections, roots, clocks and permissions on both hosts; each bad row names its fix
#[derive(Debug, Args)]
pub struct Doctor {
    /// Only these peers
    #[arg(add = complete::peers())]
    peers: Vec<String>,
    /// Mend what is safe to mend: a marker in a tree that is plainly there, a missing directory of ours, rights of others (told unless
    /// --apply is given)
    #[arg(long)]
    fix: bool,
    /// Carry it out, then look again
    #[arg(long, requires = "fix")]
    apply: bool,
    /// Say what would be mended (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
}

impl Doctor {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = match policy_file::load(global.policy.as_deref()) {
            Ok(policy) => policy,
            Err(PolicyError::Unsafe(file, why, fix)) => {
                return Ok(unsafe_policy(global, &file, &why, &fix));
            }
            Err(e) => return Err(e.into()),
        };
        let peers = match self.peers.is_empty() {
            true => policy.peers.iter().collect(),
            false => chosen(&policy, &self.peers)?,
        };
        signals::listen();
        let progress = out::progress(global);
        progress.phase("looking at everything", None);
        let mut checks = look(&policy, &peers);
        let mut shown = Shown {
            mended: None,
            applied: self.apply,
            run: None,
        };
        if self.fix && !self.apply {
            shown.mended = Some(mend::all(&policy, &checks, false));
        }
        if self.apply {
            progress.phase("mending", None);
            let (mended, run) = mended(&policy, &checks, global)?;
            (shown.mended, shown.run) = (Some(mended), Some(run));
            progress.phase("looking again", None);
            checks = look(&policy, &peers);
        }
        progress.done();
        let code = match checks.iter().any(|c| c.verdict == Verdict::Bad) {
            true => exit::FAILED,
            false => exit::DONE,
        };
        shown.show(global, checks, code);
        Ok(code)
    }
}

/// A policy that somebody else could have written is not read, so its row is the only one.
fn unsafe_policy(global: &Global, file: &std::path::Path, why: &str, fix: &str) -> u8 {
    let found = format!(
        "{} {why}, so it is not read: it decides what gets executed",
        file.display()
    );
    let fix = format!("look at what stands in it first; then {fix}");
    let check = Check::bad(&process::host_name(), "policy", found, fix);
    let shown = Shown {
        mended: None,
        applied: false,
        run: None,
    };
    shown.show(global, vec![check], exit::USAGE);
    exit::USAGE
}

/// Mends, as a recorded run under the site's lock.
fn mended(
    policy: &Policy,
    checks: &[Check],
    global: &Global,
) -> Result<(Vec<Mended>, String), Failure> {
    let setup = Setup {
        policy,
        command: MENDS,
        mode: Mode::Apply,
        reason: "manual",
        wait: global.wait.unwrap_or(Duration::ZERO),
        is_check: false,
        repeat: Vec::new(),
    };
    let done = RefCell::new(None);
    let record = flow::recorded(&setup, |_| {
        let all = mend::all(policy, checks, true);
        let outcome = match (all.is_empty(), all.iter().any(|m| m.not.is_some())) {
            (true, _) => Outcome::InSync,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Applied,
        };
        let findings = all.iter().map(|m| finding(policy, m)).collect();
        *done.borrow_mut() = Some(all);
        Ended {
            lanes: Vec::new(),
            findings,
            outcome: Some(outcome),
        }
    });
    let record = record.map_err(|e| Failure::failed(format!("{e:#}; nothing was mended")))?;
    match done.into_inner() {
        Some(all) => Ok((all, record.run)),
        None => {
            let said: Vec<&str> = record.findings.iter().map(|f| f.message.as_str()).collect();
            Err(Failure::with(
                record.exit_code,
                format!("{}; nothing was mended", said.join("; ")),
            ))
        }
    }
}

/// As the record keeps it.
fn finding(policy: &Policy, m: &Mended) -> Finding {
    let named = |p: &&Peer| p.name == m.host;
    let (severity, message) = match &m.not {
        None => (
            Severity::Note,
            format!("on {}: {}: done", m.host, m.mend.words()),
        ),
        Some(why) => (
            Severity::Warn,
            format!("on {}: {}: not done, {why}", m.host, m.mend.words()),
        ),
    };
    Finding {
        guard: MENDS.into(),
        severity,
        peer: policy.peers.iter().find(named).map(|p| p.name.clone()),
        message,
        hint: "ubos-sync doctor".into(),
    }
}

struct Shown {
    mended: Option<Vec<Mended>>,
    applied: bool,
    run: Option<String>,
}

impl Shown {
    fn show(self, global: &Global, checks: Vec<Check>, code: u8) {
        if !global.json {
            let style = out::style(global, false);
            if let Some(all) = &self.mended {
                out::text(&doctor::mended(all, self.applied, &style));
            }
            out::text(&doctor::screen(checks, &style));
            return;
        }
        let rows = checks.iter().map(|c| DoctorCheck {
            result: c.verdict.word(),
            host: &c.host,
            check: c.what,
            found: &c.found,
            fix: &c.fix,
            can_mend: c.mend.is_some(),
        });
        let mended = self.mended.as_ref();
        out::json(&documents::Doctor {
            schema: SCHEMA,
            command: MENDS,
            at: at(),
            checks: rows.collect(),
            exit_code: code,
            mode: if self.applied {
                Mode::Apply
            } else {
                Mode::DryRun
            },
            mended: mended.map(|all| all.iter().map(|m| entry(m, self.applied)).collect()),
            run: self.run,
        });
    }
}

fn entry(m: &Mended, applied: bool) -> DoctorMended<'_> {
    let result = match (&m.not, applied) {
        (None, true) => "done",
        (None, false) => "planned",
        (Some(_), true) => "failed",
        (Some(_), false) => "skipped",
    };
    DoctorMended {
        host: &m.host,
        check: m.check,
        does: m.mend.words(),
        path: &m.mend.path,
        result,
        why: m.not.as_deref(),
    }
}
