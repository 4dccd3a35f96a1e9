//! Many new files at one place go by one rsync stream into a stage beside their places, and get their names there when all have come.
//!
//! Invariants: nothing that has a name is ever replaced; what changed at its source meanwhile, and whatever could not be
//! done for any reason, is left to the engine of the same run; a stage has the form of the engine's temporary files, so
//! that what a dead run left is swept up with theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{export, files, process, signals};
use crate::lanes::truth::content;
use crate::lanes::truth::hosts::Host;
use crate::lanes::truth::propose::{Proposal, Request};
use crate::model::bulk::{Batch, Top};
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::reconcile::Replica;
use crate::model::scope::Item;
use crate::model::tree::{Stat, What};
use crate::tool::{remote, rsync, rsync_push};

/// Carries every batch; the paths that did not get their places.
pub fn carry(p: &mut Proposal, batches: &[Batch], request: &Request) -> BTreeSet<RelPath> {
    let mut left = BTreeSet::new();
    for (n, batch) in batches.iter().enumerate() {
        let paths = batch.paths().count() as u64;
        request.progress.phase("copying what is new", Some(paths));
        let stage = format!(".unison.bulk-{}-{n}.unison.tmp", request.run);
        let stream = Stream { batch, stage };
        let tops = match signals::stop_wish() {
            None => stream.fill(p, request).unwrap_or_default(),
            Some(_) => Vec::new(),
        };
        let done = stream.lay(p, &tops);
        left.extend(batch.paths().filter(|p| !done.contains(p)).cloned());
        request.progress.advance(paths);
    }
    left
}

/// What the last look before an effect has to know of batches.
pub fn items(batches: &[Batch]) -> Vec<Item> {
    let tops = batches
        .iter()
        .flat_map(|b| b.tops.iter().map(|t| (b.to, t)));
    let item = |(to, top): (Side, &Top)| Item {
        path: top.path.clone(),
        to,
        whole: top.is_dir,
    };
    tops.map(item).collect()
}

struct Stream<'a> {
    batch: &'a Batch,
    /// Its name in the directory where all belongs.
    stage: String,
}

impl<'a> Stream<'a> {
    /// Fills the stage; the tops that lie there as they were planned. `None`: the stream did not come to its end.
    fn fill(&self, p: &mut Proposal, request: &Request) -> Option<Vec<&'a Top>> {
        let program = process::which("rsync")?;
        let (here, there) = (self.place(&p.pair.local)?, self.place(&p.pair.peer)?);
        let peer = &p.pair.peer;
        let starter = peer
            .link
            .rsync_starter(there.as_os_str().as_bytes(), &request.peer.rsync);
        let dir = &p.pair.scratch;
        export::write_script(&dir.join(rsync_push::STARTER), &starter).ok()?;
        let list = dir.join("bulk.list");
        let names = content::listed(&self.names(self.batch.paths()));
        files::write_atomic(&list, &names, files::Sync::Later).ok()?;
        let in_stage = format!("{}/", self.stage);
        let (from, to) = match self.batch.to {
            Side::Peer => (here.join("."), OsString::from(format!("target:{in_stage}"))),
            Side::Local => (PathBuf::from("target:."), here.join(in_stage).into()),
        };
        let permissions = request.policy.truth.permissions;
        let call = rsync_push::listed(&program, &list, permissions, dir)
            .args(rsync::limit(request.peer.bwlimit))
            .args([from.into(), to]);
        // Ten minutes, and what it takes at the limit or at 100 kB/s.
        let sizes = self
            .batch
            .paths()
            .filter_map(|path| self.source(p).1.tree.truth.get(path));
        let bytes: u64 = sizes.map(|s| s.size).sum();
        let slowest = match request.peer.bwlimit {
            0 => 100_000,
            limit => limit.min(100_000),
        };
        let limit = Duration::from_secs(600 + bytes / slowest);
        let out = process::run_within(&call, b"", &dir.join("bulk.err"), limit).ok()?;
        let is_locked = p.pair.local.agent.is_open() && p.pair.peer.agent.is_open();
        (out.code == Some(0) && is_locked).then(|| self.unmoved(p))
    }

    /// The tops whose sources still are what the plan knew, so that what was copied is that.
    fn unmoved(&self, p: &Proposal) -> Vec<&'a Top> {
        let (host, replica) = self.source(p);
        let now = look(host, self.batch.paths());
        let is_same = |path: &RelPath| match (replica.tree.truth.get(path), now.get(path)) {
            (Some(was), Some(is)) => {
                was == is || (was.what == What::Dir && is.what == What::Dir && was.mode == is.mode)
            }
            _ => false,
        };
        let tops = self.batch.tops.iter();
        tops.filter(|t| t.all.iter().all(is_same)).collect()
    }

    /// Gives what was staged its places and takes the stage away; all paths that lie where they belong.
    fn lay(&self, p: &Proposal, tops: &[&'a Top]) -> BTreeSet<&'a RelPath> {
        let host = match self.batch.to {
            Side::Peer => &p.pair.peer,
            Side::Local => &p.pair.local,
        };
        let parent = match self.batch.parent.is_root() {
            true => ".".to_owned(),
            false => remote::escaped(self.batch.parent.as_bytes()),
        };
        let parameters = [host.root_given.as_str(), &parent, &self.stage];
        let names = self.names(tops.iter().map(|t| &t.path));
        let said = match names.is_empty() {
            true => Ok(Vec::new()),
            false => host
                .link
                .call(remote::BULK, &parameters, &content::listed(&names)),
        };
        content::sweep_up(
            host,
            self.batch.parent.join(self.stage.as_bytes()).as_slice(),
        );
        let all = tops.iter().flat_map(|t| &t.all);
        if said.is_ok_and(|s| s.is_empty()) {
            return all.collect();
        }
        let there = look(host, all.clone());
        all.filter(|p| there.contains_key(*p)).collect()
    }

    fn source<'p>(&self, p: &'p Proposal) -> (&'p Host, &'p Replica) {
        match self.batch.to {
            Side::Peer => (&p.pair.local, &p.local),
            Side::Local => (&p.pair.peer, &p.peer),
        }
    }

    /// The directory where all belongs, on one host.
    fn place(&self, host: &Host) -> Option<PathBuf> {
        let root = Path::new(host.said.root.as_deref()?);
        Some(root.join(OsStr::from_bytes(self.batch.parent.as_bytes())))
    }

    /// Paths as they are called in that directory.
    fn names<'p>(&self, paths: impl Iterator<Item = &'p RelPath>) -> Vec<RelPath> {
        let above = match self.batch.parent.as_bytes().len() {
            0 => 0,
            n => n + 1,
        };
        paths
            .filter_map(|p| RelPath::new(&p.as_bytes()[above..]))
            .collect()
    }
}

/// What lies at paths now; nothing, when that cannot be told.
fn look<'p>(host: &Host, paths: impl Iterator<Item = &'p RelPath>) -> BTreeMap<RelPath, Stat> {
    let paths: Vec<RelPath> = paths.cloned().collect();
    content::look(
        &host.link,
        &host.root_given,
        &host.said.style,
        false,
        &paths,
    )
    .unwrap_or_default()
}
