//! What a shell may complete beyond words of ours: peers, targets, logs, runs, plans, conflicts and paths of the policy that is found.
//!
//! Invariant: nothing here fails or says anything; where nothing is known, nothing is offered. Nobody is connected to.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCompleter;

use crate::audit::store::Store;
use crate::host::{files, plain_files, policy_file};
use crate::model::conflict::{State, conflicts as told};
use crate::model::policy::Policy;
use crate::model::record::{Mode, Record};
use crate::model::text::count;

/// Runs and records that are looked at: a person waits for the answer.
const NEWEST: usize = 50;

pub fn peers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offer(typed, |p| named(p.peers.iter().map(|p| &p.name))))
}

pub fn targets() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offer(typed, target_names))
}

/// Whatever `verify` takes.
pub fn all() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offer(typed, |p| {
            let logs = p.peers.iter().flat_map(|p| &p.logs).map(|l| &l.remote);
            let mut all = named(p.peers.iter().map(|p| &p.name).chain(logs));
            all.extend(target_names(p));
            all.extend(["truth", "logs", "targets"].map(|l| (l.to_owned(), "a lane".to_owned())));
            all
        })
    })
}

pub fn runs() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offer(typed, |p| {
            let store = Store::open(&p.audit.dir).ok();
            let newest = store
                .and_then(|s| s.newest(NEWEST).ok())
                .unwrap_or_default();
            let last = std::iter::once(("last".to_owned(), "the newest".to_owned()));
            let runs = newest.into_iter().map(|s| {
                let said = s.facts.map_or(String::new(), |f| {
                    format!("{} {}, {}", f.command, f.mode.word(), f.outcome.word())
                });
                (s.run, said)
            });
            last.chain(runs).collect()
        })
    })
}

/// Plans of the newest dry runs, which an apply can be tied to.
pub fn plans() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offer(typed, |p| {
            let store = Store::open(&p.audit.dir).ok();
            let newest = store.and_then(|s| s.newest(NEWEST).ok());
            let facts = newest.into_iter().flatten().filter_map(|s| s.facts);
            let dry = facts.filter(|f| f.mode == Mode::DryRun);
            dry.filter_map(|f| {
                let said = format!("{}, {}", f.started, count(f.changes, "change"));
                Some((f.plan?, said))
            })
            .collect()
        })
    })
}

/// What lies in the local replica: paths start there, wherever the shell is.
pub fn paths() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let word = typed.to_str().unwrap_or_default();
        let dir = word.rfind('/').map_or("", |slash| &word[..=slash]);
        let wants_hidden = word[dir.len()..].starts_with('.');
        offer(typed, |p| {
            let place = p.site.root.join(dir);
            let names = files::names(&place).unwrap_or_default();
            let names = names.iter().filter_map(|n| n.to_str());
            // Before anything is asked of them: a directory may have a hundred thousand names.
            let begun = &word[dir.len()..];
            let shown =
                names.filter(|n| n.starts_with(begun) && (wants_hidden || !n.starts_with('.')));
            let mut all: Vec<_> = shown
                .map(|name| {
                    let end = if plain_files::leads_to_dir(&place.join(name)) {
                        "/"
                    } else {
                        ""
                    };
                    (format!("{dir}{name}{end}"), String::new())
                })
                .collect();
            all.sort();
            all
        })
    })
}

pub fn conflicts() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offer(typed, |p| {
            let Ok(store) = Store::open(&p.audit.dir) else {
                return Vec::new();
            };
            let newest = store.newest(NEWEST).unwrap_or_default();
            let records: Vec<Record> = newest
                .iter()
                .filter_map(|s| store.read(&s.run).ok())
                .collect();
            let open = told(&records).into_iter();
            let open = open.filter(|c| c.state == State::Open && c.path_hex.is_none());
            open.map(|c| (c.path, c.why)).collect()
        })
    })
}

fn named<'a>(names: impl Iterator<Item = &'a String>) -> Vec<(String, String)> {
    names.map(|n| (n.clone(), String::new())).collect()
}

fn target_names(policy: &Policy) -> Vec<(String, String)> {
    let targets = policy.publish.iter().flat_map(|p| &p.targets);
    named(targets.map(|t| &t.name))
}

/// Of a shell's word so far, everything that it may become, with a few words on each.
fn offer(
    typed: &OsStr,
    known: impl Fn(&Policy) -> Vec<(String, String)>,
) -> Vec<CompletionCandidate> {
    let (Some(typed), Ok(policy)) = (typed.to_str(), policy_file::load(None)) else {
        return Vec::new();
    };
    let all = known(&policy).into_iter();
    all.filter(|(word, _)| word.starts_with(typed) && !word.chars().any(char::is_control))
        .map(|(word, said)| {
            let said = crate::model::text::neutral(&said);
            let help = (!said.is_empty()).then(|| said.into());
            CompletionCandidate::new(word).help(help)
        })
        .collect()
}
