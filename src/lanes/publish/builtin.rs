//! The scan that needs no other program: names that keys go by, and the rules that gitleaks ships, by several threads.
//!
//! Invariants: what cannot be read or understood is an error and blocks; what a secret is stays unsaid.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::host::{clock, export as lay, log_files, signals};
use crate::lanes::publish::export::Export;
use crate::model::entry::Entry;
use crate::model::path::RelPath;
use crate::tool::gitleaks::Leak;
use crate::tool::secrets::Rules;

/// A file that is larger waits for its turn.
const LARGE: u64 = 16 << 20;

/// Findings by content. `marks`: what the tree itself calls looked at is none.
pub fn scan(
    export: &Export,
    paths: &[&RelPath],
    rules: &Rules,
    marks: bool,
    limit: Duration,
) -> Result<Vec<Leak>, String> {
    let until = clock::monotonic() + limit;
    let next = AtomicUsize::new(0);
    let found: Mutex<Result<BTreeSet<Leak>, String>> = Mutex::new(Ok(BTreeSet::new()));
    let turn = Mutex::new(());
    let one = |path: &RelPath| {
        if clock::monotonic() > until {
            return Err("it took longer than [publish] scan_timeout".into());
        }
        if signals::stop_wish().is_some() {
            return Err("stopped on request".into());
        }
        let place = lay::at(&export.dir, path);
        // Of large files only one at a time is held in memory.
        let _turn = (log_files::size(&place) > LARGE).then(|| {
            turn.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        });
        let bytes = lay::read(&place).map_err(|e| format!("{path}: {e}"))?;
        rules.search(path.as_bytes(), &bytes, marks)
    };
    let work = || {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let leaks = one(path);
            if leaks.as_ref().is_ok_and(BTreeSet::is_empty) {
                continue;
            }
            let mut all = found
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *all, leaks) {
                (Ok(all), Ok(leaks)) => all.extend(leaks),
                (all, Err(why)) => {
                    *all = Err(why);
                    return;
                }
                (Err(_), _) => return,
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(work);
        }
    });
    let found = found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)?;
    let looked_at = match marks {
        true => ignored(export)?,
        false => BTreeSet::new(),
    };
    let open = found
        .into_iter()
        .filter(|l| !looked_at.contains(&l.fingerprint()));
    Ok(open.collect())
}

/// The fingerprints that the tree's own list names.
fn ignored(export: &Export) -> Result<BTreeSet<String>, String> {
    let list = RelPath::new(crate::tool::gitleaks::IGNORE.as_bytes());
    let Some(list) = list.filter(|l| matches!(export.want.get(l), Some(Entry::File(_)))) else {
        return Ok(BTreeSet::new());
    };
    let bytes = lay::read(&lay::at(&export.dir, &list)).map_err(|e| format!("{list}: {e}"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().map(|l| l.trim().to_owned()).collect())
}

/// Files that hold secrets by what they are called.
pub fn by_name(export: &Export) -> Vec<Leak> {
    export
        .want
        .iter()
        .filter(|(p, e)| matches!(e, Entry::File(f) if f.size > 0) && is_secret_name(p.name()))
        .map(|(p, _)| leak(p, 1, "secret-file-name"))
        .collect()
}

fn leak(path: &RelPath, line: u64, rule: &str) -> Leak {
    Leak {
        path: path.lossy(),
        line,
        rule: rule.into(),
    }
}

fn is_secret_name(name: &[u8]) -> bool {
    let ends = |tail: &str| name.ends_with(tail.as_bytes());
    let is = |whole: &str| name == whole.as_bytes();
    let keys = [
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_ecdsa_sk",
        "id_ed25519_sk",
    ];
    let env = || name.strip_prefix(b".env.".as_slice());
    let is_sample = |end: &[u8]| [&b"example"[..], b"sample", b"template", b"dist"].contains(&end);
    is(".env")
        || env().is_some_and(|end| !is_sample(end))
        || is(".git-credentials")
        || is(".netrc")
        || is(".pgpass")
        || is(".htpasswd")
        || keys.iter().any(|k| is(k))
        || [
            ".pem",
            ".key",
            ".p12",
            ".pfx",
            ".jks",
            ".keystore",
            ".kdbx",
            ".ppk",
        ]
        .iter()
        .any(|t| ends(t))
        || ends("_state.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_names() {
        for bad in [
            ".env",
            ".env.production",
            ".git-credentials",
            "id_ed25519",
            "server.pem",
            "tls.key",
            "mission_state.json",
        ] {
            assert!(is_secret_name(bad.as_bytes()), "{bad}");
        }
        for good in ["env.md", "id_ed25519.pub", "keyboard", ".env.example"] {
            assert!(!is_secret_name(good.as_bytes()), "{good}");
        }
    }
}
