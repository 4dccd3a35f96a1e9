//! `explain`: which rule puts a path in which lane, and what the last run did with it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;

use super::args::Global;
use super::complete;
use super::documents::{self, ExplainLast, ExplainLog};
use super::failure::Failure;
use super::out;
use crate::audit::store::Store;
use crate::audit::trace::Trace;
use crate::host::{plain_files, policy_file};
use crate::model::exit;
use crate::model::path::RelPath;
use crate::model::policy::{self, Policy};
use crate::model::record::SCHEMA;
use crate::model::rules::Verdict;

/// Tell which rule puts a path in which lane, and what the last run did with it
#[derive(Debug, Args)]
pub struct Explain {
    /// Relative to the local root, or absolute; a trailing slash means a directory
    #[arg(add = complete::paths())]
    path: PathBuf,
}

/// Everything there is to say about one path.
struct Explained {
    path: RelPath,
    is_dir: bool,
    verdict: Verdict,
    /// Peers and remote names of the logs that this path is pulled from or to.
    logs: Vec<(String, String)>,
    /// Of the published tree, when the path lies in it.
    published: Option<Verdict>,
    /// What the newest run that names it did with it.
    last: Option<Trace>,
}

impl Explain {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let (path, is_dir) = self.locate(&policy)?;
        let mut explained = explain(&policy, path, is_dir);
        explained.last = last_word(&policy, &explained.path);
        if global.json {
            out::json(&explained.document());
        } else {
            explained.lines().iter().for_each(|line| out::line(line));
        }
        Ok(exit::DONE)
    }

    fn locate(&self, policy: &Policy) -> Result<(RelPath, bool), Failure> {
        let root = &policy.site.root;
        let full = policy::normal(&root.join(&self.path));
        let path = full
            .as_deref()
            .and_then(|full| policy::relative_to(full, root))
            .ok_or_else(|| {
                Failure::usage(format!(
                    "{} is not below the local root {}",
                    crate::model::text::neutral(&self.path.to_string_lossy()),
                    crate::model::text::neutral(&root.to_string_lossy()),
                ))
            })?;
        let has_slash = self.path.as_os_str().as_bytes().ends_with(b"/");
        let is_dir =
            has_slash || plain_files::is_dir(&root.join(OsStr::from_bytes(path.as_bytes())));
        Ok((path, is_dir))
    }
}

/// Nothing is made for the sake of a question: without an audit directory there is no last word.
fn last_word(policy: &Policy, path: &RelPath) -> Option<Trace> {
    if !plain_files::is_dir(&policy.audit.dir) {
        return None;
    }
    Store::open(&policy.audit.dir).ok()?.trace(path).ok()?
}

fn explain(policy: &Policy, path: RelPath, is_dir: bool) -> Explained {
    let mut logs = Vec::new();
    for peer in &policy.peers {
        let hits = peer
            .logs
            .iter()
            .filter(|log| log.holds(&path, peer, &policy.site.root));
        logs.extend(hits.map(|log| (peer.name.clone(), log.remote.clone())));
    }
    let published = policy.publish.as_ref().and_then(|publish| {
        let full = policy.site.root.join(OsStr::from_bytes(path.as_bytes()));
        let inside = policy::relative_to(&full, &publish.source)?;
        Some(publish.exclude.verdict(&inside, is_dir))
    });
    Explained {
        verdict: policy.truth.rules.verdict(&path, is_dir),
        path,
        is_dir,
        logs,
        published,
        last: None,
    }
}

fn words(verdict: &Verdict) -> (&'static str, Option<&str>) {
    match verdict {
        Verdict::Truth(include) => ("truth", include.as_deref()),
        Verdict::State(pattern) => ("state", Some(pattern)),
        Verdict::Never(what) => ("never", Some(what)),
        Verdict::Excluded(pattern) => ("excluded", Some(pattern)),
        Verdict::NotIncluded => ("not-included", None),
    }
}

fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Truth(None) => "truth: crosses both ways (the whole root is truth)".into(),
        Verdict::Truth(Some(include)) => format!("truth: crosses both ways (include `{include}`)"),
        Verdict::State(pattern) => format!("state: never crosses, in any lane (state `{pattern}`)"),
        Verdict::Never(what) => format!("never truth: {what}"),
        Verdict::Excluded(pattern) => format!("excluded: stays where it is (exclude `{pattern}`)"),
        Verdict::NotIncluded => "not included: stays where it is (no `include` holds it)".into(),
    }
}

impl Explained {
    fn lines(&self) -> Vec<String> {
        let kind = if self.is_dir { "directory" } else { "file" };
        let name = if self.path.is_root() {
            ".".to_owned()
        } else {
            self.path.to_string()
        };
        let neutral = |s: String| crate::model::text::neutral(&s);
        let mut all = vec![
            format!("{name} ({kind})"),
            neutral(format!("  truth    {}", sentence(&self.verdict))),
        ];
        for (peer, remote) in &self.logs {
            all.push(neutral(format!(
                "  logs     pulled from {peer} (`{remote}`)"
            )));
        }
        if let Some(verdict) = &self.published {
            all.push(neutral(match verdict {
                Verdict::Truth(_) => "  publish  goes to every target".into(),
                other => format!("  publish  {}", sentence(other)),
            }));
        }
        all.push(match &self.last {
            Some(last) => neutral(format!(
                "  last     {} ({} with {}): {}",
                last.started, last.run, last.peer, last.what
            )),
            None => "  last     no recent run names it".into(),
        });
        all
    }

    fn document(&self) -> documents::Explain<'_> {
        let (verdict, rule) = words(&self.verdict);
        let lane = match (&self.verdict, self.logs.is_empty()) {
            (Verdict::Truth(_), _) => Some("truth"),
            (_, false) => Some("log"),
            _ => None,
        };
        documents::Explain {
            schema: SCHEMA,
            command: "explain",
            outcome: "in-sync",
            exit_code: exit::DONE,
            path: self.path.lossy(),
            kind: if self.is_dir { "directory" } else { "file" },
            lane,
            verdict,
            rule,
            logs: self
                .logs
                .iter()
                .map(|(peer, remote)| ExplainLog { peer, remote })
                .collect(),
            last: self.last.as_ref().map(|l| ExplainLast {
                run: &l.run,
                started: &l.started,
                peer: &l.peer,
                what: &l.what,
            }),
            publish: self.published.as_ref().map(|v| words(v).0),
            path_hex: self.path.hex_if_not_utf8(),
        }
    }
}
