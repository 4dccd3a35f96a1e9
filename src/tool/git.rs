//! Invocations of `git` that nothing outside can bend, and what it answers. Pure: builds argument lists, parses bytes.
//!
//! Invariants: no hook, pager, prompt, editor, file-system monitor or command transport ever runs; no name can be taken for an
//! option.

use std::path::Path;

use crate::model::invocation::Invocation;
use crate::model::path::RelPath;

/// A call of git that asks nobody anything. `dir`: the checkout or repository it works on.
pub fn git(dir: &Path) -> Invocation {
    Invocation::new("git")
        .args([
            "--no-pager",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "submodule.recurse=false",
            "-c",
            "fetch.recurseSubmodules=false",
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
            "-c",
            "advice.detachedHead=false",
            "-c",
            "core.quotePath=false",
        ])
        .args(["-C".as_ref(), dir.as_os_str()])
        // A system-wide configuration may name hooks and filters of its own.
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("SSH_ASKPASS", "true")
        .env("SSH_ASKPASS_REQUIRE", "never")
        .env("GIT_EDITOR", "true")
        .env("GIT_PAGER", "cat")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
}

/// What a checkout is: its top, its objects, the kind of its hashes, whether its history is cut short.
pub fn describe(dir: &Path) -> Invocation {
    git(dir).args([
        "rev-parse",
        "--show-prefix",
        "--show-object-format",
        "--is-shallow-repository",
        "--is-bare-repository",
        "--path-format=absolute",
        "--git-path",
        "objects",
        "--git-path",
        "shallow",
    ])
}

/// The full hash of a commit that a person or a ref names; `None` for a name that could be an option.
pub fn resolve(dir: &Path, name: &str) -> Option<Invocation> {
    is_plain(name).then(|| {
        git(dir).args([
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ])
    })
}

/// Whether a name of a commit can be nothing else: no option, no range, no blank.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 250
        && !name.starts_with('-')
        && !name.contains("..")
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\\:?*[^{~".contains(&b))
}

/// Whether text is a whole hash.
pub fn is_hash(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64)
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Brings a branch and the tags of a remote into the private mirror; nothing of the checkout changes.
pub fn fetch(mirror: &Path, url: &str, branch: &str) -> Invocation {
    git(mirror).args([
        "fetch",
        "--quiet",
        "--no-write-fetch-head",
        "--no-auto-gc",
        "--force",
        "--end-of-options",
        url,
        &format!("+refs/heads/{branch}:refs/remote/{branch}"),
        "+refs/tags/*:refs/tags/*",
    ])
}

/// All entries of a commit's tree with their sizes.
pub fn list(dir: &Path, commit: &str) -> Invocation {
    git(dir).args([
        "ls-tree",
        "-r",
        "-z",
        "-l",
        "--full-tree",
        "--end-of-options",
        commit,
    ])
}

/// `tree <hash>` and `time <seconds>` of a commit, between spaces.
pub fn facts(dir: &Path, commit: &str) -> Invocation {
    git(dir).args([
        "show",
        "--no-patch",
        "--no-show-signature",
        "--format=%T %ct",
        "--end-of-options",
        commit,
    ])
}

/// How many commits `to` has that `from` has not.
pub fn count(dir: &Path, from: &str, to: &str) -> Invocation {
    git(dir).args([
        "rev-list",
        "--count",
        "--end-of-options",
        &format!("{from}..{to}"),
    ])
}

pub fn is_ancestor(dir: &Path, older: &str, newer: &str) -> Invocation {
    git(dir).args(["merge-base", "--is-ancestor", older, newer])
}

/// Contents of objects whose names come on standard input, one a line.
pub fn contents(dir: &Path) -> Invocation {
    git(dir).args(["cat-file", "--batch", "--buffer"])
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: ItemKind,
    pub object: String,
    pub size: u64,
    pub path: RelPath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    File,
    Executable,
    Link,
    Submodule,
}

/// Parses `100644 blob <hash>    1234\tpath\0…`. `None` when anything is not understood: a tree is never half read.
pub fn parse_list(bytes: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    for entry in bytes.split(|b| *b == 0).filter(|e| !e.is_empty()) {
        let tab = entry.iter().position(|b| *b == b'\t')?;
        let head = std::str::from_utf8(&entry[..tab]).ok()?;
        let mut words = head.split_ascii_whitespace();
        let kind = match words.next()? {
            "100755" => ItemKind::Executable,
            "120000" => ItemKind::Link,
            "160000" => ItemKind::Submodule,
            mode if mode.starts_with("100") => ItemKind::File,
            _ => return None,
        };
        words.next()?;
        let object = words.next().filter(|h| is_hash(h))?.to_owned();
        let size = words.next()?;
        items.push(Item {
            kind,
            object,
            size: match kind {
                ItemKind::Submodule => 0,
                _ => size.parse().ok()?,
            },
            path: RelPath::new(&entry[tab + 1..]).filter(|p| !p.is_root())?,
        });
    }
    Some(items)
}

/// Cuts the answer of [`contents`] into the contents, in order. `None` when one is missing or the answer is cut.
pub fn parse_contents<'a>(mut bytes: &'a [u8], wanted: &[&Item]) -> Option<Vec<&'a [u8]>> {
    let mut out = Vec::with_capacity(wanted.len());
    for item in wanted {
        let line = bytes.iter().position(|b| *b == b'\n')?;
        let head = std::str::from_utf8(&bytes[..line]).ok()?;
        let mut words = head.split(' ');
        let size: usize = match (words.next()?, words.next()?, words.next()?) {
            (object, "blob", size) if object == item.object => size.parse().ok()?,
            _ => return None,
        };
        let body = bytes[line + 1..].get(..size)?;
        bytes = bytes[line + 1 + size..].strip_prefix(b"\n")?;
        out.push(body);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn trees_are_read_whole_or_not_at_all() {
        let text = format!(
            "100644 blob {H}      12\ta b\tc\0100755 blob {H}       0\tx/run\0160000 commit {H}       -\tsub\0120000 blob {H}       3\tln\0"
        );
        let items = parse_list(text.as_bytes()).unwrap();
        assert_eq!(items.len(), 4);
        assert_eq!(items[0].path.as_bytes(), b"a b\tc");
        assert_eq!(items[1].kind, ItemKind::Executable);
        assert_eq!((items[2].kind, items[2].size), (ItemKind::Submodule, 0));
        assert!(parse_list(text.replace(" 12", " x").as_bytes()).is_none());
        assert!(parse_list(format!("100644 blob {H} 1\t../up\0").as_bytes()).is_none());
    }

    #[test]
    fn contents_come_in_order_and_a_missing_one_is_an_error() {
        let text = format!("100644 blob {H} 3\ta\0100644 blob {H} 0\tb\0");
        let items = parse_list(text.as_bytes()).unwrap();
        let wanted: Vec<&Item> = items.iter().collect();
        let answer = format!("{H} blob 3\na\nb\n{H} blob 0\n\n");
        assert_eq!(
            parse_contents(answer.as_bytes(), &wanted).unwrap(),
            [&b"a\nb"[..], b""]
        );
        assert!(parse_contents(format!("{H} missing\n").as_bytes(), &wanted).is_none());
    }

    #[test]
    fn a_size_that_nothing_has_is_an_error() {
        let items = parse_list(format!("100644 blob {H} 3\ta\0").as_bytes()).unwrap();
        for answer in [
            format!("{H} blob {}\na\n", usize::MAX),
            format!("{H} blob 1\nabc\n"),
        ] {
            assert!(
                parse_contents(answer.as_bytes(), &[&items[0]]).is_none(),
                "{answer}"
            );
        }
        assert!(parse_list(format!("100644 blob {H} 3\t\0").as_bytes()).is_none());
    }

    #[test]
    fn names_that_could_be_options_or_ranges_are_refused() {
        for bad in [
            "",
            "--upload-pack=x",
            "-x",
            "a..b",
            "a b",
            "HEAD^{/x}",
            "a:b",
            "x~1",
        ] {
            assert!(resolve(Path::new("/r"), bad).is_none(), "{bad}");
        }
        for good in ["main", "v1.2", "refs/heads/x", H, "0123abc"] {
            assert!(resolve(Path::new("/r"), good).is_some(), "{good}");
        }
    }

    #[test]
    fn every_call_is_neutralised() {
        let call = fetch(Path::new("/m"), "ssh://h/x", "main");
        let argv = call.argv().join(" ");
        for needed in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "protocol.ext.allow=never",
            "--no-pager",
        ] {
            assert!(argv.contains(needed), "{needed}");
        }
        assert!(call.env.iter().any(|(k, _)| k == "GIT_TERMINAL_PROMPT"));
        assert!(!call.env.iter().any(|(k, _)| k == "GIT_DIR"));
    }
}
