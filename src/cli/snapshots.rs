//! `snapshots`: what runs have put aside on both hosts, and what of it may go.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::args::Global;
use super::documents::{self, Snapshot, SnapshotsPruned};
use super::failure::Failure;
use super::out;
use crate::host::link::Link;
use crate::host::{clock, policy_file};
use crate::lanes::reach;
use crate::lanes::truth::hosts::pair_id;
use crate::model::exit;
use crate::model::policy::{Peer, Policy};
use crate::model::record::SCHEMA;
use crate::model::retention::{Folder, to_drop};
use crate::model::text::{age, count, neutral, size};
use crate::model::time::run_order;
use crate::tool::remote;

/// What runs have put aside, so that they can be rolled back
#[derive(Debug, Args)]
pub struct Snapshots {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every snapshot, on both hosts (the default)
    List,
    /// Drop what the policy does not ask to keep (shown unless --apply is given)
    Prune {
        /// Instead of the policy's number
        #[arg(long, value_name = "N")]
        keep: Option<u64>,
        /// Carry it out
        #[arg(long)]
        apply: bool,
        /// Show what would go (the default)
        #[arg(long, conflicts_with = "apply")]
        dry_run: bool,
    },
}

/// The snapshots of one pair on one host.
struct Shelf {
    peer: String,
    host: String,
    link: Link,
    state: String,
    pair: String,
    is_held: bool,
    folders: Vec<Folder>,
    /// While it lives, the connection does.
    _reach: Option<reach::Reach>,
}

impl Snapshots {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let (shelves, away) = shelves(&policy);
        match &self.what {
            None | Some(What::List) => list(&shelves, &away, global),
            Some(What::Prune { keep, apply, .. }) => {
                let keep = keep.unwrap_or(policy.snapshots.keep);
                prune(&policy, &shelves, &away, keep, *apply, global)
            }
        }
    }
}

/// All shelves that can be reached, and why the others cannot.
fn shelves(policy: &Policy) -> (Vec<Shelf>, Vec<String>) {
    let (mut all, mut away) = (Vec::new(), Vec::new());
    for peer in policy.peers.iter().filter(|p| p.truth) {
        let near = Link::local(&policy.site.name);
        let state = policy.site.state_dir.display().to_string();
        match shelf(policy, peer, &policy.site.name, near, state, None) {
            Ok(shelf) => all.push(shelf),
            Err(why) => away.push(format!("{}: {why}", policy.site.name)),
        }
        let far = reach::lightly(policy, peer).map_err(|e| e.to_string());
        let far = far.and_then(|reach| {
            let link = reach.link.clone();
            shelf(
                policy,
                peer,
                &peer.name,
                link,
                peer.state_dir.clone(),
                Some(reach),
            )
        });
        match far {
            Ok(shelf) => all.push(shelf),
            Err(why) => away.push(format!("{}: {why}", peer.name)),
        }
    }
    (all, away)
}

fn shelf(
    policy: &Policy,
    peer: &Peer,
    host: &str,
    link: Link,
    state: String,
    reach: Option<reach::Reach>,
) -> Result<Shelf, String> {
    let pair = pair_id(&policy.site.name, &peer.name);
    let body = link
        .call(remote::SNAPSHOTS, &[&state, &pair, "list", "0"], &[])
        .map_err(|e| e.to_string())?;
    let folder = |line: &str| {
        let mut words = line.split_whitespace();
        let run = words.next()?.to_owned();
        let kib = words.next()?.parse().ok()?;
        let flags = words.next().unwrap_or_default();
        Some(Folder {
            age: age_of(&run),
            run,
            kib,
            is_unfinished: flags.contains("unfinished"),
            has_losers: flags.contains("losers"),
        })
    };
    let mut folders: Vec<Folder> = remote::values(&body, "run").filter_map(folder).collect();
    folders.sort_by(|a, b| run_order(&b.run).cmp(&run_order(&a.run)));
    Ok(Shelf {
        peer: peer.name.clone(),
        host: host.to_owned(),
        is_held: remote::value(&body, "held").is_some(),
        link,
        state,
        pair,
        folders,
        _reach: reach,
    })
}

fn age_of(run: &str) -> Option<Duration> {
    let stamp = run_order(run).0;
    let at = chrono::NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok()?;
    (clock::now() - at.and_utc()).to_std().ok()
}

fn document<'a>(shelf: &'a Shelf, f: &'a Folder) -> Snapshot<'a> {
    Snapshot {
        run: &f.run,
        peer: &shelf.peer,
        host: &shelf.host,
        kib: f.kib,
        losers: f.has_losers,
        unfinished: f.is_unfinished,
        age_seconds: f.age.map(|a| a.as_secs()),
    }
}

fn list(shelves: &[Shelf], away: &[String], global: &Global) -> Result<u8, Failure> {
    let code = if away.is_empty() {
        exit::DONE
    } else {
        exit::FAILED
    };
    if global.json {
        let all: Vec<_> = shelves
            .iter()
            .flat_map(|s| s.folders.iter().map(|f| document(s, f)))
            .collect();
        out::json(&documents::Snapshots {
            schema: SCHEMA,
            command: "snapshots",
            snapshots: all,
            unreachable: away,
            exit_code: code,
        });
        return Ok(code);
    }
    for s in shelves {
        let sum = s.folders.iter().map(|f| f.kib).sum::<u64>() * 1024;
        let held = if s.is_held {
            ", held: nothing goes"
        } else {
            ""
        };
        out::line(&format!(
            "{}, with {}: {}, {}{held}",
            s.host,
            s.peer,
            count(s.folders.len(), "snapshot"),
            size(sum)
        ));
        for f in &s.folders {
            let old = f.age.map_or(String::new(), |a| {
                age(i64::try_from(a.as_secs()).unwrap_or(i64::MAX))
            });
            let mut more = String::new();
            if f.has_losers {
                more += "  keeps losers of conflicts";
            }
            if f.is_unfinished {
                more += "  unfinished";
            }
            out::line(&format!(
                "  {}  {:>8} ago  {:>10}{more}",
                neutral(&f.run),
                old,
                size(f.kib * 1024)
            ));
        }
    }
    for why in away {
        out::note(&neutral(why));
    }
    Ok(code)
}

fn prune(
    policy: &Policy,
    shelves: &[Shelf],
    away: &[String],
    keep: u64,
    apply: bool,
    global: &Global,
) -> Result<u8, Failure> {
    let mut freed = 0;
    let mut dropped = Vec::new();
    for s in shelves {
        let old = to_drop(&s.folders, keep, policy.snapshots.keep_losers, s.is_held);
        if old.is_empty() {
            continue;
        }
        if apply {
            let n = old.len().to_string();
            let mut parameters = vec![s.state.as_str(), s.pair.as_str(), "drop", n.as_str()];
            parameters.extend(old.iter().map(|f| f.run.as_str()));
            s.link
                .call(remote::SNAPSHOTS, &parameters, &[])
                .map_err(|e| Failure::failed(format!("on {}: {e}", s.host)))?;
        }
        for f in old {
            freed += f.kib * 1024;
            dropped.push(document(s, f));
            if !global.json {
                let word = if apply { "dropped" } else { "would drop" };
                out::line(&format!("{word} {} on {}", neutral(&f.run), s.host));
            }
        }
    }
    let code = if away.is_empty() {
        exit::DONE
    } else {
        exit::FAILED
    };
    if global.json {
        out::json(&SnapshotsPruned {
            schema: SCHEMA,
            command: "snapshots",
            dropped,
            bytes: freed,
            applied: apply,
            unreachable: away,
            exit_code: code,
        });
        return Ok(code);
    }
    let word = match (dropped.is_empty(), apply) {
        (true, _) => "nothing is to go".to_owned(),
        (false, true) => format!("{} freed", size(freed)),
        (false, false) => format!(
            "{} would be freed; to do it: the same command with --apply",
            size(freed)
        ),
    };
    out::line(&word);
    for why in away {
        out::note(&neutral(why));
    }
    Ok(code)
}
