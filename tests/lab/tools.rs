//! The real programs: where they are, what to do when one is absent, and search paths that hide some.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Which unison a host of the lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unison {
    #[default]
    System,
    /// Only 2.51, under the plain name `unison`.
    V251,
    Missing,
}

const SYSTEM_DIRS: [&str; 8] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/sbin",
];

/// Where `.ci/ensure-gitleaks` puts what no system has as a package.
const OWN_TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");

/// The first program of that name in the system's directories or the caller's `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .chain([PathBuf::from(OWN_TOOLS)])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// True when all programs are there. Otherwise says so and returns false, so that the test can return early;
/// in CI an absent program is a failure, because a skipped test proves nothing there.
#[must_use]
pub fn need(programs: &[&str]) -> bool {
    let absent: Vec<_> = programs
        .iter()
        .filter(|name| find_program(name).is_none())
        .collect();
    if absent.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "needed programs are absent: {absent:?}"
    );
    eprintln!("skipped: needed programs are absent: {absent:?}");
    false
}

/// Debian's second unison, whatever OCaml it was built with.
pub fn unison_251() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/bin")
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // The package also ships a gtk front end under a longer name.
            name.starts_with("unison-2.51") && !name.contains("gtk")
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

/// The library that shifts a program's clock when preloaded.
pub fn libfaketime() -> Option<PathBuf> {
    let mut places = vec![
        PathBuf::from("/usr/lib/faketime/libfaketime.so.1"),
        PathBuf::from("/usr/lib64/faketime/libfaketime.so.1"),
    ];
    for entry in std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
    {
        places.push(entry.path().join("faketime/libfaketime.so.1"));
    }
    places.into_iter().find(|file| file.is_file())
}

/// A `PATH` for one host. The system's own, unless something is to be hidden: then a directory of links in
/// `dir` to everything but the hidden names, since hiding one program of a shared directory needs a new one.
pub fn tool_path(dir: &Path, unison: Unison, hide: &[String]) -> String {
    let dirs = SYSTEM_DIRS
        .iter()
        .chain([&OWN_TOOLS])
        .filter(|d| Path::new(d).is_dir());
    if unison == Unison::System && hide.is_empty() {
        return dirs.copied().collect::<Vec<_>>().join(":");
    }
    std::fs::create_dir_all(dir).unwrap();
    let mut seen = BTreeSet::new();
    for entry in dirs.flat_map(|d| std::fs::read_dir(d).unwrap()).flatten() {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let hidden = hide.iter().any(|h| *h == text)
            || (unison != Unison::System && text.starts_with("unison"));
        if !hidden && seen.insert(name.clone()) {
            symlink(entry.path(), dir.join(&name)).unwrap();
        }
    }
    if unison == Unison::V251 {
        let program = unison_251().expect("unison 2.51 is installed");
        symlink(program, dir.join("unison")).unwrap();
    }
    dir.to_str().unwrap().to_owned()
}
