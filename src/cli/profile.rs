//! `profile`: the unison profile of each pair, printed, written, or compared with what was written.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::complete;
use super::documents;
use super::failure::Failure;
use super::out;
use crate::host::{plain_files, policy_file};
use crate::model::exit;
use crate::model::policy::{Peer, Policy};
use crate::model::record::SCHEMA;
use crate::model::text::{nearest, neutral};
use crate::tool::unison_profile;

/// Print the unison profile that the policy comes to
#[derive(Debug, Args)]
pub struct Profile {
    /// Only these peers
    #[arg(add = complete::peers())]
    peers: Vec<String>,
    /// Write <DIR>/<peer>.prf instead
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Compare with <DIR>/<peer>.prf; a missing or stale one is a failure
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
}

/// One rendered profile and what became of it.
struct Rendered<'a> {
    peer: &'a Peer,
    bytes: Vec<u8>,
    state: &'static str,
}

impl Profile {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let mut all = Vec::new();
        for peer in chosen(&policy, &self.peers)? {
            let bytes = unison_profile::render(&policy, peer);
            let state = self.place(peer, &bytes)?;
            all.push(Rendered { peer, bytes, state });
        }
        let is_stale = all.iter().any(|r| matches!(r.state, "stale" | "missing"));
        let code = if is_stale { exit::FAILED } else { exit::DONE };
        if global.json {
            out::json(&document(&all, code));
        } else {
            self.print(&all, global);
        }
        Ok(code)
    }

    /// Writes or compares, as asked.
    fn place(&self, peer: &Peer, bytes: &[u8]) -> Result<&'static str, Failure> {
        let file = |dir: &Path| dir.join(format!("{}.prf", peer.name));
        if let Some(dir) = &self.out {
            let file = file(dir);
            let write =
                plain_files::make_dir(dir).and_then(|()| plain_files::replace(&file, bytes));
            write.map_err(|e| Failure::failed(format!("cannot write {}: {e}", shown(&file))))?;
            return Ok("written");
        }
        if let Some(dir) = &self.check {
            let file = file(dir);
            let found = plain_files::read_if_any(&file)
                .map_err(|e| Failure::failed(format!("cannot read {}: {e}", shown(&file))))?;
            return Ok(match found {
                None => "missing",
                Some(found) if found == bytes => "current",
                Some(_) => "stale",
            });
        }
        Ok("rendered")
    }

    fn print(&self, all: &[Rendered], global: &Global) {
        let Some(dir) = self.out.as_ref().or(self.check.as_ref()) else {
            for rendered in all {
                out::raw(&rendered.bytes);
            }
            return;
        };
        for r in all {
            let file = dir.join(format!("{}.prf", r.peer.name));
            if !global.quiet || matches!(r.state, "stale" | "missing") {
                out::line(&format!("{}: {}", shown(&file), r.state));
            }
            if matches!(r.state, "stale" | "missing") {
                out::note(&format!(
                    "  ubos-sync profile {} --out {}",
                    r.peer.name,
                    shown(dir)
                ));
            }
        }
    }
}

fn document<'a>(all: &'a [Rendered], code: u8) -> documents::Profiles<'a> {
    let profiles = all.iter().map(|r| documents::Profile {
        peer: &r.peer.name,
        state: r.state,
        content: String::from_utf8_lossy(&r.bytes),
    });
    documents::Profiles {
        schema: SCHEMA,
        command: "profile",
        outcome: if code == exit::DONE {
            "in-sync"
        } else {
            "failed"
        },
        exit_code: code,
        profiles: profiles.collect(),
    }
}

/// The peers named on the command line, all when none is.
pub fn chosen<'a>(policy: &'a Policy, names: &[String]) -> Result<Vec<&'a Peer>, Failure> {
    if names.is_empty() {
        return Ok(policy.peers.iter().collect());
    }
    let known = || policy.peers.iter().map(|p| p.name.as_str());
    let find = |name: &String| {
        policy
            .peers
            .iter()
            .find(|p| p.name == *name)
            .ok_or_else(|| {
                let near = nearest(name, known()).map(|n| format!("; did you mean {n}?"));
                Failure::usage(format!(
                    "the policy has no peer {}{}",
                    neutral(name),
                    near.unwrap_or_default()
                ))
            })
    };
    names.iter().map(find).collect()
}

fn shown(path: &Path) -> String {
    neutral(&path.to_string_lossy())
}
