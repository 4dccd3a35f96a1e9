//! The start of an engine: the run's folder is laid on both hosts, with the engine's archives where they save more than they
//! cost, and one is started on the first part of the plan.

use std::path::{Path, PathBuf};

use crate::host::link::LinkError;
use crate::host::process;
use crate::lanes::truth::base::Base;
use crate::lanes::truth::commit;
use crate::lanes::truth::engine::{self, Engine, EngineError, Job};
use crate::lanes::truth::hosts::{Host, Pair};
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
    pub scope: Scope,
    /// Files whose previous version the engine cannot keep, so that we do.
    pub own_copies: Vec<RelPath>,
    /// What goes in streams of its own.
    pub bulk: Vec<Batch>,
    /// The engine on the first part of all else, at its last question; none when all goes in bulk.
    pub engine: Option<Engine>,
    /// Whether the engine had its archives, so that they are worth keeping.
    pub remembers: bool,
    pub keep_marker_check: bool,
}

/// So many changes, of so many bytes in all their versions, are carried out by an engine without archives.
const SMALL: (usize, u64) = (500, 32 << 20);

/// Longer names do not leave room for what the engine puts before and behind them.
const LONG_NAME: usize = 180;

/// Lays the run's folder on both hosts and starts the engine on the first part of the plan.
pub fn begin(
    request: &Request,
    pair: &Pair,
    base: &Base,
    plan: &TruthPlan,
    local: &Replica,
    peer: &Replica,
    known: &Facts,
) -> Result<Work, ProposeError> {
    let (bulk, rest) = match process::which("rsync") {
        Some(_) => bulk::divide(plan, local, peer),
        None => (Vec::new(), plan.clone()),
    };
    let scope = scope(&rest, local, peer);
    let own_copies: Vec<RelPath> = plan
        .changes
        .iter()
        .filter(|c| c.target.is_some() && c.path.name().len() > LONG_NAME)
        .map(|c| c.path.clone())
        .collect();
    // Every item is answered from the plan, so that what the engine remembers is only a matter of time: to read and write the memory
    // of a large tree takes longer than to look at a few files without one.
    let remembers = !scope.items.is_empty() && (base.generation.is_none() || !is_small(&rest));
    let known_by_engine = base.generation.clone().filter(|_| remembers);
    let generation = known_by_engine.unwrap_or_default();
    let (rundir, peer_rundir) = lay(pair, request.run, &generation)?;
    let mut work = Work {
        rundir,
        peer_rundir,
        profile: unison_profile::render(request.policy, request.peer),
        scope,
        own_copies,
        bulk,
        engine: None,
        remembers,
        keep_marker_check: known.local.marker && known.remote.marker,
    };
    if work.scope.items.is_empty() {
        return Ok(work);
    }
    let mut asked = work.ask(pair, 0, 0, request.progress);
    if let Err(EngineError::Archives(_)) = asked {
        // The base decides, not the engine's memory: it can start from nothing.
        (work.rundir, work.peer_rundir) = lay(pair, request.run, "")?;
        asked = work.ask(pair, 1, 0, request.progress);
    }
    match asked {
        Ok(engine) => work.engine = Some(engine),
        Err(e) => {
            commit::discard(pair, request.run);
            return Err(e.into());
        }
    }
    Ok(work)
}

impl Work {
    /// Starts an engine on the part of the plan that begins with item `start`, and has it asked its questions.
    pub fn ask(
        &self,
        pair: &Pair,
        number: usize,
        start: usize,
        progress: &dyn Progress,
    ) -> Result<Engine, EngineError> {
        let job = Job {
            profile: &self.profile,
            rundir: &self.rundir,
            peer_rundir: &self.peer_rundir,
            local_root: pair.local.said.root.as_deref().unwrap_or_default(),
            peer_root: pair.peer.said.root.as_deref().unwrap_or_default(),
            number,
            items: self.scope.part(start),
            ignore: &self.scope.ignore,
            backup_not: &self.own_copies,
            keep_marker_check: self.keep_marker_check,
        };
        engine::ask(pair, &job, progress)
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

fn lay(pair: &Pair, run: &str, generation: &str) -> Result<(PathBuf, String), LinkError> {
    let (near, far) = std::thread::scope(|s| {
        let far = s.spawn(|| lay_one(&pair.peer, pair, run, generation));
        let near = lay_one(&pair.local, pair, run, generation);
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

fn lay_one(host: &Host, pair: &Pair, run: &str, generation: &str) -> Result<String, LinkError> {
    let program = host.said.program.as_str();
    let body = host.link.call(
        remote::BEGIN,
        &[
            &host.state_given,
            &pair.id,
            run,
            generation,
            &host.name,
            program,
        ],
        &[],
    )?;
    remote::value(&body, "rundir")
        .map(str::to_owned)
        .ok_or_else(|| {
            LinkError::failed(
                format!("the folder of this run could not be made on {}", host.name),
                format!("on {}: df -h {}", host.name, host.state_given),
            )
        })
}
