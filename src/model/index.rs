//! The memory of content: which bytes a file had when its facts were these. An optimisation only: without it everything is
//! hashed again.
//!
//! Invariant: a hash is only believed for exactly the same size, mtime, ctime and inode, and never for a file that had been
//! changed within two seconds of being looked at (a second edit in the same tick would not show).

mod packed;

use std::collections::{BTreeMap, btree_map};
use std::io::{self, Write};
use std::sync::Arc;

use super::entry::ContentHash;
use super::path::RelPath;
use super::plan::Side;
use super::region::Region;
use super::sorted::is_many;
use super::tree::Stat;
use super::walk::Walk;
use packed::{Cursor, Packed, Packer};

/// How close to the sweep a change makes an entry untrustworthy.
const RACY_NS: i128 = 2_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub struct Hashes<'i> {
    packed: Cursor<'i>,
    since: Walk<btree_map::Iter<'i, RelPath, Option<Known>>>,
}

impl Hashes<'_> {
    pub fn hash(&mut self, path: &RelPath, stat: &Stat) -> Option<ContentHash> {
        match self.since.at(path) {
            Some(later) => (*later)?.of(stat),
            None => self.packed.at(path.as_bytes())?.of(stat),
        }
    }
}

/// One side: what is packed, and what was learnt since, where `None` is forgotten.
#[derive(Debug, Clone, Default)]
struct Files {
    packed: Packed,
    since: BTreeMap<RelPath, Option<Known>>,
}

impl Files {
    fn learn(&mut self, path: &RelPath, known: Option<Known>) {
        self.since.insert(path.clone(), known);
        if is_many(self.since.len(), self.packed.len()) {
            self.settle();
        }
    }

    /// Packs what was learnt together with the rest.
    fn settle(&mut self) {
        // What one takes is not known before, but it is about as much as the others.
        let each = self.packed.bytes() / self.packed.len().max(1);
        let mut bytes = Vec::with_capacity(self.packed.bytes() + self.since.len() * each);
        // Writing to memory does not fail.
        let written = self.write(&mut bytes);
        bytes.shrink_to_fit();
        let part = 0..bytes.len();
        if let (Ok(_), Some(packed)) = (written, Packed::read(&Arc::new(bytes), part)) {
            let since = BTreeMap::new();
            *self = Self { packed, since };
        }
    }

    fn get(&self, path: &RelPath) -> Option<Known> {
        match self.since.get(path) {
            Some(later) => *later,
            None => self.packed.get(path.as_bytes()),
        }
    }

    /// Packs all of it anew; how many bytes that took.
    fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        let mut out = Packer::to(out);
        let mut before = self.packed.walk();
        for (path, later) in &self.since {
            let path = path.as_bytes();
            while let Some((p, known)) = before.peek().filter(|(p, _)| *p <= path) {
                if p < path {
                    out.push(p, &known)?;
                }
                before.next();
            }
            if let Some(known) = later {
                out.push(path, known)?;
            }
        }
        while let Some((p, known)) = before.next() {
            out.push(p, &known)?;
        }
        Ok(out.written)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Index {
    local: Files,
    peer: Files,
    /// When everything was last hashed, in nanoseconds since 1970.
    pub full_at: i128,
    /// Whether it says anything that was not read from its file: an unchanged one need not be written again.
    pub is_news: bool,
}

impl PartialEq for Index {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
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

    fn side(&self, side: Side) -> &Files {
        match side {
            Side::Local => &self.local,
            Side::Peer => &self.peer,
        }
    }

    fn learn(&mut self, side: Side, path: &RelPath, known: Option<Known>) {
        if self.side(side).get(path) == known {
            return;
        }
        self.is_news = true;
        let files = match side {
            Side::Local => &mut self.local,
            Side::Peer => &mut self.peer,
        };
        files.learn(path, known);
    }

    pub fn hash(&self, side: Side, path: &RelPath, stat: &Stat) -> Option<ContentHash> {
        self.side(side).get(path)?.of(stat)
    }

    /// For asking about all paths of a side in their order.
    pub fn walk(&self, side: Side) -> Hashes<'_> {
        let files = self.side(side);
        Hashes {
            packed: files.packed.walk(),
            since: Walk::of(&files.since),
        }
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
            return self.learn(side, path, None);
        }
        let known = Known {
            size: stat.size,
            mtime_ns: stat.mtime_ns,
            ctime_ns: stat.ctime_ns,
            ino: stat.ino,
            hash,
        };
        self.learn(side, path, Some(known));
    }

    pub fn forget(&mut self, side: Side, path: &RelPath) {
        self.learn(side, path, None);
    }

    /// Forgets all paths (of a region, if there is one) but those, which come in their order.
    pub fn keep<'p>(
        &mut self,
        side: Side,
        region: Option<&Region>,
        present: impl Iterator<Item = &'p RelPath> + Clone,
    ) {
        let files = self.side(side);
        let is_meant = |p: &RelPath| region.is_none_or(|r| r.covers(p));
        let mut is_there = among(present.clone());
        let mut known = files.packed.walk();
        let mut gone: Vec<RelPath> = Vec::new();
        while let Some((path, _)) = known.next() {
            if !is_there(path) {
                gone.extend(RelPath::new(path).filter(is_meant));
            }
        }
        let mut is_there = among(present);
        let since = files.since.keys();
        let unseen = since.filter(|p| !is_there(p.as_bytes()));
        gone.extend(unseen.filter(|p| is_meant(p)).cloned());
        gone.iter().for_each(|path| self.forget(side, path));
    }

    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{HEAD}{}", self.full_at)?;
        let cut = self.local.write(out)?;
        self.peer.write(out)?;
        out.write_all(&cut.to_le_bytes())?;
        out.write_all(END)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = self.write(&mut out);
        out
    }

    /// Reads it back; anything odd gives an empty index, which is always safe.
    pub fn parse(bytes: Vec<u8>) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        let (body, cut) = bytes.strip_suffix(END)?.split_last_chunk()?;
        let line = body.iter().position(|b| *b == b'\n')?;
        let head = std::str::from_utf8(&body[..line]).ok()?;
        let full_at = head.strip_prefix(HEAD)?.parse().ok()?;
        let (start, end) = (line + 1, body.len());
        let cut = start.checked_add(usize::try_from(u64::from_le_bytes(*cut)).ok()?)?;
        let bytes = Arc::new(bytes);
        let files = |part| {
            Some(Files {
                packed: Packed::read(&bytes, part)?,
                since: BTreeMap::new(),
            })
        };
        Some(Index {
            local: files(start..cut)?,
            peer: files(cut..end)?,
            full_at,
            is_news: false,
        })
    }
}

const HEAD: &str = "ubos-sync index 2\t";
const END: &[u8] = b"end\n";

/// Whether a path is one of those, when both come in their order.
fn among<'p>(all: impl Iterator<Item = &'p RelPath>) -> impl FnMut(&[u8]) -> bool {
    let mut all = all.map(RelPath::as_bytes).peekable();
    move |path| {
        while all.next_if(|p| *p < path).is_some() {}
        all.next_if(|p| *p == path).is_some()
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
        let index = Index::parse(index.to_bytes());
        assert_eq!(
            index.hash(Side::Peer, &path, &stat(1_000)),
            Some("h".into())
        );
        assert!(index.hash(Side::Peer, &path, &stat(1_001)).is_none());
        assert!(index.hash(Side::Local, &path, &stat(1_000)).is_none());
    }

    proptest::proptest! {
        #[test]
        fn what_was_learnt_is_known_however_much_of_it_is_packed(
            steps in proptest::collection::vec(("[ab]{1,4}", proptest::option::of(0u64..9)), 0..60),
        ) {
            let mut index = Index::default();
            let mut all: BTreeMap<RelPath, Option<u64>> = BTreeMap::new();
            let at = |size| Stat { size, ..stat(1) };
            let hash = |size: u64| ContentHash::from([size as u8; 32]);
            for (path, size) in steps {
                let path = RelPath::new(path).unwrap();
                match size {
                    Some(n) => index.remember(Side::Peer, &path, &at(n), hash(n), 9_000_000_000),
                    None => index.forget(Side::Peer, &path),
                }
                all.insert(path, size);
            }
            let again = Index::parse(index.to_bytes());
            let (mut walk, mut other) = (index.walk(Side::Peer), again.walk(Side::Peer));
            for (path, size) in &all {
                let found = size.map(hash);
                let stat = at(size.unwrap_or(0));
                proptest::prop_assert_eq!(index.hash(Side::Peer, path, &stat), found);
                proptest::prop_assert_eq!(walk.hash(path, &stat), found);
                proptest::prop_assert_eq!(other.hash(path, &stat), found);
            }
        }
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
        for cut in 1..=bytes.len() {
            let part = bytes[..bytes.len() - cut].to_vec();
            assert_eq!(Index::parse(part), Index::default());
        }
        assert_eq!(Index::parse(b"garbage".to_vec()), Index::default());
    }
}
