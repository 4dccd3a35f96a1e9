//! The start of an engine: the run's folder is laid on both hosts, with the engine's archives where they save more than they
//! cost, and one is started on the first part of the plan.

use std::path::{Path, PathBuf};

use crate::host::link::LinkError;
use crate::host::process;
use crate::lanes::truth::base::Base;
use crate::lanes::truth::commit;
use crate::lanes::truth::early::Guess;
use crate::lanes::truth::ends::{End, Ends};
use crate::lanes::truth::engine::{self, Engine, EngineError, Job};
use crate::lanes::truth::hosts::Pair;
use crate::lanes::truth::propose::{ProposeError, Request};
use crate::model::bulk::{self, Batch};
use crate::model::entry::Entry;
use crate::model::guards::Facts;
use crate::model::path::RelPath;
use crate::model::plan::{Kind, TruthPlan};
use crate::model::progress::Progress;
use crate::model::reconcile::Replica;
use crate::model::scope::{Scope, scope};
use crate::tool::{remote, unison_profile};

/// The run's folder on both hosts and the engine that waits at its last question.
pub struct Work {
    pub rundir: PathBuf,
    pub peer_rundir: String,
    pub profile: Vec<u8>,
    pub asks: Asks,
    /// What goes in streams of its own.
    pub bulk: Vec<Batch>,
    /// The engine on the first part of all else, at its last question; none when all goes in bulk.
    pub engine: Option<Engine>,
}

/// What is asked of the engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Asks {
    pub scope: Scope,
    /// Files whose previous version the engine cannot keep, so that we do.
    pub own_copies: Vec<RelPath>,
    /// Whether it has its archives, so that they are worth keeping.
    pub remembers: bool,
    pub keep_marker_check: bool,
}

/// So many changes, of so many bytes in all their versions, are carried out by an engine without archives.
pub const SMALL: (usize, u64) = (500, 32 << 20);

/// Longer names do not leave room for what the engine puts before and behind them.
pub fn is_long(path: &RelPath) -> bool {
    path.name().len() > 180
}

/// The numbers of the engines that are started before a plan is carried out; those of its later parts follow.
pub const EARLY_NUMBER: usize = 0;
const NUMBER: usize = 1;
const WITHOUT_ARCHIVES: usize = 2;
pub const LAST_NUMBER: usize = WITHOUT_ARCHIVES;

/// Lays the run's folder on both hosts and starts the engine on the first part of the plan. `guess`: one that has been asked
/// already, for what the plan was expected to be.
#[expect(
    clippy::too_many_arguments,
    reason = "what was found out, each thing by itself"
)]
pub fn begin(
    request: &Request,
    pair: &Pair,
    base: &Base,
    plan: &TruthPlan,
    local: &Replica,
    peer: &Replica,
    known: &Facts,
    guess: Option<Guess>,
) -> Result<Work, ProposeError> {
    let (bulk, rest) = match process::which("rsync") {
        Some(_) => bulk::divide(plan, local, peer),
        None => (Vec::new(), plan.clone()),
    };
    let scope = scope(&rest, local, peer);
    let own_copies: Vec<RelPath> = plan
        .changes
        .iter()
        .filter(|c| c.target.is_some() && is_long(&c.path))
        .map(|c| c.path.clone())
        .collect();
    // Every item is answered from the plan, so that what the engine remembers is only a matter of time: to read and write the memory
    // of a large tree takes longer than to look at a few files without one.
    let remembers = !scope.items.is_empty() && (base.generation.is_none() || !is_small(&rest));
    let asks = Asks {
        scope,
        own_copies,
        remembers,
        keep_marker_check: known.local.marker && known.remote.marker,
    };
    let asked = guess.and_then(|g| g.asked(&asks));
    // Of a conflict the engine may have seen another loser than the plan knows.
    let is_plain = bulk.is_empty() && plan.changes.iter().all(|c| c.conflict.is_none());
    if let Some(work) = asked.filter(|_| is_plain) {
        return Ok(work);
    }
    let known_by_engine = base.generation.clone().filter(|_| remembers);
    let generation = known_by_engine.unwrap_or_default();
    let ends = &pair.ends();
    let begun = Work::lay(request, ends, &generation, asks)
        .map_err(ProposeError::from)
        .and_then(|work| work.begun(ends, request, bulk));
    if begun.is_err() {
        commit::discard(pair, request.run);
    }
    begun
}

impl Work {
    /// The folder of the run on both hosts, and no engine yet.
    pub fn lay(
        request: &Request,
        ends: &Ends,
        generation: &str,
        asks: Asks,
    ) -> Result<Work, LinkError> {
        let (rundir, peer_rundir) = lay(ends, request.run, generation)?;
        Ok(Work {
            rundir,
            peer_rundir,
            profile: unison_profile::render(request.policy, request.peer),
            asks,
            bulk: Vec::new(),
            engine: None,
        })
    }

    /// With an engine at its last question, if there is one thing to ask it.
    fn begun(
        mut self,
        ends: &Ends,
        request: &Request,
        bulk: Vec<Batch>,
    ) -> Result<Work, ProposeError> {
        self.bulk = bulk;
        if self.asks.scope.items.is_empty() {
            return Ok(self);
        }
        let mut asked = self.ask(ends, NUMBER, 0, request.progress);
        if let Err(EngineError::Archives(_)) = asked {
            // The base decides, not the engine's memory: it can start from nothing.
            (self.rundir, self.peer_rundir) = lay(ends, request.run, "")?;
            asked = self.ask(ends, WITHOUT_ARCHIVES, 0, request.progress);
        }
        self.engine = Some(asked?);
        Ok(self)
    }

    pub fn is_waiting(&self) -> bool {
        self.engine.as_ref().is_some_and(Engine::is_waiting)
    }

    /// Starts an engine on the part of the plan that begins with item `start`, and has it asked its questions.
    pub fn ask(
        &self,
        ends: &Ends,
        number: usize,
        start: usize,
        progress: &dyn Progress,
    ) -> Result<Engine, EngineError> {
        let job = Job {
            profile: &self.profile,
            rundir: &self.rundir,
            peer_rundir: &self.peer_rundir,
            number,
            items: self.asks.scope.part(start),
            ignore: &self.asks.scope.ignore,
            backup_not: &self.asks.own_copies,
            keep_marker_check: self.asks.keep_marker_check,
        };
        engine::ask(ends, &job, progress)
    }
}

fn is_small(plan: &TruthPlan) -> bool {
    let versions = plan.changes.iter().flat_map(|c| [&c.source, &c.target]);
    let bytes: u64 = versions.flatten().map(Entry::bytes).sum();
    // To see a directory's mode it reads all that is below.
    let modes = plan
        .changes
        .iter()
        .any(|c| c.kind == Kind::Meta && c.source.as_ref().is_some_and(Entry::is_dir));
    !modes && plan.changes.len() <= SMALL.0 && bytes <= SMALL.1
}

fn lay(ends: &Ends, run: &str, generation: &str) -> Result<(PathBuf, String), LinkError> {
    let (near, far) = std::thread::scope(|s| {
        let far = s.spawn(|| lay_one(ends.peer, ends.id, run, generation));
        let near = lay_one(ends.local, ends.id, run, generation);
        let far = far.join();
        (
            near,
            far.unwrap_or_else(|_| {
                Err(LinkError::failed(
                    "the preparation ended unexpectedly",
                    "run it again",
                ))
            }),
        )
    });
    Ok((Path::new(&near?).to_path_buf(), far?))
}

fn lay_one(host: End, pair: &str, run: &str, generation: &str) -> Result<String, LinkError> {
    let program = host.said.program.as_str();
    let body = host.link.call(
        remote::BEGIN,
        &[host.state, pair, run, generation, host.name, program],
        &[],
    )?;
    remote::value(&body, "rundir")
        .map(str::to_owned)
        .ok_or_else(|| {
            LinkError::failed(
                format!("the folder of this run could not be made on {}", host.name),
                format!("on {}: df -h {}", host.name, host.state),
            )
        })
}
