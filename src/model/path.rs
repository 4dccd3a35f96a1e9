//! Names as the file system has them: bytes below a root, shown to people only in a neutralised form.
//!
//! Invariants: a [`RelPath`] is never absolute, has no empty, `.` or `..` component and no NUL.
//! Nothing prints one except through `Display`, which escapes control, bidi and invalid bytes.

use std::fmt;
use std::sync::Arc;

/// A path below a root, as bytes, components separated by `/`. The root itself is the empty path. Shared, since the tree, the
/// replica, the base and the plan all name the same one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPath(Arc<[u8]>);

impl RelPath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Accepts bytes that hold to the invariants; anything else is `None`.
    pub fn new(bytes: impl AsRef<[u8]>) -> Option<Self> {
        let bytes = bytes.as_ref();
        let sound = bytes.is_empty()
            || bytes
                .split(|b| *b == b'/')
                .all(|c| !c.is_empty() && c != b"." && c != b".." && !c.contains(&0));
        sound.then(|| Self(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<RelPath> {
        if self.0.is_empty() {
            return None;
        }
        let cut = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].into()))
    }

    /// Every proper ancestor below the root, nearest first (the root is not among them).
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = &self.0;
        (0..bytes.len())
            .rev()
            .filter(move |i| bytes[*i] == b'/')
            .map(move |i| &bytes[..i])
    }

    /// Whether this is `dir` itself or lies below it.
    pub fn is_within(&self, dir: &[u8]) -> bool {
        dir.is_empty()
            || (self.0.starts_with(dir) && (self.0.len() == dir.len() || self.0[dir.len()] == b'/'))
    }

    pub fn join(&self, name: &[u8]) -> Option<RelPath> {
        let mut bytes = self.0.to_vec();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// Lossy text for JSON; `hex` tells the rest of the story when it is not exact.
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Hexadecimal bytes, only when the name is not UTF-8.
    pub fn hex_if_not_utf8(&self) -> Option<String> {
        super::text::hex_if_not_utf8(&self.0)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::text::neutral_bytes(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "‹{self}›")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsound_paths_are_not_accepted() {
        for bad in ["/abs", "a//b", "a/../b", "./a", "..", "a/", "a\0b"] {
            assert!(RelPath::new(bad).is_none(), "{bad:?}");
        }
        assert!(RelPath::new("").is_some_and(|p| p.is_root()));
    }

    #[test]
    fn ancestors_go_upwards_and_stop_below_the_root() {
        let path = RelPath::new("a/bb/c").unwrap();
        let all: Vec<_> = path.ancestors().collect();
        assert_eq!(all, [&b"a/bb"[..], b"a"]);
        assert_eq!(path.parent().unwrap().as_bytes(), b"a/bb");
        assert!(path.is_within(b"a/bb") && !path.is_within(b"a/b"));
    }
}
