//! Paths of the policy: where `~` and relative ones lead, on this machine and on a peer.
//!
//! Invariants: a local path that comes out is absolute, without `.`, `..`, double or trailing
//! slashes; a remote one is that, or relative to the peer's home. Purely lexical: no I/O.

use std::path::{Component, Path, PathBuf};

use super::fault::Bad;
use crate::model::path::RelPath;

/// What the world says about this machine; asked once, outside the model.
#[derive(Debug, Clone, Default)]
pub struct Env {
    pub home: Option<PathBuf>,
    pub hostname: String,
    /// `$XDG_STATE_HOME`, when set and absolute.
    pub state_home: Option<PathBuf>,
}

impl Env {
    /// Where state lives when the policy does not say.
    pub fn default_state_dir(&self) -> Option<PathBuf> {
        let home_state = || self.home.as_ref().map(|h| h.join(".local/state"));
        self.state_home
            .clone()
            .or_else(home_state)
            .map(|d| d.join("ubos-sync"))
    }
}

/// A path on this machine; relative ones are below `base`.
pub fn local(text: &str, base: &Path, env: &Env) -> Result<PathBuf, Bad> {
    check_text(text)?;
    let path = match text.strip_prefix('~') {
        None => base.join(text),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = env
                .home
                .as_ref()
                .ok_or_else(|| Bad::with("`~` needs HOME, which is not set", "an absolute path"))?;
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) => {
            return Err(Bad::with(
                "another user's home is not looked up",
                "an absolute path",
            ));
        }
    };
    normal(&path).ok_or_else(|| Bad::new("`..` leads above the root of the file system"))
}

/// A path on a peer: absolute, or relative to its home (`~/x` becomes `x`).
pub fn remote(text: &str) -> Result<String, Bad> {
    check_text(text)?;
    let (absolute, rest) = match text.strip_prefix('~') {
        Some("") | Some("/") => {
            return Err(Bad::with(
                "a whole home directory is never meant",
                "`~/ubos`",
            ));
        }
        Some(rest) if rest.starts_with('/') => (false, rest),
        Some(_) => {
            return Err(Bad::with(
                "another user's home is not looked up",
                "an absolute path",
            ));
        }
        None => (text.starts_with('/'), text),
    };
    let parts: Vec<&str> = rest
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(Bad::new("`..` cannot be followed on another machine"));
    }
    match parts.first() {
        None => Err(Bad::new("a whole file system is never meant")),
        Some(first) if !absolute && (first.starts_with('-') || first.starts_with('~')) => {
            Err(Bad::with(
                "could be read as an option or as a home",
                "an absolute path",
            ))
        }
        Some(_) => Ok(format!(
            "{}{}",
            if absolute { "/" } else { "" },
            parts.join("/")
        )),
    }
}

/// A path below a root.
pub fn below_root(text: &str) -> Result<RelPath, Bad> {
    check_text(text)?;
    if text.starts_with('/') {
        return Err(Bad::with(
            "is absolute; it must be relative to the root",
            format!("`{}`", text.trim_matches('/')),
        ));
    }
    if text.starts_with('~') {
        return Err(Bad::new("leads to a home; it must be relative to the root"));
    }
    if text.split('/').any(|p| p == "..") {
        return Err(Bad::new("`..` would leave the root"));
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    match RelPath::new(parts.join("/")) {
        Some(path) if !path.is_root() => Ok(path),
        _ => Err(Bad::new("names the root itself")),
    }
}

/// `path` as seen from `root`, when it lies at or below it.
pub fn relative_to(path: &Path, root: &Path) -> Option<RelPath> {
    use std::os::unix::ffi::OsStrExt;
    let rest = path.strip_prefix(root).ok()?;
    RelPath::new(rest.as_os_str().as_bytes())
}

/// What is wrong with any path, wherever it lies.
fn check_text(text: &str) -> Result<(), Bad> {
    if text.starts_with('$') || text.contains("${") || text.contains("/$") {
        return Err(Bad::with(
            "variables are not expanded",
            "`~/…` or an absolute path",
        ));
    }
    if text.trim() != text {
        return Err(Bad::with(
            "begins or ends with a blank",
            format!("`{}`", text.trim()),
        ));
    }
    if text.contains(" -> ") {
        return Err(Bad::new(
            "` -> ` has a meaning of its own in unison's profile",
        ));
    }
    if text.len() > 4096 {
        return Err(Bad::new("is longer than any path can be"));
    }
    Ok(())
}

/// Without `.`, `..` and superfluous slashes; `None` when `..` leads above `/`.
pub fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            part => out.push(part),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env {
            home: Some("/home/u".into()),
            hostname: "h".into(),
            state_home: None,
        }
    }

    #[test]
    fn local_paths_start_at_home_or_beside_the_policy() {
        let base = Path::new("/etc/p");
        let at = |text: &str| local(text, base, &env()).map(|p| p.display().to_string());
        assert_eq!(at("~/x/./y/"), Ok("/home/u/x/y".into()));
        assert_eq!(at("~"), Ok("/home/u".into()));
        assert_eq!(at("x/../y"), Ok("/etc/p/y".into()));
        assert_eq!(at("/a//b"), Ok("/a/b".into()));
        for bad in [
            "~other/x",
            "$HOME/x",
            "/a/${X}",
            "../../../..",
            " /a",
            "/a ",
        ] {
            assert!(at(bad).is_err(), "{bad}");
        }
        assert!(local("~/x", base, &Env::default()).is_err());
    }

    #[test]
    fn remote_paths_are_absolute_or_below_home() {
        assert_eq!(remote("~/a/b/"), Ok("a/b".into()));
        assert_eq!(remote("/srv//x/"), Ok("/srv/x".into()));
        assert_eq!(remote("x"), Ok("x".into()));
        for bad in ["/", "~", "~/", "//", "~u/x", "a/../b", "-x", "$HOME/x", "."] {
            assert!(remote(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_below_a_root_do_not_escape() {
        assert_eq!(below_root("a/./b/").unwrap().as_bytes(), b"a/b");
        for bad in ["/a", "../a", "a/../..", ".", "", "~/a"] {
            assert!(below_root(bad).is_err(), "{bad}");
        }
    }
}
