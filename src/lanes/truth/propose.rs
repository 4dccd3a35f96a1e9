//! From two opened hosts to a proposal: the plan, checked against the engine's own list, and what the guards say.
//!
//! Invariant: a [`Proposal`] has changed nothing in any replica, and dropping it lets everything go.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

use crate::host::files;
use crate::host::link::LinkError;
use crate::lanes::reach::Reach;
use crate::lanes::truth::base::{self, Base};
use crate::lanes::truth::begin::{Work, begin};
use crate::lanes::truth::calm::Calm;
use crate::lanes::truth::early::{self, Guess};
use crate::lanes::truth::ends::Head;
use crate::lanes::truth::engine::EngineError;
use crate::lanes::truth::hosts::{self, Host, Need, OpenError, Pair};
use crate::lanes::truth::{calm, content, facts};
use crate::model::decide::{Clocks, Judge};
use crate::model::entry::Entry;
use crate::model::finding::{Finding, Severity};
use crate::model::guards::{self, GuardedPlan};
use crate::model::index::Index;
use crate::model::path::RelPath;
use crate::model::plan::TruthPlan;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::reconcile::{Reconciled, Replica, reconcile};
use crate::model::region::Region;
use crate::model::rules::Verdict;
use crate::model::thread::joined;

/// What is asked of the lane for one peer.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub peer: &'a Peer,
    pub reach: &'a Reach,
    pub run: &'a str,
    pub command: &'a str,
    pub allow: &'a [String],
    /// Only these paths and what is below them; empty: everything.
    pub paths: &'a [RelPath],
    pub progress: &'a dyn Progress,
    /// Every file is read again, whatever the memory of content says.
    pub full: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{message}")]
    Failed { message: String, hint: String },
}

impl From<LinkError> for ProposeError {
    fn from(e: LinkError) -> Self {
        ProposeError::Open(e.into())
    }
}

impl ProposeError {
    /// What it says of the way to the peer.
    pub fn as_link(&self) -> LinkError {
        match self {
            ProposeError::Open(OpenError::Offline { message, hint }) => LinkError::Offline {
                message: message.clone(),
                hint: hint.clone(),
            },
            ProposeError::Open(OpenError::Lost { message, hint }) => LinkError::Lost {
                message: message.clone(),
                hint: hint.clone(),
            },
            ProposeError::Open(OpenError::Failed { message, hint })
            | ProposeError::Failed { message, hint } => LinkError::failed(message, hint),
            ProposeError::Open(OpenError::Stopped) => LinkError::Stopped,
            other => LinkError::failed(other.to_string(), "ubos-sync doctor"),
        }
    }
}

/// What the guards said of the plan.
pub enum Verdicts {
    Passed(GuardedPlan),
    Refused(TruthPlan, Vec<Finding>),
}

/// A plan of one pair, with everything that carrying it out needs.
pub struct Proposal {
    /// Dropped first: the engine ends before the locks are let go.
    pub work: Option<Work>,
    pub pair: Pair,
    pub base: Base,
    pub judge: Judge,
    pub local: Replica,
    pub peer: Replica,
    pub index: Index,
    pub agreed: Vec<(RelPath, Option<Entry>)>,
    pub verdicts: Verdicts,
    pub recovered: Vec<(String, usize)>,
    pub skew_ms: i64,
    /// Both trees are as they were when nothing was to do, so that nothing was read and there is nothing to commit.
    pub calm: bool,
}

pub fn propose(request: &Request) -> Result<Proposal, ProposeError> {
    let part = Region::of(request.paths, &request.policy.truth.rules);
    let mut region = part.as_ref().filter(|_| !request.full);
    loop {
        match look(request, region)? {
            Some(proposal) => return Ok(proposal),
            None => region = None,
        }
    }
}

/// The proposal, when what was looked at is enough for one; everything always is.
fn look(request: &Request, region: Option<&Region>) -> Result<Option<Proposal>, ProposeError> {
    let Request {
        policy,
        peer,
        progress,
        ..
    } = *request;
    progress.phase(
        &format!("looking at {} and {}", policy.site.name, peer.name),
        None,
    );
    let id = hosts::pair_id(&policy.site.name, &peer.name);
    let whole = request.paths.is_empty() && !request.full;
    let calm = match whole {
        true => calm::load(&id, policy, crate::host::clock::now_ns()),
        false => None,
    };
    let Opened {
        pair,
        memory,
        guess,
    } = open(request, &id, calm.as_ref(), region);
    let (mut pair, guess) = match (pair, guess) {
        (Ok(pair), guess) => (pair, guess),
        (Err(e), mut guess) => {
            guess.iter_mut().for_each(Guess::is_only_here);
            return Err(e.into());
        }
    };
    let is_odd = |h: &Host| !h.said.through.is_empty() || !h.said.pending.is_empty();
    if region.is_some() && (is_odd(&pair.local) || is_odd(&pair.peer)) {
        return Ok(None);
    }
    let waived = request.allow.iter().any(|a| a == "clock_skew");
    let (clocks, skew_ms) = facts::clocks(policy, &mut pair, waived);
    if let Some(calm) = calm
        && calm::holds(&calm, policy, &pair)
    {
        return Ok(Some(nothing_to_do(request, pair, &clocks, skew_ms)));
    }
    let (mut index, early) = memory.unwrap_or_else(|| remembered(request, &id));
    let mut base = base::choose(&pair, early);
    if region.is_some() && (index.is_news || base.generation.is_none()) {
        return Ok(None);
    }
    // As everything is read again now and then, what both have is then written anew, on both.
    base.worn |= index.is_news;
    if base.generation.is_none() && base.lost.is_none() {
        base.lost = base::on_record(policy, &request.peer.name);
    }
    if base.lost.is_some() && request.allow.iter().any(|a| a == "first_sync") {
        base = Base {
            lost: base.lost,
            serial: base.serial,
            ..Base::default()
        };
    }
    let mut known = facts::before(policy, &pair, &base, &clocks);
    let judge = judge(policy, &pair, clocks);
    let hopeless = guards::waive(guards::before_plan(&known), request.allow, &known);
    let blind = ["roots", "marker", "root_mode", "engine_version"];
    if hopeless
        .iter()
        .any(|f| f.severity == Severity::Refuse && blind.contains(&f.guard.as_str()))
    {
        let refused = refused_early(pair, base, judge, index, hopeless, skew_ms);
        return Ok(Some(refused));
    }
    progress.phase("reading what changed", None);
    hosts::sort_trees(&mut pair, policy)?;
    base.manifest.entries.share(&pair.local.tree.truth);
    let is_bounded =
        |r: &Region| [&pair.local, &pair.peer].map(|h| r.is_bounded(&h.tree)) == [true; 2];
    if region.is_some_and(|r| !is_bounded(r)) {
        return Ok(None);
    }
    let (local, far) = content::replicas(&mut pair, &mut index, region)?;
    let recovered = base::recover(&pair, &mut base, &local, &far, &policy.snapshots)?;
    let part = region.map(|r| r.base(&base.manifest));
    let seen = part.as_ref().unwrap_or(&base.manifest);
    let mut reconciled = std::thread::scope(|s| {
        let plan = s.spawn(|| reconcile(&judge, seen, &local, &far));
        facts::with_content(&mut known, &base.manifest, seen, &local, &far);
        joined(plan)
    });
    if !request.paths.is_empty() {
        reconciled.limit_to(request.paths);
    }
    let Reconciled { mut plan, agreed } = reconciled;
    for through in pair
        .local
        .said
        .through
        .iter()
        .chain(&pair.peer.said.through)
    {
        note_through(&mut plan, through);
    }
    let settled = agreed.is_empty() && recovered.is_empty();
    if whole && settled && !facts::moved(&pair.ends(), policy, &base.manifest) {
        calm::remember(policy, &pair, &base, &plan, (&local, &far), &index);
    }
    let work = if plan.changes.is_empty() {
        drop(guess);
        None
    } else {
        progress.phase("asking the engine", Some(plan.changes.len() as u64));
        Some(begin(
            request, &pair, &base, &plan, &local, &far, &known, guess,
        )?)
    };
    known.leaks = leaks(policy, &plan, work.as_ref());
    let verdicts = match guards::guard(plan.clone(), &known, &policy.guards, request.allow) {
        Ok(guarded) => Verdicts::Passed(guarded),
        Err(findings) => Verdicts::Refused(plan, findings),
    };
    progress.done();
    Ok(Some(Proposal {
        pair,
        base,
        judge,
        local,
        peer: far,
        index,
        agreed,
        verdicts,
        recovered,
        skew_ms,
        work,
        calm: false,
    }))
}

/// What was found out while both hosts were opened.
struct Opened {
    pair: Result<Pair, OpenError>,
    memory: Option<(Index, Option<base::Early>)>,
    /// An engine that was asked for what will probably be the plan.
    guess: Option<Guess>,
}

/// Opens both hosts; what this one remembers is read meanwhile, as soon as it is known to be needed.
fn open(request: &Request, id: &str, calm: Option<&Calm>, region: Option<&Region>) -> Opened {
    let (news, is_news) = mpsc::channel();
    let calm = calm.map(|c| c.local.as_str());
    // Whoever comes first reads it, and the other one waits.
    let memory = OnceLock::new();
    let read = || memory.get_or_init(|| remembered(request, id));
    let guess = Mutex::new(None);
    let work = |host: &mut Host, head: &dyn Fn() -> Option<Head>| {
        let (index, base) = read();
        content::hash_early(host, index);
        if let Some(base) = base {
            let asked = early::begin(request, host, index, base, region, head);
            *guess.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
    };
    let pair = std::thread::scope(|s| {
        let reading = s.spawn(move || is_news.recv().map(|()| read()).is_ok());
        let need = Need::of_trees(calm, news).within(region).meanwhile(&work);
        let pair = hosts::open(
            request.policy,
            request.peer,
            request.reach,
            request.run,
            request.command,
            &need,
        );
        drop(need);
        let _ = reading.join();
        pair
    });
    Opened {
        pair,
        memory: memory.into_inner(),
        guess: guess.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

/// What this host remembers of content, and of the newest base.
fn remembered(request: &Request, id: &str) -> (Index, Option<base::Early>) {
    let state = &request.policy.site.state_dir;
    let early = base::early(state, id);
    (
        load_index(&state.join("pairs").join(id).join("index"), request),
        early,
    )
}

fn judge(policy: &Policy, pair: &Pair, clocks: Clocks) -> Judge {
    Judge {
        strategy: policy.truth.conflicts,
        permissions: policy.truth.permissions,
        clocks,
        local_name: pair.local.name.clone(),
        peer_name: pair.peer.name.clone(),
    }
}

/// Both trees look as they did when nothing was to do: only the guards have a say.
fn nothing_to_do(request: &Request, pair: Pair, clocks: &Clocks, skew_ms: i64) -> Proposal {
    let generation = base::newest_common(&pair);
    let base = Base {
        generation: generation.map(|g| g.name.clone()),
        serial: generation.map_or(0, |g| g.serial),
        ..Base::default()
    };
    let mut known = facts::before(request.policy, &pair, &base, clocks);
    known.rules_before = Some(known.rules_now.clone());
    let judge = judge(request.policy, &pair, clocks.clone());
    let plan = TruthPlan::default();
    let limits = &request.policy.guards;
    let verdicts = match guards::guard(plan.clone(), &known, limits, request.allow) {
        Ok(guarded) => Verdicts::Passed(guarded),
        Err(findings) => Verdicts::Refused(plan, findings),
    };
    request.progress.done();
    Proposal {
        calm: true,
        verdicts,
        ..refused_early(pair, base, judge, Index::default(), Vec::new(), skew_ms)
    }
}

fn refused_early(
    pair: Pair,
    base: Base,
    judge: Judge,
    index: Index,
    findings: Vec<Finding>,
    skew_ms: i64,
) -> Proposal {
    Proposal {
        pair,
        base,
        judge,
        local: Replica::default(),
        peer: Replica::default(),
        index,
        agreed: Vec::new(),
        verdicts: Verdicts::Refused(TruthPlan::default(), findings),
        recovered: Vec::new(),
        skew_ms,
        work: None,
        calm: false,
    }
}

fn index_path(pair: &Pair) -> PathBuf {
    base::pair_dir(pair).join("index")
}

fn load_index(path: &Path, request: &Request) -> Index {
    let index = Index::parse(files::read_bounded(path, 1 << 30).unwrap_or_default());
    let age = crate::host::clock::now_ns() - index.full_at;
    let due =
        age > i128::try_from(request.policy.truth.full_scan_every.as_nanos()).unwrap_or(i128::MAX);
    if request.full || due || age < 0 {
        return Index::begun(crate::host::clock::now_ns());
    }
    index
}

/// Keeps what was learnt about content; losing it costs time, nothing else.
pub fn save_index(pair: &Pair, index: &Index) {
    if index.is_news && files::private_dir(&base::pair_dir(pair)).is_ok() {
        let to = index_path(pair);
        let _ = files::write_parts(&to, files::Sync::Content, |out| index.write(out));
    }
}

fn note_through(plan: &mut TruthPlan, include: &str) {
    if let Some(path) = RelPath::new(include) {
        let why = "it is reached through a symbolic link, which is never followed".to_owned();
        plan.left.push(crate::model::plan::Left {
            path,
            why,
            conflict: false,
        });
        plan.left.sort_by(|a, b| a.path.cmp(&b.path));
        plan.left.dedup();
    }
}

/// State paths in the plan, or in what the engine showed.
fn leaks(policy: &Policy, plan: &TruthPlan, work: Option<&Work>) -> Vec<String> {
    let is_state = |p: &RelPath| {
        [false, true]
            .iter()
            .any(|dir| matches!(policy.truth.rules.verdict(p, *dir), Verdict::State(_)))
    };
    let mut found: Vec<String> = plan
        .changes
        .iter()
        .filter(|c| is_state(&c.path))
        .map(|c| c.path.to_string())
        .collect();
    if let Some(work) = work {
        for (shown, _) in work.engine.iter().flat_map(|e| &e.shown) {
            if let Some(p) = RelPath::new(shown.path.clone())
                && is_state(&p)
            {
                found.push(p.to_string());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
