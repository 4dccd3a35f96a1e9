//! What is known of the files of one side, in the order of their paths, in the bytes that a file of them has.
//!
//! One after the other: how much of the path before it a path shares and the rest of it, size, mtime, how far ctime is from it, inode,
//! hash; numbers in groups of seven bits. Every sixteenth path is whole, so that one can be looked for without reading all of them.
//! Invariant: paths rise; bytes of which this is not so, or that end amid something, are not taken.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use super::{ContentHash, Known};

/// Of so many paths one is whole.
const BLOCK: usize = 16;

#[derive(Debug, Clone, Default)]
pub struct Packed {
    /// Perhaps of both sides, as the file has them.
    bytes: Arc<Vec<u8>>,
    part: Range<usize>,
    /// Where the whole paths are.
    marks: Vec<usize>,
    len: usize,
}

impl Packed {
    pub fn read(bytes: &Arc<Vec<u8>>, part: Range<usize>) -> Option<Self> {
        let mut marks = Vec::new();
        let mut cursor = Cursor::of(bytes.get(part.clone())?);
        let mut before = Vec::new();
        let mut n = 0usize;
        while !cursor.rest.is_empty() {
            if n.is_multiple_of(BLOCK) {
                marks.push(part.end - cursor.rest.len());
                cursor.path.clear();
            }
            cursor.step()?;
            if n > 0 && before >= cursor.path {
                return None;
            }
            before.clone_from(&cursor.path);
            n += 1;
        }
        Some(Self {
            bytes: bytes.clone(),
            part,
            marks,
            len: n,
        })
    }

    pub fn bytes(&self) -> usize {
        self.part.len()
    }

    /// How many paths.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn walk(&self) -> Cursor<'_> {
        Cursor::of(&self.bytes[self.part.clone()])
    }

    pub fn get(&self, path: &[u8]) -> Option<Known> {
        let starts = |at: &usize| {
            let mut first = Cursor::of(&self.bytes[*at..self.part.end]);
            first.next().is_some_and(|(first, _)| first <= path)
        };
        let block = self.marks.partition_point(starts).checked_sub(1)?;
        Cursor::of(&self.bytes[self.marks[block]..self.part.end]).at(path)
    }
}

/// Makes one, path by path in their order.
pub struct Packer<'o> {
    out: &'o mut dyn Write,
    /// How many bytes.
    pub written: u64,
    one: Vec<u8>,
    before: Vec<u8>,
    n: usize,
}

impl<'o> Packer<'o> {
    pub fn to(out: &'o mut dyn Write) -> Self {
        Self {
            out,
            written: 0,
            one: Vec::new(),
            before: Vec::new(),
            n: 0,
        }
    }

    pub fn push(&mut self, path: &[u8], known: &Known) -> io::Result<()> {
        if self.n.is_multiple_of(BLOCK) {
            self.before.clear();
        }
        self.n += 1;
        let both = self.before.iter().zip(path);
        let shared = both.take_while(|(a, b)| a == b).count();
        let out = &mut self.one;
        out.clear();
        number(out, shared as u128);
        number(out, (path.len() - shared) as u128);
        out.extend_from_slice(&path[shared..]);
        number(out, known.size.into());
        signed(out, known.mtime_ns);
        signed(out, known.ctime_ns.wrapping_sub(known.mtime_ns));
        number(out, known.ino.into());
        out.extend_from_slice(known.hash.as_bytes());
        self.before.truncate(shared);
        self.before.extend_from_slice(&path[shared..]);
        self.written += self.one.len() as u64;
        self.out.write_all(&self.one)
    }
}

fn number(out: &mut Vec<u8>, mut n: u128) {
    while n > 0x7f {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

/// The sign is the lowest bit, so that what is near to nothing is short.
fn signed(out: &mut Vec<u8>, n: i128) {
    number(out, ((n << 1) ^ (n >> 127)).cast_unsigned());
}

/// Where in it one is.
pub struct Cursor<'p> {
    rest: &'p [u8],
    path: Vec<u8>,
    /// What was read and not yet asked for.
    ahead: Option<Known>,
}

impl<'p> Cursor<'p> {
    fn of(rest: &'p [u8]) -> Self {
        Self {
            rest,
            path: Vec::new(),
            ahead: None,
        }
    }

    /// The next path and what is known of it.
    pub fn next(&mut self) -> Option<(&[u8], Known)> {
        let known = self.peek()?.1;
        self.ahead = None;
        Some((&self.path, known))
    }

    pub fn peek(&mut self) -> Option<(&[u8], Known)> {
        if self.ahead.is_none() && !self.rest.is_empty() {
            self.ahead = self.step();
        }
        Some((&self.path, self.ahead?))
    }

    /// What is known of a path, which comes after the one asked for last.
    pub fn at(&mut self, path: &[u8]) -> Option<Known> {
        while self.peek()?.0 < path {
            self.ahead = None;
        }
        let (found, known) = self.peek()?;
        (found == path).then_some(known)
    }

    fn step(&mut self) -> Option<Known> {
        let shared = self.length()?;
        let more = self.length()?;
        if shared > self.path.len() {
            return None;
        }
        self.path.truncate(shared);
        let (rest, after) = self.rest.split_at_checked(more)?;
        self.path.extend_from_slice(rest);
        self.rest = after;
        let size = self.number()?.try_into().ok()?;
        let mtime_ns = self.signed()?;
        let ctime_ns = self.signed()?.wrapping_add(mtime_ns);
        let ino = self.number()?.try_into().ok()?;
        let (hash, after) = self.rest.split_first_chunk()?;
        self.rest = after;
        Some(Known {
            size,
            mtime_ns,
            ctime_ns,
            ino,
            hash: ContentHash::from(*hash),
        })
    }

    fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn number(&mut self) -> Option<u128> {
        // Most fit into the narrower kind, which is the quicker one.
        let mut low: u64 = 0;
        for group in 0..9 {
            let (byte, after) = self.rest.split_first()?;
            self.rest = after;
            low |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return Some(low.into());
            }
        }
        let mut n = u128::from(low);
        for group in 9..19 {
            let (byte, after) = self.rest.split_first()?;
            self.rest = after;
            n |= u128::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i128> {
        let n = self.number()?;
        Some((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn known() -> impl Strategy<Value = Known> {
        let time = || prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from)];
        (any::<u64>(), time(), time(), any::<u64>(), any::<u8>()).prop_map(
            |(size, mtime_ns, ctime_ns, ino, hash)| Known {
                size,
                mtime_ns,
                ctime_ns,
                ino,
                hash: [hash; 32].into(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_packed_is_found_again(
            all in proptest::collection::btree_map("[ab/]{0,6}", known(), 0..60),
            other in "[ab/]{0,6}",
        ) {
            let all: BTreeMap<Vec<u8>, Known> =
                all.into_iter().map(|(p, k)| (p.into_bytes(), k)).collect();
            let mut bytes = Vec::new();
            let mut packer = Packer::to(&mut bytes);
            for (p, k) in &all {
                packer.push(p, k).unwrap();
            }
            prop_assert_eq!(packer.written, bytes.len() as u64);
            let bytes = Arc::new(bytes);
            let packed = Packed::read(&bytes, 0..bytes.len()).unwrap();
            let mut walk = packed.walk();
            for (p, k) in &all {
                prop_assert_eq!(walk.at(p), Some(*k));
                prop_assert_eq!(packed.get(p), Some(*k));
            }
            prop_assert_eq!(packed.get(other.as_bytes()), all.get(other.as_bytes()).copied());
            for cut in 0..bytes.len() {
                if let Some(part) = Packed::read(&bytes, 0..cut) {
                    // Cut between two of them: that is for whoever keeps the bytes to see.
                    let mut walk = part.walk();
                    let mut whole = all.iter();
                    while let Some((p, k)) = walk.next() {
                        prop_assert_eq!(whole.next(), Some((&p.to_vec(), &k)));
                    }
                }
            }
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in any::<Vec<u8>>()) {
            let bytes = Arc::new(bytes);
            if let Some(packed) = Packed::read(&bytes, 0..bytes.len()) {
                let mut walk = packed.walk();
                while walk.next().is_some() {}
            }
        }
    }
}
