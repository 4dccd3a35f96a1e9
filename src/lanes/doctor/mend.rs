//! What the doctor does itself: only what cannot hide anything. Everything goes through one script, here and on a peer.
//!
//! Invariants: a root is never made, and a marker only in a root that shows the tree it belongs to: a missing root, an empty one, and
//! one without the files of the last sync may be a disk that is not mounted. Only files of our own, or a key, are made private. A
//! policy that others could write to stays as it is: what stands in it may not be its owner's any more.

use crate::host::link::Link;
use crate::lanes::doctor::Check;
use crate::lanes::reach;
use crate::model::policy::Policy;
use crate::tool::remote;

/// Where hosts say which disks belong where.
const TABLE: &str = "/etc/fstab";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Puts the marker of this name into the root that is the path.
    Marker(String),
    /// Makes a private directory.
    Dir,
    /// Takes every right from others.
    Private,
}

/// One thing to do on the host of its check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    pub act: Act,
    pub path: String,
}

impl Mend {
    /// In words that go with both "would" and the past.
    pub fn words(&self) -> String {
        match &self.act {
            Act::Marker(name) => format!("put {name} into {}", self.path),
            Act::Dir => format!("make the directory {}", self.path),
            Act::Private => format!("take all rights of others from {}", self.path),
        }
    }
}

/// What became of one.
#[derive(Debug, Clone)]
pub struct Mended {
    pub host: String,
    pub check: &'static str,
    pub mend: Mend,
    /// Why it was not, or could not be, done.
    pub not: Option<String>,
}

/// Does what the checks offer, or only says whether it could be done.
pub fn all(policy: &Policy, checks: &[Check], apply: bool) -> Vec<Mended> {
    // Several peers may have found the same fault of this host.
    let mut offers: Vec<(&str, &Check, &Mend)> = Vec::new();
    for check in checks {
        let host = check.host.as_str();
        if let Some(mend) = &check.mend
            && !offers.iter().any(|(h, _, m)| (*h, *m) == (host, mend))
        {
            offers.push((host, check, mend));
        }
    }
    offers.sort_by_key(|(host, _, _)| *host);
    let mut out = Vec::new();
    for offered in offers.chunk_by(|a, b| a.0 == b.0) {
        let host = offered[0].0;
        let offered = offered.iter().map(|(_, check, mend)| (*check, *mend));
        let told = |check: &Check, mend: &Mend, not| Mended {
            host: host.to_owned(),
            check: check.what,
            mend: mend.clone(),
            not,
        };
        let peer = policy.peers.iter().find(|p| p.name == host);
        let reach = peer.map(|p| reach::lightly(policy, p)).transpose();
        match reach {
            Ok(reach) => {
                let local = Link::local(host);
                let link = reach.as_ref().map_or(&local, |r| &r.link);
                out.extend(offered.map(|(c, m)| told(c, m, one(link, m, TABLE, apply).err())));
            }
            Err(e) => {
                let why = e.as_link().to_string();
                out.extend(offered.map(|(c, m)| told(c, m, Some(why.clone()))));
            }
        }
    }
    out
}

fn one(link: &Link, mend: &Mend, table: &str, apply: bool) -> Result<(), String> {
    let (what, name) = match &mend.act {
        Act::Marker(name) => ("marker", name.as_str()),
        Act::Dir => ("dir", ""),
        Act::Private => ("private", ""),
    };
    let how = if apply { "do" } else { "show" };
    let answer = link
        .call(remote::MEND, &[how, what, &mend.path, name, table], &[])
        .map_err(|e| e.to_string())?;
    match (remote::value(&answer, "yes"), remote::value(&answer, "no")) {
        (Some(_), _) => Ok(()),
        (None, why) => Err(crate::model::text::neutral(why.unwrap_or("no answer"))),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at what was made")]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new(table: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("fstab"), table).unwrap();
            Self { dir }
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.dir.path().canonicalize().unwrap().join(name)
        }

        /// Why not, both when asked and when told to; what it says must not depend on that.
        fn mend(&self, act: Act, name: &str) -> Result<(), String> {
            let path = self.path(name).display().to_string();
            let mend = Mend { act, path };
            let table = self.path("fstab").display().to_string();
            let link = Link::local("here");
            let asked = one(&link, &mend, &table, false);
            let done = one(&link, &mend, &table, true);
            assert_eq!(asked, done);
            if done.is_ok() {
                assert_eq!(one(&link, &mend, &table, true), Ok(()), "twice");
            }
            done
        }
    }

    fn marker() -> Act {
        Act::Marker(".ubos-root".into())
    }

    #[test]
    fn a_marker_comes_into_a_tree_and_never_into_what_may_be_no_tree() {
        let at = Place::new("");
        fs::create_dir_all(at.path("tree/docs")).unwrap();
        assert_eq!(at.mend(marker(), "tree"), Ok(()));
        assert!(at.path("tree/.ubos-root").is_file());
        fs::create_dir_all(at.path("empty/lost+found")).unwrap();
        assert!(at.mend(marker(), "empty").unwrap_err().contains("empty"));
        assert!(!at.path("empty/.ubos-root").exists());
        assert!(at.mend(marker(), "missing").is_err());
        assert!(!at.path("missing").exists());
        fs::create_dir_all(at.path("odd/docs")).unwrap();
        symlink("nowhere", at.path("odd/.ubos-root")).unwrap();
        assert!(at.mend(marker(), "odd").is_err());
        assert!(!at.path("odd/nowhere").exists());
    }

    #[test]
    fn nothing_is_made_where_a_disk_should_be_mounted() {
        let at = Place::new("");
        fs::create_dir_all(at.path("disk/tree/docs")).unwrap();
        fs::create_dir_all(at.path("my disk")).unwrap();
        let dir = at.path("").display().to_string();
        let dir = dir.trim_end_matches('/');
        let table = format!(
            "# a disk\nUUID=1 {dir}/disk ext4 defaults 0 2\nUUID=2 {dir}/my\\040disk ext4 defaults 0 2\n"
        );
        fs::write(at.path("fstab"), table).unwrap();
        let offers = [
            (marker(), "disk/tree"),
            (Act::Dir, "disk/state"),
            (Act::Dir, "my disk/state"),
        ];
        for (act, name) in offers {
            let why = at.mend(act, name).unwrap_err();
            assert!(why.contains("not mounted"), "{why}");
        }
        assert!(!at.path("disk/tree/.ubos-root").exists() && !at.path("disk/state").exists());
        fs::create_dir_all(at.path("diskette")).unwrap();
        assert_eq!(at.mend(Act::Dir, "diskette/state"), Ok(()));
    }

    #[test]
    fn directories_are_made_private_and_only_own_things_are_tightened() {
        let at = Place::new("");
        let mode = |name: &str| fs::symlink_metadata(at.path(name)).unwrap().mode() & 0o777;
        assert_eq!(at.mend(Act::Dir, "a/b"), Ok(()));
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
        fs::write(at.path("key"), "k").unwrap();
        for (name, before, after) in [("key", 0o644, 0o600), ("a", 0o755, 0o700)] {
            fs::set_permissions(at.path(name), fs::Permissions::from_mode(before)).unwrap();
            assert_eq!(at.mend(Act::Private, name), Ok(()));
            assert_eq!(mode(name), after);
        }
        symlink("key", at.path("link")).unwrap();
        fs::set_permissions(at.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(at.mend(Act::Private, "link").is_err());
        assert_eq!(mode("key"), 0o644);
        assert!(at.mend(Act::Dir, "key").is_err());
    }
}
