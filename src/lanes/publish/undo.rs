//! Putting targets back to the commit that they had before a run: the release that was live goes live again where it is still
//! there and nothing would be left behind by that, otherwise the commit is published anew, to those targets alone.
//!
//! Invariants: it goes through the same scan, guards, lock, transfer and proof as any publish; a target that had no commit before
//! keeps what it has.

use std::collections::BTreeMap;

use crate::host::link::LinkError;
use crate::lanes::flow::{Ended, Run};
use crate::lanes::publish::apply::Job;
use crate::lanes::publish::plan::plan_of;
use crate::lanes::publish::run::{Order, run as publish};
use crate::lanes::publish::target::{self, Opened, layout_word};
use crate::model::index::Index;
use crate::model::policy::{Layout, Policy, Publish, Target};
use crate::model::progress::Progress;
use crate::model::publish_plan::PublishPlan;
use crate::model::record::{Lane, Outcome, PublishLane};
use crate::tool::{publish_scripts as scripts, remote};

/// Where one target goes back to.
#[derive(Debug, Default)]
pub struct Way {
    /// The runs that are taken back.
    pub undoes: Vec<String>,
    /// What its sentinel said before.
    pub commit: Option<String>,
    /// The release that was live before.
    pub release: Option<String>,
}

pub struct Request<'a> {
    pub policy: &'a Policy,
    pub ways: BTreeMap<&'a str, Way>,
    pub allow: &'a [String],
    pub apply: bool,
    pub progress: &'a dyn Progress,
}

pub fn run(request: &Request, run: &Run) -> Ended {
    let mut all = Ended::default();
    let mut by_commit: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for (name, way) in &request.ways {
        let target = |p: &'_ Publish| p.targets.iter().position(|t| t.name == *name);
        let known = request.policy.publish.as_ref();
        let target = known.and_then(|p| Some(&p.targets[target(p)?]));
        // A target that was not whole before has no commit to go back to either.
        let commit = way.commit.as_deref().filter(|c| is_commit(c));
        let left = |outcome, why: &str| {
            let mut lane = PublishLane::new(name);
            lane.outcome = outcome;
            lane.message = Some(why.to_owned());
            lane.undoes.clone_from(&way.undoes);
            Lane::Publish(lane)
        };
        match (target, commit) {
            (None, _) => all.lanes.push(left(
                Outcome::Failed,
                "the policy has no such target any more; nothing was touched",
            )),
            (_, None) => all.lanes.push(left(
                Outcome::Partial,
                "it held no whole commit before that run; what was published stays",
            )),
            (Some(target), Some(commit)) => by_commit.entry(commit).or_default().push(target),
        }
    }
    let Some(section) = &request.policy.publish else {
        return all;
    };
    for (commit, targets) in by_commit {
        let back = targets.iter().filter_map(|t| {
            Some((
                t.name.clone(),
                request.ways[t.name.as_str()].release.clone()?,
            ))
        });
        let order = Order {
            policy: request.policy,
            publish: section,
            apply: request.apply,
            rev: Some(commit),
            force: false,
            allow: request.allow,
            progress: request.progress,
            again: format!(
                "ubos-sync publish --rev {commit}{}",
                if request.apply { " --apply" } else { "" }
            ),
            is_back: true,
            releases: back.collect(),
            targets,
        };
        let mut ended = publish(&order, run);
        for lane in &mut ended.lanes {
            if let Lane::Publish(p) = lane
                && let Some(way) = request.ways.get(p.target.as_str())
            {
                p.undoes.clone_from(&way.undoes);
            }
        }
        all.extend(ended);
    }
    all
}

fn is_commit(word: &str) -> bool {
    matches!(word.len(), 40 | 64) && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Makes the release that was live before live again, where that is what is wanted; what is then left for a publish to do, if only
/// to name the commit: somebody may have changed that release, so until it was looked at its sentinel names none.
pub fn live_again(
    order: &Order,
    target: &Target,
    job: &Job,
    mut on: Opened,
    plan: PublishPlan,
    index: &mut Index,
    lane: &mut PublishLane,
) -> Result<(Opened, PublishPlan), LinkError> {
    // What somebody changed in the newer release would go with it one day: a publish keeps that.
    let edited = plan.steps.iter().any(|s| s.edited);
    if !order.is_back || edited || !flip(order, target, &on, job.run)? {
        return Ok((on, plan));
    }
    lane.previous = on.release.take();
    // Looked at again; what somebody changed in that release since is published over it.
    let now = target::open(
        order.policy,
        order.publish,
        target,
        &on.link,
        false,
        "",
        job.scratch,
    )?;
    on = Opened {
        agent: on.agent,
        ..now
    };
    let plan = plan_of(order, &on, job.export, index)?;
    if plan.is_empty() {
        lane.notes
            .push("the release that was live before is live again".into());
    }
    Ok((on, plan))
}

/// Whether the release is live again. What the target itself made in the newer one would not come along: then it is left to a
/// publish, which carries it over.
fn flip(order: &Order, target: &Target, on: &Opened, run: &str) -> Result<bool, LinkError> {
    let (Some(wanted), Some(live), Some(commit)) =
        (order.releases.get(&target.name), &on.release, order.rev)
    else {
        return Ok(false);
    };
    let Some((base, _)) = &on.base else {
        return Ok(false);
    };
    let own = on.stats.iter().filter(|(path, stat)| {
        let is_dir = matches!(stat.what, crate::model::tree::What::Dir);
        !is_dir
            && path.as_bytes() != scripts::SENTINEL.as_bytes()
            && !base.entries.contains_key(path)
    });
    if order.publish.layout != Layout::Releases || wanted == live || own.count() > 0 {
        return Ok(false);
    }
    let parameters = [
        on.root.as_deref().unwrap_or_default(),
        run,
        on.agent.nonce(),
        layout_word(order.publish.layout),
        commit,
        wanted,
    ];
    let body = on.link.call(scripts::FLIP, &parameters, b"")?;
    Ok(remote::value(&body, "flipped").is_some())
}
