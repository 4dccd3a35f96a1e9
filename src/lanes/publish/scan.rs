//! No secret leaves: what would be published is scanned first, and whatever is not a clean answer blocks every target.
//!
//! Invariants: the scanner redacts, its report lies in a private folder and is removed at once; an answer is remembered for exactly
//! these bytes under these names, these rules and this scanner, so that of a new commit only what is new in it is scanned.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::{export as lay, files, process};
use crate::lanes::publish::builtin;
use crate::lanes::publish::export::{self, Export};
use crate::lanes::publish::source::{private, warn};
use crate::model::entry::Entry;
use crate::model::finding::{Finding, Severity};
use crate::model::path::RelPath;
use crate::model::policy::{Policy, Publish, Scan};
use crate::tool::gitleaks::{self, Leak};
use crate::tool::secrets::{self, Rules};

/// Findings; a refusing one among them blocks everything.
pub fn scan(policy: &Policy, publish: &Publish, export: &Export, scratch: &Path) -> Vec<Finding> {
    if publish.scan == Scan::Off {
        return vec![warn(
            "secrets",
            "scan = \"off\": nothing was scanned for secrets".into(),
            "set [publish] scan = \"gitleaks\"",
        )];
    }
    let hint = match publish.scan {
        Scan::Builtin => "mend the rule file, or set [publish] scan = \"gitleaks\"",
        _ => "install gitleaks, or set [publish] scan = \"builtin\"",
    };
    match search(policy, publish, export, scratch) {
        Err(why) => vec![refuse(
            format!("the scan for secrets failed, so nothing was published: {why}"),
            hint.into(),
        )],
        Ok(leaks) => leaks
            .iter()
            .filter(|l| !is_allowed(publish, l))
            .map(told)
            .collect(),
    }
}

fn is_allowed(publish: &Publish, leak: &Leak) -> bool {
    let print = leak.fingerprint();
    // In a scan of a history gitleaks puts the commit in front.
    publish
        .allow
        .iter()
        .any(|a| *a == print || a.strip_suffix(&print).is_some_and(|c| c.ends_with(':')))
}

fn told(leak: &Leak) -> Finding {
    refuse(
        format!(
            "rule {} found what looks like a secret in {}, line {}",
            leak.rule, leak.path, leak.line
        ),
        format!(
            "take it out and replace it, or after a look: [publish] allow = [\"{}\"]",
            leak.fingerprint()
        ),
    )
}

fn refuse(message: String, hint: String) -> Finding {
    Finding {
        guard: "secrets".into(),
        severity: Severity::Refuse,
        peer: None,
        message,
        hint,
    }
}

/// What was found in a tree, for the next one; never what a secret is.
#[derive(Serialize, Deserialize)]
struct Memory {
    /// Who searched, and by which rules.
    scanner: String,
    /// The export that was searched.
    key: String,
    leaks: Vec<Leak>,
}

fn search(
    policy: &Policy,
    publish: &Publish,
    export: &Export,
    scratch: &Path,
) -> Result<Vec<Leak>, String> {
    let program = match publish.scan {
        Scan::Gitleaks => Some(process::which("gitleaks").ok_or("gitleaks is not installed")?),
        _ => None,
    };
    let rules = match &publish.scan_config {
        Some(file) => Some(lay::read(file).map_err(|e| format!("{}: {e}", file.display()))?),
        None => export.scan_rules.clone(),
    };
    let scanner = scanner(program.as_deref(), publish, rules.as_deref(), export);
    let at = private(policy).join("scanned");
    let memory = files::read_bounded(&at, 16 << 20).ok();
    let memory = memory.and_then(|b| serde_json::from_slice::<Memory>(&b).ok());
    let known = memory.filter(|m| m.scanner == scanner).and_then(|m| {
        let tree = export::listed(export, &m.key)?;
        Some((tree, m.leaks))
    });
    let (tree, before) = known.unwrap_or_default();
    let is_known = |path: &RelPath, entry: &Entry| match (entry, tree.get(path)) {
        (Entry::File(now), Some(Entry::File(then))) => now.hash == then.hash,
        _ => false,
    };
    let (old, fresh): (Vec<_>, Vec<_>) = export
        .want
        .iter()
        .filter(|(_, e)| matches!(e, Entry::File(_)))
        .partition(|(p, e)| is_known(p, e));
    let fresh: Vec<&RelPath> = fresh.into_iter().map(|(p, _)| p).collect();
    let old: BTreeSet<String> = old.into_iter().map(|(p, _)| p.lossy()).collect();
    let mut leaks: Vec<Leak> = before
        .into_iter()
        .filter(|l| old.contains(&l.path))
        .collect();
    if !fresh.is_empty() {
        leaks.extend(match &program {
            Some(program) => external(publish, export, program, rules, &fresh, scratch)?,
            None => internal(publish, export, rules, &fresh)?,
        });
    }
    let news = Memory {
        scanner,
        key: export.key.clone(),
        leaks: leaks.clone(),
    };
    // An optimisation: what cannot be remembered is searched again.
    if let Ok(bytes) = serde_json::to_vec(&news) {
        let _ = files::write_atomic(&at, &bytes, files::Sync::Content);
    }
    leaks.extend(builtin::by_name(export));
    Ok(leaks)
}

/// Everything but the files that an answer depends on, as one word.
fn scanner(
    program: Option<&Path>,
    publish: &Publish,
    rules: Option<&[u8]>,
    export: &Export,
) -> String {
    let own = RelPath::new(gitleaks::IGNORE.as_bytes());
    let own = own.and_then(|p| export.want.get(&p));
    let mut hash = Sha256::new();
    hash.update(match program {
        Some(p) => format!("{} {:?}", p.display(), files::modified(p).ok()),
        None => format!("builtin {}", env!("CARGO_PKG_VERSION")),
    });
    hash.update(format!("\0{:?}\0{own:?}\0", publish.scan_config));
    hash.update(rules.unwrap_or(secrets::DEFAULT.as_bytes()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn internal(
    publish: &Publish,
    export: &Export,
    rules: Option<Vec<u8>>,
    fresh: &[&RelPath],
) -> Result<Vec<Leak>, String> {
    let rules = match rules {
        None => Rules::parse(secrets::DEFAULT)?,
        Some(text) => {
            let text = String::from_utf8(text).map_err(|e| format!("the rule file: {e}"))?;
            let rules = Rules::parse(&text).map_err(|e| format!("the rule file: {e}"))?;
            rules.check().map_err(|e| format!("the rule file: {e}"))?;
            rules
        }
    };
    // Where the policy names the rules, whoever writes to the repository has no say.
    let marks = publish.scan_config.is_none();
    builtin::scan(export, fresh, &rules, marks, publish.scan_timeout)
}

fn external(
    publish: &Publish,
    export: &Export,
    program: &Path,
    rules: Option<Vec<u8>>,
    fresh: &[&RelPath],
    scratch: &Path,
) -> Result<Vec<Leak>, String> {
    let config: Option<PathBuf> = match (&publish.scan_config, rules) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(rules)) => {
            let own = scratch.join("gitleaks.toml");
            files::write_atomic(&own, &rules, files::Sync::Content).map_err(|e| e.to_string())?;
            Some(own)
        }
        (None, None) => None,
    };
    let whole = export.want.values().filter(|e| matches!(e, Entry::File(_)));
    let dir = match whole.count() == fresh.len() {
        true => export.dir.clone(),
        false => {
            let dir = scratch.join("scan");
            export::subset(export, fresh, &dir).map_err(|e| format!("no room to scan: {e}"))?;
            dir
        }
    };
    let order = gitleaks::Order {
        dir: &dir,
        config: config.as_deref(),
        ignore: publish.scan_config.is_none().then_some(&export.dir),
        report: &scratch.join("report.json"),
    };
    call(program, &order, scratch, publish.scan_timeout)
}

fn call(
    program: &Path,
    order: &gitleaks::Order,
    scratch: &Path,
    limit: Duration,
) -> Result<Vec<Leak>, String> {
    let call = order.call(program);
    let out = process::run_within(&call, b"", &scratch.join("gitleaks.err"), limit)
        .map_err(|e| format!("gitleaks cannot be started: {e}"))?;
    let bytes = files::read_bounded(order.report, 64 << 20);
    let _ = files::remove_file(order.report);
    let leaks = bytes
        .ok()
        .and_then(|b| gitleaks::parse_report(&b, order.dir));
    match (out.code, leaks) {
        (Some(0), Some(leaks)) if leaks.is_empty() => Ok(leaks),
        (Some(gitleaks::FOUND), Some(leaks)) if !leaks.is_empty() => Ok(leaks),
        (None, _) => Err("gitleaks was killed, or took longer than [publish] scan_timeout".into()),
        (Some(code), Some(_)) => Err(format!(
            "gitleaks ended with {code}, which its report does not explain"
        )),
        (Some(code), None) => Err(format!(
            "gitleaks ended with {code} and left no report that can be read"
        )),
    }
}
