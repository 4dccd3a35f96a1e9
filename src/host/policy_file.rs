//! Finds the policy, makes sure that nobody else could have written it, and reads it.
//!
//! Invariants: a policy decides what gets executed, so a file (or a directory on the way to it) that
//! another user may write to, or owns, is refused; what was checked is the very file that is read.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::model::policy::{self, Env, Fault, Origin, Policy};
use crate::model::text::{count, neutral};

/// The name looked for in the current directory and its parents.
pub const FILE_NAME: &str = "ubos-sync.toml";

/// Why there is no policy to work with. Always exit code 2.
#[derive(Debug)]
pub enum PolicyError {
    /// No file anywhere; holds the places that were tried last.
    NotFound(Vec<PathBuf>),
    Unreadable(PathBuf, std::io::Error),
    /// Someone else could have written it: the path, why, and the way out.
    Unsafe(PathBuf, String, String),
    Faults(PathBuf, Vec<Fault>),
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::NotFound(tried) => {
                writeln!(f, "no policy found; looked for")?;
                for path in tried {
                    writeln!(f, "  {}", shown(path))?;
                }
                write!(
                    f,
                    "run `ubos-sync init` to write one, or name it with --policy FILE"
                )
            }
            PolicyError::Unreadable(path, error) => {
                write!(f, "cannot read the policy {}: {error}", shown(path))
            }
            PolicyError::Unsafe(path, why, fix) => {
                write!(
                    f,
                    "the policy is refused: {} {why}. A policy decides what gets executed; {fix}",
                    shown(path)
                )
            }
            PolicyError::Faults(path, faults) => {
                let path = shown(path);
                for fault in faults {
                    writeln!(f, "{path}:{}:{}: {fault}", fault.line, fault.column)?;
                }
                write!(
                    f,
                    "{} in the policy; nothing was done",
                    count(faults.len(), "fault")
                )
            }
        }
    }
}

fn shown(path: &Path) -> String {
    neutral(&path.to_string_lossy())
}

/// Finds, checks, reads and resolves the policy.
pub fn load(explicit: Option<&Path>) -> Result<Policy, PolicyError> {
    let file = find(explicit)?;
    let bytes = read_trusted(&file)?;
    let mut policy = policy::read(&bytes, &file, &env())
        .map_err(|faults| PolicyError::Faults(file.clone(), faults))?;
    match aliases(&policy) {
        faults if faults.is_empty() => {
            super::credentials::adopt(&mut policy);
            Ok(policy)
        }
        faults => Err(PolicyError::Faults(file, faults)),
    }
}

/// Roots that look apart and are not, because a link leads from one into another, into the whole
/// home or the whole file system. Only the file system knows, so the pure checks cannot tell.
fn aliases(policy: &Policy) -> Vec<Fault> {
    let mut roots = vec![("site.root".to_owned(), policy.site.root.clone())];
    for (i, peer) in policy.peers.iter().enumerate() {
        roots.extend(
            peer.local_root()
                .map(|root| (format!("peer[{i}].root"), root)),
        );
    }
    let real: Vec<_> = roots
        .into_iter()
        .filter_map(|(key, root)| Some((key, root.canonicalize().ok()?)))
        .collect();
    let home = env().home.and_then(|h| h.canonicalize().ok());
    let mut faults = Vec::new();
    for (i, (key, root)) in real.iter().enumerate() {
        if home.as_ref() == Some(root) || root.parent().is_none() {
            faults.push(alias_fault(
                policy,
                key,
                root,
                "a whole home or file system".into(),
            ));
        }
        for (other_key, other) in &real[..i] {
            if root.starts_with(other) || other.starts_with(root) {
                faults.push(alias_fault(
                    policy,
                    key,
                    root,
                    format!("the same as, or nested with, {other_key}"),
                ));
            }
        }
    }
    faults
}

fn alias_fault(policy: &Policy, key: &str, real: &Path, what: String) -> Fault {
    let setting = policy.settings.iter().find(|s| s.key == key);
    let line = match setting.map(|s| s.origin) {
        Some(Origin::Line(line)) => line,
        _ => 1,
    };
    Fault {
        line,
        column: 1,
        key: key.to_owned(),
        text: setting.map(|s| s.value.clone()).unwrap_or_default(),
        reason: format!("leads, through a link, to {}, which is {what}", shown(real)),
        suggestion: Some("separate directories".into()),
    }
}

/// What the policy needs to know about this machine.
pub fn env() -> Env {
    Env {
        home: absolute_var("HOME"),
        hostname: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        state_home: absolute_var("XDG_STATE_HOME"),
    }
}

/// What an environment variable says, if it says anything.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.trim().is_empty())
}

fn absolute_var(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

/// The policy's absolute path, by the order of the contract.
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, PolicyError> {
    let here = std::env::current_dir().map_err(|e| PolicyError::Unreadable(".".into(), e))?;
    let named = explicit.map(Path::to_owned).or_else(|| {
        std::env::var_os("UBOS_SYNC_POLICY")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    });
    if let Some(named) = named {
        let path = here.join(named);
        return Ok(policy::normal(&path).unwrap_or(path));
    }
    let beside = here.ancestors().map(|dir| dir.join(FILE_NAME));
    let config =
        absolute_var("XDG_CONFIG_HOME").or_else(|| absolute_var("HOME").map(|h| h.join(".config")));
    let personal = config.map(|dir| dir.join("ubos-sync/policy.toml"));
    let exists = |p: &PathBuf| p.symlink_metadata().is_ok();
    if let Some(found) = beside.chain(personal.clone()).find(exists) {
        return Ok(found);
    }
    Err(PolicyError::NotFound(
        std::iter::once(here.join(FILE_NAME))
            .chain(personal)
            .collect(),
    ))
}

/// The file's bytes, once everything on the way to it has been found safe.
fn read_trusted(path: &Path) -> Result<Vec<u8>, PolicyError> {
    let unreadable = |e| PolicyError::Unreadable(path.to_owned(), e);
    // The way that was named (links may be planted on it), then the way it leads to.
    check_way(path)?;
    let real = path.canonicalize().map_err(unreadable)?;
    check_way(&real)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(&real)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(std::io::Error::other("not a regular file")));
    }
    check_one(&real, &metadata)?;
    read_bounded(file).map_err(unreadable)
}

/// One byte more than a policy may have, so that the parser can say that it is too big.
fn read_bounded(file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(policy::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_way(path: &Path) -> Result<(), PolicyError> {
    for part in path.ancestors() {
        let metadata = part
            .symlink_metadata()
            .map_err(|e| PolicyError::Unreadable(part.to_owned(), e))?;
        check_one(part, &metadata)?;
    }
    Ok(())
}

fn check_one(path: &Path, metadata: &Metadata) -> Result<(), PolicyError> {
    let us = rustix::process::geteuid().as_raw();
    match weakness(metadata.uid(), metadata.mode(), us) {
        None => Ok(()),
        Some((why, fix)) => {
            let fix = format!("{fix} {}", shown(path));
            Err(PolicyError::Unsafe(path.to_owned(), why.to_owned(), fix))
        }
    }
}

/// What lets another user than `us` or root change this entry. In a sticky directory only an entry's
/// owner can replace it, and the owner of each entry is checked as well.
fn weakness(owner: u32, mode: u32, us: u32) -> Option<(&'static str, &'static str)> {
    const KIND: u32 = 0o170_000;
    let is_link = mode & KIND == 0o120_000;
    let is_sticky_dir = mode & KIND == 0o040_000 && mode & 0o1000 != 0;
    if owner != us && owner != 0 {
        return Some(("belongs to another user", "chown"));
    }
    if !is_link && !is_sticky_dir && mode & 0o022 != 0 {
        return Some(("may be written to by others", "chmod go-w"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const POLICY: &str = "[site]\nname = \"a\"\nroot = \"/srv/x\"\nstate_dir = \"/srv/s\"\n";

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_could_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        chmod(&sub, 0o755);
        let file = sub.join("p.toml");
        std::fs::write(&file, POLICY).unwrap();
        chmod(&file, 0o644);
        assert!(load(Some(&file)).is_ok());
        let link = dir.path().join("link.toml");
        symlink(&file, &link).unwrap();
        assert!(load(Some(&link)).is_ok());
        for (path, mode, back) in [
            (&file, 0o664, 0o644),
            (&file, 0o646, 0o644),
            (&sub, 0o775, 0o755),
            (&sub, 0o777, 0o755),
        ] {
            chmod(path, mode);
            assert!(
                matches!(load(Some(&file)), Err(PolicyError::Unsafe(..))),
                "{mode:o}"
            );
            assert!(
                matches!(load(Some(&link)), Err(PolicyError::Unsafe(..))),
                "{mode:o}"
            );
            chmod(path, back);
        }
        chmod(&sub, 0o1777);
        assert!(
            load(Some(&file)).is_ok(),
            "a sticky directory is as good as /tmp"
        );
    }

    #[test]
    fn owners_other_than_us_and_root_are_refused() {
        assert!(weakness(1000, 0o100_644, 1000).is_none());
        assert!(weakness(0, 0o100_644, 1000).is_none());
        assert!(weakness(1001, 0o100_600, 1000).is_some());
        assert!(weakness(1001, 0o041_777, 1000).is_some());
        assert!(weakness(0, 0o041_777, 1000).is_none());
        assert!(weakness(1000, 0o120_777, 1000).is_none());
    }

    #[test]
    fn a_file_that_is_no_file_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("d");
        std::fs::create_dir(&sub).unwrap();
        assert!(matches!(load(Some(&sub)), Err(PolicyError::Unreadable(..))));
        assert!(matches!(
            load(Some(&dir.path().join("none"))),
            Err(PolicyError::Unreadable(..))
        ));
    }

    #[test]
    fn a_root_that_leads_into_another_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/sub")).unwrap();
        symlink("a/sub", dir.path().join("b")).unwrap();
        let file = dir.path().join("p.toml");
        let text = "[site]\nname = \"m\"\nroot = \"a\"\nstate_dir = \"s\"\n[[peer]]\nname = \"p\"\nroot = \"b\"\n";
        std::fs::write(&file, text).unwrap();
        let shown = load(Some(&file)).unwrap_err().to_string();
        assert!(
            shown.contains("p.toml:7:1: peer[0].root: leads, through a link"),
            "{shown}"
        );
    }

    #[test]
    fn faults_are_rendered_with_file_line_and_column() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        std::fs::write(&file, POLICY.replace("root", "rot")).unwrap();
        let text = load(Some(&file)).unwrap_err().to_string();
        assert!(
            text.contains("p.toml:3:1: site.rot: unknown key in [site] (`rot`); try `root`"),
            "{text}"
        );
        assert!(text.contains("2 faults"), "{text}");
    }
}
