//! No secret leaves: what would be published is scanned first, and whatever is not a clean answer blocks every target.
//!
//! Invariants: the scanner redacts, its report lies in a private folder and is removed at once; a clean answer is remembered for
//! exactly these files, rules and this scanner, so that an unchanged tree is not scanned twice.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::host::{files, process};
use crate::lanes::publish::builtin;
use crate::lanes::publish::export::Export;
use crate::lanes::publish::source::{private, warn};
use crate::model::finding::{Finding, Severity};
use crate::model::policy::{Policy, Publish, Scan};
use crate::tool::gitleaks::{self, Leak};

/// Findings; a refusing one among them blocks everything.
pub fn scan(policy: &Policy, publish: &Publish, export: &Export, scratch: &Path) -> Vec<Finding> {
    let leaks = match publish.scan {
        Scan::Off => {
            return vec![warn(
                "secrets",
                "scan = \"off\": nothing was scanned for secrets".into(),
                "set [publish] scan = \"gitleaks\"",
            )];
        }
        Scan::Builtin => builtin::scan(export),
        Scan::Gitleaks => external(policy, publish, export, scratch),
    };
    match leaks {
        Err(why) => vec![refuse(
            format!("the scan for secrets failed, so nothing was published: {why}"),
            "install gitleaks, or set [publish] scan = \"builtin\"".into(),
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

fn external(
    policy: &Policy,
    publish: &Publish,
    export: &Export,
    scratch: &Path,
) -> Result<Vec<Leak>, String> {
    let mut leaks = builtin::by_name(export);
    let program = process::which("gitleaks").ok_or("gitleaks is not installed")?;
    let own = scratch.join("gitleaks.toml");
    let config = match (&publish.scan_config, &export.scan_rules) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(rules)) => {
            files::write_atomic(&own, rules, files::Sync::Content).map_err(|e| e.to_string())?;
            Some(own)
        }
        (None, None) => None,
    };
    let mut hash = Sha256::new();
    hash.update(&export.key);
    hash.update(format!(
        "{} {:?}",
        program.display(),
        files::modified(&program).ok()
    ));
    if let Some(config) = &config {
        hash.update(
            crate::host::export::read(config).map_err(|e| format!("{}: {e}", config.display()))?,
        );
    }
    let proof: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let memory = private(policy).join("scanned");
    let known = files::read_bounded(&memory, 1 << 16).unwrap_or_default();
    let known = String::from_utf8_lossy(&known).into_owned();
    if known.lines().any(|l| l == proof) {
        return Ok(leaks);
    }
    let limit = publish.scan_timeout;
    let found = call(&program, &export.dir, config.as_deref(), scratch, limit)?;
    if found.is_empty() {
        let mut lines: Vec<&str> = known.lines().collect();
        lines.push(&proof);
        let text = lines.split_off(lines.len().saturating_sub(50)).join("\n") + "\n";
        let _ = files::write_atomic(&memory, text.as_bytes(), files::Sync::Content);
    }
    leaks.extend(found);
    Ok(leaks)
}

fn call(
    program: &Path,
    dir: &Path,
    config: Option<&Path>,
    scratch: &Path,
    limit: Duration,
) -> Result<Vec<Leak>, String> {
    let report = scratch.join("report.json");
    let call = gitleaks::scan(program, dir, config, &report);
    let out = process::run_within(&call, b"", &scratch.join("gitleaks.err"), limit)
        .map_err(|e| format!("gitleaks cannot be started: {e}"))?;
    let bytes = files::read_bounded(&report, 64 << 20);
    let _ = files::remove_file(&report);
    let leaks = bytes.ok().and_then(|b| gitleaks::parse_report(&b, dir));
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
