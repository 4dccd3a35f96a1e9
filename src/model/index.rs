//! The memory of content: which bytes a file had when its facts were these. An optimisation only: without it everything is
//! hashed again.
//!
//! Invariant: a hash is only believed for exactly the same size, mtime, ctime and inode, and never for a file that had been
//! changed within two seconds of being looked at (a second edit in the same tick would not show).

use std::collections::BTreeMap;

use super::entry::ContentHash;
use super::manifest::{self, escape};
use super::number;
use super::path::RelPath;
use super::plan::Side;
use super::tree::Stat;
use super::walk::Walk;

/// How close to the sweep a change makes an entry untrustworthy.
const RACY_NS: i128 = 2_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
    ino: u64,
    hash: ContentHash,
}

impl Known {
    /// The hash, when the facts are still these.
    fn of(&self, stat: &Stat) -> Option<ContentHash> {
        let is_same = self.size == stat.size
            && self.mtime_ns == stat.mtime_ns
            && self.ctime_ns == stat.ctime_ns
            && self.ino == stat.ino;
        is_same.then_some(self.hash)
    }
}

/// As [`Index::hash`], for paths in rising order, each once.
pub struct Hashes<'i>(Walk<'i, Known>);

impl<'i> Hashes<'i> {
    pub fn hash(&mut self, path: &RelPath, stat: &Stat) -> Option<ContentHash> {
        self.0.at(path)?.of(stat)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    local: BTreeMap<RelPath, Known>,
    peer: BTreeMap<RelPath, Known>,
    /// When everything was last hashed, in nanoseconds since 1970.
    pub full_at: i128,
    /// Whether it says anything that was not read from its file: an unchanged one need not be written again.
    pub is_news: bool,
}

impl Index {
    /// An empty one, from which everything is read again.
    pub fn begun(full_at: i128) -> Self {
        Self {
            full_at,
            is_news: true,
            ..Self::default()
        }
    }

    fn side(&self, side: Side) -> &BTreeMap<RelPath, Known> {
        match side {
            Side::Local => &self.local,
            Side::Peer => &self.peer,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<RelPath, Known> {
        match side {
            Side::Local => &mut self.local,
            Side::Peer => &mut self.peer,
        }
    }

    pub fn hash(&self, side: Side, path: &RelPath, stat: &Stat) -> Option<ContentHash> {
        self.side(side).get(path)?.of(stat)
    }

    /// For asking about all paths of a side in their order.
    pub fn walk(&self, side: Side) -> Hashes<'_> {
        Hashes(Walk::of(self.side(side)))
    }

    /// Remembers a hash; `seen_at` is that host's clock when the facts were taken.
    pub fn remember(
        &mut self,
        side: Side,
        path: &RelPath,
        stat: &Stat,
        hash: ContentHash,
        seen_at: i128,
    ) {
        let newest = stat.mtime_ns.max(stat.ctime_ns);
        // Whole-second times on both: a file system that cannot show a second change within the second.
        let coarse = stat.ctime_ns % 1_000_000_000 == 0 && stat.mtime_ns % 1_000_000_000 == 0;
        let margin = if coarse {
            RACY_NS + 1_000_000_000
        } else {
            RACY_NS
        };
        if stat.ctime_ns + margin > seen_at || (newest > seen_at && stat.ctime_ns > seen_at) {
            self.is_news |= self.side_mut(side).remove(path).is_some();
            return;
        }
        let known = Known {
            size: stat.size,
            mtime_ns: stat.mtime_ns,
            ctime_ns: stat.ctime_ns,
            ino: stat.ino,
            hash,
        };
        if self.side(side).get(path) != Some(&known) {
            self.is_news = true;
            self.side_mut(side).insert(path.clone(), known);
        }
    }

    /// Forgets paths that are no longer there.
    pub fn retain(&mut self, side: Side, mut present: impl FnMut(&RelPath) -> bool) {
        let before = self.side(side).len();
        self.side_mut(side).retain(|p, _| present(p));
        self.is_news |= self.side(side).len() != before;
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("ubos-sync index 1\t{}\n", self.full_at).into_bytes();
        for (tag, map) in [(b"l", &self.local), (b"p", &self.peer)] {
            for (path, k) in map {
                out.extend_from_slice(tag);
                for n in [k.size.into(), k.mtime_ns, k.ctime_ns, k.ino.into()] {
                    out.push(b'\t');
                    number::push(&mut out, n);
                }
                out.push(b'\t');
                out.extend_from_slice(&k.hash.hex());
                out.push(b'\t');
                out.extend_from_slice(&escape(path.as_bytes()));
                out.push(b'\n');
            }
        }
        out.extend_from_slice(b"end\n");
        out
    }

    /// Reads it back; anything odd gives an empty index, which is always safe.
    pub fn parse(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let body = bytes.strip_suffix(b"end\n")?;
        let mut lines = body.strip_suffix(b"\n")?.split(|b| *b == b'\n');
        let head = std::str::from_utf8(lines.next()?).ok()?;
        let mut index = Index {
            full_at: head.strip_prefix("ubos-sync index 1\t")?.parse().ok()?,
            ..Index::default()
        };
        let mut sides = [Vec::new(), Vec::new()];
        for line in lines {
            let mut f = line.splitn(7, |b| *b == b'\t');
            let side = match f.next()? {
                b"l" => 0,
                b"p" => 1,
                _ => return None,
            };
            let known = Known {
                size: number::unsigned(f.next()?)?,
                mtime_ns: number::signed(f.next()?)?,
                ctime_ns: number::signed(f.next()?)?,
                ino: number::unsigned(f.next()?)?,
                hash: ContentHash::parse(f.next()?)?,
            };
            let path = manifest::path(f.next()?)?;
            sides[side].push((path, known));
        }
        // In order already, so that the maps are built in one go.
        [index.local, index.peer] = sides.map(|all| all.into_iter().collect());
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::What;

    fn stat(mtime: i128) -> Stat {
        Stat {
            what: What::File,
            size: 3,
            mtime_ns: mtime,
            ctime_ns: mtime + 7,
            ino: 9,
            mode: 0o644,
        }
    }

    #[test]
    fn a_hash_is_believed_only_for_the_same_facts() {
        let path = RelPath::new("a\tb").unwrap();
        let mut index = Index::default();
        index.remember(Side::Peer, &path, &stat(1_000), "h".into(), 9_000_000_000);
        let index = Index::parse(&index.to_bytes());
        assert_eq!(
            index.hash(Side::Peer, &path, &stat(1_000)),
            Some("h".into())
        );
        assert!(index.hash(Side::Peer, &path, &stat(1_001)).is_none());
        assert!(index.hash(Side::Local, &path, &stat(1_000)).is_none());
    }

    #[test]
    fn a_fresh_change_is_not_remembered() {
        let path = RelPath::new("a").unwrap();
        let mut index = Index::default();
        index.remember(
            Side::Local,
            &path,
            &stat(8_000_000_000),
            "h".into(),
            9_000_000_000,
        );
        assert!(
            index
                .hash(Side::Local, &path, &stat(8_000_000_000))
                .is_none()
        );
    }

    #[test]
    fn a_damaged_index_is_an_empty_one() {
        let path = RelPath::new("a").unwrap();
        let mut index = Index::default();
        index.remember(Side::Local, &path, &stat(1), "h".into(), 9_000_000_000);
        let bytes = index.to_bytes();
        assert_eq!(Index::parse(&bytes[..bytes.len() - 1]), Index::default());
        assert_eq!(Index::parse(b"garbage"), Index::default());
    }
}
