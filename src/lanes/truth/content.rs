//! What the files of both replicas contain: hashes from memory where the facts are the same, read again where not.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::link::{Link, LinkError};
use crate::host::{contents, sweep};
use crate::lanes::truth::hosts::{Host, Pair};
use crate::model::entry::ContentHash;
use crate::model::index::Index;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::reconcile::Replica;
use crate::model::region::Region;
use crate::model::sorted::Sorted;
use crate::model::thread::joined;
use crate::model::tree::{Stat, Tree, What};
use crate::model::walk::Walk;
use crate::tool::{facts, remote};

/// Builds both replicas with content, hashing on both hosts at once whatever the index does not know. Outside a region, what it knows
/// stays.
pub fn replicas(
    pair: &mut Pair,
    index: &mut Index,
    region: Option<&Region>,
) -> Result<(Replica, Replica), LinkError> {
    let local_tree = std::mem::take(&mut pair.local.tree);
    let peer_tree = std::mem::take(&mut pair.peer.tree);
    let near = pair.local.hashed.take();
    let (local, peer) = (&pair.local, &pair.peer);
    let read = |side, host, tree| hash_unknown(side, host, tree, index);
    let (near, far) = std::thread::scope(|s| {
        let far = s.spawn(|| read(Side::Peer, peer, &peer_tree));
        let near = match near {
            Some(hashes) => Ok(hashes),
            None => read(Side::Local, local, &local_tree),
        };
        (near, far.join())
    });
    let far = far.unwrap_or_else(|_| {
        Err(LinkError::failed(
            "hashing ended unexpectedly",
            "run it again",
        ))
    })?;
    let near = near?;
    let as_it_was = &*index;
    let ((local, near), (peer, far)) = std::thread::scope(|s| {
        let peer = s.spawn(|| replica(Side::Peer, peer_tree, far, as_it_was));
        let local = replica(Side::Local, local_tree, near, as_it_was);
        (local, joined(peer))
    });
    for (side, swept_at, replica, fresh) in [
        (Side::Local, pair.local.said.swept_at, &local, near),
        (Side::Peer, pair.peer.said.swept_at, &peer, far),
    ] {
        index.keep(side, region, replica.tree.truth.keys());
        for path in &fresh {
            if let (Some(stat), Some(hash)) = (replica.tree.truth.get(path), replica.hash(path)) {
                index.remember(side, path, stat, hash, swept_at);
            }
        }
    }
    Ok((local, peer))
}

/// Hashes what the index does not know of this host's files, before the other host is there; should that fail, it is done again.
pub fn hash_early(host: &mut Host, index: &Index) {
    host.hashed = hash_unknown(Side::Local, host, &host.tree, index).ok();
}

fn hash_unknown(
    side: Side,
    host: &Host,
    tree: &Tree,
    index: &Index,
) -> Result<Sorted<ContentHash>, LinkError> {
    let mut known = index.walk(side);
    let is_unknown =
        |(p, s): &(&RelPath, &Stat)| s.what == What::File && known.hash(p, s).is_none();
    let paths = tree.truth.iter().filter(is_unknown).map(|(p, _)| p.clone());
    hash(&host.link, &host.root_given, &paths.collect::<Vec<_>>())
}

/// One side, and which of it was read just now.
fn replica(
    side: Side,
    tree: Tree,
    fresh: Sorted<ContentHash>,
    index: &Index,
) -> (Replica, Vec<RelPath>) {
    let (mut read, mut known) = (Walk::of(&fresh), index.walk(side));
    let replica = Replica::of(tree, |path, stat| {
        let read = read.at(path).copied();
        read.or_else(|| known.hash(path, stat))
    });
    (replica, fresh.keys().cloned().collect())
}

/// So many names are asked about in one go: the answers about a large tree are not small, either.
const PART: usize = 50_000;

/// Hashes of named files; a file that cannot be read is missing from the answer.
pub fn hash(link: &Link, root: &str, paths: &[RelPath]) -> Result<Sorted<ContentHash>, LinkError> {
    if paths.is_empty() {
        return Ok(Sorted::default());
    }
    if !link.is_remote() {
        let found = contents::hash(root.as_ref(), paths);
        return Ok(found.map_err(|e| unread(root, &e))?.into_iter().collect());
    }
    let odd = |p: &RelPath| {
        p.as_bytes()
            .iter()
            .any(|b| b.is_ascii_control() || *b == b'\\')
    };
    let (strange, mut plain): (Vec<RelPath>, Vec<RelPath>) = paths.iter().cloned().partition(odd);
    plain.sort();
    let mut out = Vec::new();
    let ask = |how, paths: &[RelPath]| {
        let names = Names::of(paths);
        let parameters = [&[root][..], &names.parameters(), &[how]].concat();
        link.call(remote::HASH, &parameters, &names.data)
    };
    for part in plain.chunks(PART) {
        out.append(&mut facts::parse_hashes(&ask("bulk", part)?, part));
    }
    for part in strange.chunks(PART) {
        let body = ask("each", part)?;
        out.append(&mut facts::parse_hashes_in_order(&body, part));
    }
    Ok(out.into_iter().collect())
}

/// The facts of named paths now; what is not there is missing from the answer, and what is only seen through a link is not there.
pub fn look(
    link: &Link,
    root: &str,
    style: &str,
    deep: bool,
    paths: &[RelPath],
) -> Result<BTreeMap<RelPath, Stat>, LinkError> {
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted: BTreeSet<&RelPath> = paths.iter().collect();
    let ways: BTreeSet<RelPath> = paths.iter().flat_map(above).collect();
    let mut asked = paths.to_vec();
    // Whatever is below a path is told with it when the look is deep.
    asked.extend(
        ways.iter()
            .filter(|a| !deep && !wanted.contains(a))
            .cloned(),
    );
    let found = match link.is_remote() {
        true => told(link, root, style, deep, &asked)?,
        false => sweep::look(root.as_ref(), &asked, deep).map_err(|e| unread(root, &e))?,
    };
    let mut found: BTreeMap<RelPath, Stat> = found.into_iter().collect();
    if !deep {
        let is_dir = |p: &RelPath| found.get(p).is_some_and(|s| s.what == What::Dir);
        let crooked: BTreeSet<RelPath> = ways.into_iter().filter(|a| !is_dir(a)).collect();
        found.retain(|p, _| wanted.contains(p) && !above(p).any(|a| crooked.contains(&a)));
    }
    Ok(found)
}

/// The same facts as another host tells them.
fn told(
    link: &Link,
    root: &str,
    style: &str,
    deep: bool,
    asked: &[RelPath],
) -> Result<Vec<(RelPath, Stat)>, LinkError> {
    let names = Names::of(asked);
    let depth = if deep { "deep" } else { "flat" };
    let parameters = [&[root][..], &names.parameters(), &[style, depth]].concat();
    let (body, nonce) = link.call_with_nonce(remote::FACTS, &parameters, &names.data)?;
    facts::parse_sweep(&body, &nonce)
        .map(|facts| facts.stats)
        .ok_or_else(|| {
            LinkError::failed(
                format!("the facts from {} were garbled", link.name),
                "run it again",
            )
        })
}

fn unread(root: &str, why: &std::io::Error) -> LinkError {
    LinkError::failed(
        format!("cannot look into {root}: {why}"),
        format!("ls -ld {root}"),
    )
}

/// The directories on the way to a path, without the root.
fn above(path: &RelPath) -> impl Iterator<Item = RelPath> {
    path.ancestors().filter_map(RelPath::new)
}

/// Removes what dead runs of the engine left behind. Both locks are ours, so no live one can need it.
pub fn sweep_up(host: &Host, litter: &[RelPath]) {
    if !litter.is_empty() {
        let _ = host
            .link
            .call(remote::SWEEP_UP, &[&host.root_given], &listed(litter));
    }
}

/// Paths for a script: few as parameters, how many of them first; many as data.
struct Names {
    n: String,
    few: Vec<String>,
    data: Vec<u8>,
}

/// How much is handed to a program in one go: far less than any system allows.
const FEW: usize = 64;
const FEW_BYTES: usize = 32 << 10;

impl Names {
    fn of(paths: &[RelPath]) -> Names {
        let bytes: usize = paths.iter().map(|p| p.as_bytes().len()).sum();
        let (few, data) = match paths.len() <= FEW && bytes <= FEW_BYTES {
            true => {
                let name = |p: &RelPath| [b"./", p.as_bytes()].concat();
                let names = paths.iter().map(|p| remote::escaped(&name(p)));
                (names.collect(), Vec::new())
            }
            false => (Vec::new(), listed(paths)),
        };
        Names {
            n: few.len().to_string(),
            few,
            data,
        }
    }

    fn parameters(&self) -> Vec<&str> {
        let few = self.few.iter().map(String::as_str);
        std::iter::once(self.n.as_str()).chain(few).collect()
    }
}

/// Paths as the scripts read them: `./path`, NUL after each.
pub fn listed(paths: &[RelPath]) -> Vec<u8> {
    let mut out = Vec::new();
    for p in paths {
        out.extend_from_slice(b"./");
        out.extend_from_slice(p.as_bytes());
        out.push(0);
    }
    out
}
