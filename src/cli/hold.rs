//! `hold` and `release`: no applied run on a pair until it is released.

use clap::Args;

use super::args::Global;
use super::complete;
use super::documents;
use super::failure::Failure;
use super::out;
use super::profile::chosen;
use crate::host::link::Link;
use crate::host::{clock, policy_file, process};
use crate::lanes::reach;
use crate::lanes::truth::hosts::pair_id;
use crate::model::exit;
use crate::model::policy::{Peer, Policy};
use crate::model::record::SCHEMA;
use crate::model::text::neutral;
use crate::model::time;
use crate::tool::remote;

/// Let no run change this pair until it is released
#[derive(Debug, Args)]
pub struct Hold {
    #[arg(add = complete::peers())]
    peer: String,
    /// Why, for whoever meets it
    #[arg(long, value_name = "TEXT")]
    why: String,
}

/// Let runs change a held pair again
#[derive(Debug, Args)]
pub struct Release {
    #[arg(add = complete::peers())]
    peer: String,
    /// Give up a rollback that broke off half-way: the next run takes the trees as they are for what is wanted
    #[arg(long)]
    abandon_rollback: bool,
}

impl Hold {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let why = neutral(self.why.trim());
        if why.is_empty() {
            return Err(Failure::usage("--why wants a reason; nothing was touched"));
        }
        let by = format!(
            "{why} ({} on {}, {})",
            process::user(),
            process::host_name(),
            time::rfc3339(clock::now())
        );
        both(global, &self.peer, "hold", &by)
    }
}

impl Release {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let what = match self.abandon_rollback {
            true => "abandon",
            false => "release",
        };
        both(global, &self.peer, what, "")
    }
}

/// What stood there before.
#[derive(Debug, Clone, Default)]
struct Was {
    why: Option<String>,
    /// A rollback that broke off.
    undoing: Option<String>,
}

/// Does it on this host, then on the peer; a peer that is away is said, and its half stays as it is.
fn both(global: &Global, name: &str, what: &str, why: &str) -> Result<u8, Failure> {
    let policy = policy_file::load(global.policy.as_deref())?;
    let names = [name.to_owned()];
    let peer = chosen(&policy, &names)?[0];
    let here = half(
        &Link::local(&policy.site.name),
        &policy.site.state_dir.display().to_string(),
        &policy,
        peer,
        what,
        why,
    );
    let here = here.map_err(|e| Failure::failed(format!("on {}: {e}", policy.site.name)))?;
    let there = far(&policy, peer, what, why);
    let far_was = there.as_ref().ok().cloned().unwrap_or_default();
    if let ("release", Some(run)) = (what, here.undoing.or(far_was.undoing)) {
        return Err(Failure::refused(format!(
            "a rollback of {0} broke off half-way, so {1} stays held; finish it: ubos-sync rollback {0} --apply\nor give it up, and the trees are taken as they are: ubos-sync release {1} --abandon-rollback",
            neutral(&run),
            peer.name
        )));
    }
    let verb = if what == "hold" { "held" } else { "released" };
    let was = here.why.or(far_was.why);
    if global.json {
        out::json(&documents::Hold {
            schema: SCHEMA,
            command: what,
            peer: &peer.name,
            outcome: verb,
            was,
            peer_reached: there.is_ok(),
            exit_code: if there.is_ok() {
                exit::DONE
            } else {
                exit::FAILED
            },
        });
    } else {
        out::line(&format!(
            "{} and {} are {verb}",
            policy.site.name, peer.name
        ));
        if let (Some(was), "release" | "abandon") = (&was, what) {
            out::line(&format!("  it said: {}", neutral(was)));
        }
    }
    match there {
        Ok(_) => Ok(exit::DONE),
        Err(why) => {
            out::note(&format!(
                "{}: {why}; only the half on {} was done, which every run from here obeys. Again later: ubos-sync {what} {}",
                peer.name, policy.site.name, peer.name
            ));
            Ok(exit::FAILED)
        }
    }
}

fn far(policy: &Policy, peer: &Peer, what: &str, why: &str) -> Result<Was, String> {
    let reach = reach::lightly(policy, peer).map_err(|e| e.to_string())?;
    half(&reach.link, &peer.state_dir, policy, peer, what, why)
}

/// One host's half; what stood there before.
fn half(
    link: &Link,
    state: &str,
    policy: &Policy,
    peer: &Peer,
    what: &str,
    why: &str,
) -> Result<Was, String> {
    let id = pair_id(&policy.site.name, &peer.name);
    let body = link
        .call(remote::HOLD, &[state, &id, what, why, ""], &[])
        .map_err(|e| e.to_string())?;
    let get = |key| remote::value(&body, key).map(str::to_owned);
    Ok(Was {
        why: get("was"),
        undoing: get("undoing"),
    })
}
