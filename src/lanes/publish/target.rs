//! One target, looked at: what it is, what was published there before, and what it holds now, by content.
//!
//! Invariant: an [`Opened`] in which `locked` is true holds the target's lock until it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::host::link::{Agent, Link, LinkError};
use crate::host::{clock, export as lay, files};
use crate::lanes::publish::source::private;
use crate::lanes::reach::CONNECT_TIMEOUT;
use crate::lanes::truth::content;
use crate::model::entry::Entry;
use crate::model::index::Index;
use crate::model::manifest::Manifest;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::policy::{Layout, Policy, Publish, Target};
use crate::model::sorted::Sorted;
use crate::model::tree::{Stat, What};
use crate::model::walk::Walk;
use crate::tool::{facts, publish_scripts as scripts, remote};

pub struct Opened {
    pub link: Link,
    pub agent: Agent,
    pub told: Told,
}

impl Deref for Opened {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

impl DerefMut for Opened {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.told
    }
}

/// What a target said of itself, parsed.
///
/// Invariant: what it is stands before the list of what lies in it, so that no name in there can speak for it.
pub struct Told {
    /// Absolute, links resolved; `None` when the target's directory does not exist.
    pub root: Option<String>,
    pub home: String,
    pub rsync: String,
    pub sha: bool,
    pub style: String,
    pub free: Option<u64>,
    pub bad: Option<String>,
    pub usable: bool,
    pub ours: bool,
    pub locked: bool,
    pub holder: Option<String>,
    /// Why nobody could take the lock there.
    pub unlockable: Option<String>,
    pub strangers: u64,
    pub rev: Option<String>,
    pub release: Option<String>,
    /// What was published last, with the digest of its bytes as they lie there.
    pub base: Option<(Manifest, Vec<u8>)>,
    pub pending: Vec<Manifest>,
    pub stats: Sorted<Stat>,
    pub unreadable: Vec<RelPath>,
    pub swept_at: i128,
}

/// What a target holds, by content.
#[derive(Default)]
pub struct Held {
    pub have: Sorted<Entry>,
    pub odd: BTreeSet<RelPath>,
}

pub fn layout_word(layout: Layout) -> &'static str {
    match layout {
        Layout::InPlace => "in-place",
        Layout::Releases => "releases",
    }
}

/// Where this machine keeps what it knows of a target.
pub fn memory(policy: &Policy, target: &Target) -> PathBuf {
    let name: String = Sha256::digest(format!(
        "{:?}",
        (&target.name, &target.remote, &target.path)
    ))
    .iter()
    .take(8)
    .map(|b| format!("{b:02x}"))
    .collect();
    private(policy).join("targets").join(name)
}

pub fn link(target: &Target, socket_dir: &Path) -> Link {
    match &target.remote {
        None => Link::local(&target.name),
        Some(remote) => Link::ssh(
            &target.name,
            remote,
            socket_dir.join("s"),
            0,
            CONNECT_TIMEOUT,
        ),
    }
}

pub fn open(
    policy: &Policy,
    publish: &Publish,
    target: &Target,
    link: &Link,
    hold: bool,
    who: &str,
    scratch: &Path,
) -> Result<Opened, LinkError> {
    let known_bytes = lay::read(&memory(policy, target).join("list")).unwrap_or_default();
    let known = digest(&known_bytes);
    let parameters = [
        target.path.as_str(),
        if hold { "hold" } else { "look" },
        who,
        layout_word(publish.layout),
        &known,
    ];
    let mut tries = 0;
    let (agent, body) = loop {
        let _ = files::remove_file(&scratch.join("open.err"));
        match link.hold(scripts::OPEN, &parameters, &scratch.join("open.err")) {
            // A server that has too many doors open at once shuts one: that is no answer about the target.
            Err(LinkError::Offline { message, .. })
                if tries < 3
                    && (message.contains("kex_exchange")
                        || message.contains("Connection closed")
                        || message.contains("Connection reset")) =>
            {
                tries += 1;
                clock::sleep(Duration::from_millis(400 * tries));
            }
            other => break other?,
        }
    };
    let told = Told::parse(&body, agent.nonce(), known_bytes).ok_or_else(|| {
        LinkError::failed(
            format!("the answer of {} was cut or garbled", target.name),
            "run it again",
        )
    })?;
    Ok(Opened {
        link: link.clone(),
        agent,
        told,
    })
}

impl Told {
    /// `known` is the list of what was published there, as this machine remembers it.
    pub fn parse(body: &[u8], nonce: &str, known: Vec<u8>) -> Option<Self> {
        let list = remote::find(body, format!("{nonce} SWEEP ").as_bytes());
        let (head, list) = body.split_at(list.unwrap_or(body.len()));
        let get = |key| remote::value(head, key).map(str::to_owned);
        let part = |from: &str, to: &str| -> Vec<&[u8]> {
            let (from, to) = (format!("{nonce} {from}\n"), format!("\n{nonce} {to}\n"));
            let mut out = Vec::new();
            let mut rest = head;
            while let Some(at) = remote::find(rest, from.as_bytes()) {
                rest = &rest[at + from.len()..];
                let Some(end) = remote::find(rest, to.as_bytes()) else {
                    break;
                };
                out.push(&rest[..end]);
                rest = &rest[end..];
            }
            out
        };
        let base_bytes = get("base").map(|_| {
            let told = part("MANIFEST", "MANIFESTED").pop();
            told.map_or(known, <[u8]>::to_vec)
        });
        let swept = match list.is_empty() {
            false => facts::parse_sweep(list, nonce)?,
            true => facts::Facts::default(),
        };
        let holder = remote::values(head, "holder")
            .collect::<Vec<_>>()
            .join(", ");
        let number = |key| remote::value(head, key).and_then(|v| v.parse::<u64>().ok());
        Some(Self {
            root: get("root"),
            home: get("home").unwrap_or_default(),
            rsync: get("rsync").unwrap_or_default(),
            sha: remote::value(head, "sha") != Some("none"),
            style: get("stat").unwrap_or_default(),
            free: number("space").map(|k| k.saturating_mul(1024)),
            bad: get("bad"),
            usable: remote::value(head, "usable").is_some(),
            ours: remote::value(head, "ours").is_some(),
            locked: remote::value(head, "lock").is_some(),
            holder: Some(holder).filter(|h| !h.is_empty()),
            unlockable: get("unlockable").map(|why| crate::model::text::neutral(&why)),
            strangers: number("strangers").unwrap_or(0),
            rev: get("rev").map(|r| crate::model::text::neutral(&r)),
            release: get("release"),
            base: base_bytes.and_then(|b| Some((Manifest::parse(&b)?, b))),
            pending: part("PENDING", "PENDED")
                .into_iter()
                .filter_map(Manifest::parse)
                .collect(),
            stats: Sorted::in_order(swept.stats),
            unreadable: swept.unreadable,
            swept_at: remote::value(head, "swept")
                .and_then(|v| facts::seconds(v.as_bytes()))
                .unwrap_or(0),
        })
    }
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

impl Opened {
    /// The directory of the tree that is live: of releases, the one that `current` names.
    pub fn tree(&self) -> Option<String> {
        let root = self.root.as_deref()?;
        Some(match &self.release {
            Some(release) => format!("{root}/releases/{release}"),
            None => root.to_owned(),
        })
    }

    /// Every version that was published, or was on its way when a run died.
    pub fn versions(&self) -> BTreeMap<RelPath, Vec<Entry>> {
        let published = self.base.iter().flat_map(|(m, _)| &m.entries);
        // In order already, so that the map is built in one go.
        let mut all: BTreeMap<RelPath, Vec<Entry>> = published
            .map(|(path, entry)| (path.clone(), vec![entry.clone()]))
            .collect();
        for (path, entry) in self.pending.iter().flat_map(|m| &m.entries) {
            all.entry(path.clone()).or_default().push(entry.clone());
        }
        all
    }

    /// What lies under the given paths, by content; hashes come from memory where the facts are the same.
    pub fn content<'a>(
        &self,
        paths: impl Iterator<Item = &'a RelPath>,
        index: &mut Index,
    ) -> Result<Held, LinkError> {
        let mut paths: Vec<&RelPath> = paths.collect();
        paths.sort();
        paths.dedup();
        let mut odd = BTreeSet::new();
        let (mut have, mut unknown) = (Vec::new(), Vec::new());
        let (mut stats, mut known) = (Walk::of(&self.stats), index.walk(Side::Peer));
        for path in paths {
            let Some(stat) = stats.at(path) else {
                continue;
            };
            let hash = known.hash(path, stat);
            match &stat.what {
                What::Other => {
                    odd.insert(path.clone());
                }
                What::File if hash.is_none() => unknown.push(path.clone()),
                _ => have.extend(stat.entry(hash).map(|e| (path.clone(), e))),
            }
        }
        let mut held = Held {
            have: Sorted::in_order(have),
            odd,
        };
        if let (Some(tree), false) = (self.tree(), unknown.is_empty()) {
            let hashes = content::hash(&self.link, &tree, &unknown)?;
            for path in unknown {
                let stat = &self.stats[&path];
                match hashes.get(&path).copied() {
                    Some(hash) => {
                        index.remember(Side::Peer, &path, stat, hash, self.swept_at);
                        if let Some(entry) = stat.entry(Some(hash)) {
                            held.have.insert(path, entry);
                        }
                    }
                    None => {
                        held.odd.insert(path);
                    }
                }
            }
        }
        Ok(held)
    }
}

/// What this machine remembers of a target's content.
pub fn index(policy: &Policy, target: &Target) -> Index {
    lay::read(&memory(policy, target).join("index")).map_or_else(|_| Index::begun(0), Index::parse)
}

pub fn remember(policy: &Policy, target: &Target, index: &Index, list: Option<&[u8]>) {
    let dir = memory(policy, target);
    // An optimisation: what cannot be remembered is read again.
    if files::private_dir(&dir).is_err() {
        return;
    }
    if index.is_news {
        let to = dir.join("index");
        let _ = files::write_parts(&to, files::Sync::Later, |out| index.write(out));
    }
    if let Some(list) = list {
        let _ = files::write_atomic(&dir.join("list"), list, files::Sync::Later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_in_a_target_speaks_for_it() {
        let list = |name: &str| {
            format!(
                "root /t\nstat gnu\nN SWEEP gnu\nf\x005\x001.5\x002.5\x0042\x00644\x00./{name}\x00\x00\0\nN SWEPT 0\n\0\n"
            )
        };
        let told = |name: &str| Told::parse(list(name).as_bytes(), "N", b"".into()).unwrap();
        let forged = told(
            "x\nours 1\nlock held\nrev abc\nbase 1\nbad it is\nrelease r\nholder h\nstrangers 9\ny",
        );
        assert_eq!(forged.stats.len(), 1);
        assert!(!forged.ours && !forged.locked && forged.strangers == 0);
        let words = [forged.rev, forged.bad, forged.release, forged.holder];
        assert_eq!(words, [const { None }; 4]);
        assert!(forged.base.is_none());
    }
}
